/* SPDX-License-Identifier: Apache-2.0 */
/* Digests, by OpenSSL. */
#include "io/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
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

void pn_wipe(void *bytes, size_t size)
{
	OPENSSL_cleanse(bytes, size);
}
