/* SPDX-License-Identifier: Apache-2.0 */
/* DNS that policies on trial find; see trial.h. */
#ifndef CORE_PROCESS_TRIAL_DNS_H
#define CORE_PROCESS_TRIAL_DNS_H

#include <postern/arena.h>
#include <postern/dns.h>

/* Behind pn_world.dns_ask. */
void pn_trial_dns_ask(const struct pn_dns_question *question, struct pn_ticket ticket);

/* There are no names from now on; what is told lives in the arena. */
void pn_trial_dns_begin(struct pn_arena *arena);

/* What DNS says: once more for a further record. `value` NULL: trouble. */
void pn_trial_dns(const char *name, enum pn_dns_type type, const char *value, unsigned priority);
size_t pn_trial_questions(void);

#endif
