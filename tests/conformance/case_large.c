/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases with more messages than one transaction or one page of a store holds: what
 * is true of ten must be true of a hundred thousand, and who asks for little must
 * not wait for who asks for much.
 */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <postern/text.h>

enum { DIFFERENT = 8, DOUBLINGS = 14, MANY = DIFFERENT << DOUBLINGS };

static uint64_t inbox;

static struct commit *new_copy(enum pn_mutation_kind kind, uint64_t from, uint64_t to,
                               struct pn_uid_set set)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, kind, ALICE);

	mutation->mailbox = from;
	mutation->target_mailbox = to;
	mutation->uids = set;
	return commit;
}

static struct commit *new_flags(enum pn_flags_how how, uint32_t system, struct pn_uid_set set)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_FLAGS, ALICE);

	mutation->mailbox = inbox;
	mutation->uids = set;
	mutation->how = how;
	mutation->flags.system = system;
	return commit;
}

/* 131,072 messages in INBOX, UIDs from 1 on, with eight bodies. */
static void fill_inbox(void)
{
	char words[16];

	for (int i = 0; i < DIFFERENT; i++) {
		snprintf(words, sizeof(words), "message %d", i);
		inbox = append(ALICE, "INBOX", words).mailbox;
	}
	for (int i = 0; i < DOUBLINGS; i++)
		must(new_copy(PN_MUTATION_COPY, inbox, inbox, uids(1, UINT32_MAX)));
	CHECK(mailbox(ALICE, "INBOX").message_count == MANY);
}

/* UIDs step, 2 * step, … up to the last. */
static struct pn_uid_set every(uint32_t step, uint32_t last)
{
	struct pn_uid_range *ranges =
		PN_ARENA_ARRAY(harness_arena(), last / step, struct pn_uid_range);

	for (uint32_t i = 0; i < last / step; i++)
		ranges[i] = (struct pn_uid_range){(i + 1) * step, (i + 1) * step};
	return (struct pn_uid_set){ranges, last / step};
}

static bool is_all(struct pn_uid_set set, uint32_t first, uint32_t last)
{
	return set.count == 1 && set.ranges[0].first == first && set.ranges[0].last == last;
}

/* Reads flags page by page, as sessions do, and counts those with `system`. */
static uint32_t count_flags(uint32_t system)
{
	struct pn_rows_request request = {.struct_size = sizeof(request),
	                                  .account = PN_SLICE(ALICE),
	                                  .mailbox = inbox,
	                                  .fields = PN_ROW_FLAGS,
	                                  .uids = uids(1, UINT32_MAX),
	                                  .max_rows = 1000};
	uint32_t count = 0;
	uint32_t last = 0;
	struct pn_rows rows;

	do {
		CHECK_OK(ask_rows(&request, &rows));
		for (size_t i = 0; i < rows.count; i++) {
			CHECK(rows.rows[i].uid > last);
			last = rows.rows[i].uid;
			count += (rows.rows[i].flags.system & system) == system;
		}
		request.uids = uids(rows.next_uid, UINT32_MAX);
	} while (rows.next_uid != 0);
	return count;
}

static uint32_t count_vanished(uint64_t since, uint32_t *changed)
{
	struct pn_changes_request request = {.struct_size = sizeof(request),
	                                     .account = PN_SLICE(ALICE),
	                                     .mailbox = inbox,
	                                     .since = since,
	                                     .max_rows = 700};
	uint32_t vanished = 0;
	struct pn_changes page;

	*changed = 0;
	do {
		CHECK_OK(ask_changes(&request, &page));
		*changed += (uint32_t)page.count;
		vanished += (uint32_t)pn_uid_set_count(page.vanished);
		request.from_uid = page.next_uid;
	} while (!page.is_complete);
	return vanished;
}

static void a_hundred_thousand_messages_are_as_ten(void)
{
	struct pn_mutation_result result;
	uint64_t before;
	uint64_t since;
	uint32_t changed;

	fill_inbox();
	since = account_info(ALICE).modseq;
	result = must(new_flags(PN_FLAGS_ADD, PN_FLAG_SEEN, uids(1, UINT32_MAX)));
	CHECK(is_all(result.uids, 1, MANY) && result.modified.count == 0);
	CHECK(mailbox(ALICE, "INBOX").unseen_count == 0 && count_flags(PN_FLAG_SEEN) == MANY);
	CHECK(count_vanished(since, &changed) == 0 && changed == MANY);
	CHECK(count_vanished(account_info(ALICE).modseq, &changed) == 0 && changed == 0);

	before = account_info(ALICE).modseq;
	result = must(new_flags(PN_FLAGS_ADD, PN_FLAG_DELETED, every(3, MANY)));
	CHECK(pn_uid_set_count(result.uids) == MANY / 3);
	CHECK(mailbox(ALICE, "INBOX").deleted_count == MANY / 3);
	CHECK(count_vanished(before, &changed) == 0 && changed == MANY / 3);

	before = account_info(ALICE).modseq;
	result = expunge(ALICE, inbox, 1, 1000);
	CHECK(is_all(result.uids, 1, 1000));
	result = must(new_flags(PN_FLAGS_REMOVE, PN_FLAG_DELETED, every(6, MANY)));
	CHECK(pn_uid_set_count(result.uids) == MANY / 6);
	CHECK(count_flags(PN_FLAG_DELETED) == MANY / 3 - MANY / 6 - (1000 / 3 - 1000 / 6));
	CHECK(count_vanished(before, &changed) == 1000 && changed == MANY / 6 - 1000 / 6);
}

