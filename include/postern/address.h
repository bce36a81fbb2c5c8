/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mail addresses as they stand in an envelope (RFC 5321 section 4.1.2, UTF-8 by
 * RFC 6531). Pure functions on bytes; nothing is looked up. Any thread.
 */
#ifndef POSTERN_ADDRESS_H
#define POSTERN_ADDRESS_H

#include <postern/arena.h>
#include <postern/types.h>

enum {
	PN_LOCAL_PART_MAX = 64, /* RFC 5321 section 4.5.3.1, octets */
	PN_DOMAIN_MAX = 255,
	PN_PATH_MAX = 256,
};

/*
 * One address. The null sender has neither local part nor domain, "postmaster"
 * alone (section 4.5.1) no domain.
 */
struct pn_address {
	struct pn_slice local_part; /* unquoted: "a b", not "\"a b\"" */
	struct pn_slice domain;     /* lower case ASCII or UTF-8; "[192.0.2.1]" for a literal; no final dot */
	struct pn_slice text;       /* canonical: local part quoted where it must be, '@', domain; "" if null */
	bool is_utf8;               /* something in it is not ASCII */
};

PN_DECLARATIONS_BEGIN

/*
 * Parses what stands between '<' and '>' with the brackets, at the beginning of *text, and moves
 * *text behind it. Source routes are read and dropped (section 4.1.1.3). The address lives in
 * `arena`. PN_OK; PN_FAILED: not an address; PN_LIMIT: a part is too long.
 * `allow_utf8`: SMTPUTF8 was given.
 */
PN_MUST_CHECK enum pn_status pn_path_parse(struct pn_slice *text, bool allow_utf8,
					   struct pn_arena *arena, struct pn_address *address_out);

/* The same for an address that stands alone: "alice@example.org", without brackets. */
PN_MUST_CHECK enum pn_status pn_address_parse(struct pn_slice text, bool allow_utf8,
					      struct pn_arena *arena,
					      struct pn_address *address_out);

static inline bool pn_address_is_null(const struct pn_address *address)
{
	return address->local_part.size == 0 && address->domain.size == 0;
}

/* Whether the text is a domain name: letters, digits, hyphens, dots; labels of 1 to 63 bytes. */
bool pn_domain_is_valid(struct pn_slice text, bool allow_utf8);

/* The name as DNS knows it, in the arena: U-labels become A-labels (RFC 5891); "" where it is no name
 * that DNS could know. */
struct pn_slice pn_domain_to_ascii(struct pn_arena *arena, struct pn_slice domain);

/* xtext of RFC 3461 section 4, into the arena. Decoding: PN_FAILED where it is not xtext. */
struct pn_slice pn_xtext_encode(struct pn_arena *arena, struct pn_slice text);
PN_MUST_CHECK enum pn_status pn_xtext_decode(struct pn_arena *arena, struct pn_slice text,
					     struct pn_slice *decoded_out);

PN_DECLARATIONS_END

#endif
