/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spec: plain Lua, and the words policy, it, run and equal (trial_results.c and
 * trial_world.c have the others). A case that fails says where, in the spec, and what
 * the policy said; the other cases run all the same.
 */
#include "process/trial_words.h"

#include <postern/text.h>

#include "io/file.h"
#include "session/session.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	NAMES_MAX = 32,
	FILE_MAX = 4 * 1024 * 1024,
	USUAL_CPU_MS = 50,
	USUAL_MEMORY = 16 * 1024 * 1024,
};

static const char *const everything[] = {"cache", "dns", "http", NULL};

static struct {
	const char *path; /* of the spec */
	struct pn_trial_report *report;
	bool in_case;
	const char *failure; /* what a hook said last */
} spec;

/* ---- files ---- */

/* A name is looked for beside the spec, then in each folder above it. NULL: nowhere. */
static const char *find_file(const char *name)
{
	struct pn_arena *arena = spec.report->arena;
	char *folder;

	if (name[0] == '/')
		return access(name, R_OK) == 0 ? name : NULL;
	folder = pn_arena_keep_text(arena, pn_slice_of(spec.path));
	for (char *slash = strrchr(folder, '/'); slash != NULL; slash = strrchr(folder, '/')) {
		const char *path;

		*slash = '\0';
		path = pn_arena_print(arena, "%s/%s", folder, name);
		if (access(path, R_OK) == 0)
			return path;
	}
	return NULL;
}

/* ---- policy(file, replacements, options) ---- */

/* The text of the file, each replacement made once: what the user of a script would type. */
static struct pn_slice replaced_text(lua_State *lua, const char *path)
{
	struct pn_arena *arena = spec.report->arena;
	struct pn_slice text;
	struct pn_error error;

	if (pn_file_read(path, FILE_MAX, arena, &text, &error) != PN_OK)
		luaL_error(lua, "%s", error.text);
	for (lua_pushnil(lua); lua_next(lua, 2) != 0; lua_pop(lua, 1)) {
		struct pn_slice old = {0}, new = {0}, whole;
		const char *found;
		char *room;

		old.data = luaL_checklstring(lua, -2, &old.size);
		new.data = luaL_checklstring(lua, -1, &new.size);
		found = old.size == 0 ? NULL : memmem(text.data, text.size, old.data, old.size);
		if (found == NULL)
			luaL_error(lua, "nothing to replace: %s", old.data);
		whole.size = text.size - old.size + new.size;
		whole.data = room = pn_arena_allocate(arena, whole.size + 1);
		memcpy(room, text.data, (size_t)(found - text.data));
		memcpy(room + (found - text.data), new.data, new.size);
		memcpy(room + (found - text.data) + new.size, found + old.size,
		       text.size - old.size - (size_t)(found - text.data));
		text = whole;
	}
	return text;
}

static const char *const *read_names(lua_State *lua)
{
	struct pn_arena *arena = spec.report->arena;
	const char **names = PN_ARENA_ARRAY(arena, NAMES_MAX + 1, const char *);

	for (int index = 1; index <= NAMES_MAX; index++) {
		if (lua_rawgeti(lua, -1, index) != LUA_TSTRING) {
			lua_pop(lua, 1);
			break;
		}
		names[index - 1] = pn_arena_keep_text(arena, pn_slice_of(lua_tostring(lua, -1)));
		lua_pop(lua, 1);
	}
	return names;
}

/* Texts that the policy finds as files beside it. */
static void provide_files(lua_State *lua, const char *policy_path)
{
	struct pn_arena *arena = spec.report->arena;
	struct pn_error error;

	luaL_checktype(lua, -1, LUA_TTABLE);
	for (lua_pushnil(lua); lua_next(lua, -2) != 0; lua_pop(lua, 1)) {
		const char *name = luaL_checkstring(lua, -2);
		const char *path = pn_policy_table_path(arena, policy_path, pn_slice_of(name));
		struct pn_slice text = {0};

		text.data = luaL_checklstring(lua, -1, &text.size);
		if (path == NULL)
			luaL_error(lua, "\"%s\" would not lie beside the policy", name);
		if (pn_trial_provide(path, text, &error) != PN_OK)
			luaL_error(lua, "%s", error.text);
	}
}

static enum pn_hook_mode read_mode(lua_State *lua)
{
	static const char *const words[] = {"decide", "observe", "shadow", NULL};

