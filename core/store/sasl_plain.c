/* SPDX-License-Identifier: Apache-2.0 */
/* PLAIN (RFC 4616): [authzid] NUL authcid NUL passwd, in one message. */
#include "store/mechanism.h"

#include <postern/text.h>

static void take(struct pn_login *login, struct pn_slice message)
{
	struct pn_slice rest = message;
	struct pn_login_claim claim = {.kind = PN_LOGIN_PASSWORD};

	claim.authorization = pn_slice_cut(&rest, '\0');
	claim.identity = pn_slice_cut(&rest, '\0');
	claim.secret = rest;
	if (claim.authorization.size + claim.identity.size + 2 > message.size ||
	    claim.identity.size == 0 || rest.size == 0 || rest.size > PN_LOGIN_SECRET_MAX ||
	    pn_slice_find(rest, '\0') < rest.size)
		pn_login_end(login, PN_SASL_MALFORMED, NULL, "");
	else
		pn_login_ask(login, &claim);
}

const struct pn_mechanism pn_mechanism_plain = {
	.name = "PLAIN",
	.kind = PN_LOGIN_PASSWORD,
	.gives_secret_away = true,
	.take = take,
};
