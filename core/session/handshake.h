/* SPDX-License-Identifier: Apache-2.0 */
/* TLS handshakes take turns, and so many are under way at a time: see handshake.c. Loop thread. */
#ifndef CORE_SESSION_HANDSHAKE_H
#define CORE_SESSION_HANDSHAKE_H

struct pn_session;

/* Where its output is sent, TLS begins when it is its turn; pn_session_secured() follows. */
void pn_session_start_handshake(struct pn_session *session);

/* Its socket is ready for more of it. */
void pn_session_continue_handshake(struct pn_session *session);

/* It is over, or the session ends; from every path that ends one. */
void pn_handshake_forget(struct pn_session *session);

#endif
