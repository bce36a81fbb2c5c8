/* SPDX-License-Identifier: Apache-2.0 */
/* Lines: what a session is told does not depend on how the bytes are cut. */
#include "fuzz.h"

#include "io/frame.h"

/* A reader as a session is one; `told` sums up everything it was told. */
struct reader {
	char *kept;
	size_t size, scanned, limit;
	bool skipping, after_cr, stopped;
	uint64_t told;
};

static void tell(struct reader *reader, unsigned problem, struct pn_slice text)
{
	reader->told = reader->told * 1099511628211u + problem + 256 * text.size;
	for (size_t index = 0; index < text.size; index++)
		reader->told = (reader->told ^ (unsigned char)text.data[index]) * 1099511628211u;
}

static bool step(struct reader *reader)
{
	struct pn_slice input = exact_copy(pn_slice_make(reader->kept, reader->size));
	enum pn_line_problem problem;
	struct pn_slice line;
	size_t consumed = 0;
	bool found;

	if (reader->skipping) {
		found = pn_frame_skip_line(input, &reader->after_cr, &consumed);
		reader->skipping = !found;
		if (found)
			tell(reader, 255, PN_SLICE_NONE);
	} else {
		found = pn_frame_line(input, reader->limit, &reader->scanned, &problem, &line,
		                      &consumed);
		if (found) {
			require(line.size <= reader->limit + 1);
			tell(reader, problem, line);
			reader->skipping = problem == PN_LINE_TOO_LONG;
			reader->stopped = problem > PN_LINE_TOO_LONG;
		} else {
			consumed = 0;
		}
	}
	require(consumed <= reader->size);
	reader->size -= consumed;
	memmove(reader->kept, reader->kept + consumed, reader->size);
	free((char *)input.data);
	return found;
}

static uint64_t read_all(struct pn_slice text, size_t limit, size_t piece_size)
{
	struct reader reader = {.kept = malloc(text.size + 1), .limit = limit};

	require(reader.kept != NULL);
	while (text.size > 0 && !reader.stopped) {
		size_t size = piece_size < text.size ? piece_size : text.size;

		memcpy(reader.kept + reader.size, text.data, size);
		reader.size += size;
		text = pn_slice_make(text.data + size, text.size - size);
		while (!reader.stopped && step(&reader))
			;
	}
	free(reader.kept);
	return reader.told;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t limit = 1 + take_byte(&data, &size);
	size_t piece_size = 1 + take_byte(&data, &size) % 16;
	struct pn_slice text = rest_of(data, size < 2000 ? size : 2000);
	uint64_t whole = read_all(text, limit, text.size + 1);

	require(read_all(text, limit, 1) == whole);
	require(read_all(text, limit, piece_size) == whole);
	return 0;
}
