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

/* The layouts below are little-endian and have no padding: LOCAL_LAYOUT says their sizes. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "store_local needs a little-endian machine");
#define LOCAL_LAYOUT(type, size) _Static_assert(sizeof(struct type) == (size), "layout of " #type)

enum {
	LOCAL_FORMAT = 1,
	LOCAL_ACCOUNT_NAME_MAX = 400, /* bytes; a key of the index has 511 */
	LOCAL_CHECKPOINTS_KEPT = 3,
	LOCAL_GROUP_PARTS = 512,      /* commits that are written together, at most */
	LOCAL_RANDOM_IDS = 64,
	LOCAL_CHUNK_ROWS = 8000,      /* rows that one index transaction changes; 10 to 40 ms */
};

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
 */
enum tree_kind {
	TREE_ACCOUNT = 'A',      /* nothing                       struct account_row, name   */
	TREE_CHANGE = 'C',       /* mailbox, modseq, uid           1 byte: is_expunged        */
	TREE_KEYWORD = 'K',      /* mailbox, bit (1 byte)          text                       */
	TREE_MAILBOX = 'M',      /* mailbox                        struct mailbox_row, name   */
	TREE_NAME = 'N',         /* xxh3-128 of the name           mailbox                    */
	TREE_ONCE = 'O',         /* xxh3-128 of the once_key       struct once_row            */
	TREE_ROW = 'R',          /* mailbox, uid                   struct message_row         */
	TREE_SUBSCRIPTION = 'S', /* xxh3-128 of the name           name                       */
	TREE_RANGE = 'U',        /* mailbox, first uid             last uid; of what is there */
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

struct mailbox_row {
	uint32_t uid_validity;
	uint32_t uid_next;
	uint32_t message_count;
	uint32_t unseen_count;
	uint32_t deleted_count;
	uint32_t attributes;
	uint64_t size_bytes;
	uint64_t highest_modseq;
	uint64_t log_floor;     /* changes up to here are no longer all in the log */
	uint32_t last_range;    /* first UID of the range that ends with uid_next - 1, or 0 */
	uint32_t keyword_count;
	uint32_t name_size;
	uint32_t reserved;
};
LOCAL_LAYOUT(mailbox_row, 64);

struct message_row {
	uint64_t modseq;
	int64_t internal_date_ms;
	int64_t saved_date_ms;
	int64_t expunged_ms; /* 0: it is there */
	uint64_t size;
	uint64_t keywords;   /* bits */
	uint32_t header_size;
	uint32_t system_flags;
	struct pn_body_id body;
	struct pn_body_id thread;
};
LOCAL_LAYOUT(message_row, 88);

struct once_row {
	uint64_t mailbox;
	uint32_t uid_validity;
	uint32_t uid;
	struct pn_body_id body;
};
LOCAL_LAYOUT(once_row, 32);

/* Table `bodies`, by body id; the summary follows. */
struct body_row {
	uint64_t segment;
	uint64_t offset;
	uint64_t record_size;
	uint64_t size;
	int64_t arrived_ms;
	uint32_t header_size;
	uint32_t references;
	uint32_t summary_size;
	uint32_t reserved;
};
LOCAL_LAYOUT(body_row, 56);

/* Table `segments`, by segment id (big-endian). */
struct segment_row {
	uint64_t committed_end; /* what lies before it is known: in `bodies`, or gone for good */
	uint64_t live_count;    /* bodies */
	uint64_t live_bytes;
};
LOCAL_LAYOUT(segment_row, 24);

/*
 * Table `queue`: 'R' and id hold the row; 'D', due and id; and a letter, 8 bytes of a hash and id
 * for destination ('d'), sender ('s'), recipient domain ('r'), tenant ('t'), state ('S').
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
	EXPIRE_ROW = 'E',     /* mailbox, uid: drop row and body of an expunged message */
	EXPIRE_CHANGE = 'L',  /* mailbox, modseq, uid: drop its line of the change log  */
	EXPIRE_ONCE = 'O',    /* hash                                                   */
	EXPIRE_MAILBOX = 'M', /* mailbox that was deleted: drop its rows                */
	EXPIRE_ACCOUNT = 'A', /* account that was deleted: drop all of it               */
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
	TABLE_SEGMENTS,
	TABLE_QUEUE,
	TABLE_EXPIRATIONS,
	TABLE_COUNT,
};

