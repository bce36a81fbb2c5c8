/* SPDX-License-Identifier: Apache-2.0 */
/* Commits: drafts of what they touch, which take the place of the old when all went well. */
#include "store_memory.h"

#include <string.h>

#include <postern/text.h>

static enum pn_status fail(struct memory_work *work, enum pn_status status, const char *text)
{
	return pn_fail_with(status, &work->commit->error, "%s", text);
}

/* The draft of an account, copied at the first touch; NULL where there is no such account. */
static struct memory_account *draft_of(struct memory_work *work, struct pn_slice name)
{
	struct memory_account *account = account_find(work->drafts, name);

	if (account == NULL) {
		account = account_find(work->store->accounts, name);
		if (account == NULL)
			return NULL;
		account = account_copy(account);
		account->next = work->drafts;
		work->drafts = account;
	}
	return account->is_deleted ? NULL : account;
}

static void add_account(struct memory_work *work, struct pn_slice name)
{
	struct memory_account **place = &work->drafts;

	/* One that this commit deleted has had its day. */
	while (*place != NULL && !pn_slice_equal((*place)->name, name))
		place = &(*place)->next;
	if (*place != NULL) {
		struct memory_account *deleted = *place;

		*place = deleted->next;
		account_free(deleted);
	}
	work->account = account_new(work->store, name);
	work->account->next = work->drafts;
	work->drafts = work->account;
}

enum pn_status keyword_bits(struct memory_work *work, struct memory_mailbox *mailbox,
                            const struct pn_flags *flags, bool add, uint64_t *bits_out)
{
	*bits_out = 0;
	for (size_t i = 0; i < flags->keyword_count; i++) {
		struct pn_slice word = flags->keywords[i];
		size_t bit = 0;

		while (bit < mailbox->keyword_count &&
		       !pn_slice_equal_ignore_case(mailbox->keywords[bit], word))
			bit++;
		if (bit == mailbox->keyword_count && !add)
			continue;
		if (bit == mailbox->keyword_count) {
			if (word.size == 0 || word.size > PN_KEYWORD_MAX)
				return fail(work, PN_LIMIT, "a keyword has 1 to 64 bytes");
			if (bit == PN_KEYWORDS_PER_MAILBOX)
				return fail(work, PN_LIMIT, "the mailbox has 64 keywords");
			mailbox->keywords[bit] = pn_arena_keep(work->account->arena, word);
			mailbox->keyword_count++;
		}
		*bits_out |= (uint64_t)1 << bit;
	}
	return PN_OK;
}

static enum pn_status check_quota(struct memory_work *work, uint64_t more)
{
	uint64_t limit = work->mutation->max_account_bytes;
	uint64_t used = account_size(work->account, NULL);

	if (limit == 0)
		limit = work->account->quota_bytes;
	if (limit == 0)
		limit = work->store->config.quota;
	if (used <= limit && more <= limit - used)
		return PN_OK;
	return pn_fail_with(PN_LIMIT, &work->commit->error,
	                    "account %.*s has %llu of %llu bytes; %llu more do not fit",
	                    PN_SLICE_ARGS(work->account->name), (unsigned long long)used,
	                    (unsigned long long)limit, (unsigned long long)more);
}

static struct pn_body_source *body_source(const struct pn_commit *commit, size_t index)
{
	return (struct pn_body_source *)((char *)commit->bodies + index * commit->body_size);
}

static enum pn_status find_body(struct memory_work *work, const struct memory_body **body_out)
{
	const struct pn_body_reference *body = &work->mutation->body;

	if (!body->is_new) {
		*body_out = body_find(work->store, body->id);
		return *body_out != NULL ? PN_OK : fail(work, PN_NOT_FOUND, "there is no body");
	}
	if (body->index >= work->commit->body_count)
		return fail(work, PN_CONFLICT, "the commit has no such body");
	if (work->bodies[body->index] == NULL)
		work->bodies[body->index] =
			body_put(work->store, body_source(work->commit, body->index));
	*body_out = work->bodies[body->index];
	return PN_OK;
}

