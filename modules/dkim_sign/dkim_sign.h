/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing what goes out (RFC 6376 section 5). keys.c has the table of keys, request.c what is to be signed
 * with which, script.c the Lua library, dkim_sign.c the hooks. What signs is modules/dkim, whose files
 * are built in.
 */
#ifndef DKIM_SIGN_H
#define DKIM_SIGN_H

#include <postern/error.h>
#include <postern/lualib.h>
#include <postern/option.h>
#include <postern/stage.h>
#include <postern/types.h>

enum {
	DKIM_SIGN_KEYS_MAX = 10000,
	DKIM_SIGN_SIGNATURES_MAX = 10, /* of one message */
	DKIM_SIGN_NAMES_MAX = 1000,    /* bytes of the names of fields that a script chooses */
};

struct dkim_sign_config {
	const char *keys;
	uint32_t canonicalization; /* index of relaxed/relaxed, … */
	struct pn_text_list networks;
	bool signs_own;
};

/* ---- keys.c ---- */

/* `old` is still in DNS for mail on its way, `new` is in DNS before it is used: only scripts that name
 * them sign with these. */
enum dkim_sign_use { DKIM_SIGN_ACTIVE = 0, DKIM_SIGN_OLD, DKIM_SIGN_NEW };

struct dkim_sign_key {
	const char *domain;   /* lower case */
	const char *selector;
	struct pn_slice text; /* PEM */
	enum dkim_sign_use use;
};

/* Counted: a job that signs keeps it over a reload. Loop thread, but for reading a key. */
struct dkim_sign_keys;

/* Reads the table and all of its keys. An error names file and line. */
PN_MUST_CHECK enum pn_status dkim_sign_keys_read(const char *path, struct dkim_sign_keys **keys_out,
						 struct pn_error *error);
struct dkim_sign_keys *dkim_sign_keys_keep(struct dkim_sign_keys *keys);
void dkim_sign_keys_drop(struct dkim_sign_keys **keys); /* the last one wipes them */

/* The keys of that very domain, any case: the next behind `before`, or the first where that is NULL. */
const struct dkim_sign_key *dkim_sign_keys_next(const struct dkim_sign_keys *keys,
						struct pn_slice domain,
						const struct dkim_sign_key *before);

/* ---- request.c: what a message is to be signed with, kept with it as a note ---- */

struct dkim_sign_request {
	struct pn_slice domain;
	struct pn_slice selector; /* "": all that are active */
	struct pn_slice identity;
	struct pn_slice headers;
	struct pn_slice lifetime; /* seconds; "": for ever */
};

/* PN_FAILED: a text has a tab or line end. */
PN_MUST_CHECK enum pn_status dkim_sign_request_add(struct pn_transaction *transaction,
						   const struct dkim_sign_request *request,
						   struct pn_arena *arena);
/* The next of the requests in *rest, the value of the note; false at the end. */
bool dkim_sign_request_next(struct pn_slice *rest, struct dkim_sign_request *request_out);
struct pn_slice dkim_sign_requests(const struct pn_transaction *transaction);

/* The domain of the first address in From, in lower case; "" where there is none. */
struct pn_slice dkim_sign_author(struct pn_transaction *transaction, struct pn_arena *arena);

/* ---- the instance ---- */

struct dkim_sign_instance {
	struct dkim_sign_keys *keys;
	struct dkim_sign_keys *prepared;
};

/* ---- script.c ---- */

extern const struct pn_lua_library dkim_sign_library;

#endif
