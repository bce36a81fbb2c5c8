/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tickets: a table of slots. A slot's generation grows whenever it is given back,
 * so a ticket that was answered, cancelled or forgotten never fits again. Answers
 * wait in a list for the top of the loop.
 *
 * Short deadlines have a timer each; the many long ones that hardly ever pass are
 * looked through twice a second.
 */
#include "session/ticket.h"

#include <postern/clock.h>
#include <postern/job.h>

#include "io/loop.h"
#include "session/running.h"
#include "session/session.h"

#include <stdlib.h>

enum {
	SLOTS_PER_CHUNK = 256,
	MAX_CHUNKS = 4096,
	SHORT_DEADLINE_MS = 10000,
	SWEEP_MS = 500,
};

struct slot {
	uint32_t index;
	uint32_t generation; /* odd while open */
	struct pn_session *session;
	struct slot *session_previous;
	struct slot *session_next;
	pn_answered_function *answered; /* NULL: the protocol's entry */
	void *user;
	const void *owner;
	struct pn_running_note *note; /* who asked, for what message; or NULL */
	uint64_t deadline_ms;         /* monotonic; 0: none, or timer */
	struct pn_timer *timer;

	/* The answer, while it waits. */
	bool has_answer;
	enum pn_answer_kind kind;
	enum pn_status status;
	void *result;
	void (*release)(void *result);
	struct pn_error *error;
	struct slot *ready_next;
};

static struct {
	struct slot *chunks[MAX_CHUNKS];
	size_t chunk_count;
	struct slot *free; /* linked by session_next */
	size_t open_count;
	size_t swept_count; /* open ones without a timer of their own */
	struct slot *ready_first;
	struct slot **ready_last;
	struct pn_task deliver;
	struct pn_timer *sweep;
	void (**kept_release)(void *result); /* see pn_ticket_keep_result */
} tickets = {.ready_last = &tickets.ready_first};

static struct slot *slot_at(uint32_t index)
{
	if (index / SLOTS_PER_CHUNK >= tickets.chunk_count)
		return NULL;
	return &tickets.chunks[index / SLOTS_PER_CHUNK][index % SLOTS_PER_CHUNK];
}

static struct slot *find(struct pn_ticket ticket)
{
	struct slot *slot = slot_at(ticket.slot);

	if (slot == NULL || slot->generation != ticket.generation || (slot->generation & 1) == 0)
		return NULL;
	return slot;
}

static void grow(void)
{
	struct slot *chunk = calloc(SLOTS_PER_CHUNK, sizeof(*chunk));

	if (chunk == NULL || tickets.chunk_count == MAX_CHUNKS)
		abort();
	tickets.chunks[tickets.chunk_count] = chunk;
	for (size_t i = SLOTS_PER_CHUNK; i-- > 0;) {
		chunk[i].index = (uint32_t)(tickets.chunk_count * SLOTS_PER_CHUNK + i);
		chunk[i].session_next = tickets.free;
		tickets.free = &chunk[i];
	}
	tickets.chunk_count++;
}

static void join_session(struct slot *slot, struct pn_session *session)
{
	slot->session = session;
	slot->session_previous = NULL;
	slot->session_next = NULL;
	if (session == NULL)
		return;
	slot->session_next = session->tickets;
	if (slot->session_next != NULL)
		slot->session_next->session_previous = slot;
	session->tickets = slot;
}

static void leave_session(struct slot *slot)
{
	if (slot->session == NULL)
		return;
	if (slot->session_previous != NULL)
		slot->session_previous->session_next = slot->session_next;
	else
		slot->session->tickets = slot->session_next;
	if (slot->session_next != NULL)
		slot->session_next->session_previous = slot->session_previous;
	slot->session = NULL;
}

static void forget_deadline(struct slot *slot)
{
	if (slot->deadline_ms != 0)
		tickets.swept_count--;
	slot->deadline_ms = 0;
	pn_timer_free(&slot->timer);
}

