/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measuring how much there is to do: see overload.h. A worker that has too much is one whose
 * *shortest* turn of the loop is long for half a second: a single long one says little. What
 * began is over when clearly less is left, so that it does not begin and end all the time.
 */
#include "process/overload.h"

#include <postern/log.h>

#include "config/settings.h"
#include "io/loop.h"
#include "session/session.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LOOKS = 2, SCARCE_PERCENT = 70, PLENTY_PERCENT = 60 };

/* Something that is too much: for so many looks in a row before it counts, or no longer does. */
struct cause {
	bool is_on;
	unsigned looks;
};

static struct {
	int memory; /* /proc/self/statm */
	struct cause by_turns;
	struct cause by_memory;
	bool is_on;
	uint64_t turned_away; /* when it began */
} overload = {.memory = -1};

void pn_overload_open(void)
{
	overload.memory = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

void pn_overload_close(void)
{
	if (overload.memory >= 0)
		close(overload.memory);
	overload.memory = -1;
}

bool pn_overload_is_on(void)
{
	return overload.is_on;
}

/* Its own, without files that are mapped; 0 where nobody can tell. */
static uint64_t memory_in_use(void)
{
	char text[128];
	unsigned long all;
	unsigned long resident;
	unsigned long shared;
	ssize_t size = overload.memory < 0 ? -1 : pread(overload.memory, text, sizeof(text) - 1, 0);

	if (size <= 0)
		return 0;
	text[size] = '\0';
	if (sscanf(text, "%lu %lu %lu", &all, &resident, &shared) != 3 || shared > resident)
		return 0;
	return (uint64_t)(resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* More than the limit begins it, less than `enough` ends it. */
static bool judge(struct cause *cause, uint64_t value, uint64_t limit, uint64_t enough)
{
	bool is_too_much = value > (cause->is_on ? enough : limit);

	cause->looks = is_too_much == cause->is_on ? 0 : cause->looks + 1;
	if (cause->looks >= LOOKS) {
		cause->is_on = is_too_much;
		cause->looks = 0;
	}
	return cause->is_on;
}

static void turn(uint64_t turn_ms, uint64_t memory)
{
	overload.is_on = !overload.is_on;
	if (overload.is_on) {
		overload.turned_away = pn_session_world.turned_away;
		pn_log(PN_LOG_WARNING, "overload",
		       "too much to do: new connections are turned away (%zu sessions, shortest "
		       "turn "
		       "%llu ms, memory %llu MB)",
		       pn_session_count(), (unsigned long long)turn_ms,
		       (unsigned long long)memory / (1024 * 1024));
	} else {
		pn_log(PN_LOG_NOTICE, "overload",
		       "new connections are taken again (%llu were turned away)",
		       (unsigned long long)(pn_session_world.turned_away - overload.turned_away));
	}
}

/* Places are scarce: whoever is not known and says nothing does not keep one for long. */
static void look_at_places(const struct pn_gateway_settings *settings, size_t limit)
{
	size_t own = pn_session_count();
	bool was_scarce = pn_session_world.hurry_ms != 0;
	bool is_scarce = overload.is_on ||
	                 own * 100 >= limit * (was_scarce ? PLENTY_PERCENT : SCARCE_PERCENT);

	if (!is_scarce) {
		pn_session_world.hurry_ms = 0;
		return;
	}
	pn_session_world.hurry_ms = settings->hurried_deadline;
	if (was_scarce)
		return;
	pn_log(PN_LOG_NOTICE, "overload", "%zu of %zu sessions are open: clients get less time",
	       own, limit);
	pn_sessions_hurry();
}

void pn_overload_look(const struct pn_gateway_settings *settings, size_t limit)
{
	uint64_t turn_ns = pn_loop_shortest_turn_ns();
	uint64_t memory = memory_in_use();
	bool has_turns = judge(&overload.by_turns, turn_ns / 1000, settings->overload_turn * 1000,
	                       settings->overload_turn * 500);
	bool has_memory = judge(&overload.by_memory, memory, settings->overload_memory,
	                        settings->overload_memory / 10 * 9);

	if ((has_turns || has_memory) != overload.is_on)
		turn(turn_ns / 1000000, memory);
	look_at_places(settings, limit);
}
