/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The structure of a message (RFC 5322, RFC 2045 to 2047, RFC 2231), whatever its
 * state: broken MIME has a structure too, and everybody must see the same one.
 *
 * Parsing is done once, while the message goes by:
 *
 *	parser = pn_mime_new();
 *	pn_mime_feed(parser, piece);          as often as there are pieces
 *	pn_mime_finish(parser, &summary);     the structure, as some hundred bytes
 *	pn_mime_free(&parser);
 *
 * The summary is kept beside the message (pn_body_source.summary) and opened by who
 * needs it. Its layout is versioned and known to this header's functions alone; one
 * of a version that is not known is PN_NOT_FOUND, and the message is parsed again.
 *
 * Time is linear in the bytes, memory bounded by the limits below, whatever the
 * bytes are. What lies past a limit is part of what contains it: a multipart that
 * is too deep, or whose parts are too many, has the rest as one opaque part.
 *
 * Lines end with CRLF; a bare LF ends a line as well, so that nothing hides in a part
 * that others would see (the offsets are those of the bytes as they are).
 *
 * Pure functions: no I/O, any thread, one thread for an object at a time.
 */
#ifndef POSTERN_MIME_H
#define POSTERN_MIME_H

#include <postern/arena.h>
#include <postern/buffer.h>
#include <postern/types.h>

enum {
	/* The most that max_mime_depth and max_mime_parts of the configuration may say. */
	PN_MIME_MAX_DEPTH = 50,           /* levels of multipart and message/rfc822 */
	PN_MIME_MAX_PARTS = 1000,
	PN_MIME_MAX_ADDRESSES = 1000,     /* in one field; the rest is left out */
	PN_MIME_MAX_PARAMETERS = 100,     /* of one field; the rest is left out */
	PN_MIME_MAX_FIELD = 64 * 1024,    /* bytes of a field that is looked at; the rest is left out */
	PN_MIME_MAX_SUMMARY = 512 * 1024, /* bytes; beyond it parts are given up, outermost last */
};

/* ------------------------------------------------------------------ structure */

/*
 * Text here is as it stands in the message: unfolded, trimmed, without quotes and comments where
 * the syntax takes them off, without NUL, encoded words as they are. It may hold bytes above 127.
 */
struct pn_mime_address {
	struct pn_slice name;    /* display name, or ""                                      */
	struct pn_slice route;   /* obsolete source route ("@a,@b"), or ""                   */
	struct pn_slice mailbox; /* local part; in a group's beginning: the name of the group */
	struct pn_slice host;    /* domain; "" in a group's beginning and end                */
	enum { PN_MIME_ADDRESS = 0, PN_MIME_GROUP_BEGIN, PN_MIME_GROUP_END } kind;
};

struct pn_mime_addresses {
	const struct pn_mime_address *list;
	size_t count;
};

/* Fields that are not there are NULL slices (data == NULL); empty ones are "" with data. Of a field that
 * is there twice the first counts; but addresses of all of them are one list, while they fit. */
struct pn_mime_envelope {
	struct pn_slice date;
	struct pn_slice subject;
	struct pn_slice in_reply_to;
	struct pn_slice message_id;
	struct pn_slice references;
	struct pn_mime_addresses from; /* text that is no address is an address with that mailbox */
	struct pn_mime_addresses sender;
	struct pn_mime_addresses reply_to;
	struct pn_mime_addresses to;
	struct pn_mime_addresses cc;
	struct pn_mime_addresses bcc;
};

/* Continuations (RFC 2231 section 3) are joined: "filename*" with its charset, or "filename". */
struct pn_mime_parameter {
	struct pn_slice name;
	struct pn_slice value;
};

struct pn_mime_parameters {
	const struct pn_mime_parameter *list;
	size_t count;
};

/* A leaf is never a multipart, message/rfc822 or message/global: one of these that is not looked into
 * (too deep, too many, encoded) is told as application/octet-stream. */
enum pn_mime_kind {
	PN_MIME_LEAF = 0,
	PN_MIME_MULTIPART,
	PN_MIME_MESSAGE, /* message/rfc822, message/global: one child, the content of the message inside */
};

/* One part. Indices are into pn_mime_message.parts; 0 is the root, and "none" for the others. */
struct pn_mime_part {
	enum pn_mime_kind kind;
	uint32_t parent;
	uint32_t first_child;
	uint32_t next_sibling;

	/* The content type in lower case with what RFC 2045 section 5.2 and RFC 2046 section 5.1.5
	 * say where there is none. */
	struct pn_slice type;
	struct pn_slice subtype;
	struct pn_mime_parameters parameters;
	struct pn_slice id;          /* Content-ID; NULL slice where there is none, so below */
	struct pn_slice description;
	struct pn_slice encoding;    /* Content-Transfer-Encoding in lower case; "7bit" where there is none */
	struct pn_slice md5;
	struct pn_slice disposition; /* lower case */
	struct pn_mime_parameters disposition_parameters;
	struct pn_mime_parameters languages; /* names only */
	struct pn_slice location;

