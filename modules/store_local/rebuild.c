/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rebuilding the index: from the newest good checkpoint and the records that came
 * after it, or from the records alone. No message is lost; flags, moves, expunges
 * and mailbox changes after the checkpoint are. Every mailbox gets a new
 * UIDVALIDITY, because nobody knows which UIDs were given after the checkpoint;
 * body ids (and so POP3's UIDL) stay. Queue rows come back held.
 *
 * The new index is made beside the old one and exchanged with it at the end.
 */
#include "store_local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <postern/text.h>

enum { BATCH = 500 };

struct found_record {
	int64_t arrived_ms;
	uint64_t segment;
	uint64_t offset;
	struct record_header header;
};

struct rebuilding {
	struct local_store *store;
	struct local_store made; /* the same store with the new index */
	const struct pn_store_report *report;
	struct index_access access;
	struct pn_error *error;
	struct found_record *records;
	size_t count;
	size_t capacity;
	struct pn_body_id *withdrawn;
	size_t withdrawn_count;
	uint64_t segment; /* being scanned */
	uint64_t segment_end;
	uint64_t messages;
	uint64_t lost;
};

static int compare_bodies(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(struct pn_body_id));
}

static int compare_records(const void *left, const void *right)
{
	const struct found_record *a = left;
	const struct found_record *b = right;

	if (a->arrived_ms != b->arrived_ms)
		return a->arrived_ms < b->arrived_ms ? -1 : 1;
	if (a->segment != b->segment)
		return a->segment < b->segment ? -1 : 1;
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* ------------------------------------------------------------------ a checkpoint */

static enum pn_status copy_file(const char *from, const char *to, struct pn_error *error)
{
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	enum pn_status status = PN_OK;
	char bytes[65536];
	ssize_t got = -1;

	if (in < 0 || out < 0)
		status = pn_fail_errno(error, errno, "cannot copy %s to %s", from, to);
	while (status == PN_OK && (got = read(in, bytes, sizeof(bytes))) > 0)
		if (write(out, bytes, (size_t)got) != got)
			status = pn_fail_errno(error, errno, "cannot write to %s", to);
	if (status == PN_OK && got < 0)
		status = pn_fail_errno(error, errno, "cannot read %s", from);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return status;
}

/* Reads every row: what is not whole shows itself. */
static enum pn_status read_through(struct rebuilding *rebuilding)
{
	struct index_key everything = {.size = 0};
	enum pn_status status = index_begin(&rebuilding->access, false);

	for (int table = 0; table < TABLE_COUNT && status == PN_OK; table++) {
		struct index_walk walk;

		walk_begin(&walk, &rebuilding->access, (enum local_table)table, &everything, NULL);
		while (walk.status == PN_OK)
			walk_next(&walk);
		if (walk.status == PN_FAILED)
			status = PN_FAILED;
		walk_end(&walk);
	}
	index_abort(&rebuilding->access);
	return status;
}

static void clear_directory(const char *path)
{
	char *data = file_path(path, "data.mdb");
	char *lock = file_path(path, "lock.mdb");

	unlink(data);
	unlink(lock);
	rmdir(path);
	free(data);
	free(lock);
}

static enum pn_status open_new(struct rebuilding *rebuilding, const char *path)
{
	return index_open(&rebuilding->made.index, path, rebuilding->store->config.map_size, false,
	                  rebuilding->error);
}

/* The newest checkpoint that can be read, or an empty index. */
static enum pn_status begin_index(struct rebuilding *rebuilding, const char *path,
                                  bool *from_checkpoint)
{
	char **checkpoints = checkpoint_list(rebuilding->store);
	char *data = file_path(path, "data.mdb");
	enum pn_status status = PN_NOT_FOUND;

	*from_checkpoint = false;
	for (size_t i = 0; checkpoints[i] != NULL; i++) {
		char *source = file_path(checkpoints[i], "data.mdb");

		if (status != PN_OK) {
			clear_directory(path);
			status = file_make_directory(path, rebuilding->error);
			if (status == PN_OK)
				status = copy_file(source, data, rebuilding->error);
			if (status == PN_OK)
				status = open_new(rebuilding, path);
			if (status == PN_OK && read_through(rebuilding) != PN_OK) {
				index_close(&rebuilding->made.index);
				status = pn_fail(rebuilding->error, "it is damaged");
			}
			*from_checkpoint = status == PN_OK;
			if (status == PN_OK)
				local_say(rebuilding->report, false, "checkpoint %s is used",
				          checkpoints[i]);
			else
				local_say(rebuilding->report, true,
				          "checkpoint %s cannot be used: %s", checkpoints[i],
				          rebuilding->error->text);
		}
		free(source);
		free(checkpoints[i]);
	}
	free(checkpoints);
	free(data);
	if (status == PN_OK)
		return PN_OK;
	clear_directory(path);
	status = file_make_directory(path, rebuilding->error);
	if (status == PN_OK)
		status = open_new(rebuilding, path);
	if (status == PN_OK)
		local_say(rebuilding->report, false, "no checkpoint: from the segments alone");
	return status;
}

/* --------------------------------------------------- what a checkpoint cannot know */

static enum pn_status raise_uid_validity(struct index_access *access, int64_t newest_ms)
{
	uint64_t value;
	uint64_t floor = (uint64_t)(newest_ms > access->now_ms ? newest_ms : access->now_ms) / 1000;
	enum pn_status status = index_counter(access, "uid_validity", 0, &value);

	/* Mailboxes made in one second run ahead of the time; the margin is for those. */
	floor += 1000;
	return status == PN_OK && value < floor
	               ? index_counter(access, "uid_validity", floor - value, &value)
	               : status;
}

static enum pn_status renew_mailboxes(struct rebuilding *rebuilding)
{
	struct index_access *access = &rebuilding->access;
	struct index_key everything = {.size = 0};
	struct mailbox *mailbox = PN_ARENA_NEW(access->arena, struct mailbox);
	struct index_walk walk;
	uint64_t value;
	enum pn_status status = PN_OK;

	walk_begin(&walk, access, TABLE_TREE, &everything, NULL);
	for (; walk.status == PN_OK && status == PN_OK; walk_next(&walk)) {
		const uint8_t *key = walk.key.mv_data;

		if (walk.key.mv_size != 17 || key[8] != TREE_MAILBOX)
			continue;
		status = mailbox_load(access, key_read_u64(key), key_read_u64(key + 9), mailbox);
		if (status == PN_OK)
			status = index_counter(access, "uid_validity", 1, &value);
		mailbox->row.uid_validity = (uint32_t)value;
		if (status == PN_OK)
			status = mailbox_save(access, mailbox);
	}
	walk_end(&walk);
	return status;
}

/* They may have been delivered since: an operator decides. */
static enum pn_status hold_queue(struct rebuilding *rebuilding)
{
	struct index_access *access = &rebuilding->access;
	struct pn_queue_request request = {
		.has_state = true, .state = PN_QUEUE_DUE, .max_rows = SIZE_MAX};
	struct pn_mutation mutation = {.kind = PN_MUTATION_QUEUE_UPDATE};
	struct pn_queue_rows rows = {0};
	bool was_there;
	enum pn_status status = queue_select(access, &request, &rows);

	for (size_t i = 0; i < rows.count && status == PN_OK; i++) {
		struct pn_queue_row row = rows.rows[i];

		row.state = PN_QUEUE_HELD;
		row.reason = PN_SLICE("from a checkpoint: it may have been delivered since");
		mutation.queue_row = &row;
		status = queue_update(access, &mutation, &was_there);
	}
	return status;
}

/* ------------------------------------------------------------------- the records */

static enum pn_status collect(void *user, int descriptor, const struct record_header *header,
                              uint64_t offset, struct pn_error *error)
{
	struct rebuilding *rebuilding = user;
	struct body_row row;

	(void)descriptor;
	(void)error;
	rebuilding->segment_end = offset + header->record_size;
	if (header->kind == RECORD_WITHDRAWN) {
		rebuilding->withdrawn =
			reallocarray(rebuilding->withdrawn, rebuilding->withdrawn_count + 1,
		                     sizeof(header->body));
		if (rebuilding->withdrawn == NULL)
			abort();
		rebuilding->withdrawn[rebuilding->withdrawn_count++] = header->body;
		return PN_OK;
	}
	if (header->kind != RECORD_BODY ||
	    body_load(&rebuilding->access, header->body, &row, NULL) == PN_OK)
		return PN_OK;
	if (rebuilding->count == rebuilding->capacity) {
		rebuilding->capacity = rebuilding->capacity == 0 ? 1024 : rebuilding->capacity * 2;
		rebuilding->records = reallocarray(rebuilding->records, rebuilding->capacity,
		                                   sizeof(*rebuilding->records));
		if (rebuilding->records == NULL)
			abort();
	}
	rebuilding->records[rebuilding->count++] =
		(struct found_record){header->arrived_ms, rebuilding->segment, offset, *header};
	return PN_OK;
}

static enum pn_status scan_segments(struct rebuilding *rebuilding)
{
	struct index_access *access = &rebuilding->access;
	uint64_t *ids = NULL;
	size_t count = 0;
	enum pn_status status = segment_list(rebuilding->store, &ids, &count, rebuilding->error);

	for (size_t i = 0; i < count && status == PN_OK; i++) {
		struct segment_row row = {0};
		struct pn_error error = {0};
		struct index_key key;

		key_start(&key);
		key_u64(&key, ids[i]);
		status = index_get_fixed(access, TABLE_SEGMENTS, &key, &row, sizeof(row));
		if (status == PN_FAILED)
			break;
		rebuilding->segment = ids[i];
		rebuilding->segment_end = row.committed_end;
		if (segment_scan(rebuilding->store, ids[i], row.committed_end, collect, rebuilding,
		                 rebuilding->report, &error) != PN_OK)
			local_say(rebuilding->report, true, "%s", error.text);
		row.committed_end = rebuilding->segment_end;
		status = index_put(access, TABLE_SEGMENTS, &key, &row, sizeof(row));
	}
	free(ids);
	if (rebuilding->withdrawn_count != 0)
		qsort(rebuilding->withdrawn, rebuilding->withdrawn_count, sizeof(struct pn_body_id),
		      compare_bodies);
	if (rebuilding->count != 0)
		qsort(rebuilding->records, rebuilding->count, sizeof(*rebuilding->records),
		      compare_records);
	return status;
}

static enum pn_status read_meta(struct rebuilding *rebuilding, const struct found_record *record,
                                struct pn_arena *arena, struct record_meta *meta,
                                struct pn_error *error)
{
	char *path = segment_path(rebuilding->store, record->segment);
	const char *what = pn_arena_print(arena, "the record at %llu of segment %s",
	                                  (unsigned long long)record->offset, path);
	char *bytes = pn_arena_allocate(arena, record->header.meta_size);
	int descriptor;
	uint64_t salt;
	enum pn_status status =
		segment_open(rebuilding->store, record->segment, &descriptor, &salt, error);

	free(path);
	if (status != PN_OK)
		return status;
	status = record_verify(descriptor, &record->header, record->offset, what, error);
	if (status == PN_OK)
		status = file_read(descriptor, bytes, record->header.meta_size,
		                   record->offset + record->header.meta_offset, what, error);
	close(descriptor);
	if (status == PN_OK &&
	    !record_meta_read(arena, pn_slice_make(bytes, record->header.meta_size), meta))
		status = pn_fail(error, "%s is damaged: its deliveries cannot be read", what);
	return status;
}

/* The commit that the record came with, again. */
static struct pn_commit *commit_again(struct pn_arena *arena, const struct record_meta *meta)
{
	struct pn_commit *commit = PN_ARENA_NEW(arena, struct pn_commit);
	struct pn_mutation *mutations =
		PN_ARENA_ARRAY(arena, meta->delivery_count, struct pn_mutation);
	struct pn_queue_row *rows =
		PN_ARENA_ARRAY(arena, meta->delivery_count, struct pn_queue_row);

	for (size_t i = 0; i < meta->delivery_count; i++) {
		const struct record_delivery *delivery = &meta->deliveries[i];

		mutations[i].body.is_new = true;
		if (delivery->is_queued) {
			rows[i] = delivery->queue_row;
			rows[i].state = PN_QUEUE_HELD;
			rows[i].reason = PN_SLICE("from a segment: it may have been delivered");
			mutations[i].kind = PN_MUTATION_QUEUE_PUT;
			mutations[i].queue_row = &rows[i];
			continue;
		}
		mutations[i].kind = PN_MUTATION_APPEND;
		mutations[i].account = delivery->account;
		mutations[i].name = delivery->mailbox.size ? delivery->mailbox : PN_SLICE("INBOX");
		mutations[i].flags = delivery->flags;
		mutations[i].once_key = delivery->once_key;
		mutations[i].internal_date_ms = delivery->internal_date_ms;
		mutations[i].create_missing = true;
		mutations[i].max_account_bytes = UINT64_MAX;
	}
	commit->arena = arena;
	commit->body_count = 1;
	commit->mutations = mutations;
	commit->mutation_count = meta->delivery_count;
	return commit;
}

static enum pn_status add_record(struct rebuilding *rebuilding, const struct found_record *record)
{
	struct index_access *access = &rebuilding->access;
	struct pn_arena *arena = pn_arena_new();
	struct pn_error error = {0};
	struct record_meta meta = {0};
	struct new_body body = {
		.id = record->header.body,
		.row = {.segment = record->segment,
	                .offset = record->offset,
	                .record_size = record->header.record_size,
	                .size = record->header.body_size,
	                .arrived_ms = record->header.arrived_ms,
	                .header_size = record->header.message_header_size},
	};
	struct pn_commit *commit;
	MDB_txn *outer;
	enum pn_status status = read_meta(rebuilding, record, arena, &meta, &error);

	if (status != PN_OK) {
		rebuilding->lost++;
		local_say(rebuilding->report, true, "%s", error.text);
		pn_arena_free(&arena);
		return PN_OK;
	}
	body.summary = meta.summary;
	commit = commit_again(arena, &meta);
	access->arena = arena;
	access->error = &error;
	status = index_begin_part(access, &outer);
	if (status == PN_OK) {
		status = mutations_apply(access, commit, &body, NULL);
		if (index_end_part(access, outer, status == PN_OK) != PN_OK)
			status = PN_FAILED;
	}
	if (status == PN_OK)
		rebuilding->messages++;
	else
		local_say(rebuilding->report, true, "a message could not be entered: %s",
		          error.text);
	access->error = rebuilding->error;
	pn_arena_free(&arena);
	return status == PN_FAILED ? pn_fail(rebuilding->error, "%s", error.text) : PN_OK;
}

static enum pn_status add_records(struct rebuilding *rebuilding)
{
	struct index_access *access = &rebuilding->access;
	enum pn_status status = PN_OK;

	for (size_t i = 0; i < rebuilding->count && status == PN_OK; i++) {
		const struct found_record *record = &rebuilding->records[i];

		if (access->transaction == NULL)
			status = index_begin(access, true);
		if (status == PN_OK && (rebuilding->withdrawn_count == 0 ||
		                        bsearch(&record->header.body, rebuilding->withdrawn,
		                                rebuilding->withdrawn_count,
		                                sizeof(struct pn_body_id), compare_bodies) == NULL))
			status = add_record(rebuilding, record);
		if (status == PN_OK && (i + 1) % BATCH == 0)
			status = index_commit(access);
	}
	if (status == PN_OK && access->transaction != NULL)
		status = index_commit(access);
	index_abort(access);
	return status;
}

static enum pn_status fill_index(struct rebuilding *rebuilding, bool from_checkpoint)
{
	struct pn_arena *arena = pn_arena_new();
	enum pn_status status;

	rebuilding->access.arena = arena;
	status = index_begin(&rebuilding->access, true);
	if (status == PN_OK)
		status = scan_segments(rebuilding);
	if (status == PN_OK)
		status = raise_uid_validity(
			&rebuilding->access,
			rebuilding->count ? rebuilding->records[rebuilding->count - 1].arrived_ms
					  : 0);
	if (status == PN_OK && from_checkpoint)
		status = renew_mailboxes(rebuilding);
	if (status == PN_OK && from_checkpoint)
		status = hold_queue(rebuilding);
	if (status == PN_OK)
		status = index_commit(&rebuilding->access);
	index_abort(&rebuilding->access);
	if (status == PN_OK)
		status = add_records(rebuilding);
	pn_arena_free(&arena);
	return status;
}

/* The new index takes the place of the old one, in one step. */
static enum pn_status exchange(struct local_store *store, const char *made, struct pn_error *error)
{
	char *index = file_path(store->path, "index");
	enum pn_status status = PN_OK;

	if (file_make_directory(index, error) != PN_OK ||
	    renameat2(AT_FDCWD, made, AT_FDCWD, index, RENAME_EXCHANGE) != 0)
		status = pn_fail_errno(error, errno, "cannot exchange %s and %s", made, index);
	else
		status = file_flush_directory(store->path, "store.rebuild.directory", error);
	free(index);
	return status;
}

static enum pn_status rebuild(struct rebuilding *rebuilding)
{
	struct local_store *store = rebuilding->store;
	char *made = file_path(store->path, "index.new");
	char *index = file_path(store->path, "index");
	char *old = file_path(store->path, "index.old");
	bool from_checkpoint;
	enum pn_status status = begin_index(rebuilding, made, &from_checkpoint);

	if (status == PN_OK)
		status = fill_index(rebuilding, from_checkpoint);
	index_close(&rebuilding->made.index);
	if (status == PN_OK) {
		index_close(&store->index);
		status = exchange(store, made, rebuilding->error);
	}
	if (status == PN_OK) {
		clear_directory(old);
		if (rename(made, old) != 0)
			pn_log(PN_LOG_WARNING, "store.rebuild", "cannot rename %s: %s", made,
			       strerror(errno));
		status = index_open(&store->index, index, store->config.map_size, false,
		                    rebuilding->error);
	}
	if (status == PN_OK)
		local_say(rebuilding->report, false,
		          "%llu messages entered from segments, %llu damaged records passed over; "
		          "the old index is %s",
		          (unsigned long long)rebuilding->messages,
		          (unsigned long long)rebuilding->lost, old);
	free(made);
	free(index);
	free(old);
	return status;
}

enum pn_status local_rebuild(void *instance, const struct pn_store_report *report,
                             struct pn_error *error)
{
	struct local_store *store = instance;
	struct rebuilding rebuilding = {.store = store, .report = report, .error = error};
	enum pn_status status;

	if (flock(store->lock_descriptor, LOCK_EX | LOCK_NB) != 0) {
		if (flock(store->lock_descriptor, LOCK_SH | LOCK_NB) != 0)
			pn_log(PN_LOG_ERROR, "store.rebuild", "lost the lock of %s", store->path);
		return pn_fail_with(PN_CONFLICT, error,
		                    "the store %s is in use: stop the gateway first", store->path);
	}
	rebuilding.made = *store;
	memset(&rebuilding.made.index, 0, sizeof(rebuilding.made.index));
	rebuilding.access = (struct index_access){.store = &rebuilding.made,
	                                          .index = &rebuilding.made.index,
	                                          .error = error,
	                                          .now_ms = pn_clock_wall_ms()};
	status = rebuild(&rebuilding);
	if (flock(store->lock_descriptor, LOCK_SH | LOCK_NB) != 0)
		pn_log(PN_LOG_ERROR, "store.rebuild", "lost the lock of %s", store->path);
	free(rebuilding.records);
	free(rebuilding.withdrawn);
	return status;
}
