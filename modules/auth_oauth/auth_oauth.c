/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_oauth: tokens of an OAuth 2 server, for OAUTHBEARER and XOAUTH2. README.md has
 * the two ways in which they are judged.
 */
#include "oauth.h"

#include <postern/module.h>
#include <postern/text.h>

#include <stdlib.h>

/* ---- attempts that wait ---- */

struct oauth_waiting *oauth_wait(struct oauth *oauth, struct oauth_waiting **list,
                                 struct pn_slice token, struct pn_ticket ticket)
{
	struct oauth_waiting *waiting;

	if (oauth->waiting_count >= OAUTH_WAITING_MAX)
		return NULL;
	waiting = calloc(1, sizeof(*waiting) + token.size);
	if (waiting == NULL)
		abort();
	waiting->oauth = oauth;
	waiting->ticket = ticket;
	waiting->token_size = token.size;
	memcpy(waiting->token, token.data, token.size);
	waiting->next = *list;
	*list = waiting;
	oauth->waiting_count++;
	return waiting;
}

void oauth_wait_end(struct oauth_waiting **list, struct oauth_waiting *waiting)
{
	while (*list != waiting)
		list = &(*list)->next;
	*list = waiting->next;
	waiting->oauth->waiting_count--;
	explicit_bzero(waiting->token, waiting->token_size);
	free(waiting);
}

static void end_all(struct oauth_waiting **list)
{
	while (*list != NULL) {
		pn_ticket_cancel((*list)->request);
		oauth_answer_failed((*list)->ticket, "the gateway stops");
		oauth_wait_end(list, *list);
	}
}

/* ---- answers ---- */

/* One block: the answer, and the texts that it points to. */
struct told {
	struct pn_token_answer answer;
	char account[OAUTH_ACCOUNT_MAX + 1];
	char configuration[512];
	char scope[512];
};

static void join(const struct pn_text_list *list, char *room, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < list->count; i++) {
		size_t length = strlen(list->items[i]);

		if (used + length + 2 > size)
			return;
		if (used > 0)
			room[used++] = ' ';
		memcpy(room + used, list->items[i], length + 1);
		used += length;
	}
}

void oauth_answer(const struct oauth *oauth, struct pn_ticket ticket,
                  const struct oauth_verdict *verdict)
{
	struct told *told = calloc(1, sizeof(*told));
	struct pn_error error = {.text = ""};

	if (told == NULL)
		abort();
	told->answer.struct_size = sizeof(told->answer);
	if (verdict->status == PN_OK) {
		memcpy(told->account, verdict->account, sizeof(told->account));
		told->answer.identity = pn_slice_of(told->account);
	} else {
		(void)pn_fail(&error, "%s", verdict->why);
		told->answer.problem = verdict->problem;
		join(&oauth->config->scope, told->scope, sizeof(told->scope));
		told->answer.scope = told->scope;
		if (strlen(oauth->config->discovery_url) < sizeof(told->configuration))
			memcpy(told->configuration, oauth->config->discovery_url,
			       strlen(oauth->config->discovery_url) + 1);
		told->answer.configuration = told->configuration;
	}
	pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, verdict->status, told, free,
	                 verdict->status == PN_OK ? NULL : &error);
}

void oauth_answer_failed(struct pn_ticket ticket, const char *why)
{
	struct pn_error error;
	enum pn_status status = pn_fail(&error, "%s", why);

	pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, status, NULL, NULL, &error);
}

static bool has_keys(const struct oauth_config *config)
{
	return config->keys != NULL || config->keys_url[0] != '\0';
}

static void token(void *instance, const struct pn_credentials *credentials, struct pn_ticket ticket)
{
	static const struct oauth_verdict too_large = {
		.status = PN_DENIED,
		.problem = "invalid_token",
		.why = "it is too large",
	};
	static const struct oauth_verdict not_ours = {
		.status = PN_NOT_FOUND,
		.why = "it is not signed",
	};
	struct oauth *oauth = instance;
	struct pn_slice secret = credentials->secret;

	if (secret.size == 0 || secret.size > OAUTH_TOKEN_MAX)
		oauth_answer(oauth, ticket, &too_large);
	else if (has_keys(oauth->config) && oauth_token_is_signed(secret))
		oauth_judge_signed(oauth, secret, ticket);
	else if (oauth->config->introspection_url[0] != '\0')
		oauth_introspect(oauth, secret, ticket);
	else
		oauth_answer(oauth, ticket, &not_ours);
}

