/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes as text: what stands as the destination of a queue row, and what rows are
 * grouped by. One text for one way: two rows with the same text go to the same place.
 *
 *	example.net                                   by the MX records of that domain
 *	mx:example.net@smarthost;tls=required         the same, with another transport or level
 *	hosts:a.example:25,[192.0.2.1]@lmtp;source=…  to hosts
 *	account                                       to accounts that are served here
 *
 * Pure; any thread.
 */
#ifndef CORE_DELIVERY_ROUTE_H
#define CORE_DELIVERY_ROUTE_H

#include <postern/arena.h>
#include <postern/error.h>
#include <postern/route.h>

/* The text of a route for a recipient at `domain`; DEFAULT counts as MX. In the arena. */
struct pn_slice pn_route_format(const struct pn_route *route, struct pn_slice domain,
				struct pn_arena *arena);

/* Where mail for a domain goes when nobody says anything: to its accounts where it is ours, to the
 * relay of the configuration, or by MX. In the arena. */
struct pn_generation;
struct pn_slice pn_route_usual(const struct pn_generation *generation, struct pn_slice domain,
			       struct pn_arena *arena);

/* Back. "mx" alone: by the recipient's own domain. The slices point into `text` or the arena. */
PN_MUST_CHECK enum pn_status pn_route_parse(struct pn_slice text, struct pn_arena *arena,
					    struct pn_route *route_out, struct pn_error *error);

/* A host of a route: name or address, and its port (`port` where none is written). For
 * "unix:/path" the name is the whole text and the port 0. PN_FAILED: it cannot be one. */
PN_MUST_CHECK enum pn_status pn_route_host(struct pn_slice text, uint16_t port,
					   struct pn_slice *name_out, uint16_t *port_out,
					   bool *is_address_out);

/* Copies into the arena. */
struct pn_route *pn_route_keep(struct pn_arena *arena, const struct pn_route *route);

/* What is wrong with it, said once: PN_OK or PN_FAILED with a sentence. */
PN_MUST_CHECK enum pn_status pn_route_check(const struct pn_route *route, struct pn_error *error);

#endif
