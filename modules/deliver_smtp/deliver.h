/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending by SMTP and LMTP from the inside: the options, what an instance and a
 * connection remember, and what the files offer each other. A connection is a
 * dialogue: it is made by carrier.c, freed by the session's close, and tells the
 * gateway of its carrier until that is closed. Loop thread.
 */
#ifndef MODULES_DELIVER_H
#define MODULES_DELIVER_H

#include <postern/module.h>
#include <postern/protocol.h>
#include <postern/store.h>
#include <postern/transport.h>

enum deliver_kind {
	DELIVER_SMTP = 0,
	DELIVER_LMTP,
};

/* Indexes of the choices of option `tls`, one behind enum pn_route_tls. */
enum {
	DELIVER_TLS_AUTOMATIC = 4, /* never on loopback and Unix sockets, else opportunistic */
};

enum deliver_plaintext {
	DELIVER_PLAINTEXT_NEVER = 0,
	DELIVER_PLAINTEXT_LOOPBACK,
	DELIVER_PLAINTEXT_ALWAYS,
};

enum deliver_eight_bit {
	DELIVER_EIGHT_BIT_SEND = 0,
	DELIVER_EIGHT_BIT_REFUSE,
};

/* When BDAT is used where it is offered. */
enum deliver_chunking {
	DELIVER_CHUNKING_NEEDED = 0, /* for what has no lines */
	DELIVER_CHUNKING_OFFERED,
};

struct deliver_config {
	uint32_t port;
	uint32_t tls;
	bool implicit_tls;
	const char *trusted_certificates;
	const char *hello;
	struct pn_text_list source_addresses;
	uint32_t max_recipients;
	uint32_t eight_bit;
	uint32_t chunking;
	bool requiretls_dnssec;
	const char *credentials;
	uint32_t plaintext_login;
	uint64_t connect_timeout;
	uint64_t greeting_timeout;
	uint64_t hello_timeout;
	uint64_t mail_timeout;
	uint64_t rcpt_timeout;
	uint64_t data_start_timeout;
	uint64_t data_block_timeout;
	uint64_t data_end_timeout;
	uint64_t quit_timeout;
};

enum {
	DELIVER_RECIPIENTS_MAX = 1000,
	DELIVER_LINE_MAX = 4096,      /* of an answer; RFC 5321 section 4.5.3.1.5 says 512 */
	DELIVER_REPLY_LINES_MAX = 100,
	DELIVER_COMMAND_MAX = 4096,
	DELIVER_CHECK_MAX = 1024 * 1024, /* bodies that are checked whole before DATA */
	DELIVER_KEEP_MAX = 256 * 1024,   /* bodies that are kept in between */
	DELIVER_READ_SIZE = 256 * 1024,
	DELIVER_READ_MS = 2 * 60 * 1000,
	DELIVER_SECRET_MAX = 512,        /* a user's name, a password */
};

/* ---- reply.c: answers; pure ---- */

enum deliver_reply_state {
	DELIVER_REPLY_MORE = 0, /* other lines follow */
	DELIVER_REPLY_WHOLE,
	DELIVER_REPLY_BROKEN,   /* this is no answer */
};

/* Zeroed before the first line. */
struct deliver_reply {
	struct pn_reply reply;
	uint32_t lines;
};

/* Takes a line without its CRLF. *text_out, where it is not NULL: what stands behind the code. */
enum deliver_reply_state deliver_reply_take(struct deliver_reply *reply, struct pn_slice line,
					    struct pn_slice *text_out);

/* An answer of our own: code 0, and the text made printable. */
void deliver_reply_say(struct pn_reply *reply, const char *enhanced, const char *format, ...)
	PN_PRINTF(3, 4);

static inline unsigned deliver_reply_class(const struct pn_reply *reply)
{
	return reply->code / 100;
}

/* ---- hello.c: what a server offers ---- */

