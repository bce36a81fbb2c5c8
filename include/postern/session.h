/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session: one connection, from accept or connect to close, whatever protocol
 * it speaks. This header is what hooks and protocols may ask of it; how a
 * protocol runs one is in protocol.h. Loop thread only. Text that is returned
 * lives as long as the session unless a comment says otherwise; what a client or
 * the network sent is a stranger's text, and may hold any byte.
 */
#ifndef POSTERN_SESSION_H
#define POSTERN_SESSION_H

#include <postern/log.h>
#include <postern/types.h>

PN_DECLARATIONS_BEGIN

/* 20 lower-case letters and digits, unguessable, without order; unique. */
const char *pn_session_id(const struct pn_session *session);

/* The protocol's name ("smtp"), the instance's ("mx"), and the listener's ("0.0.0.0:25"). */
const char *pn_session_protocol(const struct pn_session *session);
const char *pn_session_instance_name(const struct pn_session *session);
const char *pn_session_listener(const struct pn_session *session);

/* Instance data: what start() made, and the configuration this session began with. */
void *pn_session_instance(const struct pn_session *session);
const void *pn_session_config(const struct pn_session *session);

/* The gateway's name in the world (`hostname` in the configuration file). */
const char *pn_session_hostname(const struct pn_session *session);

/* The client: address without port ("192.0.2.1", "2001:db8::1", "unix"), and port. */
const char *pn_session_peer(const struct pn_session *session);
uint16_t pn_session_peer_port(const struct pn_session *session);
bool pn_session_peer_is_loopback(const struct pn_session *session);

/* TLS. Version and cipher are "" without it; the server name (SNI) is "" where none was sent. */
bool pn_session_is_encrypted(const struct pn_session *session);
const char *pn_session_tls_version(const struct pn_session *session);
const char *pn_session_tls_cipher(const struct pn_session *session);
const char *pn_session_tls_server_name(const struct pn_session *session);

/* The certificate that a client showed: listeners ask for it where their configuration says so. */
struct pn_client_certificate {
	uint32_t struct_size;
	bool is_verified;        /* an authority of the listener vouches for it, today and for clients */
	const char *problem;     /* why it is not, for people to read; or "" */
	const char *fingerprint; /* SHA-256 of the certificate: 64 lower-case hexadecimal digits */
	const char *subject;     /* distinguished names (RFC 4514) in printable ASCII, the rest escaped, */
	const char *issuer;      /* cut after 1,024 bytes */
	const char *name;        /* its first mail address, else its common name; "" where that has spaces or
				  * control characters. Proves nothing unless is_verified. */
};

/* NULL where there is none: without TLS, or none was asked for or shown. */
const struct pn_client_certificate *
pn_session_client_certificate(const struct pn_session *session);

/* Whether START_TLS can be offered: there is a certificate, and no TLS yet. */
bool pn_session_can_start_tls(const struct pn_session *session);

/* Whether the client spoke before it was greeted, and how many of its commands came although its
 * protocol wanted it to wait for an answer. */
bool pn_session_is_early_talker(const struct pn_session *session);
uint32_t pn_session_unauthorised_pipelining(const struct pn_session *session);

/* The name given in EHLO or ID. The protocol sets it before it asks client.hello. */
struct pn_slice pn_session_hello(const struct pn_session *session);
void pn_session_set_hello(struct pn_session *session, struct pn_slice name);

/* Who authenticated ("alice@example.org"), or the empty slice. */
struct pn_slice pn_session_identity(const struct pn_session *session);

/* The authenticated account, for store.h; NULL before login. */
const struct pn_account *pn_session_account(const struct pn_session *session);

/* The open transaction, or NULL. */
struct pn_transaction *pn_session_transaction(const struct pn_session *session);

/* Number of the worker that runs it; for banners in tests and for the log. */
unsigned pn_session_worker(const struct pn_session *session);

/* How many sessions the peer's address has open in all workers, this one included. */
uint32_t pn_session_peer_count(const struct pn_session *session);

/* Memory that lives as long as the session. Charge it with small, bounded things. */
struct pn_arena *pn_session_arena(struct pn_session *session);

/* A note: a key and a value that hooks of this session share. The empty slice where there is none. */
void pn_session_set_note(struct pn_session *session, struct pn_slice key, struct pn_slice value);
struct pn_slice pn_session_note(const struct pn_session *session, struct pn_slice key);

/* A log line about this session (level info); carries its id. */
void pn_session_log(struct pn_session *session, const char *format, ...) PN_PRINTF(2, 3);

/* An event that carries the session's id, protocol, peer and identity. */
struct pn_event *pn_session_event(struct pn_session *session, enum pn_log_level level,
				  const char *what);

PN_DECLARATIONS_END

#endif
