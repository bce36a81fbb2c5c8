/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and stopping the worker threads behind <postern/job.h>. Loop thread. */
#ifndef CORE_IO_JOB_H
#define CORE_IO_JOB_H

/* Once, after pn_loop_new. */
void pn_jobs_start(void);

/* Runs what is queued in the pools and takes no more; lanes go on. What jobs use can go after it. */
void pn_jobs_finish(void);

/* Runs what is queued, joins the threads and tells what is done. */
void pn_jobs_stop(void);

#endif
