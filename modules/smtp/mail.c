/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MAIL FROM: begins a transaction (RFC 5321 section 3.3). Whether the sender is
 * welcome is asked at envelope.sender.
 */
#include "smtp.h"

#include <postern/clock.h>
#include <postern/sasl.h>

/* The word behind "with" in Received (RFC 3848, RFC 6531 section 4.3): "ESMTPSA". A plain HELO has
 * none of them. */
static void set_trace_word(struct pn_session *session, const struct smtp_session *smtp)
{
	static const char *const words[2][8] = {
		{"ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA", "UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA",
	         "UTF8SMTPSA"},
		{"LMTP", "LMTPS", "LMTPA", "LMTPSA", "UTF8LMTP", "UTF8LMTPS", "UTF8LMTPA",
	         "UTF8LMTPSA"},
	};
	unsigned index = (pn_session_is_encrypted(session) ? 1u : 0u) +
	                 (smtp_is_authenticated(session) ? 2u : 0u) + (smtp->is_utf8 ? 4u : 0u);

	pn_transaction_set_trace_word(pn_session_transaction(session),
	                              smtp->is_extended ? words[smtp_is_lmtp(smtp) ? 1 : 0][index]
	                                                : "SMTP");
}

/* RFC 6710: -9 to 9 with 0 for what has no priority; the queue's are 0 to 9, with 4. */
static uint32_t queue_priority(int priority)
{
	return priority >= 0 ? 4 + (uint32_t)(priority * 5 + 8) / 9
	                     : 4 - (uint32_t)(-priority * 4 + 8) / 9;
}

static enum pn_next begin(struct pn_session *session, struct smtp_session *smtp,
                          const struct pn_envelope_part *sender,
                          const struct smtp_parameters *parameters)
{
	enum pn_next next = pn_transaction_begin(session, sender);
	struct pn_transaction *transaction = pn_session_transaction(session);

	smtp->is_utf8 = parameters->is_utf8;
	smtp->is_binary = parameters->is_binary;
	smtp->is_prdr = parameters->is_prdr;
	/* Both are in range. */
	if (parameters->has_priority)
		(void)!pn_transaction_set_priority(transaction,
		                                   queue_priority(parameters->priority));
	if (parameters->release_ms != 0)
		(void)!pn_transaction_set_release(transaction, parameters->release_ms);
	if (parameters->by.mode != PN_DELIVER_BY_NEVER)
		pn_transaction_set_deliver_by(transaction, &parameters->by);
	if (parameters->requires_tls)
		pn_transaction_require_tls(transaction);
	pn_transaction_set_max_size(transaction, smtp->config->max_message_size);
	/* RFC 2033 section 4.2: an answer for each recipient behind the data. */
	pn_transaction_set_answers_per_recipient(transaction, smtp_is_lmtp(smtp) || smtp->is_prdr);
	set_trace_word(session, smtp);
	smtp_forwarded_tell(session, smtp);
	smtp->waiting = SMTP_WAIT_SENDER;
	return next;
}

enum pn_next smtp_mail(struct pn_session *session, struct smtp_session *smtp,
                       struct pn_slice argument)
{
	struct smtp_parameters parameters;
	struct pn_envelope_part sender = {.struct_size = sizeof(sender)};
	struct pn_arena *arena;
	struct smtp_problem problem;
	enum pn_next next;

	/* RFC 4954 section 6, RFC 6409 section 4.3. */
	if (smtp->config->authentication == SMTP_AUTHENTICATION_REQUIRED &&
	    !smtp_is_authenticated(session))
		return smtp_error(session, smtp, 530, "5.7.0",
		                  smtp_login_is_possible(session, smtp)
		                          ? "authentication required"
		                          : "authentication required; STARTTLS comes first");
	if (smtp->has_sender)
		return smtp_error(session, smtp, 503, "5.5.1", "a sender was given already");
	if (smtp->transactions >= smtp->config->max_transactions)
		return smtp_farewell(session, 421, "4.7.0", "too many messages in one session");
	arena = pn_arena_new();
	problem = smtp_parse_path(&argument, SMTP_OF_MAIL, arena, &sender.address);
	if (problem.code == 0)
		problem = smtp_parse_parameters(smtp, pn_clock_wall_ms(), argument, SMTP_OF_MAIL,
		                                &parameters);
	/* RFC 8689 section 4.1: it is offered under TLS, and nowhere else. */
	if (problem.code == 0 && parameters.requires_tls && !pn_session_is_encrypted(session))
		problem = (struct smtp_problem){555, "5.5.4", "REQUIRETLS is offered under TLS"};
	/* RFC 6531 section 3.5. */
	if (problem.code == 0 && sender.address.is_utf8 && !parameters.is_utf8)
		problem = (struct smtp_problem){550, "5.6.7", "an address in UTF-8 needs SMTPUTF8"};
	if (problem.code == 0 && parameters.size > smtp->config->max_message_size)
		problem = (struct smtp_problem){552, "5.3.4",
		                                "the message is larger than is taken here"};
	if (problem.code != 0) {
		next = smtp_error(session, smtp, problem.code, problem.enhanced, problem.text);
	} else {
		sender.parameters = parameters.items;
		sender.parameter_count = parameters.count;
		smtp->transactions++;
		next = begin(session, smtp, &sender, &parameters);
	}
	pn_arena_free(&arena);
	return next;
}

enum pn_next smtp_sender_judged(struct pn_session *session, struct smtp_session *smtp,
                                const struct pn_stage_result *result)
{
	enum pn_next next = PN_NEXT_LINE;

	if (result->verdict == PN_VERDICT_CONTINUE || result->verdict == PN_VERDICT_ACCEPT) {
		smtp->has_sender = true;
		smtp_reply(session, 250, "2.1.0", "sender ok");
	} else {
		next = smtp_refuse(session, smtp, result);
		smtp_reset(session, smtp);
	}
	return next;
}
