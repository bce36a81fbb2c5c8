/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one commit that accepts a message: its body once, and an append for each
 * account. It is made once in the life of a transaction; a sender who heard nothing
 * comes again with another.
 */
#include "delivery/transaction.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "session/ticket.h"
#include "store/watch.h"

static void committed(void *user, const struct pn_answer *answer);

static uint32_t system_flag(struct pn_slice word)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} names[] = {
		{"\\Seen", PN_FLAG_SEEN},       {"\\Answered", PN_FLAG_ANSWERED},
		{"\\Flagged", PN_FLAG_FLAGGED}, {"\\Deleted", PN_FLAG_DELETED},
		{"\\Draft", PN_FLAG_DRAFT},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (pn_slice_equal_ignore_case(word, pn_slice_of(names[i].name)))
			return names[i].flag;
	}
	return 0;
}

void pn_deposit_set_flags(struct pn_commit *commit, struct pn_flags *flags, struct pn_slice words)
{
	struct pn_slice *keywords =
		PN_ARENA_ARRAY(commit->arena, PN_KEYWORDS_PER_MAILBOX, struct pn_slice);

	flags->keywords = keywords;
	while (words.size > 0) {
		struct pn_slice word = pn_slice_cut(&words, ' ');

		if (word.size == 0)
			continue;
		if (word.data[0] == '\\')
			flags->system |= system_flag(word);
		else if (flags->keyword_count < PN_KEYWORDS_PER_MAILBOX)
			keywords[flags->keyword_count++] = pn_arena_keep(commit->arena, word);
	}
}

/* The append for that account and mailbox, if an address before this one led there already: who is
 * reached twice gets one copy. */
static size_t find_append(const struct pn_commit *commit, struct pn_slice account,
                          struct pn_slice mailbox)
{
	size_t index = 0;

	while (index < commit->mutation_count &&
	       !(pn_slice_equal(commit->mutations[index].account, account) &&
	         pn_slice_equal(commit->mutations[index].name, mailbox)))
		index++;
	return index;
}

/* No key is needed to keep an append from being repeated: nothing commits a transaction twice. */
static void add_append(struct pn_commit *commit, const struct pn_recipient *recipient,
                       const struct pn_lookup_account *account)
{
	struct pn_mutation *append = pn_commit_add(commit, PN_MUTATION_APPEND);

	append->account = pn_arena_keep(commit->arena, account->name);
	append->name = pn_arena_keep(commit->arena, recipient->mailbox);
	append->create_missing = true;
	append->body.is_new = true;
	append->internal_date_ms = pn_clock_wall_ms();
	append->max_account_bytes = account->quota_bytes;
	pn_deposit_set_flags(commit, &append->flags, recipient->flags);
}

static void add_appends(struct pn_commit *commit, struct pn_recipient *recipient)
{
	for (size_t i = 0; i < recipient->account_count; i++) {
		const struct pn_lookup_account *account = &recipient->accounts[i];
		size_t index = find_append(commit, account->name, recipient->mailbox);

		if (i == 0)
			recipient->first_mutation = index;
		if (index == commit->mutation_count)
			add_append(commit, recipient, account);
	}
}

/* Trace and header, then what memory has of the body (a writer has it otherwise). */
static enum pn_status add_body(struct pn_transaction *transaction, struct pn_commit *commit)
{
	struct pn_slice *pieces = PN_ARENA_ARRAY(commit->arena, 2, struct pn_slice);
	struct pn_body_source *body = &commit->bodies[commit->body_count++];
	struct pn_buffer head;
	enum pn_status status;

	pn_buffer_init(&head, 512 * 1024);
	status = pn_trace_write(transaction, &head);
	if (status == PN_OK)
		status = pn_transaction_write_header(transaction, &head);
	if (status == PN_OK) {
		pieces[0] = pn_arena_keep(commit->arena, pn_buffer_slice(&head));
		body->header_size = (uint32_t)head.size;
	}
	transaction->stored_size = head.size + transaction->size - transaction->header_size;
	pn_buffer_clear(&head);
	body->pieces = pieces;
	body->piece_count = 1;
	body->transaction = pn_arena_keep(commit->arena, pn_slice_of(transaction->id));
	body->writer = transaction->writer;
	transaction->writer = NULL;
	if (body->writer == NULL) {
		/* The commit may outlive the transaction: the bytes move to it. */
		pieces[1] = pn_arena_keep(commit->arena,
		                          pn_slice_behind(pn_buffer_slice(&transaction->text),
		                                          transaction->header_size));
		body->piece_count = 2;
	}
	if (status == PN_OK)
		body->summary = pn_summary_of(transaction, pieces[0], pieces[1], commit->arena);
	return status;
}

static void refuse(struct pn_transaction *transaction, enum pn_verdict verdict, unsigned code,
                   const char *enhanced, const char *text)
{
	transaction->result.verdict = verdict;
	pn_reply_set(&transaction->result.reply, code, enhanced, text);
	pn_accept_committed(transaction);
}

/* How many accounts get it; and of one of them, the name, which is what a store is asked by. */
static size_t count_appends(const struct pn_transaction *transaction, struct pn_slice *name_out)
{
	size_t appends = 0;

	for (const struct pn_recipient *leaf = pn_leaf_next(transaction, NULL); leaf != NULL;
	     leaf = pn_leaf_next(transaction, leaf)) {
		if (!pn_leaf_is_stored(leaf))
			continue;
		appends += leaf->account_count;
		*name_out = leaf->accounts[0].name;
	}
	return appends;
}

