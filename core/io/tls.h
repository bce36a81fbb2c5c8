/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts: the certificates of a generation, chosen by SNI, what each service wants
 * of its clients, and the contexts of connections that we make. TLS 1.2 and up only. Loop thread,
 * but for what says otherwise.
 */
#ifndef CORE_IO_TLS_H
#define CORE_IO_TLS_H

#include <postern/arena.h>
#include <postern/error.h>
#include <postern/session.h>
#include <postern/types.h>

#include <stdatomic.h>

struct pn_tls_server;
struct pn_tls_service;
struct ssl_st;

struct pn_tls_certificate {
	const char *chain_path;
	const char *key_path;
	int key_descriptor; /* the key as the master opened it; -1: open key_path */
};

/*
 * Reads chains and keys. The first certificate is the default; two for the same names whose keys
 * are of different kinds (RSA and EC) are offered together, and the client takes what it knows.
 * Sessions can be resumed for `lifetime_ms`. PN_FAILED with a sentence that names the file: unreadable,
 * not PEM, key and certificate do not belong together, expired is only logged. Free with
 * pn_tls_server_free; the generation that it belongs to is counted by the sessions that use it.
 */
PN_MUST_CHECK enum pn_status pn_tls_server_new(const struct pn_tls_certificate *certificates,
					       size_t count, uint64_t lifetime_ms,
					       struct pn_tls_server **server_out,
					       struct pn_error *error);
void pn_tls_server_free(struct pn_tls_server **server);

/* ---- services ---- */

enum pn_tls_client_certificates {
	PN_TLS_CLIENT_NEVER = 0, /* not asked for */
	PN_TLS_CLIENT_REQUESTED, /* any is taken, or none: what it proves is told */
	PN_TLS_CLIENT_REQUIRED,  /* no connection without one that the authorities vouch for */
};

/* One service: an instance of a protocol, and what it wants of its clients. */
struct pn_tls_service_settings {
	const char *name; /* of the instance */
	enum pn_tls_client_certificates client_certificates;
	const char *authorities_path; /* PEM file of those who may vouch for clients; or NULL: nobody */
	const char *const *protocol_names; /* that clients may ask for (see pn_protocol); or NULL: any. They
					    * live as long as the server. */
};

/*
 * Adds a service. A TLS session of one can be resumed with the same one only: with this name, these
 * certificates and keys, these authorities, and the server name that the client asked for. Lives as long
 * as the server. Without a server only the file is looked at, and *service_out is NULL. PN_FAILED with a
 * sentence that names the file.
 */
PN_MUST_CHECK enum pn_status pn_tls_service_add(struct pn_tls_server *server,
						const struct pn_tls_service_settings *settings,
						struct pn_tls_service **service_out,
						struct pn_error *error);

/* A new connection state for stream.c. */
struct ssl_st *pn_tls_accept(struct pn_tls_service *service);
struct ssl_st *pn_tls_connect(const char *verify_name);

/* What the certificate says that the peer of this connection, a client, showed in its handshake; NULL
 * where it showed none. In the arena. */
const struct pn_client_certificate *pn_tls_client_certificate(const struct ssl_st *ssl,
							      struct pn_arena *arena);

/* ---- resumption ---- */

enum { PN_TLS_RESUMPTION_KEYS = 2, PN_TLS_RESUMPTION_WORDS = 10 };

/*
 * The keys that seal what a client keeps of its TLS session (RFC 5077, RFC 8446 section 4.6.1): in memory
 * that all workers share, so that it may come back to any of them. The master makes a new one as
 * often as a session lives; the one before is good until the next time.
 */
struct pn_tls_resumption {
	_Atomic uint32_t version; /* odd while they are being written; 0: there are none */
	_Atomic uint64_t keys[PN_TLS_RESUMPTION_KEYS][PN_TLS_RESUMPTION_WORDS]; /* the newest first */
};

/* A new key; the newest becomes the one before. Master, its only writer. Needs nothing of OpenSSL. */
void pn_tls_resumption_turn(struct pn_tls_resumption *resumption);

/* Where this process finds them, once, before the first server; without them no session is resumed. */
void pn_tls_resumption_use(const struct pn_tls_resumption *resumption);

/* ---- connections that we make ---- */

/* A connection that we make. What is NULL is not wanted. */
struct pn_tls_target {
	const char *verify_name;  /* host name or IP address that the certificate must be for */
	const char *server_name;  /* sent (SNI) where verify_name is NULL */
	const char *trusted_path; /* file of certificates to trust; NULL: the system's */
	const char *address;      /* sessions of it are resumed; NULL: none */
};

/* The same for a target. NULL where trusted_path cannot be read; pn_tls_error_text says why. */
struct ssl_st *pn_tls_connect_to(const struct pn_tls_target *target);

/* Whether an error may be worth a retry, and its text from OpenSSL's queue. */
const char *pn_tls_error_text(char *room, size_t size);

#endif
