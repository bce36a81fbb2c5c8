/* SPDX-License-Identifier: Apache-2.0 */
/* LOGOUT (RFC 3501 section 6.1.3). */
#include "imap.h"

enum pn_next imap_logout(struct pn_session *session, struct imap_session *imap,
                         struct imap_parser *parser)
{
	if (!imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	imap_unselect_mailbox(session, imap);
	imap_untagged(session, "BYE see you");
	(void)imap_reply(session, imap, "OK bye");
	return PN_NEXT_CLOSE;
}
