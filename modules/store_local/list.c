/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The question for mailboxes: one of them, found by name or id without a look at
 * the others, or all, in an order in which what is below a name stands behind it,
 * so that levels are found in one pass. On the loop.
 */
#include "store_local.h"

#include <stdlib.h>
#include <string.h>

#include <postern/text.h>

struct listed {
	struct pn_mailbox_info info;
	uint32_t recent_uid;
};

struct list {
	struct listed *rows; /* malloc'd */
	size_t count;
	size_t capacity;
};

static struct listed *list_add(struct list *list)
{
	if (list->count == list->capacity) {
		list->capacity = list->capacity == 0 ? 32 : list->capacity * 2;
		list->rows = reallocarray(list->rows, list->capacity, sizeof(*list->rows));
		if (list->rows == NULL)
			abort();
	}
	return memset(&list->rows[list->count++], 0, sizeof(*list->rows));
}

static int compare_plain(struct pn_slice left, struct pn_slice right)
{
	size_t size = left.size < right.size ? left.size : right.size;
	int order = size == 0 ? 0 : memcmp(left.data, right.data, size);

	return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

/* INBOX first, then by name. */
static int compare_for_result(const void *left, const void *right)
{
	struct pn_slice a = ((const struct listed *)left)->info.name;
	struct pn_slice b = ((const struct listed *)right)->info.name;
	bool a_first = mailbox_is_inbox(a);
	bool b_first = mailbox_is_inbox(b);

	if (a_first != b_first)
		return a_first ? -1 : 1;
	return compare_plain(a, b);
}

/* '/' before everything else: what is below a name stands right behind it. */
static int compare_as_tree(struct pn_slice left, struct pn_slice right)
{
	size_t size = left.size < right.size ? left.size : right.size;
	size_t at = 0;

	while (at < size && left.data[at] == right.data[at])
		at++;
	if (at == size)
		return (left.size > right.size) - (left.size < right.size);
	if (left.data[at] == '/' || right.data[at] == '/')
		return left.data[at] == '/' ? -1 : 1;
	return (unsigned char)left.data[at] < (unsigned char)right.data[at] ? -1 : 1;
}

static int compare_tree(const void *left, const void *right)
{
	return compare_as_tree(((const struct listed *)left)->info.name,
	                       ((const struct listed *)right)->info.name);
}

static bool is_below(struct pn_slice name, struct pn_slice above)
{
	return name.size > above.size && name.data[above.size] == '/' &&
	       memcmp(name.data, above.data, above.size) == 0;
}

/* ------------------------------------------------------------------------- all */

static enum pn_status add_mailboxes(struct index_access *access, uint64_t account,
                                    struct list *list)
{
	struct index_key prefix;
	struct index_walk walk;

	key_tree(&prefix, account, TREE_MAILBOX);
	walk_begin(&walk, access, TABLE_TREE, &prefix, NULL);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		struct mailbox mailbox;
		struct listed *listed;
		enum pn_status status = mailbox_read(
			access, account, key_read_u64((const char *)walk.key.mv_data + prefix.size),
			walk.value, &mailbox);

		if (status != PN_OK) {
			walk_end(&walk);
			return status;
		}
		listed = list_add(list);
		mailbox_describe(&mailbox, access->arena, &listed->info);
		listed->recent_uid = mailbox.row.recent_uid;
	}
	walk_end(&walk);
	return walk.status == PN_NOT_FOUND ? PN_OK : walk.status;
}

/* Levels that are no mailboxes: each name is compared with the one before it. */
static void add_levels(struct list *list)
{
	size_t count = list->count;

	if (count != 0)
		qsort(list->rows, count, sizeof(*list->rows), compare_tree);
	for (size_t i = 0; i < count; i++) {
		struct pn_slice name = list->rows[i].info.name;
		struct pn_slice before = i == 0 ? PN_SLICE_NONE : list->rows[i - 1].info.name;

		for (size_t at = 1; at < name.size; at++) {
			struct pn_slice level = pn_slice_make(name.data, at);
			struct listed *added;

			/* Where it is above the one before, or that one itself, it was seen. */
			if (name.data[at] != '/' || pn_slice_equal(before, level) ||
			    is_below(before, level))
				continue;
			added = list_add(list);
			added->info.name = level;
			added->info.attributes = PN_MAILBOX_NO_SELECT;
		}
	}
	if (list->count != count)
		qsort(list->rows, list->count, sizeof(*list->rows), compare_tree);
	for (size_t i = 0; i + 1 < list->count; i++)
		if (is_below(list->rows[i + 1].info.name, list->rows[i].info.name))
			list->rows[i].info.attributes |= PN_MAILBOX_HAS_CHILDREN;
}

static enum pn_status add_subscriptions(struct index_access *access, uint64_t account,
                                        struct list *list)
{
	struct index_key prefix;
	struct index_walk walk;
	size_t count = list->count;

