/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway of straw for IMAP sessions: it has the functions that a protocol module may
 * call, one account in a real store_memory, and answers that come when they are fetched.
 * Somebody else changes the account between them. For fuzz_imap_session.c.
 */
#ifndef TESTS_FUZZ_IMAP_STRAW_H
#define TESTS_FUZZ_IMAP_STRAW_H

#include <postern/buffer.h>
#include <postern/protocol.h>
#include <postern/store.h>
#include <postern/transaction.h>

#include "../../modules/imap/imap.h"

enum straw_question {
	STRAW_NOTHING = 0,
	STRAW_TIMER, /* a ticket that was given to nobody */
	STRAW_SASL,
	STRAW_STAGE,
	STRAW_MAILBOXES,
	STRAW_VIEW,
	STRAW_ROWS,
	STRAW_CHANGES,
	STRAW_BODY,
	STRAW_BODIES,
	STRAW_COMMIT,
	STRAW_ROOM,
	STRAW_DEPOSIT,
};

struct pn_session {
	struct imap_config config;
	struct imap_session imap;
	bool is_wild;            /* answers, events and output as chance has it */
	bool has_large;          /* one message is so large that it comes in pieces */
	uint64_t choices;

	bool is_encrypted;
	enum pn_sasl_clear clear; /* as the module has told */
	size_t line_limit;
	uint64_t bytes_left;
	struct pn_buffer output;
	bool is_watched;
	bool has_changed;        /* MAILBOX_CHANGED is due */

	enum straw_question question;
	uint32_t ticket;
	struct pn_arena *arena;  /* of the question */
	union {
		struct pn_mailboxes_request mailboxes;
		struct pn_view_request view;
		struct pn_rows_request rows;
		struct pn_changes_request changes;
		struct pn_body_request body;
		struct pn_bodies_request bodies;
	} request;
	struct pn_commit *commit;
	enum pn_status commit_status;

	bool has_deposit;
	struct pn_deposit_request deposit;
	struct pn_deposit_result deposit_result;
	struct pn_arena *deposit_arena;
	struct pn_buffer message;
	uint64_t message_size;

	void *store;
};

/* The one session there is, the name of its account, and where chance stands. */
extern struct pn_session *straw_session;
extern const struct pn_slice straw_account;
extern uint64_t straw_random;

/* A number below count; 0 where chance has no say. */
unsigned straw_choose(struct pn_session *session, unsigned count);

/* Makes the store with its messages; and takes all of it down. */
void straw_begin(struct pn_session *session);
void straw_end(struct pn_session *session);

/* The answer to the open question. */
enum pn_next straw_answer(struct pn_session *session);

/* Runs a commit now. */
enum pn_status straw_commit(struct pn_session *session, struct pn_commit *commit);

/* A copy of a set that is one: ascending ranges that do not touch. */
struct pn_uid_set straw_keep_uids(struct pn_arena *arena, struct pn_uid_set set);

/* Somebody else changes something, or does not. */
void straw_disturb(struct pn_session *session);

#endif
