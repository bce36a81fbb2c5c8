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

enum pn_status work_find_mailbox(struct work *work)
{
	if (work->mutation->mailbox != 0)
		return mailbox_load(work->access, work->account.id, work->mutation->mailbox,
		                    &work->mailbox);
	return mailbox_load_name(work->access, work->account.id,
	                         mailbox_canonical_name(work->access, work->mutation->name),
	                         &work->mailbox);
}

enum pn_status work_save(struct work *work)
{
	enum pn_status status = mailbox_save(work->access, &work->mailbox);

	work->result->mailbox = work->mailbox.id;
	work->result->uid_validity = work->mailbox.row.uid_validity;
	work->result->modseq = work->account.row.modseq;
	return status == PN_OK ? account_save(work->access, &work->account) : status;
}

enum pn_status work_check_quota(struct work *work, uint64_t more)
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

/* What is known of the body that a mutation names. */
static enum pn_status look_up_body(struct work *work, struct pn_body_id *id_out,
                                   struct body_row *row)
{
	const struct pn_body_reference *body = &work->mutation->body;

	if (!body->is_new) {
		*id_out = body->id;
		return body_load(work->access, body->id, row, NULL);
	}
	if (body->index >= work->commit->body_count)
		return pn_fail_with(PN_CONFLICT, work->access->error, "the commit has no body %zu",
		                    body->index);
	*id_out = work->bodies[body->index].id;
	*row = work->bodies[body->index].row;
	return PN_OK;
}

/* A reference to it; a new one is entered into the index with the first. */
static enum pn_status take_body(struct work *work, struct pn_body_id id)
{
	const struct pn_body_reference *body = &work->mutation->body;

	if (body->is_new && !work->bodies[body->index].is_indexed)
		return body_add(work->access, &work->bodies[body->index]);
	return body_keep(work->access, id);
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
	enum pn_status status = work_find_mailbox(work);

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
	                 EXPIRE_ONCE, &rest, NULL, 0);
}

static enum pn_status add_message(struct work *work, struct pn_body_id id,
                                  const struct body_row *body, uint64_t keywords)
{
	const struct pn_mutation *mutation = work->mutation;
	struct message_row row = {
		.internal_date_ms = mutation->internal_date_ms ? mutation->internal_date_ms
	                                                       : work->access->now_ms,
		.size = body->size,
		.header_size = body->header_size,
		.body = id,
		.thread = id,
	};
	struct adding adding;
	enum pn_status status;

	if (mutation->uid != 0 && mutation->uid < work->mailbox.row.uid_next)
		return pn_fail_with(PN_CONFLICT, work->access->error,
		                    "UID %u cannot be given: the next one is %u", mutation->uid,
		                    work->mailbox.row.uid_next);
	status = ranges_skip_to(work->access, &work->mailbox, mutation->uid);
	if (status != PN_OK)
		return status;
	work->account.row.modseq++;
	adding_begin(&adding, work->access, &work->account, &work->mailbox);
	status = adding_add(&adding, &row, mutation->flags.system, keywords,
	                    &work->result->first_uid);
	if (status == PN_OK)
		status = adding_end(&adding);
	work->result->uid_count = 1;
	work->result->body = id;
	return status;
}

static enum pn_status append(struct work *work)
{
	const struct pn_mutation *mutation = work->mutation;
	struct pn_body_id id;
	struct body_row body = {0};
	struct index_key once = {.size = 0};
	uint64_t keywords = 0;
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
	if (status == PN_OK)
		status = look_up_body(work, &id, &body);
	if (status == PN_OK)
		status = work_check_quota(work, body.size);
	if (status == PN_OK)
		status = keywords_bits(work->access, &work->mailbox, &mutation->flags, true,
		                       &keywords);
	if (status == PN_OK)
		status = take_body(work, id);
	if (status == PN_OK)
		status = add_message(work, id, &body, keywords);
	if (status == PN_OK && mutation->once_key.size != 0)
		status = remember_once(work, &once);
	return status == PN_OK ? work_save(work) : status;
}

/* --------------------------------------------------- accounts, mailboxes, queue */

static enum pn_status change_mailbox(struct work *work)
{
	const struct pn_mutation *mutation = work->mutation;
	enum pn_status status = work_find_mailbox(work);

	if (status != PN_OK)
		return status;
	work->result->mailbox = work->mailbox.id;
	work->result->uid_validity = work->mailbox.row.uid_validity;
	if (mutation->kind == PN_MUTATION_MAILBOX_DELETE) {
		status = mailbox_delete(work->access, &work->account, &work->mailbox);
	} else if (mutation->kind == PN_MUTATION_MAILBOX_RENAME) {
		status = copy_take_over(work);
		if (status == PN_OK)
			status =
				mailbox_rename(work->access, &work->account, &work->mailbox,
			                       mutation->name, work->slice, &work->result->mailbox);
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

	return status == PN_OK ? work_save(work) : status;
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
		return queue_update(work->access, mutation, &work->result->was_there);
	if (mutation->kind == PN_MUTATION_QUEUE_DONE)
		return queue_done(work->access, mutation, &work->result->was_there);
	status = look_up_body(work, &work->result->body, &row);
	if (status == PN_OK)
		status = take_body(work, work->result->body);
	return status == PN_OK ? queue_put(work->access, mutation->queue_row, work->result->body,
	                                   &work->result->queue_id)
	                       : status;
}

static enum pn_status apply_in_account(struct work *work)
{
	enum pn_status status = account_load(work->access, work->mutation->account, &work->account);

	if (status != PN_OK)
		return status;
	if (work->slice != NULL && work->slice->is_holding)
		return copy_hold(work);
	switch (work->mutation->kind) {
	case PN_MUTATION_MAILBOX_CREATE:
		return create_mailbox(work);
	case PN_MUTATION_SUBSCRIBE:
		status = mailbox_subscribe(work->access, work->account.id, work->mutation->name,
		                           work->mutation->on);
		work->result->modseq = ++work->account.row.modseq;
		return status == PN_OK ? account_save(work->access, &work->account) : status;
	case PN_MUTATION_COPY:
	case PN_MUTATION_MOVE:
		return copy_messages(work, work->mutation->kind == PN_MUTATION_MOVE);
	case PN_MUTATION_FLAGS:
		return change_flags(work);
	case PN_MUTATION_EXPUNGE:
		return change_expunge(work);
	case PN_MUTATION_RECENT:
		return change_recent(work);
	case PN_MUTATION_UIDS:
		return change_uids(work);
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
	case PN_MUTATION_RECENT:
	case PN_MUTATION_UIDS:
		return apply_in_account(work);
	}
	return pn_fail_with(PN_CONFLICT, work->access->error,
	                    "this store does not know mutation %d", (int)work->mutation->kind);
}

enum pn_status mutations_apply(struct index_access *access, struct pn_commit *commit,
                               struct new_body *bodies, struct slice *slice)
{
	struct work *work = PN_ARENA_NEW(commit->arena, struct work);
	enum pn_status status = PN_OK;

	work->access = access;
	work->commit = commit;
	work->bodies = bodies;
	work->slice = slice;
	if (slice != NULL) { /* the lock is ours from now on; this may be the second try */
		slice->deadline_ns = pn_clock_monotonic_ns() + LOCAL_SLICE_NS;
		slice->next_uid = 0;
		slice->held_count = slice->held_before;
		slice->entry_count = slice->entries_before;
	}
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
