/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module spf: the check, and the hook that runs it at MAIL FROM. It decides nothing: what it
 * found are facts for policy.
 */
#include <postern/module.h>
#include <postern/network.h>
#include <postern/session.h>
#include <postern/text.h>
#include <postern/transaction.h>

#include "spf.h"

#include <stddef.h>
#include <stdio.h>

struct spf_config {
	struct pn_text_list exempt_networks;
	uint64_t deadline_ms;
	uint32_t max_lookups;
	uint32_t max_void_lookups;
};

/* ---- the check ---- */

static struct pn_slice keep(struct pn_arena *arena, const char *text)
{
	return pn_arena_keep(arena, pn_slice_of(text));
}

/* A domain that may stand in Authentication-Results without quotes. */
static bool is_plain(struct pn_slice domain)
{
	for (size_t i = 0; i < domain.size; i++) {
		char byte = domain.data[i];

		if (!((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
		      (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_'))
			return false;
	}
	return domain.size > 0;
}

/* RFC 8601 section 2.7.2. */
static struct pn_slice result_field(const struct spf_answer *answer, struct pn_arena *arena)
{
	const char *result = spf_result_name(answer->result);

	if (!is_plain(answer->domain))
		return pn_slice_of(pn_arena_print(arena, "spf=%s", result));
	return pn_slice_of(pn_arena_print(arena, "spf=%s smtp.%s=%.*s", result,
	                                  answer->is_helo ? "helo" : "mailfrom",
	                                  PN_SLICE_ARGS(answer->domain)));
}

static void put_facts(const struct spf_answer *answer, struct pn_arena *arena,
                      struct pn_check_output *output)
{
	const struct pn_check_value facts[] = {
		{PN_SLICE("spf"), pn_slice_of(spf_result_name(answer->result))},
		{PN_SLICE("spf.identity"),
	         answer->is_helo ? PN_SLICE("helo") : PN_SLICE("mail_from")},
		{PN_SLICE("spf.domain"), pn_arena_keep(arena, answer->domain)},
		{PN_SLICE("spf.reason"), keep(arena, answer->reason)},
		{PN_SLICE("spf.explanation"), pn_arena_keep(arena, answer->explanation)},
	};
	struct pn_check_value *copy =
		PN_ARENA_ARRAY(arena, sizeof(facts) / sizeof(facts[0]), struct pn_check_value);

	memcpy(copy, facts, sizeof(facts));
	output->facts = copy;
	output->fact_count = sizeof(facts) / sizeof(facts[0]);
	output->authentication_result = result_field(answer, arena);
}

static enum pn_status run(const void *config, const struct pn_check_input *input,
                          struct pn_arena *arena, struct pn_check_output *output,
                          struct pn_error *error)
{
	const struct spf_config *own = config;
	struct spf_request request = {
		.helo = pn_check_value_of(input, PN_SLICE("helo")),
		.mail_from = pn_check_value_of(input, PN_SLICE("mail_from")),
		.receiver = pn_check_value_of(input, PN_SLICE("receiver")),
		.now_s = input->now_ms / 1000,
		.max_terms = own->max_lookups,
		.max_void = own->max_void_lookups,
		.input = input,
	};
	struct pn_slice ip = pn_check_value_of(input, PN_SLICE("ip"));
	struct spf_answer answer;

	if (!spf_address_parse(ip, &request))
		return pn_fail(error, "\"%.*s\" is not an IP address", PN_SLICE_ARGS(ip));
	spf_evaluate(&request, arena, &answer);
	if (answer.result == SPF_PENDING) {
		output->questions = answer.questions;
		output->question_count = answer.question_count;
		return PN_PENDING;
	}
	put_facts(&answer, arena, output);
	return PN_OK;
}

static const struct pn_check spf_check = {
	.struct_size = sizeof(spf_check),
	.name = "spf",
	.max_rounds = 40,
	.max_questions = 256,
	.run = run,
};

/* ---- the hook ---- */

/* Our own users, and servers that pass mail on to us, do not come from the hosts that the domain of
 * a sender names. */
static bool is_foreign(const struct spf_config *config, struct pn_session *session)
{
	return pn_session_identity(session).size == 0 &&
	       !pn_networks_have(&config->exempt_networks, pn_session_peer(session));
}

static enum pn_verdict check_sender(const struct pn_stage_call *call)
{
	const struct spf_config *config = call->config;
	const struct pn_check_value values[] = {
		{PN_SLICE("ip"), pn_slice_of(pn_session_peer(call->session))},
		{PN_SLICE("helo"), pn_session_hello(call->session)},
		{PN_SLICE("mail_from"), pn_transaction_sender(call->transaction)->text},
		{PN_SLICE("receiver"), pn_slice_of(pn_session_hostname(call->session))},
	};

	if (!is_foreign(config, call->session))
		return PN_VERDICT_CONTINUE;
	return pn_check_run(&spf_check, config, call, values, sizeof(values) / sizeof(values[0]),
	                    config->deadline_ms);
}

static const struct pn_hook spf_hooks[] = {
	{.stage = PN_STAGE_ENVELOPE_SENDER,
         .order = PN_ORDER_EARLY,
         .on_error = PN_ON_ERROR_CONTINUE,
         .wall_budget_ms = 30000,
         .summary = "Asks whether the client may send in the name of the sender's domain (SPF).",
         .run = check_sender},
	{.stage = PN_STAGE_NONE},
};

static enum pn_status check_config(const void *config, struct pn_error *error)
{
	const struct spf_config *own = config;

	return pn_networks_check(&own->exempt_networks, error);
}

static const struct pn_option spf_options[] = {
	PN_OPTION_LIST(struct spf_config, exempt_networks, "127.0.0.0/8 ::1 unix",
                       .flags = PN_OPTION_RELOADABLE,
                       .summary =
                               "Clients that are not asked about: servers of ours that pass mail "
                               "on, our own programs. Nor are those who authenticated."),
	PN_OPTION_DURATION(struct spf_config, deadline_ms, "20s", .flags = PN_OPTION_RELOADABLE,
                           .minimum_text = "100ms", .maximum_text = "25s",
                           .summary = "For all of its DNS questions; then the result is "
                                      "temperror (RFC 7208 section 4.6.4)."),
	PN_OPTION_COUNT(struct spf_config, max_lookups, "10", .flags = PN_OPTION_RELOADABLE,
                        .minimum_text = "1", .maximum_text = "30",
                        .summary = "Terms of records that may ask DNS, in one check; more are a "
                                   "permerror."),
	PN_OPTION_COUNT(struct spf_config, max_void_lookups, "2", .flags = PN_OPTION_RELOADABLE,
                        .minimum_text = "1", .maximum_text = "30",
                        .summary = "Of those: how many may find nothing."),
	PN_OPTION_TABLE_END,
};

PN_MODULE(spf, .version = "1.0",
          .summary = "SPF: whether a host may send mail in the name of a domain.",
          .options = spf_options, .config_size = sizeof(struct spf_config), .hooks = spf_hooks,
          .check = &spf_check, .check_config = check_config, );
