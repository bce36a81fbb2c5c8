/* SPDX-License-Identifier: Apache-2.0 */
/* Envelope paths: what is one, what is none, and the one form that comes out. */
#include "../exact.h"
#include "suites.h"

#include <postern/address.h>
#include <postern/text.h>

#include <stdio.h>

/* Parses "PATH rest" as a path; `expected` is its canonical text, NULL where it is refused. */
static void check_path(const char *text, bool allow_utf8, enum pn_status status,
                       const char *expected)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice copy = exact(pn_slice_of(text));
	struct pn_slice rest = copy;
	struct pn_address address;
	enum pn_status result = pn_path_parse(&rest, allow_utf8, arena, &address);

	ck_assert_msg(result == status, "%s: %s", text, pn_status_name(result));
	if (status == PN_OK) {
		ck_assert_msg(pn_slice_equal(address.text, pn_slice_of(expected)), "%s: %.*s", text,
		              PN_SLICE_ARGS(address.text));
		ck_assert_ptr_eq(rest.data + rest.size, copy.data + copy.size);
		ck_assert(rest.size == 0 || rest.data[0] == ' ');
	} else {
		ck_assert_ptr_eq(rest.data, copy.data);
		ck_assert_uint_eq(rest.size, copy.size);
	}
	pn_arena_free(&arena);
	free((char *)copy.data);
}

START_TEST(reads_paths_into_one_form)
{
	static const char *const pairs[][2] = {
		{"<>", ""},
		{"<> SIZE=1", ""},
		{"<alice@example.org>", "alice@example.org"},
		{"<Alice@EXAMPLE.Org> BODY=8BITMIME", "Alice@example.org"},
		{"<a.b.c@x-y.example>", "a.b.c@x-y.example"},
		{"<!#$%&'*+-/=?^_`{|}~@a>", "!#$%&'*+-/=?^_`{|}~@a"},
		{"<\"a b\"@example.org>", "\"a b\"@example.org"},
		{"<\"alice\"@example.org>", "alice@example.org"},
		{"<\"a.b\"@example.org>", "a.b@example.org"},
		{"<\"a..b\"@example.org>", "\"a..b\"@example.org"},
		{"<\".a\"@example.org>", "\".a\"@example.org"},
		{"<\"a\\\"b\\\\c\"@example.org>", "\"a\\\"b\\\\c\"@example.org"},
		{"<\"a\\bc\"@example.org>", "abc@example.org"},
		{"<\"a@b>c\"@example.org>", "\"a@b>c\"@example.org"},
		{"<@relay.example:bob@example.org>", "bob@example.org"},
		{"<@a.example,@b.example:bob@example.org>", "bob@example.org"},
		{"<bob@[192.0.2.1]>", "bob@[192.0.2.1]"},
		{"<bob@[ipv6:2001:DB8:0:0::1]>", "bob@[IPv6:2001:db8::1]"},
		{"<bob@[IPv6:::ffff:192.0.2.1]>", "bob@[IPv6:::ffff:192.0.2.1]"},
		{"<postmaster>", "postmaster"},
		{"<PostMaster>", "postmaster"},
		{"<bob@1.example>", "bob@1.example"},
	};

	for (size_t index = 0; index < sizeof(pairs) / sizeof(pairs[0]); index++)
		check_path(pairs[index][0], false, PN_OK, pairs[index][1]);
}
END_TEST

START_TEST(refuses_what_is_no_path)
{
	static const char *const bad[] = {
		"",
		"<",
		">",
		"alice@example.org",
		"<alice@example.org",
		" <alice@example.org>",
		"< alice@example.org>",
		"<alice@example.org >",
		"<alice>",
		"<@example.org>",
		"<alice@>",
		"<alice@@example.org>",
		"<alice@example.org.>",
		"<alice@.example.org>",
		"<alice@example..org>",
		"<alice@-example.org>",
		"<alice@example-.org>",
		"<alice@example.org->",
		"<alice@exam_ple.org>",
		"<.alice@example.org>",
		"<alice.@example.org>",
		"<al..ice@example.org>",
		"<al ice@example.org>",
		"<\"alice@example.org>",
		"<\"alice\"x@example.org>",
		"<\"\"@example.org>",
		"<\"a\tb\"@example.org>",
		"<\"a\\\"@example.org>",
		"<a(b)@example.org>",
		"<alice@[192.0.2.256]>",
		"<alice@[192.0.2]>",
		"<alice@[192.0.2.1>",
		"<alice@192.0.2.1]>",
		"<alice@[]>",
		"<alice@[IPv6:]>",
		"<alice@[IPv6:1:2]>",
		"<alice@[2001:db8::1]>",
		"<alice@[tag:something]>",
		"<alice@[192.0.2.1]x>",
		"<@relay.example>",
		"<@relay.example:>",
		"<@relay.example:@b.example>",
		"<@:bob@example.org>",
		"<@a.example,:bob@example.org>",
		"<@a.example,b.example:bob@example.org>",
		"<postmaster@>",
		"<postmaster >",
		"<webmaster>",
		"<alice@example.org\r\n>",
		"<al\xc3\xa9@example.org>",
		"<alice@ex\xc3\xa4mple.org>",
		"<\"al\xc3\xa9\"@example.org>",
		"<<a@b>>",
	};

	for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++)
		check_path(bad[index], false, PN_FAILED, NULL);
}
END_TEST

