/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transaction: one message with its envelope, from the first command to its
 * last delivery. It belongs to the session that received it until it was
 * accepted; a session has at most one.
 *
 * A protocol that receives mail drives it in this order:
 *
 *	pn_transaction_begin      asks envelope.sender          PN_ANSWER_VERDICT
 *	pn_transaction_add        looks up, envelope.recipient  PN_ANSWER_VERDICT, once each
 *	pn_transaction_append     takes the message in pieces   may ask for a pause
 *	pn_transaction_submit     judges, routes, commits       PN_ANSWER_ACCEPTED
 *	pn_transaction_end        forgets it; on every path
 *
 * `continue` from every hook means: a recipient is accepted if it is local or the
 * client is authenticated, else 550 5.7.1. The functions here decide it, once for
 * all protocols. PN_ANSWER_ACCEPTED with `continue` or `accept` comes only after
 * the message is durable.
 *
 * Loop thread only. Text is a stranger's unless a comment says otherwise.
 */
#ifndef POSTERN_TRANSACTION_H
#define POSTERN_TRANSACTION_H

#include <postern/address.h>
#include <postern/arena.h>
#include <postern/header.h>
#include <postern/protocol.h>
#include <postern/stage.h>
#include <postern/types.h>

/* A parameter of MAIL FROM or RCPT TO: "SIZE=1000". */
struct pn_parameter {
	struct pn_slice name;  /* as given */
	struct pn_slice value; /* "" where there was none */
};

/* By when a message must be delivered, and what becomes of it where it is not (RFC 2852). */
enum pn_deliver_by_mode {
	PN_DELIVER_BY_NEVER = 0, /* nobody said when */
	PN_DELIVER_BY_RETURN,    /* it is returned */
	PN_DELIVER_BY_NOTIFY,    /* its sender is told, and it goes on being tried */
};

struct pn_deliver_by {
	enum pn_deliver_by_mode mode;
	bool traces;       /* its sender wants to hear of each server that it is handed to */
	int64_t moment_ms; /* wall clock */
};

struct pn_envelope_part {
	uint32_t struct_size;
	struct pn_address address;
	const struct pn_parameter *parameters;
	size_t parameter_count;
};

PN_DECLARATIONS_BEGIN

/* ---- for protocols ---- */

/*
 * Opens a transaction and asks envelope.sender. Everything is copied. Returns PN_NEXT_ANSWER
 * (PN_ANSWER_VERDICT). When the verdict refuses, the protocol calls pn_transaction_end.
 */
enum pn_next pn_transaction_begin(struct pn_session *session,
				  const struct pn_envelope_part *sender);

/*
 * Adds a recipient: directory, envelope.recipient, and what follows if all say continue. Returns
 * PN_NEXT_ANSWER (PN_ANSWER_VERDICT; result->recipient is set where it was accepted). The
 * verdict is already one of accept, reject, defer, drop: nothing is left to decide.
 */
enum pn_next pn_transaction_add(struct pn_session *session,
				const struct pn_envelope_part *recipient);

/*
 * Takes bytes of the message (CRLF line ends, dots already unstuffed). Returns `next`, or
 * PN_NEXT_ANSWER (PN_ANSWER_BODY) when the disk must catch up first: the protocol then returns it
 * and goes on at the answer. A message past its limit is counted but not kept;
 * pn_transaction_submit then refuses it with 552 5.3.4.
 */
enum pn_next pn_transaction_append(struct pn_session *session, struct pn_slice bytes,
				   enum pn_next next);

/*
 * The message is complete: message.headers (unless it ran), scan, decide, recipient.decide, change,
 * route, mailbox.deliver, commit, message.accepted. Returns PN_NEXT_ANSWER (PN_ANSWER_ACCEPTED).
 * The result is for the message as a whole; where `answers_per_recipient` was set,
 * pn_recipient_result() says more.
 */
enum pn_next pn_transaction_submit(struct pn_session *session);

/* Forgets the transaction, whatever its state. Fine without one. */
void pn_transaction_end(struct pn_session *session);

/* The largest message, in bytes; set once after begin (default 50 MiB). And: LMTP and PRDR can
 * tell about each recipient. */
void pn_transaction_set_max_size(struct pn_transaction *transaction, uint64_t bytes);
void pn_transaction_set_answers_per_recipient(struct pn_transaction *transaction, bool value);

/* The word for the "with" of the Received field ("ESMTPSA"); copied. */
void pn_transaction_set_trace_word(struct pn_transaction *transaction, const char *word);

/*
 * A message that its owner puts into a mailbox: no sender, no judging, no trace. It is a transaction
 * all the same (one at a time; pn_transaction_end on every path), with the session's account as its
 * one recipient:
 *
 *	pn_deposit_begin      opens it
 *	pn_transaction_append takes the message in pieces, as it is   may ask for a pause
 *	pn_deposit_submit     asks mailbox.deliver, commits           PN_ANSWER_ACCEPTED
 *	pn_deposit_result     where it is now
 *
 * Hooks may change mailbox and flags. Everything is copied.
 */
