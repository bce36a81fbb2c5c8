/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens and parameters of MIME fields (RFC 2045 section 5.1), and what RFC 2231 made
 * of them: values in pieces are joined. Takes what comes: blanks in values without
 * quotes, parameters without a semicolon, charsets nobody knows. Works in the text.
 */
#include "mail/mime.h"

#include <postern/text.h>

struct parameter {
	struct pn_slice name; /* in lower case */
	struct pn_slice base; /* without what RFC 2231 put behind it */
	struct pn_slice value;
	int section; /* -1: not in pieces */
	bool is_extended;
};

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

/* A comment may hold comments; one that does not end takes all that follows. */
static void skip_comment(struct pn_mime_cursor *cursor)
{
	size_t depth = 0;

	while (cursor->at < cursor->end) {
		char byte = *cursor->at++;

		if (byte == '\\' && cursor->at < cursor->end)
			cursor->at++;
		else if (byte == '(')
			depth++;
		else if (byte == ')' && --depth == 0)
			return;
	}
}

void pn_mime_skip(struct pn_mime_cursor *cursor)
{
	while (cursor->at < cursor->end) {
		if (is_blank(*cursor->at))
			cursor->at++;
		else if (*cursor->at == '(')
			skip_comment(cursor);
		else
			return;
	}
}

struct pn_slice pn_mime_token(struct pn_mime_cursor *cursor, const char *ends)
{
	char *start = cursor->at;

	while (cursor->at < cursor->end) {
		char byte = *cursor->at;

		if ((uint8_t)byte <= ' ' || byte == 127 || byte == '(' || byte == ';' ||
		    strchr(ends, byte) != NULL)
			break;
		if (byte >= 'A' && byte <= 'Z')
			*cursor->at = (char)(byte + ('a' - 'A'));
		cursor->at++;
	}
	return pn_slice_make(start, (size_t)(cursor->at - start));
}

/* The text between quotes, in place; one that does not end goes on to the end. */
static struct pn_slice quoted(struct pn_mime_cursor *cursor)
{
	char *start = cursor->at + 1;
	char *to = start;

	for (cursor->at++; cursor->at < cursor->end && *cursor->at != '"'; cursor->at++) {
		if (*cursor->at == '\\' && cursor->at + 1 < cursor->end)
			cursor->at++;
		*to++ = *cursor->at;
	}
	if (cursor->at < cursor->end)
		cursor->at++;
	return pn_slice_make(start, (size_t)(to - start));
}

static struct pn_slice take_value(struct pn_mime_cursor *cursor)
{
	char *start;
	char *end;

	pn_mime_skip(cursor);
	start = cursor->at;
	if (start < cursor->end && *start == '"')
		return quoted(cursor);
	/* Blanks in a value without quotes are wrong, and common in names of files. */
	while (cursor->at < cursor->end && *cursor->at != ';' &&
	       !(*cursor->at == '(' && cursor->at > start && is_blank(cursor->at[-1])))
		cursor->at++;
	end = cursor->at;
	while (end > start && is_blank(end[-1]))
		end--;
	return pn_slice_make(start, (size_t)(end - start));
}

/* name*, name*0, name*0* (RFC 2231 sections 3 and 4) */
static void read_section(struct parameter *parameter)
{
	struct pn_slice rest = parameter->name;
	uint64_t section;

	parameter->section = -1;
	parameter->base = pn_slice_cut(&rest, '*');
	if (parameter->base.size == parameter->name.size)
		return;
	if (rest.size == 0) {
		parameter->is_extended = true;
		return;
	}
	if (rest.data[rest.size - 1] == '*') {
		parameter->is_extended = true;
		rest.size--;
	}
	if (rest.size <= 3 && pn_parse_count(rest, &section) == PN_OK) {
		parameter->section = (int)section;
	} else {
		parameter->base = parameter->name;
		parameter->is_extended = false;
	}
}

static void skip_to_semicolon(struct pn_mime_cursor *cursor)
{
	while (cursor->at < cursor->end && *cursor->at != ';')
		cursor->at++;
}

/* The next one; false where there is none. */
static bool take_parameter(struct pn_mime_cursor *cursor, struct parameter *parameter)
{
	for (;;) {
		pn_mime_skip(cursor);
		while (cursor->at < cursor->end && *cursor->at == ';') {
			cursor->at++;
			pn_mime_skip(cursor);
		}
		if (cursor->at == cursor->end)
			return false;
		*parameter = (struct parameter){.name = pn_mime_token(cursor, "=\"")};
		pn_mime_skip(cursor);
		if (parameter->name.size > 0 && cursor->at < cursor->end && *cursor->at == '=')
			break;
		skip_to_semicolon(cursor);
	}
	cursor->at++;
	parameter->value = take_value(cursor);
	read_section(parameter);
	return true;
}

