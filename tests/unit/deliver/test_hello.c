/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting, the greeting and the hello. */
#include "straw.h"
#include "suites.h"

static struct pn_error error;

static void open_smtp(void)
{
	ck_assert_int_eq(straw_open(&error), PN_OK);
	straw_connected();
}

START_TEST(hello_follows_the_greeting_and_makes_the_carrier_ready)
{
	straw_begin(DELIVER_SMTP);
	open_smtp();
	ck_assert_str_eq(straw_sent(), "");
	ck_assert_uint_eq(straw.deadline_ms, 300 * 1000);
	straw_say("220-mx1.example.net\r\n220 ready\r\n");
	ck_assert_str_eq(straw_sent(), "EHLO us.example.org\r\n");
	straw_say("250-mx1.example.net\r\n250-PIPELINING\r\n250 SIZE 1000\r\n");
	ck_assert_uint_eq(straw.ready, 1);
	ck_assert_uint_eq(straw.line_limit, 4096);
	straw_end();
}
END_TEST

START_TEST(the_name_in_the_hello_is_an_option)
{
	straw_begin(DELIVER_SMTP);
	straw.config.hello = "out.example.org";
	open_smtp();
	straw_say("220 hi\r\n");
	ck_assert_str_eq(straw_sent(), "EHLO out.example.org\r\n");
	straw_end();
}
END_TEST

START_TEST(lmtp_says_lhlo_and_nothing_else)
{
	straw_begin(DELIVER_LMTP);
	open_smtp();
	straw_say("220 hi\r\n");
	ck_assert_str_eq(straw_sent(), "LHLO us.example.org\r\n");
	straw_say("500 what?\r\n");
	ck_assert_str_eq(straw_sent(), "QUIT\r\n");
	ck_assert_int_eq(straw.end, PN_CARRIER_NEVER);
	straw_end();
}
END_TEST

START_TEST(who_does_not_know_ehlo_gets_helo)
{
	straw_begin(DELIVER_SMTP);
	open_smtp();
	straw_say("220 hi\r\n");
	(void)straw_sent();
	straw_say("502 what?\r\n");
	ck_assert_str_eq(straw_sent(), "HELO us.example.org\r\n");
	straw_say("250-hi\r\n250 PIPELINING\r\n");
	ck_assert_uint_eq(straw.ready, 1);
	straw_deliver();
	straw_run();
	/* What HELO was answered with offers nothing. */
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<alice@example.org>\r\n");
	straw_end();
}
END_TEST

START_TEST(helo_will_not_do_where_tls_is_required)
{
	straw_begin(DELIVER_SMTP);
	straw.hop.tls = PN_ROUTE_TLS_REQUIRED;
	open_smtp();
	straw_say("220 hi\r\n");
	straw_say("502 what?\r\n");
	ck_assert_uint_eq(straw.closed, 1);
	ck_assert_int_eq(straw.end, PN_CARRIER_NEVER);
	straw_end();
}
END_TEST

START_TEST(refusals_before_a_message_end_the_carrier)
{
	static const struct {
		const char *greeting;
		const char *hello;
		enum pn_carrier_end end;
	} cases[] = {
		{"554 5.3.2 no mail here\r\n", NULL, PN_CARRIER_NEVER},
		{"521 no\r\n", NULL, PN_CARRIER_NEVER},
		{"450 later\r\n", NULL, PN_CARRIER_NOT_NOW},
		{"421 4.7.0 too many\r\n", NULL, PN_CARRIER_NOT_NOW},
		{"354 go\r\n", NULL, PN_CARRIER_BROKEN},
		{"HTTP/1.1 400 Bad Request\r\n", NULL, PN_CARRIER_BROKEN},
		{"220 hi\n", NULL, PN_CARRIER_BROKEN},
		{"220-hi\r\n221 there\r\n", NULL, PN_CARRIER_BROKEN},
		{"220 hi\r\n", "450 later\r\n", PN_CARRIER_NOT_NOW},
		{"220 hi\r\n", "421 later\r\n", PN_CARRIER_NOT_NOW},
		{"220 hi\r\n", "334 what\r\n", PN_CARRIER_BROKEN},
		{"220 hi\r\n", "500 no\r\n500 no\r\n", PN_CARRIER_NEVER},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		straw_begin(DELIVER_SMTP);
		open_smtp();
		straw_say(cases[i].greeting);
		if (cases[i].hello != NULL)
			straw_say(cases[i].hello);
		ck_assert_msg(straw.closed == 1, "case %zu goes on", i);
		ck_assert_msg(straw.end == cases[i].end, "case %zu: %d", i, (int)straw.end);
		ck_assert_uint_eq(straw.ready, 0);
		straw_end();
	}
}
END_TEST

