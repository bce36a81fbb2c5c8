/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine: bytes in, entries called, bytes out. Everything a session does
 * begins here from the top of the loop: its socket is ready, an answer came, a
 * timer fired, a task is due. It ends in pn_session_settle(), which flushes,
 * arms the deadline, and says what to wait for.
 */
#include "session/session.h"

#include <postern/clock.h>
#include <postern/job.h>

#include "io/log.h"
#include "session/handshake.h"
#include "session/proxied.h"
#include "session/running.h"
#include "session/ticket.h"

#include <stdlib.h>

enum {
	READ_SIZE = 64 * 1024,
	LINGER_MS = 2000,
	LONGEST_DELAY_MS = 60 * 1000,
	LINGER_BYTES = 256 * 1024,
	LAST_WORDS = 64 * 1024,    /* of a server that takes nothing more */
	INPUT_LIMIT = 1024 * 1024, /* one read and one line that is not whole; never reached */
};

/* Where bytes are read to before they are framed. Only one session at a time is being fed. */
static char scratch[READ_SIZE];

void pn_session_enter(struct pn_session *session, const char *entry)
{
	const char *transaction = session->transaction_id != NULL
	                                  ? session->transaction_id
	                                  : pn_running_errand_transaction(session->errand);

	session->in_entry = true;
	pn_running_enter(session->instance != NULL ? session->instance->name
	                                           : session->protocol->name,
	                 entry, session->id, transaction);
	pn_running->is_entry = true;
	pn_running_set_errand(session->errand);
}

enum pn_next pn_session_leave(struct pn_session *session, enum pn_next next)
{
	pn_running_leave();
	pn_running_set_errand(0);
	session->in_entry = false;
	session->needs_deadline = true;
	return next;
}

static enum pn_next call_line(struct pn_session *session, enum pn_line_problem problem,
                              struct pn_slice text)
{
	const struct pn_line line = {sizeof(line), problem, text};

	pn_session_enter(session, "line");
	return pn_session_leave(session, session->protocol->line(session, session->state, &line));
}

static enum pn_next call_data(struct pn_session *session, enum pn_line_problem problem,
                              struct pn_slice bytes, bool is_last)
{
	const struct pn_data data = {sizeof(data), problem, bytes, is_last};

	pn_session_enter(session, "data");
	return pn_session_leave(session, session->protocol->data(session, session->state, &data));
}

void pn_session_delay(struct pn_session *session, uint64_t milliseconds)
{
	if (milliseconds > LONGEST_DELAY_MS)
		milliseconds = LONGEST_DELAY_MS;
	session->is_delayed = session->is_delayed || milliseconds > 0;
	if (milliseconds > session->delay_ms)
		session->delay_ms = milliseconds;
}

/* A client that sends too many commands waits until it is the turn of the next one. */
static bool has_turn(struct pn_session *session)
{
	uint64_t wait_ms = session->has_turn ? 0 : pn_limits_command(session);

	session->has_turn = wait_ms > 0;
	if (wait_ms > 0)
		pn_session_delay(session, wait_ms);
	return wait_ms == 0;
}

/* One step of a line wait. False: more input is needed. */
static bool feed_line(struct pn_session *session, struct pn_slice *window)
{
	enum pn_line_problem problem;
	struct pn_slice text;
	size_t consumed;

	if (session->is_skipping_line) {
		bool found = pn_frame_skip_line(*window, &session->skip_after_cr, &consumed);

		*window = pn_slice_behind(*window, consumed);
		session->is_skipping_line = !found;
		return found;
	}
	if (!pn_frame_line(*window, session->line_limit, &session->scanned, &problem, &text,
	                   &consumed))
		return false;
	session->scanned = 0;
	if (!has_turn(session))
		return false; /* it stays where it is */
	if (problem == PN_LINE_TOO_LONG) {
		session->is_skipping_line = true;
		session->skip_after_cr = false;
	}
	/* The text lies in the window, which nobody moves while the entry runs. */
	*window = pn_slice_behind(*window, consumed);
	session->window_left = window->size;
	session->next = call_line(session, problem, text);
	return true;
}

