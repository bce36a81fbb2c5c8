/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SEARCH (RFC 3501 section 6.4.4), with RETURN (RFC 4731) and SAVE (RFC 5182). Rows come
 * in batches and are judged; those that stay open have their bytes read, small messages
 * many at a time, and judged again. Nothing is told before the end, as what is told is
 * one line.
 */
#include "search.h"

#include <postern/text.h>

enum {
	ROWS_WITH_SUMMARY = 256,
	LEAST_ROWS = 10,
	SCOPE_SETS = 20,
	SMALL_MESSAGE = 256 * 1024,
	GROUP_BYTES = 256 * 1024, /* looked at in one turn of the loop */
	GROUP_BODIES = 256,
};

enum search_return {
	RETURN_MIN = 1u << 0,
	RETURN_MAX = 1u << 1,
	RETURN_ALL = 1u << 2,
	RETURN_COUNT = 1u << 3,
	RETURN_SAVE = 1u << 4,
};

/* A message of the batch at hand that is not out of the question. */
struct candidate {
	struct pn_row row; /* with flags and summary in the batch's arena */
	bool is_open;
};

struct search_work {
	struct imap_program program;
	bool is_extended;
	uint32_t returns;

	struct imap_uids scope; /* malloc'd: the messages that are looked at */
	struct imap_uids found; /* malloc'd */
	uint64_t modseq_first;  /* of the first and the last that was found, and the highest */
	uint64_t modseq_last;
	uint64_t modseq_highest;
	uint32_t failed;

	uint32_t next_uid;
	struct pn_arena *arena;
	struct candidate *candidates;
	size_t count;
	size_t at;

	struct pn_search *search;      /* for the texts of the program */
	struct pn_mime_parser *parser; /* of a large message without a summary */
	uint64_t offset;

	struct imap_walk walk; /* telling */
};

static void forget(struct imap_session *imap)
{
	struct search_work *work = imap->work;

	imap_program_forget(&work->program);
	imap_uids_clear(&work->scope);
	imap_uids_clear(&work->found);
	pn_arena_free(&work->arena);
	pn_search_free(&work->search);
	pn_mime_free(&work->parser);
}

/* --------------------------------------------------------------------- telling */

/* RFC 5182 section 2.1: a search that is answered with NO leaves nothing saved. */
static void save_nothing(struct imap_session *imap)
{
	const struct search_work *work = imap->work;

	if ((work->returns & RETURN_SAVE) != 0)
		imap->saved.count = 0;
}

static enum pn_next fail(struct pn_session *session, struct imap_session *imap,
                         const struct pn_answer *answer)
{
	save_nothing(imap);
	return imap_store_refused(session, imap, answer, "the mailbox");
}

static enum pn_next finish(struct pn_session *session, struct imap_session *imap)
{
	const struct search_work *work = imap->work;

	if (work->failed == 0)
		return imap_finish(session, imap, "OK done");
	save_nothing(imap);
	return imap_finish(session, imap, "NO [UNAVAILABLE] %u messages cannot be read",
	                   work->failed);
}

static uint32_t number_of(const struct imap_session *imap, uint32_t uid)
{
	return imap->is_uid ? uid : imap_uids_sequence(&imap->view->uids, uid);
}

static enum pn_next tell_more(struct pn_session *session, struct imap_session *imap)
{
	struct search_work *work = imap->work;
	struct pn_buffer out;
	uint32_t uid;

	pn_buffer_init(&out, 1024 * 1024);
	while ((uid = imap_walk_next(&work->walk)) != 0) {
		imap_put(&out, " ");
		imap_put_number(&out, number_of(imap, uid));
		if (out.size < 64 * 1024)
			continue;
		imap_send(session, &out);
		if (imap_must_drain(session, imap, tell_more))
			return PN_NEXT_DRAIN;
	}
	if (work->program.uses_modseq && work->found.count > 0)
		(void)!pn_buffer_print(&out, " (MODSEQ %llu)",
		                       (unsigned long long)work->modseq_highest);
	imap_put(&out, "\r\n");
	imap_send(session, &out);
	return finish(session, imap);
}

