/* SPDX-License-Identifier: Apache-2.0 */
/* The module dkim: the check, and the hooks that run it. It decides nothing: what it found are
 * facts. */
#include <postern/module.h>
#include <postern/network.h>
#include <postern/session.h>
#include <postern/transaction.h>

#include "dkim.h"

/* ---- the hooks ---- */

/* Who authenticated writes in his own name, and servers of ours have checked what they pass on. */
static bool is_foreign(const struct dkim_config *config, struct pn_session *session)
{
	return session != NULL && pn_session_identity(session).size == 0 &&
	       !pn_networks_have(&config->exempt_networks, pn_session_peer(session));
}

static enum pn_verdict prepare(const struct pn_stage_call *call)
{
	const struct dkim_config *config = call->config;

	if (!is_foreign(config, call->session))
		return PN_VERDICT_CONTINUE;
	if (pn_check_prepare(&dkim_check, config, call) != PN_OK)
		return pn_hook_failed(call, "its signatures want too many digests of the body");
	return PN_VERDICT_CONTINUE;
}

static enum pn_verdict check_message(const struct pn_stage_call *call)
{
	const struct dkim_config *config = call->config;

	if (!is_foreign(config, call->session))
		return PN_VERDICT_CONTINUE;
	return pn_check_run(&dkim_check, config, call, NULL, 0, config->deadline_ms);
}

static const struct pn_hook dkim_hooks[] = {
	{.stage = PN_STAGE_MESSAGE_HEADERS,
         .order = PN_ORDER_EARLY,
         .on_error = PN_ON_ERROR_CONTINUE,
         .summary = "Says which digests of the body its signatures are about.",
         .run = prepare},
	{.stage = PN_STAGE_MESSAGE_SCAN,
         .order = PN_ORDER_EARLY,
         .on_error = PN_ON_ERROR_CONTINUE,
         .wall_budget_ms = 30000,
         .summary = "Verifies the signatures of the message (DKIM).",
         .run = check_message},
	{.stage = PN_STAGE_NONE},
};

static enum pn_status check_config(const void *config, struct pn_error *error)
{
	const struct dkim_config *own = config;

	return pn_networks_check(&own->exempt_networks, error);
}

static const struct pn_option dkim_options[] = {
	PN_OPTION_LIST(struct dkim_config, exempt_networks, "127.0.0.0/8 ::1 unix",
                       .flags = PN_OPTION_RELOADABLE,
                       .summary =
                               "Clients whose mail is not checked: servers of ours that pass mail "
                               "on, our own programs. Nor is that of those who authenticated."),
	PN_OPTION_DURATION(struct dkim_config, deadline_ms, "15s", .flags = PN_OPTION_RELOADABLE,
                           .minimum_text = "100ms", .maximum_text = "25s",
                           .summary = "For its DNS questions; what is not answered by then is "
                                      "a temperror."),
	PN_OPTION_COUNT(struct dkim_config, max_signatures, "10", .minimum_text = "1",
                        .maximum_text = "50", .flags = PN_OPTION_RELOADABLE,
                        .summary =
                                "Signatures of a message that are looked at, from the top; of the "
                                "others the result is policy."),
	PN_OPTION_TABLE_END,
};

PN_MODULE(dkim, .version = "1.0",
          .summary = "DKIM: whether a domain stands for a message, by its signatures.",
          .options = dkim_options, .config_size = sizeof(struct dkim_config), .hooks = dkim_hooks,
          .check = &dkim_check, .check_config = check_config, );
