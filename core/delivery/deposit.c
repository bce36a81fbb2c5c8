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

static void set_flags(struct pn_commit *commit, struct pn_flags *flags, struct pn_slice words)
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
	set_flags(commit, &append->flags, recipient->flags);
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

static bool is_stored(const struct pn_recipient *recipient)
{
	return !recipient->is_disposed && recipient->account_count > 0 &&
	       recipient->result.verdict == PN_VERDICT_ACCEPT;
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
	return status;
}

void pn_deposit(struct pn_transaction *transaction)
{
	struct pn_account *account = NULL;
	struct pn_commit *commit;
	size_t appends = 0;

	for (const struct pn_recipient *recipient = transaction->recipients; recipient != NULL;
	     recipient = recipient->next) {
		if (!is_stored(recipient))
			continue;
		appends += recipient->account_count;
		if (account == NULL)
			account = pn_account_new(transaction->arena, recipient->accounts[0].name,
			                         recipient->accounts[0].store);
	}
	if (account == NULL) {
		/* Everything was discarded, and the record says by whom. */
		transaction->was_accepted = true;
		pn_accept_committed(transaction);
		return;
	}
	commit = pn_commit_new(1, appends);
	for (struct pn_recipient *recipient = transaction->recipients; recipient != NULL;
	     recipient = recipient->next) {
		if (is_stored(recipient))
			add_appends(commit, recipient);
	}
	if (add_body(transaction, commit) != PN_OK) {
		pn_commit_free(&commit);
		transaction->result.verdict = PN_VERDICT_REJECT;
		pn_reply_set(&transaction->result.reply, 552, "5.3.4",
		             "the header of the message is too large after its edits");
		pn_accept_committed(transaction);
		return;
	}
	/* A store that is late may still keep it: the sender was told "not now" and comes again. */
	pn_store_commit(account, commit,
	                pn_ticket_open(transaction->session, committed, transaction,
	                               transaction->generation->store_deadline_ms));
}

/* Which recipient an append was for; its refusal is only his where the protocol can say so. */
static struct pn_recipient *recipient_of(struct pn_transaction *transaction, size_t mutation)
{
	struct pn_recipient *found = NULL;

	for (struct pn_recipient *recipient = transaction->recipients; recipient != NULL;
	     recipient = recipient->next) {
		if (is_stored(recipient) && recipient->first_mutation <= mutation &&
		    (found == NULL || recipient->first_mutation > found->first_mutation))
			found = recipient;
	}
	return found;
}

static void take_results(struct pn_transaction *transaction, const struct pn_commit *commit)
{
	transaction->was_accepted = true;
	for (struct pn_recipient *recipient = transaction->recipients; recipient != NULL;
	     recipient = recipient->next) {
		if (is_stored(recipient) && commit->results != NULL)
			recipient->uid = commit->results[recipient->first_mutation].first_uid;
	}
}

/* A full mailbox is its owner's trouble alone where the protocol can tell about each recipient: the
 * others get theirs in a commit without him. False: nobody is left, or nobody can be told. */
static bool deposit_without(struct pn_transaction *transaction, struct pn_recipient *recipient,
                            struct pn_commit *commit)
{
	size_t left = 0;

	if (!transaction->answers_per_recipient || recipient == NULL)
		return false;
	pn_recipient_refuse(recipient, PN_VERDICT_DEFER, 452, "4.2.2", "the mailbox is full");
	for (struct pn_recipient *other = transaction->recipients; other != NULL;
	     other = other->next)
		left += is_stored(other) ? 1 : 0;
	if (left == 0)
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
