/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Login: from what a client says to an identity and an account. A login is one
 * attempt; it hangs on its session from its first message to its outcome. What a
 * mechanism's messages mean is in the sasl_*.c files; what all of them have in
 * common is here: the throttle, the hooks of auth.verify, the authentication
 * modules, the directory, account.route.
 *
 * A mechanism that has understood who wants in calls pn_login_ask(). Passwords and
 * tokens are judged from there on to the end. Where the mechanism judges by itself,
 * it is called back with a verifier; when the proof is right it calls
 * pn_login_prove(), else pn_login_end(). Loop thread.
 */
#ifndef CORE_STORE_LOGIN_H
#define CORE_STORE_LOGIN_H

#include <postern/authentication.h>
#include <postern/sasl.h>

#include "session/session.h"
#include "store/throttle.h"

enum {
	PN_LOGIN_SECRET_MAX = 1024,    /* of a password */
	PN_LOGIN_MESSAGE_MAX = 12288,  /* of a message of the client, decoded; a token is less */
	PN_LOGIN_KEY_SIZE = 32,
};

/* How a client proves itself, and so whom it takes to judge. */
enum pn_login_kind {
	PN_LOGIN_PASSWORD = 0, /* `verify` of the modules   */
	PN_LOGIN_VERIFIER,     /* the mechanism, with a `verifier` of theirs */
	PN_LOGIN_TOKEN,        /* `token` of the modules    */
	PN_LOGIN_CERTIFICATE,  /* nobody: TLS did. But who it is must have an account here, or a hook
	                        * of auth.verify accepts it: authorities vouch for strangers, too */
};

struct pn_mechanism;

struct pn_login {
	struct pn_session *session;           /* valid while its tickets are */
	struct pn_generation *generation;
	struct pn_arena *arena;
	struct pn_ticket ticket;              /* the protocol's, open while it waits */
	const struct pn_mechanism *mechanism; /* NULL: a name and a password in a command */
	void *exchange;                       /* the mechanism's own, wiped at the end */
	size_t exchange_size;
	bool waits_for_client;

	struct pn_credentials credentials;
	enum pn_login_kind kind;
	bool may_act;      /* for whom it wants to be: a hook has accepted that */
	struct pn_throttle_claim claim;

	/* VERIFIER and TOKEN: called when the modules have answered. */
	void (*answered)(struct pn_login *login);
	enum pn_status found;       /* of a verifier: PN_OK, PN_NOT_FOUND. Of a token: PN_DENIED */
	struct pn_slice verifier;   /* with both; "" where the modules have none to show */
	struct pn_token_answer token;

	size_t next_module;         /* of those that judge tokens */
	struct pn_ticket job_ticket;
	bool in_job;                /* a job uses it: whoever ends leaves it to the job */
	bool is_abandoned;          /* the session is gone */
	struct pn_error error;
};

/* A secret of this gateway, the same in every worker and after every start: what stands in for names
 * that nobody knows is made from it. */
extern uint8_t pn_login_key[PN_LOGIN_KEY_SIZE];

/* Reads it from the data directory, where it is made if it is not there. */
PN_MUST_CHECK enum pn_status pn_login_key_load(const char *data_directory, struct pn_error *error);

/* An attempt begins; one that the session still had is over. `exchange_size` bytes, zeroed, are the
 * mechanism's. */
struct pn_login *pn_login_new(struct pn_session *session, const char *name, size_t exchange_size);

/* The session's, or NULL. */
struct pn_login *pn_login_of(const struct pn_session *session);

/* The client is asked for its next message; the text goes out in base64. */
void pn_login_challenge(struct pn_login *login, struct pn_slice text);

/* It is over. `reply` may be NULL; `why` is for the history, "" for nothing. */
void pn_login_end(struct pn_login *login, enum pn_sasl_outcome outcome,
		  const struct pn_reply *reply, const char *why);

/* Who wants in. Everything is copied; the secret's copies are wiped. */
struct pn_login_claim {
	enum pn_login_kind kind;
	struct pn_slice identity;
	struct pn_slice authorization;
	struct pn_slice secret;
	void (*answered)(struct pn_login *login);
};
void pn_login_ask(struct pn_login *login, const struct pn_login_claim *claim);

/* The client has proven to be its identity. */
void pn_login_prove(struct pn_login *login);

/* Answers with an outcome where there is no attempt. */
void pn_login_answer(struct pn_ticket ticket, enum pn_sasl_outcome outcome);

#endif
