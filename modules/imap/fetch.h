/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FETCH from the inside: what can be asked of a message, and how it is written.
 * fetch.c parses the command, fetch_run.c runs it (fetch_write.c, and fetch_stream.c
 * for what is large), section.c finds the bytes of BODY[…],
 * envelope.c and structure.c write what the summary of a message says.
 */
#ifndef MODULES_IMAP_FETCH_H
#define MODULES_IMAP_FETCH_H

#include <postern/mime.h>

#include "imap.h"

enum {
	IMAP_SECTION_DEPTH = 100,
	IMAP_FETCH_ITEMS = 10000,
	IMAP_HEADER_MAX = 1024 * 1024, /* of a header that fields are chosen from */
};

enum imap_section_what {
	IMAP_SECTION_ALL = 0,
	IMAP_SECTION_HEADER,
	IMAP_SECTION_FIELDS,
	IMAP_SECTION_FIELDS_NOT,
	IMAP_SECTION_TEXT,
	IMAP_SECTION_MIME,
};

/* What stands between the brackets of BODY[…], and the range behind them. */
struct imap_section {
	enum imap_section_what what;
	const uint32_t *path; /* "1.2" */
	size_t depth;
	const struct pn_slice *fields;
	const struct pn_slice *sorted; /* the same names, to look them up */
	size_t field_count;
	bool has_partial;
	uint32_t offset;
	uint32_t size;
	bool is_peek;
	struct pn_slice label; /* how the item is called in the response */
};

enum imap_item_kind {
	IMAP_ITEM_FLAGS = 0,
	IMAP_ITEM_UID,
	IMAP_ITEM_INTERNALDATE,
	IMAP_ITEM_SIZE,
	IMAP_ITEM_ENVELOPE,
	IMAP_ITEM_BODY,
	IMAP_ITEM_BODYSTRUCTURE,
	IMAP_ITEM_MODSEQ,
	IMAP_ITEM_SECTION,
};

struct imap_item {
	enum imap_item_kind kind;
	struct imap_section section;
};

/* Where the bytes of a section are in the message. */
struct imap_extent {
	bool is_there;   /* false: NIL */
	bool is_header;  /* fields have to be chosen from it */
	uint64_t offset;
	uint64_t size;
};

/* One FETCH, parsed. */
struct imap_fetch {
	struct imap_uids uids;     /* malloc'd, as the two below */
	struct imap_uids seen;     /* to be marked \Seen at the end */
	struct imap_uids vanished;
	const struct imap_item *items;
	size_t item_count;
	size_t section_count;
	uint64_t changed_since;
	bool has_changed_since;
	bool wants_vanished;
	bool needs_bytes;          /* sections: bodies have to be read */
	bool needs_structure;
	bool only_headers;         /* nothing but the message's header is read of it */
	uint32_t fields;           /* enum pn_row_field of what the rows must say */

	/* Running. */
	uint32_t next_uid;         /* rows are asked for from here on; 0: that was all */
	uint32_t told;             /* messages that were told of */
	uint32_t failed;           /* messages that could not be read */
	struct pn_arena *arena;    /* of the rows at hand */
	struct imap_fetch_row *rows;
	size_t row_count;
	size_t row_at;
	size_t group;              /* rows whose bodies are being read together */

	/* A large message that streams. */
	size_t item_at;
	uint64_t offset;
	uint64_t left;
	bool is_inside;            /* "* n FETCH (" was written */
	struct pn_mime_parser *parser; /* its structure is not known: it is read for that first */
};

/* A row at hand, with what points elsewhere copied. */
struct imap_fetch_row {
	struct pn_row row;
	uint32_t sequence;
	struct pn_slice summary;
	struct pn_mime_message message;
	bool has_message;
	bool tried;                /* to find out its structure from the bytes */
};

/* fetch_run.c */
enum pn_next imap_fetch_begin(struct pn_session *session, struct imap_session *imap);
void imap_fetch_forget(struct imap_session *imap);
/* The next message, the next rows, or the end. */
enum pn_next imap_fetch_go_on(struct pn_session *session, struct imap_session *imap);

/* fetch_write.c */
/* The structure from the summary; false: it has to be found out from the bytes. */
bool imap_fetch_open_structure(struct imap_fetch_row *at, struct pn_arena *arena);
void imap_fetch_parse(struct imap_fetch *fetch, struct imap_fetch_row *at, struct pn_slice bytes);
void imap_fetch_put_item(const struct imap_session *imap, struct pn_buffer *out,
                         const struct imap_item *item, const struct imap_fetch_row *at);
void imap_fetch_put_beginning(struct pn_buffer *out, const struct imap_fetch_row *at);
void imap_fetch_put_chosen(struct pn_buffer *out, const struct imap_section *section,
                           struct pn_slice header);
void imap_fetch_put_message(const struct imap_session *imap, struct imap_fetch *fetch,
                            struct pn_buffer *out, const struct imap_fetch_row *at,
                            struct pn_slice bytes);
/* Where something was fetched without .PEEK. */
void imap_fetch_note_seen(const struct imap_session *imap, struct imap_fetch *fetch,
                          const struct imap_fetch_row *at);

/* fetch_stream.c: of the row at hand */
enum pn_next imap_fetch_stream(struct pn_session *session, struct imap_session *imap);
enum pn_next imap_fetch_ask_piece(struct pn_session *session, struct imap_session *imap,
                                  uint64_t offset, uint64_t size, imap_answered *answered);
enum pn_next imap_fetch_unreadable(struct pn_session *session, struct imap_session *imap,
                                   const struct pn_answer *answer);

/* section.c */
/* Behind "BODY[" or "BODY.PEEK[", up to and with the bracket and the range. */
bool imap_parse_section(struct imap_parser *parser, struct imap_section *section);
/* Whether the structure of the message has to be known. */
bool imap_section_needs_structure(const struct imap_section *section);
struct imap_extent imap_section_find(const struct imap_section *section,
                                     const struct pn_mime_message *message, uint64_t size,
                                     uint64_t header_size);
/* The chosen fields of a header, with the empty line. */
void imap_section_choose(const struct imap_section *section, struct pn_slice header,
                         struct pn_buffer *out);
/* The asked range of so many bytes. */
void imap_section_range(const struct imap_section *section, uint64_t *offset, uint64_t *size);
/* Message bytes into a literal: NUL may not stand there (RFC 3501 section 9, CHAR8). */
void imap_put_literal_bytes(struct pn_buffer *out, struct pn_slice bytes);

/* envelope.c, structure.c */
void imap_put_envelope(struct pn_buffer *out, const struct pn_mime_envelope *envelope);
/* A string that holds text from a header: never raw bytes above 127. */
void imap_put_text(struct pn_buffer *out, struct pn_slice text);
void imap_put_structure(struct pn_buffer *out, const struct pn_mime_message *message,
                        bool is_extended);

#endif
