/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What crosses into the queue with a message: packed into the details of its rows by
 * the accepting commit, and made into a transaction again for the hooks of each
 * attempt. This list is the only one:
 *
 *	original        the recipient as the client gave it, where it is another now
 *	rcpt.NAME       parameters of RCPT TO
 *	mail.NAME       parameters of MAIL FROM
 *	origin.NAME     identity, peer, hello, protocol, instance, session, tls, cipher
 *	stored, skip    bytes of the body in the store; of Return-Path in front of it
 *	size, generation, score, fact.KEY, note.KEY
 *	by              by when it must be delivered, and what then: "R1795000000000T"
 *	tls             "required": verified or not at all; "optional": its sender wants it to go
 *	                without, rather than not at all (RFC 8689)
 *	delivered       it is in its mailbox: what is left to do is the report
 *
 * The queue itself adds: route (an operator's), warned, verdict (an operator's), deaths.
 */
#include "delivery/transaction.h"

#include <postern/text.h>

#include "delivery/details.h"
#include "mail/parameter_names.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const origin_keys[] = {"identity", "peer",    "hello", "protocol",
                                          "instance", "session", "tls",   "cipher"};

enum { ORIGIN_KEYS = sizeof(origin_keys) / sizeof(origin_keys[0]) };

static struct pn_slice of_session(const struct pn_session *session, const char *key)
{
	if (strcmp(key, "identity") == 0)
		return pn_session_identity(session);
	if (strcmp(key, "peer") == 0)
		return pn_slice_of(pn_session_peer(session));
	if (strcmp(key, "hello") == 0)
		return pn_session_hello(session);
	if (strcmp(key, "protocol") == 0)
		return pn_slice_of(pn_session_protocol(session));
	if (strcmp(key, "instance") == 0)
		return pn_slice_of(pn_session_instance_name(session));
	if (strcmp(key, "session") == 0)
		return pn_slice_of(pn_session_id(session));
	if (strcmp(key, "tls") == 0)
		return pn_slice_of(pn_session_tls_version(session));
	if (strcmp(key, "cipher") == 0)
		return pn_slice_of(pn_session_tls_cipher(session));
	return PN_SLICE_NONE;
}

struct pn_slice pn_transaction_origin(const struct pn_transaction *transaction, const char *key)
{
	if (transaction->session != NULL)
		return of_session(transaction->session, key);
	for (const struct pn_fact *fact = transaction->origin; fact != NULL; fact = fact->next) {
		if (pn_slice_equal(fact->key, pn_slice_of(key)))
			return fact->value;
	}
	return PN_SLICE_NONE;
}

/* ---- in ---- */

static enum pn_status add_prefixed(struct pn_buffer *out, const char *prefix, struct pn_slice name,
                                   struct pn_slice value)
{
	char key[300];
	size_t prefix_size = strlen(prefix);

	if (name.size > sizeof(key) - prefix_size)
		return PN_OK; /* a key that no hook could have meant to be kept */
	memcpy(key, prefix, prefix_size);
	if (name.size > 0)
		memcpy(key + prefix_size, name.data, name.size);
	return pn_details_add(out, pn_slice_make(key, prefix_size + name.size), value);
}

static enum pn_status add_number(struct pn_buffer *out, const char *key, const char *text)
{
	return pn_details_add(out, pn_slice_of(key), pn_slice_of(text));
}

static enum pn_status add_parameters(struct pn_buffer *out, const char *prefix,
                                     const struct pn_parameter *parameters, size_t count)
{
	enum pn_status status = PN_OK;

	for (size_t i = 0; i < count && status == PN_OK; i++)
		status = add_prefixed(out, prefix, parameters[i].name, parameters[i].value);
	return status;
}

static enum pn_status add_facts(struct pn_buffer *out, const char *prefix,
                                const struct pn_fact *facts)
{
	enum pn_status status = PN_OK;

	for (; facts != NULL && status == PN_OK; facts = facts->next)
		status = add_prefixed(out, prefix, facts->key, facts->value);
	return status;
}

/* RFC 6531 section 3.2 asks for the extension at the next hop only where something needs it; many
 * clients name it with every message. Addresses are looked at for each recipient. */
static bool is_idle_utf8(const struct pn_transaction *transaction,
                         const struct pn_parameter *parameter)
{
	struct pn_slice text = pn_buffer_slice(&transaction->text);

	if (!pn_slice_equal_ignore_case(parameter->name, PN_PARAMETER_UTF8) ||
	    pn_body_is_at_store(transaction))
		return false;
	for (size_t i = 0; i < text.size; i++) {
		if ((unsigned char)text.data[i] >= 0x80)
			return false;
	}
	return true;
}

