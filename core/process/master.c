/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The master. Its state is a table of workers and the sockets, keys and copies of
 * files that they need; its loop waits for signals, channels and deadlines. The
 * table is kept in crew.c, replacing.c and deaths.c, and reloads in reload.c.
 */
#include "process/master.h"

#include <postern/clock.h>
#include <postern/log.h>

#include "process/channel.h"
#include "process/master_parts.h"
#include "process/notify.h"
#include "process/oom.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
	POLL_MS = 200,
	WANTED_DESCRIPTORS = 1024 * 1024,
};

struct pn_master pn_master;

uint64_t pn_master_now_ms(void)
{
	return pn_clock_monotonic_ms();
}

void pn_master_say(const char *format, ...)
{
	char text[PN_PACKET_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	fprintf(stderr, "postern: %s\n", text);
}

/* ---- what workers say ---- */

static void announce(void)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		if (pn_master.workers[i].is_wanted &&
		    atomic_load(&pn_master.shared->slots[i].counters.generation) == 0)
			return;
	}
	if (pn_master.has_served)
		return;
	pn_master.has_served = true;
	printf("postern: ready\n%s", pn_master.current->flat.welcome);
	fflush(stdout);
	pn_notify_ready(pn_master.current->number);
}

void pn_master_stop(const struct pn_asker *asker)
{
	pn_reload_answer(asker, "ok stopping");
	pn_reload_answer_asker("failed the gateway is stopping");
	if (pn_master.is_stopping)
		return;
	pn_master.is_stopping = true;
	pn_notify_stopping();
	atomic_store(&pn_master.shared->is_stopping, 1);
	pn_master.stop_deadline_ms =
		pn_master_now_ms() + 5000 +
		(pn_master.current == NULL ? 0 : pn_master.current->flat.stop_grace_ms);
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct pn_member *worker = &pn_master.workers[i];

		worker->is_wanted = false;
		if (worker->pid != 0)
			pn_crew_dismiss(worker);
	}
}

static void worker_failed(struct pn_member *worker, uint32_t number, const char *why)
{
	pn_master_say("%s %u: %s", pn_worker_kind_name(worker->kind), worker->number, why);
	if (!pn_master.has_served) {
		pn_master.exit_status = 1;
		pn_master_stop(NULL);
	} else if (worker->state == WORKER_STARTING) {
		/* It is started again, later and later. */
		pn_crew_end(worker, "ended because it could not start");
	} else if (pn_master.next != NULL && number == pn_master.next->number) {
		pn_reload_give_up("%s", why);
	}
	/* Else the reload was given up already, when another failed: this one serves as before. */
}

/* Prepared: one of the first, one that was restarted, or one of a reload. */
static void worker_ready(struct pn_member *worker, uint32_t number)
{
	if (pn_master.is_stopping || worker->state == WORKER_LEAVING)
		return;
	if (pn_master.next != NULL && number == pn_master.next->number) {
		worker->state = WORKER_READY;
		if (pn_reload_all_are_ready())
			pn_reload_finish();
	} else if (pn_master.current != NULL && number == pn_master.current->number) {
		worker->state = WORKER_SERVING;
		pn_crew_tell(worker, "use", number);
		if (pn_master.next != NULL)
			pn_crew_tell_prepare(worker, pn_master.next);
	} else if (pn_master.current != NULL && worker->state == WORKER_STARTING) {
		/* A reload overtook it. What it prepared is not in use any more, and its modules
		 * were started with it: afresh, as soon as it has ended. */
		pn_crew_dismiss(worker);
	}
}

static void take_packet(struct pn_member *worker, const struct pn_packet *packet)
{
	const char *word = packet->words[0];
	uint32_t number = (uint32_t)strtoul(packet->words[1], NULL, 10);

	if (packet->descriptor >= 0)
		close(packet->descriptor);
	if (strcmp(word, "ready") == 0) {
		worker_ready(worker, number);
	} else if (strcmp(word, "replace") == 0) {
		worker->said_replace = true;
		worker_ready(worker, number);
	} else if (strcmp(word, "failed") == 0) {
		worker_failed(worker, number, packet->words[2]);
	} else if (strcmp(word, "using") == 0) {
		announce();
		if (worker->state != WORKER_LEAVING)
			pn_replacing_served(worker);
		pn_reload_answer_when_used();
	} else if (strcmp(word, "ask") == 0 && worker->kind == PN_WORKER_CONTROL) {
		struct pn_asker asker = {.worker = worker->pid};

		snprintf(asker.id, sizeof(asker.id), "%s", packet->words[1]);
		if (strcmp(packet->words[2], "reload") == 0)
			pn_reload_begin(&asker);
		else if (strcmp(packet->words[2], "stop") == 0)
			pn_master_stop(&asker);
	}
}

void pn_master_read_channel(struct pn_member *worker)
{
	struct pn_packet packet;

	while (worker->channel >= 0 && pn_channel_receive(worker->channel, &packet) == PN_OK)
		take_packet(worker, &packet);
}

/* ---- the loop ---- */

