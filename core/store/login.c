/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One login attempt, step by step: the hooks of auth.verify, then the modules (in
 * one job on the password pool), then the directory, then account.route. What an
 * attempt needs lives in an arena of its own, because its job may outlive the
 * session.
 */
#include "store/login.h"

#include <postern/job.h>
#include <postern/text.h>

#include "io/digest.h"
#include "session/ticket.h"
#include "store/account.h"
#include "store/directory.h"

#include <stdlib.h>

struct attempt {
	struct pn_session *session; /* valid while its tickets are */
	struct pn_generation *generation;
	struct pn_arena *arena;
	struct pn_credentials credentials;
	struct pn_ticket ticket; /* the protocol's */
	struct pn_ticket job_ticket;
	bool in_job;       /* a job uses it: whoever ends leaves it to the job */
	bool is_abandoned; /* the session is gone */
	enum pn_status verified;
	struct pn_error error;
};

static void release_attempt(void *pointer)
{
	struct attempt *attempt = pointer;
	struct pn_arena *arena = attempt->arena;

	pn_wipe((void *)(uintptr_t)attempt->credentials.secret.data,
	        attempt->credentials.secret.size);
	pn_generation_drop(&attempt->generation);
	pn_arena_free(&arena);
}

/* The session ends in the middle of an attempt. */
static void abandon(struct pn_session *session, void *pointer)
{
	struct attempt *attempt = pointer;

	(void)session;
	attempt->is_abandoned = true;
	if (!attempt->in_job)
		release_attempt(attempt);
}

static void free_step(void *pointer)
{
	free(pointer);
}

void pn_login_answer(struct pn_session *session, struct pn_ticket ticket,
                     enum pn_sasl_outcome outcome, const struct pn_reply *reply)
{
	struct pn_sasl_step *step = calloc(1, sizeof(*step));

	(void)session;
	if (step == NULL)
		abort();
	step->struct_size = sizeof(*step);
	step->outcome = outcome;
	if (reply != NULL)
		step->reply = *reply;
	pn_ticket_answer(ticket, PN_ANSWER_SASL, PN_OK, step, free_step, NULL);
}

static const char *const outcome_names[] = {"challenge", "proven",    "wrong",   "temporary",
                                            "malformed", "cancelled", "unknown", "drop"};

/* The protocol hears of it, and the history. */
static void tell(struct attempt *attempt, enum pn_sasl_outcome outcome,
                 const struct pn_reply *reply, const char *why)
{
	struct pn_session *session = attempt->session;
	struct pn_event *event = pn_session_event(
		session, outcome == PN_SASL_TEMPORARY ? PN_LOG_WARNING : PN_LOG_INFO, "login");

	pn_event_text(event, "mechanism", pn_slice_of(attempt->credentials.mechanism));
	pn_event_text(event, "name", attempt->credentials.identity);
	pn_event_text(event, "outcome", pn_slice_of(outcome_names[outcome]));
	pn_event_bool(event, "encrypted", pn_session_is_encrypted(session));
	if (why[0] != '\0')
		pn_event_text(event, "text", pn_slice_of(why));
	pn_event_send(&event);
	session->login_attachment.release = NULL;
	if (outcome != PN_SASL_PROVEN)
		session->auth_failures++;
	pn_login_answer(session, attempt->ticket, outcome, reply);
}

static void end_attempt(struct attempt *attempt, enum pn_sasl_outcome outcome,
                        const struct pn_reply *reply)
{
	tell(attempt, outcome, reply, attempt->error.text);
	release_attempt(attempt);
}

