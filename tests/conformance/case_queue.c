/* SPDX-License-Identifier: Apache-2.0 */
/* Cases: the queue. */
#include "cases.h"

#include <stdio.h>
#include <string.h>

#include <postern/text.h>

static struct pn_queue_row make_row(const char *recipient, const char *destination, int64_t due)
{
	return (struct pn_queue_row){
		.due_ms = due,
		.arrived_ms = 5,
		.expires_ms = 5000000,
		.priority = 3,
		.transaction = PN_SLICE("t1"),
		.sender = PN_SLICE("Sender@Example.com"),
		.recipient = pn_slice_of(recipient),
		.destination = pn_slice_of(destination),
		.tenant = PN_SLICE("tenant-1"),
		.details = PN_SLICE("opaque\0details"),
	};
}

static uint64_t put(const struct pn_queue_row *row)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_QUEUE_PUT, NULL);

	mutation->queue_row = row;
	mutation->body.is_new = true;
	mutation->body.index = commit_body(commit, message("queued", 0));
	return must(commit).queue_id;
}

static struct pn_queue_rows select_rows(struct pn_queue_request request)
{
	struct pn_queue_rows rows;

	request.struct_size = sizeof(request);
	if (request.max_rows == 0)
		request.max_rows = 1000;
	CHECK_OK(ask_queue(&request, &rows));
	return rows;
}

static enum pn_status done(uint64_t id)
{
	struct pn_queue_row row = {.id = id};
	struct commit *commit = commit_new();

	commit_add(commit, PN_MUTATION_QUEUE_DONE, NULL)->queue_row = &row;
	return try_commit(commit);
}

static void queued_row_comes_back_whole(void)
{
	struct pn_queue_row row = make_row("bob@remote.example", "mx.remote.example", 1000);
	uint64_t id = put(&row);
	struct pn_queue_rows rows = select_rows((struct pn_queue_request){0});

	CHECK(id != 0 && rows.count == 1 && rows.is_complete && rows.total == 1);
	CHECK(rows.rows[0].id == id && rows.rows[0].due_ms == 1000);
	CHECK(rows.rows[0].arrived_ms == 5 && rows.rows[0].expires_ms == 5000000);
	CHECK(rows.rows[0].priority == 3 && rows.rows[0].state == PN_QUEUE_DUE);
	CHECK(pn_slice_equal(rows.rows[0].sender, row.sender));
	CHECK(pn_slice_equal(rows.rows[0].recipient, row.recipient));
	CHECK(pn_slice_equal(rows.rows[0].destination, row.destination));
	CHECK(pn_slice_equal(rows.rows[0].transaction, row.transaction));
	CHECK(pn_slice_equal(rows.rows[0].tenant, row.tenant));
	CHECK(pn_slice_equal(rows.rows[0].details, row.details));
	CHECK(rows.rows[0].reason.size == 0);
	CHECK(pn_slice_equal(body_of(ALICE, rows.rows[0].body), message("queued", 0)));
}

static void queue_ids_ascend(void)
{
	struct pn_queue_row row = make_row("a@b", "c", 1);
	uint64_t last = 0;

	for (int i = 0; i < 5; i++) {
		uint64_t id = put(&row);

		CHECK(id > last);
		last = id;
		if (i % 2)
			CHECK_OK(done(id));
	}
}

static void done_rows_are_gone(void)
{
	struct pn_queue_row row = make_row("a@b", "c", 1);
	uint64_t id = put(&row);

	CHECK_OK(done(id));
	CHECK(select_rows((struct pn_queue_request){0}).total == 0);
	CHECK(done(id) == PN_NOT_FOUND);
}

