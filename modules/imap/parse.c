/* SPDX-License-Identifier: Apache-2.0 */
/* The pieces of the grammar; see parse.h. */
#include "parse.h"

#include <postern/text.h>

#include <string.h>

static bool complain(struct imap_parser *parser, const char *expected)
{
	if (parser->expected == NULL)
		parser->expected = expected;
	return false;
}

bool imap_at_end(const struct imap_parser *parser)
{
	return parser->at >= parser->text.size;
}

bool imap_parse_end(struct imap_parser *parser)
{
	return imap_at_end(parser) || complain(parser, "the end of the command");
}

char imap_peek(const struct imap_parser *parser)
{
	return imap_at_end(parser) ? '\0' : parser->text.data[parser->at];
}

bool imap_skip_char(struct imap_parser *parser, char byte)
{
	if (imap_at_end(parser) || parser->text.data[parser->at] != byte)
		return false;
	parser->at++;
	return true;
}

bool imap_parse_char(struct imap_parser *parser, char byte)
{
	static const char *const names[] = {"(", ")", "[", "]", "<", ">", "."};

	if (imap_skip_char(parser, byte))
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i][0] == byte)
			return complain(parser, names[i]);
	}
	return complain(parser, "another character");
}

bool imap_parse_space(struct imap_parser *parser)
{
	return imap_skip_char(parser, ' ') || complain(parser, "a space");
}

/* RFC 3501 section 9, atom-specials. */
bool imap_is_atom_char(char byte)
{
	return byte > ' ' && byte < 0x7f && strchr("(){%*\"\\]", byte) == NULL;
}

static bool is_astring_char(char byte)
{
	return imap_is_atom_char(byte) || byte == ']';
}

static bool is_tag_char(char byte)
{
	return is_astring_char(byte) && byte != '+';
}

/* Clients from before RFC 6855 send names of mailboxes as they are: no atom, but understood. */
static bool is_pattern_char(char byte)
{
	return is_astring_char(byte) || byte == '%' || byte == '*';
}

static bool parse_run(struct imap_parser *parser, bool (*fits)(char), const char *expected,
                      struct pn_slice *run_out)
{
	size_t end = parser->at;

	while (end < parser->text.size && fits(parser->text.data[end]))
		end++;
	if (end == parser->at)
		return complain(parser, expected);
	*run_out = pn_slice_make(parser->text.data + parser->at, end - parser->at);
	parser->at = end;
	return true;
}

bool imap_skip_word(struct imap_parser *parser, const char *word)
{
	size_t size = strlen(word);
	struct pn_slice rest = pn_slice_behind(parser->text, parser->at);

	if (rest.size < size ||
	    !pn_slice_equal_ignore_case(pn_slice_make(rest.data, size), pn_slice_make(word, size)))
		return false;
	if (rest.size > size && word[size - 1] != '[' && imap_is_atom_char(word[size - 1]) &&
	    imap_is_atom_char(rest.data[size]) && rest.data[size] != '[' && rest.data[size] != '<')
		return false;
	parser->at += size;
	return true;
}

bool imap_parse_tag(struct imap_parser *parser, struct pn_slice *tag_out)
{
	return parse_run(parser, is_tag_char, "a tag", tag_out);
}

bool imap_parse_atom(struct imap_parser *parser, struct pn_slice *atom_out)
{
	return parse_run(parser, imap_is_atom_char, "an atom", atom_out);
}

/* Quoted: only '"' and '\' are escaped (quoted-specials). */
static bool parse_quoted(struct imap_parser *parser, struct pn_slice *text_out)
{
	struct pn_slice rest = pn_slice_behind(parser->text, parser->at + 1);
	size_t end = 0;
	size_t escapes = 0;
	char *copy;
	size_t size = 0;

	while (end < rest.size && rest.data[end] != '"') {
		if (rest.data[end] == '\r' || rest.data[end] == '\n')
			return complain(parser, "the end of a quoted string");
		if (rest.data[end] == '\\') {
			escapes++;
			end++;
			if (end >= rest.size || (rest.data[end] != '"' && rest.data[end] != '\\'))
				return complain(parser, "\\\" or \\\\");
		}
		end++;
	}
	if (end >= rest.size)
		return complain(parser, "the end of a quoted string");
	parser->at += end + 2;
	*text_out = pn_slice_make(rest.data, end);
	if (escapes == 0)
		return true;
	copy = pn_arena_allocate(parser->arena, end);
	for (size_t i = 0; i < end; i++) {
		if (rest.data[i] == '\\')
			i++;
		copy[size++] = rest.data[i];
	}
	*text_out = pn_slice_make(copy, size);
	return true;
}

