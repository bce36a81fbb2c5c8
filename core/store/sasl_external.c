/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EXTERNAL (RFC 4422 appendix A): the TLS handshake has proven who it is, by a certificate that an
 * authority of the listener vouches for. The message says whom the client wants to be: nobody
 * but that, as a rule.
 */
#include "store/mechanism.h"

#include <postern/address.h>
#include <postern/text.h>

static const struct pn_client_certificate *proof_of(const struct pn_session *session)
{
	const struct pn_client_certificate *certificate = pn_session_client_certificate(session);

	return certificate != NULL && certificate->is_verified && certificate->name[0] != '\0'
	               ? certificate
	               : NULL;
}

static bool is_possible(const struct pn_session *session)
{
	return proof_of(session) != NULL;
}

static void take(struct pn_login *login, struct pn_slice message)
{
	const struct pn_login_claim claim = {
		.kind = PN_LOGIN_CERTIFICATE,
		.identity = pn_slice_of(proof_of(login->session)->name),
		.authorization = message,
	};

	if (message.size > PN_PATH_MAX || pn_slice_find(message, '\0') < message.size)
		pn_login_end(login, PN_SASL_MALFORMED, NULL, "");
	else
		pn_login_ask(login, &claim);
}

const struct pn_mechanism pn_mechanism_external = {
	.name = "EXTERNAL",
	.kind = PN_LOGIN_CERTIFICATE,
	.is_possible = is_possible,
	.take = take,
};
