/* SPDX-License-Identifier: Apache-2.0 */
/* MAIL, RCPT and DATA: what is said, and what each answer makes of whom. */
#include "straw.h"
#include "suites.h"

#include <stdio.h>

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

static void hand_over(void)
{
	straw_deliver();
	straw_run();
}

static void ck_outcome(size_t index, enum pn_delivery_outcome outcome, unsigned code,
                       const char *command)
{
	const struct pn_delivery_recipient *recipient = straw_recipient(index);

	ck_assert_msg(recipient->outcome == outcome, "recipient %zu: outcome %d, %s", index,
	              (int)recipient->outcome, recipient->reply.text);
	ck_assert_uint_eq(recipient->reply.code, code);
	if (command != NULL)
		ck_assert_str_eq(recipient->command, command);
}

START_TEST(with_pipelining_the_envelope_is_one_flight)
{
	ready_with("250-hi\r\n250-PIPELINING\r\n250-SIZE\r\n250 8BITMIME\r\n");
	straw_envelope("alice@example.org", 2);
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<alice@example.org> SIZE=18\r\n"
	                               "RCPT TO:<r0@example.net>\r\n"
	                               "RCPT TO:<r1@example.net>\r\nDATA\r\n");
	straw_say("250 m\r\n250 r\r\n250 r\r\n354 go\r\n");
	ck_assert_str_eq(straw_sent(), "Subject: x\r\n\r\nhi\r\n.\r\n");
	ck_assert_uint_eq(straw.done, 0);
	ck_assert_uint_eq(straw.deadline_ms, 600 * 1000);
	straw_say("250 2.0.0 queued\r\n");
	ck_assert_uint_eq(straw.done, 1);
	ck_assert_uint_eq(straw.ready, 2);
	ck_outcome(0, PN_DELIVERY_DONE, 250, "end of data");
	ck_outcome(1, PN_DELIVERY_DONE, 250, "end of data");
	ck_assert_str_eq(straw_recipient(1)->reply.enhanced, "2.0.0");
	straw_end();
}
END_TEST

START_TEST(without_pipelining_each_command_waits_for_its_answer)
{
	ready_with("250 hi\r\n");
	straw_envelope("", 2);
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<>\r\n");
	straw_say("250 m\r\n");
	ck_assert_str_eq(straw_sent(), "RCPT TO:<r0@example.net>\r\n");
	straw_say("250 r\r\n");
	ck_assert_str_eq(straw_sent(), "RCPT TO:<r1@example.net>\r\n");
	straw_say("550 5.1.1 no\r\n");
	ck_assert_str_eq(straw_sent(), "DATA\r\n");
	straw_say("354 go\r\n");
	ck_assert_str_eq(straw_sent(), "Subject: x\r\n\r\nhi\r\n.\r\n");
	straw_say("250 ok\r\n");
	ck_outcome(0, PN_DELIVERY_DONE, 250, "end of data");
	ck_outcome(1, PN_DELIVERY_REFUSED, 550, "RCPT");
	straw_end();
}
END_TEST

START_TEST(a_partial_refusal_goes_on_with_the_others)
{
	ready_with("250-hi\r\n250 PIPELINING\r\n");
	straw_envelope("a@example.org", 4);
	hand_over();
	straw_say("250 m\r\n450 4.2.1 busy\r\n250 r\r\n550 5.1.1 no\r\n251 r\r\n354 go\r\n");
	straw_say("550 5.7.1 spam\r\n");
	ck_outcome(0, PN_DELIVERY_DEFERRED, 450, "RCPT");
	ck_outcome(1, PN_DELIVERY_REFUSED, 550, "end of data");
	ck_outcome(2, PN_DELIVERY_REFUSED, 550, "RCPT");
	ck_outcome(3, PN_DELIVERY_REFUSED, 550, "end of data");
	ck_assert_str_eq(straw_recipient(2)->reply.enhanced, "5.1.1");
	ck_assert_str_eq(straw_recipient(3)->reply.enhanced, "5.7.1");
	straw_end();
}
END_TEST

