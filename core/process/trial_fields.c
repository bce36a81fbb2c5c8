/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of run(stage, fields): what session, message and recipient are like. */
#include "process/trial_words.h"

#include <postern/authentication.h>
#include <postern/delivery.h>
#include <postern/request.h>
#include <postern/text.h>

#include "session/engine.h"

#include <string.h>

/* A field of the table at 2 as a text that stays; NULL where it is absent. */
static const char *text_field(lua_State *lua, const char *name)
{
	const char *text = NULL;
	int type = lua_getfield(lua, 2, name);

	if (type == LUA_TSTRING)
		text = pn_arena_keep_text(pn_trial_arena(), pn_slice_of(lua_tostring(lua, -1)));
	else if (type != LUA_TNIL)
		luaL_error(lua, "run: %s is a text", name);
	lua_pop(lua, 1);
	return text;
}

/* Whether there is one; then it is on top of the stack. */
static bool table_field(lua_State *lua, const char *name)
{
	int type = lua_getfield(lua, 2, name);

	if (type == LUA_TTABLE)
		return true;
	if (type != LUA_TNIL)
		luaL_error(lua, "run: %s is a table", name);
	lua_pop(lua, 1);
	return false;
}

/* -1 where it is absent. */
static int truth_field(lua_State *lua, const char *name)
{
	int answer = lua_getfield(lua, 2, name) == LUA_TNIL ? -1 : lua_toboolean(lua, -1);

	lua_pop(lua, 1);
	return answer;
}

static void check_fields(lua_State *lua)
{
	static const char *const known[] = {"attempt",
	                                    "auth",
	                                    "delivery",
	                                    "facts",
	                                    "hello",
	                                    "hostname",
	                                    "identity",
	                                    "instance",
	                                    "is_early_talker",
	                                    "is_local",
	                                    "is_loopback",
	                                    "listener",
	                                    "message",
	                                    "no_session",
	                                    "peer",
	                                    "peer_count",
	                                    "protocol",
	                                    "recipient",
	                                    "recipients",
	                                    "request",
	                                    "sender",
	                                    "unauthorised_pipelining",
	                                    NULL};

	for (lua_pushnil(lua); lua_next(lua, 2) != 0; lua_pop(lua, 1)) {
		const char *name = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : "";
		size_t index = 0;

		while (known[index] != NULL && strcmp(known[index], name) != 0)
			index++;
		if (known[index] == NULL)
			luaL_error(lua, "run has no field \"%s\"", name);
	}
}

static void take_session(lua_State *lua)
{
	struct pn_trial_session fields = {
		.hello = text_field(lua, "hello"),
		.peer = text_field(lua, "peer"),
		.hostname = text_field(lua, "hostname"),
		.listener = text_field(lua, "listener"),
		.instance = text_field(lua, "instance"),
		.protocol = text_field(lua, "protocol"),
		.identity = text_field(lua, "identity"),
		.is_loopback = truth_field(lua, "is_loopback") > 0,
		.is_early_talker = truth_field(lua, "is_early_talker") > 0,
	};

	lua_getfield(lua, 2, "peer_count");
	fields.peer_count = (uint32_t)luaL_optinteger(lua, -1, 0);
	lua_getfield(lua, 2, "unauthorised_pipelining");
	fields.unauthorised_pipelining = (uint32_t)luaL_optinteger(lua, -1, 0);
	lua_pop(lua, 2);
	pn_trial_set_session(&fields);
}

static void must(lua_State *lua, enum pn_status status, const struct pn_error *error)
{
	if (status != PN_OK)
		luaL_error(lua, "run: %s", error->text);
}

static void take_recipients(lua_State *lua)
{
	const char *recipient = text_field(lua, "recipient");
	struct pn_error error;

	if (table_field(lua, "recipients")) {
		for (lua_Integer index = 1; lua_rawgeti(lua, -1, index) != LUA_TNIL; index++) {
			if (lua_type(lua, -1) != LUA_TSTRING)
				luaL_error(lua, "run: recipients is a list of texts");
			must(lua, pn_trial_recipient(lua_tostring(lua, -1), false, -1, &error),
			     &error);
			lua_pop(lua, 1);
		}
		lua_pop(lua, 2);
	}
	if (recipient != NULL)
		must(lua, pn_trial_recipient(recipient, true, truth_field(lua, "is_local"), &error),
		     &error);
}

