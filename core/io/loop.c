/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop, on libuv. One in a process: what runs in a worker belongs to one
 * thread, and saying so with a static spares every caller a parameter that could
 * only ever have one value.
 */
#include "io/loop.h"

#include <postern/clock.h>
#include <postern/job.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

struct pn_timer {
	uv_timer_t handle;
	void (*fired)(void *user);
	void *user;

	uint64_t fires_ms; /* the handle may be set for an earlier moment */
	bool is_on;

	/* Where time is only told: pn_loop_simulate. */
	uint64_t due_ms;
	bool is_set;
	struct pn_timer *next;
};

struct pn_watch {
	uv_poll_t handle;
	void (*ready)(void *user, int events);
	void *user;
	int descriptor;
	int events;
	bool close_descriptor;
};

struct pn_waker {
	uv_async_t handle;
	void (*woken)(void *user);
	void *user;
};

struct signal_watch {
	uv_signal_t handle;
	void (*received)(void *user);
	void *user;
};

static struct {
	uv_loop_t loop;
	uv_idle_t idle; /* active only while tasks are queued */
	uv_check_t after_poll;
	uv_prepare_t before_poll;
	struct pn_task *first;
	struct pn_task **last;
	size_t task_count;
	pthread_t thread;
	bool exists;
	uint64_t turn_start_ns;
	uint64_t longest_turn_ns;
	uint64_t shortest_turn_ns;
} here;

static struct {
	bool is_on;
	uint64_t now_ms;
	struct pn_timer *first; /* those that are set */
} simulated;

enum {
	TASKS_BETWEEN_LOOKS = 8,
	LONGEST_TASKS_NS = 5 * 1000 * 1000,
	QUICK_ROUNDS = 4,
	QUICK_TASKS_NS = 50 * 1000,
	KEPT_MEMORY = 8 * 1024 * 1024,
	MAPPED_MEMORY = 2 * 1024 * 1024,
};

static void *allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL)
		abort();
	return memory;
}

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

bool pn_loop_is_here(void)
{
	return here.exists && pthread_equal(here.thread, pthread_self());
}

/* Only as many as are queued by now: a task that queues itself again waits for the next turn, after
 * the sockets had theirs. One at a time, as any of them may cancel another. Where there are very
 * many (ten thousand sessions hear of a change) the sockets have their turn in between. */
static void run_queued(uint64_t begin)
{
	for (size_t left = here.task_count; left > 0 && here.first != NULL; left--) {
		struct pn_task *task = here.first;

		pn_task_cancel(task);
		task->run(task);
		if (left % TASKS_BETWEEN_LOOKS == 0 && uv_hrtime() - begin > LONGEST_TASKS_NS)
			break;
	}
}

static void run_tasks(uv_idle_t *idle)
{
	uint64_t begin = uv_hrtime();
	size_t rounds = 0;

	/* An answer often leads to the next: where that takes no time at all the sockets are not
	 * asked in between. */
	do
		run_queued(begin);
	while (here.first != NULL && ++rounds < QUICK_ROUNDS &&
	       uv_hrtime() - begin < QUICK_TASKS_NS);
	if (here.first == NULL)
		uv_idle_stop(idle);
}

/* libuv calls back for sockets while it polls, so a turn begins with the first that is ready. */
static void note_turn(void)
{
	if (here.turn_start_ns == 0)
		here.turn_start_ns = uv_hrtime();
}

static void turn_begins(uv_check_t *check)
{
	(void)check;
	note_turn();
}

static void turn_ends(uv_prepare_t *prepare)
{
	uint64_t spent = here.turn_start_ns == 0 ? 0 : uv_hrtime() - here.turn_start_ns;

	(void)prepare;
	here.turn_start_ns = 0;
	if (spent > here.longest_turn_ns)
		here.longest_turn_ns = spent;
	if (spent > 0 && (here.shortest_turn_ns == 0 || spent < here.shortest_turn_ns))
		here.shortest_turn_ns = spent;
}

