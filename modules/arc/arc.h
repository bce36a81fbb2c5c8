/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ARC (RFC 8617): what servers that mail has passed found out about it, in sets of three fields, each sealed
 * over those before it. chain.c finds the sets, verify.c is the check, sign.c adds a set. Signatures are those
 * of DKIM (modules/dkim). Pure.
 */
#ifndef ARC_H
#define ARC_H

#include "../dkim/dkim.h"

enum { ARC_SETS_MAX = 50 }; /* section 4.2.1 */

enum arc_state { ARC_NONE = 0, ARC_PASS, ARC_FAIL };

struct arc_seal {
	const struct pn_header_field *field;
	enum dkim_algorithm algorithm;
	enum arc_state state; /* cv= */
	struct pn_slice domain;
	struct pn_slice selector;
	struct pn_slice value; /* b=, decoded */
};

/* One instance: its three fields. */
struct arc_set {
	const struct pn_header_field *results; /* ARC-Authentication-Results */
	const struct pn_header_field *message; /* ARC-Message-Signature */
	const struct pn_header_field *seal;    /* ARC-Seal */
	struct dkim_signature signature;
	struct arc_seal sealed;
};

struct arc_chain {
	struct arc_set sets[ARC_SETS_MAX + 1]; /* from 1 */
	size_t count;
};

/* ---- chain.c ---- */

/* The sets of a message. NULL, or why they are no chain: then it has failed. `count` is 0 where there are
 * none, and what is known of it otherwise. */
const char *arc_chain_read(const struct pn_header *header, struct pn_arena *arena,
			   struct arc_chain *chain_out);
/* What is sealed by instance `last`: all fields of the sets up to it, its own seal without b=. */
PN_MUST_CHECK enum pn_status arc_put_sealed(struct pn_buffer *out, const struct arc_chain *chain,
					    size_t last);
const char *arc_state_name(enum arc_state state);

/* ---- sign.c, verify.c ---- */

PN_MUST_CHECK enum pn_status arc_sign(const struct pn_signing *signing, struct pn_arena *arena,
				      struct pn_buffer *fields_out, struct pn_error *error);

struct arc_config {
	struct pn_text_list exempt_networks;
	uint64_t deadline_ms;
};

extern const struct pn_check arc_check;

#endif
