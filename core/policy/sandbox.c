/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a script sees: its own globals, behind them the words of the gateway, and
 * behind those an error that names the nearest word. Nothing else is there: what
 * is not put here is absent.
 */
#include "policy/state.h"

#include <postern/lualib.h>
#include <postern/text.h>

#include <stdio.h>

int policy_unknown(lua_State *lua, const char *text, const char *word, const char *const *words)
{
	const char *nearest = pn_nearest_word(word, words);

	if (nearest == NULL)
		return luaL_error(lua, "%s", text);
	return luaL_error(lua, "%s; did you mean \"%s\"?", text, nearest);
}

/* ---- guards: tables that can be read and not written ---- */

static int write_guarded(lua_State *lua)
{
	return luaL_error(lua, "\"%s\" belongs to the gateway and cannot be changed",
	                  lua_tostring(lua, lua_upvalueindex(1)));
}

static int read_missing(lua_State *lua)
{
	const char *words[128];
	const char *library = lua_tostring(lua, lua_upvalueindex(1));
	const char *name = luaL_tolstring(lua, 2, NULL);
	size_t count = 0;

	lua_settop(lua, 3);
	for (lua_pushnil(lua); lua_next(lua, lua_upvalueindex(2)) != 0; lua_pop(lua, 1)) {
		if (lua_type(lua, -2) == LUA_TSTRING && count < 127)
			words[count++] = lua_tostring(lua, -2);
	}
	words[count] = NULL;
	return policy_unknown(lua, lua_pushfstring(lua, "%s has no \"%s\"", library, name), name,
	                      words);
}

void policy_guard(lua_State *lua, const char *name)
{
	/* The values: what they lack is an error. */
	lua_createtable(lua, 0, 1);
	lua_pushstring(lua, name);
	lua_pushvalue(lua, -3);
	lua_pushcclosure(lua, read_missing, 2);
	lua_setfield(lua, -2, "__index");
	lua_setmetatable(lua, -2);
	/* The guard: empty, so that every write is seen. */
	lua_createtable(lua, 0, 0);
	lua_createtable(lua, 0, 3);
	lua_pushvalue(lua, -3);
	lua_setfield(lua, -2, "__index");
	lua_pushstring(lua, name);
	lua_pushcclosure(lua, write_guarded, 1);
	lua_setfield(lua, -2, "__newindex");
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_setmetatable(lua, -2);
	lua_replace(lua, -2);
}

/* ---- globals ---- */

bool policy_offers(const struct pn_instance_use *use, const char *name)
{
	const struct pn_module *module = use->instance->module;

	return (module->lua_library != NULL && strcmp(module->lua_library->name, name) == 0) ||
	       (module->cache != NULL && strcmp(name, "cache") == 0);
}

/* Whether a policy could be allowed this library. */
static bool is_offered(const struct pn_policy_set *set, const char *name)
{
	bool answer = strcmp(name, "dns") == 0 || strcmp(name, "http") == 0;

	for (size_t index = 0; index < set->library_count; index++)
		answer = answer || policy_offers(&set->libraries[index], name);
	return answer;
}

/* Upvalue 1: the words. */
static int read_unknown_word(lua_State *lua)
{
	const char *words[128];
	const char *name = luaL_tolstring(lua, 2, NULL);
	size_t count = 0;

	lua_settop(lua, 3);
	if (is_offered(policy_state_of(lua)->file->set, name))
		return luaL_error(lua,
		                  "this policy is not allowed \"%s\": write allow = { \"%s\" } "
		                  "where it is mentioned",
		                  name, name);
	for (lua_pushnil(lua); lua_next(lua, lua_upvalueindex(1)) != 0; lua_pop(lua, 1)) {
		if (lua_type(lua, -2) == LUA_TSTRING && count < 127)
			words[count++] = lua_tostring(lua, -2);
	}
	words[count] = NULL;
	return policy_unknown(lua, lua_pushfstring(lua, "unknown word \"%s\"", name), name, words);
}

/*
 * A new global. While the file is read that is what globals are for; in a hook it is a forgotten
 * `local`, and would be shared by all sessions of the worker.
 */
