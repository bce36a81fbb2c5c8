/* SPDX-License-Identifier: Apache-2.0 */
/* The table of accounts: an array, and a hash table of indices with open addressing. */
#include "table.h"

#include <postern/buffer.h>
#include <postern/text.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { FILE_MAX = 512 * 1024 * 1024, READ_AT_ONCE = 256 * 1024 };

static size_t hash_of(struct pn_slice name)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < name.size; i++)
		hash = (hash ^ (unsigned char)name.data[i]) * 1099511628211u;
	return (size_t)(hash ^ (hash >> 32));
}

const struct auth_file_entry *auth_file_table_find(const struct auth_file_table *table,
                                                   struct pn_slice name)
{
	size_t at = hash_of(name) & (table->slot_count - 1);

	while (table->slots[at] != 0) {
		const struct auth_file_entry *entry = &table->entries[table->slots[at] - 1];

		if (pn_slice_equal(entry->name, name))
			return entry;
		at = (at + 1) & (table->slot_count - 1);
	}
	return NULL;
}

struct pn_slice auth_file_table_somebody(const struct auth_file_table *table,
                                         enum auth_file_secret kind, struct pn_slice name)
{
	size_t count = table->having_count[kind];

	if (count == 0)
		return PN_SLICE_NONE;
	return table->entries[table->having[kind][hash_of(name) % count]].secrets[kind];
}

bool auth_file_table_add(struct auth_file_table *table, size_t index, size_t *other_out)
{
	struct pn_slice name = table->entries[index].name;
	size_t at = hash_of(name) & (table->slot_count - 1);

	while (table->slots[at] != 0) {
		if (pn_slice_equal(table->entries[table->slots[at] - 1].name, name)) {
			*other_out = table->slots[at] - 1;
			return false;
		}
		at = (at + 1) & (table->slot_count - 1);
	}
	table->slots[at] = (uint32_t)(index + 1);
	return true;
}

struct pn_slice auth_file_lower(struct pn_arena *arena, struct pn_slice text)
{
	char *copy = pn_arena_keep_text(arena, text);

	for (size_t i = 0; i < text.size; i++) {
		if (copy[i] >= 'A' && copy[i] <= 'Z')
			copy[i] = (char)(copy[i] - 'A' + 'a');
	}
	return pn_slice_make(copy, text.size);
}

bool auth_file_stamp_differs(const struct auth_file_stamp *stamp, const struct stat *status)
{
	return stamp->device != status->st_dev || stamp->inode != status->st_ino ||
	       stamp->size != status->st_size || stamp->modified.tv_sec != status->st_mtim.tv_sec ||
	       stamp->modified.tv_nsec != status->st_mtim.tv_nsec;
}

void auth_file_stamp_take(struct auth_file_stamp *stamp, const struct stat *status)
{
	stamp->device = status->st_dev;
	stamp->inode = status->st_ino;
	stamp->size = status->st_size;
	stamp->modified = status->st_mtim;
}

static enum pn_status read_all(int descriptor, const char *path, struct pn_buffer *text,
                               struct pn_error *error)
{
	for (;;) {
		char *room;
		ssize_t size;

		if (pn_buffer_reserve(text, READ_AT_ONCE, &room) != PN_OK)
			return pn_fail(error, "%s is larger than %d bytes", path, FILE_MAX);
		size = read(descriptor, room, READ_AT_ONCE);
		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return pn_fail_errno(error, errno, "cannot read %s", path);
		if (size == 0)
			return PN_OK;
		text->size += (size_t)size;
	}
}

/* The text and the version it is of: read again where somebody wrote it meanwhile. */
static enum pn_status read_file(const char *path, struct pn_buffer *text,
                                struct auth_file_stamp *stamp, struct pn_error *error)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	struct stat before;
	struct stat after;
	enum pn_status status = PN_OK;

	if (descriptor < 0)
		return pn_fail_errno(error, errno, "cannot open the account file %s", path);
	if (fstat(descriptor, &before) != 0)
		status = pn_fail_errno(error, errno, "cannot read %s", path);
	else if (!S_ISREG(before.st_mode))
		status = pn_fail(error, "%s is not a file", path);
	if (status == PN_OK)
		status = read_all(descriptor, path, text, error);
	if (status == PN_OK) {
		auth_file_stamp_take(stamp, &before);
		if (fstat(descriptor, &after) != 0 || auth_file_stamp_differs(stamp, &after))
			status = pn_fail(error,
			                 "%s was being written while it was read: write a "
			                 "new file and rename it into place",
			                 path);
	}
	close(descriptor);
	return status;
}

enum pn_status auth_file_table_read(const char *path, struct auth_file_table **table_out,
                                    struct pn_error *error)
{
	struct pn_arena *arena = pn_arena_new();
	struct auth_file_table *table = PN_ARENA_NEW(arena, struct auth_file_table);
	struct pn_buffer text;
	enum pn_status status;

	pn_buffer_init(&text, FILE_MAX);
	table->arena = arena;
	table->references = 1;
	status = read_file(path, &text, &table->stamp, error);
	if (status == PN_OK)
		status = auth_file_parse(table, path, pn_buffer_slice(&text), error);
	pn_buffer_clear(&text);
	if (status == PN_OK)
		*table_out = table;
	else
		auth_file_table_free(&table);
	return status;
}

void auth_file_table_free(struct auth_file_table **table)
{
	struct pn_arena *arena;

	if (*table == NULL)
		return;
	arena = (*table)->arena;
	*table = NULL;
	pn_arena_free(&arena);
}
