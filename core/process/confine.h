/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker can reach, whoever should come to run in it: no capability, no other
 * program, no file but those that its configuration is about (Landlock), no system call
 * that serving mail does not need (seccomp). Set up once in the life of a process, before its first
 * thread and its first module; it is never widened again.
 */
#ifndef CORE_PROCESS_CONFINE_H
#define CORE_PROCESS_CONFINE_H

#include <postern/error.h>

enum pn_confinement {
	PN_CONFINEMENT_AUTO = 0, /* as far as this kernel can; what it cannot is said */
	PN_CONFINEMENT_REQUIRED, /* or it does not start */
	PN_CONFINEMENT_OFF,
};

enum { PN_REACH_MAX = 256 };

/* Files and directories, with all that is below them. */
struct pn_reach {
	struct pn_reach_entry {
		char *path;     /* absolute */
		bool may_write; /* made, changed and removed, too */
	} entries[PN_REACH_MAX];
	size_t count;
};

/* Adds a path, which is copied. More than there is room for are left out: then what lies there
 * cannot be reached, and who tries hears of it. */
void pn_reach_add(struct pn_reach *reach, const char *path, bool may_write);

/* Whether all of `wanted` can be reached by who has `held`. */
bool pn_reach_has(const struct pn_reach *held, const struct pn_reach *wanted);
void pn_reach_clear(struct pn_reach *reach);

/*
 * Confines this process to that, and to what libraries need of the system. Of a file its directory
 * can be read, since a file that is replaced is another one; of what is not there yet, the nearest
 * directory above it that is. `missing_out` gets a sentence on what the kernel cannot do, or NULL. PN_FAILED:
 * it cannot be done, and the way was PN_CONFINEMENT_REQUIRED, or something is wrong.
 */
PN_MUST_CHECK enum pn_status pn_confine(enum pn_confinement way, const struct pn_reach *reach,
					const char **missing_out, struct pn_error *error);

/* The second half by itself, for a process that does not know its files yet: the check of a
 * configuration. */
PN_MUST_CHECK enum pn_status pn_confine_calls(struct pn_error *error);

#endif
