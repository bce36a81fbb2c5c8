/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module dkim_sign: signs what our own users send, and what scripts ask for. Signing is the
 * last thing that happens to a message, and a job: RSA takes a millisecond.
 */
#include <postern/check.h>
#include <postern/clock.h>
#include <postern/job.h>
#include <postern/log.h>
#include <postern/module.h>
#include <postern/network.h>
#include <postern/session.h>
#include <postern/text.h>
#include <postern/transaction.h>

#include "dkim_sign.h"

#include "../dkim/dkim.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 10000, SIGNATURES_SIZE = 256 * 1024 };

static const char *const canonicalizations[] = {"relaxed/relaxed", "relaxed/simple",
                                                "simple/relaxed", "simple/simple", NULL};

/* ---- digests ---- */

static bool relaxes_body(const struct dkim_sign_config *config)
{
	return strcmp(strchr(canonicalizations[config->canonicalization], '/'), "/relaxed") == 0;
}

/* Whatever comes: scripts may ask when the body is long over. */
static enum pn_verdict prepare_digest(const struct pn_stage_call *call)
{
	if (pn_transaction_want_digest(call->transaction, relaxes_body(call->config), UINT64_MAX) !=
	    PN_OK)
		return pn_hook_failed(call, "the body is digested for too many signatures");
	return PN_VERDICT_CONTINUE;
}

/* ---- whose mail is signed ---- */

static bool is_own(const struct pn_stage_call *call)
{
	const struct dkim_sign_config *config = call->config;

	return config->signs_own && call->session != NULL &&
	       (pn_session_identity(call->session).size > 0 ||
	        pn_networks_have(&config->networks, pn_session_peer(call->session)));
}

static bool has_active(const struct dkim_sign_keys *keys, struct pn_slice domain)
{
	const struct dkim_sign_key *key = dkim_sign_keys_next(keys, domain, NULL);

	while (key != NULL && key->use != DKIM_SIGN_ACTIVE)
		key = dkim_sign_keys_next(keys, domain, key);
	return key != NULL;
}

/* The domain of the author, or the nearest above it that has keys: those stand for it, too. */
static void ask_for_author(const struct pn_stage_call *call)
{
	const struct dkim_sign_instance *instance = call->instance;
	struct pn_slice domain = dkim_sign_author(call->transaction, call->arena);
	struct dkim_sign_request request = {.domain = PN_SLICE_NONE};

	while (domain.size > 0 && !has_active(instance->keys, domain))
		(void)pn_slice_cut(&domain, '.');
	request.domain = domain;
	if (domain.size > 0 &&
	    dkim_sign_request_add(call->transaction, &request, call->arena) != PN_OK)
		pn_log(PN_LOG_WARNING, "dkim_sign",
		       "message %s is not signed: its From is no domain",
		       pn_transaction_id(call->transaction));
}

/* ---- the job ---- */

/* Copies of all that it needs: the message may be gone before it ends. */
struct signing {
	struct pn_ticket ticket;
	const struct pn_stage_call *call; /* valid while the ticket is open */
	struct dkim_sign_keys *keys;
	struct pn_arena *arena;
	struct pn_slice header;
	struct pn_slice requests;
	const char *canonicalization;
	struct pn_check_digest digest;
	int64_t now_ms;
	struct pn_buffer fields;
};

static enum pn_status sign_with(struct signing *signing, const struct pn_header *header,
                                const struct dkim_sign_request *request,
                                const struct dkim_sign_key *key, struct pn_error *error)
{
	uint64_t lifetime = 0;
	const char *expires = "";
	const bool ends = pn_parse_count(request->lifetime, &lifetime) == PN_OK;
	const struct pn_check_value values[] = {
		{PN_SLICE("domain"), pn_slice_of(key->domain)},
		{PN_SLICE("selector"), pn_slice_of(key->selector)},
		{PN_SLICE("identity"), request->identity},
		{PN_SLICE("headers"), request->headers},
		{PN_SLICE("canonicalization"), pn_slice_of(signing->canonicalization)},
		{PN_SLICE("expires"), PN_SLICE_NONE},
	};
	struct pn_check_value given[sizeof(values) / sizeof(values[0])];
	struct pn_signing what = {
		.struct_size = sizeof(what),
		.now_ms = signing->now_ms,
		.values = given,
		.value_count = sizeof(values) / sizeof(values[0]),
		.header = header,
		.key = key->text,
		.simple = signing->digest, /* the one that is wanted; the other is not looked at */
		.relaxed = signing->digest,
	};

	memcpy(given, values, sizeof(given));
	if (ends) {
		expires = pn_arena_print(
			signing->arena, "%llu",
			(unsigned long long)((uint64_t)(signing->now_ms / 1000) + lifetime));
		given[what.value_count - 1].value = pn_slice_of(expires);
	}
	return dkim_sign(&what, signing->arena, &signing->fields, error);
}

