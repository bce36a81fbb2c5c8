/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SMTP server from the inside: its options, what a session remembers, and what
 * its files offer each other. One file for each verb or small group of verbs; the
 * table of verbs is at the bottom of smtp.c. Everything runs on the loop thread.
 */
#ifndef MODULES_SMTP_H
#define MODULES_SMTP_H

#include <postern/option.h>
#include <postern/protocol.h>
#include <postern/transaction.h>

enum smtp_profile {
	SMTP_PROFILE_MX = 0,
	SMTP_PROFILE_SUBMISSION, /* RFC 6409 */
	SMTP_PROFILE_LMTP,       /* RFC 2033 */
};

enum smtp_authentication {
	SMTP_AUTHENTICATION_NONE = 0,
	SMTP_AUTHENTICATION_OFFERED,
	SMTP_AUTHENTICATION_REQUIRED,
};

struct smtp_config {
	uint32_t profile;
	uint32_t authentication;
	uint32_t plaintext_login; /* enum pn_sasl_clear */
	struct pn_text_list mechanisms;
	const char *greeting;
	bool banner_worker;
	uint64_t max_message_size;
	uint32_t max_recipients;
	uint32_t max_errors;
	uint32_t soft_errors;
	uint64_t error_delay;
	uint32_t max_login_failures;
	uint32_t max_commands;
	uint32_t max_transactions;
	uint32_t max_command_length;
	uint64_t command_timeout;
	uint64_t data_timeout;
	uint64_t message_timeout;
	uint64_t max_hold;
	uint64_t min_deliver_by;
	uint64_t banner_delay;
	uint64_t min_data_rate; /* bytes a second */
	uint64_t data_rate_window;
	struct pn_text_list xclient_networks;
	struct pn_text_list xforward_networks;
	uint32_t vrfy;
	bool expn;
	struct pn_text_list etrn_networks;
	struct pn_text_list etrn_domains;
};

enum {
	/* RFC 4954 section 4: lines of AUTH and of its exchange, CRLF included. */
	SMTP_AUTH_LINE_MAX = 12288,
	SMTP_PARAMETERS_MAX = 16,
};

/* What VRFY answers. */
enum smtp_vrfy_answer {
	SMTP_VRFY_OFF = 0,
	SMTP_VRFY_NEUTRAL,
	SMTP_VRFY_ON,
};

/* What the open ticket is about. */
enum smtp_wait {
	SMTP_WAIT_NONE = 0,
	SMTP_WAIT_BANNER,
	SMTP_WAIT_HELLO,
	SMTP_WAIT_SENDER,
	SMTP_WAIT_RECIPIENT,
	SMTP_WAIT_BODY,
	SMTP_WAIT_ACCEPTED,
	SMTP_WAIT_AUTH,
	SMTP_WAIT_SECURED,
	SMTP_WAIT_PEER,
	SMTP_WAIT_REQUEST, /* whether it may be asked */
	SMTP_WAIT_ADDRESS,
	SMTP_WAIT_QUEUE,
};

enum smtp_request {
	SMTP_REQUEST_NONE = 0,
	SMTP_REQUEST_VRFY,
	SMTP_REQUEST_EXPN,
	SMTP_REQUEST_ETRN,
};

/* How fast a message comes: rate.c. */
struct smtp_rate {
	uint64_t bytes;      /* in this window */
	uint64_t started_ms; /* of it, monotonic */
	uint64_t paused_ms;  /* since when we are the one who is waited for; 0: we are not */
};

/* What a session remembers. The envelope itself is in the gateway's transaction. */
struct smtp_session {
	const struct smtp_config *config;
	enum smtp_wait waiting;
	bool is_greeted;       /* a hello was accepted */
	bool is_extended;      /* it was EHLO or LHLO */
	bool pending_extended; /* the one that is being judged */
	bool has_sender;
	bool in_auth; /* the next line belongs to the exchange */
	bool auth_line_too_long;
	bool data_is_complete;
	bool may_xclient; /* by the address that is really connected */
	bool may_xforward;
	bool has_hello_of_other; /* XCLIENT named it: the client's own does not count */
	bool may_etrn;
	enum smtp_request request; /* that is being answered */
	struct pn_arena *asked;    /* its argument lives here */
	struct pn_address address;
	bool is_forwarded;       /* XFORWARD told of the next message */
	bool is_utf8;     /* SMTPUTF8 stood at MAIL */
	bool is_binary;   /* BODY=BINARYMIME did: behind the header any byte may come */
	bool is_prdr;     /* PRDR did: an answer for each recipient */
	bool in_chunks;   /* BDAT began the message */
	bool in_chunk;    /* bytes that come are its */
	bool chunk_is_last;
	bool chunk_is_lost; /* refused: read and forgotten */
	bool after_cr;      /* the byte before in the chunks */
	bool at_line_start;
	bool line_is_empty;  /* nothing but its end yet */
	bool header_is_over; /* an empty line came */
	uint64_t chunk_size;
	uint64_t data_started_ms;
	struct smtp_rate rate;
	uint32_t errors; /* since the last message that was accepted */
	uint32_t login_failures;
	uint32_t commands;
	uint32_t transactions;
};

