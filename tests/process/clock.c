/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: moves the wall clock by the seconds in the file CLOCK_OFFSET_FILE,
 * which a test changes while the program runs. The monotonic clock is left alone.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long offset(void)
{
	const char *path = getenv("CLOCK_OFFSET_FILE");
	FILE *file = path == NULL ? NULL : fopen(path, "re");
	long seconds = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%ld", &seconds) != 1)
		seconds = 0;
	fclose(file);
	return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *time_out)
{
	static int (*real)(clockid_t, struct timespec *);
	int result;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	result = real(clock, time_out);
	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		time_out->tv_sec += offset();
	return result;
}

time_t time(time_t *time_out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (time_out != NULL)
		*time_out = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict time_out, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	time_out->tv_sec = now.tv_sec;
	time_out->tv_usec = now.tv_nsec / 1000;
	return 0;
}
