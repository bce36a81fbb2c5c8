/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a transaction, and what everybody may ask of it. */
#include "delivery/transaction.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "session/ticket.h"

static void free_transaction(struct pn_session *session, void *pointer)
{
	struct pn_transaction *transaction = pointer;
	struct pn_arena *arena = transaction->arena;

	if (!pn_address_is_null(&transaction->sender) || transaction->trail.first != NULL ||
	    transaction->size > 0 || transaction->refused_count > 0)
		pn_transaction_record(transaction);
	/* Whatever is under way for it: hooks and lookups by the arena that they work in, jobs and
	 * the commit by the transaction. */
	pn_ticket_cancel(transaction->answer_ticket);
	pn_ticket_cancel(transaction->body_ticket);
	pn_ticket_cancel_owner(session, arena);
	pn_ticket_cancel_owner(session, transaction);
	pn_suspicion_end(transaction);
	pn_body_discard(transaction);
	pn_deposit_discard(transaction);
	pn_digests_discard(transaction);
	pn_buffer_clear(&transaction->text);
	pn_buffer_clear(&transaction->overflow);
	pn_generation_drop(&transaction->generation);
	transaction->magic = 0;
	session->transaction = NULL;
	session->transaction_id = NULL;
	pn_arena_free(&arena);
}

void pn_transaction_end(struct pn_session *session)
{
	if (session->transaction_attachment.release == NULL)
		return;
	session->transaction_attachment.release = NULL;
	free_transaction(session, session->transaction_attachment.attachment);
	session->transaction_attachment.attachment = NULL;
}

struct pn_transaction *pn_transaction_new(struct pn_session *session)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_transaction *transaction = PN_ARENA_NEW(arena, struct pn_transaction);

	pn_transaction_end(session);
	transaction->magic = PN_TRANSACTION_MAGIC;
	transaction->arena = arena;
	transaction->session = session;
	transaction->generation = pn_generation_keep(session->generation);
	transaction->last_recipient = &transaction->recipients;
	transaction->started_wall_ms = pn_clock_wall_ms();
	transaction->max_size = 50u * 1024 * 1024;
	transaction->priority = 4;
	transaction->trace_word = "local"; /* until the protocol says its own */
	transaction->result.struct_size = sizeof(transaction->result);
	pn_buffer_init(&transaction->text, (size_t)transaction->generation->memory_per_message);
	pn_buffer_init(&transaction->overflow, 1024 * 1024);
	pn_buffer_init(&transaction->undigested, 1024 * 1024);
	pn_trail_init(&transaction->trail, arena);
	pn_id_make(transaction->id);
	session->transaction = transaction;
	session->transaction_id = transaction->id;
	session->transaction_attachment.release = free_transaction;
	session->transaction_attachment.attachment = transaction;
	return transaction;
}

struct pn_stage_request pn_transaction_stage(struct pn_transaction *transaction,
                                             enum pn_stage stage)
{
	return (struct pn_stage_request){
		.stage = stage,
		.generation = transaction->generation,
		.session = transaction->session,
		.transaction = transaction,
		.session_id = transaction->session != NULL ? transaction->session->id : NULL,
		.transaction_id = transaction->id,
		.arena = transaction->arena,
		.trail = &transaction->trail,
		.journal = *pn_transaction_journal(),
	};
}

void pn_transaction_set_max_size(struct pn_transaction *transaction, uint64_t bytes)
{
	transaction->max_size = bytes == 0 ? 1 : bytes;
}

void pn_transaction_set_answers_per_recipient(struct pn_transaction *transaction, bool value)
{
	transaction->answers_per_recipient = value;
}

void pn_transaction_set_trace_word(struct pn_transaction *transaction, const char *word)
{
	transaction->trace_word = pn_arena_keep_text(transaction->arena, pn_slice_of(word));
}

const char *pn_transaction_id(const struct pn_transaction *transaction)
{
	return transaction->id;
}

const struct pn_address *pn_transaction_sender(const struct pn_transaction *transaction)
{
	return &transaction->sender;
}

static const struct pn_parameter *find_parameter(const struct pn_parameter *parameters,
                                                 size_t count, struct pn_slice name)
{
	for (size_t i = 0; i < count; i++) {
		if (pn_slice_equal_ignore_case(parameters[i].name, name))
			return &parameters[i];
	}
	return NULL;
}

const struct pn_parameter *pn_transaction_parameter(const struct pn_transaction *transaction,
                                                    struct pn_slice name)
{
	return find_parameter(transaction->parameters, transaction->parameter_count, name);
}

/* ---- how it waits ---- */

enum { TENANT_MAX = 255, PRIORITY_MAX = 9, LIFETIME_MIN_MS = 1000 };

enum pn_status pn_transaction_set_tenant(struct pn_transaction *transaction, struct pn_slice tenant)
{
	if (tenant.size > TENANT_MAX)
		return PN_FAILED;
	transaction->tenant = pn_arena_keep(transaction->arena, tenant);
	transaction->has_tenant = true;
	return PN_OK;
}

struct pn_slice pn_transaction_tenant(const struct pn_transaction *transaction)
{
	struct pn_slice identity;
	size_t at;

	if (transaction->has_tenant)
		return transaction->tenant;
	identity = pn_transaction_origin(transaction, "identity");
	at = pn_slice_find(identity, '@');
	return at < identity.size ? pn_slice_behind(identity, at + 1) : identity;
}

enum pn_status pn_transaction_set_priority(struct pn_transaction *transaction, uint32_t priority)
{
	if (priority > PRIORITY_MAX)
		return PN_FAILED;
	transaction->priority = priority;
	return PN_OK;
}

enum pn_status pn_transaction_set_release(struct pn_transaction *transaction, int64_t wall_ms)
{
	if (wall_ms < 0)
		return PN_FAILED;
	transaction->release_ms = wall_ms;
	return PN_OK;
}