uint64_t pn_loop_longest_turn_ns(void)
{
	uint64_t longest = here.longest_turn_ns;

	here.longest_turn_ns = 0;
	return longest;
}

uint64_t pn_loop_shortest_turn_ns(void)
{
	uint64_t shortest = here.shortest_turn_ns;

	here.shortest_turn_ns = 0;
	return shortest;
}

/* Memory that is free at the end of the heap stays ours for a moment: an arena that happens to lie
 * there would be given back and fetched anew, zeroed by the machine, for each message. What is not
 * used for longer goes back by malloc_trim (core/process/worker.c). */
static void keep_free_memory(void)
{
#ifdef __GLIBC__
	mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY);
	mallopt(M_MMAP_THRESHOLD, MAPPED_MEMORY);
#endif
}

enum pn_status pn_loop_new(struct pn_error *error)
{
	int result = uv_loop_init(&here.loop);

	keep_free_memory();
	if (result != 0)
		return pn_fail(error, "cannot make the event loop: %s", uv_strerror(result));
	here.thread = pthread_self();
	here.last = &here.first;
	here.exists = true;
	uv_idle_init(&here.loop, &here.idle);
	uv_check_init(&here.loop, &here.after_poll);
	uv_check_start(&here.after_poll, turn_begins);
	uv_unref((uv_handle_t *)&here.after_poll);
	uv_prepare_init(&here.loop, &here.before_poll);
	uv_prepare_start(&here.before_poll, turn_ends);
	uv_unref((uv_handle_t *)&here.before_poll);
	return PN_OK;
}

void pn_loop_run(void)
{
	uv_run(&here.loop, UV_RUN_DEFAULT);
}

void pn_loop_stop(void)
{
	uv_stop(&here.loop);
}

static void close_forgotten(uv_handle_t *handle, void *user)
{
	(void)user;
	if (uv_is_closing(handle))
		return;
	if (handle->type == UV_SIGNAL)
		uv_close(handle, free_handle);
	else
		uv_close(handle, NULL);
}

void pn_loop_free(void)
{
	if (!here.exists)
		return;
	uv_walk(&here.loop, close_forgotten, NULL);
	uv_run(&here.loop, UV_RUN_DEFAULT);
	uv_loop_close(&here.loop);
	here.exists = false;
}

void pn_task_queue(struct pn_task *task)
{
	pn_assert_on_loop();
	if (task->is_queued)
		return;
	task->is_queued = true;
	task->next = NULL;
	*here.last = task;
	here.last = &task->next;
	here.task_count++;
	uv_idle_start(&here.idle, run_tasks);
}

void pn_task_queue_first(struct pn_task *task)
{
	pn_assert_on_loop();
	if (task->is_queued)
		return;
	task->is_queued = true;
	task->next = here.first;
	here.first = task;
	if (task->next == NULL)
		here.last = &task->next;
	here.task_count++;
	uv_idle_start(&here.idle, run_tasks);
}

void pn_task_cancel(struct pn_task *task)
{
	struct pn_task **link = &here.first;

	if (!task->is_queued)
		return;
	while (*link != NULL && *link != task)
		link = &(*link)->next;
	if (*link == task) {
		*link = task->next;
		if (here.last == &task->next)
			here.last = link;
		here.task_count--;
	}
	task->is_queued = false;
	task->next = NULL;
}

/* Most timers are moved or stopped before they fire, some for each line of a session: the handle
 * stays where it is in the heap of the loop, and what it was moved to is seen when it fires. */
static void timer_fired(uv_timer_t *handle)
{
	struct pn_timer *timer = (struct pn_timer *)handle;
	uint64_t now = uv_now(&here.loop);

	if (!timer->is_on)
		return;
	if (timer->fires_ms > now) {
		uv_timer_start(&timer->handle, timer_fired, timer->fires_ms - now, 0);
		return;
	}
	timer->is_on = false;
	timer->fired(timer->user);
}

