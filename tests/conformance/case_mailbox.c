/* SPDX-License-Identifier: Apache-2.0 */
/* Cases: accounts, the tree of mailboxes, subscriptions, quota. */
#include "cases.h"

#include <stdio.h>
#include <string.h>

#include <postern/text.h>

static enum pn_status change(enum pn_mutation_kind kind, uint64_t id, const char *name, bool on,
                             uint32_t attributes)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, kind, ALICE);

	mutation->mailbox = id;
	mutation->name = pn_slice_of(name);
	mutation->on = on;
	mutation->attributes = attributes;
	return try_commit(commit);
}

static enum pn_status create(const char *name)
{
	return change(PN_MUTATION_MAILBOX_CREATE, 0, name, false, 0);
}

static void account_has_an_inbox(void)
{
	struct pn_mailbox_info inbox;

	make_account(ALICE);
	inbox = mailbox(ALICE, "INBOX");
	CHECK(inbox.id != 0 && inbox.uid_validity != 0 && inbox.uid_next == 1);
	CHECK(mailbox(ALICE, "inbox").id == inbox.id);
}

static void account_created_twice_is_one(void)
{
	struct commit *commit = commit_new();

	make_account(ALICE);
	append(ALICE, "INBOX", "kept");
	commit_add(commit, PN_MUTATION_ACCOUNT_CREATE, ALICE);
	CHECK(must(commit).was_there);
	CHECK(account_info(ALICE).message_count == 1);
}

static void unknown_account_is_not_found(void)
{
	struct pn_mailboxes_request request = {.struct_size = sizeof(request),
	                                       .account = PN_SLICE("nobody")};
	struct pn_mailboxes result;

	CHECK(ask_mailboxes(&request, &result) == PN_NOT_FOUND);
	CHECK(create("X") == PN_NOT_FOUND);
}

static void deleted_account_is_gone(void)
{
	struct commit *commit = commit_new();
	uint32_t validity;

	append(ALICE, "INBOX", "gone");
	validity = mailbox(ALICE, "INBOX").uid_validity;
	commit_add(commit, PN_MUTATION_ACCOUNT_DELETE, ALICE);
	must(commit);
	CHECK(!has_mailbox(ALICE, "INBOX"));
	append(ALICE, "INBOX", "new");
	CHECK(account_info(ALICE).message_count == 1);
	CHECK(mailbox(ALICE, "INBOX").uid_validity > validity);
}

static void mailbox_is_created_with_the_levels_above(void)
{
	make_account(ALICE);
	CHECK_OK(create("a/b/c"));
	CHECK(has_mailbox(ALICE, "a") && has_mailbox(ALICE, "a/b") && has_mailbox(ALICE, "a/b/c"));
	CHECK(mailbox(ALICE, "a").attributes & PN_MAILBOX_HAS_CHILDREN);
	CHECK(!(mailbox(ALICE, "a/b/c").attributes & PN_MAILBOX_HAS_CHILDREN));
	CHECK(create("a/b/c") == PN_CONFLICT);
	CHECK(create("a") == PN_CONFLICT);
	CHECK(create("inbox") == PN_CONFLICT);
}

static void names_that_are_none_are_refused(void)
{
	char name[PN_MAILBOX_NAME_MAX + 2];

	make_account(ALICE);
	CHECK(create("") != PN_OK);
	CHECK(create("/x") != PN_OK);
	CHECK(create("x/") != PN_OK);
	CHECK(create("x//y") != PN_OK);
	CHECK(create("x\ny") != PN_OK);
	CHECK(create("x\x7fy") != PN_OK);
	memset(name, 'n', sizeof(name));
	name[PN_MAILBOX_NAME_MAX + 1] = '\0';
	CHECK(create(name) == PN_LIMIT);
	name[PN_MAILBOX_NAME_MAX] = '\0';
	CHECK_OK(create(name));
	CHECK(has_mailbox(ALICE, name));
}

static void names_are_case_sensitive_but_inbox(void)
{
	make_account(ALICE);
	CHECK_OK(create("Work"));
	CHECK_OK(create("work"));
	CHECK_OK(create("Inbox/Sub"));
	CHECK(has_mailbox(ALICE, "INBOX/Sub"));
	CHECK(has_mailbox(ALICE, "inbox/Sub"));
}

