/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages in the index: walks over flag blocks and rows, adding at the end, and
 * the ranges of UIDs that are there (so that opening a mailbox of a million does
 * not read a million rows). Callers save mailbox and account, and give each
 * mutation one modseq.
 */
#include "store_local.h"

#include <stdlib.h>
#include <string.h>

static struct pn_slice value_slice(const MDB_val *value)
{
	return pn_slice_make(value->mv_data, value->mv_size);
}

static enum pn_status bad_block(struct index_access *access, const char *what, uint32_t number)
{
	return pn_fail(access->error, "the index %s has damaged %s (block %u)", access->index->path,
	               what, number);
}

struct pn_uid_set uid_set_up_to(struct pn_arena *arena, struct pn_uid_set set, uint32_t last)
{
	struct pn_uid_range *ranges;

	if (set.count == 0 || set.ranges[set.count - 1].last <= last)
		return set;
	while (set.count != 0 && set.ranges[set.count - 1].first > last)
		set.count--;
	if (set.count == 0)
		return set;
	ranges = PN_ARENA_ARRAY(arena, set.count, struct pn_uid_range);
	memcpy(ranges, set.ranges, set.count * sizeof(*ranges));
	if (ranges[set.count - 1].last > last)
		ranges[set.count - 1].last = last;
	return (struct pn_uid_set){ranges, set.count};
}

/* ----------------------------------------------------------------- flag blocks */

/* The bits of the block's UIDs that are in the set; passes over ranges that end in it. */
static uint64_t wanted_bits(struct block_walk *blocks)
{
	uint64_t first = (uint64_t)blocks->number * FLAG_BLOCK_UIDS;
	uint64_t last = first + FLAG_BLOCK_UIDS - 1;
	uint64_t bits = 0;

	while (blocks->range < blocks->set.count) {
		struct pn_uid_range range = blocks->set.ranges[blocks->range];
		unsigned from;
		unsigned to;

		if (range.first > last)
			break;
		if (range.last >= first) {
			from = range.first > first ? (unsigned)(range.first - first) : 0;
			to = range.last < last ? (unsigned)(range.last - first)
			                       : FLAG_BLOCK_UIDS - 1;
			bits |= ~(uint64_t)0 >> (FLAG_BLOCK_UIDS - 1 - (to - from)) << from;
		}
		if (range.last > last)
			break;
		blocks->range++;
	}
	return bits;
}

/* From where the cursor is to a block that has UIDs of the set. */
static void settle(struct block_walk *blocks)
{
	while (blocks->status == PN_OK) {
		const struct index_key *prefix = &blocks->walk.prefix;
		struct index_key key = *prefix;
		uint32_t next;

		blocks->number =
			key_read_u32((const char *)blocks->walk.key.mv_data + prefix->size);
		blocks->wanted = wanted_bits(blocks);
		if (blocks->wanted != 0) {
			if (!flag_block_peek(value_slice(&blocks->walk.value), &blocks->head))
				blocks->status = bad_block(blocks->access, "flags", blocks->number);
			return;
		}
		if (blocks->range == blocks->set.count) {
			blocks->status = PN_NOT_FOUND;
			return;
		}
		next = blocks->set.ranges[blocks->range].first / FLAG_BLOCK_UIDS;
		if (next <= blocks->number + 1) {
			blocks->status = walk_next(&blocks->walk);
			continue;
		}
		key_u32(&key, next);
		blocks->status = walk_seek(&blocks->walk, blocks->access, &key);
	}
}

void blocks_begin(struct block_walk *blocks, struct index_access *access,
                  const struct mailbox *mailbox, struct pn_uid_set set)
{
	struct index_key prefix;
	struct index_key from;

	blocks->access = access;
	blocks->set = set;
	blocks->range = 0;
	blocks->walk.cursor = NULL;
	if (set.count == 0) {
		blocks->status = PN_NOT_FOUND;
		return;
	}
	key_mailbox(&prefix, mailbox->account, TREE_FLAGS, mailbox->id);
	from = prefix;
	key_u32(&from, set.ranges[0].first / FLAG_BLOCK_UIDS);
	blocks->status = walk_begin(&blocks->walk, access, TABLE_TREE, &prefix, &from);
	settle(blocks);
}

void blocks_next(struct block_walk *blocks)
{
	blocks->status = walk_next(&blocks->walk);
	settle(blocks);
}

void blocks_end(struct block_walk *blocks)
{
	walk_end(&blocks->walk);
}

