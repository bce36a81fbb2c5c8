/* SPDX-License-Identifier: Apache-2.0 */
/* EXPUNGE (RFC 3501 section 6.4.3) and UID EXPUNGE (RFC 4315 section 2.1): of what this session
 * knows; the news tell it. */
#include "imap.h"

static enum pn_next told(struct pn_session *session, struct imap_session *imap)
{
	const struct pn_mutation_result *result = imap->work;

	/* RFC 7162 section 3.2.7 */
	if ((imap->enabled & IMAP_CONDSTORE) != 0 && result->uids.count > 0)
		return imap_reply(session, imap, "OK [HIGHESTMODSEQ %llu] expunged",
		                  (unsigned long long)imap->view->highest_modseq);
	return imap_reply(session, imap, "OK expunged");
}

static enum pn_next expunged(struct pn_session *session, struct imap_session *imap,
                             const struct pn_answer *answer)
{
	const struct pn_commit *commit = answer->result;
	struct pn_mutation_result *result = PN_ARENA_NEW(imap->arena, struct pn_mutation_result);

	if (answer->status != PN_OK || commit == NULL)
		return imap_store_refused(session, imap, answer, "the mailbox");
	*result = commit->results[0];
	imap->work = result;
	return imap_tell_news(session, imap, true, told);
}

enum pn_next imap_expunge(struct pn_session *session, struct imap_session *imap,
                          struct imap_parser *parser)
{
	struct imap_uids uids = {0};
	struct imap_set set;
	struct pn_commit *commit;
	struct pn_mutation *mutation;

	if (imap->is_uid && (!imap_parse_space(parser) || !imap_parse_set(parser, &set)))
		return imap_syntax(session, imap, parser);
	if (!imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	if (imap->view->is_read_only)
		return imap_finish(session, imap, "NO [READ-ONLY] the mailbox is read-only");
	if (imap->is_uid)
		(void)imap_view_resolve(imap, &set, true, imap->arena, &uids);
	else
		imap_uids_copy(&uids, &imap->view->uids);
	commit = imap_commit_new(session, PN_MUTATION_EXPUNGE, imap->view->mailbox, &mutation);
	mutation->on = true;
	mutation->uids = imap_uids_set(&uids, commit->arena);
	imap_uids_clear(&uids);
	return imap_commit(session, imap, commit, expunged);
}
