/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settling: what became of a row is shown to the hooks, and written down: done, put off,
 * held. Mutations gather while a commit is under way and for some milliseconds after the
 * last one began, and go together: a flush costs more than all that stands in it. A
 * commit that fails is made again: a row that was delivered must not be delivered twice
 * because the disk was busy. Rows that failed for good go to bounce.c. Loop thread.
 */
#include "delivery/scheduler.h"

#include <postern/clock.h>
#include <postern/fault.h>
#include <postern/text.h>

#include "delivery/details.h"
#include "io/log.h"
#include "session/ticket.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	COMMIT_ROWS = 500,
	COMMITS_MAX = 1,
	AGAIN_MS = 1000,
	COMMIT_MS = 10 * 60 * 1000,
	/* What was delivered and is not written down is delivered again after a crash: so few, and
	 * so briefly, as are on their way over connections at any time. */
	GATHER_MS = 5,
	GATHER_DELIVERED = 50,
};

static struct queued *pending; /* to be written down */
static struct queued **last_pending = &pending;
static size_t pending_count;
static size_t pending_delivered;
static struct queued *failing; /* to be bounced, together where they belong together */
static size_t commits;
static size_t asking; /* rows that hooks are looking at */
static uint64_t last_commit_ms;
static struct pn_timer *again;

bool pn_settle_is_busy(void)
{
	return pending != NULL || failing != NULL || commits > 0 || asking > 0 ||
	       pn_bounce_is_busy();
}

static void flush_task(struct pn_task *task);
static struct pn_task flush = {.run = flush_task};

static void try_again(void *unused)
{
	(void)unused;
	pn_task_queue(&flush);
}

static void flush_in(uint64_t milliseconds)
{
	if (again == NULL)
		again = pn_timer_new(try_again, NULL);
	pn_timer_set(again, milliseconds);
}

static void add_pending(struct queued *queued)
{
	queued->next = NULL;
	*last_pending = queued;
	last_pending = &queued->next;
	pending_count++;
	pending_delivered += queued->outcome == PN_DELIVERY_DONE;
	pn_task_queue(&flush);
}

static void add_failing(struct queued *queued)
{
	queued->is_reported = false;
	queued->next = failing;
	failing = queued;
	pn_task_queue(&flush);
}

/* ---- commits ---- */

/* Rows of one commit. */
struct settling {
	struct queued *rows;
};

/* Whether an operator was there first with one of them: it is taken again as he left it. */
static bool passed_over_any(const struct pn_commit *commit)
{
	for (size_t i = 0; i < commit->mutation_count; i++) {
		if (commit->mutations[i].kind == PN_MUTATION_QUEUE_UPDATE &&
		    !commit->results[i].was_there)
			return true;
	}
	return false;
}

static void end_rows(struct queued *rows)
{
	while (rows != NULL) {
		struct queued *queued = rows;

		rows = queued->next;
		pn_queued_free(queued);
	}
}

static void committed(void *user, const struct pn_answer *answer)
{
	struct settling *settling = user;
	struct queued *rows = settling->rows;

	free(settling);
	commits--;
	pn_fault("queue.settle.after", &(int){0});
	if (answer->status == PN_OK) {
		end_rows(rows);
		if (answer->result != NULL && passed_over_any(answer->result))
			pn_take_due(true);
	} else {
		pn_log(PN_LOG_ERROR, "queue", "what became of mail cannot be written down: %s",
		       answer->error != NULL ? answer->error->text
		                             : pn_status_name(answer->status));
		/* Again, in front of what came meanwhile. */
		while (rows != NULL) {
			struct queued *queued = rows;

			rows = queued->next;
			if (queued->is_reported)
				add_failing(queued); /* the report was in that commit */
			else
				add_pending(queued);
		}
		pn_task_cancel(&flush);
		flush_in(AGAIN_MS);
		return;
	}
	if (pending != NULL)
		pn_task_queue(&flush);
	pn_dispatch();
}

void pn_settle_with(struct queued *rows, struct pn_commit *commit)
{
	struct settling *settling = calloc(1, sizeof(*settling));

	if (settling == NULL)
		abort();
	settling->rows = rows;
	commits++;
	pn_fault("queue.settle.before", &(int){0});
	pn_store_commit(pn_scheduler.home, commit,
	                pn_ticket_open(NULL, committed, settling, COMMIT_MS));
}

void pn_settle_add(const struct queued *queued, struct pn_commit *commit)
{
	bool is_over = !queued->holds && (queued->outcome == PN_DELIVERY_DONE ||
	                                  queued->outcome == PN_DELIVERY_REFUSED);
	struct pn_mutation *mutation =
		pn_commit_add(commit, is_over ? PN_MUTATION_QUEUE_DONE : PN_MUTATION_QUEUE_UPDATE);

	mutation->queue_row = &queued->row;
	/* An operator may have taken it away or held it meanwhile, or sent it elsewhere: whatever
	 * he does to a row gives it another moment. */
	mutation->on = true;
	mutation->unchanged_since = (uint64_t)queued->read_due_ms;
}

