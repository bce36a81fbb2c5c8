/* SPDX-License-Identifier: Apache-2.0 */
/*
 * News of the selected mailbox: what others (and this session) changed since the last
 * look, told in an order in which every sequence number is right when it is read:
 * changed flags under the old numbers, EXISTS, and then what is gone.
 *
 * It is asked for page by page, so that a million changes are never in memory; what
 * is gone is gathered as ranges. Where it may not be said (hold_expunges) it stays in
 * the view, and its rows can be fetched on.
 */
#include "imap.h"

#include <postern/text.h>

struct imap_sync {
	imap_resumed *then;
	uint64_t modseq;         /* of the first page; 0: none came yet */
	uint64_t highest_modseq; /* of the mailbox, then */
	uint32_t from_uid;
	bool is_complete;
	bool has_moved; /* messages came or went */
	struct imap_told told;
	struct imap_uids gone; /* what is being told */
	uint32_t left;         /* of EXPUNGE lines: places still to look at */
};

static struct imap_sync *sync_of(struct imap_session *imap)
{
	if (imap->arena == NULL)
		imap->arena = pn_arena_new();
	if (imap->sync == NULL)
		imap->sync = PN_ARENA_NEW(imap->arena, struct imap_sync);
	return imap->sync;
}

void imap_set_told(struct imap_session *imap, const struct imap_told *told)
{
	sync_of(imap)->told = *told;
}

static enum pn_next leave(struct pn_session *session, struct imap_session *imap)
{
	imap_resumed *then = imap->sync->then;

	/* A client that resynchronizes later begins there, not where it selected the mailbox: what
	 * is new and what is gone came without a modseq. */
	if (imap->sync->has_moved && (imap->enabled & IMAP_CONDSTORE) != 0 &&
	    imap->view->vanished.count == 0)
		imap_untagged(session, "OK [HIGHESTMODSEQ %llu] so far",
		              (unsigned long long)imap->view->highest_modseq);
	imap_uids_clear(&imap->sync->gone);
	imap->sync = NULL;
	return then(session, imap);
}

/* ---- what is gone ---- */

/* From the end to the front: no line changes what the next ones mean. */
static enum pn_next tell_expunges(struct pn_session *session, struct imap_session *imap)
{
	struct imap_sync *sync = imap->sync;
	struct imap_view *view = imap->view;
	struct pn_buffer out;

	pn_buffer_init(&out, 1024 * 1024);
	while (sync->left > 0) {
		uint32_t uid = imap_uids_at(&sync->gone, sync->left);

		imap_put(&out, "* ");
		imap_put_number(&out, imap_uids_sequence(&view->uids, uid));
		imap_put(&out, " EXPUNGE\r\n");
		sync->left--;
		if (out.size > 32 * 1024)
			imap_send(session, &out);
		if (imap_must_drain(session, imap, tell_expunges)) {
			imap_send(session, &out);
			return PN_NEXT_DRAIN;
		}
	}
	imap_send(session, &out);
	imap_uids_remove(&view->uids, &sync->gone);
	return leave(session, imap);
}

static enum pn_next tell_vanished(struct pn_session *session, struct imap_session *imap)
{
	struct pn_buffer out;

	pn_buffer_init(&out, 32 * 1024 * 1024);
	imap_put(&out, "* VANISHED ");
	imap_put_uids(&out, &imap->sync->gone);
	imap_put(&out, "\r\n");
	imap_send(session, &out);
	imap_uids_remove(&imap->view->uids, &imap->sync->gone);
	return leave(session, imap);
}

/* Also where a later page did not come: what is in the view can be fetched by its number. */
static void tell_new(struct pn_session *session, struct imap_session *imap)
{
	struct imap_view *view = imap->view;

	if (!view->has_new)
		return;
	view->has_new = false;
	imap->sync->has_moved = true;
	imap_untagged(session, "%u EXISTS", imap_uids_count(&view->uids));
	imap_untagged(session, "%u RECENT", imap_recent_count(view));
}

static enum pn_next tell_rest(struct pn_session *session, struct imap_session *imap)
{
	struct imap_sync *sync = imap->sync;
	struct imap_view *view = imap->view;

	tell_new(session, imap);
	imap_uids_add(&view->vanished, &sync->gone);
	imap_uids_clear(&sync->gone);
	if (imap->hold_expunges || view->vanished.count == 0)
		return leave(session, imap);
	sync->has_moved = true;
	sync->gone = view->vanished;
	view->vanished = (struct imap_uids){0};
	if (imap->saved.count > 0)
		imap_uids_remove(&imap->saved, &sync->gone);
	if ((imap->enabled & IMAP_QRESYNC) != 0)
		return tell_vanished(session, imap);
	sync->left = imap_uids_count(&sync->gone);
	return tell_expunges(session, imap);
}

