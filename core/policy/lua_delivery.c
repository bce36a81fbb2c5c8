/* SPDX-License-Identifier: Apache-2.0 */
/* What a script sees of a delivery, at delivery.start, .response, .done and bounce.create. */
#include "policy/state.h"

#include <postern/delivery.h>

static const struct pn_attempt *attempt_of(const struct pn_stage_call *call)
{
	return call->subject;
}

static void push_text(lua_State *lua, const char *text)
{
	lua_pushstring(lua, text == NULL ? "" : text);
}

static void push_attempts(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushinteger(lua, (lua_Integer)attempt_of(call)->attempts);
}

static void push_arrived(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushnumber(lua, (lua_Number)attempt_of(call)->arrived_ms / 1000);
}

static void push_expires(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushnumber(lua, (lua_Number)attempt_of(call)->expires_ms / 1000);
}

static void push_destination(lua_State *lua, const struct pn_stage_call *call)
{
	push_text(lua, attempt_of(call)->destination);
}

static void push_hop(lua_State *lua, const struct pn_stage_call *call)
{
	push_text(lua, attempt_of(call)->hop_name);
}

static void push_last_reason(lua_State *lua, const struct pn_stage_call *call)
{
	push_text(lua, attempt_of(call)->last_reason);
}

static void push_outcome(lua_State *lua, const struct pn_stage_call *call)
{
	static const char *const names[] = {"untried", "delivered", "deferred", "refused"};

	push_text(lua, names[attempt_of(call)->outcome]);
}

static void push_class(lua_State *lua, const struct pn_stage_call *call)
{
	push_text(lua, pn_answer_class_name(attempt_of(call)->answer_class));
}

static void push_code(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushinteger(lua, (lua_Integer)attempt_of(call)->reply.code);
}

static void push_enhanced(lua_State *lua, const struct pn_stage_call *call)
{
	push_text(lua, attempt_of(call)->reply.enhanced);
}

static void push_reply(lua_State *lua, const struct pn_stage_call *call)
{
	push_text(lua, attempt_of(call)->reply.text);
}

static void push_command(lua_State *lua, const struct pn_stage_call *call)
{
	push_text(lua, attempt_of(call)->command);
}

static void push_bounce_kind(lua_State *lua, const struct pn_stage_call *call)
{
	push_text(lua, attempt_of(call)->bounce_kind);
}

static void push_bounce_to(lua_State *lua, const struct pn_stage_call *call)
{
	push_text(lua, attempt_of(call)->bounce_to);
}

const struct policy_handle_type policy_delivery_type = {
	.name = "delivery",
	.properties =
		(const struct policy_property[]){
			{"arrived", push_arrived},
			{"attempts", push_attempts},
			{"bounce_kind", push_bounce_kind},
			{"bounce_to", push_bounce_to},
			{"class", push_class},
			{"code", push_code},
			{"command", push_command},
			{"destination", push_destination},
			{"enhanced", push_enhanced},
			{"expires", push_expires},
			{"hop", push_hop},
			{"last_reason", push_last_reason},
			{"outcome", push_outcome},
			{"text", push_reply},
			{NULL, NULL},
		},
	.methods = (const luaL_Reg[]){{NULL, NULL}},
};