/* RFC 8689 section 3: the field counts where it is there once, and REQUIRETLS was not said. */
static enum pn_status add_tls(const struct pn_transaction *transaction, struct pn_buffer *out)
{
	const struct pn_header *header = &transaction->header;
	const struct pn_header_field *field =
		transaction->has_header ? pn_header_find(header, PN_SLICE("TLS-Required"), 0)
					: NULL;

	if (transaction->requires_tls)
		return pn_details_add(out, PN_SLICE("tls"), PN_SLICE("required"));
	if (field == NULL || pn_header_find(header, PN_SLICE("TLS-Required"), 1) != NULL ||
	    !pn_slice_equal_ignore_case(pn_header_unfold(transaction->arena, field->value),
	                                PN_SLICE("No")))
		return PN_OK;
	return pn_details_add(out, PN_SLICE("tls"), PN_SLICE("optional"));
}

enum pn_status pn_transaction_pack(const struct pn_transaction *transaction, struct pn_buffer *out)
{
	char number[40];
	enum pn_status status = PN_OK;

	for (size_t i = 0; i < transaction->parameter_count && status == PN_OK; i++) {
		if (!is_idle_utf8(transaction, &transaction->parameters[i]))
			status = add_parameters(out, "mail.", &transaction->parameters[i], 1);
	}
	for (size_t i = 0; i < ORIGIN_KEYS && status == PN_OK; i++) {
		struct pn_slice value = pn_transaction_origin(transaction, origin_keys[i]);

		if (value.size > 0)
			status = add_prefixed(out, "origin.", pn_slice_of(origin_keys[i]), value);
	}
	snprintf(number, sizeof(number), "%llu", (unsigned long long)transaction->size);
	if (status == PN_OK)
		status = add_number(out, "size", number);
	snprintf(number, sizeof(number), "%llu", (unsigned long long)transaction->stored_size);
	if (status == PN_OK)
		status = add_number(out, "stored", number);
	snprintf(number, sizeof(number), "%zu", transaction->return_path_size);
	if (status == PN_OK)
		status = add_number(out, "skip", number);
	snprintf(number, sizeof(number), "%u", (unsigned)transaction->generation->number);
	if (status == PN_OK)
		status = add_number(out, "generation", number);
	snprintf(number, sizeof(number), "%.3f", transaction->score);
	if (status == PN_OK && transaction->scores != NULL)
		status = add_number(out, "score", number);
	if (status == PN_OK)
		status = pn_details_add_by(out, &transaction->by);
	if (status == PN_OK)
		status = add_tls(transaction, out);
	if (status == PN_OK)
		status = add_facts(out, "fact.", transaction->facts);
	return status == PN_OK ? add_facts(out, "note.", transaction->notes) : status;
}

enum pn_status pn_recipient_pack(const struct pn_recipient *leaf, struct pn_buffer *out)
{
	enum pn_status status = PN_OK;

	if (!pn_slice_equal(leaf->original.text, leaf->address.text))
		status = pn_details_add(out, PN_SLICE("original"), leaf->original.text);
	if (status == PN_OK && !pn_slice_equal(leaf->mailbox, PN_SLICE("INBOX")))
		status = pn_details_add(out, PN_SLICE("mailbox"), leaf->mailbox);
	return status == PN_OK
	               ? add_parameters(out, "rcpt.", leaf->parameters, leaf->parameter_count)
	               : status;
}

/* ---- out ---- */

static bool has_prefix(struct pn_slice key, const char *prefix, struct pn_slice *name_out)
{
	size_t size = strlen(prefix);

	if (key.size <= size || memcmp(key.data, prefix, size) != 0)
		return false;
	*name_out = pn_slice_behind(key, size);
	return true;
}

const struct pn_parameter *pn_details_parameters(struct pn_slice details, const char *prefix,
                                                 struct pn_arena *arena, size_t *count_out)
{
	struct pn_parameter *parameters;
	struct pn_queue_detail detail;
	struct pn_slice name;
	size_t count = 0;
	size_t at = 0;

	while (pn_queue_detail_next(details, &at, &detail))
		count += has_prefix(detail.key, prefix, &name) ? 1 : 0;
	parameters = PN_ARENA_ARRAY(arena, count, struct pn_parameter);
	count = 0;
	at = 0;
	while (pn_queue_detail_next(details, &at, &detail)) {
		if (has_prefix(detail.key, prefix, &name))
			parameters[count++] = (struct pn_parameter){name, detail.value};
	}
	*count_out = count;
	return parameters;
}

static void add_fact(struct pn_arena *arena, struct pn_fact **facts, struct pn_slice key,
                     struct pn_slice value)
{
	struct pn_fact *fact = PN_ARENA_NEW(arena, struct pn_fact);

