/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of store_local share: the layout of segments and index, the
 * open store, and each file's functions. README.md has the picture.
 *
 * Threads. Questions run on the loop, body reads and writers on the disk pool,
 * everything that writes the index on the commit lane (or on the main thread of
 * a tool). Each part of struct local_store says whose it is.
 */
#ifndef STORE_LOCAL_H
#define STORE_LOCAL_H

#include <lmdb.h>
#include <pthread.h>
#include <sys/uio.h>

#include <postern/arena.h>
#include <postern/clock.h>
#include <postern/error.h>
#include <postern/fault.h>
#include <postern/job.h>
#include <postern/log.h>
#include <postern/module.h>
#include <postern/store.h>

#include "gate.h"

/* The layouts below are little-endian and have no padding: LOCAL_LAYOUT says their sizes. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "store_local needs a little-endian machine");
#define LOCAL_LAYOUT(type, size) _Static_assert(sizeof(struct type) == (size), "layout of " #type)

enum {
	LOCAL_FORMAT = 1, /* of segments and records */
	INDEX_FORMAT = 2,
	LOCAL_ACCOUNT_NAME_MAX = 400, /* bytes; a key of the index has 511 */
	LOCAL_CHECKPOINTS_KEPT = 3,
	LOCAL_GROUP_PARTS = 512,      /* commits that are written together, at most */
	LOCAL_RANDOM_IDS = 64,
	LOCAL_LARGE_ROWS = 4000,      /* a mutation of more is done in slices; see large.c */
	LOCAL_HOUSE_ROWS = 8000,      /* rows that one transaction clears away, at most */
	LOCAL_ENTRY_RANGES = 230,     /* of UIDs in one value of the index, at most */
	LOCAL_ENTRY_BODIES = 115,     /* body ids in one value, at most */
	LOCAL_NAME_IN_KEY = 400,      /* bytes of a mailbox's name that stand in its key */
};

/* A UIDVALIDITY of another server that is taken over; those given later are above it. */
#define LOCAL_UID_VALIDITY_MAX 0xf0000000u

/* For so long one transaction may hold the lock of the index while others wait. */
#define LOCAL_SLICE_NS ((uint64_t)10 * 1000 * 1000)

#define LOCAL_GROUP_BYTES ((uint64_t)64 << 20)

/* ---------------------------------------------------------- segments (on disk) */

#define SEGMENT_MAGIC 0x31746e656d676553ull /* "Segment1" */
#define RECORD_MAGIC 0x3164726f63655250ull  /* "PRecord1" */

enum {
	SEGMENT_HEADER_SIZE = 4096, /* two copies, at 0 and at half of it */
	RECORD_ALIGNMENT = 64,
	RECORD_BODY = 1,
	RECORD_WITHDRAWN = 2,       /* that body was refused: never bring it back */
	CHECKSUM_SIZE = 16,
};

struct segment_header {
	uint64_t magic;
	uint32_t version;
	uint32_t worker;
	uint64_t id;
	int64_t created_ms;
	uint64_t salt; /* of the record headers' checksums, so that no mail can pretend to be one */
	uint8_t checksum[CHECKSUM_SIZE];
};
LOCAL_LAYOUT(segment_header, 56);

/* A record: this header, then meta and body in either order, padded to RECORD_ALIGNMENT. */
struct record_header {
	uint64_t magic;
	uint32_t version;
	uint32_t kind;
	uint64_t record_size;  /* with header and padding */
	uint64_t body_offset;  /* from the start of the record */
	uint64_t body_size;
	uint64_t front_size;   /* so much of the body has a sum of its own; see record.c */
	uint64_t meta_offset;
	uint32_t meta_size;
	uint32_t message_header_size;
	struct pn_body_id body;
	int64_t arrived_ms;
	uint8_t body_checksum[CHECKSUM_SIZE];
	uint8_t meta_checksum[CHECKSUM_SIZE];
	uint8_t checksum[CHECKSUM_SIZE]; /* of all before it, salted */
};
LOCAL_LAYOUT(record_header, 136);

/* ------------------------------------------------------------- index (on disk) */

/*
 * Everything of one account stands together in the table `tree`, so that a delivery changes few
 * pages: account id (8 bytes, big-endian), a kind (1 byte), and what the comments say.
 *
 * Of a message what never changes stands in a *row*, sixteen of them in one value; what changes
 * (modseq, keywords, flags, whether it is there) in a *flag block* of 64 UIDs, packed; see block.c.
 * So a change of all flags of 100,000 messages writes 1,600 values, most of them 50 bytes, and what
 * changed since some modseq is found by passing over blocks. Only what was expunged has a log.
 */
