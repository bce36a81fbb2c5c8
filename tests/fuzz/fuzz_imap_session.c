/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole IMAP session: the real framing, the real module, a real store that others
 * change meanwhile (imap_straw.c), and a client that believes nothing (imap_client.c).
 * The first bytes choose options and how far the session is. Without chance in it the
 * same bytes in pieces of any size give the same answers.
 */
#include "fuzz.h"

#include <postern/module.h>
#include <postern/text.h>

#include <time.h>

#include "imap_client.h"
#include "imap_straw.h"
#include "io/frame.h"

enum { LIMIT_NANOSECONDS = 1000 * 1000 * 1000 };

extern const struct pn_module imap_LTX_pn_module;

/* The input and how much of it has arrived. */
struct feed {
	struct pn_slice rest;
	size_t arrived; /* of the rest */
	size_t step;    /* 0: as chance has it */
	size_t scanned;
	bool is_skipping;
	bool after_cr;
	char *line; /* what the client thinks of the command */
};

static bool arrive(struct pn_session *session, struct feed *feed)
{
	size_t more = feed->step > 0 ? feed->step : 1 + straw_choose(session, 64);

	if (feed->arrived == feed->rest.size)
		return false;
	if (more > feed->rest.size - feed->arrived)
		more = feed->rest.size - feed->arrived;
	feed->arrived += more;
	return true;
}

static void consume(struct feed *feed, size_t size)
{
	feed->rest = pn_slice_behind(feed->rest, size);
	feed->arrived -= size;
}

/* A command begins where nothing of one was gathered. */
static void note_command(const struct pn_session *session, struct imap_client *client,
                         struct feed *feed, const struct pn_line *line)
{
	const struct imap_session *imap = &session->imap;
	struct pn_slice copy;

	if (imap->reading != IMAP_READING_COMMAND || imap->input.size > 0 || client->in_command ||
	    line->text.size == 0 || line->problem == PN_LINE_BARE_CR ||
	    line->problem == PN_LINE_BARE_LF || line->problem == PN_LINE_NUL)
		return;
	free(feed->line);
	copy = exact_copy(line->text);
	feed->line = (char *)(uintptr_t)copy.data;
	client_sends(client, copy);
}

static enum pn_next feed_line(struct pn_session *session, struct imap_client *client,
                              struct feed *feed)
{
	struct pn_line line = {.struct_size = sizeof(line)};
	struct pn_slice copy;
	size_t consumed;
	enum pn_next next;

	for (;;) {
		struct pn_slice window = pn_slice_make(feed->rest.data, feed->arrived);

		if (feed->is_skipping) {
			feed->is_skipping = !pn_frame_skip_line(window, &feed->after_cr, &consumed);
			consume(feed, consumed);
		} else if (pn_frame_line(window, session->line_limit, &feed->scanned, &line.problem,
		                         &line.text, &consumed)) {
			break;
		}
		if (!arrive(session, feed))
			return PN_NEXT_CLOSE;
	}
	feed->scanned = 0;
	feed->is_skipping = line.problem == PN_LINE_TOO_LONG;
	feed->after_cr = false;
	note_command(session, client, feed, &line);
	/* Nothing may point into the line when the module has returned. */
	copy = exact_copy(line.text);
	line.text = copy;
	consume(feed, consumed);
	next = imap_LTX_pn_module.protocol->line(session, &session->imap, &line);
	free((char *)(uintptr_t)copy.data);
	return next;
}

static enum pn_next feed_bytes(struct pn_session *session, struct feed *feed)
{
	struct pn_data data = {.struct_size = sizeof(data)};
	struct pn_slice copy;
	size_t size;
	enum pn_next next;

	if (feed->arrived == 0 && !arrive(session, feed))
		return PN_NEXT_CLOSE;
	size = feed->arrived < session->bytes_left ? feed->arrived : (size_t)session->bytes_left;
	feed->scanned = 0;
	session->bytes_left -= size;
	copy = exact_copy(pn_slice_make(feed->rest.data, size));
	data.bytes = copy;
	data.is_last = session->bytes_left == 0;
	consume(feed, size);
	next = imap_LTX_pn_module.protocol->data(session, &session->imap, &data);
	free((char *)(uintptr_t)copy.data);
	return next;
}

/* The client reads what was written, and agrees with the module about the mailbox. */
static void at_rest(struct pn_session *session, struct imap_client *client, size_t *read)
{
	const struct imap_session *imap = &session->imap;

	client_reads(client, pn_slice_behind(pn_buffer_slice(&session->output), *read));
	*read = session->output.size;
	if (imap->reading == IMAP_READING_COMMAND && imap->input.size == 0) {
		require(!client->in_command && imap->arena == NULL && !session->has_deposit);
		require(session->question == STRAW_NOTHING);
	}
	if (imap->view == NULL) {
		client->exists = 0;
		memset(client->uids, 0, sizeof(client->uids));
		return;
	}
	require(imap_uids_count(&imap->view->uids) == client->exists);
	for (uint32_t i = 0; i < client->exists; i++) {
		uint32_t uid = imap_uids_at(&imap->view->uids, i + 1);

		require(client->uids[i] == 0 || client->uids[i] == uid);
		client->uids[i] = uid;
	}
}

static enum pn_next deliver_event(struct pn_session *session, enum pn_next next)
{
	struct pn_session_event_info event = {.struct_size = sizeof(event),
	                                      .kind = PN_EVENT_MAILBOX_CHANGED};

