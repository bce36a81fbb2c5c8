/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of the PROXY protocol. The first 12 bytes tell the versions apart, and a whole
 * version 1 is longer than that; its end is then looked for byte by byte, as what stands
 * behind it belongs to TLS or to the client.
 */
#include "io/proxy_header.h"

#include <postern/text.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { HEAD = 12, V2_FIXED = 16 };

static const char signature[HEAD] = {'\r', '\n', '\r', '\n', '\0', '\r',
                                     '\n', 'Q',  'U',  'I',  'T',  '\n'};

static void set_client(struct pn_socket_address *client, int family, const void *address,
                       uint16_t port)
{
	memset(client, 0, sizeof(*client));
	if (family == AF_INET) {
		struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(port)};

		memcpy(&ipv4.sin_addr, address, sizeof(ipv4.sin_addr));
		memcpy(&client->storage, &ipv4, sizeof(ipv4));
		client->size = sizeof(ipv4);
	} else {
		struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

		memcpy(&ipv6.sin6_addr, address, sizeof(ipv6.sin6_addr));
		memcpy(&client->storage, &ipv6, sizeof(ipv6));
		client->size = sizeof(ipv6);
	}
}

static bool parse_port(struct pn_slice text, uint16_t *port_out)
{
	uint64_t port;

	if (text.size == 0 || text.size > 5 || (text.size > 1 && text.data[0] == '0') ||
	    pn_parse_count(text, &port) != PN_OK || port > UINT16_MAX)
		return false;
	*port_out = (uint16_t)port;
	return true;
}

static bool parse_address(struct pn_slice text, int family, unsigned char room[16])
{
	char copy[INET6_ADDRSTRLEN];

	if (text.size >= sizeof(copy))
		return false;
	memcpy(copy, text.data, text.size);
	copy[text.size] = '\0';
	return memchr(copy, '\0', text.size) == NULL && inet_pton(family, copy, room) == 1;
}

/* "TCP4 192.0.2.1 192.0.2.2 56324 25". */
static enum pn_proxy_state parse_line(struct pn_slice line, struct pn_socket_address *client_out)
{
	struct pn_slice word = pn_slice_cut(&line, ' ');
	struct pn_slice source, target, source_port, target_port;
	unsigned char address[16], ignored[16];
	int family;
	uint16_t port, ignored_port;

	if (pn_slice_equal(word, PN_SLICE("UNKNOWN")))
		return PN_PROXY_ITSELF;
	if (!pn_slice_equal(word, PN_SLICE("TCP4")) && !pn_slice_equal(word, PN_SLICE("TCP6")))
		return PN_PROXY_BROKEN;
	family = word.data[3] == '4' ? AF_INET : AF_INET6;
	source = pn_slice_cut(&line, ' ');
	target = pn_slice_cut(&line, ' ');
	source_port = pn_slice_cut(&line, ' ');
	target_port = line;
	if (!parse_address(source, family, address) || !parse_address(target, family, ignored) ||
	    !parse_port(source_port, &port) || !parse_port(target_port, &ignored_port))
		return PN_PROXY_BROKEN;
	set_client(client_out, family, address, port);
	return PN_PROXY_CLIENT;
}

static enum pn_proxy_state take_text(struct pn_slice bytes, size_t *need_out,
                                     struct pn_socket_address *client_out)
{
	struct pn_slice line = pn_slice_behind(bytes, 6);

	if (bytes.data[bytes.size - 1] != '\n') {
		*need_out = bytes.size + 1;
		return bytes.size < PN_PROXY_V1_MAX ? PN_PROXY_MORE : PN_PROXY_BROKEN;
	}
	if (bytes.data[bytes.size - 2] != '\r')
		return PN_PROXY_BROKEN;
	line.size -= 2;
	return parse_line(line, client_out);
}

static uint16_t number(struct pn_slice bytes, size_t at)
{
	return (uint16_t)((uint8_t)bytes.data[at] << 8 | (uint8_t)bytes.data[at + 1]);
}

static enum pn_proxy_state take_binary(struct pn_slice bytes, size_t *need_out,
                                       struct pn_socket_address *client_out)
{
	unsigned version, family;
	size_t size;

	if (bytes.size < V2_FIXED) {
		*need_out = V2_FIXED;
		return PN_PROXY_MORE;
	}
	size = V2_FIXED + (size_t)number(bytes, 14);
	version = (uint8_t)bytes.data[12];
	family = (uint8_t)bytes.data[13];
	/* Version 2; LOCAL or PROXY. */
	if ((version != 0x20 && version != 0x21) || size > PN_PROXY_MAX)
		return PN_PROXY_BROKEN;
	if (bytes.size < size) {
		*need_out = size;
		return PN_PROXY_MORE;
	}
	if (version == 0x20)
		return PN_PROXY_ITSELF;
	/* TCP over IPv4, over IPv6; others are the balancer's business. */
	if (family == 0x11 && size >= V2_FIXED + 12) {
		set_client(client_out, AF_INET, bytes.data + V2_FIXED, number(bytes, V2_FIXED + 8));
		return PN_PROXY_CLIENT;
	}
	if (family == 0x21 && size >= V2_FIXED + 36) {
		set_client(client_out, AF_INET6, bytes.data + V2_FIXED,
		           number(bytes, V2_FIXED + 32));
		return PN_PROXY_CLIENT;
	}
	return family == 0x11 || family == 0x21 ? PN_PROXY_BROKEN : PN_PROXY_ITSELF;
}

enum pn_proxy_state pn_proxy_take(struct pn_slice bytes, size_t *need_out,
                                  struct pn_socket_address *client_out)
{
	*need_out = HEAD;
	if (bytes.size < HEAD)
		return PN_PROXY_MORE;
	if (memcmp(bytes.data, signature, HEAD) == 0)
		return take_binary(bytes, need_out, client_out);
	if (memcmp(bytes.data, "PROXY ", 6) == 0 && memchr(bytes.data, '\n', HEAD) == NULL)
		return take_text(bytes, need_out, client_out);
	return PN_PROXY_BROKEN;
}
