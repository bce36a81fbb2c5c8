/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SASL exchanges: a mechanism (the first byte), whether there is an initial response and whether
 * the client is known, and lines, encoded here where the second byte says so. Whatever they are,
 * each is answered once; who comes out is who a login may be asked about; and nobody is proven by
 * guessing.
 */
#include "fuzz.h"

#include <postern/clock.h>

#include "../../core/store/sasl.c"
#include "../../core/store/scram.h"

static int answers;
static bool goes_on;
static bool is_known;
static struct pn_buffer said; /* the last challenge, decoded */

uint8_t pn_login_key[PN_LOGIN_KEY_SIZE];

/* ---- the gateway around the exchange: it counts answers ---- */

struct pn_ticket pn_ticket_open_unlimited(struct pn_session *session,
                                          pn_answered_function *answered, void *user)
{
	(void)session;
	(void)answered;
	(void)user;
	return (struct pn_ticket){1, 1};
}

void pn_login_answer(struct pn_ticket ticket, enum pn_sasl_outcome outcome)
{
	require(ticket.slot == 1);
	require(outcome != PN_SASL_PROVEN && outcome != PN_SASL_CHALLENGE);
	answers++;
	goes_on = false;
}

/* Chance that is the same each time. */
void pn_random(void *bytes_out, size_t size)
{
	memset(bytes_out, 0x55, size);
}

int64_t pn_clock_wall_ms(void)
{
	return 1;
}

bool pn_session_is_encrypted(const struct pn_session *session)
{
	return session->stream != NULL;
}

const struct pn_client_certificate *pn_session_client_certificate(const struct pn_session *session)
{
	static const struct pn_client_certificate shown = {
		.struct_size = sizeof(shown), .is_verified = true, .name = "alice@example.test"};

	return session->stream == NULL ? NULL : &shown;
}

const char *pn_session_hostname(const struct pn_session *session)
{
	return session->generation->hostname;
}

bool pn_stream_has_channel_binding(const struct pn_stream *stream)
{
	return stream != NULL;
}

bool pn_stream_channel_binding(const struct pn_stream *stream,
                               uint8_t binding_out[PN_CHANNEL_BINDING_SIZE])
{
	require(stream != NULL);
	memset(binding_out, 'b', PN_CHANNEL_BINDING_SIZE);
	return true;
}

struct pn_login *pn_login_of(const struct pn_session *session)
{
	return session->login_attachment.attachment;
}

struct pn_login *pn_login_new(struct pn_session *session, const char *name, size_t exchange_size)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_login *login = PN_ARENA_NEW(arena, struct pn_login);

	require(pn_login_of(session) == NULL);
	login->session = session;
	login->arena = arena;
	login->exchange = pn_arena_allocate(arena, exchange_size);
	login->credentials.mechanism = name;
	session->login_attachment.attachment = login;
	return login;
}

static void forget(struct pn_session *session)
{
	struct pn_login *login = pn_login_of(session);
	struct pn_arena *arena = login == NULL ? NULL : login->arena;

	session->login_attachment.attachment = NULL;
	pn_arena_free(&arena);
}

void pn_login_challenge(struct pn_login *login, struct pn_slice text)
{
	require(text.size <= PN_LOGIN_MESSAGE_MAX);
	said.size = 0;
	require(pn_buffer_append(&said, text) == PN_OK);
	login->waits_for_client = true;
	answers++;
	goes_on = true;
}

void pn_login_end(struct pn_login *login, enum pn_sasl_outcome outcome,
                  const struct pn_reply *reply, const char *why)
{
	require(outcome != PN_SASL_PROVEN && outcome != PN_SASL_CHALLENGE && why != NULL);
	require(reply == NULL);
	forget(login->session);
	answers++;
	goes_on = false;
}

/* What nobody can do without the secret; the line that does is in the corpus for none. */
void pn_login_prove(struct pn_login *login)
{
	(void)login;
	require(!"proven");
}

void pn_login_ask(struct pn_login *login, const struct pn_login_claim *claim)
{
	static const char verifier[] = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"
				       "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
				       "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

	require(claim->identity.size > 0 || claim->kind == PN_LOGIN_TOKEN);
	require((claim->kind == PN_LOGIN_VERIFIER || claim->kind == PN_LOGIN_CERTIFICATE) ==
	        (claim->secret.size == 0));
	require(claim->kind != PN_LOGIN_PASSWORD || claim->secret.size <= PN_LOGIN_SECRET_MAX);
	require(claim->authorization.size <= PN_LOGIN_MESSAGE_MAX);
	login->credentials.identity = pn_arena_keep(login->arena, claim->identity);
	login->found = is_known ? PN_OK : PN_NOT_FOUND;
	if (claim->kind == PN_LOGIN_PASSWORD || claim->kind == PN_LOGIN_CERTIFICATE) {
		pn_login_end(login, PN_SASL_WRONG, NULL, "");
		return;
	}
	if (claim->kind == PN_LOGIN_TOKEN)
		login->found = PN_DENIED;
	else if (is_known && strcmp(login->mechanism->verifier, "CRAM-MD5") == 0)
		login->verifier = PN_SLICE("secret");
	else if (is_known && strcmp(login->mechanism->verifier, "SCRAM-SHA-256") == 0)
		login->verifier = pn_slice_of(verifier);
	else
		login->found = PN_NOT_FOUND;
	claim->answered(login);
}