/* One that comes alone is written down at once. */
static bool may_gather(uint64_t now)
{
	return now < last_commit_ms + GATHER_MS && pending_delivered < GATHER_DELIVERED &&
	       pending_count < COMMIT_ROWS && !pn_scheduler.is_finishing;
}

static void flush_task(struct pn_task *task)
{
	uint64_t now = pn_clock_monotonic_ms();
	struct pn_commit *commit;
	struct queued *rows = pending;
	struct queued **link = &pending;
	size_t count = 0;

	(void)task;
	if (failing != NULL) {
		struct queued *failed = failing;

		failing = NULL;
		pn_bounce(failed);
	}
	if (pending == NULL || commits >= COMMITS_MAX)
		return;
	if (may_gather(now)) {
		flush_in(last_commit_ms + GATHER_MS - now);
		return;
	}
	last_commit_ms = now;
	while (*link != NULL && count < COMMIT_ROWS) {
		pending_delivered -= (*link)->outcome == PN_DELIVERY_DONE;
		link = &(*link)->next;
		count++;
	}
	pending_count -= count;
	pending = *link;
	if (pending == NULL)
		last_pending = &pending;
	*link = NULL;
	commit = pn_commit_new(0, count);
	for (const struct queued *queued = rows; queued != NULL; queued = queued->next)
		pn_settle_add(queued, commit);
	pn_settle_with(rows, commit);
	if (pending != NULL)
		pn_task_queue(&flush);
}

void pn_settle_stop(void)
{
	pn_task_cancel(&flush);
	pn_timer_free(&again);
	end_rows(pending);
	end_rows(failing);
	pending = NULL;
	failing = NULL;
	last_pending = &pending;
	pending_count = 0;
	pending_delivered = 0;
	commits = 0;
	asking = 0;
	last_commit_ms = 0;
}

/* ---- what is written down ---- */

static void set_detail(struct queued *queued, const char *key, const char *value)
{
	pn_queued_restore(queued);
	queued->row.details = pn_queue_detail_set(queued->transaction->arena, queued->row.details,
	                                          pn_slice_of(key), pn_slice_of(value));
}

/* The schedule would come again while the site is left alone. Some later than others. */
static int64_t not_before(const struct queued *queued, int64_t now)
{
	const struct pn_queue_row *row = &queued->row;
	uint64_t wait = (uint64_t)(queued->not_before_ms - now);
	int64_t at =
		queued->not_before_ms + (int64_t)(row->id * UINT64_C(2654435761) % (wait / 10 + 1));

	return at > row->expires_ms && now < row->expires_ms ? row->expires_ms : at;
}

static void put_off(struct queued *queued)
{
	struct pn_queue_row *row = &queued->row;
	int64_t now = pn_clock_wall_ms();
	struct pn_deliver_by by;
	char number[20];

	if (queued->deaths > 0) {
		snprintf(number, sizeof(number), "%u", (unsigned)queued->deaths);
		set_detail(queued, "deaths", number);
	}
	queued->read_due_ms = row->due_ms;
	row->due_ms = queued->retry_at_ms != 0 ? queued->retry_at_ms
	                                       : pn_retry_at(&pn_scheduler.generation->queue, row,
	                                                     queued->answer_class, now);
	if (row->due_ms < queued->not_before_ms)
		row->due_ms = not_before(queued, now);
	/* Its sender hears of it when the time comes that he set, not at the next try behind it. */
	by = pn_details_by(row->details);
	if (by.mode == PN_DELIVER_BY_NOTIFY && by.moment_ms > now && by.moment_ms < row->due_ms)
		row->due_ms = by.moment_ms;
	/* Its site was tried for another, and is left alone since then: that counts once, and not
	 * each time it waits again. */
	if (queued->deaths == 0 && (!queued->was_untried || row->attempts == 0))
		row->attempts++;
	row->state = queued->holds ? PN_QUEUE_HELD : PN_QUEUE_DUE;
	row->reason = pn_slice_of(queued->reason);
	pn_scheduler.counts.deferred++;
	pn_wait_until(row->due_ms);
	if (!queued->holds && pn_warns_of_delay(queued, now)) {
		set_detail(queued, "warned", "1");
		add_failing(queued);
		return;
	}
	add_pending(queued);
}

/* RFC 2852 sections 4.1.4 and 4.2: each server is traced, or this one knows nothing of the time. */
static bool tells_of_relay(const struct queued *queued, struct pn_slice notify)
{
	const struct pn_deliver_by by = pn_details_by(queued->row.details);

	return queued->hop_name[0] != '\0' &&
	       (notify.size == 0 || !pn_notify_has(notify, "NEVER")) &&
	       (by.traces || (by.mode == PN_DELIVER_BY_NOTIFY && !queued->by_passed_on));
}