static inline bool smtp_is_lmtp(const struct smtp_session *smtp)
{
	return smtp->config->profile == SMTP_PROFILE_LMTP;
}

/* A verb. `argument` is what stands behind it, trimmed; valid until the handler returns. */
typedef enum pn_next smtp_handler(struct pn_session *session, struct smtp_session *smtp,
                                  struct pn_slice argument);

/* smtp.c */
/* The verbs that this profile knows, for HELP; NULL past the end. */
const char *smtp_verb_name(const struct smtp_session *smtp, size_t index);
/* Forgets the transaction: the one place, on every path that ends one. */
void smtp_reset(struct pn_session *session, struct smtp_session *smtp);

/* reply.c: the one place where replies are written */
void smtp_reply(struct pn_session *session, unsigned code, const char *enhanced, const char *text);
/* A line that others follow. */
void smtp_reply_more(struct pn_session *session, unsigned code, const char *enhanced,
                     const char *text);
/* A mistake of the client: replies and counts; closes where there were too many. */
enum pn_next smtp_error(struct pn_session *session, struct smtp_session *smtp, unsigned code,
                        const char *enhanced, const char *text);
/* What a stage said no with. Closes, silently, where it said drop. */
enum pn_next smtp_refuse(struct pn_session *session, struct smtp_session *smtp,
                         const struct pn_stage_result *result);
/* Instead of a greeting, or after STARTTLS: with 421, 521 or 554, whatever code policy named. */
enum pn_next smtp_turn_away(struct pn_session *session, const struct pn_stage_result *result,
                            bool has_enhanced);
/* The last reply. */
enum pn_next smtp_farewell(struct pn_session *session, unsigned code, const char *enhanced,
                           const char *text);

/* rate.c: pure; `now_ms` is monotonic */
void smtp_rate_begin(struct smtp_rate *rate, uint64_t now_ms);
/* Takes bytes. True where the window is over, and less came in it than so many bytes a second. */
bool smtp_rate_is_low(struct smtp_rate *rate, uint64_t now_ms, uint64_t bytes,
                      const struct smtp_config *config);
/* The client is not waited for meanwhile. Returns how long that was, in ms. */
void smtp_rate_pause(struct smtp_rate *rate, uint64_t now_ms);
uint64_t smtp_rate_resume(struct smtp_rate *rate, uint64_t now_ms);

/* greeting.c */
enum pn_next smtp_open(struct pn_session *session, void *state, const struct pn_answer *answer);
/* connection.open was judged: the banner, or none. */
enum pn_next smtp_welcome(struct pn_session *session, struct smtp_session *smtp,
                          const struct pn_stage_result *result, uint64_t delay_ms);
/* The wait before the banner is over. */
enum pn_next smtp_banner_due(struct pn_session *session, struct smtp_session *smtp);
smtp_handler smtp_ehlo, smtp_helo;
enum pn_next smtp_hello_judged(struct pn_session *session, struct smtp_session *smtp,
                               const struct pn_stage_result *result);

/* proxied.c: a client that speaks for others */
smtp_handler smtp_xclient, smtp_xforward;
/* The capabilities of those that may, one by one from 0; NULL past the end. */
const char *smtp_proxy_capability(const struct smtp_session *smtp, size_t index);
/* What XFORWARD told becomes facts of the message; its end forgets it. */
void smtp_forwarded_tell(struct pn_session *session, const struct smtp_session *smtp);
void smtp_forwarded_forget(struct pn_session *session, struct smtp_session *smtp);

/* mail.c and rcpt.c */
smtp_handler smtp_mail, smtp_rcpt;
enum pn_next smtp_sender_judged(struct pn_session *session, struct smtp_session *smtp,
                                const struct pn_stage_result *result);
enum pn_next smtp_recipient_judged(struct pn_session *session, struct smtp_session *smtp,
                                   const struct pn_stage_result *result);

/* data.c */
smtp_handler smtp_data;
/* The message is whole. */
enum pn_next smtp_submit(struct pn_session *session, struct smtp_session *smtp);
/* The longest silence in it, from now on. */
void smtp_set_data_deadline(struct pn_session *session, const struct smtp_session *smtp);
/* It begins: its time runs from now on. */
void smtp_data_begins(struct pn_session *session, struct smtp_session *smtp);
/* These bytes of it came. False: it takes too long, or comes too slowly; *next_out is the end. */
bool smtp_is_in_time(struct pn_session *session, struct smtp_session *smtp, size_t bytes,
                     enum pn_next *next_out);