/* {n} or {n+}, CRLF, n bytes: all of them are there, read.c saw to it. */
static bool parse_literal(struct imap_parser *parser, struct pn_slice *text_out)
{
	struct pn_slice rest = pn_slice_behind(parser->text, parser->at + 1);
	size_t digits = 0;
	uint64_t size;

	while (digits < rest.size && rest.data[digits] >= '0' && rest.data[digits] <= '9')
		digits++;
	if (pn_parse_count(pn_slice_make(rest.data, digits), &size) != PN_OK)
		return complain(parser, "the size of a literal");
	rest = pn_slice_behind(rest, digits);
	if (rest.size > 0 && rest.data[0] == '+')
		rest = pn_slice_behind(rest, 1);
	if (rest.size < 3 || memcmp(rest.data, "}\r\n", 3) != 0 || size > rest.size - 3)
		return complain(parser, "a literal");
	*text_out = pn_slice_make(rest.data + 3, (size_t)size);
	if (pn_slice_find(*text_out, '\0') < text_out->size)
		return complain(parser, "a literal without NUL");
	parser->at = (size_t)(rest.data + 3 + size - parser->text.data);
	return true;
}

bool imap_parse_string(struct imap_parser *parser, struct pn_slice *text_out)
{
	if (imap_peek(parser) == '"')
		return parse_quoted(parser, text_out);
	if (imap_peek(parser) == '{')
		return parse_literal(parser, text_out);
	return complain(parser, "a string");
}

bool imap_parse_astring(struct imap_parser *parser, struct pn_slice *text_out)
{
	if (imap_peek(parser) == '"' || imap_peek(parser) == '{')
		return imap_parse_string(parser, text_out);
	return parse_run(parser, is_astring_char, "a string", text_out);
}

bool imap_parse_nstring(struct imap_parser *parser, struct pn_slice *text_out)
{
	*text_out = PN_SLICE_NONE;
	return imap_skip_word(parser, "NIL") || imap_parse_string(parser, text_out);
}

bool imap_parse_pattern(struct imap_parser *parser, struct pn_slice *text_out)
{
	if (imap_peek(parser) == '"' || imap_peek(parser) == '{')
		return imap_parse_string(parser, text_out);
	return parse_run(parser, is_pattern_char, "a mailbox name or pattern", text_out);
}

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

bool imap_parse_number64(struct imap_parser *parser, uint64_t *number_out)
{
	size_t start = parser->at;
	struct pn_slice digits;

	if (!parse_run(parser, is_digit, "a number", &digits))
		return false;
	if (pn_parse_count(digits, number_out) == PN_OK && *number_out <= INT64_MAX)
		return true;
	parser->at = start;
	return complain(parser, "a number below 2^63");
}

bool imap_parse_number(struct imap_parser *parser, uint32_t *number_out)
{
	size_t start = parser->at;
	uint64_t number;

	if (!imap_parse_number64(parser, &number))
		return false;
	if (number > UINT32_MAX) {
		parser->at = start;
		return complain(parser, "a number below 2^32");
	}
	*number_out = (uint32_t)number;
	return true;
}

static bool parse_set_number(struct imap_parser *parser, bool star_is_fine, uint64_t *number_out)
{
	uint32_t number;

	if (star_is_fine && imap_skip_char(parser, '*')) {
		*number_out = IMAP_STAR;
		return true;
	}
	if (!is_digit(imap_peek(parser)))
		return complain(parser, "a set of numbers");
	if (!imap_parse_number(parser, &number))
		return false;
	if (number == 0)
		return complain(parser, "a number above 0");
	*number_out = number;
	return true;
}

static bool parse_ranges(struct imap_parser *parser, bool star_is_fine, struct imap_set *set)
{
	size_t commas = 0;
	struct imap_set_range *ranges;

	for (size_t i = parser->at; i < parser->text.size && parser->text.data[i] != ' '; i++)
		commas += parser->text.data[i] == ',';
	ranges = PN_ARENA_ARRAY(parser->arena, commas + 1, struct imap_set_range);
	set->count = 0;
	do {
		struct imap_set_range *range = &ranges[set->count];

		if (!parse_set_number(parser, star_is_fine, &range->first))
			return false;
		range->last = range->first;
		if (imap_skip_char(parser, ':') &&
		    !parse_set_number(parser, star_is_fine, &range->last))
			return false;
		set->count++;
	} while (imap_skip_char(parser, ','));
	set->ranges = ranges;
	return true;
}

bool imap_parse_set(struct imap_parser *parser, struct imap_set *set_out)
{
	*set_out = (struct imap_set){0};
	if (imap_skip_char(parser, '$')) {
		set_out->is_saved = true;
		return true;
	}
	return parse_ranges(parser, true, set_out);
}

bool imap_parse_known_uids(struct imap_parser *parser, struct imap_set *set_out)
{
	*set_out = (struct imap_set){0};
	return parse_ranges(parser, false, set_out);
}
