/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a body may be sent as it is: lines that end with CRLF, no NUL. What has
 * another line end in it could be read as two messages by a server that is lenient.
 * Pure; the same for the same bytes, however they are cut.
 */
#include "deliver.h"

#include <string.h>

static bool has_eight_bit(struct pn_slice bytes)
{
	const char *data = bytes.data;
	size_t size = bytes.size;
	uint64_t all = 0;

	for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), data += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, data, sizeof(word));
		all |= word;
	}
	for (; size > 0; size--, data++)
		all |= (unsigned char)*data;
	return (all & 0x8080808080808080u) != 0;
}

enum { WORD = sizeof(uint64_t) };

/* Bytes in front of the first CR, LF or NUL; eight at a time where none of them is below 14. */
static size_t plain_size(struct pn_slice bytes)
{
	const uint64_t ones = UINT64_MAX / 0xff;
	size_t size = 0;

	while (size < bytes.size) {
		size_t end = bytes.size - size < WORD ? bytes.size : size + WORD;
		uint64_t word;

		if (end - size == WORD) {
			memcpy(&word, bytes.data + size, WORD);
			if (((word - 14 * ones) & ~word & 0x80 * ones) == 0) {
				size = end;
				continue;
			}
		}
		for (; size < end; size++) {
			char byte = bytes.data[size];

			if (byte == '\r' || byte == '\n' || byte == '\0')
				return size;
		}
	}
	return size;
}

void deliver_check_take(struct deliver_check *check, struct pn_slice bytes)
{
	if (bytes.size == 0)
		return;
	check->is_begun = true;
	check->after_lf = bytes.data[bytes.size - 1] == '\n';
	if (check->is_bad)
		return;
	check->has_eight_bit = check->has_eight_bit || has_eight_bit(bytes);
	while (bytes.size > 0) {
		if (check->after_cr != (bytes.data[0] == '\n')) {
			check->is_bad = true; /* a bare CR, or a bare LF */
			return;
		}
		if (check->after_cr)
			bytes = pn_slice_behind(bytes, 1);
		check->after_cr = false;
		bytes = pn_slice_behind(bytes, plain_size(bytes));
		if (bytes.size == 0)
			return;
		if (bytes.data[0] == '\0') {
			check->is_bad = true;
			return;
		}
		if (bytes.data[0] == '\r') {
			check->after_cr = true;
			bytes = pn_slice_behind(bytes, 1);
		}
	}
}

void deliver_check_end(struct deliver_check *check)
{
	check->is_bad = check->is_bad || check->after_cr;
	check->lacks_end = check->is_begun && !check->after_lf;
}