enum tree_kind {
	TREE_ACCOUNT = 'A',      /* nothing                       struct account_row, name     */
	TREE_FLAGS = 'F',        /* mailbox, uid / 64             struct flag_head, columns    */
	TREE_KEYWORD = 'K',      /* mailbox, bit (1 byte)         text                         */
	TREE_MAILBOX = 'M',      /* mailbox                       struct mailbox_row, name     */
	TREE_NAME = 'N',         /* the name; see mailbox.c       mailbox                      */
	TREE_ONCE = 'O',         /* xxh3-128 of the once_key      struct once_row              */
	TREE_ROW = 'R',          /* mailbox, uid / 16             struct row_head, message_row */
	TREE_SUBSCRIPTION = 'S', /* xxh3-128 of the name          name                         */
	TREE_RANGE = 'U',        /* mailbox, first uid            last uid; of what is there   */
	TREE_EXPUNGED = 'X',     /* mailbox, modseq, first uid    struct pn_uid_range, many    */
};

struct account_row {
	uint64_t modseq;
	uint64_t size_bytes;
	uint64_t quota_bytes; /* 0: the option */
	uint64_t next_mailbox;
	uint32_t message_count;
	uint32_t name_size;
};
LOCAL_LAYOUT(account_row, 40);

/* UIDs whose flags changed, up to a modseq. */
struct touched_uids {
	uint64_t modseq;
	uint32_t first;
	uint32_t last;
};

enum { TOUCHED_MAX = 8 };

struct mailbox_row {
	uint32_t uid_validity;
	uint32_t uid_next;
	uint32_t message_count;
	uint32_t unseen_count;
	uint32_t deleted_count;
	uint32_t attributes;
	uint64_t size_bytes;
	uint64_t highest_modseq;
	uint64_t log_floor;     /* expunges up to here are no longer all in the log */
	uint32_t open_range;    /* first UID of the range that ends with uid_next - 1, or 0; it has
	                         * no TREE_RANGE */
	uint32_t recent_uid;    /* messages from here on were shown to nobody */
	uint32_t keyword_count;
	uint32_t name_size;
	uint32_t range_count;   /* how many TREE_RANGE it has */
	uint32_t reserved;
	uint64_t touched_floor; /* where UIDs changed after this: */
	struct touched_uids touched[TOUCHED_MAX]; /* the newest first */
};
LOCAL_LAYOUT(mailbox_row, 208);

/* What never changes of a message. */
struct message_row {
	int64_t internal_date_ms;
	int64_t saved_date_ms;
	uint64_t size;
	uint32_t header_size;
	uint32_t reserved;
	struct pn_body_id body;
	struct pn_body_id thread;
};
LOCAL_LAYOUT(message_row, 64);

enum { FLAG_BLOCK_UIDS = 64, ROW_BLOCK_UIDS = 16 };

/* In front of the rows of 16 UIDs, which follow without gaps. */
struct row_head {
	uint32_t used; /* bit for bit: there is a row */
	uint32_t reserved;
};
LOCAL_LAYOUT(row_head, 8);

/* A column of a flag block: `base`, and for each UID what is to be added, in `width` bytes. */
struct flag_head {
	uint64_t max_modseq; /* of the messages that are there */
	uint64_t present;    /* bit for bit: the message is there */
	uint64_t expunged;   /* … or was, and its row is kept */
	uint64_t bases[3];
	uint8_t widths[3];   /* 0: all have the base; else 1, 2, 4, 8 */
	uint8_t reserved[5];
};
LOCAL_LAYOUT(flag_head, 56);

struct once_row {
	uint64_t mailbox;
	uint32_t uid_validity;
	uint32_t uid;
	struct pn_body_id body;
};
LOCAL_LAYOUT(once_row, 32);

/*
 * Table `bodies`, by body id; the summary follows. It never changes: one reference goes without
 * saying, the others are counted in the table `references` (body id, 4 bytes), which is small.
 */
struct body_row {
	uint64_t segment;
	uint64_t offset;
	uint64_t record_size;
	uint64_t size;
	int64_t arrived_ms;
	uint32_t header_size;
	uint32_t summary_size;
};
LOCAL_LAYOUT(body_row, 48);

/* Table `segments`, by segment id (big-endian). */
struct segment_row {
	uint64_t committed_end; /* what lies before it is known: in `bodies`, or gone for good */
	uint64_t live_count;    /* bodies */
	uint64_t live_bytes;
};
LOCAL_LAYOUT(segment_row, 24);

/*
 * Table `queue`: 'R' and id hold the row; 'D', due and id; and a letter, 8 bytes of a hash and id
 * for sender ('s'), recipient domain ('r'), tenant ('t'), state ('S'); for destination ('d') with due
 * in front of id, whose highest bit is set where the row is held.
 * The texts follow, in the order of struct pn_queue_row.
 */