struct pn_timer *pn_timer_new(void (*fired)(void *user), void *user)
{
	struct pn_timer *timer = allocate(sizeof(*timer));

	uv_timer_init(&here.loop, &timer->handle);
	timer->fired = fired;
	timer->user = user;
	return timer;
}

static void set_simulated(struct pn_timer *timer, uint64_t milliseconds)
{
	timer->due_ms = simulated.now_ms + milliseconds;
	if (timer->is_set)
		return;
	timer->is_set = true;
	timer->next = simulated.first;
	simulated.first = timer;
}

static void stop_simulated(struct pn_timer *timer)
{
	struct pn_timer **link = &simulated.first;

	while (*link != NULL && *link != timer)
		link = &(*link)->next;
	if (*link == timer)
		*link = timer->next;
	timer->is_set = false;
}

void pn_timer_set(struct pn_timer *timer, uint64_t milliseconds)
{
	if (simulated.is_on) {
		set_simulated(timer, milliseconds);
		return;
	}
	timer->is_on = true;
	timer->fires_ms = uv_now(&here.loop) + milliseconds;
	if (!uv_is_active((uv_handle_t *)&timer->handle) ||
	    uv_timer_get_due_in(&timer->handle) > milliseconds)
		uv_timer_start(&timer->handle, timer_fired, milliseconds, 0);
	uv_ref((uv_handle_t *)&timer->handle);
}

uint64_t pn_timer_left(const struct pn_timer *timer)
{
	uint64_t now = simulated.is_on ? simulated.now_ms : uv_now(&here.loop);
	uint64_t due = simulated.is_on ? timer->due_ms : timer->fires_ms;

	return (simulated.is_on ? timer->is_set : timer->is_on) && due > now ? due - now : 0;
}

void pn_timer_stop(struct pn_timer *timer)
{
	stop_simulated(timer);
	timer->is_on = false;
	uv_unref((uv_handle_t *)&timer->handle);
}

void pn_timer_free(struct pn_timer **timer)
{
	if (*timer == NULL)
		return;
	pn_timer_stop(*timer);
	uv_close((uv_handle_t *)&(*timer)->handle, free_handle);
	*timer = NULL;
}

void pn_loop_simulate(void)
{
	simulated.is_on = true;
}

uint64_t pn_loop_simulated_ms(void)
{
	return simulated.now_ms;
}

static void run_all_tasks(void)
{
	while (here.first != NULL)
		run_tasks(&here.idle);
}

/* The earliest one that is due by then; the one that was set first where two are. */
static struct pn_timer *next_due(uint64_t until_ms)
{
	struct pn_timer *due = NULL;

	for (struct pn_timer *timer = simulated.first; timer != NULL; timer = timer->next) {
		if (timer->due_ms <= until_ms && (due == NULL || timer->due_ms <= due->due_ms))
			due = timer;
	}
	return due;
}

bool pn_loop_advance(uint64_t milliseconds, bool only_one)
{
	uint64_t until_ms = simulated.now_ms + milliseconds;
	struct pn_timer *timer;
	bool has_fired = false;

	run_all_tasks();
	while ((timer = next_due(until_ms)) != NULL) {
		has_fired = true;
		if (timer->due_ms > simulated.now_ms)
			simulated.now_ms = timer->due_ms;
		stop_simulated(timer);
		timer->fired(timer->user);
		run_all_tasks();
		if (only_one)
			return true;
	}
	simulated.now_ms = only_one ? simulated.now_ms : until_ms;
	uv_run(&here.loop, UV_RUN_NOWAIT); /* what was closed is freed */
	return has_fired;
}

static void watch_ready(uv_poll_t *handle, int status, int events)
{
	struct pn_watch *watch = (struct pn_watch *)handle;
	int ready = 0;

	note_turn();
	/* An error on the descriptor is found by whoever reads or writes it next. */
	if (status < 0) {
		ready = watch->events;
		watch->events = 0; /* libuv has stopped watching: it is asked anew where somebody
		                      wants it */
	}
	if ((events & (UV_READABLE | UV_DISCONNECT)) != 0)
		ready |= PN_WATCH_READ;
	if ((events & UV_WRITABLE) != 0)
		ready |= PN_WATCH_WRITE;
	watch->ready(watch->user, ready);
}

