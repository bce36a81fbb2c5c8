/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the configuration. */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

static int find_provided(const char *path)
{
	for (size_t i = 0; i < provided_count; i++) {
		if (strcmp(provided[i].path, path) == 0)
			return provided[i].descriptor;
	}
	return -1;
}

/* A pipe or a terminal in the place of a file must not hold us up; it is refused below. */
enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

/* What is behind "//" must lie below what is before it: the kernel sees to it. */
static int open_below(const char *path, const char *separator)
{
	char *directory = strndup(path, separator == path ? 1 : (size_t)(separator - path));
	struct open_how how = {.flags = OPEN_FLAGS,
	                       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	int parent, descriptor = -1, number;

	if (directory == NULL)
		abort();
	parent = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(directory);
	if (parent < 0)
		return -1;
	descriptor = (int)syscall(SYS_openat2, parent, separator + 2, &how, sizeof(how));
	number = errno;
	close(parent);
	errno = number;
	return descriptor;
}

static int open_file(const char *path)
{
	int descriptor = find_provided(path);
	const char *separator = strstr(path, "//");

	if (descriptor >= 0)
		return fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
	return separator != NULL ? open_below(path, separator) : open(path, OPEN_FLAGS);
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

/* Only a sealed copy may be mapped: a file that becomes shorter would end whoever reads it. */
static bool is_sealed(int descriptor)
{
	int seals = fcntl(descriptor, F_GET_SEALS);

	return seals >= 0 && (seals & F_SEAL_SHRINK) != 0 && (seals & F_SEAL_WRITE) != 0;
}

enum pn_status pn_file_hold(const char *path, size_t limit, struct pn_held_file *file_out,
                            struct pn_error *error)
{
	int descriptor = -1;
	size_t size = 0;
	char *room;
	enum pn_status status = open_checked(path, limit, &descriptor, &size, error);

	if (status != PN_OK)
		return status;
	*file_out = (struct pn_held_file){.size = size, .is_mapped = is_sealed(descriptor)};
	if (size > 0 && file_out->is_mapped) {
		room = mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, 0);
		if (room == MAP_FAILED)
			status = pn_fail_errno(error, errno, "cannot map %s", path);
	} else {
		file_out->is_mapped = false;
		room = malloc(size + 1);
		if (room == NULL)
			abort();
		status = read_all(descriptor, path, room, size, error);
		if (status != PN_OK)
			free(room);
	}
	close(descriptor);
	file_out->data = status == PN_OK ? room : NULL;
	return status;
}

void pn_file_release(struct pn_held_file *file)
{
	if (file->is_mapped && file->data != NULL)
		munmap((void *)(uintptr_t)file->data, file->size);
	else
		free((void *)(uintptr_t)file->data);
	memset(file, 0, sizeof(*file));
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

static bool write_all(int descriptor, struct pn_slice bytes)
{
	while (bytes.size > 0) {
		ssize_t written = write(descriptor, bytes.data, bytes.size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		bytes = pn_slice_behind(bytes, (size_t)written);
	}
	return fsync(descriptor) == 0;
}

/* The name of a file is durable when its directory is. */
static bool flush_directory_of(char *path)
{
	char *slash = strrchr(path, '/');
	int descriptor;
	bool is_ok;

	if (slash != NULL)
		slash[slash == path ? 1 : 0] = '\0';
	descriptor = open(slash == NULL ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	is_ok = descriptor >= 0 && fsync(descriptor) == 0;
	if (descriptor >= 0)
		close(descriptor);
	return is_ok;
}

enum pn_status pn_file_replace(const char *path, struct pn_slice bytes, struct pn_error *error)
{
	char beside[4096];
	char directory[4096];
	bool is_ok;
	int descriptor;

	if (strlen(path) + sizeof(".new") > sizeof(beside))
		return pn_fail(error, "the path %.200s is too long", path);
	snprintf(beside, sizeof(beside), "%s.new", path);
	snprintf(directory, sizeof(directory), "%s", path);
	descriptor = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (descriptor < 0)
		return pn_fail_errno(error, errno, "cannot write %s", beside);
	is_ok = write_all(descriptor, bytes);
	if (close(descriptor) == 0 && is_ok && rename(beside, path) == 0 &&
	    flush_directory_of(directory))
		return PN_OK;
	(void)pn_fail_errno(error, errno, "cannot write %s", path);
	unlink(beside);
	return PN_FAILED;
}
