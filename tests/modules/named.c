/* SPDX-License-Identifier: Apache-2.0 */
/*
 * named: a check for tests: has the name that a client gave an address, and has what
 * it is an alias of? Pure: it names its questions, and is called again with answers.
 * The hook beside it plays the gateway: asks what the check wants to know.
 */
#include <postern/arena.h>
#include <postern/check.h>
#include <postern/module.h>
#include <postern/session.h>
#include <postern/text.h>

enum { ANSWERS_MAX = 8 };

/* ---- the check ---- */

static const struct pn_dns_answer *find(const struct pn_check_input *input, struct pn_slice name,
                                        enum pn_dns_type type)
{
	for (size_t i = 0; i < input->answer_count; i++) {
		const struct pn_dns_question *question = &input->answers[i]->question;

		if (question->type == type && pn_slice_equal(question->name, name))
			return input->answers[i];
	}
	return NULL;
}

static enum pn_status wants(struct pn_arena *arena, struct pn_check_output *output,
                            struct pn_slice name, enum pn_dns_type type)
{
	struct pn_dns_question *question = PN_ARENA_NEW(arena, struct pn_dns_question);

	*question = (struct pn_dns_question){name, type};
	output->questions = question;
	output->question_count = 1;
	return PN_PENDING;
}

/* MX first, then the address of the first exchanger: two rounds. */
static enum pn_status run(const void *config, const struct pn_check_input *input,
                          struct pn_arena *arena, struct pn_check_output *output,
                          struct pn_error *error)
{
	struct pn_check_value *fact = PN_ARENA_NEW(arena, struct pn_check_value);
	struct pn_slice name = input->values[0].value;
	const struct pn_dns_answer *mx = find(input, name, PN_DNS_MX);
	const struct pn_dns_answer *address;

	(void)config;
	if (mx == NULL)
		return wants(arena, output, name, PN_DNS_MX);
	if (mx->outcome == PN_DNS_TROUBLE)
		return pn_fail(error, "the DNS does not answer");
	*fact = (struct pn_check_value){PN_SLICE("named"), PN_SLICE("no exchanger")};
	if (mx->outcome == PN_DNS_FOUND) {
		address = find(input, mx->records[0].value, PN_DNS_A);
		if (address == NULL)
			return wants(arena, output, mx->records[0].value, PN_DNS_A);
		fact->value = address->outcome == PN_DNS_FOUND
		                      ? address->records[0].value
		                      : PN_SLICE("exchanger without address");
	}
	output->facts = fact;
	output->fact_count = 1;
	return PN_OK;
}

static const struct pn_check named_check = {
	.struct_size = sizeof(struct pn_check),
	.name = "named",
	.max_rounds = 3,
	.max_questions = 4,
	.run = run,
};

/* ---- the hook that has it answered ---- */

struct checking {
	const struct pn_stage_call *call;
	struct pn_ticket ticket;
	uint32_t rounds;
	struct pn_check_value name;
	const struct pn_dns_answer *answers[ANSWERS_MAX];
	size_t answer_count;
};

static void answered(void *user, const struct pn_answer *answer);

/* One round; whether it is over, with the verdict. */
static enum pn_verdict go_round(struct checking *checking)
{
	const struct pn_stage_call *call = checking->call;
	struct pn_check_input input = {.struct_size = sizeof(input),
	                               .values = &checking->name,
	                               .value_count = 1,
	                               .answers = checking->answers,
	                               .answer_count = checking->answer_count};
	struct pn_check_output output = {.struct_size = sizeof(output)};
	struct pn_error error;
	enum pn_status status = run(NULL, &input, call->arena, &output, &error);

	if (status == PN_PENDING && checking->rounds++ < named_check.max_rounds) {
		pn_dns_ask(output.questions,
		           pn_ticket_open(call->session, answered, checking, 2000));
		return PN_VERDICT_PENDING;
	}
	if (status != PN_OK)
		return pn_hook_failed(call, "the check did not end");
	return pn_refuse(call, 550, "5.7.1", "check: %.*s in %u rounds",
	                 (int)output.facts[0].value.size, output.facts[0].value.data,
	                 checking->rounds);
}

/* Answers live until the callee returns: the check wants them for longer. */
static const struct pn_dns_answer *keep(struct pn_arena *arena, const struct pn_dns_answer *answer)
{
	struct pn_dns_answer *copy = PN_ARENA_NEW(arena, struct pn_dns_answer);
	struct pn_dns_record *record = PN_ARENA_NEW(arena, struct pn_dns_record);

	*copy = *answer;
	copy->question.name = pn_arena_keep(arena, answer->question.name);
	if (answer->record_count > 0) {
		*record = answer->records[0];
		record->value = pn_arena_keep(arena, record->value);
		copy->records = record;
		copy->record_count = 1;
	}
	return copy;
}

static void answered(void *user, const struct pn_answer *answer)
{
	struct checking *checking = user;
	enum pn_verdict verdict;

	if (!pn_ticket_is_open(checking->ticket))
		return;
	if (answer->status == PN_OK && checking->answer_count < ANSWERS_MAX)
		checking->answers[checking->answer_count++] =
			keep(checking->call->arena, answer->result);
	verdict = go_round(checking);
	if (verdict != PN_VERDICT_PENDING)
		pn_hook_answer(checking->call, verdict);
}

static enum pn_verdict judge(const struct pn_stage_call *call)
{
	struct pn_slice hello = pn_session_hello(call->session);
	struct checking *checking;

	if (hello.size < 11 || !pn_slice_equal(pn_slice_make(hello.data, 6), PN_SLICE("check-")))
		return PN_VERDICT_CONTINUE;
	checking = PN_ARENA_NEW(pn_session_arena(call->session), struct checking);
	*checking = (struct checking){.call = call, .ticket = call->ticket};
	checking->name = (struct pn_check_value){
		PN_SLICE("name"), pn_arena_keep(pn_session_arena(call->session), hello)};
	return go_round(checking);
}

static const struct pn_hook named_hooks[] = {
	{.stage = PN_STAGE_CLIENT_HELLO, .run = judge, .summary = "Tells what the check found."},
	{.stage = PN_STAGE_NONE},
};

PN_MODULE(named, .version = "1.0", .summary = "Looks for the exchanger of a name.",
          .check = &named_check, .hooks = named_hooks, );