	straw_disturb(session);
	if (straw_choose(session, 200) == 1)
		event.kind = straw_choose(session, 2) == 0 ? PN_EVENT_DEADLINE : PN_EVENT_STOPPING;
	else if (!session->has_changed)
		return next;
	else
		session->has_changed = false;
	return imap_LTX_pn_module.protocol->event(session, &session->imap, &event) == PN_NEXT_CLOSE
	               ? PN_NEXT_CLOSE
	               : next;
}

static enum pn_next go_on(struct pn_session *session, struct imap_client *client, struct feed *feed,
                          enum pn_next next)
{
	const struct pn_stage_result verdict = {.struct_size = sizeof(verdict)};
	const struct pn_answer secured = {
		.struct_size = sizeof(secured), .kind = PN_ANSWER_SECURED, .result = &verdict};

	switch (next) {
	case PN_NEXT_ANSWER:
		return straw_answer(session);
	case PN_NEXT_ANSWER_OR_LINE:
		next = deliver_event(session, next);
		if (next == PN_NEXT_CLOSE)
			return next;
		if (session->question != STRAW_NOTHING && straw_choose(session, 3) == 1)
			return straw_answer(session);
		return feed_line(session, client, feed);
	case PN_NEXT_LINE:
		require(session->question == STRAW_NOTHING);
		next = deliver_event(session, next);
		return next == PN_NEXT_CLOSE ? next : feed_line(session, client, feed);
	case PN_NEXT_BYTES:
		require(session->question == STRAW_NOTHING && session->bytes_left > 0);
		return feed_bytes(session, feed);
	case PN_NEXT_DRAIN:
	case PN_NEXT_AGAIN:
		require(session->question == STRAW_NOTHING);
		return imap_LTX_pn_module.protocol->drained(session, &session->imap);
	case PN_NEXT_START_TLS:
		require(!session->is_encrypted);
		session->is_encrypted = true;
		return imap_LTX_pn_module.protocol->answered(session, &session->imap, &secured);
	default:
		require(false);
		return PN_NEXT_CLOSE;
	}
}

/* Returns what was written; to be cleared. */
static struct pn_buffer run(const struct pn_session *start, struct pn_slice input, size_t step)
{
	static struct imap_client client;
	struct pn_session session = *start;
	struct feed feed = {.rest = input, .step = step};
	struct pn_stage_result welcome = {.struct_size = sizeof(welcome)};
	const struct pn_answer answer = {.struct_size = sizeof(answer), .result = &welcome};
	struct pn_buffer output;
	enum pn_next next;
	size_t read = 0;

	memset(&client, 0, sizeof(client));
	straw_begin(&session);
	next = imap_LTX_pn_module.protocol->open(&session, &session.imap, &answer);
	while (next != PN_NEXT_CLOSE) {
		if (next == PN_NEXT_LINE || next == PN_NEXT_BYTES || next == PN_NEXT_ANSWER_OR_LINE)
			at_rest(&session, &client, &read);
		next = go_on(&session, &client, &feed, next);
	}
	imap_LTX_pn_module.protocol->close(&session, &session.imap, PN_CLOSE_FINISHED);
	free(feed.line);
	output = session.output;
	session.output = (struct pn_buffer){.limit = 1};
	straw_end(&session);
	return output;
}

/* What a session has said before the input begins. */
static struct pn_slice with_beginning(unsigned how, struct pn_slice input)
{
	static const char *const beginnings[] = {
		"",
		"p LOGIN a b\r\n",
		"p LOGIN a b\r\nq SELECT INBOX\r\n",
		"p LOGIN a b\r\nq ENABLE QRESYNC\r\nr SELECT INBOX\r\n",
		"p LOGIN a b\r\nq EXAMINE INBOX (CONDSTORE)\r\n",
	};
	struct pn_slice before = pn_slice_of(beginnings[how % 5]);
	char *text = malloc(before.size + input.size + 1);

	require(text != NULL);
	if (before.size > 0)
		memcpy(text, before.data, before.size);
	if (input.size > 0)
		memcpy(text + before.size, input.data, input.size);
	return pn_slice_make(text, before.size + input.size);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pn_session session;
	uint64_t begin = now();
	unsigned options = take_byte(&data, &size);
	unsigned how = take_byte(&data, &size);
	unsigned chance = take_byte(&data, &size);
	struct pn_slice input;
	struct pn_buffer whole;
	struct pn_buffer pieces;

	if (size > 16 * 1024)
		return 0;
	memset(&session, 0, sizeof(session));
	session.config = (struct imap_config){
		.plaintext_login = (options & 1u) != 0 ? PN_SASL_CLEAR_NEVER : PN_SASL_CLEAR_ALWAYS,
		.literals = (options & 2u) != 0 ? IMAP_LITERALS_MINUS : IMAP_LITERALS_PLUS,
		.greeting = "IMAP",
		.banner_worker = (options & 4u) != 0,
		.max_message_size = (options & 8u) != 0 ? 100 : 1 << 20,
		.max_command_size = 8192,
		.max_errors = (options & 16u) != 0 ? 2 : 100000,
		.max_login_failures = 2,
		.login_timeout = 1000,
		.command_timeout = 1000,
		.idle_interval = 1000,
	};
	session.has_large = (options & 32u) != 0;
	session.choices = chance;
	session.is_wild = chance >= 64;
	input = with_beginning(how, rest_of(data, size));
	whole = run(&session, input, session.is_wild ? 0 : SIZE_MAX);
	if (!session.is_wild) {
		pieces = run(&session, input, 1 + chance % 32);
		require(pn_slice_equal(pn_buffer_slice(&whole), pn_buffer_slice(&pieces)));
		pn_buffer_clear(&pieces);
	}
	pn_buffer_clear(&whole);
	free((char *)(uintptr_t)input.data);
	require(now() - begin < LIMIT_NANOSECONDS);
	return 0;
}
