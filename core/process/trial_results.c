/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a spec for what came of a run: the message, the recipient, the session. */
#include "process/trial_words.h"

#include <postern/text.h>
#include <postern/transaction.h>

#include "delivery/route.h"
#include "delivery/transaction.h"
#include "session/session.h"

static struct pn_transaction *need_message(lua_State *lua, const char *word)
{
	pn_trial_need_case(lua, word);
	if (pn_trial_the_message() == NULL)
		luaL_error(lua, "%s: there is no message", word);
	return pn_trial_the_message();
}

static int push_or_nil(lua_State *lua, struct pn_slice value)
{
	if (value.data == NULL)
		lua_pushnil(lua);
	else
		lua_pushlstring(lua, value.data, value.size);
	return 1;
}

static int word_score(lua_State *lua)
{
	lua_pushnumber(lua, pn_transaction_score(need_message(lua, "score")));
	return 1;
}

static int word_fact(lua_State *lua)
{
	return push_or_nil(lua, pn_transaction_fact(need_message(lua, "fact"),
	                                            pn_slice_of(luaL_checkstring(lua, 1))));
}

static int word_note(lua_State *lua)
{
	return push_or_nil(lua, pn_transaction_note(need_message(lua, "note"),
	                                            pn_slice_of(luaL_checkstring(lua, 1))));
}

static int word_session_note(lua_State *lua)
{
	pn_trial_need_case(lua, "session_note");
	return push_or_nil(lua, pn_session_note(pn_trial_the_session(),
	                                        pn_slice_of(luaL_checkstring(lua, 1))));
}

static int word_sender(lua_State *lua)
{
	struct pn_slice text = pn_transaction_sender(need_message(lua, "sender"))->text;

	return push_or_nil(lua, text.size == 0 ? PN_SLICE("") : text);
}

/* header(): all of it as it would be sent on; header("Subject"): a value, or nil. */
static int word_header(lua_State *lua)
{
	struct pn_transaction *transaction = need_message(lua, "header");
	const struct pn_header *header = pn_transaction_header(transaction);
	const struct pn_header_field *field;
	struct pn_buffer text;

	if (header == NULL)
		return luaL_error(lua, "header: the message has none");
	if (lua_isnoneornil(lua, 1)) {
		pn_buffer_init(&text, 4 * 1024 * 1024);
		if (pn_transaction_write_header(transaction, &text) == PN_OK)
			lua_pushlstring(lua, text.data, text.size);
		else
			lua_pushnil(lua);
		pn_buffer_clear(&text);
		return 1;
	}
	field = pn_header_find(header, pn_slice_of(luaL_checkstring(lua, 1)),
	                       (size_t)luaL_optinteger(lua, 2, 1) - 1);
	return push_or_nil(lua, field == NULL ? PN_SLICE_NONE
	                                      : pn_header_unfold(pn_trial_arena(), field->value));
}

static struct pn_recipient *need_recipient(lua_State *lua, const char *word)
{
	pn_trial_need_case(lua, word);
	if (pn_trial_the_recipient() == NULL)
		luaL_error(lua, "%s: no recipient was asked about", word);
	return pn_trial_the_recipient();
}

static int word_mailbox(lua_State *lua)
{
	return push_or_nil(lua, pn_recipient_mailbox(need_recipient(lua, "mailbox")));
}

static int word_flags(lua_State *lua)
{
	return push_or_nil(lua, pn_recipient_flags(need_recipient(lua, "flags")));
}

/* As it stands in the queue: "mx:example.net@carrier;tls=verified". nil: none was set. */
static int word_route(lua_State *lua)
{
	const struct pn_recipient *recipient = need_recipient(lua, "route");
	const struct pn_route *route = pn_recipient_route(recipient);

	if (route->kind == PN_ROUTE_DEFAULT)
		return push_or_nil(lua, PN_SLICE_NONE);
	return push_or_nil(lua,
	                   pn_route_format(route, recipient->address.domain, pn_trial_arena()));
}

/* What it was expanded to, or nil. */
static int word_targets(lua_State *lua)
{
	const struct pn_recipient *recipient = need_recipient(lua, "targets");

	if (recipient->targets == NULL)
		return push_or_nil(lua, PN_SLICE_NONE);
	lua_createtable(lua, (int)recipient->target_count, 0);
	for (size_t index = 0; index < recipient->target_count; index++) {
		push_or_nil(lua, recipient->targets[index].text);
		lua_rawseti(lua, -2, (lua_Integer)index + 1);
	}
	return 1;
}

/* How it waits: { tenant =, priority =, release =, lifetime = }. */
static int word_waiting(lua_State *lua)
{
	const struct pn_transaction *transaction = need_message(lua, "waiting");

	lua_createtable(lua, 0, 4);
	push_or_nil(lua, transaction->has_tenant ? transaction->tenant : PN_SLICE_NONE);
	lua_setfield(lua, -2, "tenant");
	lua_pushinteger(lua, (lua_Integer)transaction->priority);
	lua_setfield(lua, -2, "priority");
	lua_pushinteger(lua, (lua_Integer)(transaction->release_ms / 1000));
	lua_setfield(lua, -2, "release");
	lua_pushinteger(lua, (lua_Integer)(transaction->lifetime_ms / 1000));
	lua_setfield(lua, -2, "lifetime");
	return 1;
}

const luaL_Reg pn_trial_result_words[] = {
	{"fact", word_fact},       {"flags", word_flags},     {"header", word_header},
	{"mailbox", word_mailbox}, {"note", word_note},       {"route", word_route},
	{"score", word_score},     {"sender", word_sender},   {"session_note", word_session_note},
	{"targets", word_targets}, {"waiting", word_waiting}, {NULL, NULL},
};