/* ---- pages of changes ---- */

static void tell_row(struct pn_session *session, struct imap_session *imap, struct pn_buffer *out,
                     const struct pn_row *row)
{
	const struct imap_told *told = &imap->sync->told;
	uint32_t sequence = imap_uids_sequence(&imap->view->uids, row->uid);
	bool with_uid = imap->is_uid || (imap->enabled & IMAP_QRESYNC) != 0;
	bool with_flags = true;

	if (sequence == 0)
		return;
	if (told->uids != NULL && row->modseq <= told->modseq &&
	    imap_uids_has(told->uids, row->uid)) {
		if (!told->modseq_only)
			return;
		with_flags = false;
	}
	imap_learn_keywords(session, imap, out, &row->flags);
	imap_put_flags_line(imap, out, sequence, row, with_uid, with_flags);
}

static void take_rows(struct pn_session *session, struct imap_session *imap,
                      const struct pn_changes *changes)
{
	struct imap_view *view = imap->view;
	struct pn_buffer out;

	pn_buffer_init(&out, 8 * 1024 * 1024);
	for (size_t i = 0; i < changes->count; i++) {
		const struct pn_row *row = imap_row(changes->rows, changes->row_size, i);

		if (row->uid < view->uid_next) {
			tell_row(session, imap, &out, row);
			continue;
		}
		imap_uids_append(&view->uids, row->uid, row->uid);
		view->uid_next = row->uid + 1;
		view->has_new = true;
		imap_learn_keywords(session, imap, &out, &row->flags);
	}
	imap_send(session, &out);
}

static enum pn_next ask_page(struct pn_session *session, struct imap_session *imap);

static enum pn_next page_came(struct pn_session *session, struct imap_session *imap,
                              const struct pn_answer *answer)
{
	struct imap_sync *sync = imap->sync;
	const struct pn_changes *changes = answer->result;
	struct imap_uids vanished = {0};
	struct imap_uids told = {0};

	if (answer->status == PN_NOT_FOUND)
		return imap_bye(session, "the selected mailbox was deleted");
	if (answer->status != PN_OK || changes == NULL) {
		imap->is_stale = true;
		imap->news_failed = true;
		tell_new(session, imap);
		pn_session_log(session, "the store did not tell the news: %s",
		               answer->error != NULL ? answer->error->text
		                                     : pn_status_name(answer->status));
		return leave(session, imap);
	}
	if (changes->mailbox.uid_validity != imap->view->uid_validity)
		return imap_bye(session, "the selected mailbox was made anew");
	if (sync->modseq == 0) {
		sync->modseq = changes->modseq;
		sync->highest_modseq = changes->mailbox.highest_modseq;
	}
	/* Only what the client knows can vanish for it. */
	imap_uids_take(&vanished, changes->vanished);
	imap_uids_common(&told, &vanished, &imap->view->uids);
	imap_uids_add(&sync->gone, &told);
	imap_uids_clear(&vanished);
	imap_uids_clear(&told);
	take_rows(session, imap, changes);
	sync->is_complete = changes->is_complete;
	sync->from_uid = changes->next_uid;
	if (imap_must_drain(session, imap, ask_page))
		return PN_NEXT_DRAIN;
	return ask_page(session, imap);
}

static enum pn_next ask_page(struct pn_session *session, struct imap_session *imap)
{
	struct imap_sync *sync = imap->sync;
	const struct pn_changes_request request = {
		.struct_size = sizeof(request),
		.mailbox = imap->view->mailbox,
		.since = imap->view->modseq,
		.max_rows = IMAP_ROWS_AT_ONCE,
		.from_uid = sync->from_uid,
	};

	if (sync->is_complete) {
		imap->view->modseq = sync->modseq;
		if (imap->view->highest_modseq < sync->highest_modseq)
			imap->view->highest_modseq = sync->highest_modseq;
		return tell_rest(session, imap);
	}
	pn_store_changes(pn_session_account(session), &request,
	                 imap_wait(session, imap, page_came));
	return PN_NEXT_ANSWER;
}

enum pn_next imap_tell_news(struct pn_session *session, struct imap_session *imap, bool force,
                            imap_resumed *then)
{
	struct imap_sync *sync;
	bool has_gone =
		imap->view != NULL && imap->view->vanished.count > 0 && !imap->hold_expunges;

	if (imap->view == NULL || (!force && !imap->is_stale && !has_gone)) {
		imap->sync = NULL;
		return then(session, imap);
	}
	sync = sync_of(imap);
	sync->then = then;
	imap->is_stale = false;
	imap->news_failed = false;
	return ask_page(session, imap);
}

void imap_sync_abandon(struct imap_session *imap)
{
	if (imap->sync == NULL)
		return;
	imap_uids_clear(&imap->sync->gone);
	imap->sync = NULL;
}
