/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where lines end. Every short text over the bytes that matter is read whole, byte
 * by byte, and cut in two anywhere; each way must tell what a model tells that was
 * written from the rules alone.
 */
#include "../exact.h"
#include "suites.h"

#include "io/frame.h"

#include <stdio.h>

/* What a session would have seen, as text: "[line]", "<problem line>". */
struct story {
	char text[256];
	size_t size;
};

static void tell(struct story *story, const char *before, struct pn_slice bytes, const char *after)
{
	require(story->size + bytes.size + 20 < sizeof(story->text));
	story->size += (size_t)sprintf(story->text + story->size, "%s", before);
	if (bytes.size > 0)
		memcpy(story->text + story->size, bytes.data, bytes.size);
	story->size += bytes.size;
	story->size += (size_t)sprintf(story->text + story->size, "%s", after);
}

static const char *const problem_words[] = {"[", "<long ", "<lf ", "<cr ", "<nul "};

/* A reader as a session is one: keeps what is not decided, stops at the first bad byte. */
struct reader {
	char kept[64];
	size_t size;
	size_t scanned;
	size_t limit;
	bool skipping, after_cr, stopped;
	struct story story;
};

static void take_off(struct reader *reader, size_t size)
{
	require(size <= reader->size);
	reader->size -= size;
	memmove(reader->kept, reader->kept + size, reader->size);
}

static bool step(struct reader *reader)
{
	struct pn_slice input = exact(pn_slice_make(reader->kept, reader->size));
	enum pn_line_problem problem;
	struct pn_slice line;
	size_t consumed = 0;
	bool found;

	if (reader->skipping) {
		found = pn_frame_skip_line(input, &reader->after_cr, &consumed);
		reader->skipping = !found;
		if (found)
			tell(&reader->story, "", PN_SLICE_NONE, "skipped>");
		take_off(reader, consumed);
	} else {
		found = pn_frame_line(input, reader->limit, &reader->scanned, &problem, &line,
		                      &consumed);
		if (found) {
			require(reader->scanned == 0);
			tell(&reader->story, problem_words[problem], line,
			     problem == PN_LINE_GOOD ? "]" : "");
			reader->skipping = problem == PN_LINE_TOO_LONG;
			reader->stopped = problem > PN_LINE_TOO_LONG;
			take_off(reader, consumed);
		} else {
			require(reader->scanned <= reader->size);
		}
	}
	free((char *)input.data);
	return found;
}

static void feed(struct reader *reader, struct pn_slice bytes)
{
	if (bytes.size > 0)
		memcpy(reader->kept + reader->size, bytes.data, bytes.size);
	reader->size += bytes.size;
	while (!reader->stopped && step(reader))
		;
}

/* The model: looks at the whole text at once. */
static void tell_by_model(struct pn_slice text, size_t limit, struct story *story)
{
	while (text.size > 0) {
		size_t end = 0;
		const char *bad = NULL;
		struct pn_slice line;

		while (end < text.size && bad == NULL) {
			char byte = text.data[end];
			char next = end + 1 < text.size ? text.data[end + 1] : 'x';

			if (byte == '\r' && (end + 1 == text.size || next == '\n'))
				break;
			bad = byte == '\0'   ? "<nul "
			      : byte == '\n' ? "<lf "
			      : byte == '\r' ? "<cr "
			                     : NULL;
			if (bad == NULL)
				end++;
		}
		line = pn_slice_make(text.data, end);
		/* limit + 2 bytes without a line end are too many; whether a CR is bare shows
		 * later. */
		if (end >= limit + 2 ||
		    (end == limit + 1 && text.size > end && text.data[end] == '\r')) {
			const char *rest = text.data + limit;

			tell(story, "<long ", pn_slice_make(text.data, limit), "");
			while (rest + 1 < text.data + text.size &&
			       (rest[0] != '\r' || rest[1] != '\n'))
				rest++;
			if (rest + 1 >= text.data + text.size)
				return;
			tell(story, "", PN_SLICE_NONE, "skipped>");
			rest += 2;
			text = pn_slice_make(rest, (size_t)(text.data + text.size - rest));
			continue;
		}
		if (bad != NULL) {
			tell(story, bad, line, "");
			return;
		}
		if (end + 2 > text.size)
			return;
		tell(story, "[", line, "]");
		text.data += end + 2;
		text.size -= end + 2;
	}
}

