/* SPDX-License-Identifier: Apache-2.0 */
/* CREATE (RFC 3501 section 6.3.3), with USE (RFC 6154 section 3). */
#include "imap.h"

#include <postern/text.h>

static enum pn_next created(struct pn_session *session, struct imap_session *imap,
                            const struct pn_answer *answer)
{
	if (answer->status == PN_CONFLICT)
		return imap_finish(session, imap, "NO [ALREADYEXISTS] there is such a mailbox");
	if (answer->status != PN_OK)
		return imap_store_refused(session, imap, answer, "the mailbox");
	return imap_finish(session, imap, "OK created");
}

/* "(USE (\Drafts \Sent))" behind a space */
static bool parse_uses(struct imap_parser *parser, uint32_t *uses, bool *is_known)
{
	struct pn_slice word;

	*is_known = true;
	if (!imap_skip_char(parser, ' '))
		return true;
	if (!imap_parse_char(parser, '('))
		return false;
	if (!imap_skip_word(parser, "USE")) {
		parser->expected = "USE";
		return false;
	}
	if (!imap_parse_space(parser) || !imap_parse_char(parser, '('))
		return false;
	if (imap_skip_char(parser, ')'))
		return imap_parse_char(parser, ')');
	do {
		size_t start = parser->at;

		if (!imap_parse_char(parser, '\\') || !imap_parse_atom(parser, &word))
			return false;
		word = pn_slice_make(parser->text.data + start, parser->at - start);
		*is_known = *is_known && imap_special_use(word) != 0;
		*uses |= imap_special_use(word);
	} while (imap_skip_char(parser, ' '));
	return imap_parse_char(parser, ')') && imap_parse_char(parser, ')');
}

enum pn_next imap_create(struct pn_session *session, struct imap_session *imap,
                         struct imap_parser *parser)
{
	struct pn_slice text;
	struct pn_slice name;
	const char *reason;
	uint32_t uses = 0;
	bool uses_are_known;
	struct pn_commit *commit;
	struct pn_mutation *mutation;

	if (!imap_parse_space(parser) || !imap_parse_astring(parser, &text) ||
	    !parse_uses(parser, &uses, &uses_are_known) || !imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	if (!uses_are_known)
		return imap_finish(session, imap, "NO [USEATTR] this special use is not known");
	/* A separator at the end says that there will be levels below: nothing to be done for it.
	 */
	if (text.size > 1 && text.data[text.size - 1] == '/')
		text.size--;
	if (!imap_mailbox_name(imap->arena, text, &name, &reason))
		return imap_finish(session, imap, "NO [CANNOT] %s", reason);
	commit = imap_commit_new(session, PN_MUTATION_MAILBOX_CREATE, 0, &mutation);
	mutation->name = pn_arena_keep(commit->arena, name);
	mutation->attributes = uses;
	return imap_commit(session, imap, commit, created);
}
