/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of SCRAM (RFC 5802, RFC 7677), with and without channel binding
 * "tls-exporter" (RFC 9266). The client says who it is; the modules are asked for a
 * verifier; both prove that they know the same password; the client has the last,
 * empty word, because none of our protocols sends anything beside a success.
 *
 * Who is not known, or has no verifier, gets the same messages about one that stands
 * in, and the same computations.
 */
#include "store/mechanism.h"

#include <postern/address.h>
#include <postern/clock.h>
#include <postern/text.h>

#include "store/scram.h"

enum {
	NONCE_BYTES = 18,
	NONCE_MAX = 512,
	PROOF_TEXT_MAX = 64,
	/* An authorization identity in which every byte is escaped, and what stands around it. */
	GS2_HEADER_MAX = 3 * PN_PATH_MAX + 64,
};

enum scram_step { SCRAM_FIRST = 0, SCRAM_FINAL, SCRAM_LAST_WORD };

/* All texts are in the arena of the login. */
struct scram_exchange {
	enum scram_step step;
	struct pn_slice gs2_header;
	struct pn_slice client_first; /* without that header */
	struct pn_slice server_first;
	struct pn_slice nonce; /* the client's, and ours behind it */
	struct pn_scram_verifier verifier;
	uint8_t binding[PN_CHANNEL_BINDING_SIZE];
	bool is_bound;
	bool is_known;
};

static bool is_plus(const struct pn_login *login)
{
	return login->mechanism == &pn_mechanism_scram_sha_256_plus ||
	       login->mechanism == &pn_mechanism_scram_sha_1_plus;
}

static void malformed(struct pn_login *login)
{
	pn_login_end(login, PN_SASL_MALFORMED, NULL, "");
}

/* "x=" at the beginning of an attribute. */
static bool take_name(struct pn_slice *attribute, char name)
{
	if (attribute->size < 2 || attribute->data[0] != name || attribute->data[1] != '=')
		return false;
	*attribute = pn_slice_behind(*attribute, 2);
	return true;
}

/* Printable, without a comma. */
static bool is_nonce(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == ',')
			return false;
	}
	return text.size > 0 && text.size <= NONCE_MAX;
}

/* ---- the first message ---- */

/*
 * RFC 5802 section 6. "n": the client cannot bind; "y": it could, and believes that we cannot,
 * which is a lie of somebody in the middle where we offered it; "p": it does, and only by the
 * mechanism for it. The reason for a refusal, for the history; NULL: none.
 */
static const char *judge_binding(const struct pn_login *login, struct scram_exchange *exchange,
                                 struct pn_slice flag)
{
	const struct pn_session *session = login->session;

	if (!is_plus(login)) {
		if (pn_slice_equal(flag, PN_SLICE("y")) &&
		    (pn_mechanism_is_offered(session, &pn_mechanism_scram_sha_256_plus) ||
		     pn_mechanism_is_offered(session, &pn_mechanism_scram_sha_1_plus)))
			return "the client was not shown that channel binding is offered";
		return take_name(&flag, 'p') ? "channel binding by a mechanism without it" : NULL;
	}
	if (!take_name(&flag, 'p'))
		return "a mechanism for channel binding without it";
	if (!pn_slice_equal(flag, PN_SLICE("tls-exporter")))
		return "the client binds to the channel in another way";
	exchange->is_bound = pn_stream_channel_binding(session->stream, exchange->binding);
	return exchange->is_bound ? NULL : "there is nothing to bind to in this channel";
}

