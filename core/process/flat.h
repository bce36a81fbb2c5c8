/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flat result of a check: what the master needs of a configuration, as lines
 * "word value" on a pipe, so that it never has to read the file itself. Written by
 * `postern config check --flat` in an unprivileged child, read by the master.
 */
#ifndef CORE_PROCESS_FLAT_H
#define CORE_PROCESS_FLAT_H

#include <postern/arena.h>
#include <postern/error.h>

#include "process/assemble.h"

#include <stdio.h>

enum { PN_FLAT_MAX = 256 };

struct pn_flat_list {
	const char *items[PN_FLAT_MAX];
	size_t count;
};

struct pn_flat {
	struct pn_arena *arena;
	struct pn_flat_list listeners; /* addresses */
	struct pn_flat_list keys;      /* paths of private keys */
	struct pn_flat_list files;     /* paths of the files that were read */
	struct pn_flat_list reads;     /* what the workers must reach, below its directory */
	struct pn_flat_list writes;
	const char *file;              /* the configuration, and the SHA-256 of what was checked */
	const char *digest;
	const char *user;
	const char *group;
	const char *data_directory;
	const char *control;
	const char *control_socket;
	const char *welcome;
	uint64_t edge_workers;
	uint64_t queue_workers; /* 0: there is no store that has a queue */
	uint64_t watchdog_ms;
	uint64_t stop_grace_ms;
	uint64_t reload_deadline_ms;
	uint64_t tls_session_lifetime_ms;
	uint64_t confinement;
};

/* Writes the result of a check. */
void pn_flat_write(const struct pn_assembly *assembly, FILE *out);

/* Reads it. PN_FAILED where the child did not finish its list. */
PN_MUST_CHECK enum pn_status pn_flat_read(FILE *in, struct pn_arena *arena, struct pn_flat *flat_out);

#endif
