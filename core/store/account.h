/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An account as its users hold it: a name, and the store that keeps it. Made at
 * login and for each recipient; never freed by itself, it lives in an arena.
 */
#ifndef CORE_STORE_ACCOUNT_H
#define CORE_STORE_ACCOUNT_H

#include <postern/arena.h>
#include <postern/store.h>

struct pn_account {
	struct pn_slice name;
	struct pn_instance *store;       /* the instance */
	const struct pn_store *entries;  /* of its module */
	void *state;                     /* what its start() made */
};

/* The name is copied. */
struct pn_account *pn_account_new(struct pn_arena *arena, struct pn_slice name,
				  struct pn_instance *store);

#endif
