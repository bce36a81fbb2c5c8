/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing is smuggled: every body of up to seven bytes over CR, LF, dot, NUL and a
 * letter, in three places, goes through a whole dialogue; what was sent is read by five
 * servers that are lenient in different ways. Either nothing was sent, or all five see
 * one message with the same content and nothing behind it.
 */
#include "straw.h"
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>

static const char alphabet[] = {'\r', '\n', '.', '\0', 'x'};

START_TEST(the_check_does_not_depend_on_how_bytes_are_cut)
{
	unsigned good = 0;

	for (unsigned length = 1; length <= 5; length++) {
		unsigned count = 1;

		for (unsigned i = 0; i < length; i++)
			count *= 5;
		for (unsigned number = 0; number < count; number++) {
			char text[5];
			struct deliver_check whole = {.is_bad = false};

			for (unsigned i = 0, rest = number; i < length; i++, rest /= 5)
				text[i] = alphabet[rest % 5];
			deliver_check_take(&whole, pn_slice_make(text, length));
			deliver_check_end(&whole);
			good += whole.is_bad ? 0 : 1;
			for (unsigned cuts = 0; cuts < 1u << (length - 1); cuts++) {
				struct deliver_check check = {.is_bad = false};
				unsigned start = 0;

				for (unsigned i = 0; i < length; i++) {
					if (i + 1 < length && (cuts & (1u << i)) == 0)
						continue;
					deliver_check_take(
						&check, pn_slice_make(text + start, i + 1 - start));
					start = i + 1;
				}
				deliver_check_end(&check);
				ck_assert_int_eq(check.is_bad, whole.is_bad);
			}
		}
	}
	ck_assert_uint_gt(good, 10);
}
END_TEST

START_TEST(eight_bit_bytes_are_seen_wherever_they_stand)
{
	char text[40];

	for (size_t size = 1; size <= sizeof(text); size++) {
		for (size_t at = 0; at < size; at++) {
			struct deliver_check check = {.is_bad = false};

			memset(text, 'x', sizeof(text));
			deliver_check_take(&check, pn_slice_make(text, size));
			ck_assert(!check.has_eight_bit);
			text[at] = (char)0x80;
			deliver_check_take(&check, pn_slice_make(text, size));
			ck_assert(check.has_eight_bit);
		}
	}
}
END_TEST

enum model { STRICT, LF_LENIENT, CR_LENIENT, NUL_DROPPING, CRCRLF_LENIENT, MODELS };

/* Size of a line end at the beginning of the bytes, for that server; 0: none. */
static size_t line_end(enum model model, struct pn_slice bytes)
{
	size_t crs = 0;

	if (bytes.size >= 2 && bytes.data[0] == '\r' && bytes.data[1] == '\n')
		return 2;
	if ((model == LF_LENIENT || model == CR_LENIENT) && bytes.data[0] == '\n')
		return 1;
	if (model == CR_LENIENT && bytes.data[0] == '\r')
		return 1;
	while (model == CRCRLF_LENIENT && crs < bytes.size && bytes.data[crs] == '\r')
		crs++;
	return crs > 0 && crs < bytes.size && bytes.data[crs] == '\n' ? crs + 1 : 0;
}

/* 488,280 texts in three places for five readers; a fifth of them where the program is made slow.
 */
#if defined(__SANITIZE_ADDRESS__)
#define LONGEST 7
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LONGEST 7
#endif
#endif
#ifndef LONGEST
#define LONGEST 8
#endif

/* Reads data as that server does; returns the bytes up to the end, or 0. */
static size_t read_data(enum model model, struct pn_slice data, char *content, size_t *content_size)
{
	size_t at = 0;

	*content_size = 0;
	while (at < data.size) {
		size_t start = at;
		size_t size = 0;
		bool has_dot = data.data[start] == '.';

		while (at < data.size && size == 0) {
			size = line_end(model, pn_slice_behind(data, at));
			at += size == 0 ? 1 : 0;
		}
		if (size == 0)
			return 0;
		if (has_dot && at == start + 1)
			return at + size;
		start += has_dot ? 1 : 0;
		memcpy(content + *content_size, data.data + start, at - start);
		*content_size += at - start;
		memcpy(content + *content_size, "\r\n", 2);
		*content_size += 2;
		at += size;
	}
	return 0;
}

static size_t drop_nul(char *room, struct pn_slice data)
{
	size_t size = 0;

	for (size_t i = 0; i < data.size; i++) {
		if (data.data[i] != '\0')
			room[size++] = data.data[i];
	}
	return size;
}

static void reads_the_same(struct pn_slice data, struct pn_slice body)
{
	static char room[64], content[128], expected[64];
	size_t expected_size = body.size;

	memcpy(expected, body.data, body.size);
	if (body.size > 0 && body.data[body.size - 1] != '\n') {
		memcpy(expected + body.size, "\r\n", 2);
		expected_size += 2;
	}
	for (int model = STRICT; model < MODELS; model++) {
		struct pn_slice seen = data;
		size_t size = 0;

		if (model == NUL_DROPPING)
			seen = pn_slice_make(room, drop_nul(room, data));
		ck_assert_uint_eq(read_data((enum model)model, seen, content, &size), seen.size);
		ck_assert_uint_eq(size, expected_size);
		ck_assert_int_eq(memcmp(content, expected, size), 0);
	}
}

