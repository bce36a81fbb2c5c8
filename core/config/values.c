/* SPDX-License-Identifier: Apache-2.0 */
/* Values of the configuration file, out of Lua and into rows with their lines. */
#include "config/reading.h"

#include <stdio.h>
#include <stdlib.h>

void *pn_config_grow(struct pn_arena *arena, void *array, size_t count, size_t element_size)
{
	if (count != 0 && (count & (count - 1)) != 0)
		return array;

	void *larger = pn_arena_allocate_array(arena, count == 0 ? 1 : count * 2, element_size);

	if (count != 0)
		memcpy(larger, array, count * element_size);
	return larger;
}

const char *pn_config_path(struct pn_config_reading *reading, const char *path)
{
	if (path[0] == '/')
		return pn_arena_keep_text(reading->arena, pn_slice_of(path));
	return pn_arena_print(reading->arena, "%s/%s", reading->directory, path);
}

/* A string without NUL, copied. The value at `index` is a string. */
static const char *keep_string(struct pn_config_reading *reading, int index, const char *name,
                               int line)
{
	size_t size;
	const char *text = lua_tolstring(reading->lua, index, &size);

	if (memchr(text, '\0', size) != NULL)
		pn_config_raise(reading, line, "the text of \"%s\" has a NUL byte in it", name);
	return pn_arena_keep_text(reading->arena, pn_slice_make(text, size));
}

static const char *number_text(struct pn_config_reading *reading, int index)
{
	int is_whole;
	lua_Integer whole = lua_tointegerx(reading->lua, index, &is_whole);

	if (is_whole)
		return pn_arena_print(reading->arena, "%lld", (long long)whole);
	return pn_arena_print(reading->arena, "%.14g", lua_tonumber(reading->lua, index));
}

static const char *const *list_items(struct pn_config_reading *reading, int index, const char *name,
                                     int line, size_t *count_out)
{
	lua_State *lua = reading->lua;
	size_t count = lua_rawlen(lua, index);
	size_t keys = 0;

	if (count > PN_CONFIG_ITEMS_MAX)
		pn_config_raise(reading, line, "the list \"%s\" has more than %d items", name,
		                PN_CONFIG_ITEMS_MAX);
	for (lua_pushnil(lua); lua_next(lua, index) != 0; lua_pop(lua, 1))
		keys++;
	if (keys != count)
		pn_config_raise(reading, line,
		                "\"%s\" must be a list, { \"a\", \"b\" }, without names or gaps",
		                name);

	const char **items = PN_ARENA_ARRAY(reading->arena, count + 1, const char *);

	for (size_t item = 0; item < count; item++) {
		int type = lua_rawgeti(lua, index, (lua_Integer)item + 1);

		if (type == LUA_TSTRING)
			items[item] = keep_string(reading, -1, name, line);
		else if (type == LUA_TNUMBER)
			items[item] = number_text(reading, -1);
		else
			pn_config_raise(reading, line, "the list \"%s\" has a %s in it", name,
			                lua_typename(lua, type));
		lua_pop(lua, 1);
	}
	*count_out = count;
	return items;
}

struct pn_setting pn_config_setting(struct pn_config_reading *reading, int index, const char *name,
                                    int line)
{
	lua_State *lua = reading->lua;
	struct pn_setting setting = {.name = name, .line = line};

	index = lua_absindex(lua, index);
	switch (lua_type(lua, index)) {
	case LUA_TBOOLEAN:
		setting.kind = PN_SETTING_BOOL;
		setting.text = lua_toboolean(lua, index) ? "yes" : "no";
		break;
	case LUA_TNUMBER:
		setting.kind = PN_SETTING_NUMBER;
		setting.text = number_text(reading, index);
		break;
	case LUA_TSTRING:
		setting.kind = PN_SETTING_TEXT;
		setting.text = keep_string(reading, index, name, line);
		break;
	case LUA_TTABLE:
		setting.kind = PN_SETTING_LIST;
		setting.items = list_items(reading, index, name, line, &setting.item_count);
		break;
	default:
		pn_config_raise(reading, line, "\"%s\" has no value: a %s stands there", name,
		                lua_typename(lua, lua_type(lua, index)));
	}
	return setting;
}

static int compare_rows(const void *left, const void *right)
{
	const struct pn_setting *first = left, *second = right;

	if (first->line != second->line)
		return first->line < second->line ? -1 : 1;
	return strcmp(first->name, second->name);
}

/* The key below the value at the top of the stack, as a name; NULL for a value without one. */
static const char *row_name(struct pn_config_reading *reading, const char *what, int line,
                            bool may_have_values)
{
	lua_State *lua = reading->lua;

	if (lua_type(lua, -2) == LUA_TSTRING)
		return keep_string(reading, -2, what, line);
	if (!may_have_values || lua_type(lua, -2) != LUA_TNUMBER)
		pn_config_raise(reading, line, "%s has a value without a name", what);
	return NULL;
}

struct pn_setting *pn_config_rows(struct pn_config_reading *reading, int index, const char *what,
                                  const struct pn_config_call_lines *lines, size_t *count_out,
                                  size_t *value_count_out)
{
	lua_State *lua = reading->lua;
	struct pn_setting *rows = NULL;
	size_t count = 0, values = 0;

	index = lua_absindex(lua, index);
	for (lua_pushnil(lua); lua_next(lua, index) != 0; lua_pop(lua, 1)) {
		const char *name = row_name(reading, what, lines->call, value_count_out != NULL);

		if (name == NULL) {
			values++;
			continue;
		}
		if (count == PN_CONFIG_ROWS_MAX)
			pn_config_raise(reading, lines->call, "%s has more than %d keys", what,
			                PN_CONFIG_ROWS_MAX);
		rows = pn_config_grow(reading->arena, rows, count, sizeof(*rows));
		rows[count++] =
			pn_config_setting(reading, -1, name, pn_config_lines_key(lines, name));
	}
	if (value_count_out != NULL && values != lua_rawlen(lua, index))
		pn_config_raise(reading, lines->call, "%s has a gap in its list", what);
	if (count > 1)
		qsort(rows, count, sizeof(*rows), compare_rows);
	*count_out = count;
	if (value_count_out != NULL)
		*value_count_out = values;
	return rows;
}