static bool feed_bytes(struct pn_session *session, struct pn_slice *window)
{
	struct pn_slice piece = *window;

	if (window->size == 0)
		return false;
	if (piece.size > session->bytes_left)
		piece.size = (size_t)session->bytes_left;
	*window = pn_slice_behind(*window, piece.size);
	session->scanned = 0;
	session->bytes_left -= piece.size;
	session->next = call_data(session, PN_LINE_GOOD, piece, session->bytes_left == 0);
	return true;
}

static bool feed_data(struct pn_session *session, struct pn_slice *window)
{
	enum pn_line_problem problem = PN_LINE_GOOD;
	struct pn_slice piece = *window;
	size_t consumed = window->size;
	bool is_last = false;

	session->scanned = 0;
	if (session->data_form == PN_DATA_DOT_STUFFED)
		pn_frame_dot(&session->dot, *window, &piece, &consumed, &is_last, &problem);
	*window = pn_slice_behind(*window, consumed);
	if (piece.size == 0 && !is_last && problem == PN_LINE_GOOD)
		return consumed > 0;
	session->next = call_data(session, problem, piece, is_last);
	return true;
}

/* Gives the module what it asked for as long as there is some. Returns the bytes used. */
static size_t feed(struct pn_session *session, struct pn_slice bytes)
{
	struct pn_slice window = bytes;
	bool goes_on = true;

	session->input_waits = false;
	while (goes_on && session->phase == PN_PHASE_RUNNING && !session->is_delayed) {
		/* A client that asks and does not read waits until it has read. */
		if (session->output.size - session->output_done > PN_OUTPUT_HIGH) {
			session->input_waits = window.size > 0;
			break;
		}
		switch (session->next) {
		case PN_NEXT_LINE:
		case PN_NEXT_ANSWER_OR_LINE:
			goes_on = feed_line(session, &window);
			break;
		case PN_NEXT_BYTES:
			goes_on = feed_bytes(session, &window);
			break;
		case PN_NEXT_DATA:
			goes_on = feed_data(session, &window);
			break;
		default:
			goes_on = false;
			break;
		}
	}
	return bytes.size - window.size;
}

static void use_buffered_input(struct pn_session *session)
{
	size_t used;

	if (session->input.size == 0 || session->phase != PN_PHASE_RUNNING)
		return;
	used = feed(session, pn_buffer_slice(&session->input));
	pn_buffer_consume(&session->input, used);
	if (session->input.size == 0)
		pn_buffer_clear(&session->input);
}

static void take_input(struct pn_session *session, struct pn_slice bytes)
{
	size_t used = 0;

	session->bytes_in += bytes.size;
	/* Deadlines of BYTES and DATA begin anew with every byte, those of lines do not. */
	if (session->next == PN_NEXT_BYTES || session->next == PN_NEXT_DATA)
		session->needs_deadline = true;
	if (session->input.size == 0)
		used = feed(session, bytes);
	if (used < bytes.size &&
	    pn_buffer_append(&session->input, pn_slice_behind(bytes, used)) != PN_OK) {
		pn_session_abort(session, PN_CLOSE_TROUBLE);
		return;
	}
	if (used == 0)
		use_buffered_input(session);
}

static bool asks_for_input(enum pn_next next)
{
	return next == PN_NEXT_LINE || next == PN_NEXT_ANSWER_OR_LINE || next == PN_NEXT_BYTES ||
	       next == PN_NEXT_DATA;
}

static bool wants_input(const struct pn_session *session)
{
	return !session->input_ended && !session->input_waits && !session->is_delayed &&
	       session->phase == PN_PHASE_RUNNING &&
	       session->output.size - session->output_done <= PN_OUTPUT_HIGH &&
	       asks_for_input(session->next);
}

