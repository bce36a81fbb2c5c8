/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The message: taken in pieces, its header found and shown to the hooks, its edits
 * kept in a journal until they are written.
 */
#include "delivery/transaction.h"

#include <postern/text.h>

#include "session/ticket.h"

static void parse_header(struct pn_transaction *transaction)
{
	struct pn_slice text = pn_slice_make(transaction->text.data, transaction->header_size);

	/* The text stays where it is from here on: see pn_transaction_append. Its header is copied,
	 * as hooks may hold on to fields. */
	text = pn_arena_keep(transaction->arena, text);
	if (pn_header_parse(text, transaction->generation->max_header_fields, transaction->arena,
	                    &transaction->header) != PN_OK)
		transaction->header_too_large = true;
	transaction->has_header = true;
}

const struct pn_header *pn_transaction_header(struct pn_transaction *transaction)
{
	struct pn_buffer edited;
	struct pn_header *header;

	if (!transaction->has_header)
		return NULL;
	if (transaction->edit_count == 0)
		return &transaction->header;
	header = PN_ARENA_NEW(transaction->arena, struct pn_header);
	pn_buffer_init(&edited, 2 * (size_t)transaction->generation->max_header_size + 65536);
	if (pn_transaction_write_header(transaction, &edited) != PN_OK ||
	    pn_header_parse(pn_arena_keep(transaction->arena, pn_buffer_slice(&edited)),
	                    transaction->generation->max_header_fields, transaction->arena,
	                    header) != PN_OK)
		header = &transaction->header;
	pn_buffer_clear(&edited);
	return header;
}

const struct pn_header *pn_transaction_received_header(const struct pn_transaction *transaction)
{
	return transaction->has_header ? &transaction->header : NULL;
}

void pn_transaction_ask_headers(struct pn_transaction *transaction, pn_stage_done_function *done)
{
	struct pn_stage_request request =
		pn_transaction_stage(transaction, PN_STAGE_MESSAGE_HEADERS);
	const struct pn_stage_result nothing = {.struct_size = sizeof(nothing),
	                                        .stage = PN_STAGE_MESSAGE_HEADERS};

	transaction->header_asked = true;
	if (transaction->header_size == 0)
		transaction->header_size = transaction->text.size; /* a message without a body */
	parse_header(transaction);
	if (pn_suspicion_header(transaction))
		done(transaction, &nothing);
	else
		pn_stage_run(&request, done, transaction);
}

static void headers_judged(void *user, const struct pn_stage_result *result)
{
	struct pn_transaction *transaction = user;

	if (result->verdict != PN_VERDICT_CONTINUE && result->verdict != PN_VERDICT_ACCEPT)
		transaction->result = *result;
	pn_ticket_answer(transaction->body_ticket, PN_ANSWER_BODY, PN_OK, NULL, NULL, NULL);
}

static bool is_refused(const struct pn_transaction *transaction)
{
	switch (transaction->result.verdict) {
	case PN_VERDICT_REJECT:
	case PN_VERDICT_DEFER:
	case PN_VERDICT_DROP:
	case PN_VERDICT_DISCARD:
		return true;
	default:
		return transaction->header_too_large || transaction->size > transaction->max_size;
	}
}

/* The header is whole (or too large to ever be): message.headers, while the body is still coming.
 */
static enum pn_next look_for_header(struct pn_transaction *transaction, enum pn_next next)
{
	struct pn_slice text = pn_buffer_slice(&transaction->text);

	transaction->header_size = pn_header_end(text, transaction->header_searched);
	transaction->header_searched = text.size;
	if (transaction->header_size > transaction->generation->max_header_size ||
	    (transaction->header_size == 0 &&
	     text.size > transaction->generation->max_header_size)) {
		transaction->header_too_large = true;
		return next;
	}
	if (transaction->header_size == 0)
		return next;
	transaction->body_ticket = pn_ticket_open_unlimited(transaction->session, NULL, NULL);
	if (transaction->generation->chains[PN_STAGE_MESSAGE_HEADERS].count == 0 ||
	    pn_suspicion_header(transaction)) {
		pn_ticket_cancel(transaction->body_ticket);
		transaction->header_asked = true;
		parse_header(transaction);
		return next;
	}
	pn_transaction_ask_headers(transaction, headers_judged);
	return PN_NEXT_ANSWER;
}

enum pn_next pn_transaction_append(struct pn_session *session, struct pn_slice bytes,
                                   enum pn_next next)
{
	struct pn_transaction *transaction = session->transaction;
	size_t room = transaction->text.limit - transaction->text.size;
	struct pn_slice fits = pn_slice_make(bytes.data, bytes.size < room ? bytes.size : room);
	struct pn_slice rest = pn_slice_behind(bytes, fits.size);

	if (transaction->deposit != NULL)
		return pn_deposit_append(transaction, bytes, next);
	transaction->size += bytes.size;
	if (is_refused(transaction)) {
		pn_body_discard(transaction);
		return next;
	}
	if (pn_buffer_append(&transaction->text, fits) != PN_OK)
		rest = bytes;
	if (transaction->header_size == 0 && !transaction->header_too_large)
		next = look_for_header(transaction, next);
	if (transaction->header_asked)
		pn_digests_feed(transaction, rest);
	if (rest.size == 0)
		return next;
	/* Memory is full and the header did not end in it. */
	if (transaction->header_size == 0)
		transaction->header_too_large = true;
	return transaction->header_too_large ? next : pn_body_overflow(transaction, rest, next);
}

/* ---- edits ---- */

