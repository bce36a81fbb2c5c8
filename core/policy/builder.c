/* SPDX-License-Identifier: Apache-2.0 */
/* A text that grows inside a Lua state. See builder.h. */
#include "policy/builder.h"

#include "policy/state.h"

enum { FIRST_CAPACITY = 256 };

void policy_builder_init(struct policy_builder *builder, lua_State *lua)
{
	builder->lua = lua;
	builder->size = 0;
	builder->capacity = FIRST_CAPACITY;
	builder->data = lua_newuserdatauv(lua, FIRST_CAPACITY, 0);
	builder->index = lua_gettop(lua);
}

static void make_room(struct policy_builder *builder, size_t size)
{
	size_t capacity = builder->capacity;
	char *larger;

	if (size <= capacity - builder->size)
		return;
	if (size > SIZE_MAX / 4 - builder->size)
		luaL_error(builder->lua, "the text would become too long");
	while (capacity - builder->size < size)
		capacity *= 2;
	larger = lua_newuserdatauv(builder->lua, capacity, 0);
	memcpy(larger, builder->data, builder->size);
	lua_replace(builder->lua, builder->index);
	builder->data = larger;
	builder->capacity = capacity;
}

void policy_builder_add(struct policy_builder *builder, struct pn_slice bytes)
{
	if (bytes.size == 0)
		return;
	make_room(builder, bytes.size);
	memcpy(builder->data + builder->size, bytes.data, bytes.size);
	builder->size += bytes.size;
	policy_budget_spend(builder->lua, 1 + bytes.size / 64);
}

void policy_builder_add_byte(struct policy_builder *builder, char byte)
{
	make_room(builder, 1);
	builder->data[builder->size++] = byte;
}

void policy_builder_push(struct policy_builder *builder)
{
	policy_budget_spend(builder->lua, builder->size / 64);
	lua_pushlstring(builder->lua, builder->data, builder->size);
}
