/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifying: everything is read, nothing is changed. Index against itself
 * (counts, sums, ranges, names, references), index against segments (every body
 * has its record, whole), and segments against index.
 */
#include "store_local.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <postern/text.h>

struct verifying {
	struct index_access access;
	const struct pn_store_report *report;
	size_t damage;
	struct pn_body_id *references; /* one for each row that refers to a body */
	size_t reference_count;
	size_t reference_capacity;
	uint64_t segment; /* the one that is open */
	int descriptor;
	uint64_t salt;
	size_t counted;  /* bodies with more than one reference */
	uint64_t unused; /* records that nothing refers to */
};

void local_say(const struct pn_store_report *report, bool is_damage, const char *format, ...)
{
	char text[PN_ERROR_TEXT_SIZE];
	va_list arguments;

	if (report == NULL || report->say == NULL)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	report->say(report->user, is_damage, text);
}

static void damaged(struct verifying *verifying, const char *text, uint64_t account,
                    uint64_t mailbox, uint64_t uid)
{
	verifying->damage++;
	local_say(verifying->report, true, "index: %s (account %llu, mailbox %llu, %llu)", text,
	          (unsigned long long)account, (unsigned long long)mailbox,
	          (unsigned long long)uid);
}

static void add_reference(struct verifying *verifying, struct pn_body_id id)
{
	if (verifying->reference_count == verifying->reference_capacity) {
		verifying->reference_capacity = verifying->reference_capacity == 0
		                                        ? 1024
		                                        : verifying->reference_capacity * 2;
		verifying->references =
			reallocarray(verifying->references, verifying->reference_capacity,
		                     sizeof(*verifying->references));
		if (verifying->references == NULL)
			abort();
	}
	verifying->references[verifying->reference_count++] = id;
}

/* ---------------------------------------------------------------------- the tree */

/* Whether a row of that mailbox is one of a mailbox that is still being cleared away. */
static bool mailbox_is_gone(struct verifying *verifying, uint64_t account, uint64_t mailbox)
{
	struct index_key key;
	MDB_val value;

	key_tree(&key, account, TREE_MAILBOX);
	key_u64(&key, mailbox);
	return index_get(&verifying->access, TABLE_TREE, &key, &value) != PN_OK;
}

/* The bits of a flag block that have a message, there or kept; 0 where there is no such block. */
static uint64_t used_bits(struct verifying *verifying, uint64_t account, uint64_t mailbox,
                          uint32_t number)
{
	struct flag_head head;
	struct index_key key;
	MDB_val value;

	key_uid(&key, account, TREE_FLAGS, mailbox, number);
	if (index_get(&verifying->access, TABLE_TREE, &key, &value) != PN_OK ||
	    !flag_block_peek(pn_slice_make(value.mv_data, value.mv_size), &head))
		return 0;
	return head.present | head.expunged;
}

/* Rows without flags. (Flags without rows are seen when sizes are added up.) */
static void check_rows(struct verifying *verifying, const uint8_t *key, MDB_val value)
{
	uint64_t account = key_read_u64(key);
	uint64_t mailbox = key_read_u64(key + 9);
	uint32_t number = key_read_u32(key + 17);
	unsigned part = number % (FLAG_BLOCK_UIDS / ROW_BLOCK_UIDS);
	struct row_block block;
	uint64_t used;

	if (!row_block_unpack(pn_slice_make(value.mv_data, value.mv_size), &block)) {
		damaged(verifying, "a block of rows is damaged", account, mailbox, number);
		return;
	}
	for (unsigned slot = 0; slot < ROW_BLOCK_UIDS; slot++)
		if (block.used >> slot & 1)
			add_reference(verifying, block.rows[slot].body);
	if (mailbox_is_gone(verifying, account, mailbox))
		return;
	used = used_bits(verifying, account, mailbox, number / (FLAG_BLOCK_UIDS / ROW_BLOCK_UIDS));
	if ((used >> (part * ROW_BLOCK_UIDS) & ((1u << ROW_BLOCK_UIDS) - 1)) != block.used)
		damaged(verifying, "rows and flags name different messages", account, mailbox,
		        number);
}

