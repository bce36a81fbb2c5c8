/* SPDX-License-Identifier: Apache-2.0 */
/*
 * desk: a protocol for tests, in which an owner puts messages into mailboxes, looks
 * at what is there, and waits for changes.
 *
 *	LOGIN name password          ok | no
 *	PUT size max date flags box  then the bytes: ok box uid | no status code text
 *	ABANDON size                 the same with half of the bytes, and then nothing
 *	ROWS box                     "uid flags date size header summary", and "."
 *	READ box max                 "status size digest" of all bodies, and "questions n"; for
 *	                             a status of ok, the summary is that of the bytes, else
 *	                             it is "unsummarized" or "missummarized"
 *	WATCH                        ok; from now on "changed" whenever something changed
 */
#include <postern/arena.h>
#include <postern/mime.h>
#include <postern/module.h>
#include <postern/protocol.h>
#include <postern/sasl.h>
#include <postern/store.h>
#include <postern/text.h>
#include <postern/transaction.h>

#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 20000, WORD_MAX = 300, ROWS_MAX = 1000 };

enum desk_wait { DESK_LOGIN = 1, DESK_PUT, DESK_MAILBOX, DESK_ROWS, DESK_BODIES };

struct desk_session {
	enum desk_wait waiting;
	uint64_t bytes_left;
	bool in_bytes;
	bool gives_up;
	bool wants_bodies;
	size_t max_size;
	size_t next_body;
	size_t questions;
	struct pn_body_id *bodies;
	struct pn_slice *summaries;
	size_t body_count;
	bool watches;
};

static enum pn_next say(struct pn_session *session, const char *text)
{
	pn_session_print(session, "%s\r\n", text);
	return PN_NEXT_LINE;
}

/* ---- putting ---- */

static enum pn_next put(struct pn_session *session, struct desk_session *desk, struct pn_slice rest)
{
	struct pn_slice size = pn_slice_cut(&rest, ' '), max_size = pn_slice_cut(&rest, ' ');
	struct pn_slice date = pn_slice_cut(&rest, ' '), flags = pn_slice_cut(&rest, ' ');
	struct pn_deposit_request request = {.struct_size = sizeof(request), .mailbox = rest};
	uint64_t milliseconds;
	char words[WORD_MAX];

	if (pn_parse_count(size, &desk->bytes_left) != PN_OK ||
	    pn_parse_count(max_size, &request.max_size) != PN_OK ||
	    pn_parse_count(date, &milliseconds) != PN_OK || flags.size >= sizeof(words))
		return say(session, "bad numbers");
	request.internal_date_ms = (int64_t)milliseconds;
	for (size_t i = 0; i < flags.size; i++)
		words[i] = flags.data[i] == ',' ? ' ' : flags.data[i];
	if (!pn_slice_equal(flags, PN_SLICE("-")))
		request.flags = pn_slice_make(words, flags.size);
	pn_deposit_begin(session, &request);
	memset(words, 'x', sizeof(words)); /* everything was copied */
	if (desk->bytes_left == 0) {
		desk->waiting = DESK_PUT;
		return pn_deposit_submit(session);
	}
	desk->in_bytes = true;
	return pn_next_bytes(session, desk->bytes_left);
}

static enum pn_next abandon(struct pn_session *session, struct desk_session *desk,
                            struct pn_slice size)
{
	const struct pn_deposit_request request = {
		.struct_size = sizeof(request), .mailbox = PN_SLICE("INBOX"), .max_size = 1u << 30};

	if (pn_parse_count(size, &desk->bytes_left) != PN_OK || desk->bytes_left == 0)
		return say(session, "bad numbers");
	pn_deposit_begin(session, &request);
	desk->gives_up = true;
	desk->in_bytes = true;
	return pn_next_bytes(session, desk->bytes_left);
}

static enum pn_next give_up(struct pn_session *session, struct desk_session *desk)
{
	desk->gives_up = false;
	pn_transaction_end(session);
	return say(session, "gave up");
}

static enum pn_next desk_data(struct pn_session *session, void *state, const struct pn_data *data)
{
	struct desk_session *desk = state;
	enum pn_next next = PN_NEXT_BYTES;

	desk->bytes_left -= data->bytes.size;
	if (data->is_last) {
		desk->in_bytes = false;
		next = PN_NEXT_AGAIN;
	}
	return pn_transaction_append(session, data->bytes, next);
}

static enum pn_next desk_drained(struct pn_session *session, void *state)
{
	struct desk_session *desk = state;

	if (desk->gives_up)
		return give_up(session, desk);
	desk->waiting = DESK_PUT;
	return pn_deposit_submit(session);
}

static enum pn_next tell_deposit(struct pn_session *session, const struct pn_stage_result *verdict)
{
	const struct pn_deposit_result *result = pn_deposit_result(session);