enum { QUEUE_TEXTS = 7 };

struct queue_row {
	struct pn_body_id body;
	int64_t due_ms;
	int64_t arrived_ms;
	int64_t expires_ms;
	uint32_t state;
	uint32_t attempts;
	uint32_t priority;
	uint32_t text_sizes[QUEUE_TEXTS];
};
LOCAL_LAYOUT(queue_row, 80);

/*
 * Table `expirations`: when (8 bytes, big-endian), a kind, account id, and what the comments say.
 */
enum expiration_kind {
	EXPIRE_ROWS = 'E',     /* mailbox, first uid: drop rows and bodies of the expunged messages
	                        * that the value names, ranges of UIDs                           */
	EXPIRE_LOG = 'L',      /* mailbox, modseq, first uid: drop that entry of TREE_EXPUNGED    */
	EXPIRE_ONCE = 'O',     /* hash                                                           */
	EXPIRE_MAILBOX = 'M',  /* mailbox that was deleted: drop its rows                        */
	EXPIRE_ACCOUNT = 'A',  /* account that was deleted: drop all of it                       */
	EXPIRE_BODIES = 'B',   /* 16 random bytes: the value names bodies that a copy has a
	                        * reference to, and gives back unless it takes this away         */
};

/* ------------------------------------------------------------- the open store */

struct local_config {
	const char *path;
	uint64_t segment_size;
	uint64_t map_size;
	uint64_t expunge_retention;
	uint64_t change_retention;
	uint64_t once_retention;
	uint64_t quota;
	uint64_t reserve;
	uint64_t checkpoint_interval;
};

enum local_table {
	TABLE_META = 0,
	TABLE_ACCOUNTS,
	TABLE_TREE,
	TABLE_BODIES,
	TABLE_REFERENCES,
	TABLE_SEGMENTS,
	TABLE_QUEUE,
	TABLE_EXPIRATIONS,
	TABLE_COUNT,
};

struct local_index {
	MDB_env *environment;
	MDB_dbi tables[TABLE_COUNT];
	struct gate gate; /* before each transaction that writes */
	bool has_gate;
	char *path;
};

/* The segment that this worker appends to. */
struct segment {
	uint64_t id;
	uint64_t salt;
	uint64_t end;       /* of the last whole record */
	uint64_t allocated;
	int descriptor;
};

/* Descriptors of segments that are read, and records that were found good. Under a mutex. */
enum { READER_FILES = 32, READER_VERIFIED = 256 };

struct reader_file {
	uint64_t segment;
	uint64_t salt;
	uint64_t used; /* for choosing whom to close */
	unsigned users;
	int descriptor;
};

struct local_readers {
	pthread_mutex_t mutex;
	struct reader_file files[READER_FILES];
	uint64_t tick;
	struct pn_body_id verified[READER_VERIFIED];
	size_t next_verified;
	char *ready_room; /* loop thread: what body_ready reads; empty until it does */
};

struct local_store {
	struct local_config config;
	const struct pn_start *start;
	char *path;               /* all of it lives below */
	int lock_descriptor;
	struct local_index index;
	struct local_readers readers;

	/* Loop thread. */
	struct pn_lane *lane;
	struct pn_commit *first_pending;
	struct pn_commit *last_pending;
	struct large *first_large; /* under way, or waiting; see large.c */
	struct large *last_large;
	bool was_large;           /* the last to have the lane */
	bool is_committing;
	bool is_stopping;
	bool is_full;
	uint64_t full_checked_ms;
	struct pn_ticket tick;
	bool is_keeping_house;
	char index_trouble[PN_ERROR_TEXT_SIZE]; /* tools start with a broken index too */

	/* Commit lane. */
	struct segment segment;   /* descriptor -1: none open */
	struct pn_body_id *withdrawn; /* bodies to be taken back with the next write */
	size_t withdrawn_count;
	struct pn_body_id random[LOCAL_RANDOM_IDS]; /* for new ids; asked for in one go */
	size_t random_left;
	int64_t last_checkpoint_ms;
};

/* ------------------------------------------------------------------- index.c */

struct index_key {
	uint8_t bytes[480];
	size_t size;
};

/* One read or write transaction at work. */
struct index_access {
	struct local_store *store;
	struct local_index *index;
	MDB_txn *transaction;
	bool is_writing; /* it is behind the gate */
	struct pn_error *error;
	struct pn_arena *arena; /* scratch, and results */
	int64_t now_ms;
};

