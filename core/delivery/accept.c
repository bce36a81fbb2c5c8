/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepting: from the last byte of a message to the answer. The steps of enum
 * pn_accept_step run in order, each for the message or for each recipient; any of
 * them may wait. The answer goes out after the commit, and in no other place.
 */
#include "delivery/transaction.h"

#include <postern/log.h>
#include <postern/text.h>

#include "session/ticket.h"

#include <string.h>

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
	if (step == PN_STEP_ROUTE || step == PN_STEP_MAILBOX)
		transaction->at = pn_leaf_next(transaction, NULL);
	if (step == PN_STEP_MAILBOX)
		pn_transaction_choose_store(transaction);
	transaction->goes_on = true;
}

/* Quarantine: in a mailbox of that name where somebody has mailboxes here; of others it is held. */
static void quarantine(struct pn_recipient *recipient, const struct pn_stage_result *result)
{
	struct pn_slice mailbox =
		pn_slice_of(result->argument == NULL ? "Quarantine" : result->argument);

	pn_recipient_set_mailbox(recipient, mailbox);
	for (struct pn_recipient *branch = recipient->branches; branch != NULL;
	     branch = branch->next) {
		pn_recipient_set_mailbox(branch, mailbox);
		branch->is_held = branch->is_foreign;
		branch->held_by = result->hook;
	}
	if (recipient->is_foreign) {
		recipient->is_held = true;
		recipient->held_by = result->hook;
	}
}

