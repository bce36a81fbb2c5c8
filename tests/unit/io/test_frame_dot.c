/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where dot-stuffed data ends, and how it is written. Every short text over the
 * bytes that matter, whole, byte by byte and cut in two, against a model; and
 * what is written reads back as exactly one message.
 */
#include "../exact.h"
#include "suites.h"

#include "io/frame.h"

#include <postern/text.h>

#include <stdio.h>

enum outcome { OUTCOME_MORE = 0, OUTCOME_END, OUTCOME_PROBLEM };

/* What came out: the content, how it ended, and how much of the input belonged to it. */
struct result {
	char content[256];
	size_t size;
	enum outcome outcome;
	enum pn_line_problem problem;
	size_t end; /* with OUTCOME_END */
};

static void add(struct result *result, struct pn_slice bytes)
{
	require(result->size + bytes.size <= sizeof(result->content));
	if (bytes.size > 0)
		memcpy(result->content + result->size, bytes.data, bytes.size);
	result->size += bytes.size;
}

/* Gives one chunk to the parser, in a block of its own. */
static void feed(struct pn_frame_dot *dot, struct result *result, struct pn_slice chunk)
{
	struct pn_slice copy = exact(chunk);
	struct pn_slice rest = copy;

	while (result->outcome == OUTCOME_MORE) {
		struct pn_slice piece;
		size_t consumed;
		bool is_last;

		pn_frame_dot(dot, rest, &piece, &consumed, &is_last, &result->problem);
		require(consumed <= rest.size);
		add(result, piece);
		result->end += consumed;
		if (consumed > 0)
			rest = pn_slice_make(rest.data + consumed, rest.size - consumed);
		if (result->problem != PN_LINE_GOOD)
			result->outcome = OUTCOME_PROBLEM;
		else if (is_last)
			result->outcome = OUTCOME_END;
		else if (piece.size == 0 && consumed == 0)
			break;
	}
	require(result->outcome != OUTCOME_MORE || rest.size == 0);
	free((char *)copy.data);
}

/* The model: line by line over the whole text (RFC 5321 section 4.5.2). */
static struct result model_of(struct pn_slice text)
{
	struct result result = {.outcome = OUTCOME_MORE};
	size_t start = 0;

	while (start < text.size && result.outcome == OUTCOME_MORE) {
		size_t end = start;
		struct pn_slice line;
		bool is_whole = false;

		while (end < text.size && strchr("\r\n", text.data[end]) == NULL)
			end++; /* strchr finds NUL, too */
		line = pn_slice_make(text.data + start, end - start);
		if (end < text.size && text.data[end] == '\n')
			result.problem = PN_LINE_BARE_LF;
		else if (end < text.size && text.data[end] == '\0')
			result.problem = PN_LINE_NUL;
		else if (end + 1 < text.size && text.data[end + 1] != '\n')
			result.problem = PN_LINE_BARE_CR;
		else
			is_whole = end + 1 < text.size;
		if (result.problem != PN_LINE_GOOD)
			result.outcome = OUTCOME_PROBLEM;
		if (is_whole && pn_slice_equal(line, PN_SLICE("."))) {
			result.outcome = OUTCOME_END;
			result.end = end + 2;
			break;
		}
		if (line.size > 0 && line.data[0] == '.')
			line = pn_slice_make(line.data + 1, line.size - 1);
		add(&result, line);
		if (is_whole)
			add(&result, PN_SLICE("\r\n"));
		start = end + 2;
	}
	return result;
}

static void check_result(const struct result *result, const struct result *model,
                         struct pn_slice text)
{
	if (result->outcome == model->outcome && result->problem == model->problem &&
	    result->size == model->size &&
	    memcmp(result->content, model->content, model->size) == 0 &&
	    (model->outcome != OUTCOME_END || result->end == model->end))
		return;
	fprintf(stderr, "text:");
	for (size_t index = 0; index < text.size; index++)
		fprintf(stderr, " %02x", (unsigned char)text.data[index]);
	ck_abort_msg("outcome %d %d, problem %d %d, size %zu %zu, end %zu %zu", result->outcome,
	             model->outcome, result->problem, model->problem, result->size, model->size,
	             result->end, model->end);
}