/* ------------------------------------------------------------------------- append */

static bool was_used(struct memory_work *work)
{
	for (size_t i = 0; i < work->account->once_count; i++) {
		const struct memory_once *once = &work->account->onces[i];

		if (!pn_slice_equal(once->key, work->mutation->once_key))
			continue;
		work->result->was_there = true;
		work->result->mailbox = once->mailbox;
		work->result->uid_validity = once->uid_validity;
		work->result->first_uid = once->uid;
		work->result->uid_count = 1;
		work->result->body = once->body->id;
		return true;
	}
	return false;
}

static void remember_key(struct memory_work *work, const struct memory_body *body)
{
	struct memory_account *account = work->account;
	struct memory_once *onces =
		PN_ARENA_ARRAY(account->arena, account->once_count + 1, struct memory_once);

	if (account->once_count != 0)
		memcpy(onces, account->onces, account->once_count * sizeof(*onces));
	onces[account->once_count++] = (struct memory_once){
		.key = pn_arena_keep(account->arena, work->mutation->once_key),
		.mailbox = work->mailbox->id,
		.uid_validity = work->mailbox->uid_validity,
		.uid = work->result->first_uid,
		.body = body,
	};
	account->onces = onces;
}

static enum pn_status append(struct memory_work *work)
{
	const struct pn_mutation *mutation = work->mutation;
	const struct memory_body *body;
	struct memory_row *row;
	uint64_t bits;
	enum pn_status status;

	work->account = draft_of(work, mutation->account);
	if (work->account == NULL) {
		if (!mutation->create_missing)
			return fail(work, PN_NOT_FOUND, "there is no such account");
		add_account(work, mutation->account);
	}
	/* Before a mailbox is made: where the key was used nothing happens. */
	if (mutation->once_key.size != 0 && was_used(work))
		return PN_OK;
	status = find_mailbox(work);
	if (status == PN_NOT_FOUND && mutation->create_missing && mutation->mailbox == 0)
		status = make_mailbox(work, mutation->name, 0, true);
	if (status != PN_OK)
		return status;
	if (mutation->uid != 0 && mutation->uid < work->mailbox->uid_next)
		return fail(work, PN_CONFLICT, "this UID was given already");
	status = find_body(work, &body);
	if (status == PN_OK)
		status = check_quota(work, body->bytes.size);
	if (status == PN_OK)
		status = keyword_bits(work, work->mailbox, &mutation->flags, true, &bits);
	if (status != PN_OK)
		return status;
	if (mutation->uid != 0)
		work->mailbox->uid_next = mutation->uid;
	work->account->modseq++;
	row = row_add(work->account, work->mailbox);
	row->system_flags = mutation->flags.system;
	row->keywords = bits;
	row->internal_date_ms =
		mutation->internal_date_ms ? mutation->internal_date_ms : row->saved_date_ms;
	row->body = body;
	work->result->mailbox = work->mailbox->id;
	work->result->uid_validity = work->mailbox->uid_validity;
	work->result->first_uid = row->uid;
	work->result->uid_count = 1;
	work->result->body = body->id;
	if (mutation->once_key.size != 0)
		remember_key(work, body);
	return PN_OK;
}

/* ----------------------------------------------------- sets of rows of a mailbox */

/* UIDs that a mutation touched, for its result. */
struct touched {
	uint32_t *uids;
	size_t count;
};

static struct touched touched_new(struct memory_work *work)
{
	return (struct touched){
		PN_ARENA_ARRAY(work->commit->arena, work->mailbox->row_count, uint32_t), 0};
}

static struct pn_uid_set touched_set(struct memory_work *work, const struct touched *touched)
{
	return pn_uid_set_of(work->commit->arena, touched->uids, touched->count);
}

