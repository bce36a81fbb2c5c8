/* SPDX-License-Identifier: Apache-2.0 */
/* How FETCH writes a message whose row, and where they are needed whose bytes, are at hand. */
#include "fetch.h"

#include <postern/text.h>

/* From the summary; false: it has to be found out from the bytes. */
bool imap_fetch_open_structure(struct imap_fetch_row *at, struct pn_arena *arena)
{
	at->has_message = pn_mime_open(at->summary, arena, &at->message) == PN_OK;
	return at->has_message;
}

/* The structure of a message that came without: parsed now. */
void imap_fetch_parse(struct imap_fetch *fetch, struct imap_fetch_row *at, struct pn_slice bytes)
{
	struct pn_mime_parser *parser = pn_mime_new();
	struct pn_buffer summary;

	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	pn_mime_feed(parser, bytes);
	if (pn_mime_finish(parser, &summary) == PN_OK) {
		at->summary = pn_arena_keep(fetch->arena, pn_buffer_slice(&summary));
		(void)imap_fetch_open_structure(at, fetch->arena);
	}
	pn_buffer_clear(&summary);
	pn_mime_free(&parser);
}

void imap_fetch_put_item(const struct imap_session *imap, struct pn_buffer *out,
                         const struct imap_item *item, const struct imap_fetch_row *at)
{
	const struct pn_row *row = &at->row;

	switch (item->kind) {
	case IMAP_ITEM_FLAGS:
		imap_put(out, "FLAGS (");
		imap_put_flags(out, &row->flags, row->uid >= imap->view->recent_uid);
		imap_put(out, ")");
		return;
	case IMAP_ITEM_UID:
		imap_put(out, "UID ");
		imap_put_number(out, row->uid);
		return;
	case IMAP_ITEM_INTERNALDATE:
		imap_put(out, "INTERNALDATE ");
		imap_put_internal_date(out, row->internal_date_ms);
		return;
	case IMAP_ITEM_SIZE:
		imap_put(out, "RFC822.SIZE ");
		imap_put_number(out, row->size);
		return;
	case IMAP_ITEM_MODSEQ:
		imap_put(out, "MODSEQ (");
		imap_put_number(out, row->modseq);
		imap_put(out, ")");
		return;
	case IMAP_ITEM_ENVELOPE:
		imap_put(out, "ENVELOPE ");
		imap_put_envelope(out, &at->message.envelope);
		return;
	case IMAP_ITEM_BODY:
	case IMAP_ITEM_BODYSTRUCTURE:
		imap_put(out, item->kind == IMAP_ITEM_BODY ? "BODY " : "BODYSTRUCTURE ");
		imap_put_structure(out, &at->message, item->kind == IMAP_ITEM_BODYSTRUCTURE);
		return;
	case IMAP_ITEM_SECTION:
		return;
	}
}

void imap_fetch_put_beginning(struct pn_buffer *out, const struct imap_fetch_row *at)
{
	imap_put(out, "* ");
	imap_put_number(out, at->sequence);
	imap_put(out, " FETCH (");
}

static void put_literal(struct pn_buffer *out, struct pn_slice bytes)
{
	imap_put(out, " {");
	imap_put_number(out, bytes.size);
	imap_put(out, "}\r\n");
	imap_put_literal_bytes(out, bytes);
}

/* The fields that were chosen, and of them the range that was asked for. */
void imap_fetch_put_chosen(struct pn_buffer *out, const struct imap_section *section,
                           struct pn_slice header)
{
	struct pn_buffer chosen;
	uint64_t offset = 0;
	uint64_t size;

	pn_buffer_init(&chosen, IMAP_HEADER_MAX + 64);
	imap_section_choose(section, header, &chosen);
	size = chosen.size;
	imap_section_range(section, &offset, &size);
	put_literal(out, pn_slice_make(chosen.data + offset, (size_t)size));
	pn_buffer_clear(&chosen);
}

/* A section of a message whose beginning, or all of it, is at hand. */
static void put_section(struct pn_buffer *out, const struct imap_section *section,
                        const struct imap_fetch_row *at, struct pn_slice bytes)
{
	struct imap_extent extent = imap_section_find(
		section, at->has_message ? &at->message : NULL, at->row.size, at->row.header_size);

	imap_put_slice(out, section->label);
	if (!extent.is_there || extent.offset > bytes.size ||
	    extent.size > bytes.size - extent.offset) {
		imap_put(out, " NIL");
		return;
	}
	if (extent.is_header) {
		imap_fetch_put_chosen(
			out, section,
			pn_slice_make(bytes.data + extent.offset, (size_t)extent.size));
		return;
	}
	imap_section_range(section, &extent.offset, &extent.size);
	put_literal(out, pn_slice_make(bytes.data + extent.offset, (size_t)extent.size));
}

void imap_fetch_note_seen(const struct imap_session *imap, struct imap_fetch *fetch,
                          const struct imap_fetch_row *at)
{
	bool marks = false;

	for (size_t i = 0; i < fetch->item_count; i++)
		marks = marks || (fetch->items[i].kind == IMAP_ITEM_SECTION &&
		                  !fetch->items[i].section.is_peek);
	if (marks && !imap->view->is_read_only && (at->row.flags.system & PN_FLAG_SEEN) == 0)
		imap_uids_append(&fetch->seen, at->row.uid, at->row.uid);
}

void imap_fetch_put_message(const struct imap_session *imap, struct imap_fetch *fetch,
                            struct pn_buffer *out, const struct imap_fetch_row *at,
                            struct pn_slice bytes)
{
	imap_fetch_put_beginning(out, at);
	for (size_t i = 0; i < fetch->item_count; i++) {
		const struct imap_item *item = &fetch->items[i];

		if (i > 0)
			imap_put(out, " ");
		if (item->kind == IMAP_ITEM_SECTION)
			put_section(out, &item->section, at, bytes);
		else
			imap_fetch_put_item(imap, out, item, at);
	}
	imap_put(out, ")\r\n");
	fetch->told++;
	imap_fetch_note_seen(imap, fetch, at);
}
