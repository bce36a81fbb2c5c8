/* SPDX-License-Identifier: Apache-2.0 */
/* Who reads what strangers write, one by one. The table is at the bottom. */
#include "steps.h"

#include <postern/address.h>
#include <postern/arena.h>
#include <postern/header.h>
#include <postern/mime.h>
#include <postern/text.h>

#include "../../modules/deliver_smtp/deliver.h"
#include "../../modules/smtp/smtp.h"
#include "io/frame.h"
#include "io/proxy_header.h"
#include "mail/dsn.h"
#include "mail/saslprep.h"

#include <stdlib.h>

enum { PIECE = 7 };

/* ---- framing ---- */

/* As a session does: what is there so far is looked at whenever some more is. */
static void read_lines(struct pn_slice text, size_t piece, size_t limit)
{
	struct pn_slice window = pn_slice_make(text.data, 0);
	size_t scanned = 0, end = 0;
	bool is_skipping = false, after_cr = false;

	while (end < text.size) {
		bool goes_on = true;

		end = piece < text.size - end ? end + piece : text.size;
		window.size = (size_t)(text.data + end - window.data);
		while (goes_on) {
			enum pn_line_problem problem;
			struct pn_slice line;
			size_t consumed;

			if (is_skipping) {
				goes_on = pn_frame_skip_line(window, &after_cr, &consumed);
				is_skipping = !goes_on;
				window = pn_slice_behind(window, consumed);
				continue;
			}
			goes_on =
				pn_frame_line(window, limit, &scanned, &problem, &line, &consumed);
			if (!goes_on)
				break;
			scanned = 0;
			is_skipping = problem == PN_LINE_TOO_LONG;
			after_cr = false;
			window = pn_slice_behind(window, consumed);
		}
	}
}

static void lines(struct pn_slice text)
{
	read_lines(text, text.size, 1000);
}

static void lines_in_pieces(struct pn_slice text)
{
	read_lines(text, PIECE, 1000);
}

static void long_lines_in_pieces(struct pn_slice text)
{
	read_lines(text, PIECE, SIZE_MAX / 2);
}

static void read_dots(struct pn_slice text, size_t piece_size)
{
	struct pn_frame_dot dot = {0};
	enum pn_line_problem problem = PN_LINE_GOOD;
	bool is_last = false;

	while (text.size > 0 && problem == PN_LINE_GOOD) {
		size_t size = piece_size < text.size ? piece_size : text.size;
		struct pn_slice rest = pn_slice_make(text.data, size);

		while (rest.size > 0 && problem == PN_LINE_GOOD) {
			struct pn_slice piece;
			size_t consumed;

			pn_frame_dot(&dot, rest, &piece, &consumed, &is_last, &problem);
			rest = pn_slice_behind(rest, consumed);
			if (is_last)
				dot = (struct pn_frame_dot){0};
		}
		text = pn_slice_behind(text, size);
	}
}

static void dots(struct pn_slice text)
{
	read_dots(text, text.size);
}

static void dots_in_pieces(struct pn_slice text)
{
	read_dots(text, PIECE);
}

static void forget(void *user, struct pn_slice bytes)
{
	(void)user, (void)bytes;
}

static void stuffing(struct pn_slice text)
{
	struct pn_frame_stuff stuff = {0};

	pn_frame_stuff(&stuff, text, true, forget, NULL);
}

static void proxy(struct pn_slice text)
{
	struct pn_socket_address client;
	enum pn_proxy_state state = PN_PROXY_MORE;
	size_t need = 0;

	while (state == PN_PROXY_MORE && need <= text.size)
		state = pn_proxy_take(pn_slice_make(text.data, need), &need, &client);
}

/* ---- commands and replies ---- */

static void envelope(struct pn_slice text)
{
	const struct smtp_config config = {.max_hold = 1000};
	const struct smtp_session smtp = {.config = &config};
	struct pn_arena *arena = pn_arena_new();
	struct smtp_parameters parameters;
	struct pn_address address;

	if (smtp_parse_path(&text, SMTP_OF_MAIL, arena, &address).code == 0)
		(void)smtp_parse_parameters(&smtp, 1, text, SMTP_OF_MAIL, &parameters);
	pn_arena_free(&arena);
}

static void address(struct pn_slice text)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_address out;

	(void)!pn_address_parse(text, true, arena, &out);
	(void)!pn_path_parse(&text, true, arena, &out);
	pn_arena_free(&arena);
}

static void xtext(struct pn_slice text)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice out;

	(void)!pn_xtext_decode(arena, text, &out);
	(void)pn_xtext_encode(arena, text);
	pn_arena_free(&arena);
}

static void replies(struct pn_slice text)
{
	struct deliver_reply reply = {.lines = 0};

	while (text.size > 0) {
		struct pn_slice line = pn_slice_cut(&text, '\n');
		struct pn_slice behind;

		if (deliver_reply_take(&reply, line, &behind) != DELIVER_REPLY_MORE)
			reply = (struct deliver_reply){.lines = 0};
	}
}

static void base64(struct pn_slice text)
{
	struct pn_buffer out;

	pn_buffer_init(&out, SIZE_MAX / 2);
	(void)!pn_base64_decode(&out, text);
	(void)!pn_base64_encode(&out, text);
	pn_buffer_clear(&out);
}

static void names(struct pn_slice text)
{
	struct pn_buffer out;

	pn_buffer_init(&out, SIZE_MAX / 2);
	(void)!pn_saslprep(text, &out);
	pn_buffer_clear(&out);
}

/* ---- messages ---- */

