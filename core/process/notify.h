/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service manager that started us hears (sd_notify(3)'s datagrams, without its
 * library), and the listening sockets that it has opened for us (sd_listen_fds(3)). Without
 * one nothing happens. Master only.
 */
#ifndef CORE_PROCESS_NOTIFY_H
#define CORE_PROCESS_NOTIFY_H

#include <postern/error.h>
#include <postern/types.h>

/* Reads what the environment says of a manager and takes it out, so that no child believes that it
 * is meant. First of all, as the sockets have fixed numbers. */
void pn_notify_open(void);

void pn_notify_ready(uint32_t generation);
void pn_notify_reloading(void);
void pn_notify_reloaded(uint32_t generation); /* nothing where no reload was told */
void pn_notify_not_reloaded(const char *why); /* likewise */
void pn_notify_stopping(void);
void pn_notify_turn(uint64_t now_ms); /* the loop turns: for the manager's watchdog */

/* A copy of the socket that the manager has opened for this address ("192.0.2.1:25"), close-on-exec
 * and non-blocking; -1: it opened none. They stay open for the reloads that want them again. */
PN_MUST_CHECK int pn_notify_listener(const char *address);

/* Says which of them no listener of the configuration wants. Once. */
void pn_notify_listeners_chosen(void);

#endif
