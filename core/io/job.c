/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs: pools of threads and lanes, one way in and one way back. A queue of work
 * is a list under a mutex; what is done goes to one list and wakes the loop once.
 * The threads of a pool start when the first job comes.
 */
#include "io/job.h"

#include <postern/job.h>

#include "io/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WAITING = 20000, MAX_THREADS = 4 };

struct job_entry {
	struct pn_job job;
	struct pn_ticket ticket;
	enum pn_status status;
	struct pn_error error;
	void *note; /* of the witness */
	struct job_entry *next;
};

struct work_queue {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct job_entry *first;
	struct job_entry **last;
	size_t count; /* jobs that wait */
	size_t busy;  /* threads that are at one */
	bool is_stopping;
	size_t thread_count;
	size_t thread_limit;
	pthread_t threads[MAX_THREADS];
	char name[16];
};

struct pn_lane {
	struct work_queue queue;
};

static struct {
	struct work_queue pools[3];
	pthread_mutex_t mutex;
	struct job_entry *first; /* done, to be told */
	struct job_entry **last;
	struct pn_waker *waker;
	bool exists;
} jobs = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void *take_nothing(void)
{
	return NULL;
}

static void ignore_note(void *note)
{
	(void)note;
}

static void ignore(void)
{
}

struct pn_job_witness pn_job_witness = {take_nothing, ignore_note, ignore, ignore_note,
                                        ignore_note};

static void queue_init(struct work_queue *queue, const char *name, size_t thread_limit)
{
	memset(queue, 0, sizeof(*queue)); /* it may have been stopped before */
	pthread_mutex_init(&queue->mutex, NULL);
	pthread_cond_init(&queue->changed, NULL);
	queue->last = &queue->first;
	queue->thread_limit = thread_limit;
	strncpy(queue->name, name, sizeof(queue->name) - 1);
}

static void give_back(struct job_entry *entry)
{
	bool was_empty;

	pthread_mutex_lock(&jobs.mutex);
	was_empty = jobs.first == NULL;
	entry->next = NULL;
	*jobs.last = entry;
	jobs.last = &entry->next;
	pthread_mutex_unlock(&jobs.mutex);
	if (was_empty)
		pn_waker_wake(jobs.waker);
}

static struct job_entry *take(struct work_queue *queue, bool was_busy)
{
	struct job_entry *entry;

	pthread_mutex_lock(&queue->mutex);
	queue->busy -= was_busy;
	while (queue->first == NULL && !queue->is_stopping)
		pthread_cond_wait(&queue->changed, &queue->mutex);
	entry = queue->first;
	if (entry != NULL) {
		queue->first = entry->next;
		if (queue->first == NULL)
			queue->last = &queue->first;
		queue->count--;
		queue->busy++;
	}
	pthread_mutex_unlock(&queue->mutex);
	return entry;
}

static void *run_thread(void *argument)
{
	struct work_queue *queue = argument;
	struct job_entry *entry;

	pthread_setname_np(pthread_self(), queue->name);
	for (bool was_busy = false; (entry = take(queue, was_busy)) != NULL; was_busy = true) {
		pn_job_witness.begins(entry->note);
		entry->status = entry->job.work(entry->job.argument, &entry->error);
		pn_job_witness.ended();
		give_back(entry);
	}
	return NULL;
}

static enum pn_status start_thread(struct work_queue *queue)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
	sigset_t all;
	sigset_t before;
	int result;

	/* Signals belong to the loop thread; but those of a fault are of who made it. */
	sigfillset(&all);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	result = pthread_create(&queue->threads[queue->thread_count], NULL, run_thread, queue);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result != 0)
		return PN_FAILED;
	queue->thread_count++;
	return PN_OK;
}

