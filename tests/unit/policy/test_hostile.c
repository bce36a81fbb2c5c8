/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scripts that mean harm, one file each in tests/policy/hostile. Each ends as its
 * line "-- expect:" says, within its budget, within its memory, and leaves nothing
 * behind for the next one.
 */
#include "harness.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "../exact.h"
#include "policy/state.h"

enum {
	SCRIPTS_MAX = 200,
	CPU_MS = 50,
	PROMISED_MS = 100,
	MEMORY = 16 * 1024 * 1024,
	RUNS = 5,
};

static char names[SCRIPTS_MAX][64];
static int name_count;

static int compare_names(const void *left, const void *right)
{
	return strcmp(left, right);
}

static void find_scripts(void)
{
	DIR *directory = opendir(harness_path("tests/policy/hostile"));
	const struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		size_t size = strlen(entry->d_name);

		if (size > 4 && size < sizeof(names[0]) &&
		    strcmp(entry->d_name + size - 4, ".lua") == 0 && name_count < SCRIPTS_MAX)
			memcpy(names[name_count++], entry->d_name, size + 1);
	}
	if (directory != NULL)
		closedir(directory);
	qsort(names, (size_t)name_count, sizeof(names[0]), compare_names);
}

/* The text behind "-- expect: " in the file. */
static void read_expectation(const char *path, char *room, size_t size)
{
	FILE *file = fopen(path, "r");

	room[0] = '\0';
	while (file != NULL && fgets(room, (int)size, file) != NULL) {
		if (strncmp(room, "-- expect: ", 11) == 0) {
			memmove(room, room + 11, strlen(room + 11) + 1);
			room[strcspn(room, "\n")] = '\0';
			break;
		}
	}
	if (file != NULL)
		fclose(file);
}

/* A state that was never told of the hostile one. */
static void check_pristine(void)
{
	ck_assert_str_eq(
		outcome_of_body(
			"assert((\"x\"):upper() == \"X\" and string.upper(\"y\") == \"Y\")\n"
			"assert(getmetatable(\"\") == false and #\"abc\" == 3)\n"
			"assert(not pcall(function() return poison end))\n"
			"return reject(550, \"5.7.1\", \"pristine\")"),
		"reject 550 5.7.1 pristine");
}

static void check_memory(const struct harness *harness)
{
	const struct policy_file *file = &harness->set->files[0];

	if (file->state != NULL)
		ck_assert_uint_le(file->state->memory.peak, MEMORY);
}

struct run {
	char outcome[600];
	double load_ms; /* of processor time */
	double run_ms;
};

static void run_script(const char *path, const char *name, const struct harness_limits *limits,
                       struct run *run)
{
	struct harness harness;
	struct fake_call *call;
	double before = cpu_ms();

	harness_load_file(&harness, path, name, limits);
	*run = (struct run){.load_ms = cpu_ms() - before};
	if (harness.set == NULL) {
		snprintf(run->outcome, sizeof(run->outcome), "refused: %s", harness.error.text);
		return;
	}
	before = cpu_ms();
	call = fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);
	run->run_ms = cpu_ms() - before;
	while (call->verdict == PN_VERDICT_PENDING)
		fake_advance(1);
	fake_outcome(call, run->outcome, sizeof(run->outcome));
	check_memory(&harness);
	/* And again: the state must still be good, or have been replaced. */
	call = fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);
	while (call->verdict == PN_VERDICT_PENDING)
		fake_advance(1);
	harness_free(&harness);
}

START_TEST(a_hostile_script_ends_in_its_budget)
{
	struct harness_limits limits = {.cpu_ms = CPU_MS, .memory_bytes = MEMORY};
	char path[600], wanted[300];
	struct run run;
	double most_ms;

	snprintf(path, sizeof(path), "%s/%s", harness_path("tests/policy/hostile"), names[_i]);
	read_expectation(path, wanted, sizeof(wanted));
	ck_assert_msg(wanted[0] != '\0', "%s says nothing about what to expect", names[_i]);
	/* Who runs into another limit must not be stopped by this one before, because the program
	 * was made slower, or the machine is shared. */
	if (strstr(wanted, "processor time") == NULL)
		limits.cpu_ms *= 4 * SLOWER;
	/* What is promised: no script costs anybody more than 100 ms. Between two looks at the
	 * clock a table of 16 MiB may be made twice as large, and its pages are the kernel's work.
	 */
	most_ms = limits.cpu_ms + (PROMISED_MS - CPU_MS) * SLOWER;
	/* Others on the machine make it longer, never shorter: the best of some runs is its own. */
	for (int i = 0; i < RUNS; i++) {
		run_script(path, names[_i], &limits, &run);
		ck_assert_msg(strstr(run.outcome, wanted) != NULL, "%s\nwanted %s\ngot    %s",
		              names[_i], wanted, run.outcome);
		if (run.load_ms < 1020 * SLOWER && run.run_ms < most_ms)
			break;
	}
	ck_assert_msg(run.load_ms < 1020 * SLOWER, "%s: reading took %.1f ms", names[_i],
	              run.load_ms);
	ck_assert_msg(run.run_ms < most_ms, "%s took %.1f ms", names[_i], run.run_ms);
	check_pristine();
}
END_TEST

START_TEST(the_set_is_there)
{
	ck_assert_int_ge(name_count, 100);
}
END_TEST

Suite *hostile_suite(void)
{
	const TTest *const tests[] = {the_set_is_there, NULL};
	Suite *suite = suite_of("hostile scripts", tests);
	TCase *scripts = tcase_create("scripts");

	find_scripts();
	tcase_set_timeout(scripts, 120);
	tcase_add_loop_test(scripts, a_hostile_script_ends_in_its_budget, 0, name_count);
	suite_add_tcase(suite, scripts);
	return suite;
}
