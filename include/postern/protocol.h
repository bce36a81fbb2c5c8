/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a protocol module is: a state machine over a private struct. The gateway
 * frames lines, counts limits, runs timers, TLS and the transcript, and asks the
 * module one thing at a time. The module returns what should happen next.
 *
 * One session, narrated, for a protocol that says "hi" and echoes lines.
 *
 *	accept                   the gateway runs connection.open, and calls
 *	open(…, answer)          the module writes "hi" and returns PN_NEXT_LINE
 *	line("hello")            the module writes "hello" and returns PN_NEXT_LINE
 *	line("wait")             the module asks DNS with a ticket, returns PN_NEXT_ANSWER;
 *	                         nothing more is read from this client meanwhile
 *	answered(…, answer)      the module writes what it learned, returns PN_NEXT_LINE
 *	line("bye")              the module returns PN_NEXT_CLOSE: what was written is
 *	                         flushed, the connection is closed, close() is called once
 *
 * Whatever happens (the client vanishes, a deadline passes, the gateway stops),
 * close() is called once, last. No function that runs for a session can free it.
 *
 * Lines end with CRLF and nothing else. A bare CR, a bare LF or a NUL in a line is
 * a `problem`; what was read up to it is gone, and what follows it is suspect: most
 * protocols answer and close.
 *
 * Deadlines are for the whole wait, not for each byte: a client that dribbles is
 * as late as one that is silent. A deadline comes as PN_EVENT_DEADLINE.
 *
 * Everything here: loop thread.
 */
#ifndef POSTERN_PROTOCOL_H
#define POSTERN_PROTOCOL_H

#include <postern/session.h>
#include <postern/stage.h>
#include <postern/ticket.h>
#include <postern/types.h>

enum pn_next {
	PN_NEXT_LINE = 0,       /* a whole line                                      */
	PN_NEXT_BYTES,          /* exactly n bytes: a literal, a chunk (pn_next_bytes) */
	PN_NEXT_DATA,           /* whatever has arrived, dot-unstuffed if asked      */
	PN_NEXT_ANSWER,         /* nothing, until an open ticket is answered         */
	PN_NEXT_ANSWER_OR_LINE, /* either: IDLE                                      */
	PN_NEXT_DRAIN,          /* call again when the output is below its low mark  */
	PN_NEXT_AGAIN,          /* long work: call again after the others had a turn */
	PN_NEXT_START_TLS,      /* flush, then negotiate TLS; PN_ANSWER_SECURED follows.
	                         * Bytes that arrived before it end the session.     */
	PN_NEXT_SPLICE,         /* pass bytes to another connection from now on      */
	PN_NEXT_CLOSE,          /* flush, then close; the only way to end            */
};

enum pn_line_problem {
	PN_LINE_GOOD = 0,
	PN_LINE_TOO_LONG, /* longer than the limit; skipped up to its CRLF; text is its beginning */
	PN_LINE_BARE_LF,
	PN_LINE_BARE_CR,
	PN_LINE_NUL,
};

struct pn_line {
	uint32_t struct_size;
	enum pn_line_problem problem;
	struct pn_slice text; /* without its CRLF; valid until the entry returns */
};

struct pn_data {
	uint32_t struct_size;
	enum pn_line_problem problem; /* in PN_DATA_DOT_STUFFED only; nothing follows */
	struct pn_slice bytes;        /* valid until the entry returns */
	bool is_last;                 /* end of the BYTES, or the terminating dot was seen */
};

enum pn_data_form {
	PN_DATA_RAW = 0,
	PN_DATA_DOT_STUFFED, /* lines, CRLF only, ended by a line of one dot (RFC 5321 section 4.5.2) */
};

enum pn_event_kind {
	PN_EVENT_NONE = 0,
	PN_EVENT_DEADLINE,        /* the wait took too long; say so and return PN_NEXT_CLOSE */
	PN_EVENT_STOPPING,        /* the gateway stops or this worker is replaced: at a command
	                           * boundary; say so and return PN_NEXT_CLOSE, or go on for a while */
	PN_EVENT_MAILBOX_CHANGED, /* something that pn_store_watch() was told to watch */
	PN_EVENT_PEER_CLOSED,     /* client sessions: the input that it waits for cannot come, the peer
	                           * has sent everything; last words are flushed, then it is closed. Or
	                           * the peer takes nothing more: see pn_session_unread() */
};

