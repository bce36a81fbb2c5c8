/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transaction from the inside: see <postern/transaction.h>. It owns an arena in
 * which everything of it lives, and hangs on its session until it was accepted or
 * given up; pn_transaction_end is the one way to end it. Loop thread.
 */
#ifndef CORE_DELIVERY_TRANSACTION_H
#define CORE_DELIVERY_TRANSACTION_H

#include <postern/buffer.h>
#include <postern/check.h>
#include <postern/mime.h>
#include <postern/route.h>
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
	const struct pn_route *route; /* as a hook set it; or NULL */
	size_t account_count;
	struct pn_slice mailbox;
	struct pn_slice flags;
	struct pn_stage_result result;
	bool is_settled;  /* no further stage is asked for it */
	bool is_disposed; /* accepted, and recorded instead of stored: discard */
	uint64_t uid;     /* the first it got */
	size_t first_mutation;
	size_t redirects;

	/* Where it goes from here. A recipient is a leaf where mail goes to it itself: it has accounts
	 * here, or is foreign. Others it was expanded to are its branches, each a leaf. */
	struct pn_recipient *root;     /* whose branch it is, or itself */
	struct pn_recipient *branches; /* linked by `next` */
	struct pn_recipient **last_branch;
	size_t branch_count;
	const struct pn_address *targets; /* it is to be expanded to these */
	size_t target_count;
	bool is_foreign;
	bool is_unknown;   /* of a domain of ours, whose directory does not know it */
	bool is_replaced;  /* its targets stand in its place */
	bool is_queued;    /* a row of the queue was put for it */
	bool is_held;
	const char *held_by; /* the hook, or NULL */
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
	PN_STEP_EXPAND,
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
	struct pn_mime_parser *parser; /* of what goes by; the message is too large for memory */

	/* Digests of the body: see checks.c. */
	struct pn_check_digest *digests; /* room for PN_DIGESTS_MAX */
	size_t digest_count;
	struct pn_body_digester *digester; /* while the body comes */
	size_t digested;          /* bytes of text that it has */
	struct pn_buffer undigested; /* what came behind them while hooks were asked what they want */
	bool misses_digests;      /* not all of it could be kept */
	bool body_has_begun;      /* too late to want another one */
	bool has_digests;         /* they are known */

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
	bool is_suspect;         /* it took down workers before: no hook is asked any more */
	struct pn_commit *commit;

	struct pn_instance *store; /* that the commit goes to */
	uint64_t stored_size;      /* of the body with our trace fields and all edits */
	size_t return_path_size;   /* of it: the first line, which no relay passes on */

	/* How it waits, if it has to. */
	struct pn_slice tenant;
	bool has_tenant;
	uint32_t priority;
	int64_t release_ms;
	uint64_t lifetime_ms;  /* 0: as the configuration says */
	struct pn_deliver_by by;
	bool requires_tls;
	struct pn_fact *origin; /* where it came from, once the session is gone; see restore.c */

	struct pn_owner_deposit *deposit; /* a message that its owner puts into a mailbox; or NULL */
};

/* transaction.c: a new one for the session, in place of any other */
struct pn_transaction *pn_transaction_new(struct pn_session *session);

/* transaction.c: a question to the hooks of a stage about it */
struct pn_stage_request pn_transaction_stage(struct pn_transaction *transaction,
					     enum pn_stage stage);

/* suspicion.c: says what is about to be looked at. True where it took down two workers before; the
 * whole message is held then. Once its header is known, once all of it is, and at its end. */
bool pn_suspicion_header(struct pn_transaction *transaction);
bool pn_suspicion_message(struct pn_transaction *transaction);
void pn_suspicion_end(const struct pn_transaction *transaction);

/* targets.c: leaves, in order: NULL first, NULL past the end. Those that were replaced are left out. */
struct pn_recipient *pn_leaf_next(const struct pn_transaction *transaction,
				  const struct pn_recipient *leaf);
/* Decides where the commit goes; the next two build on it. */
void pn_transaction_choose_store(struct pn_transaction *transaction);
/* Mail for this leaf is put into mailboxes by the accepting commit. */
bool pn_leaf_is_stored(const struct pn_recipient *leaf);
/* It waits in the queue: relayed, held, or for a store that is not home. */
bool pn_leaf_is_queued(const struct pn_recipient *leaf);
/* It is stored, and a row of the queue has that reported to the sender, who asked for it (RFC 3461
 * section 5.2.2): the row is there if and only if the message is. */
