/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of the configuration file, as functions of its Lua environment: they
 * check their own shape at once, with the line at hand, and put rows into the
 * reading. What needs the whole file is judged in checks.c.
 */
#include "config/reading.h"

#include <postern/address.h>
#include <postern/text.h>

#include <stdlib.h>

static const char *const tls_words[] = {"starttls", "implicit", "never", NULL};

static struct pn_config_reading *reading_of(lua_State *lua)
{
	return lua_touserdata(lua, lua_upvalueindex(1));
}

static const struct pn_setting *find_row(const struct pn_setting *rows, size_t count,
                                         const char *name)
{
	for (size_t index = 0; index < count; index++) {
		if (strcmp(rows[index].name, name) == 0)
			return &rows[index];
	}
	return NULL;
}

/* The text of a row, which must be one; NULL where the row is absent. */
static const char *row_text(struct pn_config_reading *reading, const struct pn_setting *rows,
                            size_t count, const char *name)
{
	const struct pn_setting *row = find_row(rows, count, name);

	if (row == NULL)
		return NULL;
	if (row->kind != PN_SETTING_TEXT || row->text[0] == '\0')
		pn_config_raise(reading, row->line, "\"%s\" must be a text", name);
	return row->text;
}

/* Refuses rows whose name is not among `known` (NULL-terminated). */
static void refuse_unknown_rows(struct pn_config_reading *reading, const struct pn_setting *rows,
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

static void need_table(struct pn_config_reading *reading, int line, const char *example)
{
	if (lua_gettop(reading->lua) != 1 || lua_type(reading->lua, 1) != LUA_TTABLE)
		pn_config_raise(reading, line, "write %s", example);
}

/* The text at position `position` of the list in the table at 1. */
static const char *list_text(struct pn_config_reading *reading, size_t position, const char *what,
                             int line)
{
	int type = lua_rawgeti(reading->lua, 1, (lua_Integer)position);

	if (type != LUA_TSTRING)
		pn_config_raise(reading, line, "%s must be a text, not a %s", what,
		                lua_typename(reading->lua, type));

	struct pn_setting setting = pn_config_setting(reading, -1, what, line);

	lua_pop(reading->lua, 1);
	return setting.text;
}

/* ---- listen ---- */

static void add_listener(struct pn_config_reading *reading,
                         const struct pn_config_listener *listener)
{
	struct pn_config *config = reading->config;
	const char *problem = pn_config_address_problem(listener->address);

	if (problem != NULL)
		pn_config_raise(reading, listener->line, "\"%s\" is no address to listen on: %s",
		                listener->address, problem);
	for (size_t index = 0; index < config->listener_count; index++) {
		if (strcmp(reading->listeners[index].address, listener->address) == 0)
			pn_config_raise(reading, listener->line,
			                "\"%s\" is listened on already, at line %d",
			                listener->address, reading->listeners[index].line);
	}
	if (config->listener_count == PN_CONFIG_LISTENERS_MAX)
		pn_config_raise(reading, listener->line, "there are more than %d listeners",
		                PN_CONFIG_LISTENERS_MAX);
	reading->listeners = pn_config_grow(reading->arena, reading->listeners,
	                                    config->listener_count, sizeof(*listener));
	reading->listeners[config->listener_count++] = *listener;
}

static enum pn_listen_tls tls_of(struct pn_config_reading *reading, const struct pn_setting *rows,
                                 size_t count)
{
	const char *word = row_text(reading, rows, count, "tls");

	if (word == NULL)
		return PN_LISTEN_STARTTLS;
	for (size_t index = 0; tls_words[index] != NULL; index++) {
		if (strcmp(tls_words[index], word) == 0)
			return (enum pn_listen_tls)index;
	}
	pn_config_raise(reading, find_row(rows, count, "tls")->line,
	                "tls must be \"starttls\", \"implicit\" or \"never\", not \"%s\"%s", word,
	                pn_config_hint(reading, word, tls_words));
}

static int word_listen(lua_State *lua)
{
	static const char *const known[] = {"to", "tls", NULL};
	struct pn_config_reading *reading = reading_of(lua);
	int line = pn_config_line(lua);
	struct pn_config_call_lines lines = pn_config_lines_find(reading, "listen", NULL, line);
	struct pn_config_listener listener = {.line = line};
	size_t count, addresses;

	need_table(reading, line, "listen { \"0.0.0.0:25\", to = \"instance\" }");

	struct pn_setting *rows = pn_config_rows(reading, 1, "listen", &lines, &count, &addresses);

	refuse_unknown_rows(reading, rows, count, "listen", known);
	listener.to = row_text(reading, rows, count, "to");
	listener.tls = tls_of(reading, rows, count);
	if (addresses == 0)
		pn_config_raise(reading, line, "listen names no address");
	if (listener.to == NULL)
		pn_config_raise(reading, line, "listen does not say where to: to = \"instance\"");
	for (size_t position = 0; position < addresses; position++) {
		listener.line = pn_config_lines_value(&lines, position);
		listener.address = list_text(reading, position + 1, "an address", listener.line);
		add_listener(reading, &listener);
	}
	return 0;
}

/* ---- certificate ---- */

static int word_certificate(lua_State *lua)
{
	static const char *const known[] = {"key", NULL};
	struct pn_config_reading *reading = reading_of(lua);
	struct pn_config *config = reading->config;
	int line = pn_config_line(lua);
	struct pn_config_call_lines lines =
		pn_config_lines_find(reading, "certificate", NULL, line);
	struct pn_config_certificate certificate = {.line = line};
	size_t count, values;

	need_table(reading, line, "certificate { \"chain.pem\", key = \"key.pem\" }");

	struct pn_setting *rows =
		pn_config_rows(reading, 1, "certificate", &lines, &count, &values);

	refuse_unknown_rows(reading, rows, count, "certificate", known);
	if (values != 1)
		pn_config_raise(reading, line, "certificate names one file, and key = another");
	certificate.chain_path =
		pn_config_path(reading, list_text(reading, 1, "the certificate", line));
	certificate.key_path = row_text(reading, rows, count, "key");
	if (certificate.key_path == NULL)
		pn_config_raise(reading, line, "certificate does not name its key: key = \"file\"");
	certificate.key_path = pn_config_path(reading, certificate.key_path);
	for (size_t index = 0; index < config->certificate_count; index++) {
		if (strcmp(reading->certificates[index].chain_path, certificate.chain_path) == 0)
			pn_config_raise(reading, line, "\"%s\" is named already, at line %d",
			                certificate.chain_path, reading->certificates[index].line);
	}
	if (config->certificate_count == PN_CONFIG_CERTIFICATES_MAX)
		pn_config_raise(reading, line, "there are more than %d certificates",
		                PN_CONFIG_CERTIFICATES_MAX);
	reading->certificates = pn_config_grow(reading->arena, reading->certificates,
	                                       config->certificate_count, sizeof(certificate));
	reading->certificates[config->certificate_count++] = certificate;
	return 0;
}

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
	struct pn_config_reading *reading = reading_of(lua);
	size_t index = (size_t)lua_tointeger(lua, lua_upvalueindex(2));
	struct pn_config_domain *domain = &reading->domains[index];
	const char *written = lua_tostring(lua, lua_upvalueindex(3));
	struct pn_config_call_lines lines =
		pn_config_lines_find(reading, "domain", written, domain->line);
	const char *what = pn_arena_print(reading->arena, "domain \"%s\"", domain->name);
	size_t count;

	need_table(reading, domain->line, "domain \"name\" { store = \"instance\" }");
	if (reading->domain_is_filled[index])
		pn_config_raise(reading, pn_config_line(lua), "%s has two tables", what);
	reading->domain_is_filled[index] = true;

	struct pn_setting *rows = pn_config_rows(reading, 1, what, &lines, &count, NULL);

	refuse_unknown_rows(reading, rows, count, what, known);
	domain->store = row_text(reading, rows, count, "store");
	domain->directory = row_text(reading, rows, count, "directory");
	return 0;
}

