/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of a cache in LMDB. Three tables: `entries` (key to end of life, kind
 * and value), `ends` (end of life and key, so that the next to go comes first) and
 * `facts` (bytes in use). When there is no room for a new entry the ones that would
 * go first go now.
 */
#include "table.h"

#include "../store_local/gate.h"

#include <postern/cache.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	HEAD_SIZE = 9,       /* end of life, kind */
	OVERHEAD = 100,      /* of an entry in both tables, about */
	PURGED_AT_ONCE = 64, /* dead entries that a transaction takes away */
	MAP_FACTOR = 4,      /* pages are half full, and copied when they change */
	MAP_EXTRA = 32 * 1024 * 1024,
	BOOT_ID_SIZE = 36,
};

struct cache_table {
	MDB_env *environment;
	MDB_dbi entries;
	MDB_dbi ends;
	MDB_dbi facts;
	struct gate gate; /* before each transaction that changes something */
	bool has_gate;
	uint64_t max_bytes;
};

/* One transaction at work. */
struct work {
	const struct cache_table *table;
	MDB_txn *transaction;
	int64_t now_ms;
	uint64_t bytes;
};

/* ---- values ---- */

static void write_number(unsigned char *to, uint64_t number)
{
	for (int index = 7; index >= 0; index--) {
		to[index] = (unsigned char)number;
		number >>= 8;
	}
}

static uint64_t read_number(const unsigned char *from)
{
	uint64_t number = 0;

	for (int index = 0; index < 8; index++)
		number = number << 8 | from[index];
	return number;
}

static MDB_val value_of(const void *data, size_t size)
{
	return (MDB_val){.mv_size = size, .mv_data = (void *)(uintptr_t)data};
}

static uint64_t cost_of(size_t key_size, size_t value_size)
{
	return OVERHEAD + 2 * (uint64_t)key_size + value_size;
}

/* The key in `ends`: who goes first comes first. */
static MDB_val end_key(unsigned char room[8 + PN_CACHE_KEY_MAX], uint64_t end, MDB_val key)
{
	write_number(room, end);
	memcpy(room + 8, key.mv_data, key.mv_size);
	return value_of(room, 8 + key.mv_size);
}

/* ---- entries ---- */

/* Takes an entry away; `value` is what stands in `entries` for it. */
static int remove_entry(struct work *work, MDB_val key, MDB_val value)
{
	unsigned char room[8 + PN_CACHE_KEY_MAX], own[PN_CACHE_KEY_MAX];
	uint64_t cost = cost_of(key.mv_size, value.mv_size - HEAD_SIZE);
	MDB_val end;
	int result;

	/* The map changes under what LMDB gave us. */
	memcpy(own, key.mv_data, key.mv_size);
	key.mv_data = own;
	end = end_key(room, read_number(value.mv_data), key);
	result = mdb_del(work->transaction, work->table->entries, &key, NULL);
	if (result == 0)
		result = mdb_del(work->transaction, work->table->ends, &end, NULL);
	work->bytes -= cost < work->bytes ? cost : work->bytes;
	return result == MDB_NOTFOUND ? 0 : result;
}

/* The one that goes first: MDB_NOTFOUND where there is none, or (only_dead) it still lives. */
static int remove_first(struct work *work, bool only_dead)
{
	MDB_cursor *cursor;
	MDB_val end, nothing, key, value;
	int result = mdb_cursor_open(work->transaction, work->table->ends, &cursor);

	if (result != 0)
		return result;
	result = mdb_cursor_get(cursor, &end, &nothing, MDB_FIRST);
	mdb_cursor_close(cursor);
	if (result != 0)
		return result;
	if (end.mv_size <= 8)
		return MDB_CORRUPTED;
	if (only_dead && read_number(end.mv_data) > (uint64_t)work->now_ms)
		return MDB_NOTFOUND;
	key = value_of((const char *)end.mv_data + 8, end.mv_size - 8);
	result = mdb_get(work->transaction, work->table->entries, &key, &value);
	if (result != 0)
		return result == MDB_NOTFOUND ? MDB_CORRUPTED : result;
	return remove_entry(work, key, value);
}

/* Makes room for so many bytes. */
static int make_room(struct work *work, uint64_t bytes)
{
	int result = 0;

	for (int count = 0; count < PURGED_AT_ONCE && result == 0; count++)
		result = remove_first(work, true);
	while ((result == 0 || result == MDB_NOTFOUND) &&
	       work->bytes + bytes > work->table->max_bytes) {
		result = remove_first(work, false);
		if (result == MDB_NOTFOUND)
			break;
	}
	return result == MDB_NOTFOUND ? 0 : result;
}

