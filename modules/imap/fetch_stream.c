/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FETCH of a message that is too large to be held: piece by piece, as fast as the
 * client takes it, and where its structure is not known, once more before that.
 */
#include "fetch.h"

#include <postern/text.h>

enum pn_next imap_fetch_ask_piece(struct pn_session *session, struct imap_session *imap,
                                  uint64_t offset, uint64_t size, imap_answered *answered)
{
	struct imap_fetch *fetch = imap->work;
	const struct pn_body_request request = {
		.struct_size = sizeof(request),
		.body = fetch->rows[fetch->row_at].row.body,
		.offset = offset,
		.max_size = size < IMAP_HEADER_MAX ? (size_t)size : IMAP_HEADER_MAX,
	};

	pn_store_body(pn_session_account(session), &request, imap_wait(session, imap, answered));
	return PN_NEXT_ANSWER;
}

/* In the middle of a literal there is no way to say so. */
enum pn_next imap_fetch_unreadable(struct pn_session *session, struct imap_session *imap,
                                   const struct pn_answer *answer)
{
	struct imap_fetch *fetch = imap->work;

	pn_session_log(session, "a message could not be read: %s",
	               answer->error != NULL ? answer->error->text
	                                     : pn_status_name(answer->status));
	pn_mime_free(&fetch->parser);
	if (fetch->is_inside)
		return PN_NEXT_CLOSE;
	fetch->row_at++;
	fetch->told++;
	fetch->failed++;
	return imap_fetch_go_on(session, imap);
}

static enum pn_next structure_piece(struct pn_session *session, struct imap_session *imap,
                                    const struct pn_answer *answer)
{
	struct imap_fetch *fetch = imap->work;
	struct imap_fetch_row *at = &fetch->rows[fetch->row_at];
	const struct pn_body_piece *piece = answer->result;
	struct pn_buffer summary;

	if (answer->status != PN_OK || piece == NULL || piece->bytes.size == 0)
		return imap_fetch_unreadable(session, imap, answer);
	pn_mime_feed(fetch->parser, piece->bytes);
	fetch->offset += piece->bytes.size;
	if (fetch->offset < at->row.size)
		return imap_fetch_ask_piece(session, imap, fetch->offset, IMAP_PIECE_SIZE,
		                            structure_piece);
	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	if (pn_mime_finish(fetch->parser, &summary) == PN_OK)
		at->summary = pn_arena_keep(fetch->arena, pn_buffer_slice(&summary));
	pn_buffer_clear(&summary);
	pn_mime_free(&fetch->parser);
	at->tried = true;
	(void)imap_fetch_open_structure(at, fetch->arena);
	return imap_fetch_stream(session, imap);
}

static enum pn_next stream_section(struct pn_session *session, struct imap_session *imap);

static enum pn_next section_piece(struct pn_session *session, struct imap_session *imap,
                                  const struct pn_answer *answer)
{
	struct imap_fetch *fetch = imap->work;
	const struct pn_body_piece *piece = answer->result;
	struct pn_buffer out;

	if (answer->status != PN_OK || piece == NULL || piece->bytes.size == 0 ||
	    piece->bytes.size > fetch->left)
		return imap_fetch_unreadable(session, imap, answer);
	if (memchr(piece->bytes.data, '\0', piece->bytes.size) == NULL) {
		pn_session_write(session, piece->bytes);
	} else {
		pn_buffer_init(&out, 2 * IMAP_HEADER_MAX);
		imap_put_literal_bytes(&out, piece->bytes);
		imap_send(session, &out);
	}
	fetch->offset += piece->bytes.size;
	fetch->left -= piece->bytes.size;
	return stream_section(session, imap);
}

/* The bytes of a section that are still to come; then the items behind it. */
static enum pn_next stream_section(struct pn_session *session, struct imap_session *imap)
{
	struct imap_fetch *fetch = imap->work;

