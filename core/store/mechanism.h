/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SASL mechanism (RFC 4422): a constant row, and a file for its messages. The table
 * of them is in sasl.c. Loop thread.
 */
#ifndef CORE_STORE_MECHANISM_H
#define CORE_STORE_MECHANISM_H

#include "store/login.h"

struct pn_mechanism {
	const char *name;     /* on the wire */
	const char *verifier; /* what modules know it as; NULL: its name */
	enum pn_login_kind kind;
	bool gives_secret_away; /* to whoever reads the wire: under TLS only, or by option */
	bool server_begins;     /* then an initial response is a mistake (RFC 4954 section 4) */
	size_t exchange_size;

	/* Whether it can be offered to this session, beyond what its kind needs; NULL: it can. */
	bool (*is_possible)(const struct pn_session *session);

	/* The first challenge, where there is no initial response; NULL: the empty one. */
	void (*begin)(struct pn_login *login);

	/* A message of the client, decoded: answered by a challenge, the end, or pn_login_ask. */
	void (*take)(struct pn_login *login, struct pn_slice message);
};

extern const struct pn_mechanism pn_mechanism_plain;
extern const struct pn_mechanism pn_mechanism_login;
extern const struct pn_mechanism pn_mechanism_scram_sha_256;
extern const struct pn_mechanism pn_mechanism_scram_sha_256_plus;
extern const struct pn_mechanism pn_mechanism_scram_sha_1;
extern const struct pn_mechanism pn_mechanism_scram_sha_1_plus;
extern const struct pn_mechanism pn_mechanism_cram_md5;
extern const struct pn_mechanism pn_mechanism_oauthbearer;
extern const struct pn_mechanism pn_mechanism_xoauth2;
extern const struct pn_mechanism pn_mechanism_external;

/* Whether a mechanism is on offer to this session. */
bool pn_mechanism_is_offered(const struct pn_session *session,
			     const struct pn_mechanism *mechanism);

/* A saslname (RFC 5801 section 4): "=2C" and "=3D" stand for "," and "=", and no other "=" is there.
 * False where it is none, is empty, or is longer than a name can be. Into the login's arena. */
bool pn_mechanism_read_name(struct pn_login *login, struct pn_slice text, struct pn_slice *name_out);

#endif
