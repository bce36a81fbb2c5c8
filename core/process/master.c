/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The master. Its state is a table of workers and the sockets, keys and copies of
 * files that they need; its loop waits for signals, channels and deadlines. A
 * reload is a conversation with all workers: everybody prepares, then everybody
 * uses, or nobody does.
 */
#include "process/master.h"

#include <postern/clock.h>
#include <postern/log.h>

#include "process/channel.h"
#include "process/child.h"
#include "process/shared.h"
#include "process/supply.h"
#include "process/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	POLL_MS = 200,
	ABORT_GRACE_MS = 2000,
	SHORT_LIFE_MS = 5000,     /* a worker that lives shorter counts as failing to start */
	START_MS = 5 * 60 * 1000, /* before the watchdog looks at a worker that starts */
	FIRST_DELAY_MS = 50,
	LONGEST_DELAY_MS = 30000,
};

enum worker_state {
	WORKER_ABSENT = 0, /* to be started at start_at_ms */
	WORKER_STARTING,   /* was told to prepare */
	WORKER_READY,      /* has prepared the next generation */
	WORKER_SERVING,
	WORKER_LEAVING, /* was told to stop */
};

struct master_worker {
	enum worker_state state;
	enum pn_worker_kind kind;
	unsigned number;
	bool is_wanted; /* is to be replaced when it ends */
	pid_t pid;
	int channel;
	uint64_t started_ms;
	uint64_t start_at_ms;
	uint64_t delay_ms;
	uint64_t abort_sent_ms;
	bool said_replace; /* in answer to prepare: it cannot use what is new, a fresh one could */
	bool wants_replacing; /* and that is in use now */
	pid_t replaces;       /* whom it stands in for once it serves; or 0 */
};

static struct {
	struct pn_supply_base base; /* what the master stands on, whatever is reloaded */
	struct pn_supply *current;
	struct pn_supply *next; /* while a reload is under way */
	uint64_t reload_deadline_ms;
	char reload_asker[32]; /* id of the control client, or "" */
	struct master_worker workers[PN_MAX_SLOTS];
	struct pn_shared *shared;
	int shared_descriptor;
	int events[PN_MAX_SLOTS];
	int signals;
	bool is_stopping;
	bool has_served;
	uint64_t stop_deadline_ms;
	int exit_status;
} master;

static void say(const char *format, ...) PN_PRINTF(1, 2);

static uint64_t now_ms(void)
{
	return pn_clock_monotonic_ms();
}

static void say(const char *format, ...)
{
	char text[PN_PACKET_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	fprintf(stderr, "postern: %s\n", text);
}

static enum pn_status load_supply(uint32_t number, struct pn_supply **supply_out,
                                  struct pn_error *error)
{
	return pn_supply_load(&master.base, master.current, number, supply_out, error);
}

/* ---- workers ---- */

static enum pn_status send_list(const struct master_worker *worker, const char *word,
                                const struct pn_descriptor_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (pn_channel_send(worker->channel, list->items[i].descriptor, "%s\n%s", word,
		                    list->items[i].name) != PN_OK)
			return PN_FAILED;
	}
	return PN_OK;
}

/* A worker that does not take packets is ended; its end is noticed like any other. */
static void tell_prepare(struct master_worker *worker, const struct pn_supply *supply)
{
	if (send_list(worker, "listener", &supply->listeners) != PN_OK ||
	    send_list(worker, "key", &supply->keys) != PN_OK ||
	    send_list(worker, "file", &supply->files) != PN_OK ||
	    pn_channel_send(worker->channel, -1, "prepare\n%u", supply->number) != PN_OK)
		kill(worker->pid, SIGKILL);
}

static void tell(struct master_worker *worker, const char *word, uint32_t number)
{
	if (pn_channel_send(worker->channel, -1, "%s\n%u", word, number) != PN_OK)
		kill(worker->pid, SIGKILL);
}

static void start_worker(struct master_worker *worker)
{
	size_t index = (size_t)(worker - master.workers);
	struct pn_slot *slot = &master.shared->slots[index];
	struct pn_child_settings settings = {
		.kind = worker->kind,
		.number = worker->number,
		.slot = (unsigned)index,
		.config_path = master.base.config_path,
		.shared_descriptor = master.shared_descriptor,
		.event_descriptors = master.events,
		.user = master.base.user,
	};
	struct pn_error error;

	pn_shared_clear_slot(slot);
	worker->started_ms = now_ms();
	worker->abort_sent_ms = 0;
	worker->wants_replacing = false;
	worker->said_replace = false;
	if (pn_child_start(&settings, &worker->pid, &worker->channel, &error) != PN_OK) {
		say("%s", error.text);
		worker->start_at_ms = now_ms() + LONGEST_DELAY_MS;
		return;
	}
	atomic_store(&slot->kind, (uint32_t)worker->kind);
	atomic_store(&slot->number, worker->number);
	atomic_store(&slot->started_ms, worker->started_ms);
	atomic_store(&slot->heartbeat_ms, worker->started_ms);
	atomic_store(&slot->pid, worker->pid);
	worker->state = WORKER_STARTING;
	tell_prepare(worker,
	             master.next != NULL && !master.has_served ? master.next : master.current);
}