enum pn_status pn_watch_new(int descriptor, void (*ready)(void *user, int events), void *user,
                            struct pn_watch **watch_out, struct pn_error *error)
{
	struct pn_watch *watch = allocate(sizeof(*watch));
	int result = uv_poll_init(&here.loop, &watch->handle, descriptor);

	if (result != 0) {
		free(watch);
		return pn_fail(error, "cannot watch descriptor %d: %s", descriptor,
		               uv_strerror(result));
	}
	watch->descriptor = descriptor;
	watch->ready = ready;
	watch->user = user;
	*watch_out = watch;
	return PN_OK;
}

void pn_watch_set(struct pn_watch *watch, int events)
{
	int wanted = 0;

	if (watch->events == events)
		return;
	watch->events = events;
	if ((events & PN_WATCH_READ) != 0)
		wanted |= UV_READABLE;
	if ((events & PN_WATCH_WRITE) != 0)
		wanted |= UV_WRITABLE;
	if (wanted == 0)
		uv_poll_stop(&watch->handle);
	else
		uv_poll_start(&watch->handle, wanted, watch_ready);
}

int pn_watch_events(const struct pn_watch *watch)
{
	return watch->events;
}

static void watch_closed(uv_handle_t *handle)
{
	struct pn_watch *watch = (struct pn_watch *)handle;

	free(watch);
}

void pn_watch_free(struct pn_watch **watch, bool close_descriptor)
{
	if (*watch == NULL)
		return;
	uv_poll_stop(&(*watch)->handle);
	/* uv_poll_stop took it out of epoll; the number may be used again from here on. */
	if (close_descriptor)
		close((*watch)->descriptor);
	uv_close((uv_handle_t *)&(*watch)->handle, watch_closed);
	*watch = NULL;
}

static void waker_woken(uv_async_t *handle)
{
	struct pn_waker *waker = (struct pn_waker *)handle;

	note_turn();
	waker->woken(waker->user);
}

struct pn_waker *pn_waker_new(void (*woken)(void *user), void *user)
{
	struct pn_waker *waker = allocate(sizeof(*waker));

	uv_async_init(&here.loop, &waker->handle, waker_woken);
	uv_unref((uv_handle_t *)&waker->handle);
	waker->woken = woken;
	waker->user = user;
	return waker;
}

void pn_waker_wake(struct pn_waker *waker)
{
	uv_async_send(&waker->handle);
}

void pn_waker_free(struct pn_waker **waker)
{
	if (*waker == NULL)
		return;
	uv_close((uv_handle_t *)&(*waker)->handle, free_handle);
	*waker = NULL;
}

static void signal_received(uv_signal_t *handle, int number)
{
	struct signal_watch *watch = (struct signal_watch *)handle;

	(void)number;
	watch->received(watch->user);
}

enum pn_status pn_loop_on_signal(int signal_number, void (*received)(void *user), void *user,
                                 struct pn_error *error)
{
	struct signal_watch *watch = allocate(sizeof(*watch));
	int result;

	watch->received = received;
	watch->user = user;
	uv_signal_init(&here.loop, &watch->handle);
	uv_unref((uv_handle_t *)&watch->handle);
	result = uv_signal_start(&watch->handle, signal_received, signal_number);
	if (result != 0)
		return pn_fail(error, "cannot watch signal %d: %s", signal_number,
		               uv_strerror(result));
	return PN_OK;
}

void pn_assert_on_loop(void)
{
	if (!pn_loop_is_here()) {
		fputs("postern: called on a thread that is not the loop's\n", stderr);
		abort();
	}
}

void pn_assert_on_worker(void)
{
	if (pn_loop_is_here()) {
		fputs("postern: blocking work was called on the loop thread\n", stderr);
		abort();
	}
}
