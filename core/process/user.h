/* SPDX-License-Identifier: Apache-2.0 */
/* Whom workers run as when the gateway was started by root. Main thread, before anything runs. */
#ifndef CORE_PROCESS_USER_H
#define CORE_PROCESS_USER_H

#include <postern/error.h>

#include <sys/types.h>

struct pn_user {
	bool drops; /* false: stay who we are */
	uid_t uid;
	gid_t gid;
};

/*
 * The user and group of the configuration. Not root, or user = "": nothing is dropped. PN_FAILED
 * where they do not exist, with the remedy.
 */
PN_MUST_CHECK enum pn_status pn_user_find(const char *user, const char *group,
					  struct pn_user *user_out, struct pn_error *error);

/* Becomes that user for good, but for one thing: may still read all files, as root can. For tools
 * that take mail from wherever it is. Before the first thread. */
PN_MUST_CHECK enum pn_status pn_user_become_reader(const struct pn_user *user);

/* Becomes that user for good. Safe between fork and exec. */
PN_MUST_CHECK enum pn_status pn_user_become(const struct pn_user *user);

#endif