	key_tree(&prefix, account, TREE_SUBSCRIPTION);
	walk_begin(&walk, access, TABLE_TREE, &prefix, NULL);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		struct pn_slice name = pn_slice_make(walk.value.mv_data, walk.value.mv_size);
		struct listed wanted = {.info.name = name};
		struct listed *listed = count == 0 ? NULL
		                                   : bsearch(&wanted, list->rows, count,
		                                             sizeof(wanted), compare_tree);

		if (listed == NULL) {
			listed = list_add(list);
			listed->info.name = pn_arena_keep(access->arena, name);
			listed->info.attributes = PN_MAILBOX_NONEXISTENT;
		}
		listed->info.attributes |= PN_MAILBOX_SUBSCRIBED;
	}
	walk_end(&walk);
	return walk.status == PN_NOT_FOUND ? PN_OK : walk.status;
}

/* ------------------------------------------------------------------ one of them */

/* What is said of a name besides what stands in the mailbox's row. */
static enum pn_status add_surroundings(struct index_access *access, uint64_t account,
                                       struct pn_mailbox_info *info)
{
	bool has_children = false;
	bool is_subscribed = false;
	enum pn_status status = mailbox_has_children(access, account, info->name, &has_children);

	if (status == PN_OK)
		status = mailbox_is_subscribed(access, account, info->name, &is_subscribed);
	if (status != PN_OK)
		return status;
	if (has_children)
		info->attributes |= PN_MAILBOX_HAS_CHILDREN;
	if (info->id == 0 && has_children)
		info->attributes |= PN_MAILBOX_NO_SELECT;
	else if (info->id == 0 && is_subscribed)
		info->attributes |= PN_MAILBOX_NONEXISTENT;
	if (is_subscribed)
		info->attributes |= PN_MAILBOX_SUBSCRIBED;
	return info->id != 0 || has_children || is_subscribed ? PN_OK : PN_NOT_FOUND;
}

static enum pn_status add_one(struct index_access *access, uint64_t account,
                              const struct pn_mailboxes_request *request, struct list *list)
{
	struct mailbox *mailbox = PN_ARENA_NEW(access->arena, struct mailbox);
	struct pn_slice name = mailbox_canonical_name(access, request->name);
	struct listed *listed = list_add(list);
	enum pn_status status;

	if (request->id != 0)
		status = mailbox_load(access, account, request->id, mailbox);
	else
		status = mailbox_load_name(access, account, name, mailbox);
	if (status == PN_FAILED || (status == PN_NOT_FOUND && request->id != 0))
		return status;
	if (request->id != 0 && name.size != 0 && !pn_slice_equal(name, mailbox_name(mailbox)))
		return PN_NOT_FOUND;
	if (status == PN_OK) {
		mailbox_describe(mailbox, access->arena, &listed->info);
		listed->recent_uid = mailbox->row.recent_uid;
	} else {
		listed->info.name = pn_arena_keep(access->arena, name);
	}
	return add_surroundings(access, account, &listed->info);
}

static void give(struct list *list, struct pn_arena *arena, struct pn_mailboxes *result)
{
	struct pn_mailbox_info *infos = PN_ARENA_ARRAY(arena, list->count, struct pn_mailbox_info);
	uint32_t *recent_uids = PN_ARENA_ARRAY(arena, list->count, uint32_t);

	for (size_t i = 0; i < list->count; i++) {
		infos[i] = list->rows[i].info;
		recent_uids[i] = list->rows[i].recent_uid;
	}
	result->mailbox_size = sizeof(*infos);
	result->mailboxes = infos;
	result->count = list->count;
	result->recent_uids = recent_uids;
}

enum pn_status local_mailboxes(void *instance, struct pn_store_call *call,
                               const struct pn_mailboxes_request *request,
                               struct pn_mailboxes *result)
{
	struct local_store *store = instance;
	struct index_access access = {.store = store,
	                              .index = &store->index,
	                              .error = &call->error,
	                              .arena = call->arena};
	struct list list = {0};
	struct account account;
	enum pn_status status = index_begin(&access, false);

	if (status != PN_OK)
		return status;
	status = account_load(&access, request->account, &account);
	if (status == PN_OK && (request->name.size != 0 || request->id != 0)) {
		status = add_one(&access, account.id, request, &list);
	} else if (status == PN_OK) {
		status = add_mailboxes(&access, account.id, &list);
		add_levels(&list);
		if (status == PN_OK)
			status = add_subscriptions(&access, account.id, &list);
		if (list.count != 0)
			qsort(list.rows, list.count, sizeof(*list.rows), compare_for_result);
	}
	index_abort(&access);
	if (status == PN_OK) {
		give(&list, call->arena, result);
		result->modseq = account.row.modseq;
	}
	free(list.rows);
	return status;
}
