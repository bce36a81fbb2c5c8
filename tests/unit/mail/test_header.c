/* SPDX-License-Identifier: Apache-2.0 */
/* Headers: fields of any shape in, only well-formed ones out. */
#include "../exact.h"
#include "suites.h"

#include <postern/header.h>
#include <postern/text.h>

#include <stdio.h>
#include <time.h>

static struct pn_header parse(struct pn_arena *arena, struct pn_slice text)
{
	struct pn_header header;

	ck_assert_int_eq(pn_header_parse(text, 1000, arena, &header), PN_OK);
	return header;
}

START_TEST(reads_fields_and_where_the_header_ends)
{
	static const char text[] = "From: a\r\nTo :\tb,\r\n c\r\nX:\r\n\r\nbody: x\r\n";
	struct pn_arena *arena = pn_arena_new();
	struct pn_header header = parse(arena, pn_slice_of(text));

	ck_assert_uint_eq(header.count, 3);
	ck_assert(header.has_end && !header.is_malformed);
	ck_assert_uint_eq(header.size, strlen("From: a\r\nTo :\tb,\r\n c\r\nX:\r\n\r\n"));
	ck_assert(pn_slice_equal(header.fields[0].name, PN_SLICE("From")));
	ck_assert(pn_slice_equal(header.fields[0].value, PN_SLICE(" a")));
	ck_assert(pn_slice_equal(header.fields[1].name, PN_SLICE("To")));
	ck_assert(pn_slice_equal(header.fields[1].value, PN_SLICE("\tb,\r\n c")));
	ck_assert(pn_slice_equal(header.fields[1].whole, PN_SLICE("To :\tb,\r\n c\r\n")));
	ck_assert(pn_slice_equal(header.fields[2].value, PN_SLICE("")));
	ck_assert(
		pn_slice_equal(pn_header_unfold(arena, header.fields[1].value), PN_SLICE("b, c")));
	pn_arena_free(&arena);
}
END_TEST

START_TEST(keeps_lines_that_are_no_field)
{
	static const char *const bad[] = {"no colon\r\n",
	                                  " starts blank: x\r\n",
	                                  ": no name\r\n",
	                                  "two words: x\r\n",
	                                  "n\xc3\xa4me: x\r\n",
	                                  "a\001b: x\r\n",
	                                  "bare\nlf: x\r\n",
	                                  "bare\rcr: x\r\n",
	                                  "\n\r\n",
	                                  "no end"};
	struct pn_arena *arena = pn_arena_new();

	for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++) {
		struct pn_slice copy = exact(pn_slice_of(bad[index]));
		struct pn_header header = parse(arena, copy);

		ck_assert_msg(header.is_malformed && header.count == 1, "%s", bad[index]);
		ck_assert_uint_eq(header.fields[0].name.size, 0);
		ck_assert(pn_slice_equal(header.fields[0].whole, copy));
		ck_assert(!header.has_end);
		free((char *)copy.data);
	}
	pn_arena_free(&arena);
}
END_TEST

START_TEST(finds_fields_by_name_in_either_case)
{
	static const char text[] = "a: 1\r\nB: 2\r\nnone\r\nA : 3\r\nab: 4\r\n\r\n";
	struct pn_arena *arena = pn_arena_new();
	struct pn_header header = parse(arena, pn_slice_of(text));

	ck_assert_ptr_eq(pn_header_find(&header, PN_SLICE("A"), 0), &header.fields[0]);
	ck_assert_ptr_eq(pn_header_find(&header, PN_SLICE("a"), 1), &header.fields[3]);
	ck_assert_ptr_null(pn_header_find(&header, PN_SLICE("a"), 2));
	ck_assert_ptr_null(pn_header_find(&header, PN_SLICE(""), 0));
	ck_assert_ptr_null(pn_header_find(&header, PN_SLICE("c"), 0));
	pn_arena_free(&arena);
}
END_TEST

START_TEST(counts_fields_against_the_limit)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_header header;

	ck_assert_int_eq(pn_header_parse(PN_SLICE("a:\r\nb:\r\n\r\n"), 2, arena, &header), PN_OK);
	ck_assert_int_eq(pn_header_parse(PN_SLICE("a:\r\nb:\r\n\r\n"), 1, arena, &header),
	                 PN_LIMIT);
	ck_assert_int_eq(pn_header_parse(PN_SLICE("\r\n"), 0, arena, &header), PN_OK);
	ck_assert(header.has_end && header.size == 2);
	ck_assert_int_eq(pn_header_parse(PN_SLICE_NONE, 0, arena, &header), PN_OK);
	ck_assert(!header.has_end && header.size == 0);
	pn_arena_free(&arena);
}
END_TEST

