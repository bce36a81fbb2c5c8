/* SPDX-License-Identifier: Apache-2.0 */
/* The check: a chain as a whole, RFC 8617 section 5.2. Pure. */
#include <postern/text.h>

#include "arc.h"

enum { ROUNDS = 2, QUESTIONS = ARC_SETS_MAX + 1 };

struct verifying {
	const struct pn_check_input *input;
	struct pn_arena *arena;
	struct arc_chain chain;
	struct pn_dns_question questions[QUESTIONS];
	size_t question_count;
	bool is_trouble; /* DNS did not answer: nothing is known */
	const char *reason;
};

static const struct pn_dns_record *record_at(const struct pn_dns_answer *answer, size_t index)
{
	return (const struct pn_dns_record *)((const char *)answer->records +
	                                      index * answer->record_size);
}

/* NULL: not asked yet, and noted. */
static const struct pn_dns_answer *find_key(struct verifying *verifying, struct pn_slice domain,
                                            struct pn_slice selector)
{
	struct pn_dns_question question = {.type = PN_DNS_TXT};
	const struct pn_dns_answer *answer;

	question.name = pn_slice_of(pn_arena_print(verifying->arena, "%.*s._domainkey.%.*s",
	                                           PN_SLICE_ARGS(selector), PN_SLICE_ARGS(domain)));
	answer = pn_check_answer_to(verifying->input, &question);
	if (answer != NULL)
		return answer;
	for (size_t i = 0; i < verifying->question_count; i++) {
		if (pn_slice_equal_ignore_case(verifying->questions[i].name, question.name))
			return NULL;
	}
	verifying->questions[verifying->question_count++] = question;
	return NULL;
}

/* NULL: one of the keys has signed that. */
static const char *verify_with(struct verifying *verifying, const struct pn_dns_answer *answer,
                               enum dkim_algorithm algorithm, struct pn_slice text,
                               struct pn_slice signature)
{
	const char *trouble = "there is no such key";

	if (answer->outcome == PN_DNS_TROUBLE) {
		verifying->is_trouble = true;
		return "DNS does not answer";
	}
	for (size_t i = 0; i < answer->record_count && i < DKIM_KEYS_MAX; i++) {
		struct dkim_key key;
		bool is_key_wrong;

		trouble = dkim_key_parse(record_at(answer, i)->value, verifying->arena, &key);
		if (trouble == NULL && key.algorithm != algorithm)
			trouble = "the key is for another algorithm";
		if (trouble == NULL)
			trouble = dkim_verify_text(&key, text, signature, &is_key_wrong);
		if (trouble == NULL)
			return NULL;
	}
	return trouble;
}

static const char *verify_message(struct verifying *verifying)
{
	const struct arc_set *set = &verifying->chain.sets[verifying->chain.count];
	const struct dkim_signature *signature = &set->signature;
	const struct pn_check_digest *digest = verifying->input->digests;
	const struct pn_dns_answer *answer =
		find_key(verifying, signature->domain, signature->selector);
	struct pn_buffer text;
	const char *trouble = "the header is too large";

	if (answer == NULL)
		return NULL;
	if (signature->has_limit && signature->limit > digest->length)
		return "the body is shorter than what was signed";
	if (memcmp(signature->body_hash.data, digest->sha256, 32) != 0)
		return "the body was changed";
	pn_buffer_init(&text, DKIM_TEXT_MAX);
	if (dkim_put_header(&text, verifying->input->header, signature->names,
	                    signature->name_count, signature->field->whole,
	                    signature->relaxes_header) == PN_OK)
		trouble = verify_with(verifying, answer, signature->algorithm,
		                      pn_buffer_slice(&text), signature->value);
	pn_buffer_clear(&text);
	return trouble;
}

static const char *verify_seal(struct verifying *verifying, size_t instance)
{
	const struct arc_seal *seal = &verifying->chain.sets[instance].sealed;
	const struct pn_dns_answer *answer = find_key(verifying, seal->domain, seal->selector);
	struct pn_buffer text;
	const char *trouble = "the header is too large";

	if (answer == NULL)
		return NULL;
	pn_buffer_init(&text, DKIM_TEXT_MAX);
	if (arc_put_sealed(&text, &verifying->chain, instance) == PN_OK)
		trouble = verify_with(verifying, answer, seal->algorithm, pn_buffer_slice(&text),
		                      seal->value);
	pn_buffer_clear(&text);
	return trouble;
}

