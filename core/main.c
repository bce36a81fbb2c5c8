/* SPDX-License-Identifier: Apache-2.0 */
/* postern: arguments and commands. Each command is in process/command_*.c. */
#include "process/command.h"
#include "process/master.h"
#include "process/worker.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_CONFIG "/etc/postern/postern.lua"

static int serve(const struct pn_arguments *arguments)
{
	char *path;
	int status;

	if (arguments->word_count != 0) {
		fputs("usage: postern serve [--config FILE]\n", stderr);
		return 2;
	}
	path = realpath(arguments->config, NULL);
	if (path == NULL) {
		fprintf(stderr,
		        "postern: cannot read the configuration %s: give its path with "
		        "--config\n",
		        arguments->config);
		return 1;
	}
	status = pn_master_main(path);
	free(path);
	return status;
}

/* Between the master and its workers; not for people. */
static int worker(const struct pn_arguments *arguments)
{
	enum pn_worker_kind kind = PN_WORKER_EDGE;

	if (arguments->word_count != 4) {
		fputs("postern: workers are started by the master\n", stderr);
		return 2;
	}
	while (kind < PN_WORKER_TOOL && strcmp(arguments->words[0], pn_worker_kind_name(kind)) != 0)
		kind++;
	return pn_worker_main(kind, (unsigned)strtoul(arguments->words[1], NULL, 10),
	                      (unsigned)strtoul(arguments->words[2], NULL, 10),
	                      arguments->words[3]);
}

static const struct {
	const char *name;
	int (*run)(const struct pn_arguments *arguments);
	const char *summary;
	bool keeps_name; /* one function serves several commands and wants to know which */
} commands[] = {
	{"serve", serve, "run the gateway in the foreground", false},
	{"status", pn_command_control, "what the workers of the running gateway do", true},
	{"reload", pn_command_control, "use the changed configuration, if it is right", true},
	{"stop", pn_command_control, "stop the running gateway, and wait for it", true},
	{"config", pn_command_config, "check: is the configuration right? reference: all options",
         false},
	{"stages", pn_command_stages,
         "the hooks that will run, in their order; --all: every stage and its verdicts", false},
	{"module", pn_command_module, "list, describe NAME|FILE, new NAME", false},
	{"explain", pn_command_explain, "the story of a message or a session, by its id", false},
	{"store", pn_command_store, "verify, rebuild, checkpoint, compact, export", false},
	{"password", pn_command_password, "hash a password for a file of accounts", false},
	{"worker", worker, NULL, false},
};

static int usage(FILE *out)
{
	fputs("usage: postern COMMAND [ARGUMENT …] [--config FILE] [--json]\n\n", out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (commands[i].summary != NULL)
			fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	}
	fprintf(out, "\nThe configuration is %s unless --config names another.\n", DEFAULT_CONFIG);
	return out == stdout ? 0 : 2;
}

/* Options may stand anywhere. False: one that nobody knows, or without its value. */
static bool parse(int count, char **texts, struct pn_arguments *arguments)
{
	for (int i = 0; i < count; i++) {
		const char **value = NULL;

		if (strcmp(texts[i], "--json") == 0) {
			arguments->json = true;
			continue;
		}
		if (strcmp(texts[i], "--all") == 0) {
			arguments->all = true;
			continue;
		}
		if (strcmp(texts[i], "--flat") == 0) {
			arguments->flat = true;
			continue;
		}
		if (strcmp(texts[i], "--config") == 0)
			value = &arguments->config;
		else if (strcmp(texts[i], "--store") == 0)
			value = &arguments->store;
		else if (strcmp(texts[i], "--output") == 0)
			value = &arguments->output;
		if (value != NULL && i + 1 < count) {
			*value = texts[++i];
		} else if (value != NULL || strncmp(texts[i], "--", 2) == 0) {
			fprintf(stderr, "postern: %s %s\n", texts[i],
			        value != NULL ? "needs a value" : "is not an option");
			return false;
		} else if (arguments->word_count < 8) {
			arguments->words[arguments->word_count++] = texts[i];
		}
	}
	return true;
}

int main(int count, char **texts)
{
	struct pn_arguments arguments = {.config = DEFAULT_CONFIG};

	setlocale(LC_ALL, "C");
	/* libltdl must never look where somebody else says. */
	unsetenv("LTDL_LIBRARY_PATH");
	if (count < 2)
		return usage(stderr);
	if (strcmp(texts[1], "--help") == 0 || strcmp(texts[1], "help") == 0)
		return usage(stdout);
	if (strcmp(texts[1], "--version") == 0) {
		printf("postern %s, interface %d.%d\n", POSTERN_VERSION, PN_ABI_MAJOR,
		       PN_ABI_MINOR);
		return 0;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(texts[1], commands[i].name) != 0)
			continue;
		if (!parse(commands[i].keeps_name ? count - 1 : count - 2,
		           texts + (commands[i].keeps_name ? 1 : 2), &arguments))
			return 2;
		return commands[i].run(&arguments);
	}
	fprintf(stderr, "postern: there is no command \"%s\"\n", texts[1]);
	return usage(stderr);
}
