/* SPDX-License-Identifier: Apache-2.0 */
/* Cases: appending, reading, copying, moving, flags, expunging. */
#include "cases.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <postern/clock.h>
#include <postern/text.h>

static void appended_message_comes_back_identical(void)
{
	struct pn_mutation_result result = append(ALICE, "INBOX", "hello");
	struct pn_row row = row_of(ALICE, result.mailbox, result.first_uid);

	CHECK(result.first_uid == 1 && result.uid_count == 1);
	CHECK(memcmp(&row.body, &result.body, sizeof(row.body)) == 0);
	CHECK(pn_slice_equal(body_of(ALICE, row.body), message("hello", 0)));
	CHECK(row.size == message("hello", 0).size);
	CHECK(row.header_size == strlen("Subject: hello\r\n\r\n"));
	CHECK(!row.is_expunged);
}

static void append_keeps_flags_keywords_and_date(void)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, ALICE);
	struct pn_slice words[2] = {PN_SLICE("$Forwarded"), PN_SLICE("Later")};
	struct pn_mutation_result result;
	struct pn_row row;

	mutation->name = PN_SLICE("INBOX");
	mutation->create_missing = true;
	mutation->body.is_new = true;
	mutation->body.index = commit_body(commit, message("flags", 0));
	mutation->flags = (struct pn_flags){PN_FLAG_SEEN | PN_FLAG_FLAGGED, words, 2};
	mutation->internal_date_ms = 123456789000;
	result = must(commit);
	row = row_of(ALICE, result.mailbox, 1);
	CHECK(row.flags.system == (PN_FLAG_SEEN | PN_FLAG_FLAGGED));
	CHECK(row.flags.keyword_count == 2 && has_keyword(row.flags, "$Forwarded"));
	CHECK(has_keyword(row.flags, "Later"));
	CHECK(row.internal_date_ms == 123456789000);
	CHECK(row.saved_date_ms > 1500000000000);
}

static void append_without_date_takes_now(void)
{
	int64_t before = pn_clock_wall_ms();
	struct pn_mutation_result result = append(ALICE, "INBOX", "now");
	struct pn_row row = row_of(ALICE, result.mailbox, 1);

	CHECK(row.internal_date_ms >= before && row.internal_date_ms <= pn_clock_wall_ms());
}

static void empty_body_is_a_message(void)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, ALICE);
	struct pn_mutation_result result;

	mutation->name = PN_SLICE("INBOX");
	mutation->create_missing = true;
	mutation->body.is_new = true;
	mutation->body.index = commit_body(commit, PN_SLICE_NONE);
	result = must(commit);
	CHECK(row_of(ALICE, result.mailbox, 1).size == 0);
	CHECK(body_of(ALICE, result.body).size == 0);
}

static void bytes_of_every_value_come_back(void)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, ALICE);
	struct pn_mutation_result result;
	char bytes[4096];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + i / 256);
	mutation->name = PN_SLICE("INBOX");
	mutation->create_missing = true;
	mutation->body.is_new = true;
	mutation->body.index = commit_body(commit, pn_slice_make(bytes, sizeof(bytes)));
	result = must(commit);
	CHECK(pn_slice_equal(body_of(ALICE, result.body), pn_slice_make(bytes, sizeof(bytes))));
}

static void body_of_many_pieces_is_one(void)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, ALICE);
	struct pn_slice whole = message("pieces", 10000);
	struct pn_slice pieces[2000];
	struct pn_mutation_result result;

	for (size_t i = 0; i < 2000; i++)
		pieces[i] = pn_slice_make(whole.data + i * 5, 5);
	mutation->name = PN_SLICE("INBOX");
	mutation->create_missing = true;
	mutation->body.is_new = true;
	mutation->body.index = commit_body(commit, PN_SLICE_NONE);
	commit->bodies[0].pieces = pieces;
	commit->bodies[0].piece_count = 2000;
	result = must(commit);
	CHECK(pn_slice_equal(body_of(ALICE, result.body), whole));
}

static void body_is_read_in_ranges(void)
{
	struct pn_mutation_result result = append(ALICE, "INBOX", "ranges of this");
	struct pn_slice whole = message("ranges of this", 0);
	struct pn_body_request request = {.struct_size = sizeof(request),
	                                  .account = PN_SLICE(ALICE),
	                                  .body = result.body,
	                                  .max_size = 7};
	struct pn_body_piece piece;

	for (request.offset = 0; request.offset < whole.size + 20; request.offset += 7) {
		size_t left = request.offset < whole.size ? whole.size - request.offset : 0;

		CHECK_OK(ask_body(&request, &piece));
		CHECK(piece.total_size == whole.size);
		CHECK(piece.bytes.size == (left < 7 ? left : 7));
		CHECK(pn_slice_equal(piece.bytes,
		                     pn_slice_make(left ? whole.data + request.offset : NULL,
		                                   piece.bytes.size)));
	}
}

