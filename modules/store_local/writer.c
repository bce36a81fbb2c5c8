/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large bodies: written as they come in, to a segment of their own. Its record
 * has no header until the commit takes it, so a file that nobody took is known
 * by that. The pieces that the commit puts in front of the body (the header of the
 * message, as it may be edited until then) go into a hole that was left for them.
 * Entries run on the disk pool, writer_finish() on the commit lane.
 */
#include "store_local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

struct pn_body_writer {
	struct segment segment;
	struct pn_body_id id;
	XXH3_state_t *checksum;
	uint64_t size;
	uint64_t sent; /* bytes that the kernel was asked to write already */
	bool has_failed;
};

enum { FRONT_ROOM = 1 << 20 }; /* a hole in the file: what is not used takes no space */

/* So that the flush at the end is short. */
static const uint64_t write_back_step = 4 << 20;

static uint64_t body_start(void)
{
	return SEGMENT_HEADER_SIZE + sizeof(struct record_header) + FRONT_ROOM;
}

enum pn_status local_body_new(void *instance, struct pn_body_writer **writer_out,
                              struct pn_error *error)
{
	struct local_store *store = instance;
	struct pn_body_writer *writer = calloc(1, sizeof(*writer));
	int number = 0;
	enum pn_status status;

	if (writer == NULL)
		abort();
	if (pn_fault("store.body.open", &number) == PN_FAULT_ERROR)
		status = pn_fail_errno(error, number, "cannot make a file for a large body");
	else
		status = segment_create(store, true, &writer->segment, error);
	if (status != PN_OK) {
		free(writer);
		return status;
	}
	writer->checksum = XXH3_createState();
	if (writer->checksum == NULL)
		abort();
	XXH3_128bits_reset(writer->checksum);
	*writer_out = writer;
	return PN_OK;
}

enum pn_status local_body_append(void *instance, struct pn_body_writer *writer,
                                 struct pn_slice bytes, struct pn_error *error)
{
	struct iovec piece = {(void *)(uintptr_t)bytes.data, bytes.size};
	uint64_t at = body_start() + writer->size;
	enum pn_status status;

	(void)instance;
	if (writer->has_failed)
		return pn_fail(error, "a large body could not be written before");
	if (bytes.size == 0)
		return PN_OK;
	status = file_write(writer->segment.descriptor, &piece, 1, at, "store.body.write",
	                    "the file of a large body", error);
	if (status != PN_OK) {
		writer->has_failed = true;
		return status;
	}
	XXH3_128bits_update(writer->checksum, bytes.data, bytes.size);
	writer->size += bytes.size;
	if (writer->size - writer->sent >= write_back_step) {
		sync_file_range(writer->segment.descriptor, (off_t)(body_start() + writer->sent),
		                (off_t)(writer->size - writer->sent), SYNC_FILE_RANGE_WRITE);
		writer->sent = writer->size;
	}
	return PN_OK;
}

static void release(struct pn_body_writer *writer)
{
	close(writer->segment.descriptor);
	XXH3_freeState(writer->checksum);
	free(writer);
}

void local_body_discard(void *instance, struct pn_body_writer *writer)
{
	char *path;

	if (writer == NULL)
		return;
	path = segment_path(instance, writer->segment.id);
	if (unlink(path) != 0)
		pn_log(PN_LOG_WARNING, "store.body", "cannot remove %s: %s", path, strerror(errno));
	free(path);
	release(writer);
}

/* The commit has it; the file stays. */
void writer_taken(struct pn_body_writer *writer)
{
	release(writer);
}

uint64_t writer_size(const struct pn_body_writer *writer)
{
	return writer->size;
}

/* It was refused: without its header nobody will take the record for a message. */
void writer_withdraw(struct pn_body_writer *writer)
{
	struct record_header none = {0};

	if (pwrite(writer->segment.descriptor, &none, sizeof(none), SEGMENT_HEADER_SIZE) < 0)
		pn_log(PN_LOG_WARNING, "store.body", "a refused body could not be withdrawn");
}

/* The pieces, so that they end where the body begins. */
static enum pn_status write_front(struct pn_body_writer *writer,
                                  const struct pn_body_source *source, uint64_t size,
                                  struct pn_error *error)
{
	struct iovec *pieces;
	enum pn_status status;

