/* SPDX-License-Identifier: Apache-2.0 */
/* Replies: the one place where they are written, and the end of every command. */
#include "imap.h"

#include <stdarg.h>
#include <stdio.h>

enum { REPLY_MAX = 2048 };

void imap_put(struct pn_buffer *out, const char *text)
{
	(void)!pn_buffer_append(out, pn_slice_of(text));
}

void imap_put_slice(struct pn_buffer *out, struct pn_slice text)
{
	(void)!pn_buffer_append(out, text);
}

void imap_put_number(struct pn_buffer *out, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	(void)!pn_buffer_append(out, pn_slice_make(digits + at, sizeof(digits) - at));
}

void imap_send(struct pn_session *session, struct pn_buffer *out)
{
	if (out->size > 0)
		pn_session_write(session, pn_buffer_slice(out));
	pn_buffer_clear(out);
}

/* Whether it may be quoted, and how many bytes of it need a backslash. */
static bool can_be_quoted(struct pn_slice text, size_t *escapes_out)
{
	*escapes_out = 0;
	if (text.size > 4000)
		return false;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] == '\r' || text.data[i] == '\n' || text.data[i] == '\0' ||
		    (text.data[i] & 0x80) != 0)
			return false;
		*escapes_out += text.data[i] == '"' || text.data[i] == '\\';
	}
	return true;
}

void imap_write_string(struct pn_buffer *out, struct pn_slice text)
{
	size_t escapes;

	if (text.data == NULL) {
		imap_put(out, "NIL");
	} else if (!can_be_quoted(text, &escapes)) {
		(void)!pn_buffer_print(out, "{%zu}\r\n", text.size);
		imap_put_slice(out, text);
	} else {
		imap_put(out, "\"");
		for (size_t i = 0; i < text.size && escapes > 0; i++) {
			if (text.data[i] == '"' || text.data[i] == '\\')
				imap_put(out, "\\");
			imap_put_slice(out, pn_slice_make(text.data + i, 1));
		}
		if (escapes == 0)
			imap_put_slice(out, text);
		imap_put(out, "\"");
	}
}

void imap_write_mailbox(struct pn_buffer *out, struct pn_slice name)
{
	struct pn_buffer text;

	pn_buffer_init(&text, 8 * PN_MAILBOX_NAME_MAX);
	imap_name_to_utf7(&text, name);
	imap_write_string(out, text.data == NULL ? PN_SLICE("") : pn_buffer_slice(&text));
	pn_buffer_clear(&text);
}

/* Whether a client would wait for a literal behind the text: the words may be a hook's. */
static bool looks_like_literal(struct pn_slice text)
{
	return text.size > 0 && text.data[text.size - 1] == '}';
}

