/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that go to accounts of ours: reports to senders who live here, mail that was held,
 * and mail for a store that is not home: where the body is copied. The append carries a
 * key, so that doing it again after a death between it and the end of the row does nothing.
 * Where an alias leads away the row becomes others. Loop thread.
 */
#include "delivery/scheduler.h"

#include <postern/clock.h>
#include <postern/job.h>
#include <postern/text.h>

#include "delivery/details.h"
#include "session/ticket.h"
#include "store/watch.h"

#include <stdio.h>
#include <stdlib.h>

enum { READ_AT_A_TIME = 1024 * 1024, IN_MEMORY = 256 * 1024, COMMIT_MS = 5 * 60 * 1000 };

struct local {
	struct queued *queued;
	struct pn_arena *arena; /* the restored transaction's */
	const struct pn_lookup_account *accounts;
	size_t account_count;
	const struct pn_address *foreign; /* an alias leads there, too */
	size_t foreign_count;
	size_t at;             /* the account whose turn it is */
	struct pn_buffer text; /* of a body that is copied, if it is small */
	struct pn_body_writer *writer;
	uint64_t copied;
	uint64_t total;
	uint32_t header_size;
};

static void end(struct local *local, enum pn_delivery_outcome outcome,
                enum pn_answer_class answer_class, unsigned code, const char *enhanced,
                const char *text)
{
	struct queued *queued = local->queued;

	queued->outcome = outcome;
	queued->answer_class = answer_class;
	pn_reply_set(&queued->reply, code, enhanced, text);
	snprintf(queued->command, sizeof(queued->command), "account");
	snprintf(queued->reason, sizeof(queued->reason), "%s", queued->reply.text);
	pn_buffer_clear(&local->text);
	if (local->writer != NULL)
		local->accounts[local->at].store->module->store->body_discard(
			local->accounts[local->at].store->state, local->writer);
	local->writer = NULL;
	pn_settle(queued);
}

static struct pn_mutation *fill_append(struct local *local, struct pn_commit *commit,
                                       const struct pn_lookup_account *account)
{
	const struct pn_recipient *recipient = local->queued->recipient;
	struct pn_mutation *append = pn_commit_add(commit, PN_MUTATION_APPEND);

	append->account = pn_arena_keep(commit->arena, account->name);
	append->name = pn_arena_keep(commit->arena, recipient->mailbox);
	append->create_missing = true;
	append->internal_date_ms = pn_clock_wall_ms();
	append->max_account_bytes = account->quota_bytes;
	append->once_key = pn_slice_of(pn_arena_print(commit->arena, "%.*s %.*s",
	                                              PN_SLICE_ARGS(local->queued->row.transaction),
	                                              PN_SLICE_ARGS(local->queued->row.recipient)));
	pn_deposit_set_flags(commit, &append->flags, recipient->flags);
	return append;
}

static void next_account(struct local *local);

static void committed(void *user, const struct pn_answer *answer)
{
	struct local *local = user;

	if (answer->status == PN_OK) {
		local->at++;
		next_account(local);
	} else if (answer->status == PN_LIMIT) {
		end(local, PN_DELIVERY_DEFERRED, PN_CLASS_MAILBOX, 452, "4.2.2",
		    "the mailbox is full");
	} else {
		pn_log(PN_LOG_ERROR, "queue", "mail for %.*s cannot be stored: %s",
		       PN_SLICE_ARGS(local->accounts[local->at].name),
		       answer->error != NULL ? answer->error->text
		                             : pn_status_name(answer->status));
		end(local, PN_DELIVERY_DEFERRED, PN_CLASS_TEMPORARY, 451, "4.3.0",
		    "the message could not be stored");
	}
}

static void commit_to(struct local *local, struct pn_commit *commit)
{
	const struct pn_lookup_account *account = &local->accounts[local->at];
	struct pn_mutation *append = fill_append(local, commit, account);

	append->body.is_new = commit->body_count > 0;
	append->body.id = local->queued->row.body;
	pn_store_commit(pn_account_new(local->arena, account->name, account->store), commit,
	                pn_ticket_open(NULL, committed, local, COMMIT_MS));
}

/* ---- into another store ---- */

static void read_on(struct local *local);

/* A piece on its way to the writer of the other store; its own, as the job may be late. */
struct writing {
	struct local *local;
	const struct pn_store *entries;
	void *state;
	struct pn_body_writer *writer; /* NULL: to be made */
	struct pn_buffer bytes;
	struct pn_ticket ticket;
};

static void free_writing(void *pointer)
{
	struct writing *writing = pointer;

	if (writing->writer != NULL)
		writing->entries->body_discard(writing->state, writing->writer);
	pn_buffer_clear(&writing->bytes);
	free(writing);
}

static void commit_copy(struct local *local)
{
	struct pn_commit *commit = pn_commit_new(1, 1);
	struct pn_slice *pieces = PN_ARENA_ARRAY(commit->arena, 1, struct pn_slice);

	pieces[0] = pn_arena_keep(commit->arena, pn_buffer_slice(&local->text));
	commit->bodies[0].pieces = pieces;
	commit->bodies[0].piece_count = local->writer == NULL ? 1 : 0;
	commit->bodies[0].header_size = local->header_size;
	commit->bodies[0].writer = local->writer;
	commit->body_count = 1;
	local->writer = NULL;
	commit_to(local, commit);
}

