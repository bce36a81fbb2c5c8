/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading bodies, on the disk pool. Every record is compared with its checksums
 * before a byte of it is given out: one that is asked for whole each time, one
 * that is asked for in pieces once. A damaged one is named, noted in the folder
 * set_aside, and refused; its neighbours do not suffer.
 */
#include "store_local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PIECE_MAX = 1 << 20,
	RUN_MAX = 1 << 20,  /* records that are read in one go */
	RUN_GAP = 32 << 10, /* what lies between two of them is read along */
	READY_MAX = 128 << 10,
};

void readers_start(struct local_readers *readers)
{
	memset(readers, 0, sizeof(*readers));
	pthread_mutex_init(&readers->mutex, NULL);
	for (size_t i = 0; i < READER_FILES; i++)
		readers->files[i].descriptor = -1;
}

void readers_stop(struct local_readers *readers)
{
	for (size_t i = 0; i < READER_FILES; i++)
		if (readers->files[i].descriptor >= 0)
			close(readers->files[i].descriptor);
	free(readers->ready_room);
	pthread_mutex_destroy(&readers->mutex);
}

/* With the mutex: an open file of that segment, or the slot to open it in, or NULL. */
static struct reader_file *find_file(struct local_readers *readers, uint64_t segment)
{
	struct reader_file *oldest = NULL;

	for (size_t i = 0; i < READER_FILES; i++) {
		struct reader_file *file = &readers->files[i];

		if (file->descriptor >= 0 && file->segment == segment)
			return file;
		if (file->users == 0 && (oldest == NULL || file->used < oldest->used))
			oldest = file;
	}
	return oldest;
}

/* Borrows a descriptor; `own` is used where all slots are busy. */
static enum pn_status borrow_file(struct local_store *store, uint64_t segment,
                                  struct reader_file *own, struct reader_file **file_out,
                                  struct pn_error *error)
{
	struct local_readers *readers = &store->readers;
	struct reader_file *file;
	enum pn_status status = PN_OK;

	pthread_mutex_lock(&readers->mutex);
	file = find_file(readers, segment);
	if (file == NULL) {
		file = own;
		file->descriptor = -1;
		file->users = 0;
	}
	if (file->descriptor < 0 || file->segment != segment) {
		if (file->descriptor >= 0)
			close(file->descriptor);
		file->descriptor = -1;
		status = segment_open(store, segment, &file->descriptor, &file->salt, error);
		if (status != PN_OK)
			file->descriptor = -1;
		file->segment = segment;
	}
	if (status == PN_OK) {
		file->users++;
		file->used = ++readers->tick;
		*file_out = file;
	}
	pthread_mutex_unlock(&readers->mutex);
	return status;
}

static void return_file(struct local_store *store, struct reader_file *file,
                        struct reader_file *own)
{
	pthread_mutex_lock(&store->readers.mutex);
	file->users--;
	pthread_mutex_unlock(&store->readers.mutex);
	if (file == own)
		close(own->descriptor);
}

static bool was_verified(struct local_readers *readers, struct pn_body_id id)
{
	bool found = false;

	pthread_mutex_lock(&readers->mutex);
	for (size_t i = 0; i < READER_VERIFIED && !found; i++)
		found = memcmp(&readers->verified[i], &id, sizeof(id)) == 0;
	pthread_mutex_unlock(&readers->mutex);
	return found;
}

static void remember_verified(struct local_readers *readers, struct pn_body_id id)
{
	pthread_mutex_lock(&readers->mutex);
	readers->verified[readers->next_verified++ % READER_VERIFIED] = id;
	pthread_mutex_unlock(&readers->mutex);
}

/* A file for people: which body, where, and what is wrong. Said in the log once. */
static void set_aside(struct local_store *store, struct pn_body_id id, const char *text)
{
	char name[33];
	char *directory = file_path(store->path, "set_aside");
	char *path = file_path(directory, body_text(id, name));
	int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (descriptor >= 0) {
		pn_log(PN_LOG_ERROR, "store.damage", "body %s is set aside: %s", name, text);
		if (dprintf(descriptor, "%s\n", text) < 0)
			pn_log(PN_LOG_WARNING, "store.damage", "cannot write %s", path);
		close(descriptor);
	}
	free(path);
	free(directory);
}