/* Copies one row into the mailbox `target`; keywords get the bits they have there. */
enum pn_status copy_row(struct memory_work *work, size_t index, struct memory_mailbox *from,
                        uint64_t target, uint32_t *uid_out)
{
	struct memory_mailbox *to = mailbox_by_id(work->account, target);
	struct memory_row old = from->rows[index];
	struct pn_slice words[PN_KEYWORDS_PER_MAILBOX];
	struct pn_flags flags = {.keywords = words};
	struct memory_row *row;
	uint64_t bits;
	enum pn_status status;

	for (size_t bit = 0; bit < from->keyword_count; bit++)
		if (old.keywords >> bit & 1)
			words[flags.keyword_count++] = from->keywords[bit];
	status = keyword_bits(work, to, &flags, true, &bits);
	if (status != PN_OK)
		return status;
	row = row_add(work->account, to);
	row->system_flags = old.system_flags;
	row->keywords = bits;
	row->internal_date_ms = old.internal_date_ms;
	row->body = old.body;
	*uid_out = row->uid;
	return PN_OK;
}

static void expunge_row(struct memory_work *work, struct memory_row *row)
{
	row->is_expunged = true;
	row->modseq = row->expunged_modseq = work->account->modseq;
	work->mailbox->highest_modseq = work->account->modseq;
}

static enum pn_status copy(struct memory_work *work, bool is_move)
{
	const struct pn_mutation *mutation = work->mutation;
	struct memory_mailbox *target = mailbox_by_id(work->account, mutation->target_mailbox);
	struct touched touched = touched_new(work);
	size_t count = work->mailbox->row_count; /* what is copied into it is not copied again */
	uint64_t size = 0;
	enum pn_status status = PN_OK;

	if (target == NULL)
		return fail(work, PN_NOT_FOUND, "there is no such mailbox");
	for (size_t i = 0; i < count; i++) {
		struct memory_row *row = &work->mailbox->rows[i];

		if (row->is_expunged || !pn_uid_set_has(mutation->uids, row->uid))
			continue;
		touched.uids[touched.count++] = row->uid;
		size += row->body->bytes.size;
	}
	if (!is_move)
		status = check_quota(work, size);
	if (touched.count != 0)
		work->account->modseq++;
	for (size_t i = 0; i < count && status == PN_OK; i++) {
		struct memory_row *row = &work->mailbox->rows[i];
		uint32_t uid;

		if (row->is_expunged || !pn_uid_set_has(mutation->uids, row->uid))
			continue;
		status = copy_row(work, i, work->mailbox, target->id, &uid);
		if (work->result->first_uid == 0)
			work->result->first_uid = uid;
		work->result->uid_count++;
		if (is_move)
			expunge_row(work, &work->mailbox->rows[i]);
	}
	work->result->uids = touched_set(work, &touched);
	work->result->mailbox = target->id;
	work->result->uid_validity = target->uid_validity;
	return status;
}

static enum pn_status set_flags(struct memory_work *work)
{
	const struct pn_mutation *mutation = work->mutation;
	struct touched touched = touched_new(work);
	struct touched modified = touched_new(work);
	uint64_t bits;
	enum pn_status status = keyword_bits(work, work->mailbox, &mutation->flags,
	                                     mutation->how != PN_FLAGS_REMOVE, &bits);

	for (size_t i = 0; i < work->mailbox->row_count && status == PN_OK; i++) {
		struct memory_row *row = &work->mailbox->rows[i];
		struct memory_row old = *row;

		/* Expunged ones too: who was not told that they are gone goes on using them. */
		if (!pn_uid_set_has(mutation->uids, row->uid))
			continue;
		if (mutation->unchanged_since != 0 && row->modseq > mutation->unchanged_since) {
			modified.uids[modified.count++] = row->uid;
			continue;
		}
		if (mutation->how == PN_FLAGS_ADD) {
			row->system_flags |= mutation->flags.system;
			row->keywords |= bits;
		} else if (mutation->how == PN_FLAGS_REMOVE) {
			row->system_flags &= ~mutation->flags.system;
			row->keywords &= ~bits;
		} else {
			row->system_flags = mutation->flags.system;
			row->keywords = bits;
		}
		if (row->system_flags == old.system_flags && row->keywords == old.keywords)
			continue;
		if (mutation->unchanged_since == 0 && mutation->known_modseq != 0 &&
		    old.modseq > mutation->known_modseq)
			modified.uids[modified.count++] = row->uid;
		if (touched.count == 0)
			work->account->modseq++;
		touched.uids[touched.count++] = row->uid;
		row->modseq = work->mailbox->highest_modseq = work->account->modseq;
	}
	work->result->uids = touched_set(work, &touched);
	work->result->modified = touched_set(work, &modified);
	return status;
}