START_TEST(data_that_is_taken_for_nobody_is_answered_with_a_lone_dot)
{
	ready_with("250-hi\r\n250 PIPELINING\r\n");
	straw_envelope("a@example.org", 2);
	hand_over();
	(void)straw_sent();
	straw_say("250 m\r\n550 no\r\n450 later\r\n354 go\r\n");
	ck_assert_str_eq(straw_sent(), ".\r\n");
	ck_assert_uint_eq(straw.done, 0);
	straw_say("250 fine, nothing\r\n");
	ck_assert_uint_eq(straw.done, 1);
	ck_outcome(0, PN_DELIVERY_REFUSED, 550, "RCPT");
	ck_outcome(1, PN_DELIVERY_DEFERRED, 450, "RCPT");
	ck_assert_uint_eq(straw.ready, 2);
	/* The next message begins without RSET. */
	hand_over();
	ck_assert_int_eq(strncmp(straw_sent(), "MAIL", 4), 0);
	straw_end();
}
END_TEST

START_TEST(a_refused_transaction_is_reset_with_the_next)
{
	ready_with("250-hi\r\n250 PIPELINING\r\n");
	hand_over();
	straw_say("250 m\r\n550 no\r\n503 no recipients\r\n");
	ck_outcome(0, PN_DELIVERY_REFUSED, 550, "RCPT");
	(void)straw_sent();
	hand_over();
	ck_assert_str_eq(straw_sent(), "RSET\r\nMAIL FROM:<alice@example.org>\r\n"
	                               "RCPT TO:<r0@example.net>\r\nDATA\r\n");
	straw_say("250 reset\r\n250 m\r\n250 r\r\n354 go\r\n250 ok\r\n");
	ck_outcome(0, PN_DELIVERY_DONE, 250, "end of data");
	(void)straw_sent();
	hand_over();
	ck_assert_int_eq(strncmp(straw_sent(), "MAIL", 4), 0);
	straw_end();
}
END_TEST

START_TEST(a_refused_sender_is_everybodys_answer)
{
	ready_with("250-hi\r\n250 PIPELINING\r\n");
	straw_envelope("a@example.org", 2);
	hand_over();
	straw_say("451 4.7.1 greylisted\r\n503 a\r\n250 b\r\n503 c\r\n");
	ck_assert_uint_eq(straw.done, 1);
	ck_outcome(0, PN_DELIVERY_DEFERRED, 451, "MAIL");
	ck_outcome(1, PN_DELIVERY_DEFERRED, 451, "MAIL");
	(void)straw_sent();
	hand_over();
	ck_assert_int_eq(strncmp(straw_sent(), "MAIL", 4), 0);
	straw_end();
	ready_with("250 hi\r\n");
	hand_over();
	(void)straw_sent();
	straw_say("550 5.1.8 no\r\n");
	ck_outcome(0, PN_DELIVERY_REFUSED, 550, "MAIL");
	ck_assert_str_eq(straw_sent(), "");
	straw_end();
}
END_TEST

START_TEST(refused_data_is_the_answer_of_those_that_were_accepted)
{
	ready_with("250-hi\r\n250 PIPELINING\r\n");
	straw_envelope("a@example.org", 2);
	hand_over();
	straw_say("250 m\r\n550 no\r\n250 r\r\n451 4.3.0 disk\r\n");
	ck_outcome(0, PN_DELIVERY_REFUSED, 550, "RCPT");
	ck_outcome(1, PN_DELIVERY_DEFERRED, 451, "DATA");
	straw_end();
}
END_TEST

START_TEST(step_by_step_nobody_is_asked_for_data_without_recipients)
{
	ready_with("250 hi\r\n");
	hand_over();
	straw_say("250 m\r\n");
	(void)straw_sent();
	straw_say("550 no\r\n");
	ck_assert_str_eq(straw_sent(), "");
	ck_outcome(0, PN_DELIVERY_REFUSED, 550, "RCPT");
	hand_over();
	ck_assert_str_eq(straw_sent(), "RSET\r\n");
	straw_say("250 ok\r\n");
	ck_assert_int_eq(strncmp(straw_sent(), "MAIL", 4), 0);
	straw_end();
}
END_TEST

