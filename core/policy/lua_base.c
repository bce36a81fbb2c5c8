/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions that stand alone. Ours, because those of Lua catch what must not
 * be caught (pcall), show addresses (tostring), or load code.
 */
#include "policy/state.h"

enum { NUMBER_TEXT_MAX = 200 };

static int base_assert(lua_State *lua)
{
	if (lua_toboolean(lua, 1))
		return lua_gettop(lua);
	luaL_checkany(lua, 1);
	lua_settop(lua, 2);
	if (lua_isnil(lua, 2))
		return luaL_error(lua, "assertion failed");
	return lua_error(lua);
}

static int base_error(lua_State *lua)
{
	int level = (int)luaL_optinteger(lua, 2, 1);

	lua_settop(lua, 1);
	if (lua_type(lua, 1) == LUA_TSTRING && level > 0) {
		luaL_where(lua, level);
		lua_rotate(lua, 1, 1);
		lua_concat(lua, 2);
	}
	return lua_error(lua);
}

static int finish_pcall(lua_State *lua, int status, lua_KContext context)
{
	(void)context;
	policy_budget_check(lua, status);
	if (status != LUA_OK && status != LUA_YIELD) {
		lua_pushboolean(lua, 0);
		lua_rotate(lua, -2, 1);
		return 2;
	}
	/* Below the results stands the true that base_pcall put there. */
	return lua_gettop(lua);
}

static int base_pcall(lua_State *lua)
{
	int status;

	luaL_checkany(lua, 1);
	lua_pushboolean(lua, 1);
	lua_rotate(lua, 1, 1);
	status = lua_pcallk(lua, lua_gettop(lua) - 2, LUA_MULTRET, 0, 0, finish_pcall);
	return finish_pcall(lua, status, 0);
}

/* Without the address, which is nobody's business. */
int policy_tostring(lua_State *lua)
{
	luaL_checkany(lua, 1);
	switch (lua_type(lua, 1)) {
	case LUA_TNIL:
	case LUA_TBOOLEAN:
	case LUA_TNUMBER:
	case LUA_TSTRING:
		luaL_tolstring(lua, 1, NULL);
		return 1;
	default:
		break;
	}
	if (luaL_callmeta(lua, 1, "__tostring")) {
		if (lua_type(lua, -1) != LUA_TSTRING)
			return luaL_error(lua, "__tostring must return a text");
		return 1;
	}
	if (luaL_getmetafield(lua, 1, "__name") != LUA_TSTRING)
		lua_pushstring(lua, luaL_typename(lua, 1));
	return 1;
}

/* The value of a digit up to base 36, or 99. */
static int digit_value(char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	if (byte >= 'a' && byte <= 'z')
		return byte - 'a' + 10;
	if (byte >= 'A' && byte <= 'Z')
		return byte - 'A' + 10;
	return 99;
}

static int number_of_base(lua_State *lua, struct pn_slice text, int base)
{
	const char *at = text.data, *end = text.data + text.size;
	lua_Unsigned value = 0;
	bool is_negative;

	while (at < end && (*at == ' ' || (*at >= '\t' && *at <= '\r')))
		at++;
	while (end > at && (end[-1] == ' ' || (end[-1] >= '\t' && end[-1] <= '\r')))
		end--;
	is_negative = at < end && *at == '-';
	at += is_negative;
	if (at == end)
		return 0;
	for (; at < end; at++) {
		if (digit_value(*at) >= base)
			return 0;
		value = value * (lua_Unsigned)base + (lua_Unsigned)digit_value(*at);
	}
	lua_pushinteger(lua, (lua_Integer)(is_negative ? 0u - value : value));
	return 1;
}

static int base_tonumber(lua_State *lua)
{
	struct pn_slice text;

	luaL_checkany(lua, 1);
	if (lua_type(lua, 1) == LUA_TNUMBER && lua_isnoneornil(lua, 2)) {
		lua_settop(lua, 1);
		return 1;
	}
	if (!lua_isnoneornil(lua, 2))
		luaL_checktype(lua, 1, LUA_TSTRING);
	if (lua_type(lua, 1) == LUA_TSTRING) {
		text = policy_check_slice(lua, 1);
		if (text.size <= NUMBER_TEXT_MAX && !lua_isnoneornil(lua, 2)) {
			lua_Integer base = luaL_checkinteger(lua, 2);

			luaL_argcheck(lua, base >= 2 && base <= 36, 2, "base out of range");
			if (number_of_base(lua, text, (int)base) == 1)
				return 1;
		} else if (text.size <= NUMBER_TEXT_MAX &&
		           lua_stringtonumber(lua, text.data) == text.size + 1) {
			return 1;
		}
	}
	lua_pushnil(lua);
	return 1;
}

static int base_next(lua_State *lua)
{
	luaL_checktype(lua, 1, LUA_TTABLE);
	lua_settop(lua, 2);
	if (lua_next(lua, 1))
		return 2;
	lua_pushnil(lua);
	return 1;
}

static int finish_pairs(lua_State *lua, int status, lua_KContext context)
{
	(void)lua, (void)status, (void)context;
	return 3;
}

