/* SPDX-License-Identifier: Apache-2.0 */
/* TLS: each level against what a server can do about it. */
#include "straw.h"
#include "suites.h"

static struct pn_error error;

static void open_at(enum pn_route_tls tls, const char *offer)
{
	straw_begin(DELIVER_SMTP);
	straw.hop.tls = tls;
	ck_assert_int_eq(straw_open(&error), PN_OK);
	straw_connected();
	straw_say("220 hi\r\n");
	straw_say(offer);
}

START_TEST(opportunistic_uses_what_is_offered_and_says_hello_again)
{
	open_at(PN_ROUTE_TLS_OPPORTUNISTIC, "250-hi\r\n250-PIPELINING\r\n250 STARTTLS\r\n");
	ck_assert_str_eq(straw_sent(), "EHLO us.example.org\r\nSTARTTLS\r\n");
	straw_say("220 go\r\n");
	ck_assert_int_eq(straw.next, PN_NEXT_START_TLS);
	straw_secured(true);
	ck_assert_str_eq(straw_sent(), "EHLO us.example.org\r\n");
	straw_say("250-hi\r\n250 STARTTLS\r\n");
	ck_assert_uint_eq(straw.ready, 1);
	ck_assert_ptr_nonnull(memmem(straw.facts.data, straw.facts.size, "tls=TLSv1.3\n", 12));
	/* PIPELINING was learnt before TLS: it is forgotten. */
	straw_deliver();
	straw_run();
	ck_assert_str_eq(straw_sent(), "MAIL FROM:<alice@example.org>\r\n");
	ck_assert_str_eq(straw.tls_name, "");
	ck_assert_str_eq(straw.server_name, "mx1.example.net");
	straw_end();
}
END_TEST

START_TEST(opportunistic_goes_on_where_tls_is_not_offered_or_refused)
{
	open_at(PN_ROUTE_TLS_OPPORTUNISTIC, "250 hi\r\n");
	ck_assert_uint_eq(straw.ready, 1);
	straw_end();
	open_at(PN_ROUTE_TLS_OPPORTUNISTIC, "250-hi\r\n250 STARTTLS\r\n");
	straw_say("454 4.7.0 no\r\n");
	ck_assert_uint_eq(straw.ready, 1);
	straw_end();
}
END_TEST

START_TEST(never_says_no_starttls)
{
	open_at(PN_ROUTE_TLS_NEVER, "250-hi\r\n250 STARTTLS\r\n");
	ck_assert_str_eq(straw_sent(), "EHLO us.example.org\r\n");
	ck_assert_uint_eq(straw.ready, 1);
	straw_end();
}
END_TEST

START_TEST(required_ends_where_tls_is_not_to_be_had)
{
	static const enum pn_route_tls levels[] = {PN_ROUTE_TLS_REQUIRED, PN_ROUTE_TLS_VERIFIED};

	for (size_t i = 0; i < 2; i++) {
		open_at(levels[i], "250 hi\r\n");
		ck_assert_int_eq(straw.end, PN_CARRIER_NOT_SECURE);
		ck_assert_uint_eq(straw.ready, 0);
		straw_end();
		open_at(levels[i], "250-hi\r\n250 STARTTLS\r\n");
		straw_say("502 5.5.1 no\r\n");
		ck_assert_uint_eq(straw.closed, 1);
		ck_assert_int_eq(straw.end, PN_CARRIER_NOT_SECURE);
		ck_assert_uint_eq(straw.end_reply.code, 502);
		straw_end();
		open_at(levels[i], "250-hi\r\n250 STARTTLS\r\n");
		straw_say("220 go\r\n");
		straw_secured(false);
		ck_assert_uint_eq(straw.closed, 1);
		ck_assert_int_eq(straw.end, PN_CARRIER_NOT_SECURE);
		ck_assert_uint_eq(straw.ready, 0);
		straw_end();
	}
}
END_TEST

START_TEST(verified_names_whom_the_certificate_must_be_for)
{
	open_at(PN_ROUTE_TLS_VERIFIED, "250-hi\r\n250 STARTTLS\r\n");
	ck_assert_str_eq(straw.tls_name, "mx1.example.net");
	straw_end();
}
END_TEST

START_TEST(without_a_name_nothing_can_be_verified)
{
	straw_begin(DELIVER_LMTP);
	straw.hop.tls = PN_ROUTE_TLS_VERIFIED;
	straw.hop.name = "";
	ck_assert_int_eq(straw_open(&error), PN_FAILED);
	straw.hop.name = "unix:/run/lmtp";
	ck_assert_int_eq(straw_open(&error), PN_FAILED);
	straw_end();
}
END_TEST

START_TEST(after_a_broken_handshake_opportunistic_goes_without)
{
	open_at(PN_ROUTE_TLS_OPPORTUNISTIC, "250-hi\r\n250 STARTTLS\r\n");
	straw_say("220 go\r\n");
	straw_secured(false);
	ck_assert_uint_eq(straw.closed, 1);
	ck_assert_int_eq(straw.end, PN_CARRIER_NOT_SECURE);
	/* The same instance connects again. */
	straw.closed = 0;
	straw.next = PN_NEXT_ANSWER;
	straw.has_session = false;
	straw.session_closed = false;
	ck_assert_int_eq(straw_open(&error), PN_OK);
	straw_connected();
	straw_say("220 hi\r\n");
	(void)straw_sent();
	straw_say("250-hi\r\n250 STARTTLS\r\n");
	ck_assert_str_eq(straw_sent(), "");
	ck_assert_uint_eq(straw.ready, 1);
	straw_end();
}
END_TEST

