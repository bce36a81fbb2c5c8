/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that sign tokens: from PEM, and from sets in JSON (RFC 7517, RFC 7518, RFC 8037). */
#include "oauth.h"

#include <postern/buffer.h>
#include <postern/text.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { NUMBER_MAX = 2048 };

/* Takes the key. */
static void add(struct oauth_keys *keys, struct pn_public_key *key, const char *id)
{
	if (keys->count == OAUTH_KEYS_MAX) {
		pn_public_key_free(&key);
		return;
	}
	keys->keys[keys->count].key = key;
	keys->keys[keys->count++].id = id == NULL ? NULL : strdup(id);
}

static enum pn_status read_pem(struct pn_slice text, struct oauth_keys *keys,
                               struct pn_error *error)
{
	struct pn_public_key *key;
	enum pn_status status;

	while ((status = pn_public_key_read_pem(&text, &key, error)) == PN_OK)
		add(keys, key, NULL);
	return status == PN_NOT_FOUND ? PN_OK : status;
}

/* A number of a key, base64url; false where there is none. */
static bool read_number(const json_t *row, const char *name, struct pn_buffer *out)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text != NULL && oauth_base64url(pn_slice_of(text), out) == PN_OK && out->size > 0;
}

static const char *text_of(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text == NULL ? "" : text;
}

/* One key. Symmetric ones ("oct") are of no kind that is known here, and so are those that encrypt.
 */
static void read_row(const json_t *row, struct oauth_keys *keys)
{
	const char *type = text_of(row, "kty");
	const char *curve = text_of(row, "crv");
	const char *use = text_of(row, "use");
	struct pn_public_key *key = NULL;
	enum pn_status status = PN_FAILED;
	struct pn_buffer one;
	struct pn_buffer other;

	if (use[0] != '\0' && strcmp(use, "sig") != 0)
		return;
	pn_buffer_init(&one, NUMBER_MAX);
	pn_buffer_init(&other, NUMBER_MAX);
	if (strcmp(type, "RSA") == 0 && read_number(row, "n", &one) &&
	    read_number(row, "e", &other))
		status = pn_public_key_rsa(pn_buffer_slice(&one), pn_buffer_slice(&other), &key,
		                           NULL);
	else if (strcmp(type, "EC") == 0 && strcmp(curve, "P-256") == 0 &&
	         read_number(row, "x", &one) && read_number(row, "y", &other))
		status = pn_public_key_p256(pn_buffer_slice(&one), pn_buffer_slice(&other), &key,
		                            NULL);
	else if (strcmp(type, "OKP") == 0 && strcmp(curve, "Ed25519") == 0 &&
	         read_number(row, "x", &one))
		status = pn_public_key_ed25519(pn_buffer_slice(&one), &key, NULL);
	if (status == PN_OK)
		add(keys, key, json_string_value(json_object_get(row, "kid")));
	pn_buffer_clear(&one);
	pn_buffer_clear(&other);
}

static enum pn_status read_json(struct pn_slice text, struct oauth_keys *keys,
                                struct pn_error *error)
{
	json_error_t problem;
	json_t *set = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, &problem);
	const json_t *rows = json_object_get(set, "keys");
	const json_t *row;
	size_t index;

	if (set == NULL)
		return pn_fail(error, "this is no JSON: %s", problem.text);
	json_array_foreach(rows, index, row) read_row(row, keys);
	json_decref(set);
	return PN_OK;
}

enum pn_status oauth_keys_read(struct pn_slice text, struct oauth_keys **keys_out,
                               struct pn_error *error)
{
	struct oauth_keys *keys = calloc(1, sizeof(*keys));
	struct pn_slice begin = pn_slice_trim(text);
	enum pn_status status;

	if (keys == NULL)
		abort();
	while (begin.size > 0 && (begin.data[0] == '\n' || begin.data[0] == '\r'))
		begin = pn_slice_trim(pn_slice_behind(begin, 1));
	status = begin.size > 0 && begin.data[0] == '{' ? read_json(begin, keys, error)
	                                                : read_pem(text, keys, error);
	if (status == PN_OK && keys->count == 0)
		status = pn_fail(error, "there is no key that signs with RS256, ES256 or EdDSA");
	if (status == PN_OK)
		*keys_out = keys;
	else
		oauth_keys_free(&keys);
	return status;
}

static enum pn_status read_all(int descriptor, struct pn_buffer *text)
{
	ssize_t size;
	char *room;

	do {
		if (pn_buffer_reserve(text, 4096, &room) != PN_OK)
			return PN_LIMIT;
		size = read(descriptor, room, 4096);
		text->size += size > 0 ? (size_t)size : 0;
	} while (size > 0 || (size < 0 && errno == EINTR));
	return size == 0 ? PN_OK : PN_FAILED;
}

enum pn_status oauth_keys_read_file(const char *path, struct oauth_keys **keys_out,
                                    struct pn_error *error)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	struct pn_buffer text;
	enum pn_status status;

	if (descriptor < 0)
		return pn_fail_errno(error, errno, "cannot open %s", path);
	pn_buffer_init(&text, OAUTH_KEYS_SIZE_MAX);
	status = read_all(descriptor, &text);
	close(descriptor);
	if (status == PN_OK) {
		status = oauth_keys_read(pn_buffer_slice(&text), keys_out, error);
		if (status != PN_OK)
			pn_error_prefix(error, "%s", path);
	} else {
		status = pn_fail(error, "cannot read %s, or it is larger than %d bytes", path,
		                 OAUTH_KEYS_SIZE_MAX);
	}
	pn_buffer_clear(&text);
	return status;
}

void oauth_keys_free(struct oauth_keys **keys)
{
	if (*keys == NULL)
		return;
	for (size_t i = 0; i < (*keys)->count; i++) {
		pn_public_key_free(&(*keys)->keys[i].key);
		free((*keys)->keys[i].id);
	}
	free(*keys);
	*keys = NULL;
}
