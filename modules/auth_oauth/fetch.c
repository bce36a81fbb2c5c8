/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys from a server (`keys_url`): asked for when the first token comes, again when they
 * are old, and when a token names a key that is not among them, but not more often than
 * once in a while. Who comes while they are on their way waits for them; keys that are
 * there stay in use until newer ones are.
 */
#include "oauth.h"

#include <postern/clock.h>
#include <postern/http.h>
#include <postern/log.h>
#include <postern/text.h>

enum { FETCH_AGAIN_MS = 30 * 1000 };

static void judge(struct oauth *oauth, struct pn_slice token, struct pn_ticket ticket,
                  bool *key_is_missing_out)
{
	struct oauth_verdict verdict;

	oauth_token_judge(oauth->config, oauth->keys, token, pn_clock_wall_ms() / 1000, &verdict,
	                  key_is_missing_out);
	if (*key_is_missing_out && oauth->keys == NULL)
		oauth_answer_failed(ticket, "the keys that tokens are signed with are not there");
	else
		oauth_answer(oauth, ticket, &verdict);
}

static void take_keys(struct oauth *oauth, const struct pn_answer *answer)
{
	const struct pn_http_response *response = answer->result;
	struct oauth_keys *keys = NULL;
	struct pn_error error = {.text = "no answer in time"};
	enum pn_status status = answer->status;

	if (answer->error != NULL)
		error = *answer->error;
	if (status == PN_OK && response->status != 200)
		status = pn_fail(&error, "the answer is %u", response->status);
	if (status == PN_OK)
		status = oauth_keys_read(response->body, &keys, &error);
	if (status != PN_OK) {
		pn_log(PN_LOG_ERROR, "auth_oauth", "no keys from %s: %s", oauth->config->keys_url,
		       error.text);
		return;
	}
	oauth_keys_free(&oauth->keys);
	oauth->keys = keys;
}

static void fetched(void *user, const struct pn_answer *answer)
{
	struct oauth *oauth = user;
	bool key_is_missing;

	oauth->fetch = (struct pn_ticket){0, 0};
	take_keys(oauth, answer);
	while (oauth->waiting != NULL) {
		struct oauth_waiting *waiting = oauth->waiting;

		judge(oauth, pn_slice_make(waiting->token, waiting->token_size), waiting->ticket,
		      &key_is_missing);
		oauth_wait_end(&oauth->waiting, waiting);
	}
}

static void fetch(struct oauth *oauth)
{
	const struct pn_http_request request = {
		.struct_size = sizeof(request),
		.url = pn_slice_of(oauth->config->keys_url),
		.timeout_ms = oauth->config->request_timeout,
		.max_body = OAUTH_KEYS_SIZE_MAX,
		.allows_private = true, /* an operator has named it */
	};

	oauth->has_fetched = true;
	oauth->fetched_ms = pn_clock_monotonic_ms();
	oauth->fetch = pn_ticket_open(NULL, fetched, oauth, oauth->config->request_timeout + 1000);
	pn_http_ask(&request, oauth->fetch);
}

static bool is_fetching(const struct oauth *oauth)
{
	return pn_ticket_is_open(oauth->fetch);
}

/* Whether newer keys may be asked for: the old ones are, or it is a while ago. */
static bool may_fetch(const struct oauth *oauth, uint64_t age_ms)
{
	return oauth->config->keys_url[0] != '\0' && !is_fetching(oauth) &&
	       (!oauth->has_fetched || pn_clock_monotonic_ms() - oauth->fetched_ms >= age_ms);
}

static void wait_for_keys(struct oauth *oauth, struct pn_slice token, struct pn_ticket ticket)
{
	if (oauth_wait(oauth, &oauth->waiting, token, ticket) == NULL)
		oauth_answer_failed(ticket, "too many logins wait for keys");
}

void oauth_judge_signed(struct oauth *oauth, struct pn_slice token, struct pn_ticket ticket)
{
	struct oauth_verdict verdict;
	bool key_is_missing;

	if (may_fetch(oauth, oauth->config->keys_lifetime))
		fetch(oauth);
	oauth_token_judge(oauth->config, oauth->keys, token, pn_clock_wall_ms() / 1000, &verdict,
	                  &key_is_missing);
	if (key_is_missing && may_fetch(oauth, FETCH_AGAIN_MS))
		fetch(oauth);
	if (key_is_missing && is_fetching(oauth))
		wait_for_keys(oauth, token, ticket);
	else if (key_is_missing && oauth->keys == NULL)
		oauth_answer_failed(ticket, "the keys that tokens are signed with are not there");
	else
		oauth_answer(oauth, ticket, &verdict);
}
