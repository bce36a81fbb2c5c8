/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The structure of a message, found while it goes by in pieces of any size: the same
 * however it is cut. Lines are looked at in place; only what is cut is held, and no
 * more of it than a field or a boundary can need. Whoever takes in messages feeds it.
 */
#include "mail/mime.h"

#include "base/assert.h"

#include <stdlib.h>

static void start(struct pn_mime_parser *parser)
{
	pn_mime_tree_reset(&parser->tree);
	pn_mime_tree_open(&parser->tree, 0);
	parser->state = PN_MIME_IN_HEADER;
	parser->opens_part = false;
	parser->in_line = false;
	parser->has_ended = false;
	parser->root_has_body = false;
	parser->last_byte = '\0';
	parser->position = 0;
	parser->line_start = 0;
	parser->lines = 0;
	parser->break_size = 0;
	parser->was_empty = false;
	parser->held.size = 0;
	parser->field.size = 0;
}

static struct pn_mime_parser *new_parser(const struct pn_mime_listener *listener)
{
	/* An object of its own: it lives as long as its message comes in. */
	struct pn_mime_parser *parser = calloc(1, sizeof(*parser));

	if (parser == NULL)
		pn_assert_failed(__FILE__, __LINE__, "out of memory");
	pn_buffer_init(&parser->held, PN_MIME_MAX_FIELD);
	pn_buffer_init(&parser->field, PN_MIME_MAX_FIELD);
	pn_mime_tree_init(&parser->tree);
	parser->tree.listener = listener;
	parser->wants_envelope = listener == NULL;
	start(parser);
	return parser;
}

struct pn_mime_parser *pn_mime_new(void)
{
	return new_parser(NULL);
}

struct pn_mime_parser *pn_mime_new_listening(const struct pn_mime_listener *listener)
{
	return new_parser(listener);
}

void pn_mime_reset(struct pn_mime_parser *parser)
{
	start(parser);
}

struct pn_slice pn_mime_text_of(const struct pn_mime_parser *parser, struct pn_mime_span span)
{
	return pn_slice_make(parser->tree.text.data + span.offset, span.size);
}

void pn_mime_free(struct pn_mime_parser **parser)
{
	if (*parser == NULL)
		return;
	pn_mime_tree_clear(&(*parser)->tree);
	pn_buffer_clear(&(*parser)->held);
	pn_buffer_clear(&(*parser)->field);
	free(*parser);
	*parser = NULL;
}

/* ---- bytes ---- */

static bool has_8bit(struct pn_slice bytes)
{
	size_t index = 0;
	uint64_t all = 0;

	for (; index + 32 <= bytes.size; index += 32) {
		uint64_t words[4];

		memcpy(words, bytes.data + index, sizeof(words));
		all |= words[0] | words[1] | words[2] | words[3];
	}
	for (; index < bytes.size; index++)
		all |= (uint64_t)(uint8_t)bytes.data[index] & 0x80;
	return (all & 0x8080808080808080u) != 0;
}

static bool has_nul(struct pn_slice bytes)
{
	return bytes.size > 0 && memchr(bytes.data, '\0', bytes.size) != NULL;
}

/* Adds as much of the bytes as there is room for. */
static void append_some(struct pn_buffer *buffer, struct pn_slice bytes)
{
	size_t room = buffer->limit - buffer->size;

	if (bytes.size > room)
		bytes.size = room;
	if (pn_buffer_append(buffer, bytes) != PN_OK)
		pn_assert_failed(__FILE__, __LINE__, "room was checked");
}

/* A line ended with the LF that is `index` bytes behind our position. */
static void end_line(struct pn_mime_parser *parser, struct pn_slice bytes, size_t index)
{
	char before = index > 0 ? bytes.data[index - 1] : parser->last_byte;
	uint64_t offset = parser->position + index;

	parser->break_size = before == '\r' && offset > parser->line_start ? 2 : 1;
	parser->was_empty = offset + 1 - parser->line_start == parser->break_size;
	parser->line_start = offset + 1;
	parser->lines++;
	parser->in_line = false;
}

/* ---- headers ---- */

static void finish_field(struct pn_mime_parser *parser)
{
	struct pn_slice field = pn_buffer_slice(&parser->field);
	struct pn_mime_node *node = pn_mime_tree_at(&parser->tree);
	const struct pn_mime_listener *listener = parser->tree.listener;

	if (field.size == 0)
		return;
	if (listener != NULL && listener->field != NULL)
		listener->field(listener->user, node, field);
	pn_mime_field_take(&parser->tree, node, field, parser->wants_envelope);
	parser->field.size = 0;
}

