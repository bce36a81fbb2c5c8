/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The harness: see harness.h. Lanes and pools are plain threads that put what they
 * have done on one list, which harness_wait() works off on the test's thread.
 */
#include "harness.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <postern/clock.h>
#include <postern/job.h>
#include <postern/log.h>
#include <postern/text.h>
#include <postern/ticket.h>

static const struct pn_module *module;
static char module_file[PATH_MAX];
static void *config;
static struct pn_arena *config_arena;
static char *const *settings_given;
static size_t settings_count;
static struct pn_start start;
static char *data_directory;
static void *instance;
static bool is_running;
static struct pn_arena *arena;
static char error_text[PN_ERROR_TEXT_SIZE];
static atomic_size_t warnings;
static _Atomic int64_t clock_offset_ms;

/* --------------------------------------------------------------------- the world */

static int64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t pn_clock_wall_ms(void)
{
	return read_clock(CLOCK_REALTIME) / 1000000 + clock_offset_ms;
}

uint64_t pn_clock_monotonic_ns(void)
{
	return (uint64_t)(read_clock(CLOCK_MONOTONIC) + clock_offset_ms * 1000000);
}

uint64_t pn_clock_monotonic_ms(void)
{
	return pn_clock_monotonic_ns() / 1000000;
}

void harness_advance(int64_t milliseconds)
{
	clock_offset_ms += milliseconds;
}

void pn_random(void *bytes_out, size_t size)
{
	if (getrandom(bytes_out, size, 0) != (ssize_t)size)
		abort();
}

