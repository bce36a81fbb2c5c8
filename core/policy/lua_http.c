/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.get, post, request: the script waits, and gets { status, headers, body }, or
 * nil and why. Private addresses need a grant of their own: who writes a policy is
 * not always who runs the network it stands in.
 */
#include "policy/state.h"

#include <postern/http.h>
#include <postern/lualib.h>
#include <postern/text.h>

enum {
	USUAL_TIMEOUT_MS = 10000,
	TIMEOUT_MAX_MS = 60000,
	USUAL_BODY_MAX = 256 * 1024,
	BODY_MAX = 1024 * 1024,
	STEPS_PER_REQUEST = 5000,
	GRACE_MS = 1000, /* the client ends it; the ticket sees to it that the script goes on */
};

/* ---- answers ---- */

static void push_headers(lua_State *lua, const struct pn_http_response *response)
{
	lua_createtable(lua, 0, (int)response->header_count);
	for (size_t index = 0; index < response->header_count; index++) {
		const struct pn_http_header *header = &response->headers[index];

		policy_push_slice(lua, header->name);
		lua_pushvalue(lua, -1);
		/* A field that came twice: RFC 9110 section 5.3. */
		if (lua_rawget(lua, -3) == LUA_TSTRING) {
			lua_pushliteral(lua, ", ");
			policy_push_slice(lua, header->value);
			lua_concat(lua, 3);
		} else {
			lua_pop(lua, 1);
			policy_push_slice(lua, header->value);
		}
		lua_rawset(lua, -3);
	}
}

static int push_response(lua_State *lua, const struct pn_answer *answer)
{
	const struct pn_http_response *response = answer->result;

	if (answer->status != PN_OK || answer->kind != PN_ANSWER_CUSTOM || response == NULL) {
		lua_pushnil(lua);
		lua_pushstring(lua, answer->error != NULL          ? answer->error->text
		                    : answer->status == PN_TIMEOUT ? "no answer in time"
		                                                   : "trouble");
		return 2;
	}
	lua_createtable(lua, 0, 3);
	lua_pushinteger(lua, (lua_Integer)response->status);
	lua_setfield(lua, -2, "status");
	push_headers(lua, response);
	lua_setfield(lua, -2, "headers");
	policy_push_slice(lua, response->body);
	lua_setfield(lua, -2, "body");
	return 1;
}

/* ---- requests: the table of options is at the top of the stack ---- */

static struct pn_slice text_field(lua_State *lua, int table, const char *name)
{
	struct pn_slice text = PN_SLICE_NONE;

	lua_pushstring(lua, name);
	if (lua_rawget(lua, table) == LUA_TSTRING)
		text = policy_check_slice(lua, -1); /* the table holds it */
	else if (!lua_isnil(lua, -1))
		luaL_error(lua, "http: %s is a text", name);
	lua_pop(lua, 1);
	return text;
}

static uint64_t number_field(lua_State *lua, int table, const char *name, uint64_t usual,
                             uint64_t most,
                             enum pn_status (*parse)(struct pn_slice text, uint64_t *number_out))
{
	struct pn_slice text = text_field(lua, table, name);
	uint64_t number = 0;

	if (text.data == NULL)
		return usual;
	if (parse(text, &number) != PN_OK || number < 1 || number > most)
		luaL_error(lua, "http: %s cannot be \"%s\"", name, text.data);
	return number;
}

static void read_headers(lua_State *lua, int table, struct pn_http_request *request,
                         struct pn_http_header headers[PN_HTTP_HEADERS_MAX])
{
	lua_pushliteral(lua, "headers");
	if (lua_rawget(lua, table) == LUA_TNIL) {
		lua_pop(lua, 1);
		return;
	}
	if (!lua_istable(lua, -1))
		luaL_error(lua, "http: headers is a table: { Accept = \"text/plain\" }");
	for (lua_pushnil(lua); lua_next(lua, -2) != 0; lua_pop(lua, 1)) {
		if (lua_type(lua, -2) != LUA_TSTRING || lua_type(lua, -1) != LUA_TSTRING)
			luaL_error(lua, "http: names and values of headers are texts");
		if (request->header_count == PN_HTTP_HEADERS_MAX)
			luaL_error(lua, "http: a request has at most %d headers",
			           PN_HTTP_HEADERS_MAX);
		headers[request->header_count].name = policy_check_slice(lua, -2);
		headers[request->header_count++].value = policy_check_slice(lua, -1);
	}
	request->headers = headers;
	lua_pop(lua, 1);
}

