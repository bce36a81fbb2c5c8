/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks: questions about a message whose answers need DNS (SPF, DKIM, DMARC …),
 * written as pure functions. A check gets its inputs and the DNS answers that are
 * known by now. Where answers are missing it names every question it can name by
 * now and returns PN_PENDING; the gateway asks them, adds the answers and calls
 * again. So a check runs from a zone file, from a recording, and under a fuzzer.
 */
#ifndef POSTERN_CHECK_H
#define POSTERN_CHECK_H

#include <postern/arena.h>
#include <postern/dns.h>
#include <postern/error.h>
#include <postern/header.h>
#include <postern/stage.h>
#include <postern/ticket.h>
#include <postern/types.h>

/* A key and a value: an input ("ip", "mail_from") or a fact ("spf", "pass"). */
struct pn_check_value {
	struct pn_slice key;
	struct pn_slice value;
};

/*
 * A digest of the body, canonicalized as RFC 6376 section 3.4 has it. What a check wants to know is
 * named before the body comes, so that it is read once and never kept.
 */
struct pn_check_digest {
	bool is_relaxed;
	uint64_t limit;      /* canonical bytes that count; UINT64_MAX: all */
	uint8_t sha256[32];  /* known when the body has ended */
	uint64_t length;     /* canonical bytes of the whole body, as well */
};

struct pn_check_input {
	uint32_t struct_size;
	int64_t now_ms;                       /* wall clock */
	const struct pn_check_value *values;
	size_t value_count;
	const struct pn_header *header;       /* or NULL before the message */
	const struct pn_dns_answer *const *answers;
	size_t answer_count;
	const struct pn_check_digest *digests; /* those that it wanted, in that order */
	size_t digest_count;
};

struct pn_check_output {
	uint32_t struct_size;
	const struct pn_dns_question *questions; /* with PN_PENDING: at least one that is new */
	size_t question_count;
	const struct pn_check_value *facts;      /* with PN_OK */
	size_t fact_count;
	struct pn_slice authentication_result;   /* its part of the field (RFC 8601), or "" */
};

/* What is signed, and how: values say "domain", "selector" and what else the check has options for. */
struct pn_signing {
	uint32_t struct_size;
	int64_t now_ms; /* wall clock */
	const struct pn_check_value *values;
	size_t value_count;
	const struct pn_header *header;
	struct pn_slice key; /* private, in PEM form */
	struct pn_check_digest simple; /* of the whole body */
	struct pn_check_digest relaxed;
};

struct pn_check {
	uint32_t struct_size;
	const char *name;      /* "spf"; `postern check spf` */
	uint32_t max_rounds;   /* how often it may return PN_PENDING; at least 1 */
	uint32_t max_questions; /* in all rounds together; at least 1 */

	/* Pure: no I/O, no clock, no globals. PN_OK, PN_PENDING, or PN_FAILED. Any thread. */
	enum pn_status (*run)(const void *config, const struct pn_check_input *input,
			      struct pn_arena *arena, struct pn_check_output *output,
			      struct pn_error *error);

	/* The digests of the body that run() wants to see; input->header is there. NULL: none. The rows
	 * come from the arena. Pure, any thread. */
	void (*wants)(const void *config, const struct pn_check_input *input, struct pn_arena *arena,
		      struct pn_check_digest **digests_out, size_t *count_out);

	/* The counterpart: writes the fields that go on top of the message. PN_OK, or PN_FAILED. NULL:
	 * nothing can be signed. Takes milliseconds of CPU: a job. Any thread. */
	enum pn_status (*sign)(const struct pn_signing *signing, struct pn_arena *arena,
			       struct pn_buffer *fields_out, struct pn_error *error);
};

/* PN_OK with the output, else an error that says why there is none; valid until it returns. */
typedef void pn_check_done_function(void *user, enum pn_status status,
				    const struct pn_check_output *output,
				    const struct pn_error *error);

/* Makes digests of a body that comes in pieces. */
struct pn_body_digester;

PN_DECLARATIONS_BEGIN

/* Fills in the rows, which stay the caller's, at its end. Linear; keeps nothing of the body but a
 * few bytes. Any thread. */
struct pn_body_digester *pn_body_digester_new(struct pn_check_digest *digests, size_t count);
void pn_body_digester_append(struct pn_body_digester *digester, struct pn_slice bytes);
/* The body is over; or, with NULL in it, there is nothing. Frees it. */
void pn_body_digester_end(struct pn_body_digester **digester);

/* A value of the input, or "". Any thread. */
struct pn_slice pn_check_value_of(const struct pn_check_input *input, struct pn_slice key);

/* The answer to a question (names in any case), or NULL where there is none yet. Any thread. */
const struct pn_dns_answer *pn_check_answer_to(const struct pn_check_input *input,
					       const struct pn_dns_question *question);

/*
 * Runs a check to its end, asking what it wants to know; what is not answered within `deadline_ms`
 * in all is PN_DNS_TROUBLE. `done` is called once, from the top of the loop. `waiting` is the ticket of
 * whoever waits (call->ticket of a hook): when it is stale the check ends without a word, so `done`
 * need not ask. {0, 0}: it always comes to its end. Values are copied; `config`, the header and `user`
 * live as long as that ticket is open. More rounds or questions than the check declares: PN_LIMIT.
 * Loop thread.
 */
void pn_check_start(const struct pn_check *check, const void *config,
		    const struct pn_check_input *input, struct pn_ticket waiting,
		    uint64_t deadline_ms, pn_check_done_function *done, void *user);

/*
 * For hooks of the gateway. At message.headers: the digests that the check wants are made as the
 * body comes. PN_LIMIT: they are more than a message has room for (transaction.h). Loop thread.
 */
PN_MUST_CHECK enum pn_status pn_check_prepare(const struct pn_check *check, const void *config,
					      const struct pn_stage_call *call);

/*
 * Runs the check for a hook, whose verdict this is (it is pending): with these values, and where the
 * message has them by now, its header as it was received and the digests that were prepared. What
 * it finds is recorded (pn_transaction_set_results), and the hook continues; where there is no
 * result, the hook has failed. Everything is copied but `config` and the message. Loop thread.
 */
enum pn_verdict pn_check_run(const struct pn_check *check, const void *config,
			     const struct pn_stage_call *call,
			     const struct pn_check_value *values, size_t count,
			     uint64_t deadline_ms);

PN_DECLARATIONS_END

#endif
