/* SPDX-License-Identifier: Apache-2.0 */
/* The body: small and large, 8-bit, and when it cannot be read. */
#include "straw.h"
#include "suites.h"

#include <stdlib.h>

static struct pn_error error;

static void ready_with(const char *offer)
{
	straw_begin(DELIVER_SMTP);
	ck_assert_int_eq(straw_open(&error), PN_OK);
	straw_connected();
	straw_say("220 hi\r\n");
	straw_say(offer);
	ck_assert_uint_eq(straw.ready, 1);
	(void)straw_sent();
}

static void hand_over(struct pn_slice body)
{
	straw.body = body;
	straw.body_size = body.size;
	straw_deliver();
	straw_run();
}

/* Lines of letters, some of which begin with a dot. */
static char *make_body(size_t size)
{
	char *body = malloc(size);

	for (size_t i = 0; i < size; i++)
		body[i] = i % 72 == 0 && i % 144 == 0 ? '.' : 'y';
	for (size_t i = 70; i + 1 < size; i += 72)
		memcpy(body + i, "\r\n", 2);
	memcpy(body + size - 2, "\r\n", 2);
	return body;
}

/* What was sent, without the dots that were put in and the end, is the body. */
static void ck_is_body(const char *body, size_t size)
{
	const char *sent = straw.sent.data;
	size_t sent_size = straw.sent.size;
	size_t at = 0;
	bool is_same = true;

	ck_assert_uint_gt(sent_size, 3);
	ck_assert_int_eq(memcmp(sent + sent_size - 3, ".\r\n", 3), 0);
	sent_size -= 3;
	for (size_t i = 0; i < size && is_same; i++) {
		bool is_start = i == 0 || body[i - 1] == '\n';

		if (is_start && body[i] == '.')
			is_same = at < sent_size && sent[at++] == '.';
		is_same = is_same && at < sent_size && sent[at++] == body[i];
	}
	ck_assert(is_same);
	ck_assert_uint_eq(at, sent_size);
}

START_TEST(bodies_of_all_sizes_arrive_whole)
{
	static const size_t sizes[] = {3,
	                               4096,
	                               DELIVER_KEEP_MAX - 1,
	                               DELIVER_KEEP_MAX,
	                               DELIVER_KEEP_MAX + 1,
	                               DELIVER_CHECK_MAX,
	                               DELIVER_CHECK_MAX + 1,
	                               5 * 1024 * 1024 + 7};
	static const size_t pieces[] = {0, 1000, 100001};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *body = make_body(sizes[i]);

		for (size_t j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++) {
			ready_with("250-hi\r\n250 PIPELINING\r\n");
			straw.piece_size = pieces[j];
			hand_over(pn_slice_make(body, sizes[i]));
			straw.sent.size = 0;
			straw_say("250 m\r\n250 r\r\n354 go\r\n");
			ck_is_body(body, sizes[i]);
			if (sizes[i] <= DELIVER_KEEP_MAX && pieces[j] == 0)
				ck_assert_uint_eq(straw.reads, 1);
			straw_say("250 ok\r\n");
			ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DONE);
			straw_end();
		}
		free(body);
	}
}
END_TEST

START_TEST(an_empty_body_and_one_without_a_last_line_end_are_ended)
{
	ready_with("250-hi\r\n250 PIPELINING\r\n");
	hand_over(PN_SLICE(""));
	(void)straw_sent();
	straw_say("250 m\r\n250 r\r\n354 go\r\n");
	ck_assert_str_eq(straw_sent(), ".\r\n");
	straw_say("250 ok\r\n");
	hand_over(PN_SLICE("a: b\r\n\r\n.no end"));
	(void)straw_sent();
	straw_say("250 m\r\n250 r\r\n354 go\r\n");
	ck_assert_str_eq(straw_sent(), "a: b\r\n\r\n..no end\r\n.\r\n");
	straw_end();
}
END_TEST

START_TEST(memory_stays_flat_when_the_server_is_slow)
{
	size_t size = 8 * 1024 * 1024;
	char *body = make_body(size);

	ready_with("250-hi\r\n250 PIPELINING\r\n");
	hand_over(pn_slice_make(body, size));
	straw.sent.size = 0;
	straw.is_stalled = true;
	straw_say("250 m\r\n250 r\r\n354 go\r\n");
	ck_assert_int_eq(straw.next, PN_NEXT_DRAIN);
	ck_assert_uint_lt(straw.output.size, 800 * 1024);
	ck_assert_uint_eq(straw.deadline_ms, 180 * 1000);
	straw.is_stalled = false;
	straw_run();
	ck_is_body(body, size);
	straw_end();
	/* It never takes the rest. */
	ready_with("250-hi\r\n250 PIPELINING\r\n");
	hand_over(pn_slice_make(body, size));
	straw.is_stalled = true;
	straw_say("250 m\r\n250 r\r\n354 go\r\n");
	straw_late();
	ck_assert_int_eq(straw.end, PN_CARRIER_BROKEN);
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DEFERRED);
	straw_end();
	free(body);
}
END_TEST