START_TEST(the_peers_words_come_with_the_end)
{
	straw_begin(DELIVER_SMTP);
	open_smtp();
	straw_say("554-5.7.1 you are\r\n554 5.7.1 on a list\r\n");
	ck_assert_uint_eq(straw.end_reply.code, 554);
	ck_assert_str_eq(straw.end_reply.enhanced, "5.7.1");
	ck_assert_str_eq(straw.end_reply.text, "you are on a list");
	straw_end();
}
END_TEST

START_TEST(a_connection_that_cannot_be_is_unreachable)
{
	straw_begin(DELIVER_SMTP);
	ck_assert_int_eq(straw_open(&error), PN_OK);
	straw_not_connected("cannot connect to 192.0.2.1: Connection refused", 111);
	ck_assert_int_eq(straw.end, PN_CARRIER_UNREACHABLE);
	ck_assert_uint_eq(straw.end_reply.code, 0);
	ck_assert_ptr_nonnull(strstr(straw.end_reply.text, "Connection refused"));
	straw_end();
}
END_TEST

START_TEST(what_fails_at_once_is_told_from_the_top_of_the_loop)
{
	straw_begin(DELIVER_SMTP);
	straw.hop.address = "noroute:25";
	straw.hop.domain = "";
	ck_assert_int_eq(straw_open(&error), PN_OK);
	ck_assert_uint_eq(straw.closed, 1);
	ck_assert_int_eq(straw.end, PN_CARRIER_UNREACHABLE);
	straw_end();
}
END_TEST

START_TEST(an_address_that_makes_no_sense_fails)
{
	straw_begin(DELIVER_SMTP);
	straw.hop.address = "nonsense";
	straw.hop.domain = "";
	ck_assert_int_eq(straw_open(&error), PN_FAILED);
	ck_assert_uint_eq(straw.closed, 0);
	straw_end();
}
END_TEST

START_TEST(hosts_of_mx_records_get_the_port_of_the_option)
{
	straw_begin(DELIVER_SMTP);
	straw.config.port = 2525;
	straw.hop.address = "[2001:db8::1]:25";
	ck_assert_int_eq(straw_open(&error), PN_OK);
	ck_assert_str_eq(straw.connected_to, "[2001:db8::1]:2525");
	straw_end();
	straw_begin(DELIVER_SMTP);
	straw.config.port = 2525;
	straw.hop.domain = "";
	ck_assert_int_eq(straw_open(&error), PN_OK);
	ck_assert_str_eq(straw.connected_to, "192.0.2.1:25");
	straw_end();
}
END_TEST

