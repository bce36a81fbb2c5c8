/* SPDX-License-Identifier: Apache-2.0 */
/* Questions: answered from the tables, texts copied into the caller's arena. */
#include "store_memory.h"

#include <stdlib.h>
#include <string.h>

#include <postern/text.h>

static struct memory_account *account_of(void *instance, struct pn_slice name)
{
	return account_find(((struct memory_store *)instance)->accounts, name);
}

static void describe_mailbox(const struct memory_mailbox *mailbox, struct pn_arena *arena,
                             struct pn_mailbox_info *info)
{
	*info = (struct pn_mailbox_info){
		.id = mailbox->id,
		.name = pn_arena_keep(arena, mailbox->name),
		.attributes = mailbox->attributes,
		.uid_validity = mailbox->uid_validity,
		.uid_next = mailbox->uid_next,
		.highest_modseq = mailbox->highest_modseq,
	};
	for (size_t i = 0; i < mailbox->row_count; i++) {
		const struct memory_row *row = &mailbox->rows[i];

		if (row->is_expunged)
			continue;
		info->message_count++;
		info->unseen_count += !(row->system_flags & PN_FLAG_SEEN);
		info->deleted_count += !!(row->system_flags & PN_FLAG_DELETED);
		info->size_bytes += row->body->bytes.size;
	}
}

static void describe_row(const struct memory_mailbox *mailbox, const struct memory_row *row,
                         struct pn_arena *arena, struct pn_row *result)
{
	struct pn_slice *words = PN_ARENA_ARRAY(arena, mailbox->keyword_count, struct pn_slice);

	*result = (struct pn_row){
		.uid = row->uid,
		.is_expunged = row->is_expunged,
		.modseq = row->modseq,
		.flags = {.system = row->system_flags, .keywords = words},
		.internal_date_ms = row->internal_date_ms,
		.saved_date_ms = row->saved_date_ms,
		.size = row->body->bytes.size,
		.header_size = row->body->header_size,
		.body = row->body->id,
		.thread = row->body->id,
		.summary = pn_arena_keep(arena, row->body->summary),
	};
	for (size_t bit = 0; bit < mailbox->keyword_count; bit++)
		if (row->keywords >> bit & 1)
			words[result->flags.keyword_count++] =
				pn_arena_keep(arena, mailbox->keywords[bit]);
}

enum pn_status memory_accounts(void *instance, struct pn_store_call *call,
                               const struct pn_accounts_request *request,
                               struct pn_accounts *result)
{
	struct memory_account *account = ((struct memory_store *)instance)->accounts;
	struct pn_account_info *infos;
	size_t count = 0;
	bool is_behind = request->after.size == 0;

	for (struct memory_account *one = account; one != NULL; one = one->next)
		count++;
	infos = PN_ARENA_ARRAY(call->arena, count, struct pn_account_info);
	result->is_complete = true;
	for (; account != NULL; account = account->next) {
		struct pn_account_info *info = &infos[result->count];

		if (!is_behind) {
			size_t size = account->name.size < request->after.size
			                      ? account->name.size
			                      : request->after.size;
			int order = memcmp(account->name.data, request->after.data, size);

			is_behind = order > 0 ||
			            (order == 0 && account->name.size > request->after.size);
		}
		if (!is_behind)
			continue;
		if (result->count == request->max_accounts) {
			result->is_complete = false;
			break;
		}
		info->name = pn_arena_keep(call->arena, account->name);
		info->modseq = account->modseq;
		info->quota_bytes = account->quota_bytes;
		info->size_bytes = account_size(account, &info->message_count);
		result->count++;
	}
	result->accounts = infos;
	result->account_size = sizeof(*infos);
	return PN_OK;
}

/* --------------------------------------------------------------------- mailboxes */

static int by_name(const void *left, const void *right)
{
	const struct pn_mailbox_info *a = left;
	const struct pn_mailbox_info *b = right;
	size_t size = a->name.size < b->name.size ? a->name.size : b->name.size;
	int order;

	if (name_is_inbox(a->name) != name_is_inbox(b->name))
		return name_is_inbox(a->name) ? -1 : 1;
	order = memcmp(a->name.data, b->name.data, size);
	return order != 0 ? order : (a->name.size > b->name.size) - (a->name.size < b->name.size);
}

