/* SPDX-License-Identifier: Apache-2.0 */
/* Generations: counted, and looked things up in. */
#include "session/generation.h"

#include <postern/text.h>

struct pn_generation *pn_generation_current;

struct pn_generation *pn_generation_keep(struct pn_generation *generation)
{
	generation->references++;
	return generation;
}

void pn_generation_drop(struct pn_generation **generation)
{
	struct pn_generation *dropped = *generation;
	struct pn_arena *arena;

	*generation = NULL;
	if (dropped == NULL || --dropped->references > 0)
		return;
	if (dropped->policies != NULL)
		dropped->free_policies(dropped->policies);
	pn_tls_server_free(&dropped->tls);
	if (dropped->origin != NULL)
		dropped->free_origin(dropped->origin);
	arena = dropped->arena;
	pn_arena_free(&arena);
}

const void *pn_generation_config(const struct pn_generation *generation,
                                 const struct pn_instance *instance)
{
	for (size_t i = 0; i < generation->instance_count; i++) {
		if (generation->instances[i].instance == instance)
			return generation->instances[i].config;
	}
	return NULL;
}

const struct pn_domain *pn_generation_domain(const struct pn_generation *generation,
                                             struct pn_slice name)
{
	for (size_t i = 0; i < generation->domain_count; i++) {
		if (pn_slice_equal_ignore_case(pn_slice_of(generation->domains[i].name), name))
			return &generation->domains[i];
	}
	return NULL;
}
