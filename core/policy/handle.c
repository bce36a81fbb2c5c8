/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles: what a script holds of a session or a message. A handle is the number
 * of the run that it was made for, and no pointer: what it stands for is looked up
 * at each use, and is there only while that run is at work.
 */
#include "policy/state.h"

#include <postern/text.h>

enum { CHANGES_MAX = 250, STEPS_PER_CHANGE = 2000 };

struct handle {
	uint64_t serial;
	enum policy_handle_kind kind;
};

static const struct policy_handle_type *const types[POLICY_HANDLE_COUNT] = {
	[POLICY_HANDLE_SESSION] = &policy_session_type,
	[POLICY_HANDLE_MESSAGE] = &policy_message_type,
	[POLICY_HANDLE_RECIPIENT] = &policy_recipient_type,
	[POLICY_HANDLE_ATTEMPT] = &policy_attempt_type,
	[POLICY_HANDLE_DELIVERY] = &policy_delivery_type,
	[POLICY_HANDLE_REQUEST] = &policy_request_type,
};

static const char *const registry_names[POLICY_HANDLE_COUNT] = {
	[POLICY_HANDLE_SESSION] = "postern.session",
	[POLICY_HANDLE_MESSAGE] = "postern.message",
	[POLICY_HANDLE_RECIPIENT] = "postern.recipient",
	[POLICY_HANDLE_ATTEMPT] = "postern.attempt",
	[POLICY_HANDLE_DELIVERY] = "postern.delivery",
	[POLICY_HANDLE_REQUEST] = "postern.request",
};

static bool has_subject(const struct pn_stage_call *call, enum policy_handle_kind kind)
{
	switch (kind) {
	case POLICY_HANDLE_SESSION:
		return call->session != NULL;
	case POLICY_HANDLE_MESSAGE:
		return call->transaction != NULL;
	case POLICY_HANDLE_RECIPIENT:
		return call->recipient != NULL;
	default:
		return call->subject != NULL;
	}
}

const struct pn_stage_call *policy_handle_call(lua_State *lua, int index,
                                               enum policy_handle_kind kind)
{
	const struct handle *handle = luaL_checkudata(lua, index, registry_names[kind]);
	const struct policy_run *run = policy_state_of(lua)->running;

	if (run == NULL || run->call == NULL || handle->serial != run->serial ||
	    handle->kind != kind || !has_subject(run->call, kind))
		luaL_error(lua, "%s has ended: what a hook is given is good only inside that hook",
		           types[kind]->name);
	return run->call;
}

void policy_handle_push(lua_State *lua, enum policy_handle_kind kind)
{
	const struct policy_run *run = policy_state_of(lua)->running;
	struct handle *handle;

	if (!has_subject(run->call, kind)) {
		lua_pushnil(lua);
		return;
	}
	handle = lua_newuserdatauv(lua, sizeof(*handle), 0);
	handle->serial = run->serial;
	handle->kind = kind;
	luaL_setmetatable(lua, registry_names[kind]);
}

/* ---- what handles answer ---- */

static int raise_unknown(lua_State *lua, const struct policy_handle_type *type, const char *name)
{
	const char *words[64];
	size_t count = 0;

	for (const struct policy_property *property = type->properties; property->name != NULL;
	     property++)
		words[count++] = property->name;
	for (const luaL_Reg *method = type->methods; method->name != NULL; method++)
		words[count++] = method->name;
	words[count] = NULL;
	return policy_unknown(lua, lua_pushfstring(lua, "%s has no \"%s\"", type->name, name), name,
	                      words);
}

/* Upvalues: the kind, and the table of methods. */
static int read_member(lua_State *lua)
{
	enum policy_handle_kind kind =
		(enum policy_handle_kind)lua_tointeger(lua, lua_upvalueindex(1));
	const struct pn_stage_call *call = policy_handle_call(lua, 1, kind);
	const char *name = luaL_checkstring(lua, 2);

	for (const struct policy_property *property = types[kind]->properties;
	     property->name != NULL; property++) {
		if (strcmp(property->name, name) == 0) {
			property->push(lua, call);
			return 1;
		}
	}
	lua_pushvalue(lua, 2);
	if (lua_rawget(lua, lua_upvalueindex(2)) != LUA_TNIL)
		return 1;
	return raise_unknown(lua, types[kind], name);
}

static int write_member(lua_State *lua)
{
	enum policy_handle_kind kind =
		(enum policy_handle_kind)lua_tointeger(lua, lua_upvalueindex(1));

	return luaL_error(lua,
	                  "what %s says cannot be assigned to; it has methods for what can be "
	                  "changed",
	                  types[kind]->name);
}

static void add_type(lua_State *lua, enum policy_handle_kind kind)
{
	luaL_newmetatable(lua, registry_names[kind]);
	lua_pushstring(lua, types[kind]->name);
	lua_setfield(lua, -2, "__name");
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_pushinteger(lua, kind);
	lua_createtable(lua, 0, 16);
	luaL_setfuncs(lua, types[kind]->methods, 0);
	lua_pushcclosure(lua, read_member, 2);
	lua_setfield(lua, -2, "__index");
	lua_pushinteger(lua, kind);
	lua_pushcclosure(lua, write_member, 1);
	lua_setfield(lua, -2, "__newindex");
	lua_pop(lua, 1);
}

void policy_handles_init(lua_State *lua)
{
	for (int kind = 0; kind < POLICY_HANDLE_COUNT; kind++)
		add_type(lua, (enum policy_handle_kind)kind);
}

/* ---- for the types ---- */

bool policy_is_shadow(lua_State *lua)
{
	const struct policy_run *run = policy_state_of(lua)->running;
	const struct policy_hook_entry *entry;

	if (run == NULL || run->call == NULL)
		return false;
	entry = run->state->file->first;
	while (entry->index != run->hook)
		entry = entry->next;
	return entry->hook.hook.mode == PN_HOOK_SHADOW;
}

struct pn_slice policy_shadow_key(lua_State *lua, struct pn_slice key)
{
	if (!policy_is_shadow(lua))
		return key;
	lua_pushliteral(lua, "shadow.");
	lua_pushlstring(lua, key.size ? key.data : "", key.size);
	lua_concat(lua, 2);
	return policy_check_slice(lua, -1);
}

void policy_count_change(lua_State *lua)
{
	struct policy_run *run = policy_state_of(lua)->running;

	policy_budget_spend(lua, STEPS_PER_CHANGE);
	if (run != NULL && ++run->changes > CHANGES_MAX)
		luaL_error(lua, "a hook makes at most %d changes", CHANGES_MAX);
}

void policy_push_slice(lua_State *lua, struct pn_slice slice)
{
	policy_budget_spend(lua, slice.size / 64);
	lua_pushlstring(lua, slice.size ? slice.data : "", slice.size);
}

struct pn_slice policy_check_slice(lua_State *lua, int index)
{
	size_t size;
	const char *text = luaL_checklstring(lua, index, &size);

	return pn_slice_make(text, size);
}
