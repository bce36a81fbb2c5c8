/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What checks need of a transaction, and what they find: digests of the body as it goes by, facts,
 * and Authentication-Results.
 */
#include "delivery/transaction.h"

#include <postern/clock.h>
#include <postern/text.h>

#include <string.h>

/* Facts of that prefix are parts of the field, in the order in which they were set. */
#define PARTS "authentication_results."

/* ---- digests ---- */

static struct pn_check_digest *find_digest(const struct pn_transaction *transaction,
                                           bool is_relaxed, uint64_t limit)
{
	for (size_t i = 0; i < transaction->digest_count; i++) {
		if (transaction->digests[i].is_relaxed == is_relaxed &&
		    transaction->digests[i].limit == limit)
			return &transaction->digests[i];
	}
	return NULL;
}

enum pn_status pn_transaction_want_digest(struct pn_transaction *transaction, bool is_relaxed,
                                          uint64_t limit)
{
	if (transaction->body_has_begun || transaction->has_digests ||
	    transaction->step > PN_STEP_HEADERS)
		return PN_CONFLICT;
	if (find_digest(transaction, is_relaxed, limit) != NULL)
		return PN_OK;
	if (transaction->digest_count == PN_DIGESTS_MAX)
		return PN_LIMIT;
	if (transaction->digests == NULL)
		transaction->digests =
			PN_ARENA_ARRAY(transaction->arena, PN_DIGESTS_MAX, struct pn_check_digest);
	transaction->digests[transaction->digest_count++] =
		(struct pn_check_digest){.is_relaxed = is_relaxed, .limit = limit};
	return PN_OK;
}

const struct pn_check_digest *pn_transaction_digest(const struct pn_transaction *transaction,
                                                    bool is_relaxed, uint64_t limit)
{
	return transaction->has_digests ? find_digest(transaction, is_relaxed, limit) : NULL;
}

/* What is in memory and was not fed, then what came behind it. */
static void feed(struct pn_transaction *transaction)
{
	struct pn_slice text = pn_buffer_slice(&transaction->text);

	if (transaction->digester == NULL) {
		transaction->digester =
			pn_body_digester_new(transaction->digests, transaction->digest_count);
		transaction->digested = transaction->header_size;
	}
	if (transaction->digested < text.size)
		pn_body_digester_append(transaction->digester,
		                        pn_slice_behind(text, transaction->digested));
	transaction->digested = text.size;
	pn_body_digester_append(transaction->digester, pn_buffer_slice(&transaction->undigested));
	pn_buffer_clear(&transaction->undigested);
}

void pn_digests_feed(struct pn_transaction *transaction, struct pn_slice beyond)
{
	/* Hooks are still asked; who of them wants a digest is known when they have answered. */
	if (pn_ticket_is_open(transaction->body_ticket)) {
		if (pn_buffer_append(&transaction->undigested, beyond) != PN_OK)
			transaction->misses_digests = true;
		return;
	}
	transaction->body_has_begun = true;
	if (transaction->digest_count == 0) {
		pn_buffer_clear(&transaction->undigested);
		return;
	}
	feed(transaction);
	pn_body_digester_append(transaction->digester, beyond);
}

void pn_digests_finish(struct pn_transaction *transaction)
{
	if (transaction->digest_count == 0 || transaction->has_digests)
		return;
	feed(transaction);
	pn_body_digester_end(&transaction->digester);
	transaction->has_digests = !transaction->misses_digests;
}

void pn_digests_discard(struct pn_transaction *transaction)
{
	pn_body_digester_end(&transaction->digester);
	pn_buffer_clear(&transaction->undigested);
}

/* ---- results ---- */

void pn_transaction_set_results(struct pn_transaction *transaction, const char *check,
                                const struct pn_check_output *output)
{
	char *key = pn_arena_print(transaction->arena, PARTS "%s", check);

	for (size_t i = 0; i < output->fact_count; i++)
		pn_transaction_set_fact(transaction, output->facts[i].key, output->facts[i].value);
	pn_transaction_set_fact(transaction, pn_slice_of(key), output->authentication_result);
}

bool pn_transaction_next_fact(const struct pn_transaction *transaction, const void **cursor,
                              struct pn_slice *key_out, struct pn_slice *value_out)
{
	const struct pn_fact *fact =
		*cursor == NULL ? transaction->facts : ((const struct pn_fact *)*cursor)->next;

