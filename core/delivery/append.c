/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message that its owner puts into a mailbox: taken as it is, shown to the hooks
 * of mailbox.deliver, committed. It uses what a transaction has (memory and writer,
 * record, one recipient: the account of the session) and none of its judging. What
 * follows from the bytes (the summary) is computed while they go by. Loop thread.
 */
#include "delivery/transaction.h"

#include <postern/clock.h>
#include <postern/mime.h>
#include <postern/text.h>

#include "session/ticket.h"

struct pn_owner_deposit {
	struct pn_deposit_result result;
	struct pn_slice mailbox; /* as the owner named it */
	int64_t internal_date_ms;
	struct pn_mime_parser *parser;
	struct pn_slice summary;
	uint32_t header_size;
	bool is_refused; /* before its first byte; see the result */
};

static void refuse(struct pn_transaction *transaction, enum pn_status status,
                   enum pn_verdict verdict, unsigned code, const char *enhanced, const char *text)
{
	transaction->deposit->result.status = status;
	transaction->result.verdict = verdict;
	pn_reply_set(&transaction->result.reply, code, enhanced, text);
}

static void refuse_as_too_large(struct pn_transaction *transaction)
{
	refuse(transaction, PN_LIMIT, PN_VERDICT_REJECT, 552, "5.3.4",
	       "the message is larger than is taken here");
}

static void refuse_as_unwritten(struct pn_transaction *transaction)
{
	refuse(transaction, PN_FAILED, PN_VERDICT_DEFER, 452, "4.3.1",
	       "the message could not be written");
}

/* The one place where the owner is answered. */
static void answer(struct pn_transaction *transaction)
{
	struct pn_owner_deposit *deposit = transaction->deposit;
	struct pn_recipient *recipient = transaction->recipients;

	if (deposit->result.status == PN_OK) {
		transaction->was_accepted = true;
		transaction->result.verdict = PN_VERDICT_ACCEPT;
		transaction->session->transactions_accepted++;
	} else {
		pn_body_discard(transaction);
	}
	if (recipient != NULL)
		recipient->result.verdict = transaction->result.verdict;
	pn_ticket_answer(transaction->answer_ticket, PN_ANSWER_ACCEPTED, PN_OK,
	                 &transaction->result, NULL, NULL);
}

/* ---- beginning ---- */

/* The account stands as an address where it is one: that is how hooks know recipients. */
static struct pn_address address_of(struct pn_arena *arena, struct pn_slice account)
{
	struct pn_slice name = pn_arena_keep(arena, account);
	struct pn_address address;

	if (pn_address_parse(name, true, arena, &address) == PN_OK)
		return address;
	return (struct pn_address){.local_part = name, .text = name};
}

static struct pn_recipient *new_recipient(struct pn_transaction *transaction,
                                          const struct pn_account *account)
{
	struct pn_recipient *recipient = PN_ARENA_NEW(transaction->arena, struct pn_recipient);
	struct pn_lookup_account *accounts =
		PN_ARENA_ARRAY(transaction->arena, 1, struct pn_lookup_account);

	accounts[0] = (struct pn_lookup_account){
		.name = pn_arena_keep(transaction->arena, account->name),
		.store = account->store,
		.quota_bytes = account->quota_bytes,
	};
	recipient->transaction = transaction;
	recipient->root = recipient;
	recipient->address = address_of(transaction->arena, account->name);
	recipient->original = recipient->address;
	recipient->accounts = accounts;
	recipient->account_count = 1;
	recipient->mailbox = transaction->deposit->mailbox;
	recipient->result.struct_size = sizeof(recipient->result);
	recipient->result.stage = PN_STAGE_MAILBOX_DELIVER;
	return recipient;
}

static bool is_inbox(struct pn_slice name)
{
	return pn_slice_equal_ignore_case(name, PN_SLICE("INBOX"));
}

