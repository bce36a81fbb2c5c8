/* SPDX-License-Identifier: Apache-2.0 */
/* BODY[section]<partial> (RFC 3501 section 6.4.5): from the brackets to the bytes. */
#include "fetch.h"

#include <postern/text.h>

#include <stdlib.h>
#include <strings.h>

/* -------------------------------------------------------------------- parsing */

/* "1.2." in front of a word, or "1.2" alone. */
static bool parse_path(struct imap_parser *parser, struct imap_section *section)
{
	uint32_t path[IMAP_SECTION_DEPTH];
	uint32_t *kept;

	while (imap_peek(parser) >= '0' && imap_peek(parser) <= '9') {
		if (section->depth == IMAP_SECTION_DEPTH) {
			parser->expected = "a part that is not so deep";
			return false;
		}
		if (!imap_parse_number(parser, &path[section->depth]))
			return false;
		if (path[section->depth++] == 0) {
			parser->expected = "a number above 0";
			return false;
		}
		if (!imap_skip_char(parser, '.'))
			break;
		if (imap_peek(parser) == ']')
			return imap_parse_char(parser, '.');
	}
	kept = PN_ARENA_ARRAY(parser->arena, section->depth, uint32_t);
	if (section->depth > 0)
		memcpy(kept, path, section->depth * sizeof(*kept));
	section->path = kept;
	return true;
}

/* Shorter names first, then by their letters. */
static int compare_names(const void *left, const void *right)
{
	const struct pn_slice *a = left;
	const struct pn_slice *b = right;

	if (a->size != b->size)
		return a->size < b->size ? -1 : 1;
	return a->size == 0 ? 0 : strncasecmp(a->data, b->data, a->size);
}

/* A client may name a great many, and a header may have as many. */
static void sort_fields(struct imap_parser *parser, struct imap_section *section)
{
	struct pn_slice *sorted =
		PN_ARENA_ARRAY(parser->arena, section->field_count, struct pn_slice);

	memcpy(sorted, section->fields, section->field_count * sizeof(*sorted));
	qsort(sorted, section->field_count, sizeof(*sorted), compare_names);
	section->sorted = sorted;
}

static void add_field(struct imap_parser *parser, struct pn_slice **fields, size_t *room,
                      size_t count, struct pn_slice field)
{
	struct pn_slice *more;

	if (count == *room) {
		*room *= 2;
		more = PN_ARENA_ARRAY(parser->arena, *room, struct pn_slice);
		memcpy(more, *fields, count * sizeof(*more));
		*fields = more;
	}
	(*fields)[count] = field;
}

static bool parse_fields(struct imap_parser *parser, struct imap_section *section)
{
	size_t room = 8;
	struct pn_slice *fields = PN_ARENA_ARRAY(parser->arena, room, struct pn_slice);
	struct pn_slice field;

	if (!imap_parse_space(parser) || !imap_parse_char(parser, '('))
		return false;
	do {
		if (!imap_parse_astring(parser, &field))
			return false;
		add_field(parser, &fields, &room, section->field_count++, field);
	} while (imap_skip_char(parser, ' '));
	section->fields = fields;
	sort_fields(parser, section);
	return imap_parse_char(parser, ')');
}

static bool parse_what(struct imap_parser *parser, struct imap_section *section)
{
	if (imap_peek(parser) == ']')
		return true;
	if (section->depth > 0 && parser->text.data[parser->at - 1] != '.')
		return imap_parse_char(parser, ']');
	if (imap_skip_word(parser, "HEADER.FIELDS.NOT")) {
		section->what = IMAP_SECTION_FIELDS_NOT;
		return parse_fields(parser, section);
	}
	if (imap_skip_word(parser, "HEADER.FIELDS")) {
		section->what = IMAP_SECTION_FIELDS;
		return parse_fields(parser, section);
	}
	if (imap_skip_word(parser, "HEADER")) {
		section->what = IMAP_SECTION_HEADER;
		return true;
	}
	if (imap_skip_word(parser, "TEXT")) {
		section->what = IMAP_SECTION_TEXT;
		return true;
	}
	if (section->depth > 0 && imap_skip_word(parser, "MIME")) {
		section->what = IMAP_SECTION_MIME;
		return true;
	}
	parser->expected = "a section of a message";
	return false;
}

