/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What falls due with time: expunged rows and their bodies, the log of expunges,
 * once_keys, what a deleted mailbox or account left, references that a copy took
 * and never used; then segments in which nothing lives, and checkpoints. In small transactions, on
 * the commit lane of the control worker or in a tool.
 */
#include "store_local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A file of a large body that no commit took for so long belongs to nobody. */
static const int64_t orphan_age_ms = 24 * 3600 * 1000;
static const int64_t settle_ms = 60 * 1000;

/* How much one transaction may still do. */
struct budget {
	size_t left;
	uint64_t deadline_ns;
};

static bool is_spent(const struct budget *budget)
{
	return budget->left == 0 || pn_clock_monotonic_ns() >= budget->deadline_ns;
}

static void spend(struct budget *budget, size_t rows)
{
	budget->left = budget->left > rows ? budget->left - rows : 0;
}

/* ------------------------------------------------------------- expunged messages */

/* A value that is not there any more, or holds nothing, is deleted. */
static enum pn_status put_block(struct index_access *access, const struct index_key *key,
                                const void *bytes, size_t size, bool is_empty)
{
	return is_empty ? index_delete(access, TABLE_TREE, key)
	                : index_put(access, TABLE_TREE, key, bytes, size);
}

/* Rows of one block, and their bodies; `bits` as in row_block.used. */
static enum pn_status drop_rows(struct index_access *access, const struct mailbox *mailbox,
                                uint32_t number, uint32_t bits)
{
	uint8_t room[ROW_BLOCK_ROOM];
	struct row_block block = {.number = number};
	struct index_key key;
	MDB_val value;
	enum pn_status status;

	key_uid(&key, mailbox->account, TREE_ROW, mailbox->id, number);
	status = index_get(access, TABLE_TREE, &key, &value);
	if (status != PN_OK)
		return status == PN_NOT_FOUND ? PN_OK : status;
	if (!row_block_unpack(pn_slice_make(value.mv_data, value.mv_size), &block))
		return pn_fail(access->error, "the index %s has damaged rows (block %u)",
		               access->index->path, number);
	for (unsigned slot = 0; slot < ROW_BLOCK_UIDS && status == PN_OK; slot++)
		if (bits & block.used & 1u << slot)
			status = body_release(access, block.rows[slot].body);
	block.used &= ~bits;
	if (status != PN_OK)
		return status;
	return put_block(access, &key, room, row_block_pack(&block, room), block.used == 0);
}

static enum pn_status drop_in_block(struct index_access *access, const struct mailbox *mailbox,
                                    uint32_t first, uint32_t last, struct budget *budget)
{
	uint32_t number = first / FLAG_BLOCK_UIDS;
	unsigned from = first % FLAG_BLOCK_UIDS;
	uint64_t bits = ~(uint64_t)0 >> (FLAG_BLOCK_UIDS - 1 - (last - first)) << from;
	uint8_t room[FLAG_BLOCK_ROOM];
	struct flag_block block = {.number = number};
	struct index_key key;
	MDB_val value;
	enum pn_status status;

	key_uid(&key, mailbox->account, TREE_FLAGS, mailbox->id, number);
	status = index_get(access, TABLE_TREE, &key, &value);
	if (status != PN_OK)
		return status == PN_NOT_FOUND ? PN_OK : status;
	if (!flag_block_unpack(pn_slice_make(value.mv_data, value.mv_size), &block))
		return pn_fail(access->error, "the index %s has damaged flags (block %u)",
		               access->index->path, number);
	bits &= block.expunged;
	for (unsigned part = 0; part < FLAG_BLOCK_UIDS / ROW_BLOCK_UIDS && status == PN_OK;
	     part++) {
		uint32_t some =
			(uint32_t)(bits >> (part * ROW_BLOCK_UIDS)) & ((1u << ROW_BLOCK_UIDS) - 1);

		if (some != 0)
			status =
				drop_rows(access, mailbox,
			                  number * (FLAG_BLOCK_UIDS / ROW_BLOCK_UIDS) + part, some);
	}
	spend(budget, (size_t)__builtin_popcountll(bits));
	if (status != PN_OK || bits == 0)
		return status;
	block.expunged &= ~bits;
	return put_block(access, &key, room, flag_block_pack(&block, room),
	                 (block.present | block.expunged) == 0);
}

/* What is left of an entry whose time ended in the middle of it. */
static enum pn_status keep_rest(struct index_access *access, const struct index_key *due,
                                const struct pn_uid_range *ranges, size_t count)
{
	struct index_key key = *due;
	enum pn_status status = index_delete(access, TABLE_EXPIRATIONS, due);

	key.size = 8 + 1 + 8 + 8;
	key_u32(&key, ranges[0].first);
	if (status == PN_OK)
		status =
			index_put(access, TABLE_EXPIRATIONS, &key, ranges, count * sizeof(*ranges));
	return status == PN_OK ? PN_PENDING : status;
}

