/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mutations of a commit, applied to the index inside one write transaction.
 * A mutation checks what it can before its first write; where one fails all the
 * same, commit.c takes back the whole part.
 */
#include "store_local.h"

#include <stdlib.h>
#include <string.h>

#include <postern/text.h>

/* What the functions below work on. */
struct work {
	struct index_access *access;
	struct pn_commit *commit;
	struct new_body *bodies;
	const struct pn_mutation *mutation;
	struct pn_mutation_result *result;
	struct account account;
	struct mailbox mailbox;
	struct mailbox target;
};

const struct pn_mutation *commit_mutation(const struct pn_commit *commit, size_t index)
{
	size_t step = commit->mutation_size ? commit->mutation_size : sizeof(struct pn_mutation);

	return (const struct pn_mutation *)((const char *)commit->mutations + index * step);
}

struct pn_body_source *commit_body(const struct pn_commit *commit, size_t index)
{
	size_t step = commit->body_size ? commit->body_size : sizeof(struct pn_body_source);

	return (struct pn_body_source *)((char *)commit->bodies + index * step);
}

bool mutation_is_large(const struct pn_commit *commit)
{
	const struct pn_mutation *mutation;

	if (commit->mutation_count != 1)
		return false;
	mutation = commit_mutation(commit, 0);
	return (mutation->kind == PN_MUTATION_FLAGS || mutation->kind == PN_MUTATION_EXPUNGE) &&
	       pn_uid_set_count(mutation->uids) > LOCAL_CHUNK_ROWS;
}

static enum pn_status find_mailbox(struct work *work)
{
	if (work->mutation->mailbox != 0)
		return mailbox_load(work->access, work->account.id, work->mutation->mailbox,
		                    &work->mailbox);
	return mailbox_load_name(work->access, work->account.id,
	                         mailbox_canonical_name(work->access, work->mutation->name),
	                         &work->mailbox);
}

static enum pn_status save(struct work *work)
{
	enum pn_status status = mailbox_save(work->access, &work->mailbox);

	work->result->mailbox = work->mailbox.id;
	work->result->uid_validity = work->mailbox.row.uid_validity;
	work->result->modseq = work->account.row.modseq;
	return status == PN_OK ? account_save(work->access, &work->account) : status;
}

static enum pn_status check_quota(struct work *work, uint64_t more)
{
	uint64_t limit = work->mutation->max_account_bytes;
	uint64_t used = work->account.row.size_bytes;

	if (limit == 0)
		limit = work->account.row.quota_bytes;
	if (limit == 0)
		limit = work->access->store->config.quota;
	if (used <= limit && more <= limit - used)
		return PN_OK;
	return pn_fail_with(PN_LIMIT, work->access->error,
	                    "account %.*s has %llu of %llu bytes; %llu more do not fit",
	                    PN_SLICE_ARGS(work->account.name), (unsigned long long)used,
	                    (unsigned long long)limit, (unsigned long long)more);
}

/* The body that a mutation names, entered into the index where it is new. */
static enum pn_status find_body(struct work *work, struct pn_body_id *id_out, struct body_row *row)
{
	const struct pn_body_reference *body = &work->mutation->body;
	enum pn_status status = PN_OK;

	if (!body->is_new) {
		*id_out = body->id;
		return body_load(work->access, body->id, row, NULL);
	}
	if (body->index >= work->commit->body_count)
		return pn_fail_with(PN_CONFLICT, work->access->error, "the commit has no body %zu",
		                    body->index);
	*id_out = work->bodies[body->index].id;
	*row = work->bodies[body->index].row;
	if (!work->bodies[body->index].is_indexed)
		status = body_add(work->access, &work->bodies[body->index]);
	return status;
}

/* -------------------------------------------------------------------- append */

static enum pn_status account_for_append(struct work *work)
{
	bool was_there;
	enum pn_status status = account_load(work->access, work->mutation->account, &work->account);

	if (status == PN_NOT_FOUND && work->mutation->create_missing)
		status = account_create(work->access, work->mutation->account, &work->account,
		                        &was_there);
	return status;
}

