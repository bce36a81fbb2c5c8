/* SPDX-License-Identifier: Apache-2.0 */
/* Cases: a commit happens whole or not at all, alone and among others. */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <postern/text.h>

static struct pn_mutation *add_append(struct commit *commit, const char *account, const char *name,
                                      const char *words)
{
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, account);

	mutation->name = pn_slice_of(name);
	mutation->body.is_new = true;
	mutation->body.index = commit_body(commit, message(words, 0));
	return mutation;
}

static void a_failing_mutation_writes_nothing_of_its_commit(void)
{
	struct commit *commit = commit_new();
	char *before;
	char *after;

	append(ALICE, "INBOX", "there");
	before = dump_store();
	add_append(commit, ALICE, "INBOX", "first");
	commit_add(commit, PN_MUTATION_MAILBOX_CREATE, ALICE)->name = PN_SLICE("New");
	commit_add(commit, PN_MUTATION_SUBSCRIBE, ALICE)->name = PN_SLICE("INBOX");
	add_append(commit, ALICE, "Missing", "second");
	CHECK(try_commit(commit) == PN_NOT_FOUND);
	CHECK(last_failed_index() == 3 && last_commit_error()[0] != '\0');
	after = dump_store();
	CHECK(strcmp(before, after) == 0);
	free(before);
	free(after);
}

static void mutations_see_those_before_them(void)
{
	struct commit *commit = commit_new();
	struct pn_mutation_result result;

	commit_add(commit, PN_MUTATION_ACCOUNT_CREATE, ALICE);
	commit_add(commit, PN_MUTATION_MAILBOX_CREATE, ALICE)->name = PN_SLICE("New");
	add_append(commit, ALICE, "New", "first");
	add_append(commit, ALICE, "New", "second");
	result = must(commit);
	CHECK(result.first_uid == 2);
	CHECK(mailbox(ALICE, "New").message_count == 2);
}

static void a_failing_commit_leaves_the_others_of_its_group(void)
{
	struct commit *commits[12];

	make_account(ALICE);
	for (int i = 0; i < 12; i++) {
		commits[i] = commit_new();
		add_append(commits[i], ALICE, i % 3 == 1 ? "Missing" : "INBOX", "group");
	}
	for (int i = 0; i < 12; i++)
		commit_submit(commits[i]);
	for (int i = 0; i < 12; i++) {
		CHECK(commit_wait(commits[i]) == (i % 3 == 1 ? PN_NOT_FOUND : PN_OK));
		commit_free(commits[i]);
	}
	CHECK(mailbox(ALICE, "INBOX").message_count == 8);
}

static void a_half_done_commit_is_taken_back_among_others(void)
{
	struct commit *commits[12];

	make_account(ALICE);
	for (int i = 0; i < 12; i++) {
		commits[i] = commit_new();
		add_append(commits[i], ALICE, "INBOX", i % 3 == 1 ? "half" : "whole");
		commit_add(commits[i], PN_MUTATION_SUBSCRIBE, ALICE)->name = PN_SLICE("INBOX");
		if (i % 3 == 1)
			add_append(commits[i], ALICE, "Missing", "half");
		commit_submit(commits[i]);
	}
	for (int i = 0; i < 12; i++) {
		CHECK(commit_wait(commits[i]) == (i % 3 == 1 ? PN_NOT_FOUND : PN_OK));
		CHECK(i % 3 != 1 || commits[i]->pn.failed_index == 2);
		commit_free(commits[i]);
	}
	CHECK(mailbox(ALICE, "INBOX").message_count == 8);
	CHECK(account_info(ALICE).size_bytes == 8 * message("whole", 0).size);
}

static void of_conflicting_commits_the_first_wins(void)
{
	struct commit *commits[5];
	int won = 0;

	make_account(ALICE);
	for (int i = 0; i < 5; i++) {
		commits[i] = commit_new();
		commit_add(commits[i], PN_MUTATION_MAILBOX_CREATE, ALICE)->name =
			PN_SLICE("Wanted");
		commit_submit(commits[i]);
	}
	for (int i = 0; i < 5; i++) {
		enum pn_status status = commit_wait(commits[i]);

		CHECK(status == PN_OK || status == PN_CONFLICT);
		won += status == PN_OK;
		commit_free(commits[i]);
	}
	CHECK(won == 1);
}

