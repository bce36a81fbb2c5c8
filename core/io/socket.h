/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets and their addresses as text: "192.0.2.1:25", "[2001:db8::1]:25",
 * "unix:/run/postern/lmtp". No name is ever looked up. Any thread.
 */
#ifndef CORE_IO_SOCKET_H
#define CORE_IO_SOCKET_H

#include <postern/error.h>
#include <postern/types.h>

#include <sys/socket.h>

#define PN_ADDRESS_TEXT_SIZE 120

struct pn_socket_address {
	struct sockaddr_storage storage;
	socklen_t size;
};

/* PN_OK, or PN_FAILED with a sentence. */
PN_MUST_CHECK enum pn_status pn_socket_parse(const char *text, struct pn_socket_address *address_out,
					     struct pn_error *error);

/* The address without its port into `room` ("unix" for Unix sockets), and the port. */
void pn_socket_text(const struct sockaddr *address, char room[PN_ADDRESS_TEXT_SIZE],
		    uint16_t *port_out);

bool pn_socket_is_loopback(const struct sockaddr *address);

/* A bound, listening, non-blocking, close-on-exec socket. The error names address and remedy. */
PN_MUST_CHECK enum pn_status pn_socket_listen(const char *text, int *descriptor_out,
					      struct pn_error *error);

/* A non-blocking socket whose connection is under way. */
PN_MUST_CHECK enum pn_status pn_socket_connect(const struct pn_socket_address *address,
					       const char *source_address, int *descriptor_out,
					       struct pn_error *error);

/* Takes and clears SO_ERROR: errno of a connection attempt, 0 where it worked. */
int pn_socket_take_error(int descriptor);

#endif
