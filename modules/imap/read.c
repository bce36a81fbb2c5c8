/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command is gathered: lines and the literals between them (RFC 3501 section 4.3,
 * RFC 7888), until a line ends without one. What is too large is read to its end
 * where the client sends it anyway, and refused; a client that waits for the "+" is
 * refused at once. The message of an APPEND is not gathered: append.c takes it.
 */
#include "imap.h"

#include <postern/text.h>

struct literal {
	uint64_t size;
	bool is_plus;
};

/* "…{123}" or "…{123+}" at the end of a line. */
static bool find_literal(struct pn_slice line, struct literal *literal)
{
	size_t end = line.size;
	size_t start;

	if (end < 3 || line.data[end - 1] != '}')
		return false;
	end--;
	literal->is_plus = line.data[end - 1] == '+';
	if (literal->is_plus)
		end--;
	start = end;
	while (start > 0 && line.data[start - 1] >= '0' && line.data[start - 1] <= '9')
		start--;
	if (start == end || start == 0 || line.data[start - 1] != '{')
		return false;
	if (pn_parse_count(pn_slice_make(line.data + start, end - start), &literal->size) != PN_OK)
		literal->size = UINT64_MAX;
	return true;
}

bool imap_ends_in_plus_literal(struct pn_slice line)
{
	struct literal literal;

	return find_literal(line, &literal) && literal.is_plus;
}

static uint64_t room(const struct imap_session *imap)
{
	uint64_t limit = imap->state == IMAP_NOT_AUTHENTICATED ? IMAP_EARLY_COMMAND_MAX
	                                                       : imap->config->max_command_size;

	return imap->input.size >= limit ? 0 : limit - imap->input.size;
}

/* The tag of a command that will not be parsed. */
static void find_tag(struct imap_session *imap)
{
	struct imap_parser parser = {.text = pn_buffer_slice(&imap->input)};
	struct pn_slice tag;

	if (imap_parse_tag(&parser, &tag) && imap_peek(&parser) == ' ' && tag.size <= IMAP_TAG_MAX)
		imap->tag = tag;
}

static enum pn_next refuse(struct pn_session *session, struct imap_session *imap,
                           const char *reason)
{
	find_tag(imap);
	imap->errors++;
	if (imap->errors > imap->config->max_errors)
		return imap_bye(session, "too many errors");
	return imap_reply(session, imap, "%s", reason);
}

static const char too_long[] = "BAD [TOOBIG] the command is too long";

static enum pn_next skip_literal(struct pn_session *session, struct imap_session *imap,
                                 const struct literal *literal)
{
	if (!literal->is_plus)
		return refuse(session, imap, imap->skip_reason);
	if (literal->size > IMAP_SKIP_MAX)
		return imap_bye(session, "the literal is too large");
	return literal->size == 0 ? PN_NEXT_LINE : pn_next_bytes(session, literal->size);
}

static enum pn_next take_literal(struct pn_session *session, struct imap_session *imap,
                                 const struct literal *literal)
{
	enum pn_next next;

	if (!imap->is_skipping && pn_buffer_append(&imap->input, PN_SLICE("\r\n")) == PN_OK &&
	    imap_append_begins(session, imap, literal->size, literal->is_plus, &next))
		return next;
	if (!imap->is_skipping && literal->size > room(imap)) {
		imap->is_skipping = true;
		imap->skip_reason = too_long;
	}
	/* RFC 7888 section 5: what LITERAL- does not allow is read all the same, and refused. */
	if (!imap->is_skipping && literal->is_plus && literal->size > 4096 &&
	    imap->config->literals == IMAP_LITERALS_MINUS) {
		imap->is_skipping = true;
		imap->skip_reason = "BAD [TOOBIG] non-synchronizing literals end at 4096 bytes";
	}
	if (imap->is_skipping)
		return skip_literal(session, imap, literal);
	if (!literal->is_plus)
		pn_session_write(session, PN_SLICE("+ go on\r\n"));
	return literal->size == 0 ? PN_NEXT_LINE : pn_next_bytes(session, literal->size);
}

static enum pn_next too_long_line(struct pn_session *session, struct imap_session *imap,
                                  struct pn_slice text)
{
	text.size = text.size < IMAP_TAG_MAX + 1 ? text.size : IMAP_TAG_MAX + 1;
	if (imap->input.size == 0)
		(void)!pn_buffer_append(&imap->input, text);
	if (refuse(session, imap, too_long) == PN_NEXT_CLOSE)
		return PN_NEXT_CLOSE;
	return imap_bye(session, "the line is too long");
}

static enum pn_next gather(struct pn_session *session, struct imap_session *imap,
                           const struct pn_line *line)
{
	struct literal literal;

	/* Some clients send an empty line behind a literal or DONE. */
	if (imap->input.size == 0 && line->text.size == 0)
		return PN_NEXT_LINE;
	if (imap->arena == NULL) {
		imap->arena = pn_arena_new();
		pn_buffer_init(&imap->input, 1024 * 1024);
	}
	/* Only its beginning is known, not whether a literal follows: what comes next must not be
	 * taken for commands. */
	if (line->problem == PN_LINE_TOO_LONG)
		return too_long_line(session, imap, line->text);
	if (!imap->is_skipping && line->text.size > room(imap)) {
		struct pn_slice start = line->text;

		start.size = start.size < IMAP_TAG_MAX + 1 ? start.size : IMAP_TAG_MAX + 1;
		if (imap->input.size == 0)
			(void)!pn_buffer_append(&imap->input, start);
		imap->is_skipping = true;
		imap->skip_reason = too_long;
	} else if (!imap->is_skipping && pn_buffer_append(&imap->input, line->text) != PN_OK) {
		return imap_bye(session, "the command is too long");
	}
	if (find_literal(line->text, &literal))
		return take_literal(session, imap, &literal);
	return imap->is_skipping ? refuse(session, imap, imap->skip_reason)
	                         : imap_run(session, imap);
}

enum pn_next imap_read_line(struct pn_session *session, struct imap_session *imap,
                            const struct pn_line *line)
{
	if (line->problem == PN_LINE_BARE_LF)
		return imap_bye(session, "bare LF: lines end with CRLF");
	if (line->problem == PN_LINE_BARE_CR)
		return imap_bye(session, "bare CR: lines end with CRLF");
	if (line->problem == PN_LINE_NUL)
		return imap_bye(session, "NUL in a command");
	switch (imap->reading) {
	case IMAP_READING_SASL:
		return imap_sasl_line(session, imap, line);
	case IMAP_READING_IDLE:
		return imap_idle_line(session, imap, line);
	case IMAP_READING_MESSAGE:
		return imap_append_line(session, imap, line);
	case IMAP_READING_COMMAND:
		break;
	}
	return gather(session, imap, line);
}

enum pn_next imap_read_data(struct pn_session *session, struct imap_session *imap,
                            const struct pn_data *data)
{
	if (imap->reading == IMAP_READING_MESSAGE)
		return imap_append_data(session, imap, data);
	if (!imap->is_skipping && pn_buffer_append(&imap->input, data->bytes) != PN_OK)
		return imap_bye(session, "the command is too long");
	if (!data->is_last)
		return PN_NEXT_BYTES;
	return PN_NEXT_LINE;
}
