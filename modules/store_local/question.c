/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions about accounts, mailboxes and rows: answered at once, on the loop,
 * from mapped memory, each in a read transaction of its own.
 */
#include "store_local.h"

#include <stdlib.h>
#include <string.h>

#include <postern/text.h>

static enum pn_status begin(struct local_store *store, struct pn_store_call *call,
                            struct index_access *access)
{
	*access = (struct index_access){.store = store,
	                                .index = &store->index,
	                                .error = &call->error,
	                                .arena = call->arena};
	return index_begin(access, false);
}

/* A table that grows, then lives in the arena. */
struct table {
	char *rows;
	size_t count;
	size_t capacity;
	size_t row_size;
};

static void *table_add(struct table *table)
{
	if (table->count == table->capacity) {
		table->capacity = table->capacity == 0 ? 32 : table->capacity * 2;
		table->rows = reallocarray(table->rows, table->capacity, table->row_size);
		if (table->rows == NULL)
			abort();
	}
	return memset(table->rows + table->count++ * table->row_size, 0, table->row_size);
}

static const void *table_keep(struct table *table, struct pn_arena *arena)
{
	void *kept = pn_arena_allocate_array(arena, table->count, table->row_size);

	if (table->count != 0)
		memcpy(kept, table->rows, table->count * table->row_size);
	free(table->rows);
	return kept;
}

/* ------------------------------------------------------------------- accounts */

enum pn_status local_accounts(void *instance, struct pn_store_call *call,
                              const struct pn_accounts_request *request, struct pn_accounts *result)
{
	struct index_access access;
	struct table table = {.row_size = sizeof(struct pn_account_info)};
	struct index_key everything = {.size = 0};
	struct index_walk walk;
	MDB_val from = {.mv_size = request->after.size,
	                .mv_data = (void *)(uintptr_t)request->after.data};
	enum pn_status status = begin(instance, call, &access);

	if (status != PN_OK)
		return status;
	walk_begin(&walk, &access, TABLE_ACCOUNTS, &everything, NULL);
	if (walk.status == PN_OK && from.mv_size != 0) {
		walk.key = from;
		if (mdb_cursor_get(walk.cursor, &walk.key, &walk.value, MDB_SET_RANGE) != 0)
			walk.status = PN_NOT_FOUND;
	}
	result->is_complete = true;
	for (; walk.status == PN_OK && status == PN_OK; walk_next(&walk)) {
		struct pn_slice name = pn_slice_make(walk.key.mv_data, walk.key.mv_size);
		struct pn_account_info *info;
		struct account account;
		uint64_t id;

		if (from.mv_size != 0 && pn_slice_equal(name, request->after))
			continue;
		if (table.count >= request->max_accounts) {
			result->is_complete = false;
			break;
		}
		memcpy(&id, walk.value.mv_data, sizeof(id));
		status = account_load_id(&access, id, &account);
		if (status != PN_OK)
			break;
		info = table_add(&table);
		info->name = account.name;
		info->modseq = account.row.modseq;
		info->size_bytes = account.row.size_bytes;
		info->message_count = account.row.message_count;
		info->quota_bytes = account.row.quota_bytes;
	}
	walk_end(&walk);
	index_abort(&access);
	result->account_size = sizeof(struct pn_account_info);
	result->count = table.count;
	result->accounts = table_keep(&table, call->arena);
	return status;
}

/* ----------------------------------------------------------------------- view */

static enum pn_status open_mailbox(struct index_access *access, struct pn_slice name, uint64_t id,
                                   struct account *account, struct mailbox **mailbox_out)
{
	enum pn_status status = account_load(access, name, account);

	*mailbox_out = PN_ARENA_NEW(access->arena, struct mailbox);
	return status == PN_OK ? mailbox_load(access, account->id, id, *mailbox_out) : status;
}

