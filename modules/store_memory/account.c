/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts, mailboxes and bodies as tables in memory. */
#include "store_memory.h"

#include <stdlib.h>
#include <string.h>

#include <postern/text.h>

static int compare(struct pn_slice left, struct pn_slice right)
{
	size_t size = left.size < right.size ? left.size : right.size;
	int order = size == 0 ? 0 : memcmp(left.data, right.data, size);

	return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

bool name_is_inbox(struct pn_slice name)
{
	return pn_slice_equal(name, PN_SLICE("INBOX"));
}

struct pn_slice name_canonical(struct pn_arena *arena, struct pn_slice name)
{
	struct pn_slice copy;

	if (!pn_slice_starts_with_ignore_case(name, PN_SLICE("INBOX")) ||
	    (name.size > 5 && name.data[5] != '/'))
		return name;
	copy = pn_arena_keep(arena, name);
	memcpy((char *)(uintptr_t)copy.data, "INBOX", 5);
	return copy;
}

struct memory_account *account_find(struct memory_account *first, struct pn_slice name)
{
	for (; first != NULL; first = first->next)
		if (pn_slice_equal(first->name, name))
			return first;
	return NULL;
}

void account_free(struct memory_account *account)
{
	struct pn_arena *arena;

	if (account == NULL)
		return;
	arena = account->arena; /* the account lies in it */
	pn_arena_free(&arena);
}

static void *copy_table(struct pn_arena *arena, const void *rows, size_t count, size_t size)
{
	void *copy = pn_arena_allocate_array(arena, count, size);

	if (count != 0)
		memcpy(copy, rows, count * size);
	return copy;
}

/* All of it, in an arena of its own. */
struct memory_account *account_copy(const struct memory_account *account)
{
	struct pn_arena *arena = pn_arena_new();
	struct memory_account *copy = PN_ARENA_NEW(arena, struct memory_account);

	*copy = *account;
	copy->arena = arena;
	copy->next = NULL;
	copy->name = pn_arena_keep(arena, account->name);
	copy->mailboxes = copy_table(arena, account->mailboxes, account->mailbox_count,
	                             sizeof(*copy->mailboxes));
	for (size_t i = 0; i < copy->mailbox_count; i++) {
		struct memory_mailbox *mailbox = &copy->mailboxes[i];

		mailbox->name = pn_arena_keep(arena, mailbox->name);
		mailbox->rows = copy_table(arena, mailbox->rows, mailbox->row_count,
		                           sizeof(*mailbox->rows));
		mailbox->row_capacity = mailbox->row_count;
		for (size_t k = 0; k < mailbox->keyword_count; k++)
			mailbox->keywords[k] = pn_arena_keep(arena, mailbox->keywords[k]);
	}
	copy->subscriptions = copy_table(arena, account->subscriptions, account->subscription_count,
	                                 sizeof(struct pn_slice));
	for (size_t i = 0; i < copy->subscription_count; i++)
		copy->subscriptions[i] = pn_arena_keep(arena, copy->subscriptions[i]);
	copy->onces =
		copy_table(arena, account->onces, account->once_count, sizeof(struct memory_once));
	for (size_t i = 0; i < copy->once_count; i++)
		copy->onces[i].key = pn_arena_keep(arena, copy->onces[i].key);
	return copy;
}

struct memory_account *account_new(struct memory_store *store, struct pn_slice name)
{
	struct pn_arena *arena = pn_arena_new();
	struct memory_account *account = PN_ARENA_NEW(arena, struct memory_account);

	account->arena = arena;
	account->name = pn_arena_keep(arena, name);
	account->modseq = 1;
	account->next_mailbox = 1;
	mailbox_add(store, account, PN_SLICE("INBOX"));
	return account;
}

/* Puts a draft in the place of the account of its name. */
void accounts_put(struct memory_store *store, struct memory_account *draft)
{
	struct memory_account **place = &store->accounts;

	while (*place != NULL && compare((*place)->name, draft->name) < 0)
		place = &(*place)->next;
	if (*place != NULL && pn_slice_equal((*place)->name, draft->name)) {
		struct memory_account *old = *place;

		*place = old->next;
		account_free(old);
	}
	if (draft->is_deleted) {
		account_free(draft);
		return;
	}
	draft->next = *place;
	*place = draft;
}

uint64_t account_size(const struct memory_account *account, uint32_t *count_out)
{
	uint64_t size = 0;
	uint32_t count = 0;

	for (size_t i = 0; i < account->mailbox_count; i++)
		for (size_t k = 0; k < account->mailboxes[i].row_count; k++) {
			if (account->mailboxes[i].rows[k].is_expunged)
				continue;
			size += account->mailboxes[i].rows[k].body->bytes.size;
			count++;
		}
	if (count_out != NULL)
		*count_out = count;
	return size;
}

struct memory_mailbox *mailbox_by_id(struct memory_account *account, uint64_t id)
{
	for (size_t i = 0; i < account->mailbox_count; i++)
		if (account->mailboxes[i].id == id)
			return &account->mailboxes[i];
	return NULL;
}

struct memory_mailbox *mailbox_by_name(struct memory_account *account, struct pn_slice name)
{
	for (size_t i = 0; i < account->mailbox_count; i++)
		if (pn_slice_equal(account->mailboxes[i].name, name))
			return &account->mailboxes[i];
	return NULL;
}

/* Mailboxes move in memory: pointers to others of the account are stale after this. */
struct memory_mailbox *mailbox_add(struct memory_store *store, struct memory_account *account,
                                   struct pn_slice name)
{
	struct memory_mailbox *mailboxes =
		PN_ARENA_ARRAY(account->arena, account->mailbox_count + 1, struct memory_mailbox);
	struct memory_mailbox *mailbox = &mailboxes[account->mailbox_count];
	uint32_t now = (uint32_t)(pn_clock_wall_ms() / 1000);

	if (account->mailbox_count != 0)
		memcpy(mailboxes, account->mailboxes, account->mailbox_count * sizeof(*mailboxes));
	account->mailboxes = mailboxes;
	account->mailbox_count++;
	store->last_uid_validity =
		now > store->last_uid_validity ? now : store->last_uid_validity + 1;
	mailbox->id = account->next_mailbox++;
	mailbox->name = pn_arena_keep(account->arena, name);
	mailbox->uid_validity = store->last_uid_validity;
	mailbox->uid_next = 1;
	mailbox->recent_uid = 1;
	mailbox->highest_modseq = ++account->modseq;
	return mailbox;
}

void mailbox_remove(struct memory_account *account, struct memory_mailbox *mailbox)
{
	size_t index = (size_t)(mailbox - account->mailboxes);

	account->mailbox_count--;
	memmove(mailbox, mailbox + 1, (account->mailbox_count - index) * sizeof(*mailbox));
}

/* A new last row with the next UID and the account's modseq. */
struct memory_row *row_add(struct memory_account *account, struct memory_mailbox *mailbox)
{
	struct memory_row *row;

	if (mailbox->row_count == mailbox->row_capacity) {
		struct memory_row *rows;

		mailbox->row_capacity = mailbox->row_capacity * 2 + 8;
		rows = PN_ARENA_ARRAY(account->arena, mailbox->row_capacity, struct memory_row);
		if (mailbox->row_count != 0)
			memcpy(rows, mailbox->rows, mailbox->row_count * sizeof(*rows));
		mailbox->rows = rows;
	}
	row = &mailbox->rows[mailbox->row_count++];
	memset(row, 0, sizeof(*row));
	row->uid = mailbox->uid_next++;
	row->modseq = mailbox->highest_modseq = account->modseq;
	row->saved_date_ms = pn_clock_wall_ms();
	return row;
}

void subscription_set(struct memory_account *account, struct pn_slice name, bool on)
{
	struct pn_slice *more;
	size_t at = 0;

	while (at < account->subscription_count &&
	       !pn_slice_equal(account->subscriptions[at], name))
		at++;
	if (!on && at < account->subscription_count)
		account->subscriptions[at] = account->subscriptions[--account->subscription_count];
	if (!on || at < account->subscription_count)
		return;
	more = PN_ARENA_ARRAY(account->arena, at + 1, struct pn_slice);
	if (at != 0)
		memcpy(more, account->subscriptions, at * sizeof(*more));
	more[at] = pn_arena_keep(account->arena, name);
	account->subscriptions = more;
	account->subscription_count++;
}

/* ------------------------------------------------------------------------ bodies */

static struct memory_body **bucket(struct memory_store *store, struct pn_body_id id)
{
	return &store->bodies[(id.bytes[14] << 8 | id.bytes[15]) % BODY_BUCKETS];
}

struct memory_body *body_find(struct memory_store *store, struct pn_body_id id)
{
	struct memory_body *body = *bucket(store, id);

	while (body != NULL && memcmp(&body->id, &id, sizeof(id)) != 0)
		body = body->next;
	return body;
}

struct memory_body *body_put(struct memory_store *store, const struct pn_body_source *source)
{
	struct memory_body *body = PN_ARENA_NEW(store->arena, struct memory_body);
	struct memory_body **place;
	struct pn_slice written = {0};
	size_t size = 0;
	char *bytes;

	pn_random(body->id.bytes, sizeof(body->id.bytes));
	body->header_size = source->header_size;
	body->summary = pn_arena_keep(store->arena, source->summary);
	for (size_t i = 0; i < source->piece_count; i++)
		size += source->pieces[i].size;
	if (source->writer != NULL)
		written = writer_bytes(source->writer);
	bytes = pn_arena_allocate(store->arena, size + written.size);
	body->bytes = pn_slice_make(bytes, size + written.size);
	for (size_t i = 0; i < source->piece_count; i++) {
		if (source->pieces[i].size != 0)
			memcpy(bytes, source->pieces[i].data, source->pieces[i].size);
		bytes += source->pieces[i].size;
	}
	if (written.size != 0)
		memcpy(bytes, written.data, written.size);
	place = bucket(store, body->id);
	body->next = *place;
	*place = body;
	return body;
}
