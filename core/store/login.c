/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One login attempt, step by step: the throttle, the hooks of auth.verify, then the
 * modules (in one job on the password pool, or one after the other where tokens are
 * judged), then the directory, then account.route. What an attempt needs lives in an
 * arena of its own, because its job may outlive the session.
 */
#include "store/login.h"

#include <postern/job.h>
#include <postern/text.h>

#include "io/digest.h"
#include "mail/saslprep.h"
#include "session/ticket.h"
#include "store/account.h"
#include "store/directory.h"
#include "store/mechanism.h"
#include "store/throttle.h"

#include <stdlib.h>

static void wipe(struct pn_slice secret)
{
	if (secret.size > 0)
		pn_wipe((void *)(uintptr_t)secret.data, secret.size);
}

static void release_login(struct pn_login *login)
{
	struct pn_arena *arena = login->arena;

	wipe(login->credentials.secret);
	wipe(login->verifier);
	if (login->exchange_size > 0)
		pn_wipe(login->exchange, login->exchange_size);
	pn_generation_drop(&login->generation);
	pn_arena_free(&arena);
}

static void let_go(struct pn_session *session)
{
	session->login_attachment.release = NULL;
	session->login_attachment.attachment = NULL;
}

/* The history hears of it. */
static void record(const struct pn_login *login, enum pn_log_level level, const char *outcome,
                   const char *why)
{
	struct pn_event *event = pn_session_event(login->session, level, "login");

	pn_event_text(event, "mechanism", pn_slice_of(login->credentials.mechanism));
	pn_event_text(event, "name", login->credentials.identity);
	pn_event_text(event, "outcome", pn_slice_of(outcome));
	pn_event_bool(event, "encrypted", pn_session_is_encrypted(login->session));
	if (why[0] != '\0')
		pn_event_text(event, "text", pn_slice_of(why));
	pn_event_send(&event);
}

/* The session ends in the middle of an attempt, or begins another. */
static void abandon(struct pn_session *session, void *pointer)
{
	struct pn_login *login = pointer;

	(void)session;
	record(login, PN_LOG_INFO, "abandoned", login->in_job ? "" : login->error.text);
	login->is_abandoned = true;
	if (!login->in_job)
		release_login(login);
}

struct pn_login *pn_login_of(const struct pn_session *session)
{
	return session->login_attachment.attachment;
}

struct pn_login *pn_login_new(struct pn_session *session, const char *name, size_t exchange_size)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_login *login = PN_ARENA_NEW(arena, struct pn_login);

	if (session->login_attachment.release != NULL)
		session->login_attachment.release(session, session->login_attachment.attachment);
	login->session = session;
	login->generation = pn_generation_keep(session->generation);
	login->arena = arena;
	login->exchange_size = exchange_size;
	login->exchange = exchange_size > 0 ? pn_arena_allocate(arena, exchange_size) : NULL;
	login->credentials.struct_size = sizeof(login->credentials);
	login->credentials.mechanism = name;
	login->credentials.failures = session->auth_failures;
	session->login_attachment.release = abandon;
	session->login_attachment.attachment = login;
	return login;
}

/* ---- answers ---- */

static void free_step(void *pointer)
{
	free(pointer);
}

/* With room for a challenge behind it. */
static struct pn_sasl_step *new_step(enum pn_sasl_outcome outcome, size_t room_size)
{
	struct pn_sasl_step *step = calloc(1, sizeof(*step) + room_size);

	if (step == NULL)
		abort();
	step->struct_size = sizeof(*step);
	step->outcome = outcome;
	return step;
}

void pn_login_answer(struct pn_ticket ticket, enum pn_sasl_outcome outcome)
{
	pn_ticket_answer(ticket, PN_ANSWER_SASL, PN_OK, new_step(outcome, 0), free_step, NULL);
}

