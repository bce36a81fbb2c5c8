/* SPDX-License-Identifier: Apache-2.0 */
/* Macros of RFC 7208 section 7: their grammar, and what they become. Pure. */
#include <postern/text.h>

#include "spf.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { PARTS_MAX = 256 };

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static bool is_alphanumeric(char byte)
{
	return is_digit(byte) || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static char lower(char byte)
{
	return byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : byte;
}

/* One "%{…}", taken apart. */
struct macro {
	char letter; /* lower case */
	bool escapes;
	bool reverses;
	bool has_digits;
	unsigned keep; /* parts from the right; 0: all */
	struct pn_slice delimiters;
	size_t size; /* of its text */
};

/* `text` begins with "%{". */
static bool read_macro(struct pn_slice text, bool is_explanation, struct macro *macro)
{
	const char *letters = is_explanation ? "slodiphvcrt" : "slodiphv";
	size_t at = 2;
	size_t first;

	*macro = (struct macro){.keep = 0};
	if (at >= text.size || lower(text.data[at]) == '\0' ||
	    strchr(letters, lower(text.data[at])) == NULL)
		return false;
	macro->letter = lower(text.data[at]);
	macro->escapes = text.data[at] != macro->letter;
	for (at++; at < text.size && is_digit(text.data[at]); at++) {
		macro->has_digits = true;
		/* A domain has at most 128 labels: more than that is all of them. */
		macro->keep = macro->keep > PARTS_MAX
		                      ? macro->keep
		                      : macro->keep * 10 + (unsigned)(text.data[at] - '0');
	}
	if (macro->has_digits && macro->keep == 0)
		return false;
	if (at < text.size && lower(text.data[at]) == 'r') {
		macro->reverses = true;
		at++;
	}
	first = at;
	while (at < text.size && text.data[at] != '\0' && strchr(".-+,/_=", text.data[at]) != NULL)
		at++;
	macro->delimiters = pn_slice_make(text.data + first, at - first);
	macro->size = at + 1;
	return at < text.size && text.data[at] == '}';
}

/* ---- grammar ---- */

/* What is behind the last macro must end as a domain: ".toplabel", with or without a final dot. */
static bool is_domain_end(struct pn_slice tail)
{
	bool has_letter = false;
	size_t first;

	if (tail.size > 0 && tail.data[tail.size - 1] == '.')
		tail.size--;
	first = tail.size;
	while (first > 0 && tail.data[first - 1] != '.')
		first--;
	if (first == 0 || first == tail.size)
		return false; /* no dot, or nothing behind it */
	tail = pn_slice_behind(tail, first);
	for (size_t i = 0; i < tail.size; i++) {
		if (!is_alphanumeric(tail.data[i]) && tail.data[i] != '-')
			return false;
		has_letter = has_letter || !is_digit(tail.data[i]);
	}
	return has_letter && is_alphanumeric(tail.data[0]) &&
	       is_alphanumeric(tail.data[tail.size - 1]);
}

bool spf_macro_is_valid(struct pn_slice text, enum spf_macro_use use)
{
	const char least = use == SPF_MACRO_EXPLANATION ? 0x20 : 0x21;
	size_t behind_macro = 0;
	size_t at = 0;
	struct macro macro;

	while (at < text.size) {
		if (text.data[at] < least || text.data[at] > 0x7e)
			return false;
		if (text.data[at] != '%') {
			at++;
			continue;
		}
		if (at + 1 >= text.size)
			return false;
		if (text.data[at + 1] == '%' || text.data[at + 1] == '_' ||
		    text.data[at + 1] == '-')
			at += 2;
		else if (text.data[at + 1] == '{' &&
		         read_macro(pn_slice_behind(text, at), use == SPF_MACRO_EXPLANATION,
		                    &macro))
			at += macro.size;
		else
			return false;
		behind_macro = at;
	}
	if (use != SPF_MACRO_DOMAIN)
		return true;
	return text.size > 0 &&
	       (behind_macro == text.size || is_domain_end(pn_slice_behind(text, behind_macro)));
}

bool spf_macro_wants_validated(struct pn_slice text)
{
	for (size_t i = 0; i + 2 < text.size; i++) {
		if (text.data[i] != '%')
			continue;
		if (text.data[i + 1] == '{' && lower(text.data[i + 2]) == 'p')
			return true;
		i++;
	}
	return false;
}

/* ---- expansion ---- */

/* IPv4 as ever; IPv6 as its 32 digits with dots between them (section 7.3). */
static struct pn_slice address_text(const struct spf_names *names, struct pn_arena *arena)
{
	char text[64];
	size_t size = 0;

	if (!names->is_ip6) {
		inet_ntop(AF_INET, names->address, text, sizeof(text));
		return pn_arena_keep(arena, pn_slice_of(text));
	}
	for (size_t i = 0; i < 16; i++) {
		text[size++] = "0123456789abcdef"[names->address[i] >> 4];
		text[size++] = '.';
		text[size++] = "0123456789abcdef"[names->address[i] & 15];
		text[size++] = '.';
	}
	return pn_arena_keep(arena, pn_slice_make(text, size - 1));
}

static struct pn_slice readable_address(const struct spf_names *names, struct pn_arena *arena)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(names->is_ip6 ? AF_INET6 : AF_INET, names->address, text, sizeof(text));
	return pn_arena_keep(arena, pn_slice_of(text));
}