enum pn_status local_view(void *instance, struct pn_store_call *call,
                          const struct pn_view_request *request, struct pn_view *result)
{
	struct index_access access;
	struct account account;
	struct mailbox *mailbox;
	enum pn_status status = begin(instance, call, &access);

	if (status != PN_OK)
		return status;
	status = open_mailbox(&access, request->account, request->mailbox, &account, &mailbox);
	if (status == PN_OK)
		status = message_ranges(&access, mailbox, &result->uids);
	if (status == PN_OK)
		status = keywords_load(&access, mailbox, &result->keywords);
	index_abort(&access);
	if (status != PN_OK)
		return status;
	mailbox_describe(mailbox, call->arena, &result->mailbox);
	result->keyword_count = mailbox->row.keyword_count;
	result->recent_uid = mailbox->row.recent_uid;
	result->modseq = account.row.modseq;
	return PN_OK;
}

/* ----------------------------------------------------------------------- rows */

enum {
	ROWS_AT_ONCE = 4096, /* more are made room for as they come */
	STORED_FIELDS =
		PN_ROW_DATES | PN_ROW_SIZES | PN_ROW_BODY_ID | PN_ROW_SUMMARY | PN_ROW_THREAD,
};

/* Rows for callers, in the arena. */
struct rows {
	struct index_access *access;
	const struct pn_slice *words;
	uint32_t fields;
	size_t max_rows;
	struct pn_row *rows;
	size_t count;
	size_t capacity;
	uint64_t last_bits; /* neighbours often have the same keywords */
	struct pn_flags last_flags;
	struct row_reader reader;
	MDB_cursor *bodies; /* for summaries */
};

static enum pn_status rows_open(struct rows *rows, struct index_access *access,
                                const struct mailbox *mailbox, uint32_t fields, size_t max_rows,
                                uint64_t at_most)
{
	int result = 0;

	*rows = (struct rows){.access = access, .fields = fields, .max_rows = max_rows};
	if (at_most > max_rows)
		at_most = max_rows;
	rows->capacity = at_most < ROWS_AT_ONCE ? (size_t)at_most : ROWS_AT_ONCE;
	rows->rows = PN_ARENA_ARRAY(access->arena, rows->capacity, struct pn_row);
	rows_begin(&rows->reader, access, mailbox);
	if (fields & PN_ROW_SUMMARY)
		result = mdb_cursor_open(access->transaction, access->index->tables[TABLE_BODIES],
		                         &rows->bodies);
	if (result != 0)
		return index_fail(access, result, "read");
	return keywords_load(access, mailbox, &rows->words);
}

static void rows_close(struct rows *rows)
{
	rows_end(&rows->reader);
	if (rows->bodies != NULL)
		mdb_cursor_close(rows->bodies);
	rows->bodies = NULL;
}

static struct pn_row *new_row(struct rows *rows)
{
	struct pn_row *more;

	if (rows->count == rows->capacity) {
		rows->capacity = rows->capacity * 2 + 16;
		if (rows->capacity > rows->max_rows)
			rows->capacity = rows->max_rows;
		more = PN_ARENA_ARRAY(rows->access->arena, rows->capacity, struct pn_row);
		if (rows->count != 0)
			memcpy(more, rows->rows, rows->count * sizeof(*more));
		rows->rows = more;
	}
	return &rows->rows[rows->count++];
}

static void describe_flags(struct rows *rows, uint64_t keywords, uint32_t system,
                           struct pn_flags *flags)
{
	if (keywords != rows->last_bits) {
		struct pn_slice *words =
			PN_ARENA_ARRAY(rows->access->arena, (size_t)__builtin_popcountll(keywords),
		                       struct pn_slice);
		size_t count = 0;

		for (uint64_t bits = keywords; bits != 0; bits &= bits - 1)
			words[count++] = rows->words[__builtin_ctzll(bits)];
		rows->last_bits = keywords;
		rows->last_flags.keywords = words;
		rows->last_flags.keyword_count = count;
	}
	*flags = rows->last_flags;
	flags->system = system;
}