enum deliver_extension {
	DELIVER_PIPELINING = 1u << 0,
	DELIVER_8BITMIME = 1u << 1,
	DELIVER_SMTPUTF8 = 1u << 2,
	DELIVER_DSN = 1u << 3,
	DELIVER_STARTTLS = 1u << 4,
	DELIVER_SIZE = 1u << 5,
	DELIVER_MT_PRIORITY = 1u << 6,
	DELIVER_AUTH_PLAIN = 1u << 7,
	DELIVER_AUTH_LOGIN = 1u << 8,
	DELIVER_DELIVERBY = 1u << 9,
	DELIVER_REQUIRETLS = 1u << 10,
	DELIVER_CHUNKING = 1u << 11,
	DELIVER_BINARYMIME = 1u << 12,
};

struct deliver_offer {
	uint32_t extensions;
	uint64_t max_size; /* 0: none was given */
	uint64_t min_by;   /* seconds, of DELIVERBY; 0: none */
};

/* A line of the answer to EHLO behind its code; not the first one. Pure. */
void deliver_offer_take(struct deliver_offer *offer, struct pn_slice text);

/* ---- check.c: whether a body may be sent; pure ---- */

/* Zeroed before the first piece. */
struct deliver_check {
	bool after_cr;
	bool is_bad;    /* a bare CR, a bare LF, a NUL */
	bool has_eight_bit;
	bool lacks_end; /* of its last line; known at the end */
	bool after_lf;
	bool is_begun;
};

void deliver_check_take(struct deliver_check *check, struct pn_slice bytes);
/* No more follows. */
void deliver_check_end(struct deliver_check *check);

/* ---- instance.c: what outlives a connection ---- */

struct deliver_credentials; /* credentials.c: a file that was read */

enum { DELIVER_CLEAR_MAX = 256 };

struct deliver_instance {
	bool sends; /* in a queue worker; the others need no passwords */
	struct deliver_credentials *credentials; /* NULL: no file */
	struct deliver_credentials *prepared;
	struct {
		char address[120];
		uint64_t until_ms;
	} clear[DELIVER_CLEAR_MAX]; /* addresses whose TLS is broken; the oldest goes first */
	uint32_t next_clear;
	uint32_t next_source;
};

enum pn_status deliver_check_config(const void *config, struct pn_error *error);
enum pn_status deliver_start(const struct pn_start *start, void **instance_out,
			     struct pn_error *error);
enum pn_status deliver_prepare(void *instance, const void *new_config, struct pn_error *error);
void deliver_adopt(void *instance, const void *new_config);
void deliver_abandon(void *instance, const void *new_config);
void deliver_stop(void *instance);

/* For a while this address is spoken to without TLS where that is allowed. */
void deliver_remember_clear(struct deliver_instance *instance, const char *address);
bool deliver_goes_clear(const struct deliver_instance *instance, const char *address);

/* The next of the source addresses that fits the address to connect to; NULL: the machine's choice. */
const char *deliver_source_address(struct deliver_instance *instance,
				   const struct deliver_config *config, const char *address);

/* ---- credentials.c ---- */

struct deliver_login {
	const char *user;
	const char *password;
};

PN_MUST_CHECK enum pn_status deliver_credentials_read(const char *path,
						      struct deliver_credentials **credentials_out,
						      struct pn_error *error);
/* Wipes it; sets *credentials to NULL. */
void deliver_credentials_free(struct deliver_credentials **credentials);
/* The entry of a host: its own before "*". False where there is none. */
bool deliver_credentials_find(const struct deliver_credentials *credentials, const char *host,
			      struct deliver_login *login_out);

/* ---- a connection ---- */

enum deliver_stage {
	DELIVER_CONNECTING = 0,
	DELIVER_GREETING,
	DELIVER_HELLO,
	DELIVER_STARTING_TLS, /* STARTTLS was sent */
	DELIVER_SECURING,
	DELIVER_LOGIN,
	DELIVER_IDLE,
	DELIVER_READING,      /* the body, before anything is sent */
	DELIVER_ENVELOPE,     /* answers to a flight */
	DELIVER_BODY,
	DELIVER_ANSWERS,      /* to the end of the data */
	DELIVER_QUITTING,
	DELIVER_ENDED,        /* the carrier is closed; the session follows */
};

