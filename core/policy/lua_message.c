/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a script sees of a message: its envelope, its header, scores and facts, and
 * the edits it may make (which count whole or not at all: the engine's journal).
 */
#include "policy/state.h"

#include <postern/session.h>
#include <postern/transaction.h>

enum { FACT_KEY_MAX = 100, FACT_VALUE_MAX = 4096, HEADERS_MAX = 1000 };

static const struct pn_stage_call *check_message(lua_State *lua)
{
	return policy_handle_call(lua, 1, POLICY_HANDLE_MESSAGE);
}

/* ---- properties ---- */

static void push_id(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushstring(lua, pn_transaction_id(call->transaction));
}

static void push_sender(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, pn_transaction_sender(call->transaction)->text);
}

static void push_sender_local_part(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, pn_transaction_sender(call->transaction)->local_part);
}

static void push_sender_domain(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, pn_transaction_sender(call->transaction)->domain);
}

static void push_recipients(lua_State *lua, const struct pn_stage_call *call)
{
	size_t count = pn_transaction_recipient_count(call->transaction);

	lua_createtable(lua, 0, 0);
	for (size_t index = 0; index < count; index++) {
		struct pn_recipient *recipient = pn_transaction_recipient(call->transaction, index);

		policy_push_slice(lua, pn_recipient_address(recipient)->text);
		lua_rawseti(lua, -2, (lua_Integer)index + 1);
		policy_budget_spend(lua, 4);
	}
}

static void push_recipient_count(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushinteger(lua, (lua_Integer)pn_transaction_recipient_count(call->transaction));
}

static void push_size(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushinteger(lua, (lua_Integer)pn_transaction_size(call->transaction));
}

static void push_score(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushnumber(lua, pn_transaction_score(call->transaction));
}

/* The beginning of the message as received. */
static void push_text(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, pn_transaction_text(call->transaction));
}

static void push_has_header(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushboolean(lua, pn_transaction_header(call->transaction) != NULL);
}

static void push_is_malformed(lua_State *lua, const struct pn_stage_call *call)
{
	const struct pn_header *header = pn_transaction_header(call->transaction);

	lua_pushboolean(lua, header != NULL && header->is_malformed);
}

static void push_auth(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_auth(lua, call->transaction);
}

/* As the field has it, under the host's name. */
static void push_authentication_results(lua_State *lua, const struct pn_stage_call *call)
{
	const char *name = call->session == NULL ? "" : pn_session_hostname(call->session);

	policy_push_slice(lua, pn_transaction_authentication_results(
				       call->transaction, pn_slice_of(name), call->arena));
}

/* ---- reading the header ---- */

static const struct pn_header *check_header(lua_State *lua, const struct pn_stage_call *call)
{
	const struct pn_header *header = pn_transaction_header(call->transaction);

	if (header == NULL)
		luaL_error(lua, "there is no header yet: ask from message.headers on");
	return header;
}

static void push_value(lua_State *lua, const struct pn_stage_call *call,
                       const struct pn_header_field *field)
{
	policy_budget_spend(lua, 16 + field->value.size / 8);
	policy_push_slice(lua, pn_header_unfold(call->arena, field->value));
}

/* message:header("Subject"), message:header("Received", 2): on one line, or nil. */
static int message_header(lua_State *lua)
{
	const struct pn_stage_call *call = check_message(lua);
	const struct pn_header *header = check_header(lua, call);
	struct pn_slice name = policy_check_slice(lua, 2);
	lua_Integer index = luaL_optinteger(lua, 3, 1);
	const struct pn_header_field *field = NULL;

	luaL_argcheck(lua, index >= 1, 3, "fields are counted from 1");
	policy_budget_spend(lua, header->count);
	if ((size_t)index <= header->count)
		field = pn_header_find(header, name, (size_t)index - 1);
	if (field == NULL)
		lua_pushnil(lua);
	else
		push_value(lua, call, field);
	return 1;
}