START_TEST(eight_bit_is_declared_where_it_is_offered)
{
	ready_with("250-hi\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
	hand_over(PN_SLICE("a: b\r\n\r\n\xc3\xa4\r\n"));
	ck_assert_ptr_nonnull(strstr(straw_sent(), "MAIL FROM:<alice@example.org> BODY=8BITMIME"));
	straw_end();
	ready_with("250-hi\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
	straw_parameter("BODY", "8BITMIME");
	hand_over(PN_SLICE("a: b\r\n\r\nplain\r\n"));
	ck_assert_ptr_null(strstr(straw_sent(), "BODY"));
	straw_end();
}
END_TEST

START_TEST(a_large_body_is_declared_as_what_it_may_be)
{
	size_t size = DELIVER_CHECK_MAX + 1;
	char *body = make_body(size);

	ready_with("250-hi\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
	hand_over(pn_slice_make(body, size));
	ck_assert_ptr_nonnull(strstr(straw_sent(), "BODY=8BITMIME"));
	straw_end();
	ready_with("250-hi\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
	straw_parameter("BODY", "7bit");
	hand_over(pn_slice_make(body, size));
	ck_assert_ptr_null(strstr(straw_sent(), "BODY"));
	straw_end();
	free(body);
}
END_TEST

START_TEST(without_8bitmime_the_option_decides)
{
	static const struct pn_slice eight = {"a: b\r\n\r\n\xc3\xa4\r\n", 12};
	size_t size = DELIVER_CHECK_MAX + 1;
	char *body = make_body(size);

	ready_with("250-hi\r\n250 PIPELINING\r\n");
	hand_over(eight);
	ck_assert_int_eq(strncmp(straw_sent(), "MAIL FROM:<alice@example.org>\r\n", 31), 0);
	straw_end();
	ready_with("250-hi\r\n250 PIPELINING\r\n");
	straw.config.eight_bit = DELIVER_EIGHT_BIT_REFUSE;
	hand_over(eight);
	ck_assert_str_eq(straw_sent(), "");
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_REFUSED);
	ck_assert_str_eq(straw_recipient(0)->reply.enhanced, "5.6.3");
	/* A large one is looked through before anything is said. */
	straw_envelope("a@example.org", 1);
	body[size - 5] = (char)0xe4;
	hand_over(pn_slice_make(body, size));
	ck_assert_str_eq(straw_sent(), "");
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_REFUSED);
	body[size - 5] = 'y';
	hand_over(pn_slice_make(body, size));
	ck_assert_int_eq(strncmp(straw_sent(), "MAIL", 4), 0);
	straw_end();
	free(body);
}
END_TEST

START_TEST(a_body_that_cannot_be_read_is_put_off)
{
	size_t size = DELIVER_CHECK_MAX + 1;
	char *body = make_body(size);

	ready_with("250-hi\r\n250 PIPELINING\r\n");
	straw.body_fails = true;
	hand_over(PN_SLICE("x\r\n"));
	ck_assert_str_eq(straw_sent(), "");
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DEFERRED);
	ck_assert_uint_eq(straw.ready, 2);
	straw_end();
	/* In the middle: the connection ends without the dot. */
	ready_with("250-hi\r\n250 PIPELINING\r\n");
	hand_over(pn_slice_make(body, size));
	straw.body_fails = true;
	straw.sent.size = 0;
	straw_say("250 m\r\n250 r\r\n354 go\r\n");
	ck_assert_uint_eq(straw.sent.size, 0);
	ck_assert_uint_eq(straw.closed, 1);
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DEFERRED);
	straw_end();
	free(body);
}
END_TEST

START_TEST(a_body_shorter_than_it_said_is_not_ended)
{
	size_t size = DELIVER_CHECK_MAX + 1;
	char *body = make_body(size);

	ready_with("250-hi\r\n250 PIPELINING\r\n");
	straw.body = PN_SLICE("x\r\n");
	straw.body_size = 100;
	straw_deliver();
	straw_run();
	ck_assert_str_eq(straw_sent(), "");
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DEFERRED);
	straw_envelope("a@example.org", 1);
	straw.body = pn_slice_make(body, size - 100);
	straw.body_size = size;
	straw_deliver();
	straw_run();
	straw.sent.size = 0;
	straw_say("250 m\r\n250 r\r\n354 go\r\n");
	ck_assert_uint_eq(straw.closed, 1);
	ck_assert_int_ne(memcmp(straw.sent.data + straw.sent.size - 3, ".\r\n", 3), 0);
	straw_end();
	free(body);
}
END_TEST

TCase *body_case(void)
{
	TCase *tcase = tcase_create("body");

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, bodies_of_all_sizes_arrive_whole);
	tcase_add_test(tcase, an_empty_body_and_one_without_a_last_line_end_are_ended);
	tcase_add_test(tcase, memory_stays_flat_when_the_server_is_slow);
	tcase_add_test(tcase, eight_bit_is_declared_where_it_is_offered);
	tcase_add_test(tcase, a_large_body_is_declared_as_what_it_may_be);
	tcase_add_test(tcase, without_8bitmime_the_option_decides);
	tcase_add_test(tcase, a_body_that_cannot_be_read_is_put_off);
	tcase_add_test(tcase, a_body_shorter_than_it_said_is_not_ended);
	return tcase;
}
