/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stores: where mail is kept. One small interface for what IMAP, POP3, LMTP and
 * the queue need, and the functions through which protocols use it.
 *
 * The pieces. An *account* has mailboxes and one modseq that grows with every
 * change. A *mailbox* has a stable id, a name, a UIDVALIDITY, and messages with
 * ascending UIDs. A *row* is one message in one mailbox: flags, dates, sizes.
 * A *body* is the bytes of a message: immutable, written once, shared by copies.
 * A *commit* is a list of mutations that happens whole or not at all; when it is
 * answered with PN_OK it is durable and visible to every worker. A *queue row*
 * is a message that waits for delivery; putting it is a mutation like any other,
 * so that accepting a message is one commit.
 *
 * All mutations are set operations ("add these flags to these UIDs"), never
 * read-modify-write by the caller. What must hold for them is part of them, is
 * checked before the first write, and where it does not hold nothing is written.
 *
 * A reader of a mailbox opens a *view*: what the mailbox looks like now. It asks
 * for the changes since the modseq of its view whenever it wants to see more.
 * Rows and bodies of expunged messages stay for a while (a day by default) so
 * that sessions that were not told can go on fetching them.
 *
 * No path, descriptor or pointer to the disk stands in these types: a store may
 * be a database on another machine.
 *
 * For store modules. All entries but commit are questions. An entry fills in its
 * result and returns a status, or returns PN_PENDING and calls
 * pn_store_answer(call, status) later, on the loop. A store whose questions block
 * says so in `capabilities`: the gateway then calls the entry on a worker thread,
 * and it must not return PN_PENDING. Results live in call->arena.
 */
#ifndef POSTERN_STORE_H
#define POSTERN_STORE_H

#include <postern/arena.h>
#include <postern/error.h>
#include <postern/ticket.h>
#include <postern/types.h>

/* ------------------------------------------------------------------ values */

enum {
	PN_BODY_ID_SIZE = 16,
	PN_MAILBOX_NAME_MAX = 1000, /* bytes of UTF-8; levels are separated by '/' */
	PN_KEYWORD_MAX = 64,        /* bytes of one keyword */
	PN_KEYWORDS_PER_MAILBOX = 64,
};

/* Names a body for ever, in every store that has it: POP3's UIDL and OBJECTID's EMAILID. */
struct pn_body_id {
	uint8_t bytes[PN_BODY_ID_SIZE];
};

/* UIDs: ascending ranges that do not touch. first <= last, 1 <= first. */
struct pn_uid_range {
	uint32_t first;
	uint32_t last;
};

struct pn_uid_set {
	const struct pn_uid_range *ranges;
	size_t count;
};

/* System flags. */
enum pn_flag {
	PN_FLAG_SEEN = 1u << 0,
	PN_FLAG_ANSWERED = 1u << 1,
	PN_FLAG_FLAGGED = 1u << 2,
	PN_FLAG_DELETED = 1u << 3,
	PN_FLAG_DRAFT = 1u << 4,
};

/* System flags and keywords ("$Forwarded"; compared without case, kept as first written). */
struct pn_flags {
	uint32_t system; /* enum pn_flag, or'ed */
	const struct pn_slice *keywords;
	size_t keyword_count;
};

/* Special uses (RFC 6154) and what else LIST says of a mailbox. */
enum pn_mailbox_attribute {
	PN_MAILBOX_ALL = 1u << 0,
	PN_MAILBOX_ARCHIVE = 1u << 1,
	PN_MAILBOX_DRAFTS = 1u << 2,
	PN_MAILBOX_FLAGGED = 1u << 3,
	PN_MAILBOX_JUNK = 1u << 4,
	PN_MAILBOX_SENT = 1u << 5,
	PN_MAILBOX_TRASH = 1u << 6,
	PN_MAILBOX_IMPORTANT = 1u << 7,
	PN_MAILBOX_SUBSCRIBED = 1u << 16,
	PN_MAILBOX_NO_SELECT = 1u << 17,  /* only a level of the tree: id is 0 */
	PN_MAILBOX_NONEXISTENT = 1u << 18, /* only subscribed: id is 0 */
	PN_MAILBOX_HAS_CHILDREN = 1u << 19,
};

/* ---------------------------------------------------------------- questions */

/* What an entry gets besides its request. */
struct pn_store_call {
	uint32_t struct_size;
	struct pn_arena *arena;  /* for the result */
	struct pn_error error;   /* filled in with PN_FAILED and PN_LIMIT */
};

