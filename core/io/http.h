/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to web servers, by libcurl on the loop. See <postern/http.h>. Loop thread. */
#ifndef CORE_IO_HTTP_H
#define CORE_IO_HTTP_H

#include <postern/http.h>

struct sockaddr;

/* The real one behind pn_world.http_ask. */
void pn_http_client_ask(const struct pn_http_request *request, struct pn_ticket ticket);

/* Gives up what is under way (its tickets are answered), and frees everything. */
void pn_http_client_stop(void);

/* Neither loopback, private, link-local, multicast nor set aside for documents and tests. Pure. */
bool pn_http_is_public(const struct sockaddr *address);

#endif
