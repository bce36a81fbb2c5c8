/* SPDX-License-Identifier: Apache-2.0 */
/* LOGIN: a name, then a password. Never a standard, and in every client of a certain age. */
#include "store/mechanism.h"

#include <postern/address.h>

struct login_exchange {
	bool has_name;
	char name[PN_PATH_MAX];
	size_t name_size;
};

static void begin(struct pn_login *login)
{
	pn_login_challenge(login, PN_SLICE("Username:"));
}

static void take_name(struct pn_login *login, struct login_exchange *exchange,
                      struct pn_slice message)
{
	if (message.size == 0 || message.size > sizeof(exchange->name)) {
		pn_login_end(login, PN_SASL_MALFORMED, NULL, "");
		return;
	}
	memcpy(exchange->name, message.data, message.size);
	exchange->name_size = message.size;
	exchange->has_name = true;
	pn_login_challenge(login, PN_SLICE("Password:"));
}

static void take(struct pn_login *login, struct pn_slice message)
{
	struct login_exchange *exchange = login->exchange;
	const struct pn_login_claim claim = {
		.kind = PN_LOGIN_PASSWORD,
		.identity = pn_slice_make(exchange->name, exchange->name_size),
		.secret = message,
	};

	if (!exchange->has_name)
		take_name(login, exchange, message);
	else if (message.size == 0 || message.size > PN_LOGIN_SECRET_MAX)
		pn_login_end(login, PN_SASL_MALFORMED, NULL, "");
	else
		pn_login_ask(login, &claim);
}

const struct pn_mechanism pn_mechanism_login = {
	.name = "LOGIN",
	.kind = PN_LOGIN_PASSWORD,
	.gives_secret_away = true,
	.exchange_size = sizeof(struct login_exchange),
	.begin = begin,
	.take = take,
};