static void refuse_unknown(lua_State *lua, int table)
{
	static const char *const known[] = {"body",      "headers", "max_body", "method",
	                                    "redirects", "timeout", "url",      NULL};

	for (lua_pushnil(lua); lua_next(lua, table) != 0; lua_pop(lua, 1)) {
		const char *name = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : "";
		size_t index = 0;

		while (known[index] != NULL && strcmp(known[index], name) != 0)
			index++;
		if (known[index] == NULL)
			policy_unknown(
				lua, lua_pushfstring(lua, "http: there is no option \"%s\"", name),
				name, known);
	}
}

static bool may_be_private(lua_State *lua)
{
	const struct policy_file *file = policy_state_of(lua)->file;

	for (const char *const *word = file->spec.allow; *word != NULL; word++) {
		if (strcmp(*word, "http_private") == 0)
			return true;
	}
	return false;
}

/* Sends what stands in the table at `table`, with these in front of it. */
static int send_request(lua_State *lua, int table, struct pn_http_request *request)
{
	struct pn_http_header headers[PN_HTTP_HEADERS_MAX];
	struct pn_slice text;
	struct pn_ticket ticket;

	request->struct_size = sizeof(*request);
	request->timeout_ms = USUAL_TIMEOUT_MS;
	request->max_body = USUAL_BODY_MAX;
	request->allows_private = may_be_private(lua);
	if (table != 0) {
		refuse_unknown(lua, table);
		text = text_field(lua, table, "url");
		request->url = text.data != NULL ? text : request->url;
		text = text_field(lua, table, "body");
		request->body = text.data != NULL ? text : request->body;
		text = text_field(lua, table, "method");
		request->method = text.data != NULL ? text.data : request->method;
		request->timeout_ms = number_field(lua, table, "timeout", USUAL_TIMEOUT_MS,
		                                   TIMEOUT_MAX_MS, pn_parse_duration);
		request->max_body = number_field(lua, table, "max_body", USUAL_BODY_MAX, BODY_MAX,
		                                 pn_parse_size);
		lua_pushliteral(lua, "redirects");
		lua_rawget(lua, table);
		request->follows_redirects = lua_toboolean(lua, -1);
		lua_pop(lua, 1);
		read_headers(lua, table, request, headers);
	}
	if (request->url.data == NULL)
		return luaL_error(lua, "http: there is no url");
	policy_count_change(lua);
	policy_budget_spend(lua, STEPS_PER_REQUEST + request->body.size / 4);
	ticket = pn_lua_ticket(lua, request->timeout_ms + GRACE_MS);
	pn_http_ask(request, ticket);
	return pn_lua_wait(lua, ticket, push_response);
}

/* The options at `index`, or 0 where there are none. */
static int options_at(lua_State *lua, int index)
{
	if (lua_isnoneornil(lua, index))
		return 0;
	luaL_checktype(lua, index, LUA_TTABLE);
	return index;
}

static int http_get(lua_State *lua)
{
	struct pn_http_request request = {.method = "GET", .url = policy_check_slice(lua, 1)};

	return send_request(lua, options_at(lua, 2), &request);
}

static int http_post(lua_State *lua)
{
	struct pn_http_request request = {.method = "POST",
	                                  .url = policy_check_slice(lua, 1),
	                                  .body = policy_check_slice(lua, 2)};

	return send_request(lua, options_at(lua, 3), &request);
}

static int http_request(lua_State *lua)
{
	struct pn_http_request request = {.method = NULL};

	luaL_checktype(lua, 1, LUA_TTABLE);
	return send_request(lua, 1, &request);
}

void policy_push_http(lua_State *lua)
{
	static const luaL_Reg functions[] = {
		{"get", http_get}, {"post", http_post}, {"request", http_request}, {NULL, NULL}};

	lua_createtable(lua, 0, 3);
	luaL_setfuncs(lua, functions, 0);
}
