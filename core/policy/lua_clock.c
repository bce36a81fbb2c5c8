/* SPDX-License-Identifier: Apache-2.0 */
/* clock.now() and sleep("100ms"). */
#include "policy/state.h"

#include <postern/clock.h>
#include <postern/lualib.h>
#include <postern/text.h>

enum { SLEEP_MAX_MS = 600000 };

static int woken(lua_State *lua, const struct pn_answer *answer)
{
	(void)lua, (void)answer;
	return 0;
}

int policy_sleep(lua_State *lua)
{
	uint64_t milliseconds;

	luaL_checktype(lua, 1, LUA_TSTRING);
	luaL_argcheck(lua,
	              pn_parse_duration(policy_check_slice(lua, 1), &milliseconds) == PN_OK &&
	                      milliseconds >= 1 && milliseconds <= SLEEP_MAX_MS,
	              1, "write a duration from \"1ms\" to \"10m\"");
	/* A ticket that nobody answers: its deadline is the alarm. */
	return pn_lua_wait(lua, pn_lua_ticket(lua, milliseconds), woken);
}

/* Seconds since 1970, with milliseconds as their fraction. */
static int clock_now(lua_State *lua)
{
	lua_pushnumber(lua, (lua_Number)pn_clock_wall_ms() / 1000.0);
	return 1;
}

/* Seconds from some start; never goes back. For measuring. */
static int clock_monotonic(lua_State *lua)
{
	lua_pushnumber(lua, (lua_Number)pn_clock_monotonic_ms() / 1000.0);
	return 1;
}

void policy_push_clock(lua_State *lua)
{
	static const luaL_Reg functions[] = {
		{"monotonic", clock_monotonic}, {"now", clock_now}, {NULL, NULL}};

	lua_createtable(lua, 0, 2);
	luaL_setfuncs(lua, functions, 0);
}
