/* SPDX-License-Identifier: Apache-2.0 */
/* The check: RFC 7489 sections 3.1 and 6.6. Pure. */
#include <postern/text.h>

#include "dmarc.h"

#include <stdio.h>

enum { ROUNDS = 3, QUESTIONS = 2 * DMARC_FROM_MAX };

enum dmarc_result { DMARC_NONE, DMARC_PASS, DMARC_FAIL, DMARC_TEMPERROR, DMARC_PERMERROR };

static const char *const result_names[] = {"none", "pass", "fail", "temperror", "permerror"};

struct evaluation {
	const struct pn_check_input *input;
	struct pn_arena *arena;
	const struct dmarc_evidence *evidence;
	struct pn_slice from;
	struct pn_slice organization;
	struct pn_slice place; /* where the record was found */
	struct dmarc_record record;
	enum dmarc_result result;
	enum dmarc_policy policy; /* that applies */
	bool is_spf_aligned;
	bool is_dkim_aligned;
	const char *reason;
	struct pn_dns_question question;
};

static const struct pn_dns_record *record_at(const struct pn_dns_answer *answer, size_t index)
{
	return (const struct pn_dns_record *)((const char *)answer->records +
	                                      index * answer->record_size);
}

static enum pn_status end(struct evaluation *evaluation, enum dmarc_result result,
                          const char *reason)
{
	evaluation->result = result;
	evaluation->reason = reason;
	return PN_OK;
}

/* ---- the record (section 6.6.3) ---- */

/* PN_NOT_FOUND: none there. PN_OK: it is, or the evaluation has ended. */
static enum pn_status look_at(struct evaluation *evaluation, struct pn_slice domain,
                              struct pn_slice *text_out)
{
	const struct pn_dns_answer *answer;
	size_t count = 0;

	evaluation->question.type = PN_DNS_TXT;
	evaluation->question.name = pn_slice_of(
		pn_arena_print(evaluation->arena, "_dmarc.%.*s", PN_SLICE_ARGS(domain)));
	answer = pn_check_answer_to(evaluation->input, &evaluation->question);
	if (answer == NULL)
		return PN_PENDING;
	if (answer->outcome == PN_DNS_TROUBLE)
		return end(evaluation, DMARC_TEMPERROR, "DNS does not answer");
	for (size_t i = 0; i < answer->record_count; i++) {
		if (!dmarc_is_record(record_at(answer, i)->value))
			continue;
		*text_out = record_at(answer, i)->value;
		count++;
	}
	if (count > 1) {
		*text_out = PN_SLICE_NONE;
		return end(evaluation, DMARC_NONE, "the domain has several records");
	}
	evaluation->place = domain;
	return count == 1 ? PN_OK : PN_NOT_FOUND;
}

/* PN_OK with a text, or without one where that is the end. */
static enum pn_status find_record(struct evaluation *evaluation, struct pn_slice *text_out)
{
	enum pn_status status = look_at(evaluation, evaluation->from, text_out);

	if (status == PN_NOT_FOUND && !pn_slice_equal(evaluation->from, evaluation->organization))
		status = look_at(evaluation, evaluation->organization, text_out);
	if (status == PN_NOT_FOUND)
		return end(evaluation, DMARC_NONE, "the domain has no record");
	return status;
}

/* ---- alignment (section 3.1) ---- */

static bool is_aligned(const struct evaluation *evaluation, struct pn_slice text, bool is_strict)
{
	struct pn_slice domain = dmarc_domain(text, evaluation->arena);

	if (domain.size == 0)
		return false;
	if (is_strict)
		return pn_slice_equal(domain, evaluation->from);
	return pn_slice_equal(dmarc_organization(domain, evaluation->arena),
	                      evaluation->organization);
}

