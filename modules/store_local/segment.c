/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments: files that records are appended to, each by the one worker that made
 * it, and never again after that worker ended. A large body has a segment of its
 * own. The id says when and by whom it was made, and gives the file's name.
 */
#include "store_local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

/* Space is taken in steps, so that most flushes need not write the file's size. */
static const uint64_t growth = 16 << 20;

/* id: is_large (1 bit), milliseconds since 1970 (43 bits), worker (10 bits), random (10 bits) */
uint64_t segment_new_id(unsigned worker, bool is_large, int64_t now_ms)
{
	uint16_t random;

	pn_random(&random, sizeof(random));
	return (uint64_t)is_large << 63 | ((uint64_t)now_ms & 0x7ffffffffffull) << 20 |
	       (uint64_t)(worker & 1023) << 10 | (random & 1023);
}

bool segment_is_large(uint64_t id)
{
	return id >> 63;
}

int64_t segment_created_ms(uint64_t id)
{
	return (int64_t)(id >> 20 & 0x7ffffffffffull);
}

static void segment_name(uint64_t id, char room[64])
{
	snprintf(room, 64, "%011llx-%03u-%03x.%s", (unsigned long long)segment_created_ms(id),
	         (unsigned)(id >> 10 & 1023), (unsigned)(id & 1023),
	         segment_is_large(id) ? "large" : "segment");
}

bool segment_id_of_name(const char *name, uint64_t *id_out)
{
	unsigned long long created;
	unsigned worker;
	unsigned random;
	char kind[16];
	char again[64];

	if (sscanf(name, "%llx-%u-%x.%15s", &created, &worker, &random, kind) != 4)
		return false;
	*id_out = (uint64_t)(strcmp(kind, "large") == 0) << 63 |
	          ((uint64_t)created & 0x7ffffffffffull) << 20 | (uint64_t)(worker & 1023) << 10 |
	          (random & 1023);
	segment_name(*id_out, again);
	return strcmp(name, again) == 0;
}

char *segment_path(const struct local_store *store, uint64_t id)
{
	char name[64];
	char *path;

	segment_name(id, name);
	if (asprintf(&path, "%s/segments/%s", store->path, name) < 0)
		abort();
	return path;
}

static void seal(struct segment_header *header)
{
	record_checksum(header, offsetof(struct segment_header, checksum), header->checksum);
}

static enum pn_status write_header(struct local_store *store, struct segment *segment,
                                   const char *path, struct pn_error *error)
{
	char bytes[SEGMENT_HEADER_SIZE] = {0};
	struct segment_header header = {
		.magic = SEGMENT_MAGIC,
		.version = LOCAL_FORMAT,
		.worker = store->start->worker_number,
		.id = segment->id,
		.created_ms = segment_created_ms(segment->id),
		.salt = segment->salt,
	};
	struct iovec piece = {bytes, sizeof(bytes)};

	seal(&header);
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + SEGMENT_HEADER_SIZE / 2, &header, sizeof(header));
	return file_write(segment->descriptor, &piece, 1, 0, "store.segment.open", path, error);
}

/* A new file with its header. Its directory is flushed by the caller, before anything is said. */
enum pn_status segment_create(struct local_store *store, bool is_large, struct segment *segment,
                              struct pn_error *error)
{
	char *path = NULL;
	enum pn_status status;

	memset(segment, 0, sizeof(*segment));
	pn_random(&segment->salt, sizeof(segment->salt));
	do {
		free(path);
		segment->id =
			segment_new_id(store->start->worker_number, is_large, pn_clock_wall_ms());
		path = segment_path(store, segment->id);
		segment->descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	} while (segment->descriptor < 0 && errno == EEXIST);
	/* The lock says to whoever clears away that somebody writes here; it ends with us. */
	if (segment->descriptor < 0 || flock(segment->descriptor, LOCK_EX | LOCK_NB) != 0) {
		status = pn_fail_errno(error, errno, "cannot make the segment %s", path);
	} else {
		status = write_header(store, segment, path, error);
		if (status != PN_OK) {
			close(segment->descriptor);
			segment->descriptor = -1;
			unlink(path);
		}
	}
	segment->end = SEGMENT_HEADER_SIZE;
	segment->allocated = SEGMENT_HEADER_SIZE;
	free(path);
	return status;
}

/* Opens one for reading and finds its salt in either copy of the header. PN_LIMIT: not now, and
 * nothing is wrong with it. */