struct pn_mailbox_info {
	uint64_t id;             /* never used again in this account */
	struct pn_slice name;    /* "INBOX", "Archive/2026" */
	uint32_t attributes;     /* enum pn_mailbox_attribute, or'ed */
	uint32_t uid_validity;
	uint32_t uid_next;
	uint32_t message_count;
	uint32_t unseen_count;
	uint32_t deleted_count;
	uint64_t size_bytes;     /* of all messages */
	uint64_t highest_modseq;
};

struct pn_mailboxes_request {
	uint32_t struct_size;
	struct pn_slice account;
	struct pn_slice name;    /* one of that name, or "" for all */
	uint64_t id;             /* one of that id, or 0 */
};

struct pn_mailboxes {
	uint32_t struct_size;
	uint32_t mailbox_size;   /* step from mailbox to mailbox */
	const struct pn_mailbox_info *mailboxes; /* sorted by name, INBOX first */
	size_t count;
	uint64_t modseq;         /* of the account */
	const uint32_t *recent_uids; /* for each mailbox, as in pn_view; or NULL */
};

/* PN_NOT_FOUND: no such account or mailbox. */
struct pn_view_request {
	uint32_t struct_size;
	struct pn_slice account;
	uint64_t mailbox;
};

struct pn_view {
	uint32_t struct_size;
	struct pn_mailbox_info mailbox;
	struct pn_uid_set uids;  /* all that are there */
	uint64_t modseq;         /* of this view */
	const struct pn_slice *keywords; /* in use in the mailbox */
	size_t keyword_count;
	uint32_t recent_uid;     /* messages from this UID on were shown to nobody yet; see
	                          * PN_MUTATION_RECENT. 0: not known */
};

/* Which fields of a row are wanted; the others may be left empty. */
enum pn_row_field {
	PN_ROW_FLAGS = 1u << 0,
	PN_ROW_DATES = 1u << 1,
	PN_ROW_SIZES = 1u << 2,
	PN_ROW_BODY_ID = 1u << 3,
	PN_ROW_SUMMARY = 1u << 4,
	PN_ROW_THREAD = 1u << 5,
};

struct pn_row {
	uint32_t uid;
	bool is_expunged;        /* still readable; see above */
	uint64_t modseq;
	struct pn_flags flags;
	int64_t internal_date_ms; /* INTERNALDATE: milliseconds since 1970 */
	int64_t saved_date_ms;    /* when it came into this mailbox (RFC 8514) */
	uint64_t size;            /* bytes of the body, CRLF line ends */
	uint32_t header_size;     /* bytes up to and with the empty line */
	struct pn_body_id body;
	struct pn_body_id thread;
	struct pn_slice summary;  /* what the appender computed from it (mime.h); opaque to the store */
};

struct pn_rows_request {
	uint32_t struct_size;
	struct pn_slice account;
	uint64_t mailbox;
	struct pn_uid_set uids;  /* UIDs that do not exist are skipped */
	uint32_t fields;         /* enum pn_row_field, or'ed */
	uint64_t changed_since;  /* only rows with a modseq above; 0: all */
	bool with_expunged;
	size_t max_rows;         /* at least 1 */
};

struct pn_rows {
	uint32_t struct_size;
	uint32_t row_size;       /* step from row to row */
	const struct pn_row *rows; /* ascending by UID */
	size_t count;
	uint32_t next_uid;       /* go on from here; 0: that was all */
};

/* What happened in a mailbox after `since`. */
struct pn_changes_request {
	uint32_t struct_size;
	struct pn_slice account;
	uint64_t mailbox;
	uint64_t since;
	size_t max_rows;         /* at least 1 */
	uint32_t from_uid;       /* go on from here: next_uid of the answer before; 0: all */
};

struct pn_changes {
	uint32_t struct_size;
	uint32_t row_size;
	const struct pn_row *rows; /* new and changed, with flags; ascending by UID */
	size_t count;
	struct pn_uid_set vanished; /* expunged; may name UIDs that the caller never knew */
	uint64_t modseq;         /* seen up to here: the next `since`, once all was fetched; of the
	                          * first answer where it came in several */
	bool is_complete;        /* false: max_rows was reached, ask again with the same `since`
	                          * and from_uid = next_uid; rows and vanished are of lower UIDs */
	uint32_t next_uid;
	struct pn_mailbox_info mailbox; /* as it is now */
};