static struct pn_body_id append_size(size_t size)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, ALICE);
	char words[32];

	snprintf(words, sizeof(words), "of %zu", size);
	mutation->name = PN_SLICE("INBOX");
	mutation->create_missing = true;
	mutation->body.is_new = true;
	mutation->body.index = commit_body(commit, message(words, size));
	return must(commit).body;
}

static const struct pn_body_entry *entry_of(const struct pn_bodies *bodies, size_t index)
{
	return (const struct pn_body_entry *)((const char *)bodies->entries +
	                                      index * bodies->entry_size);
}

/* In the order of the list, and each as body_read gives it. */
static void many_bodies_come_at_once(void)
{
	static const size_t sizes[] = {100, 3000, 70, 900000, 20000, 5, 400000, 1 << 20, 2000000};
	enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
	struct pn_body_id ids[2 * COUNT + 1];
	struct pn_bodies_request request = {.struct_size = sizeof(request),
	                                    .account = PN_SLICE(ALICE),
	                                    .bodies = ids,
	                                    .count = 2 * COUNT + 1,
	                                    .max_size = 16 << 20};
	struct pn_bodies bodies;
	char words[32];

	if (harness_entries()->bodies == NULL)
		return;
	for (size_t i = 0; i < COUNT; i++) {
		ids[COUNT - 1 - i] = append_size(sizes[i]);
		ids[COUNT + 1 + i] = ids[COUNT - 1 - i];
	}
	memset(&ids[COUNT], 7, sizeof(ids[COUNT]));
	CHECK_OK(ask_bodies(&request, &bodies));
	CHECK(bodies.count == request.count);
	for (size_t i = 0; i < 2 * COUNT + 1; i++) {
		const struct pn_body_entry *entry = entry_of(&bodies, i);
		size_t size = sizes[i < COUNT ? COUNT - 1 - i : i == COUNT ? 0 : i - COUNT - 1];

		CHECK(entry->status == (i == COUNT ? PN_NOT_FOUND : PN_OK));
		if (i == COUNT)
			continue;
		snprintf(words, sizeof(words), "of %zu", size);
		CHECK(pn_slice_equal(entry->bytes, message(words, size)));
	}
}

