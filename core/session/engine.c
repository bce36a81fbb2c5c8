/* SPDX-License-Identifier: Apache-2.0 */
/* The stage engine: see engine.h. */
#include "session/engine.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "session/costs.h"
#include "session/running.h"
#include "session/session.h"
#include "session/ticket.h"

#include <stdarg.h>
#include <stdio.h>

enum { MAX_TRAIL = 1000 };

struct stage_run;

/* One hook at work. `call` comes first: what the hook gets is what we find ourselves by. */
struct hook_run {
	struct pn_stage_call call;
	struct stage_run *run;
	const struct pn_chain_hook *hook;
	struct pn_reply reply;
	bool has_reply;
	const char *argument;
	const char *failure;
	uint64_t started_ns;
	uint64_t cpu_ns;
	size_t journal_mark;
	enum pn_verdict verdict;
	bool is_disabled; /* nobody asked it */
	bool was_late;
};

struct stage_run {
	struct pn_stage_request request;
	pn_stage_done_function *done;
	void *user;
	const struct pn_chain *chain;
	size_t next_hook;
	size_t waiting;   /* hooks that kept their ticket */
	bool is_starting; /* hooks are being started: nobody calls done */
	bool has_ended;
	struct pn_stage_result result;
};

static struct hook_run *hook_run_of(const struct pn_stage_call *call)
{
	return (struct hook_run *)(uintptr_t)call;
}

void pn_trail_init(struct pn_trail *trail, struct pn_arena *arena)
{
	memset(trail, 0, sizeof(*trail));
	trail->arena = arena;
	trail->last = &trail->first;
}

void pn_reply_set(struct pn_reply *reply, unsigned code, const char *enhanced, const char *text)
{
	reply->code = (uint16_t)code;
	snprintf(reply->enhanced, sizeof(reply->enhanced), "%s", enhanced == NULL ? "" : enhanced);
	pn_text_printable(reply->text, sizeof(reply->text), pn_slice_of(text));
}

/* Does a stage only watch? Then a hook that fails cannot hold anything up. */
static bool only_observes(enum pn_stage stage)
{
	return !pn_stage_allows(stage, PN_VERDICT_DEFER);
}

static enum pn_verdict verdict_of_failure(const struct hook_run *hook_run)
{
	enum pn_stage stage = hook_run->call.stage;

	switch (hook_run->hook->on_error) {
	case PN_ON_ERROR_CONTINUE:
		/* Who can crash a filter must not get past it by that. */
		if (hook_run->is_disabled)
			break;
		return PN_VERDICT_CONTINUE;
	case PN_ON_ERROR_REJECT:
		if (pn_stage_allows(stage, PN_VERDICT_REJECT))
			return PN_VERDICT_REJECT;
		break;
	case PN_ON_ERROR_DEFER:
	case PN_ON_ERROR_DEFAULT:
		break;
	}
	return only_observes(stage) ? PN_VERDICT_CONTINUE : PN_VERDICT_DEFER;
}

static void write_trail(struct hook_run *hook_run)
{
	struct pn_trail *trail = hook_run->run->request.trail;
	struct pn_trail_entry *entry;

	if (trail == NULL)
		return;
	/* A client that makes hooks run for ever does not make the record grow for ever. */
	if (trail->count++ >= MAX_TRAIL)
		return;
	entry = PN_ARENA_NEW(trail->arena, struct pn_trail_entry);
	entry->stage = hook_run->call.stage;
	entry->hook = hook_run->hook->label;
	entry->mode = hook_run->hook->mode;
	entry->verdict = hook_run->verdict;
	entry->cpu_ns = hook_run->cpu_ns;
	entry->wall_ns = pn_clock_monotonic_ns() - hook_run->started_ns;
	if (hook_run->failure != NULL)
		entry->failure = pn_arena_keep_text(trail->arena, pn_slice_of(hook_run->failure));
	if (hook_run->run->request.about != NULL)
		entry->subject =
			pn_arena_keep_text(trail->arena, pn_slice_of(hook_run->run->request.about));
	if (hook_run->has_reply) {
		entry->code = hook_run->reply.code;
		entry->text = pn_arena_keep_text(trail->arena, pn_slice_of(hook_run->reply.text));
	}
	*trail->last = entry;
	trail->last = &entry->next;
}

