/* SPDX-License-Identifier: Apache-2.0 */
/* How blocking connections of <postern/link.h> begin: with an address. */
#ifndef CORE_IO_LINK_H
#define CORE_IO_LINK_H

#include <postern/link.h>

#include "io/socket.h"

/* `host` is what errors and certificates name. */
PN_MUST_CHECK enum pn_status pn_link_connect(const struct pn_socket_address *address,
					     const char *host, struct pn_link **link_out,
					     struct pn_error *error);

#endif
