/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in the fields of a message: addresses, parameters, and the rest. */
#include "message.h"
#include "suites.h"

/* "name|route|mailbox|host" of each address, "{name" and "}" for groups, with ";" between. */
static void check_addresses(const char *field, const char *expected)
{
	static const char *const begin[] = {"", "{", "}"};
	struct pn_arena *arena = pn_arena_new();
	struct pn_buffer text, out;
	struct pn_mime_message message;

	pn_buffer_init(&text, SIZE_MAX / 2);
	pn_buffer_init(&out, SIZE_MAX / 2);
	require(pn_buffer_print(&text, "To: %s\r\n\r\n", field) == PN_OK);
	message = open_text(arena, pn_buffer_slice(&text));
	for (size_t index = 0; index < message.envelope.to.count; index++) {
		const struct pn_mime_address *address = &message.envelope.to.list[index];

		require(pn_buffer_print(&out, "%s%s", index > 0 ? ";" : "", begin[address->kind]) ==
		        PN_OK);
		if (address->kind == PN_MIME_ADDRESS)
			require(pn_buffer_print(&out, "%.*s|%.*s|%.*s|%.*s",
			                        PN_SLICE_ARGS(address->name),
			                        PN_SLICE_ARGS(address->route),
			                        PN_SLICE_ARGS(address->mailbox),
			                        PN_SLICE_ARGS(address->host)) == PN_OK);
		else if (address->kind == PN_MIME_GROUP_BEGIN)
			require(pn_buffer_append(&out, address->mailbox) == PN_OK);
	}
	require(pn_buffer_append(&out, PN_SLICE("\0")) == PN_OK);
	ck_assert_msg(strcmp(out.data, expected) == 0, "%s: \"%s\", not \"%s\"", field, out.data,
	              expected);
	pn_buffer_clear(&text);
	pn_buffer_clear(&out);
	pn_arena_free(&arena);
}

START_TEST(reads_addresses)
{
	check_addresses("a@b", "||a|b");
	check_addresses("<a@b>", "||a|b");
	check_addresses("a@b, c@d", "||a|b;||c|d");
	check_addresses("A B <a@b>", "A B||a|b");
	check_addresses("\"B, A\" <a@b>", "B, A||a|b");
	check_addresses("\"a \\\" b\" <a@b>", "a \" b||a|b");
	check_addresses("John Q. Public <a@b>", "John Q. Public||a|b");
	check_addresses("=?utf-8?q?a=2Cb?= c <a@b>", "=?utf-8?q?a=2Cb?= c||a|b");
	check_addresses("\"a b\"@c", "||a b|c");
	check_addresses("a@[192.0.2.1]", "||a|[192.0.2.1]");
	check_addresses("A\r\n\tB <a@b>", "A B||a|b");
	check_addresses("\xc3\xa4 <\xc3\xb6@b>", "\xc3\xa4||\xc3\xb6|b");
}
END_TEST

START_TEST(reads_groups)
{
	check_addresses("undisclosed-recipients:;", "{undisclosed-recipients;}");
	check_addresses("A group: a@b, C <c@d>; e@f", "{A group;||a|b;C||c|d;};||e|f");
	check_addresses("g: a@b", "{g;||a|b;}");
	check_addresses("g:;, h:;", "{g;};{h;}");
	check_addresses("g: h: a@b;", "{g;||h: a|b;}");
}
END_TEST

START_TEST(reads_what_is_obsolete)
{
	check_addresses("a@b (The Name)", "The Name||a|b");
	check_addresses("(x) N <a@b> (y)", "N||a|b");
	check_addresses("a (c (d)) @ b (The \\) Name)", "The ) Name||a|b");
	check_addresses("<@a,@b:c@d>", "|@a,@b|c|d");
	check_addresses("N < @a : c . e @ d >", "N|@a|c.e|d");
	check_addresses(",, a@b ,,", "||a|b");
}
END_TEST

