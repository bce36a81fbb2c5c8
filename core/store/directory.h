/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose an address is: domains of ours, their directories, aliases. Follows
 * aliases to the end, with limits, and calls back with the accounts. Loop thread.
 */
#ifndef CORE_STORE_DIRECTORY_H
#define CORE_STORE_DIRECTORY_H

#include <postern/address.h>
#include <postern/directory.h>

#include "session/generation.h"

enum pn_lookup_outcome {
	PN_LOOKUP_FOUND = 0,
	PN_LOOKUP_FOREIGN,  /* not a domain of ours */
	PN_LOOKUP_UNKNOWN,  /* our domain, no such address */
	PN_LOOKUP_DISABLED, /* exists, not to be used now */
	PN_LOOKUP_FAILED,   /* could not be found out */
};

/* One account that an address leads to. */
struct pn_lookup_account {
	struct pn_slice name;
	struct pn_instance *store;
	uint64_t quota_bytes;
};

struct pn_lookup_result {
	enum pn_lookup_outcome outcome;
	const struct pn_lookup_account *accounts; /* with FOUND; at least one, or only foreign ones */
	size_t account_count;
	const struct pn_address *foreign;         /* aliases that lead elsewhere */
	size_t foreign_count;
	struct pn_error error;                    /* with FAILED */
};

typedef void pn_lookup_done_function(void *user, const struct pn_lookup_result *result);

/*
 * Looks up; `done` is called at once or later, with a result in `arena`. When the session ends
 * first, or pn_ticket_cancel_owner(session, arena), `done` is not called and the arena may go. The address must live in the arena.
 */
void pn_directory_find(struct pn_session *session, struct pn_generation *generation,
		       const struct pn_address *address, struct pn_arena *arena,
		       pn_lookup_done_function *done, void *user);

#endif
