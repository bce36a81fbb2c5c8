/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of `postern`: each takes its arguments (behind its own words) and
 * returns the exit status: 0, 1 for a failure that was told, 2 for wrong usage.
 */
#ifndef CORE_PROCESS_COMMAND_H
#define CORE_PROCESS_COMMAND_H

#include <stdbool.h>

enum { PN_ARGUMENT_OPTIONS = 32 };

/* An option of one command: "--sender" and its value; "" where it takes none. */
struct pn_own_option {
	const char *name;
	const char *value;
};

/* The arguments that commands share, taken out of the list. */
struct pn_arguments {
	const char *config;   /* --config FILE; default /etc/postern/postern.lua */
	const char *store;    /* --store NAME; or NULL */
	const char *output;   /* --output DIRECTORY; or NULL */
	bool json;            /* --json */
	bool all;             /* --all: stages without hooks, and verdicts */
	bool flat;            /* --flat; between our own processes */
	const char *mailbox;  /* --mailbox NAME; or NULL */
	const char *format;   /* --format maildir|mbox; or NULL */
	const char *password_file; /* --password-file FILE; or NULL */
	bool yes;             /* --yes: what cannot be undone is meant */
	bool again;           /* --again: import what was imported before */
	bool help;            /* --help */
	const char *words[8]; /* what is left */
	int word_count;
	struct pn_own_option options[PN_ARGUMENT_OPTIONS];
	int option_count;
};

/* The options that are a command's own, NULL-terminated; "--sender=" takes a value, "--body" none. */
extern const char *const pn_queue_options[];
extern const char *const pn_top_options[];
extern const char *const pn_check_options[];
extern const char *const pn_sign_options[];
extern const char *const pn_key_options[];

int pn_command_config(const struct pn_arguments *arguments);
int pn_command_stages(const struct pn_arguments *arguments);
int pn_command_module(const struct pn_arguments *arguments);
int pn_command_control(const struct pn_arguments *arguments); /* status, reload, stop */
int pn_command_explain(const struct pn_arguments *arguments);
int pn_command_store(const struct pn_arguments *arguments);
int pn_command_password(const struct pn_arguments *arguments);
int pn_command_queue(const struct pn_arguments *arguments);
int pn_command_account(const struct pn_arguments *arguments);
int pn_command_mailbox(const struct pn_arguments *arguments);
int pn_command_import(const struct pn_arguments *arguments);
int pn_command_export(const struct pn_arguments *arguments);
int pn_command_policy(const struct pn_arguments *arguments);
int pn_command_top(const struct pn_arguments *arguments);
int pn_command_check(const struct pn_arguments *arguments);
int pn_command_sign(const struct pn_arguments *arguments);
int pn_command_key(const struct pn_arguments *arguments);

#endif
