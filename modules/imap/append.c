/* SPDX-License-Identifier: Apache-2.0 */
/*
 * APPEND (RFC 3501 section 6.3.11, RFC 4315, RFC 7889): the message streams to the
 * store as it comes. The command is parsed when its literal is announced, so that one
 * who asks is refused before he sends; one who does not ask (LITERAL+) is read to the
 * end and then refused.
 */
#include "imap.h"

#include <postern/text.h>
#include <postern/transaction.h>

struct append_work {
	const char *refusal; /* "NO …": what will be said at the end */
};

/* "tag APPEND mailbox [(flags)] ["date"] {" with the parser behind the last space. */
struct append_command {
	struct pn_slice mailbox;
	struct pn_slice flags; /* without parentheses */
	int64_t date_ms;
};

static bool parse_append(struct imap_parser *parser, struct append_command *command,
                         struct pn_arena *arena)
{
	struct pn_flags flags;
	struct pn_slice date;

	if (!imap_parse_space(parser) || !imap_parse_astring(parser, &command->mailbox) ||
	    !imap_parse_space(parser))
		return false;
	if (imap_peek(parser) == '(') {
		size_t start = parser->at + 1;

		if (!imap_parse_flags(parser, arena, true, &flags))
			return false;
		command->flags = pn_slice_make(parser->text.data + start, parser->at - 1 - start);
		if (!imap_parse_space(parser))
			return false;
	}
	if (imap_peek(parser) == '"') {
		if (!imap_parse_string(parser, &date))
			return false;
		if (!imap_parse_date_time(date, &command->date_ms)) {
			parser->expected = "a date like \"17-Jul-1996 02:44:25 -0700\"";
			return false;
		}
		if (!imap_parse_space(parser))
			return false;
	}
	return imap_peek(parser) == '{' || (parser->expected = "a literal", false);
}

/* Whether what was gathered is "tag APPEND …" with a literal behind the mailbox: then the parser
 * stands before it. `parser` keeps the complaint otherwise. */
static bool is_append(struct imap_parser *parser)
{
	struct pn_slice tag;

	if (!imap_parse_tag(parser, &tag) || tag.size > IMAP_TAG_MAX ||
	    !imap_skip_char(parser, ' ') || !imap_skip_word(parser, "APPEND"))
		return false;
	return true;
}

/* The name of the mailbox itself may be the literal that was announced. */
static bool mailbox_is_to_come(const struct imap_parser *parser)
{
	return imap_peek(parser) == ' ' && parser->at + 1 < parser->text.size &&
	       parser->text.data[parser->at + 1] == '{' &&
	       memchr(parser->text.data + parser->at, '\n', parser->text.size - parser->at - 1) ==
	               NULL;
}

static enum pn_next refuse(struct pn_session *session, struct imap_session *imap, bool is_plus,
                           uint64_t size, const char *refusal)
{
	struct append_work *work = imap->work;

	work->refusal = refusal;
	if (!is_plus) {
		pn_transaction_end(session);
		return imap_finish(session, imap, "%s", refusal);
	}
	imap->reading = IMAP_READING_MESSAGE;
	return size == 0 ? PN_NEXT_LINE : pn_next_bytes(session, size);
}

bool imap_append_begins(struct pn_session *session, struct imap_session *imap, uint64_t size,
                        bool is_plus, enum pn_next *next_out)
{
	struct imap_parser parser = {.text = pn_buffer_slice(&imap->input), .arena = imap->arena};
	struct append_command command = {0};
	struct append_work *work;
	struct pn_deposit_request request = {.struct_size = sizeof(request)};
	const char *reason;
	bool is_good;

	if (imap->state == IMAP_NOT_AUTHENTICATED || !is_append(&parser) ||
	    mailbox_is_to_come(&parser))
		return false;
	is_good = parse_append(&parser, &command, imap->arena);
	/* One who does not ask has sent it: it is read as any other command that is wrong. */
	if (!is_good && is_plus)
		return false;
	imap->tag =
		pn_slice_make(imap->input.data, pn_slice_find(pn_buffer_slice(&imap->input), ' '));
	if (!is_good) {
		*next_out = imap_syntax(session, imap, &parser);
		return true;
	}
	work = PN_ARENA_NEW(imap->arena, struct append_work);
	imap->work = work;
	/* The whole of a mailbox is not the place for a gigabyte that nobody keeps. */
	if (size > imap->config->max_message_size) {
		if (is_plus && size > imap->config->max_message_size + IMAP_SKIP_MAX) {
			*next_out = imap_bye(session, "the message is too large");
			return true;
		}
		*next_out = refuse(session, imap, is_plus, size,
		                   "NO [TOOBIG] the message is too large");
		return true;
	}
	if (is_plus && size > 4096 && imap->config->literals == IMAP_LITERALS_MINUS) {
		*next_out = size > IMAP_SKIP_MAX
		                    ? imap_bye(session, "the literal is too large")
		                    : refuse(session, imap, is_plus, size,
		                             "BAD [TOOBIG] non-synchronizing literals end at "
		                             "4096 bytes");
		return true;
	}
	if (size == 0) {
		*next_out = refuse(session, imap, is_plus, size, "NO an empty message is none");
		return true;
	}
	if (!imap_mailbox_name(imap->arena, command.mailbox, &request.mailbox, &reason)) {
		*next_out = refuse(session, imap, is_plus, size,
		                   "NO [CANNOT] this is no name of a mailbox");
		return true;
	}
	request.flags = command.flags;
	request.internal_date_ms = command.date_ms;
	request.max_size = imap->config->max_message_size;
	pn_deposit_begin(session, &request);
	imap->reading = IMAP_READING_MESSAGE;
	if (!is_plus)
		pn_session_write(session, PN_SLICE("+ go on\r\n"));
	*next_out = pn_next_bytes(session, size);
	return true;
}

