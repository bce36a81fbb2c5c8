/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random mutations, right ones and wrong ones, from a seed: prints how each commit
 * was answered and what is there in the end, without anything that may differ
 * between two stores (times, body ids, UIDVALIDITY, texts of errors).
 */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned state;
static bool is_growing; /* mailboxes are left alone, so that they become large */

static unsigned pick(unsigned count)
{
	state = state * 1664525u + 1013904223u;
	return (state >> 16) % count;
}

static const char *pick_account(void)
{
	static const char *const names[] = {"a@x", "b@x", "c@x"};

	return names[is_growing ? pick(8) / 7 : pick(3)];
}

static const char *pick_name(void)
{
	static const char *const names[] = {"INBOX", "inbox", "A",         "A/B", "A/B/C", "A/D",
	                                    "E",     "E/F",   "INBOX/Sub", "a",   "A/",    "//"};

	return names[is_growing ? pick(9) / 2 : pick(12)];
}

static struct pn_slice pick_keyword(void)
{
	static const char *const words[] = {"One", "two", "ONE", "$Three", "four", "Two"};

	return pn_slice_of(words[pick(6)]);
}

static void fill_flags(struct commit *commit, struct pn_mutation *mutation)
{
	struct pn_slice *words = PN_ARENA_ARRAY(commit->pn.arena, 2, struct pn_slice);

	words[0] = pick_keyword();
	words[1] = pick_keyword();
	mutation->flags.system = pick(32);
	mutation->flags.keywords = words;
	mutation->flags.keyword_count = pick(3);
	mutation->how = (enum pn_flags_how)pick(3);
}

static void fill_append(struct commit *commit, struct pn_mutation *mutation)
{
	static const char *const keys[] = {"", "", "", "k1", "k2", "k3"};
	char words[32];

	snprintf(words, sizeof(words), "message %u", pick(1000));
	mutation->name = pn_slice_of(pick_name());
	mutation->create_missing = pick(4) != 0;
	mutation->body.is_new = true;
	mutation->body.index = commit_body(commit, message(words, pick(300)));
	mutation->internal_date_ms = 1000 + pick(1000);
	mutation->max_account_bytes = pick(8) == 0 ? 1 + pick(5000) : 0;
	mutation->once_key = pn_slice_of(keys[pick(6)]);
	fill_flags(commit, mutation);
}

static void fill_queue(struct commit *commit, struct pn_mutation *mutation)
{
	static const char *const places[] = {"mx.one", "mx.two", "MX.one"};
	static const char *const details[] = {"", "short", "some more of them"};
	struct pn_queue_row *row = PN_ARENA_NEW(commit->pn.arena, struct pn_queue_row);

	row->id = 1 + pick(20);
	row->due_ms = pick(100);
	row->state = (enum pn_queue_state)pick(2);
	row->attempts = pick(5);
	row->destination = pn_slice_of(places[pick(3)]);
	row->expires_ms = pick(3);
	row->details = pn_slice_of(details[pick(3)]);
	row->recipient = PN_SLICE("r@domain.example");
	row->sender = PN_SLICE("s@domain.example");
	mutation->queue_row = row;
	mutation->body.is_new = true;
	mutation->body.index = 0;
	if (mutation->kind == PN_MUTATION_QUEUE_PUT)
		mutation->body.index = commit_body(commit, message("queued", 0));
}

/* A few neighbours, everything, or here and there, so that sets cross what a store puts together.
 */
static struct pn_uid_set pick_uids(void)
{
	uint32_t first = 1 + pick(20);
	struct pn_uid_range *ranges;
	size_t count = 1 + pick(12);

	switch (pick(4)) {
	case 0:
		return uids(1, UINT32_MAX);
	case 1:
		ranges = PN_ARENA_ARRAY(harness_arena(), count, struct pn_uid_range);
		for (size_t i = 0; i < count; i++) {
			ranges[i] = (struct pn_uid_range){first, first + pick(3) * pick(20)};
			first = ranges[i].last + 2 + pick(30);
		}
		return (struct pn_uid_set){ranges, count};
	default:
		first += pick(4) == 0 ? pick(200) : 0;
		return uids(first, first + pick(10));
	}
}

