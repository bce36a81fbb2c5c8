/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How sessions begin: an accepted connection or one that we make, TLS at once or
 * later, the stages connection.open and connection.secured, and the first call
 * into the module.
 */
#include "session/session.h"

#include <postern/clock.h>

#include "io/loop.h"
#include "io/log.h"
#include "io/tls.h"
#include "session/handshake.h"
#include "session/ticket.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static void run_open(struct pn_session *session, enum pn_answer_kind kind, enum pn_status status,
                     const void *result, const struct pn_error *error)
{
	const struct pn_answer answer = {
		.struct_size = sizeof(answer),
		.kind = kind,
		.status = status,
		.result = result,
		.error = error,
	};
	enum pn_next next;

	session->phase = PN_PHASE_RUNNING;
	session->was_opened = true;
	pn_session_enter(session, "open");
	next = pn_session_leave(session, session->protocol->open(session, session->state, &answer));
	pn_session_proceed(session, next);
}

static void connection_judged(void *user, const struct pn_stage_result *result)
{
	struct pn_session *session = user;

	if (result->verdict == PN_VERDICT_DROP) {
		pn_session_abort(session, PN_CLOSE_REFUSED);
		return;
	}
	run_open(session, PN_ANSWER_VERDICT, PN_OK, result, NULL);
}

static void ask_stage(struct pn_session *session, enum pn_stage stage, pn_stage_done_function *done)
{
	const struct pn_stage_request request = {
		.stage = stage,
		.generation = session->generation,
		.session = session,
		.session_id = session->id,
		.arena = session->arena,
		.trail = &session->trail,
	};

	pn_stage_run(&request, done, session);
}

/* The connection stands (a client's: or failed). */
void pn_session_opened(struct pn_session *session)
{
	struct pn_error error;
	int number;

	if (!session->is_client) {
		ask_stage(session, PN_STAGE_CONNECTION_OPEN, connection_judged);
		return;
	}
	number = pn_socket_take_error(pn_stream_descriptor(session->stream));
	if (number != 0) {
		enum pn_status status =
			pn_fail_errno(&error, number, "cannot connect to %s", session->peer);

		session->input_ended = true;
		run_open(session, PN_ANSWER_CONNECT, status, NULL, &error);
		return;
	}
	if (session->tls_at_once)
		pn_session_start_handshake(session);
	else
		run_open(session, PN_ANSWER_CONNECT, PN_OK, NULL, NULL);
}

/* A connection that we make, or its TLS, was not there in time: `open` hears of it as of any other
 * failure, as <postern/protocol.h> promises. */
void pn_session_connect_late(struct pn_session *session)
{
	struct pn_error error;
	enum pn_status status = pn_fail_with(
		PN_TIMEOUT, &error, "cannot connect to %s: no answer in time", session->peer);

	pn_handshake_forget(session);
	session->input_ended = true;
	run_open(session, PN_ANSWER_CONNECT, status, NULL, &error);
}

static void secured_judged(void *user, const struct pn_stage_result *result)
{
	struct pn_session *session = user;
	const struct pn_answer answer = {
		.struct_size = sizeof(answer),
		.kind = PN_ANSWER_SECURED,
		.status = PN_OK,
		.result = result,
	};

	if (result->verdict == PN_VERDICT_DROP) {
		pn_session_abort(session, PN_CLOSE_REFUSED);
		return;
	}
	session->phase = PN_PHASE_RUNNING;
	pn_session_answered(session, &answer);
}

/* TLS at once, and connection.secured refused: what connection.open would have said. */
static void secured_at_once(void *user, const struct pn_stage_result *result)
{
	struct pn_session *session = user;

	if (result->verdict == PN_VERDICT_CONTINUE || result->verdict == PN_VERDICT_ACCEPT) {
		pn_session_opened(session);
		return;
	}
	connection_judged(session, result);
}

void pn_session_secured(struct pn_session *session, bool is_up, const char *why)
{
	struct pn_stage_result none = {.struct_size = sizeof(none),
	                               .stage = PN_STAGE_CONNECTION_SECURED};
	struct pn_error error;

	pn_stream_want(session->stream, false, false);
	if (!is_up) {
		struct pn_event *event = pn_session_event(session, PN_LOG_INFO, "tls");

		pn_event_text(event, "text", pn_slice_of(why));
		pn_event_send(&event);
	}
	if (!is_up && session->is_client) {
		const struct pn_answer answer = {
			.struct_size = sizeof(answer),
			.kind = session->tls_at_once ? PN_ANSWER_CONNECT : PN_ANSWER_SECURED,
			.status = pn_fail(&error, "TLS with %s failed: %s", session->peer, why),
			.error = &error,
		};

		session->input_ended = true;
		if (session->tls_at_once) {
			run_open(session, PN_ANSWER_CONNECT, answer.status, NULL, &error);
			return;
		}
		session->phase = PN_PHASE_RUNNING;
		pn_session_answered(session, &answer);
		return;
	}
	if (!is_up) {
		pn_session_abort(session, PN_CLOSE_TROUBLE);
		return;
	}
	session->phase = PN_PHASE_OPENING;
	if (!session->is_client)
		session->client_certificate =
			pn_stream_client_certificate(session->stream, session->arena);
	if (session->is_client && session->tls_at_once)
		run_open(session, PN_ANSWER_CONNECT, PN_OK, NULL, NULL);
	else if (session->is_client)
		secured_judged(session, &none);
	else
		ask_stage(session, PN_STAGE_CONNECTION_SECURED,
		          session->tls_at_once ? secured_at_once : secured_judged);
}

