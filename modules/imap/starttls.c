/* SPDX-License-Identifier: Apache-2.0 */
/* STARTTLS (RFC 3501 section 6.2.1). Bytes behind the command end the session; the gateway sees to
 * it. */
#include "imap.h"

static enum pn_next secured(struct pn_session *session, struct imap_session *imap,
                            const struct pn_answer *answer)
{
	const struct pn_stage_result *result = answer->result;

	(void)imap;
	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
	case PN_VERDICT_ACCEPT:
		return PN_NEXT_LINE;
	case PN_VERDICT_REJECT:
	case PN_VERDICT_DEFER:
		return imap_bye(session, result->reply.text);
	default:
		return PN_NEXT_CLOSE;
	}
}

enum pn_next imap_starttls(struct pn_session *session, struct imap_session *imap,
                           struct imap_parser *parser)
{
	if (!imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	if (pn_session_is_encrypted(session))
		return imap_bad(session, imap, "TLS is up already");
	if (!pn_session_can_start_tls(session))
		return imap_bad(session, imap, "STARTTLS is not offered here");
	(void)imap_reply(session, imap, "OK begin TLS");
	/* What was said in the clear is forgotten. */
	imap->errors = 0;
	pn_session_set_hello(session, PN_SLICE(""));
	pn_session_set_note(session, PN_SLICE("imap.id"), PN_SLICE(""));
	imap->on_answer = secured;
	return PN_NEXT_START_TLS;
}
