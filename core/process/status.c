/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway says of itself: status for people, metrics for Prometheus. */
#include "process/worker.h"

#include <postern/clock.h>

#include <stdarg.h>
#include <stdio.h>

static void print(struct pn_buffer *out, const char *format, ...) PN_PRINTF(2, 3);

static uint64_t age_ms(uint64_t since_ms)
{
	uint64_t now = pn_clock_monotonic_ms();

	return now > since_ms ? now - since_ms : 0;
}

/* Status is bounded by the number of slots; the buffer is made for it. */
static void print(struct pn_buffer *out, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	(void)!pn_buffer_append(out, pn_slice_of(text));
}

static bool is_used(const struct pn_slot *slot)
{
	return atomic_load(&slot->pid) != 0;
}

bool pn_status_is_healthy(const struct pn_shared *shared)
{
	uint32_t serving = 0;

	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		const struct pn_slot *slot = &shared->slots[i];

		if (is_used(slot) && atomic_load(&slot->kind) == PN_WORKER_EDGE &&
		    atomic_load(&slot->counters.generation) != 0)
			serving++;
	}
	return serving > 0 && atomic_load(&shared->is_stopping) == 0;
}

/* What a queue worker has to do, in place of sessions and messages. */
static void print_queue(const struct pn_counters *counters, bool as_json, struct pn_buffer *out)
{
	print(out,
	      as_json ? ",\"queue\":{\"recipients\":%llu,\"in_memory\":%llu,\"delivering\":%llu,"
	                "\"connections\":%llu,\"destinations\":%llu,\"suspended\":%llu,"
	                "\"delivered\":%llu,\"deferred\":%llu,\"bounced\":%llu}"
	              : "queued %llu, in memory %llu, delivering %llu, connections %llu, "
	                "destinations %llu, suspended %llu, delivered %llu, deferred %llu, bounced "
	                "%llu\n",
	      (unsigned long long)atomic_load(&counters->queue_total),
	      (unsigned long long)atomic_load(&counters->queue_in_memory),
	      (unsigned long long)atomic_load(&counters->queue_delivering),
	      (unsigned long long)atomic_load(&counters->queue_carriers),
	      (unsigned long long)atomic_load(&counters->queue_destinations),
	      (unsigned long long)atomic_load(&counters->queue_suspended),
	      (unsigned long long)atomic_load(&counters->queue_delivered),
	      (unsigned long long)atomic_load(&counters->queue_deferred),
	      (unsigned long long)atomic_load(&counters->queue_bounced));
}

static void print_slot(const struct pn_slot *slot, bool as_json, bool is_first,
                       struct pn_buffer *out)
{
	const struct pn_counters *counters = &slot->counters;
	const char *kind = pn_worker_kind_name((enum pn_worker_kind)atomic_load(&slot->kind));
	const bool has_queue = atomic_load(&slot->kind) == PN_WORKER_QUEUE;

	if (as_json)
		print(out,
		      "%s{\"kind\":\"%s\",\"number\":%u,\"pid\":%d,\"generation\":%llu,"
		      "\"sessions\":%llu,\"sessions_total\":%llu,\"messages\":%llu,"
		      "\"heartbeat_ms\":%llu",
		      is_first ? "" : ",", kind, atomic_load(&slot->number),
		      atomic_load(&slot->pid),
		      (unsigned long long)atomic_load(&counters->generation),
		      (unsigned long long)atomic_load(&counters->sessions_open),
		      (unsigned long long)atomic_load(&counters->sessions_total),
		      (unsigned long long)atomic_load(&counters->messages_accepted),
		      (unsigned long long)age_ms(atomic_load(&slot->heartbeat_ms)));
	else
		print(out, "%-8s %3u  pid %-8d generation %-4llu ", kind,
		      atomic_load(&slot->number), atomic_load(&slot->pid),
		      (unsigned long long)atomic_load(&counters->generation));
	if (has_queue)
		print_queue(counters, as_json, out);
	if (as_json)
		print(out, "}");
	else if (!has_queue)
		print(out, "sessions %-6llu messages %llu\n",
		      (unsigned long long)atomic_load(&counters->sessions_open),
		      (unsigned long long)atomic_load(&counters->messages_accepted));
}

