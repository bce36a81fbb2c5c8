/* SPDX-License-Identifier: Apache-2.0 */
/* The route of a recipient, and where mail goes when nobody says anything. Loop thread. */
#include "delivery/route.h"

#include <postern/text.h>

#include "delivery/transaction.h"

struct pn_slice pn_route_usual(const struct pn_generation *generation, struct pn_slice domain,
                               struct pn_arena *arena)
{
	const struct pn_slice relay = pn_slice_of(generation->relay);
	const struct pn_route route = {
		.kind = relay.size > 0 ? PN_ROUTE_HOSTS : PN_ROUTE_MX,
		.hosts = &relay,
		.host_count = relay.size > 0 ? 1 : 0,
	};

	if (pn_generation_domain(generation, domain) != NULL)
		return PN_SLICE("account");
	return pn_route_format(&route, domain, arena);
}

enum pn_status pn_recipient_set_route(struct pn_recipient *recipient, const struct pn_route *route,
                                      struct pn_error *error)
{
	const struct pn_generation *generation = recipient->transaction->generation;

	if (pn_route_check(route, error) != PN_OK)
		return PN_FAILED;
	if (route->transport.size > 0 &&
	    pn_generation_transport(generation, route->transport) == NULL)
		return pn_fail(error,
		               "there is no transport \"%.*s\"; see `module` in the "
		               "configuration file",
		               PN_SLICE_ARGS(route->transport));
	recipient->route = pn_route_keep(recipient->transaction->arena, route);
	return PN_OK;
}

const struct pn_route *pn_recipient_route(const struct pn_recipient *recipient)
{
	static const struct pn_route none = {.struct_size = sizeof(none)};

	return recipient->route == NULL ? &none : recipient->route;
}
