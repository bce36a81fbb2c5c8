/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying and moving messages, by reference. One transaction makes all the copies
 * visible; a large copy takes its references to bodies before, in steps, and
 * writes down that they are to be given back should it never come to an end.
 */
#include "store_local.h"

#include <stdlib.h>
#include <string.h>

/* A copy that was not finished in that time is not going to be. */
static const int64_t hold_ms = 3600 * 1000;

static enum pn_status load_target(struct work *work)
{
	enum pn_status status = work_find_mailbox(work);

	if (status != PN_OK)
		return status;
	if (work->mutation->target_mailbox == work->mailbox.id)
		work->target = work->mailbox;
	else
		status = mailbox_load(work->access, work->account.id,
		                      work->mutation->target_mailbox, &work->target);
	return status;
}

/* A walk over the messages that are there, one by one. */
struct message_walk {
	struct block_walk blocks;
	struct row_reader rows;
	struct flag_block block;
	bool has_block;
	uint64_t left; /* bits of the block */
	uint32_t uid;
	const struct message_row *row;
	enum pn_status status;
};

/* A block is read as soon as the walk is at it: what is written meanwhile moves it. */
static void messages_next(struct message_walk *walk)
{
	while (walk->left == 0) {
		if (walk->has_block)
			blocks_next(&walk->blocks);
		if (walk->blocks.status != PN_OK)
			break;
		walk->has_block = true;
		walk->status = blocks_read(&walk->blocks, &walk->block);
		if (walk->status != PN_OK)
			return;
		walk->left = walk->block.present & walk->blocks.wanted;
	}
	if (walk->left == 0) {
		walk->status = walk->blocks.status;
		return;
	}
	walk->uid = walk->block.number * FLAG_BLOCK_UIDS + (uint32_t)__builtin_ctzll(walk->left);
	walk->left &= walk->left - 1;
	walk->status = rows_find(&walk->rows, walk->uid, &walk->row);
}

static void messages_begin(struct message_walk *walk, struct index_access *access,
                           const struct mailbox *mailbox, struct pn_uid_set set)
{
	walk->left = 0;
	walk->has_block = false;
	rows_begin(&walk->rows, access, mailbox);
	blocks_begin(&walk->blocks, access, mailbox, set);
	messages_next(walk);
}

static void messages_end(struct message_walk *walk)
{
	rows_end(&walk->rows);
	blocks_end(&walk->blocks);
}

static enum pn_status sum_sizes(struct work *work, struct pn_uid_set set, uint64_t *size_out)
{
	struct message_walk walk;

	*size_out = 0;
	messages_begin(&walk, work->access, &work->mailbox, set);
	for (; walk.status == PN_OK; messages_next(&walk))
		*size_out += walk.row->size;
	messages_end(&walk);
	return walk.status == PN_NOT_FOUND ? PN_OK : walk.status;
}

/* Renaming INBOX moves its messages; whether it can be is seen when they are moved. */
static enum pn_status check_rename(struct work *work)
{
	struct pn_slice name = mailbox_canonical_name(work->access, work->mutation->name);
	enum pn_status status = work_find_mailbox(work);

	if (status != PN_OK)
		return status;
	status = mailbox_load_name(work->access, work->account.id, name, &work->target);
	if (status == PN_OK)
		return pn_fail_with(PN_CONFLICT, work->access->error,
		                    "a mailbox of that name exists");
	return status == PN_NOT_FOUND ? PN_OK : status;
}

static enum pn_status check_copy(struct work *work, bool is_move)
{
	uint64_t size;
	enum pn_status status;

	if (work->mutation->kind == PN_MUTATION_MAILBOX_RENAME)
		return check_rename(work);
	status = load_target(work);

	if (status != PN_OK || is_move)
		return status;
	/* All of it would fit: nobody needs to add up sizes. */
	if (work_check_quota(work, work->mailbox.row.size_bytes) == PN_OK)
		return PN_OK;
	status = sum_sizes(work,
	                   uid_set_up_to(work->access->arena, work->mutation->uids,
	                                 work->mailbox.row.uid_next - 1),
	                   &size);
	return status == PN_OK ? work_check_quota(work, size) : status;
}

/* ---------------------------------------------------------------------- keywords */

/* The bits of keywords in the target; each is looked up once. */
struct translation {
	struct index_access *access;
	struct mailbox *target;
	const struct pn_slice *words;
	uint64_t known;
	uint64_t bits[PN_KEYWORDS_PER_MAILBOX];
};

