/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SELECT and EXAMINE (RFC 3501 sections 6.3.1 and 6.3.2), with CONDSTORE and QRESYNC
 * (RFC 7162 sections 3.1.8 and 3.2.5). A hook at mailbox.open may refuse; it finds the
 * name in the session's note "imap.mailbox".
 */
#include "imap.h"

#include <postern/text.h>

struct select_work {
	struct pn_slice name;
	bool is_read_only;
	uint64_t mailbox;
	uint32_t first_unseen_from; /* where the search for the first unseen message goes on */

	/* QRESYNC */
	bool has_resync;
	uint32_t uid_validity;
	uint64_t since;
	struct imap_uids known; /* malloc'd; given back by forget */
	bool has_known;
	uint32_t from_uid;
	struct imap_uids vanished;
};

/* In the work of a command, but not in its arena. */
static void forget(struct imap_session *imap)
{
	struct select_work *work = imap->work;

	imap_uids_clear(&work->known);
	imap_uids_clear(&work->vanished);
}

static enum pn_next finish(struct pn_session *session, struct imap_session *imap)
{
	const struct select_work *work = imap->work;

	return imap_reply(session, imap, "OK [%s] selected",
	                  work->is_read_only ? "READ-ONLY" : "READ-WRITE");
}

static enum pn_next give_up(struct pn_session *session, struct imap_session *imap)
{
	imap_unselect_mailbox(session, imap);
	return imap_reply(session, imap, "NO [UNAVAILABLE] the mailbox cannot be read now");
}

/* ---- QRESYNC ---- */

static enum pn_next ask_rows(struct pn_session *session, struct imap_session *imap);

/* Messages of the view that are new or changed. One that went after the view was opened is among
 * them: its row is kept, and that it went will be told as any other news. */
static enum pn_next rows_came(struct pn_session *session, struct imap_session *imap,
                              const struct pn_answer *answer)
{
	struct select_work *work = imap->work;
	const struct pn_rows *rows = answer->result;
	struct pn_buffer out;

	if (answer->status != PN_OK || rows == NULL)
		return give_up(session, imap);
	pn_buffer_init(&out, 8 * 1024 * 1024);
	for (size_t i = 0; i < rows->count; i++) {
		const struct pn_row *row = imap_row(rows->rows, rows->row_size, i);
		uint32_t sequence = imap_uids_sequence(&imap->view->uids, row->uid);

		if (sequence != 0)
			imap_put_flags_line(imap, &out, sequence, row, true, true);
	}
	imap_send(session, &out);
	work->from_uid = rows->next_uid;
	if (rows->next_uid == 0)
		return finish(session, imap);
	if (imap_must_drain(session, imap, ask_rows))
		return PN_NEXT_DRAIN;
	return ask_rows(session, imap);
}

static enum pn_next ask_rows(struct pn_session *session, struct imap_session *imap)
{
	const struct select_work *work = imap->work;
	struct pn_arena *arena = pn_arena_new();
	const struct pn_rows_request request = {
		.struct_size = sizeof(request),
		.mailbox = work->mailbox,
		.uids = imap_uids_set_from(&imap->view->uids, work->from_uid, arena),
		.fields = PN_ROW_FLAGS,
		.changed_since = work->since,
		.with_expunged = true,
		.max_rows = IMAP_ROWS_AT_ONCE,
	};

	pn_store_rows(pn_session_account(session), &request, imap_wait(session, imap, rows_came));
	pn_arena_free(&arena);
	return PN_NEXT_ANSWER;
}

/* RFC 7162 section 3.2.6: before any FETCH. */
static enum pn_next tell_vanished(struct pn_session *session, struct imap_session *imap)
{
	struct select_work *work = imap->work;
	struct pn_buffer out;

	imap_uids_remove(&work->vanished, &imap->view->uids);
	if (work->vanished.count > 0) {
		pn_buffer_init(&out, 32 * 1024 * 1024);
		imap_put(&out, "* VANISHED (EARLIER) ");
		imap_put_uids(&out, &work->vanished);
		imap_put(&out, "\r\n");
		imap_send(session, &out);
	}
	work->from_uid = 0;
	return ask_rows(session, imap);
}

static void take_vanished(struct select_work *work, const struct pn_changes *changes)
{
	struct imap_uids page = {0};
	struct imap_uids common = {0};

	imap_uids_take(&page, changes->vanished);
	if (work->has_known)
		imap_uids_common(&common, &page, &work->known);
	imap_uids_add(&work->vanished, work->has_known ? &common : &page);
	imap_uids_clear(&page);
	imap_uids_clear(&common);
}

static enum pn_next ask_vanished(struct pn_session *session, struct imap_session *imap);

static enum pn_next vanished_came(struct pn_session *session, struct imap_session *imap,
                                  const struct pn_answer *answer)
{
	struct select_work *work = imap->work;
	const struct pn_changes *changes = answer->result;

	if (answer->status != PN_OK || changes == NULL)
		return give_up(session, imap);
	take_vanished(work, changes);
	work->from_uid = changes->next_uid;
	return changes->is_complete ? tell_vanished(session, imap) : ask_vanished(session, imap);
}