enum pn_status pn_transaction_set_lifetime(struct pn_transaction *transaction,
                                           uint64_t milliseconds)
{
	if (milliseconds < LIFETIME_MIN_MS)
		return PN_FAILED;
	transaction->lifetime_ms = milliseconds;
	return PN_OK;
}

enum pn_status pn_transaction_set_sender(struct pn_transaction *transaction,
                                         struct pn_slice address)
{
	struct pn_address parsed = {.text = PN_SLICE_NONE};

	if (address.size > 0 && (pn_address_parse(pn_arena_keep(transaction->arena, address), true,
	                                          transaction->arena, &parsed) != PN_OK ||
	                         parsed.domain.size == 0))
		return PN_FAILED;
	transaction->sender = parsed;
	return PN_OK;
}

void pn_transaction_set_deliver_by(struct pn_transaction *transaction,
                                   const struct pn_deliver_by *by)
{
	transaction->by = *by;
}

struct pn_deliver_by pn_transaction_deliver_by(const struct pn_transaction *transaction)
{
	return transaction->by;
}

void pn_transaction_require_tls(struct pn_transaction *transaction)
{
	transaction->requires_tls = true;
}

bool pn_transaction_requires_tls(const struct pn_transaction *transaction)
{
	return transaction->requires_tls;
}

size_t pn_transaction_recipient_count(const struct pn_transaction *transaction)
{
	return transaction->recipient_count;
}

struct pn_recipient *pn_transaction_recipient(const struct pn_transaction *transaction,
                                              size_t index)
{
	struct pn_recipient *recipient = transaction->recipients;

	while (recipient != NULL && index-- > 0)
		recipient = recipient->next;
	return recipient;
}

const struct pn_address *pn_recipient_original(const struct pn_recipient *recipient)
{
	return &recipient->original;
}

const struct pn_address *pn_recipient_address(const struct pn_recipient *recipient)
{
	return &recipient->address;
}

const struct pn_parameter *pn_recipient_parameter(const struct pn_recipient *recipient,
                                                  struct pn_slice name)
{
	return find_parameter(recipient->parameters, recipient->parameter_count, name);
}

bool pn_recipient_is_local(const struct pn_recipient *recipient)
{
	return recipient->account_count > 0;
}

struct pn_slice pn_recipient_account(const struct pn_recipient *recipient)
{
	return recipient->account_count > 0 ? recipient->accounts[0].name : PN_SLICE_NONE;
}

const struct pn_stage_result *pn_recipient_result(const struct pn_recipient *recipient)
{
	return &recipient->result;
}

struct pn_slice pn_recipient_mailbox(const struct pn_recipient *recipient)
{
	return recipient->mailbox;
}

void pn_recipient_set_mailbox(struct pn_recipient *recipient, struct pn_slice mailbox)
{
	recipient->mailbox = pn_arena_keep(recipient->transaction->arena, mailbox);
}

struct pn_slice pn_recipient_flags(const struct pn_recipient *recipient)
{
	return recipient->flags;
}

void pn_recipient_set_flags(struct pn_recipient *recipient, struct pn_slice flags)
{
	recipient->flags = pn_arena_keep(recipient->transaction->arena, flags);
}

uint64_t pn_transaction_size(const struct pn_transaction *transaction)
{
	return transaction->size;
}

struct pn_slice pn_transaction_text(const struct pn_transaction *transaction)
{
	return pn_buffer_slice(&transaction->text);
}

void pn_transaction_add_score(struct pn_transaction *transaction, const char *name, double score)
{
	struct pn_score *entry;

	if (transaction->fact_count++ >= PN_MAX_FACTS)
		return;
	entry = PN_ARENA_NEW(transaction->arena, struct pn_score);
	entry->name = pn_arena_keep_text(transaction->arena, pn_slice_of(name));
	entry->score = score;
	entry->next = transaction->scores;
	transaction->scores = entry;
	transaction->score += score;
}

double pn_transaction_score(const struct pn_transaction *transaction)
{
	return transaction->score;
}

static struct pn_fact *find_fact(struct pn_fact *facts, struct pn_slice key)
{
	while (facts != NULL && !pn_slice_equal(facts->key, key))
		facts = facts->next;
	return facts;
}

static void set_fact(struct pn_transaction *transaction, struct pn_fact **facts,
                     struct pn_slice key, struct pn_slice value)
{
	struct pn_fact *fact = find_fact(*facts, key);

	if (transaction->fact_count++ >= PN_MAX_FACTS)
		return;
	if (fact == NULL) {
		fact = PN_ARENA_NEW(transaction->arena, struct pn_fact);
		fact->key = pn_arena_keep(transaction->arena, key);
		fact->next = *facts;
		*facts = fact;
	}
	fact->value = pn_arena_keep(transaction->arena, value);
}

void pn_transaction_set_fact(struct pn_transaction *transaction, struct pn_slice key,
                             struct pn_slice value)
{
	set_fact(transaction, &transaction->facts, key, value);
}

struct pn_slice pn_transaction_fact(const struct pn_transaction *transaction, struct pn_slice key)
{
	const struct pn_fact *fact = find_fact(transaction->facts, key);

	return fact == NULL ? PN_SLICE_NONE : fact->value;
}

void pn_transaction_set_note(struct pn_transaction *transaction, struct pn_slice key,
                             struct pn_slice value)
{
	set_fact(transaction, &transaction->notes, key, value);
}

struct pn_slice pn_transaction_note(const struct pn_transaction *transaction, struct pn_slice key)
{
	const struct pn_fact *fact = find_fact(transaction->notes, key);

	return fact == NULL ? PN_SLICE_NONE : fact->value;
}
