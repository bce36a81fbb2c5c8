/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session from the inside: the machine that frames input, calls the protocol's
 * entries, and does what they return. One struct, one owner (this folder); it is
 * freed at the top of the loop and nowhere else. Loop thread.
 */
#ifndef CORE_SESSION_SESSION_H
#define CORE_SESSION_SESSION_H

#include <postern/arena.h>
#include <postern/buffer.h>
#include <postern/option.h>
#include <postern/protocol.h>
#include <postern/session.h>

#include "io/frame.h"
#include "io/loop.h"
#include "io/socket.h"
#include "io/stream.h"
#include "io/world.h"
#include "session/engine.h"
#include "session/generation.h"

#include <sys/socket.h>

struct slot;

enum {
	PN_SESSION_MAGIC = 0x5e551011,
	PN_OUTPUT_HIGH = 256 * 1024, /* more than this, and the module should drain */
	PN_OUTPUT_LOW = 64 * 1024,
};

/* Where a session stands beyond what its module asked for. */
enum pn_session_phase {
	PN_PHASE_OPENING = 0, /* connecting, implicit TLS, connection.open */
	PN_PHASE_RUNNING,
	PN_PHASE_HANDSHAKE,   /* TLS, at its start or by START_TLS */
	PN_PHASE_SPLICED,
	PN_PHASE_FLUSHING,    /* next is CLOSE: the output must go out */
	PN_PHASE_LINGERING,   /* FIN was sent: the peer's last bytes are read and dropped */
	PN_PHASE_ENDING,      /* connection.close is asked */
	PN_PHASE_ENDED,       /* waits for the top of the loop to be freed */
};

/* A text that may change, in the session's arena. */
struct pn_kept_text {
	char *room;
	size_t size;
	size_t capacity;
};

struct pn_session_note {
	struct pn_slice key;
	struct pn_kept_text value;
	struct pn_session_note *next;
};

/* What folders below hang on a session: freed with it. */
struct pn_session_attachment {
	void (*release)(struct pn_session *session, void *attachment);
	void *attachment;
};

struct pn_session {
	uint32_t magic;
	enum pn_session_phase phase;
	char id[PN_ID_SIZE];

	struct pn_generation *generation;
	struct pn_instance *instance;
	const void *config;
	const struct pn_protocol *protocol;
	void *state;
	void *user; /* of pn_connect */
	struct pn_arena *arena;
	struct pn_arena *steps[2]; /* for one question each; see pn_session_step_arena */
	unsigned step;

	struct pn_stream *stream;
	struct pn_timer *deadline;
	struct pn_task task; /* AGAIN, DRAIN, events, freeing */
	struct slot *tickets;
	struct pn_session *previous;
	struct pn_session *next_session;
	struct pn_session *spliced;

	/* In the phase of the handshake: handshake.c. */
	void *handshake_line;
	struct pn_session *handshake_next;
	struct pn_session **handshake_link;
	uint64_t handshake_began_ms;

	/* What the module asked for. */
	enum pn_next next;
	size_t line_limit;
	uint64_t deadline_ms;
	uint64_t delay_ms; /* until the delay begins */
	uint64_t bytes_left;
	enum pn_data_form data_form;
	struct pn_frame_dot dot;

	struct pn_buffer input;
	struct pn_buffer output;
	size_t output_done; /* bytes of output that are sent */
	uint64_t output_since_ms; /* its client has been slow to take it since then; 0: it is not */
	uint64_t output_mark;     /* bytes_out at that moment */
	size_t scanned;
	size_t window_left; /* bytes that came with the line that the module is handling */
	struct pn_frame_stuff stuff;

	bool is_client;
	bool tls_at_once;
	bool tls_allowed;
	bool peer_is_loopback;
	bool is_skipping_line;
	bool skip_after_cr;
	bool input_ended;
	bool input_waits;      /* input was not looked at, because the output was high */
	bool needs_deadline;   /* a wait begins */
	bool in_entry;         /* the module is being called */
	bool is_rated;         /* its commands are counted by the minute */
	bool is_delayed;       /* nothing is done for the client until its deadline has passed */
	bool has_turn;         /* its next line has waited already */
	bool has_begun_handshake;
	bool was_opened;       /* the protocol's `open` was called */
	bool is_early_talker;
	uint32_t raised;       /* events that wait, bits of enum pn_event_kind */
	enum pn_close_reason close_reason;

	char peer[PN_ADDRESS_TEXT_SIZE];
	/* What it is counted under; 0: it is not. See limits.h. */
	uint64_t address_key;
	uint64_t account_key;
	uint64_t tenant_key;

