/* SPDX-License-Identifier: Apache-2.0 */
/* What a program says of one message: yes, no, or that its bytes have to be looked at. */
#include "search.h"

#include <postern/text.h>

static enum imap_judgement of(bool value)
{
	return value ? IMAP_YES : IMAP_NO;
}

static int64_t day_of(int64_t milliseconds)
{
	const int64_t day = 86400000;

	return milliseconds >= 0 ? milliseconds / day : (milliseconds - day + 1) / day;
}

static enum imap_judgement judge_day(enum imap_key_kind kind, int64_t day, int64_t asked)
{
	switch (kind) {
	case IMAP_KEY_BEFORE:
	case IMAP_KEY_SENT_BEFORE:
		return of(day < asked);
	case IMAP_KEY_ON:
	case IMAP_KEY_SENT_ON:
		return of(day == asked);
	default:
		return of(day >= asked);
	}
}

static enum imap_judgement judge_sent(const struct imap_key *key, const struct imap_judged *judged)
{
	int64_t day;

	if (judged->envelope == NULL)
		return IMAP_OPEN;
	/* Without a date that can be read, the day it came is the best guess. */
	if (!imap_parse_header_date(judged->envelope->date, &day))
		day = day_of(judged->row->internal_date_ms);
	return judge_day(key->kind, day, key->day);
}

static bool has_keyword(const struct pn_flags *flags, struct pn_slice word)
{
	for (size_t i = 0; i < flags->keyword_count; i++) {
		if (pn_slice_equal_ignore_case(flags->keywords[i], word))
			return true;
	}
	return false;
}

/* ------------------------------------------------- fields that the summary knows */

static bool contains(struct pn_slice text, struct pn_slice folded)
{
	struct pn_buffer decoded;
	struct pn_buffer plain;
	bool found;

	pn_buffer_init(&decoded, 1024 * 1024);
	pn_buffer_init(&plain, 4 * 1024 * 1024);
	(void)!pn_mime_decode_field(&decoded, text);
	(void)!pn_text_fold(&plain, pn_buffer_slice(&decoded));
	found = plain.size >= folded.size &&
	        (folded.size == 0 ||
	         memmem(plain.data, plain.size, folded.data, folded.size) != NULL);
	pn_buffer_clear(&decoded);
	pn_buffer_clear(&plain);
	return found;
}

static bool addresses_contain(const struct pn_mime_addresses *addresses, struct pn_slice folded)
{
	struct pn_buffer text;
	bool found;

	pn_buffer_init(&text, 512 * 1024);
	for (size_t i = 0; i < addresses->count; i++) {
		const struct pn_mime_address *address = &addresses->list[i];

		if (i > 0)
			imap_put(&text, ", ");
		if (address->name.size > 0) {
			imap_put_slice(&text, address->name);
			imap_put(&text, " ");
		}
		imap_put(&text, "<");
		imap_put_slice(&text, address->mailbox);
		if (address->host.size > 0)
			imap_put(&text, "@");
		imap_put_slice(&text, address->host);
		imap_put(&text, ">");
	}
	found = contains(pn_buffer_slice(&text), folded);
	pn_buffer_clear(&text);
	return found;
}

static enum imap_judgement judge_addresses(const struct pn_mime_addresses *addresses,
                                           struct pn_slice folded)
{
	/* A field without an address in it is still a field: only the bytes know. */
	if (addresses->count == 0)
		return folded.size == 0 ? IMAP_OPEN : IMAP_NO;
	return folded.size == 0 || addresses_contain(addresses, folded) ? IMAP_YES : IMAP_NO;
}

static enum imap_judgement judge_field(struct pn_slice value, struct pn_slice folded)
{
	if (value.data == NULL)
		return IMAP_NO;
	return of(contains(value, folded));
}

static enum imap_judgement judge_envelope(const struct pn_mime_envelope *envelope,
                                          enum imap_summary_field field, struct pn_slice folded)
{
	switch (field) {
	case IMAP_FIELD_FROM:
		return judge_addresses(&envelope->from, folded);
	case IMAP_FIELD_TO:
		return judge_addresses(&envelope->to, folded);
	case IMAP_FIELD_CC:
		return judge_addresses(&envelope->cc, folded);
	case IMAP_FIELD_BCC:
		return judge_addresses(&envelope->bcc, folded);
	case IMAP_FIELD_SUBJECT:
		return judge_field(envelope->subject, folded);
	case IMAP_FIELD_MESSAGE_ID:
		return judge_field(envelope->message_id, folded);
	case IMAP_FIELD_IN_REPLY_TO:
		return judge_field(envelope->in_reply_to, folded);
	case IMAP_FIELD_REFERENCES:
		return judge_field(envelope->references, folded);
	case IMAP_FIELD_OTHER:
		break;
	}
	return IMAP_OPEN;
}

