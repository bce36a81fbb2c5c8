/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What falls due with time: expunged rows and their bodies, lines of the change
 * log, once_keys, what a deleted mailbox or account left; then segments in which
 * nothing lives, and checkpoints. In small transactions, on the commit lane of
 * the control worker or in a tool.
 */
#include "store_local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file of a large body that no commit took for so long belongs to nobody. */
static const int64_t orphan_age_ms = 24 * 3600 * 1000;
static const int64_t settle_ms = 60 * 1000;

/* How much one transaction may still do. */
struct budget {
	size_t left;
};

static enum pn_status expire_row(struct index_access *access, const uint8_t *rest)
{
	struct mailbox mailbox = {.account = key_read_u64(rest), .id = key_read_u64(rest + 8)};
	uint32_t uid = key_read_u32(rest + 16);
	struct message_row row;
	struct index_key key;
	enum pn_status status = message_load(access, &mailbox, uid, &row);

	if (status == PN_NOT_FOUND || (status == PN_OK && row.expunged_ms == 0))
		return PN_OK;
	if (status == PN_OK)
		status = body_release(access, row.body);
	key_message(&key, mailbox.account, TREE_ROW, mailbox.id, uid);
	if (status == PN_OK)
		status = index_delete(access, TABLE_TREE, &key);
	if (status != PN_OK)
		return status;
	key_start(&key);
	key_u64(&key, mailbox.account);
	key_u64(&key, mailbox.id);
	key_u64(&key, row.modseq);
	key_u32(&key, uid);
	return expire_at(access, access->now_ms + (int64_t)access->store->config.change_retention,
	                 EXPIRE_CHANGE, &key);
}

static enum pn_status expire_change(struct index_access *access, const uint8_t *rest)
{
	uint64_t account = key_read_u64(rest);
	uint64_t modseq = key_read_u64(rest + 16);
	struct mailbox *mailbox = PN_ARENA_NEW(access->arena, struct mailbox);
	struct index_key key;
	enum pn_status status;

	key_change(&key, account, key_read_u64(rest + 8), modseq, key_read_u32(rest + 24));
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

/* Deletes what begins with the prefix, as far as the budget goes. */
static enum pn_status clear_prefix(struct index_access *access, const struct index_key *prefix,
                                   enum tree_kind kind, struct budget *budget)
{
	while (budget->left != 0) {
		struct index_walk walk;
		struct index_key key = {.size = 0};
		struct message_row row;
		enum pn_status status = walk_begin(&walk, access, TABLE_TREE, prefix, NULL);

		if (status == PN_OK) {
			key_bytes(&key, walk.key.mv_data, walk.key.mv_size);
			if (kind == TREE_ROW && walk.value.mv_size >= sizeof(row))
				memcpy(&row, walk.value.mv_data, sizeof(row));
		}
		walk_end(&walk);
		if (status != PN_OK)
			return status;
		if (kind == TREE_ROW)
			status = body_release(access, row.body);
		if (status == PN_OK || status == PN_NOT_FOUND)
			status = index_delete(access, TABLE_TREE, &key);
		if (status != PN_OK)
			return status;
		budget->left--;
	}
	return PN_PENDING;
}

/* PN_OK when it is all gone, PN_PENDING when the budget ended before. */
static enum pn_status clear_mailbox(struct index_access *access, const uint8_t *rest,
                                    struct budget *budget)
{
	static const enum tree_kind kinds[] = {TREE_ROW, TREE_CHANGE, TREE_RANGE, TREE_KEYWORD};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct index_key prefix;
		enum pn_status status;

		key_tree(&prefix, key_read_u64(rest), kinds[i]);
		key_u64(&prefix, key_read_u64(rest + 8));
		status = clear_prefix(access, &prefix, kinds[i], budget);
		if (status != PN_NOT_FOUND)
			return status;
	}
	return PN_OK;
}

static enum pn_status clear_account(struct index_access *access, const uint8_t *rest,
                                    struct budget *budget)
{
	static const enum tree_kind kinds[] = {TREE_ROW,     TREE_CHANGE,  TREE_RANGE,
	                                       TREE_KEYWORD, TREE_NAME,    TREE_SUBSCRIPTION,
	                                       TREE_ONCE,    TREE_MAILBOX, TREE_ACCOUNT};

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

static enum pn_status expire(struct index_access *access, const struct index_key *due,
                             struct budget *budget)
{
	const uint8_t *rest = due->bytes + 9;
	struct index_key key;
	enum pn_status status;

	switch ((enum expiration_kind)due->bytes[8]) {
	case EXPIRE_ROW:
		return expire_row(access, rest);
	case EXPIRE_CHANGE:
		return expire_change(access, rest);
	case EXPIRE_ONCE:
		key_tree(&key, key_read_u64(rest), TREE_ONCE);
		key_bytes(&key, rest + 8, 16);
		status = index_delete(access, TABLE_TREE, &key);
		return status == PN_NOT_FOUND ? PN_OK : status;
	case EXPIRE_MAILBOX:
		return clear_mailbox(access, rest, budget);
	case EXPIRE_ACCOUNT:
		return clear_account(access, rest, budget);
	}
	return pn_fail(access->error, "the index has an expiration of unknown kind %d",
	               due->bytes[8]);
}

static enum pn_status expire_some(struct index_access *access, bool *more_out)
{
	struct budget budget = {.left = LOCAL_CHUNK_ROWS};
	struct index_key everything = {.size = 0};

	*more_out = false;
	while (budget.left != 0) {
		struct index_walk walk;
		struct index_key due = {.size = 0};
		enum pn_status status =
			walk_begin(&walk, access, TABLE_EXPIRATIONS, &everything, NULL);

		if (status == PN_OK)
			key_bytes(&due, walk.key.mv_data, walk.key.mv_size);
		walk_end(&walk);
		if (status != PN_OK)
			return status == PN_NOT_FOUND ? PN_OK : status;
		if (key_read_u64(due.bytes) > (uint64_t)access->now_ms)
			return PN_OK;
		status = expire(access, &due, &budget);
		if (status == PN_PENDING)
			break;
		if (status == PN_OK)
			status = index_delete(access, TABLE_EXPIRATIONS, &due);
		if (status != PN_OK)
			return status;
		if (budget.left != 0)
			budget.left--;
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
	bool more = true;
	enum pn_status status = PN_OK;

	if (store->index.environment == NULL)
		return pn_fail(error, "%s", store->index_trouble);
	while (more && status == PN_OK)
		status = expirations_run(store, &more, error);
	if (status == PN_OK)
		status = segment_list(store, &ids, &count, error);
	for (size_t i = 0; i < count && status == PN_OK; i++)
		if (looks_empty(store, ids[i]))
			status = remove_segment(store, ids[i], report, error);
	free(ids);
	return status;
}

/* One round. More expirations than one transaction holds wait for the next round. */
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