static enum pn_status check_header(const struct record_header *header, uint64_t salt,
                                   struct pn_body_id id, const struct body_row *row,
                                   const char *what, struct pn_error *error)
{
	if (record_header_is_good(header, salt) && header->kind == RECORD_BODY &&
	    memcmp(&header->body, &id, sizeof(id)) == 0 && header->body_size == row->size &&
	    header->record_size == row->record_size && header->body_offset <= row->record_size &&
	    row->size <= row->record_size - header->body_offset &&
	    header->front_size <= row->size && header->meta_offset <= row->record_size &&
	    header->meta_size <= row->record_size - header->meta_offset)
		return PN_OK;
	return pn_fail(error, "%s is damaged: its header is not that of the body", what);
}

static enum pn_status read_piece(struct local_store *store, int descriptor, uint64_t record,
                                 const struct record_header *header,
                                 const struct pn_body_request *request, struct pn_arena *arena,
                                 const char *what, struct pn_slice *bytes_out,
                                 struct pn_error *error)
{
	uint64_t left =
		request->offset < header->body_size ? header->body_size - request->offset : 0;
	size_t size = request->max_size < left ? request->max_size : (size_t)left;
	bool is_whole = request->offset == 0 && size == header->body_size;
	enum pn_status status = PN_OK;
	char *bytes;

	if (size > PIECE_MAX)
		size = PIECE_MAX, is_whole = request->offset == 0 && size == header->body_size;
	bytes = pn_arena_allocate(arena, size);
	if (!is_whole && !was_verified(&store->readers, header->body)) {
		status = record_verify(descriptor, header, record, what, error);
		if (status == PN_OK)
			remember_verified(&store->readers, header->body);
	}
	if (status == PN_OK && size != 0)
		status = file_read(descriptor, bytes, size,
		                   record + header->body_offset + request->offset, what, error);
	if (status == PN_OK && is_whole && !record_body_is_good(header, bytes))
		status = pn_fail(error, "%s is damaged: the checksum differs", what);
	*bytes_out = pn_slice_make(bytes, size);
	return status == PN_NOT_FOUND ? PN_FAILED : status;
}

enum pn_status local_body_read(void *instance, struct pn_store_call *call,
                               const struct pn_body_request *request, struct pn_body_piece *result)
{
	struct local_store *store = instance;
	struct index_access access = {.store = store,
	                              .index = &store->index,
	                              .error = &call->error,
	                              .arena = call->arena};
	struct reader_file own;
	struct reader_file *file;
	struct record_header header;
	struct body_row row;
	char *path;
	const char *what;
	enum pn_status status = index_begin(&access, false);

	if (status != PN_OK)
		return status;
	status = body_load(&access, request->body, &row, NULL);
	index_abort(&access);
	if (status != PN_OK)
		return status;
	path = segment_path(store, row.segment);
	what = pn_arena_print(call->arena, "the record at %llu of segment %s",
	                      (unsigned long long)row.offset, path);
	free(path);
	status = borrow_file(store, row.segment, &own, &file, &call->error);
	if (status == PN_OK) {
		status = file_read(file->descriptor, &header, sizeof(header), row.offset, what,
		                   &call->error);
		if (status == PN_OK)
			status = check_header(&header, file->salt, request->body, &row, what,
			                      &call->error);
		if (status == PN_OK)
			status = read_piece(store, file->descriptor, row.offset, &header, request,
			                    call->arena, what, &result->bytes, &call->error);
		return_file(store, file, &own);
	}
	result->total_size = row.size;
	if (status == PN_OK)
		return PN_OK;
	if (status != PN_LIMIT)
		set_aside(store, request->body, call->error.text);
	return PN_FAILED;
}

/* ------------------------------------------------------------------- many bodies */

/* One of many: where its record is. */
struct wanted {
	struct body_row row;
	size_t index; /* of its entry */
};