/* Where the client has not said anything yet, and is not heard any more. */
static bool is_of_connection(enum pn_stage stage)
{
	return stage == PN_STAGE_CONNECTION_OPEN || stage == PN_STAGE_CONNECTION_SECURED;
}

/* What the client is told where the hook did not say. */
static void fill_reply(struct pn_stage_result *result)
{
	bool is_connection = is_of_connection(result->stage);

	if (result->reply.code != 0)
		return;
	if (result->verdict == PN_VERDICT_REJECT)
		pn_reply_set(&result->reply, is_connection ? 554 : 550, "5.7.1",
		             "refused by policy");
	else if (result->verdict == PN_VERDICT_DEFER || result->verdict == PN_VERDICT_GREYLIST)
		pn_reply_set(&result->reply, is_connection ? 421 : 451, "4.7.1",
		             "not now, try again later");
}

static void count_cost(const struct hook_run *hook_run)
{
	const struct pn_hook_call_cost cost = {
		.stage = hook_run->call.stage,
		.label = hook_run->hook->label,
		.cpu_ns = hook_run->cpu_ns,
		.wall_ns = pn_clock_monotonic_ns() - hook_run->started_ns,
		.has_failed = hook_run->failure != NULL,
		.was_late = hook_run->was_late,
	};

	pn_hook_costs_count(&cost);
}

/* The hook has spoken (or failed): what of it counts. */
static void take_verdict(struct hook_run *hook_run, enum pn_verdict verdict)
{
	struct stage_run *run = hook_run->run;
	struct pn_stage_result *result = &run->result;

	if (hook_run->failure == NULL && !pn_stage_allows(hook_run->call.stage, verdict))
		hook_run->failure = pn_arena_print(
			run->request.arena, "%s does not know the verdict %s",
			pn_stage_name(hook_run->call.stage), pn_verdict_name(verdict));
	if (hook_run->failure != NULL) {
		verdict = verdict_of_failure(hook_run);
		hook_run->has_reply = false;
		hook_run->argument = NULL;
		if (run->request.journal.undo != NULL)
			run->request.journal.undo(run->request.transaction, hook_run->journal_mark);
	}
	/* What a shadow changed was for its own eyes. */
	if (hook_run->hook->mode == PN_HOOK_SHADOW && run->request.journal.undo != NULL &&
	    !run->request.all_at_once)
		run->request.journal.undo(run->request.transaction, hook_run->journal_mark);
	hook_run->verdict = verdict;
	count_cost(hook_run);
	write_trail(hook_run);
	if (verdict == PN_VERDICT_CONTINUE || hook_run->hook->mode != PN_HOOK_DECIDE ||
	    run->has_ended)
		return;
	run->has_ended = true;
	result->verdict = verdict;
	result->hook = hook_run->hook->label;
	result->argument = hook_run->argument;
	memset(&result->reply, 0, sizeof(result->reply));
	if (hook_run->has_reply)
		result->reply = hook_run->reply;
	else if (hook_run->failure != NULL)
		pn_reply_set(&result->reply,
		             verdict == PN_VERDICT_REJECT      ? 554
		             : is_of_connection(result->stage) ? 421
		                                               : 451,
		             verdict == PN_VERDICT_REJECT ? "5.3.0" : "4.3.0",
		             "local error in processing");
}

static void proceed(struct stage_run *run);

static void hook_answered(void *user, const struct pn_answer *answer)
{
	struct hook_run *hook_run = user;
	struct stage_run *run = hook_run->run;
	enum pn_verdict verdict = hook_run->verdict;

	hook_run->was_late = answer->status == PN_TIMEOUT;
	if (answer->status != PN_OK && hook_run->failure == NULL)
		hook_run->failure = answer->status == PN_TIMEOUT ? "no verdict within its time"
		                                                 : "its answer was lost";
	run->waiting--;
	take_verdict(hook_run, verdict);
	proceed(run);
}

