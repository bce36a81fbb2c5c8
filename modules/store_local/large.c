/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutations of very many messages: in steps, each an index transaction of about
 * ten milliseconds, so that nobody waits long for the lock. Between two steps the
 * other commits of this worker have their turn (commit.c), and other processes a
 * moment to take the lock, which is not fair.
 *
 * Flags and expunges are made step by step. A copy becomes visible in one
 * transaction, but has taken its references to bodies, which is most of the work,
 * in steps before.
 */
#include "store_local.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* So long the lock is left to others after each step: a part of what the step took. */
enum { PAUSE_LEAST_US = 500, PAUSE_MOST_US = 5000, PAUSE_PART = 4 };

struct large {
	struct local_store *store;
	struct pn_commit *commit;
	struct pn_mutation mutation; /* with the UIDs that are left */
	struct pn_uid_set all;       /* of a copy: those it is about */
	struct pn_mutation_result total;
	struct uid_list touched; /* of all steps */
	struct uid_list modified;
	struct slice slice;
	enum pn_status status; /* PN_PENDING while there is more to do */
	size_t steps;
	uint64_t last_step_ns;
	struct large *next;
};

static const struct pn_uid_range all_uids = {1, UINT32_MAX};

/* Renaming INBOX moves its messages. */
static bool is_copy(const struct large *large)
{
	return large->mutation.kind == PN_MUTATION_COPY ||
	       large->mutation.kind == PN_MUTATION_MOVE ||
	       large->mutation.kind == PN_MUTATION_MAILBOX_RENAME;
}

/* How many messages are in the mailbox: a set may name far more. Loop. */
static uint64_t messages_in(struct local_store *store, const struct pn_mutation *mutation)
{
	struct pn_arena *arena = pn_arena_new();
	struct index_access access = {.store = store, .index = &store->index, .arena = arena};
	struct mailbox *mailbox = PN_ARENA_NEW(arena, struct mailbox);
	struct account account;
	uint64_t count = 0;

	if (index_begin(&access, false) == PN_OK) {
		/* One that was expunged counts too as long as it may be kept. */
		if (account_load(&access, mutation->account, &account) == PN_OK &&
		    mailbox_load(&access, account.id, mutation->mailbox, mailbox) == PN_OK)
			count = mutation->kind == PN_MUTATION_FLAGS ? mailbox->row.uid_next
			                                            : mailbox->row.message_count;
		if (mutation->kind == PN_MUTATION_MAILBOX_RENAME &&
		    !mailbox_is_inbox(mailbox_name(mailbox)))
			count = 0;
		index_abort(&access);
	}
	pn_arena_free(&arena);
	return count;
}

bool large_is(struct local_store *store, const struct pn_commit *commit)
{
	const struct pn_mutation *mutation;

	if (commit->mutation_count != 1 || commit->body_count != 0)
		return false;
	mutation = commit_mutation(commit, 0);
	switch (mutation->kind) {
	case PN_MUTATION_FLAGS:
	case PN_MUTATION_EXPUNGE:
	case PN_MUTATION_COPY:
	case PN_MUTATION_MOVE:
		if (pn_uid_set_count(mutation->uids) <= LOCAL_LARGE_ROWS)
			return false;
		break;
	case PN_MUTATION_MAILBOX_RENAME:
		break;
	default:
		return false;
	}
	return mutation->mailbox != 0 && messages_in(store, mutation) > LOCAL_LARGE_ROWS;
}

/* -------------------------------------------------------------------- one step */

static void pause_before(const struct large *large)
{
	uint64_t pause_us = large->last_step_ns / 1000 / PAUSE_PART;
	struct timespec pause;

	if (large->steps == 0)
		return;
	if (pause_us < PAUSE_LEAST_US)
		pause_us = PAUSE_LEAST_US;
	if (pause_us > PAUSE_MOST_US)
		pause_us = PAUSE_MOST_US;
	pause = (struct timespec){.tv_nsec = (long)pause_us * 1000};
	nanosleep(&pause, NULL);
}

/* A set of one's own, which may be cut. */
static struct pn_uid_set copy_set(struct pn_arena *arena, struct pn_uid_set set)
{
	struct pn_uid_range *ranges = PN_ARENA_ARRAY(arena, set.count, struct pn_uid_range);

	if (set.count != 0)
		memcpy(ranges, set.ranges, set.count * sizeof(*ranges));
	return (struct pn_uid_set){ranges, set.count};
}

/* The set without what is below `first`; in place, as steps and ranges may both be many. */
static void cut_set(struct pn_uid_set *set, uint32_t first)
{
	while (set->count != 0 && set->ranges[0].last < first) {
		set->ranges++;
		set->count--;
	}
	if (set->count != 0 && set->ranges[0].first < first)
		((struct pn_uid_range *)(uintptr_t)set->ranges)->first = first;
}

static void add_set(struct uid_list *list, struct pn_uid_set set)
{
	for (size_t i = 0; i < set.count; i++)
		uid_list_add(list, set.ranges[i].first, set.ranges[i].last);
}

/* Messages that come while it is under way are none of its business. */
static enum pn_status limit_uids(struct large *large)
{
	struct local_store *store = large->store;
	struct pn_commit *commit = large->commit;
	struct index_access access = {.store = store,
	                              .index = &store->index,
	                              .error = &commit->error,
	                              .arena = commit->arena};
	struct mailbox *mailbox = PN_ARENA_NEW(commit->arena, struct mailbox);
	struct account account;
	enum pn_status status = index_begin(&access, false);