void imap_untagged(struct pn_session *session, const char *format, ...)
{
	char text[REPLY_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	pn_session_print(session, looks_like_literal(pn_slice_of(text)) ? "* %s \r\n" : "* %s\r\n",
	                 text);
}

static void write_tagged(struct pn_session *session, const struct imap_session *imap,
                         struct pn_slice text)
{
	pn_session_write(session, imap->tag.size > 0 ? imap->tag : PN_SLICE("*"));
	pn_session_write(session, PN_SLICE(" "));
	pn_session_write(session, text);
	if (looks_like_literal(text))
		pn_session_write(session, PN_SLICE(" "));
	pn_session_write(session, PN_SLICE("\r\n"));
}

static struct pn_slice format_reply(struct imap_session *imap, const char *format,
                                    va_list arguments)
{
	char text[REPLY_MAX];
	int size = vsnprintf(text, sizeof(text), format, arguments);

	if (size < 0)
		size = 0;
	if ((size_t)size >= sizeof(text))
		size = sizeof(text) - 1;
	if (imap->arena == NULL)
		imap->arena = pn_arena_new();
	return pn_arena_keep(imap->arena, pn_slice_make(text, (size_t)size));
}

void imap_forget_command(struct imap_session *imap)
{
	imap_sync_abandon(imap);
	if (imap->forget != NULL)
		imap->forget(imap);
	imap->forget = NULL;
	imap->work = NULL;
	pn_buffer_clear(&imap->input);
	pn_arena_free(&imap->arena);
}

enum pn_next imap_end_command(struct pn_session *session, struct imap_session *imap)
{
	const struct imap_config *config = imap->config;

	imap->reading = IMAP_READING_COMMAND;
	imap->is_skipping = false;
	imap->is_uid = false;
	imap->hold_expunges = false;
	imap->on_answer = NULL;
	imap->on_drained = NULL;
	imap->tag = PN_SLICE_NONE;
	imap->reply = PN_SLICE_NONE;
	imap_forget_command(imap);
	pn_session_set_deadline(session, imap->state == IMAP_NOT_AUTHENTICATED
	                                         ? config->login_timeout
	                                         : config->command_timeout);
	return PN_NEXT_LINE;
}

static enum pn_next say_reply(struct pn_session *session, struct imap_session *imap)
{
	write_tagged(session, imap, imap->reply);
	return imap_end_command(session, imap);
}

enum pn_next imap_finish(struct pn_session *session, struct imap_session *imap, const char *format,
                         ...)
{
	va_list arguments;

	va_start(arguments, format);
	imap->reply = format_reply(imap, format, arguments);
	va_end(arguments);
	return imap_tell_news(session, imap, false, say_reply);
}

enum pn_next imap_reply(struct pn_session *session, struct imap_session *imap, const char *format,
                        ...)
{
	va_list arguments;

	va_start(arguments, format);
	imap->reply = format_reply(imap, format, arguments);
	va_end(arguments);
	return say_reply(session, imap);
}

enum pn_next imap_bye(struct pn_session *session, const char *text)
{
	imap_untagged(session, "BYE %s", text);
	return PN_NEXT_CLOSE;
}

enum pn_next imap_bad(struct pn_session *session, struct imap_session *imap, const char *text)
{
	enum pn_next next = imap_reply(session, imap, "BAD %s", text);

	if (++imap->errors > imap->config->max_errors)
		return imap_bye(session, "too many errors");
	return next;
}

enum pn_next imap_syntax(struct pn_session *session, struct imap_session *imap,
                         const struct imap_parser *parser)
{
	char text[200];

	snprintf(text, sizeof(text), "expected %s at byte %zu of the command",
	         parser->expected != NULL ? parser->expected : "something else", parser->at + 1);
	return imap_bad(session, imap, text);
}

enum pn_next imap_store_refused(struct pn_session *session, struct imap_session *imap,
                                const struct pn_answer *answer, const char *what)
{
	/* What failed may be there all the same. */
	imap->is_stale = true;
	switch (answer->status) {
	case PN_NOT_FOUND:
		return imap_finish(session, imap, "NO [NONEXISTENT] %s does not exist", what);
	case PN_LIMIT:
		return imap_finish(session, imap, "NO [LIMIT] %s: a limit was reached", what);
	case PN_CONFLICT:
		return imap_finish(session, imap, "NO [CANNOT] %s: this cannot be done", what);
	case PN_TIMEOUT:
		return imap_finish(session, imap, "NO [UNAVAILABLE] %s: the store did not answer",
		                   what);
	default:
		pn_session_log(session, "the store failed: %s",
		               answer->error != NULL ? answer->error->text
		                                     : pn_status_name(answer->status));
		return imap_finish(session, imap, "NO [UNAVAILABLE] %s: the store failed", what);
	}
}

/* ---- waiting ---- */

struct pn_ticket imap_wait(struct pn_session *session, struct imap_session *imap,
                           imap_answered *answered)
{
	imap->on_answer = answered;
	return pn_session_ticket(session, IMAP_STORE_DEADLINE_MS);
}

const struct pn_row *imap_row(const struct pn_row *rows, size_t row_size, size_t index)
{
	return (const struct pn_row *)(const void *)((const char *)rows + index * row_size);
}

struct pn_commit *imap_commit_new(struct pn_session *session, enum pn_mutation_kind kind,
                                  uint64_t mailbox, struct pn_mutation **mutation_out)
{
	struct pn_commit *commit = pn_commit_new(0, 1);
	struct pn_mutation *mutation = pn_commit_add(commit, kind);

	mutation->account =
		pn_arena_keep(commit->arena, pn_account_name(pn_session_account(session)));
	mutation->mailbox = mailbox;
	*mutation_out = mutation;
	return commit;
}

enum pn_next imap_commit(struct pn_session *session, struct imap_session *imap,
                         struct pn_commit *commit, imap_answered *answered)
{
	imap->on_answer = answered;
	pn_store_commit(pn_session_account(session), commit,
	                pn_session_ticket(session, IMAP_COMMIT_DEADLINE_MS));
	return PN_NEXT_ANSWER;
}

bool imap_must_drain(struct pn_session *session, struct imap_session *imap, imap_resumed *resumed)
{
	if (!pn_session_output_is_high(session))
		return false;
	imap->on_drained = resumed;
	return true;
}