	if (fetch->left == 0) {
		fetch->item_at++;
		return imap_fetch_stream(session, imap);
	}
	if (imap_must_drain(session, imap, stream_section))
		return PN_NEXT_DRAIN;
	return imap_fetch_ask_piece(session, imap, fetch->offset,
	                            fetch->left < IMAP_PIECE_SIZE ? fetch->left : IMAP_PIECE_SIZE,
	                            section_piece);
}

static enum pn_next header_came(struct pn_session *session, struct imap_session *imap,
                                const struct pn_answer *answer)
{
	struct imap_fetch *fetch = imap->work;
	const struct imap_section *section = &fetch->items[fetch->item_at].section;
	const struct pn_body_piece *piece = answer->result;
	struct pn_buffer out;

	if (answer->status != PN_OK || piece == NULL)
		return imap_fetch_unreadable(session, imap, answer);
	pn_buffer_init(&out, 4 * IMAP_HEADER_MAX);
	imap_fetch_put_chosen(&out, section, piece->bytes);
	imap_send(session, &out);
	fetch->item_at++;
	return imap_fetch_stream(session, imap);
}

static enum pn_next begin_section(struct pn_session *session, struct imap_session *imap,
                                  const struct imap_section *section, bool *goes_on)
{
	struct imap_fetch *fetch = imap->work;
	const struct imap_fetch_row *at = &fetch->rows[fetch->row_at];
	struct imap_extent extent = imap_section_find(
		section, at->has_message ? &at->message : NULL, at->row.size, at->row.header_size);

	pn_session_write(session, section->label);
	*goes_on = false;
	if (!extent.is_there) {
		pn_session_write(session, PN_SLICE(" NIL"));
		fetch->item_at++;
		*goes_on = true;
		return PN_NEXT_ANSWER;
	}
	if (extent.is_header && extent.size > 0)
		return imap_fetch_ask_piece(session, imap, extent.offset, extent.size, header_came);
	imap_section_range(section, &extent.offset, &extent.size);
	pn_session_print(session, " {%llu}\r\n", (unsigned long long)extent.size);
	fetch->offset = extent.offset;
	fetch->left = extent.size;
	return stream_section(session, imap);
}

enum pn_next imap_fetch_stream(struct pn_session *session, struct imap_session *imap)
{
	struct imap_fetch *fetch = imap->work;
	struct imap_fetch_row *at = &fetch->rows[fetch->row_at];
	struct pn_buffer out;

	if (fetch->needs_structure && !at->has_message) {
		struct pn_answer nothing = {.status = PN_FAILED};

		if (at->tried || at->row.size == 0)
			return imap_fetch_unreadable(session, imap, &nothing);
		fetch->parser = pn_mime_new();
		fetch->offset = 0;
		return imap_fetch_ask_piece(session, imap, 0, IMAP_PIECE_SIZE, structure_piece);
	}
	pn_buffer_init(&out, 16 * 1024 * 1024);
	if (!fetch->is_inside) {
		imap_learn_keywords(session, imap, &out, &at->row.flags);
		imap_fetch_put_beginning(&out, at);
	}
	fetch->is_inside = true;
	while (fetch->item_at < fetch->item_count) {
		const struct imap_item *item = &fetch->items[fetch->item_at];
		enum pn_next next;
		bool goes_on;

		if (fetch->item_at > 0)
			imap_put(&out, " ");
		if (item->kind != IMAP_ITEM_SECTION) {
			imap_fetch_put_item(imap, &out, item, at);
			fetch->item_at++;
			continue;
		}
		imap_send(session, &out);
		next = begin_section(session, imap, &item->section, &goes_on);
		if (!goes_on)
			return next;
	}
	imap_put(&out, ")\r\n");
	imap_send(session, &out);
	fetch->told++;
	imap_fetch_note_seen(imap, fetch, at);
	fetch->is_inside = false;
	fetch->item_at = 0;
	fetch->row_at++;
	return imap_fetch_go_on(session, imap);
}
