/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking rows: what is due comes from the store into memory, within limits, and is this
 * worker's until settle.c has written down what became of it.
 *
 * New rows are found by their ids, which the store gives in the order of its commits;
 * rows that were put off by their due moment; and what was left in the store because a
 * destination, a tenant or all of them had enough in memory, by destination. A million
 * rows that wait are read through once at the start, and not again. Loop thread.
 */
#include "delivery/scheduler.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "session/ticket.h"

#include <stdlib.h>

enum {
	LAG_MS = 10 * 1000, /* a commit may be that much younger than the moment in it */
	LAG_EVERY_MS = 5 * 1000,
	BEGINNING_EVERY_MS = 5 * 60 * 1000,
	SHARE_OF_DESTINATION = 20, /* of what memory may hold: a twentieth */
	TENANT_SHARE = 8,          /* a tenant may have eight times as many as there is room for */
	LEAST_OF_DESTINATION = 100,
	QUESTION_MS = 60 * 1000,
	RETRY_MS = 1000,
	AHEAD_MS = 1200, /* a little more than a tick: what falls due before the next one */
};

/* One way of reading: where it stands, and whether it is at it. */
struct reading {
	bool is_asking;
	bool again;
	bool is_started;
	uint64_t after_id;
	int64_t after_due_ms;
};

static struct reading fresh; /* by id */
static struct reading due;   /* by moment */
static int64_t due_started_ms;
static uint64_t beginning_at_ms;
static uint64_t lag_at_ms;
static bool is_full; /* the due reading stopped because memory has enough */
static struct pn_timer *retry;

static struct pn_slice key_of(const uint64_t *id)
{
	return pn_slice_make((const char *)id, sizeof(*id));
}

static size_t most_rows(void)
{
	return pn_scheduler.generation->queue.memory_rows;
}

static size_t most_of_destination(void)
{
	size_t share = most_rows() / SHARE_OF_DESTINATION;

	if (share < LEAST_OF_DESTINATION)
		share = LEAST_OF_DESTINATION;
	return share < most_rows() ? share : most_rows();
}

/* Whether a tenant has its share of memory, if `kept` of it were in use, too: the more is free, the
 * more it may have, and something is left for whoever comes next. */
static bool has_its_share(const struct tenant *tenant, size_t kept)
{
	size_t used = pn_map_count(pn_scheduler.rows) + kept;
	size_t left = used < most_rows() ? most_rows() - used : 0;

	return tenant->rows >= TENANT_SHARE * left;
}

static bool is_stopping(void)
{
	return !pn_scheduler.is_running || pn_scheduler.is_finishing;
}

/* ---- one row ---- */

/* The row and its texts in one piece of memory. */
static struct queued *copy_row(const struct pn_queue_row *row)
{
	const struct pn_slice *texts[] = {&row->transaction, &row->sender, &row->recipient,
	                                  &row->destination, &row->tenant, &row->details,
	                                  &row->reason};
	struct pn_slice *copies[7];
	size_t size = sizeof(struct queued);
	struct queued *queued;
	char *room;

	for (size_t i = 0; i < 7; i++)
		size += texts[i]->size + 1;
	queued = calloc(1, size);
	if (queued == NULL)
		abort();
	queued->row = *row;
	copies[0] = &queued->row.transaction;
	copies[1] = &queued->row.sender;
	copies[2] = &queued->row.recipient;
	copies[3] = &queued->row.destination;
	copies[4] = &queued->row.tenant;
	copies[5] = &queued->row.details;
	copies[6] = &queued->row.reason;
	room = (char *)(queued + 1);
	for (size_t i = 0; i < 7; i++) {
		if (texts[i]->size > 0)
			memcpy(room, texts[i]->data, texts[i]->size);
		*copies[i] = pn_slice_make(room, texts[i]->size);
		room += texts[i]->size + 1;
	}
	return queued;
}