/* message:headers("Received"): a list of values. message:headers(): of { name, value }. */
static int message_headers(lua_State *lua)
{
	const struct pn_stage_call *call = check_message(lua);
	const struct pn_header *header = check_header(lua, call);
	bool is_all = lua_isnoneornil(lua, 2);
	struct pn_slice name = is_all ? PN_SLICE_NONE : policy_check_slice(lua, 2);
	const struct pn_header_field *field;
	lua_Integer count = 0;

	lua_createtable(lua, 0, 0);
	for (size_t index = 0; index < header->count && count < HEADERS_MAX; index++) {
		policy_budget_spend(lua, is_all ? 1 : header->count);
		field = is_all ? &header->fields[index] : pn_header_find(header, name, index);
		if (field == NULL)
			break;
		if (is_all) {
			lua_createtable(lua, 0, 2);
			policy_push_slice(lua, field->name);
			lua_setfield(lua, -2, "name");
			push_value(lua, call, field);
			lua_setfield(lua, -2, "value");
		} else {
			push_value(lua, call, field);
		}
		lua_rawseti(lua, -2, ++count);
	}
	return 1;
}

/* ---- changing the header ---- */

static int check_edit(lua_State *lua, enum pn_status status)
{
	switch (status) {
	case PN_OK:
		lua_pushboolean(lua, 1);
		return 1;
	case PN_NOT_FOUND:
		lua_pushboolean(lua, 0);
		return 1;
	case PN_LIMIT:
		return luaL_error(lua, "the message has too many edits");
	case PN_CONFLICT:
		return luaL_error(lua, "what its owner puts into a mailbox is kept as it is");
	default:
		return luaL_error(lua, "this is no name or no value of a header field");
	}
}

/* Where all hooks run at once, taking back what a shadow did would take back what others did: it
 * does nothing there. Elsewhere the engine takes it back. */
static bool is_idle_shadow(lua_State *lua, const struct pn_stage_call *call)
{
	return call->stage == PN_STAGE_MESSAGE_SCAN && policy_is_shadow(lua);
}

static int message_add_header(lua_State *lua)
{
	const struct pn_stage_call *call = check_message(lua);
	struct pn_slice name = policy_check_slice(lua, 2), value = policy_check_slice(lua, 3);

	policy_count_change(lua);
	if (is_idle_shadow(lua, call))
		return check_edit(lua, PN_OK);
	return check_edit(lua, pn_transaction_header_add(call->transaction, name, value));
}

/* The index of the field, from 1; optional. */
static size_t field_index(lua_State *lua, int argument)
{
	lua_Integer index = luaL_optinteger(lua, argument, 1);

	luaL_argcheck(lua, index >= 1, argument, "fields are counted from 1");
	return (size_t)index - 1;
}

static int message_remove_header(lua_State *lua)
{
	const struct pn_stage_call *call = check_message(lua);
	struct pn_slice name = policy_check_slice(lua, 2);
	size_t index = field_index(lua, 3);

	policy_count_change(lua);
	if (is_idle_shadow(lua, call))
		return check_edit(lua, PN_OK);
	return check_edit(lua, pn_transaction_header_remove(call->transaction, name, index));
}

static int message_replace_header(lua_State *lua)
{
	const struct pn_stage_call *call = check_message(lua);
	struct pn_slice name = policy_check_slice(lua, 2), value = policy_check_slice(lua, 3);
	size_t index = field_index(lua, 4);

	policy_count_change(lua);
	if (is_idle_shadow(lua, call))
		return check_edit(lua, PN_OK);
	return check_edit(lua,
	                  pn_transaction_header_replace(call->transaction, name, index, value));
}

/* ---- scores, facts, notes, parameters ---- */

