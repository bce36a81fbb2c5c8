/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What senders ask for and not every server can do: a time to deliver by (RFC 2852), TLS all the
 * way (RFC 8689), binary messages (RFC 3030). Passed on where the server can, returned where it
 * cannot.
 */
#include "straw.h"
#include "suites.h"

static struct pn_error error;

static void ready_with(enum deliver_kind kind, const char *offer)
{
	straw_begin(kind);
	ck_assert_int_eq(straw_open(&error), PN_OK);
	straw_connected();
	straw_say("220 hi\r\n");
	straw_say(offer);
	ck_assert_uint_eq(straw.ready, 1);
	(void)straw_sent();
	straw_envelope("a@example.org", 1);
}

static void hand_over(void)
{
	straw_deliver();
	straw_run();
}

/* Nothing was said, and it is returned with that status. */
static void ck_returned(const char *enhanced)
{
	ck_assert_str_eq(straw_sent(), "");
	ck_assert_uint_eq(straw.done, 1);
	ck_assert_uint_eq(straw.ready, 2);
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_REFUSED);
	ck_assert_str_eq(straw_recipient(0)->reply.enhanced, enhanced);
	straw_end();
}

/* ---- DELIVERBY ---- */

static void want(enum pn_deliver_by_mode mode, int64_t seconds, bool traces)
{
	straw.delivery.by = (struct pn_deliver_by){
		.mode = mode,
		.traces = traces,
		.moment_ms = STRAW_WALL_MS + (int64_t)straw.now_ms + seconds * 1000};
}

START_TEST(what_is_left_of_the_time_goes_on)
{
	ready_with(DELIVER_SMTP, "250-hi\r\n250 DELIVERBY\r\n");
	want(PN_DELIVER_BY_RETURN, 100, false);
	straw.now_ms += 40000;
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org> BY=60;R\r\n");
	straw_say("250 m\r\n250 r\r\n");
	(void)straw_sent();
	straw_say("354 go\r\n");
	straw_say("250 ok\r\n");
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DONE);
	ck_assert(straw_recipient(0)->deliver_by_passed_on);
	straw_end();
}
END_TEST

START_TEST(a_time_that_is_over_goes_on_where_only_a_notice_is_wanted)
{
	ready_with(DELIVER_SMTP, "250-hi\r\n250 DELIVERBY 3600\r\n");
	want(PN_DELIVER_BY_NOTIFY, -5, true);
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org> BY=-5;NT\r\n");
	straw_end();
}
END_TEST

START_TEST(nine_digits_are_the_most)
{
	ready_with(DELIVER_SMTP, "250-hi\r\n250 DELIVERBY\r\n");
	want(PN_DELIVER_BY_NOTIFY, 5000000000, false);
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org> BY=999999999;N\r\n");
	straw_end();
}
END_TEST

START_TEST(it_is_returned_where_the_time_is_over)
{
	ready_with(DELIVER_SMTP, "250-hi\r\n250 DELIVERBY\r\n");
	want(PN_DELIVER_BY_RETURN, 0, false);
	hand_over();
	ck_returned("5.4.7");
}
END_TEST

START_TEST(it_is_returned_where_the_server_knows_nothing_of_time)
{
	ready_with(DELIVER_SMTP, "250 hi\r\n");
	want(PN_DELIVER_BY_RETURN, 100, false);
	hand_over();
	ck_returned("5.3.3");
	ready_with(DELIVER_SMTP, "250 hi\r\n");
	want(PN_DELIVER_BY_NOTIFY, 100, false);
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org>\r\n");
	straw_say("250 m\r\n250 r\r\n");
	straw_say("354 go\r\n");
	straw_say("250 ok\r\n");
	ck_assert(!straw_recipient(0)->deliver_by_passed_on);
	straw_end();
}
END_TEST

