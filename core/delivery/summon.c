/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mail that waits for a domain is tried now, because its server says that it is there:
 * see <postern/request.h>. Rows are read some hundred at a time and become due in a
 * commit each; the queue workers hear of it as if an operator had done it. Rows that
 * were never tried wait because their sender wants it so, and go on waiting. Loop thread.
 */
#include <postern/clock.h>
#include <postern/log.h>
#include <postern/request.h>

#include "session/session.h"
#include "session/ticket.h"
#include "store/account.h"
#include "store/watch.h"

enum { ROWS_AT_ONCE = 500, ROWS_MAX = 10000 };

struct summons {
	struct pn_session *session;
	struct pn_arena *arena;
	struct pn_ticket ticket;
	struct pn_account *home;
	struct pn_slice domain;
	uint64_t after_id;
	uint64_t read;
	bool is_last;
	bool was_changed;
	struct pn_queue_summoned summoned;
};

static void read_some(struct summons *summons);

static void end(struct summons *summons, enum pn_status status)
{
	if (summons->was_changed && pn_change_bus.edited != NULL)
		pn_change_bus.edited();
	pn_ticket_answer(summons->ticket, PN_ANSWER_QUEUE, status, &summons->summoned, NULL, NULL);
}

static void go_on(struct summons *summons)
{
	summons->summoned.is_complete = summons->is_last;
	if (summons->is_last || summons->read >= ROWS_MAX)
		end(summons, PN_OK);
	else
		read_some(summons);
}

static void committed(void *user, const struct pn_answer *answer)
{
	struct summons *summons = user;

	if (answer->status == PN_OK)
		go_on(summons);
	else
		end(summons, PN_FAILED);
}

static struct pn_ticket open_ticket(struct summons *summons, pn_answered_function *answered)
{
	return pn_ticket_open(summons->session, answered, summons,
	                      summons->session->generation->store_deadline_ms);
}

static const struct pn_queue_row *row_at(const struct pn_queue_rows *rows, size_t index)
{
	return (const void *)((const char *)rows->rows + index * rows->row_size);
}

static bool waits_for_a_retry(const struct pn_queue_row *row, int64_t now)
{
	return row->due_ms > now && row->attempts > 0;
}

/* An operator or a queue worker may be there first with one of them: it is passed over. */
static void make_due(struct summons *summons, struct pn_commit *commit,
                     const struct pn_queue_row *row, int64_t now)
{
	struct pn_queue_row *changed = PN_ARENA_NEW(commit->arena, struct pn_queue_row);
	struct pn_mutation *mutation = pn_commit_add(commit, PN_MUTATION_QUEUE_UPDATE);

	*changed = *row;
	changed->due_ms = now;
	changed->transaction = pn_arena_keep(commit->arena, row->transaction);
	changed->sender = pn_arena_keep(commit->arena, row->sender);
	changed->recipient = pn_arena_keep(commit->arena, row->recipient);
	changed->destination = pn_arena_keep(commit->arena, row->destination);
	changed->tenant = pn_arena_keep(commit->arena, row->tenant);
	changed->details = pn_arena_keep(commit->arena, row->details);
	changed->reason = pn_arena_keep(commit->arena, row->reason);
	mutation->queue_row = changed;
	mutation->on = true;
	mutation->unchanged_since = (uint64_t)row->due_ms;
	summons->was_changed = true;
}

static void rows_read(void *user, const struct pn_answer *answer)
{
	struct summons *summons = user;
	const struct pn_queue_rows *rows = answer->result;
	int64_t now = pn_clock_wall_ms();
	struct pn_commit *commit;
	size_t changes = 0;

	if (answer->status != PN_OK || answer->kind != PN_ANSWER_STORE) {
		end(summons, PN_FAILED);
		return;
	}
	summons->is_last = rows->is_complete;
	summons->read += rows->count;
	commit = pn_commit_new(0, rows->count);
	for (size_t i = 0; i < rows->count; i++) {
		const struct pn_queue_row *row = row_at(rows, i);

		summons->after_id = row->id;
		if (row->due_ms <= now || waits_for_a_retry(row, now))
			summons->summoned.waiting++;
		if (waits_for_a_retry(row, now)) {
			make_due(summons, commit, row, now);
			changes++;
		}
	}
	if (changes == 0) {
		pn_commit_free(&commit);
		go_on(summons);
		return;
	}
	pn_store_commit(summons->home, commit, open_ticket(summons, committed));
}

static void read_some(struct summons *summons)
{
	const struct pn_queue_request request = {
		.struct_size = sizeof(request),
		.after_id = summons->after_id,
		.recipient_domain = summons->domain,
		.has_state = true,
		.state = PN_QUEUE_DUE,
		.max_rows = ROWS_AT_ONCE,
	};

	pn_store_queue(summons->home, &request, open_ticket(summons, rows_read));
}

enum pn_next pn_queue_summon(struct pn_session *session, struct pn_slice domain)
{
	struct pn_arena *arena = pn_session_step_arena(session);
	struct summons *summons = PN_ARENA_NEW(arena, struct summons);
	struct pn_instance *home = session->generation->home;

	summons->session = session;
	summons->arena = arena;
	summons->ticket = pn_ticket_open_unlimited(session, NULL, NULL);
	summons->domain = pn_arena_keep(arena, domain);
	summons->summoned.struct_size = sizeof(summons->summoned);
	summons->summoned.is_complete = true;
	if (home == NULL) {
		end(summons, PN_OK); /* nothing is ever queued */
		return PN_NEXT_ANSWER;
	}
	summons->home = pn_account_new(arena, PN_SLICE(""), home);
	read_some(summons);
	return PN_NEXT_ANSWER;
}
