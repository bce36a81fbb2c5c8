/* SPDX-License-Identifier: Apache-2.0 */
/* What hooks and protocols may ask of a session: <postern/session.h>. */
#include "session/session.h"

#include <postern/text.h>

#include "io/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>

const char *pn_session_id(const struct pn_session *session)
{
	return session->id;
}

const char *pn_session_protocol(const struct pn_session *session)
{
	return session->protocol->name;
}

const char *pn_session_instance_name(const struct pn_session *session)
{
	return session->instance != NULL ? session->instance->name : "";
}

const char *pn_session_listener(const struct pn_session *session)
{
	return session->listener;
}

void *pn_session_instance(const struct pn_session *session)
{
	return session->instance != NULL ? session->instance->state : NULL;
}

const void *pn_session_config(const struct pn_session *session)
{
	return session->config;
}

const char *pn_session_hostname(const struct pn_session *session)
{
	return session->generation->hostname;
}

const char *pn_session_peer(const struct pn_session *session)
{
	return session->peer;
}

uint16_t pn_session_peer_port(const struct pn_session *session)
{
	return session->peer_port;
}

bool pn_session_peer_is_loopback(const struct pn_session *session)
{
	return session->peer_is_loopback;
}

bool pn_session_is_encrypted(const struct pn_session *session)
{
	return session->stream != NULL && pn_stream_is_encrypted(session->stream);
}

const char *pn_session_tls_version(const struct pn_session *session)
{
	return session->stream == NULL ? "" : pn_stream_tls_version(session->stream);
}

const char *pn_session_tls_cipher(const struct pn_session *session)
{
	return session->stream == NULL ? "" : pn_stream_tls_cipher(session->stream);
}

const char *pn_session_tls_server_name(const struct pn_session *session)
{
	return session->stream == NULL ? "" : pn_stream_tls_server_name(session->stream);
}

const struct pn_client_certificate *pn_session_client_certificate(const struct pn_session *session)
{
	return session->client_certificate;
}

bool pn_session_can_start_tls(const struct pn_session *session)
{
	return session->tls_allowed && !pn_session_is_encrypted(session);
}

static struct pn_slice kept(const struct pn_kept_text *place)
{
	return pn_slice_make(place->room, place->size);
}

struct pn_slice pn_session_hello(const struct pn_session *session)
{
	return kept(&session->hello);
}

/* Room in the session's arena is for ever: a text that changes keeps its place and takes a new one
 * only when it outgrows it, by half at least, so that a client that greets a thousand times with
 * ever longer names takes little. */
static void keep_in_place(struct pn_session *session, struct pn_kept_text *place,
                          struct pn_slice text)
{
	if (text.size > place->capacity) {
		place->capacity = text.size + text.size / 2 + 32;
		place->room = pn_arena_allocate(session->arena, place->capacity);
	}
	if (text.size > 0)
		memmove(place->room, text.data, text.size);
	place->size = text.size;
}

void pn_session_set_hello(struct pn_session *session, struct pn_slice name)
{
	keep_in_place(session, &session->hello, name);
}

struct pn_slice pn_session_identity(const struct pn_session *session)
{
	return session->identity;
}

const struct pn_account *pn_session_account(const struct pn_session *session)
{
	return session->account;
}

struct pn_transaction *pn_session_transaction(const struct pn_session *session)
{
	return session->transaction;
}

unsigned pn_session_worker(const struct pn_session *session)
{
	(void)session;
	return pn_session_world.worker_number;
}

uint32_t pn_session_peer_count(const struct pn_session *session)
{
	return pn_session_world.count(session->address_key, 0);
}

struct pn_arena *pn_session_arena(struct pn_session *session)
{
	return session->arena;
}

void *pn_session_user(const struct pn_session *session)
{
	return session->user;
}

bool pn_session_has_more(const struct pn_session *session)
{
	return session->window_left > 0 ||
	       (session->stream != NULL && pn_stream_has_pending(session->stream));
}

bool pn_session_has_input(const struct pn_session *session)
{
	return session->input.size > 0 ||
	       (session->stream != NULL && pn_stream_has_input(session->stream));
}