static bool any_is_aligned(const struct evaluation *evaluation, struct pn_slice rest,
                           bool is_strict)
{
	for (size_t i = 0; i < DMARC_DOMAINS_MAX && rest.size > 0; i++) {
		if (is_aligned(evaluation, pn_slice_trim(pn_slice_cut(&rest, ',')), is_strict))
			return true;
	}
	return false;
}

static enum pn_status evaluate(struct evaluation *evaluation)
{
	struct dmarc_record *record = &evaluation->record;
	struct pn_slice text = PN_SLICE_NONE;
	enum pn_status status = find_record(evaluation, &text);
	const char *trouble;

	if (status != PN_OK || text.size == 0)
		return status;
	trouble = dmarc_record_parse(text, record);
	if (trouble != NULL)
		return end(evaluation, DMARC_PERMERROR, trouble);
	evaluation->policy = record->policy;
	if (record->subdomain_policy != DMARC_POLICY_ABSENT &&
	    !pn_slice_equal(evaluation->place, evaluation->from))
		evaluation->policy = record->subdomain_policy;
	evaluation->is_spf_aligned =
		any_is_aligned(evaluation, evaluation->evidence->spf, record->is_spf_strict);
	evaluation->is_dkim_aligned =
		any_is_aligned(evaluation, evaluation->evidence->dkim, record->is_dkim_strict);
	if (evaluation->is_dkim_aligned)
		return end(evaluation, DMARC_PASS, "DKIM stands for the domain");
	if (evaluation->is_spf_aligned)
		return end(evaluation, DMARC_PASS, "SPF stands for the domain");
	/* What was not answered might have been a pass (section 6.6.2): nothing is held against it.
	 */
	if (any_is_aligned(evaluation, evaluation->evidence->doubtful, false))
		return end(evaluation, DMARC_TEMPERROR,
		           "DNS did not answer for what could stand for it");
	if (evaluation->evidence->is_unknown)
		return end(evaluation, DMARC_TEMPERROR, "SPF or DKIM is not known");
	return end(evaluation, DMARC_FAIL, "nothing stands for the domain");
}

/* ---- what is said ---- */

static void put_output(const struct evaluation *evaluation, struct pn_check_output *output)
{
	struct pn_arena *arena = evaluation->arena;
	const char *result = result_names[evaluation->result];
	const char *policy = dmarc_policy_name(evaluation->policy);
	bool has_policy = evaluation->policy != DMARC_POLICY_ABSENT;
	const struct pn_check_value facts[] = {
		{PN_SLICE("dmarc"), pn_slice_of(result)},
		{PN_SLICE("dmarc.from"), evaluation->from},
		{PN_SLICE("dmarc.policy"), pn_slice_of(policy)},
		{PN_SLICE("dmarc.domain"), has_policy ? evaluation->place : PN_SLICE_NONE},
		{PN_SLICE("dmarc.percent"),
	         has_policy ? pn_slice_of(pn_arena_print(arena, "%u", evaluation->record.percent))
	                    : PN_SLICE_NONE},
		{PN_SLICE("dmarc.is_spf_aligned"),
	         evaluation->is_spf_aligned ? PN_SLICE("yes") : PN_SLICE("no")},
		{PN_SLICE("dmarc.is_dkim_aligned"),
	         evaluation->is_dkim_aligned ? PN_SLICE("yes") : PN_SLICE("no")},
		{PN_SLICE("dmarc.reason"), pn_slice_of(evaluation->reason)},
	};
	struct pn_check_value *copy =
		PN_ARENA_ARRAY(arena, sizeof(facts) / sizeof(facts[0]), struct pn_check_value);

	memcpy(copy, facts, sizeof(facts));
	output->facts = copy;
	output->fact_count = sizeof(facts) / sizeof(facts[0]);
	output->authentication_result = pn_slice_of(
		has_policy ? pn_arena_print(arena, "dmarc=%s policy.dmarc=%s header.from=%.*s",
	                                    result, policy, PN_SLICE_ARGS(evaluation->from))
			   : pn_arena_print(arena, "dmarc=%s header.from=%.*s", result,
	                                    PN_SLICE_ARGS(evaluation->from)));
}

