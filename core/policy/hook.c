/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One hook, run: called by the stage engine, resumed when what it waits for was
 * answered, and its verdict handed back. While it waits, the session may end: then
 * the ticket of the stage is stale, and the run is dropped unresumed.
 */
#include "policy/state.h"

#include <postern/session.h>
#include <postern/transaction.h>

#include <stdio.h>

#include "session/running.h"

static struct policy_hook_entry *entry_of(const struct policy_run *run)
{
	struct policy_hook_entry *entry = run->state->file->first;

	while (entry->index != run->hook)
		entry = entry->next;
	return entry;
}

/* ---- inside the coroutine ---- */

/* What the function gets after the session, by stage. */
static int push_subject(lua_State *lua, const struct pn_stage_call *call)
{
	enum policy_handle_kind kind;

	if (call->stage == PN_STAGE_AUTH_VERIFY)
		kind = POLICY_HANDLE_ATTEMPT;
	else if (call->recipient != NULL)
		kind = POLICY_HANDLE_RECIPIENT;
	else if (call->transaction != NULL)
		kind = POLICY_HANDLE_MESSAGE;
	else
		return 0;
	policy_handle_push(lua, kind);
	return 1;
}

static int finish_hook(lua_State *lua, int status, lua_KContext context)
{
	struct policy_run *run = policy_state_of(lua)->running;

	(void)status;
	(void)context;
	policy_read_verdict(lua, -1, run);
	return 0;
}

static int enter_hook(lua_State *lua)
{
	struct policy_state *state = policy_state_of(lua);
	struct policy_run *run = state->running;
	int arguments = 1;

	lua_settop(lua, 0);
	lua_rawgeti(lua, LUA_REGISTRYINDEX, state->hook_references[run->hook]);
	policy_handle_push(lua, POLICY_HANDLE_SESSION);
	arguments += push_subject(lua, run->call);
	lua_callk(lua, arguments, 1, 0, finish_hook);
	return finish_hook(lua, LUA_OK, 0);
}

/* ---- outside ---- */

static enum pn_verdict give_verdict(const struct policy_run *run)
{
	const struct policy_verdict *verdict = &run->verdict;
	const struct pn_stage_call *call = run->call;

	if (!pn_stage_allows(call->stage, verdict->verdict))
		return pn_hook_failed(call, "%s: %s does not know the verdict %s",
		                      entry_of(run)->hook.hook.label, pn_stage_name(call->stage),
		                      pn_verdict_name(verdict->verdict));
	switch (verdict->verdict) {
	case PN_VERDICT_REJECT:
	case PN_VERDICT_DEFER:
		if (verdict->code != 0)
			return pn_refuse(call, verdict->code, verdict->enhanced, "%s",
			                 verdict->text);
		return verdict->verdict;
	case PN_VERDICT_REDIRECT:
		return pn_redirect(call, pn_slice_of(verdict->text));
	case PN_VERDICT_DISCARD:
		return pn_discard(call, verdict->text);
	case PN_VERDICT_QUARANTINE:
		return pn_quarantine(call, verdict->text);
	default:
		return verdict->verdict;
	}
}

/* A state that ran out of memory is not used for further hooks; the last run closes it. */
static void retire_state(struct policy_state *state)
{
	struct policy_file *file = state->file;
	struct policy_state **link = &file->retired;

	if (file->state == state) {
		file->state = NULL;
		state->next = file->retired;
		file->retired = state;
	}
	if (state->waiting != NULL)
		return;
	while (*link != state)
		link = &(*link)->next;
	*link = state->next;
	policy_state_free(&state);
}

static void end_run(struct policy_run *run, bool is_clean)
{
	struct policy_state *state = run->state;

	policy_run_release(run, is_clean);
	if (state->memory.was_refused)
		retire_state(state);
}

/* Goes on with the run. The verdict; PN_VERDICT_PENDING where it waits (again). */
static enum pn_verdict resume_run(struct policy_run *run, int arguments)
{
	const struct pn_stage_call *call = run->call;
	const struct pn_chain_hook *hook = &entry_of(run)->hook.hook;
	char room[PN_ERROR_TEXT_SIZE];
	enum pn_verdict verdict;
	int status;

	pn_running_enter(hook->module, hook->label,
	                 call->session != NULL ? pn_session_id(call->session) : NULL,
	                 call->transaction != NULL ? pn_transaction_id(call->transaction) : NULL);
	status = policy_run_resume(run, arguments);
	pn_running_leave();
	if (status == LUA_YIELD && run->killed == POLICY_ALIVE && run->is_waiting)
		return PN_VERDICT_PENDING;
	if (status == LUA_OK && run->killed == POLICY_ALIVE)
		verdict = give_verdict(run);
	else
		verdict = pn_hook_failed(call, "%s",
		                         policy_run_failure(run, status, room, sizeof(room)));
	end_run(run, status == LUA_OK && run->killed == POLICY_ALIVE);
	return verdict;
}

void policy_run_answered(void *user, const struct pn_answer *answer)
{
	struct policy_run *run = user;
	const struct pn_stage_call *call = run->call;
	enum pn_verdict verdict;

	run->is_waiting = false;
	if (!pn_ticket_is_open(run->call_ticket)) {
		/* The stage went on without us, and `call` is gone. */
		end_run(run, false);
		return;
	}
	run->answer = answer;
	verdict = resume_run(run, 0);
	if (verdict != PN_VERDICT_PENDING)
		pn_hook_answer(call, verdict);
}

enum pn_verdict policy_hook_run(void *user, const struct pn_stage_call *call)
{
	struct policy_hook_entry *entry = user;
	struct policy_file *file = entry->file;
	struct pn_error error;
	struct policy_run *run;

	if (file->state == NULL && policy_state_new(file, &file->state, &error) != PN_OK)
		return pn_hook_failed(call, "%s", error.text);
	run = policy_run_take(file->state);
	if (run == NULL) {
		if (file->state->memory.was_refused)
			retire_state(file->state);
		return pn_hook_failed(call, "%s: there is no memory to run a hook", file->chunk);
	}
	run->hook = entry->index;
	run->call = call;
	run->call_ticket = call->ticket;
	policy_budget_init(run, file->spec.cpu_ms);
	lua_pushcfunction(run->lua, enter_hook);
	return resume_run(run, 0);
}
