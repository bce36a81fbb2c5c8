/* SPDX-License-Identifier: Apache-2.0 */
/* The structure of a message: the same however it is cut, whole parts inside whole parts, and the
 * same when its header was replaced as when it was parsed with the new one. */
#include "fuzz.h"

#include <postern/text.h>

#include "mail/mime.h"

static struct pn_buffer summary_of(struct pn_slice text, size_t step)
{
	struct pn_mime_parser *parser = pn_mime_new();
	struct pn_buffer summary;
	uint64_t size = text.size;

	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	while (text.size > 0) {
		struct pn_slice piece =
			pn_slice_make(text.data, step < text.size ? step : text.size);

		if (step > 0)
			piece = exact_copy(piece);
		else
			piece = text;
		pn_mime_feed(parser, piece);
		text = pn_slice_behind(text, piece.size);
		if (step > 0)
			free((char *)(uintptr_t)piece.data);
	}
	require(pn_mime_finish(parser, &summary) == PN_OK);
	require(pn_mime_size(parser) == size);
	pn_mime_free(&parser);
	return summary;
}

static void check_part(const struct pn_mime_message *message, size_t index)
{
	const struct pn_mime_part *part = &message->parts[index];
	const struct pn_mime_part *parent = &message->parts[part->parent];
	uint64_t end = part->body_offset + part->body_size;

	require(part->body_offset == part->header_offset + part->header_size);
	require(end <= message->size && part->line_count <= part->body_size);
	require(part->type.size > 0 && part->subtype.size > 0 && part->encoding.size > 0);
	if (index > 0) {
		require(part->parent < index);
		require(part->header_offset >= parent->body_offset);
		require(end <= parent->body_offset + parent->body_size);
		require(parent->kind != PN_MIME_LEAF);
	}
	if (part->next_sibling > 0) {
		require(message->parts[part->next_sibling].parent == part->parent);
		require(message->parts[part->next_sibling].header_offset >= end);
	}
	require((part->kind == PN_MIME_LEAF) == (part->first_child == 0));
	require((part->kind == PN_MIME_MESSAGE) == (part->envelope != NULL));
	if (part->kind == PN_MIME_MESSAGE)
		require(message->parts[part->first_child].next_sibling == 0);
	if (part->kind == PN_MIME_LEAF)
		require(!pn_slice_equal(part->type, PN_SLICE("multipart")) &&
		        !(pn_slice_equal(part->type, PN_SLICE("message")) &&
		          pn_slice_equal(part->subtype, PN_SLICE("rfc822"))));
}

static void check_open(struct pn_slice summary, struct pn_slice text)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice copy = exact_copy(summary);
	struct pn_mime_envelope envelope;
	struct pn_mime_message message;

	require(pn_mime_open(copy, arena, &message) == PN_OK);
	require(message.size == text.size && message.part_count <= PN_MIME_MAX_PARTS);
	require(message.header_size == message.parts[0].body_offset);
	require(message.parts[0].body_offset + message.parts[0].body_size == text.size);
	for (size_t index = 0; index < message.part_count; index++)
		check_part(&message, index);
	require(pn_mime_open_envelope(copy, arena, &envelope) == PN_OK);
	require(envelope.subject.data == message.envelope.subject.data);
	require(envelope.to.count == message.envelope.to.count);
	free((char *)(uintptr_t)copy.data);
	pn_arena_free(&arena);
}

/* A field more on top. */
static void check_replacing(struct pn_slice text)
{
	static const char field[] = "X-Added: \xc3\xa4\r\n";
	struct pn_mime_parser *parser = pn_mime_new();
	struct pn_buffer whole, replaced, again;
	struct pn_slice header;

	pn_buffer_init(&whole, SIZE_MAX / 2);
	pn_buffer_init(&replaced, PN_MIME_MAX_SUMMARY);
	require(pn_buffer_append(&whole, pn_slice_of(field)) == PN_OK);
	require(pn_buffer_append(&whole, text) == PN_OK);
	pn_mime_feed(parser, text);
	pn_mime_end(parser);
	header = pn_slice_make(whole.data, sizeof(field) - 1 + pn_mime_header_size(parser));
	if (pn_mime_replace_header(parser, header)) {
		require(pn_mime_finish(parser, &replaced) == PN_OK);
		again = summary_of(pn_buffer_slice(&whole), 0);
		require(pn_slice_equal(pn_buffer_slice(&replaced), pn_buffer_slice(&again)));
		pn_buffer_clear(&again);
	}
	pn_mime_free(&parser);
	pn_buffer_clear(&whole);
	pn_buffer_clear(&replaced);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t step = 1 + take_byte(&data, &size) % 40;
	struct pn_slice text = rest_of(data, size);
	struct pn_buffer whole = summary_of(text, 0);
	struct pn_buffer pieces = summary_of(text, step);

	require(pn_slice_equal(pn_buffer_slice(&whole), pn_buffer_slice(&pieces)));
	check_open(pn_buffer_slice(&whole), text);
	/* A continuation at the beginning would belong to the field on top of it. */
	if (size > 0 && text.data[0] != ' ' && text.data[0] != '\t')
		check_replacing(text);
	pn_buffer_clear(&whole);
	pn_buffer_clear(&pieces);
	return 0;
}