static void quota_holds_among_commits_of_one_group(void)
{
	struct commit *commits[10];
	uint64_t size = message("quota", 0).size;
	int fitted = 0;

	make_account(ALICE);
	for (int i = 0; i < 10; i++) {
		commits[i] = commit_new();
		add_append(commits[i], ALICE, "INBOX", "quota")->max_account_bytes = 4 * size;
		commit_submit(commits[i]);
	}
	for (int i = 0; i < 10; i++) {
		enum pn_status status = commit_wait(commits[i]);

		CHECK(status == PN_OK || status == PN_LIMIT);
		fitted += status == PN_OK;
		commit_free(commits[i]);
	}
	CHECK(fitted == 4 && account_info(ALICE).message_count == 4);
}

static void commits_are_answered_in_the_end_each_once(void)
{
	enum { MANY = 300 };
	struct commit *commits[MANY];
	uint64_t inbox;

	make_account(ALICE);
	inbox = mailbox_id(ALICE, "INBOX");
	for (int i = 0; i < MANY; i++) {
		commits[i] = commit_new();
		add_append(commits[i], ALICE, "INBOX", "many")->mailbox = inbox;
		commit_submit(commits[i]);
	}
	for (int i = 0; i < MANY; i++) {
		CHECK_OK(commit_wait(commits[i]));
		CHECK(commits[i]->pn.results[0].first_uid == (uint32_t)i + 1);
		commit_free(commits[i]);
	}
	CHECK(mailbox(ALICE, "INBOX").message_count == MANY);
}

static struct pn_mutation_result append_once(const char *account, const char *key)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = add_append(commit, account, "INBOX", "once");

	mutation->create_missing = true;
	mutation->once_key = pn_slice_of(key);
	return must(commit);
}

static void a_once_key_appends_once(void)
{
	struct pn_mutation_result first = append_once(ALICE, "t1");
	struct pn_mutation_result second = append_once(ALICE, "t1");

	CHECK(!first.was_there && second.was_there);
	CHECK(second.first_uid == first.first_uid && second.mailbox == first.mailbox);
	CHECK(memcmp(&first.body, &second.body, sizeof(first.body)) == 0);
	CHECK(!append_once(ALICE, "t2").was_there);
	CHECK(!append_once(BOB, "t1").was_there);
	CHECK(account_info(ALICE).message_count == 2);
}

static void a_once_key_holds_after_the_message_is_gone(void)
{
	struct pn_mutation_result first = append_once(ALICE, "t1");

	expunge(ALICE, first.mailbox, 1, 1);
	CHECK(append_once(ALICE, "t1").was_there);
	CHECK(account_info(ALICE).message_count == 0);
}

static void a_once_key_holds_within_one_commit(void)
{
	struct commit *commit = commit_new();

	make_account(ALICE);
	add_append(commit, ALICE, "INBOX", "one")->once_key = PN_SLICE("same");
	add_append(commit, ALICE, "INBOX", "two")->once_key = PN_SLICE("same");
	CHECK(must(commit).was_there);
	CHECK(account_info(ALICE).message_count == 1);
}

static void a_once_key_that_was_used_makes_no_mailbox(void)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation;

	append_once(ALICE, "t1");
	mutation = add_append(commit, ALICE, "Elsewhere", "once");
	mutation->create_missing = true;
	mutation->once_key = PN_SLICE("t1");
	CHECK(must(commit).was_there);
	CHECK(!has_mailbox(ALICE, "Elsewhere"));
}