static void go_on(struct local *local)
{
	if (local->copied < local->total)
		read_on(local);
	else
		commit_copy(local);
}

static void fail_copy(struct local *local, const char *text)
{
	end(local, PN_DELIVERY_DEFERRED, PN_CLASS_TEMPORARY, 451, "4.3.0", text);
}

static void written(void *user, const struct pn_answer *answer)
{
	struct writing *writing = user;
	struct local *local = writing->local;

	if (answer->kind != PN_ANSWER_TIMER) {
		local->writer = writing->writer;
		writing->writer = NULL;
	}
	if (answer->status == PN_OK)
		go_on(local);
	else
		fail_copy(local, "the message could not be written");
}

static enum pn_status write_bytes(void *argument, struct pn_error *error)
{
	struct writing *writing = argument;
	enum pn_status status = PN_OK;

	if (writing->writer == NULL)
		status = writing->entries->body_new(writing->state, &writing->writer, error);
	if (status == PN_OK)
		status = writing->entries->body_append(writing->state, writing->writer,
		                                       pn_buffer_slice(&writing->bytes), error);
	return status;
}

static void write_done(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct writing *writing = argument;

	pn_ticket_answer(writing->ticket, PN_ANSWER_JOB, status, writing, free_writing, error);
}

/* A large body goes over piece by piece. */
static void write_piece(struct local *local, struct pn_slice bytes)
{
	const struct pn_instance *store = local->accounts[local->at].store;
	struct writing *writing = calloc(1, sizeof(*writing));
	struct pn_error error;
	const struct pn_job job = {
		.struct_size = sizeof(job),
		.pool = PN_POOL_DISK,
		.work = write_bytes,
		.done = write_done,
		.argument = writing,
	};

	if (writing == NULL)
		abort();
	writing->local = local;
	writing->entries = store->module->store;
	writing->state = store->state;
	writing->writer = local->writer;
	local->writer = NULL;
	pn_buffer_init(&writing->bytes, READ_AT_A_TIME);
	(void)!pn_buffer_append(&writing->bytes, bytes); /* it has just that room */
	writing->ticket = pn_ticket_open(NULL, written, writing, COMMIT_MS);
	if ((writing->entries->capabilities & PN_STORE_BODIES_BLOCK) == 0) {
		enum pn_status status = write_bytes(writing, &error);

		write_done(writing, status, status == PN_OK ? NULL : &error);
	} else if (pn_job_submit(&job, (struct pn_ticket){0, 0}) != PN_OK) {
		write_done(writing, PN_LIMIT, NULL);
	}
}

static void piece_read(void *user, const struct pn_answer *answer)
{
	struct local *local = user;
	const struct pn_body_piece *piece = answer->result;

	if (answer->status != PN_OK || piece->bytes.size == 0) {
		fail_copy(local, "the message could not be read");
		return;
	}
	if (local->copied == 0)
		local->header_size = (uint32_t)pn_header_end(piece->bytes, 0);
	local->copied += piece->bytes.size;
	local->total = piece->total_size;
	if (piece->total_size > IN_MEMORY)
		write_piece(local, piece->bytes);
	else if (pn_buffer_append(&local->text, piece->bytes) == PN_OK)
		go_on(local);
	else
		fail_copy(local, "the message could not be read");
}

static void read_on(struct local *local)
{
	const struct pn_body_request request = {
		.struct_size = sizeof(request),
		.body = local->queued->row.body,
		.offset = local->copied,
		.max_size = READ_AT_A_TIME,
	};

	pn_store_body(pn_scheduler.home, &request,
	              pn_ticket_open(NULL, piece_read, local, COMMIT_MS));
}

/* ---- to addresses elsewhere, which get rows of their own ---- */

static void sent_on(void *user, const struct pn_answer *answer)
{
	struct local *local = user;

	if (answer->status != PN_OK) {
		end(local, PN_DELIVERY_DEFERRED, PN_CLASS_TEMPORARY, 451, "4.3.0",
		    "the message could not be sent on");
		return;
	}
	if (pn_change_bus.queued != NULL)
		pn_change_bus.queued();
	local->queued->dsn_passed_on = local->account_count == 0;
	end(local, PN_DELIVERY_DONE, PN_CLASS_NONE, 250, "2.1.5", "sent on");
}

static void fill_row(const struct local *local, const struct pn_address *address,
                     struct pn_queue_row *row, struct pn_arena *arena)
{
	const struct queued *queued = local->queued;
	struct pn_slice details = queued->row.details;

