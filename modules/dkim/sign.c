/* SPDX-License-Identifier: Apache-2.0 */
/* Signing, RFC 6376 section 5. */
#include <postern/text.h>

#include "dkim.h"

/* Section 5.4.1; those marked are signed once more than they are there, so that none can be added.
 */
static const struct {
	const char *name;
	bool is_oversigned;
} usual_fields[] = {
	{"From", true},
	{"Sender", false},
	{"Reply-To", true},
	{"Subject", true},
	{"Date", true},
	{"Message-ID", true},
	{"To", true},
	{"Cc", true},
	{"MIME-Version", true},
	{"Content-Type", true},
	{"Content-Transfer-Encoding", true},
	{"In-Reply-To", false},
	{"References", false},
	{"Resent-From", false},
	{"Resent-Date", false},
	{"Resent-To", false},
	{"Resent-Cc", false},
	{"Resent-Message-ID", false},
	{"List-Id", false},
	{"List-Help", false},
	{"List-Unsubscribe", false},
	{"List-Unsubscribe-Post", false},
	{"List-Subscribe", false},
	{"List-Post", false},
	{"List-Owner", false},
	{"List-Archive", false},
};

/* ---- which fields ---- */

static size_t count_of(const struct pn_header *header, struct pn_slice name)
{
	size_t count = 0;

	for (size_t i = 0; i < header->count; i++)
		count += pn_slice_equal_ignore_case(header->fields[i].name, name);
	return count;
}

static size_t add_name(struct pn_slice *names, size_t count, struct pn_slice name, size_t times)
{
	while (times-- > 0 && count < DKIM_FIELDS_MAX)
		names[count++] = name;
	return count;
}

/* Those that the caller names ("From:To:To"), as they are; or the usual ones. */
size_t dkim_choose_names(const struct pn_header *header, struct pn_slice wanted,
                         struct pn_slice *names)
{
	size_t count = 0;

	while (wanted.size > 0) {
		struct pn_slice name = pn_slice_trim(pn_slice_cut(&wanted, ':'));

		if (name.size > 0)
			count = add_name(names, count, name, 1);
	}
	if (count > 0)
		return count;
	for (size_t i = 0; i < sizeof(usual_fields) / sizeof(usual_fields[0]); i++) {
		struct pn_slice name = pn_slice_of(usual_fields[i].name);
		size_t times = count_of(header, name);

		count = add_name(names, count, name, times + usual_fields[i].is_oversigned);
	}
	return count;
}

/* ---- what was asked for ---- */

struct wish {
	struct pn_slice domain;
	struct pn_slice selector;
	struct pn_slice identity;
	struct pn_slice expires; /* seconds since 1970 */
	bool relaxes_header;
	bool relaxes_body;
	struct pn_slice names[DKIM_FIELDS_MAX];
	size_t name_count;
};

static struct pn_slice value_of(const struct pn_signing *signing, const char *key)
{
	for (size_t i = 0; i < signing->value_count; i++) {
		if (pn_slice_equal(signing->values[i].key, pn_slice_of(key)))
			return signing->values[i].value;
	}
	return PN_SLICE_NONE;
}

static enum pn_status read_canonicalization(struct pn_slice text, struct wish *wish,
                                            struct pn_error *error)
{
	static const struct {
		const char *text;
		bool header;
		bool body;
	} forms[] = {{"relaxed/relaxed", true, true}, {"relaxed/simple", true, false},
	             {"simple/relaxed", false, true}, {"simple/simple", false, false},
	             {"relaxed", true, false},        {"simple", false, false}};

	wish->relaxes_header = wish->relaxes_body = true;
	for (size_t i = 0; text.size > 0 && i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (!pn_slice_equal(text, pn_slice_of(forms[i].text)))
			continue;
		wish->relaxes_header = forms[i].header;
		wish->relaxes_body = forms[i].body;
		return PN_OK;
	}
	if (text.size == 0)
		return PN_OK;
	return pn_fail(error, "a canonicalization is relaxed/relaxed, relaxed/simple, "
	                      "simple/relaxed or simple/simple");
}

static enum pn_status read_wish(const struct pn_signing *signing, struct wish *wish,
                                struct pn_error *error)
{
	bool has_from = false;