static bool wants_success(const struct queued *queued)
{
	struct pn_slice notify = pn_queue_detail_of(queued->row.details, PN_SLICE("rcpt.NOTIFY"));

	if (queued->row.sender.size == 0 || queued->is_local_refusal)
		return false;
	return (pn_notify_has(notify, "SUCCESS") && !queued->dsn_passed_on) ||
	       tells_of_relay(queued, notify);
}

static void write_down(struct queued *queued)
{
	if (queued->holds || queued->outcome == PN_DELIVERY_DEFERRED) {
		put_off(queued);
	} else if (queued->outcome == PN_DELIVERY_REFUSED || wants_success(queued)) {
		if (queued->outcome == PN_DELIVERY_REFUSED)
			pn_scheduler.counts.bounced++;
		else
			pn_scheduler.counts.delivered++;
		add_failing(queued);
	} else {
		pn_scheduler.counts.delivered++;
		add_pending(queued);
	}
}

/* ---- hooks ---- */

struct looking {
	struct queued *queued;
	struct pn_attempt subject;
};

static void fill_subject(struct looking *looking)
{
	const struct queued *queued = looking->queued;

	looking->subject = (struct pn_attempt){
		.struct_size = sizeof(looking->subject),
		.destination = queued->hop_name,
		.hop_name = queued->hop_name,
		.hop_address = "",
		.outcome = queued->outcome,
		.answer_class = queued->answer_class,
		.reply = queued->reply,
		.command = queued->command,
	};
}

static void seen(void *user, const struct pn_stage_result *result)
{
	struct looking *looking = user;

	(void)result;
	asking--;
	write_down(looking->queued);
}

/* delivery.done: the last word about this recipient. */
static void show_end(struct looking *looking)
{
	struct queued *queued = looking->queued;
	struct pn_stage_request request;
	bool is_over = !queued->holds && queued->outcome != PN_DELIVERY_DEFERRED;

	if (!is_over || !pn_queue_has_hooks(PN_STAGE_DELIVERY_DONE)) {
		asking--;
		write_down(queued);
		return;
	}
	fill_subject(looking);
	request = pn_queued_stage(queued, PN_STAGE_DELIVERY_DONE, &looking->subject,
	                          queued->transaction->arena);
	pn_stage_run(&request, seen, looking);
}

static void response_judged(void *user, const struct pn_stage_result *result)
{
	struct looking *looking = user;
	struct queued *queued = looking->queued;

	if (result->verdict == PN_VERDICT_REJECT)
		queued->outcome = PN_DELIVERY_REFUSED;
	else if (result->verdict == PN_VERDICT_DEFER)
		queued->outcome = PN_DELIVERY_DEFERRED;
	else if (result->verdict == PN_VERDICT_HOLD)
		queued->holds = true;
	show_end(looking);
}

void pn_settle(struct queued *queued)
{
	int64_t now = pn_clock_wall_ms();
	struct looking *looking;
	struct pn_stage_request request;
	bool is_response =
		queued->outcome == PN_DELIVERY_DEFERRED || queued->outcome == PN_DELIVERY_REFUSED;

	/* Its time is up: this was the last try. */
	if (queued->outcome == PN_DELIVERY_DEFERRED && !queued->holds && queued->deaths == 0 &&
	    queued->row.expires_ms <= now) {
		queued->outcome = PN_DELIVERY_REFUSED;
		queued->answer_class = PN_CLASS_EXPIRED;
	}
	/* RFC 8689 section 4.3: what must not go in the clear does not wait for a server to change.
	 */
	if (queued->outcome == PN_DELIVERY_DEFERRED && queued->answer_class == PN_CLASS_TLS &&
	    queued->reply.code == 0 && queued->reply.enhanced[0] == '5' &&
	    pn_details_tls(queued->row.details) == PN_ROUTE_TLS_VERIFIED) {
		queued->outcome = PN_DELIVERY_REFUSED;
		snprintf(queued->reply.enhanced, sizeof(queued->reply.enhanced), "5.7.30");
	}
	if (!pn_queue_has_hooks(PN_STAGE_DELIVERY_RESPONSE) &&
	    !pn_queue_has_hooks(PN_STAGE_DELIVERY_DONE)) {
		write_down(queued);
		return;
	}
	pn_queued_restore(queued);
	looking = PN_ARENA_NEW(queued->transaction->arena, struct looking);
	looking->queued = queued;
	asking++;
	if (!is_response || queued->hop_name[0] == '\0' ||
	    !pn_queue_has_hooks(PN_STAGE_DELIVERY_RESPONSE)) {
		show_end(looking);
		return;
	}
	fill_subject(looking);
	request = pn_queued_stage(queued, PN_STAGE_DELIVERY_RESPONSE, &looking->subject,
	                          queued->transaction->arena);
	pn_stage_run(&request, response_judged, looking);
}
