/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The string library, bounded: every function takes steps for the work that its
 * arguments ask for. What searches is in lua_search.c, format in lua_format.c.
 */
#include "policy/lua_string.h"

#include "policy/builder.h"

enum { BYTES_MAX = 1000 }; /* values that string.byte returns, and string.char takes */

/* A position as the manual counts: from 1, or from the end if negative. 0 stays 0. */
static size_t start_position(lua_Integer position, size_t size)
{
	if (position > 0)
		return (size_t)position;
	if (position == 0)
		return 1;
	if (position < -(lua_Integer)size)
		return 1;
	return size + (size_t)position + 1;
}

static size_t end_position(lua_Integer position, size_t size)
{
	if (position > (lua_Integer)size)
		return size;
	if (position >= 0)
		return (size_t)position;
	if (position < -(lua_Integer)size)
		return 0;
	return size + (size_t)position + 1;
}

static int string_len(lua_State *lua)
{
	lua_pushinteger(lua, (lua_Integer)policy_check_slice(lua, 1).size);
	return 1;
}

static int string_sub(lua_State *lua)
{
	struct pn_slice text = policy_check_slice(lua, 1);
	size_t start = start_position(luaL_checkinteger(lua, 2), text.size);
	size_t end = end_position(luaL_optinteger(lua, 3, -1), text.size);

	if (start > end)
		lua_pushliteral(lua, "");
	else
		policy_push_slice(lua, pn_slice_make(text.data + start - 1, end - start + 1));
	return 1;
}

static int string_byte(lua_State *lua)
{
	struct pn_slice text = policy_check_slice(lua, 1);
	lua_Integer first = luaL_optinteger(lua, 2, 1);
	size_t start = start_position(first, text.size);
	size_t end = end_position(luaL_optinteger(lua, 3, (lua_Integer)start), text.size);

	if (start > end)
		return 0;
	luaL_argcheck(lua, end - start < BYTES_MAX, 3, "more than 1000 bytes at once");
	luaL_checkstack(lua, BYTES_MAX, "too many bytes");
	for (size_t index = start; index <= end; index++)
		lua_pushinteger(lua, (unsigned char)text.data[index - 1]);
	return (int)(end - start + 1);
}

static int string_char(lua_State *lua)
{
	char bytes[BYTES_MAX];
	int count = lua_gettop(lua);

	luaL_argcheck(lua, count <= BYTES_MAX, BYTES_MAX, "more than 1000 bytes at once");
	for (int index = 1; index <= count; index++) {
		lua_Integer value = luaL_checkinteger(lua, index);

		luaL_argcheck(lua, value >= 0 && value <= 255, index, "value out of range");
		bytes[index - 1] = (char)(unsigned char)value;
	}
	lua_pushlstring(lua, bytes, (size_t)count);
	return 1;
}

/* A copy, each byte changed (or all in the other order). */
static int map_bytes(lua_State *lua, char (*change)(char byte))
{
	struct pn_slice text = policy_check_slice(lua, 1);
	char *copy;

	policy_budget_spend(lua, text.size / 4);
	copy = lua_newuserdatauv(lua, text.size, 0);
	for (size_t index = 0; index < text.size; index++)
		copy[index] = change != NULL ? change(text.data[index])
		                             : text.data[text.size - 1 - index];
	lua_pushlstring(lua, copy, text.size);
	return 1;
}

static char to_lower(char byte)
{
	return byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : byte;
}

static char to_upper(char byte)
{
	return byte >= 'a' && byte <= 'z' ? (char)(byte - 32) : byte;
}

static int string_lower(lua_State *lua)
{
	return map_bytes(lua, to_lower);
}

static int string_upper(lua_State *lua)
{
	return map_bytes(lua, to_upper);
}

static int string_reverse(lua_State *lua)
{
	return map_bytes(lua, NULL);
}

static int string_rep(lua_State *lua)
{
	struct pn_slice text = policy_check_slice(lua, 1);
	lua_Integer count = luaL_checkinteger(lua, 2);
	struct pn_slice separator =
		lua_isnoneornil(lua, 3) ? PN_SLICE_NONE : policy_check_slice(lua, 3);
	size_t limit = policy_state_of(lua)->memory.limit;
	struct policy_builder builder;

	if (count <= 0 || text.size + separator.size == 0) {
		lua_pushliteral(lua, "");
		return 1;
	}
	/* Asked before anything is allocated: the script may want to hear of it. */
	if ((size_t)count > limit / (text.size + separator.size))
		return luaL_error(lua, "the resulting text would be too long");
	policy_builder_init(&builder, lua);
	for (lua_Integer index = 0; index < count; index++) {
		policy_builder_add(&builder, text);
		if (index + 1 < count)
			policy_builder_add(&builder, separator);
	}
	policy_builder_push(&builder);
	return 1;
}

void policy_push_string(lua_State *lua)
{
	static const luaL_Reg functions[] = {
		{"byte", string_byte},
		{"char", string_char},
		{"find", policy_string_find},
		{"format", policy_string_format},
		{"gmatch", policy_string_gmatch},
		{"gsub", policy_string_gsub},
		{"len", string_len},
		{"lower", string_lower},
		{"match", policy_string_match},
		{"rep", string_rep},
		{"reverse", string_reverse},
		{"sub", string_sub},
		{"upper", string_upper},
		{NULL, NULL},
	};

	lua_createtable(lua, 0, 13);
	luaL_setfuncs(lua, functions, 0);
}