static void routed(void *user, const struct pn_stage_result *result)
{
	struct attempt *attempt = user;
	struct pn_session *session = attempt->session;

	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
	case PN_VERDICT_ACCEPT:
		end_attempt(attempt, PN_SASL_PROVEN, NULL);
		return;
	default:
		break;
	}
	session->identity = PN_SLICE_NONE;
	session->account = NULL;
	if (result->verdict == PN_VERDICT_DROP)
		end_attempt(attempt, PN_SASL_DROP, NULL);
	else if (result->verdict == PN_VERDICT_REJECT)
		end_attempt(attempt, PN_SASL_WRONG, &result->reply);
	else if (result->verdict == PN_VERDICT_REDIRECT)
		end_attempt(attempt, PN_SASL_TEMPORARY, NULL);
	else
		end_attempt(attempt, PN_SASL_TEMPORARY, &result->reply);
}

static void ask_route(struct attempt *attempt)
{
	const struct pn_stage_request request = {
		.stage = PN_STAGE_ACCOUNT_ROUTE,
		.generation = attempt->generation,
		.session = attempt->session,
		.session_id = attempt->session->id,
		.arena = attempt->arena,
		.trail = &attempt->session->trail,
	};

	attempt->session->identity =
		pn_arena_keep(attempt->session->arena, attempt->credentials.identity);
	pn_stage_run(&request, routed, attempt);
}

static void account_found(void *user, const struct pn_lookup_result *result)
{
	struct attempt *attempt = user;
	struct pn_session *session = attempt->session;

	/* An identity without an account here may still send; reading mail needs one. */
	if (result->outcome == PN_LOOKUP_FOUND && result->account_count == 1) {
		struct pn_account *account = pn_account_new(
			session->arena, result->accounts[0].name, result->accounts[0].store);

		account->quota_bytes = result->accounts[0].quota_bytes;
		session->account = account;
	} else if (result->outcome == PN_LOOKUP_FAILED) {
		attempt->error = result->error;
		end_attempt(attempt, PN_SASL_TEMPORARY, NULL);
		return;
	} else if (result->outcome == PN_LOOKUP_DISABLED) {
		end_attempt(attempt, PN_SASL_WRONG, NULL);
		return;
	}
	ask_route(attempt);
}

static void proven(struct attempt *attempt)
{
	const struct pn_credentials *credentials = &attempt->credentials;
	struct pn_address *address = PN_ARENA_NEW(attempt->arena, struct pn_address);

	/* Nobody acts for somebody else, unless a hook of auth.verify accepts it. */
	if (credentials->authorization.size > 0 &&
	    !pn_slice_equal_ignore_case(credentials->authorization, credentials->identity)) {
		end_attempt(attempt, PN_SASL_WRONG, NULL);
		return;
	}
	if (pn_address_parse(credentials->identity, true, attempt->arena, address) != PN_OK) {
		ask_route(attempt);
		return;
	}
	pn_directory_find(attempt->session, attempt->generation, address, attempt->arena,
	                  account_found, attempt);
}

/* On a worker thread: sees the attempt's arena and the instances, nothing else. */
static enum pn_status verify(void *argument, struct pn_error *error)
{
	struct attempt *attempt = argument;
	const struct pn_generation *generation = attempt->generation;

	(void)error;
	attempt->verified = PN_DENIED;
	for (size_t i = 0; i < generation->authentication_count; i++) {
		const struct pn_instance *instance = generation->authentications[i].instance;
		enum pn_status status = instance->module->authentication->verify(
			instance->state, &attempt->credentials, &attempt->error);

		if (status == PN_NOT_FOUND)
			continue;
		attempt->verified = status;
		break;
	}
	return PN_OK;
}

static void verify_done(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct attempt *attempt = argument;

	(void)error;
	if (status != PN_OK)
		attempt->verified = PN_FAILED;
	attempt->in_job = false;
	/* When the session is gone, nobody continues and the attempt is released here. One that is
	 * about to go (its tickets are stale already) still has it and abandons it later. */
	if (attempt->is_abandoned)
		release_attempt(attempt);
	else
		pn_ticket_answer(attempt->job_ticket, PN_ANSWER_JOB, PN_OK, NULL, NULL, NULL);
}