/* RFC 4731 section 3.2 */
static uint64_t modseq_of(const struct search_work *work)
{
	uint64_t first = (work->returns & RETURN_MIN) != 0 ? work->modseq_first : 0;
	uint64_t last = (work->returns & RETURN_MAX) != 0 ? work->modseq_last : 0;

	if ((work->returns & (RETURN_ALL | RETURN_COUNT)) != 0)
		return work->modseq_highest;
	return first > last ? first : last;
}

static void put_extended(const struct imap_session *imap, struct pn_buffer *out)
{
	const struct search_work *work = imap->work;
	uint32_t count = imap_uids_count(&work->found);

	imap_put(out, "* ESEARCH (TAG ");
	imap_write_string(out, imap->tag);
	imap_put(out, imap->is_uid ? ") UID" : ")");
	if (count > 0 && (work->returns & RETURN_MIN) != 0)
		(void)!pn_buffer_print(out, " MIN %u",
		                       number_of(imap, imap_uids_at(&work->found, 1)));
	if (count > 0 && (work->returns & RETURN_MAX) != 0)
		(void)!pn_buffer_print(out, " MAX %u",
		                       number_of(imap, imap_uids_last(&work->found)));
	if ((work->returns & RETURN_COUNT) != 0)
		(void)!pn_buffer_print(out, " COUNT %u", count);
	if (count > 0 && (work->returns & RETURN_ALL) != 0) {
		imap_put(out, " ALL ");
		if (imap->is_uid)
			imap_put_uids(out, &work->found);
		else
			imap_put_sequences(out, &imap->view->uids, &work->found);
	}
	if (work->program.uses_modseq && count > 0)
		(void)!pn_buffer_print(out, " MODSEQ %llu", (unsigned long long)modseq_of(work));
	imap_put(out, "\r\n");
}

/* RFC 5182 section 2.4: with MIN or MAX and no more, what is saved is what was returned. */
static void save(struct imap_session *imap)
{
	const struct search_work *work = imap->work;

	imap->saved.count = 0;
	if (work->found.count == 0)
		return;
	if ((work->returns & (RETURN_MIN | RETURN_MAX)) == 0 ||
	    (work->returns & (RETURN_ALL | RETURN_COUNT)) != 0) {
		imap_uids_copy(&imap->saved, &work->found);
		return;
	}
	if ((work->returns & RETURN_MIN) != 0)
		imap_uids_append(&imap->saved, imap_uids_at(&work->found, 1),
		                 imap_uids_at(&work->found, 1));
	if ((work->returns & RETURN_MAX) != 0 &&
	    !imap_uids_has(&imap->saved, imap_uids_last(&work->found)))
		imap_uids_append(&imap->saved, imap_uids_last(&work->found),
		                 imap_uids_last(&work->found));
}

static enum pn_next tell(struct pn_session *session, struct imap_session *imap)
{
	struct search_work *work = imap->work;
	struct pn_buffer out;

	if ((work->returns & RETURN_SAVE) != 0)
		save(imap);
	if (!work->is_extended) {
		pn_session_write(session, PN_SLICE("* SEARCH"));
		imap_walk_begin(&work->walk, &work->found, 0);
		return tell_more(session, imap);
	}
	/* RFC 5182 section 2.1: nothing is returned where nothing but SAVE was asked for. */
	if (work->returns == RETURN_SAVE)
		return finish(session, imap);
	pn_buffer_init(&out, 48 * 1024 * 1024);
	put_extended(imap, &out);
	imap_send(session, &out);
	return finish(session, imap);
}

/* --------------------------------------------------------------------- judging */

static enum pn_next ask_rows(struct pn_session *session, struct imap_session *imap);
static enum pn_next go_on(struct pn_session *session, struct imap_session *imap);

static void add_found(struct search_work *work, const struct pn_row *row)
{
	if (work->found.count == 0)
		work->modseq_first = row->modseq;
	work->modseq_last = row->modseq;
	if (row->modseq > work->modseq_highest)
		work->modseq_highest = row->modseq;
	imap_uids_append(&work->found, row->uid, row->uid);
}

