/* SPDX-License-Identifier: Apache-2.0 */
/* Structures: what is a part, where it lies, and what becomes of messages that are broken. */
#include "message.h"
#include "mail/mime.h"
#include "suites.h"

#include <sys/resource.h>
#include <time.h>

#define MIXED "Content-Type: multipart/mixed; boundary=b\r\n\r\n"

START_TEST(a_plain_message_is_one_leaf)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message =
		open_text(arena, PN_SLICE("Subject: x\r\n\r\none\r\ntwo\r\n"));
	const struct pn_mime_part *root = &message.parts[0];

	ck_assert_uint_eq(message.part_count, 1);
	ck_assert_uint_eq(message.size, 24);
	ck_assert_uint_eq(message.header_size, 14);
	ck_assert_int_eq(root->kind, PN_MIME_LEAF);
	ck_assert_uint_eq(root->header_offset, 0);
	ck_assert_uint_eq(root->header_size, 14);
	ck_assert_uint_eq(root->body_offset, 14);
	ck_assert_uint_eq(root->body_size, 10);
	ck_assert_uint_eq(root->line_count, 2);
	ck_assert_uint_eq(root->first_child, 0);
	check_text(root->type, "text");
	check_text(root->subtype, "plain");
	check_text(root->encoding, "7bit");
	/* RFC 2045 section 5.2 */
	ck_assert_uint_eq(root->parameters.count, 1);
	check_text(root->parameters.list[0].name, "charset");
	check_text(root->parameters.list[0].value, "us-ascii");
	ck_assert_ptr_null(root->disposition.data);
	ck_assert_ptr_null(root->id.data);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(parts_end_before_the_line_end_of_the_boundary)
{
	static const char text[] =
		MIXED "preamble\r\n--b\r\n\r\none\r\n\r\n--b \t\r\n"
		      "Content-Type: TEXT/Html\r\n\r\ntwo\r\nlines\r\n--b--\r\nend";
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message = open_text(arena, pn_slice_of(text));
	const struct pn_mime_part *one = &message.parts[1], *two = &message.parts[2];

	check_structure(text, "multipart/mixed[text/plain=one\r\n text/html=two\r\nlines]");
	ck_assert_uint_eq(message.parts[0].first_child, 1);
	ck_assert_uint_eq(one->next_sibling, 2);
	ck_assert_uint_eq(one->parent, 0);
	ck_assert_uint_eq(one->header_offset, (uint64_t)(strstr(text, "--b\r\n") + 5 - text));
	ck_assert_uint_eq(one->header_size, 2);
	ck_assert_uint_eq(one->line_count, 1);
	ck_assert_uint_eq(two->line_count, 2);
	ck_assert_uint_eq(message.parts[0].line_count, 12);
	ck_assert_uint_eq(message.parts[0].body_offset + message.parts[0].body_size,
	                  sizeof(text) - 1);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(a_bare_line_feed_ends_a_line)
{
	check_structure("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\r\n\ntwo\n\n"
	                "--b--\n",
	                "multipart/mixed[text/plain=one text/plain=two\n]");
}
END_TEST

START_TEST(a_boundary_may_begin_with_another)
{
	check_structure(MIXED "--b\r\nContent-Type: multipart/alternative; boundary=bb\r\n\r\n"
	                      "--bb\r\n\r\none\r\n--bb--\r\n--b\r\n\r\ntwo\r\n--b--\r\n",
	                "multipart/mixed[multipart/alternative[text/plain=one] text/plain=two]");
	check_structure("Content-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n"
	                "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	                "--b\r\n\r\none\r\n--bb\r\n\r\ntwo\r\n--bb--\r\n",
	                "multipart/mixed[multipart/mixed[text/plain=one] text/plain=two]");
}
END_TEST

START_TEST(a_boundary_of_an_outer_part_ends_those_inside)
{
	check_structure(MIXED "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
	                      "--c\r\n\r\none\r\n--b\r\n\r\ntwo",
	                "multipart/mixed[multipart/mixed[text/plain=one] text/plain=two]");
	/* In a header, too. */
	check_structure(MIXED "--b\r\nContent-Type: text/html\r\n--b\r\n\r\ntwo\r\n--b--",
	                "multipart/mixed[text/html= text/plain=two]");
	/* What was closed is text in what is around it. */
	check_structure(MIXED "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
	                      "--c\r\n\r\none\r\n--c--\r\n--c\r\nx\r\n--b--\r\n--b\r\n",
	                "multipart/mixed[multipart/mixed[text/plain=one]]");
}
END_TEST

START_TEST(a_multipart_without_parts_has_an_empty_one)
{
	check_structure(MIXED, "multipart/mixed[text/plain=]");
	check_structure(MIXED "no boundary", "multipart/mixed[text/plain=]");
	check_structure(MIXED "--b--\r\n", "multipart/mixed[text/plain=]");
	check_structure("Content-Type: multipart/mixed\r\n\r\n--\r\n\r\nx\r\n",
	                "multipart/mixed[text/plain=]");
	check_structure("Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n\r\nx\r\n",
	                "multipart/mixed[text/plain=]");
	check_structure("Content-Type: multipart/digest; boundary=b\r\n\r\n--b--",
	                "multipart/digest[text/plain=]");
	check_structure(MIXED "--b", "multipart/mixed[text/plain=]");
	check_structure(MIXED "--b\r\nContent-Type: multipart/x; boundary=c\r\n\r\n--b--",
	                "multipart/mixed[multipart/x[text/plain=]]");
}
END_TEST

START_TEST(a_message_inside_has_a_content)
{
	static const char text[] =
		"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody\r\n";
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message = open_text(arena, pn_slice_of(text));

	check_structure(text, "message/rfc822[text/plain=body\r\n]");
	ck_assert_int_eq(message.parts[0].kind, PN_MIME_MESSAGE);
	ck_assert_ptr_nonnull(message.parts[0].envelope);
	check_text(message.parts[0].envelope->subject, "in");
	ck_assert_ptr_null(message.envelope.subject.data);
	ck_assert_uint_eq(message.parts[0].inner_header_size, 15);
	ck_assert_uint_eq(message.parts[1].header_offset, message.parts[0].body_offset);
	ck_assert_uint_eq(message.parts[0].line_count, 3);
	ck_assert_uint_eq(message.parts[1].line_count, 1);
	pn_arena_free(&arena);
	check_structure("Content-Type: message/rfc822\r\n", "message/rfc822[text/plain=]");
	check_structure("Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
	                "message/global[text/plain=]");
	check_structure(
		"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n"
		"\r\none\r\n--b\r\nContent-Type: text/plain\r\n\r\ntwo\r\n--b--",
		"multipart/digest[message/rfc822[text/plain=one] text/plain=two]");
}
END_TEST

START_TEST(an_encoded_message_is_not_looked_into)
{
	check_structure(
		"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nAA",
		"application/octet-stream=AA");
	check_structure(
		"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: x-odd\r\n\r\nAA",
		"application/octet-stream=AA");
}
END_TEST

START_TEST(what_is_broken_has_a_structure)
{
	check_structure("", "text/plain=");
	check_structure("\r\n", "text/plain=");
	check_structure("\n", "text/plain=");
	check_structure("\r", "text/plain=");
	check_structure("\r\nbody", "text/plain=body");
	check_structure("no header at all", "text/plain=");
	check_structure("Subject: x\r\nno empty line\r\n", "text/plain=");
	check_structure(" continued\r\n\r\nx", "text/plain=x");
	check_structure("Content-Type: garbage\r\n\r\nx", "text/plain=x");
	check_structure("Content-Type: /html\r\n\r\nx", "text/plain=x");
	check_structure("Content-Type: text/\r\n\r\nx", "text/plain=x");
	check_structure("Content-Type:\r\n\r\nx", "text/plain=x");
	check_structure("Content-Type: text/html charset=x\r\n\r\nx", "text/html=x");
	check_structure("Content-Type: (a(b)) text (c) / (d) HTML (e)\r\n\r\nx", "text/html=x");
	check_structure("Content-Type : text/html\r\n\r\nx", "text/html=x");
	/* The first of a name counts. */
	check_structure("Content-Type: text/html\r\nContent-Type: text/css\r\n\r\nx",
	                "text/html=x");
	check_structure("Content-Type: garbage\r\nContent-Type: text/css\r\n\r\nx", "text/plain=x");
}
END_TEST

START_TEST(bytes_above_127_and_nul_are_told)
{
	static const char text[] =
		"A: \xe4\r\n" MIXED "--b\r\nX: \xe4\r\n\r\na\r\n--b\r\n\r\n\xe4\r\n"
		"--b\r\n\r\n\0\r\n--b--";
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message = open_text(arena, pn_slice_make(text, sizeof(text) - 1));

	ck_assert(message.header_has_8bit);
	ck_assert(message.parts[0].has_8bit && message.parts[0].has_nul);
	ck_assert(!message.parts[1].has_8bit && !message.parts[1].has_nul);
	ck_assert(message.parts[2].has_8bit && !message.parts[2].has_nul);
	ck_assert(!message.parts[3].has_8bit && message.parts[3].has_nul);
	message = open_text(arena, PN_SLICE("A: b\r\n\r\n\xe4"));
	ck_assert(!message.header_has_8bit && message.parts[0].has_8bit);
	/* What is in a part is in what is around it: of its body, or of its header. */
	message = open_text(arena, PN_SLICE(MIXED "--b\r\n\r\n\xe4\r\n--b--"));
	ck_assert(message.parts[0].has_8bit && message.parts[1].has_8bit);
	message = open_text(arena, PN_SLICE(MIXED "--b\r\nX: \xe4\r\n\r\na\r\n--b--"));
	ck_assert(message.parts[0].has_8bit && !message.parts[1].has_8bit);
	pn_arena_free(&arena);
}
END_TEST

static const char *const samples[] = {
	"From: a@b, c (d)\r\nSubject: x\r\n y\r\n\r\nbody\r\n.",
	MIXED "pre\r\n--b\r\n\r\n-\r\n--\r\n--x\r\n--b\r\nA: b\r\n--b--\r\n--b",
	MIXED "--b\r\nContent-Type: multipart/mixed; boundary=\"b-\"\r\n\r\n--b-\r\n\r\nx\n--b---\n"
	      "--b\r\nContent-Type: message/rfc822\r\n\r\n\r\nx\r\r\n\r\n--b--\r\n",
	"Content-Type: multipart/digest; boundary=b\n\n--b\n\n\n--b\n\nA: b\n\n\n--b--\n\n",
};

START_TEST(the_summary_is_the_same_however_a_message_is_cut)
{
	for (size_t index = 0; index < sizeof(samples) / sizeof(samples[0]); index++) {
		struct pn_slice text = pn_slice_of(samples[index]);
		struct pn_buffer whole = summary_of(text, 0);

		for (size_t step = 1; step < text.size; step++) {
			struct pn_buffer pieces = summary_of(text, step);

			if (!pn_slice_equal(pn_buffer_slice(&whole), pn_buffer_slice(&pieces)))
				ck_abort_msg("sample %zu in pieces of %zu", index, step);
			pn_buffer_clear(&pieces);
		}
		pn_buffer_clear(&whole);
	}
}
END_TEST

/* Every short text over what matters, after a header that makes it matter. */
START_TEST(short_texts_are_the_same_byte_by_byte)
{
	static const char alphabet[] = "-b\r\n";

	for (size_t length = 0; length <= 7; length++) {
		for (size_t number = 0; number < word_count(4, length); number++) {
			struct pn_slice word = exact_word(alphabet, 4, length, number);
			struct pn_buffer text, whole, pieces;

			pn_buffer_init(&text, 200);
			require(pn_buffer_append(&text, PN_SLICE(MIXED)) == PN_OK);
			require(pn_buffer_append(&text, word) == PN_OK);
			whole = summary_of(pn_buffer_slice(&text), 0);
			pieces = summary_of(pn_buffer_slice(&text), 1);
			require(pn_slice_equal(pn_buffer_slice(&whole), pn_buffer_slice(&pieces)));
			pn_buffer_clear(&text);
			pn_buffer_clear(&whole);
			pn_buffer_clear(&pieces);
			free((char *)(uintptr_t)word.data);
		}
	}
}
END_TEST

static struct pn_mime_message open_buffer(struct pn_arena *arena, struct pn_buffer *text)
{
	struct pn_mime_message message = open_text(arena, pn_buffer_slice(text));

	pn_buffer_clear(text);
	return message;
}

START_TEST(parts_past_the_limit_are_part_of_the_last)
{
	struct pn_arena *arena = pn_arena_new();

	for (size_t count = PN_MIME_MAX_PARTS - 2; count < PN_MIME_MAX_PARTS + 2; count++) {
		struct pn_buffer text;
		struct pn_mime_message message;
		const struct pn_mime_part *last;
		size_t expected = count + 1 < PN_MIME_MAX_PARTS ? count + 1 : PN_MIME_MAX_PARTS;

		pn_buffer_init(&text, SIZE_MAX / 2);
		append_times(&text, MIXED, 1);
		append_times(&text, "--b\r\n\r\nx\r\n", count);
		append_times(&text, "--b--\r\n", 1);
		message = open_buffer(arena, &text);
		ck_assert_uint_eq(message.part_count, expected);
		last = &message.parts[message.part_count - 1];
		ck_assert_uint_eq(last->body_size, 1 + 10 * (count + 1 - expected));
	}
	pn_arena_free(&arena);
}
END_TEST

/* A message with so many levels, the innermost of them text. */
static struct pn_mime_message open_levels(struct pn_arena *arena, unsigned depth)
{
	struct pn_buffer text;

	pn_buffer_init(&text, SIZE_MAX / 2);
	for (unsigned level = 0; level < depth; level++)
		require(pn_buffer_print(&text,
		                        "Content-Type: multipart/mixed; boundary=x%ux\r\n"
		                        "\r\n--x%ux\r\n",
		                        level, level) == PN_OK);
	append_times(&text, "\r\nbody", 1);
	return open_buffer(arena, &text);
}

START_TEST(multiparts_that_are_too_deep_are_opaque)
{
	struct pn_arena *arena = pn_arena_new();

	for (unsigned depth = PN_MIME_MAX_DEPTH - 1; depth <= PN_MIME_MAX_DEPTH + 2; depth++) {
		struct pn_mime_message message = open_levels(arena, depth);

		if (depth <= PN_MIME_MAX_DEPTH) {
			ck_assert_uint_eq(message.part_count, depth + 1);
			check_text(message.parts[depth].type, "text");
		} else {
			ck_assert_uint_eq(message.part_count, PN_MIME_MAX_DEPTH + 1);
			ck_assert_int_eq(message.parts[PN_MIME_MAX_DEPTH].kind, PN_MIME_LEAF);
			check_text(message.parts[PN_MIME_MAX_DEPTH].subtype, "octet-stream");
		}
	}
	pn_arena_free(&arena);
}
END_TEST

START_TEST(the_configuration_sets_how_much_is_looked_into)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message;
	struct pn_buffer text;

	pn_mime_limit(3, 10);
	ck_assert_uint_eq(open_levels(arena, 2).part_count, 3);
	message = open_levels(arena, 3);
	ck_assert_uint_eq(message.part_count, 4);
	check_text(message.parts[3].type, "text");
	message = open_levels(arena, 4);
	ck_assert_uint_eq(message.part_count, 4);
	check_text(message.parts[3].subtype, "octet-stream");
	for (size_t count = 8; count < 12; count++) {
		pn_buffer_init(&text, SIZE_MAX / 2);
		append_times(&text, MIXED, 1);
		append_times(&text, "--b\r\n\r\nbody\r\n", count);
		ck_assert_uint_eq(open_buffer(arena, &text).part_count,
		                  count < 10 ? count + 1 : 10);
	}
	pn_mime_limit(PN_MIME_MAX_DEPTH, PN_MIME_MAX_PARTS);
	ck_assert_uint_eq(open_levels(arena, 4).part_count, 5);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(messages_in_messages_end_at_the_same_depth)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message;
	struct pn_buffer text;

	pn_buffer_init(&text, SIZE_MAX / 2);
	append_times(&text, "Content-Type: message/rfc822\r\n\r\n", PN_MIME_MAX_DEPTH + 5);
	message = open_buffer(arena, &text);
	ck_assert_uint_eq(message.part_count, PN_MIME_MAX_DEPTH + 1);
	check_text(message.parts[PN_MIME_MAX_DEPTH].subtype, "octet-stream");
	pn_arena_free(&arena);
}
END_TEST

