/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.get, set, add, rate: what a script remembers across sessions and workers, in
 * a cache that a module provides (<postern/cache.h>). The script waits for each
 * answer; where there is none it fails, because "not known" would be wrong.
 */
#include "policy/state.h"

#include <postern/cache.h>
#include <postern/lualib.h>
#include <postern/text.h>

#include "io/digest.h"

enum {
	DEADLINE_MS = 5000,
	STEPS_PER_REQUEST = 500,
	KEY_MAX = 65536, /* what is longer than a cache takes is digested */
};

static const uint64_t longest_lifetime_ms = 366ull * 24 * 3600 * 1000;

bool policy_is_cache(const struct pn_instance_use *use)
{
	return use->instance->module->cache != NULL;
}

/* ---- arguments ---- */

static struct pn_instance *instance_of(lua_State *lua)
{
	return lua_touserdata(lua, lua_upvalueindex(1));
}

/* A key; one that is too long stands by its digest. In `room`, or where Lua has it. */
static struct pn_slice check_key(lua_State *lua, char room[PN_SHA256_HEX_SIZE + 8])
{
	struct pn_slice key = policy_check_slice(lua, 1);

	luaL_argcheck(lua, key.size > 0, 1, "a key has at least one byte");
	luaL_argcheck(lua, key.size <= KEY_MAX, 1, "a key has at most 65536 bytes");
	if (key.size <= PN_CACHE_KEY_MAX)
		return key;
	policy_budget_spend(lua, key.size);
	memcpy(room, "sha256:", 7);
	pn_sha256_hex(key, room + 7);
	return pn_slice_of(room);
}

static uint64_t check_lifetime(lua_State *lua, int index)
{
	uint64_t milliseconds = 0;

	luaL_checktype(lua, index, LUA_TSTRING);
	luaL_argcheck(lua,
	              pn_parse_duration(policy_check_slice(lua, index), &milliseconds) == PN_OK &&
	                      milliseconds >= 1 && milliseconds <= longest_lifetime_ms,
	              index, "write a duration from \"1ms\" to \"366d\"");
	return milliseconds;
}

/* ---- answers ---- */

static const struct pn_cache_value *check_answer(lua_State *lua, const struct pn_answer *answer)
{
	if (answer->status == PN_LIMIT)
		luaL_error(lua, "the cache has too much to do");
	if (answer->status != PN_OK || answer->kind != PN_ANSWER_CUSTOM || answer->result == NULL)
		luaL_error(lua, "the cache did not answer");
	return answer->result;
}

static int push_value(lua_State *lua, const struct pn_answer *answer)
{
	const struct pn_cache_value *value = check_answer(lua, answer);

	if (value->found)
		policy_push_slice(lua, value->value);
	else
		lua_pushnil(lua);
	return 1;
}

static int push_done(lua_State *lua, const struct pn_answer *answer)
{
	check_answer(lua, answer);
	return 0;
}

static int push_number(lua_State *lua, const struct pn_answer *answer)
{
	lua_pushinteger(lua, check_answer(lua, answer)->number);
	return 1;
}

/* Whether it is within the limit, which still stands at 2; and how many there were. */
static int push_within(lua_State *lua, const struct pn_answer *answer)
{
	int64_t number = check_answer(lua, answer)->number;

	lua_pushboolean(lua, number <= lua_tointeger(lua, 2));
	lua_pushinteger(lua, number);
	return 2;
}

/* ---- functions ---- */

static struct pn_ticket open_ticket(lua_State *lua)
{
	policy_budget_spend(lua, STEPS_PER_REQUEST);
	return pn_lua_ticket(lua, DEADLINE_MS);
}

/* cache.get(key): a text (a counter as its digits), or nil. */
static int cache_get(lua_State *lua)
{
	const struct pn_instance *instance = instance_of(lua);
	char room[PN_SHA256_HEX_SIZE + 8];
	struct pn_slice key = check_key(lua, room);
	struct pn_ticket ticket = open_ticket(lua);

	instance->module->cache->get(instance->state, key, ticket);
	return pn_lua_wait(lua, ticket, push_value);
}