static enum imap_judgement judge(const struct imap_session *imap, const struct pn_row *row,
                                 const bool *found, struct pn_arena *arena)
{
	const struct search_work *work = imap->work;
	struct pn_mime_envelope envelope;
	struct imap_judged judged = {
		.row = row, .found = found, .recent_uid = imap->view->recent_uid};

	if ((work->program.fields & PN_ROW_SUMMARY) != 0 &&
	    pn_mime_open_envelope(row->summary, arena, &envelope) == PN_OK)
		judged.envelope = &envelope;
	return imap_program_judge(&work->program, &judged);
}

static void keep_candidate(struct search_work *work, const struct pn_row *row, bool is_open)
{
	struct candidate *candidate = &work->candidates[work->count++];
	struct pn_slice *keywords;

	candidate->is_open = is_open;
	candidate->row = *row;
	if (!is_open)
		return;
	keywords = PN_ARENA_ARRAY(work->arena, row->flags.keyword_count, struct pn_slice);
	for (size_t i = 0; i < row->flags.keyword_count; i++)
		keywords[i] = pn_arena_keep(work->arena, row->flags.keywords[i]);
	candidate->row.flags.keywords = keywords;
	candidate->row.summary = pn_arena_keep(work->arena, row->summary);
}

static enum pn_next rows_came(struct pn_session *session, struct imap_session *imap,
                              const struct pn_answer *answer)
{
	struct search_work *work = imap->work;
	const struct pn_rows *rows = answer->result;
	struct pn_arena *scratch;

	if (answer->status != PN_OK || rows == NULL)
		return fail(session, imap, answer);
	if (work->arena == NULL)
		work->arena = pn_arena_new();
	pn_arena_reset(work->arena);
	scratch = pn_arena_new();
	work->candidates = PN_ARENA_ARRAY(work->arena, rows->count, struct candidate);
	work->count = 0;
	work->at = 0;
	for (size_t i = 0; i < rows->count; i++) {
		const struct pn_row *row = imap_row(rows->rows, rows->row_size, i);
		enum imap_judgement judgement = judge(imap, row, NULL, scratch);

		/* As in FETCH: a modseq that is told must not be ahead of the news. */
		if (work->program.uses_modseq && row->modseq > imap->view->modseq)
			imap->is_stale = true;
		if (judgement != IMAP_NO)
			keep_candidate(work, row, judgement == IMAP_OPEN);
		if ((work->program.fields & PN_ROW_SUMMARY) != 0)
			pn_arena_reset(scratch);
	}
	pn_arena_free(&scratch);
	work->next_uid = rows->next_uid;
	return go_on(session, imap);
}

/* Fewer where much has to be decided about each: a turn of the loop is for all sessions. */
static size_t rows_at_once(const struct imap_program *program)
{
	size_t most =
		(program->fields & PN_ROW_SUMMARY) != 0 ? ROWS_WITH_SUMMARY : IMAP_ROWS_AT_ONCE;

	most /= 1 + program->key_count / 100 + program->text_count / 4;
	return most < LEAST_ROWS ? LEAST_ROWS : most;
}

static enum pn_next ask_rows(struct pn_session *session, struct imap_session *imap)
{
	struct search_work *work = imap->work;
	struct pn_arena *arena = pn_arena_new();
	const struct pn_rows_request request = {
		.struct_size = sizeof(request),
		.mailbox = imap->view->mailbox,
		.uids = imap_uids_set_from(&work->scope, work->next_uid, arena),
		.fields = work->program.fields,
		.with_expunged = true,
		.max_rows = rows_at_once(&work->program),
	};

	pn_store_rows(pn_session_account(session), &request, imap_wait(session, imap, rows_came));
	pn_arena_free(&arena);
	return PN_NEXT_ANSWER;
}

/* ----------------------------------------------------------------------- bytes */

/* What the summary would have said. */
static void take_summary(struct search_work *work, struct candidate *candidate)
{
	struct pn_buffer summary;

	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	if (pn_mime_finish(work->parser, &summary) == PN_OK)
		candidate->row.summary = pn_arena_keep(work->arena, pn_buffer_slice(&summary));
	pn_buffer_clear(&summary);
	pn_mime_free(&work->parser);
}

