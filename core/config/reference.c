/* SPDX-License-Identifier: Apache-2.0 */
/* conf/reference.lua, from the option tables. */
#include "config/reference.h"

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

enum pn_status pn_reference_lua(const struct pn_loaded_module *const *modules, size_t module_count,
                                struct pn_buffer *out)
{
	enum pn_status status = pn_buffer_append(
		out, PN_SLICE("-- Every setting and every option with its default. This file is "
	                      "written by\n-- `postern config reference`; copy from it, do not "
	                      "change it.\n\n"));

	if (status == PN_OK)
		status = pn_options_lua(pn_gateway_options, sizeof(pn_gateway_options[0]), "", out);
	for (size_t i = 0; i < module_count && status == PN_OK; i++)
		status = write_module(&modules[i]->module, out);
	return status;
}
