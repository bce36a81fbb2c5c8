/* SPDX-License-Identifier: Apache-2.0 */
/* Searching: where a key is found and where not, across whatever lies between its bytes. */
#include "message.h"
#include "suites.h"

#include <time.h>

/* Whether it is found; the same for the whole message, byte by byte, and a second time. */
static bool finds(enum pn_search_scope scope, const char *field, const char *needle,
                  struct pn_slice text)
{
	const struct pn_search_key key = {scope, pn_slice_of(field), pn_slice_of(needle)};
	struct pn_search *search = pn_search_new(&key, 1);
	bool whole, pieces, again;

	pn_search_feed(search, text);
	pn_search_finish(search, &whole);
	for (size_t index = 0; index < text.size; index++) {
		struct pn_slice piece = exact(pn_slice_make(text.data + index, 1));

		pn_search_feed(search, piece);
		free((char *)(uintptr_t)piece.data);
	}
	pn_search_finish(search, &pieces);
	pn_search_feed(search, text);
	pn_search_finish(search, &again);
	ck_assert_int_eq(whole, pieces);
	ck_assert_int_eq(whole, again);
	pn_search_free(&search);
	ck_assert_ptr_null(search);
	return whole;
}

static bool in_body(const char *needle, const char *text)
{
	return finds(PN_SEARCH_BODY, NULL, needle, pn_slice_of(text));
}

static bool in_text(const char *needle, const char *text)
{
	return finds(PN_SEARCH_TEXT, NULL, needle, pn_slice_of(text));
}

static bool in_field(const char *field, const char *needle, const char *text)
{
	return finds(PN_SEARCH_HEADER, field, needle, pn_slice_of(text));
}

START_TEST(finds_text_in_bodies)
{
	static const char text[] = "Subject: header\r\n\r\nThe first LINE\r\nand the second\r\n";

	ck_assert(in_body("first line", text));
	ck_assert(in_body("FIRST", text));
	ck_assert(in_body("line and", text));
	ck_assert(in_body("line\r\nand", text));
	ck_assert(in_body("second ", text));
	ck_assert(in_body("", text));
	ck_assert(!in_body("header", text));
	ck_assert(!in_body("third", text));
	ck_assert(!in_body("lineand", text));
	ck_assert(in_text("header", text));
	ck_assert(in_text("Subject: HEAD", text));
	ck_assert(in_text("second", text));
	ck_assert(!in_text("header The", text));
	ck_assert(in_text("", ""));
}
END_TEST

START_TEST(finds_text_in_fields)
{
	static const char text[] =
		"To: a@b\r\nSubject: one\r\n two\r\nSubject: =?utf-8?Q?f=C3=BCnf?=\r\n"
		" =?iso-8859-1?q?_=FC=DF?=\r\nEmpty:\r\nRaw: gr\xfc\xdf\r\n\r\nthree\r\n";

	ck_assert(in_field("subject", "ONE two", text));
	ck_assert(in_field("SUBJECT", "f\xc3\xbcnf \xc3\xbc", text));
	ck_assert(in_field("subject", "FUNF USS", text));
	ck_assert(in_field("raw", "gr\xc3\xbc\xc3\x9f", text));
	ck_assert(in_field("empty", "", text));
	ck_assert(in_text("f\xc3\xbcnf", text));
	ck_assert(!in_field("missing", "", text));
	ck_assert(!in_field("to", "one", text));
	ck_assert(!in_field("subject", "subject", text));
	ck_assert(!in_field("subject", "three", text));
	ck_assert(!in_field("subject", "a@b", text));
}
END_TEST

START_TEST(decodes_bodies)
{
	ck_assert(in_body(
		"gr\xc3\xbc\xc3\x9f"
		"e aus",
		"Content-Type: text/plain; charset=iso-8859-1\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=\r\n=DFe a=\r\nus"));
	ck_assert(in_body("\xd0\xbf\xd1\x80\xd0\xb8",
	                  "Content-Type: text/plain; charset=koi8-r\r\n"
	                  "Content-Transfer-Encoding: base64\r\n\r\n8NLJ\r\n18XU\r\n"));
	ck_assert(in_body("hello world",
	                  "Content-Transfer-Encoding: BASE64\r\n\r\naGVs\r\nbG8gd29y\r\n"
	                  "bGQ="));
	ck_assert(in_body(
		"\xe6\x97\xa5\xe6\x9c\xac",
		"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$BF|K\\\x1b(B\r\n"));
	ck_assert(in_body("\xc3\xa4",
	                  "Content-Type: text/plain; charset=utf-8\r\n\r\nx\xc3\x84\r\n"));
	/* A charset nobody knows is read as UTF-8. */
	ck_assert(
		in_body("\xc3\xa4", "Content-Type: text/plain; charset=odd\r\n\r\nx\xc3\x84\r\n"));
	ck_assert(!in_body("aGVs", "Content-Transfer-Encoding: base64\r\n\r\naGVs\r\n"));
}
END_TEST

