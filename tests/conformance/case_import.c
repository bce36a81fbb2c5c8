/* SPDX-License-Identifier: Apache-2.0 */
/* UIDs and UIDVALIDITY that come from another server. */
#include "cases.h"

#include <string.h>

enum { FOREIGN = 1234567890 };

static enum pn_status append_uid(const char *words, uint32_t uid)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, ALICE);

	mutation->name = PN_SLICE("INBOX");
	mutation->create_missing = true;
	mutation->body.is_new = true;
	mutation->body.index = commit_body(commit, message(words, 0));
	mutation->uid = uid;
	return try_commit(commit);
}

static enum pn_status set_uids(const char *name, uint32_t validity, uint32_t uid)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_UIDS, ALICE);

	mutation->name = pn_slice_of(name);
	mutation->uid_validity = validity;
	mutation->uid = uid;
	return try_commit(commit);
}

static bool has_uids(const uint32_t *wanted, size_t count)
{
	struct pn_rows rows = rows_of(ALICE, mailbox_id(ALICE, "INBOX"), false);

	if (rows.count != count)
		return false;
	for (size_t i = 0; i < count; i++)
		if (rows.rows[i].uid != wanted[i])
			return false;
	return true;
}

static void an_append_takes_the_uid_it_asks_for(void)
{
	static const uint32_t wanted[] = {5, 6, 7, 1000, 1001, 70000};
	uint64_t inbox;

	CHECK_OK(append_uid("five", 5));
	CHECK_OK(append_uid("six", 6));
	append(ALICE, "INBOX", "seven");
	CHECK_OK(append_uid("a thousand", 1000));
	append(ALICE, "INBOX", "behind it");
	CHECK_OK(append_uid("far away", 70000));
	CHECK(has_uids(wanted, 6));
	CHECK(mailbox(ALICE, "INBOX").uid_next == 70001);
	inbox = mailbox_id(ALICE, "INBOX");
	expunge(ALICE, inbox, 6, 1000);
	CHECK(row_of(ALICE, inbox, 5).uid == 5);
	CHECK(mailbox(ALICE, "INBOX").message_count == 3);
	expunge(ALICE, inbox, 1, UINT32_MAX);
	CHECK(mailbox(ALICE, "INBOX").message_count == 0);
	CHECK(mailbox(ALICE, "INBOX").uid_next == 70001);
}

static void a_uid_is_never_given_twice(void)
{
	static const uint32_t wanted[] = {5, 6};

	CHECK_OK(append_uid("five", 5));
	CHECK(append_uid("again", 5) == PN_CONFLICT);
	CHECK(append_uid("before it", 4) == PN_CONFLICT);
	CHECK_OK(append_uid("six", 6));
	CHECK(has_uids(wanted, 2));
}

static void changes_do_not_mind_gaps(void)
{
	struct pn_changes changes;
	uint64_t modseq;
	uint64_t inbox;

	CHECK_OK(append_uid("five", 5));
	inbox = mailbox_id(ALICE, "INBOX");
	modseq = account_info(ALICE).modseq;
	CHECK_OK(append_uid("a thousand", 1000));
	flag(ALICE, inbox, 1, UINT32_MAX, PN_FLAGS_ADD, PN_FLAG_SEEN, NULL);
	changes = changes_since(ALICE, inbox, modseq);
	CHECK(changes.count == 2 && changes.rows[0].uid == 5 && changes.rows[1].uid == 1000);
	modseq = account_info(ALICE).modseq;
	expunge(ALICE, inbox, 1, 999);
	changes = changes_since(ALICE, inbox, modseq);
	CHECK(changes.count == 0 && pn_uid_set_has(changes.vanished, 5));
	CHECK(!pn_uid_set_has(changes.vanished, 1000));
}

static void an_empty_mailbox_takes_a_uidvalidity_over(void)
{
	uint32_t later;

	make_account(ALICE);
	CHECK_OK(set_uids("INBOX", FOREIGN, 0));
	CHECK(mailbox(ALICE, "INBOX").uid_validity == FOREIGN);
	CHECK_OK(set_uids("INBOX", FOREIGN, 50));
	CHECK(mailbox(ALICE, "INBOX").uid_next == 50);
	CHECK_OK(set_uids("INBOX", FOREIGN, 20));
	CHECK(mailbox(ALICE, "INBOX").uid_next == 50);
	append(ALICE, "INBOX", "fifty");
	CHECK(row_of(ALICE, mailbox_id(ALICE, "INBOX"), 50).uid == 50);
	CHECK(set_uids("INBOX", FOREIGN + 1, 0) == PN_CONFLICT);
	CHECK(mailbox(ALICE, "INBOX").uid_validity == FOREIGN);
	CHECK(set_uids("Nowhere", FOREIGN, 0) == PN_NOT_FOUND);
	/* One that comes later under the same name is another mailbox. */
	make_mailbox(ALICE, "Later");
	later = mailbox(ALICE, "Later").uid_validity + 1000;
	CHECK_OK(set_uids("Later", later, 0));
	make_mailbox(ALICE, "Other");
	CHECK(mailbox(ALICE, "Other").uid_validity > later);
}

const struct conformance_case import_cases[] = {
	CASE(an_append_takes_the_uid_it_asks_for),
	CASE(a_uid_is_never_given_twice),
	CASE(changes_do_not_mind_gaps),
	CASE(an_empty_mailbox_takes_a_uidvalidity_over),
	CASES_END,
};
