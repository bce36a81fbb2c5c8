/* SPDX-License-Identifier: Apache-2.0 */
/* The cache that policies on trial find; see trial.h. */
#ifndef CORE_PROCESS_TRIAL_CACHE_H
#define CORE_PROCESS_TRIAL_CACHE_H

#include "session/generation.h"

/* The instance, for pn_policy_load. */
const struct pn_instance_use *pn_trial_cache(void);

/* Empty from now on; what it holds is in the arena. */
void pn_trial_cache_begin(struct pn_arena *arena);

/* Whether it fails whatever it is asked. */
void pn_trial_cache_break(bool is_broken);

#endif
