/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Budgets. A run is charged in two coins: processor time, which is what the
 * configuration names, and steps (an instruction is one, library functions take
 * theirs), which bound it where clocks cannot be trusted, and say when to look.
 *
 * Who is over is killed: marked, and then taken off the processor by a yield that
 * nobody will ever answer. A yield cannot be caught; an error could be. Where Lua
 * cannot yield (inside the callback of a library function) an error is raised
 * instead, and pcall and the library functions raise it again as long as the
 * mark stands.
 */
#include "policy/state.h"

#include <stdio.h>
#include <time.h>

enum {
	SLICE = 1000, /* instructions between two hooks */
	SLICE_MIN = 8,
	LOOK_EVERY = 10000,       /* steps between two looks at the clock */
	STEPS_PER_MS = 500000,    /* a step is two nanoseconds at the very least */
	LARGE_BLOCK = 128 * 1024, /* comparing two blocks of this size takes about 10 µs */
};

/* Time of this thread: what others do on the machine is not the script's fault. */
static uint64_t thread_time_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Instructions until the next look: fewer where one instruction can be long, because the state has
 * large strings or tables (comparing them, walking them). */
static int slice_of(const struct policy_state *state)
{
	size_t largest = state->memory.largest;
	size_t slice;

	if (largest <= LARGE_BLOCK)
		return SLICE;
	slice = (size_t)SLICE * LARGE_BLOCK / largest;
	return slice < SLICE_MIN ? SLICE_MIN : (int)slice;
}

void policy_budget_note_place(struct policy_run *run, lua_State *lua)
{
	lua_Debug place;

	for (int level = 0; lua_getstack(lua, level, &place); level++) {
		lua_getinfo(lua, "Sl", &place);
		if (place.currentline <= 0)
			continue;
		snprintf(run->place, sizeof(run->place), "%s:%d", place.short_src,
		         place.currentline);
		return;
	}
}

static void kill_run(lua_State *lua, struct policy_run *run, enum policy_killed how)
{
	if (run->killed == POLICY_ALIVE) {
		run->killed = how;
		policy_budget_note_place(run, lua);
	}
	if (lua_isyieldable(lua)) {
		/* Returns when called from the instruction hook, which then returns at once. */
		lua_yield(lua, 0);
		return;
	}
	lua_pushlightuserdata(lua, run);
	lua_error(lua);
}

static bool is_over(struct policy_run *run)
{
	run->steps_unlooked = 0;
	return run->steps > run->step_limit ||
	       run->cpu_used_ns + (thread_time_ns() - run->cpu_started_ns) > run->cpu_limit_ns;
}

static void count_instructions(lua_State *lua, lua_Debug *place)
{
	struct policy_state *state = policy_state_of(lua);
	struct policy_run *run = state->running;
	int slice = slice_of(state);

	(void)place;
	if (run == NULL)
		return;
	run->steps += SLICE;
	run->steps_unlooked += slice < SLICE ? LOOK_EVERY : SLICE;
	lua_sethook(lua, count_instructions, LUA_MASKCOUNT, slice);
	if (run->killed != POLICY_ALIVE || (run->steps_unlooked >= LOOK_EVERY && is_over(run)))
		kill_run(lua, run, POLICY_KILLED_TIME);
}

void policy_budget_init(struct policy_run *run, uint64_t cpu_ms)
{
	run->cpu_limit_ns = cpu_ms * 1000000u;
	run->step_limit = cpu_ms * STEPS_PER_MS;
	run->cpu_used_ns = 0;
	run->steps = 0;
	run->steps_unlooked = 0;
	run->killed = POLICY_ALIVE;
	run->place[0] = '\0';
}

void policy_budget_resume(struct policy_run *run)
{
	run->cpu_started_ns = thread_time_ns();
	lua_sethook(run->lua, count_instructions, LUA_MASKCOUNT, slice_of(run->state));
}

void policy_budget_pause(struct policy_run *run)
{
	run->cpu_used_ns += thread_time_ns() - run->cpu_started_ns;
}

void policy_budget_pressed(void *user)
{
	struct policy_state *state = user;
	struct policy_run *run = state->running;

	if (run == NULL || run->lua == NULL)
		return;
	run->steps_unlooked = LOOK_EVERY;
	lua_sethook(run->lua, count_instructions, LUA_MASKCOUNT, 1);
}

void policy_budget_spend(lua_State *lua, uint64_t steps)
{
	struct policy_run *run = policy_state_of(lua)->running;

	if (run == NULL)
		return;
	run->steps += steps;
	run->steps_unlooked += steps;
	if (run->killed != POLICY_ALIVE || (run->steps_unlooked >= LOOK_EVERY && is_over(run)))
		kill_run(lua, run, POLICY_KILLED_TIME);
}

bool policy_budget_take(lua_State *lua, uint64_t steps, uint64_t weight)
{
	struct policy_run *run = policy_state_of(lua)->running;

	if (run == NULL)
		return false;
	run->steps += steps;
	run->steps_unlooked += steps + weight;
	return run->killed != POLICY_ALIVE || (run->steps_unlooked >= LOOK_EVERY && is_over(run));
}

void policy_budget_stop(lua_State *lua)
{
	struct policy_run *run = policy_state_of(lua)->running;

	if (run != NULL)
		kill_run(lua, run, POLICY_KILLED_TIME);
	luaL_error(lua, "used more than its processor time");
}

uint64_t policy_budget_clock_ns(void)
{
	return thread_time_ns();
}

void policy_budget_forgive(lua_State *lua, uint64_t nanoseconds)
{
	struct policy_run *run = policy_state_of(lua)->running;

	if (run != NULL)
		run->cpu_started_ns += nanoseconds;
}

void policy_budget_check(lua_State *lua, int status)
{
	struct policy_run *run = policy_state_of(lua)->running;

	if (run == NULL)
		return;
	if (run->killed != POLICY_ALIVE)
		kill_run(lua, run, run->killed);
	if (status == LUA_ERRMEM)
		kill_run(lua, run, POLICY_KILLED_MEMORY);
}
