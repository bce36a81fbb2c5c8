/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a name costs: exchanges of the mechanisms that keep no password, with a login
 * made of straw around them, and every digest counted. Known or not, with a verifier
 * or without, right or wrong: the same messages, and the same work.
 */
#include "suites.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "io/digest.h"
#include "session/ticket.h"
#include "store/login.h"
#include "store/mechanism.h"
#include "store/scram.h"

#include <stdio.h>
#include <stdlib.h>

uint8_t pn_login_key[PN_LOGIN_KEY_SIZE] = "a key";

/* ---- work, counted (-Wl,--wrap) ---- */

static struct {
	unsigned hmacs;
	unsigned digests;
	unsigned asked;
} work;

void __real_pn_hmac(enum pn_digest_kind kind, struct pn_slice key, struct pn_slice bytes,
                    uint8_t out[PN_DIGEST_MAX]);
void __wrap_pn_hmac(enum pn_digest_kind kind, struct pn_slice key, struct pn_slice bytes,
                    uint8_t out[PN_DIGEST_MAX]);
void __real_pn_digest(enum pn_digest_kind kind, struct pn_slice bytes, uint8_t out[PN_DIGEST_MAX]);
void __wrap_pn_digest(enum pn_digest_kind kind, struct pn_slice bytes, uint8_t out[PN_DIGEST_MAX]);

void __wrap_pn_hmac(enum pn_digest_kind kind, struct pn_slice key, struct pn_slice bytes,
                    uint8_t out[PN_DIGEST_MAX])
{
	work.hmacs++;
	__real_pn_hmac(kind, key, bytes, out);
}

void __wrap_pn_digest(enum pn_digest_kind kind, struct pn_slice bytes, uint8_t out[PN_DIGEST_MAX])
{
	work.digests++;
	__real_pn_digest(kind, bytes, out);
}

/* ---- a login made of straw ---- */

struct pn_ticket __wrap_pn_ticket_open_unlimited(struct pn_session *of,
                                                 pn_answered_function *answered, void *user);

struct pn_ticket __wrap_pn_ticket_open_unlimited(struct pn_session *of,
                                                 pn_answered_function *answered, void *user)
{
	(void)of;
	(void)answered;
	(void)user;
	return (struct pn_ticket){1, 1};
}

static struct pn_session session;
static struct pn_slice kept_verifier; /* of the name that is asked about; "" for none */
static struct pn_slice shown_verifier;
static struct pn_buffer said;
static enum pn_sasl_outcome outcome;

void pn_login_answer(struct pn_ticket ticket, enum pn_sasl_outcome told)
{
	(void)ticket;
	outcome = told;
}

struct pn_login *pn_login_of(const struct pn_session *of)
{
	return of->login_attachment.attachment;
}

struct pn_login *pn_login_new(struct pn_session *of, const char *name, size_t exchange_size)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_login *login = PN_ARENA_NEW(arena, struct pn_login);

	login->session = of;
	login->arena = arena;
	login->exchange = pn_arena_allocate(arena, exchange_size);
	login->credentials.mechanism = name;
	of->login_attachment.attachment = login;
	return login;
}

static void end(struct pn_login *login, enum pn_sasl_outcome told)
{
	struct pn_arena *arena = login->arena;

	outcome = told;
	login->session->login_attachment.attachment = NULL;
	pn_arena_free(&arena);
}

void pn_login_challenge(struct pn_login *login, struct pn_slice text)
{
	outcome = PN_SASL_CHALLENGE;
	said.size = 0;
	ck_assert_int_eq(pn_buffer_append(&said, text), PN_OK);
	login->waits_for_client = true;
}

void pn_login_end(struct pn_login *login, enum pn_sasl_outcome told, const struct pn_reply *reply,
                  const char *why)
{
	(void)why;
	ck_assert_ptr_null(reply);
	end(login, told);
}

void pn_login_prove(struct pn_login *login)
{
	end(login, PN_SASL_PROVEN);
}

void pn_login_ask(struct pn_login *login, const struct pn_login_claim *claim)
{
	work.asked++;
	login->credentials.identity = pn_arena_keep(login->arena, claim->identity);
	login->found = kept_verifier.size > 0 ? PN_OK : PN_NOT_FOUND;
	login->verifier = kept_verifier.size > 0 ? kept_verifier : shown_verifier;
	claim->answered(login);
}

/* ---- exchanges ---- */

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