/*
 * Many whole bodies at once, for who reads through a mailbox: as many from the front of the list as
 * fit in max_size, but always at least one entry. One that is larger than max_size is not given
 * (PN_LIMIT in its entry; read it piece by piece), one that is gone or damaged neither.
 */
struct pn_bodies_request {
	uint32_t struct_size;
	struct pn_slice account;
	const struct pn_body_id *bodies;
	size_t count;            /* at least 1 */
	size_t max_size;         /* at least 1, at most 16 MiB */
};

struct pn_body_entry {
	enum pn_status status;   /* PN_OK, PN_LIMIT, PN_NOT_FOUND (gone), PN_FAILED (damaged) */
	struct pn_slice bytes;
};

struct pn_bodies {
	uint32_t struct_size;
	uint32_t entry_size;     /* step from entry to entry */
	const struct pn_body_entry *entries; /* for the first of the list, in its order */
	size_t count;            /* at least 1 */
};

/* A range of a body; what lies past its end is not there. */
struct pn_body_request {
	uint32_t struct_size;
	struct pn_slice account;
	struct pn_body_id body;
	uint64_t offset;
	size_t max_size;         /* at least 1, at most 1 MiB */
};

struct pn_body_piece {
	uint32_t struct_size;
	struct pn_slice bytes;
	uint64_t total_size;
};

struct pn_accounts_request {
	uint32_t struct_size;
	struct pn_slice after;   /* names behind this one; "" from the beginning */
	size_t max_accounts;     /* at least 1 */
};

struct pn_account_info {
	struct pn_slice name;
	uint64_t modseq;
	uint64_t size_bytes;
	uint32_t message_count;
	uint64_t quota_bytes;    /* 0: the store's default */
};

struct pn_accounts {
	uint32_t struct_size;
	uint32_t account_size;
	const struct pn_account_info *accounts; /* sorted by name */
	size_t count;
	bool is_complete;
};

/* -------------------------------------------------------------------- queue */

enum pn_queue_state {
	PN_QUEUE_DUE = 0, /* to be tried at due_ms */
	PN_QUEUE_HELD,    /* until an operator releases it */
};

/* One recipient of one message that waits. */
struct pn_queue_row {
	uint64_t id;              /* given by the store; ascending */
	struct pn_body_id body;
	int64_t due_ms;           /* wall clock */
	int64_t arrived_ms;
	int64_t expires_ms;
	enum pn_queue_state state;
	uint32_t attempts;
	uint32_t priority;
	struct pn_slice transaction; /* its id */
	struct pn_slice sender;
	struct pn_slice recipient;
	struct pn_slice destination; /* what it is grouped by: an MX site, a next hop */
	struct pn_slice tenant;
	struct pn_slice details;  /* what travels with it, as one opaque piece */
	struct pn_slice reason;   /* of the last failure */
};

/*
 * Selects by any of them, and'ed; "" and 0 do not select. Indexed: all of these. Rows come in the
 * order of their ids; with due_before_ms or destination in the order of due, then id (held ones
 * last), and then after_due_ms stands beside after_id.
 */
struct pn_queue_request {
	uint32_t struct_size;
	uint64_t after_id;        /* go on behind this one */
	int64_t due_before_ms;    /* state DUE and due before */
	struct pn_slice destination;
	struct pn_slice sender;
	struct pn_slice recipient_domain;
	struct pn_slice tenant;
	bool has_state;
	enum pn_queue_state state;
	size_t max_rows;          /* at least 1 */
	int64_t after_due_ms;     /* with due_before_ms or destination, and after_id: due_ms of that row */
};

struct pn_queue_rows {
	uint32_t struct_size;
	uint32_t row_size;
	const struct pn_queue_row *rows;
	size_t count;
	bool is_complete;
	uint64_t total;           /* rows in the queue, whatever was asked */
	uint64_t last_id;         /* the highest id that was ever given */
};

/* ------------------------------------------------------------------- commit */

