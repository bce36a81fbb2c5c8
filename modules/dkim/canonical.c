/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a header that are signed, RFC 6376 sections 3.4.1, 3.4.2, 3.5 and 3.7. Pure. */
#include <postern/text.h>

#include "dkim.h"

#include <stdlib.h>

static bool is_space(char byte)
{
	return byte == ' ' || byte == '\t';
}

static struct pn_slice without_line_end(struct pn_slice text)
{
	if (text.size >= 2 && text.data[text.size - 2] == '\r' && text.data[text.size - 1] == '\n')
		text.size -= 2;
	return text;
}

/* The name in small letters, white space in runs of one, none at the ends, no folds. */
static enum pn_status put_relaxed(struct pn_buffer *out, struct pn_slice whole)
{
	size_t colon = pn_slice_find(whole, ':');
	size_t name_size = colon;
	bool has_space = false;
	bool has_content = false;
	char *room;
	size_t size = 0;

	if (pn_buffer_reserve(out, whole.size + 2, &room) != PN_OK)
		return PN_LIMIT;
	while (name_size > 0 && is_space(whole.data[name_size - 1]))
		name_size--;
	for (size_t i = 0; i < name_size; i++) {
		char byte = whole.data[i];

		room[size++] = byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : byte;
	}
	if (colon < whole.size)
		room[size++] = ':';
	for (size_t i = colon + 1; i < whole.size; i++) {
		char byte = whole.data[i];

		/* A line end within a field is a fold. */
		if (byte == '\r' && i + 1 < whole.size && whole.data[i + 1] == '\n') {
			i++;
			continue;
		}
		if (is_space(byte)) {
			has_space = true;
			continue;
		}
		if (has_space && has_content)
			room[size++] = ' ';
		has_space = false;
		has_content = true;
		room[size++] = byte;
	}
	out->size += size;
	return PN_OK;
}

static enum pn_status put(struct pn_buffer *out, struct pn_slice whole, bool is_relaxed)
{
	whole = without_line_end(whole);
	return is_relaxed ? put_relaxed(out, whole) : pn_buffer_append(out, whole);
}

enum pn_status dkim_put_field(struct pn_buffer *out, struct pn_slice whole, bool is_relaxed)
{
	enum pn_status status = put(out, whole, is_relaxed);

	return status == PN_OK ? pn_buffer_append(out, PN_SLICE("\r\n")) : status;
}

/* The value of b= and the white space around it, in the field as it stands. */
static void find_value(struct pn_slice whole, size_t *first_out, size_t *end_out)
{
	size_t at = pn_slice_find(whole, ':') + 1;

	*first_out = *end_out = whole.size;
	while (at < whole.size) {
		struct pn_slice part = pn_slice_make(
			whole.data + at, pn_slice_find(pn_slice_behind(whole, at), ';'));
		size_t equals = pn_slice_find(part, '=');
		size_t name = 0;
		size_t name_end = equals;

		while (name < name_end && strchr(" \t\r\n", part.data[name]) != NULL)
			name++;
		while (name_end > name && strchr(" \t\r\n", part.data[name_end - 1]) != NULL)
			name_end--;
		if (equals < part.size && name_end - name == 1 && part.data[name] == 'b') {
			*first_out = at + equals + 1;
			*end_out = at + part.size;
			return;
		}
		at += part.size + 1;
	}
}

enum pn_status dkim_put_signature(struct pn_buffer *out, struct pn_slice whole, bool is_relaxed)
{
	struct pn_buffer text;
	size_t first;
	size_t end;
	enum pn_status status;

	whole = without_line_end(whole);
	find_value(whole, &first, &end);
	pn_buffer_init(&text, DKIM_TEXT_MAX);
	status = pn_buffer_append(&text, pn_slice_make(whole.data, first));
	if (status == PN_OK)
		status = pn_buffer_append(&text, pn_slice_behind(whole, end));
	if (status == PN_OK)
		status = put(out, pn_buffer_slice(&text), is_relaxed);
	pn_buffer_clear(&text);
	return status;
}

enum pn_status dkim_put_header(struct pn_buffer *out, const struct pn_header *header,
                               const struct pn_slice *names, size_t name_count,
                               struct pn_slice signature_field, bool is_relaxed)
{
	bool *is_used = calloc(header->count + 1, sizeof(bool));
	enum pn_status status = PN_OK;

	if (is_used == NULL)
		abort();
	for (size_t i = 0; i < name_count && status == PN_OK; i++) {
		for (size_t at = header->count; at-- > 0;) {
			const struct pn_header_field *field = &header->fields[at];

			/* One that names a field that is not there signs that there is none. */
			if (is_used[at] || field->whole.data == signature_field.data ||
			    !pn_slice_equal_ignore_case(field->name, names[i]))
				continue;
			is_used[at] = true;
			status = dkim_put_field(out, field->whole, is_relaxed);
			break;
		}
	}
	free(is_used);
	return status == PN_OK ? dkim_put_signature(out, signature_field, is_relaxed) : status;
}
