/* SPDX-License-Identifier: Apache-2.0 */
/* Delivery reports: read back with our own MIME parser, and what strangers put into them. */
#include "../exact.h"
#include "suites.h"

#include <postern/arena.h>
#include <postern/header.h>
#include <postern/mime.h>
#include <postern/text.h>

#include "mail/dsn.h"

#include <stdio.h>

static struct pn_arena *arena;
static struct pn_buffer out;
static struct pn_mime_message report;

static void set_up(void)
{
	arena = pn_arena_new();
	pn_buffer_init(&out, 1024 * 1024);
}

static void tear_down(void)
{
	pn_buffer_clear(&out);
	pn_arena_free(&arena);
}

#define ORIGINAL                                                                                   \
	"Received: from x\r\nMessage-ID: <one@client.test>\r\n"                                    \
	"Subject: hello\r\n\r\nbody\r\n"

static struct pn_dsn sample(const struct pn_dsn_recipient *recipients, size_t count)
{
	return (struct pn_dsn){
		.hostname = PN_SLICE("mx.example.org"),
		.id = PN_SLICE("abc123"),
		.transaction = PN_SLICE("t7"),
		.to = PN_SLICE("alice@client.test"),
		.from = PN_SLICE("MAILER-DAEMON@mx.example.org"),
		.received_from = PN_SLICE("192.0.2.7"),
		.arrived_ms = 1790000000000,
		.now_ms = 1790000600000,
		.recipients = recipients,
		.recipient_count = count,
		.original = PN_SLICE(ORIGINAL),
		.original_is_whole = true,
	};
}

static struct pn_dsn_recipient bob(enum pn_dsn_kind kind)
{
	return (struct pn_dsn_recipient){
		.kind = kind,
		.original = PN_SLICE("rfc822;Bob@example.net"),
		.address = PN_SLICE("bob@example.net"),
		.status = PN_SLICE("5.1.1"),
		.diagnostic = PN_SLICE("550 5.1.1 no such user"),
		.diagnostic_is_remote = true,
		.remote = PN_SLICE("mx1.example.net"),
		.reason = PN_SLICE("There is no such mailbox."),
		.last_attempt_ms = 1790000300000,
	};
}

static void write_report(const struct pn_dsn *dsn)
{
	struct pn_mime_parser *parser = pn_mime_new();
	struct pn_buffer summary;

	out.size = 0;
	ck_assert_int_eq(pn_dsn_write(dsn, &out), PN_OK);
	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	pn_mime_feed(parser, pn_buffer_slice(&out));
	ck_assert_int_eq(pn_mime_finish(parser, &summary), PN_OK);
	ck_assert_int_eq(
		pn_mime_open(pn_arena_keep(arena, pn_buffer_slice(&summary)), arena, &report),
		PN_OK);
	pn_mime_free(&parser);
	pn_buffer_clear(&summary);
}

static bool has(struct pn_slice text, const char *words)
{
	return text.size > 0 && memmem(text.data, text.size, words, strlen(words)) != NULL;
}

static struct pn_slice part(size_t index)
{
	const struct pn_mime_part *found = &report.parts[index];

	ck_assert_uint_lt(index, report.part_count);
	return pn_slice_make(out.data + found->body_offset, (size_t)found->body_size);
}

static bool part_is(size_t index, const char *type, const char *subtype)
{
	return pn_slice_equal(report.parts[index].type, pn_slice_of(type)) &&
	       pn_slice_equal(report.parts[index].subtype, pn_slice_of(subtype));
}

static struct pn_slice field_of(struct pn_slice text, const char *name)
{
	const struct pn_header_field *field;
	struct pn_header header;

	ck_assert_int_eq(pn_header_parse(text, 1000, arena, &header), PN_OK);
	field = pn_header_find(&header, pn_slice_of(name), 0);
	ck_assert_msg(field == NULL || pn_header_find(&header, pn_slice_of(name), 1) == NULL,
	              "%s is there twice", name);
	return field == NULL ? PN_SLICE_NONE : pn_header_unfold(arena, field->value);
}

#define ck_field(text, name, value)                                                                \
	ck_assert_msg(pn_slice_equal(field_of(text, name), pn_slice_of(value)), "%s is %.*s",      \
	              name, PN_SLICE_ARGS(field_of(text, name)))

/* The fields of the recipient: the second block of the status. */
static struct pn_slice block(size_t index)
{
	struct pn_slice status = part(2);

	for (; index > 0; index--)
		status = pn_slice_behind(status, pn_header_end(status, 0));
	return status;
}

