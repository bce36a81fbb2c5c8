/* SPDX-License-Identifier: Apache-2.0 */
/* SUBSCRIBE and UNSUBSCRIBE (RFC 3501 sections 6.3.6 and 6.3.7): a list of names, whether there are
 * such mailboxes or not. */
#include "imap.h"

static enum pn_next changed(struct pn_session *session, struct imap_session *imap,
                            const struct pn_answer *answer)
{
	if (answer->status != PN_OK)
		return imap_store_refused(session, imap, answer, "the subscription");
	return imap_finish(session, imap, "OK done");
}

static enum pn_next subscribe(struct pn_session *session, struct imap_session *imap,
                              struct imap_parser *parser, bool on)
{
	struct pn_slice text;
	struct pn_slice name;
	const char *reason;
	struct pn_commit *commit;
	struct pn_mutation *mutation;

	if (!imap_parse_space(parser) || !imap_parse_astring(parser, &text) ||
	    !imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	if (text.size > 1 && text.data[text.size - 1] == '/')
		text.size--;
	if (!imap_mailbox_name(imap->arena, text, &name, &reason))
		return imap_finish(session, imap, "NO [CANNOT] %s", reason);
	commit = imap_commit_new(session, PN_MUTATION_SUBSCRIBE, 0, &mutation);
	mutation->name = pn_arena_keep(commit->arena, name);
	mutation->on = on;
	return imap_commit(session, imap, commit, changed);
}

enum pn_next imap_subscribe(struct pn_session *session, struct imap_session *imap,
                            struct imap_parser *parser)
{
	return subscribe(session, imap, parser, true);
}

enum pn_next imap_unsubscribe(struct pn_session *session, struct imap_session *imap,
                              struct imap_parser *parser)
{
	return subscribe(session, imap, parser, false);
}