static void list_is_sorted_inbox_first(void)
{
	struct pn_mailboxes_request request = {.struct_size = sizeof(request),
	                                       .account = PN_SLICE(ALICE)};
	struct pn_mailboxes result;

	make_account(ALICE);
	CHECK_OK(create("Zoo"));
	CHECK_OK(create("Archive/2026"));
	CHECK_OK(create("Archive-old"));
	CHECK_OK(ask_mailboxes(&request, &result));
	CHECK(result.count == 5);
	CHECK(pn_slice_equal(result.mailboxes[0].name, PN_SLICE("INBOX")));
	CHECK(pn_slice_equal(result.mailboxes[1].name, PN_SLICE("Archive")));
	CHECK(pn_slice_equal(result.mailboxes[2].name, PN_SLICE("Archive-old")));
	CHECK(pn_slice_equal(result.mailboxes[3].name, PN_SLICE("Archive/2026")));
	CHECK(pn_slice_equal(result.mailboxes[4].name, PN_SLICE("Zoo")));
	CHECK(result.modseq == account_info(ALICE).modseq);
}

/* What is said of one is what is said of it among all. */
static void one_mailbox_is_told_as_among_all(void)
{
	static const char *const levels[] = {"a", "a/b", "long", NULL};
	struct pn_mailboxes_request request = {.struct_size = sizeof(request),
	                                       .account = PN_SLICE(ALICE)};
	char name[PN_MAILBOX_NAME_MAX + 1];
	struct pn_mailboxes all;
	struct pn_mailboxes one;

	make_account(ALICE);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "%s/%d/x%s", i % 2 ? "a/b" : "a", i,
		         i % 3 ? "" : "/y");
		CHECK_OK(create(name));
	}
	/* Levels of every length around what a store may put into a key. */
	for (size_t size = 380; size <= PN_MAILBOX_NAME_MAX; size += size < 520 ? 7 : 160) {
		memset(name, 'n', size);
		memcpy(name, "long/", 5);
		name[size / 2] = name[size - 2] = '/';
		name[size] = '\0';
		CHECK_OK(create(name));
	}
	CHECK_OK(change(PN_MUTATION_SUBSCRIBE, 0, "a/1", true, 0));
	CHECK_OK(change(PN_MUTATION_SUBSCRIBE, 0, "a/b/c/never", true, 0));
	for (size_t i = 0; levels[i] != NULL; i++)
		CHECK_OK(change(PN_MUTATION_MAILBOX_DELETE, mailbox_id(ALICE, levels[i]), NULL,
		                false, 0));
	CHECK_OK(ask_mailboxes(&request, &all));
	CHECK(all.count > 400);
	for (size_t i = 0; i < all.count; i++) {
		request.name = all.mailboxes[i].name;
		request.id = i % 2 ? all.mailboxes[i].id : 0;
		CHECK_OK(ask_mailboxes(&request, &one));
		CHECK(one.count == 1 && one.mailboxes[0].id == all.mailboxes[i].id);
		CHECK(one.mailboxes[0].attributes == all.mailboxes[i].attributes);
		CHECK(pn_slice_equal(one.mailboxes[0].name, all.mailboxes[i].name));
	}
	request.id = 0;
	request.name = PN_SLICE("a/b/c");
	CHECK(ask_mailboxes(&request, &one) == PN_NOT_FOUND);
	request.id = all.mailboxes[0].id;
	CHECK(ask_mailboxes(&request, &one) == PN_NOT_FOUND);
}

static void mailbox_is_found_by_id(void)
{
	struct pn_mailboxes_request request = {.struct_size = sizeof(request),
	                                       .account = PN_SLICE(ALICE)};
	struct pn_mailboxes result;

	make_account(ALICE);
	request.id = make_mailbox(ALICE, "This");
	CHECK_OK(ask_mailboxes(&request, &result));
	CHECK(result.count == 1 && pn_slice_equal(result.mailboxes[0].name, PN_SLICE("This")));
	request.id = 4711;
	CHECK(ask_mailboxes(&request, &result) == PN_NOT_FOUND);
}

static void deleted_mailbox_is_gone_and_its_id_is_not_used_again(void)
{
	uint64_t id;
	uint32_t validity;
	struct pn_view_request request = {.struct_size = sizeof(request),
	                                  .account = PN_SLICE(ALICE)};
	struct pn_view view;

	append(ALICE, "INBOX", "stays");
	id = append(ALICE, "Gone", "gone").mailbox;
	validity = mailbox(ALICE, "Gone").uid_validity;
	CHECK_OK(change(PN_MUTATION_MAILBOX_DELETE, id, NULL, false, 0));
	CHECK(!has_mailbox(ALICE, "Gone"));
	request.mailbox = id;
	CHECK(ask_view(&request, &view) == PN_NOT_FOUND);
	CHECK(account_info(ALICE).message_count == 1);
	CHECK(account_info(ALICE).size_bytes == message("stays", 0).size);
	CHECK(make_mailbox(ALICE, "Gone") != id);
	CHECK(mailbox(ALICE, "Gone").uid_validity > validity);
	CHECK(mailbox(ALICE, "Gone").message_count == 0);
}

