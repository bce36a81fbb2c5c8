/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DMARC (RFC 7489): whether what SPF and DKIM found out stands for the domain that people see in From,
 * and what its owner wants done where it does not. domain.c knows where organizations begin, record.c
 * reads records, evaluate.c is the check. Pure.
 */
#ifndef DMARC_H
#define DMARC_H

#include <postern/arena.h>
#include <postern/check.h>
#include <postern/header.h>
#include <postern/types.h>

enum { DMARC_TAGS_MAX = 64, DMARC_DOMAINS_MAX = 50, DMARC_FROM_MAX = 5 };

enum dmarc_policy { DMARC_POLICY_ABSENT = 0, DMARC_POLICY_NONE, DMARC_POLICY_QUARANTINE, DMARC_POLICY_REJECT };

/* ---- domain.c ---- */

/* Letters, digits, '-', '_', dots between labels of 1 to 63; without its final dot. "": it is none. */
struct pn_slice dmarc_domain(struct pn_slice text, struct pn_arena *arena);
/* The domain of its organization (section 3.2): one label more than what registries give away. Itself
 * where that is all there is. */
struct pn_slice dmarc_organization(struct pn_slice domain, struct pn_arena *arena);

/* ---- from.c (section 6.6.1) ---- */

/* The domains of the addresses in From, each once, separated by commas; in lower case. NULL, or why there is
 * nothing to ask about: no such field, several, no address, too many domains, text that is no list of
 * addresses. */
const char *dmarc_from(const struct pn_header *header, struct pn_arena *arena,
		       struct pn_slice *domains_out);

/* ---- collect.c ---- */

/* Domains, separated by commas. */
struct dmarc_evidence {
	struct pn_slice from;
	struct pn_slice spf;      /* that SPF stands for */
	struct pn_slice dkim;     /* that DKIM stands for, by signatures that cover the whole body */
	struct pn_slice doubtful; /* that one of them might stand for, did DNS answer */
	bool is_unknown;          /* one of them has said nothing */
};

/* As the values "from", "spf" and "dkim" have it, all of them domains; or, where "from" is not given, by the
 * header and the facts of the other checks ("spf", "spf.domain", "dkim.1", …). NULL, or what is wrong with From. */
const char *dmarc_collect(const struct pn_check_input *input, struct pn_arena *arena,
			  struct dmarc_evidence *evidence_out);

/* ---- record.c (section 6.3) ---- */

struct dmarc_record {
	enum dmarc_policy policy;
	enum dmarc_policy subdomain_policy; /* absent: the same */
	bool is_spf_strict;
	bool is_dkim_strict;
	unsigned percent;
	struct pn_slice reports; /* rua= as written */
};

/* Whether a TXT record is one of version 1. */
bool dmarc_is_record(struct pn_slice text);
/* NULL, or why nothing can be made of it. Mistakes beside the policy count as if they were not there. */
const char *dmarc_record_parse(struct pn_slice text, struct dmarc_record *record_out);
const char *dmarc_policy_name(enum dmarc_policy policy);

/* ---- evaluate.c ---- */

extern const struct pn_check dmarc_check;

#endif