static void check_text(struct pn_slice text)
{
	struct result model = model_of(text);
	struct result bytewise = {.outcome = OUTCOME_MORE};
	struct pn_frame_dot dot = {0};

	for (size_t cut = 0; cut <= text.size; cut++) {
		struct result result = {.outcome = OUTCOME_MORE};
		struct pn_frame_dot parser = {0};

		feed(&parser, &result, pn_slice_make(text.data, cut));
		feed(&parser, &result, pn_slice_make(text.data + cut, text.size - cut));
		check_result(&result, &model, text);
	}
	for (size_t index = 0; index < text.size; index++)
		feed(&dot, &bytewise, pn_slice_make(text.data + index, 1));
	check_result(&bytewise, &model, text);
}

START_TEST(tells_the_same_content_however_the_bytes_are_cut)
{
	static const char alphabet[] = {'\r', '\n', '.', '\0', 'x'};

	for (size_t length = 1; length <= 8; length++) {
		for (size_t number = 0; number < word_count(5, length); number++) {
			struct pn_slice text = exact_word(alphabet, 5, length, number);

			check_text(text);
			free((char *)text.data);
		}
	}
}
END_TEST

static void collect(void *user, struct pn_slice bytes)
{
	add(user, bytes);
}

START_TEST(empty_content_is_a_dot_alone)
{
	struct result result = {.outcome = OUTCOME_MORE};
	struct pn_frame_stuff state = {0};

	feed(&(struct pn_frame_dot){0}, &result, PN_SLICE_NONE);
	ck_assert(result.outcome == OUTCOME_MORE && result.size == 0);
	pn_frame_stuff(&state, PN_SLICE_NONE, true, collect, &result);
	ck_assert(pn_slice_equal(pn_slice_make(result.content, result.size), PN_SLICE(".\r\n")));
}
END_TEST

START_TEST(no_near_miss_ends_the_data)
{
	static const char *const misses[] = {"a\r\n.\n",    "a\n.\r\n",   "a\n.\n", "a\r.\r\n",
	                                     "a\r.\r",      "a\r\n.\r",   "a\r\n.", "a.\r\n",
	                                     "a\r\n..\r\n", "a\r\n. \r\n"};

	for (size_t index = 0; index < sizeof(misses) / sizeof(misses[0]); index++) {
		struct result result = {.outcome = OUTCOME_MORE};
		struct pn_frame_dot dot = {0};

		feed(&dot, &result, pn_slice_of(misses[index]));
		ck_assert_msg(result.outcome != OUTCOME_END, "%zu", index);
	}
}
END_TEST

START_TEST(takes_nothing_behind_the_end)
{
	struct result result = {.outcome = OUTCOME_MORE};
	struct pn_frame_dot dot = {0};
	struct pn_slice piece;
	size_t consumed;
	bool is_last;
	enum pn_line_problem problem;

	feed(&dot, &result, PN_SLICE("x\r\n.\r\nQUIT\r\n"));
	ck_assert_int_eq(result.outcome, OUTCOME_END);
	require(result.end == 6);
	pn_frame_dot(&dot, PN_SLICE("QUIT\r\n"), &piece, &consumed, &is_last, &problem);
	require(is_last && consumed == 0 && piece.size == 0);
}
END_TEST

/* What dot-stuffed data means for this content: every line end is CRLF, the last line has one. */
static struct result normal_form(struct pn_slice text)
{
	struct result result = {.outcome = OUTCOME_END};

	for (size_t index = 0; index < text.size; index++) {
		if (text.data[index] != '\r' && text.data[index] != '\n') {
			add(&result, pn_slice_make(text.data + index, 1));
			continue;
		}
		add(&result, PN_SLICE("\r\n"));
		if (text.data[index] == '\r' && index + 1 < text.size &&
		    text.data[index + 1] == '\n')
			index++;
	}
	if (result.size > 0 && result.content[result.size - 1] != '\n')
		add(&result, PN_SLICE("\r\n"));
	return result;
}

