/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allocator of a Lua state. malloc stands here, and not an arena, because Lua
 * gives blocks back one by one.
 */
#include "policy/memory.h"

#include <stdlib.h>

enum { CHURN_STEP = 64 * 1024 };

static void press(struct pn_lua_memory *memory)
{
	memory->churn = 0;
	if (memory->pressed != NULL)
		memory->pressed(memory->user);
}

void *pn_lua_memory_allocate(void *user, void *block, size_t old_size, size_t new_size)
{
	struct pn_lua_memory *memory = user;

	if (block == NULL)
		old_size = 0; /* for a new block Lua passes the kind of object here */
	if (new_size == 0) {
		free(block);
		memory->used -= old_size;
		return NULL;
	}
	if (new_size > old_size && new_size - old_size > memory->limit - memory->used) {
		memory->was_refused = true;
		press(memory);
		return NULL;
	}

	void *moved = realloc(block, new_size);

	if (moved == NULL)
		return new_size <= old_size ? block : NULL; /* Lua's shrinking may not fail */
	memory->used += new_size - old_size;
	if (memory->used > memory->peak)
		memory->peak = memory->used;
	if (new_size > memory->largest)
		memory->largest = new_size;
	memory->churn += new_size;
	if (memory->churn >= CHURN_STEP)
		press(memory);
	return moved;
}
