/* SPDX-License-Identifier: Apache-2.0 */
/* xtext: any bytes there and back, and only one spelling in. */
#include "../exact.h"
#include "suites.h"

#include <postern/address.h>
#include <postern/text.h>

START_TEST(encodes_what_is_no_xchar)
{
	struct pn_arena *arena = pn_arena_new();

	ck_assert(pn_slice_equal(pn_xtext_encode(arena, PN_SLICE("a+b=c d\xff")),
	                         PN_SLICE("a+2Bb+3Dc+20d+FF")));
	ck_assert_uint_eq(pn_xtext_encode(arena, PN_SLICE_NONE).size, 0);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(every_byte_comes_back)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice encoded, decoded;
	char bytes[256];

	for (int index = 0; index < 256; index++)
		bytes[index] = (char)index;
	encoded = exact(pn_xtext_encode(arena, pn_slice_make(bytes, 256)));
	ck_assert_int_eq(pn_xtext_decode(arena, encoded, &decoded), PN_OK);
	ck_assert(pn_slice_equal(decoded, pn_slice_make(bytes, 256)));
	free((char *)encoded.data);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(decodes_short_texts_only_if_they_are_xtext)
{
	static const char alphabet[] = "a+=2Bb \xff";

	for (size_t length = 0; length <= 5; length++) {
		for (size_t number = 0; number < word_count(8, length); number++) {
			struct pn_arena *arena = pn_arena_new();
			struct pn_slice text = exact_word(alphabet, 8, length, number);
			struct pn_slice decoded;

			if (pn_xtext_decode(arena, text, &decoded) == PN_OK) {
				ck_assert_uint_le(decoded.size, text.size);
				for (size_t at = 0; at < text.size; at++) {
					ck_assert(strchr("a+2Bb", text.data[at]) != NULL);
					ck_assert(text.data[at] != '+' ||
					          (at + 2 < text.size &&
					           strchr("2B", text.data[at + 1]) != NULL &&
					           strchr("2B", text.data[at + 2]) != NULL));
				}
			}
			pn_arena_free(&arena);
			free((char *)text.data);
		}
	}
}
END_TEST

Suite *xtext_suite(void)
{
	static const TTest *tests[4];

	tests[0] = encodes_what_is_no_xchar;
	tests[1] = every_byte_comes_back;
	tests[2] = decodes_short_texts_only_if_they_are_xtext;
	return suite_of("xtext", tests);
}