static enum pn_status mailbox_for_append(struct work *work)
{
	enum pn_status status = find_mailbox(work);

	if (status == PN_NOT_FOUND && work->mutation->create_missing &&
	    work->mutation->mailbox == 0)
		status = mailbox_create(work->access, &work->account, work->mutation->name, 0, true,
		                        &work->mailbox);
	return status;
}

/* PN_OK and was_there where the key was used; PN_NOT_FOUND where it was not. */
static enum pn_status look_up_once(struct work *work, struct index_key *key)
{
	struct once_row once;
	enum pn_status status;

	key_tree(key, work->account.id, TREE_ONCE);
	key_hash(key, work->mutation->once_key);
	status = index_get_fixed(work->access, TABLE_TREE, key, &once, sizeof(once));
	if (status != PN_OK)
		return status;
	work->result->was_there = true;
	work->result->mailbox = once.mailbox;
	work->result->uid_validity = once.uid_validity;
	work->result->first_uid = once.uid;
	work->result->uid_count = 1;
	work->result->body = once.body;
	work->result->modseq = work->account.row.modseq;
	return PN_OK;
}

static enum pn_status remember_once(struct work *work, const struct index_key *key)
{
	struct once_row once = {
		.mailbox = work->mailbox.id,
		.uid_validity = work->mailbox.row.uid_validity,
		.uid = work->result->first_uid,
		.body = work->result->body,
	};
	struct index_key rest;
	enum pn_status status = index_put(work->access, TABLE_TREE, key, &once, sizeof(once));

	if (status != PN_OK)
		return status;
	key_start(&rest);
	key_u64(&rest, work->account.id);
	key_bytes(&rest, key->bytes + 9, 16);
	return expire_at(work->access,
	                 work->access->now_ms + (int64_t)work->access->store->config.once_retention,
	                 EXPIRE_ONCE, &rest);
}

static enum pn_status append(struct work *work)
{
	const struct pn_mutation *mutation = work->mutation;
	struct message_row row = {0};
	struct body_row body = {0};
	struct index_key once = {.size = 0};
	uint64_t size;
	enum pn_status status = account_for_append(work);

	if (status != PN_OK)
		return status;
	/* Before a mailbox is made: where the key was used nothing happens. */
	if (mutation->once_key.size != 0) {
		status = look_up_once(work, &once);
		if (status != PN_NOT_FOUND)
			return status;
	}
	status = mailbox_for_append(work);
	if (status != PN_OK)
		return status;
	if (mutation->body.is_new && mutation->body.index < work->commit->body_count) {
		size = work->bodies[mutation->body.index].row.size;
	} else {
		status = find_body(work, &row.body, &body);
		if (status != PN_OK)
			return status;
		size = body.size;
	}
	status = check_quota(work, size);
	if (status == PN_OK)
		status = keywords_bits(work->access, &work->mailbox, &mutation->flags, true,
		                       &row.keywords);
	if (status == PN_OK)
		status = find_body(work, &row.body, &body);
	if (status == PN_OK)
		status = body_keep(work->access, row.body);
	if (status != PN_OK)
		return status;
	row.internal_date_ms =
		mutation->internal_date_ms ? mutation->internal_date_ms : work->access->now_ms;
	row.size = body.size;
	row.header_size = body.header_size;
	row.system_flags = mutation->flags.system;
	row.thread = row.body;
	work->account.row.modseq++;
	status = message_add(work->access, &work->account, &work->mailbox, &row,
	                     &work->result->first_uid);
	if (status != PN_OK)
		return status;
	work->result->uid_count = 1;
	work->result->body = row.body;
	if (mutation->once_key.size != 0)
		status = remember_once(work, &once);
	return status == PN_OK ? save(work) : status;
}

/* ---------------------------------------------------------------- copy, move */

static enum pn_status load_target(struct work *work)
{
	enum pn_status status = find_mailbox(work);