static bool lacks_envelope(const struct search_work *work, const struct candidate *candidate)
{
	return work->program.needs_envelope && candidate->row.summary.size == 0;
}

static void feed(struct search_work *work, const struct candidate *candidate, struct pn_slice bytes)
{
	if (work->search == NULL)
		work->search = pn_search_new(work->program.texts, work->program.text_count);
	if (lacks_envelope(work, candidate)) {
		if (work->parser == NULL)
			work->parser = pn_mime_new();
		pn_mime_feed(work->parser, bytes);
	}
	pn_search_feed(work->search, bytes);
}

/* All of its bytes were seen, or enough of them. */
static void settle(struct imap_session *imap, struct candidate *candidate)
{
	struct search_work *work = imap->work;
	bool found[IMAP_SEARCH_TEXTS] = {false};

	if (work->parser != NULL)
		take_summary(work, candidate);
	pn_search_finish(work->search, found);
	if (judge(imap, &candidate->row, found, work->arena) == IMAP_YES)
		add_found(work, &candidate->row);
}

static enum pn_next bodies_came(struct pn_session *session, struct imap_session *imap,
                                const struct pn_answer *answer)
{
	struct search_work *work = imap->work;
	const struct pn_bodies *bodies = answer->result;
	size_t next = 0;

	if (answer->status != PN_OK || bodies == NULL)
		return fail(session, imap, answer);
	while (work->at < work->count && next < bodies->count) {
		struct candidate *candidate = &work->candidates[work->at++];
		const char *place = (const char *)bodies->entries + next * bodies->entry_size;
		const struct pn_body_entry *entry =
			(const struct pn_body_entry *)(const void *)place;

		if (!candidate->is_open) {
			add_found(work, &candidate->row);
			continue;
		}
		next++;
		if (entry->status != PN_OK) {
			work->failed++;
			continue;
		}
		feed(work, candidate, entry->bytes);
		settle(imap, candidate);
	}
	return go_on(session, imap);
}

static enum pn_next piece_came(struct pn_session *session, struct imap_session *imap,
                               const struct pn_answer *answer);

static enum pn_next ask_piece(struct pn_session *session, struct imap_session *imap)
{
	struct search_work *work = imap->work;
	const struct pn_body_request request = {
		.struct_size = sizeof(request),
		.body = work->candidates[work->at].row.body,
		.offset = work->offset,
		.max_size = IMAP_PIECE_SIZE,
	};

	pn_store_body(pn_session_account(session), &request, imap_wait(session, imap, piece_came));
	return PN_NEXT_ANSWER;
}

static enum pn_next piece_came(struct pn_session *session, struct imap_session *imap,
                               const struct pn_answer *answer)
{
	struct search_work *work = imap->work;
	struct candidate *candidate = &work->candidates[work->at];
	const struct pn_body_piece *piece = answer->result;

	if (answer->status != PN_OK || piece == NULL) {
		bool found[IMAP_SEARCH_TEXTS];

		work->failed++;
		work->at++;
		if (work->search != NULL)
			pn_search_finish(work->search, found);
		pn_mime_free(&work->parser);
		return go_on(session, imap);
	}
	feed(work, candidate, piece->bytes);
	work->offset += piece->bytes.size;
	if (work->offset < candidate->row.size && piece->bytes.size > 0 &&
	    (work->parser != NULL || !pn_search_is_complete(work->search)))
		return ask_piece(session, imap);
	work->at++;
	settle(imap, candidate);
	return go_on(session, imap);
}

static enum pn_next ask_bodies(struct pn_session *session, struct imap_session *imap)
{
	struct search_work *work = imap->work;
	struct pn_body_id bodies[GROUP_BODIES];
	struct pn_bodies_request request = {
		.struct_size = sizeof(request),
		.bodies = bodies,
		.max_size = 2 * GROUP_BYTES,
	};
	uint64_t sum = 0;

	for (size_t i = work->at; i < work->count && request.count < GROUP_BODIES; i++) {
		const struct candidate *candidate = &work->candidates[i];

		if (!candidate->is_open)
			continue;
		if (candidate->row.size > SMALL_MESSAGE || sum >= GROUP_BYTES)
			break;
		bodies[request.count++] = candidate->row.body;
		sum += candidate->row.size;
	}
	pn_store_bodies(pn_session_account(session), &request,
	                imap_wait(session, imap, bodies_came));
	return PN_NEXT_ANSWER;
}

