/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module's tables: copied into today's sizes, and checked. For the loader.
 */
#ifndef CORE_MODULE_TABLE_H
#define CORE_MODULE_TABLE_H

#include <postern/arena.h>
#include <postern/error.h>
#include <postern/module.h>

/*
 * Copies the struct of a module that was compiled with its own sizes, rows and parts included, into
 * the arena's memory and today's sizes. `source` holds at least source->struct_size bytes. PN_OK,
 * or PN_FAILED with a sentence where a size is larger than ours.
 */
PN_MUST_CHECK enum pn_status pn_module_copy(const struct pn_module *source, struct pn_arena *arena,
                                            struct pn_module *module_out, struct pn_error *error);

/* Names, summaries, options, hooks and parts are as the headers say. PN_OK or PN_FAILED. */
PN_MUST_CHECK enum pn_status pn_module_check(const struct pn_module *module,
                                             struct pn_error *error);

#endif
