/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Summaries opened: tables in an arena, slices into the summary. It comes back from
 * disk: reading trusts nothing in it, neither sizes nor counts nor who is part of
 * whom. What it looks like is told in mime_summary.c.
 */
#include "mail/mime.h"

static const char default_parameter[] = "charset";
static const char default_charset[] = "us-ascii";

struct opening {
	const uint8_t *at;
	const uint8_t *end;
	bool is_damaged;
	struct pn_mime_address *addresses;
	size_t addresses_left;
	struct pn_mime_parameter *parameters;
	size_t parameters_left;
	struct pn_mime_envelope *envelopes;
	size_t envelopes_left;
};

static uint64_t take_number(struct opening *opening)
{
	uint64_t number = 0;

	for (unsigned shift = 0; shift < 64 && opening->at < opening->end; shift += 7) {
		uint8_t byte = *opening->at++;

		number |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return number;
	}
	opening->is_damaged = true;
	return 0;
}

static uint8_t take_byte(struct opening *opening)
{
	if (opening->at < opening->end)
		return *opening->at++;
	opening->is_damaged = true;
	return 0;
}

static struct pn_slice take_text(struct opening *opening)
{
	uint64_t size = take_number(opening);
	struct pn_slice text = {(const char *)opening->at, (size_t)size};

	if (size > (uint64_t)(opening->end - opening->at)) {
		opening->is_damaged = true;
		return PN_SLICE("");
	}
	opening->at += size;
	return text;
}

static struct pn_mime_addresses take_addresses(struct opening *opening)
{
	size_t count = take_byte(opening);
	struct pn_mime_address *list = opening->addresses;

	count |= (size_t)take_byte(opening) << 8;
	if (count > opening->addresses_left) {
		opening->is_damaged = true;
		return (struct pn_mime_addresses){NULL, 0};
	}
	opening->addresses += count;
	opening->addresses_left -= count;
	for (size_t index = 0; index < count && !opening->is_damaged; index++) {
		uint8_t head = take_byte(opening);

		if ((head & 3) > PN_MIME_GROUP_END)
			opening->is_damaged = true;
		list[index].kind = head & 3;
		list[index].name = head & 4 ? take_text(opening) : PN_SLICE("");
		list[index].route = head & 8 ? take_text(opening) : PN_SLICE("");
		list[index].host = head & 16 ? take_text(opening) : PN_SLICE("");
		list[index].mailbox = take_text(opening);
	}
	return (struct pn_mime_addresses){list, count};
}

static struct pn_mime_parameters take_parameters(struct opening *opening, bool has_values)
{
	size_t count = take_byte(opening);
	struct pn_mime_parameter *list = opening->parameters;

	if (count > opening->parameters_left) {
		opening->is_damaged = true;
		return (struct pn_mime_parameters){NULL, 0};
	}
	opening->parameters += count;
	opening->parameters_left -= count;
	for (size_t index = 0; index < count && !opening->is_damaged; index++) {
		list[index].name = take_text(opening);
		list[index].value = has_values ? take_text(opening) : PN_SLICE("");
	}
	return (struct pn_mime_parameters){list, count};
}

static unsigned take_bits(struct opening *opening)
{
	unsigned bits = take_byte(opening);

	return bits | (unsigned)take_byte(opening) << 8;
}

static void take_envelope(struct opening *opening, struct pn_mime_envelope *envelope)
{
	struct pn_slice *const texts[] = {
		&envelope->date,       &envelope->subject,    &envelope->in_reply_to,
		&envelope->message_id, &envelope->references,
	};
	struct pn_mime_addresses *const lists[] = {
		&envelope->from, &envelope->sender, &envelope->reply_to,
		&envelope->to,   &envelope->cc,     &envelope->bcc,
	};
	unsigned bits = take_bits(opening);

	*envelope = (struct pn_mime_envelope){.date = PN_SLICE_NONE};
	if (bits >= 1u << PN_ENVELOPE_FIELDS)
		opening->is_damaged = true;
	for (unsigned index = 0; index < PN_ENVELOPE_FIELDS && !opening->is_damaged; index++) {
		if ((bits & 1u << index) == 0)
			continue;
		if (index < PN_ENVELOPE_FROM)
			*texts[index] = take_text(opening);
		else
			*lists[index - PN_ENVELOPE_FROM] = take_addresses(opening);
	}
}

