/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of SEARCH: what parses, is judged; what a row alone decides stays decided
 * when the message is known; with everything known nothing is open; NOT is the
 * opposite. The first bytes are the row, a line the keys, and the rest the message.
 */
#include "fuzz.h"

#include <postern/mime.h>
#include <postern/text.h>

#include "../../modules/imap/search.h"

enum { VIEW_UIDS = 20 };

struct subject {
	struct imap_session imap;
	struct imap_view view;
	struct pn_row row;
	struct pn_slice message;
	struct pn_mime_envelope envelope;
	struct pn_arena *arena;
};

static void make_row(struct subject *subject, const uint8_t **data, size_t *size)
{
	static const struct pn_slice words[] = {PN_SLICE("$Label"), PN_SLICE("x")};

	subject->row.uid = 1 + take_byte(data, size) % VIEW_UIDS;
	subject->row.flags.system = take_byte(data, size) & 31u;
	subject->row.flags.keywords = words;
	subject->row.flags.keyword_count = take_byte(data, size) % 3;
	subject->row.modseq = take_byte(data, size);
	subject->row.internal_date_ms = ((int64_t)take_byte(data, size) - 100) * 86400000 * 100;
	imap_uids_append(&subject->view.uids, 1, VIEW_UIDS);
	subject->view.uid_next = VIEW_UIDS + 1;
	subject->imap.view = &subject->view;
	subject->imap.state = IMAP_SELECTED;
	imap_uids_append(&subject->imap.saved, 3, 7);
}

static void open_message(struct subject *subject)
{
	struct pn_mime_parser *parser = pn_mime_new();
	struct pn_buffer summary;
	struct pn_slice kept;

	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	pn_mime_feed(parser, subject->message);
	require(pn_mime_finish(parser, &summary) == PN_OK);
	subject->row.size = subject->message.size;
	subject->row.header_size = (uint32_t)pn_mime_header_size(parser);
	kept = pn_arena_keep(subject->arena, pn_buffer_slice(&summary));
	require(pn_mime_open_envelope(kept, subject->arena, &subject->envelope) == PN_OK);
	pn_mime_free(&parser);
	pn_buffer_clear(&summary);
}

/* With everything known: YES or NO. */
static enum imap_judgement judge_whole(const struct subject *subject,
                                       const struct imap_program *program)
{
	struct pn_search *search = pn_search_new(program->texts, program->text_count);
	bool found[IMAP_SEARCH_TEXTS] = {false};
	struct imap_judged judged = {.row = &subject->row,
	                             .envelope = &subject->envelope,
	                             .found = found,
	                             .recent_uid = 10};
	enum imap_judgement judgement;

	pn_search_feed(search, subject->message);
	pn_search_finish(search, found);
	pn_search_free(&search);
	judgement = imap_program_judge(program, &judged);
	require(judgement != IMAP_OPEN);
	return judgement;
}

static enum imap_judgement check_program(const struct subject *subject,
                                         const struct imap_program *program)
{
	struct imap_judged judged = {.row = &subject->row, .recent_uid = 10};
	enum imap_judgement whole = judge_whole(subject, program);
	enum imap_judgement row_alone = imap_program_judge(program, &judged);
	enum imap_judgement with_envelope;

	require(row_alone == IMAP_OPEN || row_alone == whole);
	require(row_alone != IMAP_OPEN || program->text_count > 0 || program->needs_envelope);
	judged.envelope = &subject->envelope;
	with_envelope = imap_program_judge(program, &judged);
	require(row_alone == IMAP_OPEN || with_envelope == row_alone);
	require(program->text_count > 0 || with_envelope == whole);
	return whole;
}

/* Parses and judges; false where it does not parse. */
static bool run(struct subject *subject, struct pn_slice keys, enum imap_judgement *judgement)
{
	struct imap_parser parser = {.text = keys, .arena = subject->arena};
	struct imap_program *program = PN_ARENA_NEW(subject->arena, struct imap_program);
	bool is_good = imap_parse_program(&subject->imap, &parser, program);

	require(parser.at <= keys.size && (is_good || parser.expected != NULL));
	if (is_good)
		*judgement = check_program(subject, program);
	imap_program_forget(program);
	return is_good;
}

static void check_negation(struct subject *subject, struct pn_slice keys,
                           enum imap_judgement judgement)
{
	struct pn_buffer text;
	enum imap_judgement opposite;

	pn_buffer_init(&text, 4 * 1024 * 1024);
	imap_put(&text, "NOT (");
	imap_put_slice(&text, keys);
	imap_put(&text, ")");
	/* One that was as deep as it may be is too deep now. */
	if (run(subject, pn_buffer_slice(&text), &opposite))
		require((opposite == IMAP_YES) == (judgement == IMAP_NO));
	pn_buffer_clear(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct subject subject = {.arena = pn_arena_new()};
	enum imap_judgement judgement;
	struct pn_slice rest;
	struct pn_slice keys;

	make_row(&subject, &data, &size);
	rest = rest_of(data, size);
	keys = exact_copy(pn_slice_cut(&rest, '\n'));
	subject.message = exact_copy(rest);
	open_message(&subject);
	if (run(&subject, keys, &judgement))
		check_negation(&subject, keys, judgement);
	imap_uids_clear(&subject.view.uids);
	imap_uids_clear(&subject.imap.saved);
	pn_arena_free(&subject.arena);
	free((char *)(uintptr_t)keys.data);
	free((char *)(uintptr_t)subject.message.data);
	return 0;
}
