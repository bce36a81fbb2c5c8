/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One UTF-8 character at a time, strictly (RFC 3629 section 4). For logs, error
 * texts and addresses. Pure, any thread.
 */
#include "base/utf8.h"

size_t pn_utf8_next(struct pn_slice text, uint32_t *code_point_out)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first;
	size_t length;
	uint32_t code_point;

	if (text.size == 0)
		return 0;
	first = (unsigned char)text.data[0];
	if (first < 0x80) {
		if (code_point_out != NULL)
			*code_point_out = first;
		return 1;
	}
	length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	if (first < 0xc2 || first > 0xf4 || text.size < length)
		return 0;
	code_point = first & (0x7fu >> length);
	for (size_t index = 1; index < length; index++) {
		unsigned char byte = (unsigned char)text.data[index];

		if ((byte & 0xc0) != 0x80)
			return 0;
		code_point = code_point << 6 | (byte & 0x3f);
	}
	if (code_point < smallest[length] || code_point > 0x10ffff ||
	    (code_point >= 0xd800 && code_point <= 0xdfff))
		return 0;
	if (code_point_out != NULL)
		*code_point_out = code_point;
	return length;
}

bool pn_utf8_is_control(uint32_t code_point)
{
	return code_point < 0x20 || (code_point >= 0x7f && code_point <= 0x9f) ||
	       code_point == 0x200e || code_point == 0x200f ||
	       (code_point >= 0x2028 && code_point <= 0x202e) ||
	       (code_point >= 0x2066 && code_point <= 0x2069) || code_point == 0xfeff;
}
