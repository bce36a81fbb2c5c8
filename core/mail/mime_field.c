/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a header that make a structure or an envelope, taken one by one as
 * they go by and kept as the summary will have them. The first of a name counts: that
 * is what most readers of mail show. Called by mime_parser.c alone.
 */
#include "mail/mime.h"

#include <postern/header.h>
#include <postern/text.h>

bool pn_mime_field_split(struct pn_slice field, struct pn_slice *name, struct pn_slice *value)
{
	size_t colon = pn_slice_find(field, ':');

	if (colon == field.size)
		return false;
	*name = pn_slice_trim(pn_slice_make(field.data, colon));
	*value = pn_slice_make(field.data + colon + 1, field.size - colon - 1);
	return pn_header_name_is_valid(*name) && field.data[0] != ' ' && field.data[0] != '\t';
}

static bool is_plain(struct pn_slice text)
{
	return memchr(text.data, '\n', text.size) == NULL &&
	       memchr(text.data, '\r', text.size) == NULL &&
	       memchr(text.data, '\0', text.size) == NULL;
}

struct pn_slice pn_mime_unfold(struct pn_buffer *out, struct pn_slice value)
{
	char *to;
	size_t size = 0;

	out->size = 0;
	while (value.size > 0 &&
	       (value.data[value.size - 1] == '\n' || value.data[value.size - 1] == '\r'))
		value.size--;
	value = pn_slice_trim(value);
	if (pn_buffer_reserve(out, value.size + 1, &to) != PN_OK)
		return PN_SLICE("");
	if (value.size > 0 && is_plain(value)) {
		memcpy(to, value.data, value.size);
		size = value.size;
	}
	for (size_t index = size; index < value.size; index++) {
		char byte = value.data[index];

		if (byte == '\0')
			continue;
		/* RFC 5322 section 2.2.3: the line end goes, the blank behind it stays; but as a
		 * space, as that is what a tab there was before somebody folded the line. */
		if (byte == '\n' || byte == '\r') {
			if (byte == '\r' && index + 1 < value.size && value.data[index + 1] == '\n')
				continue;
			if (index + 1 < value.size &&
			    (value.data[index + 1] == ' ' || value.data[index + 1] == '\t'))
				index++;
			byte = ' ';
		}
		to[size++] = byte;
	}
	out->size = size;
	return pn_slice_trim(pn_slice_make(to, size));
}

/* What was written from `start` on becomes the field; or it is left out, where it is too much. */
static void settle(struct pn_mime_tree *tree, size_t start, enum pn_status status, uint32_t *kept,
                   uint32_t limit, struct pn_mime_span *span)
{
	size_t size = tree->text.size - start;

	if (status != PN_OK || size > limit - *kept) {
		tree->text.size = start;
		return;
	}
	*kept += (uint32_t)size;
	*span = (struct pn_mime_span){(uint32_t)start, (uint32_t)size};
}

static void keep(struct pn_mime_tree *tree, struct pn_mime_node *node, size_t start,
                 enum pn_status status, struct pn_mime_span *span)
{
	settle(tree, start, status, &node->kept, PN_MIME_MAX_PART_FIELDS, span);
}

/* A bare copy of a text the parser itself needs. */
static void keep_bare(struct pn_mime_tree *tree, struct pn_mime_node *node, struct pn_slice text,
                      size_t max_size, struct pn_mime_span *span)
{
	size_t start = tree->text.size;

	if (text.size > 0 && text.size <= max_size)
		keep(tree, node, start, pn_buffer_append(&tree->text, text), span);
}

static struct pn_mime_cursor cursor_of(struct pn_slice unfolded)
{
	char *text = (char *)unfolded.data;

	return (struct pn_mime_cursor){text, text + unfolded.size};
}

static void take_parameters(struct pn_mime_tree *tree, struct pn_mime_node *node,
                            struct pn_mime_cursor *cursor)
{
	struct pn_mime_known_parameters known = {.count = 0};
	size_t start = tree->text.size;
	enum pn_status status = pn_mime_parameters_write(&tree->text, cursor, &known);

	if (known.count == 0) {
		tree->text.size = start;
		return;
	}
	keep(tree, node, start, status, &node->fields[PN_PART_PARAMETERS]);
	if (node->fields[PN_PART_PARAMETERS].size > 0)
		node->parameter_count += known.count;
	while (known.boundary.size > 0 && known.boundary.data[known.boundary.size - 1] == ' ')
		known.boundary.size--;
	keep_bare(tree, node, known.boundary, PN_MIME_MAX_BOUNDARY, &node->boundary);
	if (tree->listener != NULL)
		keep_bare(tree, node, known.charset, 64, &node->charset);
}

static void take_type(struct pn_mime_tree *tree, struct pn_mime_node *node,
                      struct pn_slice unfolded)
{
	struct pn_mime_cursor cursor = cursor_of(unfolded);
	struct pn_slice type, subtype = PN_SLICE_NONE;
	size_t start = tree->text.size;