	wish->domain = value_of(signing, "domain");
	wish->selector = value_of(signing, "selector");
	wish->identity = value_of(signing, "identity");
	wish->expires = value_of(signing, "expires");
	if (!dkim_is_domain(wish->domain))
		return pn_fail(error, "which domain signs? It is made of letters, digits and '-'");
	if (!dkim_is_domain(wish->selector))
		return pn_fail(error,
		               "which selector has the key? It is made of letters, digits and '-'");
	if (count_of(signing->header, PN_SLICE("From")) == 0)
		return pn_fail(error, "the message has no From, which must be signed");
	wish->name_count =
		dkim_choose_names(signing->header, value_of(signing, "headers"), wish->names);
	for (size_t i = 0; i < wish->name_count; i++) {
		if (!pn_header_name_is_valid(wish->names[i]))
			return pn_fail(error, "one of the fields to be signed is none: write their "
			                      "names with colons between them");
		has_from = has_from || pn_slice_equal_ignore_case(wish->names[i], PN_SLICE("From"));
	}
	if (!has_from)
		return pn_fail(error, "From must be among the fields that are signed");
	return read_canonicalization(value_of(signing, "canonicalization"), wish, error);
}

/* All of the field but the value of b=, which its end is. */
static enum pn_status put_unsigned(const struct pn_signing *signing, const struct wish *wish,
                                   enum dkim_algorithm algorithm, struct pn_arena *arena,
                                   struct dkim_writing *writing)
{
	const struct pn_check_digest *digest =
		wish->relaxes_body ? &signing->relaxed : &signing->simple;
	struct pn_slice hash = pn_slice_make((const char *)digest->sha256, 32);

	dkim_put(writing, PN_SLICE("DKIM-Signature:"));
	dkim_put_tag(writing, "v", PN_SLICE("1"));
	dkim_put_tag(writing, "a",
	             algorithm == DKIM_RSA_SHA256 ? PN_SLICE("rsa-sha256")
	                                          : PN_SLICE("ed25519-sha256"));
	dkim_put_tag(writing, "c",
	             pn_slice_of(pn_arena_print(arena, "%s/%s",
	                                        wish->relaxes_header ? "relaxed" : "simple",
	                                        wish->relaxes_body ? "relaxed" : "simple")));
	dkim_put_tag(writing, "d", wish->domain);
	dkim_put_tag(writing, "s", wish->selector);
	if (wish->identity.size > 0)
		dkim_put_tag(writing, "i", wish->identity);
	dkim_put_number(writing, "t", signing->now_ms / 1000, arena);
	if (wish->expires.size > 0)
		dkim_put_tag(writing, "x", wish->expires);
	dkim_put_names(writing, wish->names, wish->name_count);
	dkim_put_tag(writing, "bh", dkim_base64(hash, arena));
	dkim_break_line(writing);
	dkim_put(writing, PN_SLICE("b="));
	return writing->status;
}

enum pn_status dkim_sign(const struct pn_signing *signing, struct pn_arena *arena,
                         struct pn_buffer *fields_out, struct pn_error *error)
{
	struct wish *wish = PN_ARENA_NEW(arena, struct wish);
	struct pn_slice asked = value_of(signing, "algorithm");
	struct pn_private_key *key = NULL;
	enum dkim_algorithm algorithm;
	struct pn_buffer text;
	struct pn_slice signature;
	struct dkim_writing writing = {.out = fields_out, .status = PN_OK};
	size_t first = fields_out->size;
	enum pn_status status;

	if (read_wish(signing, wish, error) != PN_OK ||
	    pn_private_key_read_pem(signing->key, &key, error) != PN_OK)
		return PN_FAILED;
	algorithm = dkim_private_key_algorithm(key);
	if (asked.size > 0 &&
	    !pn_slice_equal(asked, algorithm == DKIM_RSA_SHA256 ? PN_SLICE("rsa-sha256")
	                                                        : PN_SLICE("ed25519-sha256"))) {
		pn_private_key_free(&key);
		return pn_fail(error, "the key is for %s",
		               algorithm == DKIM_RSA_SHA256 ? "rsa-sha256" : "ed25519-sha256");
	}
	pn_buffer_init(&text, DKIM_TEXT_MAX);
	status = put_unsigned(signing, wish, algorithm, arena, &writing);
	if (status == PN_OK)
		status = dkim_put_header(
			&text, signing->header, wish->names, wish->name_count,
			pn_slice_make(fields_out->data + first, fields_out->size - first),
			wish->relaxes_header);
	if (status != PN_OK)
		status = pn_fail(error, "the header is too large to be signed");
	if (status == PN_OK)
		status = dkim_sign_text(key, pn_buffer_slice(&text), arena, &signature, error);
	pn_buffer_clear(&text);
	pn_private_key_free(&key);
	if (status != PN_OK)
		return status;
	dkim_put_cut(&writing, dkim_base64(signature, arena));
	dkim_put(&writing, PN_SLICE("\r\n"));
	return writing.status == PN_OK ? PN_OK
	                               : pn_fail(error, "the header is too large to be signed");
}