static void header(struct pn_slice text)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_header header;

	if (pn_header_parse(text, 100000, arena, &header) == PN_OK) {
		for (size_t i = 0; i < header.count; i++)
			(void)pn_header_unfold(arena, header.fields[i].value);
	}
	pn_arena_free(&arena);
}

static void header_in_pieces(struct pn_slice text)
{
	size_t searched = 0;

	for (size_t size = 0; size < text.size; size += PIECE) {
		if (pn_header_end(pn_slice_make(text.data, size), searched) > 0)
			break;
		searched = size;
	}
}

static void writing_a_field(struct pn_slice text)
{
	struct pn_buffer out;

	pn_buffer_init(&out, SIZE_MAX / 2);
	(void)!pn_header_write(&out, PN_SLICE("Subject"), text);
	pn_buffer_clear(&out);
}

static void read_message(struct pn_slice text, size_t piece)
{
	struct pn_mime_parser *parser = pn_mime_new();
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_message message;
	struct pn_buffer summary;

	pn_buffer_init(&summary, SIZE_MAX / 2);
	while (text.size > 0) {
		size_t size = piece < text.size ? piece : text.size;

		pn_mime_feed(parser, pn_slice_make(text.data, size));
		text = pn_slice_behind(text, size);
	}
	if (pn_mime_finish(parser, &summary) == PN_OK)
		(void)!pn_mime_open(pn_buffer_slice(&summary), arena, &message);
	pn_mime_free(&parser);
	pn_buffer_clear(&summary);
	pn_arena_free(&arena);
}

static void message(struct pn_slice text)
{
	read_message(text, text.size);
}

static void message_in_pieces(struct pn_slice text)
{
	read_message(text, PIECE);
}

static void field_text(struct pn_slice text)
{
	struct pn_buffer out;

	pn_buffer_init(&out, SIZE_MAX / 2);
	(void)!pn_mime_decode_field(&out, text);
	pn_buffer_clear(&out);
}

static void folding(struct pn_slice text)
{
	struct pn_buffer out;

	pn_buffer_init(&out, SIZE_MAX / 2);
	(void)!pn_text_fold(&out, text);
	pn_buffer_clear(&out);
}

static void charsets(struct pn_slice text)
{
	static const char *const known[] = {"utf-8", "iso-2022-jp", "gb18030", "utf-7"};
	struct pn_buffer out;

	pn_buffer_init(&out, SIZE_MAX / 2);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		(void)!pn_charset_decode(&out, pn_slice_of(known[i]), text);
	pn_buffer_clear(&out);
}

static void searching(struct pn_slice text)
{
	const struct pn_search_key keys[] = {
		{PN_SEARCH_TEXT, PN_SLICE_NONE, PN_SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab")},
		{PN_SEARCH_BODY, PN_SLICE_NONE, PN_SLICE("some text that is another")},
		{PN_SEARCH_HEADER, PN_SLICE("To"), PN_SLICE("nobody")},
	};
	struct pn_search *search = pn_search_new(keys, 3);
	bool found[3];

	for (; text.size > PIECE; text = pn_slice_behind(text, PIECE))
		pn_search_feed(search, pn_slice_make(text.data, PIECE));
	pn_search_feed(search, text);
	pn_search_finish(search, found);
	pn_search_free(&search);
}

static void report(struct pn_slice text)
{
	struct pn_dsn_recipient recipient = {.kind = PN_DSN_FAILED,
	                                     .address = PN_SLICE("a@b.example"),
	                                     .status = PN_SLICE("5.1.1"),
	                                     .diagnostic = text,
	                                     .reason = text};
	const struct pn_dsn dsn = {.hostname = PN_SLICE("mx.example.test"),
	                           .to = PN_SLICE("c@d.example"),
	                           .id = PN_SLICE("id"),
	                           .transaction = PN_SLICE("id"),
	                           .now_ms = 1790000000000,
	                           .recipients = &recipient,
	                           .recipient_count = 1,
	                           .original = text};
	struct pn_buffer out;

	pn_buffer_init(&out, SIZE_MAX / 2);
	(void)!pn_dsn_write(&dsn, &out);
	pn_buffer_clear(&out);
}

static void json(struct pn_slice text)
{
	struct pn_buffer out;

	pn_buffer_init(&out, SIZE_MAX / 2);
	(void)!pn_json_append_string(&out, text);
	pn_buffer_clear(&out);
}

/* It must be found: from its beginning, for each line anew. */
static void deliberately(struct pn_slice text)
{
	for (size_t at = 0; at < text.size; at += 64)
		(void)pn_slice_find(pn_slice_make(text.data, at), '\xff');
}

const struct reader readers[] = {
	{"lines", lines, 0},
	{"lines in pieces", lines_in_pieces, 0},
	{"long lines in pieces", long_lines_in_pieces, 0},
	{"dots", dots, 0},
	{"dots in pieces", dots_in_pieces, 0},
	{"stuffing", stuffing, 0},
	{"proxy", proxy, 256},
	{"envelope", envelope, 32},
	{"address", address, 0},
	{"xtext", xtext, 0},
	{"replies", replies, 0},
	{"base64", base64, 0},
	{"names", names, 0},
	{"header", header, 0},
	{"header in pieces", header_in_pieces, 0},
	{"writing a field", writing_a_field, 0},
	{"message", message, 0},
	{"message in pieces", message_in_pieces, 0},
	{"text of a field", field_text, 0},
	{"folding", folding, 0},
	{"charsets", charsets, 0},
	{"searching", searching, 0},
	{"report", report, 0},
	{"json", json, 0},
	{"quadratic on purpose", deliberately, 0},
	{NULL, NULL, 0},
};
