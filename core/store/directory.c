/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses to accounts. */
#include "store/directory.h"

#include <postern/clock.h>
#include <postern/job.h>
#include <postern/log.h>
#include <postern/text.h>

#include "session/ticket.h"

#include <stdlib.h>

enum { MAX_ALIAS_DEPTH = 8, MAX_TARGETS = 200 };

/* An address on the way to its accounts. */
struct target {
	struct pn_address address;
	unsigned depth; /* aliases it came through */
};

/*
 * One lookup: a list of targets that grows by aliases and is worked off one by one; a directory
 * that blocks is asked in a job, any other at once. The arena is its own: a job may outlive the
 * session that asked.
 */
struct lookup {
	struct pn_generation *generation;
	struct pn_arena *arena;
	struct target targets[MAX_TARGETS];
	size_t target_count;
	size_t next_target;
	struct pn_lookup_account accounts[MAX_TARGETS];
	struct pn_address foreign[MAX_TARGETS];
	struct pn_lookup_result result;

	/* The question to a directory that is under way. */
	struct pn_directory_entry entry;
	enum pn_status status;
	bool in_job; /* a job has all of this */

	struct pn_session *session; /* valid while tickets are */
	struct pn_arena *caller_arena;
	pn_lookup_done_function *done;
	void *user;
	struct pn_ticket ticket;
};

static bool has_account(const struct lookup *lookup, struct pn_slice name)
{
	for (size_t i = 0; i < lookup->result.account_count; i++) {
		if (pn_slice_equal(lookup->accounts[i].name, name))
			return true;
	}
	return false;
}

static const struct pn_instance *store_named(const struct pn_generation *generation,
                                             struct pn_slice name)
{
	for (size_t i = 0; i < generation->instance_count; i++) {
		const struct pn_instance *instance = generation->instances[i].instance;

		if (instance->module->store != NULL &&
		    pn_slice_equal(pn_slice_of(instance->name), name))
			return instance;
	}
	return NULL;
}

static enum pn_lookup_outcome add_account(struct lookup *lookup, const struct pn_domain *domain,
                                          const struct pn_directory_entry *entry)
{
	struct pn_lookup_account *account = &lookup->accounts[lookup->result.account_count];

	if (has_account(lookup, entry->account))
		return PN_LOOKUP_FOUND;
	account->name = entry->account;
	account->quota_bytes = entry->quota_bytes;
	account->store = entry->store.size == 0 ? domain->store
	                                        : (struct pn_instance *)(uintptr_t)store_named(
							  lookup->generation, entry->store);
	if (account->store == NULL) {
		(void)pn_fail(&lookup->result.error,
		              "the account %.*s names a store that is not "
		              "configured",
		              PN_SLICE_ARGS(entry->account));
		return PN_LOOKUP_FAILED;
	}
	lookup->result.account_count++;
	return PN_LOOKUP_FOUND;
}

static enum pn_lookup_outcome add_target(struct lookup *lookup, struct pn_slice text,
                                         unsigned depth)
{
	struct target *target = &lookup->targets[lookup->target_count];

	if (depth > MAX_ALIAS_DEPTH || lookup->target_count == MAX_TARGETS) {
		(void)pn_fail(
			&lookup->result.error,
			"the aliases of this address are nested deeper than %d or lead to more "
			"than %d addresses",
			MAX_ALIAS_DEPTH, MAX_TARGETS);
		return PN_LOOKUP_FAILED;
	}
	if (pn_address_parse(text, true, lookup->arena, &target->address) != PN_OK) {
		(void)pn_fail(&lookup->result.error,
		              "an alias leads to \"%.*s\", which is not an address",
		              PN_SLICE_ARGS(text));
		return PN_LOOKUP_FAILED;
	}
	target->depth = depth;
	lookup->target_count++;
	return PN_LOOKUP_FOUND;
}

