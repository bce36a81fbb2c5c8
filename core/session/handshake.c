/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS handshakes. Each costs as much as a hundred commands, and anybody can ask for one: so they
 * take turns. In a turn of the loop there is time for one or two of them: whoever is in the clear
 * never waits for more than that, and where nobody else has anything to do nothing is lost.
 *
 * So many at a time are under way, as each takes memory; the others wait for their beginning,
 * within the same deadline. One that is slow makes room for them. Loop thread.
 */
#include "session/session.h"

#include <postern/clock.h>

#include "io/log.h"
#include "io/loop.h"
#include "io/tls.h"
#include "session/handshake.h"

enum {
	STEPS_NS = 300 * 1000, /* for handshakes, in each turn of the loop: one, as a rule */
	PATIENCE_MS = 2000,    /* with one that others wait for */
};

/* A line of sessions, each in one of them at most. */
struct line {
	struct pn_session *first;
	struct pn_session **last;
};

static void take_turns(struct pn_task *task);

static struct {
	struct line waiting; /* to begin */
	struct line ready;   /* for a step */
	struct line slow;    /* for their clients, the longest first */
	struct line ours;    /* those that we began wait for their servers */
	size_t count;        /* of those of clients that have begun */
	struct pn_task task;
} handshakes = {
	.waiting.last = &handshakes.waiting.first,
	.ready.last = &handshakes.ready.first,
	.slow.last = &handshakes.slow.first,
	.ours.last = &handshakes.ours.first,
	.task.run = take_turns,
};

static void stand_in(struct line *line, struct pn_session *session)
{
	session->handshake_line = line;
	session->handshake_next = NULL;
	session->handshake_link = line->last;
	*line->last = session;
	line->last = &session->handshake_next;
}

static void step_out(struct pn_session *session)
{
	struct line *line = session->handshake_line;

	if (line == NULL)
		return;
	*session->handshake_link = session->handshake_next;
	if (session->handshake_next != NULL)
		session->handshake_next->handshake_link = session->handshake_link;
	else
		line->last = session->handshake_link;
	session->handshake_line = NULL;
}

void pn_handshake_forget(struct pn_session *session)
{
	step_out(session);
	if (session->has_begun_handshake && !session->is_client)
		handshakes.count--;
	session->has_begun_handshake = false;
	if (handshakes.waiting.first != NULL)
		pn_task_queue(&handshakes.task);
}

static void fail(struct pn_session *session)
{
	char why[256];

	pn_handshake_forget(session);
	pn_session_secured(session, false, pn_tls_error_text(why, sizeof(why)));
}

static bool has_room(const struct pn_session *session)
{
	return handshakes.count < session->generation->max_handshakes;
}

/* Others wait for its place: from here on it has little time. */
static void hurry(struct pn_session *session)
{
	uint64_t age = pn_clock_monotonic_ms() - session->handshake_began_ms;

	pn_timer_set(session->deadline, age < PATIENCE_MS ? PATIENCE_MS - age : 0);
}

static bool begin(struct pn_session *session)
{
	struct ssl_st *ssl = session->is_client ? pn_tls_connect_to(session->tls_target)
	                                        : pn_tls_accept(session->tls_service);

	if (ssl == NULL) {
		fail(session);
		return false;
	}
	pn_stream_set_tls(session->stream, ssl);
	session->has_begun_handshake = true;
	session->handshake_began_ms = pn_clock_monotonic_ms();
	handshakes.count += !session->is_client;
	return true;
}

static void step(struct pn_session *session)
{
	step_out(session);
	if (!session->has_begun_handshake && !begin(session))
		return;
	switch (pn_stream_handshake(session->stream)) {
	case PN_STREAM_AGAIN:
		stand_in(session->is_client ? &handshakes.ours : &handshakes.slow, session);
		return;
	case PN_STREAM_DONE:
		pn_handshake_forget(session);
		pn_timer_stop(session->deadline);
		session->needs_deadline = true;
		pn_session_secured(session, true, NULL);
		return;
	case PN_STREAM_END:
	case PN_STREAM_BROKEN:
		fail(session);
		return;
	}
}

/* The next one to do something for; one that begins only where there is room. */
static struct pn_session *next_one(void)
{
	struct pn_session *waiting = handshakes.waiting.first;

	if (handshakes.ready.first != NULL)
		return handshakes.ready.first;
	return waiting != NULL && has_room(waiting) ? waiting : NULL;
}

static void take_turns(struct pn_task *task)
{
	uint64_t begin_ns = pn_clock_monotonic_ns();
	struct pn_session *session;

	while ((session = next_one()) != NULL && pn_clock_monotonic_ns() - begin_ns < STEPS_NS)
		step(session);
	if (session != NULL)
		pn_task_queue(task);
	else if (handshakes.waiting.first != NULL && handshakes.slow.first != NULL)
		hurry(handshakes.slow.first);
}

void pn_session_continue_handshake(struct pn_session *session)
{
	/* What it waits for is there; nobody asks for it again before its turn. */
	pn_stream_want(session->stream, false, false);
	if (session->handshake_line != &handshakes.slow &&
	    session->handshake_line != &handshakes.ours)
		return;
	step_out(session);
	stand_in(&handshakes.ready, session);
	pn_task_queue(&handshakes.task);
}

void pn_session_start_handshake(struct pn_session *session)
{
	/* RFC 3207 section 6: what was sent in the clear before TLS must not act after it. */
	if (session->input.size > 0) {
		struct pn_event *event = pn_session_event(session, PN_LOG_WARNING, "tls");

		pn_event_text(event, "text", PN_SLICE("bytes were sent before the TLS handshake"));
		pn_event_send(&event);
		pn_session_abort(session, PN_CLOSE_TROUBLE);
		return;
	}
	if (!pn_session_flush(session)) {
		pn_session_abort(session, PN_CLOSE_TROUBLE);
		return;
	}
	if (session->output.size > session->output_done) {
		/* The go-ahead is still on its way; socket_ready comes back here through act(). */
		pn_stream_want(session->stream, false, true);
		return;
	}
	session->phase = PN_PHASE_HANDSHAKE;
	session->output_since_ms = 0;
	session->tls_allowed = false;
	pn_stream_want(session->stream, false, false);
	pn_timer_set(session->deadline, session->generation->tls_handshake_deadline_ms);
	stand_in(session->is_client ? &handshakes.ready : &handshakes.waiting, session);
	pn_task_queue(&handshakes.task);
}
