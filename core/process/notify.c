/* SPDX-License-Identifier: Apache-2.0 */
/* A service manager: what it is told, and what it has opened. See notify.h. */
#include "process/notify.h"

#include <postern/clock.h>

#include "io/socket.h"
#include "process/master_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	FIRST_LISTENER = 3, /* SD_LISTEN_FDS_START */
	MOST_LISTENERS = 256,
	SEND_SECONDS = 1, /* a manager that reads nothing does not hold us up for longer */
	TEXT_SIZE = 1024,
};

static struct {
	struct sockaddr_un address;
	socklen_t address_size; /* 0: there is no manager */
	uint64_t watchdog_ms;   /* between two signs of life; 0: none is wanted */
	uint64_t alive_ms;      /* of the last */
	bool is_reloading;
	int count; /* of the sockets */
	bool is_used[MOST_LISTENERS];
} manager;

/* A number of the environment; 0 where it is none. */
static uint64_t number_of(const char *name)
{
	const char *text = getenv(name);
	char *end;
	unsigned long long value;

	if (text == NULL || text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	value = strtoull(text, &end, 10);
	return *end != '\0' || errno != 0 ? 0 : value;
}

/* Where datagrams go: a path, or "@" and an abstract name. */
static void take_address(const char *text)
{
	size_t size = text == NULL ? 0 : strlen(text);

	if (size < 2 || (text[0] != '/' && text[0] != '@'))
		return;
	if (size >= sizeof(manager.address.sun_path)) {
		pn_master_say("NOTIFY_SOCKET is longer than an address may be: the service manager "
		              "hears nothing");
		return;
	}
	manager.address.sun_family = AF_UNIX;
	memcpy(manager.address.sun_path, text, size);
	if (text[0] == '@')
		manager.address.sun_path[0] = '\0';
	/* An abstract name ends with the address, a path with a zero. */
	manager.address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size +
	                                   (text[0] == '/' ? 1 : 0));
}

static void take_watchdog(void)
{
	uint64_t pid = number_of("WATCHDOG_PID");

	if (getenv("WATCHDOG_PID") == NULL || pid == (uint64_t)getpid())
		manager.watchdog_ms = number_of("WATCHDOG_USEC") / 1000 / 2;
}

static void take_listeners(void)
{
	uint64_t count = number_of("LISTEN_FDS");

	if (number_of("LISTEN_PID") != (uint64_t)getpid())
		return;
	if (count > MOST_LISTENERS) {
		pn_master_say("the service manager has opened %" PRIu64
		              " sockets: only the first %d are looked at",
		              count, (int)MOST_LISTENERS);
		count = MOST_LISTENERS;
	}
	manager.count = (int)count;
	for (int i = 0; i < manager.count; i++)
		(void)fcntl(FIRST_LISTENER + i, F_SETFD, FD_CLOEXEC);
}

void pn_notify_open(void)
{
	static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC",
	                                    "LISTEN_PID",    "LISTEN_FDS",   "LISTEN_FDNAMES"};

	take_address(getenv("NOTIFY_SOCKET"));
	take_watchdog();
	take_listeners();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
}

/* ---- what it is told ---- */

static void tell(const char *text)
{
	const struct timeval patience = {.tv_sec = SEND_SECONDS};
	int descriptor;

	if (manager.address_size == 0)
		return;
	descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return;
	(void)setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	(void)!sendto(descriptor, text, strlen(text), MSG_NOSIGNAL,
	              (const struct sockaddr *)&manager.address, manager.address_size);
	close(descriptor);
}

void pn_notify_ready(uint32_t generation)
{
	char text[TEXT_SIZE];

	manager.is_reloading = false;
	snprintf(text, sizeof(text), "READY=1\nSTATUS=Serving, generation %u of the configuration",
	         (unsigned)generation);
	tell(text);
}

