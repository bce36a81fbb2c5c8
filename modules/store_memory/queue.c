/* SPDX-License-Identifier: Apache-2.0 */
/* The queue as a table in memory: selecting walks all of it. */
#include "store_memory.h"

#include <stdlib.h>
#include <string.h>

#include <postern/text.h>

static void keep_texts(struct pn_arena *arena, struct pn_queue_row *row)
{
	row->transaction = pn_arena_keep(arena, row->transaction);
	row->sender = pn_arena_keep(arena, row->sender);
	row->recipient = pn_arena_keep(arena, row->recipient);
	row->destination = pn_arena_keep(arena, row->destination);
	row->tenant = pn_arena_keep(arena, row->tenant);
	row->details = pn_arena_keep(arena, row->details);
	row->reason = pn_arena_keep(arena, row->reason);
}

void queue_copy(const struct memory_queue *queue, struct memory_queue *copy)
{
	*copy = *queue;
	copy->arena = pn_arena_new();
	copy->capacity = queue->count;
	copy->rows = PN_ARENA_ARRAY(copy->arena, queue->count, struct pn_queue_row);
	for (size_t i = 0; i < queue->count; i++) {
		copy->rows[i] = queue->rows[i];
		keep_texts(copy->arena, &copy->rows[i]);
	}
}

void queue_free(struct memory_queue *queue)
{
	pn_arena_free(&queue->arena);
	memset(queue, 0, sizeof(*queue));
}

uint64_t queue_put(struct memory_queue *queue, const struct pn_queue_row *row,
                   struct pn_body_id body)
{
	struct pn_queue_row *put;

	if (queue->count == queue->capacity) {
		struct pn_queue_row *rows;

		queue->capacity = queue->capacity * 2 + 8;
		rows = PN_ARENA_ARRAY(queue->arena, queue->capacity, struct pn_queue_row);
		if (queue->count != 0)
			memcpy(rows, queue->rows, queue->count * sizeof(*rows));
		queue->rows = rows;
	}
	put = &queue->rows[queue->count++];
	*put = *row;
	keep_texts(queue->arena, put);
	put->id = ++queue->next_id;
	put->body = body;
	return put->id;
}

static struct pn_queue_row *find(struct memory_queue *queue, uint64_t id)
{
	for (size_t i = 0; i < queue->count; i++)
		if (queue->rows[i].id == id)
			return &queue->rows[i];
	return NULL;
}

/* Whether somebody else changed the row since who worked on it had read it. */
static bool has_moved(const struct pn_mutation *mutation, const struct pn_queue_row *row)
{
	return row->state == PN_QUEUE_HELD || (mutation->unchanged_since != 0 &&
	                                       (uint64_t)row->due_ms != mutation->unchanged_since);
}

enum pn_status queue_update(struct memory_queue *queue, const struct pn_mutation *mutation,
                            bool *was_there)
{
	const struct pn_queue_row *change = mutation->queue_row;
	struct pn_queue_row *row = find(queue, change->id);

	*was_there = row != NULL && !(mutation->on && has_moved(mutation, row));
	if (!*was_there)
		return mutation->on ? PN_OK : PN_NOT_FOUND;
	row->due_ms = change->due_ms;
	row->state = change->state;
	row->attempts = change->attempts;
	row->priority = change->priority;
	row->reason = pn_arena_keep(queue->arena, change->reason);
	row->destination = pn_arena_keep(queue->arena, change->destination);
	if (change->details.size != 0)
		row->details = pn_arena_keep(queue->arena, change->details);
	if (change->expires_ms != 0)
		row->expires_ms = change->expires_ms;
	return PN_OK;
}

enum pn_status queue_done(struct memory_queue *queue, const struct pn_mutation *mutation,
                          bool *was_there)
{
	struct pn_queue_row *row = find(queue, mutation->queue_row->id);

	*was_there = row != NULL;
	if (row == NULL)
		return mutation->on ? PN_OK : PN_NOT_FOUND;
	queue->count--;
	memmove(row, row + 1, (queue->count - (size_t)(row - queue->rows)) * sizeof(*row));
	return PN_OK;
}

static struct pn_slice domain_of(struct pn_slice address)
{
	for (size_t at = address.size; at > 0; at--)
		if (address.data[at - 1] == '@')
			return pn_slice_make(address.data + at, address.size - at);
	return PN_SLICE_NONE;
}

static bool text_fits(struct pn_slice wanted, struct pn_slice text)
{
	return wanted.size == 0 || pn_slice_equal_ignore_case(wanted, text);
}

static bool is_by_due(const struct pn_queue_request *request)
{
	return request->due_before_ms != 0 || request->destination.size != 0;
}

static int by_due(const void *left, const void *right)
{
	const struct pn_queue_row *a = left;
	const struct pn_queue_row *b = right;

	if (a->state != b->state)
		return a->state == PN_QUEUE_HELD ? 1 : -1;
	if (a->due_ms != b->due_ms)
		return a->due_ms < b->due_ms ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

static bool fits(const struct pn_queue_request *request, const struct pn_queue_row *last,
                 const struct pn_queue_row *row)
{
	if (request->due_before_ms != 0 &&
	    (row->state != PN_QUEUE_DUE || row->due_ms >= request->due_before_ms))
		return false;
	if (request->after_id != 0 &&
	    (is_by_due(request) ? by_due(row, last) <= 0 : row->id <= request->after_id))
		return false;
	return (!request->has_state || row->state == request->state) &&
	       text_fits(request->destination, row->destination) &&
	       text_fits(request->sender, row->sender) &&
	       text_fits(request->recipient_domain, domain_of(row->recipient)) &&
	       text_fits(request->tenant, row->tenant);
}

/* The row to go on behind, which may be gone by now, or be held by now. */
static struct pn_queue_row last_row(struct memory_queue *queue,
                                    const struct pn_queue_request *request)
{
	struct pn_queue_row last = {.id = request->after_id, .due_ms = request->after_due_ms};
	const struct pn_queue_row *row = find(queue, request->after_id);

	if (request->has_state)
		last.state = request->state;
	else if (row != NULL && request->due_before_ms == 0)
		last.state = row->state;
	return last;
}

enum pn_status memory_queue_rows(void *instance, struct pn_store_call *call,
                                 const struct pn_queue_request *request,
                                 struct pn_queue_rows *result)
{
	struct memory_queue *queue = &((struct memory_store *)instance)->queue;
	struct pn_queue_row *rows = PN_ARENA_ARRAY(call->arena, queue->count, struct pn_queue_row);
	const struct pn_queue_row last = last_row(queue, request);
	size_t count = 0;

	for (size_t i = 0; i < queue->count; i++)
		if (fits(request, &last, &queue->rows[i]))
			rows[count++] = queue->rows[i];
	if (is_by_due(request) && count != 0)
		qsort(rows, count, sizeof(*rows), by_due);
	result->is_complete = count <= request->max_rows;
	result->count = result->is_complete ? count : request->max_rows;
	for (size_t i = 0; i < result->count; i++)
		keep_texts(call->arena, &rows[i]);
	result->rows = rows;
	result->row_size = sizeof(*rows);
	result->total = queue->count;
	result->last_id = queue->next_id;
	return PN_OK;
}
