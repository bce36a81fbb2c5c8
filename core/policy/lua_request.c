/* SPDX-License-Identifier: Apache-2.0 */
/* What a script sees of what a client asks for beside mail, at client.request. */
#include "policy/state.h"

#include <postern/request.h>

static const struct pn_client_request *request_of(const struct pn_stage_call *call)
{
	return call->subject;
}

static void push_kind(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushstring(lua, request_of(call)->kind);
}

static void push_argument(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, request_of(call)->argument);
}

const struct policy_handle_type policy_request_type = {
	.name = "request",
	.properties =
		(const struct policy_property[]){
			{"argument", push_argument},
			{"kind", push_kind},
			{NULL, NULL},
		},
	.methods = (const luaL_Reg[]){{NULL, NULL}},
};
