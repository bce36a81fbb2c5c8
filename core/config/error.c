/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of the configuration file: "FILE:LINE: what", and the nearest known word. */
#include "config/reading.h"

#include <postern/text.h>

#include <stdarg.h>
#include <stdio.h>

static void set_error(struct pn_config_reading *reading, int line, const char *format,
                      va_list arguments)
{
	char text[PN_ERROR_TEXT_SIZE];

	vsnprintf(text, sizeof(text), format, arguments);
	pn_fail(reading->error, "%s:%d: %s", reading->config->file, line, text);
	reading->has_error = true;
}

int pn_config_raise(struct pn_config_reading *reading, int line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	set_error(reading, line, format, arguments);
	va_end(arguments);
	lua_settop(reading->lua, 0);
	lua_pushboolean(reading->lua, 0);
	lua_error(reading->lua);
	__builtin_unreachable();
}

enum pn_status pn_config_fail(struct pn_config_reading *reading, int line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	set_error(reading, line, format, arguments);
	va_end(arguments);
	return PN_FAILED;
}

const char *pn_config_hint(struct pn_config_reading *reading, const char *text,
                           const char *const *words)
{
	const char *nearest = pn_nearest_word(text, words);

	if (nearest == NULL)
		return "";
	return pn_arena_print(reading->arena, "; did you mean \"%s\"?", nearest);
}

int pn_config_line(lua_State *lua)
{
	lua_Debug place;

	for (int level = 0; lua_getstack(lua, level, &place); level++) {
		lua_getinfo(lua, "l", &place);
		if (place.currentline > 0)
			return place.currentline;
	}
	return 1;
}