	if (size == 0)
		return PN_OK;
	if (size > FRONT_ROOM)
		return pn_fail(error, "there is no room for %llu bytes in front of a large body",
		               (unsigned long long)size);
	pieces = calloc(source->piece_count, sizeof(*pieces));
	if (pieces == NULL)
		abort();
	for (size_t i = 0; i < source->piece_count; i++)
		pieces[i] = (struct iovec){(void *)(uintptr_t)source->pieces[i].data,
		                           source->pieces[i].size};
	status = file_write(writer->segment.descriptor, pieces, source->piece_count,
	                    body_start() - size, "store.body.write", "the file of a large body",
	                    error);
	free(pieces);
	return status;
}

/* What was summed as it came in, and the pieces in front of it. */
static void sum_whole(const struct pn_body_writer *writer, const struct pn_body_source *source,
                      uint64_t front, uint8_t checksum[CHECKSUM_SIZE])
{
	XXH3_state_t *state;
	XXH128_canonical_t rest;
	XXH128_canonical_t sum;

	XXH128_canonicalFromHash(&rest, XXH3_128bits_digest(writer->checksum));
	memcpy(checksum, rest.digest, CHECKSUM_SIZE);
	if (front == 0)
		return;
	state = XXH3_createState();
	if (state == NULL)
		abort();
	XXH3_128bits_reset(state);
	for (size_t i = 0; i < source->piece_count; i++)
		if (source->pieces[i].size != 0)
			XXH3_128bits_update(state, source->pieces[i].data, source->pieces[i].size);
	XXH128_canonicalFromHash(&sum, XXH3_128bits_digest(state));
	XXH3_freeState(state);
	record_join_checksums(sum.digest, rest.digest, checksum);
}

static uint64_t front_size(const struct pn_body_source *source)
{
	uint64_t size = 0;

	for (size_t i = 0; i < source->piece_count; i++)
		size += source->pieces[i].size;
	return size;
}

enum pn_status writer_finish(const struct pn_body_source *source, struct new_body *body,
                             struct pn_slice meta, struct pn_error *error)
{
	static const char what[] = "the file of a large body";
	static const char padding[RECORD_ALIGNMENT];
	struct pn_body_writer *writer = source->writer;
	uint64_t front = front_size(source);
	struct record_header header = {
		.magic = RECORD_MAGIC,
		.version = LOCAL_FORMAT,
		.kind = RECORD_BODY,
		.body_offset = sizeof(header) + FRONT_ROOM - front,
		.body_size = front + writer->size,
		.front_size = front,
		.meta_offset = sizeof(header) + FRONT_ROOM + writer->size,
		.meta_size = (uint32_t)meta.size,
		.message_header_size = body->row.header_size,
		.body = body->id,
		.arrived_ms = body->row.arrived_ms,
	};
	uint64_t used = header.meta_offset + meta.size;
	struct iovec tail[2];
	struct iovec head = {&header, sizeof(header)};
	enum pn_status status;

	if (writer->has_failed)
		return pn_fail(error, "a large body could not be written before");
	header.record_size = record_padded(used);
	status = write_front(writer, source, front, error);
	sum_whole(writer, source, front, header.body_checksum);
	record_checksum(meta.data, meta.size, header.meta_checksum);
	record_header_seal(&header, writer->segment.salt);
	tail[0] = (struct iovec){(void *)(uintptr_t)meta.data, meta.size};
	tail[1] = (struct iovec){(void *)(uintptr_t)padding, header.record_size - used};
	if (status == PN_OK)
		status = file_write(writer->segment.descriptor, tail, 2,
		                    SEGMENT_HEADER_SIZE + header.meta_offset, "store.body.write",
		                    what, error);
	if (status == PN_OK)
		status = file_write(writer->segment.descriptor, &head, 1, SEGMENT_HEADER_SIZE,
		                    "store.body.write", what, error);
	if (status == PN_OK)
		status = file_flush(writer->segment.descriptor, "store.body.flush", what, error);
	if (status != PN_OK) {
		writer->has_failed = true;
		return status;
	}
	body->row.segment = writer->segment.id;
	body->row.offset = SEGMENT_HEADER_SIZE;
	body->row.record_size = header.record_size;
	body->row.size = header.body_size;
	return PN_OK;
}