/* Whether changes() finds it. */
static bool is_noted(const struct mailbox_row *row, uint32_t uid, uint64_t modseq)
{
	if (modseq <= row->touched_floor)
		return true;
	for (size_t i = 0; i < TOUCHED_MAX; i++)
		if (row->touched[i].modseq >= modseq && row->touched[i].first <= uid &&
		    uid <= row->touched[i].last)
			return true;
	return false;
}

/* What the blocks of a mailbox say, added up. */
struct sum {
	struct mailbox_row row;
	struct uid_list uids;
	struct row_reader rows;
};

static void sum_block(struct verifying *verifying, const struct mailbox *mailbox,
                      const struct flag_block *block, struct sum *sum)
{
	struct pn_error error = {0};

	verifying->access.error = &error;
	for (uint64_t bits = block->present | block->expunged; bits != 0; bits &= bits - 1) {
		unsigned slot = (unsigned)__builtin_ctzll(bits);
		uint32_t uid = block->number * FLAG_BLOCK_UIDS + slot;
		uint64_t system = block->columns[COLUMN_SYSTEM][slot];
		uint64_t modseq = block->columns[COLUMN_MODSEQ][slot];
		const struct message_row *row;

		if (uid == 0 || uid >= mailbox->row.uid_next)
			damaged(verifying, "a UID is too large", mailbox->account, mailbox->id,
			        uid);
		if (rows_find(&sum->rows, uid, &row) != PN_OK) {
			damaged(verifying, "a message has no row", mailbox->account, mailbox->id,
			        uid);
			continue;
		}
		if (!(block->present >> slot & 1))
			continue;
		sum->row.message_count++;
		sum->row.unseen_count += !(system & PN_FLAG_SEEN);
		sum->row.deleted_count += !!(system & PN_FLAG_DELETED);
		sum->row.size_bytes += row->size;
		if (modseq > mailbox->row.highest_modseq)
			damaged(verifying, "a modseq is above that of the mailbox",
			        mailbox->account, mailbox->id, uid);
		if (!is_noted(&mailbox->row, uid, modseq))
			damaged(verifying, "a change is not noted", mailbox->account, mailbox->id,
			        uid);
	}
	uid_list_add_bits(&sum->uids, block->number, block->present);
}

static void sum_mailbox(struct verifying *verifying, const struct mailbox *mailbox, struct sum *sum)
{
	struct pn_error *error = verifying->access.error;
	struct index_key prefix;
	struct index_walk walk;

	key_mailbox(&prefix, mailbox->account, TREE_FLAGS, mailbox->id);
	rows_begin(&sum->rows, &verifying->access, mailbox);
	walk_begin(&walk, &verifying->access, TABLE_TREE, &prefix, NULL);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		struct pn_slice bytes = pn_slice_make(walk.value.mv_data, walk.value.mv_size);
		struct flag_block block = {
			.number = key_read_u32((const char *)walk.key.mv_data + prefix.size)};
		struct flag_head head;
		uint8_t room[FLAG_BLOCK_ROOM];

		/* Packed again it is the same: so its max_modseq is right. */
		if (!flag_block_unpack(bytes, &block) || !flag_block_peek(bytes, &head) ||
		    flag_block_pack(&block, room) != bytes.size ||
		    memcmp(room, bytes.data, bytes.size) != 0)
			damaged(verifying, "a block of flags is damaged", mailbox->account,
			        mailbox->id, block.number);
		else
			sum_block(verifying, mailbox, &block, sum);
	}
	walk_end(&walk);
	rows_end(&sum->rows);
	verifying->access.error = error;
}

static void check_ranges(struct verifying *verifying, const struct mailbox *mailbox,
                         const struct uid_list *uids)
{
	struct pn_uid_set ranges = {NULL, 0};

	if (message_written_ranges(&verifying->access, mailbox, &ranges) != PN_OK ||
	    ranges.count != uids->count ||
	    mailbox->row.range_count != ranges.count - (mailbox->row.open_range != 0) ||
	    (ranges.count != 0 &&
	     memcmp(ranges.ranges, uids->ranges, ranges.count * sizeof(*ranges.ranges)) != 0))
		damaged(verifying, "the ranges of a mailbox are wrong", mailbox->account,
		        mailbox->id, uids->count);
}

/* What the log calls expunged must not be there. */
static void check_log(struct verifying *verifying, const struct mailbox *mailbox,
                      struct pn_uid_set there)
{
	struct index_key prefix;
	struct index_walk walk;

