/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pieces of the grammar of IMAP: each goes behind what it found and never beyond the
 * end; sets are what a slow count says; what is written is read back as it was. The first
 * byte says which piece.
 */
#include "fuzz.h"

#include <postern/mailbox_name.h>
#include <postern/mime.h>
#include <postern/text.h>

#include "../../modules/imap/fetch.h"
#include "base/utf8.h"

enum { VIEW_UIDS = 40 };

/* ---- names ---- */

static bool is_plain(struct pn_slice name)
{
	while (name.size > 0) {
		size_t size = pn_utf8_next(name, NULL);

		if (size == 0 || (unsigned char)name.data[0] < 0x20 || name.data[0] == 0x7f)
			return false;
		name = pn_slice_behind(name, size);
	}
	return true;
}

/* A name that the store may have is written so that it is read again. */
static void check_name(struct pn_slice name)
{
	struct pn_buffer wire;
	struct pn_buffer back;

	pn_buffer_init(&wire, 1024 * 1024);
	pn_buffer_init(&back, 1024 * 1024);
	imap_name_to_utf7(&wire, name);
	for (size_t i = 0; i < wire.size; i++)
		require(wire.data[i] >= 0x20 && wire.data[i] < 0x7f);
	if (is_plain(name)) {
		require(imap_name_from_utf7(&back, pn_buffer_slice(&wire)));
		require(pn_slice_equal(pn_buffer_slice(&back), name));
	}
	pn_buffer_clear(&wire);
	pn_buffer_clear(&back);
}

static void check_names(struct pn_slice text, struct pn_arena *arena)
{
	struct pn_buffer name;
	struct pn_buffer other;
	struct pn_slice canonical;
	const char *reason = NULL;

	pn_buffer_init(&name, 1024 * 1024);
	pn_buffer_init(&other, 1024 * 1024);
	check_name(text);
	if (imap_name_from_utf7(&name, text)) {
		require(is_plain(pn_buffer_slice(&name)));
		check_name(pn_buffer_slice(&name));
		/* What the rest of the gateway makes of it is the same. */
		require(pn_utf7_decode(&other, text) == PN_OK);
		require(pn_slice_equal(pn_buffer_slice(&name), pn_buffer_slice(&other)));
	}
	if (imap_mailbox_name(arena, text, &canonical, &reason)) {
		require(canonical.size > 0 && canonical.size <= PN_MAILBOX_NAME_MAX);
		require(imap_is_inbox(text) == pn_slice_equal(canonical, PN_SLICE("INBOX")));
	} else {
		require(reason != NULL);
	}
	pn_buffer_clear(&name);
	pn_buffer_clear(&other);
}

/* ---- dates ---- */

static void check_dates(struct pn_slice text)
{
	struct pn_buffer written;
	int64_t milliseconds;
	int64_t again;
	int64_t days;

	if (imap_parse_date_time(text, &milliseconds)) {
		pn_buffer_init(&written, 100);
		imap_put_internal_date(&written, milliseconds);
		require(written.size == 28);
		require(imap_parse_date_time(pn_slice_make(written.data + 1, 26), &again));
		require(again == milliseconds || milliseconds < -62167219200000 ||
		        milliseconds > 253402300799000);
		pn_buffer_clear(&written);
	}
	if (imap_parse_date(text, &days)) {
		require(days >= -719528 && days <= 2932896);
		require(imap_parse_header_date(text, &again) && again == days);
	}
	if (imap_parse_header_date(text, &days))
		require(days >= -719528 && days <= 2932896);
}

/* ---- sets ---- */

static bool is_in(const struct imap_set *set, uint64_t number, uint64_t last)
{
	for (size_t i = 0; i < set->count; i++) {
		uint64_t first = set->ranges[i].first == IMAP_STAR ? last : set->ranges[i].first;
		uint64_t end = set->ranges[i].last == IMAP_STAR ? last : set->ranges[i].last;

		if ((first <= number && number <= end) || (end <= number && number <= first))
			return true;
	}
	return false;
}

/* A view of UIDs with gaps: 3 4 5, 9 10 11, … */
static void make_view(struct imap_session *imap, struct imap_view *view)
{
	memset(imap, 0, sizeof(*imap));
	memset(view, 0, sizeof(*view));
	for (uint32_t i = 0; i < VIEW_UIDS; i++) {
		uint32_t uid = 6 * (i / 3) + i % 3 + 3;

		imap_uids_append(&view->uids, uid, uid);
	}
	view->uid_next = 1000;
	imap->view = view;
	imap->state = IMAP_SELECTED;
}

