/* SPDX-License-Identifier: Apache-2.0 */
/* Mutations of the tree of mailboxes, in the draft of an account. */
#include "store_memory.h"

#include <string.h>

#include <postern/text.h>

static enum pn_status check_name(struct memory_work *work, struct pn_slice name)
{
	if (name.size == 0 || name.size > PN_MAILBOX_NAME_MAX)
		return pn_fail_with(PN_LIMIT, &work->commit->error,
		                    "a mailbox's name has 1 to %d bytes", PN_MAILBOX_NAME_MAX);
	for (size_t i = 0; i < name.size; i++) {
		unsigned char byte = (unsigned char)name.data[i];
		bool is_end = i == 0 || i + 1 == name.size || name.data[i - 1] == '/';

		if (byte < 0x20 || byte == 0x7f || (byte == '/' && is_end))
			return pn_fail_with(PN_CONFLICT, &work->commit->error,
			                    "a mailbox cannot have this name");
	}
	return PN_OK;
}

enum pn_status find_mailbox(struct memory_work *work)
{
	struct pn_slice name = name_canonical(work->commit->arena, work->mutation->name);

	work->mailbox = work->mutation->mailbox != 0
	                        ? mailbox_by_id(work->account, work->mutation->mailbox)
	                        : mailbox_by_name(work->account, name);
	return work->mailbox != NULL ? PN_OK
	                             : pn_fail_with(PN_NOT_FOUND, &work->commit->error,
	                                            "there is no such mailbox");
}

/* With the levels above it. */
enum pn_status make_mailbox(struct memory_work *work, struct pn_slice name, uint32_t attributes,
                            bool only_missing)
{
	enum pn_status status;

	name = name_canonical(work->commit->arena, name);
	status = check_name(work, name);
	if (status != PN_OK)
		return status;
	work->mailbox = mailbox_by_name(work->account, name);
	if (work->mailbox != NULL)
		return only_missing ? PN_OK
		                    : pn_fail_with(PN_CONFLICT, &work->commit->error,
		                                   "a mailbox of that name exists");
	for (size_t i = 1; i < name.size; i++) {
		struct pn_slice level = pn_slice_make(name.data, i);

		if (name.data[i] == '/' && mailbox_by_name(work->account, level) == NULL)
			mailbox_add(work->store, work->account, level);
	}
	work->mailbox = mailbox_add(work->store, work->account, name);
	work->mailbox->attributes = attributes & 0xffffu;
	return PN_OK;
}

static bool is_below(struct pn_slice name, struct pn_slice above)
{
	return name.size > above.size && name.data[above.size] == '/' &&
	       memcmp(name.data, above.data, above.size) == 0;
}

/* INBOX stays, and is emptied. */
static enum pn_status move_inbox(struct memory_work *work, struct pn_slice name)
{
	uint64_t inbox = work->mailbox->id;
	uint64_t target;
	enum pn_status status = make_mailbox(work, name, 0, false);

	if (status != PN_OK)
		return status;
	target = work->mailbox->id;
	work->result->mailbox = target;
	work->account->modseq++;
	for (size_t i = 0; status == PN_OK; i++) {
		struct memory_mailbox *from = mailbox_by_id(work->account, inbox);
		uint32_t uid;

		if (i >= from->row_count)
			break;
		if (from->rows[i].is_expunged)
			continue;
		status = copy_row(work, i, from, target, &uid);
		from->rows[i].is_expunged = true;
		from->rows[i].expunged_modseq = work->account->modseq;
		from->rows[i].modseq = from->highest_modseq = work->account->modseq;
	}
	return status;
}

static enum pn_status rename_mailbox(struct memory_work *work)
{
	struct memory_account *account = work->account;
	struct pn_slice name = name_canonical(work->commit->arena, work->mutation->name);
	struct pn_slice old = pn_arena_keep(work->commit->arena, work->mailbox->name);
	uint64_t id = work->mailbox->id;
	size_t parent = name.size;
	enum pn_status status = check_name(work, name);

	if (status != PN_OK)
		return status;
	if (mailbox_by_name(account, name) != NULL)
		return pn_fail_with(PN_CONFLICT, &work->commit->error,
		                    "a mailbox of that name exists");
	if (name_is_inbox(old))
		return move_inbox(work, name);
	if (is_below(name, old))
		return pn_fail_with(PN_CONFLICT, &work->commit->error,
		                    "a mailbox cannot be moved below itself");
	while (parent > 0 && name.data[parent - 1] != '/')
		parent--;
	if (parent > 1) {
		status = make_mailbox(work, pn_slice_make(name.data, parent - 1), 0, true);
		if (status != PN_OK)
			return status;
	}
	mailbox_by_id(account, id)->highest_modseq = ++account->modseq;
	for (size_t i = 0; i < account->mailbox_count; i++) {
		struct memory_mailbox *one = &account->mailboxes[i];

		if (one->id != id && !is_below(one->name, old))
			continue;
		one->name = pn_slice_of(pn_arena_print(
			account->arena, "%.*s%.*s", PN_SLICE_ARGS(name),
			(int)(one->name.size - old.size), one->name.data + old.size));
		if (check_name(work, one->name) != PN_OK)
			return PN_LIMIT;
	}
	return PN_OK;
}

enum pn_status change_tree(struct memory_work *work)
{
	const struct pn_mutation *mutation = work->mutation;
	struct pn_slice name;
	enum pn_status status;

	if (mutation->kind == PN_MUTATION_SUBSCRIBE) {
		name = name_canonical(work->commit->arena, mutation->name);
		status = check_name(work, name);
		if (status == PN_OK)
			subscription_set(work->account, name, mutation->on);
		work->account->modseq++;
		return status;
	}
	if (mutation->kind == PN_MUTATION_MAILBOX_CREATE) {
		status = make_mailbox(work, mutation->name, mutation->attributes, false);
		if (status == PN_OK)
			work->result->mailbox = work->mailbox->id;
		return status;
	}
	status = find_mailbox(work);
	if (status != PN_OK)
		return status;
	work->result->mailbox = work->mailbox->id;
	work->result->uid_validity = work->mailbox->uid_validity;
	if (mutation->kind == PN_MUTATION_MAILBOX_RENAME)
		return rename_mailbox(work);
	work->account->modseq++;
	if (mutation->kind == PN_MUTATION_ATTRIBUTES) {
		work->mailbox->attributes = mutation->attributes & 0xffffu;
		return PN_OK;
	}
	if (name_is_inbox(work->mailbox->name))
		return pn_fail_with(PN_CONFLICT, &work->commit->error, "INBOX cannot be deleted");
	mailbox_remove(work->account, work->mailbox);
	return PN_OK;
}