START_TEST(takes_utf8_only_where_it_was_asked_for)
{
	static const char *const bad[] = {"<al\xe9@example.org>",         /* Latin-1 */
	                                  "<al\xc3@example.org>",         /* cut in two */
	                                  "<a\xc0\xaf@example.org>",      /* overlong */
	                                  "<a\xed\xa0\x80@example.org>",  /* surrogate */
	                                  "<a\xc2\x85@example.org>",      /* C1 control */
	                                  "<a\xe2\x80\xae@example.org>"}; /* turns text round */

	check_path("<al\xc3\xa9@ex\xc3\xa4mple.org>", true, PN_OK, "al\xc3\xa9@ex\xc3\xa4mple.org");
	check_path("<\"\xe2\x98\x83 x\"@EXAMPLE.org>", true, PN_OK,
	           "\"\xe2\x98\x83 x\"@example.org");
	for (size_t index = 0; index < sizeof(bad) / sizeof(bad[0]); index++) {
		check_path(bad[index], true, PN_FAILED, NULL);
		check_path(bad[index], false, PN_FAILED, NULL);
	}
}
END_TEST

START_TEST(a_nul_ends_nothing)
{
	static const char text[] = "<alice\0@example.org>";
	static const char literal[] = "<alice@[192.0.2.1\0]>";
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice rest = pn_slice_make(text, sizeof(text) - 1);
	struct pn_address address;

	ck_assert_int_eq(pn_path_parse(&rest, true, arena, &address), PN_FAILED);
	rest = pn_slice_make(literal, sizeof(literal) - 1);
	ck_assert_int_eq(pn_path_parse(&rest, true, arena, &address), PN_FAILED);
	pn_arena_free(&arena);
}
END_TEST

/* "<" local@label.label… ">" with parts of these sizes. */
static void check_sizes(int local_size, int label_size, int label_count, int last_label_size,
                        enum pn_status status)
{
	char text[2000];
	char expected[2000];
	int size = snprintf(text, sizeof(text), "<%0*d@", local_size, 0);

	for (int index = 0; index < label_count; index++)
		size += snprintf(text + size, sizeof(text) - (size_t)size, "%0*d.", label_size, 0);
	size += snprintf(text + size, sizeof(text) - (size_t)size, "%0*d>", last_label_size, 0);
	snprintf(expected, sizeof(expected), "%.*s", size - 2, text + 1);
	check_path(text, false, status, expected);
}

START_TEST(keeps_the_limits_of_rfc_5321)
{
	check_sizes(64, 10, 1, 10, PN_OK);
	check_sizes(65, 10, 1, 10, PN_LIMIT);
	check_sizes(1, 63, 1, 3, PN_OK);
	check_sizes(1, 64, 1, 3, PN_LIMIT);
	check_sizes(1, 3, 1, 64, PN_LIMIT);
	/* One letter, '@', three labels of 63 with their dots, one of 60: 256 with the brackets. */
	check_sizes(1, 63, 3, 60, PN_OK);
	check_sizes(2, 63, 3, 60, PN_LIMIT);
	check_sizes(1, 63, 3, 61, PN_LIMIT);
	check_sizes(1, 63, 4, 1, PN_LIMIT);
}
END_TEST

START_TEST(counts_the_quotes_of_a_local_part_and_the_source_route)
{
	char text[600], expected[600];

	snprintf(text, sizeof(text), "<\"%062d\"@example.org>", 0);
	snprintf(expected, sizeof(expected), "%062d@example.org", 0);
	check_path(text, false, PN_OK, expected);
	snprintf(text, sizeof(text), "<\"%063d\"@example.org>", 0);
	check_path(text, false, PN_LIMIT, NULL);
	snprintf(text, sizeof(text), "<@%060d.%060d.%060d.%060d:bob@example.org>", 0, 0, 0, 0);
	check_path(text, false, PN_LIMIT, NULL);
}
END_TEST