START_TEST(takes_what_is_no_address)
{
	check_addresses("", "");
	check_addresses("garbage", "||garbage|");
	check_addresses("two words", "||two words|");
	check_addresses("<>", "|||");
	check_addresses("a@b@c", "||a@b|c");
	check_addresses("\"not closed <a@b>", "||not closed <a@b>|");
	check_addresses("(not closed <a@b>", "");
	check_addresses("N <a@b", "N||a|b");
	check_addresses("N <a@b, c@d", "N||a|b;||c|d");
	check_addresses("<a@b> c <d@e>", "||a|b");
	check_addresses("a@b; c@d", "||a|b;||c|d");
	check_addresses("[not closed", "||[not closed|");
	check_addresses("a\\", "||a\\|");
}
END_TEST

START_TEST(addresses_past_the_limit_are_left_out)
{
	struct pn_arena *arena = pn_arena_new();

	for (size_t count = PN_MIME_MAX_ADDRESSES - 1; count < PN_MIME_MAX_ADDRESSES + 2; count++) {
		struct pn_buffer text;
		struct pn_mime_message message;
		size_t expected = count < PN_MIME_MAX_ADDRESSES ? count : PN_MIME_MAX_ADDRESSES;

		pn_buffer_init(&text, SIZE_MAX / 2);
		append_times(&text, "To: ", 1);
		append_times(&text, "a@b,", count);
		append_times(&text, "\r\nCc: g:", 1);
		append_times(&text, "a@b,", count);
		append_times(&text, "\r\n\r\n", 1);
		message = open_text(arena, pn_buffer_slice(&text));
		ck_assert_uint_eq(message.envelope.to.count, expected);
		/* A group ends, whatever the limit. */
		ck_assert_uint_eq(message.envelope.cc.count, PN_MIME_MAX_ADDRESSES);
		ck_assert_int_eq(message.envelope.cc.list[PN_MIME_MAX_ADDRESSES - 1].kind,
		                 PN_MIME_GROUP_END);
		pn_buffer_clear(&text);
	}
	pn_arena_free(&arena);
}
END_TEST

/* "type/subtype;name=value…" */
static void check_type(const char *field, const char *expected)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_buffer text, out;
	struct pn_mime_message message;
	const struct pn_mime_part *root;

	pn_buffer_init(&text, SIZE_MAX / 2);
	pn_buffer_init(&out, SIZE_MAX / 2);
	require(pn_buffer_print(&text, "Content-Type: %s\r\n\r\n", field) == PN_OK);
	message = open_text(arena, pn_buffer_slice(&text));
	root = &message.parts[0];
	require(pn_buffer_print(&out, "%.*s/%.*s", PN_SLICE_ARGS(root->type),
	                        PN_SLICE_ARGS(root->subtype)) == PN_OK);
	for (size_t index = 0; index < root->parameters.count; index++)
		require(pn_buffer_print(&out, ";%.*s=%.*s",
		                        PN_SLICE_ARGS(root->parameters.list[index].name),
		                        PN_SLICE_ARGS(root->parameters.list[index].value)) ==
		        PN_OK);
	require(pn_buffer_append(&out, PN_SLICE("\0")) == PN_OK);
	ck_assert_msg(strcmp(out.data, expected) == 0, "%s: \"%s\", not \"%s\"", field, out.data,
	              expected);
	pn_buffer_clear(&text);
	pn_buffer_clear(&out);
	pn_arena_free(&arena);
}

START_TEST(reads_parameters)
{
	check_type("a/b; C=D", "a/b;c=D");
	check_type("A/B;c=\"d; \\\"e\\\\\"", "a/b;c=d; \"e\\");
	check_type("a/b; charset=us-ascii (Plain text)", "a/b;charset=us-ascii");
	check_type("a/b (x) ; (y) c (z) = (w) d", "a/b;c=d");
	check_type("a/b;\r\n\tc=d;\r\n e=f;", "a/b;c=d;e=f");
	check_type("a/b; c=my file.txt ; d=e", "a/b;c=my file.txt;d=e");
	check_type("a/b; c=; d=\"\"; e", "a/b;c=;d=");
	check_type("a/b;; c=d;;", "a/b;c=d");
	check_type("a/b; c=d; c=e", "a/b;c=d");
	check_type("a/b; =d; e=f", "a/b;e=f");
	check_type("a/b; c=\"not closed; d=e", "a/b;c=not closed; d=e");
	check_type("a/b; c=\xc3\xa4", "a/b;c=\xc3\xa4");
	check_type("garbage; c=d", "text/plain;charset=us-ascii");
}
END_TEST