static void got_verifier(struct pn_login *login)
{
	struct scram_exchange *exchange = login->exchange;
	struct pn_scram_verifier *verifier = &exchange->verifier;
	struct pn_scram_verifier stand_in = {.iterations = 0};
	bool is_good = pn_scram_parse(login->verifier, verifier) == PN_OK;
	struct pn_buffer text;
	char random[NONCE_BYTES];

	if (login->found == PN_OK && !is_good) {
		pn_login_end(login, PN_SASL_TEMPORARY, NULL,
		             "the verifier of this name is damaged");
		return;
	}
	/* Computed for everybody: the work is the same. */
	if (is_good)
		stand_in = *verifier;
	stand_in.digest =
		pn_slice_equal(pn_slice_of(login->mechanism->verifier), PN_SLICE("SCRAM-SHA-1"))
			? PN_DIGEST_SHA1
			: PN_DIGEST_SHA256;
	pn_scram_stand_in(&stand_in, pn_slice_make((const char *)pn_login_key, PN_LOGIN_KEY_SIZE),
	                  login->credentials.identity);
	exchange->is_known = login->found == PN_OK && verifier->digest == stand_in.digest;
	if (!exchange->is_known)
		*verifier = stand_in;
	pn_wipe(&stand_in, sizeof(stand_in));

	pn_buffer_init(&text, NONCE_MAX + 512);
	pn_random(random, sizeof(random));
	(void)!pn_buffer_append(&text, exchange->nonce);
	(void)!pn_base64_encode(&text, pn_slice_make(random, sizeof(random)));
	exchange->nonce = pn_arena_keep(login->arena, pn_buffer_slice(&text));
	text.size = 0;
	(void)!pn_buffer_print(&text, "r=%.*s,s=", PN_SLICE_ARGS(exchange->nonce));
	(void)!pn_base64_encode(&text,
	                        pn_slice_make((const char *)verifier->salt, verifier->salt_size));
	(void)!pn_buffer_print(&text, ",i=%u", (unsigned)verifier->iterations);
	exchange->server_first = pn_arena_keep(login->arena, pn_buffer_slice(&text));
	pn_buffer_clear(&text);
	exchange->step = SCRAM_FINAL;
	pn_login_challenge(login, exchange->server_first);
}

/* gs2-header username "," nonce ["," extensions]: a mandatory extension ("m=") stands in front of
 * the name, and we know none. */
static void take_first(struct pn_login *login, struct scram_exchange *exchange,
                       struct pn_slice message)
{
	struct pn_slice rest = message;
	struct pn_slice flag = pn_slice_cut(&rest, ',');
	struct pn_slice authorization = pn_slice_cut(&rest, ',');
	struct pn_slice bare = rest;
	struct pn_slice name = pn_slice_cut(&rest, ',');
	struct pn_slice nonce = pn_slice_cut(&rest, ',');
	struct pn_login_claim claim = {.kind = PN_LOGIN_VERIFIER, .answered = got_verifier};
	const char *why;

	if (!(pn_slice_equal(flag, PN_SLICE("n")) || pn_slice_equal(flag, PN_SLICE("y")) ||
	      (flag.size > 2 && flag.data[0] == 'p' && flag.data[1] == '=')) ||
	    (authorization.size > 0 &&
	     (!take_name(&authorization, 'a') ||
	      !pn_mechanism_read_name(login, authorization, &claim.authorization))) ||
	    !take_name(&name, 'n') || !pn_mechanism_read_name(login, name, &claim.identity) ||
	    !take_name(&nonce, 'r') || !is_nonce(nonce) ||
	    message.size - bare.size > GS2_HEADER_MAX) {
		malformed(login);
		return;
	}
	why = judge_binding(login, exchange, flag);
	if (why != NULL) {
		pn_login_end(login, PN_SASL_WRONG, NULL, why);
		return;
	}
	exchange->gs2_header =
		pn_arena_keep(login->arena, pn_slice_make(message.data, message.size - bare.size));
	exchange->client_first = pn_arena_keep(login->arena, bare);
	exchange->nonce = pn_arena_keep(login->arena, nonce);
	pn_login_ask(login, &claim);
}

/* ---- the proof ---- */

/* c= is the header of the first message, and what the channel is bound by. */
static bool binding_is_right(const struct scram_exchange *exchange, struct pn_slice text)
{
	struct pn_buffer bytes;
	struct pn_buffer wanted;
	bool is_right;

	pn_buffer_init(&bytes, GS2_HEADER_MAX + PN_CHANNEL_BINDING_SIZE);
	pn_buffer_init(&wanted, GS2_HEADER_MAX + PN_CHANNEL_BINDING_SIZE);
	(void)!pn_buffer_append(&wanted, exchange->gs2_header);
	if (exchange->is_bound)
		(void)!pn_buffer_append(&wanted, pn_slice_make((const char *)exchange->binding,
		                                               sizeof(exchange->binding)));
	is_right = pn_base64_decode(&bytes, text) == PN_OK &&
	           pn_equal_constant_time(pn_buffer_slice(&bytes), pn_buffer_slice(&wanted));
	pn_buffer_clear(&bytes);
	pn_buffer_clear(&wanted);
	return is_right;
}

