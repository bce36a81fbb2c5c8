/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue in the index: rows of a fixed layout, and an entry for each thing
 * that they are selected by. Text is compared without case; the entries hold a
 * hash of it, so every row that is found is compared itself.
 */
#include "store_local.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

#include <postern/text.h>

#define HELD_BIT ((uint64_t)1 << 63)

static struct pn_slice *row_texts(struct pn_queue_row *row, struct pn_slice *texts[QUEUE_TEXTS])
{
	texts[0] = &row->transaction;
	texts[1] = &row->sender;
	texts[2] = &row->recipient;
	texts[3] = &row->destination;
	texts[4] = &row->tenant;
	texts[5] = &row->details;
	texts[6] = &row->reason;
	return *texts;
}

static struct pn_slice recipient_domain(const struct pn_queue_row *row)
{
	size_t at = row->recipient.size;

	while (at > 0 && row->recipient.data[at - 1] != '@')
		at--;
	return at == 0 ? PN_SLICE_NONE
	               : pn_slice_make(row->recipient.data + at, row->recipient.size - at);
}

static void row_key(struct index_key *key, uint64_t id)
{
	key_start(key);
	key_byte(key, 'R');
	key_u64(key, id);
}

/* A time as a key has it: held rows come behind all that are due. */
static uint64_t due_value(int64_t due_ms, enum pn_queue_state state)
{
	return (due_ms < 0 ? 0 : (uint64_t)due_ms) | (state == PN_QUEUE_HELD ? HELD_BIT : 0);
}

static void due_key(struct index_key *key, int64_t due_ms, uint64_t id)
{
	key_start(key);
	key_byte(key, 'D');
	key_u64(key, due_value(due_ms, PN_QUEUE_DUE));
	key_u64(key, id);
}

static uint64_t text_hash(struct pn_slice text)
{
	char room[256] = "";
	char *lower = text.size <= sizeof(room) ? room : malloc(text.size);
	uint64_t hash;

	if (lower == NULL)
		abort();
	for (size_t i = 0; i < text.size; i++) {
		char byte = text.data[i];

		lower[i] = byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : byte;
	}
	hash = XXH3_64bits(lower, text.size);
	if (lower != room)
		free(lower);
	return hash;
}

static void entry_key(struct index_key *key, uint8_t kind, uint64_t value)
{
	key_start(key);
	key_byte(key, kind);
	key_u64(key, value);
}

enum { QUEUE_ENTRIES = 6 };

/* The keys under which a row is found; returns how many. */
static size_t row_entries(const struct pn_queue_row *row, struct index_key keys[QUEUE_ENTRIES])
{
	size_t count = 0;

	entry_key(&keys[count], 'd', text_hash(row->destination));
	key_u64(&keys[count++], due_value(row->due_ms, row->state));
	entry_key(&keys[count++], 's', text_hash(row->sender));
	entry_key(&keys[count++], 'r', text_hash(recipient_domain(row)));
	entry_key(&keys[count++], 't', text_hash(row->tenant));
	entry_key(&keys[count++], 'S', (uint64_t)row->state);
	for (size_t i = 0; i < count; i++)
		key_u64(&keys[i], row->id);
	if (row->state == PN_QUEUE_DUE)
		due_key(&keys[count++], row->due_ms, row->id);
	return count;
}

static enum pn_status enter(struct index_access *access, const struct pn_queue_row *row)
{
	struct index_key keys[QUEUE_ENTRIES];
	size_t count = row_entries(row, keys);
	enum pn_status status = PN_OK;

	for (size_t i = 0; i < count && status == PN_OK; i++)
		status = index_put(access, TABLE_QUEUE, &keys[i], "", 0);
	return status;
}

static enum pn_status leave(struct index_access *access, const struct pn_queue_row *row)
{
	struct index_key keys[QUEUE_ENTRIES];
	size_t count = row_entries(row, keys);
	enum pn_status status = PN_OK;

	for (size_t i = 0; i < count && status == PN_OK; i++)
		status = index_delete(access, TABLE_QUEUE, &keys[i]);
	return status == PN_NOT_FOUND
	               ? pn_fail(access->error, "the index %s misses an entry of queue row %llu",
	                         access->index->path, (unsigned long long)row->id)
	               : status;
}

static enum pn_status save(struct index_access *access, const struct pn_queue_row *row)
{
	struct pn_queue_row copy = *row;
	struct pn_slice *texts[QUEUE_TEXTS];
	struct queue_row fixed = {
		.body = row->body,
		.due_ms = row->due_ms,
		.arrived_ms = row->arrived_ms,
		.expires_ms = row->expires_ms,
		.state = (uint32_t)row->state,
		.attempts = row->attempts,
		.priority = row->priority,
	};
	struct index_key key;
	size_t size = 0;
	char *tail;

