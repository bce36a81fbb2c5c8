/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder share: the Lua state of one policy file, and a
 * run: one coroutine in which a hook is at work. Loop thread.
 *
 * A state lives as long as its generation, or until it reached its cap of memory:
 * then it is retired, and the file is run anew in a fresh one. A run is found
 * from inside Lua through the state (one at a time is at work in it); everything
 * else reaches it through its ticket.
 */
#ifndef CORE_POLICY_STATE_H
#define CORE_POLICY_STATE_H

#include <lauxlib.h>
#include <lua.h>

#include "policy/memory.h"
#include "policy/policy.h"

struct policy_file;
struct policy_state;
struct policy_table;

enum policy_killed {
	POLICY_ALIVE = 0,
	POLICY_KILLED_TIME,
	POLICY_KILLED_MEMORY,
};

/* What a hook returned. */
struct policy_verdict {
	enum pn_verdict verdict;
	unsigned code; /* with reject and defer; 0: none given */
	char enhanced[12];
	char text[256]; /* of the reply; redirect: address; quarantine: mailbox; discard: reason */
};

/* A coroutine, and the hook that runs in it. */
struct policy_run {
	struct policy_state *state;
	struct policy_run *next; /* at work or waiting, or in the pool */
	lua_State *lua;          /* NULL: to be made */
	int reference;           /* keeps the coroutine from being collected */

	uint64_t serial; /* of this use; handles carry it */
	size_t hook;     /* index into file->hooks */
	const struct pn_stage_call *call;
	struct pn_ticket call_ticket; /* our copy: `call` may be gone when it is stale */
	struct policy_verdict verdict;
	unsigned changes;        /* made so far to session and message */
	unsigned waits;          /* begun so far */
	int unused_verdict_line; /* where a verdict was made last; 0: nowhere */

	/* Budget. */
	uint64_t cpu_limit_ns;
	uint64_t cpu_used_ns;    /* before this resume */
	uint64_t cpu_started_ns; /* thread clock at this resume */
	uint64_t steps;
	uint64_t step_limit;
	uint64_t steps_unlooked; /* since the clock was looked at */
	enum policy_killed killed;
	char place[96]; /* where it was killed or failed: "file.lua:12" */

	/* Waiting. */
	struct pn_ticket ticket;
	bool is_waiting;
	bool had_turn; /* that it waits for: turns.c */
	int (*push)(lua_State *lua, const struct pn_answer *answer);
	const struct pn_answer *answer;
};

/* A hook as the file attached it. */
struct policy_hook_entry {
	struct policy_file *file;
	size_t index; /* in file->hooks */
	enum pn_stage stage;
	int line;
	struct pn_policy_hook hook;
	uint64_t usual_ns; /* how long it takes: turns.c */
	struct policy_hook_entry *next;
};

struct policy_file {
	struct pn_policy_set *set;
	struct pn_policy_file spec; /* texts in the set's arena */
	const char *chunk;          /* its name in messages: "antispam.lua" */
	struct pn_slice text;
	struct policy_hook_entry *first;
	struct policy_hook_entry **last;
	size_t hook_count;
	bool is_read;                 /* its hooks are known */
	struct policy_state *state;   /* NULL: to be made */
	struct policy_state *retired; /* runs still wait in them */
	struct policy_table *tables;  /* that it opened: lua_lookup.c */
	size_t table_bytes;
};

struct policy_state {
	struct policy_file *file;
	struct policy_state *next; /* among the retired */
	lua_State *lua;
	struct pn_lua_memory memory;
	uint64_t last_serial;
	struct policy_run *running; /* at work now; NULL between calls */
	struct policy_run *waiting;
	struct policy_run *pool;
	size_t pool_size;
	bool is_loading;
	size_t hooks_seen; /* while loading */
	size_t tables_opened;
	int *hook_references;
};

struct pn_policy_set {
	struct pn_arena *arena;
	struct policy_file *files;
	size_t file_count;
	const struct pn_instance_use *libraries;
	size_t library_count;
	struct pn_policy_hook *hooks;
	size_t hook_count;
};

