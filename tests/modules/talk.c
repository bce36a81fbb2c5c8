/* SPDX-License-Identifier: Apache-2.0 */
/*
 * talk: a protocol for tests. Each of its commands returns another pn_next, so that
 * a test can ask for all of them through a running gateway; ASK and SPLICE make
 * connections of their own, which run the same machine; JOBS uses a lane; ABANDON
 * ends a transaction while an answer to it is still to come.
 */
#include "talk.h"

#include <postern/arena.h>
#include <postern/text.h>
#include <postern/transaction.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MS = 5000, JOBS_MAX = 64, WORD_MAX = 200 };

struct talk_instance {
	struct pn_instance *self;
	struct pn_lane *lane;
};

/* What jobs of one JOBS command share. Only the lane's thread writes `order`. */
struct job_list {
	uint32_t left;
	uint32_t written;
	unsigned char order[JOBS_MAX];
	struct pn_ticket ticket;
};

struct one_job {
	struct job_list *list;
	unsigned char number;
};

struct talk_session {
	struct talk_link *link; /* to the connection that ASK or SPLICE made */
	uint64_t flood_left;
	uint64_t work_left;
	uint64_t drains;
	uint64_t data_size;
	uint64_t pieces;
	bool in_idle;
	bool in_splice;
	bool in_jobs;
	bool in_data;
	unsigned abandon_step; /* of an ABANDON that is under way */
	char abandoned[WORD_MAX];
};

/* ---- jobs in a lane ---- */

static enum pn_status run_job(void *argument, struct pn_error *error)
{
	struct one_job *job = argument;

	(void)error;
	pn_assert_on_worker();
	/* The first takes longest: in a pool it would be the last to end. */
	if (job->number == 0)
		usleep(20000);
	job->list->order[job->list->written++] = job->number;
	return PN_OK;
}

static void job_done(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct one_job *job = argument;
	struct job_list *list = job->list;

	(void)error;
	pn_assert_on_loop();
	free(job);
	if (--list->left == 0)
		pn_ticket_answer(list->ticket, PN_ANSWER_CUSTOM, status, list, free, NULL);
}

static enum pn_next jobs(struct pn_session *session, struct talk_session *talk, uint64_t count)
{
	struct talk_instance *instance = pn_session_instance(session);
	struct job_list *list = calloc(1, sizeof(*list));

	if (list == NULL)
		abort();
	if (count == 0 || count > JOBS_MAX)
		count = JOBS_MAX;
	list->left = (uint32_t)count;
	list->ticket = pn_session_ticket(session, ANSWER_MS);
	for (uint64_t number = 0; number < count; number++) {
		struct one_job *one = calloc(1, sizeof(*one));
		struct pn_job job = {.struct_size = sizeof(job),
		                     .lane = instance->lane,
		                     .work = run_job,
		                     .done = job_done,
		                     .argument = one};

		if (one == NULL)
			abort();
		*one = (struct one_job){list, (unsigned char)number};
		if (pn_job_submit(&job, (struct pn_ticket){0, 0}) != PN_OK)
			job_done(one, PN_LIMIT, NULL);
	}
	talk->in_jobs = true;
	return PN_NEXT_ANSWER;
}

static void tell_jobs(struct pn_session *session, const struct job_list *list)
{
	for (uint32_t i = 0; i < list->written; i++)
		pn_session_print(session, "%u ", list->order[i]);
	pn_session_print(session, "jobs\r\n");
}

/* ---- commands ---- */

static enum pn_next say(struct pn_session *session, const char *text)
{
	pn_session_print(session, "%s\r\n", text);
	return PN_NEXT_LINE;
}

static uint64_t number_of(struct pn_slice text)
{
	uint64_t number = 0;

	return pn_parse_count(text, &number) == PN_OK ? number : 1;
}

/* "ADDRESS text": a connection to it that says the text, or that is spliced. */
static enum pn_next reach(struct pn_session *session, struct talk_session *talk,
                          struct pn_slice argument, bool with_tls, bool splices)
{
	struct talk_instance *instance = pn_session_instance(session);
	struct pn_slice address = pn_slice_cut(&argument, ' ');
	struct pn_error error;

	talk_link_drop(&talk->link);
	talk->link = talk_link_new(argument, splices, pn_session_ticket(session, ANSWER_MS));
	talk->in_splice = splices;
	if (talk_connect(instance->self, pn_arena_keep_text(pn_session_arena(session), address),
	                 with_tls, talk->link, &error) != PN_OK) {
		pn_ticket_cancel(talk->link->ticket);
		return say(session, "cannot connect");
	}
	return PN_NEXT_ANSWER;
}

static enum pn_next flood(struct pn_session *session, struct talk_session *talk)
{
	char line[100];

