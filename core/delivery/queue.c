/* SPDX-License-Identifier: Apache-2.0 */
/* The queue worker as the process layer sees it: see queue.h and scheduler.h. Loop thread. */
#include "delivery/scheduler.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "session/ticket.h"

#include <stdlib.h>

enum { TICK_MS = 1000, LOOK_APART_MS = 20 };

struct pn_scheduler pn_scheduler;

/* When the next row that was put off here becomes due; the tick alone would be late. */
static int64_t next_due_ms = INT64_MAX;
static int64_t looked_ms; /* rows that fall due one soon after the other are read together */
static struct pn_timer *due_timer;

uint32_t pn_queue_shard(struct pn_slice destination, uint32_t shard_count)
{
	uint32_t hash = 2166136261u; /* FNV-1a: the same in every worker, and after every restart */

	for (size_t i = 0; i < destination.size; i++) {
		unsigned char byte = (unsigned char)destination.data[i];

		if (byte >= 'A' && byte <= 'Z')
			byte = (unsigned char)(byte + 32);
		hash = (hash ^ byte) * 16777619u;
	}
	return shard_count < 2 ? 0 : hash % shard_count;
}

/* ---- time ---- */

static void due_passed(void *unused)
{
	(void)unused;
	next_due_ms = INT64_MAX;
	looked_ms = pn_clock_wall_ms();
	pn_take_due(false);
}

void pn_wait_until(int64_t wall_ms)
{
	int64_t now = pn_clock_wall_ms();

	if (wall_ms < looked_ms + LOOK_APART_MS && looked_ms <= now)
		wall_ms = looked_ms + LOOK_APART_MS;
	if (wall_ms >= next_due_ms || due_timer == NULL)
		return;
	next_due_ms = wall_ms;
	pn_timer_set(due_timer, wall_ms <= now ? 1 : (uint64_t)(wall_ms - now) + 1);
}

/* Places that nobody needs any more are forgotten; rows that others put off are found. */
static void look_around(void)
{
	struct pn_slice key;
	void *value;
	size_t position = 0;

	while (pn_map_next(pn_scheduler.destinations, &position, &key, &value)) {
		size_t before = pn_map_count(pn_scheduler.destinations);
		struct destination *destination = value;

		if (destination->has_more && destination->rows == 0)
			pn_take_refill(destination);
		else
			pn_destination_release(destination);
		if (pn_map_count(pn_scheduler.destinations) != before)
			position = 0;
	}
	position = 0;
	while (pn_map_next(pn_scheduler.sites, &position, &key, &value)) {
		size_t before = pn_map_count(pn_scheduler.sites);

		pn_site_release(value);
		if (pn_map_count(pn_scheduler.sites) != before)
			position = 0;
	}
}

static void tick(void *unused)
{
	static unsigned ticks;

	(void)unused;
	/* One that ends by itself: as if an operator had resumed it. */
	if (pn_scheduler.suspensions_end_ms <= pn_clock_wall_ms())
		pn_queue_edited();
	pn_dispatch_tick();
	pn_take_due(false);
	pn_take_left_out();
	pn_sites_wake_waiting();
	if (++ticks % 30 == 0)
		look_around();
	pn_timer_set(pn_scheduler.tick, TICK_MS);
}

/* ---- suspensions ---- */

static void clear_suspensions(void)
{
	struct pn_slice key;
	void *value;
	size_t position = 0;

	while (pn_map_next(pn_scheduler.destinations, &position, &key, &value))
		((struct destination *)value)->is_suspended = false;
	position = 0;
	while (pn_map_next(pn_scheduler.tenants, &position, &key, &value))
		((struct tenant *)value)->is_suspended = false;
}

static void use_suspensions(void)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_suspension *suspensions = NULL;
	size_t count = 0;
	struct pn_error error;
	int64_t now = pn_clock_wall_ms();

	clear_suspensions();
	pn_scheduler.suspensions_end_ms = INT64_MAX;
	if (pn_suspensions_read(pn_scheduler.generation->data_directory, arena, &suspensions,
	                        &count, &error) != PN_OK)
		pn_log(PN_LOG_ERROR, "queue", "%s", error.text);
	for (size_t i = 0; i < count; i++) {
		struct destination *destination;

		if (suspensions[i].until_ms <= now)
			continue;
		if (suspensions[i].until_ms < pn_scheduler.suspensions_end_ms)
			pn_scheduler.suspensions_end_ms = suspensions[i].until_ms;
		if (suspensions[i].kind == PN_SUSPEND_TENANT) {
			pn_tenant_of(suspensions[i].name)->is_suspended = true;
			continue;
		}
		destination = pn_destination_of(suspensions[i].name);
		if (destination != NULL)
			destination->is_suspended = true;
	}
	pn_arena_free(&arena);
}

/* ---- life ---- */

enum pn_status pn_queue_start(unsigned number, unsigned count, struct pn_error *error)
{
	struct pn_generation *generation = pn_generation_current;