	row_texts(&copy, texts);
	for (size_t i = 0; i < QUEUE_TEXTS; i++) {
		if (texts[i]->size > UINT32_MAX / 16)
			return pn_fail_with(PN_LIMIT, access->error, "a queue row is too large");
		fixed.text_sizes[i] = (uint32_t)texts[i]->size;
		size += texts[i]->size;
	}
	tail = pn_arena_allocate(access->arena, size);
	size = 0;
	for (size_t i = 0; i < QUEUE_TEXTS; i++) {
		if (texts[i]->size != 0)
			memcpy(tail + size, texts[i]->data, texts[i]->size);
		size += texts[i]->size;
	}
	row_key(&key, row->id);
	return index_put_two(access, TABLE_QUEUE, &key, &fixed, sizeof(fixed),
	                     pn_slice_make(tail, size));
}

/* Without copies of its texts: they lie in the index, until something is written to it. */
static enum pn_status look_at_row(struct index_access *access, uint64_t id, MDB_val value,
                                  struct pn_queue_row *row)
{
	struct pn_slice *texts[QUEUE_TEXTS];
	struct queue_row fixed;
	struct pn_slice rest;

	if (value.mv_size < sizeof(fixed))
		goto damaged;
	memcpy(&fixed, value.mv_data, sizeof(fixed));
	*row = (struct pn_queue_row){
		.id = id,
		.body = fixed.body,
		.due_ms = fixed.due_ms,
		.arrived_ms = fixed.arrived_ms,
		.expires_ms = fixed.expires_ms,
		.state = (enum pn_queue_state)fixed.state,
		.attempts = fixed.attempts,
		.priority = fixed.priority,
	};
	rest = pn_slice_make((const char *)value.mv_data + sizeof(fixed),
	                     value.mv_size - sizeof(fixed));
	row_texts(row, texts);
	for (size_t i = 0; i < QUEUE_TEXTS; i++) {
		if (fixed.text_sizes[i] > rest.size)
			goto damaged;
		*texts[i] = pn_slice_make(rest.data, fixed.text_sizes[i]);
		rest = pn_slice_make(rest.data + fixed.text_sizes[i],
		                     rest.size - fixed.text_sizes[i]);
	}
	return PN_OK;
damaged:
	return pn_fail(access->error, "the index %s has a damaged queue row %llu",
	               access->index->path, (unsigned long long)id);
}

static enum pn_status look(struct index_access *access, uint64_t id, struct pn_queue_row *row)
{
	struct index_key key;
	MDB_val value;
	enum pn_status status;

	row_key(&key, id);
	status = index_get(access, TABLE_QUEUE, &key, &value);
	if (status == PN_NOT_FOUND)
		return pn_fail_with(PN_NOT_FOUND, access->error, "there is no queue row %llu",
		                    (unsigned long long)id);
	return status == PN_OK ? look_at_row(access, id, value, row) : status;
}

static void keep_texts(struct pn_arena *arena, struct pn_queue_row *row)
{
	struct pn_slice *texts[QUEUE_TEXTS];

	row_texts(row, texts);
	for (size_t i = 0; i < QUEUE_TEXTS; i++)
		*texts[i] = pn_arena_keep(arena, *texts[i]);
}

enum pn_status queue_load(struct index_access *access, uint64_t id, struct pn_queue_row *row)
{
	enum pn_status status = look(access, id, row);

	if (status == PN_OK)
		keep_texts(access->arena, row);
	return status;
}

/* The caller has taken the reference to the body. */
enum pn_status queue_put(struct index_access *access, const struct pn_queue_row *row,
                         struct pn_body_id body, uint64_t *id_out)
{
	struct pn_queue_row copy = *row;
	uint64_t ignored;
	enum pn_status status = index_counter(access, "next_queue", 1, &copy.id);

	if (status == PN_OK)
		status = index_counter(access, "queue_count", 1, &ignored);
	copy.body = body;
	*id_out = copy.id;
	if (status == PN_OK)
		status = save(access, &copy);
	return status == PN_OK ? enter(access, &copy) : status;
}

/* Whether somebody else changed the row since who worked on it had read it. */
static bool has_moved(const struct pn_mutation *mutation, const struct pn_queue_row *row)
{
	return row->state == PN_QUEUE_HELD || (mutation->unchanged_since != 0 &&
	                                       (uint64_t)row->due_ms != mutation->unchanged_since);
}