	if (status != PN_OK)
		return status;
	status = account_load(&access, large->mutation.account, &account);
	if (status == PN_OK)
		status = mailbox_load(&access, account.id, large->mutation.mailbox, mailbox);
	index_abort(&access);
	if (status == PN_OK)
		large->all = uid_set_up_to(commit->arena, large->mutation.uids,
		                           mailbox->row.uid_next - 1);
	large->mutation.uids = copy_set(commit->arena, large->all);
	return status;
}

static void add_result(struct large *large, const struct pn_mutation_result *result)
{
	struct pn_mutation_result *total = &large->total;

	*total = *result;
	add_set(&large->touched, result->uids);
	add_set(&large->modified, result->modified);
}

/* What was done before this step stays, whatever became of it. */
static enum pn_status judge(const struct large *large, enum pn_status status)
{
	bool has_changed = large->steps != 0 && !is_copy(large);

	return status != PN_OK && has_changed ? PN_FAILED : status;
}

static enum pn_status take_step(struct large *large)
{
	struct pn_commit step = *large->commit;
	struct part part = {.commit = &step, .slice = &large->slice, .status = PN_PENDING};
	struct group group = {.store = large->store, .parts = &part, .count = 1};
	struct slice *slice = &large->slice;
	bool was_holding = slice->is_holding;

	step.mutations = &large->mutation;
	step.mutation_size = sizeof(large->mutation);
	slice->held_before = slice->held_count;
	slice->entries_before = slice->entry_count;
	group_index(&group);
	if (part.status != PN_OK) {
		large->commit->error = step.error;
		return judge(large, part.status);
	}
	if (slice->next_uid != 0) {
		cut_set(&large->mutation.uids, slice->next_uid);
	} else if (was_holding) {
		slice->is_holding = false;
		large->mutation.uids = large->all;
	}
	if (!was_holding)
		add_result(large, step.results);
	return was_holding || slice->next_uid != 0 ? PN_PENDING : PN_OK;
}

/* What it took is cleared away soon, and not only after an hour. */
static void give_back(struct large *large)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_error error = {0};
	struct index_access access = {.store = large->store,
	                              .index = &large->store->index,
	                              .error = &error,
	                              .arena = arena,
	                              .now_ms = pn_clock_wall_ms()};
	enum pn_status status = index_begin(&access, true);

	if (status == PN_OK)
		status = copy_give_back(&access, &large->slice);
	if (status == PN_OK)
		status = index_commit(&access);
	index_abort(&access);
	if (status != PN_OK)
		pn_log(PN_LOG_WARNING, "store.index", "a copy is cleared away later: %s",
		       error.text);
	pn_arena_free(&arena);
}

static enum pn_status run_step(void *argument, struct pn_error *error)
{
	struct large *large = argument;
	uint64_t started_ns;
	enum pn_status status = PN_OK;

	(void)error;
	pause_before(large);
	pn_fault("store.commit.before", &(int){0});
	started_ns = pn_clock_monotonic_ns();
	if (large->steps == 0)
		status = limit_uids(large);
	if (status == PN_OK)
		status = take_step(large);
	if (status != PN_OK && status != PN_PENDING && large->slice.entry_count != 0)
		give_back(large);
	large->status = status;
	large->steps++;
	large->last_step_ns = pn_clock_monotonic_ns() - started_ns;
	pn_fault("store.commit.after", &(int){0});
	return PN_OK;
}

/* ------------------------------------------------------------------------- loop */

static void append_to_list(struct local_store *store, struct large *large)
{
	large->next = NULL;
	if (store->last_large == NULL)
		store->first_large = large;
	else
		store->last_large->next = large;
	store->last_large = large;
}

static void answer(struct large *large)
{
	struct pn_commit *commit = large->commit;
	enum pn_status status = large->status;

	commit->results = PN_ARENA_NEW(commit->arena, struct pn_mutation_result);
	*commit->results = large->total;
	commit->results->uids = uid_list_set(commit->arena, &large->touched);
	commit->results->modified = uid_list_set(commit->arena, &large->modified);
	free(large->slice.held);
	free(large->slice.entries);
	free(large);
	pn_commit_done(commit, status);
}

static void step_done(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct large *large = argument;
	struct local_store *store = large->store;

	store->is_committing = false;
	if (status != PN_OK) {
		large->status = PN_FAILED;
		if (error != NULL)
			large->commit->error = *error;
	}
	if (large->status == PN_PENDING)
		append_to_list(store, large);
	else
		answer(large);
	commit_go_on(store);
}

void large_start(struct local_store *store)
{
	struct large *large = store->first_large;
	struct pn_job job = {.struct_size = sizeof(job),
	                     .lane = store->lane,
	                     .work = run_step,
	                     .done = step_done,
	                     .argument = large};
	struct pn_error error = {0};

	store->first_large = large->next;
	if (store->first_large == NULL)
		store->last_large = NULL;
	if (pn_job_submit(&job, (struct pn_ticket){0, 0}) == PN_OK)
		return;
	pn_fail(&error, "the commit lane takes no more work");
	step_done(large, PN_FAILED, &error);
}

void large_add(struct local_store *store, struct pn_commit *commit)
{
	struct large *large = calloc(1, sizeof(*large));

	if (large == NULL)
		abort();
	large->store = store;
	large->commit = commit;
	large->mutation = *commit_mutation(commit, 0);
	if (large->mutation.kind == PN_MUTATION_MAILBOX_RENAME)
		large->mutation.uids = (struct pn_uid_set){&all_uids, 1};
	large->slice.is_holding = is_copy(large);
	large->status = PN_PENDING;
	append_to_list(store, large);
	commit_go_on(store);
}
