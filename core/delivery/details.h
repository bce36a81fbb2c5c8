/* SPDX-License-Identifier: Apache-2.0 */
/* Details of a queue row, written: see queue.h for reading. Pure, any thread. */
#ifndef CORE_DELIVERY_DETAILS_H
#define CORE_DELIVERY_DETAILS_H

#include <postern/buffer.h>
#include <postern/route.h>
#include <postern/transaction.h>

#include "delivery/queue.h"

/* A buffer for details, with their limit of 1 MiB. */
void pn_details_init(struct pn_buffer *out);

/* A pair more. PN_LIMIT: it does not fit, and nothing of it was added. */
PN_MUST_CHECK enum pn_status pn_details_add(struct pn_buffer *out, struct pn_slice key,
					    struct pn_slice value);

/* The parameters whose keys begin with `prefix` ("mail.", "rcpt."), in the arena; texts point into
 * `details`. */
struct pn_parameter;
const struct pn_parameter *pn_details_parameters(struct pn_slice details, const char *prefix,
						 struct pn_arena *arena, size_t *count_out);

/* "R1795000000000T" and back: by when, and what then; mode NEVER where the text is none. */
PN_MUST_CHECK enum pn_status pn_details_add_by(struct pn_buffer *out,
					       const struct pn_deliver_by *by);
struct pn_deliver_by pn_details_by(struct pn_slice details);

/* How its sender wants TLS: DEFAULT where he said nothing (or has no say). */
enum pn_route_tls pn_details_tls(struct pn_slice details);

/* Whether a list of NOTIFY (RFC 3461 section 4.1) has that word; without a list failure and delay
 * are reported. */
bool pn_notify_has(struct pn_slice notify, const char *word);

#endif
