/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Caches: counters and small values with a lifetime, shared by the workers of one
 * gateway (or by several gateways): rates, greylisting, reputations. Every entry
 * answers by ticket, even at once. Loop thread.
 */
#ifndef POSTERN_CACHE_H
#define POSTERN_CACHE_H

#include <postern/ticket.h>
#include <postern/types.h>

enum { PN_CACHE_KEY_MAX = 256, PN_CACHE_VALUE_MAX = 4096 };

/* The result of all three, as PN_ANSWER_CUSTOM. */
struct pn_cache_value {
	uint32_t struct_size;
	bool found;
	struct pn_slice value; /* of get */
	int64_t number;        /* of add: the sum */
};

struct pn_cache {
	uint32_t struct_size;

	void (*get)(void *instance, struct pn_slice key, struct pn_ticket ticket);

	/* Keeps value under key for lifetime_ms (at least 1). Larger keys and values: PN_LIMIT. */
	void (*set)(void *instance, struct pn_slice key, struct pn_slice value,
		    uint64_t lifetime_ms, struct pn_ticket ticket);

	/* Adds to a counter that starts at 0 and lives for lifetime_ms after its first use; atomic. */
	void (*add)(void *instance, struct pn_slice key, int64_t amount, uint64_t lifetime_ms,
		    struct pn_ticket ticket);
};

#endif
