/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus between workers: a generation for each bucket of accounts in shared
 * memory, and one eventfd for each worker. Whoever changes an account counts its
 * bucket up and wakes those who watch; wake-ups merge, and a reader finds out what
 * changed by comparing the generations with those it has seen. The queue has two
 * counts of the same kind, for rows that came and for what operators did.
 */
#include "process/worker.h"

#include "delivery/queue.h"
#include "io/loop.h"
#include "store/watch.h"

#include <stdlib.h>
#include <sys/eventfd.h>

static struct pn_watch *event_watch;
static uint32_t *seen;
static uint32_t seen_queued;
static uint32_t seen_edited;

static int event_of(size_t slot)
{
	return PN_FIRST_EVENT_DESCRIPTOR + (int)slot;
}

static void changed(struct pn_slice account)
{
	uint32_t bucket = pn_shared_bucket(account);

	/* Our own watchers were told already: this count is not news to us. */
	if (atomic_fetch_add(&pn_worker.shared->changes[bucket], 1) == seen[bucket])
		seen[bucket]++;
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		if (i != pn_worker.slot_index &&
		    atomic_load(&pn_worker.shared->slots[i].watches) != 0)
			(void)eventfd_write(event_of(i), 1);
	}
}

/* One that was woken and has not looked yet will see this, too: many messages in a row are one
 * wake. */
static void wake_queue_workers(void)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct pn_slot *slot = &pn_worker.shared->slots[i];

		if (atomic_load(&slot->pid) != 0 && atomic_load(&slot->kind) == PN_WORKER_QUEUE &&
		    atomic_exchange(&slot->queue_told, 1) == 0)
			(void)eventfd_write(event_of(i), 1);
	}
}

static void queued(void)
{
	atomic_fetch_add(&pn_worker.shared->queued, 1);
	wake_queue_workers();
}

void pn_bus_edited(void)
{
	atomic_fetch_add(&pn_worker.shared->queue_edited, 1);
	wake_queue_workers();
}

static void look_at_queue(void)
{
	uint32_t queued_now, edited_now;

	atomic_store(&pn_worker.slot->queue_told, 0);
	/* Before its first generation is used there is no queue here; it then reads all that is
	 * due. */
	if (pn_worker.current == NULL)
		return;
	queued_now = atomic_load(&pn_worker.shared->queued);
	edited_now = atomic_load(&pn_worker.shared->queue_edited);
	if (edited_now != seen_edited)
		pn_queue_edited();
	if (queued_now != seen_queued)
		pn_queue_woken();
	seen_queued = queued_now;
	seen_edited = edited_now;
}

static void look(void)
{
	for (uint32_t bucket = 0; bucket < PN_CHANGE_BUCKETS; bucket++) {
		uint32_t generation = atomic_load(&pn_worker.shared->changes[bucket]);

		if (generation == seen[bucket])
			continue;
		seen[bucket] = generation;
		pn_watch_woken(bucket);
	}
}

static void woken(void *user, int events)
{
	eventfd_t count;

	(void)user;
	(void)events;
	(void)eventfd_read(event_of(pn_worker.slot_index), &count);
	look();
	if (pn_worker.kind == PN_WORKER_QUEUE)
		look_at_queue();
	if (pn_worker.kind == PN_WORKER_CONTROL)
		pn_control_save_suspects();
}

/* The flag is set before the generations are read: a change after that wakes us. */
static void watching(bool any)
{
	atomic_store(&pn_worker.slot->watches, any ? 1 : 0);
	if (!any)
		return;
	for (size_t i = 0; i < PN_CHANGE_BUCKETS; i++)
		seen[i] = atomic_load(&pn_worker.shared->changes[i]);
}

enum pn_status pn_bus_start(struct pn_error *error)
{
	seen = calloc(PN_CHANGE_BUCKETS, sizeof(*seen));
	if (seen == NULL)
		abort();
	pn_change_bus.changed = changed;
	pn_change_bus.bucket = pn_shared_bucket;
	pn_change_bus.watching = watching;
	pn_change_bus.queued = queued;
	pn_change_bus.edited = pn_bus_edited;
	seen_queued = atomic_load(&pn_worker.shared->queued);
	seen_edited = atomic_load(&pn_worker.shared->queue_edited);
	if (pn_watch_new(event_of(pn_worker.slot_index), woken, NULL, &event_watch, error) != PN_OK)
		return PN_FAILED;
	pn_watch_set(event_watch, PN_WATCH_READ);
	return PN_OK;
}

void pn_bus_stop(void)
{
	pn_change_bus = (struct pn_change_bus){0};
	pn_watch_free(&event_watch, false);
	free(seen);
	seen = NULL;
}
