/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DKIM (RFC 6376, with 8301 and 8463). tags.c reads lists of tags, signature.c and key.c what they
 * mean, canonical.c makes the bytes that are signed, crypto.c has the keys, verify.c is the check and
 * sign.c its counterpart. Pure.
 */
#ifndef DKIM_H
#define DKIM_H

#include <postern/arena.h>
#include <postern/buffer.h>
#include <postern/check.h>
#include <postern/error.h>
#include <postern/header.h>
#include <postern/option.h>
#include <postern/signature.h>
#include <postern/types.h>

enum {
	DKIM_TAGS_MAX = 64,
	DKIM_FIELDS_MAX = 1000,        /* names in h= */
	DKIM_KEYS_MAX = 4,             /* records at one selector that are looked at */
	DKIM_BITS_LEAST = 1024,        /* RFC 8301 section 3.2 */
	DKIM_TEXT_MAX = 4 * 1024 * 1024, /* the header that is signed */
};

/* ---- tags.c (section 3.2) ---- */

struct dkim_tag {
	struct pn_slice name;
	struct pn_slice value; /* trimmed; may be folded within */
};

struct dkim_tags {
	struct dkim_tag rows[DKIM_TAGS_MAX];
	size_t count;
};

/* PN_FAILED: no list of tags, a name twice, or too many. */
PN_MUST_CHECK enum pn_status dkim_tags_parse(struct pn_slice text, struct dkim_tags *tags_out);
/* NULL: not there. */
const struct pn_slice *dkim_tag_of(const struct dkim_tags *tags, const char *name);
/* The text without white space: values that may be folded anywhere. */
struct pn_slice dkim_squeeze(struct pn_slice text, struct pn_arena *arena);
/* Whether one of the parts between colons is that word (any case). */
bool dkim_list_has(struct pn_slice list, const char *word);

/* ---- signature.c (section 3.5) ---- */

enum dkim_algorithm { DKIM_RSA_SHA256 = 1, DKIM_ED25519_SHA256 };

struct dkim_signature {
	const struct pn_header_field *field;
	enum dkim_algorithm algorithm;
	bool relaxes_header;
	bool relaxes_body;
	struct pn_slice domain;
	struct pn_slice selector;
	struct pn_slice identity; /* i=, or "@domain" */
	struct pn_slice *names;   /* of h= */
	size_t name_count;
	struct pn_slice value;     /* b=, decoded */
	struct pn_slice body_hash; /* bh=, decoded: 32 bytes */
	struct pn_slice value_text; /* b= as written, without white space */
	bool has_limit;
	uint64_t limit;
	bool has_expiry;
	uint64_t expires_s;
	uint64_t signed_s; /* 0: not said */
};

/* NULL, or why it cannot be used. */
const char *dkim_signature_parse(const struct pn_header_field *field, struct pn_arena *arena,
				 struct dkim_signature *signature_out);

/* The same of tags that were read, for fields of its kind; without v= and i=. */
const char *dkim_signature_read(const struct dkim_tags *tags, struct pn_arena *arena,
				struct dkim_signature *signature_out);
const char *dkim_algorithm_parse(struct pn_slice text, enum dkim_algorithm *algorithm_out);
/* Base64 that may be folded. False: it is none, or empty. */
bool dkim_decode(struct pn_slice text, struct pn_arena *arena, struct pn_slice *bytes_out);

bool dkim_is_signature(const struct pn_header_field *field);
/* Letters, digits, '-', '_' and dots between labels of 1 to 63. */
bool dkim_is_domain(struct pn_slice name);
/* Whether a name is the domain or lies below it. */
bool dkim_is_below(struct pn_slice name, struct pn_slice domain);

/* ---- key.c (section 3.6.1) ---- */

struct dkim_key {
	enum dkim_algorithm algorithm;
	struct pn_slice bytes;  /* of p=, decoded */
	bool is_strict;         /* t=s: the identity's domain is the signing one */
	bool is_testing;        /* t=y */
	bool refuses_sha256;
};

const char *dkim_key_parse(struct pn_slice record, struct pn_arena *arena,
			   struct dkim_key *key_out);

/* ---- canonical.c (section 3.4, 3.7) ---- */

/* One field as it is signed. */
PN_MUST_CHECK enum pn_status dkim_put_field(struct pn_buffer *out, struct pn_slice whole,
					    bool is_relaxed);
/* The field of a signature, the value of its b= left out, without its line end. */
PN_MUST_CHECK enum pn_status dkim_put_signature(struct pn_buffer *out, struct pn_slice whole,
						bool is_relaxed);
/* The fields that the names choose, from the last of each on upwards; then the field of the signature
 * itself, the value of its b= left out, without its line end. */
PN_MUST_CHECK enum pn_status dkim_put_header(struct pn_buffer *out, const struct pn_header *header,
					     const struct pn_slice *names, size_t name_count,
					     struct pn_slice signature_field, bool is_relaxed);

/* ---- crypto.c ---- */

/* NULL: the key has signed that text. */
const char *dkim_verify_text(const struct dkim_key *key, struct pn_slice text,
			     struct pn_slice signature, bool *is_key_wrong_out);

enum dkim_algorithm dkim_private_key_algorithm(const struct pn_private_key *key);
PN_MUST_CHECK enum pn_status dkim_sign_text(const struct pn_private_key *key,
					    struct pn_slice text, struct pn_arena *arena,
					    struct pn_slice *signature_out,
					    struct pn_error *error);

/* ---- write.c ---- */

/* A field as it grows; words go to a new line where this one is full. */
struct dkim_writing {
	struct pn_buffer *out;
	size_t column;
	enum pn_status status; /* the first that was not PN_OK */
};

void dkim_put(struct dkim_writing *writing, struct pn_slice word);
void dkim_break_line(struct dkim_writing *writing);
/* " name=value;", on one line where it fits one. */
void dkim_put_tag(struct dkim_writing *writing, const char *name, struct pn_slice value);
void dkim_put_number(struct dkim_writing *writing, const char *name, int64_t number,
		     struct pn_arena *arena);
void dkim_put_names(struct dkim_writing *writing, const struct pn_slice *names, size_t name_count);
/* A text that may be cut anywhere. */
void dkim_put_cut(struct dkim_writing *writing, struct pn_slice text);
struct pn_slice dkim_base64(struct pn_slice bytes, struct pn_arena *arena);

/* ---- sign.c ---- */

/* The fields to be signed, at most DKIM_FIELDS_MAX: those that are wanted ("From:To:To"), as they are; or
 * the usual ones. Returns how many. */
size_t dkim_choose_names(const struct pn_header *header, struct pn_slice wanted,
			 struct pn_slice *names);

PN_MUST_CHECK enum pn_status dkim_sign(const struct pn_signing *signing, struct pn_arena *arena,
				       struct pn_buffer *fields_out, struct pn_error *error);

/* ---- verify.c ---- */

struct dkim_config {
	struct pn_text_list exempt_networks;
	uint64_t deadline_ms;
	uint32_t max_signatures;
};

extern const struct pn_check dkim_check;

#endif
