/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of networks as options: "192.0.2.0/24", "2001:db8::/32", "192.0.2.1" for one
 * address, "unix" for every client of a Unix socket. Pure, any thread.
 */
#ifndef POSTERN_NETWORK_H
#define POSTERN_NETWORK_H

#include <postern/error.h>
#include <postern/option.h>
#include <postern/types.h>

PN_DECLARATIONS_BEGIN

/* For check_config. PN_FAILED with a sentence about the first one that is none. */
PN_MUST_CHECK enum pn_status pn_networks_check(const struct pn_text_list *networks,
					       struct pn_error *error);

/* Whether an address as pn_session_peer() gives it lies in one of them. */
bool pn_networks_have(const struct pn_text_list *networks, const char *address);

PN_DECLARATIONS_END

#endif
