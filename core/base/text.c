/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small questions about text: comparing, cutting, numbers with and without units,
 * the nearest word. Everybody asks; nothing is kept. Pure, any thread.
 */
#include <postern/text.h>

#include "base/assert.h"

static char lower(char byte)
{
	return byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
}

bool pn_slice_equal(struct pn_slice left, struct pn_slice right)
{
	return left.size == right.size &&
	       (left.size == 0 || memcmp(left.data, right.data, left.size) == 0);
}

bool pn_slice_equal_ignore_case(struct pn_slice left, struct pn_slice right)
{
	return left.size == right.size && pn_slice_starts_with_ignore_case(left, right);
}

bool pn_slice_starts_with_ignore_case(struct pn_slice slice, struct pn_slice prefix)
{
	if (prefix.size > slice.size)
		return false;
	for (size_t index = 0; index < prefix.size; index++) {
		if (lower(slice.data[index]) != lower(prefix.data[index]))
			return false;
	}
	return true;
}

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

struct pn_slice pn_slice_trim(struct pn_slice slice)
{
	while (slice.size > 0 && is_blank(slice.data[0])) {
		slice.data++;
		slice.size--;
	}
	while (slice.size > 0 && is_blank(slice.data[slice.size - 1]))
		slice.size--;
	return slice;
}

size_t pn_slice_find(struct pn_slice slice, char byte)
{
	const char *found = slice.size > 0 ? memchr(slice.data, byte, slice.size) : NULL;

	return found == NULL ? slice.size : (size_t)(found - slice.data);
}

struct pn_slice pn_slice_cut(struct pn_slice *rest, char separator)
{
	size_t size = pn_slice_find(*rest, separator);
	struct pn_slice head = pn_slice_make(rest->data, size);

	if (size == rest->size)
		*rest = PN_SLICE_NONE;
	else
		*rest = pn_slice_make(rest->data + size + 1, rest->size - size - 1);
	return head;
}

enum pn_status pn_parse_count(struct pn_slice text, uint64_t *value_out)
{
	uint64_t value = 0;

	if (text.size == 0)
		return PN_FAILED;
	for (size_t index = 0; index < text.size; index++) {
		char byte = text.data[index];

		if (byte < '0' || byte > '9' || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(byte - '0'), &value))
			return PN_FAILED;
	}
	*value_out = value;
	return PN_OK;
}

/* The number in front of a unit that stands for `factor`. */
static enum pn_status parse_with_unit(struct pn_slice text, size_t unit_size, uint64_t factor,
                                      uint64_t *value_out)
{
	uint64_t value;

	text.size -= unit_size;
	if (pn_parse_count(text, &value) != PN_OK || __builtin_mul_overflow(value, factor, &value))
		return PN_FAILED;
	*value_out = value;
	return PN_OK;
}

enum pn_status pn_parse_size(struct pn_slice text, uint64_t *bytes_out)
{
	if (text.size == 0)
		return PN_FAILED;
	switch (lower(text.data[text.size - 1])) {
	case 'k':
		return parse_with_unit(text, 1, (uint64_t)1 << 10, bytes_out);
	case 'm':
		return parse_with_unit(text, 1, (uint64_t)1 << 20, bytes_out);
	case 'g':
		return parse_with_unit(text, 1, (uint64_t)1 << 30, bytes_out);
	case 't':
		return parse_with_unit(text, 1, (uint64_t)1 << 40, bytes_out);
	default:
		return pn_parse_count(text, bytes_out);
	}
}

enum pn_status pn_parse_duration(struct pn_slice text, uint64_t *milliseconds_out)
{
	if (text.size == 0)
		return PN_FAILED;
	if (text.size >= 2 && memcmp(text.data + text.size - 2, "ms", 2) == 0)
		return parse_with_unit(text, 2, 1, milliseconds_out);
	switch (text.data[text.size - 1]) {
	case 's':
		return parse_with_unit(text, 1, 1000, milliseconds_out);
	case 'm':
		return parse_with_unit(text, 1, 60 * 1000, milliseconds_out);
	case 'h':
		return parse_with_unit(text, 1, 60 * 60 * 1000, milliseconds_out);
	case 'd':
		return parse_with_unit(text, 1, 24 * 60 * 60 * 1000, milliseconds_out);
	default:
		return PN_FAILED;
	}
}

const char *pn_text_printable(char *room, size_t room_size, struct pn_slice text)
{
	size_t size = 0;

	pn_assert(room_size > 0);
	while (size < room_size - 1 && size < text.size) {
		char byte = text.data[size];

		room[size] = byte >= ' ' && byte <= '~' ? byte : '?';
		size++;
	}
	room[size] = '\0';
	return room;
}

bool pn_equal_constant_time(struct pn_slice left, struct pn_slice right)
{
	volatile unsigned char difference = 0;

	if (left.size != right.size)
		return false;
	for (size_t index = 0; index < left.size; index++)
		difference |= (unsigned char)(left.data[index] ^ right.data[index]);
	return difference == 0;
}

enum { LONGEST_WORD = 64 };

static size_t minimum(size_t left, size_t right)
{
	return left < right ? left : right;
}

/* How many letters must be inserted, left out, replaced or swapped with their neighbour. Both words
 * are at most LONGEST_WORD long. */
static size_t edit_distance(const char *left, size_t left_size, const char *right,
                            size_t right_size)
{
	size_t rows[3][LONGEST_WORD + 1];
	size_t *before = rows[0], *last = rows[1], *row = rows[2];

	for (size_t column = 0; column <= right_size; column++)
		last[column] = column;
	for (size_t line = 1; line <= left_size; line++) {
		size_t *free_row = before;

		row[0] = line;
		for (size_t column = 1; column <= right_size; column++) {
			char a = lower(left[line - 1]), b = lower(right[column - 1]);
			size_t cost = last[column - 1] + (a != b);

			cost = minimum(cost, minimum(last[column], row[column - 1]) + 1);
			if (line > 1 && column > 1 && a == lower(right[column - 2]) &&
			    lower(left[line - 2]) == b)
				cost = minimum(cost, before[column - 2] + 1);
			row[column] = cost;
		}
		before = last;
		last = row;
		row = free_row;
	}
	return last[right_size];
}

const char *pn_nearest_word(const char *text, const char *const *words)
{
	size_t text_size = strlen(text);
	size_t best_distance = text_size / 3 + 2; /* farther than this is not near */
	const char *best = NULL;

	if (text_size > LONGEST_WORD)
		return NULL;
	for (; *words != NULL; words++) {
		size_t size = strlen(*words);
		size_t distance;

		if (size > LONGEST_WORD)
			continue;
		distance = edit_distance(text, text_size, *words, size);
		if (distance < best_distance && distance < text_size && distance < size) {
			best_distance = distance;
			best = *words;
		}
	}
	return best;
}
