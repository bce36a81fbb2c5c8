/* SPDX-License-Identifier: Apache-2.0 */
/* SCRAM without its messages: see scram.h, and the end of <postern/authentication.h>. */
#include "store/scram.h"

#include <postern/text.h>

#include "mail/saslprep.h"

static const struct {
	const char *name;
	enum pn_digest_kind digest;
} mechanisms[] = {
	{"SCRAM-SHA-256", PN_DIGEST_SHA256},
	{"SCRAM-SHA-1", PN_DIGEST_SHA1},
};

static struct pn_slice bytes_of(const uint8_t *bytes, size_t size)
{
	return pn_slice_make((const char *)bytes, size);
}

const char *pn_scram_name(enum pn_digest_kind digest)
{
	return digest == PN_DIGEST_SHA1 ? "SCRAM-SHA-1" : "SCRAM-SHA-256";
}

bool pn_scram_digest(struct pn_slice name, enum pn_digest_kind *digest_out)
{
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
		if (pn_slice_equal_ignore_case(name, pn_slice_of(mechanisms[i].name))) {
			*digest_out = mechanisms[i].digest;
			return true;
		}
	}
	return false;
}

/* ---- what is kept ---- */

/* Base64 of at least `minimum` and at most `room_size` bytes. */
static bool decode(struct pn_slice text, uint8_t *room, size_t minimum, size_t room_size,
                   size_t *size_out)
{
	struct pn_buffer bytes;
	bool is_good;

	pn_buffer_init(&bytes, room_size);
	is_good = pn_base64_decode(&bytes, text) == PN_OK && bytes.size >= minimum;
	if (is_good) {
		memcpy(room, bytes.data, bytes.size);
		*size_out = bytes.size;
	}
	if (bytes.data != NULL)
		pn_wipe(bytes.data, bytes.size);
	pn_buffer_clear(&bytes);
	return is_good;
}

enum pn_status pn_scram_parse(struct pn_slice text, struct pn_scram_verifier *verifier_out)
{
	struct pn_scram_verifier verifier = {.iterations = 0};
	bool is_braced = text.size > 0 && text.data[0] == '{';
	struct pn_slice rest = is_braced ? pn_slice_behind(text, 1) : text;
	struct pn_slice name = pn_slice_cut(&rest, is_braced ? '}' : '$');
	struct pn_slice iterations = pn_slice_cut(&rest, is_braced ? ',' : ':');
	struct pn_slice salt = pn_slice_cut(&rest, is_braced ? ',' : '$');
	struct pn_slice stored_key = pn_slice_cut(&rest, is_braced ? ',' : ':');
	uint64_t count;
	size_t key_size;
	size_t size;

	if (!pn_scram_digest(name, &verifier.digest) ||
	    pn_parse_count(iterations, &count) != PN_OK || count < PN_SCRAM_ITERATIONS_MIN ||
	    count > PN_SCRAM_ITERATIONS_MAX)
		return PN_FAILED;
	key_size = pn_digest_size(verifier.digest);
	verifier.iterations = (uint32_t)count;
	if (!decode(salt, verifier.salt, PN_SCRAM_SALT_MIN, PN_SCRAM_SALT_MAX,
	            &verifier.salt_size) ||
	    !decode(stored_key, verifier.stored_key, key_size, key_size, &size) ||
	    !decode(rest, verifier.server_key, key_size, key_size, &size))
		return PN_FAILED;
	*verifier_out = verifier;
	return PN_OK;
}

/* RFC 5802 section 3: ClientKey, StoredKey and ServerKey. */
static void derive_keys(struct pn_scram_verifier *verifier, const uint8_t *salted)
{
	size_t size = pn_digest_size(verifier->digest);
	uint8_t client_key[PN_DIGEST_MAX];

	pn_hmac(verifier->digest, bytes_of(salted, size), PN_SLICE("Client Key"), client_key);
	pn_digest(verifier->digest, bytes_of(client_key, size), verifier->stored_key);
	pn_hmac(verifier->digest, bytes_of(salted, size), PN_SLICE("Server Key"),
	        verifier->server_key);
	pn_wipe(client_key, sizeof(client_key));
}

void pn_scram_derive(struct pn_scram_verifier *verifier, struct pn_slice password)
{
	uint8_t salted[PN_DIGEST_MAX];

	pn_pbkdf2(verifier->digest, password, bytes_of(verifier->salt, verifier->salt_size),
	          verifier->iterations, salted);
	derive_keys(verifier, salted);
	pn_wipe(salted, sizeof(salted));
}

