/* SPDX-License-Identifier: Apache-2.0 */
/* The module arc. */
#include <postern/module.h>

#include "arc.h"

PN_MODULE(arc, .version = "1.0",
          .summary = "ARC: what servers that mail has passed found out about it, sealed.",
          .check = &arc_check, );
