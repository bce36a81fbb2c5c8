/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of keys: "DOMAIN SELECTOR FILE [old|new]" a line, `#` begins a comment, files are named
 * from the table's folder (workers may read there, and nowhere else). Read when the instance starts
 * and at each reload; keys are wiped when they go.
 */
#include <postern/arena.h>
#include <postern/signature.h>
#include <postern/text.h>

#include "dkim_sign.h"

#include "../dkim/dkim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 4 * 1024 * 1024, KEY_MAX = 64 * 1024 };

struct dkim_sign_keys {
	unsigned references;
	struct pn_arena *arena;
	struct dkim_sign_key *list;
	size_t count;
};

/* Where in which file. */
struct place {
	const char *path;
	unsigned line;
	const char *folder; /* with its final slash */
};

/* ---- files ---- */

static enum pn_status check_file(int descriptor, const char *path, size_t most, size_t *size_out,
                                 struct pn_error *error)
{
	struct stat status;

	if (fstat(descriptor, &status) != 0)
		return pn_fail_errno(error, errno, "cannot look at %s", path);
	if (!S_ISREG(status.st_mode))
		return pn_fail(error, "%s is no file", path);
	if ((status.st_mode & (S_IRWXO | S_IWGRP)) != 0)
		return pn_fail(
			error,
			"%s may be read or changed by others, who could sign then: chmod 640 or "
			"600 it",
			path);
	if ((size_t)status.st_size > most)
		return pn_fail(error, "%s is too large: at most %zu bytes", path, most);
	*size_out = (size_t)status.st_size;
	return PN_OK;
}

static enum pn_status read_whole(const char *path, size_t most, struct pn_arena *arena,
                                 struct pn_slice *text_out, struct pn_error *error)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	enum pn_status status;
	size_t room = 0, size = 0;
	ssize_t more = 1;
	char *text;

	if (descriptor < 0)
		return pn_fail_errno(error, errno, "cannot open %s", path);
	status = check_file(descriptor, path, most, &room, error);
	text = pn_arena_allocate(arena, room + 1);
	while (status == PN_OK && more != 0 && size < room) {
		more = read(descriptor, text + size, room - size);
		if (more < 0 && errno != EINTR)
			status = pn_fail_errno(error, errno, "cannot read %s", path);
		size += more > 0 ? (size_t)more : 0;
	}
	close(descriptor);
	*text_out = pn_slice_make(text, size);
	return status;
}

/* ---- lines ---- */

static struct pn_slice take_word(struct pn_slice *rest)
{
	size_t size = 0;
	struct pn_slice word;

	*rest = pn_slice_trim(*rest);
	while (size < rest->size && rest->data[size] != ' ' && rest->data[size] != '\t' &&
	       rest->data[size] != '\r')
		size++;
	word = pn_slice_make(rest->data, size);
	*rest = pn_slice_behind(*rest, size);
	return word;
}

static const char *lower(struct pn_arena *arena, struct pn_slice text)
{
	char *copy = pn_arena_keep_text(arena, text);

	for (char *at = copy; *at != '\0'; at++) {
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at - 'A' + 'a');
	}
	return copy;
}

static enum pn_status check_names(const struct dkim_sign_keys *keys,
                                  const struct dkim_sign_key *key, const struct place *place,
                                  struct pn_error *error)
{
	if (!dkim_is_domain(pn_slice_of(key->domain)) ||
	    !dkim_is_domain(pn_slice_of(key->selector)))
		return pn_fail(
			error,
			"%s:%u: domain and selector are made of letters, digits, '-' and dots",
			place->path, place->line);
	for (size_t i = 0; i < keys->count; i++) {
		if (strcmp(keys->list[i].domain, key->domain) == 0 &&
		    strcmp(keys->list[i].selector, key->selector) == 0)
			return pn_fail(error, "%s:%u: %s of %s has a line already", place->path,
			               place->line, key->selector, key->domain);
	}
	return PN_OK;
}

static enum pn_status read_key(struct dkim_sign_keys *keys, struct dkim_sign_key *key,
                               struct pn_slice file, const struct place *place,
                               struct pn_error *error)
{
	const char *path = file.data[0] == '/' ? pn_arena_keep_text(keys->arena, file)
	                                       : pn_arena_print(keys->arena, "%s%.*s",
	                                                        place->folder, PN_SLICE_ARGS(file));
	struct pn_private_key *trial = NULL;
	struct pn_error why;

