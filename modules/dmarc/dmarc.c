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

struct dmarc_config {
	struct pn_text_list exempt_networks;
	uint64_t deadline_ms;
};

/* As many as a message has room for. */
enum { FACTS_MAX = 1000 };

/* ---- the hooks ---- */

/* Who authenticated writes in his own name, and servers of ours have checked what they pass on. */
static bool is_foreign(const struct dmarc_config *config, struct pn_session *session)
{
	return session != NULL && pn_session_identity(session).size == 0 &&
	       !pn_networks_have(&config->exempt_networks, pn_session_peer(session));
}

/* What SPF and DKIM found, as values of the check. */
static const struct pn_check_value *list_facts(const struct pn_stage_call *call, size_t *count_out)
{
	struct pn_check_value *values =
		PN_ARENA_ARRAY(call->arena, FACTS_MAX, struct pn_check_value);
	const void *cursor = NULL;
	struct pn_slice key, value;
	size_t count = 0;

	while (count < FACTS_MAX &&
	       pn_transaction_next_fact(call->transaction, &cursor, &key, &value)) {
		if (pn_slice_starts_with_ignore_case(key, PN_SLICE("spf")) ||
		    pn_slice_starts_with_ignore_case(key, PN_SLICE("dkim")))
			values[count++] = (struct pn_check_value){key, value};
	}
	*count_out = count;
	return values;
}

static enum pn_verdict check_message(const struct pn_stage_call *call)
{
	const struct dmarc_config *config = call->config;
	const struct pn_check_value *values;
	size_t count;

	if (!is_foreign(config, call->session))
		return PN_VERDICT_CONTINUE;
	values = list_facts(call, &count);
	return pn_check_run(&dmarc_check, config, call, values, count, config->deadline_ms);
}

static const struct pn_hook dmarc_hooks[] = {
	{.stage = PN_STAGE_MESSAGE_DECIDE,
         .order = PN_ORDER_EARLY,
         .on_error = PN_ON_ERROR_CONTINUE,
         .wall_budget_ms = 30000,
         .summary =
                 "Asks what the domain in From wants done with what does not stand for it (DMARC).",
         .run = check_message},
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