static void tell_done(void *user)
{
	struct job_entry *entry;

	(void)user;
	pthread_mutex_lock(&jobs.mutex);
	entry = jobs.first;
	jobs.first = NULL;
	jobs.last = &jobs.first;
	pthread_mutex_unlock(&jobs.mutex);
	while (entry != NULL) {
		struct job_entry *next = entry->next;
		const struct pn_error *error = entry->status == PN_OK ? NULL : &entry->error;

		pn_job_witness.telling(entry->note);
		if (entry->job.done != NULL)
			entry->job.done(entry->job.argument, entry->status, error);
		pn_job_witness.told(entry->note);
		pn_ticket_answer(entry->ticket, PN_ANSWER_JOB, entry->status, entry->job.argument,
		                 NULL, error);
		free(entry);
		entry = next;
	}
}

void pn_jobs_start(void)
{
	if (jobs.exists)
		return;
	queue_init(&jobs.pools[PN_POOL_MODULE], "module", 2);
	queue_init(&jobs.pools[PN_POOL_DISK], "disk", 4);
	queue_init(&jobs.pools[PN_POOL_PASSWORD], "password", 2);
	jobs.last = &jobs.first;
	jobs.waker = pn_waker_new(tell_done, NULL);
	jobs.exists = true;
}

static void queue_stop(struct work_queue *queue)
{
	pthread_mutex_lock(&queue->mutex);
	queue->is_stopping = true;
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->mutex);
	for (size_t i = 0; i < queue->thread_count; i++)
		pthread_join(queue->threads[i], NULL);
	queue->thread_count = 0;
}

void pn_jobs_finish(void)
{
	if (!jobs.exists)
		return;
	for (size_t i = 0; i < sizeof(jobs.pools) / sizeof(jobs.pools[0]); i++)
		queue_stop(&jobs.pools[i]);
	tell_done(NULL);
}

void pn_jobs_stop(void)
{
	if (!jobs.exists)
		return;
	pn_jobs_finish();
	pn_waker_free(&jobs.waker);
	jobs.exists = false;
}

enum pn_status pn_job_submit(const struct pn_job *job, struct pn_ticket ticket)
{
	struct work_queue *queue = job->lane != NULL ? &job->lane->queue : &jobs.pools[job->pool];
	struct job_entry *entry;

	pn_assert_on_loop();
	pthread_mutex_lock(&queue->mutex);
	if (queue->count >= MAX_WAITING || queue->is_stopping ||
	    (queue->thread_count < queue->thread_limit &&
	     queue->count + queue->busy >= queue->thread_count && start_thread(queue) != PN_OK &&
	     queue->thread_count == 0)) {
		pthread_mutex_unlock(&queue->mutex);
		return PN_LIMIT;
	}
	entry = calloc(1, sizeof(*entry));
	if (entry == NULL)
		abort();
	entry->job = *job;
	entry->ticket = ticket;
	entry->note = pn_job_witness.take();
	*queue->last = entry;
	queue->last = &entry->next;
	queue->count++;
	pthread_mutex_unlock(&queue->mutex);
	pthread_cond_signal(&queue->changed); /* who wakes up finds the mutex free */
	return PN_OK;
}

enum pn_status pn_lane_new(const char *name, struct pn_lane **lane_out, struct pn_error *error)
{
	struct pn_lane *lane = calloc(1, sizeof(*lane));

	if (lane == NULL)
		abort();
	pn_jobs_start();
	queue_init(&lane->queue, name, 1);
	if (start_thread(&lane->queue) != PN_OK) {
		free(lane);
		return pn_fail(error, "cannot start a thread for %s", name);
	}
	*lane_out = lane;
	return PN_OK;
}

void pn_lane_free(struct pn_lane **lane)
{
	if (*lane == NULL)
		return;
	queue_stop(&(*lane)->queue);
	tell_done(NULL);
	pthread_mutex_destroy(&(*lane)->queue.mutex);
	pthread_cond_destroy(&(*lane)->queue.changed);
	free(*lane);
	*lane = NULL;
}
