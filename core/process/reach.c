/* SPDX-License-Identifier: Apache-2.0 */
/* What the workers of a configuration must reach: the paths that its options name. */
#include "process/assemble.h"

#include "module/option_value.h"

static void add_options(struct pn_reach *reach, const struct pn_option *options, size_t option_size,
                        const void *config)
{
	const struct pn_option *option;

	for (size_t i = 0; options != NULL; i++) {
		option = pn_option_row(options, option_size, i);
		if (option->type == PN_OPTION_TYPE_END)
			break;
		if (option->type != PN_OPTION_TYPE_PATH)
			continue;
		pn_reach_add(reach,
		             *(const char *const *)((const char *)config + option->field_offset),
		             (option->flags & PN_OPTION_WRITES) != 0);
	}
}

void pn_assembly_reach(const struct pn_assembly *assembly, struct pn_reach *reach)
{
	const struct pn_gateway_settings *settings = &assembly->config->settings;
	const struct pn_generation *generation = assembly->generation;

	add_options(reach, pn_gateway_options, sizeof(pn_gateway_options[0]), settings);
	pn_reach_add(reach, settings->trust_anchor, false);
	for (size_t i = 0; i < settings->module_directories.count; i++)
		pn_reach_add(reach, settings->module_directories.items[i], false);
	for (size_t i = 0; i < generation->instance_count; i++) {
		const struct pn_module *module = generation->instances[i].instance->module;

		add_options(reach, module->options, module->option_size,
		            generation->instances[i].config);
	}
}
