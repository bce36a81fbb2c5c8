/* SPDX-License-Identifier: Apache-2.0 */
/* COPY (RFC 3501 section 6.4.7) and MOVE (RFC 6851): whole or not at all, by reference; COPYUID
 * (RFC 4315) says which became which. */
#include "imap.h"

#include <postern/text.h>

struct copy_work {
	struct imap_uids uids;
	bool is_move;
	struct pn_slice copied; /* "1:3 7:9" for COPYUID */
	uint32_t uid_validity;
};

static void forget(struct imap_session *imap)
{
	struct copy_work *work = imap->work;

	imap_uids_clear(&work->uids);
}

/* The reply can be as long as the sets are. */
static void put_copyuid(struct pn_buffer *out, const struct copy_work *work)
{
	(void)!pn_buffer_print(out, "OK [COPYUID %u ", work->uid_validity);
	imap_put_slice(out, work->copied);
	imap_put(out, "]");
}

static enum pn_next finish(struct pn_session *session, struct imap_session *imap)
{
	const struct copy_work *work = imap->work;
	struct pn_buffer out;

	if (work->copied.size == 0)
		return imap_reply(session, imap, "OK there was nothing to do");
	if (work->is_move && (imap->enabled & IMAP_CONDSTORE) != 0)
		return imap_reply(session, imap, "OK [HIGHESTMODSEQ %llu] moved",
		                  (unsigned long long)imap->view->highest_modseq);
	if (work->is_move)
		return imap_reply(session, imap, "OK moved");
	pn_buffer_init(&out, 32 * 1024 * 1024);
	imap_put_slice(&out, imap->tag);
	imap_put(&out, " ");
	put_copyuid(&out, work);
	imap_put(&out, " copied\r\n");
	imap_send(session, &out);
	return imap_end_command(session, imap);
}

static void keep_copied(struct imap_session *imap, struct copy_work *work,
                        const struct pn_mutation_result *result)
{
	struct imap_uids source = {0};
	struct pn_buffer out;

	if (result->uid_count == 0)
		return;
	pn_buffer_init(&out, 16 * 1024 * 1024);
	imap_uids_take(&source, result->uids);
	imap_put_uids(&out, &source);
	imap_uids_clear(&source);
	(void)!pn_buffer_print(&out, result->uid_count > 1 ? " %u:%u" : " %u", result->first_uid,
	                       result->first_uid + (result->uid_count - 1));
	work->copied = pn_arena_keep(imap->arena, pn_buffer_slice(&out));
	work->uid_validity = result->uid_validity;
	pn_buffer_clear(&out);
}

static enum pn_next copied(struct pn_session *session, struct imap_session *imap,
                           const struct pn_answer *answer)
{
	struct copy_work *work = imap->work;
	const struct pn_commit *commit = answer->result;
	struct pn_buffer out;

	if (answer->status == PN_LIMIT)
		return imap_finish(session, imap, "NO [OVERQUOTA] the account is full");
	if (answer->status == PN_NOT_FOUND)
		return imap_finish(session, imap, "NO [TRYCREATE] there is no such mailbox");
	if (answer->status != PN_OK || commit == NULL)
		return imap_store_refused(session, imap, answer, "the mailbox");
	keep_copied(imap, work, &commit->results[0]);
	/* RFC 6851 section 4.3: before the messages are gone. */
	if (work->is_move && work->copied.size > 0) {
		pn_buffer_init(&out, 32 * 1024 * 1024);
		imap_put(&out, "* ");
		put_copyuid(&out, work);
		imap_put(&out, " moved\r\n");
		imap_send(session, &out);
	}
	return imap_tell_news(session, imap, true, finish);
}

static enum pn_next target_found(struct pn_session *session, struct imap_session *imap,
                                 const struct pn_answer *answer)
{
	struct copy_work *work = imap->work;
	const struct pn_mailboxes *found = answer->result;
	struct pn_commit *commit;
	struct pn_mutation *mutation;

	if (answer->status == PN_NOT_FOUND ||
	    (answer->status == PN_OK &&
	     (found == NULL || found->count == 0 || found->mailboxes[0].id == 0)))
		return imap_finish(session, imap, "NO [TRYCREATE] there is no such mailbox");
	if (answer->status != PN_OK)
		return imap_store_refused(session, imap, answer, "the mailbox");
	if (work->uids.count == 0)
		return imap_finish(session, imap, "OK there was nothing to do");
	commit = imap_commit_new(session, work->is_move ? PN_MUTATION_MOVE : PN_MUTATION_COPY,
	                         imap->view->mailbox, &mutation);
	mutation->target_mailbox = found->mailboxes[0].id;
	mutation->uids = imap_uids_set(&work->uids, commit->arena);
	return imap_commit(session, imap, commit, copied);
}

static enum pn_next copy(struct pn_session *session, struct imap_session *imap,
                         struct imap_parser *parser, bool is_move)
{
	struct copy_work *work = PN_ARENA_NEW(imap->arena, struct copy_work);
	struct pn_mailboxes_request request = {.struct_size = sizeof(request)};
	struct imap_set set;
	struct pn_slice text;
	const char *reason;

	if (!imap_parse_space(parser) || !imap_parse_set(parser, &set) ||
	    !imap_parse_space(parser) || !imap_parse_astring(parser, &text) ||
	    !imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	imap->work = work;
	imap->forget = forget;
	work->is_move = is_move;
	if (!imap_view_resolve(imap, &set, imap->is_uid, imap->arena, &work->uids))
		return imap_bad(session, imap, "there is no message of that number");
	if (is_move && imap->view->is_read_only)
		return imap_finish(session, imap, "NO [READ-ONLY] the mailbox is read-only");
	if (!imap_mailbox_name(imap->arena, text, &request.name, &reason))
		return imap_finish(session, imap, "NO [CANNOT] %s", reason);
	pn_store_mailboxes(pn_session_account(session), &request,
	                   imap_wait(session, imap, target_found));
	return PN_NEXT_ANSWER;
}

enum pn_next imap_copy(struct pn_session *session, struct imap_session *imap,
                       struct imap_parser *parser)
{
	return copy(session, imap, parser, false);
}

enum pn_next imap_move(struct pn_session *session, struct imap_session *imap,
                       struct imap_parser *parser)
{
	return copy(session, imap, parser, true);
}
