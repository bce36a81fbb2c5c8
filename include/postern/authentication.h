/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Authentication modules: they know whether a secret is right. They are asked in
 * the order of the configuration until one knows the identity.
 */
#ifndef POSTERN_AUTHENTICATION_H
#define POSTERN_AUTHENTICATION_H

#include <postern/arena.h>
#include <postern/error.h>
#include <postern/types.h>

/* One attempt, as the hooks of auth.verify see it (call->subject). */
struct pn_credentials {
	uint32_t struct_size;
	const char *mechanism;    /* "PLAIN", "LOGIN", "PASSWORD" (USER/PASS) … */
	struct pn_slice identity; /* who wants in: lower case, with its domain   */
	struct pn_slice authorization; /* who it wants to be; "" for the same     */
	struct pn_slice secret;   /* the password, or "" where the mechanism has none */
	uint32_t failures;        /* of this session so far */
};

struct pn_authentication {
	uint32_t struct_size;

	/*
	 * Is the secret right? PN_OK: yes; PN_DENIED: no; PN_NOT_FOUND: this module does not know
	 * the identity (having done the same work); PN_FAILED: could not be checked.
	 * Runs on a worker thread of the password pool (pn_assert_on_worker): may block, must
	 * not change the instance without a lock of its own.
	 */
	enum pn_status (*verify)(void *instance, const struct pn_credentials *credentials,
				 struct pn_error *error);

	/*
	 * What challenge-response mechanisms need ("SCRAM-SHA-256"): salt, iterations, stored and
	 * server key in the form of RFC 5803, into the arena. PN_OK, PN_NOT_FOUND, PN_FAILED. May
	 * be NULL. On a worker thread too.
	 */
	enum pn_status (*verifier)(void *instance, struct pn_slice identity, const char *mechanism,
				   struct pn_arena *arena, struct pn_slice *verifier_out,
				   struct pn_error *error);
};

#endif