static enum pn_status expire_rows(struct index_access *access, const struct index_key *due,
                                  struct pn_slice value, struct budget *budget)
{
	const uint8_t *rest = due->bytes + 9;
	struct mailbox mailbox = {.account = key_read_u64(rest), .id = key_read_u64(rest + 8)};
	size_t count = value.size / sizeof(struct pn_uid_range);
	struct pn_uid_range *ranges = PN_ARENA_ARRAY(access->arena, count, struct pn_uid_range);
	enum pn_status status = PN_OK;

	if (count != 0)
		memcpy(ranges, value.data, count * sizeof(*ranges));
	for (size_t i = 0; i < count && status == PN_OK;) {
		uint32_t end = ranges[i].first | (FLAG_BLOCK_UIDS - 1);
		uint32_t last = ranges[i].last < end ? ranges[i].last : end;

		if (is_spent(budget))
			return keep_rest(access, due, ranges + i, count - i);
		status = drop_in_block(access, &mailbox, ranges[i].first, last, budget);
		if (last == ranges[i].last)
			i++;
		else
			ranges[i].first = last + 1;
	}
	return status;
}

static enum pn_status expire_log(struct index_access *access, const uint8_t *rest)
{
	uint64_t account = key_read_u64(rest);
	uint64_t modseq = key_read_u64(rest + 16);
	struct mailbox *mailbox = PN_ARENA_NEW(access->arena, struct mailbox);
	struct index_key key;
	enum pn_status status;

	key_mailbox(&key, account, TREE_EXPUNGED, key_read_u64(rest + 8));
	key_bytes(&key, rest + 16, 12);
	status = index_delete(access, TABLE_TREE, &key);
	if (status != PN_OK)
		return status == PN_NOT_FOUND ? PN_OK : status;
	status = mailbox_load(access, account, key_read_u64(rest + 8), mailbox);
	if (status != PN_OK)
		return status == PN_NOT_FOUND ? PN_OK : status;
	if (mailbox->row.log_floor < modseq)
		mailbox->row.log_floor = modseq;
	return mailbox_save(access, mailbox);
}

/* References that a copy took and never used. */
static enum pn_status expire_bodies(struct index_access *access, struct pn_slice value,
                                    struct budget *budget)
{
	enum pn_status status = PN_OK;

	for (size_t at = 0; at + sizeof(struct pn_body_id) <= value.size && status == PN_OK;
	     at += sizeof(struct pn_body_id)) {
		struct pn_body_id id;

		memcpy(&id, value.data + at, sizeof(id));
		status = body_release(access, id);
		spend(budget, 1);
	}
	return status;
}

/* ------------------------------------------------- deleted mailboxes and accounts */

static enum pn_status release_rows(struct index_access *access, struct pn_slice value,
                                   struct budget *budget)
{
	struct row_block block;
	enum pn_status status = PN_OK;

	if (!row_block_unpack(value, &block))
		return PN_OK; /* verify tells of it; here it goes */
	for (unsigned slot = 0; slot < ROW_BLOCK_UIDS && status != PN_FAILED; slot++)
		if (block.used >> slot & 1)
			status = body_release(access, block.rows[slot].body);
	spend(budget, (size_t)__builtin_popcount(block.used));
	return status == PN_NOT_FOUND ? PN_OK : status;
}

/* Deletes what begins with the prefix, as far as the budget goes. */
static enum pn_status clear_prefix(struct index_access *access, const struct index_key *prefix,
                                   enum tree_kind kind, struct budget *budget)
{
	while (!is_spent(budget)) {
		struct index_walk walk;
		struct index_key key = {.size = 0};
		enum pn_status status = walk_begin(&walk, access, TABLE_TREE, prefix, NULL);

		if (status == PN_OK) {
			key_bytes(&key, walk.key.mv_data, walk.key.mv_size);
			if (kind == TREE_ROW)
				status = release_rows(
					access,
					pn_slice_make(walk.value.mv_data, walk.value.mv_size),
					budget);
		}
		walk_end(&walk);
		if (status == PN_OK)
			status = index_delete(access, TABLE_TREE, &key);
		if (status != PN_OK)
			return status;
		spend(budget, 1);
	}
	return PN_PENDING;
}

/* PN_OK when it is all gone, PN_PENDING when the budget ended before. */
static enum pn_status clear_mailbox(struct index_access *access, const uint8_t *rest,
                                    struct budget *budget)
{
	static const enum tree_kind kinds[] = {TREE_ROW, TREE_FLAGS, TREE_EXPUNGED, TREE_RANGE,
	                                       TREE_KEYWORD};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct index_key prefix;
		enum pn_status status;