/* Its tenant has enough in memory: the destination stands in line until there is room for more. */
static void leave_out(struct tenant *tenant, struct destination *destination)
{
	if (destination->is_left_out)
		return;
	destination->is_left_out = true;
	destination->next_left_out = NULL;
	*tenant->last_left_out = destination;
	tenant->last_left_out = &destination->next_left_out;
}

static void refill_one_of(struct tenant *tenant)
{
	struct destination *destination = tenant->left_out;
	/* Much at a time: what is in memory is read again. */
	const size_t kept = tenant->rows == 0 ? 0 : most_rows() / 8;

	if (destination == NULL || is_stopping() || has_its_share(tenant, kept))
		return;
	tenant->left_out = destination->next_left_out;
	if (tenant->left_out == NULL)
		tenant->last_left_out = &tenant->left_out;
	destination->is_left_out = false;
	if (destination->has_more)
		pn_take_refill(destination);
	else
		pn_destination_release(destination);
}

void pn_take_left_out(void)
{
	struct pn_slice key;
	void *value;
	size_t position = 0;

	while (pn_map_next(pn_scheduler.tenants, &position, &key, &value))
		refill_one_of(value);
}

void pn_queued_free(struct queued *queued)
{
	struct lane *lane = queued->lane;
	struct destination *destination = lane == NULL ? NULL : lane->destination;
	struct tenant *tenant = queued->tenant;

	pn_map_remove(pn_scheduler.rows, key_of(&queued->row.id));
	pn_transaction_release(&queued->transaction);
	tenant->rows--;
	if (lane != NULL) {
		lane->rows--;
		pn_lane_release(lane);
		destination->rows--;
		destination->at_work--;
		if (destination->has_more && !destination->is_left_out &&
		    destination->rows < most_of_destination() / 2)
			pn_take_refill(destination);
		pn_destination_release(destination);
	}
	refill_one_of(tenant);
	pn_tenant_release(tenant);
	free(queued);
	if (is_full && pn_map_count(pn_scheduler.rows) < most_rows() / 4 * 3)
		pn_take_due(false);
}

/* Whether the row may come into memory; otherwise its destination remembers that there is more. */
static bool has_room(const struct pn_queue_row *row, struct tenant *tenant)
{
	struct destination *destination = pn_destination_of(row->destination);

	if (destination == NULL)
		return true; /* no route: it is taken to be told so */
	if (!has_its_share(tenant, 0) && !tenant->is_suspended && !destination->is_suspended &&
	    destination->rows < most_of_destination())
		return true;
	destination->has_more = true;
	if (has_its_share(tenant, 0))
		leave_out(tenant, destination);
	return false;
}

static bool is_ours(const struct pn_queue_row *row)
{
	return pn_queue_shard(row->destination, pn_scheduler.count) == pn_scheduler.number;
}

/* True where it was taken, is there, or is no business of ours; false: memory is full. */
static bool take(const struct pn_queue_row *row)
{
	struct tenant *tenant;
	struct queued *queued;

	if (!is_ours(row) || pn_map_get(pn_scheduler.rows, key_of(&row->id)) != NULL)
		return true;
	if (pn_map_count(pn_scheduler.rows) >= most_rows())
		return false;
	tenant = pn_tenant_of(row->tenant);
	if (!has_room(row, tenant))
		return true;
	queued = copy_row(row);
	queued->tenant = tenant;
	pn_map_set(pn_scheduler.rows, key_of(&queued->row.id), queued);
	tenant->rows++;
	pn_route_row(queued);
	return true;
}

static const struct pn_queue_row *row_at(const struct pn_queue_rows *rows, size_t index)
{
	return (const void *)((const char *)rows->rows + index * rows->row_size);
}

/* ---- trouble: the store does not answer ---- */

static void retry_reading(void *unused)
{
	(void)unused;
	pn_take_new();
	pn_take_due(false);
}