static enum pn_status translate(struct translation *translation, uint64_t keywords,
                                uint64_t *bits_out)
{
	*bits_out = 0;
	for (; keywords != 0; keywords &= keywords - 1) {
		unsigned bit = (unsigned)__builtin_ctzll(keywords);
		struct pn_flags flags = {.keywords = &translation->words[bit], .keyword_count = 1};
		enum pn_status status = PN_OK;

		if (!(translation->known >> bit & 1))
			status = keywords_bits(translation->access, translation->target, &flags,
			                       true, &translation->bits[bit]);
		if (status != PN_OK)
			return status;
		translation->known |= (uint64_t)1 << bit;
		*bits_out |= translation->bits[bit];
	}
	return PN_OK;
}

/* ------------------------------------------------------------------------ bodies */

/* References that were taken beforehand, against those that are needed. */
struct holding {
	struct index_access *access;
	const struct slice *slice; /* or NULL */
	size_t next;
};

static enum pn_status keep_for(struct holding *holding, uint32_t uid, struct pn_body_id body)
{
	const struct slice *slice = holding->slice;

	/* Of what was expunged meanwhile there is one too many. */
	while (slice != NULL && holding->next < slice->held_count &&
	       slice->held[holding->next].uid < uid) {
		enum pn_status status =
			body_release(holding->access, slice->held[holding->next++].id);

		if (status != PN_OK)
			return status;
	}
	if (slice != NULL && holding->next < slice->held_count &&
	    slice->held[holding->next].uid == uid) {
		holding->next++;
		return PN_OK;
	}
	return body_keep(holding->access, body);
}

enum pn_status copy_uids(struct index_access *access, struct account *account, struct mailbox *from,
                         struct mailbox *target, struct pn_uid_set uids, const struct slice *slice,
                         uint32_t *first_uid, struct uid_list *copied)
{
	/* What is copied into the same mailbox is not copied again. */
	struct pn_uid_set set = uid_set_up_to(access->arena, uids, from->row.uid_next - 1);
	struct translation translation = {.access = access, .target = target};
	struct holding holding = {.access = access, .slice = slice};
	struct message_walk walk;
	struct adding adding;
	uint32_t uid;
	enum pn_status status = keywords_load(access, from, &translation.words);

	if (status != PN_OK)
		return status;
	*first_uid = target->row.uid_next;
	adding_begin(&adding, access, account, target);
	messages_begin(&walk, access, from, set);
	for (; walk.status == PN_OK && status == PN_OK; messages_next(&walk)) {
		unsigned slot = walk.uid % FLAG_BLOCK_UIDS;
		uint64_t bits;

		status = translate(&translation, walk.block.columns[COLUMN_KEYWORDS][slot], &bits);
		if (status == PN_OK)
			status = keep_for(&holding, walk.uid, walk.row->body);
		if (status == PN_OK)
			status = adding_add(&adding, walk.row,
			                    (uint32_t)walk.block.columns[COLUMN_SYSTEM][slot], bits,
			                    &uid);
		if (status == PN_OK)
			uid_list_add(copied, walk.uid, walk.uid);
	}
	messages_end(&walk);
	if (status == PN_OK && walk.status == PN_FAILED)
		status = PN_FAILED;
	if (status == PN_OK)
		status = adding_end(&adding);
	while (slice != NULL && holding.next < slice->held_count && status == PN_OK)
		status = body_release(access, slice->held[holding.next++].id);
	return status;
}

/* ----------------------------------------------------------------------- holding */

static void note_held(struct slice *slice, uint32_t uid, struct pn_body_id id)
{
	if (slice->held_count == slice->held_capacity) {
		slice->held_capacity = slice->held_capacity == 0 ? 4096 : slice->held_capacity * 2;
		slice->held = reallocarray(slice->held, slice->held_capacity, sizeof(*slice->held));
		if (slice->held == NULL)
			abort();
	}
	slice->held[slice->held_count++] = (struct held_body){uid, id};
}

static void note_entry(struct slice *slice, const struct index_key *key)
{
	if (slice->entry_count == slice->entry_capacity) {
		slice->entry_capacity = slice->entry_capacity == 0 ? 64 : slice->entry_capacity * 2;
		slice->entries = reallocarray(slice->entries, slice->entry_capacity,
		                              sizeof(*slice->entries));
		if (slice->entries == NULL)
			abort();
	}
	memcpy(slice->entries[slice->entry_count++].key, key->bytes, HELD_KEY_SIZE);
}

static enum pn_status write_down(struct work *work, size_t first)
{
	struct slice *slice = work->slice;
	struct pn_body_id ids[LOCAL_ENTRY_BODIES];
	enum pn_status status = PN_OK;

