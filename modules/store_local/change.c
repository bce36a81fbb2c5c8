/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changes messages that are there: flags, expunging, and which of them are
 * recent. Block by block; where a slice is given, as far as its time goes.
 */
#include "store_local.h"

#include <stdlib.h>
#include <string.h>

bool slice_is_over(const struct slice *slice)
{
	if (slice == NULL)
		return false;
	/* A test may have every step end at once. */
	return pn_fault("store.commit.slice", &(int){0}) == PN_FAULT_SHORT ||
	       pn_clock_monotonic_ns() >= slice->deadline_ns;
}

/* ----------------------------------------------------------------------- flags */

/* What a change of flags does to one block. */
struct flagging {
	const struct pn_mutation *mutation;
	uint64_t keywords;
	uint64_t modseq;
	uint64_t touched; /* bits */
	uint64_t modified;
	uint32_t unseen; /* how much more there are; wraps around */
	uint32_t deleted;
};

static void new_flags(const struct flagging *flagging, uint64_t *system, uint64_t *keywords)
{
	const struct pn_mutation *mutation = flagging->mutation;

	if (mutation->how == PN_FLAGS_ADD) {
		*system |= mutation->flags.system;
		*keywords |= flagging->keywords;
	} else if (mutation->how == PN_FLAGS_REMOVE) {
		*system &= ~(uint64_t)mutation->flags.system;
		*keywords &= ~flagging->keywords;
	} else {
		*system = mutation->flags.system;
		*keywords = flagging->keywords;
	}
}

/* Expunged messages too: who was not told that they are gone goes on using them. */
static void flag_block(struct flagging *flagging, struct flag_block *block, uint64_t wanted)
{
	uint64_t since = flagging->mutation->unchanged_since;
	uint64_t known = since != 0 ? 0 : flagging->mutation->known_modseq;

	flagging->touched = flagging->modified = 0;
	for (uint64_t bits = wanted & (block->present | block->expunged); bits != 0;
	     bits &= bits - 1) {
		unsigned slot = (unsigned)__builtin_ctzll(bits);
		uint64_t bit = (uint64_t)1 << slot;
		uint64_t system = block->columns[COLUMN_SYSTEM][slot];
		uint64_t keywords = block->columns[COLUMN_KEYWORDS][slot];
		uint64_t old = system;

		if (since != 0 && block->columns[COLUMN_MODSEQ][slot] > since) {
			flagging->modified |= bit;
			continue;
		}
		new_flags(flagging, &system, &keywords);
		if (system == old && keywords == block->columns[COLUMN_KEYWORDS][slot])
			continue;
		if (known != 0 && block->columns[COLUMN_MODSEQ][slot] > known)
			flagging->modified |= bit;
		flagging->touched |= bit;
		block->columns[COLUMN_SYSTEM][slot] = system;
		block->columns[COLUMN_KEYWORDS][slot] = keywords;
		block->columns[COLUMN_MODSEQ][slot] = flagging->modseq;
		if (!(block->present & bit))
			continue;
		flagging->unseen += (uint32_t) !(system & PN_FLAG_SEEN) - !(old & PN_FLAG_SEEN);
		flagging->deleted +=
			(uint32_t) !!(system & PN_FLAG_DELETED) - !!(old & PN_FLAG_DELETED);
	}
}

static enum pn_status flag_blocks(struct work *work, struct flagging *flagging,
                                  struct uid_list *touched, struct uid_list *modified)
{
	struct pn_uid_set set = uid_set_up_to(work->access->arena, work->mutation->uids,
	                                      work->mailbox.row.uid_next - 1);
	struct block_walk blocks;
	struct flag_block block;
	bool is_first = true; /* each step comes at least one block further */
	enum pn_status status = PN_OK;

	blocks_begin(&blocks, work->access, &work->mailbox, set);
	for (; blocks.status == PN_OK && status == PN_OK; blocks_next(&blocks), is_first = false) {
		if (!is_first && slice_is_over(work->slice)) {
			work->slice->next_uid = blocks.number * FLAG_BLOCK_UIDS;
			break;
		}
		status = blocks_read(&blocks, &block);
		if (status != PN_OK)
			break;
		flag_block(flagging, &block, blocks.wanted);
		uid_list_add_bits(touched, block.number, flagging->touched);
		uid_list_add_bits(modified, block.number, flagging->modified);
		if (flagging->touched != 0)
			status = blocks_put(&blocks, &block);
	}
	blocks_end(&blocks);
	return blocks.status == PN_FAILED ? PN_FAILED : status;
}

enum pn_status change_flags(struct work *work)
{
	struct mailbox_row *row = &work->mailbox.row;
	struct flagging flagging = {.mutation = work->mutation,
	                            .modseq = work->account.row.modseq + 1};
	struct uid_list touched = {0};
	struct uid_list modified = {0};
	enum pn_status status = work_find_mailbox(work);

