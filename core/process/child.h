/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting processes of our own program: workers, executed afresh with fixed
 * descriptors, and the short-lived child that checks a configuration. Master only.
 */
#ifndef CORE_PROCESS_CHILD_H
#define CORE_PROCESS_CHILD_H

#include "process/flat.h"
#include "process/user.h"

#include <sys/types.h>

struct pn_child_settings {
	enum pn_worker_kind kind;
	unsigned number;
	unsigned slot;
	const char *config_path;
	int shared_descriptor;
	const int *event_descriptors; /* PN_MAX_SLOTS */
	struct pn_user user;
};

PN_MUST_CHECK enum pn_status pn_child_start(const struct pn_child_settings *settings,
					    pid_t *pid_out, int *channel_out,
					    struct pn_error *error);

/* Runs `postern config check --flat`. PN_FAILED: the error is what the child said. */
PN_MUST_CHECK enum pn_status pn_child_check(const char *config_path, struct pn_arena *arena,
					    struct pn_flat *flat_out, struct pn_error *error);

#endif