static int word_domain(lua_State *lua)
{
	struct pn_config_reading *reading = reading_of(lua);
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
	const char *as = row_text(reading, rows, *count, "as");
	size_t kept = 0;

	if (as == NULL)
		return;
	if (!is_plain_name(as))
		pn_config_raise(reading, find_row(rows, *count, "as")->line,
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
	struct pn_config_reading *reading = reading_of(lua);
	size_t index = (size_t)lua_tointeger(lua, lua_upvalueindex(2));
	struct pn_config_module *module = &reading->modules[index];
	struct pn_config_call_lines lines =
		pn_config_lines_find(reading, "module", module->name, module->settings.line);
	size_t count;

	need_table(reading, module->settings.line, "module \"name\" { option = value }");
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

static int word_module(lua_State *lua)
{
	struct pn_config_reading *reading = reading_of(lua);
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

/* ---- policy ---- */

static const char *const *allow_of(struct pn_config_reading *reading, const struct pn_setting *row)
{
	static const char *const none[] = {NULL};

	if (row == NULL)
		return none;
	if (row->kind != PN_SETTING_LIST)
		pn_config_raise(reading, row->line, "allow must be a list: allow = { \"dns\" }");
	return row->items;
}

static void add_policy(struct pn_config_reading *reading, const struct pn_policy_file *policy,
                       const struct pn_config_policy_texts *texts)
{
	struct pn_config *config = reading->config;
	size_t index = config->policy_count;

	for (size_t other = 0; other < index; other++) {
		if (strcmp(reading->policies[other].path, policy->path) == 0)
			pn_config_raise(reading, policy->line,
			                "policy \"%s\" is mentioned already, at line %d",
			                policy->label, reading->policies[other].line);
	}
	if (index == PN_CONFIG_POLICIES_MAX)
		pn_config_raise(reading, policy->line, "there are more than %d policies",
		                PN_CONFIG_POLICIES_MAX);
	reading->policies =
		pn_config_grow(reading->arena, reading->policies, index, sizeof(*policy));
	reading->policy_texts =
		pn_config_grow(reading->arena, reading->policy_texts, index, sizeof(*texts));
	reading->policies[index] = *policy;
	reading->policy_texts[index] = *texts;
	config->policy_count++;
}

static int word_policy(lua_State *lua)
{
	static const char *const known[] = {"allow", "cpu", "memory", NULL};
	struct pn_config_reading *reading = reading_of(lua);
	int line = pn_config_line(lua);
	struct pn_config_call_lines lines = pn_config_lines_find(reading, "policy", NULL, line);
	struct pn_setting *rows = NULL;
	size_t count = 0, values;

	if (lua_gettop(lua) == 1 && lua_type(lua, 1) == LUA_TSTRING) {
		lua_createtable(lua, 1, 0);
		lua_rotate(lua, 1, 1);
		lua_rawseti(lua, 1, 1);
	}
	need_table(reading, line, "policy \"file.lua\" or policy { \"file.lua\", allow = { … } }");
	rows = pn_config_rows(reading, 1, "policy", &lines, &count, &values);
	refuse_unknown_rows(reading, rows, count, "policy", known);
	if (values != 1)
		pn_config_raise(reading, line, "policy names one file");

	struct pn_policy_file policy = {
		.label = list_text(reading, 1, "the policy", line),
		.allow = allow_of(reading, find_row(rows, count, "allow")),
		.file = reading->config->file,
		.line = line,
	};
	struct pn_config_policy_texts texts = {
		.cpu = find_row(rows, count, "cpu"),
		.memory = find_row(rows, count, "memory"),
	};

	if (policy.label[0] == '\0')
		pn_config_raise(reading, line, "policy names no file");
	policy.path = pn_config_path(reading, policy.label);
	add_policy(reading, &policy, &texts);
	return 0;
}

/* ---- environment ---- */

static int word_environment(lua_State *lua)
{
	struct pn_config_reading *reading = reading_of(lua);
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
	{"listen", word_listen}, {"certificate", word_certificate},
	{"domain", word_domain}, {"module", word_module},
	{"policy", word_policy}, {"environment", word_environment},
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
	struct pn_config_reading *reading = reading_of(lua);
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
	struct pn_config_reading *reading = reading_of(lua);
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

	const struct pn_setting *before = find_row(reading->settings, reading->setting_count, name);

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