START_TEST(too_many_recipients_are_left_for_another_transaction)
{
	ready_with("250-hi\r\n250 PIPELINING\r\n");
	straw_envelope("a@example.org", 4);
	hand_over();
	straw_say("250 m\r\n250 r\r\n452 4.5.3 enough\r\n552 5.5.3 enough\r\n452 enough\r\n354 "
	          "go\r\n");
	straw_say("250 ok\r\n");
	ck_outcome(0, PN_DELIVERY_DONE, 250, NULL);
	for (size_t i = 1; i < 4; i++)
		ck_assert_int_eq(straw_recipient(i)->outcome, PN_DELIVERY_UNTRIED);
	straw_end();
}
END_TEST

START_TEST(too_many_recipients_are_put_off_where_the_others_got_nowhere)
{
	ready_with("250-hi\r\n250 PIPELINING\r\n");
	straw_envelope("a@example.org", 3);
	hand_over();
	straw_say("250 m\r\n250 r\r\n452 4.5.3 enough\r\n552 5.5.3 enough\r\n354 go\r\n");
	straw_say("451 later\r\n");
	ck_outcome(1, PN_DELIVERY_DEFERRED, 452, "RCPT");
	ck_outcome(2, PN_DELIVERY_DEFERRED, 552, "RCPT");
	straw_end();
	ready_with("250-hi\r\n250 PIPELINING\r\n");
	straw_envelope("a@example.org", 2);
	hand_over();
	/* A full disk, and nobody accepted before. */
	straw_say("250 m\r\n452 4.3.1 disk full\r\n452 4.5.3 enough\r\n503 no\r\n");
	ck_outcome(0, PN_DELIVERY_DEFERRED, 452, "RCPT");
	ck_outcome(1, PN_DELIVERY_DEFERRED, 452, "RCPT");
	straw_end();
}
END_TEST

START_TEST(the_first_of_a_transaction_is_not_too_many)
{
	ready_with("250-hi\r\n250 PIPELINING\r\n");
	straw_envelope("a@example.org", 2);
	hand_over();
	straw_say("250 m\r\n452 4.5.3 enough\r\n250 r\r\n354 go\r\n250 ok\r\n");
	ck_outcome(0, PN_DELIVERY_DEFERRED, 452, "RCPT");
	ck_outcome(1, PN_DELIVERY_DONE, 250, NULL);
	straw_end();
}
END_TEST

START_TEST(recipients_past_the_limit_stay_untried)
{
	ready_with("250-hi\r\n250 PIPELINING\r\n");
	straw.config.max_recipients = 2;
	straw_envelope("a@example.org", 3);
	hand_over();
	ck_assert_ptr_null(strstr(straw_sent(), "r2@"));
	straw_say("250 m\r\n250 r\r\n250 r\r\n354 go\r\n250 ok\r\n");
	ck_outcome(1, PN_DELIVERY_DONE, 250, NULL);
	ck_assert_int_eq(straw_recipient(2)->outcome, PN_DELIVERY_UNTRIED);
	straw_end();
}
END_TEST

START_TEST(a_message_that_is_too_large_is_not_tried)
{
	ready_with("250-hi\r\n250-PIPELINING\r\n250 SIZE 17\r\n");
	hand_over();
	ck_assert_str_eq(straw_sent(), "");
	ck_outcome(0, PN_DELIVERY_REFUSED, 0, "MAIL");
	ck_assert_str_eq(straw_recipient(0)->reply.enhanced, "5.3.4");
	ck_assert_uint_eq(straw.ready, 2);
	straw_end();
	ready_with("250-hi\r\n250-PIPELINING\r\n250 SIZE 18\r\n");
	hand_over();
	ck_assert_ptr_nonnull(strstr(straw_sent(), "SIZE=18"));
	straw_end();
}
END_TEST

