/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads policy files and collects the hooks they attach. See policy.h.
 */
#include "policy/state.h"

#include "io/file.h"

#include <postern/lualib.h>
#include <postern/text.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	POLICY_FILE_MAX = 4 * 1024 * 1024,
	POLICY_HOOKS_MAX = 256, /* of one file */
	CHUNK_NAME_MAX = 50,    /* Lua cuts longer names */
};

/* ---- on(stage, options, function) ---- */

static const char *const mode_words[] = {"decide", "observe", "shadow", NULL};
static const char *const on_error_words[] = {"default", "continue", "defer", "reject", NULL};
static const char *const order_words[] = {"early", "normal", "late", NULL};
static const int orders[] = {PN_ORDER_EARLY, PN_ORDER_NORMAL, PN_ORDER_LATE};
static const char *const option_words[] = {"order", "mode",    "on_error", "budget",
                                           "name",  "summary", NULL};

static int word_index(lua_State *lua, const char *option, const char *const *words)
{
	const char *word = lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : "";

	for (int index = 0; words[index] != NULL; index++) {
		if (strcmp(words[index], word) == 0)
			return index;
	}
	return policy_unknown(lua, lua_pushfstring(lua, "on: %s cannot be \"%s\"", option, word),
	                      word, words);
}

static int order_value(lua_State *lua)
{
	if (lua_isinteger(lua, -1)) {
		lua_Integer order = lua_tointeger(lua, -1);

		if (order < -1000000 || order > 1000000)
			luaL_error(lua, "on: order must be from -1000000 to 1000000");
		return (int)order;
	}
	return orders[word_index(lua, "order", order_words)];
}

static uint32_t budget_value(lua_State *lua)
{
	uint64_t milliseconds = 0;

	if (lua_type(lua, -1) != LUA_TSTRING ||
	    pn_parse_duration(policy_check_slice(lua, -1), &milliseconds) != PN_OK ||
	    milliseconds < 1 || milliseconds > 600000)
		luaL_error(lua, "on: budget must be a duration from \"1ms\" to \"10m\"");
	return (uint32_t)milliseconds;
}

static const char *text_value(lua_State *lua, struct pn_arena *arena, const char *option)
{
	if (lua_type(lua, -1) != LUA_TSTRING || lua_rawlen(lua, -1) > 200)
		luaL_error(lua, "on: %s must be a text of at most 200 bytes", option);
	return pn_arena_keep_text(arena, policy_check_slice(lua, -1));
}

/* One option: its name is at -2, its value at -1. */
static void read_option(lua_State *lua, struct policy_hook_entry *entry, const char **name)
{
	struct pn_chain_hook *hook = &entry->hook.hook;
	struct pn_arena *arena = entry->file->set->arena;
	const char *option;

	if (lua_type(lua, -2) != LUA_TSTRING)
		luaL_error(lua, "on: options have names: { order = 10 }");
	option = lua_tostring(lua, -2);
	if (strcmp(option, "order") == 0)
		hook->order = order_value(lua);
	else if (strcmp(option, "mode") == 0)
		hook->mode = (enum pn_hook_mode)word_index(lua, option, mode_words);
	else if (strcmp(option, "on_error") == 0)
		hook->on_error = (enum pn_on_error)word_index(lua, option, on_error_words);
	else if (strcmp(option, "budget") == 0)
		hook->wall_budget_ms = budget_value(lua);
	else if (strcmp(option, "name") == 0)
		*name = text_value(lua, arena, option);
	else if (strcmp(option, "summary") == 0)
		hook->summary = text_value(lua, arena, option);
	else
		policy_unknown(lua, lua_pushfstring(lua, "on: unknown option \"%s\"", option),
		               option, option_words);
}

static enum pn_stage stage_argument(lua_State *lua)
{
	const char *names[PN_STAGE_COUNT];
	const char *name = luaL_checkstring(lua, 1);
	enum pn_stage stage = pn_stage_of(name);

	for (int index = 1; index < PN_STAGE_COUNT; index++)
		names[index - 1] = pn_stage_name((enum pn_stage)index);
	names[PN_STAGE_COUNT - 1] = NULL;
	if (stage == PN_STAGE_NONE)
		policy_unknown(lua, lua_pushfstring(lua, "on: there is no stage \"%s\"", name),
		               name, names);
	return stage;
}

static struct policy_hook_entry *read_entry(lua_State *lua, struct policy_file *file, int line)
{
	struct pn_arena *arena = file->set->arena;
	struct policy_hook_entry *entry = PN_ARENA_NEW(arena, struct policy_hook_entry);
	const char *name = NULL;