bool pn_leaf_is_reported(const struct pn_recipient *leaf);
/* A new branch for an address. */
struct pn_recipient *pn_recipient_branch(struct pn_recipient *root,
					 const struct pn_address *address);
/* Looks the targets up and makes branches of them; then `done`, with what is wrong in the result of
 * the root where none is left. */
void pn_recipient_resolve_targets(struct pn_recipient *recipient,
				  void (*done)(struct pn_recipient *recipient));
/* One target, from a hook's argument. False: no address, or it goes in circles. */
bool pn_recipient_redirect(struct pn_recipient *recipient, const char *target);

/* restore.c: what crosses into the queue with a message, and comes out again */
PN_MUST_CHECK enum pn_status pn_transaction_pack(const struct pn_transaction *transaction,
						 struct pn_buffer *out);
PN_MUST_CHECK enum pn_status pn_recipient_pack(const struct pn_recipient *leaf,
					       struct pn_buffer *out);
struct pn_transaction *pn_transaction_restore(struct pn_generation *generation,
					      const struct pn_queue_row *row);
struct pn_recipient *pn_transaction_restore_recipient(struct pn_transaction *transaction,
						      const struct pn_queue_row *row);
void pn_transaction_release(struct pn_transaction **transaction); /* a restored one */

/* waiting.c: queue rows of the accepting commit */
size_t pn_waiting_count(const struct pn_transaction *transaction);
PN_MUST_CHECK enum pn_status pn_waiting_add(struct pn_transaction *transaction,
					    struct pn_commit *commit);

/* envelope.c */
void pn_recipient_refuse(struct pn_recipient *recipient, enum pn_verdict verdict, unsigned code,
			 const char *enhanced, const char *text);

/* message.c */
const struct pn_journal *pn_transaction_journal(void);
void pn_transaction_ask_headers(struct pn_transaction *transaction, pn_stage_done_function *done);
/* The header with all edits applied, into `out`. */
PN_MUST_CHECK enum pn_status pn_transaction_write_header(struct pn_transaction *transaction,
							 struct pn_buffer *out);

/* checks.c: bytes behind those in `text`, on their way to the store; the end of the body; and, wherever
 * the transaction ends, of what was begun. Nothing where nobody wants a digest. */
void pn_digests_feed(struct pn_transaction *transaction, struct pn_slice beyond);
void pn_digests_finish(struct pn_transaction *transaction);
void pn_digests_discard(struct pn_transaction *transaction);

/* trace.c: Return-Path and Received (RFC 5321 section 4.4) */
PN_MUST_CHECK enum pn_status pn_trace_write(struct pn_transaction *transaction,
					    struct pn_buffer *out);

/* body.c */
enum pn_next pn_body_overflow(struct pn_transaction *transaction, struct pn_slice bytes,
			      enum pn_next next);
/* Sends the rest to the writer, then calls `done`. At once where there is no writer. */
void pn_body_finish(struct pn_transaction *transaction, void (*done)(struct pn_transaction *));
void pn_body_discard(struct pn_transaction *transaction);
/* The writer's store is where the commit must go. */
bool pn_body_is_at_store(const struct pn_transaction *transaction);

/* summary.c: bytes of a message that is too large for memory, and what became of it. `header` is as it
 * is stored; `body` is all of it where memory has it. "" where nobody can say without reading it. */
void pn_summary_feed(struct pn_transaction *transaction, struct pn_slice bytes);
struct pn_slice pn_summary_of(struct pn_transaction *transaction, struct pn_slice header,
			      struct pn_slice body, struct pn_arena *arena);

/* deposit.c: the one commit; calls back into the pipeline through pn_accept_committed */
void pn_deposit(struct pn_transaction *transaction);
void pn_accept_committed(struct pn_transaction *transaction);
/* Words separated by spaces ("\\Seen $Forwarded") as the flags of a mutation of the commit. */
void pn_deposit_set_flags(struct pn_commit *commit, struct pn_flags *flags, struct pn_slice words);

/* append.c: bytes of a message that its owner puts into a mailbox; its end, whatever became of it */
enum pn_next pn_deposit_append(struct pn_transaction *transaction, struct pn_slice bytes,
			       enum pn_next next);
void pn_deposit_discard(struct pn_transaction *transaction);

/* record.c: the event of a transaction that ended */
void pn_transaction_record(struct pn_transaction *transaction);

#endif
