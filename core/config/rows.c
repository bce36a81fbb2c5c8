/* SPDX-License-Identifier: Apache-2.0 */
/* What the words ask of the tables they are given. */
#include "config/reading.h"

struct pn_config_reading *pn_config_reading_of(lua_State *lua)
{
	return lua_touserdata(lua, lua_upvalueindex(1));
}

const struct pn_setting *pn_config_row(const struct pn_setting *rows, size_t count,
                                       const char *name)
{
	for (size_t index = 0; index < count; index++) {
		if (strcmp(rows[index].name, name) == 0)
			return &rows[index];
	}
	return NULL;
}

/* The text of a row, which must be one; NULL where the row is absent. */
const char *pn_config_row_text(struct pn_config_reading *reading, const struct pn_setting *rows,
                               size_t count, const char *name)
{
	const struct pn_setting *row = pn_config_row(rows, count, name);

	if (row == NULL)
		return NULL;
	if (row->kind != PN_SETTING_TEXT || row->text[0] == '\0')
		pn_config_raise(reading, row->line, "\"%s\" must be a text", name);
	return row->text;
}

/* Refuses rows whose name is not among `known` (NULL-terminated). */
void pn_config_refuse_unknown(struct pn_config_reading *reading, const struct pn_setting *rows,
                              size_t count, const char *what, const char *const *known)
{
	for (size_t row = 0; row < count; row++) {
		size_t index = 0;

		while (known[index] != NULL && strcmp(known[index], rows[row].name) != 0)
			index++;
		if (known[index] == NULL)
			pn_config_raise(reading, rows[row].line, "%s has no \"%s\"%s", what,
			                rows[row].name,
			                pn_config_hint(reading, rows[row].name, known));
	}
}

void pn_config_need_table(struct pn_config_reading *reading, int line, const char *example)
{
	if (lua_gettop(reading->lua) != 1 || lua_type(reading->lua, 1) != LUA_TTABLE)
		pn_config_raise(reading, line, "write %s", example);
}

/* The text at position `position` of the list in the table at 1. */
const char *pn_config_list_text(struct pn_config_reading *reading, size_t position,
                                const char *what, int line)
{
	int type = lua_rawgeti(reading->lua, 1, (lua_Integer)position);

	if (type != LUA_TSTRING)
		pn_config_raise(reading, line, "%s must be a text, not a %s", what,
		                lua_typename(reading->lua, type));

	struct pn_setting setting = pn_config_setting(reading, -1, what, line);

	lua_pop(reading->lua, 1);
	return setting.text;
}