void pn_login_challenge(struct pn_login *login, struct pn_slice text)
{
	struct pn_sasl_step *step;
	struct pn_buffer encoded;

	pn_buffer_init(&encoded, 2 * PN_LOGIN_MESSAGE_MAX);
	(void)!pn_base64_encode(&encoded, text);
	step = new_step(PN_SASL_CHALLENGE, encoded.size);
	if (encoded.size > 0)
		memcpy(step + 1, encoded.data, encoded.size);
	step->challenge = pn_slice_make((const char *)(step + 1), encoded.size);
	pn_buffer_clear(&encoded);
	login->waits_for_client = true;
	pn_ticket_answer(login->ticket, PN_ANSWER_SASL, PN_OK, step, free_step, NULL);
}

static const char *const outcome_names[] = {"challenge", "proven",    "wrong",
                                            "temporary", "malformed", "cancelled",
                                            "unknown",   "drop",      "needs tls"};

/* The protocol hears of it, and the history. */
static void tell(struct pn_login *login, enum pn_sasl_outcome outcome, const struct pn_reply *reply,
                 const char *why)
{
	struct pn_session *session = login->session;
	struct pn_sasl_step *step = new_step(outcome, 0);

	record(login, outcome == PN_SASL_TEMPORARY ? PN_LOG_WARNING : PN_LOG_INFO,
	       outcome_names[outcome], why);
	let_go(session);
	/* What could not be judged told nobody anything. */
	if (outcome == PN_SASL_PROVEN || outcome == PN_SASL_TEMPORARY)
		pn_throttle_give_back(&login->claim, outcome == PN_SASL_PROVEN);
	if (outcome != PN_SASL_PROVEN && outcome != PN_SASL_CANCELLED)
		session->auth_failures++;
	if (reply != NULL)
		step->reply = *reply;
	pn_ticket_answer(login->ticket, PN_ANSWER_SASL, PN_OK, step, free_step, NULL);
}

void pn_login_end(struct pn_login *login, enum pn_sasl_outcome outcome,
                  const struct pn_reply *reply, const char *why)
{
	tell(login, outcome, reply, why);
	release_login(login);
}

/* ---- behind the proof ---- */

/* Where it is not one session too many. */
static void let_in(struct pn_login *login)
{
	struct pn_session *session = login->session;
	struct pn_reply reply = {.code = 0};
	const char *why = pn_limits_login(session, session->account != NULL ? session->account->name
	                                                                    : session->identity);

	if (why == NULL) {
		pn_login_end(login, PN_SASL_PROVEN, NULL, "");
		return;
	}
	session->identity = PN_SLICE_NONE;
	session->account = NULL;
	pn_reply_set(&reply, 421, "4.7.0", why);
	pn_login_end(login, PN_SASL_TEMPORARY, &reply, why);
}

static void routed(void *user, const struct pn_stage_result *result)
{
	struct pn_login *login = user;
	struct pn_session *session = login->session;

	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
	case PN_VERDICT_ACCEPT:
		let_in(login);
		return;
	default:
		break;
	}
	session->identity = PN_SLICE_NONE;
	session->account = NULL;
	if (result->verdict == PN_VERDICT_DROP)
		pn_login_end(login, PN_SASL_DROP, NULL, "");
	else if (result->verdict == PN_VERDICT_REJECT)
		pn_login_end(login, PN_SASL_WRONG, &result->reply, "");
	else if (result->verdict == PN_VERDICT_REDIRECT)
		pn_login_end(login, PN_SASL_TEMPORARY, NULL, "");
	else
		pn_login_end(login, PN_SASL_TEMPORARY, &result->reply, "");
}

static void ask_route(struct pn_login *login)
{
	const struct pn_stage_request request = {
		.stage = PN_STAGE_ACCOUNT_ROUTE,
		.generation = login->generation,
		.session = login->session,
		.session_id = login->session->id,
		.arena = login->arena,
		.trail = &login->session->trail,
	};

	login->session->identity =
		pn_arena_keep(login->session->arena, login->credentials.identity);
	pn_stage_run(&request, routed, login);
}

/* By certificate alone only those come in who are known here. */
static bool is_stranger(const struct pn_login *login)
{
	return login->kind == PN_LOGIN_CERTIFICATE && !login->may_act;
}