static enum pn_next go_on(struct pn_session *session, struct imap_session *imap)
{
	struct search_work *work = imap->work;

	while (work->at < work->count && !work->candidates[work->at].is_open)
		add_found(work, &work->candidates[work->at++].row);
	if (work->at < work->count) {
		work->offset = 0;
		return work->candidates[work->at].row.size > SMALL_MESSAGE
		               ? ask_piece(session, imap)
		               : ask_bodies(session, imap);
	}
	if (work->next_uid == 0)
		return tell(session, imap);
	return ask_rows(session, imap);
}

/* --------------------------------------------------------------------- parsing */

static bool parse_return(struct imap_parser *parser, struct search_work *work)
{
	static const struct {
		const char *word;
		uint32_t option;
	} options[] = {
		{"MIN", RETURN_MIN},     {"MAX", RETURN_MAX},   {"ALL", RETURN_ALL},
		{"COUNT", RETURN_COUNT}, {"SAVE", RETURN_SAVE},
	};

	if (!imap_skip_word(parser, "RETURN"))
		return true;
	work->is_extended = true;
	if (!imap_parse_space(parser) || !imap_parse_char(parser, '('))
		return false;
	while (!imap_skip_char(parser, ')')) {
		size_t i = 0;

		if (work->returns != 0 && !imap_parse_space(parser))
			return false;
		while (i < sizeof(options) / sizeof(options[0]) &&
		       !imap_skip_word(parser, options[i].word))
			i++;
		if (i == sizeof(options) / sizeof(options[0])) {
			parser->expected = "MIN, MAX, ALL, COUNT or SAVE";
			return false;
		}
		work->returns |= options[i].option;
	}
	/* RFC 4731 section 3.1: an empty list means ALL. */
	if (work->returns == 0)
		work->returns = RETURN_ALL;
	return imap_parse_space(parser);
}

static bool parse_charset(struct imap_parser *parser, struct imap_program *program)
{
	if (!imap_skip_word(parser, "CHARSET"))
		return true;
	if (!imap_parse_space(parser) || !imap_parse_astring(parser, &program->charset) ||
	    !imap_parse_space(parser))
		return false;
	program->charset_is_unknown = !pn_charset_is_known(program->charset);
	return true;
}

/* A set among the keys that all have to hold says which messages are looked at at all. */
static void find_scope(const struct imap_session *imap, struct search_work *work)
{
	size_t sets = 0;

	imap_uids_copy(&work->scope, &imap->view->uids);
	for (const struct imap_key *key = work->program.root->first;
	     key != NULL && sets < SCOPE_SETS; key = key->next) {
		struct imap_uids common = {0};

		if (key->kind != IMAP_KEY_SET && key->kind != IMAP_KEY_SAVED)
			continue;
		imap_uids_common(&common, &work->scope,
		                 key->kind == IMAP_KEY_SET ? &key->uids : &imap->saved);
		imap_uids_clear(&work->scope);
		work->scope = common;
		sets++;
	}
}

enum pn_next imap_search(struct pn_session *session, struct imap_session *imap,
                         struct imap_parser *parser)
{
	struct search_work *work = PN_ARENA_NEW(imap->arena, struct search_work);

	imap->work = work;
	imap->forget = forget;
	if (!imap_parse_space(parser) || !parse_return(parser, work) ||
	    !parse_charset(parser, &work->program) ||
	    !imap_parse_program(imap, parser, &work->program))
		return imap_syntax(session, imap, parser);
	imap->hold_expunges = !imap->is_uid;
	if (work->program.charset_is_unknown) {
		save_nothing(imap);
		return imap_finish(session, imap,
		                   "NO [BADCHARSET (US-ASCII UTF-8)] this charset is not known");
	}
	if (work->program.uses_modseq)
		imap_enable(session, imap, IMAP_CONDSTORE);
	find_scope(imap, work);
	work->next_uid = work->scope.count > 0 ? 1 : 0;
	return go_on(session, imap);
}
