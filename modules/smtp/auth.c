/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AUTH (RFC 4954). The mechanisms are the gateway's; here their lines are carried
 * and their outcome is put into replies.
 */
#include "smtp.h"

#include <postern/sasl.h>
#include <postern/text.h>

bool smtp_is_authenticated(const struct pn_session *session)
{
	return pn_session_identity(session).size > 0;
}

bool smtp_login_is_possible(const struct pn_session *session, const struct smtp_session *smtp)
{
	return smtp->config->authentication != SMTP_AUTHENTICATION_NONE &&
	       pn_sasl_mechanisms(session)[0] != '\0';
}

static const char no_passwords[] = "no passwords without TLS";

enum pn_next smtp_auth(struct pn_session *session, struct smtp_session *smtp,
                       struct pn_slice argument)
{
	struct pn_slice initial = argument;
	bool has_initial = pn_slice_find(argument, ' ') < argument.size;
	struct pn_slice mechanism = pn_slice_cut(&initial, ' ');

	if (smtp->config->authentication == SMTP_AUTHENTICATION_NONE)
		return smtp_error(session, smtp, 502, "5.5.1", "AUTH is not offered here");
	if (!smtp->is_extended)
		return smtp_error(session, smtp, 503, "5.5.1", "EHLO comes first");
	if (smtp_is_authenticated(session))
		return smtp_error(session, smtp, 503, "5.5.1", "already authenticated");
	if (smtp->has_sender)
		return smtp_error(session, smtp, 503, "5.5.1", "not in the middle of a message");
	if (!smtp_login_is_possible(session, smtp) && !pn_session_is_encrypted(session))
		return smtp_error(session, smtp, 538, "5.7.11", no_passwords);
	if (mechanism.size == 0)
		return smtp_error(session, smtp, 501, "5.5.4", "AUTH names a mechanism");
	smtp->waiting = SMTP_WAIT_AUTH;
	return pn_sasl_begin(session, mechanism, has_initial, pn_slice_trim(initial));
}

enum pn_next smtp_auth_line(struct pn_session *session, struct smtp_session *smtp,
                            const struct pn_line *line)
{
	smtp->in_auth = false;
	smtp->waiting = SMTP_WAIT_AUTH;
	/* RFC 4954 section 4: the exchange ends, and the reply is 500. */
	smtp->auth_line_too_long = line->problem == PN_LINE_TOO_LONG;
	if (smtp->auth_line_too_long)
		return pn_sasl_respond(session, PN_SLICE("*"));
	return pn_sasl_respond(session, line->text);
}

static enum pn_next ask_more(struct pn_session *session, struct smtp_session *smtp,
                             struct pn_slice challenge)
{
	pn_session_write(session, PN_SLICE("334 "));
	pn_session_write(session, challenge);
	pn_session_write(session, PN_SLICE("\r\n"));
	smtp->in_auth = true;
	return PN_NEXT_LINE;
}

static enum pn_next wrong(struct pn_session *session, struct smtp_session *smtp,
                          const struct pn_reply *reply)
{
	if (++smtp->login_failures > smtp->config->max_login_failures)
		return smtp_farewell(session, 421, "4.7.0", "too many failed logins");
	if (reply->code == 421)
		return smtp_farewell(session, 421, reply->enhanced, reply->text);
	if (reply->code >= 500 && reply->code <= 599)
		return smtp_error(session, smtp, reply->code, reply->enhanced, reply->text);
	return smtp_error(session, smtp, 535, "5.7.8", "name or password is wrong");
}

static enum pn_next temporary(struct pn_session *session, const struct pn_reply *reply)
{
	if (reply->code == 421)
		return smtp_farewell(session, 421, reply->enhanced, reply->text);
	if (reply->code >= 400 && reply->code <= 499)
		smtp_reply(session, reply->code, reply->enhanced, reply->text);
	else
		smtp_reply(session, 454, "4.7.0", "this cannot be checked now");
	return PN_NEXT_LINE;
}

enum pn_next smtp_auth_answered(struct pn_session *session, struct smtp_session *smtp,
                                const struct pn_sasl_step *step)
{
	switch (step->outcome) {
	case PN_SASL_CHALLENGE:
		return ask_more(session, smtp, step->challenge);
	case PN_SASL_PROVEN:
		smtp_reply(session, 235, "2.7.0", "authenticated");
		return PN_NEXT_LINE;
	case PN_SASL_WRONG:
		return wrong(session, smtp, &step->reply);
	case PN_SASL_TEMPORARY:
		return temporary(session, &step->reply);
	case PN_SASL_CANCELLED:
		if (smtp->auth_line_too_long)
			return smtp_error(session, smtp, 500, "5.5.6", "the line is too long");
		return smtp_error(session, smtp, 501, "5.7.0", "authentication was cancelled");
	case PN_SASL_UNKNOWN_MECHANISM:
		return smtp_error(session, smtp, 504, "5.5.4", "this mechanism is not offered");
	case PN_SASL_NEEDS_TLS:
		return smtp_error(session, smtp, 538, "5.7.11", no_passwords);
	case PN_SASL_MALFORMED:
		return smtp_error(session, smtp, 501, "5.5.2",
		                  "this is not what the mechanism expects");
	case PN_SASL_DROP:
		break;
	}
	return PN_NEXT_CLOSE;
}
