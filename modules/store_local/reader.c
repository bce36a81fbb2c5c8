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

enum { PIECE_MAX = 1 << 20 };

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
	set_aside(store, request->body, call->error.text);
	return PN_FAILED;
}
