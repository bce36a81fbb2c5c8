/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a worker: started by the master with a channel, told what to listen
 * on and which configuration to prepare, and from then on run by its loop. When
 * the channel breaks the master is gone, and so is the worker: its listening
 * sockets must not stand in the way of a new master.
 */
#include "process/worker.h"

#include <postern/clock.h>
#include <postern/log.h>

#include "delivery/queue.h"
#include "io/fault.h"
#include "io/file.h"
#include "io/http.h"
#include "io/job.h"
#include "io/log.h"
#include "io/loop.h"
#include "io/resolver.h"
#include "mail/mime.h"
#include "process/faults.h"
#include "process/overload.h"
#include "session/session.h"
#include "session/ticket.h"
#include "store/login.h"

#include <errno.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { HEARTBEAT_MS = 250, MAX_KEYS = 64, TRIM_BEATS = 80, TRIM_PAD = 256 * 1024 };

struct pn_worker pn_worker;

static struct {
	char *path;
	int descriptor;
} keys[MAX_KEYS];
static size_t key_count;

static struct {
	struct pn_reach held;   /* what this process was confined to */
	struct pn_reach wanted; /* by the configuration that is on its way */
	bool is_confined;
} reach;

static struct pn_watch *channel_watch;
static struct pn_timer *heartbeat;
static struct pn_timer *grace;

static const char *const kind_names[] = {"edge", "queue", "control", "tool"};

const char *pn_worker_kind_name(enum pn_worker_kind kind)
{
	return kind_names[kind];
}

static void add_key(const char *path, int descriptor)
{
	for (size_t i = 0; i < key_count; i++) {
		if (strcmp(keys[i].path, path) == 0) {
			close(keys[i].descriptor);
			keys[i].descriptor = descriptor;
			return;
		}
	}
	if (key_count == MAX_KEYS) {
		close(descriptor);
		return;
	}
	keys[key_count].path = strdup(path);
	keys[key_count++].descriptor = descriptor;
}

static int key_descriptor(const char *path)
{
	for (size_t i = 0; i < key_count; i++) {
		if (strcmp(keys[i].path, path) == 0)
			return keys[i].descriptor;
	}
	return -1;
}

static void end_now(void)
{
	pn_loop_stop();
}

static void grace_is_over(void *unused)
{
	(void)unused;
	end_now();
}

static uint32_t count(uint64_t key, int change)
{
	return pn_shared_count(pn_worker.shared, pn_worker.slot, key, change);
}

static void session_ended(void)
{
	atomic_store(&pn_worker.slot->counters.sessions_open, pn_session_count());
	if (pn_worker.kind == PN_WORKER_QUEUE)
		return; /* its sessions are connections to others: the queue knows when it is done
		         */
	if (pn_worker.is_stopping && pn_session_count() == 0)
		end_now();
	else if (!pn_worker.is_stopping)
		pn_listening_resume();
}

/* Sessions that were busy and idle now leave holes between what they keep: whole pages of them go
 * back to the machine, now and then. */
static void give_memory_back(void)
{
#ifdef __GLIBC__
	static unsigned beats;

	if (++beats % TRIM_BEATS == 0)
		malloc_trim(TRIM_PAD);
#endif
}

static void count_queue(void)
{
	struct pn_counters *counters = &pn_worker.slot->counters;
	struct pn_queue_counts counts;

	if (pn_worker.kind != PN_WORKER_QUEUE || pn_worker.current == NULL)
		return;
	pn_queue_count(&counts);
	atomic_store(&counters->queue_total, counts.total);
	atomic_store(&counters->queue_in_memory, counts.in_memory);
	atomic_store(&counters->queue_delivering, counts.delivering);
	atomic_store(&counters->queue_carriers, counts.carriers);
	atomic_store(&counters->queue_destinations, counts.destinations);
	atomic_store(&counters->queue_suspended, counts.suspended);
	atomic_store(&counters->queue_delivered, counts.delivered);
	atomic_store(&counters->queue_deferred, counts.deferred);
	atomic_store(&counters->queue_bounced, counts.bounced);
}

