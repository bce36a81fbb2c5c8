/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern queue hold|release|retry|requeue|bounce|delete`. First the ids of what is
 * meant are gathered, then the rows are read again and changed, some hundred in a
 * commit: a row that a worker finished meanwhile is passed over, and nothing is
 * changed twice. Main thread.
 */
#include "process/queue_tool.h"

#include <postern/clock.h>
#include <postern/log.h>
#include <postern/route.h>
#include <postern/text.h>

#include "delivery/queue.h"
#include "delivery/route.h"
#include "io/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	ROWS_AT_ONCE = 500, /* in one commit */
	EVENTS_MAX = 10000, /* rows that have an event each; more have one together */
	TELL_EVERY_MS = 1000,
	REASON_LIMIT = 500,
};

enum action { HOLD, RELEASE, RETRY, REQUEUE, BOUNCE, DELETE, ACTIONS };

static const struct {
	const char *word;
	const char *done;     /* "held 3 recipients" */
	const char *question; /* "Hold all that waits, 3 recipients?" */
} actions[ACTIONS] = {
	[HOLD] = {"hold", "held", "Hold"},
	[RELEASE] = {"release", "released", "Release"},
	[RETRY] = {"retry", "to be tried now:", "Try now"},
	[REQUEUE] = {"requeue", "sent another way:", "Send another way"},
	[BOUNCE] = {"bounce", "to be returned:", "Return to its senders"},
	[DELETE] = {"delete", "deleted", "Delete for ever, telling nobody,"},
};

struct acting {
	enum action action;
	struct pn_tool *tool;
	const struct pn_account *queue;
	const struct pn_arguments *arguments;
	uid_t caller;
	struct pn_slice route;
	struct pn_slice reason;
	int64_t now_ms;

	uint64_t *ids;
	size_t count;
	size_t capacity;
	uint64_t done;
	uint64_t gone;
	uint64_t told_ms;
};

static enum action action_of(const char *word)
{
	enum action action = HOLD;

	while (action < ACTIONS && strcmp(actions[action].word, word) != 0)
		action++;
	return action;
}

bool pn_queue_is_action(const char *word)
{
	return action_of(word) != ACTIONS;
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "recipient" : "recipients";
}

/* ---- gathering ---- */

static bool gather(void *user, const struct pn_queue_row *row)
{
	struct acting *acting = user;

	/* Only what is held can be released; what is held already stays as it is. */
	if ((acting->action == RELEASE && row->state != PN_QUEUE_HELD) ||
	    (acting->action == HOLD && row->state == PN_QUEUE_HELD))
		return true;
	if (acting->count == acting->capacity) {
		acting->capacity = acting->capacity == 0 ? 1024 : acting->capacity * 2;
		acting->ids = reallocarray(acting->ids, acting->capacity, sizeof(*acting->ids));
		if (acting->ids == NULL)
			abort();
	}
	acting->ids[acting->count++] = row->id;
	return true;
}

/* ---- changing ---- */

/* What the row is grouped by with this route, as the queue writes it. */
static struct pn_slice destination_by(const struct pn_queue_row *row, struct pn_slice text,
                                      struct pn_arena *arena)
{
	size_t at = row->recipient.size;
	struct pn_route route;
	struct pn_error error;

	while (at > 0 && row->recipient.data[at - 1] != '@')
		at--;
	if (pn_route_parse(text, arena, &route, &error) != PN_OK)
		return row->destination; /* it was checked before */
	return pn_route_format(&route, pn_slice_behind(row->recipient, at), arena);
}

static void change_row(const struct acting *acting, struct pn_queue_row *row,
                       struct pn_arena *arena)
{
	if (acting->action == HOLD) {
		row->state = PN_QUEUE_HELD;
		row->reason = acting->reason;
		return;
	}
	row->state = PN_QUEUE_DUE;
	row->due_ms = acting->now_ms;
	if (acting->action == REQUEUE) {
		row->details =
			pn_queue_detail_set(arena, row->details, PN_SLICE("route"), acting->route);
		row->destination = destination_by(row, acting->route, arena);
	} else if (acting->action == BOUNCE) {
		row->details = pn_queue_detail_set(arena, row->details, PN_SLICE("verdict"),
		                                   PN_SLICE("bounce"));
		row->reason = acting->reason;
	}
}

static void record_row(const struct acting *acting, const struct pn_queue_row *row)
{
	struct pn_event *event = pn_queue_event(actions[acting->action].word, acting->caller);
	char transaction[64];

	snprintf(transaction, sizeof(transaction), "%.*s", PN_SLICE_ARGS(row->transaction));
	pn_event_id(event, "transaction", transaction);
	pn_event_number(event, "row", (int64_t)row->id);
	pn_event_text(event, "recipient", row->recipient);
	if (acting->action == REQUEUE)
		pn_event_text(event, "route", acting->route);
	if (acting->reason.size > 0)
		pn_event_text(event, "reason", acting->reason);
	pn_event_send(&event);
}

/* The gateway hears of it now and then, and at the end. */
static void tell_gateway(struct acting *acting, bool is_last)
{
	uint64_t now = pn_clock_monotonic_ms();

	if (acting->done == 0 || (!is_last && now - acting->told_ms < TELL_EVERY_MS))
		return;
	acting->told_ms = now;
	pn_tool_edited(acting->tool);
}

static enum pn_status commit_rows(struct acting *acting, struct pn_commit *commit,
                                  const struct pn_queue_row *rows, size_t count,
                                  struct pn_error *error)
{
	struct pn_tool_answer answer;
	enum pn_status status = pn_tool_commit(acting->tool, acting->queue, commit, &answer);
	const struct pn_commit *answered = answer.result;

	if (status != PN_OK)
		*error = answer.error;
	for (size_t i = 0; status == PN_OK && i < count; i++) {
		if (!answered->results[i].was_there) {
			acting->gone++;
			continue;
		}
		acting->done++;
		if (acting->count <= EVENTS_MAX)
			record_row(acting, &rows[i]);
	}
	pn_tool_release(&answer);
	return status;
}

/* Some rows, read again and changed in one commit. PN_NOT_FOUND: one that was held went away in the
 * last moment, and nothing was changed. */
static enum pn_status change_some(struct acting *acting, const uint64_t *ids, size_t count,
                                  struct pn_error *error)
{
	const bool is_delete = acting->action == DELETE;
	struct pn_commit *commit = pn_commit_new(0, count);
	struct pn_queue_row *rows = PN_ARENA_ARRAY(commit->arena, count, struct pn_queue_row);
	uint64_t gone = 0;
	size_t size = 0;
	enum pn_status status = PN_OK;

	for (size_t i = 0; i < count && status == PN_OK; i++) {
		struct pn_queue_row *row = &rows[size];
		struct pn_mutation *mutation;

		status = pn_queue_row_read(acting->queue, ids[i], commit->arena, row, error);
		if (status == PN_NOT_FOUND) {
			gone++;
			status = PN_OK;
			continue;
		}
		if (status != PN_OK)
			break;
		mutation = pn_commit_add(commit, is_delete ? PN_MUTATION_QUEUE_DONE
		                                           : PN_MUTATION_QUEUE_UPDATE);
		mutation->queue_row = row;
		/* One that is gone by now is passed over; one that is held would be, too. */
		mutation->on = is_delete || row->state != PN_QUEUE_HELD;
		change_row(acting, row, commit->arena);
		size++;
	}
	if (status == PN_OK && size > 0) {
		status = commit_rows(acting, commit, rows, size, error);
	} else {
		pn_commit_free(&commit);
	}
	if (status == PN_OK)
		acting->gone += gone;
	return status;
}

static enum pn_status change_all(struct acting *acting, struct pn_error *error)
{
	enum pn_status status = PN_OK;

	for (size_t at = 0; at < acting->count && status == PN_OK; at += ROWS_AT_ONCE) {
		size_t left = acting->count - at;
		size_t count = left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE;

		do
			status = change_some(acting, acting->ids + at, count, error);
		while (status == PN_NOT_FOUND);
		tell_gateway(acting, false);
	}
	tell_gateway(acting, true);
	return status;
}

/* ---- what was done ---- */

static void record(const struct acting *acting)
{
	struct pn_event *event = pn_queue_event(actions[acting->action].word, acting->caller);
	struct pn_buffer words;

	pn_buffer_init(&words, 4096);
	for (int i = 0; i < acting->arguments->option_count; i++) {
		const struct pn_own_option *option = &acting->arguments->options[i];

		(void)!pn_buffer_print(&words, "%s%s %s", i == 0 ? "" : " ", option->name,
		                       option->value);
	}
	pn_event_text(event, "selection", pn_buffer_slice(&words));
	pn_event_number(event, "count", (int64_t)acting->done);
	pn_event_send(&event);
	pn_buffer_clear(&words);
}

static void tell(const struct acting *acting, bool is_dry)
{
	const char *word = actions[acting->action].word;
	uint64_t count = is_dry ? acting->count : acting->done;

	if (acting->arguments->json) {
		printf("{\"action\":\"%s\",\"dry_run\":%s,\"recipients\":%" PRIu64
		       ",\"gone\":%" PRIu64 "}\n",
		       word, is_dry ? "true" : "false", count, acting->gone);
		return;
	}
	if (is_dry)
		printf("%s would change %" PRIu64 " %s; nothing was done\n", word, count,
		       plural(count));
	else
		printf("%s %" PRIu64 " %s\n", actions[acting->action].done, count, plural(count));
	if (acting->gone > 0)
		printf("%" PRIu64 " %s gone meanwhile\n", acting->gone,
		       acting->gone == 1 ? "was" : "were");
}

/* ---- all of it ---- */

/* A name that is no transport is told with those that are. */
static bool has_transport(const struct acting *acting, struct pn_slice name)
{
	const struct pn_generation *generation = acting->tool->assembly->generation;

	if (name.size == 0 || pn_generation_transport(generation, name) != NULL)
		return true;
	fprintf(stderr, "postern: there is no transport \"%.*s\"; there are:", PN_SLICE_ARGS(name));
	for (size_t i = 0; i < generation->instance_count; i++) {
		const struct pn_instance *instance = generation->instances[i].instance;

		if (instance->module->transport != NULL)
			fprintf(stderr, " %s", instance->name);
	}
	fputc('\n', stderr);
	return false;
}

static int read_route(struct acting *acting)
{
	const char *text = pn_queue_option(acting->arguments, "--route");
	struct pn_route route;
	struct pn_error error;

	if (acting->action != REQUEUE)
		return 0;
	if (text == NULL) {
		fputs("postern: requeue needs --route: mx, mx:example.net, "
		      "hosts:a.example:25,b.example:25 or account; @INSTANCE behind it names a "
		      "transport\n",
		      stderr);
		return 2;
	}
	if (pn_route_parse(pn_slice_of(text), acting->tool->arena, &route, &error) != PN_OK) {
		(void)pn_tool_fail(&error);
		return 2;
	}
	acting->route = pn_slice_of(text);
	return has_transport(acting, route.transport) ? 0 : 2;
}

static int read_reason(struct acting *acting)
{
	const char *because = pn_queue_option(acting->arguments, "--because");

	if (acting->action == HOLD || acting->action == BOUNCE)
		acting->reason = because != NULL          ? pn_slice_of(because)
		                 : acting->action == HOLD ? PN_SLICE("held by an operator")
		                                          : PN_SLICE("returned by an operator");
	if (acting->reason.size <= REASON_LIMIT)
		return 0;
	fprintf(stderr, "postern: --because has more than %d bytes\n", REASON_LIMIT);
	return 2;
}

static bool is_meant(const struct acting *acting, const struct pn_queue_selection *selection)
{
	char question[200];

	if (!pn_queue_selects_all(selection))
		return true;
	snprintf(question, sizeof(question), "%s all that %s, %zu %s?",
	         actions[acting->action].question, acting->action == RELEASE ? "is held" : "waits",
	         acting->count, plural(acting->count));
	return pn_queue_confirm(acting->arguments, question);
}

int pn_queue_act(struct pn_tool *tool, const struct pn_account *queue,
                 const struct pn_queue_selection *selection, const struct pn_arguments *arguments,
                 uid_t caller)
{
	struct acting acting = {
		.action = action_of(arguments->words[0]),
		.tool = tool,
		.queue = queue,
		.arguments = arguments,
		.caller = caller,
		.now_ms = pn_clock_wall_ms(),
	};
	const struct pn_queue_walk walk = {.take = gather, .user = &acting};
	const bool is_dry = pn_queue_option(arguments, "--dry-run") != NULL;
	struct pn_error error;
	enum pn_status changed = PN_OK;
	int status = read_route(&acting);

	if (status == 0)
		status = read_reason(&acting);
	if (status != 0)
		return status;
	if (pn_queue_walk_rows(queue, selection, &walk, &error) != PN_OK) {
		status = pn_tool_fail(&error);
	} else if (!is_dry && !is_meant(&acting, selection)) {
		status = 1;
	} else {
		if (!is_dry)
			changed = change_all(&acting, &error);
		tell(&acting, is_dry);
		if (acting.done > 0)
			record(&acting);
		if (changed != PN_OK)
			status = pn_tool_fail(&error);
	}
	free(acting.ids);
	return status;
}
