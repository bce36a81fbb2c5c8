/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of this worker, for the process layer: started once in a queue worker,
 * woken when rows may have come, told to stop. Loop thread.
 *
 * The rows themselves are in the home store; what is here is only the memory of who
 * works on which. A worker that dies loses nothing: its rows are due again.
 */
#ifndef CORE_DELIVERY_QUEUE_H
#define CORE_DELIVERY_QUEUE_H

#include <postern/error.h>
#include <postern/store.h>

#include "session/generation.h"

/* Destinations are dealt out to shards by this. Any thread, pure. */
uint32_t pn_queue_shard(struct pn_slice destination, uint32_t shard_count);

/* Begins to deliver, with pn_generation_current. Shard `number` of `count`. */
PN_MUST_CHECK enum pn_status pn_queue_start(unsigned number, unsigned count,
					    struct pn_error *error);

/* A new generation is in use; rows may have come; an operator changed rows or suspensions (what is
 * not being delivered right now is forgotten and read again). */
void pn_queue_use_generation(void);
void pn_queue_woken(void);
void pn_queue_edited(void);

/* A transaction that was at work in a worker that died, told to every new queue worker before it
 * starts: the second time its rows are held. `what` is for people: "it took down a worker …". */
void pn_queue_suspect(const char *transaction_id, const char *what, uint32_t deaths);

/* No new deliveries; `done` is called when those at work have ended, or at once. */
void pn_queue_finish(void (*done)(void));
void pn_queue_stop(void);

/* For status and metrics. */
struct pn_queue_counts {
	uint64_t total;        /* rows in the store, as it said last */
	uint64_t in_memory;
	uint64_t delivering;   /* recipients */
	uint64_t carriers;     /* open connections */
	uint64_t destinations; /* known now */
	uint64_t suspended;    /* of them */
	uint64_t delivered;    /* since the start: recipients */
	uint64_t deferred;
	uint64_t bounced;
};
void pn_queue_count(struct pn_queue_counts *counts_out);

/* ---- details of a row: what travels with it (details.c). For `postern queue show`, too ---- */

struct pn_queue_detail {
	struct pn_slice key;   /* "original", "notify", "identity", "peer", "note.x" … */
	struct pn_slice value;
};

/* Walks through the pairs: *at is 0 first. False at the end. Damaged details end early. */
bool pn_queue_detail_next(struct pn_slice details, size_t *at, struct pn_queue_detail *detail_out);
struct pn_slice pn_queue_detail_of(struct pn_slice details, struct pn_slice key);

/* The same with one pair set anew, in the arena ("" removes it): for `postern queue requeue`, whose
 * key is "route": "mx", "mx:example.net", "hosts:a.example:25,b.example:25", each with
 * "@INSTANCE" behind it for a transport. */
struct pn_slice pn_queue_detail_set(struct pn_arena *arena, struct pn_slice details,
				    struct pn_slice key, struct pn_slice value);

/* ---- suspensions by operators: a file in the data directory (suspend.c) ---- */

enum pn_suspend_kind { PN_SUSPEND_DESTINATION = 0, PN_SUSPEND_TENANT };

struct pn_suspension {
	enum pn_suspend_kind kind;
	struct pn_slice name;
	int64_t until_ms;      /* wall clock; INT64_MAX: until it is resumed */
	struct pn_slice reason;
};

/* Reads all of them into the arena (PN_OK also where there is no file), and writes them anew, whole
 * and durable. For the tools and the queue workers. */
PN_MUST_CHECK enum pn_status pn_suspensions_read(const char *data_directory, struct pn_arena *arena,
						 struct pn_suspension **suspensions_out,
						 size_t *count_out, struct pn_error *error);
PN_MUST_CHECK enum pn_status pn_suspensions_write(const char *data_directory,
						  const struct pn_suspension *suspensions,
						  size_t count, struct pn_error *error);

#endif