static void beat(void *unused)
{
	struct pn_counters *counters = &pn_worker.slot->counters;

	give_memory_back();
	(void)unused;
	atomic_store(&pn_worker.slot->heartbeat_ms, pn_world_real.monotonic_ns() / 1000000);
	atomic_store(&counters->tickets_open, pn_ticket_count());
	atomic_store(&counters->longest_turn_us, pn_loop_longest_turn_ns() / 1000);
	atomic_store(&counters->messages_accepted, pn_session_world.messages_accepted);
	atomic_store(&counters->turned_away, pn_session_world.turned_away);
	if (pn_worker.kind == PN_WORKER_EDGE && pn_worker.current != NULL &&
	    !pn_worker.is_stopping) {
		pn_overload_look(&pn_worker.current->config->settings, pn_listening_limit());
		pn_listening_resume();
	}
	count_queue();
	pn_timer_set(heartbeat, HEARTBEAT_MS);
}

static void stop_gracefully(void *unused)
{
	(void)unused;
	if (pn_worker.is_stopping)
		return;
	pn_worker.is_stopping = true;
	if (pn_worker.kind == PN_WORKER_CONTROL)
		pn_control_finish(end_now);
	pn_listening_stop();
	if (pn_worker.kind == PN_WORKER_QUEUE && pn_worker.current != NULL) {
		/* What is on its way is handed over, or ended when the time is over. */
		pn_queue_finish(end_now);
	} else if (pn_worker.kind != PN_WORKER_CONTROL) {
		pn_sessions_stop();
		if (pn_session_count() == 0) {
			end_now();
			return;
		}
	}
	grace = pn_timer_new(grace_is_over, NULL);
	pn_timer_set(grace, pn_worker.current == NULL
	                            ? 1
	                            : pn_worker.current->config->settings.stop_grace);
}

static void tell(const char *word, uint32_t number, const char *text)
{
	if (pn_channel_send(PN_CHANNEL_DESCRIPTOR, -1, "%s\n%u\n%s", word, number, text) != PN_OK)
		end_now();
}

/* What is set up once, from the first configuration. */
static enum pn_status set_up(const struct pn_assembly *assembly, struct pn_error *error)
{
	const struct pn_gateway_settings *settings = &assembly->config->settings;
	char history[512];
	const struct pn_log_settings log = {
		.history_directory = history,
		.log_file = settings->log_file,
		.level = (enum pn_log_level)settings->log_level,
		.worker = pn_worker.name,
	};
	struct pn_resolver_settings resolver = {
		.zone_file = strdup(settings->zone_file),
		.dnssec = (enum pn_dnssec)settings->dnssec,
		.trust_anchor = strdup(settings->trust_anchor),
		.deadline_ms = settings->dns_deadline,
	};
	const char **servers = calloc(settings->resolvers.count + 1, sizeof(*servers));

	for (size_t i = 0; i < settings->resolvers.count; i++)
		servers[i] = strdup(settings->resolvers.items[i]);
	resolver.servers.items = servers;
	resolver.servers.count = settings->resolvers.count;
	snprintf(history, sizeof(history), "%s/history", settings->data_directory);
	if (pn_log_start(&log, error) != PN_OK ||
	    pn_resolver_configure(&resolver, error) != PN_OK || pn_bus_start(error) != PN_OK)
		return PN_FAILED;
	if (pn_worker.kind == PN_WORKER_EDGE &&
	    pn_login_key_load(settings->data_directory, error) != PN_OK)
		return PN_FAILED;
	return pn_instances_start(assembly, pn_worker.kind, pn_worker.number, error);
}

