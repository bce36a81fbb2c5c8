/* SPDX-License-Identifier: Apache-2.0 */
/* Summaries: small, opened or refused whatever they hold, and right when a header was replaced. */
#include "message.h"
#include "suites.h"

#include "mail/mime.h"

#include <time.h>

static const char typical[] =
	"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
	"From: \"Somebody\" <somebody@example.org>\r\nTo: Other <other@example.net>\r\n"
	"Subject: A subject of some length\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
	"Message-ID: <1234567890@example.org>\r\nMIME-Version: 1.0\r\n"
	"Content-Type: multipart/alternative; boundary=\"=_b\"\r\n\r\n"
	"--=_b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\none\r\n"
	"--=_b\r\nContent-Type: text/html; charset=utf-8\r\n"
	"Content-Transfer-Encoding: quoted-printable\r\n\r\ntwo\r\n--=_b--\r\n";

START_TEST(a_summary_is_small_and_opened_fast)
{
	struct pn_buffer summary = summary_of(pn_slice_of(typical), 0);
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message;
	clock_t begin = clock();
	double seconds;

	ck_assert_uint_lt(summary.size, 400);
	for (unsigned round = 0; round < 10000; round++) {
		require(pn_mime_open(pn_buffer_slice(&summary), arena, &message) == PN_OK);
		pn_arena_reset(arena);
	}
	seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
	/* A microsecond each without sanitizers. */
	ck_assert(seconds < 1.0);
	pn_buffer_clear(&summary);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(the_envelope_alone_is_that_of_the_message)
{
	struct pn_buffer summary = summary_of(pn_slice_of(typical), 0);
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_envelope envelope;

	ck_assert_int_eq(pn_mime_open_envelope(pn_buffer_slice(&summary), arena, &envelope), PN_OK);
	check_text(envelope.subject, "A subject of some length");
	ck_assert_uint_eq(envelope.from.count, 1);
	check_text(envelope.from.list[0].host, "example.org");
	pn_buffer_clear(&summary);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(other_versions_are_not_found)
{
	struct pn_buffer summary = summary_of(pn_slice_of(typical), 0);
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message;
	struct pn_mime_envelope envelope;

	ck_assert_int_eq(pn_mime_open(PN_SLICE_NONE, arena, &message), PN_NOT_FOUND);
	ck_assert_int_eq(pn_mime_open_envelope(PN_SLICE(""), arena, &envelope), PN_NOT_FOUND);
	summary.data[1]++;
	ck_assert_int_eq(pn_mime_open(pn_buffer_slice(&summary), arena, &message), PN_NOT_FOUND);
	ck_assert_int_eq(pn_mime_open_envelope(pn_buffer_slice(&summary), arena, &envelope),
	                 PN_NOT_FOUND);
	pn_buffer_clear(&summary);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(a_summary_that_was_cut_is_damaged)
{
	struct pn_buffer summary = summary_of(pn_slice_of(typical), 0);
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message;
	struct pn_mime_envelope envelope;

	for (size_t size = 2; size < summary.size; size++) {
		struct pn_slice cut = exact(pn_slice_make(summary.data, size));

		ck_assert_int_eq(pn_mime_open(cut, arena, &message), PN_FAILED);
		if (pn_mime_open_envelope(cut, arena, &envelope) == PN_OK)
			check_text(envelope.to.list[0].mailbox, "other");
		free((char *)(uintptr_t)cut.data);
	}
	require(pn_buffer_append(&summary, PN_SLICE("x")) == PN_OK);
	ck_assert_int_eq(pn_mime_open(pn_buffer_slice(&summary), arena, &message), PN_FAILED);
	pn_buffer_clear(&summary);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(every_changed_byte_is_survived)
{
	struct pn_buffer summary = summary_of(pn_slice_of(typical), 0);
	struct pn_arena *arena = pn_arena_new();

	for (size_t index = 2; index < summary.size; index++) {
		for (unsigned value = 0; value < 256; value++) {
			struct pn_slice copy = exact(pn_buffer_slice(&summary));
			struct pn_mime_message message;

			((char *)(uintptr_t)copy.data)[index] = (char)value;
			if (pn_mime_open(copy, arena, &message) == PN_OK) {
				for (size_t part = 0; part < message.part_count; part++)
					require(message.parts[part].body_offset +
					                message.parts[part].body_size <=
					        message.size);
			}
			pn_arena_reset(arena);
			free((char *)(uintptr_t)copy.data);
		}
	}
	pn_buffer_clear(&summary);
	pn_arena_free(&arena);
}
END_TEST

/* Replaces the header; true where that could be done, and then the summary is the right one. */
static bool check_replacing(const char *header, const char *other, const char *body)
{
	struct pn_mime_parser *parser = pn_mime_new();
	struct pn_buffer text, replaced, expected;
	bool is_replaced;

	pn_mime_feed(parser, pn_slice_of(header));
	pn_mime_feed(parser, pn_slice_of(body));
	is_replaced = pn_mime_replace_header(parser, pn_slice_of(other));
	if (is_replaced) {
		pn_buffer_init(&text, SIZE_MAX / 2);
		pn_buffer_init(&replaced, PN_MIME_MAX_SUMMARY);
		append_times(&text, other, 1);
		append_times(&text, body, 1);
		expected = summary_of(pn_buffer_slice(&text), 0);
		ck_assert_int_eq(pn_mime_finish(parser, &replaced), PN_OK);
		ck_assert(pn_slice_equal(pn_buffer_slice(&replaced), pn_buffer_slice(&expected)));
		pn_buffer_clear(&text);
		pn_buffer_clear(&replaced);
		pn_buffer_clear(&expected);
	}
	pn_mime_free(&parser);
	return is_replaced;
}

#define TYPE "Content-Type: multipart/mixed; boundary=b\r\n"
#define PARTS                                                                                      \
	"--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ntwo\r\n--" \
	"b--\r\n"

START_TEST(a_replaced_header_is_as_if_it_had_been_there)
{
	ck_assert(check_replacing("Subject: a\r\n" TYPE "\r\n",
	                          "X: \xe4\r\n" TYPE "Subject: longer\r\nTo: a@b\r\n\r\n", PARTS));
	ck_assert(check_replacing("Subject: a\r\n\r\n", "\r\n", "body\r\n"));
	ck_assert(check_replacing("\r\n", "Content-Type: garbage\r\n\r\n", "body\r\n"));
}
END_TEST

START_TEST(a_header_that_changes_the_body_is_refused)
{
	ck_assert(!check_replacing(TYPE "\r\n", "Subject: x\r\n\r\n", PARTS));
	ck_assert(!check_replacing(TYPE "\r\n", "Content-Type: multipart/mixed; boundary=c\r\n\r\n",
	                           PARTS));
	ck_assert(!check_replacing("\r\n", "Content-Transfer-Encoding: base64\r\n\r\n", "x"));
	ck_assert(!check_replacing("Content-Type: a/b\r\n\r\n", "Content-Type: a/c\r\n\r\n", "x"));
	/* The header has no end, or ends before its end. */
	ck_assert(!check_replacing("Subject: a\r\n", "Subject: b\r\n\r\n", ""));
	ck_assert(!check_replacing("Subject: a\r\n\r\n", "Subject: b\r\n", "x"));
	ck_assert(!check_replacing("Subject: a\r\n\r\n", "Subject: b\n\nX: y\r\n\r\n", "x"));
}
END_TEST

Suite *mime_summary_suite(void)
{
	static const TTest *tests[10];
	size_t count = 0;

	tests[count++] = a_summary_is_small_and_opened_fast;
	tests[count++] = the_envelope_alone_is_that_of_the_message;
	tests[count++] = other_versions_are_not_found;
	tests[count++] = a_summary_that_was_cut_is_damaged;
	tests[count++] = every_changed_byte_is_survived;
	tests[count++] = a_replaced_header_is_as_if_it_had_been_there;
	tests[count++] = a_header_that_changes_the_body_is_refused;
	return suite_of("mime summary", tests);
}
