/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: what is one, its codes, its text. */
#include "straw.h"
#include "suites.h"

#include <stdio.h>

static struct deliver_reply reply;

static enum deliver_reply_state take(const char *line)
{
	return deliver_reply_take(&reply, pn_slice_of(line), NULL);
}

static void fresh(void)
{
	memset(&reply, 0, sizeof(reply));
}

START_TEST(code_enhanced_code_and_text_are_kept_apart)
{
	fresh();
	ck_assert_int_eq(take("550 5.1.1 no such user"), DELIVER_REPLY_WHOLE);
	ck_assert_uint_eq(reply.reply.code, 550);
	ck_assert_str_eq(reply.reply.enhanced, "5.1.1");
	ck_assert_str_eq(reply.reply.text, "no such user");
}
END_TEST

START_TEST(lines_of_one_answer_are_joined)
{
	fresh();
	ck_assert_int_eq(take("250-2.1.0 one"), DELIVER_REPLY_MORE);
	ck_assert_int_eq(take("250-2.1.0 two"), DELIVER_REPLY_MORE);
	ck_assert_int_eq(take("250 2.1.0 three"), DELIVER_REPLY_WHOLE);
	ck_assert_str_eq(reply.reply.enhanced, "2.1.0");
	ck_assert_str_eq(reply.reply.text, "one two three");
}
END_TEST

START_TEST(a_code_alone_is_an_answer)
{
	fresh();
	ck_assert_int_eq(take("250"), DELIVER_REPLY_WHOLE);
	ck_assert_uint_eq(reply.reply.code, 250);
	ck_assert_str_eq(reply.reply.text, "");
}
END_TEST

START_TEST(an_enhanced_code_of_another_class_is_text)
{
	fresh();
	ck_assert_int_eq(take("550 2.1.5 strange"), DELIVER_REPLY_WHOLE);
	ck_assert_str_eq(reply.reply.enhanced, "");
	ck_assert_str_eq(reply.reply.text, "2.1.5 strange");
}
END_TEST

START_TEST(what_only_looks_like_an_enhanced_code_is_text)
{
	static const char *const lines[] = {"550 5.1 x",      "550 5.1.1x",  "550 5..1 x",
	                                    "550 5.1234.1 x", "550 5.1. x",  "550 5.1.1.1 x",
	                                    "550 5.1.1234 x", "550 55.1.1 x"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		fresh();
		ck_assert_int_eq(take(lines[i]), DELIVER_REPLY_WHOLE);
		ck_assert_str_eq(reply.reply.enhanced, "");
		ck_assert_str_eq(reply.reply.text, lines[i] + 4);
	}
}
END_TEST

START_TEST(the_longest_enhanced_code_fits)
{
	fresh();
	ck_assert_int_eq(take("550 5.123.456 x"), DELIVER_REPLY_WHOLE);
	ck_assert_str_eq(reply.reply.enhanced, "5.123.456");
}
END_TEST

START_TEST(what_is_no_answer_is_refused)
{
	static const char *const lines[] = {
		"",      "2",      "25",      "250x",       "250_ok", "abc ok", "150",
		"650 x", "2 50 x", " 250 ok", "25\x30\x30", "-250",   "050 ok", "\xff\xff\xff"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		fresh();
		ck_assert_msg(take(lines[i]) == DELIVER_REPLY_BROKEN, "\"%s\" was taken", lines[i]);
	}
}
END_TEST

START_TEST(codes_that_differ_within_an_answer_are_refused)
{
	fresh();
	ck_assert_int_eq(take("250-one"), DELIVER_REPLY_MORE);
	ck_assert_int_eq(take("251 two"), DELIVER_REPLY_BROKEN);
}
END_TEST

START_TEST(a_hundred_lines_are_taken_and_one_more_is_not)
{
	fresh();
	for (int i = 0; i < 99; i++)
		ck_assert_int_eq(take("250-x"), DELIVER_REPLY_MORE);
	ck_assert_int_eq(take("250-x"), DELIVER_REPLY_MORE);
	ck_assert_int_eq(take("250 x"), DELIVER_REPLY_BROKEN);
	fresh();
	for (int i = 0; i < 99; i++)
		ck_assert_int_eq(take("250-x"), DELIVER_REPLY_MORE);
	ck_assert_int_eq(take("250 x"), DELIVER_REPLY_WHOLE);
}
END_TEST

START_TEST(text_is_made_printable_and_cut)
{
	char line[4096];

	fresh();
	ck_assert_int_eq(take("550 a\tb\x1b[31m\xc3\xa4"), DELIVER_REPLY_WHOLE);
	ck_assert_str_eq(reply.reply.text, "a?b?[31m??");
	memset(line, 'x', sizeof(line));
	memcpy(line, "550 ", 4);
	fresh();
	ck_assert_int_eq(deliver_reply_take(&reply, pn_slice_make(line, sizeof(line)), NULL),
	                 DELIVER_REPLY_WHOLE);
	ck_assert_uint_eq(strlen(reply.reply.text), sizeof(reply.reply.text) - 1);
}
END_TEST

TCase *reply_case(void)
{
	TCase *tcase = tcase_create("reply");

	tcase_add_test(tcase, code_enhanced_code_and_text_are_kept_apart);
	tcase_add_test(tcase, lines_of_one_answer_are_joined);
	tcase_add_test(tcase, a_code_alone_is_an_answer);
	tcase_add_test(tcase, an_enhanced_code_of_another_class_is_text);
	tcase_add_test(tcase, what_only_looks_like_an_enhanced_code_is_text);
	tcase_add_test(tcase, the_longest_enhanced_code_fits);
	tcase_add_test(tcase, what_is_no_answer_is_refused);
	tcase_add_test(tcase, codes_that_differ_within_an_answer_are_refused);
	tcase_add_test(tcase, a_hundred_lines_are_taken_and_one_more_is_not);
	tcase_add_test(tcase, text_is_made_printable_and_cut);
	return tcase;
}