static void updated_rows_change_what_they_should(void)
{
	struct pn_queue_row row = make_row("bob@remote.example", "old", 1000);
	struct pn_queue_row change = make_row("other@x", "new", 9000);
	struct commit *commit = commit_new();
	struct pn_queue_rows rows;

	change.id = put(&row);
	change.attempts = 4;
	change.reason = PN_SLICE("451 later");
	change.state = PN_QUEUE_HELD;
	commit_add(commit, PN_MUTATION_QUEUE_UPDATE, NULL)->queue_row = &change;
	must(commit);
	rows = select_rows((struct pn_queue_request){.destination = PN_SLICE("new")});
	CHECK(rows.count == 1 && rows.rows[0].attempts == 4);
	CHECK(pn_slice_equal(rows.rows[0].reason, PN_SLICE("451 later")));
	CHECK(pn_slice_equal(rows.rows[0].recipient, row.recipient));
	CHECK(select_rows((struct pn_queue_request){.destination = PN_SLICE("old")}).count == 0);
	CHECK(select_rows((struct pn_queue_request){.due_before_ms = 99999}).count == 0);
	rows = select_rows((struct pn_queue_request){.has_state = true, .state = PN_QUEUE_HELD});
	CHECK(rows.count == 1);
	change.state = PN_QUEUE_DUE;
	commit = commit_new();
	commit_add(commit, PN_MUTATION_QUEUE_UPDATE, NULL)->queue_row = &change;
	must(commit);
	CHECK(select_rows((struct pn_queue_request){.due_before_ms = 99999}).count == 1);
}

static void due_rows_come_in_order_of_due(void)
{
	int64_t dues[] = {500, 100, 300, 100, 900};
	struct pn_queue_rows rows;

	for (int i = 0; i < 5; i++) {
		struct pn_queue_row row = make_row("a@b", "c", dues[i]);

		put(&row);
	}
	rows = select_rows((struct pn_queue_request){.due_before_ms = 500});
	CHECK(rows.count == 3);
	CHECK(rows.rows[0].due_ms == 100 && rows.rows[1].due_ms == 100);
	CHECK(rows.rows[0].id < rows.rows[1].id && rows.rows[2].due_ms == 300);
	rows = select_rows((struct pn_queue_request){.due_before_ms = 501});
	CHECK(rows.count == 4);
}

static void due_rows_come_in_pages(void)
{
	struct pn_queue_request request = {.due_before_ms = 10000, .max_rows = 3};
	int seen = 0;
	int64_t last = 0;

	for (int i = 0; i < 10; i++) {
		struct pn_queue_row row = make_row("a@b", "c", 100 + 37 * i % 50);

		put(&row);
	}
	for (;;) {
		struct pn_queue_rows rows = select_rows(request);

		for (size_t i = 0; i < rows.count; i++) {
			CHECK(rows.rows[i].due_ms >= last);
			last = rows.rows[i].due_ms;
			seen++;
		}
		if (rows.is_complete)
			break;
		request.after_id = rows.rows[rows.count - 1].id;
		request.after_due_ms = rows.rows[rows.count - 1].due_ms;
	}
	CHECK(seen == 10);
}

static void rows_are_selected_by_each_index(void)
{
	struct pn_queue_row rows[4] = {
		make_row("a@One.example", "d1", 1),
		make_row("b@one.EXAMPLE", "d2", 2),
		make_row("c@two.example", "D1", 3),
		make_row("d@two.example", "d2", 4),
	};

	rows[1].sender = PN_SLICE("second@x");
	rows[3].tenant = PN_SLICE("other");
	rows[2].state = PN_QUEUE_HELD;
	for (int i = 0; i < 4; i++)
		put(&rows[i]);
	CHECK(select_rows((struct pn_queue_request){.destination = PN_SLICE("d1")}).count == 2);
	CHECK(select_rows((struct pn_queue_request){.sender = PN_SLICE("SECOND@x")}).count == 1);
	CHECK(select_rows((struct pn_queue_request){.recipient_domain = PN_SLICE("one.example")})
	              .count == 2);
	CHECK(select_rows((struct pn_queue_request){.tenant = PN_SLICE("tenant-1")}).count == 3);
	CHECK(select_rows((struct pn_queue_request){.has_state = true}).count == 3);
	CHECK(select_rows((struct pn_queue_request){.has_state = true, .state = PN_QUEUE_HELD})
	              .count == 1);
	CHECK(select_rows((struct pn_queue_request){.destination = PN_SLICE("d2"),
	                                            .recipient_domain = PN_SLICE("two.example")})
	              .count == 1);
	CHECK(select_rows((struct pn_queue_request){.destination = PN_SLICE("nowhere")}).count ==
	      0);
	CHECK(select_rows((struct pn_queue_request){.due_before_ms = 99}).count == 3);
}

