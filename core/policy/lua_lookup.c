/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.open("file", { format = "lines" }): a lookup table beside the policy, and
 * what a script asks of it. Opened while the policy is read; it belongs to the
 * policy file and not to the state, so that a state that is made anew finds it read.
 */
#include "policy/builder.h"
#include "policy/lookup.h"
#include "policy/state.h"

#include <postern/text.h>

#include <stdio.h>
#include <stdlib.h>

#include "policy/lexer.h"

enum {
	TABLES_MAX = 64,
	NAME_MAX_BYTES = 255,
	DOMAIN_MAX = 255,
	STEPS_PER_QUESTION = 40,
};

static const char metatable_name[] = "lookup table";
static const char *const format_words[] = {"lines", "list", "lmdb", NULL};

/* One that a file has open. In the set's arena, but for the lookup. */
struct policy_table {
	struct pn_lookup *lookup;
	struct policy_table *next;
};

/* ---- paths ---- */

/* A name below the policy's directory: relative, and no way back up. */
static bool is_below(struct pn_slice name)
{
	size_t start = 0;

	if (name.size == 0 || name.size > NAME_MAX_BYTES || memchr(name.data, '\0', name.size))
		return false;
	for (size_t index = 0; index <= name.size; index++) {
		if (index < name.size && name.data[index] != '/')
			continue;
		if (index == start ||
		    (index - start == 2 && memcmp(name.data + start, "..", 2) == 0))
			return false;
		start = index + 1;
	}
	return true;
}

const char *pn_policy_table_path(struct pn_arena *arena, const char *policy_path,
                                 struct pn_slice name)
{
	const char *slash = strrchr(policy_path, '/');
	size_t size = slash == NULL ? 0 : (size_t)(slash - policy_path);

	if (!is_below(name))
		return NULL;
	return pn_arena_print(arena, "%.*s//%.*s", size > 0 ? (int)size : 1,
	                      size > 0 ? policy_path : ".", PN_SLICE_ARGS(name));
}

/* ---- opening ---- */

static enum pn_lookup_format read_format(lua_State *lua)
{
	const char *word;
	int format = 0;

	if (lua_isnoneornil(lua, 2))
		return PN_LOOKUP_LINES;
	luaL_checktype(lua, 2, LUA_TTABLE);
	for (lua_pushnil(lua); lua_next(lua, 2) != 0; lua_pop(lua, 1)) {
		if (lua_type(lua, -2) != LUA_TSTRING ||
		    strcmp(lua_tostring(lua, -2), "format") != 0)
			luaL_error(lua, "table.open: the only option is format");
	}
	lua_pushliteral(lua, "format");
	lua_rawget(lua, 2);
	word = lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : "";
	while (format_words[format] != NULL && strcmp(format_words[format], word) != 0)
		format++;
	if (format_words[format] == NULL)
		policy_unknown(lua, lua_pushfstring(lua, "table.open: no format \"%s\"", word),
		               word, format_words);
	return (enum pn_lookup_format)format;
}

static struct pn_lookup *find_open(const struct policy_file *file, const char *path,
                                   enum pn_lookup_format format)
{
	for (const struct policy_table *table = file->tables; table != NULL; table = table->next) {
		if (pn_lookup_format(table->lookup) == format &&
		    strcmp(pn_lookup_path(table->lookup), path) == 0)
			return table->lookup;
	}
	return NULL;
}

static struct pn_lookup *open_table(lua_State *lua, struct policy_file *file, const char *path,
                                    const char *label, enum pn_lookup_format format)
{
	struct policy_table *table = PN_ARENA_NEW(file->set->arena, struct policy_table);
	uint64_t started = policy_budget_clock_ns();
	size_t used = 0;
	struct pn_error error;

	if (pn_lookup_new(path, label, format, PN_LOOKUP_BYTES_MAX - file->table_bytes,
	                  &table->lookup, &used, &error) != PN_OK)
		luaL_error(lua, "table.open: %s", error.text);
	/* Reading has a bound of its own, which is that of the size. */
	policy_budget_forgive(lua, policy_budget_clock_ns() - started);
	table->next = file->tables;
	file->tables = table;
	file->table_bytes += used;
	return table->lookup;
}

