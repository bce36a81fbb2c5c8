/* SPDX-License-Identifier: Apache-2.0 */
/* A gate: see gate.h. */
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int gate_open(struct gate *gate, const char *path)
{
	gate->descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (gate->descriptor < 0)
		return errno;
	return pthread_mutex_init(&gate->mutex, NULL);
}

/* Of the open file and not of the process: closing another descriptor of it gives nothing up. */
static int set_lock(const struct gate *gate, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_len = 1};
	int result;

	do
		result = fcntl(gate->descriptor, F_OFD_SETLKW, &lock);
	while (result != 0 && errno == EINTR);
	return result == 0 ? 0 : errno;
}

int gate_enter(struct gate *gate)
{
	int result;

	pthread_mutex_lock(&gate->mutex);
	result = set_lock(gate, F_WRLCK);
	if (result != 0)
		pthread_mutex_unlock(&gate->mutex);
	return result;
}

void gate_leave(struct gate *gate)
{
	/* What cannot be given back would hold up everybody until this process ends. */
	if (set_lock(gate, F_UNLCK) != 0)
		abort();
	pthread_mutex_unlock(&gate->mutex);
}

void gate_close(struct gate *gate)
{
	close(gate->descriptor);
	pthread_mutex_destroy(&gate->mutex);
}