static void read_and_drop(struct pn_session *session)
{
	size_t size;
	enum pn_stream_result result =
		pn_stream_read(session->stream, scratch, sizeof(scratch), &size);

	if (result == PN_STREAM_DONE) {
		session->bytes_left += size;
		if (session->bytes_left <= LINGER_BYTES)
			return;
	}
	if (result != PN_STREAM_AGAIN)
		pn_session_abort(session, session->close_reason);
}

static void read_input(struct pn_session *session)
{
	size_t size;

	switch (pn_stream_read(session->stream, scratch, sizeof(scratch), &size)) {
	case PN_STREAM_DONE:
		take_input(session, pn_slice_make(scratch, size));
		break;
	case PN_STREAM_AGAIN:
		break;
	case PN_STREAM_END:
		session->input_ended = true;
		break;
	case PN_STREAM_BROKEN:
		pn_session_abort(session, PN_CLOSE_TROUBLE);
		break;
	}
}

bool pn_session_flush(struct pn_session *session)
{
	while (session->output_done < session->output.size) {
		size_t written = 0;
		enum pn_stream_result result =
			pn_stream_write(session->stream,
		                        pn_slice_make(session->output.data + session->output_done,
		                                      session->output.size - session->output_done),
		                        &written);

		if (result == PN_STREAM_AGAIN)
			return true;
		if (result != PN_STREAM_DONE)
			return false;
		session->output_done += written;
		session->bytes_out += written;
		session->needs_deadline = true;
	}
	session->output_done = 0;
	/* A small buffer is kept while the session is busy; pn_session_settle lets it go. */
	session->output.size = 0;
	return true;
}

static size_t unsent(const struct pn_session *session)
{
	return session->output.size - session->output_done;
}

/* Nothing is under way: what questions of the last commands used goes back. */
static void give_back(struct pn_session *session)
{
	if ((session->next != PN_NEXT_LINE && session->next != PN_NEXT_ANSWER_OR_LINE) ||
	    session->tickets != NULL)
		return;
	pn_arena_free(&session->steps[0]);
	pn_arena_free(&session->steps[1]);
}

static void run_task(struct pn_task *task)
{
	struct pn_session *session =
		(struct pn_session *)((char *)task - offsetof(struct pn_session, task));

	pn_session_proceed(session, session->next);
}

/* Long work and drained output: the module goes on. */
static void call_drained(struct pn_session *session)
{
	if (session->protocol->drained == NULL) {
		session->next = PN_NEXT_CLOSE;
		return;
	}
	pn_session_enter(session, "drained");
	session->next =
		pn_session_leave(session, session->protocol->drained(session, session->state));
}

static void call_event(struct pn_session *session, enum pn_event_kind kind)
{
	const struct pn_session_event_info info = {.struct_size = sizeof(info), .kind = kind};
	enum pn_next next;

	if (session->protocol->event == NULL) {
		if (kind == PN_EVENT_DEADLINE || kind == PN_EVENT_STOPPING)
			session->next = PN_NEXT_CLOSE;
		return;
	}
	pn_session_enter(session, "event");
	next = pn_session_leave(session, session->protocol->event(session, session->state, &info));
	if (next == PN_NEXT_CLOSE)
		session->next = PN_NEXT_CLOSE;
}

/* Events come while the session waits for input, at a command boundary: never in the middle of
 * data, never while an answer is open. */
static void deliver_events(struct pn_session *session)
{
	static const enum pn_event_kind kinds[] = {PN_EVENT_MAILBOX_CHANGED, PN_EVENT_STOPPING};

	if (session->next != PN_NEXT_LINE && session->next != PN_NEXT_ANSWER_OR_LINE)
		return;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if ((session->raised & (1u << kinds[i])) == 0 || session->next == PN_NEXT_CLOSE)
			continue;
		session->raised &= ~(1u << kinds[i]);
		if (kinds[i] == PN_EVENT_STOPPING)
			session->close_reason = PN_CLOSE_STOPPING;
		call_event(session, kinds[i]);
	}
}