/* What is given without waiting is what is given otherwise, or it is not given. */
/* Whether this file system tells what is at hand; one in memory does not. */
static bool knows_what_is_at_hand(void)
{
	char byte = 'x';
	struct iovec piece = {&byte, 1};
	int file = open(harness_directory(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	bool is_known = file >= 0 && pwrite(file, &byte, 1, 0) == 1 &&
	                preadv2(file, &piece, 1, 0, RWF_NOWAIT) == 1;

	close(file);
	return is_known;
}

static void bodies_that_are_ready_are_whole(void)
{
	const bool is_known = knows_what_is_at_hand();
	static const size_t sizes[] = {0, 5, 3000, 70000, 400000};
	struct pn_store_call call = {.struct_size = sizeof(call), .arena = harness_arena()};
	struct pn_body_request request = {
		.struct_size = sizeof(request), .account = PN_SLICE(ALICE), .max_size = 1 << 20};
	const struct pn_store *entries = harness_entries();

	if (entries->body_ready == NULL)
		return;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct pn_body_piece piece = {.struct_size = sizeof(piece)};
		struct pn_slice whole;
		enum pn_status status;

		request.body = append_size(sizes[i]);
		whole = body_of(ALICE, request.body);
		status = entries->body_ready(harness_instance(), &call, &request, &piece);
		CHECK(status == PN_OK || status == PN_PENDING);
		/* It was read a moment ago: small ones are at hand. */
		CHECK(status == PN_OK || whole.size > 100000 || !is_known);
		CHECK(status != PN_OK ||
		      (pn_slice_equal(piece.bytes, whole) && piece.total_size == whole.size));
	}
	memset(&request.body, 7, sizeof(request.body));
	CHECK(entries->body_ready(
		      harness_instance(), &call, &request,
		      &(struct pn_body_piece){.struct_size = sizeof(struct pn_body_piece)}) ==
	      PN_PENDING);
}

static void many_bodies_are_as_many_as_fit(void)
{
	struct pn_body_id ids[4];
	struct pn_bodies_request request = {.struct_size = sizeof(request),
	                                    .account = PN_SLICE(ALICE),
	                                    .bodies = ids,
	                                    .count = 4,
	                                    .max_size = 5000};
	struct pn_bodies bodies;

	if (harness_entries()->bodies == NULL)
		return;
	ids[0] = append_size(9000);
	ids[1] = append_size(3000);
	ids[2] = append_size(2000);
	ids[3] = append_size(1);
	CHECK_OK(ask_bodies(&request, &bodies));
	CHECK(bodies.count == 3 && entry_of(&bodies, 0)->status == PN_LIMIT);
	CHECK(entry_of(&bodies, 0)->bytes.size == 0);
	CHECK(entry_of(&bodies, 1)->bytes.size == 3000 && entry_of(&bodies, 2)->status == PN_OK);
	request.max_size = 4999;
	CHECK_OK(ask_bodies(&request, &bodies));
	CHECK(bodies.count == 2 && entry_of(&bodies, 1)->status == PN_OK);
	request.max_size = 1;
	request.count = 1;
	CHECK_OK(ask_bodies(&request, &bodies));
	CHECK(bodies.count == 1 && entry_of(&bodies, 0)->status == PN_LIMIT);
}

static void unknown_body_is_not_found(void)
{
	struct pn_body_request request = {.struct_size = sizeof(request),
	                                  .account = PN_SLICE(ALICE),
	                                  .body = {{1, 2, 3}},
	                                  .max_size = 10};
	struct pn_body_piece piece;

	append(ALICE, "INBOX", "other");
	CHECK(ask_body(&request, &piece) == PN_NOT_FOUND);
}

static void large_body_is_written_as_it_comes(void)
{
	struct pn_slice whole = message("large", 3000000);
	struct pn_body_writer *writer = writer_new();
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, ALICE);
	struct pn_body_request request = {
		.struct_size = sizeof(request), .account = PN_SLICE(ALICE), .max_size = 1 << 20};
	struct pn_body_piece piece;
	struct pn_mutation_result result;

	CHECK(writer != NULL);
	for (size_t at = 0; at < whole.size; at += 77777)
		CHECK_OK(writer_append(
			writer, pn_slice_make(whole.data + at,
		                              whole.size - at < 77777 ? whole.size - at : 77777)));
	mutation->name = PN_SLICE("INBOX");
	mutation->create_missing = true;
	mutation->body.is_new = true;
	mutation->body.index = commit_writer(commit, writer);
	result = must(commit);
	CHECK(row_of(ALICE, result.mailbox, 1).size == whole.size);
	request.body = result.body;
	for (request.offset = 0; request.offset < whole.size; request.offset += piece.bytes.size) {
		CHECK_OK(ask_body(&request, &piece));
		CHECK(piece.bytes.size != 0 && piece.total_size == whole.size);
		CHECK(memcmp(piece.bytes.data, whole.data + request.offset, piece.bytes.size) == 0);
	}
}

/* The header may be edited until the commit: it comes with it, and stands before the body. */
static void large_body_has_its_pieces_in_front(void)
{
	struct pn_slice whole = message("front", 700000);
	size_t cut = 1000;
	struct pn_body_writer *writer = writer_new();
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, ALICE);
	struct pn_body_request request = {
		.struct_size = sizeof(request), .account = PN_SLICE(ALICE), .max_size = 1 << 20};
	struct pn_body_piece piece;
	struct pn_mutation_result result;

	CHECK(writer != NULL);
	CHECK_OK(writer_append(writer, pn_slice_make(whole.data + cut, whole.size - cut)));
	mutation->name = PN_SLICE("INBOX");
	mutation->create_missing = true;
	mutation->body.is_new = true;
	mutation->body.index = commit_writer(commit, writer);
	commit->pieces[0] = pn_slice_make(whole.data, cut);
	commit->pn.bodies[0].pieces = &commit->pieces[0];
	commit->pn.bodies[0].piece_count = 1;
	result = must(commit);
	CHECK(row_of(ALICE, result.mailbox, 1).size == whole.size);
	request.body = result.body;
	CHECK_OK(ask_body(&request, &piece));
	CHECK(pn_slice_equal(piece.bytes, whole));
}