	if (status != PN_OK)
		return status;
	if (work->mutation->target_mailbox == work->mailbox.id)
		work->target = work->mailbox;
	else
		status = mailbox_load(work->access, work->account.id,
		                      work->mutation->target_mailbox, &work->target);
	return status;
}

static enum pn_status sum_sizes(struct work *work, const struct uid_list *list, uint64_t *size_out)
{
	struct message_row row;
	enum pn_status status = PN_OK;

	*size_out = 0;
	for (size_t i = 0; i < list->count && status == PN_OK; i++) {
		status = message_load(work->access, &work->mailbox, list->uids[i], &row);
		*size_out += row.size;
	}
	return status;
}

/* Puts one message into the target, with its keywords under the bits of the target. */
static enum pn_status copy_one(struct work *work, uint32_t uid, const struct pn_slice *words,
                               bool is_move)
{
	struct mailbox *target =
		work->target.id == work->mailbox.id ? &work->mailbox : &work->target;
	struct pn_slice used[PN_KEYWORDS_PER_MAILBOX];
	struct pn_flags flags = {.keywords = used};
	struct message_row row;
	struct message_row copy;
	uint32_t new_uid;
	enum pn_status status = message_load(work->access, &work->mailbox, uid, &row);

	if (status != PN_OK)
		return status;
	copy = row;
	for (unsigned bit = 0; bit < PN_KEYWORDS_PER_MAILBOX; bit++)
		if (row.keywords >> bit & 1)
			used[flags.keyword_count++] = words[bit];
	status = keywords_bits(work->access, target, &flags, true, &copy.keywords);
	if (status == PN_OK)
		status = body_keep(work->access, row.body);
	if (status == PN_OK)
		status = message_add(work->access, &work->account, target, &copy, &new_uid);
	if (status != PN_OK)
		return status;
	if (work->result->first_uid == 0)
		work->result->first_uid = new_uid;
	work->result->uid_count++;
	return is_move ? message_expunge(work->access, &work->account, &work->mailbox, uid, &row)
	               : PN_OK;
}

static enum pn_status copy(struct work *work, bool is_move)
{
	struct uid_list list = {0};
	const struct pn_slice *words;
	uint64_t size;
	enum pn_status status = load_target(work);

	if (status == PN_OK)
		status = message_uids(work->access, &work->mailbox, work->mutation->uids, &list);
	if (status == PN_OK)
		status = sum_sizes(work, &list, &size);
	if (status == PN_OK && !is_move)
		status = check_quota(work, size);
	if (status == PN_OK)
		status = keywords_load(work->access, &work->mailbox, &words);
	if (status == PN_OK && list.count != 0)
		work->account.row.modseq++;
	for (size_t i = 0; i < list.count && status == PN_OK; i++)
		status = copy_one(work, list.uids[i], words, is_move);
	work->result->uids = uid_list_set(work->access, &list);
	if (status == PN_OK)
		status = save(work);
	if (status == PN_OK && work->target.id != work->mailbox.id)
		status = mailbox_save(work->access, &work->target);
	work->result->mailbox = work->target.id;
	work->result->uid_validity = work->target.row.uid_validity;
	return status;
}

/* ------------------------------------------------------------ flags, expunge */

static void new_flags(const struct pn_mutation *mutation, uint64_t bits,
                      const struct message_row *row, uint32_t *system, uint64_t *keywords)
{
	*system = mutation->flags.system;
	*keywords = bits;
	if (mutation->how == PN_FLAGS_ADD) {
		*system |= row->system_flags;
		*keywords |= row->keywords;
	} else if (mutation->how == PN_FLAGS_REMOVE) {
		*system = row->system_flags & ~mutation->flags.system;
		*keywords = row->keywords & ~bits;
	}
}

static enum pn_status set_flags(struct work *work)
{
	const struct pn_mutation *mutation = work->mutation;
	struct uid_list list = {0};
	struct uid_list touched = {0};
	struct uid_list modified = {0};
	uint64_t bits;
	enum pn_status status = find_mailbox(work);

