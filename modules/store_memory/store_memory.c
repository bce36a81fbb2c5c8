/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_memory: mail in the memory of one worker, gone when it ends. The plainest
 * store that does everything: what the others are compared with, and what tests
 * with one worker use. Nothing in it is fast, and nothing in it is clever.
 */
#include "store_memory.h"

#include <stdlib.h>

static const struct pn_option memory_options[] = {
	PN_OPTION_SIZE(struct memory_config, quota, "1024G", .minimum_text = "1",
                       .maximum_text = "65536G",
                       .summary = "Bytes that an account without a quota of its own may hold."),
	PN_OPTION_TABLE_END,
};

static enum pn_status memory_start(const struct pn_start *start, void **instance_out,
                                   struct pn_error *error)
{
	struct memory_store *store = calloc(1, sizeof(*store));

	if (store == NULL)
		return pn_fail(error, "there is no memory for a store");
	store->config = *(const struct memory_config *)start->config;
	store->arena = pn_arena_new();
	store->queue.arena = pn_arena_new();
	*instance_out = store;
	return PN_OK;
}

static void memory_stop(void *instance)
{
	struct memory_store *store = instance;

	if (store == NULL)
		return;
	while (store->accounts != NULL) {
		struct memory_account *account = store->accounts;

		store->accounts = account->next;
		account_free(account);
	}
	queue_free(&store->queue);
	pn_arena_free(&store->arena);
	free(store);
}

static const struct pn_store memory_entries = {
	.struct_size = sizeof(struct pn_store),
	.accounts = memory_accounts,
	.mailboxes = memory_mailboxes,
	.view = memory_view,
	.rows = memory_rows,
	.changes = memory_changes,
	.body_read = memory_body_read,
	.queue = memory_queue_rows,
	.body_new = memory_body_new,
	.body_append = memory_body_append,
	.body_discard = memory_body_discard,
	.commit = memory_commit,
	.bodies = memory_bodies,
};

PN_MODULE(store_memory, .version = "0.1",
          .summary = "Keeps mail in the memory of one worker, for tests.",
          .options = memory_options, .config_size = sizeof(struct memory_config),
          .store = &memory_entries, .start = memory_start, .stop = memory_stop, );