/* Bodies of neighbours mostly stand beside each other: the cursor finds them on its page. */
static enum pn_status describe_summary(struct rows *rows, struct pn_body_id id,
                                       struct pn_slice *summary)
{
	MDB_val key = {.mv_size = sizeof(id), .mv_data = &id};
	MDB_val value;
	struct body_row row;
	int result = mdb_cursor_get(rows->bodies, &key, &value, MDB_SET);

	if (result != 0)
		return index_fail(rows->access, result, "find a body");
	if (value.mv_size < sizeof(row))
		return pn_fail(rows->access->error, "the index has a damaged row for a body");
	memcpy(&row, value.mv_data, sizeof(row));
	if (row.summary_size != value.mv_size - sizeof(row))
		return pn_fail(rows->access->error, "the index has a damaged row for a body");
	*summary = pn_arena_keep(
		rows->access->arena,
		pn_slice_make((const char *)value.mv_data + sizeof(row), row.summary_size));
	return PN_OK;
}

static enum pn_status describe_row(struct rows *rows, const struct flag_block *block, unsigned slot,
                                   struct pn_row *result)
{
	const struct message_row *row;
	enum pn_status status;

	result->uid = block->number * FLAG_BLOCK_UIDS + slot;
	result->is_expunged = block->expunged >> slot & 1;
	result->modseq = block->columns[COLUMN_MODSEQ][slot];
	describe_flags(rows, block->columns[COLUMN_KEYWORDS][slot],
	               (uint32_t)block->columns[COLUMN_SYSTEM][slot], &result->flags);
	if (!(rows->fields & STORED_FIELDS))
		return PN_OK;
	status = rows_find(&rows->reader, result->uid, &row);
	if (status != PN_OK)
		return status;
	result->internal_date_ms = row->internal_date_ms;
	result->saved_date_ms = row->saved_date_ms;
	result->size = row->size;
	result->header_size = row->header_size;
	result->body = row->body;
	result->thread = row->thread;
	return rows->fields & PN_ROW_SUMMARY ? describe_summary(rows, row->body, &result->summary)
	                                     : PN_OK;
}

/* The rows of a block among `bits` with a modseq above `since`. Sets next_uid where it is full. */
static enum pn_status describe_block(struct rows *rows, const struct flag_block *block,
                                     uint64_t bits, uint64_t since, uint32_t *next_uid)
{
	enum pn_status status = PN_OK;

	for (; bits != 0 && status == PN_OK; bits &= bits - 1) {
		unsigned slot = (unsigned)__builtin_ctzll(bits);

		if (block->columns[COLUMN_MODSEQ][slot] <= since)
			continue;
		if (rows->count >= rows->max_rows) {
			*next_uid = block->number * FLAG_BLOCK_UIDS + slot;
			return PN_OK;
		}
		status = describe_row(rows, block, slot, new_row(rows));
	}
	return status;
}

static enum pn_status collect_rows(struct rows *rows, const struct mailbox *mailbox,
                                   const struct pn_rows_request *request, uint32_t *next_uid)
{
	struct block_walk blocks;
	struct flag_block block;
	enum pn_status status = PN_OK;

	blocks_begin(&blocks, rows->access, mailbox, request->uids);
	for (; blocks.status == PN_OK && status == PN_OK && *next_uid == 0; blocks_next(&blocks)) {
		uint64_t bits = blocks.wanted & blocks.head.present;

		if (blocks.head.max_modseq <= request->changed_since)
			bits = 0;
		if (request->with_expunged)
			bits |= blocks.wanted & blocks.head.expunged;
		if (bits == 0)
			continue;
		status = blocks_read(&blocks, &block);
		if (status == PN_OK)
			status = describe_block(rows, &block, bits, request->changed_since,
			                        next_uid);
	}
	blocks_end(&blocks);
	return blocks.status == PN_FAILED ? PN_FAILED : status;
}

