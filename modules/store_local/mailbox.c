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

/*
 * The key of a name: the name itself, with a byte for '/' that no name has and that sorts before
 * all others, so that what is below a mailbox stands behind it. Of a long name the beginning and a
 * hash.
 */
static void name_key(struct index_key *key, uint64_t account, struct pn_slice name)
{
	size_t size = name.size < LOCAL_NAME_IN_KEY ? name.size : LOCAL_NAME_IN_KEY;

	key_tree(key, account, TREE_NAME);
	for (size_t i = 0; i < size; i++)
		key_byte(key, name.data[i] == '/' ? 1 : (uint8_t)name.data[i]);
	if (size < name.size) {
		key_byte(key, 0);
		key_hash(key, name);
	}
}

static void subscription_key(struct index_key *key, uint64_t account, struct pn_slice name)
{
	key_tree(key, account, TREE_SUBSCRIPTION);
	key_hash(key, name);
}

/* From the value of its row. */
enum pn_status mailbox_read(struct index_access *access, uint64_t account, uint64_t id,
                            MDB_val value, struct mailbox *mailbox)
{
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

enum pn_status mailbox_load(struct index_access *access, uint64_t account, uint64_t id,
                            struct mailbox *mailbox)
{
	struct index_key key;
	MDB_val value;
	enum pn_status status;

	key_mailbox(&key, account, TREE_MAILBOX, id);
	status = index_get(access, TABLE_TREE, &key, &value);
	if (status == PN_NOT_FOUND)
		return pn_fail_with(PN_NOT_FOUND, access->error, "there is no mailbox %llu",
		                    (unsigned long long)id);
	return status == PN_OK ? mailbox_read(access, account, id, value, mailbox) : status;
}

enum pn_status mailbox_load_name(struct index_access *access, uint64_t account,
                                 struct pn_slice name, struct mailbox *mailbox)
{
	struct index_key key;
	uint64_t id;
	enum pn_status status;

	name_key(&key, account, name);
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

	name_key(&key, mailbox->account, mailbox_name(mailbox));
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
	mailbox->row.recent_uid = 1;
	mailbox->row.attributes = attributes & 0xffffu;
	mailbox->row.highest_modseq = ++account->row.modseq;
	mailbox->row.log_floor = mailbox->row.highest_modseq;
	mailbox->row.touched_floor = mailbox->row.highest_modseq;
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
	name_key(&key, account->id, mailbox_name(mailbox));
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
	return expire_at(access, access->now_ms, EXPIRE_MAILBOX, &key, NULL, 0);
}

static enum pn_status change_name(struct index_access *access, struct mailbox *mailbox,
                                  struct pn_slice name)
{
	struct index_key key;
	enum pn_status status = check_name(access, name);

	if (status != PN_OK)
		return status;
	name_key(&key, mailbox->account, mailbox_name(mailbox));
	status = index_delete(access, TABLE_TREE, &key);
	if (status != PN_OK)
		return status;
	memcpy(mailbox->name, name.data, name.size);
	mailbox->row.name_size = (uint32_t)name.size;
	status = put_name(access, mailbox);
	return status == PN_OK ? mailbox_save(access, mailbox) : status;
}

static bool is_below(struct pn_slice name, struct pn_slice above)
{
	return name.size > above.size && name.data[above.size] == '/' &&
	       memcmp(name.data, above.data, above.size) == 0;
}

/* A walk over the mailboxes whose names begin with "name/", and where it is long over others too.
 */
static void walk_below(struct index_walk *walk, struct index_access *access, uint64_t account,
                       struct pn_slice name)
{
	struct index_key prefix;

	name_key(&prefix, account, name);
	if (name.size < LOCAL_NAME_IN_KEY)
		key_byte(&prefix, 1);
	else
		prefix.size = 9 + LOCAL_NAME_IN_KEY;
	walk_begin(walk, access, TABLE_TREE, &prefix, NULL);
}

/* The ids of all mailboxes whose name begins with "name/". */
static enum pn_status children(struct index_access *access, uint64_t account, struct pn_slice name,
                               bool only_first, uint64_t **ids_out, size_t *count_out)
{
	struct mailbox *child = PN_ARENA_NEW(access->arena, struct mailbox);
	struct index_walk walk;
	size_t capacity = 0;
	uint64_t *ids = NULL;
	size_t count = 0;
	enum pn_status status = PN_OK;

	walk_below(&walk, access, account, name);
	for (; walk.status == PN_OK && status == PN_OK && !(only_first && count != 0);
	     walk_next(&walk)) {
		uint64_t id;

		memcpy(&id, walk.value.mv_data, sizeof(id));
		status = mailbox_load(access, account, id, child);
		if (status != PN_OK || !is_below(mailbox_name(child), name))
			continue;
		if (count == capacity) {
			uint64_t *more;

			capacity = capacity == 0 ? 16 : capacity * 2;
			more = PN_ARENA_ARRAY(access->arena, capacity, uint64_t);
			if (count != 0)
				memcpy(more, ids, count * sizeof(*ids));
			ids = more;
		}
		ids[count++] = id;
	}
	walk_end(&walk);
	*ids_out = ids;
	*count_out = count;
	return walk.status == PN_FAILED ? PN_FAILED : status;
}

enum pn_status mailbox_has_children(struct index_access *access, uint64_t account,
                                    struct pn_slice name, bool *has_out)
{
	uint64_t *ids;
	size_t count;
	enum pn_status status = children(access, account, name, true, &ids, &count);

	*has_out = count != 0;
	return status;
}

/* Everything under "from/" goes to "to/". */
static enum pn_status rename_children(struct index_access *access, struct account *account,
                                      struct pn_slice from, struct pn_slice to)
{
	struct mailbox *child = PN_ARENA_NEW(access->arena, struct mailbox);
	uint64_t *ids;
	size_t count;
	enum pn_status status = children(access, account->id, from, false, &ids, &count);

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
                                 struct mailbox *inbox, struct mailbox *target,
                                 const struct slice *slice)
{
	struct pn_uid_range all = {1, UINT32_MAX};
	struct pn_uid_set everything = {&all, 1};
	struct uid_list copied = {0};
	struct uid_list gone = {0};
	uint32_t first_uid;
	enum pn_status status =
		copy_uids(access, account, inbox, target, everything, slice, &first_uid, &copied);

	if (status == PN_OK)
		status = expunge_uids(access, account, inbox, everything, false, NULL, &gone);
	free(copied.ranges);
	free(gone.ranges);
	if (status == PN_OK)
		status = mailbox_save(access, target);
	return status == PN_OK ? mailbox_save(access, inbox) : status;
}

/* Children move along. The caller saves the account. `target_out`: the mailbox of the new name. */
enum pn_status mailbox_rename(struct index_access *access, struct account *account,
                              struct mailbox *mailbox, struct pn_slice name,
                              const struct slice *slice, uint64_t *target_out)
{
	struct mailbox *other = PN_ARENA_NEW(access->arena, struct mailbox);
	struct pn_slice old = pn_arena_keep(access->arena, mailbox_name(mailbox));
	size_t parent;
	enum pn_status status;

	name = mailbox_canonical_name(access, name);
	status = check_name(access, name);
	if (status != PN_OK)
		return status;
	if (is_below(name, old) && !mailbox_is_inbox(old))
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
		return status == PN_OK ? move_inbox(access, account, mailbox, other, slice)
		                       : status;
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
	subscription_key(&key, account, name);
	if (on)
		return index_put(access, TABLE_TREE, &key, name.data, name.size);
	status = index_delete(access, TABLE_TREE, &key);
	return status == PN_NOT_FOUND ? PN_OK : status;
}

enum pn_status mailbox_is_subscribed(struct index_access *access, uint64_t account,
                                     struct pn_slice name, bool *is_out)
{
	struct index_key key;
	MDB_val value;
	enum pn_status status;

	subscription_key(&key, account, name);
	status = index_get(access, TABLE_TREE, &key, &value);
	*is_out = status == PN_OK &&
	          pn_slice_equal(pn_slice_make(value.mv_data, value.mv_size), name);
	return status == PN_FAILED ? status : PN_OK;
}

/* --------------------------------------------------------- where changes were made */

/* How far two neighbouring changes are made one. */
enum { TOUCHED_SPAN = 4096 };

/*
 * Notes that UIDs from first to last have changed flags, or are new. Who asks for the changes since
 * a moment ago need not look at the blocks of a million messages.
 */
void mailbox_touch(struct mailbox *mailbox, uint64_t modseq, uint32_t first, uint32_t last)
{
	struct touched_uids *touched = mailbox->row.touched;
	uint32_t from = touched[0].first < first ? touched[0].first : first;
	uint32_t to = touched[0].last > last ? touched[0].last : last;

	if (touched[0].modseq != 0 && (to - from < TOUCHED_SPAN || (from == first && to == last))) {
		touched[0] = (struct touched_uids){modseq, from, to};
		return;
	}
	if (touched[TOUCHED_MAX - 1].modseq > mailbox->row.touched_floor)
		mailbox->row.touched_floor = touched[TOUCHED_MAX - 1].modseq;
	memmove(touched + 1, touched, (TOUCHED_MAX - 1) * sizeof(*touched));
	touched[0] = (struct touched_uids){modseq, first, last};
}

/* Where to look for what changed after `since`: ascending ranges that do not overlap. */
size_t mailbox_touched_since(const struct mailbox *mailbox, uint64_t since,
                             struct pn_uid_range ranges[TOUCHED_MAX])
{
	const struct touched_uids *touched = mailbox->row.touched;
	size_t count = 0;

	if (since < mailbox->row.touched_floor) {
		ranges[0] = (struct pn_uid_range){1, UINT32_MAX};
		return 1;
	}
	for (size_t i = 0; i < TOUCHED_MAX && touched[i].modseq > since; i++) {
		struct pn_uid_range range = {touched[i].first, touched[i].last};
		size_t at = 0;

		/* Swallows those that it overlaps or touches, and takes its place. */
		for (size_t k = 0; k < count; k++) {
			if (ranges[k].first <= (uint64_t)range.last + 1 &&
			    range.first <= (uint64_t)ranges[k].last + 1) {
				range.first = ranges[k].first < range.first ? ranges[k].first
				                                            : range.first;
				range.last =
					ranges[k].last > range.last ? ranges[k].last : range.last;
			} else {
				ranges[at++] = ranges[k];
			}
		}
		for (count = at + 1; at > 0 && ranges[at - 1].first > range.first; at--)
			ranges[at] = ranges[at - 1];
		ranges[at] = range;
	}
	return count;
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