static void pieces_stand_in_front_of_a_large_body(void)
{
	struct pn_slice whole = message("front", 700000);
	struct pn_slice pieces[3] = {PN_SLICE("Received: here\r\n"), PN_SLICE(""),
	                             PN_SLICE("X-Later: edited\r\n")};
	size_t front = pieces[0].size + pieces[2].size;
	struct pn_body_writer *writer = writer_new();
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, ALICE);
	struct pn_mutation_result result;
	struct pn_slice read;

	CHECK(writer != NULL);
	CHECK_OK(writer_append(writer, whole));
	mutation->name = PN_SLICE("INBOX");
	mutation->create_missing = true;
	mutation->body.is_new = true;
	mutation->body.index = commit_writer(commit, writer);
	commit->bodies[0].pieces = pieces;
	commit->bodies[0].piece_count = 3;
	result = must(commit);
	read = body_of(ALICE, result.body);
	CHECK(read.size == front + whole.size);
	CHECK(memcmp(read.data, pieces[0].data, pieces[0].size) == 0);
	CHECK(memcmp(read.data + front, whole.data, whole.size) == 0);
	CHECK(row_of(ALICE, result.mailbox, 1).size == read.size);
	CHECK(account_info(ALICE).size_bytes == read.size);
}

static void discarded_body_leaves_nothing(void)
{
	struct pn_body_writer *writer = writer_new();

	CHECK(writer != NULL);
	CHECK_OK(writer_append(writer, message("discard", 1000)));
	harness_entries()->body_discard(harness_instance(), writer);
	append(ALICE, "INBOX", "after");
	CHECK(rows_of(ALICE, mailbox_id(ALICE, "INBOX"), true).count == 1);
}

static void refused_writer_can_be_submitted_again(void)
{
	struct pn_body_writer *writer = writer_new();
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, ALICE);
	struct pn_mutation_result result;

	CHECK(writer != NULL);
	make_account(ALICE);
	CHECK_OK(writer_append(writer, message("again", 300000)));
	mutation->name = PN_SLICE("INBOX");
	mutation->max_account_bytes = 1000;
	mutation->body.is_new = true;
	mutation->body.index = commit_writer(commit, writer);
	commit_submit(commit);
	CHECK(commit_wait(commit) == PN_LIMIT);
	CHECK(commit->bodies[0].writer == writer);
	mutation->max_account_bytes = 0;
	result = must(commit);
	CHECK(pn_slice_equal(body_of(ALICE, result.body), message("again", 300000)));
	CHECK(rows_of(ALICE, result.mailbox, true).count == 1);
}

static void body_that_nobody_refers_to_is_not_kept(void)
{
	struct commit *commit = commit_new();

	commit_add(commit, PN_MUTATION_ACCOUNT_CREATE, ALICE);
	commit_body(commit, message("nobody", 0));
	must(commit);
	CHECK(account_info(ALICE).size_bytes == 0);
}

static void uids_ascend_and_are_not_used_again(void)
{
	uint64_t inbox;

	for (uint32_t i = 1; i <= 5; i++)
		CHECK(append(ALICE, "INBOX", "x").first_uid == i);
	inbox = mailbox_id(ALICE, "INBOX");
	expunge(ALICE, inbox, 4, 5);
	CHECK(append(ALICE, "INBOX", "y").first_uid == 6);
	CHECK(mailbox(ALICE, "INBOX").uid_next == 7);
}

static void append_of_a_body_that_is_there_shares_it(void)
{
	struct pn_mutation_result first = append(ALICE, "INBOX", "shared");
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, BOB);
	struct pn_mutation_result second;

	mutation->name = PN_SLICE("INBOX");
	mutation->create_missing = true;
	mutation->body.id = first.body;
	second = must(commit);
	CHECK(memcmp(&first.body, &second.body, sizeof(first.body)) == 0);
	CHECK(pn_slice_equal(body_of(BOB, second.body), message("shared", 0)));
}

static void summary_comes_back(void)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, ALICE);
	struct pn_mutation_result result;

	mutation->name = PN_SLICE("INBOX");
	mutation->create_missing = true;
	mutation->body.is_new = true;
	mutation->body.index = commit_body(commit, message("summary", 0));
	commit->bodies[0].summary = PN_SLICE("what it says\0and more");
	result = must(commit);
	CHECK(pn_slice_equal(row_of(ALICE, result.mailbox, 1).summary,
	                     PN_SLICE("what it says\0and more")));
}