/* A shadow's score is a fact to be read in the history: "shadow.score.NAME". */
static int keep_shadow_score(lua_State *lua, const struct pn_stage_call *call)
{
	struct pn_slice key, value;

	lua_pushfstring(lua, "shadow.score.%s", lua_tostring(lua, 2));
	key = policy_check_slice(lua, -1);
	lua_pushfstring(lua, "%f", lua_tonumber(lua, 3));
	value = policy_check_slice(lua, -1);
	pn_transaction_set_fact(call->transaction, key, value);
	return 0;
}

static int message_add_score(lua_State *lua)
{
	const struct pn_stage_call *call = check_message(lua);
	struct pn_slice name = policy_check_slice(lua, 2);
	lua_Number score = luaL_checknumber(lua, 3);

	luaL_argcheck(lua, name.size > 0 && name.size <= FACT_KEY_MAX, 2,
	              "a name has 1 to 100 bytes");
	luaL_argcheck(lua, score > -1e6 && score < 1e6, 3, "a score is a number below a million");
	policy_count_change(lua);
	if (policy_is_shadow(lua))
		return keep_shadow_score(lua, call);
	pn_transaction_add_score(call->transaction, name.data, score);
	return 0;
}

static void check_pair(lua_State *lua, struct pn_slice key, struct pn_slice value)
{
	luaL_argcheck(lua, key.size > 0 && key.size <= FACT_KEY_MAX, 2, "a key has 1 to 100 bytes");
	luaL_argcheck(lua, value.size <= FACT_VALUE_MAX, 3, "a value has at most 4096 bytes");
	policy_count_change(lua);
}

static int push_or_nil(lua_State *lua, struct pn_slice value)
{
	if (value.data == NULL)
		lua_pushnil(lua);
	else
		policy_push_slice(lua, value);
	return 1;
}

static int message_set_fact(lua_State *lua)
{
	const struct pn_stage_call *call = check_message(lua);
	struct pn_slice key = policy_check_slice(lua, 2), value = policy_check_slice(lua, 3);

	check_pair(lua, key, value);
	pn_transaction_set_fact(call->transaction, policy_shadow_key(lua, key), value);
	return 0;
}

/* What a shadow set itself, and else what is there. */
static int push_pair(lua_State *lua,
                     struct pn_slice (*find)(const struct pn_transaction *transaction,
                                             struct pn_slice key))
{
	const struct pn_stage_call *call = check_message(lua);
	struct pn_slice key = policy_check_slice(lua, 2);
	struct pn_slice value = find(call->transaction, policy_shadow_key(lua, key));

	return push_or_nil(lua, value.data != NULL ? value : find(call->transaction, key));
}

static int message_fact(lua_State *lua)
{
	return push_pair(lua, pn_transaction_fact);
}

static int message_set_note(lua_State *lua)
{
	const struct pn_stage_call *call = check_message(lua);
	struct pn_slice key = policy_check_slice(lua, 2), value = policy_check_slice(lua, 3);

	check_pair(lua, key, value);
	pn_transaction_set_note(call->transaction, policy_shadow_key(lua, key), value);
	return 0;
}

static int message_note(lua_State *lua)
{
	return push_pair(lua, pn_transaction_note);
}

/* message:parameter("SIZE"): its value, "" where it has none, nil where it was not given. */
static int message_parameter(lua_State *lua)
{
	const struct pn_stage_call *call = check_message(lua);
	const struct pn_parameter *parameter =
		pn_transaction_parameter(call->transaction, policy_check_slice(lua, 2));

	if (parameter == NULL)
		lua_pushnil(lua);
	else
		policy_push_slice(lua, parameter->value);
	return 1;
}

/* ---- how it waits ---- */

static int check_set(lua_State *lua, enum pn_status status, const char *what)
{
	if (status != PN_OK)
		return luaL_error(lua, "%s", what);
	return 0;
}

