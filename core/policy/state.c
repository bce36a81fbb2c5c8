/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lua states of policies, and the coroutines in them. Nothing that may raise is
 * done outside of a protected call: a state that runs out of memory fails the run
 * and never the worker.
 */
#include "policy/state.h"

#include <postern/ticket.h>

#include <stdio.h>
#include <stdlib.h>

#include "policy/lexer.h"

enum {
	POOL_MAX = 16,
	LOAD_CPU_MS = 1000, /* the main chunk may build tables: at least this */
};

/* ---- runs ---- */

static int make_coroutine(lua_State *lua)
{
	struct policy_run *run = lua_touserdata(lua, 1);

	run->lua = lua_newthread(lua);
	run->reference = luaL_ref(lua, LUA_REGISTRYINDEX);
	return 0;
}

struct policy_run *policy_run_take(struct policy_state *state)
{
	struct policy_run *run = state->pool;

	if (run != NULL) {
		state->pool = run->next;
		state->pool_size--;
	} else {
		/* malloc's, because it outlives the session when that ends while the run waits. */
		run = calloc(1, sizeof(*run));
		if (run == NULL)
			return NULL;
		run->state = state;
		run->reference = LUA_NOREF;
		lua_pushcfunction(state->lua, make_coroutine);
		lua_pushlightuserdata(state->lua, run);
		if (lua_pcall(state->lua, 1, 0, 0) != LUA_OK) {
			lua_settop(state->lua, 0);
			free(run);
			return NULL;
		}
	}
	run->serial = ++state->last_serial;
	run->unused_verdict_line = 0;
	run->changes = 0;
	run->waits = 0;
	run->is_waiting = false;
	run->had_turn = false;
	run->push = NULL;
	memset(&run->ticket, 0, sizeof(run->ticket));
	memset(&run->verdict, 0, sizeof(run->verdict));
	run->next = state->waiting;
	state->waiting = run;
	return run;
}

static void drop_run(struct policy_run *run)
{
	pn_ticket_cancel(run->ticket);
	luaL_unref(run->state->lua, LUA_REGISTRYINDEX, run->reference);
	free(run);
}

void policy_run_release(struct policy_run *run, bool is_clean)
{
	struct policy_state *state = run->state;
	struct policy_run **link = &state->waiting;

	while (*link != run)
		link = &(*link)->next;
	*link = run->next;
	run->serial = 0;
	run->call = NULL;
	if (!is_clean || state->pool_size >= POOL_MAX) {
		drop_run(run);
		return;
	}
	pn_ticket_cancel(run->ticket);
	lua_settop(run->lua, 0);
	run->next = state->pool;
	state->pool = run;
	state->pool_size++;
}

int policy_run_resume(struct policy_run *run, int arguments)
{
	struct policy_state *state = run->state;
	int results, status;

	state->running = run;
	policy_budget_resume(run);
	status = lua_resume(run->lua, NULL, arguments, &results);
	policy_budget_pause(run);
	state->running = NULL;
	if (status == LUA_ERRMEM && run->killed == POLICY_ALIVE)
		run->killed = POLICY_KILLED_MEMORY;
	/* After an error the stack is still as it was when it was raised. */
	if (status != LUA_OK && status != LUA_YIELD && run->place[0] == '\0')
		policy_budget_note_place(run, run->lua);
	return status;
}

/* Where it failed: the line of the script, or else the hook, or else the file. */
static const char *place_of(const struct policy_run *run)
{
	const struct policy_hook_entry *entry = run->state->file->first;

	if (run->place[0] != '\0')
		return run->place;
	if (run->call == NULL)
		return run->state->file->chunk;
	while (entry->index != run->hook)
		entry = entry->next;
	return entry->hook.hook.label;
}

const char *policy_run_failure(struct policy_run *run, int status, char *room, size_t size)
{
	const struct policy_file *file = run->state->file;
	const char *message = "raised an error that is no text";
	size_t chunk_size = strlen(file->chunk);

	if (run->killed == POLICY_KILLED_TIME) {
		snprintf(room, size, "%s: used more than %llu ms of processor time", place_of(run),
		         (unsigned long long)(run->cpu_limit_ns / 1000000u));
		return room;
	}
	if (run->killed == POLICY_KILLED_MEMORY) {
		snprintf(room, size, "%s: used more than %llu bytes of memory", place_of(run),
		         (unsigned long long)file->spec.memory_bytes);
		return room;
	}
	if (status == LUA_YIELD)
		message = "gave up the processor without waiting for anything";
	else if (lua_type(run->lua, -1) == LUA_TSTRING)
		message = lua_tostring(run->lua, -1);
	if (strncmp(message, file->chunk, chunk_size) == 0 && message[chunk_size] == ':')
		snprintf(room, size, "%s", message);
	else
		snprintf(room, size, "%s: %s", place_of(run), message);
	return room;
}

