/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing, cutting, numbers with units, JSON strings, the nearest word. */
#include "../exact.h"
#include "suites.h"

#include <postern/text.h>

typedef enum pn_status number_parser(struct pn_slice text, uint64_t *value_out);

static void check_number(number_parser *parse, const char *text, enum pn_status status,
                         uint64_t expected)
{
	struct pn_slice copy = exact(pn_slice_of(text));
	uint64_t value = 42;

	ck_assert_msg(parse(copy, &value) == status, "\"%s\"", text);
	ck_assert_msg(value == (status == PN_OK ? expected : 42), "\"%s\"", text);
	free((char *)copy.data);
}

START_TEST(reads_whole_numbers_and_nothing_else)
{
	static const char *const bad[] = {"",
	                                  " 1",
	                                  "1 ",
	                                  "-1",
	                                  "+1",
	                                  "0x1",
	                                  "1.0",
	                                  "x",
	                                  "18446744073709551616",
	                                  "99999999999999999999"};

	check_number(pn_parse_count, "0", PN_OK, 0);
	check_number(pn_parse_count, "007", PN_OK, 7);
	check_number(pn_parse_count, "18446744073709551615", PN_OK, UINT64_MAX);
	for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++)
		check_number(pn_parse_count, bad[index], PN_FAILED, 0);
}
END_TEST

START_TEST(reads_sizes_in_powers_of_1024)
{
	static const char *const bad[] = {"",
	                                  "k",
	                                  "M",
	                                  "1kb",
	                                  "1 k",
	                                  "-1k",
	                                  "1.5M",
	                                  "1kk",
	                                  "18014398509481984k",
	                                  "17179869184G",
	                                  "16777216T",
	                                  "1P"};

	check_number(pn_parse_size, "4096", PN_OK, 4096);
	check_number(pn_parse_size, "16k", PN_OK, 16384);
	check_number(pn_parse_size, "16K", PN_OK, 16384);
	check_number(pn_parse_size, "50M", PN_OK, 52428800);
	check_number(pn_parse_size, "1G", PN_OK, 1073741824);
	check_number(pn_parse_size, "2T", PN_OK, (uint64_t)2 << 40);
	check_number(pn_parse_size, "0M", PN_OK, 0);
	check_number(pn_parse_size, "18014398509481983k", PN_OK, 18446744073709550592u);
	for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++) {
		check_number(pn_parse_size, bad[index], PN_FAILED, 0);
	}
}
END_TEST

START_TEST(reads_durations_only_with_a_unit)
{
	static const char *const bad[] = {"",
	                                  "5",
	                                  "0",
	                                  "s",
	                                  "ms",
	                                  "5S",
	                                  "5M",
	                                  "5 m",
	                                  "-5s",
	                                  "1h30m",
	                                  "5sec",
	                                  "5mss",
	                                  "18446744073709551615s",
	                                  "213503982335d"};

	check_number(pn_parse_duration, "250ms", PN_OK, 250);
	check_number(pn_parse_duration, "30s", PN_OK, 30000);
	check_number(pn_parse_duration, "5m", PN_OK, 300000);
	check_number(pn_parse_duration, "2h", PN_OK, 7200000);
	check_number(pn_parse_duration, "1d", PN_OK, 86400000);
	check_number(pn_parse_duration, "0s", PN_OK, 0);
	check_number(pn_parse_duration, "18446744073709551615ms", PN_OK, UINT64_MAX);
	for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++)
		check_number(pn_parse_duration, bad[index], PN_FAILED, 0);
}
END_TEST

START_TEST(number_parsers_stay_inside_short_texts)
{
	static const char alphabet[] = "0159kmsd";

	for (size_t length = 0; length <= 4; length++) {
		for (size_t number = 0; number < word_count(8, length); number++) {
			struct pn_slice text = exact_word(alphabet, 8, length, number);
			uint64_t value;
			bool is_count = pn_parse_count(text, &value) == PN_OK;

			if (is_count)
				ck_assert_int_ne(pn_parse_duration(text, &value), PN_OK);
			ck_assert(!is_count || pn_parse_size(text, &value) == PN_OK);
			free((char *)text.data);
		}
	}
}
END_TEST

