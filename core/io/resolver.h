/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver: libunbound on a thread of its own, DNSSEC validated with the
 * system's trust anchor, cache bounded. Or a zone file, for tests and checks:
 * lines "name TTL IN TYPE rdata", with TIMEOUT or SERVFAIL as rdata for a name that
 * does not answer. It starts with the first question. Loop thread.
 *
 * Many networks have resolvers that do not pass signatures on. With PN_DNSSEC_AUTO an
 * answer that fails is held back until the key of the root was asked for: where that
 * cannot be validated either, answers are taken without validation (and are not
 * `secure`) for an hour, and the log says so. Where it can, the answer is refused.
 */
#ifndef CORE_IO_RESOLVER_H
#define CORE_IO_RESOLVER_H

#include <postern/dns.h>
#include <postern/error.h>
#include <postern/option.h>

enum pn_dnssec {
	PN_DNSSEC_AUTO = 0,
	PN_DNSSEC_OFF,
	PN_DNSSEC_REQUIRED, /* what fails validation is trouble; zones without signatures are as ever */
};

struct pn_resolver_settings {
	struct pn_text_list servers; /* addresses; empty: /etc/resolv.conf */
	const char *zone_file;       /* or "" */
	enum pn_dnssec dnssec;
	const char *trust_anchor;    /* file with the keys of the root; not there: no validation */
	uint64_t deadline_ms;
};

/* Once, at start. Texts must live as long as the process. PN_FAILED: zone file unreadable. */
PN_MUST_CHECK enum pn_status pn_resolver_configure(const struct pn_resolver_settings *settings,
						   struct pn_error *error);

/* From now on questions have this deadline. */
void pn_resolver_set_deadline(uint64_t milliseconds);

void pn_resolver_ask(const struct pn_dns_question *question, struct pn_ticket ticket);

void pn_resolver_stop(void);

#endif