/* One message on the carrier; what was sent behind 354, or nothing where it was refused. */
static struct pn_slice relay(struct pn_slice body)
{
	unsigned done = straw.done;

	straw.body = body;
	straw.body_size = body.size;
	straw_envelope("a@example.org", 1);
	straw.sent.size = 0;
	straw_deliver();
	straw_run();
	if (straw.done > done) {
		ck_assert_uint_eq(straw.sent.size, 0);
		ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_REFUSED);
		ck_assert_str_eq(straw_recipient(0)->reply.enhanced, "5.6.0");
		return PN_SLICE_NONE;
	}
	straw.sent.size = 0;
	straw.notes.size = 0;
	straw_say("250 m\r\n250 r\r\n354 d\r\n");
	return pn_buffer_slice(&straw.sent);
}

static void open_carrier(void)
{
	struct pn_error error;

	straw_begin(DELIVER_SMTP);
	ck_assert_int_eq(straw_open(&error), PN_OK);
	straw_connected();
	straw_say("220 hi\r\n");
	straw_say("250-hi\r\n250 PIPELINING\r\n");
	ck_assert_uint_eq(straw.ready, 1);
}

static void relay_in_context(const char *before, const char *text, unsigned length,
                             const char *behind, unsigned *sent)
{
	char body[64];
	size_t size = (size_t)snprintf(body, sizeof(body), "%s", before);
	struct pn_slice data;

	memcpy(body + size, text, length);
	size += length;
	size += (size_t)snprintf(body + size, sizeof(body) - size, "%s", behind);
	data = relay(pn_slice_make(body, size));
	if (data.size == 0)
		return;
	++*sent;
	reads_the_same(data, pn_slice_make(body, size));
	straw_say("250 done\r\n");
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DONE);
}

START_TEST(no_body_is_two_messages_for_anybody)
{
	unsigned sent = 0;

	open_carrier();
	for (unsigned length = 1; length <= LONGEST; length++) {
		unsigned count = 1;

		for (unsigned i = 0; i < length; i++)
			count *= 5;
		for (unsigned number = 0; number < count; number++) {
			char text[8];

			for (unsigned i = 0, rest = number; i < length; i++, rest /= 5)
				text[i] = alphabet[rest % 5];
			relay_in_context("", text, length, "y\r\n", &sent);
			relay_in_context("y\r\nz", text, length, "y\r\n", &sent);
			relay_in_context("y\r\n", text, length, "", &sent);
		}
	}
	ck_assert_uint_gt(sent, 1000);
	straw_end();
}
END_TEST

/* Larger than what is checked before: the strings stand across the end of a piece. */
START_TEST(a_large_body_with_a_bad_line_end_never_gets_its_dot)
{
	size_t size = DELIVER_CHECK_MAX + 1000;
	char *body = malloc(size);

	for (unsigned number = 0; number < 5 * 5 * 5; number++) {
		struct deliver_check check = {.is_bad = false};
		struct pn_slice data;
		size_t at = DELIVER_READ_SIZE - 2;

		memset(body, 'y', size);
		for (size_t i = 70; i + 1 < size; i += 72)
			memcpy(body + i, "\r\n", 2);
		memcpy(body + size - 2, "\r\n", 2);
		memset(body + at - 4, 'y', 12);
		for (unsigned i = 0, rest = number; i < 3; i++, rest /= 5)
			body[at + i] = alphabet[rest % 5];
		deliver_check_take(&check, pn_slice_make(body, size));
		deliver_check_end(&check);
		open_carrier();
		data = relay(pn_slice_make(body, size));
		if (check.is_bad) {
			ck_assert(data.size < 5 ||
			          memcmp(data.data + data.size - 5, "\r\n.\r\n", 5) != 0);
			ck_assert_uint_eq(straw.closed, 1);
			ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_REFUSED);
		} else {
			ck_assert_int_eq(memcmp(data.data + data.size - 5, "\r\n.\r\n", 5), 0);
			straw_say("250 done\r\n");
			ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DONE);
		}
		straw_end();
	}
	free(body);
}
END_TEST

START_TEST(a_large_body_that_ends_with_half_a_line_end_never_gets_its_dot)
{
	size_t size = DELIVER_CHECK_MAX + 1;
	char *body = malloc(size);
	struct pn_slice data;

	memset(body, 'y', size);
	body[size - 1] = '\r';
	open_carrier();
	data = relay(pn_slice_make(body, size));
	ck_assert(data.size < 3 || memcmp(data.data + data.size - 3, ".\r\n", 3) != 0);
	ck_assert_uint_eq(straw.closed, 1);
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_REFUSED);
	straw_end();
	free(body);
}
END_TEST

TCase *check_case(void)
{
	TCase *tcase = tcase_create("check");

	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, the_check_does_not_depend_on_how_bytes_are_cut);
	tcase_add_test(tcase, eight_bit_bytes_are_seen_wherever_they_stand);
	tcase_add_test(tcase, no_body_is_two_messages_for_anybody);
	tcase_add_test(tcase, a_large_body_with_a_bad_line_end_never_gets_its_dot);
	tcase_add_test(tcase, a_large_body_that_ends_with_half_a_line_end_never_gets_its_dot);
	return tcase;
}
