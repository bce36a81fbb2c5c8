/* SPDX-License-Identifier: Apache-2.0 */
/* Failed logins, counted: with a clock that stands still unless it is moved. */
#include "suites.h"

#include "io/world.h"
#include "store/throttle.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t now_ns;

static uint64_t still_clock(void)
{
	return now_ns;
}

static void pass(uint64_t milliseconds)
{
	now_ns += milliseconds * 1000000;
}

static const struct pn_login_limits limits = {
	.per_login = 6,
	.per_account = 10,
	.per_address = 30,
};

static void begin(void)
{
	pn_throttle_table = calloc(1, sizeof(*pn_throttle_table));
	ck_assert_ptr_nonnull(pn_throttle_table);
	now_ns = 1000000000000;
	pn_world.monotonic_ns = still_clock;
}

static void end(void)
{
	free(pn_throttle_table);
	pn_throttle_table = NULL;
	pn_world.monotonic_ns = pn_world_real.monotonic_ns;
}

/* A login that fails: whether it was judged. */
static bool fails(const char *account, const char *address)
{
	struct pn_throttle_claim claim;

	return pn_throttle_take(&limits, pn_slice_of(account), address, &claim) == NULL;
}

static bool succeeds(const char *account, const char *address)
{
	struct pn_throttle_claim claim;

	if (pn_throttle_take(&limits, pn_slice_of(account), address, &claim) != NULL)
		return false;
	pn_throttle_give_back(&claim, true);
	return true;
}

START_TEST(one_address_has_three_at_once_and_six_in_any_minute)
{
	unsigned in_a_minute = 0;

	ck_assert(fails("alice", "192.0.2.1"));
	ck_assert(fails("alice", "192.0.2.1"));
	ck_assert(fails("alice", "192.0.2.1"));
	ck_assert(!fails("alice", "192.0.2.1"));
	pass(19999);
	ck_assert(!fails("alice", "192.0.2.1"));
	pass(1);
	ck_assert(fails("alice", "192.0.2.1"));
	ck_assert(!fails("alice", "192.0.2.1"));
	for (int second = 0; second < 60; second++, pass(1000))
		in_a_minute += fails("alice", "192.0.2.1");
	ck_assert_uint_le(in_a_minute, 6);
	ck_assert_uint_ge(in_a_minute, 2);
}
END_TEST

START_TEST(who_guesses_from_one_address_does_not_lock_out_the_owner)
{
	for (int second = 0; second < 600; second++, pass(1000))
		(void)fails("alice", "192.0.2.1");
	while (fails("alice", "192.0.2.1"))
		;
	ck_assert(!succeeds("alice", "192.0.2.1"));
	ck_assert(succeeds("alice", "198.51.100.7"));
	ck_assert(succeeds("bob", "192.0.2.1"));
}
END_TEST

START_TEST(many_addresses_have_ten_together_in_any_minute)
{
	unsigned counts[3] = {0};
	char address[32];

	for (int second = 0; second < 180; second++, pass(1000)) {
		for (int i = 0; i < 10; i++) {
			snprintf(address, sizeof(address), "203.0.%d.%d", second % 250, i);
			counts[second / 60] += fails("alice", address);
		}
	}
	for (int minute = 0; minute < 3; minute++) {
		ck_assert_uint_le(counts[minute], 10);
		ck_assert_uint_ge(counts[minute], 4);
	}
}
END_TEST

START_TEST(the_owner_comes_in_from_where_it_was_before)
{
	char address[32];

	ck_assert(succeeds("alice", "198.51.100.7"));
	for (int i = 0; i < 50; i++) {
		snprintf(address, sizeof(address), "203.0.113.%d", i);
		(void)fails("alice", address);
	}
	ck_assert(!succeeds("alice", "198.51.100.8"));
	ck_assert(succeeds("alice", "198.51.100.7"));
	/* But may not guess there without end. */
	while (fails("alice", "198.51.100.7"))
		;
	ck_assert(!succeeds("alice", "198.51.100.7"));
	/* And is forgotten after thirty days. */
	pass(UINT64_C(31) * 24 * 3600 * 1000);
	for (int i = 0; i < 50; i++) {
		snprintf(address, sizeof(address), "203.0.113.%d", i);
		(void)fails("alice", address);
	}
	ck_assert(!succeeds("alice", "198.51.100.7"));
}
END_TEST