	if (pn_queue_detail_of(details, PN_SLICE("original")).size == 0)
		details = pn_queue_detail_set(arena, details, PN_SLICE("original"),
		                              queued->row.recipient);
	*row = queued->row;
	row->id = 0;
	row->due_ms = pn_clock_wall_ms();
	row->attempts = 0;
	row->reason = PN_SLICE_NONE;
	row->transaction = pn_arena_keep(arena, row->transaction);
	row->sender = pn_arena_keep(arena, row->sender);
	row->tenant = pn_arena_keep(arena, row->tenant);
	row->recipient = pn_arena_keep(arena, address->text);
	row->destination = pn_route_usual(pn_scheduler.generation, address->domain, arena);
	/* An operator who sent it here did not mean these. */
	row->details = pn_queue_detail_set(arena, details, PN_SLICE("route"), PN_SLICE(""));
}

/* This row goes in the same commit: each of them is written to once. */
static void send_on(struct local *local)
{
	struct pn_commit *commit = pn_commit_new(0, local->foreign_count + 1);
	struct pn_queue_row *gone = PN_ARENA_NEW(commit->arena, struct pn_queue_row);
	struct pn_mutation *done;

	for (size_t i = 0; i < local->foreign_count; i++) {
		struct pn_queue_row *row = PN_ARENA_NEW(commit->arena, struct pn_queue_row);
		struct pn_mutation *put = pn_commit_add(commit, PN_MUTATION_QUEUE_PUT);

		fill_row(local, &local->foreign[i], row, commit->arena);
		put->queue_row = row;
		put->body.id = local->queued->row.body;
	}
	done = pn_commit_add(commit, PN_MUTATION_QUEUE_DONE);
	gone->id = local->queued->row.id;
	done->queue_row = gone;
	done->on = true;
	pn_store_commit(pn_scheduler.home, commit, pn_ticket_open(NULL, sent_on, local, COMMIT_MS));
}

/* ---- one account after the other ---- */

static void next_account(struct local *local)
{
	struct pn_commit *commit;

	if (local->at == local->account_count && local->foreign_count > 0) {
		send_on(local);
	} else if (local->at == local->account_count) {
		end(local, PN_DELIVERY_DONE, PN_CLASS_NONE, 250, "2.1.5", "stored");
	} else if (local->accounts[local->at].store == pn_scheduler.generation->home) {
		commit = pn_commit_new(0, 1);
		commit_to(local, commit);
	} else {
		local->text.size = 0;
		local->copied = 0;
		read_on(local);
	}
}

static void judged(void *user, const struct pn_stage_result *result)
{
	struct local *local = user;
	struct queued *queued = local->queued;

	queued->is_local_refusal = result->verdict == PN_VERDICT_REJECT;
	switch (result->verdict) {
	case PN_VERDICT_REJECT:
		end(local, PN_DELIVERY_REFUSED, PN_CLASS_POLICY, result->reply.code,
		    result->reply.enhanced, result->reply.text);
		return;
	case PN_VERDICT_DEFER:
		end(local, PN_DELIVERY_DEFERRED, PN_CLASS_TEMPORARY, result->reply.code,
		    result->reply.enhanced, result->reply.text);
		return;
	case PN_VERDICT_DISCARD:
		queued->is_local_refusal = true; /* nobody is told that it was delivered */
		end(local, PN_DELIVERY_DONE, PN_CLASS_NONE, 250, "2.0.0", "discarded by policy");
		return;
	case PN_VERDICT_QUARANTINE:
		pn_recipient_set_mailbox(
			queued->recipient,
			pn_slice_of(result->argument == NULL ? "Quarantine" : result->argument));
		break;
	default:
		break;
	}
	next_account(local);
}

static void looked_up(void *user, const struct pn_lookup_result *result)
{
	struct local *local = user;
	struct queued *queued = local->queued;
	struct pn_stage_request request;

	switch (result->outcome) {
	case PN_LOOKUP_FOUND:
		break;
	case PN_LOOKUP_UNKNOWN:
	case PN_LOOKUP_FOREIGN:
		end(local, PN_DELIVERY_REFUSED, PN_CLASS_UNKNOWN_RECIPIENT, 550, "5.1.1",
		    "no such address here");
		return;
	default:
		end(local, PN_DELIVERY_DEFERRED, PN_CLASS_TEMPORARY, 451, "4.3.0",
		    "the address could not be looked up");
		return;
	}
	local->accounts = result->accounts;
	local->account_count = result->account_count;
	local->foreign = result->foreign;
	local->foreign_count = result->foreign_count;
	queued->recipient->accounts = result->accounts;
	queued->recipient->account_count = result->account_count;
	request = pn_queued_stage(queued, PN_STAGE_MAILBOX_DELIVER, NULL, local->arena);
	pn_stage_run(&request, judged, local);
}

void pn_deliver_local(struct queued *queued)
{
	struct pn_recipient *recipient = pn_queued_restore(queued);
	struct pn_arena *arena = queued->transaction->arena;
	struct local *local = PN_ARENA_NEW(arena, struct local);

	local->queued = queued;
	local->arena = arena;
	pn_buffer_init(&local->text, IN_MEMORY);
	pn_directory_find(NULL, pn_scheduler.generation, &recipient->address, arena, looked_up,
	                  local);
}
