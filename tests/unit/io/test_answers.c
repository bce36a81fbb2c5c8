/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of DNS that are known already. */
#include "suites.h"

#include <postern/text.h>

#include "io/answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pn_arena *arena;

static void set_up(void)
{
	arena = pn_arena_new();
}

static void tear_down(void)
{
	pn_answers_forget();
	pn_arena_free(&arena);
}

static void keep(const char *name, uint32_t ttl, const char *value, uint64_t now_ms)
{
	const struct pn_dns_record records[] = {{.value = pn_slice_of(value), .priority = 5},
	                                        {.value = PN_SLICE("second")}};
	const struct pn_dns_answer answer = {
		.struct_size = sizeof(answer),
		.question = {pn_slice_of(name), PN_DNS_TXT},
		.outcome = PN_DNS_FOUND,
		.secure = true,
		.ttl_seconds = ttl,
		.records = records,
		.record_count = 2,
		.refused_count = 3,
	};

	pn_answers_keep(&answer, now_ms);
}

static bool find(const char *name, enum pn_dns_type type, uint64_t now_ms,
                 struct pn_dns_answer *answer)
{
	const struct pn_dns_question question = {pn_slice_of(name), type};

	memset(answer, 0, sizeof(*answer));
	return pn_answers_find(&question, now_ms, arena, answer);
}

START_TEST(an_answer_is_known_as_it_was)
{
	struct pn_dns_answer answer;

	keep("a.test", 30, "first", 1000);
	ck_assert(find("A.TEST", PN_DNS_TXT, 11500, &answer));
	ck_assert(answer.secure);
	ck_assert_uint_eq(answer.ttl_seconds, 20);
	ck_assert_uint_eq(answer.record_count, 2);
	ck_assert_uint_eq(answer.refused_count, 3);
	ck_assert_uint_eq(answer.records[0].priority, 5);
	ck_assert(pn_slice_equal(answer.records[0].value, PN_SLICE("first")));
	ck_assert(pn_slice_equal(answer.records[1].value, PN_SLICE("second")));
	ck_assert(!find("a.test", PN_DNS_A, 11500, &answer));
	ck_assert(!find("b.test", PN_DNS_TXT, 11500, &answer));
}
END_TEST

START_TEST(an_answer_is_known_until_its_time_is_over)
{
	struct pn_dns_answer answer;

	keep("a.test", 30, "first", 1000);
	ck_assert(find("a.test", PN_DNS_TXT, 30999, &answer));
	ck_assert_uint_eq(answer.ttl_seconds, 1);
	ck_assert(!find("a.test", PN_DNS_TXT, 31000, &answer));
	keep("a.test", 86400, "first", 1000);
	ck_assert(find("a.test", PN_DNS_TXT, 60999, &answer));
	ck_assert(!find("a.test", PN_DNS_TXT, 61000, &answer));
	keep("b.test", 0, "first", 1000);
	ck_assert(!find("b.test", PN_DNS_TXT, 1000, &answer));
}
END_TEST

START_TEST(a_newer_answer_takes_the_place_of_the_older)
{
	struct pn_dns_answer answer;

	keep("a.test", 30, "first", 1000);
	keep("a.test", 30, "other", 2000);
	ck_assert(find("a.test", PN_DNS_TXT, 2000, &answer));
	ck_assert(pn_slice_equal(answer.records[0].value, PN_SLICE("other")));
	pn_answers_forget();
	ck_assert(!find("a.test", PN_DNS_TXT, 2000, &answer));
}
END_TEST

START_TEST(what_is_too_large_is_not_kept)
{
	struct pn_dns_answer answer;
	char value[4096];

	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	keep("a.test", 30, value, 1000);
	ck_assert(!find("a.test", PN_DNS_TXT, 1000, &answer));
	value[3000] = '\0';
	keep("a.test", 30, value, 1000);
	ck_assert(find("a.test", PN_DNS_TXT, 1000, &answer));
	ck_assert_uint_eq(answer.records[0].value.size, 3000);
}
END_TEST

START_TEST(very_many_answers_have_a_bounded_place)
{
	struct pn_dns_answer answer;
	size_t found = 0;
	char name[32];

	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "n%d.test", i);
		keep(name, 30, "x", 1000);
	}
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "n%d.test", i);
		found += find(name, PN_DNS_TXT, 1000, &answer);
	}
	ck_assert_uint_gt(found, 400);
	ck_assert_uint_le(found, 512);
}
END_TEST

Suite *answers_suite(void)
{
	Suite *suite = suite_create("answers");
	TCase *tests = tcase_create("answers");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, an_answer_is_known_as_it_was);
	tcase_add_test(tests, an_answer_is_known_until_its_time_is_over);
	tcase_add_test(tests, a_newer_answer_takes_the_place_of_the_older);
	tcase_add_test(tests, what_is_too_large_is_not_kept);
	tcase_add_test(tests, very_many_answers_have_a_bounded_place);
	suite_add_tcase(suite, tests);
	return suite;
}
