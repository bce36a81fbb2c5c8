/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of the keys in a call's table, found by scanning the text of the call:
 *
 *	module "smtp" {           <- the call's line, which Lua knows
 *		as = "mx",
 *		max_message_sise = 1, <- this one it does not
 *	}
 */
#include "config/reading.h"

/* Whether the call at `lexer` (just behind its word) has `name` as its first argument; stops
 * behind the opening brace. */
static bool find_table(struct pn_lua_lexer *lexer, const char *name)
{
	struct pn_lua_token token = pn_lua_lexer_next(lexer);

	while (pn_lua_token_is(&token, "("))
		token = pn_lua_lexer_next(lexer);
	if (name != NULL) {
		if (token.kind != PN_LUA_TOKEN_STRING || token.text.size != strlen(name) ||
		    memcmp(token.text.data, name, token.text.size) != 0)
			return false;
		token = pn_lua_lexer_next(lexer);
		while (pn_lua_token_is(&token, ")") || pn_lua_token_is(&token, "("))
			token = pn_lua_lexer_next(lexer);
	}
	return pn_lua_token_is(&token, "{");
}

static void add_key(struct pn_config_call_lines *lines, struct pn_arena *arena,
                    const struct pn_lua_token *token)
{
	lines->keys = pn_config_grow(arena, lines->keys, lines->key_count, sizeof(*lines->keys));
	lines->key_lines = pn_config_grow(arena, lines->key_lines, lines->key_count, sizeof(int));
	lines->keys[lines->key_count] = pn_arena_keep_text(arena, token->text);
	lines->key_lines[lines->key_count++] = token->line;
}

static void add_value(struct pn_config_call_lines *lines, struct pn_arena *arena, int line)
{
	lines->value_lines =
		pn_config_grow(arena, lines->value_lines, lines->value_count, sizeof(int));
	lines->value_lines[lines->value_count++] = line;
}

/* One entry of the table begins with `token`; a key where '=' follows. */
static struct pn_lua_token begin_entry(struct pn_config_call_lines *lines, struct pn_arena *arena,
                                       struct pn_lua_lexer *lexer, struct pn_lua_token token)
{
	struct pn_lua_token key = token;
	struct pn_lua_token next = pn_lua_lexer_next(lexer);

	if (pn_lua_token_is(&key, "[")) {
		key = next;
		next = pn_lua_lexer_next(lexer);
		if (key.kind == PN_LUA_TOKEN_STRING && pn_lua_token_is(&next, "]")) {
			add_key(lines, arena, &key);
			return pn_lua_lexer_next(lexer);
		}
		return next;
	}
	if (key.kind == PN_LUA_TOKEN_NAME && pn_lua_token_is(&next, "="))
		add_key(lines, arena, &key);
	else
		add_value(lines, arena, key.line);
	return next;
}

static bool opens(const struct pn_lua_token *token)
{
	return pn_lua_token_is(token, "{") || pn_lua_token_is(token, "(") ||
	       pn_lua_token_is(token, "[");
}

static bool closes(const struct pn_lua_token *token)
{
	return pn_lua_token_is(token, "}") || pn_lua_token_is(token, ")") ||
	       pn_lua_token_is(token, "]");
}

/* Walks the entries of the table that was opened, up to its closing brace. */
static void read_table(struct pn_config_call_lines *lines, struct pn_arena *arena,
                       struct pn_lua_lexer *lexer)
{
	struct pn_lua_token token = pn_lua_lexer_next(lexer);
	int depth = 1;
	bool at_entry = true;

	while (token.kind != PN_LUA_TOKEN_END) {
		bool is_separator = depth == 1 &&
		                    (pn_lua_token_is(&token, ",") || pn_lua_token_is(&token, ";"));

		if (at_entry && depth == 1 && !closes(&token) && !is_separator) {
			at_entry = false;
			if (!opens(&token) || pn_lua_token_is(&token, "[")) {
				token = begin_entry(lines, arena, lexer, token);
				continue;
			}
			add_value(lines, arena, token.line);
		}
		if (opens(&token))
			depth++;
		else if (closes(&token) && --depth == 0)
			return;
		at_entry = at_entry || is_separator;
		token = pn_lua_lexer_next(lexer);
	}
}

void pn_config_lines_index(struct pn_config_reading *reading, const char *const *words)
{
	struct pn_lua_lexer lexer;
	struct pn_lua_token token;

	pn_lua_lexer_init(&lexer, reading->text);
	while ((token = pn_lua_lexer_next(&lexer)).kind != PN_LUA_TOKEN_END) {
		size_t word = 0;

		while (words[word] != NULL && !pn_lua_token_is(&token, words[word]))
			word++;
		if (words[word] == NULL)
			continue;
		reading->occurrences =
			pn_config_grow(reading->arena, reading->occurrences,
		                       reading->occurrence_count, sizeof(*reading->occurrences));
		reading->occurrences[reading->occurrence_count++] = (struct pn_config_occurrence){
			.word = token.text, .line = token.line, .behind = lexer};
	}
}

/* Index of the first occurrence that does not stand before the line. */
static size_t first_on_line(const struct pn_config_reading *reading, int line)
{
	size_t low = 0, high = reading->occurrence_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (reading->occurrences[middle].line < line)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct pn_config_call_lines pn_config_lines_find(struct pn_config_reading *reading,
                                                 const char *word, const char *name, int line)
{
	struct pn_config_call_lines lines = {.call = line};

	for (size_t index = first_on_line(reading, line); index < reading->occurrence_count;
	     index++) {
		const struct pn_config_occurrence *occurrence = &reading->occurrences[index];
		struct pn_lua_lexer lexer = occurrence->behind;

		if (occurrence->line != line)
			break;
		if (occurrence->word.size == strlen(word) &&
		    memcmp(occurrence->word.data, word, strlen(word)) == 0 &&
		    find_table(&lexer, name)) {
			read_table(&lines, reading->arena, &lexer);
			break;
		}
	}
	return lines;
}

int pn_config_lines_key(const struct pn_config_call_lines *lines, const char *key)
{
	for (size_t index = lines->key_count; index > 0; index--) {
		if (strcmp(lines->keys[index - 1], key) == 0)
			return lines->key_lines[index - 1];
	}
	return lines->call;
}

int pn_config_lines_value(const struct pn_config_call_lines *lines, size_t index)
{
	return index < lines->value_count ? lines->value_lines[index] : lines->call;
}
