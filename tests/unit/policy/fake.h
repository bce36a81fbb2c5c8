/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world for hooks without a gateway around it: sessions and messages as plain
 * structs, tickets and DNS answers that the test delivers, a clock that it moves.
 * It stands in for what core/session and core/io define.
 */
#ifndef TESTS_UNIT_POLICY_FAKE_H
#define TESTS_UNIT_POLICY_FAKE_H

#include <postern/arena.h>
#include <postern/buffer.h>
#include <postern/dns.h>
#include <postern/header.h>
#include <postern/stage.h>
#include <postern/transaction.h>

#include "policy/policy.h"

enum { FAKE_RECIPIENTS = 8, FAKE_PAIRS = 64, FAKE_EDITS = 64 };

struct fake_pair {
	char *key;
	char *value;
};

struct pn_session {
	const char *id, *protocol, *instance, *listener, *hostname, *peer, *hello, *identity;
	const char *tls_version, *tls_cipher, *tls_server_name;
	uint16_t port;
	uint32_t peer_count;
	bool is_encrypted, is_loopback, is_early_talker;
	uint32_t unauthorised_pipelining;
	const struct pn_client_certificate *certificate;
	struct fake_pair notes[FAKE_PAIRS];
	struct pn_transaction *transaction;
};

struct pn_recipient {
	struct pn_address address, original;
	const char *account, *mailbox, *flags;
	bool is_local;
	char room[512];
	char route[512];   /* pn_route_format */
	char targets[512]; /* with spaces between */
};

struct pn_transaction {
	const char *id;
	struct pn_address sender;
	struct pn_recipient recipients[FAKE_RECIPIENTS];
	size_t recipient_count;
	const char *text; /* the message; NULL before there is one */
	struct pn_header header;
	double score;
	struct fake_pair facts[FAKE_PAIRS];
	char edits[FAKE_EDITS][256]; /* "add X-Spam: yes" */
	size_t edit_count;
	const char *tenant; /* or NULL */
	uint32_t priority;
	int64_t release_ms;
	uint64_t lifetime_ms;
};

/* One call of a hook and what became of it. */
struct fake_call {
	struct pn_stage_call call; /* first: the gateway's functions find the rest by it */
	struct pn_arena *arena;
	enum pn_verdict verdict; /* returned or answered; PENDING while it waits */
	bool was_answered;
	struct pn_reply reply;
	char argument[256];
	char failure[512];
};

/* Forgets everything. Call it first. */
void fake_reset(void);

/* A session and a transaction with usual values, until the next reset. */
struct pn_session *fake_session(void);
struct pn_transaction *fake_transaction(void);
struct pn_address fake_address(const char *text);
struct pn_recipient *fake_add_recipient(struct pn_transaction *transaction, const char *address);
void fake_set_message(struct pn_transaction *transaction, const char *text);

/* What the loop has to do at the top of its next turn. */
void fake_turn(void);

/* Runs a hook in this turn of the loop. The call is freed at reset. */
struct fake_call *fake_run_now(const struct pn_policy_hook *hook, struct pn_session *session,
                               struct pn_transaction *transaction, struct pn_recipient *recipient,
                               const void *subject);

/* The same, and nobody else did anything in this turn or the one before. */
struct fake_call *fake_run(const struct pn_policy_hook *hook, struct pn_session *session,
                           struct pn_transaction *transaction, struct pn_recipient *recipient,
                           const void *subject);

/* The session (or the stage) goes on without the hook: its ticket is stale, its memory gone. */
void fake_abandon(struct fake_call *call);

/* What DNS says. `value` NULL and `outcome` not FOUND: no records. */
void fake_dns(const char *name, enum pn_dns_type type, enum pn_dns_outcome outcome,
              const char *value, unsigned priority);

/* Delivers the answers that are there; then time passes, and deadlines with it. How many. */
size_t fake_deliver(void);
void fake_advance(uint64_t milliseconds);

size_t fake_open_tickets(void);

/* A cache without a memory. */
const struct pn_instance_use *fake_cache(void);
size_t fake_questions(void);

/* Lines of log since the reset, one after the other: "level script text\n". */
const char *fake_log(void);

/* "reject 550 5.7.1 text", "continue", "failed: …": a call in one line. In `room`. */
const char *fake_outcome(const struct fake_call *call, char *room, size_t size);

#endif