void pn_notify_reloading(void)
{
	char text[TEXT_SIZE];

	manager.is_reloading = true;
	snprintf(text, sizeof(text),
	         "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reading the configuration again",
	         pn_clock_monotonic_ns() / 1000);
	tell(text);
}

void pn_notify_reloaded(uint32_t generation)
{
	if (manager.is_reloading)
		pn_notify_ready(generation);
}

/* What is in use serves on. The reason may quote the configuration: one line, and no more. */
void pn_notify_not_reloaded(const char *why)
{
	char text[TEXT_SIZE];
	size_t begin;

	if (!manager.is_reloading)
		return;
	manager.is_reloading = false;
	begin = (size_t)snprintf(text, sizeof(text), "READY=1\nSTATUS=");
	snprintf(text + begin, sizeof(text) - begin,
	         "Serving as before; the reload changed nothing: %s", why);
	for (char *at = text + begin; *at != '\0'; at++) {
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = ' ';
	}
	tell(text);
}

void pn_notify_stopping(void)
{
	tell("STOPPING=1\nSTATUS=Stopping: open sessions end");
}

void pn_notify_turn(uint64_t now_ms)
{
	if (manager.watchdog_ms == 0 || now_ms - manager.alive_ms < manager.watchdog_ms)
		return;
	manager.alive_ms = now_ms;
	tell("WATCHDOG=1");
}

/* ---- what it has opened ---- */

static bool is_same_unix(const struct sockaddr_un *one, const struct sockaddr_un *other)
{
	return strncmp(one->sun_path, other->sun_path, sizeof(one->sun_path)) == 0;
}

static bool is_same(const struct sockaddr_storage *one, const struct sockaddr_storage *other)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)one;
	const struct sockaddr_in *other_four = (const struct sockaddr_in *)other;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)one;
	const struct sockaddr_in6 *other_six = (const struct sockaddr_in6 *)other;

	if (one->ss_family != other->ss_family)
		return false;
	if (one->ss_family == AF_INET)
		return four->sin_port == other_four->sin_port &&
		       four->sin_addr.s_addr == other_four->sin_addr.s_addr;
	if (one->ss_family == AF_INET6)
		return six->sin6_port == other_six->sin6_port &&
		       memcmp(&six->sin6_addr, &other_six->sin6_addr, sizeof(six->sin6_addr)) == 0;
	return one->ss_family == AF_UNIX &&
	       is_same_unix((const struct sockaddr_un *)one, (const struct sockaddr_un *)other);
}

/* Whether it is a stream that listens there. */
static bool listens_on(int descriptor, const struct sockaddr_storage *wanted)
{
	struct sockaddr_storage address;
	socklen_t address_size = sizeof(address);
	socklen_t size = sizeof(int);
	int type = 0;
	int listens = 0;

	memset(&address, 0, sizeof(address));
	return getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
	       type == SOCK_STREAM &&
	       getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 &&
	       listens != 0 &&
	       getsockname(descriptor, (struct sockaddr *)&address, &address_size) == 0 &&
	       is_same(&address, wanted);
}

int pn_notify_listener(const char *address)
{
	struct pn_socket_address wanted;
	struct pn_error error;

	if (manager.count == 0 || pn_socket_parse(address, &wanted, &error) != PN_OK)
		return -1;
	for (int i = 0; i < manager.count; i++) {
		int descriptor;

		if (!listens_on(FIRST_LISTENER + i, &wanted.storage))
			continue;
		manager.is_used[i] = true;
		descriptor = fcntl(FIRST_LISTENER + i, F_DUPFD_CLOEXEC, FIRST_LISTENER);
		if (descriptor >= 0)
			(void)fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK);
		return descriptor;
	}
	return -1;
}

void pn_notify_listeners_chosen(void)
{
	for (int i = 0; i < manager.count; i++) {
		if (!manager.is_used[i])
			pn_master_say("socket %d of the service manager (descriptor %d) has the "
			              "address of no listener, and nobody answers there: give the "
			              "configuration a listener with its address",
			              i + 1, FIRST_LISTENER + i);
	}
}
