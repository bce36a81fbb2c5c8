/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the workers need of one configuration: the listening sockets, copies of the
 * keys and of the files that were checked. The master loads it (a child checks the
 * configuration, without privileges), passes it on, and closes what a later one
 * does not need. Master only.
 */
#ifndef CORE_PROCESS_SUPPLY_H
#define CORE_PROCESS_SUPPLY_H

#include "process/flat.h"
#include "process/user.h"

/* A descriptor with its name: a listener, a key, a copy of a file. */
struct pn_named_descriptor {
	char *name;
	int descriptor;
};

struct pn_descriptor_list {
	struct pn_named_descriptor items[PN_FLAT_MAX + 2]; /* and the control page and socket */
	size_t count;
};

/* One configuration, opened. */
struct pn_supply {
	uint32_t number;
	struct pn_arena *arena;
	struct pn_flat flat;
	struct pn_descriptor_list listeners;
	struct pn_descriptor_list keys;
	struct pn_descriptor_list files;
};

/* What the master stands on, whatever is reloaded: filled in by the first load. */
struct pn_supply_base {
	const char *config_path;
	struct pn_user user;
	int lock; /* held on the data directory as long as we live; 0 before */
};

/*
 * Checks and opens. What `current` (NULL at first) has open already is used again. PN_FAILED with a
 * sentence: nothing is open that was not open before, and *supply_out is NULL.
 */
PN_MUST_CHECK enum pn_status pn_supply_load(struct pn_supply_base *base,
					    const struct pn_supply *current, uint32_t number,
					    struct pn_supply **supply_out, struct pn_error *error);

/* Closes what `kept` (or NULL) does not use as well, and sets *supply to NULL. */
void pn_supply_free(struct pn_supply **supply, const struct pn_supply *kept);

#endif