	key_mailbox(&prefix, mailbox->account, TREE_EXPUNGED, mailbox->id);
	walk_begin(&walk, &verifying->access, TABLE_TREE, &prefix, NULL);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		uint32_t last = 0;

		for (size_t at = 0; at < walk.value.mv_size; at += sizeof(struct pn_uid_range)) {
			struct pn_uid_range range = {0, 0};

			if (walk.value.mv_size - at >= sizeof(range))
				memcpy(&range, (const char *)walk.value.mv_data + at,
				       sizeof(range));
			if (range.first <= last || range.last < range.first ||
			    pn_uid_set_has(there, range.first) || pn_uid_set_has(there, range.last))
				damaged(verifying, "the log of expunges is wrong", mailbox->account,
				        mailbox->id, range.first);
			last = range.last;
		}
	}
	walk_end(&walk);
}

static void check_mailbox(struct verifying *verifying, uint64_t account, uint64_t id)
{
	struct mailbox *mailbox = PN_ARENA_NEW(verifying->access.arena, struct mailbox);
	struct mailbox *named = PN_ARENA_NEW(verifying->access.arena, struct mailbox);
	struct sum *sum = PN_ARENA_NEW(verifying->access.arena, struct sum);

	if (mailbox_load(&verifying->access, account, id, mailbox) != PN_OK) {
		damaged(verifying, "a mailbox is damaged", account, id, 0);
		return;
	}
	sum_mailbox(verifying, mailbox, sum);
	if (sum->row.message_count != mailbox->row.message_count ||
	    sum->row.unseen_count != mailbox->row.unseen_count ||
	    sum->row.deleted_count != mailbox->row.deleted_count ||
	    sum->row.size_bytes != mailbox->row.size_bytes)
		damaged(verifying, "the counts of a mailbox are wrong", account, id,
		        sum->row.message_count);
	if (mailbox->row.recent_uid == 0 || mailbox->row.recent_uid > mailbox->row.uid_next)
		damaged(verifying, "the recent messages of a mailbox are wrong", account, id,
		        mailbox->row.recent_uid);
	check_ranges(verifying, mailbox, &sum->uids);
	check_log(verifying, mailbox, (struct pn_uid_set){sum->uids.ranges, sum->uids.count});
	free(sum->uids.ranges);
	if (mailbox_load_name(&verifying->access, account, mailbox_name(mailbox), named) != PN_OK ||
	    named->id != id)
		damaged(verifying, "the name of a mailbox does not lead to it", account, id, 0);
}

static void check_account(struct verifying *verifying, uint64_t id)
{
	struct index_key prefix;
	struct index_walk walk;
	struct account account;
	uint64_t size = 0;
	uint32_t count = 0;

	if (account_load_id(&verifying->access, id, &account) != PN_OK) {
		damaged(verifying, "an account is damaged", id, 0, 0);
		return;
	}
	key_tree(&prefix, id, TREE_MAILBOX);
	walk_begin(&walk, &verifying->access, TABLE_TREE, &prefix, NULL);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		struct mailbox_row row;

		if (walk.value.mv_size < sizeof(row))
			continue;
		memcpy(&row, walk.value.mv_data, sizeof(row));
		size += row.size_bytes;
		count += row.message_count;
		if (row.highest_modseq > account.row.modseq)
			damaged(verifying, "a modseq is above that of the account", id, 0,
			        row.highest_modseq);
	}
	walk_end(&walk);
	if (size != account.row.size_bytes || count != account.row.message_count)
		damaged(verifying, "the sums of an account are wrong", id, 0, count);
}

static enum pn_status check_tree(struct verifying *verifying)
{
	struct index_key everything = {.size = 0};
	struct index_walk walk;

	walk_begin(&walk, &verifying->access, TABLE_TREE, &everything, NULL);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		const uint8_t *key = walk.key.mv_data;

