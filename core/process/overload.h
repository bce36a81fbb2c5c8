/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a worker has too much to do: then new connections are told to come again later, at
 * once, and what was begun goes on. And whether places become scarce: then clients that are not known
 * have less time. Edge workers; loop thread.
 */
#ifndef CORE_PROCESS_OVERLOAD_H
#define CORE_PROCESS_OVERLOAD_H

#include <postern/types.h>

struct pn_gateway_settings;

/* Before the process is confined: it will want to know its own memory. */
void pn_overload_open(void);
void pn_overload_close(void);

/* Now and then, some times a second. `limit`: most sessions of this worker. */
void pn_overload_look(const struct pn_gateway_settings *settings, size_t limit);

/* New connections are turned away. */
bool pn_overload_is_on(void);

#endif