static struct master_worker *add_worker(enum pn_worker_kind kind, unsigned number)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct master_worker *worker = &master.workers[i];

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

/* As many edge workers as the configuration wants, and one control worker. */
static void want_workers(const struct pn_flat *flat)
{
	bool has_control = false;
	unsigned edges = 0;

	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct master_worker *worker = &master.workers[i];

		if (!worker->is_wanted)
			continue;
		if (worker->kind == PN_WORKER_CONTROL) {
			has_control = true;
		} else if (worker->number >= flat->edge_workers) {
			worker->is_wanted = false;
			worker->state = WORKER_LEAVING;
			if (worker->pid != 0)
				tell(worker, "stop", 0);
		} else {
			edges++;
		}
	}
	while (edges < flat->edge_workers && edges < PN_MAX_SLOTS / 2)
		(void)add_worker(PN_WORKER_EDGE, edges++);
	if (!has_control)
		(void)add_worker(PN_WORKER_CONTROL, 0);
	atomic_store(&master.shared->edge_workers, edges);
}

/*
 * A new worker beside the old one, which serves until the new one does and then ends as its
 * sessions do. A successor that cannot start leaves the old one where it is.
 */
static void replace_worker(struct master_worker *worker)
{
	struct master_worker *successor;

	worker->wants_replacing = false;
	worker->is_wanted = false;
	successor = add_worker(worker->kind, worker->number);
	if (successor != NULL) {
		successor->replaces = worker->pid;
		return;
	}
	/* No free slot: the same one, when it has ended. */
	worker->is_wanted = true;
	worker->state = WORKER_LEAVING;
	tell(worker, "stop", 0);
}

/* One at a time, so that at most one worker more than usual runs. */
static void replace_next(void)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		if (master.workers[i].is_wanted && master.workers[i].replaces != 0)
			return;
	}
	for (size_t i = 0; i < PN_MAX_SLOTS && !master.is_stopping; i++) {
		struct master_worker *worker = &master.workers[i];

		if (worker->is_wanted && worker->wants_replacing && worker->pid != 0) {
			replace_worker(worker);
			return;
		}
	}
}

/* A successor serves: whom it replaces may go. */
static void retire_predecessor(struct master_worker *successor)
{
	pid_t pid = successor->replaces;

	if (pid == 0)
		return;
	successor->replaces = 0;
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct master_worker *worker = &master.workers[i];

		if (worker->pid == pid && worker->state != WORKER_LEAVING) {
			worker->state = WORKER_LEAVING;
			tell(worker, "stop", 0);
		}
	}
	replace_next();
}

static void answer(const char *asker, const char *text)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct master_worker *worker = &master.workers[i];

		if (asker[0] != '\0' && worker->pid != 0 && worker->kind == PN_WORKER_CONTROL &&
		    worker->state != WORKER_LEAVING)
			(void)!pn_channel_send(worker->channel, -1, "result\n%s\n%s", asker, text);
	}
}

static void answer_asker(const char *text)
{
	answer(master.reload_asker, text);
	master.reload_asker[0] = '\0';
}

/* ---- reload ---- */

static void give_up_reload(const char *why)
{
	char text[PN_PACKET_SIZE];

	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct master_worker *worker = &master.workers[i];

		if (worker->pid == 0 || worker->state == WORKER_LEAVING)
			continue;
		if (worker->state == WORKER_READY)
			worker->state = WORKER_SERVING;
		worker->said_replace = false;
		tell(worker, "abandon", master.next->number);
	}
	pn_supply_free(&master.next, master.current);
	snprintf(text, sizeof(text), "failed %.3000s", why);
	say("reload: nothing was changed: %s", why);
	answer_asker(text);
}

/* At the first start everybody counts. Later, a worker that is down or still starting does not hold
 * a reload up (it may be the reload that mends it): it comes up with what is in use by then. */
