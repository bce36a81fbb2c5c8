/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group commit. The loop gathers commits while the lane works; the lane takes
 * them all: bodies first (one write, one flush, no lock held), then one index
 * transaction for the group, flushed by LMDB. When that returns they are durable
 * and visible, and are answered from the loop.
 *
 * A commit whose preconditions fail writes nothing. That is rare, so the group is
 * tried without safety nets first; when a part fails, all is taken back and done
 * again with a nested transaction around each part.
 */
#include "store_local.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Pieces of the one write of a group. */
struct gather {
	struct iovec *pieces;
	size_t count;
	size_t capacity;
	uint64_t size;
	struct record_header **headers; /* those among the pieces */
	size_t header_count;
};

static const char padding[RECORD_ALIGNMENT];

static void gather_add(struct gather *gather, const void *bytes, size_t size)
{
	if (size == 0)
		return;
	if (gather->count == gather->capacity) {
		gather->capacity = gather->capacity == 0 ? 64 : gather->capacity * 2;
		gather->pieces =
			reallocarray(gather->pieces, gather->capacity, sizeof(*gather->pieces));
		if (gather->pieces == NULL)
			abort();
	}
	gather->pieces[gather->count++] = (struct iovec){(void *)(uintptr_t)bytes, size};
	gather->size += size;
}

static void gather_header(struct gather *gather, struct record_header *header)
{
	gather->headers =
		reallocarray(gather->headers, gather->header_count + 1, sizeof(*gather->headers));
	if (gather->headers == NULL)
		abort();
	gather->headers[gather->header_count++] = header;
	gather_add(gather, header, sizeof(*header));
}

/* Time first, so that new rows lie together in the index; then random. */
static struct pn_body_id new_body_id(struct local_store *store, int64_t now_ms)
{
	struct pn_body_id id;

	if (store->random_left == 0) {
		pn_random(store->random, sizeof(store->random));
		store->random_left = LOCAL_RANDOM_IDS;
	}
	id = store->random[--store->random_left];
	for (int i = 0; i < 6; i++)
		id.bytes[i] = (uint8_t)(now_ms >> (40 - 8 * i));
	return id;
}

/* ---------------------------------------------------------- what a record says */

static void fill_delivery(struct index_access *access, const struct pn_mutation *mutation,
                          struct record_delivery *delivery)
{
	struct mailbox *mailbox;
	struct account account;

	if (mutation->kind == PN_MUTATION_QUEUE_PUT) {
		delivery->is_queued = true;
		if (mutation->queue_row != NULL)
			delivery->queue_row = *mutation->queue_row;
		return;
	}
	delivery->account = mutation->account;
	delivery->mailbox = mutation->name;
	delivery->once_key = mutation->once_key;
	delivery->flags = mutation->flags;
	delivery->internal_date_ms = mutation->internal_date_ms;
	if (mutation->mailbox == 0)
		return;
	mailbox = PN_ARENA_NEW(access->arena, struct mailbox);
	if (account_load(access, mutation->account, &account) == PN_OK &&
	    mailbox_load(access, account.id, mutation->mailbox, mailbox) == PN_OK)
		delivery->mailbox = mailbox_name(mailbox);
}

static bool refers_to(const struct pn_mutation *mutation, size_t body)
{
	return (mutation->kind == PN_MUTATION_APPEND || mutation->kind == PN_MUTATION_QUEUE_PUT) &&
	       mutation->body.is_new && mutation->body.index == body;
}

static struct pn_slice body_meta(struct index_access *access, struct pn_commit *commit,
                                 size_t index)
{
	struct pn_body_source *source = commit_body(commit, index);
	struct record_delivery *deliveries =
		PN_ARENA_ARRAY(commit->arena, commit->mutation_count, struct record_delivery);
	struct record_meta meta = {.transaction = source->transaction,
	                           .summary = source->summary,
	                           .deliveries = deliveries};

	for (size_t i = 0; i < commit->mutation_count; i++)
		if (refers_to(commit_mutation(commit, i), index))
			fill_delivery(access, commit_mutation(commit, i),
			              &deliveries[meta.delivery_count++]);
	return record_meta_write(commit->arena, &meta);
}

/* Lays a body out in the segment: its header, its meta, its bytes. */
static void gather_body(struct part *part, size_t index, struct pn_slice meta,
                        struct gather *gather)
{
	struct pn_body_source *source = commit_body(part->commit, index);
	struct new_body *body = &part->bodies[index];
	struct record_header *header = PN_ARENA_NEW(part->commit->arena, struct record_header);
	XXH3_state_t *state = XXH3_createState();
	XXH128_canonical_t canonical;
	uint64_t used;