static void begin(void)
{
	static const struct pn_authentication authentication = {.verifier = find_verifier};
	static const struct pn_module module = {.authentication = &authentication};
	static struct pn_instance instance = {.module = &module};
	static const struct pn_instance_use use = {.instance = &instance};
	static struct pn_generation generation = {
		.hostname = "mx.example.test", .authentications = &use, .authentication_count = 1};
	static const char *const names[] = {"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5"};
	static const struct pn_text_list list = {names, 3};

	memset(&session, 0, sizeof(session));
	memset(&work, 0, sizeof(work));
	session.generation = &generation;
	session.login_mechanisms = &list;
	pn_buffer_init(&said, PN_LOGIN_MESSAGE_MAX);
}

static void finish(void)
{
	if (pn_login_of(&session) != NULL)
		end(pn_login_of(&session), PN_SASL_CANCELLED);
	pn_buffer_clear(&said);
}

static void say(const char *mechanism, struct pn_slice message)
{
	struct pn_buffer line;

	pn_buffer_init(&line, 8192);
	ck_assert_int_eq(pn_base64_encode(&line, message), PN_OK);
	if (mechanism != NULL)
		(void)pn_sasl_begin(&session, pn_slice_of(mechanism), true, pn_buffer_slice(&line));
	else
		(void)pn_sasl_respond(&session, pn_buffer_slice(&line));
	pn_buffer_clear(&line);
}

/* What the client of SCRAM says when it knows the password. */
static void prove(const char *password, const char *first)
{
	struct pn_slice rest = pn_buffer_slice(&said);
	struct pn_scram_verifier verifier = {.iterations = 4096};
	uint8_t salted[PN_DIGEST_MAX];
	uint8_t proof[PN_DIGEST_MAX];
	uint8_t signature[PN_DIGEST_MAX];
	struct pn_buffer messages;
	struct pn_buffer salt;
	struct pn_slice nonce = pn_slice_cut(&rest, ',');
	struct pn_slice salt_text = pn_slice_behind(pn_slice_cut(&rest, ','), 2);
	size_t before;

	pn_buffer_init(&messages, 8192);
	pn_buffer_init(&salt, PN_SCRAM_SALT_MAX);
	ck_assert_int_eq(pn_base64_decode(&salt, salt_text), PN_OK);
	ck_assert(pn_slice_equal(rest, PN_SLICE("i=4096")));
	memcpy(verifier.salt, salt.data, salt.size);
	verifier.salt_size = salt.size;
	pn_pbkdf2(PN_DIGEST_SHA256, pn_slice_of(password), pn_buffer_slice(&salt), 4096, salted);
	__real_pn_hmac(PN_DIGEST_SHA256, pn_slice_make((const char *)salted, 32),
	               PN_SLICE("Client Key"), proof);
	__real_pn_digest(PN_DIGEST_SHA256, pn_slice_make((const char *)proof, 32),
	                 verifier.stored_key);
	ck_assert_int_eq(pn_buffer_print(&messages, "%s,%.*s,", first,
	                                 PN_SLICE_ARGS(pn_buffer_slice(&said))),
	                 PN_OK);
	before = messages.size;
	ck_assert_int_eq(pn_buffer_print(&messages, "c=biws,%.*s", PN_SLICE_ARGS(nonce)), PN_OK);
	__real_pn_hmac(PN_DIGEST_SHA256, pn_slice_make((const char *)verifier.stored_key, 32),
	               pn_buffer_slice(&messages), signature);
	for (size_t i = 0; i < 32; i++)
		proof[i] ^= signature[i];
	ck_assert_int_eq(pn_buffer_append(&messages, PN_SLICE(",p=")), PN_OK);
	ck_assert_int_eq(pn_base64_encode(&messages, pn_slice_make((const char *)proof, 32)),
	                 PN_OK);
	say(NULL, pn_slice_behind(pn_buffer_slice(&messages), before));
	pn_buffer_clear(&messages);
	pn_buffer_clear(&salt);
}

static void play_scram(const char *password)
{
	static const char first[] = "n=alice,r=abcdef";

	memset(&work, 0, sizeof(work));
	say("SCRAM-SHA-256", PN_SLICE("n,,n=alice,r=abcdef"));
	ck_assert_int_eq(outcome, PN_SASL_CHALLENGE);
	prove(password, first);
}

#define VERIFIER                                                                                   \
	"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"                                            \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"                                            \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