static bool all_are_ready(void)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		const struct master_worker *worker = &master.workers[i];

		if (worker->is_wanted && worker->state != WORKER_READY &&
		    (!master.has_served || worker->state == WORKER_SERVING))
			return false;
	}
	return true;
}

static bool any_wants_replacing(void)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		if (master.workers[i].state == WORKER_READY && master.workers[i].said_replace)
			return true;
	}
	return false;
}

/* Everybody is ready: from here on there is no way back, and none is needed. */
static void finish_reload(void)
{
	struct pn_supply *old = master.current;
	bool is_first = !master.has_served;

	master.current = master.next;
	master.next = NULL;
	atomic_store(&master.shared->generation, master.current->number);
	if (!is_first)
		atomic_fetch_add(&master.shared->reloads, 1);
	/* Who holds the asker's connection is replaced as well: he hears of it before. */
	if (any_wants_replacing())
		answer_asker("ok workers are being replaced");
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct master_worker *worker = &master.workers[i];

		/* What kept it from starting may be mended. */
		worker->start_at_ms = now_ms();
		if (worker->state != WORKER_READY)
			continue;
		worker->state = WORKER_SERVING;
		worker->wants_replacing = worker->said_replace;
		worker->said_replace = false;
		if (!worker->wants_replacing)
			tell(worker, "use", master.current->number);
	}
	pn_supply_free(&old, master.current);
	want_workers(&master.current->flat);
	replace_next();
}

static void begin_reload(const char *asker)
{
	struct pn_error error;

	if (master.next != NULL || master.reload_asker[0] != '\0' || !master.has_served ||
	    master.is_stopping) {
		answer(asker, "failed another reload is under way");
		return;
	}
	snprintf(master.reload_asker, sizeof(master.reload_asker), "%s", asker);
	if (load_supply(master.current->number + 1, &master.next, &error) != PN_OK) {
		char text[PN_PACKET_SIZE];

		say("reload: nothing was changed: %s", error.text);
		snprintf(text, sizeof(text), "failed %s", error.text);
		answer_asker(text);
		return;
	}
	master.reload_deadline_ms = now_ms() + master.next->flat.reload_deadline_ms;
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct master_worker *worker = &master.workers[i];

		if (worker->pid != 0 && worker->state == WORKER_SERVING)
			tell_prepare(worker, master.next);
	}
	/* Nobody serves: nobody is to be asked. */
	if (all_are_ready())
		finish_reload();
}

/* The asker of a reload hears of it when every worker uses what is new. */
static void answer_when_used(void)
{
	char text[100];

	if (master.reload_asker[0] == '\0' || master.next != NULL || master.current == NULL)
		return;
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		const struct pn_slot *slot = &master.shared->slots[i];

		if (master.workers[i].is_wanted && master.workers[i].state == WORKER_SERVING &&
		    atomic_load(&slot->counters.generation) != master.current->number)
			return;
	}
	snprintf(text, sizeof(text), "ok generation %u is in use", master.current->number);
	answer_asker(text);
}

/* ---- what workers say ---- */

static void announce(void)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		if (master.workers[i].is_wanted &&
		    atomic_load(&master.shared->slots[i].counters.generation) == 0)
			return;
	}
	if (master.has_served)
		return;
	master.has_served = true;
	printf("postern: ready\n%s", master.current->flat.welcome);
	fflush(stdout);
}

static void begin_stop(const char *asker)
{
	answer(asker, "ok stopping");
	answer_asker("failed the gateway is stopping");
	if (master.is_stopping)
		return;
	master.is_stopping = true;
	atomic_store(&master.shared->is_stopping, 1);
	master.stop_deadline_ms =
		now_ms() + 5000 + (master.current == NULL ? 0 : master.current->flat.stop_grace_ms);
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct master_worker *worker = &master.workers[i];

		worker->is_wanted = false;
		if (worker->pid != 0) {
			worker->state = WORKER_LEAVING;
			tell(worker, "stop", 0);
		}
	}
}

static void worker_failed(struct master_worker *worker, uint32_t number, const char *why)
{
	say("%s %u: %s", pn_worker_kind_name(worker->kind), worker->number, why);
	if (!master.has_served) {
		master.exit_status = 1;
		begin_stop("");
	} else if (worker->state == WORKER_STARTING) {
		kill(worker->pid, SIGKILL); /* it is started again, later and later */
	} else if (master.next != NULL && number == master.next->number) {
		give_up_reload(why);
	}
	/* Else the reload was given up already, when another failed: this one serves as before. */
}

