/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a message (RFC 5322), read and written. Pure functions on bytes;
 * slices point into the text that was parsed. Any thread.
 */
#ifndef POSTERN_HEADER_H
#define POSTERN_HEADER_H

#include <postern/arena.h>
#include <postern/buffer.h>
#include <postern/types.h>

/* One field. `whole` is all its bytes with the last CRLF; `value` begins behind the colon. */
struct pn_header_field {
	struct pn_slice name;  /* as written, without colon */
	struct pn_slice value; /* raw: folded, not decoded, without the last CRLF */
	struct pn_slice whole;
};

struct pn_header {
	const struct pn_header_field *fields;
	size_t count;
	size_t size;       /* bytes of the header, with the empty line if there is one */
	bool has_end;      /* the empty line was there */
	bool is_malformed; /* lines that are no field: kept as fields with an empty name */
};

PN_DECLARATIONS_BEGIN

/*
 * Parses the header at the beginning of `text`, at most `max_fields` fields.
 * PN_OK, or PN_LIMIT where there are more. Linear. Lines end with CRLF; a bare LF is no line end.
 */
PN_MUST_CHECK enum pn_status pn_header_parse(struct pn_slice text, size_t max_fields,
					     struct pn_arena *arena, struct pn_header *header_out);

/* The index-th field of that name (from 0, letters of either case), or NULL. */
const struct pn_header_field *pn_header_find(const struct pn_header *header, struct pn_slice name,
					     size_t index);

/* The value on one line: unfolded, trimmed; encoded words are left as they are. In the arena. */
struct pn_slice pn_header_unfold(struct pn_arena *arena, struct pn_slice value);

/*
 * Writes one field: "Name: value" CRLF, folded at white space below 78 columns where possible.
 * The one place where header fields are written. PN_FAILED where the name is not a field name or
 * the value has a CR, LF or NUL that is not part of a fold; PN_LIMIT where the buffer is full.
 */
PN_MUST_CHECK enum pn_status pn_header_write(struct pn_buffer *out, struct pn_slice name,
					     struct pn_slice value);

/* Whether the text may stand as the name of a field (RFC 5322 section 3.6.8). */
bool pn_header_name_is_valid(struct pn_slice name);

/*
 * Bytes up to and with the empty line that ends the header, or 0 where `text` does not hold it yet.
 * `from`: bytes that were already searched (so that a growing text is read once).
 */
size_t pn_header_end(struct pn_slice text, size_t from);

PN_DECLARATIONS_END

#endif
