/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a gateway that runs: see ask.h. */
#include "process/ask.h"

#include <postern/clock.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_MS = 20, PIECE_SIZE = 16 * 1024, COMMAND_SIZE = 1024 };

/* How one attempt went. */
enum outcome {
	ANSWERED,
	NOBODY, /* listens; errno says why */
	ENDED,  /* the connection, before the answer was whole */
	LATE,
};

static uint64_t left_ms(uint64_t until_ms)
{
	uint64_t now = pn_clock_monotonic_ms();

	return now < until_ms ? until_ms - now : 0;
}

static void pause_a_moment(void)
{
	nanosleep(&(struct timespec){0, PAUSE_MS * 1000 * 1000}, NULL);
}

/* A socket whose queue of connections is full says EAGAIN: its worker is busy, or starts just now.
 */
static enum outcome connect_to(const char *path, uint64_t until_ms, int *descriptor_out)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int descriptor;
	int number;

	if (strlen(path) >= sizeof(name.sun_path)) {
		errno = ENAMETOOLONG;
		return NOBODY;
	}
	memcpy(name.sun_path, path, strlen(path) + 1);
	descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (descriptor < 0)
		return NOBODY;
	while (connect(descriptor, (const struct sockaddr *)&name, sizeof(name)) != 0) {
		number = errno;
		if ((number == EAGAIN || number == EINTR) && left_ms(until_ms) > 0) {
			pause_a_moment();
			continue;
		}
		close(descriptor);
		errno = number;
		return number == EAGAIN ? LATE : NOBODY;
	}
	*descriptor_out = descriptor;
	return ANSWERED;
}

/* A fresh connection takes a short line as a whole. Where it does not, the gateway ended it, and
 * may have said why: its answer tells. */
static void send_line(int descriptor, const char *command)
{
	char line[COMMAND_SIZE];
	int size = snprintf(line, sizeof(line), "%s\n", command);

	if (size > 0 && (size_t)size < sizeof(line))
		(void)!send(descriptor, line, (size_t)size, MSG_NOSIGNAL);
}

/* Until the gateway ends the connection. An answer ends with a line end, or it was cut off. */
static enum outcome read_answer(int descriptor, uint64_t until_ms, struct pn_buffer *answer)
{
	char piece[PIECE_SIZE];
	struct pn_slice all;

	for (;;) {
		struct pollfd wait = {.fd = descriptor, .events = POLLIN};
		ssize_t size;

		if (poll(&wait, 1, (int)left_ms(until_ms)) == 0)
			return LATE;
		size = recv(descriptor, piece, sizeof(piece), MSG_DONTWAIT);
		if (size < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (size <= 0)
			break;
		if (pn_buffer_append(answer, pn_slice_make(piece, (size_t)size)) != PN_OK)
			return ENDED;
	}
	all = pn_buffer_slice(answer);
	return all.size > 0 && all.data[all.size - 1] == '\n' ? ANSWERED : ENDED;
}

static enum outcome attempt(const struct pn_ask *ask, uint64_t until_ms, struct pn_buffer *answer)
{
	int descriptor = -1;
	enum outcome outcome = connect_to(ask->control_socket, until_ms, &descriptor);

	if (outcome != ANSWERED)
		return outcome;
	send_line(descriptor, ask->command);
	outcome = read_answer(descriptor, until_ms, answer);
	close(descriptor);
	return outcome;
}

enum pn_status pn_ask(const struct pn_ask *ask, struct pn_buffer *answer_out,
                      struct pn_error *error)
{
	static const char failed[] = "failed ";
	const uint64_t until_ms = pn_clock_monotonic_ms() + ask->deadline_ms;
	enum outcome outcome;
	struct pn_slice all;

	for (;;) {
		outcome = attempt(ask, until_ms, answer_out);
		if (outcome != ENDED || !ask->may_repeat || left_ms(until_ms) == 0)
			break;
		pn_buffer_consume(answer_out, answer_out->size);
		pause_a_moment();
	}
	all = pn_buffer_slice(answer_out);
	switch (outcome) {
	case NOBODY:
		(void)pn_fail_with(PN_NOT_FOUND, error,
		                   "no gateway answers at %s (%s): is it running, and is this its "
		                   "configuration?",
		                   ask->control_socket, strerror(errno));
		return PN_NOT_FOUND;
	case LATE:
		return pn_fail_with(PN_TIMEOUT, error,
		                    "the gateway at %s did not answer \"%s\" within %llu seconds: "
		                    "its control worker hangs, or cannot start; its log says which",
		                    ask->control_socket, ask->command,
		                    (unsigned long long)(ask->deadline_ms / 1000));
	case ENDED:
		return pn_fail(error,
		               "the gateway at %s ended the connection before it had answered "
		               "\"%s\": its control worker died, or was stopped; `postern status` "
		               "tells whether it was done, and the log why not",
		               ask->control_socket, ask->command);
	case ANSWERED:
		break;
	}
	if (all.size < sizeof(failed) || memcmp(all.data, failed, sizeof(failed) - 1) != 0)
		return PN_OK;
	return pn_fail(error, "%.*s", (int)(all.size - sizeof(failed)),
	               all.data + sizeof(failed) - 1);
}
