/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One writer at a time, over all processes. LMDB has a robust mutex for that; but
 * when a process that was just woken to take it is killed, and a third was quicker
 * meanwhile, nobody wakes those who wait for it, until two meet there again
 * (tests/unit/cache shows it within some hundred kills). So nobody waits for that
 * mutex: who wants to write passes this gate first, a lock on a file, which the
 * kernel gives to the next whoever dies. Any thread; one leaves before another of
 * the same process enters.
 */
#ifndef MODULES_STORE_LOCAL_GATE_H
#define MODULES_STORE_LOCAL_GATE_H

#include <pthread.h>

struct gate {
	pthread_mutex_t mutex; /* among the threads: the lock is one for the process */
	int descriptor;
};

/* 0, or what errno says. The file is made where it is not there, and never removed. */
int gate_open(struct gate *gate, const char *path);
int gate_enter(struct gate *gate); /* not 0: it was not entered */
void gate_leave(struct gate *gate);
void gate_close(struct gate *gate);

#endif