static void one_commit_delivers_to_many(void)
{
	struct commit *commit = commit_new();
	size_t body = commit_body(commit, message("many", 0));
	char names[20][32];

	for (int i = 0; i < 20; i++) {
		struct pn_mutation *mutation;

		snprintf(names[i], sizeof(names[i]), "user%d@example.org", i);
		mutation = commit_add(commit, PN_MUTATION_APPEND, names[i]);
		mutation->name = PN_SLICE("INBOX");
		mutation->create_missing = true;
		mutation->body.is_new = true;
		mutation->body.index = body;
	}
	must(commit);
	for (int i = 0; i < 20; i++) {
		struct pn_rows rows = rows_of(names[i], mailbox_id(names[i], "INBOX"), false);

		CHECK(rows.count == 1);
		CHECK(pn_slice_equal(body_of(names[i], rows.rows[0].body), message("many", 0)));
	}
}

static struct pn_mutation_result copy(enum pn_mutation_kind kind, uint64_t from, uint64_t to,
                                      struct pn_uid_set set)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, kind, ALICE);

	mutation->mailbox = from;
	mutation->target_mailbox = to;
	mutation->uids = set;
	return must(commit);
}

static void copy_shares_bodies_and_keeps_flags(void)
{
	struct pn_mutation_result one = append_flags(ALICE, "INBOX", "one", PN_FLAG_SEEN, "Blue");
	uint64_t target = make_mailbox(ALICE, "Copies");
	struct pn_mutation_result result;
	struct pn_row row;

	append_flags(ALICE, "Copies", "old", 0, "Red"); /* so that keywords have other bits */
	append(ALICE, "INBOX", "two");
	result = copy(PN_MUTATION_COPY, one.mailbox, target, uids(1, UINT32_MAX));
	CHECK(result.first_uid == 2 && result.uid_count == 2);
	CHECK(pn_uid_set_count(result.uids) == 2 && result.mailbox == target);
	row = row_of(ALICE, target, 2);
	CHECK(row.flags.system == PN_FLAG_SEEN && has_keyword(row.flags, "Blue"));
	CHECK(!has_keyword(row.flags, "Red"));
	CHECK(memcmp(&row.body, &one.body, sizeof(one.body)) == 0);
	CHECK(row.internal_date_ms == row_of(ALICE, one.mailbox, 1).internal_date_ms);
	CHECK(rows_of(ALICE, one.mailbox, false).count == 2);
}

static void copy_into_the_same_mailbox_doubles(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "one");
	struct pn_mutation_result result =
		copy(PN_MUTATION_COPY, one.mailbox, one.mailbox, uids(1, 1));

	CHECK(result.first_uid == 2 && result.uid_count == 1);
	CHECK(rows_of(ALICE, one.mailbox, false).count == 2);
	CHECK(mailbox(ALICE, "INBOX").message_count == 2);
}

static void copy_passes_over_uids_that_are_not_there(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "one");
	uint64_t target = make_mailbox(ALICE, "Copies");
	struct pn_mutation_result result;

	append(ALICE, "INBOX", "two");
	append(ALICE, "INBOX", "three");
	expunge(ALICE, one.mailbox, 2, 2);
	result = copy(PN_MUTATION_COPY, one.mailbox, target, uids(2, 100));
	CHECK(result.uid_count == 1 && pn_uid_set_has(result.uids, 3));
	CHECK(!pn_uid_set_has(result.uids, 2));
	result = copy(PN_MUTATION_COPY, one.mailbox, target, uids(50, 100));
	CHECK(result.uid_count == 0);
}

static void move_takes_them_away(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "one");
	uint64_t target = make_mailbox(ALICE, "Moved");
	uint64_t size = account_info(ALICE).size_bytes;
	struct pn_mutation_result result;

	result = copy(PN_MUTATION_MOVE, one.mailbox, target, uids(1, 1));
	CHECK(result.uid_count == 1 && result.first_uid == 1);
	CHECK(rows_of(ALICE, one.mailbox, false).count == 0);
	CHECK(rows_of(ALICE, target, false).count == 1);
	CHECK(row_of(ALICE, one.mailbox, 1).is_expunged);
	CHECK(account_info(ALICE).size_bytes == size);
}