/* The peer takes nothing more. A server may have said why before it went, and what it said can be
 * read even now. */
static void output_failed(struct pn_session *session)
{
	size_t size = 1;

	if (!session->is_client || session->phase != PN_PHASE_RUNNING) {
		pn_session_abort(session, PN_CLOSE_TROUBLE);
		return;
	}
	session->output.size = session->output_done;
	while (size > 0 && session->input.size < LAST_WORDS &&
	       pn_stream_read(session->stream, scratch, sizeof(scratch), &size) == PN_STREAM_DONE) {
		if (pn_buffer_append(&session->input, pn_slice_make(scratch, size)) != PN_OK)
			break;
		session->bytes_in += size;
	}
	session->input_ended = true;
	call_event(session, PN_EVENT_PEER_CLOSED);
	pn_session_abort(session, PN_CLOSE_TROUBLE);
}

static void begin_closing(struct pn_session *session)
{
	session->is_delayed = false;
	session->phase = PN_PHASE_FLUSHING;
	session->needs_deadline = true;
}

/* Does what the module asked for, as far as it goes without waiting. */
static void act(struct pn_session *session)
{
	bool goes_on = true;

	while (goes_on && session->phase == PN_PHASE_RUNNING && !session->is_delayed) {
		goes_on = false;
		switch (session->next) {
		case PN_NEXT_LINE:
		case PN_NEXT_ANSWER_OR_LINE:
		case PN_NEXT_BYTES:
		case PN_NEXT_DATA:
			use_buffered_input(session);
			deliver_events(session);
			goes_on = !asks_for_input(session->next);
			break;
		case PN_NEXT_DRAIN:
			if (!pn_session_flush(session)) {
				output_failed(session);
			} else if (unsent(session) <= PN_OUTPUT_LOW) {
				call_drained(session);
				goes_on = true;
			}
			break;
		case PN_NEXT_START_TLS:
			pn_session_start_handshake(session);
			break;
		case PN_NEXT_SPLICE:
			pn_session_splice_begin(session);
			break;
		case PN_NEXT_CLOSE:
			begin_closing(session);
			break;
		case PN_NEXT_AGAIN:
		case PN_NEXT_ANSWER:
			break;
		}
	}
}

static void finish_closing(struct pn_session *session)
{
	if (unsent(session) > 0)
		return;
	pn_stream_finish_writing(session->stream);
	if (session->input_ended) {
		pn_session_abort(session, session->close_reason);
		return;
	}
	/* Closing with unread bytes would reset the connection and take our last words with it. */
	session->phase = PN_PHASE_LINGERING;
	session->output_since_ms = 0;
	session->bytes_left = 0;
	pn_buffer_clear(&session->input);
	pn_timer_set(session->deadline, LINGER_MS);
}

/* The session waits for what cannot come. Whoever asked a server something is told, and may have
 * last words; a client that is gone has been served. */
static void end_of_input(struct pn_session *session)
{
	if (session->is_client)
		call_event(session, PN_EVENT_PEER_CLOSED);
	if (session->phase != PN_PHASE_RUNNING)
		return;
	if (session->next != PN_NEXT_CLOSE)
		session->close_reason = PN_CLOSE_BY_PEER;
	begin_closing(session);
	finish_closing(session);
}

/* How fast a client takes its answers is judged from time to time, as a deadline that begins anew
 * with each byte could be kept for ever. */
static void begin_output_window(struct pn_session *session)
{
	uint64_t window = session->generation->output_window_ms;

	if (window == 0 || window > session->deadline_ms)
		window = session->deadline_ms;
	session->output_since_ms = pn_clock_monotonic_ms();
	session->output_mark = session->bytes_out;
	session->needs_deadline = true; /* of the next wait for input */
	pn_timer_set(session->deadline, window);
}

