/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The master: binds the listeners, starts and watches the workers, replaces those
 * that die or hang, and carries reloads through. It parses no network byte and
 * loads no module; it has no event loop, only poll(). Main thread of its process.
 */
#ifndef CORE_PROCESS_MASTER_H
#define CORE_PROCESS_MASTER_H

#include <postern/error.h>

/* Serves until it is told to stop. Returns the exit status. */
int pn_master_main(const char *config_path);

#endif
