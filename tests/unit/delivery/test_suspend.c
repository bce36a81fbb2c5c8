/* SPDX-License-Identifier: Apache-2.0 */
/* Suspensions: written, read back, and refused where the file is none of ours. */
#include "../exact.h"
#include "suites.h"

#include <postern/text.h>

#include "delivery/queue.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];
static char path[96];
static struct pn_arena *arena;

static void set_up(void)
{
	snprintf(directory, sizeof(directory), "/tmp/postern-suspend-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/suspensions", directory);
	arena = pn_arena_new();
}

static void tear_down(void)
{
	pn_arena_free(&arena);
	unlink(path);
	ck_assert_int_eq(rmdir(directory), 0); /* nothing is left beside the file */
}

static void write_text(const char *text, size_t size)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(text, 1, size, file), size);
	ck_assert_int_eq(fclose(file), 0);
}

static enum pn_status read_back(struct pn_suspension **suspensions, size_t *count,
                                struct pn_error *error)
{
	return pn_suspensions_read(directory, arena, suspensions, count, error);
}

START_TEST(where_there_is_no_file_nothing_is_suspended)
{
	struct pn_suspension *suspensions;
	struct pn_error error;
	size_t count = 7;

	ck_assert_int_eq(read_back(&suspensions, &count, &error), PN_OK);
	ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(what_is_written_is_read_back)
{
	const struct pn_suspension written[] = {
		{PN_SUSPEND_DESTINATION, PN_SLICE("example.net"), 1234567890123, PN_SLICE_NONE},
		{PN_SUSPEND_TENANT, PN_SLICE("a tenant\nwith %20 \xc3\xa4\x01"), INT64_MAX,
	         PN_SLICE("moves\r\ntenant - evil ")},
		{PN_SUSPEND_TENANT, PN_SLICE("-"), 0, PN_SLICE("-")},
	};
	struct pn_suspension *read;
	struct pn_error error;
	size_t count;

	for (int round = 0; round < 2; round++) {
		ck_assert_int_eq(pn_suspensions_write(directory, written, 3, &error), PN_OK);
		ck_assert_int_eq(read_back(&read, &count, &error), PN_OK);
		ck_assert_uint_eq(count, 3);
		for (size_t i = 0; i < count; i++) {
			ck_assert_int_eq(read[i].kind, written[i].kind);
			ck_assert(read[i].until_ms == written[i].until_ms);
			ck_assert(pn_slice_equal(read[i].name, written[i].name));
			ck_assert(pn_slice_equal(read[i].reason, written[i].reason));
		}
	}
	ck_assert_int_eq(pn_suspensions_write(directory, NULL, 0, &error), PN_OK);
	ck_assert_int_eq(read_back(&read, &count, &error), PN_OK);
	ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(names_and_reasons_have_a_limit)
{
	char text[1026];
	struct pn_suspension one = {PN_SUSPEND_TENANT, pn_slice_make(text, 1024), INT64_MAX,
	                            pn_slice_make(text, 500)};
	struct pn_suspension *read;
	struct pn_error error;
	size_t count;

	memset(text, ' ', sizeof(text));
	ck_assert_int_eq(pn_suspensions_write(directory, &one, 1, &error), PN_OK);
	ck_assert_int_eq(read_back(&read, &count, &error), PN_OK);
	ck_assert_uint_eq(read[0].name.size, 1024);
	one.name.size = 1025;
	ck_assert_int_eq(pn_suspensions_write(directory, &one, 1, &error), PN_FAILED);
	one.name.size = 0;
	ck_assert_int_eq(pn_suspensions_write(directory, &one, 1, &error), PN_FAILED);
	one.name.size = 1;
	one.reason.size = 501;
	ck_assert_int_eq(pn_suspensions_write(directory, &one, 1, &error), PN_FAILED);
	/* What was there stays. */
	ck_assert_int_eq(read_back(&read, &count, &error), PN_OK);
	ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(a_damaged_line_is_named)
{
	static const char *const damaged[] = {
		"\n",
		"host - a -\n",
		"tenant - - -\n",
		"tenant -  -\n",
		"tenant 12x a -\n",
		"tenant 99999999999999999999 a -\n",
		"tenant - a%2 -\n",
		"tenant - a%zz -\n",
		"tenant - a\n",
		"tenant\n",
		"tenant - cut -",
	};
	struct pn_suspension *read;
	struct pn_error error;
	size_t count;

	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		char text[100];
		int size = snprintf(text, sizeof(text), "tenant - first -\n%s", damaged[i]);

		write_text(text, (size_t)size);
		ck_assert_msg(read_back(&read, &count, &error) == PN_FAILED, "%s", damaged[i]);
		ck_assert_ptr_nonnull(strstr(error.text, "suspensions:2:"));
		ck_assert_uint_eq(count, 0);
	}
}
END_TEST

Suite *suspend_suite(void)
{
	Suite *suite = suite_create("suspend");
	TCase *test_case = tcase_create("suspend");

	tcase_add_checked_fixture(test_case, set_up, tear_down);
	tcase_add_test(test_case, where_there_is_no_file_nothing_is_suspended);
	tcase_add_test(test_case, what_is_written_is_read_back);
	tcase_add_test(test_case, names_and_reasons_have_a_limit);
	tcase_add_test(test_case, a_damaged_line_is_named);
	suite_add_tcase(suite, test_case);
	return suite;
}
