/* SPDX-License-Identifier: Apache-2.0 */
/* How the address of a listener is written: "192.0.2.1:25", "[2001:db8::1]:25", "unix:/path". */
#include "config/reading.h"

#include <postern/text.h>

#include <arpa/inet.h>
#include <sys/un.h>

static bool is_port(const char *text)
{
	uint64_t port;

	return pn_parse_count(pn_slice_of(text), &port) == PN_OK && port >= 1 && port <= 65535;
}

static bool is_address(int family, const char *begin, size_t size)
{
	char text[INET6_ADDRSTRLEN + 1];
	unsigned char parsed[sizeof(struct in6_addr)];

	if (size >= sizeof(text))
		return false;
	memcpy(text, begin, size);
	text[size] = '\0';
	return inet_pton(family, text, parsed) == 1;
}

static const char *unix_problem(const char *path)
{
	if (path[0] != '/')
		return "the path after \"unix:\" must be absolute";
	if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return "the path of the socket is too long";
	return NULL;
}

const char *pn_config_address_problem(const char *address)
{
	bool is_ipv6 = address[0] == '[';
	const char *end = is_ipv6 ? strchr(address, ']') : strchr(address, ':');

	if (strncmp(address, "unix:", 5) == 0)
		return unix_problem(address + 5);
	if (end == NULL || (is_ipv6 && end[1] != ':'))
		return "write \"192.0.2.1:25\", \"[2001:db8::1]:25\" or \"unix:/path\"";
	if (is_ipv6 && !is_address(AF_INET6, address + 1, (size_t)(end - address) - 1))
		return "what stands in the brackets is no IPv6 address";
	if (!is_ipv6 && !is_address(AF_INET, address, (size_t)(end - address)))
		return "what stands before the port is no IPv4 address";
	if (!is_port(end + (is_ipv6 ? 2 : 1)))
		return "the port must be a number from 1 to 65535";
	return NULL;
}