	while (first < slice->held_count && status == PN_OK) {
		struct index_key key;
		uint8_t random[16];
		size_t count = 0;

		while (count < LOCAL_ENTRY_BODIES && first < slice->held_count)
			ids[count++] = slice->held[first++].id;
		pn_random(random, sizeof(random));
		key_start(&key);
		key_u64(&key, (uint64_t)(work->access->now_ms + hold_ms));
		key_byte(&key, EXPIRE_BODIES);
		key_u64(&key, work->account.id);
		key_bytes(&key, random, sizeof(random));
		status = index_put(work->access, TABLE_EXPIRATIONS, &key, ids,
		                   count * sizeof(ids[0]));
		note_entry(slice, &key);
	}
	return status;
}

/* What was written down is not to be given back any more. */
enum pn_status copy_take_over(struct work *work)
{
	const struct slice *slice = work->slice;
	enum pn_status status = PN_OK;

	for (size_t i = 0; slice != NULL && i < slice->entry_count && status == PN_OK; i++) {
		struct index_key key = {.size = 0};

		key_bytes(&key, slice->entries[i].key, HELD_KEY_SIZE);
		status = index_delete(work->access, TABLE_EXPIRATIONS, &key);
		if (status == PN_NOT_FOUND)
			status = pn_fail(work->access->error, "the copy took too long");
	}
	return status;
}

enum pn_status copy_hold(struct work *work)
{
	struct slice *slice = work->slice;
	struct message_walk walk;
	size_t first = slice->held_count;
	enum pn_status status = check_copy(work, work->mutation->kind == PN_MUTATION_MOVE);

	if (status != PN_OK)
		return status;
	messages_begin(&walk, work->access, &work->mailbox,
	               uid_set_up_to(work->access->arena, work->mutation->uids,
	                             work->mailbox.row.uid_next - 1));
	for (; walk.status == PN_OK && status == PN_OK; messages_next(&walk)) {
		if (slice->held_count != first && walk.uid % ROW_BLOCK_UIDS == 0 &&
		    slice_is_over(slice)) {
			slice->next_uid = walk.uid;
			break;
		}
		status = body_keep(work->access, walk.row->body);
		note_held(slice, walk.uid, walk.row->body);
	}
	messages_end(&walk);
	if (status == PN_OK && walk.status == PN_FAILED)
		status = PN_FAILED;
	return status == PN_OK ? write_down(work, first) : status;
}

enum pn_status copy_give_back(struct index_access *access, const struct slice *slice)
{
	enum pn_status status = PN_OK;

	for (size_t i = 0; i < slice->entry_count && status == PN_OK; i++) {
		struct index_key key = {.size = 0};
		struct index_key now;
		struct pn_body_id ids[LOCAL_ENTRY_BODIES];
		MDB_val value;

		key_bytes(&key, slice->entries[i].key, HELD_KEY_SIZE);
		status = index_get(access, TABLE_EXPIRATIONS, &key, &value);
		if (status != PN_OK || value.mv_size > sizeof(ids))
			return status == PN_NOT_FOUND ? PN_OK : PN_FAILED;
		memcpy(ids, value.mv_data, value.mv_size);
		key_start(&now);
		key_u64(&now, (uint64_t)access->now_ms);
		key_bytes(&now, key.bytes + 8, HELD_KEY_SIZE - 8);
		status = index_put(access, TABLE_EXPIRATIONS, &now, ids, value.mv_size);
		if (status == PN_OK)
			status = index_delete(access, TABLE_EXPIRATIONS, &key);
	}
	return status;
}

/* ------------------------------------------------------------------- all together */

enum pn_status copy_messages(struct work *work, bool is_move)
{
	struct uid_list copied = {0};
	struct uid_list gone = {0};
	struct mailbox *target;
	uint32_t first_uid = 0;
	enum pn_status status = check_copy(work, is_move);

	if (status != PN_OK)
		return status;
	target = work->target.id == work->mailbox.id ? &work->mailbox : &work->target;
	work->account.row.modseq++;
	status = copy_take_over(work);
	if (status == PN_OK)
		status = copy_uids(work->access, &work->account, &work->mailbox, target,
		                   work->mutation->uids, work->slice, &first_uid, &copied);
	if (copied.count == 0)
		work->account.row.modseq--;
	work->result->uids = uid_list_set(work->commit->arena, &copied);
	work->result->uid_count = (uint32_t)pn_uid_set_count(work->result->uids);
	work->result->first_uid = work->result->uid_count == 0 ? 0 : first_uid;
	if (status == PN_OK && is_move && work->result->uid_count != 0)
		status = expunge_uids(work->access, &work->account, &work->mailbox,
		                      work->result->uids, false, NULL, &gone);
	free(gone.ranges);
	if (status == PN_OK)
		status = work_save(work);
	if (status == PN_OK && target == &work->target)
		status = mailbox_save(work->access, target);
	work->result->mailbox = target->id;
	work->result->uid_validity = target->row.uid_validity;
	return status;
}
