/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern top`: what the hooks of a running gateway cost, the dearest first, again
 * and again until it is interrupted. It asks through the control socket.
 */
#include "config/config.h"
#include "process/ask.h"
#include "process/command.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	ANSWER_LIMIT = 1024 * 1024,
	ANSWER_MS = 15 * 1000,
	ROWS_MAX = 300,
	EVERY_SECONDS = 2,
	SHOWN_MAX = 40
};

const char *const pn_top_options[] = {"--once", NULL};

struct row {
	const char *stage;
	const char *hook;
	double calls, cpu_us, wall_us, failures, timeouts;
	double recent_cpu_us; /* since the last look */
	double recent_calls;
};

/* ---- asking ---- */

/* What the gateway says; NULL, having said why not. */
static json_t *ask(const char *path, struct pn_buffer *answer)
{
	const struct pn_ask question = {
		.control_socket = path,
		.command = "top",
		.deadline_ms = ANSWER_MS,
		.may_repeat = true,
	};
	struct pn_error error;
	json_error_t problem;
	json_t *read;

	if (pn_ask(&question, answer, &error) != PN_OK) {
		fprintf(stderr, "postern: %s\n", error.text);
		return NULL;
	}
	read = json_loadb(answer->data, answer->size, 0, &problem);
	if (read == NULL)
		fprintf(stderr,
		        "postern: the answer of the gateway at %s cannot be read (%s): is it of "
		        "another version?\n",
		        path, problem.text);
	return read;
}

/* ---- showing ---- */

static int dearest_first(const void *left, const void *right)
{
	const struct row *one = left, *other = right;

	if (one->recent_cpu_us != other->recent_cpu_us)
		return one->recent_cpu_us > other->recent_cpu_us ? -1 : 1;
	if (one->cpu_us != other->cpu_us)
		return one->cpu_us > other->cpu_us ? -1 : 1;
	return strcmp(one->hook, other->hook);
}

static double number(const json_t *hook, const char *name)
{
	return (double)json_integer_value(json_object_get(hook, name));
}

static const json_t *find(const json_t *hooks, const char *stage, const char *label)
{
	size_t index;
	json_t *hook;

	json_array_foreach((json_t *)(uintptr_t)hooks, index, hook)
	{
		if (strcmp(json_string_value(json_object_get(hook, "stage")), stage) == 0 &&
		    strcmp(json_string_value(json_object_get(hook, "hook")), label) == 0)
			return hook;
	}
	return NULL;
}

/* The rows of an answer, compared with the one before (or NULL: with nothing). */
static size_t read_rows(const json_t *now, const json_t *before, struct row rows[ROWS_MAX])
{
	size_t index, count = 0;
	json_t *hook;

	json_array_foreach(json_object_get(now, "hooks"), index, hook)
	{
		struct row *row = &rows[count];
		const json_t *old = NULL;

		if (count == ROWS_MAX)
			break;
		*row = (struct row){
			.stage = json_string_value(json_object_get(hook, "stage")),
			.hook = json_string_value(json_object_get(hook, "hook")),
			.calls = number(hook, "calls"),
			.cpu_us = number(hook, "cpu_us"),
			.wall_us = number(hook, "wall_us"),
			.failures = number(hook, "failures"),
			.timeouts = number(hook, "timeouts"),
		};
		if (row->stage == NULL || row->hook == NULL)
			continue;
		if (before != NULL)
			old = find(json_object_get(before, "hooks"), row->stage, row->hook);
		row->recent_cpu_us = row->cpu_us - (old == NULL ? 0 : number(old, "cpu_us"));
		row->recent_calls = row->calls - (old == NULL ? 0 : number(old, "calls"));
		count++;
	}
	qsort(rows, count, sizeof(rows[0]), dearest_first);
	return count;
}

static void show(const struct row *rows, size_t count, bool is_again)
{
	if (is_again)
		fputs("\033[H\033[J", stdout);
	printf("%-30s %-20s %10s %8s %10s %10s %8s %8s\n", "HOOK", "STAGE", "CALLS",
	       is_again ? "CALLS/s" : "", "CPU/CALL", "WALL/CALL", "FAILED", "LATE");
	for (size_t index = 0; index < count && index < SHOWN_MAX; index++) {
		const struct row *row = &rows[index];
		double calls = row->calls > 0 ? row->calls : 1;
		char rate[16] = "";

		if (is_again)
			snprintf(rate, sizeof(rate), "%.1f", row->recent_calls / EVERY_SECONDS);
		printf("%-30s %-20s %10.0f %8s %7.0f us %7.2f ms %8.0f %8.0f\n", row->hook,
		       row->stage, row->calls, rate, row->cpu_us / calls,
		       row->wall_us / calls / 1000, row->failures, row->timeouts);
	}
	if (count == 0)
		puts("no hook was called yet");
	if (count > SHOWN_MAX)
		printf("and %zu more\n", count - SHOWN_MAX);
	fflush(stdout);
}

static int watch(const char *path, bool is_once, bool as_json)
{
	static struct row rows[ROWS_MAX];
	const struct timespec pause = {EVERY_SECONDS, 0};
	json_t *before = NULL;
	int status = 0;

	for (;;) {
		struct pn_buffer answer;
		json_t *now;

		pn_buffer_init(&answer, ANSWER_LIMIT);
		now = ask(path, &answer);
		if (now == NULL)
			status = 1;
		else if (as_json)
			fwrite(answer.data, 1, answer.size, stdout), fflush(stdout);
		else
			show(rows, read_rows(now, before, rows), !is_once && before != NULL);
		pn_buffer_clear(&answer);
		json_decref(before);
		before = now;
		if (is_once || status != 0)
			break;
		nanosleep(&pause, NULL);
	}
	json_decref(before);
	return status;
}

int pn_command_top(const struct pn_arguments *arguments)
{
	struct pn_config *config;
	struct pn_error error;
	int status;

	if (arguments->word_count != 0 || arguments->help) {
		fputs("usage: postern top [--once] [--json] [--config FILE]\n"
		      "\n"
		      "What each hook costs, summed over all workers since the gateway was "
		      "started.\n",
		      arguments->help ? stdout : stderr);
		return arguments->help ? 0 : 2;
	}
	if (pn_config_read(arguments->config, &config, &error) != PN_OK) {
		fprintf(stderr, "postern: %s\n", error.text);
		return 1;
	}
	status = watch(config->settings.control_socket, arguments->option_count > 0,
	               arguments->json);
	pn_config_free(&config);
	return status;
}
