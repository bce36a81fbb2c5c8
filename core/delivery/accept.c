/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepting: from the last byte of a message to the answer. The steps of enum
 * pn_accept_step run in order, each for the message or for each recipient; any of
 * them may wait. The answer goes out after the commit, and in no other place.
 */
#include "delivery/transaction.h"

#include <postern/text.h>

#include "session/ticket.h"

static void advance(struct pn_transaction *transaction);

static void refuse(struct pn_transaction *transaction, enum pn_verdict verdict, unsigned code,
                   const char *enhanced, const char *text)
{
	transaction->result.verdict = verdict;
	pn_reply_set(&transaction->result.reply, code, enhanced, text);
	transaction->step = PN_STEP_ANSWER;
}

static void go_to(struct pn_transaction *transaction, enum pn_accept_step step)
{
	transaction->step = step;
	transaction->at = transaction->recipients;
	transaction->goes_on = true;
}

/* Quarantine and hold of the whole message are dispositions of each recipient. */
static void dispose(struct pn_transaction *transaction, const struct pn_stage_result *result)
{
	for (struct pn_recipient *recipient = transaction->recipients; recipient != NULL;
	     recipient = recipient->next) {
		if (result->verdict == PN_VERDICT_DISCARD) {
			recipient->is_disposed = true;
			recipient->is_settled = true;
		} else if (result->verdict == PN_VERDICT_QUARANTINE) {
			pn_recipient_set_mailbox(recipient,
			                         pn_slice_of(result->argument == NULL
			                                             ? "Quarantine"
			                                             : result->argument));
		}
	}
}

/* A verdict about the message as a whole. True: the pipeline goes on. */
static bool take_message_verdict(struct pn_transaction *transaction,
                                 const struct pn_stage_result *result)
{
	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
	case PN_VERDICT_ACCEPT:
		return true;
	case PN_VERDICT_DISCARD:
	case PN_VERDICT_QUARANTINE:
		dispose(transaction, result);
		return true;
	case PN_VERDICT_HOLD:
	case PN_VERDICT_REDIRECT:
		refuse(transaction, PN_VERDICT_DEFER, 451, "4.3.0",
		       "this message cannot be held or sent elsewhere yet");
		return false;
	default:
		transaction->result = *result;
		if (result->verdict == PN_VERDICT_GREYLIST)
			transaction->result.verdict = PN_VERDICT_DEFER;
		transaction->step = PN_STEP_ANSWER;
		return false;
	}
}

static void message_judged(void *user, const struct pn_stage_result *result)
{
	struct pn_transaction *transaction = user;

	if (take_message_verdict(transaction, result))
		go_to(transaction, transaction->step + 1);
	advance(transaction);
}

static void ask_message(struct pn_transaction *transaction, enum pn_stage stage)
{
	struct pn_stage_request request = pn_transaction_stage(transaction, stage);

	request.all_at_once = stage == PN_STAGE_MESSAGE_SCAN;
	pn_stage_run(&request, message_judged, transaction);
}

/* A verdict about one recipient. */
static void recipient_judged(void *user, const struct pn_stage_result *result)
{
	struct pn_transaction *transaction = user;
	struct pn_recipient *recipient = transaction->at;

	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
	case PN_VERDICT_ACCEPT:
		break;
	case PN_VERDICT_DISCARD:
		recipient->is_disposed = true;
		recipient->is_settled = true;
		break;
	case PN_VERDICT_QUARANTINE:
		pn_recipient_set_mailbox(
			recipient,
			pn_slice_of(result->argument == NULL ? "Quarantine" : result->argument));
		break;
	case PN_VERDICT_REJECT:
	case PN_VERDICT_DEFER:
		recipient->result.verdict = result->verdict;
		recipient->result.reply = result->reply;
		recipient->result.hook = result->hook;
		recipient->is_settled = true;
		break;
	default:
		pn_recipient_refuse(recipient, PN_VERDICT_DEFER, 451, "4.3.0",
		                    "mail cannot be held or sent elsewhere from here yet");
		break;
	}
	transaction->at = recipient->next;
	transaction->goes_on = true;
	advance(transaction);
}

