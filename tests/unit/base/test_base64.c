/* SPDX-License-Identifier: Apache-2.0 */
/* Base64: both ways, and nothing but its one spelling. */
#include "../exact.h"
#include "suites.h"

#include <postern/text.h>

/* Decodes an exact copy; the result is compared if `expected` is there, else refused. */
static void check_decoding(struct pn_slice text, const char *expected, size_t size)
{
	struct pn_slice copy = exact(text.size > 0 ? text : PN_SLICE_NONE);
	struct pn_buffer out;

	pn_buffer_init(&out, 1000);
	ck_assert_int_eq(pn_buffer_append(&out, PN_SLICE("kept")), PN_OK);
	if (expected == NULL) {
		ck_assert_int_eq(pn_base64_decode(&out, copy), PN_FAILED);
		ck_assert_uint_eq(out.size, 4);
	} else {
		ck_assert_int_eq(pn_base64_decode(&out, copy), PN_OK);
		ck_assert_uint_eq(out.size, 4 + size);
		ck_assert_mem_eq(out.data + 4, expected, size);
	}
	ck_assert_mem_eq(out.data, "kept", 4);
	pn_buffer_clear(&out);
	free((char *)copy.data);
}

START_TEST(knows_the_examples_of_rfc_4648)
{
	static const char *const pairs[][2] = {{"", ""},
	                                       {"f", "Zg=="},
	                                       {"fo", "Zm8="},
	                                       {"foo", "Zm9v"},
	                                       {"foob", "Zm9vYg=="},
	                                       {"fooba", "Zm9vYmE="},
	                                       {"foobar", "Zm9vYmFy"}};

	for (size_t index = 0; index < 7; index++) {
		struct pn_buffer out;

		pn_buffer_init(&out, 100);
		ck_assert_int_eq(pn_base64_encode(&out, pn_slice_of(pairs[index][0])), PN_OK);
		ck_assert(pn_slice_equal(pn_buffer_slice(&out), pn_slice_of(pairs[index][1])));
		pn_buffer_clear(&out);
		check_decoding(pn_slice_of(pairs[index][1]), pairs[index][0],
		               strlen(pairs[index][0]));
	}
}
END_TEST

START_TEST(refuses_any_other_spelling)
{
	static const char *const bad[] = {"Z",
	                                  "Zg",
	                                  "Zg=",
	                                  "Zg===",
	                                  "Zh==",
	                                  "Zm9=",
	                                  "Zg==Zg==",
	                                  "=g==",
	                                  "====",
	                                  "Z===",
	                                  "Zm 9",
	                                  "Zm9v\r\n",
	                                  "Zm-_",
	                                  "Zm9v=",
	                                  "Zg=a",
	                                  "Zm8=Zm8=",
	                                  "\xff\xff\xff\xff"};

	for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++)
		check_decoding(pn_slice_of(bad[index]), NULL, 0);
	check_decoding(pn_slice_make("Zm9\0", 4), NULL, 0);
}
END_TEST

START_TEST(every_text_of_four_letters_decodes_only_to_what_encodes_to_it)
{
	static const char alphabet[] = "AZaz09+/=\n-";
	const size_t letters = sizeof(alphabet) - 1;

	for (size_t length = 0; length <= 4; length++) {
		for (size_t number = 0; number < word_count(letters, length); number++) {
			struct pn_slice text = exact_word(alphabet, letters, length, number);
			struct pn_buffer bytes, again;

			pn_buffer_init(&bytes, 10);
			pn_buffer_init(&again, 10);
			if (pn_base64_decode(&bytes, text) == PN_OK) {
				ck_assert_int_eq(pn_base64_encode(&again, pn_buffer_slice(&bytes)),
				                 PN_OK);
				ck_assert(pn_slice_equal(pn_buffer_slice(&again), text));
			}
			pn_buffer_clear(&bytes);
			pn_buffer_clear(&again);
			free((char *)text.data);
		}
	}
}
END_TEST

START_TEST(every_byte_survives_in_every_place)
{
	for (size_t size = 0; size < 8; size++) {
		for (unsigned value = 0; value < 256; value++) {
			char bytes[8];
			struct pn_buffer out;

			memset(bytes, (int)value, sizeof(bytes));
			pn_buffer_init(&out, 100);
			ck_assert_int_eq(pn_base64_encode(&out, pn_slice_make(bytes, size)), PN_OK);
			check_decoding(pn_buffer_slice(&out), bytes, size);
			pn_buffer_clear(&out);
		}
	}
}
END_TEST

START_TEST(keeps_the_limit_of_its_buffer)
{
	struct pn_buffer out;

	pn_buffer_init(&out, 7);
	ck_assert_int_eq(pn_base64_encode(&out, PN_SLICE("abcd")), PN_LIMIT);
	ck_assert_int_eq(pn_base64_decode(&out, PN_SLICE("YWJjZGVmZ2g=")), PN_LIMIT);
	ck_assert_uint_eq(out.size, 0);
	pn_buffer_clear(&out);
}
END_TEST

Suite *base64_suite(void)
{
	static const TTest *tests[6];

	tests[0] = knows_the_examples_of_rfc_4648;
	tests[1] = refuses_any_other_spelling;
	tests[2] = every_text_of_four_letters_decodes_only_to_what_encodes_to_it;
	tests[3] = every_byte_survives_in_every_place;
	tests[4] = keeps_the_limit_of_its_buffer;
	return suite_of("base64", tests);
}