/* The ticket is stale from here on. An answer that waits for it is released when its turn comes. */
static void close_slot(struct slot *slot)
{
	forget_deadline(slot);
	leave_session(slot);
	slot->generation++;
	tickets.open_count--;
	pn_running_note_free(slot->note);
	slot->note = NULL;
	if (!slot->has_answer) {
		slot->session_next = tickets.free;
		tickets.free = slot;
	}
}

static void deliver_one(struct slot *slot)
{
	struct pn_answer answer = {
		.struct_size = sizeof(answer),
		.kind = slot->kind,
		.ticket = {slot->index, slot->generation},
		.status = slot->status,
		.result = slot->result,
		.error = slot->error,
	};
	void (*release)(void *result) = slot->release;
	bool is_open = (slot->generation & 1) != 0;
	pn_answered_function *answered = slot->answered;
	void *user = slot->user;
	struct pn_session *session = slot->session;

	slot->has_answer = false;
	if (is_open) {
		/* A crash in what follows is that of the message which was asked for. */
		pn_running_resume(slot->note);
		close_slot(slot);
		if (answered != NULL)
			answered(user, &answer);
		else
			pn_session_answered(session, &answer);
		pn_running_leave();
	} else {
		slot->session_next = tickets.free;
		tickets.free = slot;
	}
	if (tickets.kept_release != NULL)
		*tickets.kept_release = release;
	else if (release != NULL)
		release((void *)answer.result);
	tickets.kept_release = NULL;
	free((void *)answer.error);
}

static void deliver(struct pn_task *task)
{
	struct slot *slot = tickets.ready_first;

	(void)task;
	tickets.ready_first = NULL;
	tickets.ready_last = &tickets.ready_first;
	while (slot != NULL) {
		struct slot *next = slot->ready_next;

		slot->ready_next = NULL;
		deliver_one(slot);
		slot = next;
	}
}

static void sweep(void *unused)
{
	uint64_t now = pn_clock_monotonic_ms();

	(void)unused;
	for (size_t chunk = 0; chunk < tickets.chunk_count; chunk++) {
		for (size_t i = 0; i < SLOTS_PER_CHUNK; i++) {
			struct slot *slot = &tickets.chunks[chunk][i];

			if (slot->deadline_ms != 0 && slot->deadline_ms <= now)
				pn_ticket_answer((struct pn_ticket){slot->index, slot->generation},
				                 PN_ANSWER_TIMER, PN_TIMEOUT, NULL, NULL, NULL);
		}
	}
	if (tickets.swept_count > 0)
		pn_timer_set(tickets.sweep, SWEEP_MS);
}

static void deadline_passed(void *user)
{
	struct slot *slot = user;

	pn_ticket_answer((struct pn_ticket){slot->index, slot->generation}, PN_ANSWER_TIMER,
	                 PN_TIMEOUT, NULL, NULL, NULL);
}

void pn_ticket_set_deadline(struct pn_ticket ticket, uint64_t milliseconds)
{
	struct slot *slot = find(ticket);

	if (slot == NULL)
		return;
	forget_deadline(slot);
	if (milliseconds <= SHORT_DEADLINE_MS) {
		slot->timer = pn_timer_new(deadline_passed, slot);
		pn_timer_set(slot->timer, milliseconds);
		return;
	}
	if (tickets.sweep == NULL)
		tickets.sweep = pn_timer_new(sweep, NULL);
	if (tickets.swept_count++ == 0)
		pn_timer_set(tickets.sweep, SWEEP_MS);
	slot->deadline_ms = pn_clock_monotonic_ms() + milliseconds;
}

struct pn_ticket pn_ticket_open_unlimited(struct pn_session *session,
                                          pn_answered_function *answered, void *user)
{
	struct slot *slot;

	pn_assert_on_loop();
	if (tickets.free == NULL)
		grow();
	slot = tickets.free;
	tickets.free = slot->session_next;
	tickets.open_count++;
	slot->generation++;
	slot->answered = answered;
	slot->user = user;
	slot->owner = user;
	join_session(slot, session);
	return (struct pn_ticket){slot->index, slot->generation};
}

