/* SPDX-License-Identifier: Apache-2.0 */
/* Generations: counted, and looked things up in. */
#include "session/generation.h"

#include <postern/text.h>
#include <postern/transport.h>

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

const struct pn_instance_use *pn_generation_transport(const struct pn_generation *generation,
                                                      struct pn_slice name)
{
	for (size_t i = 0; i < generation->instance_count; i++) {
		const struct pn_instance *instance = generation->instances[i].instance;

		if (instance->module->transport != NULL &&
		    pn_slice_equal(pn_slice_of(instance->name), name))
			return &generation->instances[i];
	}
	return NULL;
}

const struct pn_instance_use *pn_generation_mx_transport(const struct pn_generation *generation)
{
	for (size_t i = 0; i < generation->instance_count; i++) {
		const struct pn_transport *transport =
			generation->instances[i].instance->module->transport;

		if (transport != NULL && transport->serves_mx)
			return &generation->instances[i];
	}
	return NULL;
}

static bool is_ascii(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		if ((unsigned char)text.data[i] >= 0x80)
			return false;
	}
	return true;
}

const struct pn_domain *pn_generation_domain(const struct pn_generation *generation,
                                             struct pn_slice name)
{
	const struct pn_domain *found = NULL;
	struct pn_arena *arena = NULL;

	/* The two ways to write a name are one name (RFC 5890 section 2.3.2.4). */
	if (!is_ascii(name)) {
		arena = pn_arena_new();
		name = pn_domain_to_ascii(arena, name);
	}
	for (size_t i = 0; i < generation->domain_count && found == NULL && name.size > 0; i++) {
		if (pn_slice_equal_ignore_case(generation->domains[i].ascii_name, name))
			found = &generation->domains[i];
	}
	pn_arena_free(&arena);
	return found;
}
