/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a carrier: several messages, closing, and losing it at each step. */
#include "straw.h"
#include "suites.h"

static struct pn_error error;

static struct pn_carrier *carrier(void)
{
	return (struct pn_carrier *)&straw;
}

static void make_ready(enum deliver_kind kind)
{
	straw_begin(kind);
	ck_assert_int_eq(straw_open(&error), PN_OK);
	straw_connected();
	straw_say("220 hi\r\n");
	straw_say("250-hi\r\n250 PIPELINING\r\n");
	ck_assert_uint_eq(straw.ready, 1);
	(void)straw_sent();
}

static void hand_over(void)
{
	straw_deliver();
	straw_run();
}

static void relay_one(void)
{
	hand_over();
	straw_say("250 m\r\n250 r\r\n354 go\r\n250 ok\r\n");
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DONE);
	(void)straw_sent();
}

START_TEST(messages_that_are_handed_over_while_it_says_ready_follow_at_once)
{
	make_ready(DELIVER_SMTP);
	straw.messages_waiting = 3;
	hand_over();
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_eq(straw.done, i);
		straw_say("250 m\r\n250 r\r\n354 go\r\n250 ok\r\n");
	}
	ck_assert_uint_eq(straw.done, 4);
	ck_assert_uint_eq(straw.ready, 5);
	straw_end();
}
END_TEST

START_TEST(a_ready_carrier_that_is_closed_says_quit)
{
	make_ready(DELIVER_SMTP);
	straw.transport->close(carrier(), false);
	ck_assert_uint_eq(straw.closed, 0);
	straw_run();
	ck_assert_str_eq(straw_sent(), "QUIT\r\n");
	ck_assert_uint_eq(straw.deadline_ms, 10 * 1000);
	straw_say("221 bye\r\n");
	ck_assert_uint_eq(straw.closed, 1);
	ck_assert_int_eq(straw.end, PN_CARRIER_FINISHED);
	straw_end();
	/* Nor does it matter how the server takes it. */
	make_ready(DELIVER_SMTP);
	straw.transport->close(carrier(), false);
	straw_run();
	straw_late();
	ck_assert_int_eq(straw.end, PN_CARRIER_FINISHED);
	straw_end();
	make_ready(DELIVER_SMTP);
	straw.transport->close(carrier(), false);
	straw_run();
	straw_eof();
	ck_assert_int_eq(straw.end, PN_CARRIER_FINISHED);
	straw_end();
}
END_TEST

START_TEST(a_busy_carrier_that_is_closed_ends_its_message_first)
{
	make_ready(DELIVER_SMTP);
	hand_over();
	straw.transport->close(carrier(), false);
	(void)straw_sent();
	straw_say("250 m\r\n250 r\r\n354 go\r\n");
	(void)straw_sent();
	straw_say("250 ok\r\n");
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DONE);
	ck_assert_uint_eq(straw.ready, 1);
	ck_assert_str_eq(straw_sent(), "QUIT\r\n");
	straw_end();
}
END_TEST

START_TEST(closing_now_ends_at_every_step)
{
	static const char *const answers[] = {"", "250 m\r\n", "250 m\r\n250 r\r\n",
	                                      "250 m\r\n250 r\r\n354 go\r\n"};

	for (size_t i = 0; i < 4; i++) {
		make_ready(DELIVER_SMTP);
		hand_over();
		straw_say(answers[i]);
		straw.transport->close(carrier(), true);
		ck_assert_uint_eq(straw.closed, 0);
		straw_run();
		ck_assert_uint_eq(straw.done, 1);
		ck_assert_uint_eq(straw.closed, 1);
		ck_assert_int_eq(straw.end, PN_CARRIER_FINISHED);
		ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DEFERRED);
		ck_assert(straw.session_closed);
		straw_end();
	}
}
END_TEST

START_TEST(closing_now_ends_a_connection_that_does_not_stand_yet)
{
	straw_begin(DELIVER_SMTP);
	ck_assert_int_eq(straw_open(&error), PN_OK);
	straw.transport->close(carrier(), true);
	straw.transport->close(carrier(), true);
	straw_run();
	ck_assert_uint_eq(straw.closed, 1);
	straw_connected();
	ck_assert(straw.session_closed);
	ck_assert_str_eq(straw_sent(), "");
	straw_end();
}
END_TEST

START_TEST(closing_now_while_the_body_is_read_forgets_its_answer)
{
	make_ready(DELIVER_SMTP);
	straw.keeps_answers = true;
	hand_over();
	ck_assert_uint_eq(straw.reads, 1);
	straw.transport->close(carrier(), true);
	straw_run();
	ck_assert_uint_eq(straw.closed, 1);
	straw_answer_body();
	straw_end();
}
END_TEST

START_TEST(a_message_that_came_with_its_end_is_untried)
{
	make_ready(DELIVER_SMTP);
	straw_deliver();
	straw.transport->close(carrier(), true);
	straw_eof();
	ck_assert_uint_eq(straw.done, 1);
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_UNTRIED);
	straw_end();
}
END_TEST

START_TEST(an_idle_carrier_that_the_server_closes_has_finished)
{
	make_ready(DELIVER_SMTP);
	relay_one();
	straw_eof();
	ck_assert_int_eq(straw.end, PN_CARRIER_FINISHED);
	straw_end();
	make_ready(DELIVER_SMTP);
	relay_one();
	straw_say("421 4.4.2 idle for too long\r\n");
	ck_assert_int_eq(straw.end, PN_CARRIER_FINISHED);
	ck_assert_uint_eq(straw.end_reply.code, 421);
	straw_end();
}
END_TEST

