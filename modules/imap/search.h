/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SEARCH from the inside: a program of keys (search_parse.c), what it says of a message
 * (search_match.c), and the run over a mailbox (search.c). A message is judged by its
 * row first; its bytes are read only where the row leaves it open.
 */
#ifndef MODULES_IMAP_SEARCH_H
#define MODULES_IMAP_SEARCH_H

#include <postern/mime.h>

#include "imap.h"

enum {
	IMAP_SEARCH_DEPTH = 100,
	IMAP_SEARCH_TEXTS = 100, /* keys that need the bytes of messages */
	IMAP_SEARCH_KEYS = 20000, /* each is looked at for each message */
};

enum imap_key_kind {
	IMAP_KEY_ALL = 0,
	IMAP_KEY_FLAG,      /* has one of the system flags */
	IMAP_KEY_KEYWORD,
	IMAP_KEY_RECENT,
	IMAP_KEY_SET,       /* of UIDs, whatever was written; they need not be there */
	IMAP_KEY_SAVED,     /* "$" */
	IMAP_KEY_BEFORE,    /* internal date, in days */
	IMAP_KEY_ON,
	IMAP_KEY_SINCE,
	IMAP_KEY_SENT_BEFORE,
	IMAP_KEY_SENT_ON,
	IMAP_KEY_SENT_SINCE,
	IMAP_KEY_OLDER,     /* internal date, in milliseconds */
	IMAP_KEY_YOUNGER,
	IMAP_KEY_LARGER,
	IMAP_KEY_SMALLER,
	IMAP_KEY_MODSEQ,
	IMAP_KEY_TEXT,      /* texts[index] */
	IMAP_KEY_AND,
	IMAP_KEY_OR,
	IMAP_KEY_NOT,
};

/* Fields that the summary of a message knows. */
enum imap_summary_field {
	IMAP_FIELD_OTHER = 0,
	IMAP_FIELD_FROM,
	IMAP_FIELD_TO,
	IMAP_FIELD_CC,
	IMAP_FIELD_BCC,
	IMAP_FIELD_SUBJECT,
	IMAP_FIELD_MESSAGE_ID,
	IMAP_FIELD_IN_REPLY_TO,
	IMAP_FIELD_REFERENCES,
};

struct imap_key {
	enum imap_key_kind kind;
	uint64_t number;
	int64_t day;
	struct pn_slice word;
	struct imap_uids uids;      /* malloc'd */
	struct imap_key *first;     /* AND, OR, NOT */
	struct imap_key *next;
	struct imap_key *made_before; /* all keys, for freeing */
	size_t index;
	enum imap_summary_field field;
	bool is_header; /* TEXT: what stands in the field, not what the envelope makes of it */
};

struct imap_program {
	struct imap_key *root;
	struct imap_key *last_made;
	size_t key_count;
	const struct imap_uids *saved;
	struct pn_search_key texts[IMAP_SEARCH_TEXTS];
	struct pn_slice folded[IMAP_SEARCH_TEXTS];
	size_t text_count;
	uint32_t fields;            /* enum pn_row_field */
	bool needs_envelope;        /* for dates: found out from the bytes where there is no summary */
	bool uses_modseq;
	bool charset_is_unknown;
	struct pn_slice charset;
	int64_t now_ms;
};

/* search_parse.c: the keys up to the end of the command */
bool imap_parse_program(struct imap_session *imap, struct imap_parser *parser,
                        struct imap_program *program);
void imap_program_forget(struct imap_program *program);

/* What is known of a message. */
struct imap_judged {
	const struct pn_row *row;
	const struct pn_mime_envelope *envelope; /* or NULL */
	const bool *found;                       /* for each text; or NULL */
	uint32_t recent_uid;
};

enum imap_judgement { IMAP_NO = 0, IMAP_YES, IMAP_OPEN };

/* search_match.c */
enum imap_judgement imap_program_judge(const struct imap_program *program,
                                       const struct imap_judged *judged);

#endif
