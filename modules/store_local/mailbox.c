/* SPDX-License-Identifier: Apache-2.0 */
/* Mailboxes in the index: the tree of names, by name and by id, and subscriptions. */
#include "store_local.h"

#include <stdlib.h>
#include <string.h>

#include <postern/text.h>

struct pn_slice mailbox_name(const struct mailbox *mailbox)
{
	return pn_slice_make(mailbox->name, mailbox->row.name_size);
}

bool mailbox_is_inbox(struct pn_slice name)
{
	return pn_slice_equal(name, PN_SLICE("INBOX"));
}

/* "inbox" and "Inbox/x" are written with INBOX in capitals. */
struct pn_slice mailbox_canonical_name(struct index_access *access, struct pn_slice name)
{
	struct pn_slice copy;

	if (!pn_slice_starts_with_ignore_case(name, PN_SLICE("INBOX")) ||
	    (name.size > 5 && name.data[5] != '/'))
		return name;
	copy = pn_arena_keep(access->arena, name);
	memcpy((char *)(uintptr_t)copy.data, "INBOX", 5);
	return copy;
}

static enum pn_status check_name(struct index_access *access, struct pn_slice name)
{
	char previous = '/';

	if (name.size == 0 || name.size > PN_MAILBOX_NAME_MAX)
		return pn_fail_with(PN_LIMIT, access->error,
		                    "a mailbox's name has 1 to %d bytes; this one has %zu",
		                    PN_MAILBOX_NAME_MAX, name.size);
	for (size_t i = 0; i < name.size; i++) {
		unsigned char byte = (unsigned char)name.data[i];

		if (byte < 0x20 || byte == 0x7f || (byte == '/' && previous == '/'))
			goto refused;
		previous = (char)byte;
	}
	if (previous != '/')
		return PN_OK;
refused:
	return pn_fail_with(
		PN_CONFLICT, access->error,
		"a mailbox cannot have this name: an empty level or a control character");
}

static void name_key(struct index_key *key, uint64_t account, enum tree_kind kind,
                     struct pn_slice name)
{
	key_tree(key, account, kind);
	key_hash(key, name);
}

enum pn_status mailbox_load(struct index_access *access, uint64_t account, uint64_t id,
                            struct mailbox *mailbox)
{
	struct index_key key;
	MDB_val value;
	enum pn_status status;

	key_tree(&key, account, TREE_MAILBOX);
	key_u64(&key, id);
	status = index_get(access, TABLE_TREE, &key, &value);
	if (status == PN_NOT_FOUND)
		return pn_fail_with(PN_NOT_FOUND, access->error, "there is no mailbox %llu",
		                    (unsigned long long)id);
	if (status != PN_OK)
		return status;
	mailbox->account = account;
	mailbox->id = id;
	if (value.mv_size < sizeof(mailbox->row))
		goto short_row;
	memcpy(&mailbox->row, value.mv_data, sizeof(mailbox->row));
	if (mailbox->row.name_size > sizeof(mailbox->name) ||
	    mailbox->row.name_size != value.mv_size - sizeof(mailbox->row))
		goto short_row;
	memcpy(mailbox->name, (const char *)value.mv_data + sizeof(mailbox->row),
	       mailbox->row.name_size);
	return PN_OK;
short_row:
	return pn_fail(access->error, "the index %s has a damaged row for mailbox %llu",
	               access->index->path, (unsigned long long)id);
}

enum pn_status mailbox_load_name(struct index_access *access, uint64_t account,
                                 struct pn_slice name, struct mailbox *mailbox)
{
	struct index_key key;
	uint64_t id;
	enum pn_status status;

	name_key(&key, account, TREE_NAME, name);
	status = index_get_fixed(access, TABLE_TREE, &key, &id, sizeof(id));
	if (status == PN_OK)
		status = mailbox_load(access, account, id, mailbox);
	/* Somebody who makes two names with one hash gets no further than this. */
	if (status == PN_OK && !pn_slice_equal(mailbox_name(mailbox), name))
		status = PN_NOT_FOUND;
	if (status == PN_NOT_FOUND)
		return pn_fail_with(PN_NOT_FOUND, access->error,
		                    "there is no mailbox of that name");
	return status;
}

