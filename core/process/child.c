/* SPDX-License-Identifier: Apache-2.0 */
/* Processes of our own program. */
#include "process/child.h"

#include "process/shared.h"
#include "process/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	HIGH_DESCRIPTOR = PN_FIRST_EVENT_DESCRIPTOR + PN_MAX_SLOTS,
	MESSAGE_SIZE = 3000,
	CHECK_SECONDS = 60, /* the master waits for the check, and for nothing else meanwhile */
};

/* Our own file, opened once: a worker that is started later is the program that was started
 * first, even when the file was replaced meanwhile. */
static int program = -1;

static void open_program(void)
{
	if (program < 0)
		program = open("/proc/self/exe", O_PATH | O_CLOEXEC);
}

static void execute(char *const *arguments)
{
	syscall(SYS_execveat, program, "", arguments, environ, AT_EMPTY_PATH);
	_exit(127);
}

static void reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
}

/* Descriptors go to their fixed numbers by way of high ones, so that none is overwritten on the
 * way. Only calls that are safe between fork and exec. */
static void place(int from, int to)
{
	if (dup2(from, to) != to)
		_exit(126);
}

static void become_worker(const struct pn_child_settings *settings, int channel)
{
	char number[16];
	char slot[16];
	char *arguments[] = {(char *)(uintptr_t) "postern",
	                     (char *)(uintptr_t) "worker",
	                     (char *)(uintptr_t)pn_worker_kind_name(settings->kind),
	                     number,
	                     slot,
	                     (char *)(uintptr_t)settings->config_path,
	                     NULL};
	int high_channel = fcntl(channel, F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR);
	int high_shared = fcntl(settings->shared_descriptor, F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR);
	int high_program = fcntl(program, F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR);
	int high_events[PN_MAX_SLOTS];

	if (high_channel < 0 || high_shared < 0 || high_program < 0)
		_exit(126);
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		high_events[i] =
			fcntl(settings->event_descriptors[i], F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR);
		if (high_events[i] < 0)
			_exit(126);
	}
	place(high_channel, PN_CHANNEL_DESCRIPTOR);
	place(high_shared, PN_SHARED_DESCRIPTOR);
	for (size_t i = 0; i < PN_MAX_SLOTS; i++)
		place(high_events[i], PN_FIRST_EVENT_DESCRIPTOR + (int)i);
	program = high_program;
	snprintf(number, sizeof(number), "%u", settings->number);
	snprintf(slot, sizeof(slot), "%u", settings->slot);
	reset_signals();
	if (pn_user_become(&settings->user) != PN_OK)
		_exit(126);
	execute(arguments);
}

enum pn_status pn_child_start(const struct pn_child_settings *settings, pid_t *pid_out,
                              int *channel_out, struct pn_error *error)
{
	int ends[2];
	pid_t pid;

	open_program();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return pn_fail_errno(error, errno, "cannot make a channel for a worker");
	pid = fork();
	if (pid < 0) {
		close(ends[0]);
		close(ends[1]);
		return pn_fail_errno(error, errno, "cannot start a worker");
	}
	if (pid == 0)
		become_worker(settings, ends[1]);
	close(ends[1]);
	*pid_out = pid;
	*channel_out = ends[0];
	return PN_OK;
}

static void become_check(const char *config_path, int output, int errors)
{
	char *arguments[] = {(char *)(uintptr_t) "postern",
	                     (char *)(uintptr_t) "config",
	                     (char *)(uintptr_t) "check",
	                     (char *)(uintptr_t) "--flat",
	                     (char *)(uintptr_t) "--config",
	                     (char *)(uintptr_t)config_path,
	                     NULL};

	place(output, STDOUT_FILENO);
	place(errors, STDERR_FILENO);
	reset_signals();
	alarm(CHECK_SECONDS);
	execute(arguments);
}

/* What the child said, without its "postern: " and last line break; warnings before the last line
 * are passed on to our own standard error. */
static void read_message(FILE *errors, char *room, size_t size)
{
	char *line = NULL;
	size_t line_room = 0;
	ssize_t length;

	room[0] = '\0';
	while ((length = getline(&line, &line_room, errors)) > 0) {
		const char *text = strncmp(line, "postern: ", 9) == 0 ? line + 9 : line;

		if (room[0] != '\0')
			fprintf(stderr, "%s\n", room);
		snprintf(room, size, "%.*s", (int)strcspn(text, "\n"), text);
	}
	free(line);
}

enum pn_status pn_child_check(const char *config_path, struct pn_arena *arena,
                              struct pn_flat *flat_out, struct pn_error *error)
{
	int output[2];
	char message[MESSAGE_SIZE];
	FILE *errors;
	FILE *in;
	int status = 0;
	pid_t pid;
	enum pn_status result;

	open_program();
	/* The message may come before the list is read: a file holds any amount of it. */
	errors = tmpfile();
	if (errors == NULL)
		return pn_fail_errno(error, errno, "cannot check the configuration");
	if (pipe2(output, O_CLOEXEC) != 0) {
		(void)pn_fail_errno(error, errno, "cannot check the configuration");
		fclose(errors);
		return PN_FAILED;
	}
	pid = fork();
	if (pid < 0) {
		(void)pn_fail_errno(error, errno, "cannot check the configuration");
		close(output[0]);
		close(output[1]);
		fclose(errors);
		return PN_FAILED;
	}
	if (pid == 0)
		become_check(config_path, output[1], fileno(errors));
	close(output[1]);
	in = fdopen(output[0], "r");
	result = pn_flat_read(in, arena, flat_out);
	fclose(in);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	rewind(errors);
	read_message(errors, message, sizeof(message));
	fclose(errors);
	if (result == PN_OK && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		if (message[0] != '\0')
			fprintf(stderr, "%s\n", message);
		return PN_OK;
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return pn_fail(error, "checking the configuration took longer than %d seconds",
		               CHECK_SECONDS);
	if (message[0] == '\0' && WIFSIGNALED(status))
		return pn_fail(error,
		               "checking the configuration was ended by signal %d: a module "
		               "may be at fault",
		               WTERMSIG(status));
	return pn_fail(error, "%s",
	               message[0] == '\0' ? "the configuration could not be checked" : message);
}