	if (result->status == PN_OK)
		pn_session_print(session, "ok %.*s %u\r\n", PN_SLICE_ARGS(result->name),
		                 result->uid);
	else
		pn_session_print(session, "no %s%s %u %s\r\n", pn_status_name(result->status),
		                 result->is_quota ? " (quota)" : "", verdict->reply.code,
		                 verdict->reply.text);
	pn_transaction_end(session);
	return PN_NEXT_LINE;
}

/* ---- looking ---- */

static enum pn_next look(struct pn_session *session, struct desk_session *desk,
                         struct pn_slice mailbox)
{
	const struct pn_mailboxes_request request = {.struct_size = sizeof(request),
	                                             .name = mailbox};

	if (pn_session_account(session) == NULL)
		return say(session, "log in first");
	desk->waiting = DESK_MAILBOX;
	pn_store_mailboxes(pn_session_account(session), &request,
	                   pn_session_ticket(session, WAIT_MS));
	return PN_NEXT_ANSWER;
}

static enum pn_next ask_rows(struct pn_session *session, struct desk_session *desk,
                             const struct pn_mailboxes *mailboxes)
{
	const struct pn_uid_range all = {1, UINT32_MAX};
	struct pn_rows_request request = {.struct_size = sizeof(request),
	                                  .uids = {&all, 1},
	                                  .fields = PN_ROW_FLAGS | PN_ROW_DATES | PN_ROW_SIZES |
	                                            PN_ROW_BODY_ID | PN_ROW_SUMMARY,
	                                  .max_rows = ROWS_MAX};

	if (mailboxes == NULL || mailboxes->count != 1)
		return say(session, "no such mailbox");
	request.mailbox = mailboxes->mailboxes[0].id;
	desk->waiting = DESK_ROWS;
	pn_store_rows(pn_session_account(session), &request, pn_session_ticket(session, WAIT_MS));
	return PN_NEXT_ANSWER;
}

static void tell_row(struct pn_session *session, const struct pn_row *row)
{
	pn_session_print(session, "%u %u", row->uid, row->flags.system);
	for (size_t i = 0; i < row->flags.keyword_count; i++)
		pn_session_print(session, ",%.*s", PN_SLICE_ARGS(row->flags.keywords[i]));
	pn_session_print(session, " %lld %llu %u %zu\r\n", (long long)row->internal_date_ms,
	                 (unsigned long long)row->size, row->header_size, row->summary.size);
}

static enum pn_next ask_bodies(struct pn_session *session, struct desk_session *desk)
{
	const struct pn_bodies_request request = {
		.struct_size = sizeof(request),
		.bodies = desk->bodies + desk->next_body,
		.count = desk->body_count - desk->next_body,
		.max_size = desk->max_size,
	};

	if (request.count == 0) {
		pn_session_print(session, "questions %zu\r\n", desk->questions);
		desk->questions = 0;
		return PN_NEXT_LINE;
	}
	desk->questions++;
	desk->waiting = DESK_BODIES;
	pn_store_bodies(pn_session_account(session), &request, pn_session_ticket(session, WAIT_MS));
	return PN_NEXT_ANSWER;
}

static enum pn_next tell_rows(struct pn_session *session, struct desk_session *desk,
                              const struct pn_rows *rows)
{
	const char *row = rows == NULL ? NULL : (const char *)rows->rows;

	if (rows == NULL)
		return say(session, "no rows");
	desk->body_count = rows->count;
	desk->bodies = PN_ARENA_ARRAY(pn_session_arena(session), rows->count, struct pn_body_id);
	desk->summaries = PN_ARENA_ARRAY(pn_session_arena(session), rows->count, struct pn_slice);
	for (size_t i = 0; i < rows->count; i++, row += rows->row_size) {
		desk->summaries[i] =
			pn_arena_keep(pn_session_arena(session),
		                      ((const struct pn_row *)(const void *)row)->summary);
		desk->bodies[i] = ((const struct pn_row *)(const void *)row)->body;
		if (!desk->wants_bodies)
			tell_row(session, (const struct pn_row *)(const void *)row);
	}
	desk->next_body = 0;
	return desk->wants_bodies ? ask_bodies(session, desk) : say(session, ".");
}

/* How the summary that the store has fits the bytes. */
static const char *judge_summary(struct pn_slice summary, struct pn_slice bytes)
{
	struct pn_mime_parser *parser = pn_mime_new();
	const char *word = "missummarized";
	struct pn_buffer made;

	pn_buffer_init(&made, PN_MIME_MAX_SUMMARY);
	pn_mime_feed(parser, bytes);
	if (summary.size == 0)
		word = "unsummarized";
	else if (pn_mime_finish(parser, &made) == PN_OK &&
	         pn_slice_equal(summary, pn_buffer_slice(&made)))
		word = "ok";
	pn_buffer_clear(&made);
	pn_mime_free(&parser);
	return word;
}

