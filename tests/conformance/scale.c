/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --scale COUNT: how long it takes to open, read and change a mailbox of so many
 * messages, and how long small commits take meanwhile; --small COUNT: small commits
 * of another process beside that. Prints milliseconds.
 */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <postern/clock.h>
#include <postern/text.h>

enum { IN_FLIGHT = 400, DISTINCT = 100000, PAGE = 1000 };

static uint64_t inbox;
static uint64_t other;
static double slowest_small_ms;

static double milliseconds(uint64_t since_ns)
{
	return (double)(pn_clock_monotonic_ns() - since_ns) / 1e6;
}

static void tell(const char *what, uint64_t since_ns)
{
	printf("%-44s %10.2f ms", what, milliseconds(since_ns));
	if (slowest_small_ms > 0)
		printf("   (small commits meanwhile: up to %.1f ms)", slowest_small_ms);
	printf("\n");
	fflush(stdout);
	slowest_small_ms = 0;
	pn_arena_reset(harness_arena());
}

static struct commit *new_append(unsigned long number)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, ALICE);
	char words[32];

	snprintf(words, sizeof(words), "number %lu", number);
	mutation->name = PN_SLICE("INBOX");
	mutation->create_missing = true;
	mutation->body.is_new = true;
	mutation->body.index = commit_body(commit, message(words, 2000));
	commit->bodies[0].summary = message(words, 500);
	return commit;
}

static struct commit *new_change(enum pn_mutation_kind kind, struct pn_uid_set set)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, kind, ALICE);

	mutation->mailbox = inbox;
	mutation->target_mailbox = other;
	mutation->uids = set;
	return commit;
}

/* Waits for it, and meanwhile changes one flag of a message elsewhere, again and again. */
static void run_beside_small_ones(struct commit *large)
{
	bool on = true;

	commit_submit(large);
	while (!large->is_done) {
		struct commit *small = commit_new();
		struct pn_mutation *mutation = commit_add(small, PN_MUTATION_FLAGS, BOB);
		uint64_t started_ns = pn_clock_monotonic_ns();

		mutation->name = PN_SLICE("INBOX");
		mutation->uids = uids(1, 1);
		mutation->how = on ? PN_FLAGS_ADD : PN_FLAGS_REMOVE;
		mutation->flags.system = PN_FLAG_SEEN;
		on = !on;
		commit_submit(small);
		CHECK_OK(commit_wait(small));
		if (milliseconds(started_ns) > slowest_small_ms)
			slowest_small_ms = milliseconds(started_ns);
		commit_free(small);
	}
	CHECK_OK(commit_wait(large));
	commit_free(large);
}

static void fill(unsigned long count)
{
	struct commit *commits[IN_FLIGHT];
	unsigned long distinct = count < DISTINCT ? count : DISTINCT;
	unsigned long next = 0;
	uint64_t started_ns = pn_clock_monotonic_ns();

	append(BOB, "INBOX", "small");
	for (unsigned long done = 0; done < distinct; done++) {
		while (next < distinct && next - done < IN_FLIGHT) {
			commits[next % IN_FLIGHT] = new_append(next);
			commit_submit(commits[next++ % IN_FLIGHT]);
		}
		CHECK_OK(commit_wait(commits[done % IN_FLIGHT]));
		commit_free(commits[done % IN_FLIGHT]);
		pn_arena_reset(harness_arena());
	}
	inbox = mailbox_id(ALICE, "INBOX");
	other = make_mailbox(ALICE, "Other");
	tell("APPEND of all", started_ns);
	while (next < count) {
		struct commit *commit =
			new_change(PN_MUTATION_COPY,
		                   uids(1, (uint32_t)(count - next < next ? count - next : next)));

		commit->mutations[0].target_mailbox = inbox;
		next += count - next < next ? count - next : next;
		must(commit);
	}
}

static void read_rows(const char *what, uint32_t fields)
{
	struct pn_rows_request request = {.struct_size = sizeof(request),
	                                  .account = PN_SLICE(ALICE),
	                                  .mailbox = inbox,
	                                  .fields = fields,
	                                  .uids = uids(1, UINT32_MAX),
	                                  .max_rows = PAGE};
	uint64_t started_ns = pn_clock_monotonic_ns();
	struct pn_uid_range range = {1, UINT32_MAX};
	struct pn_rows rows;
	size_t count = 0;

	do {
		request.uids = (struct pn_uid_set){&range, 1};
		CHECK_OK(ask_rows(&request, &rows));
		count += rows.count;
		range.first = rows.next_uid;
		pn_arena_reset(harness_arena());
	} while (rows.next_uid != 0);
	printf("%.3f us a row: ", milliseconds(started_ns) * 1000 / (double)count);
	tell(what, started_ns);
}