/* A walk over the keys that begin with a prefix. Values are valid until the next write. */
struct index_walk {
	MDB_cursor *cursor;
	struct index_key prefix;
	MDB_val key;
	MDB_val value;
	enum pn_status status; /* PN_OK while there is a row, PN_NOT_FOUND at the end */
};

void key_start(struct index_key *key);
void key_byte(struct index_key *key, uint8_t byte);
void key_u32(struct index_key *key, uint32_t number);
void key_u64(struct index_key *key, uint64_t number);
void key_bytes(struct index_key *key, const void *bytes, size_t size);
void key_hash(struct index_key *key, struct pn_slice text);
void key_tree(struct index_key *key, uint64_t account, enum tree_kind kind);
void key_uid(struct index_key *key, uint64_t account, enum tree_kind kind, uint64_t mailbox,
	     uint32_t uid);
void key_mailbox(struct index_key *key, uint64_t account, enum tree_kind kind, uint64_t mailbox);
uint32_t key_read_u32(const void *bytes);
uint64_t key_read_u64(const void *bytes);

enum pn_status index_open(struct local_index *index, const char *path, uint64_t map_size,
			  bool read_only, struct pn_error *error);
void index_close(struct local_index *index);
enum pn_status index_fail(struct index_access *access, int code, const char *what);
enum pn_status index_begin(struct index_access *access, bool write);
enum pn_status index_begin_part(struct index_access *access, MDB_txn **outer_out);
enum pn_status index_end_part(struct index_access *access, MDB_txn *outer, bool keep);
enum pn_status index_commit(struct index_access *access);
void index_abort(struct index_access *access);

enum pn_status index_get(struct index_access *access, enum local_table table,
			 const struct index_key *key, MDB_val *value_out);
enum pn_status index_get_fixed(struct index_access *access, enum local_table table,
			       const struct index_key *key, void *row_out, size_t size);
enum pn_status index_put(struct index_access *access, enum local_table table,
			 const struct index_key *key, const void *value, size_t size);
enum pn_status index_put_two(struct index_access *access, enum local_table table,
			     const struct index_key *key, const void *row, size_t row_size,
			     struct pn_slice tail);
enum pn_status index_delete(struct index_access *access, enum local_table table,
			    const struct index_key *key);
enum pn_status index_counter(struct index_access *access, const char *name, uint64_t add,
			     uint64_t *value_out);

enum pn_status walk_begin(struct index_walk *walk, struct index_access *access,
			  enum local_table table, const struct index_key *prefix,
			  const struct index_key *from);
enum pn_status walk_next(struct index_walk *walk);
/* Goes to the first key that is not before `from`, on the cursor there is. */
enum pn_status walk_seek(struct index_walk *walk, struct index_access *access,
			 const struct index_key *from);
/* Replaces the value of the row that the walk is at; the walk may go on from there. */
enum pn_status walk_put(struct index_walk *walk, struct index_access *access, const void *value,
			size_t size);
enum pn_status walk_last(struct index_walk *walk, struct index_access *access,
			 enum local_table table, const struct index_key *prefix,
			 const struct index_key *at);
void walk_end(struct index_walk *walk);

/* ---------------------------------------------------------- account.c, mailbox.c */

struct slice; /* see mutation.c */

struct account {
	uint64_t id;
	struct account_row row;
	struct pn_slice name;
};

struct mailbox {
	uint64_t account;
	uint64_t id;
	struct mailbox_row row;
	char name[PN_MAILBOX_NAME_MAX];
};

enum pn_status account_load(struct index_access *access, struct pn_slice name,
			    struct account *account);
enum pn_status account_load_id(struct index_access *access, uint64_t id, struct account *account);
enum pn_status account_save(struct index_access *access, const struct account *account);
enum pn_status account_create(struct index_access *access, struct pn_slice name,
			      struct account *account, bool *was_there);
enum pn_status account_delete(struct index_access *access, struct account *account);
/* `rest` is the key from the account id on. */
enum pn_status expire_at(struct index_access *access, int64_t when_ms, enum expiration_kind kind,
			 const struct index_key *rest, const void *value, size_t size);

struct pn_slice mailbox_name(const struct mailbox *mailbox);
enum pn_status mailbox_read(struct index_access *access, uint64_t account, uint64_t id,
			    MDB_val value, struct mailbox *mailbox);
enum pn_status mailbox_load(struct index_access *access, uint64_t account, uint64_t id,
			    struct mailbox *mailbox);
enum pn_status mailbox_load_name(struct index_access *access, uint64_t account,
				 struct pn_slice name, struct mailbox *mailbox);
enum pn_status mailbox_save(struct index_access *access, const struct mailbox *mailbox);
enum pn_status mailbox_create(struct index_access *access, struct account *account,
			      struct pn_slice name, uint32_t attributes, bool only_missing,
			      struct mailbox *mailbox);
