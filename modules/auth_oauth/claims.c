/* SPDX-License-Identifier: Apache-2.0 */
/* What the claims of a token must be (RFC 7519 section 4.1, RFC 8693 section 4.2, RFC 9068). */
#include "oauth.h"

#include <postern/text.h>

static void deny(struct oauth_verdict *verdict, const char *problem, const char *why)
{
	verdict->status = PN_DENIED;
	verdict->problem = problem;
	verdict->why = why;
}

/* A number of seconds; false where it is not one. */
static bool read_time(const json_t *claim, int64_t *seconds_out)
{
	double value = json_number_value(claim);

	if (!json_is_number(claim) || !(value >= 0 && value < 1e15))
		return false;
	*seconds_out = (int64_t)value;
	return true;
}

/* When it begins and ends. */
static bool judge_time(const struct oauth_config *config, const json_t *claims, bool is_signed,
                       int64_t now_s, struct oauth_verdict *verdict)
{
	const json_t *end = json_object_get(claims, "exp");
	const json_t *begin = json_object_get(claims, "nbf");
	int64_t skew_s = (int64_t)(config->clock_skew / 1000);
	int64_t begin_s = 0;

	verdict->expires_s = 0;
	if (end == NULL ? is_signed : !read_time(end, &verdict->expires_s)) {
		deny(verdict, "invalid_token", "it does not say when it ends");
	} else if (end != NULL && now_s >= verdict->expires_s + skew_s) {
		deny(verdict, "invalid_token", "it has expired");
	} else if (begin != NULL && (!read_time(begin, &begin_s) || now_s + skew_s < begin_s)) {
		deny(verdict, "invalid_token", "it is not good yet");
	} else {
		return true;
	}
	return false;
}

static bool is_among(const struct pn_text_list *list, const char *text)
{
	for (size_t i = 0; text != NULL && i < list->count; i++) {
		if (strcmp(list->items[i], text) == 0)
			return true;
	}
	return false;
}

/* For one of ours, or for several of which one is. */
static bool is_for_us(const struct oauth_config *config, const json_t *audience)
{
	const json_t *one;
	size_t index;

	if (json_is_string(audience))
		return is_among(&config->audience, json_string_value(audience));
	json_array_foreach(audience, index, one)
	{
		if (is_among(&config->audience, json_string_value(one)))
			return true;
	}
	return false;
}

/* "a b c", or ["a", "b", "c"]. */
static bool scope_has(const json_t *scope, const char *wanted)
{
	struct pn_slice rest = pn_slice_of(json_string_value(scope));
	const json_t *one;
	size_t index;

	while (rest.size > 0) {
		if (pn_slice_equal(pn_slice_cut(&rest, ' '), pn_slice_of(wanted)))
			return true;
	}
	json_array_foreach(scope, index, one)
	{
		if (json_is_string(one) && strcmp(json_string_value(one), wanted) == 0)
			return true;
	}
	return false;
}

static bool has_scopes(const struct oauth_config *config, const json_t *claims)
{
	const json_t *scope = json_object_get(claims, "scope");

	if (scope == NULL)
		scope = json_object_get(claims, "scp");
	for (size_t i = 0; i < config->scope.count; i++) {
		if (!scope_has(scope, config->scope.items[i]))
			return false;
	}
	return true;
}

/* An address that its owner never confirmed is anybody's. */
static bool read_account(const struct oauth_config *config, const json_t *claims,
                         struct oauth_verdict *verdict)
{
	const char *account = json_string_value(json_object_get(claims, config->account_claim));
	size_t size = account == NULL ? 0 : strlen(account);

	if (size == 0 || size > OAUTH_ACCOUNT_MAX)
		return false;
	for (size_t i = 0; i < size; i++) {
		if ((unsigned char)account[i] <= ' ' || account[i] == 0x7f)
			return false;
	}
	if (strcmp(config->account_claim, "email") == 0 &&
	    json_is_false(json_object_get(claims, "email_verified")))
		return false;
	memcpy(verdict->account, account, size + 1);
	return true;
}

void oauth_claims_judge(const struct oauth_config *config, const json_t *claims, bool is_signed,
                        int64_t now_s, struct oauth_verdict *verdict_out)
{
	const json_t *issuer = json_object_get(claims, "iss");

	*verdict_out = (struct oauth_verdict){.status = PN_OK};
	if (!json_is_object(claims)) {
		deny(verdict_out, "invalid_token", "it has no claims");
	} else if (config->issuer[0] != '\0' && (is_signed || issuer != NULL) &&
	           (!json_is_string(issuer) ||
	            strcmp(json_string_value(issuer), config->issuer) != 0)) {
		deny(verdict_out, "invalid_token", "it is of another issuer");
		if (is_signed)
			verdict_out->status = PN_NOT_FOUND;
	} else if (!judge_time(config, claims, is_signed, now_s, verdict_out)) {
		return;
	} else if (config->audience.count > 0 &&
	           !is_for_us(config, json_object_get(claims, "aud"))) {
		deny(verdict_out, "invalid_token", "it is for somebody else");
	} else if (!has_scopes(config, claims)) {
		deny(verdict_out, "insufficient_scope", "its scope is not enough");
	} else if (!read_account(config, claims, verdict_out)) {
		deny(verdict_out, "invalid_token", "it does not name an account");
	}
}
