/* SPDX-License-Identifier: Apache-2.0 */
/* The check: each DKIM-Signature of a message, RFC 6376 section 6. Pure. */
#include <postern/text.h>

#include "dkim.h"

#include <stdio.h>

enum {
	ROUNDS = 2,
	SIGNATURES_MOST = 50,
	SIGNATURES_TOLD = 100,
	FACTS_PER_SIGNATURE = 9,
	BEGIN_SIZE = 8
};

enum dkim_result {
	DKIM_PASS,
	DKIM_FAIL,
	DKIM_POLICY,
	DKIM_TEMPERROR,
	DKIM_PERMERROR,
};

/* RFC 8601 section 2.7.1. */
static const char *const result_names[] = {"pass", "fail", "policy", "temperror", "permerror"};

struct verdict {
	enum dkim_result result;
	const char *reason;
	struct dkim_signature signature;
	bool is_testing;
	const struct pn_check_digest *digest; /* of its body; NULL where it cannot be used */
};

static const char *result_name(enum dkim_result result)
{
	return result_names[result];
}

static size_t most_signatures(const void *config)
{
	const struct dkim_config *own = config;

	return own->max_signatures < SIGNATURES_MOST ? own->max_signatures : SIGNATURES_MOST;
}

/* The signatures from the top of the message down, parsed. More than may be are not looked at; and
 * of very many the last are not told at all: a message has room for so many facts. */
static size_t read_signatures(const void *config, const struct pn_check_input *input,
                              struct pn_arena *arena, struct verdict **verdicts_out)
{
	const struct pn_header *header = input->header;
	size_t most = most_signatures(config);
	size_t count = 0;
	size_t taken = 0;

	for (size_t i = 0; i < header->count && count < SIGNATURES_TOLD; i++)
		count += dkim_is_signature(&header->fields[i]);
	*verdicts_out = PN_ARENA_ARRAY(arena, count, struct verdict);
	for (size_t i = 0; i < header->count && taken < count; i++) {
		struct verdict *verdict = &(*verdicts_out)[taken];

		if (!dkim_is_signature(&header->fields[i]))
			continue;
		if (taken++ >= most) {
			verdict->result = DKIM_POLICY;
			verdict->reason = "there are too many signatures";
			continue;
		}
		verdict->reason =
			dkim_signature_parse(&header->fields[i], arena, &verdict->signature);
		verdict->result = verdict->reason == NULL ? DKIM_PASS : DKIM_PERMERROR;
	}
	return taken;
}

static void wants(const void *config, const struct pn_check_input *input, struct pn_arena *arena,
                  struct pn_check_digest **digests_out, size_t *count_out)
{
	struct verdict *verdicts;
	size_t count = read_signatures(config, input, arena, &verdicts);

	*digests_out = PN_ARENA_ARRAY(arena, count, struct pn_check_digest);
	*count_out = 0;
	for (size_t i = 0; i < count; i++) {
		const struct dkim_signature *signature = &verdicts[i].signature;

		if (verdicts[i].result != DKIM_PASS)
			continue;
		(*digests_out)[(*count_out)++] = (struct pn_check_digest){
			.is_relaxed = signature->relaxes_body,
			.limit = signature->has_limit ? signature->limit : UINT64_MAX};
	}
}

static const struct pn_dns_record *record_at(const struct pn_dns_answer *answer, size_t index)
{
	return (const struct pn_dns_record *)((const char *)answer->records +
	                                      index * answer->record_size);
}

static void conclude(struct verdict *verdict, enum dkim_result result, const char *reason)
{
	verdict->result = result;
	verdict->reason = reason;
}

/* With one key of those at its selector. */
static void judge_with(struct verdict *verdict, const struct pn_header *header,
                       struct pn_slice record, struct pn_arena *arena)
{
	const struct dkim_signature *signature = &verdict->signature;
	size_t at = pn_slice_find(signature->identity, '@');
	struct pn_buffer text;
	struct dkim_key key;
	bool is_key_wrong = false;
	const char *trouble = dkim_key_parse(record, arena, &key);

	if (trouble != NULL) {
		conclude(verdict, DKIM_PERMERROR, trouble);
		return;
	}
	verdict->is_testing = key.is_testing;
	if (key.algorithm != signature->algorithm) {
		conclude(verdict, DKIM_PERMERROR, "the key is for another algorithm");
		return;
	}
	if (key.is_strict &&
	    !pn_slice_equal_ignore_case(pn_slice_behind(signature->identity, at + 1),
	                                signature->domain)) {
		conclude(verdict, DKIM_PERMERROR, "the key is not for domains below its own");
		return;
	}
	pn_buffer_init(&text, DKIM_TEXT_MAX);
	if (dkim_put_header(&text, header, signature->names, signature->name_count,
	                    signature->field->whole, signature->relaxes_header) != PN_OK) {
		conclude(verdict, DKIM_PERMERROR, "the header is too large");
	} else {
		trouble = dkim_verify_text(&key, pn_buffer_slice(&text), signature->value,
		                           &is_key_wrong);
		conclude(verdict,
		         trouble == NULL ? DKIM_PASS
		         : is_key_wrong  ? DKIM_PERMERROR
		                         : DKIM_FAIL,
		         trouble == NULL ? "the signature is right" : trouble);
	}
	pn_buffer_clear(&text);
}