/* NULL: the chain is right, or answers are missing. */
static const char *verify(struct verifying *verifying)
{
	const char *trouble = verify_message(verifying);

	for (size_t i = verifying->chain.count; trouble == NULL && i >= 1; i--)
		trouble = verify_seal(verifying, i);
	return trouble;
}

static void put_output(struct verifying *verifying, const char *result,
                       struct pn_check_output *output)
{
	struct pn_arena *arena = verifying->arena;
	const struct arc_chain *chain = &verifying->chain;
	struct pn_slice domain = chain->sets[chain->count].sealed.domain;
	struct pn_check_value *facts = PN_ARENA_ARRAY(arena, 4, struct pn_check_value);

	if (!dkim_is_domain(domain))
		domain = PN_SLICE_NONE;
	facts[0] = (struct pn_check_value){PN_SLICE("arc"), pn_slice_of(result)};
	facts[1] = (struct pn_check_value){PN_SLICE("arc.count"),
	                                   pn_slice_of(pn_arena_print(arena, "%zu", chain->count))};
	facts[2] = (struct pn_check_value){PN_SLICE("arc.domain"), domain};
	facts[3] = (struct pn_check_value){
		PN_SLICE("arc.reason"),
		pn_slice_of(verifying->reason == NULL ? "" : verifying->reason)};
	output->facts = facts;
	output->fact_count = 4;
	output->authentication_result = pn_slice_of(pn_arena_print(arena, "arc=%s", result));
}

static enum pn_status run(const void *config, const struct pn_check_input *input,
                          struct pn_arena *arena, struct pn_check_output *output,
                          struct pn_error *error)
{
	struct verifying *verifying = PN_ARENA_NEW(arena, struct verifying);

	(void)config;
	if (input->header == NULL)
		return pn_fail(error, "there is no message");
	verifying->input = input;
	verifying->arena = arena;
	verifying->reason = arc_chain_read(input->header, arena, &verifying->chain);
	if (verifying->chain.count == 0) {
		verifying->reason = "nobody has sealed it";
		put_output(verifying, "none", output);
		return PN_OK;
	}
	if (verifying->reason == NULL && input->digest_count == 0)
		return pn_fail(error, "the digest of the body is not there");
	if (verifying->reason == NULL)
		verifying->reason = verify(verifying);
	if (verifying->reason == NULL && verifying->question_count > 0) {
		output->questions = verifying->questions;
		output->question_count = verifying->question_count;
		return PN_PENDING;
	}
	put_output(verifying,
	           verifying->is_trouble       ? "temperror"
	           : verifying->reason == NULL ? "pass"
	                                       : "fail",
	           output);
	return PN_OK;
}

static void wants(const void *config, const struct pn_check_input *input, struct pn_arena *arena,
                  struct pn_check_digest **digests_out, size_t *count_out)
{
	struct arc_chain *chain = PN_ARENA_NEW(arena, struct arc_chain);
	const struct dkim_signature *signature;

	(void)config;
	*count_out = 0;
	*digests_out = NULL;
	if (arc_chain_read(input->header, arena, chain) != NULL || chain->count == 0)
		return;
	signature = &chain->sets[chain->count].signature;
	*digests_out = PN_ARENA_NEW(arena, struct pn_check_digest);
	**digests_out = (struct pn_check_digest){.is_relaxed = signature->relaxes_body,
	                                         .limit = signature->has_limit ? signature->limit
	                                                                       : UINT64_MAX};
	*count_out = 1;
}

const struct pn_check arc_check = {
	.struct_size = sizeof(arc_check),
	.name = "arc",
	.max_rounds = ROUNDS,
	.max_questions = QUESTIONS,
	.run = run,
	.wants = wants,
	.sign = arc_sign,
};