void pn_deposit_begin(struct pn_session *session, const struct pn_deposit_request *request)
{
	struct pn_transaction *transaction = pn_transaction_new(session);
	const struct pn_account *account = session->account;
	struct pn_owner_deposit *deposit =
		PN_ARENA_NEW(transaction->arena, struct pn_owner_deposit);

	transaction->deposit = deposit;
	transaction->result.stage = PN_STAGE_MAILBOX_DELIVER;
	pn_transaction_set_max_size(transaction, request->max_size);
	deposit->result.struct_size = sizeof(deposit->result);
	deposit->internal_date_ms = request->internal_date_ms;
	deposit->mailbox = is_inbox(request->mailbox)
	                           ? PN_SLICE("INBOX")
	                           : pn_arena_keep(transaction->arena, request->mailbox);
	if (account == NULL) {
		deposit->is_refused = true;
		refuse(transaction, PN_NOT_FOUND, PN_VERDICT_REJECT, 550, "5.1.1",
		       "this login has no mailboxes here");
		return;
	}
	transaction->recipients = new_recipient(transaction, account);
	transaction->recipient_count = 1;
	pn_recipient_set_flags(transaction->recipients, request->flags);
	if (account->entries->is_nearly_full != NULL &&
	    account->entries->is_nearly_full(account->state)) {
		deposit->is_refused = true;
		refuse(transaction, PN_FAILED, PN_VERDICT_DEFER, 452, "4.3.1",
		       "the mail system is nearly full");
		return;
	}
	deposit->parser = pn_mime_new();
}

void pn_deposit_discard(struct pn_transaction *transaction)
{
	if (transaction->deposit != NULL)
		pn_mime_free(&transaction->deposit->parser);
}

/* ---- the bytes ---- */

enum pn_next pn_deposit_append(struct pn_transaction *transaction, struct pn_slice bytes,
                               enum pn_next next)
{
	size_t room = transaction->text.limit - transaction->text.size;
	struct pn_slice fits = pn_slice_make(bytes.data, bytes.size < room ? bytes.size : room);
	struct pn_slice rest = pn_slice_behind(bytes, fits.size);

	transaction->size += bytes.size;
	if (transaction->deposit->is_refused || transaction->writer_failed)
		return next;
	if (transaction->size > transaction->max_size) {
		pn_body_discard(transaction);
		return next;
	}
	pn_mime_feed(transaction->deposit->parser, bytes);
	if (pn_buffer_append(&transaction->text, fits) != PN_OK)
		rest = bytes; /* never: there was room */
	return rest.size == 0 ? next : pn_body_overflow(transaction, rest, next);
}

/* The message is whole: what the index keeps of it. A summary that is too large is left out, and
 * who wants one makes it. */
static void summarize(struct pn_transaction *transaction)
{
	struct pn_owner_deposit *deposit = transaction->deposit;
	struct pn_buffer summary;
	uint64_t size;

	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	if (pn_mime_finish(deposit->parser, &summary) == PN_OK)
		deposit->summary = pn_arena_keep(transaction->arena, pn_buffer_slice(&summary));
	pn_buffer_clear(&summary);
	size = pn_mime_header_size(deposit->parser);
	deposit->header_size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
	pn_mime_free(&deposit->parser);
}

/* Hooks may read the header, if it is one that can be read: an owner may keep what he likes. */
static void show_header(struct pn_transaction *transaction)
{
	struct pn_slice text = pn_buffer_slice(&transaction->text);

	if (transaction->generation->chains[PN_STAGE_MAILBOX_DELIVER].count == 0 ||
	    transaction->deposit->header_size > text.size)
		return;
	text.size = transaction->deposit->header_size;
	transaction->has_header =
		pn_header_parse(pn_arena_keep(transaction->arena, text),
	                        transaction->generation->max_header_fields, transaction->arena,
	                        &transaction->header) == PN_OK;
}

/* ---- the commit ---- */

static void committed(void *user, const struct pn_answer *answered)
{
	struct pn_transaction *transaction = user;
	struct pn_deposit_result *result = &transaction->deposit->result;
	const struct pn_commit *commit = answered->result;
	const char *why =
		answered->error != NULL ? answered->error->text : pn_status_name(answered->status);

	switch (answered->status) {
	case PN_OK:
		result->status = PN_OK;
		result->mailbox = commit->results[0].mailbox;
		result->uid_validity = commit->results[0].uid_validity;
		result->uid = commit->results[0].first_uid;
		result->name = transaction->recipients->mailbox;
		transaction->recipients->uid = result->uid;
		break;
	case PN_NOT_FOUND:
		refuse(transaction, PN_NOT_FOUND, PN_VERDICT_REJECT, 550, "5.2.0",
		       "there is no such mailbox");
		break;
	case PN_LIMIT:
		result->is_quota = true;
		refuse(transaction, PN_LIMIT, PN_VERDICT_DEFER, 452, "4.2.2", why);
		break;
	default:
		/* A store that is late may still keep it: its owner was told that nobody knows. */
		refuse(transaction, PN_FAILED, PN_VERDICT_DEFER, 451, "4.3.0",
		       "the message could not be stored");
		pn_log(PN_LOG_ERROR, "store", "deposit %s could not be stored: %s", transaction->id,
		       why);
		break;
	}
	answer(transaction);
}