/* Settings of the gateway that a running worker has taken for good: it says so, and is replaced. */
static void compare_settings(struct pn_assembly *assembly)
{
	struct pn_buffer names;

	/* Whose share a destination is: that has one answer at a time in the whole gateway. */
	if (pn_worker.kind == PN_WORKER_QUEUE &&
	    (pn_worker.current->config->settings.queue_workers !=
	             assembly->config->settings.queue_workers ||
	     pn_worker.current->generation->home != assembly->generation->home)) {
		assembly->needs_new_workers = true;
		assembly->why = "the queue is dealt out anew";
	}
	pn_buffer_init(&names, 200);
	if (pn_options_need_restart(pn_gateway_options, sizeof(pn_gateway_options[0]),
	                            &pn_worker.current->config->settings,
	                            &assembly->config->settings, &names)) {
		assembly->needs_new_workers = true;
		assembly->why = pn_arena_print(assembly->generation->arena, "changed: %.*s",
		                               PN_SLICE_ARGS(pn_buffer_slice(&names)));
	}
	pn_buffer_clear(&names);
}

static void prepare(uint32_t number)
{
	const struct pn_assemble_settings settings = {.number = number,
	                                              .key_descriptor = key_descriptor};
	struct pn_error error = {.text = ""};
	struct pn_assembly *assembly;

	/* Before anything looks there. */
	if (!pn_reach_has(&reach.held, &reach.wanted)) {
		tell("replace", number, "files are elsewhere than those that it can reach");
		return;
	}
	if (pn_assemble(pn_worker.config_path, &settings, &assembly, &error) != PN_OK) {
		tell("failed", number, error.text);
		return;
	}
	if (pn_worker.current != NULL)
		compare_settings(assembly);
	if (pn_worker.current == NULL) {
		if (set_up(assembly, &error) != PN_OK) {
			pn_generation_drop(&assembly->generation);
			tell("failed", number, error.text);
			return;
		}
	} else if (assembly->needs_new_workers) {
		char why[300];

		snprintf(why, sizeof(why), "%s", assembly->why);
		pn_generation_drop(&assembly->generation);
		tell("replace", number, why);
		return;
	} else if (pn_instances_prepare(assembly, &error) != PN_OK) {
		pn_generation_drop(&assembly->generation);
		tell("failed", number, error.text);
		return;
	}
	pn_worker.prepared = assembly;
	pn_worker.prepared_number = number;
	tell("ready", number, "");
}

static void give_up_prepared(void)
{
	struct pn_generation *generation;

	if (pn_worker.prepared == NULL)
		return;
	if (pn_worker.current != NULL)
		pn_instances_abandon(pn_worker.prepared);
	generation = pn_worker.prepared->generation;
	pn_worker.prepared = NULL;
	pn_generation_drop(&generation);
}

/* A reload was given up. One that was just started may have prepared what is in use: it stays. */
static void abandon(uint32_t number)
{
	if (pn_worker.prepared != NULL && pn_worker.prepared_number == number)
		give_up_prepared();
	/* Sockets that only the reload wanted would keep their ports taken. */
	if (pn_worker.current != NULL)
		pn_listening_drop_unused();
}

/* What this kind of worker is there for. */
static enum pn_status begin_work(bool is_first, struct pn_error *error)
{
	if (pn_worker.kind == PN_WORKER_CONTROL)
		return pn_control_use(pn_worker.current, error);
	if (pn_worker.kind != PN_WORKER_QUEUE)
		return pn_listening_use(pn_worker.current, error);
	if (is_first)
		pn_suspects_tell_queue(&pn_worker.shared->suspects,
		                       pn_worker.current->config->settings.data_directory);
	if (is_first)
		return pn_queue_start(pn_worker.number,
		                      pn_worker.current->config->settings.queue_workers, error);
	pn_queue_use_generation();
	return PN_OK;
}

