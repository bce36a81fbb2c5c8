/* SPDX-License-Identifier: Apache-2.0 */
/* FETCH (RFC 3501 section 6.4.5), with CHANGEDSINCE and VANISHED (RFC 7162 sections 3.1.4
 * and 3.2.6): what is asked for. */
#include "fetch.h"

#include <postern/text.h>

static const struct {
	const char *word;
	enum imap_item_kind kind;
	uint32_t fields;
} simple_items[] = {
	{"FLAGS", IMAP_ITEM_FLAGS, PN_ROW_FLAGS},
	{"UID", IMAP_ITEM_UID, 0},
	{"INTERNALDATE", IMAP_ITEM_INTERNALDATE, PN_ROW_DATES},
	{"RFC822.SIZE", IMAP_ITEM_SIZE, PN_ROW_SIZES},
	{"ENVELOPE", IMAP_ITEM_ENVELOPE, PN_ROW_SUMMARY | PN_ROW_SIZES | PN_ROW_BODY_ID},
	{"BODYSTRUCTURE", IMAP_ITEM_BODYSTRUCTURE, PN_ROW_SUMMARY | PN_ROW_SIZES | PN_ROW_BODY_ID},
	{"MODSEQ", IMAP_ITEM_MODSEQ, 0},
};

/* What the sections were called before there were sections. */
static const struct {
	const char *word;
	enum imap_section_what what;
	bool is_peek;
} old_sections[] = {
	{"RFC822.HEADER", IMAP_SECTION_HEADER, true}, {"RFC822.TEXT.PEEK", IMAP_SECTION_TEXT, true},
	{"RFC822.TEXT", IMAP_SECTION_TEXT, false},    {"RFC822.PEEK", IMAP_SECTION_ALL, true},
	{"RFC822", IMAP_SECTION_ALL, false},
};

static const struct {
	const char *word;
	enum imap_item_kind kinds[6];
	size_t count;
} macros[] = {
	{"ALL", {IMAP_ITEM_FLAGS, IMAP_ITEM_INTERNALDATE, IMAP_ITEM_SIZE, IMAP_ITEM_ENVELOPE}, 4},
	{"FAST", {IMAP_ITEM_FLAGS, IMAP_ITEM_INTERNALDATE, IMAP_ITEM_SIZE}, 3},
	{"FULL",
         {IMAP_ITEM_FLAGS, IMAP_ITEM_INTERNALDATE, IMAP_ITEM_SIZE, IMAP_ITEM_ENVELOPE,
          IMAP_ITEM_BODY},
         5},
};

/* Items while they are counted: as many as the command has words, at most. */
struct item_list {
	struct imap_item *items;
	size_t count;
	size_t room;
};

static struct imap_item *add_item(struct item_list *list, enum imap_item_kind kind)
{
	/* Asked twice is told once, but for sections. */
	for (size_t i = 0; i < list->count && kind != IMAP_ITEM_SECTION; i++) {
		if (list->items[i].kind == kind)
			return &list->items[i];
	}
	if (list->count == list->room)
		return NULL;
	list->items[list->count] = (struct imap_item){.kind = kind};
	return &list->items[list->count++];
}

static bool parse_body(struct imap_parser *parser, struct item_list *list)
{
	bool is_peek = imap_skip_word(parser, "BODY.PEEK[");
	struct imap_item *item;

	if (!is_peek && !imap_skip_word(parser, "BODY["))
		return false;
	item = add_item(list, IMAP_ITEM_SECTION);
	if (item == NULL || !imap_parse_section(parser, &item->section))
		return false;
	item->section.is_peek = is_peek;
	return true;
}

static bool parse_item(struct imap_parser *parser, struct item_list *list)
{
	size_t start = parser->at;

	for (size_t i = 0; i < sizeof(simple_items) / sizeof(simple_items[0]); i++) {
		if (imap_skip_word(parser, simple_items[i].word))
			return add_item(list, simple_items[i].kind) != NULL;
	}
	for (size_t i = 0; i < sizeof(old_sections) / sizeof(old_sections[0]); i++) {
		struct imap_item *item;

		if (!imap_skip_word(parser, old_sections[i].word))
			continue;
		item = add_item(list, IMAP_ITEM_SECTION);
		if (item == NULL)
			return false;
		item->section.what = old_sections[i].what;
		item->section.is_peek = old_sections[i].is_peek;
		item->section.label = pn_slice_of(old_sections[i].word);
		return true;
	}
	if (parse_body(parser, list))
		return true;
	if (parser->at == start && imap_skip_word(parser, "BODY"))
		return add_item(list, IMAP_ITEM_BODY) != NULL;
	if (parser->expected == NULL)
		parser->expected = "something to fetch";
	return false;
}

static bool parse_items(struct imap_parser *parser, struct item_list *list)
{
	for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]); i++) {
		if (!imap_skip_word(parser, macros[i].word))
			continue;
		for (size_t k = 0; k < macros[i].count; k++)
			(void)add_item(list, macros[i].kinds[k]);
		return true;
	}
	if (!imap_skip_char(parser, '('))
		return parse_item(parser, list);
	do {
		if (!parse_item(parser, list))
			return false;
	} while (imap_skip_char(parser, ' '));
	return imap_parse_char(parser, ')');
}

