/* SPDX-License-Identifier: Apache-2.0 */
/* The queue worker: who waits for what, and that nobody waits for ever. */
#include "../exact.h"
#include "depot.h"
#include "suites.h"

#include <postern/text.h>

#include "delivery/scheduler.h"

#include <stdio.h>

#define ADDRESS(number) "192.0.2." #number ":25"
#define ROUTE(number) "hosts:" ADDRESS(number)

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, MANY = 40 };

/* A site that is known to answer may have several connections. */
static void make_known(const char *destination)
{
	depot.takes = DEPOT_TAKES;
	depot_put("warm", destination);
	ck_assert_uint_eq(depot_waiting(), 0);
	depot_pass(SECOND); /* the rate allows the next ones */
	depot.handed_over = 0;
	depot.delivered = 0;
	depot.most_open = depot.open;
}

/* ---- suspensions ---- */

START_TEST(a_tenant_that_is_resumed_goes_on_with_what_waited)
{
	depot.limits.connections = 1;
	depot_start();
	depot.takes = DEPOT_KEEPS;
	depot_put_many("one", ROUTE(1), 5);
	ck_assert_uint_eq(depot.handed_over, 1);
	depot_suspend("one", INT64_MAX);
	depot.takes = DEPOT_LEAVES_UNTRIED; /* what is on its way comes back */
	depot_answer_messages(NULL);
	depot.takes = DEPOT_TAKES;
	depot_pass(HOUR / 4);
	ck_assert_uint_eq(depot.handed_over, 1);
	depot_suspend(NULL, 0);
	depot_pass(2 * SECOND);
	ck_assert_uint_eq(depot.delivered, 5);
	ck_assert_uint_eq(depot_waiting(), 0);
}
END_TEST

START_TEST(a_suspension_ends_at_its_moment)
{
	depot_start();
	depot_suspend("one", depot_now_ms() + 10 * SECOND);
	depot_put_many("one", ROUTE(1), 3);
	depot_pass(9 * SECOND);
	ck_assert_uint_eq(depot.delivered, 0);
	depot_pass(3 * SECOND);
	ck_assert_uint_eq(depot.delivered, 3);
}
END_TEST

/* ---- sites that cannot be reached ---- */

START_TEST(a_place_that_many_wait_for_is_tried_again)
{
	char tenant[20];

	depot_start();
	depot.connects = DEPOT_OPENS;
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(tenant, sizeof(tenant), "tenant%u", i);
		depot_put(tenant, ROUTE(1));
	}
	/* Three times all others wait for the one that tries. */
	for (unsigned i = 1; i <= 3; i++) {
		ck_assert_uint_eq(depot.carrier_count, i);
		depot.connects = DEPOT_IS_DOWN;
		depot_answer_connections();
		depot.connects = DEPOT_OPENS;
		depot_pass(70 * SECOND);
	}
	depot.connects = DEPOT_CONNECTS;
	depot_answer_connections();
	depot_pass(HOUR / 4);
	ck_assert_uint_eq(depot.delivered, MANY);
}
END_TEST

START_TEST(a_deadline_is_one_for_all_hosts)
{
	depot.generation.queue.delivery_deadline_ms = MINUTE;
	depot_start();
	depot.connects = DEPOT_OPENS;
	depot_put("one", ROUTE(1) "," ADDRESS(2) "," ADDRESS(3));
	depot_pass(MINUTE - SECOND);
	ck_assert_uint_eq(depot.rows[0].attempts, 0);
	depot_pass(2 * SECOND);
	ck_assert_uint_eq(depot.carrier_count, 1);
	ck_assert_uint_eq(depot.rows[0].attempts, 1);
	ck_assert_uint_gt(depot.rows[0].reason.size, 0);
}
END_TEST

/* ---- the way is found anew while lanes wait ---- */

START_TEST(who_waits_for_a_connection_is_not_lost_where_names_fail)
{
	depot.limits.connections = 1;
	depot_start();
	depot.takes = DEPOT_KEEPS;
	depot_put_many("one", "example.net", 3);
	depot_put("two", "example.net");
	ck_assert_uint_eq(depot.handed_over, 1); /* the others stand in the line of the site */
	depot_pass(61 * SECOND);                 /* what is known of the way is old */
	depot.names = DEPOT_IS_SILENT;
	depot_put("three", "example.net");
	ck_assert_uint_gt(depot.rows[4].reason.size, 0);
	depot.names = DEPOT_KNOWS;
	depot.takes = DEPOT_TAKES;
	depot_pass(5 * MINUTE); /* they are due again, and the site has no room */
	depot_answer_messages(NULL);
	depot_pass(5 * MINUTE);
	ck_assert_uint_eq(depot.delivered, 5);
}
END_TEST

