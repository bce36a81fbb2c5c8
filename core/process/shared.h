/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that master and workers share: who does what, heartbeats, counters,
 * sessions by address, and the generations of accounts that changed. Each slot has
 * one writer, its worker; everybody reads. What a dead worker left is cleared by
 * the master.
 */
#ifndef CORE_PROCESS_SHARED_H
#define CORE_PROCESS_SHARED_H

#include <postern/error.h>
#include <postern/module.h>

#include "io/tls.h"
#include "process/suspects.h"
#include "session/costs.h"
#include "session/limits.h"
#include "session/running.h"
#include "store/throttle.h"

#include <stdatomic.h>
#include <sys/types.h>

enum {
	PN_MAX_SLOTS = 64,
	PN_CHANGE_BUCKETS = 4096,
	PN_COUNT_PLACES = 32768,    /* sessions by address, account and tenant, for each worker */
	PN_COUNT_WINDOW = 64,       /* places where one of them may be */
	PN_CHANNEL_DESCRIPTOR = 3,
	PN_SHARED_DESCRIPTOR = 4,
	PN_FIRST_EVENT_DESCRIPTOR = 5, /* one eventfd a slot follows */
};

struct pn_counters {
	_Atomic uint64_t sessions_open;
	_Atomic uint64_t sessions_total;
	_Atomic uint64_t turned_away;
	_Atomic uint64_t is_full; /* it turns connections away, unless others take them */
	_Atomic uint64_t messages_accepted;
	_Atomic uint64_t tickets_open;
	_Atomic uint64_t longest_turn_us;
	_Atomic uint64_t generation;

	/* Of a queue worker; see struct pn_queue_counts. */
	_Atomic uint64_t queue_total;
	_Atomic uint64_t queue_in_memory;
	_Atomic uint64_t queue_delivering;
	_Atomic uint64_t queue_carriers;
	_Atomic uint64_t queue_destinations;
	_Atomic uint64_t queue_suspended;
	_Atomic uint64_t queue_delivered;
	_Atomic uint64_t queue_deferred;
	_Atomic uint64_t queue_bounced;
};

/* Sessions of one address, account or tenant in one worker: open addressing, one writer. */
struct pn_count {
	_Atomic uint64_t key; /* 0: empty */
	_Atomic uint32_t count;
};

struct pn_slot {
	_Atomic int32_t pid; /* 0: free */
	_Atomic uint32_t kind;
	_Atomic uint32_t number;
	_Atomic uint64_t heartbeat_ms; /* monotonic */
	_Atomic uint64_t started_ms;
	_Atomic uint32_t watches;      /* it wants to be woken by changes */
	_Atomic uint32_t queue_told;   /* it was woken for the queue, and has not looked yet */
	struct pn_running running;
	struct pn_running fault;       /* what a thread was at that died of it, in place of `running` */
	_Atomic uint32_t has_fault;    /* set last, as its last act */
	struct pn_counters counters;
	struct pn_count counts[PN_COUNT_PLACES];
	struct pn_hook_costs costs;
};

struct pn_shared {
	_Atomic uint32_t generation;      /* of the configuration in use */
	_Atomic uint64_t worker_deaths;
	_Atomic uint64_t worker_hangs;
	_Atomic uint64_t reloads;
	_Atomic int64_t started_wall_ms;
	_Atomic uint32_t edge_workers;    /* how many there should be */
	_Atomic uint32_t queue_workers;
	_Atomic uint32_t is_stopping;
	_Atomic uint32_t queued;          /* counts up when rows may have come into the queue */
	_Atomic uint32_t queue_edited;    /* and when an operator changed rows or suspensions */
	_Atomic uint32_t changes[PN_CHANGE_BUCKETS]; /* account generations, by hash */
	struct pn_tls_resumption tls_resumption;     /* the master writes */
	struct pn_throttle_table throttle; /* failed logins; everybody writes */
	struct pn_rate_table rates;        /* new sessions and commands; everybody writes */
	uint8_t secret[PN_LIMITS_SECRET_SIZE]; /* for keys; the master writes it once */
	struct pn_suspects suspects;
	struct pn_hook_costs ended_costs; /* of workers that ended; the master writes */
	struct pn_slot slots[PN_MAX_SLOTS];
};

/* The master makes it and passes the descriptor on; a worker maps what it inherited. */
PN_MUST_CHECK enum pn_status pn_shared_new(int *descriptor_out, struct pn_shared **shared_out,
					   struct pn_error *error);
PN_MUST_CHECK enum pn_status pn_shared_map(int descriptor, struct pn_shared **shared_out,
					   struct pn_error *error);

/* Counts sessions of an address, an account or a tenant in the worker's slot (change may be 0), and
 * returns the sum over all slots. */
uint32_t pn_shared_count(struct pn_shared *shared, struct pn_slot *own, uint64_t key, int change);

/*
 * Says that the worker of this slot lives, until it does not: by a lock on the descriptor of the
 * memory, which the kernel takes back with the descriptors of the process, in their order, before those of
 * its sessions. So who sees that his connection has ended sees that, too. Worker, once.
 */
PN_MUST_CHECK enum pn_status pn_shared_live(size_t slot, struct pn_error *error);
bool pn_shared_is_alive(size_t slot);

/* What it was at when it died, or is at. */
const struct pn_running *pn_shared_running(const struct pn_slot *slot);

/* Clears what a worker that ended left behind (its share of every count). Master. */
void pn_shared_clear_slot(struct pn_slot *slot);

/* The bucket of an account. */
uint32_t pn_shared_bucket(struct pn_slice account);

#endif