enum pn_status blocks_read(struct block_walk *blocks, struct flag_block *block)
{
	block->number = blocks->number;
	return flag_block_unpack(value_slice(&blocks->walk.value), block)
	               ? PN_OK
	               : bad_block(blocks->access, "flags", blocks->number);
}

/* One that holds nothing stays until the mailbox is cleared away, but for housekeeping. */
enum pn_status blocks_put(struct block_walk *blocks, const struct flag_block *block)
{
	uint8_t room[FLAG_BLOCK_ROOM];
	size_t size = flag_block_pack(block, room);

	return walk_put(&blocks->walk, blocks->access, room, size);
}

/* ------------------------------------------------------------------------ rows */

void rows_begin(struct row_reader *reader, struct index_access *access,
                const struct mailbox *mailbox)
{
	reader->access = access;
	reader->mailbox = mailbox;
	reader->is_walking = false;
	reader->walk.cursor = NULL;
	reader->block.number = UINT32_MAX;
	reader->block.used = 0;
}

void rows_end(struct row_reader *reader)
{
	walk_end(&reader->walk);
}

static enum pn_status load_rows(struct row_reader *reader, uint32_t number)
{
	struct index_key prefix;
	struct index_key from;
	enum pn_status status;

	key_mailbox(&prefix, reader->mailbox->account, TREE_ROW, reader->mailbox->id);
	from = prefix;
	key_u32(&from, number);
	if (!reader->is_walking)
		status = walk_begin(&reader->walk, reader->access, TABLE_TREE, &prefix, &from);
	else if (reader->walk.status == PN_OK && number == reader->block.number + 1)
		status = walk_next(&reader->walk);
	else
		status = walk_seek(&reader->walk, reader->access, &from);
	reader->is_walking = true;
	reader->block.number = number;
	reader->block.used = 0;
	if (status != PN_OK)
		return status == PN_NOT_FOUND ? PN_OK : status;
	if (key_read_u32((const char *)reader->walk.key.mv_data + prefix.size) != number) {
		reader->walk.status = PN_NOT_FOUND; /* the next one is sought */
		return PN_OK;
	}
	return row_block_unpack(value_slice(&reader->walk.value), &reader->block)
	               ? PN_OK
	               : bad_block(reader->access, "rows", number);
}

/* PN_FAILED where there is no row: who asks knows that the message is there. */
enum pn_status rows_find(struct row_reader *reader, uint32_t uid, const struct message_row **row)
{
	uint32_t number = uid / ROW_BLOCK_UIDS;
	unsigned slot = uid % ROW_BLOCK_UIDS;
	enum pn_status status = PN_OK;

	if (reader->block.number != number)
		status = load_rows(reader, number);
	if (status != PN_OK)
		return status;
	if (!(reader->block.used >> slot & 1))
		return pn_fail(
			reader->access->error, "the index %s has no row for UID %u of mailbox %llu",
			reader->access->index->path, uid, (unsigned long long)reader->mailbox->id);
	*row = &reader->block.rows[slot];
	return PN_OK;
}

/* ---------------------------------------------------------------------- adding */

void adding_begin(struct adding *adding, struct index_access *access, struct account *account,
                  struct mailbox *mailbox)
{
	adding->access = access;
	adding->account = account;
	adding->mailbox = mailbox;
	adding->first = mailbox->row.uid_next;
	adding->has_flags = false;
	adding->has_rows = false;
}

static enum pn_status flush_flags(struct adding *adding)
{
	uint8_t room[FLAG_BLOCK_ROOM];
	struct index_key key;
	size_t size;

	if (!adding->has_flags)
		return PN_OK;
	adding->has_flags = false;
	size = flag_block_pack(&adding->flags, room);
	key_uid(&key, adding->account->id, TREE_FLAGS, adding->mailbox->id, adding->flags.number);
	return index_put(adding->access, TABLE_TREE, &key, room, size);
}

static enum pn_status flush_rows(struct adding *adding)
{
	uint8_t room[ROW_BLOCK_ROOM];
	struct index_key key;
	size_t size;

	if (!adding->has_rows)
		return PN_OK;
	adding->has_rows = false;
	size = row_block_pack(&adding->rows, room);
	key_uid(&key, adding->account->id, TREE_ROW, adding->mailbox->id, adding->rows.number);
	return index_put(adding->access, TABLE_TREE, &key, room, size);
}

static enum pn_status open_flags(struct adding *adding, uint32_t uid)
{
	uint32_t number = uid / FLAG_BLOCK_UIDS;
	struct index_key key;
	MDB_val value;
	enum pn_status status;

