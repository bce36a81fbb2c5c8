/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reload: a conversation with all workers. Everybody prepares what is new, then
 * everybody uses it, or nobody does.
 */
#include "process/master_parts.h"

#include "process/channel.h"
#include "process/notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { REASON_SIZE = 3000 };

/* The worker that took the command has it answered, also when it is on its way out: ids are its
 * own. */
void pn_reload_answer(const struct pn_asker *asker, const char *text)
{
	if (asker == NULL || asker->worker == 0)
		return;
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct pn_member *worker = &pn_master.workers[i];

		if (worker->pid == asker->worker &&
		    pn_channel_send(worker->channel, -1, "result\n%s\n%s", asker->id, text) ==
		            PN_OK)
			return;
	}
	pn_master_say("the control worker that took a command ended; its answer was: %s", text);
}

void pn_reload_answer_asker(const char *text)
{
	pn_reload_answer(&pn_master.reload_asker, text);
	pn_master.reload_asker.worker = 0;
}

void pn_reload_give_up(const char *format, ...)
{
	char text[PN_PACKET_SIZE] = "failed ";
	const char *why = text + strlen(text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + strlen(text), REASON_SIZE, format, arguments);
	va_end(arguments);
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct pn_member *worker = &pn_master.workers[i];

		if (worker->pid == 0 || worker->state == WORKER_LEAVING)
			continue;
		if (worker->state == WORKER_READY)
			worker->state = WORKER_SERVING;
		worker->said_replace = false;
		pn_crew_tell(worker, "abandon", pn_master.next->number);
	}
	pn_supply_free(&pn_master.next, pn_master.current);
	pn_master_say("reload: nothing was changed: %s", why);
	pn_notify_not_reloaded(why);
	pn_reload_answer_asker(text);
}

/* At the first start everybody counts. Later, a worker that is down or still starting does not hold
 * a reload up (it may be the reload that mends it): it comes up with what is in use by then. */
static const struct pn_member *first_not_ready(void)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		const struct pn_member *worker = &pn_master.workers[i];

		if (worker->is_wanted && worker->state != WORKER_READY &&
		    (!pn_master.has_served || worker->state == WORKER_SERVING))
			return worker;
	}
	return NULL;
}

bool pn_reload_all_are_ready(void)
{
	return first_not_ready() == NULL;
}

void pn_reload_end_late(void)
{
	const struct pn_member *worker = first_not_ready();

	if (pn_master.next == NULL || !pn_master.has_served ||
	    pn_master_now_ms() <= pn_master.reload_deadline_ms)
		return;
	if (worker == NULL)
		pn_reload_finish();
	else
		pn_reload_give_up("%s %u was not ready in time: see reload_deadline, and what the "
		                  "log says of it",
		                  pn_worker_kind_name(worker->kind), worker->number);
}

static bool any_wants_replacing(void)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		if (pn_master.workers[i].state == WORKER_READY && pn_master.workers[i].said_replace)
			return true;
	}
	return false;
}

/* Everybody is ready: from here on there is no way back, and none is needed. */
void pn_reload_finish(void)
{
	struct pn_supply *old = pn_master.current;
	bool is_first = !pn_master.has_served;

	pn_master.current = pn_master.next;
	pn_master.next = NULL;
	atomic_store(&pn_master.shared->generation, pn_master.current->number);
	if (!is_first)
		atomic_fetch_add(&pn_master.shared->reloads, 1);
	pn_suspects_enable_hooks(&pn_master.shared->suspects);
	/* Who holds the asker's connection is replaced as well: he hears of it before. */
	if (any_wants_replacing())
		pn_reload_answer_asker("ok workers are being replaced");
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct pn_member *worker = &pn_master.workers[i];

		/* What kept it from starting may be mended. */
		worker->start_at_ms = pn_master_now_ms();
		if (worker->state != WORKER_READY)
			continue;
		worker->state = WORKER_SERVING;
		worker->wants_replacing = worker->said_replace;
		worker->said_replace = false;
		if (!worker->wants_replacing)
			pn_crew_tell(worker, "use", pn_master.current->number);
	}
	if (old != NULL)
		pn_crew_deal_out_anew(&old->flat, &pn_master.current->flat);
	pn_supply_free(&old, pn_master.current);
	pn_crew_want(&pn_master.current->flat);
	pn_replacing_next();
}

void pn_reload_begin(const struct pn_asker *asker)
{
	struct pn_error error;

	if (pn_master.is_stopping || !pn_master.has_served) {
		pn_reload_answer(asker, pn_master.is_stopping
		                                ? "failed the gateway is stopping"
		                                : "failed the gateway is still starting");
		return;
	}
	if (pn_master.next != NULL || pn_master.reload_asker.worker != 0) {
		pn_reload_answer(asker, "failed another reload is under way: ask again when it is "
		                        "done");
		return;
	}
	if (asker != NULL)
		pn_master.reload_asker = *asker;
	pn_notify_reloading();
	if (pn_supply_load(&pn_master.base, pn_master.current, pn_master.current->number + 1,
	                   &pn_master.next, &error) != PN_OK) {
		char text[PN_PACKET_SIZE];

		pn_master_say("reload: nothing was changed: %s", error.text);
		pn_notify_not_reloaded(error.text);
		snprintf(text, sizeof(text), "failed %s", error.text);
		pn_reload_answer_asker(text);
		return;
	}
	pn_master.reload_deadline_ms = pn_master_now_ms() + pn_master.next->flat.reload_deadline_ms;
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct pn_member *worker = &pn_master.workers[i];

		if (worker->pid != 0 && worker->state == WORKER_SERVING)
			pn_crew_tell_prepare(worker, pn_master.next);
	}
	/* Nobody serves: nobody is to be asked. */
	if (pn_reload_all_are_ready())
		pn_reload_finish();
}

/* The asker of a reload, and the service manager, hear of it when every worker uses what is new. */
void pn_reload_answer_when_used(void)
{
	char text[100];

	if (!pn_master.has_served || pn_master.next != NULL)
		return;
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		const struct pn_slot *slot = &pn_master.shared->slots[i];

		if (pn_master.workers[i].is_wanted &&
		    pn_master.workers[i].state == WORKER_SERVING &&
		    atomic_load(&slot->counters.generation) != pn_master.current->number)
			return;
	}
	pn_notify_reloaded(pn_master.current->number);
	snprintf(text, sizeof(text), "ok generation %u is in use", pn_master.current->number);
	pn_reload_answer_asker(text);
}