static bool takes_too_slowly(const struct pn_session *session)
{
	uint64_t elapsed = pn_clock_monotonic_ms() - session->output_since_ms;
	uint64_t taken = session->bytes_out - session->output_mark;

	return taken == 0 || taken * 1000 < session->generation->min_output_rate * elapsed;
}

/* Who has logged in, and who sends a message, has the time that its protocol gives. */
static bool is_hurried(const struct pn_session *session)
{
	return pn_session_world.hurry_ms != 0 && !session->is_client &&
	       session->identity.size == 0 && session->next == PN_NEXT_LINE;
}

static uint64_t input_deadline(const struct pn_session *session)
{
	uint64_t most = pn_session_world.hurry_ms;

	return is_hurried(session) && most < session->deadline_ms ? most : session->deadline_ms;
}

static void set_deadline(struct pn_session *session)
{
	bool waits_for_client =
		wants_input(session) || unsent(session) > 0 || session->phase == PN_PHASE_FLUSHING;

	if (session->phase == PN_PHASE_LINGERING || session->phase >= PN_PHASE_ENDING)
		return;
	if (unsent(session) > 0 && !session->is_client) {
		if (session->output_since_ms == 0)
			begin_output_window(session);
		return;
	}
	session->output_since_ms = 0;
	if (!waits_for_client) {
		pn_timer_stop(session->deadline);
		session->needs_deadline = true;
	} else if (session->needs_deadline) {
		pn_timer_set(session->deadline, input_deadline(session));
		session->needs_deadline = false;
	}
}

/* Whether there is something to do that no event of the socket will bring: the flush at the end of
 * a turn may have made the room that the session waited for. */
static bool can_go_on(const struct pn_session *session)
{
	switch (session->next) {
	case PN_NEXT_AGAIN:
		return true;
	case PN_NEXT_DRAIN:
		return unsent(session) <= PN_OUTPUT_LOW;
	case PN_NEXT_START_TLS:
		return unsent(session) == 0;
	default:
		return session->input_waits && asks_for_input(session->next) &&
		       unsent(session) <= PN_OUTPUT_HIGH;
	}
}

void pn_session_settle(struct pn_session *session)
{
	if (session->phase >= PN_PHASE_ENDING || session->phase == PN_PHASE_HANDSHAKE ||
	    session->phase == PN_PHASE_SPLICED || session->stream == NULL)
		return;
	if (session->is_delayed && session->phase == PN_PHASE_RUNNING) {
		if (session->delay_ms > 0)
			pn_timer_set(session->deadline, session->delay_ms);
		session->delay_ms = 0;
		session->output_since_ms = 0;
		pn_stream_want(session->stream, false, false);
		return;
	}
	if (session->phase != PN_PHASE_LINGERING && !pn_session_flush(session)) {
		output_failed(session);
		return;
	}
	if (session->phase == PN_PHASE_FLUSHING)
		finish_closing(session);
	if (session->phase >= PN_PHASE_ENDING)
		return;
	if (unsent(session) == 0 && session->output.capacity > 0 &&
	    (session->output.capacity > 4096 || wants_input(session)))
		pn_buffer_clear(&session->output);
	if (session->phase == PN_PHASE_RUNNING && session->input_ended && !session->input_waits &&
	    asks_for_input(session->next)) {
		end_of_input(session);
		if (session->phase >= PN_PHASE_ENDING)
			return;
	}
	give_back(session);
	set_deadline(session);
	if (session->phase == PN_PHASE_RUNNING && can_go_on(session))
		pn_task_queue(&session->task);
	/* While an answer is open the socket stays watched: most clients say nothing meanwhile, and
	 * two system calls are saved. If it does speak, socket_ready stops watching. */
	pn_stream_want(session->stream,
	               wants_input(session) || session->phase == PN_PHASE_LINGERING ||
	                       (session->next == PN_NEXT_ANSWER && !session->input_ended &&
	                        session->phase == PN_PHASE_RUNNING),
	               unsent(session) > 0);
	if (wants_input(session) && pn_stream_has_pending(session->stream))
		pn_task_queue(&session->task);
}