static void check_uids(const struct imap_uids *uids)
{
	uint32_t before = 0;

	for (size_t i = 0; i < uids->count; i++) {
		require(uids->ranges[i].first >= 1 &&
		        uids->ranges[i].first <= uids->ranges[i].last);
		require(i == 0 || uids->ranges[i].first > uids->ranges[i - 1].last + 1);
		require(uids->ranges[i].before == before);
		before += uids->ranges[i].last - uids->ranges[i].first + 1;
	}
	require(imap_uids_count(uids) == before);
}

static void check_sets(struct imap_parser *parser)
{
	struct imap_session imap;
	struct imap_view view;
	struct imap_set set;
	struct imap_uids found = {0};
	struct imap_uids left = {0};
	struct pn_buffer written;
	bool is_good;

	make_view(&imap, &view);
	if (!imap_parse_set(parser, &set) || set.is_saved)
		goto done;
	require(set.count > 0);
	require(imap_view_resolve(&imap, &set, true, parser->arena, &found));
	check_uids(&found);
	for (uint32_t i = 1; i <= VIEW_UIDS; i++) {
		uint32_t uid = imap_uids_at(&view.uids, i);

		require(imap_uids_has(&found, uid) == is_in(&set, uid, imap_uids_last(&view.uids)));
	}
	imap_uids_copy(&left, &view.uids);
	imap_uids_remove(&left, &found);
	check_uids(&left);
	require(imap_uids_count(&left) + imap_uids_count(&found) == VIEW_UIDS);
	imap_uids_add(&left, &found);
	check_uids(&left);
	require(imap_uids_count(&left) == VIEW_UIDS && left.count == view.uids.count);

	/* What is written is the same set. */
	pn_buffer_init(&written, 1024 * 1024);
	imap_put_uids(&written, &found);
	if (found.count > 0) {
		struct imap_parser again = {.text = pn_buffer_slice(&written),
		                            .arena = parser->arena};

		require(imap_parse_known_uids(&again, &set) && imap_at_end(&again));
		imap_uids_clear(&left);
		require(imap_view_resolve(&imap, &set, true, parser->arena, &left));
		require(imap_uids_count(&left) == imap_uids_count(&found));
	}
	pn_buffer_clear(&written);
	imap_uids_clear(&found);

	/* As sequence numbers. */
	parser->at = 0;
	require(imap_parse_set(parser, &set));
	is_good = imap_view_resolve(&imap, &set, false, parser->arena, &found);
	check_uids(&found);
	for (uint32_t i = 1; i <= VIEW_UIDS && is_good; i++)
		require(imap_uids_has(&found, imap_uids_at(&view.uids, i)) ==
		        is_in(&set, i, VIEW_UIDS));
done:
	imap_uids_clear(&found);
	imap_uids_clear(&left);
	imap_uids_clear(&view.uids);
}

/* ---- strings ---- */

/* What imap_write_string writes is a string, and the same one. */
static void check_string(struct pn_slice text, struct pn_arena *arena)
{
	struct pn_buffer written;
	struct imap_parser parser = {.arena = arena};
	struct pn_slice read;

	pn_buffer_init(&written, 4 * 1024 * 1024);
	imap_write_string(&written, text);
	parser.text = pn_buffer_slice(&written);
	if (pn_slice_find(text, '\0') == text.size) {
		require(imap_parse_string(&parser, &read) && imap_at_end(&parser));
		require(pn_slice_equal(read, text));
	}
	pn_buffer_clear(&written);
	/* Texts of a summary have none. */
	if (text.size == 0 || pn_slice_find(text, '\0') < text.size)
		return;
	pn_buffer_init(&written, 4 * 1024 * 1024);
	imap_put_text(&written, text);
	for (size_t i = 0; i < written.size; i++)
		require((written.data[i] & 0x80) == 0 && written.data[i] != '\0');
	parser = (struct imap_parser){.arena = arena, .text = pn_buffer_slice(&written)};
	require(imap_parse_string(&parser, &read) && imap_at_end(&parser));
	pn_buffer_clear(&written);
}

/* ---- flags ---- */

static void check_flags(struct imap_parser *parser)
{
	struct pn_flags flags;
	struct pn_flags again;
	struct pn_buffer written;
	struct imap_parser other = {.arena = parser->arena};

	if (!imap_parse_flags(parser, parser->arena, false, &flags))
		return;
	pn_buffer_init(&written, 4 * 1024 * 1024);
	imap_put(&written, "(");
	imap_put_flags(&written, &flags, false);
	imap_put(&written, ")");
	other.text = pn_buffer_slice(&written);
	require(imap_parse_flags(&other, parser->arena, true, &again) && imap_at_end(&other));
	require(again.system == flags.system && again.keyword_count == flags.keyword_count);
	for (size_t i = 0; i < flags.keyword_count; i++)
		require(pn_slice_equal(flags.keywords[i], again.keywords[i]));
	pn_buffer_clear(&written);
}

