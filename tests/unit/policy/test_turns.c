/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks that take long, asked for by many at once: one in two turns of the loop, and the quick ones
 * at once. */
#include "harness.h"

#include <stdio.h>

#include "../exact.h"
#include "policy/state.h"

enum { CALLS = 20 };

static const char script[] = "on('connection.open', function(session)\n"
			     "	while true do end\n"
			     "end)\n"
			     "on('connection.open', function(session)\n"
			     "	return drop()\n"
			     "end)\n"
			     "local seen = 0\n"
			     "on('connection.open', function(session)\n"
			     "	seen = seen + 1\n"
			     "	for i = 1, seen == 1 and 1e6 or 1 do end\n"
			     "end)\n"
			     "on('connection.open', function(session)\n"
			     "	sleep('1ms')\n"
			     "	while true do end\n"
			     "end)\n";

static struct harness harness;

static void load(void)
{
	harness_load_limited(&harness, script, &(struct harness_limits){.cpu_ms = 10});
	ck_assert_msg(harness.set != NULL, "%s", harness.error.text);
}

/* Everybody has his turn. */
static void end(void)
{
	for (size_t turn = 0; turn < 2 * CALLS + 2; turn++) {
		fake_turn();
		fake_deliver();
	}
	harness_free(&harness);
}

static struct fake_call *ask(size_t hook)
{
	return fake_run_now(&harness.hooks[hook], fake_session(), NULL, NULL, NULL);
}

static size_t count_pending(struct fake_call *const *calls)
{
	size_t count = 0;

	for (size_t i = 0; i < CALLS; i++)
		count += calls[i]->verdict == PN_VERDICT_PENDING ? 1 : 0;
	return count;
}

START_TEST(what_takes_long_runs_once_in_two_turns)
{
	struct fake_call *calls[CALLS];
	size_t before;

	load();
	for (size_t i = 0; i < CALLS; i++)
		calls[i] = ask(0);
	ck_assert_int_ne(calls[0]->verdict, PN_VERDICT_PENDING);
	before = count_pending(calls);
	ck_assert_uint_eq(before, CALLS - 1);
	while (before > 0) {
		size_t left;

		fake_turn();
		fake_deliver();
		left = count_pending(calls);
		ck_assert_uint_le(before - left, 1);
		fake_turn();
		fake_deliver();
		left = count_pending(calls);
		ck_assert_uint_eq(before - left, 1);
		/* In order. */
		ck_assert_int_ne(calls[CALLS - before]->verdict, PN_VERDICT_PENDING);
		before = left;
	}
	harness_free(&harness);
}
END_TEST

START_TEST(what_is_quick_waits_for_nobody)
{
	struct fake_call *calls[CALLS];

	load();
	for (size_t i = 0; i < CALLS; i++)
		calls[i] = ask(0);
	ck_assert_uint_eq(count_pending(calls), CALLS - 1);
	ck_assert_int_eq(ask(1)->verdict, PN_VERDICT_DROP);
	end();
}
END_TEST

START_TEST(who_waited_for_something_else_takes_turns_too)
{
	struct fake_call *calls[CALLS];

	load();
	for (size_t i = 0; i < CALLS; i++)
		calls[i] = ask(3);
	ck_assert_uint_eq(count_pending(calls), CALLS);
	fake_advance(1);
	ck_assert_uint_ge(count_pending(calls), CALLS - 2);
	for (size_t turn = 0; turn < 2 * CALLS; turn++) {
		size_t before = count_pending(calls);

		fake_turn();
		fake_deliver();
		ck_assert_uint_le(before - count_pending(calls), 1);
	}
	ck_assert_uint_eq(count_pending(calls), 0);
	end();
}
END_TEST

START_TEST(who_does_not_wait_any_more_is_left_out)
{
	struct fake_call *first, *second, *third;

	load();
	first = ask(0);
	second = ask(0);
	third = ask(0);
	ck_assert_int_ne(first->verdict, PN_VERDICT_PENDING);
	fake_abandon(second);
	for (size_t turn = 0; turn < 2; turn++)
		fake_turn();
	fake_deliver();
	ck_assert_int_ne(third->verdict, PN_VERDICT_PENDING);
	end();
}
END_TEST

START_TEST(what_took_long_once_is_forgiven)
{
	load();
	ck_assert_int_eq(ask(2)->verdict, PN_VERDICT_CONTINUE);
	ck_assert_int_eq(ask(2)->verdict, PN_VERDICT_PENDING);
	for (size_t i = 0; i < 100; i++)
		fake_run(&harness.hooks[2], fake_session(), NULL, NULL, NULL);
	ask(0);
	ck_assert_int_eq(ask(2)->verdict, PN_VERDICT_CONTINUE);
	end();
}
END_TEST

Suite *turns_suite(void)
{
	const TTest *const tests[] = {what_takes_long_runs_once_in_two_turns,
	                              what_is_quick_waits_for_nobody,
	                              who_waited_for_something_else_takes_turns_too,
	                              who_does_not_wait_any_more_is_left_out,
	                              what_took_long_once_is_forgiven,
	                              NULL};

	return suite_of("turns", tests);
}