/* One recipient at a time; those that are settled are not asked any more. */
static void ask_recipients(struct pn_transaction *transaction, enum pn_stage stage)
{
	struct pn_stage_request request = pn_transaction_stage(transaction, stage);

	while (transaction->at != NULL && transaction->at->is_settled)
		transaction->at = transaction->at->next;
	if (transaction->at == NULL) {
		go_to(transaction, transaction->step + 1);
		return;
	}
	request.recipient = transaction->at;
	request.about = transaction->at->original.text.data;
	pn_stage_run(&request, recipient_judged, transaction);
}

static void headers_judged(void *user, const struct pn_stage_result *result)
{
	struct pn_transaction *transaction = user;

	if (take_message_verdict(transaction, result))
		go_to(transaction, PN_STEP_HOPS);
	advance(transaction);
}

/* What the message itself forbids, whoever asks for it. */
static void check_message(struct pn_transaction *transaction)
{
	const struct pn_generation *generation = transaction->generation;
	size_t hops = 0;

	while (pn_header_find(&transaction->header, PN_SLICE("Received"), hops) != NULL)
		hops++;
	if (transaction->size > transaction->max_size)
		refuse(transaction, PN_VERDICT_REJECT, 552, "5.3.4",
		       "the message is larger than is taken here");
	else if (transaction->header_too_large)
		refuse(transaction, PN_VERDICT_REJECT, 552, "5.3.4",
		       "the header of the message is larger than is taken here");
	else if (hops > generation->max_hops)
		refuse(transaction, PN_VERDICT_REJECT, 554, "5.4.6",
		       "too many hops: this message goes in circles");
	else if (transaction->writer_failed)
		refuse(transaction, PN_VERDICT_DEFER, 452, "4.3.1",
		       "the message could not be written");
	else
		go_to(transaction, PN_STEP_SCAN);
	transaction->goes_on = true;
}

/*
 * Recipients that were judged differently. Where the protocol can tell about each, each is told.
 * Elsewhere: any defer defers all; all refused refuses; else the refused ones are disposed of, and
 * never bounced to a sender who may be a stranger.
 */
static void resolve(struct pn_transaction *transaction)
{
	const struct pn_recipient *deferred = NULL;
	const struct pn_recipient *rejected = NULL;
	size_t taken = 0;

	for (struct pn_recipient *recipient = transaction->recipients; recipient != NULL;
	     recipient = recipient->next) {
		if (recipient->result.verdict == PN_VERDICT_DEFER)
			deferred = recipient;
		else if (recipient->result.verdict == PN_VERDICT_REJECT)
			rejected = recipient;
		else
			taken++;
	}
	if (taken == 0 || (deferred != NULL && !transaction->answers_per_recipient)) {
		const struct pn_recipient *speaks = deferred != NULL ? deferred : rejected;

		if (speaks != NULL) {
			transaction->result.verdict = speaks->result.verdict;
			transaction->result.reply = speaks->result.reply;
			transaction->result.hook = speaks->result.hook;
		}
		transaction->step = PN_STEP_ANSWER;
		transaction->goes_on = true;
		return;
	}
	for (struct pn_recipient *recipient = transaction->recipients; recipient != NULL;
	     recipient = recipient->next) {
		if (recipient->result.verdict == PN_VERDICT_REJECT)
			recipient->is_disposed = true;
	}
	go_to(transaction, PN_STEP_COMMIT);
}

static void body_finished(struct pn_transaction *transaction)
{
	if (transaction->writer_failed) {
		refuse(transaction, PN_VERDICT_DEFER, 452, "4.3.1",
		       "the message could not be written");
		transaction->goes_on = true;
		advance(transaction);
		return;
	}
	pn_deposit(transaction);
}