static void appending_without_create_needs_the_mailbox(void)
{
	struct commit *commit = commit_new();

	add_append(commit, ALICE, "INBOX", "x");
	CHECK(try_commit(commit) == PN_NOT_FOUND);
	make_account(ALICE);
	commit = commit_new();
	add_append(commit, ALICE, "Other", "x");
	CHECK(try_commit(commit) == PN_NOT_FOUND);
	commit = commit_new();
	add_append(commit, ALICE, NULL, "x")->mailbox = 4711;
	CHECK(try_commit(commit) == PN_NOT_FOUND);
	commit = commit_new();
	add_append(commit, ALICE, "INBOX", "x")->body.index = 7;
	CHECK(try_commit(commit) == PN_CONFLICT);
	commit = commit_new();
	commit_add(commit, PN_MUTATION_APPEND, ALICE)->name = PN_SLICE("INBOX");
	CHECK(try_commit(commit) == PN_NOT_FOUND); /* a body that is not there */
}

static void an_empty_commit_is_fine(void)
{
	make_account(ALICE);
	CHECK_OK(try_commit(commit_new()));
}

static void an_unknown_mutation_is_refused(void)
{
	struct commit *commit = commit_new();

	make_account(ALICE);
	commit_add(commit, (enum pn_mutation_kind)999, ALICE);
	CHECK(try_commit(commit) == PN_CONFLICT);
}

static void expunged_messages_are_cleared_away_in_time(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "kept");
	struct pn_error error = {0};
	struct pn_changes changes;
	uint64_t since = one.modseq;

	if (harness_entries()->compact == NULL)
		return;
	append(ALICE, "INBOX", "gone");
	expunge(ALICE, one.mailbox, 2, 2);
	CHECK(rows_of(ALICE, one.mailbox, true).count == 2);
	harness_advance(25 * 3600 * 1000);
	CHECK_OK(harness_entries()->compact(harness_instance(), NULL, &error));
	CHECK(rows_of(ALICE, one.mailbox, true).count == 1);
	changes = changes_since(ALICE, one.mailbox, since);
	CHECK(pn_uid_set_count(changes.vanished) == 1 && pn_uid_set_has(changes.vanished, 2));
	harness_advance(31ll * 24 * 3600 * 1000);
	CHECK_OK(harness_entries()->compact(harness_instance(), NULL, &error));
	changes = changes_since(ALICE, one.mailbox, since);
	CHECK(pn_uid_set_has(changes.vanished, 2) && !pn_uid_set_has(changes.vanished, 1));
	CHECK(pn_slice_equal(body_of(ALICE, one.body), message("kept", 0)));
}

static void deleted_mailboxes_and_accounts_are_cleared_away(void)
{
	struct pn_error error = {0};
	struct commit *commit;

	if (harness_entries()->compact == NULL)
		return;
	commit = commit_new();
	commit_add(commit, PN_MUTATION_MAILBOX_DELETE, ALICE)->mailbox =
		append(ALICE, "Gone", "one").mailbox;
	append(ALICE, "Gone", "two");
	append(ALICE, "INBOX", "kept");
	must(commit);
	append(BOB, "INBOX", "three");
	commit = commit_new();
	commit_add(commit, PN_MUTATION_ACCOUNT_DELETE, BOB);
	must(commit);
	CHECK_OK(harness_entries()->compact(harness_instance(), NULL, &error));
	CHECK(account_info(ALICE).message_count == 1);
}

const struct conformance_case commit_cases[] = {
	CASE(a_failing_mutation_writes_nothing_of_its_commit),
	CASE(mutations_see_those_before_them),
	CASE(a_failing_commit_leaves_the_others_of_its_group),
	CASE(a_half_done_commit_is_taken_back_among_others),
	CASE(of_conflicting_commits_the_first_wins),
	CASE(quota_holds_among_commits_of_one_group),
	CASE(commits_are_answered_in_the_end_each_once),
	CASE(a_once_key_appends_once),
	CASE(a_once_key_holds_after_the_message_is_gone),
	CASE(a_once_key_holds_within_one_commit),
	CASE(a_once_key_that_was_used_makes_no_mailbox),
	CASE(appending_without_create_needs_the_mailbox),
	CASE(an_empty_commit_is_fine),
	CASE(an_unknown_mutation_is_refused),
	CASE(expunged_messages_are_cleared_away_in_time),
	CASE(deleted_mailboxes_and_accounts_are_cleared_away),
	CASES_END,
};
