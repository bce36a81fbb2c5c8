/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of SCRAM (RFC 5802 section 3, RFC 7677): what a server keeps of a
 * password, whether a proof fits it, and the signature that proves the server in
 * turn. The messages are in sasl_scram.c. Pure, any thread.
 */
#ifndef CORE_STORE_SCRAM_H
#define CORE_STORE_SCRAM_H

#include <postern/authentication.h>

#include "io/digest.h"

enum {
	PN_SCRAM_SALT_MIN = 8,
	PN_SCRAM_SALT_MAX = 64,
	PN_SCRAM_SALT_SIZE = 16, /* of new ones */
	PN_SCRAM_PASSWORD_MAX = 4096,
};

struct pn_scram_verifier {
	enum pn_digest_kind digest;
	uint32_t iterations;
	uint8_t salt[PN_SCRAM_SALT_MAX];
	size_t salt_size;
	uint8_t stored_key[PN_DIGEST_MAX];
	uint8_t server_key[PN_DIGEST_MAX];
};

/* "SCRAM-SHA-256", and back; false where there is no such mechanism. */
const char *pn_scram_name(enum pn_digest_kind digest);
bool pn_scram_digest(struct pn_slice name, enum pn_digest_kind *digest_out);

/* Reads either form. PN_OK; PN_FAILED: it is none, or breaks a limit. */
PN_MUST_CHECK enum pn_status pn_scram_parse(struct pn_slice text,
					    struct pn_scram_verifier *verifier_out);

/* Fills in the keys for a prepared password, from digest, salt and iterations. Takes its time. */
void pn_scram_derive(struct pn_scram_verifier *verifier, struct pn_slice password);

/*
 * The verifier of a name that has none: always the same for a name and a secret of the gateway, and
 * nobody knows a password that fits. Iterations and size of the salt are as in *verifier; where it has
 * none, usual ones are put there.
 */
void pn_scram_stand_in(struct pn_scram_verifier *verifier, struct pn_slice secret,
		       struct pn_slice name);

/* Whether the proof (of the digest's size) is one of a client that knows the password. */
bool pn_scram_proof_fits(const struct pn_scram_verifier *verifier, struct pn_slice messages,
			 struct pn_slice proof);

void pn_scram_server_signature(const struct pn_scram_verifier *verifier, struct pn_slice messages,
			       uint8_t signature_out[PN_DIGEST_MAX]);

#endif