static bool failed(const struct pn_answer *answer)
{
	if (answer->status == PN_OK)
		return false;
	if (answer->kind == PN_ANSWER_STORE)
		pn_log(PN_LOG_ERROR, "queue", "the queue cannot be read: %s",
		       answer->error != NULL ? answer->error->text
		                             : pn_status_name(answer->status));
	if (retry != NULL)
		pn_timer_set(retry, RETRY_MS);
	return true;
}

/* ---- new rows ---- */

static void ask_for_last_id(void);

static void new_answered(void *user, const struct pn_answer *answer)
{
	const struct pn_queue_rows *rows = answer->result;
	int64_t now = pn_clock_wall_ms();

	(void)user;
	fresh.is_asking = false;
	if (is_stopping() || failed(answer))
		return;
	pn_scheduler.counts.total = rows->total;
	for (size_t i = 0; i < rows->count; i++) {
		const struct pn_queue_row *row = row_at(rows, i);

		if (row->state == PN_QUEUE_DUE && row->due_ms > now) {
			pn_wait_until(row->due_ms);
		} else if (row->state == PN_QUEUE_DUE && !take(row)) {
			is_full = true; /* the due reading will find it */
			due.after_due_ms = row->due_ms - LAG_MS < due.after_due_ms
			                           ? row->due_ms - LAG_MS
			                           : due.after_due_ms;
		}
		fresh.after_id = row->id;
	}
	if (!rows->is_complete || fresh.again)
		pn_take_new();
}

void pn_take_new(void)
{
	const struct pn_queue_request request = {
		.struct_size = sizeof(request),
		.after_id = fresh.after_id,
		.max_rows = TAKE_ROWS,
	};

	if (fresh.is_asking || is_stopping()) {
		fresh.again = true;
		return;
	}
	if (!fresh.is_started) {
		ask_for_last_id();
		return;
	}
	fresh.again = false;
	fresh.is_asking = true;
	pn_store_queue(pn_scheduler.home, &request,
	               pn_ticket_open(NULL, new_answered, NULL, QUESTION_MS));
}

/* ---- due rows ---- */

static void due_answered(void *user, const struct pn_answer *answer)
{
	const struct pn_queue_rows *rows = answer->result;
	int64_t now = pn_clock_wall_ms();
	bool is_through;

	(void)user;
	due.is_asking = false;
	if (is_stopping() || failed(answer))
		return;
	pn_scheduler.counts.total = rows->total;
	is_through = rows->is_complete;
	for (size_t i = 0; i < rows->count; i++) {
		const struct pn_queue_row *row = row_at(rows, i);

		if (row->due_ms > now) {
			pn_wait_until(row->due_ms);
			is_through = true;
			break;
		}
		if (!take(row)) {
			is_full = true;
			return; /* goes on from here when there is room */
		}
		due.after_due_ms = row->due_ms;
		due.after_id = row->id;
	}
	if (!is_through) {
		pn_take_due(false);
		return;
	}
	/* Through: the next reading begins where this one did, and now and then a little before. */
	if (pn_clock_monotonic_ms() >= lag_at_ms) {
		due.after_due_ms = due_started_ms - LAG_MS;
		lag_at_ms = pn_clock_monotonic_ms() + LAG_EVERY_MS;
	} else {
		due.after_due_ms = due_started_ms - 1;
	}
	due.after_id = 0;
	due_started_ms = 0;
	if (due.again)
		pn_take_due(false);
}