	/* Where it lies, in bytes from the beginning of the outermost message. */
	uint64_t header_offset;      /* of its MIME header; the root's is the message's header */
	uint64_t header_size;        /* with the empty line */
	uint64_t body_offset;
	uint64_t body_size;          /* without the line end that belongs to the boundary */
	uint64_t line_count;         /* line ends in the body, one more for a rest without */
	bool has_8bit;
	bool has_nul;

	/* PN_MIME_MESSAGE: of the message inside. Its header begins at body_offset. */
	const struct pn_mime_envelope *envelope;
	uint64_t inner_header_size;
};

struct pn_mime_message {
	const struct pn_mime_part *parts; /* in the order of the message */
	size_t part_count;                /* at least 1 */
	struct pn_mime_envelope envelope;
	uint64_t size;
	uint64_t header_size;             /* with the empty line */
	bool header_has_8bit;             /* raw bytes above 127 in it */
};

/* What a message is searched for; see pn_search_new. */
enum pn_search_scope {
	PN_SEARCH_HEADER = 0, /* in the fields of that name; an empty text: there is such a field */
	PN_SEARCH_BODY,       /* in the text of all parts, headers of parts excluded */
	PN_SEARCH_TEXT,       /* in the header or the body, headers of parts included */
};

struct pn_search_key {
	enum pn_search_scope scope;
	struct pn_slice field; /* PN_SEARCH_HEADER: its name */
	struct pn_slice text;  /* UTF-8; compared folded, as a substring */
};

PN_DECLARATIONS_BEGIN

/* ---- parsing ---- */

struct pn_mime_parser *pn_mime_new(void);
void pn_mime_feed(struct pn_mime_parser *parser, struct pn_slice bytes);

/* Appends the summary. PN_OK, or PN_LIMIT where `summary` is full. Once, after the last piece. */
PN_MUST_CHECK enum pn_status pn_mime_finish(struct pn_mime_parser *parser,
					    struct pn_buffer *summary);

/* Frees and sets *parser to NULL; NULL inside is fine. */
void pn_mime_free(struct pn_mime_parser **parser);

/* After pn_mime_finish: bytes of the message's header with its empty line, and of all of it. */
uint64_t pn_mime_header_size(const struct pn_mime_parser *parser);
uint64_t pn_mime_size(const struct pn_mime_parser *parser);

/* ---- summaries ---- */

/*
 * Opens a summary: tables in the arena, slices into `summary`. PN_OK; PN_NOT_FOUND: empty or of
 * another version; PN_FAILED: damaged. Never reads beyond it, whatever it holds.
 */
PN_MUST_CHECK enum pn_status pn_mime_open(struct pn_slice summary, struct pn_arena *arena,
					  struct pn_mime_message *message_out);

/* The same, but for the envelope of the outermost message alone; cheaper. */
PN_MUST_CHECK enum pn_status pn_mime_open_envelope(struct pn_slice summary, struct pn_arena *arena,
						   struct pn_mime_envelope *envelope_out);

/* ---- text ---- */

/*
 * Appends the text of a field as UTF-8: encoded words decoded (RFC 2047), neighbours joined, raw
 * bytes that are not UTF-8 taken as ISO 8859-1; unknown charsets leave the word as it is. PN_OK or
 * PN_LIMIT.
 */
PN_MUST_CHECK enum pn_status pn_mime_decode_field(struct pn_buffer *out, struct pn_slice text);

/*
 * Appends UTF-8 folded for comparison: case, compatibility forms and marks as in RFC 5051
 * (i;unicode-casemap). ASCII costs one pass. Bytes that are not UTF-8 stay. PN_OK or PN_LIMIT.
 */
PN_MUST_CHECK enum pn_status pn_text_fold(struct pn_buffer *out, struct pn_slice text);

/* Whether a charset is known, and bytes of it as UTF-8, appended. PN_OK; PN_NOT_FOUND: no such
 * charset; PN_LIMIT. What cannot be converted becomes U+FFFD. */
bool pn_charset_is_known(struct pn_slice charset);
PN_MUST_CHECK enum pn_status pn_charset_decode(struct pn_buffer *out, struct pn_slice charset,
					       struct pn_slice bytes);

/* ---- searching ---- */

/*
 * A search, used for one message after the other:
 *
 *	pn_search_feed(search, piece); …      the whole message
 *	pn_search_finish(search, found);      found[i] for keys[i]; ready for the next message
 *
 * Bodies are decoded (transfer encoding, charset), text is folded; attachments that are not text
 * are not searched. Keys are copied. `is_complete` may be asked between pieces: every key was
 * found, the rest need not be fed. Works in any thread, one at a time. A key whose text has to be
 * found across a line break of the message is found where the break counts as a space.
 */
struct pn_search *pn_search_new(const struct pn_search_key *keys, size_t count);
void pn_search_feed(struct pn_search *search, struct pn_slice bytes);
bool pn_search_is_complete(const struct pn_search *search);
void pn_search_finish(struct pn_search *search, bool *found);
void pn_search_free(struct pn_search **search);

PN_DECLARATIONS_END

#endif