/* return smtp_await_body(smtp);  The disk must catch up first. */
enum pn_next smtp_await_body(struct smtp_session *smtp);
const char *smtp_data_problem(enum pn_line_problem problem);
enum pn_next smtp_data_piece(struct pn_session *session, void *state, const struct pn_data *data);
enum pn_next smtp_body_answered(struct pn_session *session, struct smtp_session *smtp);
enum pn_next smtp_message_answered(struct pn_session *session, struct smtp_session *smtp,
                                   const struct pn_stage_result *result);

/* chunk.c */
smtp_handler smtp_bdat;
enum pn_next smtp_chunk_piece(struct pn_session *session, struct smtp_session *smtp,
                              const struct pn_data *data);
enum pn_next smtp_chunk_answered(struct pn_session *session, struct smtp_session *smtp);

/* auth.c */
smtp_handler smtp_auth;
/* Whether a password may be given as the session stands. */
bool smtp_login_is_possible(const struct pn_session *session, const struct smtp_session *smtp);
bool smtp_is_authenticated(const struct pn_session *session);
enum pn_next smtp_auth_line(struct pn_session *session, struct smtp_session *smtp,
                            const struct pn_line *line);
struct pn_sasl_step;
enum pn_next smtp_auth_answered(struct pn_session *session, struct smtp_session *smtp,
                                const struct pn_sasl_step *step);

/* other.c */
smtp_handler smtp_rset, smtp_noop, smtp_quit, smtp_help, smtp_starttls,
	smtp_not_implemented, smtp_wrong_protocol;
enum pn_next smtp_secured(struct pn_session *session, struct smtp_session *smtp,
                          const struct pn_stage_result *result);

/* requests.c */
smtp_handler smtp_vrfy, smtp_expn, smtp_etrn;
struct pn_address_known;
struct pn_queue_summoned;
/* The hooks said whether it may be asked. */
enum pn_next smtp_request_judged(struct pn_session *session, struct smtp_session *smtp,
                                 const struct pn_stage_result *result);
enum pn_next smtp_address_known(struct pn_session *session, struct smtp_session *smtp,
                                const struct pn_address_known *known);
/* NULL: it could not be done. */
enum pn_next smtp_queue_summoned(struct pn_session *session, struct smtp_session *smtp,
                                 const struct pn_queue_summoned *summoned);
void smtp_request_forget(struct smtp_session *smtp);

/* parameters.c */
enum smtp_parameters_of { SMTP_OF_MAIL = 0, SMTP_OF_RCPT };

struct smtp_parameters {
	const struct smtp_config *config;
	int64_t now_ms;       /* wall clock */
	struct pn_parameter items[SMTP_PARAMETERS_MAX];
	size_t count;
	uint64_t size;        /* of SIZE=, or 0 */
	bool is_utf8;         /* SMTPUTF8 (RFC 6531) */
	bool is_binary;       /* BODY=BINARYMIME (RFC 3030) */
	bool is_prdr;
	bool has_priority;
	int priority;         /* of MT-PRIORITY (RFC 6710): -9 to 9 */
	struct pn_deliver_by by; /* of BY (RFC 2852) */
	bool requires_tls;    /* REQUIRETLS (RFC 8689) */
	int64_t release_ms;   /* of HOLDFOR and HOLDUNTIL (RFC 4865): wall clock; 0: neither */
};

/* What is wrong with parameters, as a reply; code 0 where nothing is. */
struct smtp_problem {
	unsigned code;
	const char *enhanced;
	const char *text;
};

/* The path behind "FROM:" or "TO:", moved past; the address lives in the arena. Whether UTF-8 may
 * stand in it is known when the parameters are. */
struct smtp_problem smtp_parse_path(struct pn_slice *argument, enum smtp_parameters_of command,
                                    struct pn_arena *arena, struct pn_address *address_out);
/* What follows the path, at that moment (wall clock). The items point into `text`. */
struct smtp_problem smtp_parse_parameters(const struct smtp_session *smtp, int64_t now_ms,
                                          struct pn_slice text, enum smtp_parameters_of command,
                                          struct smtp_parameters *parameters_out);

/* esmtp-keyword (RFC 5321 section 4.1.2): a letter or digit, then those and hyphens. */
bool smtp_is_keyword(struct pn_slice name);

/* values.c: what is wrong with the value of a parameter, if it is one that is offered */
struct smtp_problem smtp_check_parameter(const struct pn_parameter *parameter,
                                         enum smtp_parameters_of command,
                                         struct smtp_parameters *parameters);

/* submission.c: adds what a message that begins its way here must have */
struct pn_stage_call;
enum pn_verdict smtp_complete_message(const struct pn_stage_call *call);

#endif
