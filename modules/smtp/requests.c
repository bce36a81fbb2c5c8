/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VRFY, EXPN (RFC 5321 sections 3.5 and 7.3) and ETRN (RFC 1985): what clients ask for
 * beside mail. The hooks of client.request are asked first; where they say nothing, the
 * options decide. An address is told only in ASCII: who wants more sends, and sees.
 */
#include "smtp.h"

#include <postern/network.h>
#include <postern/request.h>
#include <postern/text.h>

#include <stdio.h>

enum { LINE_SIZE = 480, EXPANSIONS_MAX = 1000 };

void smtp_request_forget(struct smtp_session *smtp)
{
	pn_arena_free(&smtp->asked);
	smtp->request = SMTP_REQUEST_NONE;
}

static enum pn_next done(struct smtp_session *smtp, enum pn_next next)
{
	smtp_request_forget(smtp);
	return next;
}

static enum pn_next ask(struct pn_session *session, struct smtp_session *smtp,
                        enum smtp_request request, const char *kind)
{
	smtp->request = request;
	smtp->waiting = SMTP_WAIT_REQUEST;
	return pn_request_ask(session, kind, smtp->address.text);
}

/* ---- VRFY and EXPN ---- */

/* "<a@b.example>", "a@b.example"; RFC 6531 section 3.7.4.2: and SMTPUTF8 behind it. */
static bool parse_address(struct smtp_session *smtp, struct pn_slice argument)
{
	struct pn_slice rest = argument;
	struct pn_slice first = pn_slice_cut(&rest, ' ');
	bool is_utf8 = pn_slice_equal_ignore_case(pn_slice_trim(rest), PN_SLICE("SMTPUTF8"));

	if (is_utf8)
		argument = first;
	smtp->asked = pn_arena_new();
	if (argument.data[0] != '<')
		argument =
			pn_slice_of(pn_arena_print(smtp->asked, "<%.*s>", PN_SLICE_ARGS(argument)));
	return pn_path_parse(&argument, is_utf8, smtp->asked, &smtp->address) == PN_OK &&
	       argument.size == 0 && !pn_address_is_null(&smtp->address);
}

static bool take_address(struct smtp_session *smtp, struct pn_slice argument)
{
	bool is_good = parse_address(smtp, argument);

	if (!is_good)
		smtp->address.text = PN_SLICE_NONE;
	return is_good;
}

static enum pn_next go_on(struct pn_session *session, struct smtp_session *smtp, bool is_accepted);

static enum pn_next ask_about(struct pn_session *session, struct smtp_session *smtp,
                              struct pn_slice argument, enum smtp_request request)
{
	bool is_vrfy = request == SMTP_REQUEST_VRFY;
	bool is_answered = is_vrfy ? smtp->config->vrfy == SMTP_VRFY_ON : smtp->config->expn;

	if (argument.size == 0)
		return smtp_error(session, smtp, 501, "5.5.4",
		                  is_vrfy ? "VRFY names an address" : "EXPN names an address");
	smtp->request = request;
	if (!take_address(smtp, argument) && !is_answered)
		return go_on(session, smtp, false); /* "VRFY alice": the same as of all others */
	if (smtp->address.text.size == 0)
		return done(smtp, smtp_error(session, smtp, 553, "5.1.3", "this is no address"));
	return ask(session, smtp, request, is_vrfy ? "verify" : "expand");
}

enum pn_next smtp_vrfy(struct pn_session *session, struct smtp_session *smtp,
                       struct pn_slice argument)
{
	return ask_about(session, smtp, argument, SMTP_REQUEST_VRFY);
}

enum pn_next smtp_expn(struct pn_session *session, struct smtp_session *smtp,
                       struct pn_slice argument)
{
	return ask_about(session, smtp, argument, SMTP_REQUEST_EXPN);
}

static void print_address(char line[LINE_SIZE], struct pn_slice address)
{
	snprintf(line, LINE_SIZE, "<%.*s>", PN_SLICE_ARGS(address));
}

static bool is_ascii(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		if ((unsigned char)text.data[i] >= 0x80)
			return false;
	}
	return true;
}

static void reply_neutral(struct pn_session *session)
{
	smtp_reply(session, 252, "2.5.2", "not verified here; send and see");
}

/* All that it leads to, a line each. */
static void reply_expanded(struct pn_session *session, const struct pn_address_known *known)
{
	char line[LINE_SIZE];

	for (size_t i = 0; i < known->count; i++) {
		if (!is_ascii(known->leads_to[i]) || known->count > EXPANSIONS_MAX) {
			reply_neutral(session);
			return;
		}
	}
	for (size_t i = 0; i + 1 < known->count; i++) {
		print_address(line, known->leads_to[i]);
		smtp_reply_more(session, 250, "2.1.5", line);
	}
	print_address(line, known->leads_to[known->count - 1]);
	smtp_reply(session, 250, "2.1.5", line);
}