START_TEST(reads_addresses_without_brackets)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_address address;
	char text[400];

	ck_assert_int_eq(pn_address_parse(PN_SLICE("\"a b\"@Example.ORG"), false, arena, &address),
	                 PN_OK);
	ck_assert(pn_slice_equal(address.local_part, PN_SLICE("a b")));
	ck_assert(pn_slice_equal(address.domain, PN_SLICE("example.org")));
	ck_assert(!address.is_utf8);
	ck_assert_int_eq(pn_address_parse(PN_SLICE("\xc3\xa9@example.org"), true, arena, &address),
	                 PN_OK);
	ck_assert(address.is_utf8);
	ck_assert_int_eq(pn_address_parse(PN_SLICE("<a@b>"), false, arena, &address), PN_FAILED);
	ck_assert_int_eq(pn_address_parse(PN_SLICE("a@b "), false, arena, &address), PN_FAILED);
	ck_assert_int_eq(pn_address_parse(PN_SLICE(""), false, arena, &address), PN_FAILED);
	ck_assert_int_eq(pn_address_parse(PN_SLICE("postmaster"), false, arena, &address),
	                 PN_FAILED);
	snprintf(text, sizeof(text), "%063d@%062d.%062d.%060d", 0, 0, 0, 0);
	ck_assert_int_eq(pn_address_parse(pn_slice_of(text), false, arena, &address), PN_OK);
	snprintf(text, sizeof(text), "%064d@%063d.%063d.%061d", 0, 0, 0, 0);
	ck_assert_uint_eq(strlen(text), 254);
	ck_assert_int_eq(pn_address_parse(pn_slice_of(text), false, arena, &address), PN_OK);
	snprintf(text, sizeof(text), "%064d@%063d.%063d.%062d", 0, 0, 0, 0);
	ck_assert_int_eq(pn_address_parse(pn_slice_of(text), false, arena, &address), PN_LIMIT);
	pn_arena_free(&arena);
}
END_TEST

/* Every short text over letters that matter: no over-read, and what comes out parses to itself. */
START_TEST(what_comes_out_parses_to_itself)
{
	static const char alphabet[] = "<>@a.\"\\-[: ";
	const size_t letters = sizeof(alphabet) - 1;

	for (size_t length = 0; length <= 5; length++) {
		for (size_t number = 0; number < word_count(letters, length); number++) {
			struct pn_arena *arena = pn_arena_new();
			struct pn_slice text = exact_word(alphabet, letters, length, number);
			struct pn_slice rest = text;
			struct pn_address first, second;

			if (pn_path_parse(&rest, true, arena, &first) == PN_OK)
				ck_assert(length >= 2);
			if (pn_address_parse(text, true, arena, &first) == PN_OK) {
				ck_assert_int_eq(pn_address_parse(first.text, true, arena, &second),
				                 PN_OK);
				ck_assert(pn_slice_equal(first.text, second.text));
				ck_assert(pn_slice_equal(first.local_part, second.local_part));
			}
			pn_arena_free(&arena);
			free((char *)text.data);
		}
	}
}
END_TEST

START_TEST(knows_domain_names)
{
	ck_assert(pn_domain_is_valid(PN_SLICE("example.org"), false));
	ck_assert(pn_domain_is_valid(PN_SLICE("a"), false));
	ck_assert(pn_domain_is_valid(PN_SLICE("xn--bcher-kva.example"), false));
	ck_assert(!pn_domain_is_valid(PN_SLICE_NONE, false));
	ck_assert(!pn_domain_is_valid(PN_SLICE("example.org."), false));
	ck_assert(!pn_domain_is_valid(PN_SLICE("exa mple"), false));
	ck_assert(!pn_domain_is_valid(PN_SLICE("-a"), false));
	ck_assert(!pn_domain_is_valid(PN_SLICE("a-"), false));
	ck_assert(!pn_domain_is_valid(PN_SLICE("b\xc3\xbc.example"), false));
	ck_assert(pn_domain_is_valid(PN_SLICE("b\xc3\xbc.example"), true));
	ck_assert(!pn_domain_is_valid(PN_SLICE("b\xc3.example"), true));
}
END_TEST

Suite *address_suite(void)
{
	static const TTest *tests[10];

	tests[0] = reads_paths_into_one_form;
	tests[1] = refuses_what_is_no_path;
	tests[2] = takes_utf8_only_where_it_was_asked_for;
	tests[3] = a_nul_ends_nothing;
	tests[4] = keeps_the_limits_of_rfc_5321;
	tests[5] = counts_the_quotes_of_a_local_part_and_the_source_route;
	tests[6] = reads_addresses_without_brackets;
	tests[7] = what_comes_out_parses_to_itself;
	tests[8] = knows_domain_names;
	return suite_of("address", tests);
}
