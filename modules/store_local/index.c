/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index: LMDB with keys that sort, behind functions that speak pn_status.
 * A read transaction lives within one question; write transactions belong to the
 * commit lane (or to the one thread of a tool).
 */
#include "store_local.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char *const table_names[TABLE_COUNT] = {
	[TABLE_META] = "meta",
	[TABLE_ACCOUNTS] = "accounts",
	[TABLE_TREE] = "tree",
	[TABLE_BODIES] = "bodies",
	[TABLE_REFERENCES] = "references",
	[TABLE_SEGMENTS] = "segments",
	[TABLE_QUEUE] = "queue",
	[TABLE_EXPIRATIONS] = "expirations",
};

void key_start(struct index_key *key)
{
	key->size = 0;
}

void key_bytes(struct index_key *key, const void *bytes, size_t size)
{
	if (size > sizeof(key->bytes) - key->size)
		abort(); /* keys are made of fixed pieces: a mistake of ours */
	memcpy(key->bytes + key->size, bytes, size);
	key->size += size;
}

void key_byte(struct index_key *key, uint8_t byte)
{
	key_bytes(key, &byte, 1);
}

void key_u32(struct index_key *key, uint32_t number)
{
	uint32_t sorted = __builtin_bswap32(number);

	key_bytes(key, &sorted, sizeof(sorted));
}

void key_u64(struct index_key *key, uint64_t number)
{
	uint64_t sorted = __builtin_bswap64(number);

	key_bytes(key, &sorted, sizeof(sorted));
}

void key_hash(struct index_key *key, struct pn_slice text)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(text.size ? text.data : "", text.size));
	key_bytes(key, canonical.digest, sizeof(canonical.digest));
}

void key_tree(struct index_key *key, uint64_t account, enum tree_kind kind)
{
	key_start(key);
	key_u64(key, account);
	key_byte(key, (uint8_t)kind);
}

void key_mailbox(struct index_key *key, uint64_t account, enum tree_kind kind, uint64_t mailbox)
{
	key_tree(key, account, kind);
	key_u64(key, mailbox);
}

void key_uid(struct index_key *key, uint64_t account, enum tree_kind kind, uint64_t mailbox,
             uint32_t uid)
{
	key_mailbox(key, account, kind, mailbox);
	key_u32(key, uid);
}

uint32_t key_read_u32(const void *bytes)
{
	uint32_t number;

	memcpy(&number, bytes, sizeof(number));
	return __builtin_bswap32(number);
}

uint64_t key_read_u64(const void *bytes)
{
	uint64_t number;

	memcpy(&number, bytes, sizeof(number));
	return __builtin_bswap64(number);
}

enum pn_status index_fail(struct index_access *access, int code, const char *what)
{
	return pn_fail(access->error, "the index %s failed to %s: %s", access->index->path, what,
	               mdb_strerror(code));
}

static enum pn_status wrong_format(const struct local_index *index, uint32_t format,
                                   struct pn_error *error)
{
	return pn_fail(error,
	               "the index %s has format %u and this store reads format %u: stop the "
	               "gateway and run 'postern store rebuild'",
	               index->path, format, INDEX_FORMAT);
}

/* Before anything is written to it: another format is not touched. Sets is_new_out. */
static enum pn_status check_format(struct local_index *index, bool *is_new_out,
                                   struct pn_error *error)
{
	struct index_access access = {.index = index, .error = error};
	struct index_key key;
	uint32_t format = 0;
	int result;
	enum pn_status status = index_begin(&access, false);

	if (status != PN_OK)
		return status;
	result = mdb_dbi_open(access.transaction, table_names[TABLE_META], 0,
	                      &index->tables[TABLE_META]);
	*is_new_out = result == MDB_NOTFOUND;
	if (result == 0) {
		key_start(&key);
		key_bytes(&key, "format", 6);
		status = index_get_fixed(&access, TABLE_META, &key, &format, sizeof(format));
		*is_new_out = status == PN_NOT_FOUND;
	} else if (result != MDB_NOTFOUND) {
		status = index_fail(&access, result, "read its format");
	}
	index_abort(&access);
	if (*is_new_out)
		return PN_OK;
	return status == PN_OK && format != INDEX_FORMAT ? wrong_format(index, format, error)
	                                                 : status;
}