START_TEST(utf8_addresses_go_only_to_whom_takes_them)
{
	ready_with("250-hi\r\n250 PIPELINING\r\n");
	straw_envelope("a@example.org", 2);
	straw_recipient(1)->address.text = pn_slice_of("j\xc3\xbcrgen@example.net");
	straw_recipient(1)->address.is_utf8 = true;
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org>\r\n"
	                               "RCPT TO:<r0@example.net>\r\nDATA\r\n");
	straw_say("250 m\r\n250 r\r\n354 go\r\n250 ok\r\n");
	ck_outcome(0, PN_DELIVERY_DONE, 250, NULL);
	ck_outcome(1, PN_DELIVERY_REFUSED, 0, "RCPT");
	ck_assert_str_eq(straw_recipient(1)->reply.enhanced, "5.6.7");
	/* The message itself needs it: nobody gets it. */
	straw_envelope("a@example.org", 1);
	straw_parameter("SMTPUTF8", "");
	(void)straw_sent();
	hand_over();
	ck_assert_str_eq(straw_sent(), "");
	ck_outcome(0, PN_DELIVERY_REFUSED, 0, "MAIL");
	straw_end();
	ready_with("250-hi\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n");
	straw_envelope("\xc3\xbc@example.org", 1);
	hand_over();
	ck_assert_int_eq(
		strncmp(straw_sent(), "MAIL FROM:<\xc3\xbc@example.org> SMTPUTF8\r\nRCPT", 35), 0);
	straw_end();
}
END_TEST

START_TEST(parameters_go_where_they_are_understood)
{
	static const struct pn_parameter of_recipient[] = {
		{{"notify", 6}, {"FAILURE,DELAY", 13}},
		{{"ORCPT", 5}, {"rfc822;x@example.net", 20}}};

	for (int has_dsn = 0; has_dsn < 2; has_dsn++) {
		ready_with(has_dsn ? "250-hi\r\n250-PIPELINING\r\n250-MT-PRIORITY\r\n250 DSN\r\n"
		                   : "250-hi\r\n250 PIPELINING\r\n");
		straw_parameter("RET", "HDRS");
		straw_parameter("ENVID", "q1");
		straw_parameter("MT-PRIORITY", "3");
		straw_parameter("AUTH", "<>");
		straw_recipient(0)->parameters = of_recipient;
		straw_recipient(0)->parameter_count = 2;
		hand_over();
		ck_assert_str_eq(straw_sent(),
		                 has_dsn ? "MAIL FROM:<alice@example.org> RET=HDRS ENVID=q1 "
		                           "MT-PRIORITY=3\r\nRCPT TO:<r0@example.net> "
		                           "NOTIFY=FAILURE,DELAY "
		                           "ORCPT=rfc822;x@example.net\r\nDATA\r\n"
		                         : "MAIL FROM:<alice@example.org>\r\nRCPT "
		                           "TO:<r0@example.net>\r\nDATA\r\n");
		straw_say("250 m\r\n250 r\r\n354 go\r\n250 ok\r\n");
		ck_assert_int_eq(straw_recipient(0)->dsn_passed_on, has_dsn);
		straw_end();
	}
}
END_TEST

START_TEST(nothing_in_an_address_or_a_parameter_adds_a_command)
{
	ready_with("250-hi\r\n250-PIPELINING\r\n250 DSN\r\n");
	straw_envelope("a@example.org", 2);
	straw_recipient(1)->address.text = pn_slice_of("x\r\nRSET\r\n@example.net");
	straw_parameter("ENVID", "x\r\nRSET");
	straw_parameter("RET", "FULL RSET");
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org>\r\n"
	                               "RCPT TO:<r0@example.net>\r\nDATA\r\n");
	ck_outcome(1, PN_DELIVERY_REFUSED, 0, "RCPT");
	straw_end();
	ready_with("250 hi\r\n");
	straw_envelope("a\x01@example.org", 1);
	hand_over();
	ck_assert_str_eq(straw_sent(), "");
	ck_assert_str_eq(straw_recipient(0)->reply.enhanced, "5.1.7");
	straw_end();
}
END_TEST

START_TEST(a_421_at_any_step_ends_the_carrier_and_puts_the_rest_off)
{
	static const char *const answers[] = {
		"421 4.3.2 bye\r\n",
		"250 m\r\n421 4.3.2 bye\r\n",
		"250 m\r\n550 no\r\n421 4.3.2 bye\r\n",
		"250 m\r\n550 no\r\n250 r\r\n421 4.3.2 bye\r\n",
		"250 m\r\n550 no\r\n250 r\r\n354 go\r\n421 4.3.2 bye\r\n",
	};
	static const char *const commands[] = {"MAIL", "RCPT", "RCPT", "DATA", "end of data"};

	for (size_t i = 0; i < 5; i++) {
		ready_with("250-hi\r\n250 PIPELINING\r\n");
		straw_envelope("a@example.org", 2);
		hand_over();
		straw_say(answers[i]);
		ck_assert_uint_eq(straw.done, 1);
		ck_assert_uint_eq(straw.closed, 1);
		ck_assert_int_eq(straw.end, PN_CARRIER_NOT_NOW);
		ck_outcome(1, PN_DELIVERY_DEFERRED, 421, commands[i]);
		if (i >= 2)
			ck_outcome(0, PN_DELIVERY_REFUSED, 550, "RCPT");
		straw_end();
	}
}
END_TEST