static size_t longest_line(void)
{
	size_t longest = 0;
	size_t column = 0;

	for (size_t i = 0; i < out.size; i++) {
		if (out.data[i] == '\n') {
			ck_assert(i > 0 && out.data[i - 1] == '\r');
			column = 0;
		} else if (out.data[i] == '\r') {
			ck_assert(i + 1 < out.size && out.data[i + 1] == '\n');
		} else if (++column > longest) {
			longest = column;
		}
	}
	return longest;
}

static bool is_7bit(void)
{
	for (size_t i = 0; i < out.size; i++) {
		if ((unsigned char)out.data[i] >= 0x80 || out.data[i] == '\0')
			return false;
	}
	return true;
}

START_TEST(a_failure_has_all_three_parts)
{
	struct pn_dsn_recipient recipient = bob(PN_DSN_FAILED);
	struct pn_dsn dsn = sample(&recipient, 1);

	write_report(&dsn);
	ck_assert(part_is(0, "multipart", "report"));
	ck_assert(part_is(1, "text", "plain"));
	ck_assert(part_is(2, "message", "delivery-status"));
	ck_assert(part_is(3, "message", "rfc822"));
	ck_assert(pn_slice_equal(part(3), PN_SLICE(ORIGINAL)));
	ck_field(pn_buffer_slice(&out), "From",
	         "Mail Delivery System <MAILER-DAEMON@mx.example.org>");
	ck_field(pn_buffer_slice(&out), "To", "<alice@client.test>");
	ck_field(pn_buffer_slice(&out), "Subject",
	         "Your message to bob@example.net was not delivered");
	ck_field(pn_buffer_slice(&out), "Message-ID", "<abc123@mx.example.org>");
	ck_field(pn_buffer_slice(&out), "In-Reply-To", "<one@client.test>");
	ck_field(pn_buffer_slice(&out), "Auto-Submitted", "auto-replied");
	ck_field(pn_buffer_slice(&out), "Date", "Mon, 21 Sep 2026 14:23:20 +0000");
	ck_field(part(2), "Reporting-MTA", "dns; mx.example.org");
	ck_field(part(2), "Received-From-MTA", "dns; [192.0.2.7]");
	ck_field(part(2), "Arrival-Date", "Mon, 21 Sep 2026 14:13:20 +0000");
	ck_field(part(2), "Original-Envelope-Id", "");
	ck_field(block(1), "Original-Recipient", "rfc822; Bob@example.net");
	ck_field(block(1), "Final-Recipient", "rfc822; bob@example.net");
	ck_field(block(1), "Action", "failed");
	ck_field(block(1), "Status", "5.1.1");
	ck_field(block(1), "Remote-MTA", "dns; mx1.example.net");
	ck_field(block(1), "Diagnostic-Code", "smtp; 550 5.1.1 no such user");
	ck_field(block(1), "Last-Attempt-Date", "Mon, 21 Sep 2026 14:18:20 +0000");
	ck_assert(has(part(1), "bob@example.net") && has(part(1), "There is no such mailbox."));
	ck_assert(has(part(1), "spelled") && has(part(1), "550 5.1.1 no such user"));
	ck_assert(is_7bit() && longest_line() <= 78);
}
END_TEST

START_TEST(each_kind_says_what_it_is)
{
	static const struct {
		enum pn_dsn_kind kind;
		const char *action, *status, *subject, *words;
	} kinds[] = {
		{PN_DSN_FAILED, "failed", "5.0.0", "was not delivered", "could not be delivered"},
		{PN_DSN_DELAYED, "delayed", "4.0.0", "is delayed", "need not send it again"},
		{PN_DSN_DELIVERED, "delivered", "2.0.0", "was delivered", "was delivered to"},
		{PN_DSN_RELAYED, "relayed", "2.0.0", "was passed on", "next server"},
		{PN_DSN_EXPANDED, "expanded", "2.0.0", "was passed on to a list", "everybody"},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct pn_dsn_recipient recipient = bob(kinds[i].kind);
		struct pn_dsn dsn = sample(&recipient, 1);

		recipient.status = PN_SLICE("5.x.1");
		recipient.retry_until_ms = 1790000900000;
		write_report(&dsn);
		ck_field(block(1), "Action", kinds[i].action);
		ck_field(block(1), "Status", kinds[i].status);
		ck_field(block(1), "Will-Retry-Until",
		         kinds[i].kind == PN_DSN_DELAYED ? "Mon, 21 Sep 2026 14:28:20 +0000" : "");
		ck_assert(has(field_of(pn_buffer_slice(&out), "Subject"), kinds[i].subject));
		ck_assert(has(part(1), kinds[i].words));
	}
}
END_TEST