static int message_set_sender(lua_State *lua)
{
	const struct pn_stage_call *call = check_message(lua);

	policy_count_change(lua);
	policy_check_slice(lua, 2);
	if (policy_is_shadow(lua))
		return 0;
	return check_set(lua,
	                 pn_transaction_set_sender(call->transaction, policy_check_slice(lua, 2)),
	                 "this is no address");
}

static int message_set_tenant(lua_State *lua)
{
	const struct pn_stage_call *call = check_message(lua);

	policy_count_change(lua);
	policy_check_slice(lua, 2);
	if (policy_is_shadow(lua))
		return 0;
	return check_set(lua,
	                 pn_transaction_set_tenant(call->transaction, policy_check_slice(lua, 2)),
	                 "the name of a tenant has at most 255 bytes");
}

static int message_set_priority(lua_State *lua)
{
	const struct pn_stage_call *call = check_message(lua);
	lua_Integer priority = luaL_checkinteger(lua, 2);

	luaL_argcheck(lua, priority >= 0 && priority <= 9, 2, "a priority is 0 to 9");
	policy_count_change(lua);
	if (policy_is_shadow(lua))
		return 0;
	return check_set(lua, pn_transaction_set_priority(call->transaction, (uint32_t)priority),
	                 "a priority is 0 to 9");
}

/* A time in seconds as milliseconds; raises where it is none. */
static int64_t check_seconds(lua_State *lua, const char *what)
{
	lua_Number seconds = luaL_checknumber(lua, 2);

	luaL_argcheck(lua, seconds >= 0 && seconds < 1e11, 2, what);
	policy_count_change(lua);
	return (int64_t)(seconds * 1000);
}

static int message_set_release(lua_State *lua)
{
	const struct pn_stage_call *call = check_message(lua);
	int64_t wall_ms = check_seconds(lua, "a time in seconds");

	if (policy_is_shadow(lua))
		return 0;
	return check_set(lua, pn_transaction_set_release(call->transaction, wall_ms),
	                 "this is no time");
}

static int message_set_lifetime(lua_State *lua)
{
	const struct pn_stage_call *call = check_message(lua);
	int64_t milliseconds = check_seconds(lua, "a number of seconds");

	if (policy_is_shadow(lua))
		return 0;
	return check_set(lua,
	                 pn_transaction_set_lifetime(call->transaction, (uint64_t)milliseconds),
	                 "a lifetime is at least a second");
}

/* message:origin("peer"): where it came from, in the queue, too. */
static int message_origin(lua_State *lua)
{
	const struct pn_stage_call *call = check_message(lua);

	policy_push_slice(lua, pn_transaction_origin(call->transaction, luaL_checkstring(lua, 2)));
	return 1;
}

const struct policy_handle_type policy_message_type = {
	.name = "message",
	.properties =
		(const struct policy_property[]){
			{"auth", push_auth},
			{"authentication_results", push_authentication_results},
			{"has_header", push_has_header},
			{"id", push_id},
			{"is_malformed", push_is_malformed},
			{"recipient_count", push_recipient_count},
			{"recipients", push_recipients},
			{"score", push_score},
			{"sender", push_sender},
			{"sender_domain", push_sender_domain},
			{"sender_local_part", push_sender_local_part},
			{"size", push_size},
			{"text", push_text},
			{NULL, NULL},
		},
	.methods =
		(const luaL_Reg[]){
			{"add_header", message_add_header},
			{"add_score", message_add_score},
			{"fact", message_fact},
			{"header", message_header},
			{"headers", message_headers},
			{"note", message_note},
			{"origin", message_origin},
			{"parameter", message_parameter},
			{"remove_header", message_remove_header},
			{"replace_header", message_replace_header},
			{"set_fact", message_set_fact},
			{"set_lifetime", message_set_lifetime},
			{"set_note", message_set_note},
			{"set_priority", message_set_priority},
			{"set_release", message_set_release},
			{"set_sender", message_set_sender},
			{"set_tenant", message_set_tenant},
			{NULL, NULL},
		},
};