static void finish_header(struct pn_mime_parser *parser)
{
	finish_field(parser);
	parser->root_has_body = true;
	if (!pn_mime_tree_end_header(&parser->tree, parser->line_start, parser->lines))
		parser->state = PN_MIME_IN_BODY;
}

/* The line belongs to the multipart at that level: what is deeper ends in front of it. */
static void take_boundary(struct pn_mime_parser *parser, int level, bool is_end)
{
	struct pn_mime_tree *tree = &parser->tree;
	/* The line end before a boundary belongs to it (RFC 2046 section 5.1.1), but not the one
	 * that ends a header. */
	bool cuts_break = parser->state == PN_MIME_IN_BODY &&
	                  pn_mime_tree_at(tree)->body_offset < parser->line_start;
	struct pn_mime_end end = {
		.offset = parser->line_start - (cuts_break ? parser->break_size : 0),
		.lines = parser->lines,
		.without_break = cuts_break,
		.has_rest = cuts_break && !parser->was_empty,
	};

	pn_mime_tree_close(tree, (uint32_t)level + 1, end, parser->state == PN_MIME_IN_HEADER);
	if (is_end)
		pn_mime_boundary_pop(&tree->boundaries, (uint32_t)level);
	parser->state = PN_MIME_IN_BOUNDARY;
	parser->opens_part = !is_end;
}

/* Whether the line is a boundary that counts. */
static bool try_boundary(struct pn_mime_parser *parser, struct pn_slice line)
{
	const struct pn_mime_tree *tree = &parser->tree;
	bool is_end = false;
	int level = -1;

	if (tree->boundaries.count > 0)
		level = pn_mime_boundary_match(&tree->boundaries, &tree->text, line, &is_end);
	if (level < 0 ||
	    (!is_end && !pn_mime_tree_has_room(tree, parser->state == PN_MIME_IN_HEADER)))
		return false;
	take_boundary(parser, level, is_end);
	return true;
}

/* A line of a header, with its line end if it has one. True where it was a boundary. */
static bool header_line(struct pn_mime_parser *parser, struct pn_slice line)
{
	bool is_continued = line.data[0] == ' ' || line.data[0] == '\t';

	if (line.data[0] == '-' && parser->tree.boundaries.count > 0) {
		finish_field(parser);
		if (try_boundary(parser, line))
			return true;
	}
	if (!is_continued)
		finish_field(parser);
	append_some(&parser->field, line);
	return false;
}

static bool is_break(struct pn_slice line)
{
	return (line.size == 1 && line.data[0] == '\n') ||
	       (line.size == 2 && line.data[0] == '\r' && line.data[1] == '\n');
}

static size_t feed_header(struct pn_mime_parser *parser, struct pn_slice bytes)
{
	const char *found = memchr(bytes.data, '\n', bytes.size);
	size_t size = found == NULL ? bytes.size : (size_t)(found - bytes.data) + 1;
	struct pn_slice line = pn_slice_make(bytes.data, size);
	struct pn_mime_node *node = pn_mime_tree_at(&parser->tree);

	node->header_has_8bit = node->header_has_8bit || has_8bit(line);
	node->header_has_nul = node->header_has_nul || has_nul(line);
	if (found == NULL || parser->held.size > 0)
		append_some(&parser->held, line);
	if (found == NULL)
		return size;
	if (parser->held.size > 0)
		line = pn_buffer_slice(&parser->held);
	if (is_break(line)) {
		end_line(parser, bytes, size - 1);
		finish_header(parser);
	} else if (header_line(parser, line)) {
		/* The state that follows wants to see its line end. */
		size--;
	} else {
		end_line(parser, bytes, size - 1);
	}
	parser->held.size = 0;
	return size;
}

/* ---- bodies ---- */

static void body_bytes(struct pn_mime_parser *parser, struct pn_slice bytes)
{
	struct pn_mime_node *node = pn_mime_tree_at(&parser->tree);
	const struct pn_mime_listener *listener = parser->tree.listener;

	if (bytes.size == 0)
		return;
	if (listener != NULL) {
		if (listener->body != NULL)
			listener->body(listener->user, node, bytes);
		return;
	}
	node->has_8bit = node->has_8bit || has_8bit(bytes);
	node->has_nul = node->has_nul || has_nul(bytes);
}