static int open_handles_within(struct local_index *index, bool read_only)
{
	MDB_txn *transaction;
	int result =
		mdb_txn_begin(index->environment, NULL, read_only ? MDB_RDONLY : 0, &transaction);

	if (result != 0)
		return result;
	for (int i = 0; i < TABLE_COUNT && result == 0; i++)
		result = mdb_dbi_open(transaction, table_names[i], read_only ? 0 : MDB_CREATE,
		                      &index->tables[i]);
	if (result != 0) {
		mdb_txn_abort(transaction);
		return result;
	}
	return mdb_txn_commit(transaction);
}

static int open_handles(struct local_index *index, bool read_only)
{
	int result = read_only ? 0 : gate_enter(&index->gate);

	if (result != 0)
		return result;
	result = open_handles_within(index, read_only);
	if (!read_only)
		gate_leave(&index->gate);
	return result;
}

/* A new index is given its format. */
static enum pn_status open_tables(struct local_index *index, bool read_only, bool is_new,
                                  struct pn_error *error)
{
	struct index_access access = {.index = index, .error = error};
	const uint32_t format = INDEX_FORMAT;
	struct index_key key;
	int result;
	enum pn_status status;

	if (is_new && read_only)
		return pn_fail(error, "the index %s is empty", index->path);
	result = open_handles(index, read_only);
	if (result != 0)
		return index_fail(&access, result, "open its tables");
	if (!is_new)
		return PN_OK;
	key_start(&key);
	key_bytes(&key, "format", 6);
	status = index_begin(&access, true);
	if (status == PN_OK)
		status = index_put(&access, TABLE_META, &key, &format, sizeof(format));
	if (status == PN_OK)
		return index_commit(&access);
	index_abort(&access);
	return status;
}

static int open_gate(struct local_index *index)
{
	char path[PATH_MAX];
	int result;

	if ((size_t)snprintf(path, sizeof(path), "%s/gate", index->path) >= sizeof(path))
		return ENAMETOOLONG;
	result = gate_open(&index->gate, path);
	index->has_gate = result == 0;
	return result;
}

enum pn_status index_open(struct local_index *index, const char *path, uint64_t map_size,
                          bool read_only, struct pn_error *error)
{
	unsigned flags = MDB_NOTLS | (read_only ? MDB_RDONLY : 0);
	int result = mdb_env_create(&index->environment);
	bool is_new = false;
	int dead;

	if (result != 0)
		return pn_fail(error, "cannot make an index: %s", mdb_strerror(result));
	index->path = strdup(path);
	if (index->path == NULL)
		abort();
	mdb_env_set_maxdbs(index->environment, TABLE_COUNT);
	mdb_env_set_maxreaders(index->environment, 1024);
	result = mdb_env_set_mapsize(index->environment, (size_t)map_size);
	if (result == 0)
		result = mdb_env_open(index->environment, path, flags, 0600);
	if (result == 0 && !read_only)
		result = open_gate(index);
	if (result != 0) {
		pn_fail(error,
		        "cannot open the index %s: %s; where it is damaged, stop the gateway and "
		        "run 'postern store rebuild'",
		        path, mdb_strerror(result));
		index_close(index);
		return PN_FAILED;
	}
	mdb_reader_check(index->environment, &dead);
	if (check_format(index, &is_new, error) != PN_OK ||
	    open_tables(index, read_only, is_new, error) != PN_OK) {
		index_close(index);
		return PN_FAILED;
	}
	return PN_OK;
}

void index_close(struct local_index *index)
{
	if (index->environment != NULL)
		mdb_env_close(index->environment);
	index->environment = NULL;
	if (index->has_gate)
		gate_close(&index->gate);
	index->has_gate = false;
	free(index->path);
	index->path = NULL;
}

static void leave_gate(struct index_access *access)
{
	if (access->is_writing)
		gate_leave(&access->index->gate);
	access->is_writing = false;
}

enum pn_status index_begin(struct index_access *access, bool write)
{
	int result = 0;

	access->transaction = NULL;
	if (access->index->environment == NULL)
		return pn_fail(access->error, "the index is not open: %s",
		               access->store->index_trouble);
	if (write && pn_fault("store.index.begin", &result) == PN_FAULT_ERROR)
		return index_fail(access, result, "begin");
	if (write)
		result = gate_enter(&access->index->gate);
	if (result != 0)
		return index_fail(access, result, "begin");
	access->is_writing = write;
	result = mdb_txn_begin(access->index->environment, NULL, write ? 0 : MDB_RDONLY,
	                       &access->transaction);
	if (result == 0)
		return PN_OK;
	access->transaction = NULL;
	leave_gate(access);
	return index_fail(access, result, "begin");
}

/* A commit's own part of a group: what it writes can be taken back alone. */
enum pn_status index_begin_part(struct index_access *access, MDB_txn **outer_out)
{
	MDB_txn *part;
	int result = mdb_txn_begin(access->index->environment, access->transaction, 0, &part);

