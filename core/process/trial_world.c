/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a spec for the world it runs in: DNS, web servers, the cache, time. */
#include "process/trial_words.h"

#include <postern/text.h>

#include "process/trial_cache.h"
#include "process/trial_dns.h"
#include "process/trial_http.h"

static void add_dns(lua_State *lua, int index, enum pn_dns_type type)
{
	unsigned priority = 0;
	const char *value = NULL;

	if (lua_istable(lua, index)) {
		lua_getfield(lua, index, "priority");
		priority = (unsigned)luaL_optinteger(lua, -1, 0);
		lua_getfield(lua, index, "value");
		value = luaL_checkstring(lua, -1);
		pn_trial_dns(luaL_checkstring(lua, 1), type, value, priority);
		lua_pop(lua, 2);
		return;
	}
	if (lua_toboolean(lua, index))
		value = luaL_checkstring(lua, index);
	pn_trial_dns(luaL_checkstring(lua, 1), type, value, 0);
}

/* dns(name, type, …): texts, { value = …, priority = … }, or false for trouble. */
static int word_dns(lua_State *lua)
{
	enum pn_dns_type type;

	pn_trial_need_case(lua, "dns");
	if (pn_dns_type_of(pn_slice_of(luaL_checkstring(lua, 2)), &type) != PN_OK)
		return luaL_error(lua, "dns: there is no type \"%s\"", lua_tostring(lua, 2));
	luaL_checkany(lua, 3);
	for (int index = 3, last = lua_gettop(lua); index <= last; index++)
		add_dns(lua, index, type);
	return 0;
}

static int word_questions(lua_State *lua)
{
	lua_pushinteger(lua, (lua_Integer)pn_trial_questions());
	return 1;
}

static int word_advance(lua_State *lua)
{
	uint64_t milliseconds;

	pn_trial_need_case(lua, "advance");
	if (pn_parse_duration(pn_slice_of(luaL_checkstring(lua, 1)), &milliseconds) != PN_OK)
		return luaL_error(lua, "advance: write a duration, \"10m\"");
	pn_trial_advance(milliseconds);
	return 0;
}

/* The headers of the table on top of the stack. */
static void read_page_headers(lua_State *lua, struct pn_http_response *response)
{
	struct pn_http_header *headers =
		PN_ARENA_ARRAY(pn_trial_arena(), PN_HTTP_HEADERS_MAX, struct pn_http_header);

	if (lua_getfield(lua, -1, "headers") == LUA_TTABLE) {
		for (lua_pushnil(lua); lua_next(lua, -2) != 0; lua_pop(lua, 1)) {
			if (response->header_count == PN_HTTP_HEADERS_MAX)
				luaL_error(lua, "http: too many headers");
			headers[response->header_count++] = (struct pn_http_header){
				.name = pn_arena_keep(pn_trial_arena(),
			                              pn_slice_of(luaL_checkstring(lua, -2))),
				.value = pn_arena_keep(pn_trial_arena(),
			                               pn_slice_of(luaL_checkstring(lua, -1)))};
		}
	}
	lua_pop(lua, 1);
	response->headers = headers;
}

/* http(url, answer): a text, { status =, headers =, body = }, or false for trouble. */
static int word_http(lua_State *lua)
{
	struct pn_http_response *response;
	struct pn_slice body = {0};

	pn_trial_need_case(lua, "http");
	luaL_checkany(lua, 2);
	if (!lua_toboolean(lua, 2)) {
		pn_trial_http_tell(luaL_checkstring(lua, 1), NULL);
		return 0;
	}
	response = PN_ARENA_NEW(pn_trial_arena(), struct pn_http_response);
	response->struct_size = sizeof(*response);
	response->status = 200;
	lua_settop(lua, 2);
	if (lua_istable(lua, 2)) {
		read_page_headers(lua, response);
		lua_getfield(lua, 2, "status");
		response->status = (unsigned)luaL_optinteger(lua, -1, 200);
		lua_getfield(lua, 2, "body");
		body.data = luaL_optlstring(lua, -1, "", &body.size);
	} else {
		body.data = luaL_checklstring(lua, 2, &body.size);
	}
	response->body = pn_arena_keep(pn_trial_arena(), body);
	pn_trial_http_tell(luaL_checkstring(lua, 1), response);
	return 0;
}

/* requests(): what the web was asked, a list of texts. */
static int word_requests(lua_State *lua)
{
	const char *line;

	pn_trial_need_case(lua, "requests");
	lua_createtable(lua, 0, 0);
	for (size_t index = 0; (line = pn_trial_http_request(index)) != NULL; index++) {
		lua_pushstring(lua, line);
		lua_rawseti(lua, -2, (lua_Integer)index + 1);
	}
	return 1;
}

/* cache_fails(true): nothing that the cache is asked is answered well. */
static int word_cache_fails(lua_State *lua)
{
	pn_trial_need_case(lua, "cache_fails");
	pn_trial_cache_break(lua_toboolean(lua, 1));
	return 0;
}

const luaL_Reg pn_trial_world_words[] = {
	{"advance", word_advance},
	{"cache_fails", word_cache_fails},
	{"dns", word_dns},
	{"http", word_http},
	{"questions", word_questions},
	{"requests", word_requests},
	{NULL, NULL},
};
