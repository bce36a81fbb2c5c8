/* SPDX-License-Identifier: Apache-2.0 */
/* DELETE (RFC 3501 section 6.3.4). Mailboxes below it stay; its name is then a level of the tree.
 */
#include "imap.h"

#include <postern/text.h>

static enum pn_next deleted(struct pn_session *session, struct imap_session *imap,
                            const struct pn_answer *answer)
{
	const uint64_t *mailbox = imap->work;

	if (answer->status != PN_OK)
		return imap_store_refused(session, imap, answer, "the mailbox");
	if (imap->view != NULL && imap->view->mailbox == *mailbox) {
		imap_unselect_mailbox(session, imap);
		imap_untagged(session, "OK [CLOSED] it is gone");
	}
	return imap_finish(session, imap, "OK deleted");
}

static enum pn_next found(struct pn_session *session, struct imap_session *imap,
                          const struct pn_answer *answer)
{
	const struct pn_mailboxes *mailboxes = answer->result;
	uint64_t *mailbox = imap->work;
	struct pn_commit *commit;
	struct pn_mutation *mutation;

	if (answer->status != PN_OK || mailboxes == NULL)
		return imap_store_refused(session, imap, answer, "the mailbox");
	if (mailboxes->count == 0 || mailboxes->mailboxes[0].id == 0)
		return imap_finish(session, imap, "NO [%s] there is no such mailbox",
		                   mailboxes->count > 0 && (mailboxes->mailboxes[0].attributes &
		                                            PN_MAILBOX_HAS_CHILDREN) != 0
		                           ? "HASCHILDREN"
		                           : "NONEXISTENT");
	*mailbox = mailboxes->mailboxes[0].id;
	commit = imap_commit_new(session, PN_MUTATION_MAILBOX_DELETE, *mailbox, &mutation);
	return imap_commit(session, imap, commit, deleted);
}

enum pn_next imap_delete(struct pn_session *session, struct imap_session *imap,
                         struct imap_parser *parser)
{
	struct pn_mailboxes_request request = {.struct_size = sizeof(request)};
	struct pn_slice text;
	const char *reason;

	if (!imap_parse_space(parser) || !imap_parse_astring(parser, &text) ||
	    !imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	if (!imap_mailbox_name(imap->arena, text, &request.name, &reason))
		return imap_finish(session, imap, "NO [NONEXISTENT] %s", reason);
	if (imap_is_inbox(request.name))
		return imap_finish(session, imap, "NO [CANNOT] INBOX stays");
	imap->work = PN_ARENA_NEW(imap->arena, uint64_t);
	pn_store_mailboxes(pn_session_account(session), &request, imap_wait(session, imap, found));
	return PN_NEXT_ANSWER;
}
