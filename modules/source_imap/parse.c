/* SPDX-License-Identifier: Apache-2.0 */
/* What responses say (RFC 3501 section 9), as liberal as servers are different. */
#include "source_imap.h"

#include <postern/text.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

static void skip_spaces(struct parser *parser)
{
	while (parser->rest.size > 0 && parser->rest.data[0] == ' ')
		parser->rest = pn_slice_behind(parser->rest, 1);
}

struct pn_slice parse_word(struct parser *parser)
{
	struct pn_slice word;

	skip_spaces(parser);
	word = pn_slice_make(parser->rest.data, 0);
	/* BODY[HEADER.FIELDS (X)] is one word. */
	for (unsigned depth = 0; word.size < parser->rest.size; word.size++) {
		char byte = parser->rest.data[word.size];

		depth += byte == '[' ? 1u : 0u;
		depth -= byte == ']' && depth > 0 ? 1u : 0u;
		if (depth == 0 && (byte == ' ' || byte == '(' || byte == ')'))
			break;
	}
	parser->rest = pn_slice_behind(parser->rest, word.size);
	return word;
}

bool parse_byte(struct parser *parser, char byte)
{
	skip_spaces(parser);
	if (parser->rest.size == 0 || parser->rest.data[0] != byte)
		return false;
	parser->rest = pn_slice_behind(parser->rest, 1);
	return true;
}

static bool parse_quoted(struct parser *parser, struct pn_arena *arena, struct pn_slice *string_out)
{
	char *text = pn_arena_allocate(arena, parser->rest.size + 1);
	size_t size = 0;

	for (size_t i = 1; i < parser->rest.size; i++) {
		char byte = parser->rest.data[i];

		if (byte == '"') {
			*string_out = pn_slice_make(text, size);
			parser->rest = pn_slice_behind(parser->rest, i + 1);
			return true;
		}
		if (byte == '\\' && i + 1 < parser->rest.size)
			byte = parser->rest.data[++i];
		text[size++] = byte;
	}
	return false;
}

static bool parse_literal(struct parser *parser, struct pn_slice *string_out)
{
	size_t end = pn_slice_find(parser->rest, '}');
	uint64_t size;

	if (end + 3 > parser->rest.size ||
	    pn_parse_count(pn_slice_make(parser->rest.data + 1, end - 1), &size) != PN_OK ||
	    size > parser->rest.size - end - 3)
		return false;
	*string_out = pn_slice_make(parser->rest.data + end + 3, (size_t)size);
	parser->rest = pn_slice_behind(parser->rest, end + 3 + (size_t)size);
	return true;
}

bool parse_string(struct parser *parser, struct pn_arena *arena, struct pn_slice *string_out)
{
	skip_spaces(parser);
	if (parser->rest.size == 0)
		return false;
	if (parser->rest.data[0] == '"')
		return parse_quoted(parser, arena, string_out);
	if (parser->rest.data[0] == '{')
		return parse_literal(parser, string_out);
	*string_out = parse_word(parser);
	if (word_is(*string_out, "NIL"))
		*string_out = PN_SLICE("");
	return true;
}

bool parse_list(struct parser *parser, struct pn_slice *inside_out)
{
	size_t depth = 0;
	bool is_quoted = false;

	skip_spaces(parser);
	if (parser->rest.size == 0 || parser->rest.data[0] != '(')
		return false;
	for (size_t i = 0; i < parser->rest.size; i++) {
		char byte = parser->rest.data[i];

		if (is_quoted && byte == '\\') {
			i++;
			continue;
		}
		if (byte == '"')
			is_quoted = !is_quoted;
		if (is_quoted)
			continue;
		depth += byte == '(' ? 1u : 0u;
		depth -= byte == ')' ? 1u : 0u;
		if (depth == 0) {
			*inside_out = pn_slice_make(parser->rest.data + 1, i - 1);
			parser->rest = pn_slice_behind(parser->rest, i + 1);
			return true;
		}
	}
	return false;
}

bool parse_skip(struct parser *parser)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice unused;
	bool is_good;

	skip_spaces(parser);
	if (parser->rest.size > 0 && parser->rest.data[0] == '(')
		is_good = parse_list(parser, &unused);
	else
		is_good = parse_string(parser, arena, &unused);
	pn_arena_free(&arena);
	return is_good;
}

bool word_is(struct pn_slice word, const char *text)
{
	return pn_slice_equal_ignore_case(word, pn_slice_of(text));
}

bool parse_number(struct pn_slice word, uint64_t *number_out)
{
	return pn_parse_count(word, number_out) == PN_OK;
}

bool parse_date(struct pn_slice text, int64_t *milliseconds_out)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char room[64];
	char month[4] = "";
	const char *known;
	struct tm date = {0};
	int zone = 0;

	snprintf(room, sizeof(room), "%.*s", (int)(text.size < 63 ? text.size : 63), text.data);
	if (sscanf(room, " %2d-%3[A-Za-z]-%4d %2d:%2d:%2d %5d", &date.tm_mday, month, &date.tm_year,
	           &date.tm_hour, &date.tm_min, &date.tm_sec, &zone) != 7)
		return false;
	known = strstr(months, month);
	if (known == NULL || (known - months) % 3 != 0)
		return false;
	date.tm_mon = (int)(known - months) / 3;
	date.tm_year -= 1900;
	*milliseconds_out =
		((int64_t)timegm(&date) - (int64_t)(zone / 100 * 60 + zone % 100) * 60) * 1000;
	return true;
}

void parse_flags(struct pn_slice list, struct pn_arena *arena, struct pn_flags *flags_out)
{
	static const struct {
		const char *word;
		uint32_t flag;
	} known[] = {{"\\Seen", PN_FLAG_SEEN},
	             {"\\Answered", PN_FLAG_ANSWERED},
	             {"\\Flagged", PN_FLAG_FLAGGED},
	             {"\\Deleted", PN_FLAG_DELETED},
	             {"\\Draft", PN_FLAG_DRAFT}};
	struct pn_slice *keywords = PN_ARENA_ARRAY(arena, FLAGS_MAX, struct pn_slice);

	*flags_out = (struct pn_flags){.keywords = keywords};
	while (list.size > 0) {
		struct pn_slice word = pn_slice_cut(&list, ' ');

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			flags_out->system |= word_is(word, known[i].word) ? known[i].flag : 0;
		if (word.size > 0 && word.data[0] != '\\' && word.size <= PN_KEYWORD_MAX &&
		    flags_out->keyword_count < FLAGS_MAX)
			keywords[flags_out->keyword_count++] = pn_arena_keep(arena, word);
	}
}
