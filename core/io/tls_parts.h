/* SPDX-License-Identifier: Apache-2.0 */
/* What the files tls*.c share. */
#ifndef CORE_IO_TLS_PARTS_H
#define CORE_IO_TLS_PARTS_H

#include "io/tls.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>

enum { PN_TLS_DIGEST_SIZE = 32 };

struct pn_tls_server {
	SSL_CTX **contexts; /* one for each set of names; the first is the default */
	size_t count;
	unsigned char digest[PN_TLS_DIGEST_SIZE]; /* of the certificates, in their order */
	struct pn_tls_service *services;
};

/* tls.c: a context with what holds for both sides */
SSL_CTX *pn_tls_context_new(const SSL_METHOD *method);

/* tls.c: to read a file in PEM form from, also an empty one, which lives as long; and the passphrase
 * that such files are not protected with */
BIO *pn_tls_memory(struct pn_slice text);
int pn_tls_no_passphrase(char *room, int size, int is_writing, void *user);

/* tls_service.c: has every connection of the context know its service; and their end */
void pn_tls_service_prepare(SSL_CTX *context);
void pn_tls_service_free_all(struct pn_tls_service **services);

/* tls_resumption.c: lets sessions of the context be resumed for so long, if this process has keys */
void pn_tls_resumption_prepare(SSL_CTX *context, uint64_t lifetime_ms);

/* SHA-256 of several things, one after the other, each with its length before it. */
struct pn_tls_digest {
	EVP_MD_CTX *context;
};
void pn_tls_digest_begin(struct pn_tls_digest *digest);
void pn_tls_digest_add(struct pn_tls_digest *digest, const void *bytes, size_t size);
void pn_tls_digest_end(struct pn_tls_digest *digest, unsigned char out[PN_TLS_DIGEST_SIZE]);

#endif
