/* SPDX-License-Identifier: Apache-2.0 */
/* Networks as text: "192.0.2.0/24", "2001:db8::/32", "192.0.2.1" for one address. Pure, any thread. */
#ifndef CORE_BASE_NETWORK_H
#define CORE_BASE_NETWORK_H

#include <postern/error.h>
#include <postern/types.h>

struct pn_network {
	bool is_ipv6;
	uint8_t address[16]; /* the first 4 of them, or all */
	uint8_t bits;        /* that must agree */
};

/* PN_FAILED with a sentence: not written so, or bits behind the prefix are set. */
PN_MUST_CHECK enum pn_status pn_network_parse(const char *text, struct pn_network *network_out,
					      struct pn_error *error);

/* Whether an address in text ("192.0.2.9", "2001:db8::1", "::ffff:192.0.2.9") lies in it. */
bool pn_network_has(const struct pn_network *network, const char *address);

#endif