START_TEST(compares_letters_of_either_case_in_ascii_only)
{
	ck_assert(pn_slice_equal(PN_SLICE_NONE, PN_SLICE("")));
	ck_assert(!pn_slice_equal(PN_SLICE("a"), PN_SLICE("A")));
	ck_assert(pn_slice_equal_ignore_case(PN_SLICE("MaIl"), PN_SLICE("mAiL")));
	ck_assert(!pn_slice_equal_ignore_case(PN_SLICE("mail"), PN_SLICE("mai")));
	ck_assert(!pn_slice_equal_ignore_case(PN_SLICE("[{"), PN_SLICE("{[")));
	ck_assert(!pn_slice_equal_ignore_case(PN_SLICE("\xc3\x84"), PN_SLICE("\xc3\xa4")));
	ck_assert(pn_slice_starts_with_ignore_case(PN_SLICE("Size=1"), PN_SLICE("SIZE")));
	ck_assert(!pn_slice_starts_with_ignore_case(PN_SLICE("SIZ"), PN_SLICE("SIZE")));
	ck_assert(pn_slice_starts_with_ignore_case(PN_SLICE("x"), PN_SLICE_NONE));
}
END_TEST

START_TEST(trims_and_cuts)
{
	struct pn_slice rest = PN_SLICE("a,,b");
	struct pn_slice none = PN_SLICE_NONE;

	ck_assert(pn_slice_equal(pn_slice_trim(PN_SLICE(" \t a b\t ")), PN_SLICE("a b")));
	ck_assert_uint_eq(pn_slice_trim(PN_SLICE(" \t ")).size, 0);
	ck_assert(pn_slice_equal(pn_slice_cut(&rest, ','), PN_SLICE("a")));
	ck_assert(pn_slice_equal(pn_slice_cut(&rest, ','), PN_SLICE("")));
	ck_assert(pn_slice_equal(pn_slice_cut(&rest, ','), PN_SLICE("b")));
	ck_assert_uint_eq(rest.size, 0);
	ck_assert_uint_eq(pn_slice_cut(&none, ',').size, 0);
	ck_assert_uint_eq(pn_slice_find(PN_SLICE("abc"), 'c'), 2);
	ck_assert_uint_eq(pn_slice_find(PN_SLICE("abc"), 'x'), 3);
}
END_TEST

static void check_json(struct pn_slice text, const char *expected)
{
	struct pn_slice copy = exact(text);
	struct pn_buffer out;

	pn_buffer_init(&out, 1000);
	ck_assert_int_eq(pn_json_append_string(&out, copy), PN_OK);
	ck_assert_msg(pn_slice_equal(pn_buffer_slice(&out), pn_slice_of(expected)), "%.*s, not %s",
	              (int)out.size, out.data, expected);
	pn_buffer_clear(&out);
	free((char *)copy.data);
}

