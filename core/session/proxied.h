/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that come through a load balancer: the header of the PROXY protocol is read
 * before there is a session, which then has the client's address. Loop thread.
 */
#ifndef CORE_SESSION_PROXIED_H
#define CORE_SESSION_PROXIED_H

#include "session/session.h"

/* As pn_session_accept(), once the header is there. Without one, or with a broken one, the
 * connection is closed: who may send headers must. */
void pn_proxied_accept(const struct pn_accepted *accepted);

/* No session begins any more: those that wait for their header are closed. */
void pn_proxied_stop(void);

#endif
