/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of a module need: a world that they control. Link against the
 * static library postern_testing (pkg-config postern-testing), together with the
 * module's own object files. Not thread-safe; one world per program.
 */
#ifndef POSTERN_TESTING_H
#define POSTERN_TESTING_H

#include <postern/error.h>
#include <postern/module.h>
#include <postern/types.h>

PN_DECLARATIONS_BEGIN

/* From now on clocks stand still and move only when told; randomness is seeded. */
void pn_testing_world(int64_t wall_ms, uint64_t seed);
void pn_testing_advance(uint64_t milliseconds);

/*
 * Makes a config struct of the module from "name=value" texts (NULL-terminated), with the same
 * parser and defaults as the configuration file. In the arena.
 */
PN_MUST_CHECK enum pn_status pn_testing_config(const struct pn_module *module,
					       const char *const *settings, struct pn_arena *arena,
					       void **config_out, struct pn_error *error);

PN_DECLARATIONS_END

#endif