/* What a directory said of a target. */
static enum pn_lookup_outcome take_entry(struct lookup *lookup, const struct target *target,
                                         const struct pn_domain *domain)
{
	const struct pn_directory_entry *entry = &lookup->entry;
	enum pn_lookup_outcome outcome = PN_LOOKUP_FOUND;

	if (lookup->status == PN_NOT_FOUND && target->depth == 0)
		return PN_LOOKUP_UNKNOWN;
	/* An alias that leads nowhere is a mistake here, not the sender's. */
	if (lookup->status == PN_NOT_FOUND)
		(void)pn_fail(&lookup->result.error, "an alias leads to %.*s, which does not exist",
		              PN_SLICE_ARGS(target->address.text));
	if (lookup->status != PN_OK)
		return PN_LOOKUP_FAILED;
	if (entry->is_disabled)
		return PN_LOOKUP_DISABLED;
	if (entry->alias_count == 0)
		return add_account(lookup, domain, entry);
	for (size_t i = 0; i < entry->alias_count && outcome == PN_LOOKUP_FOUND; i++)
		outcome = add_target(lookup, entry->aliases_to[i], target->depth + 1);
	return outcome;
}

static const struct pn_domain *domain_of(const struct lookup *lookup, const struct target *target)
{
	return pn_generation_domain(lookup->generation, target->address.domain);
}

/* The address with its domain as the configuration writes it, which is how a directory knows it. */
static struct pn_address as_configured(struct lookup *lookup, const struct pn_address *address,
                                       const struct pn_domain *domain)
{
	struct pn_slice name = pn_slice_of(domain->name);
	struct pn_slice before =
		pn_slice_make(address->text.data, address->text.size - address->domain.size);
	struct pn_address result = *address;

	if (pn_slice_equal_ignore_case(address->domain, name) ||
	    pn_address_parse(pn_slice_of(pn_arena_print(lookup->arena, "%.*s%s",
	                                                PN_SLICE_ARGS(before), domain->name)),
	                     true, lookup->arena, &result) != PN_OK)
		return *address;
	return result;
}

/* Asks the directory of the target that is next: on the loop, or on a worker thread where it
 * blocks. */
static enum pn_status ask_directory(void *argument, struct pn_error *error)
{
	struct lookup *lookup = argument;
	const struct target *target = &lookup->targets[lookup->next_target];
	const struct pn_domain *domain = domain_of(lookup, target);
	const struct pn_instance *instance = domain->directory;
	const struct pn_address address = as_configured(lookup, &target->address, domain);

	(void)error;
	memset(&lookup->entry, 0, sizeof(lookup->entry));
	lookup->entry.struct_size = sizeof(lookup->entry);
	lookup->status = instance->module->directory->lookup(
		instance->state, &address, lookup->arena, &lookup->entry, &lookup->result.error);
	return PN_OK;
}

/* The caller's arena gets copies of what the lookup's own holds. */
static void deliver(struct lookup *lookup)
{
	struct pn_arena *arena = lookup->caller_arena;
	struct pn_lookup_result *result = PN_ARENA_NEW(arena, struct pn_lookup_result);
	struct pn_lookup_account *accounts =
		PN_ARENA_ARRAY(arena, lookup->result.account_count, struct pn_lookup_account);
	struct pn_address *foreign =
		PN_ARENA_ARRAY(arena, lookup->result.foreign_count, struct pn_address);

	*result = lookup->result;
	for (size_t i = 0; i < result->account_count; i++) {
		accounts[i] = lookup->accounts[i];
		accounts[i].name = pn_arena_keep(arena, accounts[i].name);
	}
	for (size_t i = 0; i < result->foreign_count; i++) {
		foreign[i] = lookup->foreign[i];
		foreign[i].text = pn_arena_keep(arena, foreign[i].text);
		foreign[i].local_part = pn_arena_keep(arena, foreign[i].local_part);
		foreign[i].domain = pn_arena_keep(arena, foreign[i].domain);
	}
	result->accounts = accounts;
	result->foreign = foreign;
	if (result->outcome == PN_LOOKUP_FAILED)
		pn_log(PN_LOG_ERROR, "directory", "%s", result->error.text);
	lookup->done(lookup->user, result);
}

/* The job still writes into the lookup, and releases it when it is done: nothing of it is read. */
static void deliver_late(struct lookup *lookup)
{
	struct pn_lookup_result *result =
		PN_ARENA_NEW(lookup->caller_arena, struct pn_lookup_result);

	result->outcome = PN_LOOKUP_FAILED;
	(void)pn_fail(&result->error, "the directory did not answer in time");
	pn_log(PN_LOG_ERROR, "directory", "%s", result->error.text);
	lookup->done(lookup->user, result);
}

