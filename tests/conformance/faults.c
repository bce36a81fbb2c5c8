/* SPDX-License-Identifier: Apache-2.0 */
/* Fault points of the harness: armed by the tests, and counted, so that they can name them all. */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <postern/fault.h>

enum { ARMED_MAX = 8, POINTS_MAX = 64 };

static struct {
	char point[64];
	char action[16];
	unsigned long at;
	bool always_after;
	unsigned long passes;
} armed[ARMED_MAX];

static size_t armed_count;
static char *points[POINTS_MAX];
static unsigned long passes[POINTS_MAX];
static size_t point_count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

bool pn_fault_armed;

static void count(const char *point)
{
	for (size_t i = 0; i < point_count; i++)
		if (strcmp(points[i], point) == 0) {
			passes[i]++;
			return;
		}
	if (point_count == POINTS_MAX)
		abort();
	points[point_count] = strdup(point);
	passes[point_count++] = 1;
}

static int errno_of(const char *name)
{
	return strcmp(name, "ENOSPC") == 0 ? ENOSPC : strcmp(name, "EINTR") == 0 ? EINTR : EIO;
}

static enum pn_fault_action act(const char *action, int *errno_out)
{
	if (strcmp(action, "kill") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(action, "crash") == 0)
		abort();
	if (strcmp(action, "short") == 0)
		return PN_FAULT_SHORT;
	if (strcmp(action, "skip") == 0)
		return PN_FAULT_SKIP;
	*errno_out = errno_of(action);
	return PN_FAULT_ERROR;
}

enum pn_fault_action pn_fault_hit(const char *point, int *errno_out)
{
	const char *action = NULL;

	pthread_mutex_lock(&mutex);
	count(point);
	for (size_t i = 0; i < armed_count; i++) {
		if (strcmp(armed[i].point, point) != 0)
			continue;
		armed[i].passes++;
		if (armed[i].passes == armed[i].at ||
		    (armed[i].always_after && armed[i].passes > armed[i].at))
			action = armed[i].action;
	}
	pthread_mutex_unlock(&mutex);
	return action == NULL ? PN_FAULT_NONE : act(action, errno_out);
}

void harness_arm(const char *faults)
{
	char *copy = strdup(faults == NULL ? "" : faults);
	char *rest = copy;
	char *one;

	pthread_mutex_lock(&mutex);
	armed_count = 0;
	while (point_count != 0)
		free(points[--point_count]);
	while ((one = strsep(&rest, ",")) != NULL && armed_count < ARMED_MAX) {
		char sign = 0;

		memset(&armed[armed_count], 0, sizeof(armed[0]));
		armed[armed_count].at = 1;
		if (sscanf(one, "%63[^=]=%15[^@]@%lu%c", armed[armed_count].point,
		           armed[armed_count].action, &armed[armed_count].at, &sign) < 2)
			continue;
		/* Without "@" a fault is there from the first time on. */
		armed[armed_count].always_after = sign == '+' || strchr(one, '@') == NULL;
		armed_count++;
	}
	pn_fault_armed = faults != NULL;
	pthread_mutex_unlock(&mutex);
	free(copy);
}

size_t harness_points(const char *const **names_out, const unsigned long **passes_out)
{
	*names_out = (const char *const *)points;
	*passes_out = passes;
	return point_count;
}
