/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelope addresses (RFC 5321 section 4.1.2, RFC 6531 section 3.3): strict, in one
 * pass, into one canonical form. For protocols, policy and delivery; everything
 * made here lives in the caller's arena. Pure, any thread.
 */
#include <postern/address.h>
#include <postern/text.h>

#include "base/utf8.h"

#include <arpa/inet.h>

enum { LABEL_MAX = 63 };

/* What is still to be read. */
struct scanner {
	struct pn_slice rest;
	bool allow_utf8;
};

static bool is_letter_or_digit(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
	       (byte >= '0' && byte <= '9');
}

static void advance(struct pn_slice *rest, size_t size)
{
	rest->data += size;
	rest->size -= size;
}

/* Takes the byte if it is the next one. */
static bool take(struct scanner *scanner, char byte)
{
	if (scanner->rest.size == 0 || scanner->rest.data[0] != byte)
		return false;
	advance(&scanner->rest, 1);
	return true;
}

/* Size of the non-ASCII character at the beginning, or 0 where none may stand there. */
static size_t wide_size(struct pn_slice text, bool allow_utf8)
{
	uint32_t code_point;
	size_t size = allow_utf8 ? pn_utf8_next(text, &code_point) : 0;

	return size > 1 && !pn_utf8_is_control(code_point) ? size : 0;
}

