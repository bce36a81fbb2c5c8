/* SPDX-License-Identifier: Apache-2.0 */
/*
 * USER and PASS (RFC 1939 section 7) and AUTH (RFC 5034). Whether a name exists is
 * not told before the password, nor after it.
 */
#include "pop3.h"

#include <postern/text.h>

static const char no_passwords[] = "no passwords without TLS";

static enum pn_next refuse_passwords(struct pn_session *session, struct pop3_session *pop3)
{
	return pop3_error(session, pop3,
	                  pn_session_is_encrypted(session) ? "passwords are not taken here"
	                                                   : no_passwords);
}

enum pn_next pop3_user(struct pn_session *session, struct pop3_session *pop3,
                       struct pn_slice argument)
{
	pop3->name_size = 0;
	if (!pn_sasl_takes_passwords(session))
		return refuse_passwords(session, pop3);
	if (argument.size == 0 || argument.size > PN_PATH_MAX)
		return pop3_error(session, pop3, "USER takes a name");
	memcpy(pop3->name, argument.data, argument.size);
	pop3->name_size = argument.size;
	pop3_ok(session, "now the password");
	return PN_NEXT_LINE;
}

enum pn_next pop3_pass(struct pn_session *session, struct pop3_session *pop3,
                       struct pn_slice argument)
{
	size_t name_size = pop3->name_size;

	if (!pn_sasl_takes_passwords(session))
		return refuse_passwords(session, pop3);
	if (name_size == 0)
		return pop3_error(session, pop3, "USER comes first");
	pop3->name_size = 0;
	pop3->waiting = POP3_WAIT_LOGIN;
	return pn_password_login(session, pn_slice_make(pop3->name, name_size), argument);
}

/* What clients from before RFC 2449 ask instead of CAPA. */
static enum pn_next list_mechanisms(struct pn_session *session)
{
	struct pn_slice rest = pn_slice_of(pn_sasl_mechanisms(session));

	pop3_ok(session, "mechanisms follow");
	while (rest.size > 0) {
		pn_session_write(session, pn_slice_cut(&rest, ' '));
		pn_session_write(session, PN_SLICE("\r\n"));
	}
	pn_session_write(session, PN_SLICE(".\r\n"));
	return PN_NEXT_LINE;
}

enum pn_next pop3_auth(struct pn_session *session, struct pop3_session *pop3,
                       struct pn_slice argument)
{
	struct pn_slice initial = argument;
	bool has_initial = pn_slice_find(argument, ' ') < argument.size;
	struct pn_slice mechanism = pn_slice_cut(&initial, ' ');

	pop3->name_size = 0;
	if (mechanism.size == 0)
		return list_mechanisms(session);
	pop3->waiting = POP3_WAIT_LOGIN;
	return pn_sasl_begin(session, mechanism, has_initial, pn_slice_trim(initial));
}

enum pn_next pop3_auth_line(struct pn_session *session, struct pop3_session *pop3,
                            const struct pn_line *line)
{
	pop3->in_auth = false;
	pop3->waiting = POP3_WAIT_LOGIN;
	pop3->auth_line_too_long = line->problem == PN_LINE_TOO_LONG;
	if (pop3->auth_line_too_long)
		return pn_sasl_respond(session, PN_SLICE("*"));
	return pn_sasl_respond(session, line->text);
}

static enum pn_next ask_more(struct pn_session *session, struct pop3_session *pop3,
                             struct pn_slice challenge)
{
	pn_session_write(session, PN_SLICE("+ "));
	pn_session_write(session, challenge);
	pn_session_write(session, PN_SLICE("\r\n"));
	pop3->in_auth = true;
	return PN_NEXT_LINE;
}

static enum pn_next wrong(struct pn_session *session, struct pop3_session *pop3,
                          const struct pn_reply *reply)
{
	if (++pop3->login_failures > pop3->config->max_login_failures)
		return pop3_farewell(session, "AUTH", "too many failed logins");
	return pop3_refuse(session, "AUTH",
	                   reply->code != 0 ? reply->text : "name or password is wrong");
}

enum pn_next pop3_login_answered(struct pn_session *session, struct pop3_session *pop3,
                                 const struct pn_sasl_step *step)
{
	switch (step->outcome) {
	case PN_SASL_CHALLENGE:
		return ask_more(session, pop3, step->challenge);
	case PN_SASL_PROVEN:
		return pop3_maildrop_open(session, pop3);
	case PN_SASL_WRONG:
		return wrong(session, pop3, &step->reply);
	case PN_SASL_TEMPORARY:
		return pop3_refuse(session, "SYS/TEMP",
		                   step->reply.code != 0 ? step->reply.text
		                                         : "this cannot be checked now");
	case PN_SASL_CANCELLED:
		return pop3_error(session, pop3,
		                  pop3->auth_line_too_long ? "the line is too long"
		                                           : "authentication was cancelled");
	case PN_SASL_UNKNOWN_MECHANISM:
		return pop3_error(session, pop3, "this mechanism is not offered");
	case PN_SASL_NEEDS_TLS:
		return pop3_error(session, pop3, no_passwords);
	case PN_SASL_MALFORMED:
		return pop3_error(session, pop3, "this is not what the mechanism expects");
	case PN_SASL_DROP:
		break;
	}
	return PN_NEXT_CLOSE;
}
