/* SPDX-License-Identifier: Apache-2.0 */
/* Signing, RFC 6376 section 5. */
#include <postern/text.h>

#include "dkim.h"

enum { COLUMNS = 76, FIELD_MAX = 256 * 1024 };

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

/* The field as it grows; words go to a new line where this one is full. */
struct writing {
	struct pn_buffer *out;
	size_t column;
	enum pn_status status;
};

static void put(struct writing *writing, struct pn_slice word)
{
	if (writing->status == PN_OK)
		writing->status = pn_buffer_append(writing->out, word);
	writing->column += word.size;
}

static void break_line(struct writing *writing)
{
	put(writing, PN_SLICE("\r\n\t"));
	writing->column = 8;
}

/* A tag stays whole where it fits a line. */
static void put_tag(struct writing *writing, const char *name, struct pn_slice value)
{
	size_t size = strlen(name) + 1 + value.size + 1;

	if (writing->column + 1 + size > COLUMNS)
		break_line(writing);
	else
		put(writing, PN_SLICE(" "));
	put(writing, pn_slice_of(name));
	put(writing, PN_SLICE("="));
	put(writing, value);
	put(writing, PN_SLICE(";"));
}

static void put_cut(struct writing *writing, struct pn_slice text)
{
	while (text.size > 0) {
		size_t room = writing->column < COLUMNS ? COLUMNS - writing->column : 0;

		if (room == 0) {
			break_line(writing);
			continue;
		}
		if (room > text.size)
			room = text.size;
		put(writing, pn_slice_make(text.data, room));
		text = pn_slice_behind(text, room);
	}
}

static struct pn_slice base64(struct pn_slice bytes, struct pn_arena *arena)
{
	struct pn_slice text = PN_SLICE_NONE;
	struct pn_buffer out;

	pn_buffer_init(&out, FIELD_MAX);
	if (pn_base64_encode(&out, bytes) == PN_OK)
		text = pn_arena_keep(arena, pn_buffer_slice(&out));
	pn_buffer_clear(&out);
	return text;
}

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
static size_t choose_names(const struct pn_header *header, struct pn_slice wanted,
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
	wish->name_count = choose_names(signing->header, value_of(signing, "headers"), wish->names);
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

static void put_names(struct writing *writing, const struct wish *wish)
{
	break_line(writing);
	put(writing, PN_SLICE("h="));
	for (size_t i = 0; i < wish->name_count; i++) {
		if (writing->column + wish->names[i].size + 1 > COLUMNS)
			break_line(writing);
		put(writing, wish->names[i]);
		put(writing, i + 1 < wish->name_count ? PN_SLICE(":") : PN_SLICE(";"));
	}
}

static void put_number(struct writing *writing, const char *name, int64_t seconds,
                       struct pn_arena *arena)
{
	put_tag(writing, name, pn_slice_of(pn_arena_print(arena, "%lld", (long long)seconds)));
}

/* All of the field but the value of b=, which its end is. */
static enum pn_status put_unsigned(const struct pn_signing *signing, const struct wish *wish,
                                   enum dkim_algorithm algorithm, struct pn_arena *arena,
                                   struct writing *writing)
{
	const struct pn_check_digest *digest =
		wish->relaxes_body ? &signing->relaxed : &signing->simple;
	struct pn_slice hash = pn_slice_make((const char *)digest->sha256, 32);

	put(writing, PN_SLICE("DKIM-Signature:"));
	put_tag(writing, "v", PN_SLICE("1"));
	put_tag(writing, "a",
	        algorithm == DKIM_RSA_SHA256 ? PN_SLICE("rsa-sha256") : PN_SLICE("ed25519-sha256"));
	put_tag(writing, "c",
	        pn_slice_of(pn_arena_print(arena, "%s/%s",
	                                   wish->relaxes_header ? "relaxed" : "simple",
	                                   wish->relaxes_body ? "relaxed" : "simple")));
	put_tag(writing, "d", wish->domain);
	put_tag(writing, "s", wish->selector);
	if (wish->identity.size > 0)
		put_tag(writing, "i", wish->identity);
	put_number(writing, "t", signing->now_ms / 1000, arena);
	if (wish->expires.size > 0)
		put_tag(writing, "x", wish->expires);
	put_names(writing, wish);
	put_tag(writing, "bh", base64(hash, arena));
	break_line(writing);
	put(writing, PN_SLICE("b="));
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
	struct writing writing = {.out = fields_out, .status = PN_OK};
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
	put_cut(&writing, base64(signature, arena));
	put(&writing, PN_SLICE("\r\n"));
	return writing.status == PN_OK ? PN_OK
	                               : pn_fail(error, "the header is too large to be signed");
}
