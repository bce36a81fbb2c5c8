/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of addresses as they stand in a header (RFC 5322 section 3.4), groups, routes
 * and obsolete forms included, and whatever people write instead: nothing is refused.
 * Written as the summary has them. Not for envelopes: those are strict, see address.c.
 */
#include "mail/mime.h"

enum { NOWHERE = -1 };

struct reader {
	const char *at;
	const char *end;
	char *words; /* room for the words of one address */
	size_t words_size;
	char *comment; /* the last comment in it */
	size_t comment_size;
	bool in_group;
	struct pn_buffer *out;
	size_t count;
	enum pn_status status;
};

/* Words on the way to a delimiter. */
struct phrase {
	struct pn_slice text;
	ptrdiff_t at_sign; /* index of the last "@" outside of quotes, or NOWHERE */
};

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

static void take_comment(struct reader *reader)
{
	size_t depth = 0;

	reader->comment_size = 0;
	while (reader->at < reader->end) {
		char byte = *reader->at++;

		if (byte == '\\' && reader->at < reader->end)
			byte = *reader->at++;
		else if (byte == '(' && depth++ == 0)
			continue;
		else if (byte == ')' && --depth == 0)
			return;
		reader->comment[reader->comment_size++] = byte;
	}
}

static void put(struct reader *reader, char byte)
{
	reader->words[reader->words_size++] = byte;
}

static void take_quoted(struct reader *reader)
{
	for (reader->at++; reader->at < reader->end && *reader->at != '"'; reader->at++) {
		if (*reader->at == '\\' && reader->at + 1 < reader->end)
			reader->at++;
		put(reader, *reader->at);
	}
	if (reader->at < reader->end)
		reader->at++;
}

static void take_literal(struct reader *reader)
{
	while (reader->at < reader->end && *reader->at != ']')
		put(reader, *reader->at++);
	if (reader->at < reader->end)
		put(reader, *reader->at++);
}

/* Whether what was blank between two words goes: it does around "@", and around "." in an address
 * (RFC 5322 section 4.4), not in a name. */
static bool is_glued(char left, char right, bool in_angle)
{
	return left == '@' || right == '@' || (in_angle && (left == '.' || right == '.'));
}

/* Words up to a byte of `stops`, which stays; quotes and comments are taken off. */
static struct phrase take_words(struct reader *reader, const char *stops, bool in_angle)
{
	const size_t start = reader->words_size;
	ptrdiff_t at_sign = NOWHERE;
	bool has_gap = false;

	while (reader->at < reader->end) {
		char byte = *reader->at;

		if (is_blank(byte) || byte == '(') {
			has_gap = true;
			if (byte == '(')
				take_comment(reader);
			else
				reader->at++;
			continue;
		}
		/* A colon ends the name of a group, and means nothing elsewhere. */
		if (strchr(stops, byte) != NULL &&
		    !(byte == ':' && !in_angle && (reader->in_group || at_sign != NOWHERE)))
			break;
		if (has_gap && reader->words_size > start &&
		    !is_glued(reader->words[reader->words_size - 1], byte, in_angle))
			put(reader, ' ');
		has_gap = false;
		if (byte == '"') {
			take_quoted(reader);
		} else if (byte == '[') {
			take_literal(reader);
		} else {
			if (byte == '\\' && reader->at + 1 < reader->end)
				reader->at++;
			else if (byte == '@')
				at_sign = (ptrdiff_t)(reader->words_size - start);
			put(reader, *reader->at++);
		}
	}
	return (struct phrase){pn_slice_make(reader->words + start, reader->words_size - start),
	                       at_sign};
}

/* kind in two bits, then which texts follow; the mailbox always does */
static void emit(struct reader *reader, const struct pn_mime_address *address)
{
	const struct pn_slice texts[] = {address->name, address->route, address->host,
	                                 address->mailbox};
	char head = (char)address->kind;

	/* A group that was begun ends, whatever the limit. */
	if (address->kind != PN_MIME_GROUP_END &&
	    reader->count + (reader->in_group ? 2 : 1) > PN_MIME_MAX_ADDRESSES)
		return;
	for (size_t index = 0; index < 3; index++)
		head = (char)(head | (texts[index].size > 0 ? 4 << index : 0));
	if (reader->status == PN_OK)
		reader->status = pn_buffer_append(reader->out, pn_slice_make(&head, 1));
	for (size_t index = 0; index < 4; index++) {
		if (reader->status == PN_OK && (index == 3 || texts[index].size > 0))
			reader->status = pn_wire_text(reader->out, texts[index]);
	}
	reader->count++;
}

