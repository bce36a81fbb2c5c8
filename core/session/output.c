/* SPDX-License-Identifier: Apache-2.0 */
/* What a module writes, and what it asks the machine for next. */
#include "session/session.h"

#include <postern/request.h>
#include <postern/stage.h>

#include "session/ticket.h"

#include <stdarg.h>
#include <stdio.h>

void pn_session_write(struct pn_session *session, struct pn_slice bytes)
{
	if (session->phase >= PN_PHASE_LINGERING)
		return;
	/* A module that goes on writing although the output is high has a bug that must not take
	 * the memory of everybody: its session ends. */
	if (pn_buffer_append(&session->output, bytes) != PN_OK) {
		pn_session_log(session, "the module wrote more than a session may hold");
		session->output.size = session->output_done;
		session->input_ended = true;
	}
}

void pn_session_print(struct pn_session *session, const char *format, ...)
{
	char text[4096];
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (size < 0)
		return;
	if ((size_t)size >= sizeof(text))
		size = sizeof(text) - 1;
	pn_session_write(session, pn_slice_make(text, (size_t)size));
}

static void write_piece(void *user, struct pn_slice bytes)
{
	pn_session_write(user, bytes);
}

void pn_session_write_stuffed(struct pn_session *session, struct pn_slice bytes, bool is_last)
{
	pn_frame_stuff(&session->stuff, bytes, is_last, write_piece, session);
	if (is_last)
		memset(&session->stuff, 0, sizeof(session->stuff));
}

struct pn_slice pn_session_unread(const struct pn_session *session)
{
	return pn_buffer_slice(&session->input);
}

bool pn_session_output_is_high(const struct pn_session *session)
{
	return session->output.size - session->output_done > PN_OUTPUT_HIGH;
}

void pn_session_set_line_limit(struct pn_session *session, size_t bytes)
{
	session->line_limit = bytes == 0 ? 1 : bytes;
}

void pn_session_set_deadline(struct pn_session *session, uint64_t milliseconds)
{
	session->deadline_ms = milliseconds == 0 ? 1 : milliseconds;
}

enum pn_next pn_next_bytes(struct pn_session *session, uint64_t size)
{
	session->bytes_left = size == 0 ? 1 : size;
	return PN_NEXT_BYTES;
}

enum pn_next pn_next_data(struct pn_session *session, enum pn_data_form form)
{
	session->data_form = form;
	memset(&session->dot, 0, sizeof(session->dot));
	return PN_NEXT_DATA;
}

/* A stage for a protocol: the engine calls back at once or later, the module hears of it from the
 * top of the loop either way. */
struct stage_question {
	struct pn_ticket ticket;
	struct pn_stage_result result;
};

static void stage_answered(void *user, const struct pn_stage_result *result)
{
	struct stage_question *question = user;

	question->result = *result;
	pn_ticket_answer(question->ticket, PN_ANSWER_VERDICT, PN_OK, &question->result, NULL, NULL);
}

struct pn_arena *pn_session_step_arena(struct pn_session *session)
{
	/* Two in turn: the answer to the last question may still be read while the next is asked.
	 */
	struct pn_arena **step = &session->steps[session->step++ & 1];

	if (*step == NULL)
		*step = pn_arena_new();
	else
		pn_arena_reset(*step);
	return *step;
}

static enum pn_next ask(struct pn_session *session, enum pn_stage stage, struct pn_arena *arena,
                        const void *subject)
{
	struct stage_question *question = PN_ARENA_NEW(arena, struct stage_question);
	const struct pn_stage_request request = {
		.stage = stage,
		.subject = subject,
		.generation = session->generation,
		.session = session,
		.session_id = session->id,
		.arena = arena,
		.trail = &session->trail,
	};

	question->ticket = pn_ticket_open_unlimited(session, NULL, NULL);
	pn_stage_run(&request, stage_answered, question);
	return PN_NEXT_ANSWER;
}

enum pn_next pn_stage_ask(struct pn_session *session, enum pn_stage stage)
{
	return ask(session, stage, pn_session_step_arena(session), NULL);
}

enum pn_next pn_request_ask(struct pn_session *session, const char *kind, struct pn_slice argument)
{
	struct pn_arena *arena = pn_session_step_arena(session);
	struct pn_client_request *request = PN_ARENA_NEW(arena, struct pn_client_request);

	request->struct_size = sizeof(*request);
	request->kind = kind;
	request->argument = pn_arena_keep(arena, argument);
	return ask(session, PN_STAGE_CLIENT_REQUEST, arena, request);
}