		if (walk.key.mv_size < 9) {
			damaged(verifying, "a key is short", 0, 0, walk.key.mv_size);
			continue;
		}
		if (key[8] == TREE_ROW && walk.key.mv_size == 21)
			check_rows(verifying, key, walk.value);
		else if (key[8] == TREE_MAILBOX && walk.key.mv_size == 17)
			check_mailbox(verifying, key_read_u64(key), key_read_u64(key + 9));
		else if (key[8] == TREE_ACCOUNT)
			check_account(verifying, key_read_u64(key));
		pn_arena_reset(verifying->access.arena);
	}
	walk_end(&walk);
	return walk.status == PN_FAILED ? PN_FAILED : PN_OK;
}

/* -------------------------------------------------------------------- the bodies */

static int compare_bodies(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(struct pn_body_id));
}

static enum pn_status gather_queue(struct verifying *verifying)
{
	struct index_key prefix;
	struct index_walk walk;

	key_start(&prefix);
	key_byte(&prefix, 'R');
	walk_begin(&walk, &verifying->access, TABLE_QUEUE, &prefix, NULL);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		struct queue_row row;

		if (walk.value.mv_size < sizeof(row))
			continue;
		memcpy(&row, walk.value.mv_data, sizeof(row));
		add_reference(verifying, row.body);
	}
	walk_end(&walk);
	return walk.status == PN_FAILED ? PN_FAILED : PN_OK;
}

/* Copies under way, or that never came to an end. */
static enum pn_status gather_held(struct verifying *verifying)
{
	struct index_key everything = {.size = 0};
	struct index_walk walk;

	walk_begin(&walk, &verifying->access, TABLE_EXPIRATIONS, &everything, NULL);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		if (walk.key.mv_size < 9 || ((const uint8_t *)walk.key.mv_data)[8] != EXPIRE_BODIES)
			continue;
		for (size_t at = 0; at + sizeof(struct pn_body_id) <= walk.value.mv_size;
		     at += sizeof(struct pn_body_id)) {
			struct pn_body_id id;

			memcpy(&id, (const char *)walk.value.mv_data + at, sizeof(id));
			add_reference(verifying, id);
		}
	}
	walk_end(&walk);
	return walk.status == PN_FAILED ? PN_FAILED : PN_OK;
}

static void body_damaged(struct verifying *verifying, struct pn_body_id id, const char *text)
{
	char room[33];

	verifying->damage++;
	local_say(verifying->report, true, "body %s: %s", body_text(id, room), text);
}

static void check_record(struct verifying *verifying, struct pn_body_id id,
                         const struct body_row *row)
{
	struct local_store *store = verifying->access.store;
	struct record_header header;
	struct pn_error error = {0};
	char *what = segment_path(store, row->segment);
	char place[256];
	enum pn_status status = PN_OK;

	snprintf(place, sizeof(place), "the record at %llu of %s", (unsigned long long)row->offset,
	         what);
	free(what);
	if (verifying->descriptor < 0 || verifying->segment != row->segment) {
		if (verifying->descriptor >= 0)
			close(verifying->descriptor);
		verifying->descriptor = -1;
		verifying->segment = row->segment;
		status = segment_open(store, row->segment, &verifying->descriptor, &verifying->salt,
		                      &error);
	}
	if (status == PN_OK)
		status = file_read(verifying->descriptor, &header, sizeof(header), row->offset,
		                   place, &error);
	if (status == PN_OK &&
	    (!record_header_is_good(&header, verifying->salt) ||
	     memcmp(&header.body, &id, sizeof(id)) != 0 || header.body_size != row->size))
		status =
			pn_fail(&error, "%s is damaged: its header is not that of the body", place);
	if (status == PN_OK)
		status = record_verify(verifying->descriptor, &header, row->offset, place, &error);
	if (status != PN_OK)
		body_damaged(verifying, id, error.text);
}

static size_t counted_references(struct verifying *verifying, struct pn_body_id id)
{
	struct index_key key;
	uint32_t more = 0;

	key_start(&key);
	key_bytes(&key, id.bytes, sizeof(id.bytes));
	if (index_get_fixed(&verifying->access, TABLE_REFERENCES, &key, &more, sizeof(more)) ==
	    PN_OK)
		verifying->counted++;
	return (size_t)more + 1;
}

/* Each entry is that of a body. */
static void check_counted(struct verifying *verifying)
{
	MDB_stat found;

	if (mdb_stat(verifying->access.transaction,
	             verifying->access.index->tables[TABLE_REFERENCES], &found) != 0 ||
	    found.ms_entries != verifying->counted)
		damaged(verifying, "references to bodies that are not there", 0, 0,
		        verifying->counted);
}