void pn_scram_stand_in(struct pn_scram_verifier *verifier, struct pn_slice secret,
                       struct pn_slice name)
{
	uint8_t key[PN_DIGEST_MAX];
	uint8_t salt[2 * PN_DIGEST_MAX];

	if (verifier->iterations == 0)
		verifier->iterations = PN_SCRAM_ITERATIONS;
	if (verifier->salt_size == 0)
		verifier->salt_size = PN_SCRAM_SALT_SIZE;
	/* A key of the name, from which everything else is made: nothing tells one from the other.
	 */
	pn_hmac(PN_DIGEST_SHA256, secret, name, key);
	pn_hmac(PN_DIGEST_SHA256, bytes_of(key, sizeof(key)), PN_SLICE("salt"), salt);
	pn_hmac(PN_DIGEST_SHA256, bytes_of(key, sizeof(key)), PN_SLICE("more salt"),
	        salt + PN_DIGEST_MAX);
	memcpy(verifier->salt, salt, verifier->salt_size);
	pn_hmac(PN_DIGEST_SHA256, bytes_of(key, sizeof(key)), PN_SLICE("password"), salt);
	derive_keys(verifier, salt);
	pn_wipe(key, sizeof(key));
	pn_wipe(salt, sizeof(salt));
}

/* ---- what is proven ---- */

bool pn_scram_proof_fits(const struct pn_scram_verifier *verifier, struct pn_slice messages,
                         struct pn_slice proof)
{
	size_t size = pn_digest_size(verifier->digest);
	uint8_t client_key[PN_DIGEST_MAX];
	uint8_t digest[PN_DIGEST_MAX];
	bool fits;

	/* ClientKey is the proof without ClientSignature, and StoredKey is its digest. */
	pn_hmac(verifier->digest, bytes_of(verifier->stored_key, size), messages, client_key);
	for (size_t i = 0; i < size && i < proof.size; i++)
		client_key[i] ^= (uint8_t)proof.data[i];
	pn_digest(verifier->digest, bytes_of(client_key, size), digest);
	fits = proof.size == size &&
	       pn_equal_constant_time(bytes_of(digest, size), bytes_of(verifier->stored_key, size));
	pn_wipe(client_key, sizeof(client_key));
	return fits;
}

void pn_scram_server_signature(const struct pn_scram_verifier *verifier, struct pn_slice messages,
                               uint8_t signature_out[PN_DIGEST_MAX])
{
	pn_hmac(verifier->digest, bytes_of(verifier->server_key, pn_digest_size(verifier->digest)),
	        messages, signature_out);
}

/* ---- for modules ---- */

bool pn_scram_is_good(const char *mechanism, struct pn_slice verifier)
{
	struct pn_scram_verifier parsed;
	bool is_good = pn_scram_parse(verifier, &parsed) == PN_OK &&
	               strcmp(pn_scram_name(parsed.digest), mechanism) == 0;

	pn_wipe(&parsed, sizeof(parsed));
	return is_good;
}

enum pn_status pn_scram_verify(struct pn_slice text, struct pn_slice password)
{
	struct pn_scram_verifier verifier;
	struct pn_scram_verifier derived;
	struct pn_buffer prepared;
	bool is_proper;
	bool fits;

	if (pn_scram_parse(text, &verifier) != PN_OK)
		return PN_DENIED;
	derived = verifier;
	pn_buffer_init(&prepared, PN_SCRAM_PASSWORD_MAX);
	is_proper = pn_saslprep(password, &prepared) == PN_OK && prepared.size > 0;
	/* What no password can be costs the same as one that is wrong. */
	pn_scram_derive(&derived, is_proper ? pn_buffer_slice(&prepared) : PN_SLICE_NONE);
	fits = is_proper && pn_equal_constant_time(
				    bytes_of(derived.stored_key, pn_digest_size(verifier.digest)),
				    bytes_of(verifier.stored_key, pn_digest_size(verifier.digest)));
	if (prepared.data != NULL)
		pn_wipe(prepared.data, prepared.size);
	pn_buffer_clear(&prepared);
	pn_wipe(&verifier, sizeof(verifier));
	pn_wipe(&derived, sizeof(derived));
	return fits ? PN_OK : PN_DENIED;
}
