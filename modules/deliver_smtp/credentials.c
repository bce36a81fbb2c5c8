/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of users and passwords for next hops: "HOST USER PASSWORD" a line, `#`
 * begins a comment, "*" is any host. Read when the instance starts and at each
 * reload; secrets are wiped when they go.
 */
#include "deliver.h"

#include <postern/text.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 1024 * 1024, ENTRIES_MAX = 10000 };

struct entry {
	struct pn_slice host;
	struct deliver_login login;
};

struct deliver_credentials {
	struct pn_arena *arena;
	char *text; /* the file; entries point into it, their ends made NUL */
	size_t size;
	struct entry *entries;
	size_t count;
};

static enum pn_status check_file(int descriptor, const char *path, size_t *size_out,
                                 struct pn_error *error)
{
	struct stat status;

	if (fstat(descriptor, &status) != 0)
		return pn_fail_errno(error, errno, "cannot look at %s", path);
	if (!S_ISREG(status.st_mode))
		return pn_fail(error, "%s is no file", path);
	if ((status.st_mode & (S_IRWXO | S_IWGRP)) != 0)
		return pn_fail(error,
		               "%s holds passwords and may be read or changed by others: chmod 640 "
		               "or 600 it",
		               path);
	if (status.st_size > FILE_MAX)
		return pn_fail(error, "%s is too large: at most 1 MiB", path);
	*size_out = (size_t)status.st_size;
	return PN_OK;
}

static enum pn_status read_whole(int descriptor, const char *path,
                                 struct deliver_credentials *credentials, struct pn_error *error)
{
	size_t room = credentials->size;
	ssize_t more = 1;

	credentials->size = 0;
	while (more != 0 && credentials->size < room) {
		more = read(descriptor, credentials->text + credentials->size,
		            room - credentials->size);
		if (more < 0 && errno != EINTR)
			return pn_fail_errno(error, errno, "cannot read %s", path);
		credentials->size += more > 0 ? (size_t)more : 0;
	}
	return PN_OK;
}

/* Room for an entry of every line. */
static void make_room(struct deliver_credentials *credentials)
{
	size_t lines = 1;

	for (size_t i = 0; i < credentials->size; i++)
		lines += credentials->text[i] == '\n' ? 1 : 0;
	if (lines > ENTRIES_MAX)
		lines = ENTRIES_MAX;
	credentials->entries = PN_ARENA_ARRAY(credentials->arena, lines, struct entry);
}

static struct pn_slice take_word(struct pn_slice *rest)
{
	size_t size = 0;
	struct pn_slice word;

	*rest = pn_slice_trim(*rest);
	while (size < rest->size && rest->data[size] != ' ' && rest->data[size] != '\t')
		size++;
	word = pn_slice_make(rest->data, size);
	*rest = pn_slice_trim(pn_slice_behind(*rest, size));
	return word;
}

/* The text behind every word is a space, a tab or a line end, which gives way to a NUL. */
static const char *ended(struct deliver_credentials *credentials, struct pn_slice word)
{
	credentials->text[(size_t)(word.data - credentials->text) + word.size] = '\0';
	return word.data;
}

static enum pn_status take_line(struct deliver_credentials *credentials, struct pn_slice line,
                                const char *path, unsigned number, struct pn_error *error)
{
	struct pn_slice rest = pn_slice_trim(line);
	struct pn_slice host, user;
	struct entry *entry;

	if (rest.size > 0 && rest.data[rest.size - 1] == '\r')
		rest = pn_slice_trim(pn_slice_make(rest.data, rest.size - 1));
	if (rest.size == 0 || rest.data[0] == '#')
		return PN_OK;
	host = take_word(&rest);
	user = take_word(&rest);
	if (user.size == 0 || rest.size == 0)
		return pn_fail(error, "%s:%u: a line is HOST USER PASSWORD", path, number);
	if (user.size > DELIVER_SECRET_MAX || rest.size > DELIVER_SECRET_MAX)
		return pn_fail(error, "%s:%u: user and password may have %d bytes each", path,
		               number, DELIVER_SECRET_MAX);
	if (memchr(line.data, '\0', line.size) != NULL)
		return pn_fail(error, "%s:%u: there is a NUL in it", path, number);
	for (size_t i = 0; i < credentials->count; i++) {
		if (pn_slice_equal_ignore_case(credentials->entries[i].host, host))
			return pn_fail(error, "%s:%u: this host has a line already", path, number);
	}
	if (credentials->count == ENTRIES_MAX)
		return pn_fail(error, "%s:%u: at most %d hosts", path, number, ENTRIES_MAX);
	entry = &credentials->entries[credentials->count++];
	entry->host = host;
	entry->login.user = ended(credentials, user);
	entry->login.password = ended(credentials, rest);
	return PN_OK;
}

static enum pn_status parse(struct deliver_credentials *credentials, const char *path,
                            struct pn_error *error)
{
	struct pn_slice rest = pn_slice_make(credentials->text, credentials->size);
	enum pn_status status = PN_OK;
	unsigned number = 0;

	while (status == PN_OK && rest.size > 0)
		status = take_line(credentials, pn_slice_cut(&rest, '\n'), path, ++number, error);
	return status;
}

enum pn_status deliver_credentials_read(const char *path,
                                        struct deliver_credentials **credentials_out,
                                        struct pn_error *error)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct deliver_credentials *credentials;
	struct pn_arena *arena;
	enum pn_status status;

	if (descriptor < 0)
		return pn_fail_errno(error, errno, "cannot open the credentials %s", path);
	arena = pn_arena_new();
	credentials = PN_ARENA_NEW(arena, struct deliver_credentials);
	credentials->arena = arena;
	status = check_file(descriptor, path, &credentials->size, error);
	if (status == PN_OK) {
		credentials->text = pn_arena_allocate(arena, credentials->size + 1);
		status = read_whole(descriptor, path, credentials, error);
	}
	if (status == PN_OK) {
		make_room(credentials);
		status = parse(credentials, path, error);
	}
	close(descriptor);
	if (status == PN_OK)
		*credentials_out = credentials;
	else
		deliver_credentials_free(&credentials);
	return status;
}

void deliver_credentials_free(struct deliver_credentials **credentials)
{
	struct pn_arena *arena;

	if (*credentials == NULL)
		return;
	arena = (*credentials)->arena;
	if ((*credentials)->text != NULL)
		explicit_bzero((*credentials)->text, (*credentials)->size);
	*credentials = NULL;
	pn_arena_free(&arena);
}

bool deliver_credentials_find(const struct deliver_credentials *credentials, const char *host,
                              struct deliver_login *login_out)
{
	const struct entry *any = NULL;

	if (credentials == NULL)
		return false;
	for (size_t i = 0; i < credentials->count; i++) {
		const struct entry *entry = &credentials->entries[i];

		if (pn_slice_equal_ignore_case(entry->host, pn_slice_of(host))) {
			*login_out = entry->login;
			return true;
		}
		if (pn_slice_equal(entry->host, PN_SLICE("*")))
			any = entry;
	}
	if (any != NULL)
		*login_out = any->login;
	return any != NULL;
}