static const struct pn_authentication oauth_authentication = {
	.struct_size = sizeof(struct pn_authentication),
	.token = token,
};

/* ---- module ---- */

/* Tokens and keys do not cross a network in the clear. */
static bool is_safe_url(const char *url)
{
	static const char *const local[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};

	if (strncmp(url, "https://", 8) == 0)
		return url[8] != '\0';
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
		size_t size = strlen(local[i]);

		if (strncmp(url, local[i], size) == 0 && (url[size] == ':' || url[size] == '/'))
			return true;
	}
	return false;
}

static enum pn_status check_url(const char *name, const char *url, struct pn_error *error)
{
	if (url[0] == '\0' || is_safe_url(url))
		return PN_OK;
	return pn_fail(error,
	               "%s = \"%s\" must begin with https:// (http:// only for this machine)", name,
	               url);
}

static enum pn_status check_config(const void *pointer, struct pn_error *error)
{
	const struct oauth_config *config = pointer;
	struct oauth_keys *keys = NULL;
	enum pn_status status;

	if (!has_keys(config) && config->introspection_url[0] == '\0')
		return pn_fail(error, "nothing says how tokens are judged: give keys, keys_url or "
		                      "introspection_url");
	if (config->keys != NULL && config->keys_url[0] != '\0')
		return pn_fail(error, "keys and keys_url exclude each other");
	if (has_keys(config) && (config->issuer[0] == '\0' || config->audience.count == 0))
		return pn_fail(error, "with keys, issuer and audience must be given: a token that "
		                      "was made for somebody else is signed as well");
	if (config->introspection_url[0] != '\0' && config->client_id[0] == '\0')
		return pn_fail(error, "introspection_url needs client_id");
	if (config->account_claim[0] == '\0')
		return pn_fail(error,
		               "account_claim is empty: name the claim that has the account");
	if (check_url("keys_url", config->keys_url, error) != PN_OK ||
	    check_url("introspection_url", config->introspection_url, error) != PN_OK)
		return PN_FAILED;
	if (config->keys == NULL)
		return PN_OK;
	status = oauth_keys_read_file(config->keys, &keys, error);
	oauth_keys_free(&keys);
	return status;
}

static void stop(void *instance)
{
	struct oauth *oauth = instance;

	pn_ticket_cancel(oauth->fetch);
	end_all(&oauth->waiting);
	end_all(&oauth->asking);
	oauth_keys_free(&oauth->keys);
	oauth_keys_free(&oauth->prepared_keys);
	oauth_cache_free(&oauth->cache);
	free(oauth);
}

static enum pn_status start(const struct pn_start *begin, void **instance_out,
                            struct pn_error *error)
{
	struct oauth *oauth = calloc(1, sizeof(*oauth));

	if (oauth == NULL)
		abort();
	oauth->config = begin->config;
	if (oauth->config->keys != NULL &&
	    oauth_keys_read_file(oauth->config->keys, &oauth->keys, error) != PN_OK) {
		free(oauth);
		return PN_FAILED;
	}
	oauth->cache = oauth_cache_new(oauth->config->cache_entries);
	*instance_out = oauth;
	return PN_OK;
}

/* A reload reads the file of keys again. */
static enum pn_status prepare(void *instance, const void *new_config, struct pn_error *error)
{
	const struct oauth_config *config = new_config;
	struct oauth *oauth = instance;

	oauth_keys_free(&oauth->prepared_keys);
	return config->keys == NULL
	               ? PN_OK
	               : oauth_keys_read_file(config->keys, &oauth->prepared_keys, error);
}

/* What was learned by other rules is forgotten. */
static void adopt(void *instance, const void *new_config)
{
	struct oauth *oauth = instance;

	oauth->config = new_config;
	oauth->has_fetched = false;
	if (oauth->config->keys != NULL || oauth->config->keys_url[0] == '\0') {
		oauth_keys_free(&oauth->keys);
		oauth->keys = oauth->prepared_keys;
		oauth->prepared_keys = NULL;
	}
	oauth_cache_free(&oauth->cache);
	oauth->cache = oauth_cache_new(oauth->config->cache_entries);
}