/* Every other one goes: half a hundred thousand ranges. */
static void expunges_here_and_there_leave_the_others(void)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_EXPUNGE, ALICE);
	struct pn_view_request request = {.struct_size = sizeof(request),
	                                  .account = PN_SLICE(ALICE)};
	struct pn_mutation_result result;
	struct pn_view view;
	uint64_t since;
	uint32_t changed;

	fill_inbox();
	since = account_info(ALICE).modseq;
	mutation->mailbox = inbox;
	mutation->uids = every(2, MANY);
	result = must(commit);
	CHECK(result.uids.count == MANY / 2 && pn_uid_set_count(result.uids) == MANY / 2);
	CHECK(mailbox(ALICE, "INBOX").message_count == MANY / 2);
	request.mailbox = inbox;
	CHECK_OK(ask_view(&request, &view));
	CHECK(view.uids.count == MANY / 2);
	for (size_t i = 0; i < view.uids.count; i++)
		CHECK(view.uids.ranges[i].first == 2 * i + 1 &&
		      view.uids.ranges[i].last == 2 * i + 1);
	CHECK(count_flags(0) == MANY / 2);
	CHECK(count_vanished(since, &changed) == MANY / 2 && changed == 0);
	result = expunge(ALICE, inbox, 1, UINT32_MAX);
	CHECK(pn_uid_set_count(result.uids) == MANY / 2);
	CHECK_OK(ask_view(&request, &view));
	CHECK(view.uids.count == 0 && account_info(ALICE).size_bytes == 0);
	CHECK(append(ALICE, "INBOX", "after").first_uid == MANY + 1);
}

static void many_messages_are_copied_and_moved_at_once(void)
{
	uint64_t target = append(ALICE, "Copies", "was there").mailbox;
	struct pn_mutation_result result;
	struct pn_rows_request request = {.struct_size = sizeof(request),
	                                  .account = PN_SLICE(ALICE),
	                                  .mailbox = target,
	                                  .fields = PN_ROW_BODY_ID | PN_ROW_FLAGS,
	                                  .uids = uids(1, UINT32_MAX),
	                                  .max_rows = MANY};
	struct pn_rows from;
	struct pn_rows to;

	fill_inbox();
	must(new_flags(PN_FLAGS_ADD, PN_FLAG_ANSWERED, every(5, MANY)));
	expunge(ALICE, inbox, 100, 199);
	result = must(new_copy(PN_MUTATION_COPY, inbox, target, uids(1, UINT32_MAX)));
	CHECK(result.first_uid == 2 && result.uid_count == MANY - 100);
	CHECK(result.uids.count == 2 && result.mailbox == target);
	CHECK(mailbox(ALICE, "Copies").message_count == MANY - 99);
	result = must(new_copy(PN_MUTATION_MOVE, inbox, target, uids(1, UINT32_MAX)));
	CHECK(result.first_uid == MANY - 98 && result.uid_count == MANY - 100);
	CHECK(mailbox(ALICE, "INBOX").message_count == 0);
	request.uids = uids(2, MANY - 99);
	CHECK_OK(ask_rows(&request, &from));
	request.uids = uids(MANY - 98, UINT32_MAX);
	CHECK_OK(ask_rows(&request, &to));
	CHECK(from.count == MANY - 100 && to.count == from.count);
	for (size_t i = 0; i < from.count; i++)
		CHECK(memcmp(&from.rows[i].body, &to.rows[i].body, sizeof(from.rows[i].body)) ==
		              0 &&
		      from.rows[i].flags.system == to.rows[i].flags.system &&
		      (i < 99 ? from.rows[i].flags.system == ((i + 1) % 5 ? 0 : PN_FLAG_ANSWERED)
		              : true));
}