void pn_log(enum pn_log_level level, const char *what, const char *format, ...)
{
	va_list arguments;

	if (level < PN_LOG_WARNING)
		return;
	warnings++;
	if (getenv("CONFORMANCE_LOG") == NULL)
		return;
	fprintf(stderr, "log: %s: ", what);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

size_t harness_warnings(void)
{
	return warnings;
}

/* -------------------------------------------------------------------------- jobs */

struct work {
	struct pn_job job;
	struct pn_ticket ticket;
	enum pn_status status;
	struct pn_error error;
	struct work *next;
};

struct pn_lane {
	pthread_t thread;
	struct work *first;
	struct work *last;
	bool is_stopping;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t to_do = PTHREAD_COND_INITIALIZER;
static pthread_cond_t was_done = PTHREAD_COND_INITIALIZER;
static struct work *first_done;
static struct work *last_done;
static struct pn_lane *pool;

static void put(struct work **first, struct work **last, struct work *work)
{
	work->next = NULL;
	if (*first == NULL)
		*first = work;
	else
		(*last)->next = work;
	*last = work;
}

static void *run_lane(void *argument)
{
	struct pn_lane *lane = argument;

	pthread_mutex_lock(&mutex);
	for (;;) {
		struct work *work = lane->first;

		if (work == NULL && lane->is_stopping)
			break;
		if (work == NULL) {
			pthread_cond_wait(&to_do, &mutex);
			continue;
		}
		lane->first = work->next;
		pthread_mutex_unlock(&mutex);
		work->status = work->job.work(work->job.argument, &work->error);
		pthread_mutex_lock(&mutex);
		put(&first_done, &last_done, work);
		pthread_cond_signal(&was_done);
	}
	pthread_mutex_unlock(&mutex);
	return NULL;
}

enum pn_status pn_lane_new(const char *name, struct pn_lane **lane_out, struct pn_error *error)
{
	struct pn_lane *lane = calloc(1, sizeof(*lane));

	(void)name;
	(void)error;
	if (lane == NULL || pthread_create(&lane->thread, NULL, run_lane, lane) != 0)
		abort();
	*lane_out = lane;
	return PN_OK;
}

static struct work *take_done(void)
{
	struct work *work;

	pthread_mutex_lock(&mutex);
	work = first_done;
	if (work != NULL)
		first_done = work->next;
	pthread_mutex_unlock(&mutex);
	return work;
}

static bool run_done(void)
{
	struct work *work = take_done();

	if (work == NULL)
		return false;
	if (work->job.done != NULL)
		work->job.done(work->job.argument, work->status, &work->error);
	pn_ticket_answer(work->ticket, PN_ANSWER_JOB, work->status, work->job.argument, NULL,
	                 &work->error);
	free(work);
	return true;
}

void pn_lane_free(struct pn_lane **lane)
{
	pthread_mutex_lock(&mutex);
	(*lane)->is_stopping = true;
	pthread_cond_broadcast(&to_do);
	pthread_mutex_unlock(&mutex);
	pthread_join((*lane)->thread, NULL);
	while (run_done())
		continue;
	free(*lane);
	*lane = NULL;
}

enum pn_status pn_job_submit(const struct pn_job *job, struct pn_ticket ticket)
{
	struct work *work = calloc(1, sizeof(*work));
	struct pn_lane *lane = job->lane;

	if (work == NULL)
		abort();
	work->job = *job;
	work->ticket = ticket;
	if (lane == NULL && pool == NULL && pn_lane_new("pool", &pool, NULL) != PN_OK)
		abort();
	if (lane == NULL)
		lane = pool;
	pthread_mutex_lock(&mutex);
	if (lane->is_stopping) {
		pthread_mutex_unlock(&mutex);
		free(work);
		return PN_LIMIT;
	}
	put(&lane->first, &lane->last, work);
	pthread_cond_broadcast(&to_do);
	pthread_mutex_unlock(&mutex);
	return PN_OK;
}

void harness_wait(const bool *done)
{
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 60;
	while (!*done) {
		if (run_done())
			continue;
		pthread_mutex_lock(&mutex);
		while (first_done == NULL)
			if (pthread_cond_timedwait(&was_done, &mutex, &limit) == ETIMEDOUT) {
				fprintf(stderr, "nothing was answered for a minute\n");
				abort();
			}
		pthread_mutex_unlock(&mutex);
	}
}

void pn_assert_on_loop(void)
{
}

void pn_assert_on_worker(void)
{
}

/* ----------------------------------------------------------------------- tickets */

enum { TICKETS = 64 };

static struct {
	uint32_t generation;
	bool is_open;
	pn_answered_function *answered;
	void *user;
} tickets[TICKETS];

struct pn_ticket pn_ticket_open(struct pn_session *session, pn_answered_function *answered,
                                void *user, uint64_t deadline_ms)
{
	(void)session;
	(void)deadline_ms;
	for (uint32_t slot = 1; slot < TICKETS; slot++) {
		if (tickets[slot].is_open)
			continue;
		tickets[slot].is_open = true;
		tickets[slot].generation++;
		tickets[slot].answered = answered;
		tickets[slot].user = user;
		return (struct pn_ticket){slot, tickets[slot].generation};
	}
	abort();
}

bool pn_ticket_is_open(struct pn_ticket ticket)
{
	return ticket.slot != 0 && ticket.slot < TICKETS && tickets[ticket.slot].is_open &&
	       tickets[ticket.slot].generation == ticket.generation;
}

void pn_ticket_cancel(struct pn_ticket ticket)
{
	if (pn_ticket_is_open(ticket))
		tickets[ticket.slot].is_open = false;
}

bool pn_ticket_answer(struct pn_ticket ticket, enum pn_answer_kind kind, enum pn_status status,
                      void *result, void (*release)(void *result), const struct pn_error *error)
{
	struct pn_answer answer = {.struct_size = sizeof(answer),
	                           .kind = kind,
	                           .ticket = ticket,
	                           .status = status,
	                           .result = result,
	                           .error = error};
	bool is_open = pn_ticket_is_open(ticket);

	if (is_open) {
		tickets[ticket.slot].is_open = false;
		tickets[ticket.slot].answered(tickets[ticket.slot].user, &answer);
	}
	if (release != NULL)
		release(result);
	return is_open;
}

/* ------------------------------------------------------------------------ module */

static void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(2);
}

static void set_option(const struct pn_option *option, const char *text)
{
	struct pn_slice value = pn_slice_of(text);
	void *field = (char *)config + option->field_offset;
	uint64_t number = 0;
	enum pn_status status = PN_OK;

	switch (option->type) {
	case PN_OPTION_TYPE_BOOL:
		*(bool *)field = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;
		break;
	case PN_OPTION_TYPE_COUNT:
		status = pn_parse_count(value, &number);
		*(uint32_t *)field = (uint32_t)number;
		break;
	case PN_OPTION_TYPE_SIZE:
		status = pn_parse_size(value, field);
		break;
	case PN_OPTION_TYPE_DURATION:
		status = pn_parse_duration(value, field);
		break;
	case PN_OPTION_TYPE_STRING:
	case PN_OPTION_TYPE_PATH:
		*(const char **)field = pn_arena_keep_text(config_arena, value);
		break;
	default:
		fail("option %s: this type is not for stores", option->name);
	}
	if (status != PN_OK)
		fail("option %s: cannot read '%s'", option->name, text);
}

static const struct pn_option *find_option(const char *name, size_t size)
{
	const struct pn_option *option = module->options;

	for (; option != NULL && option->type != PN_OPTION_TYPE_END; option++)
		if (strlen(option->name) == size && memcmp(option->name, name, size) == 0)
			return option;
	return NULL;
}

void harness_load(const char *file, char *const *settings, size_t setting_count)
{
	char name[256];
	char symbol[300];
	const char *base = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
	void *handle;

	if (realpath(file, module_file) == NULL)
		fail("cannot find %s", file);
	handle = dlopen(module_file, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL)
		fail("cannot load %s: %s", file, dlerror());
	snprintf(name, sizeof(name), "%s", base);
	if (strrchr(name, '.') != NULL)
		*strrchr(name, '.') = '\0';
	snprintf(symbol, sizeof(symbol), "%s_LTX_pn_module", name);
	module = dlsym(handle, symbol);
	if (module == NULL || module->store == NULL)
		fail("%s is no store module: it has no %s with a store", file, symbol);
	settings_given = settings;
	settings_count = setting_count;
	config_arena = pn_arena_new();
	config = pn_arena_allocate(config_arena, module->config_size);
	for (const struct pn_option *option = module->options;
	     option != NULL && option->type != PN_OPTION_TYPE_END; option++)
		if (option->default_text != NULL)
			set_option(option, option->default_text);
	for (size_t i = 0; i < setting_count; i++) {
		const char *equals = strchr(settings[i], '=');
		const struct pn_option *option =
			equals ? find_option(settings[i], (size_t)(equals - settings[i])) : NULL;

		if (option == NULL)
			fail("%s has no option for '%s'", name, settings[i]);
		set_option(option, equals + 1);
	}
	if (getenv("POSTERN_FAULT") != NULL)
		harness_arm(getenv("POSTERN_FAULT"));
}

const char *harness_directory(void)
{
	return data_directory;
}

enum pn_status harness_start(const char *directory, enum pn_worker_kind kind, unsigned worker,
                             struct pn_error *error)
{
	enum pn_status status;

	free(data_directory);
	data_directory = strdup(directory);
	start = (struct pn_start){.struct_size = sizeof(start),
	                          .instance_name = "store",
	                          .config = config,
	                          .data_directory = data_directory,
	                          .hostname = "test.example",
	                          .worker_kind = kind,
	                          .worker_number = worker};
	instance = NULL;
	status = module->start == NULL ? PN_OK : module->start(&start, &instance, error);
	is_running = status == PN_OK;
	return status;
}

void harness_stop(void)
{
	if (is_running && module->stop != NULL)
		module->stop(instance);
	is_running = false;
	instance = NULL;
}

bool harness_is_running(void)
{
	return is_running;
}

const struct pn_store *harness_entries(void)
{
	return module->store;
}

void *harness_instance(void)
{
	return instance;
}

const char *harness_module_file(void)
{
	return module_file;
}

char *const *harness_settings(size_t *count_out)
{
	*count_out = settings_count;
	return settings_given;
}

/* ----------------------------------------------------------------------- commits */

struct commit *commit_new(void)
{
	struct commit *commit = calloc(1, sizeof(*commit));

	if (commit == NULL)
		abort();
	commit->pn.struct_size = sizeof(commit->pn);
	commit->pn.body_size = sizeof(commit->bodies[0]);
	commit->pn.mutation_size = sizeof(commit->mutations[0]);
	commit->pn.bodies = commit->bodies;
	commit->pn.mutations = commit->mutations;
	commit->pn.arena = pn_arena_new();
	return commit;
}

struct pn_mutation *commit_add(struct commit *commit, enum pn_mutation_kind kind,
                               const char *account)
{
	struct pn_mutation *mutation;

	if (commit->pn.mutation_count == COMMIT_MUTATIONS)
		abort();
	mutation = &commit->mutations[commit->pn.mutation_count++];
	mutation->kind = kind;
	mutation->account = pn_slice_of(account);
	return mutation;
}

size_t commit_body(struct commit *commit, struct pn_slice bytes)
{
	size_t index = commit->pn.body_count++;
	const char *end;

	if (index == COMMIT_BODIES)
		abort();
	commit->pieces[index] = pn_arena_keep(commit->pn.arena, bytes);
	commit->bodies[index].pieces = &commit->pieces[index];
	commit->bodies[index].piece_count = 1;
	end = bytes.size == 0 ? NULL : memmem(bytes.data, bytes.size, "\r\n\r\n", 4);
	commit->bodies[index].header_size =
		end == NULL ? (uint32_t)bytes.size : (uint32_t)(end - bytes.data) + 4;
	return index;
}

size_t commit_writer(struct commit *commit, struct pn_body_writer *writer)
{
	size_t index = commit->pn.body_count++;

	commit->bodies[index].writer = writer;
	return index;
}

void commit_submit(struct commit *commit)
{
	commit->is_done = false;
	module->store->commit(instance, &commit->pn);
}

enum pn_status commit_wait(struct commit *commit)
{
	if (!commit->is_done)
		harness_wait(&commit->is_done);
	return commit->status;
}

void commit_free(struct commit *commit)
{
	for (size_t i = 0; i < commit->pn.body_count; i++)
		if (commit->bodies[i].writer != NULL)
			module->store->body_discard(instance, commit->bodies[i].writer);
	pn_arena_free(&commit->pn.arena);
	free(commit);
}

void pn_commit_done(struct pn_commit *pn, enum pn_status status)
{
	struct commit *commit = (struct commit *)pn;

	if (commit->is_done) {
		fprintf(stderr, "a commit was answered twice\n");
		abort();
	}
	commit->status = status;
	commit->is_done = true;
}

/* --------------------------------------------------------------------- questions */

struct call {
	struct pn_store_call pn;
	enum pn_status status;
	bool is_done;
};

void pn_store_answer(struct pn_store_call *pn, enum pn_status status)
{
	struct call *call = (struct call *)pn;

	call->status = status;
	call->is_done = true;
}

void pn_store_changed(struct pn_instance *changed, struct pn_slice account)
{
	(void)changed;
	(void)account;
}

struct pn_arena *harness_arena(void)
{
	if (arena == NULL)
		arena = pn_arena_new();
	return arena;
}

static enum pn_status finish(struct call *call, enum pn_status status)
{
	if (status == PN_PENDING) {
		harness_wait(&call->is_done);
		status = call->status;
	}
	memcpy(error_text, call->pn.error.text, sizeof(error_text));
	return status;
}

const char *last_error(void)
{
	return error_text;
}

#define ASK(name, entry, request_type, result_type)                                                \
	enum pn_status name(const struct request_type *request, struct result_type *result)        \
	{                                                                                          \
		struct call call = {                                                               \
			.pn = {.struct_size = sizeof(call.pn), .arena = harness_arena()}};         \
		memset(result, 0, sizeof(*result));                                                \
		result->struct_size = sizeof(*result);                                             \
		return finish(&call, module->store->entry(instance, &call.pn, request, result));   \
	}

ASK(ask_accounts, accounts, pn_accounts_request, pn_accounts)
ASK(ask_mailboxes, mailboxes, pn_mailboxes_request, pn_mailboxes)
ASK(ask_view, view, pn_view_request, pn_view)
ASK(ask_rows, rows, pn_rows_request, pn_rows)
ASK(ask_changes, changes, pn_changes_request, pn_changes)
ASK(ask_queue, queue, pn_queue_request, pn_queue_rows)

/* Bodies are read on a thread where the store says that it blocks. */
struct body_job {
	struct call call;
	const struct pn_body_request *request;
	struct pn_body_piece *result;
	const struct pn_bodies_request *bodies_request; /* or NULL */
	struct pn_bodies *bodies_result;
};

static enum pn_status read_body(void *argument, struct pn_error *error)
{
	struct body_job *job = argument;

	(void)error;
	if (job->bodies_request != NULL)
		return module->store->bodies(instance, &job->call.pn, job->bodies_request,
		                             job->bodies_result);
	return module->store->body_read(instance, &job->call.pn, job->request, job->result);
}

static void body_was_read(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct body_job *job = argument;

	(void)error;
	job->call.status = status;
	job->call.is_done = true;
}

static enum pn_status run_body_job(struct body_job *body)
{
	struct pn_job job = {.struct_size = sizeof(job),
	                     .pool = PN_POOL_DISK,
	                     .work = read_body,
	                     .done = body_was_read,
	                     .argument = body};

	body->call.pn.struct_size = sizeof(body->call.pn);
	body->call.pn.arena = harness_arena();
	if (!(module->store->capabilities & PN_STORE_BODIES_BLOCK))
		return finish(&body->call, read_body(body, NULL));
	if (pn_job_submit(&job, (struct pn_ticket){0, 0}) != PN_OK)
		abort();
	return finish(&body->call, PN_PENDING);
}

enum pn_status ask_body(const struct pn_body_request *request, struct pn_body_piece *result)
{
	struct body_job body = {.request = request, .result = result};

	memset(result, 0, sizeof(*result));
	result->struct_size = sizeof(*result);
	return run_body_job(&body);
}

enum pn_status ask_bodies(const struct pn_bodies_request *request, struct pn_bodies *result)
{
	struct body_job body = {.bodies_request = request, .bodies_result = result};

	memset(result, 0, sizeof(*result));
	result->struct_size = sizeof(*result);
	return run_body_job(&body);
}

struct pn_body_writer *writer_new(void)
{
	struct pn_body_writer *writer = NULL;
	struct pn_error error = {0};
	enum pn_status status = module->store->body_new(instance, &writer, &error);

	memcpy(error_text, error.text, sizeof(error_text));
	return status == PN_OK ? writer : NULL;
}

enum pn_status writer_append(struct pn_body_writer *writer, struct pn_slice bytes)
{
	struct pn_error error = {0};
	enum pn_status status = module->store->body_append(instance, writer, bytes, &error);

	memcpy(error_text, error.text, sizeof(error_text));
	return status;
}