	if (generation->home == NULL)
		return PN_OK; /* nothing is ever queued */
	(void)error;
	pn_scheduler = (struct pn_scheduler){
		.number = number,
		.count = count < 1 ? 1 : count,
		.generation = pn_generation_keep(generation),
		.arena = pn_arena_new(),
		.rows = pn_map_new(0),
		.tenants = pn_map_new(0),
		.destinations = pn_map_new(0),
		.sites = pn_map_new(0),
		.is_running = true,
		.dispatch = {.run = pn_dispatch_run},
	};
	pn_scheduler.last_ready_tenant = &pn_scheduler.ready_tenants;
	pn_scheduler.waiting.last = &pn_scheduler.waiting.first;
	pn_scheduler.newcomers.last = &pn_scheduler.newcomers.first;
	pn_scheduler.home = pn_account_new(pn_scheduler.arena, PN_SLICE(""), generation->home);
	pn_scheduler.tick = pn_timer_new(tick, NULL);
	due_timer = pn_timer_new(due_passed, NULL);
	next_due_ms = INT64_MAX;
	use_suspensions();
	pn_take_start();
	pn_timer_set(pn_scheduler.tick, TICK_MS);
	return PN_OK;
}

void pn_queue_use_generation(void)
{
	struct pn_slice key;
	void *value;
	size_t position = 0;

	if (!pn_scheduler.is_running)
		return;
	pn_generation_drop(&pn_scheduler.generation);
	pn_scheduler.generation = pn_generation_keep(pn_generation_current);
	pn_sites_use_limits();
	/* Transports and their options may be others: the way is found anew, and connections that
	 * were opened with the old configuration are used no more. */
	while (pn_map_next(pn_scheduler.destinations, &position, &key, &value))
		((struct destination *)value)->hops_until_ms = 0;
	position = 0;
	while (pn_map_next(pn_scheduler.sites, &position, &key, &value))
		pn_carriers_close_idle(value);
}

void pn_queue_woken(void)
{
	if (pn_scheduler.is_running)
		pn_take_new();
}

void pn_queue_edited(void)
{
	if (!pn_scheduler.is_running)
		return;
	use_suspensions();
	pn_take_forget_idle();
	pn_tenants_resume();
	pn_take_due(true);
}

void pn_queue_finish(void (*done)(void))
{
	struct pn_slice key;
	void *value;
	size_t position = 0;

	if (!pn_scheduler.is_running) {
		done();
		return;
	}
	pn_scheduler.is_finishing = true;
	pn_scheduler.finished = done;
	while (pn_map_next(pn_scheduler.sites, &position, &key, &value))
		pn_carriers_close_idle(value);
	pn_dispatch();
}

static void free_everything(void)
{
	struct pn_slice key;
	void *value;
	size_t position = 0;

	pn_take_forget_idle();
	while (pn_map_next(pn_scheduler.rows, &position, &key, &value)) {
		/* At work when the worker ended: the row is due again. */
		pn_queued_free(value);
		position = 0;
	}
	position = 0;
	while (pn_map_next(pn_scheduler.destinations, &position, &key, &value)) {
		struct destination *destination = value;

		destination->has_more = false;
		destination->is_refilling = false;
		destination->is_left_out = false;
		destination->is_suspended = false;
		destination->rows = 0;
		if (destination->hops_state == HOPS_ASKING)
			destination->hops_state = HOPS_NONE;
		for (struct lane *lane = destination->lanes; lane != NULL;
		     lane = lane->next_of_destination)
			lane->state = LANE_IDLE;
		pn_destination_release(destination);
		position = 0;
	}
	position = 0;
	while (pn_map_next(pn_scheduler.tenants, &position, &key, &value)) {
		pn_map_remove(pn_scheduler.tenants, key);
		free(value);
		position = 0;
	}
}

void pn_queue_stop(void)
{
	if (!pn_scheduler.is_running)
		return;
	pn_scheduler.is_running = false;
	pn_dispatch_stop();
	pn_timer_free(&pn_scheduler.tick);
	pn_timer_free(&due_timer);
	pn_take_stop();
	pn_settle_stop();
	pn_bounce_stop();
	free_everything();
	pn_sites_free();
	pn_map_free(&pn_scheduler.rows);
	pn_map_free(&pn_scheduler.tenants);
	pn_map_free(&pn_scheduler.destinations);
	pn_map_free(&pn_scheduler.sites);
	pn_generation_drop(&pn_scheduler.generation);
	pn_arena_free(&pn_scheduler.arena);
}

void pn_queue_count(struct pn_queue_counts *counts_out)
{
	struct pn_slice key;
	void *value;
	size_t position = 0;

	*counts_out = pn_scheduler.counts;
	if (!pn_scheduler.is_running)
		return;
	counts_out->in_memory = pn_map_count(pn_scheduler.rows);
	counts_out->delivering = pn_scheduler.attempts;
	counts_out->carriers = pn_scheduler.carriers;
	counts_out->destinations = pn_map_count(pn_scheduler.destinations);
	while (pn_map_next(pn_scheduler.sites, &position, &key, &value))
		counts_out->suspended += pn_site_is_suspended(value) ? 1 : 0;
}
