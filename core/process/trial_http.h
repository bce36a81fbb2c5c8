/* SPDX-License-Identifier: Apache-2.0 */
/* The web that policies on trial find; see trial.h. */
#ifndef CORE_PROCESS_TRIAL_HTTP_H
#define CORE_PROCESS_TRIAL_HTTP_H

#include <postern/arena.h>
#include <postern/http.h>

/* Behind pn_world.http_ask. */
void pn_trial_http_ask(const struct pn_http_request *request, struct pn_ticket ticket);

/* Nothing answers from now on; what is told lives in the arena. */
void pn_trial_http_begin(struct pn_arena *arena);

/* What is at this address; NULL: trouble. The response is kept as it is. */
void pn_trial_http_tell(const char *url, const struct pn_http_response *response);

/* What was asked, from 0: "POST http://example.org/ body"; NULL behind the last. */
const char *pn_trial_http_request(size_t index);

#endif