struct pn_deposit_request {
	uint32_t struct_size;
	struct pn_slice mailbox;  /* name; INBOX in any case. Of the session's account */
	struct pn_slice flags;    /* separated by spaces: "\\Seen $Forwarded" */
	int64_t internal_date_ms; /* 0: now */
	uint64_t max_size;        /* bytes; more is counted and not kept (PN_LIMIT) */
};

struct pn_deposit_result {
	uint32_t struct_size;
	/* PN_OK; PN_NOT_FOUND: no such mailbox; PN_LIMIT: too large, or over the quota (is_quota);
	 * PN_CONFLICT: a hook refused, see the answer; PN_FAILED: the store could not */
	enum pn_status status;
	bool is_quota;
	uint64_t mailbox;
	uint32_t uid_validity;
	uint32_t uid;
	struct pn_slice name;     /* of the mailbox it went to */
};

void pn_deposit_begin(struct pn_session *session, const struct pn_deposit_request *request);

/* Returns PN_NEXT_ANSWER (PN_ANSWER_ACCEPTED): const struct pn_stage_result *, accept or a refusal
 * worded by a hook; durable when it says accept. */
enum pn_next pn_deposit_submit(struct pn_session *session);

/* Valid from that answer on, until pn_transaction_end. */
const struct pn_deposit_result *pn_deposit_result(const struct pn_session *session);

/* ---- for everybody ---- */

/* 20 letters and digits; goes into Received, replies, log and history. Clean text. */
const char *pn_transaction_id(const struct pn_transaction *transaction);

const struct pn_address *pn_transaction_sender(const struct pn_transaction *transaction);

/* A parameter of MAIL FROM by name (any case), or NULL. */
const struct pn_parameter *pn_transaction_parameter(const struct pn_transaction *transaction,
						    struct pn_slice name);

/* Accepted recipients, by index from 0; NULL past the end. */
size_t pn_transaction_recipient_count(const struct pn_transaction *transaction);
struct pn_recipient *pn_transaction_recipient(const struct pn_transaction *transaction,
					      size_t index);

/* The address as it was given, and as the directory or a hook made it. */
const struct pn_address *pn_recipient_original(const struct pn_recipient *recipient);
const struct pn_address *pn_recipient_address(const struct pn_recipient *recipient);
const struct pn_parameter *pn_recipient_parameter(const struct pn_recipient *recipient,
						  struct pn_slice name);

/* Whether it is served here, and by which account ("" if not). */
bool pn_recipient_is_local(const struct pn_recipient *recipient);
struct pn_slice pn_recipient_account(const struct pn_recipient *recipient);

/* How the transaction ended for it; valid in answered(PN_ANSWER_ACCEPTED) and message.accepted. */
const struct pn_stage_result *pn_recipient_result(const struct pn_recipient *recipient);

/* At mailbox.deliver: where to, and with which flags (space separated); may be changed by hooks. */
struct pn_slice pn_recipient_mailbox(const struct pn_recipient *recipient);
void pn_recipient_set_mailbox(struct pn_recipient *recipient, struct pn_slice mailbox);
struct pn_slice pn_recipient_flags(const struct pn_recipient *recipient);
void pn_recipient_set_flags(struct pn_recipient *recipient, struct pn_slice flags);

/*
 * At envelope.recipient and recipient.route: in place of the recipient, the mail goes to these
 * addresses (an alias, a list, a forwarding), each looked up as if it had been given; foreign ones
 * are relayed: that is what the caller decides. Copied. PN_OK; PN_LIMIT: more than PN_TARGETS_MAX from
 * one recipient, or in more than ten steps (it leads to itself);
 * PN_FAILED: one is no address.
 */
enum { PN_TARGETS_MAX = 1000 };
PN_MUST_CHECK enum pn_status pn_recipient_expand(struct pn_recipient *recipient,
						 const struct pn_slice *addresses, size_t count);

/* Size of the message so far, as received, without our trace fields. */
uint64_t pn_transaction_size(const struct pn_transaction *transaction);

/* The parsed header, from message.headers on; NULL before. With edits of earlier hooks. */
const struct pn_header *pn_transaction_header(struct pn_transaction *transaction);

/* The same without any edit, as the client sent it: what signatures are about. */
const struct pn_header *pn_transaction_received_header(const struct pn_transaction *transaction);

/*
 * The beginning of the message as received (header and body), as much as is in memory (256 KiB by
 * default): enough for most checks. Valid until the next call that changes the transaction.
 */
struct pn_slice pn_transaction_text(const struct pn_transaction *transaction);

/* Scores and facts: added at any stage up to message.decide; shown to policy, kept in history. */
void pn_transaction_add_score(struct pn_transaction *transaction, const char *name, double score);
double pn_transaction_score(const struct pn_transaction *transaction);
void pn_transaction_set_fact(struct pn_transaction *transaction, struct pn_slice key,
			     struct pn_slice value);
struct pn_slice pn_transaction_fact(const struct pn_transaction *transaction, struct pn_slice key);