static void a_large_copy_that_does_not_fit_changes_nothing(void)
{
	uint64_t target = append(ALICE, "Copies", "was there").mailbox;
	struct commit *commit;
	uint64_t limit;
	char *before;
	char *after;

	fill_inbox();
	before = dump_store();
	commit = new_copy(PN_MUTATION_COPY, inbox, target, uids(1, UINT32_MAX));
	limit = account_info(ALICE).size_bytes + mailbox(ALICE, "INBOX").size_bytes;
	commit->mutations[0].max_account_bytes = limit - 1;
	CHECK(try_commit(commit) == PN_LIMIT && last_commit_error()[0] != '\0');
	CHECK(try_commit(new_copy(PN_MUTATION_MOVE, inbox, 4711, uids(1, UINT32_MAX))) ==
	      PN_NOT_FOUND);
	after = dump_store();
	CHECK(strcmp(before, after) == 0);
	free(before);
	free(after);
	commit = new_copy(PN_MUTATION_COPY, inbox, target, uids(1, UINT32_MAX));
	commit->mutations[0].max_account_bytes = limit;
	CHECK(must(commit).uid_count == MANY);
}

/*
 * A small commit that is submitted behind large ones is answered before them (where the store did
 * not answer those at once). Its change is seen by what comes later of a large one.
 */
static void small_commits_do_not_wait_for_large_ones(void)
{
	struct commit *large;
	struct commit *other;
	struct commit *small;
	struct pn_mutation *mutation;
	uint64_t since;
	bool at_once;

	fill_inbox();
	since = account_info(ALICE).modseq;
	harness_arm("store.commit.slice=short@1+");
	large = new_flags(PN_FLAGS_ADD, PN_FLAG_FLAGGED, uids(1, UINT32_MAX));
	large->mutations[0].unchanged_since = since;
	other = new_copy(PN_MUTATION_COPY, inbox, inbox, uids(1, 20000));
	small = commit_new();
	mutation = commit_add(small, PN_MUTATION_FLAGS, ALICE);
	mutation->mailbox = inbox;
	mutation->uids = uids(MANY, MANY);
	mutation->flags.system = PN_FLAG_DRAFT;
	commit_submit(large);
	at_once = large->is_done;
	commit_submit(other);
	commit_submit(small);
	CHECK_OK(commit_wait(small));
	CHECK(at_once || (!large->is_done && !other->is_done));
	harness_arm(NULL);
	CHECK_OK(commit_wait(other));
	CHECK_OK(commit_wait(large));
	CHECK(other->pn.results[0].uid_count == 20000);
	/* What the small one changed meanwhile was left alone, and only that. */
	if (!at_once) {
		CHECK(is_all(large->pn.results[0].uids, 1, MANY - 1));
		CHECK(is_all(large->pn.results[0].modified, MANY, MANY));
		CHECK(row_of(ALICE, inbox, MANY).flags.system == PN_FLAG_DRAFT);
	}
	CHECK(mailbox(ALICE, "INBOX").message_count == MANY + 20000);
	commit_free(large);
	commit_free(other);
	commit_free(small);
}

/* What a large copy needs may go, come and change while it is under way. */
static void a_large_copy_is_of_what_is_there_when_it_happens(void)
{
	uint64_t target = append(ALICE, "Copies", "was there").mailbox;
	struct commit *large;
	struct commit *small;
	bool at_once;

	fill_inbox();
	harness_arm("store.commit.slice=short@1+");
	large = new_copy(PN_MUTATION_COPY, inbox, target, uids(1, UINT32_MAX));
	commit_submit(large);
	at_once = large->is_done;
	small = commit_new();
	commit_add(small, PN_MUTATION_EXPUNGE, ALICE)->mailbox = inbox;
	small->mutations[0].uids = uids(1, 10000);
	commit_submit(small);
	append(ALICE, "INBOX", "too late");
	CHECK_OK(commit_wait(small));
	harness_arm(NULL);
	CHECK_OK(commit_wait(large));
	CHECK(large->pn.results[0].uid_count == (at_once ? MANY : MANY - 10000));
	CHECK(mailbox(ALICE, "Copies").message_count == large->pn.results[0].uid_count + 1);
	CHECK(mailbox(ALICE, "INBOX").message_count == MANY - 10000 + 1);
	commit_free(large);
	commit_free(small);
}

