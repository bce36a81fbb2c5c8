/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers that are replaced by others of their kind, one after the other, because
 * a reload brought what a running worker cannot take in.
 */
#include "process/master_parts.h"

/*
 * A new worker beside the old one, which serves until the new one does and then ends as its
 * sessions do. A successor that cannot start leaves the old one where it is. What a queue worker
 * works on has one owner: the old one ends before.
 */
static void replace_worker(struct pn_member *worker)
{
	struct pn_member *successor = NULL;

	worker->wants_replacing = false;
	if (worker->kind != PN_WORKER_QUEUE) {
		worker->is_wanted = false;
		successor = pn_crew_add(worker->kind, worker->number);
	}
	if (successor != NULL) {
		successor->replaces = worker->pid;
		return;
	}
	/* Or there is no free slot: the same one, when it has ended. */
	worker->is_wanted = true;
	worker->is_returning = true;
	pn_crew_dismiss(worker);
}

/* One at a time, so that at most one worker more than usual runs. */
void pn_replacing_next(void)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		if (pn_master.workers[i].is_wanted &&
		    (pn_master.workers[i].replaces != 0 || pn_master.workers[i].is_returning))
			return;
	}
	for (size_t i = 0; i < PN_MAX_SLOTS && !pn_master.is_stopping; i++) {
		struct pn_member *worker = &pn_master.workers[i];

		if (worker->is_wanted && worker->wants_replacing && worker->pid != 0) {
			replace_worker(worker);
			return;
		}
	}
}

/* A successor serves: whom it replaces may go. */
void pn_replacing_served(struct pn_member *successor)
{
	pid_t pid = successor->replaces;

	if (pid == 0 && !successor->is_returning)
		return;
	successor->replaces = 0;
	successor->is_returning = false;
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct pn_member *worker = &pn_master.workers[i];

		if (pid != 0 && worker->pid == pid && worker->state != WORKER_LEAVING)
			pn_crew_dismiss(worker);
	}
	pn_replacing_next();
}
