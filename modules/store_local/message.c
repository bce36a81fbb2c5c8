/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages in the index: rows, the change log, and the ranges of UIDs that are
 * there (so that opening a mailbox of a million does not read a million rows).
 * Callers save mailbox and account, and give each mutation one modseq.
 */
#include "store_local.h"

#include <stdlib.h>
#include <string.h>

void uid_list_add(struct uid_list *list, uint32_t uid)
{
	if (list->count == list->capacity) {
		list->capacity = list->capacity == 0 ? 64 : list->capacity * 2;
		list->uids = reallocarray(list->uids, list->capacity, sizeof(*list->uids));
		if (list->uids == NULL)
			abort();
	}
	list->uids[list->count++] = uid;
}

/* Makes a set of it, in the arena, and frees the list. */
struct pn_uid_set uid_list_set(struct index_access *access, struct uid_list *list)
{
	struct pn_uid_set set = pn_uid_set_of(access->arena, list->uids, list->count);

	free(list->uids);
	*list = (struct uid_list){0};
	return set;
}

enum pn_status message_load(struct index_access *access, const struct mailbox *mailbox,
                            uint32_t uid, struct message_row *row)
{
	struct index_key key;

	key_message(&key, mailbox->account, TREE_ROW, mailbox->id, uid);
	return index_get_fixed(access, TABLE_TREE, &key, row, sizeof(*row));
}

static enum pn_status save(struct index_access *access, const struct mailbox *mailbox, uint32_t uid,
                           const struct message_row *row)
{
	struct index_key key;
	uint8_t is_expunged = row->expunged_ms != 0;
	enum pn_status status;

	key_message(&key, mailbox->account, TREE_ROW, mailbox->id, uid);
	status = index_put(access, TABLE_TREE, &key, row, sizeof(*row));
	if (status != PN_OK)
		return status;
	key_change(&key, mailbox->account, mailbox->id, row->modseq, uid);
	return index_put(access, TABLE_TREE, &key, &is_expunged, 1);
}

/* Counts a message in (sign 1) or out (-1). */
static void count(struct account *account, struct mailbox *mailbox, const struct message_row *row,
                  int sign)
{
	uint32_t step = (uint32_t)sign;

	mailbox->row.message_count += step;
	if (!(row->system_flags & PN_FLAG_SEEN))
		mailbox->row.unseen_count += step;
	if (row->system_flags & PN_FLAG_DELETED)
		mailbox->row.deleted_count += step;
	mailbox->row.size_bytes += (uint64_t)(int64_t)sign * row->size;
	account->row.size_bytes += (uint64_t)(int64_t)sign * row->size;
	account->row.message_count += step;
}

static enum pn_status put_range(struct index_access *access, const struct mailbox *mailbox,
                                uint32_t first, uint32_t last)
{
	struct index_key key;

	key_message(&key, mailbox->account, TREE_RANGE, mailbox->id, first);
	return index_put(access, TABLE_TREE, &key, &last, sizeof(last));
}

/* Takes a UID out of the ranges. */
static enum pn_status cut_range(struct index_access *access, struct mailbox *mailbox, uint32_t uid)
{
	struct index_key prefix;
	struct index_key key;
	struct index_walk walk;
	uint32_t first;
	uint32_t last;
	enum pn_status status;

	key_tree(&prefix, mailbox->account, TREE_RANGE);
	key_u64(&prefix, mailbox->id);
	key_message(&key, mailbox->account, TREE_RANGE, mailbox->id, uid);
	status = walk_last(&walk, access, TABLE_TREE, &prefix, &key);
	if (status == PN_OK) {
		first = key_read_u32((const char *)walk.key.mv_data + prefix.size);
		memcpy(&last, walk.value.mv_data, sizeof(last));
	}
	walk_end(&walk);
	if (status != PN_OK || first > uid || last < uid)
		return pn_fail(access->error,
		               "the index %s has no range for UID %u of mailbox %llu",
		               access->index->path, uid, (unsigned long long)mailbox->id);
	if (mailbox->row.last_range == first)
		mailbox->row.last_range = uid == last ? 0 : uid + 1;
	if (first < uid) {
		status = put_range(access, mailbox, first, uid - 1);
	} else {
		key_message(&key, mailbox->account, TREE_RANGE, mailbox->id, first);
		status = index_delete(access, TABLE_TREE, &key);
	}
	if (status == PN_OK && uid < last)
		status = put_range(access, mailbox, uid + 1, last);
	return status;
}

/* Gives the row the next UID and the account's modseq, and enters it everywhere. */
enum pn_status message_add(struct index_access *access, struct account *account,
                           struct mailbox *mailbox, struct message_row *row, uint32_t *uid_out)
{
	enum pn_status status;

