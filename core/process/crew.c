/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workers: how many there are, starting them, and what they are told. Each has
 * a place in a table, which is also the number of its slot in shared memory.
 */
#include "process/master_parts.h"

#include "process/channel.h"
#include "process/child.h"

#include <signal.h>
#include <string.h>

enum { RETRY_MS = 30000 };

static enum pn_status send_list(const struct pn_member *worker, const char *word,
                                const struct pn_descriptor_list *list)
{
	enum pn_status status = PN_OK;

	for (size_t i = 0; i < list->count && status == PN_OK; i++)
		status = pn_channel_send(worker->channel, list->items[i].descriptor, "%s\n%s", word,
		                         list->items[i].name);
	return status;
}

static enum pn_status send_reach(const struct pn_member *worker, const char *word,
                                 const struct pn_flat_list *list)
{
	enum pn_status status = PN_OK;

	for (size_t i = 0; i < list->count && status == PN_OK; i++)
		status =
			pn_channel_send(worker->channel, -1, "reach\n%s\n%s", word, list->items[i]);
	return status;
}

void pn_crew_end(struct pn_member *worker, const char *why)
{
	worker->ended_for = why;
	kill(worker->pid, SIGKILL);
}

/* A worker that does not take packets is ended; its end is noticed like any other. One that is gone
 * died of something else. */
static void take_result(struct pn_member *worker, enum pn_status status)
{
	if (status == PN_TIMEOUT)
		pn_crew_end(worker, "ended because it took no packets");
}

void pn_crew_tell_prepare(struct pn_member *worker, const struct pn_supply *supply)
{
	enum pn_status status = PN_OK;

	/* First of all: a worker confines itself before it does anything else. */
	status = send_reach(worker, "read", &supply->flat.reads);
	if (status == PN_OK)
		status = send_reach(worker, "write", &supply->flat.writes);
	if (status == PN_OK)
		status = pn_channel_send(worker->channel, -1, "confine\n%u",
		                         (unsigned)supply->flat.confinement);
	/* Queue workers listen to nobody. */
	if (status == PN_OK && worker->kind != PN_WORKER_QUEUE)
		status = send_list(worker, "listener", &supply->listeners);
	if (status == PN_OK)
		status = send_list(worker, "key", &supply->keys);
	if (status == PN_OK)
		status = send_list(worker, "file", &supply->files);
	if (status == PN_OK)
		status = pn_channel_send(worker->channel, -1, "prepare\n%u", supply->number);
	take_result(worker, status);
}

void pn_crew_tell(struct pn_member *worker, const char *word, uint32_t number)
{
	take_result(worker, pn_channel_send(worker->channel, -1, "%s\n%u", word, number));
}

static void start_worker(struct pn_member *worker)
{
	size_t index = (size_t)(worker - pn_master.workers);
	struct pn_slot *slot = &pn_master.shared->slots[index];
	struct pn_child_settings settings = {
		.kind = worker->kind,
		.number = worker->number,
		.slot = (unsigned)index,
		.config_path = pn_master.base.config_path,
		.shared_descriptor = pn_master.shared_descriptor,
		.event_descriptors = pn_master.events,
		.user = pn_master.base.user,
	};
	struct pn_error error;

	pn_shared_clear_slot(slot);
	worker->started_ms = pn_master_now_ms();
	worker->abort_sent_ms = 0;
	worker->ended_for = NULL;
	worker->wants_replacing = false;
	worker->said_replace = false;
	if (pn_child_start(&settings, &worker->pid, &worker->channel, &error) != PN_OK) {
		pn_master_say("%s", error.text);
		worker->start_at_ms = pn_master_now_ms() + RETRY_MS;
		return;
	}
	atomic_store(&slot->kind, (uint32_t)worker->kind);
	atomic_store(&slot->number, worker->number);
	atomic_store(&slot->started_ms, worker->started_ms);
	atomic_store(&slot->heartbeat_ms, worker->started_ms);
	atomic_store(&slot->pid, worker->pid);
	worker->state = WORKER_STARTING;
	pn_crew_tell_prepare(worker, pn_master.next != NULL && !pn_master.has_served
	                                     ? pn_master.next
	                                     : pn_master.current);
}

struct pn_member *pn_crew_add(enum pn_worker_kind kind, unsigned number)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct pn_member *worker = &pn_master.workers[i];

		if (worker->is_wanted || worker->pid != 0)
			continue;
		memset(worker, 0, sizeof(*worker));
		worker->kind = kind;
		worker->number = number;
		worker->is_wanted = true;
		worker->channel = -1;
		return worker;
	}
	return NULL;
}

void pn_crew_dismiss(struct pn_member *worker)
{
	worker->state = WORKER_LEAVING;
	if (worker->pid != 0)
		pn_crew_tell(worker, "stop", 0);
}

/* Not wanted any more, nor whom it was to stand in for. */
static void drop(struct pn_member *worker)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct pn_member *other = &pn_master.workers[i];

		if (worker->replaces != 0 && other->pid == worker->replaces &&
		    other->state != WORKER_LEAVING)
			pn_crew_dismiss(other);
	}
	worker->is_wanted = false;
	pn_crew_dismiss(worker);
}

/* As many of one kind as are wanted. Returns how many there will be. */
static unsigned want_kind(enum pn_worker_kind kind, uint64_t wanted, unsigned most)
{
	unsigned count = 0;

	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct pn_member *worker = &pn_master.workers[i];

		if (!worker->is_wanted || worker->kind != kind)
			continue;
		if (worker->number < wanted)
			count++;
		else
			drop(worker);
	}
	while (count < wanted && count < most)
		(void)pn_crew_add(kind, count++);
	return count;
}

/* As many workers as the configuration wants, and one that controls. */
void pn_crew_want(const struct pn_flat *flat)
{
	atomic_store(&pn_master.shared->edge_workers,
	             want_kind(PN_WORKER_EDGE, flat->edge_workers, PN_MAX_SLOTS / 2));
	atomic_store(&pn_master.shared->queue_workers,
	             want_kind(PN_WORKER_QUEUE, flat->queue_workers, PN_MAX_SLOTS / 4));
	(void)want_kind(PN_WORKER_CONTROL, 1, 1);
}

/*
 * Destinations are dealt out among the queue workers, and each has one owner: with another number
 * of workers everybody has others, so all of them end before the first one starts (see start_due).
 */
void pn_crew_deal_out_anew(const struct pn_flat *old, const struct pn_flat *flat)
{
	if (old->queue_workers == flat->queue_workers)
		return;
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct pn_member *worker = &pn_master.workers[i];

		if (worker->kind != PN_WORKER_QUEUE || worker->pid == 0)
			continue;
		worker->wants_replacing = false;
		pn_crew_dismiss(worker);
	}
}

/* A queue worker must not start beside one that still works on what will be its share. */
bool pn_crew_may_start(const struct pn_member *worker)
{
	for (size_t i = 0; i < PN_MAX_SLOTS && worker->kind == PN_WORKER_QUEUE; i++) {
		const struct pn_member *other = &pn_master.workers[i];

		if (other->kind == PN_WORKER_QUEUE && other->pid != 0 &&
		    other->state == WORKER_LEAVING)
			return false;
	}
	return worker->is_wanted && worker->pid == 0;
}

void pn_crew_start_due(void)
{
	for (size_t i = 0; i < PN_MAX_SLOTS && !pn_master.is_stopping; i++) {
		struct pn_member *worker = &pn_master.workers[i];

		if (pn_crew_may_start(worker) && worker->start_at_ms <= pn_master_now_ms())
			start_worker(worker);
	}
}
