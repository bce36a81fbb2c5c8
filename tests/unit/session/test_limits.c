/* SPDX-License-Identifier: Apache-2.0 */
/* Limits by address, account and tenant: with a clock that stands still unless it is moved. */
#include "suites.h"

#include "io/world.h"
#include "session/limits.h"
#include "session/session.h"

#include <stdio.h>
#include <stdlib.h>

enum { COUNTS = 16 };

static uint64_t now_ns;
static struct {
	uint64_t key;
	uint32_t count;
} counts[COUNTS];

static uint64_t still_clock(void)
{
	return now_ns;
}

static void pass(uint64_t milliseconds)
{
	now_ns += milliseconds * 1000000;
}

static uint32_t count(uint64_t key, int change)
{
	size_t i = 0;

	while (i < COUNTS && counts[i].key != key && counts[i].key != 0)
		i++;
	ck_assert_uint_lt(i, COUNTS);
	counts[i].key = key;
	counts[i].count += (uint32_t)change;
	return counts[i].count;
}

static const char *const home[] = {"127.0.0.0/8", "unix"};
static const struct pn_session_limits limits = {
	.per_address = 3,
	.per_account = 2,
	.per_tenant = 3,
	.new_per_address = 100,
	.commands_per_address = 6,
	.not_rated = {.items = home, .count = 2},
};
static struct pn_generation generation;

static void begin(void)
{
	memset(counts, 0, sizeof(counts));
	pn_session_world.count = count;
	pn_rate_table = calloc(1, sizeof(*pn_rate_table));
	ck_assert_ptr_nonnull(pn_rate_table);
	now_ns = 1000000000000;
	pn_world.monotonic_ns = still_clock;
	memset(&generation, 0, sizeof(generation));
	generation.session_limits = limits;
}

static void end(void)
{
	free(pn_rate_table);
	pn_rate_table = NULL;
	pn_world.monotonic_ns = pn_world_real.monotonic_ns;
}

static const char *client(const char *address)
{
	static char room[PN_LIMITS_CLIENT_SIZE];

	return pn_limits_client(address, room);
}

