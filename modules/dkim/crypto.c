/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of DNS and of our own at work: RSA (RFC 6376, 8301) and Ed25519 (RFC 8463). Any thread. */
#include "dkim.h"

enum { SIGNATURE_MAX = 2048 };

/* RFC 8463 section 3: what Ed25519 signs is the digest. */
static struct pn_slice signed_bytes(enum dkim_algorithm algorithm, struct pn_slice text,
                                    uint8_t digest[32])
{
	if (algorithm == DKIM_RSA_SHA256)
		return text;
	pn_sha256(text, digest);
	return pn_slice_make((const char *)digest, 32);
}

const char *dkim_verify_text(const struct dkim_key *key, struct pn_slice text,
                             struct pn_slice signature, bool *is_key_wrong_out)
{
	struct pn_public_key *public_key = NULL;
	uint8_t digest[32];
	enum pn_status status;
	bool is_right;

	status = key->algorithm == DKIM_RSA_SHA256
	                 ? pn_public_key_rsa_der(key->bytes, DKIM_BITS_LEAST, &public_key, NULL)
	                 : pn_public_key_ed25519(key->bytes, &public_key, NULL);
	*is_key_wrong_out = status != PN_OK;
	if (status != PN_OK)
		return key->algorithm == DKIM_RSA_SHA256
		               ? "the key is not one of RSA with 1024 to 8192 bits"
		               : "the key is not one of Ed25519";
	is_right = pn_public_key_verify(public_key, signed_bytes(key->algorithm, text, digest),
	                                signature);
	pn_public_key_free(&public_key);
	return is_right ? NULL : "the signature is not one of this key";
}

enum dkim_algorithm dkim_private_key_algorithm(const struct pn_private_key *key)
{
	return pn_private_key_algorithm(key) == PN_SIGNATURE_RS256 ? DKIM_RSA_SHA256
	                                                           : DKIM_ED25519_SHA256;
}

enum pn_status dkim_sign_text(const struct pn_private_key *key, struct pn_slice text,
                              struct pn_arena *arena, struct pn_slice *signature_out,
                              struct pn_error *error)
{
	struct pn_buffer out;
	uint8_t digest[32];
	enum pn_status status;

	pn_buffer_init(&out, SIGNATURE_MAX);
	status = pn_private_key_sign(
		key, signed_bytes(dkim_private_key_algorithm(key), text, digest), &out, error);
	if (status == PN_OK)
		*signature_out = pn_arena_keep(arena, pn_buffer_slice(&out));
	pn_buffer_clear(&out);
	return status == PN_LIMIT ? pn_fail(error, "the signature is too long") : status;
}