START_TEST(a_server_that_speaks_out_of_turn_is_left)
{
	make_ready(DELIVER_SMTP);
	relay_one();
	straw_say("250 and another thing\r\n");
	ck_assert_int_eq(straw.end, PN_CARRIER_BROKEN);
	straw_end();
	/* Before the next message is said: it is not touched. */
	make_ready(DELIVER_SMTP);
	straw.messages_waiting = 1;
	hand_over();
	straw.keeps_answers = true;
	straw_say("250 m\r\n250 r\r\n354 go\r\n250 ok\r\n250 more\r\n");
	ck_assert_uint_eq(straw.done, 2);
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_UNTRIED);
	ck_assert_uint_eq(straw.closed, 1);
	straw_end();
}
END_TEST

START_TEST(a_connection_lost_before_the_first_answer_was_not_tried)
{
	make_ready(DELIVER_SMTP);
	relay_one();
	hand_over();
	straw_eof();
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_UNTRIED);
	ck_assert_int_eq(straw.end, PN_CARRIER_FINISHED);
	straw_end();
	make_ready(DELIVER_SMTP);
	relay_one();
	hand_over();
	straw_reset();
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_UNTRIED);
	straw_end();
	/* The first message of a connection has been tried: else it would be for ever. */
	make_ready(DELIVER_SMTP);
	hand_over();
	straw_eof();
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DEFERRED);
	ck_assert_int_eq(straw.end, PN_CARRIER_BROKEN);
	straw_end();
}
END_TEST

START_TEST(a_lost_connection_puts_off_what_was_not_answered)
{
	static const char *const answers[] = {"",
	                                      "250 m\r\n",
	                                      "250 m\r\n550 no\r\n",
	                                      "250 m\r\n550 no\r\n250 r\r\n",
	                                      "250 m\r\n550 no\r\n250 r\r\n354 go\r\n",
	                                      "250 m\r\n550 no\r\n250 r\r\n354 go\r\n250-",
	                                      "250 m\r\n550 no\r\n250 r\r\n354 go\r\n250-ok\r\n",
	                                      "250 m\r\n550 no\r\n250 r\r\n354 go\r\n250 ok\r"};
	static void (*const losses[])(void) = {straw_eof, straw_reset, straw_late};

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		for (size_t j = 0; j < 3; j++) {
			make_ready(DELIVER_SMTP);
			straw_envelope("a@example.org", 2);
			hand_over();
			straw_say(answers[i]);
			losses[j]();
			ck_assert_uint_eq(straw.done, 1);
			ck_assert_uint_eq(straw.closed, 1);
			ck_assert_int_eq(straw.end, PN_CARRIER_BROKEN);
			ck_assert_int_eq(straw_recipient(0)->outcome,
			                 i >= 2 ? PN_DELIVERY_REFUSED : PN_DELIVERY_DEFERRED);
			ck_assert_int_eq(straw_recipient(1)->outcome, PN_DELIVERY_DEFERRED);
			ck_assert_uint_eq(straw_recipient(1)->reply.code, 0);
			ck_assert_str_ne(straw_recipient(1)->reply.text, "");
			if (i >= 4)
				ck_assert_str_eq(straw_recipient(1)->command, "end of data");
			straw_end();
		}
	}
}
END_TEST

START_TEST(a_gateway_that_stops_is_no_reason_to_stop_here)
{
	make_ready(DELIVER_SMTP);
	hand_over();
	straw_stop();
	straw_say("250 m\r\n250 r\r\n354 go\r\n");
	straw_stop();
	straw_say("250 ok\r\n");
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DONE);
	straw_end();
}
END_TEST

START_TEST(each_wait_has_its_deadline)
{
	make_ready(DELIVER_SMTP);
	straw.config.mail_timeout = 1;
	straw.config.rcpt_timeout = 2;
	straw.config.data_start_timeout = 3;
	straw.config.data_end_timeout = 4;
	hand_over();
	ck_assert_uint_eq(straw.deadline_ms, 1);
	straw_say("250 m\r\n");
	ck_assert_uint_eq(straw.deadline_ms, 2);
	straw_say("250 r\r\n");
	ck_assert_uint_eq(straw.deadline_ms, 3);
	straw_say("354 go\r\n");
	ck_assert_uint_eq(straw.deadline_ms, 4);
	straw_end();
}
END_TEST

TCase *carrier_case(void)
{
	TCase *tcase = tcase_create("carrier");

	tcase_add_test(tcase, messages_that_are_handed_over_while_it_says_ready_follow_at_once);
	tcase_add_test(tcase, a_ready_carrier_that_is_closed_says_quit);
	tcase_add_test(tcase, a_busy_carrier_that_is_closed_ends_its_message_first);
	tcase_add_test(tcase, closing_now_ends_at_every_step);
	tcase_add_test(tcase, closing_now_ends_a_connection_that_does_not_stand_yet);
	tcase_add_test(tcase, closing_now_while_the_body_is_read_forgets_its_answer);
	tcase_add_test(tcase, a_message_that_came_with_its_end_is_untried);
	tcase_add_test(tcase, an_idle_carrier_that_the_server_closes_has_finished);
	tcase_add_test(tcase, a_server_that_speaks_out_of_turn_is_left);
	tcase_add_test(tcase, a_connection_lost_before_the_first_answer_was_not_tried);
	tcase_add_test(tcase, a_lost_connection_puts_off_what_was_not_answered);
	tcase_add_test(tcase, a_gateway_that_stops_is_no_reason_to_stop_here);
	tcase_add_test(tcase, each_wait_has_its_deadline);
	return tcase;
}
