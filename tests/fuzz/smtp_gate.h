/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway around SMTP sessions, whole: the machine, the engine, tickets, logins,
 * transactions and the module are the real ones. Sockets and time are told_stream.h's;
 * hooks, DNS, jobs, tokens and the store answer what their manner says, now, or later
 * when they are told to, however long the session has been gone by then.
 */
#ifndef TESTS_FUZZ_SMTP_GATE_H
#define TESTS_FUZZ_SMTP_GATE_H

#include "../../modules/smtp/smtp.h"
#include "told_stream.h"

enum { GATE_CLIENTS = 8, GATE_HELD_MAX = 200 };

/* How the others behave, or'ed. */
enum gate_manner {
	GATE_HOOKS_WAIT = 1u << 0,
	GATE_HOOKS_ASK_DNS = 1u << 1, /* and answer when they know */
	GATE_DNS_WAITS = 1u << 2,
	GATE_JOBS_WAIT = 1u << 3,
	GATE_COMMITS_WAIT = 1u << 4,
	GATE_TOKENS_WAIT = 1u << 5,
	GATE_VERDICTS_VARY = 1u << 6, /* else all is continued and kept */
	GATE_IS_FULL = 1u << 7,
};

/* Who connected, and what it was told. */
struct gate_client {
	struct told_peer *peer;
	struct pn_buffer heard; /* everything */
	size_t line_start;      /* of its last line, in heard */
	size_t promises;        /* "accepted as" */
	bool began_in_clear;    /* it was told something before TLS */
};

struct gate {
	struct smtp_config config; /* it, directory_blocks, memory and handshakes are set before gate_connect */
	unsigned manner;
	bool directory_blocks;     /* it is asked in jobs */
	uint64_t memory;           /* of a message; more goes to the store as it comes */
	uint32_t handshakes;       /* under way at a time */
	uint64_t choices;          /* what chance draws from */
	struct gate_client clients[GATE_CLIENTS];
	size_t client_count;
	size_t held;               /* answers that somebody waits for, or did */
	size_t commits;            /* that were kept */
	uint64_t kept;             /* a digest of all bodies that were kept, in order */
};

extern struct gate gate;

/* All as new; manner and config are those of a quiet gateway. */
void gate_set_up(void);
/* As a worker ends: what is under way is given up, what is held is answered late. Fails where anything
 * is left. */
void gate_tear_down(void);

struct gate_client *gate_connect(bool has_tls, bool tls_at_once);
/* Gives one of the answers that are held; `is_good`: the one that was hoped for. */
void gate_answer(size_t index, bool is_good);
/* The worker stops: sessions are told, or ended. */
void gate_stop(void);
void gate_end(void);

#endif
