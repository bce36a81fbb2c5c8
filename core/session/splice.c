/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sessions that pass each other's bytes, unparsed. Each reads only while the
 * other's output is small, so neither side can fill the memory.
 */
#include "session/session.h"

enum { PIECE_SIZE = 32 * 1024, PIECES_PER_TURN = 4 };

static size_t waiting(const struct pn_session *session)
{
	return session->output.size - session->output_done;
}

static void settle(struct pn_session *session)
{
	struct pn_session *other = session->spliced;

	if (other == NULL)
		return;
	if (!pn_session_flush(session)) {
		pn_session_abort(session, PN_CLOSE_TROUBLE);
		return;
	}
	pn_stream_want(session->stream, !session->input_ended && waiting(other) < PN_OUTPUT_LOW,
	               waiting(session) > 0);
}

/* One side said that it has no more: what is left goes out, then both end. */
static void finish(struct pn_session *session)
{
	struct pn_session *other = session->spliced;

	if (other == NULL || !session->input_ended || waiting(other) > 0)
		return;
	session->spliced = NULL;
	other->spliced = NULL;
	session->phase = PN_PHASE_RUNNING;
	other->phase = PN_PHASE_RUNNING;
	pn_session_close(other, PN_CLOSE_BY_PEER);
	pn_session_close(session, PN_CLOSE_BY_PEER);
}

void pn_session_splice_ready(struct pn_session *session, int events)
{
	struct pn_session *other = session->spliced;
	char piece[PIECE_SIZE];
	size_t size;

	/* Each side's deadline is for a silence of both. */
	pn_timer_set(session->deadline, session->deadline_ms);
	pn_timer_set(other->deadline, other->deadline_ms);
	for (int i = 0; (events & PN_WATCH_READ) != 0 && i < PIECES_PER_TURN; i++) {
		enum pn_stream_result result;

		if (session->input_ended || waiting(other) >= PN_OUTPUT_LOW)
			break;
		result = pn_stream_read(session->stream, piece, sizeof(piece), &size);
		if (result == PN_STREAM_AGAIN)
			break;
		if (result == PN_STREAM_BROKEN) {
			pn_session_abort(session, PN_CLOSE_TROUBLE);
			return;
		}
		if (result == PN_STREAM_END) {
			session->input_ended = true;
			break;
		}
		session->bytes_in += size;
		pn_session_write(other, pn_slice_make(piece, size));
	}
	settle(other);
	if (session->spliced == NULL)
		return;
	settle(session);
	finish(session);
	if (session->spliced != NULL)
		finish(other);
}

static void hand_over_input(struct pn_session *from, struct pn_session *to)
{
	pn_session_write(to, pn_buffer_slice(&from->input));
	pn_buffer_clear(&from->input);
	from->phase = PN_PHASE_SPLICED;
	from->output_since_ms = 0;
	from->is_delayed = false;
	pn_timer_set(from->deadline, from->deadline_ms);
}

void pn_session_splice_begin(struct pn_session *session)
{
	struct pn_session *other = session->spliced;

	if (other == NULL || other->phase != PN_PHASE_RUNNING) {
		pn_session_close(session, PN_CLOSE_BY_PEER);
		return;
	}
	hand_over_input(session, other);
	hand_over_input(other, session);
	pn_session_splice_ready(session, PN_WATCH_READ);
	if (session->spliced != NULL)
		pn_session_splice_ready(other, PN_WATCH_READ);
}

enum pn_next pn_next_splice(struct pn_session *session, struct pn_session *other)
{
	session->spliced = other;
	other->spliced = session;
	return PN_NEXT_SPLICE;
}
