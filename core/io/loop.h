/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop of a worker: there is one in a process, and one thread runs it. Timers,
 * watched descriptors, and things to do at the top of the next turn. libuv is used
 * in this folder only; everybody else sees these.
 */
#ifndef CORE_IO_LOOP_H
#define CORE_IO_LOOP_H

#include <postern/error.h>
#include <postern/types.h>

/* Makes the loop of this process; the calling thread becomes the loop thread. */
PN_MUST_CHECK enum pn_status pn_loop_new(struct pn_error *error);

/* Runs until pn_loop_stop() was called; then closes what is left and frees the loop. */
void pn_loop_run(void);
void pn_loop_stop(void);
void pn_loop_free(void);
bool pn_loop_is_here(void); /* the calling thread is the loop thread */

/* Something to do at the top of the loop: embedded in what it is about. */
struct pn_task {
	void (*run)(struct pn_task *task);
	struct pn_task *next;
	bool is_queued;
};

/* Queues it once; runs in the next turn, in order. Queueing a queued task does nothing. */
void pn_task_queue(struct pn_task *task);

/* The same, in front of all others: for what others wait for. */
void pn_task_queue_first(struct pn_task *task);

/* Takes it out again, if it is queued. Constant time in practice; used when the owner goes. */
void pn_task_cancel(struct pn_task *task);

/* A timer that fires once. */
struct pn_timer;
struct pn_timer *pn_timer_new(void (*fired)(void *user), void *user);
void pn_timer_set(struct pn_timer *timer, uint64_t milliseconds); /* again: moves it */
uint64_t pn_timer_left(const struct pn_timer *timer); /* ms until it fires; 0: it is not set, or due */
void pn_timer_stop(struct pn_timer *timer);
void pn_timer_free(struct pn_timer **timer);

/* A descriptor that is watched. It is the caller's; it is closed only after pn_watch_free. */
enum pn_watch_event { PN_WATCH_READ = 1, PN_WATCH_WRITE = 2 };

struct pn_watch;
PN_MUST_CHECK enum pn_status pn_watch_new(int descriptor, void (*ready)(void *user, int events),
					  void *user, struct pn_watch **watch_out,
					  struct pn_error *error);
void pn_watch_set(struct pn_watch *watch, int events); /* 0: none; level triggered */
int pn_watch_events(const struct pn_watch *watch);

/* Stops watching; when the loop has let go, the descriptor is closed if close_descriptor. */
void pn_watch_free(struct pn_watch **watch, bool close_descriptor);

/* Wakes the loop from another thread: `woken` runs on the loop, calls merge. */
struct pn_waker;
struct pn_waker *pn_waker_new(void (*woken)(void *user), void *user);
void pn_waker_wake(struct pn_waker *waker); /* any thread */
void pn_waker_free(struct pn_waker **waker);

/* Calls `received` on the loop when the process gets the signal. Lives as long as the loop. */
PN_MUST_CHECK enum pn_status pn_loop_on_signal(int signal_number, void (*received)(void *user),
					       void *user, struct pn_error *error);

/*
 * A loop whose time is only told, for trying out policies: timers fire when pn_loop_advance has come
 * to them, in their order, and nothing runs by itself. Before the first timer is set.
 */
void pn_loop_simulate(void);
uint64_t pn_loop_simulated_ms(void);

/* Runs what is queued, then what becomes due within that time (only the first timer, if only_one:
 * then time stops there). Whether a timer fired. */
bool pn_loop_advance(uint64_t milliseconds, bool only_one);

/* How often the loop turned, and its longest turn in ns since the last call: for metrics. */
uint64_t pn_loop_longest_turn_ns(void);

/* The shortest one since the last call, 0 where there was none: long where there is always too much to do. */
uint64_t pn_loop_shortest_turn_ns(void);

#endif