/* The body first: it costs nothing more, and no key makes it right. */
static bool is_body_right(struct verdict *verdict)
{
	const struct dkim_signature *signature = &verdict->signature;

	if (signature->has_limit && signature->limit > verdict->digest->length) {
		conclude(verdict, DKIM_FAIL, "the body is shorter than what was signed");
		return false;
	}
	if (memcmp(signature->body_hash.data, verdict->digest->sha256, 32) == 0)
		return true;
	conclude(verdict, DKIM_FAIL, "the body was changed");
	return false;
}

static void judge(struct verdict *verdict, const struct pn_check_input *input,
                  const struct pn_dns_answer *answer, struct pn_arena *arena)
{
	const struct dkim_signature *signature = &verdict->signature;
	char room[120];

	if (signature->has_expiry && input->now_ms / 1000 > 0 &&
	    signature->expires_s < (uint64_t)(input->now_ms / 1000)) {
		conclude(verdict, DKIM_FAIL, "it has expired");
		return;
	}
	if (answer->outcome == PN_DNS_TROUBLE) {
		conclude(verdict, DKIM_TEMPERROR,
		         pn_arena_print(arena, "DNS does not answer: %s",
		                        pn_text_printable(room, sizeof(room), answer->reason)));
		return;
	}
	if (answer->record_count == 0) {
		conclude(verdict, DKIM_PERMERROR, "there is no such key");
		return;
	}
	if (!is_body_right(verdict))
		return;
	for (size_t i = 0; i < answer->record_count && i < DKIM_KEYS_MAX; i++) {
		judge_with(verdict, input->header, record_at(answer, i)->value, arena);
		if (verdict->result == DKIM_PASS)
			return;
	}
}

/* ---- what is said ---- */

static struct pn_slice text_of(struct pn_arena *arena, const char *text)
{
	return pn_arena_keep(arena, pn_slice_of(text));
}

static void add_fact(struct pn_check_value *facts, size_t *count, struct pn_arena *arena,
                     size_t number, const char *key, struct pn_slice value)
{
	facts[*count].key = pn_slice_of(
		pn_arena_print(arena, "dkim.%zu%s%s", number, key[0] == '\0' ? "" : ".", key));
	facts[(*count)++].value = pn_arena_keep(arena, value);
}

/* A value of Authentication-Results: as it is where it may stand so, else nothing. */
static void put_property(struct pn_buffer *out, const char *name, struct pn_slice value)
{
	for (size_t i = 0; i < value.size; i++) {
		char byte = value.data[i];

		if (byte < 0x21 || byte > 0x7e || strchr("()<>,;:\\\"/[]?=", byte) != NULL)
			return;
	}
	if (value.size > 0)
		(void)!pn_buffer_print(out, " header.%s=%.*s", name, PN_SLICE_ARGS(value));
}

