/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hooks cost: counted by the stage engine for each hook and stage, in memory that
 * the process layer shares. One writer, its loop thread; everybody reads.
 */
#ifndef CORE_SESSION_COSTS_H
#define CORE_SESSION_COSTS_H

#include <postern/stage.h>
#include <postern/types.h>

#include <stdatomic.h>

enum {
	PN_COST_ROWS = 256, /* hooks of one worker, those of former generations included */
	PN_COST_LABEL_SIZE = 48,
};

struct pn_hook_cost {
	_Atomic uint32_t is_used; /* set when stage and label stand */
	uint32_t stage;
	char label[PN_COST_LABEL_SIZE];
	_Atomic uint64_t calls;
	_Atomic uint64_t cpu_ns;
	_Atomic uint64_t wall_ns; /* waiting included */
	_Atomic uint64_t failures; /* timeouts included */
	_Atomic uint64_t timeouts;
};

/* Open addressing. The last row takes what there is no room for, as "others". */
struct pn_hook_costs {
	struct pn_hook_cost rows[PN_COST_ROWS];
};

/* Where it is written: process memory until the process layer points it at shared memory. */
extern struct pn_hook_costs *pn_hook_costs;

/* One call of a hook that has come to its end. */
struct pn_hook_call_cost {
	enum pn_stage stage;
	const char *label;
	uint64_t cpu_ns;
	uint64_t wall_ns;
	bool has_failed;
	bool was_late;
};

void pn_hook_costs_count(const struct pn_hook_call_cost *call);

/* Adds all of one table to another, of which the caller is the only writer. */
void pn_hook_costs_add(struct pn_hook_costs *to, const struct pn_hook_costs *from);

#endif
