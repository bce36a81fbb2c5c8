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

/* The work of one lookup. Its arena is its own: a job may outlive the session that asked. */
struct lookup {
	struct pn_generation *generation;
	struct pn_arena *arena;
	struct pn_address address;
	struct pn_lookup_account accounts[MAX_TARGETS];
	struct pn_address foreign[MAX_TARGETS];
	struct pn_lookup_result result;

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
	account->store = entry->store.size == 0
				 ? domain->store
				 : (struct pn_instance *)(uintptr_t)store_named(lookup->generation,
										entry->store);
	if (account->store == NULL) {
		(void)pn_fail(&lookup->result.error, "the account %.*s names a store that is not "
						     "configured",
			      PN_SLICE_ARGS(entry->account));
		return PN_LOOKUP_FAILED;
	}
	lookup->result.account_count++;
	return PN_LOOKUP_FOUND;
}

/* One address, and where its aliases lead. On the loop or on a worker thread. */
static enum pn_lookup_outcome resolve(struct lookup *lookup, const struct pn_address *address,
				      unsigned depth)
{
	const struct pn_domain *domain =
		pn_generation_domain(lookup->generation, address->domain);
	struct pn_directory_entry entry = { .struct_size = sizeof(entry) };
	const struct pn_directory *directory;

	if (depth > MAX_ALIAS_DEPTH ||
	    lookup->result.account_count + lookup->result.foreign_count == MAX_TARGETS) {
		(void)pn_fail(&lookup->result.error,
			      "the aliases of this address are nested deeper than %d or lead to more "
			      "than %d addresses",
			      MAX_ALIAS_DEPTH, MAX_TARGETS);
		return PN_LOOKUP_FAILED;
	}
	if (domain == NULL) {
		lookup->foreign[lookup->result.foreign_count++] = *address;
		return PN_LOOKUP_FOREIGN;
	}
	directory = domain->directory->module->directory;
	switch (directory->lookup(domain->directory->state, address, lookup->arena, &entry,
				  &lookup->result.error)) {
	case PN_OK:
		break;
	case PN_NOT_FOUND:
		return PN_LOOKUP_UNKNOWN;
	default:
		return PN_LOOKUP_FAILED;
	}
	if (entry.is_disabled)
		return PN_LOOKUP_DISABLED;
	if (entry.alias_count == 0)
		return add_account(lookup, domain, &entry);
	for (size_t i = 0; i < entry.alias_count; i++) {
		struct pn_address *target = PN_ARENA_NEW(lookup->arena, struct pn_address);
		enum pn_lookup_outcome outcome;

		if (pn_address_parse(entry.aliases_to[i], true, lookup->arena, target) != PN_OK) {
			(void)pn_fail(&lookup->result.error, "an alias leads to \"%.*s\", which is "
							     "not an address",
				      PN_SLICE_ARGS(entry.aliases_to[i]));
			return PN_LOOKUP_FAILED;
		}
		outcome = resolve(lookup, target, depth + 1);
		/* An alias that leads nowhere is a mistake here, not the sender's. */
		if (outcome == PN_LOOKUP_UNKNOWN)
			(void)pn_fail(&lookup->result.error, "an alias leads to %.*s, which does "
							     "not exist",
				      PN_SLICE_ARGS(target->text));
		if (outcome != PN_LOOKUP_FOUND && outcome != PN_LOOKUP_FOREIGN)
			return PN_LOOKUP_FAILED;
	}
	return PN_LOOKUP_FOUND;
}

static enum pn_status look_up(void *argument, struct pn_error *error)
{
	struct lookup *lookup = argument;

	(void)error;
	lookup->result.outcome = resolve(lookup, &lookup->address, 0);
	lookup->result.accounts = lookup->accounts;
	lookup->result.foreign = lookup->foreign;
	return PN_OK;
}

static void release(void *pointer)
{
	struct lookup *lookup = pointer;
	struct pn_arena *arena = lookup->arena;

	pn_generation_drop(&lookup->generation);
	pn_arena_free(&arena);
}

/* The caller's arena gets copies of what the lookup's own held. */
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
	struct pn_lookup_result *result = PN_ARENA_NEW(lookup->caller_arena, struct pn_lookup_result);

	result->outcome = PN_LOOKUP_FAILED;
	(void)pn_fail(&result->error, "the directory did not answer in time");
	pn_log(PN_LOG_ERROR, "directory", "%s", result->error.text);
	lookup->done(lookup->user, result);
}

static void answered(void *user, const struct pn_answer *answer)
{
	struct lookup *lookup = user;

	if (answer->kind == PN_ANSWER_TIMER)
		deliver_late(lookup);
	else
		deliver(lookup);
}

static void job_done(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct lookup *lookup = argument;

	(void)status;
	(void)error;
	pn_ticket_answer(lookup->ticket, PN_ANSWER_JOB, PN_OK, lookup, release, NULL);
}

void pn_directory_find(struct pn_session *session, struct pn_generation *generation,
		       const struct pn_address *address, struct pn_arena *arena,
		       pn_lookup_done_function *done, void *user)
{
	const struct pn_domain *domain = pn_generation_domain(generation, address->domain);
	struct pn_arena *own = pn_arena_new();
	struct lookup *lookup = PN_ARENA_NEW(own, struct lookup);
	const struct pn_job job = {
		.struct_size = sizeof(job),
		.pool = PN_POOL_MODULE,
		.work = look_up,
		.done = job_done,
		.argument = lookup,
	};

	lookup->arena = own;
	lookup->generation = pn_generation_keep(generation);
	lookup->address.text = pn_arena_keep(own, address->text);
	lookup->address.local_part = pn_arena_keep(own, address->local_part);
	lookup->address.domain = pn_arena_keep(own, address->domain);
	lookup->address.is_utf8 = address->is_utf8;
	lookup->caller_arena = arena;
	lookup->done = done;
	lookup->user = user;
	if (domain == NULL || !domain->directory->module->directory->blocks) {
		(void)look_up(lookup, NULL);
		deliver(lookup);
		release(lookup);
		return;
	}
	lookup->ticket = pn_ticket_open(session, answered, lookup, generation->store_deadline_ms);
	if (pn_job_submit(&job, (struct pn_ticket){ 0, 0 }) != PN_OK) {
		pn_ticket_cancel(lookup->ticket);
		lookup->result.outcome = PN_LOOKUP_FAILED;
		(void)pn_fail(&lookup->result.error, "too many lookups wait");
		deliver(lookup);
		release(lookup);
	}
}
