/* SPDX-License-Identifier: Apache-2.0 */
/* NOOP and CHECK (RFC 3501 sections 6.1.2 and 6.4.1): all that is new, now. */
#include "imap.h"

enum pn_next imap_noop(struct pn_session *session, struct imap_session *imap,
                       struct imap_parser *parser)
{
	if (!imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	/* Other workers' changes may not have been rung yet: the store knows them. */
	imap->is_stale = true;
	return imap_finish(session, imap, "OK done");
}
