/* SPDX-License-Identifier: Apache-2.0 */
/* What a script sees of a recipient, at the stages that ask about each one. */
#include "policy/state.h"

#include <postern/transaction.h>

enum { MAILBOX_NAME_MAX = 255 };

static const struct pn_stage_call *check_recipient(lua_State *lua)
{
	return policy_handle_call(lua, 1, POLICY_HANDLE_RECIPIENT);
}

static void push_address(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, pn_recipient_address(call->recipient)->text);
}

static void push_local_part(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, pn_recipient_address(call->recipient)->local_part);
}

static void push_domain(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, pn_recipient_address(call->recipient)->domain);
}

static void push_original(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, pn_recipient_original(call->recipient)->text);
}

static void push_is_local(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushboolean(lua, pn_recipient_is_local(call->recipient));
}

static void push_account(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, pn_recipient_account(call->recipient));
}

static void push_mailbox(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, pn_recipient_mailbox(call->recipient));
}

static void push_flags(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, pn_recipient_flags(call->recipient));
}

/* recipient:parameter("NOTIFY"): its value, "" where it has none, nil where it was not given. */
static int recipient_parameter(lua_State *lua)
{
	const struct pn_stage_call *call = check_recipient(lua);
	const struct pn_parameter *parameter =
		pn_recipient_parameter(call->recipient, policy_check_slice(lua, 2));

	if (parameter == NULL)
		lua_pushnil(lua);
	else
		policy_push_slice(lua, parameter->value);
	return 1;
}

static const struct pn_stage_call *check_delivery(lua_State *lua)
{
	const struct pn_stage_call *call = check_recipient(lua);

	if (call->stage != PN_STAGE_MAILBOX_DELIVER)
		luaL_error(lua, "mailbox and flags can be changed at mailbox.deliver only");
	policy_count_change(lua);
	return call;
}

static int recipient_set_mailbox(lua_State *lua)
{
	const struct pn_stage_call *call = check_delivery(lua);
	struct pn_slice mailbox = policy_check_slice(lua, 2);

	luaL_argcheck(lua, mailbox.size > 0 && mailbox.size <= MAILBOX_NAME_MAX, 2,
	              "the name of a mailbox has 1 to 255 bytes");
	pn_recipient_set_mailbox(call->recipient, mailbox);
	return 0;
}

static int recipient_set_flags(lua_State *lua)
{
	const struct pn_stage_call *call = check_delivery(lua);
	struct pn_slice flags = policy_check_slice(lua, 2);

	luaL_argcheck(lua, flags.size <= MAILBOX_NAME_MAX, 2, "flags have at most 255 bytes");
	pn_recipient_set_flags(call->recipient, flags);
	return 0;
}

const struct policy_handle_type policy_recipient_type = {
	.name = "recipient",
	.properties =
		(const struct policy_property[]){
			{"account", push_account},
			{"address", push_address},
			{"domain", push_domain},
			{"flags", push_flags},
			{"is_local", push_is_local},
			{"local_part", push_local_part},
			{"mailbox", push_mailbox},
			{"original", push_original},
			{NULL, NULL},
		},
	.methods =
		(const luaL_Reg[]){
			{"parameter", recipient_parameter},
			{"set_flags", recipient_set_flags},
			{"set_mailbox", recipient_set_mailbox},
			{NULL, NULL},
		},
};
