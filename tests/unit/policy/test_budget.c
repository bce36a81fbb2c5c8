/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets from the inside: what is charged, what is retired, what goes on. */
#include "harness.h"

#include <stdio.h>

#include "../exact.h"
#include "policy/state.h"

static const char bomb[] =
	"on(\"connection.open\", function()\n"
	"  local text = \"x\" while true do text = text .. text end\n"
	"end)\n"
	"on(\"connection.open\", function() return drop() end)\n"
	"on(\"connection.open\", function() sleep(\"1s\") return accept() end)\n";

static void expect(const struct fake_call *call, const char *outcome)
{
	char room[600];

	ck_assert_str_eq(fake_outcome(call, room, sizeof(room)), outcome);
}

START_TEST(a_state_that_ran_out_of_memory_is_replaced)
{
	struct harness harness;
	struct policy_state *before;

	harness_load(&harness, bomb);
	before = harness.set->files[0].state;
	ck_assert_ptr_nonnull(before);
	expect(fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL),
	       "failed: test.lua:2: used more than 16777216 bytes of memory");
	ck_assert_ptr_null(harness.set->files[0].state);
	expect(fake_run(&harness.hooks[1], fake_session(), NULL, NULL, NULL), "drop");
	ck_assert_ptr_nonnull(harness.set->files[0].state);
	harness_free(&harness);
}
END_TEST

START_TEST(hooks_that_wait_in_a_retired_state_go_on)
{
	struct harness harness;
	struct fake_call *waiting, *abandoned;

	harness_load(&harness, bomb);
	waiting = fake_run(&harness.hooks[2], fake_session(), NULL, NULL, NULL);
	abandoned = fake_run(&harness.hooks[2], fake_session(), NULL, NULL, NULL);
	fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);
	ck_assert_ptr_null(harness.set->files[0].state);
	ck_assert_ptr_nonnull(harness.set->files[0].retired);
	expect(fake_run(&harness.hooks[1], fake_session(), NULL, NULL, NULL), "drop");
	fake_abandon(abandoned);
	fake_advance(1000);
	expect(waiting, "accept");
	ck_assert_ptr_null(harness.set->files[0].retired);
	harness_free(&harness);
}
END_TEST

START_TEST(a_retired_state_is_freed_with_its_set)
{
	struct harness harness;

	harness_load(&harness, bomb);
	fake_run(&harness.hooks[2], fake_session(), NULL, NULL, NULL);
	fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);
	pn_policy_free(harness.set);
	/* What waits is the stage's own ticket; that of the hook was cancelled. */
	ck_assert_uint_eq(fake_open_tickets(), 1);
}
END_TEST

START_TEST(a_file_that_attaches_other_hooks_the_second_time_fails_them)
{
	struct harness harness;

	harness_load(&harness, "local text = \"x\"\n"
	                       "on(math.random(2) == 1 and \"connection.open\" or "
	                       "\"connection.close\", function()\n"
	                       "  while true do text = text .. text end\n"
	                       "end)\n");
	for (int round = 0; round < 20; round++) {
		struct fake_call *call =
			fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);

		ck_assert(strstr(call->failure, "bytes of memory") != NULL ||
		          strstr(call->failure,
		                 "on: attached another hook when the file was read again") != NULL);
	}
	harness_free(&harness);
}
END_TEST

START_TEST(a_killed_coroutine_is_never_used_again)
{
	struct harness harness;
	struct policy_state *state;

	harness_load(&harness, "on(\"connection.open\", function() while true do end end)\n"
	                       "on(\"connection.open\", function() end)\n");
	state = harness.set->files[0].state;
	fake_run(&harness.hooks[1], fake_session(), NULL, NULL, NULL);
	ck_assert_uint_eq(state->pool_size, 1);
	fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);
	ck_assert_uint_eq(state->pool_size, 0);
	ck_assert_ptr_null(state->waiting);
	fake_run(&harness.hooks[1], fake_session(), NULL, NULL, NULL);
	ck_assert_uint_eq(state->pool_size, 1);
	harness_free(&harness);
}
END_TEST

START_TEST(a_failed_coroutine_is_never_used_again)
{
	struct harness harness;

	harness_load(&harness, "on(\"connection.open\", function() error(\"x\") end)\n");
	fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);
	ck_assert_uint_eq(harness.set->files[0].state->pool_size, 0);
	harness_free(&harness);
}
END_TEST

START_TEST(each_run_has_a_budget_of_its_own)
{
	struct harness harness;
	double before;

	harness_load_limited(&harness,
	                     "on(\"connection.open\", function()\n"
	                     "  for i = 1, 300000 do end\n"
	                     "end)\n",
	                     &(struct harness_limits){.cpu_ms = 20});
	before = cpu_ms();
	for (int round = 0; round < 200; round++)
		expect(fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL), "continue");
	ck_assert(cpu_ms() - before > 20);
	harness_free(&harness);
}
END_TEST

START_TEST(steps_bound_a_run_without_any_clock)
{
	struct harness harness;
	struct fake_call *call;

	harness_load_limited(&harness,
	                     "on(\"connection.open\", function()\n"
	                     "  while true do end\n"
	                     "end)\n",
	                     &(struct harness_limits){.cpu_ms = 1});
	call = fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);
	expect(call, "failed: test.lua:2: used more than 1 ms of processor time");
	harness_free(&harness);
}
END_TEST

START_TEST(the_allocator_never_passes_its_limit)
{
	struct pn_lua_memory memory = {.limit = 1000};
	void *first = pn_lua_memory_allocate(&memory, NULL, 5, 600);
	void *second;

	ck_assert_ptr_nonnull(first);
	ck_assert_uint_eq(memory.used, 600);
	ck_assert_ptr_null(pn_lua_memory_allocate(&memory, NULL, 0, 401));
	ck_assert(memory.was_refused);
	second = pn_lua_memory_allocate(&memory, NULL, 0, 400);
	ck_assert_ptr_nonnull(second);
	ck_assert_ptr_null(pn_lua_memory_allocate(&memory, second, 400, 401));
	ck_assert_ptr_null(pn_lua_memory_allocate(&memory, NULL, 0, SIZE_MAX));
	second = pn_lua_memory_allocate(&memory, second, 400, 100);
	ck_assert_uint_eq(memory.used, 700);
	ck_assert_ptr_null(pn_lua_memory_allocate(&memory, second, 100, 0));
	ck_assert_ptr_null(pn_lua_memory_allocate(&memory, first, 600, 0));
	ck_assert_uint_eq(memory.used, 0);
	ck_assert_uint_eq(memory.peak, 1000);
}
END_TEST

Suite *budget_suite(void)
{
	const TTest *const tests[] = {
		a_state_that_ran_out_of_memory_is_replaced,
		hooks_that_wait_in_a_retired_state_go_on,
		a_retired_state_is_freed_with_its_set,
		a_file_that_attaches_other_hooks_the_second_time_fails_them,
		a_killed_coroutine_is_never_used_again,
		a_failed_coroutine_is_never_used_again,
		each_run_has_a_budget_of_its_own,
		steps_bound_a_run_without_any_clock,
		the_allocator_never_passes_its_limit,
		NULL,
	};

	return suite_of("budgets", tests);
}
