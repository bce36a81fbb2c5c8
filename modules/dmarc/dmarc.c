/* SPDX-License-Identifier: Apache-2.0 */
/* The module dmarc. */
#include <postern/module.h>

#include "dmarc.h"

PN_MODULE(dmarc, .version = "1.0",
          .summary =
                  "DMARC: what the domain in From wants done with mail that it does not stand for.",
          .check = &dmarc_check, );
