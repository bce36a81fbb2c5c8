/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing, RFC 8617 section 5.1. The caller has judged the chain that is there: "chain" says none,
 * pass or fail; and what we found out about the message is in an Authentication-Results field with
 * our name, or there is none.
 */
#include <postern/text.h>

#include "arc.h"

enum { RESULTS_MAX = 64 * 1024 };

static struct pn_slice value_of(const struct pn_signing *signing, const char *key)
{
	for (size_t i = 0; i < signing->value_count; i++) {
		if (pn_slice_equal(signing->values[i].key, pn_slice_of(key)))
			return signing->values[i].value;
	}
	return PN_SLICE_NONE;
}

/* What is behind the name of the server, in the first field that has ours. */
static struct pn_slice results_of(const struct pn_header *header, struct pn_slice server,
                                  struct pn_arena *arena)
{
	for (size_t i = 0; i < header->count; i++) {
		struct pn_slice rest;
		struct pn_slice name;

		if (!pn_slice_equal_ignore_case(header->fields[i].name,
		                                PN_SLICE("Authentication-Results")))
			continue;
		rest = pn_header_unfold(arena, header->fields[i].value);
		name = pn_slice_trim(pn_slice_cut(&rest, ';'));
		/* "name 1": a version may follow (RFC 8601 section 2.2). */
		name = pn_slice_cut(&name, ' ');
		if (pn_slice_equal_ignore_case(name, server))
			return pn_slice_trim(rest);
	}
	return PN_SLICE("none");
}

struct sealing {
	const struct pn_signing *signing;
	struct pn_arena *arena;
	struct pn_private_key *key;
	struct pn_slice domain;
	struct pn_slice selector;
	struct pn_slice server;
	enum arc_state state;
	size_t instance;
	struct pn_slice algorithm;
	struct arc_chain chain;
	struct pn_header_field fields[3]; /* results, message signature, seal: whole */
};

static struct pn_slice keep(struct sealing *sealing, struct pn_buffer *out)
{
	struct pn_slice kept = pn_arena_keep(sealing->arena, pn_buffer_slice(out));

	pn_buffer_clear(out);
	return kept;
}

static enum pn_status put_results(struct sealing *sealing, struct pn_error *error)
{
	struct pn_buffer out;
	struct pn_slice text = pn_slice_of(
		pn_arena_print(sealing->arena, "i=%zu; %.*s; %.*s", sealing->instance,
	                       PN_SLICE_ARGS(sealing->server),
	                       PN_SLICE_ARGS(results_of(sealing->signing->header, sealing->server,
	                                                sealing->arena))));

	pn_buffer_init(&out, RESULTS_MAX);
	if (pn_header_write(&out, PN_SLICE("ARC-Authentication-Results"), text) != PN_OK) {
		pn_buffer_clear(&out);
		return pn_fail(error, "the results cannot be written as a field");
	}
	sealing->fields[0].whole = keep(sealing, &out);
	return PN_OK;
}

/* Signs what was written, whose last tag is an empty b=, and ends the field. */
static enum pn_status finish(struct sealing *sealing, struct dkim_writing *writing,
                             struct pn_buffer *text, struct pn_error *error)
{
	struct pn_slice signature;
	enum pn_status status = writing->status;

	if (status == PN_OK)
		status = dkim_sign_text(sealing->key, pn_buffer_slice(text), sealing->arena,
		                        &signature, error);
	if (status != PN_OK)
		return status == PN_LIMIT ? pn_fail(error, "the header is too large to be sealed")
		                          : status;
	dkim_put_cut(writing, dkim_base64(signature, sealing->arena));
	dkim_put(writing, PN_SLICE("\r\n"));
	return writing->status == PN_OK ? PN_OK
	                                : pn_fail(error, "the header is too large to be sealed");
}

static void begin_field(struct sealing *sealing, struct dkim_writing *writing, const char *name)
{
	dkim_put(writing, pn_slice_of(name));
	dkim_put_number(writing, "i", (int64_t)sealing->instance, sealing->arena);
	dkim_put_tag(writing, "a", sealing->algorithm);
}

static void put_signer(struct sealing *sealing, struct dkim_writing *writing)
{
	dkim_put_tag(writing, "d", sealing->domain);
	dkim_put_tag(writing, "s", sealing->selector);
	dkim_put_number(writing, "t", sealing->signing->now_ms / 1000, sealing->arena);
}

static enum pn_status put_message(struct sealing *sealing, struct pn_error *error)
{
	struct pn_slice *names = PN_ARENA_ARRAY(sealing->arena, DKIM_FIELDS_MAX, struct pn_slice);
	size_t count = dkim_choose_names(sealing->signing->header,
	                                 value_of(sealing->signing, "headers"), names);
	struct pn_buffer out;
	struct pn_buffer text;
	struct dkim_writing writing = {.out = &out, .status = PN_OK};
	enum pn_status status;