static int compare_wanted(const void *left, const void *right)
{
	const struct body_row *a = &((const struct wanted *)left)->row;
	const struct body_row *b = &((const struct wanted *)right)->row;

	if (a->segment != b->segment)
		return a->segment < b->segment ? -1 : 1;
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* As many from the front of the list as fit, and where they are. */
static enum pn_status choose(struct index_access *access, const struct pn_bodies_request *request,
                             struct pn_body_entry *entries, struct wanted *wanted,
                             size_t *wanted_count, size_t *count)
{
	uint64_t left = request->max_size;

	for (*count = 0; *count < request->count; ++*count) {
		struct wanted *next = &wanted[*wanted_count];
		enum pn_status status =
			body_load(access, request->bodies[*count], &next->row, NULL);

		if (status == PN_FAILED)
			return status;
		entries[*count].status = status;
		if (status != PN_OK)
			continue;
		if (next->row.size > request->max_size) {
			entries[*count].status = PN_LIMIT;
			continue;
		}
		if (next->row.size > left)
			break;
		left -= next->row.size;
		next->index = *count;
		++*wanted_count;
	}
	return PN_OK;
}

/* One record out of what was read of its neighbourhood. */
static enum pn_status take_body(const char *record, uint64_t salt, struct pn_body_id id,
                                const struct body_row *row, const char *what,
                                struct pn_slice *bytes_out, struct pn_error *error)
{
	struct record_header header;
	enum pn_status status;

	if (row->record_size < sizeof(header))
		return pn_fail(error, "%s is damaged: a record is too short", what);
	memcpy(&header, record, sizeof(header));
	status = check_header(&header, salt, id, row, what, error);
	if (status != PN_OK)
		return status;
	if (!record_body_is_good(&header, record + header.body_offset))
		return pn_fail(error, "%s is damaged: the checksum differs", what);
	*bytes_out = pn_slice_make(record + header.body_offset, (size_t)header.body_size);
	return PN_OK;
}

/* One after the other, where they could not be read together. */
static void read_alone(struct local_store *store, struct pn_store_call *call,
                       const struct pn_bodies_request *request, size_t index, uint64_t size,
                       struct pn_body_entry *entry)
{
	struct pn_body_request one = {.struct_size = sizeof(one),
	                              .account = request->account,
	                              .body = request->bodies[index]};
	char *bytes = pn_arena_allocate(call->arena, (size_t)size);
	size_t done = 0;

	entry->status = PN_OK;
	do {
		struct pn_body_piece piece = {.struct_size = sizeof(piece)};

		one.offset = done;
		one.max_size = PIECE_MAX;
		entry->status = local_body_read(store, call, &one, &piece);
		if (entry->status != PN_OK)
			return;
		if (piece.bytes.size > size - done || (piece.bytes.size == 0 && done < size)) {
			entry->status = PN_FAILED;
			return;
		}
		if (piece.bytes.size != 0)
			memcpy(bytes + done, piece.bytes.data, piece.bytes.size);
		done += piece.bytes.size;
	} while (done < size);
	entry->bytes = pn_slice_make(bytes, (size_t)size);
}

/* Records that lie close together, in one read. */
static void read_run(struct local_store *store, struct pn_store_call *call,
                     const struct pn_bodies_request *request, struct pn_body_entry *entries,
                     const struct wanted *wanted, size_t count)
{
	uint64_t start = wanted[0].row.offset;
	const struct body_row *last = &wanted[count - 1].row;
	size_t size = (size_t)(last->offset + last->record_size - start);
	struct pn_error error = {0};
	struct reader_file own;
	struct reader_file *file;
	uint64_t salt = 0;
	char *path = segment_path(store, wanted[0].row.segment);
	char *bytes = pn_arena_allocate(call->arena, size);
	enum pn_status status = borrow_file(store, wanted[0].row.segment, &own, &file, &error);

	if (status == PN_OK) {
		salt = file->salt;
		status = file_read(file->descriptor, bytes, size, start, path, &error);
		return_file(store, file, &own);
	}
	for (size_t i = 0; i < count; i++) {
		const struct wanted *one = &wanted[i];
		struct pn_body_entry *entry = &entries[one->index];

		/* What fails is tried alone: its neighbours must not suffer, and it is named. */
		if (status != PN_OK ||
		    take_body(bytes + (one->row.offset - start), salt, request->bodies[one->index],
		              &one->row, path, &entry->bytes, &error) != PN_OK)
			read_alone(store, call, request, one->index, one->row.size, entry);
	}
	free(path);
}

enum pn_status local_bodies(void *instance, struct pn_store_call *call,
                            const struct pn_bodies_request *request, struct pn_bodies *result)
{
	struct local_store *store = instance;
	struct index_access access = {.store = store,
	                              .index = &store->index,
	                              .error = &call->error,
	                              .arena = call->arena};
	struct pn_body_entry *entries =
		PN_ARENA_ARRAY(call->arena, request->count, struct pn_body_entry);
	struct wanted *wanted = PN_ARENA_ARRAY(call->arena, request->count, struct wanted);
	size_t count = 0;
	enum pn_status status = index_begin(&access, false);

	result->entries = entries;
	result->entry_size = sizeof(*entries);
	if (status != PN_OK)
		return status;
	status = choose(&access, request, entries, wanted, &count, &result->count);
	index_abort(&access);
	if (status != PN_OK)
		return status;
	if (count != 0)
		qsort(wanted, count, sizeof(*wanted), compare_wanted);
	for (size_t first = 0, next; first < count; first = next) {
		const struct body_row *row = &wanted[first].row;
		uint64_t end = row->offset + row->record_size;

		for (next = first + 1; next < count; next++) {
			const struct body_row *other = &wanted[next].row;

			if (other->segment != row->segment || other->offset > end + RUN_GAP ||
			    other->offset + other->record_size > row->offset + RUN_MAX)
				break;
			if (end < other->offset + other->record_size)
				end = other->offset + other->record_size;
		}
		if (row->record_size > RUN_MAX)
			read_alone(store, call, request, wanted[first].index, row->size,
			           &entries[wanted[first].index]);
		else
			read_run(store, call, request, entries, wanted + first, next - first);
	}
	return PN_OK;
}

/* --------------------------------------------------------------- without waiting */

/* An open file of that segment; NULL where it would have to be opened. */
static struct reader_file *borrow_open_file(struct local_store *store, uint64_t segment)
{
	struct local_readers *readers = &store->readers;
	struct reader_file *file;

	pthread_mutex_lock(&readers->mutex);
	file = find_file(readers, segment);
	if (file != NULL && (file->descriptor < 0 || file->segment != segment))
		file = NULL;
	if (file != NULL) {
		file->users++;
		file->used = ++readers->tick;
	}
	pthread_mutex_unlock(&readers->mutex);
	return file;
}

/* A piece of a small body, which is read whole for its checksum, from the page cache. Everything
 * else, damage included, is left to those who may wait. */
enum pn_status local_body_ready(void *instance, struct pn_store_call *call,
                                const struct pn_body_request *request, struct pn_body_piece *result)
{
	struct local_store *store = instance;
	struct index_access access = {.store = store,
	                              .index = &store->index,
	                              .error = &call->error,
	                              .arena = call->arena};
	struct pn_error error = {0};
	struct reader_file *file;
	struct body_row row;
	struct pn_slice body;
	struct iovec piece;
	ssize_t got;
	int number;
	enum pn_status status;

	if (pn_fault("store.body.read", &number) == PN_FAULT_ERROR ||
	    index_begin(&access, false) != PN_OK)
		return PN_PENDING;
	status = body_load(&access, request->body, &row, NULL);
	index_abort(&access);
	if (status != PN_OK || request->offset > row.size || row.record_size > READY_MAX)
		return PN_PENDING;
	file = borrow_open_file(store, row.segment);
	if (file == NULL)
		return PN_PENDING;
	if (store->readers.ready_room == NULL &&
	    (store->readers.ready_room = malloc(READY_MAX)) == NULL)
		abort();
	piece.iov_len = (size_t)row.record_size;
	piece.iov_base = store->readers.ready_room;
	got = preadv2(file->descriptor, &piece, 1, (off_t)row.offset, RWF_NOWAIT);
	status = got != (ssize_t)piece.iov_len ? PN_PENDING
	                                       : take_body(piece.iov_base, file->salt,
	                                                   request->body, &row, "", &body, &error);
	return_file(store, file, NULL);
	if (status != PN_OK)
		return PN_PENDING;
	body = pn_slice_behind(body, (size_t)request->offset);
	if (body.size > request->max_size)
		body.size = request->max_size;
	result->bytes = pn_arena_keep(call->arena, body);
	result->total_size = row.size;
	return PN_OK;
}