/* ---- sections ---- */

static const char message_text[] =
	"Subject: a\r\nContent-Type: multipart/mixed; boundary=x\r\nX-Y: folded\r\n here\r\n\r\n"
	"--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: b\r\n\r\ninner\r\n--x\r\n\r\nend\r\n"
	"--x--\r\n";

static void check_extent(const struct imap_section *section, struct pn_arena *arena)
{
	struct pn_slice text = pn_slice_make(message_text, sizeof(message_text) - 1);
	struct pn_mime_parser *mime = pn_mime_new();
	struct pn_mime_message message;
	struct pn_buffer summary;
	struct pn_buffer chosen;
	struct imap_extent extent;

	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	pn_buffer_init(&chosen, 1024 * 1024);
	pn_mime_feed(mime, text);
	require(pn_mime_finish(mime, &summary) == PN_OK);
	require(pn_mime_open(pn_buffer_slice(&summary), arena, &message) == PN_OK);
	extent = imap_section_find(section, &message, text.size, pn_mime_header_size(mime));
	if (extent.is_there) {
		require(extent.offset <= text.size && extent.size <= text.size - extent.offset);
		if (extent.is_header)
			imap_section_choose(
				section,
				pn_slice_make(text.data + extent.offset, (size_t)extent.size),
				&chosen);
		require(chosen.size <= extent.size + 2);
		imap_section_range(section, &extent.offset, &extent.size);
		require(extent.offset <= text.size && extent.size <= text.size - extent.offset);
		require(!section->has_partial || extent.size <= section->size);
	}
	pn_mime_free(&mime);
	pn_buffer_clear(&summary);
	pn_buffer_clear(&chosen);
}

/* The label names the section again. */
static void check_section(struct imap_parser *parser)
{
	struct imap_section section = {.what = IMAP_SECTION_ALL};
	struct imap_section again = {.what = IMAP_SECTION_ALL};
	struct imap_parser other = {.arena = parser->arena};

	/* A line with NUL does not come so far. */
	if (pn_slice_find(parser->text, '\0') < parser->text.size ||
	    !imap_parse_section(parser, &section))
		return;
	check_extent(&section, parser->arena);
	other.text = section.label;
	require(imap_skip_word(&other, "BODY["));
	/* "<0>" of a response is "<0.1>" of a command. */
	other.text.size -=
		section.has_partial ? section.label.size - pn_slice_find(section.label, '<') : 0;
	if (section.has_partial && section.field_count > 0)
		return;
	require(imap_parse_section(&other, &again) && imap_at_end(&other));
	require(again.what == section.what && again.depth == section.depth);
	require(again.field_count == section.field_count);
	for (size_t i = 0; i < section.field_count; i++)
		require(pn_slice_equal(again.fields[i], section.fields[i]));
}

/* ---- anything ---- */

static void check_pieces(struct imap_parser *parser)
{
	struct pn_slice text;
	uint64_t large;
	uint32_t number;
	size_t before;

	do {
		struct imap_parser start = *parser;

		before = parser->at;
		if (imap_parse_number(parser, &number)) {
			struct imap_parser other = start;

			require(imap_parse_number64(&other, &large) && large == number);
			require(other.at == parser->at);
		} else if (imap_parse_tag(parser, &text) || imap_parse_atom(parser, &text) ||
		           imap_parse_astring(parser, &text) || imap_parse_nstring(parser, &text) ||
		           imap_parse_pattern(parser, &text)) {
			check_string(text, parser->arena);
		} else {
			require(parser->expected != NULL && parser->at == before);
			parser->at++;
		}
		require(parser->at > before && parser->at <= parser->text.size);
	} while (!imap_at_end(parser));
	require(imap_peek(parser) == '\0' && imap_parse_end(parser));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned which = take_byte(&data, &size) % 7;
	struct pn_slice text = exact_copy(rest_of(data, size));
	struct pn_arena *arena = pn_arena_new();
	struct imap_parser parser = {.text = text, .arena = arena};

	if (which == 0)
		check_names(text, arena);
	else if (which == 1)
		check_dates(text);
	else if (which == 2)
		check_sets(&parser);
	else if (which == 3)
		check_string(text, arena);
	else if (which == 4)
		check_flags(&parser);
	else if (which == 5)
		check_section(&parser);
	else if (text.size > 0)
		check_pieces(&parser);
	require(parser.at <= text.size);
	pn_arena_free(&arena);
	free((char *)(uintptr_t)text.data);
	return 0;
}