static void read_changes(const char *what, uint64_t since)
{
	struct pn_changes_request request = {.struct_size = sizeof(request),
	                                     .account = PN_SLICE(ALICE),
	                                     .mailbox = inbox,
	                                     .since = since,
	                                     .max_rows = PAGE};
	uint64_t started_ns = pn_clock_monotonic_ns();
	struct pn_changes changes;
	size_t count = 0;

	do {
		CHECK_OK(ask_changes(&request, &changes));
		count += changes.count;
		request.from_uid = changes.next_uid;
		if (!changes.is_complete)
			pn_arena_reset(harness_arena());
	} while (!changes.is_complete);
	printf("%zu changed, %llu vanished: ", count,
	       (unsigned long long)pn_uid_set_count(changes.vanished));
	tell(what, started_ns);
}

static void read_bodies(void)
{
	struct pn_rows_request request = {.struct_size = sizeof(request),
	                                  .account = PN_SLICE(ALICE),
	                                  .mailbox = inbox,
	                                  .fields = PN_ROW_BODY_ID,
	                                  .uids = uids(1, UINT32_MAX),
	                                  .max_rows = 10000};
	struct pn_body_id ids[10000];
	struct pn_bodies_request bodies_request = {.struct_size = sizeof(bodies_request),
	                                           .account = PN_SLICE(ALICE),
	                                           .max_size = 4 << 20};
	struct pn_bodies bodies;
	struct pn_rows rows;
	uint64_t started_ns;

	CHECK_OK(ask_rows(&request, &rows));
	for (size_t i = 0; i < rows.count; i++)
		ids[i] = rows.rows[i].body;
	started_ns = pn_clock_monotonic_ns();
	for (size_t at = 0; at < rows.count; at += bodies.count) {
		bodies_request.bodies = ids + at;
		bodies_request.count = rows.count - at;
		CHECK_OK(ask_bodies(&bodies_request, &bodies));
	}
	tell("bodies of 10,000 messages of 2 kB", started_ns);
}

static void open_views(void)
{
	struct pn_view_request request = {
		.struct_size = sizeof(request), .account = PN_SLICE(ALICE), .mailbox = inbox};
	uint64_t started_ns = pn_clock_monotonic_ns();
	struct pn_view view;

	CHECK_OK(ask_view(&request, &view));
	tell("view", started_ns);
}

static void list_mailboxes(void)
{
	struct pn_mailboxes_request request = {.struct_size = sizeof(request),
	                                       .account = PN_SLICE("lists@example.org")};
	struct pn_mailboxes mailboxes;
	uint64_t started_ns = pn_clock_monotonic_ns();
	char name[40];

	make_account("lists@example.org");
	for (int i = 0; i < 10000; i += 20) {
		struct commit *commit = commit_new();

		for (int k = i; k < i + 20; k++) {
			snprintf(name, sizeof(name), "level %d/mailbox %d", k % 100, k);
			commit_add(commit, PN_MUTATION_MAILBOX_CREATE, "lists@example.org")->name =
				pn_arena_keep(commit->pn.arena, pn_slice_make(name, strlen(name)));
		}
		must(commit);
	}
	tell("10,000 mailboxes: made", started_ns);
	started_ns = pn_clock_monotonic_ns();
	CHECK_OK(ask_mailboxes(&request, &mailboxes));
	tell("10,000 mailboxes: listed", started_ns);
	started_ns = pn_clock_monotonic_ns();
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "level %d/mailbox %d", i % 100, i);
		request.name = pn_slice_make(name, strlen(name));
		CHECK_OK(ask_mailboxes(&request, &mailboxes));
	}
	tell("10,000 mailboxes: 1,000 of them by name", started_ns);
}

