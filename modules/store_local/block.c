/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in the values of the tree that hold messages: the rows of 16 UIDs,
 * and the flags of 64, packed in columns: neighbours mostly have the same flags,
 * the same keywords, and modseqs that are close. Also lists of UIDs in ranges,
 * which come out of the bits of blocks. Pure.
 */
#include "store_local.h"

#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- flag blocks */

static unsigned slots(uint64_t present, uint64_t expunged)
{
	return 64 - (unsigned)__builtin_clzll((present | expunged) | 1);
}

static uint8_t width_of(uint64_t largest)
{
	if (largest == 0)
		return 0;
	if (largest <= UINT8_MAX)
		return 1;
	if (largest <= UINT16_MAX)
		return 2;
	return largest <= UINT32_MAX ? 4 : 8;
}

static void put_number(uint8_t *at, uint64_t number, uint8_t width)
{
	switch (width) { /* of a known size each: this is called for every message */
	case 1:
		*at = (uint8_t)number;
		break;
	case 2:
		memcpy(at, &(uint16_t){(uint16_t)number}, 2);
		break;
	case 4:
		memcpy(at, &(uint32_t){(uint32_t)number}, 4);
		break;
	default:
		memcpy(at, &number, 8);
	}
}

static size_t pack_column(const uint64_t *values, uint64_t used, unsigned count, uint64_t *base,
                          uint8_t *width, uint8_t *room)
{
	uint64_t least = UINT64_MAX;
	uint64_t most = 0;

	for (uint64_t bits = used; bits != 0; bits &= bits - 1) {
		uint64_t value = values[__builtin_ctzll(bits)];

		least = value < least ? value : least;
		most = value > most ? value : most;
	}
	*base = used == 0 ? 0 : least;
	*width = used == 0 ? 0 : width_of(most - least);
	if (*width == 0)
		return 0;
	for (unsigned i = 0; i < count; i++)
		put_number(room + (size_t)i * *width, used >> i & 1 ? values[i] - least : 0,
		           *width);
	return (size_t)count * *width;
}

size_t flag_block_pack(const struct flag_block *block, uint8_t room[FLAG_BLOCK_ROOM])
{
	struct flag_head head = {.present = block->present, .expunged = block->expunged};
	uint64_t used = block->present | block->expunged;
	unsigned count = slots(block->present, block->expunged);
	size_t size = sizeof(head);

	for (uint64_t bits = block->present; bits != 0; bits &= bits - 1) {
		uint64_t modseq = block->columns[COLUMN_MODSEQ][__builtin_ctzll(bits)];

		head.max_modseq = modseq > head.max_modseq ? modseq : head.max_modseq;
	}
	for (int column = 0; column < COLUMN_COUNT; column++)
		size += pack_column(block->columns[column], used, count, &head.bases[column],
		                    &head.widths[column], room + size);
	memcpy(room, &head, sizeof(head));
	return size;
}

bool flag_block_peek(struct pn_slice bytes, struct flag_head *head)
{
	size_t size = sizeof(*head);

	if (bytes.size < sizeof(*head))
		return false;
	memcpy(head, bytes.data, sizeof(*head));
	for (int column = 0; column < COLUMN_COUNT; column++)
		size += (size_t)slots(head->present, head->expunged) * head->widths[column];
	return bytes.size == size && (head->present & head->expunged) == 0;
}

static void unpack_column(const uint8_t *bytes, unsigned count, uint64_t base, uint8_t width,
                          uint64_t *values)
{
	switch (width) {
	case 0:
		for (unsigned i = 0; i < count; i++)
			values[i] = base;
		break;
	case 1:
		for (unsigned i = 0; i < count; i++)
			values[i] = base + bytes[i];
		break;
	case 2:
		for (unsigned i = 0; i < count; i++) {
			uint16_t more;

			memcpy(&more, bytes + 2 * (size_t)i, sizeof(more));
			values[i] = base + more;
		}
		break;
	case 4:
		for (unsigned i = 0; i < count; i++) {
			uint32_t more;

			memcpy(&more, bytes + 4 * (size_t)i, sizeof(more));
			values[i] = base + more;
		}
		break;
	default:
		for (unsigned i = 0; i < count; i++) {
			uint64_t more;

			memcpy(&more, bytes + 8 * (size_t)i, sizeof(more));
			values[i] = base + more;
		}
	}
}

