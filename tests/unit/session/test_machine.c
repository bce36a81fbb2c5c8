/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine of a session, with a protocol made for it: its verbs return each
 * pn_next. Sessions run on socket pairs and on the real loop; every wait ends with
 * an answer or the end of the peer, and a watchdog timer only fails the test.
 */
#include "suites.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <postern/clock.h>
#include <postern/job.h>

#include "io/job.h"
#include "io/log.h"
#include "io/loop.h"
#include "session/running.h"
#include "session/session.h"
#include "session/ticket.h"

enum { WATCHDOG_MS = 8000, BLOCK = 100 * 1000 };

/* What happened to the session under test. */
static struct {
	struct pn_session *session;
	struct pn_session *partner; /* waits to be spliced */
	enum pn_close_reason reason;
	unsigned closed;
	unsigned opened;
	enum pn_status open_status;
	struct pn_ticket ticket;
	unsigned long long data_size;
	unsigned peer_closed;
	bool closes_with_peer;
} seen;

static struct pn_generation *generation;

static enum pn_next test_open(struct pn_session *session, void *state,
                              const struct pn_answer *answer)
{
	(void)state;
	seen.session = session;
	seen.opened++;
	seen.open_status = answer->status;
	if (answer->status != PN_OK)
		return PN_NEXT_CLOSE;
	pn_session_write(session, PN_SLICE("hi\r\n"));
	return PN_NEXT_LINE;
}

static void write_block(struct pn_session *session, size_t size)
{
	char *block = malloc(size);

	memset(block, 'x', size);
	block[size - 1] = '\n';
	pn_session_write(session, pn_slice_make(block, size));
	free(block);
}