/* Prepared: one of the first, one that was restarted, or one of a reload. */
static void worker_ready(struct master_worker *worker, uint32_t number)
{
	if (master.is_stopping || worker->state == WORKER_LEAVING)
		return;
	if (master.next != NULL && number == master.next->number) {
		worker->state = WORKER_READY;
		if (all_are_ready())
			finish_reload();
	} else if (master.current != NULL && number == master.current->number) {
		worker->state = WORKER_SERVING;
		tell(worker, "use", number);
		if (master.next != NULL)
			tell_prepare(worker, master.next);
	} else if (master.current != NULL && worker->state == WORKER_STARTING) {
		/* What it prepared is no longer what is in use. */
		tell_prepare(worker, master.current);
	}
}

static void take_packet(struct master_worker *worker, const struct pn_packet *packet)
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
		retire_predecessor(worker);
		answer_when_used();
	} else if (strcmp(word, "ask") == 0 && worker->kind == PN_WORKER_CONTROL) {
		if (strcmp(packet->words[2], "reload") == 0)
			begin_reload(packet->words[1]);
		else if (strcmp(packet->words[2], "stop") == 0)
			begin_stop(packet->words[1]);
	}
}

static void read_channel(struct master_worker *worker)
{
	struct pn_packet packet;

	while (worker->channel >= 0 && pn_channel_receive(worker->channel, &packet) == PN_OK)
		take_packet(worker, &packet);
}

/* ---- workers that end ---- */

/* Who waits for a change that the dead one made, and did not tell of, must look. */
static void wake_everybody(void)
{
	for (size_t i = 0; i < PN_CHANGE_BUCKETS; i++)
		atomic_fetch_add(&master.shared->changes[i], 1);
	for (size_t i = 0; i < PN_MAX_SLOTS; i++)
		(void)eventfd_write(master.events[i], 1);
}

static void tell_death(const struct master_worker *worker, int status)
{
	const struct pn_running *running = &master.shared->slots[worker - master.workers].running;
	char what[200] = "";

	if (running->module[0] != '\0')
		snprintf(what, sizeof(what), " while it ran %.31s %.47s (session %.23s%s%.23s)",
		         running->module, running->hook,
		         running->session[0] == '\0' ? "none" : running->session,
		         running->transaction[0] == '\0' ? "" : ", transaction ",
		         running->transaction);
	if (WIFSIGNALED(status))
		say("%s %u (pid %d) was ended by signal %d (%s)%s%s",
		    pn_worker_kind_name(worker->kind), worker->number, worker->pid,
		    WTERMSIG(status), strsignal(WTERMSIG(status)),
		    worker->abort_sent_ms != 0 ? " after it hung" : "", what);
	else
		say("%s %u (pid %d) ended with status %d%s", pn_worker_kind_name(worker->kind),
		    worker->number, worker->pid, WEXITSTATUS(status), what);
}

static void worker_ended(struct master_worker *worker, int status)
{
	bool was_asked = worker->state == WORKER_LEAVING;

	read_channel(worker);
	was_asked = was_asked || worker->state == WORKER_LEAVING;
	if (!was_asked) {
		tell_death(worker, status);
		atomic_fetch_add(&master.shared->worker_deaths, 1);
	}
	close(worker->channel);
	worker->channel = -1;
	pn_shared_clear_slot(&master.shared->slots[worker - master.workers]);
	wake_everybody();
	/* One that keeps failing is started later and later; the others serve on. */
	if (now_ms() - worker->started_ms < SHORT_LIFE_MS && worker->delay_ms > 0)
		worker->delay_ms = worker->delay_ms * 2 > LONGEST_DELAY_MS ? LONGEST_DELAY_MS
		                                                           : worker->delay_ms * 2;
	else if (now_ms() - worker->started_ms < SHORT_LIFE_MS)
		worker->delay_ms = FIRST_DELAY_MS;
	else
		worker->delay_ms = 0;
	worker->pid = 0;
	worker->state = WORKER_ABSENT;
	worker->start_at_ms = now_ms() + worker->delay_ms;
	if (master.next != NULL && master.has_served && !was_asked)
		give_up_reload("a worker ended while it prepared");
	if (!master.has_served && !master.is_stopping) {
		say("a worker could not start");
		master.exit_status = 1;
		begin_stop("");
	}
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
			if (master.workers[i].pid == pid)
				worker_ended(&master.workers[i], status);
		}
	}
}

