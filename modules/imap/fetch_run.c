/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FETCH while it runs. Rows come in batches. Where they say everything, they are
 * written as they come. Where bytes are needed, small messages are read many at a time,
 * and a large one is streamed, piece by piece, as fast as the client takes it: memory
 * depends neither on the mailbox nor on the message.
 */
#include "fetch.h"

#include <postern/text.h>

enum {
	ROWS_WITH_BYTES = 64,
	ROWS_WITH_SUMMARY = 128,
	SMALL_MESSAGE = 256 * 1024, /* is read whole */
	GROUP_BYTES = 1024 * 1024,  /* of small messages, together */
	ENOUGH_AT_ONCE = 8 * 1024 * 1024,
};

void imap_fetch_forget(struct imap_session *imap)
{
	struct imap_fetch *fetch = imap->work;

	imap_uids_clear(&fetch->uids);
	imap_uids_clear(&fetch->seen);
	imap_uids_clear(&fetch->vanished);
	pn_mime_free(&fetch->parser);
	pn_arena_free(&fetch->arena);
}

/* ------------------------------------------------------------------------- end */

static enum pn_next say_result(struct pn_session *session, struct imap_session *imap)
{
	const struct imap_fetch *fetch = imap->work;
	uint32_t asked = imap_uids_count(&fetch->uids);

	if (fetch->failed > 0)
		return imap_finish(session, imap, "NO [UNAVAILABLE] %u messages cannot be read",
		                   fetch->failed);
	if (!fetch->has_changed_since && fetch->told < asked)
		return imap_finish(session, imap, "NO [EXPUNGEISSUED] %u messages are gone",
		                   asked - fetch->told);
	return imap_finish(session, imap, "OK done");
}

static enum pn_next marked(struct pn_session *session, struct imap_session *imap,
                           const struct pn_answer *answer)
{
	if (answer->status != PN_OK)
		pn_session_log(session, "messages that were read could not be marked: %s",
		               answer->error != NULL ? answer->error->text
		                                     : pn_status_name(answer->status));
	imap->is_stale = true;
	return say_result(session, imap);
}

/* What was fetched without .PEEK is seen from now on; the news tell it. */
static enum pn_next finish(struct pn_session *session, struct imap_session *imap)
{
	struct imap_fetch *fetch = imap->work;
	struct pn_commit *commit;
	struct pn_mutation *mutation;

	if (fetch->seen.count == 0 || imap->view->is_read_only)
		return say_result(session, imap);
	commit = imap_commit_new(session, PN_MUTATION_FLAGS, imap->view->mailbox, &mutation);
	mutation->uids = imap_uids_set(&fetch->seen, commit->arena);
	mutation->how = PN_FLAGS_ADD;
	mutation->flags.system = PN_FLAG_SEEN;
	return imap_commit(session, imap, commit, marked);
}

/* ------------------------------------------------------------------------ rows */

static enum pn_next ask_rows(struct pn_session *session, struct imap_session *imap);

static void keep_row(const struct imap_session *imap, struct imap_fetch *fetch,
                     const struct pn_row *row)
{
	struct imap_fetch_row *at = &fetch->rows[fetch->row_count];
	struct pn_slice *keywords;

	at->sequence = imap_uids_sequence(&imap->view->uids, row->uid);
	if (at->sequence == 0)
		return;
	at->row = *row;
	at->summary = pn_arena_keep(fetch->arena, row->summary);
	keywords = PN_ARENA_ARRAY(fetch->arena, row->flags.keyword_count, struct pn_slice);
	for (size_t i = 0; i < row->flags.keyword_count; i++)
		keywords[i] = pn_arena_keep(fetch->arena, row->flags.keywords[i]);
	at->row.flags.keywords = keywords;
	if (fetch->needs_structure)
		(void)imap_fetch_open_structure(at, fetch->arena);
	fetch->row_count++;
}

static void start_batch(struct imap_fetch *fetch, size_t most)
{
	if (fetch->arena == NULL)
		fetch->arena = pn_arena_new();
	pn_arena_reset(fetch->arena);
	fetch->rows = PN_ARENA_ARRAY(fetch->arena, most, struct imap_fetch_row);
	fetch->row_count = 0;
	fetch->row_at = 0;
}

/* A modseq that is newer than the last look at the news: who keeps it must have been told of what
 * else happened before it. */
static void look_at_modseq(struct imap_session *imap, const struct pn_row *row)
{
	if (row->modseq > imap->view->modseq)
		imap->is_stale = true;
}

/* Rows that say everything are written at once. One without a summary is kept for the slow way, and
 * what is behind it is asked for again. */