START_TEST(who_waits_for_a_connection_goes_where_the_names_lead_by_now)
{
	depot.limits.connections = 1;
	depot_start();
	depot.takes = DEPOT_KEEPS;
	depot_put_many("one", "example.net", 3);
	ck_assert_uint_eq(depot.handed_over, 1);
	depot_pass(61 * SECOND);
	depot.names = DEPOT_KNOWS_ANOTHER;
	depot.takes = DEPOT_TAKES;
	depot_put("two", "example.net");
	depot_pass(SECOND);
	ck_assert_uint_eq(depot.delivered, 3); /* the fourth is kept by the old place */
	ck_assert_str_eq(depot.carriers[1].address, ADDRESS(9));
}
END_TEST

/* ---- turns ---- */

START_TEST(a_turn_that_cannot_be_used_is_anothers)
{
	char route[40];

	depot.generation.queue.connections = 10;
	depot_start();
	depot.takes = DEPOT_KEEPS;
	for (unsigned i = 1; i <= 9; i++) {
		snprintf(route, sizeof(route), "hosts:192.0.2.%u:25", i);
		depot_put("one", route);
	}
	ck_assert_uint_eq(depot.handed_over, 9);
	/* Both wait until one of the nine has ended: so many are enough for a tenant. */
	depot_put("one", ROUTE(1));
	depot_put("one", ROUTE(10));
	ck_assert_uint_eq(depot.handed_over, 9);
	depot.takes = DEPOT_PUTS_OFF;
	depot.code = 421;
	depot.enhanced = "4.7.0";
	depot_answer_messages(ADDRESS(1)); /* it is left alone for a while: no turn for the first */
	ck_assert_uint_eq(depot.handed_over, 10);
	ck_assert_str_eq(depot.carriers[depot.carrier_count - 1].address, ADDRESS(10));
}
END_TEST

START_TEST(tenants_that_come_and_go_leave_nothing_behind)
{
	char tenant[20];
	struct destination *destination;
	size_t lanes = 0;

	depot_start();
	make_known(ROUTE(1));
	depot.takes = DEPOT_KEEPS;
	depot_put("stays", ROUTE(1));
	depot.takes = DEPOT_TAKES;
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(tenant, sizeof(tenant), "tenant%u", i);
		depot_put(tenant, ROUTE(1));
	}
	ck_assert_uint_eq(depot.delivered, MANY);
	depot_pass(SECOND); /* it is written down */
	destination = pn_destination_of(pn_slice_of(ROUTE(1)));
	for (const struct lane *lane = destination->lanes; lane != NULL;
	     lane = lane->next_of_destination)
		lanes++;
	ck_assert_uint_eq(lanes, 1);
}
END_TEST

/* ---- hooks ---- */

START_TEST(hooks_that_wait_do_not_open_more_connections_than_may_be)
{
	depot.limits.connections = 3;
	depot_watch(PN_STAGE_DELIVERY_START);
	depot_start();
	make_known(ROUTE(1));
	depot.takes = DEPOT_KEEPS;
	depot.hooks_wait = true;
	depot_put_many("one", ROUTE(1), 20);
	ck_assert_uint_eq(depot_hooks_waiting(), 3);
	depot_answer_hooks();
	ck_assert_uint_eq(depot.handed_over, 3);
	ck_assert_uint_eq(depot.most_open, 3);
	depot.takes = DEPOT_TAKES;
	depot.hooks_wait = false;
	depot_answer_messages(NULL);
	depot_pass(SECOND);
	ck_assert_uint_eq(depot.delivered, 20);
	ck_assert_uint_eq(depot.most_open, 3);
}
END_TEST

START_TEST(hooks_that_answer_at_once_do_not_either)
{
	depot.limits.connections = 3;
	depot_watch(PN_STAGE_DELIVERY_START);
	depot_start();
	make_known(ROUTE(1));
	depot.takes = DEPOT_KEEPS;
	depot_put_many("one", ROUTE(1), 20);
	ck_assert_uint_eq(depot.handed_over, 3);
	ck_assert_uint_eq(depot.most_open, 3);
}
END_TEST