	if (status == PN_OK)
		status = keywords_bits(work->access, &work->mailbox, &mutation->flags,
		                       mutation->how != PN_FLAGS_REMOVE, &bits);
	if (status == PN_OK)
		status = message_uids(work->access, &work->mailbox, mutation->uids, &list);
	for (size_t i = 0; i < list.count && status == PN_OK; i++) {
		struct message_row row;
		uint32_t system;
		uint64_t keywords;

		status = message_load(work->access, &work->mailbox, list.uids[i], &row);
		if (status != PN_OK)
			break;
		if (mutation->unchanged_since != 0 && row.modseq > mutation->unchanged_since) {
			uid_list_add(&modified, list.uids[i]);
			continue;
		}
		new_flags(mutation, bits, &row, &system, &keywords);
		if (system == row.system_flags && keywords == row.keywords)
			continue;
		if (touched.count == 0)
			work->account.row.modseq++;
		uid_list_add(&touched, list.uids[i]);
		status = message_set_flags(work->access, &work->account, &work->mailbox,
		                           list.uids[i], &row, system, keywords);
	}
	free(list.uids);
	work->result->uids = uid_list_set(work->access, &touched);
	work->result->modified = uid_list_set(work->access, &modified);
	return status == PN_OK ? save(work) : status;
}

static enum pn_status expunge(struct work *work)
{
	struct uid_list list = {0};
	struct uid_list gone = {0};
	enum pn_status status = find_mailbox(work);

	if (status == PN_OK)
		status = message_uids(work->access, &work->mailbox, work->mutation->uids, &list);
	for (size_t i = 0; i < list.count && status == PN_OK; i++) {
		struct message_row row;

		status = message_load(work->access, &work->mailbox, list.uids[i], &row);
		if (status != PN_OK)
			break;
		if (work->mutation->on && !(row.system_flags & PN_FLAG_DELETED))
			continue;
		if (gone.count == 0)
			work->account.row.modseq++;
		uid_list_add(&gone, list.uids[i]);
		status = message_expunge(work->access, &work->account, &work->mailbox, list.uids[i],
		                         &row);
	}
	free(list.uids);
	work->result->uids = uid_list_set(work->access, &gone);
	return status == PN_OK ? save(work) : status;
}

/* --------------------------------------------------- accounts, mailboxes, queue */

static enum pn_status change_mailbox(struct work *work)
{
	const struct pn_mutation *mutation = work->mutation;
	enum pn_status status = find_mailbox(work);

	if (status != PN_OK)
		return status;
	work->result->mailbox = work->mailbox.id;
	work->result->uid_validity = work->mailbox.row.uid_validity;
	if (mutation->kind == PN_MUTATION_MAILBOX_DELETE) {
		status = mailbox_delete(work->access, &work->account, &work->mailbox);
	} else if (mutation->kind == PN_MUTATION_MAILBOX_RENAME) {
		status = mailbox_rename(work->access, &work->account, &work->mailbox,
		                        mutation->name, &work->result->mailbox);
	} else {
		work->mailbox.row.attributes = mutation->attributes & 0xffffu;
		work->account.row.modseq++;
		status = mailbox_save(work->access, &work->mailbox);
	}
	work->result->modseq = work->account.row.modseq;
	return status == PN_OK ? account_save(work->access, &work->account) : status;
}

static enum pn_status create_mailbox(struct work *work)
{
	enum pn_status status = mailbox_create(work->access, &work->account, work->mutation->name,
	                                       work->mutation->attributes, false, &work->mailbox);

	return status == PN_OK ? save(work) : status;
}

static enum pn_status change_account(struct work *work)
{
	const struct pn_mutation *mutation = work->mutation;
	enum pn_status status;

	if (mutation->kind == PN_MUTATION_ACCOUNT_CREATE) {
		status = account_create(work->access, mutation->account, &work->account,
		                        &work->result->was_there);
		work->result->modseq = work->account.row.modseq;
		return status;
	}
	status = account_load(work->access, mutation->account, &work->account);
	if (status != PN_OK)
		return status;
	if (mutation->kind == PN_MUTATION_ACCOUNT_DELETE)
		return account_delete(work->access, &work->account);
	work->account.row.quota_bytes = mutation->quota_bytes;
	return account_save(work->access, &work->account);
}

