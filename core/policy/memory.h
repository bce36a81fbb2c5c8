/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allocator of a Lua state, with a cap. It also watches how hard the state
 * works on memory, because copying and collecting large blocks takes time that
 * no count of instructions sees: `pressed` tells the budget to look at the clock.
 * Used by the policy states and by the configuration file. One thread.
 */
#ifndef CORE_POLICY_MEMORY_H
#define CORE_POLICY_MEMORY_H

#include <postern/types.h>

struct pn_lua_memory {
	size_t limit; /* bytes; never 0 */
	size_t used;
	size_t peak;
	size_t largest;   /* the largest block so far */
	uint64_t churn;   /* bytes handed out since `pressed` was last called */
	bool was_refused; /* a request did not fit under the limit */

	/* Called when a request was refused, and after every 64 KiB that were handed out. May be
	 * NULL. Must not touch the state but by lua_sethook, which is made for such moments. */
	void (*pressed)(void *user);
	void *user;
};

/* A lua_Alloc; `user` is a struct pn_lua_memory. */
void *pn_lua_memory_allocate(void *user, void *block, size_t old_size, size_t new_size);

#endif
