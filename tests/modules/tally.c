/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tally: a cache for tests, in the memory of one worker, and a hook that counts the
 * hellos of names that begin with "tally" in it: the third is refused.
 */
#include <postern/arena.h>
#include <postern/cache.h>
#include <postern/clock.h>
#include <postern/module.h>
#include <postern/session.h>
#include <postern/text.h>

#include <stdlib.h>
#include <string.h>

enum { ROWS = 64 };

struct tally_row {
	char key[PN_CACHE_KEY_MAX];
	size_t key_size;
	int64_t number;
	char value[PN_CACHE_VALUE_MAX];
	size_t value_size;
	uint64_t ends_ms;
};

struct tally {
	struct tally_row rows[ROWS];
	size_t next;
};

static struct tally_row *find(struct tally *tally, struct pn_slice key)
{
	for (size_t i = 0; i < ROWS; i++) {
		struct tally_row *row = &tally->rows[i];

		if (row->ends_ms > pn_clock_monotonic_ms() &&
		    pn_slice_equal(pn_slice_make(row->key, row->key_size), key))
			return row;
	}
	return NULL;
}

static struct tally_row *make(struct tally *tally, struct pn_slice key, uint64_t lifetime_ms)
{
	struct tally_row *row = find(tally, key);

	if (row == NULL) {
		row = &tally->rows[tally->next++ % ROWS];
		memset(row, 0, sizeof(*row));
		memcpy(row->key, key.data, key.size);
		row->key_size = key.size;
		row->ends_ms = pn_clock_monotonic_ms() + lifetime_ms;
	}
	return row;
}

static void answer(struct pn_ticket ticket, const struct tally_row *row)
{
	struct pn_cache_value *value = calloc(1, sizeof(*value) + PN_CACHE_VALUE_MAX);

	if (value == NULL)
		abort();
	value->struct_size = sizeof(*value);
	value->found = row != NULL;
	if (row != NULL) {
		memcpy(value + 1, row->value, row->value_size);
		value->value = pn_slice_make((const char *)(value + 1), row->value_size);
		value->number = row->number;
	}
	pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, PN_OK, value, free, NULL);
}

static bool is_too_large(struct pn_slice key, struct pn_slice value, struct pn_ticket ticket)
{
	if (key.size <= PN_CACHE_KEY_MAX && value.size <= PN_CACHE_VALUE_MAX)
		return false;
	pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, PN_LIMIT, NULL, NULL, NULL);
	return true;
}

static void get(void *instance, struct pn_slice key, struct pn_ticket ticket)
{
	answer(ticket, find(instance, key));
}

static void set(void *instance, struct pn_slice key, struct pn_slice value, uint64_t lifetime_ms,
                struct pn_ticket ticket)
{
	struct tally_row *row;

	if (is_too_large(key, value, ticket))
		return;
	row = make(instance, key, lifetime_ms);
	memcpy(row->value, value.data, value.size);
	row->value_size = value.size;
	answer(ticket, row);
}

static void add(void *instance, struct pn_slice key, int64_t amount, uint64_t lifetime_ms,
                struct pn_ticket ticket)
{
	struct tally_row *row;

	if (is_too_large(key, PN_SLICE(""), ticket))
		return;
	row = make(instance, key, lifetime_ms);
	row->number += amount;
	answer(ticket, row);
}

static const struct pn_cache tally_cache = {
	.struct_size = sizeof(struct pn_cache),
	.get = get,
	.set = set,
	.add = add,
};

/* ---- the hook ---- */

struct counting {
	const struct pn_stage_call *call;
	struct pn_ticket ticket;
};

static void counted(void *user, const struct pn_answer *given)
{
	const struct counting *counting = user;
	const struct pn_cache_value *value = given->result;
	enum pn_verdict verdict = PN_VERDICT_CONTINUE;

	if (!pn_ticket_is_open(counting->ticket))
		return;
	if (given->status != PN_OK)
		verdict = pn_hook_failed(counting->call, "the cache did not answer");
	else if (value->number > 2)
		verdict = pn_refuse(counting->call, 450, "4.7.1", "hello number %lld",
		                    (long long)value->number);
	pn_hook_answer(counting->call, verdict);
}

static enum pn_verdict count(const struct pn_stage_call *call)
{
	struct pn_slice hello = pn_session_hello(call->session);
	struct counting *counting;

	if (hello.size < 5 || memcmp(hello.data, "tally", 5) != 0)
		return PN_VERDICT_CONTINUE;
	counting = PN_ARENA_NEW(pn_session_arena(call->session), struct counting);
	*counting = (struct counting){call, call->ticket};
	add(call->instance, hello, 1, 60000,
	    pn_ticket_open(call->session, counted, counting, 1000));
	return PN_VERDICT_PENDING;
}

static const struct pn_hook tally_hooks[] = {
	{.stage = PN_STAGE_CLIENT_HELLO, .run = count, .summary = "Counts hellos."},
	{.stage = PN_STAGE_NONE},
};

static enum pn_status start(const struct pn_start *begin, void **instance_out,
                            struct pn_error *error)
{
	(void)begin;
	(void)error;
	*instance_out = calloc(1, sizeof(struct tally));
	if (*instance_out == NULL)
		abort();
	return PN_OK;
}

static void stop(void *instance)
{
	free(instance);
}

PN_MODULE(tally, .version = "1.0", .summary = "Counts in the memory of one worker.",
          .cache = &tally_cache, .hooks = tally_hooks, .start = start, .stop = stop, );
