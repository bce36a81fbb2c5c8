/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed tokens: JSON web signatures in their compact form (RFC 7515 section 7.1, RFC
 * 8725). Three algorithms are known, each by the name of the keys that can do it: "none" and
 * those with a shared secret have no key here, whatever a token says.
 */
#include "oauth.h"

#include <postern/text.h>

struct parts {
	struct pn_slice header;
	struct pn_slice payload;
	struct pn_slice signature;
	struct pn_slice signed_text; /* the first two, as they are */
};

enum pn_status oauth_base64url(struct pn_slice text, struct pn_buffer *out)
{
	struct pn_buffer padded;
	enum pn_status status;

	pn_buffer_init(&padded, text.size + 4);
	status = text.size % 4 == 1 ? PN_FAILED : pn_buffer_append(&padded, text);
	for (size_t i = 0; status == PN_OK && i < padded.size; i++) {
		/* The letters of the other alphabet are none of this one. */
		if (padded.data[i] == '+' || padded.data[i] == '/' || padded.data[i] == '=')
			status = PN_FAILED;
		else if (padded.data[i] == '-')
			padded.data[i] = '+';
		else if (padded.data[i] == '_')
			padded.data[i] = '/';
	}
	while (status == PN_OK && padded.size % 4 != 0)
		status = pn_buffer_append(&padded, PN_SLICE("="));
	if (status == PN_OK)
		status = pn_base64_decode(out, pn_buffer_slice(&padded));
	pn_buffer_clear(&padded);
	return status;
}

static bool split(struct pn_slice token, struct parts *parts_out)
{
	struct pn_slice rest = token;

	parts_out->header = pn_slice_cut(&rest, '.');
	parts_out->payload = pn_slice_cut(&rest, '.');
	parts_out->signature = rest;
	parts_out->signed_text =
		pn_slice_make(token.data, parts_out->header.size + 1 + parts_out->payload.size);
	return token.size <= OAUTH_TOKEN_MAX && parts_out->header.size > 0 &&
	       parts_out->payload.size > 0 && rest.size > 0 &&
	       pn_slice_find(rest, '.') == rest.size;
}

/* An object in JSON, encoded; NULL where it is none. */
static json_t *read_object(struct pn_slice text)
{
	struct pn_buffer bytes;
	json_t *object = NULL;
	json_error_t problem;

	pn_buffer_init(&bytes, OAUTH_TOKEN_MAX);
	if (oauth_base64url(text, &bytes) == PN_OK)
		object = json_loadb(bytes.data, bytes.size, JSON_REJECT_DUPLICATES, &problem);
	pn_buffer_clear(&bytes);
	if (!json_is_object(object)) {
		json_decref(object);
		object = NULL;
	}
	return object;
}

bool oauth_token_is_signed(struct pn_slice token)
{
	struct parts parts;
	json_t *header = split(token, &parts) ? read_object(parts.header) : NULL;
	bool is_signed = json_is_string(json_object_get(header, "alg"));

	json_decref(header);
	return is_signed;
}

static enum pn_signature_algorithm algorithm_of(const json_t *header)
{
	const char *name = json_string_value(json_object_get(header, "alg"));

	/* RFC 7515 section 4.1.11: what must be understood is not, here. */
	if (name == NULL || json_object_get(header, "crit") != NULL)
		return PN_SIGNATURE_NONE;
	if (strcmp(name, "RS256") == 0)
		return PN_SIGNATURE_RS256;
	if (strcmp(name, "ES256") == 0)
		return PN_SIGNATURE_ES256;
	return strcmp(name, "EdDSA") == 0 ? PN_SIGNATURE_EDDSA : PN_SIGNATURE_NONE;
}

/* Whether one of the keys has signed it that may have. */
static bool is_signed_by(const struct oauth_keys *keys, enum pn_signature_algorithm algorithm,
                         const char *id, const struct parts *parts, bool *key_is_missing_out)
{
	struct pn_buffer signature;
	bool is_right = false;

	*key_is_missing_out = algorithm != PN_SIGNATURE_NONE;
	pn_buffer_init(&signature, OAUTH_TOKEN_MAX);
	if (algorithm == PN_SIGNATURE_NONE ||
	    oauth_base64url(parts->signature, &signature) != PN_OK) {
		*key_is_missing_out = false;
		pn_buffer_clear(&signature);
		return false;
	}
	for (size_t i = 0; keys != NULL && i < keys->count && !is_right; i++) {
		const struct oauth_key *key = &keys->keys[i];

		if (pn_public_key_algorithm(key->key) != algorithm ||
		    (id != NULL && key->id != NULL && strcmp(id, key->id) != 0))
			continue;
		/* The key is there, and did not sign it: a newer set would say the same. */
		if (id != NULL && key->id != NULL)
			*key_is_missing_out = false;
		is_right = pn_public_key_verify(key->key, parts->signed_text,
		                                pn_buffer_slice(&signature));
	}
	pn_buffer_clear(&signature);
	return is_right;
}

void oauth_token_judge(const struct oauth_config *config, const struct oauth_keys *keys,
                       struct pn_slice token, int64_t now_s, struct oauth_verdict *verdict_out,
                       bool *key_is_missing_out)
{
	struct parts parts;
	bool is_whole = split(token, &parts);
	json_t *header = is_whole ? read_object(parts.header) : NULL;
	json_t *claims = is_whole ? read_object(parts.payload) : NULL;

	*key_is_missing_out = false;
	oauth_claims_judge(config, claims, true, now_s, verdict_out);
	/* What somebody else has signed is told by its issuer, and by nothing else before the
	 * signature was looked at. */
	if (verdict_out->status != PN_NOT_FOUND &&
	    !is_signed_by(keys, algorithm_of(header),
	                  json_string_value(json_object_get(header, "kid")), &parts,
	                  key_is_missing_out))
		*verdict_out = (struct oauth_verdict){
			.status = PN_DENIED,
			.problem = "invalid_token",
			.why = "no key of ours has signed it",
		};
	json_decref(header);
	json_decref(claims);
}
