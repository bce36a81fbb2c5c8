/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How messages are packed in the values of store_local's index. The first byte says what: a value
 * that nobody vouches for is read, or refused, without a step past its end; and flags of any kind
 * that are packed come out as they were.
 */
#include "fuzz.h"

#include "../../modules/store_local/block.c"

static void check_same(const struct flag_block *left, const struct flag_block *right)
{
	require(left->present == right->present && left->expunged == right->expunged);
	for (uint64_t bits = left->present | left->expunged; bits != 0; bits &= bits - 1)
		for (int column = 0; column < COLUMN_COUNT; column++)
			require(left->columns[column][__builtin_ctzll(bits)] ==
			        right->columns[column][__builtin_ctzll(bits)]);
}

static void check_packing(const struct flag_block *block)
{
	uint8_t room[FLAG_BLOCK_ROOM];
	size_t size = flag_block_pack(block, room);
	struct pn_slice packed = exact_copy(pn_slice_make((const char *)room, size));
	static struct flag_block again;
	struct uid_list list = {0};
	uint64_t count = 0;

	require(size <= sizeof(room));
	require(flag_block_unpack(packed, &again));
	check_same(block, &again);
	/* Ranges of its bits are as many UIDs, ascending, and do not touch. */
	uid_list_add_bits(&list, 3, block->present);
	for (size_t i = 0; i < list.count; i++) {
		count += list.ranges[i].last - list.ranges[i].first + 1;
		require(list.ranges[i].first <= list.ranges[i].last);
		require(i == 0 || list.ranges[i].first > list.ranges[i - 1].last + 1);
	}
	require(count == (uint64_t)__builtin_popcountll(block->present));
	free(list.ranges);
	free((void *)(uintptr_t)packed.data);
}

/* Bytes as a packed block. */
static void check_value(struct pn_slice text)
{
	static struct flag_block block;
	struct flag_head head;

	if (flag_block_unpack(text, &block)) {
		require(flag_block_peek(text, &head) && head.present == block.present);
		check_packing(&block);
	}
}

/* Bytes as flags: which there are, and each column in steps of a few bytes. */
static void check_flags(struct pn_slice text)
{
	static struct flag_block block;
	size_t at = 16;

	if (text.size < at)
		return;
	memcpy(&block.present, text.data, 8);
	memcpy(&block.expunged, text.data + 8, 8);
	block.expunged &= ~block.present;
	for (int column = 0; column < COLUMN_COUNT; column++)
		for (unsigned slot = 0; slot < FLAG_BLOCK_UIDS; slot++) {
			size_t width = text.size > at ? 1 + (uint8_t)text.data[at] % 8 : 0;
			uint64_t value = 0;

			if (text.size - at < width)
				width = text.size - at;
			if (width != 0)
				memcpy(&value, text.data + at, width);
			at += width;
			block.columns[column][slot] = value;
		}
	check_packing(&block);
}

static void check_rows(struct pn_slice text)
{
	static struct row_block block;
	static struct row_block again;
	uint8_t room[ROW_BLOCK_ROOM];
	struct message_row row;
	bool is_good = row_block_unpack(text, &block);

	for (uint32_t uid = 32; uid < 32 + ROW_BLOCK_UIDS; uid++)
		require(row_block_find(text, uid, &row) ==
		        (is_good && (block.used >> (uid - 32) & 1)));
	if (!is_good)
		return;
	require(row_block_pack(&block, room) == text.size);
	require(row_block_unpack(text, &again) && again.used == block.used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned which = take_byte(&data, &size);
	struct pn_slice text = exact_copy(rest_of(data, size));

	if (which % 3 == 0)
		check_value(text);
	else if (which % 3 == 1)
		check_flags(text);
	else
		check_rows(text);
	free((void *)(uintptr_t)text.data);
	return 0;
}