	memset(line, 'f', sizeof(line));
	line[98] = '\r';
	line[99] = '\n';
	while (talk->flood_left > 0) {
		if (pn_session_output_is_high(session)) {
			talk->drains++;
			return PN_NEXT_DRAIN;
		}
		pn_session_write(session, pn_slice_make(line, sizeof(line)));
		talk->flood_left--;
	}
	pn_session_print(session, "flooded %s\r\n", talk->drains > 0 ? "with drains" : "at once");
	return PN_NEXT_LINE;
}

/* ---- a transaction that is ended too early ---- */

static struct pn_envelope_part part_of(struct pn_session *session, const char *text)
{
	struct pn_envelope_part part = {.struct_size = sizeof(part)};

	if (pn_address_parse(pn_slice_of(text), false, pn_session_arena(session), &part.address) !=
	    PN_OK)
		abort();
	return part;
}

static enum pn_next abandon(struct pn_session *session, struct talk_session *talk)
{
	talk->abandon_step = 0;
	pn_transaction_end(session);
	return say(session, "abandoned");
}

/* The sender was taken: the recipient; he was taken: the message, and away before it is stored. */
static enum pn_next abandon_answered(struct pn_session *session, struct talk_session *talk,
                                     const struct pn_answer *answer)
{
	const struct pn_stage_result *result = answer->result;
	struct pn_envelope_part part;

	if (talk->abandon_step == 1) {
		part = part_of(session, talk->abandoned);
		talk->abandon_step = 2;
		(void)pn_transaction_add(session, &part);
		if (memmem(talk->abandoned, strlen(talk->abandoned), "slow", 4) != NULL)
			return abandon(session, talk);
		return PN_NEXT_ANSWER;
	}
	if (result->verdict != PN_VERDICT_ACCEPT)
		return say(session, "nothing to abandon");
	(void)pn_transaction_append(session, PN_SLICE("Subject: x\r\n\r\nhello\r\n"), PN_NEXT_LINE);
	(void)pn_transaction_submit(session);
	return abandon(session, talk);
}

/* An address of pondered.test is a sender who is pondered over; any other is a recipient. */
static enum pn_next abandon_begin(struct pn_session *session, struct talk_session *talk,
                                  struct pn_slice text)
{
	bool is_sender = memmem(text.data, text.size, "pondered", 8) != NULL;
	struct pn_envelope_part part;

	snprintf(talk->abandoned, sizeof(talk->abandoned), "%.*s", PN_SLICE_ARGS(text));
	part = part_of(session, is_sender ? talk->abandoned : "a@sender.test");
	(void)pn_transaction_begin(session, &part);
	if (is_sender)
		return abandon(session, talk);
	talk->abandon_step = 1;
	return PN_NEXT_ANSWER;
}

static enum pn_next take_command(struct pn_session *session, struct talk_session *talk,
                                 struct pn_slice text)
{
	struct pn_slice word = pn_slice_cut(&text, ' ');

	if (pn_slice_equal(word, PN_SLICE("ECHO"))) {
		pn_session_write(session, text);
		return say(session, "");
	}
	talk->data_size = talk->pieces = 0;
	if (pn_slice_equal(word, PN_SLICE("BYTES")))
		return pn_next_bytes(session, number_of(text));
	if (pn_slice_equal(word, PN_SLICE("DATA"))) {
		talk->in_data = true;
		return pn_next_data(session, PN_DATA_DOT_STUFFED);
	}
	if (pn_slice_equal(word, PN_SLICE("SLEEP"))) {
		(void)pn_session_ticket(session, number_of(text));
		return PN_NEXT_ANSWER;
	}
	if (pn_slice_equal(word, PN_SLICE("IDLE"))) {
		talk->in_idle = true;
		(void)pn_session_ticket(session, number_of(text));
		return PN_NEXT_ANSWER_OR_LINE;
	}
	if (pn_slice_equal(word, PN_SLICE("FLOOD"))) {
		talk->flood_left = number_of(text);
		talk->drains = 0;
		return flood(session, talk);
	}
	if (pn_slice_equal(word, PN_SLICE("WORK"))) {
		talk->work_left = number_of(text);
		return PN_NEXT_AGAIN;
	}
	if (pn_slice_equal(word, PN_SLICE("JOBS")))
		return jobs(session, talk, number_of(text));
	if (pn_slice_equal(word, PN_SLICE("ABANDON")))
		return abandon_begin(session, talk, text);
	if (pn_slice_equal(word, PN_SLICE("ASK")))
		return reach(session, talk, text, false, false);
	if (pn_slice_equal(word, PN_SLICE("ASKTLS")))
		return reach(session, talk, text, true, false);
	if (pn_slice_equal(word, PN_SLICE("SPLICE")))
		return reach(session, talk, text, false, true);
	if (pn_slice_equal(word, PN_SLICE("STARTTLS"))) {
		if (!pn_session_can_start_tls(session))
			return say(session, "no TLS here");
		(void)say(session, "go on");
		return PN_NEXT_START_TLS;
	}
	if (pn_slice_equal(word, PN_SLICE("QUIT"))) {
		(void)say(session, "bye");
		return PN_NEXT_CLOSE;
	}
	return say(session, "what?");
}