/* ---- the message ---- */

static enum pn_next room_again(struct pn_session *session, struct imap_session *imap,
                               const struct pn_answer *answer)
{
	(void)session;
	(void)imap;
	(void)answer;
	return PN_NEXT_BYTES;
}

static enum pn_next room_before_end(struct pn_session *session, struct imap_session *imap,
                                    const struct pn_answer *answer)
{
	(void)session;
	(void)imap;
	(void)answer;
	return PN_NEXT_LINE;
}

enum pn_next imap_append_data(struct pn_session *session, struct imap_session *imap,
                              const struct pn_data *data)
{
	const struct append_work *work = imap->work;
	enum pn_next next = data->is_last ? PN_NEXT_LINE : PN_NEXT_BYTES;

	if (work->refusal != NULL)
		return next;
	imap->on_answer = data->is_last ? room_before_end : room_again;
	return pn_transaction_append(session, data->bytes, next);
}

static enum pn_next refused(struct pn_session *session, struct imap_session *imap,
                            const struct pn_deposit_result *result,
                            const struct pn_stage_result *verdict)
{
	bool is_quota = result->is_quota;
	enum pn_status status = result->status;
	bool is_deferred = verdict != NULL && verdict->verdict == PN_VERDICT_DEFER;
	const char *text = verdict == NULL ? "refused"
	                                   : pn_arena_print(imap->arena, "%s", verdict->reply.text);

	/* With the verdict, which is the transaction's. */
	pn_transaction_end(session);
	switch (status) {
	case PN_NOT_FOUND:
		return imap_finish(session, imap, "NO [TRYCREATE] there is no such mailbox");
	case PN_LIMIT:
		return imap_finish(session, imap,
		                   is_quota ? "NO [OVERQUOTA] the account is full"
		                            : "NO [TOOBIG] the message is too large");
	case PN_CONFLICT:
		return imap_finish(session, imap, "NO [%s] %s",
		                   is_deferred ? "UNAVAILABLE" : "CANNOT", text);
	default:
		return imap_finish(session, imap,
		                   "NO [UNAVAILABLE] the message could not be stored");
	}
}

static enum pn_next stored(struct pn_session *session, struct imap_session *imap,
                           const struct pn_answer *answer)
{
	const struct pn_deposit_result *result = pn_deposit_result(session);
	uint32_t uid_validity;
	uint32_t uid;

	if (result == NULL || result->status != PN_OK)
		return result == NULL
		               ? imap_finish(session, imap, "NO [UNAVAILABLE] the store failed")
		               : refused(session, imap, result, answer->result);
	uid_validity = result->uid_validity;
	uid = result->uid;
	imap->is_stale = true;
	pn_transaction_end(session);
	return imap_finish(session, imap, "OK [APPENDUID %u %u] stored", uid_validity, uid);
}

/* What stands behind the message is nothing (RFC 3502 would have another one there). */
enum pn_next imap_append_line(struct pn_session *session, struct imap_session *imap,
                              const struct pn_line *line)
{
	const struct append_work *work = imap->work;

	/* Another message comes, and nobody waits for it to be refused: it is no list of commands.
	 */
	if (line->problem == PN_LINE_TOO_LONG || imap_ends_in_plus_literal(line->text))
		return imap_bye(session, "expected one message");
	if (work->refusal != NULL) {
		pn_transaction_end(session);
		return imap_finish(session, imap, "%s", work->refusal);
	}
	if (line->problem != PN_LINE_GOOD || line->text.size != 0) {
		pn_transaction_end(session);
		return imap_bad(session, imap,
		                "expected the end of the command behind the message");
	}
	imap->on_answer = stored;
	return pn_deposit_submit(session);
}

/* One whose literal never came: what is wrong was in front of it. */
enum pn_next imap_append(struct pn_session *session, struct imap_session *imap,
                         struct imap_parser *parser)
{
	struct append_command command = {0};

	if (parse_append(parser, &command, imap->arena))
		parser->expected = "one message";
	return imap_syntax(session, imap, parser);
}