	node->has_type = true;
	node->type = PN_TYPE_DEFAULT;
	pn_mime_skip(&cursor);
	type = pn_mime_token(&cursor, "/=,\"");
	pn_mime_skip(&cursor);
	if (cursor.at < cursor.end && *cursor.at == '/') {
		cursor.at++;
		pn_mime_skip(&cursor);
		subtype = pn_mime_token(&cursor, "/=,\"");
	}
	/* RFC 2045 section 5.2: what cannot be read is plain text. */
	if (type.size == 0 || subtype.size == 0)
		return;
	node->type = pn_mime_type_code(type, subtype);
	if (node->type == PN_TYPE_OTHER) {
		enum pn_status status = pn_wire_text(&tree->text, type);

		if (status == PN_OK)
			status = pn_wire_text(&tree->text, subtype);
		keep(tree, node, start, status, &node->fields[PN_PART_TYPE]);
		if (node->fields[PN_PART_TYPE].size == 0)
			node->type = PN_TYPE_OCTET_STREAM;
	}
	if (pn_slice_equal(type, PN_SLICE("multipart")))
		node->kind = PN_MIME_MULTIPART;
	else if (node->type == PN_TYPE_MESSAGE_RFC822 || node->type == PN_TYPE_MESSAGE_GLOBAL)
		node->kind = PN_MIME_MESSAGE;
	take_parameters(tree, node, &cursor);
}

static void take_encoding(struct pn_mime_tree *tree, struct pn_mime_node *node,
                          struct pn_slice unfolded)
{
	struct pn_mime_cursor cursor = cursor_of(unfolded);
	struct pn_slice encoding;
	size_t start = tree->text.size;

	node->has_encoding = true;
	pn_mime_skip(&cursor);
	encoding = pn_mime_token(&cursor, ",");
	node->encoding = encoding.size == 0 ? PN_ENCODING_7BIT : pn_mime_encoding_code(encoding);
	if (node->encoding == PN_ENCODING_OTHER)
		keep(tree, node, start, pn_wire_text(&tree->text, encoding),
		     &node->fields[PN_PART_ENCODING]);
}

static void take_disposition(struct pn_mime_tree *tree, struct pn_mime_node *node,
                             struct pn_slice unfolded)
{
	struct pn_mime_cursor cursor = cursor_of(unfolded);
	struct pn_mime_known_parameters known = {.count = 0};
	struct pn_slice disposition;
	size_t start = tree->text.size;
	enum pn_status status;

	pn_mime_skip(&cursor);
	disposition = pn_mime_token(&cursor, "=,\"");
	if (disposition.size == 0)
		return;
	status = pn_wire_text(&tree->text, disposition);
	if (status == PN_OK)
		status = pn_mime_parameters_write(&tree->text, &cursor, &known);
	keep(tree, node, start, status, &node->fields[PN_PART_DISPOSITION]);
	if (node->fields[PN_PART_DISPOSITION].size > 0)
		node->parameter_count += known.count;
}

static void take_languages(struct pn_mime_tree *tree, struct pn_mime_node *node,
                           struct pn_slice unfolded)
{
	struct pn_mime_cursor cursor = cursor_of(unfolded);
	size_t start = tree->text.size;
	enum pn_status status = pn_buffer_append(&tree->text, PN_SLICE("\0"));
	size_t count = 0;

	while (cursor.at < cursor.end && count < PN_MIME_MAX_PARAMETERS && status == PN_OK) {
		struct pn_slice language;

		pn_mime_skip(&cursor);
		language = pn_mime_token(&cursor, ",");
		if (language.size > 0) {
			status = pn_wire_text(&tree->text, language);
			count++;
		} else if (cursor.at < cursor.end && *cursor.at != '(') {
			cursor.at++;
		}
	}
	if (status == PN_OK)
		tree->text.data[start] = (char)count;
	if (count == 0)
		tree->text.size = start;
	else
		keep(tree, node, start, status, &node->fields[PN_PART_LANGUAGES]);
	if (node->fields[PN_PART_LANGUAGES].size > 0)
		node->parameter_count += (uint32_t)count;
}

static void take_text(struct pn_mime_tree *tree, struct pn_mime_node *node,
                      struct pn_slice unfolded, enum pn_part_field field)
{
	size_t start = tree->text.size;

	keep(tree, node, start, pn_wire_text(&tree->text, unfolded), &node->fields[field]);
}

