/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one place where header fields are written: what is no name or would end the
 * line early never reaches a message. Folds that are there are kept, lines that
 * are too long are folded further. Pure, any thread.
 */
#include <postern/header.h>
#include <postern/text.h>

enum { LINE_MAX_COLUMNS = 78 }; /* RFC 5322 section 2.1.1 */

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

/* Size of the line at the beginning, without its CRLF. */
static size_t line_size(struct pn_slice value)
{
	return pn_slice_find(value, '\r');
}

/*
 * Every CR begins a CRLF that a blank follows, and no line behind a fold is blank: that would look
 * like the end of the header to readers that take off blanks (RFC 5322 section 3.2.2 forbids it).
 */
static bool value_is_valid(struct pn_slice value)
{
	bool is_first = true;

	if (pn_slice_find(value, '\0') < value.size)
		return false;
	for (;; is_first = false) {
		struct pn_slice line = pn_slice_make(value.data, line_size(value));
		bool is_last = line.size == value.size;

		if (pn_slice_find(line, '\n') < line.size)
			return false;
		if (!is_first && (!is_blank(line.size > 0 ? line.data[0] : '\0') ||
		                  pn_slice_trim(line).size == 0))
			return false;
		if (is_last)
			return true;
		if (value.size - line.size < 3 || value.data[line.size + 1] != '\n')
			return false;
		value.data += line.size + 2;
		value.size -= line.size + 2;
	}
}

/* Blanks and the word behind them, at the beginning of `text`. */
static size_t next_word_size(struct pn_slice text, size_t *blanks_out)
{
	size_t size = 0;

	while (size < text.size && is_blank(text.data[size]))
		size++;
	*blanks_out = size;
	while (size < text.size && !is_blank(text.data[size]))
		size++;
	return size;
}

/* One line that had no fold in it; `column` is where it begins. */
static enum pn_status write_line(struct pn_buffer *out, struct pn_slice line, size_t column)
{
	bool may_fold = false; /* not before the first word: a line with no word is no line */

	while (line.size > 0) {
		size_t blanks;
		size_t size = next_word_size(line, &blanks);
		bool has_word = size > blanks;

		if (may_fold && has_word && blanks > 0 && column + size > LINE_MAX_COLUMNS) {
			if (pn_buffer_append(out, PN_SLICE("\r\n")) != PN_OK)
				return PN_LIMIT;
			column = 0;
		}
		if (pn_buffer_append(out, pn_slice_make(line.data, size)) != PN_OK)
			return PN_LIMIT;
		column += size;
		may_fold = may_fold || has_word;
		line.data += size;
		line.size -= size;
	}
	return pn_buffer_append(out, PN_SLICE("\r\n"));
}

static enum pn_status write_field(struct pn_buffer *out, struct pn_slice name,
                                  struct pn_slice value)
{
	size_t column = name.size + 1;

	if (pn_buffer_append(out, name) != PN_OK || pn_buffer_append(out, PN_SLICE(":")) != PN_OK)
		return PN_LIMIT;
	if (value.size > 0 && !is_blank(value.data[0]) && line_size(value) > 0) {
		if (pn_buffer_append(out, PN_SLICE(" ")) != PN_OK)
			return PN_LIMIT;
		column++;
	}
	for (;;) {
		size_t size = line_size(value);

		if (write_line(out, pn_slice_make(value.data, size), column) != PN_OK)
			return PN_LIMIT;
		if (size == value.size)
			return PN_OK;
		value.data += size + 2;
		value.size -= size + 2;
		column = 0;
	}
}

enum pn_status pn_header_write(struct pn_buffer *out, struct pn_slice name, struct pn_slice value)
{
	size_t size_before = out->size;

	if (!pn_header_name_is_valid(name) || !value_is_valid(value))
		return PN_FAILED;
	if (write_field(out, name, value) == PN_OK)
		return PN_OK;
	out->size = size_before;
	return PN_LIMIT;
}
