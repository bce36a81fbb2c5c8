/* SPDX-License-Identifier: Apache-2.0 */
/* What hooks cost, summed over all workers, for `postern top` and /metrics. */
#include "process/worker.h"

#include <postern/text.h>

#include <stdio.h>
#include <stdlib.h>

static uint64_t value(const _Atomic uint64_t *number)
{
	return atomic_load_explicit(number, memory_order_relaxed);
}

/* Those that are there and those that ended. Free it. */
static struct pn_hook_costs *sum_up(const struct pn_shared *shared)
{
	struct pn_hook_costs *sum = calloc(1, sizeof(*sum));

	if (sum == NULL)
		abort();
	pn_hook_costs_add(sum, &shared->ended_costs);
	for (size_t index = 0; index < PN_MAX_SLOTS; index++)
		pn_hook_costs_add(sum, &shared->slots[index].costs);
	return sum;
}

static const char *stage_name(const struct pn_hook_cost *row)
{
	return row->stage == PN_STAGE_NONE || row->stage >= PN_STAGE_COUNT
	               ? ""
	               : pn_stage_name((enum pn_stage)row->stage);
}

void pn_top_write(const struct pn_shared *shared, struct pn_buffer *out)
{
	struct pn_hook_costs *sum = sum_up(shared);
	enum pn_status status = pn_buffer_append(out, PN_SLICE("{\"hooks\":["));
	bool is_first = true;

	for (size_t index = 0; index < PN_COST_ROWS && status == PN_OK; index++) {
		const struct pn_hook_cost *row = &sum->rows[index];

		if (atomic_load(&row->is_used) == 0)
			continue;
		status = pn_buffer_print(out, "%s{\"stage\":\"%s\",\"hook\":", is_first ? "" : ",",
		                         stage_name(row));
		if (status == PN_OK)
			status = pn_json_append_string(out, pn_slice_of(row->label));
		if (status == PN_OK)
			status = pn_buffer_print(out,
			                         ",\"calls\":%llu,\"cpu_us\":%llu,\"wall_us\":%llu,"
			                         "\"failures\":%llu,"
			                         "\"timeouts\":%llu}",
			                         (unsigned long long)value(&row->calls),
			                         (unsigned long long)(value(&row->cpu_ns) / 1000),
			                         (unsigned long long)(value(&row->wall_ns) / 1000),
			                         (unsigned long long)value(&row->failures),
			                         (unsigned long long)value(&row->timeouts));
		is_first = false;
	}
	if (status == PN_OK)
		(void)!pn_buffer_append(out, PN_SLICE("]}\n"));
	free(sum);
}

/* One number of every hook. What does not fit is left out, line by line. */
static void metric(const struct pn_hook_costs *sum, const char *name, const char *help,
                   size_t offset, double divisor, struct pn_buffer *out)
{
	(void)!pn_buffer_print(out, "# HELP postern_%s %s\n# TYPE postern_%s counter\n", name, help,
	                       name);
	for (size_t index = 0; index < PN_COST_ROWS; index++) {
		const struct pn_hook_cost *row = &sum->rows[index];
		const _Atomic uint64_t *number =
			(const _Atomic uint64_t *)((const char *)row + offset);

		/* Labels are names of files and modules: quotes and backslashes stay out. */
		if (atomic_load(&row->is_used) != 0 && strpbrk(row->label, "\"\\\n") == NULL)
			(void)!pn_buffer_print(out, "postern_%s{stage=\"%s\",hook=\"%s\"} %.15g\n",
			                       name, stage_name(row), row->label,
			                       (double)value(number) / divisor);
	}
}

void pn_top_metrics(const struct pn_shared *shared, struct pn_buffer *out)
{
	struct pn_hook_costs *sum = sum_up(shared);

	metric(sum, "hook_calls_total", "Calls of a hook.", offsetof(struct pn_hook_cost, calls), 1,
	       out);
	metric(sum, "hook_seconds_total", "Processor time of a hook.",
	       offsetof(struct pn_hook_cost, cpu_ns), 1e9, out);
	metric(sum, "hook_failures_total", "Calls of a hook that failed.",
	       offsetof(struct pn_hook_cost, failures), 1, out);
	free(sum);
}
