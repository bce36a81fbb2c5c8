/* SPDX-License-Identifier: Apache-2.0 */
/* dkim.sign{ domain = "example.org" }: asks that a message be signed. Scripts name keys and see
 * none. */
#include <postern/text.h>
#include <postern/transaction.h>

#include "dkim_sign.h"

#include "../dkim/dkim.h"

#include <lauxlib.h>
#include <lua.h>
#include <string.h>

enum { STEPS = 1000 };

/* A field of the table at 1 as a text that stays on the stack; "" where it is absent. */
static struct pn_slice text_field(lua_State *lua, const char *name)
{
	size_t size = 0;
	const char *text;

	if (lua_getfield(lua, 1, name) == LUA_TNIL)
		return PN_SLICE_NONE;
	text = lua_tolstring(lua, -1, &size);
	if (text == NULL)
		luaL_error(lua, "dkim.sign: %s is a text", name);
	return pn_slice_make(text, size);
}

static void check_fields(lua_State *lua)
{
	static const char *const known[] = {"domain",   "expires",  "headers",
	                                    "identity", "selector", NULL};

	for (lua_pushnil(lua); lua_next(lua, 1) != 0; lua_pop(lua, 1)) {
		const char *name = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : "";
		size_t index = 0;

		while (known[index] != NULL && strcmp(known[index], name) != 0)
			index++;
		if (known[index] == NULL)
			luaL_error(lua,
			           "dkim.sign has no field \"%s\": they are domain, selector, "
			           "identity, "
			           "headers, expires",
			           name);
	}
}

static bool has_key(const struct dkim_sign_keys *keys, const struct dkim_sign_request *request)
{
	const struct dkim_sign_key *key = NULL;

	while ((key = dkim_sign_keys_next(keys, request->domain, key)) != NULL) {
		if (request->selector.size == 0
		            ? key->use == DKIM_SIGN_ACTIVE
		            : pn_slice_equal_ignore_case(request->selector,
		                                         pn_slice_of(key->selector)))
			return true;
	}
	return false;
}

/* i= (RFC 6376 section 3.5): "@example.org" will do. */
static bool is_identity_of(struct pn_slice identity, struct pn_slice domain)
{
	size_t at = identity.size;

	while (at > 0 && identity.data[at - 1] != '@')
		at--;
	return at > 0 && memchr(identity.data, ';', identity.size) == NULL &&
	       dkim_is_below(pn_slice_behind(identity, at), domain);
}

static size_t count_requests(struct pn_slice requests)
{
	struct dkim_sign_request request;
	size_t count = 0;

	while (dkim_sign_request_next(&requests, &request))
		count++;
	return count;
}

static int sign(lua_State *lua)
{
	const struct pn_stage_call *call = pn_lua_call(lua);
	const struct dkim_sign_instance *instance = pn_lua_instance(lua);
	struct dkim_sign_request request;

	luaL_checktype(lua, 1, LUA_TTABLE);
	pn_lua_spend(lua, STEPS);
	if (call == NULL || call->transaction == NULL || call->stage > PN_STAGE_MESSAGE_CHANGE)
		return luaL_error(lua, "dkim.sign is for hooks of a message, up to message.change");
	check_fields(lua);
	request.domain = text_field(lua, "domain");
	request.selector = text_field(lua, "selector");
	request.identity = text_field(lua, "identity");
	request.headers = text_field(lua, "headers");
	request.lifetime = text_field(lua, "expires");
	if (request.domain.size == 0)
		return luaL_error(lua, "dkim.sign: which domain signs?");
	if (request.lifetime.size > 0 && pn_parse_count(request.lifetime, &(uint64_t){0}) != PN_OK)
		return luaL_error(lua, "dkim.sign: expires is a number of seconds");
	if (instance == NULL || instance->keys == NULL || !has_key(instance->keys, &request))
		return luaL_error(lua, "dkim.sign: there is no such key of %s",
		                  lua_pushlstring(lua, request.domain.data, request.domain.size));
	if (request.identity.size > 0 && !is_identity_of(request.identity, request.domain))
		return luaL_error(lua,
		                  "dkim.sign: the identity is an address of that domain, or of "
		                  "one below it");
	if (request.headers.size > DKIM_SIGN_NAMES_MAX)
		return luaL_error(lua, "dkim.sign: headers has at most %d bytes",
		                  DKIM_SIGN_NAMES_MAX);
	if (count_requests(dkim_sign_requests(call->transaction)) >= DKIM_SIGN_SIGNATURES_MAX)
		return luaL_error(lua, "dkim.sign: a message has at most %d signatures of ours",
		                  DKIM_SIGN_SIGNATURES_MAX);
	if (dkim_sign_request_add(call->transaction, &request, call->arena) != PN_OK)
		return luaL_error(lua, "dkim.sign: there is white space in a value");
	lua_pushboolean(lua, 1);
	return 1;
}

static const struct pn_lua_function functions[] = {
	{"sign", "Asks that the message be signed with a key of the table, after all changes.",
         sign},
	{NULL, NULL, NULL},
};

const struct pn_lua_library dkim_sign_library = {
	.struct_size = sizeof(dkim_sign_library),
	.function_size = sizeof(struct pn_lua_function),
	.name = "dkim",
	.functions = functions,
};