	if (adding->has_flags && adding->flags.number == number)
		return PN_OK;
	status = flush_flags(adding);
	if (status != PN_OK)
		return status;
	adding->has_flags = true;
	adding->flags.number = number;
	adding->flags.present = 0;
	adding->flags.expunged = 0;
	key_uid(&key, adding->account->id, TREE_FLAGS, adding->mailbox->id, number);
	status = index_get(adding->access, TABLE_TREE, &key, &value);
	if (status == PN_OK && !flag_block_unpack(value_slice(&value), &adding->flags))
		return bad_block(adding->access, "flags", number);
	return status == PN_NOT_FOUND ? PN_OK : status;
}

static enum pn_status open_rows(struct adding *adding, uint32_t uid)
{
	uint32_t number = uid / ROW_BLOCK_UIDS;
	struct index_key key;
	MDB_val value;
	enum pn_status status;

	if (adding->has_rows && adding->rows.number == number)
		return PN_OK;
	status = flush_rows(adding);
	if (status != PN_OK)
		return status;
	adding->has_rows = true;
	adding->rows.number = number;
	adding->rows.used = 0;
	key_uid(&key, adding->account->id, TREE_ROW, adding->mailbox->id, number);
	status = index_get(adding->access, TABLE_TREE, &key, &value);
	if (status == PN_OK && !row_block_unpack(value_slice(&value), &adding->rows))
		return bad_block(adding->access, "rows", number);
	return status == PN_NOT_FOUND ? PN_OK : status;
}

/* Gives the message the next UID. Its saved_date is now. */
enum pn_status adding_add(struct adding *adding, const struct message_row *row, uint32_t system,
                          uint64_t keywords, uint32_t *uid_out)
{
	struct mailbox_row *mailbox = &adding->mailbox->row;
	uint32_t uid = mailbox->uid_next;
	unsigned slot = uid % FLAG_BLOCK_UIDS;
	struct message_row *copy;
	enum pn_status status;

	if (uid == UINT32_MAX)
		return pn_fail_with(PN_LIMIT, adding->access->error,
		                    "the mailbox has used up its UIDs");
	status = open_flags(adding, uid);
	if (status == PN_OK)
		status = open_rows(adding, uid);
	if (status != PN_OK)
		return status;
	adding->flags.present |= (uint64_t)1 << slot;
	adding->flags.columns[COLUMN_MODSEQ][slot] = adding->account->row.modseq;
	adding->flags.columns[COLUMN_KEYWORDS][slot] = keywords;
	adding->flags.columns[COLUMN_SYSTEM][slot] = system;
	adding->rows.used |= 1u << uid % ROW_BLOCK_UIDS;
	copy = &adding->rows.rows[uid % ROW_BLOCK_UIDS];
	*copy = *row;
	copy->saved_date_ms = adding->access->now_ms;
	mailbox->uid_next++;
	if (mailbox->open_range == 0)
		mailbox->open_range = uid;
	mailbox->message_count++;
	mailbox->unseen_count += !(system & PN_FLAG_SEEN);
	mailbox->deleted_count += !!(system & PN_FLAG_DELETED);
	mailbox->size_bytes += row->size;
	adding->account->row.size_bytes += row->size;
	adding->account->row.message_count++;
	*uid_out = uid;
	return PN_OK;
}

enum pn_status adding_end(struct adding *adding)
{
	struct mailbox *mailbox = adding->mailbox;
	enum pn_status status = flush_flags(adding);

	if (status == PN_OK)
		status = flush_rows(adding);
	if (status != PN_OK || mailbox->row.uid_next == adding->first)
		return status;
	mailbox->row.highest_modseq = adding->account->row.modseq;
	mailbox_touch(mailbox, adding->account->row.modseq, adding->first,
	              mailbox->row.uid_next - 1);
	return PN_OK;
}

/* ---------------------------------------------------------------------- ranges */

static enum pn_status put_range(struct index_access *access, const struct mailbox *mailbox,
                                uint32_t first, uint32_t last)
{
	struct index_key key;

	key_uid(&key, mailbox->account, TREE_RANGE, mailbox->id, first);
	return index_put(access, TABLE_TREE, &key, &last, sizeof(last));
}

/* The UIDs below `uid` that were not given yet never will be: the range that grows is closed. */
enum pn_status ranges_skip_to(struct index_access *access, struct mailbox *mailbox, uint32_t uid)
{
	struct mailbox_row *row = &mailbox->row;
	enum pn_status status = PN_OK;