static enum pn_next ask_vanished(struct pn_session *session, struct imap_session *imap)
{
	const struct select_work *work = imap->work;
	const struct pn_changes_request request = {
		.struct_size = sizeof(request),
		.mailbox = work->mailbox,
		.since = work->since,
		.max_rows = 16 * IMAP_ROWS_AT_ONCE,
		.from_uid = work->from_uid,
	};

	pn_store_changes(pn_session_account(session), &request,
	                 imap_wait(session, imap, vanished_came));
	return PN_NEXT_ANSWER;
}

/* ---- what every SELECT tells ---- */

static enum pn_next tell_rest(struct pn_session *session, struct imap_session *imap)
{
	struct select_work *work = imap->work;
	struct imap_view *view = imap->view;

	imap_untagged(session, "OK [UIDVALIDITY %u] UIDs are valid", view->uid_validity);
	imap_untagged(session, "OK [UIDNEXT %u] the next UID", view->uid_next);
	imap_untagged(session, "OK [HIGHESTMODSEQ %llu] the highest",
	              (unsigned long long)view->highest_modseq);
	if (!work->is_read_only)
		imap_claim_recent(session, imap);
	if (work->has_resync && work->uid_validity == view->uid_validity)
		return ask_vanished(session, imap);
	return finish(session, imap);
}

static enum pn_next ask_unseen(struct pn_session *session, struct imap_session *imap);

static enum pn_next unseen_came(struct pn_session *session, struct imap_session *imap,
                                const struct pn_answer *answer)
{
	struct select_work *work = imap->work;
	const struct pn_rows *rows = answer->result;

	if (answer->status != PN_OK || rows == NULL)
		return give_up(session, imap);
	for (size_t i = 0; i < rows->count; i++) {
		const struct pn_row *row = imap_row(rows->rows, rows->row_size, i);
		uint32_t sequence = imap_uids_sequence(&imap->view->uids, row->uid);

		if ((row->flags.system & PN_FLAG_SEEN) != 0 || sequence == 0)
			continue;
		imap_untagged(session, "OK [UNSEEN %u] the first unseen", sequence);
		return tell_rest(session, imap);
	}
	work->first_unseen_from = rows->next_uid;
	if (rows->next_uid == 0 || rows->next_uid >= imap->view->uid_next)
		return tell_rest(session, imap);
	return ask_unseen(session, imap);
}

static enum pn_next ask_unseen(struct pn_session *session, struct imap_session *imap)
{
	struct select_work *work = imap->work;
	/* The first look is short: in many mailboxes the oldest messages are unseen, or the newest.
	 */
	const struct pn_uid_range range = {work->first_unseen_from, imap->view->uid_next - 1};
	const struct pn_rows_request request = {
		.struct_size = sizeof(request),
		.mailbox = work->mailbox,
		.uids = {&range, 1},
		.fields = PN_ROW_FLAGS,
		.max_rows = work->first_unseen_from == 1 ? 64 : 4 * IMAP_ROWS_AT_ONCE,
	};

	pn_store_rows(pn_session_account(session), &request, imap_wait(session, imap, unseen_came));
	return PN_NEXT_ANSWER;
}

static void open_view(struct imap_session *imap, const struct select_work *work,
                      const struct pn_view *found)
{
	struct imap_view *view = imap_view_new();

	view->mailbox = found->mailbox.id;
	view->uid_validity = found->mailbox.uid_validity;
	view->uid_next = found->mailbox.uid_next;
	view->modseq = found->modseq;
	view->highest_modseq =
		found->mailbox.highest_modseq > 0 ? found->mailbox.highest_modseq : 1;
	view->recent_uid = found->recent_uid != 0 ? found->recent_uid : found->mailbox.uid_next;
	view->first_unclaimed = view->recent_uid;
	view->is_read_only = work->is_read_only;
	imap_uids_take(&view->uids, found->uids);
	for (size_t i = 0; i < found->keyword_count; i++)
		imap_add_keyword(view, found->keywords[i]);
	imap->view = view;
	imap->state = IMAP_SELECTED;
	imap->is_stale = false;
}

static enum pn_next view_came(struct pn_session *session, struct imap_session *imap,
                              const struct pn_answer *answer)
{
	struct select_work *work = imap->work;
	const struct pn_view *found = answer->result;

	if (answer->status != PN_OK || found == NULL)
		return imap_store_refused(session, imap, answer, "the mailbox");
	open_view(imap, work, found);
	imap_tell_flags(session, imap->view);
	imap_untagged(session, "%u EXISTS", imap_uids_count(&imap->view->uids));
	imap_untagged(session, "%u RECENT", imap_recent_count(imap->view));
	if (found->mailbox.unseen_count == 0)
		return tell_rest(session, imap);
	work->first_unseen_from = 1;
	return ask_unseen(session, imap);
}

