/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery reports of anything: lines are lines, the parts are those that were written,
 * no field is there twice, and without UTF-8 or a whole original there is no byte above 127.
 */
#include "fuzz.h"

#include <postern/arena.h>
#include <postern/header.h>
#include <postern/mime.h>
#include <postern/text.h>

#include "base/utf8.h"
#include "mail/dsn.h"

enum { RECIPIENTS = 4 };

/* A length byte, and as many bytes. */
static struct pn_slice take_text(const uint8_t **data, size_t *size)
{
	size_t length = take_byte(data, size);
	struct pn_slice text;

	length = length > *size ? *size : length;
	text = rest_of(*data, length);
	*data += length;
	*size -= length;
	return text;
}

static void take_recipient(struct pn_dsn_recipient *recipient, const uint8_t **data, size_t *size)
{
	unsigned flags = take_byte(data, size);

	recipient->kind = (enum pn_dsn_kind)(flags % 5);
	recipient->diagnostic_is_remote = flags & 32;
	recipient->last_attempt_ms = flags & 64 ? 1790000000000 : 0;
	recipient->retry_until_ms = flags & 128 ? 1790000000000 : 0;
	recipient->original = take_text(data, size);
	recipient->address = take_text(data, size);
	recipient->status = take_text(data, size);
	recipient->diagnostic = take_text(data, size);
	recipient->remote = take_text(data, size);
	recipient->reason = take_text(data, size);
}

static bool has_utf8(struct pn_slice text)
{
	bool has_more = false;

	while (text.size > 0) {
		size_t size = pn_utf8_next(text, NULL);

		if (size == 0)
			return false;
		has_more = has_more || size > 1;
		text = pn_slice_behind(text, size);
	}
	return has_more;
}

static bool may_have_8bit(const struct pn_dsn *dsn)
{
	bool may = has_utf8(dsn->to) || has_utf8(dsn->from) || dsn->original_is_whole;

	for (size_t i = 0; i < dsn->recipient_count; i++)
		may = may || has_utf8(dsn->recipients[i].address) ||
		      has_utf8(dsn->recipients[i].original);
	return may;
}

static void check_lines(struct pn_slice text, bool may_be_8bit)
{
	size_t column = 0;

	for (size_t i = 0; i < text.size; i++) {
		unsigned char byte = (unsigned char)text.data[i];

		require(byte != '\0' && (byte < 0x80 || may_be_8bit));
		if (byte == '\r') {
			require(i + 1 < text.size && text.data[i + 1] == '\n');
			i++;
			column = 0;
		} else {
			require(byte != '\n' && ++column <= 998);
		}
	}
	require(column == 0);
}

static void check_fields(const struct pn_header *header)
{
	require(!header->is_malformed);
	for (size_t i = 0; i < header->count; i++)
		require(pn_header_find(header, header->fields[i].name, 1) == NULL);
}

/* The blocks of the status: one, and one for each recipient. */
static void check_status(struct pn_slice text, size_t recipients, struct pn_arena *arena)
{
	size_t blocks = 0;

	while (text.size > 0) {
		struct pn_header header;

		require(pn_header_parse(text, 20, arena, &header) == PN_OK);
		check_fields(&header);
		require(header.count > 0 && header.size > 0);
		require(blocks == 0 || pn_header_find(&header, PN_SLICE("Action"), 0) != NULL);
		require(blocks > 0 ||
		        pn_header_find(&header, PN_SLICE("Reporting-MTA"), 0) != NULL);
		text = pn_slice_behind(text, header.size);
		blocks++;
	}
	require(blocks == recipients + 1);
}

static void check_parts(struct pn_slice text, const struct pn_dsn *dsn, struct pn_arena *arena)
{
	struct pn_mime_parser *parser = pn_mime_new();
	struct pn_mime_message message;
	struct pn_header header;
	struct pn_buffer summary;
	uint32_t part;

	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	pn_mime_feed(parser, text);
	require(pn_mime_finish(parser, &summary) == PN_OK);
	require(pn_mime_open(pn_buffer_slice(&summary), arena, &message) == PN_OK);
	require(pn_header_parse(text, 20, arena, &header) == PN_OK);
	check_fields(&header);
	part = message.parts[0].first_child;
	require(pn_slice_equal(message.parts[part].type, PN_SLICE("text")));
	part = message.parts[part].next_sibling;
	require(part != 0 && pn_slice_equal(message.parts[part].type, PN_SLICE("message")));
	check_status(pn_slice_make(text.data + message.parts[part].body_offset,
	                           (size_t)message.parts[part].body_size),
	             dsn->recipient_count, arena);
	part = message.parts[part].next_sibling;
	require((part != 0) == (dsn->original.size > 0));
	require(part == 0 || message.parts[part].next_sibling == 0);
	pn_mime_free(&parser);
	pn_buffer_clear(&summary);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_dsn_recipient recipients[RECIPIENTS] = {{.kind = PN_DSN_FAILED}};
	struct pn_arena *arena = pn_arena_new();
	unsigned flags = take_byte(&data, &size);
	struct pn_dsn dsn = {
		.hostname = PN_SLICE("mx.example.org"),
		.id = PN_SLICE("id"),
		.now_ms = 1790000000000,
		.arrived_ms = flags & 64 ? 1790000000000 : 0,
		.recipients = recipients,
		.recipient_count = flags % (RECIPIENTS + 1),
		.original_is_whole = flags & 128,
	};
	struct pn_buffer out;

	pn_buffer_init(&out, 16 * 1024 * 1024);
	dsn.to = take_text(&data, &size);
	dsn.from = take_text(&data, &size);
	dsn.transaction = take_text(&data, &size);
	dsn.envelope_id = take_text(&data, &size);
	dsn.received_from = take_text(&data, &size);
	for (size_t i = 0; i < dsn.recipient_count; i++)
		take_recipient(&recipients[i], &data, &size);
	dsn.original = rest_of(data, size);
	require(pn_dsn_write(&dsn, &out) == PN_OK);
	check_lines(pn_buffer_slice(&out), may_have_8bit(&dsn));
	check_parts(pn_buffer_slice(&out), &dsn, arena);
	pn_buffer_clear(&out);
	pn_arena_free(&arena);
	return 0;
}
