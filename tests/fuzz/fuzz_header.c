/* SPDX-License-Identifier: Apache-2.0 */
/* Headers: the fields add up to the text, and what is written reads back as one field. */
#include "fuzz.h"

#include <postern/header.h>
#include <postern/text.h>

static void check_write(struct pn_slice value, struct pn_arena *arena)
{
	struct pn_buffer out;
	struct pn_header header;

	pn_buffer_init(&out, SIZE_MAX / 2);
	if (pn_header_write(&out, PN_SLICE("Subject"), value) == PN_OK) {
		require(pn_header_parse(pn_buffer_slice(&out), 10, arena, &header) == PN_OK);
		require(header.count == 1 && !header.has_end && !header.is_malformed);
		require(header.size == out.size);
		require(pn_slice_equal(pn_header_unfold(arena, header.fields[0].value),
		                       pn_header_unfold(arena, value)));
	}
	pn_buffer_clear(&out);
}

static void check_fields(struct pn_slice text, const struct pn_header *header,
                         struct pn_arena *arena)
{
	size_t size = header->has_end ? 2 : 0;

	for (size_t index = 0; index < header->count; index++) {
		const struct pn_header_field *field = &header->fields[index];
		struct pn_slice line = pn_header_unfold(arena, field->value);

		size += field->whole.size;
		require(pn_slice_find(line, '\n') == line.size);
		require(field->name.size == 0 || pn_header_name_is_valid(field->name));
		require(field->name.size == 0 || pn_header_find(header, field->name, 0) != NULL);
		if (index < 20)
			check_write(field->value, arena);
	}
	require(size == header->size && size <= text.size);
	require(pn_header_end(text, 0) == (header->has_end ? size : 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t from = take_byte(&data, &size);
	struct pn_slice text = rest_of(data, size);
	struct pn_arena *arena = pn_arena_new();
	struct pn_header header;

	if (pn_header_parse(text, 200, arena, &header) == PN_OK)
		check_fields(text, &header, arena);
	if (from <= size && pn_header_end(pn_slice_make(text.data, from), 0) == 0)
		require(pn_header_end(text, from) == pn_header_end(text, 0));
	check_write(text, arena);
	pn_arena_free(&arena);
	return 0;
}
