/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of MIME: a message parsed and opened, and its structure as a line of text. */
#ifndef TESTS_UNIT_MAIL_MESSAGE_H
#define TESTS_UNIT_MAIL_MESSAGE_H

#include "../exact.h"

#include <postern/mime.h>
#include <postern/text.h>

#include <stdio.h>

/* The summary of a text, fed in pieces of `step` bytes (0: at once). Clear it. */
static inline struct pn_buffer summary_of(struct pn_slice text, size_t step)
{
	struct pn_mime_parser *parser = pn_mime_new();
	struct pn_buffer summary;

	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	while (text.size > 0) {
		size_t size = step > 0 && step < text.size ? step : text.size;
		struct pn_slice piece = exact(pn_slice_make(text.data, size));

		pn_mime_feed(parser, piece);
		free((char *)(uintptr_t)piece.data);
		text = pn_slice_behind(text, size);
	}
	require(pn_mime_finish(parser, &summary) == PN_OK);
	pn_mime_free(&parser);
	return summary;
}

static inline struct pn_mime_message open_text(struct pn_arena *arena, struct pn_slice text)
{
	struct pn_buffer summary = summary_of(text, 0);
	struct pn_mime_message message;

	require(pn_mime_open(pn_arena_keep(arena, pn_buffer_slice(&summary)), arena, &message) ==
	        PN_OK);
	pn_buffer_clear(&summary);
	return message;
}

static inline void describe_part(struct pn_buffer *out, const struct pn_mime_message *message,
                                 uint32_t index, struct pn_slice text)
{
	const struct pn_mime_part *part = &message->parts[index];
	struct pn_slice body = pn_slice_make(text.data + part->body_offset, part->body_size);
	uint32_t child = part->first_child;

	require(pn_buffer_print(out, "%.*s/%.*s", PN_SLICE_ARGS(part->type),
	                        PN_SLICE_ARGS(part->subtype)) == PN_OK);
	if (part->kind == PN_MIME_LEAF) {
		require(pn_buffer_append(out, PN_SLICE("=")) == PN_OK);
		require(pn_buffer_append(out, body) == PN_OK);
		return;
	}
	require(pn_buffer_append(out, PN_SLICE("[")) == PN_OK);
	for (; child != 0; child = message->parts[child].next_sibling) {
		if (child != part->first_child)
			require(pn_buffer_append(out, PN_SLICE(" ")) == PN_OK);
		describe_part(out, message, child, text);
	}
	require(pn_buffer_append(out, PN_SLICE("]")) == PN_OK);
}

/* "multipart/mixed[text/plain=body …]". Free it. */
static inline char *describe(struct pn_slice text)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message = open_text(arena, text);
	struct pn_buffer out;

	pn_buffer_init(&out, SIZE_MAX / 2);
	describe_part(&out, &message, 0, text);
	require(pn_buffer_append(&out, PN_SLICE("\0")) == PN_OK);
	pn_arena_free(&arena);
	return out.data;
}

static inline void check_structure(const char *text, const char *expected)
{
	char *found = describe(pn_slice_of(text));

	ck_assert_str_eq(found, expected);
	free(found);
}

static inline void check_text(struct pn_slice found, const char *expected)
{
	ck_assert_msg(pn_slice_equal(found, pn_slice_of(expected)), "\"%.*s\", not \"%s\"",
	              PN_SLICE_ARGS(found), expected);
}

/* The same bytes again and again. */
static inline void append_times(struct pn_buffer *out, const char *text, size_t times)
{
	for (size_t index = 0; index < times; index++)
		require(pn_buffer_append(out, pn_slice_of(text)) == PN_OK);
}

#endif
