/* SPDX-License-Identifier: Apache-2.0 */
/* What a DKIM-Signature field says, RFC 6376 section 3.5. Pure. */
#include <postern/text.h>

#include "dkim.h"

enum { DIGITS_MAX = 76 };

bool dkim_is_signature(const struct pn_header_field *field)
{
	return pn_slice_equal_ignore_case(field->name, PN_SLICE("DKIM-Signature"));
}

bool dkim_is_domain(struct pn_slice name)
{
	size_t label = 0;

	for (size_t i = 0; i < name.size; i++) {
		char byte = name.data[i];

		if (byte == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (!((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
		      (byte >= '0' && byte <= '9') || byte == '-' || byte == '_') ||
		    ++label > 63)
			return false;
	}
	return label > 0 && name.size <= 253;
}

bool dkim_is_below(struct pn_slice name, struct pn_slice domain)
{
	if (pn_slice_equal_ignore_case(name, domain))
		return true;
	return name.size > domain.size && domain.size > 0 &&
	       name.data[name.size - domain.size - 1] == '.' &&
	       pn_slice_equal_ignore_case(pn_slice_behind(name, name.size - domain.size), domain);
}

/* Digits, at most 76 of them; more than fits is the most there is. */
static bool read_number(const struct pn_slice *text, uint64_t *number_out)
{
	uint64_t number = 0;

	if (text->size == 0 || text->size > DIGITS_MAX)
		return false;
	for (size_t i = 0; i < text->size; i++) {
		unsigned digit = (unsigned)(text->data[i] - '0');

		if (text->data[i] < '0' || text->data[i] > '9')
			return false;
		number = number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : number * 10 + digit;
	}
	*number_out = number;
	return true;
}

bool dkim_decode(struct pn_slice text, struct pn_arena *arena, struct pn_slice *bytes_out)
{
	struct pn_buffer out;
	bool is_right;

	pn_buffer_init(&out, DKIM_TEXT_MAX);
	is_right = pn_base64_decode(&out, dkim_squeeze(text, arena)) == PN_OK && out.size > 0;
	if (is_right)
		*bytes_out = pn_arena_keep(arena, pn_buffer_slice(&out));
	pn_buffer_clear(&out);
	return is_right;
}

static bool read_canonicalization(const struct pn_slice *text, struct dkim_signature *signature)
{
	struct pn_slice rest = text == NULL ? PN_SLICE("simple/simple") : *text;
	bool has_body = pn_slice_find(rest, '/') < rest.size;
	struct pn_slice header = pn_slice_cut(&rest, '/');
	struct pn_slice body = has_body ? rest : PN_SLICE("simple");

	signature->relaxes_header = pn_slice_equal_ignore_case(header, PN_SLICE("relaxed"));
	signature->relaxes_body = pn_slice_equal_ignore_case(body, PN_SLICE("relaxed"));
	return (signature->relaxes_header ||
	        pn_slice_equal_ignore_case(header, PN_SLICE("simple"))) &&
	       (signature->relaxes_body || pn_slice_equal_ignore_case(body, PN_SLICE("simple")));
}

const char *dkim_algorithm_parse(struct pn_slice text, enum dkim_algorithm *algorithm_out)
{
	if (pn_slice_equal_ignore_case(text, PN_SLICE("rsa-sha256")))
		*algorithm_out = DKIM_RSA_SHA256;
	else if (pn_slice_equal_ignore_case(text, PN_SLICE("ed25519-sha256")))
		*algorithm_out = DKIM_ED25519_SHA256;
	else if (pn_slice_equal_ignore_case(text, PN_SLICE("rsa-sha1")))
		return "rsa-sha1 proves nothing any more";
	else
		return "its algorithm is not known";
	return NULL;
}

static const char *read_names(const struct pn_slice *text, struct pn_arena *arena,
                              struct dkim_signature *signature)
{
	struct pn_slice rest = dkim_squeeze(*text, arena);
	bool has_from = false;
	size_t count = 1;

	for (size_t i = 0; i < rest.size; i++)
		count += rest.data[i] == ':';
	if (count > DKIM_FIELDS_MAX)
		return "h= names too many fields";
	signature->names = PN_ARENA_ARRAY(arena, count, struct pn_slice);
	for (signature->name_count = 0; signature->name_count < count;) {
		struct pn_slice name = pn_slice_cut(&rest, ':');

		if (!pn_header_name_is_valid(name))
			return "h= is no list of fields";
		has_from = has_from || pn_slice_equal_ignore_case(name, PN_SLICE("From"));
		signature->names[signature->name_count++] = name;
	}
	return has_from ? NULL : "From is not signed";
}

/* The identity's domain is the signing one, or lies below it. */
static const char *read_identity(const struct pn_slice *text, struct pn_arena *arena,
                                 struct dkim_signature *signature)
{
	size_t at;

	if (text == NULL) {
		signature->identity = pn_slice_of(
			pn_arena_print(arena, "@%.*s", PN_SLICE_ARGS(signature->domain)));
		return NULL;
	}
	signature->identity = dkim_squeeze(*text, arena);
	at = signature->identity.size;
	while (at > 0 && signature->identity.data[at - 1] != '@')
		at--;
	if (at == 0 || !dkim_is_below(pn_slice_behind(signature->identity, at), signature->domain))
		return "i= is not of the domain that signs";
	return NULL;
}

static const char *read_times(const struct dkim_tags *tags, struct dkim_signature *signature)
{
	const struct pn_slice *begins = dkim_tag_of(tags, "t");
	const struct pn_slice *expires = dkim_tag_of(tags, "x");
	const struct pn_slice *limit = dkim_tag_of(tags, "l");

	if (begins != NULL && !read_number(begins, &signature->signed_s))
		return "t= is no number";
	if (expires != NULL && !read_number(expires, &signature->expires_s))
		return "x= is no number";
	if (limit != NULL && !read_number(limit, &signature->limit))
		return "l= is no number";
	signature->has_expiry = expires != NULL;
	signature->has_limit = limit != NULL;
	if (begins != NULL && expires != NULL && signature->expires_s <= signature->signed_s)
		return "x= is not later than t=";
	return NULL;
}

/* What DKIM-Signature and ARC-Message-Signature have in common. */
const char *dkim_signature_read(const struct dkim_tags *tags, struct pn_arena *arena,
                                struct dkim_signature *signature_out)
{
	static const char *const needed[] = {"a", "b", "bh", "d", "h", "s"};
	const struct pn_slice *query = dkim_tag_of(tags, "q");
	const char *trouble;

	/* Named first, for the record: what is wrong with the others is said of them. */
	if (dkim_tag_of(tags, "d") != NULL)
		signature_out->domain = *dkim_tag_of(tags, "d");
	if (dkim_tag_of(tags, "s") != NULL)
		signature_out->selector = *dkim_tag_of(tags, "s");
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (dkim_tag_of(tags, needed[i]) == NULL)
			return pn_arena_print(arena, "%s= is missing", needed[i]);
	}
	trouble = dkim_algorithm_parse(*dkim_tag_of(tags, "a"), &signature_out->algorithm);
	if (trouble != NULL)
		return trouble;
	if (!dkim_is_domain(signature_out->domain))
		return "d= is no domain";
	if (!dkim_is_domain(signature_out->selector))
		return "s= is no selector";
	if (!read_canonicalization(dkim_tag_of(tags, "c"), signature_out))
		return "c= is not known";
	signature_out->value_text = dkim_squeeze(*dkim_tag_of(tags, "b"), arena);
	if (!dkim_decode(*dkim_tag_of(tags, "b"), arena, &signature_out->value))
		return "b= is no base64";
	if (!dkim_decode(*dkim_tag_of(tags, "bh"), arena, &signature_out->body_hash) ||
	    signature_out->body_hash.size != 32)
		return "bh= is no digest";
	if (query != NULL && !dkim_list_has(*query, "dns/txt"))
		return "q= is not known";
	trouble = read_names(dkim_tag_of(tags, "h"), arena, signature_out);
	return trouble == NULL ? read_times(tags, signature_out) : trouble;
}

const char *dkim_signature_parse(const struct pn_header_field *field, struct pn_arena *arena,
                                 struct dkim_signature *signature_out)
{
	struct dkim_tags tags;
	const char *trouble;

	*signature_out = (struct dkim_signature){.field = field};
	if (dkim_tags_parse(field->value, &tags) != PN_OK)
		return "it is no list of tags";
	trouble = dkim_signature_read(&tags, arena, signature_out);
	if (trouble != NULL)
		return trouble;
	if (dkim_tag_of(&tags, "v") == NULL)
		return "v= is missing";
	if (!pn_slice_equal(*dkim_tag_of(&tags, "v"), PN_SLICE("1")))
		return "its version is not known";
	return read_identity(dkim_tag_of(&tags, "i"), arena, signature_out);
}