static void flags_are_added_removed_and_replaced(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "one");
	struct pn_mutation_result result;
	struct pn_row row;

	result = flag(ALICE, one.mailbox, 1, 1, PN_FLAGS_ADD, PN_FLAG_SEEN | PN_FLAG_DRAFT, "A");
	CHECK(pn_uid_set_has(result.uids, 1));
	flag(ALICE, one.mailbox, 1, 1, PN_FLAGS_ADD, PN_FLAG_FLAGGED, "B");
	flag(ALICE, one.mailbox, 1, 1, PN_FLAGS_REMOVE, PN_FLAG_DRAFT, "A");
	row = row_of(ALICE, one.mailbox, 1);
	CHECK(row.flags.system == (PN_FLAG_SEEN | PN_FLAG_FLAGGED));
	CHECK(row.flags.keyword_count == 1 && has_keyword(row.flags, "B"));
	flag(ALICE, one.mailbox, 1, 1, PN_FLAGS_REPLACE, PN_FLAG_ANSWERED, "C");
	row = row_of(ALICE, one.mailbox, 1);
	CHECK(row.flags.system == PN_FLAG_ANSWERED);
	CHECK(row.flags.keyword_count == 1 && has_keyword(row.flags, "C"));
}

static void keywords_are_one_in_any_case_as_first_written(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "one");

	flag(ALICE, one.mailbox, 1, 1, PN_FLAGS_ADD, 0, "$MDNSent");
	flag(ALICE, one.mailbox, 1, 1, PN_FLAGS_ADD, 0, "$mdnsent");
	CHECK(row_of(ALICE, one.mailbox, 1).flags.keyword_count == 1);
	CHECK(has_keyword(row_of(ALICE, one.mailbox, 1).flags, "$MDNSent"));
	flag(ALICE, one.mailbox, 1, 1, PN_FLAGS_REMOVE, 0, "$MDNSENT");
	CHECK(row_of(ALICE, one.mailbox, 1).flags.keyword_count == 0);
}

static void a_mailbox_has_64_keywords_and_not_one_more(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "one");
	struct commit *commit;
	struct pn_mutation *mutation;
	struct pn_slice word = PN_SLICE("toomany");
	char name[16];

	for (int i = 0; i < PN_KEYWORDS_PER_MAILBOX; i++) {
		snprintf(name, sizeof(name), "word%d", i);
		flag(ALICE, one.mailbox, 1, 1, PN_FLAGS_ADD, 0, name);
	}
	CHECK(row_of(ALICE, one.mailbox, 1).flags.keyword_count == PN_KEYWORDS_PER_MAILBOX);
	commit = commit_new();
	mutation = commit_add(commit, PN_MUTATION_FLAGS, ALICE);
	mutation->mailbox = one.mailbox;
	mutation->uids = uids(1, 1);
	mutation->flags.keywords = &word;
	mutation->flags.keyword_count = 1;
	CHECK(try_commit(commit) == PN_LIMIT);
	CHECK(strstr(last_commit_error(), "keyword") != NULL);
	CHECK(row_of(ALICE, one.mailbox, 1).flags.keyword_count == PN_KEYWORDS_PER_MAILBOX);
}

static void a_keyword_has_64_bytes_at_most(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "one");
	char word[PN_KEYWORD_MAX + 2];
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_FLAGS, ALICE);
	struct pn_slice slice = {word, PN_KEYWORD_MAX + 1};

	memset(word, 'k', sizeof(word));
	word[PN_KEYWORD_MAX] = '\0';
	flag(ALICE, one.mailbox, 1, 1, PN_FLAGS_ADD, 0, word);
	word[PN_KEYWORD_MAX] = 'k';
	mutation->mailbox = one.mailbox;
	mutation->uids = uids(1, 1);
	mutation->flags.keywords = &slice;
	mutation->flags.keyword_count = 1;
	CHECK(try_commit(commit) == PN_LIMIT);
}

static void flags_leave_alone_what_changed_since(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "one");
	struct pn_mutation_result two = append(ALICE, "INBOX", "two");
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_FLAGS, ALICE);
	struct pn_mutation_result result;

	flag(ALICE, one.mailbox, 1, 1, PN_FLAGS_ADD, PN_FLAG_SEEN, NULL);
	mutation->mailbox = one.mailbox;
	mutation->uids = uids(1, 2);
	mutation->flags.system = PN_FLAG_FLAGGED;
	mutation->unchanged_since = two.modseq;
	result = must(commit);
	CHECK(pn_uid_set_count(result.modified) == 1 && pn_uid_set_has(result.modified, 1));
	CHECK(pn_uid_set_count(result.uids) == 1 && pn_uid_set_has(result.uids, 2));
	CHECK(row_of(ALICE, one.mailbox, 1).flags.system == PN_FLAG_SEEN);
	CHECK(row_of(ALICE, one.mailbox, 2).flags.system == PN_FLAG_FLAGGED);
}

