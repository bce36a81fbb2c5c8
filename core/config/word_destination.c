/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The word destination { "example.net", connections = 2, … }: limits of places that mail
 * is sent to. Its rows are an option table like those of the modules.
 */
#include "config/reading.h"

static const char *lower(struct pn_config_reading *reading, const char *text)
{
	char *name = pn_arena_keep_text(reading->arena, pn_slice_of(text));

	for (char *letter = name; *letter != '\0'; letter++) {
		if (*letter >= 'A' && *letter <= 'Z')
			*letter += 'a' - 'A';
	}
	return name;
}

static void add_destination(struct pn_config_reading *reading, const char *name,
                            const struct pn_settings *settings)
{
	struct pn_config *config = reading->config;
	size_t index = config->destination_count;

	if (name[0] == '\0')
		pn_config_raise(reading, settings->line, "destination names no place");
	for (size_t other = 0; other < index; other++) {
		if (strcmp(reading->destinations[other].name, name) == 0)
			pn_config_raise(reading, settings->line,
			                "destination \"%s\" is mentioned already, at line %d", name,
			                reading->destinations[other].settings.line);
	}
	if (index == PN_CONFIG_DESTINATIONS_MAX)
		pn_config_raise(reading, settings->line, "there are more than %d destinations",
		                PN_CONFIG_DESTINATIONS_MAX);
	reading->destinations = pn_config_grow(reading->arena, reading->destinations, index,
	                                       sizeof(*reading->destinations));
	reading->destinations[index] =
		(struct pn_config_destination){.name = name, .settings = *settings};
	config->destination_count++;
}

int pn_config_word_destination(lua_State *lua)
{
	struct pn_config_reading *reading = pn_config_reading_of(lua);
	int line = pn_config_line(lua);
	struct pn_config_call_lines lines =
		pn_config_lines_find(reading, "destination", NULL, line);
	struct pn_settings settings = {
		.file = reading->config->file,
		.line = line,
		.what = "destination",
		.directory = reading->directory,
	};
	size_t names;

	pn_config_need_table(reading, line, "destination { \"example.net\", connections = 2 }");
	settings.rows = pn_config_rows(reading, 1, "destination", &lines, &settings.count, &names);
	if (names == 0)
		pn_config_raise(reading, line, "destination names no place");
	for (size_t position = 0; position < names; position++)
		add_destination(reading,
		                lower(reading, pn_config_list_text(reading, position + 1,
		                                                   "a destination", line)),
		                &settings);
	return 0;
}