enum pn_status mailbox_save(struct index_access *access, const struct mailbox *mailbox)
{
	struct index_key key;

	key_tree(&key, mailbox->account, TREE_MAILBOX);
	key_u64(&key, mailbox->id);
	return index_put_two(access, TABLE_TREE, &key, &mailbox->row, sizeof(mailbox->row),
	                     mailbox_name(mailbox));
}

static enum pn_status put_name(struct index_access *access, const struct mailbox *mailbox)
{
	struct index_key key;
	uint64_t other;
	enum pn_status status;

	name_key(&key, mailbox->account, TREE_NAME, mailbox_name(mailbox));
	status = index_get_fixed(access, TABLE_TREE, &key, &other, sizeof(other));
	if (status == PN_OK)
		return pn_fail_with(PN_CONFLICT, access->error, "a mailbox of that name exists");
	if (status != PN_NOT_FOUND)
		return status;
	return index_put(access, TABLE_TREE, &key, &mailbox->id, sizeof(mailbox->id));
}

/* From the time, and above all that were ever given, also where the clock was set back. */
static enum pn_status next_uid_validity(struct index_access *access, uint32_t *value_out)
{
	uint64_t last;
	uint64_t now = (uint64_t)(access->now_ms / 1000);
	enum pn_status status = index_counter(access, "uid_validity", 0, &last);

	if (status == PN_OK)
		status = index_counter(access, "uid_validity", now > last ? now - last : 1, &last);
	*value_out = (uint32_t)last;
	return status;
}

static enum pn_status create_one(struct index_access *access, struct account *account,
                                 struct pn_slice name, uint32_t attributes, struct mailbox *mailbox)
{
	enum pn_status status;

	memset(&mailbox->row, 0, sizeof(mailbox->row));
	mailbox->account = account->id;
	mailbox->id = account->row.next_mailbox++;
	mailbox->row.uid_next = 1;
	mailbox->row.attributes = attributes & 0xffffu;
	mailbox->row.highest_modseq = ++account->row.modseq;
	mailbox->row.log_floor = mailbox->row.highest_modseq;
	mailbox->row.name_size = (uint32_t)name.size;
	memcpy(mailbox->name, name.data, name.size);
	status = next_uid_validity(access, &mailbox->row.uid_validity);
	if (status == PN_OK)
		status = put_name(access, mailbox);
	return status == PN_OK ? mailbox_save(access, mailbox) : status;
}

/*
 * Makes the mailbox and the levels above it that are missing. With `only_missing` one that is
 * there is fine. The caller saves the account.
 */
enum pn_status mailbox_create(struct index_access *access, struct account *account,
                              struct pn_slice name, uint32_t attributes, bool only_missing,
                              struct mailbox *mailbox)
{
	enum pn_status status;

	name = mailbox_canonical_name(access, name);
	status = check_name(access, name);
	if (status != PN_OK)
		return status;
	status = mailbox_load_name(access, account->id, name, mailbox);
	if (status == PN_OK && !only_missing)
		return pn_fail_with(PN_CONFLICT, access->error, "a mailbox of that name exists");
	if (status != PN_NOT_FOUND)
		return status;
	for (size_t i = 1; i < name.size; i++) {
		struct pn_slice level = pn_slice_make(name.data, i);

		if (name.data[i] != '/')
			continue;
		status = mailbox_load_name(access, account->id, level, mailbox);
		if (status == PN_NOT_FOUND)
			status = create_one(access, account, level, 0, mailbox);
		if (status != PN_OK)
			return status;
	}
	return create_one(access, account, name, attributes, mailbox);
}

/* Gone at once; rows and bodies are cleared away later. The caller saves the account. */
enum pn_status mailbox_delete(struct index_access *access, struct account *account,
                              struct mailbox *mailbox)
{
	struct index_key key;
	enum pn_status status;

