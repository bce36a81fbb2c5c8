/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.decode and json.encode. Reading is jansson's: its memory is metered while it
 * reads and counts for the state as long as the tree is there, and the tree is gone
 * when the values stand in Lua. Writing goes straight into a growing text.
 */
#include "policy/builder.h"
#include "policy/state.h"

#include <postern/types.h>

#include "base/utf8.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	TEXT_MAX = 512 * 1024,
	DEPTH_MAX = 100,
	STEPS_PER_VALUE = 8,
	STEPS_PER_TEXT = 100,
};

static const char array_key; /* its address names the metatable of lists in the registry */

/* ---- memory of jansson, while a script has it read ---- */

struct json_meter {
	size_t left;
	size_t spent;
	bool was_refused;
};

static _Thread_local struct json_meter *meter;

static void *metered_malloc(size_t size)
{
	if (meter != NULL) {
		if (size > meter->left) {
			meter->was_refused = true;
			return NULL;
		}
		meter->left -= size;
		meter->spent += size;
	}
	return malloc(size);
}

/* Before there is a second thread; blocks are those of malloc, whoever frees them. */
__attribute__((constructor)) static void install_meter(void)
{
	json_set_alloc_funcs(metered_malloc, free);
}

/* ---- a tree on its way into Lua ---- */

/* In a block of the state: whatever ends the script, the collector finds it. */
struct json_tree {
	json_t *root;
	size_t charged;
};

static void free_tree(lua_State *lua, struct json_tree *tree)
{
	json_decref(tree->root);
	tree->root = NULL;
	policy_state_of(lua)->memory.used -= tree->charged;
	tree->charged = 0;
}

static int collect_tree(lua_State *lua)
{
	free_tree(lua, lua_touserdata(lua, 1));
	return 0;
}

static struct json_tree *push_tree(lua_State *lua)
{
	struct json_tree *tree = lua_newuserdatauv(lua, sizeof(*tree), 0);

	memset(tree, 0, sizeof(*tree));
	if (luaL_newmetatable(lua, "postern.json")) {
		lua_pushcfunction(lua, collect_tree);
		lua_setfield(lua, -2, "__gc");
	}
	lua_setmetatable(lua, -2);
	return tree;
}

/* ---- decode ---- */

static void push_null(lua_State *lua)
{
	lua_pushlightuserdata(lua, NULL);
}

static void mark_list(lua_State *lua)
{
	lua_rawgetp(lua, LUA_REGISTRYINDEX, &array_key);
	lua_setmetatable(lua, -2);
}

/* Pushes the value; false where it lies too deep (then something was pushed all the same). */
static bool push_value(lua_State *lua, const json_t *value, int depth)
{
	const char *key;
	json_t *member;
	size_t index;

	policy_budget_spend(lua, STEPS_PER_VALUE);
	switch (json_typeof(value)) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		break;
	case JSON_STRING:
		policy_push_slice(
			lua, pn_slice_make(json_string_value(value), json_string_length(value)));
		return true;
	case JSON_INTEGER:
		lua_pushinteger(lua, json_integer_value(value));
		return true;
	case JSON_REAL:
		lua_pushnumber(lua, json_real_value(value));
		return true;
	case JSON_TRUE:
	case JSON_FALSE:
		lua_pushboolean(lua, json_is_true(value));
		return true;
	default:
		push_null(lua);
		return true;
	}
	luaL_checkstack(lua, 4, "json");
	lua_createtable(lua, 0, 0);
	if (depth >= DEPTH_MAX)
		return false;
	if (json_is_array(value)) {
		json_array_foreach((json_t *)(uintptr_t)value, index, member)
		{
			if (!push_value(lua, member, depth + 1))
				return false;
			lua_rawseti(lua, -2, (lua_Integer)index + 1);
		}
		mark_list(lua);
		return true;
	}
	json_object_foreach((json_t *)(uintptr_t)value, key, member)
	{
		policy_push_slice(lua, pn_slice_of(key));
		if (!push_value(lua, member, depth + 1))
			return false;
		lua_rawset(lua, -3);
	}
	return true;
}