enum pn_status mailbox_delete(struct index_access *access, struct account *account,
			      struct mailbox *mailbox);
enum pn_status mailbox_rename(struct index_access *access, struct account *account,
			      struct mailbox *mailbox, struct pn_slice name,
			      const struct slice *slice, uint64_t *target_out);
/* Whether there are mailboxes below that name. */
enum pn_status mailbox_has_children(struct index_access *access, uint64_t account,
				    struct pn_slice name, bool *has_out);
enum pn_status mailbox_is_subscribed(struct index_access *access, uint64_t account,
				     struct pn_slice name, bool *is_out);
void mailbox_touch(struct mailbox *mailbox, uint64_t modseq, uint32_t first, uint32_t last);
size_t mailbox_touched_since(const struct mailbox *mailbox, uint64_t since,
			     struct pn_uid_range ranges[TOUCHED_MAX]);
enum pn_status mailbox_subscribe(struct index_access *access, uint64_t account,
				 struct pn_slice name, bool on);
struct pn_slice mailbox_canonical_name(struct index_access *access, struct pn_slice name);
bool mailbox_is_inbox(struct pn_slice name);
void mailbox_describe(const struct mailbox *mailbox, struct pn_arena *arena,
		      struct pn_mailbox_info *info);

/* keywords.c: the words behind the bits */
enum pn_status keywords_load(struct index_access *access, const struct mailbox *mailbox,
			     const struct pn_slice **words_out);
enum pn_status keywords_bits(struct index_access *access, struct mailbox *mailbox,
			     const struct pn_flags *flags, bool add, uint64_t *bits_out);

/* -------------------------------------------------------------------- block.c */

enum flag_column { COLUMN_MODSEQ = 0, COLUMN_KEYWORDS, COLUMN_SYSTEM, COLUMN_COUNT };

/* The flags of 64 UIDs, unpacked. Columns are right where a bit of present or expunged is set. */
struct flag_block {
	uint32_t number; /* uid / 64 */
	uint64_t present;
	uint64_t expunged;
	uint64_t columns[COLUMN_COUNT][FLAG_BLOCK_UIDS];
};

/* The rows of 16 UIDs. */
struct row_block {
	uint32_t number; /* uid / 16 */
	uint32_t used;
	struct message_row rows[ROW_BLOCK_UIDS];
};

enum {
	FLAG_BLOCK_ROOM = 56 + COLUMN_COUNT * FLAG_BLOCK_UIDS * 8,
	ROW_BLOCK_ROOM = 8 + ROW_BLOCK_UIDS * 64,
};

size_t flag_block_pack(const struct flag_block *block, uint8_t room[FLAG_BLOCK_ROOM]);
bool flag_block_unpack(struct pn_slice bytes, struct flag_block *block);
bool flag_block_peek(struct pn_slice bytes, struct flag_head *head);
size_t row_block_pack(const struct row_block *block, uint8_t room[ROW_BLOCK_ROOM]);
bool row_block_unpack(struct pn_slice bytes, struct row_block *block);
/* One row of a packed block; false where it has none for the UID. */
bool row_block_find(struct pn_slice bytes, uint32_t uid, struct message_row *row);

/* Ranges of UIDs that grow at the end; malloc'd. */
struct uid_list {
	struct pn_uid_range *ranges;
	size_t count;
	size_t capacity;
};

void uid_list_add(struct uid_list *list, uint32_t first, uint32_t last);
void uid_list_add_bits(struct uid_list *list, uint32_t block, uint64_t bits);
/* Makes a set of it, in the arena, and frees the list. */
struct pn_uid_set uid_list_set(struct pn_arena *arena, struct uid_list *list);

/* ------------------------------------------------------------------ message.c */

/* A walk over the flag blocks of a mailbox that hold UIDs of a set. */
struct block_walk {
	struct index_access *access;
	struct index_walk walk;
	struct pn_uid_set set;
	size_t range;    /* of the set: those before are done */
	uint32_t number; /* of the block */
	uint64_t wanted; /* bit for bit: the UID is in the set */
	struct flag_head head;
	enum pn_status status; /* PN_OK while there is a block, PN_NOT_FOUND at the end */
};

/* `set` must live as long as the walk. */
void blocks_begin(struct block_walk *blocks, struct index_access *access,
		  const struct mailbox *mailbox, struct pn_uid_set set);
void blocks_next(struct block_walk *blocks);
void blocks_end(struct block_walk *blocks);
enum pn_status blocks_read(struct block_walk *blocks, struct flag_block *block);
enum pn_status blocks_put(struct block_walk *blocks, const struct flag_block *block);

