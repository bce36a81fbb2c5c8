/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of bodies, canonicalized on their way (RFC 6376 sections 3.4.3 and 3.4.4). Any thread. */
#include <postern/check.h>

#include <openssl/evp.h>
#include <stdlib.h>

enum { ROOM = 4096 };

/* One canonical form, with the digests that want it. */
struct form {
	bool is_relaxed;
	bool is_wanted;
	bool has_cr;    /* a CR that may begin a line end */
	bool has_space; /* white space that may be the end of a line */
	bool has_content;
	uint64_t line_ends; /* that may be the end of the body */
	uint64_t length;    /* given to the digests */
	size_t size;
	char room[ROOM];
};

struct pn_body_digester {
	struct pn_check_digest *digests;
	EVP_MD_CTX **hashes;
	size_t count;
	struct form simple;
	struct form relaxed;
};

struct pn_body_digester *pn_body_digester_new(struct pn_check_digest *digests, size_t count)
{
	struct pn_body_digester *digester = calloc(1, sizeof(*digester));

	if (digester == NULL)
		abort();
	digester->digests = digests;
	digester->count = count;
	digester->hashes = calloc(count + 1, sizeof(EVP_MD_CTX *));
	if (digester->hashes == NULL)
		abort();
	digester->relaxed.is_relaxed = true;
	for (size_t i = 0; i < count; i++) {
		digester->hashes[i] = EVP_MD_CTX_new();
		if (digester->hashes[i] == NULL ||
		    EVP_DigestInit_ex(digester->hashes[i], EVP_sha256(), NULL) != 1)
			abort();
		if (digests[i].is_relaxed)
			digester->relaxed.is_wanted = true;
		else
			digester->simple.is_wanted = true;
	}
	return digester;
}

static void flush(struct pn_body_digester *digester, struct form *form)
{
	for (size_t i = 0; i < digester->count; i++) {
		const struct pn_check_digest *digest = &digester->digests[i];
		uint64_t left = digest->limit > form->length ? digest->limit - form->length : 0;

		if (digest->is_relaxed == form->is_relaxed)
			EVP_DigestUpdate(digester->hashes[i], form->room,
			                 left < form->size ? (size_t)left : form->size);
	}
	form->length += form->size;
	form->size = 0;
}

static void put(struct pn_body_digester *digester, struct form *form, char byte)
{
	if (form->size == ROOM)
		flush(digester, form);
	form->room[form->size++] = byte;
}

/* Something that stays, behind what turned out to be in the midst of the body. */
static void put_content(struct pn_body_digester *digester, struct form *form, char byte)
{
	for (; form->line_ends > 0; form->line_ends--) {
		put(digester, form, '\r');
		put(digester, form, '\n');
	}
	if (form->has_space)
		put(digester, form, ' ');
	form->has_space = false;
	form->has_content = true;
	put(digester, form, byte);
}

static void take(struct pn_body_digester *digester, struct form *form, struct pn_slice bytes)
{
	for (size_t i = 0; i < bytes.size; i++) {
		char byte = bytes.data[i];

		if (form->has_cr) {
			form->has_cr = false;
			if (byte == '\n') {
				form->line_ends++;
				form->has_space = false;
				continue;
			}
			put_content(digester, form, '\r');
		}
		if (byte == '\r')
			form->has_cr = true;
		else if (form->is_relaxed && (byte == ' ' || byte == '\t'))
			form->has_space = true;
		else
			put_content(digester, form, byte);
	}
}

void pn_body_digester_append(struct pn_body_digester *digester, struct pn_slice bytes)
{
	if (digester->simple.is_wanted)
		take(digester, &digester->simple, bytes);
	if (digester->relaxed.is_wanted)
		take(digester, &digester->relaxed, bytes);
}

/* One line end closes a body, whether it had one or many; an empty one is a line end where it is
 * simple, and nothing where it is relaxed. */
static void end_form(struct pn_body_digester *digester, struct form *form)
{
	if (form->has_cr)
		put_content(digester, form, '\r');
	if (form->has_content || !form->is_relaxed) {
		put(digester, form, '\r');
		put(digester, form, '\n');
	}
	flush(digester, form);
}

void pn_body_digester_end(struct pn_body_digester **digester_in)
{
	struct pn_body_digester *digester = *digester_in;

	*digester_in = NULL;
	if (digester == NULL)
		return;
	end_form(digester, &digester->simple);
	end_form(digester, &digester->relaxed);
	for (size_t i = 0; i < digester->count; i++) {
		struct pn_check_digest *digest = &digester->digests[i];

		digest->length =
			digest->is_relaxed ? digester->relaxed.length : digester->simple.length;
		if (EVP_DigestFinal_ex(digester->hashes[i], digest->sha256, NULL) != 1)
			abort();
		EVP_MD_CTX_free(digester->hashes[i]);
	}
	free(digester->hashes);
	free(digester);
}