START_TEST(one_address_has_thirty_whatever_the_account)
{
	unsigned judged = 0;
	char account[32];

	for (int i = 0; i < 100; i++) {
		snprintf(account, sizeof(account), "account%d", i);
		judged += fails(account, "192.0.2.1");
	}
	ck_assert_uint_eq(judged, 15);
	ck_assert(!succeeds("alice", "192.0.2.1"));
	ck_assert(succeeds("alice", "192.0.2.2"));
}
END_TEST

START_TEST(a_network_of_ipv6_is_one_address)
{
	ck_assert(fails("alice", "2001:db8:1:2::1"));
	ck_assert(fails("alice", "2001:db8:1:2::2"));
	ck_assert(fails("alice", "2001:db8:1:2:ffff::3"));
	ck_assert(!fails("alice", "2001:db8:1:2::4"));
	ck_assert(fails("alice", "2001:db8:1:3::1"));
}
END_TEST

START_TEST(who_succeeds_takes_nothing)
{
	for (int i = 0; i < 1000; i++)
		ck_assert(succeeds("alice", "192.0.2.1"));
	ck_assert(fails("alice", "192.0.2.1"));
}
END_TEST

START_TEST(what_was_refused_does_not_count_again)
{
	for (int i = 0; i < 1000; i++)
		(void)fails("alice", "192.0.2.1");
	pass(20000);
	ck_assert(succeeds("alice", "192.0.2.1"));
}
END_TEST

START_TEST(attempts_at_the_same_time_count_before_they_are_judged)
{
	struct pn_throttle_claim claims[10];
	size_t taken = 0;

	while (taken < 10 &&
	       pn_throttle_take(&limits, PN_SLICE("alice"), "192.0.2.1", &claims[taken]) == NULL)
		taken++;
	ck_assert_uint_eq(taken, 3);
	for (size_t i = 0; i < taken; i++)
		pn_throttle_give_back(&claims[i], false);
	ck_assert(succeeds("alice", "192.0.2.1"));
}
END_TEST

START_TEST(a_full_table_still_counts)
{
	for (size_t i = 0; i < PN_THROTTLE_SETS * PN_RATE_WAYS; i++) {
		atomic_store(&pn_throttle_table->taken[i].key, i + 1);
		atomic_store(&pn_throttle_table->taken[i].until, UINT64_MAX / 2 + i);
	}
	while (fails("alice", "192.0.2.1"))
		;
	ck_assert(!succeeds("alice", "192.0.2.1"));
	ck_assert(succeeds("alice", "192.0.2.2"));
}
END_TEST

START_TEST(without_a_table_nothing_is_counted)
{
	end();
	for (int i = 0; i < 100; i++)
		ck_assert(fails("alice", "192.0.2.1"));
	ck_assert(succeeds("alice", "192.0.2.1"));
	begin();
}
END_TEST

Suite *throttle_suite(void)
{
	Suite *suite = suite_create("throttle");
	TCase *cases = tcase_create("throttle");

	tcase_add_checked_fixture(cases, begin, end);
	tcase_add_test(cases, one_address_has_three_at_once_and_six_in_any_minute);
	tcase_add_test(cases, who_guesses_from_one_address_does_not_lock_out_the_owner);
	tcase_add_test(cases, many_addresses_have_ten_together_in_any_minute);
	tcase_add_test(cases, the_owner_comes_in_from_where_it_was_before);
	tcase_add_test(cases, one_address_has_thirty_whatever_the_account);
	tcase_add_test(cases, a_network_of_ipv6_is_one_address);
	tcase_add_test(cases, who_succeeds_takes_nothing);
	tcase_add_test(cases, what_was_refused_does_not_count_again);
	tcase_add_test(cases, attempts_at_the_same_time_count_before_they_are_judged);
	tcase_add_test(cases, a_full_table_still_counts);
	tcase_add_test(cases, without_a_table_nothing_is_counted);
	suite_add_tcase(suite, cases);
	return suite;
}
