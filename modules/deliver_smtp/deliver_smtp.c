/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deliver_smtp: sends mail by SMTP (RFC 5321). Read it from the bottom: the module,
 * its options, its transport; carrier.c goes on from there.
 */
#include "options.h"

static const char *const tls_choices[] = {"never", "opportunistic", "required", "verified", NULL};

static const struct pn_option deliver_smtp_options[] = {
	PN_OPTION_COUNT(struct deliver_config, port, "25", .minimum_text = "1",
                        .maximum_text = "65535", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Port of hosts that MX records name."),
	PN_OPTION_CHOICE(struct deliver_config, tls, "opportunistic", .choices = tls_choices,
                         .flags = PN_OPTION_RELOADABLE,
                         .summary = "How far TLS must go where the route does not say it."),
	PN_OPTION_BOOL(struct deliver_config, requiretls_dnssec, "yes",
                       .flags = PN_OPTION_RELOADABLE,
                       .summary = "Mail that requires TLS (RFC 8689) goes to hosts that MX records "
                                  "name only where DNSSEC vouches for the records."),
	DELIVER_OPTIONS,
	PN_OPTION_TABLE_END,
};

static enum pn_status open_carrier(void *instance, struct pn_carrier *carrier,
                                   struct pn_error *error)
{
	return deliver_open(instance, carrier, DELIVER_SMTP, error);
}

static const struct pn_transport deliver_smtp_transport = {
	.struct_size = sizeof(struct pn_transport),
	.default_port = 25,
	.serves_mx = true,
	.max_recipients = DELIVER_RECIPIENTS_MAX,
	.open = open_carrier,
	.deliver = deliver_message,
	.close = deliver_close,
};

PN_MODULE(deliver_smtp, .version = "1.0", .summary = "Sends mail by SMTP.",
          .options = deliver_smtp_options, .config_size = sizeof(struct deliver_config),
          .transport = &deliver_smtp_transport, .check_config = deliver_check_config,
          .start = deliver_start, .prepare = deliver_prepare, .adopt = deliver_adopt,
          .abandon = deliver_abandon, .stop = deliver_stop, );