	if (result != 0)
		return index_fail(access, result, "begin a part");
	*outer_out = access->transaction;
	access->transaction = part;
	return PN_OK;
}

enum pn_status index_end_part(struct index_access *access, MDB_txn *outer, bool keep)
{
	int result = 0;

	if (keep)
		result = mdb_txn_commit(access->transaction);
	else
		mdb_txn_abort(access->transaction);
	access->transaction = outer;
	return result == 0 ? PN_OK : index_fail(access, result, "end a part");
}

enum pn_status index_commit(struct index_access *access)
{
	MDB_txn *transaction = access->transaction;
	int result = 0;
	enum pn_fault_action fault = pn_fault("store.index.commit", &result);

	access->transaction = NULL;
	if (fault == PN_FAULT_ERROR) {
		mdb_txn_abort(transaction);
		leave_gate(access);
		return index_fail(access, result, "commit");
	}
	/* Only a test that shows what a missing flush does can switch it off. */
	if (fault == PN_FAULT_SKIP)
		mdb_env_set_flags(access->index->environment, MDB_NOSYNC, 1);
	result = mdb_txn_commit(transaction);
	leave_gate(access);
	return result == 0 ? PN_OK : index_fail(access, result, "commit");
}

void index_abort(struct index_access *access)
{
	if (access->transaction != NULL) {
		mdb_txn_abort(access->transaction);
		leave_gate(access);
	}
	access->transaction = NULL;
}

static MDB_val key_value(const struct index_key *key)
{
	return (MDB_val){.mv_size = key->size, .mv_data = (void *)(uintptr_t)key->bytes};
}

enum pn_status index_get(struct index_access *access, enum local_table table,
                         const struct index_key *key, MDB_val *value_out)
{
	MDB_val name = key_value(key);
	int result = mdb_get(access->transaction, access->index->tables[table], &name, value_out);

	if (result == 0)
		return PN_OK;
	return result == MDB_NOTFOUND ? PN_NOT_FOUND : index_fail(access, result, "read");
}

enum pn_status index_get_fixed(struct index_access *access, enum local_table table,
                               const struct index_key *key, void *row_out, size_t size)
{
	MDB_val value;
	enum pn_status status = index_get(access, table, key, &value);

	if (status != PN_OK)
		return status;
	if (value.mv_size < size)
		return pn_fail(access->error,
		               "the index %s has a row of %zu bytes in '%s'; %zu expected",
		               access->index->path, value.mv_size, table_names[table], size);
	memcpy(row_out, value.mv_data, size);
	return PN_OK;
}

enum pn_status index_put(struct index_access *access, enum local_table table,
                         const struct index_key *key, const void *value, size_t size)
{
	return index_put_two(access, table, key, value, size, PN_SLICE_NONE);
}

/* A row that is a struct and a text behind it. */
enum pn_status index_put_two(struct index_access *access, enum local_table table,
                             const struct index_key *key, const void *row, size_t row_size,
                             struct pn_slice tail)
{
	MDB_val name = key_value(key);
	MDB_val value = {.mv_size = row_size + tail.size};
	int result = 0;

	if (pn_fault("store.index.write", &result) == PN_FAULT_ERROR)
		return index_fail(access, result, "write");
	result = mdb_put(access->transaction, access->index->tables[table], &name, &value,
	                 MDB_RESERVE);
	if (result != 0)
		return index_fail(access, result, "write");
	if (row_size != 0)
		memcpy(value.mv_data, row, row_size);
	if (tail.size != 0)
		memcpy((char *)value.mv_data + row_size, tail.data, tail.size);
	return PN_OK;
}

/* What is not there is fine: PN_NOT_FOUND. */
enum pn_status index_delete(struct index_access *access, enum local_table table,
                            const struct index_key *key)
{
	MDB_val name = key_value(key);
	int result = 0;

	if (pn_fault("store.index.write", &result) == PN_FAULT_ERROR)
		return index_fail(access, result, "write");
	result = mdb_del(access->transaction, access->index->tables[table], &name, NULL);
	if (result == 0)
		return PN_OK;
	return result == MDB_NOTFOUND ? PN_NOT_FOUND : index_fail(access, result, "delete");
}