enum pn_mutation_kind {
	PN_MUTATION_NONE = 0,
	PN_MUTATION_ACCOUNT_CREATE, /* with INBOX; fine if it exists                    */
	PN_MUTATION_ACCOUNT_DELETE, /* with everything in it                            */
	PN_MUTATION_ACCOUNT_QUOTA,  /* quota_bytes                                      */
	PN_MUTATION_MAILBOX_CREATE, /* name, attributes; with the levels above it; a conflict if it exists */
	PN_MUTATION_MAILBOX_DELETE, /* mailbox; INBOX cannot be deleted                 */
	PN_MUTATION_MAILBOX_RENAME, /* mailbox, name; children move along; INBOX: its messages move */
	PN_MUTATION_SUBSCRIBE,      /* name (need not exist), on or off                 */
	PN_MUTATION_ATTRIBUTES,     /* mailbox, attributes (special uses)               */
	PN_MUTATION_APPEND,         /* body, mailbox (or name), flags, dates            */
	PN_MUTATION_COPY,           /* mailbox, uids, target_mailbox: by reference      */
	PN_MUTATION_MOVE,           /* the same, and expunged from the first            */
	PN_MUTATION_FLAGS,          /* mailbox, uids, how, flags, unchanged_since       */
	PN_MUTATION_EXPUNGE,        /* mailbox, uids: those with \Deleted, or all of them */
	PN_MUTATION_QUEUE_PUT,      /* queue_row (id is given)                          */
	PN_MUTATION_QUEUE_UPDATE,   /* queue_row.id: due, state, attempts, priority, reason, destination;
	                             * details and expires_ms where they are not empty or 0. `on`: see
	                             * below */
	PN_MUTATION_QUEUE_DONE,     /* queue_row.id. `on`: see below                    */
	PN_MUTATION_RECENT,         /* mailbox, uids: recent_uid is behind the last of them from now on;
	                             * no change that a modseq would count */
	PN_MUTATION_UIDS,           /* mailbox: takes the UIDs of another server over. uid_validity (0: as
	                             * it is) becomes its own where no message was ever in it, and is a
	                             * conflict where it has another; uid_next is `uid` at least */
};

enum pn_flags_how { PN_FLAGS_ADD = 0, PN_FLAGS_REMOVE, PN_FLAGS_REPLACE };

/*
 * A body to be written with the commit: the pieces, and behind them what a writer took before. A
 * body that no mutation of the commit refers to is not written.
 */
struct pn_body_source {
	const struct pn_slice *pieces; /* in order; live until the commit is answered */
	size_t piece_count;
	struct pn_body_writer *writer; /* or NULL. Answered with PN_OK or PN_FAILED the commit took it
	                                * (and set this to NULL); else it may be submitted again */
	uint32_t header_size;
	struct pn_slice summary;
	struct pn_slice transaction;   /* id, for the record; may be "" */
};

/* How a mutation names its body. */
struct pn_body_reference {
	bool is_new;              /* index into the commit's bodies */
	size_t index;
	struct pn_body_id id;     /* else: one that is there */
};

struct pn_mutation {
	enum pn_mutation_kind kind;
	struct pn_slice account;
	uint64_t mailbox;         /* by id; or 0, and by name */
	struct pn_slice name;
	uint64_t target_mailbox;
	uint32_t attributes;
	bool on;                  /* SUBSCRIBE; EXPUNGE: only those with \Deleted; QUEUE_UPDATE,
	                           * QUEUE_DONE: from who worked on the row meanwhile: one that is gone is
	                           * passed over, and by QUEUE_UPDATE one that is held now; was_there
	                           * says whether it was touched */
	bool create_missing;      /* APPEND: make account and mailbox if they are not there */
	struct pn_uid_set uids;
	enum pn_flags_how how;
	struct pn_flags flags;
	struct pn_body_reference body;
	int64_t internal_date_ms;
	uint64_t quota_bytes;
	const struct pn_queue_row *queue_row;

	/* Preconditions. */
	uint64_t unchanged_since; /* FLAGS: leave alone what changed after it; 0: none. QUEUE_UPDATE with
	                           * `on`: due_ms as it was read; a row with another one by now was changed
	                           * by somebody else, and is passed over; 0: not looked at */
	uint64_t max_account_bytes; /* APPEND, COPY: PN_LIMIT where it would be exceeded; 0: the account's quota */
	struct pn_slice once_key; /* APPEND: nothing happens where this key was used in the account before */
	uint64_t known_modseq;    /* FLAGS without unchanged_since: not a precondition; `modified` names
	                           * those touched that had changed after it before. 0: nothing is named */

	/* For imports. */
	uint32_t uid;             /* APPEND: this UID; a conflict below uid_next. 0: uid_next. UIDS */
	uint32_t uid_validity;    /* UIDS */
};