static void account_found(void *user, const struct pn_lookup_result *result)
{
	struct pn_login *login = user;
	struct pn_session *session = login->session;

	/* An identity without an account here may still send; reading mail needs one. */
	if (result->outcome == PN_LOOKUP_FOUND && result->account_count == 1) {
		struct pn_account *account = pn_account_new(
			session->arena, result->accounts[0].name, result->accounts[0].store);

		account->quota_bytes = result->accounts[0].quota_bytes;
		session->account = account;
	} else if (result->outcome == PN_LOOKUP_FAILED) {
		login->error = result->error;
		pn_login_end(login, PN_SASL_TEMPORARY, NULL, login->error.text);
		return;
	} else if (result->outcome == PN_LOOKUP_DISABLED) {
		pn_login_end(login, PN_SASL_WRONG, NULL, "");
		return;
	} else if (is_stranger(login)) {
		pn_login_end(login, PN_SASL_WRONG, NULL, "its certificate names no account");
		return;
	}
	ask_route(login);
}

void pn_login_prove(struct pn_login *login)
{
	struct pn_credentials *credentials = &login->credentials;
	struct pn_address *address = PN_ARENA_NEW(login->arena, struct pn_address);

	/* Nobody acts for somebody else, unless a hook of auth.verify accepts it. */
	if (credentials->authorization.size > 0 &&
	    !pn_slice_equal_ignore_case(credentials->authorization, credentials->identity)) {
		if (!login->may_act) {
			pn_login_end(login, PN_SASL_WRONG, NULL, "it may act for nobody else");
			return;
		}
		credentials->identity = credentials->authorization;
	}
	if (pn_address_parse(credentials->identity, true, login->arena, address) != PN_OK) {
		if (is_stranger(login))
			pn_login_end(login, PN_SASL_WRONG, NULL,
			             "its certificate names no account");
		else
			ask_route(login);
		return;
	}
	pn_directory_find(login->session, login->generation, address, login->arena, account_found,
	                  login);
}

/* ---- the modules: on a worker thread ---- */

/* Sees the attempt's arena and the instances, nothing else. */
static void verify(struct pn_login *login, const struct pn_instance *instance)
{
	login->found = instance->module->authentication->verify == NULL
	                       ? PN_NOT_FOUND
	                       : instance->module->authentication->verify(
					 instance->state, &login->credentials, &login->error);
}

static void find_verifier(struct pn_login *login, const struct pn_instance *instance)
{
	struct pn_slice verifier = PN_SLICE_NONE;

	login->found = instance->module->authentication->verifier == NULL
	                       ? PN_NOT_FOUND
	                       : instance->module->authentication->verifier(
					 instance->state, login->credentials.identity,
					 login->mechanism->verifier, login->arena, &verifier,
					 &login->error);
	/* The first one that has something to show shows it. */
	if (login->found == PN_OK || login->verifier.size == 0)
		login->verifier = verifier;
	else
		wipe(verifier);
}

static enum pn_status ask_modules(void *argument, struct pn_error *error)
{
	struct pn_login *login = argument;
	const struct pn_generation *generation = login->generation;

	(void)error;
	login->found = PN_NOT_FOUND;
	for (size_t i = 0; i < generation->authentication_count && login->found == PN_NOT_FOUND;
	     i++) {
		if (login->kind == PN_LOGIN_VERIFIER)
			find_verifier(login, generation->authentications[i].instance);
		else
			verify(login, generation->authentications[i].instance);
	}
	return PN_OK;
}

static void modules_done(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct pn_login *login = argument;

	(void)error;
	if (status != PN_OK)
		login->found = PN_FAILED;
	login->in_job = false;
	/* When the session is gone, nobody continues and the attempt is released here. One that is
	 * about to go (its tickets are stale already) still has it and abandons it later. */
	if (login->is_abandoned)
		release_login(login);
	else
		pn_ticket_answer(login->job_ticket, PN_ANSWER_JOB, PN_OK, NULL, NULL, NULL);
}

