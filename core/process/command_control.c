/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern status|reload|stop|explain`: talks to a running gateway through its
 * control socket, or reads its history.
 */
#include "config/config.h"
#include "process/command.h"
#include "process/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

enum { STOP_WAIT_MS = 10 * 60 * 1000 };

static int fail(const struct pn_error *error)
{
	fprintf(stderr, "postern: %s\n", error->text);
	return 1;
}

static int connect_to(const char *path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (descriptor < 0 || strlen(path) >= sizeof(name.sun_path)) {
		errno = ENAMETOOLONG;
	} else {
		memcpy(name.sun_path, path, strlen(path) + 1);
		if (connect(descriptor, (const struct sockaddr *)&name, sizeof(name)) == 0)
			return descriptor;
	}
	if (descriptor >= 0)
		close(descriptor);
	return -1;
}

/* Sends the command and prints the answer; 1 where it begins with "failed". */
static int converse(const char *path, const char *command)
{
	char answer[64 * 1024];
	size_t size = 0;
	ssize_t got;
	int descriptor = connect_to(path);

	if (descriptor < 0) {
		fprintf(stderr,
		        "postern: no gateway answers at %s (%s): is it running, and is this its "
		        "configuration?\n",
		        path, strerror(errno));
		return 1;
	}
	if (dprintf(descriptor, "%s\n", command) < 0)
		return 1;
	while (size < sizeof(answer) - 1 &&
	       (got = read(descriptor, answer + size, sizeof(answer) - 1 - size)) > 0)
		size += (size_t)got;
	answer[size] = '\0';
	close(descriptor);
	if (strncmp(answer, "failed ", 7) == 0) {
		fprintf(stderr, "postern: %s", answer + 7);
		return 1;
	}
	fputs(answer, stdout);
	return size > 0 ? 0 : 1;
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
	status = converse(config->settings.control_socket, command);
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
