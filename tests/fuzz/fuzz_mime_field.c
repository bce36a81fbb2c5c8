/* SPDX-License-Identifier: Apache-2.0 */
/* Text of fields: decoding gives UTF-8 on one line, folding what is folded changes nothing but what
 * Unicode's tables do not fold at once, and charsets give UTF-8. */
#include "fuzz.h"

#include <postern/mime.h>
#include <postern/text.h>

#include "base/utf8.h"

static void require_utf8(struct pn_slice text)
{
	while (text.size > 0) {
		size_t size = pn_utf8_next(text, NULL);

		require(size > 0);
		text = pn_slice_behind(text, size);
	}
}

static void check_decoding(struct pn_slice text)
{
	struct pn_slice copy = exact_copy(text);
	struct pn_buffer out, small;

	pn_buffer_init(&out, SIZE_MAX / 2);
	require(pn_mime_decode_field(&out, copy) == PN_OK);
	require_utf8(pn_buffer_slice(&out));
	/* Where it does not fit, nothing is there. */
	pn_buffer_init(&small, out.size > 1 ? out.size - 1 : 1);
	require(pn_buffer_append(&small, PN_SLICE("x")) == PN_OK);
	if (out.size > 0)
		require(pn_mime_decode_field(&small, copy) == PN_LIMIT && small.size == 1);
	pn_buffer_clear(&small);
	pn_buffer_clear(&out);
	free((char *)(uintptr_t)copy.data);
}

static void check_folding(struct pn_slice text, size_t cut)
{
	struct pn_slice copy = exact_copy(text);
	struct pn_buffer whole, pieces;

	pn_buffer_init(&whole, SIZE_MAX / 2);
	pn_buffer_init(&pieces, SIZE_MAX / 2);
	require(pn_text_fold(&whole, copy) == PN_OK);
	/* Cut between characters of ASCII it is the same. */
	while (cut < text.size && (text.data[cut] & 0x80) != 0)
		cut++;
	if (cut < text.size) {
		require(pn_text_fold(&pieces, pn_slice_make(copy.data, cut)) == PN_OK);
		require(pn_text_fold(&pieces, pn_slice_behind(copy, cut)) == PN_OK);
		require(pn_slice_equal(pn_buffer_slice(&whole), pn_buffer_slice(&pieces)));
	}
	pn_buffer_clear(&whole);
	pn_buffer_clear(&pieces);
	free((char *)(uintptr_t)copy.data);
}

static void check_charset(struct pn_slice name, struct pn_slice bytes)
{
	struct pn_buffer out;
	enum pn_status status;

	pn_buffer_init(&out, SIZE_MAX / 2);
	status = pn_charset_decode(&out, name, bytes);
	require(status == (pn_charset_is_known(name) ? PN_OK : PN_NOT_FOUND));
	require_utf8(pn_buffer_slice(&out));
	pn_buffer_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const charsets[] = {"utf-8",       "iso-8859-1", "koi8-r", "shift_jis",
	                                       "iso-2022-jp", "gb18030",    "utf-7",  "utf-16"};
	unsigned choice = take_byte(&data, &size);
	struct pn_slice text = rest_of(data, size);

	check_decoding(text);
	check_folding(text, choice);
	check_charset(pn_slice_of(charsets[choice % 8]), text);
	return 0;
}