/* The entry of that name, made where there is none. */
static struct pn_mailbox_info *entry(struct pn_mailbox_info *infos, size_t *count,
                                     struct pn_slice name, uint32_t attributes)
{
	for (size_t i = 0; i < *count; i++)
		if (pn_slice_equal(infos[i].name, name))
			return &infos[i];
	infos[*count].name = name;
	infos[*count].attributes = attributes;
	return &infos[(*count)++];
}

static const uint32_t *recent_uids(struct memory_account *account,
                                   const struct pn_mailbox_info *infos, size_t count,
                                   struct pn_arena *arena)
{
	uint32_t *recent = PN_ARENA_ARRAY(arena, count, uint32_t);

	for (size_t i = 0; i < count; i++)
		if (infos[i].id != 0)
			recent[i] = mailbox_by_id(account, infos[i].id)->recent_uid;
	return recent;
}

enum pn_status memory_mailboxes(void *instance, struct pn_store_call *call,
                                const struct pn_mailboxes_request *request,
                                struct pn_mailboxes *result)
{
	struct memory_account *account = account_of(instance, request->account);
	struct pn_slice name = name_canonical(call->arena, request->name);
	struct pn_mailbox_info *infos;
	size_t room = 0;
	size_t count = 0;

	if (account == NULL)
		return PN_NOT_FOUND;
	for (size_t i = 0; i < account->mailbox_count; i++)
		for (size_t k = 0; k <= account->mailboxes[i].name.size; k++)
			room += k == 0 || account->mailboxes[i].name.data[k - 1] == '/';
	infos = PN_ARENA_ARRAY(call->arena, room + account->subscription_count,
	                       struct pn_mailbox_info);
	for (; count < account->mailbox_count; count++)
		describe_mailbox(&account->mailboxes[count], call->arena, &infos[count]);
	for (size_t i = 0; i < account->mailbox_count; i++)
		for (size_t k = 1; k < infos[i].name.size; k++)
			if (infos[i].name.data[k] == '/')
				entry(infos, &count, pn_slice_make(infos[i].name.data, k),
				      PN_MAILBOX_NO_SELECT)
					->attributes |= PN_MAILBOX_HAS_CHILDREN;
	for (size_t i = 0; i < account->subscription_count; i++)
		entry(infos, &count, pn_arena_keep(call->arena, account->subscriptions[i]),
		      PN_MAILBOX_NONEXISTENT)
			->attributes |= PN_MAILBOX_SUBSCRIBED;
	for (size_t i = 0; i < count; i++)
		if ((name.size == 0 || pn_slice_equal(infos[i].name, name)) &&
		    (request->id == 0 || infos[i].id == request->id))
			infos[result->count++] = infos[i];
	if (result->count == 0 && (name.size != 0 || request->id != 0))
		return PN_NOT_FOUND;
	if (result->count != 0)
		qsort(infos, result->count, sizeof(*infos), by_name);
	result->recent_uids = recent_uids(account, infos, result->count, call->arena);
	result->mailboxes = infos;
	result->mailbox_size = sizeof(*infos);
	result->modseq = account->modseq;
	return PN_OK;
}

/* -------------------------------------------------------------------------- rows */

static struct memory_mailbox *open_mailbox(void *instance, struct pn_slice name, uint64_t id,
                                           struct memory_account **account_out)
{
	struct memory_account *account = account_of(instance, name);

	*account_out = account;
	return account == NULL ? NULL : mailbox_by_id(account, id);
}

static struct pn_uid_set uids_of(const struct memory_mailbox *mailbox, struct pn_arena *arena)
{
	uint32_t *uids = PN_ARENA_ARRAY(arena, mailbox->row_count, uint32_t);
	size_t count = 0;

	for (size_t i = 0; i < mailbox->row_count; i++)
		if (!mailbox->rows[i].is_expunged)
			uids[count++] = mailbox->rows[i].uid;
	return pn_uid_set_of(arena, uids, count);
}

enum pn_status memory_view(void *instance, struct pn_store_call *call,
                           const struct pn_view_request *request, struct pn_view *result)
{
	struct memory_account *account;
	struct memory_mailbox *mailbox =
		open_mailbox(instance, request->account, request->mailbox, &account);
	struct pn_slice *words;

	if (mailbox == NULL)
		return PN_NOT_FOUND;
	words = PN_ARENA_ARRAY(call->arena, mailbox->keyword_count, struct pn_slice);
	for (size_t i = 0; i < mailbox->keyword_count; i++)
		words[i] = pn_arena_keep(call->arena, mailbox->keywords[i]);
	describe_mailbox(mailbox, call->arena, &result->mailbox);
	result->uids = uids_of(mailbox, call->arena);
	result->modseq = account->modseq;
	result->keywords = words;
	result->keyword_count = mailbox->keyword_count;
	result->recent_uid = mailbox->recent_uid;
	return PN_OK;
}

