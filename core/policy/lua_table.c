/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table library, bounded. It sees tables as they are (no metamethods), so the
 * length of a list and the cost of a function are what they seem.
 */
#include "policy/builder.h"
#include "policy/state.h"

enum { UNPACK_MAX = 1000 };

/* The list at `index` and its length. */
static lua_Integer check_list(lua_State *lua, int index)
{
	luaL_checktype(lua, index, LUA_TTABLE);
	return (lua_Integer)lua_rawlen(lua, index);
}

static int table_concat(lua_State *lua)
{
	lua_Integer length = check_list(lua, 1);
	struct pn_slice separator =
		lua_isnoneornil(lua, 2) ? PN_SLICE_NONE : policy_check_slice(lua, 2);
	lua_Integer first = luaL_optinteger(lua, 3, 1);
	lua_Integer last = luaL_optinteger(lua, 4, length);
	struct policy_builder builder;

	policy_builder_init(&builder, lua);
	for (lua_Integer index = first; index <= last; index++) {
		int type = lua_rawgeti(lua, 1, index);

		if (type != LUA_TSTRING && type != LUA_TNUMBER)
			return luaL_error(lua, "invalid value (at index %I) in table for 'concat'",
			                  (LUAI_UACINT)index);
		policy_builder_add(&builder, policy_check_slice(lua, -1));
		lua_pop(lua, 1);
		if (index < last)
			policy_builder_add(&builder, separator);
		policy_budget_spend(lua, 2);
		if (index == LUA_MAXINTEGER)
			break;
	}
	policy_builder_push(&builder);
	return 1;
}

/* Moves elements first … last by one place, up or down. */
static void shift(lua_State *lua, lua_Integer first, lua_Integer last, bool is_up)
{
	policy_budget_spend(lua, last >= first ? (uint64_t)(last - first) : 0);
	if (is_up) {
		for (lua_Integer index = last; index >= first; index--) {
			lua_rawgeti(lua, 1, index);
			lua_rawseti(lua, 1, index + 1);
		}
		return;
	}
	for (lua_Integer index = first; index <= last; index++) {
		lua_rawgeti(lua, 1, index);
		lua_rawseti(lua, 1, index - 1);
	}
}

/* Tables of the gateway itself are not to be written, raw or not. */
static void check_writable(lua_State *lua, int index)
{
	if (luaL_getmetafield(lua, index, "__metatable") != LUA_TNIL)
		luaL_error(lua, "this table cannot be changed");
}

static int table_insert(lua_State *lua)
{
	lua_Integer length = check_list(lua, 1);
	int count = lua_gettop(lua);

	check_writable(lua, 1);
	if (count == 2) {
		lua_rawseti(lua, 1, length + 1);
		return 0;
	}
	if (count != 3)
		return luaL_error(lua, "wrong number of arguments to 'insert'");

	lua_Integer position = luaL_checkinteger(lua, 2);

	luaL_argcheck(lua, position >= 1 && position <= length + 1, 2, "position out of bounds");
	shift(lua, position, length, true);
	lua_rawseti(lua, 1, position);
	return 0;
}

static int table_remove(lua_State *lua)
{
	lua_Integer length = check_list(lua, 1);
	lua_Integer position = luaL_optinteger(lua, 2, length);

	check_writable(lua, 1);
	if (lua_gettop(lua) >= 2)
		luaL_argcheck(lua,
		              (position >= 1 && position <= length + 1) ||
		                      (length == 0 && position == 0),
		              2, "position out of bounds");
	lua_rawgeti(lua, 1, position);
	shift(lua, position + 1, length, false);
	if (position <= length) {
		lua_pushnil(lua);
		lua_rawseti(lua, 1, length > 0 ? length : position);
	}
	return 1;
}

static int table_move(lua_State *lua)
{
	lua_Integer first, last, target;
	int destination = lua_isnoneornil(lua, 5) ? 1 : 5;

	check_list(lua, 1);
	check_list(lua, destination);
	check_writable(lua, destination);
	first = luaL_checkinteger(lua, 2);
	last = luaL_checkinteger(lua, 3);
	target = luaL_checkinteger(lua, 4);
	if (last >= first) {
		luaL_argcheck(lua, first > 0 || last < LUA_MAXINTEGER + first, 3,
		              "too many elements to move");

		lua_Integer count = last - first + 1;
		bool is_up = target > first && target <= last && destination == 1;

		luaL_argcheck(lua, target <= LUA_MAXINTEGER - count + 1, 4,
		              "destination wrap around");
		for (lua_Integer step = 0; step < count; step++) {
			lua_Integer index = is_up ? count - 1 - step : step;

			policy_budget_spend(lua, 2);
			lua_rawgeti(lua, 1, first + index);
			lua_rawseti(lua, destination, target + index);
		}
	}
	lua_pushvalue(lua, destination);
	return 1;
}

