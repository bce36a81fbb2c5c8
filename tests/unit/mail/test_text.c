/* SPDX-License-Identifier: Apache-2.0 */
/* Text: encoded words, charsets, transfer encodings, folding. */
#include "message.h"
#include "suites.h"

#include "mail/charset.h"
#include "mail/transfer.h"

#include <time.h>

static void check_field(const char *text, const char *expected)
{
	struct pn_slice copy = exact(pn_slice_of(text));
	struct pn_buffer out;

	pn_buffer_init(&out, 10000);
	ck_assert_int_eq(pn_mime_decode_field(&out, copy), PN_OK);
	ck_assert_msg(pn_slice_equal(pn_buffer_slice(&out), pn_slice_of(expected)),
	              "%s: \"%.*s\", not \"%s\"", text, (int)out.size, out.data, expected);
	pn_buffer_clear(&out);
	free((char *)(uintptr_t)copy.data);
}

START_TEST(decodes_encoded_words)
{
	check_field("", "");
	check_field("plain", "plain");
	check_field("=?utf-8?B?w6Q=?=", "\xc3\xa4");
	check_field("=?UTF-8?q?=C3=A4_b?=", "\xc3\xa4 b");
	check_field("=?iso-8859-1*en?Q?=e4?=", "\xc3\xa4");
	check_field("a =?utf-8?q?b?= c", "a b c");
	check_field("=?utf-8?q?a?= =?utf-8?q?b?=\r\n\t=?utf-8?q?c?=", "abc");
	check_field("=?utf-8?q?a?==?utf-8?q?b?=", "ab");
	check_field("=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b");
	check_field("=?koi8-r?B?8NLJ18XU?= =?utf-8?q?!?=",
	            "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82!");
	/* A character in two words. */
	check_field("=?utf-8?B?ww==?= =?utf-8?B?pA==?=", "\xc3\xa4");
	check_field("=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "\xc3\xa4");
	check_field("=?utf-8?q?a b?=", "a b");
	/* One line, whatever is encoded. */
	check_field("=?utf-8?q?a=0D=0Ab=00c?=", "a  b c");
}
END_TEST

START_TEST(leaves_what_is_no_encoded_word)
{
	check_field("=?", "=?");
	check_field("=?utf-8", "=?utf-8");
	check_field("=?utf-8?q?open", "=?utf-8?q?open");
	check_field("=?utf-8?x?a?=", "=?utf-8?x?a?=");
	check_field("=?no-such-charset?q?a?= b", "=?no-such-charset?q?a?= b");
	check_field("=?a/b?q?a?=", "=?a/b?q?a?=");
	check_field("=??q?a?=", "=??q?a?=");
	check_field("=?utf-8?q?\?=", "");
	check_field("==?utf-8?q?a?=", "=a");
	check_field("\xe4 \xc3\xa4 \xf0", "\xc3\xa4 \xc3\xa4 \xc3\xb0");
	check_field("=?utf-8?q?=ff?=", "\xef\xbf\xbd");
}
END_TEST

START_TEST(decoding_fields_is_linear)
{
	/* Words that end nowhere, somewhere, and only at the very end. */
	static const char *const patterns[] = {
		"=?",  "=?utf-8?q?", "=?a?q?b?=", "=?utf-8?q?=", "=?koi8-r?q?a?==?utf-8?q?b?=",
		"=?x", "=?x?q?."};
	static const char *const ends[] = {"", "?="};

	for (size_t at = 0; at < 2 * sizeof(patterns) / sizeof(patterns[0]); at++) {
		const size_t index = at / 2;
		struct pn_buffer text, out;
		clock_t begin;

		pn_buffer_init(&text, SIZE_MAX / 2);
		pn_buffer_init(&out, SIZE_MAX / 2);
		append_times(&text, patterns[index], (1u << 20) / strlen(patterns[index]));
		append_times(&text, ends[at % 2], 1);
		begin = clock();
		ck_assert_int_eq(pn_mime_decode_field(&out, pn_buffer_slice(&text)), PN_OK);
		ck_assert_msg((double)(clock() - begin) / CLOCKS_PER_SEC < 5.0, "%s",
		              patterns[index]);
		pn_buffer_clear(&text);
		pn_buffer_clear(&out);
	}
}
END_TEST

static void check_fold(const char *text, const char *expected)
{
	struct pn_buffer out;

	pn_buffer_init(&out, 1000);
	ck_assert_int_eq(pn_text_fold(&out, pn_slice_of(text)), PN_OK);
	ck_assert_msg(pn_slice_equal(pn_buffer_slice(&out), pn_slice_of(expected)),
	              "%s: \"%.*s\", not \"%s\"", text, (int)out.size, out.data, expected);
	pn_buffer_clear(&out);
}

START_TEST(folds_text)
{
	check_fold("", "");
	check_fold("Hello, WORLD @[`{ 09", "hello, world @[`{ 09");
	check_fold("\xc3\x84\xc3\xa9", "ae");
	check_fold("A\xcc\x88", "a");
	check_fold("Stra\xc3\x9f"
	           "e",
	           "strasse");
	check_fold("\xef\xac\x81", "fi");
	check_fold("\xef\xbc\xa1", "a");
	check_fold("\xce\xa3\xcf\x82", "\xcf\x83\xcf\x83");
	check_fold("\xd0\x96", "\xd0\xb6");
	check_fold("a\xc2\xad"
	           "b",
	           "ab");
	check_fold("A\xff\xfe"
	           "B\xc3",
	           "a\xff\xfe"
	           "b\xc3");
	check_fold("\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80");
}
END_TEST

START_TEST(folds_every_byte_of_ascii_wherever_it_stands)
{
	for (unsigned byte = 0; byte < 128; byte++) {
		for (size_t at = 0; at < 20; at++) {
			char text[20], expected[20];
			struct pn_buffer out;

			memset(text, '.', sizeof(text));
			text[at] = (char)byte;
			memcpy(expected, text, sizeof(text));
			if (byte >= 'A' && byte <= 'Z')
				expected[at] = (char)(byte + 32);
			pn_buffer_init(&out, 100);
			require(pn_text_fold(&out, pn_slice_make(text, sizeof(text))) == PN_OK);
			require(out.size == sizeof(text) &&
			        memcmp(out.data, expected, sizeof(text)) == 0);
			pn_buffer_clear(&out);
		}
	}
}
END_TEST

START_TEST(leaves_the_buffer_as_it_was_when_text_does_not_fit)
{
	struct pn_buffer out;

	pn_buffer_init(&out, 5);
	ck_assert_int_eq(pn_buffer_append(&out, PN_SLICE("abc")), PN_OK);
	ck_assert_int_eq(pn_text_fold(&out, PN_SLICE("d\xc3\xa4"
	                                             "ff")),
	                 PN_LIMIT);
	ck_assert_int_eq(pn_mime_decode_field(&out, PN_SLICE("=?utf-8?q?def?=")), PN_LIMIT);
	ck_assert_int_eq(pn_charset_decode(&out, PN_SLICE("iso-8859-1"), PN_SLICE("\xe4\xe4")),
	                 PN_LIMIT);
	ck_assert_uint_eq(out.size, 3);
	pn_buffer_clear(&out);
}
END_TEST

START_TEST(knows_charsets)
{
	ck_assert(pn_charset_is_known(PN_SLICE("UTF-8")));
	ck_assert(pn_charset_is_known(PN_SLICE("us-ascii")));
	ck_assert(pn_charset_is_known(PN_SLICE("ISO-8859-15")));
	ck_assert(pn_charset_is_known(PN_SLICE("windows-1251")));
	ck_assert(!pn_charset_is_known(PN_SLICE("")));
	ck_assert(!pn_charset_is_known(PN_SLICE("no-such-thing")));
	ck_assert(!pn_charset_is_known(PN_SLICE("utf-8//TRANSLIT")));
	ck_assert(!pn_charset_is_known(PN_SLICE("../utf-8")));
	ck_assert(!pn_charset_is_known(PN_SLICE("wchar_t")));
	ck_assert(!pn_charset_is_known(pn_slice_make("utf-8\0", 6)));
}
END_TEST

static void check_charset(const char *charset, const char *bytes, const char *expected)
{
	struct pn_slice text = pn_slice_of(bytes);

	for (size_t cut = 0; cut <= text.size; cut++) {
		struct pn_charset decoder;
		struct pn_buffer out;

		pn_buffer_init(&out, 1000);
		ck_assert_int_eq(pn_charset_open(&decoder, pn_slice_of(charset)), PN_OK);
		ck_assert_int_eq(pn_charset_feed(&decoder, &out, pn_slice_make(bytes, cut)), PN_OK);
		ck_assert_int_eq(pn_charset_feed(&decoder, &out, pn_slice_behind(text, cut)),
		                 PN_OK);
		ck_assert_int_eq(pn_charset_end(&decoder, &out), PN_OK);
		ck_assert_msg(pn_slice_equal(pn_buffer_slice(&out), pn_slice_of(expected)),
		              "%s cut at %zu: \"%.*s\"", charset, cut, (int)out.size, out.data);
		pn_charset_close(&decoder);
		pn_buffer_clear(&out);
	}
}

START_TEST(decodes_charsets_in_pieces)
{
	check_charset("utf-8", "a\xc3\xa4\xe2\x82\xac", "a\xc3\xa4\xe2\x82\xac");
	check_charset("utf-8", "a\xff\xc3", "a\xef\xbf\xbd\xef\xbf\xbd");
	check_charset("iso-8859-1", "a\xe4\xff", "a\xc3\xa4\xc3\xbf");
	check_charset("koi8-r", "\xf0\xd2", "\xd0\x9f\xd1\x80");
	check_charset("shift_jis", "\x93\xfa\x96\x7b", "\xe6\x97\xa5\xe6\x9c\xac");
	check_charset("iso-2022-jp", "\x1b$BF|K\\\x1b(Bx", "\xe6\x97\xa5\xe6\x9c\xacx");
	check_charset("shift_jis", "a\x93", "a\xef\xbf\xbd");
	/* A name of UTF-8 that only the library knows, and a byte more than Unicode needs. */
	check_charset("ut+f-8", "\xfa\x88\x88\x88\x88",
	              "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}
END_TEST

static void check_transfer(enum pn_mime_encoding_code encoding, const char *text,
                           const char *expected)
{
	struct pn_slice bytes = pn_slice_of(text);

	for (size_t step = 1; step <= bytes.size + 1; step++) {
		struct pn_transfer transfer;
		struct pn_buffer out;

		pn_buffer_init(&out, 1000);
		pn_transfer_begin(&transfer, encoding);
		for (size_t at = 0; at < bytes.size; at += step) {
			size_t size = bytes.size - at < step ? bytes.size - at : step;

			ck_assert_int_eq(
				pn_transfer_decode(&transfer, &out, pn_slice_make(text + at, size)),
				PN_OK);
		}
		ck_assert_int_eq(pn_transfer_end(&transfer, &out), PN_OK);
		ck_assert_msg(pn_slice_equal(pn_buffer_slice(&out), pn_slice_of(expected)),
		              "%s in pieces of %zu: \"%.*s\"", text, step, (int)out.size, out.data);
		pn_buffer_clear(&out);
	}
}

START_TEST(decodes_base64_of_any_shape)
{
	check_transfer(PN_ENCODING_BASE64, "aGVsbG8=", "hello");
	check_transfer(PN_ENCODING_BASE64, "aGVs\r\nbG8=\r\n", "hello");
	check_transfer(PN_ENCODING_BASE64, "aGVsbG8", "hello");
	check_transfer(PN_ENCODING_BASE64, "aGVsbA==aGVsbA==", "hellhell");
	check_transfer(PN_ENCODING_BASE64, "a!G\xffVs bG8=", "hello");
	check_transfer(PN_ENCODING_BASE64, "a", "");
	check_transfer(PN_ENCODING_BASE64, "====", "");
}
END_TEST

START_TEST(decodes_quoted_printable_of_any_shape)
{
	check_transfer(PN_ENCODING_QUOTED_PRINTABLE, "a=3Db=3dc", "a=b=c");
	check_transfer(PN_ENCODING_QUOTED_PRINTABLE, "a=\r\nb=\nc", "abc");
	check_transfer(PN_ENCODING_QUOTED_PRINTABLE, "a= \t \r\nb", "ab");
	check_transfer(PN_ENCODING_QUOTED_PRINTABLE, "a\r\nb", "a\r\nb");
	check_transfer(PN_ENCODING_QUOTED_PRINTABLE, "a=xb=4xc==41", "a=xb=4xc=A");
	check_transfer(PN_ENCODING_QUOTED_PRINTABLE, "a=", "a=");
	check_transfer(PN_ENCODING_QUOTED_PRINTABLE, "a=4", "a=4");
	check_transfer(PN_ENCODING_QUOTED_PRINTABLE, "a=\rb", "a=\rb");
	check_transfer(PN_ENCODING_8BIT, "a=3D", "a=3D");
}
END_TEST

Suite *text_suite(void)
{
	static const TTest *tests[16];
	size_t count = 0;

	tests[count++] = decodes_encoded_words;
	tests[count++] = leaves_what_is_no_encoded_word;
	tests[count++] = decoding_fields_is_linear;
	tests[count++] = folds_text;
	tests[count++] = folds_every_byte_of_ascii_wherever_it_stands;
	tests[count++] = leaves_the_buffer_as_it_was_when_text_does_not_fit;
	tests[count++] = knows_charsets;
	tests[count++] = decodes_charsets_in_pieces;
	tests[count++] = decodes_base64_of_any_shape;
	tests[count++] = decodes_quoted_printable_of_any_shape;
	return suite_of("text", tests);
}