enum pn_status memory_rows(void *instance, struct pn_store_call *call,
                           const struct pn_rows_request *request, struct pn_rows *result)
{
	struct memory_account *account;
	struct memory_mailbox *mailbox =
		open_mailbox(instance, request->account, request->mailbox, &account);
	struct pn_row *rows;

	if (mailbox == NULL)
		return PN_NOT_FOUND;
	rows = PN_ARENA_ARRAY(call->arena, mailbox->row_count, struct pn_row);
	for (size_t i = 0; i < mailbox->row_count; i++) {
		const struct memory_row *row = &mailbox->rows[i];

		if (!pn_uid_set_has(request->uids, row->uid) ||
		    (row->is_expunged && !request->with_expunged) ||
		    row->modseq <= request->changed_since)
			continue;
		if (result->count == request->max_rows) {
			result->next_uid = row->uid;
			break;
		}
		describe_row(mailbox, row, call->arena, &rows[result->count++]);
	}
	result->rows = rows;
	result->row_size = sizeof(*rows);
	return PN_OK;
}

enum pn_status memory_changes(void *instance, struct pn_store_call *call,
                              const struct pn_changes_request *request, struct pn_changes *result)
{
	struct memory_account *account;
	struct memory_mailbox *mailbox =
		open_mailbox(instance, request->account, request->mailbox, &account);
	struct pn_row *rows;
	uint32_t *gone;
	size_t gone_count = 0;

	if (mailbox == NULL)
		return PN_NOT_FOUND;
	rows = PN_ARENA_ARRAY(call->arena, mailbox->row_count, struct pn_row);
	gone = PN_ARENA_ARRAY(call->arena, mailbox->row_count, uint32_t);
	result->is_complete = true;
	for (size_t i = 0; i < mailbox->row_count; i++) {
		const struct memory_row *row = &mailbox->rows[i];

		if (row->modseq <= request->since || row->uid < request->from_uid)
			continue;
		if (row->is_expunged) {
			if (row->expunged_modseq > request->since)
				gone[gone_count++] = row->uid;
			continue;
		}
		if (result->count == request->max_rows) {
			result->is_complete = false;
			result->next_uid = row->uid;
			break;
		}
		describe_row(mailbox, row, call->arena, &rows[result->count++]);
	}
	result->rows = rows;
	result->row_size = sizeof(*rows);
	result->vanished = pn_uid_set_of(call->arena, gone, gone_count);
	result->modseq = account->modseq;
	describe_mailbox(mailbox, call->arena, &result->mailbox);
	return PN_OK;
}

enum pn_status memory_body_read(void *instance, struct pn_store_call *call,
                                const struct pn_body_request *request, struct pn_body_piece *result)
{
	const struct memory_body *body = body_find(instance, request->body);
	struct pn_slice bytes;

	if (body == NULL)
		return PN_NOT_FOUND;
	bytes = body->bytes;
	result->total_size = bytes.size;
	if (request->offset >= bytes.size)
		return PN_OK;
	bytes = pn_slice_make(bytes.data + request->offset, bytes.size - (size_t)request->offset);
	if (bytes.size > request->max_size)
		bytes.size = request->max_size;
	result->bytes = pn_arena_keep(call->arena, bytes);
	return PN_OK;
}

enum pn_status memory_bodies(void *instance, struct pn_store_call *call,
                             const struct pn_bodies_request *request, struct pn_bodies *result)
{
	struct pn_body_entry *entries =
		PN_ARENA_ARRAY(call->arena, request->count, struct pn_body_entry);
	size_t left = request->max_size;

	result->entries = entries;
	result->entry_size = sizeof(*entries);
	for (size_t i = 0; i < request->count; i++) {
		const struct memory_body *body = body_find(instance, request->bodies[i]);
		size_t size = body == NULL ? 0 : body->bytes.size;
		struct pn_body_entry *entry = &entries[i];

		if (size > left && size <= request->max_size)
			break;
		result->count++;
		if (body == NULL) {
			entry->status = PN_NOT_FOUND;
		} else if (size > left) {
			entry->status = PN_LIMIT;
		} else {
			entry->bytes = pn_arena_keep(call->arena, body->bytes);
			left -= size;
		}
	}
	return PN_OK;
}