void pn_take_due(bool from_beginning)
{
	int64_t now = pn_clock_wall_ms();
	struct pn_queue_request request = {
		.struct_size = sizeof(request),
		.due_before_ms = now + AHEAD_MS,
		.max_rows = TAKE_ROWS,
	};

	if (due.is_asking || is_stopping() || !fresh.is_started) {
		due.again = true;
		return;
	}
	if (from_beginning || pn_clock_monotonic_ms() >= beginning_at_ms) {
		due.after_due_ms = 0;
		due.after_id = 0;
		due_started_ms = 0;
		beginning_at_ms = pn_clock_monotonic_ms() + BEGINNING_EVERY_MS;
	}
	if (due_started_ms == 0)
		due_started_ms = now;
	is_full = false;
	due.again = false;
	due.is_asking = true;
	request.after_due_ms = due.after_due_ms < 0 ? 0 : due.after_due_ms;
	/* Behind every row of an earlier moment: ids begin with 1. */
	request.after_id = due.after_id != 0 || request.after_due_ms == 0 ? due.after_id : 1;
	pn_store_queue(pn_scheduler.home, &request,
	               pn_ticket_open(NULL, due_answered, NULL, QUESTION_MS));
}

/* ---- what a destination left in the store ---- */

static void refill_answered(void *user, const struct pn_answer *answer)
{
	const struct pn_queue_rows *rows = answer->result;
	struct pn_slice name = pn_slice_of(user);
	struct destination *destination = pn_map_get(pn_scheduler.destinations, name);

	if (destination != NULL)
		destination->is_refilling = false;
	if (destination == NULL || is_stopping() || failed(answer)) {
		free(user);
		return;
	}
	destination->has_more = !rows->is_complete;
	for (size_t i = 0; i < rows->count; i++)
		(void)take(row_at(rows, i)); /* which says again that there is more, if need be */
	pn_destination_release(destination);
	free(user);
}

void pn_take_refill(struct destination *destination)
{
	const struct pn_queue_request request = {
		.struct_size = sizeof(request),
		.destination = destination->name,
		.due_before_ms = pn_clock_wall_ms() + 1,
		/* Those in memory come first again. */
		.max_rows = destination->rows + TAKE_ROWS,
	};
	char *name;

	if (destination->is_refilling || is_stopping())
		return;
	destination->is_refilling = true;
	name = strndup(destination->name.data, destination->name.size);
	if (name == NULL)
		abort();
	pn_store_queue(pn_scheduler.home, &request,
	               pn_ticket_open(NULL, refill_answered, name, QUESTION_MS));
}

/* ---- an operator was at work ---- */

void pn_take_forget_idle(void)
{
	struct pn_slice key;
	void *value;
	size_t position = 0;
	struct queued *forgotten = NULL;

	while (pn_map_next(pn_scheduler.destinations, &position, &key, &value)) {
		struct destination *destination = value;

		for (struct lane *lane = destination->lanes; lane != NULL;
		     lane = lane->next_of_destination) {
			struct queued *queued;

			while ((queued = pn_lane_take(lane)) != NULL) {
				queued->next = forgotten;
				forgotten = queued;
			}
		}
	}
	while (forgotten != NULL) {
		struct queued *queued = forgotten;

		forgotten = queued->next;
		pn_queued_free(queued);
	}
}

/* What was put before this moment is found by its due moment, what comes after it by its id. */
static void start_answered(void *user, const struct pn_answer *answer)
{
	const struct pn_queue_rows *rows = answer->result;

	(void)user;
	fresh.is_asking = false;
	if (is_stopping() || failed(answer))
		return;
	fresh.after_id = rows->last_id;
	fresh.is_started = true;
	pn_scheduler.counts.total = rows->total;
	pn_take_due(true);
	pn_take_new();
}

static void ask_for_last_id(void)
{
	const struct pn_queue_request request = {
		.struct_size = sizeof(request), .due_before_ms = 1, .max_rows = 1};

	fresh.is_asking = true;
	pn_store_queue(pn_scheduler.home, &request,
	               pn_ticket_open(NULL, start_answered, NULL, QUESTION_MS));
}

void pn_take_start(void)
{
	fresh = (struct reading){.is_asking = false};
	due = (struct reading){.is_asking = false};
	due_started_ms = 0;
	beginning_at_ms = 0;
	lag_at_ms = 0;
	retry = pn_timer_new(retry_reading, NULL);
	ask_for_last_id();
}

void pn_take_stop(void)
{
	pn_timer_free(&retry);
}
