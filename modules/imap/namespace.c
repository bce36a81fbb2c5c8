/* SPDX-License-Identifier: Apache-2.0 */
/* NAMESPACE (RFC 2342): one's own mailboxes, and no others yet. */
#include "imap.h"

enum pn_next imap_namespace(struct pn_session *session, struct imap_session *imap,
                            struct imap_parser *parser)
{
	if (!imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	imap_untagged(session, "NAMESPACE ((\"\" \"/\")) NIL NIL");
	return imap_finish(session, imap, "OK that is all");
}