enum pn_status local_rows(void *instance, struct pn_store_call *call,
                          const struct pn_rows_request *request, struct pn_rows *result)
{
	struct index_access access;
	struct rows rows = {0};
	struct account account;
	struct mailbox *mailbox;
	uint64_t at_most = pn_uid_set_count(request->uids);
	enum pn_status status = begin(instance, call, &access);

	if (status != PN_OK)
		return status;
	result->next_uid = 0;
	status = open_mailbox(&access, request->account, request->mailbox, &account, &mailbox);
	if (status == PN_OK) {
		if (!request->with_expunged && at_most > mailbox->row.message_count)
			at_most = mailbox->row.message_count;
		status = rows_open(&rows, &access, mailbox, request->fields, request->max_rows,
		                   at_most);
		if (status == PN_OK)
			status = collect_rows(&rows, mailbox, request, &result->next_uid);
		rows_close(&rows);
	}
	index_abort(&access);
	result->row_size = sizeof(struct pn_row);
	result->count = rows.count;
	result->rows = rows.rows;
	return status;
}

/* -------------------------------------------------------------------- changes */

static int compare_ranges(const void *left, const void *right)
{
	uint32_t a = ((const struct pn_uid_range *)left)->first;
	uint32_t b = ((const struct pn_uid_range *)right)->first;

	return a < b ? -1 : a > b;
}

/* From the log: what was expunged after `since`, from from_uid on. */
static enum pn_status read_log(struct index_access *access, const struct mailbox *mailbox,
                               const struct pn_changes_request *request,
                               struct pn_uid_set *vanished)
{
	struct index_key prefix;
	struct index_key from;
	struct index_walk walk;
	struct uid_list list = {0};
	struct uid_list joined = {0};

	key_mailbox(&prefix, mailbox->account, TREE_EXPUNGED, mailbox->id);
	from = prefix;
	key_u64(&from, request->since + 1);
	walk_begin(&walk, access, TABLE_TREE, &prefix, &from);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		for (size_t at = 0; at + sizeof(struct pn_uid_range) <= walk.value.mv_size;
		     at += sizeof(struct pn_uid_range)) {
			struct pn_uid_range range;

			memcpy(&range, (const char *)walk.value.mv_data + at, sizeof(range));
			if (range.first < request->from_uid)
				range.first = request->from_uid;
			if (range.first <= range.last)
				uid_list_add(&list, range.first, range.last);
		}
	}
	walk_end(&walk);
	if (list.count != 0)
		qsort(list.ranges, list.count, sizeof(*list.ranges), compare_ranges);
	/* A UID is expunged once: they do not overlap, but may touch. */
	for (size_t i = 0; i < list.count; i++)
		uid_list_add(&joined, list.ranges[i].first, list.ranges[i].last);
	free(list.ranges);
	*vanished = uid_list_set(access->arena, &joined);
	return walk.status == PN_NOT_FOUND ? PN_OK : walk.status;
}

/* Where the log does not reach back so far: every UID that was ever given and is not there. */
static enum pn_status all_gaps(struct index_access *access, const struct mailbox *mailbox,
                               uint32_t from, struct pn_uid_set *vanished)
{
	struct pn_uid_set there;
	struct pn_uid_range *gaps;
	uint32_t next = from == 0 ? 1 : from;
	enum pn_status status = message_ranges(access, mailbox, &there);

	if (status != PN_OK)
		return status;
	gaps = PN_ARENA_ARRAY(access->arena, there.count + 1, struct pn_uid_range);
	*vanished = (struct pn_uid_set){gaps, 0};
	for (size_t i = 0; i < there.count; i++) {
		if (there.ranges[i].last < next)
			continue;
		if (there.ranges[i].first > next)
			gaps[vanished->count++] =
				(struct pn_uid_range){next, there.ranges[i].first - 1};
		next = there.ranges[i].last + 1;
	}
	if (next < mailbox->row.uid_next)
		gaps[vanished->count++] = (struct pn_uid_range){next, mailbox->row.uid_next - 1};
	return PN_OK;
}