enum deliver_step_kind {
	DELIVER_STEP_RSET = 0,
	DELIVER_STEP_MAIL,
	DELIVER_STEP_RCPT,
	DELIVER_STEP_DATA,
	DELIVER_STEP_END,
};

/* A command of the flight. */
struct deliver_step {
	enum deliver_step_kind kind;
	uint32_t recipient;
};

enum deliver_recipient_state {
	DELIVER_RECIPIENT_WAITS = 0,
	DELIVER_RECIPIENT_ACCEPTED,
	DELIVER_RECIPIENT_SETTLED, /* has its outcome */
	DELIVER_RECIPIENT_LEFT,    /* for another transaction: stays untried */
	DELIVER_RECIPIENT_TOO_MANY, /* left too, if this transaction gets anywhere */
};

/* A recipient in the transaction. */
struct deliver_place {
	uint8_t state; /* enum deliver_recipient_state */
	bool is_named; /* there is a RCPT for it, to be answered */
};

struct deliver_dialogue {
	enum deliver_kind kind;
	struct pn_carrier *carrier;   /* NULL once it is closed */
	struct deliver_instance *instance;
	const struct deliver_config *config;
	struct pn_session *session;   /* NULL before there is one */
	char address[120];
	enum pn_route_tls tls;
	bool has_connection;          /* the session will be closed, and free this */

	enum deliver_stage stage;
	enum pn_next next;            /* what the session waits for */
	const char *command;          /* what the next answer is to */
	struct deliver_reply reply;
	uint64_t reply_due_ms;        /* monotonic */
	struct deliver_offer offer;
	bool is_helo;                 /* EHLO was refused */
	bool is_secured;
	uint8_t login_step;
	bool in_ready;                /* the gateway is being told that it is ready */
	bool must_quit;
	bool needs_reset;             /* the last transaction is open at the server */
	uint32_t messages;            /* handed over before this one */
	struct pn_ticket wake;        /* open all the time: deliver() and close() answer it */
	struct pn_ticket farewell;    /* of nobody's session: tells of the end from the top of the loop */
	struct pn_ticket body_ticket;
	enum pn_carrier_end farewell_end;
	struct pn_reply farewell_reply;

	/* The message on its way. */
	struct pn_delivery *delivery;
	struct deliver_place *places;
	size_t place_capacity;
	size_t recipient_count;       /* of this transaction: the first ones */
	uint32_t accepted;
	uint32_t answers;             /* to its commands */
	bool mail_failed;
	bool wants_utf8;
	struct deliver_step sent;     /* the next to be sent */
	struct deliver_step replied;  /* the next to be answered */

	/* Its body. */
	struct deliver_check check;
	bool is_checked;              /* whole */
	bool is_lone_dot;
	bool is_binary;               /* it goes as it is, with BODY=BINARYMIME */
	bool uses_chunks;             /* it goes with BDAT */
	uint64_t body_offset;
	uint64_t body_checked;
	struct pn_buffer body;        /* a small one, whole */
};

/* dialogue.c: waiting, notes, outcomes, ends */

/* Waits for an answer to `command`. Returns what the session's entry returns. */
enum pn_next deliver_await(struct deliver_dialogue *dialogue, enum deliver_stage stage,
			   const char *command, uint64_t timeout_ms);
/* Writes a line and notes it; `shown` is noted in its place where it holds a secret. */
void deliver_say(struct deliver_dialogue *dialogue, struct pn_slice line, const char *shown);
void deliver_note(struct deliver_dialogue *dialogue, const char *format, ...) PN_PRINTF(2, 3);
struct pn_delivery_recipient *deliver_recipient(const struct deliver_dialogue *dialogue,
						size_t index);
/* Gives a recipient its outcome. */
void deliver_settle(struct deliver_dialogue *dialogue, size_t index,
		    enum pn_delivery_outcome outcome, const struct pn_reply *reply,
		    const char *command);
