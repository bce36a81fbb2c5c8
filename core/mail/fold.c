/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text folded for comparison, one character at a time, so that a text folds the same
 * whole or in pieces of whole characters: full case folding, compatibility
 * decomposition, without marks and without what is not seen (soft hyphens, joiners).
 * That equals what i;unicode-casemap (RFC 5051) takes for equal, and what differs in
 * marks alone. ASCII is eight bytes at a time.
 */
#include "mail/charset.h"

#include "base/utf8.h"

#include <utf8proc.h>

enum { MOST_FOLDED = 32, LARGEST_FOLDED = 4 * MOST_FOLDED };

/* Each byte of the word, if it is a letter of ASCII, in lower case. */
static uint64_t lower_word(uint64_t word)
{
	const uint64_t ones = 0x0101010101010101u;
	uint64_t low = word & 0x7f * ones;
	uint64_t above_z = low + (0x7f - 'Z') * ones;
	uint64_t from_a = low + (0x80 - 'A') * ones;
	uint64_t is_upper = ~word & (from_a ^ above_z) & 0x80 * ones;

	return word | is_upper >> 2;
}

size_t pn_fold_ascii(char *to, struct pn_slice text)
{
	size_t size = 0;

	while (size + 8 <= text.size) {
		uint64_t word;

		memcpy(&word, text.data + size, sizeof(word));
		if ((word & 0x8080808080808080u) != 0)
			break;
		word = lower_word(word);
		memcpy(to + size, &word, sizeof(word));
		size += 8;
	}
	while (size < text.size && (uint8_t)text.data[size] < 0x80) {
		char byte = text.data[size];

		to[size++] = (char)(byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte);
	}
	return size;
}

/* A character folded, as UTF-8; returns its size, 0 where nothing is left of it. */
static size_t fold_character(uint32_t character, char *to)
{
	const utf8proc_option_t options = UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD |
	                                  UTF8PROC_STRIPMARK | UTF8PROC_IGNORE;
	utf8proc_int32_t folded[MOST_FOLDED];
	int boundary = 0;
	utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)character, folded,
	                                                 MOST_FOLDED, options, &boundary);
	size_t size = 0;

	if (count < 0 || count > MOST_FOLDED) {
		folded[0] = (utf8proc_int32_t)character;
		count = 1;
	}
	for (utf8proc_ssize_t index = 0; index < count; index++)
		size += (size_t)utf8proc_encode_char(folded[index], (utf8proc_uint8_t *)to + size);
	return size;
}

enum pn_status pn_text_fold(struct pn_buffer *out, struct pn_slice text)
{
	const size_t before = out->size;
	char folded[LARGEST_FOLDED];
	char *room;

	while (text.size > 0) {
		size_t size;
		uint32_t character;

		if (pn_buffer_reserve(out, text.size, &room) != PN_OK)
			goto full;
		size = pn_fold_ascii(room, text);
		out->size += size;
		text = pn_slice_behind(text, size);
		if (text.size == 0)
			break;
		size = pn_utf8_next(text, &character);
		if (size == 0) {
			/* Not UTF-8: the byte stays. */
			size = 1;
			if (pn_buffer_append(out, pn_slice_make(text.data, 1)) != PN_OK)
				goto full;
		} else if (pn_buffer_append(
				   out, pn_slice_make(folded, fold_character(character, folded))) !=
		           PN_OK) {
			goto full;
		}
		text = pn_slice_behind(text, size);
	}
	return PN_OK;
full:
	out->size = before;
	return PN_LIMIT;
}
