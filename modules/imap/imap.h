/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IMAP server from the inside (RFC 3501 and its extensions): its options, what a
 * session remembers, and what its files offer each other. The table of commands is at
 * the bottom of imap.c; there is a file for each command. Loop thread.
 *
 * How a command runs. read.c gathers its lines and literals; the command's function
 * parses what is behind its name (parse.h) and either replies at once, or opens a
 * ticket and leaves a function in imap->on_answer (or, with much to say, in
 * imap->on_drained). It ends in imap_finish(), which tells what changed meanwhile
 * (sync.c) and then writes the tagged reply; what a command needs lives in
 * imap->arena, which goes with it.
 *
 * A session of a client that is idle holds the struct below, the ranges of its view,
 * and nothing else.
 */
#ifndef MODULES_IMAP_H
#define MODULES_IMAP_H

#include <postern/arena.h>
#include <postern/buffer.h>
#include <postern/option.h>
#include <postern/protocol.h>
#include <postern/sasl.h>
#include <postern/store.h>
#include <postern/text.h>

#include "parse.h"
#include "set.h"

enum imap_literals {
	IMAP_LITERALS_PLUS = 0, /* LITERAL+: of any size that is taken at all */
	IMAP_LITERALS_MINUS,    /* LITERAL-: up to 4096 bytes                 */
};

struct imap_config {
	uint32_t plaintext_login; /* enum pn_sasl_clear */
	struct pn_text_list mechanisms;
	uint32_t literals;
	const char *greeting;
	bool banner_worker;
	struct pn_text_list hidden_capabilities;
	uint64_t max_message_size;
	uint64_t max_command_size;
	uint32_t max_errors;
	uint32_t max_login_failures;
	uint64_t login_timeout;
	uint64_t command_timeout;
	uint64_t idle_interval;
};

enum {
	IMAP_STORE_DEADLINE_MS = 60 * 1000,
	IMAP_COMMIT_DEADLINE_MS = 10 * 60 * 1000, /* flags of a million messages */
	IMAP_EARLY_COMMAND_MAX = 8 * 1024,        /* bytes of a command before the login */
	IMAP_AUTH_LINE_MAX = 12 * 1024,
	IMAP_SKIP_MAX = 16 * 1024 * 1024,         /* of a LITERAL+ that is too large: skipped, not kept */
	IMAP_TAG_MAX = 200,
	IMAP_KEYWORDS_MAX = 1000,                 /* of one command; a mailbox has far fewer */
	IMAP_ROWS_AT_ONCE = 1000,
	IMAP_PIECE_SIZE = 256 * 1024,             /* of a body */
};

/* What a session switched on for good (RFC 5161, RFC 7162 section 3.1). */
enum imap_enabled {
	IMAP_CONDSTORE = 1u << 0,
	IMAP_QRESYNC = 1u << 1,
};

/* RFC 3501 section 3. */
enum imap_state {
	IMAP_NOT_AUTHENTICATED = 1u << 0,
	IMAP_AUTHENTICATED = 1u << 1,
	IMAP_SELECTED = 1u << 2,
};

/* A mailbox as the client knows it. Sequence numbers are places in its UIDs. */
struct imap_view {
	uint64_t mailbox;
	struct imap_uids uids;     /* what the client was told of and not told to forget */
	struct imap_uids vanished; /* part of `uids`: gone, and it may not be said yet */
	uint64_t modseq;           /* of the account: everything up to it was told, but `vanished` */
	uint64_t highest_modseq;   /* of the mailbox, as of then */
	uint32_t uid_validity;
	uint32_t uid_next;         /* behind the last UID that was told */
	uint32_t recent_uid;       /* \Recent from here on */
	uint32_t first_unclaimed;  /* shown as \Recent, and the store does not know yet */
	bool has_new;              /* in `uids`, and EXISTS is still to be said */
	bool is_read_only;
	struct pn_buffer keywords; /* that FLAGS named: words behind a space each */
};

struct imap_session;
struct imap_command;

typedef enum pn_next imap_answered(struct pn_session *session, struct imap_session *imap,
                                   const struct pn_answer *answer);