static bool is_meant(const struct dkim_sign_request *request, const struct dkim_sign_key *key)
{
	return request->selector.size == 0
	               ? key->use == DKIM_SIGN_ACTIVE
	               : pn_slice_equal_ignore_case(request->selector, pn_slice_of(key->selector));
}

static enum pn_status work(void *argument, struct pn_error *error)
{
	struct signing *signing = argument;
	struct dkim_sign_request request;
	struct pn_slice rest = signing->requests;
	struct pn_header header;
	enum pn_status status =
		pn_header_parse(signing->header, FIELDS_MAX, signing->arena, &header);

	if (status != PN_OK)
		return pn_fail(error, "the header has too many fields to be signed");
	while (status == PN_OK && dkim_sign_request_next(&rest, &request)) {
		const struct dkim_sign_key *key = NULL;
		bool was_signed = false;

		while (status == PN_OK &&
		       (key = dkim_sign_keys_next(signing->keys, request.domain, key)) != NULL) {
			if (!is_meant(&request, key))
				continue;
			status = sign_with(signing, &header, &request, key, error);
			was_signed = true;
		}
		if (!was_signed)
			status = pn_fail(error, "the key that was asked for is there no more");
	}
	return status;
}

/* Each as it was signed: value and folds. */
static enum pn_status add_fields(const struct pn_stage_call *call, const struct signing *signing)
{
	struct pn_header fields;
	enum pn_status status = pn_header_parse(pn_buffer_slice(&signing->fields), FIELDS_MAX,
	                                        call->arena, &fields);

	for (size_t i = 0; i < fields.count && status == PN_OK; i++)
		status = pn_transaction_header_add(call->transaction, fields.fields[i].name,
		                                   pn_slice_behind(fields.fields[i].value, 1));
	return status;
}

static void done(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct signing *signing = argument;
	struct pn_arena *arena = signing->arena;

	if (pn_ticket_is_open(signing->ticket)) {
		const struct pn_stage_call *call = signing->call;
		enum pn_verdict verdict = PN_VERDICT_CONTINUE;

		if (status != PN_OK)
			verdict = pn_hook_failed(call, "%s", error->text);
		else if (add_fields(call, signing) != PN_OK)
			verdict = pn_hook_failed(call, "the signature cannot be added");
		pn_hook_answer(call, verdict);
	}
	dkim_sign_keys_drop(&signing->keys);
	pn_buffer_clear(&signing->fields);
	pn_arena_free(&arena);
}

static struct signing *new_signing(const struct pn_stage_call *call,
                                   const struct pn_check_digest *digest)
{
	const struct dkim_sign_instance *instance = call->instance;
	const struct dkim_sign_config *config = call->config;
	const struct pn_header *header = pn_transaction_header(call->transaction);
	struct pn_arena *arena = pn_arena_new();
	struct signing *signing = PN_ARENA_NEW(arena, struct signing);

	signing->ticket = call->ticket;
	signing->call = call;
	signing->keys = dkim_sign_keys_keep(instance->keys);
	signing->arena = arena;
	if (header != NULL && header->count > 0)
		signing->header = pn_arena_keep(
			arena, pn_slice_make(header->fields[0].whole.data, header->size));
	signing->requests = pn_arena_keep(arena, dkim_sign_requests(call->transaction));
	signing->canonicalization = canonicalizations[config->canonicalization];
	signing->digest = *digest;
	signing->now_ms = pn_clock_wall_ms();
	pn_buffer_init(&signing->fields, SIGNATURES_SIZE);
	return signing;
}

static enum pn_verdict sign(const struct pn_stage_call *call)
{
	const struct pn_check_digest *digest;
	struct signing *signing;
	struct pn_job job = {
		.struct_size = sizeof(job), .pool = PN_POOL_MODULE, .work = work, .done = done};

	if (is_own(call))
		ask_for_author(call);
	if (dkim_sign_requests(call->transaction).size == 0)
		return PN_VERDICT_CONTINUE;
	digest = pn_transaction_digest(call->transaction, relaxes_body(call->config), UINT64_MAX);
	if (digest == NULL)
		return pn_hook_failed(call, "there is no digest of the body");
	signing = new_signing(call, digest);
	job.argument = signing;
	if (pn_job_submit(&job, (struct pn_ticket){0, 0}) != PN_OK) {
		signing->ticket = (struct pn_ticket){0, 0};
		done(signing, PN_FAILED, NULL);
		return pn_hook_failed(call, "too many messages wait for their signatures");
	}
	return PN_VERDICT_PENDING;
}