int policy_table_open(lua_State *lua)
{
	struct policy_state *state = policy_state_of(lua);
	struct policy_file *file = state->file;
	enum pn_lookup_format format;
	struct pn_lookup *lookup;
	struct pn_slice name;
	const char *path;

	if (!state->is_loading)
		return luaL_error(lua,
		                  "table.open: tables are opened when the policy is read, not by a "
		                  "hook");
	luaL_checktype(lua, 1, LUA_TSTRING);
	name = policy_check_slice(lua, 1);
	format = read_format(lua);
	/* Each takes a little memory of the set, the same one again too. */
	if (state->tables_opened++ == TABLES_MAX)
		return luaL_error(lua, "table.open: a policy opens at most %d tables", TABLES_MAX);
	path = pn_policy_table_path(file->set->arena, file->spec.path, name);
	if (path == NULL)
		return luaL_error(lua,
		                  "table.open: \"%s\" must be a name in the policy's directory or "
		                  "below it",
		                  name.data);
	lookup = find_open(file, path, format);
	if (lookup == NULL)
		lookup = open_table(lua, file, path, pn_arena_keep_text(file->set->arena, name),
		                    format);
	*(struct pn_lookup **)lua_newuserdatauv(lua, sizeof(lookup), 0) = lookup;
	luaL_setmetatable(lua, metatable_name);
	return 1;
}

/* ---- asking ---- */

static const struct pn_lookup *check_table(lua_State *lua)
{
	struct pn_lookup *const *handle = luaL_checkudata(lua, 1, metatable_name);

	return *handle;
}

/* A value of several lines becomes one. */
static void push_joined(lua_State *lua, struct pn_slice value)
{
	struct policy_builder builder;
	struct pn_slice part;

	policy_builder_init(&builder, lua);
	while (pn_lookup_next_part(&value, &part)) {
		if (builder.size > 0)
			policy_builder_add_byte(&builder, ' ');
		policy_builder_add(&builder, part);
	}
	policy_builder_push(&builder);
	lua_replace(lua, -2);
}

static void push_value(lua_State *lua, const struct pn_lookup *lookup, struct pn_slice value)
{
	if (pn_lookup_format(lookup) == PN_LOOKUP_LINES && value.size > 0 &&
	    memchr(value.data, '\n', value.size) != NULL)
		push_joined(lua, value);
	else
		policy_push_slice(lua, value);
}

static struct pn_slice ask(lua_State *lua, const struct pn_lookup *lookup, struct pn_slice key)
{
	policy_budget_spend(lua, STEPS_PER_QUESTION +
	                                 (key.size <= PN_LOOKUP_KEY_MAX ? key.size / 2 : 0));
	return pn_lookup_find(lookup, key);
}

/* Asks, and pushes value and key where there is one. */
static bool try_key(lua_State *lua, const struct pn_lookup *lookup, struct pn_slice key)
{
	struct pn_slice value = ask(lua, lookup, key);

	if (value.data == NULL)
		return false;
	push_value(lua, lookup, value);
	policy_push_slice(lua, key);
	return true;
}

static int table_find(lua_State *lua)
{
	const struct pn_lookup *lookup = check_table(lua);
	struct pn_slice value = ask(lua, lookup, policy_check_slice(lua, 2));

	if (value.data == NULL)
		lua_pushnil(lua);
	else
		push_value(lua, lookup, value);
	return 1;
}

static int table_has(lua_State *lua)
{
	const struct pn_lookup *lookup = check_table(lua);

	lua_pushboolean(lua, ask(lua, lookup, policy_check_slice(lua, 2)).data != NULL);
	return 1;
}

/* The domain itself, then ".example.org" and ".org" for all that lies below those. */
static int table_find_domain(lua_State *lua)
{
	const struct pn_lookup *lookup = check_table(lua);
	struct pn_slice domain = policy_check_slice(lua, 2);

	if (domain.size > 0 && domain.data[domain.size - 1] == '.')
		domain.size--;
	if (domain.size > DOMAIN_MAX) {
		lua_pushnil(lua);
		return 1;
	}
	if (try_key(lua, lookup, domain))
		return 2;
	for (size_t index = 1; index < domain.size; index++) {
		if (domain.data[index] == '.' &&
		    try_key(lua, lookup, pn_slice_behind(domain, index)))
			return 2;
	}
	lua_pushnil(lua);
	return 1;
}

