/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recipients that are not served by the accepting commit, and those of whom it is to be
 * reported that they were: a row of the queue for each, put by that commit. The body is
 * the one that it writes.
 */
#include "delivery/transaction.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "delivery/details.h"
#include "delivery/route.h"

size_t pn_waiting_count(const struct pn_transaction *transaction)
{
	size_t count = 0;

	for (const struct pn_recipient *leaf = pn_leaf_next(transaction, NULL); leaf != NULL;
	     leaf = pn_leaf_next(transaction, leaf))
		count += pn_leaf_is_queued(leaf) || pn_leaf_is_reported(leaf) ? 1 : 0;
	return count;
}

/* What the row is grouped by. Who has accounts here goes to them, unless a hook said otherwise. */
static struct pn_slice destination_of(const struct pn_recipient *leaf, struct pn_arena *arena)
{
	static const struct pn_route to_account = {.kind = PN_ROUTE_ACCOUNT};
	const struct pn_route *route = pn_recipient_route(leaf);

	if (route->kind == PN_ROUTE_DEFAULT && leaf->account_count > 0)
		route = &to_account;
	else if (route->kind == PN_ROUTE_DEFAULT)
		return pn_route_usual(leaf->transaction->generation, leaf->address.domain, arena);
	return pn_route_format(route, leaf->address.domain, arena);
}

static int64_t later(int64_t moment, uint64_t milliseconds)
{
	return moment > INT64_MAX - (int64_t)milliseconds ? INT64_MAX
	                                                  : moment + (int64_t)milliseconds;
}

static void fill_row(const struct pn_recipient *leaf, struct pn_queue_row *row,
                     struct pn_arena *arena)
{
	const struct pn_transaction *transaction = leaf->transaction;
	const struct pn_queue_limits *limits = &transaction->generation->queue;
	bool is_held = leaf->is_held || leaf->root->is_held;
	const char *holder = leaf->is_held ? leaf->held_by : leaf->root->held_by;
	uint64_t most = pn_address_is_null(&transaction->sender) ? limits->bounce_lifetime_ms
	                                                         : limits->lifetime_ms;
	uint64_t lifetime = transaction->lifetime_ms != 0 && transaction->lifetime_ms < most
	                            ? transaction->lifetime_ms
	                            : most;
	int64_t now = pn_clock_wall_ms();

	row->arrived_ms = now;
	row->due_ms = transaction->release_ms > now ? transaction->release_ms : now;
	row->expires_ms = later(row->due_ms, lifetime);
	/* RFC 2852 section 4.1: not a moment longer, whatever else was wished for. */
	if (transaction->by.mode == PN_DELIVER_BY_RETURN &&
	    transaction->by.moment_ms < row->expires_ms) {
		row->expires_ms = transaction->by.moment_ms > now ? transaction->by.moment_ms : now;
		row->due_ms = row->due_ms < row->expires_ms ? row->due_ms : row->expires_ms;
	}
	row->state = is_held ? PN_QUEUE_HELD : PN_QUEUE_DUE;
	row->priority = transaction->priority;
	row->transaction = pn_arena_keep(arena, pn_slice_of(transaction->id));
	row->sender = pn_arena_keep(arena, transaction->sender.text);
	row->recipient = pn_arena_keep(arena, leaf->address.text);
	row->destination = destination_of(leaf, arena);
	row->tenant = pn_arena_keep(arena, pn_transaction_tenant(transaction));
	if (is_held)
		row->reason = pn_slice_of(
			pn_arena_print(arena, "held by %s", holder == NULL ? "policy" : holder));
}

enum pn_status pn_waiting_add(struct pn_transaction *transaction, struct pn_commit *commit)
{
	struct pn_buffer details;
	size_t common;
	enum pn_status status;

	pn_details_init(&details);
	status = pn_transaction_pack(transaction, &details);
	common = details.size;
	for (struct pn_recipient *leaf = pn_leaf_next(transaction, NULL);
	     leaf != NULL && status == PN_OK; leaf = pn_leaf_next(transaction, leaf)) {
		struct pn_queue_row *row;
		struct pn_mutation *put;

		if (!pn_leaf_is_queued(leaf) && !pn_leaf_is_reported(leaf))
			continue;
		row = PN_ARENA_NEW(commit->arena, struct pn_queue_row);
		fill_row(leaf, row, commit->arena);
		details.size = common;
		status = pn_recipient_pack(leaf, &details);
		if (status == PN_OK && pn_leaf_is_reported(leaf))
			status = pn_details_add(&details, PN_SLICE("delivered"), PN_SLICE("1"));
		row->details = pn_arena_keep(commit->arena, pn_buffer_slice(&details));
		leaf->is_queued = pn_leaf_is_queued(leaf);
		put = pn_commit_add(commit, PN_MUTATION_QUEUE_PUT);
		put->body.is_new = true;
		put->queue_row = row;
	}
	pn_buffer_clear(&details);
	return status;
}
