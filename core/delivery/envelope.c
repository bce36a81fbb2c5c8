/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope: MAIL FROM and RCPT TO, whatever protocol brings them. Here and
 * nowhere else it is decided whose mail is taken: a recipient that is served here,
 * or one that an authenticated client or an explicit `accept` vouches for.
 */
#include "delivery/transaction.h"

#include <postern/text.h>

#include "session/ticket.h"

enum { MAX_REDIRECTS = 5 };

static struct pn_address keep_address(struct pn_arena *arena, const struct pn_address *address)
{
	struct pn_address kept = {
		.local_part = pn_arena_keep(arena, address->local_part),
		.domain = pn_arena_keep(arena, address->domain),
		.text = pn_arena_keep(arena, address->text),
		.is_utf8 = address->is_utf8,
	};

	return kept;
}

static const struct pn_parameter *
keep_parameters(struct pn_arena *arena, const struct pn_parameter *parameters, size_t count)
{
	struct pn_parameter *kept = PN_ARENA_ARRAY(arena, count, struct pn_parameter);

	for (size_t i = 0; i < count; i++) {
		kept[i].name = pn_arena_keep(arena, parameters[i].name);
		kept[i].value = pn_arena_keep(arena, parameters[i].value);
	}
	return kept;
}

/* What a hook said is put into the words that a protocol knows. */
static void answer(struct pn_transaction *transaction, const struct pn_stage_result *result)
{
	struct pn_stage_result *kept = PN_ARENA_NEW(transaction->arena, struct pn_stage_result);

	*kept = *result;
	pn_ticket_answer(transaction->answer_ticket, PN_ANSWER_VERDICT, PN_OK, kept, NULL, NULL);
}

static void sender_judged(void *user, const struct pn_stage_result *result)
{
	struct pn_transaction *transaction = user;
	struct pn_stage_result said = *result;

	/* Dispositions of the whole message are known before it is there: they wait for it. */
	if (result->verdict == PN_VERDICT_DISCARD || result->verdict == PN_VERDICT_QUARANTINE ||
	    result->verdict == PN_VERDICT_HOLD) {
		transaction->result = *result;
		said.verdict = PN_VERDICT_CONTINUE;
	}
	answer(transaction, &said);
}

static bool store_is_nearly_full(const struct pn_generation *generation)
{
	for (size_t i = 0; i < generation->instance_count; i++) {
		const struct pn_instance *instance = generation->instances[i].instance;
		const struct pn_store *store = instance->module->store;

		if (store != NULL && store->is_nearly_full != NULL &&
		    store->is_nearly_full(instance->state))
			return true;
	}
	return false;
}

enum pn_next pn_transaction_begin(struct pn_session *session, const struct pn_envelope_part *sender)
{
	struct pn_transaction *transaction = pn_transaction_new(session);
	struct pn_stage_request request =
		pn_transaction_stage(transaction, PN_STAGE_ENVELOPE_SENDER);
	struct pn_stage_result full = {.struct_size = sizeof(full),
	                               .stage = PN_STAGE_ENVELOPE_SENDER,
	                               .verdict = PN_VERDICT_DEFER};

	transaction->sender = keep_address(transaction->arena, &sender->address);
	transaction->parameters =
		keep_parameters(transaction->arena, sender->parameters, sender->parameter_count);
	transaction->parameter_count = sender->parameter_count;
	transaction->answer_ticket = pn_ticket_open_unlimited(session, NULL, NULL);
	if (store_is_nearly_full(transaction->generation)) {
		pn_reply_set(&full.reply, 452, "4.3.1", "the mail system is nearly full");
		answer(transaction, &full);
		return PN_NEXT_ANSWER;
	}
	pn_stage_run(&request, sender_judged, transaction);
	return PN_NEXT_ANSWER;
}

void pn_recipient_refuse(struct pn_recipient *recipient, enum pn_verdict verdict, unsigned code,
                         const char *enhanced, const char *text)
{
	recipient->result.verdict = verdict;
	pn_reply_set(&recipient->result.reply, code, enhanced, text);
	recipient->is_settled = true;
}

