/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DATA: the message, in pieces, and the answer once it is durable (RFC 5321
 * section 3.3; for each recipient, RFC 2033 section 4.2). A bare CR, a bare LF or a
 * NUL ends the session: what follows it may be read as commands by others
 * (RFC 5321 section 2.3.8).
 */
#include "smtp.h"

#include <postern/clock.h>

#include <stdio.h>

enum pn_next smtp_data(struct pn_session *session, struct smtp_session *smtp,
                       struct pn_slice argument)
{
	if (argument.size > 0)
		return smtp_error(session, smtp, 501, "5.5.4", "DATA takes no argument");
	/* RFC 3030 section 2: one or the other. */
	if (smtp->in_chunks)
		return smtp_error(session, smtp, 503, "5.5.1", "BDAT began this message");
	/* RFC 3030 section 3: lines cannot carry it. */
	if (smtp->is_binary)
		return smtp_error(session, smtp, 503, "5.5.1", "BODY=BINARYMIME comes with BDAT");
	if (pn_transaction_recipient_count(pn_session_transaction(session)) == 0)
		return smtp_error(session, smtp, 503, "5.5.1", "there is no recipient");
	smtp->data_is_complete = false;
	smtp_data_begins(session, smtp);
	smtp_reply(session, 354, "", "end with a line of one dot");
	return pn_next_data(session, PN_DATA_DOT_STUFFED);
}

enum pn_next smtp_submit(struct pn_session *session, struct smtp_session *smtp)
{
	pn_session_set_deadline(session, smtp->config->command_timeout);
	smtp->waiting = SMTP_WAIT_ACCEPTED;
	return pn_transaction_submit(session);
}

/* Who sends nothing at all for a whole window is too slow, too. */
void smtp_set_data_deadline(struct pn_session *session, const struct smtp_session *smtp)
{
	const struct smtp_config *config = smtp->config;

	pn_session_set_deadline(session, config->data_timeout < config->data_rate_window
	                                         ? config->data_timeout
	                                         : config->data_rate_window);
}

void smtp_data_begins(struct pn_session *session, struct smtp_session *smtp)
{
	smtp->data_started_ms = pn_clock_monotonic_ms();
	smtp_rate_begin(&smtp->rate, smtp->data_started_ms);
	smtp_set_data_deadline(session, smtp);
}

bool smtp_is_in_time(struct pn_session *session, struct smtp_session *smtp, size_t bytes,
                     enum pn_next *next_out)
{
	uint64_t now = pn_clock_monotonic_ms();
	const char *complaint = NULL;

	/* The deadline of the gateway begins anew with each byte; who dribbles is late all the
	 * same. */
	if (now - smtp->data_started_ms > smtp->config->message_timeout)
		complaint = "the message takes too long";
	else if (smtp_rate_is_low(&smtp->rate, now, bytes, smtp->config))
		complaint = "the message comes too slowly";
	if (complaint == NULL)
		return true;
	smtp_reset(session, smtp);
	*next_out = smtp_farewell(session, 421, "4.4.2", complaint);
	return false;
}

enum pn_next smtp_await_body(struct smtp_session *smtp)
{
	smtp->waiting = SMTP_WAIT_BODY;
	smtp_rate_pause(&smtp->rate, pn_clock_monotonic_ms());
	return PN_NEXT_ANSWER;
}

const char *smtp_data_problem(enum pn_line_problem problem)
{
	switch (problem) {
	case PN_LINE_BARE_LF:
		return "the message has a bare LF: lines end with CRLF";
	case PN_LINE_BARE_CR:
		return "the message has a bare CR: lines end with CRLF";
	case PN_LINE_NUL:
		return "the message has a NUL";
	case PN_LINE_TOO_LONG:
	case PN_LINE_GOOD:
		break;
	}
	return "the message has a line that is too long";
}

enum pn_next smtp_data_piece(struct pn_session *session, void *state, const struct pn_data *data)
{
	struct smtp_session *smtp = state;
	enum pn_next next;

