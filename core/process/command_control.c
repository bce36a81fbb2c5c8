/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern status|reload|stop|explain`: talks to a running gateway through its
 * control socket, or reads its history.
 */
#include "config/config.h"
#include "process/ask.h"
#include "process/command.h"
#include "process/worker.h"

#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

enum {
	STATUS_WAIT_MS = 15 * 1000,
	CHANGE_WAIT_MS = 2 * 60 * 1000, /* the master may be at work on a check of a minute */
	STOP_WAIT_MS = 10 * 60 * 1000,
	ANSWER_LIMIT = 1024 * 1024,
};

static int fail(const struct pn_error *error)
{
	fprintf(stderr, "postern: %s\n", error->text);
	return 1;
}

/* A reload takes as long as the check of the configuration and the workers may take. */
static uint64_t deadline_of(const char *command, const struct pn_gateway_settings *settings)
{
	if (strncmp(command, "status", 6) == 0)
		return STATUS_WAIT_MS;
	return CHANGE_WAIT_MS + settings->reload_deadline;
}

/* Sends the command and prints the answer. */
static int converse(const struct pn_gateway_settings *settings, const char *command)
{
	const struct pn_ask ask = {
		.control_socket = settings->control_socket,
		.command = command,
		.deadline_ms = deadline_of(command, settings),
		.may_repeat = strncmp(command, "status", 6) == 0,
	};
	struct pn_buffer answer;
	struct pn_error error;
	enum pn_status status;

	pn_buffer_init(&answer, ANSWER_LIMIT);
	status = pn_ask(&ask, &answer, &error);
	if (status == PN_OK)
		fwrite(answer.data, 1, answer.size, stdout);
	pn_buffer_clear(&answer);
	return status == PN_OK ? 0 : fail(&error);
}

/* Until the master let go of its lock: then everything is closed. */
static int wait_for_end(const char *data_directory)
{
	const struct timespec pause = {0, 20 * 1000 * 1000};
	char path[1024];
	int descriptor;

	snprintf(path, sizeof(path), "%s/postern.lock", data_directory);
	descriptor = open(path, O_RDWR | O_CLOEXEC);
	if (descriptor < 0)
		return 0;
	for (int waited = 0; waited < STOP_WAIT_MS; waited += 20) {
		if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
			close(descriptor);
			return 0;
		}
		nanosleep(&pause, NULL);
	}
	close(descriptor);
	fputs("postern: the gateway is still stopping\n", stderr);
	return 1;
}

int pn_command_control(const struct pn_arguments *arguments)
{
	struct pn_config *config;
	struct pn_error error;
	char command[32];
	int status;

	if (pn_config_read(arguments->config, &config, &error) != PN_OK)
		return fail(&error);
	snprintf(command, sizeof(command), "%s%s", arguments->words[0],
	         arguments->json && strcmp(arguments->words[0], "status") == 0 ? " json" : "");
	status = converse(&config->settings, command);
	if (status == 0 && strcmp(arguments->words[0], "stop") == 0)
		status = wait_for_end(config->settings.data_directory);
	pn_config_free(&config);
	return status;
}

int pn_command_explain(const struct pn_arguments *arguments)
{
	struct pn_config *config;
	struct pn_error error;
	char directory[1024];
	size_t told;

	if (arguments->word_count != 1) {
		fputs("usage: postern explain ID [--json] [--config FILE]\n", stderr);
		return 2;
	}
	if (pn_config_read(arguments->config, &config, &error) != PN_OK)
		return fail(&error);
	snprintf(directory, sizeof(directory), "%s/history", config->settings.data_directory);
	pn_config_free(&config);
	told = pn_history_explain(directory, arguments->words[0], arguments->json, stdout);
	if (told > 0)
		return 0;
	fprintf(stderr, "postern: the history in %s knows nothing of %s\n", directory,
	        arguments->words[0]);
	return 1;
}