static enum pn_status expunge(struct memory_work *work)
{
	struct touched touched = touched_new(work);

	for (size_t i = 0; i < work->mailbox->row_count; i++) {
		struct memory_row *row = &work->mailbox->rows[i];

		if (row->is_expunged || !pn_uid_set_has(work->mutation->uids, row->uid) ||
		    (work->mutation->on && !(row->system_flags & PN_FLAG_DELETED)))
			continue;
		if (touched.count == 0)
			work->account->modseq++;
		touched.uids[touched.count++] = row->uid;
		expunge_row(work, row);
	}
	work->result->uids = touched_set(work, &touched);
	return PN_OK;
}

/* Messages up to the last of the set were shown to somebody. */
static enum pn_status set_recent(struct memory_work *work)
{
	struct pn_uid_set uids = work->mutation->uids;
	uint32_t last = work->mailbox->uid_next - 1;

	if (uids.count == 0)
		return PN_OK;
	if (last > uids.ranges[uids.count - 1].last)
		last = uids.ranges[uids.count - 1].last;
	if (work->mailbox->recent_uid <= last)
		work->mailbox->recent_uid = last + 1;
	return PN_OK;
}

/* The UIDs of another server. */
static enum pn_status take_uids(struct memory_work *work)
{
	const struct pn_mutation *mutation = work->mutation;
	struct memory_mailbox *mailbox = work->mailbox;

	if (mutation->uid_validity != 0 && mutation->uid_validity != mailbox->uid_validity) {
		if (mailbox->uid_next != 1)
			return fail(work, PN_CONFLICT,
			            "the mailbox has had messages under another UIDVALIDITY");
		mailbox->uid_validity = mutation->uid_validity;
		if (work->store->last_uid_validity < mailbox->uid_validity)
			work->store->last_uid_validity = mailbox->uid_validity;
	}
	if (mutation->uid > mailbox->uid_next)
		mailbox->uid_next = mutation->uid;
	work->result->uid_validity = mailbox->uid_validity;
	work->account->modseq++;
	return PN_OK;
}

static enum pn_status change_rows(struct memory_work *work)
{
	enum pn_status status = find_mailbox(work);

	if (status != PN_OK)
		return status;
	work->result->mailbox = work->mailbox->id;
	work->result->uid_validity = work->mailbox->uid_validity;
	switch (work->mutation->kind) {
	case PN_MUTATION_COPY:
		return copy(work, false);
	case PN_MUTATION_MOVE:
		return copy(work, true);
	case PN_MUTATION_FLAGS:
		return set_flags(work);
	case PN_MUTATION_RECENT:
		return set_recent(work);
	case PN_MUTATION_UIDS:
		return take_uids(work);
	default:
		return expunge(work);
	}
}

/* --------------------------------------------------------------- accounts, queue */

static enum pn_status change_account(struct memory_work *work)
{
	const struct pn_mutation *mutation = work->mutation;

	work->account = draft_of(work, mutation->account);
	if (mutation->kind == PN_MUTATION_ACCOUNT_CREATE) {
		work->result->was_there = work->account != NULL;
		if (mutation->account.size == 0 || mutation->account.size > 400)
			return fail(work, PN_LIMIT, "an account's name has 1 to 400 bytes");
		if (work->account == NULL)
			add_account(work, mutation->account);
		return PN_OK;
	}
	if (work->account == NULL)
		return fail(work, PN_NOT_FOUND, "there is no such account");
	if (mutation->kind == PN_MUTATION_ACCOUNT_DELETE)
		work->account->is_deleted = true;
	else
		work->account->quota_bytes = mutation->quota_bytes;
	return PN_OK;
}

