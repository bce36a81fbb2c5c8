/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs checks: what they ask goes to DNS, all of a round side by side, and they are called again
 * with the answers. Loop thread.
 */
#include <postern/check.h>
#include <postern/clock.h>
#include <postern/text.h>
#include <postern/ticket.h>

struct checking;

/* A question under way. */
struct asked {
	struct checking *checking;
	struct pn_dns_question question;
};

struct checking {
	const struct pn_check *check;
	const void *config;
	struct pn_check_input input;
	const struct pn_dns_answer **answers; /* room for max_questions */
	struct pn_ticket awaited;             /* by whom; {0, 0}: by somebody who stays */
	struct pn_arena *arena;
	uint64_t deadline_ms; /* monotonic */
	uint32_t rounds;
	uint32_t questions;
	size_t waiting;
	pn_check_done_function *done;
	void *user;
};

struct pn_slice pn_check_value_of(const struct pn_check_input *input, struct pn_slice key)
{
	for (size_t i = 0; i < input->value_count; i++) {
		if (pn_slice_equal(input->values[i].key, key))
			return input->values[i].value;
	}
	return PN_SLICE_NONE;
}

const struct pn_dns_answer *pn_check_answer_to(const struct pn_check_input *input,
                                               const struct pn_dns_question *question)
{
	for (size_t i = 0; i < input->answer_count; i++) {
		const struct pn_dns_question *other = &input->answers[i]->question;

		if (other->type == question->type &&
		    pn_slice_equal_ignore_case(other->name, question->name))
			return input->answers[i];
	}
	return NULL;
}

static bool is_awaited(const struct checking *checking)
{
	return checking->awaited.generation == 0 || pn_ticket_is_open(checking->awaited);
}

static void forget(struct checking *checking)
{
	struct pn_arena *arena = checking->arena;

	pn_arena_free(&arena);
}

static struct pn_dns_answer *keep_answer(struct pn_arena *arena,
                                         const struct pn_dns_question *question,
                                         const struct pn_dns_answer *answer)
{
	struct pn_dns_answer *copy = PN_ARENA_NEW(arena, struct pn_dns_answer);
	struct pn_dns_record *records =
		PN_ARENA_ARRAY(arena, answer->record_count, struct pn_dns_record);

	*copy = *answer;
	copy->struct_size = sizeof(*copy);
	copy->record_size = sizeof(*records);
	copy->question = *question;
	copy->records = records;
	copy->reason = pn_arena_keep(arena, answer->reason);
	for (size_t i = 0; i < answer->record_count; i++) {
		memcpy(&records[i], (const char *)answer->records + i * answer->record_size,
		       sizeof(records[i]));
		records[i].value = pn_arena_keep(arena, records[i].value);
	}
	return copy;
}

static void run(struct checking *checking);

static void answered(void *user, const struct pn_answer *answer)
{
	static const struct pn_dns_answer none = {
		.outcome = PN_DNS_TROUBLE,
		.reason = {"no answer in time", sizeof("no answer in time") - 1},
	};
	const struct asked *asked = user;
	struct checking *checking = asked->checking;
	const struct pn_dns_answer *result = &none;

	if (answer->kind == PN_ANSWER_DNS && answer->status == PN_OK && answer->result != NULL)
		result = answer->result;
	checking->answers[checking->input.answer_count++] =
		keep_answer(checking->arena, &asked->question, result);
	if (--checking->waiting == 0)
		run(checking);
}

/* What is left of its time; the questions of a check that has none fail at once. */
static uint64_t time_left(const struct checking *checking)
{
	uint64_t now = pn_clock_monotonic_ms();

	return checking->deadline_ms > now ? checking->deadline_ms - now : 1;
}

static bool is_new(const struct checking *checking, const struct pn_check_output *output,
                   size_t index)
{
	const struct pn_dns_question *question = &output->questions[index];

	for (size_t i = 0; i < index; i++) {
		if (output->questions[i].type == question->type &&
		    pn_slice_equal_ignore_case(output->questions[i].name, question->name))
			return false;
	}
	return pn_check_answer_to(&checking->input, question) == NULL;
}

/* PN_LIMIT: it wants to know more than it said it would. */
static enum pn_status ask(struct checking *checking, const struct pn_check_output *output,
                          struct pn_error *error)
{
	struct asked *asked = PN_ARENA_ARRAY(checking->arena, output->question_count, struct asked);
	size_t count = 0;

	for (size_t i = 0; i < output->question_count; i++) {
		if (!is_new(checking, output, i))
			continue;
		asked[count].checking = checking;
		asked[count].question.type = output->questions[i].type;
		asked[count++].question.name =
			pn_arena_keep(checking->arena, output->questions[i].name);
	}
	if (count == 0 || ++checking->rounds > checking->check->max_rounds ||
	    count > checking->check->max_questions - checking->questions)
		return pn_fail_with(PN_LIMIT, error, "the check %s asks more than it may",
		                    checking->check->name);
	checking->questions += (uint32_t)count;
	checking->waiting = count;
	for (size_t i = 0; i < count; i++)
		pn_dns_ask(&asked[i].question,
		           pn_ticket_open(NULL, answered, &asked[i], time_left(checking)));
	return PN_OK;
}

static void run(struct checking *checking)
{
	struct pn_check_output output = {.struct_size = sizeof(output)};
	struct pn_error error = {.text = ""};
	enum pn_status status;

	if (!is_awaited(checking)) {
		forget(checking);
		return;
	}
	checking->input.answers = checking->answers;
	status = checking->check->run(checking->config, &checking->input, checking->arena, &output,
	                              &error);
	if (status == PN_PENDING) {
		status = ask(checking, &output, &error);
		if (status == PN_OK)
			return;
	}
	checking->done(checking->user, status, status == PN_OK ? &output : NULL,
	               status == PN_OK ? NULL : &error);
	forget(checking);
}

/* The first run, too, comes from the top of the loop. */
static void begin(void *user, const struct pn_answer *answer)
{
	(void)answer;
	run(user);
}

static const struct pn_check_value *keep_values(struct pn_arena *arena,
                                                const struct pn_check_input *input)
{
	struct pn_check_value *values =
		PN_ARENA_ARRAY(arena, input->value_count, struct pn_check_value);

	for (size_t i = 0; i < input->value_count; i++) {
		values[i].key = pn_arena_keep(arena, input->values[i].key);
		values[i].value = pn_arena_keep(arena, input->values[i].value);
	}
	return values;
}

void pn_check_start(const struct pn_check *check, const void *config,
                    const struct pn_check_input *input, struct pn_ticket waiting,
                    uint64_t deadline_ms, pn_check_done_function *done, void *user)
{
	struct pn_arena *arena = pn_arena_new();
	struct checking *checking = PN_ARENA_NEW(arena, struct checking);

	*checking = (struct checking){
		.check = check,
		.config = config,
		.input = *input,
		.answers = (const struct pn_dns_answer **)pn_arena_allocate_array(
			arena, check->max_questions, sizeof(struct pn_dns_answer *)),
		.awaited = waiting,
		.arena = arena,
		.deadline_ms = pn_clock_monotonic_ms() + deadline_ms,
		.done = done,
		.user = user,
	};
	checking->input.values = keep_values(arena, input);
	checking->input.answer_count = 0;
	pn_ticket_answer(pn_ticket_open(NULL, begin, checking, deadline_ms), PN_ANSWER_CUSTOM,
	                 PN_OK, NULL, NULL, NULL);
}