static void inbox_cannot_be_deleted(void)
{
	make_account(ALICE);
	CHECK(change(PN_MUTATION_MAILBOX_DELETE, mailbox_id(ALICE, "INBOX"), NULL, false, 0) ==
	      PN_CONFLICT);
	CHECK(has_mailbox(ALICE, "INBOX"));
}

static void deleted_parent_stays_as_a_level(void)
{
	struct pn_mailbox_info level;

	make_account(ALICE);
	CHECK_OK(create("a/b"));
	CHECK_OK(change(PN_MUTATION_MAILBOX_DELETE, mailbox_id(ALICE, "a"), NULL, false, 0));
	level = mailbox(ALICE, "a");
	CHECK(level.id == 0 && level.attributes & PN_MAILBOX_NO_SELECT);
	CHECK(level.attributes & PN_MAILBOX_HAS_CHILDREN);
	CHECK(has_mailbox(ALICE, "a/b"));
	CHECK_OK(create("a"));
	CHECK(has_mailbox(ALICE, "a"));
}

static void renamed_mailbox_keeps_what_it_has(void)
{
	struct pn_mutation_result one = append(ALICE, "Old", "kept");
	struct pn_mailbox_info before = mailbox(ALICE, "Old");
	struct pn_mailbox_info after;

	CHECK_OK(change(PN_MUTATION_MAILBOX_RENAME, one.mailbox, "New/Place", false, 0));
	CHECK(!has_mailbox(ALICE, "Old") && has_mailbox(ALICE, "New"));
	after = mailbox(ALICE, "New/Place");
	CHECK(after.id == before.id && after.uid_validity == before.uid_validity);
	CHECK(after.message_count == 1);
	CHECK(account_info(ALICE).modseq > one.modseq);
}

static void children_move_along(void)
{
	uint64_t deep;

	make_account(ALICE);
	CHECK_OK(create("a/b/c"));
	CHECK_OK(create("ab"));
	deep = mailbox_id(ALICE, "a/b/c");
	CHECK_OK(change(PN_MUTATION_MAILBOX_RENAME, mailbox_id(ALICE, "a"), "z", false, 0));
	CHECK(mailbox_id(ALICE, "z/b/c") == deep);
	CHECK(has_mailbox(ALICE, "ab") && !has_mailbox(ALICE, "a") && !has_mailbox(ALICE, "a/b"));
}

static void rename_onto_what_exists_or_below_itself_is_refused(void)
{
	make_account(ALICE);
	CHECK_OK(create("a"));
	CHECK_OK(create("b"));
	CHECK(change(PN_MUTATION_MAILBOX_RENAME, mailbox_id(ALICE, "a"), "b", false, 0) ==
	      PN_CONFLICT);
	CHECK(change(PN_MUTATION_MAILBOX_RENAME, mailbox_id(ALICE, "a"), "a/x", false, 0) ==
	      PN_CONFLICT);
	CHECK(change(PN_MUTATION_MAILBOX_RENAME, mailbox_id(ALICE, "a"), "inbox", false, 0) ==
	      PN_CONFLICT);
	CHECK(has_mailbox(ALICE, "a") && has_mailbox(ALICE, "b"));
}

static void renaming_inbox_moves_its_messages(void)
{
	struct pn_mutation_result one = append_flags(ALICE, "INBOX", "one", PN_FLAG_SEEN, "Tag");
	struct pn_row row;
	uint64_t target;

	append(ALICE, "INBOX", "two");
	CHECK_OK(change(PN_MUTATION_MAILBOX_RENAME, one.mailbox, "Saved", false, 0));
	CHECK(mailbox(ALICE, "INBOX").message_count == 0);
	CHECK(mailbox(ALICE, "INBOX").id == one.mailbox);
	target = mailbox_id(ALICE, "Saved");
	CHECK(target != one.mailbox && rows_of(ALICE, target, false).count == 2);
	row = row_of(ALICE, target, 1);
	CHECK(row.flags.system == PN_FLAG_SEEN && has_keyword(row.flags, "Tag"));
	CHECK(pn_slice_equal(body_of(ALICE, row.body), message("one", 0)));
}

static void subscriptions_outlive_mailboxes(void)
{
	struct pn_mailbox_info info;

	make_account(ALICE);
	CHECK_OK(create("News"));
	CHECK_OK(change(PN_MUTATION_SUBSCRIBE, 0, "News", true, 0));
	CHECK_OK(change(PN_MUTATION_SUBSCRIBE, 0, "Never", true, 0));
	CHECK(mailbox(ALICE, "News").attributes & PN_MAILBOX_SUBSCRIBED);
	info = mailbox(ALICE, "Never");
	CHECK(info.id == 0 && info.attributes & PN_MAILBOX_NONEXISTENT);
	CHECK(info.attributes & PN_MAILBOX_SUBSCRIBED);
	CHECK_OK(change(PN_MUTATION_MAILBOX_DELETE, mailbox_id(ALICE, "News"), NULL, false, 0));
	CHECK(mailbox(ALICE, "News").attributes & PN_MAILBOX_NONEXISTENT);
	CHECK_OK(change(PN_MUTATION_SUBSCRIBE, 0, "News", false, 0));
	CHECK_OK(change(PN_MUTATION_SUBSCRIBE, 0, "News", false, 0));
	CHECK(!has_mailbox(ALICE, "News"));
}