/* ---- entries ---- */

static enum pn_next talk_open(struct pn_session *session, void *state,
                              const struct pn_answer *answer)
{
	const struct pn_stage_result *result = answer->result;

	(void)state;
	if (result->verdict != PN_VERDICT_CONTINUE && result->verdict != PN_VERDICT_ACCEPT)
		return PN_NEXT_CLOSE;
	pn_session_set_deadline(session, 3000);
	return say(session, "talk");
}

static enum pn_next talk_line(struct pn_session *session, void *state, const struct pn_line *line)
{
	struct talk_session *talk = state;

	if (line->problem != PN_LINE_GOOD)
		return say(session, "bad line");
	if (talk->in_idle) {
		talk->in_idle = false;
		return say(session, "woken by a line");
	}
	return take_command(session, talk, line->text);
}

static enum pn_next talk_data(struct pn_session *session, void *state, const struct pn_data *data)
{
	struct talk_session *talk = state;

	if (data->problem != PN_LINE_GOOD) {
		(void)say(session, "bad data");
		return PN_NEXT_CLOSE;
	}
	talk->data_size += data->bytes.size;
	talk->pieces++;
	if (!data->is_last)
		return talk->in_data ? PN_NEXT_DATA : PN_NEXT_BYTES;
	pn_session_print(session, "%llu %s\r\n", (unsigned long long)talk->data_size,
	                 talk->in_data ? "of data" : "bytes");
	talk->in_data = false;
	return PN_NEXT_LINE;
}

static enum pn_next talk_answered(struct pn_session *session, void *state,
                                  const struct pn_answer *answer)
{
	struct talk_session *talk = state;
	const struct pn_stage_result *secured = answer->result;

	if (talk->abandon_step > 0)
		return abandon_answered(session, talk, answer);
	switch (answer->kind) {
	case PN_ANSWER_TIMER:
		talk->in_idle = false;
		return say(session, answer->status == PN_TIMEOUT ? "the time is over" : "strange");
	case PN_ANSWER_SECURED:
		if (answer->status != PN_OK || secured->verdict != PN_VERDICT_CONTINUE)
			return PN_NEXT_CLOSE;
		return say(session, pn_session_is_encrypted(session) ? "secured" : "not secured");
	case PN_ANSWER_CUSTOM:
		break;
	default:
		return say(session, "an answer that was not asked for");
	}
	if (talk->in_jobs) {
		talk->in_jobs = false;
		tell_jobs(session, answer->result);
		return PN_NEXT_LINE;
	}
	if (answer->status != PN_OK)
		return say(session, "cannot connect");
	if (talk->in_splice && talk->link->session != NULL) {
		(void)say(session, "spliced");
		return pn_next_splice(session, talk->link->session);
	}
	pn_session_write(session, pn_slice_make(talk->link->answer, talk->link->answer_size));
	return say(session, talk->link->was_encrypted ? " over TLS" : "");
}

static enum pn_next talk_drained(struct pn_session *session, void *state)
{
	struct talk_session *talk = state;

	if (talk->flood_left > 0)
		return flood(session, talk);
	if (talk->work_left > 0 && --talk->work_left > 0)
		return PN_NEXT_AGAIN;
	return say(session, "worked");
}

static enum pn_next talk_event(struct pn_session *session, void *state,
                               const struct pn_session_event_info *event)
{
	(void)state;
	(void)say(session, event->kind == PN_EVENT_DEADLINE ? "too slow" : "stopping");
	return PN_NEXT_CLOSE;
}

static void talk_close(struct pn_session *session, void *state, enum pn_close_reason reason)
{
	struct talk_session *talk = state;

	(void)reason;
	(void)session;
	talk_link_drop(&talk->link);
}

static const struct pn_protocol talk_protocol = {
	.struct_size = sizeof(struct pn_protocol),
	.name = "talk",
	.state_size = sizeof(struct talk_session),
	.open = talk_open,
	.line = talk_line,
	.data = talk_data,
	.answered = talk_answered,
	.drained = talk_drained,
	.event = talk_event,
	.close = talk_close,
};

static enum pn_status start(const struct pn_start *begin, void **instance_out,
                            struct pn_error *error)
{
	struct talk_instance *instance = calloc(1, sizeof(*instance));

	if (instance == NULL)
		abort();
	instance->self = begin->self;
	if (pn_lane_new("talk", &instance->lane, error) != PN_OK) {
		free(instance);
		return PN_FAILED;
	}
	*instance_out = instance;
	return PN_OK;
}

static void stop(void *pointer)
{
	struct talk_instance *instance = pointer;

	pn_lane_free(&instance->lane);
	free(instance);
}

PN_MODULE(talk, .version = "1.0", .summary = "A protocol that returns every pn_next there is.",
          .protocol = &talk_protocol, .start = start, .stop = stop, );