/* The row of a mutation. False with PN_OK: it comes from who worked on the row meanwhile, and the
 * row is gone, or an operator holds it or did something else to it. */
static enum pn_status load_for(struct index_access *access, const struct pn_mutation *mutation,
                               struct pn_queue_row *row, bool *is_there)
{
	enum pn_status status = queue_load(access, mutation->queue_row->id, row);

	*is_there = status == PN_OK;
	if (!mutation->on)
		return status;
	if (status == PN_NOT_FOUND)
		return PN_OK;
	*is_there = status == PN_OK &&
	            (mutation->kind == PN_MUTATION_QUEUE_DONE || !has_moved(mutation, row));
	return status;
}

enum pn_status queue_update(struct index_access *access, const struct pn_mutation *mutation,
                            bool *was_there)
{
	const struct pn_queue_row *change = mutation->queue_row;
	struct pn_queue_row row;
	enum pn_status status = load_for(access, mutation, &row, was_there);

	if (status != PN_OK || !*was_there)
		return status;
	status = leave(access, &row);
	if (status != PN_OK)
		return status;
	row.due_ms = change->due_ms;
	row.state = change->state;
	row.attempts = change->attempts;
	row.priority = change->priority;
	row.reason = change->reason;
	row.destination = change->destination;
	if (change->details.size != 0)
		row.details = change->details;
	if (change->expires_ms != 0)
		row.expires_ms = change->expires_ms;
	status = save(access, &row);
	return status == PN_OK ? enter(access, &row) : status;
}

enum pn_status queue_done(struct index_access *access, const struct pn_mutation *mutation,
                          bool *was_there)
{
	struct pn_queue_row row;
	struct index_key key;
	uint64_t ignored;
	enum pn_status status = load_for(access, mutation, &row, was_there);

	if (status != PN_OK || !*was_there)
		return status;
	status = leave(access, &row);
	row_key(&key, row.id);
	if (status == PN_OK)
		status = index_delete(access, TABLE_QUEUE, &key);
	if (status == PN_OK)
		status = index_counter(access, "queue_count", (uint64_t)-1, &ignored);
	return status == PN_OK ? body_release(access, row.body) : status;
}

static bool text_fits(struct pn_slice wanted, struct pn_slice text)
{
	return wanted.size == 0 || pn_slice_equal_ignore_case(wanted, text);
}

static bool row_fits(const struct pn_queue_request *request, const struct pn_queue_row *row)
{
	if (request->due_before_ms != 0 &&
	    (row->state != PN_QUEUE_DUE || row->due_ms >= request->due_before_ms))
		return false;
	if (request->has_state && row->state != request->state)
		return false;
	return text_fits(request->destination, row->destination) &&
	       text_fits(request->sender, row->sender) &&
	       text_fits(request->recipient_domain, recipient_domain(row)) &&
	       text_fits(request->tenant, row->tenant);
}

/* Where the walk over the entries of a destination begins: behind the row after_id, which may be
 * gone by now, or be held by now. */
static void destination_from(struct index_access *access, const struct pn_queue_request *request,
                             struct index_key *from)
{
	enum pn_queue_state state = request->has_state ? request->state : PN_QUEUE_DUE;
	struct pn_queue_row row;

	if (request->after_id == 0) {
		key_u64(from, due_value(0, state));
		key_u64(from, 0);
		return;
	}
	if (!request->has_state && request->due_before_ms == 0 &&
	    look(access, request->after_id, &row) == PN_OK)
		state = row.state;
	key_u64(from, due_value(request->after_due_ms, state));
	key_u64(from, request->after_id);
}

/* Which entries to walk. Gives their prefix, and where to begin. */
static void choose(struct index_access *access, const struct pn_queue_request *request,
                   struct index_key *prefix, struct index_key *from)
{
	if (request->destination.size != 0) {
		entry_key(prefix, 'd', text_hash(request->destination));
		*from = *prefix;
		destination_from(access, request, from);
		return;
	}
	if (request->due_before_ms != 0) {
		due_key(from, request->after_id == 0 ? 0 : request->after_due_ms,
		        request->after_id);
		key_start(prefix);
		key_byte(prefix, 'D');
		return;
	}
	if (request->sender.size != 0)
		entry_key(prefix, 's', text_hash(request->sender));
	else if (request->recipient_domain.size != 0)
		entry_key(prefix, 'r', text_hash(request->recipient_domain));
	else if (request->tenant.size != 0)
		entry_key(prefix, 't', text_hash(request->tenant));
	else if (request->has_state)
		entry_key(prefix, 'S', (uint64_t)request->state);
	else {
		key_start(prefix);
		key_byte(prefix, 'R');
	}
	*from = *prefix;
	key_u64(from, request->after_id);
}

