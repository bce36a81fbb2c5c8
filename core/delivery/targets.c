/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a recipient becomes: the accounts that it has here, or an address elsewhere, or
 * the targets that an alias, a list or a redirect put in its place. Leaves are what
 * mail is stored for or queued for. Loop thread.
 */
#include "delivery/transaction.h"

#include <postern/text.h>

#include "delivery/details.h"
#include "session/ticket.h"

enum { MAX_REDIRECTS = 5, MAX_EXPANSIONS = 10 };

static bool is_leaf(const struct pn_recipient *recipient)
{
	return !recipient->is_replaced && (recipient->account_count > 0 || recipient->is_foreign);
}

/* The recipient behind this one, branches in front of the next root. */
static struct pn_recipient *behind(const struct pn_recipient *recipient)
{
	if (recipient->root == recipient && recipient->branches != NULL)
		return recipient->branches;
	if (recipient->root != recipient && recipient->next == NULL)
		return recipient->root->next;
	return recipient->next;
}

struct pn_recipient *pn_leaf_next(const struct pn_transaction *transaction,
                                  const struct pn_recipient *leaf)
{
	struct pn_recipient *next = leaf == NULL ? transaction->recipients : behind(leaf);

	while (next != NULL && !is_leaf(next))
		next = behind(next);
	return next;
}

static bool is_wanted(const struct pn_recipient *leaf)
{
	return !leaf->is_disposed && !leaf->root->is_disposed &&
	       leaf->root->result.verdict == PN_VERDICT_ACCEPT;
}

/* All accounts of it are in the store that the commit goes to. */
static bool fits_commit(const struct pn_recipient *leaf)
{
	const struct pn_transaction *transaction = leaf->transaction;
	const struct pn_instance *store = transaction->store;

	for (size_t i = 0; i < leaf->account_count; i++) {
		if (leaf->accounts[i].store != store)
			return false;
	}
	return leaf->account_count > 0;
}

static bool stays_here(const struct pn_recipient *leaf)
{
	enum pn_route_kind kind = leaf->route == NULL ? PN_ROUTE_DEFAULT : leaf->route->kind;

	return leaf->account_count > 0 && !leaf->is_held && !leaf->root->is_held &&
	       (kind == PN_ROUTE_DEFAULT || kind == PN_ROUTE_ACCOUNT);
}

bool pn_leaf_is_stored(const struct pn_recipient *leaf)
{
	return is_wanted(leaf) && stays_here(leaf) && fits_commit(leaf);
}

bool pn_leaf_is_queued(const struct pn_recipient *leaf)
{
	return is_wanted(leaf) && !(stays_here(leaf) && fits_commit(leaf));
}

static bool asks_for_success(const struct pn_recipient *leaf)
{
	const struct pn_parameter *notify = pn_recipient_parameter(leaf, PN_SLICE("NOTIFY"));

	return notify != NULL && pn_notify_has(notify->value, "SUCCESS") &&
	       !pn_address_is_null(&leaf->transaction->sender);
}

bool pn_leaf_is_reported(const struct pn_recipient *leaf)
{
	return pn_leaf_is_stored(leaf) && asks_for_success(leaf);
}

/* Where the commit goes: to the store of those served here where that is one and nothing has to
 * wait, else home, which keeps the queue. */
void pn_transaction_choose_store(struct pn_transaction *transaction)
{
	struct pn_instance *store = NULL;
	struct pn_instance *home = transaction->generation->home;
	bool needs_home = pn_body_is_at_store(transaction); /* a large body */

	for (const struct pn_recipient *leaf = pn_leaf_next(transaction, NULL); leaf != NULL;
	     leaf = pn_leaf_next(transaction, leaf)) {
		if (!is_wanted(leaf))
			continue;
		needs_home = needs_home || !stays_here(leaf) || asks_for_success(leaf);
		for (size_t i = 0; i < leaf->account_count && stays_here(leaf); i++) {
			needs_home =
				needs_home || (store != NULL && store != leaf->accounts[i].store);
			store = leaf->accounts[i].store;
		}
	}
	transaction->store = needs_home ? home : store;
}

/* ---- branches ---- */

struct pn_recipient *pn_recipient_branch(struct pn_recipient *root,
                                         const struct pn_address *address)
{
	struct pn_transaction *transaction = root->transaction;
	struct pn_recipient *branch = PN_ARENA_NEW(transaction->arena, struct pn_recipient);

	branch->transaction = transaction;
	branch->root = root;
	branch->original = root->original;
	branch->address = *address;
	branch->parameters = root->parameters;
	branch->parameter_count = root->parameter_count;
	branch->mailbox = root->mailbox;
	branch->flags = root->flags;
	branch->result = root->result;
	if (root->last_branch == NULL)
		root->last_branch = &root->branches;
	root->branch_count++;
	*root->last_branch = branch;
	root->last_branch = &branch->next;
	return branch;
}

