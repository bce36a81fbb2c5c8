/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed tokens and sets of keys: whatever they are, nobody is let in, for nothing here was signed
 * by the key that is there; what is no token has no verdict but "no".
 */
#include "fuzz.h"

#include "../../modules/auth_oauth/claims.c"
#include "../../modules/auth_oauth/keys.c"
#include "../../modules/auth_oauth/token.c"

static void judge_token(struct pn_slice text)
{
	/* A key of Ed25519 whose other half is nowhere. */
	static const char set[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"one\","
				  "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
	static const char *const audience[] = {"mail"};
	const struct oauth_config config = {
		.issuer = "i",
		.audience = {audience, 1},
		.account_claim = "email",
	};
	struct oauth_keys *keys = NULL;
	struct oauth_verdict verdict;
	bool key_is_missing;

	require(oauth_keys_read(pn_slice_of(set), &keys, NULL) == PN_OK && keys->count == 1);
	oauth_token_judge(&config, keys, text, 1000, &verdict, &key_is_missing);
	require(verdict.status == PN_DENIED || verdict.status == PN_NOT_FOUND);
	require(verdict.why != NULL && verdict.account[0] == '\0');
	require(!key_is_missing || oauth_token_is_signed(text));
	oauth_keys_free(&keys);
}

/* Claims that were signed, or that the server has said. */
static void judge_claims(struct pn_slice text)
{
	const struct oauth_config config = {.issuer = "i", .account_claim = "email"};
	json_error_t problem;
	json_t *claims = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, &problem);
	struct oauth_verdict verdict;

	for (int is_signed = 0; is_signed < 2; is_signed++) {
		oauth_claims_judge(&config, claims, is_signed != 0, 1000, &verdict);
		require((verdict.status == PN_OK) == (verdict.account[0] != '\0'));
		require(verdict.status == PN_OK || verdict.why != NULL);
		require(verdict.status != PN_OK || is_signed == 0 || verdict.expires_s > 1000);
	}
	json_decref(claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned kind = take_byte(&data, &size);
	struct pn_slice text = exact_copy(rest_of(data, size));
	struct oauth_keys *keys = NULL;
	struct pn_error error = {.text = ""};

	if (kind % 3 == 0)
		judge_token(text);
	else if (kind % 3 == 1)
		judge_claims(text);
	else if (oauth_keys_read(text, &keys, &error) == PN_OK)
		require(keys->count > 0 && keys->count <= OAUTH_KEYS_MAX);
	else
		require(keys == NULL && error.text[0] != '\0');
	oauth_keys_free(&keys);
	free((void *)(uintptr_t)text.data);
	return 0;
}
