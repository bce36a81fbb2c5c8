/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway of straw for the modules that deliver: one carrier, one session, tickets
 * and a clock that the test moves. Framing and stuffing are the real ones. The test
 * plays the server. Used by unit_deliver and by fuzz_deliver_session.
 */
#ifndef TESTS_UNIT_DELIVER_STRAW_H
#define TESTS_UNIT_DELIVER_STRAW_H

#include "../../../modules/deliver_smtp/deliver.h"

enum { STRAW_RECIPIENTS_MAX = 1100, STRAW_TICKETS = 64 };

#define STRAW_WALL_MS INT64_C(1795000000000) /* when now_ms is 0 */

struct straw_recipient {
	struct pn_delivery_recipient recipient; /* first */
	char address[100];
	char padding[8]; /* the step is not the struct's own size */
};

struct straw {
	/* Set before straw_open. */
	struct deliver_config config;
	struct pn_next_hop hop;
	bool loopback;

	/* Set before a message. */
	struct pn_slice body;
	uint64_t body_size;       /* what the envelope says; body.size unless it was changed */
	struct pn_address sender;
	struct pn_parameter parameters[8];
	size_t parameter_count;
	size_t piece_size;        /* most of one answer; 0: what was asked for */
	bool body_fails;
	bool keeps_answers;       /* bodies are not answered until straw_answer_body */
	size_t messages_waiting;  /* handed over inside pn_carrier_ready */

	/* What happened. */
	unsigned connects;
	const struct pn_connect *request;
	struct pn_connect request_kept;
	char connected_to[200];
	char connected_from[100];
	char tls_name[100];
	char server_name[100];
	unsigned ready;
	unsigned done;
	unsigned closed;
	enum pn_carrier_end end;
	struct pn_reply end_reply;
	unsigned reads;
	struct pn_buffer sent;    /* to the server, since straw_sent */
	struct pn_buffer output;  /* not flushed */
	struct pn_buffer notes;
	struct pn_buffer facts;
	enum pn_next next;
	uint64_t deadline_ms;
	uint64_t now_ms;

	/* The message. */
	struct pn_delivery delivery;
	struct straw_recipient recipients[STRAW_RECIPIENTS_MAX];
	bool is_delivering;
	bool asked_body;
	uint64_t asked_offset;
	size_t asked_size;
	struct pn_ticket asked_ticket;

	/* The machine. */
	const struct pn_transport *transport;
	void *instance;
	void *carrier_state;
	bool has_session;
	bool session_closed;
	bool is_encrypted;
	bool is_stalled;          /* the server takes nothing: output stays */
	uint8_t stuff_state;
	struct pn_buffer input;
	size_t line_limit;
	bool in_entry;
	uint32_t next_generation;
	struct {
		struct pn_ticket ticket;
		pn_answered_function *answered;
		void *user;
		bool is_open;
		bool is_session;
		bool has_answer;
		enum pn_answer_kind kind;
		enum pn_status status;
		bool is_body;
	} tickets[STRAW_TICKETS];
};

extern struct straw straw;

/* A new world, with defaults: one carrier of SMTP or LMTP, not opened. */
void straw_begin(enum deliver_kind kind);
/* The end of the world: everything must have been given back. */
void straw_end(void);

/* A recipient of the next message; a parameter of its sender. */
void straw_envelope(const char *sender, size_t recipients);
void straw_parameter(const char *name, const char *value);
struct pn_delivery_recipient *straw_recipient(size_t index);

/* Opens the carrier; the connection stands. */
enum pn_status straw_open(struct pn_error *error);
void straw_connected(void);
void straw_not_connected(const char *why, int number);

/* Hands a message over now. */
void straw_deliver(void);
/* What the server says; its end; time that is up; the handshake that it waits for. */
void straw_say(const char *text);
void straw_say_bytes(struct pn_slice bytes);
void straw_eof(void);
void straw_reset(void);
void straw_late(void);
void straw_stop(void);
void straw_secured(bool is_up);
/* The body that was asked for comes. */
void straw_answer_body(void);
/* Answers that wait are given, until there is nothing to do. */
void straw_run(void);
/* What was sent since it was asked last; valid until more is sent. */
const char *straw_sent(void);

#endif