static enum pn_next opening_judged(struct pn_session *session, struct imap_session *imap,
                                   const struct pn_answer *answer)
{
	struct select_work *work = imap->work;
	const struct pn_stage_result *result = answer->result;
	const struct pn_view_request request = {
		.struct_size = sizeof(request),
		.mailbox = work->mailbox,
	};

	if (result->verdict != PN_VERDICT_CONTINUE && result->verdict != PN_VERDICT_ACCEPT)
		return imap_reply(session, imap, "NO [%s] %s",
		                  result->verdict == PN_VERDICT_DEFER ? "UNAVAILABLE" : "NOPERM",
		                  result->reply.text);
	pn_store_view(pn_session_account(session), &request, imap_wait(session, imap, view_came));
	return PN_NEXT_ANSWER;
}

static enum pn_next mailbox_found(struct pn_session *session, struct imap_session *imap,
                                  const struct pn_answer *answer)
{
	struct select_work *work = imap->work;
	const struct pn_mailboxes *found = answer->result;

	if (answer->status != PN_OK || found == NULL || found->count == 0 ||
	    found->mailboxes[0].id == 0) {
		if (answer->status == PN_OK)
			return imap_reply(session, imap,
			                  "NO [NONEXISTENT] there is no such mailbox");
		return imap_store_refused(session, imap, answer, "the mailbox");
	}
	work->mailbox = found->mailboxes[0].id;
	pn_session_set_note(session, PN_SLICE("imap.mailbox"), work->name);
	imap->on_answer = opening_judged;
	return pn_stage_ask(session, PN_STAGE_MAILBOX_OPEN);
}

/* ---- parameters ---- */

/* (QRESYNC (uidvalidity modseq [known-uids] [seq-match-data])). What the client says of sequence
 * numbers would spare a server without a log of expunges some work; this one has a log. */
static bool parse_resync(struct imap_parser *parser, struct select_work *work)
{
	struct imap_set known;
	struct imap_set ignored;

	if (!imap_parse_space(parser) || !imap_parse_char(parser, '(') ||
	    !imap_parse_number(parser, &work->uid_validity) || !imap_parse_space(parser) ||
	    !imap_parse_number64(parser, &work->since))
		return false;
	/* The grammar has no 0, but it is what a client may remember of a server without QRESYNC:
	 * no UIDVALIDITY, or nothing of what happened, and no reason to keep it out. */
	work->has_resync = true;
	if (imap_skip_char(parser, ' ') && imap_peek(parser) != '(') {
		if (!imap_parse_known_uids(parser, &known))
			return false;
		work->has_known = true;
		imap_set_numbers(&known, 0, parser->arena, &work->known);
		(void)imap_skip_char(parser, ' ');
	}
	if (imap_skip_char(parser, '(') &&
	    (!imap_parse_known_uids(parser, &ignored) || !imap_parse_space(parser) ||
	     !imap_parse_known_uids(parser, &ignored) || !imap_parse_char(parser, ')')))
		return false;
	return imap_parse_char(parser, ')');
}

static bool parse_parameters(struct imap_session *imap, struct imap_parser *parser,
                             struct select_work *work)
{
	if (!imap_skip_char(parser, ' '))
		return true;
	if (!imap_parse_char(parser, '('))
		return false;
	do {
		if (imap_skip_word(parser, "CONDSTORE")) {
			imap->enabled |= IMAP_CONDSTORE;
		} else if (imap_skip_word(parser, "QRESYNC")) {
			if ((imap->enabled & IMAP_QRESYNC) == 0 || work->has_resync) {
				parser->expected = "ENABLE QRESYNC before this, and it once";
				return false;
			}
			if (!parse_resync(parser, work))
				return false;
		} else {
			parser->expected = "CONDSTORE or QRESYNC";
			return false;
		}
	} while (imap_skip_char(parser, ' '));
	return imap_parse_char(parser, ')');
}

static enum pn_next open_mailbox(struct pn_session *session, struct imap_session *imap,
                                 struct imap_parser *parser, bool is_read_only)
{
	struct select_work *work = PN_ARENA_NEW(imap->arena, struct select_work);
	struct pn_mailboxes_request request = {.struct_size = sizeof(request)};
	struct pn_slice text;
	const char *reason;

	imap->work = work;
	imap->forget = forget;
	work->is_read_only = is_read_only;
	if (!imap_parse_space(parser) || !imap_parse_astring(parser, &text) ||
	    !parse_parameters(imap, parser, work) || !imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	/* RFC 3501 section 6.3.1: a SELECT that fails leaves nothing selected. */
	if (imap->view != NULL) {
		imap_unselect_mailbox(session, imap);
		imap_untagged(session, "OK [CLOSED] the mailbox before");
	}
	if (!imap_mailbox_name(imap->arena, text, &work->name, &reason))
		return imap_reply(session, imap, "NO [NONEXISTENT] %s", reason);
	request.name = work->name;
	pn_store_mailboxes(pn_session_account(session), &request,
	                   imap_wait(session, imap, mailbox_found));
	return PN_NEXT_ANSWER;
}

enum pn_next imap_select(struct pn_session *session, struct imap_session *imap,
                         struct imap_parser *parser)
{
	return open_mailbox(session, imap, parser, false);
}

enum pn_next imap_examine(struct pn_session *session, struct imap_session *imap,
                          struct imap_parser *parser)
{
	return open_mailbox(session, imap, parser, true);
}
