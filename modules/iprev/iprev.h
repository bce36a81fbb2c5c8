/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the name of an address leads back to it (RFC 8601 section 3). Pure. */
#ifndef IPREV_H
#define IPREV_H

#include <postern/check.h>

enum { IPREV_NAMES_MAX = 10 }; /* of those that an address has; the others are not looked at */

extern const struct pn_check iprev_check;

#endif