/* ---- what the client says ---- */

static bool judge(void *instance, const char *mechanism)
{
	(void)instance;
	return mechanism != NULL;
}

static enum pn_status verify(void *instance, const struct pn_credentials *credentials,
                             struct pn_error *error)
{
	(void)instance;
	(void)credentials;
	(void)error;
	return PN_DENIED;
}

static enum pn_status find_verifier(void *instance, struct pn_slice identity, const char *mechanism,
                                    struct pn_arena *arena, struct pn_slice *verifier_out,
                                    struct pn_error *error)
{
	(void)instance;
	(void)identity;
	(void)mechanism;
	(void)arena;
	(void)verifier_out;
	(void)error;
	return PN_NOT_FOUND;
}

static void judge_token(void *instance, const struct pn_credentials *credentials,
                        struct pn_ticket ticket)
{
	(void)instance;
	(void)credentials;
	(void)ticket;
}

/* A line, or its base64; "@" stands for what the server said last (a nonce to go on with). */
static void put_line(struct pn_buffer *out, struct pn_slice line, bool is_encoded)
{
	struct pn_buffer text;
	struct pn_slice nonce = pn_buffer_slice(&said);

	if (is_encoded || pn_slice_equal(line, PN_SLICE("*"))) {
		require(pn_buffer_append(out, line) == PN_OK);
		return;
	}
	nonce = pn_slice_cut(&nonce, ',');
	pn_buffer_init(&text, 1024 * 1024);
	for (size_t i = 0; i < line.size; i++) {
		if (line.data[i] == '@')
			require(pn_buffer_append(&text, nonce) == PN_OK);
		else
			require(pn_buffer_append(&text, pn_slice_make(line.data + i, 1)) == PN_OK);
	}
	require(pn_base64_encode(out, pn_buffer_slice(&text)) == PN_OK);
	pn_buffer_clear(&text);
}

static void say(struct pn_session *session, struct pn_slice line, unsigned way,
                const struct pn_mechanism *mechanism)
{
	struct pn_buffer text;
	struct pn_slice exact;

	pn_buffer_init(&text, 2 * 1024 * 1024);
	put_line(&text, line, (way & 4) != 0);
	exact = exact_copy(pn_buffer_slice(&text));
	if (mechanism != NULL)
		(void)pn_sasl_begin(session, pn_slice_of(mechanism->name), (way & 2) != 0, exact);
	else
		(void)pn_sasl_respond(session, exact);
	free((void *)(uintptr_t)exact.data);
	pn_buffer_clear(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pn_authentication authentication = {
		.verify = verify,
		.verifier = find_verifier,
		.offers = judge,
		.token = judge_token,
	};
	static const struct pn_module module = {.authentication = &authentication};
	struct pn_instance instance = {.module = &module};
	const struct pn_instance_use use = {.instance = &instance};
	struct pn_generation generation = {
		.hostname = "mx.example.test", .authentications = &use, .authentication_count = 1};
	const char *names[MECHANISM_COUNT];
	const struct pn_text_list list = {names, MECHANISM_COUNT};
	const struct pn_mechanism *mechanism =
		mechanisms[take_byte(&data, &size) % MECHANISM_COUNT];
	unsigned way = take_byte(&data, &size);
	struct pn_slice rest = rest_of(data, size);
	struct pn_session *session = calloc(1, sizeof(*session));
	int asked = 1;

	require(session != NULL);
	for (size_t i = 0; i < MECHANISM_COUNT; i++)
		names[i] = mechanisms[i]->name;
	session->generation = &generation;
	session->login_mechanisms = &list;
	/* Nobody looks into it. */
	session->stream = (way & 16) != 0 ? (struct pn_stream *)session : NULL;
	session->login_clear = (way & 8) != 0 ? PN_SASL_CLEAR_NEVER : PN_SASL_CLEAR_ALWAYS;
	is_known = (way & 1) != 0;
	answers = 0;
	pn_buffer_init(&said, PN_LOGIN_MESSAGE_MAX);
	say(session, pn_slice_cut(&rest, '\n'), way, mechanism);
	require(answers == asked);
	while (goes_on && rest.size > 0) {
		say(session, pn_slice_cut(&rest, '\n'), way, NULL);
		require(answers == ++asked);
	}
	forget(session);
	pn_buffer_clear(&said);
	free(session);
	return 0;
}