START_TEST(joins_what_rfc_2231_cut)
{
	check_type("a/b; f*0=one; f*1=\" two\"", "a/b;f=one two");
	check_type("a/b; f*1=two; g=h; f*0=one", "a/b;g=h;f=onetwo");
	check_type("a/b; f*=utf-8'en'a%20b", "a/b;f*=utf-8'en'a%20b");
	check_type("a/b; f*0*=utf-8''a%20; f*1=\"b c\"; f*2*=%C3%A4",
	           "a/b;f*=utf-8''a%20b%20c%C3%A4");
	check_type("a/b; f*0=a; f*1*=%20", "a/b;f*=''a%20");
	check_type("a/b; f=x; f*=utf-8''y", "a/b;f=x;f*=utf-8''y");
	/* A piece is missing: what is behind it is left out. */
	check_type("a/b; f*0=one; f*2=three", "a/b;f=one");
	check_type("a/b; f*1=two", "a/b;f*1=two");
	check_type("a/b; f*x=y; f**=z", "a/b;f*x=y;f**=z");
}
END_TEST

START_TEST(parameters_past_the_limit_are_left_out)
{
	struct pn_arena *arena = pn_arena_new();

	for (unsigned count = PN_MIME_MAX_PARAMETERS; count < PN_MIME_MAX_PARAMETERS + 2; count++) {
		struct pn_mime_message message;
		struct pn_buffer text;

		pn_buffer_init(&text, SIZE_MAX / 2);
		append_times(&text, "Content-Type: a/b", 1);
		for (unsigned index = 0; index < count; index++)
			require(pn_buffer_print(&text, ";p%u=v", index) == PN_OK);
		append_times(&text, "\r\n\r\n", 1);
		message = open_text(arena, pn_buffer_slice(&text));
		ck_assert_uint_eq(message.parts[0].parameters.count, PN_MIME_MAX_PARAMETERS);
		pn_buffer_clear(&text);
	}
	pn_arena_free(&arena);
}
END_TEST

START_TEST(reads_the_fields_of_a_part)
{
	static const char text[] =
		"Content-Transfer-Encoding: Quoted-Printable (x)\r\n"
		"Content-ID: <a@b>\r\nContent-Description: some\r\n text\r\nContent-MD5: abc\r\n"
		"Content-Disposition: ATTACHMENT; FileName=\"a b\"; size=5\r\n"
		"Content-Language: de, en (x) ,fr\r\nContent-Location: http://a/b\r\n\r\n";
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message = open_text(arena, pn_slice_of(text));
	const struct pn_mime_part *root = &message.parts[0];

	check_text(root->encoding, "quoted-printable");
	check_text(root->id, "<a@b>");
	check_text(root->description, "some text");
	check_text(root->md5, "abc");
	check_text(root->disposition, "attachment");
	ck_assert_uint_eq(root->disposition_parameters.count, 2);
	check_text(root->disposition_parameters.list[0].name, "filename");
	check_text(root->disposition_parameters.list[0].value, "a b");
	ck_assert_uint_eq(root->languages.count, 3);
	check_text(root->languages.list[2].name, "fr");
	check_text(root->location, "http://a/b");
	message = open_text(arena, PN_SLICE("Content-Transfer-Encoding: X-Odd\r\n\r\n"));
	check_text(message.parts[0].encoding, "x-odd");
	message = open_text(arena, PN_SLICE("Content-Transfer-Encoding:\r\n\r\n"));
	check_text(message.parts[0].encoding, "7bit");
	pn_arena_free(&arena);
}
END_TEST

START_TEST(an_envelope_tells_empty_from_missing)
{
	static const char text[] = "Subject:\r\nDate: \r\n now \r\nMessage-Id: <a@b>\r\n"
				   "In-Reply-To: <c@d>\r\nReferences: <e@f>\r\n\t<g@h>\r\n"
				   "SUBJECT: second\r\n\r\n";
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message = open_text(arena, pn_slice_of(text));
	const struct pn_mime_envelope *envelope = &message.envelope;

	ck_assert_ptr_nonnull(envelope->subject.data);
	ck_assert_uint_eq(envelope->subject.size, 0);
	check_text(envelope->date, "now");
	check_text(envelope->message_id, "<a@b>");
	check_text(envelope->in_reply_to, "<c@d>");
	check_text(envelope->references, "<e@f> <g@h>");
	ck_assert_uint_eq(envelope->from.count, 0);
	message = open_text(arena, PN_SLICE("X: y\r\n\r\n"));
	ck_assert_ptr_null(message.envelope.subject.data);
	/* NUL is taken out, a lone CR is a space. */
	message = open_text(arena, pn_slice_make("Subject: a\0b\rc\r\n\r\n", 18));
	check_text(message.envelope.subject, "ab c");
	pn_arena_free(&arena);
}
END_TEST

