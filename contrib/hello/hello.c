/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hello: the smallest useful module. It writes one log line per connection.
 *
 * Read it from the bottom: PN_MODULE() is the table of contents.
 */
#include <postern/module.h>
#include <postern/session.h>

struct hello_config {
	const char *greeting;
	bool include_address;
};

static const struct pn_option hello_options[] = {
	PN_OPTION_STRING(struct hello_config, greeting, "hello", .flags = PN_OPTION_RELOADABLE,
                         .summary = "Word written to the log for each new connection."),
	PN_OPTION_BOOL(struct hello_config, include_address, "yes",
                       .summary = "Add the address of the client."),
	PN_OPTION_TABLE_END,
};

static enum pn_verdict greet(const struct pn_stage_call *call)
{
	const struct hello_config *config = call->config;

	if (config->include_address)
		pn_session_log(call->session, "%s, %s", config->greeting,
		               pn_session_peer(call->session));
	else
		pn_session_log(call->session, "%s", config->greeting);
	return PN_VERDICT_CONTINUE;
}

static const struct pn_hook hello_hooks[] = {
	{.stage = PN_STAGE_CONNECTION_OPEN,
         .order = PN_ORDER_EARLY,
         .run = greet,
         .summary = "Log a greeting."},
	{.stage = PN_STAGE_NONE},
};

PN_MODULE(hello, .version = "1.0", .summary = "Says hello in the log.", .options = hello_options,
          .config_size = sizeof(struct hello_config), .hooks = hello_hooks, );