static const struct parameter *find_section(const struct parameter *list, size_t count,
                                            struct pn_slice base, int section)
{
	for (size_t index = 0; index < count; index++) {
		if (list[index].section == section && pn_slice_equal(list[index].base, base))
			return &list[index];
	}
	return NULL;
}

static enum pn_status put_percent(struct pn_buffer *out, struct pn_slice value)
{
	static const char digits[] = "0123456789ABCDEF";
	char *room;

	if (pn_buffer_reserve(out, 3 * value.size, &room) != PN_OK)
		return PN_LIMIT;
	for (size_t index = 0; index < value.size; index++) {
		uint8_t byte = (uint8_t)value.data[index];

		if (byte > ' ' && byte < 127 && strchr("*'%()<>@,;:\\\"/[]?=", byte) == NULL) {
			out->data[out->size++] = (char)byte;
			continue;
		}
		out->data[out->size++] = '%';
		out->data[out->size++] = digits[byte >> 4];
		out->data[out->size++] = digits[byte & 15];
	}
	return PN_OK;
}

/* A value in pieces. Where one of them has a charset, all of it is written so. */
static enum pn_status put_joined(struct pn_buffer *out, const struct parameter *first,
                                 const struct parameter *list, size_t count)
{
	const struct parameter *part = first;
	bool is_extended = false;
	struct pn_buffer joined;
	enum pn_status status;

	for (int section = 1; part != NULL; section++) {
		is_extended = is_extended || part->is_extended;
		part = find_section(list, count, first->base, section);
	}
	pn_buffer_init(&joined, 4 * PN_MIME_MAX_FIELD);
	status = pn_buffer_append(&joined, first->base);
	if (status == PN_OK && is_extended)
		status = pn_buffer_append(&joined, PN_SLICE("*"));
	if (status == PN_OK)
		status = pn_wire_text(out, pn_buffer_slice(&joined));
	joined.size = 0;
	if (status == PN_OK && is_extended && !first->is_extended)
		status = pn_buffer_append(&joined, PN_SLICE("''"));
	part = first;
	for (int section = 1; part != NULL && status == PN_OK; section++) {
		status = is_extended && !part->is_extended ? put_percent(&joined, part->value)
		                                           : pn_buffer_append(&joined, part->value);
		part = find_section(list, count, first->base, section);
	}
	if (status == PN_OK)
		status = pn_wire_text(out, pn_buffer_slice(&joined));
	pn_buffer_clear(&joined);
	return status;
}

/* Whether one in front of it says it already: the first of a name counts, and a piece is part of
 * what begins with piece 0. */
static bool is_said(const struct parameter *list, size_t count, size_t at)
{
	if (list[at].section > 0 && find_section(list, count, list[at].base, 0) != NULL)
		return true;
	for (size_t index = 0; index < at; index++) {
		if (pn_slice_equal(list[index].name, list[at].name))
			return true;
	}
	return false;
}

static void note(struct pn_mime_known_parameters *known, const struct parameter *parameter)
{
	if (parameter->section < 0 && !parameter->is_extended) {
		if (pn_slice_equal(parameter->name, PN_SLICE("boundary")))
			known->boundary = parameter->value;
		if (pn_slice_equal(parameter->name, PN_SLICE("charset")))
			known->charset = parameter->value;
	}
}

enum pn_status pn_mime_parameters_write(struct pn_buffer *out, struct pn_mime_cursor *cursor,
                                        struct pn_mime_known_parameters *known)
{
	struct parameter list[PN_MIME_MAX_PARAMETERS];
	size_t count = 0, written = 0;
	size_t head = out->size;
	enum pn_status status;

	while (count < PN_MIME_MAX_PARAMETERS && take_parameter(cursor, &list[count]))
		count++;
	status = pn_buffer_append(out, PN_SLICE("\0"));
	for (size_t index = 0; index < count && status == PN_OK; index++) {
		if (is_said(list, count, index))
			continue;
		note(known, &list[index]);
		written++;
		if (list[index].section == 0) {
			status = put_joined(out, &list[index], list, count);
			continue;
		}
		status = pn_wire_text(out, list[index].name);
		if (status == PN_OK)
			status = pn_wire_text(out, list[index].value);
	}
	if (status == PN_OK)
		out->data[head] = (char)written;
	known->count = (uint32_t)written;
	return status;
}