static void abandon(void *instance, const void *new_config)
{
	struct oauth *oauth = instance;

	(void)new_config;
	oauth_keys_free(&oauth->prepared_keys);
}

static const struct pn_option oauth_options[] = {
	PN_OPTION_STRING(struct oauth_config, issuer, "", .flags = PN_OPTION_RELOADABLE,
                         .summary = "Who gives the tokens out: the claim iss must be just this."),
	PN_OPTION_LIST(struct oauth_config, audience, NULL, .flags = PN_OPTION_RELOADABLE,
                       .summary = "Names of this service: the claim aud must have one of them."),
	PN_OPTION_LIST(struct oauth_config, scope, NULL, .flags = PN_OPTION_RELOADABLE,
                       .summary = "Scopes that a token must have, all of them."),
	PN_OPTION_STRING(struct oauth_config, account_claim, "email", .flags = PN_OPTION_RELOADABLE,
                         .summary = "Claim that names the account; an email whose email_verified "
                                    "is false names nobody."),
	PN_OPTION_PATH(struct oauth_config, keys, NULL, .flags = PN_OPTION_RELOADABLE,
                       .summary = "File with the public keys that sign tokens, in PEM form or as a "
                                  "set in JSON; read at the start and at a reload."),
	PN_OPTION_STRING(struct oauth_config, keys_url, "", .flags = PN_OPTION_RELOADABLE,
                         .summary = "Where the server has its set of keys (jwks_uri); in place of "
                                    "keys."),
	PN_OPTION_DURATION(struct oauth_config, keys_lifetime, "1h", .minimum_text = "1s",
                           .maximum_text = "30d", .flags = PN_OPTION_RELOADABLE,
                           .summary = "Keys from a server are asked for again after so long."),
	PN_OPTION_STRING(struct oauth_config, introspection_url, "", .flags = PN_OPTION_RELOADABLE,
                         .summary = "Where the server is asked about tokens (RFC 7662) that no key "
                                    "can judge."),
	PN_OPTION_STRING(struct oauth_config, client_id, "", .flags = PN_OPTION_RELOADABLE,
                         .summary = "Our name at the introspection_url."),
	PN_OPTION_STRING(struct oauth_config, client_secret, "",
                         .flags = PN_OPTION_RELOADABLE | PN_OPTION_SECRET,
                         .summary = "Our password there."),
	PN_OPTION_DURATION(struct oauth_config, cache_lifetime, "1m", .minimum_text = "1ms",
                           .maximum_text = "1d", .flags = PN_OPTION_RELOADABLE,
                           .summary = "What a server said of a token is believed for so long, and "
                                      "never longer than the token is good."),
	PN_OPTION_COUNT(struct oauth_config, cache_entries, "10000", .minimum_text = "1",
                        .maximum_text = "1000000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most tokens that an answer is kept of, in each worker."),
	PN_OPTION_DURATION(struct oauth_config, request_timeout, "10s", .minimum_text = "10ms",
                           .maximum_text = "1m", .flags = PN_OPTION_RELOADABLE,
                           .summary = "A server that has not answered by then is trouble: the "
                                      "login fails for now."),
	PN_OPTION_DURATION(struct oauth_config, clock_skew, "1m", .minimum_text = "0ms",
                           .maximum_text = "1h", .flags = PN_OPTION_RELOADABLE,
                           .summary = "How far the clock of the server may be from ours."),
	PN_OPTION_STRING(struct oauth_config, discovery_url, "", .flags = PN_OPTION_RELOADABLE,
                         .summary = "Told to clients whose token is no good: the document that "
                                    "says where they get one (openid-configuration)."),
	PN_OPTION_TABLE_END,
};

PN_MODULE(auth_oauth, .version = "1.0", .summary = "Logins with tokens of an OAuth 2 server.",
          .options = oauth_options, .config_size = sizeof(struct oauth_config),
          .authentication = &oauth_authentication, .check_config = check_config, .start = start,
          .prepare = prepare, .adopt = adopt, .abandon = abandon, .stop = stop, );