static void write_rows(struct pn_session *session, struct imap_session *imap,
                       const struct pn_rows *rows)
{
	struct imap_fetch *fetch = imap->work;
	struct imap_fetch_row at;
	struct pn_buffer out;

	pn_buffer_init(&out, 48 * 1024 * 1024);
	for (size_t i = 0; i < rows->count; i++) {
		const struct pn_row *row = imap_row(rows->rows, rows->row_size, i);

		look_at_modseq(imap, row);
		at = (struct imap_fetch_row){.row = *row, .summary = row->summary};
		at.sequence = imap_uids_sequence(&imap->view->uids, row->uid);
		if (at.sequence == 0)
			continue;
		if (fetch->needs_structure) {
			pn_arena_reset(fetch->arena);
			if (!imap_fetch_open_structure(&at, fetch->arena)) {
				start_batch(fetch, 1);
				keep_row(imap, fetch, row);
				fetch->next_uid = row->uid == UINT32_MAX ? 0 : row->uid + 1;
				break;
			}
		}
		imap_learn_keywords(session, imap, &out, &row->flags);
		imap_fetch_put_message(imap, fetch, &out, &at, PN_SLICE_NONE);
		if (out.size > 128 * 1024)
			imap_send(session, &out);
		if (pn_session_output_is_high(session) && i + 1 < rows->count) {
			fetch->next_uid = imap_row(rows->rows, rows->row_size, i + 1)->uid;
			break;
		}
	}
	imap_send(session, &out);
}

static enum pn_next rows_came(struct pn_session *session, struct imap_session *imap,
                              const struct pn_answer *answer)
{
	struct imap_fetch *fetch = imap->work;
	const struct pn_rows *rows = answer->result;

	if (answer->status != PN_OK || rows == NULL)
		return imap_store_refused(session, imap, answer, "the mailbox");
	start_batch(fetch, fetch->needs_bytes ? rows->count : 1);
	fetch->next_uid = rows->next_uid;
	if (fetch->needs_bytes) {
		for (size_t i = 0; i < rows->count; i++) {
			look_at_modseq(imap, imap_row(rows->rows, rows->row_size, i));
			keep_row(imap, fetch, imap_row(rows->rows, rows->row_size, i));
		}
	} else {
		write_rows(session, imap, rows);
	}
	return imap_fetch_go_on(session, imap);
}

static enum pn_next ask_rows(struct pn_session *session, struct imap_session *imap)
{
	struct imap_fetch *fetch = imap->work;
	struct pn_arena *arena;
	struct pn_rows_request request = {
		.struct_size = sizeof(request),
		.mailbox = imap->view->mailbox,
		.fields = fetch->fields,
		.changed_since = fetch->changed_since,
		.with_expunged = true,
		.max_rows = fetch->needs_bytes       ? ROWS_WITH_BYTES
	                    : fetch->needs_structure ? ROWS_WITH_SUMMARY
	                                             : IMAP_ROWS_AT_ONCE,
	};

	arena = pn_arena_new();
	request.uids = imap_uids_set_from(&fetch->uids, fetch->next_uid, arena);
	pn_store_rows(pn_session_account(session), &request, imap_wait(session, imap, rows_came));
	pn_arena_free(&arena);
	return PN_NEXT_ANSWER;
}

/* ------------------------------------------------- small messages, many at a time */

static enum pn_next body_came(struct pn_session *session, struct imap_session *imap,
                              const struct pn_answer *answer);
static enum pn_next bodies_came(struct pn_session *session, struct imap_session *imap,
                                const struct pn_answer *answer);

/* How much is written of it, at most: a client may ask for the same a thousand times. */
static uint64_t cost_of(const struct imap_fetch *fetch, const struct imap_fetch_row *at)
{
	return at->row.size * (fetch->section_count > 0 ? fetch->section_count : 1);
}

static bool is_small(const struct imap_fetch *fetch, const struct imap_fetch_row *at)
{
	if (at->row.size > SMALL_MESSAGE || at->row.size == 0 || cost_of(fetch, at) > GROUP_BYTES)
		return false;
	/* A header is read alone where the body behind it is much more. */
	return !fetch->only_headers || at->row.size <= 32 * 1024;
}

static enum pn_next ask_bodies(struct pn_session *session, struct imap_session *imap)
{
	struct imap_fetch *fetch = imap->work;
	struct pn_body_id bodies[ROWS_WITH_BYTES];
	struct pn_bodies_request request = {
		.struct_size = sizeof(request),
		.bodies = bodies,
		.max_size = 2 * GROUP_BYTES,
	};
	uint64_t sum = 0;

	while (fetch->row_at + request.count < fetch->row_count &&
	       request.count < ROWS_WITH_BYTES && sum < GROUP_BYTES) {
		const struct imap_fetch_row *at = &fetch->rows[fetch->row_at + request.count];

		if (!is_small(fetch, at))
			break;
		bodies[request.count++] = at->row.body;
		sum += cost_of(fetch, at);
	}
	if (request.count == 1)
		return imap_fetch_ask_piece(session, imap, 0, fetch->rows[fetch->row_at].row.size,
		                            body_came);
	pn_store_bodies(pn_session_account(session), &request,
	                imap_wait(session, imap, bodies_came));
	return PN_NEXT_ANSWER;
}

static void put_small(struct pn_session *session, struct imap_session *imap, struct pn_buffer *out,
                      struct imap_fetch_row *at, struct pn_slice bytes)
{
	struct imap_fetch *fetch = imap->work;