static void modules_answered(void *user, const struct pn_answer *answer)
{
	struct pn_login *login = user;

	if (answer->kind == PN_ANSWER_TIMER) {
		/* The job still has it, and releases it when it is done. */
		login->is_abandoned = true;
		tell(login, PN_SASL_TEMPORARY, NULL, "the secret was not checked in time");
		return;
	}
	if (login->found != PN_OK && login->found != PN_DENIED && login->found != PN_NOT_FOUND)
		pn_login_end(login, PN_SASL_TEMPORARY, NULL, login->error.text);
	else if (login->kind == PN_LOGIN_VERIFIER)
		login->answered(login);
	else if (login->found == PN_OK)
		pn_login_prove(login);
	else
		pn_login_end(login, PN_SASL_WRONG, NULL, login->error.text);
}

static void submit_job(struct pn_login *login)
{
	const struct pn_job job = {
		.struct_size = sizeof(job),
		.pool = PN_POOL_PASSWORD,
		.work = ask_modules,
		.done = modules_done,
		.argument = login,
	};

	login->job_ticket = pn_ticket_open(login->session, modules_answered, login,
	                                   login->generation->auth_deadline_ms);
	login->in_job = true;
	if (pn_job_submit(&job, (struct pn_ticket){0, 0}) != PN_OK) {
		login->in_job = false;
		pn_ticket_cancel(login->job_ticket);
		pn_login_end(login, PN_SASL_TEMPORARY, NULL, "too many logins wait");
	}
}

/* ---- tokens: one module after the other, on the loop ---- */

static void ask_token(struct pn_login *login);

/* "Alice" is alice in the first domain of the configuration. */
static struct pn_slice full_name(struct pn_login *login, struct pn_slice name)
{
	const struct pn_generation *generation = login->generation;
	struct pn_buffer prepared;
	char *text;

	pn_buffer_init(&prepared, 4 * PN_PATH_MAX);
	if (pn_saslprep(name, &prepared) == PN_OK && prepared.size > 0)
		name = pn_buffer_slice(&prepared);
	if (memchr(name.data, '@', name.size) == NULL && generation->domain_count > 0)
		text = pn_arena_print(login->arena, "%.*s@%s", PN_SLICE_ARGS(name),
		                      generation->domains[0].name);
	else
		text = pn_arena_keep_text(login->arena, name);
	pn_buffer_clear(&prepared);
	for (char *letter = text; *letter != '\0'; letter++) {
		if (*letter >= 'A' && *letter <= 'Z')
			*letter += 'a' - 'A';
	}
	return pn_slice_of(text);
}

static bool is_name(struct pn_slice name)
{
	return name.size > 0 && name.size <= PN_PATH_MAX &&
	       memchr(name.data, '\0', name.size) == NULL;
}

/* The token is good; but it may be somebody else's. */
static void token_is_good(struct pn_login *login, struct pn_slice name)
{
	struct pn_slice identity;

	if (!is_name(name)) {
		pn_login_end(login, PN_SASL_TEMPORARY, NULL, "the token names nobody");
		return;
	}
	identity = full_name(login, name);
	if (login->credentials.identity.size > 0 &&
	    !pn_slice_equal(login->credentials.identity, identity)) {
		login->found = PN_DENIED;
		(void)pn_fail(&login->error, "the token is somebody else's");
		login->answered(login);
		return;
	}
	login->credentials.identity = identity;
	pn_login_prove(login);
}

static const char *kept_text(struct pn_login *login, const char *text)
{
	return text == NULL ? NULL : pn_arena_keep_text(login->arena, pn_slice_of(text));
}