START_TEST(it_is_returned_where_the_server_wants_more_time)
{
	ready_with(DELIVER_SMTP, "250-hi\r\n250 DELIVERBY 101\r\n");
	want(PN_DELIVER_BY_RETURN, 100, false);
	hand_over();
	ck_returned("5.4.7");
	ready_with(DELIVER_SMTP, "250-hi\r\n250 DELIVERBY 100\r\n");
	want(PN_DELIVER_BY_RETURN, 100, false);
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org> BY=100;R\r\n");
	straw_end();
}
END_TEST

START_TEST(by_lmtp_it_is_delivered_now)
{
	ready_with(DELIVER_LMTP, "250 hi\r\n");
	want(PN_DELIVER_BY_RETURN, 100, false);
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org>\r\n");
	straw_end();
}
END_TEST

/* ---- REQUIRETLS ---- */

/* Over TLS; the domain is that of an MX where it is not "". */
static void secure_with(enum pn_route_tls tls, const char *domain, bool name_is_secure,
                        const char *offer)
{
	straw_begin(DELIVER_SMTP);
	straw.hop.tls = tls;
	straw.hop.domain = domain;
	straw.hop.name_is_secure = name_is_secure;
	straw.config.requiretls_dnssec = true;
	ck_assert_int_eq(straw_open(&error), PN_OK);
	straw_connected();
	straw_say("220 hi\r\n");
	straw_say("250-hi\r\n250 STARTTLS\r\n");
	straw_say("220 go\r\n");
	straw_secured(true);
	straw_say(offer);
	ck_assert_uint_eq(straw.ready, 1);
	(void)straw_sent();
	straw_envelope("a@example.org", 1);
	straw.delivery.requires_tls = true;
}

START_TEST(a_promise_is_passed_on_to_who_makes_it)
{
	secure_with(PN_ROUTE_TLS_VERIFIED, "example.net", true, "250-hi\r\n250 REQUIRETLS\r\n");
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org> REQUIRETLS\r\n");
	straw_end();
	/* Hosts that an operator named need nobody to vouch for their names. */
	secure_with(PN_ROUTE_TLS_VERIFIED, "", false, "250-hi\r\n250 REQUIRETLS\r\n");
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org> REQUIRETLS\r\n");
	straw_end();
}
END_TEST

START_TEST(who_does_not_promise_gets_nothing)
{
	secure_with(PN_ROUTE_TLS_VERIFIED, "example.net", true, "250 hi\r\n");
	hand_over();
	ck_returned("5.7.30");
}
END_TEST

START_TEST(a_certificate_that_nobody_looked_at_is_none)
{
	secure_with(PN_ROUTE_TLS_REQUIRED, "example.net", true, "250-hi\r\n250 REQUIRETLS\r\n");
	hand_over();
	ck_returned("5.7.30");
}
END_TEST

START_TEST(a_name_from_an_mx_record_that_anybody_can_forge_is_none)
{
	secure_with(PN_ROUTE_TLS_VERIFIED, "example.net", false, "250-hi\r\n250 REQUIRETLS\r\n");
	hand_over();
	ck_returned("5.7.30");
	secure_with(PN_ROUTE_TLS_VERIFIED, "example.net", false, "250-hi\r\n250 REQUIRETLS\r\n");
	straw.config.requiretls_dnssec = false;
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org> REQUIRETLS\r\n");
	straw_end();
}
END_TEST

START_TEST(in_the_clear_it_is_returned)
{
	ready_with(DELIVER_SMTP, "250-hi\r\n250 REQUIRETLS\r\n");
	straw.delivery.requires_tls = true;
	hand_over();
	ck_returned("5.7.30");
}
END_TEST

START_TEST(who_did_not_ask_for_it_does_not_get_it)
{
	secure_with(PN_ROUTE_TLS_VERIFIED, "example.net", true, "250-hi\r\n250 REQUIRETLS\r\n");
	straw.delivery.requires_tls = false;
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org>\r\n");
	straw_end();
}
END_TEST