static void take_type(struct opening *opening, struct pn_mime_part *part, uint8_t code,
                      unsigned bits)
{
	bool has_text = (bits & 1u << PN_PART_TYPE) != 0;

	if (code >= PN_TYPE_CODES || (code == PN_TYPE_OTHER) != has_text) {
		opening->is_damaged = true;
		return;
	}
	part->type = has_text ? take_text(opening) : pn_mime_type_text(code);
	part->subtype = has_text ? take_text(opening) : pn_mime_subtype_text(code);
	if ((bits & 1u << PN_PART_PARAMETERS) != 0)
		part->parameters = take_parameters(opening, true);
	if (code != PN_TYPE_DEFAULT)
		return;
	if (part->parameters.count > 0 || opening->parameters_left == 0) {
		opening->is_damaged = true;
		return;
	}
	opening->parameters->name = pn_slice_make(default_parameter, sizeof(default_parameter) - 1);
	opening->parameters->value = pn_slice_make(default_charset, sizeof(default_charset) - 1);
	part->parameters = (struct pn_mime_parameters){opening->parameters++, 1};
	opening->parameters_left--;
}

static void take_encoding(struct opening *opening, struct pn_mime_part *part, uint8_t code,
                          unsigned bits)
{
	bool has_text = (bits & 1u << PN_PART_ENCODING) != 0;

	if (code >= PN_ENCODING_CODES || (code == PN_ENCODING_OTHER && !has_text) ||
	    (code != PN_ENCODING_OTHER && has_text)) {
		opening->is_damaged = true;
		return;
	}
	part->encoding = has_text ? take_text(opening) : pn_mime_encoding_text(code);
}

static void take_fields(struct opening *opening, struct pn_mime_part *part, uint8_t type,
                        uint8_t encoding)
{
	unsigned bits = take_bits(opening);

	if (bits >= 1u << PN_PART_FIELDS)
		opening->is_damaged = true;
	take_type(opening, part, type, bits);
	take_encoding(opening, part, encoding, bits);
	if ((bits & 1u << PN_PART_ID) != 0)
		part->id = take_text(opening);
	if ((bits & 1u << PN_PART_DESCRIPTION) != 0)
		part->description = take_text(opening);
	if ((bits & 1u << PN_PART_MD5) != 0)
		part->md5 = take_text(opening);
	if ((bits & 1u << PN_PART_DISPOSITION) != 0) {
		part->disposition = take_text(opening);
		part->disposition_parameters = take_parameters(opening, true);
	}
	if ((bits & 1u << PN_PART_LANGUAGES) != 0)
		part->languages = take_parameters(opening, false);
	if ((bits & 1u << PN_PART_LOCATION) != 0)
		part->location = take_text(opening);
}

/* Where it lies: inside what it is part of, or the summary is damaged. */
static void take_place(struct opening *opening, struct pn_mime_part *part,
                       const struct pn_mime_part *parent, uint64_t room)
{
	uint64_t delta = take_number(opening);

	part->header_size = take_number(opening);
	part->body_size = take_number(opening);
	part->line_count = take_number(opening);
	if (delta > room || part->header_size > room - delta ||
	    part->body_size > room - delta - part->header_size ||
	    part->line_count > part->body_size) {
		opening->is_damaged = true;
		return;
	}
	part->header_offset = delta + (parent == NULL ? 0 : parent->body_offset);
	part->body_offset = part->header_offset + part->header_size;
}

/* A part of a message inside has an envelope, which belongs to the part around it. */
static void take_inner_envelope(struct opening *opening, const struct pn_mime_part *part,
                                struct pn_mime_part *parent)
{
	if (opening->envelopes_left == 0 || parent->envelope != NULL ||
	    part->header_offset != parent->body_offset) {
		opening->is_damaged = true;
		return;
	}
	opening->envelopes_left--;
	take_envelope(opening, opening->envelopes);
	parent->envelope = opening->envelopes++;
	parent->inner_header_size = part->header_size;
}

static void take_part(struct opening *opening, struct pn_mime_part *parts, size_t index,
                      uint64_t size)
{
	struct pn_mime_part *part = &parts[index], *parent = NULL;
	uint8_t head = take_byte(opening);
	uint8_t type = take_byte(opening);
	uint8_t encoding = take_byte(opening);
	uint64_t around = take_number(opening);

	if ((head & 3) > PN_MIME_MESSAGE || head > 15 || (index > 0 ? around >= index : around > 0))
		opening->is_damaged = true;
	if (opening->is_damaged)
		return;
	if (index > 0)
		parent = &parts[around];
	part->kind = head & 3;
	part->has_8bit = (head & 4) != 0;
	part->has_nul = (head & 8) != 0;
	part->parent = (uint32_t)around;
	take_place(opening, part, parent, parent == NULL ? size : parent->body_size);
	take_fields(opening, part, type, encoding);
	if (parent != NULL && parent->kind == PN_MIME_LEAF)
		opening->is_damaged = true;
	if (parent != NULL && parent->kind == PN_MIME_MESSAGE && !opening->is_damaged)
		take_inner_envelope(opening, part, parent);
}