START_TEST(a_connection_belongs_to_whom_it_was_opened_for)
{
	size_t busy = 0;

	depot_watch(PN_STAGE_DELIVERY_START);
	depot_start();
	make_known(ROUTE(1));
	depot_close_idle(0);
	ck_assert_uint_eq(depot.open, 0);
	depot.takes = DEPOT_KEEPS;
	depot.connects = DEPOT_OPENS;
	depot_put("one", ROUTE(1));
	depot.hooks_wait = true;
	depot_put("two", ROUTE(1));
	depot.connects = DEPOT_CONNECTS;
	/* In one turn: the second may go, the connection of the first is there. */
	depot_say_connections();
	depot_answer_hooks();
	for (size_t i = 0; i < depot.carrier_count; i++)
		busy += depot.carriers[i].delivery != NULL;
	ck_assert_uint_eq(busy, 2);
	depot.takes = DEPOT_TAKES;
	depot_answer_messages(NULL);
	ck_assert_uint_eq(depot.delivered, 2);
}
END_TEST

static bool has_finished;

static void finished(void)
{
	has_finished = true;
}

START_TEST(the_end_waits_for_a_report_that_is_being_made)
{
	has_finished = false;
	depot_watch(PN_STAGE_BOUNCE_CREATE);
	depot_start();
	depot.takes = DEPOT_REFUSES;
	depot.code = 550;
	depot.enhanced = "5.1.1";
	depot.hooks_wait = true;
	depot.sender = "sender@example.org";
	depot_put("one", ROUTE(1));
	ck_assert_uint_eq(depot_hooks_waiting(), 1);
	pn_queue_finish(finished);
	depot_pass(SECOND);
	ck_assert(!has_finished);
	depot_answer_hooks();
	ck_assert(has_finished);
	ck_assert_uint_eq(depot.rows[0].id, 0);
	ck_assert_uint_eq(depot_waiting(), 1); /* the report */
}
END_TEST

/* ---- complaints ---- */

static void put_off_some(size_t count)
{
	depot.takes = DEPOT_PUTS_OFF;
	depot.code = 450;
	depot.enhanced = "";
	depot_put_many("one", ROUTE(1), count);
	ck_assert_uint_eq(depot.handed_over, count);
	depot.takes = DEPOT_TAKES;
	depot_put("two", ROUTE(1));
}

START_TEST(four_that_are_put_off_are_no_burst)
{
	depot.limits.connections = 1;
	depot_start();
	make_known(ROUTE(1));
	put_off_some(4);
	ck_assert_uint_eq(depot.delivered, 1);
}
END_TEST

START_TEST(five_that_are_put_off_are_a_burst)
{
	depot.limits.connections = 1;
	depot_start();
	make_known(ROUTE(1));
	put_off_some(5);
	depot_pass(4 * SECOND);
	ck_assert_uint_eq(depot.delivered, 0);
	depot_pass(2 * SECOND);
	ck_assert_uint_eq(depot.delivered, 1);
}
END_TEST

START_TEST(one_message_that_is_put_off_again_and_again_is_no_burst)
{
	depot.generation.queue.retries_ms[0] = 10 * SECOND;
	depot_start();
	make_known(ROUTE(1));
	depot.takes = DEPOT_PUTS_OFF;
	depot.code = 451;
	depot.enhanced = "4.3.0";
	depot_put("one", ROUTE(1));
	depot_pass(2 * MINUTE);
	ck_assert_uint_ge(depot.handed_over, 10);
	depot.takes = DEPOT_TAKES;
	depot_put("two", ROUTE(1));
	ck_assert_uint_eq(depot.delivered, 1);
}
END_TEST

/* ---- all of it, in any order ---- */

enum { SEEDS = 16, EVENTS = 300, TENANTS = 5, ROUTES = 6, HERE_MAX = 3, ALL_MAX = 12 };

static uint32_t chance_state;

static uint32_t chance(uint32_t below)
{
	chance_state = chance_state * 1664525u + 1013904223u;
	return (chance_state >> 8) % below;
}