/* All facts, one after the other: *cursor is NULL first. False behind the last. What is set
 * meanwhile may or may not be seen. */
bool pn_transaction_next_fact(const struct pn_transaction *transaction, const void **cursor,
			      struct pn_slice *key_out, struct pn_slice *value_out);

/*
 * What a check found (spf, dkim, …): its facts, and its part of Authentication-Results as the fact
 * "authentication_results.NAME". Scripts see them as message.auth. Once for each name; pn_check_run does
 * it.
 */
struct pn_check_output;
void pn_transaction_set_results(struct pn_transaction *transaction, const char *check,
				const struct pn_check_output *output);

/*
 * The value of an Authentication-Results field (RFC 8601 section 2.2): "NAME; spf=pass …; dkim=none",
 * from what checks have found by now, in the order in which they did; "NAME; none" without any. From
 * the arena; valid in the queue, too.
 */
struct pn_slice pn_transaction_authentication_results(const struct pn_transaction *transaction,
						      struct pn_slice name,
						      struct pn_arena *arena);

/*
 * Digests of the body (check.h). Wanted at message.headers, the body still to come; known from
 * message.scan on. PN_LIMIT: more than PN_DIGESTS_MAX different ones for a message, all its hooks
 * together; PN_CONFLICT: too late. The body is read once for all of them.
 */
enum { PN_DIGESTS_MAX = 32 };
struct pn_check_digest;
PN_MUST_CHECK enum pn_status pn_transaction_want_digest(struct pn_transaction *transaction,
							bool is_relaxed, uint64_t limit);
/* NULL: not wanted, or the body is not over. */
const struct pn_check_digest *pn_transaction_digest(const struct pn_transaction *transaction,
						    bool is_relaxed, uint64_t limit);

/* Notes: like facts, but for hooks only; they travel with the message. */
void pn_transaction_set_note(struct pn_transaction *transaction, struct pn_slice key,
			     struct pn_slice value);
struct pn_slice pn_transaction_note(const struct pn_transaction *transaction, struct pn_slice key);

/*
 * How the message waits and travels where it goes into the queue; at any stage before the commit.
 * Tenant: whose share of the queue it takes (default: the domain of who authenticated, else "").
 * Priority: 0 (last) to 9, 4 where nothing is said. Release: not before this moment (wall clock,
 * ms); lifetime: given up after so long (ms; at least 1 s; the gateway's option is the most).
 * Sender: the envelope's, rewritten (canonical forms, SRS). PN_FAILED: not an address, out of range.
 */
PN_MUST_CHECK enum pn_status pn_transaction_set_tenant(struct pn_transaction *transaction,
						       struct pn_slice tenant);
PN_MUST_CHECK enum pn_status pn_transaction_set_priority(struct pn_transaction *transaction,
							 uint32_t priority);
PN_MUST_CHECK enum pn_status pn_transaction_set_release(struct pn_transaction *transaction,
							int64_t wall_ms);
PN_MUST_CHECK enum pn_status pn_transaction_set_lifetime(struct pn_transaction *transaction,
							 uint64_t milliseconds);
PN_MUST_CHECK enum pn_status pn_transaction_set_sender(struct pn_transaction *transaction,
						       struct pn_slice address);
/* By when it must be delivered; and: it goes on over TLS with certificates that are verified, to
 * servers that promise the same, or is returned (RFC 8689). Once after begin; both cross the queue. */
void pn_transaction_set_deliver_by(struct pn_transaction *transaction,
				   const struct pn_deliver_by *by);
void pn_transaction_require_tls(struct pn_transaction *transaction);
struct pn_deliver_by pn_transaction_deliver_by(const struct pn_transaction *transaction);
bool pn_transaction_requires_tls(const struct pn_transaction *transaction);
struct pn_slice pn_transaction_tenant(const struct pn_transaction *transaction);

/* Where it came from: "identity", "peer", "hello", "protocol", "instance", "session", "tls", "cipher";
 * "" where there is no such thing. Known in the queue, too, where no session is. */
struct pn_slice pn_transaction_origin(const struct pn_transaction *transaction, const char *key);

/*
 * Edits of the header, at message.headers and later up to message.change. They go into a journal:
 * all of a hook's edits, or none if it fails. Names and values are checked by pn_header_write.
 * PN_OK; PN_FAILED: bad name or value; PN_NOT_FOUND: no such field; PN_LIMIT: too many edits;
 * PN_CONFLICT: a deposit by its owner, which is kept as it is.
 */
PN_MUST_CHECK enum pn_status pn_transaction_header_add(struct pn_transaction *transaction,
						       struct pn_slice name, struct pn_slice value);
PN_MUST_CHECK enum pn_status pn_transaction_header_remove(struct pn_transaction *transaction,
							  struct pn_slice name, size_t index);
PN_MUST_CHECK enum pn_status pn_transaction_header_replace(struct pn_transaction *transaction,
							   struct pn_slice name, size_t index,
							   struct pn_slice value);

PN_DECLARATIONS_END

#endif