/* The living entry, or MDB_NOTFOUND. */
static int find_entry(const struct work *work, MDB_val *key, MDB_val *value)
{
	int result = mdb_get(work->transaction, work->table->entries, key, value);

	if (result == 0 &&
	    (value->mv_size < HEAD_SIZE || read_number(value->mv_data) <= (uint64_t)work->now_ms))
		return MDB_NOTFOUND;
	return result;
}

static int put_entry(struct work *work, MDB_val key, uint64_t end, char kind, MDB_val value)
{
	unsigned char room[HEAD_SIZE + PN_CACHE_VALUE_MAX], end_room[8 + PN_CACHE_KEY_MAX];
	MDB_val old, new = value_of(room, HEAD_SIZE + value.mv_size), nothing = value_of("", 0);
	uint64_t cost = cost_of(key.mv_size, value.mv_size);
	int result;

	write_number(room, end);
	room[8] = (unsigned char)kind;
	if (value.mv_size > 0)
		memcpy(room + HEAD_SIZE, value.mv_data, value.mv_size);
	result = mdb_get(work->transaction, work->table->entries, &key, &old);
	if (result == 0)
		result = remove_entry(work, key, old);
	if (result == 0 || result == MDB_NOTFOUND)
		result = make_room(work, cost);
	if (result == 0)
		result = mdb_put(work->transaction, work->table->entries, &key, &new, 0);
	if (result == 0) {
		MDB_val end_value = end_key(end_room, end, key);

		result = mdb_put(work->transaction, work->table->ends, &end_value, &nothing, 0);
	}
	work->bytes += cost;
	return result;
}

/* ---- requests ---- */

static uint64_t end_of(const struct work *work, const struct cache_request *request)
{
	uint64_t now = work->now_ms < 0 ? 0 : (uint64_t)work->now_ms;

	return request->lifetime_ms > INT64_MAX - now ? INT64_MAX : now + request->lifetime_ms;
}

static int get(struct work *work, struct cache_request *request)
{
	MDB_val key = value_of(request->key.data, request->key.size), value;
	const char *data;
	int result = find_entry(work, &key, &value);

	if (result != 0)
		return result == MDB_NOTFOUND ? 0 : result;
	data = value.mv_data;
	request->found = true;
	if (data[8] == 'n' && value.mv_size == HEAD_SIZE + 8) {
		request->number = (int64_t)read_number((const unsigned char *)data + HEAD_SIZE);
		request->size = (size_t)snprintf(request->room, PN_CACHE_VALUE_MAX, "%lld",
		                                 (long long)request->number);
		return 0;
	}
	request->size = value.mv_size - HEAD_SIZE;
	if (request->size > PN_CACHE_VALUE_MAX)
		return MDB_CORRUPTED;
	memcpy(request->room, data + HEAD_SIZE, request->size);
	return 0;
}

static int set(struct work *work, struct cache_request *request)
{
	return put_entry(work, value_of(request->key.data, request->key.size),
	                 end_of(work, request), 't',
	                 value_of(request->value.data, request->value.size));
}

static int64_t sum_of(int64_t one, int64_t other)
{
	if (other > 0 && one > INT64_MAX - other)
		return INT64_MAX;
	if (other < 0 && one < INT64_MIN - other)
		return INT64_MIN;
	return one + other;
}

/* A counter goes on until its end, which its first use set; a text is no counter. */
static int add(struct work *work, struct cache_request *request)
{
	MDB_val key = value_of(request->key.data, request->key.size), value;
	uint64_t end = end_of(work, request);
	unsigned char room[8];
	int64_t number = 0;
	int result = find_entry(work, &key, &value);

	if (result != 0 && result != MDB_NOTFOUND)
		return result;
	if (result == 0 && ((const char *)value.mv_data)[8] == 'n' &&
	    value.mv_size == HEAD_SIZE + 8) {
		number = (int64_t)read_number((const unsigned char *)value.mv_data + HEAD_SIZE);
		end = read_number(value.mv_data);
		request->found = true;
	}
	request->number = sum_of(number, request->amount);
	write_number(room, (uint64_t)request->number);
	return put_entry(work, key, end, 'n', value_of(room, sizeof(room)));
}

static int do_request(struct work *work, struct cache_request *request)
{
	request->found = false;
	switch (request->verb) {
	case CACHE_GET:
		return get(work, request);
	case CACHE_SET:
		return set(work, request);
	default:
		return add(work, request);
	}
}