START_TEST(a_network_of_ipv6_is_one_client)
{
	ck_assert_str_eq(client("192.0.2.1"), "192.0.2.1");
	ck_assert_str_eq(client("::ffff:192.0.2.1"), "::ffff:192.0.2.1");
	ck_assert_str_eq(client("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
	ck_assert_str_eq(client("2001:db8:1:3::1"), "2001:db8:1:3::");
	ck_assert_str_eq(client("unix"), "unix");
	ck_assert_str_eq(client("unknown"), "unknown");
}
END_TEST

START_TEST(keys_differ_by_kind_and_name_and_not_by_case)
{
	char long_name[4000];

	memset(long_name, 'x', sizeof(long_name));
	ck_assert(pn_limits_key("address", PN_SLICE("a")) !=
	          pn_limits_key("account", PN_SLICE("a")));
	ck_assert(pn_limits_key("account", PN_SLICE("a")) !=
	          pn_limits_key("account", PN_SLICE("b")));
	ck_assert(pn_limits_key("account", PN_SLICE("")) != pn_limits_key("accoun", PN_SLICE("t")));
	ck_assert(pn_limits_key("account", PN_SLICE("A@B.c")) ==
	          pn_limits_key("account", PN_SLICE("a@b.C")));
	ck_assert(pn_limits_key("account", pn_slice_make(long_name, sizeof(long_name))) != 0);
}
END_TEST

START_TEST(a_client_has_so_many_sessions_and_not_one_more)
{
	uint64_t keys[3];
	uint64_t other = 0;
	bool is_rated;

	for (int i = 0; i < 3; i++)
		ck_assert_ptr_null(pn_limits_enter(&limits, "192.0.2.1", &keys[i], &is_rated));
	ck_assert(is_rated);
	ck_assert_ptr_nonnull(pn_limits_enter(&limits, "192.0.2.1", &other, &is_rated));
	ck_assert_uint_eq(other, 0);
	ck_assert_ptr_null(pn_limits_enter(&limits, "192.0.2.2", &other, &is_rated));
	pn_limits_leave(&keys[0]);
	pn_limits_leave(&keys[0]); /* once is all it can */
	ck_assert_ptr_null(pn_limits_enter(&limits, "192.0.2.1", &keys[0], &is_rated));
	ck_assert_ptr_nonnull(pn_limits_enter(&limits, "192.0.2.1", &other, &is_rated));
}
END_TEST

/* Whether it is taken; it leaves at once. */
static bool comes(const char *address)
{
	uint64_t key;
	bool is_rated;

	if (pn_limits_enter(&limits, address, &key, &is_rated) != NULL)
		return false;
	pn_limits_leave(&key);
	return true;
}

START_TEST(new_sessions_are_half_at_once_and_never_more_than_all_in_a_minute)
{
	unsigned taken = 0;

	for (int i = 0; i < 50; i++)
		ck_assert(comes("192.0.2.1"));
	ck_assert(!comes("192.0.2.1"));
	ck_assert(comes("192.0.2.2"));
	pass(1199);
	ck_assert(!comes("192.0.2.1"));
	pass(1);
	ck_assert(comes("192.0.2.1"));
	ck_assert(!comes("192.0.2.1"));
	pass(60000);
	for (int i = 0; i < 600; i++, pass(100))
		taken += comes("192.0.2.1");
	ck_assert_uint_le(taken, 100);
	ck_assert_uint_ge(taken, 99);
	/* What is turned away takes no place. */
	ck_assert_uint_eq(count(pn_limits_key("address", PN_SLICE("192.0.2.1")), 0), 0);
}
END_TEST

START_TEST(some_networks_have_no_rate)
{
	for (int i = 0; i < 1000; i++) {
		ck_assert(comes("127.0.0.1"));
		ck_assert(comes("unix"));
	}
}
END_TEST

START_TEST(commands_wait_for_their_turn)
{
	struct pn_session one = {.generation = &generation, .is_rated = true, .address_key = 5};
	struct pn_session two = one;
	struct pn_session other = {.generation = &generation, .is_rated = true, .address_key = 6};
	struct pn_session trusted = {.generation = &generation, .address_key = 5};

	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(pn_limits_command(i == 1 ? &two : &one), 0);
	ck_assert_uint_eq(pn_limits_command(&one), 20000);
	ck_assert_uint_eq(pn_limits_command(&two), 40000);
	ck_assert_uint_eq(pn_limits_command(&other), 0);
	ck_assert_uint_eq(pn_limits_command(&trusted), 0);
	pass(60000);
	ck_assert_uint_eq(pn_limits_command(&one), 0);
	ck_assert_uint_eq(pn_limits_command(&one), 20000);
}
END_TEST

static struct pn_session login(const char *identity)
{
	return (struct pn_session){.generation = &generation, .identity = pn_slice_of(identity)};
}

static bool logs_in(struct pn_session *session)
{
	return pn_limits_login(session, session->identity) == NULL;
}

START_TEST(accounts_and_tenants_have_so_many_sessions_and_not_one_more)
{
	struct pn_session alice[] = {login("alice@a.test"), login("ALICE@a.test"),
	                             login("alice@a.test")};
	struct pn_session bob = login("bob@A.test");
	struct pn_session carol = login("carol@a.test");
	struct pn_session dora = login("dora@b.test");
	struct pn_session nobody = login("root");

	ck_assert(logs_in(&alice[0]) && logs_in(&alice[1]));
	ck_assert(!logs_in(&alice[2]));
	ck_assert(logs_in(&bob));
	ck_assert(!logs_in(&carol));
	ck_assert(logs_in(&dora) && logs_in(&nobody));
	/* Who is somebody else now leaves the place of before. */
	bob.identity = PN_SLICE("dora@b.test");
	ck_assert(logs_in(&bob));
	ck_assert(logs_in(&carol));
	pn_limits_forget(&alice[0]);
	ck_assert(logs_in(&alice[2]));
	pn_limits_forget(&alice[1]);
	pn_limits_forget(&alice[1]);
	pn_limits_forget(&alice[2]);
	pn_limits_forget(&bob);
	pn_limits_forget(&carol);
	pn_limits_forget(&dora);
	pn_limits_forget(&nobody);
	for (size_t i = 0; i < COUNTS; i++)
		ck_assert_uint_eq(counts[i].count, 0);
}
END_TEST

START_TEST(without_a_table_nothing_has_a_rate)
{
	end();
	for (int i = 0; i < 1000; i++)
		ck_assert(comes("192.0.2.1"));
	begin();
}
END_TEST

Suite *limits_suite(void)
{
	Suite *suite = suite_create("limits");
	TCase *cases = tcase_create("limits");

	tcase_add_checked_fixture(cases, begin, end);
	tcase_add_test(cases, a_network_of_ipv6_is_one_client);
	tcase_add_test(cases, keys_differ_by_kind_and_name_and_not_by_case);
	tcase_add_test(cases, a_client_has_so_many_sessions_and_not_one_more);
	tcase_add_test(cases, new_sessions_are_half_at_once_and_never_more_than_all_in_a_minute);
	tcase_add_test(cases, some_networks_have_no_rate);
	tcase_add_test(cases, commands_wait_for_their_turn);
	tcase_add_test(cases, accounts_and_tenants_have_so_many_sessions_and_not_one_more);
	tcase_add_test(cases, without_a_table_nothing_has_a_rate);
	suite_add_tcase(suite, cases);
	return suite;
}
