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

/* ------------------------------------------------------------------ mailboxes */

static int compare_names(struct pn_slice left, struct pn_slice right)
{
	size_t size = left.size < right.size ? left.size : right.size;
	int order = size == 0 ? 0 : memcmp(left.data, right.data, size);

	if (order != 0)
		return order;
	return left.size < right.size ? -1 : left.size > right.size;
}

static int compare_mailboxes(const void *left, const void *right)
{
	const struct pn_mailbox_info *a = left;
	const struct pn_mailbox_info *b = right;
	bool a_first = mailbox_is_inbox(a->name);
	bool b_first = mailbox_is_inbox(b->name);

	if (a_first != b_first)
		return a_first ? -1 : 1;
	return compare_names(a->name, b->name);
}

/* Sorted names without INBOX first, for finding. */
static int compare_plain(const void *left, const void *right)
{
	return compare_names(((const struct pn_mailbox_info *)left)->name,
	                     ((const struct pn_mailbox_info *)right)->name);
}

static struct pn_mailbox_info *find_name(struct table *table, size_t count, struct pn_slice name)
{
	struct pn_mailbox_info wanted = {.name = name};

	return count == 0 ? NULL
	                  : bsearch(&wanted, table->rows, count, table->row_size, compare_plain);
}

static enum pn_status add_mailboxes(struct index_access *access, uint64_t account,
                                    struct table *table)
{
	struct mailbox *mailbox = PN_ARENA_NEW(access->arena, struct mailbox);
	struct index_key prefix;
	struct index_walk walk;
	enum pn_status status = PN_OK;

	key_tree(&prefix, account, TREE_MAILBOX);
	walk_begin(&walk, access, TABLE_TREE, &prefix, NULL);
	for (; walk.status == PN_OK && status == PN_OK; walk_next(&walk)) {
		status = mailbox_load(access, account,
		                      key_read_u64((const char *)walk.key.mv_data + prefix.size),
		                      mailbox);
		if (status == PN_OK)
			mailbox_describe(mailbox, access->arena, table_add(table));
	}
	walk_end(&walk);
	return status;
}

/* Levels that are no mailboxes, and who has children. */
static void add_levels(struct table *table)
{
	size_t count = table->count;

	qsort(table->rows, count, table->row_size, compare_plain);
	for (size_t i = 0; i < count; i++) {
		struct pn_slice name = ((struct pn_mailbox_info *)table->rows)[i].name;

		for (size_t at = name.size; at-- > 1;) {
			struct pn_slice level = pn_slice_make(name.data, at);
			struct pn_mailbox_info *above;

			if (name.data[at] != '/')
				continue;
			above = find_name(table, count, level);
			for (size_t k = count; above == NULL && k < table->count; k++) {
				struct pn_mailbox_info *added =
					&((struct pn_mailbox_info *)table->rows)[k];

				if (pn_slice_equal(added->name, level))
					above = added;
			}
			if (above == NULL) {
				above = table_add(table);
				above->name = level;
				above->attributes = PN_MAILBOX_NO_SELECT;
			}
			above->attributes |= PN_MAILBOX_HAS_CHILDREN;
		}
	}
	if (table->count != 0)
		qsort(table->rows, table->count, table->row_size, compare_plain);
}

static enum pn_status add_subscriptions(struct index_access *access, uint64_t account,
                                        struct table *table)
{
	struct index_key prefix;
	struct index_walk walk;
	size_t count = table->count;

	key_tree(&prefix, account, TREE_SUBSCRIPTION);
	walk_begin(&walk, access, TABLE_TREE, &prefix, NULL);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		struct pn_slice name = pn_slice_make(walk.value.mv_data, walk.value.mv_size);
		struct pn_mailbox_info *info = find_name(table, count, name);

		if (info == NULL) {
			info = table_add(table);
			info->name = pn_arena_keep(access->arena, name);
			info->attributes = PN_MAILBOX_NONEXISTENT;
		}
		info->attributes |= PN_MAILBOX_SUBSCRIBED;
	}
	walk_end(&walk);
	return walk.status == PN_NOT_FOUND ? PN_OK : walk.status;
}

/* Keeps what was asked for. */
static void select_mailboxes(struct table *table, const struct pn_mailboxes_request *request,
                             struct pn_slice name)
{
	struct pn_mailbox_info *rows = (struct pn_mailbox_info *)table->rows;
	size_t kept = 0;

	for (size_t i = 0; i < table->count; i++) {
		if (request->name.size != 0 && !pn_slice_equal(rows[i].name, name))
			continue;
		if (request->id != 0 && rows[i].id != request->id)
			continue;
		rows[kept++] = rows[i];
	}
	table->count = kept;
}

