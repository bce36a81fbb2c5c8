/* SPDX-License-Identifier: Apache-2.0 */
/* RENAME (RFC 3501 section 6.3.5). INBOX stays and its messages move; a level that is no mailbox
 * moves with all that is below it. */
#include "imap.h"

#include <postern/text.h>

struct rename_work {
	struct pn_slice old_name;
	struct pn_slice new_name;
};

static enum pn_next renamed(struct pn_session *session, struct imap_session *imap,
                            const struct pn_answer *answer)
{
	if (answer->status == PN_CONFLICT)
		return imap_finish(session, imap, "NO [ALREADYEXISTS] the new name is taken");
	if (answer->status != PN_OK)
		return imap_store_refused(session, imap, answer, "the mailbox");
	imap->is_stale = true;
	return imap_finish(session, imap, "OK renamed");
}

static void add_rename(struct pn_session *session, struct pn_commit *commit, uint64_t mailbox,
                       const char *name)
{
	struct pn_mutation *mutation = pn_commit_add(commit, PN_MUTATION_MAILBOX_RENAME);

	mutation->account =
		pn_arena_keep(commit->arena, pn_account_name(pn_session_account(session)));
	mutation->mailbox = mailbox;
	mutation->name = pn_slice_of(name);
}

static bool is_below(struct pn_slice name, struct pn_slice level)
{
	return name.size > level.size && name.data[level.size] == '/' &&
	       memcmp(name.data, level.data, level.size) == 0;
}

static const struct pn_mailbox_info *mailbox_at(const struct pn_mailboxes *mailboxes, size_t index)
{
	const char *place = (const char *)mailboxes->mailboxes + index * mailboxes->mailbox_size;

	return (const struct pn_mailbox_info *)(const void *)place;
}

static bool begins_with(struct pn_slice name, struct pn_slice start)
{
	return name.size > start.size && memcmp(name.data, start.data, start.size) == 0;
}

/* Names are sorted, and "a b" stands between "a" and "a/b". */
static bool moves_along(struct pn_slice name, const struct pn_slice *above, size_t depth)
{
	for (size_t i = 0; i < depth; i++) {
		if (is_below(name, above[i]))
			return true;
	}
	return false;
}

/* Mailboxes below a level; those below one of them move along with it. */
static enum pn_next all_came(struct pn_session *session, struct imap_session *imap,
                             const struct pn_answer *answer)
{
	const struct rename_work *work = imap->work;
	const struct pn_mailboxes *mailboxes = answer->result;
	struct pn_slice above[PN_MAILBOX_NAME_MAX + 1]; /* each is the beginning of the next */
	size_t depth = 0;
	struct pn_commit *commit;

	if (answer->status != PN_OK || mailboxes == NULL)
		return imap_store_refused(session, imap, answer, "the mailbox");
	commit = pn_commit_new(0, mailboxes->count);
	for (size_t i = 0; i < mailboxes->count; i++) {
		const struct pn_mailbox_info *info = mailbox_at(mailboxes, i);

		if (info->id == 0 || !is_below(info->name, work->old_name))
			continue;
		while (depth > 0 && !begins_with(info->name, above[depth - 1]))
			depth--;
		if (moves_along(info->name, above, depth))
			continue;
		above[depth++] = info->name;
		add_rename(session, commit, info->id,
		           pn_arena_print(commit->arena, "%.*s%.*s", PN_SLICE_ARGS(work->new_name),
		                          PN_SLICE_ARGS(pn_slice_behind(info->name,
		                                                        work->old_name.size))));
	}
	return imap_commit(session, imap, commit, renamed);
}

static enum pn_next found(struct pn_session *session, struct imap_session *imap,
                          const struct pn_answer *answer)
{
	const struct rename_work *work = imap->work;
	const struct pn_mailboxes *mailboxes = answer->result;
	const struct pn_mailboxes_request all = {.struct_size = sizeof(all)};
	struct pn_commit *commit;

	if (answer->status != PN_OK || mailboxes == NULL)
		return imap_store_refused(session, imap, answer, "the mailbox");
	if (mailboxes->count == 0 ||
	    (mailboxes->mailboxes[0].attributes & PN_MAILBOX_NONEXISTENT) != 0)
		return imap_finish(session, imap, "NO [NONEXISTENT] there is no such mailbox");
	if (mailboxes->mailboxes[0].id == 0) {
		pn_store_mailboxes(pn_session_account(session), &all,
		                   imap_wait(session, imap, all_came));
		return PN_NEXT_ANSWER;
	}
	commit = pn_commit_new(0, 1);
	add_rename(session, commit, mailboxes->mailboxes[0].id,
	           pn_arena_keep_text(commit->arena, work->new_name));
	return imap_commit(session, imap, commit, renamed);
}

enum pn_next imap_rename(struct pn_session *session, struct imap_session *imap,
                         struct imap_parser *parser)
{
	struct rename_work *work = PN_ARENA_NEW(imap->arena, struct rename_work);
	struct pn_mailboxes_request request = {.struct_size = sizeof(request)};
	struct pn_slice old_text;
	struct pn_slice new_text;
	const char *reason;

	if (!imap_parse_space(parser) || !imap_parse_astring(parser, &old_text) ||
	    !imap_parse_space(parser) || !imap_parse_astring(parser, &new_text) ||
	    !imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	if (!imap_mailbox_name(imap->arena, old_text, &work->old_name, &reason))
		return imap_finish(session, imap, "NO [NONEXISTENT] %s", reason);
	if (!imap_mailbox_name(imap->arena, new_text, &work->new_name, &reason))
		return imap_finish(session, imap, "NO [CANNOT] %s", reason);
	if (imap_is_inbox(work->new_name))
		return imap_finish(session, imap, "NO [ALREADYEXISTS] there is an INBOX");
	if (!imap_is_inbox(work->old_name) && is_below(work->new_name, work->old_name))
		return imap_finish(session, imap, "NO [CANNOT] the new name is below the old one");
	imap->work = work;
	request.name = work->old_name;
	pn_store_mailboxes(pn_session_account(session), &request, imap_wait(session, imap, found));
	return PN_NEXT_ANSWER;
}
