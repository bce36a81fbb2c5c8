/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a Lua text. See lexer.h. */
#include "policy/lexer.h"

static bool is_letter(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
}

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static bool at_is(const struct pn_lua_lexer *lexer, size_t ahead, char byte)
{
	return (size_t)(lexer->end - lexer->at) > ahead && lexer->at[ahead] == byte;
}

/* Moves on by one byte and counts lines: LF, CR, and either pair of both are one line end. */
static void step(struct pn_lua_lexer *lexer)
{
	char byte = *lexer->at++;

	if (byte != '\n' && byte != '\r')
		return;
	lexer->line++;
	if (lexer->at < lexer->end && (*lexer->at == '\n' || *lexer->at == '\r') &&
	    *lexer->at != byte)
		lexer->at++;
}

/* The number of '=' of a long bracket that opens here, or -1 where none does. */
static int long_bracket_level(const struct pn_lua_lexer *lexer)
{
	size_t level = 0;

	if (!at_is(lexer, 0, '['))
		return -1;
	while (at_is(lexer, 1 + level, '='))
		level++;
	return at_is(lexer, 1 + level, '[') && level < 1000000 ? (int)level : -1;
}

static bool closes_bracket(const struct pn_lua_lexer *lexer, int level)
{
	if (!at_is(lexer, 0, ']'))
		return false;
	for (int index = 0; index < level; index++) {
		if (!at_is(lexer, 1 + (size_t)index, '='))
			return false;
	}
	return at_is(lexer, 1 + (size_t)level, ']');
}

static struct pn_slice take_long_bracket(struct pn_lua_lexer *lexer, int level)
{
	const char *begin = lexer->at += level + 2;

	while (lexer->at < lexer->end && !closes_bracket(lexer, level))
		step(lexer);

	struct pn_slice text = pn_slice_make(begin, (size_t)(lexer->at - begin));

	if (lexer->at < lexer->end)
		lexer->at += level + 2;
	return text;
}

static struct pn_slice take_string(struct pn_lua_lexer *lexer)
{
	char quote = *lexer->at++;
	const char *begin = lexer->at;

	while (lexer->at < lexer->end && *lexer->at != quote) {
		if (*lexer->at == '\n' || *lexer->at == '\r')
			return pn_slice_make(begin, (size_t)(lexer->at - begin));
		if (*lexer->at == '\\' && lexer->end - lexer->at > 1)
			lexer->at++;
		step(lexer);
	}

	struct pn_slice text = pn_slice_make(begin, (size_t)(lexer->at - begin));

	if (lexer->at < lexer->end)
		lexer->at++;
	return text;
}

static void skip_comment(struct pn_lua_lexer *lexer)
{
	lexer->at += 2;

	int level = long_bracket_level(lexer);

	if (level >= 0) {
		take_long_bracket(lexer, level);
		return;
	}
	while (lexer->at < lexer->end && *lexer->at != '\n' && *lexer->at != '\r')
		lexer->at++;
}

static void skip_space(struct pn_lua_lexer *lexer)
{
	while (lexer->at < lexer->end) {
		char byte = *lexer->at;

		if (byte == ' ' || (byte >= '\t' && byte <= '\r'))
			step(lexer);
		else if (byte == '-' && at_is(lexer, 1, '-'))
			skip_comment(lexer);
		else
			return;
	}
}

static struct pn_slice take_word(struct pn_lua_lexer *lexer, bool is_number)
{
	const char *begin = lexer->at;

	while (lexer->at < lexer->end &&
	       (is_letter(*lexer->at) || is_digit(*lexer->at) || (is_number && *lexer->at == '.')))
		lexer->at++;
	return pn_slice_make(begin, (size_t)(lexer->at - begin));
}

static struct pn_slice take_symbol(struct pn_lua_lexer *lexer)
{
	static const char *const pairs[] = {"==", "~=", "<=", ">=", "//",
	                                    "::", "<<", ">>", "..", NULL};
	const char *begin = lexer->at;
	size_t size = 1;

	for (size_t index = 0; pairs[index] != NULL; index++) {
		if (at_is(lexer, 0, pairs[index][0]) && at_is(lexer, 1, pairs[index][1]))
			size = 2;
	}
	lexer->at += size;
	return pn_slice_make(begin, size);
}

void pn_lua_lexer_init(struct pn_lua_lexer *lexer, struct pn_slice text)
{
	lexer->at = text.size > 0 ? text.data : "";
	lexer->end = lexer->at + text.size;
	lexer->line = 1;
}

struct pn_lua_token pn_lua_lexer_next(struct pn_lua_lexer *lexer)
{
	struct pn_lua_token token = {.kind = PN_LUA_TOKEN_END};

	skip_space(lexer);
	token.line = lexer->line;
	if (lexer->at >= lexer->end)
		return token;

	char byte = *lexer->at;
	int level = long_bracket_level(lexer);

	if (is_letter(byte)) {
		token.kind = PN_LUA_TOKEN_NAME;
		token.text = take_word(lexer, false);
	} else if (is_digit(byte)) {
		token.kind = PN_LUA_TOKEN_NUMBER;
		token.text = take_word(lexer, true);
	} else if (byte == '"' || byte == '\'') {
		token.kind = PN_LUA_TOKEN_STRING;
		token.text = take_string(lexer);
	} else if (level >= 0) {
		token.kind = PN_LUA_TOKEN_STRING;
		token.text = take_long_bracket(lexer, level);
	} else {
		token.kind = PN_LUA_TOKEN_SYMBOL;
		token.text = take_symbol(lexer);
	}
	return token;
}
