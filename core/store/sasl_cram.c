/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRAM-MD5 (RFC 2195): a challenge, and the client's name with its keyed digest. It
 * binds to nothing, proves nothing of the server, and needs secrets that are kept as
 * they are: for clients that know nothing better, and only where it is asked for.
 */
#include "store/mechanism.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "io/digest.h"

enum { RANDOM_BYTES = 16, DIGEST_SIZE = 16, NAME_MAX_SIZE = 255 };

struct cram_exchange {
	struct pn_slice challenge; /* in the arena of the login */
	char proof[2 * DIGEST_SIZE];
};

static void put_hex(char *room, const uint8_t *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < size; i++) {
		room[2 * i] = digits[bytes[i] >> 4];
		room[2 * i + 1] = digits[bytes[i] & 15];
	}
}

/* <random.time@host>: never the same twice. */
static void begin(struct pn_login *login)
{
	struct cram_exchange *exchange = login->exchange;
	uint8_t bytes[RANDOM_BYTES];
	char random[2 * RANDOM_BYTES];

	pn_random(bytes, sizeof(bytes));
	put_hex(random, bytes, sizeof(bytes));
	exchange->challenge = pn_slice_of(pn_arena_print(
		login->arena, "<%.*s.%lld@%.*s>", (int)sizeof(random), random,
		(long long)pn_clock_wall_ms(), NAME_MAX_SIZE, pn_session_hostname(login->session)));
	pn_login_challenge(login, exchange->challenge);
}

/* Who is not known costs a digest like anybody else, with a secret that nobody has. */
static void got_secret(struct pn_login *login)
{
	const struct cram_exchange *exchange = login->exchange;
	bool is_known = login->found == PN_OK && login->verifier.size > 0;
	struct pn_slice secret =
		is_known ? login->verifier
			 : pn_slice_make((const char *)pn_login_key, PN_LOGIN_KEY_SIZE);
	uint8_t digest[PN_DIGEST_MAX];
	char wanted[2 * DIGEST_SIZE];
	bool fits;

	pn_hmac(PN_DIGEST_MD5, secret, exchange->challenge, digest);
	put_hex(wanted, digest, DIGEST_SIZE);
	fits = pn_equal_constant_time(pn_slice_make(wanted, sizeof(wanted)),
	                              pn_slice_make(exchange->proof, sizeof(exchange->proof)));
	pn_wipe(wanted, sizeof(wanted));
	if (fits && is_known)
		pn_login_prove(login);
	else
		pn_login_end(login, PN_SASL_WRONG, NULL, "");
}

/* name SP digest, in hexadecimal with small letters; a name may have spaces. */
static void take(struct pn_login *login, struct pn_slice message)
{
	struct cram_exchange *exchange = login->exchange;
	struct pn_login_claim claim = {.kind = PN_LOGIN_VERIFIER, .answered = got_secret};
	size_t name_size = message.size > sizeof(exchange->proof)
	                           ? message.size - sizeof(exchange->proof) - 1
	                           : 0;

	if (name_size == 0 || message.data[name_size] != ' ') {
		pn_login_end(login, PN_SASL_MALFORMED, NULL, "");
		return;
	}
	memcpy(exchange->proof, message.data + name_size + 1, sizeof(exchange->proof));
	claim.identity = pn_slice_make(message.data, name_size);
	pn_login_ask(login, &claim);
}

const struct pn_mechanism pn_mechanism_cram_md5 = {
	.name = "CRAM-MD5",
	.verifier = "CRAM-MD5",
	.kind = PN_LOGIN_VERIFIER,
	.server_begins = true,
	.exchange_size = sizeof(struct cram_exchange),
	.begin = begin,
	.take = take,
};
