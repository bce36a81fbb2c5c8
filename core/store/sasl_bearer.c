/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens that somebody else gave out: OAUTHBEARER (RFC 7628), and XOAUTH2, from which
 * it was made. When a token is no good the client is told in JSON what would be, says
 * something without meaning, and only then hears that it failed.
 */
#include "store/mechanism.h"

#include <postern/text.h>

struct bearer_exchange {
	bool has_failed;
};

enum { FIELDS_MAX = 16, CHALLENGE_MAX = 2048, SEPARATOR = '\001' };

static void malformed(struct pn_login *login)
{
	pn_login_end(login, PN_SASL_MALFORMED, NULL, "");
}

/* ,"key":"value" */
static void put_field(struct pn_buffer *out, const char *key, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	(void)!pn_buffer_print(out, "%s\"%s\":", out->size > 1 ? "," : "", key);
	(void)!pn_json_append_string(out, pn_slice_of(value));
}

/* RFC 7628 section 3.2.2. XOAUTH2 has the status of HTTP there. */
static void token_is_bad(struct pn_login *login)
{
	struct bearer_exchange *exchange = login->exchange;
	bool is_old = login->mechanism == &pn_mechanism_xoauth2;
	const char *problem = login->token.problem != NULL ? login->token.problem : "invalid_token";
	struct pn_buffer challenge;

	exchange->has_failed = true;
	pn_buffer_init(&challenge, CHALLENGE_MAX);
	(void)!pn_buffer_append(&challenge, PN_SLICE("{"));
	put_field(&challenge, "status", is_old ? "401" : problem);
	put_field(&challenge, "schemes", "bearer");
	put_field(&challenge, "scope", login->token.scope);
	put_field(&challenge, "openid-configuration", is_old ? NULL : login->token.configuration);
	(void)!pn_buffer_append(&challenge, PN_SLICE("}"));
	pn_login_challenge(login, pn_buffer_slice(&challenge));
	pn_buffer_clear(&challenge);
}

/* RFC 6750 section 2.1: b64token. */
static bool is_token(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		char byte = text.data[i];

		if (!(byte >= 'a' && byte <= 'z') && !(byte >= 'A' && byte <= 'Z') &&
		    !(byte >= '0' && byte <= '9') &&
		    (byte == '\0' || strchr("-._~+/=", byte) == NULL))
			return false;
	}
	return text.size > 0;
}

/* "auth=Bearer TOKEN" among the fields; other fields (host, port) are not looked at. Every field
 * ends with the separator, and an empty one ends them all. */
static bool find_token(struct pn_slice fields, struct pn_slice *token_out)
{
	static const char scheme[] = "auth=Bearer ";
	struct pn_slice prefix = PN_SLICE("auth=");
	struct pn_slice token = PN_SLICE_NONE;
	size_t count = 0;

	while (fields.size > 1) {
		size_t size = pn_slice_find(fields, SEPARATOR);
		struct pn_slice field = pn_slice_make(fields.data, size);

		if (size == 0 || size == fields.size || ++count > FIELDS_MAX)
			return false;
		if (pn_slice_starts_with_ignore_case(field, prefix)) {
			if (token.size > 0 ||
			    !pn_slice_starts_with_ignore_case(field, pn_slice_of(scheme)))
				return false;
			token = pn_slice_trim(pn_slice_behind(field, sizeof(scheme) - 1));
		}
		fields = pn_slice_behind(fields, size + 1);
	}
	*token_out = token;
	return fields.size == 1 && fields.data[0] == SEPARATOR && is_token(token);
}

/* The client's word about a failure is nobody's concern: it had to say something. */
static bool is_over(struct pn_login *login)
{
	const struct bearer_exchange *exchange = login->exchange;

	if (!exchange->has_failed)
		return false;
	pn_login_end(login, PN_SASL_WRONG, NULL, login->error.text);
	return true;
}

/* RFC 7628 section 3.1: gs2-header kvsep *kvpair kvsep. */
static void take_bearer(struct pn_login *login, struct pn_slice message)
{
	struct pn_login_claim claim = {.kind = PN_LOGIN_TOKEN, .answered = token_is_bad};
	struct pn_slice rest = message;
	struct pn_slice flag;
	struct pn_slice name;

	if (is_over(login))
		return;
	flag = pn_slice_cut(&rest, ',');
	name = pn_slice_cut(&rest, ',');
	if ((!pn_slice_equal(flag, PN_SLICE("n")) && !pn_slice_equal(flag, PN_SLICE("y"))) ||
	    (name.size > 0 &&
	     (name.size < 3 || memcmp(name.data, "a=", 2) != 0 ||
	      !pn_mechanism_read_name(login, pn_slice_behind(name, 2), &claim.identity))) ||
	    rest.size == 0 || rest.data[0] != SEPARATOR ||
	    !find_token(pn_slice_behind(rest, 1), &claim.secret))
		malformed(login);
	else
		pn_login_ask(login, &claim);
}

/* "user=" name SEPARATOR, and the rest as above. */
static void take_old(struct pn_login *login, struct pn_slice message)
{
	static const char prefix[] = "user=";
	struct pn_login_claim claim = {.kind = PN_LOGIN_TOKEN, .answered = token_is_bad};
	size_t size = pn_slice_find(message, SEPARATOR);

	if (is_over(login))
		return;
	if (size <= sizeof(prefix) - 1 || size == message.size ||
	    !pn_slice_starts_with_ignore_case(message, pn_slice_of(prefix)) ||
	    !find_token(pn_slice_behind(message, size + 1), &claim.secret)) {
		malformed(login);
		return;
	}
	claim.identity =
		pn_slice_make(message.data + sizeof(prefix) - 1, size - (sizeof(prefix) - 1));
	pn_login_ask(login, &claim);
}

const struct pn_mechanism pn_mechanism_oauthbearer = {
	.name = "OAUTHBEARER",
	.kind = PN_LOGIN_TOKEN,
	.gives_secret_away = true,
	.exchange_size = sizeof(struct bearer_exchange),
	.take = take_bearer,
};

const struct pn_mechanism pn_mechanism_xoauth2 = {
	.name = "XOAUTH2",
	.kind = PN_LOGIN_TOKEN,
	.gives_secret_away = true,
	.exchange_size = sizeof(struct bearer_exchange),
	.take = take_old,
};