START_TEST(what_strangers_say_adds_no_field_and_no_part)
{
	struct pn_dsn_recipient recipients[2] = {bob(PN_DSN_FAILED), bob(PN_DSN_DELAYED)};
	struct pn_dsn dsn = sample(recipients, 2);
	struct pn_header header;

	recipients[0].diagnostic = PN_SLICE(
		"550 a\r\nAction: delivered\r\n\r\n--=_report_abc123_0--\r\n\r\nx\0y\x1b[2J");
	recipients[0].remote = PN_SLICE("evil\r\nStatus: 2.0.0");
	recipients[0].original = PN_SLICE("rfc822;a\r\nFinal-Recipient: rfc822; b");
	recipients[0].address = PN_SLICE("bob@example.net\r\n\r\nFinal-Recipient: x");
	recipients[0].reason =
		PN_SLICE("why\r\n--=_report_abc123_0\r\nContent-Type: text/html\r\n\r\n");
	recipients[1].original = PN_SLICE("no type");
	dsn.envelope_id = PN_SLICE("id\r\nReporting-MTA: dns; evil");
	dsn.received_from = PN_SLICE("h\r\n\r\n");
	dsn.transaction = PN_SLICE("t\r\nBcc: a@b");
	write_report(&dsn);
	ck_assert_uint_eq(report.part_count, 5); /* the last one: the text in the original */
	ck_assert(part_is(3, "message", "rfc822"));
	ck_assert_int_eq(pn_header_parse(pn_buffer_slice(&out), 100, arena, &header), PN_OK);
	ck_assert_uint_eq(header.count, 11);
	ck_field(part(2), "Reporting-MTA", "dns; mx.example.org");
	ck_field(part(2), "Original-Envelope-Id", "id Reporting-MTA: dns; evil");
	ck_field(block(1), "Action", "failed");
	ck_field(block(1), "Status", "5.1.1");
	ck_field(block(1), "Original-Recipient", "rfc822; a Final-Recipient: rfc822; b");
	ck_field(block(1), "Final-Recipient", "rfc822; bob@example.net Final-Recipient: x");
	ck_field(block(2), "Action", "delayed");
	ck_field(block(2), "Original-Recipient", "");
	ck_assert(is_7bit() && longest_line() <= 998);
}
END_TEST

START_TEST(a_boundary_that_the_original_knows_is_not_used)
{
	const struct pn_slice clever = PN_SLICE("Subject: x\r\n\r\n--=_report_abc123_0--\r\n"
	                                        "--=_report_abc123_1\r\n\r\nevil\r\n");
	struct pn_dsn_recipient recipient = bob(PN_DSN_FAILED);
	struct pn_dsn dsn = sample(&recipient, 1);

	dsn.original = clever;
	write_report(&dsn);
	ck_assert(part_is(3, "message", "rfc822"));
	ck_assert(pn_slice_equal(part(3), clever));
}
END_TEST

START_TEST(addresses_in_utf8_make_a_global_report)
{
	const struct pn_slice header = PN_SLICE("Subject: gr\xc3\xbc\xc3\x9f\r\n\r\n");
	struct pn_dsn_recipient recipients[2] = {bob(PN_DSN_FAILED), bob(PN_DSN_FAILED)};
	struct pn_dsn dsn = sample(recipients, 2);

	recipients[0].address = PN_SLICE("j\xc3\xbcrgen@b\xc3\xbc"
	                                 "cher.example");
	recipients[0].original = PN_SLICE("utf-8;j\xc3\xbcrgen@example");
	recipients[0].diagnostic = PN_SLICE("550 5.1.1 k\xc3\xa4se");
	recipients[1].diagnostic = PN_SLICE("550 5.1.1 k\xe4se \xe2\x80\xae");
	dsn.original = header;
	dsn.original_is_whole = false;
	write_report(&dsn);
	ck_assert(part_is(2, "message", "global-delivery-status"));
	ck_assert(part_is(3, "message", "global-headers"));
	ck_assert(pn_slice_equal(report.parts[3].encoding, PN_SLICE("8bit")));
	ck_assert(has(field_of(pn_buffer_slice(&out), "Content-Type"),
	              "report-type=global-delivery-status"));
	ck_field(block(1), "Final-Recipient",
	         "utf-8; j\xc3\xbcrgen@b\xc3\xbc"
	         "cher.example");
	ck_field(block(1), "Original-Recipient", "utf-8; j\xc3\xbcrgen@example");
	ck_field(block(1), "Diagnostic-Code", "smtp; 550 5.1.1 k\xc3\xa4se");
	ck_field(block(2), "Final-Recipient", "rfc822; bob@example.net");
	ck_field(block(2), "Diagnostic-Code", "smtp; 550 5.1.1 k?se ?");
	dsn.original_is_whole = true;
	write_report(&dsn);
	ck_assert(part_is(3, "message", "global"));
}
END_TEST