/* In two pieces, or with SIZE_MAX each byte alone. */
static struct result stuff(struct pn_slice text, size_t cut)
{
	struct result result = {.outcome = OUTCOME_MORE};
	struct pn_frame_stuff state = {0};

	if (cut == SIZE_MAX) {
		for (size_t index = 0; index < text.size; index++)
			pn_frame_stuff(&state, pn_slice_make(text.data + index, 1), false, collect,
			               &result);
		pn_frame_stuff(&state, PN_SLICE_NONE, true, collect, &result);
		return result;
	}
	pn_frame_stuff(&state, pn_slice_make(text.data, cut), false, collect, &result);
	pn_frame_stuff(&state, pn_slice_make(text.data + cut, text.size - cut), true, collect,
	               &result);
	return result;
}

START_TEST(what_is_stuffed_reads_back_as_exactly_one_message)
{
	static const char alphabet[] = {'\r', '\n', '.', 'x'};

	for (size_t length = 1; length <= 8; length++) {
		for (size_t number = 0; number < word_count(4, length); number++) {
			struct pn_slice text = exact_word(alphabet, 4, length, number);
			struct result written = stuff(text, 0);
			struct result bytewise = stuff(text, SIZE_MAX);
			struct result expected = normal_form(text);
			struct result read = {.outcome = OUTCOME_MORE};
			struct pn_frame_dot dot = {0};

			expected.end = written.size;
			for (size_t cut = 0; cut <= length; cut++) {
				struct result again = stuff(text, cut);

				require(again.size == written.size &&
				        memcmp(again.content, written.content, again.size) == 0);
			}
			require(bytewise.size == written.size &&
			        memcmp(bytewise.content, written.content, written.size) == 0);
			feed(&dot, &read, pn_slice_make(written.content, written.size));
			check_result(&read, &expected, text);
			free((char *)text.data);
		}
	}
}
END_TEST

static void collect_much(void *user, struct pn_slice bytes)
{
	require(pn_buffer_append(user, bytes) == PN_OK);
}

/* Content is looked at in windows: what stands across the end of one is found like anywhere else.
 */
START_TEST(long_lines_are_stuffed_like_short_ones)
{
	static const char alphabet[] = {'\r', '\n', '.', 'x'};
	char line[600];

	memset(line, 'x', sizeof(line));
	for (size_t before = 250; before <= 260; before++) {
		for (size_t number = 0; number < word_count(4, 5); number++) {
			struct pn_slice word = exact_word(alphabet, 4, 5, number);
			struct pn_slice text = pn_slice_make(line, before + 300);
			struct pn_frame_stuff at_once = {0};
			struct pn_frame_stuff bytewise = {0};
			struct pn_buffer one, other;

			pn_buffer_init(&one, 4096);
			pn_buffer_init(&other, 4096);
			memcpy(line + before, word.data, word.size);
			pn_frame_stuff(&at_once, text, true, collect_much, &one);
			for (size_t index = 0; index < text.size; index++)
				pn_frame_stuff(&bytewise, pn_slice_make(line + index, 1),
				               index + 1 == text.size, collect_much, &other);
			require(pn_slice_equal(pn_buffer_slice(&one), pn_buffer_slice(&other)));
			memset(line + before, 'x', word.size);
			pn_buffer_clear(&one);
			pn_buffer_clear(&other);
			free((char *)word.data);
		}
	}
}
END_TEST

Suite *frame_dot_suite(void)
{
	static const TTest *tests[7];

	tests[0] = tells_the_same_content_however_the_bytes_are_cut;
	tests[1] = no_near_miss_ends_the_data;
	tests[2] = takes_nothing_behind_the_end;
	tests[3] = what_is_stuffed_reads_back_as_exactly_one_message;
	tests[4] = empty_content_is_a_dot_alone;
	tests[5] = long_lines_are_stuffed_like_short_ones;
	return suite_of("frame_dot", tests);
}
