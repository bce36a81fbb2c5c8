/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes: rows of one tenant for one destination. Whose lane is next: the tenant with the
 * fewest attempts at work among those who wait, so that nobody's thousand destinations
 * stand before another's one; within a tenant the lanes take turns. See scheduler.h.
 */
#include "delivery/scheduler.h"

#include <postern/clock.h>
#include <postern/text.h>

#include <stdlib.h>

enum {
	TENANTS_LOOKED_AT = 64,
	TENANT_SHARE = 8, /* a tenant may have eight times as many connections as are free */
};

struct tenant *pn_tenant_of(struct pn_slice name)
{
	struct tenant *tenant = pn_map_get(pn_scheduler.tenants, name);
	char *text;

	if (tenant != NULL)
		return tenant;
	tenant = calloc(1, sizeof(*tenant) + name.size + 1);
	if (tenant == NULL)
		abort();
	text = (char *)(tenant + 1);
	if (name.size > 0)
		memcpy(text, name.data, name.size);
	tenant->name = pn_slice_make(text, name.size);
	tenant->last_ready = &tenant->ready;
	tenant->last_parked = &tenant->parked;
	tenant->last_left_out = &tenant->left_out;
	pn_map_set(pn_scheduler.tenants, tenant->name, tenant);
	return tenant;
}

void pn_tenant_release(struct tenant *tenant)
{
	if (tenant->rows > 0 || tenant->delivering > 0 || tenant->ready != NULL ||
	    tenant->is_listed || tenant->is_suspended || tenant->parked != NULL ||
	    tenant->left_out != NULL)
		return;
	pn_map_remove(pn_scheduler.tenants, tenant->name);
	free(tenant);
}

struct destination *pn_destination_of(struct pn_slice name)
{
	struct destination *destination = pn_map_get(pn_scheduler.destinations, name);
	struct pn_arena *arena;
	struct pn_error error;

	if (destination != NULL)
		return destination;
	arena = pn_arena_new();
	destination = PN_ARENA_NEW(arena, struct destination);
	destination->arena = arena;
	destination->name = pn_arena_keep(arena, name);
	if (name.size == 0 || pn_route_parse(name, arena, &destination->route, &error) != PN_OK) {
		pn_arena_free(&arena);
		return NULL;
	}
	pn_map_set(pn_scheduler.destinations, destination->name, destination);
	return destination;
}

static void free_lanes(struct destination *destination)
{
	while (destination->lanes != NULL) {
		struct lane *lane = destination->lanes;

		destination->lanes = lane->next_of_destination;
		free(lane);
	}
}

/* Lanes that are empty may still stand in a ring: such a destination goes when they were taken out.
 */
static bool is_needed(const struct destination *destination)
{
	if (destination->rows > 0 || destination->has_more || destination->is_refilling ||
	    destination->is_left_out || destination->is_suspended ||
	    destination->hops_state == HOPS_ASKING)
		return true;
	for (const struct lane *lane = destination->lanes; lane != NULL;
	     lane = lane->next_of_destination) {
		if (lane->state != LANE_IDLE)
			return true;
	}
	return false;
}

void pn_destination_release(struct destination *destination)
{
	struct pn_arena *arena = destination->arena;

	/* What was found out about the way is kept while it is fresh: mail comes in showers. */
	if (is_needed(destination) ||
	    (destination->hops_state == HOPS_KNOWN && pn_scheduler.is_running &&
	     destination->hops_until_ms > pn_clock_monotonic_ms()))
		return;
	pn_map_remove(pn_scheduler.destinations, destination->name);
	pn_destination_forget_hops(destination);
	free_lanes(destination);
	pn_arena_free(&arena);
}

static struct lane *lane_of(struct destination *destination, struct tenant *tenant)
{
	struct lane *lane = destination->lanes;

	while (lane != NULL && lane->tenant != tenant)
		lane = lane->next_of_destination;
	if (lane != NULL)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (lane == NULL)
		abort();
	lane->destination = destination;
	lane->tenant = tenant;
	for (size_t i = 0; i < PRIORITIES; i++)
		lane->last[i] = &lane->first[i];
	lane->next_of_destination = destination->lanes;
	destination->lanes = lane;
	return lane;
}

void pn_lane_release(struct lane *lane)
{
	struct lane **link = &lane->destination->lanes;

	if (lane->rows > 0 || lane->state != LANE_IDLE)
		return;
	while (*link != lane)
		link = &(*link)->next_of_destination;
	*link = lane->next_of_destination;
	free(lane);
}

static size_t priority_of(const struct queued *queued)
{
	return queued->row.priority < PRIORITIES ? queued->row.priority : PRIORITIES - 1;
}

void pn_lane_count(struct lane *lane, ptrdiff_t change)
{
	struct site *site = lane->destination->site;

	lane->count += (size_t)change;
	if (site != NULL)
		site->rows += (size_t)change;
}

void pn_lane_add(struct queued *queued, struct destination *destination, struct tenant *tenant)
{
	struct lane *lane = lane_of(destination, tenant);
	size_t priority = priority_of(queued);

	queued->lane = lane;
	queued->next = NULL;
	*lane->last[priority] = queued;
	lane->last[priority] = &queued->next;
	pn_lane_count(lane, 1);
	lane->rows++;
	destination->rows++;
	pn_lane_ready(lane);
}

void pn_lane_put_back(struct queued *queued)
{
	struct lane *lane = queued->lane;
	size_t priority = priority_of(queued);

	queued->next = lane->first[priority];
	if (lane->first[priority] == NULL)
		lane->last[priority] = &queued->next;
	lane->first[priority] = queued;
	pn_lane_count(lane, 1);
	lane->destination->at_work--;
	pn_lane_ready(lane);
}