static enum pn_status change_queue(struct work *work)
{
	const struct pn_mutation *mutation = work->mutation;
	struct body_row row;
	enum pn_status status;

	if (mutation->queue_row == NULL)
		return pn_fail_with(PN_CONFLICT, work->access->error, "a queue row is missing");
	work->result->queue_id = mutation->queue_row->id;
	if (mutation->kind == PN_MUTATION_QUEUE_UPDATE)
		return queue_update(work->access, mutation->queue_row);
	if (mutation->kind == PN_MUTATION_QUEUE_DONE)
		return queue_done(work->access, mutation->queue_row->id);
	status = find_body(work, &work->result->body, &row);
	return status == PN_OK ? queue_put(work->access, mutation->queue_row, work->result->body,
	                                   &work->result->queue_id)
	                       : status;
}

static enum pn_status apply_in_account(struct work *work)
{
	enum pn_status status = account_load(work->access, work->mutation->account, &work->account);

	if (status != PN_OK)
		return status;
	switch (work->mutation->kind) {
	case PN_MUTATION_MAILBOX_CREATE:
		return create_mailbox(work);
	case PN_MUTATION_SUBSCRIBE:
		status = mailbox_subscribe(work->access, work->account.id, work->mutation->name,
		                           work->mutation->on);
		work->result->modseq = ++work->account.row.modseq;
		return status == PN_OK ? account_save(work->access, &work->account) : status;
	case PN_MUTATION_COPY:
		return copy(work, false);
	case PN_MUTATION_MOVE:
		return copy(work, true);
	case PN_MUTATION_FLAGS:
		return set_flags(work);
	case PN_MUTATION_EXPUNGE:
		return expunge(work);
	default:
		return change_mailbox(work);
	}
}

static enum pn_status apply(struct work *work)
{
	switch (work->mutation->kind) {
	case PN_MUTATION_NONE:
		return PN_OK;
	case PN_MUTATION_ACCOUNT_CREATE:
	case PN_MUTATION_ACCOUNT_DELETE:
	case PN_MUTATION_ACCOUNT_QUOTA:
		return change_account(work);
	case PN_MUTATION_APPEND:
		return append(work);
	case PN_MUTATION_QUEUE_PUT:
	case PN_MUTATION_QUEUE_UPDATE:
	case PN_MUTATION_QUEUE_DONE:
		return change_queue(work);
	case PN_MUTATION_MAILBOX_CREATE:
	case PN_MUTATION_MAILBOX_DELETE:
	case PN_MUTATION_MAILBOX_RENAME:
	case PN_MUTATION_SUBSCRIBE:
	case PN_MUTATION_ATTRIBUTES:
	case PN_MUTATION_COPY:
	case PN_MUTATION_MOVE:
	case PN_MUTATION_FLAGS:
	case PN_MUTATION_EXPUNGE:
		return apply_in_account(work);
	}
	return pn_fail_with(PN_CONFLICT, work->access->error,
	                    "this store does not know mutation %d", (int)work->mutation->kind);
}

enum pn_status mutations_apply(struct index_access *access, struct pn_commit *commit,
                               struct new_body *bodies)
{
	struct work *work = PN_ARENA_NEW(commit->arena, struct work);
	enum pn_status status = PN_OK;

	work->access = access;
	work->commit = commit;
	work->bodies = bodies;
	commit->results =
		PN_ARENA_ARRAY(commit->arena, commit->mutation_count, struct pn_mutation_result);
	for (size_t i = 0; i < commit->body_count; i++)
		bodies[i].is_indexed = false;
	for (size_t i = 0; i < commit->mutation_count; i++) {
		work->mutation = commit_mutation(commit, i);
		work->result = &commit->results[i];
		status = apply(work);
		if (status == PN_OK)
			continue;
		commit->failed_index = i;
		return status;
	}
	return status;
}
