/* SPDX-License-Identifier: Apache-2.0 */
/* Fault points: see <postern/fault.h>. Armed once, at start, from the environment. */
#include "io/fault.h"

#include <postern/fault.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_FAULTS = 16 };

struct fault {
	char point[64];
	char action[16];
	unsigned long at;  /* fires at this pass, counted from 1 */
	bool always_after; /* and at every later one */
	atomic_ulong passes;
};

bool pn_fault_armed;

static struct fault faults[MAX_FAULTS];
static size_t fault_count;

static int errno_of(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} known[] = {
		{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EINTR", EINTR},   {"ENOMEM", ENOMEM},
		{"EDQUOT", EDQUOT}, {"EMFILE", EMFILE}, {"EACCES", EACCES}, {"EFBIG", EFBIG},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i].name, name) == 0)
			return known[i].number;
	}
	return 0;
}

static void arm(const char *text)
{
	struct fault *fault = &faults[fault_count];
	char after = '\0';

	fault->at = 1;
	if (sscanf(text, "%63[^=]=%15[A-Za-z]@%lu%c", fault->point, fault->action, &fault->at,
	           &after) < 2) {
		fprintf(stderr, "postern: POSTERN_FAULT: \"%s\" is not POINT=ACTION[@N[+]]\n",
		        text);
		exit(2);
	}
	fault->always_after = after == '+';
	fault_count++;
}

static void report_unpassed(void)
{
	for (size_t i = 0; i < fault_count; i++) {
		if (atomic_load(&faults[i].passes) == 0)
			fprintf(stderr, "postern: fault point %s was never passed\n",
			        faults[i].point);
	}
}

void pn_fault_arm(const char *specification)
{
	char copy[512];
	char *rest = copy;
	char *part;

	snprintf(copy, sizeof(copy), "%s", specification);
	while ((part = strsep(&rest, ",")) != NULL) {
		if (*part != '\0' && fault_count < MAX_FAULTS)
			arm(part);
	}
	if (fault_count > 0 && !pn_fault_armed) {
		pn_fault_armed = true;
		atexit(report_unpassed);
	}
}

enum pn_fault_action pn_fault_hit(const char *point, int *errno_out)
{
	for (size_t i = 0; i < fault_count; i++) {
		struct fault *fault = &faults[i];
		unsigned long pass;

		if (strcmp(fault->point, point) != 0)
			continue;
		pass = atomic_fetch_add(&fault->passes, 1) + 1;
		if (pass != fault->at && !(fault->always_after && pass > fault->at))
			continue;
		if (strcmp(fault->action, "kill") == 0)
			kill(getpid(), SIGKILL);
		if (strcmp(fault->action, "crash") == 0)
			abort();
		if (strcmp(fault->action, "short") == 0)
			return PN_FAULT_SHORT;
		if (strcmp(fault->action, "skip") == 0)
			return PN_FAULT_SKIP;
		if (errno_out != NULL)
			*errno_out = errno_of(fault->action);
		return PN_FAULT_ERROR;
	}
	return PN_FAULT_NONE;
}
