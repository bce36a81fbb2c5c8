/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of UIDs. */
#include <check.h>
#include <stdlib.h>

#include <postern/store.h>

#include "suites.h"

static struct pn_uid_set set_of(struct pn_arena *arena, const uint32_t *uids, size_t count)
{
	return pn_uid_set_of(arena, uids, count);
}

START_TEST(empty_set_has_nothing)
{
	struct pn_uid_set set = {NULL, 0};

	ck_assert(!pn_uid_set_has(set, 1));
	ck_assert_uint_eq(pn_uid_set_count(set), 0);
}
END_TEST

START_TEST(neighbours_become_one_range)
{
	struct pn_arena *arena = pn_arena_new();
	uint32_t uids[] = {1, 2, 3, 7, 9, 10, 10, 4294967295u};
	struct pn_uid_set set = set_of(arena, uids, 8);

	ck_assert_uint_eq(set.count, 4);
	ck_assert_uint_eq(set.ranges[0].first, 1);
	ck_assert_uint_eq(set.ranges[0].last, 3);
	ck_assert_uint_eq(set.ranges[3].first, 4294967295u);
	ck_assert_uint_eq(pn_uid_set_count(set), 7);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(membership_is_right_at_the_edges)
{
	struct pn_arena *arena = pn_arena_new();
	uint32_t uids[] = {5, 6, 7, 20, 4294967295u};
	struct pn_uid_set set = set_of(arena, uids, 5);

	ck_assert(!pn_uid_set_has(set, 4));
	ck_assert(pn_uid_set_has(set, 5));
	ck_assert(pn_uid_set_has(set, 7));
	ck_assert(!pn_uid_set_has(set, 8));
	ck_assert(!pn_uid_set_has(set, 19));
	ck_assert(pn_uid_set_has(set, 20));
	ck_assert(!pn_uid_set_has(set, 21));
	ck_assert(pn_uid_set_has(set, 4294967295u));
	ck_assert(!pn_uid_set_has(set, 0));
	pn_arena_free(&arena);
}
END_TEST

START_TEST(the_whole_space_is_counted)
{
	struct pn_uid_range all = {1, 4294967295u};
	struct pn_uid_set set = {&all, 1};

	ck_assert_uint_eq(pn_uid_set_count(set), 4294967295u);
	ck_assert(pn_uid_set_has(set, 2147483648u));
}
END_TEST

START_TEST(random_sets_agree_with_a_plain_list)
{
	struct pn_arena *arena = pn_arena_new();

	srand(3);
	for (int round = 0; round < 200; round++) {
		bool there[200] = {false};
		uint32_t uids[200];
		size_t count = 0;
		struct pn_uid_set set;

		for (uint32_t uid = 1; uid < 200; uid++)
			if (rand() % 3 != 0) {
				there[uid] = true;
				uids[count++] = uid;
			}
		set = set_of(arena, uids, count);
		ck_assert_uint_eq(pn_uid_set_count(set), count);
		for (uint32_t uid = 0; uid < 200; uid++)
			ck_assert(pn_uid_set_has(set, uid) == there[uid]);
		for (size_t i = 1; i < set.count; i++)
			ck_assert(set.ranges[i].first > set.ranges[i - 1].last + 1);
	}
	pn_arena_free(&arena);
}
END_TEST

Suite *uid_set_suite(void)
{
	Suite *suite = suite_create("uid_set");
	TCase *cases = tcase_create("uid_set");

	tcase_add_test(cases, empty_set_has_nothing);
	tcase_add_test(cases, neighbours_become_one_range);
	tcase_add_test(cases, membership_is_right_at_the_edges);
	tcase_add_test(cases, the_whole_space_is_counted);
	tcase_add_test(cases, random_sets_agree_with_a_plain_list);
	suite_add_tcase(suite, cases);
	return suite;
}
