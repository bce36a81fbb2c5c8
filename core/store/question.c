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
	ASK_MAILBOXES = 0,
	ASK_VIEW,
	ASK_ROWS,
	ASK_CHANGES,
	ASK_BODY,
};

/* A question under way. `call` comes first: it is what a store gives back. */
struct question {
	struct pn_store_call call;
	struct pn_arena *arena;
	struct pn_account account;
	struct pn_ticket ticket;
	enum question_kind kind;
	union {
		struct pn_mailboxes_request mailboxes;
		struct pn_view_request view;
		struct pn_rows_request rows;
		struct pn_changes_request changes;
		struct pn_body_request body;
	} request;
	union {
		struct pn_mailboxes mailboxes;
		struct pn_view view;
		struct pn_rows rows;
		struct pn_changes changes;
		struct pn_body_piece body;
	} result;
};

static void release_question(void *result)
{
	struct question *question =
		(struct question *)((char *)result - offsetof(struct question, result));
	struct pn_arena *arena = question->arena;

	pn_arena_free(&arena);
}

static enum pn_status ask(struct question *question)
{
	const struct pn_store *entries = question->account.entries;
	void *state = question->account.state;

	switch (question->kind) {
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
	case ASK_BODY:
		return entries->body_read(state, &question->call, &question->request.body,
		                          &question->result.body);
	}
	return PN_FAILED;
}

void pn_store_answer(struct pn_store_call *call, enum pn_status status)
{
	struct question *question = (struct question *)call;

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

static void start(struct question *question)
{
	uint32_t blocking =
		question->kind == ASK_BODY ? PN_STORE_BODIES_BLOCK : PN_STORE_QUESTIONS_BLOCK;
	const struct pn_job job = {
		.struct_size = sizeof(job),
		.pool = PN_POOL_DISK,
		.work = work,
		.done = work_done,
		.argument = question,
	};
	enum pn_status status = PN_PENDING;

	if ((question->account.entries->capabilities & blocking) == 0)
		status = ask(question);
	else if (pn_job_submit(&job, (struct pn_ticket){0, 0}) != PN_OK)
		status = pn_fail_with(PN_LIMIT, &question->call.error,
		                      "too many questions to the store wait");
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

void pn_store_body(const struct pn_account *account, const struct pn_body_request *request,
                   struct pn_ticket ticket)
{
	struct question *question = new_question(account, ASK_BODY, ticket);

	question->request.body = *request;
	question->request.body.account = question->account.name;
	question->result.body.struct_size = sizeof(question->result.body);
	start(question);
}