/* ---- state.c ---- */

/* The state that Lua code is running in. */
static inline struct policy_state *policy_state_of(lua_State *lua)
{
	return *(struct policy_state **)lua_getextraspace(lua);
}

/*
 * A new state for the file: libraries in place, main chunk run, hooks attached. PN_OK, or
 * PN_FAILED with "FILE:LINE: what".
 */
PN_MUST_CHECK enum pn_status
policy_state_new(struct policy_file *file, struct policy_state **state_out, struct pn_error *error);
/* Cancels what waits in it, and closes it. */
void policy_state_free(struct policy_state **state);

/* A run with a coroutine that is ready for a first resume; NULL where memory is short. */
struct policy_run *policy_run_take(struct policy_state *state);

/* The run is over. `is_clean`: its coroutine returned normally and may be used again. */
void policy_run_release(struct policy_run *run, bool is_clean);

/* Resumes the run with `arguments` values on its stack. What lua_resume returned. */
int policy_run_resume(struct policy_run *run, int arguments);

/* Why the run failed, "file.lua:12: what", in `room`. `status` is what lua_resume returned. */
const char *policy_run_failure(struct policy_run *run, int status, char *room, size_t size);

/* ---- budget.c ---- */

void policy_budget_init(struct policy_run *run, uint64_t cpu_ms);
void policy_budget_resume(struct policy_run *run);
void policy_budget_pause(struct policy_run *run);

/* Writes the line that the script is at into run->place; leaves it where there is none. */
void policy_budget_note_place(struct policy_run *run, lua_State *lua);

/* Called by the allocator; see memory.h. `user` is the state. */
void policy_budget_pressed(void *user);

/* Takes steps; does not return when the budget is used up. */
void policy_budget_spend(lua_State *lua, uint64_t steps);

/* For libraries that must not be left by a jump: takes steps, and says whether the budget is used
 * up; `weight` brings the next look at the clock nearer and costs nothing. Then, when the library
 * was left in order, policy_budget_stop, which does not return. */
bool policy_budget_take(lua_State *lua, uint64_t steps, uint64_t weight);
void policy_budget_stop(lua_State *lua);

/* The clock that budgets are measured with, and time that is not the script's: a table was read. */
uint64_t policy_budget_clock_ns(void);
void policy_budget_forgive(lua_State *lua, uint64_t nanoseconds);

/* After anything that may have caught an error: passes a kill on, and makes one of a shortage of
 * memory. Does not return then. `status` is that of the protected call. */
void policy_budget_check(lua_State *lua, int status);

/* ---- load.c ---- */

/* on(stage, options, function), as a Lua function. */
int policy_on(lua_State *lua);

/* ---- hook.c ---- */

enum pn_verdict policy_hook_run(void *user, const struct pn_stage_call *call);

/* Its turn has come: runs it, and answers the stage that waits. */
void policy_hook_run_late(struct policy_hook_entry *entry, const struct pn_stage_call *call);

/* A ticket of a run was answered. */
void policy_run_answered(void *user, const struct pn_answer *answer);

/* ---- turns.c ---- */

/* Whether the hook may run now, and how long it then took. */
bool policy_turn_is_free(const struct policy_hook_entry *entry);
void policy_turn_used(struct policy_hook_entry *entry, uint64_t nanoseconds);

/* policy_hook_run_late will be called, unless the stage stops waiting. PN_VERDICT_PENDING. */
enum pn_verdict policy_turn_wait(struct policy_hook_entry *entry, const struct pn_stage_call *call);

/* The same for a run that goes on with an answer: from the function that hears it. */
void policy_turn_wait_on(struct policy_run *run, const struct pn_answer *answer);

/* ---- sandbox.c ---- */

/* Whether the instance offers what allow = { } calls by this name. */
bool policy_offers(const struct pn_instance_use *use, const char *name);

/* Builds what scripts see, and pushes the table of globals. */
void policy_sandbox_push(lua_State *lua, struct policy_state *state);

/* A library that scripts can read and not change: `values` is the table on top of the stack, which
 * is replaced by its guard. */