/* RFC 3501 section 6.4.4: FROM, TO, CC, BCC and SUBJECT ask for what ENVELOPE says, HEADER for the
 * text of every field of that name. */
static enum imap_judgement judge_text(const struct imap_program *program,
                                      const struct imap_key *key, const struct imap_judged *judged)
{
	enum imap_judgement judgement = IMAP_OPEN;

	if (judged->envelope != NULL)
		judgement =
			judge_envelope(judged->envelope, key->field, program->folded[key->index]);
	/* Comments, quotes, what is past a limit and a second Subject are not in the summary.
	 * Message-IDs have none of these, and clients look for them often. */
	if (judgement == IMAP_NO && key->is_header && key->field <= IMAP_FIELD_SUBJECT)
		judgement = IMAP_OPEN;
	if (judgement != IMAP_OPEN || judged->found == NULL)
		return judgement;
	return of(judged->found[key->index]);
}

/* ---------------------------------------------------------------------- the tree */

static enum imap_judgement judge(const struct imap_program *program, const struct imap_key *key,
                                 const struct imap_judged *judged);

/* Open only where no other key decides. */
static enum imap_judgement judge_all(const struct imap_program *program, const struct imap_key *key,
                                     const struct imap_judged *judged, enum imap_judgement decisive)
{
	enum imap_judgement result = decisive == IMAP_NO ? IMAP_YES : IMAP_NO;

	for (; key != NULL; key = key->next) {
		enum imap_judgement one = judge(program, key, judged);

		if (one == decisive)
			return decisive;
		if (one == IMAP_OPEN)
			result = IMAP_OPEN;
	}
	return result;
}

static enum imap_judgement judge(const struct imap_program *program, const struct imap_key *key,
                                 const struct imap_judged *judged)
{
	const struct pn_row *row = judged->row;
	enum imap_judgement inner;

	switch (key->kind) {
	case IMAP_KEY_ALL:
		return IMAP_YES;
	case IMAP_KEY_FLAG:
		return of((row->flags.system & key->number) != 0);
	case IMAP_KEY_KEYWORD:
		return of(has_keyword(&row->flags, key->word));
	case IMAP_KEY_RECENT:
		return of(row->uid >= judged->recent_uid);
	case IMAP_KEY_SET:
		return of(imap_uids_has(&key->uids, row->uid));
	case IMAP_KEY_SAVED:
		return of(imap_uids_has(program->saved, row->uid));
	case IMAP_KEY_BEFORE:
	case IMAP_KEY_ON:
	case IMAP_KEY_SINCE:
		return judge_day(key->kind, day_of(row->internal_date_ms), key->day);
	case IMAP_KEY_SENT_BEFORE:
	case IMAP_KEY_SENT_ON:
	case IMAP_KEY_SENT_SINCE:
		return judge_sent(key, judged);
	/* RFC 5032 section 3: exactly so old is both. */
	case IMAP_KEY_OLDER:
		return of(row->internal_date_ms <= program->now_ms - (int64_t)key->number);
	case IMAP_KEY_YOUNGER:
		return of(row->internal_date_ms >= program->now_ms - (int64_t)key->number);
	case IMAP_KEY_LARGER:
		return of(row->size > key->number);
	case IMAP_KEY_SMALLER:
		return of(row->size < key->number);
	case IMAP_KEY_MODSEQ:
		return of(row->modseq >= key->number);
	case IMAP_KEY_TEXT:
		return judge_text(program, key, judged);
	case IMAP_KEY_AND:
		return judge_all(program, key->first, judged, IMAP_NO);
	case IMAP_KEY_OR:
		return judge_all(program, key->first, judged, IMAP_YES);
	case IMAP_KEY_NOT:
		inner = judge(program, key->first, judged);
		return inner == IMAP_OPEN ? IMAP_OPEN : of(inner == IMAP_NO);
	}
	return IMAP_NO;
}

enum imap_judgement imap_program_judge(const struct imap_program *program,
                                       const struct imap_judged *judged)
{
	return judge(program, program->root, judged);
}
