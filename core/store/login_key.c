/* SPDX-License-Identifier: Apache-2.0 */
/* The secret that stand-ins are made from: a file of 32 bytes in the data directory. */
#include "store/login.h"

#include <postern/clock.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

uint8_t pn_login_key[PN_LOGIN_KEY_SIZE];

static enum pn_status read_key(const char *path, struct pn_error *error)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	uint8_t key[PN_LOGIN_KEY_SIZE + 1];
	ssize_t size;

	if (descriptor < 0)
		return errno == ENOENT ? PN_NOT_FOUND
		                       : pn_fail_errno(error, errno, "cannot open %s", path);
	size = read(descriptor, key, sizeof(key));
	close(descriptor);
	if (size != PN_LOGIN_KEY_SIZE)
		return pn_fail(error, "%s is damaged: remove it, and it is made anew", path);
	memcpy(pn_login_key, key, sizeof(pn_login_key));
	return PN_OK;
}

/* Written whole beside its place and then linked there: of workers that start at once one succeeds,
 * and the others read what it wrote. */
static enum pn_status make_key(const char *path, struct pn_error *error)
{
	uint8_t key[PN_LOGIN_KEY_SIZE];
	char name[600];
	int descriptor;
	bool is_written;

	snprintf(name, sizeof(name), "%s.%ld", path, (long)getpid());
	unlink(name);
	descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (descriptor < 0)
		return pn_fail_errno(error, errno, "cannot make %s", name);
	pn_random(key, sizeof(key));
	is_written = write(descriptor, key, sizeof(key)) == (ssize_t)sizeof(key) &&
	             fsync(descriptor) == 0;
	close(descriptor);
	if (!is_written || (link(name, path) != 0 && errno != EEXIST)) {
		(void)pn_fail_errno(error, errno, "cannot write %s", path);
		unlink(name);
		return PN_FAILED;
	}
	unlink(name);
	return read_key(path, error);
}

enum pn_status pn_login_key_load(const char *data_directory, struct pn_error *error)
{
	char path[512];
	enum pn_status status;

	snprintf(path, sizeof(path), "%s/login.key", data_directory);
	status = read_key(path, error);
	return status == PN_NOT_FOUND ? make_key(path, error) : status;
}
