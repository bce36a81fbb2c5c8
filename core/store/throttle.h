/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often logins may fail, in all workers together: to one account from one
 * address, to one account from anywhere, and from one address to anything. An attempt
 * takes its share before it is judged, so that a thousand at once are no way around,
 * and gets it back when it succeeds.
 *
 * Whoever guesses from a few addresses runs into the first limit, and its owner comes
 * in from elsewhere. Who guesses from very many runs into the second: then only
 * addresses from which the account has logged in lately are let through, which do
 * not count there. An IPv6 address counts as its /64.
 *
 * The table has a fixed size and is shared; where it is full, what would be forgotten
 * first makes room. Loop thread.
 */
#ifndef CORE_STORE_THROTTLE_H
#define CORE_STORE_THROTTLE_H

#include <postern/arena.h>
#include <postern/types.h>

#include "session/generation.h"

#include <stdatomic.h>

enum {
	PN_THROTTLE_SETS = 8192,
	PN_THROTTLE_KNOWN_SETS = 2048,
};

/* Moments in ms; of an address that is known, when it is forgotten. */
struct pn_throttle_table {
	struct pn_rate_entry taken[PN_THROTTLE_SETS * PN_RATE_WAYS];
	struct pn_rate_entry known[PN_THROTTLE_KNOWN_SETS * PN_RATE_WAYS];
};

/* Shared by the workers; NULL: nothing is counted (tools). */
extern struct pn_throttle_table *pn_throttle_table;

/* What an attempt has taken. */
struct pn_throttle_claim {
	uint64_t keys[3]; /* 0: none */
	uint64_t intervals_ms[3];
	uint64_t known_key;
};

/* Takes the share of an attempt. NULL: it may go on, and *claim_out is filled in; else what is said. */
const char *pn_throttle_take(const struct pn_login_limits *limits, struct pn_slice account,
			     const char *address, struct pn_throttle_claim *claim_out);

/* It was no failure: its share is given back. Where it succeeded the account is known from that
 * address. */
void pn_throttle_give_back(const struct pn_throttle_claim *claim, bool has_succeeded);

#endif