static bool is(struct pn_slice text, const char *word)
{
	return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

static enum pn_next test_line(struct pn_session *session, void *state, const struct pn_line *line)
{
	unsigned *left = state;

	if (line->problem != PN_LINE_GOOD) {
		pn_session_print(session, "problem %d\r\n", (int)line->problem);
		return line->problem == PN_LINE_TOO_LONG ? PN_NEXT_LINE : PN_NEXT_CLOSE;
	}
	if (is(line->text, "big")) {
		write_block(session, BLOCK);
		return PN_NEXT_LINE;
	}
	if (is(line->text, "drain")) {
		*left = 60;
		return PN_NEXT_DRAIN;
	}
	if (is(line->text, "again")) {
		*left = 3;
		return PN_NEXT_AGAIN;
	}
	if (is(line->text, "wait")) {
		seen.ticket = pn_session_ticket(session, 60000);
		return PN_NEXT_ANSWER;
	}
	if (is(line->text, "late")) {
		seen.ticket = pn_session_ticket(session, 20);
		return PN_NEXT_ANSWER;
	}
	if (is(line->text, "idle")) {
		seen.ticket = pn_session_ticket(session, 60000);
		return PN_NEXT_ANSWER_OR_LINE;
	}
	if (is(line->text, "bytes"))
		return pn_next_bytes(session, 5);
	if (is(line->text, "data"))
		return pn_next_data(session, PN_DATA_DOT_STUFFED);
	if (is(line->text, "partner")) {
		seen.partner = session;
		seen.ticket = pn_session_ticket(session, 60000);
		return PN_NEXT_ANSWER;
	}
	if (is(line->text, "splice"))
		return pn_next_splice(session, seen.partner);
	if (is(line->text, "quick"))
		pn_session_set_deadline(session, 30);
	if (is(line->text, "bye")) {
		pn_session_write(session, PN_SLICE("bye\r\n"));
		return PN_NEXT_CLOSE;
	}
	pn_session_print(session, "ok %.*s\r\n", PN_SLICE_ARGS(line->text));
	return PN_NEXT_LINE;
}

static enum pn_next test_data(struct pn_session *session, void *state, const struct pn_data *data)
{
	(void)state;
	seen.data_size += data->bytes.size;
	if (!data->is_last)
		return session->next;
	pn_session_print(session, "data %llu\r\n", seen.data_size);
	seen.data_size = 0;
	return PN_NEXT_LINE;
}

static enum pn_next test_answered(struct pn_session *session, void *state,
                                  const struct pn_answer *answer)
{
	(void)state;
	pn_session_print(session, "answer %s\r\n", pn_status_name(answer->status));
	return PN_NEXT_LINE;
}

static enum pn_next test_drained(struct pn_session *session, void *state)
{
	unsigned *left = state;

	if (session->next == PN_NEXT_AGAIN) {
		pn_session_print(session, "again %u\r\n", *left);
		return --*left == 0 ? PN_NEXT_LINE : PN_NEXT_AGAIN;
	}
	write_block(session, BLOCK);
	if (--*left > 0)
		return PN_NEXT_DRAIN;
	pn_session_write(session, PN_SLICE("drained\r\n"));
	return PN_NEXT_LINE;
}

static enum pn_next test_event(struct pn_session *session, void *state,
                               const struct pn_session_event_info *event)
{
	(void)state;
	if (event->kind == PN_EVENT_DEADLINE)
		pn_session_write(session, PN_SLICE("deadline\r\n"));
	if (event->kind == PN_EVENT_PEER_CLOSED) {
		seen.peer_closed++;
		pn_session_write(session, PN_SLICE("peer closed\r\n"));
		return seen.closes_with_peer ? PN_NEXT_CLOSE : PN_NEXT_LINE;
	}
	if (event->kind == PN_EVENT_STOPPING) {
		pn_session_write(session, PN_SLICE("stopping\r\n"));
		return PN_NEXT_CLOSE;
	}
	return PN_NEXT_LINE;
}

static void test_close(struct pn_session *session, void *state, enum pn_close_reason reason)
{
	(void)session;
	(void)state;
	seen.closed++;
	seen.reason = reason;
}

static const struct pn_protocol protocol = {
	.struct_size = sizeof(protocol),
	.name = "test",
	.state_size = sizeof(unsigned),
	.open = test_open,
	.line = test_line,
	.data = test_data,
	.answered = test_answered,
	.drained = test_drained,
	.event = test_event,
	.close = test_close,
};
static const struct pn_module module = {.name = "test", .protocol = &protocol};
static struct pn_instance instance = {.module = &module, .name = "test"};

static uint32_t count(uint64_t key, int change)
{
	(void)key;
	(void)change;
	return 1;
}

/* ---- the other end ---- */

static int peer = -1;
static struct pn_timer *watchdog;
static struct pn_timer *poller;
static char received[8 * 1024 * 1024];
static size_t received_size;
static const char *awaited;

static void starved(void *unused)
{
	(void)unused;
	ck_abort_msg("nothing happens any more; waited for \"%s\", %zu bytes came",
	             awaited == NULL ? "the end" : awaited, received_size);
}

static void take_bytes(void)
{
	while (peer >= 0) {
		ssize_t size = recv(peer, received + received_size,
		                    sizeof(received) - 1 - received_size, MSG_DONTWAIT);

		if (size <= 0)
			break;
		received_size += (size_t)size;
	}
	received[received_size] = '\0';
}

static void look(void *unused)
{
	(void)unused;
	take_bytes();
	if (awaited == NULL ? pn_session_count() == 0
	                    : memmem(received, received_size, awaited, strlen(awaited)) != NULL)
		pn_loop_stop();
	else
		pn_timer_set(poller, 1);
}

/* Runs the loop until the text came; NULL: until the session is freed. */
static void wait_for(const char *text)
{
	awaited = text;
	pn_timer_set(watchdog, WATCHDOG_MS);
	pn_timer_set(poller, 0);
	pn_loop_run();
	pn_timer_stop(watchdog);
	pn_timer_stop(poller);
}

static void say(const char *text)
{
	ck_assert_int_eq(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void accept_one(void)
{
	struct sockaddr from = {.sa_family = AF_UNIX};
	int ends[2];
	int room = 1024 * 1024;
	struct pn_accepted accepted = {
		.peer = &from, .listener = "test", .generation = generation, .instance = &instance};

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	/* More than what counts as high goes out in one piece. */
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	accepted.descriptor = ends[0];
	peer = ends[1];
	pn_session_accept(&accepted);
}

static void set_up(void)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_error error;

	memset(&seen, 0, sizeof(seen));
	memset(received, 0, 64);
	received_size = 0;
	pn_log_set_level(PN_LOG_ERROR);
	ck_assert_int_eq(pn_loop_new(&error), PN_OK);
	watchdog = pn_timer_new(starved, NULL);
	poller = pn_timer_new(look, NULL);
	generation = PN_ARENA_NEW(arena, struct pn_generation);
	generation->arena = arena;
	generation->references = 1;
	generation->hostname = "test";
	pn_generation_current = generation;
	generation->session_limits.per_address = 100;
	pn_session_world.count = count;
}

static void tear_down(void)
{
	if (peer >= 0)
		close(peer);
	peer = -1;
	pn_sessions_end();
	pn_sessions_free();
	pn_tickets_stop();
	ck_assert_uint_eq(pn_session_count(), 0);
	pn_timer_free(&watchdog);
	pn_timer_free(&poller);
	pn_loop_free();
	ck_assert_uint_eq(generation->references, 1);
	pn_generation_drop(&generation);
}

/* ---- tests ---- */

START_TEST(greets_answers_and_closes_once)
{
	accept_one();
	wait_for("hi\r\n");
	say("one\r\ntwo\r\nbye\r\nthree\r\n");
	wait_for("bye\r\n");
	ck_assert_ptr_nonnull(strstr(received, "ok one\r\nok two\r\nbye\r\n"));
	ck_assert_ptr_null(strstr(received, "three"));
	close(peer);
	peer = -1;
	wait_for(NULL);
	ck_assert_uint_eq(seen.closed, 1);
	ck_assert_int_eq(seen.reason, PN_CLOSE_FINISHED);
}
END_TEST

START_TEST(means_the_same_however_the_bytes_are_cut)
{
	static const char script[] =
		"one\r\nbytes\r\n\r\n.\r\ndata\r\n..a\r\n.\r\nagain\r\nlast\r\n";

	accept_one();
	for (size_t i = 0; i < sizeof(script) - 1; i++) {
		char piece[2] = {script[i], '\0'};

		say(piece);
		wait_for("hi\r\n"); /* a turn of the loop */
	}
	wait_for("ok last\r\n");
	ck_assert_str_eq(received, "hi\r\nok one\r\ndata 5\r\ndata 4\r\nagain 3\r\nagain 2\r\n"
	                           "again 1\r\nok last\r\n");
}
END_TEST

START_TEST(pipelined_commands_wait_for_the_answer)
{
	accept_one();
	say("wait\r\none\r\n");
	wait_for("hi\r\n");
	while (!pn_ticket_is_open(seen.ticket))
		wait_for("hi\r\n");
	ck_assert(pn_ticket_answer(seen.ticket, PN_ANSWER_CUSTOM, PN_OK, NULL, NULL, NULL));
	ck_assert(!pn_ticket_answer(seen.ticket, PN_ANSWER_CUSTOM, PN_OK, NULL, NULL, NULL));
	ck_assert_ptr_null(strstr(received, "one"));
	wait_for("ok one\r\n");
	ck_assert(!pn_ticket_is_open(seen.ticket));
}
END_TEST

START_TEST(a_ticket_that_nobody_answers_times_out)
{
	accept_one();
	say("late\r\n");
	wait_for("answer timeout\r\n");
}
END_TEST

/* The callback of a timeout and whoever answers in the same turn do not both act. */
START_TEST(an_answer_that_is_just_in_time_replaces_the_timeout)
{
	accept_one();
	say("wait\r\n");
	wait_for("hi\r\n");
	while (!pn_ticket_is_open(seen.ticket))
		wait_for("hi\r\n");
	ck_assert(pn_ticket_answer(seen.ticket, PN_ANSWER_TIMER, PN_TIMEOUT, NULL, NULL, NULL));
	ck_assert(pn_ticket_answer(seen.ticket, PN_ANSWER_CUSTOM, PN_OK, malloc(1), free, NULL));
	ck_assert(!pn_ticket_answer(seen.ticket, PN_ANSWER_CUSTOM, PN_OK, malloc(1), free, NULL));
	wait_for("answer ");
	ck_assert_ptr_nonnull(strstr(received, "answer ok\r\n"));
}
END_TEST

START_TEST(idle_takes_a_line_or_an_answer)
{
	accept_one();
	say("idle\r\none\r\n");
	wait_for("ok one\r\n");
	ck_assert(pn_ticket_answer(seen.ticket, PN_ANSWER_CUSTOM, PN_OK, NULL, NULL, NULL));
	wait_for("answer ok\r\n");
}
END_TEST

START_TEST(an_answer_after_the_end_is_stale)
{
	struct pn_ticket ticket;

	accept_one();
	say("wait\r\n");
	wait_for("hi\r\n");
	while (!pn_ticket_is_open(seen.ticket))
		wait_for("hi\r\n");
	ticket = seen.ticket;
	/* Answered, and the session ends before the answer's turn. */
	ck_assert(pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, PN_OK, malloc(1), free, NULL));
	pn_session_abort(seen.session, PN_CLOSE_TROUBLE);
	ck_assert(!pn_ticket_is_open(ticket));
	wait_for(NULL);
	ck_assert_uint_eq(seen.closed, 1);
	ck_assert(!pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, PN_OK, malloc(1), free, NULL));
}
END_TEST

