/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern queue list` without more words: what waits, by destination. Every row
 * is looked at once; what is kept is a few numbers for each destination. Main thread.
 */
#include "process/queue_tool.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "base/map.h"
#include "delivery/queue.h"

#include <stdlib.h>
#include <string.h>

enum { DESTINATIONS_SHOWN = 50, REASON_LIMIT = 400, JSON_LIMIT = 64 * 1024 };

struct group {
	struct pn_slice name;
	uint64_t count;
	uint64_t held;
	int64_t oldest_ms;     /* of arrival */
	int64_t next_ms;       /* INT64_MAX: everything is held */
	int64_t reason_due_ms; /* of the row that the reason is of */
	char *reason;          /* REASON_LIMIT; NULL: none failed yet */
	size_t reason_size;
	bool is_suspended;
};

struct summary {
	struct pn_arena *arena;
	struct pn_map *groups;
	struct group total;
};

static void count(struct group *group, const struct pn_queue_row *row)
{
	group->count++;
	if (group->oldest_ms == 0 || row->arrived_ms < group->oldest_ms)
		group->oldest_ms = row->arrived_ms;
	if (row->state == PN_QUEUE_HELD)
		group->held++;
	else if (row->due_ms < group->next_ms)
		group->next_ms = row->due_ms;
}

/* The reason of the row that will be tried last is the newest one, as a rule. */
static void note_reason(struct summary *summary, struct group *group,
                        const struct pn_queue_row *row)
{
	size_t size = row->reason.size < REASON_LIMIT ? row->reason.size : REASON_LIMIT;

	if (size == 0 || (group->reason != NULL && row->due_ms <= group->reason_due_ms))
		return;
	if (group->reason == NULL)
		group->reason = pn_arena_allocate(summary->arena, REASON_LIMIT);
	memcpy(group->reason, row->reason.data, size);
	group->reason_size = size;
	group->reason_due_ms = row->due_ms;
}

static bool take(void *user, const struct pn_queue_row *row)
{
	struct summary *summary = user;
	struct group *group = pn_map_get(summary->groups, row->destination);

	if (group == NULL) {
		group = PN_ARENA_NEW(summary->arena, struct group);
		group->name = pn_arena_keep(summary->arena, row->destination);
		group->next_ms = INT64_MAX;
		(void)pn_map_set(summary->groups, row->destination, group);
	}
	count(group, row);
	count(&summary->total, row);
	note_reason(summary, group, row);
	return true;
}

static int by_count(const void *left, const void *right)
{
	const struct group *a = *(struct group *const *)left;
	const struct group *b = *(struct group *const *)right;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return a->oldest_ms < b->oldest_ms ? -1 : a->oldest_ms > b->oldest_ms;
}

static struct group **sort(struct summary *summary)
{
	struct group **groups =
		PN_ARENA_ARRAY(summary->arena, pn_map_count(summary->groups), struct group *);
	struct pn_slice key;
	size_t position = 0;
	size_t size = 0;
	void *value;

	while (pn_map_next(summary->groups, &position, &key, &value))
		groups[size++] = value;
	if (size > 0)
		qsort(groups, size, sizeof(struct group *), by_count);
	return groups;
}

/* A file that cannot be read is told of when the suspensions are printed. */
static void mark_suspended(struct summary *summary, const char *directory)
{
	struct pn_suspension *suspensions;
	struct pn_error error;
	size_t size;

	if (pn_suspensions_read(directory, summary->arena, &suspensions, &size, &error) != PN_OK)
		return;
	for (size_t i = 0; i < size; i++) {
		struct group *group = pn_map_get(summary->groups, suspensions[i].name);

		if (group != NULL && suspensions[i].kind == PN_SUSPEND_DESTINATION &&
		    suspensions[i].until_ms > pn_clock_wall_ms())
			group->is_suspended = true;
	}
}

static void put_json(const struct group *group)
{
	char date[PN_DATE_SIZE];
	struct pn_buffer out;

	pn_buffer_init(&out, JSON_LIMIT);
	(void)!pn_buffer_append(&out, PN_SLICE("{\"destination\":"));
	(void)!pn_json_append_string(&out, group->name);
	(void)!pn_buffer_print(&out, ",\"recipients\":%llu,\"held\":%llu,\"oldest\":\"%s\"",
	                       (unsigned long long)group->count, (unsigned long long)group->held,
	                       pn_date_rfc3339(group->oldest_ms, date));
	if (group->next_ms != INT64_MAX)
		(void)!pn_buffer_print(&out, ",\"next\":\"%s\"",
		                       pn_date_rfc3339(group->next_ms, date));
	(void)!pn_buffer_print(
		&out, ",\"suspended\":%s,\"reason\":", group->is_suspended ? "true" : "false");
	(void)!pn_json_append_string(&out, pn_slice_make(group->reason, group->reason_size));
	(void)!pn_buffer_append(&out, PN_SLICE("}"));
	printf("%.*s\n", PN_SLICE_ARGS(pn_buffer_slice(&out)));
	pn_buffer_clear(&out);
}

static void print_numbers(const struct group *group, int64_t now_ms)
{
	char oldest[PN_QUEUE_AGE_ROOM];
	char next[PN_QUEUE_AGE_ROOM] = "-";

	if (group->is_suspended)
		snprintf(next, sizeof(next), "stopped");
	else if (group->next_ms != INT64_MAX)
		(void)pn_queue_age(group->next_ms - now_ms, next);
	printf("%9llu %9llu  %6s  %7s  ", (unsigned long long)group->count,
	       (unsigned long long)group->held,
	       group->count == 0 ? "-" : pn_queue_age(now_ms - group->oldest_ms, oldest), next);
}

static void print_table(struct group **groups, size_t size, const struct summary *summary,
                        uint64_t limit)
{
	struct pn_queue_table table;
	size_t shown = limit < size ? (size_t)limit : size;

	pn_queue_table_begin(&table, false);
	printf("%9s %9s  %6s  %7s  %-40s  %s\n", "WAITING", "HELD", "OLDEST", "NEXT", "DESTINATION",
	       "LAST REASON");
	for (size_t i = 0; i < shown; i++) {
		print_numbers(groups[i], table.now_ms);
		pn_queue_print_text(groups[i]->name.size == 0 ? PN_SLICE("(not known yet)")
		                                              : groups[i]->name,
		                    40, true);
		if (groups[i]->reason_size > 0 && (table.columns == 0 || table.columns > 80 + 20)) {
			fputs("  ", stdout);
			pn_queue_print_text(
				pn_slice_make(groups[i]->reason, groups[i]->reason_size),
				table.columns == 0 ? SIZE_MAX : table.columns - 80, false);
		}
		putchar('\n');
	}
	print_numbers(&summary->total, table.now_ms);
	printf("in all, for %zu destination%s\n", size, size == 1 ? "" : "s");
	if (shown < size)
		printf("%zu destinations are not shown: see --limit\n", size - shown);
}

enum pn_status pn_queue_summary(struct pn_tool *tool, const struct pn_account *queue,
                                const struct pn_queue_selection *selection, bool as_json,
                                struct pn_error *error)
{
	const char *directory = tool->assembly->generation->data_directory;
	struct summary summary = {.total.next_ms = INT64_MAX};
	const struct pn_queue_walk walk = {.take = take, .user = &summary};
	const uint64_t limit =
		selection->limit == UINT64_MAX ? DESTINATIONS_SHOWN : selection->limit;
	struct pn_queue_selection all = {.limit = UINT64_MAX};
	enum pn_status status;
	uint64_t seed;

	pn_random(&seed, sizeof(seed));
	summary.arena = pn_arena_new();
	summary.groups = pn_map_new(seed);
	status = pn_queue_walk_rows(queue, &all, &walk, error);
	if (status == PN_OK) {
		struct group **groups = sort(&summary);
		size_t size = pn_map_count(summary.groups);

		mark_suspended(&summary, directory);
		for (size_t i = 0; i < size && as_json; i++)
			put_json(groups[i]);
		if (!as_json)
			print_table(groups, size, &summary, limit);
		(void)pn_queue_suspensions_print(directory, as_json);
	}
	pn_map_free(&summary.groups);
	pn_arena_free(&summary.arena);
	return status;
}
