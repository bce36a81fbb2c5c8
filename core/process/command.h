/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of `postern`: each takes its arguments (behind its own words) and
 * returns the exit status: 0, 1 for a failure that was told, 2 for wrong usage.
 */
#ifndef CORE_PROCESS_COMMAND_H
#define CORE_PROCESS_COMMAND_H

#include <stdbool.h>

/* The arguments that commands share, taken out of the list. */
struct pn_arguments {
	const char *config;   /* --config FILE; default /etc/postern/postern.lua */
	const char *store;    /* --store NAME; or NULL */
	const char *output;   /* --output DIRECTORY; or NULL */
	bool json;            /* --json */
	bool all;             /* --all: stages without hooks, and verdicts */
	bool flat;            /* --flat; between our own processes */
	const char *words[8]; /* what is left */
	int word_count;
};

int pn_command_config(const struct pn_arguments *arguments);
int pn_command_stages(const struct pn_arguments *arguments);
int pn_command_module(const struct pn_arguments *arguments);
int pn_command_control(const struct pn_arguments *arguments); /* status, reload, stop */
int pn_command_explain(const struct pn_arguments *arguments);
int pn_command_store(const struct pn_arguments *arguments);
int pn_command_password(const struct pn_arguments *arguments);

#endif
