/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a message is to be signed with. It is kept with the message as a note, a line for each
 * request, as several hooks and scripts may ask.
 */
#include <postern/address.h>
#include <postern/mime.h>
#include <postern/text.h>
#include <postern/transaction.h>

#include "dkim_sign.h"

#define NOTE PN_SLICE("dkim_sign")

static bool is_clean(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		if ((unsigned char)text.data[i] <= 0x20 || text.data[i] == 0x7f)
			return false;
	}
	return true;
}

struct pn_slice dkim_sign_requests(const struct pn_transaction *transaction)
{
	return pn_transaction_note(transaction, NOTE);
}

enum pn_status dkim_sign_request_add(struct pn_transaction *transaction,
                                     const struct dkim_sign_request *request,
                                     struct pn_arena *arena)
{
	struct pn_slice before = dkim_sign_requests(transaction);

	if (!is_clean(request->domain) || !is_clean(request->selector) ||
	    !is_clean(request->identity) || !is_clean(request->headers) ||
	    !is_clean(request->lifetime))
		return PN_FAILED;
	pn_transaction_set_note(
		transaction, NOTE,
		pn_slice_of(pn_arena_print(
			arena, "%.*s%.*s\t%.*s\t%.*s\t%.*s\t%.*s\n", PN_SLICE_ARGS(before),
			PN_SLICE_ARGS(request->domain), PN_SLICE_ARGS(request->selector),
			PN_SLICE_ARGS(request->identity), PN_SLICE_ARGS(request->headers),
			PN_SLICE_ARGS(request->lifetime))));
	return PN_OK;
}

bool dkim_sign_request_next(struct pn_slice *rest, struct dkim_sign_request *request_out)
{
	struct pn_slice line;

	if (rest->size == 0)
		return false;
	line = pn_slice_cut(rest, '\n');
	request_out->domain = pn_slice_cut(&line, '\t');
	request_out->selector = pn_slice_cut(&line, '\t');
	request_out->identity = pn_slice_cut(&line, '\t');
	request_out->headers = pn_slice_cut(&line, '\t');
	request_out->lifetime = line;
	return true;
}

struct pn_slice dkim_sign_author(struct pn_transaction *transaction, struct pn_arena *arena)
{
	const struct pn_header *header = pn_transaction_header(transaction);
	const struct pn_header_field *from =
		header == NULL ? NULL : pn_header_find(header, PN_SLICE("From"), 0);
	struct pn_mime_envelope envelope = {.from = {.count = 0}};
	struct pn_mime_parser *parser;
	struct pn_buffer summary;

	if (from == NULL)
		return PN_SLICE_NONE;
	parser = pn_mime_new();
	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	pn_mime_feed(parser, from->whole);
	pn_mime_feed(parser, PN_SLICE("\r\n"));
	if (pn_mime_finish(parser, &summary) != PN_OK ||
	    pn_mime_open_envelope(pn_arena_keep(arena, pn_buffer_slice(&summary)), arena,
	                          &envelope) != PN_OK)
		envelope.from.count = 0;
	pn_buffer_clear(&summary);
	pn_mime_free(&parser);
	for (size_t i = 0; i < envelope.from.count; i++) {
		if (envelope.from.list[i].kind == PN_MIME_ADDRESS)
			return pn_domain_to_ascii(arena, envelope.from.list[i].host);
	}
	return PN_SLICE_NONE;
}
