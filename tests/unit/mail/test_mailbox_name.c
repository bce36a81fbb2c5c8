/* SPDX-License-Identifier: Apache-2.0 */
/* Modified UTF-7, and the fields of mbox files. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <postern/mailbox_name.h>
#include <postern/store.h>

#include "mail/keyword.h"
#include "mail/mbox_fields.h"

#include "suites.h"

static const struct {
	const char *utf8;
	const char *utf7;
} names[] = {
	{"INBOX", "INBOX"},
	{"", ""},
	{"a & b", "a &- b"},
	{"&", "&-"},
	{"&&", "&-&-"},
	{"~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"}, /* RFC 3501 section 5.1.3 */
	{"Grüße", "Gr&APwA3w-e"},
	{"ü", "&APw-"},
	{"üü", "&APwA,A-"},
	{"üüü", "&APwA,AD8-"},
	{"x😀y", "x&2D3eAA-y"},
	{"😀", "&2D3eAA-"},
	{"€", "&IKw-"},
	{"\x7f", "&AH8-"},
	{"a\tb", "a&AAk-b"},
};

static struct pn_slice run(enum pn_status (*function)(struct pn_buffer *, struct pn_slice),
                           struct pn_buffer *out, const char *text, enum pn_status wanted)
{
	pn_buffer_init(out, 1000);
	ck_assert_int_eq(function(out, pn_slice_of(text)), wanted);
	return pn_buffer_slice(out);
}

START_TEST(names_are_written_and_read)
{
	struct pn_buffer out;
	struct pn_slice got;

	got = run(pn_utf7_encode, &out, names[_i].utf8, PN_OK);
	ck_assert_uint_eq(got.size, strlen(names[_i].utf7));
	ck_assert(got.size == 0 || memcmp(got.data, names[_i].utf7, got.size) == 0);
	pn_buffer_clear(&out);
	got = run(pn_utf7_decode, &out, names[_i].utf7, PN_OK);
	ck_assert_uint_eq(got.size, strlen(names[_i].utf8));
	ck_assert(got.size == 0 || memcmp(got.data, names[_i].utf8, got.size) == 0);
	pn_buffer_clear(&out);
}
END_TEST

START_TEST(what_comes_out_goes_in_again)
{
	srand(7);
	for (int round = 0; round < 2000; round++) {
		static const char *const pieces[] = {"a", "&", "-",  "ü", "€",
		                                     "😀", "/", "台", " ", "x"};
		struct pn_buffer encoded, decoded;
		char text[200] = "";

		for (int i = rand() % 20; i > 0; i--)
			strcat(text, pieces[rand() % 10]);
		run(pn_utf7_encode, &encoded, text, PN_OK);
		for (size_t i = 0; i < encoded.size; i++)
			ck_assert(encoded.data[i] >= 0x20 && encoded.data[i] < 0x7f);
		pn_buffer_init(&decoded, 1000);
		ck_assert_int_eq(pn_utf7_decode(&decoded, pn_buffer_slice(&encoded)), PN_OK);
		ck_assert_uint_eq(decoded.size, strlen(text));
		ck_assert(decoded.size == 0 || memcmp(decoded.data, text, decoded.size) == 0);
		pn_buffer_clear(&encoded);
		pn_buffer_clear(&decoded);
	}
}
END_TEST

START_TEST(what_is_no_modified_utf7_is_refused)
{
	static const char *const texts[] = {"&",     "a&b",   "&APw",   "&A-",  "&!!-",
	                                    "&2D0-", "&3gA-", "&AAAA-", "&APx-"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct pn_buffer out;

		run(pn_utf7_decode, &out, texts[i], PN_FAILED);
		pn_buffer_clear(&out);
	}
}
END_TEST

