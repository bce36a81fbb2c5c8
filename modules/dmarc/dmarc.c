/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module dmarc: the check, and the hook that runs it when SPF and DKIM have said what they have
 * to say. It decides nothing: what it found are facts.
 */
#include <postern/module.h>
#include <postern/network.h>
#include <postern/session.h>
#include <postern/text.h>
#include <postern/transaction.h>

#include "dmarc.h"

#include <stdio.h>

struct dmarc_config {
	struct pn_text_list exempt_networks;
	uint64_t deadline_ms;
};

/* Numbered facts of dkim, of which there are no more. */
enum { SIGNATURES_MAX = 100 };

/* ---- the hooks ---- */

/* Who authenticated writes in his own name, and servers of ours have checked what they pass on. */
static bool is_foreign(const struct dmarc_config *config, struct pn_session *session)
{
	return session != NULL && pn_session_identity(session).size == 0 &&
	       !pn_networks_have(&config->exempt_networks, pn_session_peer(session));
}

/* What others found, as values of the check. */
struct found {
	const struct pn_stage_call *call;
	char domains[2]
		    [8192]; /* separated by commas: for which DKIM passed; and what is in doubt */
	size_t sizes[2];
	bool is_unknown; /* somebody has not said what he was to say */
};

enum { PASSED = 0, DOUBTFUL };

static struct pn_slice fact(const struct found *found, const char *key)
{
	return pn_transaction_fact(found->call->transaction, pn_slice_of(key));
}

static void add_domain(struct found *found, int which, struct pn_slice domain)
{
	size_t room = sizeof(found->domains[which]) - found->sizes[which];

	if (domain.size == 0 || domain.size + 1 > room)
		return;
	memcpy(found->domains[which] + found->sizes[which], domain.data, domain.size);
	found->sizes[which] += domain.size;
	found->domains[which][found->sizes[which]++] = ',';
}

static struct pn_slice domains_of(const struct found *found, int which)
{
	size_t size = found->sizes[which];

	return pn_slice_make(found->domains[which], size == 0 ? 0 : size - 1);
}

static bool is_word(struct pn_slice value, const char *word)
{
	return pn_slice_equal(value, pn_slice_of(word));
}

/* A signature that does not cover the whole body says nothing of what people see. */
static void collect_signatures(struct found *found)
{
	for (unsigned number = 1; number <= SIGNATURES_MAX; number++) {
		struct pn_slice result, domain;
		char key[32];

		snprintf(key, sizeof(key), "dkim.%u", number);
		result = fact(found, key);
		if (result.data == NULL)
			return;
		snprintf(key, sizeof(key), "dkim.%u.domain", number);
		domain = fact(found, key);
		snprintf(key, sizeof(key), "dkim.%u.is_partial", number);
		if (is_word(result, "temperror"))
			add_domain(found, DOUBTFUL, domain);
		else if (is_word(result, "pass") && fact(found, key).size == 0)
			add_domain(found, PASSED, domain);
	}
}

static void collect(struct found *found)
{
	found->is_unknown = fact(found, "spf").size == 0 || fact(found, "dkim").size == 0;
	collect_signatures(found);
	if (is_word(fact(found, "spf"), "temperror"))
		add_domain(found, DOUBTFUL, fact(found, "spf.domain"));
}

/* There is no domain to ask about. */
static enum pn_verdict record_trouble(const struct pn_stage_call *call, const char *trouble)
{
	const struct pn_check_value facts[] = {
		{PN_SLICE("dmarc"), PN_SLICE("permerror")},
		{PN_SLICE("dmarc.from"), PN_SLICE("")},
		{PN_SLICE("dmarc.reason"), pn_slice_of(trouble)},
	};
	const struct pn_check_output output = {
		.struct_size = sizeof(output),
		.facts = facts,
		.fact_count = sizeof(facts) / sizeof(facts[0]),
		.authentication_result = PN_SLICE("dmarc=permerror"),
	};

	pn_transaction_set_results(call->transaction, "dmarc", &output);
	return PN_VERDICT_CONTINUE;
}

static enum pn_verdict check_from(const struct pn_stage_call *call)
{
	const struct dmarc_config *config = call->config;
	struct found *found;
	struct pn_slice domains;
	const char *trouble;

	if (!is_foreign(config, call->session))
		return PN_VERDICT_CONTINUE;
	trouble = dmarc_from(pn_transaction_received_header(call->transaction), call->arena,
	                     &domains);
	if (trouble != NULL)
		return record_trouble(call, trouble);
	found = PN_ARENA_NEW(call->arena, struct found);
	found->call = call;
	collect(found);
	const struct pn_check_value values[] = {
		{PN_SLICE("from"), domains},
		{PN_SLICE("spf"),
	         is_word(fact(found, "spf"), "pass") ? fact(found, "spf.domain") : PN_SLICE_NONE},
		{PN_SLICE("dkim"), domains_of(found, PASSED)},
		{PN_SLICE("doubtful"), domains_of(found, DOUBTFUL)},
		{PN_SLICE("unknown"), found->is_unknown ? PN_SLICE("yes") : PN_SLICE_NONE},
	};

	return pn_check_run(&dmarc_check, config, call, values, sizeof(values) / sizeof(values[0]),
	                    config->deadline_ms);
}

static const struct pn_hook dmarc_hooks[] = {
	{.stage = PN_STAGE_MESSAGE_DECIDE,
         .order = PN_ORDER_EARLY,
         .on_error = PN_ON_ERROR_CONTINUE,
         .wall_budget_ms = 30000,
         .summary =
                 "Asks what the domain in From wants done with what does not stand for it (DMARC).",
         .run = check_from},
	{.stage = PN_STAGE_NONE},
};

static enum pn_status check_config(const void *config, struct pn_error *error)
{
	const struct dmarc_config *own = config;

	return pn_networks_check(&own->exempt_networks, error);
}

static const struct pn_option dmarc_options[] = {
	PN_OPTION_LIST(struct dmarc_config, exempt_networks, "127.0.0.0/8 ::1 unix",
                       .flags = PN_OPTION_RELOADABLE,
                       .summary =
                               "Clients whose mail is not checked: servers of ours that pass mail "
                               "on, our own programs. Nor is that of those who authenticated."),
	PN_OPTION_DURATION(struct dmarc_config, deadline_ms, "10s", .flags = PN_OPTION_RELOADABLE,
                           .minimum_text = "100ms", .maximum_text = "25s",
                           .summary = "For its DNS questions; what is not answered by then is "
                                      "a temperror."),
	PN_OPTION_TABLE_END,
};

PN_MODULE(dmarc, .version = "1.0",
          .summary =
                  "DMARC: what the domain in From wants done with mail that it does not stand for.",
          .options = dmarc_options, .config_size = sizeof(struct dmarc_config),
          .hooks = dmarc_hooks, .check = &dmarc_check, .check_config = check_config, );