/* ---- BINARYMIME and CHUNKING ---- */

static const char all[] =
	"250-hi\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 BINARYMIME\r\n";
static const char binary_text[] = "Subject: x\r\n\r\na\nb\rc\0\r\n.\r\nd";

static void make_binary(void)
{
	straw.body = pn_slice_make(binary_text, sizeof(binary_text) - 1);
	straw.body_size = straw.body.size;
	straw_parameter("BODY", "BINARYMIME");
}

static void ck_sent(struct pn_slice wanted)
{
	ck_assert_uint_eq(straw.sent.size, wanted.size);
	ck_assert_int_eq(memcmp(straw.sent.data, wanted.data, wanted.size), 0);
	(void)straw_sent();
}

START_TEST(a_binary_message_goes_as_it_is)
{
	ready_with(DELIVER_SMTP, all);
	make_binary();
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org> BODY=BINARYMIME\r\n"
	                               "RCPT TO:<r0@example.net>\r\n");
	straw_say("250 m\r\n250 r\r\n");
	ck_sent(PN_SLICE("BDAT 26 LAST\r\nSubject: x\r\n\r\na\nb\rc\0\r\n.\r\nd"));
	ck_assert_uint_eq(straw.done, 0);
	straw_say("250 ok\r\n");
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DONE);
	straw_end();
}
END_TEST

START_TEST(it_is_returned_where_it_would_have_to_change)
{
	static const char *const offers[] = {"250 hi\r\n", "250-hi\r\n250 CHUNKING\r\n",
	                                     "250-hi\r\n250 BINARYMIME\r\n",
	                                     "250-hi\r\n250 8BITMIME\r\n"};

	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
		ready_with(DELIVER_SMTP, offers[i]);
		make_binary();
		hand_over();
		ck_returned("5.6.3");
		/* A part that lacks its last line end would get one. */
		ready_with(DELIVER_SMTP, offers[i]);
		make_binary();
		straw.body = PN_SLICE("Subject: x\r\n\r\nabc");
		straw.body_size = straw.body.size;
		hand_over();
		ck_returned("5.6.3");
	}
}
END_TEST

START_TEST(what_only_claims_to_be_binary_goes_anywhere)
{
	ready_with(DELIVER_SMTP, "250-hi\r\n250 8BITMIME\r\n");
	straw_parameter("BODY", "BINARYMIME");
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org>\r\n");
	straw_say("250 m\r\n");
	straw_say("250 r\r\n");
	(void)straw_sent();
	straw_say("354 go\r\n");
	ck_assert_str_eq(straw_sent(), "Subject: x\r\n\r\nhi\r\n.\r\n");
	straw_end();
}
END_TEST

START_TEST(bad_lines_are_no_reason_for_chunks)
{
	ready_with(DELIVER_SMTP, all);
	straw.config.chunking = DELIVER_CHUNKING_OFFERED;
	straw.body = pn_slice_make(binary_text, sizeof(binary_text) - 1);
	straw.body_size = straw.body.size;
	straw_parameter("BODY", "8BITMIME");
	hand_over();
	ck_returned("5.6.0");
}
END_TEST

START_TEST(chunks_for_all_where_an_option_says_so)
{
	ready_with(DELIVER_SMTP, all);
	straw.config.chunking = DELIVER_CHUNKING_OFFERED;
	straw.body = PN_SLICE(".\r\n..\r\n");
	straw.body_size = straw.body.size;
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org>\r\nRCPT TO:<r0@example.net>\r\n");
	straw_say("250 m\r\n250 r\r\n");
	ck_assert_str_eq(straw_sent(), "BDAT 7 LAST\r\n.\r\n..\r\n");
	/* Behind a chunk that failed the transaction is open. */
	straw_say("450 4.3.0 later\r\n");
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DEFERRED);
	straw_envelope("b@example.org", 1);
	hand_over();
	ck_assert_str_eq(straw_sent(), "RSET\r\nMAIL FROM:<b@example.org>\r\n"
	                               "RCPT TO:<r0@example.net>\r\n");
	straw_end();
}
END_TEST