static const struct pn_hook dkim_sign_hooks[] = {
	{.stage = PN_STAGE_MESSAGE_HEADERS,
         .order = PN_ORDER_EARLY,
         .on_error = PN_ON_ERROR_DEFER,
         .summary = "Has the body digested, for the signature.",
         .run = prepare_digest},
	{.stage = PN_STAGE_MESSAGE_CHANGE,
         .order = PN_ORDER_LATE,
         .on_error = PN_ON_ERROR_DEFER,
         .wall_budget_ms = 30000,
         .summary = "Signs what our users send, and what scripts ask for (DKIM).",
         .run = sign},
	{.stage = PN_STAGE_NONE},
};

/* ---- the instance ---- */

static enum pn_status check_config(const void *config, struct pn_error *error)
{
	const struct dkim_sign_config *own = config;
	struct dkim_sign_keys *keys = NULL;

	if (dkim_sign_keys_read(own->keys, &keys, error) != PN_OK)
		return PN_FAILED;
	dkim_sign_keys_drop(&keys);
	return pn_networks_check(&own->networks, error);
}

static enum pn_status prepare(void *instance, const void *new_config, struct pn_error *error)
{
	struct dkim_sign_instance *own = instance;
	const struct dkim_sign_config *config = new_config;

	return dkim_sign_keys_read(config->keys, &own->prepared, error);
}

static void adopt(void *instance, const void *new_config)
{
	struct dkim_sign_instance *own = instance;

	(void)new_config;
	dkim_sign_keys_drop(&own->keys);
	own->keys = own->prepared;
	own->prepared = NULL;
}

static void abandon(void *instance, const void *new_config)
{
	struct dkim_sign_instance *own = instance;

	(void)new_config;
	dkim_sign_keys_drop(&own->prepared);
}

static enum pn_status start(const struct pn_start *start, void **instance_out,
                            struct pn_error *error)
{
	struct dkim_sign_instance *instance = calloc(1, sizeof(*instance));

	if (instance == NULL)
		abort();
	if (prepare(instance, start->config, error) != PN_OK) {
		free(instance);
		return PN_FAILED;
	}
	adopt(instance, start->config);
	*instance_out = instance;
	return PN_OK;
}

static void stop(void *instance)
{
	struct dkim_sign_instance *own = instance;

	dkim_sign_keys_drop(&own->keys);
	dkim_sign_keys_drop(&own->prepared);
	free(own);
}

static const struct pn_option dkim_sign_options[] = {
	PN_OPTION_PATH(
		struct dkim_sign_config, keys, NULL,
		.flags = PN_OPTION_RELOADABLE | PN_OPTION_REQUIRED,
		.summary = "The table of keys: \"DOMAIN SELECTOR FILE\" a line, with files named "
			   "from its folder; old or new behind it: in DNS, but not used."),
	PN_OPTION_CHOICE(struct dkim_sign_config, canonicalization, "relaxed/relaxed",
                         .choices = canonicalizations, .flags = PN_OPTION_RELOADABLE,
                         .summary = "What may change on the way (RFC 6376 section 3.4), in the "
                                    "header and in the body."),
	PN_OPTION_BOOL(struct dkim_sign_config, signs_own, "yes", .flags = PN_OPTION_RELOADABLE,
                       .summary = "Mail of those who authenticated, and of clients in networks, is "
                                  "signed with the active keys of the domain in From, or of the "
                                  "nearest above it that has some. What else is signed is what "
                                  "scripts ask for."),
	PN_OPTION_LIST(struct dkim_sign_config, networks, "127.0.0.0/8 ::1 unix",
                       .flags = PN_OPTION_RELOADABLE,
                       .summary = "Clients whose mail is ours, whoever they are."),
	PN_OPTION_TABLE_END,
};

PN_MODULE(dkim_sign, .version = "1.0",
          .summary = "DKIM signatures on mail that our users send, and by scripts.",
          .options = dkim_sign_options, .config_size = sizeof(struct dkim_sign_config),
          .hooks = dkim_sign_hooks, .lua_library = &dkim_sign_library, .check_config = check_config,
          .start = start, .prepare = prepare, .adopt = adopt, .abandon = abandon, .stop = stop, );
