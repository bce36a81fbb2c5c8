/* SPDX-License-Identifier: Apache-2.0 */
/* What a script sees of a recipient, at the stages that ask about each one. */
#include "policy/state.h"

#include <postern/route.h>
#include <postern/text.h>
#include <postern/transaction.h>

#include "base/utf8.h"
#include "delivery/route.h"
#include "mail/keyword.h"

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

bool policy_is_mailbox_name(struct pn_slice text)
{
	uint32_t code_point;

	while (text.size > 0) {
		size_t size = pn_utf8_next(text, &code_point);

		if (size == 0 || pn_utf8_is_control(code_point))
			return false;
		text = pn_slice_behind(text, size);
	}
	return true;
}

static int recipient_set_mailbox(lua_State *lua)
{
	const struct pn_stage_call *call = check_delivery(lua);
	struct pn_slice mailbox = policy_check_slice(lua, 2);

	luaL_argcheck(lua, mailbox.size > 0 && mailbox.size <= MAILBOX_NAME_MAX, 2,
	              "the name of a mailbox has 1 to 255 bytes");
	luaL_argcheck(lua, policy_is_mailbox_name(mailbox), 2,
	              "the name of a mailbox is UTF-8 without controls");
	if (!policy_is_shadow(lua))
		pn_recipient_set_mailbox(call->recipient, mailbox);
	return 0;
}

/* "\\Seen $Junk" */
static bool are_flags(struct pn_slice words)
{
	while (words.size > 0) {
		struct pn_slice word = pn_slice_cut(&words, ' ');

		if (word.size > 0 && word.data[0] == '\\')
			word = pn_slice_behind(word, 1);
		else if (word.size == 0)
			continue;
		if (!pn_keyword_is_valid(word))
			return false;
	}
	return true;
}

static int recipient_set_flags(lua_State *lua)
{
	const struct pn_stage_call *call = check_delivery(lua);
	struct pn_slice flags = policy_check_slice(lua, 2);

	luaL_argcheck(lua, flags.size <= MAILBOX_NAME_MAX, 2, "flags have at most 255 bytes");
	luaL_argcheck(lua, are_flags(flags), 2,
	              "flags are \\Seen and the like, and keywords: letters, digits, - _ . $ and "
	              "the like");
	if (!policy_is_shadow(lua))
		pn_recipient_set_flags(call->recipient, flags);
	return 0;
}

/* ---- where it goes ---- */

static struct pn_slice text_field(lua_State *lua, const char *name)
{
	struct pn_slice text = PN_SLICE_NONE;

	if (lua_getfield(lua, 2, name) != LUA_TNIL) {
		luaL_argcheck(lua, lua_type(lua, -1) == LUA_TSTRING, 2,
		              "the parts of a route are texts");
		text = policy_check_slice(lua, -1);
	}
	return text; /* the table holds it */
}

static void refuse_unknown_fields(lua_State *lua)
{
	static const char *const known[] = {"account", "hosts",     "mx", "source",
	                                    "tls",     "transport", NULL};

	lua_pushnil(lua);
	while (lua_next(lua, 2) != 0) {
		const char *name = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : "?";
		size_t i = 0;

		while (known[i] != NULL && strcmp(known[i], name) != 0)
			i++;
		if (known[i] == NULL)
			policy_unknown(lua, lua_pushfstring(lua, "a route has no \"%s\"", name),
			               name, known);
		lua_pop(lua, 1);
	}
}

static void read_hosts(lua_State *lua, struct pn_slice hosts[PN_ROUTE_HOSTS_MAX],
                       struct pn_route *route)
{
	lua_getfield(lua, 2, "hosts");
	luaL_argcheck(lua, lua_istable(lua, -1), 2, "hosts is a list: hosts = { \"name:25\" }");
	luaL_argcheck(lua, lua_rawlen(lua, -1) <= PN_ROUTE_HOSTS_MAX, 2,
	              "a route has at most 32 hosts");
	route->host_count = (size_t)lua_rawlen(lua, -1);
	for (size_t i = 0; i < route->host_count; i++) {
		lua_rawgeti(lua, -1, (lua_Integer)i + 1);
		luaL_argcheck(lua, lua_type(lua, -1) == LUA_TSTRING, 2, "hosts is a list of texts");
		hosts[i] = policy_check_slice(lua, -1);
		lua_pop(lua, 1);
	}
	route->hosts = hosts;
}

