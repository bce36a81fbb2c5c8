/* SPDX-License-Identifier: Apache-2.0 */
/* Files: whole writes, flushes and reads, each with its fault point. Any thread. */
#include "store_local.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

char *file_path(const char *directory, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", directory, name) < 0)
		abort();
	return path;
}

enum { WINDOW = 256 }; /* pieces for one call; the kernel takes 1,024 */

/* Writes all the pieces at `offset`, or fails; "short" writes half of them and fails. */
enum pn_status file_write(int descriptor, const struct iovec *pieces, size_t count, uint64_t offset,
                          const char *point, const char *what, struct pn_error *error)
{
	struct iovec window[WINDOW];
	size_t next = 0;
	size_t skip = 0; /* bytes of pieces[next] that are written */
	int number = 0;
	enum pn_fault_action fault = pn_fault(point, &number);

	if (fault == PN_FAULT_ERROR)
		return pn_fail_errno(error, number, "cannot write to %s", what);
	if (fault == PN_FAULT_SHORT)
		count = (count + 1) / 2;
	while (next < count) {
		size_t used = 0;
		ssize_t written;

		for (size_t i = next; i < count && used < WINDOW; i++, used++) {
			window[used] = pieces[i];
			if (i == next) {
				window[used].iov_base = (char *)window[used].iov_base + skip;
				window[used].iov_len -= skip;
			}
		}
		written = pwritev(descriptor, window, (int)used, (off_t)offset);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return pn_fail_errno(error, errno, "cannot write to %s", what);
		offset += (uint64_t)written;
		skip += (size_t)written;
		while (next < count && skip >= pieces[next].iov_len) {
			skip -= pieces[next].iov_len;
			next++;
		}
		if (written == 0 && next < count && pieces[next].iov_len != 0)
			return pn_fail_errno(error, ENOSPC, "cannot write to %s", what);
	}
	if (fault == PN_FAULT_SHORT)
		return pn_fail_errno(error, ENOSPC, "wrote only half to %s", what);
	return PN_OK;
}

/* Reads all of it; PN_NOT_FOUND (with a sentence) where the file ends before. */
enum pn_status file_read(int descriptor, void *bytes, size_t size, uint64_t offset,
                         const char *what, struct pn_error *error)
{
	size_t done = 0;
	int number = 0;

	if (pn_fault("store.body.read", &number) == PN_FAULT_ERROR)
		return pn_fail_errno(error, number, "cannot read %s", what);
	while (done < size) {
		ssize_t got = pread(descriptor, (char *)bytes + done, size - done,
		                    (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return pn_fail_errno(error, errno, "cannot read %s", what);
		if (got == 0)
			return pn_fail_with(PN_NOT_FOUND, error, "%s ends too early", what);
		done += (size_t)got;
	}
	return PN_OK;
}

/* Data on the device, and as much of the inode as is needed to find it. Never tried twice. */
enum pn_status file_flush(int descriptor, const char *point, const char *what,
                          struct pn_error *error)
{
	int number = 0;
	enum pn_fault_action fault = pn_fault(point, &number);

	if (fault == PN_FAULT_SKIP)
		return PN_OK;
	if (fault == PN_FAULT_ERROR)
		return pn_fail_errno(error, number, "cannot flush %s", what);
	if (fdatasync(descriptor) != 0)
		return pn_fail_errno(error, errno, "cannot flush %s", what);
	return PN_OK;
}

enum pn_status file_flush_directory(const char *path, const char *point, struct pn_error *error)
{
	int number = 0;
	int descriptor;
	enum pn_fault_action fault = pn_fault(point, &number);

	if (fault == PN_FAULT_SKIP)
		return PN_OK;
	if (fault == PN_FAULT_ERROR)
		return pn_fail_errno(error, number, "cannot flush the directory %s", path);
	descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (descriptor < 0)
		return pn_fail_errno(error, errno, "cannot open the directory %s", path);
	number = fsync(descriptor) == 0 ? 0 : errno;
	close(descriptor);
	return number == 0 ? PN_OK
	                   : pn_fail_errno(error, number, "cannot flush the directory %s", path);
}

enum pn_status file_make_directory(const char *path, struct pn_error *error)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return PN_OK;
	return pn_fail_errno(error, errno, "cannot make the directory %s", path);
}