static void answer_recipient(struct pn_recipient *recipient)
{
	struct pn_transaction *transaction = recipient->transaction;
	bool is_taken = recipient->result.verdict == PN_VERDICT_ACCEPT;

	if (is_taken) {
		*transaction->last_recipient = recipient;
		transaction->last_recipient = &recipient->next;
		transaction->recipient_count++;
		recipient->result.recipient = recipient;
	} else {
		transaction->refused_count++;
		recipient->result.recipient = NULL;
	}
	answer(transaction, &recipient->result);
}

/* Whether this recipient can be served together with those that are there already. */
static bool fits_store(const struct pn_recipient *recipient)
{
	const struct pn_recipient *first = pn_transaction_first_local(recipient->transaction);
	const struct pn_instance *store =
		first != NULL ? first->accounts[0].store : recipient->accounts[0].store;

	for (size_t i = 0; i < recipient->account_count; i++) {
		if (recipient->accounts[i].store != store)
			return false;
	}
	return true;
}

/* A mailbox that is full is told at once: after the message, one full mailbox would hold it up for
 * everybody else it is for. */
static void size_known(void *user, const struct pn_answer *answer)
{
	struct pn_recipient *recipient = user;
	const struct pn_transaction *transaction = recipient->transaction;
	const struct pn_mailboxes *mailboxes = answer->result;
	const struct pn_parameter *declared =
		pn_transaction_parameter(transaction, PN_SLICE("SIZE"));
	uint64_t size = 0;
	uint64_t used = 0;

	if (declared != NULL && pn_parse_count(declared->value, &size) != PN_OK)
		size = 0;
	for (size_t i = 0; answer->status == PN_OK && i < mailboxes->count; i++)
		used += mailboxes->mailboxes[i].size_bytes;
	if (used >= recipient->accounts[0].quota_bytes ||
	    size > recipient->accounts[0].quota_bytes - used)
		pn_recipient_refuse(recipient, PN_VERDICT_DEFER, 452, "4.2.2",
		                    "the mailbox is full");
	/* A store that cannot say is asked again by the commit, which knows for certain. */
	answer_recipient(recipient);
}

static void accept_if_room(struct pn_recipient *recipient)
{
	const struct pn_transaction *transaction = recipient->transaction;
	const struct pn_lookup_account *account = &recipient->accounts[0];
	const struct pn_mailboxes_request request = {.struct_size = sizeof(request)};
	struct pn_ticket ticket;

	recipient->result.verdict = PN_VERDICT_ACCEPT;
	if (recipient->account_count != 1 || account->quota_bytes == 0) {
		answer_recipient(recipient);
		return;
	}
	ticket = pn_ticket_open(transaction->session, size_known, recipient,
	                        transaction->generation->store_deadline_ms);
	pn_ticket_set_owner(ticket, transaction);
	pn_store_mailboxes(pn_account_new(transaction->arena, account->name, account->store),
	                   &request, ticket);
}

/* Every hook said continue (or one said accept): the rule that is left. Promise 5. */
static void decide(struct pn_recipient *recipient, bool was_accepted)
{
	const struct pn_session *session = recipient->transaction->session;

	if (recipient->account_count > 0 && fits_store(recipient)) {
		accept_if_room(recipient);
		return;
	}
	if (recipient->account_count > 0)
		pn_recipient_refuse(recipient, PN_VERDICT_DEFER, 452, "4.5.3",
		                    "this recipient needs a message of its own");
	else if (was_accepted || session->identity.size > 0)
		pn_recipient_refuse(recipient, PN_VERDICT_DEFER, 451, "4.4.0",
		                    "mail for other domains cannot be delivered from here yet");
	else
		pn_recipient_refuse(recipient, PN_VERDICT_REJECT, 550, "5.7.1", "relaying denied");
	answer_recipient(recipient);
}

static void look_up(struct pn_recipient *recipient);

static void redirect(struct pn_recipient *recipient, const char *target)
{
	struct pn_arena *arena = recipient->transaction->arena;
	struct pn_address address;

	if (target == NULL || recipient->redirects++ >= MAX_REDIRECTS ||
	    pn_address_parse(pn_slice_of(target), true, arena, &address) != PN_OK) {
		pn_recipient_refuse(recipient, PN_VERDICT_DEFER, 451, "4.3.5",
		                    "this recipient is redirected to no usable address");
		answer_recipient(recipient);
		return;
	}
	recipient->address = address;
	look_up(recipient);
}

