/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text that grows, in memory of the Lua state: charged to its cap, and collected
 * whatever way the function that builds it is left. Keeps one place on the stack.
 */
#ifndef CORE_POLICY_BUILDER_H
#define CORE_POLICY_BUILDER_H

#include <postern/types.h>

struct lua_State;

struct policy_builder {
	struct lua_State *lua;
	int index; /* of the block on the stack */
	char *data;
	size_t size;
	size_t capacity;
};

/* Pushes its block; the caller leaves that place of the stack alone. */
void policy_builder_init(struct policy_builder *builder, struct lua_State *lua);

/* Both take steps, and raise where memory is short. `bytes` may lie in a string, not in the block.
 */
void policy_builder_add(struct policy_builder *builder, struct pn_slice bytes);
void policy_builder_add_byte(struct policy_builder *builder, char byte);

/* Pushes the text. */
void policy_builder_push(struct policy_builder *builder);

#endif