static enum pn_status check_bodies(struct verifying *verifying)
{
	struct index_key everything = {.size = 0};
	struct index_walk walk;
	size_t next = 0;

	if (verifying->reference_count != 0)
		qsort(verifying->references, verifying->reference_count, sizeof(struct pn_body_id),
		      compare_bodies);
	walk_begin(&walk, &verifying->access, TABLE_BODIES, &everything, NULL);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		struct pn_body_id id;
		struct body_row row;
		size_t references = 0;

		memcpy(&id, walk.key.mv_data, sizeof(id));
		if (body_load(&verifying->access, id, &row, NULL) != PN_OK) {
			body_damaged(verifying, id, "its row is damaged");
			continue;
		}
		while (next < verifying->reference_count &&
		       compare_bodies(&verifying->references[next], &id) < 0)
			body_damaged(verifying, verifying->references[next++],
			             "a row refers to it, and it is not there");
		while (next < verifying->reference_count &&
		       compare_bodies(&verifying->references[next], &id) == 0)
			next++, references++;
		if (references != counted_references(verifying, id))
			body_damaged(verifying, id, "its count of references is wrong");
		check_record(verifying, id, &row);
	}
	walk_end(&walk);
	check_counted(verifying);
	while (next < verifying->reference_count)
		body_damaged(verifying, verifying->references[next++],
		             "a row refers to it, and it is not there");
	return walk.status == PN_FAILED ? PN_FAILED : PN_OK;
}

/* ------------------------------------------------------------------ the segments */

static enum pn_status check_found(void *user, int descriptor, const struct record_header *header,
                                  uint64_t offset, struct pn_error *error)
{
	struct verifying *verifying = user;
	struct body_row row;

	(void)descriptor;
	(void)offset;
	(void)error;
	if (header->kind == RECORD_BODY &&
	    body_load(&verifying->access, header->body, &row, NULL) != PN_OK)
		verifying->unused++;
	return PN_OK;
}

static void note_scan(void *user, bool is_damage, const char *text)
{
	struct verifying *verifying = user;

	verifying->damage += is_damage;
	local_say(verifying->report, is_damage, "%s", text);
}

static enum pn_status check_segments(struct verifying *verifying)
{
	struct local_store *store = verifying->access.store;
	struct pn_store_report report = {note_scan, verifying};
	uint64_t *ids;
	size_t count;
	enum pn_status status = segment_list(store, &ids, &count, verifying->access.error);

	for (size_t i = 0; i < count && status == PN_OK; i++) {
		struct pn_error error = {0};

		if (segment_scan(store, ids[i], 0, check_found, verifying, &report, &error) ==
		    PN_OK)
			continue;
		verifying->damage++;
		local_say(verifying->report, true, "%s", error.text);
	}
	if (status == PN_OK) {
		local_say(verifying->report, false,
		          "%zu segments; %llu records in them that nothing refers to", count,
		          (unsigned long long)verifying->unused);
		free(ids);
	}
	return status;
}

enum pn_status local_verify(void *instance, const struct pn_store_report *report,
                            struct pn_error *error)
{
	struct local_store *store = instance;
	struct pn_arena *arena = pn_arena_new();
	struct verifying verifying = {.report = report, .descriptor = -1};
	enum pn_status status;

	verifying.access = (struct index_access){
		.store = store, .index = &store->index, .error = error, .arena = arena};
	status = index_begin(&verifying.access, false);
	if (status == PN_OK)
		status = check_tree(&verifying);
	if (status == PN_OK)
		status = gather_queue(&verifying);
	if (status == PN_OK)
		status = gather_held(&verifying);
	if (status == PN_OK)
		status = check_bodies(&verifying);
	if (status == PN_OK)
		status = queue_verify(&verifying.access, report, &verifying.damage);
	if (status == PN_OK)
		status = check_segments(&verifying);
	index_abort(&verifying.access);
	if (verifying.descriptor >= 0)
		close(verifying.descriptor);
	free(verifying.references);
	pn_arena_free(&arena);
	if (status == PN_OK && verifying.damage != 0)
		return pn_fail_with(PN_CONFLICT, error, "%zu damages were found", verifying.damage);
	return status;
}