enum pn_status local_mailboxes(void *instance, struct pn_store_call *call,
                               const struct pn_mailboxes_request *request,
                               struct pn_mailboxes *result)
{
	struct index_access access;
	struct table table = {.row_size = sizeof(struct pn_mailbox_info)};
	struct account account;
	enum pn_status status = begin(instance, call, &access);

	if (status != PN_OK)
		return status;
	status = account_load(&access, request->account, &account);
	if (status == PN_OK)
		status = add_mailboxes(&access, account.id, &table);
	if (status == PN_OK) {
		add_levels(&table);
		status = add_subscriptions(&access, account.id, &table);
	}
	index_abort(&access);
	if (status == PN_OK) {
		select_mailboxes(&table, request, mailbox_canonical_name(&access, request->name));
		if (table.count != 0)
			qsort(table.rows, table.count, table.row_size, compare_mailboxes);
		if (table.count == 0 && (request->name.size != 0 || request->id != 0))
			status = PN_NOT_FOUND;
		result->modseq = account.row.modseq;
	}
	result->mailbox_size = sizeof(struct pn_mailbox_info);
	result->count = table.count;
	result->mailboxes = table_keep(&table, call->arena);
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
	result->modseq = account.row.modseq;
	return PN_OK;
}

/* ----------------------------------------------------------------------- rows */

/* What is needed to turn index rows into rows for callers. */
struct describing {
	struct index_access *access;
	const struct pn_slice *words;
	uint32_t fields;
	uint64_t last_bits; /* neighbours often have the same keywords */
	struct pn_flags last_flags;
};

static void describe_flags(struct describing *describing, const struct message_row *row,
                           struct pn_flags *flags)
{
	if (row->keywords != describing->last_bits) {
		struct pn_slice *words = PN_ARENA_ARRAY(describing->access->arena,
		                                        (size_t)__builtin_popcountll(row->keywords),
		                                        struct pn_slice);
		size_t count = 0;

		for (unsigned bit = 0; bit < PN_KEYWORDS_PER_MAILBOX; bit++)
			if (row->keywords >> bit & 1)
				words[count++] = describing->words[bit];
		describing->last_bits = row->keywords;
		describing->last_flags.keywords = words;
		describing->last_flags.keyword_count = count;
	}
	*flags = describing->last_flags;
	flags->system = row->system_flags;
}

static enum pn_status describe_row(struct describing *describing, uint32_t uid,
                                   const struct message_row *row, struct pn_row *result)
{
	struct body_row body;
	struct pn_slice summary;
	enum pn_status status;

	result->uid = uid;
	result->is_expunged = row->expunged_ms != 0;
	result->modseq = row->modseq;
	result->internal_date_ms = row->internal_date_ms;
	result->saved_date_ms = row->saved_date_ms;
	result->size = row->size;
	result->header_size = row->header_size;
	result->body = row->body;
	result->thread = row->thread;
	if (describing->fields & PN_ROW_FLAGS)
		describe_flags(describing, row, &result->flags);
	if (!(describing->fields & PN_ROW_SUMMARY))
		return PN_OK;
	status = body_load(describing->access, row->body, &body, &summary);
	if (status == PN_OK)
		result->summary = pn_arena_keep(describing->access->arena, summary);
	return status;
}

static enum pn_status rows_of_range(struct describing *describing, const struct mailbox *mailbox,
                                    const struct pn_rows_request *request,
                                    struct pn_uid_range range, struct table *table,
                                    uint32_t *next_uid)
{
	struct index_key prefix;
	struct index_key from;
	struct index_walk walk;
	enum pn_status status = PN_OK;

	key_tree(&prefix, mailbox->account, TREE_ROW);
	key_u64(&prefix, mailbox->id);
	key_message(&from, mailbox->account, TREE_ROW, mailbox->id, range.first);
	walk_begin(&walk, describing->access, TABLE_TREE, &prefix, &from);
	for (; walk.status == PN_OK && status == PN_OK; walk_next(&walk)) {
		uint32_t uid = key_read_u32((const char *)walk.key.mv_data + prefix.size);
		struct message_row row;

		if (uid > range.last)
			break;
		if (walk.value.mv_size < sizeof(row)) {
			status = pn_fail(describing->access->error,
			                 "the index has a short row for UID %u", uid);
			break;
		}
		memcpy(&row, walk.value.mv_data, sizeof(row));
		if ((row.expunged_ms != 0 && !request->with_expunged) ||
		    row.modseq <= request->changed_since)
			continue;
		if (table->count >= request->max_rows) {
			*next_uid = uid;
			break;
		}
		status = describe_row(describing, uid, &row, table_add(table));
	}
	walk_end(&walk);
	return status;
}