/* The entries are in the order of due: what comes from here on was not asked for. */
static bool is_past(const struct pn_queue_request *request, const struct index_walk *walk)
{
	uint64_t due;

	if (request->due_before_ms == 0 && request->destination.size == 0)
		return false;
	due = key_read_u64((const char *)walk->key.mv_data + walk->key.mv_size - 2 * sizeof(due));
	if (request->due_before_ms != 0)
		return due >= (uint64_t)request->due_before_ms;
	return request->has_state && request->state == PN_QUEUE_DUE && due >= HELD_BIT;
}

enum pn_status queue_select(struct index_access *access, const struct pn_queue_request *request,
                            struct pn_queue_rows *result)
{
	struct index_key prefix;
	struct index_key from;
	struct index_walk walk;
	struct pn_queue_row *rows = NULL;
	size_t capacity = 0;
	enum pn_status status;

	result->row_size = sizeof(struct pn_queue_row);
	result->count = 0;
	result->is_complete = true;
	status = index_counter(access, "queue_count", 0, &result->total);
	if (status == PN_OK)
		status = index_counter(access, "next_queue", 0, &result->last_id);
	if (status != PN_OK)
		return status;
	choose(access, request, &prefix, &from);
	walk_begin(&walk, access, TABLE_QUEUE, &prefix, &from);
	for (; walk.status == PN_OK && status == PN_OK; walk_next(&walk)) {
		const char *key = walk.key.mv_data;
		uint64_t id = key_read_u64(key + walk.key.mv_size - sizeof(id));
		struct pn_queue_row row;

		if (walk.key.mv_size == from.size && memcmp(key, from.bytes, from.size) == 0 &&
		    request->after_id != 0)
			continue; /* the row to go on behind */
		if (is_past(request, &walk))
			break;
		status = look(access, id, &row);
		if (status != PN_OK || !row_fits(request, &row))
			continue;
		if (result->count >= request->max_rows) {
			result->is_complete = false;
			break;
		}
		if (result->count == capacity) {
			capacity = capacity == 0 ? 16 : capacity * 2;
			rows = reallocarray(rows, capacity, sizeof(*rows));
			if (rows == NULL)
				abort();
		}
		keep_texts(access->arena, &row);
		rows[result->count++] = row;
	}
	walk_end(&walk);
	if (status == PN_OK && walk.status == PN_FAILED)
		status = PN_FAILED;
	result->rows = PN_ARENA_ARRAY(access->arena, result->count, struct pn_queue_row);
	if (result->count != 0)
		memcpy((void *)(uintptr_t)result->rows, rows, result->count * sizeof(*rows));
	free(rows);
	return status;
}

/* Every row has its entries, and every entry its row. */
enum pn_status queue_verify(struct index_access *access, const struct pn_store_report *report,
                            size_t *damage)
{
	struct index_key prefix = {.size = 0};
	struct index_key keys[QUEUE_ENTRIES];
	struct index_walk walk;
	struct pn_queue_row row;
	uint64_t rows = 0;
	uint64_t entries = 0;
	uint64_t expected = 0;
	uint64_t total;
	MDB_val value;

	walk_begin(&walk, access, TABLE_QUEUE, &prefix, NULL);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		const char *key = walk.key.mv_data;
		uint64_t id = key_read_u64(key + walk.key.mv_size - sizeof(id));

		if (queue_load(access, id, &row) != PN_OK) {
			local_say(report, true, "queue row %llu is missing or damaged",
			          (unsigned long long)id);
			++*damage;
			continue;
		}
		if (key[0] != 'R') {
			entries++;
			continue;
		}
		rows++;
		size_t count = row_entries(&row, keys);

		expected += count;
		for (size_t i = 0; i < count; i++)
			if (index_get(access, TABLE_QUEUE, &keys[i], &value) != PN_OK) {
				local_say(report, true, "queue row %llu misses an entry '%c'",
				          (unsigned long long)id, keys[i].bytes[0]);
				++*damage;
			}
	}
	walk_end(&walk);
	if (entries != expected) {
		local_say(report, true, "the queue has %llu entries; its rows need %llu",
		          (unsigned long long)entries, (unsigned long long)expected);
		++*damage;
	}
	if (index_counter(access, "queue_count", 0, &total) == PN_OK && total != rows) {
		local_say(report, true, "the queue's count is %llu; it has %llu rows",
		          (unsigned long long)total, (unsigned long long)rows);
		++*damage;
	}
	return walk.status == PN_FAILED ? PN_FAILED : PN_OK;
}
