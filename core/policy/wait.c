/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting, and what else <postern/lualib.h> promises to Lua libraries. The ticket
 * belongs to no session on purpose: it is answered whatever becomes of the session,
 * and the coroutine that waits for it is given back then.
 */
#include "policy/state.h"

#include <postern/lualib.h>

enum { WAITS_MAX = 1000 };

void *pn_lua_instance(lua_State *lua)
{
	const struct pn_instance *instance = lua_touserdata(lua, lua_upvalueindex(1));

	return instance == NULL ? NULL : instance->state;
}

const struct pn_stage_call *pn_lua_call(lua_State *lua)
{
	const struct policy_run *run = policy_state_of(lua)->running;

	return run == NULL ? NULL : run->call;
}

void pn_lua_spend(lua_State *lua, uint64_t steps)
{
	policy_budget_spend(lua, steps);
}

struct pn_ticket pn_lua_ticket(lua_State *lua, uint64_t deadline_ms)
{
	struct policy_state *state = policy_state_of(lua);
	struct policy_run *run = state->running;

	if (run == NULL || run->call == NULL)
		luaL_error(
			lua,
			"nothing can be waited for while a policy file is read; do it in a hook");
	if (!lua_isyieldable(lua))
		luaL_error(lua,
		           "nothing can be waited for here: inside a function that was given to "
		           "a library function, or in a metamethod");
	/* What is asked costs others more than the script. */
	if (++run->waits > WAITS_MAX)
		luaL_error(lua, "a hook waits at most %d times", WAITS_MAX);
	pn_ticket_cancel(run->ticket);
	run->ticket =
		pn_ticket_open(NULL, policy_run_answered, run, deadline_ms == 0 ? 1 : deadline_ms);
	return run->ticket;
}

static int finish_wait(lua_State *lua, int status, lua_KContext context)
{
	struct policy_run *run = policy_state_of(lua)->running;
	int (*push)(lua_State *, const struct pn_answer *) = run->push;

	(void)status;
	(void)context;
	run->push = NULL;
	return push(lua, run->answer);
}

int pn_lua_wait(lua_State *lua, struct pn_ticket ticket,
                int (*push)(lua_State *lua, const struct pn_answer *answer))
{
	struct policy_run *run = policy_state_of(lua)->running;

	if (run == NULL || run->ticket.slot != ticket.slot ||
	    run->ticket.generation != ticket.generation)
		return luaL_error(lua, "this is not the ticket that was opened last");
	run->push = push;
	run->is_waiting = true;
	return lua_yieldk(lua, 0, 0, finish_wait);
}