static void take_signals(void)
{
	struct signalfd_siginfo info;

	while (read(pn_master.signals, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			pn_deaths_reap();
			break;
		case SIGHUP:
			pn_reload_begin(NULL);
			break;
		default:
			pn_master_stop(NULL);
			break;
		}
	}
}

static bool any_worker_left(void)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		if (pn_master.workers[i].pid != 0)
			return true;
	}
	return false;
}

static void end_late_ones(void)
{
	if (!pn_master.is_stopping || pn_master_now_ms() < pn_master.stop_deadline_ms)
		return;
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		if (pn_master.workers[i].pid != 0)
			kill(pn_master.workers[i].pid, SIGKILL);
	}
}

/* How long poll may sleep: a worker may be due before the next look at the heartbeats. */
static int sleep_ms(void)
{
	uint64_t now = pn_master_now_ms();
	uint64_t wait = POLL_MS;

	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		const struct pn_member *worker = &pn_master.workers[i];

		if (pn_crew_may_start(worker)) {
			uint64_t due = worker->start_at_ms > now ? worker->start_at_ms - now : 0;

			wait = due < wait ? due : wait;
		}
	}
	return (int)wait;
}

/* The keys that TLS sessions are resumed with: one is good for as long as a session is, and for
 * that long again behind the next. */
static void turn_tls_keys(void)
{
	uint64_t now = pn_master_now_ms();

	if (pn_master.current == NULL ||
	    now - pn_master.tls_turned_ms < pn_master.current->flat.tls_session_lifetime_ms)
		return;
	pn_master.tls_turned_ms = now;
	pn_tls_resumption_turn(&pn_master.shared->tls_resumption);
}

static void turn(void)
{
	struct pollfd descriptors[PN_MAX_SLOTS + 1];
	struct pn_member *owners[PN_MAX_SLOTS + 1];
	nfds_t count = 1;

	descriptors[0] = (struct pollfd){.fd = pn_master.signals, .events = POLLIN};
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		if (pn_master.workers[i].pid == 0)
			continue;
		owners[count] = &pn_master.workers[i];
		descriptors[count++] =
			(struct pollfd){.fd = pn_master.workers[i].channel, .events = POLLIN};
	}
	if (poll(descriptors, count, sleep_ms()) < 0 && errno != EINTR)
		abort();
	for (nfds_t i = 1; i < count; i++) {
		if ((descriptors[i].revents & POLLIN) != 0)
			pn_master_read_channel(owners[i]);
	}
	take_signals();
	pn_deaths_watch_heartbeats();
	pn_oom_watch();
	pn_reload_end_late();
	pn_reload_answer_when_used();
	pn_crew_start_due();
	end_late_ones();
	turn_tls_keys();
	pn_notify_turn(pn_master_now_ms());
}

/* A session is a descriptor: as many as this process may have, and who may have more takes more.
 * Workers inherit it, and take no more sessions than there is room for. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_max < WANTED_DESCRIPTORS &&
	    setrlimit(RLIMIT_NOFILE, &(struct rlimit){WANTED_DESCRIPTORS, WANTED_DESCRIPTORS}) == 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static enum pn_status set_up(struct pn_error *error)
{
	sigset_t handled;

	sigemptyset(&handled);
	sigaddset(&handled, SIGCHLD);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGINT);
	sigaddset(&handled, SIGHUP);
	sigprocmask(SIG_BLOCK, &handled, NULL);
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	pn_master.signals = signalfd(-1, &handled, SFD_NONBLOCK | SFD_CLOEXEC);
	if (pn_master.signals < 0)
		return pn_fail_errno(error, errno, "cannot receive signals");
	if (pn_shared_new(&pn_master.shared_descriptor, &pn_master.shared, error) != PN_OK)
		return PN_FAILED;
	fcntl(pn_master.shared_descriptor, F_SETFD, FD_CLOEXEC);
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		pn_master.events[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (pn_master.events[i] < 0)
			return pn_fail_errno(error, errno, "cannot make an eventfd");
	}
	atomic_store(&pn_master.shared->started_wall_ms, pn_clock_wall_ms());
	pn_tls_resumption_turn(&pn_master.shared->tls_resumption);
	pn_master.tls_turned_ms = pn_master_now_ms();
	return PN_OK;
}

int pn_master_main(const char *config_path)
{
	struct pn_error error;

	pn_master.base.config_path = config_path;
	pn_notify_open();
	if (set_up(&error) != PN_OK || pn_supply_load(&pn_master.base, pn_master.current, 1,
	                                              &pn_master.next, &error) != PN_OK) {
		pn_master_say("%s", error.text);
		return 1;
	}
	pn_notify_listeners_chosen();
	pn_crew_want(&pn_master.next->flat);
	while (!pn_master.is_stopping || any_worker_left())
		turn();
	if (pn_master.current != NULL)
		unlink(pn_master.current->flat.control_socket);
	pn_supply_free(&pn_master.next, NULL);
	pn_supply_free(&pn_master.current, NULL);
	return pn_master.exit_status;
}
