/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of RFC 3501 section 9, in pieces. A parser stands somewhere in the text
 * of one command; literals are in it as they came: {n} CRLF and n bytes. A function
 * that finds what it looks for goes behind it and returns true; otherwise it says
 * what it expected and stays. Nothing is copied but quoted strings with escapes.
 */
#ifndef MODULES_IMAP_PARSE_H
#define MODULES_IMAP_PARSE_H

#include <postern/arena.h>
#include <postern/types.h>

#include "set.h"

struct imap_parser {
	struct pn_slice text;
	size_t at;
	struct pn_arena *arena;
	const char *expected; /* the first complaint */
};

bool imap_at_end(const struct imap_parser *parser);
bool imap_parse_end(struct imap_parser *parser);
char imap_peek(const struct imap_parser *parser); /* NUL at the end */

/* That byte; one space. */
bool imap_parse_char(struct imap_parser *parser, char byte);
bool imap_parse_space(struct imap_parser *parser);
/* The same without a complaint. */
bool imap_skip_char(struct imap_parser *parser, char byte);

/* A word in letters of any case, followed by what cannot be part of an atom; without a complaint. */
bool imap_skip_word(struct imap_parser *parser, const char *word);

bool imap_parse_tag(struct imap_parser *parser, struct pn_slice *tag_out);
bool imap_parse_atom(struct imap_parser *parser, struct pn_slice *atom_out);
bool imap_parse_string(struct imap_parser *parser, struct pn_slice *text_out);
bool imap_parse_astring(struct imap_parser *parser, struct pn_slice *text_out);
/* NIL gives data == NULL. */
bool imap_parse_nstring(struct imap_parser *parser, struct pn_slice *text_out);
/* Mailbox name with wildcards. */
bool imap_parse_pattern(struct imap_parser *parser, struct pn_slice *text_out);
/* Up to 2^32 - 1; up to 2^63 - 1 (RFC 7162 section 7, mod-sequence). */
bool imap_parse_number(struct imap_parser *parser, uint32_t *number_out);
bool imap_parse_number64(struct imap_parser *parser, uint64_t *number_out);
/* "1:5,7,*" or "$". */
bool imap_parse_set(struct imap_parser *parser, struct imap_set *set_out);
/* "1:5,7": UIDs without "*", as QRESYNC has them. */
bool imap_parse_known_uids(struct imap_parser *parser, struct imap_set *set_out);

/* Whether a byte may stand in an atom. */
bool imap_is_atom_char(char byte);

#endif
