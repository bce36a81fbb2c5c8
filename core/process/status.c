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

static void print_slot(const struct pn_slot *slot, bool as_json, bool is_first,
                       struct pn_buffer *out)
{
	const struct pn_counters *counters = &slot->counters;
	const char *kind = pn_worker_kind_name((enum pn_worker_kind)atomic_load(&slot->kind));

	if (as_json)
		print(out,
		      "%s{\"kind\":\"%s\",\"number\":%u,\"pid\":%d,\"generation\":%llu,"
		      "\"sessions\":%llu,\"sessions_total\":%llu,\"messages\":%llu,"
		      "\"heartbeat_ms\":%llu}",
		      is_first ? "" : ",", kind, atomic_load(&slot->number),
		      atomic_load(&slot->pid),
		      (unsigned long long)atomic_load(&counters->generation),
		      (unsigned long long)atomic_load(&counters->sessions_open),
		      (unsigned long long)atomic_load(&counters->sessions_total),
		      (unsigned long long)atomic_load(&counters->messages_accepted),
		      (unsigned long long)age_ms(atomic_load(&slot->heartbeat_ms)));
	else
		print(out, "%-8s %3u  pid %-8d generation %-4llu sessions %-6llu messages %llu\n",
		      kind, atomic_load(&slot->number), atomic_load(&slot->pid),
		      (unsigned long long)atomic_load(&counters->generation),
		      (unsigned long long)atomic_load(&counters->sessions_open),
		      (unsigned long long)atomic_load(&counters->messages_accepted));
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
	if (as_json)
		print(out, "]}\n");
}

static void metric(const struct pn_shared *shared, const char *name, const char *type,
                   const char *help, size_t offset, struct pn_buffer *out)
{
	print(out, "# HELP postern_%s %s\n# TYPE postern_%s %s\n", name, help, name, type);
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		const struct pn_slot *slot = &shared->slots[i];
		const _Atomic uint64_t *value =
			(const _Atomic uint64_t *)((const char *)&slot->counters + offset);

		if (is_used(slot))
			print(out, "postern_%s{worker=\"%s-%u\"} %llu\n", name,
			      pn_worker_kind_name((enum pn_worker_kind)atomic_load(&slot->kind)),
			      atomic_load(&slot->number), (unsigned long long)atomic_load(value));
	}
}

void pn_metrics_write(const struct pn_shared *shared, struct pn_buffer *out)
{
	metric(shared, "sessions", "gauge", "Open sessions.",
	       offsetof(struct pn_counters, sessions_open), out);
	metric(shared, "sessions_total", "counter", "Sessions accepted.",
	       offsetof(struct pn_counters, sessions_total), out);
	metric(shared, "messages_accepted_total", "counter", "Messages acknowledged.",
	       offsetof(struct pn_counters, messages_accepted), out);
	metric(shared, "tickets", "gauge", "Answers that are waited for.",
	       offsetof(struct pn_counters, tickets_open), out);
	metric(shared, "loop_longest_turn_microseconds", "gauge",
	       "Longest turn of the event loop since the last heartbeat.",
	       offsetof(struct pn_counters, longest_turn_us), out);
	metric(shared, "generation", "gauge", "Generation of the configuration in use.",
	       offsetof(struct pn_counters, generation), out);
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
