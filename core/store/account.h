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
	uint64_t quota_bytes;            /* as the directory said; 0: the store's default */
};

/* The name is copied. */
struct pn_account *pn_account_new(struct pn_arena *arena, struct pn_slice name,
				  struct pn_instance *store);

/* The accounts of the store of this one (whatever its name); as the questions of <postern/store.h>. */
void pn_store_accounts(const struct pn_account *account, const struct pn_accounts_request *request,
		       struct pn_ticket ticket);

/* Rows of the queue of its store; as the questions of <postern/store.h>. */
void pn_store_queue(const struct pn_account *account, const struct pn_queue_request *request,
		    struct pn_ticket ticket);

#endif
