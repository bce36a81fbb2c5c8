/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_imap: mail from another IMAP server (RFC 3501). This header is what its
 * files share: the connection, the client's side of a session, and a parser.
 */
#ifndef SOURCE_IMAP_H
#define SOURCE_IMAP_H

#include <postern/arena.h>
#include <postern/buffer.h>
#include <postern/error.h>
#include <postern/link.h>
#include <postern/source.h>
#include <postern/types.h>

enum {
	LINE_MAX_BYTES = 8 * 1024 * 1024, /* of a response without bodies */
	READ_SIZE = 64 * 1024,
	FLAGS_MAX = 100,
};

/* ---- link.c ---- */

struct link {
	struct pn_link *connection; /* or NULL */
	char host[256];
	uint16_t port;
	char in[READ_SIZE];
	size_t at;
	size_t end;
};

/* Appends the next line without its line end. */
PN_MUST_CHECK enum pn_status link_read_line(struct link *link, struct pn_buffer *line,
					    struct pn_error *error);
/* Appends some bytes, at least 1 and at most `size`. */
PN_MUST_CHECK enum pn_status link_read(struct link *link, struct pn_buffer *bytes, size_t size,
				       struct pn_error *error);

/* ---- parse.c ---- */

/* A response as it came; a literal stands in it as {n} CRLF and its bytes. */
struct parser {
	struct pn_slice rest;
};

/* The next word up to a space or parenthesis; "" at the end. */
struct pn_slice parse_word(struct parser *parser);
bool parse_byte(struct parser *parser, char byte);
/* A string in any form, or NIL ("" then). Quoted ones are unquoted in the arena. */
bool parse_string(struct parser *parser, struct pn_arena *arena, struct pn_slice *string_out);
/* What stands in parentheses, with those inside it. */
bool parse_list(struct parser *parser, struct pn_slice *inside_out);
/* Any value, passed over. */
bool parse_skip(struct parser *parser);
bool word_is(struct pn_slice word, const char *text);
bool parse_number(struct pn_slice word, uint64_t *number_out);
/* "17-Jul-1996 02:44:25 -0700" */
bool parse_date(struct pn_slice text, int64_t *milliseconds_out);
void parse_flags(struct pn_slice list, struct pn_arena *arena, struct pn_flags *flags_out);

/* ---- client.c ---- */

struct client {
	struct link link;
	unsigned tag;
	struct pn_buffer response; /* the one at hand */
	uint64_t literal_left;     /* of a body, which is not in `response` but still to be read */
	struct pn_arena *arena;    /* of the response at hand */
	bool has_list_extended;
	bool has_special_use;
	bool has_namespace;
	bool has_plain;
	bool has_sasl_ir;
	bool has_starttls;
	struct pn_buffer prefix;   /* of the personal namespace: "INBOX." */
};

enum client_reply { CLIENT_UNTAGGED = 0, CLIENT_CONTINUE, CLIENT_OK, CLIENT_NO, CLIENT_BAD };

/* printf; sends "tag command". */
PN_MUST_CHECK enum pn_status client_send(struct client *client, struct pn_error *error,
					 const char *format, ...) PN_PRINTF(3, 4);

/* The next response. A body in it stops it: literal_left is set, and client_go_on reads the rest. */
PN_MUST_CHECK enum pn_status client_next(struct client *client, enum client_reply *reply_out,
					 struct pn_error *error);
PN_MUST_CHECK enum pn_status client_go_on(struct client *client, struct pn_error *error);

/* Behind "* ", "+ " or the tag and its status word. */
struct parser client_text(const struct client *client);

/* Reads until the tagged reply, whatever comes. PN_DENIED with what the server said: NO or BAD. */
PN_MUST_CHECK enum pn_status client_finish(struct client *client, struct pn_error *error);
enum pn_status client_denied(struct client *client, struct pn_error *error);

enum client_security { CLIENT_IMPLICIT_TLS = 0, CLIENT_STARTTLS, CLIENT_PLAIN };

PN_MUST_CHECK enum pn_status client_open(struct client *client, enum client_security security,
					 bool insecure, const char *user, const char *password,
					 struct pn_error *error);
void client_close(struct client *client);

/* A string that may be sent: quoted; the name of a mailbox goes out as it came in. */
const char *client_quote(struct pn_arena *arena, struct pn_slice text);

#endif
