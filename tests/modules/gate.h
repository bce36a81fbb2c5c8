/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gate: a module with the option `gate` is late, on a worker thread, until that
 * file is there. So a test says when, and nobody has to guess how long is long.
 */
#ifndef GATE_H
#define GATE_H

#include <postern/module.h>
#include <postern/option.h>

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { GATE_STEP_MS = 5, GATE_STEPS = 4000 };

struct gate_config {
	const char *gate;
};

struct gate {
	char path[512];
};

#define GATE_OPTION                                                                                \
	PN_OPTION_STRING(struct gate_config, gate, "",                                             \
			 .summary = "What is slow waits until this file exists.")

static inline void gate_start(struct gate *gate, const struct pn_start *begin)
{
	const struct gate_config *config = begin->config;

	snprintf(gate->path, sizeof(gate->path), "%s", config->gate);
}

/* Gives up after some seconds, so that a test that fails ends. */
static inline void gate_pass(const struct gate *gate)
{
	for (int i = 0; i < GATE_STEPS && access(gate->path, F_OK) != 0; i++)
		nanosleep(&(struct timespec){ .tv_nsec = GATE_STEP_MS * 1000000L }, NULL);
}

#endif