/* A pair of the table on top of the stack, whose key is below its value, as texts that stay. */
static void take_pair(lua_State *lua, const char *what, struct pn_slice *key_out,
                      struct pn_slice *value_out)
{
	if (!lua_isstring(lua, -1))
		luaL_error(lua, "run: values in %s are texts", what);
	lua_pushvalue(lua, -2); /* a key that becomes a text must not be that of lua_next() */
	*key_out = pn_arena_keep(pn_trial_arena(), pn_slice_of(luaL_tolstring(lua, -1, NULL)));
	lua_pop(lua, 2);
	*value_out = pn_arena_keep(pn_trial_arena(), pn_slice_of(lua_tostring(lua, -1)));
}

static void set_fact(struct pn_slice name, struct pn_slice key, struct pn_slice value)
{
	const char *whole =
		pn_arena_print(pn_trial_arena(), "%.*s%s%.*s", PN_SLICE_ARGS(name),
	                       name.size > 0 && key.size > 0 ? "." : "", PN_SLICE_ARGS(key));

	pn_transaction_set_fact(pn_trial_the_message(), pn_slice_of(whole), value);
}

/* One check, or one part of it, on top of the stack: { result = "pass", domain = "…", { … } }. */
static void take_check(lua_State *lua, struct pn_slice name, bool is_part)
{
	struct pn_slice key, value;

	for (lua_pushnil(lua); lua_next(lua, -2) != 0; lua_pop(lua, 1)) {
		if (lua_isinteger(lua, -2) && lua_istable(lua, -1) && !is_part) {
			take_check(lua,
			           pn_slice_of(pn_arena_print(pn_trial_arena(), "%.*s.%d",
			                                      PN_SLICE_ARGS(name),
			                                      (int)lua_tointeger(lua, -2))),
			           true);
			continue;
		}
		take_pair(lua, "auth", &key, &value);
		if (pn_slice_equal(key, PN_SLICE("result")))
			key = PN_SLICE_NONE;
		set_fact(name, key, value);
	}
}

/* What checks are to have found: as message.auth has it. And facts, as they are. */
static void take_facts(lua_State *lua)
{
	struct pn_slice key, value;

	if (table_field(lua, "facts")) {
		for (lua_pushnil(lua); lua_next(lua, -2) != 0; lua_pop(lua, 1)) {
			take_pair(lua, "facts", &key, &value);
			set_fact(PN_SLICE_NONE, key, value);
		}
		lua_pop(lua, 1);
	}
	if (!table_field(lua, "auth"))
		return;
	for (lua_pushnil(lua); lua_next(lua, -2) != 0; lua_pop(lua, 1)) {
		if (lua_type(lua, -2) != LUA_TSTRING || !lua_istable(lua, -1))
			luaL_error(lua, "run: auth has tables by the names of checks");
		key = pn_arena_keep(pn_trial_arena(), pn_slice_of(lua_tostring(lua, -2)));
		take_check(lua, key, false);
		value = pn_transaction_fact(pn_trial_the_message(), key);
		set_fact(PN_SLICE("authentication_results"), key,
		         pn_slice_of(pn_arena_print(pn_trial_arena(), "%.*s=%.*s",
		                                    PN_SLICE_ARGS(key), PN_SLICE_ARGS(value))));
	}
	lua_pop(lua, 1);
}

/* A message, where a field speaks of one. */
static void take_message(lua_State *lua, enum pn_stage stage)
{
	const char *sender = text_field(lua, "sender");
	struct pn_slice text = {0};
	struct pn_error error;
	bool is_early = stage <= PN_STAGE_AUTH_VERIFY || stage >= PN_STAGE_MAILBOX_OPEN;

	if (is_early && sender == NULL)
		return;
	must(lua, pn_trial_message(sender == NULL ? "sender@example.net" : sender, &error), &error);
	take_recipients(lua);
	if (lua_getfield(lua, 2, "message") != LUA_TNIL) {
		if (lua_type(lua, -1) != LUA_TSTRING)
			luaL_error(lua, "run: message is a text");
		text.data = lua_tolstring(lua, -1, &text.size);
		must(lua, pn_trial_message_text(text, &error), &error);
	}
	lua_pop(lua, 1);
	take_facts(lua);
}

/* Kept: a number that becomes a text here is nobody's but ours. */
static const char *attempt_text(lua_State *lua, const char *name, const char *usual)
{
	const char *text;

	lua_getfield(lua, -1, name);
	text = pn_arena_keep_text(pn_trial_arena(), pn_slice_of(luaL_optstring(lua, -1, usual)));
	lua_pop(lua, 1);
	return text;
}