	if (uid <= row->uid_next)
		return PN_OK;
	if (row->open_range != 0) {
		status = put_range(access, mailbox, row->open_range, row->uid_next - 1);
		row->range_count++;
	}
	row->open_range = 0;
	row->uid_next = uid;
	return status;
}

/* Takes UIDs that are all there out of the ranges. */
enum pn_status ranges_cut(struct index_access *access, struct mailbox *mailbox, uint32_t first,
                          uint32_t last)
{
	struct index_key prefix;
	struct index_key key;
	struct index_walk walk;
	uint32_t open = mailbox->row.open_range;
	uint32_t from = 0;
	uint32_t to = 0;
	enum pn_status status;

	if (open != 0 && first >= open) {
		mailbox->row.open_range = last + 1 < mailbox->row.uid_next ? last + 1 : 0;
		mailbox->row.range_count += first > open;
		return first > open ? put_range(access, mailbox, open, first - 1) : PN_OK;
	}
	key_mailbox(&prefix, mailbox->account, TREE_RANGE, mailbox->id);
	key_uid(&key, mailbox->account, TREE_RANGE, mailbox->id, first);
	status = walk_last(&walk, access, TABLE_TREE, &prefix, &key);
	if (status == PN_OK) {
		from = key_read_u32((const char *)walk.key.mv_data + prefix.size);
		memcpy(&to, walk.value.mv_data, sizeof(to));
	}
	walk_end(&walk);
	if (status != PN_OK || from > first || to < last)
		return pn_fail(access->error,
		               "the index %s has no range for UIDs %u to %u of mailbox %llu",
		               access->index->path, first, last, (unsigned long long)mailbox->id);
	mailbox->row.range_count += (last < to) - (uint32_t)(from == first);
	if (from < first) {
		status = put_range(access, mailbox, from, first - 1);
	} else {
		key_uid(&key, mailbox->account, TREE_RANGE, mailbox->id, from);
		status = index_delete(access, TABLE_TREE, &key);
	}
	if (status == PN_OK && last < to)
		status = put_range(access, mailbox, last + 1, to);
	return status;
}

static enum pn_status read_ranges(struct index_access *access, const struct mailbox *mailbox,
                                  struct uid_list *list)
{
	struct index_key prefix;
	struct index_walk walk;

	key_mailbox(&prefix, mailbox->account, TREE_RANGE, mailbox->id);
	walk_begin(&walk, access, TABLE_TREE, &prefix, NULL);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		uint32_t last;

		memcpy(&last, walk.value.mv_data, sizeof(last));
		uid_list_add(list, key_read_u32((const char *)walk.key.mv_data + prefix.size),
		             last);
	}
	walk_end(&walk);
	if (mailbox->row.open_range != 0)
		uid_list_add(list, mailbox->row.open_range, mailbox->row.uid_next - 1);
	return walk.status == PN_NOT_FOUND ? PN_OK : walk.status;
}

static enum pn_status ranges_of_blocks(struct index_access *access, const struct mailbox *mailbox,
                                       struct uid_list *list)
{
	const struct pn_uid_range all = {1, UINT32_MAX};
	struct block_walk blocks;

	blocks_begin(&blocks, access, mailbox, (struct pn_uid_set){&all, 1});
	for (; blocks.status == PN_OK; blocks_next(&blocks))
		uid_list_add_bits(list, blocks.number, blocks.head.present);
	blocks_end(&blocks);
	return blocks.status == PN_NOT_FOUND ? PN_OK : blocks.status;
}

/* All ranges of UIDs that are there; out of the blocks where these are fewer. */
enum pn_status message_ranges(struct index_access *access, const struct mailbox *mailbox,
                              struct pn_uid_set *set_out)
{
	struct uid_list list = {0};
	enum pn_status status;

	if (mailbox->row.range_count > mailbox->row.uid_next / FLAG_BLOCK_UIDS)
		status = ranges_of_blocks(access, mailbox, &list);
	else
		status = read_ranges(access, mailbox, &list);
	*set_out = uid_list_set(access->arena, &list);
	return status;
}

/* Those that are written down, for comparing. */
enum pn_status message_written_ranges(struct index_access *access, const struct mailbox *mailbox,
                                      struct pn_uid_set *set_out)
{
	struct uid_list list = {0};
	enum pn_status status = read_ranges(access, mailbox, &list);

	*set_out = uid_list_set(access->arena, &list);
	return status;
}
