/* SPDX-License-Identifier: Apache-2.0 */
/* What hooks cost. */
#include "session/costs.h"

#include <string.h>

static struct pn_hook_costs unshared;

struct pn_hook_costs *pn_hook_costs = &unshared;

static uint32_t hash_of(enum pn_stage stage, const char *label)
{
	uint32_t hash = 2166136261u ^ (uint32_t)stage;

	for (; *label != '\0'; label++)
		hash = (hash ^ (uint8_t)*label) * 16777619u;
	return hash;
}

static void begin(struct pn_hook_cost *row, enum pn_stage stage, const char *label)
{
	size_t size = strnlen(label, sizeof(row->label) - 1);

	row->stage = (uint32_t)stage;
	memcpy(row->label, label, size);
	row->label[size] = '\0';
	atomic_store_explicit(&row->is_used, 1, memory_order_release);
}

static struct pn_hook_cost *find(struct pn_hook_costs *costs, enum pn_stage stage,
                                 const char *label)
{
	uint32_t hash = hash_of(stage, label);

	for (uint32_t step = 0; step < PN_COST_ROWS - 1; step++) {
		struct pn_hook_cost *row = &costs->rows[(hash + step) % (PN_COST_ROWS - 1)];

		if (atomic_load_explicit(&row->is_used, memory_order_relaxed) == 0) {
			begin(row, stage, label);
			return row;
		}
		if (row->stage == (uint32_t)stage &&
		    strncmp(row->label, label, sizeof(row->label) - 1) == 0)
			return row;
	}
	if (atomic_load_explicit(&costs->rows[PN_COST_ROWS - 1].is_used, memory_order_relaxed) == 0)
		begin(&costs->rows[PN_COST_ROWS - 1], PN_STAGE_NONE, "others");
	return &costs->rows[PN_COST_ROWS - 1];
}

static void add(_Atomic uint64_t *number, uint64_t amount)
{
	atomic_fetch_add_explicit(number, amount, memory_order_relaxed);
}

static uint64_t value(const _Atomic uint64_t *number)
{
	return atomic_load_explicit(number, memory_order_relaxed);
}

void pn_hook_costs_count(const struct pn_hook_call_cost *call)
{
	struct pn_hook_cost *row = find(pn_hook_costs, call->stage, call->label);

	add(&row->calls, 1);
	add(&row->cpu_ns, call->cpu_ns);
	add(&row->wall_ns, call->wall_ns);
	add(&row->failures, call->has_failed);
	add(&row->timeouts, call->was_late);
}

void pn_hook_costs_add(struct pn_hook_costs *to, const struct pn_hook_costs *from)
{
	for (size_t index = 0; index < PN_COST_ROWS; index++) {
		const struct pn_hook_cost *row = &from->rows[index];
		struct pn_hook_cost *sum;

		if (atomic_load_explicit(&row->is_used, memory_order_acquire) == 0)
			continue;
		sum = find(to, (enum pn_stage)row->stage, row->label);
		add(&sum->calls, value(&row->calls));
		add(&sum->cpu_ns, value(&row->cpu_ns));
		add(&sum->wall_ns, value(&row->wall_ns));
		add(&sum->failures, value(&row->failures));
		add(&sum->timeouts, value(&row->timeouts));
	}
}
