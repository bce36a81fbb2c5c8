/* SPDX-License-Identifier: Apache-2.0 */
/* See model.h. */
#include "model.h"

#include <string.h>

/* clang-format off */
const struct letter letters[] = {
	{.name = "EHLO", .verb = VERB_EHLO, .is_plain = true},
	{.name = "HELO", .verb = VERB_HELO, .is_plain = true},
	{.name = "MAIL", .verb = VERB_MAIL, .is_plain = true},
	{.name = "RCPT", .verb = VERB_RCPT, .is_plain = true},
	{.name = "DATA", .verb = VERB_DATA, .is_plain = true},
	{.name = "BDAT", .verb = VERB_BDAT, .is_plain = true},
	{.name = "BDAT-LAST", .verb = VERB_BDAT_LAST, .is_plain = true},
	{.name = "RSET", .verb = VERB_RSET, .is_plain = true},
	{.name = "NOOP", .verb = VERB_NOOP, .is_plain = true},
	{.name = "VRFY", .verb = VERB_VRFY, .is_plain = true},
	{.name = "AUTH", .verb = VERB_AUTH, .is_plain = true},
	{.name = "STARTTLS", .verb = VERB_STARTTLS, .is_plain = true},
	{.name = "QUIT", .verb = VERB_QUIT, .is_plain = true},
	{.name = "MAIL+wishes", .verb = VERB_MAIL, .has_wishes = true},
	{.name = "RCPT+utf8", .verb = VERB_RCPT, .has_wishes = true},
	{.name = "DATA+bare-lf", .verb = VERB_DATA, .has_bare_lf = true},
	{.name = "BDAT+bare-lf", .verb = VERB_BDAT, .has_bare_lf = true},
	{.name = "DATA+full", .verb = VERB_DATA, .is_full = true},
	{.name = "BDAT-LAST+full", .verb = VERB_BDAT_LAST, .is_full = true},
#define REFUSED(text, VERB, STAGE, VERDICT) \
	{.name = text, .verb = VERB_##VERB, .stage = PN_STAGE_##STAGE, .verdict = PN_VERDICT_##VERDICT}
	REFUSED("EHLO/reject", EHLO, CLIENT_HELLO, REJECT),
	REFUSED("HELO/defer", HELO, CLIENT_HELLO, DEFER),
	REFUSED("MAIL/reject", MAIL, ENVELOPE_SENDER, REJECT),
	REFUSED("MAIL/defer", MAIL, ENVELOPE_SENDER, DEFER),
	REFUSED("MAIL/discard", MAIL, ENVELOPE_SENDER, DISCARD),
	REFUSED("MAIL/drop", MAIL, ENVELOPE_SENDER, DROP),
	REFUSED("RCPT/reject", RCPT, ENVELOPE_RECIPIENT, REJECT),
	REFUSED("RCPT/defer", RCPT, ENVELOPE_RECIPIENT, DEFER),
	REFUSED("RCPT/discard", RCPT, ENVELOPE_RECIPIENT, DISCARD),
	REFUSED("RCPT/drop", RCPT, ENVELOPE_RECIPIENT, DROP),
	REFUSED("DATA/headers-reject", DATA, MESSAGE_HEADERS, REJECT),
	REFUSED("DATA/headers-drop", DATA, MESSAGE_HEADERS, DROP),
	REFUSED("DATA/scan-fails", DATA, MESSAGE_SCAN, REJECT),
	REFUSED("DATA/decide-defer", DATA, MESSAGE_DECIDE, DEFER),
	REFUSED("DATA/decide-drop", DATA, MESSAGE_DECIDE, DROP),
	REFUSED("DATA/decide-discard", DATA, MESSAGE_DECIDE, DISCARD),
	REFUSED("DATA/recipient-reject", DATA, RECIPIENT_DECIDE, REJECT),
	{.name = "DATA/first-reject", .verb = VERB_DATA, .is_first_only = true,
	 .stage = PN_STAGE_RECIPIENT_DECIDE, .verdict = PN_VERDICT_REJECT},
	REFUSED("DATA/change-fails", DATA, MESSAGE_CHANGE, REJECT),
	REFUSED("DATA/route-defer", DATA, RECIPIENT_ROUTE, DEFER),
	REFUSED("DATA/deliver-reject", DATA, MAILBOX_DELIVER, REJECT),
	REFUSED("BDAT/headers-reject", BDAT, MESSAGE_HEADERS, REJECT),
	REFUSED("BDAT/headers-discard", BDAT, MESSAGE_HEADERS, DISCARD),
	REFUSED("BDAT-LAST/headers-defer", BDAT_LAST, MESSAGE_HEADERS, DEFER),
	REFUSED("BDAT-LAST/decide-reject", BDAT_LAST, MESSAGE_DECIDE, REJECT),
	{.name = "BDAT-LAST/first-reject", .verb = VERB_BDAT_LAST, .is_first_only = true,
	 .stage = PN_STAGE_RECIPIENT_DECIDE, .verdict = PN_VERDICT_REJECT},
	REFUSED("VRFY/reject", VRFY, CLIENT_REQUEST, REJECT),
	REFUSED("AUTH/reject", AUTH, AUTH_VERIFY, REJECT),
	REFUSED("AUTH/route-defer", AUTH, ACCOUNT_ROUTE, DEFER),
	REFUSED("STARTTLS/reject", STARTTLS, CONNECTION_SECURED, REJECT),
};
/* clang-format on */
const size_t letter_count = sizeof(letters) / sizeof(letters[0]);

void model_begin(struct model *model, enum profile profile)
{
	memset(model, 0, sizeof(*model));
	model->profile = profile;
}

static void say(struct expectation *expectation, const char *classes)
{
	expectation->replies[expectation->count++] = classes;
}

/* How a refusal sounds. */
static const char *sound(enum pn_verdict verdict)
{
	return verdict == PN_VERDICT_REJECT ? "5" : verdict == PN_VERDICT_DEFER ? "4" : "2";
}

static void judge(const struct letter *letter, struct expectation *expectation)
{
	expectation->closes = letter->verdict == PN_VERDICT_DROP;
	if (!expectation->closes)
		say(expectation, sound(letter->verdict));
}

/* Whether the commands before allow this one; RFC 5321 section 4.1.4. */
static bool is_in_order(const struct model *model, enum verb verb)
{
	switch (verb) {
	case VERB_MAIL:
		return model->greeted != GREETED_NOT && !model->now.has_sender &&
		       (model->profile != PROFILE_SUBMISSION || model->is_known);
	case VERB_RCPT: /* RFC 3030: recipients are known when the chunks begin */
		return model->now.has_sender && !model->now.in_chunks;
	case VERB_DATA: /* RFC 3030: not behind BDAT, not for what is binary */
		return model->now.count > 0 && !model->now.in_chunks && !model->now.is_binary;
	case VERB_BDAT:
	case VERB_BDAT_LAST:
		return model->now.count > 0;
	case VERB_AUTH: /* RFC 4954 section 4 */
		return model->greeted == GREETED_EHLO && !model->is_known && !model->now.has_sender;
	case VERB_STARTTLS:
		return !model->is_encrypted;
	case VERB_HELO: /* RFC 2033 section 4.1 */
		return model->profile != PROFILE_LMTP;
	default:
		return true;
	}
}

/* What becomes of the message for one recipient: '2', '4', '5'. */
static const char *fate(const struct model *model, const struct letter *letter, size_t index,
                        enum pn_verdict judged)
{
	bool is_only_disposed = model->now.is_discarded || judged == PN_VERDICT_DISCARD;

	if (judged == PN_VERDICT_REJECT || judged == PN_VERDICT_DEFER)
		return sound(judged);
	if (is_only_disposed || model->now.is_disposed[index])
		return "2";
	switch (letter->stage) {
	case PN_STAGE_RECIPIENT_DECIDE:
	case PN_STAGE_RECIPIENT_ROUTE:
	case PN_STAGE_MAILBOX_DELIVER:
		return letter->is_first_only && index > 0 ? "2" : sound(letter->verdict);
	default:
		return "2";
	}
}

static bool is_wanted(const struct model *model)
{
	size_t i = 0;

	while (i < model->now.count && model->now.is_disposed[i])
		i++;
	return i < model->now.count && !model->now.is_discarded;
}

/* The message is whole. One answer, or, for LMTP and PRDR, one for each recipient. */
static void expect_answer(const struct model *model, const struct letter *letter, unsigned place,
                          struct expectation *expectation)
{
	bool is_prdr = model->now.is_prdr;
	bool is_each = model->profile == PROFILE_LMTP || is_prdr;
	enum pn_verdict judged = model->now.in_chunks ? model->now.judged : PN_VERDICT_CONTINUE;
	const char *fates[RECIPIENTS_MAX];
	const char *no = NULL;
	bool is_full = letter->is_full;
	size_t yes = 0;

	/* The header is judged when it came, and what was said of it is told here. What is to be
	 * thrown away is not looked at before its end. */
	if (letter->stage == PN_STAGE_MESSAGE_HEADERS &&
	    (!model->now.in_chunks || model->now.is_discarded))
		judged = letter->verdict;
	if (letter->stage == PN_STAGE_MESSAGE_DECIDE &&
	    (judged == PN_VERDICT_CONTINUE || judged == PN_VERDICT_DISCARD))
		judged = letter->verdict;
	/* What nobody gets is not changed. Refusing is not for this stage: a hook that does has
	 * failed, and the message waits. */
	if (letter->stage == PN_STAGE_MESSAGE_CHANGE && judged == PN_VERDICT_CONTINUE &&
	    is_wanted(model))
		judged = PN_VERDICT_DEFER;
	if (judged == PN_VERDICT_DROP) {
		expectation->closes = true;
		return;
	}
	for (size_t i = 0; i < model->now.count; i++) {
		bool is_kept;

		fates[i] = fate(model, letter, i, judged);
		is_kept = fates[i][0] == '2' && !model->now.is_discarded &&
		          judged != PN_VERDICT_DISCARD && !model->now.is_disposed[i];
		/* The first that something is stored for. */
		if (is_full && is_kept) {
			fates[i] = "4";
			is_full = false;
			is_kept = false;
		}
		if (is_kept)
			expectation->recipients[expectation->recipient_count++] =
				model->now.recipients[i];
		yes += fates[i][0] == '2';
		no = fates[i][0] == '2' || (no != NULL && no[0] == '4') ? no : fates[i];
	}
	expectation->takes = expectation->recipient_count > 0;
	expectation->serial = model->now.in_chunks ? model->now.serial : place;
	expectation->sender = model->now.sender;
	if (is_prdr && model->now.count > 1)
		say(expectation, "3");
	for (size_t i = 0; i < model->now.count && is_each && !(is_prdr && model->now.count == 1);
	     i++)
		say(expectation, fates[i]);
	if (model->profile == PROFILE_LMTP)
		return;
	/* One that must wait makes all wait where nobody can be told alone. */
	if (yes == 0 || (no != NULL && no[0] == '4' && !is_each)) {
		expectation->takes = false;
		say(expectation, no);
	} else {
		say(expectation, "2");
	}
}

void model_expect(const struct model *model, const struct letter *letter, unsigned place,
                  struct expectation *expectation)
{
	memset(expectation, 0, sizeof(*expectation));
	if (!is_in_order(model, letter->verb)) {
		say(expectation, "5");
		return;
	}
	switch (letter->verb) {
	case VERB_EHLO:
	case VERB_HELO:
	case VERB_RSET:
	case VERB_NOOP:
		judge(letter, expectation);
		break;
	case VERB_QUIT:
		say(expectation, "2");
		expectation->closes = true;
		break;
	case VERB_MAIL:
		/* Parameters are for those who said EHLO; passing over it is kind. */
		if (letter->has_wishes)
			say(expectation, model->greeted == GREETED_EHLO ? "2" : "25");
		else
			judge(letter, expectation);
		break;
	case VERB_RCPT:
		if (letter->has_wishes)
			say(expectation, !model->now.is_utf8                  ? "5"
			                 : model->now.count == RECIPIENTS_MAX ? "4"
			                                                      : "2");
		else if (model->now.count == RECIPIENTS_MAX)
			say(expectation, "4"); /* RFC 5321 section 4.5.3.1.10 */
		else
			judge(letter, expectation);
		break;
	case VERB_DATA:
		say(expectation, "3");
		if (letter->has_bare_lf) {
			say(expectation, "5");
			expectation->closes = true;
		} else {
			expect_answer(model, letter, place, expectation);
		}
		break;
	case VERB_BDAT:
		if (letter->has_bare_lf && !model->now.is_binary) {
			say(expectation, "5");
			expectation->closes = true;
		} else {
			say(expectation, "2");
		}
		break;
	case VERB_BDAT_LAST:
		expect_answer(model, letter, place, expectation);
		break;
	case VERB_VRFY:
		say(expectation, letter->is_plain ? "25" : "5");
		break;
	case VERB_AUTH:
		judge(letter, expectation);
		break;
	case VERB_STARTTLS:
		/* RFC 3207 says nothing of a client that is known already. */
		say(expectation, model->is_known ? "25" : "2");
		if (letter->verdict == PN_VERDICT_REJECT && !model->is_known) {
			say(expectation, "5");
			expectation->closes = true;
		}
		break;
	case VERBS:
		break;
	}
}

static void forget(struct model *model)
{
	memset(&model->now, 0, sizeof(model->now));
}

static void take_chunk(struct model *model, const struct letter *letter, unsigned place)
{
	if (model->now.in_chunks)
		return;
	model->now.in_chunks = true;
	model->now.serial = place;
	if (letter->stage == PN_STAGE_MESSAGE_HEADERS && !model->now.is_discarded)
		model->now.judged = letter->verdict;
}

void model_move(struct model *model, const struct letter *letter, unsigned place, bool is_yes)
{
	struct expectation expectation;
	bool is_refused =
		letter->verdict == PN_VERDICT_REJECT || letter->verdict == PN_VERDICT_DEFER;

	if (!is_in_order(model, letter->verb))
		return;
	model_expect(model, letter, place, &expectation);
	model->is_closed = expectation.closes;
	switch (letter->verb) {
	case VERB_EHLO:
	case VERB_HELO:
		/* Section 4.1.4 has a server go on as before. Who may not be called that may not
		 * go on under the name that he gave before either: policy said no to the client. */
		forget(model);
		model->greeted = is_refused                  ? GREETED_NOT
		                 : letter->verb == VERB_EHLO ? GREETED_EHLO
		                                             : GREETED_HELO;
		break;
	case VERB_RSET:
		forget(model);
		break;
	case VERB_MAIL:
		if (!is_yes)
			break;
		model->now.has_sender = true;
		model->now.sender = place;
		model->now.is_utf8 = letter->has_wishes;
		model->now.is_binary = letter->has_wishes;
		model->now.is_prdr = letter->has_wishes && model->profile != PROFILE_LMTP;
		model->now.is_discarded = letter->verdict == PN_VERDICT_DISCARD;
		break;
	case VERB_RCPT:
		if (!is_yes)
			break;
		model->now.is_disposed[model->now.count] = letter->verdict == PN_VERDICT_DISCARD;
		model->now.recipients[model->now.count++] = place;
		break;
	case VERB_DATA:
	case VERB_BDAT_LAST: /* over, whatever was said */
		forget(model);
		break;
	case VERB_BDAT:
		take_chunk(model, letter, place);
		break;
	case VERB_AUTH:
		model->is_known = is_yes;
		break;
	case VERB_STARTTLS: /* RFC 3207 section 4.2 */
		if (!is_yes)
			break;
		forget(model);
		model->is_encrypted = true;
		model->is_known = false;
		model->greeted = GREETED_NOT;
		break;
	default:
		break;
	}
}
