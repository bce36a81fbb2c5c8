/* SPDX-License-Identifier: Apache-2.0 */
/* Tickets from the inside: see <postern/ticket.h>. Loop thread. */
#ifndef CORE_SESSION_TICKET_H
#define CORE_SESSION_TICKET_H

#include <postern/ticket.h>

/* A ticket without a deadline of its own: its owner sees to it that it is answered or cancelled. The
 * core's own: its answer is nobody's in the slot, while that of pn_ticket_open is of who asked. */
struct pn_ticket pn_ticket_open_unlimited(struct pn_session *session,
					  pn_answered_function *answered, void *user);

/* Gives an open ticket a deadline from now. */
void pn_ticket_set_deadline(struct pn_ticket ticket, uint64_t milliseconds);

/* Whose it is; NULL where it is stale or nobody's. */
struct pn_session *pn_ticket_session(struct pn_ticket ticket);

/* Whom a ticket works for: `user`, until something else is said. */
void pn_ticket_set_owner(struct pn_ticket ticket, const void *owner);

/* The tickets of a session that work for this owner become stale. */
void pn_ticket_cancel_owner(struct pn_session *session, const void *owner);

/* All tickets of a session become stale. */
void pn_ticket_cancel_session(struct pn_session *session);

/* From the function that is being called with an answer: its result is not released now, but by the
 * caller with *release_out (NULL: there is nothing to release), which is set when it has returned. */
void pn_ticket_keep_result(void (**release_out)(void *result));

/* Frees the table. At the end of the process; open tickets become stale. */
void pn_tickets_stop(void);

/* Open tickets, for metrics. */
size_t pn_ticket_count(void);

#endif