/* A worker without heartbeat: asked for a core first, then ended. */
static void watch_heartbeats(void)
{
	uint64_t now = now_ms();
	uint64_t watchdog = master.current == NULL ? 60000 : master.current->flat.watchdog_ms;

	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		struct master_worker *worker = &master.workers[i];
		uint64_t beat = atomic_load(&master.shared->slots[i].heartbeat_ms);

		if (worker->pid == 0)
			continue;
		/* A worker that starts reads files and opens stores, and has more time for it. */
		if (worker->state == WORKER_STARTING)
			beat = worker->started_ms + START_MS;
		if (now < beat || now - beat < watchdog)
			continue;
		if (worker->abort_sent_ms == 0) {
			say("%s %u (pid %d) gave no sign of life for %llu ms and is ended",
			    pn_worker_kind_name(worker->kind), worker->number, worker->pid,
			    (unsigned long long)(now - beat));
			atomic_fetch_add(&master.shared->worker_hangs, 1);
			worker->abort_sent_ms = now;
			kill(worker->pid, SIGABRT);
		} else if (now - worker->abort_sent_ms > ABORT_GRACE_MS) {
			kill(worker->pid, SIGKILL);
		}
	}
}

/* ---- the loop ---- */

static void take_signals(void)
{
	struct signalfd_siginfo info;

	while (read(master.signals, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			reap();
			break;
		case SIGHUP:
			begin_reload("");
			break;
		default:
			begin_stop("");
			break;
		}
	}
}

static void start_due(void)
{
	for (size_t i = 0; i < PN_MAX_SLOTS && !master.is_stopping; i++) {
		struct master_worker *worker = &master.workers[i];

		if (worker->is_wanted && worker->pid == 0 && worker->start_at_ms <= now_ms())
			start_worker(worker);
	}
}

static bool any_worker_left(void)
{
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		if (master.workers[i].pid != 0)
			return true;
	}
	return false;
}

static void end_late_ones(void)
{
	if (!master.is_stopping || now_ms() < master.stop_deadline_ms)
		return;
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		if (master.workers[i].pid != 0)
			kill(master.workers[i].pid, SIGKILL);
	}
}

/* How long poll may sleep: a worker may be due before the next look at the heartbeats. */
static int sleep_ms(void)
{
	uint64_t now = now_ms();
	uint64_t wait = POLL_MS;

	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		const struct master_worker *worker = &master.workers[i];

		if (worker->is_wanted && worker->pid == 0) {
			uint64_t due = worker->start_at_ms > now ? worker->start_at_ms - now : 0;

			wait = due < wait ? due : wait;
		}
	}
	return (int)wait;
}

static void turn(void)
{
	struct pollfd descriptors[PN_MAX_SLOTS + 1];
	struct master_worker *owners[PN_MAX_SLOTS + 1];
	nfds_t count = 1;

	descriptors[0] = (struct pollfd){.fd = master.signals, .events = POLLIN};
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		if (master.workers[i].pid == 0)
			continue;
		owners[count] = &master.workers[i];
		descriptors[count++] =
			(struct pollfd){.fd = master.workers[i].channel, .events = POLLIN};
	}
	if (poll(descriptors, count, sleep_ms()) < 0 && errno != EINTR)
		abort();
	for (nfds_t i = 1; i < count; i++) {
		if ((descriptors[i].revents & POLLIN) != 0)
			read_channel(owners[i]);
	}
	take_signals();
	watch_heartbeats();
	if (master.next != NULL && master.has_served && now_ms() > master.reload_deadline_ms)
		give_up_reload("not every worker was ready in time");
	answer_when_used();
	start_due();
	end_late_ones();
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
	master.signals = signalfd(-1, &handled, SFD_NONBLOCK | SFD_CLOEXEC);
	if (master.signals < 0)
		return pn_fail_errno(error, errno, "cannot receive signals");
	if (pn_shared_new(&master.shared_descriptor, &master.shared, error) != PN_OK)
		return PN_FAILED;
	fcntl(master.shared_descriptor, F_SETFD, FD_CLOEXEC);
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		master.events[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (master.events[i] < 0)
			return pn_fail_errno(error, errno, "cannot make an eventfd");
	}
	atomic_store(&master.shared->started_wall_ms, pn_clock_wall_ms());
	return PN_OK;
}

int pn_master_main(const char *config_path)
{
	struct pn_error error;

	master.base.config_path = config_path;
	if (set_up(&error) != PN_OK || load_supply(1, &master.next, &error) != PN_OK) {
		say("%s", error.text);
		return 1;
	}
	want_workers(&master.next->flat);
	while (!master.is_stopping || any_worker_left())
		turn();
	if (master.current != NULL)
		unlink(master.current->flat.control_socket);
	pn_supply_free(&master.next, NULL);
	pn_supply_free(&master.current, NULL);
	return master.exit_status;
}