/* Content-…: `name` is what is behind the dash. */
static void take_content(struct pn_mime_tree *tree, struct pn_mime_node *node, struct pn_slice name,
                         struct pn_slice value)
{
	static const struct {
		const char *name;
		enum pn_part_field field;
	} rows[] = {
		{"Type", PN_PART_TYPE},
		{"Transfer-Encoding", PN_PART_ENCODING},
		{"ID", PN_PART_ID},
		{"Description", PN_PART_DESCRIPTION},
		{"MD5", PN_PART_MD5},
		{"Disposition", PN_PART_DISPOSITION},
		{"Language", PN_PART_LANGUAGES},
		{"Location", PN_PART_LOCATION},
	};
	size_t row = 0;
	struct pn_slice unfolded;

	while (row < sizeof(rows) / sizeof(rows[0]) &&
	       !pn_slice_equal_ignore_case(name, pn_slice_of(rows[row].name)))
		row++;
	if (row == sizeof(rows) / sizeof(rows[0]) || node->fields[rows[row].field].size > 0)
		return;
	unfolded = pn_mime_unfold(&tree->value, value);
	switch (rows[row].field) {
	case PN_PART_TYPE:
		if (!node->has_type)
			take_type(tree, node, unfolded);
		break;
	case PN_PART_ENCODING:
		if (!node->has_encoding)
			take_encoding(tree, node, unfolded);
		break;
	case PN_PART_DISPOSITION:
		take_disposition(tree, node, unfolded);
		break;
	case PN_PART_LANGUAGES:
		take_languages(tree, node, unfolded);
		break;
	default:
		take_text(tree, node, unfolded, rows[row].field);
	}
}

/*
 * The addresses of a field, behind those of an earlier one of that name, if there was one: they are
 * one list, so that nobody is hidden behind a second field. `before` is that of the earlier one,
 * which begins with its count as this one does; *count_out counts what is new.
 */
static enum pn_status put_addresses(struct pn_mime_tree *tree, struct pn_mime_span before,
                                    struct pn_slice unfolded, uint32_t *count_out)
{
	const size_t start = tree->text.size;
	const size_t behind = start + before.size;
	uint8_t *bytes;
	char *room;
	size_t count;
	enum pn_status status;

	if (before.size == 0)
		return pn_mime_addresses_write(&tree->text, unfolded, &tree->scratch, count_out);
	status = pn_buffer_reserve(&tree->text, before.size, &room);
	if (status != PN_OK)
		return status;
	memcpy(room, tree->text.data + before.offset, before.size);
	tree->text.size = behind;
	status = pn_mime_addresses_write(&tree->text, unfolded, &tree->scratch, count_out);
	if (status != PN_OK)
		return status;
	bytes = (uint8_t *)tree->text.data;
	count = bytes[start] + ((size_t)bytes[start + 1] << 8) + *count_out;
	if (count > PN_MIME_MAX_ADDRESSES)
		return PN_LIMIT;
	bytes[start] = (uint8_t)(count & 0xff);
	bytes[start + 1] = (uint8_t)(count >> 8);
	tree->text.size -= 2;
	memmove(bytes + behind, bytes + behind + 2, tree->text.size - behind);
	return PN_OK;
}

static void take_envelope(struct pn_mime_tree *tree, struct pn_mime_node *node,
                          struct pn_slice name, struct pn_slice value)
{
	static const char *const names[PN_ENVELOPE_FIELDS] = {
		"Date",   "Subject",  "In-Reply-To", "Message-ID", "References", "From",
		"Sender", "Reply-To", "To",          "Cc",         "Bcc",
	};
	int field = 0;
	size_t start = tree->text.size;
	uint32_t count = 0;
	struct pn_slice unfolded;
	enum pn_status status;

	while (field < PN_ENVELOPE_FIELDS &&
	       !pn_slice_equal_ignore_case(name, pn_slice_of(names[field])))
		field++;
	if (field == PN_ENVELOPE_FIELDS ||
	    (field < PN_ENVELOPE_FROM && node->envelope[field].size > 0))
		return;
	unfolded = pn_mime_unfold(&tree->value, value);
	status = field < PN_ENVELOPE_FROM
	                 ? pn_wire_text(&tree->text, unfolded)
	                 : put_addresses(tree, node->envelope[field], unfolded, &count);
	settle(tree, start, status, &node->envelope_kept, PN_MIME_MAX_ENVELOPE,
	       &node->envelope[field]);
	if (node->envelope[field].offset == start && node->envelope[field].size > 0)
		node->address_count += count;
}

void pn_mime_field_take(struct pn_mime_tree *tree, struct pn_mime_node *node, struct pn_slice field,
                        bool wants_envelope)
{
	struct pn_slice name, value;

	/* Most fields are none of these, and one look is enough. */
	if (field.size == 0 || strchr("CcDdSsIiMmRrFfTtBb", field.data[0]) == NULL ||
	    !pn_mime_field_split(field, &name, &value))
		return;
	if (name.size > 8 && pn_slice_starts_with_ignore_case(name, PN_SLICE("Content-")))
		take_content(tree, node, pn_slice_behind(name, 8), value);
	else if (wants_envelope && node->is_message)
		take_envelope(tree, node, name, value);
}
