/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DKIM over whole messages: the record of a key up to the first NUL, then the message. Nobody
 * signed it here, so nothing passes; every signature has a result; and a body has the same digests
 * in one piece and in many.
 */
#include "fuzz.h"

#include <postern/arena.h>
#include <postern/text.h>

#include "../../modules/dkim/dkim.h"

enum { FIELDS_MAX = 1000 };

static const struct dkim_config config = {.max_signatures = 5};

static void digest(struct pn_check_digest *digests, size_t count, struct pn_slice body, size_t step)
{
	struct pn_body_digester *digester = pn_body_digester_new(digests, count);

	while (body.size > 0) {
		size_t size = step < body.size ? step : body.size;

		pn_body_digester_append(digester, pn_slice_make(body.data, size));
		body = pn_slice_behind(body, size);
	}
	pn_body_digester_end(&digester);
	require(digester == NULL);
}

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
	enum pn_status status = dkim_check.run(&config, input, arena, &output, NULL);

	if (status == PN_PENDING) {
		require(output.question_count > 0 && output.question_count <= 5);
		for (size_t i = 0; i < output.question_count; i++)
			answers[i] = answer_with(&output.questions[i], record, arena);
		input->answers = answers;
		input->answer_count = output.question_count;
		output = (struct pn_check_output){.struct_size = sizeof(output)};
		status = dkim_check.run(&config, input, arena, &output, NULL);
	}
	require(status == PN_OK);
	require(!pn_slice_equal(fact_of(&output, "dkim"), PN_SLICE("pass")));
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
	struct pn_check_digest *again;
	struct pn_header header;
	struct pn_check_input input = {
		.struct_size = sizeof(input), .now_ms = 1700000000000, .header = &header};
	size_t count;

	if (pn_header_parse(message, FIELDS_MAX, arena, &header) == PN_OK) {
		struct pn_slice body = pn_slice_behind(message, header.size);

		dkim_check.wants(&config, &input, arena, &digests, &count);
		dkim_check.wants(&config, &input, arena, &again, &input.digest_count);
		require(count == input.digest_count && count <= 5);
		digest(digests, count, body, body.size + 1);
		digest(again, count, body, 1 + size % 7);
		for (size_t i = 0; i < count; i++)
			require(memcmp(digests[i].sha256, again[i].sha256, 32) == 0 &&
			        digests[i].length == again[i].length);
		input.digests = digests;
		check(&input, record, arena);
	}
	free((void *)(uintptr_t)copy.data);
	pn_arena_free(&arena);
	return 0;
}