void pn_session_proceed(struct pn_session *session, enum pn_next next)
{
	session->next = next;
	if (session->phase == PN_PHASE_RUNNING && next == PN_NEXT_AGAIN && !session->is_delayed)
		call_drained(session);
	else if (session->phase == PN_PHASE_RUNNING && wants_input(session) &&
	         pn_stream_has_pending(session->stream))
		read_input(session);
	act(session);
	pn_session_settle(session);
}

static void socket_ready(struct pn_session *session, int events)
{
	switch (session->phase) {
	case PN_PHASE_HANDSHAKE:
		pn_session_continue_handshake(session);
		return;
	case PN_PHASE_SPLICED:
		pn_session_splice_ready(session, events);
		return;
	case PN_PHASE_LINGERING:
		read_and_drop(session);
		return;
	case PN_PHASE_OPENING:
		if (session->is_client)
			pn_session_opened(session);
		else
			pn_stream_want(session->stream, false, false);
		return;
	case PN_PHASE_RUNNING:
		if ((events & PN_WATCH_READ) != 0 && wants_input(session)) {
			read_input(session);
		} else if ((events & PN_WATCH_READ) != 0) {
			pn_stream_want(session->stream, false, unsent(session) > 0);
			if ((events & PN_WATCH_WRITE) == 0)
				return;
		}
		act(session);
		pn_session_settle(session);
		return;
	case PN_PHASE_FLUSHING:
		pn_session_settle(session);
		return;
	case PN_PHASE_ENDING:
	case PN_PHASE_ENDED:
		return;
	}
}

static void stream_ready(void *user, int events)
{
	socket_ready(user, events);
}

static void deadline_passed(void *user)
{
	struct pn_session *session = user;

	if (session->is_client && !session->was_opened) {
		pn_session_connect_late(session);
		return;
	}
	if (session->is_delayed && session->phase == PN_PHASE_RUNNING) {
		session->is_delayed = false;
		session->needs_deadline = true;
		act(session);
		pn_session_settle(session);
		return;
	}
	if (session->output_since_ms != 0) {
		if (takes_too_slowly(session))
			pn_session_abort(session, PN_CLOSE_DEADLINE);
		else
			begin_output_window(session);
		return;
	}
	if (session->phase != PN_PHASE_RUNNING || unsent(session) > PN_OUTPUT_HIGH) {
		pn_session_abort(session, session->phase == PN_PHASE_LINGERING
		                                  ? session->close_reason
		                                  : PN_CLOSE_DEADLINE);
		return;
	}
	call_event(session, PN_EVENT_DEADLINE);
	session->close_reason = PN_CLOSE_DEADLINE;
	session->next = PN_NEXT_CLOSE;
	act(session);
	pn_session_settle(session);
}

void pn_session_answered(struct pn_session *session, const struct pn_answer *answer)
{
	enum pn_next next;

	if (session->phase != PN_PHASE_RUNNING)
		return;
	pn_session_enter(session, "answered");
	next = pn_session_leave(session,
	                        session->protocol->answered(session, session->state, answer));
	pn_session_proceed(session, next);
}

/* ---- life ---- */

static struct {
	struct pn_session *first;
	size_t count;
} sessions;

struct pn_session_world pn_session_world;

size_t pn_session_count(void)
{
	return sessions.count;
}