static void change_all(void)
{
	uint64_t modseq = account_info(ALICE).modseq;
	struct commit *commit = new_change(PN_MUTATION_FLAGS, uids(1, UINT32_MAX));
	uint64_t started_ns;

	commit->mutations[0].flags.system = PN_FLAG_SEEN;
	started_ns = pn_clock_monotonic_ns();
	CHECK_OK((commit_submit(commit), commit_wait(commit)));
	commit_free(commit);
	tell("STORE of all, alone", started_ns);
	read_changes("changes: all", modseq);
	modseq = account_info(ALICE).modseq;
	read_changes("changes: none", modseq);
	flag(ALICE, inbox, 77, 77, PN_FLAGS_ADD, PN_FLAG_ANSWERED, NULL);
	read_changes("changes: one", modseq);
	started_ns = pn_clock_monotonic_ns();
	for (int i = 0; i < 100; i++)
		flag(ALICE, inbox, 77, 77, i % 2 ? PN_FLAGS_ADD : PN_FLAGS_REMOVE, PN_FLAG_DRAFT,
		     NULL);
	tell("STORE of one, a hundred times", started_ns);
	commit = new_change(PN_MUTATION_FLAGS, uids(1, UINT32_MAX));
	commit->mutations[0].flags.system = PN_FLAG_FLAGGED;
	started_ns = pn_clock_monotonic_ns();
	run_beside_small_ones(commit);
	tell("STORE of all", started_ns);
	commit = new_change(PN_MUTATION_COPY, uids(1, UINT32_MAX));
	started_ns = pn_clock_monotonic_ns();
	run_beside_small_ones(commit);
	tell("COPY of all", started_ns);
	commit = new_change(PN_MUTATION_EXPUNGE, uids(1, UINT32_MAX));
	modseq = account_info(ALICE).modseq;
	started_ns = pn_clock_monotonic_ns();
	run_beside_small_ones(commit);
	tell("EXPUNGE of all", started_ns);
	read_changes("changes: all vanished", modseq);
}

static void clear_away(void)
{
	struct pn_error error = {0};
	uint64_t started_ns = pn_clock_monotonic_ns();

	if (harness_entries()->compact == NULL)
		return;
	harness_advance(2ll * 24 * 3600 * 1000);
	CHECK_OK(harness_entries()->compact(harness_instance(), NULL, &error));
	harness_advance(-2ll * 24 * 3600 * 1000);
	tell("clearing away what was expunged", started_ns);
	started_ns = pn_clock_monotonic_ns();
	for (int i = 0; i < 100; i++)
		flag(BOB, mailbox_id(BOB, "INBOX"), 1, 1, i % 2 ? PN_FLAGS_ADD : PN_FLAGS_REMOVE,
		     PN_FLAG_DRAFT, NULL);
	tell("STORE of one, a hundred times, after it all", started_ns);
}

/* Small commits, one after the other, beside what other processes do: how long they take. */
int run_small(const char *directory, unsigned long count)
{
	struct pn_error error = {0};
	unsigned long above[4] = {0}; /* 10, 25, 50, 100 ms */
	double slowest = 0;
	char account[32];

	if (harness_start(directory, PN_WORKER_EDGE, 7, &error) != PN_OK) {
		fprintf(stderr, "%s\n", error.text);
		return 3;
	}
	snprintf(account, sizeof(account), "small%d@example.org", (int)getpid());
	append(account, "INBOX", "small");
	for (unsigned long i = 0; i < count; i++) {
		uint64_t started_ns = pn_clock_monotonic_ns();
		double took;

		flag(account, mailbox_id(account, "INBOX"), 1, 1,
		     i % 2 ? PN_FLAGS_REMOVE : PN_FLAGS_ADD, PN_FLAG_SEEN, NULL);
		took = milliseconds(started_ns);
		slowest = took > slowest ? took : slowest;
		above[0] += took > 10;
		above[1] += took > 25;
		above[2] += took > 50;
		above[3] += took > 100;
		pn_arena_reset(harness_arena());
		usleep(1000);
	}
	printf("%lu small commits: slowest %.1f ms; above 10 ms %lu, 25 ms %lu, 50 ms %lu, 100 ms "
	       "%lu\n",
	       count, slowest, above[0], above[1], above[2], above[3]);
	harness_stop();
	return 0;
}

int run_scale(const char *directory, unsigned long count)
{
	struct pn_error error = {0};

	clear_store(directory);
	if (harness_start(directory, PN_WORKER_EDGE, 1, &error) != PN_OK) {
		fprintf(stderr, "%s\n", error.text);
		return 3;
	}
	printf("%lu messages\n", count);
	fill(count);
	open_views();
	read_rows("rows, flags", PN_ROW_FLAGS);
	read_rows("rows, flags, sizes, dates", PN_ROW_FLAGS | PN_ROW_SIZES | PN_ROW_DATES);
	read_rows("rows, summaries", PN_ROW_FLAGS | PN_ROW_SUMMARY);
	read_bodies();
	list_mailboxes();
	change_all();
	clear_away();
	if (harness_entries()->verify != NULL)
		CHECK_OK(harness_entries()->verify(harness_instance(), NULL, &error));
	harness_stop();
	return 0;
}
