/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commits on their way: made with an arena of their own, handed to the store of an
 * account, answered once; then the watchers of the accounts it touched are told,
 * the ticket is answered, and the commit goes. Loop thread.
 */
#include <postern/store.h>
#include <postern/text.h>

#include "mail/keyword.h"
#include "session/ticket.h"
#include "store/account.h"
#include "store/watch.h"

#include <stdlib.h>

/* What stands around a commit made by pn_commit_new. */
struct commit_box {
	struct pn_commit commit;
	struct pn_arena *arena;
	size_t max_mutations;
	struct pn_mutation *mutations;
	struct pn_account account;
	struct pn_ticket ticket;
};

struct pn_commit *pn_commit_new(size_t max_bodies, size_t max_mutations)
{
	struct pn_arena *arena = pn_arena_new();
	struct commit_box *box = PN_ARENA_NEW(arena, struct commit_box);

	box->arena = arena;
	box->max_mutations = max_mutations;
	box->mutations = PN_ARENA_ARRAY(arena, max_mutations, struct pn_mutation);
	box->commit.struct_size = sizeof(box->commit);
	box->commit.body_size = sizeof(struct pn_body_source);
	box->commit.mutation_size = sizeof(struct pn_mutation);
	box->commit.bodies = PN_ARENA_ARRAY(arena, max_bodies, struct pn_body_source);
	box->commit.mutations = box->mutations;
	box->commit.arena = arena;
	return &box->commit;
}

static void free_commit(void *pointer)
{
	struct commit_box *box = pointer;
	struct pn_arena *arena = box->arena;
	const struct pn_store *entries = box->account.entries;

	/* Writers that the store did not take are nobody's now. */
	for (size_t i = 0; i < box->commit.body_count; i++) {
		if (box->commit.bodies[i].writer != NULL && entries != NULL)
			entries->body_discard(box->account.state, box->commit.bodies[i].writer);
	}
	pn_arena_free(&arena);
}

void pn_commit_free(struct pn_commit **commit)
{
	struct pn_commit *freed = *commit;

	*commit = NULL;
	if (freed != NULL)
		free_commit(freed);
}

struct pn_mutation *pn_commit_add(struct pn_commit *commit, enum pn_mutation_kind kind)
{
	struct commit_box *box = (struct commit_box *)commit;
	struct pn_mutation *mutation;

	if (commit->mutation_count >= box->max_mutations)
		abort(); /* the caller said how many it would add */
	mutation = &box->mutations[commit->mutation_count++];
	mutation->kind = kind;
	return mutation;
}

/* What the directory says of the account's quota counts for everything that makes it grow. */
static void set_quota(struct commit_box *box)
{
	for (size_t i = 0; i < box->commit.mutation_count; i++) {
		struct pn_mutation *mutation = &box->mutations[i];

		if ((mutation->kind == PN_MUTATION_APPEND || mutation->kind == PN_MUTATION_COPY) &&
		    mutation->max_account_bytes == 0 &&
		    pn_slice_equal(mutation->account, box->account.name))
			mutation->max_account_bytes = box->account.quota_bytes;
	}
}

static bool keywords_are_valid(const struct pn_flags *flags)
{
	for (size_t i = 0; i < flags->keyword_count; i++) {
		if (!pn_keyword_is_valid(flags->keywords[i]))
			return false;
	}
	return true;
}

/* No store has what is no keyword, whoever asked for it. */
static void clean_keywords(struct commit_box *box)
{
	for (size_t i = 0; i < box->commit.mutation_count; i++) {
		struct pn_flags *flags = &box->mutations[i].flags;
		struct pn_slice *kept;
		size_t count = 0;

		if (keywords_are_valid(flags))
			continue;
		kept = PN_ARENA_ARRAY(box->arena, flags->keyword_count, struct pn_slice);
		for (size_t at = 0; at < flags->keyword_count; at++) {
			if (pn_keyword_is_valid(flags->keywords[at]))
				kept[count++] = flags->keywords[at];
		}
		flags->keywords = kept;
		flags->keyword_count = count;
	}
}

void pn_store_commit(const struct pn_account *account, struct pn_commit *commit,
                     struct pn_ticket ticket)
{
	struct commit_box *box = (struct commit_box *)commit;

	box->account = *account;
	box->ticket = ticket;
	set_quota(box);
	clean_keywords(box);
	account->entries->commit(account->state, commit);
}

static void tell_watchers(const struct pn_commit *commit, const struct pn_session *by)
{
	struct pn_slice last = PN_SLICE_NONE;

	for (size_t i = 0; i < commit->mutation_count; i++) {
		struct pn_slice name = commit->mutations[i].account;

		if (name.size == 0 ||
		    (name.size == last.size && memcmp(name.data, last.data, name.size) == 0))
			continue;
		pn_watch_changed(name, by);
		last = name;
	}
}

void pn_commit_done(struct pn_commit *commit, enum pn_status status)
{
	struct commit_box *box = (struct commit_box *)commit;

	/* What failed may be there all the same. */
	if (status == PN_OK || status == PN_FAILED)
		tell_watchers(commit, pn_ticket_session(box->ticket));
	pn_ticket_answer(box->ticket, PN_ANSWER_STORE, status, commit, free_commit,
	                 status == PN_OK ? NULL : &commit->error);
}