enum pn_status pn_recipient_expand(struct pn_recipient *recipient, const struct pn_slice *addresses,
                                   size_t count)
{
	struct pn_arena *arena = recipient->transaction->arena;
	struct pn_address *targets;

	/* What an address is expanded to is asked about again: without an end, if it leads to
	 * itself. */
	if (count > PN_TARGETS_MAX || recipient->root->branch_count > PN_TARGETS_MAX - count ||
	    recipient->redirects >= MAX_EXPANSIONS)
		return PN_LIMIT;
	targets = PN_ARENA_ARRAY(arena, count, struct pn_address);
	for (size_t i = 0; i < count; i++) {
		if (pn_address_parse(pn_arena_keep(arena, addresses[i]), true, arena,
		                     &targets[i]) != PN_OK ||
		    targets[i].domain.size == 0)
			return PN_FAILED;
	}
	recipient->targets = targets;
	recipient->target_count = count;
	return PN_OK;
}

bool pn_recipient_redirect(struct pn_recipient *recipient, const char *target)
{
	struct pn_slice address = pn_slice_of(target);

	return target != NULL && recipient->redirects < MAX_REDIRECTS &&
	       pn_recipient_expand(recipient, &address, 1) == PN_OK;
}

/* Targets that are looked up, one after the other. */
struct resolving {
	struct pn_recipient *recipient;
	void (*done)(struct pn_recipient *recipient);
	size_t next;
	size_t made;
	bool is_looping; /* so that a thousand answers at once do not become frames of stack */
	bool was_answered;
};

static void take_foreign(struct resolving *work, const struct pn_address *address)
{
	struct pn_recipient *branch = pn_recipient_branch(work->recipient->root, address);

	branch->is_foreign = true;
	branch->redirects = work->recipient->redirects + 1;
	work->made++;
}

static void take_result(struct resolving *work, const struct pn_lookup_result *result)
{
	struct pn_recipient *recipient = work->recipient;
	const struct pn_address *target = &recipient->targets[work->next - 1];
	struct pn_recipient *branch;

	switch (result->outcome) {
	case PN_LOOKUP_FOREIGN:
		take_foreign(work, target);
		break;
	case PN_LOOKUP_FOUND:
		if (result->account_count > 0) {
			branch = pn_recipient_branch(recipient->root, target);
			branch->accounts = result->accounts;
			branch->account_count = result->account_count;
			branch->redirects = recipient->redirects + 1;
			work->made++;
		}
		for (size_t i = 0; i < result->foreign_count; i++)
			take_foreign(work, &result->foreign[i]);
		break;
	case PN_LOOKUP_UNKNOWN:
		/* One dead target of a list does not stop the others. */
		pn_log(PN_LOG_WARNING, "alias", "%.*s leads to %.*s, which does not exist",
		       PN_SLICE_ARGS(recipient->original.text), PN_SLICE_ARGS(target->text));
		break;
	case PN_LOOKUP_DISABLED:
	case PN_LOOKUP_FAILED:
		pn_recipient_refuse(recipient->root, PN_VERDICT_DEFER, 451, "4.3.0",
		                    "an address that it leads to cannot be found out now");
		break;
	}
}

static void resolve_next(struct resolving *work);

static void looked_up(void *user, const struct pn_lookup_result *result)
{
	struct resolving *work = user;

	take_result(work, result);
	work->was_answered = true;
	if (!work->is_looping)
		resolve_next(work);
}

static void resolve_next(struct resolving *work)
{
	struct pn_recipient *recipient = work->recipient;
	struct pn_transaction *transaction = recipient->transaction;

	work->is_looping = true;
	work->was_answered = true;
	while (work->was_answered && work->next < recipient->target_count) {
		work->was_answered = false;
		pn_directory_find(transaction->session, transaction->generation,
		                  &recipient->targets[work->next++], transaction->arena, looked_up,
		                  work);
	}
	work->is_looping = false;
	if (!work->was_answered)
		return;
	if (work->made == 0 && !recipient->root->is_settled)
		pn_recipient_refuse(recipient->root, PN_VERDICT_REJECT, 550, "5.1.1",
		                    "no address is left that it leads to");
	recipient->targets = NULL;
	recipient->target_count = 0;
	work->done(recipient);
}

void pn_recipient_resolve_targets(struct pn_recipient *recipient,
                                  void (*done)(struct pn_recipient *recipient))
{
	struct resolving *work = PN_ARENA_NEW(recipient->transaction->arena, struct resolving);

	work->recipient = recipient;
	work->done = done;
	recipient->is_replaced = true;
	resolve_next(work);
}