struct queued *pn_lane_take(struct lane *lane)
{
	for (size_t priority = PRIORITIES; priority-- > 0;) {
		struct queued *queued = lane->first[priority];

		if (queued == NULL)
			continue;
		lane->first[priority] = queued->next;
		if (lane->first[priority] == NULL)
			lane->last[priority] = &lane->first[priority];
		queued->next = NULL;
		pn_lane_count(lane, -1);
		lane->destination->at_work++;
		return queued;
	}
	return NULL;
}

static bool is_same_message(const struct queued *left, const struct queued *right)
{
	return memcmp(left->row.body.bytes, right->row.body.bytes, PN_BODY_ID_SIZE) == 0 &&
	       pn_slice_equal(left->row.transaction, right->row.transaction) &&
	       pn_slice_equal(left->row.sender, right->row.sender);
}

/* They were put by one commit and stand together: who is not the same ends the search. */
size_t pn_lane_take_same(struct lane *lane, const struct queued *queued, struct queued **last,
                         size_t max)
{
	size_t priority = priority_of(queued);
	size_t count = 0;

	while (count < max && lane->first[priority] != NULL &&
	       is_same_message(lane->first[priority], queued)) {
		struct queued *same = lane->first[priority];

		lane->first[priority] = same->next;
		if (lane->first[priority] == NULL)
			lane->last[priority] = &lane->first[priority];
		same->next = NULL;
		pn_lane_count(lane, -1);
		lane->destination->at_work++;
		*last = same;
		last = &same->next;
		count++;
	}
	return count;
}

/* ---- whose turn it is ---- */

static void list_tenant(struct tenant *tenant)
{
	if (tenant->is_listed || tenant->is_suspended || tenant->ready == NULL)
		return;
	tenant->is_listed = true;
	tenant->next_ready = NULL;
	*pn_scheduler.last_ready_tenant = tenant;
	pn_scheduler.last_ready_tenant = &tenant->next_ready;
}

void pn_lane_ready(struct lane *lane)
{
	struct tenant *tenant = lane->tenant;

	if (lane->count == 0) {
		pn_lane_release(lane);
		return;
	}
	if (lane->state != LANE_IDLE)
		return;
	lane->state = LANE_READY;
	lane->next = NULL;
	*tenant->last_ready = lane;
	tenant->last_ready = &lane->next;
	list_tenant(tenant);
	pn_dispatch();
}

void pn_lanes_unpark(struct lane **parked)
{
	while (*parked != NULL) {
		struct lane *lane = *parked;

		*parked = lane->next;
		lane->state = LANE_IDLE;
		pn_lane_ready(lane);
	}
}

/*
 * One tenant alone gets eight ninths of all connections, two get four ninths of them or so each,
 * and something is left for whoever comes next, however many have more than enough to send.
 */
bool pn_tenant_has_enough(const struct tenant *tenant)
{
	size_t all = pn_scheduler.generation->queue.connections;
	size_t left = pn_scheduler.attempts < all ? all - pn_scheduler.attempts : 0;

	return tenant->delivering > 0 && tenant->delivering >= TENANT_SHARE * left;
}

void pn_tenant_park(struct tenant *tenant, struct lane *lane)
{
	lane->state = LANE_PARKED;
	lane->next = NULL;
	*tenant->last_parked = lane;
	tenant->last_parked = &lane->next;
}

void pn_tenant_wake(struct tenant *tenant)
{
	bool has_rows = false;

	while (tenant->parked != NULL && !has_rows) {
		struct lane *lane = tenant->parked;

		tenant->parked = lane->next;
		if (tenant->parked == NULL)
			tenant->last_parked = &tenant->parked;
		lane->state = LANE_IDLE;
		has_rows = lane->count > 0; /* if they are gone: the next */
		pn_lane_ready(lane);
	}
}

void pn_tenants_resume(void)
{
	struct pn_slice key;
	void *value;
	size_t position = 0;

	while (pn_map_next(pn_scheduler.tenants, &position, &key, &value))
		list_tenant(value);
	pn_dispatch();
}

static struct tenant *take_first_tenant(void)
{
	struct tenant *tenant = pn_scheduler.ready_tenants;

	if (tenant == NULL)
		return NULL;
	pn_scheduler.ready_tenants = tenant->next_ready;
	if (pn_scheduler.ready_tenants == NULL)
		pn_scheduler.last_ready_tenant = &pn_scheduler.ready_tenants;
	tenant->is_listed = false;
	return tenant;
}

/* The tenant with the fewest attempts at work among the first of the list; the others keep their
 * order behind it. */
static struct tenant *next_tenant(void)
{
	struct tenant *best = pn_scheduler.ready_tenants;
	struct tenant *tenant = best;

	for (size_t i = 0; i < TENANTS_LOOKED_AT && tenant != NULL; i++) {
		if (tenant->delivering < best->delivering)
			best = tenant;
		tenant = tenant->next_ready;
	}
	while ((tenant = take_first_tenant()) != best)
		list_tenant(tenant);
	return best;
}

struct lane *pn_lane_next_ready(void)
{
	struct tenant *tenant;
	struct lane *lane;

	while ((tenant = next_tenant()) != NULL) {
		lane = tenant->ready;
		if (lane == NULL || tenant->is_suspended)
			continue;
		tenant->ready = lane->next;
		if (tenant->ready == NULL)
			tenant->last_ready = &tenant->ready;
		else
			list_tenant(tenant);
		lane->state = LANE_IDLE;
		if (lane->count > 0)
			return lane;
		pn_lane_release(lane);
	}
	return NULL;
}
