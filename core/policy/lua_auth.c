/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.auth: what checks found, as a table. Checks are known by what they have recorded,
 * whatever their names: the facts "spf" and "spf.domain" are auth.spf.result and auth.spf.domain,
 * "dkim.1" and "dkim.1.domain" are auth.dkim[1].result and auth.dkim[1].domain.
 */
#include "policy/state.h"

#include <postern/text.h>
#include <postern/transaction.h>

#define PARTS PN_SLICE("authentication_results.")

enum { NUMBER_MAX = 1000, STEPS_PER_FACT = 20 };

static bool starts_with(struct pn_slice text, struct pn_slice prefix)
{
	return text.size >= prefix.size && memcmp(text.data, prefix.data, prefix.size) == 0;
}

/* The table below the one on top of the stack, under the key above it; made where it is not there.
 */
static void enter(lua_State *lua)
{
	lua_pushvalue(lua, -1);
	if (lua_rawget(lua, -3) == LUA_TTABLE) {
		lua_remove(lua, -2);
		return;
	}
	lua_pop(lua, 1);
	lua_createtable(lua, 0, 8);
	lua_pushvalue(lua, -2);
	lua_pushvalue(lua, -2);
	lua_rawset(lua, -5);
	lua_remove(lua, -2);
}

static void set(lua_State *lua, struct pn_slice key, struct pn_slice value)
{
	policy_push_slice(lua, key.size == 0 ? PN_SLICE("result") : key);
	policy_push_slice(lua, value);
	lua_rawset(lua, -3);
}

/* A fact of the check whose table is on top: what stands behind its name, and a dot. */
static void add_fact(lua_State *lua, struct pn_slice key, struct pn_slice value)
{
	struct pn_slice rest = key;
	struct pn_slice first = pn_slice_cut(&rest, '.');
	uint64_t number;

	if (pn_parse_count(first, &number) != PN_OK || number == 0 || number > NUMBER_MAX) {
		set(lua, key, value);
		return;
	}
	lua_pushinteger(lua, (lua_Integer)number);
	enter(lua);
	set(lua, rest, value);
	lua_pop(lua, 1);
}

/* All facts of the check. */
static void add_check(lua_State *lua, const struct pn_transaction *transaction,
                      struct pn_slice name)
{
	const void *cursor = NULL;
	struct pn_slice key, value;

	policy_push_slice(lua, name);
	enter(lua);
	while (pn_transaction_next_fact(transaction, &cursor, &key, &value)) {
		policy_budget_spend(lua, STEPS_PER_FACT);
		if (!starts_with(key, name))
			continue;
		if (key.size == name.size)
			set(lua, PN_SLICE_NONE, value);
		else if (key.data[name.size] == '.')
			add_fact(lua, pn_slice_behind(key, name.size + 1), value);
	}
	lua_pop(lua, 1);
}

void policy_push_auth(lua_State *lua, const struct pn_transaction *transaction)
{
	const void *cursor = NULL;
	struct pn_slice key, value;

	lua_createtable(lua, 0, 4);
	while (pn_transaction_next_fact(transaction, &cursor, &key, &value)) {
		if (starts_with(key, PARTS))
			add_check(lua, transaction, pn_slice_behind(key, PARTS.size));
	}
}