/* user+tag@example.org, then user@example.org, then @example.org. */
static int table_find_address(lua_State *lua)
{
	const struct pn_lookup *lookup = check_table(lua);
	struct pn_slice address = policy_check_slice(lua, 2);
	const char *delimiter = luaL_optstring(lua, 3, "+");
	char room[PN_LOOKUP_KEY_MAX + 1];
	size_t local_size = address.size, tag = address.size;

	luaL_argcheck(lua, strlen(delimiter) == 1, 3, "a delimiter is one character");
	if (address.size > PN_LOOKUP_KEY_MAX) {
		lua_pushnil(lua);
		return 1;
	}
	if (try_key(lua, lookup, address))
		return 2;
	for (size_t index = 0; index < address.size; index++) {
		if (address.data[index] == '@')
			local_size = index;
	}
	for (size_t index = local_size; index-- > 1;) {
		if (address.data[index] == delimiter[0])
			tag = index;
	}
	if (tag < local_size) {
		struct pn_slice domain = pn_slice_behind(address, local_size);

		memcpy(room, address.data, tag);
		if (domain.size > 0)
			memcpy(room + tag, domain.data, domain.size);
		if (try_key(lua, lookup, pn_slice_make(room, tag + domain.size)))
			return 2;
	}
	if (local_size < address.size && try_key(lua, lookup, pn_slice_behind(address, local_size)))
		return 2;
	lua_pushnil(lua);
	return 1;
}

static int table_count(lua_State *lua)
{
	lua_pushinteger(lua, (lua_Integer)pn_lookup_count(check_table(lua)));
	return 1;
}

static int refuse_member(lua_State *lua)
{
	static const char *const words[] = {"count",       "find", "find_address",
	                                    "find_domain", "has",  NULL};
	const char *name = luaL_tolstring(lua, 2, NULL);

	return policy_unknown(lua, lua_pushfstring(lua, "a table has no \"%s\"", name), name,
	                      words);
}

static int refuse_write(lua_State *lua)
{
	return luaL_error(lua, "what table.open gives cannot be changed");
}

void policy_lookups_init(lua_State *lua)
{
	static const luaL_Reg methods[] = {
		{"count", table_count},
		{"find", table_find},
		{"find_address", table_find_address},
		{"find_domain", table_find_domain},
		{"has", table_has},
		{NULL, NULL},
	};

	luaL_newmetatable(lua, metatable_name);
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_pushcfunction(lua, refuse_write);
	lua_setfield(lua, -2, "__newindex");
	lua_createtable(lua, 0, 8);
	luaL_setfuncs(lua, methods, 0);
	lua_createtable(lua, 0, 1);
	lua_pushcfunction(lua, refuse_member);
	lua_setfield(lua, -2, "__index");
	lua_setmetatable(lua, -2);
	lua_setfield(lua, -2, "__index");
	lua_pop(lua, 1);
}

void policy_lookups_free(struct policy_file *file)
{
	for (struct policy_table *table = file->tables; table != NULL; table = table->next)
		pn_lookup_free(&table->lookup);
	file->tables = NULL;
}

/* ---- for the master ---- */

const char *pn_policy_table(const struct pn_policy_set *set, size_t index)
{
	for (size_t at = 0; at < set->file_count; at++) {
		for (const struct policy_table *table = set->files[at].tables; table != NULL;
		     table = table->next) {
			if (pn_lookup_format(table->lookup) == PN_LOOKUP_LMDB)
				continue; /* read page by page, in its place */
			if (index-- == 0)
				return pn_lookup_path(table->lookup);
		}
	}
	return NULL;
}

bool pn_policy_table_name(struct pn_lua_lexer *lexer, struct pn_slice *name_out)
{
	struct pn_lua_token before[4] = {0};
	struct pn_lua_token token;

	while ((token = pn_lua_lexer_next(lexer)).kind != PN_LUA_TOKEN_END) {
		size_t last = pn_lua_token_is(&before[3], "(") ? 2 : 3;

		if (token.kind == PN_LUA_TOKEN_STRING && pn_lua_token_is(&before[last], "open") &&
		    pn_lua_token_is(&before[last - 1], ".") &&
		    pn_lua_token_is(&before[last - 2], "table") && token.text.size > 0 &&
		    memchr(token.text.data, '\\', token.text.size) == NULL) {
			*name_out = token.text;
			return true;
		}
		memmove(before, before + 1, 3 * sizeof(before[0]));
		before[3] = token;
	}
	return false;
}
