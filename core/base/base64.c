/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648 section 4), one line, strict: what encodes to one text is
 * decoded from that text alone. For SASL and for facts about a message. Pure.
 */
#include <postern/text.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum pn_status pn_base64_encode(struct pn_buffer *out, struct pn_slice bytes)
{
	size_t groups = bytes.size / 3 + (bytes.size % 3 != 0);
	const unsigned char *in = (const unsigned char *)bytes.data;
	char *room;

	if (bytes.size == 0)
		return PN_OK;
	if (groups > SIZE_MAX / 4 || pn_buffer_reserve(out, groups * 4, &room) != PN_OK)
		return PN_LIMIT;
	for (size_t index = 0; index < bytes.size; index += 3) {
		size_t left = bytes.size - index;
		uint32_t group = (uint32_t)in[index] << 16;

		if (left > 1)
			group |= (uint32_t)in[index + 1] << 8;
		if (left > 2)
			group |= in[index + 2];
		*room++ = alphabet[group >> 18];
		*room++ = alphabet[group >> 12 & 63];
		*room++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
		*room++ = left > 2 ? alphabet[group & 63] : '=';
	}
	out->size += groups * 4;
	return PN_OK;
}

/* 0 to 63, or -1. */
static int value_of(char byte)
{
	if (byte >= 'A' && byte <= 'Z')
		return byte - 'A';
	if (byte >= 'a' && byte <= 'z')
		return byte - 'a' + 26;
	if (byte >= '0' && byte <= '9')
		return byte - '0' + 52;
	return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

/* The `count` (2 to 4) letters of a group into count - 1 bytes. */
static enum pn_status decode_group(const char *letters, size_t count, char *room)
{
	uint32_t group = 0;

	for (size_t index = 0; index < count; index++) {
		int value = value_of(letters[index]);

		if (value < 0)
			return PN_FAILED;
		group |= (uint32_t)value << (18 - 6 * index);
	}
	/* RFC 4648 section 3.5: bits that carry nothing are zero, or one secret has many spellings.
	 */
	if ((group & (0xffffffu >> (8 * (count - 1)))) != 0)
		return PN_FAILED;
	for (size_t index = 0; index + 1 < count; index++)
		room[index] = (char)(group >> (16 - 8 * index) & 0xff);
	return PN_OK;
}

enum pn_status pn_base64_decode(struct pn_buffer *out, struct pn_slice text)
{
	size_t padding = 0, size;
	char *room;

	if (text.size % 4 != 0)
		return PN_FAILED;
	if (text.size == 0)
		return PN_OK;
	if (text.data[text.size - 1] == '=')
		padding = text.data[text.size - 2] == '=' ? 2 : 1;
	size = text.size / 4 * 3 - padding;
	if (pn_buffer_reserve(out, size, &room) != PN_OK)
		return PN_LIMIT;
	for (size_t index = 0; index < text.size; index += 4) {
		size_t count = index + 4 == text.size ? 4 - padding : 4;

		if (decode_group(text.data + index, count, room) != PN_OK)
			return PN_FAILED;
		room += count - 1;
	}
	out->size += size;
	return PN_OK;
}