static void use_prepared(uint32_t number)
{
	struct pn_assembly *old = pn_worker.current;
	struct pn_generation *old_generation;
	struct pn_error error;
	enum pn_status status;

	if (pn_worker.prepared == NULL || pn_worker.prepared_number != number)
		return;
	pn_worker.current = pn_worker.prepared;
	pn_worker.prepared = NULL;
	if (old != NULL)
		pn_instances_adopt(pn_worker.current);
	pn_generation_current = pn_worker.current->generation;
	pn_mime_limit(pn_generation_current->max_mime_depth, pn_generation_current->max_mime_parts);
	pn_resolver_set_deadline(pn_worker.current->config->settings.dns_deadline);
	pn_log_set_level((enum pn_log_level)pn_worker.current->config->settings.log_level);
	status = begin_work(old == NULL, &error);
	if (status != PN_OK) {
		pn_log(PN_LOG_ERROR, "worker", "%s", error.text);
		end_now();
		return;
	}
	atomic_store(&pn_worker.slot->counters.generation, number);
	if (old != NULL) {
		old_generation = old->generation;
		pn_generation_drop(&old_generation);
		pn_log(PN_LOG_NOTICE, "reload", "generation %u is in use", number);
	}
	tell("using", number, "");
}

/* The first time for good; later it is only compared with what there is. */
static enum pn_status confine(enum pn_confinement way, struct pn_error *error)
{
	const char *missing;

	if (reach.is_confined)
		return PN_OK;
	reach.held = reach.wanted;
	reach.wanted.count = 0;
	reach.is_confined = true;
	if (pn_confine(way, &reach.held, &missing, error) != PN_OK)
		return PN_FAILED;
	/* Once is enough for all of them. */
	if (missing != NULL && pn_worker.kind == PN_WORKER_CONTROL)
		fprintf(stderr, "postern: warning: %s\n", missing);
	return PN_OK;
}

static void prepare_with_reach(uint32_t number)
{
	prepare(number);
	pn_reach_clear(&reach.wanted);
}

static void take_packet(struct pn_packet *packet)
{
	const char *word = packet->words[0];
	uint32_t number = (uint32_t)strtoul(packet->words[1], NULL, 10);

	if (strcmp(word, "reach") == 0)
		pn_reach_add(&reach.wanted, packet->words[2],
		             strcmp(packet->words[1], "write") == 0);
	else if (strcmp(word, "listener") == 0 && packet->descriptor >= 0)
		pn_listening_add(packet->words[1], packet->descriptor);
	else if (strcmp(word, "file") == 0 && packet->descriptor >= 0)
		pn_file_provide(packet->words[1], packet->descriptor);
	else if (strcmp(word, "key") == 0 && packet->descriptor >= 0)
		add_key(packet->words[1], packet->descriptor);
	else if (strcmp(word, "prepare") == 0)
		prepare_with_reach(number);
	else if (strcmp(word, "use") == 0)
		use_prepared(number);
	else if (strcmp(word, "abandon") == 0)
		abandon(number);
	else if (strcmp(word, "result") == 0)
		pn_control_result(packet->words[1], packet->words[2]);
	else if (strcmp(word, "stop") == 0)
		stop_gracefully(NULL);
}

static void channel_ready(void *user, int events)
{
	struct pn_packet packet;
	enum pn_status status;

	(void)user;
	(void)events;
	while ((status = pn_channel_receive(PN_CHANNEL_DESCRIPTOR, &packet)) == PN_OK)
		take_packet(&packet);
	if (status == PN_FAILED) {
		/* The master is gone. */
		pn_listening_stop();
		_exit(1);
	}
}

/* What is said first, waited for: before the first thread and the first module. */
static enum pn_status be_confined(struct pn_error *error)
{
	struct pollfd wait = {.fd = PN_CHANNEL_DESCRIPTOR, .events = POLLIN};
	struct pn_packet packet;
	enum pn_status status;

	for (;;) {
		status = pn_channel_receive(PN_CHANNEL_DESCRIPTOR, &packet);
		if (status == PN_FAILED)
			_exit(1); /* the master is gone */
		if (status == PN_NOT_FOUND)
			(void)poll(&wait, 1, -1);
		else if (strcmp(packet.words[0], "confine") == 0)
			return confine((enum pn_confinement)strtoul(packet.words[1], NULL, 10),
			               error);
		else
			take_packet(&packet);
	}
}