/* Rows one after the other; the last block is kept. */
struct row_reader {
	struct index_access *access;
	const struct mailbox *mailbox;
	struct index_walk walk;
	bool is_walking;
	struct row_block block; /* number UINT32_MAX: none */
};

void rows_begin(struct row_reader *reader, struct index_access *access,
		const struct mailbox *mailbox);
enum pn_status rows_find(struct row_reader *reader, uint32_t uid, const struct message_row **row);
void rows_end(struct row_reader *reader);

/* Messages that are added at the end of a mailbox, all of them with the account's modseq. */
struct adding {
	struct index_access *access;
	struct account *account;
	struct mailbox *mailbox;
	uint32_t first;
	bool has_flags;
	bool has_rows;
	struct flag_block flags;
	struct row_block rows;
};

void adding_begin(struct adding *adding, struct index_access *access, struct account *account,
		  struct mailbox *mailbox);
enum pn_status adding_add(struct adding *adding, const struct message_row *row, uint32_t system,
			  uint64_t keywords, uint32_t *uid_out);
enum pn_status adding_end(struct adding *adding);

enum pn_status message_ranges(struct index_access *access, const struct mailbox *mailbox,
			      struct pn_uid_set *set_out);
enum pn_status message_written_ranges(struct index_access *access, const struct mailbox *mailbox,
				      struct pn_uid_set *set_out);
/* The UIDs below `uid` that were not given yet never will be. */
enum pn_status ranges_skip_to(struct index_access *access, struct mailbox *mailbox, uint32_t uid);
enum pn_status ranges_cut(struct index_access *access, struct mailbox *mailbox, uint32_t first,
			  uint32_t last);
/* The set without what is above `last`; ranges in the arena where it had to be cut. */
struct pn_uid_set uid_set_up_to(struct pn_arena *arena, struct pn_uid_set set, uint32_t last);

/* --------------------------------------------------------------------- body.c */

/* A body of a commit on its way: in the segment, and not yet in the index. */
struct new_body {
	struct pn_body_id id;
	struct body_row row;
	struct pn_slice summary;
	bool is_wanted;  /* a mutation refers to it */
	bool is_written;
	bool is_indexed;
};

enum pn_status body_load(struct index_access *access, struct pn_body_id id, struct body_row *row,
			 struct pn_slice *summary_out);
/* With its first reference. */
enum pn_status body_add(struct index_access *access, struct new_body *body);
enum pn_status body_keep(struct index_access *access, struct pn_body_id id);
enum pn_status body_release(struct index_access *access, struct pn_body_id id);
char *body_text(struct pn_body_id id, char room[33]);

/* -------------------------------------------------------------------- queue.c */

enum pn_status queue_put(struct index_access *access, const struct pn_queue_row *row,
			 struct pn_body_id body, uint64_t *id_out);
enum pn_status queue_update(struct index_access *access, const struct pn_mutation *mutation,
			    bool *was_there);
enum pn_status queue_done(struct index_access *access, const struct pn_mutation *mutation,
			  bool *was_there);
enum pn_status queue_select(struct index_access *access, const struct pn_queue_request *request,
			    struct pn_queue_rows *result);
enum pn_status queue_load(struct index_access *access, uint64_t id, struct pn_queue_row *row);
enum pn_status queue_verify(struct index_access *access, const struct pn_store_report *report,
			    size_t *damage);

/* --------------------------------------------- mutation.c, change.c, copy.c */

/* A reference to a body that a large copy took beforehand. */
struct held_body {
	uint32_t uid;
	struct pn_body_id id;
};

enum { HELD_KEY_SIZE = 33 };

/* The key of an EXPIRE_BODIES. */
struct held_entry {
	uint8_t key[HELD_KEY_SIZE];
};

/* What a large mutation may do in one transaction, and how far it came. */
struct slice {
	uint64_t deadline_ns;
	uint32_t next_uid;    /* go on from here; 0: all is done */

	/* A copy. What was there before this step is what a second try begins with. */
	bool is_holding;      /* only take references to bodies */
	struct held_body *held; /* ascending by UID; malloc'd */
	size_t held_count;
	size_t held_before;
	size_t held_capacity;
	struct held_entry *entries; /* where it is written down; malloc'd */
	size_t entry_count;
	size_t entries_before;
	size_t entry_capacity;
};

/* What the functions below work on. */
struct work {
	struct index_access *access;
	struct pn_commit *commit;
	struct new_body *bodies;
	struct slice *slice; /* or NULL: all of it at once */
	const struct pn_mutation *mutation;
	struct pn_mutation_result *result;
	struct account account;
	struct mailbox mailbox;
	struct mailbox target;
};

