/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of store_memory share. An account is one arena with everything in
 * it. A commit works on copies of the accounts (and of the queue) that it touches,
 * and puts them in place of the old ones when all of it went well: there is nothing
 * to undo. Loop thread only.
 */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include <postern/arena.h>
#include <postern/clock.h>
#include <postern/error.h>
#include <postern/module.h>
#include <postern/store.h>

struct memory_config {
	uint64_t quota;
};

/* Kept until the store stops: rows come and go, and this store is for tests. */
struct memory_body {
	struct pn_body_id id;
	struct pn_slice bytes;
	struct pn_slice summary;
	uint32_t header_size;
	struct memory_body *next;
};

struct memory_row {
	uint32_t uid;
	bool is_expunged;
	uint64_t modseq;
	uint64_t expunged_modseq;
	uint32_t system_flags;
	uint64_t keywords; /* bits */
	int64_t internal_date_ms;
	int64_t saved_date_ms;
	const struct memory_body *body;
};

struct memory_mailbox {
	uint64_t id;
	struct pn_slice name;
	uint32_t attributes;
	uint32_t uid_validity;
	uint32_t uid_next;
	uint32_t recent_uid;
	uint64_t highest_modseq;
	struct memory_row *rows; /* ascending by UID, expunged ones too */
	size_t row_count;
	size_t row_capacity;
	struct pn_slice keywords[PN_KEYWORDS_PER_MAILBOX];
	size_t keyword_count;
};

struct memory_once {
	struct pn_slice key;
	uint64_t mailbox;
	uint32_t uid_validity;
	uint32_t uid;
	const struct memory_body *body;
};

struct memory_account {
	struct pn_arena *arena;
	struct pn_slice name;
	uint64_t modseq;
	uint64_t quota_bytes;
	uint64_t next_mailbox;
	struct memory_mailbox *mailboxes;
	size_t mailbox_count;
	struct pn_slice *subscriptions;
	size_t subscription_count;
	struct memory_once *onces;
	size_t once_count;
	bool is_deleted;             /* in a draft: goes away with the commit */
	struct memory_account *next; /* sorted by name */
};

struct memory_queue {
	struct pn_arena *arena;
	struct pn_queue_row *rows; /* ascending by id */
	size_t count;
	size_t capacity;
	uint64_t next_id;
};

enum { BODY_BUCKETS = 4096 };

struct memory_store {
	struct memory_config config;
	struct memory_account *accounts;
	struct memory_queue queue;
	struct memory_body *bodies[BODY_BUCKETS];
	struct pn_arena *arena; /* of the bodies */
	uint32_t last_uid_validity;
};

/* account.c */
struct memory_account *account_find(struct memory_account *first, struct pn_slice name);
struct memory_account *account_copy(const struct memory_account *account);
struct memory_account *account_new(struct memory_store *store, struct pn_slice name);
void account_free(struct memory_account *account);
void accounts_put(struct memory_store *store, struct memory_account *draft);
uint64_t account_size(const struct memory_account *account, uint32_t *count_out);
struct memory_mailbox *mailbox_by_id(struct memory_account *account, uint64_t id);
struct memory_mailbox *mailbox_by_name(struct memory_account *account, struct pn_slice name);
struct memory_mailbox *mailbox_add(struct memory_store *store, struct memory_account *account,
				   struct pn_slice name);
void mailbox_remove(struct memory_account *account, struct memory_mailbox *mailbox);
struct memory_row *row_add(struct memory_account *account, struct memory_mailbox *mailbox);
void subscription_set(struct memory_account *account, struct pn_slice name, bool on);
bool name_is_inbox(struct pn_slice name);
struct pn_slice name_canonical(struct pn_arena *arena, struct pn_slice name);

struct memory_body *body_find(struct memory_store *store, struct pn_body_id id);
struct memory_body *body_put(struct memory_store *store, const struct pn_body_source *source);

/* writer.c */
struct pn_slice writer_bytes(const struct pn_body_writer *writer);
enum pn_status memory_body_new(void *instance, struct pn_body_writer **writer_out,
			       struct pn_error *error);
enum pn_status memory_body_append(void *instance, struct pn_body_writer *writer,
				  struct pn_slice bytes, struct pn_error *error);
void memory_body_discard(void *instance, struct pn_body_writer *writer);

/* queue.c */
void queue_copy(const struct memory_queue *queue, struct memory_queue *copy);
void queue_free(struct memory_queue *queue);
uint64_t queue_put(struct memory_queue *queue, const struct pn_queue_row *row,
		   struct pn_body_id body);
enum pn_status queue_update(struct memory_queue *queue, const struct pn_mutation *mutation,
			    bool *was_there);
enum pn_status queue_done(struct memory_queue *queue, const struct pn_mutation *mutation,
			  bool *was_there);
enum pn_status memory_queue_rows(void *instance, struct pn_store_call *call,
				 const struct pn_queue_request *request,
				 struct pn_queue_rows *result);

/* commit.c, mailbox.c */
struct memory_work {
	struct memory_store *store;
	struct pn_commit *commit;
	const struct pn_mutation *mutation;
	struct pn_mutation_result *result;
	struct memory_account *drafts;
	struct memory_queue queue;  /* a draft too, where its arena is not NULL */
	struct memory_body **bodies;
	struct memory_account *account;
	struct memory_mailbox *mailbox;
};

enum pn_status change_tree(struct memory_work *work);
enum pn_status make_mailbox(struct memory_work *work, struct pn_slice name, uint32_t attributes,
			    bool only_missing);
enum pn_status find_mailbox(struct memory_work *work);
enum pn_status keyword_bits(struct memory_work *work, struct memory_mailbox *mailbox,
			    const struct pn_flags *flags, bool add, uint64_t *bits_out);
enum pn_status copy_row(struct memory_work *work, size_t row, struct memory_mailbox *from,
			uint64_t target, uint32_t *uid_out);
void memory_commit(void *instance, struct pn_commit *commit);

/* question.c */
enum pn_status memory_accounts(void *instance, struct pn_store_call *call,
			       const struct pn_accounts_request *request,
			       struct pn_accounts *result);
enum pn_status memory_mailboxes(void *instance, struct pn_store_call *call,
				const struct pn_mailboxes_request *request,
				struct pn_mailboxes *result);
enum pn_status memory_view(void *instance, struct pn_store_call *call,
			   const struct pn_view_request *request, struct pn_view *result);
enum pn_status memory_rows(void *instance, struct pn_store_call *call,
			   const struct pn_rows_request *request, struct pn_rows *result);
enum pn_status memory_changes(void *instance, struct pn_store_call *call,
			      const struct pn_changes_request *request,
			      struct pn_changes *result);
enum pn_status memory_body_read(void *instance, struct pn_store_call *call,
				const struct pn_body_request *request,
				struct pn_body_piece *result);
enum pn_status memory_bodies(void *instance, struct pn_store_call *call,
			     const struct pn_bodies_request *request, struct pn_bodies *result);

#endif