START_TEST(source_addresses_are_used_in_turn_by_family)
{
	static const char *const sources[] = {"192.0.2.10", "2001:db8::10", "192.0.2.11"};
	struct deliver_instance instance = {.next_source = 0};
	struct deliver_config config = {.source_addresses = {sources, 3}};

	ck_assert_str_eq(deliver_source_address(&instance, &config, "198.51.100.1:25"),
	                 "192.0.2.10");
	ck_assert_str_eq(deliver_source_address(&instance, &config, "198.51.100.1:25"),
	                 "192.0.2.11");
	ck_assert_str_eq(deliver_source_address(&instance, &config, "[2001:db8::1]:25"),
	                 "2001:db8::10");
	ck_assert_ptr_null(deliver_source_address(&instance, &config, "unix:/x"));
	config.source_addresses.count = 1;
	ck_assert_ptr_null(deliver_source_address(&instance, &config, "[2001:db8::1]:25"));
	straw_begin(DELIVER_SMTP);
	straw.config.source_addresses = (struct pn_text_list){sources, 3};
	straw.hop.source_address = "192.0.2.99";
	ck_assert_int_eq(straw_open(&error), PN_OK);
	ck_assert_str_eq(straw.connected_from, "192.0.2.99");
	straw_end();
}
END_TEST

START_TEST(an_offer_is_read_in_any_case)
{
	struct deliver_offer offer = {.extensions = 0};

	deliver_offer_take(&offer, PN_SLICE("pipelining"));
	deliver_offer_take(&offer, PN_SLICE("Size 35882577"));
	deliver_offer_take(&offer, PN_SLICE("auth CRAM-MD5 plain"));
	deliver_offer_take(&offer, PN_SLICE("AUTH=LOGIN"));
	deliver_offer_take(&offer, PN_SLICE("8BITMIME "));
	deliver_offer_take(&offer, PN_SLICE("XDSN"));
	ck_assert_uint_eq(offer.extensions, DELIVER_PIPELINING | DELIVER_SIZE | DELIVER_AUTH_PLAIN |
	                                            DELIVER_AUTH_LOGIN | DELIVER_8BITMIME);
	ck_assert_uint_eq(offer.max_size, 35882577);
	deliver_offer_take(&offer, PN_SLICE("SIZE many"));
	ck_assert_uint_eq(offer.max_size, 0);
}
END_TEST

START_TEST(an_answer_has_one_deadline_however_many_lines_it_has)
{
	straw_begin(DELIVER_SMTP);
	open_smtp();
	straw_say("220-a\r\n");
	straw.now_ms += 100 * 1000;
	straw_say("220-b\r\n");
	ck_assert_uint_eq(straw.deadline_ms, 200 * 1000);
	straw.now_ms += 300 * 1000;
	straw_say("220-c\r\n");
	ck_assert_uint_eq(straw.deadline_ms, 1);
	straw_late();
	ck_assert_int_eq(straw.end, PN_CARRIER_BROKEN);
	straw_end();
}
END_TEST

TCase *hello_case(void)
{
	TCase *tcase = tcase_create("hello");

	tcase_add_test(tcase, hello_follows_the_greeting_and_makes_the_carrier_ready);
	tcase_add_test(tcase, the_name_in_the_hello_is_an_option);
	tcase_add_test(tcase, lmtp_says_lhlo_and_nothing_else);
	tcase_add_test(tcase, who_does_not_know_ehlo_gets_helo);
	tcase_add_test(tcase, helo_will_not_do_where_tls_is_required);
	tcase_add_test(tcase, refusals_before_a_message_end_the_carrier);
	tcase_add_test(tcase, the_peers_words_come_with_the_end);
	tcase_add_test(tcase, a_connection_that_cannot_be_is_unreachable);
	tcase_add_test(tcase, what_fails_at_once_is_told_from_the_top_of_the_loop);
	tcase_add_test(tcase, an_address_that_makes_no_sense_fails);
	tcase_add_test(tcase, hosts_of_mx_records_get_the_port_of_the_option);
	tcase_add_test(tcase, source_addresses_are_used_in_turn_by_family);
	tcase_add_test(tcase, an_offer_is_read_in_any_case);
	tcase_add_test(tcase, an_answer_has_one_deadline_however_many_lines_it_has);
	return tcase;
}