	if (status == PN_OK)
		status = keywords_bits(work->access, &work->mailbox, &work->mutation->flags,
		                       work->mutation->how != PN_FLAGS_REMOVE, &flagging.keywords);
	if (status == PN_OK)
		status = flag_blocks(work, &flagging, &touched, &modified);
	if (touched.count != 0) {
		work->account.row.modseq = flagging.modseq;
		row->highest_modseq = flagging.modseq;
		row->unseen_count += flagging.unseen;
		row->deleted_count += flagging.deleted;
		mailbox_touch(&work->mailbox, flagging.modseq, touched.ranges[0].first,
		              touched.ranges[touched.count - 1].last);
	}
	work->result->uids = uid_list_set(work->commit->arena, &touched);
	work->result->modified = uid_list_set(work->commit->arena, &modified);
	return status == PN_OK ? work_save(work) : status;
}

/* --------------------------------------------------------------------- expunge */

/* Sizes of the messages of a block that go, for the counts. */
static enum pn_status sum_sizes(struct row_reader *rows, uint32_t number, uint64_t bits,
                                uint64_t *size)
{
	const struct message_row *row;

	for (; bits != 0; bits &= bits - 1) {
		uint32_t uid = number * FLAG_BLOCK_UIDS + (uint32_t)__builtin_ctzll(bits);
		enum pn_status status = rows_find(rows, uid, &row);

		if (status != PN_OK)
			return status;
		*size += row->size;
	}
	return PN_OK;
}

static uint64_t with_flag(const struct flag_block *block, uint64_t wanted, uint32_t flag)
{
	uint64_t result = 0;

	for (uint64_t bits = wanted; bits != 0; bits &= bits - 1)
		if (block->columns[COLUMN_SYSTEM][__builtin_ctzll(bits)] & flag)
			result |= bits & -bits;
	return result;
}

static enum pn_status expunge_block(struct account *account, struct mailbox *mailbox,
                                    struct row_reader *rows, struct block_walk *blocks,
                                    bool only_deleted, struct uid_list *gone)
{
	uint64_t modseq = account->row.modseq;
	struct flag_block block;
	uint64_t size = 0;
	uint64_t bits;
	uint32_t count;
	enum pn_status status = blocks_read(blocks, &block);

	if (status != PN_OK)
		return status;
	bits = blocks->wanted & block.present;
	if (only_deleted)
		bits = with_flag(&block, bits, PN_FLAG_DELETED);
	if (bits == 0)
		return PN_OK;
	status = sum_sizes(rows, block.number, bits, &size);
	if (status != PN_OK)
		return status;
	count = (uint32_t)__builtin_popcountll(bits);
	mailbox->row.message_count -= count;
	mailbox->row.unseen_count -=
		count - (uint32_t)__builtin_popcountll(with_flag(&block, bits, PN_FLAG_SEEN));
	mailbox->row.deleted_count -=
		(uint32_t)__builtin_popcountll(with_flag(&block, bits, PN_FLAG_DELETED));
	mailbox->row.size_bytes -= size;
	account->row.size_bytes -= size;
	account->row.message_count -= count;
	block.present &= ~bits;
	block.expunged |= bits;
	uid_list_add_bits(gone, block.number, bits);
	for (; bits != 0; bits &= bits - 1)
		block.columns[COLUMN_MODSEQ][__builtin_ctzll(bits)] = modseq;
	return blocks_put(blocks, &block);
}

/* One entry of the log, and when it and the rows fall due. */
static enum pn_status log_ranges(struct index_access *access, const struct mailbox *mailbox,
                                 uint64_t modseq, const struct pn_uid_range *ranges, size_t count)
{
	const struct local_config *config = &access->store->config;
	int64_t rows_ms = access->now_ms + (int64_t)config->expunge_retention;
	int64_t log_ms = rows_ms + (int64_t)config->change_retention;
	struct index_key key;
	enum pn_status status;

	key_mailbox(&key, mailbox->account, TREE_EXPUNGED, mailbox->id);
	key_u64(&key, modseq);
	key_u32(&key, ranges[0].first);
	status = index_put(access, TABLE_TREE, &key, ranges, count * sizeof(*ranges));
	if (status != PN_OK)
		return status;
	key_start(&key);
	key_u64(&key, mailbox->account);
	key_u64(&key, mailbox->id);
	key_u32(&key, ranges[0].first);
	status = expire_at(access, rows_ms, EXPIRE_ROWS, &key, ranges, count * sizeof(*ranges));
	if (status != PN_OK)
		return status;
	key_start(&key);
	key_u64(&key, mailbox->account);
	key_u64(&key, mailbox->id);
	key_u64(&key, modseq);
	key_u32(&key, ranges[0].first);
	return expire_at(access, log_ms, EXPIRE_LOG, &key, NULL, 0);
}

static enum pn_status log_expunged(struct index_access *access, const struct mailbox *mailbox,
                                   uint64_t modseq, const struct uid_list *gone)
{
	enum pn_status status = PN_OK;

	for (size_t at = 0; at < gone->count && status == PN_OK; at += LOCAL_ENTRY_RANGES)
		status = log_ranges(access, mailbox, modseq, gone->ranges + at,
		                    gone->count - at < LOCAL_ENTRY_RANGES ? gone->count - at
		                                                          : LOCAL_ENTRY_RANGES);
	return status;
}