		key_mailbox(&prefix, key_read_u64(rest), kinds[i], key_read_u64(rest + 8));
		status = clear_prefix(access, &prefix, kinds[i], budget);
		if (status != PN_NOT_FOUND)
			return status;
	}
	return PN_OK;
}

static enum pn_status clear_account(struct index_access *access, const uint8_t *rest,
                                    struct budget *budget)
{
	static const enum tree_kind kinds[] = {
		TREE_ROW,  TREE_FLAGS,        TREE_EXPUNGED, TREE_RANGE,   TREE_KEYWORD,
		TREE_NAME, TREE_SUBSCRIPTION, TREE_ONCE,     TREE_MAILBOX, TREE_ACCOUNT};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct index_key prefix;
		enum pn_status status;

		key_tree(&prefix, key_read_u64(rest), kinds[i]);
		status = clear_prefix(access, &prefix, kinds[i], budget);
		if (status != PN_NOT_FOUND)
			return status;
	}
	return PN_OK;
}

/* -------------------------------------------------------------------- expirations */

static enum pn_status expire(struct index_access *access, const struct index_key *due,
                             struct pn_slice value, struct budget *budget)
{
	const uint8_t *rest = due->bytes + 9;
	struct index_key key;
	enum pn_status status;

	switch ((enum expiration_kind)due->bytes[8]) {
	case EXPIRE_ROWS:
		return expire_rows(access, due, value, budget);
	case EXPIRE_LOG:
		return expire_log(access, rest);
	case EXPIRE_ONCE:
		key_tree(&key, key_read_u64(rest), TREE_ONCE);
		key_bytes(&key, rest + 8, 16);
		status = index_delete(access, TABLE_TREE, &key);
		return status == PN_NOT_FOUND ? PN_OK : status;
	case EXPIRE_MAILBOX:
		return clear_mailbox(access, rest, budget);
	case EXPIRE_ACCOUNT:
		return clear_account(access, rest, budget);
	case EXPIRE_BODIES:
		return expire_bodies(access, value, budget);
	}
	return pn_fail(access->error, "the index has an expiration of unknown kind %d",
	               due->bytes[8]);
}

static enum pn_status expire_some(struct index_access *access, bool *more_out)
{
	struct budget budget = {.left = LOCAL_HOUSE_ROWS,
	                        .deadline_ns = pn_clock_monotonic_ns() + LOCAL_SLICE_NS};
	struct index_key everything = {.size = 0};

	*more_out = false;
	while (!is_spent(&budget)) {
		struct index_walk walk;
		struct index_key due = {.size = 0};
		struct pn_slice value = {0};
		enum pn_status status =
			walk_begin(&walk, access, TABLE_EXPIRATIONS, &everything, NULL);

		if (status == PN_OK) {
			key_bytes(&due, walk.key.mv_data, walk.key.mv_size);
			value = pn_arena_keep(access->arena, pn_slice_make(walk.value.mv_data,
			                                                   walk.value.mv_size));
		}
		walk_end(&walk);
		if (status != PN_OK)
			return status == PN_NOT_FOUND ? PN_OK : status;
		if (key_read_u64(due.bytes) > (uint64_t)access->now_ms)
			return PN_OK;
		status = expire(access, &due, value, &budget);
		if (status == PN_PENDING)
			break;
		if (status == PN_OK)
			status = index_delete(access, TABLE_EXPIRATIONS, &due);
		if (status != PN_OK)
			return status;
		spend(&budget, 1);
	}
	*more_out = true;
	return PN_OK;
}

/* One transaction's worth. */
enum pn_status expirations_run(struct local_store *store, bool *more_out, struct pn_error *error)
{
	struct pn_arena *arena = pn_arena_new();
	struct index_access access = {.store = store,
	                              .index = &store->index,
	                              .error = error,
	                              .arena = arena,
	                              .now_ms = pn_clock_wall_ms()};
	enum pn_status status = index_begin(&access, true);

	if (status == PN_OK)
		status = expire_some(&access, more_out);
	if (status == PN_OK)
		status = index_commit(&access);
	index_abort(&access);
	pn_arena_free(&arena);
	return status;
}

/* ------------------------------------------------------------------- segments */

/*
 * A worker holds a lock on what it writes to; when it dies, the lock is gone. A file that is only
 * just there may not be locked yet.
 */
static bool is_in_use(struct local_store *store, uint64_t id, bool is_known)
{
	char *path = segment_path(store, id);
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	int64_t age_ms = segment_is_large(id) && !is_known ? orphan_age_ms : settle_ms;
	struct stat file;
	bool result = true;

	free(path);
	if (descriptor < 0)
		return errno != ENOENT;
	if (flock(descriptor, LOCK_EX | LOCK_NB) == 0 && fstat(descriptor, &file) == 0)
		result = (int64_t)file.st_mtime * 1000 > pn_clock_wall_ms() - age_ms;
	close(descriptor);
	return result;
}