struct pn_session_event_info {
	uint32_t struct_size;
	enum pn_event_kind kind;
	uint64_t mailbox; /* with MAILBOX_CHANGED: which, or 0 for "some of the account" */
};

enum pn_close_reason {
	PN_CLOSE_FINISHED = 0, /* the module returned PN_NEXT_CLOSE */
	PN_CLOSE_BY_PEER,
	PN_CLOSE_DEADLINE,     /* closed by the gateway: a deadline passed, and the module went on */
	PN_CLOSE_STOPPING,
	PN_CLOSE_TROUBLE,      /* the connection failed: reset, TLS */
	PN_CLOSE_REFUSED,      /* a hook said drop */
};

/*
 * The entries. `state` is state_size bytes, zeroed, one for each session. Entries that a protocol
 * never asks for may be NULL: `data` (no BYTES or DATA), `drained` (no DRAIN or AGAIN).
 */
struct pn_protocol {
	uint32_t struct_size;
	const char *name;
	size_t state_size;

	/* First. Server: the result of connection.open (PN_ANSWER_VERDICT; the module words the
	 * refusal). Client: PN_ANSWER_CONNECT, whose status says whether there is a connection. */
	enum pn_next (*open)(struct pn_session *session, void *state, const struct pn_answer *answer);

	enum pn_next (*line)(struct pn_session *session, void *state, const struct pn_line *line);
	enum pn_next (*data)(struct pn_session *session, void *state, const struct pn_data *data);

	/* A ticket of pn_session_ticket(), or of a call below that returned PN_NEXT_ANSWER. */
	enum pn_next (*answered)(struct pn_session *session, void *state,
				 const struct pn_answer *answer);

	/* After PN_NEXT_DRAIN and PN_NEXT_AGAIN. */
	enum pn_next (*drained)(struct pn_session *session, void *state);

	/* While the session waits for something else, which goes on as before unless the module
	 * returns PN_NEXT_CLOSE. May be NULL: then deadlines and stopping just close. */
	enum pn_next (*event)(struct pn_session *session, void *state,
			      const struct pn_session_event_info *event);

	/* Last, once. Memory of the session's arena is still there. May be NULL. */
	void (*close)(struct pn_session *session, void *state, enum pn_close_reason reason);

	/* Names of the protocol that a client may ask for in its TLS handshake (ALPN, RFC 7301), a NULL behind
	 * the last. Who asks only for others is not served: what it says to another server must not be taken
	 * for ours. NULL: whatever it asks for is passed over. */
	const char *const *tls_names;

	/* What stands in front of the reason, on the one line that is said to a client that cannot be served
	 * now and whose connection is closed at once: "421 ". NULL: it is closed without a word. */
	const char *turn_away;
};

PN_DECLARATIONS_BEGIN

/*
 * Longest line, without CRLF, from now on (at least 1), and the deadline of each wait for input
 * from now on, in ms (at least 1). With PN_NEXT_DATA and PN_NEXT_BYTES the deadline starts again
 * whenever bytes arrive. Defaults: 1,000 bytes, 5 minutes.
 */
void pn_session_set_line_limit(struct pn_session *session, size_t bytes);
void pn_session_set_deadline(struct pn_session *session, uint64_t milliseconds);

/* return pn_next_bytes(session, size);  size at least 1. The bytes come in pieces to `data`. */
enum pn_next pn_next_bytes(struct pn_session *session, uint64_t size);

/* return pn_next_data(session, PN_DATA_DOT_STUFFED); */
enum pn_next pn_next_data(struct pn_session *session, enum pn_data_form form);

/*
 * return pn_next_splice(session, other);  From now on bytes pass between the two, both ways and
 * unparsed, what is already buffered first; when one side ends, both are flushed and closed. `other`
 * must wait (PN_NEXT_ANSWER), and its module is not asked again but for close().
 */
enum pn_next pn_next_splice(struct pn_session *session, struct pn_session *other);

