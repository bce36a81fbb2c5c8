/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to a store: the request is copied, the entry is called (on the disk
 * pool where it blocks), and the ticket is answered with the result, whose memory
 * goes when it was delivered. Loop thread.
 */
#include <postern/job.h>
#include <postern/store.h>

#include "session/ticket.h"
#include "store/account.h"

enum question_kind {
	ASK_ACCOUNTS = 0,
	ASK_MAILBOXES,
	ASK_VIEW,
	ASK_ROWS,
	ASK_CHANGES,
	ASK_QUEUE,
	ASK_BODY,
	ASK_BODIES,
};

enum { PIECE_SIZE = 1024 * 1024 };

/* Many bodies of a store that gives one at a time: where it is in the list. */
struct one_by_one {
	struct pn_arena *pieces; /* of one answer of the store */
	struct pn_body_request request;
	struct pn_body_piece piece;
	struct pn_body_entry *entries;
	char *bytes; /* of the body that is being read; NULL: its beginning was not seen yet */
	uint64_t size;
	size_t room;
};

/* A question under way. `call` comes first: it is what a store gives back. */
struct question {
	struct pn_store_call call;
	struct pn_arena *arena;
	struct pn_account account;
	struct pn_ticket ticket;
	enum question_kind kind;
	union {
		struct pn_accounts_request accounts;
		struct pn_mailboxes_request mailboxes;
		struct pn_view_request view;
		struct pn_rows_request rows;
		struct pn_changes_request changes;
		struct pn_queue_request queue;
		struct pn_body_request body;
		struct pn_bodies_request bodies;
	} request;
	union {
		struct pn_accounts accounts;
		struct pn_mailboxes mailboxes;
		struct pn_view view;
		struct pn_rows rows;
		struct pn_changes changes;
		struct pn_queue_rows queue;
		struct pn_body_piece body;
		struct pn_bodies bodies;
	} result;
	struct one_by_one *reading; /* ASK_BODIES, where the store has no such entry */
	bool is_waiting;            /* the store said that it would answer later */
};

static void release_question(void *result)
{
	struct question *question =
		(struct question *)((char *)result - offsetof(struct question, result));
	struct pn_arena *arena = question->arena;

	if (question->reading != NULL)
		pn_arena_free(&question->reading->pieces);
	pn_arena_free(&arena);
}

/* ---- bodies, one by one ---- */

static void settle_body(struct question *question, enum pn_status status, struct pn_slice bytes)
{
	struct one_by_one *reading = question->reading;

	reading->entries[question->result.bodies.count++] = (struct pn_body_entry){status, bytes};
	reading->room -= bytes.size;
	reading->bytes = NULL;
	reading->request.offset = 0;
	memset(&question->call.error, 0, sizeof(question->call.error));
}

/* A piece is there. False: this body belongs to the next question. */
static bool take_piece(struct question *question)
{
	struct one_by_one *reading = question->reading;
	const struct pn_bodies_request *asked = &question->request.bodies;
	const struct pn_body_piece *piece = &reading->piece;

	if (reading->bytes == NULL && piece->total_size > asked->max_size) {
		settle_body(question, PN_LIMIT, PN_SLICE_NONE);
		return true;
	}
	if (reading->bytes == NULL) {
		if (piece->total_size > reading->room)
			return false;
		reading->size = piece->total_size;
		reading->bytes = pn_arena_allocate(question->arena, (size_t)reading->size);
	}
	/* Bodies do not change: one that ends early or late is damaged. */
	if (piece->bytes.size > reading->size - reading->request.offset ||
	    (piece->bytes.size == 0 && reading->request.offset < reading->size)) {
		settle_body(question, PN_FAILED, PN_SLICE_NONE);
		return true;
	}
	if (piece->bytes.size > 0)
		memcpy(reading->bytes + reading->request.offset, piece->bytes.data,
		       piece->bytes.size);
	reading->request.offset += piece->bytes.size;
	if (reading->request.offset == reading->size)
		settle_body(question, PN_OK, pn_slice_make(reading->bytes, (size_t)reading->size));
	return true;
}

/* Goes on with the answer of the store to the last piece; PN_PENDING where it wants to answer
 * later. */
static enum pn_status read_on(struct question *question, enum pn_status status)
{
	struct one_by_one *reading = question->reading;
	const struct pn_bodies_request *asked = &question->request.bodies;

	while (status != PN_PENDING) {
		if (status == PN_OK && !take_piece(question))
			return PN_OK;
		if (status != PN_OK)
			settle_body(question, status == PN_NOT_FOUND ? PN_NOT_FOUND : PN_FAILED,
			            PN_SLICE_NONE);
		if (question->result.bodies.count == asked->count)
			return PN_OK;
		pn_arena_reset(reading->pieces);
		reading->piece = (struct pn_body_piece){.struct_size = sizeof(reading->piece)};
		reading->request.body = asked->bodies[question->result.bodies.count];
		status = question->account.entries->body_read(question->account.state,
		                                              &question->call, &reading->request,
		                                              &reading->piece);
	}
	return PN_PENDING;
}