static int read_bytes(struct work *work)
{
	MDB_val key = value_of("bytes", 5), value;
	int result = mdb_get(work->transaction, work->table->facts, &key, &value);

	work->bytes = result == 0 && value.mv_size == 8 ? read_number(value.mv_data) : 0;
	return result == MDB_NOTFOUND ? 0 : result;
}

static int write_bytes(struct work *work)
{
	unsigned char room[8];
	MDB_val key = value_of("bytes", 5), value = value_of(room, sizeof(room));

	write_number(room, work->bytes);
	return mdb_put(work->transaction, work->table->facts, &key, &value, 0);
}

/* Another worker may have been told a larger size. */
static int begin_within(const struct cache_table *table, bool changes, MDB_txn **transaction_out)
{
	unsigned flags = changes ? 0 : MDB_RDONLY;
	int result = mdb_txn_begin(table->environment, NULL, flags, transaction_out);

	if (result == MDB_MAP_RESIZED)
		result = mdb_env_set_mapsize(table->environment, 0);
	else
		return result;
	return result != 0 ? result
	                   : mdb_txn_begin(table->environment, NULL, flags, transaction_out);
}

/* What changes something is behind the gate until end(). */
static int begin(struct cache_table *table, bool changes, MDB_txn **transaction_out)
{
	int result = changes ? gate_enter(&table->gate) : 0;

	if (result != 0)
		return result;
	result = begin_within(table, changes, transaction_out);
	if (result != 0 && changes)
		gate_leave(&table->gate);
	return result;
}

/* `result` where something failed: then nothing of it is kept. */
static int end(struct cache_table *table, bool changes, MDB_txn *transaction, int result)
{
	if (result != 0 || !changes)
		mdb_txn_abort(transaction);
	else
		result = mdb_txn_commit(transaction);
	if (changes)
		gate_leave(&table->gate);
	return result;
}

static int work_once(struct cache_table *table, struct cache_request *requests, int64_t now_ms)
{
	struct work work = {.table = table, .now_ms = now_ms};
	bool changes = false;
	int result;

	for (const struct cache_request *request = requests; request != NULL;
	     request = request->next)
		changes = changes || request->verb != CACHE_GET;
	result = begin(table, changes, &work.transaction);
	if (result != 0)
		return result;
	result = changes ? read_bytes(&work) : 0;
	for (struct cache_request *request = requests; request != NULL && result == 0;
	     request = request->next)
		result = do_request(&work, request);
	if (result == 0 && changes)
		result = write_bytes(&work);
	return end(table, changes, work.transaction, result);
}

/* Whatever is wrong with the entries: they may all go. */
static int empty(struct cache_table *table)
{
	MDB_txn *transaction;
	int dead, result;

	mdb_reader_check(table->environment, &dead);
	result = begin(table, true, &transaction);
	if (result != 0)
		return result;
	result = mdb_drop(transaction, table->entries, 0);
	if (result == 0)
		result = mdb_drop(transaction, table->ends, 0);
	if (result == 0)
		result = mdb_drop(transaction, table->facts, 0);
	return end(table, true, transaction, result);
}

enum pn_status cache_table_work(struct cache_table *table, struct cache_request *requests,
                                int64_t now_ms, struct pn_error *error)
{
	int result = work_once(table, requests, now_ms);

	/* Readers that were killed keep pages from being used again. */
	if (result == MDB_MAP_FULL || result == MDB_READERS_FULL) {
		int dead;

		mdb_reader_check(table->environment, &dead);
		result = work_once(table, requests, now_ms);
	}
	if (result != 0 && empty(table) == 0)
		result = work_once(table, requests, now_ms);
	for (struct cache_request *request = requests; request != NULL; request = request->next)
		request->status = result == 0 ? PN_OK : PN_FAILED;
	if (result != 0)
		return pn_fail(error, "the cache: %s", mdb_strerror(result));
	return PN_OK;
}

/* ---- files ---- */

static void read_boot_id(char id_out[BOOT_ID_SIZE])
{
	int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	memset(id_out, 'x', BOOT_ID_SIZE);
	if (file < 0)
		return;
	if (read(file, id_out, BOOT_ID_SIZE) != BOOT_ID_SIZE)
		memset(id_out, 'x', BOOT_ID_SIZE);
	close(file);
}

/* The file is of this run of the machine, or it goes: nobody synced it. `lock` is held. */
static enum pn_status begin_anew_after_boot(int lock, const char *path, bool is_broken,
                                            struct pn_error *error)
{
	char now[BOOT_ID_SIZE], then[BOOT_ID_SIZE] = "", other[PATH_MAX];

