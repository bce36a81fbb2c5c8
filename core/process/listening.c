/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening sockets of a worker. They are the master's; each generation says
 * which instance a socket leads to.
 */
#include "process/worker.h"

#include "base/network.h"
#include "io/listener.h"
#include "process/overload.h"
#include "session/proxied.h"
#include "session/session.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct listening {
	char *address;     /* NULL: a free place */
	const char *label; /* the address, as the generation in use holds it */
	int descriptor;
	struct pn_listener *listener;
	struct pn_instance *instance; /* of the generation in use; NULL: not listened to */
	enum pn_listen_tls tls;
	struct pn_tls_service *tls_service;
	const struct pn_network *proxies; /* of the generation in use */
	size_t proxy_count;
};

enum {
	SPARE_DESCRIPTORS = 256,
	ACCEPTS = 4, /* in a turn */
	REFUSALS = 64,
};

static struct listening listenings[PN_MAX_LISTENERS];
static size_t listening_limit; /* sessions of this worker, in the generation in use */

/* Places do not move: listeners hold pointers to them. */
static struct listening *find(const char *address)
{
	for (size_t i = 0; i < PN_MAX_LISTENERS; i++) {
		if (listenings[i].address != NULL && strcmp(listenings[i].address, address) == 0)
			return &listenings[i];
	}
	return NULL;
}

static void forget(struct listening *listening)
{
	pn_listener_free(&listening->listener);
	close(listening->descriptor);
	free(listening->address);
	memset(listening, 0, sizeof(*listening));
}

void pn_listening_add(const char *address, int descriptor)
{
	size_t place = 0;

	if (find(address) != NULL) {
		close(descriptor); /* the same socket again */
		return;
	}
	while (place < PN_MAX_LISTENERS && listenings[place].address != NULL)
		place++;
	if (place == PN_MAX_LISTENERS) {
		close(descriptor);
		return;
	}
	listenings[place].address = strdup(address);
	listenings[place].descriptor = descriptor;
}

int pn_listening_descriptor(const char *address)
{
	const struct listening *listening = find(address);

	return listening == NULL ? -1 : listening->descriptor;
}

/* A worker takes its share and a little more: connections come in bursts, and a count that is a
 * moment old must not leave a client waiting while everybody thinks he is over. */
static bool is_over_share(size_t own)
{
	uint64_t total = 0;
	uint64_t workers = 0;

	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		const struct pn_slot *slot = &pn_worker.shared->slots[i];

		if (atomic_load(&slot->pid) == 0 || atomic_load(&slot->kind) != PN_WORKER_EDGE ||
		    atomic_load(&slot->counters.generation) == 0)
			continue;
		total += atomic_load(&slot->counters.sessions_open);
		workers++;
	}
	return workers > 1 && own > total / workers + 8;
}

/* The store, the resolver and lookups need descriptors too: sessions leave them some. */
static size_t most_sessions(const struct pn_assembly *assembly)
{
	size_t configured = assembly->config->settings.max_sessions;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
	    configured + SPARE_DESCRIPTORS <= limit.rlim_cur)
		return configured;
	return limit.rlim_cur > 2 * SPARE_DESCRIPTORS ? limit.rlim_cur - SPARE_DESCRIPTORS
	                                              : limit.rlim_cur / 2;
}

/* Whether this worker takes no more, told to the others. */
static bool is_full(void)
{
	bool full = pn_overload_is_on() || pn_session_count() >= listening_limit;

	atomic_store(&pn_worker.slot->counters.is_full, full);
	return full;
}

static bool others_have_room(void)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		const struct pn_slot *slot = &pn_worker.shared->slots[i];

		if (slot != pn_worker.slot && atomic_load(&slot->pid) != 0 &&
		    atomic_load(&slot->kind) == PN_WORKER_EDGE &&
		    atomic_load(&slot->counters.generation) != 0 &&
		    atomic_load(&slot->counters.is_full) == 0)
			return true;
	}
	return false;
}

/* Where all are full somebody has to say so. */
static size_t room(void *user)
{
	(void)user;
	if (is_full())
		return others_have_room() ? 0 : REFUSALS;
	return is_over_share(pn_session_count()) ? 0 : ACCEPTS;
}