enum pn_status segment_open(const struct local_store *store, uint64_t id, int *descriptor_out,
                            uint64_t *salt_out, struct pn_error *error)
{
	char *path = segment_path(store, id);
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	struct segment_header header;
	uint8_t checksum[CHECKSUM_SIZE];
	enum pn_status status = PN_OK;

	if (descriptor < 0) {
		bool is_for_now = errno == EMFILE || errno == ENFILE || errno == ENOMEM;

		status = pn_fail_errno(error, errno, "cannot open the segment %s", path);
		status = is_for_now ? PN_LIMIT : status;
	}
	for (int copy = 0; copy < 2 && status == PN_OK; copy++) {
		status = file_read(descriptor, &header, sizeof(header),
		                   (uint64_t)copy * (SEGMENT_HEADER_SIZE / 2), path, error);
		record_checksum(&header, offsetof(struct segment_header, checksum), checksum);
		if (status == PN_OK && header.magic == SEGMENT_MAGIC && header.id == id &&
		    memcmp(checksum, header.checksum, CHECKSUM_SIZE) == 0) {
			*salt_out = header.salt;
			*descriptor_out = descriptor;
			free(path);
			return PN_OK;
		}
	}
	if (status == PN_OK || status == PN_NOT_FOUND)
		status = pn_fail(error, "the header of the segment %s is damaged", path);
	if (descriptor >= 0)
		close(descriptor);
	free(path);
	return status;
}

/* What was preallocated behind the last record is given back. Nothing is appended again. */
void segment_close(struct local_store *store)
{
	if (store->segment.descriptor < 0)
		return;
	if (ftruncate(store->segment.descriptor, (off_t)store->segment.end) != 0)
		pn_log(PN_LOG_WARNING, "store.segment", "a segment could not be cut to its size");
	close(store->segment.descriptor);
	store->segment.descriptor = -1;
}

/* A segment with room for so many bytes: this one, or a new one. */
enum pn_status segment_prepare(struct local_store *store, uint64_t size, struct pn_error *error)
{
	struct segment *segment = &store->segment;
	uint64_t wanted = segment->end + size;
	struct statvfs space;
	enum pn_status status;
	int number = 0;
	char *directory;

	if (segment->descriptor >= 0 && segment->end > SEGMENT_HEADER_SIZE &&
	    wanted > store->config.segment_size)
		segment_close(store);
	if (segment->descriptor < 0) {
		status = segment_create(store, false, segment, error);
		if (status != PN_OK)
			return status;
		directory = file_path(store->path, "segments");
		status = file_flush_directory(directory, "store.segment.directory", error);
		free(directory);
		if (status != PN_OK) {
			segment_close(store);
			return status;
		}
		wanted = segment->end + size;
	}
	if (wanted <= segment->allocated)
		return PN_OK;
	wanted += growth;
	if (pn_fault("store.segment.grow", &number) == PN_FAULT_ERROR)
		return pn_fail_errno(error, number, "cannot make a segment larger");
	/* Where this fails there may still be room for the bytes themselves; and where space is
	 * short it is not taken from others before it is needed. */
	if (fstatvfs(segment->descriptor, &space) == 0 &&
	    (uint64_t)space.f_bavail * space.f_frsize > 16 * growth &&
	    fallocate(segment->descriptor, 0, (off_t)segment->allocated,
	              (off_t)(wanted - segment->allocated)) == 0)
		segment->allocated = wanted;
	return PN_OK;
}

/*
 * Appends bytes, behind segment_prepare(), and flushes them. After any failure nothing is appended
 * to that segment again: it is closed, and the next segment_prepare() makes another.
 */
enum pn_status segment_append(struct local_store *store, const struct iovec *pieces, size_t count,
                              uint64_t size, uint64_t *offset_out, struct pn_error *error)
{
	char name[64];
	enum pn_status status;

	segment_name(store->segment.id, name);
	*offset_out = store->segment.end;
	status = file_write(store->segment.descriptor, pieces, count, store->segment.end,
	                    "store.segment.write", name, error);
	if (status == PN_OK)
		status = file_flush(store->segment.descriptor, "store.segment.flush", name, error);
	if (status != PN_OK) {
		pn_log(PN_LOG_ERROR, "store.segment",
		       "segment %s is closed: it could not be written", name);
		segment_close(store);
		return status;
	}
	store->segment.end += size;
	return PN_OK;
}

