/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtext (RFC 3461 section 4): any bytes as the value of a parameter, for ENVID,
 * ORCPT and AUTH=. Results live in the caller's arena. Pure, any thread.
 */
#include <postern/address.h>

static const char digits[] = "0123456789ABCDEF";

/* xchar: from '!' to '~' but '+' and '='. */
static bool stands_for_itself(char byte)
{
	return byte >= '!' && byte <= '~' && byte != '+' && byte != '=';
}

struct pn_slice pn_xtext_encode(struct pn_arena *arena, struct pn_slice text)
{
	char *encoded = pn_arena_allocate_array(arena, text.size, 3);
	size_t size = 0;

	for (size_t index = 0; index < text.size; index++) {
		unsigned char byte = (unsigned char)text.data[index];

		if (stands_for_itself((char)byte)) {
			encoded[size++] = (char)byte;
			continue;
		}
		encoded[size++] = '+';
		encoded[size++] = digits[byte >> 4];
		encoded[size++] = digits[byte & 15];
	}
	return pn_slice_make(encoded, size);
}

/* Only upper case digits: hexchar is "+" and two of them, nothing else. */
static int digit_value(char byte)
{
	const char *found = byte == '\0' ? NULL : strchr(digits, byte);

	return found == NULL ? -1 : (int)(found - digits);
}

enum pn_status pn_xtext_decode(struct pn_arena *arena, struct pn_slice text,
                               struct pn_slice *decoded_out)
{
	char *decoded = pn_arena_allocate(arena, text.size + 1);
	size_t size = 0;

	for (size_t index = 0; index < text.size; index++) {
		char byte = text.data[index];

		if (byte == '+') {
			int high, low;

			if (text.size - index < 3)
				return PN_FAILED;
			high = digit_value(text.data[index + 1]);
			low = digit_value(text.data[index + 2]);
			if (high < 0 || low < 0)
				return PN_FAILED;
			decoded[size++] = (char)(high << 4 | low);
			index += 2;
		} else if (stands_for_itself(byte)) {
			decoded[size++] = byte;
		} else {
			return PN_FAILED;
		}
	}
	*decoded_out = pn_slice_make(decoded, size);
	return PN_OK;
}