/* Starts one hook; true when it waits. */
static bool start_hook(struct stage_run *run, const struct pn_chain_hook *hook)
{
	const struct pn_stage_request *request = &run->request;
	struct hook_run *hook_run = PN_ARENA_NEW(request->arena, struct hook_run);
	enum pn_verdict verdict;

	hook_run->run = run;
	hook_run->hook = hook;
	hook_run->call = (struct pn_stage_call){
		.struct_size = sizeof(hook_run->call),
		.stage = request->stage,
		.session = request->session,
		.transaction = request->transaction,
		.recipient = request->recipient,
		.config = hook->use.config,
		.instance = hook->use.instance != NULL ? hook->use.instance->state : NULL,
		.ticket = pn_ticket_open_unlimited(request->session, hook_answered, hook_run),
		.arena = request->arena,
		.subject = request->subject,
	};
	/* With the arena go the run and the hook's call: whoever frees it early cancels by it. */
	pn_ticket_set_owner(hook_run->call.ticket, request->arena);
	if (request->journal.mark != NULL)
		hook_run->journal_mark = request->journal.mark(request->transaction);
	if (pn_hook_is_disabled(hook->module, hook->label)) {
		hook_run->is_disabled = true;
		hook_run->started_ns = pn_clock_monotonic_ns();
		hook_run->failure = "it is disabled: it took down too many workers";
		pn_ticket_cancel(hook_run->call.ticket);
		take_verdict(hook_run, PN_VERDICT_CONTINUE);
		return false;
	}
	pn_running_enter(hook->module, hook->label, request->session_id, request->transaction_id);
	hook_run->started_ns = pn_clock_monotonic_ns();
	verdict = hook->run(hook->user, &hook_run->call);
	hook_run->cpu_ns = pn_clock_monotonic_ns() - hook_run->started_ns;
	pn_running_leave();
	if (verdict == PN_VERDICT_PENDING && hook_run->failure == NULL) {
		run->waiting++;
		/* It may have answered already: then the answer waits for the top of the loop. */
		if (pn_ticket_is_open(hook_run->call.ticket))
			pn_ticket_set_deadline(hook_run->call.ticket, hook->wall_budget_ms);
		return true;
	}
	pn_ticket_cancel(hook_run->call.ticket);
	take_verdict(hook_run, verdict);
	return false;
}

/* Hooks of a protocol module are about the sessions of their own instance. */
static bool concerns(const struct stage_run *run, const struct pn_chain_hook *hook)
{
	const struct pn_instance *instance = hook->use.instance;

	return instance == NULL || instance->module->protocol == NULL ||
	       run->request.session == NULL || run->request.session->instance == instance;
}

static void proceed(struct stage_run *run)
{
	if (run->is_starting)
		return;
	run->is_starting = true;
	while (run->next_hook < run->chain->count &&
	       (run->request.all_at_once || !run->has_ended)) {
		const struct pn_chain_hook *hook = &run->chain->hooks[run->next_hook++];
		bool waits = concerns(run, hook) && start_hook(run, hook);

		if (waits && !run->request.all_at_once)
			break;
	}
	run->is_starting = false;
	if (run->waiting > 0)
		return;
	fill_reply(&run->result);
	run->done(run->user, &run->result);
}

void pn_stage_run(const struct pn_stage_request *request, pn_stage_done_function *done, void *user)
{
	const struct pn_chain *chain = &request->generation->chains[request->stage];
	struct stage_run *run;

	if (chain->count == 0) {
		const struct pn_stage_result nothing = {.struct_size = sizeof(nothing),
		                                        .stage = request->stage,
		                                        .recipient = request->recipient};

		done(user, &nothing);
		return;
	}
	run = PN_ARENA_NEW(request->arena, struct stage_run);
	run->request = *request;
	run->done = done;
	run->user = user;
	run->chain = chain;
	run->result.struct_size = sizeof(run->result);
	run->result.stage = request->stage;
	run->result.recipient = request->recipient;
	proceed(run);
}

