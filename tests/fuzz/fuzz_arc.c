/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DKIM over whole messages: the record of a key up to the first NUL, then the message. Nobody
 * signed it here, so nothing passes; every signature has a result; and a body has the same digests
 * in one piece and in many.
 */
#include "fuzz.h"

#include <postern/arena.h>
#include <postern/text.h>

#include "../../modules/arc/arc.h"

enum { FIELDS_MAX = 1000 };

static const struct pn_dns_answer *answer_with(const struct pn_dns_question *question,
                                               struct pn_slice record, struct pn_arena *arena)
{
	struct pn_dns_answer *answer = PN_ARENA_NEW(arena, struct pn_dns_answer);
	struct pn_dns_record *records = PN_ARENA_ARRAY(arena, 1, struct pn_dns_record);

	records[0].value = record;
	answer->struct_size = sizeof(*answer);
	answer->record_size = sizeof(*records);
	answer->question = *question;
	answer->records = records;
	answer->record_count = 1;
	return answer;
}

static struct pn_slice fact_of(const struct pn_check_output *output, const char *key)
{
	for (size_t i = 0; i < output->fact_count; i++) {
		if (pn_slice_equal(output->facts[i].key, pn_slice_of(key)))
			return output->facts[i].value;
	}
	return PN_SLICE_NONE;
}

static void check(struct pn_check_input *input, struct pn_slice record, struct pn_arena *arena)
{
	struct pn_check_output output = {.struct_size = sizeof(output)};
	const struct pn_dns_answer *answers[FIELDS_MAX];
	enum pn_status status = arc_check.run(NULL, input, arena, &output, NULL);

	if (status == PN_PENDING) {
		require(output.question_count > 0 && output.question_count <= ARC_SETS_MAX + 1);
		for (size_t i = 0; i < output.question_count; i++)
			answers[i] = answer_with(&output.questions[i], record, arena);
		input->answers = answers;
		input->answer_count = output.question_count;
		output = (struct pn_check_output){.struct_size = sizeof(output)};
		status = arc_check.run(NULL, input, arena, &output, NULL);
	}
	require(status == PN_OK);
	require(!pn_slice_equal(fact_of(&output, "arc"), PN_SLICE("pass")));
	for (size_t i = 0; i < output.authentication_result.size; i++)
		require(output.authentication_result.data[i] >= 0x20 &&
		        output.authentication_result.data[i] <= 0x7e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice copy = exact_copy(rest_of(data, size));
	struct pn_slice message = copy;
	struct pn_slice record = pn_slice_cut(&message, '\0');
	struct pn_check_digest *digests;
	struct pn_header header;
	struct pn_check_input input = {
		.struct_size = sizeof(input), .now_ms = 1700000000000, .header = &header};

	if (pn_header_parse(message, FIELDS_MAX, arena, &header) == PN_OK) {
		struct pn_body_digester *digester;

		arc_check.wants(NULL, &input, arena, &digests, &input.digest_count);
		require(input.digest_count <= 1);
		digester = pn_body_digester_new(digests, input.digest_count);
		pn_body_digester_append(digester, pn_slice_behind(message, header.size));
		pn_body_digester_end(&digester);
		input.digests = digests;
		check(&input, record, arena);
	}
	free((void *)(uintptr_t)copy.data);
	pn_arena_free(&arena);
	return 0;
}