	if (state == NULL)
		abort();
	XXH3_128bits_reset(state);
	for (size_t i = 0; i < source->piece_count; i++)
		if (source->pieces[i].size != 0)
			XXH3_128bits_update(state, source->pieces[i].data, source->pieces[i].size);
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
	XXH3_freeState(state);
	memcpy(header->body_checksum, canonical.digest, CHECKSUM_SIZE);
	record_checksum(meta.data, meta.size, header->meta_checksum);
	header->magic = RECORD_MAGIC;
	header->version = LOCAL_FORMAT;
	header->kind = RECORD_BODY;
	header->meta_offset = sizeof(*header);
	header->meta_size = (uint32_t)meta.size;
	header->body_offset = sizeof(*header) + meta.size;
	header->body_size = body->row.size;
	header->message_header_size = body->row.header_size;
	header->body = body->id;
	header->arrived_ms = body->row.arrived_ms;
	used = header->body_offset + header->body_size;
	header->record_size = record_padded(used);
	body->row.record_size = header->record_size;
	body->row.offset = gather->size; /* from the start of the write; see write_bodies() */
	gather_header(gather, header);
	gather_add(gather, meta.data, meta.size);
	for (size_t i = 0; i < source->piece_count; i++)
		gather_add(gather, source->pieces[i].data, source->pieces[i].size);
	gather_add(gather, padding, (size_t)(header->record_size - used));
}

static void prepare_part(struct index_access *access, struct part *part, struct gather *gather)
{
	struct pn_commit *commit = part->commit;
	int64_t now_ms = pn_clock_wall_ms();

	part->bodies = PN_ARENA_ARRAY(commit->arena, commit->body_count, struct new_body);
	access->arena = commit->arena;
	access->error = NULL;
	for (size_t i = 0; i < commit->body_count; i++) {
		struct pn_body_source *source = commit_body(commit, i);
		struct new_body *body = &part->bodies[i];
		struct pn_slice meta;

		for (size_t k = 0; k < commit->mutation_count; k++)
			body->is_wanted |= refers_to(commit_mutation(commit, k), i);
		if (!body->is_wanted)
			continue;
		body->id = new_body_id(access->store, now_ms);
		body->summary = source->summary;
		body->row.header_size = source->header_size;
		body->row.arrived_ms = now_ms;
		meta = body_meta(access, commit, i);
		if (source->writer != NULL) {
			if (part->status == PN_PENDING &&
			    writer_finish(source, body, meta, &commit->error) != PN_OK)
				part->status = PN_FAILED;
			continue;
		}
		for (size_t k = 0; k < source->piece_count; k++)
			body->row.size += source->pieces[k].size;
		gather_body(part, i, meta, gather);
	}
}

/* Bodies that were written and refused are named in front of the next write. */
static void gather_withdrawn(struct local_store *store, struct gather *gather,
                             struct record_header *headers)
{
	for (size_t i = 0; i < store->withdrawn_count; i++) {
		headers[i] = (struct record_header){
			.magic = RECORD_MAGIC,
			.version = LOCAL_FORMAT,
			.kind = RECORD_WITHDRAWN,
			.record_size = record_padded(sizeof(struct record_header)),
			.body = store->withdrawn[i],
		};
		gather_header(gather, &headers[i]);
		gather_add(gather, padding, (size_t)headers[i].record_size - sizeof(headers[i]));
	}
}

static void withdraw(struct local_store *store, struct pn_body_id id)
{
	store->withdrawn = reallocarray(store->withdrawn, store->withdrawn_count + 1, sizeof(id));
	if (store->withdrawn == NULL)
		abort();
	store->withdrawn[store->withdrawn_count++] = id;
}

/* Salts the headers, which had to wait until it was known which segment takes them. */
static void seal_headers(struct gather *gather, uint64_t salt)
{
	for (size_t i = 0; i < gather->header_count; i++)
		record_header_seal(gather->headers[i], salt);
}

static void place_bodies(struct group *group, uint64_t segment, uint64_t offset)
{
	for (size_t i = 0; i < group->count; i++) {
		struct part *part = &group->parts[i];

		for (size_t k = 0; k < part->commit->body_count; k++) {
			if (!part->bodies[k].is_wanted ||
			    commit_body(part->commit, k)->writer != NULL)
				continue;
			part->bodies[k].row.segment = segment;
			part->bodies[k].row.offset += offset;
			part->bodies[k].is_written = true;
		}
	}
}

static bool has_pieces(const struct part *part)
{
	for (size_t i = 0; i < part->commit->body_count; i++)
		if (part->bodies[i].is_wanted && commit_body(part->commit, i)->writer == NULL)
			return true;
	return false;
}

static void fail_parts(struct group *group, bool only_with_pieces, const struct pn_error *error)
{
	for (size_t i = 0; i < group->count; i++) {
		struct part *part = &group->parts[i];

		if (part->status != PN_PENDING || (only_with_pieces && !has_pieces(part)))
			continue;
		part->status = PN_FAILED;
		part->commit->error = *error;
	}
}