static struct pn_mutation_result change(enum pn_mutation_kind kind, const struct pn_queue_row *row,
                                        bool on)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, kind, NULL);

	mutation->queue_row = row;
	mutation->on = on;
	return must(commit);
}

static void updates_set_details_and_expiry_where_they_have_some(void)
{
	struct pn_queue_row row = make_row("bob@remote.example", "site", 1000);
	struct pn_queue_row change_row = {.due_ms = 2000, .destination = PN_SLICE("site")};
	struct pn_queue_rows rows;

	change_row.id = put(&row);
	change(PN_MUTATION_QUEUE_UPDATE, &change_row, false);
	rows = select_rows((struct pn_queue_request){0});
	CHECK(rows.rows[0].expires_ms == 5000000 && rows.rows[0].due_ms == 2000);
	CHECK(pn_slice_equal(rows.rows[0].details, row.details));
	change_row.details = PN_SLICE("route\0other, and longer than before");
	change_row.expires_ms = 77;
	change(PN_MUTATION_QUEUE_UPDATE, &change_row, false);
	rows = select_rows((struct pn_queue_request){0});
	CHECK(rows.rows[0].expires_ms == 77);
	CHECK(pn_slice_equal(rows.rows[0].details, change_row.details));
	CHECK(pn_slice_equal(rows.rows[0].sender, row.sender));
}

static void a_worker_passes_over_rows_that_are_gone(void)
{
	struct pn_queue_row row = make_row("a@b", "c", 1);
	struct pn_queue_row other = make_row("d@e", "f", 2);
	struct commit *commit = commit_new();
	struct pn_mutation_result result;

	row.id = put(&row);
	other.id = put(&other);
	result = change(PN_MUTATION_QUEUE_DONE, &row, true);
	CHECK(result.was_there);
	result = change(PN_MUTATION_QUEUE_DONE, &row, true);
	CHECK(!result.was_there);
	result = change(PN_MUTATION_QUEUE_UPDATE, &row, true);
	CHECK(!result.was_there);
	/* The rest of the commit happens. */
	for (int i = 0; i < 2; i++) {
		struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_QUEUE_DONE, NULL);

		mutation->queue_row = i == 0 ? &row : &other;
		mutation->on = true;
	}
	must(commit);
	CHECK(select_rows((struct pn_queue_request){0}).total == 0);
}

static void a_worker_passes_over_rows_that_are_held(void)
{
	struct pn_queue_row row = make_row("a@b", "c", 1);
	struct pn_queue_rows rows;

	row.id = put(&row);
	row.state = PN_QUEUE_HELD;
	row.reason = PN_SLICE("by an operator");
	CHECK(change(PN_MUTATION_QUEUE_UPDATE, &row, true).was_there);
	row.state = PN_QUEUE_DUE;
	row.reason = PN_SLICE("by a worker");
	row.attempts = 9;
	CHECK(!change(PN_MUTATION_QUEUE_UPDATE, &row, true).was_there);
	rows = select_rows((struct pn_queue_request){0});
	CHECK(rows.rows[0].state == PN_QUEUE_HELD && rows.rows[0].attempts == 0);
	CHECK(pn_slice_equal(rows.rows[0].reason, PN_SLICE("by an operator")));
	/* What was delivered is done, held or not; and operators are never passed over. */
	CHECK(change(PN_MUTATION_QUEUE_UPDATE, &row, false).was_there);
	row.state = PN_QUEUE_HELD;
	CHECK(change(PN_MUTATION_QUEUE_UPDATE, &row, true).was_there);
	CHECK(change(PN_MUTATION_QUEUE_DONE, &row, true).was_there);
	CHECK(select_rows((struct pn_queue_request){0}).total == 0);
}

static void a_worker_passes_over_rows_that_got_another_moment(void)
{
	struct pn_queue_row row = make_row("a@b", "c", 1000);
	struct pn_queue_rows rows;
	struct pn_mutation *mutation;
	struct commit *commit;

	row.id = put(&row);
	for (int i = 0; i < 3; i++) {
		commit = commit_new();
		mutation = commit_add(commit, PN_MUTATION_QUEUE_UPDATE, NULL);
		row.due_ms = 2000 + i;
		row.attempts = (uint32_t)i + 1;
		mutation->queue_row = &row;
		mutation->on = true;
		/* The moment that it has; one that it has no more; none. */
		mutation->unchanged_since = i < 2 ? 1000 : 0;
		must(commit);
		rows = select_rows((struct pn_queue_request){0});
		CHECK(rows.rows[0].attempts == (i == 1 ? 1u : (uint32_t)i + 1));
		CHECK(rows.rows[0].due_ms == (i == 1 ? 2000 : 2000 + i));
	}
}