/* Adds to a counter of the table `meta`, which begins at 0; gives its value from then on. */
enum pn_status index_counter(struct index_access *access, const char *name, uint64_t add,
                             uint64_t *value_out)
{
	struct index_key key;
	uint64_t value = 0;
	enum pn_status status;

	key_start(&key);
	key_bytes(&key, name, strlen(name));
	status = index_get_fixed(access, TABLE_META, &key, &value, sizeof(value));
	if (status != PN_OK && status != PN_NOT_FOUND)
		return status;
	value += add;
	*value_out = value;
	return add == 0 ? PN_OK : index_put(access, TABLE_META, &key, &value, sizeof(value));
}

static enum pn_status walk_look(struct index_walk *walk, int result)
{
	if (result == 0 && (walk->key.mv_size < walk->prefix.size ||
	                    memcmp(walk->key.mv_data, walk->prefix.bytes, walk->prefix.size) != 0))
		result = MDB_NOTFOUND;
	walk->status = result == 0 ? PN_OK : result == MDB_NOTFOUND ? PN_NOT_FOUND : PN_FAILED;
	return walk->status;
}

/* Goes to the first key with the prefix that is not before `from` (NULL: the prefix itself). */
enum pn_status walk_begin(struct index_walk *walk, struct index_access *access,
                          enum local_table table, const struct index_key *prefix,
                          const struct index_key *from)
{
	int result =
		mdb_cursor_open(access->transaction, access->index->tables[table], &walk->cursor);

	if (result != 0) {
		walk->cursor = NULL;
		walk->status = PN_FAILED;
		return index_fail(access, result, "walk");
	}
	walk->prefix = *prefix;
	walk->key = key_value(from == NULL ? prefix : from);
	if (walk->key.mv_size == 0) /* everything */
		return walk_look(walk,
		                 mdb_cursor_get(walk->cursor, &walk->key, &walk->value, MDB_FIRST));
	result = mdb_cursor_get(walk->cursor, &walk->key, &walk->value, MDB_SET_RANGE);
	if (walk_look(walk, result) == PN_FAILED)
		return index_fail(access, result, "walk");
	return walk->status;
}

enum pn_status walk_next(struct index_walk *walk)
{
	return walk_look(walk, mdb_cursor_get(walk->cursor, &walk->key, &walk->value, MDB_NEXT));
}

enum pn_status walk_seek(struct index_walk *walk, struct index_access *access,
                         const struct index_key *from)
{
	int result;

	walk->key = key_value(from);
	result = mdb_cursor_get(walk->cursor, &walk->key, &walk->value, MDB_SET_RANGE);
	if (walk_look(walk, result) == PN_FAILED)
		return index_fail(access, result, "walk");
	return walk->status;
}

enum pn_status walk_put(struct index_walk *walk, struct index_access *access, const void *value,
                        size_t size)
{
	MDB_val data = {.mv_size = size, .mv_data = (void *)(uintptr_t)value};
	struct index_key copy = {.size = 0};
	MDB_val key;
	int result = 0;

	if (pn_fault("store.index.write", &result) == PN_FAULT_ERROR)
		return index_fail(access, result, "write");
	key_bytes(&copy, walk->key.mv_data, walk->key.mv_size);
	key = key_value(&copy);
	result = mdb_cursor_put(walk->cursor, &key, &data, MDB_CURRENT);
	/* What was read of the row is stale now. */
	walk->key = walk->value = (MDB_val){0};
	return result == 0 ? PN_OK : index_fail(access, result, "write");
}

/* Goes to the last key with the prefix that is not behind `at`. */
enum pn_status walk_last(struct index_walk *walk, struct index_access *access,
                         enum local_table table, const struct index_key *prefix,
                         const struct index_key *at)
{
	MDB_val wanted = key_value(at);
	int result =
		mdb_cursor_open(access->transaction, access->index->tables[table], &walk->cursor);

	if (result != 0) {
		walk->cursor = NULL;
		walk->status = PN_FAILED;
		return index_fail(access, result, "walk");
	}
	walk->prefix = *prefix;
	walk->key = wanted;
	result = mdb_cursor_get(walk->cursor, &walk->key, &walk->value, MDB_SET_RANGE);
	if (result == MDB_NOTFOUND)
		result = mdb_cursor_get(walk->cursor, &walk->key, &walk->value, MDB_LAST);
	else if (result == 0 && mdb_cmp(access->transaction, access->index->tables[table],
	                                &walk->key, &wanted) > 0)
		result = mdb_cursor_get(walk->cursor, &walk->key, &walk->value, MDB_PREV);
	if (walk_look(walk, result) == PN_FAILED)
		return index_fail(access, result, "walk");
	return walk->status;
}

void walk_end(struct index_walk *walk)
{
	if (walk->cursor != NULL)
		mdb_cursor_close(walk->cursor);
	walk->cursor = NULL;
}