static bool parse_partial(struct imap_parser *parser, struct imap_section *section)
{
	if (!imap_skip_char(parser, '<'))
		return true;
	if (!imap_parse_number(parser, &section->offset) || !imap_parse_char(parser, '.') ||
	    !imap_parse_number(parser, &section->size) || !imap_parse_char(parser, '>'))
		return false;
	if (section->size == 0) {
		parser->expected = "a size above 0";
		return false;
	}
	section->has_partial = true;
	return true;
}

static void put_field_names(struct pn_buffer *out, const struct imap_section *section)
{
	for (size_t i = 0; i < section->field_count; i++) {
		struct pn_slice field = section->fields[i];
		bool is_atom = field.size > 0;

		for (size_t k = 0; k < field.size; k++)
			is_atom = is_atom && imap_is_atom_char(field.data[k]);
		imap_put(out, i == 0 ? " (" : " ");
		if (is_atom)
			imap_put_slice(out, field);
		else
			imap_write_string(out, field);
	}
	imap_put(out, ")");
}

/* What the response calls it. */
static void make_label(struct imap_parser *parser, struct imap_section *section)
{
	static const char *const words[] = {"",     "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT",
	                                    "TEXT", "MIME"};
	struct pn_buffer label;

	pn_buffer_init(&label, 1024 * 1024);
	imap_put(&label, "BODY[");
	for (size_t i = 0; i < section->depth; i++)
		(void)!pn_buffer_print(&label, i == 0 ? "%u" : ".%u", section->path[i]);
	if (section->depth > 0 && section->what != IMAP_SECTION_ALL)
		imap_put(&label, ".");
	imap_put(&label, words[section->what]);
	if (section->what == IMAP_SECTION_FIELDS || section->what == IMAP_SECTION_FIELDS_NOT)
		put_field_names(&label, section);
	imap_put(&label, "]");
	if (section->has_partial)
		(void)!pn_buffer_print(&label, "<%u>", section->offset);
	section->label = pn_arena_keep(parser->arena, pn_buffer_slice(&label));
	pn_buffer_clear(&label);
}

bool imap_parse_section(struct imap_parser *parser, struct imap_section *section)
{
	if (!parse_path(parser, section) || !parse_what(parser, section) ||
	    !imap_parse_char(parser, ']') || !parse_partial(parser, section))
		return false;
	make_label(parser, section);
	return true;
}

/* ------------------------------------------------------------------- the bytes */

bool imap_section_needs_structure(const struct imap_section *section)
{
	return section->depth > 0;
}

static const struct pn_mime_part *nth_child(const struct pn_mime_message *message,
                                            const struct pn_mime_part *part, uint32_t number)
{
	uint32_t child = part->first_child;

	while (child != 0 && --number > 0)
		child = message->parts[child].next_sibling;
	return child == 0 ? NULL : &message->parts[child];
}

/* RFC 3501 section 6.4.5: a message that is no multipart has one part, itself. */
static const struct pn_mime_part *part_of_content(const struct pn_mime_message *message,
                                                  const struct pn_mime_part *content,
                                                  uint32_t number)
{
	if (content->kind == PN_MIME_MULTIPART)
		return nth_child(message, content, number);
	return number == 1 ? content : NULL;
}

static const struct pn_mime_part *find_part(const struct imap_section *section,
                                            const struct pn_mime_message *message)
{
	const struct pn_mime_part *part =
		part_of_content(message, &message->parts[0], section->path[0]);

	for (size_t i = 1; i < section->depth && part != NULL; i++) {
		if (part->kind == PN_MIME_MULTIPART)
			part = nth_child(message, part, section->path[i]);
		else if (part->kind == PN_MIME_MESSAGE && part->first_child != 0)
			part = part_of_content(message, &message->parts[part->first_child],
			                       section->path[i]);
		else
			part = NULL;
	}
	return part;
}