/* ---- states ---- */

/* Attributes of local variables: <close> would run code while an error passes by. */
static enum pn_status refuse_close(const struct policy_file *file, struct pn_error *error)
{
	struct pn_lua_token before[2] = {0};
	struct pn_lua_lexer lexer;
	struct pn_lua_token token;

	pn_lua_lexer_init(&lexer, file->text);
	while ((token = pn_lua_lexer_next(&lexer)).kind != PN_LUA_TOKEN_END) {
		if (pn_lua_token_is(&token, ">") && pn_lua_token_is(&before[1], "close") &&
		    pn_lua_token_is(&before[0], "<"))
			return pn_fail(error, "%s:%d: <close> is not available in policies",
			               file->chunk, before[1].line);
		before[0] = before[1];
		before[1] = token;
	}
	return PN_OK;
}

/* Runs in the first coroutine of the state. */
static int run_main_chunk(lua_State *lua)
{
	struct policy_state *state = policy_state_of(lua);
	const struct policy_file *file = state->file;
	char name[64];

	lua_settop(lua, 0);
	snprintf(name, sizeof(name), "@%s", file->chunk);
	if (luaL_loadbufferx(lua, file->text.size ? file->text.data : "", file->text.size, name,
	                     "t") != LUA_OK)
		return lua_error(lua);
	policy_sandbox_push(lua, state);
	if (lua_setupvalue(lua, 1, 1) == NULL)
		lua_pop(lua, 1);
	lua_call(lua, 0, 0);
	return 0;
}

static enum pn_status run_file(struct policy_state *state, struct pn_error *error)
{
	struct policy_run *run = policy_run_take(state);
	uint64_t cpu_ms = state->file->spec.cpu_ms;
	char room[PN_ERROR_TEXT_SIZE];
	int status;

	if (run == NULL)
		return pn_fail(error, "%s: there is no memory to read it", state->file->chunk);
	policy_budget_init(run, cpu_ms < LOAD_CPU_MS ? LOAD_CPU_MS : cpu_ms);
	lua_pushcfunction(run->lua, run_main_chunk);
	state->is_loading = true;
	status = policy_run_resume(run, 0);
	state->is_loading = false;
	if (status != LUA_OK)
		pn_fail(error, "%s", policy_run_failure(run, status, room, sizeof(room)));
	policy_run_release(run, status == LUA_OK);
	if (status == LUA_OK && state->hooks_seen != state->file->hook_count)
		return pn_fail(error, "%s: attached other hooks when it was read again",
		               state->file->chunk);
	return status == LUA_OK ? PN_OK : PN_FAILED;
}

enum pn_status policy_state_new(struct policy_file *file, struct policy_state **state_out,
                                struct pn_error *error)
{
	struct policy_state *state;

	if (refuse_close(file, error) != PN_OK)
		return PN_FAILED;
	/* malloc's, because states are retired one by one while the set lives on. */
	state = calloc(1, sizeof(*state));
	if (state == NULL)
		return pn_fail(error, "%s: there is no memory to read it", file->chunk);
	state->file = file;
	state->memory.limit = file->spec.memory_bytes;
	state->lua = lua_newstate(pn_lua_memory_allocate, &state->memory);
	if (state->lua == NULL) {
		free(state);
		return pn_fail(error, "%s: there is no memory to read it", file->chunk);
	}
	*(struct policy_state **)lua_getextraspace(state->lua) = state;
	state->memory.pressed = policy_budget_pressed;
	state->memory.user = state;
	if (run_file(state, error) != PN_OK) {
		policy_state_free(&state);
		return PN_FAILED;
	}
	*state_out = state;
	return PN_OK;
}

void policy_state_free(struct policy_state **state_pointer)
{
	struct policy_state *state = *state_pointer;
	struct policy_run *run;

	*state_pointer = NULL;
	if (state == NULL)
		return;
	while ((run = state->waiting) != NULL) {
		state->waiting = run->next;
		drop_run(run);
	}
	while ((run = state->pool) != NULL) {
		state->pool = run->next;
		drop_run(run);
	}
	free(state->hook_references);
	lua_close(state->lua);
	free(state);
}
