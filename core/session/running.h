/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this worker is running: written before each call into a module or a
 * script, into memory that the master shares. When the worker dies or hangs, the
 * master knows who was at it. Loop thread.
 */
#ifndef CORE_SESSION_RUNNING_H
#define CORE_SESSION_RUNNING_H

#include <postern/types.h>

struct pn_running {
	char module[32];
	char hook[48];
	char session[24];
	char transaction[24];
};

/* Where it is written: process memory until the process layer points it at shared memory. */
extern struct pn_running *pn_running;

/* NULL leaves a part empty. */
void pn_running_enter(const char *module, const char *hook, const char *session,
		      const char *transaction);
void pn_running_leave(void);

#endif