static void read_tree(lua_State *lua, struct json_tree *tree, struct pn_slice text,
                      json_error_t *problem)
{
	struct pn_lua_memory *memory = &policy_state_of(lua)->memory;
	struct json_meter own = {.left = memory->limit - memory->used};

	meter = &own;
	/* Twice the same name means one thing to us and another to whoever reads it next. */
	tree->root = json_loadb(text.size ? text.data : "", text.size,
	                        JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, problem);
	meter = NULL;
	if (own.was_refused) {
		problem->line = 0;
		snprintf(problem->text, sizeof(problem->text), "there is no memory for it");
	}
	if (tree->root == NULL)
		return;
	tree->charged = own.spent;
	memory->used += own.spent;
	if (memory->used > memory->peak)
		memory->peak = memory->used;
}

/* json.decode(text): the value; or nil, and what is wrong with the text. */
static int json_decode(lua_State *lua)
{
	struct pn_slice text;
	struct json_tree *tree;
	json_error_t problem = {.text = ""};
	bool fits;

	luaL_checktype(lua, 1, LUA_TSTRING);
	text = policy_check_slice(lua, 1);
	lua_settop(lua, 1);
	policy_budget_spend(lua, STEPS_PER_TEXT + text.size);
	if (text.size > TEXT_MAX) {
		lua_pushnil(lua);
		lua_pushfstring(lua, "longer than %d bytes", (int)TEXT_MAX);
		return 2;
	}
	tree = push_tree(lua);
	read_tree(lua, tree, text, &problem);
	if (tree->root == NULL) {
		lua_pushnil(lua);
		if (problem.line < 1)
			lua_pushstring(lua, problem.text);
		else
			lua_pushfstring(lua, "line %d, column %d: %s", problem.line, problem.column,
			                problem.text);
		return 2;
	}
	policy_budget_spend(lua, 0);
	fits = push_value(lua, tree->root, 0);
	free_tree(lua, tree);
	if (fits)
		return 1;
	lua_settop(lua, 2);
	lua_pushnil(lua);
	lua_pushfstring(lua, "deeper than %d levels", (int)DEPTH_MAX);
	return 2;
}

/* ---- encode ---- */

static void add_text(struct policy_builder *builder, const char *text)
{
	policy_builder_add(builder, pn_slice_of(text));
}

static void add_escape(struct policy_builder *builder, uint32_t code_point)
{
	char escape[8];

	snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)code_point);
	add_text(builder, escape);
}

/* Bytes that are no UTF-8 become U+FFFD: what strangers sent must not make a text of ours invalid.
 */
static void add_string(struct policy_builder *builder, struct pn_slice text)
{
	policy_builder_add_byte(builder, '"');
	while (text.size > 0) {
		uint32_t code_point = 0;
		size_t size = pn_utf8_next(text, &code_point);

		if (size == 0) {
			size = 1;
			add_text(builder, "\xef\xbf\xbd");
		} else if (code_point == '"' || code_point == '\\') {
			policy_builder_add_byte(builder, '\\');
			policy_builder_add_byte(builder, (char)code_point);
		} else if (code_point < ' ' || code_point == 0x7f) {
			add_escape(builder, code_point);
		} else {
			for (size_t index = 0; index < size; index++)
				policy_builder_add_byte(builder, text.data[index]);
		}
		text = pn_slice_behind(text, size);
	}
	policy_builder_add_byte(builder, '"');
}

static void add_number(struct policy_builder *builder, int index)
{
	lua_State *lua = builder->lua;
	char digits[40];

	if (lua_isinteger(lua, index)) {
		snprintf(digits, sizeof(digits), "%lld", (long long)lua_tointeger(lua, index));
	} else {
		lua_Number number = lua_tonumber(lua, index);

		if (!isfinite(number))
			luaL_error(lua, "json: there is no way to write %s",
			           isnan(number) ? "nan" : "infinity");
		snprintf(digits, sizeof(digits), "%.15g", number);
		if (strtod(digits, NULL) != number)
			snprintf(digits, sizeof(digits), "%.17g", number);
		if (strpbrk(digits, ".e") == NULL && strlen(digits) + 3 < sizeof(digits))
			memcpy(digits + strlen(digits), ".0", 3);
	}
	add_text(builder, digits);
}

static void add_value(struct policy_builder *builder, int depth);

