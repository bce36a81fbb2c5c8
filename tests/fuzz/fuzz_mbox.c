/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mbox files: reading ends, the same file gives the same keys again, no key comes
 * twice, and what is read is no more than what is in the file.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "../../core/process/source_mbox.c"

static void say(const char *text)
{
	(void)text;
}

/* Reads everything; `room` is what read() gets, so that a message comes in other pieces. */
static void take_all(const char *path, size_t room, struct pn_arena *arena, struct pn_buffer *keys,
                     struct pn_buffer *texts)
{
	const struct pn_source_request request = {.struct_size = sizeof(request),
	                                          .arguments = &path,
	                                          .argument_count = 1,
	                                          .say = say};
	struct pn_source_mailbox mailbox = {.struct_size = sizeof(mailbox)};
	struct pn_source_message message = {.struct_size = sizeof(message)};
	struct pn_error error;
	struct pn_buffer piece;
	void *source = NULL;

	pn_buffer_init(&piece, room);
	if (pn_source_mbox.open(&request, &source, &error) == PN_OK &&
	    pn_source_mbox.next_mailbox(source, arena, &mailbox, &error) == PN_OK) {
		while (pn_source_mbox.next_message(source, arena, &message, &error) == PN_OK) {
			bool is_last = false;

			require(pn_buffer_append(keys, message.key) == PN_OK);
			require(pn_buffer_append(keys, PN_SLICE("\n")) == PN_OK);
			while (!is_last) {
				piece.size = 0;
				require(pn_source_mbox.read(source, &piece, &is_last, &error) ==
				        PN_OK);
				require(pn_buffer_append(texts, pn_buffer_slice(&piece)) == PN_OK);
			}
		}
	}
	pn_source_mbox.close(source);
	pn_buffer_clear(&piece);
}

static void check_keys(struct pn_slice keys)
{
	while (keys.size > 0) {
		struct pn_slice key = pn_slice_cut(&keys, '\n');
		struct pn_slice rest = keys;

		while (rest.size > 0)
			require(!pn_slice_equal(key, pn_slice_cut(&rest, '\n')));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_buffer keys, texts, other_keys, other_texts;
	int descriptor = memfd_create("mbox", 0);
	char path[64];

	require(descriptor >= 0 && write(descriptor, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
	pn_buffer_init(&keys, 64 * size + 1000);
	pn_buffer_init(&texts, size + 1);
	pn_buffer_init(&other_keys, 64 * size + 1000);
	pn_buffer_init(&other_texts, size + 1);
	take_all(path, 65536, arena, &keys, &texts);
	take_all(path, 70000, arena, &other_keys, &other_texts);
	require(pn_slice_equal(pn_buffer_slice(&keys), pn_buffer_slice(&other_keys)));
	require(pn_slice_equal(pn_buffer_slice(&texts), pn_buffer_slice(&other_texts)));
	check_keys(pn_buffer_slice(&keys));
	pn_buffer_clear(&keys);
	pn_buffer_clear(&texts);
	pn_buffer_clear(&other_keys);
	pn_buffer_clear(&other_texts);
	pn_arena_free(&arena);
	close(descriptor);
	return 0;
}
