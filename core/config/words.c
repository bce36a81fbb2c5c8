/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of the configuration file, as functions of its Lua environment: they
 * check their own shape at once, with the line at hand, and put rows into the
 * reading. What needs the whole file is judged in checks.c.
 */
#include "config/reading.h"

#include <stdlib.h>

/* ---- environment ---- */

static int word_environment(lua_State *lua)
{
	struct pn_config_reading *reading = pn_config_reading_of(lua);
	int line = pn_config_line(lua);
	bool has_default = lua_gettop(lua) == 2;
	int type = has_default ? lua_type(lua, 2) : LUA_TSTRING;

	if (lua_gettop(lua) > 2 || lua_type(lua, 1) != LUA_TSTRING ||
	    (type != LUA_TSTRING && type != LUA_TNUMBER))
		pn_config_raise(reading, line,
		                "write environment(\"POSTERN_NAME\", default), with a text or a "
		                "number as default");

	const char *name = lua_tostring(lua, 1);
	const char *value;

	if (strncmp(name, "POSTERN_", 8) != 0)
		pn_config_raise(reading, line,
		                "only variables whose name begins with POSTERN_ can be read, not "
		                "\"%s\"",
		                name);
	value = getenv(name);
	if (value == NULL || value[0] == '\0') {
		if (!has_default)
			pn_config_raise(reading, line, "%s is not set and has no default here",
			                name);
		return 1;
	}
	if (type == LUA_TNUMBER && lua_stringtonumber(lua, value) == 0)
		pn_config_raise(reading, line, "%s must be a number, not \"%s\"", name, value);
	if (type == LUA_TSTRING)
		lua_pushstring(lua, value);
	return 1;
}

/* ---- the environment ---- */

static const struct {
	const char *name;
	lua_CFunction call;
} words[] = {
	{"listen", pn_config_word_listen},           {"certificate", pn_config_word_certificate},
	{"domain", pn_config_word_domain},           {"module", pn_config_word_module},
	{"policy", pn_config_word_policy},           {"environment", word_environment},
	{"destination", pn_config_word_destination},
};

enum { WORD_COUNT = sizeof(words) / sizeof(words[0]) };

static const struct pn_option *find_option(const char *name)
{
	for (const struct pn_option *option = pn_gateway_options;
	     option->type != PN_OPTION_TYPE_END; option++) {
		if (strcmp(option->name, name) == 0)
			return option;
	}
	return NULL;
}

static const char *const *all_words(struct pn_config_reading *reading)
{
	size_t count = 0;

	while (pn_gateway_options[count].type != PN_OPTION_TYPE_END)
		count++;

	const char **names = PN_ARENA_ARRAY(reading->arena, WORD_COUNT + count + 1, const char *);

	for (size_t index = 0; index < WORD_COUNT; index++)
		names[index] = words[index].name;
	for (size_t index = 0; index < count; index++)
		names[WORD_COUNT + index] = pn_gateway_options[index].name;
	return names;
}

/* Reading a name that is not a word: a setting that stands above, or a mistake. Upvalue 2 holds
 * the settings by name. */
static int read_name(lua_State *lua)
{
	struct pn_config_reading *reading = pn_config_reading_of(lua);
	int line = pn_config_line(lua);

	if (lua_type(lua, 2) != LUA_TSTRING)
		pn_config_raise(reading, line, "this is no name");
	lua_pushvalue(lua, 2);
	if (lua_rawget(lua, lua_upvalueindex(2)) != LUA_TNIL)
		return 1;

	const char *name = lua_tostring(lua, 2);

	if (find_option(name) != NULL)
		pn_config_raise(reading, line, "\"%s\" is used here but not set above", name);
	pn_config_raise(reading, line, "unknown word \"%s\"%s", name,
	                pn_config_hint(reading, name, all_words(reading)));
}

static int write_name(lua_State *lua)
{
	struct pn_config_reading *reading = pn_config_reading_of(lua);
	int line = pn_config_line(lua);

	if (lua_type(lua, 2) != LUA_TSTRING)
		pn_config_raise(reading, line, "this is no name");

	const char *name = lua_tostring(lua, 2);
	const struct pn_option *option = find_option(name);

	for (size_t index = 0; index < WORD_COUNT; index++) {
		if (strcmp(words[index].name, name) == 0)
			pn_config_raise(reading, line,
			                "\"%s\" is no setting: write %s { … } without '='", name,
			                name);
	}
	if (option == NULL)
		pn_config_raise(reading, line, "unknown setting \"%s\"%s", name,
		                pn_config_hint(reading, name, all_words(reading)));

	const struct pn_setting *before =
		pn_config_row(reading->settings, reading->setting_count, name);

	if (before != NULL)
		pn_config_raise(reading, line, "\"%s\" is set already, at line %d", name,
		                before->line);
	reading->settings = pn_config_grow(reading->arena, reading->settings,
	                                   reading->setting_count, sizeof(*reading->settings));
	reading->settings[reading->setting_count] =
		pn_config_setting(reading, 3, option->name, line);
	reading->setting_count++;
	lua_settop(lua, 3);
	lua_rawset(lua, lua_upvalueindex(2));
	return 0;
}

void pn_config_push_environment(struct pn_config_reading *reading)
{
	lua_State *lua = reading->lua;

	lua_createtable(lua, 0, 0);
	lua_createtable(lua, 0, 2);
	lua_createtable(lua, 0, 32); /* words, and settings as they are set */
	for (size_t index = 0; index < WORD_COUNT; index++) {
		lua_pushlightuserdata(lua, reading);
		lua_pushcclosure(lua, words[index].call, 1);
		lua_setfield(lua, -2, words[index].name);
	}
	lua_pushlightuserdata(lua, reading);
	lua_pushvalue(lua, -2);
	lua_pushcclosure(lua, read_name, 2);
	lua_setfield(lua, -3, "__index");
	lua_pushlightuserdata(lua, reading);
	lua_rotate(lua, -2, 1);
	lua_pushcclosure(lua, write_name, 2);
	lua_setfield(lua, -2, "__newindex");
	lua_setmetatable(lua, -2);
	pn_config_lines_index(reading, all_words(reading));
}