/* recipient:route{ mx = "example.net" }, { hosts = {…}, transport = …, tls = …, source = … },
 * { account = true } */
static int recipient_route(lua_State *lua)
{
	const struct pn_stage_call *call = check_recipient(lua);
	struct pn_slice hosts[PN_ROUTE_HOSTS_MAX];
	struct pn_route route = {.struct_size = sizeof(route), .kind = PN_ROUTE_MX};
	struct pn_slice tls;
	struct pn_error error;
	enum pn_status status;

	luaL_checktype(lua, 2, LUA_TTABLE);
	refuse_unknown_fields(lua);
	if (call->stage != PN_STAGE_RECIPIENT_ROUTE)
		return luaL_error(lua, "a route can be set at recipient.route only");
	policy_count_change(lua);
	luaL_checkstack(lua, 12, NULL);
	if (lua_getfield(lua, 2, "hosts") != LUA_TNIL) {
		route.kind = PN_ROUTE_HOSTS;
		read_hosts(lua, hosts, &route);
	} else if (lua_getfield(lua, 2, "account") != LUA_TNIL) {
		route.kind = PN_ROUTE_ACCOUNT;
	} else {
		route.domain = text_field(lua, "mx");
	}
	route.transport = text_field(lua, "transport");
	route.source_address = text_field(lua, "source");
	tls = text_field(lua, "tls");
	if (tls.size > 0 && pn_route_tls_of(tls, &route.tls) != PN_OK)
		return luaL_error(lua, "tls is \"never\", \"opportunistic\", \"required\" or "
		                       "\"verified\"");
	status = policy_is_shadow(lua) ? pn_route_check(&route, &error)
	                               : pn_recipient_set_route(call->recipient, &route, &error);
	if (status != PN_OK)
		return luaL_error(lua, "%s", error.text);
	return 0;
}

/* recipient:expand{ "a@example.org", … }: the mail goes to these instead. */
static int recipient_expand(lua_State *lua)
{
	const struct pn_stage_call *call = check_recipient(lua);
	struct pn_slice *addresses;
	size_t count;
	enum pn_status status;

	luaL_checktype(lua, 2, LUA_TTABLE);
	if (call->stage != PN_STAGE_RECIPIENT_ROUTE && call->stage != PN_STAGE_ENVELOPE_RECIPIENT)
		return luaL_error(lua, "a recipient can be expanded at envelope.recipient and "
		                       "recipient.route only");
	policy_count_change(lua);
	count = (size_t)lua_rawlen(lua, 2);
	luaL_argcheck(lua, count >= 1 && count <= PN_TARGETS_MAX, 2, "1 to 1000 addresses");
	policy_budget_spend(lua, 100 * count);
	addresses = lua_newuserdatauv(lua, count * sizeof(*addresses), 0);
	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(lua, 2, (lua_Integer)i + 1);
		luaL_argcheck(lua, lua_type(lua, -1) == LUA_TSTRING, 2, "a list of addresses");
		addresses[i] = policy_check_slice(lua, -1);
		lua_pop(lua, 1);
	}
	if (policy_is_shadow(lua))
		return 0;
	status = pn_recipient_expand(call->recipient, addresses, count);
	if (status == PN_LIMIT)
		return luaL_error(lua, "one recipient becomes at most 1000 others, in at most 10 "
		                       "steps: does an address lead to itself?");
	if (status != PN_OK)
		return luaL_error(lua, "one of these is no address");
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
			{"expand", recipient_expand},
			{"parameter", recipient_parameter},
			{"route", recipient_route},
			{"set_flags", recipient_set_flags},
			{"set_mailbox", recipient_set_mailbox},
			{NULL, NULL},
		},
};