START_TEST(fields_of_addresses_with_one_name_are_one_list)
{
	static const char text[] =
		"To: A <a@b>, g: c@d;\r\nCc: x@y\r\nSubject: s\r\nTO: e@f\r\nto:\r\n"
		"To: (nobody)\r\nTo: h@i\r\n\r\n";
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message = open_text(arena, pn_slice_of(text));
	const struct pn_mime_addresses *to = &message.envelope.to;
	struct pn_buffer many;

	ck_assert_uint_eq(to->count, 6);
	check_text(to->list[0].mailbox, "a");
	ck_assert_int_eq(to->list[3].kind, PN_MIME_GROUP_END);
	check_text(to->list[4].host, "f");
	check_text(to->list[5].mailbox, "h");
	ck_assert_uint_eq(message.envelope.cc.count, 1);
	/* One field too many is left out, and those before it are not. */
	pn_buffer_init(&many, 1 << 20);
	for (size_t index = 0; index < PN_MIME_MAX_ADDRESSES + 1; index++)
		ck_assert_int_eq(pn_buffer_print(&many,
		                                 index == 0 ? "Bcc: n%zu@x"
		                                 : index < PN_MIME_MAX_ADDRESSES - 1
		                                         ? ", n%zu@x"
		                                         : "\r\nBcc: n%zu@x",
		                                 index),
		                 PN_OK);
	ck_assert_int_eq(pn_buffer_append(&many, PN_SLICE("\r\nCc: last@x\r\n\r\n")), PN_OK);
	message = open_text(arena, pn_buffer_slice(&many));
	ck_assert_uint_eq(message.envelope.bcc.count, PN_MIME_MAX_ADDRESSES);
	check_text(message.envelope.bcc.list[PN_MIME_MAX_ADDRESSES - 1].mailbox, "n999");
	ck_assert_uint_eq(message.envelope.cc.count, 1);
	pn_buffer_clear(&many);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(a_field_past_the_limit_is_cut)
{
	struct pn_arena *arena = pn_arena_new();

	for (size_t size = PN_MIME_MAX_FIELD - 1; size < PN_MIME_MAX_FIELD + 2; size++) {
		struct pn_buffer text;
		struct pn_mime_message message;
		size_t looked_at = size < PN_MIME_MAX_FIELD ? size : PN_MIME_MAX_FIELD;

		pn_buffer_init(&text, SIZE_MAX / 2);
		append_times(&text, "Subject: ", 1);
		append_times(&text, "x", size - strlen("Subject: "));
		append_times(&text, "\r\nDate: now\r\n\r\n", 1);
		message = open_text(arena, pn_buffer_slice(&text));
		ck_assert_uint_eq(message.envelope.subject.size, looked_at - strlen("Subject: "));
		check_text(message.envelope.date, "now");
		pn_buffer_clear(&text);
	}
	pn_arena_free(&arena);
}
END_TEST

Suite *mime_fields_suite(void)
{
	static const TTest *tests[16];
	size_t count = 0;

	tests[count++] = reads_addresses;
	tests[count++] = reads_groups;
	tests[count++] = reads_what_is_obsolete;
	tests[count++] = takes_what_is_no_address;
	tests[count++] = addresses_past_the_limit_are_left_out;
	tests[count++] = reads_parameters;
	tests[count++] = joins_what_rfc_2231_cut;
	tests[count++] = parameters_past_the_limit_are_left_out;
	tests[count++] = reads_the_fields_of_a_part;
	tests[count++] = an_envelope_tells_empty_from_missing;
	tests[count++] = fields_of_addresses_with_one_name_are_one_list;
	tests[count++] = a_field_past_the_limit_is_cut;
	return suite_of("mime fields", tests);
}
