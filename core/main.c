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
	bool has_help;   /* and tells it when --help is asked for */
	const char *const *options; /* of its own; see command.h */
} commands[] = {
	{.name = "serve", .run = serve, .summary = "run the gateway in the foreground"},
	{.name = "status",
         .run = pn_command_control,
         .summary = "what the workers of the running gateway do",
         .keeps_name = true},
	{.name = "reload",
         .run = pn_command_control,
         .summary = "use the changed configuration, if it is right",
         .keeps_name = true},
	{.name = "stop",
         .run = pn_command_control,
         .summary = "stop the running gateway, and wait for it",
         .keeps_name = true},
	{.name = "config",
         .run = pn_command_config,
         .summary = "check: is the configuration right? reference: all options"},
	{.name = "stages",
         .run = pn_command_stages,
         .summary = "the hooks that will run, in their order; --all: every stage and its verdicts"},
	{.name = "module",
         .run = pn_command_module,
         .summary = "list, describe NAME|FILE, new NAME"},
	{.name = "explain",
         .run = pn_command_explain,
         .summary = "the story of a message or a session, by its id"},
	{.name = "queue",
         .run = pn_command_queue,
         .summary = "list, show, hold, release, retry, requeue, bounce, delete: what waits",
         .has_help = true,
         .options = pn_queue_options},
	{.name = "account",
         .run = pn_command_account,
         .summary = "list, show, create, delete: accounts and their mail",
         .has_help = true},
	{.name = "mailbox",
         .run = pn_command_mailbox,
         .summary = "list, create, rename, delete ACCOUNT …",
         .has_help = true},
	{.name = "import",
         .run = pn_command_import,
         .summary = "maildir, mbox and others: mail from elsewhere into an account",
         .has_help = true},
	{.name = "export",
         .run = pn_command_export,
         .summary = "an account, or all of them, as Maildirs or mbox files",
         .has_help = true},
	{.name = "top",
         .run = pn_command_top,
         .summary = "what the hooks of the running gateway cost",
         .has_help = true,
         .options = pn_top_options},
	{.name = "policy",
         .run = pn_command_policy,
         .summary = "test: do the specs of a policy hold?",
         .has_help = true},
	{.name = "check",
         .run = pn_command_check,
         .summary = "spf, dkim FILE, dmarc, arc FILE: what a check says, without a gateway",
         .has_help = true,
         .options = pn_check_options},
	{.name = "sign",
         .run = pn_command_sign,
         .summary = "dkim FILE, arc FILE: a message with a signature on top",
         .has_help = true,
         .options = pn_sign_options},
	{.name = "key",
         .run = pn_command_key,
         .summary = "new, show: keys that sign mail, and their records in DNS",
         .has_help = true,
         .options = pn_key_options},
	{.name = "store",
         .run = pn_command_store,
         .summary = "verify, rebuild, checkpoint, compact, export"},
	{.name = "password",
         .run = pn_command_password,
         .summary = "[yescrypt] [scram-sha-256] [scram-sha-1] [plain]: secrets for a file of "
                    "accounts"},
	{.name = "worker", .run = worker},
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

static bool *flag_of(struct pn_arguments *arguments, const char *text)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{"--json", &arguments->json},   {"--all", &arguments->all},
		{"--flat", &arguments->flat},   {"--yes", &arguments->yes},
		{"--again", &arguments->again}, {"--help", &arguments->help},
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (strcmp(text, flags[i].name) == 0)
			return flags[i].flag;
	}
	return NULL;
}

static const char **value_of(struct pn_arguments *arguments, const char *text)
{
	const struct {
		const char *name;
		const char **value;
	} values[] = {
		{"--config", &arguments->config}, {"--store", &arguments->store},
		{"--output", &arguments->output}, {"--mailbox", &arguments->mailbox},
		{"--format", &arguments->format}, {"--password-file", &arguments->password_file},
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		if (strcmp(text, values[i].name) == 0)
			return values[i].value;
	}
	return NULL;
}

/* An option of the command's own at texts[*at]. False: it is none. */
static bool take_own(const char *const *options, int count, char **texts, int *at,
                     struct pn_arguments *arguments)
{
	struct pn_own_option *option = &arguments->options[arguments->option_count];
	size_t size = strlen(texts[*at]);

	for (; options != NULL && *options != NULL; options++) {
		bool has_value = (*options)[strlen(*options) - 1] == '=';

		if (strncmp(*options, texts[*at], size) != 0 ||
		    strlen(*options) != size + has_value || (has_value && *at + 1 >= count) ||
		    arguments->option_count == PN_ARGUMENT_OPTIONS)
			continue;
		option->name = texts[*at];
		option->value = has_value ? texts[++*at] : "";
		arguments->option_count++;
		return true;
	}
	return false;
}

/* Options may stand anywhere. False: one that nobody knows, or without its value. */
static bool parse(int count, char **texts, const char *const *options,
                  struct pn_arguments *arguments)
{
	for (int i = 0; i < count; i++) {
		const char **value;
		bool *flag = flag_of(arguments, texts[i]);

		if (flag != NULL) {
			*flag = true;
			continue;
		}
		if (take_own(options, count, texts, &i, arguments))
			continue;
		value = value_of(arguments, texts[i]);
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
		           texts + (commands[i].keeps_name ? 1 : 2), commands[i].options,
		           &arguments))
			return 2;
		if (arguments.help && !commands[i].has_help)
			return usage(stdout);
		return commands[i].run(&arguments);
	}
	fprintf(stderr, "postern: there is no command \"%s\"\n", texts[1]);
	return usage(stderr);
}
