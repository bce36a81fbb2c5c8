/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that block, for sources (source.h), which run in a process of their own
 * on its main thread. Nobody else may wait like this: protocols use pn_connect().
 *
 *	pn_link_open(host, 993, &link, error)
 *	pn_link_secure(link, true, error)
 *	pn_link_write, pn_link_read …
 *	pn_link_close(&link)
 *
 * All of them return PN_OK, or PN_FAILED with a sentence that names the host.
 */
#ifndef POSTERN_LINK_H
#define POSTERN_LINK_H

#include <postern/error.h>
#include <postern/types.h>

struct pn_link;

PN_DECLARATIONS_BEGIN

/* Connects to a host by its name or address. Answers are waited for five minutes at most. */
PN_MUST_CHECK enum pn_status pn_link_open(const char *host, uint16_t port,
					  struct pn_link **link_out, struct pn_error *error);

/* TLS from here on; with `verify` the certificate must be for that host and lead to a root. */
PN_MUST_CHECK enum pn_status pn_link_secure(struct pn_link *link, bool verify,
					    struct pn_error *error);

PN_MUST_CHECK enum pn_status pn_link_write(struct pn_link *link, struct pn_slice bytes,
					   struct pn_error *error);

/* At least one byte; PN_FAILED also where the host closed the connection. */
PN_MUST_CHECK enum pn_status pn_link_read(struct pn_link *link, char *room, size_t size,
					  size_t *got_out, struct pn_error *error);

/* Sets *link to NULL; NULL inside is fine. */
void pn_link_close(struct pn_link **link);

PN_DECLARATIONS_END

#endif