/* There is no domain to ask about. */
static void put_trouble(const char *trouble, struct pn_arena *arena, struct pn_check_output *output)
{
	struct pn_check_value *facts = PN_ARENA_ARRAY(arena, 3, struct pn_check_value);

	facts[0] = (struct pn_check_value){PN_SLICE("dmarc"), PN_SLICE("permerror")};
	facts[1] = (struct pn_check_value){PN_SLICE("dmarc.from"), PN_SLICE("")};
	facts[2] = (struct pn_check_value){PN_SLICE("dmarc.reason"), pn_slice_of(trouble)};
	output->facts = facts;
	output->fact_count = 3;
	output->authentication_result = PN_SLICE("dmarc=permerror");
}

/* ---- several domains (section 6.6.1) ---- */

/* How much there is to hold against a message; the worst of its domains speaks for it. */
static unsigned gravity(const struct evaluation *evaluation)
{
	switch (evaluation->result) {
	case DMARC_FAIL:
		return evaluation->policy == DMARC_POLICY_REJECT       ? 6
		       : evaluation->policy == DMARC_POLICY_QUARANTINE ? 5
		                                                       : 3;
	case DMARC_TEMPERROR:
		return 4;
	case DMARC_PERMERROR:
		return 2;
	case DMARC_NONE:
		return 1;
	default:
		return 0;
	}
}

static enum pn_status evaluate_domain(struct evaluation *evaluation,
                                      const struct pn_check_input *input,
                                      const struct dmarc_evidence *evidence, struct pn_slice domain,
                                      struct pn_arena *arena)
{
	evaluation->input = input;
	evaluation->evidence = evidence;
	evaluation->arena = arena;
	evaluation->from = dmarc_domain(domain, arena);
	if (evaluation->from.size == 0)
		return PN_FAILED;
	evaluation->organization = dmarc_organization(evaluation->from, arena);
	return evaluate(evaluation);
}

static enum pn_status run(const void *config, const struct pn_check_input *input,
                          struct pn_arena *arena, struct pn_check_output *output,
                          struct pn_error *error)
{
	struct evaluation *evaluations = PN_ARENA_ARRAY(arena, DMARC_FROM_MAX, struct evaluation);
	struct pn_dns_question *questions =
		PN_ARENA_ARRAY(arena, DMARC_FROM_MAX, struct pn_dns_question);
	const struct evaluation *worst = evaluations;
	struct dmarc_evidence evidence;
	const char *trouble = dmarc_collect(input, arena, &evidence);
	struct pn_slice rest = evidence.from;

	(void)config;
	if (trouble != NULL) {
		put_trouble(trouble, arena, output);
		return PN_OK;
	}
	for (size_t i = 0; i < DMARC_FROM_MAX && (i == 0 || rest.size > 0); i++) {
		struct pn_slice domain = pn_slice_trim(pn_slice_cut(&rest, ','));
		enum pn_status status =
			evaluate_domain(&evaluations[i], input, &evidence, domain, arena);

		if (status == PN_FAILED)
			return pn_fail(error, "the domain of From is none");
		if (status == PN_PENDING)
			questions[output->question_count++] = evaluations[i].question;
		else if (gravity(&evaluations[i]) > gravity(worst))
			worst = &evaluations[i];
	}
	if (rest.size > 0)
		return pn_fail(error, "From has too many domains");
	output->questions = questions;
	if (output->question_count > 0)
		return PN_PENDING;
	put_output(worst, output);
	return PN_OK;
}

const struct pn_check dmarc_check = {
	.struct_size = sizeof(dmarc_check),
	.name = "dmarc",
	.max_rounds = ROUNDS,
	.max_questions = QUESTIONS,
	.run = run,
};