/* What was said of the whole message is said of each recipient. A redirect leaves one copy. */
static void dispose(struct pn_transaction *transaction, const struct pn_stage_result *result)
{
	for (struct pn_recipient *recipient = transaction->recipients; recipient != NULL;
	     recipient = recipient->next) {
		bool is_first = recipient == transaction->recipients;

		if (result->verdict == PN_VERDICT_DISCARD ||
		    (result->verdict == PN_VERDICT_REDIRECT && !is_first)) {
			recipient->is_disposed = true;
			recipient->is_settled = true;
		} else if (result->verdict == PN_VERDICT_QUARANTINE) {
			quarantine(recipient, result);
		} else if (result->verdict == PN_VERDICT_HOLD) {
			recipient->is_held = true;
			recipient->held_by = result->hook;
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
	case PN_VERDICT_REDIRECT:
		if (!pn_recipient_redirect(transaction->recipients, result->argument)) {
			refuse(transaction, PN_VERDICT_DEFER, 451, "4.3.5",
			       "this message is redirected to no usable address");
			return false;
		}
		dispose(transaction, result);
		return true;
	case PN_VERDICT_DISCARD:
	case PN_VERDICT_QUARANTINE:
	case PN_VERDICT_HOLD:
		dispose(transaction, result);
		return true;
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

	if (transaction->is_suspect) {
		go_to(transaction, transaction->step + 1);
		return;
	}
	request.all_at_once = stage == PN_STAGE_MESSAGE_SCAN;
	pn_stage_run(&request, message_judged, transaction);
}

static void judge_recipient(struct pn_recipient *recipient, const struct pn_stage_result *result)
{
	struct pn_recipient *root = recipient->root;

	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
	case PN_VERDICT_ACCEPT:
		break;
	case PN_VERDICT_DISCARD:
		recipient->is_disposed = true;
		recipient->is_settled = true;
		break;
	case PN_VERDICT_QUARANTINE:
		quarantine(recipient, result);
		break;
	case PN_VERDICT_HOLD:
		recipient->is_held = true;
		recipient->held_by = result->hook;
		break;
	case PN_VERDICT_REDIRECT:
		if (!pn_recipient_redirect(recipient, result->argument))
			pn_recipient_refuse(root, PN_VERDICT_DEFER, 451, "4.3.5",
			                    "this recipient is redirected to no usable address");
		break;
	default:
		/* Of one branch, of all: the client knows the recipient and not what it became. */
		root->result.verdict = result->verdict;
		root->result.reply = result->reply;
		root->result.hook = result->hook;
		root->is_settled = true;
		break;
	}
}

static void go_on(struct pn_transaction *transaction, struct pn_recipient *next)
{
	transaction->at = next;
	transaction->goes_on = true;
	advance(transaction);
}

/* A verdict about one recipient as the client named it. */
static void recipient_judged(void *user, const struct pn_stage_result *result)
{
	struct pn_transaction *transaction = user;

	judge_recipient(transaction->at, result);
	go_on(transaction, transaction->at->next);
}

static void ask_about(struct pn_transaction *transaction, enum pn_stage stage,
                      pn_stage_done_function *done)
{
	struct pn_stage_request request = pn_transaction_stage(transaction, stage);

	request.recipient = transaction->at;
	request.about = transaction->at->root->original.text.data;
	pn_stage_run(&request, done, transaction);
}

/* One recipient at a time; those that are settled are not asked any more. */
static void ask_recipients(struct pn_transaction *transaction, enum pn_stage stage)
{
	while (transaction->at != NULL && transaction->at->is_settled)
		transaction->at = transaction->at->next;
	if (transaction->at == NULL || transaction->is_suspect)
		go_to(transaction, transaction->step + 1);
	else
		ask_about(transaction, stage, recipient_judged);
}

/* ---- what recipients became: their leaves ---- */

static void expanded(struct pn_recipient *recipient)
{
	go_on(recipient->transaction, recipient->next);
}

/* Recipients that a verdict about the message sent elsewhere. */
static void expand_recipients(struct pn_transaction *transaction)
{
	while (transaction->at != NULL &&
	       (transaction->at->is_settled || transaction->at->target_count == 0))
		transaction->at = transaction->at->next;
	if (transaction->at == NULL)
		go_to(transaction, transaction->step + 1);
	else
		pn_recipient_resolve_targets(transaction->at, expanded);
}

static struct pn_recipient *open_leaf(const struct pn_transaction *transaction,
                                      struct pn_recipient *leaf)
{
	while (leaf != NULL && (leaf->is_settled || leaf->root->is_settled))
		leaf = pn_leaf_next(transaction, leaf);
	return leaf;
}

static void leaf_expanded(struct pn_recipient *leaf)
{
	go_on(leaf->transaction, pn_leaf_next(leaf->transaction, leaf));
}

static void leaf_judged(void *user, const struct pn_stage_result *result)
{
	struct pn_transaction *transaction = user;
	struct pn_recipient *leaf = transaction->at;

	judge_recipient(leaf, result);
	/* The targets are asked in their turn: they stand behind the others of this recipient. */
	if (leaf->target_count > 0 && !leaf->root->is_settled)
		pn_recipient_resolve_targets(leaf, leaf_expanded);
	else
		go_on(transaction, pn_leaf_next(transaction, leaf));
}

static void ask_leaves(struct pn_transaction *transaction, enum pn_stage stage,
                       bool (*concerns)(const struct pn_recipient *leaf))
{
	struct pn_recipient *leaf = open_leaf(transaction, transaction->at);

	while (leaf != NULL && concerns != NULL && !concerns(leaf))
		leaf = open_leaf(transaction, pn_leaf_next(transaction, leaf));
	transaction->at = leaf;
	if (leaf == NULL || transaction->is_suspect)
		go_to(transaction, transaction->step + 1);
	else
		ask_about(transaction, stage, leaf_judged);
}

static void headers_judged(void *user, const struct pn_stage_result *result)
{
	struct pn_transaction *transaction = user;

	if (take_message_verdict(transaction, result))
		go_to(transaction, PN_STEP_HOPS);
	advance(transaction);
}

/* The next word of a field's value, folded or not; empty at its end. */
static struct pn_slice take_word(struct pn_slice *rest)
{
	size_t start = 0;
	size_t end;
	struct pn_slice word;

	while (start < rest->size && memchr(" \t\r\n", rest->data[start], 4) != NULL)
		start++;
	end = start;
	while (end < rest->size && memchr(" \t\r\n", rest->data[end], 4) == NULL)
		end++;
	word = pn_slice_make(rest->data + start, end - start);
	*rest = pn_slice_behind(*rest, end);
	return word;
}

/* Whether a Received field is one that we wrote: "from … by OUR-NAME …". */
static bool is_ours(struct pn_slice value, struct pn_slice hostname)
{
	bool is_behind_by = false;
	struct pn_slice word;

	while ((word = take_word(&value)).size > 0) {
		if (is_behind_by && pn_slice_equal_ignore_case(word, hostname))
			return true;
		is_behind_by = pn_slice_equal(word, PN_SLICE("by"));
	}
	return false;
}

/* How many servers the message came through, and how often we were one of them. */
static size_t count_hops(const struct pn_transaction *transaction, size_t *ours_out)
{
	const struct pn_header *header = &transaction->header;
	struct pn_slice hostname = pn_slice_of(transaction->generation->hostname);
	size_t hops = 0;

	*ours_out = 0;
	for (size_t i = 0; i < header->count; i++) {
		if (!pn_slice_equal_ignore_case(header->fields[i].name, PN_SLICE("Received")))
			continue;
		hops++;
		if (is_ours(header->fields[i].value, hostname))
			++*ours_out;
	}
	return hops;
}

/* What the message itself forbids, whoever asks for it. */
static void check_message(struct pn_transaction *transaction)
{
	const struct pn_generation *generation = transaction->generation;
	size_t own_hops;
	size_t hops = count_hops(transaction, &own_hops);

	if (transaction->size > transaction->max_size)
		refuse(transaction, PN_VERDICT_REJECT, 552, "5.3.4",
		       "the message is larger than is taken here");
	else if (transaction->header_too_large)
		refuse(transaction, PN_VERDICT_REJECT, 552, "5.3.4",
		       "the header of the message is larger than is taken here");
	else if (hops > generation->max_hops)
		refuse(transaction, PN_VERDICT_REJECT, 554, "5.4.6",
		       "too many hops: this message goes in circles");
	else if (own_hops > generation->max_own_hops)
		refuse(transaction, PN_VERDICT_REJECT, 554, "5.4.6",
		       "it came by here too often: this message goes in circles");
	else if (transaction->writer_failed)
		refuse(transaction, PN_VERDICT_DEFER, 452, "4.3.1",
		       "the message could not be written");
	else
		go_to(transaction, PN_STEP_SCAN);
	if (transaction->step == PN_STEP_SCAN)
		pn_digests_finish(transaction);
	if (transaction->step == PN_STEP_SCAN && pn_suspicion_message(transaction))
		pn_log(PN_LOG_ERROR, "suspects",
		       "message %s took down two workers before, and is set aside",
		       transaction->id);
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
	pn_transaction_choose_store(transaction);
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

/* Whether anybody is left that the message is for. */
static bool is_wanted(const struct pn_transaction *transaction)
{
	const struct pn_recipient *recipient = transaction->recipients;

	while (recipient != NULL && recipient->is_settled)
		recipient = recipient->next;
	return recipient != NULL;
}

static void run_step(struct pn_transaction *transaction)
{
	struct pn_stage_request request;

	switch (transaction->step) {
	case PN_STEP_HEADERS:
		/* What was decided while the message came in, or before it. */
		if (!take_message_verdict(transaction, &transaction->result))
			transaction->goes_on = true;
		else if (transaction->header_asked || transaction->header_too_large ||
		         transaction->is_suspect)
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
		/* A hook that cannot change what nobody gets has nothing to fail at. */
		if (is_wanted(transaction))
			ask_message(transaction, PN_STAGE_MESSAGE_CHANGE);
		else
			go_to(transaction, PN_STEP_EXPAND);
		break;
	case PN_STEP_EXPAND:
		expand_recipients(transaction);
		break;
	case PN_STEP_ROUTE:
		ask_leaves(transaction, PN_STAGE_RECIPIENT_ROUTE, NULL);
		break;
	case PN_STEP_MAILBOX:
		ask_leaves(transaction, PN_STAGE_MAILBOX_DELIVER, pn_leaf_is_stored);
		break;
	case PN_STEP_RESOLVE:
		resolve(transaction);
		break;
	case PN_STEP_COMMIT:
		pn_body_finish(transaction, body_finished);
		break;
	case PN_STEP_OBSERVE:
		if (transaction->is_suspect) {
			go_to(transaction, PN_STEP_ANSWER);
			break;
		}
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
