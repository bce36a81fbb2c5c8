/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of tags, RFC 6376 section 3.2. Pure. */
#include <postern/text.h>

#include "dkim.h"

static bool is_space(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static struct pn_slice trim(struct pn_slice text)
{
	while (text.size > 0 && is_space(text.data[0]))
		text = pn_slice_behind(text, 1);
	while (text.size > 0 && is_space(text.data[text.size - 1]))
		text.size--;
	return text;
}

static bool is_name(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		char byte = text.data[i];
		bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');

		if (!is_letter && (i == 0 || !((byte >= '0' && byte <= '9') || byte == '_')))
			return false;
	}
	return text.size > 0;
}

/* VALCHAR and white space; and what international mail has (RFC 8616). */
static bool is_value(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		unsigned char byte = (unsigned char)text.data[i];

		if (!is_space(text.data[i]) && (byte < 0x21 || byte == 0x7f))
			return false;
	}
	return true;
}

enum pn_status dkim_tags_parse(struct pn_slice text, struct dkim_tags *tags_out)
{
	struct pn_slice rest = trim(text);

	tags_out->count = 0;
	while (rest.size > 0) {
		struct pn_slice part = pn_slice_cut(&rest, ';');
		size_t equals = pn_slice_find(part, '=');
		struct dkim_tag tag;

		if (trim(part).size == 0 && rest.size == 0 && tags_out->count > 0)
			break; /* white space behind the last semicolon */
		if (equals == part.size || tags_out->count == DKIM_TAGS_MAX)
			return PN_FAILED;
		tag.name = trim(pn_slice_make(part.data, equals));
		tag.value = trim(pn_slice_behind(part, equals + 1));
		if (!is_name(tag.name) || !is_value(tag.value))
			return PN_FAILED;
		for (size_t i = 0; i < tags_out->count; i++) {
			if (pn_slice_equal(tags_out->rows[i].name, tag.name))
				return PN_FAILED;
		}
		tags_out->rows[tags_out->count++] = tag;
	}
	return PN_OK;
}

const struct pn_slice *dkim_tag_of(const struct dkim_tags *tags, const char *name)
{
	for (size_t i = 0; i < tags->count; i++) {
		if (pn_slice_equal(tags->rows[i].name, pn_slice_of(name)))
			return &tags->rows[i].value;
	}
	return NULL;
}

struct pn_slice dkim_squeeze(struct pn_slice text, struct pn_arena *arena)
{
	char *room = pn_arena_allocate(arena, text.size);
	size_t size = 0;

	for (size_t i = 0; i < text.size; i++) {
		if (!is_space(text.data[i]))
			room[size++] = text.data[i];
	}
	return pn_slice_make(room, size);
}

bool dkim_list_has(struct pn_slice list, const char *word)
{
	while (list.size > 0) {
		if (pn_slice_equal_ignore_case(trim(pn_slice_cut(&list, ':')), pn_slice_of(word)))
			return true;
	}
	return false;
}