/* Loud: something crashes, and mail waits for somebody to look at it. */
static void print_suspects(const struct pn_suspects *suspects, bool as_json, struct pn_buffer *out)
{
	uint32_t count = pn_suspects_count(suspects);
	bool is_first = true;

	if (as_json)
		print(out, "],\"set_aside\":%u,\"disabled_hooks\":[", count);
	else if (count > 0)
		print(out, "SET ASIDE: %u message%s took down two workers\n", count,
		      count == 1 ? "" : "s");
	for (size_t i = 0; i < PN_DISABLED_HOOKS; i++) {
		const struct pn_disabled_hook *one = &suspects->disabled[i];

		if (atomic_load_explicit(&one->is_disabled, memory_order_acquire) == 0)
			continue;
		print(out,
		      as_json ? "%s{\"module\":\"%s\",\"hook\":\"%s\"}"
		              : "%sDISABLED: the hook %s of %s, which took down workers at too "
		                "many "
		                "messages; mend it, then reload\n",
		      as_json && !is_first ? "," : "", as_json ? one->module : one->hook,
		      as_json ? one->hook : one->module);
		is_first = false;
	}
	if (as_json)
		print(out, "]}\n");
}

void pn_status_write(const struct pn_shared *shared, bool as_json, struct pn_buffer *out)
{
	char date[PN_DATE_SIZE];
	bool is_first = true;

	pn_date_rfc3339(atomic_load(&shared->started_wall_ms), date);
	print(out,
	      as_json ? "{\"healthy\":%s,\"since\":\"%s\",\"generation\":%u,\"reloads\":%llu,"
	                "\"worker_deaths\":%llu,\"worker_hangs\":%llu,\"workers\":["
	              : "serving: %s, since %s, generation %u, reloads %llu, workers that died "
	                "%llu, "
	                "that hung %llu\n",
	      as_json ? (pn_status_is_healthy(shared) ? "true" : "false")
	              : (pn_status_is_healthy(shared) ? "yes" : "no"),
	      date, atomic_load(&shared->generation),
	      (unsigned long long)atomic_load(&shared->reloads),
	      (unsigned long long)atomic_load(&shared->worker_deaths),
	      (unsigned long long)atomic_load(&shared->worker_hangs));
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		if (!is_used(&shared->slots[i]))
			continue;
		print_slot(&shared->slots[i], as_json, is_first, out);
		is_first = false;
	}
	print_suspects(&shared->suspects, as_json, out);
}

static void metric(const struct pn_shared *shared, const char *name, const char *type,
                   const char *help, size_t offset, bool of_queue, struct pn_buffer *out)
{
	print(out, "# HELP postern_%s %s\n# TYPE postern_%s %s\n", name, help, name, type);
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		const struct pn_slot *slot = &shared->slots[i];
		const _Atomic uint64_t *value =
			(const _Atomic uint64_t *)((const char *)&slot->counters + offset);

		if (is_used(slot) && (!of_queue || atomic_load(&slot->kind) == PN_WORKER_QUEUE))
			print(out, "postern_%s{worker=\"%s-%u\"} %llu\n", name,
			      pn_worker_kind_name((enum pn_worker_kind)atomic_load(&slot->kind)),
			      atomic_load(&slot->number), (unsigned long long)atomic_load(value));
	}
}

/* Rows of the store, which every queue worker counts. */
static uint64_t queued(const struct pn_shared *shared)
{
	uint64_t most = 0;

	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		uint64_t total = atomic_load(&shared->slots[i].counters.queue_total);

		if (is_used(&shared->slots[i]) && total > most)
			most = total;
	}
	return most;
}