	if (strncmp(path, place->folder, strlen(place->folder)) != 0 ||
	    strstr(path, "/../") != NULL)
		return pn_fail(error,
		               "%s:%u: %s is not in the folder of this table, and workers may read "
		               "nowhere else",
		               place->path, place->line, path);
	if (read_whole(path, KEY_MAX, keys->arena, &key->text, &why) != PN_OK ||
	    pn_private_key_read_pem(key->text, &trial, &why) != PN_OK)
		return pn_fail(error, "%s:%u: the key %.*s: %s", place->path, place->line,
		               PN_SLICE_ARGS(file), why.text);
	pn_private_key_free(&trial);
	return PN_OK;
}

static enum pn_status take_line(struct dkim_sign_keys *keys, struct pn_slice line,
                                const struct place *place, struct pn_error *error)
{
	struct pn_slice rest = line;
	struct pn_slice domain = take_word(&rest);
	struct pn_slice selector, file, use;
	struct dkim_sign_key *key;

	if (domain.size == 0 || domain.data[0] == '#')
		return PN_OK;
	selector = take_word(&rest);
	file = take_word(&rest);
	use = take_word(&rest);
	if (file.size == 0 || take_word(&rest).size > 0 ||
	    memchr(line.data, '\0', line.size) != NULL ||
	    (use.size > 0 && !pn_slice_equal(use, PN_SLICE("old")) &&
	     !pn_slice_equal(use, PN_SLICE("new"))))
		return pn_fail(error,
		               "%s:%u: a line is DOMAIN SELECTOR FILE, and old or new behind it",
		               place->path, place->line);
	if (keys->count == DKIM_SIGN_KEYS_MAX)
		return pn_fail(error, "%s:%u: at most %d keys", place->path, place->line,
		               DKIM_SIGN_KEYS_MAX);
	key = &keys->list[keys->count];
	key->domain = lower(keys->arena, domain);
	key->selector = lower(keys->arena, selector);
	key->use = use.size == 0                          ? DKIM_SIGN_ACTIVE
	           : pn_slice_equal(use, PN_SLICE("old")) ? DKIM_SIGN_OLD
	                                                  : DKIM_SIGN_NEW;
	if (check_names(keys, key, place, error) != PN_OK)
		return PN_FAILED;
	keys->count++;
	return read_key(keys, key, file, place, error);
}

static size_t count_lines(struct pn_slice text)
{
	size_t lines = 1;

	for (size_t i = 0; i < text.size; i++)
		lines += text.data[i] == '\n' ? 1 : 0;
	return lines < DKIM_SIGN_KEYS_MAX ? lines : DKIM_SIGN_KEYS_MAX;
}

enum pn_status dkim_sign_keys_read(const char *path, struct dkim_sign_keys **keys_out,
                                   struct pn_error *error)
{
	struct pn_arena *arena = pn_arena_new();
	struct dkim_sign_keys *keys = PN_ARENA_NEW(arena, struct dkim_sign_keys);
	struct place place = {.path = path};
	struct pn_slice text = PN_SLICE_NONE;
	const char *slash = strrchr(path, '/');
	enum pn_status status;

	keys->references = 1;
	keys->arena = arena;
	place.folder = pn_arena_keep_text(
		arena, pn_slice_make(path, slash == NULL ? 0 : (size_t)(slash - path) + 1));
	status = read_whole(path, FILE_MAX, arena, &text, error);
	keys->list = PN_ARENA_ARRAY(arena, count_lines(text), struct dkim_sign_key);
	while (status == PN_OK && text.size > 0) {
		place.line++;
		status = take_line(keys, pn_slice_cut(&text, '\n'), &place, error);
	}
	if (status == PN_OK)
		*keys_out = keys;
	else
		dkim_sign_keys_drop(&keys);
	return status;
}

struct dkim_sign_keys *dkim_sign_keys_keep(struct dkim_sign_keys *keys)
{
	keys->references++;
	return keys;
}

void dkim_sign_keys_drop(struct dkim_sign_keys **keys_in)
{
	struct dkim_sign_keys *keys = *keys_in;
	struct pn_arena *arena;

	*keys_in = NULL;
	if (keys == NULL || --keys->references > 0)
		return;
	for (size_t i = 0; i < keys->count; i++) {
		if (keys->list[i].text.size > 0)
			explicit_bzero((char *)(uintptr_t)keys->list[i].text.data,
			               keys->list[i].text.size);
	}
	arena = keys->arena;
	pn_arena_free(&arena);
}

const struct dkim_sign_key *dkim_sign_keys_next(const struct dkim_sign_keys *keys,
                                                struct pn_slice domain,
                                                const struct dkim_sign_key *before)
{
	size_t at = before == NULL ? 0 : (size_t)(before - keys->list) + 1;

	for (; at < keys->count; at++) {
		if (pn_slice_equal_ignore_case(domain, pn_slice_of(keys->list[at].domain)))
			return &keys->list[at];
	}
	return NULL;
}
