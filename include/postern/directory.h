/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directory modules: which addresses exist, and whose they are. Asked for each
 * recipient in a domain of ours, and at login.
 */
#ifndef POSTERN_DIRECTORY_H
#define POSTERN_DIRECTORY_H

#include <postern/address.h>
#include <postern/arena.h>
#include <postern/error.h>
#include <postern/types.h>

struct pn_directory_entry {
	uint32_t struct_size;
	struct pn_slice account;       /* canonical name: "alice@example.org" */
	struct pn_slice store;         /* instance of its home store; "": that of its domain */
	uint64_t quota_bytes;          /* 0: the store's default */
	const struct pn_slice *aliases_to; /* addresses it stands for instead of an account */
	size_t alias_count;
	bool is_disabled;              /* exists, and must not be used now: 4xx */
};

struct pn_directory {
	uint32_t struct_size;

	/*
	 * Looks up an address. PN_OK with *entry_out in the arena, PN_NOT_FOUND, or PN_FAILED (a
	 * temporary refusal follows, never "no such user"). On the loop thread, and then must not
	 * block; with `blocks` on a worker thread.
	 */
	enum pn_status (*lookup)(void *instance, const struct pn_address *address,
				 struct pn_arena *arena, struct pn_directory_entry *entry_out,
				 struct pn_error *error);

	/* Calls `found` for every account; for tools and the control page. May be NULL. As above. */
	enum pn_status (*list)(void *instance,
			       void (*found)(void *user, const struct pn_directory_entry *entry),
			       void *user, struct pn_error *error);

	bool blocks;
};

#endif