enum pn_status local_rows(void *instance, struct pn_store_call *call,
                          const struct pn_rows_request *request, struct pn_rows *result)
{
	struct index_access access;
	struct describing describing = {.access = &access, .fields = request->fields};
	struct table table = {.row_size = sizeof(struct pn_row)};
	struct account account;
	struct mailbox *mailbox;
	enum pn_status status = begin(instance, call, &access);

	if (status != PN_OK)
		return status;
	result->next_uid = 0;
	status = open_mailbox(&access, request->account, request->mailbox, &account, &mailbox);
	if (status == PN_OK)
		status = keywords_load(&access, mailbox, &describing.words);
	for (size_t i = 0; i < request->uids.count && status == PN_OK && result->next_uid == 0; i++)
		status = rows_of_range(&describing, mailbox, request, request->uids.ranges[i],
		                       &table, &result->next_uid);
	index_abort(&access);
	result->row_size = sizeof(struct pn_row);
	result->count = table.count;
	result->rows = table_keep(&table, call->arena);
	return status;
}

/* -------------------------------------------------------------------- changes */

static int compare_uids(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left;
	uint32_t b = *(const uint32_t *)right;

	return a < b ? -1 : a > b;
}

/* From the change log: UIDs that changed after `since`, and those that were expunged. */
static enum pn_status read_log(struct index_access *access, const struct mailbox *mailbox,
                               const struct pn_changes_request *request, struct uid_list *changed,
                               struct uid_list *vanished)
{
	struct index_key prefix;
	struct index_key from;
	struct index_walk walk;

	key_tree(&prefix, mailbox->account, TREE_CHANGE);
	key_u64(&prefix, mailbox->id);
	from = prefix;
	key_u64(&from, request->since + 1);
	walk_begin(&walk, access, TABLE_TREE, &prefix, &from);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		uint32_t uid = key_read_u32((const char *)walk.key.mv_data + prefix.size + 8);

		if (uid >= request->from_uid)
			uid_list_add(*(const uint8_t *)walk.value.mv_data ? vanished : changed,
			             uid);
	}
	walk_end(&walk);
	if (changed->count != 0)
		qsort(changed->uids, changed->count, sizeof(uint32_t), compare_uids);
	if (vanished->count != 0)
		qsort(vanished->uids, vanished->count, sizeof(uint32_t), compare_uids);
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
	vanished->ranges = gaps;
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

static enum pn_status collect_changes(struct index_access *access, const struct mailbox *mailbox,
                                      const struct pn_changes_request *request,
                                      struct pn_changes *result, struct table *table)
{
	struct describing describing = {.access = access, .fields = PN_ROW_FLAGS};
	struct uid_list changed = {0};
	struct uid_list vanished = {0};
	enum pn_status status = read_log(access, mailbox, request, &changed, &vanished);

	if (status == PN_OK)
		status = keywords_load(access, mailbox, &describing.words);
	for (size_t i = 0; i < changed.count && status == PN_OK; i++) {
		struct message_row row;

		if (table->count >= request->max_rows) {
			result->is_complete = false;
			result->next_uid = changed.uids[i];
			break;
		}
		status = message_load(access, mailbox, changed.uids[i], &row);
		if (status == PN_OK)
			status = describe_row(&describing, changed.uids[i], &row, table_add(table));
	}
	free(changed.uids);
	result->vanished = uid_list_set(access, &vanished);
	if (status == PN_OK && request->since < mailbox->row.log_floor)
		status = all_gaps(access, mailbox, request->from_uid,
		                  (result->vanished.count = 0, &result->vanished));
	if (!result->is_complete)
		cut_set(&result->vanished, result->next_uid);
	return status;
}

enum pn_status local_changes(void *instance, struct pn_store_call *call,
                             const struct pn_changes_request *request, struct pn_changes *result)
{
	struct index_access access;
	struct table table = {.row_size = sizeof(struct pn_row)};
	struct account account;
	struct mailbox *mailbox;
	enum pn_status status = begin(instance, call, &access);

	if (status != PN_OK)
		return status;
	result->is_complete = true;
	result->next_uid = 0;
	status = open_mailbox(&access, request->account, request->mailbox, &account, &mailbox);
	if (status == PN_OK)
		status = collect_changes(&access, mailbox, request, result, &table);
	index_abort(&access);
	result->row_size = sizeof(struct pn_row);
	result->count = table.count;
	result->rows = table_keep(&table, call->arena);
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
