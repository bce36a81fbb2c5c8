/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The domains of From, RFC 7489 section 6.6.1. Read by the grammar of RFC 5322 section 3.4, with
 * comments, quoted names, groups and what is obsolete; what is outside of it is refused, as readers
 * differ about it. One thing is not: a name with "@" before an address in brackets, which many
 * write. Pure.
 */
#include <postern/address.h>
#include <postern/text.h>

#include "dmarc.h"

enum { DEPTH_MAX = 100 };

struct reader {
	struct pn_slice rest;
	struct pn_arena *arena;
	const char *trouble;
	bool in_group;
	struct pn_slice domains[DMARC_FROM_MAX];
	size_t count;
};

static bool starts_with(const struct reader *reader, char byte)
{
	return reader->rest.size > 0 && reader->rest.data[0] == byte;
}

static void skip(struct reader *reader, size_t size)
{
	reader->rest = pn_slice_behind(reader->rest, size);
}

static void fail(struct reader *reader, const char *trouble)
{
	if (reader->trouble == NULL)
		reader->trouble = trouble;
	reader->rest.size = 0;
}

/* White space and comments, which may stand anywhere between words. */
static void skip_blank(struct reader *reader)
{
	size_t depth = 0;

	while (reader->rest.size > 0) {
		char byte = reader->rest.data[0];

		if (byte == '(' && ++depth > DEPTH_MAX)
			fail(reader, "From has comments in comments in comments");
		else if (byte == ')' && depth > 0)
			depth--;
		else if (byte == '\\' && depth > 0 && reader->rest.size > 1)
			skip(reader, 1);
		else if (depth == 0 && byte != '(' && strchr(" \t\r\n", byte) == NULL)
			return;
		if (reader->rest.size > 0)
			skip(reader, 1);
	}
	if (depth > 0)
		fail(reader, "a comment in From does not end");
}

static void take_quoted(struct reader *reader)
{
	for (skip(reader, 1); reader->rest.size > 0; skip(reader, 1)) {
		if (starts_with(reader, '"')) {
			skip(reader, 1);
			return;
		}
		if (starts_with(reader, '\\') && reader->rest.size > 1)
			skip(reader, 1);
	}
	fail(reader, "a quoted name in From does not end");
}

static bool is_atom(char byte)
{
	unsigned char value = (unsigned char)byte;

	return value > ' ' && value != 0x7f && strchr("()<>[]:;@\\,\"", byte) == NULL;
}

static struct pn_slice take_atom(struct reader *reader)
{
	size_t size = 0;
	struct pn_slice atom;

	while (size < reader->rest.size && is_atom(reader->rest.data[size]))
		size++;
	atom = pn_slice_make(reader->rest.data, size);
	skip(reader, size);
	return atom;
}

/* How many words there are: atoms with dots in them and quoted ones. A NUL is none of them. */
static size_t take_words(struct reader *reader)
{
	size_t count = 0;

	for (;;) {
		skip_blank(reader);
		if (starts_with(reader, '"'))
			take_quoted(reader);
		else if (take_atom(reader).size == 0)
			return count;
		count++;
	}
}

/* Behind "@": atoms, which may have blanks between them and their dots (RFC 5322 section 4.4). */
static void take_domain(struct reader *reader)
{
	char text[256];
	size_t size = 0;
	struct pn_slice domain;

	for (;;) {
		struct pn_slice atom;

		skip_blank(reader);
		atom = take_atom(reader);
		if (atom.size == 0)
			break;
		/* Two words are no domain. */
		if ((size > 0 && text[size - 1] != '.' && atom.data[0] != '.') ||
		    atom.size > sizeof(text) - size) {
			fail(reader, "the domain in From is none");
			return;
		}
		memcpy(text + size, atom.data, atom.size);
		size += atom.size;
	}
	domain = dmarc_domain(pn_slice_make(text, size), reader->arena);
	if (domain.size == 0)
		domain = dmarc_domain(pn_domain_to_ascii(reader->arena, pn_slice_make(text, size)),
		                      reader->arena);
	if (domain.size == 0) {
		fail(reader, "the domain in From is none");
		return;
	}
	for (size_t i = 0; i < reader->count; i++) {
		if (pn_slice_equal(reader->domains[i], domain))
			return;
	}
	if (reader->count == DMARC_FROM_MAX)
		fail(reader, "From has addresses of too many domains");
	else
		reader->domains[reader->count++] = domain;
}

/* "<" route address ">" */
static void take_angle(struct reader *reader)
{
	skip(reader, 1);
	skip_blank(reader);
	/* A route is no part of whose address it is; its domains are read over. */
	if (starts_with(reader, '@'))
		fail(reader, "From has a route");
	if (take_words(reader) != 1 || !starts_with(reader, '@')) {
		fail(reader, "From has no address in its brackets");
		return;
	}
	skip(reader, 1);
	take_domain(reader);
	if (!starts_with(reader, '>')) {
		fail(reader, "an address in From does not end");
		return;
	}
	skip(reader, 1);
	skip_blank(reader);
}

/* Words and an address, or an address alone. */
static void take_mailbox(struct reader *reader)
{
	struct reader before;
	size_t words = take_words(reader);
	bool is_local_part = words == 1;

	if (starts_with(reader, ':') && words > 0 && !reader->in_group) {
		reader->in_group = true;
		skip(reader, 1);
		return;
	}
	before = *reader;
	while (starts_with(reader, '@')) {
		skip(reader, 1);
		words += take_words(reader);
	}
	if (starts_with(reader, '<')) {
		take_angle(reader);
	} else if (is_local_part && starts_with(&before, '@')) {
		/* Once more, and strictly. */
		*reader = before;
		skip(reader, 1);
		take_domain(reader);
	} else if (words > 0) {
		fail(reader, "From has a name without an address");
	}
}

static void take_list(struct reader *reader)
{
	while (reader->rest.size > 0) {
		bool was_group = reader->in_group;

		take_mailbox(reader);
		if (reader->rest.size == 0 || (reader->in_group && !was_group))
			continue;
		if (starts_with(reader, ';') && reader->in_group)
			reader->in_group = false;
		else if (!starts_with(reader, ','))
			fail(reader, "From is no list of addresses");
		if (reader->rest.size > 0)
			skip(reader, 1);
	}
	if (reader->in_group)
		fail(reader, "a group in From does not end");
}

const char *dmarc_from(const struct pn_header *header, struct pn_arena *arena,
                       struct pn_slice *domains_out)
{
	const struct pn_header_field *field =
		header == NULL ? NULL : pn_header_find(header, PN_SLICE("From"), 0);
	struct reader *reader = PN_ARENA_NEW(arena, struct reader);
	const char *domains = "";

	if (field == NULL)
		return "there is no From field";
	if (pn_header_find(header, PN_SLICE("From"), 1) != NULL)
		return "there are several From fields";
	reader->rest = field->value;
	reader->arena = arena;
	take_list(reader);
	if (reader->trouble != NULL)
		return reader->trouble;
	if (reader->count == 0)
		return "From has no address";
	for (size_t i = 0; i < reader->count; i++)
		domains = pn_arena_print(arena, "%s%s%.*s", domains, i == 0 ? "" : ",",
		                         PN_SLICE_ARGS(reader->domains[i]));
	*domains_out = pn_slice_of(domains);
	return NULL;
}
