/* SPDX-License-Identifier: Apache-2.0 */
/* BODY and BODYSTRUCTURE (RFC 3501 section 7.4.2). */
#include "fetch.h"

#include <postern/text.h>

static void put_parameters(struct pn_buffer *out, const struct pn_mime_parameters *parameters)
{
	if (parameters->count == 0) {
		imap_put(out, "NIL");
		return;
	}
	for (size_t i = 0; i < parameters->count; i++) {
		imap_put(out, i == 0 ? "(" : " ");
		imap_put_text(out, parameters->list[i].name);
		imap_put(out, " ");
		imap_put_text(out, parameters->list[i].value.data == NULL
		                           ? PN_SLICE("")
		                           : parameters->list[i].value);
	}
	imap_put(out, ")");
}

static void put_extension(struct pn_buffer *out, const struct pn_mime_part *part)
{
	imap_put(out, " ");
	if (part->disposition.data == NULL) {
		imap_put(out, "NIL");
	} else {
		imap_put(out, "(");
		imap_put_text(out, part->disposition);
		imap_put(out, " ");
		put_parameters(out, &part->disposition_parameters);
		imap_put(out, ")");
	}
	imap_put(out, " ");
	if (part->languages.count == 0)
		imap_put(out, "NIL");
	for (size_t i = 0; i < part->languages.count; i++) {
		imap_put(out, i == 0 ? "(" : " ");
		imap_put_text(out, part->languages.list[i].name);
	}
	imap_put(out, part->languages.count == 0 ? " " : ") ");
	imap_put_text(out, part->location);
}

static void put_part(struct pn_buffer *out, const struct pn_mime_message *message, size_t index,
                     bool is_extended);

static void put_multipart(struct pn_buffer *out, const struct pn_mime_message *message,
                          const struct pn_mime_part *part, bool is_extended)
{
	for (uint32_t child = part->first_child; child != 0;
	     child = message->parts[child].next_sibling)
		put_part(out, message, child, is_extended);
	imap_put(out, " ");
	imap_put_text(out, part->subtype);
	if (!is_extended)
		return;
	imap_put(out, " ");
	put_parameters(out, &part->parameters);
	put_extension(out, part);
}

static void put_leaf(struct pn_buffer *out, const struct pn_mime_message *message,
                     const struct pn_mime_part *part, bool is_extended)
{
	imap_put_text(out, part->type);
	imap_put(out, " ");
	imap_put_text(out, part->subtype);
	imap_put(out, " ");
	put_parameters(out, &part->parameters);
	imap_put(out, " ");
	imap_put_text(out, part->id);
	imap_put(out, " ");
	imap_put_text(out, part->description);
	imap_put(out, " ");
	imap_put_text(out, part->encoding);
	imap_put(out, " ");
	imap_put_number(out, part->body_size);
	if (part->kind == PN_MIME_MESSAGE && part->envelope != NULL && part->first_child != 0) {
		imap_put(out, " ");
		imap_put_envelope(out, part->envelope);
		imap_put(out, " ");
		put_part(out, message, part->first_child, is_extended);
	}
	if (pn_slice_equal(part->type, PN_SLICE("text")) ||
	    (part->kind == PN_MIME_MESSAGE && part->first_child != 0)) {
		imap_put(out, " ");
		imap_put_number(out, part->line_count);
	}
	if (!is_extended)
		return;
	imap_put(out, " ");
	imap_put_text(out, part->md5);
	put_extension(out, part);
}

/* As deep as pn_mime_open lets a message be. */
static void put_part(struct pn_buffer *out, const struct pn_mime_message *message, size_t index,
                     bool is_extended)
{
	const struct pn_mime_part *part = &message->parts[index];

	imap_put(out, "(");
	if (part->kind == PN_MIME_MULTIPART && part->first_child != 0)
		put_multipart(out, message, part, is_extended);
	else
		put_leaf(out, message, part, is_extended);
	imap_put(out, ")");
}

void imap_put_structure(struct pn_buffer *out, const struct pn_mime_message *message,
                        bool is_extended)
{
	put_part(out, message, 0, is_extended);
}