/* Without a session, and so without much work: a client that waits for a greeting has said nothing
 * that closing could lose. In TLS there is no telling it before much more is done. */
void pn_session_turn_away(const struct pn_accepted *accepted, const char *why)
{
	const char *word = accepted->instance->module->protocol->turn_away;
	struct pn_event *event = pn_event_new(PN_LOG_INFO, "turned away");
	char peer[PN_ADDRESS_TEXT_SIZE];
	char line[256];
	uint16_t port;

	pn_socket_text(accepted->peer, peer, &port);
	pn_event_text(event, "peer", pn_slice_of(peer));
	pn_event_text(event, "listener", pn_slice_of(accepted->listener));
	pn_event_text(event, "text", pn_slice_of(why));
	pn_event_send(&event);
	pn_session_world.turned_away++;
	if (word != NULL && !accepted->implicit_tls) {
		snprintf(line, sizeof(line), "%s%s\r\n", word, why);
		(void)!send(accepted->descriptor, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	close(accepted->descriptor);
}

void pn_session_accept(const struct pn_accepted *accepted)
{
	struct pn_session *session;
	struct pn_error error;
	char peer[PN_ADDRESS_TEXT_SIZE];
	uint16_t port;
	uint64_t key;
	bool is_rated;
	const char *why;

	pn_socket_text(accepted->peer, peer, &port);
	why = pn_limits_enter(&accepted->generation->session_limits, peer, &key, &is_rated);
	if (why != NULL) {
		pn_session_turn_away(accepted, why);
		return;
	}
	session =
		pn_session_new(accepted->generation, accepted->instance,
	                       accepted->instance->module->protocol, accepted->descriptor, &error);
	if (session == NULL) {
		pn_limits_leave(&key);
		pn_log(PN_LOG_ERROR, "accept", "%s", error.text);
		return;
	}
	session->listener = accepted->listener;
	session->tls_at_once = accepted->implicit_tls;
	session->tls_service = accepted->tls_service;
	session->tls_allowed = accepted->tls_allowed && accepted->tls_service != NULL;
	memcpy(session->peer, peer, sizeof(peer));
	session->peer_port = port;
	session->peer_is_loopback = pn_socket_is_loopback(accepted->peer);
	session->address_key = key;
	session->is_rated = is_rated;
	if (session->tls_at_once)
		pn_session_start_handshake(session);
	else
		pn_session_opened(session);
}

static const char *keep_text(struct pn_session *session, const char *text)
{
	return text == NULL ? NULL : pn_arena_keep_text(session->arena, pn_slice_of(text));
}

static void keep_target(struct pn_session *session, const struct pn_connect *request)
{
	struct pn_tls_target *target = PN_ARENA_NEW(session->arena, struct pn_tls_target);

	target->address = keep_text(session, request->address);
	target->verify_name = keep_text(session, request->tls_name);
	target->server_name = keep_text(session, request->tls_server_name);
	target->trusted_path = keep_text(session, request->tls_trusted);
	session->tls_target = target;
}

enum pn_status pn_connect(struct pn_instance *instance, const struct pn_connect *given,
                          struct pn_error *error)
{
	struct pn_connect whole = {.struct_size = sizeof(whole)};
	const struct pn_connect *request = &whole;
	struct pn_socket_address address;
	struct pn_session *session;
	int descriptor;

	/* A module of an older interface knows fewer fields. */
	memcpy(&whole, given,
	       given->struct_size < sizeof(whole) ? given->struct_size : sizeof(whole));
	if (pn_socket_parse(request->address, &address, error) != PN_OK ||
	    pn_socket_connect(&address, request->source_address, &descriptor, error) != PN_OK)
		return PN_FAILED;
	session = pn_session_new(pn_generation_current, instance, request->protocol, descriptor,
	                         error);
	if (session == NULL)
		return PN_FAILED;
	session->is_client = true;
	session->user = request->user;
	session->listener = "";
	session->tls_at_once = request->tls_at_once;
	keep_target(session, request);
	snprintf(session->peer, sizeof(session->peer), "%s", request->address);
	session->peer_is_loopback =
		pn_socket_is_loopback((const struct sockaddr *)&address.storage);
	pn_timer_set(session->deadline, request->deadline_ms);
	pn_stream_want(session->stream, false, true);
	return PN_OK;
}