static void recipient_judged(void *user, const struct pn_stage_result *result)
{
	struct pn_recipient *recipient = user;

	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
		decide(recipient, false);
		return;
	case PN_VERDICT_ACCEPT:
		decide(recipient, true);
		return;
	case PN_VERDICT_REDIRECT:
		redirect(recipient, result->argument);
		return;
	case PN_VERDICT_DISCARD:
		recipient->is_disposed = true;
		recipient->is_settled = true;
		recipient->result = *result;
		recipient->result.verdict = PN_VERDICT_ACCEPT;
		answer_recipient(recipient);
		return;
	case PN_VERDICT_QUARANTINE:
		pn_recipient_set_mailbox(
			recipient,
			pn_slice_of(result->argument == NULL ? "Quarantine" : result->argument));
		decide(recipient, false);
		return;
	case PN_VERDICT_HOLD:
		pn_recipient_refuse(recipient, PN_VERDICT_DEFER, 451, "4.3.0",
		                    "mail cannot be held here yet");
		break;
	default:
		recipient->result = *result;
		if (result->verdict == PN_VERDICT_GREYLIST)
			recipient->result.verdict = PN_VERDICT_DEFER;
		break;
	}
	answer_recipient(recipient);
}

static void ask_stage(struct pn_recipient *recipient)
{
	struct pn_stage_request request =
		pn_transaction_stage(recipient->transaction, PN_STAGE_ENVELOPE_RECIPIENT);

	request.recipient = recipient;
	request.about = recipient->original.text.data;
	pn_stage_run(&request, recipient_judged, recipient);
}

static void looked_up(void *user, const struct pn_lookup_result *result)
{
	struct pn_recipient *recipient = user;

	recipient->accounts = result->accounts;
	recipient->account_count = result->account_count;
	switch (result->outcome) {
	case PN_LOOKUP_FOUND:
		if (result->foreign_count > 0)
			recipient->account_count = 0; /* needs delivery: all of it or nothing */
		break;
	case PN_LOOKUP_FOREIGN:
		recipient->account_count = 0;
		break;
	case PN_LOOKUP_UNKNOWN:
		pn_recipient_refuse(recipient, PN_VERDICT_REJECT, 550, "5.1.1",
		                    "no such address here");
		answer_recipient(recipient);
		return;
	case PN_LOOKUP_DISABLED:
		pn_recipient_refuse(recipient, PN_VERDICT_DEFER, 450, "4.2.1",
		                    "this address takes no mail for now");
		answer_recipient(recipient);
		return;
	case PN_LOOKUP_FAILED:
		pn_recipient_refuse(recipient, PN_VERDICT_DEFER, 451, "4.3.0",
		                    "the address could not be looked up");
		answer_recipient(recipient);
		return;
	}
	if (recipient->redirects > 0)
		decide(recipient, false);
	else
		ask_stage(recipient);
}

/* "postmaster" alone is ours (RFC 5321 section 4.5.1). */
static void look_up(struct pn_recipient *recipient)
{
	struct pn_transaction *transaction = recipient->transaction;
	const struct pn_generation *generation = transaction->generation;

	if (recipient->address.domain.size == 0 && generation->domain_count > 0) {
		recipient->address.domain = pn_slice_of(generation->domains[0].name);
		recipient->address.text = pn_slice_of(pn_arena_print(
			transaction->arena, "%.*s@%s", PN_SLICE_ARGS(recipient->address.local_part),
			generation->domains[0].name));
	}
	pn_directory_find(transaction->session, transaction->generation, &recipient->address,
	                  transaction->arena, looked_up, recipient);
}

enum pn_next pn_transaction_add(struct pn_session *session, const struct pn_envelope_part *part)
{
	struct pn_transaction *transaction = session->transaction;
	struct pn_recipient *recipient = PN_ARENA_NEW(transaction->arena, struct pn_recipient);

	recipient->transaction = transaction;
	recipient->original = keep_address(transaction->arena, &part->address);
	recipient->address = recipient->original;
	recipient->parameters =
		keep_parameters(transaction->arena, part->parameters, part->parameter_count);
	recipient->parameter_count = part->parameter_count;
	recipient->mailbox = PN_SLICE("INBOX");
	recipient->result.struct_size = sizeof(recipient->result);
	recipient->result.stage = PN_STAGE_ENVELOPE_RECIPIENT;
	transaction->answer_ticket = pn_ticket_open_unlimited(session, NULL, NULL);
	look_up(recipient);
	return PN_NEXT_ANSWER;
}