static int table_pack(lua_State *lua)
{
	int count = lua_gettop(lua);

	lua_createtable(lua, count, 1);
	lua_rotate(lua, 1, 1);
	for (int index = count; index >= 1; index--)
		lua_rawseti(lua, 1, index);
	lua_pushinteger(lua, count);
	lua_setfield(lua, 1, "n");
	policy_budget_spend(lua, (uint64_t)count);
	return 1;
}

static int table_unpack(lua_State *lua)
{
	lua_Integer length = check_list(lua, 1);
	lua_Integer first = luaL_optinteger(lua, 2, 1);
	lua_Integer last = luaL_optinteger(lua, 3, length);

	if (first > last)
		return 0;
	if ((lua_Unsigned)last - (lua_Unsigned)first >= UNPACK_MAX)
		return luaL_error(lua, "more than %d values to unpack", UNPACK_MAX);
	luaL_checkstack(lua, UNPACK_MAX, "too many values");
	for (lua_Integer index = first; index < last; index++)
		lua_rawgeti(lua, 1, index);
	lua_rawgeti(lua, 1, last);
	policy_budget_spend(lua, (uint64_t)(last - first));
	return (int)(last - first + 1);
}

/* ---- sort: a heap, because its cost has a bound whatever the order function says ---- */

/* Whether the value at stack index `left` stands before the one at `right`. */
static bool stands_before(lua_State *lua, int left, int right)
{
	bool answer;

	policy_budget_spend(lua, 8);
	if (lua_isnil(lua, 2))
		return lua_compare(lua, left, right, LUA_OPLT);
	left = lua_absindex(lua, left);
	right = lua_absindex(lua, right);
	lua_pushvalue(lua, 2);
	lua_pushvalue(lua, left);
	lua_pushvalue(lua, right);
	lua_call(lua, 2, 1);
	answer = lua_toboolean(lua, -1);
	lua_pop(lua, 1);
	return answer;
}

/* Lets the value at the top of the heap 1 … length sink from `index` to its place. */
static void sink(lua_State *lua, lua_Integer index, lua_Integer length)
{
	lua_rawgeti(lua, 1, index);
	for (;;) {
		lua_Integer child = index * 2;

		if (child > length)
			break;
		lua_rawgeti(lua, 1, child);
		if (child < length) {
			lua_rawgeti(lua, 1, child + 1);
			if (stands_before(lua, -2, -1)) {
				child++;
				lua_replace(lua, -2);
			} else {
				lua_pop(lua, 1);
			}
		}
		if (!stands_before(lua, -2, -1)) {
			lua_pop(lua, 1);
			break;
		}
		lua_rawseti(lua, 1, index);
		index = child;
	}
	lua_rawseti(lua, 1, index);
}

static int table_sort(lua_State *lua)
{
	lua_Integer length = check_list(lua, 1);

	if (!lua_isnoneornil(lua, 2))
		luaL_checktype(lua, 2, LUA_TFUNCTION);
	check_writable(lua, 1);
	lua_settop(lua, 2);
	for (lua_Integer index = length / 2; index >= 1; index--)
		sink(lua, index, length);
	for (lua_Integer last = length; last > 1; last--) {
		lua_rawgeti(lua, 1, 1);
		lua_rawgeti(lua, 1, last);
		lua_rawseti(lua, 1, 1);
		lua_rawseti(lua, 1, last);
		sink(lua, 1, last - 1);
	}
	return 0;
}

void policy_push_table(lua_State *lua)
{
	static const luaL_Reg functions[] = {
		{"concat", table_concat}, {"insert", table_insert},    {"move", table_move},
		{"pack", table_pack},     {"remove", table_remove},    {"sort", table_sort},
		{"unpack", table_unpack}, {"open", policy_table_open}, {NULL, NULL},
	};

	lua_createtable(lua, 0, 8);
	luaL_setfuncs(lua, functions, 0);
}
