/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Authentication modules: they know whether a secret is right. They are asked in
 * the order of the configuration until one knows the identity.
 *
 * There are three ways to prove who one is, and a module offers those it can: a
 * password that the client sends (`verify`), a proof that only who knows the
 * secret can make (`verifier`: the SCRAM mechanisms and CRAM-MD5), and a token that
 * somebody else gave out (`token`: OAUTHBEARER and XOAUTH2). Before each of them
 * the hooks of auth.verify are asked, once for an attempt.
 */
#ifndef POSTERN_AUTHENTICATION_H
#define POSTERN_AUTHENTICATION_H

#include <postern/arena.h>
#include <postern/buffer.h>
#include <postern/error.h>
#include <postern/ticket.h>
#include <postern/types.h>

/* One attempt, as the hooks of auth.verify see it (call->subject). */
struct pn_credentials {
	uint32_t struct_size;
	const char *mechanism;    /* "PLAIN", "LOGIN", "SCRAM-SHA-256", "PASSWORD" (USER/PASS) … */
	struct pn_slice identity; /* who wants in: lower case, with its domain; "" where only the
	                           * token says who it is */
	struct pn_slice authorization; /* who it wants to be; "" for the same     */
	struct pn_slice secret;   /* the password, the token, or "" where the mechanism has none */
	uint32_t failures;        /* of this session so far */
};

/* What a token says: the result of `token`, with PN_OK and with PN_DENIED. */
struct pn_token_answer {
	uint32_t struct_size;
	struct pn_slice identity;  /* with PN_OK: whose token it is */
	/* With PN_DENIED, for the client (RFC 7628 section 3.2.2); clean text, or NULL. */
	const char *problem;       /* "invalid_token", "insufficient_scope" */
	const char *scope;         /* the scopes that are wanted, separated by spaces */
	const char *configuration; /* URL of the document that says where tokens come from */
};

struct pn_authentication {
	uint32_t struct_size;

	/*
	 * Is the secret right? PN_OK: yes; PN_DENIED: no; PN_NOT_FOUND: this module does not know
	 * the identity (having done the same work); PN_FAILED: could not be checked. May be NULL.
	 * Runs on a worker thread of the password pool (pn_assert_on_worker): may block, must
	 * not change the instance without a lock of its own.
	 */
	enum pn_status (*verify)(void *instance, const struct pn_credentials *credentials,
				 struct pn_error *error);

	/*
	 * What challenge-response mechanisms need, into the arena. "SCRAM-SHA-256" and
	 * "SCRAM-SHA-1": iterations, salt, stored key and server key, in either form that
	 * pn_scram_is_good() knows; "CRAM-MD5": the secret itself. PN_OK, PN_NOT_FOUND, PN_FAILED. May
	 * be NULL. On a worker thread too.
	 *
	 * An identity that is not known, or has no such verifier, must look like one that has: with
	 * PN_NOT_FOUND the module may hand out the verifier of somebody else. Its iterations and
	 * the size of its salt are shown to the client, nothing else of it, and no proof fits.
	 */
	enum pn_status (*verifier)(void *instance, struct pn_slice identity, const char *mechanism,
				   struct pn_arena *arena, struct pn_slice *verifier_out,
				   struct pn_error *error);

	/*
	 * Whether `verifier` has any for that mechanism by now: what nobody could use is not offered to
	 * clients, which would try nothing else. NULL: it has. Loop thread.
	 */
	bool (*offers)(void *instance, const char *mechanism);

	/*
	 * Is the token (credentials->secret) good, and whose is it? Answers the ticket, at once or later,
	 * with PN_ANSWER_CUSTOM and a struct pn_token_answer: PN_OK; PN_DENIED; PN_NOT_FOUND: it is
	 * not of those that this module judges; anything else: it could not be judged now. The
	 * credentials are good until it returns. May be NULL. Loop thread.
	 */
	void (*token)(void *instance, const struct pn_credentials *credentials,
		      struct pn_ticket ticket);
};

enum {
	PN_SCRAM_ITERATIONS_MIN = 4096, /* RFC 7677 section 4 */
	PN_SCRAM_ITERATIONS_MAX = 1000000,
	PN_SCRAM_ITERATIONS = 10000,    /* for new ones: half of it is the client's work */
};

PN_DECLARATIONS_BEGIN

/*
 * Verifiers of SCRAM, for modules that keep them. Two forms are known:
 *
 *	{SCRAM-SHA-256}iterations,salt,stored key,server key
 *	SCRAM-SHA-256$iterations:salt$stored key:server key       (RFC 5803)
 *
 * with SHA-1 in place of SHA-256 likewise, and all but the iterations in base64. Any thread.
 */

/* Whether the text is a verifier of that mechanism ("SCRAM-SHA-256", "SCRAM-SHA-1") in one of the
 * forms, within the limits above, with a salt of 8 to 64 bytes. */
bool pn_scram_is_good(const char *mechanism, struct pn_slice verifier);

/* Appends a verifier in the first form for a password, with a salt that is new. PN_OK; PN_DENIED: a
 * password cannot have these characters (RFC 4013), or the mechanism is none of the two; PN_LIMIT.
 * Takes its time. */
PN_MUST_CHECK enum pn_status pn_scram_make(const char *mechanism, struct pn_slice password,
					   uint32_t iterations, struct pn_buffer *out);

/* Does the password fit the verifier (as for PLAIN)? PN_OK, PN_DENIED. Takes its time. */
PN_MUST_CHECK enum pn_status pn_scram_verify(struct pn_slice verifier, struct pn_slice password);

PN_DECLARATIONS_END

#endif
