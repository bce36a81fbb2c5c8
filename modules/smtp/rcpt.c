/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RCPT TO: adds one recipient to the open transaction (RFC 5321 section 3.3). Whose
 * mail is taken is decided by the gateway and its policy, not here.
 */
#include "smtp.h"

#include <postern/clock.h>

enum pn_next smtp_rcpt(struct pn_session *session, struct smtp_session *smtp,
                       struct pn_slice argument)
{
	struct smtp_parameters parameters;
	struct pn_envelope_part recipient = {.struct_size = sizeof(recipient)};
	struct pn_arena *arena = pn_arena_new();
	struct smtp_problem problem =
		smtp_parse_path(&argument, SMTP_OF_RCPT, arena, &recipient.address);
	enum pn_next next = PN_NEXT_LINE;

	/* RFC 3030 section 2: the recipients are known when the message begins. */
	if (smtp->in_chunks)
		problem = (struct smtp_problem){503, "5.5.1", "the message has begun"};
	if (problem.code == 0)
		problem = smtp_parse_parameters(smtp, pn_clock_wall_ms(), argument, SMTP_OF_RCPT,
		                                &parameters);
	/* RFC 6531 section 3.5. */
	if (problem.code == 0 && recipient.address.is_utf8 && !smtp->is_utf8)
		problem = (struct smtp_problem){553, "5.6.7", "an address in UTF-8 needs SMTPUTF8"};
	if (problem.code != 0) {
		next = smtp_error(session, smtp, problem.code, problem.enhanced, problem.text);
	} else if (pn_transaction_recipient_count(pn_session_transaction(session)) >=
	           smtp->config->max_recipients) {
		/* RFC 5321 section 4.5.3.1.10: the client sends the rest in another transaction. */
		smtp_reply(session, 452, "4.5.3", "too many recipients");
	} else {
		recipient.parameters = parameters.items;
		recipient.parameter_count = parameters.count;
		smtp->waiting = SMTP_WAIT_RECIPIENT;
		next = pn_transaction_add(session, &recipient);
	}
	pn_arena_free(&arena);
	return next;
}

enum pn_next smtp_recipient_judged(struct pn_session *session, struct smtp_session *smtp,
                                   const struct pn_stage_result *result)
{
	if (result->verdict != PN_VERDICT_ACCEPT)
		return smtp_refuse(session, smtp, result);
	smtp_reply(session, 250, "2.1.5", "recipient ok");
	return PN_NEXT_LINE;
}
