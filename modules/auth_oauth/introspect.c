/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the server that gave a token out (RFC 7662). What it said is kept for as long as
 * the token is good, and not longer than an option says: a token that was taken back is
 * believed for so long. A server that does not answer is trouble of ours, and never a yes.
 */
#include "oauth.h"

#include <postern/clock.h>
#include <postern/http.h>
#include <postern/text.h>

enum { BODY_MAX = 4 * OAUTH_TOKEN_MAX, CREDENTIALS_MAX = 4096 };

/* application/x-www-form-urlencoded: what is not plain is escaped. */
static void put_escaped(struct pn_buffer *out, struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		unsigned char byte = (unsigned char)text.data[i];
		bool is_plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
		                (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' ||
		                byte == '_' || byte == '~';

		if (is_plain)
			(void)!pn_buffer_append(out, pn_slice_make(text.data + i, 1));
		else
			(void)!pn_buffer_print(out, "%%%02X", byte);
	}
}

/* RFC 6749 section 2.3.1: both are escaped first. */
static void put_credentials(const struct oauth_config *config, struct pn_buffer *out)
{
	struct pn_buffer text;

	pn_buffer_init(&text, CREDENTIALS_MAX);
	put_escaped(&text, pn_slice_of(config->client_id));
	(void)!pn_buffer_append(&text, PN_SLICE(":"));
	put_escaped(&text, pn_slice_of(config->client_secret));
	(void)!pn_buffer_append(out, PN_SLICE("Basic "));
	(void)!pn_base64_encode(out, pn_buffer_slice(&text));
	if (text.data != NULL)
		explicit_bzero(text.data, text.size);
	pn_buffer_clear(&text);
}

static void keep(struct oauth *oauth, const struct oauth_waiting *waiting,
                 const struct oauth_verdict *verdict)
{
	int64_t left_ms = verdict->expires_s * 1000 - pn_clock_wall_ms();
	uint64_t lifetime_ms = oauth->config->cache_lifetime;

	if (verdict->expires_s != 0 && left_ms <= 0)
		return;
	if (verdict->expires_s != 0 && (uint64_t)left_ms < lifetime_ms)
		lifetime_ms = (uint64_t)left_ms;
	oauth_cache_put(oauth->cache, waiting->digest, verdict->account,
	                pn_clock_monotonic_ms() + lifetime_ms);
}

/* The body of an answer. */
static void judge(struct oauth *oauth, const struct oauth_waiting *waiting, struct pn_slice body)
{
	json_error_t problem;
	json_t *claims = json_loadb(body.data, body.size, JSON_REJECT_DUPLICATES, &problem);
	const json_t *active = json_object_get(claims, "active");
	struct oauth_verdict verdict = {
		.status = PN_DENIED,
		.problem = "invalid_token",
		.why = "the server does not know it",
	};

	if (!json_is_boolean(active)) {
		oauth_answer_failed(waiting->ticket,
		                    "the server's answer about a token is no answer");
	} else {
		if (json_is_true(active))
			oauth_claims_judge(oauth->config, claims, false, pn_clock_wall_ms() / 1000,
			                   &verdict);
		if (verdict.status == PN_OK)
			keep(oauth, waiting, &verdict);
		oauth_answer(oauth, waiting->ticket, &verdict);
	}
	json_decref(claims);
}

static void answered(void *user, const struct pn_answer *answer)
{
	struct oauth_waiting *waiting = user;
	struct oauth *oauth = waiting->oauth;
	const struct pn_http_response *response = answer->result;

	if (answer->status != PN_OK)
		oauth_answer_failed(waiting->ticket,
		                    answer->error != NULL ? answer->error->text
		                                          : "the server of tokens does not answer");
	else if (response->status != 200)
		oauth_answer_failed(waiting->ticket,
		                    response->status == 401 || response->status == 403
		                            ? "the server of tokens does not take client_id and "
		                              "client_secret"
		                            : "the server of tokens has trouble");
	else
		judge(oauth, waiting, response->body);
	oauth_wait_end(&oauth->asking, waiting);
}

static void ask(struct oauth *oauth, struct oauth_waiting *waiting)
{
	struct pn_buffer credentials;
	struct pn_buffer body;
	struct pn_http_header headers[] = {
		{PN_SLICE("Content-Type"), PN_SLICE("application/x-www-form-urlencoded")},
		{PN_SLICE("Accept"), PN_SLICE("application/json")},
		{PN_SLICE("Authorization"), PN_SLICE_NONE},
	};
	struct pn_http_request request = {
		.struct_size = sizeof(request),
		.method = "POST",
		.url = pn_slice_of(oauth->config->introspection_url),
		.headers = headers,
		.header_count = sizeof(headers) / sizeof(headers[0]),
		.timeout_ms = oauth->config->request_timeout,
		.max_body = OAUTH_ANSWER_MAX,
		.allows_private = true, /* an operator has named it */
	};

	pn_buffer_init(&credentials, 2 * CREDENTIALS_MAX);
	pn_buffer_init(&body, BODY_MAX);
	put_credentials(oauth->config, &credentials);
	headers[2].value = pn_buffer_slice(&credentials);
	(void)!pn_buffer_append(&body, PN_SLICE("token_type_hint=access_token&token="));
	put_escaped(&body, pn_slice_make(waiting->token, waiting->token_size));
	request.body = pn_buffer_slice(&body);
	waiting->request =
		pn_ticket_open(NULL, answered, waiting, oauth->config->request_timeout + 1000);
	pn_http_ask(&request, waiting->request);
	explicit_bzero(credentials.data, credentials.size);
	explicit_bzero(body.data, body.size);
	pn_buffer_clear(&credentials);
	pn_buffer_clear(&body);
}

void oauth_introspect(struct oauth *oauth, struct pn_slice token, struct pn_ticket ticket)
{
	struct oauth_verdict verdict = {.status = PN_OK};
	uint8_t digest[OAUTH_DIGEST_SIZE];
	struct oauth_waiting *waiting;
	const char *account;

	pn_sha256(token, digest);
	account = oauth_cache_get(oauth->cache, digest, pn_clock_monotonic_ms());
	if (account != NULL) {
		memcpy(verdict.account, account, strlen(account) + 1);
		oauth_answer(oauth, ticket, &verdict);
		return;
	}
	waiting = oauth_wait(oauth, &oauth->asking, token, ticket);
	if (waiting == NULL) {
		oauth_answer_failed(ticket, "too many logins wait for the server of tokens");
		return;
	}
	memcpy(waiting->digest, digest, sizeof(digest));
	ask(oauth, waiting);
}
