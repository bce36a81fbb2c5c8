/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of a cache: an LMDB environment that all workers of the gateway share.
 * It is never synced: what a worker that is killed had committed is in the kernel's
 * memory, and after a crash of the machine the file is thrown away. A change counts
 * whole or not at all, and a lock whose holder died is free (LMDB's are robust).
 * May block: any thread but the loop's, one at a time.
 */
#ifndef MODULES_CACHE_LOCAL_TABLE_H
#define MODULES_CACHE_LOCAL_TABLE_H

#include <postern/error.h>
#include <postern/types.h>

struct cache_table;

enum cache_verb { CACHE_GET = 0, CACHE_SET, CACHE_ADD };

/* One request, and its result. */
struct cache_request {
	enum cache_verb verb;
	struct pn_slice key;
	struct pn_slice value; /* set; the result of get is in `room` */
	int64_t amount;
	uint64_t lifetime_ms;

	enum pn_status status;
	bool found;
	int64_t number;
	size_t size; /* of what was found, in `room` */
	char *room;  /* PN_CACHE_VALUE_MAX bytes, for get */
	struct cache_request *next;
};

/* Opens (makes) NAME.mdb in the directory, for at most `max_bytes` of entries. */
PN_MUST_CHECK enum pn_status cache_table_open(const char *directory, const char *name,
					      uint64_t max_bytes, struct cache_table **table_out,
					      struct pn_error *error);
void cache_table_close(struct cache_table **table);

/* Does them all, in their order, in one transaction. `now_ms` is the wall clock. PN_FAILED: none was
 * done, and their status says so. */
PN_MUST_CHECK enum pn_status cache_table_work(struct cache_table *table,
					      struct cache_request *requests, int64_t now_ms,
					      struct pn_error *error);

#endif
