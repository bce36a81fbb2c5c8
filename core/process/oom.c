/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel killed for want of memory: see oom.h. The count "oom_kill" of vmstat(5). */
#include "process/oom.h"

#include <postern/clock.h>

#include <stdio.h>

enum {
	LOOK_MS = 10 * 1000,
	/* A process that filled a machine takes its time to end. */
	RECENT_MS = 30 * 1000,
	UNKNOWN = -1
};

static long long seen = UNKNOWN;
static uint64_t looked_ms;
static uint64_t changed_ms;

static long long read_count(void)
{
	FILE *file = fopen("/proc/vmstat", "re");
	long long count = UNKNOWN;
	char line[200];

	if (file == NULL)
		return UNKNOWN;
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "oom_kill %lld", &count) == 1)
			break;
	}
	fclose(file);
	return count;
}

static void look(uint64_t now_ms)
{
	long long count = read_count();

	if (seen != UNKNOWN && count != seen)
		changed_ms = now_ms;
	seen = count;
	looked_ms = now_ms;
}

void pn_oom_watch(void)
{
	uint64_t now_ms = pn_clock_monotonic_ms();

	if (looked_ms == 0 || now_ms - looked_ms >= LOOK_MS)
		look(now_ms);
}

enum pn_oom pn_oom_lately(void)
{
	uint64_t now_ms = pn_clock_monotonic_ms();

	look(now_ms);
	if (seen == UNKNOWN)
		return PN_OOM_UNKNOWN;
	return changed_ms != 0 && now_ms - changed_ms < RECENT_MS ? PN_OOM_RECENT : PN_OOM_NONE;
}
