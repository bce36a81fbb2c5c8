/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MIME from the inside: what the parser knows of a part while a message goes by, and
 * who is told of fields and bodies on the way (searching is). See <postern/mime.h>.
 *
 * What is kept of fields is kept as the summary will have it, in one buffer: a part
 * points into it by spans. So memory is bounded by that buffer, and a summary is
 * written by copying.
 */
#ifndef CORE_MAIL_MIME_H
#define CORE_MAIL_MIME_H

#include <postern/mime.h>

enum {
	PN_MIME_MAX_BOUNDARY = 256,          /* RFC 2046 section 5.1.1 allows 70 */
	PN_MIME_MAX_TEXT = 1024 * 1024,      /* of kept fields; no part begins beyond half of it */
	PN_MIME_MAX_ENVELOPE = 320 * 1024,   /* kept for one envelope: a root always fits a summary */
	PN_MIME_MAX_PART_FIELDS = 64 * 1024, /* kept for the other fields of a part */
	PN_MIME_MAGIC = 0xa5,                /* a summary begins with it … */
	PN_MIME_VERSION = 1,                 /* … and with its version */
	PN_MIME_HEADER_8BIT = 1,             /* a flag in it */
};

/* A piece of the parser's text. Size 0: there is no such field (a written field has a size). */
struct pn_mime_span {
	uint32_t offset;
	uint32_t size;
};

enum pn_envelope_field {
	PN_ENVELOPE_DATE = 0,
	PN_ENVELOPE_SUBJECT,
	PN_ENVELOPE_IN_REPLY_TO,
	PN_ENVELOPE_MESSAGE_ID,
	PN_ENVELOPE_REFERENCES,
	PN_ENVELOPE_FROM, /* from here on lists of addresses */
	PN_ENVELOPE_SENDER,
	PN_ENVELOPE_REPLY_TO,
	PN_ENVELOPE_TO,
	PN_ENVELOPE_CC,
	PN_ENVELOPE_BCC,
	PN_ENVELOPE_FIELDS,
};

/* Each a text, but for those where it says otherwise. */
enum pn_part_field {
	PN_PART_TYPE = 0,    /* type and subtype, where they have no code */
	PN_PART_PARAMETERS,  /* a list of parameters */
	PN_PART_ENCODING,    /* where it has no code */
	PN_PART_ID,
	PN_PART_DESCRIPTION,
	PN_PART_MD5,
	PN_PART_DISPOSITION, /* a text, and a list of parameters */
	PN_PART_LANGUAGES,   /* a list of parameters without values */
	PN_PART_LOCATION,
	PN_PART_FIELDS,
};

/* Content types and encodings that have a number; 0 stands for all others. */
enum pn_mime_type_code {
	PN_TYPE_OTHER = 0,
	PN_TYPE_DEFAULT, /* text/plain; charset=us-ascii (RFC 2045 section 5.2) */
	PN_TYPE_TEXT_PLAIN,
	PN_TYPE_TEXT_HTML,
	PN_TYPE_MULTIPART_MIXED,
	PN_TYPE_MULTIPART_ALTERNATIVE,
	PN_TYPE_MULTIPART_RELATED,
	PN_TYPE_MULTIPART_SIGNED,
	PN_TYPE_MULTIPART_REPORT,
	PN_TYPE_MULTIPART_DIGEST,
	PN_TYPE_MESSAGE_RFC822,
	PN_TYPE_MESSAGE_GLOBAL,
	PN_TYPE_OCTET_STREAM,
	PN_TYPE_IMAGE_PNG,
	PN_TYPE_IMAGE_JPEG,
	PN_TYPE_PDF,
	PN_TYPE_CALENDAR,
	PN_TYPE_CODES,
};

enum pn_mime_encoding_code {
	PN_ENCODING_OTHER = 0,
	PN_ENCODING_7BIT,
	PN_ENCODING_8BIT,
	PN_ENCODING_BINARY,
	PN_ENCODING_QUOTED_PRINTABLE,
	PN_ENCODING_BASE64,
	PN_ENCODING_CODES,
};