/* More replies than the output takes before it is high, then silence: every command is answered. */
START_TEST(pipelined_commands_with_large_replies_are_all_answered)
{
	accept_one();
	for (int i = 0; i < 40; i++)
		say("big\r\n");
	say("last\r\n");
	wait_for("ok last\r\n");
	ck_assert_uint_ge(received_size, 40 * BLOCK);
}
END_TEST

START_TEST(commands_before_the_end_of_the_input_are_all_answered)
{
	accept_one();
	for (int i = 0; i < 40; i++)
		say("big\r\n");
	say("last\r\n");
	shutdown(peer, SHUT_WR);
	wait_for("ok last\r\n");
	wait_for(NULL);
	ck_assert_int_eq(seen.reason, PN_CLOSE_BY_PEER);
	ck_assert_uint_eq(seen.peer_closed, 0);
}
END_TEST

START_TEST(drained_goes_on_as_the_peer_reads)
{
	accept_one();
	say("drain\r\nlast\r\n");
	wait_for("ok last\r\n");
	ck_assert_uint_ge(received_size, 60 * BLOCK);
}
END_TEST

START_TEST(a_silent_client_is_told_of_its_deadline)
{
	accept_one();
	say("quick\r\n");
	wait_for("deadline\r\n");
	close(peer);
	peer = -1;
	wait_for(NULL);
	ck_assert_int_eq(seen.reason, PN_CLOSE_DEADLINE);
}
END_TEST