/*
 * Writes to the client. Copied at once; sent when the session has nothing more to do. Never fails:
 * when the connection is gone the bytes are too. Above pn_session_output_is_high() a module that
 * has much more to say returns PN_NEXT_DRAIN.
 */
void pn_session_write(struct pn_session *session, struct pn_slice bytes);
void pn_session_print(struct pn_session *session, const char *format, ...) PN_PRINTF(2, 3);

/* Writes body bytes so that they are safe inside a dot-stuffed reply (RFC 1939 section 3): call it
 * with consecutive pieces; the last call, with is_last, writes the terminating CRLF "." CRLF. */
void pn_session_write_stuffed(struct pn_session *session, struct pn_slice bytes, bool is_last);

bool pn_session_output_is_high(const struct pn_session *session);

/*
 * What came from the peer and no entry has seen yet. At PN_EVENT_PEER_CLOSED it is what a server said
 * while the session was still sending to it: often why it went. Good until the entry returns; empty
 * as a rule.
 */
struct pn_slice pn_session_unread(const struct pn_session *session);

/*
 * Whether the client did not wait: more came with the line that is being handled (in `line`); it has
 * sent something that nobody has read yet (at any time: in `open`, who speaks before he is spoken
 * to). A look at the socket for the second; neither waits.
 */
bool pn_session_has_more(const struct pn_session *session);
bool pn_session_has_input(const struct pn_session *session);

/*
 * The client speaks for another one, and is trusted to: from now on peer and port are those of that
 * other, for hooks, limits and the record (which tells of both). The address is IPv4 or IPv6, or
 * "unknown". PN_FAILED: it is none of these; PN_LIMIT: that peer has too many sessions. Then nothing
 * has changed.
 */
PN_MUST_CHECK enum pn_status pn_session_set_peer(struct pn_session *session,
						 struct pn_slice address, uint16_t port);

/* Facts for policy and the record, which only the protocol can find out: the client spoke before it
 * was greeted; once for each command that was sent where its protocol wants it to wait. */
void pn_session_set_early_talker(struct pn_session *session);
void pn_session_count_pipelining(struct pn_session *session);

/*
 * Asks the hooks of a stage about this session; always returns PN_NEXT_ANSWER, and the answer is
 * PN_ANSWER_VERDICT. For the stages of the connection and the client; what concerns a message is
 * asked through transaction.h, and authentication through sasl.h.
 */
enum pn_next pn_stage_ask(struct pn_session *session, enum pn_stage stage);

/* ---- connections that we make run the same machine ---- */

struct pn_connect {
	uint32_t struct_size;
	const struct pn_protocol *protocol; /* constant; its `open` comes first */
	const char *address;                /* "192.0.2.1:25", "[2001:db8::1]:25", "unix:/run/x" */
	const char *source_address;         /* without port; or NULL */
	const char *tls_name;               /* name to verify after PN_NEXT_START_TLS; NULL: unverified */
	bool tls_at_once;                   /* TLS before the first byte */
	uint64_t deadline_ms;               /* for the connection to be there */
	void *user;                         /* pn_session_user() of the new session */
	const char *tls_server_name;        /* sent to the peer (SNI) where tls_name is NULL; or NULL */
	const char *tls_trusted;            /* file of certificates to trust; NULL: the system's */
};

/*
 * Starts a connection. PN_OK: `open` of request->protocol is called later, whether it works or not.
 * PN_FAILED: the request makes no sense (error says why), nothing is called. The instance is the
 * one the code runs for: pass the one start() was given, so that the slot in shared memory and the
 * log name it.
 */
PN_MUST_CHECK enum pn_status pn_connect(struct pn_instance *instance,
					const struct pn_connect *request, struct pn_error *error);

/* What pn_connect was given; NULL for sessions that were accepted. */
void *pn_session_user(const struct pn_session *session);

/*
 * What this entry writes goes out so much later (at most a minute), and nothing is read from the client and done for
 * it meanwhile: for those who are to be slow, or to pay for their mistakes. It holds up nobody else.
 * Called several times: the longest counts.
 */
void pn_session_delay(struct pn_session *session, uint64_t milliseconds);

PN_DECLARATIONS_END

#endif
