/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client, an account and a tenant may have of the gateway: so many sessions at a
 * time, so many new ones and commands in a minute. All workers count in the same memory
 * (process/shared.h): what is open in each worker's own table, so that a dead worker's
 * share is given back; what happens in one table of moments.
 *
 * A client is an address; of IPv6 the first 64 bits, which one customer has at least.
 * Tables have a fixed size: what would be forgotten first makes room. Loop thread.
 */
#ifndef CORE_SESSION_LIMITS_H
#define CORE_SESSION_LIMITS_H

#include <postern/module.h>
#include <postern/types.h>

#include <stdatomic.h>

enum {
	PN_LIMITS_CLIENT_SIZE = 64,
	PN_LIMITS_SECRET_SIZE = 32,
	PN_RATE_WAYS = 8, /* places where a key may be */
	PN_RATE_SETS = 8192,
};

struct pn_session;

/* A key and a moment (monotonic): when what it took is given back. */
struct pn_rate_entry {
	_Atomic uint64_t key; /* 0: free */
	_Atomic uint64_t until;
};

struct pn_rate_table {
	struct pn_rate_entry entries[PN_RATE_SETS * PN_RATE_WAYS];
};

/* Shared by the workers; NULL: nothing is limited (tools). */
extern struct pn_rate_table *pn_rate_table;

/* Makes keys that nobody can choose so that they meet. */
extern const uint8_t *pn_limits_secret; /* PN_LIMITS_SECRET_SIZE bytes; NULL: zeros */

/* The client that an address stands for, as text: itself, or its /64. */
const char *pn_limits_client(const char *address, char room[PN_LIMITS_CLIENT_SIZE]);

/* Never 0. Names differ whatever the case of their letters. */
uint64_t pn_limits_key(const char *kind, struct pn_slice name);

/*
 * The generic cell rate algorithm: each key has one moment, which whatever happens moves on by an
 * interval; `at_once` may happen together. A limit of ten in a minute is five at once and one more
 * every twelve seconds: never more than ten. Any unit of time, the same for all of a table.
 */
struct pn_rate {
	uint64_t interval;
	uint64_t at_once; /* at least 1 */
};

/* The place of a key: its own; else one whose time is over, or would be first. NULL: not there, and
 * `is_made` is false. `sets` times PN_RATE_WAYS entries. */
struct pn_rate_entry *pn_rate_place(struct pn_rate_entry *entries, size_t sets, uint64_t key,
				    bool is_made);

/* Takes one. False: it is too many, and nothing was taken. */
bool pn_rate_take(struct pn_rate_entry *entry, const struct pn_rate *rate, uint64_t now);

/* Takes one in any case; returns how long it must wait for its turn. */
uint64_t pn_rate_reserve(struct pn_rate_entry *entry, const struct pn_rate *rate, uint64_t now);

/* What was taken was nothing. */
void pn_rate_give_back(struct pn_rate_entry *entry, const struct pn_rate *rate);

/* ---- of sessions ---- */

/* In a generation. */
struct pn_session_limits {
	uint32_t per_address;             /* sessions at a time, over all workers */
	uint32_t per_account;
	uint32_t per_tenant;
	uint32_t new_per_address;         /* in a minute; at least 2 */
	uint32_t commands_per_address;    /* in a minute; at least 2 */
	struct pn_text_list not_rated;    /* networks whose clients are not counted by the minute */
};

/* One more session of that address. NULL: it is counted, and *key_out is under what; else what is said,
 * and it is not. */
const char *pn_limits_enter(const struct pn_session_limits *limits, const char *address,
			    uint64_t *key_out, bool *is_rated_out);
void pn_limits_leave(uint64_t *key);

/* It logged in. NULL: it is counted with its account and tenant until it ends or logs in anew. */
const char *pn_limits_login(struct pn_session *session, struct pn_slice account);

/* It is no more. */
void pn_limits_forget(struct pn_session *session);

/* It has sent a command. Returns for how many ms that must wait. */
uint64_t pn_limits_command(struct pn_session *session);

#endif