/* Every short text: the fields are the text, nothing is lost, and the two ways to find the end
 * agree, from wherever the search goes on. */
START_TEST(fields_of_every_short_text_add_up_to_it)
{
	static const char alphabet[] = "\r\na: ";
	const size_t letters = sizeof(alphabet) - 1;

	for (size_t length = 0; length <= 8; length++) {
		for (size_t number = 0; number < word_count(letters, length); number++) {
			struct pn_arena *arena = pn_arena_new();
			struct pn_slice text = exact_word(alphabet, letters, length, number);
			struct pn_header header = parse(arena, text);
			size_t size = header.has_end ? 2 : 0;

			for (size_t index = 0; index < header.count; index++)
				size += header.fields[index].whole.size;
			if (size != header.size || header.size > text.size ||
			    (!header.has_end && header.size != text.size))
				ck_abort_msg("%.*s", PN_SLICE_ARGS(text));
			if (pn_header_end(text, 0) != (header.has_end ? header.size : 0))
				ck_abort_msg("%.*s", PN_SLICE_ARGS(text));
			for (size_t from = 0; from <= length; from++) {
				struct pn_slice known = pn_slice_make(text.data, from);

				if (pn_header_end(known, 0) == 0 &&
				    pn_header_end(text, from) != pn_header_end(text, 0))
					ck_abort_msg("%.*s from %zu", PN_SLICE_ARGS(text), from);
			}
			pn_arena_free(&arena);
			free((char *)text.data);
		}
	}
}
END_TEST

START_TEST(unfolds_to_one_line)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice line = pn_header_unfold(arena, pn_slice_make(" a\r\n\tb\nc\rd\0e\r\n", 14));

	ck_assert(pn_slice_equal(line, PN_SLICE("a\tb c d e")));
	ck_assert_uint_eq(pn_header_unfold(arena, PN_SLICE_NONE).size, 0);
	pn_arena_free(&arena);
}
END_TEST

static void check_write(const char *name, struct pn_slice value, enum pn_status status,
                        const char *expected)
{
	struct pn_slice copy = exact(value);
	struct pn_buffer out;

	pn_buffer_init(&out, 5000);
	ck_assert_int_eq(pn_header_write(&out, pn_slice_of(name), copy), status);
	ck_assert_msg(pn_slice_equal(pn_buffer_slice(&out), pn_slice_of(expected)), "%.*s, not %s",
	              (int)out.size, out.data, expected);
	pn_buffer_clear(&out);
	free((char *)copy.data);
}

START_TEST(writes_fields)
{
	check_write("Subject", PN_SLICE("hello"), PN_OK, "Subject: hello\r\n");
	check_write("Subject", PN_SLICE(" hello"), PN_OK, "Subject: hello\r\n");
	check_write("X", PN_SLICE(""), PN_OK, "X:\r\n");
	check_write("X", PN_SLICE("a\r\n b"), PN_OK, "X: a\r\n b\r\n");
	check_write("X", PN_SLICE("\r\n b"), PN_OK, "X:\r\n b\r\n");
	check_write("X", PN_SLICE("h\xc3\xa9"), PN_OK, "X: h\xc3\xa9\r\n");
}
END_TEST

START_TEST(refuses_values_that_would_end_the_line)
{
	static const char *const bad[] = {"a\r\nEvil: x", "a\nb",  "a\n b",      "a\rb",
	                                  "a\r b",        "a\r\n", "a\r\n ",     "a\r\n \r\n b",
	                                  "a\r",          "\n",    "a\r\n\r\n b"};
	static const char *const names[] = {"", "a b", "a:", "a\r\nb", "\xc3\xa9", " a"};

	for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++)
		check_write("X", pn_slice_of(bad[index]), PN_FAILED, "");
	for (size_t index = 0; index < sizeof(names) / sizeof(names[0]); index++)
		check_write(names[index], PN_SLICE("x"), PN_FAILED, "");
	check_write("X", pn_slice_make("a\0b", 3), PN_FAILED, "");
}
END_TEST