static void token_answered(void *user, const struct pn_answer *answer)
{
	struct pn_login *login = user;
	const struct pn_token_answer *token = answer->result;

	if (answer->status == PN_OK && token != NULL) {
		token_is_good(login, token->identity);
	} else if (answer->status == PN_DENIED) {
		login->found = PN_DENIED;
		if (answer->error != NULL)
			login->error = *answer->error;
		if (token != NULL) {
			login->token.problem = kept_text(login, token->problem);
			login->token.scope = kept_text(login, token->scope);
			login->token.configuration = kept_text(login, token->configuration);
		}
		login->answered(login);
	} else if (answer->status == PN_NOT_FOUND) {
		ask_token(login);
	} else {
		pn_login_end(login, PN_SASL_TEMPORARY, NULL,
		             answer->error != NULL ? answer->error->text
		                                   : "the token was not judged in time");
	}
}

static void ask_token(struct pn_login *login)
{
	const struct pn_generation *generation = login->generation;

	while (login->next_module < generation->authentication_count) {
		const struct pn_instance *instance =
			generation->authentications[login->next_module++].instance;

		if (instance->module->authentication->token == NULL)
			continue;
		instance->module->authentication->token(
			instance->state, &login->credentials,
			pn_ticket_open(login->session, token_answered, login,
		                       generation->auth_deadline_ms));
		return;
	}
	login->found = PN_DENIED;
	login->answered(login);
}

/* ---- before the modules ---- */

static void judged(void *user, const struct pn_stage_result *result)
{
	struct pn_login *login = user;

	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
		break;
	case PN_VERDICT_ACCEPT:
		login->may_act = true;
		/* A proof cannot be answered for; and without a name there is nobody to be. */
		if (login->kind == PN_LOGIN_VERIFIER || login->credentials.identity.size == 0)
			break;
		pn_login_prove(login);
		return;
	case PN_VERDICT_REJECT:
		pn_login_end(login, PN_SASL_WRONG, &result->reply, "");
		return;
	case PN_VERDICT_DROP:
		pn_login_end(login, PN_SASL_DROP, NULL, "");
		return;
	default:
		pn_login_end(login, PN_SASL_TEMPORARY, &result->reply, "");
		return;
	}
	if (login->kind == PN_LOGIN_CERTIFICATE)
		pn_login_prove(login);
	else if (login->kind == PN_LOGIN_TOKEN)
		ask_token(login);
	else
		submit_job(login);
}

/* Whoever fails too often is not judged, right or wrong. */
static bool is_throttled(struct pn_login *login)
{
	const struct pn_generation *generation = login->generation;
	const struct pn_session *session = login->session;
	struct pn_reply reply = {.code = 0};
	const char *why;

	if (session->peer_is_loopback && !generation->login_limits.counts_loopback)
		return false;
	why = pn_throttle_take(&generation->login_limits, login->credentials.identity,
	                       session->peer, &login->claim);
	if (why == NULL)
		return false;
	pn_reply_set(&reply, 454, "4.7.0", why);
	pn_login_end(login, PN_SASL_TEMPORARY, &reply, why);
	return true;
}

void pn_login_ask(struct pn_login *login, const struct pn_login_claim *claim)
{
	struct pn_session *session = login->session;
	const struct pn_stage_request request = {
		.stage = PN_STAGE_AUTH_VERIFY,
		.generation = login->generation,
		.session = session,
		.session_id = session->id,
		.arena = login->arena,
		.trail = &session->trail,
		.subject = &login->credentials,
	};
	bool may_be_nobody = claim->kind == PN_LOGIN_TOKEN;

	login->kind = claim->kind;
	login->answered = claim->answered;
	login->credentials.secret = pn_arena_keep(login->arena, claim->secret);
	if ((!is_name(claim->identity) && !(may_be_nobody && claim->identity.size == 0)) ||
	    pn_slice_find(claim->secret, '\0') < claim->secret.size ||
	    claim->authorization.size > PN_PATH_MAX) {
		pn_login_end(login, PN_SASL_WRONG, NULL, "");
		return;
	}
	if (claim->identity.size > 0)
		login->credentials.identity = full_name(login, claim->identity);
	if (claim->authorization.size > 0)
		login->credentials.authorization = full_name(login, claim->authorization);
	if (!is_throttled(login))
		pn_stage_run(&request, judged, login);
}