/* Rows of one destination among others: dues 40, 10, 30, 10 and two that are held. */
static void put_destination(void)
{
	const int64_t dues[] = {40, 10, 30, 10, 5, 20};

	for (int i = 0; i < 6; i++) {
		struct pn_queue_row row = make_row("a@b", "Site", dues[i]);
		struct pn_queue_row other = make_row("a@b", "elsewhere", dues[i]);

		row.state = i < 4 ? PN_QUEUE_DUE : PN_QUEUE_HELD;
		put(&other);
		put(&row);
	}
}

static void rows_of_a_destination_come_in_order_of_due_and_held_ones_last(void)
{
	const int64_t dues[] = {10, 10, 30, 40, 5, 20};
	struct pn_queue_request request = {.destination = PN_SLICE("site")};
	struct pn_queue_rows rows;

	put_destination();
	rows = select_rows(request);
	CHECK(rows.count == 6);
	for (int i = 0; i < 6; i++) {
		CHECK(rows.rows[i].due_ms == dues[i]);
		CHECK(rows.rows[i].state == (i < 4 ? PN_QUEUE_DUE : PN_QUEUE_HELD));
	}
	CHECK(rows.rows[0].id < rows.rows[1].id);
	request.has_state = true;
	rows = select_rows(request);
	CHECK(rows.count == 4 && rows.rows[3].due_ms == 40);
	request.state = PN_QUEUE_HELD;
	rows = select_rows(request);
	CHECK(rows.count == 2 && rows.rows[0].due_ms == 5);
}

static size_t count_pages(struct pn_queue_request request, size_t most)
{
	size_t seen = 0;

	for (request.max_rows = most;;) {
		struct pn_queue_rows rows = select_rows(request);

		CHECK(rows.count <= most && (rows.count == most || rows.is_complete));
		seen += rows.count;
		CHECK(seen < 100);
		if (rows.is_complete)
			return seen;
		request.after_id = rows.rows[rows.count - 1].id;
		request.after_due_ms = rows.rows[rows.count - 1].due_ms;
	}
}

static void rows_of_a_destination_come_in_pages(void)
{
	put_destination();
	for (size_t most = 1; most < 8; most++) {
		struct pn_queue_request request = {.destination = PN_SLICE("site")};

		CHECK(count_pages(request, most) == 6);
		request.has_state = true;
		CHECK(count_pages(request, most) == 4);
		request.state = PN_QUEUE_HELD;
		CHECK(count_pages(request, most) == 2);
		request = (struct pn_queue_request){.destination = PN_SLICE("site"),
		                                    .due_before_ms = 40};
		CHECK(count_pages(request, most) == 3);
	}
}

/* A worker goes on behind rows that it has finished, or that somebody held meanwhile. */
static void pages_go_on_behind_rows_that_are_gone(void)
{
	struct pn_queue_request request = {
		.destination = PN_SLICE("site"), .due_before_ms = 1000, .max_rows = 1};
	struct pn_queue_row row;
	struct pn_queue_rows rows;

	put_destination();
	row = select_rows(request).rows[0];
	request.after_id = row.id;
	request.after_due_ms = row.due_ms;
	CHECK_OK(done(row.id));
	rows = select_rows(request);
	CHECK(rows.count == 1 && rows.rows[0].due_ms == 10 && rows.rows[0].id > row.id);
	row = rows.rows[0];
	request.after_id = row.id;
	row.state = PN_QUEUE_HELD;
	change(PN_MUTATION_QUEUE_UPDATE, &row, false);
	rows = select_rows(request);
	CHECK(rows.count == 1 && rows.rows[0].due_ms == 30);
}