static void dribble(void *timer)
{
	(void)!send(peer, "x", 1, MSG_NOSIGNAL);
	pn_timer_set(*(struct pn_timer **)timer, 5);
}

START_TEST(a_dribbling_client_is_as_late_as_a_silent_one)
{
	static struct pn_timer *timer;

	accept_one();
	say("quick\r\n");
	wait_for("ok quick\r\n");
	timer = pn_timer_new(dribble, &timer);
	pn_timer_set(timer, 5);
	wait_for("deadline\r\n");
	pn_timer_free(&timer);
}
END_TEST

START_TEST(a_client_that_stops_reading_is_ended)
{
	accept_one();
	say("quick\r\nbig\r\nbig\r\nbig\r\nbig\r\nbig\r\nbig\r\nbig\r\nbig\r\nbig\r\n");
	awaited = NULL;
	pn_timer_set(watchdog, WATCHDOG_MS);
	pn_session_world.session_ended = pn_loop_stop;
	pn_loop_run();
	pn_session_world.session_ended = NULL;
	pn_timer_stop(watchdog);
	ck_assert_uint_eq(seen.closed, 1);
	ck_assert_int_eq(seen.reason, PN_CLOSE_DEADLINE);
}
END_TEST

START_TEST(a_line_that_is_too_long_is_skipped_whole)
{
	char line[3001];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	accept_one();
	say(line);
	say("\r\none\r\n");
	wait_for("ok one\r\n");
	ck_assert_str_eq(received, "hi\r\nproblem 1\r\nok one\r\n");
}
END_TEST

