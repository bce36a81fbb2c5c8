/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transaction from the inside: see <postern/transaction.h>. It owns an arena in
 * which everything of it lives, and hangs on its session until it was accepted or
 * given up; pn_transaction_end is the one way to end it. Loop thread.
 */
#ifndef CORE_DELIVERY_TRANSACTION_H
#define CORE_DELIVERY_TRANSACTION_H

#include <postern/buffer.h>
#include <postern/store.h>
#include <postern/transaction.h>

#include "session/engine.h"
#include "session/session.h"
#include "store/account.h"
#include "store/directory.h"

enum { PN_TRANSACTION_MAGIC = 0x7a51ac71, PN_MAX_EDITS = 1000, PN_MAX_FACTS = 1000 };

struct pn_recipient {
	struct pn_transaction *transaction;
	struct pn_recipient *next;
	struct pn_address original;
	struct pn_address address;
	const struct pn_parameter *parameters;
	size_t parameter_count;
	const struct pn_lookup_account *accounts; /* served here */
	size_t account_count;
	struct pn_slice mailbox;
	struct pn_slice flags;
	struct pn_stage_result result;
	bool is_settled;  /* no further stage is asked for it */
	bool is_disposed; /* accepted, and recorded instead of stored: discard */
	uint64_t uid;     /* the first it got */
	size_t first_mutation;
	size_t redirects;
};

/* One line of the journal of edits. */
struct pn_edit {
	enum { PN_EDIT_ADD, PN_EDIT_REMOVE, PN_EDIT_REPLACE } kind;
	struct pn_slice name;
	size_t index;          /* of the field in the header as received */
	struct pn_slice field; /* written out: "Name: value" CRLF */
};

struct pn_fact {
	struct pn_slice key;
	struct pn_slice value;
	struct pn_fact *next;
};

struct pn_score {
	const char *name;
	double score;
	struct pn_score *next;
};

/* Where the pipeline stands; in this order. */
enum pn_accept_step {
	PN_STEP_HEADERS = 0,
	PN_STEP_HOPS,
	PN_STEP_SCAN,
	PN_STEP_DECIDE,
	PN_STEP_RECIPIENT_DECIDE,
	PN_STEP_CHANGE,
	PN_STEP_ROUTE,
	PN_STEP_MAILBOX,
	PN_STEP_RESOLVE,
	PN_STEP_COMMIT,
	PN_STEP_OBSERVE,
	PN_STEP_ANSWER,
};

struct pn_transaction {
	uint32_t magic;
	char id[PN_ID_SIZE];
	struct pn_arena *arena;
	struct pn_session *session;
	struct pn_generation *generation;
	int64_t started_wall_ms;

	struct pn_address sender;
	const struct pn_parameter *parameters;
	size_t parameter_count;
	struct pn_recipient *recipients; /* accepted ones */
	struct pn_recipient **last_recipient;
	size_t recipient_count;
	size_t refused_count;

	uint64_t max_size;
	bool answers_per_recipient;
	const char *trace_word;

	/* The message as received. */
	struct pn_buffer text;   /* its beginning: the header, and the body as far as memory goes */
	uint64_t size;           /* all of it */
	size_t header_searched;
	size_t header_size;      /* 0 until the header is whole */
	bool header_too_large;
	bool header_asked;       /* message.headers ran */
	struct pn_header header;
	bool has_header;

	/* What does not fit in memory goes to the store as it comes. */
	struct pn_account *writer_account;
	struct pn_body_writer *writer;
	size_t written;          /* bytes of text that the writer has already */
	struct pn_buffer overflow; /* bytes on their way to the writer */
	bool writer_failed;

	/* Edits, facts, scores. */
	struct pn_edit *edits;
	size_t edit_count;
	size_t edit_capacity;
	struct pn_fact *facts;
	struct pn_fact *notes;
	size_t fact_count;
	struct pn_score *scores;
	double score;

	/* Judging. */
	enum pn_accept_step step;
	struct pn_recipient *at; /* the recipient a step is about */
	bool is_advancing;
	bool goes_on;
	struct pn_stage_result result; /* for the message as a whole */
	struct pn_ticket answer_ticket;
	struct pn_ticket body_ticket;
	struct pn_trail trail;
	bool was_submitted;
	bool was_accepted;
	struct pn_commit *commit;
};

/* transaction.c: a new one for the session, in place of any other */
struct pn_transaction *pn_transaction_new(struct pn_session *session);

/* transaction.c: the first recipient that is served here, or NULL. Those in front of it were accepted
 * to be discarded and may have no account. */
const struct pn_recipient *pn_transaction_first_local(const struct pn_transaction *transaction);

/* transaction.c: a question to the hooks of a stage about it */
struct pn_stage_request pn_transaction_stage(struct pn_transaction *transaction,
					     enum pn_stage stage);

/* envelope.c */
void pn_recipient_refuse(struct pn_recipient *recipient, enum pn_verdict verdict, unsigned code,
			 const char *enhanced, const char *text);

/* message.c */
const struct pn_journal *pn_transaction_journal(void);
void pn_transaction_ask_headers(struct pn_transaction *transaction, pn_stage_done_function *done);
/* The header with all edits applied, into `out`. */
PN_MUST_CHECK enum pn_status pn_transaction_write_header(struct pn_transaction *transaction,
							 struct pn_buffer *out);

/* trace.c: Return-Path and Received (RFC 5321 section 4.4) */
PN_MUST_CHECK enum pn_status pn_trace_write(const struct pn_transaction *transaction,
					    struct pn_buffer *out);

/* body.c */
enum pn_next pn_body_overflow(struct pn_transaction *transaction, struct pn_slice bytes,
			      enum pn_next next);
/* Sends the rest to the writer, then calls `done`. At once where there is no writer. */
void pn_body_finish(struct pn_transaction *transaction, void (*done)(struct pn_transaction *));
void pn_body_discard(struct pn_transaction *transaction);

/* deposit.c: the one commit; calls back into the pipeline through pn_accept_committed */
void pn_deposit(struct pn_transaction *transaction);
void pn_accept_committed(struct pn_transaction *transaction);

/* record.c: the event of a transaction that ended */
void pn_transaction_record(struct pn_transaction *transaction);

#endif