START_TEST(writes_json_strings_without_anything_that_acts_on_a_terminal)
{
	check_json(PN_SLICE_NONE, "\"\"");
	check_json(PN_SLICE("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
	check_json(pn_slice_make("\r\n\t\0\033\177", 6), "\"\\r\\n\\t\\u0000\\u001b\\u007f\"");
	check_json(PN_SLICE("h\xc3\xa9llo \xf0\x9f\x93\xac"), "\"h\xc3\xa9llo \xf0\x9f\x93\xac\"");
	check_json(PN_SLICE("\xe9t\xe9"), "\"\\u00e9t\\u00e9\"");
	check_json(PN_SLICE("\xc2\x9b"), "\"\\u009b\"");        /* a C1 control, well encoded */
	check_json(PN_SLICE("\xe2\x80\xa8"), "\"\\u2028\"");    /* a line separator */
	check_json(PN_SLICE("\xe2\x80\xae"), "\"\\u202e\"");    /* turns the text round */
	check_json(PN_SLICE("\xc0\xaf"), "\"\\u00c0\\u00af\""); /* overlong */
	check_json(PN_SLICE("\xed\xa0\x80"), "\"\\u00ed\\u00a0\\u0080\""); /* a surrogate */
	check_json(PN_SLICE("\xe2\x82"), "\"\\u00e2\\u0082\"");            /* cut in two */
	check_json(PN_SLICE("\xf4\x90\x80\x80"), "\"\\u00f4\\u0090\\u0080\\u0080\"");
}
END_TEST

START_TEST(a_json_string_that_does_not_fit_leaves_nothing_behind)
{
	for (size_t limit = 1; limit < 12; limit++) {
		struct pn_buffer out;

		pn_buffer_init(&out, limit);
		ck_assert_int_eq(pn_buffer_append(&out, PN_SLICE("x")), PN_OK);
		ck_assert_int_eq(pn_json_append_string(&out, PN_SLICE("ab\ncd\xff")), PN_LIMIT);
		ck_assert_uint_eq(out.size, 1);
		pn_buffer_clear(&out);
	}
}
END_TEST

START_TEST(makes_text_printable_and_cuts_it_to_fit)
{
	char room[8];

	ck_assert_str_eq(pn_text_printable(room, sizeof(room), PN_SLICE("a\r\n\xff~ ")), "a???~ ");
	ck_assert_str_eq(pn_text_printable(room, sizeof(room), PN_SLICE("123456789")), "1234567");
	ck_assert_str_eq(pn_text_printable(room, 1, PN_SLICE("123")), "");
}
END_TEST

START_TEST(finds_the_nearest_word_if_one_is_near)
{
	static const char *const words[] = {
		"greeting", "include_address", "max_message_size", "tls", "to", NULL};

	ck_assert_str_eq(pn_nearest_word("greting", words), "greeting");
	ck_assert_str_eq(pn_nearest_word("gereting", words), "greeting");
	ck_assert_str_eq(pn_nearest_word("Include_Adress", words), "include_address");
	ck_assert_str_eq(pn_nearest_word("max_mesage_sise", words), "max_message_size");
	ck_assert_str_eq(pn_nearest_word("tsl", words), "tls");
	ck_assert_str_eq(pn_nearest_word("ot", words), "to");
	ck_assert_ptr_null(pn_nearest_word("xyz", words));
	ck_assert_ptr_null(pn_nearest_word("", words));
	ck_assert_ptr_null(pn_nearest_word("completely_different", words));
	ck_assert_ptr_null(pn_nearest_word("a_word_that_is_longer_than_any_that_anybody_would_ever_"
	                                   "write_into_a_file",
	                                   words));
}
END_TEST

START_TEST(compares_secrets_byte_by_byte)
{
	ck_assert(pn_equal_constant_time(PN_SLICE("secret"), PN_SLICE("secret")));
	ck_assert(!pn_equal_constant_time(PN_SLICE("secret"), PN_SLICE("secreT")));
	ck_assert(!pn_equal_constant_time(PN_SLICE("secret"), PN_SLICE("secre")));
	ck_assert(pn_equal_constant_time(PN_SLICE_NONE, PN_SLICE("")));
}
END_TEST

Suite *text_suite(void)
{
	static const TTest *tests[12];

	tests[0] = reads_whole_numbers_and_nothing_else;
	tests[1] = reads_sizes_in_powers_of_1024;
	tests[2] = reads_durations_only_with_a_unit;
	tests[3] = number_parsers_stay_inside_short_texts;
	tests[4] = compares_letters_of_either_case_in_ascii_only;
	tests[5] = trims_and_cuts;
	tests[6] = writes_json_strings_without_anything_that_acts_on_a_terminal;
	tests[7] = a_json_string_that_does_not_fit_leaves_nothing_behind;
	tests[8] = makes_text_printable_and_cuts_it_to_fit;
	tests[9] = finds_the_nearest_word_if_one_is_near;
	tests[10] = compares_secrets_byte_by_byte;
	return suite_of("text", tests);
}
