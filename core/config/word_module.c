/* SPDX-License-Identifier: Apache-2.0 */
/* The words domain "name" { … } and module "name" { … }: a name, and then a table. */
#include "config/reading.h"

#include <postern/address.h>

/* ---- domain "name" { … } and module "name" { … } ---- */

/* The one argument of `domain` or `module`; raises where it is no text. */
static const char *name_argument(struct pn_config_reading *reading, const char *word, int line)
{
	if (lua_gettop(reading->lua) != 1 || lua_type(reading->lua, 1) != LUA_TSTRING)
		pn_config_raise(reading, line, "write %s \"name\" { … }", word);
	return pn_config_setting(reading, 1, word, line).text;
}

static bool is_plain_name(const char *name)
{
	size_t size = strlen(name);

	if (size == 0 || size >= PN_NOTE_NAME_SIZE)
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
	       size;
}

static int fill_domain(lua_State *lua)
{
	static const char *const known[] = {"store", "directory", NULL};
	struct pn_config_reading *reading = pn_config_reading_of(lua);
	size_t index = (size_t)lua_tointeger(lua, lua_upvalueindex(2));
	struct pn_config_domain *domain = &reading->domains[index];
	const char *written = lua_tostring(lua, lua_upvalueindex(3));
	struct pn_config_call_lines lines =
		pn_config_lines_find(reading, "domain", written, domain->line);
	const char *what = pn_arena_print(reading->arena, "domain \"%s\"", domain->name);
	size_t count;

	pn_config_need_table(reading, domain->line, "domain \"name\" { store = \"instance\" }");
	if (reading->domain_is_filled[index])
		pn_config_raise(reading, pn_config_line(lua), "%s has two tables", what);
	reading->domain_is_filled[index] = true;

	struct pn_setting *rows = pn_config_rows(reading, 1, what, &lines, &count, NULL);

	pn_config_refuse_unknown(reading, rows, count, what, known);
	domain->store = pn_config_row_text(reading, rows, count, "store");
	domain->directory = pn_config_row_text(reading, rows, count, "directory");
	return 0;
}

int pn_config_word_domain(lua_State *lua)
{
	struct pn_config_reading *reading = pn_config_reading_of(lua);
	struct pn_config *config = reading->config;
	struct pn_config_domain domain = {.line = pn_config_line(lua)};
	const char *written = name_argument(reading, "domain", domain.line);
	char *name = pn_arena_keep_text(reading->arena, pn_slice_of(written));
	size_t index = config->domain_count;

	for (char *letter = name; *letter != '\0'; letter++) {
		if (*letter >= 'A' && *letter <= 'Z')
			*letter += 'a' - 'A';
	}
	domain.name = name;
	if (!pn_domain_is_valid(pn_slice_of(name), true))
		pn_config_raise(reading, domain.line, "\"%s\" is no domain name", name);

	/* The map holds the line, so that nothing is pointed to that moves as the array grows. */
	intptr_t line = (intptr_t)pn_map_get(reading->domain_names, pn_slice_of(name));

	if (line != 0)
		pn_config_raise(reading, domain.line,
		                "domain \"%s\" is mentioned already, at line %d", name, (int)line);
	if (index == PN_CONFIG_DOMAINS_MAX)
		pn_config_raise(reading, domain.line, "there are more than %d domains",
		                PN_CONFIG_DOMAINS_MAX);
	pn_map_set(reading->domain_names, pn_slice_of(name), (void *)(intptr_t)domain.line);
	reading->domains = pn_config_grow(reading->arena, reading->domains, index, sizeof(domain));
	reading->domain_is_filled =
		pn_config_grow(reading->arena, reading->domain_is_filled, index, sizeof(bool));
	reading->domains[index] = domain;
	reading->domain_is_filled[index] = false;
	config->domain_count++;

	lua_pushlightuserdata(lua, reading);
	lua_pushinteger(lua, (lua_Integer)index);
	lua_pushvalue(lua, 1);
	lua_pushcclosure(lua, fill_domain, 3);
	return 1;
}

/* Takes the row "as" out, which is ours and not the module's. */
static void take_as(struct pn_config_reading *reading, struct pn_config_module *module,
                    struct pn_setting *rows, size_t *count)
{
	const char *as = pn_config_row_text(reading, rows, *count, "as");
	size_t kept = 0;

	if (as == NULL)
		return;
	if (!is_plain_name(as))
		pn_config_raise(reading, pn_config_row(rows, *count, "as")->line,
		                "\"%s\" is no name for an instance: letters, digits, '_' and '-', "
		                "at most %d",
		                as, PN_NOTE_NAME_SIZE - 1);
	module->as = as;
	for (size_t index = 0; index < *count; index++) {
		if (strcmp(rows[index].name, "as") != 0)
			rows[kept++] = rows[index];
	}
	*count = kept;
}

static int fill_module(lua_State *lua)
{
	struct pn_config_reading *reading = pn_config_reading_of(lua);
	size_t index = (size_t)lua_tointeger(lua, lua_upvalueindex(2));
	struct pn_config_module *module = &reading->modules[index];
	struct pn_config_call_lines lines =
		pn_config_lines_find(reading, "module", module->name, module->settings.line);
	size_t count;

	pn_config_need_table(reading, module->settings.line, "module \"name\" { option = value }");
	if (reading->module_is_filled[index])
		pn_config_raise(reading, pn_config_line(lua), "module \"%s\" has two tables",
		                module->name);
	reading->module_is_filled[index] = true;

	struct pn_setting *rows =
		pn_config_rows(reading, 1, module->settings.what, &lines, &count, NULL);

	take_as(reading, module, rows, &count);
	module->settings.rows = rows;
	module->settings.count = count;
	module->settings.what =
		pn_arena_print(reading->arena, "module \"%s\" (%s)", module->name, module->as);
	return 0;
}

int pn_config_word_module(lua_State *lua)
{
	struct pn_config_reading *reading = pn_config_reading_of(lua);
	struct pn_config *config = reading->config;
	int line = pn_config_line(lua);
	const char *name = name_argument(reading, "module", line);
	size_t index = config->module_count;

	if (!is_plain_name(name))
		pn_config_raise(reading, line, "\"%s\" is no name of a module", name);
	if (index == PN_CONFIG_MODULES_MAX)
		pn_config_raise(reading, line, "there are more than %d modules",
		                PN_CONFIG_MODULES_MAX);
	reading->modules =
		pn_config_grow(reading->arena, reading->modules, index, sizeof(*reading->modules));
	reading->module_is_filled =
		pn_config_grow(reading->arena, reading->module_is_filled, index, sizeof(bool));
	reading->module_is_filled[index] = false;
	reading->modules[index] = (struct pn_config_module){
		.name = name,
		.as = name,
		.settings = {.file = config->file,
	                     .line = line,
	                     .what = pn_arena_print(reading->arena, "module \"%s\"", name),
	                     .directory = reading->directory},
	};
	config->module_count++;

	lua_pushlightuserdata(lua, reading);
	lua_pushinteger(lua, (lua_Integer)index);
	lua_pushcclosure(lua, fill_module, 2);
	return 1;
}