	const char *spoken_for_by; /* who is really connected, where the peer is one it speaks for */
	uint16_t peer_port;
	const char *listener;
	const struct pn_tls_target *tls_target; /* of a connection that we make */
	struct pn_tls_service *tls_service;     /* of one that we accepted; or NULL: no TLS */
	const struct pn_client_certificate *client_certificate; /* or NULL */
	struct pn_kept_text hello;
	struct pn_slice identity;
	const struct pn_account *account;
	struct pn_transaction *transaction;
	const char *transaction_id; /* of it; or NULL */
	uint64_t errand;              /* it was opened on behalf of; see running.h */
	struct pn_session_note *notes;
	uint32_t auth_failures;
	uint32_t unauthorised_pipelining;

	/* What hangs on it: the transaction, the login, a watch. */
	struct pn_session_attachment transaction_attachment;
	struct pn_session_attachment login_attachment;
	struct pn_session_attachment watch_attachment;

	const struct pn_text_list *login_mechanisms; /* see pn_sasl_set_terms; NULL: it was not called */
	uint32_t login_clear;                        /* enum pn_sasl_clear */

	struct pn_trail trail;
	uint64_t started_ns;
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint32_t transactions_accepted;
};

/* What the process layer gives: filled in once at start. */
struct pn_session_world {
	unsigned worker_number;
	uint32_t (*count)(uint64_t key, int change); /* returns the sum over workers; see limits.h */
	void (*session_ended)(void); /* room for another */
	uint64_t hurry_ms; /* longest wait for input of who is not known; 0: as they said */

	/* Counted here, shown by the process layer. */
	uint64_t messages_accepted;
	uint64_t turned_away; /* connections that became no session */
};

extern struct pn_session_world pn_session_world;

/* An accepted connection becomes a session. Takes the descriptor. */
struct pn_accepted {
	int descriptor;
	const struct sockaddr *peer;
	const char *listener;      /* lives as long as the generation */
	struct pn_generation *generation;
	struct pn_instance *instance;
	struct pn_tls_service *tls_service; /* of the generation; NULL: no TLS */
	bool implicit_tls;
	bool tls_allowed;
};
void pn_session_accept(const struct pn_accepted *accepted);

/* It becomes none, and is told why as the protocol says such a thing. Takes the descriptor. */
void pn_session_turn_away(const struct pn_accepted *accepted, const char *why);

/* Delivers an answer to the protocol's entry (ticket.c). */
void pn_session_answered(struct pn_session *session, const struct pn_answer *answer);

/* An event for a session, delivered from the top of the loop. */
void pn_session_raise(struct pn_session *session, const struct pn_session_event_info *event);

/* All sessions: their number, and "the gateway stops" to each; later their end. */
size_t pn_session_count(void);
void pn_sessions_stop(void);
void pn_sessions_hurry(void); /* those that wait for input already wait no longer than the new ones */
void pn_sessions_end(void);
void pn_sessions_free(void); /* those that ended: at the end of the process */

/* A session on a connected (or connecting) descriptor, which it takes; NULL where the loop refuses
 * it. For open.c. */
struct pn_session *pn_session_new(struct pn_generation *generation, struct pn_instance *instance,
				  const struct pn_protocol *protocol, int descriptor,
				  struct pn_error *error);

/* Memory for one question to a stage, the directory or the login: lives until the question after the
 * next is asked, so that a client that asks for ever takes no more. */
struct pn_arena *pn_session_step_arena(struct pn_session *session);

/* Around each call of an entry: whoever looks at the slot knows what runs, and for what message. */
void pn_session_enter(struct pn_session *session, const char *entry);
enum pn_next pn_session_leave(struct pn_session *session, enum pn_next next);

/* machine.c: what the other files of this folder use */
void pn_session_proceed(struct pn_session *session, enum pn_next next);
void pn_session_close(struct pn_session *session, enum pn_close_reason reason);
void pn_session_abort(struct pn_session *session, enum pn_close_reason reason);
bool pn_session_flush(struct pn_session *session); /* false: the connection broke */
void pn_session_settle(struct pn_session *session);

/* splice.c */
void pn_session_splice_ready(struct pn_session *session, int events);
void pn_session_splice_begin(struct pn_session *session);

/* open.c: asks connection.open or connection.secured and goes on */
void pn_session_opened(struct pn_session *session);
void pn_session_connect_late(struct pn_session *session);
void pn_session_secured(struct pn_session *session, bool is_up, const char *why);

#endif