static void special_uses_are_kept(void)
{
	uint64_t id;

	make_account(ALICE);
	CHECK_OK(change(PN_MUTATION_MAILBOX_CREATE, 0, "Sent", false, PN_MAILBOX_SENT));
	CHECK(mailbox(ALICE, "Sent").attributes == PN_MAILBOX_SENT);
	id = mailbox_id(ALICE, "Sent");
	CHECK_OK(change(PN_MUTATION_ATTRIBUTES, id, NULL, false,
	                PN_MAILBOX_ARCHIVE | PN_MAILBOX_NO_SELECT));
	CHECK(mailbox(ALICE, "Sent").attributes == PN_MAILBOX_ARCHIVE);
}

static void uid_validity_is_never_the_same(void)
{
	uint32_t last = 0;

	make_account(ALICE);
	for (int i = 0; i < 20; i++) {
		char name[16];

		snprintf(name, sizeof(name), "m%d", i);
		make_mailbox(ALICE, name);
		CHECK(mailbox(ALICE, name).uid_validity > last);
		last = mailbox(ALICE, name).uid_validity;
	}
}

static enum pn_status append_within(uint64_t limit)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, ALICE);

	mutation->name = PN_SLICE("INBOX");
	mutation->max_account_bytes = limit;
	mutation->body.is_new = true;
	mutation->body.index = commit_body(commit, message("quota", 500));
	return try_commit(commit);
}

static void quota_holds_to_the_byte(void)
{
	uint64_t size = message("quota", 500).size;
	struct commit *commit;

	make_account(ALICE);
	CHECK_OK(append_within(size));
	CHECK(append_within(2 * size - 1) == PN_LIMIT);
	CHECK(strstr(last_commit_error(), ALICE) != NULL);
	CHECK_OK(append_within(2 * size));
	commit = commit_new();
	commit_add(commit, PN_MUTATION_ACCOUNT_QUOTA, ALICE)->quota_bytes = 3 * size - 1;
	must(commit);
	CHECK(account_info(ALICE).quota_bytes == 3 * size - 1);
	CHECK(append_within(0) == PN_LIMIT);
	CHECK(account_info(ALICE).message_count == 2);
	expunge(ALICE, mailbox_id(ALICE, "INBOX"), 1, 1);
	CHECK_OK(append_within(0));
}

static void quota_counts_copies(void)
{
	uint64_t size = message("quota", 500).size;
	struct commit *commit = commit_new();
	struct pn_mutation *mutation;
	uint64_t inbox;

	make_account(ALICE);
	inbox = mailbox_id(ALICE, "INBOX");
	CHECK_OK(append_within(0));
	mutation = commit_add(commit, PN_MUTATION_COPY, ALICE);
	mutation->mailbox = inbox;
	mutation->target_mailbox = inbox;
	mutation->uids = uids(1, 1);
	mutation->max_account_bytes = 2 * size - 1;
	CHECK(try_commit(commit) == PN_LIMIT);
	CHECK(mailbox(ALICE, "INBOX").message_count == 1);
}

const struct conformance_case mailbox_cases[] = {
	CASE(account_has_an_inbox),
	CASE(account_created_twice_is_one),
	CASE(unknown_account_is_not_found),
	CASE(deleted_account_is_gone),
	CASE(mailbox_is_created_with_the_levels_above),
	CASE(names_that_are_none_are_refused),
	CASE(names_are_case_sensitive_but_inbox),
	CASE(list_is_sorted_inbox_first),
	CASE(mailbox_is_found_by_id),
	CASE(one_mailbox_is_told_as_among_all),
	CASE(deleted_mailbox_is_gone_and_its_id_is_not_used_again),
	CASE(inbox_cannot_be_deleted),
	CASE(deleted_parent_stays_as_a_level),
	CASE(renamed_mailbox_keeps_what_it_has),
	CASE(children_move_along),
	CASE(rename_onto_what_exists_or_below_itself_is_refused),
	CASE(renaming_inbox_moves_its_messages),
	CASE(subscriptions_outlive_mailboxes),
	CASE(special_uses_are_kept),
	CASE(uid_validity_is_never_the_same),
	CASE(quota_holds_to_the_byte),
	CASE(quota_counts_copies),
	CASES_END,
};