/* A part while its message goes by. */
struct pn_mime_node {
	enum pn_mime_kind kind;
	enum pn_mime_type_code type;
	enum pn_mime_encoding_code encoding;
	bool has_type;        /* Content-Type was seen; so below */
	bool has_encoding;
	bool has_8bit;        /* in its body … */
	bool has_nul;
	bool header_has_8bit; /* … and in its header */
	bool header_has_nul;
	bool is_message;      /* its header is that of a message: it has an envelope */
	uint32_t parent;
	uint32_t depth;       /* containers around it */
	uint32_t child_count;
	uint32_t parameter_count;
	uint32_t address_count;
	uint32_t kept;        /* bytes kept of its part fields */
	uint32_t envelope_kept;
	uint64_t header_offset;
	uint64_t body_offset;
	uint64_t body_size;
	uint64_t line_count;
	uint64_t first_line;  /* line ends before its body */
	struct pn_mime_span boundary; /* of PN_MIME_MULTIPART; bare text */
	struct pn_mime_span charset;  /* of the content type; bare text */
	struct pn_mime_span fields[PN_PART_FIELDS];
	struct pn_mime_span envelope[PN_ENVELOPE_FIELDS];
};

/*
 * Told while the message goes by; each may be NULL. A field is raw, as far as it is looked at, with
 * its line ends. Bodies come in pieces as they are cut by feeding; the line end in front of a
 * boundary is among them.
 */
struct pn_mime_listener {
	void (*field)(void *user, const struct pn_mime_node *node, struct pn_slice field);
	void (*header_end)(void *user, const struct pn_mime_node *node);
	void (*body)(void *user, const struct pn_mime_node *node, struct pn_slice bytes);
	void (*body_end)(void *user, const struct pn_mime_node *node);
	void *user;
};

/* A multipart whose boundary is looked for. */
struct pn_mime_boundary {
	uint64_t hash;
	struct pn_mime_span span;
	uint32_t level;       /* of the multipart in pn_mime_tree.open */
	int next;             /* in its chain, or -1 */
};

enum { PN_MIME_CHAINS = 64 };

struct pn_mime_boundaries {
	struct pn_mime_boundary open[PN_MIME_MAX_DEPTH];
	int count;
	int8_t chains[PN_MIME_CHAINS];                      /* the newest of each, or -1 */
	uint8_t lengths[PN_MIME_MAX_BOUNDARY + 1];          /* how many have that length */
	size_t longest;
};

/* mime_boundary.c */
void pn_mime_boundaries_reset(struct pn_mime_boundaries *boundaries);
void pn_mime_boundary_push(struct pn_mime_boundaries *boundaries, const struct pn_buffer *text,
			   struct pn_mime_span span, uint32_t level);
/* Those of open parts at this level and deeper. */
void pn_mime_boundary_pop(struct pn_mime_boundaries *boundaries, uint32_t level);
/* The level whose boundary the line (from its "--" on) begins with, the longest; or -1. */
int pn_mime_boundary_match(const struct pn_mime_boundaries *boundaries,
			   const struct pn_buffer *text, struct pn_slice line, bool *is_end_out);

/* The parts so far, and those that are open: the path from the root to where we are. */
struct pn_mime_tree {
	struct pn_mime_node *nodes;
	uint32_t node_count;
	uint32_t node_capacity;
	uint32_t open[PN_MIME_MAX_DEPTH + 1];
	uint32_t open_count;
	uint32_t max_depth;
	uint32_t max_parts;
	struct pn_mime_boundaries boundaries;
	struct pn_buffer text;    /* what is kept of fields */
	struct pn_buffer value;   /* the field at hand, unfolded */
	struct pn_buffer scratch;
	const struct pn_mime_listener *listener; /* or NULL */
};

/* Where bodies end: at the beginning of a line, before the line end in front of it, or where the
 * message does. */
struct pn_mime_end {
	uint64_t offset;
	uint64_t lines;      /* line ends before the line that ends the body */
	bool without_break;  /* the last of them is not part of it … */
	bool has_rest;       /* … and (or: the message ended so) what is before it is not empty */
};

/* mime_tree.c: how much of a message is looked into that is begun from now on, of the configuration; at
 * most PN_MIME_MAX_DEPTH and PN_MIME_MAX_PARTS, which hold where nothing is said. Any thread. */
void pn_mime_limit(uint32_t depth, uint32_t parts);

void pn_mime_tree_init(struct pn_mime_tree *tree);
void pn_mime_tree_reset(struct pn_mime_tree *tree);
void pn_mime_tree_clear(struct pn_mime_tree *tree);
struct pn_mime_node *pn_mime_tree_at(const struct pn_mime_tree *tree); /* the innermost open one */
/* A part, child of the innermost open one, whose header begins there. */
void pn_mime_tree_open(struct pn_mime_tree *tree, uint64_t offset);
/* Whether there is room for a part behind what would be closed for it. */
bool pn_mime_tree_has_room(const struct pn_mime_tree *tree, bool in_header);
/* The header of the innermost ended. True where a header follows: that of a message inside. */
bool pn_mime_tree_end_header(struct pn_mime_tree *tree, uint64_t offset, uint64_t lines);
/* Closes parts until `level` are open. Headers that did not end, end there. */
void pn_mime_tree_close(struct pn_mime_tree *tree, uint32_t level, struct pn_mime_end end,
			bool in_header);