/* A list: marked as one, or with something at 1. */
static bool is_list(lua_State *lua)
{
	bool answer;

	if (lua_getmetatable(lua, -1)) {
		lua_rawgetp(lua, LUA_REGISTRYINDEX, &array_key);
		answer = lua_rawequal(lua, -1, -2);
		lua_pop(lua, 2);
		if (answer)
			return true;
	}
	answer = lua_rawgeti(lua, -1, 1) != LUA_TNIL;
	lua_pop(lua, 1);
	return answer;
}

static void add_list(struct policy_builder *builder, int depth)
{
	lua_State *lua = builder->lua;
	lua_Integer count = (lua_Integer)lua_rawlen(lua, -1);

	policy_builder_add_byte(builder, '[');
	for (lua_Integer index = 1; index <= count; index++) {
		if (index > 1)
			policy_builder_add_byte(builder, ',');
		lua_rawgeti(lua, -1, index);
		add_value(builder, depth + 1);
		lua_pop(lua, 1);
	}
	policy_builder_add_byte(builder, ']');
}

static void add_object(struct policy_builder *builder, int depth)
{
	lua_State *lua = builder->lua;
	bool is_first = true;

	policy_builder_add_byte(builder, '{');
	for (lua_pushnil(lua); lua_next(lua, -2) != 0; lua_pop(lua, 1)) {
		if (lua_type(lua, -2) != LUA_TSTRING)
			luaL_error(lua, "json: a key is a text, no %s", luaL_typename(lua, -2));
		if (!is_first)
			policy_builder_add_byte(builder, ',');
		is_first = false;
		add_string(builder, policy_check_slice(lua, -2));
		policy_builder_add_byte(builder, ':');
		add_value(builder, depth + 1);
	}
	policy_builder_add_byte(builder, '}');
}

/* The value on top of the stack, which it leaves there. */
static void add_value(struct policy_builder *builder, int depth)
{
	lua_State *lua = builder->lua;

	policy_budget_spend(lua, STEPS_PER_VALUE);
	luaL_checkstack(lua, 8, "json");
	switch (lua_type(lua, -1)) {
	case LUA_TBOOLEAN:
		add_text(builder, lua_toboolean(lua, -1) ? "true" : "false");
		return;
	case LUA_TNUMBER:
		add_number(builder, -1);
		return;
	case LUA_TSTRING:
		add_string(builder, policy_check_slice(lua, -1));
		return;
	case LUA_TNIL:
		add_text(builder, "null");
		return;
	case LUA_TLIGHTUSERDATA:
		if (lua_touserdata(lua, -1) == NULL) {
			add_text(builder, "null");
			return;
		}
		break;
	case LUA_TTABLE:
		if (depth >= DEPTH_MAX)
			luaL_error(lua, "json: deeper than %d levels", DEPTH_MAX);
		if (is_list(lua))
			add_list(builder, depth);
		else
			add_object(builder, depth);
		return;
	default:
		break;
	}
	luaL_error(lua, "json: there is no way to write a %s", luaL_typename(lua, -1));
}

static int json_encode(lua_State *lua)
{
	struct policy_builder builder;

	luaL_checkany(lua, 1);
	lua_settop(lua, 1);
	policy_builder_init(&builder, lua);
	lua_pushvalue(lua, 1);
	add_value(&builder, 0);
	policy_builder_push(&builder);
	return 1;
}

/* json.list(table): written as a list, even when it is empty. */
static int json_list(lua_State *lua)
{
	luaL_checktype(lua, 1, LUA_TTABLE);
	lua_settop(lua, 1);
	if (lua_getmetatable(lua, 1)) {
		lua_rawgetp(lua, LUA_REGISTRYINDEX, &array_key);
		if (!lua_rawequal(lua, -1, -2))
			return luaL_error(lua,
			                  "json: a table with a metatable of its own is no list");
		lua_settop(lua, 1);
	}
	mark_list(lua);
	return 1;
}

void policy_push_json(lua_State *lua)
{
	static const luaL_Reg functions[] = {{"decode", json_decode},
	                                     {"encode", json_encode},
	                                     {"list", json_list},
	                                     {NULL, NULL}};

	lua_createtable(lua, 0, 1);
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_rawsetp(lua, LUA_REGISTRYINDEX, &array_key);
	lua_createtable(lua, 0, 4);
	luaL_setfuncs(lua, functions, 0);
	push_null(lua);
	lua_setfield(lua, -2, "null");
}