/* The same for all that have none yet. */
void deliver_settle_rest(struct deliver_dialogue *dialogue, enum pn_delivery_outcome outcome,
			 const struct pn_reply *reply, const char *command);
/* What a 4xx or 5xx means. */
enum pn_delivery_outcome deliver_outcome_of(const struct pn_reply *reply);
/* Every recipient that was tried has its outcome. */
void deliver_hand_back(struct deliver_dialogue *dialogue);
/* The end: what has no outcome is put off, then the carrier is closed. Returns PN_NEXT_CLOSE. */
enum pn_next deliver_end(struct deliver_dialogue *dialogue, enum pn_carrier_end end,
			 const struct pn_reply *reply);
/* With QUIT, to a server that speaks sense. */
enum pn_next deliver_leave(struct deliver_dialogue *dialogue, enum pn_carrier_end end,
			   const struct pn_reply *reply);
/* The server said what it must not. */
enum pn_next deliver_nonsense(struct deliver_dialogue *dialogue, const char *what);
/* The connection is gone or late; the words say how. */
enum pn_next deliver_lost(struct deliver_dialogue *dialogue, const char *what);

/* hello.c */
enum pn_next deliver_greeted(struct deliver_dialogue *dialogue, const struct pn_reply *reply);
enum pn_next deliver_say_hello(struct deliver_dialogue *dialogue);
enum pn_next deliver_hello_answered(struct deliver_dialogue *dialogue,
				    const struct pn_reply *reply);

/* secure.c */
/* The hello is done: TLS, login, or ready. */
enum pn_next deliver_secure(struct deliver_dialogue *dialogue);
enum pn_next deliver_start_tls_answered(struct deliver_dialogue *dialogue,
					const struct pn_reply *reply);
enum pn_next deliver_secured(struct deliver_dialogue *dialogue, const struct pn_answer *answer);
void deliver_tell_tls(struct deliver_dialogue *dialogue);
/* The handshake failed: the connection is over. */
enum pn_next deliver_insecure(struct deliver_dialogue *dialogue, const struct pn_reply *reply);

/* login.c */
enum pn_next deliver_log_in(struct deliver_dialogue *dialogue);
enum pn_next deliver_login_answered(struct deliver_dialogue *dialogue,
				    const struct pn_reply *reply);
bool deliver_has_login(const struct deliver_dialogue *dialogue);

/* envelope.c */
/* Sorts out who cannot be tried. False: nobody is left, and all have their outcome. */
bool deliver_envelope_begin(struct deliver_dialogue *dialogue);
/* MAIL, RCPT, DATA: all at once, or the first one. */
enum pn_next deliver_envelope_send(struct deliver_dialogue *dialogue);
enum pn_next deliver_envelope_answered(struct deliver_dialogue *dialogue,
				       const struct pn_reply *reply);

/* body.c */
/* Reads what must be known before anything is sent, then sends the envelope. */
enum pn_next deliver_body_begin(struct deliver_dialogue *dialogue);
/* A piece came. */
enum pn_next deliver_body_read(struct deliver_dialogue *dialogue, const struct pn_answer *answer);
/* 354 came. */
enum pn_next deliver_body_send(struct deliver_dialogue *dialogue);
enum pn_next deliver_body_drained(struct deliver_dialogue *dialogue);
/* An answer to the end of the data. */
enum pn_next deliver_data_answered(struct deliver_dialogue *dialogue,
				   const struct pn_reply *reply);
void deliver_body_forget(struct deliver_dialogue *dialogue);

/* carrier.c */
/* The connection can take a message: the next one, or waiting for it. */
enum pn_next deliver_ready(struct deliver_dialogue *dialogue);
enum pn_status deliver_open(struct deliver_instance *instance, struct pn_carrier *carrier,
			    enum deliver_kind kind, struct pn_error *error);
void deliver_message(struct pn_carrier *carrier, struct pn_delivery *delivery);
void deliver_close(struct pn_carrier *carrier, bool now);

#endif