static struct pn_slice value_of(char letter, const struct spf_names *names, struct pn_arena *arena)
{
	switch (letter) {
	case 's':
		return names->sender;
	case 'l':
		return names->local;
	case 'o':
		return names->sender_domain;
	case 'd':
		return names->domain;
	case 'i':
		return address_text(names, arena);
	case 'p':
		return names->validated;
	case 'h':
		return names->helo;
	case 'v':
		return names->is_ip6 ? PN_SLICE("ip6") : PN_SLICE("in-addr");
	case 'c':
		return readable_address(names, arena);
	case 'r':
		return names->receiver;
	default:
		return pn_slice_of(pn_arena_print(arena, "%lld", (long long)names->now_s));
	}
}

static enum pn_status append_escaped(struct pn_buffer *out, struct pn_slice text, bool escapes)
{
	for (size_t i = 0; escapes && i < text.size; i++) {
		char byte = text.data[i];
		enum pn_status status;

		if (is_alphanumeric(byte) || (byte != '\0' && strchr("-._~", byte) != NULL))
			status = pn_buffer_append(out, pn_slice_make(&byte, 1));
		else
			status = pn_buffer_print(out, "%%%02X", (unsigned)(unsigned char)byte);
		if (status != PN_OK)
			return status;
	}
	return escapes ? PN_OK : pn_buffer_append(out, text);
}

static enum pn_status append_parts(struct pn_buffer *out, struct pn_slice value,
                                   const struct macro *macro)
{
	const struct pn_slice delimiters =
		macro->delimiters.size > 0 ? macro->delimiters : PN_SLICE(".");
	struct pn_slice parts[PARTS_MAX];
	size_t count = 0;
	size_t first = 0;
	size_t begin = 0;
	enum pn_status status = PN_OK;

	for (size_t i = 0; i <= value.size; i++) {
		bool is_end = i == value.size;

		/* The last one that there is room for has all the rest. */
		if (!is_end && (count == PARTS_MAX - 1 ||
		                memchr(delimiters.data, value.data[i], delimiters.size) == NULL))
			continue;
		parts[count++] = pn_slice_make(value.data + begin, i - begin);
		begin = i + 1;
	}
	if (macro->keep > 0 && macro->keep < count)
		first = count - macro->keep;
	for (size_t i = first; i < count && status == PN_OK; i++) {
		/* Reversed, the rightmost are the first ones of the text. */
		size_t index = macro->reverses ? count - 1 - i : i;

		if (i > first)
			status = pn_buffer_append(out, PN_SLICE("."));
		if (status == PN_OK)
			status = append_escaped(out, parts[index], macro->escapes);
	}
	return status;
}

static enum pn_status append_macro(struct pn_buffer *out, const struct macro *macro,
                                   const struct spf_names *names, struct pn_arena *arena)
{
	struct pn_slice value = value_of(macro->letter, names, arena);

	if (!macro->has_digits && !macro->reverses && macro->delimiters.size == 0)
		return append_escaped(out, value, macro->escapes);
	return append_parts(out, value, macro);
}

static enum pn_status expand(struct pn_slice text, const struct spf_names *names,
                             struct pn_arena *arena, struct pn_buffer *out)
{
	enum pn_status status = PN_OK;
	struct macro macro;
	size_t at = 0;

	while (at < text.size && status == PN_OK) {
		size_t plain = 0;

		while (at + plain < text.size && text.data[at + plain] != '%')
			plain++;
		if (plain > 0) {
			status = pn_buffer_append(out, pn_slice_make(text.data + at, plain));
			at += plain;
			continue;
		}
		if (at + 1 < text.size && text.data[at + 1] == '{' &&
		    read_macro(pn_slice_behind(text, at), true, &macro)) {
			status = append_macro(out, &macro, names, arena);
			at += macro.size;
			continue;
		}
		if (at + 1 < text.size && text.data[at + 1] == '_')
			status = pn_buffer_append(out, PN_SLICE(" "));
		else if (at + 1 < text.size && text.data[at + 1] == '-')
			status = pn_buffer_append(out, PN_SLICE("%20"));
		else
			status = pn_buffer_append(out, PN_SLICE("%"));
		at += 2;
	}
	return status;
}

struct pn_slice spf_macro_expand(struct pn_slice text, const struct spf_names *names,
                                 struct pn_arena *arena)
{
	struct pn_buffer out;
	struct pn_slice kept = PN_SLICE_NONE;

	pn_buffer_init(&out, SPF_TEXT_MAX);
	if (expand(text, names, arena, &out) == PN_OK)
		kept = pn_arena_keep(arena, pn_buffer_slice(&out));
	pn_buffer_clear(&out);
	return kept;
}

struct pn_slice spf_macro_expand_name(struct pn_slice text, const struct spf_names *names,
                                      struct pn_arena *arena)
{
	struct pn_slice name = spf_macro_expand(text, names, arena);

	if (name.size > 0 && name.data[name.size - 1] == '.')
		name.size--;
	while (name.size > SPF_NAME_MAX) {
		size_t dot = pn_slice_find(name, '.');

		if (dot == name.size)
			return PN_SLICE_NONE;
		name = pn_slice_behind(name, dot + 1);
	}
	return name;
}
