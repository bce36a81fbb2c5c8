/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Charsets decoded to UTF-8 as bytes come, a character that was cut held back; and
 * characters of UTF-8 folded. One thread for a decoder at a time.
 */
#ifndef CORE_MAIL_CHARSET_H
#define CORE_MAIL_CHARSET_H

#include <postern/mime.h>

enum { PN_CHARSET_NAME_SIZE = 64, PN_CHARSET_HELD = 32 };

struct pn_charset {
	enum { PN_CHARSET_UTF8 = 0, PN_CHARSET_LATIN1, PN_CHARSET_OTHER } kind;
	void *converter;            /* PN_CHARSET_OTHER: an iconv_t */
	char held[PN_CHARSET_HELD]; /* the beginning of a character */
	size_t held_size;
};

/* PN_OK, or PN_NOT_FOUND. US-ASCII is read as UTF-8: what is not ASCII in it has to be something. */
PN_MUST_CHECK enum pn_status pn_charset_open(struct pn_charset *charset, struct pn_slice name);
void pn_charset_close(struct pn_charset *charset);
/* As if nothing had been decoded yet. */
void pn_charset_restart(struct pn_charset *charset);
PN_MUST_CHECK enum pn_status pn_charset_feed(struct pn_charset *charset, struct pn_buffer *out,
					     struct pn_slice bytes);
/* What was held back was not the beginning of a character. */
PN_MUST_CHECK enum pn_status pn_charset_end(struct pn_charset *charset, struct pn_buffer *out);

/* charset_cache.c: those that were used last; all zero is an empty one */
enum { PN_CHARSETS_CACHED = 8 };

struct pn_cached_charset {
	char name[PN_CHARSET_NAME_SIZE];
	size_t name_size;
	bool is_known;
	struct pn_charset charset;
};

struct pn_charset_cache {
	struct pn_cached_charset charsets[PN_CHARSETS_CACHED];
	size_t next; /* to make room for another */
};

/* Ready for another text. NULL: UTF-8, or a charset nobody knows. */
struct pn_charset *pn_charset_cached(struct pn_charset_cache *cache, struct pn_slice name);
void pn_charset_cache_clear(struct pn_charset_cache *cache);

/* fold.c: bytes of ASCII at the beginning, in lower case to `to`; stops at what is none. */
size_t pn_fold_ascii(char *to, struct pn_slice text);

#endif
