/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts: the certificates of a generation, chosen by SNI, and the one for
 * connections that we make. TLS 1.2 and up only. Loop thread.
 */
#ifndef CORE_IO_TLS_H
#define CORE_IO_TLS_H

#include <postern/error.h>
#include <postern/types.h>

struct pn_tls_server;
struct ssl_st;

struct pn_tls_certificate {
	const char *chain_path;
	const char *key_path;
	int key_descriptor; /* the key as the master opened it; -1: open key_path */
};

/*
 * Reads chains and keys. The first certificate is the default. PN_FAILED with a sentence that
 * names the file: unreadable, not PEM, key and certificate do not belong together, expired is only
 * logged. Free with pn_tls_server_free (counted by the sessions that use it).
 */
PN_MUST_CHECK enum pn_status pn_tls_server_new(const struct pn_tls_certificate *certificates,
					       size_t count, struct pn_tls_server **server_out,
					       struct pn_error *error);
void pn_tls_server_free(struct pn_tls_server **server);

/* A new connection state for stream.c. */
struct ssl_st *pn_tls_accept(struct pn_tls_server *server);
struct ssl_st *pn_tls_connect(const char *verify_name);

/* A connection that we make. What is NULL is not wanted. */
struct pn_tls_target {
	const char *verify_name;  /* host name or IP address that the certificate must be for */
	const char *server_name;  /* sent (SNI) where verify_name is NULL */
	const char *trusted_path; /* file of certificates to trust; NULL: the system's */
	const char *address;      /* sessions of it are resumed; NULL: none */
};

/* The same for a target. NULL where trusted_path cannot be read; pn_tls_error_text says why. */
struct ssl_st *pn_tls_connect_to(const struct pn_tls_target *target);

/* For tls_client.c: a context with what holds for both sides. */
struct ssl_ctx_st;
struct ssl_method_st;
struct ssl_ctx_st *pn_tls_context_new(const struct ssl_method_st *method);

/* Whether an error may be worth a retry, and its text from OpenSSL's queue. */
const char *pn_tls_error_text(char *room, size_t size);

#endif