static size_t journal_mark(struct pn_transaction *transaction)
{
	return transaction->edit_count;
}

static void journal_undo(struct pn_transaction *transaction, size_t mark)
{
	transaction->edit_count = mark;
}

const struct pn_journal *pn_transaction_journal(void)
{
	static const struct pn_journal journal = {journal_mark, journal_undo};

	return &journal;
}

static enum pn_status add_edit(struct pn_transaction *transaction, const struct pn_edit *edit)
{
	if (transaction->deposit != NULL)
		return PN_CONFLICT;
	if (transaction->edit_count >= PN_MAX_EDITS)
		return PN_LIMIT;
	if (transaction->edit_count == transaction->edit_capacity) {
		size_t capacity =
			transaction->edit_capacity == 0 ? 16 : 2 * transaction->edit_capacity;
		struct pn_edit *edits =
			PN_ARENA_ARRAY(transaction->arena, capacity, struct pn_edit);

		if (transaction->edit_count > 0)
			memcpy(edits, transaction->edits, transaction->edit_count * sizeof(*edits));
		transaction->edits = edits;
		transaction->edit_capacity = capacity;
	}
	transaction->edits[transaction->edit_count++] = *edit;
	return PN_OK;
}

static enum pn_status write_field(struct pn_transaction *transaction, struct pn_slice name,
                                  struct pn_slice value, struct pn_slice *field_out)
{
	struct pn_buffer field;
	enum pn_status status;

	pn_buffer_init(&field, 128 * 1024);
	status = pn_header_write(&field, name, value);
	if (status == PN_OK)
		*field_out = pn_arena_keep(transaction->arena, pn_buffer_slice(&field));
	pn_buffer_clear(&field);
	return status;
}

/* Whether an edit already took the field away. */
static bool is_gone(const struct pn_transaction *transaction, size_t index)
{
	for (size_t i = 0; i < transaction->edit_count; i++) {
		if (transaction->edits[i].kind != PN_EDIT_ADD &&
		    transaction->edits[i].index == index)
			return true;
	}
	return false;
}

/* The index-th field of that name that is still there. */
static enum pn_status find_field(const struct pn_transaction *transaction, struct pn_slice name,
                                 size_t index, size_t *field_index_out)
{
	if (!transaction->has_header)
		return PN_NOT_FOUND;
	for (size_t i = 0; i < transaction->header.count; i++) {
		if (!pn_slice_equal_ignore_case(transaction->header.fields[i].name, name) ||
		    is_gone(transaction, i))
			continue;
		if (index-- == 0) {
			*field_index_out = i;
			return PN_OK;
		}
	}
	return PN_NOT_FOUND;
}

enum pn_status pn_transaction_header_add(struct pn_transaction *transaction, struct pn_slice name,
                                         struct pn_slice value)
{
	struct pn_edit edit = {.kind = PN_EDIT_ADD,
	                       .name = pn_arena_keep(transaction->arena, name)};
	enum pn_status status = write_field(transaction, name, value, &edit.field);

	return status == PN_OK ? add_edit(transaction, &edit) : status;
}

enum pn_status pn_transaction_header_remove(struct pn_transaction *transaction,
                                            struct pn_slice name, size_t index)
{
	struct pn_edit edit = {.kind = PN_EDIT_REMOVE,
	                       .name = pn_arena_keep(transaction->arena, name)};
	enum pn_status status = find_field(transaction, name, index, &edit.index);

	return status == PN_OK ? add_edit(transaction, &edit) : status;
}

enum pn_status pn_transaction_header_replace(struct pn_transaction *transaction,
                                             struct pn_slice name, size_t index,
                                             struct pn_slice value)
{
	struct pn_edit edit = {.kind = PN_EDIT_REPLACE,
	                       .name = pn_arena_keep(transaction->arena, name)};
	enum pn_status status = find_field(transaction, name, index, &edit.index);

	if (status == PN_OK)
		status = write_field(transaction, name, value, &edit.field);
	return status == PN_OK ? add_edit(transaction, &edit) : status;
}

static const struct pn_edit *edit_of_field(const struct pn_transaction *transaction, size_t index)
{
	for (size_t i = 0; i < transaction->edit_count; i++) {
		if (transaction->edits[i].kind != PN_EDIT_ADD &&
		    transaction->edits[i].index == index)
			return &transaction->edits[i];
	}
	return NULL;
}

/* Added fields go on top, in the order they were added; the rest keeps its place. */
enum pn_status pn_transaction_write_header(struct pn_transaction *transaction,
                                           struct pn_buffer *out)
{
	const struct pn_header *header = &transaction->header;
	enum pn_status status = PN_OK;

	for (size_t i = 0; i < transaction->edit_count && status == PN_OK; i++) {
		if (transaction->edits[i].kind == PN_EDIT_ADD)
			status = pn_buffer_append(out, transaction->edits[i].field);
	}
	if (transaction->edit_count == 0)
		return pn_buffer_append(
			out, pn_slice_make(transaction->text.data, transaction->header_size));
	for (size_t i = 0; i < header->count && status == PN_OK; i++) {
		const struct pn_edit *edit = edit_of_field(transaction, i);

		if (edit == NULL)
			status = pn_buffer_append(out, header->fields[i].whole);
		else if (edit->kind == PN_EDIT_REPLACE)
			status = pn_buffer_append(out, edit->field);
	}
	if (status == PN_OK && header->has_end)
		status = pn_buffer_append(out, PN_SLICE("\r\n"));
	return status;
}
