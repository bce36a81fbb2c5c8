/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference of the configuration, written from the option tables: every
 * setting of the gateway and every option of every module, with its default and
 * limits, as a commented file in the language of the configuration itself.
 */
#ifndef CORE_CONFIG_REFERENCE_H
#define CORE_CONFIG_REFERENCE_H

#include <postern/buffer.h>

#include "module/loader.h"

/* conf/reference.lua. PN_OK, or PN_LIMIT where the buffer is too small. */
PN_MUST_CHECK enum pn_status pn_reference_lua(const struct pn_loaded_module *const *modules,
                                              size_t module_count, struct pn_buffer *out);

#endif
