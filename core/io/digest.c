/* SPDX-License-Identifier: Apache-2.0 */
/* Digests, by OpenSSL. */
#include "io/digest.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

void pn_sha256_hex(struct pn_slice bytes, char hex_out[PN_SHA256_HEX_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[32];
	unsigned int size = sizeof(digest);

	if (EVP_Digest(bytes.data, bytes.size, digest, &size, EVP_sha256(), NULL) != 1)
		abort();
	for (size_t i = 0; i < sizeof(digest); i++) {
		hex_out[2 * i] = digits[digest[i] >> 4];
		hex_out[2 * i + 1] = digits[digest[i] & 15];
	}
	hex_out[64] = '\0';
}

static const EVP_MD *method_of(enum pn_digest_kind kind)
{
	return kind == PN_DIGEST_MD5    ? EVP_md5()
	       : kind == PN_DIGEST_SHA1 ? EVP_sha1()
	                                : EVP_sha256();
}

size_t pn_digest_size(enum pn_digest_kind kind)
{
	return kind == PN_DIGEST_MD5 ? 16 : kind == PN_DIGEST_SHA1 ? 20 : 32;
}

void pn_digest(enum pn_digest_kind kind, struct pn_slice bytes, uint8_t out[PN_DIGEST_MAX])
{
	if (EVP_Digest(bytes.data, bytes.size, out, NULL, method_of(kind), NULL) != 1)
		abort();
}

void pn_hmac(enum pn_digest_kind kind, struct pn_slice key, struct pn_slice bytes,
             uint8_t out[PN_DIGEST_MAX])
{
	/* Without a key OpenSSL goes on with that of before. */
	const void *secret = key.size > 0 ? key.data : "";

	if (key.size > INT_MAX ||
	    HMAC(method_of(kind), secret, (int)key.size, (const unsigned char *)bytes.data,
	         bytes.size, out, NULL) == NULL)
		abort();
}

void pn_pbkdf2(enum pn_digest_kind kind, struct pn_slice secret, struct pn_slice salt,
               uint32_t iterations, uint8_t out[PN_DIGEST_MAX])
{
	const char *password = secret.size > 0 ? secret.data : "";

	if (secret.size > INT_MAX || salt.size > INT_MAX || iterations > INT_MAX ||
	    PKCS5_PBKDF2_HMAC(password, (int)secret.size, (const unsigned char *)salt.data,
	                      (int)salt.size, (int)iterations, method_of(kind),
	                      (int)pn_digest_size(kind), out) != 1)
		abort();
}

void pn_wipe(void *bytes, size_t size)
{
	OPENSSL_cleanse(bytes, size);
}