	read_boot_id(now);
	if (!is_broken && pread(lock, then, sizeof(then), 0) == sizeof(then) &&
	    memcmp(now, then, sizeof(now)) == 0)
		return PN_OK;
	snprintf(other, sizeof(other), "%s-lock", path);
	if ((unlink(path) != 0 && errno != ENOENT) || (unlink(other) != 0 && errno != ENOENT))
		return pn_fail_errno(error, errno, "cannot remove the cache of before, %s", path);
	if (pwrite(lock, now, sizeof(now), 0) != sizeof(now))
		return pn_fail_errno(error, errno, "cannot write beside %s", path);
	return PN_OK;
}

static int open_tables(struct cache_table *table)
{
	MDB_txn *transaction;
	int result = begin(table, true, &transaction);

	if (result != 0)
		return result;
	result = mdb_dbi_open(transaction, "entries", MDB_CREATE, &table->entries);
	if (result == 0)
		result = mdb_dbi_open(transaction, "ends", MDB_CREATE, &table->ends);
	if (result == 0)
		result = mdb_dbi_open(transaction, "facts", MDB_CREATE, &table->facts);
	return end(table, true, transaction, result);
}

static int open_gate(struct cache_table *table, const char *path)
{
	char name[PATH_MAX];
	int result;

	if (table->has_gate)
		return 0;
	if ((size_t)snprintf(name, sizeof(name), "%s-gate", path) >= sizeof(name))
		return ENAMETOOLONG;
	result = gate_open(&table->gate, name);
	table->has_gate = result == 0;
	return result;
}

static int open_environment(struct cache_table *table, const char *path)
{
	int result = mdb_env_create(&table->environment);

	if (result != 0)
		return result;
	mdb_env_set_maxdbs(table->environment, 3);
	mdb_env_set_maxreaders(table->environment, 256);
	mdb_env_set_mapsize(table->environment, (size_t)table->max_bytes * MAP_FACTOR + MAP_EXTRA);
	result = mdb_env_open(table->environment, path,
	                      MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS | MDB_NOMEMINIT, 0600);
	if (result == 0)
		result = open_gate(table, path);
	if (result == 0)
		result = open_tables(table);
	if (result != 0) {
		mdb_env_close(table->environment);
		table->environment = NULL;
	}
	return result;
}

enum pn_status cache_table_open(const char *directory, const char *name, uint64_t max_bytes,
                                struct cache_table **table_out, struct pn_error *error)
{
	struct cache_table *table = calloc(1, sizeof(*table));
	char path[PATH_MAX], boot[PATH_MAX];
	enum pn_status status = PN_OK;
	int lock = -1, result = 0;

	if (table == NULL)
		abort();
	table->max_bytes = max_bytes;
	if ((size_t)snprintf(boot, sizeof(boot), "%s/%s.boot", directory, name) >= sizeof(boot) ||
	    (size_t)snprintf(path, sizeof(path), "%s/%s.mdb", directory, name) >= sizeof(path) - 8)
		status = pn_fail(error, "the path of the cache is too long");
	if (status == PN_OK && mkdir(directory, 0700) != 0 && errno != EEXIST)
		status = pn_fail_errno(error, errno, "cannot make %s", directory);
	if (status == PN_OK)
		lock = open(boot, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (status == PN_OK && (lock < 0 || flock(lock, LOCK_EX) != 0))
		status = pn_fail_errno(error, errno, "cannot lock %s", boot);
	if (status == PN_OK)
		status = begin_anew_after_boot(lock, path, false, error);
	if (status == PN_OK) {
		result = open_environment(table, path);
		/* A file that nobody can use: a cache begins anew. */
		if (result == MDB_INVALID || result == MDB_CORRUPTED ||
		    result == MDB_VERSION_MISMATCH) {
			status = begin_anew_after_boot(lock, path, true, error);
			result = status == PN_OK ? open_environment(table, path) : result;
		}
	}
	if (status == PN_OK && result != 0)
		status = pn_fail(error, "cannot open %s: %s", path, mdb_strerror(result));
	if (lock >= 0)
		close(lock);
	if (status != PN_OK)
		cache_table_close(&table);
	*table_out = table;
	return status;
}

void cache_table_close(struct cache_table **table)
{
	if (*table == NULL)
		return;
	if ((*table)->environment != NULL)
		mdb_env_close((*table)->environment);
	if ((*table)->has_gate)
		gate_close(&(*table)->gate);
	free(*table);
	*table = NULL;
}