typedef enum pn_next imap_resumed(struct pn_session *session, struct imap_session *imap);

/* A command. The parser stands behind its name. */
typedef enum pn_next imap_handler(struct pn_session *session, struct imap_session *imap,
                                  struct imap_parser *parser);

/* What lines are for. */
enum imap_reading {
	IMAP_READING_COMMAND = 0,
	IMAP_READING_SASL,
	IMAP_READING_IDLE,
	IMAP_READING_MESSAGE, /* the message of an APPEND, and the end of its line */
};

struct imap_session {
	const struct imap_config *config;
	enum imap_state state;
	enum imap_reading reading;
	uint32_t enabled;         /* enum imap_enabled, or'ed */
	uint32_t errors;
	uint32_t login_failures;
	bool is_stale;            /* something of the account changed since the last look */
	bool news_failed;         /* the last look came to nothing */

	/* The command that comes in or runs. */
	struct pn_buffer input;   /* "tag NAME …", literals as {n} CRLF and bytes */
	bool is_skipping;         /* too large: the rest is read and dropped */
	const char *skip_reason;  /* a response code and text, for the end of it */
	struct pn_arena *arena;   /* NULL between commands */
	struct pn_slice tag;      /* in the arena */
	bool is_uid;              /* UID FETCH and its kin */
	bool hold_expunges;       /* FETCH, STORE, SEARCH (RFC 3501 section 7.4.1) */
	void *work;               /* the command's own, in the arena */
	void (*forget)(struct imap_session *imap); /* gives back what of `work` is not in it */
	struct pn_slice reply;    /* what imap_finish will say */
	imap_resumed *after_sync;
	imap_answered *on_answer;
	imap_resumed *on_drained;
	struct imap_sync *sync;
	struct pn_ticket timer;   /* of IDLE */

	struct imap_view *view;   /* SELECTED; or NULL */
	struct imap_uids saved;   /* SEARCHRES: "$" */
};

/* ---- reply.c: the one place where replies are written ---- */

/* "* text"; printf. */
void imap_untagged(struct pn_session *session, const char *format, ...) PN_PRINTF(2, 3);

/* The tagged reply, after the news; the command is over. `format` begins with "OK", "NO" or "BAD".
 * With hold_expunges nothing is said to be gone. */
enum pn_next imap_finish(struct pn_session *session, struct imap_session *imap,
                         const char *format, ...) PN_PRINTF(3, 4);

/* The tagged reply at once, without news. */
enum pn_next imap_reply(struct pn_session *session, struct imap_session *imap, const char *format,
                        ...) PN_PRINTF(3, 4);

/* BAD, and a mark against the client: too many, and it is the end. */
enum pn_next imap_bad(struct pn_session *session, struct imap_session *imap, const char *text);

/* The arguments could not be parsed: says where. */
enum pn_next imap_syntax(struct pn_session *session, struct imap_session *imap,
                         const struct imap_parser *parser);

/* "* BYE text", and the end. */
enum pn_next imap_bye(struct pn_session *session, const char *text);

/* The store did not do what it was asked: words for each status. `what` is "the mailbox". */
enum pn_next imap_store_refused(struct pn_session *session, struct imap_session *imap,
                                const struct pn_answer *answer, const char *what);

/* Strings as the grammar has them: quoted where possible, a literal otherwise. NULL data is NIL. */
void imap_write_string(struct pn_buffer *out, struct pn_slice text);
void imap_write_mailbox(struct pn_buffer *out, struct pn_slice name);
/* For pn_buffer functions whose limit cannot be reached or does not matter. */
void imap_put(struct pn_buffer *out, const char *text);
void imap_put_slice(struct pn_buffer *out, struct pn_slice text);
void imap_put_number(struct pn_buffer *out, uint64_t number);
/* Sends and clears. */
void imap_send(struct pn_session *session, struct pn_buffer *out);

/* Gives back what the command held. */
void imap_forget_command(struct imap_session *imap);
/* Forgets everything of the command; the next line begins another. */
enum pn_next imap_end_command(struct pn_session *session, struct imap_session *imap);

/* ---- read.c ---- */
enum pn_next imap_read_line(struct pn_session *session, struct imap_session *imap,
                            const struct pn_line *line);
