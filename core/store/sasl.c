/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SASL (RFC 4422), once for all protocols: which mechanisms there are, which of them
 * are offered to a session, and the base64 lines that a protocol carries. What the
 * messages mean is in the file of each mechanism; a new one is a file and a row here.
 */
#include <postern/sasl.h>

#include <postern/address.h>
#include <postern/text.h>

#include "io/digest.h"
#include "session/ticket.h"
#include "store/login.h"
#include "store/mechanism.h"

#include <stdio.h>

/* In the order in which they are offered. */
static const struct pn_mechanism *const mechanisms[] = {
	&pn_mechanism_scram_sha_256_plus,
	&pn_mechanism_scram_sha_1_plus,
	&pn_mechanism_scram_sha_256,
	&pn_mechanism_scram_sha_1,
	&pn_mechanism_oauthbearer,
	&pn_mechanism_xoauth2,
	&pn_mechanism_plain,
	&pn_mechanism_login,
	&pn_mechanism_cram_md5,
	&pn_mechanism_external,
};

enum { MECHANISM_COUNT = sizeof(mechanisms) / sizeof(mechanisms[0]), OFFER_SIZE = 256 };

static const struct pn_mechanism *find(struct pn_slice name)
{
	for (size_t i = 0; i < MECHANISM_COUNT; i++) {
		if (pn_slice_equal_ignore_case(pn_slice_of(mechanisms[i]->name), name))
			return mechanisms[i];
	}
	return NULL;
}

/* ---- what is offered ---- */

enum pn_status pn_sasl_check_mechanisms(const struct pn_text_list *list, struct pn_error *error)
{
	const char *names[MECHANISM_COUNT + 1] = {NULL};
	const char *nearest;

	for (size_t i = 0; i < MECHANISM_COUNT; i++)
		names[i] = mechanisms[i]->name;
	for (size_t i = 0; i < list->count; i++) {
		if (find(pn_slice_of(list->items[i])) != NULL)
			continue;
		nearest = pn_nearest_word(list->items[i], names);
		return pn_fail(error, "mechanisms: there is no \"%s\"%s%s%s", list->items[i],
		               nearest == NULL ? "" : " (did you mean ",
		               nearest == NULL ? "" : nearest, nearest == NULL ? "" : "?)");
	}
	return PN_OK;
}

void pn_sasl_set_terms(struct pn_session *session, const struct pn_sasl_terms *terms)
{
	session->login_mechanisms = terms->mechanisms;
	session->login_clear = terms->clear;
}

/* Whether a secret may cross this wire. */
static bool secrets_may_cross(const struct pn_session *session)
{
	return session->login_mechanisms == NULL || pn_session_is_encrypted(session) ||
	       session->login_clear == PN_SASL_CLEAR_ALWAYS ||
	       (session->login_clear == PN_SASL_CLEAR_LOOPBACK && session->peer_is_loopback);
}

static bool list_has(const char *const *items, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (pn_slice_equal_ignore_case(pn_slice_of(items[i]), pn_slice_of(name)))
			return true;
	}
	return false;
}

static bool is_wanted(const struct pn_session *session, const struct pn_mechanism *mechanism)
{
	struct pn_slice usual = PN_SLICE(PN_SASL_USUAL_MECHANISMS);

	if (session->login_mechanisms != NULL)
		return list_has(session->login_mechanisms->items, session->login_mechanisms->count,
		                mechanism->name);
	while (usual.size > 0) {
		if (pn_slice_equal(pn_slice_cut(&usual, ' '), pn_slice_of(mechanism->name)))
			return true;
	}
	return false;
}

static bool module_can(const struct pn_instance *instance, const struct pn_mechanism *mechanism)
{
	const struct pn_authentication *module = instance->module->authentication;

	switch (mechanism->kind) {
	case PN_LOGIN_PASSWORD:
		return module->verify != NULL;
	case PN_LOGIN_VERIFIER:
		return module->verifier != NULL &&
		       (module->offers == NULL ||
		        module->offers(instance->state, mechanism->verifier));
	case PN_LOGIN_TOKEN:
		return module->token != NULL;
	case PN_LOGIN_CERTIFICATE:
		break;
	}
	return false;
}

/* Passwords can be judged by hooks alone. */
static bool can_be_judged(const struct pn_generation *generation,
                          const struct pn_mechanism *mechanism)
{
	if (mechanism->kind == PN_LOGIN_CERTIFICATE)
		return true;
	if (mechanism->kind == PN_LOGIN_PASSWORD &&
	    (generation->authentication_count == 0 ||
	     generation->chains[PN_STAGE_AUTH_VERIFY].count > 0))
		return true;
	for (size_t i = 0; i < generation->authentication_count; i++) {
		if (module_can(generation->authentications[i].instance, mechanism))
			return true;
	}
	return false;
}

/* But for what may not cross the wire. */
static bool is_possible(const struct pn_session *session, const struct pn_mechanism *mechanism)
{
	return is_wanted(session, mechanism) && can_be_judged(session->generation, mechanism) &&
	       (mechanism->is_possible == NULL || mechanism->is_possible(session));
}

