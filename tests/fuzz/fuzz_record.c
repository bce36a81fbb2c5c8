/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a rebuild reads from a segment that nobody vouches for: a record's header and its meta. The
 * first byte says which. What was read can be written again, and reads the same.
 */
#include "fuzz.h"

#include "../../modules/store_local/record.c"

/* record_verify() reads files; nothing here does. */
enum pn_status file_read(int descriptor, void *bytes, size_t size, uint64_t offset,
                         const char *what, struct pn_error *error)
{
	(void)descriptor;
	(void)bytes;
	(void)size;
	(void)offset;
	(void)what;
	(void)error;
	return PN_FAILED;
}

static void check_header(struct pn_slice text)
{
	struct record_header header;

	if (text.size < sizeof(header))
		return;
	memcpy(&header, text.data, sizeof(header));
	if (record_header_is_good(&header, 1)) {
		require(header.body_size <= header.record_size);
		require(header.meta_size <= header.record_size);
	}
	/* A header that was sealed is good, and one with another bit is not. */
	record_header_seal(&header, 7);
	((uint8_t *)&header)[text.size % sizeof(header)] ^= 1;
	require(!record_header_is_good(&header, 7));
}

static void check_meta(struct pn_slice text)
{
	struct pn_arena *arena = pn_arena_new();
	struct record_meta meta = {.delivery_count = 0};
	struct record_meta again = {.delivery_count = 0};

	if (record_meta_read(arena, text, &meta)) {
		struct pn_slice written = record_meta_write(arena, &meta);

		require(record_meta_read(arena, written, &again));
		require(again.delivery_count == meta.delivery_count);
		require(again.transaction.size == meta.transaction.size);
	}
	pn_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned which = take_byte(&data, &size);
	struct pn_slice text = exact_copy(rest_of(data, size));

	if ((which & 1) == 0)
		check_header(text);
	else
		check_meta(text);
	free((void *)(uintptr_t)text.data);
	return 0;
}