/* Parts with so much to say that the summary would be too large: the innermost go. */
START_TEST(a_summary_has_its_limit)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message;
	struct pn_buffer text, summary;

	pn_buffer_init(&text, SIZE_MAX / 2);
	append_times(&text, MIXED "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n", 1);
	for (unsigned part = 0; part < 50; part++) {
		append_times(&text, "--c\r\nContent-Description: ", 1);
		append_times(&text, "words ", 5000);
		append_times(&text, "\r\n\r\n\r\n", 1);
	}
	summary = summary_of(pn_buffer_slice(&text), 0);
	ck_assert_uint_le(summary.size, PN_MIME_MAX_SUMMARY);
	message = open_buffer(arena, &text);
	ck_assert_uint_eq(message.part_count, 2);
	ck_assert_int_eq(message.parts[1].kind, PN_MIME_LEAF);
	check_text(message.parts[1].subtype, "octet-stream");
	pn_buffer_clear(&summary);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(the_largest_root_fits_a_summary)
{
	static const char *const names[] = {"From",       "To",
	                                    "Cc",         "Bcc",
	                                    "Sender",     "Date",
	                                    "Subject",    "Message-ID",
	                                    "Reply-To",   "In-Reply-To",
	                                    "References", "Content-Description",
	                                    "Content-ID", "Content-Location",
	                                    "Content-MD5"};
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message;
	struct pn_buffer text;

	pn_buffer_init(&text, SIZE_MAX / 2);
	for (size_t index = 0; index < sizeof(names) / sizeof(names[0]); index++) {
		append_times(&text, names[index], 1);
		append_times(&text, ": ", 1);
		append_times(&text, "mailbox@host.test,", 4000);
		append_times(&text, "\r\n", 1);
	}
	message = open_buffer(arena, &text);
	ck_assert_uint_eq(message.envelope.from.count, PN_MIME_MAX_ADDRESSES);
	ck_assert_uint_gt(message.envelope.date.size, PN_MIME_MAX_FIELD - 20);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(a_full_buffer_is_told_and_left_as_it_was)
{
	struct pn_mime_parser *parser = pn_mime_new();
	struct pn_buffer summary;

	pn_buffer_init(&summary, 20);
	ck_assert_int_eq(pn_buffer_append(&summary, PN_SLICE("abc")), PN_OK);
	pn_mime_feed(parser, PN_SLICE("Subject: hello\r\n\r\nbody"));
	ck_assert_int_eq(pn_mime_finish(parser, &summary), PN_LIMIT);
	ck_assert_uint_eq(summary.size, 3);
	ck_assert_uint_eq(pn_mime_header_size(parser), 18);
	ck_assert_uint_eq(pn_mime_size(parser), 22);
	pn_buffer_clear(&summary);
	pn_mime_free(&parser);
	pn_mime_free(&parser);
}
END_TEST

static long peak_kilobytes(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

START_TEST(a_huge_message_takes_no_memory)
{
	const struct pn_search_key key = {PN_SEARCH_TEXT, PN_SLICE_NONE, PN_SLICE("nowhere")};
	struct pn_search *search = pn_search_new(&key, 1);
	struct pn_mime_parser *parser = pn_mime_new();
	const struct pn_slice header = PN_SLICE(MIXED "--b\r\n\r\n");
	static const char line[] = "all work and no play makes a line\r\n--no boundary\r\n";
	static char piece[1024 * 1000];
	struct pn_buffer summary;
	long before;
	bool found;

	for (size_t at = 0; at < sizeof(piece); at++)
		piece[at] = line[at % (sizeof(line) - 1)];
	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	pn_mime_feed(parser, header);
	pn_search_feed(search, header);
	before = peak_kilobytes();
	for (unsigned index = 0; index < 500; index++) {
		pn_mime_feed(parser, pn_slice_make(piece, sizeof(piece)));
		/* A tenth of it is searched: sanitizers make that slow. */
		if (index % 10 == 0)
			pn_search_feed(search, pn_slice_make(piece, sizeof(piece)));
	}
	pn_search_finish(search, &found);
	ck_assert(!found);
	ck_assert_int_eq(pn_mime_finish(parser, &summary), PN_OK);
	ck_assert_uint_lt(summary.size, 100);
	ck_assert_uint_eq(pn_mime_size(parser), header.size + 500 * sizeof(piece));
	ck_assert_int_lt(peak_kilobytes() - before, 8 * 1024);
	pn_buffer_clear(&summary);
	pn_mime_free(&parser);
	pn_search_free(&search);
}
END_TEST

/* CPU time of parsing this header and then the line many times. */
static double parsing_seconds(const char *header, const char *line, size_t size)
{
	struct pn_buffer text, summary;
	clock_t begin;

	pn_buffer_init(&text, SIZE_MAX / 2);
	append_times(&text, header, 1);
	append_times(&text, line, size / strlen(line));
	begin = clock();
	summary = summary_of(pn_buffer_slice(&text), 1 << 16);
	pn_buffer_clear(&summary);
	pn_buffer_clear(&text);
	return (double)(clock() - begin) / CLOCKS_PER_SEC;
}

START_TEST(takes_time_that_grows_with_the_size_only)
{
	struct pn_buffer deep;

	/* As many boundaries as may be open, of one length, that differ at their ends only. */
	pn_buffer_init(&deep, SIZE_MAX / 2);
	for (unsigned level = 0; level < PN_MIME_MAX_DEPTH; level++)
		require(pn_buffer_print(
				&deep,
				"Content-Type: multipart/mixed; boundary=%0200u\r\n\r\n--%0200u"
				"\r\n",
				level, level) == PN_OK);
	append_times(&deep, "\r\n", 1);
	require(pn_buffer_append(&deep, PN_SLICE("\0")) == PN_OK);
	/* Quadratic work on this size would take minutes. */
	ck_assert(parsing_seconds(deep.data, "--0000000000000000000000000000000\r\n", 8u << 20) <
	          5);
	ck_assert(parsing_seconds(deep.data, "--\n", 8u << 20) < 5);
	ck_assert(parsing_seconds(deep.data, "-", 8u << 20) < 5);
	ck_assert(parsing_seconds(deep.data, "\n", 8u << 20) < 5);
	ck_assert(parsing_seconds("", "To: <(((((\r\n", 8u << 20) < 5);
	ck_assert(parsing_seconds("To: ", "((a)", 8u << 20) < 5);
	ck_assert(parsing_seconds("To: ", ",", 8u << 20) < 5);
	ck_assert(parsing_seconds("", "To: \"<@a:,\r\n", 8u << 20) < 5);
	ck_assert(parsing_seconds("", "Content-Type: a/b;a*0=\"\\;a*1=b;;;\r\n", 8u << 20) < 5);
	ck_assert(parsing_seconds("Content-Type: a/b", ";a*0*=\"", 8u << 20) < 5);
	ck_assert(parsing_seconds(MIXED, "--b\r\nContent-Type: multipart/x; boundary=b\r\n\r\n",
	                          8u << 20) < 5);
	ck_assert(parsing_seconds("", "\r\n ", 8u << 20) < 5);
	pn_buffer_clear(&deep);
}
END_TEST

Suite *mime_suite(void)
{
	static const TTest *tests[25];
	size_t count = 0;

	tests[count++] = a_plain_message_is_one_leaf;
	tests[count++] = parts_end_before_the_line_end_of_the_boundary;
	tests[count++] = a_bare_line_feed_ends_a_line;
	tests[count++] = a_boundary_may_begin_with_another;
	tests[count++] = a_boundary_of_an_outer_part_ends_those_inside;
	tests[count++] = a_multipart_without_parts_has_an_empty_one;
	tests[count++] = a_message_inside_has_a_content;
	tests[count++] = an_encoded_message_is_not_looked_into;
	tests[count++] = what_is_broken_has_a_structure;
	tests[count++] = bytes_above_127_and_nul_are_told;
	tests[count++] = the_summary_is_the_same_however_a_message_is_cut;
	tests[count++] = short_texts_are_the_same_byte_by_byte;
	tests[count++] = parts_past_the_limit_are_part_of_the_last;
	tests[count++] = multiparts_that_are_too_deep_are_opaque;
	tests[count++] = the_configuration_sets_how_much_is_looked_into;
	tests[count++] = messages_in_messages_end_at_the_same_depth;
	tests[count++] = a_summary_has_its_limit;
	tests[count++] = the_largest_root_fits_a_summary;
	tests[count++] = a_full_buffer_is_told_and_left_as_it_was;
	tests[count++] = a_huge_message_takes_no_memory;
	tests[count++] = takes_time_that_grows_with_the_size_only;
	return suite_of("mime", tests);
}