static bool is_address(const char *text, struct sockaddr_storage *storage)
{
	memset(storage, 0, sizeof(*storage));
	if (inet_pton(AF_INET, text, &((struct sockaddr_in *)storage)->sin_addr) == 1) {
		storage->ss_family = AF_INET;
		return true;
	}
	if (inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)storage)->sin6_addr) == 1) {
		storage->ss_family = AF_INET6;
		return true;
	}
	return false;
}

enum pn_status pn_session_set_peer(struct pn_session *session, struct pn_slice address,
                                   uint16_t port)
{
	struct sockaddr_storage storage;
	char given[INET6_ADDRSTRLEN];
	char text[PN_ADDRESS_TEXT_SIZE] = "unknown";
	uint64_t key;
	uint16_t unused;

	if (address.size == 0 || address.size >= sizeof(given) ||
	    memchr(address.data, '\0', address.size) != NULL)
		return PN_FAILED;
	memcpy(given, address.data, address.size);
	given[address.size] = '\0';
	if (is_address(given, &storage))
		pn_socket_text((const struct sockaddr *)&storage, text, &unused);
	else if (strcmp(given, "unknown") != 0)
		return PN_FAILED;
	session->peer_port = strcmp(text, session->peer) == 0 ? port : session->peer_port;
	if (strcmp(text, session->peer) == 0)
		return PN_OK;
	if (pn_limits_enter(&session->generation->session_limits, text, &key, &session->is_rated) !=
	    NULL)
		return PN_LIMIT;
	pn_limits_leave(&session->address_key);
	session->address_key = key;
	if (session->spoken_for_by == NULL)
		session->spoken_for_by =
			pn_arena_keep_text(session->arena, pn_slice_of(session->peer));
	snprintf(session->peer, sizeof(session->peer), "%s", text);
	session->peer_port = port;
	session->peer_is_loopback = storage.ss_family != AF_UNSPEC &&
	                            pn_socket_is_loopback((const struct sockaddr *)&storage);
	return PN_OK;
}

void pn_session_set_early_talker(struct pn_session *session)
{
	session->is_early_talker = true;
}

bool pn_session_is_early_talker(const struct pn_session *session)
{
	return session->is_early_talker;
}

void pn_session_count_pipelining(struct pn_session *session)
{
	if (session->unauthorised_pipelining < UINT32_MAX)
		session->unauthorised_pipelining++;
}

uint32_t pn_session_unauthorised_pipelining(const struct pn_session *session)
{
	return session->unauthorised_pipelining;
}

static struct pn_session_note *find_note(const struct pn_session *session, struct pn_slice key)
{
	struct pn_session_note *note = session->notes;

	while (note != NULL && !pn_slice_equal(note->key, key))
		note = note->next;
	return note;
}

void pn_session_set_note(struct pn_session *session, struct pn_slice key, struct pn_slice value)
{
	struct pn_session_note *note = find_note(session, key);

	if (note == NULL) {
		note = PN_ARENA_NEW(session->arena, struct pn_session_note);
		note->key = pn_arena_keep(session->arena, key);
		note->next = session->notes;
		session->notes = note;
	}
	keep_in_place(session, &note->value, value);
}

struct pn_slice pn_session_note(const struct pn_session *session, struct pn_slice key)
{
	const struct pn_session_note *note = find_note(session, key);

	if (note == NULL)
		return PN_SLICE_NONE;
	/* An empty note is there all the same. */
	return note->value.size == 0 ? PN_SLICE("") : kept(&note->value);
}

struct pn_event *pn_session_event(struct pn_session *session, enum pn_log_level level,
                                  const char *what)
{
	struct pn_event *event = pn_event_new(level, what);

	pn_event_id(event, "session", session->id);
	pn_event_text(event, "protocol", pn_slice_of(session->protocol->name));
	pn_event_text(event, "instance", pn_slice_of(pn_session_instance_name(session)));
	pn_event_text(event, "peer", pn_slice_of(session->peer));
	if (session->identity.size > 0)
		pn_event_text(event, "identity", session->identity);
	return event;
}

void pn_session_log(struct pn_session *session, const char *format, ...)
{
	struct pn_event *event;
	char text[1024];
	va_list arguments;

	if (!pn_log_wants(PN_LOG_INFO))
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	event = pn_session_event(session, PN_LOG_INFO, "note");
	pn_event_text(event, "text", pn_slice_of(text));
	pn_event_send(&event);
}