bool pn_mechanism_is_offered(const struct pn_session *session, const struct pn_mechanism *mechanism)
{
	return (!mechanism->gives_secret_away || secrets_may_cross(session)) &&
	       is_possible(session, mechanism);
}

const char *pn_sasl_mechanisms(const struct pn_session *session)
{
	static char offer[OFFER_SIZE];
	size_t size = 0;

	offer[0] = '\0';
	for (size_t i = 0; i < MECHANISM_COUNT; i++) {
		if (!pn_mechanism_is_offered(session, mechanisms[i]))
			continue;
		size += (size_t)snprintf(offer + size, sizeof(offer) - size, "%s%s",
		                         size > 0 ? " " : "", mechanisms[i]->name);
	}
	return offer;
}

bool pn_sasl_takes_passwords(const struct pn_session *session)
{
	return pn_mechanism_is_offered(session, &pn_mechanism_plain) ||
	       pn_mechanism_is_offered(session, &pn_mechanism_login);
}

/* ---- messages ---- */

bool pn_mechanism_read_name(struct pn_login *login, struct pn_slice text, struct pn_slice *name_out)
{
	char *name = pn_arena_allocate(login->arena, text.size + 1);
	size_t size = 0;

	for (size_t i = 0; i < text.size; i++) {
		struct pn_slice rest = pn_slice_behind(text, i);

		if (text.data[i] == '\0')
			return false;
		name[size] = text.data[i];
		if (text.data[i] == '=') {
			if (pn_slice_starts_with_ignore_case(rest, PN_SLICE("=2C")))
				name[size] = ',';
			else if (!pn_slice_starts_with_ignore_case(rest, PN_SLICE("=3D")))
				return false;
			i += 2;
		}
		size++;
	}
	*name_out = pn_slice_make(name, size);
	return size > 0 && size <= PN_PATH_MAX;
}

/* ---- lines ---- */

/* Base64, "=" for the empty message where that is allowed. */
static enum pn_next take_line(struct pn_login *login, struct pn_slice line)
{
	struct pn_buffer message;

	pn_buffer_init(&message, PN_LOGIN_MESSAGE_MAX);
	if (pn_base64_decode(&message, line) != PN_OK)
		pn_login_end(login, PN_SASL_MALFORMED, NULL, "");
	else
		login->mechanism->take(login, pn_buffer_slice(&message));
	if (message.data != NULL)
		pn_wipe(message.data, message.size);
	pn_buffer_clear(&message);
	return PN_NEXT_ANSWER;
}

enum pn_next pn_sasl_begin(struct pn_session *session, struct pn_slice name, bool has_initial,
                           struct pn_slice initial)
{
	struct pn_ticket ticket = pn_ticket_open_unlimited(session, NULL, NULL);
	const struct pn_mechanism *mechanism = find(name);
	struct pn_login *login;

	if (mechanism == NULL || !is_possible(session, mechanism)) {
		pn_login_answer(ticket, PN_SASL_UNKNOWN_MECHANISM);
		return PN_NEXT_ANSWER;
	}
	if (!pn_mechanism_is_offered(session, mechanism)) {
		pn_login_answer(ticket, PN_SASL_NEEDS_TLS);
		return PN_NEXT_ANSWER;
	}
	login = pn_login_new(session, mechanism->name, mechanism->exchange_size);
	login->mechanism = mechanism;
	login->ticket = ticket;
	if (has_initial && mechanism->server_begins)
		pn_login_end(login, PN_SASL_MALFORMED, NULL, "");
	else if (has_initial)
		take_line(login, pn_slice_equal(initial, PN_SLICE("=")) ? PN_SLICE_NONE : initial);
	else if (mechanism->begin != NULL)
		mechanism->begin(login);
	else
		pn_login_challenge(login, PN_SLICE_NONE);
	return PN_NEXT_ANSWER;
}

enum pn_next pn_sasl_respond(struct pn_session *session, struct pn_slice line)
{
	struct pn_ticket ticket = pn_ticket_open_unlimited(session, NULL, NULL);
	struct pn_login *login = pn_login_of(session);

	if (login == NULL || !login->waits_for_client) {
		pn_login_answer(ticket, PN_SASL_MALFORMED);
		return PN_NEXT_ANSWER;
	}
	login->ticket = ticket;
	login->waits_for_client = false;
	if (pn_slice_equal(line, PN_SLICE("*")))
		pn_login_end(login, PN_SASL_CANCELLED, NULL, "");
	else
		take_line(login, line);
	return PN_NEXT_ANSWER;
}

enum pn_next pn_password_login(struct pn_session *session, struct pn_slice name,
                               struct pn_slice password)
{
	struct pn_ticket ticket = pn_ticket_open_unlimited(session, NULL, NULL);
	const struct pn_login_claim claim = {
		.kind = PN_LOGIN_PASSWORD,
		.identity = name,
		.secret = password,
	};
	struct pn_login *login;

	if (password.size == 0 || password.size > PN_LOGIN_SECRET_MAX) {
		pn_login_answer(ticket, PN_SASL_WRONG);
		return PN_NEXT_ANSWER;
	}
	login = pn_login_new(session, "PASSWORD", 0);
	login->ticket = ticket;
	pn_login_ask(login, &claim);
	return PN_NEXT_ANSWER;
}