static enum pn_next reply_served(struct pn_session *session, const struct smtp_session *smtp,
                                 const struct pn_address_known *known)
{
	char line[LINE_SIZE];

	if (smtp->request == SMTP_REQUEST_EXPN && known->count > 0) {
		reply_expanded(session, known);
	} else if (smtp->address.is_utf8) {
		reply_neutral(session);
	} else {
		print_address(line, smtp->address.text);
		smtp_reply(session, 250, "2.1.5", line);
	}
	return PN_NEXT_LINE;
}

enum pn_next smtp_address_known(struct pn_session *session, struct smtp_session *smtp,
                                const struct pn_address_known *known)
{
	enum pn_next next = PN_NEXT_LINE;

	switch (known->knowledge) {
	case PN_ADDRESS_SERVED:
		next = reply_served(session, smtp, known);
		break;
	case PN_ADDRESS_FOREIGN:
		reply_neutral(session);
		break;
	case PN_ADDRESS_UNKNOWN:
		next = smtp_error(session, smtp, 550, "5.1.1", "no such address here");
		break;
	case PN_ADDRESS_DISABLED:
		smtp_reply(session, 450, "4.2.1", "this address takes no mail for now");
		break;
	case PN_ADDRESS_TROUBLE:
		smtp_reply(session, 451, "4.3.0", "the address could not be looked up");
		break;
	}
	return done(smtp, next);
}

/* ---- ETRN ---- */

/* RFC 1985 section 5.2.1 knows "@" for all below a domain and "#" for a queue by its name. */
enum pn_next smtp_etrn(struct pn_session *session, struct smtp_session *smtp,
                       struct pn_slice argument)
{
	if (smtp->has_sender)
		return smtp_error(session, smtp, 503, "5.5.1", "not in the middle of a message");
	if (!pn_domain_is_valid(argument, false))
		return smtp_error(session, smtp, 501, "5.5.4", "ETRN names a domain, and no more");
	smtp->asked = pn_arena_new();
	smtp->address.text = pn_arena_keep(smtp->asked, argument);
	return ask(session, smtp, SMTP_REQUEST_ETRN, "summon");
}

static bool may_summon(const struct smtp_session *smtp)
{
	const struct pn_text_list *domains = &smtp->config->etrn_domains;
	bool is_named = domains->count == 0;

	for (size_t i = 0; i < domains->count && !is_named; i++)
		is_named = pn_slice_equal_ignore_case(smtp->address.text,
		                                      pn_slice_of(domains->items[i]));
	return smtp->may_etrn && is_named;
}

enum pn_next smtp_queue_summoned(struct pn_session *session, struct smtp_session *smtp,
                                 const struct pn_queue_summoned *summoned)
{
	char line[LINE_SIZE];

	if (summoned == NULL) {
		smtp_reply(session, 458, "4.3.0", "the queue cannot be read now");
	} else if (summoned->waiting == 0) {
		smtp_reply(session, 251, "2.0.0", "no messages wait for that domain");
	} else if (!summoned->is_complete) {
		smtp_reply(session, 252, "2.0.0", "messages for that domain are tried now");
	} else {
		snprintf(line, sizeof(line), "%llu messages for that domain are tried now",
		         (unsigned long long)summoned->waiting);
		smtp_reply(session, 253, "2.0.0", line);
	}
	return done(smtp, PN_NEXT_LINE);
}

/* ---- whether it may be asked ---- */

static enum pn_next look_up(struct pn_session *session, struct smtp_session *smtp)
{
	smtp->waiting = SMTP_WAIT_ADDRESS;
	return pn_address_look_up(session, &smtp->address);
}

static enum pn_next go_on(struct pn_session *session, struct smtp_session *smtp, bool is_accepted)
{
	const struct smtp_config *config = smtp->config;

	switch (smtp->request) {
	case SMTP_REQUEST_VRFY:
		if (is_accepted || config->vrfy == SMTP_VRFY_ON)
			return look_up(session, smtp);
		if (config->vrfy == SMTP_VRFY_OFF)
			break;
		reply_neutral(session);
		return done(smtp, PN_NEXT_LINE);
	case SMTP_REQUEST_EXPN:
		if (is_accepted || config->expn)
			return look_up(session, smtp);
		break;
	case SMTP_REQUEST_ETRN:
		if (!is_accepted && !may_summon(smtp))
			return done(smtp, smtp_error(session, smtp, 459, "4.7.1",
			                             "you may not ask for that domain"));
		smtp->waiting = SMTP_WAIT_QUEUE;
		return pn_queue_summon(session, smtp->address.text);
	case SMTP_REQUEST_NONE:
		break;
	}
	return done(smtp,
	            smtp_error(session, smtp, 502, "5.5.1", "this command is not offered here"));
}

enum pn_next smtp_request_judged(struct pn_session *session, struct smtp_session *smtp,
                                 const struct pn_stage_result *result)
{
	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
		return go_on(session, smtp, false);
	case PN_VERDICT_ACCEPT:
		return go_on(session, smtp, true);
	default:
		return done(smtp, smtp_refuse(session, smtp, result));
	}
}