enum pn_next imap_read_data(struct pn_session *session, struct imap_session *imap,
                            const struct pn_data *data);
/* Whether bytes follow a line that nobody has to ask for: "…{123+}". */
bool imap_ends_in_plus_literal(struct pn_slice line);
/* Runs the command that was gathered (imap.c). */
enum pn_next imap_run(struct pn_session *session, struct imap_session *imap);

/* ---- waiting ---- */

/* A ticket for a question to the store whose answer goes to `answered`. */
struct pn_ticket imap_wait(struct pn_session *session, struct imap_session *imap,
                           imap_answered *answered);
/* The row at a place of an answer's table. */
const struct pn_row *imap_row(const struct pn_row *rows, size_t row_size, size_t index);
/* A commit of one mutation of the session's account; `mailbox` may be 0. */
struct pn_commit *imap_commit_new(struct pn_session *session, enum pn_mutation_kind kind,
                                  uint64_t mailbox, struct pn_mutation **mutation_out);
/* A commit is submitted and `answered` is called with what became of it. */
enum pn_next imap_commit(struct pn_session *session, struct imap_session *imap,
                         struct pn_commit *commit, imap_answered *answered);
/* Returns PN_NEXT_DRAIN where much is unsent and leaves `resumed` to go on; else `next`. */
bool imap_must_drain(struct pn_session *session, struct imap_session *imap, imap_resumed *resumed);

/* ---- view.c ---- */
struct imap_view *imap_view_new(void);
void imap_view_free(struct imap_view **view);
/* Sequence sets and UID sets of a command, as UIDs of the view (in the command's arena). False: a
 * number that is no message (RFC 3501 section 9, seq-number); never with `is_uid`. */
bool imap_view_resolve(const struct imap_session *imap, const struct imap_set *set, bool is_uid,
                       struct pn_arena *arena, struct imap_uids *uids_out);
/* The same with what lies between them, as few ranges as were written, for SEARCH: numbers that are no
 * message match none, as everywhere else in a search. Never of "$". */
void imap_view_ranges(const struct imap_view *view, const struct imap_set *set, bool is_uid,
                      struct pn_arena *arena, struct imap_uids *uids_out);
/* The numbers of a set as they stand there, with a number for "*". */
void imap_set_numbers(const struct imap_set *set, uint32_t star, struct pn_arena *arena,
                      struct imap_uids *numbers_out);
bool imap_has_keyword(const struct imap_view *view, struct pn_slice word);
void imap_add_keyword(struct imap_view *view, struct pn_slice word);
/* "* FLAGS (…)" and PERMANENTFLAGS. */
void imap_tell_flags(struct pn_session *session, const struct imap_view *view);
/* Tells the store which messages were shown as recent; nobody waits for it. */
void imap_claim_recent(struct pn_session *session, struct imap_session *imap);
/* How many messages of the view are \Recent. */
uint32_t imap_recent_count(const struct imap_view *view);
/* Leaves the selected mailbox, without a word. */
void imap_unselect_mailbox(struct pn_session *session, struct imap_session *imap);

/* ---- flags.c ---- */
/* " \Seen $Forwarded" without the first space. */
void imap_put_flags(struct pn_buffer *out, const struct pn_flags *flags, bool is_recent);
/* A flag list or a single flag list of STORE and APPEND; keywords point into the command. */
bool imap_parse_flags(struct imap_parser *parser, struct pn_arena *arena, bool needs_parentheses,
                      struct pn_flags *flags_out);
/* Tells the FLAGS line again where there is a keyword that it did not name; before that, what is in
 * `out`. */
void imap_learn_keywords(struct pn_session *session, struct imap_session *imap,
                         struct pn_buffer *out, const struct pn_flags *flags);
/* "* n FETCH (FLAGS (…))" with UID and MODSEQ where they belong. */
void imap_put_flags_line(const struct imap_session *imap, struct pn_buffer *out, uint32_t sequence,
                         const struct pn_row *row, bool with_uid, bool with_flags);

/* ---- sync.c: news of the selected mailbox ---- */

