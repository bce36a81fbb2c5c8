/* SPDX-License-Identifier: Apache-2.0 */
/* The small verbs: RSET, NOOP, QUIT, HELP, STARTTLS, and those that are not for us. */
#include "smtp.h"

#include <stdio.h>

enum pn_next smtp_rset(struct pn_session *session, struct smtp_session *smtp,
                       struct pn_slice argument)
{
	if (argument.size > 0)
		return smtp_error(session, smtp, 501, "5.5.4", "RSET takes no argument");
	smtp_reset(session, smtp);
	smtp_reply(session, 250, "2.0.0", "ok");
	return PN_NEXT_LINE;
}

/* RFC 5321 section 4.1.1.9: an argument is passed over. */
enum pn_next smtp_noop(struct pn_session *session, struct smtp_session *smtp,
                       struct pn_slice argument)
{
	(void)smtp;
	(void)argument;
	smtp_reply(session, 250, "2.0.0", "ok");
	return PN_NEXT_LINE;
}

enum pn_next smtp_quit(struct pn_session *session, struct smtp_session *smtp,
                       struct pn_slice argument)
{
	if (argument.size > 0)
		return smtp_error(session, smtp, 501, "5.5.4", "QUIT takes no argument");
	smtp_reset(session, smtp);
	return smtp_farewell(session, 221, "2.0.0", "goodbye");
}

enum pn_next smtp_help(struct pn_session *session, struct smtp_session *smtp,
                       struct pn_slice argument)
{
	const char *name;

	(void)argument;
	smtp_reply_more(session, 214, "2.0.0", "This is Postern. It knows:");
	for (size_t i = 0; (name = smtp_verb_name(smtp, i)) != NULL; i++)
		smtp_reply_more(session, 214, "2.0.0", name);
	smtp_reply(session, 214, "2.0.0", "That is all.");
	return PN_NEXT_LINE;
}

enum pn_next smtp_not_implemented(struct pn_session *session, struct smtp_session *smtp,
                                  struct pn_slice argument)
{
	(void)argument;
	return smtp_error(session, smtp, 502, "5.5.1", "this command is not offered here");
}

/* A browser that was talked into connecting here: its headers must not be read as commands. */
enum pn_next smtp_wrong_protocol(struct pn_session *session, struct smtp_session *smtp,
                                 struct pn_slice argument)
{
	(void)argument;
	smtp_reset(session, smtp);
	return smtp_farewell(session, 500, "5.5.1", "this is a mail server");
}

/* RFC 3207. Bytes that arrived before the handshake end the session; the gateway sees to it. */
enum pn_next smtp_starttls(struct pn_session *session, struct smtp_session *smtp,
                           struct pn_slice argument)
{
	if (argument.size > 0)
		return smtp_error(session, smtp, 501, "5.5.4", "STARTTLS takes no argument");
	if (pn_session_is_encrypted(session))
		return smtp_error(session, smtp, 503, "5.5.1", "TLS is up already");
	if (!pn_session_can_start_tls(session))
		return smtp_error(session, smtp, 502, "5.5.1", "STARTTLS is not offered here");
	/* Who logged in would have to be forgotten with everything else. */
	if (smtp_is_authenticated(session))
		return smtp_error(session, smtp, 503, "5.5.1", "not after a login");
	smtp_reply(session, 220, "2.0.0", "ready for TLS");
	smtp->waiting = SMTP_WAIT_SECURED;
	return PN_NEXT_START_TLS;
}

enum pn_next smtp_secured(struct pn_session *session, struct smtp_session *smtp,
                          const struct pn_stage_result *result)
{
	/* RFC 3207 section 4.2: all that the client said in the clear is forgotten. */
	smtp_reset(session, smtp);
	smtp->is_greeted = false;
	smtp->is_extended = false;
	smtp->has_hello_of_other = false;
	pn_session_set_hello(session, PN_SLICE(""));
	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
	case PN_VERDICT_ACCEPT:
		return PN_NEXT_LINE;
	case PN_VERDICT_REJECT:
	case PN_VERDICT_DEFER:
		/* The client reads it as the answer to the hello that it is about to send. */
		return smtp_turn_away(session, result, true);
	default:
		return PN_NEXT_CLOSE;
	}
}