static int base_pairs(lua_State *lua)
{
	luaL_checkany(lua, 1);
	if (luaL_getmetafield(lua, 1, "__pairs") != LUA_TNIL) {
		lua_pushvalue(lua, 1);
		lua_callk(lua, 1, 3, 0, finish_pairs);
		return 3;
	}
	luaL_checktype(lua, 1, LUA_TTABLE);
	lua_pushcfunction(lua, base_next);
	lua_pushvalue(lua, 1);
	lua_pushnil(lua);
	return 3;
}

static int ipairs_step(lua_State *lua)
{
	lua_Integer index = luaL_checkinteger(lua, 2);

	index = (lua_Integer)((lua_Unsigned)index + 1);
	lua_pushinteger(lua, index);
	return lua_geti(lua, 1, index) == LUA_TNIL ? 1 : 2;
}

static int base_ipairs(lua_State *lua)
{
	luaL_checkany(lua, 1);
	lua_pushcfunction(lua, ipairs_step);
	lua_pushvalue(lua, 1);
	lua_pushinteger(lua, 0);
	return 3;
}

static int base_select(lua_State *lua)
{
	int count = lua_gettop(lua);
	lua_Integer from;

	if (lua_type(lua, 1) == LUA_TSTRING && strcmp(lua_tostring(lua, 1), "#") == 0) {
		lua_pushinteger(lua, count - 1);
		return 1;
	}
	from = luaL_checkinteger(lua, 1);
	if (from < 0)
		from += count;
	else if (from > count)
		from = count;
	luaL_argcheck(lua, from >= 1, 1, "index out of range");
	policy_budget_spend(lua, (uint64_t)(count - from) / 8);
	return count - (int)from;
}

static int base_type(lua_State *lua)
{
	luaL_checkany(lua, 1);
	lua_pushstring(lua, luaL_typename(lua, 1));
	return 1;
}

static int base_rawequal(lua_State *lua)
{
	luaL_checkany(lua, 1);
	luaL_checkany(lua, 2);
	lua_pushboolean(lua, lua_rawequal(lua, 1, 2));
	return 1;
}

static int base_rawlen(lua_State *lua)
{
	int type = lua_type(lua, 1);

	luaL_argexpected(lua, type == LUA_TTABLE || type == LUA_TSTRING, 1, "table or string");
	lua_pushinteger(lua, (lua_Integer)lua_rawlen(lua, 1));
	return 1;
}

static int base_rawget(lua_State *lua)
{
	luaL_checktype(lua, 1, LUA_TTABLE);
	luaL_checkany(lua, 2);
	lua_settop(lua, 2);
	lua_rawget(lua, 1);
	return 1;
}

/* Whether the metatable of the table at 1 says that it is not to be touched. */
static bool is_protected(lua_State *lua)
{
	bool answer = luaL_getmetafield(lua, 1, "__metatable") != LUA_TNIL;

	if (answer)
		lua_pop(lua, 1);
	return answer;
}

static int base_rawset(lua_State *lua)
{
	luaL_checktype(lua, 1, LUA_TTABLE);
	luaL_checkany(lua, 2);
	luaL_checkany(lua, 3);
	lua_settop(lua, 3);
	if (is_protected(lua))
		return luaL_error(lua, "this table cannot be changed");
	lua_rawset(lua, 1);
	return 1;
}

static int base_getmetatable(lua_State *lua)
{
	luaL_checkany(lua, 1);
	if (!lua_getmetatable(lua, 1)) {
		lua_pushnil(lua);
		return 1;
	}
	luaL_getmetafield(lua, 1, "__metatable");
	return 1;
}

/* Collectors and closers would run code of the script at times that nobody chose. */
static void refuse_event(lua_State *lua, const char *event)
{
	lua_pushstring(lua, event);
	if (lua_rawget(lua, 2) != LUA_TNIL)
		luaL_error(lua, "%s is not available in policies", event);
	lua_pop(lua, 1);
}

static int base_setmetatable(lua_State *lua)
{
	int type = lua_type(lua, 2);

	luaL_checktype(lua, 1, LUA_TTABLE);
	luaL_argexpected(lua, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
	if (is_protected(lua))
		return luaL_error(lua, "cannot change a protected metatable");
	lua_settop(lua, 2);
	if (type == LUA_TTABLE) {
		refuse_event(lua, "__gc");
		refuse_event(lua, "__close");
	}
	lua_setmetatable(lua, 1);
	return 1;
}

void policy_push_base(lua_State *lua)
{
	static const luaL_Reg functions[] = {
		{"assert", base_assert},
		{"error", base_error},
		{"getmetatable", base_getmetatable},
		{"ipairs", base_ipairs},
		{"next", base_next},
		{"pairs", base_pairs},
		{"pcall", base_pcall},
		{"rawequal", base_rawequal},
		{"rawget", base_rawget},
		{"rawlen", base_rawlen},
		{"rawset", base_rawset},
		{"select", base_select},
		{"setmetatable", base_setmetatable},
		{"tonumber", base_tonumber},
		{"tostring", policy_tostring},
		{"type", base_type},
		{NULL, NULL},
	};

	lua_createtable(lua, 0, 48);
	luaL_setfuncs(lua, functions, 0);
}
