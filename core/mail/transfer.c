/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 and quoted-printable, decoded in pieces of any size and without complaints: mail has been
 * through many hands. For searching, and for encoded words. Pure. */
#include "mail/transfer.h"

void pn_transfer_begin(struct pn_transfer *transfer, enum pn_mime_encoding_code encoding)
{
	*transfer = (struct pn_transfer){.encoding = encoding};
}

bool pn_transfer_is_identity(const struct pn_transfer *transfer)
{
	return transfer->encoding != PN_ENCODING_BASE64 &&
	       transfer->encoding != PN_ENCODING_QUOTED_PRINTABLE;
}

/* ---- base64 ---- */

/* The value of a digit plus one; 0 for what is none. */
static const uint8_t digits[256] = {
	['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,
	['H'] = 8,  ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14,
	['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21,
	['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28,
	['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35,
	['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,
	['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49,
	['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
	['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63,
	['/'] = 64,
};

/* What a group that is not whole holds; then the next begins: encoded texts follow one another. */
static char *flush_group(struct pn_transfer *transfer, char *to)
{
	if (transfer->digits == 2) {
		*to++ = (char)(transfer->bits >> 4);
	} else if (transfer->digits == 3) {
		*to++ = (char)(transfer->bits >> 10);
		*to++ = (char)(transfer->bits >> 2);
	}
	transfer->bits = 0;
	transfer->digits = 0;
	return to;
}

static char *decode_base64(struct pn_transfer *transfer, char *to, struct pn_slice bytes)
{
	for (size_t index = 0; index < bytes.size; index++) {
		uint8_t digit = digits[(uint8_t)bytes.data[index]];

		if (digit == 0) {
			if (bytes.data[index] == '=')
				to = flush_group(transfer, to);
			continue;
		}
		transfer->bits = transfer->bits << 6 | (digit - 1u);
		if (++transfer->digits < 4)
			continue;
		*to++ = (char)(transfer->bits >> 16);
		*to++ = (char)(transfer->bits >> 8);
		*to++ = (char)transfer->bits;
		transfer->bits = 0;
		transfer->digits = 0;
	}
	return to;
}

/* ---- quoted-printable ---- */

static int hex_value(char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	if (byte >= 'A' && byte <= 'F')
		return byte - 'A' + 10;
	if (byte >= 'a' && byte <= 'f')
		return byte - 'a' + 10;
	return -1;
}

static char *flush_held(struct pn_transfer *transfer, char *to)
{
	memcpy(to, transfer->held, transfer->held_size);
	to += transfer->held_size;
	transfer->held_size = 0;
	return to;
}

/* A byte behind "=". What it makes of the two or three, or (RFC 2045 section 6.7, rule 5 and the
 * note on robust decoding) the bytes as they are. */
static char *decode_held(struct pn_transfer *transfer, char *to, char byte)
{
	bool is_blank = byte == ' ' || byte == '\t';

	if (byte == '\n' &&
	    (transfer->held_size == 1 || transfer->held[1] == ' ' || transfer->held[1] == '\r')) {
		transfer->held_size = 0; /* a soft line break */
		return to;
	}
	if (transfer->held_size == 2 && hex_value(transfer->held[1]) >= 0 && hex_value(byte) >= 0) {
		*to++ = (char)(hex_value(transfer->held[1]) * 16 + hex_value(byte));
		transfer->held_size = 0;
		return to;
	}
	if (transfer->held_size == 1 && (hex_value(byte) >= 0 || byte == '\r' || is_blank)) {
		transfer->held[transfer->held_size++] = is_blank ? ' ' : byte;
		return to;
	}
	/* Blanks between "=" and the line end, put there on the way, are no text. */
	if (transfer->held_size == 2 && transfer->held[1] == ' ' && (is_blank || byte == '\r'))
		return to;
	to = flush_held(transfer, to);
	if (byte == '=')
		transfer->held[transfer->held_size++] = byte;
	else
		*to++ = byte;
	return to;
}

static char *decode_quoted(struct pn_transfer *transfer, char *to, struct pn_slice bytes)
{
	size_t at = 0;

	while (at < bytes.size) {
		const char *found;
		size_t size;

		if (transfer->held_size > 0) {
			to = decode_held(transfer, to, bytes.data[at++]);
			continue;
		}
		found = memchr(bytes.data + at, '=', bytes.size - at);
		size = found == NULL ? bytes.size - at : (size_t)(found - bytes.data) - at;
		memcpy(to, bytes.data + at, size);
		to += size;
		at += size;
		if (found != NULL)
			transfer->held[transfer->held_size++] = bytes.data[at++];
	}
	return to;
}

enum pn_status pn_transfer_decode(struct pn_transfer *transfer, struct pn_buffer *out,
                                  struct pn_slice bytes)
{
	char *room;

	if (pn_transfer_is_identity(transfer))
		return pn_buffer_append(out, bytes);
	if (pn_buffer_reserve(out, bytes.size + sizeof(transfer->held), &room) != PN_OK)
		return PN_LIMIT;
	room = transfer->encoding == PN_ENCODING_BASE64 ? decode_base64(transfer, room, bytes)
	                                                : decode_quoted(transfer, room, bytes);
	out->size = (size_t)(room - out->data);
	return PN_OK;
}

enum pn_status pn_transfer_end(struct pn_transfer *transfer, struct pn_buffer *out)
{
	char *room;

	if (pn_buffer_reserve(out, sizeof(transfer->held), &room) != PN_OK)
		return PN_LIMIT;
	if (transfer->encoding == PN_ENCODING_BASE64)
		room = flush_group(transfer, room);
	else if (transfer->encoding == PN_ENCODING_QUOTED_PRINTABLE)
		room = flush_held(transfer, room);
	out->size = (size_t)(room - out->data);
	return PN_OK;
}
