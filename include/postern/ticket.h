/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tickets: the only way to wait.
 *
 * Whoever must wait opens a ticket, hands it to whoever will know the answer (a
 * resolver, a job, a store, a stage), and returns. The answer is delivered from
 * the top of the loop, never from inside a call. A ticket is answered once; an
 * answer that comes late finds it stale, does nothing and returns false. Every
 * ticket has a deadline: when it passes, the answer is PN_TIMEOUT.
 *
 *	static void looked_up(void *user, const struct pn_answer *answer);
 *	…
 *	ticket = pn_ticket_open(call->session, looked_up, lookup, 5000);
 *	pn_dns_ask(&question, ticket);
 *
 * A protocol opens its tickets with pn_session_ticket(); their answers come to
 * its `answered` entry. When a session ends, its tickets become stale: their
 * callbacks are not called, so what they point to should live in the session's
 * arena. All functions here: loop thread only.
 */
#ifndef POSTERN_TICKET_H
#define POSTERN_TICKET_H

#include <postern/error.h>
#include <postern/types.h>

/* What an answer is about, and what `result` points to. */
enum pn_answer_kind {
	PN_ANSWER_NONE = 0,
	PN_ANSWER_VERDICT,  /* a stage ended: const struct pn_stage_result *       (stage.h)       */
	PN_ANSWER_DNS,      /* const struct pn_dns_answer *                        (dns.h)         */
	PN_ANSWER_JOB,      /* the job's argument                                  (job.h)         */
	PN_ANSWER_STORE,    /* the result struct of the entry that was asked       (store.h)       */
	PN_ANSWER_SASL,     /* const struct pn_sasl_step *                         (sasl.h)        */
	PN_ANSWER_SECURED,  /* TLS is up, or not: const struct pn_stage_result * of connection.secured */
	PN_ANSWER_CONNECT,  /* an outgoing connection is up, or not                (protocol.h)    */
	PN_ANSWER_BODY,     /* there is room for more of the message               (transaction.h) */
	PN_ANSWER_ACCEPTED, /* the transaction was judged and committed, or refused:
	                     * const struct pn_stage_result *; the recipients have their own */
	PN_ANSWER_TIMER,    /* the deadline of a ticket that waits for nothing else */
	PN_ANSWER_CUSTOM,   /* between parts of one module */
	PN_ANSWER_ADDRESS,  /* const struct pn_address_known *                     (request.h)     */
	PN_ANSWER_QUEUE,    /* const struct pn_queue_summoned *                    (request.h)     */
};

struct pn_answer {
	uint32_t struct_size;
	enum pn_answer_kind kind;
	struct pn_ticket ticket;
	enum pn_status status;        /* PN_OK, or why there is no result */
	const void *result;           /* see the kind; valid until the callee returns */
	const struct pn_error *error; /* with a status that is not PN_OK; or NULL */
};

typedef void pn_answered_function(void *user, const struct pn_answer *answer);

PN_DECLARATIONS_BEGIN

/*
 * Opens a ticket whose answer goes to `answered(user, …)`. With a session it dies with the
 * session; with NULL it lives until it is answered or its deadline passes.
 * `deadline_ms` from now, at least 1. Never fails.
 */
struct pn_ticket pn_ticket_open(struct pn_session *session, pn_answered_function *answered,
				void *user, uint64_t deadline_ms);

/* Opens a ticket whose answer goes to the protocol's `answered` entry. */
struct pn_ticket pn_session_ticket(struct pn_session *session, uint64_t deadline_ms);

/*
 * Answers. `result` and `error` are kept as they are until they were delivered, and then
 * `release(result)` is called (if not NULL), delivered or stale alike; `error` is copied.
 * Returns false where the ticket was stale.
 */
bool pn_ticket_answer(struct pn_ticket ticket, enum pn_answer_kind kind, enum pn_status status,
		      void *result, void (*release)(void *result), const struct pn_error *error);

/* Forgets a ticket: its answer will be stale. Stale tickets are fine. */
void pn_ticket_cancel(struct pn_ticket ticket);

/* Whether somebody still waits. */
bool pn_ticket_is_open(struct pn_ticket ticket);

PN_DECLARATIONS_END

#endif
