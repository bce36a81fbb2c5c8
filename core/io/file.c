/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the configuration. */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_PROVIDED = 256 };

static struct {
	char *path;
	int descriptor;
} provided[MAX_PROVIDED];
static size_t provided_count;

void pn_file_provide(const char *path, int descriptor)
{
	for (size_t i = 0; i < provided_count; i++) {
		if (strcmp(provided[i].path, path) == 0) {
			close(provided[i].descriptor);
			provided[i].descriptor = descriptor;
			return;
		}
	}
	if (provided_count == MAX_PROVIDED) {
		close(descriptor);
		return;
	}
	provided[provided_count].path = strdup(path);
	provided[provided_count].descriptor = descriptor;
	if (provided[provided_count].path == NULL)
		abort();
	provided_count++;
}

void pn_file_forget(void)
{
	while (provided_count > 0) {
		provided_count--;
		free(provided[provided_count].path);
		close(provided[provided_count].descriptor);
	}
}

static int open_file(const char *path)
{
	for (size_t i = 0; i < provided_count; i++) {
		if (strcmp(provided[i].path, path) == 0)
			return dup(provided[i].descriptor);
	}
	/* A pipe or a terminal in the place of a file must not hold us up; it is refused below. */
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static enum pn_status read_all(int descriptor, const char *path, char *room, size_t size,
                               struct pn_error *error)
{
	size_t done = 0;

	while (done < size) {
		ssize_t result = pread(descriptor, room + done, size - done, (off_t)done);

		if (result < 0 && errno == EINTR)
			continue;
		if (result < 0)
			return pn_fail_errno(error, errno, "cannot read %s", path);
		if (result == 0)
			return pn_fail(error, "cannot read %s: it became shorter", path);
		done += (size_t)result;
	}
	return PN_OK;
}

static enum pn_status open_checked(const char *path, size_t limit, int *descriptor_out,
                                   size_t *size_out, struct pn_error *error)
{
	struct stat status;
	int descriptor = open_file(path);
	int number = errno;

	if (descriptor < 0) {
		(void)pn_fail_errno(error, number, "cannot read %s", path);
		return number == ENOENT ? PN_NOT_FOUND : PN_FAILED;
	}
	if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
		close(descriptor);
		return pn_fail(error, "cannot read %s: it is not a file", path);
	}
	if ((uint64_t)status.st_size > limit) {
		close(descriptor);
		return pn_fail_with(PN_LIMIT, error, "%s is larger than %zu bytes", path, limit);
	}
	*descriptor_out = descriptor;
	*size_out = (size_t)status.st_size;
	return PN_OK;
}

enum pn_status pn_file_read(const char *path, size_t limit, struct pn_arena *arena,
                            struct pn_slice *bytes_out, struct pn_error *error)
{
	int descriptor = -1;
	size_t size = 0;
	char *room;
	enum pn_status status = open_checked(path, limit, &descriptor, &size, error);

	if (status != PN_OK)
		return status;
	room = pn_arena_allocate(arena, size + 1);
	status = read_all(descriptor, path, room, size, error);
	close(descriptor);
	*bytes_out = pn_slice_make(room, size);
	return status;
}

enum pn_status pn_file_snapshot(const char *path, size_t limit, int *descriptor_out,
                                struct pn_error *error)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice bytes = PN_SLICE_NONE;
	int descriptor = -1;
	enum pn_status status = pn_file_read(path, limit, arena, &bytes, error);

	if (status != PN_OK)
		goto done;
	descriptor = memfd_create("postern file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (descriptor < 0 || (bytes.size > 0 && pwrite(descriptor, bytes.data, bytes.size, 0) !=
	                                                 (ssize_t)bytes.size)) {
		status = pn_fail_errno(error, errno, "cannot keep a copy of %s", path);
		if (descriptor >= 0)
			close(descriptor);
		goto done;
	}
	fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	*descriptor_out = descriptor;
done:
	pn_arena_free(&arena);
	return status;
}