static enum pn_status start(struct pn_error *error)
{
	if (be_confined(error) != PN_OK)
		return PN_FAILED;
	if (pn_shared_map(PN_SHARED_DESCRIPTOR, &pn_worker.shared, error) != PN_OK ||
	    pn_shared_live(pn_worker.slot_index, error) != PN_OK || pn_loop_new(error) != PN_OK ||
	    pn_loop_on_signal(SIGTERM, stop_gracefully, NULL, error) != PN_OK ||
	    pn_watch_new(PN_CHANNEL_DESCRIPTOR, channel_ready, NULL, &channel_watch, error) !=
	            PN_OK)
		return PN_FAILED;
	pn_worker.slot = &pn_worker.shared->slots[pn_worker.slot_index];
	pn_running = &pn_worker.slot->running;
	pn_hook_costs = &pn_worker.slot->costs;
	pn_suspects_use(pn_worker.shared);
	pn_tls_resumption_use(&pn_worker.shared->tls_resumption);
	pn_throttle_table = &pn_worker.shared->throttle;
	pn_rate_table = &pn_worker.shared->rates;
	pn_limits_secret = pn_worker.shared->secret;
	pn_session_world.worker_number = pn_worker.number;
	pn_session_world.count = count;
	pn_session_world.session_ended = session_ended;
	pn_faults_start();
	pn_jobs_start();
	heartbeat = pn_timer_new(beat, NULL);
	beat(NULL);
	pn_watch_set(channel_watch, PN_WATCH_READ);
	return PN_OK;
}

/* In the reverse order of the start; what sessions still wait for is answered or stale. */
static void shut_down(void)
{
	struct pn_generation *generation;

	pn_listening_stop();
	pn_control_stop();
	/* Connections to others tell the queue of their end. */
	pn_sessions_end();
	if (pn_worker.kind == PN_WORKER_QUEUE && pn_worker.current != NULL)
		pn_queue_stop();
	pn_sessions_free();
	/* Jobs and sessions use the instances: they go before. */
	pn_jobs_finish();
	pn_instances_stop();
	pn_bus_stop();
	pn_http_client_stop();
	pn_resolver_stop();
	pn_jobs_stop();
	give_up_prepared();
	pn_timer_free(&heartbeat);
	pn_timer_free(&grace);
	pn_watch_free(&channel_watch, false);
	pn_tickets_stop();
	if (pn_worker.current != NULL) {
		generation = pn_worker.current->generation;
		pn_generation_drop(&generation);
	}
	pn_log_stop();
	pn_loop_free();
	pn_file_forget();
	pn_overload_close();
	while (key_count > 0) {
		free(keys[--key_count].path);
		close(keys[key_count].descriptor);
	}
}

int pn_worker_main(enum pn_worker_kind kind, unsigned number, unsigned slot_index,
                   const char *config_path)
{
	static char name[32];
	struct pn_error error;

	snprintf(name, sizeof(name), kind == PN_WORKER_CONTROL ? "%s" : "%s-%u",
	         pn_worker_kind_name(kind), number);
	pn_worker.kind = kind;
	pn_worker.number = number;
	pn_worker.slot_index = slot_index;
	pn_worker.name = name;
	pn_worker.config_path = config_path;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
	/* Ctrl-C, a terminal that closes and "reload, everybody" are for the master, who tells us.
	 */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	/* One that hangs does not read that the master is gone, and would keep the ports. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getenv("POSTERN_FAULT") != NULL)
		pn_fault_arm(getenv("POSTERN_FAULT"));
	pn_overload_open();
	if (start(&error) != PN_OK) {
		fprintf(stderr, "postern: %s: %s\n", name, error.text);
		return 1;
	}
	pn_loop_run();
	shut_down();
	return 0;
}