/* Cuts the set off before `end`. */
static void cut_set(struct pn_uid_set *set, uint32_t end)
{
	struct pn_uid_range *ranges = (struct pn_uid_range *)(uintptr_t)set->ranges;

	while (set->count != 0 && ranges[set->count - 1].first >= end)
		set->count--;
	if (set->count != 0 && ranges[set->count - 1].last >= end)
		ranges[set->count - 1].last = end - 1;
}

static enum pn_status changed_rows(struct rows *rows, const struct mailbox *mailbox,
                                   const struct pn_changes_request *request, uint32_t *next_uid)
{
	struct pn_uid_range ranges[TOUCHED_MAX];
	struct pn_uid_set set = {ranges, mailbox_touched_since(mailbox, request->since, ranges)};
	struct block_walk blocks;
	struct flag_block block;
	enum pn_status status = PN_OK;

	while (set.count != 0 && set.ranges[0].last < request->from_uid) {
		set.ranges++;
		set.count--;
	}
	if (set.count != 0 && set.ranges[0].first < request->from_uid)
		((struct pn_uid_range *)(uintptr_t)set.ranges)[0].first = request->from_uid;
	blocks_begin(&blocks, rows->access, mailbox, set);
	for (; blocks.status == PN_OK && status == PN_OK && *next_uid == 0; blocks_next(&blocks)) {
		if (blocks.head.max_modseq <= request->since)
			continue;
		status = blocks_read(&blocks, &block);
		if (status == PN_OK)
			status = describe_block(rows, &block, block.present & blocks.wanted,
			                        request->since, next_uid);
	}
	blocks_end(&blocks);
	return blocks.status == PN_FAILED ? PN_FAILED : status;
}

static enum pn_status collect_changes(struct index_access *access, const struct mailbox *mailbox,
                                      const struct pn_changes_request *request,
                                      struct pn_changes *result)
{
	struct rows rows;
	enum pn_status status = rows_open(&rows, access, mailbox, PN_ROW_FLAGS, request->max_rows,
	                                  mailbox->row.message_count);

	if (status == PN_OK)
		status = changed_rows(&rows, mailbox, request, &result->next_uid);
	rows_close(&rows);
	result->rows = rows.rows;
	result->count = rows.count;
	result->is_complete = result->next_uid == 0;
	if (status == PN_OK && request->since < mailbox->row.log_floor)
		status = all_gaps(access, mailbox, request->from_uid, &result->vanished);
	else if (status == PN_OK)
		status = read_log(access, mailbox, request, &result->vanished);
	if (!result->is_complete)
		cut_set(&result->vanished, result->next_uid);
	return status;
}

enum pn_status local_changes(void *instance, struct pn_store_call *call,
                             const struct pn_changes_request *request, struct pn_changes *result)
{
	struct index_access access;
	struct account account;
	struct mailbox *mailbox;
	enum pn_status status = begin(instance, call, &access);

	if (status != PN_OK)
		return status;
	result->is_complete = true;
	result->next_uid = 0;
	result->row_size = sizeof(struct pn_row);
	status = open_mailbox(&access, request->account, request->mailbox, &account, &mailbox);
	if (status == PN_OK && mailbox->row.highest_modseq > request->since)
		status = collect_changes(&access, mailbox, request, result);
	index_abort(&access);
	if (status != PN_OK)
		return status;
	mailbox_describe(mailbox, call->arena, &result->mailbox);
	result->modseq = account.row.modseq;
	return PN_OK;
}

enum pn_status local_queue(void *instance, struct pn_store_call *call,
                           const struct pn_queue_request *request, struct pn_queue_rows *result)
{
	struct index_access access;
	enum pn_status status = begin(instance, call, &access);

	if (status != PN_OK)
		return status;
	status = queue_select(&access, request, result);
	index_abort(&access);
	return status;
}
