/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope: MAIL FROM and RCPT TO, whatever protocol brings them. Here and
 * nowhere else it is decided whose mail is taken: a recipient that is served here,
 * or one that an authenticated client or an explicit `accept` vouches for.
 */
#include "delivery/transaction.h"

#include <postern/text.h>

#include "session/ticket.h"

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
	const struct pn_lookup_account *account = recipient->accounts;
	const struct pn_mailboxes_request request = {.struct_size = sizeof(request)};
	struct pn_ticket ticket;

	recipient->result.verdict = PN_VERDICT_ACCEPT;
	if (recipient->account_count != 1 || recipient->branches != NULL ||
	    account->quota_bytes == 0) {
		answer_recipient(recipient);
		return;
	}
	ticket = pn_ticket_open(transaction->session, size_known, recipient,
	                        transaction->generation->store_deadline_ms);
	pn_ticket_set_owner(ticket, transaction);
	pn_store_mailboxes(pn_account_new(transaction->arena, account->name, account->store),
	                   &request, ticket);
}

/* Mail that cannot be stored here needs somebody to carry it on, and a store that keeps it
 * meanwhile. */
static bool can_relay(const struct pn_generation *generation)
{
	for (size_t i = 0; i < generation->instance_count && generation->home != NULL; i++) {
		if (generation->instances[i].instance->module->transport != NULL)
			return true;
	}
	return false;
}

static void refuse_to_relay(struct pn_recipient *recipient)
{
	pn_recipient_refuse(recipient, PN_VERDICT_DEFER, 451, "4.4.0",
	                    "this server does not carry mail to other domains");
	answer_recipient(recipient);
}

static bool leads_elsewhere(const struct pn_recipient *recipient)
{
	const struct pn_recipient *branch = recipient->branches;

	while (branch != NULL && !branch->is_foreign)
		branch = branch->next;
	return branch != NULL;
}

static void targets_resolved(struct pn_recipient *recipient)
{
	if (!recipient->is_settled && leads_elsewhere(recipient) &&
	    !can_relay(recipient->transaction->generation)) {
		refuse_to_relay(recipient);
		return;
	}
	if (!recipient->is_settled)
		recipient->result.verdict = PN_VERDICT_ACCEPT;
	answer_recipient(recipient);
}

/* Every hook said continue (or one said accept): the rule that is left. Promise 5. */
static void decide(struct pn_recipient *recipient, bool was_accepted)
{
	const struct pn_transaction *transaction = recipient->transaction;

	if (recipient->target_count > 0) {
		pn_recipient_resolve_targets(recipient, targets_resolved);
		return;
	}
	if (recipient->is_unknown) {
		pn_recipient_refuse(recipient, PN_VERDICT_REJECT, 550, "5.1.1",
		                    "no such address here");
		answer_recipient(recipient);
		return;
	}
	if (leads_elsewhere(recipient) && !can_relay(transaction->generation)) {
		refuse_to_relay(recipient);
		return;
	}
	if (recipient->account_count > 0 || recipient->branches != NULL) {
		accept_if_room(recipient);
		return;
	}
	if (!was_accepted && transaction->session->identity.size == 0)
		pn_recipient_refuse(recipient, PN_VERDICT_REJECT, 550, "5.7.1", "relaying denied");
	else if (!can_relay(transaction->generation)) {
		refuse_to_relay(recipient);
		return;
	} else {
		recipient->is_foreign = true;
		recipient->result.verdict = PN_VERDICT_ACCEPT;
	}
	answer_recipient(recipient);
}

static void redirect(struct pn_recipient *recipient, const char *target)
{
	if (pn_recipient_redirect(recipient, target)) {
		decide(recipient, true);
		return;
	}
	pn_recipient_refuse(recipient, PN_VERDICT_DEFER, 451, "4.3.5",
	                    "this recipient is redirected to no usable address");
	answer_recipient(recipient);
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
		recipient->is_held = true;
		recipient->held_by = result->hook;
		decide(recipient, false);
		return;
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
		/* Aliases that lead elsewhere: who wrote them wants the mail to go there. */
		for (size_t i = 0; i < result->foreign_count; i++)
			pn_recipient_branch(recipient, &result->foreign[i])->is_foreign = true;
		break;
	case PN_LOOKUP_FOREIGN:
		recipient->account_count = 0;
		break;
	case PN_LOOKUP_UNKNOWN:
		/* Nobody's here; a hook may still know whom it stands for. */
		recipient->is_unknown = true;
		break;
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
	recipient->root = recipient;
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
