/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module authentication_results: takes away the fields that claim to be ours before anybody
 * looks at them, and writes our own.
 */
#include <postern/address.h>
#include <postern/module.h>
#include <postern/network.h>
#include <postern/session.h>
#include <postern/text.h>
#include <postern/transaction.h>

#include "authentication_results.h"

#include <stddef.h>

#define FIELD PN_SLICE("Authentication-Results")

struct authentication_results_config {
	const char *name;
	struct pn_text_list exempt_networks;
};

static struct pn_slice name_of(const struct pn_stage_call *call)
{
	const struct authentication_results_config *config = call->config;

	return pn_slice_of(config->name[0] != '\0' ? config->name
	                                           : pn_session_hostname(call->session));
}

/* RFC 8601 section 5: nobody else writes them, so whoever did lies. */
static enum pn_verdict remove_foreign(const struct pn_stage_call *call)
{
	const struct authentication_results_config *config = call->config;
	const struct pn_header *header = pn_transaction_received_header(call->transaction);
	size_t index = 0;

	if (call->session == NULL ||
	    pn_networks_have(&config->exempt_networks, pn_session_peer(call->session)))
		return PN_VERDICT_CONTINUE;
	for (size_t i = 0; i < header->count; i++) {
		if (!pn_slice_equal_ignore_case(header->fields[i].name, FIELD))
			continue;
		if (!authentication_results_is_of(header->fields[i].value, name_of(call)))
			index++;
		else if (pn_transaction_header_remove(call->transaction, FIELD, index) != PN_OK)
			return pn_refuse(call, 550, "5.6.0",
			                 "too many fields claim to be written by us");
	}
	return PN_VERDICT_CONTINUE;
}

static enum pn_verdict add(const struct pn_stage_call *call)
{
	struct pn_slice value, empty;

	if (call->session == NULL)
		return PN_VERDICT_CONTINUE;
	value = pn_transaction_authentication_results(call->transaction, name_of(call),
	                                              call->arena);
	empty = pn_slice_of(
		pn_arena_print(call->arena, "%.*s; none", PN_SLICE_ARGS(name_of(call))));
	if (pn_slice_equal(value, empty))
		return PN_VERDICT_CONTINUE;
	if (pn_transaction_header_add(call->transaction, FIELD, value) != PN_OK)
		return pn_hook_failed(call, "the field cannot be written");
	return PN_VERDICT_CONTINUE;
}

static const struct pn_hook authentication_results_hooks[] = {
	{.stage = PN_STAGE_MESSAGE_HEADERS,
         .order = PN_ORDER_EARLY,
         .on_error = PN_ON_ERROR_DEFER,
         .summary = "Removes Authentication-Results fields that claim to be ours.",
         .run = remove_foreign},
	{.stage = PN_STAGE_MESSAGE_CHANGE,
         .order = PN_ORDER_EARLY,
         .on_error = PN_ON_ERROR_CONTINUE,
         .summary = "Writes what checks found into an Authentication-Results field.",
         .run = add},
	{.stage = PN_STAGE_NONE},
};

static enum pn_status check_config(const void *config, struct pn_error *error)
{
	const struct authentication_results_config *own = config;

	if (own->name[0] != '\0' && !pn_domain_is_valid(pn_slice_of(own->name), false))
		return pn_fail(
			error,
			"name = \"%s\" is no domain name, which the field's authserv-id should be",
			own->name);
	return pn_networks_check(&own->exempt_networks, error);
}

static const struct pn_option authentication_results_options[] = {
	PN_OPTION_STRING(
		struct authentication_results_config, name, "", .flags = PN_OPTION_RELOADABLE,
		.summary = "The name under which we write (RFC 8601's authserv-id), and which "
			   "nobody else may use; the host's name where it is empty. Several "
			   "gateways may share one."),
	PN_OPTION_LIST(struct authentication_results_config, exempt_networks,
                       "127.0.0.0/8 ::1 unix", .flags = PN_OPTION_RELOADABLE,
                       .summary =
                               "Clients whose fields of our name are kept: servers of ours, where "
                               "several share the name; filters that hand mail back."),
	PN_OPTION_TABLE_END,
};

PN_MODULE(authentication_results, .version = "1.0",
          .summary = "Authentication-Results: what checks found, for those who read the mail.",
          .options = authentication_results_options,
          .config_size = sizeof(struct authentication_results_config),
          .hooks = authentication_results_hooks, .check_config = check_config, );
