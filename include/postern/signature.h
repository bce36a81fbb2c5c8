/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and what they have signed, by the gateway's OpenSSL: for modules that judge tokens or mail. A key knows its one algorithm, and nothing that a stranger says about a
 * signature can make it another. Any thread.
 */
#ifndef POSTERN_SIGNATURE_H
#define POSTERN_SIGNATURE_H

#include <postern/buffer.h>
#include <postern/error.h>
#include <postern/types.h>

/* Algorithms, as JSON web signatures name them (RFC 7518 section 3.1, RFC 8037 section 3.1). */
enum pn_signature_algorithm {
	PN_SIGNATURE_NONE = 0, /* of no key */
	PN_SIGNATURE_RS256,    /* RSA with PKCS #1 v1.5 and SHA-256; 2,048 to 8,192 bits */
	PN_SIGNATURE_ES256,    /* ECDSA on P-256 with SHA-256; a signature is R and S, 32 bytes each */
	PN_SIGNATURE_EDDSA,    /* Ed25519 */
};

struct pn_public_key;
struct pn_private_key;

PN_DECLARATIONS_BEGIN

/* The first public key or certificate of a text in PEM form that begins at *text, which is moved
 * behind it. PN_OK; PN_NOT_FOUND: there is no more; PN_FAILED: it is damaged, or of another kind. */
PN_MUST_CHECK enum pn_status pn_public_key_read_pem(struct pn_slice *text,
						    struct pn_public_key **key_out,
						    struct pn_error *error);

/* From numbers, as keys in JSON have them (RFC 7518 section 6), big end first. */
PN_MUST_CHECK enum pn_status pn_public_key_rsa(struct pn_slice modulus, struct pn_slice exponent,
					       struct pn_public_key **key_out,
					       struct pn_error *error);
PN_MUST_CHECK enum pn_status pn_public_key_p256(struct pn_slice x, struct pn_slice y,
						struct pn_public_key **key_out,
						struct pn_error *error);
PN_MUST_CHECK enum pn_status pn_public_key_ed25519(struct pn_slice bytes,
						   struct pn_public_key **key_out,
						   struct pn_error *error);

/* An RSA key in DER, as SubjectPublicKeyInfo (RFC 5280) or RSAPublicKey (RFC 8017), of `least_bits` (at
 * least 1,024) to 8,192 bits: those of DKIM may be shorter than others. */
PN_MUST_CHECK enum pn_status pn_public_key_rsa_der(struct pn_slice bytes, unsigned least_bits,
						   struct pn_public_key **key_out,
						   struct pn_error *error);

/* Sets *key to NULL; NULL inside is fine. */
void pn_public_key_free(struct pn_public_key **key);

enum pn_signature_algorithm pn_public_key_algorithm(const struct pn_public_key *key);

/* Whether the key has signed these bytes. Some ten to a hundred microseconds. */
bool pn_public_key_verify(const struct pn_public_key *key, struct pn_slice bytes,
			  struct pn_slice signature);

/* SHA-256 of the bytes. */
void pn_sha256(struct pn_slice bytes, uint8_t digest_out[32]);

/* ---- keys of our own ---- */

/* An RSA (1,024 to 8,192 bits) or Ed25519 key of a text in PEM form. PN_FAILED: there is none, it is of
 * another kind, or has a passphrase: nobody is asked. */
PN_MUST_CHECK enum pn_status pn_private_key_read_pem(struct pn_slice text,
						     struct pn_private_key **key_out,
						     struct pn_error *error);

/* A new one: PN_SIGNATURE_RS256 with so many bits (1,024 to 8,192), or PN_SIGNATURE_EDDSA. RSA takes up to
 * seconds: a job, or a tool. PN_FAILED: of another kind, of another size. */
PN_MUST_CHECK enum pn_status pn_private_key_new(enum pn_signature_algorithm algorithm,
						unsigned bits, struct pn_private_key **key_out,
						struct pn_error *error);

/* Appends it in PEM form (PKCS #8), which its caller wipes. PN_OK, PN_LIMIT, PN_FAILED. */
PN_MUST_CHECK enum pn_status pn_private_key_write_pem(const struct pn_private_key *key,
						      struct pn_buffer *out);

/* Appends its public half as records publish it: SubjectPublicKeyInfo in DER for RSA (RFC 6376 section
 * 3.6.1), the 32 bytes for Ed25519 (RFC 8463 section 4). PN_OK, PN_LIMIT, PN_FAILED. */
PN_MUST_CHECK enum pn_status pn_private_key_public(const struct pn_private_key *key,
						   struct pn_buffer *out);

/* Sets *key to NULL; NULL inside is fine. */
void pn_private_key_free(struct pn_private_key **key);

/* PN_SIGNATURE_RS256 or PN_SIGNATURE_EDDSA. */
enum pn_signature_algorithm pn_private_key_algorithm(const struct pn_private_key *key);

/* Appends the signature of these bytes. RSA takes a millisecond and more: a job. PN_OK, PN_LIMIT, PN_FAILED. */
PN_MUST_CHECK enum pn_status pn_private_key_sign(const struct pn_private_key *key,
						 struct pn_slice bytes, struct pn_buffer *out,
						 struct pn_error *error);

PN_DECLARATIONS_END

#endif