/* What a command told or changed itself, and the news should not repeat. */
struct imap_told {
	const struct imap_uids *uids;
	uint64_t modseq;    /* rows up to it */
	bool modseq_only;   /* .SILENT with CONDSTORE: the new MODSEQ, not the flags */
};

/*
 * Asks what changed and tells it, then calls `then`. `force`: also where nothing is known to have
 * changed. Returns what to return.
 */
enum pn_next imap_tell_news(struct pn_session *session, struct imap_session *imap, bool force,
                            imap_resumed *then);
void imap_set_told(struct imap_session *imap, const struct imap_told *told);
/* Gives back what a look at the news holds, when the session ends in it. */
void imap_sync_abandon(struct imap_session *imap);

/* ---- names.c ---- */
/* A mailbox name as it came (modified UTF-7), as the store has it. False: it cannot be one; the
 * text says why. */
bool imap_mailbox_name(struct pn_arena *arena, struct pn_slice text, struct pn_slice *name_out,
                       const char **reason_out);
bool imap_name_from_utf7(struct pn_buffer *out, struct pn_slice text);
void imap_name_to_utf7(struct pn_buffer *out, struct pn_slice name);
bool imap_is_inbox(struct pn_slice name);
/* The special use of a word ("\Drafts"), or 0; and the words of attributes, each behind a space. */
uint32_t imap_special_use(struct pn_slice word);
void imap_put_special_uses(struct pn_buffer *out, uint32_t attributes);

/* ---- dates.c ---- */
void imap_put_internal_date(struct pn_buffer *out, int64_t milliseconds);
/* "17-Jul-1996 02:44:25 -0700" */
bool imap_parse_date_time(struct pn_slice text, int64_t *milliseconds_out);
/* "1-Feb-1994": days since 1970 */
bool imap_parse_date(struct pn_slice text, int64_t *days_out);
/* The day that a Date field names, wherever the sender was (RFC 3501 section 6.4.4, SENTON). */
bool imap_parse_header_date(struct pn_slice text, int64_t *days_out);

/* ---- capability.c, login.c ---- */
void imap_put_capabilities(struct pn_session *session, struct imap_session *imap,
                           struct pn_buffer *out);
bool imap_offers(struct pn_session *session, const struct imap_session *imap, const char *word);
enum pn_next imap_sasl_line(struct pn_session *session, struct imap_session *imap,
                            const struct pn_line *line);

/* ---- append.c, idle.c: commands that read more ---- */

/* What a literal at the end of what was gathered is: the message of an APPEND begins here? */
bool imap_append_begins(struct pn_session *session, struct imap_session *imap, uint64_t size,
                        bool is_plus, enum pn_next *next_out);
enum pn_next imap_append_line(struct pn_session *session, struct imap_session *imap,
                              const struct pn_line *line);
enum pn_next imap_append_data(struct pn_session *session, struct imap_session *imap,
                              const struct pn_data *data);
enum pn_next imap_idle_line(struct pn_session *session, struct imap_session *imap,
                            const struct pn_line *line);
void imap_idle_changed(struct pn_session *session, struct imap_session *imap);

/* ---- enable.c ---- */
/* From now on; says HIGHESTMODSEQ where a mailbox is selected (RFC 7162 section 3.1). */
void imap_enable(struct pn_session *session, struct imap_session *imap, uint32_t what);

/* ---- status.c: also for LIST … RETURN (STATUS …) ---- */
bool imap_parse_status_items(struct imap_parser *parser, uint32_t *items_out);
void imap_put_status(const struct imap_session *imap, struct pn_buffer *out,
                     const struct pn_mailbox_info *mailbox, uint32_t recent_uid, uint32_t items);

/* ---- commands, one file each ---- */
imap_handler imap_capability, imap_noop, imap_logout, imap_id, imap_starttls, imap_login,
	imap_authenticate, imap_enable_command, imap_select, imap_examine, imap_create, imap_delete,
	imap_rename, imap_subscribe, imap_unsubscribe, imap_list, imap_lsub, imap_status,
	imap_namespace, imap_append, imap_idle, imap_close, imap_unselect, imap_expunge,
	imap_search, imap_fetch, imap_store, imap_copy, imap_move;

#endif