static struct imap_extent extent_of_part(const struct imap_section *section,
                                         const struct pn_mime_part *part)
{
	struct imap_extent extent = {.is_there = true};

	switch (section->what) {
	case IMAP_SECTION_ALL:
		extent.offset = part->body_offset;
		extent.size = part->body_size;
		return extent;
	case IMAP_SECTION_MIME:
		extent.offset = part->header_offset;
		extent.size = part->header_size;
		return extent;
	default:
		break;
	}
	if (part->kind != PN_MIME_MESSAGE)
		return (struct imap_extent){0};
	extent.offset = part->body_offset;
	extent.size = part->inner_header_size;
	extent.is_header = section->what != IMAP_SECTION_HEADER;
	if (section->what == IMAP_SECTION_TEXT) {
		extent.is_header = false;
		extent.offset += part->inner_header_size;
		extent.size = part->body_size - part->inner_header_size;
	}
	return extent;
}

struct imap_extent imap_section_find(const struct imap_section *section,
                                     const struct pn_mime_message *message, uint64_t size,
                                     uint64_t header_size)
{
	const struct pn_mime_part *part;

	if (section->depth > 0) {
		part = message == NULL ? NULL : find_part(section, message);
		return part == NULL ? (struct imap_extent){0} : extent_of_part(section, part);
	}
	switch (section->what) {
	case IMAP_SECTION_HEADER:
		return (struct imap_extent){true, false, 0, header_size};
	case IMAP_SECTION_FIELDS:
	case IMAP_SECTION_FIELDS_NOT:
		return (struct imap_extent){true, true, 0, header_size};
	case IMAP_SECTION_TEXT:
		return (struct imap_extent){true, false, header_size, size - header_size};
	default:
		return (struct imap_extent){true, false, 0, size};
	}
}

static bool is_named(const struct imap_section *section, struct pn_slice name)
{
	return bsearch(&name, section->sorted, section->field_count, sizeof(name), compare_names) !=
	       NULL;
}

/* Line by line, as the header is: what has no colon is a field without a name. */
void imap_section_choose(const struct imap_section *section, struct pn_slice header,
                         struct pn_buffer *out)
{
	bool is_chosen = false;

	while (header.size > 0) {
		size_t end = pn_slice_find(header, '\n');
		struct pn_slice line =
			pn_slice_make(header.data, end < header.size ? end + 1 : end);

		header = pn_slice_behind(header, line.size);
		if (line.data[0] == '\r' || line.data[0] == '\n')
			break;
		if (line.data[0] != ' ' && line.data[0] != '\t') {
			struct pn_slice name =
				pn_slice_trim(pn_slice_make(line.data, pn_slice_find(line, ':')));

			is_chosen =
				is_named(section, name) == (section->what == IMAP_SECTION_FIELDS);
		}
		if (is_chosen)
			imap_put_literal_bytes(out, line);
	}
	imap_put(out, "\r\n");
}

void imap_section_range(const struct imap_section *section, uint64_t *offset, uint64_t *size)
{
	uint64_t skip = section->offset;

	if (!section->has_partial)
		return;
	if (skip > *size)
		skip = *size;
	*offset += skip;
	*size -= skip;
	if (*size > section->size)
		*size = section->size;
}

void imap_put_literal_bytes(struct pn_buffer *out, struct pn_slice bytes)
{
	while (bytes.size > 0) {
		size_t nul = pn_slice_find(bytes, '\0');

		imap_put_slice(out, pn_slice_make(bytes.data, nul));
		if (nul == bytes.size)
			return;
		imap_put(out, "\x80");
		bytes = pn_slice_behind(bytes, nul + 1);
	}
}
