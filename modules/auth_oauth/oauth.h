/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_oauth from the inside. A token is judged in one of two ways: it is a JSON web
 * token (RFC 7519) that one of our keys has signed, or the server that gave it out is
 * asked about it (RFC 7662). Either way there are claims in the end, and claims.c says
 * what they must be. Loop thread.
 */
#ifndef MODULES_AUTH_OAUTH_H
#define MODULES_AUTH_OAUTH_H

#include <postern/arena.h>
#include <postern/authentication.h>
#include <postern/option.h>
#include <postern/signature.h>

#include <jansson.h>

struct oauth_config {
	const char *issuer;
	struct pn_text_list audience;
	struct pn_text_list scope;
	const char *account_claim;
	const char *keys;
	const char *keys_url;
	uint64_t keys_lifetime;
	const char *introspection_url;
	const char *client_id;
	const char *client_secret;
	uint64_t cache_lifetime;
	uint32_t cache_entries;
	uint64_t request_timeout;
	uint64_t clock_skew;
	const char *discovery_url;
};

enum {
	OAUTH_TOKEN_MAX = 8192,
	OAUTH_KEYS_MAX = 64,
	OAUTH_KEYS_SIZE_MAX = 256 * 1024,
	OAUTH_ANSWER_MAX = 64 * 1024,
	OAUTH_ACCOUNT_MAX = 256,
	OAUTH_WAITING_MAX = 1000,
	OAUTH_DIGEST_SIZE = 32,
};

/* How a token was judged. */
struct oauth_verdict {
	enum pn_status status;   /* PN_OK, PN_DENIED, PN_NOT_FOUND: it is of another issuer */
	char account[OAUTH_ACCOUNT_MAX + 1]; /* with PN_OK */
	int64_t expires_s;       /* with PN_OK: since 1970; 0: it does not say */
	const char *problem;     /* with PN_DENIED: "invalid_token", "insufficient_scope" */
	const char *why;         /* with PN_DENIED, for the log */
};

/* ---- keys.c ---- */

struct oauth_key {
	struct pn_public_key *key;
	char *id; /* or NULL */
};

struct oauth_keys {
	struct oauth_key keys[OAUTH_KEYS_MAX];
	size_t count;
};

/* From a text in PEM form, or a set of keys in JSON (RFC 7517), of which those that cannot sign are
 * passed over. PN_FAILED: there is none. */
PN_MUST_CHECK enum pn_status oauth_keys_read(struct pn_slice text, struct oauth_keys **keys_out,
					     struct pn_error *error);
PN_MUST_CHECK enum pn_status oauth_keys_read_file(const char *path, struct oauth_keys **keys_out,
						  struct pn_error *error);
void oauth_keys_free(struct oauth_keys **keys);

/* ---- claims.c ---- */

/* What claims must be. Those of a signed token must name issuer, audience and end; of an answer of the
 * server itself only what it says counts. `now_s`: seconds since 1970. */
void oauth_claims_judge(const struct oauth_config *config, const json_t *claims, bool is_signed,
			int64_t now_s, struct oauth_verdict *verdict_out);

/* ---- token.c ---- */

/* Base64 without padding, as it is written into URLs (RFC 4648 section 5). */
PN_MUST_CHECK enum pn_status oauth_base64url(struct pn_slice text, struct pn_buffer *out);

/* Whether it has the form of a signed token: three parts, and a header that names an algorithm. */
bool oauth_token_is_signed(struct pn_slice token);

/* Judges a signed token. *key_is_missing_out: it was signed by a key that is not among these, but could
 * be among newer ones. */
void oauth_token_judge(const struct oauth_config *config, const struct oauth_keys *keys,
		       struct pn_slice token, int64_t now_s, struct oauth_verdict *verdict_out,
		       bool *key_is_missing_out);

/* ---- cache.c: what the server said of tokens, for a while ---- */

struct oauth_cache;

struct oauth_cache *oauth_cache_new(uint32_t entries);
void oauth_cache_free(struct oauth_cache **cache);
void oauth_cache_put(struct oauth_cache *cache, const uint8_t digest[OAUTH_DIGEST_SIZE],
		     const char *account, uint64_t until_ms);
/* The account, or NULL. `now_ms` as of pn_clock_monotonic_ms. */
const char *oauth_cache_get(const struct oauth_cache *cache,
			    const uint8_t digest[OAUTH_DIGEST_SIZE], uint64_t now_ms);

/* ---- the instance ---- */

struct oauth_waiting;

struct oauth {
	const struct oauth_config *config;
	struct oauth_keys *keys;          /* NULL: there are none (yet) */
	struct oauth_keys *prepared_keys; /* of a reload */
	struct oauth_cache *cache;
	struct pn_ticket fetch;           /* while keys are on their way */
	bool has_fetched;
	uint64_t fetched_ms;              /* when they were asked for last */
	struct oauth_waiting *waiting;    /* for keys */
	struct oauth_waiting *asking;     /* the server about a token */
	size_t waiting_count;
};

/* Answers an attempt. */
void oauth_answer(const struct oauth *oauth, struct pn_ticket ticket,
		  const struct oauth_verdict *verdict);
void oauth_answer_failed(struct pn_ticket ticket, const char *why);

/* ---- fetch.c: keys from a server ---- */

/* Judges a signed token, when the keys for it are there. */
void oauth_judge_signed(struct oauth *oauth, struct pn_slice token, struct pn_ticket ticket);

/* ---- introspect.c ---- */

void oauth_introspect(struct oauth *oauth, struct pn_slice token, struct pn_ticket ticket);

/* One attempt that waits for a server. */
struct oauth_waiting {
	struct oauth *oauth;
	struct pn_ticket ticket;  /* the attempt's */
	struct pn_ticket request; /* ours */
	uint8_t digest[OAUTH_DIGEST_SIZE];
	struct oauth_waiting *next;
	size_t token_size;
	char token[];
};

/* NULL where too many wait. */
struct oauth_waiting *oauth_wait(struct oauth *oauth, struct oauth_waiting **list,
				 struct pn_slice token, struct pn_ticket ticket);
void oauth_wait_end(struct oauth_waiting **list, struct oauth_waiting *waiting);

#endif