struct local_index {
	MDB_env *environment;
	MDB_dbi tables[TABLE_COUNT];
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
	uint8_t bytes[64];
	size_t size;
};

/* One read or write transaction at work. */
struct index_access {
	struct local_store *store;
	struct local_index *index;
	MDB_txn *transaction;
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
void key_message(struct index_key *key, uint64_t account, enum tree_kind kind, uint64_t mailbox,
		 uint32_t uid);
void key_change(struct index_key *key, uint64_t account, uint64_t mailbox, uint64_t modseq,
		uint32_t uid);
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
enum pn_status walk_last(struct index_walk *walk, struct index_access *access,
			 enum local_table table, const struct index_key *prefix,
			 const struct index_key *at);
void walk_end(struct index_walk *walk);

/* ---------------------------------------------------------- account.c, mailbox.c */

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
enum pn_status expire_at(struct index_access *access, int64_t when_ms, enum expiration_kind kind,
			 const struct index_key *rest);

struct pn_slice mailbox_name(const struct mailbox *mailbox);
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
			      struct mailbox *mailbox, struct pn_slice name, uint64_t *target_out);
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

/* ------------------------------------------------------------------ message.c */

struct uid_list {
	uint32_t *uids;
	size_t count;
	size_t capacity;
};

enum pn_status message_load(struct index_access *access, const struct mailbox *mailbox,
			    uint32_t uid, struct message_row *row);
enum pn_status message_add(struct index_access *access, struct account *account,
			   struct mailbox *mailbox, struct message_row *row, uint32_t *uid_out);
enum pn_status message_set_flags(struct index_access *access, struct account *account,
				 struct mailbox *mailbox, uint32_t uid, struct message_row *row,
				 uint32_t system_flags, uint64_t keywords);
enum pn_status message_expunge(struct index_access *access, struct account *account,
			       struct mailbox *mailbox, uint32_t uid, struct message_row *row);
enum pn_status message_uids(struct index_access *access, const struct mailbox *mailbox,
			    struct pn_uid_set set, struct uid_list *list);
enum pn_status message_ranges(struct index_access *access, const struct mailbox *mailbox,
			      struct pn_uid_set *set_out);
void uid_list_add(struct uid_list *list, uint32_t uid);
struct pn_uid_set uid_list_set(struct index_access *access, struct uid_list *list);

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
enum pn_status body_add(struct index_access *access, struct new_body *body);
enum pn_status body_keep(struct index_access *access, struct pn_body_id id);
enum pn_status body_release(struct index_access *access, struct pn_body_id id);
char *body_text(struct pn_body_id id, char room[33]);

/* -------------------------------------------------------------------- queue.c */

enum pn_status queue_put(struct index_access *access, const struct pn_queue_row *row,
			 struct pn_body_id body, uint64_t *id_out);
enum pn_status queue_update(struct index_access *access, const struct pn_queue_row *row);
enum pn_status queue_done(struct index_access *access, uint64_t id);
enum pn_status queue_select(struct index_access *access, const struct pn_queue_request *request,
			    struct pn_queue_rows *result);
enum pn_status queue_load(struct index_access *access, uint64_t id, struct pn_queue_row *row);
enum pn_status queue_verify(struct index_access *access, const struct pn_store_report *report,
			    size_t *damage);

/* ----------------------------------------------------------------- mutation.c */

/* Applies the mutations of one commit. Its error and failed_index are filled in. */
enum pn_status mutations_apply(struct index_access *access, struct pn_commit *commit,
			       struct new_body *bodies);
const struct pn_mutation *commit_mutation(const struct pn_commit *commit, size_t index);
struct pn_body_source *commit_body(const struct pn_commit *commit, size_t index);

/* A single mutation of very many UIDs: how many index transactions it takes. */
bool mutation_is_large(const struct pn_commit *commit);

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
