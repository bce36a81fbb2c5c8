/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs: blocking work on a worker thread, and the only bridge between threads.
 * A job sees its argument and nothing else: no session, no Lua, no ticket.
 *
 * There are separate pools, so that one kind of work does not starve another,
 * and lanes, in which jobs run one after the other in the order they came.
 *
 *	struct pn_job job = { .struct_size = sizeof(job), .pool = PN_POOL_MODULE,
 *	                      .work = hash_it, .argument = hash };
 *	pn_job_submit(&job, ticket);       answered with PN_ANSWER_JOB
 */
#ifndef POSTERN_JOB_H
#define POSTERN_JOB_H

#include <postern/ticket.h>
#include <postern/types.h>

enum pn_pool {
	PN_POOL_MODULE = 0, /* what modules need that blocks */
	PN_POOL_DISK,       /* reading and writing files     */
	PN_POOL_PASSWORD,   /* password hashing              */
};

struct pn_lane;

struct pn_job {
	uint32_t struct_size;
	enum pn_pool pool;    /* ignored when the job goes to a lane */
	struct pn_lane *lane; /* or NULL for the pool */

	/* On a worker thread. What it returns becomes the status of the answer. */
	enum pn_status (*work)(void *argument, struct pn_error *error);

	/*
	 * On the loop thread, always, after `work` (or without it when the gateway stops first:
	 * status PN_FAILED): the owner of `argument` takes back what it lent. May be NULL.
	 */
	void (*done)(void *argument, enum pn_status status, const struct pn_error *error);

	void *argument;
};

PN_DECLARATIONS_BEGIN

/*
 * Submits a job; the struct is copied. The ticket (may be {0,0}) is answered after `done`
 * with PN_ANSWER_JOB and the argument. PN_LIMIT where too many jobs wait in that pool: then
 * neither `done` nor the ticket will be called. Loop thread.
 */
PN_MUST_CHECK enum pn_status pn_job_submit(const struct pn_job *job, struct pn_ticket ticket);

/* A lane has a thread of its own. `name` (at most 15 bytes) is copied. Loop thread. */
PN_MUST_CHECK enum pn_status pn_lane_new(const char *name, struct pn_lane **lane_out,
					 struct pn_error *error);

/* Runs what is queued, joins the thread, and sets *lane to NULL. Loop thread; may block. */
void pn_lane_free(struct pn_lane **lane);

/* Abort with a message where the caller is on the wrong kind of thread. */
void pn_assert_on_loop(void);
void pn_assert_on_worker(void);

PN_DECLARATIONS_END

#endif
