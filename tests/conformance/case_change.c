/* SPDX-License-Identifier: Apache-2.0 */
/* Cases: what changed since, views, pages of rows. */
#include "cases.h"

#include <stdlib.h>
#include <string.h>

static void modseq_grows_with_every_change(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "one");
	uint64_t last = one.modseq;
	struct pn_mutation_result next;

	CHECK(last != 0 && row_of(ALICE, one.mailbox, 1).modseq == last);
	next = append(ALICE, "Other", "two");
	CHECK(next.modseq > last);
	last = next.modseq;
	next = flag(ALICE, one.mailbox, 1, 1, PN_FLAGS_ADD, PN_FLAG_SEEN, NULL);
	CHECK(next.modseq > last);
	last = next.modseq;
	next = expunge(ALICE, one.mailbox, 1, 1);
	CHECK(next.modseq > last);
	CHECK(account_info(ALICE).modseq == next.modseq);
}

static void changes_tell_what_is_new_changed_and_gone(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "one");
	struct pn_changes changes;
	uint64_t since;

	append(ALICE, "INBOX", "two");
	append(ALICE, "INBOX", "three");
	since = account_info(ALICE).modseq;
	changes = changes_since(ALICE, one.mailbox, since);
	CHECK(changes.count == 0 && changes.vanished.count == 0 && changes.modseq == since);
	append(ALICE, "INBOX", "four");
	flag(ALICE, one.mailbox, 1, 1, PN_FLAGS_ADD, PN_FLAG_SEEN, "Word");
	expunge(ALICE, one.mailbox, 2, 2);
	changes = changes_since(ALICE, one.mailbox, since);
	CHECK(changes.count == 2);
	CHECK(changes.rows[0].uid == 1 && changes.rows[0].flags.system == PN_FLAG_SEEN);
	CHECK(has_keyword(changes.rows[0].flags, "Word"));
	CHECK(changes.rows[1].uid == 4);
	CHECK(pn_uid_set_count(changes.vanished) == 1 && pn_uid_set_has(changes.vanished, 2));
	CHECK(changes.mailbox.message_count == 3 && changes.mailbox.uid_next == 5);
	CHECK(changes_since(ALICE, one.mailbox, changes.modseq).count == 0);
}

static void changes_are_right_since_any_modseq(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "zero");
	struct {
		uint64_t modseq;
		bool there[64];
		uint32_t flags[64];
	} past[40];
	struct pn_rows rows;

	srand(7);
	for (int step = 0; step < 40; step++) {
		uint32_t uid = 1 + (uint32_t)rand() % 30;

		switch (rand() % 4) {
		case 0:
			flag(ALICE, one.mailbox, uid, uid + 3, PN_FLAGS_ADD, 1u << (rand() % 5),
			     NULL);
			break;
		case 1:
			expunge(ALICE, one.mailbox, uid, uid + (uint32_t)rand() % 2);
			break;
		default:
			append(ALICE, "INBOX", "more");
		}
		memset(&past[step], 0, sizeof(past[step]));
		past[step].modseq = account_info(ALICE).modseq;
		rows = rows_of(ALICE, one.mailbox, false);
		for (size_t i = 0; i < rows.count; i++) {
			past[step].there[rows.rows[i].uid] = true;
			past[step].flags[rows.rows[i].uid] = rows.rows[i].flags.system;
		}
	}
	/* From each moment: what is known, with the changes, is what is there at the end. */
	for (int step = 0; step < 40; step++) {
		struct pn_changes changes = changes_since(ALICE, one.mailbox, past[step].modseq);

		for (size_t i = 0; i < changes.count; i++) {
			past[step].there[changes.rows[i].uid] = true;
			past[step].flags[changes.rows[i].uid] = changes.rows[i].flags.system;
		}
		for (uint32_t uid = 1; uid < 64; uid++)
			if (pn_uid_set_has(changes.vanished, uid))
				past[step].there[uid] = false;
		for (uint32_t uid = 1; uid < 64; uid++) {
			CHECK(past[step].there[uid] == past[39].there[uid]);
			CHECK(!past[39].there[uid] || past[step].flags[uid] == past[39].flags[uid]);
		}
	}
}