	for (size_t i = 0; i < count; i++) {
		if (!pn_header_name_is_valid(names[i]) ||
		    pn_slice_starts_with_ignore_case(names[i], PN_SLICE("ARC-")))
			return pn_fail(error,
			               "one of the fields to be signed is none, or one of ARC");
	}
	pn_buffer_init(&out, DKIM_TEXT_MAX);
	pn_buffer_init(&text, DKIM_TEXT_MAX);
	begin_field(sealing, &writing, "ARC-Message-Signature:");
	dkim_put_tag(&writing, "c", PN_SLICE("relaxed/relaxed"));
	put_signer(sealing, &writing);
	dkim_put_names(&writing, names, count);
	dkim_put_tag(&writing, "bh",
	             dkim_base64(pn_slice_make((const char *)sealing->signing->relaxed.sha256, 32),
	                         sealing->arena));
	dkim_break_line(&writing);
	dkim_put(&writing, PN_SLICE("b="));
	status = dkim_put_header(&text, sealing->signing->header, names, count,
	                         pn_buffer_slice(&out), true);
	status = status == PN_OK ? finish(sealing, &writing, &text, error)
	                         : pn_fail(error, "the header is too large to be sealed");
	pn_buffer_clear(&text);
	sealing->fields[1].whole = keep(sealing, &out);
	return status;
}

/* A chain that has failed is sealed for itself alone (section 5.1.2). */
static enum pn_status put_scope(struct sealing *sealing, struct pn_buffer *text)
{
	struct arc_chain *chain = &sealing->chain;
	size_t last = sealing->instance;

	if (sealing->state == ARC_FAIL) {
		memset(chain, 0, sizeof(*chain));
		last = 1;
	}
	chain->sets[last] = (struct arc_set){.results = &sealing->fields[0],
	                                     .message = &sealing->fields[1],
	                                     .seal = &sealing->fields[2]};
	return arc_put_sealed(text, chain, last);
}

static enum pn_status put_seal(struct sealing *sealing, struct pn_error *error)
{
	struct pn_buffer out;
	struct pn_buffer text;
	struct dkim_writing writing = {.out = &out, .status = PN_OK};
	enum pn_status status;

	pn_buffer_init(&out, DKIM_TEXT_MAX);
	pn_buffer_init(&text, DKIM_TEXT_MAX);
	begin_field(sealing, &writing, "ARC-Seal:");
	dkim_put_tag(&writing, "cv", pn_slice_of(arc_state_name(sealing->state)));
	put_signer(sealing, &writing);
	dkim_break_line(&writing);
	dkim_put(&writing, PN_SLICE("b="));
	sealing->fields[2].whole = pn_arena_keep(sealing->arena, pn_buffer_slice(&out));
	status = put_scope(sealing, &text);
	status = status == PN_OK ? finish(sealing, &writing, &text, error)
	                         : pn_fail(error, "the header is too large to be sealed");
	pn_buffer_clear(&text);
	sealing->fields[2].whole = keep(sealing, &out);
	return status;
}

static enum pn_status read_wish(struct sealing *sealing, struct pn_error *error)
{
	const struct pn_signing *signing = sealing->signing;
	struct pn_slice chain = value_of(signing, "chain");
	struct pn_slice asked = value_of(signing, "algorithm");

	sealing->domain = value_of(signing, "domain");
	sealing->selector = value_of(signing, "selector");
	sealing->server = value_of(signing, "authserv_id");
	if (!dkim_is_domain(sealing->domain) || !dkim_is_domain(sealing->selector))
		return pn_fail(error, "which domain seals, and which selector has the key?");
	if (!dkim_is_domain(sealing->server))
		return pn_fail(error,
		               "what is the name of the server (authserv-id)? A host name will do");
	/* What is wrong with the chain is the caller's to know; how long it is, is not. */
	(void)arc_chain_read(signing->header, sealing->arena, &sealing->chain);
	sealing->instance = sealing->chain.count + 1;
	sealing->state = sealing->chain.count == 0                 ? ARC_NONE
	                 : pn_slice_equal(chain, PN_SLICE("pass")) ? ARC_PASS
	                                                           : ARC_FAIL;
	if (sealing->instance > ARC_SETS_MAX)
		return pn_fail(error, "the chain has 50 sets, and may have no more");
	if (sealing->chain.count > 0 &&
	    sealing->chain.sets[sealing->chain.count].sealed.state == ARC_FAIL &&
	    sealing->chain.sets[sealing->chain.count].sealed.field != NULL)
		return pn_fail(error, "the chain has failed before: it is not sealed again");
	sealing->algorithm = dkim_private_key_algorithm(sealing->key) == DKIM_RSA_SHA256
	                             ? PN_SLICE("rsa-sha256")
	                             : PN_SLICE("ed25519-sha256");
	if (asked.size > 0 && !pn_slice_equal(asked, sealing->algorithm))
		return pn_fail(error, "the key is for %.*s", PN_SLICE_ARGS(sealing->algorithm));
	return PN_OK;
}

enum pn_status arc_sign(const struct pn_signing *signing, struct pn_arena *arena,
                        struct pn_buffer *fields_out, struct pn_error *error)
{
	struct sealing *sealing = PN_ARENA_NEW(arena, struct sealing);
	enum pn_status status;

	sealing->signing = signing;
	sealing->arena = arena;
	if (pn_private_key_read_pem(signing->key, &sealing->key, error) != PN_OK)
		return PN_FAILED;
	status = read_wish(sealing, error);
	if (status == PN_OK)
		status = put_results(sealing, error);
	if (status == PN_OK)
		status = put_message(sealing, error);
	if (status == PN_OK)
		status = put_seal(sealing, error);
	pn_private_key_free(&sealing->key);
	/* The seal on top, as section 4.2 has it. */
	for (size_t i = 3; status == PN_OK && i-- > 0;) {
		if (pn_buffer_append(fields_out, sealing->fields[i].whole) != PN_OK)
			status = pn_fail(error, "the header is too large to be sealed");
	}
	return status;
}
