/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts: what they say, and what they never hold. */
#include "../exact.h"
#include "suites.h"

#include <postern/error.h>

#include <errno.h>

START_TEST(says_what_and_why)
{
	struct pn_error error;

	ck_assert_int_eq(pn_fail(&error, "cannot read %s", "x"), PN_FAILED);
	ck_assert_str_eq(error.text, "cannot read x");
	ck_assert_int_eq(error.system_error, 0);
	ck_assert_int_eq(pn_fail_errno(&error, ENOENT, "cannot open %s", "x"), PN_FAILED);
	ck_assert_str_eq(error.text, "cannot open x: No such file or directory");
	ck_assert_int_eq(error.system_error, ENOENT);
	ck_assert_int_eq(pn_fail_with(PN_LIMIT, &error, "too many"), PN_LIMIT);
	ck_assert_int_eq(pn_fail_with(PN_DENIED, NULL, "nobody reads this"), PN_DENIED);
	pn_error_prefix(&error, "line %d", 7);
	ck_assert_str_eq(error.text, "line 7: too many");
	pn_error_prefix(NULL, "nobody");
	pn_fail(&error, "again: %s", error.text);
	ck_assert_str_eq(error.text, "again: line 7: too many");
}
END_TEST

START_TEST(replaces_control_characters)
{
	struct pn_error error;

	pn_fail(&error, "%s", "a\033[31m\r\nb\177\xc2\x9b \xff \xc3\xa9");
	ck_assert_str_eq(error.text, "a?[31m??b??? ? \xc3\xa9");
}
END_TEST

START_TEST(cuts_long_texts_without_losing_the_beginning)
{
	char text[2 * PN_ERROR_TEXT_SIZE];
	struct pn_error error;

	for (size_t index = 0; index < sizeof(text) - 1; index++)
		text[index] = index % 2 == 0 ? '\xc3' : '\xa9';
	text[sizeof(text) - 1] = '\0';
	pn_fail_errno(&error, ENOENT, "%s", text);
	ck_assert_uint_eq(strlen(error.text), PN_ERROR_TEXT_SIZE - 1);
	ck_assert_int_eq(error.text[PN_ERROR_TEXT_SIZE - 2], '?');
	pn_error_prefix(&error, "%s", "first");
	ck_assert_int_eq(strncmp(error.text, "first: \xc3\xa9", 9), 0);
	ck_assert_uint_eq(strlen(error.text), PN_ERROR_TEXT_SIZE - 1);
	pn_error_prefix(&error, "%s", text);
	ck_assert_uint_eq(strlen(error.text), PN_ERROR_TEXT_SIZE - 1);
}
END_TEST

START_TEST(names_every_status)
{
	ck_assert_str_eq(pn_status_name(PN_OK), "ok");
	ck_assert_str_eq(pn_status_name(PN_NOT_FOUND), "not found");
	ck_assert_str_eq(pn_status_name(PN_DENIED), "denied");
	ck_assert_str_eq(pn_status_name((enum pn_status) - 99), "unknown");
}
END_TEST

Suite *error_suite(void)
{
	static const TTest *tests[5];

	tests[0] = says_what_and_why;
	tests[1] = replaces_control_characters;
	tests[2] = cuts_long_texts_without_losing_the_beginning;
	tests[3] = names_every_status;
	return suite_of("error", tests);
}