static void changes_come_in_pages(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "0");
	struct pn_changes_request request = {.struct_size = sizeof(request),
	                                     .account = PN_SLICE(ALICE),
	                                     .since = 1,
	                                     .max_rows = 3};
	struct pn_changes page;
	uint32_t seen = 0;
	uint32_t vanished = 0;

	for (int i = 0; i < 10; i++)
		append(ALICE, "INBOX", "more");
	expunge(ALICE, one.mailbox, 2, 3);
	expunge(ALICE, one.mailbox, 11, 11);
	request.mailbox = one.mailbox;
	do {
		CHECK_OK(ask_changes(&request, &page));
		CHECK(page.count <= 3);
		for (size_t i = 0; i < page.count; i++) {
			CHECK(page.rows[i].uid > seen);
			seen = page.rows[i].uid;
		}
		vanished += (uint32_t)pn_uid_set_count(page.vanished);
		request.from_uid = page.next_uid;
		CHECK(page.is_complete || page.next_uid > seen);
	} while (!page.is_complete);
	CHECK(seen == 10 && vanished == 3);
}

static void views_name_the_uids_that_are_there(void)
{
	struct pn_mutation_result one = append_flags(ALICE, "INBOX", "one", 0, "Key");
	struct pn_view_request request = {
		.struct_size = sizeof(request), .account = PN_SLICE(ALICE), .mailbox = one.mailbox};
	struct pn_view view;

	for (int i = 0; i < 9; i++)
		append(ALICE, "INBOX", "more");
	expunge(ALICE, one.mailbox, 3, 4);
	expunge(ALICE, one.mailbox, 10, 10);
	expunge(ALICE, one.mailbox, 6, 6);
	append(ALICE, "INBOX", "last");
	CHECK_OK(ask_view(&request, &view));
	CHECK(view.uids.count == 4);
	CHECK(view.uids.ranges[0].first == 1 && view.uids.ranges[0].last == 2);
	CHECK(view.uids.ranges[1].first == 5 && view.uids.ranges[1].last == 5);
	CHECK(view.uids.ranges[2].first == 7 && view.uids.ranges[2].last == 9);
	CHECK(view.uids.ranges[3].first == 11 && view.uids.ranges[3].last == 11);
	CHECK(view.mailbox.message_count == 7 && view.mailbox.uid_next == 12);
	CHECK(view.modseq == account_info(ALICE).modseq);
	CHECK(view.keyword_count == 1);
}

static void view_of_what_is_not_there_is_not_found(void)
{
	struct pn_view_request request = {
		.struct_size = sizeof(request), .account = PN_SLICE(ALICE), .mailbox = 1};
	struct pn_view view;

	CHECK(ask_view(&request, &view) == PN_NOT_FOUND);
	make_account(ALICE);
	request.mailbox = 999;
	CHECK(ask_view(&request, &view) == PN_NOT_FOUND);
}

static void rows_come_in_pages_and_ranges(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "0");
	struct pn_uid_range ranges[2] = {{2, 4}, {8, UINT32_MAX}};
	struct pn_rows_request request = {.struct_size = sizeof(request),
	                                  .account = PN_SLICE(ALICE),
	                                  .mailbox = one.mailbox,
	                                  .uids = {ranges, 2},
	                                  .fields = PN_ROW_FLAGS,
	                                  .max_rows = 4};
	struct pn_rows rows;

	for (int i = 0; i < 9; i++)
		append(ALICE, "INBOX", "more");
	expunge(ALICE, one.mailbox, 3, 3);
	CHECK_OK(ask_rows(&request, &rows));
	CHECK(rows.count == 4 && rows.next_uid == 10);
	CHECK(rows.rows[0].uid == 2 && rows.rows[1].uid == 4 && rows.rows[2].uid == 8);
	request.with_expunged = true;
	CHECK_OK(ask_rows(&request, &rows));
	CHECK(rows.count == 4 && rows.rows[1].uid == 3 && rows.rows[1].is_expunged);
}