void policy_guard(lua_State *lua, const char *name);

/* Raises "TEXT; did you mean …?" with the place of the script. `words` ends with NULL. */
int policy_unknown(lua_State *lua, const char *text, const char *word, const char *const *words);

/* ---- the libraries: each pushes a table of its functions ---- */

void policy_push_base(lua_State *lua); /* the functions that stand alone: pcall, type, … */
int policy_tostring(lua_State *lua);
void policy_push_string(lua_State *lua);
void policy_push_table(lua_State *lua);
void policy_push_math(lua_State *lua);
void policy_push_log(lua_State *lua);
void policy_push_clock(lua_State *lua);
void policy_push_regex(lua_State *lua);
void policy_push_json(lua_State *lua);
void policy_push_cache(lua_State *lua); /* there is a cache */
void policy_push_http(lua_State *lua);
bool policy_is_cache(const struct pn_instance_use *use);

/* table.open, what it gives, and the end of all that a file opened. */
int policy_table_open(lua_State *lua);
void policy_lookups_init(lua_State *lua);
void policy_lookups_free(struct policy_file *file);
void policy_push_dns(lua_State *lua);
int policy_sleep(lua_State *lua);

/* Adds accept, reject, … to the table on top of the stack. */
void policy_add_verdicts(lua_State *lua);
/* Reads the hook's result at `index` into the run; raises where it is no verdict. */
void policy_read_verdict(lua_State *lua, int index, struct policy_run *run);

/* ---- handle.c: session, message, recipient, attempt (to log in), delivery ---- */

enum policy_handle_kind {
	POLICY_HANDLE_SESSION = 0,
	POLICY_HANDLE_MESSAGE,
	POLICY_HANDLE_RECIPIENT,
	POLICY_HANDLE_ATTEMPT,
	POLICY_HANDLE_DELIVERY,
	POLICY_HANDLE_REQUEST,
	POLICY_HANDLE_COUNT,
};

struct policy_property {
	const char *name; /* NULL ends the table */
	void (*push)(lua_State *lua, const struct pn_stage_call *call);
};

/* What a kind of handle knows; constant tables of lua_session.c, lua_message.c, … */
struct policy_handle_type {
	const char *name;
	const struct policy_property *properties;
	const luaL_Reg *methods;
};

extern const struct policy_handle_type policy_session_type;
extern const struct policy_handle_type policy_message_type;
extern const struct policy_handle_type policy_recipient_type;
extern const struct policy_handle_type policy_attempt_type;
extern const struct policy_handle_type policy_delivery_type;
extern const struct policy_handle_type policy_request_type;

/* Once for each state. */
void policy_handles_init(lua_State *lua);

/* A handle for the running hook; nil where the call has no such thing. */
void policy_handle_push(lua_State *lua, enum policy_handle_kind kind);

/* The call behind the handle at `index`; raises where it is another thing, or has ended. */
const struct pn_stage_call *policy_handle_call(lua_State *lua, int index,
                                               enum policy_handle_kind kind);

/* Whether the running hook only plays: nothing of what it changes may count. */
bool policy_is_shadow(lua_State *lua);

/* The key under which a shadow keeps its notes and facts, on the stack; the key itself for others. */
struct pn_slice policy_shadow_key(lua_State *lua, struct pn_slice key);

/* Counts a change (a note, an edit, a line of log): what costs memory of the gateway and not of the
 * script has a bound for each run of a hook. */
void policy_count_change(lua_State *lua);

/* Pushes the slice as a string, charged. */
void policy_push_slice(lua_State *lua, struct pn_slice slice);
struct pn_transaction;
/* message.auth; see lua_auth.c */
void policy_push_auth(lua_State *lua, const struct pn_transaction *transaction);

/* The string at `index` as a slice that lives as long as the string. Numbers are converted. */
struct pn_slice policy_check_slice(lua_State *lua, int index);

/* lua_recipient.c: UTF-8 without controls; nobody could open any other mailbox. */
bool policy_is_mailbox_name(struct pn_slice name);

#endif