struct pn_session *pn_session_new(struct pn_generation *generation, struct pn_instance *instance,
                                  const struct pn_protocol *protocol, int descriptor,
                                  struct pn_error *error)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_session *session = PN_ARENA_NEW(arena, struct pn_session);

	if (pn_stream_new(descriptor, stream_ready, session, &session->stream, error) != PN_OK) {
		pn_arena_free(&arena);
		return NULL;
	}
	session->magic = PN_SESSION_MAGIC;
	session->arena = arena;
	session->errand = pn_running_errand();
	session->generation = pn_generation_keep(generation);
	session->instance = instance;
	session->config = instance == NULL ? NULL : pn_generation_config(generation, instance);
	session->protocol = protocol;
	session->state = pn_arena_allocate(arena, protocol->state_size);
	session->deadline = pn_timer_new(deadline_passed, session);
	session->task.run = run_task;
	session->line_limit = 1000;
	session->deadline_ms = 5 * 60 * 1000;
	session->needs_deadline = true;
	session->started_ns = pn_clock_monotonic_ns();
	pn_buffer_init(&session->input, INPUT_LIMIT);
	pn_buffer_init(&session->output, 64 * 1024 * 1024);
	pn_trail_init(&session->trail, arena);
	pn_id_make(session->id);
	session->next_session = sessions.first;
	if (sessions.first != NULL)
		sessions.first->previous = session;
	sessions.first = session;
	sessions.count++;
	return session;
}

static void release(struct pn_session *session, struct pn_session_attachment *attachment)
{
	if (attachment->release != NULL)
		attachment->release(session, attachment->attachment);
	attachment->release = NULL;
}

static void free_session(struct pn_task *task)
{
	struct pn_session *session =
		(struct pn_session *)((char *)task - offsetof(struct pn_session, task));
	struct pn_arena *arena = session->arena;

	if (session->previous != NULL)
		session->previous->next_session = session->next_session;
	else
		sessions.first = session->next_session;
	if (session->next_session != NULL)
		session->next_session->previous = session->previous;
	sessions.count--;
	pn_timer_free(&session->deadline);
	pn_buffer_clear(&session->input);
	pn_buffer_clear(&session->output);
	pn_generation_drop(&session->generation);
	session->magic = 0;
	pn_arena_free(&session->steps[0]);
	pn_arena_free(&session->steps[1]);
	pn_arena_free(&arena);
	if (pn_session_world.session_ended != NULL)
		pn_session_world.session_ended();
}

static const char *const reason_names[] = {"finished",      "closed by peer",     "deadline",
                                           "gateway stops", "connection trouble", "refused"};

static void write_history(struct pn_session *session)
{
	struct pn_event *event = pn_session_event(session, PN_LOG_INFO, "session");
	struct pn_buffer trail;

	pn_event_text(event, "listener", pn_slice_of(session->listener));
	pn_event_text(event, "reason", pn_slice_of(reason_names[session->close_reason]));
	pn_event_text(event, "hello", pn_session_hello(session));
	pn_event_text(
		event, "tls",
		pn_slice_of(session->stream == NULL ? "" : pn_stream_tls_version(session->stream)));
	pn_event_number(event, "bytes_in", (int64_t)session->bytes_in);
	pn_event_number(event, "bytes_out", (int64_t)session->bytes_out);
	pn_event_number(event, "messages", session->transactions_accepted);
	if (session->spoken_for_by != NULL)
		pn_event_text(event, "spoken_for_by", pn_slice_of(session->spoken_for_by));
	if (session->is_early_talker)
		pn_event_number(event, "early_talker", 1);
	if (session->unauthorised_pipelining > 0)
		pn_event_number(event, "unauthorised_pipelining", session->unauthorised_pipelining);
	pn_event_number(event, "generation", session->generation->number);
	pn_event_number(event, "milliseconds",
	                (int64_t)((pn_clock_monotonic_ns() - session->started_ns) / 1000000));
	if (session->trail.first != NULL) {
		pn_buffer_init(&trail, 128 * 1024);
		if (pn_trail_json(&session->trail, &trail) == PN_OK)
			pn_event_json(event, "hooks", pn_buffer_slice(&trail));
		pn_buffer_clear(&trail);
	}
	pn_event_send(&event);
}