void pn_accept_committed(struct pn_transaction *transaction)
{
	go_to(transaction, transaction->was_accepted ? PN_STEP_OBSERVE : PN_STEP_ANSWER);
	advance(transaction);
}

static void observed(void *user, const struct pn_stage_result *result)
{
	struct pn_transaction *transaction = user;

	(void)result;
	go_to(transaction, PN_STEP_ANSWER);
	advance(transaction);
}

static void give_answer(struct pn_transaction *transaction)
{
	struct pn_stage_result *result = &transaction->result;

	if (transaction->was_accepted) {
		result->verdict = PN_VERDICT_ACCEPT;
		transaction->session->transactions_accepted++;
		pn_session_world.messages_accepted++;
	} else {
		/* Whatever was judged before, the client hears one thing: it was not taken. */
		for (struct pn_recipient *recipient = transaction->recipients; recipient != NULL;
		     recipient = recipient->next) {
			if (recipient->result.verdict != PN_VERDICT_ACCEPT &&
			    transaction->answers_per_recipient)
				continue;
			recipient->result.verdict = result->verdict;
			recipient->result.reply = result->reply;
		}
		pn_body_discard(transaction);
	}
	pn_ticket_answer(transaction->answer_ticket, PN_ANSWER_ACCEPTED, PN_OK, result, NULL, NULL);
}

static void run_step(struct pn_transaction *transaction)
{
	struct pn_stage_request request;

	switch (transaction->step) {
	case PN_STEP_HEADERS:
		/* What was decided while the message came in, or before it. */
		if (!take_message_verdict(transaction, &transaction->result))
			transaction->goes_on = true;
		else if (transaction->header_asked || transaction->header_too_large)
			go_to(transaction, PN_STEP_HOPS);
		else
			pn_transaction_ask_headers(transaction, headers_judged);
		break;
	case PN_STEP_HOPS:
		check_message(transaction);
		break;
	case PN_STEP_SCAN:
		ask_message(transaction, PN_STAGE_MESSAGE_SCAN);
		break;
	case PN_STEP_DECIDE:
		ask_message(transaction, PN_STAGE_MESSAGE_DECIDE);
		break;
	case PN_STEP_RECIPIENT_DECIDE:
		ask_recipients(transaction, PN_STAGE_RECIPIENT_DECIDE);
		break;
	case PN_STEP_CHANGE:
		ask_message(transaction, PN_STAGE_MESSAGE_CHANGE);
		break;
	case PN_STEP_ROUTE:
		ask_recipients(transaction, PN_STAGE_RECIPIENT_ROUTE);
		break;
	case PN_STEP_MAILBOX:
		ask_recipients(transaction, PN_STAGE_MAILBOX_DELIVER);
		break;
	case PN_STEP_RESOLVE:
		resolve(transaction);
		break;
	case PN_STEP_COMMIT:
		pn_body_finish(transaction, body_finished);
		break;
	case PN_STEP_OBSERVE:
		request = pn_transaction_stage(transaction, PN_STAGE_MESSAGE_ACCEPTED);
		pn_stage_run(&request, observed, transaction);
		break;
	case PN_STEP_ANSWER:
		give_answer(transaction);
		break;
	}
}

/* Hooks that answer at once come back here from inside run_step: they only say that it goes on, so
 * a thousand recipients do not become a thousand frames of stack. */
static void advance(struct pn_transaction *transaction)
{
	transaction->goes_on = true;
	if (transaction->is_advancing)
		return;
	transaction->is_advancing = true;
	while (transaction->goes_on) {
		transaction->goes_on = false;
		run_step(transaction);
	}
	transaction->is_advancing = false;
}

enum pn_next pn_transaction_submit(struct pn_session *session)
{
	struct pn_transaction *transaction = session->transaction;

	transaction->was_submitted = true;
	transaction->answer_ticket = pn_ticket_open_unlimited(session, NULL, NULL);
	go_to(transaction, PN_STEP_HEADERS);
	advance(transaction);
	return PN_NEXT_ANSWER;
}