struct pn_ticket pn_ticket_open(struct pn_session *session, pn_answered_function *answered,
                                void *user, uint64_t deadline_ms)
{
	struct pn_ticket ticket = pn_ticket_open_unlimited(session, answered, user);

	/* An entry is told of by itself. */
	if (answered != NULL)
		find(ticket)->note = pn_running_note();
	pn_ticket_set_deadline(ticket, deadline_ms == 0 ? 1 : deadline_ms);
	return ticket;
}

struct pn_ticket pn_session_ticket(struct pn_session *session, uint64_t deadline_ms)
{
	return pn_ticket_open(session, NULL, NULL, deadline_ms);
}

bool pn_ticket_answer(struct pn_ticket ticket, enum pn_answer_kind kind, enum pn_status status,
                      void *result, void (*release)(void *result), const struct pn_error *error)
{
	struct slot *slot = find(ticket);
	/* A timeout that was not told yet gives way to the answer. Else who answers would find the
	 * ticket stale, and free what the callback of the timeout still looks at. */
	bool is_just_in_time = slot != NULL && slot->has_answer && slot->kind == PN_ANSWER_TIMER &&
	                       slot->status == PN_TIMEOUT && kind != PN_ANSWER_TIMER;

	pn_assert_on_loop();
	if (slot == NULL || (slot->has_answer && !is_just_in_time)) {
		if (release != NULL)
			release(result);
		return false;
	}
	forget_deadline(slot);
	slot->has_answer = true;
	slot->kind = kind;
	slot->status = status;
	slot->result = result;
	slot->release = release;
	slot->error = NULL;
	if (error != NULL) {
		slot->error = malloc(sizeof(*error));
		if (slot->error == NULL)
			abort();
		*slot->error = *error;
	}
	if (is_just_in_time)
		return true;
	slot->ready_next = NULL;
	*tickets.ready_last = slot;
	tickets.ready_last = &slot->ready_next;
	tickets.deliver.run = deliver;
	pn_task_queue_first(&tickets.deliver);
	return true;
}

void pn_ticket_keep_result(void (**release_out)(void *result))
{
	*release_out = NULL;
	tickets.kept_release = release_out;
}

void pn_ticket_cancel(struct pn_ticket ticket)
{
	struct slot *slot = find(ticket);

	if (slot != NULL)
		close_slot(slot);
}

struct pn_session *pn_ticket_session(struct pn_ticket ticket)
{
	const struct slot *slot = find(ticket);

	return slot == NULL ? NULL : slot->session;
}

void pn_ticket_set_owner(struct pn_ticket ticket, const void *owner)
{
	struct slot *slot = find(ticket);

	if (slot != NULL)
		slot->owner = owner;
}

void pn_ticket_cancel_owner(struct pn_session *session, const void *owner)
{
	struct slot *next;

	for (struct slot *slot = session->tickets; slot != NULL; slot = next) {
		next = slot->session_next; /* a slot that is closed is in another list */
		if (slot->owner == owner)
			close_slot(slot);
	}
}

void pn_ticket_cancel_session(struct pn_session *session)
{
	while (session->tickets != NULL)
		close_slot(session->tickets);
}

bool pn_ticket_is_open(struct pn_ticket ticket)
{
	struct slot *slot = find(ticket);

	return slot != NULL && !slot->has_answer;
}

size_t pn_ticket_count(void)
{
	return tickets.open_count;
}

void pn_tickets_stop(void)
{
	deliver(NULL);
	pn_task_cancel(&tickets.deliver);
	for (size_t chunk = 0; chunk < tickets.chunk_count; chunk++) {
		for (size_t i = 0; i < SLOTS_PER_CHUNK; i++) {
			struct slot *slot = &tickets.chunks[chunk][i];

			if ((slot->generation & 1) != 0)
				close_slot(slot);
		}
	}
	deliver(NULL);
	pn_task_cancel(&tickets.deliver);
	pn_timer_free(&tickets.sweep);
	for (size_t chunk = 0; chunk < tickets.chunk_count; chunk++)
		free(tickets.chunks[chunk]);
	memset(tickets.chunks, 0, sizeof(tickets.chunks));
	tickets.chunk_count = 0;
	tickets.free = NULL;
}