START_TEST(folds_at_blanks_before_column_78)
{
	char value[2000], line[2000];
	int size = 0;
	struct pn_buffer out;
	struct pn_slice rest;

	for (int index = 0; index < 40; index++)
		size += snprintf(value + size, sizeof(value) - (size_t)size, "%sword-%d",
		                 index == 0 ? "" : " ", index);
	pn_buffer_init(&out, 5000);
	ck_assert_int_eq(pn_header_write(&out, PN_SLICE("References"), pn_slice_of(value)), PN_OK);
	rest = pn_buffer_slice(&out);
	while (rest.size > 0) {
		struct pn_slice part = pn_slice_cut(&rest, '\n');

		ck_assert_uint_le(part.size, 79); /* with its CR */
		ck_assert_uint_ge(part.size, rest.size > 0 ? 65 : 1);
	}
	pn_buffer_clear(&out);

	/* A word that is longer than a line stays whole, and the name does not stand alone. */
	snprintf(line, sizeof(line), "X: %0100d\r\n %0100d\r\n", 0, 0);
	snprintf(value, sizeof(value), "%0100d %0100d", 0, 0);
	check_write("X", pn_slice_of(value), PN_OK, line);
}
END_TEST

START_TEST(what_was_written_reads_back)
{
	static const char alphabet[] = "\r\na ";

	for (size_t length = 0; length <= 7; length++) {
		for (size_t number = 0; number < word_count(4, length); number++) {
			struct pn_arena *arena = pn_arena_new();
			struct pn_slice value = exact_word(alphabet, 4, length, number);
			struct pn_buffer out;

			pn_buffer_init(&out, 100);
			if (pn_header_write(&out, PN_SLICE("X"), value) == PN_OK) {
				struct pn_header header = parse(arena, pn_buffer_slice(&out));

				ck_assert_uint_eq(header.count, 1);
				ck_assert(!header.has_end && !header.is_malformed);
				ck_assert(pn_slice_equal(
					pn_header_unfold(arena, header.fields[0].value),
					pn_header_unfold(arena, value)));
			} else {
				ck_assert_uint_eq(out.size, 0);
			}
			pn_buffer_clear(&out);
			pn_arena_free(&arena);
			free((char *)value.data);
		}
	}
}
END_TEST

START_TEST(leaves_the_buffer_as_it_was_when_a_field_does_not_fit)
{
	for (size_t limit = 3; limit < 3 + 11; limit++) {
		struct pn_buffer out;

		pn_buffer_init(&out, limit);
		ck_assert_int_eq(pn_buffer_append(&out, PN_SLICE("abc")), PN_OK);
		ck_assert_int_eq(pn_header_write(&out, PN_SLICE("Name"), PN_SLICE("a\r\n b")),
		                 limit < 3 + 12 ? PN_LIMIT : PN_OK);
		ck_assert_uint_eq(out.size, 3);
		pn_buffer_clear(&out);
	}
}
END_TEST

/* CPU time of parsing `size` bytes of the worst shapes. */
static double parsing_seconds(size_t size, const char *pattern)
{
	struct pn_arena *arena = pn_arena_new();
	char *text = malloc(size);
	struct pn_header header;
	clock_t begin;
	double seconds;

	for (size_t index = 0; index < size; index++)
		text[index] = pattern[index % strlen(pattern)];
	begin = clock();
	ck_assert_int_eq(pn_header_parse(pn_slice_make(text, size), SIZE_MAX - 1, arena, &header),
	                 PN_OK);
	pn_header_unfold(arena, pn_slice_make(text, size));
	pn_header_end(pn_slice_make(text, size), 0);
	seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
	free(text);
	pn_arena_free(&arena);
	return seconds;
}

START_TEST(takes_time_that_grows_with_the_size_only)
{
	static const char *const patterns[] = {"a:\r\n", "\n", "\r\n ", "\r", "a\n", " \r\n", "x"};

	/* Quadratic work on this size would take minutes. */
	for (size_t index = 0; index < sizeof(patterns) / sizeof(patterns[0]); index++)
		ck_assert_msg(parsing_seconds(4u << 20, patterns[index]) < 5.0, "%zu", index);
}
END_TEST

Suite *header_suite(void)
{
	static const TTest *tests[13];

	tests[0] = reads_fields_and_where_the_header_ends;
	tests[1] = keeps_lines_that_are_no_field;
	tests[2] = finds_fields_by_name_in_either_case;
	tests[3] = counts_fields_against_the_limit;
	tests[4] = fields_of_every_short_text_add_up_to_it;
	tests[5] = unfolds_to_one_line;
	tests[6] = writes_fields;
	tests[7] = refuses_values_that_would_end_the_line;
	tests[8] = folds_at_blanks_before_column_78;
	tests[9] = what_was_written_reads_back;
	tests[10] = leaves_the_buffer_as_it_was_when_a_field_does_not_fit;
	tests[11] = takes_time_that_grows_with_the_size_only;
	return suite_of("header", tests);
}