	if (mailbox->row.uid_next == UINT32_MAX)
		return pn_fail_with(PN_LIMIT, access->error, "the mailbox has used up its UIDs");
	*uid_out = mailbox->row.uid_next++;
	row->modseq = account->row.modseq;
	row->saved_date_ms = access->now_ms;
	row->expunged_ms = 0;
	mailbox->row.highest_modseq = row->modseq;
	if (mailbox->row.last_range == 0)
		mailbox->row.last_range = *uid_out;
	count(account, mailbox, row, 1);
	status = put_range(access, mailbox, mailbox->row.last_range, *uid_out);
	return status == PN_OK ? save(access, mailbox, *uid_out, row) : status;
}

static enum pn_status forget_change(struct index_access *access, const struct mailbox *mailbox,
                                    uint32_t uid, const struct message_row *row)
{
	struct index_key key;
	enum pn_status status;

	key_change(&key, mailbox->account, mailbox->id, row->modseq, uid);
	status = index_delete(access, TABLE_TREE, &key);
	return status == PN_NOT_FOUND ? PN_OK : status;
}

enum pn_status message_set_flags(struct index_access *access, struct account *account,
                                 struct mailbox *mailbox, uint32_t uid, struct message_row *row,
                                 uint32_t system_flags, uint64_t keywords)
{
	enum pn_status status = forget_change(access, mailbox, uid, row);

	if (status != PN_OK)
		return status;
	count(account, mailbox, row, -1);
	row->system_flags = system_flags;
	row->keywords = keywords;
	row->modseq = account->row.modseq;
	mailbox->row.highest_modseq = row->modseq;
	count(account, mailbox, row, 1);
	return save(access, mailbox, uid, row);
}

/* The row stays for a while, marked; so does its body. */
enum pn_status message_expunge(struct index_access *access, struct account *account,
                               struct mailbox *mailbox, uint32_t uid, struct message_row *row)
{
	struct index_key key;
	enum pn_status status = forget_change(access, mailbox, uid, row);

	if (status != PN_OK)
		return status;
	count(account, mailbox, row, -1);
	row->expunged_ms = access->now_ms > 0 ? access->now_ms : 1;
	row->modseq = account->row.modseq;
	mailbox->row.highest_modseq = row->modseq;
	status = cut_range(access, mailbox, uid);
	if (status == PN_OK)
		status = save(access, mailbox, uid, row);
	if (status != PN_OK)
		return status;
	key_start(&key);
	key_u64(&key, account->id);
	key_u64(&key, mailbox->id);
	key_u32(&key, uid);
	return expire_at(access, access->now_ms + (int64_t)access->store->config.expunge_retention,
	                 EXPIRE_ROW, &key);
}

/* All ranges of UIDs that are there. */
enum pn_status message_ranges(struct index_access *access, const struct mailbox *mailbox,
                              struct pn_uid_set *set_out)
{
	struct index_key prefix;
	struct index_walk walk;
	struct pn_uid_range *ranges = NULL;
	size_t count_ranges = 0;
	size_t capacity = 0;

	key_tree(&prefix, mailbox->account, TREE_RANGE);
	key_u64(&prefix, mailbox->id);
	walk_begin(&walk, access, TABLE_TREE, &prefix, NULL);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		struct pn_uid_range range;

		range.first = key_read_u32((const char *)walk.key.mv_data + prefix.size);
		memcpy(&range.last, walk.value.mv_data, sizeof(range.last));
		if (count_ranges == capacity) {
			capacity = capacity == 0 ? 16 : capacity * 2;
			ranges = reallocarray(ranges, capacity, sizeof(*ranges));
			if (ranges == NULL)
				abort();
		}
		/* A range that was cut and filled up again touches its neighbour. */
		if (count_ranges != 0 && ranges[count_ranges - 1].last + 1 == range.first)
			ranges[count_ranges - 1].last = range.last;
		else
			ranges[count_ranges++] = range;
	}
	walk_end(&walk);
	set_out->count = count_ranges;
	set_out->ranges = PN_ARENA_ARRAY(access->arena, count_ranges, struct pn_uid_range);
	if (count_ranges != 0)
		memcpy((void *)(uintptr_t)set_out->ranges, ranges, count_ranges * sizeof(*ranges));
	free(ranges);
	return walk.status == PN_NOT_FOUND ? PN_OK : walk.status;
}

/* The UIDs of the set that are there, ascending. The caller frees list->uids. */
enum pn_status message_uids(struct index_access *access, const struct mailbox *mailbox,
                            struct pn_uid_set set, struct uid_list *list)
{
	struct pn_uid_set there;
	size_t at = 0;
	enum pn_status status = message_ranges(access, mailbox, &there);

	for (size_t i = 0; i < set.count && status == PN_OK; i++) {
		while (at < there.count && there.ranges[at].last < set.ranges[i].first)
			at++;
		for (size_t j = at; j < there.count && there.ranges[j].first <= set.ranges[i].last;
		     j++) {
			uint32_t uid = there.ranges[j].first > set.ranges[i].first
			                       ? there.ranges[j].first
			                       : set.ranges[i].first;
			uint32_t last = there.ranges[j].last < set.ranges[i].last
			                        ? there.ranges[j].last
			                        : set.ranges[i].last;

			for (uint64_t next = uid; next <= last; next++)
				uid_list_add(list, (uint32_t)next);
		}
	}
	return status;
}
