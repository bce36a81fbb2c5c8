/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the math library that policies have a use for. Randomness is the gateway's. */
#include "policy/state.h"

#include <postern/clock.h>

#include <math.h>

/* Pushes a float as an integer where it is one that fits. */
static void push_whole(lua_State *lua, lua_Number value)
{
	lua_Integer whole;

	if (lua_numbertointeger(value, &whole))
		lua_pushinteger(lua, whole);
	else
		lua_pushnumber(lua, value);
}

static int math_floor(lua_State *lua)
{
	if (lua_isinteger(lua, 1))
		lua_settop(lua, 1);
	else
		push_whole(lua, floor(luaL_checknumber(lua, 1)));
	return 1;
}

static int math_ceil(lua_State *lua)
{
	if (lua_isinteger(lua, 1))
		lua_settop(lua, 1);
	else
		push_whole(lua, ceil(luaL_checknumber(lua, 1)));
	return 1;
}

static int math_abs(lua_State *lua)
{
	if (lua_isinteger(lua, 1)) {
		lua_Integer value = lua_tointeger(lua, 1);

		lua_pushinteger(lua, value < 0 ? (lua_Integer)(0u - (lua_Unsigned)value) : value);
	} else {
		lua_pushnumber(lua, fabs(luaL_checknumber(lua, 1)));
	}
	return 1;
}

static int math_sqrt(lua_State *lua)
{
	lua_pushnumber(lua, sqrt(luaL_checknumber(lua, 1)));
	return 1;
}

static int math_log(lua_State *lua)
{
	lua_Number value = luaL_checknumber(lua, 1);

	if (lua_isnoneornil(lua, 2))
		lua_pushnumber(lua, log(value));
	else
		lua_pushnumber(lua, log(value) / log(luaL_checknumber(lua, 2)));
	return 1;
}

static int math_tointeger(lua_State *lua)
{
	int is_whole;
	lua_Integer value = lua_tointegerx(lua, 1, &is_whole);

	luaL_checkany(lua, 1);
	if (is_whole)
		lua_pushinteger(lua, value);
	else
		lua_pushnil(lua);
	return 1;
}

static int math_type(lua_State *lua)
{
	luaL_checkany(lua, 1);
	if (lua_type(lua, 1) != LUA_TNUMBER)
		lua_pushnil(lua);
	else
		lua_pushstring(lua, lua_isinteger(lua, 1) ? "integer" : "float");
	return 1;
}

static int extreme(lua_State *lua, bool is_max)
{
	int best = 1, count = lua_gettop(lua);

	luaL_checknumber(lua, 1);
	for (int index = 2; index <= count; index++) {
		luaL_checknumber(lua, index);
		if (is_max ? lua_compare(lua, best, index, LUA_OPLT)
		           : lua_compare(lua, index, best, LUA_OPLT))
			best = index;
	}
	lua_pushvalue(lua, best);
	return 1;
}

static int math_max(lua_State *lua)
{
	return extreme(lua, true);
}

static int math_min(lua_State *lua)
{
	return extreme(lua, false);
}

/* A whole number from `low` to `high`, each as likely as any other. */
static lua_Integer random_between(lua_Integer low, lua_Integer high)
{
	lua_Unsigned range = (lua_Unsigned)high - (lua_Unsigned)low;
	lua_Unsigned mask = range, value;

	for (unsigned shift = 1; shift < 64; shift *= 2)
		mask |= mask >> shift;
	do {
		pn_random(&value, sizeof(value));
		value &= mask;
	} while (value > range);
	return (lua_Integer)((lua_Unsigned)low + value);
}

static int math_random(lua_State *lua)
{
	lua_Integer low = 1, high;

	if (lua_gettop(lua) == 0) {
		lua_pushnumber(lua, (lua_Number)random_between(0, (1ll << 53) - 1) /
		                            (lua_Number)(1ll << 53));
		return 1;
	}
	if (lua_gettop(lua) > 1)
		low = luaL_checkinteger(lua, 1);
	high = luaL_checkinteger(lua, lua_gettop(lua) > 1 ? 2 : 1);
	luaL_argcheck(lua, low <= high, lua_gettop(lua) > 1 ? 2 : 1, "interval is empty");
	lua_pushinteger(lua, random_between(low, high));
	return 1;
}

void policy_push_math(lua_State *lua)
{
	static const luaL_Reg functions[] = {
		{"abs", math_abs},       {"ceil", math_ceil}, {"floor", math_floor},
		{"log", math_log},       {"max", math_max},   {"min", math_min},
		{"random", math_random}, {"sqrt", math_sqrt}, {"tointeger", math_tointeger},
		{"type", math_type},     {NULL, NULL},
	};

	lua_createtable(lua, 0, 13);
	luaL_setfuncs(lua, functions, 0);
	lua_pushnumber(lua, (lua_Number)HUGE_VAL);
	lua_setfield(lua, -2, "huge");
	lua_pushinteger(lua, LUA_MAXINTEGER);
	lua_setfield(lua, -2, "maxinteger");
	lua_pushinteger(lua, LUA_MININTEGER);
	lua_setfield(lua, -2, "mininteger");
}