/* Stopping comes at a command boundary: not while an answer is open. */
START_TEST(stopping_waits_for_the_command_to_end)
{
	accept_one();
	say("wait\r\n");
	wait_for("hi\r\n");
	while (!pn_ticket_is_open(seen.ticket))
		wait_for("hi\r\n");
	pn_sessions_stop();
	wait_for("hi\r\n");
	ck_assert_ptr_null(strstr(received, "stopping"));
	pn_ticket_answer(seen.ticket, PN_ANSWER_CUSTOM, PN_OK, NULL, NULL, NULL);
	wait_for("stopping\r\n");
	ck_assert_ptr_nonnull(strstr(received, "answer ok\r\nstopping\r\n"));
}
END_TEST

/* ---- two sessions that pass each other's bytes ---- */

/* `peer` is the end of the session that asked for the splice; returns the other end. */
static int splice_two(const char *before)
{
	int first;

	accept_one();
	wait_for("hi\r\n");
	say(before);
	say("partner\r\n");
	while (seen.partner == NULL)
		wait_for("hi\r\n");
	first = peer;
	received_size = 0;
	accept_one();
	wait_for("hi\r\n");
	say(before);
	say("splice\r\nto the partner");
	return first;
}

START_TEST(a_splice_passes_bytes_both_ways_and_ends_as_one)
{
	int first = splice_two("");
	int second;

	ck_assert_int_eq(send(first, "to the asker", 12, 0), 12);
	wait_for("to the asker");
	second = peer;
	peer = first;
	received_size = 0;
	wait_for("to the partner"); /* what was pipelined behind the command, too */
	/* A late answer for the partner means nothing now. */
	pn_ticket_answer(seen.ticket, PN_ANSWER_CUSTOM, PN_OK, NULL, NULL, NULL);
	say("last");
	close(peer);
	peer = second;
	received_size = 0;
	wait_for("last");
	close(peer);
	peer = -1;
	wait_for(NULL);
	ck_assert_uint_eq(seen.closed, 2);
	ck_assert_ptr_null(strstr(received, "answer"));
}
END_TEST

START_TEST(a_splice_that_is_silent_for_too_long_ends)
{
	int first = splice_two("quick\r\n");

	wait_for(NULL);
	ck_assert_uint_eq(seen.closed, 2);
	close(first);
}
END_TEST

START_TEST(a_splice_outlives_nobody_when_one_side_is_aborted)
{
	int first = splice_two("");

	while (seen.partner->phase != PN_PHASE_SPLICED)
		wait_for("hi\r\n");
	pn_session_abort(seen.partner, PN_CLOSE_TROUBLE);
	close(first);
	close(peer);
	peer = -1;
	wait_for(NULL);
	ck_assert_uint_eq(seen.closed, 2);
}
END_TEST

/* A hook that waits at connection.open or connection.close, until the test answers for it. */
static const struct pn_stage_call *waiting_call;

static enum pn_verdict wait_hook(void *user, const struct pn_stage_call *call)
{
	(void)user;
	waiting_call = call;
	return PN_VERDICT_PENDING;
}

static const struct pn_chain_hook slow_hook = {
	.label = "slow", .module = "slow", .wall_budget_ms = 60000, .run = wait_hook};

START_TEST(stopping_reaches_a_session_that_is_still_opening)
{
	generation->chains[PN_STAGE_CONNECTION_OPEN] = (struct pn_chain){&slow_hook, 1};
	accept_one();
	ck_assert_uint_eq(seen.opened, 0);
	pn_sessions_stop();
	ck_assert(pn_hook_answer(waiting_call, PN_VERDICT_CONTINUE));
	wait_for("stopping\r\n");
}
END_TEST

