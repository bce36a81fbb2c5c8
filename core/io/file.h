/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the configuration, read through one place: a worker gets their bytes
 * from the master (as descriptors of a copy), so that a worker that is restarted
 * sees what was checked and not what somebody is just editing. Main thread.
 */
#ifndef CORE_IO_FILE_H
#define CORE_IO_FILE_H

#include <postern/arena.h>
#include <postern/error.h>

/* From now on the path (absolute) is read from this descriptor, which is taken. */
void pn_file_provide(const char *path, int descriptor);

/* Forgets all provided files. */
void pn_file_forget(void);

/* The whole file in the arena, at most `limit` bytes. PN_OK; PN_NOT_FOUND; PN_LIMIT; PN_FAILED. */
PN_MUST_CHECK enum pn_status pn_file_read(const char *path, size_t limit, struct pn_arena *arena,
					  struct pn_slice *bytes_out, struct pn_error *error);

/*
 * A path may have `//` in it once: what is behind it must lie below the directory before it, wherever
 * links lead (PN_FAILED otherwise). For names that come out of a policy.
 */

/* A whole file that is kept for long: shared with the other processes where it was provided. */
struct pn_held_file {
	const char *data;
	size_t size;
	bool is_mapped;
};

PN_MUST_CHECK enum pn_status pn_file_hold(const char *path, size_t limit,
					  struct pn_held_file *file_out, struct pn_error *error);
void pn_file_release(struct pn_held_file *file);

/* Writes the file anew, whole or not at all, and durable: beside the old one ("PATH.new"), flushed, and
 * renamed. Only its owner reads it. */
PN_MUST_CHECK enum pn_status pn_file_replace(const char *path, struct pn_slice bytes,
					     struct pn_error *error);

/* A sealed copy of the file in memory, for other processes. */
PN_MUST_CHECK enum pn_status pn_file_snapshot(const char *path, size_t limit, int *descriptor_out,
					      struct pn_error *error);

#endif