static bool has_writers(struct group *group)
{
	for (size_t i = 0; i < group->count; i++)
		for (size_t k = 0; k < group->parts[i].commit->body_count; k++)
			if (commit_body(group->parts[i].commit, k)->writer != NULL)
				return true;
	return false;
}

/* ------------------------------------------------------------- the three steps */

static enum pn_status append_gathered(struct local_store *store, struct gather *gather,
                                      uint64_t *offset, struct pn_error *error)
{
	enum pn_status status = segment_prepare(store, gather->size, error);

	if (status != PN_OK)
		return status;
	seal_headers(gather, store->segment.salt);
	return segment_append(store, gather->pieces, gather->count, gather->size, offset, error);
}

static void write_bodies(struct group *group)
{
	struct local_store *store = group->store;
	struct index_access access = {.store = store, .index = &store->index};
	struct gather gather = {0};
	struct record_header *withdrawn = calloc(store->withdrawn_count + 1, sizeof(*withdrawn));
	struct pn_error error = {0};
	uint64_t offset = 0;
	size_t alone;
	char *directory;

	if (withdrawn == NULL)
		abort();
	access.error = &error;
	if (index_begin(&access, false) != PN_OK) {
		fail_parts(group, false, &error);
		free(withdrawn);
		return;
	}
	gather_withdrawn(store, &gather, withdrawn);
	alone = gather.count;
	for (size_t i = 0; i < group->count; i++)
		prepare_part(&access, &group->parts[i], &gather);
	index_abort(&access);
	if (gather.count > alone) {
		if (append_gathered(store, &gather, &offset, &error) == PN_OK) {
			place_bodies(group, store->segment.id, offset);
			group->segment = store->segment.id;
			group->segment_end = store->segment.end;
			store->withdrawn_count = 0;
		} else {
			place_bodies(group, 0, 0); /* part of it may have been written */
			fail_parts(group, true, &error);
		}
	}
	if (has_writers(group)) {
		directory = file_path(store->path, "segments");
		if (file_flush_directory(directory, "store.body.directory", &error) != PN_OK)
			fail_parts(group, false, &error);
		free(directory);
	}
	free(gather.pieces);
	free(gather.headers);
	free(withdrawn);
}

static enum pn_status mark_segment(struct index_access *access, const struct group *group)
{
	struct segment_row row = {0};
	struct index_key key;
	enum pn_status status;

	if (group->segment == 0)
		return PN_OK;
	key_start(&key);
	key_u64(&key, group->segment);
	status = index_get_fixed(access, TABLE_SEGMENTS, &key, &row, sizeof(row));
	if (status != PN_OK && status != PN_NOT_FOUND)
		return status;
	row.committed_end = group->segment_end;
	return index_put(access, TABLE_SEGMENTS, &key, &row, sizeof(row));
}

/* One try. With `careful` each part is nested; without, the first failure ends the try. */
static enum pn_status apply_group(struct group *group, struct index_access *access, bool careful,
                                  size_t *applied)
{
	*applied = 0;
	for (size_t i = 0; i < group->count; i++) {
		struct part *part = &group->parts[i];
		MDB_txn *outer = NULL;
		enum pn_status status = PN_OK;

		if (part->status != PN_PENDING)
			continue;
		access->arena = part->commit->arena;
		access->error = &part->commit->error;
		if (careful)
			status = index_begin_part(access, &outer);
		if (status == PN_OK)
			status = mutations_apply(access, part->commit, part->bodies, part->slice);
		if (outer != NULL && index_end_part(access, outer, status == PN_OK) != PN_OK)
			status = PN_FAILED;
		if (status != PN_OK && !careful)
			return status;
		if (status != PN_OK)
			part->status = status;
		else
			++*applied;
	}
	return PN_OK;
}

void group_index(struct group *group)
{
	struct local_store *store = group->store;
	struct pn_error error = {0};
	struct index_access access = {
		.store = store, .index = &store->index, .now_ms = pn_clock_wall_ms()};
	size_t applied;
	enum pn_status status;

	for (int careful = 0; careful < 2; careful++) {
		access.error = &error;
		status = index_begin(&access, true);
		if (status == PN_OK)
			status = apply_group(group, &access, careful, &applied);
		if (status == PN_OK || access.transaction == NULL)
			break;
		index_abort(&access);
	}
	access.error = &error;
	if (status == PN_OK && applied == 0) {
		index_abort(&access);
		return;
	}
	if (status == PN_OK)
		status = mark_segment(&access, group);
	if (status == PN_OK) {
		group->may_be_committed = true;
		pn_fault("store.commit.flushed", &(int){0});
		status = index_commit(&access);
	}
	index_abort(&access);
	if (status != PN_OK) {
		pn_log(PN_LOG_ERROR, "store.index", "%s", error.text);
		fail_parts(group, false, &error);
		return;
	}
	for (size_t i = 0; i < group->count; i++)
		if (group->parts[i].status == PN_PENDING)
			group->parts[i].status = PN_OK;
}