	entry->file = file;
	entry->stage = stage_argument(lua);
	entry->line = line;
	entry->hook.stage = entry->stage;
	entry->hook.hook = (struct pn_chain_hook){
		.label = pn_arena_print(arena, "%s:%d", file->chunk, line),
		.summary = NULL,
		.module = file->chunk,
		.wall_budget_ms = (uint32_t)file->spec.wall_ms,
		.run = policy_hook_run,
		.user = entry,
	};
	if (lua_gettop(lua) == 3) {
		luaL_checktype(lua, 2, LUA_TTABLE);
		for (lua_pushnil(lua); lua_next(lua, 2) != 0; lua_settop(lua, 4))
			read_option(lua, entry, &name);
	}
	/* decide, observe, shadow: each may do less than the one before. */
	if (entry->hook.hook.mode < file->spec.mode)
		entry->hook.hook.mode = file->spec.mode;
	if (entry->hook.hook.summary == NULL)
		entry->hook.hook.summary = name != NULL ? name : "Hook of a policy.";
	else if (name != NULL)
		entry->hook.hook.summary =
			pn_arena_print(arena, "%s: %s", name, entry->hook.hook.summary);
	return entry;
}

/* The entry that was attached at this position when the file was read first. */
static struct policy_hook_entry *known_entry(struct policy_file *file, size_t position)
{
	struct policy_hook_entry *entry = file->first;

	while (entry != NULL && position-- > 0)
		entry = entry->next;
	return entry;
}

/* Attaches it when the file is read first; later it must be the same again. */
static void attach(lua_State *lua, struct policy_state *state)
{
	struct policy_file *file = state->file;
	struct policy_hook_entry *entry;
	lua_Debug place;

	lua_getstack(lua, 1, &place);
	lua_getinfo(lua, "l", &place);
	if (file->is_read) {
		entry = known_entry(file, state->hooks_seen);
		if (entry == NULL || entry->line != place.currentline ||
		    entry->stage != stage_argument(lua))
			luaL_error(lua, "on: attached another hook when the file was read again");
		return;
	}
	entry = read_entry(lua, file, place.currentline);
	entry->index = file->hook_count++;
	*file->last = entry;
	file->last = &entry->next;
}

int policy_on(lua_State *lua)
{
	struct policy_state *state = policy_state_of(lua);
	int *references;

	if (!state->is_loading)
		return luaL_error(lua,
		                  "on: hooks are attached when the file is read, not by a hook");
	if (lua_gettop(lua) != 3)
		lua_settop(lua, 2);
	luaL_checktype(lua, lua_gettop(lua), LUA_TFUNCTION);
	if (state->hooks_seen == POLICY_HOOKS_MAX)
		return luaL_error(lua, "on: one file attaches at most %d hooks", POLICY_HOOKS_MAX);
	attach(lua, state);
	references = realloc(state->hook_references, (state->hooks_seen + 1) * sizeof(*references));
	if (references == NULL)
		return luaL_error(lua, "on: there is no memory");
	state->hook_references = references;
	references[state->hooks_seen] = luaL_ref(lua, LUA_REGISTRYINDEX);
	state->hooks_seen++;
	return 0;
}

/* ---- files ---- */

static enum pn_status read_text(struct policy_file *file, struct pn_arena *arena,
                                struct pn_error *error)
{
	const struct pn_policy_file *spec = &file->spec;

	if (pn_file_read(spec->path, POLICY_FILE_MAX, arena, &file->text, error) == PN_OK)
		return PN_OK;
	pn_error_prefix(error, "%s:%d: policy", spec->file, spec->line);
	return PN_FAILED;
}

/* Each word of allow = { … } is "dns" or the library of a module. */
static enum pn_status check_allow(const struct policy_file *file, struct pn_error *error)
{
	const struct pn_policy_set *set = file->set;
	const char **known = PN_ARENA_ARRAY(set->arena, 2 * set->library_count + 5, const char *);
	size_t count = 0;
	bool has_cache = false;

	known[count++] = "dns";
	known[count++] = "http";
	known[count++] = "http_private"; /* loopback and private addresses, too */
	for (size_t index = 0; index < set->library_count; index++) {
		const struct pn_instance_use *use = &set->libraries[index];

		if (use->instance->module->lua_library != NULL)
			known[count++] = use->instance->module->lua_library->name;
		if (policy_is_cache(use) && !has_cache) {
			has_cache = true;
			known[count++] = "cache";
		}
	}
	for (const char *const *word = file->spec.allow; word != NULL && *word != NULL; word++) {
		size_t index = 0;
		const char *nearest = pn_nearest_word(*word, known);

		while (known[index] != NULL && strcmp(known[index], *word) != 0)
			index++;
		if (known[index] == NULL && strcmp(*word, "cache") == 0)
			return pn_fail(error,
			               "%s:%d: policy \"%s\" is allowed \"cache\", and there is "
			               "none: add module \"cache_local\" { }",
			               file->spec.file, file->spec.line, file->spec.label);
		if (known[index] == NULL)
			return pn_fail(error,
			               "%s:%d: policy \"%s\" is allowed \"%s\", which nothing "
			               "offers%s%s%s",
			               file->spec.file, file->spec.line, file->spec.label, *word,
			               nearest ? "; did you mean \"" : "", nearest ? nearest : "",
			               nearest ? "\"?" : "");
	}
	return PN_OK;
}

