/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deliver_lmtp: hands mail to a server behind this one by LMTP (RFC 2033). The code
 * is that of deliver_smtp; here are the module, its options and its transport.
 */
#include "../deliver_smtp/options.h"

static const char *const tls_choices[] = {"never",    "opportunistic", "required",
                                          "verified", "automatic",     NULL};

static const struct pn_option deliver_lmtp_options[] = {
	PN_OPTION_CHOICE(struct deliver_config, tls, "automatic", .choices = tls_choices,
                         .flags = PN_OPTION_RELOADABLE,
                         .summary = "How far TLS must go where the route does not say it; "
                                    "automatic: never on Unix sockets and loopback addresses, "
                                    "elsewhere where it is offered."),
	DELIVER_OPTIONS,
	PN_OPTION_TABLE_END,
};

static enum pn_status open_carrier(void *instance, struct pn_carrier *carrier,
                                   struct pn_error *error)
{
	return deliver_open(instance, carrier, DELIVER_LMTP, error);
}

static const struct pn_transport deliver_lmtp_transport = {
	.struct_size = sizeof(struct pn_transport),
	.default_port = 24,
	.serves_mx = false,
	.max_recipients = DELIVER_RECIPIENTS_MAX,
	.open = open_carrier,
	.deliver = deliver_message,
	.close = deliver_close,
};

PN_MODULE(deliver_lmtp, .version = "1.0", .summary = "Hands mail on by LMTP.",
          .options = deliver_lmtp_options, .config_size = sizeof(struct deliver_config),
          .transport = &deliver_lmtp_transport, .check_config = deliver_check_config,
          .start = deliver_start, .prepare = deliver_prepare, .adopt = deliver_adopt,
          .abandon = deliver_abandon, .stop = deliver_stop, );
