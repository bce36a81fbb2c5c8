/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks that take long take turns. One run may use the processor for as long as its budget
 * says, and nobody else is served meanwhile; a hundred sessions that meet such a hook in
 * one turn of the loop would add that up. So a hook that is known to take long runs once
 * in two turns, in the order in which it was asked for, and in between whoever waits for
 * nothing of the kind is served. Hooks that are quick, as nearly all are, run at once.
 * Called by hook.c. Loop thread.
 */
#include "policy/state.h"

#include <stdlib.h>

#include "io/loop.h"
#include "session/engine.h"
#include "session/ticket.h"

enum {
	LONG_NS = 2 * 1000 * 1000,
	WAITING_MAX = 10000,
	MEMORY_OF_RUNS = 8,
	TURN_MS = 24 * 60 * 60 * 1000, /* the stage has a deadline */
};

struct turn {
	struct turn *next;
	struct pn_ticket ticket;         /* of the stage, or of the run that waits for the answer */
	struct policy_hook_entry *entry; /* to be started; or NULL */
	const struct pn_stage_call *call; /* gone when the ticket is stale */
	struct pn_answer answer;          /* that a run is to hear */
	struct pn_error error;
	void (*release)(void *result);
};

static struct turn *waiting;
static struct turn **last_waiting = &waiting;
static size_t waiting_count;
static bool was_long; /* a hook took long since the last turn */

static void next_turn(struct pn_task *task);
static struct pn_task task = {.run = next_turn};

static struct turn *take_first(void)
{
	struct turn *first = waiting;

	waiting = first->next;
	if (waiting == NULL)
		last_waiting = &waiting;
	waiting_count--;
	return first;
}

static void add(struct turn *turn)
{
	*last_waiting = turn;
	last_waiting = &turn->next;
	waiting_count++;
	pn_task_queue(&task);
}

static struct turn *new_turn(void)
{
	struct turn *turn = calloc(1, sizeof(*turn));

	if (turn == NULL)
		abort();
	return turn;
}

/* False: nobody waits for it any more. */
static bool take_turn(struct turn *turn)
{
	const struct pn_answer *answer = &turn->answer;

	if (turn->entry == NULL)
		return pn_ticket_answer(turn->ticket, answer->kind, answer->status,
		                        (void *)answer->result, turn->release, answer->error);
	if (!pn_ticket_is_open(turn->ticket))
		return false;
	policy_hook_run_late(turn->entry, turn->call);
	return true;
}

static void next_turn(struct pn_task *unused)
{
	bool others_first = was_long;
	bool is_taken = false;

	(void)unused;
	was_long = false;
	while (!others_first && !is_taken && waiting != NULL) {
		struct turn *turn = take_first();

		is_taken = take_turn(turn);
		free(turn);
	}
	if (waiting != NULL || was_long)
		pn_task_queue(&task);
}

bool policy_turn_is_free(const struct policy_hook_entry *entry)
{
	return entry->usual_ns < LONG_NS || (!was_long && waiting == NULL);
}

void policy_turn_used(struct policy_hook_entry *entry, uint64_t nanoseconds)
{
	/* One long run makes it known at once, some quick ones let it be forgotten. */
	if (nanoseconds > entry->usual_ns)
		entry->usual_ns = nanoseconds;
	else
		entry->usual_ns -= (entry->usual_ns - nanoseconds) / MEMORY_OF_RUNS;
	if (nanoseconds < LONG_NS)
		return;
	was_long = true;
	pn_task_queue(&task);
}

enum pn_verdict policy_turn_wait(struct policy_hook_entry *entry, const struct pn_stage_call *call)
{
	struct turn *turn;

	if (waiting_count >= WAITING_MAX)
		return pn_hook_failed(call, "%s: too many of its runs wait for their turn",
		                      entry->hook.hook.label);
	turn = new_turn();
	turn->ticket = call->ticket;
	turn->entry = entry;
	turn->call = call;
	add(turn);
	return PN_VERDICT_PENDING;
}

void policy_turn_wait_on(struct policy_run *run, const struct pn_answer *answer)
{
	struct turn *turn = new_turn();

	run->ticket = pn_ticket_open(NULL, policy_run_answered, run, TURN_MS);
	run->had_turn = true;
	turn->ticket = run->ticket;
	turn->answer = *answer;
	if (answer->error != NULL) {
		turn->error = *answer->error;
		turn->answer.error = &turn->error;
	}
	pn_ticket_keep_result(&turn->release);
	add(turn);
}