/* Not a precondition: they are changed, and named. */
static void flags_name_what_had_changed_since(void)
{
	uint64_t inbox = append(ALICE, "INBOX", "one").mailbox;
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_FLAGS, ALICE);
	struct pn_mutation_result result;

	append(ALICE, "INBOX", "two");
	mutation->known_modseq = append(ALICE, "INBOX", "three").modseq;
	flag(ALICE, inbox, 2, 3, PN_FLAGS_ADD, PN_FLAG_SEEN, NULL);
	flag(ALICE, inbox, 3, 3, PN_FLAGS_ADD, PN_FLAG_DRAFT, NULL);
	mutation->mailbox = inbox;
	mutation->uids = uids(1, UINT32_MAX);
	mutation->flags.system = PN_FLAG_DRAFT;
	result = must(commit);
	CHECK(result.uids.count == 1 && result.uids.ranges[0].last == 2);
	CHECK(pn_uid_set_count(result.modified) == 1 && pn_uid_set_has(result.modified, 2));
	CHECK(row_of(ALICE, inbox, 2).flags.system == (PN_FLAG_SEEN | PN_FLAG_DRAFT));
}

static void flags_that_change_nothing_take_no_modseq(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "one");
	uint64_t modseq;

	flag(ALICE, one.mailbox, 1, 1, PN_FLAGS_ADD, PN_FLAG_SEEN, NULL);
	modseq = row_of(ALICE, one.mailbox, 1).modseq;
	CHECK(row_of(ALICE, one.mailbox, 1).modseq == modseq);
}

static void counts_follow_flags_and_expunges(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "one");
	struct pn_mailbox_info info;

	append(ALICE, "INBOX", "two");
	append(ALICE, "INBOX", "three");
	flag(ALICE, one.mailbox, 1, 2, PN_FLAGS_ADD, PN_FLAG_SEEN, NULL);
	flag(ALICE, one.mailbox, 2, 3, PN_FLAGS_ADD, PN_FLAG_DELETED, NULL);
	info = mailbox(ALICE, "INBOX");
	CHECK(info.message_count == 3 && info.unseen_count == 1 && info.deleted_count == 2);
	expunge(ALICE, one.mailbox, 3, 3);
	info = mailbox(ALICE, "INBOX");
	CHECK(info.message_count == 2 && info.unseen_count == 0 && info.deleted_count == 1);
	CHECK(info.size_bytes == message("one", 0).size + message("two", 0).size);
}

static void expunge_of_deleted_leaves_the_others(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "one");
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_EXPUNGE, ALICE);
	struct pn_mutation_result result;

	append(ALICE, "INBOX", "two");
	flag(ALICE, one.mailbox, 2, 2, PN_FLAGS_ADD, PN_FLAG_DELETED, NULL);
	mutation->mailbox = one.mailbox;
	mutation->uids = uids(1, UINT32_MAX);
	mutation->on = true;
	result = must(commit);
	CHECK(pn_uid_set_count(result.uids) == 1 && pn_uid_set_has(result.uids, 2));
	CHECK(rows_of(ALICE, one.mailbox, false).count == 1);
}

static void expunged_message_can_be_read_for_a_while(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "gone");
	struct pn_row row;

	expunge(ALICE, one.mailbox, 1, 1);
	row = row_of(ALICE, one.mailbox, 1);
	CHECK(row.is_expunged);
	CHECK(pn_slice_equal(body_of(ALICE, row.body), message("gone", 0)));
	CHECK(rows_of(ALICE, one.mailbox, false).count == 0);
}

/* Who was not told goes on using them; for all others they are gone. */
static void flags_of_expunged_messages_change_while_they_are_kept(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "gone");
	struct pn_mutation_result result;
	struct pn_changes changes;
	struct commit *commit;
	uint64_t expunged;
	uint64_t since;

	append(ALICE, "INBOX", "stays");
	expunged = expunge(ALICE, one.mailbox, 1, 1).modseq;
	since = expunged;
	result = flag(ALICE, one.mailbox, 1, 2, PN_FLAGS_ADD, PN_FLAG_SEEN | PN_FLAG_DELETED, "W");
	CHECK(pn_uid_set_count(result.uids) == 2 && result.modseq > since);
	CHECK(row_of(ALICE, one.mailbox, 1).is_expunged);
	CHECK(row_of(ALICE, one.mailbox, 1).flags.system == (PN_FLAG_SEEN | PN_FLAG_DELETED));
	CHECK(has_keyword(row_of(ALICE, one.mailbox, 1).flags, "W"));
	CHECK(row_of(ALICE, one.mailbox, 1).modseq == result.modseq);
	changes = changes_since(ALICE, one.mailbox, since);
	CHECK(changes.count == 1 && changes.rows[0].uid == 2 && changes.vanished.count == 0);
	changes = changes_since(ALICE, one.mailbox, since - 1);
	CHECK(changes.count == 1 && pn_uid_set_count(changes.vanished) == 1);
	CHECK(mailbox(ALICE, "INBOX").message_count == 1);
	CHECK(mailbox(ALICE, "INBOX").deleted_count == 1);
	CHECK(mailbox(ALICE, "INBOX").unseen_count == 0);
	commit = commit_new();
	commit_add(commit, PN_MUTATION_FLAGS, ALICE)->mailbox = one.mailbox;
	commit->mutations[0].uids = uids(1, 1);
	commit->mutations[0].flags.system = PN_FLAG_DRAFT;
	commit->mutations[0].unchanged_since = result.modseq - 1;
	result = must(commit);
	CHECK(result.uids.count == 0 && pn_uid_set_has(result.modified, 1));
	CHECK(expunge(ALICE, one.mailbox, 1, 1).uids.count == 0);
}