START_TEST(no_chunk_where_nobody_was_accepted)
{
	ready_with(DELIVER_SMTP, all);
	make_binary();
	hand_over();
	(void)straw_sent();
	straw_say("250 m\r\n550 5.1.1 no\r\n");
	ck_assert_str_eq(straw_sent(), "");
	ck_assert_uint_eq(straw.done, 1);
	ck_assert_uint_eq(straw.ready, 2);
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_REFUSED);
	straw_end();
	ready_with(DELIVER_SMTP, all);
	make_binary();
	hand_over();
	(void)straw_sent();
	straw_say("451 4.3.0 not you\r\n503 5.5.1 no\r\n");
	ck_assert_str_eq(straw_sent(), "");
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DEFERRED);
	straw_end();
}
END_TEST

START_TEST(without_pipelining_and_by_lmtp_too)
{
	ready_with(DELIVER_LMTP, "250-hi\r\n250-CHUNKING\r\n250 BINARYMIME\r\n");
	straw_envelope("a@example.org", 2);
	make_binary();
	hand_over();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<a@example.org> BODY=BINARYMIME\r\n");
	straw_say("250 m\r\n");
	ck_assert_str_eq(straw_sent(), "RCPT TO:<r0@example.net>\r\n");
	straw_say("250 r\r\n");
	ck_assert_str_eq(straw_sent(), "RCPT TO:<r1@example.net>\r\n");
	straw_say("250 r\r\n");
	ck_sent(PN_SLICE("BDAT 26 LAST\r\nSubject: x\r\n\r\na\nb\rc\0\r\n.\r\nd"));
	straw_say("250 ok\r\n452 4.2.2 full\r\n");
	ck_assert_uint_eq(straw.done, 1);
	ck_assert_int_eq(straw_recipient(0)->outcome, PN_DELIVERY_DONE);
	ck_assert_int_eq(straw_recipient(1)->outcome, PN_DELIVERY_DEFERRED);
	straw_end();
}
END_TEST

TCase *wishes_case(void)
{
	TCase *cases = tcase_create("wishes");

	tcase_add_test(cases, what_is_left_of_the_time_goes_on);
	tcase_add_test(cases, a_time_that_is_over_goes_on_where_only_a_notice_is_wanted);
	tcase_add_test(cases, nine_digits_are_the_most);
	tcase_add_test(cases, it_is_returned_where_the_time_is_over);
	tcase_add_test(cases, it_is_returned_where_the_server_knows_nothing_of_time);
	tcase_add_test(cases, it_is_returned_where_the_server_wants_more_time);
	tcase_add_test(cases, by_lmtp_it_is_delivered_now);
	tcase_add_test(cases, a_promise_is_passed_on_to_who_makes_it);
	tcase_add_test(cases, who_does_not_promise_gets_nothing);
	tcase_add_test(cases, a_certificate_that_nobody_looked_at_is_none);
	tcase_add_test(cases, a_name_from_an_mx_record_that_anybody_can_forge_is_none);
	tcase_add_test(cases, in_the_clear_it_is_returned);
	tcase_add_test(cases, who_did_not_ask_for_it_does_not_get_it);
	tcase_add_test(cases, a_binary_message_goes_as_it_is);
	tcase_add_test(cases, it_is_returned_where_it_would_have_to_change);
	tcase_add_test(cases, what_only_claims_to_be_binary_goes_anywhere);
	tcase_add_test(cases, bad_lines_are_no_reason_for_chunks);
	tcase_add_test(cases, chunks_for_all_where_an_option_says_so);
	tcase_add_test(cases, no_chunk_where_nobody_was_accepted);
	tcase_add_test(cases, without_pipelining_and_by_lmtp_too);
	return cases;
}