static enum pn_status read_bodies(struct question *question)
{
	struct one_by_one *reading = PN_ARENA_NEW(question->arena, struct one_by_one);
	const struct pn_bodies_request *asked = &question->request.bodies;

	question->reading = reading;
	reading->pieces = pn_arena_new();
	reading->entries = PN_ARENA_ARRAY(question->arena, asked->count, struct pn_body_entry);
	reading->room = asked->max_size;
	reading->request = (struct pn_body_request){
		.struct_size = sizeof(reading->request),
		.account = asked->account,
		.body = asked->bodies[0],
		.max_size = PIECE_SIZE,
	};
	reading->piece.struct_size = sizeof(reading->piece);
	question->call.arena = reading->pieces;
	question->result.bodies.entry_size = sizeof(struct pn_body_entry);
	question->result.bodies.entries = reading->entries;
	return read_on(question, question->account.entries->body_read(
					 question->account.state, &question->call,
					 &reading->request, &reading->piece));
}

static enum pn_status ask_bodies(struct question *question)
{
	const struct pn_store *entries = question->account.entries;

	/* A module that was built before there was this entry has a shorter table. */
	if (entries->struct_size < offsetof(struct pn_store, bodies) + sizeof(entries->bodies) ||
	    entries->bodies == NULL)
		return read_bodies(question);
	return entries->bodies(question->account.state, &question->call, &question->request.bodies,
	                       &question->result.bodies);
}

static enum pn_status ask(struct question *question)
{
	const struct pn_store *entries = question->account.entries;
	void *state = question->account.state;

	switch (question->kind) {
	case ASK_ACCOUNTS:
		return entries->accounts(state, &question->call, &question->request.accounts,
		                         &question->result.accounts);
	case ASK_MAILBOXES:
		return entries->mailboxes(state, &question->call, &question->request.mailboxes,
		                          &question->result.mailboxes);
	case ASK_VIEW:
		return entries->view(state, &question->call, &question->request.view,
		                     &question->result.view);
	case ASK_ROWS:
		return entries->rows(state, &question->call, &question->request.rows,
		                     &question->result.rows);
	case ASK_CHANGES:
		return entries->changes(state, &question->call, &question->request.changes,
		                        &question->result.changes);
	case ASK_QUEUE:
		return entries->queue(state, &question->call, &question->request.queue,
		                      &question->result.queue);
	case ASK_BODY:
		return entries->body_read(state, &question->call, &question->request.body,
		                          &question->result.body);
	case ASK_BODIES:
		return ask_bodies(question);
	}
	return PN_FAILED;
}

void pn_store_answer(struct pn_store_call *call, enum pn_status status)
{
	struct question *question = (struct question *)call;

	if (question->reading != NULL && question->is_waiting) {
		question->is_waiting = false;
		status = read_on(question, status);
		question->is_waiting = status == PN_PENDING;
		if (status == PN_PENDING)
			return;
	}
	pn_ticket_answer(question->ticket, PN_ANSWER_STORE, status, &question->result,
	                 release_question,
	                 status == PN_FAILED || status == PN_LIMIT ? &call->error : NULL);
}

static enum pn_status work(void *argument, struct pn_error *error)
{
	(void)error;
	return ask(argument);
}

static void work_done(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct question *question = argument;

	if (error != NULL && question->call.error.text[0] == '\0')
		question->call.error = *error;
	pn_store_answer(&question->call, status);
}

static struct question *new_question(const struct pn_account *account, enum question_kind kind,
                                     struct pn_ticket ticket)
{
	struct pn_arena *arena = pn_arena_new();
	struct question *question = PN_ARENA_NEW(arena, struct question);

	question->arena = arena;
	question->call.struct_size = sizeof(question->call);
	question->call.arena = arena;
	question->account = *account;
	question->account.name = pn_arena_keep(arena, account->name);
	question->kind = kind;
	question->ticket = ticket;
	return question;
}

/* A body that can be had without waiting; PN_PENDING: it is a job after all. */
static enum pn_status ask_ready(struct question *question)
{
	const struct pn_store *entries = question->account.entries;

	if (question->kind != ASK_BODY ||
	    entries->struct_size <
	            offsetof(struct pn_store, body_ready) + sizeof(entries->body_ready) ||
	    entries->body_ready == NULL)
		return PN_PENDING;
	return entries->body_ready(question->account.state, &question->call,
	                           &question->request.body, &question->result.body);
}

