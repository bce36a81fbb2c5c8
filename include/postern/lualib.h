/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lua libraries: functions that a module offers to policy scripts under a name.
 * A policy file must be granted it (allow = {"name"}). The functions are plain C
 * functions of Lua 5.4, and live under its rules: they may raise errors, they
 * must not block, and whatever their arguments can make long takes steps from
 * the script's budget.
 */
#ifndef POSTERN_LUALIB_H
#define POSTERN_LUALIB_H

#include <postern/ticket.h>
#include <postern/types.h>

struct lua_State;
struct pn_stage_call;

struct pn_lua_function {
	const char *name;    /* NULL ends the table */
	const char *summary; /* one sentence; mandatory */
	int (*call)(struct lua_State *lua);
};

struct pn_lua_library {
	uint32_t struct_size;
	uint32_t function_size; /* sizeof(struct pn_lua_function), as compiled */
	const char *name;       /* the global table's name, and the word in allow = {} */
	const struct pn_lua_function *functions;
};

PN_DECLARATIONS_BEGIN

/* The instance the library belongs to, from inside one of its functions. */
void *pn_lua_instance(struct lua_State *lua);

/* What the hook that is running was called with; NULL while a policy file is read. Valid until the
 * function returns. */
const struct pn_stage_call *pn_lua_call(struct lua_State *lua);

/* Takes `steps` from the budget of the running hook; does not return when it is used up. */
void pn_lua_spend(struct lua_State *lua, uint64_t steps);

/*
 * To wait: open a ticket, start the work with it, and `return pn_lua_wait(lua, &ticket, push)`. The
 * script sleeps; when the answer comes, `push` puts the results on its stack and returns how many.
 * The script cannot be woken by anything else.
 */
struct pn_ticket pn_lua_ticket(struct lua_State *lua, uint64_t deadline_ms);
int pn_lua_wait(struct lua_State *lua, struct pn_ticket ticket,
		int (*push)(struct lua_State *lua, const struct pn_answer *answer));

PN_DECLARATIONS_END

#endif