/* What became of a mutation. */
struct pn_mutation_result {
	uint64_t mailbox;         /* the id of what was made or written to */
	uint32_t uid_validity;
	uint32_t first_uid;       /* APPEND, COPY, MOVE: the UIDs given, consecutive */
	uint32_t uid_count;
	struct pn_uid_set uids;   /* COPY, MOVE, FLAGS, EXPUNGE: those that were really touched (source);
	                           * COPY and MOVE: uid_count of them, the new UIDs in the same order */
	struct pn_uid_set modified; /* FLAGS: left alone because of unchanged_since; or see known_modseq */
	uint64_t modseq;
	struct pn_body_id body;
	uint64_t queue_id;
	bool was_there;           /* once_key was used before; the account existed; the row with `on` */
};

/*
 * A commit in flight. The submitter owns it, fills in the first part, and leaves it alone until it
 * is answered: PN_OK; PN_NOT_FOUND (an account, mailbox, body or queue row that a mutation names),
 * PN_CONFLICT or PN_LIMIT, each with failed_index and a sentence in `error`: nothing was written;
 * PN_FAILED: it may be there or not. UIDs that do not exist or are expunged are passed over; FLAGS
 * alone does change expunged rows that are still kept: sessions that were not told go on using them.
 *
 * The mutations happen in their order, each seeing those before it. One with very many UIDs may
 * become visible to others piece by piece; it is answered when all of it is durable.
 */
struct pn_commit {
	uint32_t struct_size;
	uint32_t body_size;       /* steps of the two tables */
	uint32_t mutation_size;
	struct pn_body_source *bodies;
	size_t body_count;
	const struct pn_mutation *mutations;
	size_t mutation_count;

	/* Filled in by the store. */
	struct pn_mutation_result *results; /* one each; in `arena` */
	size_t failed_index;
	struct pn_error error;
	struct pn_arena *arena;   /* of the commit; used by the store until it is answered */

	/* The store's own, while it has the commit. */
	void *store_private;
	struct pn_commit *store_next;
};

/* ----------------------------------------------------------- administration */

/* A body that grows while it comes in; opaque to everybody but its store. */
struct pn_body_writer;

/* Something an administration entry found or did: a sentence, and how bad it is. */
struct pn_store_report {
	void (*say)(void *user, bool is_damage, const char *text);
	void *user;
};

enum pn_store_capability {
	PN_STORE_QUESTIONS_BLOCK = 1u << 0, /* mailboxes, view, rows, changes, accounts, queue */
	PN_STORE_BODIES_BLOCK = 1u << 1,    /* body_read, bodies, body_append, body_new, body_discard */
	PN_STORE_SHARED = 1u << 2,          /* several gateways share it; it tells of their changes */
};

struct pn_store {
	uint32_t struct_size;
	uint32_t capabilities; /* enum pn_store_capability, or'ed */

	enum pn_status (*accounts)(void *instance, struct pn_store_call *call,
				   const struct pn_accounts_request *request,
				   struct pn_accounts *result);
	enum pn_status (*mailboxes)(void *instance, struct pn_store_call *call,
				    const struct pn_mailboxes_request *request,
				    struct pn_mailboxes *result);
	enum pn_status (*view)(void *instance, struct pn_store_call *call,
			       const struct pn_view_request *request, struct pn_view *result);
	enum pn_status (*rows)(void *instance, struct pn_store_call *call,
			       const struct pn_rows_request *request, struct pn_rows *result);
	enum pn_status (*changes)(void *instance, struct pn_store_call *call,
				  const struct pn_changes_request *request,
				  struct pn_changes *result);
	enum pn_status (*body_read)(void *instance, struct pn_store_call *call,
				    const struct pn_body_request *request,
				    struct pn_body_piece *result);
	enum pn_status (*queue)(void *instance, struct pn_store_call *call,
				const struct pn_queue_request *request,
				struct pn_queue_rows *result);

	/* Bodies too large to be held in memory: written as they come, part of no mailbox until a
	 * commit takes the writer. Never PN_PENDING. One call for a writer at a time. */
	enum pn_status (*body_new)(void *instance, struct pn_body_writer **writer_out,
				   struct pn_error *error);
	enum pn_status (*body_append)(void *instance, struct pn_body_writer *writer,
				      struct pn_slice bytes, struct pn_error *error);
	void (*body_discard)(void *instance, struct pn_body_writer *writer);

	/*
	 * Takes a commit, on the loop thread, and answers it there, later or at once, with
	 * pn_commit_done(). Must not block.
	 */
	void (*commit)(void *instance, struct pn_commit *commit);

	/* Free space is short: new messages should be refused with 452. May be NULL. Loop thread. */
	bool (*is_nearly_full)(void *instance);

