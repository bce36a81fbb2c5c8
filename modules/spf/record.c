/* SPDX-License-Identifier: Apache-2.0 */
/* A record of RFC 7208 section 4.6.1, read whole before any of it counts. Pure. */
#include <postern/text.h>

#include "spf.h"

#include <arpa/inet.h>
#include <stdio.h>

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static bool is_alpha(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

bool spf_is_record(struct pn_slice text)
{
	struct pn_slice version = PN_SLICE("v=spf1");

	return pn_slice_starts_with_ignore_case(text, version) &&
	       (text.size == version.size || text.data[version.size] == ' ');
}

/* "/24" or "//64" at the end of the text, taken off it. False: digits that are no such length. */
static bool take_length(struct pn_slice *text, bool is_double, unsigned most, unsigned *bits_out)
{
	size_t size = text->size;
	size_t slashes = is_double ? 2 : 1;
	struct pn_slice digits;
	uint64_t bits;

	while (size > 0 && is_digit(text->data[size - 1]))
		size--;
	digits = pn_slice_behind(*text, size);
	if (size < slashes || text->data[size - 1] != '/' ||
	    (is_double && text->data[size - 2] != '/'))
		return true; /* there is none */
	if (!is_double && size >= 2 && text->data[size - 2] == '/')
		return true;
	if (digits.size == 0 || digits.size > 3 || (digits.size > 1 && digits.data[0] == '0') ||
	    pn_parse_count(digits, &bits) != PN_OK || bits > most)
		return false;
	*bits_out = (unsigned)bits;
	text->size = size - slashes;
	return true;
}

static bool take_lengths(struct pn_slice *text, struct spf_term *term)
{
	return take_length(text, true, 128, &term->cidr6) &&
	       take_length(text, false, 32, &term->cidr4);
}

static bool parse_address(struct pn_slice text, struct spf_term *term)
{
	int family = term->kind == SPF_IP4 ? AF_INET : AF_INET6;
	bool is_right = family == AF_INET ? take_length(&text, false, 32, &term->cidr4)
	                                  : take_length(&text, false, 128, &term->cidr6);
	char room[INET6_ADDRSTRLEN];

	if (!is_right || text.size == 0 || text.size >= sizeof(room) ||
	    memchr(text.data, '\0', text.size) != NULL)
		return false;
	memcpy(room, text.data, text.size);
	room[text.size] = '\0';
	return inet_pton(family, room, term->address) == 1;
}

static const struct {
	const char *name;
	enum spf_kind kind;
} mechanisms[] = {
	{"all", SPF_ALL}, {"include", SPF_INCLUDE}, {"a", SPF_A},     {"mx", SPF_MX},
	{"ptr", SPF_PTR}, {"ip4", SPF_IP4},         {"ip6", SPF_IP6}, {"exists", SPF_EXISTS},
};

static bool find_mechanism(struct pn_slice name, enum spf_kind *kind_out)
{
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
		if (!pn_slice_equal_ignore_case(name, pn_slice_of(mechanisms[i].name)))
			continue;
		*kind_out = mechanisms[i].kind;
		return true;
	}
	return false;
}

/* What stands behind the name: "", ":…" or "/…". */
static bool parse_argument(struct pn_slice rest, struct spf_term *term)
{
	bool has_colon = rest.size > 0 && rest.data[0] == ':';

	switch (term->kind) {
	case SPF_ALL:
		return rest.size == 0;
	case SPF_IP4:
	case SPF_IP6:
		return has_colon && parse_address(pn_slice_behind(rest, 1), term);
	case SPF_A:
	case SPF_MX:
		if (!take_lengths(&rest, term))
			return false;
		break;
	default:
		break;
	}
	if (rest.size == 0)
		return term->kind == SPF_A || term->kind == SPF_MX || term->kind == SPF_PTR;
	term->domain = pn_slice_behind(rest, 1);
	/* "a::1//64" and the like leave a colon without a name. */
	return rest.data[0] == ':' && spf_macro_is_valid(term->domain, SPF_MACRO_DOMAIN);
}