/* Its messages are moved. */
static void a_large_inbox_is_renamed(void)
{
	struct commit *large;
	struct commit *small;
	bool at_once;
	uint64_t target;

	fill_inbox();
	make_mailbox(ALICE, "There");
	harness_arm("store.commit.slice=short@1+");
	large = commit_new();
	commit_add(large, PN_MUTATION_MAILBOX_RENAME, ALICE)->name = PN_SLICE("There");
	large->mutations[0].mailbox = inbox;
	CHECK(try_commit(large) == PN_CONFLICT);
	large = commit_new();
	commit_add(large, PN_MUTATION_MAILBOX_RENAME, ALICE)->name = PN_SLICE("Old/Inbox");
	large->mutations[0].mailbox = inbox;
	commit_submit(large);
	at_once = large->is_done;
	small = commit_new();
	commit_add(small, PN_MUTATION_EXPUNGE, ALICE)->mailbox = inbox;
	small->mutations[0].uids = uids(1, 1000);
	commit_submit(small);
	CHECK_OK(commit_wait(small));
	CHECK(at_once || !large->is_done);
	harness_arm(NULL);
	CHECK_OK(commit_wait(large));
	target = mailbox_id(ALICE, "Old/Inbox");
	CHECK(large->pn.results[0].mailbox == target);
	CHECK(mailbox(ALICE, "Old/Inbox").message_count == (at_once ? MANY : MANY - 1000));
	CHECK(mailbox(ALICE, "INBOX").message_count == 0 && mailbox_id(ALICE, "INBOX") == inbox);
	commit_free(large);
	commit_free(small);
}

/* Its target goes away when most of the work is done. */
static void a_large_copy_to_what_is_deleted_gives_all_back(void)
{
	uint64_t target = append(ALICE, "Copies", "was there").mailbox;
	struct pn_error error = {0};
	struct commit *large;
	struct commit *small;
	enum pn_status status;

	fill_inbox();
	harness_arm("store.commit.slice=short@1+");
	large = new_copy(PN_MUTATION_COPY, inbox, target, uids(1, UINT32_MAX));
	commit_submit(large);
	small = commit_new();
	commit_add(small, PN_MUTATION_MAILBOX_DELETE, ALICE)->mailbox = target;
	commit_submit(small);
	CHECK_OK(commit_wait(small));
	harness_arm(NULL);
	status = commit_wait(large);
	CHECK(status == PN_NOT_FOUND || status == PN_OK);
	CHECK(mailbox(ALICE, "INBOX").message_count == MANY);
	if (harness_entries()->compact != NULL) {
		CHECK_OK(harness_entries()->compact(harness_instance(), NULL, &error));
		CHECK_OK(harness_entries()->verify(harness_instance(), NULL, &error));
	}
	commit_free(large);
	commit_free(small);
}

static bool is_gone(struct pn_body_id body)
{
	struct pn_body_request request = {.struct_size = sizeof(request),
	                                  .account = PN_SLICE(ALICE),
	                                  .body = body,
	                                  .max_size = 1};
	struct pn_body_piece piece;

	return ask_body(&request, &piece) == PN_NOT_FOUND;
}

static void let_pass(int64_t hours)
{
	struct pn_error error = {0};

	harness_advance(hours * 3600 * 1000);
	CHECK_OK(harness_entries()->compact(harness_instance(), NULL, &error));
	CHECK_OK(harness_entries()->verify(harness_instance(), NULL, &error));
}

/* Whatever it took while it was under way. */
static void a_large_copy_that_dies_leaves_nothing_behind(void)
{
	uint64_t target = append(ALICE, "Copies", "was there").mailbox;
	struct pn_body_id bodies[DIFFERENT];
	struct pn_error error = {0};

	if (harness_entries()->compact == NULL)
		return;
	fill_inbox();
	for (uint32_t i = 0; i < DIFFERENT; i++)
		bodies[i] = row_of(ALICE, inbox, i + 1).body;
	harness_arm("store.commit.slice=short@1+,store.index.commit=EIO@5");
	CHECK(try_commit(new_copy(PN_MUTATION_COPY, inbox, target, uids(1, UINT32_MAX))) ==
	      PN_FAILED);
	harness_arm(NULL);
	CHECK(mailbox(ALICE, "Copies").message_count == 1);
	CHECK_OK(harness_entries()->verify(harness_instance(), NULL, &error));
	let_pass(2);
	expunge(ALICE, inbox, 1, UINT32_MAX);
	CHECK(!is_gone(bodies[0]));
	let_pass(48);
	for (int i = 0; i < DIFFERENT; i++)
		CHECK(is_gone(bodies[i]));
	harness_advance(-50ll * 3600 * 1000);
}

const struct conformance_case large_cases[] = {
	CASE(a_hundred_thousand_messages_are_as_ten),
	CASE(expunges_here_and_there_leave_the_others),
	CASE(many_messages_are_copied_and_moved_at_once),
	CASE(a_large_copy_that_does_not_fit_changes_nothing),
	CASE(small_commits_do_not_wait_for_large_ones),
	CASE(a_large_copy_is_of_what_is_there_when_it_happens),
	CASE(a_large_inbox_is_renamed),
	CASE(a_large_copy_to_what_is_deleted_gives_all_back),
	CASE(a_large_copy_that_dies_leaves_nothing_behind),
	CASES_END,
};