static const char *const *keep_list(struct pn_arena *arena, const char *const *list)
{
	size_t count = 0;

	while (list != NULL && list[count] != NULL)
		count++;

	const char **copy = PN_ARENA_ARRAY(arena, count + 1, const char *);

	for (size_t index = 0; index < count; index++)
		copy[index] = pn_arena_keep_text(arena, pn_slice_of(list[index]));
	return copy;
}

static const char *last_part(const char *label)
{
	const char *slash = strrchr(label, '/');

	return slash == NULL ? label : slash + 1;
}

/* The name in messages and hooks: the file's own; as written where two files have the same one. */
static const char *chunk_name(struct pn_arena *arena, const char *label,
                              const struct pn_policy_file *files, size_t file_count)
{
	const char *name = last_part(label);
	size_t same = 0;

	for (size_t index = 0; index < file_count; index++)
		same += strcmp(last_part(files[index].label), name) == 0;
	if (same > 1 && strlen(label) <= CHUNK_NAME_MAX)
		name = label;
	return pn_arena_keep_text(arena, pn_slice_make(name, strnlen(name, CHUNK_NAME_MAX)));
}

static enum pn_status load_file(struct policy_file *file, const struct pn_policy_file *spec,
                                const char *chunk, struct pn_error *error)
{
	struct pn_arena *arena = file->set->arena;

	file->spec = *spec;
	file->spec.path = pn_arena_keep_text(arena, pn_slice_of(spec->path));
	file->spec.label = pn_arena_keep_text(arena, pn_slice_of(spec->label));
	file->spec.allow = keep_list(arena, spec->allow);
	file->spec.file = pn_arena_keep_text(arena, pn_slice_of(spec->file));
	file->chunk = chunk;
	file->last = &file->first;
	if (check_allow(file, error) != PN_OK || read_text(file, arena, error) != PN_OK)
		return PN_FAILED;
	if (policy_state_new(file, &file->state, error) != PN_OK)
		return PN_FAILED;
	file->is_read = true;
	return PN_OK;
}

static void collect_hooks(struct pn_policy_set *set)
{
	for (size_t index = 0; index < set->file_count; index++)
		set->hook_count += set->files[index].hook_count;
	set->hooks = PN_ARENA_ARRAY(set->arena, set->hook_count, struct pn_policy_hook);
	set->hook_count = 0;
	for (size_t index = 0; index < set->file_count; index++) {
		for (struct policy_hook_entry *entry = set->files[index].first; entry != NULL;
		     entry = entry->next)
			set->hooks[set->hook_count++] = entry->hook;
	}
}

enum pn_status pn_policy_load(const struct pn_policy_file *files, size_t file_count,
                              const struct pn_instance_use *libraries, size_t library_count,
                              struct pn_policy_set **set_out, struct pn_error *error)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_policy_set *set = PN_ARENA_NEW(arena, struct pn_policy_set);
	struct pn_instance_use *copies =
		PN_ARENA_ARRAY(arena, library_count, struct pn_instance_use);

	set->arena = arena;
	if (library_count != 0)
		memcpy(copies, libraries, library_count * sizeof(*copies));
	set->libraries = copies;
	set->library_count = library_count;
	set->files = PN_ARENA_ARRAY(arena, file_count, struct policy_file);
	for (size_t index = 0; index < file_count; index++) {
		set->files[index].set = set;
		set->file_count++;
		if (load_file(&set->files[index], &files[index],
		              chunk_name(arena, files[index].label, files, file_count),
		              error) != PN_OK) {
			pn_policy_free(set);
			return PN_FAILED;
		}
	}
	collect_hooks(set);
	*set_out = set;
	return PN_OK;
}

const struct pn_policy_hook *pn_policy_hooks(const struct pn_policy_set *set, size_t *count_out)
{
	*count_out = set->hook_count;
	return set->hooks;
}

void pn_policy_free(struct pn_policy_set *set)
{
	struct pn_arena *arena;

	if (set == NULL)
		return;
	for (size_t index = 0; index < set->file_count; index++) {
		struct policy_file *file = &set->files[index];

		policy_state_free(&file->state);
		while (file->retired != NULL) {
			struct policy_state *state = file->retired;

			file->retired = state->next;
			policy_state_free(&state);
		}
		policy_lookups_free(file);
	}
	arena = set->arena; /* the struct itself lives in it */
	pn_arena_free(&arena);
}