	return (enum pn_hook_mode)luaL_checkoption(lua, -1, NULL, words);
}

static void read_options(lua_State *lua, struct pn_trial_policy *policy)
{
	luaL_checktype(lua, 3, LUA_TTABLE);
	for (lua_pushnil(lua); lua_next(lua, 3) != 0; lua_pop(lua, 1)) {
		const char *option = luaL_checkstring(lua, -2);
		uint64_t value = 0;
		bool is_right = true;

		if (strcmp(option, "allow") == 0) {
			luaL_checktype(lua, -1, LUA_TTABLE);
			policy->allow = read_names(lua);
		} else if (strcmp(option, "transports") == 0) {
			luaL_checktype(lua, -1, LUA_TTABLE);
			policy->transports = read_names(lua);
		} else if (strcmp(option, "mode") == 0) {
			policy->mode = read_mode(lua);
		} else if (strcmp(option, "files") == 0) {
			provide_files(lua, policy->path);
		} else if (strcmp(option, "cpu") == 0) {
			is_right = pn_parse_duration(pn_slice_of(luaL_checkstring(lua, -1)),
			                             &value) == PN_OK;
			policy->cpu_ms = value;
		} else if (strcmp(option, "memory") == 0) {
			is_right = pn_parse_size(pn_slice_of(luaL_checkstring(lua, -1)), &value) ==
			           PN_OK;
			policy->memory_bytes = value;
		} else {
			luaL_error(lua,
			           "policy has no option \"%s\": allow, files, transports, mode, "
			           "cpu, memory",
			           option);
		}
		if (!is_right || policy->cpu_ms == 0 || policy->memory_bytes < 1024 * 1024)
			luaL_error(lua, "%s cannot be %s", option, lua_tostring(lua, -1));
	}
}

static int word_policy(lua_State *lua)
{
	const char *name = luaL_checkstring(lua, 1);
	const char *path = find_file(name);
	struct pn_trial_policy policy = {
		.label = pn_arena_keep_text(spec.report->arena, pn_slice_of(name)),
		.allow = everything,
		.cpu_ms = USUAL_CPU_MS,
		.memory_bytes = USUAL_MEMORY,
	};
	struct pn_error error;
	char *real;

	if (spec.in_case)
		return luaL_error(lua, "policy stands outside of cases: each reads it anew");
	if (path == NULL)
		return luaL_error(lua, "there is no file %s, here or in a folder above", name);
	real = realpath(path, NULL);
	if (real == NULL)
		return luaL_error(lua, "cannot read %s", path);
	policy.path = pn_arena_keep_text(spec.report->arena, pn_slice_of(real));
	free(real);
	lua_settop(lua, 3);
	pn_file_forget();
	if (!lua_isnil(lua, 3))
		read_options(lua, &policy);
	if (!lua_isnil(lua, 2)) {
		luaL_checktype(lua, 2, LUA_TTABLE);
		policy.text = replaced_text(lua, policy.path);
	}
	if (pn_trial_use(&policy, &error) != PN_OK)
		return luaL_error(lua, "%s", error.text);
	return 0;
}

/* ---- it(name, function) ---- */

static void add_case(const char *name, const char *failure)
{
	struct pn_trial_report *report = spec.report;
	struct pn_trial_case **last = &report->cases;
	struct pn_trial_case *entry = PN_ARENA_NEW(report->arena, struct pn_trial_case);

	entry->name = pn_arena_keep_text(report->arena, pn_slice_of(name));
	if (failure != NULL) {
		entry->failure = pn_arena_keep_text(report->arena, pn_slice_of(failure));
		report->failed++;
	} else {
		report->passed++;
	}
	while (*last != NULL)
		last = &(*last)->next;
	*last = entry;
}

static int word_it(lua_State *lua)
{
	const char *name = luaL_checkstring(lua, 1);
	const char *failure = NULL;
	struct pn_error error;

	luaL_checktype(lua, 2, LUA_TFUNCTION);
	if (spec.in_case)
		return luaL_error(lua, "one case stands within another");
	lua_settop(lua, 2);
	spec.failure = NULL;
	spec.in_case = true;
	if (pn_trial_fresh(&error) != PN_OK) {
		failure = error.text;
	} else if (lua_pcall(lua, 0, 0, 0) != LUA_OK) {
		failure = luaL_tolstring(lua, -1, NULL);
		if (spec.failure != NULL)
			failure = lua_pushfstring(lua, "%s; a hook failed: %s", failure,
			                          spec.failure);
	}
	spec.in_case = false;
	add_case(name, failure);
	return 0;
}