START_TEST(other_bytes_are_no_reason_for_8bit)
{
	const struct pn_slice header = PN_SLICE("Subject: gr\xfc\xdf = \r\nX: a\rb\r\n\r\n");
	struct pn_dsn_recipient recipient = bob(PN_DSN_FAILED);
	struct pn_dsn dsn = sample(&recipient, 1);

	recipient.diagnostic = PN_SLICE("550 k\xc3\xa4se");
	dsn.original = header;
	dsn.original_is_whole = false;
	write_report(&dsn);
	ck_field(block(1), "Diagnostic-Code", "smtp; 550 k?se");
	ck_assert(part_is(3, "text", "rfc822-headers"));
	ck_assert(pn_slice_equal(report.parts[3].encoding, PN_SLICE("quoted-printable")));
	ck_assert(has(part(3), "Subject: gr=FC=DF =3D=20\r\nX: a=0Db\r\n"));
	ck_assert(is_7bit());
}
END_TEST

START_TEST(a_whole_original_that_is_not_lines_is_enclosed_by_its_header)
{
	const struct pn_slice binary = PN_SLICE("Subject: x\r\n\r\na\0b");
	const struct pn_slice eight = PN_SLICE("Subject: x\r\n\r\nk\xe4se\r\n");
	struct pn_dsn_recipient recipient = bob(PN_DSN_FAILED);
	struct pn_dsn dsn = sample(&recipient, 1);

	dsn.original = binary;
	write_report(&dsn);
	ck_assert(part_is(3, "text", "rfc822-headers"));
	ck_assert(!has(pn_buffer_slice(&out), "a?b") && is_7bit());
	dsn.original = eight;
	write_report(&dsn);
	ck_assert(part_is(3, "message", "rfc822"));
	ck_assert(pn_slice_equal(report.parts[3].encoding, PN_SLICE("8bit")));
	ck_field(pn_buffer_slice(&out), "Content-Transfer-Encoding", "8bit");
	dsn.original = PN_SLICE_NONE;
	write_report(&dsn);
	ck_assert_uint_eq(report.part_count, 3);
}
END_TEST

START_TEST(long_words_stay_within_lines)
{
	char text[3000];
	struct pn_dsn_recipient recipient = bob(PN_DSN_FAILED);
	struct pn_dsn dsn = sample(&recipient, 1);

	memset(text, 'x', sizeof(text));
	recipient.diagnostic = recipient.reason = recipient.remote = recipient.address =
		pn_slice_make(text, sizeof(text));
	dsn.envelope_id = dsn.received_from = dsn.transaction = recipient.address;
	dsn.to = recipient.address;
	write_report(&dsn);
	ck_assert(longest_line() <= 998);
	ck_field(pn_buffer_slice(&out), "To", "undisclosed-recipients:;");
	memcpy(text, "Subject: ", 9);
	dsn.original = pn_slice_make(text, sizeof(text));
	dsn.original_is_whole = false;
	write_report(&dsn);
	ck_assert(longest_line() <= 998);
}
END_TEST

START_TEST(a_buffer_that_is_too_small_is_told)
{
	struct pn_dsn_recipient recipient = bob(PN_DSN_FAILED);
	struct pn_dsn dsn = sample(&recipient, 1);
	size_t size;

	write_report(&dsn);
	size = out.size;
	pn_buffer_clear(&out);
	pn_buffer_init(&out, size);
	ck_assert_int_eq(pn_dsn_write(&dsn, &out), PN_OK);
	pn_buffer_clear(&out);
	pn_buffer_init(&out, size - 1);
	ck_assert_int_eq(pn_dsn_write(&dsn, &out), PN_LIMIT);
}
END_TEST

Suite *dsn_suite(void)
{
	Suite *suite = suite_create("dsn");
	TCase *test_case = tcase_create("dsn");

	tcase_add_checked_fixture(test_case, set_up, tear_down);
	tcase_add_test(test_case, a_failure_has_all_three_parts);
	tcase_add_test(test_case, each_kind_says_what_it_is);
	tcase_add_test(test_case, what_strangers_say_adds_no_field_and_no_part);
	tcase_add_test(test_case, a_boundary_that_the_original_knows_is_not_used);
	tcase_add_test(test_case, addresses_in_utf8_make_a_global_report);
	tcase_add_test(test_case, other_bytes_are_no_reason_for_8bit);
	tcase_add_test(test_case, a_whole_original_that_is_not_lines_is_enclosed_by_its_header);
	tcase_add_test(test_case, long_words_stay_within_lines);
	tcase_add_test(test_case, a_buffer_that_is_too_small_is_told);
	suite_add_tcase(suite, test_case);
	return suite;
}
