/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: whatever stands in it is read, or refused with file and line. */
#include "fuzz.h"

#include <postern/error.h>

#include "config/config.h"
#include "policy/lexer.h"

static const char path[] = "/etc/postern/postern.lua";

/* Every token lies in the text, and lines never go back. */
static void check_tokens(struct pn_slice text)
{
	struct pn_lua_lexer lexer;
	struct pn_lua_token token;
	const char *behind = text.data;
	int line = 1;

	pn_lua_lexer_init(&lexer, text);
	while ((token = pn_lua_lexer_next(&lexer)).kind != PN_LUA_TOKEN_END) {
		require(token.text.data >= behind &&
		        token.text.data + token.text.size <= text.data + text.size);
		require(token.line >= line);
		behind = token.text.data + token.text.size;
		line = token.line;
	}
}

static void check_rows(const struct pn_config *config)
{
	for (size_t index = 0; index < config->module_count; index++) {
		const struct pn_config_module *module = &config->modules[index];

		require(module->as != NULL && module->settings.line >= 1);
		for (size_t row = 0; row < module->settings.count; row++)
			require(module->settings.rows[row].line >= module->settings.line);
	}
	for (size_t index = 0; index < config->policy_count; index++)
		require(config->policies[index].cpu_ms > 0 &&
		        config->policies[index].memory_bytes > 0 &&
		        config->policies[index].path[0] == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice text = rest_of(data, size);
	struct pn_config *config = NULL;
	struct pn_error error = {0};

	if (size > 0)
		check_tokens(text);
	if (pn_config_parse(path, text, &config, &error) == PN_OK) {
		check_rows(config);
		pn_config_free(&config);
	} else {
		require(config == NULL);
		require(strncmp(error.text, path, sizeof(path) - 1) == 0);
	}
	return 0;
}
