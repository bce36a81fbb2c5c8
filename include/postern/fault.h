/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault points: named places where tests make the world fail. A point is one
 * load and one branch while none is armed.
 *
 *	if (pn_fault("store.segment.flush", &number) == PN_FAULT_ERROR)
 *		errno = number, result = -1;
 *
 * Armed by the environment variable POSTERN_FAULT when the gateway starts:
 * "store.segment.flush=EIO@3" (third time, then never again),
 * "store.commit.before=kill@1", "store.segment.write=ENOSPC@2+" (from the second
 * time on, always), "x=crash" (abort), several separated by commas. Counted over
 * all threads of a process. A name nobody asks for is reported at exit.
 */
#ifndef POSTERN_FAULT_H
#define POSTERN_FAULT_H

#include <postern/types.h>

enum pn_fault_action {
	PN_FAULT_NONE = 0,
	PN_FAULT_ERROR, /* fail with the given errno */
	PN_FAULT_SHORT, /* do half of it ("short") */
	PN_FAULT_SKIP,  /* say it was done, and do nothing ("skip") */
};

PN_DECLARATIONS_BEGIN

/* Passes the point. "kill" and "crash" do not return. Any thread. */
enum pn_fault_action pn_fault_hit(const char *point, int *errno_out);

extern bool pn_fault_armed; /* read through pn_fault() */

PN_DECLARATIONS_END

static inline enum pn_fault_action pn_fault(const char *point, int *errno_out)
{
	return __builtin_expect(pn_fault_armed, 0) ? pn_fault_hit(point, errno_out) : PN_FAULT_NONE;
}

#endif
