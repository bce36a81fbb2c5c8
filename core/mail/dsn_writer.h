/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between dsn.c, dsn_text.c and dsn_original.c: a report that is being written. The first failure
 * stays, so that what is written is not asked for it each time.
 */
#ifndef CORE_MAIL_DSN_WRITER_H
#define CORE_MAIL_DSN_WRITER_H

#include "mail/dsn.h"

struct pn_dsn_writer {
	const struct pn_dsn *dsn;
	struct pn_buffer *out;
	struct pn_arena *arena;
	bool is_utf8;          /* some address is: RFC 6533 */
	enum pn_status status;
};

/* Text as it is; and printf. */
void pn_dsn_put(struct pn_dsn_writer *writer, struct pn_slice text);
void pn_dsn_print(struct pn_dsn_writer *writer, const char *format, ...) PN_PRINTF(2, 3);

/*
 * A stranger's text on one line: no controls, no blanks at either end, at most `limit` bytes (more
 * ends in "..."); what is not ASCII becomes '?' unless the report is UTF-8 and the text is, too.
 */
struct pn_slice pn_dsn_clean(struct pn_dsn_writer *writer, struct pn_slice text, size_t limit);

/* A field, of clean text. */
void pn_dsn_field(struct pn_dsn_writer *writer, const char *name, struct pn_slice value);

/* Whether it is UTF-8 and has more than ASCII. */
bool pn_dsn_is_utf8(struct pn_slice text);

/* How the original is enclosed (dsn_original.c). */
struct pn_dsn_enclosure {
	struct pn_slice bytes;
	const char *type;
	const char *encoding; /* NULL: nothing is enclosed */
	bool is_8bit;
};
struct pn_dsn_enclosure pn_dsn_choose_enclosure(const struct pn_dsn *dsn, bool report_is_utf8);
void pn_dsn_write_original(struct pn_dsn_writer *writer, const struct pn_dsn_enclosure *enclosure);

/* The part for people (dsn_text.c). */
void pn_dsn_write_text(struct pn_dsn_writer *writer);

enum { PN_DSN_ADDRESS_LIMIT = 600, PN_DSN_NAME_LIMIT = 255, PN_DSN_WORDS_LIMIT = 800 };

#endif