	*cursor = fact;
	if (fact == NULL)
		return false;
	*key_out = fact->key;
	*value_out = fact->value;
	return true;
}

/* The parts, last one first, as the list of facts is. */
static struct pn_slice join(const struct pn_fact *fact, struct pn_slice behind,
                            struct pn_arena *arena)
{
	const struct pn_slice prefix = PN_SLICE(PARTS);

	for (; fact != NULL; fact = fact->next) {
		if (fact->value.size > 0 && fact->key.size > prefix.size &&
		    memcmp(fact->key.data, prefix.data, prefix.size) == 0)
			behind = pn_slice_of(pn_arena_print(arena, "; %.*s%.*s",
			                                    PN_SLICE_ARGS(fact->value),
			                                    PN_SLICE_ARGS(behind)));
	}
	return behind;
}

struct pn_slice pn_transaction_authentication_results(const struct pn_transaction *transaction,
                                                      struct pn_slice name, struct pn_arena *arena)
{
	struct pn_slice parts = join(transaction->facts, PN_SLICE_NONE, arena);

	if (parts.size == 0)
		parts = PN_SLICE("; none");
	return pn_slice_of(
		pn_arena_print(arena, "%.*s%.*s", PN_SLICE_ARGS(name), PN_SLICE_ARGS(parts)));
}

/* ---- checks as hooks ---- */

/* What the check wants of this message: rows of its own, to be filled in. */
static struct pn_check_digest *list_wanted(const struct pn_check *check, const void *config,
                                           const struct pn_check_input *input,
                                           struct pn_arena *arena, size_t *count_out)
{
	struct pn_check_digest *digests = NULL;

	*count_out = 0;
	if (check->wants != NULL && input->header != NULL)
		check->wants(config, input, arena, &digests, count_out);
	return digests;
}

enum pn_status pn_check_prepare(const struct pn_check *check, const void *config,
                                const struct pn_stage_call *call)
{
	const struct pn_check_input input = {
		.struct_size = sizeof(input),
		.now_ms = pn_clock_wall_ms(),
		.header = pn_transaction_received_header(call->transaction),
	};
	enum pn_status status = PN_OK;
	size_t count;
	struct pn_check_digest *digests = list_wanted(check, config, &input, call->arena, &count);

	for (size_t i = 0; i < count && status == PN_OK; i++)
		status = pn_transaction_want_digest(call->transaction, digests[i].is_relaxed,
		                                    digests[i].limit);
	return status;
}

struct run {
	const struct pn_stage_call *call;
	const char *name;
};

static void done(void *user, enum pn_status status, const struct pn_check_output *output,
                 const struct pn_error *error)
{
	const struct run *run = user;

	if (status != PN_OK) {
		pn_hook_answer(run->call, pn_hook_failed(run->call, "%s", error->text));
		return;
	}
	pn_transaction_set_results(run->call->transaction, run->name, output);
	pn_hook_answer(run->call, PN_VERDICT_CONTINUE);
}

enum pn_verdict pn_check_run(const struct pn_check *check, const void *config,
                             const struct pn_stage_call *call, const struct pn_check_value *values,
                             size_t count, uint64_t deadline_ms)
{
	struct pn_check_input input = {
		.struct_size = sizeof(input),
		.now_ms = pn_clock_wall_ms(),
		.values = values,
		.value_count = count,
		.header = pn_transaction_received_header(call->transaction),
	};
	struct pn_check_digest *digests =
		list_wanted(check, config, &input, call->arena, &input.digest_count);
	struct run *run = PN_ARENA_NEW(call->arena, struct run);

	for (size_t i = 0; i < input.digest_count; i++) {
		const struct pn_check_digest *digest = pn_transaction_digest(
			call->transaction, digests[i].is_relaxed, digests[i].limit);

		if (digest == NULL)
			return pn_hook_failed(call, "there is no digest of the body for %s",
			                      check->name);
		digests[i] = *digest;
	}
	input.digests = digests;
	run->call = call;
	run->name = check->name;
	pn_check_start(check, config, &input, call->ticket, deadline_ms, done, run);
	return PN_VERDICT_PENDING;
}
