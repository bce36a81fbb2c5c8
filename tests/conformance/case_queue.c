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

static void rows_come_in_pages_by_id(void)
{
	struct pn_queue_request request = {.destination = PN_SLICE("c"), .max_rows = 2};
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
	CASE(accepting_is_one_commit),
	CASE(delivery_from_the_queue_is_one_commit),
	CASES_END,
};
