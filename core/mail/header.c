/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a message, read (RFC 5322 section 2.2): where it ends, its fields,
 * their values on one line. Takes what comes: lines that are no field are kept and
 * marked, so that nothing of a message is lost. Every function is linear. Pure.
 */
#include <postern/header.h>
#include <postern/text.h>

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

/* Size of the line at the beginning with its CRLF; all of the text where there is no CRLF. */
static size_t line_size(struct pn_slice text)
{
	size_t from = 0;

	while (from < text.size) {
		const char *found = memchr(text.data + from, '\n', text.size - from);
		size_t index;

		if (found == NULL)
			break;
		index = (size_t)(found - text.data);
		if (index > 0 && text.data[index - 1] == '\r')
			return index + 1;
		from = index + 1;
	}
	return text.size;
}

static bool is_empty_line(struct pn_slice text)
{
	return text.size >= 2 && text.data[0] == '\r' && text.data[1] == '\n';
}

/* Size of the field at the beginning: its line and those that continue it. */
static size_t field_size(struct pn_slice text)
{
	size_t size = line_size(text);

	while (size < text.size && is_blank(text.data[size]))
		size += line_size(pn_slice_make(text.data + size, text.size - size));
	return size;
}

bool pn_header_name_is_valid(struct pn_slice name)
{
	for (size_t index = 0; index < name.size; index++) {
		if (name.data[index] < '!' || name.data[index] > '~' || name.data[index] == ':')
			return false;
	}
	return name.size > 0;
}

/* Takes a field apart. False where it is none: then its name is empty. */
static bool take_apart(struct pn_slice whole, struct pn_header_field *field)
{
	struct pn_slice content = whole;
	struct pn_slice name;
	size_t colon;

	if (content.size >= 2 && memcmp(content.data + content.size - 2, "\r\n", 2) == 0)
		content.size -= 2;
	field->whole = whole;
	field->name = PN_SLICE_NONE;
	field->value = content;
	colon = pn_slice_find(content, ':');
	if (colon == content.size || is_blank(content.data[0]))
		return false;
	/* RFC 5322 section 4.5: blanks before the colon are obsolete, and still the same field. */
	name = pn_slice_trim(pn_slice_make(content.data, colon));
	if (!pn_header_name_is_valid(name))
		return false;
	field->name = name;
	field->value = pn_slice_make(content.data + colon + 1, content.size - colon - 1);
	return true;
}

/* How many fields there are, counting no further than one more than `max_fields`. */
static size_t count_fields(struct pn_slice text, size_t max_fields)
{
	size_t count = 0;

	while (text.size > 0 && !is_empty_line(text) && count <= max_fields) {
		size_t size = field_size(text);

		text.data += size;
		text.size -= size;
		count++;
	}
	return count;
}

enum pn_status pn_header_parse(struct pn_slice text, size_t max_fields, struct pn_arena *arena,
                               struct pn_header *header_out)
{
	struct pn_header header = {.count = count_fields(text, max_fields)};
	struct pn_header_field *fields;
	struct pn_slice rest = text;

	if (header.count > max_fields)
		return PN_LIMIT;
	fields = PN_ARENA_ARRAY(arena, header.count, struct pn_header_field);
	for (size_t index = 0; index < header.count; index++) {
		size_t size = field_size(rest);

		if (!take_apart(pn_slice_make(rest.data, size), &fields[index]))
			header.is_malformed = true;
		rest.data += size;
		rest.size -= size;
	}
	header.fields = fields;
	header.has_end = is_empty_line(rest);
	header.size = text.size - rest.size + (header.has_end ? 2 : 0);
	*header_out = header;
	return PN_OK;
}

const struct pn_header_field *pn_header_find(const struct pn_header *header, struct pn_slice name,
                                             size_t index)
{
	for (size_t position = 0; position < header->count; position++) {
		const struct pn_header_field *field = &header->fields[position];

		if (field->name.size > 0 && pn_slice_equal_ignore_case(field->name, name) &&
		    index-- == 0)
			return field;
	}
	return NULL;
}

struct pn_slice pn_header_unfold(struct pn_arena *arena, struct pn_slice value)
{
	char *text = pn_arena_allocate(arena, value.size + 1);
	size_t size = 0;

	for (size_t index = 0; index < value.size; index++) {
		char byte = value.data[index];

		/* RFC 5322 section 2.2.3: a CRLF before a blank goes, the blank stays. */
		if (byte == '\r' && value.size - index >= 3 && value.data[index + 1] == '\n' &&
		    is_blank(value.data[index + 2])) {
			index++;
			continue;
		}
		/* What else would end a line or a string must not: the result is one line. */
		text[size++] = byte == '\r' || byte == '\n' || byte == '\0' ? ' ' : byte;
	}
	return pn_slice_trim(pn_slice_make(text, size));
}

size_t pn_header_end(struct pn_slice text, size_t from)
{
	/* It ends behind what was searched, wherever it begins. */
	size_t position = from;

	if (is_empty_line(text))
		return 2;
	while (position < text.size) {
		const char *found = memchr(text.data + position, '\n', text.size - position);
		size_t end;

		if (found == NULL)
			return 0;
		end = (size_t)(found - text.data) + 1;
		if (end >= 4 && memcmp(text.data + end - 4, "\r\n\r\n", 4) == 0)
			return end;
		position = end;
	}
	return 0;
}