static void a_destination_and_a_time_select_the_due_rows_of_it_alone(void)
{
	struct pn_queue_request request = {.destination = PN_SLICE("site"), .due_before_ms = 31};
	struct pn_queue_rows rows;

	put_destination();
	rows = select_rows(request);
	CHECK(rows.count == 3 && rows.is_complete && rows.total == 12);
	for (size_t i = 0; i < rows.count; i++) {
		CHECK(pn_slice_equal(rows.rows[i].destination, PN_SLICE("Site")));
		CHECK(rows.rows[i].state == PN_QUEUE_DUE && rows.rows[i].due_ms < 31);
	}
	CHECK(rows.rows[2].due_ms == 30);
	request.due_before_ms = 30;
	CHECK(select_rows(request).count == 2);
}

static void rows_come_in_pages_by_id(void)
{
	struct pn_queue_request request = {.tenant = PN_SLICE("tenant-1"), .max_rows = 2};
	struct pn_queue_row row = make_row("a@b", "c", 1);
	size_t seen = 0;

	for (int i = 0; i < 5; i++)
		put(&row);
	for (;;) {
		struct pn_queue_rows rows = select_rows(request);

		CHECK(rows.total == 5);
		for (size_t i = 0; i < rows.count; i++)
			CHECK(rows.rows[i].id > request.after_id);
		seen += rows.count;
		if (rows.is_complete)
			break;
		request.after_id = rows.rows[rows.count - 1].id;
	}
	CHECK(seen == 5);
}

static void accepting_is_one_commit(void)
{
	struct pn_queue_row row = make_row("remote@elsewhere.example", "elsewhere", 1);
	struct commit *commit = commit_new();
	size_t body = commit_body(commit, message("both", 0));
	struct pn_mutation *local = commit_add(commit, PN_MUTATION_APPEND, ALICE);
	struct pn_mutation *remote = commit_add(commit, PN_MUTATION_QUEUE_PUT, NULL);
	struct pn_queue_rows rows;

	local->name = PN_SLICE("INBOX");
	local->create_missing = true;
	local->body.is_new = remote->body.is_new = true;
	local->body.index = remote->body.index = body;
	remote->queue_row = &row;
	must(commit);
	rows = select_rows((struct pn_queue_request){0});
	CHECK(rows.count == 1 && account_info(ALICE).message_count == 1);
	CHECK(memcmp(&rows.rows[0].body,
	             &rows_of(ALICE, mailbox_id(ALICE, "INBOX"), false).rows[0].body,
	             sizeof(struct pn_body_id)) == 0);
}

static void delivery_from_the_queue_is_one_commit(void)
{
	struct pn_queue_row row = make_row("bob@example.org", "store", 1);
	struct pn_queue_rows rows;
	struct commit *commit = commit_new();
	struct pn_mutation *mutation;

	row.id = put(&row);
	rows = select_rows((struct pn_queue_request){0});
	mutation = commit_add(commit, PN_MUTATION_APPEND, BOB);
	mutation->name = PN_SLICE("INBOX");
	mutation->create_missing = true;
	mutation->body.id = rows.rows[0].body;
	mutation->once_key = PN_SLICE("t1 bob");
	commit_add(commit, PN_MUTATION_QUEUE_DONE, NULL)->queue_row = &row;
	must(commit);
	CHECK(select_rows((struct pn_queue_request){0}).total == 0);
	CHECK(pn_slice_equal(body_of(BOB, rows.rows[0].body), message("queued", 0)));
}

const struct conformance_case queue_cases[] = {
	CASE(queued_row_comes_back_whole),
	CASE(queue_ids_ascend),
	CASE(done_rows_are_gone),
	CASE(updated_rows_change_what_they_should),
	CASE(due_rows_come_in_order_of_due),
	CASE(due_rows_come_in_pages),
	CASE(rows_are_selected_by_each_index),
	CASE(rows_come_in_pages_by_id),
	CASE(updates_set_details_and_expiry_where_they_have_some),
	CASE(a_worker_passes_over_rows_that_are_gone),
	CASE(a_worker_passes_over_rows_that_are_held),
	CASE(a_worker_passes_over_rows_that_got_another_moment),
	CASE(rows_of_a_destination_come_in_order_of_due_and_held_ones_last),
	CASE(rows_of_a_destination_come_in_pages),
	CASE(pages_go_on_behind_rows_that_are_gone),
	CASE(a_destination_and_a_time_select_the_due_rows_of_it_alone),
	CASE(accepting_is_one_commit),
	CASE(delivery_from_the_queue_is_one_commit),
	CASES_END,
};
