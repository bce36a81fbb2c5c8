/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache_local: counters and small values that the workers of one gateway share. Each
 * worker has a thread for it; what is asked while that thread is busy is done in one
 * go when it is free, so that many requests cost little more than one.
 */
#include "table.h"

#include <postern/cache.h>
#include <postern/clock.h>
#include <postern/job.h>
#include <postern/log.h>
#include <postern/module.h>

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAITING_MAX = 10000 };

struct cache_config {
	uint64_t size;
};

/* A request with its own memory, from the loop to the thread and back. */
struct waiting {
	struct cache_request request; /* first: the list leads to it */
	struct pn_ticket ticket;
	struct pn_cache_value result;
	char room[];
};

struct cache {
	struct cache_table *table;
	struct pn_lane *lane;
	struct cache_request *first; /* that came since the thread began its work */
	struct cache_request **last;
	size_t count;
	bool is_working;
	bool is_failing; /* said already */
};

/* What the thread has in hand. */
struct batch {
	struct cache *cache;
	struct cache_request *requests;
};

static void send_batch(struct cache *cache);

/* `result` lies within the block that is to be freed when it was delivered. */
static void release(void *result)
{
	free((char *)result - offsetof(struct waiting, result));
}

static void answer(struct waiting *waiting, enum pn_status status, const struct pn_error *error)
{
	waiting->result = (struct pn_cache_value){
		.struct_size = sizeof(waiting->result),
		.found = waiting->request.found,
		.value = pn_slice_make(waiting->request.room, waiting->request.size),
		.number = waiting->request.number,
	};
	pn_ticket_answer(waiting->ticket, PN_ANSWER_CUSTOM, status, &waiting->result, release,
	                 error);
}

static enum pn_status work(void *argument, struct pn_error *error)
{
	struct batch *batch = argument;

	return cache_table_work(batch->cache->table, batch->requests, pn_clock_wall_ms(), error);
}

static void done(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct batch *batch = argument;
	struct cache *cache = batch->cache;
	struct cache_request *request = batch->requests;

	if (status != PN_OK && !cache->is_failing)
		pn_log(PN_LOG_ERROR, "cache", "%s",
		       error != NULL ? error->text : "the gateway stops");
	cache->is_failing = status != PN_OK;
	while (request != NULL) {
		struct waiting *waiting = (struct waiting *)request;

		request = request->next;
		answer(waiting, status, error);
	}
	free(batch);
	cache->is_working = false;
	send_batch(cache);
}

static void fail_all(struct cache *cache)
{
	while (cache->first != NULL) {
		struct waiting *waiting = (struct waiting *)cache->first;

		cache->first = waiting->request.next;
		answer(waiting, PN_FAILED, NULL);
	}
	cache->last = &cache->first;
	cache->count = 0;
}

static void send_batch(struct cache *cache)
{
	struct batch *batch;
	struct pn_job job = {
		.struct_size = sizeof(job), .lane = cache->lane, .work = work, .done = done};

	if (cache->first == NULL || cache->is_working)
		return;
	batch = calloc(1, sizeof(*batch));
	if (batch == NULL)
		abort();
	batch->cache = cache;
	batch->requests = cache->first;
	job.argument = batch;
	if (pn_job_submit(&job, (struct pn_ticket){0, 0}) != PN_OK) {
		free(batch);
		fail_all(cache);
		return;
	}
	cache->is_working = true;
	cache->first = NULL;
	cache->last = &cache->first;
	cache->count = 0;
}

/* Takes a request; answers at once where it cannot be. */
static void ask(struct cache *cache, const struct cache_request *wanted, struct pn_ticket ticket)
{
	size_t room = wanted->verb == CACHE_GET ? PN_CACHE_VALUE_MAX : wanted->value.size;
	struct waiting *waiting;
	char *at;

	if (wanted->key.size == 0 || wanted->key.size > PN_CACHE_KEY_MAX ||
	    wanted->value.size > PN_CACHE_VALUE_MAX || cache->count >= WAITING_MAX) {
		pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, PN_LIMIT, NULL, NULL, NULL);
		return;
	}
	waiting = calloc(1, sizeof(*waiting) + wanted->key.size + room);
	if (waiting == NULL)
		abort();
	at = waiting->room;
	waiting->request = *wanted;
	waiting->ticket = ticket;
	memcpy(at, wanted->key.data, wanted->key.size);
	waiting->request.key = pn_slice_make(at, wanted->key.size);
	at += wanted->key.size;
	if (wanted->value.size > 0)
		memcpy(at, wanted->value.data, wanted->value.size);
	waiting->request.value = pn_slice_make(at, wanted->value.size);
	waiting->request.room = at;
	*cache->last = &waiting->request;
	cache->last = &waiting->request.next;
	cache->count++;
	send_batch(cache);
}

static void get(void *instance, struct pn_slice key, struct pn_ticket ticket)
{
	const struct cache_request request = {.verb = CACHE_GET, .key = key};

	ask(instance, &request, ticket);
}

static void set(void *instance, struct pn_slice key, struct pn_slice value, uint64_t lifetime_ms,
                struct pn_ticket ticket)
{
	const struct cache_request request = {.verb = CACHE_SET,
	                                      .key = key,
	                                      .value = value,
	                                      .lifetime_ms = lifetime_ms > 0 ? lifetime_ms : 1};

	ask(instance, &request, ticket);
}

static void add(void *instance, struct pn_slice key, int64_t amount, uint64_t lifetime_ms,
                struct pn_ticket ticket)
{
	const struct cache_request request = {.verb = CACHE_ADD,
	                                      .key = key,
	                                      .amount = amount,
	                                      .lifetime_ms = lifetime_ms > 0 ? lifetime_ms : 1};

	ask(instance, &request, ticket);
}

static void stop(void *instance)
{
	struct cache *cache = instance;

	pn_lane_free(&cache->lane);
	fail_all(cache);
	cache_table_close(&cache->table);
	free(cache);
}

static enum pn_status start(const struct pn_start *begin, void **instance_out,
                            struct pn_error *error)
{
	const struct cache_config *config = begin->config;
	struct cache *cache = calloc(1, sizeof(*cache));
	char directory[PATH_MAX], name[16];
	enum pn_status status = PN_OK;

	if (cache == NULL)
		return pn_fail(error, "out of memory");
	cache->last = &cache->first;
	snprintf(directory, sizeof(directory), "%s/cache", begin->data_directory);
	status = cache_table_open(directory, begin->instance_name, config->size, &cache->table,
	                          error);
	if (status == PN_OK) {
		snprintf(name, sizeof(name), "%.15s", begin->instance_name);
		status = pn_lane_new(name, &cache->lane, error);
	}
	if (status != PN_OK) {
		cache_table_close(&cache->table);
		free(cache);
		return status;
	}
	*instance_out = cache;
	return PN_OK;
}

static const struct pn_cache cache_local_cache = {
	.struct_size = sizeof(cache_local_cache),
	.get = get,
	.set = set,
	.add = add,
};

static const struct pn_option cache_local_options[] = {
	PN_OPTION_SIZE(struct cache_config, size, "64M", .minimum_text = "1M",
                       .maximum_text = "64G",
                       .summary = "The most that its entries take; then those that would go first "
                                  "go at once."),
	PN_OPTION_TABLE_END,
};

PN_MODULE(cache_local, .version = "1.0",
          .summary = "Counters and small values with a lifetime, shared by all workers.",
          .options = cache_local_options, .config_size = sizeof(struct cache_config),
          .cache = &cache_local_cache, .start = start, .stop = stop, );