START_TEST(bytes_that_are_no_utf8_are_not_lost)
{
	struct pn_buffer out;
	struct pn_slice got = run(pn_utf7_encode, &out, "a\xff\xc3", PN_OK);

	ck_assert_uint_eq(got.size, 3);
	ck_assert(memcmp(got.data, "a\xff\xc3", 3) == 0);
	pn_buffer_clear(&out);
}
END_TEST

START_TEST(a_buffer_that_is_full_is_told)
{
	struct pn_buffer out;

	pn_buffer_init(&out, 3);
	ck_assert_int_eq(pn_utf7_encode(&out, PN_SLICE("üü")), PN_LIMIT);
	out.size = 0;
	ck_assert_int_eq(pn_utf7_decode(&out, PN_SLICE("abcd")), PN_LIMIT);
	pn_buffer_clear(&out);
}
END_TEST

START_TEST(fields_of_mbox_files_are_known)
{
	static const struct {
		const char *line;
		enum pn_mbox_field field;
		const char *value;
	} lines[] = {
		{"Status: RO\n", PN_MBOX_STATUS, "RO"},
		{"x-status:AF\r\n", PN_MBOX_STATUS, "AF"},
		{"X-Keywords:  a b \n", PN_MBOX_KEYWORDS, "a b"},
		{"X-UID: 7", PN_MBOX_UID, "7"},
		{"X-IMAPbase: 1 2\n", PN_MBOX_BASE, "1 2"},
		{"X-IMAP: 1 2\n", PN_MBOX_INTERNAL, "1 2"},
		{"X-Mozilla-Status: 0001\n", PN_MBOX_MOZILLA_STATUS, "0001"},
		{"Content-Length: 5\n", PN_MBOX_OTHER, "5"},
		{"Subject: Status: RO\n", PN_MBOX_NONE, ""},
		{"Status\n", PN_MBOX_NONE, ""},
		{"X-UIDL: x\n", PN_MBOX_NONE, ""},
		{"", PN_MBOX_NONE, ""},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct pn_slice value = PN_SLICE("");

		ck_assert_int_eq(pn_mbox_field_of(pn_slice_of(lines[i].line), &value),
		                 lines[i].field);
		ck_assert_uint_eq(value.size, strlen(lines[i].value));
		ck_assert(value.size == 0 || memcmp(value.data, lines[i].value, value.size) == 0);
	}
}
END_TEST

START_TEST(keywords_are_atoms_of_64_bytes)
{
	char word[PN_KEYWORD_MAX + 1];

	memset(word, 'x', sizeof(word));
	ck_assert(pn_keyword_is_valid(pn_slice_make(word, PN_KEYWORD_MAX)));
	ck_assert(!pn_keyword_is_valid(pn_slice_make(word, PN_KEYWORD_MAX + 1)));
	ck_assert(!pn_keyword_is_valid(PN_SLICE("")));
	for (int byte = 0; byte < 256; byte++) {
		bool is_atom = byte > ' ' && byte < 0x7f && strchr("(){%*\"\\]", byte) == NULL;

		word[1] = (char)byte;
		ck_assert_int_eq(pn_keyword_is_valid(pn_slice_make(word, 3)), is_atom);
	}
}
END_TEST

Suite *mailbox_name_suite(void)
{
	Suite *suite = suite_create("mailbox_name");
	TCase *cases = tcase_create("mailbox_name");

	tcase_add_loop_test(cases, names_are_written_and_read, 0,
	                    (int)(sizeof(names) / sizeof(names[0])));
	tcase_add_test(cases, what_comes_out_goes_in_again);
	tcase_add_test(cases, what_is_no_modified_utf7_is_refused);
	tcase_add_test(cases, bytes_that_are_no_utf8_are_not_lost);
	tcase_add_test(cases, a_buffer_that_is_full_is_told);
	tcase_add_test(cases, fields_of_mbox_files_are_known);
	tcase_add_test(cases, keywords_are_atoms_of_64_bytes);
	suite_add_tcase(suite, cases);
	return suite;
}
