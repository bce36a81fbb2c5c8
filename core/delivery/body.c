/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies that are larger than what a message may hold in memory: they go to a
 * writer of the store as they come, in jobs; the session pauses meanwhile, so a
 * fast client cannot outrun the disk. The header stays in memory, because it may
 * still be edited: it is written last.
 */
#include "delivery/transaction.h"

#include <postern/job.h>

#include "session/ticket.h"

#include <stdlib.h>

enum { WRITE_AT = 256 * 1024 };

/* What a job needs; its own, as the transaction may end before the job does. */
struct writing {
	const struct pn_store *entries;
	void *state;
	struct pn_body_writer *writer; /* NULL: to be made */
	struct pn_buffer beginning;    /* with the first one: the body so far */
	struct pn_buffer bytes;
	struct pn_transaction *transaction; /* valid while the ticket is */
	void (*done)(struct pn_transaction *transaction);
	struct pn_ticket ticket;
	struct pn_error error;
};

static enum pn_status write_bytes(void *argument, struct pn_error *error)
{
	struct writing *writing = argument;
	enum pn_status status = PN_OK;

	if (writing->writer == NULL)
		status = writing->entries->body_new(writing->state, &writing->writer, error);
	if (status == PN_OK && writing->beginning.size > 0)
		status = writing->entries->body_append(writing->state, writing->writer,
		                                       pn_buffer_slice(&writing->beginning), error);
	if (status == PN_OK && writing->bytes.size > 0)
		status = writing->entries->body_append(writing->state, writing->writer,
		                                       pn_buffer_slice(&writing->bytes), error);
	return status;
}

/* The transaction goes on from the top of the loop; when it is gone, so is what was written. */
static void written(void *user, const struct pn_answer *answer)
{
	struct writing *writing = user;
	struct pn_transaction *transaction = writing->transaction;

	/* A job that is late still has the writer, and discards it when it is done. */
	if (answer->kind != PN_ANSWER_TIMER) {
		transaction->writer = writing->writer;
		writing->writer = NULL;
	}
	if (answer->status != PN_OK) {
		transaction->writer_failed = true;
		if (answer->error != NULL)
			pn_log(PN_LOG_ERROR, "store", "a large message could not be written: %s",
			       answer->error->text);
	}
	if (writing->done != NULL)
		writing->done(transaction);
	else
		pn_ticket_answer(transaction->body_ticket, PN_ANSWER_BODY, PN_OK, NULL, NULL, NULL);
}

static void release_writing(void *pointer)
{
	struct writing *writing = pointer;

	if (writing->writer != NULL)
		writing->entries->body_discard(writing->state, writing->writer);
	pn_buffer_clear(&writing->beginning);
	pn_buffer_clear(&writing->bytes);
	free(writing);
}

static void writing_done(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct writing *writing = argument;

	pn_ticket_answer(writing->ticket, PN_ANSWER_JOB, status, writing, release_writing, error);
}

/* Where a body goes before it is known where all its recipients' mail will go: to the owner's
 * store, or home, which keeps the queue; other stores get theirs through it. NULL: nobody wants it.
 */
static struct pn_instance *store_of(const struct pn_transaction *transaction)
{
	const struct pn_recipient *leaf = pn_leaf_next(transaction, NULL);

	if (leaf == NULL)
		return NULL;
	return transaction->deposit != NULL ? leaf->accounts[0].store
	                                    : transaction->generation->home;
}

bool pn_body_is_at_store(const struct pn_transaction *transaction)
{
	return transaction->writer_account != NULL || transaction->overflow.size > 0;
}

static struct writing *new_writing(struct pn_transaction *transaction)
{
	struct writing *writing = calloc(1, sizeof(*writing));

	if (writing == NULL)
		abort();
	if (transaction->writer_account == NULL)
		transaction->writer_account =
			pn_account_new(transaction->arena, PN_SLICE(""), store_of(transaction));
	writing->entries = transaction->writer_account->entries;
	writing->state = transaction->writer_account->state;
	writing->writer = transaction->writer;
	writing->transaction = transaction;
	pn_buffer_init(&writing->beginning, transaction->text.limit);
	if (transaction->written == 0) {
		/* All of the body that memory has; the header waits for its edits. */
		(void)!pn_buffer_append(&writing->beginning,
		                        pn_slice_behind(pn_buffer_slice(&transaction->text),
		                                        transaction->header_size));
		transaction->written = transaction->text.size;
	}
	writing->bytes = transaction->overflow;
	pn_buffer_init(&transaction->overflow, writing->bytes.limit);
	transaction->writer = NULL;
	return writing;
}

static void submit(struct pn_transaction *transaction, void (*done)(struct pn_transaction *))
{
	struct writing *writing = new_writing(transaction);
	const struct pn_job job = {
		.struct_size = sizeof(job),
		.pool = PN_POOL_DISK,
		.work = write_bytes,
		.done = writing_done,
		.argument = writing,
	};

	writing->done = done;
	writing->ticket = pn_ticket_open(transaction->session, written, writing,
	                                 transaction->generation->store_deadline_ms);
	pn_ticket_set_owner(writing->ticket, transaction);
	if ((writing->entries->capabilities & PN_STORE_BODIES_BLOCK) == 0)
		writing_done(writing, write_bytes(writing, &writing->error), &writing->error);
	else if (pn_job_submit(&job, (struct pn_ticket){0, 0}) != PN_OK)
		writing_done(writing, PN_LIMIT, NULL);
}

enum pn_next pn_body_overflow(struct pn_transaction *transaction, struct pn_slice bytes,
                              enum pn_next next)
{
	/* Without anybody to store it for (all discarded) there is nothing to keep. */
	if (transaction->writer_failed || store_of(transaction) == NULL)
		return next;
	pn_summary_feed(transaction, bytes);
	if (pn_buffer_append(&transaction->overflow, bytes) != PN_OK) {
		transaction->writer_failed = true;
		return next;
	}
	/* While hooks look at the header the session waits already; the next piece comes here
	 * again. */
	if (transaction->overflow.size < WRITE_AT || next == PN_NEXT_ANSWER)
		return next;
	transaction->body_ticket = pn_ticket_open_unlimited(transaction->session, NULL, NULL);
	submit(transaction, NULL);
	return PN_NEXT_ANSWER;
}

void pn_body_finish(struct pn_transaction *transaction, void (*done)(struct pn_transaction *))
{
	if (transaction->overflow.size == 0 || transaction->writer_failed)
		done(transaction);
	else
		submit(transaction, done);
}

void pn_body_discard(struct pn_transaction *transaction)
{
	/* A job that has the writer discards it when it finds its ticket stale. */
	if (transaction->writer != NULL)
		transaction->writer_account->entries->body_discard(
			transaction->writer_account->state, transaction->writer);
	transaction->writer = NULL;
	pn_mime_free(&transaction->parser);
	pn_buffer_clear(&transaction->overflow);
}
