/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Authentication-Results (RFC 8601): what we found out about a message, for those who read it after us.
 * field.c reads whose field it is. Pure.
 */
#ifndef AUTHENTICATION_RESULTS_H
#define AUTHENTICATION_RESULTS_H

#include <postern/types.h>

/*
 * Whether the field (its raw value, folded) says that it is of `name`: its authserv-id, in any case,
 * quoted or not, between comments. One that cannot be read counts as ours where the name stands
 * anywhere in it: somebody may read it otherwise than we do.
 */
bool authentication_results_is_of(struct pn_slice value, struct pn_slice name);

#endif