/* The beginning of b=, which tells signatures apart; of one that is no base64, nothing. */
static void put_begin(struct pn_buffer *out, struct pn_slice text)
{
	size_t size = 0;

	while (size < text.size && size < BEGIN_SIZE) {
		char byte = text.data[size];

		if (!((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
		      (byte >= '0' && byte <= '9') || byte == '+' || byte == '/' || byte == '='))
			return;
		size++;
	}
	/* It has signs that want quotes. */
	if (size > 0)
		(void)!pn_buffer_print(out, " header.b=\"%.*s\"", (int)size, text.data);
}

static void put_result(struct pn_buffer *out, const struct verdict *verdict)
{
	const struct dkim_signature *signature = &verdict->signature;

	(void)!pn_buffer_print(out, "%sdkim=%s", out->size == 0 ? "" : "; ",
	                       result_name(verdict->result));
	put_property(out, "d", signature->domain);
	put_property(out, "i", signature->identity);
	put_property(out, "s", signature->selector);
	if (signature->algorithm != 0)
		put_property(out, "a",
		             signature->algorithm == DKIM_RSA_SHA256 ? PN_SLICE("rsa-sha256")
		                                                     : PN_SLICE("ed25519-sha256"));
	put_begin(out, signature->value_text);
}

/* The best of all: one that is right is enough. */
static const char *overall(const struct verdict *verdicts, size_t count)
{
	static const enum dkim_result order[] = {DKIM_PASS, DKIM_TEMPERROR, DKIM_FAIL,
	                                         DKIM_PERMERROR, DKIM_POLICY};

	for (size_t place = 0; place < sizeof(order) / sizeof(order[0]); place++) {
		for (size_t i = 0; i < count; i++) {
			if (verdicts[i].result == order[place])
				return result_name(order[place]);
		}
	}
	return "none";
}

/* There is more of the body than what was signed. */
static bool is_partial(const struct verdict *verdict)
{
	return verdict->signature.has_limit && verdict->digest != NULL &&
	       verdict->digest->length > verdict->signature.limit;
}

static void put_output(const struct verdict *verdicts, size_t count, struct pn_arena *arena,
                       struct pn_check_output *output)
{
	struct pn_check_value *facts =
		PN_ARENA_ARRAY(arena, count * FACTS_PER_SIGNATURE + 2, struct pn_check_value);
	struct pn_buffer results;
	size_t facts_made = 0;

	pn_buffer_init(&results, 64 * 1024);
	facts[facts_made].key = PN_SLICE("dkim");
	facts[facts_made++].value = text_of(arena, overall(verdicts, count));
	facts[facts_made].key = PN_SLICE("dkim.count");
	facts[facts_made++].value = text_of(arena, pn_arena_print(arena, "%zu", count));
	for (size_t i = 0; i < count; i++) {
		const struct verdict *verdict = &verdicts[i];

		add_fact(facts, &facts_made, arena, i + 1, "",
		         pn_slice_of(result_name(verdict->result)));
		add_fact(facts, &facts_made, arena, i + 1, "reason", pn_slice_of(verdict->reason));
		if (verdict->result == DKIM_POLICY)
			continue;
		add_fact(facts, &facts_made, arena, i + 1, "domain", verdict->signature.domain);
		add_fact(facts, &facts_made, arena, i + 1, "selector", verdict->signature.selector);
		add_fact(facts, &facts_made, arena, i + 1, "identity", verdict->signature.identity);
		if (verdict->signature.has_limit)
			add_fact(facts, &facts_made, arena, i + 1, "is_limited", PN_SLICE("yes"));
		if (is_partial(verdict))
			add_fact(facts, &facts_made, arena, i + 1, "is_partial", PN_SLICE("yes"));
		if (verdict->is_testing)
			add_fact(facts, &facts_made, arena, i + 1, "is_testing", PN_SLICE("yes"));
		put_result(&results, verdict);
	}
	if (count > 0 && verdicts[count - 1].result == DKIM_POLICY)
		(void)!pn_buffer_append(&results, PN_SLICE("; dkim=policy"));
	if (count == 0)
		(void)!pn_buffer_append(&results, PN_SLICE("dkim=none"));
	output->facts = facts;
	output->fact_count = facts_made;
	output->authentication_result = pn_arena_keep(arena, pn_buffer_slice(&results));
	pn_buffer_clear(&results);
}

static enum pn_status run(const void *config, const struct pn_check_input *input,
                          struct pn_arena *arena, struct pn_check_output *output,
                          struct pn_error *error)
{
	struct pn_dns_question *questions;
	struct verdict *verdicts;
	size_t count;
	size_t digests = 0;

	if (input->header == NULL)
		return pn_fail(error, "there is no message");
	count = read_signatures(config, input, arena, &verdicts);
	questions = PN_ARENA_ARRAY(arena, count, struct pn_dns_question);
	for (size_t i = 0; i < count; i++) {
		const struct pn_dns_answer *answer;
		struct pn_dns_question question = {.type = PN_DNS_TXT};

		if (verdicts[i].result != DKIM_PASS)
			continue;
		if (digests == input->digest_count)
			return pn_fail(error, "the digests of the body are not there");
		verdicts[i].digest = &input->digests[digests++];
		question.name =
			pn_slice_of(pn_arena_print(arena, "%.*s._domainkey.%.*s",
		                                   PN_SLICE_ARGS(verdicts[i].signature.selector),
		                                   PN_SLICE_ARGS(verdicts[i].signature.domain)));
		answer = pn_check_answer_to(input, &question);
		if (answer == NULL)
			questions[output->question_count++] = question;
		else
			judge(&verdicts[i], input, answer, arena);
	}
	output->questions = questions;
	if (output->question_count > 0)
		return PN_PENDING;
	put_output(verdicts, count, arena, output);
	return PN_OK;
}

const struct pn_check dkim_check = {
	.struct_size = sizeof(dkim_check),
	.name = "dkim",
	.max_rounds = ROUNDS,
	.max_questions = SIGNATURES_MOST,
	.run = run,
	.wants = wants,
	.sign = dkim_sign,
};
