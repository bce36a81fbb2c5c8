/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module iprev: the check, and the hook that runs it at MAIL FROM: a connection that sends
 * nothing asks for nothing. It decides nothing: what it found are facts.
 */
#include <postern/module.h>
#include <postern/network.h>
#include <postern/session.h>
#include <postern/text.h>
#include <postern/transaction.h>

#include "iprev.h"

struct iprev_config {
	struct pn_text_list exempt_networks;
	uint64_t deadline_ms;
};

static bool is_foreign(const struct iprev_config *config, struct pn_session *session)
{
	return session != NULL && pn_session_identity(session).size == 0 &&
	       !pn_networks_have(&config->exempt_networks, pn_session_peer(session));
}

static enum pn_verdict check_client(const struct pn_stage_call *call)
{
	const struct iprev_config *config = call->config;

	if (!is_foreign(config, call->session))
		return PN_VERDICT_CONTINUE;
	const struct pn_check_value value = {PN_SLICE("ip"),
	                                     pn_slice_of(pn_session_peer(call->session))};

	return pn_check_run(&iprev_check, config, call, &value, 1, config->deadline_ms);
}

static const struct pn_hook iprev_hooks[] = {
	{.stage = PN_STAGE_ENVELOPE_SENDER,
         .order = PN_ORDER_EARLY,
         .on_error = PN_ON_ERROR_CONTINUE,
         .wall_budget_ms = 30000,
         .summary = "Asks whether the name of the client leads back to it.",
         .run = check_client},
	{.stage = PN_STAGE_NONE},
};

static enum pn_status check_config(const void *config, struct pn_error *error)
{
	const struct iprev_config *own = config;

	return pn_networks_check(&own->exempt_networks, error);
}

static const struct pn_option iprev_options[] = {
	PN_OPTION_LIST(struct iprev_config, exempt_networks, "127.0.0.0/8 ::1 unix",
                       .flags = PN_OPTION_RELOADABLE,
                       .summary = "Clients that are not asked about: servers of ours that pass "
                                  "mail on, our own programs. Nor are those who authenticated."),
	PN_OPTION_DURATION(struct iprev_config, deadline_ms, "10s", .flags = PN_OPTION_RELOADABLE,
                           .minimum_text = "100ms", .maximum_text = "25s",
                           .summary = "For its DNS questions; then the result is temperror."),
	PN_OPTION_TABLE_END,
};

PN_MODULE(iprev, .version = "1.0",
          .summary = "iprev: whether the name of a client leads back to its address.",
          .options = iprev_options, .config_size = sizeof(struct iprev_config),
          .hooks = iprev_hooks, .check = &iprev_check, .check_config = check_config, );