static bool parse_modifiers(struct imap_session *imap, struct imap_parser *parser,
                            struct imap_fetch *fetch)
{
	if (!imap_skip_char(parser, ' '))
		return true;
	if (!imap_parse_char(parser, '('))
		return false;
	do {
		if (imap_skip_word(parser, "CHANGEDSINCE")) {
			if (!imap_parse_space(parser) ||
			    !imap_parse_number64(parser, &fetch->changed_since))
				return false;
			fetch->has_changed_since = true;
		} else if (imap_skip_word(parser, "VANISHED")) {
			fetch->wants_vanished = true;
		} else {
			parser->expected = "CHANGEDSINCE or VANISHED";
			return false;
		}
	} while (imap_skip_char(parser, ' '));
	if (fetch->wants_vanished &&
	    (!fetch->has_changed_since || !imap->is_uid || (imap->enabled & IMAP_QRESYNC) == 0)) {
		parser->expected = "VANISHED in UID FETCH with CHANGEDSINCE after ENABLE QRESYNC";
		return false;
	}
	return imap_parse_char(parser, ')');
}

/* UID comes first in UID FETCH; MODSEQ last where it is implied (RFC 7162 section 3.1.4.1). */
static void add_implied(const struct imap_session *imap, struct imap_fetch *fetch,
                        struct item_list *list)
{
	if (imap->is_uid) {
		size_t at = 0;

		while (at < list->count && list->items[at].kind != IMAP_ITEM_UID)
			at++;
		if (at == list->count)
			list->count++;
		memmove(list->items + 1, list->items, at * sizeof(*list->items));
		list->items[0] = (struct imap_item){.kind = IMAP_ITEM_UID};
	}
	if (fetch->has_changed_since)
		(void)add_item(list, IMAP_ITEM_MODSEQ);
}

static void look_at_items(struct imap_fetch *fetch)
{
	fetch->only_headers = true;
	for (size_t i = 0; i < fetch->item_count; i++) {
		const struct imap_item *item = &fetch->items[i];

		for (size_t k = 0; k < sizeof(simple_items) / sizeof(simple_items[0]); k++)
			if (simple_items[k].kind == item->kind)
				fetch->fields |= simple_items[k].fields;
		if (item->kind == IMAP_ITEM_BODY)
			fetch->fields |= PN_ROW_SUMMARY | PN_ROW_SIZES | PN_ROW_BODY_ID;
		if (item->kind != IMAP_ITEM_SECTION)
			continue;
		fetch->needs_bytes = true;
		fetch->section_count++;
		fetch->fields |= PN_ROW_SIZES | PN_ROW_BODY_ID | PN_ROW_FLAGS;
		if (imap_section_needs_structure(&item->section))
			fetch->fields |= PN_ROW_SUMMARY;
		fetch->only_headers = fetch->only_headers && item->section.depth == 0 &&
		                      (item->section.what == IMAP_SECTION_HEADER ||
		                       item->section.what == IMAP_SECTION_FIELDS ||
		                       item->section.what == IMAP_SECTION_FIELDS_NOT);
	}
	fetch->needs_structure = (fetch->fields & PN_ROW_SUMMARY) != 0;
}

static bool asks_for_modseq(const struct imap_fetch *fetch)
{
	for (size_t i = 0; i < fetch->item_count; i++) {
		if (fetch->items[i].kind == IMAP_ITEM_MODSEQ)
			return true;
	}
	return false;
}

/* As many items as there are places for them. */
static size_t room_for_items(const struct imap_parser *parser)
{
	size_t room = 8;

	for (size_t i = parser->at; i < parser->text.size; i++)
		room += parser->text.data[i] == ' ';
	return room < IMAP_FETCH_ITEMS ? room : IMAP_FETCH_ITEMS;
}

enum pn_next imap_fetch(struct pn_session *session, struct imap_session *imap,
                        struct imap_parser *parser)
{
	struct imap_fetch *fetch = PN_ARENA_NEW(imap->arena, struct imap_fetch);
	struct item_list list = {.room = room_for_items(parser)};
	struct imap_set set;

	/* Two more places for what is implied. */
	list.items = PN_ARENA_ARRAY(imap->arena, list.room + 2, struct imap_item);
	if (!imap_parse_space(parser) || !imap_parse_set(parser, &set) ||
	    !imap_parse_space(parser) || !parse_items(parser, &list) ||
	    !parse_modifiers(imap, parser, fetch) || !imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	imap->hold_expunges = !imap->is_uid;
	imap->work = fetch;
	imap->forget = imap_fetch_forget;
	if (!imap_view_resolve(imap, &set, imap->is_uid, imap->arena, &fetch->uids))
		return imap_bad(session, imap, "there is no message of that number");
	list.room += 2;
	add_implied(imap, fetch, &list);
	fetch->items = list.items;
	fetch->item_count = list.count;
	look_at_items(fetch);
	if (asks_for_modseq(fetch))
		imap_enable(session, imap, IMAP_CONDSTORE);
	/* Of UIDs that the client names, and that this session never knew. */
	if (fetch->wants_vanished && !set.is_saved)
		imap_set_numbers(&set, imap->view->uid_next > 1 ? imap->view->uid_next - 1 : 1,
		                 imap->arena, &fetch->vanished);
	return imap_fetch_begin(session, imap);
}
