/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults of threads: the slot says what the loop thread runs, but it may be a job
 * that dies, on a thread of its own. Who dies writes into the slot what it was at,
 * as its last act. Workers only.
 */
#ifndef CORE_PROCESS_FAULTS_H
#define CORE_PROCESS_FAULTS_H

/* Once, on the loop thread, before the first job. */
void pn_faults_start(void);

#endif