	if (fetch->needs_structure && !at->has_message)
		imap_fetch_parse(fetch, at, bytes);
	if (fetch->needs_structure && !at->has_message) {
		fetch->told++;
		fetch->failed++;
		return;
	}
	imap_learn_keywords(session, imap, out, &at->row.flags);
	imap_fetch_put_message(imap, fetch, out, at, bytes);
}

/* A single one, which the store may have at hand. */
static enum pn_next body_came(struct pn_session *session, struct imap_session *imap,
                              const struct pn_answer *answer)
{
	struct imap_fetch *fetch = imap->work;
	const struct pn_body_piece *piece = answer->result;
	struct imap_fetch_row *at = &fetch->rows[fetch->row_at];
	struct pn_buffer out;

	if (answer->status != PN_OK || piece == NULL || piece->bytes.size != at->row.size)
		return imap_fetch_unreadable(session, imap, answer);
	pn_buffer_init(&out, 48 * 1024 * 1024);
	put_small(session, imap, &out, at, piece->bytes);
	imap_send(session, &out);
	fetch->row_at++;
	return imap_fetch_go_on(session, imap);
}

static enum pn_next bodies_came(struct pn_session *session, struct imap_session *imap,
                                const struct pn_answer *answer)
{
	struct imap_fetch *fetch = imap->work;
	const struct pn_bodies *bodies = answer->result;
	struct pn_buffer out;

	if (answer->status != PN_OK || bodies == NULL)
		return imap_store_refused(session, imap, answer, "the mailbox");
	pn_buffer_init(&out, 48 * 1024 * 1024);
	for (size_t i = 0; i < bodies->count && fetch->row_at < fetch->row_count; i++) {
		const char *place = (const char *)bodies->entries + i * bodies->entry_size;
		const struct pn_body_entry *entry =
			(const struct pn_body_entry *)(const void *)place;
		struct imap_fetch_row *at = &fetch->rows[fetch->row_at++];

		if (entry->status != PN_OK) {
			fetch->told++;
			fetch->failed++;
			continue;
		}
		put_small(session, imap, &out, at, entry->bytes);
		/* Long structures; what is left is asked for again. */
		if (out.size > ENOUGH_AT_ONCE)
			break;
	}
	imap_send(session, &out);
	return imap_fetch_go_on(session, imap);
}

/* ----------------------------------------------------------------- what is next */

enum pn_next imap_fetch_go_on(struct pn_session *session, struct imap_session *imap)
{
	struct imap_fetch *fetch = imap->work;

	if (imap_must_drain(session, imap, imap_fetch_go_on))
		return PN_NEXT_DRAIN;
	if (fetch->row_at < fetch->row_count)
		return is_small(fetch, &fetch->rows[fetch->row_at])
		               ? ask_bodies(session, imap)
		               : imap_fetch_stream(session, imap);
	if (fetch->next_uid == 0)
		return finish(session, imap);
	return ask_rows(session, imap);
}

/* ------------------------------------------------------------- VANISHED (EARLIER) */

static enum pn_next ask_vanished(struct pn_session *session, struct imap_session *imap,
                                 uint32_t from_uid);

static enum pn_next vanished_came(struct pn_session *session, struct imap_session *imap,
                                  const struct pn_answer *answer)
{
	struct imap_fetch *fetch = imap->work;
	const struct pn_changes *changes = answer->result;
	struct imap_uids page = {0};
	struct imap_uids told = {0};
	struct pn_buffer out;

	if (answer->status != PN_OK || changes == NULL)
		return imap_store_refused(session, imap, answer, "the mailbox");
	imap_uids_take(&page, changes->vanished);
	imap_uids_common(&told, &page, &fetch->vanished);
	/* What this session does not know to be gone yet is told when it may be. */
	imap_uids_remove(&told, &imap->view->uids);
	if (told.count > 0) {
		pn_buffer_init(&out, 32 * 1024 * 1024);
		imap_put(&out, "* VANISHED (EARLIER) ");
		imap_put_uids(&out, &told);
		imap_put(&out, "\r\n");
		imap_send(session, &out);
	}
	imap_uids_clear(&page);
	imap_uids_clear(&told);
	if (!changes->is_complete)
		return ask_vanished(session, imap, changes->next_uid);
	return imap_fetch_go_on(session, imap);
}

static enum pn_next ask_vanished(struct pn_session *session, struct imap_session *imap,
                                 uint32_t from_uid)
{
	const struct imap_fetch *fetch = imap->work;
	const struct pn_changes_request request = {
		.struct_size = sizeof(request),
		.mailbox = imap->view->mailbox,
		.since = fetch->changed_since,
		.max_rows = 16 * IMAP_ROWS_AT_ONCE,
		.from_uid = from_uid,
	};

	pn_store_changes(pn_session_account(session), &request,
	                 imap_wait(session, imap, vanished_came));
	return PN_NEXT_ANSWER;
}

enum pn_next imap_fetch_begin(struct pn_session *session, struct imap_session *imap)
{
	struct imap_fetch *fetch = imap->work;

	fetch->arena = pn_arena_new();
	fetch->next_uid = fetch->uids.count > 0 ? 1 : 0;
	if (fetch->wants_vanished)
		return ask_vanished(session, imap, 0);
	return imap_fetch_go_on(session, imap);
}