START_TEST(looks_into_the_right_parts)
{
	static const char text[] =
		"Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n"
		"Content-Description: described\r\n\r\nplain\r\n--b\r\nContent-Type: "
		"text/html\r\n\r\n"
		"<b>html</b>\r\n--b\r\nContent-Type: image/png\r\n\r\npicture\r\n--b\r\n"
		"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nwords\r\n--b\r\n"
		"Content-Type: message/delivery-status\r\n\r\nFinal-Recipient: x\r\n--b--\r\n";

	ck_assert(in_body("plain", text));
	ck_assert(in_body("html", text));
	ck_assert(in_body("words", text));
	ck_assert(in_body("final-recipient", text));
	ck_assert(!in_body("picture", text));
	ck_assert(!in_body("preamble", text));
	ck_assert(!in_body("described", text));
	ck_assert(!in_body("inner", text));
	ck_assert(in_text("described", text));
	ck_assert(in_text("inner", text));
	ck_assert(!in_text("picture", text));
	/* No text goes from one part to the next. */
	ck_assert(!in_body("plain <b>", text));
	ck_assert(!in_field("subject", "inner", text));
}
END_TEST

/* Text is looked through in windows of some ten thousand bytes: a needle may begin at the end of
 * any of them. */
START_TEST(finds_what_lies_across_windows)
{
	const struct pn_search_key key = {PN_SEARCH_BODY, PN_SLICE_NONE, PN_SLICE("needle")};
	struct pn_search *search = pn_search_new(&key, 1);

	for (size_t size = 1024; size <= 128 * 1024; size += 1024) {
		for (size_t before = 0; before < 8; before++) {
			struct pn_buffer text;
			bool found;

			pn_buffer_init(&text, SIZE_MAX / 2);
			append_times(&text, "\r\n", 1);
			append_times(&text, "xxxxxxxxxxxxxxxx", size / 16);
			text.size -= before;
			append_times(&text, "needle", 1);
			append_times(&text, "xxxxxxxxxxxxxxxx", 3000);
			pn_search_feed(search, pn_buffer_slice(&text));
			pn_search_finish(search, &found);
			if (!found)
				ck_abort_msg("%zu bytes before %zu", before, size);
			pn_buffer_clear(&text);
		}
	}
	pn_search_free(&search);
}
END_TEST

START_TEST(answers_each_key)
{
	const struct pn_search_key keys[] = {
		{PN_SEARCH_TEXT, PN_SLICE_NONE, PN_SLICE("here")},
		{PN_SEARCH_BODY, PN_SLICE_NONE, PN_SLICE("nowhere")},
		{PN_SEARCH_HEADER, PN_SLICE("subject"), PN_SLICE("sub")},
		{PN_SEARCH_HEADER, PN_SLICE("subject"), PN_SLICE("other")},
		{PN_SEARCH_BODY, PN_SLICE_NONE, PN_SLICE("sub")},
	};
	struct pn_search *search = pn_search_new(keys, 5);
	bool found[5];

	pn_search_feed(search, PN_SLICE("Subject: sub\r\n\r\nover here\r\n"));
	ck_assert(!pn_search_is_complete(search));
	pn_search_finish(search, found);
	ck_assert(found[0] && !found[1] && found[2] && !found[3] && !found[4]);
	/* Nothing is left of the message before. */
	pn_search_feed(search, PN_SLICE("Subject: other\r\n\r\nnowhere else\r\n"));
	pn_search_finish(search, found);
	ck_assert(found[0] && found[1] && !found[2] && found[3] && !found[4]);
	pn_search_free(&search);
}
END_TEST