START_TEST(sessions_can_be_freed_while_hooks_wait)
{
	struct pn_ticket ticket;

	generation->chains[PN_STAGE_CONNECTION_CLOSE] = (struct pn_chain){&slow_hook, 1};
	accept_one();
	wait_for("hi\r\n");
	pn_sessions_end();
	ck_assert_uint_eq(seen.closed, 0); /* the hook waits */
	ticket = waiting_call->ticket;
	pn_sessions_free();
	ck_assert_uint_eq(seen.closed, 1);
	ck_assert(!pn_ticket_is_open(ticket));
}
END_TEST

START_TEST(a_hook_that_hangs_is_passed_over)
{
	static const struct pn_chain_hook hook = {.label = "slow",
	                                          .module = "slow",
	                                          .wall_budget_ms = 20,
	                                          .on_error = PN_ON_ERROR_CONTINUE,
	                                          .run = wait_hook};

	generation->chains[PN_STAGE_CONNECTION_OPEN] = (struct pn_chain){&hook, 1};
	accept_one();
	wait_for("hi\r\n");
	ck_assert_uint_eq(seen.opened, 1);
}
END_TEST

/* ---- connections that we make ---- */

static int listen_anywhere(char *address, size_t size, int backlog)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	socklen_t name_size = sizeof(name);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
	ck_assert_int_eq(listen(listener, backlog), 0);
	getsockname(listener, (struct sockaddr *)&name, &name_size);
	snprintf(address, size, "127.0.0.1:%u", ntohs(name.sin_port));
	return listener;
}

START_TEST(open_hears_of_a_connection_that_is_refused)
{
	char address[64];
	struct pn_error error;
	struct pn_connect request = {.struct_size = sizeof(request),
	                             .protocol = &protocol,
	                             .address = address,
	                             .deadline_ms = 5000};

	close(listen_anywhere(address, sizeof(address), 1));
	if (pn_connect(&instance, &request, &error) == PN_OK)
		wait_for(NULL);
	ck_assert_uint_eq(seen.opened, 1);
	ck_assert_int_ne(seen.open_status, PN_OK);
	ck_assert_uint_eq(seen.closed, 1);
}
END_TEST

START_TEST(open_hears_of_a_connection_that_takes_too_long)
{
	char address[64];
	struct pn_error error;
	struct pn_connect request = {.struct_size = sizeof(request),
	                             .protocol = &protocol,
	                             .address = address,
	                             .deadline_ms = 30};
	int listener = listen_anywhere(address, sizeof(address), 0);
	int fillers[8];

	/* A full backlog drops what comes: the connection stays under way. */
	for (size_t i = 0; i < 8; i++) {
		struct sockaddr_in name;
		socklen_t size = sizeof(name);

		getsockname(listener, (struct sockaddr *)&name, &size);
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(fillers[i], (struct sockaddr *)&name, size);
	}
	ck_assert_int_eq(pn_connect(&instance, &request, &error), PN_OK);
	wait_for(NULL);
	for (size_t i = 0; i < 8; i++)
		close(fillers[i]);
	close(listener);
	ck_assert_uint_eq(seen.opened, 1);
	ck_assert_int_eq(seen.open_status, PN_TIMEOUT);
	ck_assert_uint_eq(seen.closed, 1);
}
END_TEST

/* A connection that we make, to `peer`. */
static void connect_one(void)
{
	char address[64];
	struct pn_error error;
	struct pn_connect request = {.struct_size = sizeof(request),
	                             .protocol = &protocol,
	                             .address = address,
	                             .deadline_ms = 5000};
	int listener = listen_anywhere(address, sizeof(address), 1);

	ck_assert_int_eq(pn_connect(&instance, &request, &error), PN_OK);
	peer = accept(listener, NULL, NULL);
	ck_assert_int_ge(peer, 0);
	close(listener);
	wait_for("hi\r\n");
}

