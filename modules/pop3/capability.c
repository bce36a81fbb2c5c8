/* SPDX-License-Identifier: Apache-2.0 */
/* CAPA (RFC 2449): what holds now, and nothing else; and STLS (RFC 2595 section 4). */
#include "pop3.h"

enum pn_next pop3_capa(struct pn_session *session, struct pop3_session *pop3,
                       struct pn_slice argument)
{
	if (argument.size > 0)
		return pop3_error(session, pop3, "CAPA takes no argument");
	pop3_ok(session, "capabilities follow");
	pn_session_write(session, PN_SLICE("TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n"
	                                   "PIPELINING\r\n"));
	if (!pop3->is_open && pn_sasl_takes_passwords(session))
		pn_session_write(session, PN_SLICE("USER\r\n"));
	if (!pop3->is_open && pn_sasl_mechanisms(session)[0] != '\0')
		pn_session_print(session, "SASL %s\r\n", pn_sasl_mechanisms(session));
	if (!pop3->is_open && pn_session_can_start_tls(session))
		pn_session_write(session, PN_SLICE("STLS\r\n"));
	pn_session_write(session, PN_SLICE("IMPLEMENTATION Postern\r\n.\r\n"));
	return PN_NEXT_LINE;
}

/* Bytes that arrived before the handshake end the session; the gateway sees to it. */
enum pn_next pop3_stls(struct pn_session *session, struct pop3_session *pop3,
                       struct pn_slice argument)
{
	if (argument.size > 0)
		return pop3_error(session, pop3, "STLS takes no argument");
	if (pn_session_is_encrypted(session))
		return pop3_error(session, pop3, "TLS is up already");
	if (!pn_session_can_start_tls(session))
		return pop3_error(session, pop3, "STLS is not offered here");
	pop3_ok(session, "begin TLS");
	pop3->waiting = POP3_WAIT_SECURED;
	return PN_NEXT_START_TLS;
}

enum pn_next pop3_secured(struct pn_session *session, struct pop3_session *pop3,
                          const struct pn_stage_result *result)
{
	/* What was said in the clear is forgotten. */
	pop3->name_size = 0;
	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
	case PN_VERDICT_ACCEPT:
		return PN_NEXT_LINE;
	case PN_VERDICT_REJECT:
		return pop3_farewell(session, "SYS/PERM", result->reply.text);
	case PN_VERDICT_DEFER:
		return pop3_farewell(session, "SYS/TEMP", result->reply.text);
	default:
		return PN_NEXT_CLOSE;
	}
}