static void add_random(struct commit *commit)
{
	static const enum pn_mutation_kind kinds[] = {
		PN_MUTATION_APPEND,         PN_MUTATION_APPEND,         PN_MUTATION_APPEND,
		PN_MUTATION_APPEND,         PN_MUTATION_FLAGS,          PN_MUTATION_FLAGS,
		PN_MUTATION_FLAGS,          PN_MUTATION_EXPUNGE,        PN_MUTATION_COPY,
		PN_MUTATION_COPY,           PN_MUTATION_MOVE,           PN_MUTATION_MAILBOX_CREATE,
		PN_MUTATION_MAILBOX_CREATE, PN_MUTATION_MAILBOX_DELETE, PN_MUTATION_MAILBOX_RENAME,
		PN_MUTATION_SUBSCRIBE,      PN_MUTATION_ATTRIBUTES,     PN_MUTATION_ACCOUNT_QUOTA,
		PN_MUTATION_QUEUE_PUT,      PN_MUTATION_QUEUE_UPDATE,   PN_MUTATION_QUEUE_DONE,
		PN_MUTATION_ACCOUNT_CREATE, PN_MUTATION_RECENT,         PN_MUTATION_EXPUNGE,
	};
	struct pn_mutation *mutation =
		commit_add(commit, kinds[pick(sizeof(kinds) / sizeof(kinds[0]))], pick_account());

	if (is_growing && ((mutation->kind >= PN_MUTATION_MAILBOX_DELETE &&
	                    mutation->kind <= PN_MUTATION_MAILBOX_RENAME) ||
	                   mutation->kind == PN_MUTATION_ACCOUNT_QUOTA))
		mutation->kind = pick(2) ? PN_MUTATION_APPEND : PN_MUTATION_FLAGS;
	mutation->uids = pick_uids();
	/* Copies of copies would become very many. */
	if (is_growing && mutation->kind >= PN_MUTATION_COPY &&
	    mutation->kind <= PN_MUTATION_EXPUNGE && mutation->kind != PN_MUTATION_FLAGS) {
		uint32_t first = 1 + pick(400);

		mutation->uids =
			uids(first, first + pick(mutation->kind == PN_MUTATION_COPY ? 90 : 40));
	}
	mutation->target_mailbox = 1 + pick(is_growing ? 3 : 6);
	mutation->attributes = pick(128);
	mutation->on = pick(2);
	if (mutation->kind == PN_MUTATION_APPEND) {
		fill_append(commit, mutation);
	} else if (mutation->kind >= PN_MUTATION_QUEUE_PUT &&
	           mutation->kind <= PN_MUTATION_QUEUE_DONE) {
		fill_queue(commit, mutation);
	} else {
		mutation->name = pn_slice_of(pick_name());
		if (mutation->kind != PN_MUTATION_MAILBOX_CREATE &&
		    (pick(2) || mutation->kind == PN_MUTATION_MAILBOX_RENAME))
			mutation->mailbox = 1 + pick(is_growing ? 3 : 6);
		fill_flags(commit, mutation);
		mutation->unchanged_since = pick(4) == 0 ? 1 + pick(200) : 0;
		mutation->known_modseq = pick(4) == 0 ? 1 + pick(200) : 0;
		mutation->quota_bytes = pick(4) == 0 ? 3000 + pick(20000) : 0;
	}
}

static void print_set(const char *name, struct pn_uid_set set)
{
	printf(" %s", name);
	for (size_t i = 0; i < set.count; i++)
		printf(" %u-%u", set.ranges[i].first, set.ranges[i].last);
}

static void run_step(unsigned long step)
{
	struct commit *commit = commit_new();
	unsigned count = 1 + pick(4) / 3 * pick(3);

	for (unsigned i = 0; i < count; i++)
		add_random(commit);
	commit_submit(commit);
	commit_wait(commit);
	printf("step %lu kind %d: %s", step, (int)commit->mutations[0].kind,
	       pn_status_name(commit->status));
	if (commit->status != PN_OK)
		printf(" at %zu", commit->pn.failed_index);
	for (size_t i = 0; commit->status == PN_OK && i < commit->pn.mutation_count; i++) {
		const struct pn_mutation_result *result = &commit->pn.results[i];

		printf(" [mailbox %llu first %u count %u queue %llu there %d",
		       (unsigned long long)result->mailbox, result->first_uid, result->uid_count,
		       (unsigned long long)result->queue_id, result->was_there);
		print_set("touched", result->uids);
		print_set("modified", result->modified);
		printf("]");
	}
	printf("\n");
	commit_free(commit);
}

