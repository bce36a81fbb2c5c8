/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of small things, for comparing files, naming clients and proving secrets. Any thread. */
#ifndef CORE_IO_DIGEST_H
#define CORE_IO_DIGEST_H

#include <postern/types.h>

#define PN_SHA256_HEX_SIZE 65

void pn_sha256_hex(struct pn_slice bytes, char hex_out[PN_SHA256_HEX_SIZE]);

/* SHA-1 and MD5 are for mechanisms of old that ask for them. */
enum pn_digest_kind {
	PN_DIGEST_SHA256 = 0,
	PN_DIGEST_SHA1,
	PN_DIGEST_MD5,
};

enum { PN_DIGEST_MAX = 32 };

/* Size in bytes of what the functions below write. */
size_t pn_digest_size(enum pn_digest_kind kind);

void pn_digest(enum pn_digest_kind kind, struct pn_slice bytes, uint8_t out[PN_DIGEST_MAX]);
void pn_hmac(enum pn_digest_kind kind, struct pn_slice key, struct pn_slice bytes,
	     uint8_t out[PN_DIGEST_MAX]);

/* PBKDF2 with HMAC (RFC 8018 section 5.2), one block of it. Takes its time: not on the loop. */
void pn_pbkdf2(enum pn_digest_kind kind, struct pn_slice secret, struct pn_slice salt,
	       uint32_t iterations, uint8_t out[PN_DIGEST_MAX]);

/* Overwrites secrets in a way that the compiler keeps. */
void pn_wipe(void *bytes, size_t size);

#endif