static void happen(void)
{
	static const char *const tenants[TENANTS] = {"one", "two", "three", "four", "five"};
	static const char *const routes[ROUTES] = {ROUTE(1),        ROUTE(3) "," ADDRESS(4),
	                                           ROUTE(5),        "a.example.net",
	                                           "b.example.net", "c.example.net"};
	static const unsigned codes[] = {421, 450, 451, 452};
	const char *tenant = tenants[chance(TENANTS)];
	const char *route = routes[chance(ROUTES)];

	switch (chance(16)) {
	case 0:
		depot.connects = (enum depot_connects)chance(3);
		break;
	case 1:
		depot.takes = (enum depot_takes)chance(5);
		if (depot.takes == DEPOT_REFUSES)
			depot.takes = DEPOT_TAKES;
		depot.code = codes[chance(4)];
		break;
	case 2:
		depot.names = (enum depot_names)chance(3);
		break;
	case 3:
		depot_answer_connections();
		break;
	case 4:
	case 5:
		depot_answer_messages(chance(2) == 0 ? NULL : ADDRESS(1));
		break;
	case 6:
		depot.hooks_wait = chance(2) == 0;
		depot_answer_hooks();
		break;
	case 7:
		depot_suspend(tenant, chance(2) == 0 ? INT64_MAX : depot_now_ms() + chance(MINUTE));
		break;
	case 8:
		depot_suspend(NULL, 0);
		break;
	case 9:
		pn_queue_use_generation(); /* the way is found anew */
		depot_pass(0);
		break;
	case 10:
		depot_close_idle(chance(4));
		break;
	case 11:
	case 12:
		depot_pass(chance(2 * MINUTE));
		break;
	default:
		depot_put_many(tenant, route, 1 + chance(6));
		break;
	}
}

static void stays_within_limits(void)
{
	char address[40];

	for (unsigned i = 1; i <= 9; i++) {
		snprintf(address, sizeof(address), "192.0.2.%u:25", i);
		ck_assert_uint_le(depot_open_to(address), HERE_MAX);
	}
	ck_assert_uint_le(depot.open, ALL_MAX);
}

START_TEST(whatever_happens_all_of_it_arrives_and_once)
{
	chance_state = (uint32_t)_i + 1;
	depot.limits.connections = HERE_MAX;
	depot.limits.messages_per_connection = 7;
	depot.limits.messages_per_minute = 600;
	depot.generation.queue.connections = ALL_MAX;
	depot.generation.queue.memory_rows = 200;
	depot.generation.queue.delivery_deadline_ms = 5 * MINUTE;
	if (_i % 2 == 0)
		depot_watch(PN_STAGE_DELIVERY_START);
	depot_start();
	for (unsigned i = 0; i < EVENTS; i++) {
		happen();
		stays_within_limits();
	}
	/* All is well again, and it does not take long. */
	depot.connects = DEPOT_CONNECTS;
	depot.takes = DEPOT_TAKES;
	depot.names = DEPOT_KNOWS;
	depot.hooks_wait = false;
	depot_suspend(NULL, 0);
	for (unsigned i = 0; i < 50; i++) {
		depot_answer_hooks();
		depot_answer_connections();
		depot_answer_messages(NULL);
		depot_pass(MINUTE);
		stays_within_limits();
	}
	ck_assert_uint_eq(depot_waiting(), 0);
	for (size_t i = 0; i < depot.row_count; i++)
		ck_assert_uint_eq(depot.times[i], 1);
}
END_TEST

Suite *queue_suite(void)
{
	Suite *suite = suite_create("queue");
	TCase *test = tcase_create("queue");

	tcase_add_checked_fixture(test, depot_set_up, depot_tear_down);
	tcase_add_test(test, a_tenant_that_is_resumed_goes_on_with_what_waited);
	tcase_add_test(test, a_suspension_ends_at_its_moment);
	tcase_add_test(test, a_place_that_many_wait_for_is_tried_again);
	tcase_add_test(test, a_deadline_is_one_for_all_hosts);
	tcase_add_test(test, who_waits_for_a_connection_is_not_lost_where_names_fail);
	tcase_add_test(test, who_waits_for_a_connection_goes_where_the_names_lead_by_now);
	tcase_add_test(test, a_turn_that_cannot_be_used_is_anothers);
	tcase_add_test(test, tenants_that_come_and_go_leave_nothing_behind);
	tcase_add_test(test, hooks_that_wait_do_not_open_more_connections_than_may_be);
	tcase_add_test(test, hooks_that_answer_at_once_do_not_either);
	tcase_add_test(test, a_connection_belongs_to_whom_it_was_opened_for);
	tcase_add_test(test, the_end_waits_for_a_report_that_is_being_made);
	tcase_add_test(test, four_that_are_put_off_are_no_burst);
	tcase_add_test(test, five_that_are_put_off_are_a_burst);
	tcase_add_test(test, one_message_that_is_put_off_again_and_again_is_no_burst);
	tcase_add_loop_test(test, whatever_happens_all_of_it_arrives_and_once, 0, SEEDS);
	suite_add_tcase(suite, test);
	return suite;
}