START_TEST(a_session_of_ours_hears_that_its_peer_has_sent_everything)
{
	connect_one();
	say("wait\r\none\r\nhalf a li");
	shutdown(peer, SHUT_WR);
	while (!pn_ticket_is_open(seen.ticket))
		wait_for("hi\r\n");
	ck_assert_uint_eq(seen.peer_closed, 0);
	ck_assert(pn_ticket_answer(seen.ticket, PN_ANSWER_CUSTOM, PN_OK, NULL, NULL, NULL));
	wait_for("peer closed\r\n");
	ck_assert_ptr_nonnull(strstr(received, "answer ok\r\nok one\r\npeer closed\r\n"));
	wait_for(NULL);
	ck_assert_uint_eq(seen.peer_closed, 1);
	ck_assert_uint_eq(seen.closed, 1);
	ck_assert_int_eq(seen.reason, PN_CLOSE_BY_PEER);
}
END_TEST

START_TEST(a_session_of_ours_may_close_with_its_peer_in_the_middle_of_data)
{
	seen.closes_with_peer = true;
	connect_one();
	say("data\r\nnever ends");
	shutdown(peer, SHUT_WR);
	wait_for("peer closed\r\n");
	wait_for(NULL);
	ck_assert_uint_eq(seen.peer_closed, 1);
	ck_assert_uint_eq(seen.closed, 1);
	ck_assert_int_eq(seen.reason, PN_CLOSE_FINISHED);
}
END_TEST

/* ---- jobs ---- */

static int pipe_ends[2];

static enum pn_status wait_for_byte(void *argument, struct pn_error *error)
{
	char byte;

	(void)argument;
	(void)error;
	return read(pipe_ends[0], &byte, 1) == 1 ? PN_OK : PN_FAILED;
}

static enum pn_status give_byte(void *argument, struct pn_error *error)
{
	(void)argument;
	(void)error;
	return write(pipe_ends[1], "x", 1) == 1 ? PN_OK : PN_FAILED;
}

static int jobs_done;

static void job_done(void *argument, enum pn_status status, const struct pn_error *error)
{
	(void)argument;
	(void)status;
	(void)error;
	if (++jobs_done == 2)
		pn_loop_stop();
}

/* The first job waits for what only the second gives: one thread alone would never end. */
START_TEST(a_job_that_waits_does_not_hold_up_the_next)
{
	const struct pn_job first = {.struct_size = sizeof(first),
	                             .pool = PN_POOL_MODULE,
	                             .work = wait_for_byte,
	                             .done = job_done};
	struct pn_job second = first;

	second.work = give_byte;
	jobs_done = 0;
	ck_assert_int_eq(pipe(pipe_ends), 0);
	pn_jobs_start();
	ck_assert_int_eq(pn_job_submit(&first, (struct pn_ticket){0, 0}), PN_OK);
	/* Let the first be taken. Where it was not yet the test could only pass wrongly, not fail.
	 */
	usleep(50000);
	ck_assert_int_eq(pn_job_submit(&second, (struct pn_ticket){0, 0}), PN_OK);
	awaited = "both jobs";
	pn_timer_set(watchdog, WATCHDOG_MS);
	pn_loop_run();
	pn_timer_stop(watchdog);
	ck_assert_int_eq(jobs_done, 2);
	pn_jobs_stop();
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}
END_TEST

/* ---- what runs, and for what message ---- */

static struct pn_running running_when_answered;

static void note_what_runs(void *user, const struct pn_answer *answer)
{
	(void)user;
	(void)answer;
	running_when_answered = *pn_running;
	pn_loop_stop();
}

static struct pn_running run_until_answered(struct pn_ticket ticket)
{
	ck_assert(pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, PN_OK, NULL, NULL, NULL));
	awaited = "the answer";
	pn_timer_set(watchdog, WATCHDOG_MS);
	pn_loop_run();
	pn_timer_stop(watchdog);
	ck_assert_str_eq(pn_running->module, "");
	return running_when_answered;
}

