/* SPDX-License-Identifier: Apache-2.0 */
/* CLOSE (RFC 3501 section 6.4.2), which expunges without a word, and UNSELECT (RFC 3691). */
#include "imap.h"

enum pn_next imap_unselect(struct pn_session *session, struct imap_session *imap,
                           struct imap_parser *parser)
{
	if (!imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	imap_unselect_mailbox(session, imap);
	return imap_reply(session, imap, "OK left");
}

static enum pn_next expunged(struct pn_session *session, struct imap_session *imap,
                             const struct pn_answer *answer)
{
	const struct pn_commit *commit = answer->result;

	if (answer->status != PN_OK || commit == NULL)
		return imap_store_refused(session, imap, answer, "the mailbox");
	imap_unselect_mailbox(session, imap);
	/* RFC 7162 section 3.2.8 */
	if ((imap->enabled & IMAP_CONDSTORE) != 0 && commit->results[0].uids.count > 0)
		return imap_reply(session, imap, "OK [HIGHESTMODSEQ %llu] closed",
		                  (unsigned long long)commit->results[0].modseq);
	return imap_reply(session, imap, "OK closed");
}

enum pn_next imap_close(struct pn_session *session, struct imap_session *imap,
                        struct imap_parser *parser)
{
	struct pn_commit *commit;
	struct pn_mutation *mutation;

	if (!imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	if (imap->view->is_read_only || imap->view->uids.count == 0) {
		imap_unselect_mailbox(session, imap);
		return imap_reply(session, imap, "OK closed");
	}
	commit = imap_commit_new(session, PN_MUTATION_EXPUNGE, imap->view->mailbox, &mutation);
	mutation->on = true;
	mutation->uids = imap_uids_set(&imap->view->uids, commit->arena);
	return imap_commit(session, imap, commit, expunged);
}
