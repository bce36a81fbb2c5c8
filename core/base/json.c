/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes as a JSON string: for the history, the log and the control page, which
 * all show what strangers sent. Pure, any thread.
 */
#include <postern/text.h>

#include "base/utf8.h"

/* What a character becomes: itself, a short escape, or \uXXXX. */
static enum pn_status append_character(struct pn_buffer *buffer, struct pn_slice bytes,
                                       uint32_t code_point)
{
	switch (code_point) {
	case '"':
		return pn_buffer_append(buffer, PN_SLICE("\\\""));
	case '\\':
		return pn_buffer_append(buffer, PN_SLICE("\\\\"));
	case '\n':
		return pn_buffer_append(buffer, PN_SLICE("\\n"));
	case '\r':
		return pn_buffer_append(buffer, PN_SLICE("\\r"));
	case '\t':
		return pn_buffer_append(buffer, PN_SLICE("\\t"));
	default:
		if (pn_utf8_is_control(code_point))
			return pn_buffer_print(buffer, "\\u%04x", (unsigned)code_point);
		return pn_buffer_append(buffer, bytes);
	}
}

/* How many bytes at the beginning stand for themselves: printable ASCII, which is nearly all. */
static size_t plain_size(struct pn_slice text)
{
	size_t size = 0;

	while (size < text.size && text.data[size] >= ' ' && text.data[size] <= '~' &&
	       text.data[size] != '"' && text.data[size] != '\\')
		size++;
	return size;
}

static enum pn_status append_contents(struct pn_buffer *buffer, struct pn_slice text)
{
	while (text.size > 0) {
		size_t size = plain_size(text);
		enum pn_status status;

		if (size > 0) {
			status = pn_buffer_append(buffer, pn_slice_make(text.data, size));
		} else {
			uint32_t code_point;

			size = pn_utf8_next(text, &code_point);
			if (size > 0) {
				status = append_character(buffer, pn_slice_make(text.data, size),
				                          code_point);
			} else {
				size = 1;
				status = pn_buffer_print(buffer, "\\u%04x",
				                         (unsigned)(unsigned char)text.data[0]);
			}
		}
		if (status != PN_OK)
			return status;
		text.data += size;
		text.size -= size;
	}
	return PN_OK;
}

enum pn_status pn_json_append_string(struct pn_buffer *buffer, struct pn_slice text)
{
	size_t size_before = buffer->size;

	if (pn_buffer_append(buffer, PN_SLICE("\"")) == PN_OK &&
	    append_contents(buffer, text) == PN_OK &&
	    pn_buffer_append(buffer, PN_SLICE("\"")) == PN_OK)
		return PN_OK;
	buffer->size = size_before;
	return PN_LIMIT;
}
