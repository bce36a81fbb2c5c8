/* SPDX-License-Identifier: Apache-2.0 */
/* The word policy "file.lua" or policy { "file.lua", … }. */
#include "config/reading.h"

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

/* The most that any hook of the file may do. */
static enum pn_hook_mode mode_of(struct pn_config_reading *reading, const struct pn_setting *row)
{
	static const char *const words[] = {"decide", "observe", "shadow"};

	for (size_t index = 0; row != NULL && index < sizeof(words) / sizeof(words[0]); index++) {
		if (row->kind == PN_SETTING_TEXT && strcmp(row->text, words[index]) == 0)
			return (enum pn_hook_mode)index;
	}
	if (row != NULL)
		pn_config_raise(reading, row->line,
		                "mode must be \"decide\", \"observe\" or \"shadow\"");
	return PN_HOOK_DECIDE;
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

int pn_config_word_policy(lua_State *lua)
{
	static const char *const known[] = {"allow", "cpu", "memory", "mode", NULL};
	struct pn_config_reading *reading = pn_config_reading_of(lua);
	int line = pn_config_line(lua);
	struct pn_config_call_lines lines = pn_config_lines_find(reading, "policy", NULL, line);
	struct pn_setting *rows = NULL;
	size_t count = 0, values;

	if (lua_gettop(lua) == 1 && lua_type(lua, 1) == LUA_TSTRING) {
		lua_createtable(lua, 1, 0);
		lua_rotate(lua, 1, 1);
		lua_rawseti(lua, 1, 1);
	}
	pn_config_need_table(reading, line,
	                     "policy \"file.lua\" or policy { \"file.lua\", allow = { … } }");
	rows = pn_config_rows(reading, 1, "policy", &lines, &count, &values);
	pn_config_refuse_unknown(reading, rows, count, "policy", known);
	if (values != 1)
		pn_config_raise(reading, line, "policy names one file");

	struct pn_policy_file policy = {
		.label = pn_config_list_text(reading, 1, "the policy", line),
		.allow = allow_of(reading, pn_config_row(rows, count, "allow")),
		.mode = mode_of(reading, pn_config_row(rows, count, "mode")),
		.file = reading->config->file,
		.line = line,
	};
	struct pn_config_policy_texts texts = {
		.cpu = pn_config_row(rows, count, "cpu"),
		.memory = pn_config_row(rows, count, "memory"),
	};

	if (policy.label[0] == '\0')
		pn_config_raise(reading, line, "policy names no file");
	policy.path = pn_config_path(reading, policy.label);
	add_policy(reading, &policy, &texts);
	return 0;
}
