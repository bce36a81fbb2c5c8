/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets and their addresses as text. */
#include "io/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <postern/text.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

static enum pn_status parse_unix(const char *path, struct pn_socket_address *address_out,
                                 struct pn_error *error)
{
	struct sockaddr_un *name = (struct sockaddr_un *)&address_out->storage;

	if (path[0] != '/' || strlen(path) >= sizeof(name->sun_path))
		return pn_fail(error,
		               "\"unix:%s\" is not usable: the path must be absolute and shorter "
		               "than %zu bytes",
		               path, sizeof(name->sun_path));
	name->sun_family = AF_UNIX;
	memcpy(name->sun_path, path, strlen(path) + 1);
	address_out->size = sizeof(*name);
	return PN_OK;
}

static bool parse_host(struct pn_slice host, bool is_six, uint16_t port,
                       struct pn_socket_address *address_out)
{
	char text[INET6_ADDRSTRLEN + 1];

	if (host.size == 0 || host.size >= sizeof(text))
		return false;
	memcpy(text, host.data, host.size);
	text[host.size] = '\0';
	if (is_six) {
		struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address_out->storage;

		six->sin6_family = AF_INET6;
		six->sin6_port = htons(port);
		address_out->size = sizeof(*six);
		return inet_pton(AF_INET6, text, &six->sin6_addr) == 1;
	}
	struct sockaddr_in *four = (struct sockaddr_in *)&address_out->storage;

	four->sin_family = AF_INET;
	four->sin_port = htons(port);
	address_out->size = sizeof(*four);
	return inet_pton(AF_INET, text, &four->sin_addr) == 1;
}

enum pn_status pn_socket_parse(const char *text, struct pn_socket_address *address_out,
                               struct pn_error *error)
{
	const char *colon = strrchr(text, ':');
	uint64_t port = 0;
	bool is_six = text[0] == '[';
	struct pn_slice host;

	memset(address_out, 0, sizeof(*address_out));
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, address_out, error);
	if (colon == NULL || pn_parse_count(pn_slice_of(colon + 1), &port) != PN_OK || port == 0 ||
	    port > 65535)
		return pn_fail(error,
		               "\"%s\" is not an address: write \"192.0.2.1:25\", "
		               "\"[2001:db8::1]:25\" or \"unix:/path\", port 1 to 65535",
		               text);
	host = pn_slice_make(text, (size_t)(colon - text));
	if (is_six && host.size >= 2 && host.data[host.size - 1] == ']')
		host = pn_slice_make(host.data + 1, host.size - 2);
	else if (is_six)
		host = PN_SLICE_NONE;
	if (!parse_host(host, is_six, (uint16_t)port, address_out))
		return pn_fail(error,
		               "\"%s\" is not an address: the part before the port must be an IP "
		               "address (IPv6 in brackets), not a name",
		               text);
	return PN_OK;
}

void pn_socket_text(const struct sockaddr *address, char room[PN_ADDRESS_TEXT_SIZE],
                    uint16_t *port_out)
{
	*port_out = 0;
	snprintf(room, PN_ADDRESS_TEXT_SIZE, "unix");
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *four = (const struct sockaddr_in *)address;

		inet_ntop(AF_INET, &four->sin_addr, room, PN_ADDRESS_TEXT_SIZE);
		*port_out = ntohs(four->sin_port);
	} else if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;

		/* A client that reached an IPv6 socket over IPv4 is an IPv4 client. */
		if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
			inet_ntop(AF_INET, &six->sin6_addr.s6_addr[12], room, PN_ADDRESS_TEXT_SIZE);
		else
			inet_ntop(AF_INET6, &six->sin6_addr, room, PN_ADDRESS_TEXT_SIZE);
		*port_out = ntohs(six->sin6_port);
	}
}

bool pn_socket_is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_UNIX)
		return true;
	if (address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
	if (address->sa_family == AF_INET6) {
		const struct in6_addr *six = &((const struct sockaddr_in6 *)address)->sin6_addr;

		return IN6_IS_ADDR_LOOPBACK(six) ||
		       (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
	}
	return false;
}

/* A socket file left by a gateway that was killed is in the way; anything else is not ours. */
static void remove_stale_socket(const struct sockaddr_un *name)
{
	struct stat status;
	int probe;

	if (lstat(name->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode))
		return;
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (probe < 0)
		return;
	if (connect(probe, (const struct sockaddr *)name, sizeof(*name)) != 0 &&
	    errno == ECONNREFUSED)
		unlink(name->sun_path);
	close(probe);
}

static enum pn_status cannot_bind(const char *text, int number, struct pn_error *error)
{
	if (number == EADDRINUSE)
		return pn_fail(error,
		               "cannot listen on %s: the address is in use; another server (or "
		               "another Postern) has it: stop that one or choose another port",
		               text);
	if (number == EACCES)
		return pn_fail(error,
		               "cannot listen on %s: ports below 1024 need root, or the capability "
		               "CAP_NET_BIND_SERVICE",
		               text);
	return pn_fail_errno(error, number, "cannot listen on %s", text);
}

enum pn_status pn_socket_listen(const char *text, int *descriptor_out, struct pn_error *error)
{
	struct pn_socket_address address;
	int descriptor;
	int number;
	int on = 1;

	if (pn_socket_parse(text, &address, error) != PN_OK)
		return PN_FAILED;
	descriptor =
		socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return pn_fail_errno(error, errno, "cannot make a socket for %s", text);
	if (address.storage.ss_family == AF_UNIX)
		remove_stale_socket((const struct sockaddr_un *)&address.storage);
	else
		setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address.storage.ss_family == AF_INET6)
		setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(descriptor, (const struct sockaddr *)&address.storage, address.size) != 0 ||
	    listen(descriptor, BACKLOG) != 0) {
		number = errno;
		close(descriptor);
		return cannot_bind(text, number, error);
	}
	*descriptor_out = descriptor;
	return PN_OK;
}

static enum pn_status bind_source(int descriptor, const char *source, struct pn_error *error)
{
	struct pn_socket_address address;
	bool is_six = strchr(source, ':') != NULL;

	memset(&address, 0, sizeof(address));
	if (!parse_host(pn_slice_of(source), is_six, 0, &address))
		return pn_fail(error, "\"%s\" is not an address to connect from", source);
	if (bind(descriptor, (const struct sockaddr *)&address.storage, address.size) != 0)
		return pn_fail_errno(error, errno, "cannot connect from %s", source);
	return PN_OK;
}

enum pn_status pn_socket_connect(const struct pn_socket_address *address,
                                 const char *source_address, int *descriptor_out,
                                 struct pn_error *error)
{
	int on = 1;
	int number;
	int descriptor =
		socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (descriptor < 0)
		return pn_fail_errno(error, errno, "cannot make a socket");
	if (source_address != NULL && bind_source(descriptor, source_address, error) != PN_OK) {
		close(descriptor);
		return PN_FAILED;
	}
	if (address->storage.ss_family != AF_UNIX)
		setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(descriptor, (const struct sockaddr *)&address->storage, address->size) != 0 &&
	    errno != EINPROGRESS) {
		number = errno;
		close(descriptor);
		return pn_fail_errno(error, number, "cannot connect");
	}
	*descriptor_out = descriptor;
	return PN_OK;
}

int pn_socket_take_error(int descriptor)
{
	int number = 0;
	socklen_t size = sizeof(number);

	if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &number, &size) != 0)
		return errno;
	return number;
}