START_TEST(scram_costs_the_same_for_every_name)
{
	unsigned hmacs;
	unsigned digests;

	shown_verifier = PN_SLICE(VERIFIER);
	kept_verifier = PN_SLICE(VERIFIER);
	play_scram("pencil");
	ck_assert_int_eq(outcome, PN_SASL_CHALLENGE);
	hmacs = work.hmacs;
	digests = work.digests;
	ck_assert_uint_gt(hmacs, 2);
	ck_assert_uint_gt(digests, 0);
	say(NULL, PN_SLICE_NONE);
	ck_assert_int_eq(outcome, PN_SASL_PROVEN);
	play_scram("crayon");
	ck_assert_int_eq(outcome, PN_SASL_WRONG);
	ck_assert_uint_eq(work.hmacs, hmacs);
	ck_assert_uint_eq(work.digests, digests);
	kept_verifier = PN_SLICE_NONE;
	play_scram("pencil");
	ck_assert_int_eq(outcome, PN_SASL_WRONG);
	ck_assert_uint_eq(work.hmacs, hmacs);
	ck_assert_uint_eq(work.digests, digests);
	ck_assert_uint_eq(work.asked, 1);
}
END_TEST

/* The password of somebody else, whose verifier was shown to say what one looks like. */
START_TEST(nobody_is_let_in_by_the_verifier_of_somebody_else)
{
	shown_verifier = PN_SLICE(VERIFIER);
	kept_verifier = PN_SLICE_NONE;
	play_scram("pencil");
	ck_assert_int_eq(outcome, PN_SASL_WRONG);
}
END_TEST

START_TEST(a_verifier_of_another_mechanism_lets_nobody_in)
{
	shown_verifier = PN_SLICE_NONE;
	kept_verifier = PN_SLICE(VERIFIER);
	say("SCRAM-SHA-1", PN_SLICE("n,,n=alice,r=abcdef"));
	ck_assert_int_eq(outcome, PN_SASL_CHALLENGE);
	say(NULL, PN_SLICE("*"));
	kept_verifier = PN_SLICE("{SCRAM-SHA-256}4096,damaged");
	(void)pn_sasl_respond(&session, PN_SLICE("*"));
	say("SCRAM-SHA-256", PN_SLICE("n,,n=alice,r=abcdef"));
	ck_assert_int_eq(outcome, PN_SASL_TEMPORARY);
}
END_TEST

static void play_cram(const char *secret)
{
	uint8_t digest[PN_DIGEST_MAX];
	struct pn_buffer message;

	memset(&work, 0, sizeof(work));
	(void)pn_sasl_begin(&session, PN_SLICE("CRAM-MD5"), false, PN_SLICE_NONE);
	ck_assert_int_eq(outcome, PN_SASL_CHALLENGE);
	__real_pn_hmac(PN_DIGEST_MD5, pn_slice_of(secret), pn_buffer_slice(&said), digest);
	pn_buffer_init(&message, 256);
	ck_assert_int_eq(pn_buffer_print(&message, "alice "), PN_OK);
	for (size_t i = 0; i < 16; i++)
		ck_assert_int_eq(pn_buffer_print(&message, "%02x", digest[i]), PN_OK);
	say(NULL, pn_buffer_slice(&message));
	pn_buffer_clear(&message);
}

START_TEST(cram_costs_the_same_for_every_name)
{
	kept_verifier = PN_SLICE("tanstaaftanstaaf");
	play_cram("tanstaaftanstaaf");
	ck_assert_int_eq(outcome, PN_SASL_PROVEN);
	ck_assert_uint_eq(work.hmacs, 1);
	play_cram("wrong");
	ck_assert_int_eq(outcome, PN_SASL_WRONG);
	ck_assert_uint_eq(work.hmacs, 1);
	kept_verifier = PN_SLICE_NONE;
	shown_verifier = PN_SLICE_NONE;
	play_cram("tanstaaftanstaaf");
	ck_assert_int_eq(outcome, PN_SASL_WRONG);
	ck_assert_uint_eq(work.hmacs, 1);
}
END_TEST

/* RFC 2195 section 2. */
START_TEST(takes_the_answer_of_rfc_2195)
{
	static const char challenge[] = "<1896.697170952@postoffice.reston.mci.net>";
	uint8_t digest[PN_DIGEST_MAX];
	char text[33];

	pn_hmac(PN_DIGEST_MD5, PN_SLICE("tanstaaftanstaaf"), pn_slice_of(challenge), digest);
	for (size_t i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	ck_assert_str_eq(text, "b913a602c7eda7a495b4e6e7334d3890");
}
END_TEST

Suite *sasl_suite(void)
{
	Suite *suite = suite_create("sasl");
	TCase *cases = tcase_create("sasl");

	tcase_add_checked_fixture(cases, begin, finish);
	tcase_add_test(cases, scram_costs_the_same_for_every_name);
	tcase_add_test(cases, nobody_is_let_in_by_the_verifier_of_somebody_else);
	tcase_add_test(cases, a_verifier_of_another_mechanism_lets_nobody_in);
	tcase_add_test(cases, cram_costs_the_same_for_every_name);
	tcase_add_test(cases, takes_the_answer_of_rfc_2195);
	suite_add_tcase(suite, cases);
	return suite;
}
