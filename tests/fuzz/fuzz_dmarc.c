/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DMARC: the domain in From, those of SPF and DKIM, then records, a line each. It asks at most
 * twice for a domain, and passes only where one of those domains stands for that of From.
 * And all of it as From: what comes out are domains.
 */
#include "fuzz.h"

#include <postern/arena.h>
#include <postern/text.h>

#include "../../modules/dmarc/dmarc.h"

enum { RECORDS_MAX = 8, ANSWERS_MAX = 2 * DMARC_FROM_MAX };

static struct pn_slice fact_of(const struct pn_check_output *output, const char *key)
{
	for (size_t i = 0; i < output->fact_count; i++) {
		if (pn_slice_equal(output->facts[i].key, pn_slice_of(key)))
			return output->facts[i].value;
	}
	return PN_SLICE_NONE;
}

static void judge(struct pn_check_input *input, struct pn_slice records, struct pn_arena *arena)
{
	struct pn_check_output output;
	struct pn_dns_record rows[RECORDS_MAX];
	struct pn_dns_answer answers[ANSWERS_MAX];
	const struct pn_dns_answer *known[ANSWERS_MAX];
	size_t count = 0;
	size_t rounds = 0;
	enum pn_status status;

	while (count < RECORDS_MAX && records.size > 0)
		rows[count++].value = pn_slice_cut(&records, '\n');
	input->answers = known;
	while (output = (struct pn_check_output){.struct_size = sizeof(output)},
	       status = dmarc_check.run(NULL, input, arena, &output, NULL), status == PN_PENDING) {
		require(output.question_count >= 1);
		/* Nothing at the domain, everything at its organization: or all there, with one
		 * record. */
		for (size_t i = 0; i < output.question_count; i++) {
			require(input->answer_count < ANSWERS_MAX);
			known[input->answer_count] = &answers[input->answer_count];
			answers[input->answer_count] = (struct pn_dns_answer){
				.struct_size = sizeof(answers[0]),
				.record_size = sizeof(rows[0]),
				.question = output.questions[i],
				.records = rows,
				.record_count = rounds == 0 && count > 1 ? 0 : count,
			};
			input->answer_count++;
		}
		require(++rounds <= 2);
	}
	if (status != PN_OK)
		return;
	if (pn_slice_equal(fact_of(&output, "dmarc"), PN_SLICE("pass")))
		require(pn_slice_equal(fact_of(&output, "dmarc.is_spf_aligned"), PN_SLICE("yes")) ||
		        pn_slice_equal(fact_of(&output, "dmarc.is_dkim_aligned"), PN_SLICE("yes")));
	for (size_t i = 0; i < output.authentication_result.size; i++)
		require(output.authentication_result.data[i] >= 0x20 &&
		        output.authentication_result.data[i] <= 0x7e);
}

static void read_from(struct pn_slice value, struct pn_arena *arena)
{
	const struct pn_header_field field = {.name = PN_SLICE("From"), .value = value};
	const struct pn_header header = {.fields = &field, .count = 1};
	struct pn_slice domains = PN_SLICE_NONE;
	size_t count = 0;

	if (dmarc_from(&header, arena, &domains) != NULL)
		return;
	for (; domains.size > 0; count++) {
		struct pn_slice domain = pn_slice_cut(&domains, ',');

		require(pn_slice_equal(dmarc_domain(domain, arena), domain));
	}
	require(count >= 1 && count <= DMARC_FROM_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice copy = exact_copy(rest_of(data, size));
	struct pn_slice rest = copy;
	struct pn_check_value values[] = {
		{PN_SLICE("from"), pn_slice_cut(&rest, '\n')},
		{PN_SLICE("spf"), pn_slice_cut(&rest, '\n')},
		{PN_SLICE("dkim"), pn_slice_cut(&rest, '\n')},
	};
	struct pn_check_input input = {
		.struct_size = sizeof(input), .values = values, .value_count = 3};

	judge(&input, rest, arena);
	read_from(copy, arena);
	free((void *)(uintptr_t)copy.data);
	pn_arena_free(&arena);
	return 0;
}