static int compare_ids(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left & ~(1ull << 63);
	uint64_t b = *(const uint64_t *)right & ~(1ull << 63);

	return a < b ? -1 : a > b;
}

enum pn_status segment_list(const struct local_store *store, uint64_t **ids_out, size_t *count_out,
                            struct pn_error *error)
{
	char *path = file_path(store->path, "segments");
	DIR *directory = opendir(path);
	struct dirent *entry;
	uint64_t *ids = NULL;
	size_t capacity = 0;
	size_t count = 0;
	enum pn_status status = PN_OK;

	if (directory == NULL) {
		status = pn_fail_errno(error, errno, "cannot read the directory %s", path);
		free(path);
		return status;
	}
	while ((entry = readdir(directory)) != NULL) {
		uint64_t id;

		if (!segment_id_of_name(entry->d_name, &id))
			continue;
		if (count == capacity) {
			capacity = capacity == 0 ? 64 : capacity * 2;
			ids = reallocarray(ids, capacity, sizeof(*ids));
			if (ids == NULL)
				abort();
		}
		ids[count++] = id;
	}
	closedir(directory);
	free(path);
	if (count != 0)
		qsort(ids, count, sizeof(*ids), compare_ids);
	*ids_out = ids;
	*count_out = count;
	return status;
}

static bool header_fits(const struct record_header *header, uint64_t offset, uint64_t file_size)
{
	return header->record_size >= sizeof(*header) &&
	       header->record_size <= file_size - offset &&
	       header->meta_offset <= header->record_size &&
	       header->meta_size <= header->record_size - header->meta_offset &&
	       header->body_offset <= header->record_size &&
	       header->body_size <= header->record_size - header->body_offset &&
	       header->front_size <= header->body_size;
}

/* Made by a worker that died (or a machine that stopped) before its header was there. */
static bool is_blank(const struct local_store *store, uint64_t id)
{
	char *path = segment_path(store, id);
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	char bytes[SEGMENT_HEADER_SIZE];
	ssize_t got = descriptor < 0 ? -1 : pread(descriptor, bytes, sizeof(bytes), 0);
	bool result = got >= 0 && got < SEGMENT_HEADER_SIZE;

	if (got == SEGMENT_HEADER_SIZE)
		result = bytes[0] == 0 && memcmp(bytes, bytes + 1, sizeof(bytes) - 1) == 0;
	if (descriptor >= 0)
		close(descriptor);
	free(path);
	return result;
}

/* Passes over space that was taken and never written. */
static uint64_t next_data(int descriptor, uint64_t offset)
{
	off_t data = lseek(descriptor, (off_t)offset, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? UINT64_MAX / 2 : offset;
	return record_padded((uint64_t)data);
}

enum pn_status segment_scan(const struct local_store *store, uint64_t id, uint64_t from,
                            segment_scan_function *found, void *user,
                            const struct pn_store_report *report, struct pn_error *error)
{
	uint64_t offset = from < SEGMENT_HEADER_SIZE ? SEGMENT_HEADER_SIZE : from;
	uint64_t bad_from = 0;
	struct stat file;
	uint64_t salt;
	int descriptor;
	char name[64];
	enum pn_status status = segment_open(store, id, &descriptor, &salt, error);

	if (status != PN_OK)
		return is_blank(store, id) ? PN_OK : status;
	segment_name(id, name);
	if (fstat(descriptor, &file) != 0)
		status = pn_fail_errno(error, errno, "cannot read %s", name);
	while (status == PN_OK && offset + sizeof(struct record_header) <= (uint64_t)file.st_size) {
		struct record_header header;

		status = file_read(descriptor, &header, sizeof(header), offset, name, error);
		if (status != PN_OK)
			break;
		if (!record_header_is_good(&header, salt) ||
		    !header_fits(&header, offset, (uint64_t)file.st_size)) {
			/* The next good header is at a multiple of the alignment. */
			if (bad_from == 0 && header.magic != 0)
				bad_from = offset;
			offset = next_data(descriptor, offset + RECORD_ALIGNMENT);
			continue;
		}
		if (bad_from != 0)
			local_say(report, true, "segment %s: bytes %llu to %llu are damaged", name,
			          (unsigned long long)bad_from, (unsigned long long)offset);
		bad_from = 0;
		status = found(user, descriptor, &header, offset, error);
		offset += header.record_size;
	}
	close(descriptor);
	return status == PN_NOT_FOUND ? PN_OK : status;
}