START_TEST(nonsense_at_any_step_breaks_the_carrier)
{
	static const char *const answers[] = {
		"354 go\r\n",
		"250 m\r\n354 go\r\n",
		"250 m\r\n250 r\r\n250 go\r\n",
		"250 m\r\n250 r\r\n354 go\r\n354 more\r\n",
		"hello\r\n",
		"250 m\n",
		"250-m\r\n251 n\r\n",
		"250 m\r\n250 r\r\n354 go\r\n250 \0ok\r\n",
	};

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		ready_with("250-hi\r\n250 PIPELINING\r\n");
		hand_over();
		straw_say(answers[i]);
		if (i == 7)
			straw_say_bytes(pn_slice_make("\0ok\r\n", 5));
		ck_assert_msg(straw.closed == 1, "case %zu goes on", i);
		ck_assert_int_eq(straw.end, PN_CARRIER_BROKEN);
		ck_outcome(0, PN_DELIVERY_DEFERRED, 0, NULL);
		straw_end();
	}
}
END_TEST

START_TEST(a_line_at_the_limit_is_taken_and_a_longer_one_is_not)
{
	char line[DELIVER_LINE_MAX + 4];

	for (size_t extra = 0; extra < 2; extra++) {
		ready_with("250 hi\r\n");
		hand_over();
		(void)straw_sent();
		memset(line, 'x', sizeof(line));
		memcpy(line, "250 ", 4);
		memcpy(line + DELIVER_LINE_MAX + extra, "\r\n", 2);
		straw_say_bytes(pn_slice_make(line, DELIVER_LINE_MAX + extra + 2));
		ck_assert_uint_eq(straw.closed, extra);
		straw_end();
	}
}
END_TEST

TCase *envelope_case(void)
{
	TCase *tcase = tcase_create("envelope");

	tcase_add_test(tcase, with_pipelining_the_envelope_is_one_flight);
	tcase_add_test(tcase, without_pipelining_each_command_waits_for_its_answer);
	tcase_add_test(tcase, a_partial_refusal_goes_on_with_the_others);
	tcase_add_test(tcase, data_that_is_taken_for_nobody_is_answered_with_a_lone_dot);
	tcase_add_test(tcase, a_refused_transaction_is_reset_with_the_next);
	tcase_add_test(tcase, a_refused_sender_is_everybodys_answer);
	tcase_add_test(tcase, refused_data_is_the_answer_of_those_that_were_accepted);
	tcase_add_test(tcase, step_by_step_nobody_is_asked_for_data_without_recipients);
	tcase_add_test(tcase, too_many_recipients_are_left_for_another_transaction);
	tcase_add_test(tcase, too_many_recipients_are_put_off_where_the_others_got_nowhere);
	tcase_add_test(tcase, the_first_of_a_transaction_is_not_too_many);
	tcase_add_test(tcase, recipients_past_the_limit_stay_untried);
	tcase_add_test(tcase, a_message_that_is_too_large_is_not_tried);
	tcase_add_test(tcase, utf8_addresses_go_only_to_whom_takes_them);
	tcase_add_test(tcase, parameters_go_where_they_are_understood);
	tcase_add_test(tcase, nothing_in_an_address_or_a_parameter_adds_a_command);
	tcase_add_test(tcase, a_421_at_any_step_ends_the_carrier_and_puts_the_rest_off);
	tcase_add_test(tcase, nonsense_at_any_step_breaks_the_carrier);
	tcase_add_test(tcase, a_line_at_the_limit_is_taken_and_a_longer_one_is_not);
	return tcase;
}
