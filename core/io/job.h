/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and stopping the worker threads behind <postern/job.h>. Loop thread. */
#ifndef CORE_IO_JOB_H
#define CORE_IO_JOB_H

/*
 * Who wants to know for whom threads work. A note is taken when a job is submitted, goes with it, and is
 * given back when it was told; NULL is a note, too. Set once, before the first job.
 */
struct pn_job_witness {
	void *(*take)(void);        /* loop thread */
	void (*begins)(void *note); /* on the thread of the job */
	void (*ended)(void);        /* on the thread of the job */
	void (*telling)(void *note); /* loop thread: `done` is called next */
	void (*told)(void *note);   /* loop thread */
};

extern struct pn_job_witness pn_job_witness;

/* Once, after pn_loop_new. */
void pn_jobs_start(void);

/* Runs what is queued in the pools and takes no more; lanes go on. What jobs use can go after it. */
void pn_jobs_finish(void);

/* Runs what is queued, joins the threads and tells what is done. */
void pn_jobs_stop(void);

#endif
