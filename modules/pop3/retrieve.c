/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RETR and TOP (RFC 1939 sections 5 and 7): the body, piece by piece, the next one
 * asked for when the client has read the last: memory stays flat whatever the size.
 * The +OK waits for the first piece, so that a damaged body is an -ERR; damage
 * behind it can only be told by closing without the final dot.
 */
#include "pop3.h"

#include <postern/text.h>

static enum pn_next ask_piece(struct pn_session *session, struct pop3_session *pop3)
{
	const struct pn_body_request request = {
		.struct_size = sizeof(request),
		.body = pop3->drop.messages[pop3->retrieval.index].body,
		.offset = pop3->retrieval.offset,
		.max_size = POP3_PIECE_SIZE,
	};

	pop3->waiting = POP3_WAIT_BODY;
	pn_store_body(pn_session_account(session), &request,
	              pn_session_ticket(session, POP3_STORE_DEADLINE_MS));
	return PN_NEXT_ANSWER;
}

static enum pn_next begin(struct pn_session *session, struct pop3_session *pop3,
                          const struct pop3_message *message, bool is_top, uint64_t lines)
{
	pop3->retrieval = (struct pop3_retrieval){
		.index = (size_t)(message - pop3->drop.messages),
		.is_top = is_top,
		.lines_left = lines,
	};
	return ask_piece(session, pop3);
}

enum pn_next pop3_retr(struct pn_session *session, struct pop3_session *pop3,
                       struct pn_slice argument)
{
	const struct pop3_message *message = pop3_maildrop_find(&pop3->drop, argument);

	if (message == NULL)
		return pop3_error(session, pop3, "no such message");
	return begin(session, pop3, message, false, 0);
}

enum pn_next pop3_top(struct pn_session *session, struct pop3_session *pop3,
                      struct pn_slice argument)
{
	struct pn_slice lines = argument;
	const struct pop3_message *message =
		pop3_maildrop_find(&pop3->drop, pn_slice_cut(&lines, ' '));
	uint64_t count;

	if (message == NULL)
		return pop3_error(session, pop3, "no such message");
	if (pn_parse_count(pn_slice_trim(lines), &count) != PN_OK)
		return pop3_error(session, pop3, "TOP takes a message and a number of lines");
	return begin(session, pop3, message, true, count);
}

/* Whether the line that ends with the LF at `size` is empty; pieces may cut it anywhere. */
static bool ends_empty_line(const struct pop3_retrieval *retrieval, struct pn_slice bytes,
                            size_t size)
{
	uint64_t length = retrieval->line_size + size;

	/* A CR alone may have come with the piece before. */
	return length == 0 || (length == 1 && (size == 0 || bytes.data[size - 1] == '\r'));
}

/* How much of the piece TOP shows; *ends_out where that is all of it. */
static size_t top_of(struct pop3_retrieval *retrieval, struct pn_slice bytes, bool *ends_out)
{
	size_t used = 0;

	while (used < bytes.size) {
		struct pn_slice rest = pn_slice_make(bytes.data + used, bytes.size - used);
		size_t line = pn_slice_find(rest, '\n');

		if (line == rest.size) {
			retrieval->line_size += rest.size;
			return bytes.size;
		}
		if (retrieval->in_body)
			retrieval->lines_left--;
		else
			retrieval->in_body = ends_empty_line(retrieval, rest, line);
		retrieval->line_size = 0;
		used += line + 1;
		if (retrieval->in_body && retrieval->lines_left == 0) {
			*ends_out = true;
			return used;
		}
	}
	return used;
}

static enum pn_next not_readable(struct pn_session *session, const struct pop3_session *pop3,
                                 enum pn_status status)
{
	if (pop3->retrieval.offset > 0)
		return PN_NEXT_CLOSE;
	if (status == PN_TIMEOUT || status == PN_LIMIT)
		return pop3_refuse(session, "SYS/TEMP", "the message cannot be read now");
	return pop3_refuse(session, "SYS/PERM", "the message is damaged and cannot be read");
}

enum pn_next pop3_body_answered(struct pn_session *session, struct pop3_session *pop3,
                                const struct pn_answer *answer)
{
	struct pop3_retrieval *retrieval = &pop3->retrieval;
	const struct pn_body_piece *piece = answer->result;
	bool ends;
	size_t size;

	if (answer->status != PN_OK || piece == NULL)
		return not_readable(session, pop3, answer->status);
	if (piece->bytes.size == 0 && retrieval->offset < piece->total_size)
		return not_readable(session, pop3, PN_FAILED);
	if (retrieval->offset == 0)
		pop3_ok(session, "%llu octets", (unsigned long long)piece->total_size);
	size = piece->bytes.size;
	ends = retrieval->offset + size >= piece->total_size;
	if (retrieval->is_top)
		size = top_of(retrieval, piece->bytes, &ends);
	retrieval->offset += size;
	pn_session_write_stuffed(session, pn_slice_make(piece->bytes.data, size), ends);
	if (ends)
		return PN_NEXT_LINE;
	pop3->sending = POP3_SENDING_BODY;
	return PN_NEXT_DRAIN;
}

enum pn_next pop3_retrieve_more(struct pn_session *session, struct pop3_session *pop3)
{
	pop3->sending = POP3_SENDING_NOTHING;
	return ask_piece(session, pop3);
}
