/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listening socket in a worker. The socket is the master's and shared by all
 * workers; each takes a few connections a turn, and pauses while it has more than
 * its share. (libuv's own listener accepts until the queue is empty and cannot
 * pause: one worker gets nearly everything.) Loop thread.
 */
#ifndef CORE_IO_LISTENER_H
#define CORE_IO_LISTENER_H

#include <postern/error.h>
#include <postern/types.h>

#include <sys/socket.h>

struct pn_listener;

struct pn_listener_events {
	/* A connection; the descriptor is the callee's now. */
	void (*accepted)(void *user, int descriptor, const struct sockaddr *peer);
	/* How many this worker takes in this turn; 0 pauses for a moment, or until resume. Asked again after
	 * each of them. */
	size_t (*room)(void *user);
	void *user;
};

PN_MUST_CHECK enum pn_status pn_listener_new(int descriptor,
					     const struct pn_listener_events *events,
					     struct pn_listener **listener_out,
					     struct pn_error *error);

/* Asks for room again where there was none. Cheap. */
void pn_listener_resume(struct pn_listener *listener);

/* Stops accepting; connections that wait in the queue are another worker's. */
void pn_listener_free(struct pn_listener **listener);

#endif
