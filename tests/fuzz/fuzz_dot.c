/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dot-stuffed data: the same content however the bytes are cut, and what we write
 * reads back as exactly one message.
 */
#include "fuzz.h"

#include "io/frame.h"

#include <postern/text.h>

struct result {
	struct pn_buffer content;
	bool is_last;
	enum pn_line_problem problem;
	size_t end;
};

static void collect(void *user, struct pn_slice bytes)
{
	struct result *result = user;

	require(pn_buffer_append(&result->content, bytes) == PN_OK);
}

static struct result parse(struct pn_slice text, size_t piece_size)
{
	struct result result = {.is_last = false};
	struct pn_frame_dot dot = {0};

	pn_buffer_init(&result.content, SIZE_MAX / 2);
	while (text.size > 0 && !result.is_last && result.problem == PN_LINE_GOOD) {
		size_t size = piece_size < text.size ? piece_size : text.size;
		struct pn_slice chunk = exact_copy(pn_slice_make(text.data, size));
		struct pn_slice rest = chunk;

		for (;;) {
			struct pn_slice piece;
			size_t consumed;

			pn_frame_dot(&dot, rest, &piece, &consumed, &result.is_last,
			             &result.problem);
			require(consumed <= rest.size);
			collect(&result, piece);
			result.end += consumed;
			rest = pn_slice_make(rest.data + consumed, rest.size - consumed);
			if (result.is_last || result.problem != PN_LINE_GOOD ||
			    (piece.size == 0 && consumed == 0))
				break;
		}
		require(result.is_last || result.problem != PN_LINE_GOOD || rest.size == 0);
		free((char *)chunk.data);
		text = pn_slice_make(text.data + size, text.size - size);
	}
	return result;
}

static void check_parsing(struct pn_slice text, size_t piece_size)
{
	struct result whole = parse(text, text.size + 1);
	struct result pieces = parse(text, piece_size);

	require(whole.is_last == pieces.is_last && whole.problem == pieces.problem);
	require(!whole.is_last || whole.end == pieces.end);
	require(pn_slice_equal(pn_buffer_slice(&whole.content), pn_buffer_slice(&pieces.content)));
	pn_buffer_clear(&whole.content);
	pn_buffer_clear(&pieces.content);
}

static void check_stuffing(struct pn_slice text, size_t piece_size)
{
	struct result written = {.is_last = true}, read;
	struct pn_frame_stuff stuff = {0};
	bool has_nul = pn_slice_find(text, '\0') < text.size;

	pn_buffer_init(&written.content, SIZE_MAX / 2);
	while (text.size > 0) {
		size_t size = piece_size < text.size ? piece_size : text.size;

		pn_frame_stuff(&stuff, pn_slice_make(text.data, size), false, collect, &written);
		text = pn_slice_make(text.data + size, text.size - size);
	}
	pn_frame_stuff(&stuff, PN_SLICE_NONE, true, collect, &written);
	read = parse(pn_buffer_slice(&written.content), written.content.size + 1);
	require(has_nul ? read.problem == PN_LINE_NUL
	                : read.is_last && read.end == written.content.size);
	pn_buffer_clear(&written.content);
	pn_buffer_clear(&read.content);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece_size = 1 + take_byte(&data, &size) % 16;
	struct pn_slice text = rest_of(data, size);

	check_parsing(text, 1);
	check_parsing(text, piece_size);
	check_stuffing(text, piece_size);
	return 0;
}