/* Who fails in whatever way fails after the same computations. */
static void judge_proof(struct pn_login *login, struct scram_exchange *exchange,
                        struct pn_slice without_proof, struct pn_slice proof, bool is_bound_right)
{
	const struct pn_slice parts[] = {exchange->client_first, PN_SLICE(","),
	                                 exchange->server_first, PN_SLICE(","), without_proof};
	uint8_t signature[PN_DIGEST_MAX];
	struct pn_buffer messages;
	struct pn_buffer answer;
	bool fits;

	pn_buffer_init(&messages, 4 * PN_LOGIN_MESSAGE_MAX);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		(void)!pn_buffer_append(&messages, parts[i]);
	fits = pn_scram_proof_fits(&exchange->verifier, pn_buffer_slice(&messages), proof);
	pn_scram_server_signature(&exchange->verifier, pn_buffer_slice(&messages), signature);
	pn_buffer_clear(&messages);
	if (!fits || !exchange->is_known || !is_bound_right) {
		pn_login_end(login, PN_SASL_WRONG, NULL,
		             is_bound_right ? "" : "the proof is for another channel");
		return;
	}
	pn_buffer_init(&answer, 256);
	(void)!pn_buffer_append(&answer, PN_SLICE("v="));
	(void)!pn_base64_encode(&answer, pn_slice_make((const char *)signature,
	                                               pn_digest_size(exchange->verifier.digest)));
	exchange->step = SCRAM_LAST_WORD;
	pn_login_challenge(login, pn_buffer_slice(&answer));
	pn_buffer_clear(&answer);
}

/* "c=" … ",r=" nonce ["," extensions] ",p=" proof, which is the last. */
static void take_final(struct pn_login *login, struct scram_exchange *exchange,
                       struct pn_slice message)
{
	struct pn_slice rest = message;
	struct pn_slice binding = pn_slice_cut(&rest, ',');
	struct pn_slice nonce = pn_slice_cut(&rest, ',');
	struct pn_slice attribute = PN_SLICE_NONE;
	struct pn_slice without_proof;
	struct pn_buffer proof;

	while (rest.size > 0)
		attribute = pn_slice_cut(&rest, ',');
	pn_buffer_init(&proof, PROOF_TEXT_MAX);
	without_proof = pn_slice_make(message.data, attribute.size < message.size
	                                                    ? message.size - attribute.size - 1
	                                                    : 0);
	if (!take_name(&binding, 'c') || !take_name(&nonce, 'r') || !take_name(&attribute, 'p') ||
	    pn_base64_decode(&proof, attribute) != PN_OK || proof.size == 0)
		malformed(login);
	else if (!pn_slice_equal(nonce, exchange->nonce))
		pn_login_end(login, PN_SASL_WRONG, NULL, "a nonce of another exchange");
	else
		judge_proof(login, exchange, without_proof, pn_buffer_slice(&proof),
		            binding_is_right(exchange, binding));
	pn_buffer_clear(&proof);
}

static void take(struct pn_login *login, struct pn_slice message)
{
	struct scram_exchange *exchange = login->exchange;

	switch (exchange->step) {
	case SCRAM_FIRST:
		take_first(login, exchange, message);
		break;
	case SCRAM_FINAL:
		take_final(login, exchange, message);
		break;
	case SCRAM_LAST_WORD:
		if (message.size > 0)
			malformed(login);
		else
			pn_login_prove(login);
		break;
	}
}

static bool can_bind(const struct pn_session *session)
{
	return session->stream != NULL && pn_stream_has_channel_binding(session->stream);
}

#define SCRAM_ROW(row_name, verifier_name, possible)                                               \
	{                                                                                          \
		.name = row_name, .verifier = verifier_name, .kind = PN_LOGIN_VERIFIER,            \
		.exchange_size = sizeof(struct scram_exchange), .is_possible = possible,           \
		.take = take,                                                                      \
	}

const struct pn_mechanism pn_mechanism_scram_sha_256 =
	SCRAM_ROW("SCRAM-SHA-256", "SCRAM-SHA-256", NULL);
const struct pn_mechanism pn_mechanism_scram_sha_256_plus =
	SCRAM_ROW("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", can_bind);
const struct pn_mechanism pn_mechanism_scram_sha_1 = SCRAM_ROW("SCRAM-SHA-1", "SCRAM-SHA-1", NULL);
const struct pn_mechanism pn_mechanism_scram_sha_1_plus =
	SCRAM_ROW("SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", can_bind);