	fact->key = key;
	fact->value = value;
	fact->next = *facts;
	*facts = fact;
}

static void read_details(struct pn_transaction *transaction, struct pn_slice details)
{
	struct pn_queue_detail detail;
	struct pn_slice name;
	size_t at = 0;
	char number[40];

	while (pn_queue_detail_next(details, &at, &detail)) {
		if (has_prefix(detail.key, "origin.", &name))
			add_fact(transaction->arena, &transaction->origin, name, detail.value);
		else if (has_prefix(detail.key, "fact.", &name))
			add_fact(transaction->arena, &transaction->facts, name, detail.value);
		else if (has_prefix(detail.key, "note.", &name))
			add_fact(transaction->arena, &transaction->notes, name, detail.value);
		else if (pn_slice_equal(detail.key, PN_SLICE("size")))
			(void)!pn_parse_count(detail.value, &transaction->size);
		else if (pn_slice_equal(detail.key, PN_SLICE("score")) &&
		         detail.value.size < sizeof(number)) {
			memcpy(number, detail.value.data, detail.value.size);
			number[detail.value.size] = '\0';
			transaction->score = strtod(number, NULL);
		}
	}
}

/* An address that was one when it was accepted; if it is none any more, as it stands. */
static struct pn_address read_address(struct pn_arena *arena, struct pn_slice text)
{
	struct pn_address address;

	if (text.size > 0 && pn_address_parse(text, true, arena, &address) == PN_OK)
		return address;
	return (struct pn_address){.text = text};
}

struct pn_transaction *pn_transaction_restore(struct pn_generation *generation,
                                              const struct pn_queue_row *row)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_transaction *transaction = PN_ARENA_NEW(arena, struct pn_transaction);
	struct pn_slice details = pn_arena_keep(arena, row->details);

	transaction->magic = PN_TRANSACTION_MAGIC;
	transaction->arena = arena;
	transaction->generation = pn_generation_keep(generation);
	transaction->last_recipient = &transaction->recipients;
	transaction->started_wall_ms = row->arrived_ms;
	transaction->result.struct_size = sizeof(transaction->result);
	transaction->priority = row->priority;
	transaction->tenant = pn_arena_keep(arena, row->tenant);
	transaction->has_tenant = true;
	transaction->was_submitted = true;
	transaction->was_accepted = true;
	transaction->sender = read_address(arena, pn_arena_keep(arena, row->sender));
	transaction->parameters =
		pn_details_parameters(details, "mail.", arena, &transaction->parameter_count);
	pn_buffer_init(&transaction->text, 1);
	pn_buffer_init(&transaction->overflow, 1);
	pn_trail_init(&transaction->trail, arena);
	snprintf(transaction->id, sizeof(transaction->id), "%.*s", PN_SLICE_ARGS(row->transaction));
	transaction->by = pn_details_by(details);
	transaction->requires_tls = pn_details_tls(details) == PN_ROUTE_TLS_VERIFIED;
	read_details(transaction, details);
	return transaction;
}

struct pn_recipient *pn_transaction_restore_recipient(struct pn_transaction *transaction,
                                                      const struct pn_queue_row *row)
{
	struct pn_arena *arena = transaction->arena;
	struct pn_recipient *recipient = PN_ARENA_NEW(arena, struct pn_recipient);
	struct pn_slice details = pn_arena_keep(arena, row->details);
	struct pn_slice original = pn_queue_detail_of(details, PN_SLICE("original"));
	struct pn_slice mailbox = pn_queue_detail_of(details, PN_SLICE("mailbox"));

	recipient->transaction = transaction;
	recipient->root = recipient;
	recipient->address = read_address(arena, pn_arena_keep(arena, row->recipient));
	recipient->original =
		original.size > 0 ? read_address(arena, original) : recipient->address;
	recipient->parameters =
		pn_details_parameters(details, "rcpt.", arena, &recipient->parameter_count);
	recipient->mailbox = mailbox.size > 0 ? mailbox : PN_SLICE("INBOX");
	recipient->is_foreign = true;
	recipient->result.struct_size = sizeof(recipient->result);
	recipient->result.verdict = PN_VERDICT_ACCEPT;
	*transaction->last_recipient = recipient;
	transaction->last_recipient = &recipient->next;
	transaction->recipient_count++;
	return recipient;
}

void pn_transaction_release(struct pn_transaction **transaction)
{
	struct pn_transaction *released = *transaction;
	struct pn_arena *arena;

	*transaction = NULL;
	if (released == NULL)
		return;
	arena = released->arena;
	pn_buffer_clear(&released->text);
	pn_buffer_clear(&released->overflow);
	pn_generation_drop(&released->generation);
	released->magic = 0;
	pn_arena_free(&arena);
}