	if (smtp->in_chunk)
		return smtp_chunk_piece(session, smtp, data);
	if (data->problem != PN_LINE_GOOD) {
		smtp_reset(session, smtp);
		return smtp_farewell(session, 550, "5.6.0", smtp_data_problem(data->problem));
	}
	if (!smtp_is_in_time(session, smtp, data->bytes.size, &next))
		return next;
	next = pn_transaction_append(session, data->bytes, PN_NEXT_DATA);
	smtp->data_is_complete = data->is_last;
	if (next == PN_NEXT_ANSWER)
		return smtp_await_body(smtp);
	return data->is_last ? smtp_submit(session, smtp) : next;
}

enum pn_next smtp_body_answered(struct pn_session *session, struct smtp_session *smtp)
{
	smtp->data_started_ms += smtp_rate_resume(&smtp->rate, pn_clock_monotonic_ms());
	if (smtp->in_chunks)
		return smtp_chunk_answered(session, smtp);
	return smtp->data_is_complete ? smtp_submit(session, smtp) : PN_NEXT_DATA;
}

static void write_accepted(struct pn_session *session)
{
	char text[64];

	snprintf(text, sizeof(text), "accepted as %s",
	         pn_transaction_id(pn_session_transaction(session)));
	smtp_reply(session, 250, "2.0.0", text);
}

static bool is_yes(const struct pn_stage_result *result)
{
	return result->verdict == PN_VERDICT_CONTINUE || result->verdict == PN_VERDICT_ACCEPT;
}

/* RFC 2033 section 4.2: one reply for each accepted recipient, in their order. */
static enum pn_next answer_each(struct pn_session *session, struct smtp_session *smtp)
{
	struct pn_transaction *transaction = pn_session_transaction(session);
	struct pn_recipient *recipient;

	for (size_t i = 0; (recipient = pn_transaction_recipient(transaction, i)) != NULL; i++) {
		const struct pn_stage_result *result = pn_recipient_result(recipient);

		if (is_yes(result))
			write_accepted(session);
		else if (smtp_refuse(session, smtp, result) == PN_NEXT_CLOSE)
			return PN_NEXT_CLOSE;
	}
	return PN_NEXT_LINE;
}

/* PRDR: an answer for each, then one for all of them. A single recipient has the one answer. */
static enum pn_next answer_prdr(struct pn_session *session, struct smtp_session *smtp,
                                const struct pn_stage_result *result)
{
	struct pn_transaction *transaction = pn_session_transaction(session);
	struct pn_recipient *recipient;
	bool is_accepted = false;

	for (size_t i = 0; (recipient = pn_transaction_recipient(transaction, i)) != NULL; i++)
		is_accepted = is_accepted || is_yes(pn_recipient_result(recipient));
	smtp_reply(session, 353, "", "an answer for each recipient follows");
	if (answer_each(session, smtp) == PN_NEXT_CLOSE)
		return PN_NEXT_CLOSE;
	if (is_accepted)
		write_accepted(session);
	else if (is_yes(result))
		smtp_reply(session, 550, "5.7.1", "no recipient takes it");
	else
		return smtp_refuse(session, smtp, result);
	return PN_NEXT_LINE;
}

enum pn_next smtp_message_answered(struct pn_session *session, struct smtp_session *smtp,
                                   const struct pn_stage_result *result)
{
	enum pn_next next = PN_NEXT_LINE;

	if (is_yes(result))
		smtp->errors = 0;
	if (result->verdict == PN_VERDICT_DROP)
		next = PN_NEXT_CLOSE;
	else if (smtp_is_lmtp(smtp))
		next = answer_each(session, smtp);
	else if (smtp->is_prdr &&
	         pn_transaction_recipient_count(pn_session_transaction(session)) > 1)
		next = answer_prdr(session, smtp, result);
	else if (is_yes(result))
		write_accepted(session);
	else
		next = smtp_refuse(session, smtp, result);
	smtp_reset(session, smtp);
	return next;
}
