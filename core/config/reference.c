/* SPDX-License-Identifier: Apache-2.0 */
/* conf/reference.lua, from the option tables. */
#include "config/reference.h"

#include <postern/text.h>

#include "config/settings.h"
#include "module/options.h"

static enum pn_status write_module(const struct pn_module *module, struct pn_buffer *out)
{
	enum pn_status status =
		pn_buffer_print(out, "\n-- %s\nmodule \"%s\" {\n", module->summary, module->name);

	if (status == PN_OK && module->options != NULL)
		status = pn_options_lua(module->options, module->option_size, "    ", out);
	return status == PN_OK ? pn_buffer_append(out, PN_SLICE("}\n")) : status;
}

/* Settings stand alone and not in a table: the rows without the commas that tables need. */
static enum pn_status write_settings(struct pn_buffer *out)
{
	enum pn_status status;
	struct pn_buffer rows;
	struct pn_slice rest;

	pn_buffer_init(&rows, out->limit);
	status = pn_options_lua(pn_gateway_options, sizeof(pn_gateway_options[0]), "", &rows);
	rest = pn_buffer_slice(&rows);
	while (status == PN_OK && rest.size > 0) {
		struct pn_slice line = pn_slice_cut(&rest, '\n');

		if (line.size > 0 && line.data[0] != '-' && line.data[line.size - 1] == ',')
			line.size--;
		status = pn_buffer_append(out, line);
		if (status == PN_OK)
			status = pn_buffer_append(out, PN_SLICE("\n"));
	}
	pn_buffer_clear(&rows);
	return status;
}

enum pn_status pn_reference_lua(const struct pn_loaded_module *const *modules, size_t module_count,
                                struct pn_buffer *out)
{
	enum pn_status status = pn_buffer_append(
		out, PN_SLICE("-- Every setting and every option with its default. This file is "
	                      "written by\n-- `postern config reference`; copy from it, do not "
	                      "change it.\n\n"));

	if (status == PN_OK)
		status = write_settings(out);
	for (size_t i = 0; i < module_count && status == PN_OK; i++)
		status = write_module(&modules[i]->module, out);
	return status;
}
