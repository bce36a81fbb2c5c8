/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PROXY protocol, versions 1 and 2: what a load balancer says of a connection before
 * the first byte of its client. Pure, any thread; nothing is read beyond the header.
 */
#ifndef CORE_IO_PROXY_HEADER_H
#define CORE_IO_PROXY_HEADER_H

#include <postern/types.h>

#include "io/socket.h"

enum {
	PN_PROXY_V1_MAX = 107,        /* with its CRLF */
	PN_PROXY_MAX = 16 + 4096,     /* of version 2, with what is passed over */
};

enum pn_proxy_state {
	PN_PROXY_MORE = 0, /* *need_out bytes in all are to be there; none of them is the client's */
	PN_PROXY_CLIENT,   /* the client is *client_out */
	PN_PROXY_ITSELF,   /* LOCAL, UNKNOWN: the connection is the balancer's own */
	PN_PROXY_BROKEN,
};

/* Looks at the bytes read so far; none first. CLIENT and ITSELF only when the header is whole. */
enum pn_proxy_state pn_proxy_take(struct pn_slice bytes, size_t *need_out,
				  struct pn_socket_address *client_out);

#endif