static int write_global(lua_State *lua)
{
	const char *name = luaL_tolstring(lua, 2, NULL);

	lua_pushvalue(lua, 2);
	if (lua_rawget(lua, lua_upvalueindex(1)) != LUA_TNIL)
		return luaL_error(lua, "\"%s\" belongs to the gateway and cannot be changed", name);
	if (!policy_state_of(lua)->is_loading)
		return luaL_error(lua,
		                  "\"%s\" is not local: a hook cannot make globals, they would "
		                  "be shared by all sessions",
		                  name);
	lua_settop(lua, 3);
	lua_rawset(lua, 1);
	return 0;
}

static bool is_allowed(const struct policy_file *file, const char *word)
{
	for (const char *const *allowed = file->spec.allow; *allowed != NULL; allowed++) {
		if (strcmp(*allowed, word) == 0)
			return true;
	}
	return false;
}

/* The library of a module: rows walked by the step they were compiled with. */
static void push_module_library(lua_State *lua, const struct pn_instance_use *use)
{
	const struct pn_lua_library *library = use->instance->module->lua_library;
	const char *row = (const char *)library->functions;

	lua_createtable(lua, 0, 8);
	for (;; row += library->function_size) {
		const struct pn_lua_function *function = (const void *)row;

		if (function->name == NULL)
			return;
		lua_pushlightuserdata(lua, use->instance);
		lua_pushcclosure(lua, function->call, 1);
		lua_setfield(lua, -2, function->name);
	}
}

static void add_library(lua_State *lua, const char *name, void (*push)(lua_State *lua))
{
	push(lua);
	policy_guard(lua, name);
	lua_setfield(lua, -2, name);
}

/* Methods of strings: ("x"):upper(). The metatable itself is out of reach. */
static void init_strings(lua_State *lua)
{
	lua_pushliteral(lua, "");
	lua_createtable(lua, 0, 2);
	policy_push_string(lua);
	lua_setfield(lua, -2, "__index");
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_setmetatable(lua, -2);
	lua_pop(lua, 1);
}

static void push_words(lua_State *lua, const struct policy_file *file)
{
	bool has_cache = false;

	policy_push_base(lua);
	policy_add_verdicts(lua);
	lua_pushcfunction(lua, policy_on);
	lua_setfield(lua, -2, "on");
	lua_pushcfunction(lua, policy_sleep);
	lua_setfield(lua, -2, "sleep");
	add_library(lua, "string", policy_push_string);
	add_library(lua, "table", policy_push_table);
	add_library(lua, "math", policy_push_math);
	add_library(lua, "log", policy_push_log);
	add_library(lua, "clock", policy_push_clock);
	add_library(lua, "regex", policy_push_regex);
	add_library(lua, "json", policy_push_json);
	if (is_allowed(file, "dns"))
		add_library(lua, "dns", policy_push_dns);
	if (is_allowed(file, "http") || is_allowed(file, "http_private"))
		add_library(lua, "http", policy_push_http);
	for (size_t index = 0; index < file->set->library_count; index++) {
		const struct pn_instance_use *use = &file->set->libraries[index];
		const struct pn_lua_library *library = use->instance->module->lua_library;

		has_cache = has_cache || policy_is_cache(use);
		if (library == NULL || !is_allowed(file, library->name))
			continue;
		push_module_library(lua, use);
		policy_guard(lua, library->name);
		lua_setfield(lua, -2, library->name);
	}
	if (has_cache && is_allowed(file, "cache"))
		add_library(lua, "cache", policy_push_cache);
}

void policy_sandbox_push(lua_State *lua, struct policy_state *state)
{
	policy_handles_init(lua);
	policy_lookups_init(lua);
	init_strings(lua);
	lua_createtable(lua, 0, 0); /* globals */
	lua_createtable(lua, 0, 3); /* their metatable */
	push_words(lua, state->file);

	lua_createtable(lua, 0, 1);
	lua_pushvalue(lua, -2);
	lua_pushcclosure(lua, read_unknown_word, 1);
	lua_setfield(lua, -2, "__index");
	lua_setmetatable(lua, -2);

	lua_pushvalue(lua, -1);
	lua_pushcclosure(lua, write_global, 1);
	lua_setfield(lua, -3, "__newindex");
	lua_setfield(lua, -2, "__index");
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_setmetatable(lua, -2);
}
