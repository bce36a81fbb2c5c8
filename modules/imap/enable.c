/* SPDX-License-Identifier: Apache-2.0 */
/* ENABLE (RFC 5161), and what counts as asking for CONDSTORE (RFC 7162 section 3.1). */
#include "imap.h"

#include <postern/text.h>

void imap_enable(struct pn_session *session, struct imap_session *imap, uint32_t what)
{
	bool had_condstore = (imap->enabled & IMAP_CONDSTORE) != 0;

	imap->enabled |= what;
	if (!had_condstore && (imap->enabled & IMAP_CONDSTORE) != 0 && imap->view != NULL)
		imap_untagged(session, "OK [HIGHESTMODSEQ %llu] modseqs from here on",
		              (unsigned long long)imap->view->highest_modseq);
}

enum pn_next imap_enable_command(struct pn_session *session, struct imap_session *imap,
                                 struct imap_parser *parser)
{
	uint32_t what = 0;
	bool condstore = false;
	bool qresync = false;
	struct pn_slice word;

	if (!imap_parse_space(parser))
		return imap_syntax(session, imap, parser);
	do {
		if (!imap_parse_atom(parser, &word))
			return imap_syntax(session, imap, parser);
		if (pn_slice_equal_ignore_case(word, PN_SLICE("CONDSTORE")) &&
		    imap_offers(session, imap, "CONDSTORE"))
			condstore = true;
		if (pn_slice_equal_ignore_case(word, PN_SLICE("QRESYNC")) &&
		    imap_offers(session, imap, "QRESYNC"))
			qresync = true;
	} while (imap_skip_char(parser, ' '));
	if (!imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	what = (condstore ? IMAP_CONDSTORE : 0) | (qresync ? IMAP_CONDSTORE | IMAP_QRESYNC : 0);
	imap_untagged(session, "ENABLED%s%s", condstore ? " CONDSTORE" : "",
	              qresync ? " QRESYNC" : "");
	imap_enable(session, imap, what);
	return imap_finish(session, imap, "OK from now on");
}