START_TEST(an_address_is_remembered_for_an_hour)
{
	struct deliver_instance instance = {.next_clear = 0};

	straw_begin(DELIVER_SMTP);
	deliver_remember_clear(&instance, "192.0.2.1:25");
	ck_assert(deliver_goes_clear(&instance, "192.0.2.1:25"));
	ck_assert(!deliver_goes_clear(&instance, "192.0.2.2:25"));
	for (unsigned i = 0; i < DELIVER_CLEAR_MAX - 1; i++)
		deliver_remember_clear(&instance, "192.0.2.3:25");
	ck_assert(deliver_goes_clear(&instance, "192.0.2.1:25"));
	deliver_remember_clear(&instance, "192.0.2.3:25");
	ck_assert(!deliver_goes_clear(&instance, "192.0.2.1:25"));
	straw.now_ms += 60 * 60 * 1000 + 1;
	ck_assert(!deliver_goes_clear(&instance, "192.0.2.3:25"));
	straw_end();
}
END_TEST

START_TEST(bytes_in_front_of_the_handshake_end_the_connection)
{
	open_at(PN_ROUTE_TLS_OPPORTUNISTIC, "250-hi\r\n250 STARTTLS\r\n");
	straw_say("220 go\r\n250 injected\r\n");
	ck_assert_int_eq(straw.next, PN_NEXT_START_TLS);
	straw_secured(true);
	ck_assert_uint_eq(straw.closed, 1);
	ck_assert_int_eq(straw.end, PN_CARRIER_BROKEN);
	ck_assert_uint_eq(straw.ready, 0);
	straw_end();
}
END_TEST

START_TEST(a_handshake_that_takes_too_long_is_not_secure)
{
	open_at(PN_ROUTE_TLS_REQUIRED, "250-hi\r\n250 STARTTLS\r\n");
	straw_say("220 go\r\n");
	straw_late();
	ck_assert_int_eq(straw.end, PN_CARRIER_NOT_SECURE);
	straw_end();
}
END_TEST

START_TEST(a_carrier_that_is_closed_during_the_handshake_ends)
{
	open_at(PN_ROUTE_TLS_REQUIRED, "250-hi\r\n250 STARTTLS\r\n");
	straw_say("220 go\r\n");
	straw.transport->close((struct pn_carrier *)&straw, true);
	ck_assert_uint_eq(straw.closed, 0);
	straw_run();
	ck_assert_uint_eq(straw.closed, 1);
	straw_secured(true);
	ck_assert(straw.session_closed);
	straw_end();
}
END_TEST

START_TEST(lmtp_leaves_tls_out_on_this_machine)
{
	static const struct {
		const char *address;
		bool uses_tls;
	} cases[] = {{"unix:/run/lmtp", false},
	             {"127.0.0.1:24", false},
	             {"[::1]:24", false},
	             {"192.0.2.1:24", true}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		straw_begin(DELIVER_LMTP);
		straw.config.tls = DELIVER_TLS_AUTOMATIC;
		straw.hop.domain = "";
		straw.hop.address = cases[i].address;
		ck_assert_int_eq(straw_open(&error), PN_OK);
		straw_connected();
		straw_say("220 hi\r\n");
		straw_say("250-hi\r\n250 STARTTLS\r\n");
		ck_assert_int_eq(straw.ready == 0, cases[i].uses_tls);
		straw_end();
	}
}
END_TEST

START_TEST(tls_at_once_that_fails_is_not_secure_and_a_refused_connection_is_unreachable)
{
	straw_begin(DELIVER_SMTP);
	straw.config.implicit_tls = true;
	ck_assert_int_eq(straw_open(&error), PN_OK);
	ck_assert(straw.request_kept.tls_at_once);
	straw_not_connected("TLS with 192.0.2.1 failed: no", 0);
	ck_assert_int_eq(straw.end, PN_CARRIER_NOT_SECURE);
	straw_end();
	straw_begin(DELIVER_SMTP);
	straw.config.implicit_tls = true;
	ck_assert_int_eq(straw_open(&error), PN_OK);
	straw_not_connected("cannot connect: refused", 111);
	ck_assert_int_eq(straw.end, PN_CARRIER_UNREACHABLE);
	straw_end();
}
END_TEST

TCase *secure_case(void)
{
	TCase *tcase = tcase_create("secure");

	tcase_add_test(tcase, opportunistic_uses_what_is_offered_and_says_hello_again);
	tcase_add_test(tcase, opportunistic_goes_on_where_tls_is_not_offered_or_refused);
	tcase_add_test(tcase, never_says_no_starttls);
	tcase_add_test(tcase, required_ends_where_tls_is_not_to_be_had);
	tcase_add_test(tcase, verified_names_whom_the_certificate_must_be_for);
	tcase_add_test(tcase, without_a_name_nothing_can_be_verified);
	tcase_add_test(tcase, after_a_broken_handshake_opportunistic_goes_without);
	tcase_add_test(tcase, an_address_is_remembered_for_an_hour);
	tcase_add_test(tcase, bytes_in_front_of_the_handshake_end_the_connection);
	tcase_add_test(tcase, a_handshake_that_takes_too_long_is_not_secure);
	tcase_add_test(tcase, a_carrier_that_is_closed_during_the_handshake_ends);
	tcase_add_test(tcase, lmtp_leaves_tls_out_on_this_machine);
	tcase_add_test(
		tcase,
		tls_at_once_that_fails_is_not_secure_and_a_refused_connection_is_unreachable);
	return tcase;
}
