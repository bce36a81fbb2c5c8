/* SPDX-License-Identifier: Apache-2.0 */
/* Routes as text: written, read back, refused where they cannot be one. */
#include "../exact.h"
#include "suites.h"

#include <postern/text.h>

#include "delivery/route.h"

static struct pn_arena *arena;

static void set_up(void)
{
	arena = pn_arena_new();
}

static void tear_down(void)
{
	pn_arena_free(&arena);
}

static const char *back_and_forth(const char *text)
{
	struct pn_route route;
	struct pn_error error;

	ck_assert_msg(pn_route_parse(pn_slice_of(text), arena, &route, &error) == PN_OK, "%s: %s",
	              text, error.text);
	return pn_arena_keep_text(arena, pn_route_format(&route, PN_SLICE("own.example"), arena));
}

START_TEST(reads_what_it_writes)
{
	static const char *const texts[] = {
		"example.net",
		"account",
		"mx:example.net@smarthost",
		"mx:example.net;tls=required",
		"mx:example.net@a;tls=verified;source=192.0.2.9",
		"hosts:mail.example.net",
		"hosts:mail.example.net:24,[2001:db8::1]:25,192.0.2.1:587@deliver_lmtp",
		"hosts:unix:/run/postern/lmtp@deliver_lmtp;tls=never",
		"hosts:a.example;source=2001:db8::9",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_str_eq(back_and_forth(texts[i]), texts[i]);
}
END_TEST

START_TEST(fills_in_the_domain_of_the_recipient)
{
	ck_assert_str_eq(back_and_forth("mx"), "own.example");
	ck_assert_str_eq(back_and_forth("mx@smarthost"), "mx:own.example@smarthost");
	ck_assert_str_eq(back_and_forth("mx:example.net"), "example.net");
}
END_TEST

START_TEST(takes_a_literal_as_a_destination)
{
	struct pn_route route;
	struct pn_error error;

	ck_assert_int_eq(pn_route_parse(PN_SLICE("[192.0.2.1]"), arena, &route, &error), PN_OK);
	ck_assert_int_eq(route.kind, PN_ROUTE_MX);
}
END_TEST

START_TEST(refuses_what_is_no_route)
{
	static const char *const texts[] = {
		"hosts:",
		"hosts:a b",
		"hosts:host:0",
		"hosts:host:65536",
		"hosts:host:x",
		"hosts:[2001:db8::1",
		"hosts:[nonsense]:25",
		"hosts:unix:relative",
		"mx:not_a domain",
		"example.net;tls=maybe",
		"example.net;source=here",
		"example.net;colour=red",
		"hosts:a\r\nRCPT TO:<x@y>",
		"",
	};
	struct pn_route route;
	struct pn_error error;

	for (size_t i = 0; i + 1 < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(pn_route_parse(pn_slice_of(texts[i]), arena, &route, &error) != PN_OK,
		              "\"%s\" was taken", texts[i]);
}
END_TEST

static enum pn_status with_hosts(size_t count)
{
	struct pn_slice hosts[PN_ROUTE_HOSTS_MAX + 1];
	const struct pn_route route = {.kind = PN_ROUTE_HOSTS, .hosts = hosts, .host_count = count};
	struct pn_error error;

	for (size_t i = 0; i < PN_ROUTE_HOSTS_MAX + 1; i++)
		hosts[i] = PN_SLICE("a.example");
	return pn_route_check(&route, &error);
}

START_TEST(has_a_limit_of_hosts)
{
	ck_assert_int_eq(with_hosts(1), PN_OK);
	ck_assert_int_eq(with_hosts(PN_ROUTE_HOSTS_MAX), PN_OK);
	ck_assert_int_eq(with_hosts(PN_ROUTE_HOSTS_MAX + 1), PN_FAILED);
	ck_assert_int_eq(with_hosts(0), PN_FAILED);
}
END_TEST

START_TEST(reads_hosts)
{
	static const struct {
		const char *text;
		const char *name;
		uint16_t port;
		bool is_address;
	} cases[] = {
		{"mail.example.net", "mail.example.net", 25, false},
		{"mail.example.net:587", "mail.example.net", 587, false},
		{"192.0.2.1", "192.0.2.1", 25, true},
		{"192.0.2.1:26", "192.0.2.1", 26, true},
		{"2001:db8::1", "2001:db8::1", 25, true},
		{"[2001:db8::1]:26", "2001:db8::1", 26, true},
		{"unix:/run/x", "unix:/run/x", 0, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pn_slice name;
		uint16_t port;
		bool is_address;

		ck_assert_int_eq(
			pn_route_host(pn_slice_of(cases[i].text), 25, &name, &port, &is_address),
			PN_OK);
		ck_assert(pn_slice_equal(name, pn_slice_of(cases[i].name)));
		ck_assert_uint_eq(port, cases[i].port);
		ck_assert_int_eq(is_address, cases[i].is_address);
	}
}
END_TEST

Suite *route_suite(void)
{
	Suite *suite = suite_create("route");
	TCase *tcase = tcase_create("text");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, reads_what_it_writes);
	tcase_add_test(tcase, fills_in_the_domain_of_the_recipient);
	tcase_add_test(tcase, takes_a_literal_as_a_destination);
	tcase_add_test(tcase, refuses_what_is_no_route);
	tcase_add_test(tcase, has_a_limit_of_hosts);
	tcase_add_test(tcase, reads_hosts);
	suite_add_tcase(suite, tcase);
	return suite;
}