static void start(struct question *question)
{
	uint32_t blocking =
		question->kind >= ASK_BODY ? PN_STORE_BODIES_BLOCK : PN_STORE_QUESTIONS_BLOCK;
	const struct pn_job job = {
		.struct_size = sizeof(job),
		.pool = PN_POOL_DISK,
		.work = work,
		.done = work_done,
		.argument = question,
	};
	const bool is_blocking = (question->account.entries->capabilities & blocking) != 0;
	enum pn_status status = is_blocking ? ask_ready(question) : ask(question);

	if (is_blocking && status == PN_PENDING &&
	    pn_job_submit(&job, (struct pn_ticket){0, 0}) != PN_OK)
		status = pn_fail_with(PN_LIMIT, &question->call.error,
		                      "too many questions to the store wait");
	question->is_waiting = status == PN_PENDING && !is_blocking;
	if (status != PN_PENDING)
		pn_store_answer(&question->call, status);
}

static struct pn_uid_set keep_uids(struct pn_arena *arena, struct pn_uid_set uids)
{
	struct pn_uid_range *ranges = PN_ARENA_ARRAY(arena, uids.count, struct pn_uid_range);

	if (uids.count > 0)
		memcpy(ranges, uids.ranges, uids.count * sizeof(*ranges));
	return (struct pn_uid_set){ranges, uids.count};
}

void pn_store_accounts(const struct pn_account *account, const struct pn_accounts_request *request,
                       struct pn_ticket ticket)
{
	struct question *question = new_question(account, ASK_ACCOUNTS, ticket);

	question->request.accounts = *request;
	question->request.accounts.after = pn_arena_keep(question->arena, request->after);
	question->result.accounts.struct_size = sizeof(question->result.accounts);
	start(question);
}

void pn_store_mailboxes(const struct pn_account *account,
                        const struct pn_mailboxes_request *request, struct pn_ticket ticket)
{
	struct question *question = new_question(account, ASK_MAILBOXES, ticket);

	question->request.mailboxes = *request;
	question->request.mailboxes.account = question->account.name;
	question->request.mailboxes.name = pn_arena_keep(question->arena, request->name);
	question->result.mailboxes.struct_size = sizeof(question->result.mailboxes);
	start(question);
}

void pn_store_view(const struct pn_account *account, const struct pn_view_request *request,
                   struct pn_ticket ticket)
{
	struct question *question = new_question(account, ASK_VIEW, ticket);

	question->request.view = *request;
	question->request.view.account = question->account.name;
	question->result.view.struct_size = sizeof(question->result.view);
	start(question);
}

void pn_store_rows(const struct pn_account *account, const struct pn_rows_request *request,
                   struct pn_ticket ticket)
{
	struct question *question = new_question(account, ASK_ROWS, ticket);

	question->request.rows = *request;
	question->request.rows.account = question->account.name;
	question->request.rows.uids = keep_uids(question->arena, request->uids);
	question->result.rows.struct_size = sizeof(question->result.rows);
	start(question);
}

void pn_store_changes(const struct pn_account *account, const struct pn_changes_request *request,
                      struct pn_ticket ticket)
{
	struct question *question = new_question(account, ASK_CHANGES, ticket);

	question->request.changes = *request;
	question->request.changes.account = question->account.name;
	question->result.changes.struct_size = sizeof(question->result.changes);
	start(question);
}

void pn_store_queue(const struct pn_account *account, const struct pn_queue_request *request,
                    struct pn_ticket ticket)
{
	struct question *question = new_question(account, ASK_QUEUE, ticket);
	struct pn_arena *arena = question->arena;
	struct pn_queue_request *kept = &question->request.queue;

	*kept = *request;
	kept->destination = pn_arena_keep(arena, request->destination);
	kept->sender = pn_arena_keep(arena, request->sender);
	kept->recipient_domain = pn_arena_keep(arena, request->recipient_domain);
	kept->tenant = pn_arena_keep(arena, request->tenant);
	question->result.queue.struct_size = sizeof(question->result.queue);
	start(question);
}

void pn_store_body(const struct pn_account *account, const struct pn_body_request *request,
                   struct pn_ticket ticket)
{
	struct question *question = new_question(account, ASK_BODY, ticket);

	question->request.body = *request;
	question->request.body.account = question->account.name;
	question->result.body.struct_size = sizeof(question->result.body);
	start(question);
}

void pn_store_bodies(const struct pn_account *account, const struct pn_bodies_request *request,
                     struct pn_ticket ticket)
{
	struct question *question = new_question(account, ASK_BODIES, ticket);
	struct pn_body_id *bodies =
		PN_ARENA_ARRAY(question->arena, request->count, struct pn_body_id);

	memcpy(bodies, request->bodies, request->count * sizeof(*bodies));
	question->request.bodies = *request;
	question->request.bodies.account = question->account.name;
	question->request.bodies.bodies = bodies;
	question->result.bodies.struct_size = sizeof(question->result.bodies);
	start(question);
}
