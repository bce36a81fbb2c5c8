/* SPDX-License-Identifier: Apache-2.0 */
/* Modified UTF-7, both ways. */
#include <postern/mailbox_name.h>

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static enum pn_status put_code(struct pn_buffer *out, uint32_t code)
{
	char bytes[4];
	size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (size_t i = size; i-- > 1; code >>= 6)
		bytes[i] = (char)(0x80 | (code & 0x3f));
	bytes[0] = (char)(first[size] | code);
	return pn_buffer_append(out, pn_slice_make(bytes, size));
}

/* A shifted part, between '&' and '-': base64 of UTF-16. */
static enum pn_status decode_part(struct pn_buffer *out, struct pn_slice part)
{
	uint32_t bits = 0;
	unsigned bit_count = 0;
	uint32_t high = 0;

	for (size_t i = 0; i < part.size; i++) {
		const char *digit = part.data[i] == '\0' ? NULL : strchr(digits, part.data[i]);
		uint32_t unit;

		if (digit == NULL)
			return PN_FAILED;
		bits = bits << 6 | (uint32_t)(digit - digits);
		bit_count += 6;
		if (bit_count < 16)
			continue;
		bit_count -= 16;
		unit = bits >> bit_count & 0xffff;
		bits &= (1u << bit_count) - 1;
		if (high == 0 && unit >= 0xd800 && unit < 0xdc00) {
			high = unit;
			continue;
		}
		if ((high != 0) != (unit >= 0xdc00 && unit < 0xe000))
			return PN_FAILED;
		if (high != 0)
			unit = 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00);
		high = 0;
		if (put_code(out, unit) != PN_OK)
			return PN_LIMIT;
	}
	/* What is left of the last digit is zero, and less than a digit. */
	return high == 0 && bit_count < 6 && bits == 0 ? PN_OK : PN_FAILED;
}

enum pn_status pn_utf7_decode(struct pn_buffer *out, struct pn_slice name)
{
	enum pn_status status = PN_OK;

	while (name.size > 0 && status == PN_OK) {
		const char *shift = memchr(name.data, '&', name.size);
		const char *end;

		if (shift != name.data) {
			size_t plain = shift == NULL ? name.size : (size_t)(shift - name.data);

			status = pn_buffer_append(out, pn_slice_make(name.data, plain));
			name = pn_slice_behind(name, plain);
			continue;
		}
		end = memchr(name.data, '-', name.size);
		if (end == NULL)
			return PN_FAILED;
		if (end == name.data + 1)
			status = pn_buffer_append(out, PN_SLICE("&"));
		else
			status = decode_part(
				out, pn_slice_make(name.data + 1, (size_t)(end - name.data) - 1));
		name = pn_slice_behind(name, (size_t)(end - name.data) + 1);
	}
	return status;
}

/* The code at the beginning, and its size; a byte that begins none is one of its own. */
static uint32_t next_code(struct pn_slice text, size_t *size_out)
{
	uint8_t byte = (uint8_t)text.data[0];
	size_t size = byte < 0x80 ? 1 : byte < 0xc2 ? 0 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
	uint32_t code = size < 2 ? byte : byte & (0x7fu >> size);

	*size_out = 1;
	if (size < 2 || size > text.size)
		return byte;
	for (size_t i = 1; i < size; i++) {
		if (((uint8_t)text.data[i] & 0xc0) != 0x80)
			return byte;
		code = code << 6 | ((uint8_t)text.data[i] & 0x3f);
	}
	*size_out = size;
	return code;
}

struct shifting {
	struct pn_buffer *out;
	bool is_shifted;
	uint32_t bits;
	unsigned bit_count;
};

static enum pn_status put_unit(struct shifting *shifting, uint32_t unit)
{
	enum pn_status status = PN_OK;

	if (!shifting->is_shifted)
		status = pn_buffer_append(shifting->out, PN_SLICE("&"));
	shifting->is_shifted = true;
	shifting->bits = shifting->bits << 16 | unit;
	shifting->bit_count += 16;
	while (shifting->bit_count >= 6 && status == PN_OK) {
		shifting->bit_count -= 6;
		status = pn_buffer_append(
			shifting->out,
			pn_slice_make(&digits[shifting->bits >> shifting->bit_count & 0x3f], 1));
	}
	return status;
}

static enum pn_status end_shift(struct shifting *shifting)
{
	enum pn_status status = PN_OK;

	if (!shifting->is_shifted)
		return PN_OK;
	if (shifting->bit_count > 0)
		status = pn_buffer_append(
			shifting->out,
			pn_slice_make(&digits[shifting->bits << (6 - shifting->bit_count) & 0x3f],
		                      1));
	shifting->is_shifted = false;
	shifting->bits = 0;
	shifting->bit_count = 0;
	return status == PN_OK ? pn_buffer_append(shifting->out, PN_SLICE("-")) : status;
}

enum pn_status pn_utf7_encode(struct pn_buffer *out, struct pn_slice name)
{
	struct shifting shifting = {.out = out};
	enum pn_status status = PN_OK;

	while (name.size > 0 && status == PN_OK) {
		size_t size;
		uint32_t code = next_code(name, &size);

		if (code >= 0x10000) {
			status = put_unit(&shifting, 0xd800 + ((code - 0x10000) >> 10));
			if (status == PN_OK)
				status = put_unit(&shifting, 0xdc00 + ((code - 0x10000) & 0x3ff));
		} else if ((code < 0x20 || code > 0x7e) && (code < 0x80 || size > 1)) {
			status = put_unit(&shifting, code);
		} else {
			status = end_shift(&shifting);
			if (status == PN_OK && code == '&')
				status = pn_buffer_append(out, PN_SLICE("&-"));
			else if (status == PN_OK)
				status = pn_buffer_append(out, pn_slice_make(name.data, size));
		}
		name = pn_slice_behind(name, size);
	}
	return status == PN_OK ? end_shift(&shifting) : status;
}