static enum pn_next tell_bodies(struct pn_session *session, struct desk_session *desk,
                                const struct pn_bodies *bodies)
{
	if (bodies == NULL || bodies->count == 0)
		return say(session, "no bodies");
	for (size_t i = 0; i < bodies->count; i++) {
		const struct pn_body_entry *entry =
			(const struct pn_body_entry *)(const void *)((const char *)bodies->entries +
		                                                     i * bodies->entry_size);
		uint32_t digest = 0;

		for (size_t at = 0; at < entry->bytes.size; at++)
			digest = digest * 31 + (unsigned char)entry->bytes.data[at];
		pn_session_print(
			session, "%s %zu %u\r\n",
			entry->status == PN_OK
				? judge_summary(desk->summaries[desk->next_body + i], entry->bytes)
				: pn_status_name(entry->status),
			entry->bytes.size, digest);
	}
	desk->next_body += bodies->count;
	return ask_bodies(session, desk);
}

/* ---- entries ---- */

static enum pn_next desk_open(struct pn_session *session, void *state,
                              const struct pn_answer *answer)
{
	(void)state;
	(void)answer;
	pn_session_set_line_limit(session, WORD_MAX);
	pn_session_set_deadline(session, 30u * 60 * 1000);
	return say(session, "desk");
}

static enum pn_next desk_line(struct pn_session *session, void *state, const struct pn_line *line)
{
	struct desk_session *desk = state;
	struct pn_slice rest = line->text;
	struct pn_slice verb = pn_slice_cut(&rest, ' ');
	struct pn_slice word;
	uint64_t size;

	if (line->problem != PN_LINE_GOOD)
		return say(session, "bad line");
	if (pn_slice_equal(verb, PN_SLICE("LOGIN"))) {
		word = pn_slice_cut(&rest, ' ');
		desk->waiting = DESK_LOGIN;
		return pn_password_login(session, word, rest);
	}
	if (pn_slice_equal(verb, PN_SLICE("PUT")))
		return put(session, desk, rest);
	if (pn_slice_equal(verb, PN_SLICE("ABANDON")))
		return abandon(session, desk, rest);
	if (pn_slice_equal(verb, PN_SLICE("ROWS")) || pn_slice_equal(verb, PN_SLICE("READ"))) {
		desk->wants_bodies = pn_slice_equal(verb, PN_SLICE("READ"));
		word = desk->wants_bodies ? pn_slice_cut(&rest, ' ') : rest;
		if (desk->wants_bodies && pn_parse_count(rest, &size) == PN_OK)
			desk->max_size = (size_t)size;
		return look(session, desk, word);
	}
	if (pn_slice_equal(verb, PN_SLICE("WATCH")) && pn_session_account(session) != NULL) {
		pn_store_watch(session, pn_session_account(session));
		return say(session, "ok");
	}
	return say(session, "bad command");
}

static enum pn_next desk_answered(struct pn_session *session, void *state,
                                  const struct pn_answer *answer)
{
	struct desk_session *desk = state;
	const struct pn_sasl_step *step = answer->result;

	if (answer->kind == PN_ANSWER_BODY) {
		if (desk->in_bytes)
			return pn_next_bytes(session, desk->bytes_left);
		return desk_drained(session, state);
	}
	switch (desk->waiting) {
	case DESK_LOGIN:
		return say(session, step->outcome == PN_SASL_PROVEN ? "ok" : "no");
	case DESK_PUT:
		return tell_deposit(session, answer->result);
	case DESK_MAILBOX:
		return ask_rows(session, desk, answer->status == PN_OK ? answer->result : NULL);
	case DESK_ROWS:
		return tell_rows(session, desk, answer->status == PN_OK ? answer->result : NULL);
	case DESK_BODIES:
		return tell_bodies(session, desk, answer->status == PN_OK ? answer->result : NULL);
	}
	return PN_NEXT_CLOSE;
}

static enum pn_next desk_event(struct pn_session *session, void *state,
                               const struct pn_session_event_info *event)
{
	(void)state;
	if (event->kind != PN_EVENT_MAILBOX_CHANGED)
		return PN_NEXT_CLOSE;
	return say(session, "changed");
}

static void desk_close(struct pn_session *session, void *state, enum pn_close_reason reason)
{
	(void)state;
	(void)reason;
	pn_transaction_end(session);
}

static const struct pn_protocol desk_protocol = {
	.struct_size = sizeof(desk_protocol),
	.name = "desk",
	.state_size = sizeof(struct desk_session),
	.open = desk_open,
	.line = desk_line,
	.data = desk_data,
	.answered = desk_answered,
	.drained = desk_drained,
	.event = desk_event,
	.close = desk_close,
};

PN_MODULE(desk, .version = "1.0",
          .summary = "A protocol in which owners put messages into their mailboxes.",
          .protocol = &desk_protocol, );