/* Only those say whom they speak for that the configuration trusts. */
static bool is_proxy(const struct listening *listening, const struct sockaddr *peer)
{
	char text[PN_ADDRESS_TEXT_SIZE];
	uint16_t port;

	if (listening->proxy_count == 0)
		return false;
	pn_socket_text(peer, text, &port);
	for (size_t i = 0; i < listening->proxy_count; i++) {
		if (pn_network_has(&listening->proxies[i], text))
			return true;
	}
	return false;
}

static void accepted(void *user, int descriptor, const struct sockaddr *peer)
{
	const struct listening *listening = user;
	const struct pn_accepted connection = {
		.descriptor = descriptor,
		.peer = peer,
		.listener = listening->label,
		.generation = pn_generation_current,
		.instance = listening->instance,
		.tls_service = listening->tls_service,
		.implicit_tls = listening->tls == PN_LISTEN_IMPLICIT,
		.tls_allowed = listening->tls == PN_LISTEN_STARTTLS,
	};

	if (is_full())
		pn_session_turn_away(&connection, "too busy, come again later");
	else if (is_proxy(listening, peer))
		pn_proxied_accept(&connection);
	else
		pn_session_accept(&connection);
	atomic_store(&pn_worker.slot->counters.sessions_open, pn_session_count());
	atomic_fetch_add(&pn_worker.slot->counters.sessions_total, 1);
}

enum pn_status pn_listening_use(const struct pn_assembly *assembly, struct pn_error *error)
{
	listening_limit = most_sessions(assembly);
	if (listening_limit < assembly->config->settings.max_sessions)
		pn_log(PN_LOG_WARNING, "accept",
		       "max_sessions is %u, but only %zu are taken: this process may have no more "
		       "descriptors; raise its limit (ulimit -n, LimitNOFILE)",
		       (unsigned)assembly->config->settings.max_sessions, listening_limit);
	for (size_t i = 0; i < PN_MAX_LISTENERS; i++)
		listenings[i].instance = NULL;
	for (size_t i = 0; i < assembly->listener_count; i++) {
		const struct pn_bound_listener *bound = &assembly->listeners[i];
		struct listening *listening = find(bound->address);

		if (listening == NULL)
			continue;
		listening->instance = bound->instance;
		listening->tls = bound->tls;
		listening->tls_service = bound->tls_service;
		listening->proxies = bound->proxies;
		listening->proxy_count = bound->proxy_count;
		listening->label = bound->address;
	}
	for (size_t i = 0; i < PN_MAX_LISTENERS; i++) {
		struct listening *listening = &listenings[i];
		const struct pn_listener_events events = {accepted, room, listening};

		/* What nobody listens to is closed, or its port would stay taken. */
		if (listening->address != NULL && listening->instance == NULL)
			forget(listening);
		else if (listening->address != NULL && listening->listener == NULL &&
		         pn_listener_new(listening->descriptor, &events, &listening->listener,
		                         error) != PN_OK)
			return PN_FAILED;
	}
	return PN_OK;
}

void pn_listening_keep_only(const char *first, const char *second)
{
	for (size_t i = 0; i < PN_MAX_LISTENERS; i++) {
		const char *address = listenings[i].address;

		if (address != NULL && strcmp(address, first) != 0 && strcmp(address, second) != 0)
			forget(&listenings[i]);
	}
}

void pn_listening_drop_unused(void)
{
	if (pn_worker.kind == PN_WORKER_CONTROL) {
		pn_listening_keep_only("control-socket",
		                       pn_worker.current->config->settings.control);
		return;
	}
	for (size_t i = 0; i < PN_MAX_LISTENERS; i++) {
		if (listenings[i].address != NULL && listenings[i].listener == NULL)
			forget(&listenings[i]);
	}
}

size_t pn_listening_limit(void)
{
	return listening_limit;
}

void pn_listening_resume(void)
{
	(void)is_full();
	for (size_t i = 0; i < PN_MAX_LISTENERS; i++) {
		if (listenings[i].listener != NULL)
			pn_listener_resume(listenings[i].listener);
	}
}

void pn_listening_stop(void)
{
	for (size_t i = 0; i < PN_MAX_LISTENERS; i++) {
		if (listenings[i].address != NULL)
			forget(&listenings[i]);
	}
}
