/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of a Lua text, with the line each stands on. Lua itself keeps no lines
 * for the keys of a table, and has no switch that forbids an attribute: the
 * configuration file and the policy loader look at the text for that. Pure.
 *
 * It follows the manual (section 3.1). What is no Lua at all comes as symbols of
 * one byte: the real compiler words the error.
 */
#ifndef CORE_POLICY_LEXER_H
#define CORE_POLICY_LEXER_H

#include <postern/types.h>

enum pn_lua_token_kind {
	PN_LUA_TOKEN_END = 0,
	PN_LUA_TOKEN_NAME,   /* names and reserved words */
	PN_LUA_TOKEN_STRING, /* text: what is between the quotes or brackets, escapes as written */
	PN_LUA_TOKEN_NUMBER,
	PN_LUA_TOKEN_SYMBOL, /* "{", "==", … */
};

struct pn_lua_token {
	enum pn_lua_token_kind kind;
	struct pn_slice text;
	int line; /* where it begins, from 1 */
};

struct pn_lua_lexer {
	const char *at;
	const char *end;
	int line;
};

void pn_lua_lexer_init(struct pn_lua_lexer *lexer, struct pn_slice text);

/* The next token; at the end its kind is PN_LUA_TOKEN_END, again and again. */
struct pn_lua_token pn_lua_lexer_next(struct pn_lua_lexer *lexer);

static inline bool pn_lua_token_is(const struct pn_lua_token *token, const char *text)
{
	return token->kind != PN_LUA_TOKEN_STRING && token->text.size == strlen(text) &&
	       memcmp(token->text.data, text, token->text.size) == 0;
}

#endif