static void check_story(const struct reader *reader, const struct story *model,
                        struct pn_slice text)
{
	if (reader->story.size == model->size &&
	    memcmp(reader->story.text, model->text, model->size) == 0)
		return;
	fprintf(stderr, "text:");
	for (size_t index = 0; index < text.size; index++)
		fprintf(stderr, " %02x", (unsigned char)text.data[index]);
	fprintf(stderr, "\ntold:  %s\nmodel: %s\n", reader->story.text, model->text);
	ck_abort_msg("limit %zu", reader->limit);
}

static void check_text(struct pn_slice text, size_t limit)
{
	struct story model = {.size = 0};
	struct reader whole = {.limit = limit}, bytewise = {.limit = limit};

	tell_by_model(text, limit, &model);
	feed(&whole, text);
	check_story(&whole, &model, text);
	for (size_t index = 0; index < text.size; index++)
		feed(&bytewise, pn_slice_make(text.data + index, 1));
	check_story(&bytewise, &model, text);
}

static void check_all_texts(size_t limit, size_t longest)
{
	static const char alphabet[] = {'\r', '\n', '.', '\0', 'x'};

	for (size_t length = 0; length <= longest; length++) {
		for (size_t number = 0; number < word_count(5, length); number++) {
			struct pn_slice text = exact_word(alphabet, 5, length, number);

			check_text(text, limit);
			free((char *)text.data);
		}
	}
}

START_TEST(tells_lines_and_problems_the_same_however_the_bytes_are_cut)
{
	check_all_texts(1000, 8);
}
END_TEST

START_TEST(tells_lines_that_are_too_long_the_same_however_the_bytes_are_cut)
{
	for (size_t limit = 1; limit <= 5; limit++)
		check_all_texts(limit, 7);
}
END_TEST

START_TEST(a_line_of_the_limit_is_good_and_one_byte_more_is_too_long)
{
	struct reader good = {.limit = 5}, bad = {.limit = 5};

	feed(&good, PN_SLICE("12345\r\n"));
	ck_assert_str_eq(good.story.text, "[12345]");
	feed(&bad, PN_SLICE("123456"));
	ck_assert_str_eq(bad.story.text, "");
	feed(&bad, PN_SLICE("\r"));
	ck_assert_str_eq(bad.story.text, "<long 12345");
	feed(&bad, PN_SLICE("\nnext\r\n"));
	ck_assert_str_eq(bad.story.text, "<long 12345skipped>[next]");
}
END_TEST

START_TEST(reads_a_growing_line_only_once)
{
	char text[1000];
	size_t scanned = 0, consumed;
	enum pn_line_problem problem;
	struct pn_slice line;

	memset(text, 'x', sizeof(text));
	for (size_t size = 0; size <= sizeof(text); size++) {
		require(!pn_frame_line(pn_slice_make(text, size), 2000, &scanned, &problem, &line,
		                       &consumed));
		require(scanned == size);
	}
}
END_TEST

Suite *frame_line_suite(void)
{
	static const TTest *tests[5];

	tests[0] = tells_lines_and_problems_the_same_however_the_bytes_are_cut;
	tests[1] = tells_lines_that_are_too_long_the_same_however_the_bytes_are_cut;
	tests[2] = a_line_of_the_limit_is_good_and_one_byte_more_is_too_long;
	tests[3] = reads_a_growing_line_only_once;
	return suite_of("frame_line", tests);
}
