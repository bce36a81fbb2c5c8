/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting connections from a shared socket. */
#include "io/listener.h"

#include <postern/log.h>

#include "io/loop.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PAUSE_MS = 20,          /* while over its share: another worker takes them */
	STARVED_PAUSE_MS = 200, /* no descriptors left: sessions must end first */
	NOT_SENT_MAX = 256 * 1024,
};

struct pn_listener {
	struct pn_watch *watch;
	struct pn_timer *pause;
	struct pn_listener_events events;
	int descriptor;
	bool is_starved; /* and that was said */
};

static void pause_for(struct pn_listener *listener, uint64_t milliseconds)
{
	pn_watch_set(listener->watch, 0);
	pn_timer_set(listener->pause, milliseconds);
}

static void pause_ended(void *user)
{
	struct pn_listener *listener = user;

	pn_watch_set(listener->watch, PN_WATCH_READ);
}

/* Those that wait stay in the queue of the socket, and nobody turns in circles for them. */
static void starved(struct pn_listener *listener, int number)
{
	if (!listener->is_starved)
		pn_log(PN_LOG_WARNING, "accept", "cannot accept: %s", strerror(number));
	listener->is_starved = true;
	pause_for(listener, STARVED_PAUSE_MS);
}

static void connection_waits(void *user, int ready)
{
	struct pn_listener *listener = user;
	const int on = 1;
	size_t room = 1;

	(void)ready;
	for (size_t i = 0; i < room; i++) {
		struct sockaddr_storage peer;
		socklen_t size = sizeof(peer);
		int descriptor;

		room = listener->events.room(listener->events.user);
		if (room == 0) {
			pause_for(listener, PAUSE_MS);
			return;
		}
		memset(&peer, 0, sizeof(peer));
		descriptor = accept4(listener->descriptor, (struct sockaddr *)&peer, &size,
		                     SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (descriptor < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			    errno == ENOBUFS) {
				starved(listener, errno);
			}
			return;
		}
		listener->is_starved = false;
		if (peer.ss_family != AF_UNIX)
			setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		listener->events.accepted(listener->events.user, descriptor,
		                          (struct sockaddr *)&peer);
	}
}

enum pn_status pn_listener_new(int descriptor, const struct pn_listener_events *events,
                               struct pn_listener **listener_out, struct pn_error *error)
{
	struct pn_listener *listener = calloc(1, sizeof(*listener));

	if (listener == NULL)
		abort();
	listener->descriptor = descriptor;
	listener->events = *events;
	/* Its connections inherit it: what a client does not read would otherwise fill megabytes of
	 * the machine's memory for each of them before anybody here saw that it is slow. */
	(void)setsockopt(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &(int){NOT_SENT_MAX},
	                 sizeof(int));
	if (pn_watch_new(descriptor, connection_waits, listener, &listener->watch, error) !=
	    PN_OK) {
		free(listener);
		return PN_FAILED;
	}
	listener->pause = pn_timer_new(pause_ended, listener);
	pn_watch_set(listener->watch, PN_WATCH_READ);
	*listener_out = listener;
	return PN_OK;
}

void pn_listener_resume(struct pn_listener *listener)
{
	if (pn_watch_events(listener->watch) == 0) {
		pn_timer_stop(listener->pause);
		pn_watch_set(listener->watch, PN_WATCH_READ);
	}
}

void pn_listener_free(struct pn_listener **listener)
{
	if (*listener == NULL)
		return;
	pn_watch_free(&(*listener)->watch, false);
	pn_timer_free(&(*listener)->pause);
	free(*listener);
	*listener = NULL;
}