static enum pn_status change_queue(struct memory_work *work)
{
	const struct pn_mutation *mutation = work->mutation;
	const struct memory_body *body;
	enum pn_status status;

	if (mutation->queue_row == NULL)
		return fail(work, PN_CONFLICT, "a queue row is missing");
	if (work->queue.arena == NULL)
		queue_copy(&work->store->queue, &work->queue);
	work->account = NULL;
	work->result->queue_id = mutation->queue_row->id;
	if (mutation->kind == PN_MUTATION_QUEUE_PUT) {
		status = find_body(work, &body);
		if (status != PN_OK)
			return status;
		work->result->body = body->id;
		work->result->queue_id = queue_put(&work->queue, mutation->queue_row, body->id);
		return PN_OK;
	}
	status = mutation->kind == PN_MUTATION_QUEUE_UPDATE
	                 ? queue_update(&work->queue, mutation, &work->result->was_there)
	                 : queue_done(&work->queue, mutation, &work->result->was_there);
	return status == PN_OK ? PN_OK : fail(work, status, "there is no such queue row");
}

static enum pn_status apply(struct memory_work *work)
{
	enum pn_mutation_kind kind = work->mutation->kind;

	if (kind == PN_MUTATION_NONE)
		return PN_OK;
	if (kind <= PN_MUTATION_ACCOUNT_QUOTA)
		return change_account(work);
	if (kind == PN_MUTATION_APPEND)
		return append(work);
	if (kind > PN_MUTATION_UIDS)
		return fail(work, PN_CONFLICT, "this store does not know the mutation");
	if (kind >= PN_MUTATION_QUEUE_PUT && kind <= PN_MUTATION_QUEUE_DONE)
		return change_queue(work);
	work->account = draft_of(work, work->mutation->account);
	if (work->account == NULL)
		return fail(work, PN_NOT_FOUND, "there is no such account");
	return kind >= PN_MUTATION_COPY ? change_rows(work) : change_tree(work);
}

static void publish(struct memory_work *work)
{
	while (work->drafts != NULL) {
		struct memory_account *draft = work->drafts;

		work->drafts = draft->next;
		accounts_put(work->store, draft);
	}
	if (work->queue.arena != NULL) {
		queue_free(&work->store->queue);
		work->store->queue = work->queue;
	}
	for (size_t i = 0; i < work->commit->body_count; i++) {
		struct pn_body_source *source = body_source(work->commit, i);

		if (source->writer == NULL || work->bodies[i] == NULL)
			continue;
		memory_body_discard(work->store, source->writer);
		source->writer = NULL;
	}
}

static void discard(struct memory_work *work)
{
	while (work->drafts != NULL) {
		struct memory_account *draft = work->drafts;

		work->drafts = draft->next;
		account_free(draft);
	}
	if (work->queue.arena != NULL)
		queue_free(&work->queue);
}

void memory_commit(void *instance, struct pn_commit *commit)
{
	struct memory_work work = {.store = instance, .commit = commit};
	enum pn_status status = PN_OK;

	work.bodies = PN_ARENA_ARRAY(commit->arena, commit->body_count, struct memory_body *);
	commit->results =
		PN_ARENA_ARRAY(commit->arena, commit->mutation_count, struct pn_mutation_result);
	commit->failed_index = 0;
	for (size_t i = 0; i < commit->mutation_count && status == PN_OK; i++) {
		work.mutation = (const struct pn_mutation *)((const char *)commit->mutations +
		                                             i * commit->mutation_size);
		work.result = &commit->results[i];
		work.account = NULL;
		status = apply(&work);
		if (work.account != NULL)
			work.result->modseq = work.account->modseq;
		if (status != PN_OK)
			commit->failed_index = i;
	}
	if (status == PN_OK)
		publish(&work);
	else
		discard(&work);
	pn_commit_done(commit, status);
}
