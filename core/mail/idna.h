/* SPDX-License-Identifier: Apache-2.0 */
/* Domain names for DNS: U-labels become A-labels (RFC 5891), by libidn2. Pure, any thread. */
#ifndef CORE_MAIL_IDNA_H
#define CORE_MAIL_IDNA_H

#include <postern/arena.h>
#include <postern/types.h>

/* The name in ASCII, in the arena; "" where it is no name that DNS could know. */
struct pn_slice pn_domain_to_ascii(struct pn_arena *arena, struct pn_slice domain);

#endif