static enum pn_status remove_segment(struct local_store *store, uint64_t id,
                                     const struct pn_store_report *report, struct pn_error *error)
{
	struct index_access access = {.store = store, .index = &store->index, .error = error};
	struct segment_row row = {0};
	struct index_key key;
	bool is_known;
	char *path;
	enum pn_status status;

	key_start(&key);
	key_u64(&key, id);
	/* In a write transaction, so that no commit refers to it meanwhile. */
	status = index_begin(&access, true);
	if (status != PN_OK)
		return status;
	status = index_get_fixed(&access, TABLE_SEGMENTS, &key, &row, sizeof(row));
	is_known = status == PN_OK;
	if (status == PN_FAILED || row.live_count != 0 || is_in_use(store, id, is_known)) {
		index_abort(&access);
		return status == PN_FAILED ? status : PN_OK;
	}
	/* The file first: a row without a file does no harm, a file without a row comes back. */
	path = segment_path(store, id);
	if (unlink(path) != 0 && errno != ENOENT)
		status = pn_fail_errno(error, errno, "cannot remove %s", path);
	else
		status = is_known ? index_delete(&access, TABLE_SEGMENTS, &key) : PN_OK;
	if (status == PN_OK)
		local_say(report, false, "removed %s: nothing in it lives", path);
	free(path);
	if (status == PN_OK && is_known)
		return index_commit(&access);
	index_abort(&access);
	return status;
}

static bool looks_empty(struct local_store *store, uint64_t id)
{
	struct index_access access = {.store = store, .index = &store->index};
	struct segment_row row = {0};
	struct index_key key;
	bool is_empty;

	key_start(&key);
	key_u64(&key, id);
	if (index_begin(&access, false) != PN_OK)
		return false;
	is_empty = index_get_fixed(&access, TABLE_SEGMENTS, &key, &row, sizeof(row)) != PN_FAILED &&
	           row.live_count == 0;
	index_abort(&access);
	return is_empty;
}

enum pn_status local_compact(void *instance, const struct pn_store_report *report,
                             struct pn_error *error)
{
	struct local_store *store = instance;
	uint64_t *ids = NULL;
	size_t count = 0;
	const struct timespec pause = {.tv_nsec = 2000000}; /* the lock is not fair */
	bool more = true;
	enum pn_status status = PN_OK;

	if (store->index.environment == NULL)
		return pn_fail(error, "%s", store->index_trouble);
	while (more && status == PN_OK) {
		status = expirations_run(store, &more, error);
		if (more && status == PN_OK)
			nanosleep(&pause, NULL);
	}
	if (status == PN_OK)
		status = segment_list(store, &ids, &count, error);
	for (size_t i = 0; i < count && status == PN_OK; i++)
		if (looks_empty(store, ids[i]))
			status = remove_segment(store, ids[i], report, error);
	free(ids);
	return status;
}

/* When the newest one was made, by whatever process: a gateway that is started anew more often than
 * checkpoints are due makes them all the same. 0: there is none. */
static int64_t newest_checkpoint_ms(const struct local_store *store)
{
	char **paths = checkpoint_list(store);
	const char *name = paths[0] == NULL ? NULL : strrchr(paths[0], '/');
	int64_t made_ms = name == NULL ? 0 : strtoll(name + 1, NULL, 16);

	for (size_t i = 0; paths[i] != NULL; i++)
		free(paths[i]);
	free(paths);
	return made_ms;
}

void local_keep_house(struct local_store *store)
{
	struct pn_error error = {0};
	int64_t now_ms = pn_clock_wall_ms();
	int dead = 0;

	mdb_reader_check(store->index.environment, &dead);
	if (dead != 0)
		pn_log(PN_LOG_NOTICE, "store.readers", "cleared %d readers of dead workers", dead);
	if (local_compact(store, NULL, &error) != PN_OK)
		pn_log(PN_LOG_ERROR, "store.compact", "%s", error.text);
	if (store->last_checkpoint_ms == 0)
		store->last_checkpoint_ms = newest_checkpoint_ms(store);
	/* One from the future (the clock was set back) is no reason to wait for it. */
	if (now_ms >= store->last_checkpoint_ms &&
	    now_ms - store->last_checkpoint_ms < (int64_t)store->config.checkpoint_interval)
		return;
	store->last_checkpoint_ms = now_ms;
	if (local_checkpoint(store, &error) != PN_OK)
		pn_log(PN_LOG_ERROR, "store.checkpoint", "%s", error.text);
}