START_TEST(an_answer_is_heard_in_the_name_of_who_asked)
{
	struct pn_ticket ticket, nobodys;
	struct pn_running seen_then;

	nobodys = pn_ticket_open(NULL, note_what_runs, NULL, 60000);
	pn_running_enter("judges", "wait", "s1", "t1");
	ticket = pn_ticket_open(NULL, note_what_runs, NULL, 60000);
	pn_running_leave();
	/* What the message is came to be known only meanwhile. */
	pn_running_digest("t1", 17);
	seen_then = run_until_answered(ticket);
	ck_assert_str_eq(seen_then.module, "judges");
	ck_assert_str_eq(seen_then.hook, "wait");
	ck_assert_str_eq(seen_then.transaction, "t1");
	ck_assert_uint_eq(seen_then.digest, 17);
	seen_then = run_until_answered(nobodys);
	ck_assert_str_eq(seen_then.module, "");
	ck_assert_uint_eq(seen_then.digest, 0);
	pn_running_digest("t1", 0);
}
END_TEST

/* A cancelled one gives its note back; the next one has its own. */
START_TEST(who_asked_is_forgotten_with_the_ticket)
{
	struct pn_ticket ticket;

	for (int i = 0; i < 1000; i++) {
		pn_running_enter("judges", "wait", "s1", "t1");
		ticket = pn_ticket_open(NULL, note_what_runs, NULL, 60000);
		pn_running_leave();
		pn_ticket_cancel(ticket);
	}
	pn_running_enter("judges", "other", "s2", "t2");
	ticket = pn_ticket_open(NULL, note_what_runs, NULL, 60000);
	pn_running_leave();
	ck_assert_str_eq(run_until_answered(ticket).transaction, "t2");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("session");
	TCase *cases = tcase_create("machine");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(cases, set_up, tear_down);
	tcase_set_timeout(cases, 20);
	tcase_add_test(cases, greets_answers_and_closes_once);
	tcase_add_test(cases, means_the_same_however_the_bytes_are_cut);
	tcase_add_test(cases, pipelined_commands_wait_for_the_answer);
	tcase_add_test(cases, a_ticket_that_nobody_answers_times_out);
	tcase_add_test(cases, an_answer_that_is_just_in_time_replaces_the_timeout);
	tcase_add_test(cases, idle_takes_a_line_or_an_answer);
	tcase_add_test(cases, an_answer_after_the_end_is_stale);
	tcase_add_test(cases, pipelined_commands_with_large_replies_are_all_answered);
	tcase_add_test(cases, commands_before_the_end_of_the_input_are_all_answered);
	tcase_add_test(cases, drained_goes_on_as_the_peer_reads);
	tcase_add_test(cases, a_silent_client_is_told_of_its_deadline);
	tcase_add_test(cases, a_dribbling_client_is_as_late_as_a_silent_one);
	tcase_add_test(cases, a_client_that_stops_reading_is_ended);
	tcase_add_test(cases, a_line_that_is_too_long_is_skipped_whole);
	tcase_add_test(cases, stopping_waits_for_the_command_to_end);
	tcase_add_test(cases, a_splice_passes_bytes_both_ways_and_ends_as_one);
	tcase_add_test(cases, a_splice_that_is_silent_for_too_long_ends);
	tcase_add_test(cases, a_splice_outlives_nobody_when_one_side_is_aborted);
	tcase_add_test(cases, stopping_reaches_a_session_that_is_still_opening);
	tcase_add_test(cases, sessions_can_be_freed_while_hooks_wait);
	tcase_add_test(cases, a_hook_that_hangs_is_passed_over);
	tcase_add_test(cases, open_hears_of_a_connection_that_is_refused);
	tcase_add_test(cases, open_hears_of_a_connection_that_takes_too_long);
	tcase_add_test(cases, a_session_of_ours_hears_that_its_peer_has_sent_everything);
	tcase_add_test(cases, a_session_of_ours_may_close_with_its_peer_in_the_middle_of_data);
	tcase_add_test(cases, a_job_that_waits_does_not_hold_up_the_next);
	tcase_add_test(cases, an_answer_is_heard_in_the_name_of_who_asked);
	tcase_add_test(cases, who_asked_is_forgotten_with_the_ticket);
	suite_add_tcase(suite, cases);
	runner = srunner_create(suite);
	srunner_add_suite(runner, limits_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