static void release(struct lookup *lookup)
{
	struct pn_arena *arena = lookup->arena;

	pn_generation_drop(&lookup->generation);
	pn_arena_free(&arena);
}

/* After an answer was delivered, or found its ticket stale: unless it asked again, it is over. */
static void release_unless_asking(void *pointer)
{
	struct lookup *lookup = pointer;

	if (!lookup->in_job)
		release(lookup);
}

static void advance(struct lookup *lookup);

static void answered(void *user, const struct pn_answer *answer)
{
	struct lookup *lookup = user;

	if (answer->kind == PN_ANSWER_TIMER)
		deliver_late(lookup);
	else
		advance(lookup);
}

static void job_done(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct lookup *lookup = argument;

	(void)error;
	if (status != PN_OK)
		lookup->status = PN_FAILED;
	lookup->in_job = false;
	pn_ticket_answer(lookup->ticket, PN_ANSWER_JOB, PN_OK, lookup, release_unless_asking, NULL);
}

static bool ask_in_job(struct lookup *lookup)
{
	const struct pn_job job = {
		.struct_size = sizeof(job),
		.pool = PN_POOL_MODULE,
		.work = ask_directory,
		.done = job_done,
		.argument = lookup,
	};

	lookup->ticket = pn_ticket_open(lookup->session, answered, lookup,
	                                lookup->generation->store_deadline_ms);
	pn_ticket_set_owner(lookup->ticket, lookup->caller_arena);
	lookup->in_job = true;
	if (pn_job_submit(&job, (struct pn_ticket){0, 0}) == PN_OK)
		return true;
	lookup->in_job = false;
	pn_ticket_cancel(lookup->ticket);
	lookup->status = pn_fail(&lookup->result.error, "too many lookups wait");
	return false;
}

/* The target that is next was asked about (or needs no asking): what it adds to the result. */
static void settle_target(struct lookup *lookup)
{
	const struct target *target = &lookup->targets[lookup->next_target++];
	const struct pn_domain *domain = domain_of(lookup, target);

	if (domain != NULL) {
		lookup->result.outcome = take_entry(lookup, target, domain);
		return;
	}
	lookup->foreign[lookup->result.foreign_count++] = target->address;
	if (target->depth == 0)
		lookup->result.outcome = PN_LOOKUP_FOREIGN;
}

/* Works the list off; comes back here after each job, with the answer to the target that is next.
 */
static void advance(struct lookup *lookup)
{
	bool has_answer = lookup->status != PN_PENDING;

	while (lookup->result.outcome == PN_LOOKUP_FOUND &&
	       lookup->next_target < lookup->target_count) {
		const struct pn_domain *domain =
			domain_of(lookup, &lookup->targets[lookup->next_target]);

		if (domain != NULL && !has_answer) {
			lookup->status = PN_PENDING;
			if (!domain->directory->module->directory->blocks)
				(void)ask_directory(lookup, NULL);
			else if (ask_in_job(lookup))
				return;
		}
		settle_target(lookup);
		has_answer = false;
	}
	deliver(lookup);
}

void pn_directory_find(struct pn_session *session, struct pn_generation *generation,
                       const struct pn_address *address, struct pn_arena *arena,
                       pn_lookup_done_function *done, void *user)
{
	struct pn_arena *own = pn_arena_new();
	struct lookup *lookup = PN_ARENA_NEW(own, struct lookup);
	struct pn_address *first = &lookup->targets[0].address;

	lookup->arena = own;
	lookup->generation = pn_generation_keep(generation);
	lookup->result.accounts = lookup->accounts;
	lookup->result.foreign = lookup->foreign;
	lookup->status = PN_PENDING;
	first->text = pn_arena_keep(own, address->text);
	first->local_part = pn_arena_keep(own, address->local_part);
	first->domain = pn_arena_keep(own, address->domain);
	first->is_utf8 = address->is_utf8;
	lookup->target_count = 1;
	lookup->session = session;
	lookup->caller_arena = arena;
	lookup->done = done;
	lookup->user = user;
	advance(lookup);
	release_unless_asking(lookup);
}