/* Rows stay for a while, marked; so do bodies. `gone` must be empty; the caller gives the modseq.
 */
enum pn_status expunge_uids(struct index_access *access, struct account *account,
                            struct mailbox *mailbox, struct pn_uid_set uids, bool only_deleted,
                            struct slice *slice, struct uid_list *gone)
{
	struct pn_uid_set set = uid_set_up_to(access->arena, uids, mailbox->row.uid_next - 1);
	struct block_walk blocks;
	struct row_reader rows;
	size_t cut = 0; /* ranges of `gone` that were taken out */
	bool is_first = true;
	enum pn_status status = PN_OK;

	blocks_begin(&blocks, access, mailbox, set);
	rows_begin(&rows, access, mailbox);
	for (; blocks.status == PN_OK && status == PN_OK; blocks_next(&blocks), is_first = false) {
		if ((blocks.wanted & blocks.head.present) == 0)
			continue;
		if (!is_first && slice_is_over(slice)) {
			slice->next_uid = blocks.number * FLAG_BLOCK_UIDS;
			break;
		}
		status = expunge_block(account, mailbox, &rows, &blocks, only_deleted, gone);
		/* The last range may go on in the next block. */
		for (; cut + 1 < gone->count && status == PN_OK; cut++)
			status = ranges_cut(access, mailbox, gone->ranges[cut].first,
			                    gone->ranges[cut].last);
	}
	rows_end(&rows);
	blocks_end(&blocks);
	if (blocks.status == PN_FAILED)
		status = PN_FAILED;
	if (status != PN_OK || gone->count == 0)
		return status;
	status = ranges_cut(access, mailbox, gone->ranges[cut].first, gone->ranges[cut].last);
	mailbox->row.highest_modseq = account->row.modseq;
	return status == PN_OK ? log_expunged(access, mailbox, account->row.modseq, gone) : status;
}

enum pn_status change_expunge(struct work *work)
{
	struct uid_list gone = {0};
	enum pn_status status = work_find_mailbox(work);

	if (status != PN_OK)
		return status;
	work->account.row.modseq++;
	status = expunge_uids(work->access, &work->account, &work->mailbox, work->mutation->uids,
	                      work->mutation->on, work->slice, &gone);
	if (gone.count == 0)
		work->account.row.modseq--;
	work->result->uids = uid_list_set(work->commit->arena, &gone);
	return status == PN_OK ? work_save(work) : status;
}

/* ---------------------------------------------------------------------- recent */

/* Messages up to the last of the set were shown to somebody. No change that a modseq counts. */
enum pn_status change_recent(struct work *work)
{
	struct pn_uid_set uids = work->mutation->uids;
	struct mailbox_row *row = &work->mailbox.row;
	enum pn_status status = work_find_mailbox(work);
	uint32_t last;

	if (status != PN_OK)
		return status;
	work->result->mailbox = work->mailbox.id;
	work->result->uid_validity = row->uid_validity;
	work->result->modseq = work->account.row.modseq;
	last = uids.count == 0 ? 0 : uids.ranges[uids.count - 1].last;
	if (last >= row->uid_next)
		last = row->uid_next - 1;
	if (last < row->recent_uid)
		return PN_OK;
	row->recent_uid = last + 1;
	return mailbox_save(work->access, &work->mailbox);
}

/* ------------------------------------------------------------------------ UIDs */

/* A UIDVALIDITY from elsewhere: those that are given from now on are above it. */
static enum pn_status take_over_validity(struct work *work, uint32_t value)
{
	uint64_t last;
	enum pn_status status;

	if (work->mailbox.row.uid_next != 1)
		return pn_fail_with(PN_CONFLICT, work->access->error,
		                    "the mailbox has had messages under UIDVALIDITY %u already",
		                    work->mailbox.row.uid_validity);
	if (value > LOCAL_UID_VALIDITY_MAX)
		return pn_fail_with(PN_CONFLICT, work->access->error,
		                    "UIDVALIDITY %u leaves no room for others", value);
	status = index_counter(work->access, "uid_validity", 0, &last);
	if (status == PN_OK && value > last)
		status = index_counter(work->access, "uid_validity", value - last, &last);
	work->mailbox.row.uid_validity = value;
	return status;
}

enum pn_status change_uids(struct work *work)
{
	const struct pn_mutation *mutation = work->mutation;
	enum pn_status status = work_find_mailbox(work);

	if (status == PN_OK && mutation->uid_validity != 0 &&
	    mutation->uid_validity != work->mailbox.row.uid_validity)
		status = take_over_validity(work, mutation->uid_validity);
	if (status == PN_OK)
		status = ranges_skip_to(work->access, &work->mailbox, mutation->uid);
	if (status != PN_OK)
		return status;
	work->account.row.modseq++;
	return work_save(work);
}
