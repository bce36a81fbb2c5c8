/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern queue suspend|resume`: destinations and tenants that nothing is delivered
 * for. The file is read, changed and written under a lock, so that two operators do
 * not undo each other's work. Main thread.
 */
#include "process/queue_tool.h"

#include <postern/clock.h>
#include <postern/log.h>
#include <postern/text.h>

#include "delivery/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static const char *const kind_names[] = {"destination", "tenant"};

static bool is_over(const struct pn_suspension *suspension)
{
	return suspension->until_ms <= pn_clock_wall_ms();
}

static void print_line(const struct pn_suspension *suspension, bool is_first)
{
	char room[PN_QUEUE_AGE_ROOM];

	if (is_first)
		puts("\nSuspended:");
	printf("  %s ", kind_names[suspension->kind]);
	pn_queue_print_text(suspension->name, SIZE_MAX, false);
	if (suspension->until_ms == INT64_MAX)
		fputs(", until it is resumed", stdout);
	else
		printf(", for %s more",
		       pn_queue_age(suspension->until_ms - pn_clock_wall_ms(), room));
	if (suspension->reason.size > 0) {
		fputs(": ", stdout);
		pn_queue_print_text(suspension->reason, SIZE_MAX, false);
	}
	putchar('\n');
}

static void print_json(const struct pn_suspension *suspension)
{
	char date[PN_DATE_SIZE];
	struct pn_buffer out;

	pn_buffer_init(&out, 64 * 1024);
	(void)!pn_buffer_print(&out,
	                       "{\"suspended\":\"%s\",\"name\":", kind_names[suspension->kind]);
	(void)!pn_json_append_string(&out, suspension->name);
	if (suspension->until_ms != INT64_MAX)
		(void)!pn_buffer_print(&out, ",\"until\":\"%s\"",
		                       pn_date_rfc3339(suspension->until_ms, date));
	(void)!pn_buffer_append(&out, PN_SLICE(",\"reason\":"));
	(void)!pn_json_append_string(&out, suspension->reason);
	(void)!pn_buffer_append(&out, PN_SLICE("}"));
	printf("%.*s\n", PN_SLICE_ARGS(pn_buffer_slice(&out)));
	pn_buffer_clear(&out);
}

size_t pn_queue_suspensions_print(const char *data_directory, bool as_json)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_suspension *suspensions;
	struct pn_error error;
	size_t count;
	size_t shown = 0;

	if (pn_suspensions_read(data_directory, arena, &suspensions, &count, &error) != PN_OK)
		(void)pn_tool_fail(&error);
	for (size_t i = 0; i < count; i++) {
		if (is_over(&suspensions[i]))
			continue;
		if (as_json)
			print_json(&suspensions[i]);
		else
			print_line(&suspensions[i], shown == 0);
		shown++;
	}
	pn_arena_free(&arena);
	return shown;
}

/* ---- changing ---- */

struct change {
	struct pn_tool *tool;
	const char *directory;
	bool is_resume;
	bool is_dry;
	bool is_all;                 /* resume everything */
	struct pn_suspension wanted; /* what is suspended, or resumed */
	size_t touched;
};

static bool is_same(const struct pn_suspension *left, const struct pn_suspension *right)
{
	return left->kind == right->kind && pn_slice_equal_ignore_case(left->name, right->name);
}

static enum pn_status apply(struct change *change, struct pn_error *error)
{
	struct pn_arena *arena = change->tool->arena;
	struct pn_suspension *old;
	struct pn_suspension *list;
	size_t count;
	size_t kept = 0;

	if (pn_suspensions_read(change->directory, arena, &old, &count, error) != PN_OK)
		return PN_FAILED;
	list = PN_ARENA_ARRAY(arena, count + 1, struct pn_suspension);
	for (size_t i = 0; i < count; i++) {
		if (is_over(&old[i]))
			continue;
		if (change->is_all || is_same(&old[i], &change->wanted))
			change->touched++;
		else
			list[kept++] = old[i];
	}
	if (!change->is_resume)
		list[kept++] = change->wanted;
	return change->is_dry ? PN_OK : pn_suspensions_write(change->directory, list, kept, error);
}

/* Nobody else writes meanwhile. */
static enum pn_status apply_alone(struct change *change, struct pn_error *error)
{
	char path[4096];
	enum pn_status status;
	int lock;

	snprintf(path, sizeof(path), "%s/suspensions.lock", change->directory);
	lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX) != 0) {
		(void)pn_fail_errno(error, errno, "cannot lock %s", path);
		if (lock >= 0)
			close(lock);
		return PN_FAILED;
	}
	status = apply(change, error);
	close(lock);
	return status;
}

static void record(const struct change *change, uid_t caller)
{
	struct pn_event *event = pn_queue_event(change->is_resume ? "resume" : "suspend", caller);

	if (change->is_all) {
		pn_event_number(event, "count", (int64_t)change->touched);
	} else {
		pn_event_text(event, kind_names[change->wanted.kind], change->wanted.name);
		pn_event_text(event, "reason", change->wanted.reason);
	}
	pn_event_send(&event);
}

static int read_change(const struct pn_queue_selection *selection,
                       const struct pn_arguments *arguments, struct change *change)
{
	const char *duration = pn_queue_option(arguments, "--for");
	const char *because = pn_queue_option(arguments, "--because");
	uint64_t milliseconds;

	if (selection->destination.size > 0 && selection->tenant.size > 0) {
		fputs("postern: one at a time: --destination or --tenant\n", stderr);
		return 2;
	}
	change->wanted.kind =
		selection->tenant.size > 0 ? PN_SUSPEND_TENANT : PN_SUSPEND_DESTINATION;
	change->wanted.name =
		selection->tenant.size > 0 ? selection->tenant : selection->destination;
	change->wanted.reason = pn_slice_of(because);
	change->wanted.until_ms = INT64_MAX;
	if (duration == NULL)
		return 0;
	if (pn_parse_duration(pn_slice_of(duration), &milliseconds) != PN_OK || milliseconds == 0 ||
	    milliseconds > INT64_MAX / 2) {
		fprintf(stderr, "postern: --for %s: it must be a duration: 30m, 2h, 3d\n",
		        duration);
		return 2;
	}
	change->wanted.until_ms = pn_clock_wall_ms() + (int64_t)milliseconds;
	return 0;
}

/* What was done, or would be. */
static void tell(const struct change *change)
{
	const char *kind = kind_names[change->wanted.kind];

	if (change->is_all) {
		printf("%s%zu suspension%s\n",
		       change->is_dry ? "this would end " : "resumed: ended ", change->touched,
		       change->touched == 1 ? "" : "s");
		return;
	}
	if (change->is_resume && change->touched == 0)
		printf("%s ", "not suspended:");
	else if (change->is_resume)
		printf("%s ", change->is_dry ? "this would resume" : "resumed");
	else
		printf("%s ", change->is_dry ? "this would suspend" : "suspended");
	printf("%s ", kind);
	pn_queue_print_text(change->wanted.name, SIZE_MAX, false);
	putchar('\n');
}

int pn_queue_suspend(struct pn_tool *tool, const struct pn_queue_selection *selection,
                     const struct pn_arguments *arguments, uid_t caller)
{
	struct change change = {
		.tool = tool,
		.directory = tool->assembly->generation->data_directory,
		.is_resume = strcmp(arguments->words[0], "resume") == 0,
		.is_dry = pn_queue_option(arguments, "--dry-run") != NULL,
	};
	struct pn_error error;
	int status = read_change(selection, arguments, &change);

	if (status != 0)
		return status;
	if (change.wanted.name.size == 0 && !change.is_resume) {
		if (pn_queue_suspensions_print(change.directory, arguments->json) == 0 &&
		    !arguments->json)
			puts("Nothing is suspended. See --destination NAME and --tenant NAME.");
		return 0;
	}
	change.is_all = change.wanted.name.size == 0;
	if (change.is_all && !change.is_dry &&
	    !pn_queue_confirm(arguments, "Resume everything that is suspended?"))
		return 1;
	if (apply_alone(&change, &error) != PN_OK)
		return pn_tool_fail(&error);
	tell(&change);
	if (change.is_dry)
		return 0;
	record(&change, caller);
	pn_tool_edited(tool);
	return 0;
}
