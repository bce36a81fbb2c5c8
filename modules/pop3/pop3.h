/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The POP3 server from the inside (RFC 1939): its options, what a session
 * remembers, and what its files offer each other. The table of commands is at the
 * bottom of pop3.c. Everything runs on the loop thread.
 */
#ifndef MODULES_POP3_H
#define MODULES_POP3_H

#include <postern/address.h>
#include <postern/protocol.h>
#include <postern/sasl.h>
#include <postern/store.h>

struct pop3_config {
	uint32_t plaintext_login; /* enum pn_sasl_clear */
	struct pn_text_list mechanisms;
	const char *greeting;
	bool banner_worker;
	uint32_t max_messages;
	uint32_t max_errors;
	uint32_t max_login_failures;
	uint32_t max_commands;
	uint32_t max_command_length;
	uint64_t command_timeout;
};

enum {
	POP3_AUTH_LINE_MAX = 12288, /* RFC 5034 section 4 */
	POP3_PIECE_SIZE = 64 * 1024,
	POP3_ROWS_AT_ONCE = 1000,
	POP3_STORE_DEADLINE_MS = 60 * 1000,
	POP3_UIDL_SIZE = 2 * PN_BODY_ID_SIZE + 1 + 10 + 1, /* "id.uid", RFC 1939: at most 70 */
};

/* What the open ticket is about. */
enum pop3_wait {
	POP3_WAIT_NONE = 0,
	POP3_WAIT_LOGIN,
	POP3_WAIT_OPEN,
	POP3_WAIT_MAILBOX,
	POP3_WAIT_ROWS,
	POP3_WAIT_BODY,
	POP3_WAIT_UPDATE,
	POP3_WAIT_SECURED,
};

/* What goes out in parts. */
enum pop3_sending {
	POP3_SENDING_NOTHING = 0,
	POP3_SENDING_LIST,
	POP3_SENDING_UIDL,
	POP3_SENDING_BODY,
};

/* One message of the maildrop, as it was when the session opened it. */
struct pop3_message {
	uint64_t size;
	uint32_t uid;
	bool is_deleted;
	bool is_repeated; /* an earlier message has the same body */
	struct pn_body_id body;
};

/* The maildrop: INBOX, frozen. Numbers of messages begin at 1, those of the array at 0. */
struct pop3_maildrop {
	struct pn_arena *arena;
	uint64_t mailbox; /* 0: the account does not exist yet, and is empty */
	uint32_t last_uid;
	struct pop3_message *messages;
	size_t count;
	size_t capacity;
	bool knows_repeated;
};

/* RETR and TOP under way. */
struct pop3_retrieval {
	size_t index;
	uint64_t offset;
	bool is_top;
	uint64_t lines_left; /* TOP: of the body */
	bool in_body;
	uint64_t line_size; /* bytes of the line so far, without its LF */
};

struct pop3_session {
	const struct pop3_config *config;
	enum pop3_wait waiting;
	enum pop3_sending sending;
	size_t send_at;
	bool is_open; /* TRANSACTION state */
	bool in_auth;
	bool auth_line_too_long;
	char name[PN_PATH_MAX + 1];
	size_t name_size; /* 0: no USER yet */
	uint32_t errors;
	uint32_t login_failures;
	uint32_t commands;
	struct pop3_maildrop drop;
	struct pop3_retrieval retrieval;
};

/* A command. `argument` is what stands behind it; PASS gets it untouched, the others trimmed. */
typedef enum pn_next pop3_handler(struct pn_session *session, struct pop3_session *pop3,
                                  struct pn_slice argument);

/* reply.c: the one place where replies are written */
/* "+OK text"; printf. */
void pop3_ok(struct pn_session *session, const char *format, ...) PN_PRINTF(2, 3);
/* "-ERR [code] text"; `code` may be "" (RFC 2449 section 8, RFC 3206). Returns PN_NEXT_LINE. */
enum pn_next pop3_refuse(struct pn_session *session, const char *code, const char *text);
/* A mistake of the client: replies and counts; closes where there were too many. */
enum pn_next pop3_error(struct pn_session *session, struct pop3_session *pop3, const char *text);
/* The last reply. */
enum pn_next pop3_farewell(struct pn_session *session, const char *code, const char *text);

/* login.c */
pop3_handler pop3_user, pop3_pass, pop3_auth;
enum pn_next pop3_auth_line(struct pn_session *session, struct pop3_session *pop3,
                            const struct pn_line *line);
enum pn_next pop3_login_answered(struct pn_session *session, struct pop3_session *pop3,
                                 const struct pn_sasl_step *step);

/* maildrop.c */
enum pn_next pop3_maildrop_open(struct pn_session *session, struct pop3_session *pop3);
enum pn_next pop3_open_judged(struct pn_session *session, struct pop3_session *pop3,
                              const struct pn_stage_result *result);
enum pn_next pop3_mailbox_answered(struct pn_session *session, struct pop3_session *pop3,
                                   const struct pn_answer *answer);
enum pn_next pop3_rows_answered(struct pn_session *session, struct pop3_session *pop3,
                                const struct pn_answer *answer);
/* The message that an argument means, or NULL where there is none (any more). */
struct pop3_message *pop3_maildrop_find(struct pop3_maildrop *drop, struct pn_slice number);
void pop3_maildrop_count(const struct pop3_maildrop *drop, size_t *count_out, uint64_t *size_out);
/* The unique-id (RFC 1939 section 7) into `room`, POP3_UIDL_SIZE bytes. */
const char *pop3_maildrop_uidl(struct pop3_maildrop *drop, const struct pop3_message *message,
                               char *room);
void pop3_maildrop_close(struct pop3_maildrop *drop);

/* list.c */
pop3_handler pop3_stat, pop3_list, pop3_uidl;
enum pn_next pop3_list_more(struct pn_session *session, struct pop3_session *pop3);

/* retrieve.c */
pop3_handler pop3_retr, pop3_top;
enum pn_next pop3_body_answered(struct pn_session *session, struct pop3_session *pop3,
                                const struct pn_answer *answer);
enum pn_next pop3_retrieve_more(struct pn_session *session, struct pop3_session *pop3);

/* update.c */
pop3_handler pop3_dele, pop3_rset, pop3_quit, pop3_noop;
enum pn_next pop3_update_answered(struct pn_session *session, struct pop3_session *pop3,
                                  const struct pn_answer *answer);

/* capability.c */
pop3_handler pop3_capa, pop3_stls;
enum pn_next pop3_secured(struct pn_session *session, struct pop3_session *pop3,
                          const struct pn_stage_result *result);

#endif