/* Applies the mutations of one commit. Its error and failed_index are filled in. */
enum pn_status mutations_apply(struct index_access *access, struct pn_commit *commit,
			       struct new_body *bodies, struct slice *slice);
const struct pn_mutation *commit_mutation(const struct pn_commit *commit, size_t index);
struct pn_body_source *commit_body(const struct pn_commit *commit, size_t index);
enum pn_status work_find_mailbox(struct work *work);
enum pn_status work_save(struct work *work);
enum pn_status work_check_quota(struct work *work, uint64_t more);
bool slice_is_over(const struct slice *slice);

enum pn_status change_flags(struct work *work);
enum pn_status change_expunge(struct work *work);
enum pn_status change_recent(struct work *work);
enum pn_status change_uids(struct work *work);
/* Takes them away and logs it, with the account's modseq; gives what was there. */
enum pn_status expunge_uids(struct index_access *access, struct account *account,
			    struct mailbox *mailbox, struct pn_uid_set uids, bool only_deleted,
			    struct slice *slice, struct uid_list *gone);

enum pn_status copy_messages(struct work *work, bool is_move);
/* Puts messages of `from` into `target`, by reference; `copied` are their UIDs. */
enum pn_status copy_uids(struct index_access *access, struct account *account,
			 struct mailbox *from, struct mailbox *target, struct pn_uid_set uids,
			 const struct slice *slice, uint32_t *first_uid, struct uid_list *copied);
/* Takes references to the bodies of a copy and writes down that they may have to be given back. */
enum pn_status copy_hold(struct work *work);
/* They need not: the copy happens now. Or at once: it is not going to happen. */
enum pn_status copy_take_over(struct work *work);
enum pn_status copy_give_back(struct index_access *access, const struct slice *slice);

/* -------------------------------------------------------------- commit.c, large.c */

struct part {
	struct pn_commit *commit;
	struct new_body *bodies;
	struct slice *slice;   /* or NULL */
	enum pn_status status; /* PN_PENDING until it is decided */
};

struct group {
	struct local_store *store;
	struct part *parts;
	size_t count;
	uint64_t segment; /* bodies went there, up to segment_end; or 0 */
	uint64_t segment_end;
	bool may_be_committed; /* the index was asked to commit: files must stay */
};

/* One index transaction for all parts. Commit lane. */
void group_index(struct group *group);
/* Gives the lane something to do, if it has nothing. Loop. */
void commit_go_on(struct local_store *store);

/* A single mutation of very many UIDs. */
bool large_is(struct local_store *store, const struct pn_commit *commit);
void large_add(struct local_store *store, struct pn_commit *commit);
/* Puts its next step on the lane. */
void large_start(struct local_store *store);

/* ------------------------------------------------------ file.c, record.c, segment.c */

enum pn_status file_write(int descriptor, const struct iovec *pieces, size_t count,
			  uint64_t offset, const char *point, const char *what,
			  struct pn_error *error);
enum pn_status file_read(int descriptor, void *bytes, size_t size, uint64_t offset,
			 const char *what, struct pn_error *error);
enum pn_status file_flush(int descriptor, const char *point, const char *what,
			  struct pn_error *error);
enum pn_status file_flush_directory(const char *path, const char *point, struct pn_error *error);
enum pn_status file_make_directory(const char *path, struct pn_error *error);
char *file_path(const char *directory, const char *name);

/* What a record says of the commit that it came with. */
struct record_delivery {
	bool is_queued;
	struct pn_slice account;
	struct pn_slice mailbox;
	struct pn_slice once_key;
	struct pn_flags flags;
	int64_t internal_date_ms;
	struct pn_queue_row queue_row;
};

struct record_meta {
	struct pn_slice transaction;
	struct pn_slice summary;
	const struct record_delivery *deliveries;
	size_t delivery_count;
};

struct pn_slice record_meta_write(struct pn_arena *arena, const struct record_meta *meta);
bool record_meta_read(struct pn_arena *arena, struct pn_slice bytes, struct record_meta *meta);
void record_header_seal(struct record_header *header, uint64_t salt);
bool record_header_is_good(const struct record_header *header, uint64_t salt);
void record_checksum(const void *bytes, size_t size, uint8_t checksum[CHECKSUM_SIZE]);
void record_join_checksums(const uint8_t front[CHECKSUM_SIZE], const uint8_t rest[CHECKSUM_SIZE],
			   uint8_t checksum[CHECKSUM_SIZE]);
/* Whether these are the bytes of its body, all of them. */
bool record_body_is_good(const struct record_header *header, const void *bytes);
uint64_t record_padded(uint64_t size);

/* Reads a whole record and compares. `what` names segment and offset in errors. */
enum pn_status record_verify(int descriptor, const struct record_header *header, uint64_t offset,
			     const char *what, struct pn_error *error);