static void closed(void *user, const struct pn_stage_result *result)
{
	struct pn_session *session = user;

	(void)result;
	session->phase = PN_PHASE_ENDED;
	pn_ticket_cancel_session(session);
	release(session, &session->transaction_attachment);
	if (session->protocol->close != NULL) {
		pn_session_enter(session, "close");
		session->protocol->close(session, session->state, session->close_reason);
		(void)pn_session_leave(session, PN_NEXT_CLOSE);
	}
	release(session, &session->watch_attachment);
	release(session, &session->login_attachment);
	write_history(session);
	pn_stream_free(&session->stream);
	session->task.run = free_session;
	pn_task_queue(&session->task);
}

void pn_session_abort(struct pn_session *session, enum pn_close_reason reason)
{
	struct pn_session *other = session->spliced;
	struct pn_stage_request request = {
		.stage = PN_STAGE_CONNECTION_CLOSE,
		.generation = session->generation,
		.session = session,
		.session_id = session->id,
		.arena = session->arena,
		.trail = &session->trail,
	};

	if (session->phase >= PN_PHASE_ENDING)
		return;
	session->phase = PN_PHASE_ENDING;
	session->close_reason = reason;
	pn_ticket_cancel_session(session);
	pn_task_cancel(&session->task);
	pn_timer_stop(session->deadline);
	if (session->stream != NULL)
		pn_stream_want(session->stream, false, false);
	pn_limits_forget(session);
	pn_handshake_forget(session);
	if (other != NULL) {
		session->spliced = NULL;
		other->spliced = NULL;
		pn_session_close(other, PN_CLOSE_BY_PEER);
	}
	if (session->is_client)
		closed(session, NULL);
	else
		pn_stage_run(&request, closed, session);
}

void pn_session_close(struct pn_session *session, enum pn_close_reason reason)
{
	if (session->phase >= PN_PHASE_FLUSHING)
		return;
	session->close_reason = reason;
	session->next = PN_NEXT_CLOSE;
	begin_closing(session);
	pn_session_settle(session);
}

void pn_session_raise(struct pn_session *session, const struct pn_session_event_info *event)
{
	/* One that is still opening hears of it when it waits for its first command. */
	if (session->phase > PN_PHASE_HANDSHAKE)
		return;
	session->raised |= 1u << event->kind;
	if (session->phase == PN_PHASE_RUNNING &&
	    (session->next == PN_NEXT_LINE || session->next == PN_NEXT_ANSWER_OR_LINE))
		pn_task_queue(&session->task);
}

void pn_sessions_hurry(void)
{
	for (struct pn_session *session = sessions.first; session != NULL;
	     session = session->next_session) {
		if (session->phase == PN_PHASE_RUNNING && session->output_since_ms == 0 &&
		    is_hurried(session) && wants_input(session) &&
		    pn_timer_left(session->deadline) > pn_session_world.hurry_ms)
			pn_timer_set(session->deadline, pn_session_world.hurry_ms);
	}
}

void pn_sessions_stop(void)
{
	const struct pn_session_event_info info = {.struct_size = sizeof(info),
	                                           .kind = PN_EVENT_STOPPING};

	pn_proxied_stop();
	for (struct pn_session *session = sessions.first; session != NULL;
	     session = session->next_session)
		pn_session_raise(session, &info);
}

void pn_sessions_end(void)
{
	struct pn_session *session = sessions.first;

	while (session != NULL) {
		struct pn_session *next = session->next_session;

		pn_session_abort(session, PN_CLOSE_STOPPING);
		session = next;
	}
}

void pn_sessions_free(void)
{
	/* Their errands may never get their turn. */
	while (sessions.first != NULL) {
		struct pn_session *session = sessions.first;

		pn_task_cancel(&session->task);
		if (session->phase != PN_PHASE_ENDED)
			closed(session, NULL);
		pn_task_cancel(&session->task);
		free_session(&session->task);
	}
}