START_TEST(is_complete_when_nothing_more_can_be_found)
{
	const struct pn_search_key keys[] = {
		{PN_SEARCH_HEADER, PN_SLICE("subject"), PN_SLICE("sub")},
		{PN_SEARCH_TEXT, PN_SLICE_NONE, PN_SLICE("from: a")},
	};
	struct pn_search *search = pn_search_new(keys, 1);
	bool found[2];

	pn_search_feed(search, PN_SLICE("From: a\r\n"));
	ck_assert(!pn_search_is_complete(search));
	pn_search_feed(search, PN_SLICE("\r\n"));
	ck_assert(pn_search_is_complete(search));
	pn_search_finish(search, found);
	ck_assert(!found[0]);
	ck_assert(!pn_search_is_complete(search));
	pn_search_free(&search);
	search = pn_search_new(keys, 2);
	pn_search_feed(search, PN_SLICE("From: a\r\nSubject: sub\r\n\r\n"));
	ck_assert(pn_search_is_complete(search));
	pn_search_feed(search, PN_SLICE("body"));
	pn_search_finish(search, found);
	ck_assert(found[0] && found[1]);
	pn_search_free(&search);
}
END_TEST

/* Much of what was seen is kept for a long text; it is not looked at again for each field. */
START_TEST(long_texts_and_many_fields_take_no_longer)
{
	struct pn_buffer needle;
	struct pn_buffer text;
	struct pn_search_key keys[10];
	struct pn_search *search;
	bool found[10];
	clock_t begin;

	pn_buffer_init(&needle, SIZE_MAX / 2);
	pn_buffer_init(&text, SIZE_MAX / 2);
	append_times(&needle, "b", 100000);
	append_times(&text, "a:\r\n", 60000);
	append_times(&text, "\r\n", 1);
	append_times(&text, "c", 100000);
	append_times(&text, "b", 100000);
	for (size_t index = 0; index < 10; index++)
		keys[index] = (struct pn_search_key){PN_SEARCH_TEXT, PN_SLICE_NONE,
		                                     PN_SLICE("what is not there")};
	keys[0].text = pn_buffer_slice(&needle);
	search = pn_search_new(keys, 10);
	begin = clock();
	pn_search_feed(search, pn_buffer_slice(&text));
	pn_search_finish(search, found);
	ck_assert_msg((double)(clock() - begin) / CLOCKS_PER_SEC < 1.0, "too slow");
	ck_assert(found[0] && !found[1]);
	pn_search_free(&search);
	pn_buffer_clear(&needle);
	pn_buffer_clear(&text);
}
END_TEST

START_TEST(takes_time_that_grows_with_the_size_only)
{
	static const char *const lines[] = {"a",        "\r\n", "=",      "=\r\n",
	                                    "A: a\r\n", "\xc3", "aaaab\n"};
	const struct pn_search_key key = {PN_SEARCH_TEXT, PN_SLICE_NONE,
	                                  PN_SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac")};
	struct pn_search *search = pn_search_new(&key, 1);

	for (size_t index = 0; index < sizeof(lines) / sizeof(lines[0]); index++) {
		struct pn_buffer text;
		clock_t begin;
		bool found;

		pn_buffer_init(&text, SIZE_MAX / 2);
		append_times(&text,
		             "Content-Type: text/plain; charset=koi8-r\r\n"
		             "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
		             1);
		append_times(&text, lines[index], (4u << 20) / strlen(lines[index]));
		begin = clock();
		pn_search_feed(search, pn_buffer_slice(&text));
		pn_search_finish(search, &found);
		ck_assert_msg((double)(clock() - begin) / CLOCKS_PER_SEC < 5.0, "%zu", index);
		ck_assert(!found);
		pn_buffer_clear(&text);
	}
	pn_search_free(&search);
}
END_TEST

Suite *search_suite(void)
{
	static const TTest *tests[12];
	size_t count = 0;

	tests[count++] = finds_text_in_bodies;
	tests[count++] = finds_text_in_fields;
	tests[count++] = decodes_bodies;
	tests[count++] = looks_into_the_right_parts;
	tests[count++] = finds_what_lies_across_windows;
	tests[count++] = answers_each_key;
	tests[count++] = is_complete_when_nothing_more_can_be_found;
	tests[count++] = takes_time_that_grows_with_the_size_only;
	tests[count++] = long_texts_and_many_fields_take_no_longer;
	return suite_of("search", tests);
}
