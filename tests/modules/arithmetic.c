/* SPDX-License-Identifier: Apache-2.0 */
/* arithmetic: a Lua library for tests: one function that counts, one that spends its script's
 * budget, and one that waits. */
#include <postern/lualib.h>
#include <postern/module.h>

#include <lauxlib.h>
#include <lua.h>

static int twice(lua_State *lua)
{
	lua_pushinteger(lua, 2 * luaL_checkinteger(lua, 1));
	return 1;
}

static int spend(lua_State *lua)
{
	pn_lua_spend(lua, (uint64_t)luaL_checkinteger(lua, 1));
	lua_pushboolean(lua, true);
	return 1;
}

static int push_waited(lua_State *lua, const struct pn_answer *answer)
{
	lua_pushstring(lua, answer->status == PN_TIMEOUT ? "waited" : "strange");
	return 1;
}

static int rest(lua_State *lua)
{
	struct pn_ticket ticket = pn_lua_ticket(lua, (uint64_t)luaL_checkinteger(lua, 1));

	return pn_lua_wait(lua, ticket, push_waited);
}

static const struct pn_lua_function arithmetic_functions[] = {
	{.name = "twice", .summary = "Twice a number.", .call = twice},
	{.name = "spend", .summary = "Uses up steps.", .call = spend},
	{.name = "rest", .summary = "Waits for some milliseconds.", .call = rest},
	{.name = NULL},
};

static const struct pn_lua_library arithmetic_library = {
	.struct_size = sizeof(struct pn_lua_library),
	.function_size = sizeof(struct pn_lua_function),
	.name = "arithmetic",
	.functions = arithmetic_functions,
};

PN_MODULE(arithmetic, .version = "1.0", .summary = "Functions for scripts.",
          .lua_library = &arithmetic_library, );
