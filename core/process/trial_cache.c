/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of a trial: entries in memory, whose time is the trial's. It answers like
 * any cache, by ticket and later; or not at all, when the spec says so.
 */
#include "process/trial_cache.h"

#include <postern/arena.h>
#include <postern/cache.h>
#include <postern/clock.h>
#include <postern/module.h>
#include <postern/text.h>

#include "session/generation.h"

#include <stdio.h>
#include <string.h>

struct trial_entry {
	struct pn_slice key;
	struct pn_slice value;
	int64_t number;
	bool is_counter;
	int64_t end_ms;
	struct trial_entry *next;
};

static struct {
	struct pn_arena *arena; /* of the case */
	struct trial_entry *entries;
	bool is_broken;
} here;

static struct trial_entry *find(struct pn_slice key)
{
	struct trial_entry *entry = here.entries;

	while (entry != NULL && !pn_slice_equal(entry->key, key))
		entry = entry->next;
	return entry;
}

static struct trial_entry *find_alive(struct pn_slice key)
{
	struct trial_entry *entry = find(key);

	return entry != NULL && entry->end_ms > pn_clock_wall_ms() ? entry : NULL;
}

/* A new life for the entry, which is made where there is none. */
static struct trial_entry *renew(struct pn_slice key, uint64_t lifetime_ms)
{
	struct trial_entry *entry = find(key);

	if (entry == NULL) {
		entry = PN_ARENA_NEW(here.arena, struct trial_entry);
		entry->key = pn_arena_keep(here.arena, key);
		entry->next = here.entries;
		here.entries = entry;
	}
	entry->number = 0;
	entry->is_counter = false;
	entry->end_ms = pn_clock_wall_ms() + (int64_t)lifetime_ms;
	return entry;
}

static void answer(const struct trial_entry *entry, struct pn_ticket ticket)
{
	struct pn_cache_value *value = PN_ARENA_NEW(here.arena, struct pn_cache_value);

	value->struct_size = sizeof(*value);
	if (entry != NULL) {
		value->found = true;
		value->number = entry->number;
		value->value = entry->is_counter
		                       ? pn_slice_of(pn_arena_print(here.arena, "%lld",
		                                                    (long long)entry->number))
		                       : entry->value;
	}
	pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, here.is_broken ? PN_FAILED : PN_OK, value, NULL,
	                 NULL);
}

static void get(void *instance, struct pn_slice key, struct pn_ticket ticket)
{
	(void)instance;
	answer(find_alive(key), ticket);
}

static void set(void *instance, struct pn_slice key, struct pn_slice value, uint64_t lifetime_ms,
                struct pn_ticket ticket)
{
	struct trial_entry *entry = renew(key, lifetime_ms);

	(void)instance;
	entry->value = pn_arena_keep(here.arena, value);
	answer(entry, ticket);
}

static void add(void *instance, struct pn_slice key, int64_t amount, uint64_t lifetime_ms,
                struct pn_ticket ticket)
{
	struct trial_entry *entry = find_alive(key);

	(void)instance;
	if (entry == NULL || !entry->is_counter)
		entry = renew(key, lifetime_ms);
	entry->is_counter = true;
	entry->number += amount;
	answer(entry, ticket);
}

static const struct pn_cache cache = {
	.struct_size = sizeof(cache),
	.get = get,
	.set = set,
	.add = add,
};

const struct pn_instance_use *pn_trial_cache(void)
{
	static const struct pn_module module = {.name = "cache", .cache = &cache};
	static struct pn_instance instance = {.module = &module, .name = "cache"};
	static const struct pn_instance_use use = {.instance = &instance};

	return &use;
}

void pn_trial_cache_begin(struct pn_arena *arena)
{
	memset(&here, 0, sizeof(here));
	here.arena = arena;
}

void pn_trial_cache_break(bool is_broken)
{
	here.is_broken = is_broken;
}
