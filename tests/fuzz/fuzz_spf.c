/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole evaluations of SPF. The input is lines: client, EHLO name and sender; then "NAME TYPE
 * DATA", and a name that is not among them does not exist. Questions are answered as they come;
 * they end, whatever the records say, and each can be asked for.
 */
#include "fuzz.h"

#include <postern/arena.h>
#include <postern/text.h>

#include "../../modules/spf/spf.h"

enum { LINES = 64, QUESTIONS = 256, ROUNDS = 64 };

struct line {
	struct pn_slice name;
	enum pn_dns_type type;
	struct pn_slice data;
};

static struct line lines[LINES];
static size_t line_count;

static void read_lines(struct pn_slice rest)
{
	for (line_count = 0; line_count < LINES && rest.size > 0;) {
		struct pn_slice text = pn_slice_cut(&rest, '\n');
		struct line *line = &lines[line_count];

		line->name = pn_slice_cut(&text, ' ');
		if (pn_dns_type_of(pn_slice_cut(&text, ' '), &line->type) != PN_OK)
			continue;
		line->data = text;
		line_count++;
	}
}

static const struct pn_dns_answer *answer_to(const struct pn_dns_question *question,
                                             struct pn_arena *arena)
{
	struct pn_dns_answer *answer = PN_ARENA_NEW(arena, struct pn_dns_answer);
	struct pn_dns_record *records = PN_ARENA_ARRAY(arena, LINES, struct pn_dns_record);

	answer->struct_size = sizeof(*answer);
	answer->record_size = sizeof(*records);
	answer->question.name = pn_arena_keep(arena, question->name);
	answer->question.type = question->type;
	answer->outcome = PN_DNS_NO_NAME;
	answer->records = records;
	for (size_t i = 0; i < line_count; i++) {
		if (lines[i].type != question->type ||
		    !pn_slice_equal_ignore_case(lines[i].name, question->name))
			continue;
		answer->outcome = pn_slice_equal(lines[i].data, PN_SLICE("TIMEOUT"))
		                          ? PN_DNS_TROUBLE
		                          : PN_DNS_FOUND;
		records[answer->record_count++].value = lines[i].data;
	}
	if (answer->outcome == PN_DNS_TROUBLE)
		answer->record_count = 0;
	return answer;
}

static bool can_be_asked(struct pn_slice name)
{
	for (size_t i = 0; i < name.size; i++) {
		if (name.data[i] <= 0x20 || name.data[i] > 0x7e)
			return false;
	}
	return name.size > 0 && name.size <= 4 * SPF_NAME_MAX;
}

static void judge(struct spf_request *request, struct pn_arena *arena)
{
	const struct pn_dns_answer *answers[QUESTIONS];
	struct pn_check_input input = {.struct_size = sizeof(input), .answers = answers};
	struct spf_answer answer;
	size_t rounds = 0;

	request->input = &input;
	while (spf_evaluate(request, arena, &answer), answer.result == SPF_PENDING) {
		require(++rounds <= ROUNDS && answer.question_count > 0);
		for (size_t i = 0; i < answer.question_count; i++) {
			require(can_be_asked(answer.questions[i].name));
			require(pn_check_answer_to(&input, &answer.questions[i]) == NULL);
			require(input.answer_count < QUESTIONS);
			answers[input.answer_count++] = answer_to(&answer.questions[i], arena);
		}
	}
	require(answer.reason != NULL && spf_result_name(answer.result) != NULL);
	require(answer.explanation.size == 0 || answer.result == SPF_FAIL);
	require(answer.explanation.size <= SPF_EXPLANATION_MAX);
	for (size_t i = 0; i < answer.explanation.size; i++)
		require(answer.explanation.data[i] >= 0x20 && answer.explanation.data[i] <= 0x7e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice copy = exact_copy(rest_of(data, size));
	struct pn_slice rest = copy;
	struct spf_request request = {
		.max_terms = SPF_TERMS_MAX, .max_void = SPF_VOID_MAX, .now_s = 1700000000};

	if (!spf_address_parse(pn_slice_cut(&rest, '\n'), &request))
		spf_address_parse(PN_SLICE("192.0.2.1"), &request);
	request.helo = pn_slice_cut(&rest, '\n');
	request.mail_from = pn_slice_cut(&rest, '\n');
	read_lines(rest);
	judge(&request, arena);
	free((void *)(uintptr_t)copy.data);
	pn_arena_free(&arena);
	return 0;
}
