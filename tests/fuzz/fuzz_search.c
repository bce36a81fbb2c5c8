/* SPDX-License-Identifier: Apache-2.0 */
/* Searching: what is found is found however the message is cut, and by a search that was used
 * before. The input is a needle, a line end, and a message. */
#include "fuzz.h"

#include <postern/mime.h>
#include <postern/text.h>

enum { KEYS = 5 };

static void search_pieces(struct pn_search *search, struct pn_slice text, size_t step, bool *found)
{
	while (text.size > 0) {
		struct pn_slice piece =
			exact_copy(pn_slice_make(text.data, step < text.size ? step : text.size));

		pn_search_feed(search, piece);
		text = pn_slice_behind(text, piece.size);
		free((char *)(uintptr_t)piece.data);
	}
	pn_search_finish(search, found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t step = 1 + take_byte(&data, &size) % 40;
	struct pn_slice text = rest_of(data, size);
	struct pn_slice needle = pn_slice_cut(&text, '\n');
	const struct pn_search_key keys[KEYS] = {
		{PN_SEARCH_TEXT, PN_SLICE_NONE, needle},
		{PN_SEARCH_BODY, PN_SLICE_NONE, needle},
		{PN_SEARCH_HEADER, PN_SLICE("subject"), needle},
		{PN_SEARCH_HEADER, PN_SLICE("From"), PN_SLICE_NONE},
		{PN_SEARCH_BODY, PN_SLICE_NONE, PN_SLICE("a")},
	};
	struct pn_search *search = pn_search_new(keys, KEYS);
	bool whole[KEYS], pieces[KEYS], again[KEYS], nothing[KEYS];

	search_pieces(search, text, SIZE_MAX, whole);
	search_pieces(search, text, step, pieces);
	search_pieces(search, PN_SLICE_NONE, 1, nothing);
	search_pieces(search, text, SIZE_MAX, again);
	require(memcmp(whole, pieces, sizeof(whole)) == 0);
	require(memcmp(whole, again, sizeof(whole)) == 0);
	/* What the body has, the text has; what a field has, too. */
	require(!whole[1] || whole[0]);
	require(!whole[2] || whole[0]);
	require(!nothing[3] && !nothing[4]);
	pn_search_free(&search);
	return 0;
}