bool segment_is_large(uint64_t id);
uint64_t segment_new_id(unsigned worker, bool is_large, int64_t now_ms);
int64_t segment_created_ms(uint64_t id);
char *segment_path(const struct local_store *store, uint64_t id);
bool segment_id_of_name(const char *name, uint64_t *id_out);
enum pn_status segment_create(struct local_store *store, bool is_large, struct segment *segment,
			      struct pn_error *error);
enum pn_status segment_open(const struct local_store *store, uint64_t id, int *descriptor_out,
			    uint64_t *salt_out, struct pn_error *error);
enum pn_status segment_prepare(struct local_store *store, uint64_t size, struct pn_error *error);
enum pn_status segment_append(struct local_store *store, const struct iovec *pieces, size_t count,
			      uint64_t size, uint64_t *offset_out, struct pn_error *error);
void segment_close(struct local_store *store);
/* All segment ids there are, ascending by age; malloc'd. */
enum pn_status segment_list(const struct local_store *store, uint64_t **ids_out, size_t *count_out,
			    struct pn_error *error);

typedef enum pn_status segment_scan_function(void *user, int descriptor,
					     const struct record_header *header, uint64_t offset,
					     struct pn_error *error);
/* Calls for each record with a good header from `from` on; says where bytes are not understood. */
enum pn_status segment_scan(const struct local_store *store, uint64_t id, uint64_t from,
			    segment_scan_function *found, void *user,
			    const struct pn_store_report *report, struct pn_error *error);

/* ---------------------------------------------------------- reader.c, writer.c */

void readers_start(struct local_readers *readers);
void readers_stop(struct local_readers *readers);
enum pn_status local_body_read(void *instance, struct pn_store_call *call,
			       const struct pn_body_request *request,
			       struct pn_body_piece *result);
enum pn_status local_bodies(void *instance, struct pn_store_call *call,
			    const struct pn_bodies_request *request, struct pn_bodies *result);
enum pn_status local_body_ready(void *instance, struct pn_store_call *call,
				const struct pn_body_request *request,
				struct pn_body_piece *result);
enum pn_status local_body_new(void *instance, struct pn_body_writer **writer_out,
			      struct pn_error *error);
enum pn_status local_body_append(void *instance, struct pn_body_writer *writer,
				 struct pn_slice bytes, struct pn_error *error);
void local_body_discard(void *instance, struct pn_body_writer *writer);
uint64_t writer_size(const struct pn_body_writer *writer);
/* Commit lane, all of these. Makes the file whole and durable, but for its directory. */
enum pn_status writer_finish(const struct pn_body_source *source, struct new_body *body,
			     struct pn_slice meta, struct pn_error *error);
void writer_taken(struct pn_body_writer *writer);
void writer_withdraw(struct pn_body_writer *writer);

/* ------------------------------------------------------- question.c, commit.c … */

enum pn_status local_accounts(void *instance, struct pn_store_call *call,
			      const struct pn_accounts_request *request,
			      struct pn_accounts *result);
enum pn_status local_mailboxes(void *instance, struct pn_store_call *call,
			       const struct pn_mailboxes_request *request,
			       struct pn_mailboxes *result);
enum pn_status local_view(void *instance, struct pn_store_call *call,
			  const struct pn_view_request *request, struct pn_view *result);
enum pn_status local_rows(void *instance, struct pn_store_call *call,
			  const struct pn_rows_request *request, struct pn_rows *result);
enum pn_status local_changes(void *instance, struct pn_store_call *call,
			     const struct pn_changes_request *request, struct pn_changes *result);
enum pn_status local_queue(void *instance, struct pn_store_call *call,
			   const struct pn_queue_request *request, struct pn_queue_rows *result);

void local_commit(void *instance, struct pn_commit *commit);

/* housekeeping.c: what falls due with time. Commit lane of the control worker, or a tool. */
void local_keep_house(struct local_store *store);
enum pn_status expirations_run(struct local_store *store, bool *more_out, struct pn_error *error);
enum pn_status local_compact(void *instance, const struct pn_store_report *report,
			     struct pn_error *error);

enum pn_status local_checkpoint(void *instance, struct pn_error *error);
/* Paths of the checkpoints, newest first; malloc'd, NULL-terminated. */
char **checkpoint_list(const struct local_store *store);

enum pn_status local_verify(void *instance, const struct pn_store_report *report,
			    struct pn_error *error);
enum pn_status local_rebuild(void *instance, const struct pn_store_report *report,
			     struct pn_error *error);
void local_say(const struct pn_store_report *report, bool is_damage, const char *format, ...)
	PN_PRINTF(3, 4);

#endif
