/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One hook, run: called by the stage engine, resumed when what it waits for was
 * answered, and its verdict handed back. While it waits, the session may end: then
 * the ticket of the stage is stale, and the run is dropped unresumed.
 */
#include "policy/state.h"

#include <postern/clock.h>
#include <postern/session.h>
#include <postern/transaction.h>

#include <stdio.h>

#include "session/engine.h"
#include "session/running.h"

static struct policy_hook_entry *entry_of(const struct policy_run *run)
{
	struct policy_hook_entry *entry = run->state->file->first;

	while (entry->index != run->hook)
		entry = entry->next;
	return entry;
}

/* ---- inside the coroutine ---- */

static bool is_about_delivery(enum pn_stage stage)
{
	return stage == PN_STAGE_DELIVERY_START || stage == PN_STAGE_DELIVERY_RESPONSE ||
	       stage == PN_STAGE_DELIVERY_DONE || stage == PN_STAGE_BOUNCE_CREATE;
}

/* What the function gets after the session, by stage: the nearest first, the message last. */
static int push_subject(lua_State *lua, const struct pn_stage_call *call)
{
	int count = 0;

	if (call->stage == PN_STAGE_AUTH_VERIFY) {
		policy_handle_push(lua, POLICY_HANDLE_ATTEMPT);
		return 1;
	}
	if (call->stage == PN_STAGE_CLIENT_REQUEST) {
		policy_handle_push(lua, POLICY_HANDLE_REQUEST);
		return 1;
	}
	if (is_about_delivery(call->stage)) {
		policy_handle_push(lua, POLICY_HANDLE_DELIVERY);
		count++;
	}
	if (call->recipient != NULL) {
		policy_handle_push(lua, POLICY_HANDLE_RECIPIENT);
		count++;
	}
	if (call->transaction != NULL) {
		policy_handle_push(lua, POLICY_HANDLE_MESSAGE);
		count++;
	}
	return count;
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
	struct policy_hook_entry *entry = entry_of(run);
	const struct pn_chain_hook *hook = &entry->hook.hook;
	char room[PN_ERROR_TEXT_SIZE];
	enum pn_verdict verdict;
	uint64_t used_ns = run->cpu_used_ns;
	int status;

	pn_running_enter(hook->module, hook->label,
	                 call->session != NULL ? pn_session_id(call->session) : NULL,
	                 call->transaction != NULL ? pn_transaction_id(call->transaction) : NULL);
	status = policy_run_resume(run, arguments);
	pn_running_leave();
	policy_turn_used(entry, run->cpu_used_ns - used_ns);
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
	uint64_t started_ns;

	if (!pn_ticket_is_open(run->call_ticket)) {
		/* The stage went on without us, and `call` is gone. */
		end_run(run, false);
		return;
	}
	if (!run->had_turn && !policy_turn_is_free(entry_of(run))) {
		policy_turn_wait_on(run, answer);
		return;
	}
	run->had_turn = false;
	run->is_waiting = false;
	run->answer = answer;
	started_ns = pn_clock_monotonic_ns();
	verdict = resume_run(run, 0);
	pn_hook_add_cpu(call, pn_clock_monotonic_ns() - started_ns);
	if (verdict != PN_VERDICT_PENDING)
		pn_hook_answer(call, verdict);
}

/* Who needed the file to be read again pays for it. */
static enum pn_status renew_state(struct policy_hook_entry *entry, struct pn_error *error)
{
	uint64_t started_ns = policy_budget_clock_ns();
	enum pn_status status = policy_state_new(entry->file, &entry->file->state, error);

	policy_turn_used(entry, policy_budget_clock_ns() - started_ns);
	return status;
}

static enum pn_verdict start_run(struct policy_hook_entry *entry, const struct pn_stage_call *call)
{
	struct policy_file *file = entry->file;
	struct pn_error error;
	struct policy_run *run;

	if (file->state == NULL && renew_state(entry, &error) != PN_OK)
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

void policy_hook_run_late(struct policy_hook_entry *entry, const struct pn_stage_call *call)
{
	uint64_t started_ns = pn_clock_monotonic_ns();
	enum pn_verdict verdict = start_run(entry, call);

	pn_hook_add_cpu(call, pn_clock_monotonic_ns() - started_ns);
	if (verdict != PN_VERDICT_PENDING)
		pn_hook_answer(call, verdict);
}

enum pn_verdict policy_hook_run(void *user, const struct pn_stage_call *call)
{
	struct policy_hook_entry *entry = user;

	return policy_turn_is_free(entry) ? start_run(entry, call) : policy_turn_wait(entry, call);
}