/* Everything but times and UIDVALIDITY. */
static void print_dump(void)
{
	char *dump = dump_store();
	char *rest = dump;
	char *line;

	while ((line = strsep(&rest, "\n")) != NULL) {
		char *word;

		while ((word = strsep(&line, " ")) != NULL) {
			if (strcmp(word, "validity") == 0 || strcmp(word, "date") == 0 ||
			    strcmp(word, "saved") == 0) {
				strsep(&line, " ");
				continue;
			}
			printf("%s ", word);
		}
		printf("\n");
	}
	free(dump);
}

static void print_changes_of(const char *account, uint64_t id, uint64_t since)
{
	struct pn_changes_request request = {.struct_size = sizeof(request),
	                                     .account = pn_slice_of(account),
	                                     .mailbox = id,
	                                     .since = since,
	                                     .max_rows = 1 + pick(30)};
	struct pn_changes changes;

	/* In pages: what vanished is cut where a page ends, and joined again here. */
	printf("changes of %s %llu since %llu:", account, (unsigned long long)id,
	       (unsigned long long)since);
	do {
		if (ask_changes(&request, &changes) != PN_OK)
			break;
		for (size_t i = 0; i < changes.count; i++)
			printf(" %u/%x", changes.rows[i].uid, changes.rows[i].flags.system);
		/* The log begins with the mailbox: before that stores may name more. */
		if (since > 30)
			print_set("vanished", changes.vanished);
		request.from_uid = changes.next_uid;
	} while (!changes.is_complete);
	printf("\n");
}

static void print_recent(const char *account, uint64_t id)
{
	struct pn_view_request request = {
		.struct_size = sizeof(request), .account = pn_slice_of(account), .mailbox = id};
	struct pn_view view;

	if (ask_view(&request, &view) != PN_OK)
		return;
	printf("view of %s %llu: recent %u", account, (unsigned long long)id, view.recent_uid);
	print_set("uids", view.uids);
	printf("\n");
}

static void print_changes(const char *account)
{
	struct pn_mailboxes_request request = {.struct_size = sizeof(request),
	                                       .account = pn_slice_of(account)};
	struct pn_mailboxes mailboxes;

	if (ask_mailboxes(&request, &mailboxes) != PN_OK)
		return;
	for (size_t i = 0; i < mailboxes.count; i++) {
		uint64_t id = mailboxes.mailboxes[i].id;

		/* One alone is as it is among the others. */
		request.name = mailboxes.mailboxes[i].name;
		if (pick(4) == 0) {
			struct pn_mailboxes one;

			printf("alone %s\n",
			       ask_mailboxes(&request, &one) == PN_OK && one.count == 1 &&
			                       one.mailboxes[0].id == id &&
			                       one.mailboxes[0].attributes ==
			                               mailboxes.mailboxes[i].attributes
			               ? "the same"
			               : "not the same");
		}
		if (id == 0)
			continue;
		print_recent(account, id);
		print_changes_of(account, id, pick(40));
		print_changes_of(account, id, mailboxes.modseq - pick(60) % mailboxes.modseq);
		print_changes_of(account, id, mailboxes.modseq - pick(8) % mailboxes.modseq);
	}
}

int run_random(const char *directory, unsigned seed, unsigned long steps)
{
	struct pn_error error = {0};

	state = seed * 2654435761u + 1;
	is_growing = seed % 2 == 0;
	if (harness_start(directory, PN_WORKER_EDGE, 1, &error) != PN_OK) {
		fprintf(stderr, "%s\n", error.text);
		return 3;
	}
	for (unsigned long step = 0; step < steps; step++) {
		run_step(step);
		if (step % 50 == 49) {
			print_dump();
			print_changes("a@x");
			print_changes("b@x");
			pn_arena_reset(harness_arena());
		}
	}
	if (harness_entries()->verify != NULL &&
	    harness_entries()->verify(harness_instance(), NULL, &error) != PN_OK) {
		printf("verify: %s\n", error.text);
		return 1;
	}
	harness_stop();
	return 0;
}