bool flag_block_unpack(struct pn_slice bytes, struct flag_block *block)
{
	const uint8_t *at = (const uint8_t *)bytes.data + sizeof(struct flag_head);
	struct flag_head head;
	unsigned count;

	if (!flag_block_peek(bytes, &head))
		return false;
	block->present = head.present;
	block->expunged = head.expunged;
	count = slots(head.present, head.expunged);
	for (int column = 0; column < COLUMN_COUNT; column++) {
		uint8_t width = head.widths[column];

		if (width > 8 || (width & (width - 1)) != 0)
			return false;
		unpack_column(at, count, head.bases[column], width, block->columns[column]);
		at += (size_t)count * width;
	}
	return true;
}

/* ----------------------------------------------------------------- row blocks */

size_t row_block_pack(const struct row_block *block, uint8_t room[ROW_BLOCK_ROOM])
{
	struct row_head head = {.used = block->used};
	size_t size = sizeof(head);

	memcpy(room, &head, sizeof(head));
	for (unsigned i = 0; i < ROW_BLOCK_UIDS; i++) {
		if (!(block->used >> i & 1))
			continue;
		memcpy(room + size, &block->rows[i], sizeof(block->rows[i]));
		size += sizeof(block->rows[i]);
	}
	return size;
}

static bool row_block_peek(struct pn_slice bytes, struct row_head *head)
{
	if (bytes.size < sizeof(*head))
		return false;
	memcpy(head, bytes.data, sizeof(*head));
	return head->used >> ROW_BLOCK_UIDS == 0 &&
	       bytes.size == sizeof(*head) + (size_t)__builtin_popcount(head->used) *
	                                             sizeof(struct message_row);
}

bool row_block_unpack(struct pn_slice bytes, struct row_block *block)
{
	const char *at = bytes.data + sizeof(struct row_head);
	struct row_head head;

	if (!row_block_peek(bytes, &head))
		return false;
	block->used = head.used;
	for (unsigned i = 0; i < ROW_BLOCK_UIDS; i++) {
		if (!(head.used >> i & 1))
			continue;
		memcpy(&block->rows[i], at, sizeof(block->rows[i]));
		at += sizeof(block->rows[i]);
	}
	return true;
}

bool row_block_find(struct pn_slice bytes, uint32_t uid, struct message_row *row)
{
	unsigned bit = uid % ROW_BLOCK_UIDS;
	struct row_head head;
	size_t before;

	if (!row_block_peek(bytes, &head) || !(head.used >> bit & 1))
		return false;
	before = (size_t)__builtin_popcount(head.used & ((1u << bit) - 1));
	memcpy(row, bytes.data + sizeof(head) + before * sizeof(*row), sizeof(*row));
	return true;
}

/* ---------------------------------------------------------------- lists of UIDs */

void uid_list_add(struct uid_list *list, uint32_t first, uint32_t last)
{
	if (list->count != 0 && list->ranges[list->count - 1].last + 1 == first) {
		list->ranges[list->count - 1].last = last;
		return;
	}
	if (list->count == list->capacity) {
		list->capacity = list->capacity == 0 ? 16 : list->capacity * 2;
		list->ranges = reallocarray(list->ranges, list->capacity, sizeof(*list->ranges));
		if (list->ranges == NULL)
			abort();
	}
	list->ranges[list->count++] = (struct pn_uid_range){first, last};
}

void uid_list_add_bits(struct uid_list *list, uint32_t block, uint64_t bits)
{
	while (bits != 0) {
		unsigned first = (unsigned)__builtin_ctzll(bits);
		uint64_t run = ~(bits >> first);
		unsigned count = run == 0 ? 64 : (unsigned)__builtin_ctzll(run);

		uid_list_add(list, block * FLAG_BLOCK_UIDS + first,
		             block * FLAG_BLOCK_UIDS + first + count - 1);
		if (first + count >= 64)
			break;
		bits &= ~(uint64_t)0 << (first + count);
	}
}

struct pn_uid_set uid_list_set(struct pn_arena *arena, struct uid_list *list)
{
	struct pn_uid_range *ranges = PN_ARENA_ARRAY(arena, list->count, struct pn_uid_range);
	struct pn_uid_set set = {ranges, list->count};

	if (list->count != 0)
		memcpy(ranges, list->ranges, list->count * sizeof(*ranges));
	free(list->ranges);
	*list = (struct uid_list){0};
	return set;
}
