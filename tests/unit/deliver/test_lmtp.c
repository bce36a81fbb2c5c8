/* SPDX-License-Identifier: Apache-2.0 */
/* LMTP: an answer for each recipient behind the message. */
#include "straw.h"
#include "suites.h"

static struct pn_error error;

static void hand_over(size_t recipients)
{
	straw_begin(DELIVER_LMTP);
	ck_assert_int_eq(straw_open(&error), PN_OK);
	straw_connected();
	straw_say("220 hi\r\n");
	straw_say("250-hi\r\n250 PIPELINING\r\n");
	straw_envelope("a@example.org", recipients);
	straw_deliver();
	straw_run();
}

START_TEST(each_accepted_recipient_has_its_own_answer)
{
	hand_over(4);
	straw_say("250 m\r\n250 r\r\n550 5.1.1 no\r\n250 r\r\n250 r\r\n354 go\r\n");
	straw_say("250 one\r\n");
	ck_assert_uint_eq(straw.done, 0);
	straw_say("452 4.2.2 full\r\n");
	ck_assert_uint_eq(straw.done, 0);
	straw_say("554 5.2.1 off\r\n");
	ck_assert_uint_eq(straw.done, 1);
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DONE);
	ck_assert_str_eq(straw_recipient(0)->reply.text, "one");
	ck_assert_int_eq(straw_recipient(1)->outcome, PN_DELIVERY_REFUSED);
	ck_assert_str_eq(straw_recipient(1)->command, "RCPT");
	ck_assert_int_eq(straw_recipient(2)->outcome, PN_DELIVERY_DEFERRED);
	ck_assert_int_eq(straw_recipient(3)->outcome, PN_DELIVERY_REFUSED);
	ck_assert_str_eq(straw_recipient(3)->command, "end of data");
	ck_assert_uint_eq(straw.ready, 2);
	straw_end();
}
END_TEST

START_TEST(answers_that_are_missing_put_off_those_they_were_for)
{
	hand_over(3);
	straw_say("250 m\r\n250 r\r\n250 r\r\n250 r\r\n354 go\r\n250 one\r\n");
	straw_eof();
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DONE);
	ck_assert_int_eq(straw_recipient(1)->outcome, PN_DELIVERY_DEFERRED);
	ck_assert_int_eq(straw_recipient(2)->outcome, PN_DELIVERY_DEFERRED);
	ck_assert_int_eq(straw.end, PN_CARRIER_BROKEN);
	straw_end();
}
END_TEST

START_TEST(data_taken_for_nobody_ends_the_connection)
{
	hand_over(1);
	(void)straw_sent();
	straw_say("250 m\r\n550 no\r\n354 go\r\n");
	ck_assert_uint_eq(straw.closed, 1);
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_REFUSED);
	ck_assert_str_eq(straw_sent(), "");
	straw_end();
}
END_TEST

TCase *lmtp_case(void)
{
	TCase *tcase = tcase_create("lmtp");

	tcase_add_test(tcase, each_accepted_recipient_has_its_own_answer);
	tcase_add_test(tcase, answers_that_are_missing_put_off_those_they_were_for);
	tcase_add_test(tcase, data_taken_for_nobody_ends_the_connection);
	return tcase;
}
