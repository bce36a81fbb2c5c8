/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Login: from a name and a secret to an identity and an account. SASL mechanisms
 * are in sasl.c; both end here. Loop thread.
 */
#ifndef CORE_STORE_LOGIN_H
#define CORE_STORE_LOGIN_H

#include <postern/authentication.h>
#include <postern/sasl.h>

#include "session/session.h"

/*
 * Checks a secret: auth.verify, the authentication modules, the directory, account.route; then
 * answers `ticket` with PN_ANSWER_SASL. Everything is copied; the secret's copies are wiped.
 */
void pn_login_verify(struct pn_session *session, const char *mechanism, struct pn_slice identity,
		     struct pn_slice authorization, struct pn_slice secret,
		     struct pn_ticket ticket);

/* Answers with an outcome and nothing else. */
void pn_login_answer(struct pn_session *session, struct pn_ticket ticket,
		     enum pn_sasl_outcome outcome, const struct pn_reply *reply);

#endif