/* Takes bytes of a line that may be a boundary, until that can be said. True: it can. */
static bool hold_candidate(struct pn_mime_parser *parser, struct pn_slice bytes, size_t *taken)
{
	const size_t needed = parser->tree.boundaries.longest + 4;
	struct pn_buffer *held = &parser->held;
	size_t size = needed - held->size;
	const char *found;

	if (size > bytes.size)
		size = bytes.size;
	found = memchr(bytes.data, '\n', size);
	if (found != NULL)
		size = (size_t)(found - bytes.data);
	append_some(held, pn_slice_make(bytes.data, size));
	*taken = size;
	return found != NULL || held->size >= needed || (held->size >= 2 && held->data[1] != '-');
}

static bool may_be_boundary(struct pn_slice bytes)
{
	return bytes.data[0] == '-' && (bytes.size == 1 || bytes.data[1] == '-');
}

static size_t feed_body(struct pn_mime_parser *parser, struct pn_slice bytes)
{
	const bool has_boundaries = parser->tree.boundaries.count > 0;
	size_t at = 0, from = 0, taken;
	const char *found;

	while (at < bytes.size) {
		if (has_boundaries && !parser->in_line &&
		    (parser->held.size > 0 || may_be_boundary(pn_slice_behind(bytes, at)))) {
			body_bytes(parser, pn_slice_make(bytes.data + from, at - from));
			if (!hold_candidate(parser, pn_slice_behind(bytes, at), &taken))
				return bytes.size;
			at += taken;
			from = at;
			if (try_boundary(parser, pn_buffer_slice(&parser->held))) {
				parser->held.size = 0;
				return at;
			}
			body_bytes(parser, pn_buffer_slice(&parser->held));
			parser->held.size = 0;
		}
		parser->in_line = true;
		if (at == bytes.size)
			break;
		found = memchr(bytes.data + at, '\n', bytes.size - at);
		if (found == NULL)
			break;
		at = (size_t)(found - bytes.data);
		end_line(parser, bytes, at++);
	}
	body_bytes(parser, pn_slice_behind(bytes, from));
	return bytes.size;
}

static void finish_boundary(struct pn_mime_parser *parser, uint64_t offset)
{
	if (parser->opens_part) {
		pn_mime_tree_open(&parser->tree, offset);
		parser->state = PN_MIME_IN_HEADER;
	} else {
		parser->state = PN_MIME_IN_BODY;
	}
}

static size_t feed_boundary(struct pn_mime_parser *parser, struct pn_slice bytes)
{
	const char *found = memchr(bytes.data, '\n', bytes.size);
	size_t index;

	if (found == NULL)
		return bytes.size;
	index = (size_t)(found - bytes.data);
	end_line(parser, bytes, index);
	finish_boundary(parser, parser->line_start);
	return index + 1;
}

void pn_mime_feed(struct pn_mime_parser *parser, struct pn_slice bytes)
{
	while (bytes.size > 0) {
		size_t taken = 0;

		switch (parser->state) {
		case PN_MIME_IN_HEADER:
			taken = feed_header(parser, bytes);
			break;
		case PN_MIME_IN_BODY:
			taken = feed_body(parser, bytes);
			break;
		case PN_MIME_IN_BOUNDARY:
			taken = feed_boundary(parser, bytes);
			break;
		}
		parser->position += taken;
		if (taken > 0)
			parser->last_byte = bytes.data[taken - 1];
		bytes = pn_slice_behind(bytes, taken);
	}
}

/* ---- the end ---- */

void pn_mime_end(struct pn_mime_parser *parser)
{
	struct pn_slice held = pn_buffer_slice(&parser->held);
	struct pn_mime_end end;

	if (parser->has_ended)
		return;
	parser->has_ended = true;
	if (held.size > 0 && parser->state == PN_MIME_IN_HEADER)
		(void)header_line(parser, held);
	else if (held.size > 0 && !try_boundary(parser, held))
		body_bytes(parser, held);
	parser->held.size = 0;
	if (parser->state == PN_MIME_IN_HEADER)
		finish_field(parser);
	if (parser->state == PN_MIME_IN_BOUNDARY)
		finish_boundary(parser, parser->position);
	end = (struct pn_mime_end){
		.offset = parser->position,
		.lines = parser->lines,
		.has_rest = parser->position > parser->line_start,
	};
	pn_mime_tree_close(&parser->tree, 0, end, parser->state == PN_MIME_IN_HEADER);
}

enum pn_status pn_mime_finish(struct pn_mime_parser *parser, struct pn_buffer *summary)
{
	pn_mime_end(parser);
	return pn_mime_summary_write(&parser->tree, parser->position, summary);
}

uint64_t pn_mime_header_size(const struct pn_mime_parser *parser)
{
	return parser->tree.nodes[0].body_offset;
}

uint64_t pn_mime_size(const struct pn_mime_parser *parser)
{
	return parser->position;
}