static void rows_changed_since_are_only_those(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "0");
	struct pn_mutation_result two = append(ALICE, "INBOX", "1");
	struct pn_rows_request request = {.struct_size = sizeof(request),
	                                  .account = PN_SLICE(ALICE),
	                                  .mailbox = one.mailbox,
	                                  .uids = uids(1, UINT32_MAX),
	                                  .changed_since = two.modseq,
	                                  .max_rows = 10};
	struct pn_rows rows;

	CHECK_OK(ask_rows(&request, &rows));
	CHECK(rows.count == 0);
	flag(ALICE, one.mailbox, 1, 1, PN_FLAGS_ADD, PN_FLAG_SEEN, NULL);
	CHECK_OK(ask_rows(&request, &rows));
	CHECK(rows.count == 1 && rows.rows[0].uid == 1);
}

static uint32_t recent_of(uint64_t mailbox)
{
	struct pn_view_request request = {
		.struct_size = sizeof(request), .account = PN_SLICE(ALICE), .mailbox = mailbox};
	struct pn_mailboxes_request list = {
		.struct_size = sizeof(list), .account = PN_SLICE(ALICE), .id = mailbox};
	struct pn_mailboxes mailboxes;
	struct pn_view view;

	CHECK_OK(ask_view(&request, &view));
	CHECK_OK(ask_mailboxes(&list, &mailboxes));
	CHECK(mailboxes.recent_uids == NULL || mailboxes.recent_uids[0] == view.recent_uid);
	return view.recent_uid;
}

static uint64_t set_recent(uint64_t mailbox, uint32_t first, uint32_t last)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_RECENT, ALICE);

	mutation->mailbox = mailbox;
	mutation->uids = uids(first, last);
	return must(commit).modseq;
}

static void recent_ends_with_what_was_shown(void)
{
	uint64_t inbox = append(ALICE, "INBOX", "one").mailbox;
	uint64_t modseq;

	append(ALICE, "INBOX", "two");
	modseq = append(ALICE, "INBOX", "three").modseq;
	CHECK(recent_of(inbox) == 1);
	CHECK(set_recent(inbox, 1, 2) == modseq);
	CHECK(recent_of(inbox) == 3);
	set_recent(inbox, 1, 1);
	CHECK(recent_of(inbox) == 3);
	/* What is not there yet was shown to nobody. */
	set_recent(inbox, 1, UINT32_MAX);
	CHECK(recent_of(inbox) == 4);
	CHECK(account_info(ALICE).modseq == modseq);
	CHECK(mailbox(ALICE, "INBOX").highest_modseq == modseq);
	CHECK(changes_since(ALICE, inbox, modseq).count == 0);
	append(ALICE, "INBOX", "four");
	CHECK(recent_of(inbox) == 4);
}

static void accounts_come_in_pages_sorted(void)
{
	struct pn_accounts_request request = {.struct_size = sizeof(request), .max_accounts = 2};
	struct pn_accounts page;

	make_account("c");
	make_account("a");
	make_account("b");
	CHECK_OK(ask_accounts(&request, &page));
	CHECK(page.count == 2 && !page.is_complete);
	CHECK(page.accounts[0].name.data[0] == 'a' && page.accounts[1].name.data[0] == 'b');
	request.after = page.accounts[1].name;
	CHECK_OK(ask_accounts(&request, &page));
	CHECK(page.count == 1 && page.is_complete && page.accounts[0].name.data[0] == 'c');
}

const struct conformance_case change_cases[] = {
	CASE(modseq_grows_with_every_change),
	CASE(changes_tell_what_is_new_changed_and_gone),
	CASE(changes_are_right_since_any_modseq),
	CASE(changes_come_in_pages),
	CASE(views_name_the_uids_that_are_there),
	CASE(view_of_what_is_not_there_is_not_found),
	CASE(rows_come_in_pages_and_ranges),
	CASE(rows_changed_since_are_only_those),
	CASE(recent_ends_with_what_was_shown),
	CASE(accounts_come_in_pages_sorted),
	CASES_END,
};
