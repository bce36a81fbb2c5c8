/* SPDX-License-Identifier: Apache-2.0 */
/* What a script sees of a session, and of an attempt to log in. */
#include "policy/state.h"

#include <postern/authentication.h>
#include <postern/session.h>
#include <postern/text.h>

enum { NOTE_KEY_MAX = 100, NOTE_VALUE_MAX = 4096 };

/* ---- session ---- */

#define TEXT_PROPERTY(name, function)                                                              \
	static void push_##name(lua_State *lua, const struct pn_stage_call *call)                  \
	{                                                                                          \
		lua_pushstring(lua, function(call->session));                                      \
	}

TEXT_PROPERTY(id, pn_session_id)
TEXT_PROPERTY(protocol, pn_session_protocol)
TEXT_PROPERTY(instance, pn_session_instance_name)
TEXT_PROPERTY(listener, pn_session_listener)
TEXT_PROPERTY(hostname, pn_session_hostname)
TEXT_PROPERTY(peer, pn_session_peer)
TEXT_PROPERTY(tls_version, pn_session_tls_version)
TEXT_PROPERTY(tls_cipher, pn_session_tls_cipher)
TEXT_PROPERTY(tls_server_name, pn_session_tls_server_name)

static void push_port(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushinteger(lua, pn_session_peer_port(call->session));
}

static void push_peer_count(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushinteger(lua, pn_session_peer_count(call->session));
}

static void push_is_loopback(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushboolean(lua, pn_session_peer_is_loopback(call->session));
}

static void push_is_encrypted(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushboolean(lua, pn_session_is_encrypted(call->session));
}

static void push_is_authenticated(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushboolean(lua, pn_session_identity(call->session).size != 0);
}

static void push_is_early_talker(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushboolean(lua, pn_session_is_early_talker(call->session));
}

static void push_unauthorised_pipelining(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushinteger(lua, pn_session_unauthorised_pipelining(call->session));
}

static void push_hello(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, pn_session_hello(call->session));
}

static void push_identity(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, pn_session_identity(call->session));
}

/* A table; nil where the client showed none. */
static void push_client_certificate(lua_State *lua, const struct pn_stage_call *call)
{
	const struct pn_client_certificate *certificate =
		pn_session_client_certificate(call->session);

	if (certificate == NULL) {
		lua_pushnil(lua);
		return;
	}
	lua_createtable(lua, 0, 6);
	lua_pushboolean(lua, certificate->is_verified);
	lua_setfield(lua, -2, "is_verified");
	lua_pushstring(lua, certificate->problem);
	lua_setfield(lua, -2, "problem");
	lua_pushstring(lua, certificate->fingerprint);
	lua_setfield(lua, -2, "fingerprint");
	lua_pushstring(lua, certificate->subject);
	lua_setfield(lua, -2, "subject");
	lua_pushstring(lua, certificate->issuer);
	lua_setfield(lua, -2, "issuer");
	lua_pushstring(lua, certificate->name);
	lua_setfield(lua, -2, "name");
}

static void push_message(lua_State *lua, const struct pn_stage_call *call)
{
	(void)call;
	policy_handle_push(lua, POLICY_HANDLE_MESSAGE);
}

static int session_note(lua_State *lua)
{
	const struct pn_stage_call *call = policy_handle_call(lua, 1, POLICY_HANDLE_SESSION);
	struct pn_slice key = policy_check_slice(lua, 2);
	struct pn_slice note = pn_session_note(call->session, policy_shadow_key(lua, key));

	/* What a shadow did not set is what is there. */
	if (note.data == NULL)
		note = pn_session_note(call->session, key);
	if (note.data == NULL)
		lua_pushnil(lua);
	else
		policy_push_slice(lua, note);
	return 1;
}

static int session_set_note(lua_State *lua)
{
	const struct pn_stage_call *call = policy_handle_call(lua, 1, POLICY_HANDLE_SESSION);
	struct pn_slice key = policy_check_slice(lua, 2);
	struct pn_slice value = policy_check_slice(lua, 3);

	luaL_argcheck(lua, key.size > 0 && key.size <= NOTE_KEY_MAX, 2, "a key has 1 to 100 bytes");
	luaL_argcheck(lua, value.size <= NOTE_VALUE_MAX, 3, "a note has at most 4096 bytes");
	policy_count_change(lua);
	pn_session_set_note(call->session, policy_shadow_key(lua, key), value);
	return 0;
}

const struct policy_handle_type policy_session_type = {
	.name = "session",
	.properties =
		(const struct policy_property[]){
			{"client_certificate", push_client_certificate},
			{"hello", push_hello},
			{"hostname", push_hostname},
			{"id", push_id},
			{"identity", push_identity},
			{"instance", push_instance},
			{"is_authenticated", push_is_authenticated},
			{"is_early_talker", push_is_early_talker},
			{"is_encrypted", push_is_encrypted},
			{"is_loopback", push_is_loopback},
			{"listener", push_listener},
			{"message", push_message},
			{"peer", push_peer},
			{"peer_count", push_peer_count},
			{"port", push_port},
			{"protocol", push_protocol},
			{"tls_cipher", push_tls_cipher},
			{"tls_server_name", push_tls_server_name},
			{"tls_version", push_tls_version},
			{"unauthorised_pipelining", push_unauthorised_pipelining},
			{NULL, NULL},
		},
	.methods =
		(const luaL_Reg[]){
			{"note", session_note},
			{"set_note", session_set_note},
			{NULL, NULL},
		},
};

/* ---- attempt: auth.verify ---- */

static const struct pn_credentials *credentials_of(const struct pn_stage_call *call)
{
	return call->subject;
}

static void push_mechanism(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushstring(lua, credentials_of(call)->mechanism);
}

static void push_claimed_identity(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, credentials_of(call)->identity);
}

static void push_authorization(lua_State *lua, const struct pn_stage_call *call)
{
	policy_push_slice(lua, credentials_of(call)->authorization);
}

static void push_failures(lua_State *lua, const struct pn_stage_call *call)
{
	lua_pushinteger(lua, credentials_of(call)->failures);
}

/* The secret itself is not shown: scripts log things. */
static int attempt_secret_is(lua_State *lua)
{
	const struct pn_stage_call *call = policy_handle_call(lua, 1, POLICY_HANDLE_ATTEMPT);
	struct pn_slice secret = credentials_of(call)->secret;

	lua_pushboolean(lua, secret.size != 0 &&
	                             pn_equal_constant_time(secret, policy_check_slice(lua, 2)));
	return 1;
}

const struct policy_handle_type policy_attempt_type = {
	.name = "attempt",
	.properties =
		(const struct policy_property[]){
			{"authorization", push_authorization},
			{"failures", push_failures},
			{"identity", push_claimed_identity},
			{"mechanism", push_mechanism},
			{NULL, NULL},
		},
	.methods =
		(const luaL_Reg[]){
			{"secret_is", attempt_secret_is},
			{NULL, NULL},
		},
};