	/*
	 * Administration, from `postern store …` (PN_WORKER_TOOL), on the main thread; may block.
	 * verify: reads everything, changes nothing. PN_OK, or PN_CONFLICT where damage was reported.
	 * rebuild: makes the index anew; the gateway must not be running (PN_CONFLICT otherwise).
	 * checkpoint: a copy of the index to rebuild from. compact: gives space back. May be NULL.
	 */
	enum pn_status (*verify)(void *instance, const struct pn_store_report *report,
				 struct pn_error *error);
	enum pn_status (*rebuild)(void *instance, const struct pn_store_report *report,
				  struct pn_error *error);
	enum pn_status (*checkpoint)(void *instance, struct pn_error *error);
	enum pn_status (*compact)(void *instance, const struct pn_store_report *report,
				  struct pn_error *error);

	/* A question like those above (BODIES_BLOCK). May be NULL: then the gateway asks body_read. */
	enum pn_status (*bodies)(void *instance, struct pn_store_call *call,
				 const struct pn_bodies_request *request, struct pn_bodies *result);

	/*
	 * What body_read does, on the loop thread, where it can be done without waiting for a disk:
	 * PN_PENDING otherwise, and then body_read is asked. May be NULL. A hop to another thread
	 * costs more than reading a small message from memory.
	 */
	enum pn_status (*body_ready)(void *instance, struct pn_store_call *call,
				     const struct pn_body_request *request,
				     struct pn_body_piece *result);
};

PN_DECLARATIONS_BEGIN

/* ---- for store modules ---- */

/* Answers a question that returned PN_PENDING. Loop thread. */
void pn_store_answer(struct pn_store_call *call, enum pn_status status);

/* Answers a commit; commit->results (or ->error and ->failed_index) are filled in. Loop thread. */
void pn_commit_done(struct pn_commit *commit, enum pn_status status);

/* A shared store tells of a change that came from another gateway. Loop thread. */
void pn_store_changed(struct pn_instance *instance, struct pn_slice account);

/* ---- for users of stores ---- */

/*
 * Who is asked: the store of an account. pn_session_account() gives one after login; it lives as
 * long as the session.
 */
struct pn_slice pn_account_name(const struct pn_account *account);

/*
 * Questions. The account of the request is filled in. Requests are copied, sets included. The
 * ticket is answered with PN_ANSWER_STORE and the result struct, or a status.
 */
void pn_store_mailboxes(const struct pn_account *account, const struct pn_mailboxes_request *request,
			struct pn_ticket ticket);
void pn_store_view(const struct pn_account *account, const struct pn_view_request *request,
		   struct pn_ticket ticket);
void pn_store_rows(const struct pn_account *account, const struct pn_rows_request *request,
		   struct pn_ticket ticket);
void pn_store_changes(const struct pn_account *account, const struct pn_changes_request *request,
		      struct pn_ticket ticket);
void pn_store_body(const struct pn_account *account, const struct pn_body_request *request,
		   struct pn_ticket ticket);
void pn_store_bodies(const struct pn_account *account, const struct pn_bodies_request *request,
		     struct pn_ticket ticket);

/*
 * Commits. `commit` and everything it points to lives until the ticket is answered with
 * PN_ANSWER_STORE and the commit itself; allocate it in an arena of its own that `commit->arena`
 * names: it is freed after the answer, also when nobody is there to take it.
 */
void pn_store_commit(const struct pn_account *account, struct pn_commit *commit,
		     struct pn_ticket ticket);

/* A new commit with an arena of its own; fill in, then pn_store_commit or pn_commit_free. */
struct pn_commit *pn_commit_new(size_t max_bodies, size_t max_mutations);
void pn_commit_free(struct pn_commit **commit);

/* The next mutation of a commit made by pn_commit_new, zeroed; at most max_mutations. */
struct pn_mutation *pn_commit_add(struct pn_commit *commit, enum pn_mutation_kind kind);

/*
 * From now on PN_EVENT_MAILBOX_CHANGED comes to the session whenever the account may have changed,
 * by whatever worker or other session: what its own tickets commit it knows. Changes merge. One
 * account for each session; ends with it.
 */
void pn_store_watch(struct pn_session *session, const struct pn_account *account);

/* Sets of UIDs: membership, size, and a set from a list of ascending UIDs. Pure. */
bool pn_uid_set_has(struct pn_uid_set set, uint32_t uid);
uint64_t pn_uid_set_count(struct pn_uid_set set);
struct pn_uid_set pn_uid_set_of(struct pn_arena *arena, const uint32_t *uids, size_t count);

PN_DECLARATIONS_END

#endif