/* The commit may outlive the transaction: everything is copied or moved to it. */
static void add_body(struct pn_transaction *transaction, struct pn_commit *commit)
{
	struct pn_body_source *body = &commit->bodies[commit->body_count++];
	struct pn_slice *pieces = PN_ARENA_ARRAY(commit->arena, 1, struct pn_slice);

	body->writer = transaction->writer;
	transaction->writer = NULL;
	if (body->writer == NULL) {
		pieces[0] = pn_arena_keep(commit->arena, pn_buffer_slice(&transaction->text));
		body->pieces = pieces;
		body->piece_count = 1;
	}
	body->header_size = transaction->deposit->header_size;
	body->summary = pn_arena_keep(commit->arena, transaction->deposit->summary);
	body->transaction = pn_arena_keep(commit->arena, pn_slice_of(transaction->id));
}

static void commit_deposit(struct pn_transaction *transaction)
{
	const struct pn_owner_deposit *deposit = transaction->deposit;
	const struct pn_recipient *recipient = transaction->recipients;
	struct pn_commit *commit;
	struct pn_mutation *append;

	if (transaction->writer_failed) {
		refuse_as_unwritten(transaction);
		answer(transaction);
		return;
	}
	commit = pn_commit_new(1, 1);
	append = pn_commit_add(commit, PN_MUTATION_APPEND);
	append->account = pn_arena_keep(commit->arena, recipient->accounts[0].name);
	append->name = pn_arena_keep(commit->arena, recipient->mailbox);
	/* An account begins with its first message, and what a hook named need not be there; a
	 * mailbox that its owner misspelt is not made. */
	append->create_missing = is_inbox(recipient->mailbox) ||
	                         !pn_slice_equal(recipient->mailbox, deposit->mailbox);
	append->body.is_new = true;
	append->internal_date_ms =
		deposit->internal_date_ms != 0 ? deposit->internal_date_ms : pn_clock_wall_ms();
	append->max_account_bytes = recipient->accounts[0].quota_bytes;
	pn_deposit_set_flags(commit, &append->flags, recipient->flags);
	add_body(transaction, commit);
	pn_store_commit(pn_account_new(transaction->arena, recipient->accounts[0].name,
	                               recipient->accounts[0].store),
	                commit,
	                pn_ticket_open(transaction->session, committed, transaction,
	                               transaction->generation->store_deadline_ms));
}

static void judged(void *user, const struct pn_stage_result *result)
{
	struct pn_transaction *transaction = user;

	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
	case PN_VERDICT_ACCEPT:
		break;
	case PN_VERDICT_QUARANTINE:
		pn_recipient_set_mailbox(
			transaction->recipients,
			pn_slice_of(result->argument == NULL ? "Quarantine" : result->argument));
		break;
	case PN_VERDICT_DISCARD:
		/* Nobody's own message is thrown away behind his back. */
		transaction->result.hook = result->hook;
		refuse(transaction, PN_CONFLICT, PN_VERDICT_REJECT, 550, "5.7.1",
		       "refused by policy");
		answer(transaction);
		return;
	default:
		transaction->result = *result;
		transaction->deposit->result.status = PN_CONFLICT;
		answer(transaction);
		return;
	}
	pn_body_finish(transaction, commit_deposit);
}

enum pn_next pn_deposit_submit(struct pn_session *session)
{
	struct pn_transaction *transaction = session->transaction;
	struct pn_stage_request request =
		pn_transaction_stage(transaction, PN_STAGE_MAILBOX_DELIVER);

	transaction->was_submitted = true;
	transaction->answer_ticket = pn_ticket_open_unlimited(session, NULL, NULL);
	if (!transaction->deposit->is_refused && transaction->size > transaction->max_size)
		refuse_as_too_large(transaction);
	else if (!transaction->deposit->is_refused && transaction->writer_failed)
		refuse_as_unwritten(transaction);
	if (transaction->deposit->result.status != PN_OK) {
		answer(transaction);
		return PN_NEXT_ANSWER;
	}
	summarize(transaction);
	show_header(transaction);
	request.recipient = transaction->recipients;
	request.about = transaction->recipients->original.text.data;
	pn_stage_run(&request, judged, transaction);
	return PN_NEXT_ANSWER;
}

const struct pn_deposit_result *pn_deposit_result(const struct pn_session *session)
{
	return &session->transaction->deposit->result;
}
