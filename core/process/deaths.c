/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers that end: asked to, by themselves, or because they gave no sign of life.
 * What they ran is told and put under suspicion, what they left behind is cleared.
 */
#include "process/master_parts.h"

#include "process/oom.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	ABORT_GRACE_MS = 2000,
	SHORT_LIFE_MS = 5000,     /* a worker that lives shorter counts as failing to start */
	START_MS = 5 * 60 * 1000, /* before the watchdog looks at a worker that starts */
	FIRST_DELAY_MS = 50,
	LONGEST_DELAY_MS = 30000,
};

/* Who waits for a change that the dead one made, and did not tell of, must look. */
static void wake_everybody(void)
{
	for (size_t i = 0; i < PN_CHANGE_BUCKETS; i++)
		atomic_fetch_add(&pn_master.shared->changes[i], 1);
	atomic_fetch_add(&pn_master.shared->queued, 1);
	for (size_t i = 0; i < PN_MAX_SLOTS; i++)
		(void)eventfd_write(pn_master.events[i], 1);
}

static enum pn_death_cause cause_of(const struct pn_member *worker, int status)
{
	if (worker->abort_sent_ms != 0 || worker->ended_for != NULL)
		return PN_DEATH_HANG;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		return PN_DEATH_CRASH;
	return pn_oom_lately() == PN_OOM_NONE ? PN_DEATH_KILLED : PN_DEATH_MEMORY;
}

static void describe(const struct pn_member *worker, enum pn_death_cause cause, int status,
                     char *text, size_t size)
{
	if (worker->ended_for != NULL)
		snprintf(text, size, "%s", worker->ended_for);
	else if (cause == PN_DEATH_HANG)
		snprintf(text, size, "ended after it hung");
	else if (cause == PN_DEATH_KILLED)
		snprintf(text, size, "killed from outside");
	else if (cause == PN_DEATH_MEMORY && pn_oom_lately() == PN_OOM_RECENT)
		snprintf(text, size, "killed when memory had run out");
	else if (cause == PN_DEATH_MEMORY)
		snprintf(text, size, "killed from outside, or because memory had run out");
	else if (WIFSIGNALED(status))
		snprintf(text, size, "signal %d, %s", WTERMSIG(status),
		         strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "it ended with status %d", WEXITSTATUS(status));
}

static void tell_death(const struct pn_member *worker, const struct pn_death *death, int status)
{
	const struct pn_running *running =
		pn_shared_running(&pn_master.shared->slots[worker - pn_master.workers]);
	const bool is_crash = death->cause == PN_DEATH_CRASH;
	char what[200] = "";

	if (running->module[0] != '\0')
		snprintf(what, sizeof(what), " while it ran %.31s %.47s (session %.23s%s%.23s)",
		         running->module, running->hook,
		         running->session[0] == '\0' ? "none" : running->session,
		         running->transaction[0] == '\0' ? "" : ", transaction ",
		         running->transaction);
	if (WIFSIGNALED(status))
		pn_master_say("%s %u (pid %d) was ended by signal %d (%s)%s%s%s",
		              pn_worker_kind_name(worker->kind), worker->number, worker->pid,
		              WTERMSIG(status), strsignal(WTERMSIG(status)), is_crash ? "" : ", ",
		              is_crash ? "" : death->how, what);
	else
		pn_master_say("%s %u (pid %d) ended with status %d%s",
		              pn_worker_kind_name(worker->kind), worker->number, worker->pid,
		              WEXITSTATUS(status), what);
}

/* What it ran when it died is under suspicion. True: a message was at work. It is counted in one
 * place at a time: workers look at the slots of those that died, too. */
static bool blame(const struct pn_member *worker, const struct pn_death *death)
{
	struct pn_suspects *suspects = &pn_master.shared->suspects;
	struct pn_slot *slot = &pn_master.shared->slots[worker - pn_master.workers];
	const struct pn_running running = *pn_shared_running(slot);
	char text[300];
	bool is_explained;

	pn_suspects_begin_move(suspects);
	slot->running.digest = 0;
	slot->fault.digest = 0;
	is_explained = pn_suspects_death(suspects, death, &running, text, sizeof(text));
	pn_suspects_end_move(suspects);
	if (text[0] != '\0')
		pn_master_say("%s", text);
	return is_explained;
}