static void expunging_twice_touches_nothing(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "gone");

	expunge(ALICE, one.mailbox, 1, 1);
	CHECK(expunge(ALICE, one.mailbox, 1, 1).uids.count == 0);
	CHECK(mailbox(ALICE, "INBOX").message_count == 0);
}

static void thousands_of_messages_are_changed_at_once(void)
{
	struct pn_mutation_result one = append(ALICE, "INBOX", "many");
	struct pn_mutation_result result;

	/* 1 -> 2 -> 4 … 32768 by copying */
	for (int i = 0; i < 15; i++)
		copy(PN_MUTATION_COPY, one.mailbox, one.mailbox, uids(1, UINT32_MAX));
	CHECK(mailbox(ALICE, "INBOX").message_count == 32768);
	result = flag(ALICE, one.mailbox, 1, UINT32_MAX, PN_FLAGS_ADD, PN_FLAG_SEEN, "All");
	CHECK(pn_uid_set_count(result.uids) == 32768);
	CHECK(mailbox(ALICE, "INBOX").unseen_count == 0);
	result = expunge(ALICE, one.mailbox, 2, 32767);
	CHECK(pn_uid_set_count(result.uids) == 32766);
	CHECK(mailbox(ALICE, "INBOX").message_count == 2);
	CHECK(has_keyword(row_of(ALICE, one.mailbox, 32768).flags, "All"));
}

const struct conformance_case message_cases[] = {
	CASE(appended_message_comes_back_identical),
	CASE(append_keeps_flags_keywords_and_date),
	CASE(append_without_date_takes_now),
	CASE(empty_body_is_a_message),
	CASE(bytes_of_every_value_come_back),
	CASE(body_of_many_pieces_is_one),
	CASE(body_is_read_in_ranges),
	CASE(many_bodies_come_at_once),
	CASE(many_bodies_are_as_many_as_fit),
	CASE(bodies_that_are_ready_are_whole),
	CASE(unknown_body_is_not_found),
	CASE(large_body_is_written_as_it_comes),
	CASE(large_body_has_its_pieces_in_front),
	CASE(pieces_stand_in_front_of_a_large_body),
	CASE(discarded_body_leaves_nothing),
	CASE(refused_writer_can_be_submitted_again),
	CASE(body_that_nobody_refers_to_is_not_kept),
	CASE(uids_ascend_and_are_not_used_again),
	CASE(append_of_a_body_that_is_there_shares_it),
	CASE(summary_comes_back),
	CASE(one_commit_delivers_to_many),
	CASE(copy_shares_bodies_and_keeps_flags),
	CASE(copy_into_the_same_mailbox_doubles),
	CASE(copy_passes_over_uids_that_are_not_there),
	CASE(move_takes_them_away),
	CASE(flags_are_added_removed_and_replaced),
	CASE(keywords_are_one_in_any_case_as_first_written),
	CASE(a_mailbox_has_64_keywords_and_not_one_more),
	CASE(a_keyword_has_64_bytes_at_most),
	CASE(flags_leave_alone_what_changed_since),
	CASE(flags_name_what_had_changed_since),
	CASE(flags_that_change_nothing_take_no_modseq),
	CASE(counts_follow_flags_and_expunges),
	CASE(expunge_of_deleted_leaves_the_others),
	CASE(expunged_message_can_be_read_for_a_while),
	CASE(flags_of_expunged_messages_change_while_they_are_kept),
	CASE(expunging_twice_touches_nothing),
	CASE(thousands_of_messages_are_changed_at_once),
	CASES_END,
};
