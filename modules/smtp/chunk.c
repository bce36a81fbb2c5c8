/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BDAT: the message in chunks of a stated size (RFC 3030, CHUNKING). What is in them
 * has lines that end with CRLF, as behind DATA; with BODY=BINARYMIME only the header has,
 * and the body is kept as it is. The bytes of
 * a chunk that cannot be taken are read and forgotten, so that none of them is ever
 * read as a command; where that cannot be, the session ends.
 */
#include "smtp.h"

#include <postern/text.h>

#include <stdio.h>

/* "1000", "1000 LAST". */
static bool parse(struct pn_slice argument, uint64_t *size_out, bool *is_last_out)
{
	struct pn_slice number = pn_slice_cut(&argument, ' ');
	struct pn_slice word = pn_slice_trim(argument);

	*is_last_out = pn_slice_equal_ignore_case(word, PN_SLICE("LAST"));
	return pn_parse_count(number, size_out) == PN_OK && (word.size == 0 || *is_last_out);
}

/* Why the chunk is not for a message, or NULL. */
static const char *out_of_order(struct pn_session *session, const struct smtp_session *smtp)
{
	if (!smtp->is_greeted)
		return smtp_is_lmtp(smtp) ? "LHLO comes first" : "EHLO comes first";
	if (!smtp->has_sender)
		return "MAIL comes first";
	if (pn_transaction_recipient_count(pn_session_transaction(session)) == 0)
		return "there is no recipient";
	return NULL;
}

static enum pn_next end_chunk(struct pn_session *session, struct smtp_session *smtp);

/* Its bytes follow at once; a chunk of none is over already. */
static enum pn_next take(struct pn_session *session, struct smtp_session *smtp)
{
	if (smtp->chunk_size == 0)
		return end_chunk(session, smtp);
	smtp->in_chunk = true;
	smtp_set_data_deadline(session, smtp);
	return pn_next_bytes(session, smtp->chunk_size);
}

/* The reply comes before the bytes, which are read all the same: a client that does not wait has
 * sent them already. */
static enum pn_next lose(struct pn_session *session, struct smtp_session *smtp, unsigned code,
                         const char *enhanced, const char *text)
{
	enum pn_next next;

	if (smtp->in_chunks)
		smtp_reset(session, smtp);
	next = smtp_error(session, smtp, code, enhanced, text);
	smtp->chunk_is_lost = true;
	smtp_data_begins(session, smtp);
	return next == PN_NEXT_CLOSE ? next : take(session, smtp);
}

enum pn_next smtp_bdat(struct pn_session *session, struct smtp_session *smtp,
                       struct pn_slice argument)
{
	const char *complaint = out_of_order(session, smtp);
	uint64_t limit = smtp->config->max_message_size;

	smtp->chunk_is_lost = false;
	if (!parse(argument, &smtp->chunk_size, &smtp->chunk_is_last))
		return smtp_farewell(session, 501, "5.5.4",
		                     "this is written BDAT 1000, or BDAT 1000 LAST");
	/* Nobody reads that much only to forget it. */
	if (smtp->chunk_size > limit)
		return smtp_farewell(session, 552, "5.3.4",
		                     "the message is larger than is taken here");
	if (complaint != NULL)
		return lose(session, smtp, 503, "5.5.1", complaint);
	if (pn_transaction_size(pn_session_transaction(session)) + smtp->chunk_size > limit) {
		smtp->in_chunks = true;
		return lose(session, smtp, 552, "5.3.4",
		            "the message is larger than is taken here");
	}
	if (!smtp->in_chunks) {
		smtp->in_chunks = true;
		smtp->after_cr = false;
		smtp->at_line_start = true;
		smtp->line_is_empty = true;
		smtp->header_is_over = false;
		smtp->data_is_complete = false;
		smtp_data_begins(session, smtp);
	}
	return take(session, smtp);
}

/* Whether any byte may come. */
static bool is_free(const struct smtp_session *smtp)
{
	return smtp->is_binary && smtp->header_is_over;
}

/* Lines end with CRLF, across chunks, too; those of the header, where the body is binary. */
static enum pn_line_problem check(struct smtp_session *smtp, struct pn_slice bytes)
{
	for (size_t i = 0; i < bytes.size && !is_free(smtp); i++) {
		char byte = bytes.data[i];

		if (byte == '\0')
			return PN_LINE_NUL;
		if (smtp->after_cr && byte != '\n')
			return PN_LINE_BARE_CR;
		if (byte == '\n' && !smtp->after_cr)
			return PN_LINE_BARE_LF;
		if (byte == '\n')
			smtp->header_is_over = smtp->header_is_over || smtp->line_is_empty;
		smtp->line_is_empty = byte == '\n' || (smtp->line_is_empty && byte == '\r');
		smtp->at_line_start = byte == '\n';
		smtp->after_cr = byte == '\r';
	}
	return PN_LINE_GOOD;
}

static enum pn_next refuse_lines(struct pn_session *session, struct smtp_session *smtp,
                                 enum pn_line_problem problem)
{
	smtp_reset(session, smtp);
	return smtp_farewell(session, 550, "5.6.0", smtp_data_problem(problem));
}

/* The last line of a message may lack its end; everywhere else it has one. What is binary has no
 * lines, and nothing is added to it. */
static enum pn_next end_message(struct pn_session *session, struct smtp_session *smtp)
{
	struct pn_transaction *transaction = pn_session_transaction(session);

	if (smtp->after_cr && !is_free(smtp))
		return refuse_lines(session, smtp, PN_LINE_BARE_CR);
	smtp->data_is_complete = true;
	if (!smtp->at_line_start && !is_free(smtp) && pn_transaction_size(transaction) > 0 &&
	    pn_transaction_append(session, PN_SLICE("\r\n"), PN_NEXT_LINE) == PN_NEXT_ANSWER)
		return smtp_await_body(smtp);
	return smtp_submit(session, smtp);
}

static enum pn_next end_chunk(struct pn_session *session, struct smtp_session *smtp)
{
	char text[64];

	smtp->in_chunk = false;
	pn_session_set_deadline(session, smtp->config->command_timeout);
	if (smtp->chunk_is_lost)
		return PN_NEXT_LINE;
	if (smtp->chunk_is_last)
		return end_message(session, smtp);
	snprintf(text, sizeof(text), "%llu bytes taken", (unsigned long long)smtp->chunk_size);
	smtp_reply(session, 250, "2.0.0", text);
	return PN_NEXT_LINE;
}

enum pn_next smtp_chunk_piece(struct pn_session *session, struct smtp_session *smtp,
                              const struct pn_data *data)
{
	enum pn_line_problem problem;
	enum pn_next next;

	if (!smtp_is_in_time(session, smtp, data->bytes.size, &next))
		return next;
	if (smtp->chunk_is_lost)
		return data->is_last ? end_chunk(session, smtp) : PN_NEXT_BYTES;
	problem = check(smtp, data->bytes);
	if (problem != PN_LINE_GOOD)
		return refuse_lines(session, smtp, problem);
	next = pn_transaction_append(session, data->bytes, PN_NEXT_BYTES);
	smtp->in_chunk = !data->is_last;
	if (next == PN_NEXT_ANSWER)
		return smtp_await_body(smtp);
	return data->is_last ? end_chunk(session, smtp) : next;
}

enum pn_next smtp_chunk_answered(struct pn_session *session, struct smtp_session *smtp)
{
	if (smtp->data_is_complete)
		return smtp_submit(session, smtp);
	return smtp->in_chunk ? PN_NEXT_BYTES : end_chunk(session, smtp);
}