static void split(struct pn_mime_address *address, const struct phrase *phrase)
{
	address->mailbox = phrase->text;
	if (phrase->at_sign == NOWHERE)
		return;
	address->mailbox.size = (size_t)phrase->at_sign;
	address->host = pn_slice_behind(phrase->text, (size_t)phrase->at_sign + 1);
}

/* <@route:mailbox@host>, and what stands behind it. The name is known. */
static void take_angle(struct reader *reader, struct pn_mime_address *address)
{
	struct phrase phrase;

	reader->at++;
	phrase = take_words(reader, ">,;:", true);
	while (reader->at < reader->end &&
	       (*reader->at == ':' || (*reader->at == ',' && phrase.at_sign == 0))) {
		if (*reader->at++ == ',') {
			/* RFC 5322 section 4.4: a route is a list of domains. */
			struct phrase more;

			put(reader, ',');
			more = take_words(reader, ">,;:", true);
			phrase.text.size += 1 + more.text.size;
			continue;
		}
		address->route = phrase.text;
		phrase = take_words(reader, ">,;:", true);
	}
	split(address, &phrase);
	if (reader->at < reader->end && *reader->at == '>')
		reader->at++;
	take_words(reader, ",;", false);
}

static void end_group(struct reader *reader)
{
	const struct pn_mime_address end = {.kind = PN_MIME_GROUP_END};

	if (reader->in_group)
		emit(reader, &end);
	reader->in_group = false;
}

/* One address, or the beginning of a group. */
static void take_address(struct reader *reader)
{
	struct pn_mime_address address = {.kind = PN_MIME_ADDRESS};
	struct phrase phrase;
	bool is_there;

	reader->words_size = 0;
	reader->comment_size = 0;
	phrase = take_words(reader, "<,:;", false);
	is_there = phrase.text.size > 0;
	if (reader->at < reader->end && *reader->at == '<') {
		is_there = true;
		address.name = phrase.text;
		take_angle(reader, &address);
	} else if (reader->at < reader->end && *reader->at == ':') {
		reader->at++;
		if (reader->count + 2 > PN_MIME_MAX_ADDRESSES)
			return;
		address.kind = PN_MIME_GROUP_BEGIN;
		address.mailbox = phrase.text;
		emit(reader, &address);
		reader->in_group = true;
		return;
	} else {
		split(&address, &phrase);
	}
	/* The old way to give a name: "mailbox@host (Name)". */
	if (address.name.size == 0)
		address.name = pn_slice_make(reader->comment, reader->comment_size);
	if (is_there)
		emit(reader, &address);
	if (reader->at < reader->end && *reader->at++ == ';')
		end_group(reader);
}

enum pn_status pn_mime_addresses_write(struct pn_buffer *out, struct pn_slice text,
                                       struct pn_buffer *scratch, uint32_t *count_out)
{
	struct reader reader = {.at = text.data, .end = text.data + text.size, .out = out};
	const size_t head = out->size;

	scratch->size = 0;
	if (pn_buffer_reserve(scratch, 2 * text.size + 2, &reader.words) != PN_OK)
		return PN_LIMIT;
	reader.comment = reader.words + text.size + 1;
	/* The count is patched in when it is known. */
	reader.status = pn_buffer_append(out, PN_SLICE("\0\0"));
	while (reader.at < reader.end && reader.status == PN_OK)
		take_address(&reader);
	end_group(&reader);
	if (reader.status != PN_OK)
		return reader.status;
	out->data[head] = (char)(reader.count & 0xff);
	out->data[head + 1] = (char)(reader.count >> 8);
	*count_out = (uint32_t)reader.count;
	return PN_OK;
}
