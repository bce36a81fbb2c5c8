/* SPDX-License-Identifier: Apache-2.0 */
/* The module dkim. */
#include <postern/module.h>

#include "dkim.h"

static const struct pn_option dkim_options[] = {
	PN_OPTION_COUNT(struct dkim_config, max_signatures, "10", .minimum_text = "1",
                        .maximum_text = "50", .flags = PN_OPTION_RELOADABLE,
                        .summary =
                                "Signatures of a message that are looked at, from the top; of the "
                                "others the result is policy."),
	PN_OPTION_TABLE_END,
};

PN_MODULE(dkim, .version = "1.0",
          .summary = "DKIM: whether a domain stands for a message, by its signatures.",
          .options = dkim_options, .config_size = sizeof(struct dkim_config),
          .check = &dkim_check, );
