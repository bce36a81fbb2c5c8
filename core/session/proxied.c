/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the header of the PROXY protocol: as many bytes as surely belong to it, and no
 * more, since what follows is for TLS or the protocol. Loop thread.
 */
#include "session/proxied.h"

#include <postern/log.h>

#include "io/loop.h"
#include "io/proxy_header.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAITING_MAX = 1000 };

struct proxied {
	struct pn_accepted accepted;
	struct sockaddr_storage peer;
	struct pn_watch *watch;
	struct pn_timer *deadline;
	struct proxied *next;
	struct proxied **link;
	size_t size;
	char bytes[PN_PROXY_MAX];
};

static struct proxied *first;
static size_t count;

/* The descriptor is closed, or belongs to a session. */
static void end(struct proxied *proxied, bool close_descriptor)
{
	*proxied->link = proxied->next;
	if (proxied->next != NULL)
		proxied->next->link = proxied->link;
	count--;
	pn_timer_free(&proxied->deadline);
	pn_watch_free(&proxied->watch, close_descriptor);
	pn_generation_drop(&proxied->accepted.generation);
	free(proxied);
}

static void refuse(struct proxied *proxied, const char *why)
{
	char text[PN_ADDRESS_TEXT_SIZE];
	uint16_t port;

	pn_socket_text((const struct sockaddr *)&proxied->peer, text, &port);
	pn_log(PN_LOG_NOTICE, "accept", "a connection from %s to %s is closed: %s", text,
	       proxied->accepted.listener, why);
	end(proxied, true);
}

static void begin(struct proxied *proxied, const struct sockaddr *peer)
{
	struct pn_accepted accepted = proxied->accepted;

	/* The session keeps it before this one lets go. */
	accepted.generation = pn_generation_keep(accepted.generation);
	accepted.peer = peer;
	end(proxied, false);
	pn_session_accept(&accepted);
	pn_generation_drop(&accepted.generation);
}

static void look(struct proxied *proxied, size_t *need_out, bool *is_over_out)
{
	struct pn_socket_address client;

	*is_over_out = true;
	switch (pn_proxy_take(pn_slice_make(proxied->bytes, proxied->size), need_out, &client)) {
	case PN_PROXY_MORE:
		*is_over_out = false;
		break;
	case PN_PROXY_CLIENT:
		begin(proxied, (const struct sockaddr *)&client.storage);
		break;
	case PN_PROXY_ITSELF: {
		struct sockaddr_storage peer = proxied->peer;

		begin(proxied, (const struct sockaddr *)&peer);
		break;
	}
	case PN_PROXY_BROKEN:
		refuse(proxied, "it does not begin with a header of the PROXY protocol");
		break;
	}
}

static void ready(void *user, int events)
{
	struct proxied *proxied = user;
	bool is_over = false;
	size_t need;

	(void)events;
	for (;;) {
		ssize_t result;

		look(proxied, &need, &is_over);
		if (is_over)
			return;
		result = recv(proxied->accepted.descriptor, proxied->bytes + proxied->size,
		              need - proxied->size, 0);
		if (result > 0) {
			proxied->size += (size_t)result;
		} else if (result < 0 && (errno == EAGAIN || errno == EINTR)) {
			return;
		} else {
			refuse(proxied, "it ended before its PROXY header");
			return;
		}
	}
}

static void deadline_passed(void *user)
{
	refuse(user, "its PROXY header did not come in time");
}

void pn_proxied_accept(const struct pn_accepted *accepted)
{
	struct proxied *proxied;
	struct pn_error error;

	if (count >= WAITING_MAX) {
		close(accepted->descriptor);
		return;
	}
	proxied = calloc(1, sizeof(*proxied));
	if (proxied == NULL)
		abort();
	if (pn_watch_new(accepted->descriptor, ready, proxied, &proxied->watch, &error) != PN_OK) {
		pn_log(PN_LOG_ERROR, "accept", "%s", error.text);
		close(accepted->descriptor);
		free(proxied);
		return;
	}
	proxied->accepted = *accepted;
	proxied->accepted.generation = pn_generation_keep(accepted->generation);
	memcpy(&proxied->peer, accepted->peer,
	       accepted->peer->sa_family == AF_INET ? sizeof(struct sockaddr_in)
	                                            : sizeof(struct sockaddr_in6));
	proxied->deadline = pn_timer_new(deadline_passed, proxied);
	pn_timer_set(proxied->deadline, accepted->generation->proxy_header_ms);
	proxied->next = first;
	proxied->link = &first;
	if (first != NULL)
		first->link = &proxied->next;
	first = proxied;
	count++;
	pn_watch_set(proxied->watch, PN_WATCH_READ);
	ready(proxied, PN_WATCH_READ);
}

void pn_proxied_stop(void)
{
	while (first != NULL)
		end(first, true);
}