/* ----------------------------------------------------------------- lane and loop */

static enum pn_status run_group(void *argument, struct pn_error *error)
{
	struct group *group = argument;

	(void)error;
	pn_fault("store.commit.before", &(int){0});
	write_bodies(group);
	pn_fault("store.commit.written", &(int){0});
	group_index(group);
	pn_fault("store.commit.after", &(int){0});
	for (size_t i = 0; i < group->count; i++) {
		struct part *part = &group->parts[i];

		for (size_t k = 0; part->bodies != NULL && k < part->commit->body_count; k++)
			if (part->status != PN_OK && part->bodies[k].is_written &&
			    !(group->may_be_committed && part->status == PN_FAILED))
				withdraw(group->store, part->bodies[k].id);
	}
	return PN_OK;
}

static void settle_writers(struct group *group, struct part *part)
{
	for (size_t i = 0; i < part->commit->body_count; i++) {
		struct pn_body_source *source = commit_body(part->commit, i);
		bool is_wanted = part->bodies != NULL && part->bodies[i].is_wanted;

		if (source->writer == NULL)
			continue;
		if (part->status == PN_OK ? is_wanted
		                          : part->status == PN_FAILED && group->may_be_committed) {
			writer_taken(source->writer);
		} else if (part->status == PN_OK || part->status == PN_FAILED) {
			local_body_discard(group->store, source->writer);
		} else {
			writer_withdraw(source->writer);
			continue;
		}
		source->writer = NULL;
	}
}

static void group_done(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct group *group = argument;
	struct local_store *store = group->store;

	store->is_committing = false;
	for (size_t i = 0; i < group->count; i++) {
		struct part *part = &group->parts[i];

		if (part->status == PN_PENDING) {
			part->status = PN_FAILED;
			if (status != PN_OK && error != NULL)
				part->commit->error = *error;
			else
				pn_fail(&part->commit->error, "the store is being closed");
		}
		settle_writers(group, part);
		pn_commit_done(part->commit, part->status);
	}
	free(group->parts);
	free(group);
	commit_go_on(store);
}

static uint64_t commit_bytes(const struct pn_commit *commit)
{
	uint64_t size = 0;

	for (size_t i = 0; i < commit->body_count; i++) {
		struct pn_body_source *source = commit_body(commit, i);

		for (size_t k = 0; k < source->piece_count; k++)
			size += source->pieces[k].size;
	}
	return size;
}

/* Takes from the front of what is pending: as much as one transaction should hold. */
static struct group *take_group(struct local_store *store)
{
	struct group *group = calloc(1, sizeof(*group));
	uint64_t bytes = 0;

	if (group == NULL)
		abort();
	group->store = store;
	group->parts = calloc(LOCAL_GROUP_PARTS, sizeof(*group->parts));
	if (group->parts == NULL)
		abort();
	while (store->first_pending != NULL && group->count < LOCAL_GROUP_PARTS &&
	       bytes < LOCAL_GROUP_BYTES) {
		struct pn_commit *commit = store->first_pending;

		store->first_pending = commit->store_next;
		if (store->first_pending == NULL)
			store->last_pending = NULL;
		group->parts[group->count++] =
			(struct part){.commit = commit, .status = PN_PENDING};
		bytes += commit_bytes(commit);
	}
	return group;
}

static void start_group(struct local_store *store)
{
	struct pn_job job = {.struct_size = sizeof(job),
	                     .lane = store->lane,
	                     .work = run_group,
	                     .done = group_done};
	struct pn_error error = {0};

	job.argument = take_group(store);
	if (pn_job_submit(&job, (struct pn_ticket){0, 0}) == PN_OK)
		return;
	pn_fail(&error, "the commit lane takes no more work");
	group_done(job.argument, PN_FAILED, &error);
}

/* Large ones and the others take turns. */
void commit_go_on(struct local_store *store)
{
	bool is_large =
		store->first_large != NULL && (store->first_pending == NULL || !store->was_large);

	if (store->is_committing || (store->first_pending == NULL && !is_large))
		return;
	store->is_committing = true;
	store->was_large = is_large;
	if (is_large)
		large_start(store);
	else
		start_group(store);
}

void local_commit(void *instance, struct pn_commit *commit)
{
	struct local_store *store = instance;

	commit->store_next = NULL;
	commit->failed_index = 0;
	if (large_is(store, commit)) {
		large_add(store, commit);
		return;
	}
	if (store->last_pending == NULL)
		store->first_pending = commit;
	else
		store->last_pending->store_next = commit;
	store->last_pending = commit;
	commit_go_on(store);
}