static bool take_qualifier(struct pn_slice *text, enum spf_result *result_out)
{
	static const struct {
		char sign;
		enum spf_result result;
	} qualifiers[] = {
		{'+', SPF_PASS}, {'-', SPF_FAIL}, {'~', SPF_SOFTFAIL}, {'?', SPF_NEUTRAL}};

	*result_out = SPF_PASS;
	for (size_t i = 0; i < sizeof(qualifiers) / sizeof(qualifiers[0]); i++) {
		if (text->data[0] != qualifiers[i].sign)
			continue;
		*result_out = qualifiers[i].result;
		*text = pn_slice_behind(*text, 1);
		return true;
	}
	return false;
}

static size_t name_size(struct pn_slice text)
{
	size_t size = 0;

	if (text.size == 0 || !is_alpha(text.data[0]))
		return 0;
	while (size < text.size &&
	       (is_alpha(text.data[size]) || is_digit(text.data[size]) || text.data[size] == '-' ||
	        text.data[size] == '_' || text.data[size] == '.'))
		size++;
	return size;
}

/* Section 6: "exp" and "redirect" stand at most once; others are skipped, if they are well-formed.
 */
static bool parse_modifier(struct pn_slice name, struct pn_slice value, struct spf_record *record)
{
	struct pn_slice *known = NULL;

	if (pn_slice_equal_ignore_case(name, PN_SLICE("redirect")))
		known = &record->redirect;
	else if (pn_slice_equal_ignore_case(name, PN_SLICE("exp")))
		known = &record->explain;
	if (known == NULL)
		return spf_macro_is_valid(value, SPF_MACRO_VALUE);
	if (known->size > 0 || !spf_macro_is_valid(value, SPF_MACRO_DOMAIN))
		return false;
	*known = value;
	return true;
}

static bool parse_term(struct pn_slice text, struct spf_record *record)
{
	struct spf_term term = {.text = text, .cidr4 = 32, .cidr6 = 128};
	struct pn_slice rest = text;
	bool has_qualifier = take_qualifier(&rest, &term.result);
	size_t size = name_size(rest);
	struct pn_slice name = pn_slice_make(rest.data, size);

	if (size == 0)
		return false;
	rest = pn_slice_behind(rest, size);
	if (rest.size > 0 && rest.data[0] == '=')
		return !has_qualifier && parse_modifier(name, pn_slice_behind(rest, 1), record);
	if (!find_mechanism(name, &term.kind) || !parse_argument(rest, &term))
		return false;
	record->terms[record->count++] = term;
	return true;
}

static bool is_clean(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < 0x20 || text.data[i] > 0x7e)
			return false;
	}
	return true;
}

enum pn_status spf_record_parse(struct pn_slice text, struct pn_arena *arena,
                                struct spf_record *record_out, const char **reason_out)
{
	struct pn_slice rest = pn_slice_behind(text, PN_SLICE("v=spf1").size);
	char room[80];

	*record_out = (struct spf_record){
		.terms = PN_ARENA_ARRAY(arena, SPF_RECORD_TERMS_MAX, struct spf_term)};
	if (!is_clean(text)) {
		*reason_out = "the record has bytes that are not printable ASCII";
		return PN_FAILED;
	}
	while (rest.size > 0) {
		struct pn_slice term = pn_slice_cut(&rest, ' ');

		if (term.size == 0)
			continue;
		if (record_out->count == SPF_RECORD_TERMS_MAX) {
			*reason_out = "the record has too many terms";
			return PN_FAILED;
		}
		if (parse_term(term, record_out))
			continue;
		*reason_out = pn_arena_print(arena, "syntax error in the record: %s",
		                             pn_text_printable(room, sizeof(room), term));
		return PN_FAILED;
	}
	return PN_OK;
}
