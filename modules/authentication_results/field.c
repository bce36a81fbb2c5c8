/* SPDX-License-Identifier: Apache-2.0 */
/* Whose field it is: RFC 8601 section 2.2, with the comments and quoted strings of RFC 5322. Pure.
 */
#include <postern/text.h>

#include "authentication_results.h"

enum { NAME_MAX = 1024, DEPTH_MAX = 50 };

static bool is_space(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* Moves behind one comment; false where it has no end. */
static bool skip_comment(struct pn_slice value, size_t *at)
{
	size_t depth = 0;

	while (*at < value.size) {
		char byte = value.data[(*at)++];

		if (byte == '\\')
			++*at;
		else if (byte == '(' && ++depth > DEPTH_MAX)
			return false;
		else if (byte == ')' && --depth == 0)
			return *at <= value.size;
	}
	return false;
}

static bool skip_space(struct pn_slice value, size_t *at)
{
	while (*at < value.size) {
		if (is_space(value.data[*at]))
			++*at;
		else if (value.data[*at] != '(')
			break;
		else if (!skip_comment(value, at))
			return false;
	}
	return true;
}

/* A quoted string without its quotes. */
static bool read_quoted(struct pn_slice value, size_t *at, char room[NAME_MAX], size_t *size_out)
{
	size_t size = 0;

	++*at;
	while (*at < value.size && size < NAME_MAX) {
		char byte = value.data[(*at)++];

		if (byte == '"') {
			*size_out = size;
			return true;
		}
		if (byte == '\\' && *at < value.size)
			byte = value.data[(*at)++];
		if (byte != '\r' && byte != '\n')
			room[size++] = byte;
	}
	return false;
}

static bool read_token(struct pn_slice value, size_t *at, char room[NAME_MAX], size_t *size_out)
{
	size_t size = 0;

	while (*at < value.size && size < NAME_MAX) {
		char byte = value.data[*at];

		/* None of them can stand in it without quotes. */
		if (is_space(byte) || (byte != '\0' && strchr(";(,/=", byte) != NULL))
			break;
		room[size++] = byte;
		++*at;
	}
	*size_out = size;
	return size > 0 && size < NAME_MAX;
}

static bool has_name(struct pn_slice value, struct pn_slice name)
{
	for (size_t i = 0; i + name.size <= value.size; i++) {
		if (pn_slice_starts_with_ignore_case(pn_slice_behind(value, i), name))
			return true;
	}
	return false;
}

bool authentication_results_is_of(struct pn_slice value, struct pn_slice name)
{
	char room[NAME_MAX];
	size_t at = 0, size = 0;
	bool is_read = skip_space(value, &at) && at < value.size &&
	               (value.data[at] == '"' ? read_quoted(value, &at, room, &size)
	                                      : read_token(value, &at, room, &size));

	if (!is_read || !skip_space(value, &at))
		return has_name(value, name);
	/* A final dot makes no other name. */
	if (size > 1 && room[size - 1] == '.')
		size--;
	return pn_slice_equal_ignore_case(pn_slice_make(room, size), name);
}