static enum pn_status fill_commit(struct pn_transaction *transaction, struct pn_commit *commit)
{
	for (struct pn_recipient *leaf = pn_leaf_next(transaction, NULL); leaf != NULL;
	     leaf = pn_leaf_next(transaction, leaf)) {
		if (pn_leaf_is_stored(leaf))
			add_appends(commit, leaf);
	}
	if (add_body(transaction, commit) != PN_OK)
		return PN_LIMIT;
	return pn_waiting_add(transaction, commit);
}

void pn_deposit(struct pn_transaction *transaction)
{
	struct pn_slice name = PN_SLICE_NONE;
	struct pn_commit *commit;
	size_t appends = count_appends(transaction, &name);
	size_t rows = pn_waiting_count(transaction);

	if (appends == 0 && rows == 0) {
		/* Everything was discarded, and the record says by whom. */
		transaction->was_accepted = true;
		pn_accept_committed(transaction);
		return;
	}
	if (transaction->store == NULL) {
		refuse(transaction, PN_VERDICT_DEFER, 451, "4.3.5",
		       "there is no store that could keep this message");
		return;
	}
	commit = pn_commit_new(1, appends + rows);
	if (fill_commit(transaction, commit) != PN_OK) {
		pn_commit_free(&commit);
		refuse(transaction, PN_VERDICT_REJECT, 552, "5.3.4",
		       "the header of the message, or what policy noted of it, is too large");
		return;
	}
	/* A store that is late may still keep it: the sender was told "not now" and comes again. */
	pn_store_commit(pn_account_new(transaction->arena, name, transaction->store), commit,
	                pn_ticket_open(transaction->session, committed, transaction,
	                               transaction->generation->store_deadline_ms));
}

/* Which recipient an append was for; its refusal is only his where the protocol can say so. */
static struct pn_recipient *recipient_of(struct pn_transaction *transaction, size_t mutation)
{
	struct pn_recipient *found = NULL;

	for (struct pn_recipient *leaf = pn_leaf_next(transaction, NULL); leaf != NULL;
	     leaf = pn_leaf_next(transaction, leaf)) {
		if (pn_leaf_is_stored(leaf) && leaf->first_mutation <= mutation &&
		    (found == NULL || leaf->first_mutation > found->first_mutation))
			found = leaf;
	}
	return found == NULL ? NULL : found->root;
}

static void take_results(struct pn_transaction *transaction, const struct pn_commit *commit)
{
	bool is_queued = false;

	transaction->was_accepted = true;
	for (struct pn_recipient *leaf = pn_leaf_next(transaction, NULL); leaf != NULL;
	     leaf = pn_leaf_next(transaction, leaf)) {
		if (pn_leaf_is_stored(leaf) && commit->results != NULL)
			leaf->uid = commit->results[leaf->first_mutation].first_uid;
		is_queued = is_queued || leaf->is_queued || pn_leaf_is_reported(leaf);
	}
	if (is_queued && pn_change_bus.queued != NULL)
		pn_change_bus.queued();
}

/* Whether something was promised to anybody, be it that it is thrown away. */
static bool is_taken(const struct pn_transaction *transaction)
{
	const struct pn_recipient *recipient = transaction->recipients;

	while (recipient != NULL && recipient->result.verdict != PN_VERDICT_ACCEPT)
		recipient = recipient->next;
	return recipient != NULL;
}

/* A full mailbox is its owner's trouble alone where the protocol can tell about each recipient: the
 * others get theirs in a commit without him. False: nobody is left, or nobody can be told. */
static bool deposit_without(struct pn_transaction *transaction, struct pn_recipient *recipient,
                            struct pn_commit *commit)
{
	if (!transaction->answers_per_recipient || recipient == NULL)
		return false;
	pn_recipient_refuse(recipient, PN_VERDICT_DEFER, 452, "4.2.2", "the mailbox is full");
	if (!is_taken(transaction))
		return false;
	transaction->writer = commit->bodies[0].writer;
	commit->bodies[0].writer = NULL;
	pn_deposit(transaction);
	return true;
}

static void committed(void *user, const struct pn_answer *answer)
{
	struct pn_transaction *transaction = user;
	struct pn_commit *commit = (struct pn_commit *)(uintptr_t)answer->result;
	struct pn_stage_result *result = &transaction->result;
	struct pn_recipient *recipient;

	if (answer->status == PN_OK) {
		take_results(transaction, commit);
		pn_accept_committed(transaction);
		return;
	}
	if (answer->status == PN_LIMIT && commit != NULL) {
		recipient = recipient_of(transaction, commit->failed_index);
		if (deposit_without(transaction, recipient, commit))
			return;
		result->verdict = PN_VERDICT_DEFER;
		pn_reply_set(&result->reply, 452, "4.2.2", "the mailbox is full");
	} else {
		result->verdict = PN_VERDICT_DEFER;
		pn_reply_set(&result->reply, 451, "4.3.0", "the message could not be stored");
		pn_log(PN_LOG_ERROR, "store", "transaction %s could not be stored: %s",
		       transaction->id,
		       answer->error != NULL ? answer->error->text
		                             : pn_status_name(answer->status));
	}
	pn_accept_committed(transaction);
}