	if (mailbox_is_inbox(mailbox_name(mailbox)))
		return pn_fail_with(PN_CONFLICT, access->error, "INBOX cannot be deleted");
	name_key(&key, account->id, TREE_NAME, mailbox_name(mailbox));
	status = index_delete(access, TABLE_TREE, &key);
	if (status != PN_OK)
		return status;
	key_tree(&key, account->id, TREE_MAILBOX);
	key_u64(&key, mailbox->id);
	status = index_delete(access, TABLE_TREE, &key);
	if (status != PN_OK)
		return status;
	account->row.size_bytes -= mailbox->row.size_bytes;
	account->row.message_count -= mailbox->row.message_count;
	account->row.modseq++;
	key_start(&key);
	key_u64(&key, account->id);
	key_u64(&key, mailbox->id);
	return expire_at(access, access->now_ms, EXPIRE_MAILBOX, &key);
}

static enum pn_status change_name(struct index_access *access, struct mailbox *mailbox,
                                  struct pn_slice name)
{
	struct index_key key;
	enum pn_status status = check_name(access, name);

	if (status != PN_OK)
		return status;
	name_key(&key, mailbox->account, TREE_NAME, mailbox_name(mailbox));
	status = index_delete(access, TABLE_TREE, &key);
	if (status != PN_OK)
		return status;
	memcpy(mailbox->name, name.data, name.size);
	mailbox->row.name_size = (uint32_t)name.size;
	status = put_name(access, mailbox);
	return status == PN_OK ? mailbox_save(access, mailbox) : status;
}

/* The ids of all mailboxes whose name begins with "name/". */
static enum pn_status children(struct index_access *access, uint64_t account, struct pn_slice name,
                               uint64_t **ids_out, size_t *count_out)
{
	struct index_key prefix;
	struct index_walk walk;
	size_t capacity = 0;
	uint64_t *ids = NULL;
	size_t count = 0;

	key_tree(&prefix, account, TREE_MAILBOX);
	walk_begin(&walk, access, TABLE_TREE, &prefix, NULL);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		const char *other = (const char *)walk.value.mv_data + sizeof(struct mailbox_row);
		size_t size = walk.value.mv_size - sizeof(struct mailbox_row);

		if (size <= name.size || other[name.size] != '/' ||
		    memcmp(other, name.data, name.size) != 0)
			continue;
		if (count == capacity) {
			uint64_t *more;

			capacity = capacity == 0 ? 16 : capacity * 2;
			more = PN_ARENA_ARRAY(access->arena, capacity, uint64_t);
			if (count != 0)
				memcpy(more, ids, count * sizeof(*ids));
			ids = more;
		}
		ids[count++] = key_read_u64((const char *)walk.key.mv_data + prefix.size);
	}
	walk_end(&walk);
	*ids_out = ids;
	*count_out = count;
	return walk.status == PN_NOT_FOUND ? PN_OK : walk.status;
}

/* Everything under "from/" goes to "to/". */
static enum pn_status rename_children(struct index_access *access, struct account *account,
                                      struct pn_slice from, struct pn_slice to)
{
	struct mailbox *child = PN_ARENA_NEW(access->arena, struct mailbox);
	uint64_t *ids;
	size_t count;
	enum pn_status status = children(access, account->id, from, &ids, &count);

	for (size_t i = 0; i < count && status == PN_OK; i++) {
		const char *name;

		status = mailbox_load(access, account->id, ids[i], child);
		if (status != PN_OK)
			break;
		name = pn_arena_print(access->arena, "%.*s%.*s", PN_SLICE_ARGS(to),
		                      (int)(child->row.name_size - from.size),
		                      child->name + from.size);
		status = change_name(access, child, pn_slice_of(name));
	}
	return status;
}

/* INBOX stays and is emptied: RFC 9051 section 6.3.6. */
static enum pn_status move_inbox(struct index_access *access, struct account *account,
                                 struct mailbox *inbox, struct mailbox *target)
{
	struct pn_uid_range all = {1, UINT32_MAX};
	struct uid_list list = {0};
	const struct pn_slice *words;
	enum pn_status status = message_uids(access, inbox, (struct pn_uid_set){&all, 1}, &list);