/* cache.set(key, text, lifetime) */
static int cache_set(lua_State *lua)
{
	const struct pn_instance *instance = instance_of(lua);
	char room[PN_SHA256_HEX_SIZE + 8];
	struct pn_slice key = check_key(lua, room), value = policy_check_slice(lua, 2);
	uint64_t lifetime_ms = check_lifetime(lua, 3);
	struct pn_ticket ticket;

	luaL_argcheck(lua, value.size <= PN_CACHE_VALUE_MAX, 2, "a value has at most 4096 bytes");
	policy_count_change(lua);
	ticket = open_ticket(lua);
	instance->module->cache->set(instance->state, key, value, lifetime_ms, ticket);
	return pn_lua_wait(lua, ticket, push_done);
}

/* cache.add(key, amount, lifetime): the sum; its life began with the first one. */
static int cache_add(lua_State *lua)
{
	const struct pn_instance *instance = instance_of(lua);
	char room[PN_SHA256_HEX_SIZE + 8];
	struct pn_slice key = check_key(lua, room);
	lua_Integer amount = luaL_checkinteger(lua, 2);
	uint64_t lifetime_ms = check_lifetime(lua, 3);
	struct pn_ticket ticket;

	policy_count_change(lua);
	ticket = open_ticket(lua);
	instance->module->cache->add(instance->state, key, amount, lifetime_ms, ticket);
	return pn_lua_wait(lua, ticket, push_number);
}

/* cache.rate(key, limit, period [, amount]): counts, and says whether that is within the limit. */
static int cache_rate(lua_State *lua)
{
	const struct pn_instance *instance = instance_of(lua);
	char room[PN_SHA256_HEX_SIZE + 8];
	struct pn_slice key = check_key(lua, room);
	uint64_t period_ms = check_lifetime(lua, 3);
	lua_Integer amount = luaL_optinteger(lua, 4, 1);
	struct pn_ticket ticket;

	luaL_argcheck(lua, luaL_checkinteger(lua, 2) >= 0, 2, "a limit is not negative");
	policy_count_change(lua);
	ticket = open_ticket(lua);
	instance->module->cache->add(instance->state, key, amount, period_ms, ticket);
	return pn_lua_wait(lua, ticket, push_within);
}

static int cache_open(lua_State *lua);

static void push_functions(lua_State *lua, const struct pn_instance *instance)
{
	static const luaL_Reg functions[] = {
		{"add", cache_add}, {"get", cache_get},   {"open", cache_open},
		{"set", cache_set}, {"rate", cache_rate}, {NULL, NULL},
	};

	lua_createtable(lua, 0, 5);
	lua_pushlightuserdata(lua, (void *)(uintptr_t)instance);
	luaL_setfuncs(lua, functions, 1);
}

/* cache.open("name"): the same functions for the cache of that name. */
static int cache_open(lua_State *lua)
{
	const struct pn_policy_set *set = policy_state_of(lua)->file->set;
	const char *name = luaL_checkstring(lua, 1);

	policy_budget_spend(lua, STEPS_PER_REQUEST);
	for (size_t index = 0; index < set->library_count; index++) {
		const struct pn_instance_use *use = &set->libraries[index];

		if (!policy_is_cache(use) || strcmp(use->instance->name, name) != 0)
			continue;
		push_functions(lua, use->instance);
		policy_guard(lua, "cache");
		return 1;
	}
	return luaL_error(lua, "there is no cache \"%s\" in this configuration", name);
}

/* The first one of the configuration. */
void policy_push_cache(lua_State *lua)
{
	const struct pn_policy_set *set = policy_state_of(lua)->file->set;
	size_t index = 0;

	while (!policy_is_cache(&set->libraries[index]))
		index++;
	push_functions(lua, set->libraries[index].instance);
}
