/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SASL mechanisms (RFC 4422), once for all protocols: PLAIN (RFC 4616), LOGIN,
 * and a protocol's own name-and-password commands. A protocol carries base64
 * lines; what they mean is decided here.
 */
#include <postern/sasl.h>

#include <postern/address.h>
#include <postern/text.h>

#include "io/digest.h"
#include "session/ticket.h"
#include "store/login.h"

#include <stdlib.h>

enum { MAX_RESPONSE = 12 * 1024, MAX_SECRET = 1024 };

enum exchange_step { STEP_PLAIN = 0, STEP_LOGIN_NAME, STEP_LOGIN_PASSWORD };

/* An exchange under way; hangs on the session. */
struct exchange {
	enum exchange_step step;
	char name[PN_PATH_MAX + 1];
	size_t name_size;
};

static void free_exchange(struct pn_session *session, void *pointer)
{
	(void)session;
	pn_wipe(pointer, sizeof(struct exchange));
	free(pointer);
}

static void end_exchange(struct pn_session *session)
{
	if (session->login_attachment.release != NULL)
		session->login_attachment.release(session, session->login_attachment.attachment);
	session->login_attachment.release = NULL;
	session->login_attachment.attachment = NULL;
}

const char *pn_sasl_mechanisms(const struct pn_session *session)
{
	(void)session;
	return "PLAIN LOGIN";
}

static void free_step(void *pointer)
{
	free(pointer);
}

static enum pn_next challenge(struct pn_ticket ticket, struct pn_slice text)
{
	struct pn_sasl_step *step = calloc(1, sizeof(*step));

	if (step == NULL)
		abort();
	step->struct_size = sizeof(*step);
	step->outcome = PN_SASL_CHALLENGE;
	step->challenge = text;
	pn_ticket_answer(ticket, PN_ANSWER_SASL, PN_OK, step, free_step, NULL);
	return PN_NEXT_ANSWER;
}

static enum pn_next finish(struct pn_session *session, struct pn_ticket ticket,
                           enum pn_sasl_outcome outcome)
{
	end_exchange(session);
	pn_login_answer(session, ticket, outcome, NULL);
	return PN_NEXT_ANSWER;
}

/* RFC 4616: [authzid] NUL authcid NUL passwd. */
static enum pn_next plain(struct pn_session *session, struct pn_ticket ticket,
                          struct pn_slice message)
{
	struct pn_slice rest = message;
	struct pn_slice authorization = pn_slice_cut(&rest, '\0');
	struct pn_slice identity = pn_slice_cut(&rest, '\0');

	if (authorization.size + identity.size + 2 > message.size || identity.size == 0 ||
	    rest.size == 0 || rest.size > MAX_SECRET || memchr(rest.data, '\0', rest.size) != NULL)
		return finish(session, ticket, PN_SASL_MALFORMED);
	end_exchange(session);
	pn_login_verify(session, "PLAIN", identity, authorization, rest, ticket);
	return PN_NEXT_ANSWER;
}

static enum pn_next login_name(struct pn_session *session, struct pn_ticket ticket,
                               struct exchange *exchange, struct pn_slice message)
{
	if (message.size == 0 || message.size > PN_PATH_MAX)
		return finish(session, ticket, PN_SASL_MALFORMED);
	memcpy(exchange->name, message.data, message.size);
	exchange->name_size = message.size;
	exchange->step = STEP_LOGIN_PASSWORD;
	return challenge(ticket, PN_SLICE("UGFzc3dvcmQ6"));
}

static enum pn_next login_password(struct pn_session *session, struct pn_ticket ticket,
                                   struct exchange *exchange, struct pn_slice message)
{
	char name[PN_PATH_MAX];
	size_t size = exchange->name_size;

	if (message.size == 0 || message.size > MAX_SECRET)
		return finish(session, ticket, PN_SASL_MALFORMED);
	memcpy(name, exchange->name, size);
	end_exchange(session);
	pn_login_verify(session, "LOGIN", pn_slice_make(name, size), PN_SLICE_NONE, message,
	                ticket);
	return PN_NEXT_ANSWER;
}

static enum pn_next take_message(struct pn_session *session, struct pn_ticket ticket,
                                 struct pn_slice message)
{
	struct exchange *exchange = session->login_attachment.attachment;

	switch (exchange->step) {
	case STEP_LOGIN_NAME:
		return login_name(session, ticket, exchange, message);
	case STEP_LOGIN_PASSWORD:
		return login_password(session, ticket, exchange, message);
	case STEP_PLAIN:
		break;
	}
	return plain(session, ticket, message);
}

/* A line of base64, "=" for the empty message where that is allowed. */
static enum pn_next take_line(struct pn_session *session, struct pn_ticket ticket,
                              struct pn_slice line)
{
	struct pn_buffer message;
	enum pn_next next;

	pn_buffer_init(&message, MAX_RESPONSE);
	if (pn_base64_decode(&message, line) != PN_OK)
		next = finish(session, ticket, PN_SASL_MALFORMED);
	else
		next = take_message(session, ticket, pn_buffer_slice(&message));
	if (message.data != NULL)
		pn_wipe(message.data, message.size);
	pn_buffer_clear(&message);
	return next;
}

enum pn_next pn_sasl_begin(struct pn_session *session, struct pn_slice mechanism, bool has_initial,
                           struct pn_slice initial)
{
	struct pn_ticket ticket = pn_ticket_open_unlimited(session, NULL, NULL);
	bool is_login = pn_slice_equal_ignore_case(mechanism, PN_SLICE("LOGIN"));
	struct exchange *exchange;

	end_exchange(session);
	if (!is_login && !pn_slice_equal_ignore_case(mechanism, PN_SLICE("PLAIN")))
		return finish(session, ticket, PN_SASL_UNKNOWN_MECHANISM);
	exchange = calloc(1, sizeof(*exchange));
	if (exchange == NULL)
		abort();
	exchange->step = is_login ? STEP_LOGIN_NAME : STEP_PLAIN;
	session->login_attachment.release = free_exchange;
	session->login_attachment.attachment = exchange;
	if (has_initial && pn_slice_equal(initial, PN_SLICE("=")))
		return take_line(session, ticket, PN_SLICE_NONE);
	if (has_initial)
		return take_line(session, ticket, initial);
	return challenge(ticket, is_login ? PN_SLICE("VXNlcm5hbWU6") : PN_SLICE(""));
}

enum pn_next pn_sasl_respond(struct pn_session *session, struct pn_slice line)
{
	struct pn_ticket ticket = pn_ticket_open_unlimited(session, NULL, NULL);

	if (session->login_attachment.release == NULL)
		return finish(session, ticket, PN_SASL_MALFORMED);
	if (pn_slice_equal(line, PN_SLICE("*")))
		return finish(session, ticket, PN_SASL_CANCELLED);
	return take_line(session, ticket, line);
}

enum pn_next pn_password_login(struct pn_session *session, struct pn_slice name,
                               struct pn_slice password)
{
	struct pn_ticket ticket = pn_ticket_open_unlimited(session, NULL, NULL);

	if (password.size == 0 || password.size > MAX_SECRET)
		return finish(session, ticket, PN_SASL_WRONG);
	pn_login_verify(session, "PASSWORD", name, PN_SLICE_NONE, password, ticket);
	return PN_NEXT_ANSWER;
}