static void queue_metrics(const struct pn_shared *shared, struct pn_buffer *out)
{
	static const struct {
		const char *name;
		const char *type;
		const char *help;
		size_t offset;
	} rows[] = {
		{"queue_in_memory", "gauge", "Recipients that a queue worker holds in memory.",
	         offsetof(struct pn_counters, queue_in_memory)},
		{"queue_delivering", "gauge", "Recipients that are being delivered.",
	         offsetof(struct pn_counters, queue_delivering)},
		{"queue_connections", "gauge", "Open connections to next hops.",
	         offsetof(struct pn_counters, queue_carriers)},
		{"queue_destinations", "gauge", "Destinations that mail waits for.",
	         offsetof(struct pn_counters, queue_destinations)},
		{"queue_suspended", "gauge", "Destinations that are suspended.",
	         offsetof(struct pn_counters, queue_suspended)},
		{"queue_delivered_total", "counter", "Recipients delivered from the queue.",
	         offsetof(struct pn_counters, queue_delivered)},
		{"queue_deferred_total", "counter", "Attempts that are to be made again.",
	         offsetof(struct pn_counters, queue_deferred)},
		{"queue_bounced_total", "counter", "Recipients given up.",
	         offsetof(struct pn_counters, queue_bounced)},
	};

	print(out,
	      "# HELP postern_queue_recipients Recipients that wait in the queue.\n"
	      "# TYPE postern_queue_recipients gauge\npostern_queue_recipients %llu\n",
	      (unsigned long long)queued(shared));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		metric(shared, rows[i].name, rows[i].type, rows[i].help, rows[i].offset, true, out);
}

void pn_metrics_write(const struct pn_shared *shared, struct pn_buffer *out)
{
	metric(shared, "sessions", "gauge", "Open sessions.",
	       offsetof(struct pn_counters, sessions_open), false, out);
	metric(shared, "turned_away_total", "counter", "Connections that were closed at once.",
	       offsetof(struct pn_counters, turned_away), false, out);
	metric(shared, "workers_full", "gauge", "Workers that take no more sessions.",
	       offsetof(struct pn_counters, is_full), false, out);
	metric(shared, "sessions_total", "counter", "Sessions accepted.",
	       offsetof(struct pn_counters, sessions_total), false, out);
	metric(shared, "messages_accepted_total", "counter", "Messages acknowledged.",
	       offsetof(struct pn_counters, messages_accepted), false, out);
	metric(shared, "tickets", "gauge", "Answers that are waited for.",
	       offsetof(struct pn_counters, tickets_open), false, out);
	metric(shared, "loop_longest_turn_microseconds", "gauge",
	       "Longest turn of the event loop since the last heartbeat.",
	       offsetof(struct pn_counters, longest_turn_us), false, out);
	metric(shared, "generation", "gauge", "Generation of the configuration in use.",
	       offsetof(struct pn_counters, generation), false, out);
	queue_metrics(shared, out);
	print(out,
	      "# HELP postern_set_aside Messages that took down two workers.\n"
	      "# TYPE postern_set_aside gauge\npostern_set_aside %u\n"
	      "# HELP postern_disabled_hooks Hooks that took down workers at too many messages.\n"
	      "# TYPE postern_disabled_hooks gauge\npostern_disabled_hooks %u\n",
	      pn_suspects_count(&shared->suspects), atomic_load(&shared->suspects.disabled_count));
	print(out,
	      "# HELP postern_worker_deaths_total Workers that ended unasked.\n"
	      "# TYPE postern_worker_deaths_total counter\npostern_worker_deaths_total %llu\n"
	      "# HELP postern_worker_hangs_total Workers that the watchdog ended.\n"
	      "# TYPE postern_worker_hangs_total counter\npostern_worker_hangs_total %llu\n"
	      "# HELP postern_reloads_total Reloads that took effect.\n"
	      "# TYPE postern_reloads_total counter\npostern_reloads_total %llu\n",
	      (unsigned long long)atomic_load(&shared->worker_deaths),
	      (unsigned long long)atomic_load(&shared->worker_hangs),
	      (unsigned long long)atomic_load(&shared->reloads));
}