/* atext of RFC 5322 section 3.2.3, and what RFC 6531 adds. */
static size_t atom_character_size(struct pn_slice text, bool allow_utf8)
{
	if (text.size == 0)
		return 0;
	if (is_letter_or_digit(text.data[0]))
		return 1;
	if (text.data[0] != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", text.data[0]) != NULL)
		return 1;
	return wide_size(text, allow_utf8);
}

/* Size of the Dot-string at the beginning, or 0. */
static size_t dot_string_size(struct pn_slice text, bool allow_utf8)
{
	struct pn_slice rest = text;
	bool after_dot = true;

	for (;;) {
		size_t size = atom_character_size(rest, allow_utf8);

		if (size == 0 && !after_dot && rest.size > 0 && rest.data[0] == '.') {
			after_dot = true;
			size = 1;
		} else if (size == 0) {
			break;
		} else {
			after_dot = false;
		}
		advance(&rest, size);
	}
	return after_dot ? 0 : text.size - rest.size;
}

/*
 * Reads a Quoted-string; the unquoted bytes go to `unquoted` (room for all of them). The empty one
 * is refused although the grammar knows it: no mailbox has no name.
 */
static bool read_quoted(struct scanner *scanner, char *unquoted, size_t *size_out)
{
	size_t written = 0;

	if (!take(scanner, '"'))
		return false;
	while (scanner->rest.size > 0 && scanner->rest.data[0] != '"') {
		bool is_pair = take(scanner, '\\');
		char byte = scanner->rest.size > 0 ? scanner->rest.data[0] : '\0';
		size_t size = byte >= ' ' && byte <= '~' ? 1 : 0;

		if (size == 0 && !is_pair)
			size = wide_size(scanner->rest, scanner->allow_utf8);
		if (size == 0)
			return false;
		memcpy(unquoted + written, scanner->rest.data, size);
		written += size;
		advance(&scanner->rest, size);
	}
	*size_out = written;
	return written > 0 && take(scanner, '"');
}

/* Reads a Local-part; *wire_size_out is its size as it was written. */
static bool read_local_part(struct scanner *scanner, struct pn_arena *arena,
                            struct pn_slice *local_part_out, size_t *wire_size_out)
{
	struct pn_slice before = scanner->rest;
	size_t size = dot_string_size(before, scanner->allow_utf8);
	char *unquoted;

	if (size > 0) {
		*local_part_out = pn_arena_keep(arena, pn_slice_make(before.data, size));
		advance(&scanner->rest, size);
	} else {
		unquoted = pn_arena_allocate(arena, before.size + 1);
		if (!read_quoted(scanner, unquoted, &size))
			return false;
		*local_part_out = pn_slice_make(unquoted, size);
	}
	*wire_size_out = before.size - scanner->rest.size;
	return true;
}

/* Size of the domain name at the beginning, whatever its length; 0 where there is none. */
static size_t domain_size(struct pn_slice text, bool allow_utf8)
{
	struct pn_slice rest = text;
	bool inside = false; /* behind a letter or a digit, so the name may end here */
	bool in_label = false;

	for (;;) {
		char byte = rest.size > 0 ? rest.data[0] : '\0';
		size_t size = is_letter_or_digit(byte) ? 1 : wide_size(rest, allow_utf8);

		if (size > 0) {
			inside = in_label = true;
		} else if (byte == '-' && in_label) {
			inside = false;
			size = 1;
		} else if (byte == '.' && inside) {
			inside = in_label = false;
			size = 1;
		} else {
			break;
		}
		advance(&rest, size);
	}
	return inside ? text.size - rest.size : 0;
}

static bool labels_fit(struct pn_slice domain)
{
	while (domain.size > 0) {
		if (pn_slice_cut(&domain, '.').size > LABEL_MAX)
			return false;
	}
	return true;
}

bool pn_domain_is_valid(struct pn_slice text, bool allow_utf8)
{
	return text.size > 0 && text.size <= PN_DOMAIN_MAX &&
	       domain_size(text, allow_utf8) == text.size && labels_fit(text);
}

/* An address literal in its one canonical form: "[192.0.2.1]", "[IPv6:2001:db8::1]". No other kind
 * was ever registered (RFC 5321 section 4.1.3). */
static bool read_literal(struct scanner *scanner, struct pn_arena *arena,
                         struct pn_slice *domain_out)
{
	static const struct pn_slice tag = {"IPv6:", 5};
	size_t size = pn_slice_find(scanner->rest, ']');
	struct pn_slice inside;
	char text[INET6_ADDRSTRLEN], canonical[INET6_ADDRSTRLEN];
	struct in6_addr address;
	bool is_ipv6;

	if (!take(scanner, '[') || size > scanner->rest.size)
		return false;
	inside = pn_slice_make(scanner->rest.data, size - 1);
	is_ipv6 = pn_slice_starts_with_ignore_case(inside, tag);
	if (is_ipv6)
		advance(&inside, tag.size);
	if (inside.size == 0 || inside.size >= sizeof(text) ||
	    pn_slice_find(inside, '\0') < inside.size)
		return false;
	memcpy(text, inside.data, inside.size);
	text[inside.size] = '\0';
	if (inet_pton(is_ipv6 ? AF_INET6 : AF_INET, text, &address) != 1)
		return false;
	inet_ntop(is_ipv6 ? AF_INET6 : AF_INET, &address, canonical, sizeof(canonical));
	*domain_out =
		pn_slice_of(pn_arena_print(arena, "[%s%s]", is_ipv6 ? "IPv6:" : "", canonical));
	advance(&scanner->rest, size);
	return true;
}

static struct pn_slice keep_lower(struct pn_arena *arena, struct pn_slice text)
{
	char *copy = pn_arena_keep_text(arena, text);

	for (size_t index = 0; index < text.size; index++) {
		if (copy[index] >= 'A' && copy[index] <= 'Z')
			copy[index] = (char)(copy[index] - 'A' + 'a');
	}
	return pn_slice_make(copy, text.size);
}

/* Reads a Domain or an address literal. PN_LIMIT where the domain or a label is too long. */
static enum pn_status read_domain(struct scanner *scanner, struct pn_arena *arena,
                                  struct pn_slice *domain_out)
{
	size_t size = domain_size(scanner->rest, scanner->allow_utf8);
	struct pn_slice domain = pn_slice_make(scanner->rest.data, size);

	if (size == 0)
		return read_literal(scanner, arena, domain_out) ? PN_OK : PN_FAILED;
	if (size > PN_DOMAIN_MAX || !labels_fit(domain))
		return PN_LIMIT;
	*domain_out = keep_lower(arena, domain);
	advance(&scanner->rest, size);
	return PN_OK;
}

/* The local part as it must be written, '@', and the domain. */
static struct pn_slice make_text(struct pn_arena *arena, const struct pn_address *address)
{
	struct pn_slice local_part = address->local_part;
	bool is_plain = dot_string_size(local_part, true) == local_part.size;
	char *text = pn_arena_allocate(arena, 2 * local_part.size + address->domain.size + 4);
	size_t size = 0;

	if (!is_plain)
		text[size++] = '"';
	for (size_t index = 0; index < local_part.size; index++) {
		if (local_part.data[index] == '"' || local_part.data[index] == '\\')
			text[size++] = '\\';
		text[size++] = local_part.data[index];
	}
	if (!is_plain)
		text[size++] = '"';
	if (address->domain.size > 0) {
		text[size++] = '@';
		memcpy(text + size, address->domain.data, address->domain.size);
		size += address->domain.size;
	}
	return pn_slice_make(text, size);
}

static bool has_wide_bytes(struct pn_slice text)
{
	for (size_t index = 0; index < text.size; index++) {
		if ((unsigned char)text.data[index] >= 0x80)
			return true;
	}
	return false;
}

/* Reads a Mailbox; with `allow_postmaster`, also "postmaster" alone (section 4.5.1). */
static enum pn_status read_mailbox(struct scanner *scanner, struct pn_arena *arena,
                                   bool allow_postmaster, struct pn_address *address_out)
{
	struct pn_address address = {.domain = PN_SLICE_NONE};
	size_t wire_size;
	enum pn_status status;

	if (!read_local_part(scanner, arena, &address.local_part, &wire_size))
		return PN_FAILED;
	if (take(scanner, '@')) {
		status = read_domain(scanner, arena, &address.domain);
		if (status != PN_OK)
			return status;
	} else if (allow_postmaster &&
	           pn_slice_equal_ignore_case(address.local_part, PN_SLICE("postmaster"))) {
		address.local_part = keep_lower(arena, address.local_part);
	} else {
		return PN_FAILED;
	}
	if (wire_size > PN_LOCAL_PART_MAX)
		return PN_LIMIT;
	address.text = make_text(arena, &address);
	address.is_utf8 = has_wide_bytes(address.text);
	*address_out = address;
	return PN_OK;
}

/* "@a.example,@b.example:", which nobody follows any more (RFC 5321 section 4.1.1.3). */
static bool skip_source_route(struct scanner *scanner)
{
	if (scanner->rest.size == 0 || scanner->rest.data[0] != '@')
		return true;
	do {
		size_t size;

		if (!take(scanner, '@'))
			return false;
		size = domain_size(scanner->rest, scanner->allow_utf8);
		if (size == 0)
			return false;
		advance(&scanner->rest, size);
	} while (take(scanner, ','));
	return take(scanner, ':');
}

enum pn_status pn_path_parse(struct pn_slice *text, bool allow_utf8, struct pn_arena *arena,
                             struct pn_address *address_out)
{
	struct scanner scanner = {.rest = *text, .allow_utf8 = allow_utf8};
	struct pn_address address = {.text = PN_SLICE("")};
	enum pn_status status;

	if (!take(&scanner, '<'))
		return PN_FAILED;
	if (!take(&scanner, '>')) {
		if (!skip_source_route(&scanner))
			return PN_FAILED;
		status = read_mailbox(&scanner, arena, true, &address);
		if (status != PN_OK)
			return status;
		if (!take(&scanner, '>'))
			return PN_FAILED;
	}
	if (text->size - scanner.rest.size > PN_PATH_MAX)
		return PN_LIMIT;
	*address_out = address;
	*text = scanner.rest;
	return PN_OK;
}

enum pn_status pn_address_parse(struct pn_slice text, bool allow_utf8, struct pn_arena *arena,
                                struct pn_address *address_out)
{
	struct scanner scanner = {.rest = text, .allow_utf8 = allow_utf8};
	struct pn_address address;
	enum pn_status status = read_mailbox(&scanner, arena, false, &address);

	if (status != PN_OK)
		return status;
	if (scanner.rest.size > 0)
		return PN_FAILED;
	/* As a path it would have its brackets. */
	if (text.size > PN_PATH_MAX - 2)
		return PN_LIMIT;
	*address_out = address;
	return PN_OK;
}