	if (status == PN_OK)
		status = keywords_load(access, inbox, &words);
	for (size_t i = 0; i < list.count && status == PN_OK; i++) {
		struct message_row row;
		struct message_row copy;
		struct pn_slice used[PN_KEYWORDS_PER_MAILBOX];
		struct pn_flags flags = {.keywords = used};
		uint32_t uid;

		status = message_load(access, inbox, list.uids[i], &row);
		if (status != PN_OK)
			break;
		copy = row;
		for (unsigned bit = 0; bit < PN_KEYWORDS_PER_MAILBOX; bit++)
			if (row.keywords >> bit & 1)
				used[flags.keyword_count++] = words[bit];
		status = keywords_bits(access, target, &flags, true, &copy.keywords);
		if (status == PN_OK)
			status = body_keep(access, row.body);
		if (status == PN_OK)
			status = message_add(access, account, target, &copy, &uid);
		if (status == PN_OK)
			status = message_expunge(access, account, inbox, list.uids[i], &row);
	}
	free(list.uids);
	if (status == PN_OK)
		status = mailbox_save(access, target);
	return status == PN_OK ? mailbox_save(access, inbox) : status;
}

/* Children move along. The caller saves the account. `target_out`: the mailbox of the new name. */
enum pn_status mailbox_rename(struct index_access *access, struct account *account,
                              struct mailbox *mailbox, struct pn_slice name, uint64_t *target_out)
{
	struct mailbox *other = PN_ARENA_NEW(access->arena, struct mailbox);
	struct pn_slice old = pn_arena_keep(access->arena, mailbox_name(mailbox));
	size_t parent;
	enum pn_status status;

	name = mailbox_canonical_name(access, name);
	status = check_name(access, name);
	if (status != PN_OK)
		return status;
	if (name.size > old.size && name.data[old.size] == '/' && !mailbox_is_inbox(old) &&
	    memcmp(name.data, old.data, old.size) == 0)
		return pn_fail_with(PN_CONFLICT, access->error,
		                    "a mailbox cannot be moved below itself");
	status = mailbox_load_name(access, account->id, name, other);
	if (status == PN_OK)
		return pn_fail_with(PN_CONFLICT, access->error, "a mailbox of that name exists");
	if (status != PN_NOT_FOUND)
		return status;
	if (mailbox_is_inbox(old)) {
		status = mailbox_create(access, account, name, 0, false, other);
		*target_out = other->id;
		account->row.modseq++;
		return status == PN_OK ? move_inbox(access, account, mailbox, other) : status;
	}
	for (parent = name.size; parent > 0 && name.data[parent - 1] != '/'; parent--)
		continue;
	if (parent > 1) {
		status = mailbox_create(access, account, pn_slice_make(name.data, parent - 1), 0,
		                        true, other);
		if (status != PN_OK)
			return status;
	}
	*target_out = mailbox->id;
	mailbox->row.highest_modseq = ++account->row.modseq;
	status = change_name(access, mailbox, name);
	return status == PN_OK ? rename_children(access, account, old, name) : status;
}

enum pn_status mailbox_subscribe(struct index_access *access, uint64_t account,
                                 struct pn_slice name, bool on)
{
	struct index_key key;
	enum pn_status status;

	name = mailbox_canonical_name(access, name);
	status = check_name(access, name);
	if (status != PN_OK)
		return status;
	name_key(&key, account, TREE_SUBSCRIPTION, name);
	if (on)
		return index_put(access, TABLE_TREE, &key, name.data, name.size);
	status = index_delete(access, TABLE_TREE, &key);
	return status == PN_NOT_FOUND ? PN_OK : status;
}

void mailbox_describe(const struct mailbox *mailbox, struct pn_arena *arena,
                      struct pn_mailbox_info *info)
{
	*info = (struct pn_mailbox_info){
		.id = mailbox->id,
		.name = pn_arena_keep(arena, mailbox_name(mailbox)),
		.attributes = mailbox->row.attributes,
		.uid_validity = mailbox->row.uid_validity,
		.uid_next = mailbox->row.uid_next,
		.message_count = mailbox->row.message_count,
		.unseen_count = mailbox->row.unseen_count,
		.deleted_count = mailbox->row.deleted_count,
		.size_bytes = mailbox->row.size_bytes,
		.highest_modseq = mailbox->row.highest_modseq,
	};
}