static void verified(void *user, const struct pn_answer *answer)
{
	struct attempt *attempt = user;

	if (answer->kind == PN_ANSWER_TIMER) {
		/* The job still has it, and releases it when it is done. */
		attempt->is_abandoned = true;
		tell(attempt, PN_SASL_TEMPORARY, NULL, "the secret was not checked in time");
		return;
	}
	if (attempt->verified == PN_OK)
		proven(attempt);
	else if (attempt->verified == PN_DENIED)
		end_attempt(attempt, PN_SASL_WRONG, NULL);
	else
		end_attempt(attempt, PN_SASL_TEMPORARY, NULL);
}

static void judged(void *user, const struct pn_stage_result *result)
{
	struct attempt *attempt = user;
	const struct pn_job job = {
		.struct_size = sizeof(job),
		.pool = PN_POOL_PASSWORD,
		.work = verify,
		.done = verify_done,
		.argument = attempt,
	};

	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
		break;
	case PN_VERDICT_ACCEPT:
		attempt->credentials.authorization = PN_SLICE_NONE;
		proven(attempt);
		return;
	case PN_VERDICT_REJECT:
		end_attempt(attempt, PN_SASL_WRONG, &result->reply);
		return;
	case PN_VERDICT_DROP:
		end_attempt(attempt, PN_SASL_DROP, NULL);
		return;
	default:
		end_attempt(attempt, PN_SASL_TEMPORARY, &result->reply);
		return;
	}
	attempt->job_ticket = pn_ticket_open(attempt->session, verified, attempt,
	                                     attempt->generation->auth_deadline_ms);
	attempt->in_job = true;
	if (pn_job_submit(&job, (struct pn_ticket){0, 0}) != PN_OK) {
		attempt->in_job = false;
		pn_ticket_cancel(attempt->job_ticket);
		end_attempt(attempt, PN_SASL_TEMPORARY, NULL);
	}
}

/* "Alice" is alice in the first domain of the configuration. */
static struct pn_slice full_name(struct attempt *attempt, struct pn_slice name)
{
	const struct pn_generation *generation = attempt->generation;
	char *text;

	if (memchr(name.data, '@', name.size) == NULL && generation->domain_count > 0)
		text = pn_arena_print(attempt->arena, "%.*s@%s", PN_SLICE_ARGS(name),
		                      generation->domains[0].name);
	else
		text = pn_arena_keep_text(attempt->arena, name);
	for (char *letter = text; *letter != '\0'; letter++) {
		if (*letter >= 'A' && *letter <= 'Z')
			*letter += 'a' - 'A';
	}
	return pn_slice_of(text);
}

void pn_login_verify(struct pn_session *session, const char *mechanism, struct pn_slice identity,
                     struct pn_slice authorization, struct pn_slice secret, struct pn_ticket ticket)
{
	struct pn_arena *arena = pn_arena_new();
	struct attempt *attempt = PN_ARENA_NEW(arena, struct attempt);
	struct pn_stage_request request = {
		.stage = PN_STAGE_AUTH_VERIFY,
		.generation = session->generation,
		.session = session,
		.session_id = session->id,
		.arena = arena,
		.trail = &session->trail,
		.subject = &attempt->credentials,
	};

	attempt->session = session;
	attempt->arena = arena;
	attempt->ticket = ticket;
	attempt->generation = pn_generation_keep(session->generation);
	session->login_attachment.release = abandon;
	session->login_attachment.attachment = attempt;
	attempt->credentials = (struct pn_credentials){
		.struct_size = sizeof(struct pn_credentials),
		.mechanism = mechanism,
		.secret = pn_arena_keep(arena, secret),
		.failures = session->auth_failures,
	};
	if (identity.size == 0 || memchr(identity.data, 0, identity.size) != NULL ||
	    identity.size > PN_PATH_MAX || memchr(secret.data, 0, secret.size) != NULL) {
		end_attempt(attempt, PN_SASL_WRONG, NULL);
		return;
	}
	attempt->credentials.identity = full_name(attempt, identity);
	if (authorization.size > 0)
		attempt->credentials.authorization = full_name(attempt, authorization);
	pn_stage_run(&request, judged, attempt);
}