/* mime_field.c: takes a raw field with its line ends, for the part at hand */
void pn_mime_field_take(struct pn_mime_tree *tree, struct pn_mime_node *node,
			struct pn_slice field, bool wants_envelope);
/* Name and value of a raw field; false where it is none. */
bool pn_mime_field_split(struct pn_slice field, struct pn_slice *name, struct pn_slice *value);
/* The value on one line, without NUL, trimmed; in place of what `out` holds. */
struct pn_slice pn_mime_unfold(struct pn_buffer *out, struct pn_slice value);

/* mime_parameter.c: works in the text, which is overwritten */
struct pn_mime_cursor {
	char *at;
	char *end;
};
void pn_mime_skip(struct pn_mime_cursor *cursor); /* blanks and comments */
/* In lower case, up to a blank, a comment, a semicolon or one of `ends`. */
struct pn_slice pn_mime_token(struct pn_mime_cursor *cursor, const char *ends);
/* Writes the list; found text of "boundary" and "charset" is left in the parameters given. PN_LIMIT
 * where `out` is full. */
struct pn_mime_known_parameters {
	struct pn_slice boundary;
	struct pn_slice charset;
	uint32_t count;
};
PN_MUST_CHECK enum pn_status pn_mime_parameters_write(struct pn_buffer *out,
						      struct pn_mime_cursor *cursor,
						      struct pn_mime_known_parameters *known);

/* mime_address.c: the list as a summary has it; `scratch` is overwritten */
PN_MUST_CHECK enum pn_status pn_mime_addresses_write(struct pn_buffer *out, struct pn_slice text,
						     struct pn_buffer *scratch,
						     uint32_t *count_out);

/* mime_summary.c */
PN_MUST_CHECK enum pn_status pn_wire_number(struct pn_buffer *out, uint64_t number);
PN_MUST_CHECK enum pn_status pn_wire_text(struct pn_buffer *out, struct pn_slice text);
PN_MUST_CHECK enum pn_status pn_mime_summary_write(const struct pn_mime_tree *tree, uint64_t size,
						   struct pn_buffer *out);

/* mime_code.c */
struct pn_slice pn_mime_type_text(enum pn_mime_type_code code);
struct pn_slice pn_mime_subtype_text(enum pn_mime_type_code code);
struct pn_slice pn_mime_encoding_text(enum pn_mime_encoding_code code);
enum pn_mime_type_code pn_mime_type_code(struct pn_slice type, struct pn_slice subtype);
enum pn_mime_encoding_code pn_mime_encoding_code(struct pn_slice encoding);

/* mime_parser.c; mime_replace.c changes it when all is over */
enum pn_mime_state {
	PN_MIME_IN_HEADER = 0,
	PN_MIME_IN_BODY,
	PN_MIME_IN_BOUNDARY, /* the rest of such a line; a part may begin behind it */
};

struct pn_mime_parser {
	struct pn_mime_tree tree;
	enum pn_mime_state state;
	bool wants_envelope;
	bool opens_part; /* PN_MIME_IN_BOUNDARY */
	bool in_line;    /* PN_MIME_IN_BODY: this line is no boundary */
	bool has_ended;
	bool root_has_body; /* the outermost header ended */
	char last_byte;
	uint64_t position;
	uint64_t line_start;
	uint64_t lines;
	/* The line before this one. */
	uint64_t break_size;
	bool was_empty;
	struct pn_buffer held;  /* the beginning of a line that was cut */
	struct pn_buffer field; /* the field at hand, raw */
};

/* mime_parser.c, for searching: tells `listener`, keeps no envelopes; used again after a reset. */
struct pn_mime_parser *pn_mime_new_listening(const struct pn_mime_listener *listener);
void pn_mime_reset(struct pn_mime_parser *parser);
/* A span of the part at hand. */
struct pn_slice pn_mime_text_of(const struct pn_mime_parser *parser, struct pn_mime_span span);
/* The message ends here: all parts are closed. */
void pn_mime_end(struct pn_mime_parser *parser);

/*
 * mime_replace.c, for a message whose header is settled when its body is gone by: puts `header` (all
 * of it, with its empty line) in the place of the outermost one, after the last piece and before
 * pn_mime_finish. False where that would give the body another structure, or the old header did
 * not end: then the message has to be parsed again.
 */
PN_MUST_CHECK bool pn_mime_replace_header(struct pn_mime_parser *parser, struct pn_slice header);

#endif