/* Children and siblings; from the last to the first, so that each list grows at its front. */
static bool link_parts(struct pn_mime_part *parts, size_t count)
{
	for (size_t index = count - 1; index > 0; index--) {
		struct pn_mime_part *parent = &parts[parts[index].parent];

		parts[index].next_sibling = parent->first_child;
		parent->first_child = (uint32_t)index;
		if (parts[index].kind == PN_MIME_MULTIPART && parts[index].first_child == 0)
			return false;
		if (parts[index].kind == PN_MIME_MESSAGE && parts[index].envelope == NULL)
			return false;
	}
	return parts[0].kind == PN_MIME_LEAF || parts[0].first_child != 0;
}

struct counts {
	uint8_t flags;
	uint64_t size;
	uint64_t parts;
	uint64_t envelopes;
	uint64_t parameters;
	uint64_t addresses;
};

static enum pn_status take_counts(struct opening *opening, struct pn_slice summary,
                                  struct counts *counts)
{
	if (summary.size < 2 || (uint8_t)summary.data[0] != PN_MIME_MAGIC ||
	    summary.data[1] != PN_MIME_VERSION)
		return PN_NOT_FOUND;
	*opening = (struct opening){.at = (const uint8_t *)summary.data + 2,
	                            .end = (const uint8_t *)summary.data + summary.size};
	counts->flags = take_byte(opening);
	counts->size = take_number(opening);
	counts->parts = take_number(opening);
	counts->envelopes = take_number(opening);
	counts->parameters = take_number(opening);
	counts->addresses = take_number(opening);
	/* Each takes bytes in the summary: what is allocated is bounded by what is there; but for
	 * the default parameter, of which a part has one at most. */
	if (opening->is_damaged || counts->parts == 0 || counts->parts > PN_MIME_MAX_PARTS ||
	    counts->envelopes >= counts->parts || counts->parameters > summary.size ||
	    counts->addresses > summary.size)
		return PN_FAILED;
	return PN_OK;
}

enum pn_status pn_mime_open(struct pn_slice summary, struct pn_arena *arena,
                            struct pn_mime_message *message_out)
{
	struct opening opening;
	struct counts counts;
	struct pn_mime_message message;
	struct pn_mime_part *parts;
	enum pn_status status = take_counts(&opening, summary, &counts);

	if (status != PN_OK)
		return status;
	opening.addresses = PN_ARENA_ARRAY(arena, counts.addresses, struct pn_mime_address);
	opening.addresses_left = counts.addresses;
	opening.parameters = PN_ARENA_ARRAY(arena, counts.parameters, struct pn_mime_parameter);
	opening.parameters_left = counts.parameters;
	if (counts.envelopes > 0)
		opening.envelopes =
			PN_ARENA_ARRAY(arena, counts.envelopes, struct pn_mime_envelope);
	opening.envelopes_left = counts.envelopes;
	parts = PN_ARENA_ARRAY(arena, counts.parts, struct pn_mime_part);
	take_envelope(&opening, &message.envelope);
	for (size_t index = 0; index < counts.parts && !opening.is_damaged; index++)
		take_part(&opening, parts, index, counts.size);
	if (opening.is_damaged || opening.at != opening.end || !link_parts(parts, counts.parts))
		return PN_FAILED;
	message.parts = parts;
	message.part_count = counts.parts;
	message.size = counts.size;
	message.header_size = parts[0].header_size;
	message.header_has_8bit = (counts.flags & PN_MIME_HEADER_8BIT) != 0;
	*message_out = message;
	return PN_OK;
}

enum pn_status pn_mime_open_envelope(struct pn_slice summary, struct pn_arena *arena,
                                     struct pn_mime_envelope *envelope_out)
{
	struct opening opening;
	struct counts counts;
	struct pn_mime_envelope envelope;
	enum pn_status status = take_counts(&opening, summary, &counts);

	if (status != PN_OK)
		return status;
	opening.addresses = PN_ARENA_ARRAY(arena, counts.addresses, struct pn_mime_address);
	opening.addresses_left = counts.addresses;
	take_envelope(&opening, &envelope);
	if (opening.is_damaged)
		return PN_FAILED;
	*envelope_out = envelope;
	return PN_OK;
}