void pn_trial_need_case(lua_State *lua, const char *word)
{
	if (!spec.in_case)
		luaL_error(lua, "%s stands within a case: it(\"…\", function() … end)", word);
}

/* ---- run(stage, fields) ---- */

static int word_run(lua_State *lua)
{
	const void *subject;
	bool with_session;
	const char *name = luaL_checkstring(lua, 1);
	enum pn_stage stage = pn_stage_of(name);
	struct pn_trial_outcome outcome;

	pn_trial_need_case(lua, "run");
	if (stage == PN_STAGE_NONE)
		return luaL_error(lua, "there is no stage \"%s\"", name);
	lua_settop(lua, 2);
	if (lua_isnil(lua, 2)) {
		lua_createtable(lua, 0, 0);
		lua_replace(lua, 2);
	}
	luaL_checktype(lua, 2, LUA_TTABLE);
	subject = pn_trial_take_fields(lua, stage, &with_session);
	outcome = pn_trial_run(stage, subject, with_session);
	if (outcome.hooks == 0 && outcome.failure == NULL)
		return luaL_error(lua, "no hook at %s", name);
	spec.failure = outcome.failure;
	lua_pushstring(lua, outcome.text);
	lua_pushstring(lua, outcome.failure);
	lua_pushstring(lua, outcome.shadow);
	return 3;
}

/* ---- equal(got, wanted, what) ---- */

static const char equal_text[] =
	"local function same(one, other)\n"
	"	if type(one) ~= 'table' or type(other) ~= 'table' then return one == other end\n"
	"	for key, value in pairs(one) do if not same(value, other[key]) then return false "
	"end end\n"
	"	for key in pairs(other) do if one[key] == nil then return false end end\n"
	"	return true\n"
	"end\n"
	"local function show(value)\n"
	"	if type(value) == 'string' then return ('%q'):format(value) end\n"
	"	if type(value) ~= 'table' then return tostring(value) end\n"
	"	local parts = {}\n"
	"	for index, each in ipairs(value) do parts[index] = show(each) end\n"
	"	local names = {}\n"
	"	for key in pairs(value) do\n"
	"		if math.type(key) ~= 'integer' or key < 1 or key > #parts then "
	"names[#names + 1] = key end\n"
	"	end\n"
	"	table.sort(names, function(a, b) return tostring(a) < tostring(b) end)\n"
	"	for _, key in ipairs(names) do parts[#parts + 1] = tostring(key) .. ' = ' .. "
	"show(value[key]) end\n"
	"	return '{ ' .. table.concat(parts, ', ') .. ' }'\n"
	"end\n"
	"function equal(got, wanted, what)\n"
	"	if not same(got, wanted) then\n"
	"		error((what and what .. ': ' or '') .. 'wanted ' .. show(wanted) .. ', got "
	"' .. show(got), 2)\n"
	"	end\n"
	"end\n";

static const luaL_Reg words[] = {
	{"it", word_it},
	{"policy", word_policy},
	{"run", word_run},
	{NULL, NULL},
};

void pn_trial_run_spec(const char *path, struct pn_trial_report *report)
{
	lua_State *lua = luaL_newstate();

	if (lua == NULL)
		abort();
	memset(&spec, 0, sizeof(spec));
	spec.path = path;
	spec.report = report;
	pn_trial_begin(report);
	luaL_openlibs(lua);
	lua_pushglobaltable(lua);
	luaL_setfuncs(lua, words, 0);
	luaL_setfuncs(lua, pn_trial_result_words, 0);
	luaL_setfuncs(lua, pn_trial_world_words, 0);
	lua_settop(lua, 0);
	if (luaL_dostring(lua, equal_text) != LUA_OK || luaL_loadfilex(lua, path, "t") != LUA_OK ||
	    lua_pcall(lua, 0, 0, 0) != LUA_OK)
		add_case("the spec itself", luaL_tolstring(lua, -1, NULL));
	else if (report->passed + report->failed == 0)
		add_case("the spec itself", "it has no case");
	pn_trial_end();
	lua_close(lua);
}
