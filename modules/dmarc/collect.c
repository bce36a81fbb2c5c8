/* SPDX-License-Identifier: Apache-2.0 */
/* What a message is judged by: the domains in From, and what SPF and DKIM found out about it. Pure.
 */
#include <postern/text.h>

#include "dmarc.h"

#include <stdio.h>

/* Numbered facts of dkim, of which there are no more; and room for their domains. */
enum { SIGNATURES_MAX = 100, DOMAINS_SIZE = 16 * 1024 };

static struct pn_slice value_of(const struct pn_check_input *input, const char *key)
{
	return pn_check_value_of(input, pn_slice_of(key));
}

static bool is_word(struct pn_slice value, const char *word)
{
	return pn_slice_equal(value, pn_slice_of(word));
}

/* Behind those that are there, and a comma. */
static void add_domain(struct pn_buffer *domains, struct pn_slice domain)
{
	if (domain.size > 0)
		(void)!pn_buffer_print(domains, "%s%.*s", domains->size == 0 ? "" : ",",
		                       PN_SLICE_ARGS(domain));
}

/* A signature that does not cover the whole body says nothing of what people see. */
static void collect_signatures(const struct pn_check_input *input, struct pn_buffer *passed,
                               struct pn_buffer *doubtful)
{
	for (unsigned number = 1; number <= SIGNATURES_MAX; number++) {
		struct pn_slice result, domain;
		char key[32];

		snprintf(key, sizeof(key), "dkim.%u", number);
		result = value_of(input, key);
		if (result.size == 0)
			return;
		snprintf(key, sizeof(key), "dkim.%u.domain", number);
		domain = value_of(input, key);
		snprintf(key, sizeof(key), "dkim.%u.is_partial", number);
		if (is_word(result, "temperror"))
			add_domain(doubtful, domain);
		else if (is_word(result, "pass") && value_of(input, key).size == 0)
			add_domain(passed, domain);
	}
}

/* By what the checks said. */
static const char *collect_facts(const struct pn_check_input *input, struct pn_arena *arena,
                                 struct dmarc_evidence *evidence)
{
	struct pn_slice spf = value_of(input, "spf");
	struct pn_buffer passed, doubtful;

	pn_buffer_init(&passed, DOMAINS_SIZE);
	pn_buffer_init(&doubtful, DOMAINS_SIZE);
	collect_signatures(input, &passed, &doubtful);
	if (is_word(spf, "temperror"))
		add_domain(&doubtful, value_of(input, "spf.domain"));
	else if (is_word(spf, "pass"))
		evidence->spf = value_of(input, "spf.domain");
	evidence->dkim = pn_arena_keep(arena, pn_buffer_slice(&passed));
	evidence->doubtful = pn_arena_keep(arena, pn_buffer_slice(&doubtful));
	evidence->is_unknown = spf.size == 0 || value_of(input, "dkim").size == 0;
	pn_buffer_clear(&passed);
	pn_buffer_clear(&doubtful);
	return dmarc_from(input->header, arena, &evidence->from);
}

const char *dmarc_collect(const struct pn_check_input *input, struct pn_arena *arena,
                          struct dmarc_evidence *evidence_out)
{
	*evidence_out = (struct dmarc_evidence){.from = value_of(input, "from")};
	if (input->header != NULL && evidence_out->from.size == 0)
		return collect_facts(input, arena, evidence_out);
	evidence_out->spf = value_of(input, "spf");
	evidence_out->dkim = value_of(input, "dkim");
	return NULL;
}