enum pn_verdict pn_refuse(const struct pn_stage_call *call, unsigned code, const char *enhanced,
                          const char *format, ...)
{
	struct hook_run *hook_run = hook_run_of(call);
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	pn_reply_set(&hook_run->reply, code, enhanced, text);
	hook_run->has_reply = true;
	return code >= 500 ? PN_VERDICT_REJECT : PN_VERDICT_DEFER;
}

static enum pn_verdict with_argument(const struct pn_stage_call *call, struct pn_slice argument,
                                     enum pn_verdict verdict)
{
	hook_run_of(call)->argument = pn_arena_keep_text(call->arena, argument);
	return verdict;
}

enum pn_verdict pn_redirect(const struct pn_stage_call *call, struct pn_slice target)
{
	return with_argument(call, target, PN_VERDICT_REDIRECT);
}

enum pn_verdict pn_discard(const struct pn_stage_call *call, const char *reason)
{
	return with_argument(call, pn_slice_of(reason), PN_VERDICT_DISCARD);
}

enum pn_verdict pn_quarantine(const struct pn_stage_call *call, const char *mailbox)
{
	return with_argument(call, pn_slice_of(mailbox), PN_VERDICT_QUARANTINE);
}

enum pn_verdict pn_hook_failed(const struct pn_stage_call *call, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	hook_run_of(call)->failure = pn_arena_keep_text(call->arena, pn_slice_of(text));
	return PN_VERDICT_CONTINUE;
}

bool pn_hook_answer(const struct pn_stage_call *call, enum pn_verdict verdict)
{
	/* `call` may be gone: only the copy of its ticket in the slot table can tell; callers ask
	 * pn_ticket_is_open() with their own copy first (stage.h). */
	struct hook_run *hook_run = hook_run_of(call);

	if (!pn_ticket_is_open(call->ticket))
		return false;
	hook_run->verdict = verdict;
	return pn_ticket_answer(call->ticket, PN_ANSWER_VERDICT, PN_OK, NULL, NULL, NULL);
}

void pn_hook_add_cpu(const struct pn_stage_call *call, uint64_t nanoseconds)
{
	hook_run_of(call)->cpu_ns += nanoseconds;
}

static const char *const mode_names[] = {"decide", "observe", "shadow"};

enum pn_status pn_trail_json(const struct pn_trail *trail, struct pn_buffer *out)
{
	enum pn_status status = pn_buffer_append(out, PN_SLICE("["));

	for (const struct pn_trail_entry *entry = trail->first; entry != NULL && status == PN_OK;
	     entry = entry->next) {
		status = pn_buffer_print(
			out,
			"%s{\"stage\":\"%s\",\"verdict\":\"%s\",\"mode\":\"%s\",\"cpu_us\":%llu,"
			"\"wall_us\":%llu,\"hook\":",
			entry == trail->first ? "" : ",", pn_stage_name(entry->stage),
			pn_verdict_name(entry->verdict), mode_names[entry->mode],
			(unsigned long long)(entry->cpu_ns / 1000),
			(unsigned long long)(entry->wall_ns / 1000));
		if (status == PN_OK)
			status = pn_json_append_string(out, pn_slice_of(entry->hook));
		if (status == PN_OK && entry->subject != NULL)
			status = pn_buffer_append(out, PN_SLICE(",\"about\":"));
		if (status == PN_OK && entry->subject != NULL)
			status = pn_json_append_string(out, pn_slice_of(entry->subject));
		if (status == PN_OK && entry->failure != NULL)
			status = pn_buffer_append(out, PN_SLICE(",\"failure\":"));
		if (status == PN_OK && entry->failure != NULL)
			status = pn_json_append_string(out, pn_slice_of(entry->failure));
		if (status == PN_OK && entry->text != NULL)
			status = pn_buffer_print(out, ",\"code\":%u,\"text\":", entry->code);
		if (status == PN_OK && entry->text != NULL)
			status = pn_json_append_string(out, pn_slice_of(entry->text));
		if (status == PN_OK)
			status = pn_buffer_append(out, PN_SLICE("}"));
	}
	return status == PN_OK ? pn_buffer_append(out, PN_SLICE("]")) : status;
}