static const struct pn_credentials *take_attempt(lua_State *lua)
{
	struct pn_credentials *attempt;

	if (!table_field(lua, "attempt"))
		return NULL;
	attempt = PN_ARENA_NEW(pn_trial_arena(), struct pn_credentials);
	attempt->struct_size = sizeof(*attempt);
	attempt->mechanism = attempt_text(lua, "mechanism", "PLAIN");
	attempt->identity = pn_slice_of(attempt_text(lua, "identity", ""));
	attempt->authorization = pn_slice_of(attempt_text(lua, "authorization", ""));
	attempt->secret = pn_slice_of(attempt_text(lua, "secret", ""));
	lua_getfield(lua, -1, "failures");
	attempt->failures = (uint32_t)luaL_optinteger(lua, -1, 0);
	lua_pop(lua, 2);
	return attempt;
}

static int outcome_of(lua_State *lua, const char *word)
{
	static const char *const outcomes[] = {"untried", "delivered", "deferred", "refused"};

	for (int index = 0; index < 4; index++) {
		if (strcmp(outcomes[index], word) == 0)
			return index;
	}
	return luaL_error(lua, "an outcome is untried, delivered, deferred or refused");
}

static int64_t attempt_seconds(lua_State *lua, const char *name)
{
	lua_Number seconds;

	lua_getfield(lua, -1, name);
	seconds = luaL_optnumber(lua, -1, 0);
	lua_pop(lua, 1);
	return (int64_t)(seconds * 1000);
}

/* A delivery: { attempts =, destination =, hop =, outcome =, class =, code =, … }. */
static const struct pn_attempt *take_delivery(lua_State *lua)
{
	struct pn_attempt *attempt;
	unsigned code;

	if (!table_field(lua, "delivery"))
		return NULL;
	attempt = PN_ARENA_NEW(pn_trial_arena(), struct pn_attempt);
	attempt->struct_size = sizeof(*attempt);
	attempt->destination = attempt_text(lua, "destination", "example.net");
	attempt->hop_name = attempt_text(lua, "hop", "");
	attempt->hop_address = "";
	attempt->last_reason = attempt_text(lua, "last_reason", "");
	attempt->command = attempt_text(lua, "command", "");
	attempt->bounce_kind = attempt_text(lua, "bounce_kind", "");
	attempt->bounce_to = attempt_text(lua, "bounce_to", "");
	attempt->outcome =
		(enum pn_delivery_outcome)outcome_of(lua, attempt_text(lua, "outcome", "untried"));
	attempt->answer_class = pn_answer_class_of(attempt_text(lua, "class", "none"));
	attempt->arrived_ms = attempt_seconds(lua, "arrived");
	attempt->expires_ms = attempt_seconds(lua, "expires");
	lua_getfield(lua, -1, "attempts");
	attempt->attempts = (uint32_t)luaL_optinteger(lua, -1, 1);
	lua_getfield(lua, -2, "code");
	code = (unsigned)luaL_optinteger(lua, -1, 0);
	lua_pop(lua, 2);
	pn_reply_set(&attempt->reply, code, attempt_text(lua, "enhanced", ""),
	             attempt_text(lua, "text", ""));
	lua_pop(lua, 1);
	return attempt;
}

/* What a client asks for: { kind =, argument = }. */
static const struct pn_client_request *take_request(lua_State *lua)
{
	struct pn_client_request *request;

	if (!table_field(lua, "request"))
		return NULL;
	request = PN_ARENA_NEW(pn_trial_arena(), struct pn_client_request);
	request->struct_size = sizeof(*request);
	request->kind = attempt_text(lua, "kind", "verify");
	request->argument = pn_slice_of(attempt_text(lua, "argument", ""));
	lua_pop(lua, 1);
	return request;
}

/* Stages of deliveries, which no session is there for. */
static bool is_delivery(enum pn_stage stage)
{
	return stage == PN_STAGE_DELIVERY_START || stage == PN_STAGE_DELIVERY_RESPONSE ||
	       stage == PN_STAGE_DELIVERY_DONE || stage == PN_STAGE_BOUNCE_CREATE;
}

static bool has_session(enum pn_stage stage)
{
	return !is_delivery(stage) &&
	       (stage < PN_STAGE_GATEWAY_RELOAD || stage == PN_STAGE_CLIENT_REQUEST);
}

const void *pn_trial_take_fields(lua_State *lua, enum pn_stage stage, bool *with_session_out)
{
	check_fields(lua);
	take_session(lua);
	take_message(lua, stage);
	*with_session_out = truth_field(lua, "no_session") != 1 && has_session(stage);
	if (stage == PN_STAGE_CLIENT_REQUEST)
		return take_request(lua);
	return is_delivery(stage) ? (const void *)take_delivery(lua) : take_attempt(lua);
}