/* Nobody asked it to end. True: a message is to blame. */
static bool died(const struct pn_member *worker, int status)
{
	char how[80];
	const struct pn_death death = {
		.kind = worker->kind, .cause = cause_of(worker, status), .how = how};
	bool is_explained;

	describe(worker, death.cause, status, how, sizeof(how));
	is_explained = blame(worker, &death);
	tell_death(worker, &death, status);
	atomic_fetch_add(&pn_master.shared->worker_deaths, 1);
	return is_explained;
}

static void worker_ended(struct pn_member *worker, int status)
{
	bool was_asked = worker->state == WORKER_LEAVING;
	bool took_part = worker->state == WORKER_SERVING || worker->state == WORKER_READY;
	bool is_explained = false;

	/* What it said last is heard, but nobody counts on it any more, nor ends it again. */
	worker->state = WORKER_LEAVING;
	pn_master_read_channel(worker);
	was_asked = was_asked || pn_master.is_stopping;
	if (!was_asked)
		is_explained = died(worker, status);
	close(worker->channel);
	worker->channel = -1;
	pn_hook_costs_add(&pn_master.shared->ended_costs,
	                  &pn_master.shared->slots[worker - pn_master.workers].costs);
	pn_shared_clear_slot(&pn_master.shared->slots[worker - pn_master.workers]);
	wake_everybody();
	/* One that keeps failing is started later and later; the others serve on. A message that is
	 * to blame does it twice, and no more. */
	if (is_explained || was_asked)
		worker->delay_ms = 0;
	else if (pn_master_now_ms() - worker->started_ms < SHORT_LIFE_MS && worker->delay_ms > 0)
		worker->delay_ms = worker->delay_ms * 2 > LONGEST_DELAY_MS ? LONGEST_DELAY_MS
		                                                           : worker->delay_ms * 2;
	else if (pn_master_now_ms() - worker->started_ms < SHORT_LIFE_MS)
		worker->delay_ms = FIRST_DELAY_MS;
	else
		worker->delay_ms = 0;
	worker->pid = 0;
	worker->state = WORKER_ABSENT;
	worker->start_at_ms = pn_master_now_ms() + worker->delay_ms;
	/* One that only started comes up with what is in use by then. */
	if (pn_master.next != NULL && pn_master.has_served && !was_asked && took_part)
		pn_reload_give_up("%s %u ended while it prepared, and the log says how: reload "
		                  "again",
		                  pn_worker_kind_name(worker->kind), worker->number);
	/* Mail that waits must not keep the gateway from starting. */
	if (!pn_master.has_served && !pn_master.is_stopping && !is_explained) {
		pn_master_say("a worker could not start (%s %u); what stands above says why",
		              pn_worker_kind_name(worker->kind), worker->number);
		pn_master.exit_status = 1;
		pn_master_stop(NULL);
	}
}

void pn_deaths_reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
			if (pn_master.workers[i].pid == pid)
				worker_ended(&pn_master.workers[i], status);
		}
	}
}

/* A worker without heartbeat: asked for a core first, then ended. */
void pn_deaths_watch_heartbeats(void)
{
	uint64_t now = pn_master_now_ms();
	uint64_t watchdog = pn_master.current == NULL ? 60000 : pn_master.current->flat.watchdog_ms;

	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct pn_member *worker = &pn_master.workers[i];
		uint64_t beat = atomic_load(&pn_master.shared->slots[i].heartbeat_ms);

		if (worker->pid == 0)
			continue;
		/* A worker that starts reads files and opens stores, and has more time for it. */
		if (worker->state == WORKER_STARTING)
			beat = worker->started_ms + START_MS;
		if (now < beat || now - beat < watchdog)
			continue;
		if (worker->abort_sent_ms == 0) {
			pn_master_say(
				"%s %u (pid %d) gave no sign of life for %llu ms and is ended",
				pn_worker_kind_name(worker->kind), worker->number, worker->pid,
				(unsigned long long)(now - beat));
			atomic_fetch_add(&pn_master.shared->worker_hangs, 1);
			worker->abort_sent_ms = now;
			kill(worker->pid, SIGABRT);
		} else if (now - worker->abort_sent_ms > ABORT_GRACE_MS) {
			kill(worker->pid, SIGKILL);
		}
	}
}
