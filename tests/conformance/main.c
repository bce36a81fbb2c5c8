/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_conformance FILE.so DIRECTORY [option=value …]: the same cases against any
 * store module. Each case has a fresh store; a store that lasts is closed and opened
 * again behind each, and must look the same and verify clean. Then, for a store that
 * lasts, the storm: kills, errors and damage. Prints "ok NAME" or "not ok NAME", and
 * a count at the end; exits 0 if all is well.
 *
 * Before FILE.so: --only WORD (cases whose name has it), --no-storm, --long;
 * --write WORKER COUNT, --check, --script, --random SEED STEPS, --bench IN_FLIGHT COUNT
 * SIZE, --scale COUNT, --small COUNT, --queue COUNT SECONDS are for the tests themselves.
 */
#include "cases.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static jmp_buf case_end;
static bool in_case;
static size_t ok_count;
static size_t failed_count;

void case_failed(const char *file, int line, const char *what)
{
	printf("# %s:%d: %s\n", strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line, what);
	if (last_error()[0] != '\0')
		printf("# last question: %s\n", last_error());
	fflush(stdout);
	if (!in_case)
		exit(1);
	longjmp(case_end, 1);
}

void report_case(const char *name, bool is_ok)
{
	printf("%s %s\n", is_ok ? "ok" : "not ok", name);
	fflush(stdout);
	if (is_ok)
		ok_count++;
	else
		failed_count++;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return remove(path);
}

void clear_store(const char *directory)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/store", directory);
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void say(void *user, bool is_damage, const char *text)
{
	(void)user;
	if (is_damage)
		printf("# verify: %s\n", text);
}

static void start_store(const char *directory)
{
	struct pn_error error = {0};

	if (harness_start(directory, PN_WORKER_EDGE, 1, &error) != PN_OK) {
		printf("# start: %s\n", error.text);
		case_failed(__FILE__, __LINE__, "the store must start");
	}
}

/* What is in it must be there after it was closed and opened, and must be right. */
static void reopen(const char *directory)
{
	struct pn_store_report report = {say, NULL};
	struct pn_error error = {0};
	char *before;
	char *after;

	if (harness_entries()->verify == NULL)
		return;
	before = dump_store();
	harness_stop();
	start_store(directory);
	after = dump_store();
	if (strcmp(before, after) != 0) {
		printf("# before:\n%s# after:\n%s", before, after);
		case_failed(__FILE__, __LINE__, "the same before and after");
	}
	free(before);
	free(after);
	if (harness_entries()->verify(harness_instance(), &report, &error) != PN_OK) {
		printf("# verify: %s\n", error.text);
		case_failed(__FILE__, __LINE__, "verify finds no damage");
	}
}

static bool run_case(const struct conformance_case *one, const char *directory)
{
	volatile bool is_ok = false;

	clear_store(directory);
	in_case = true;
	if (setjmp(case_end) == 0) {
		start_store(directory);
		one->run();
		reopen(directory);
		is_ok = true;
	}
	in_case = false;
	harness_arm(NULL);
	harness_advance(0);
	if (harness_is_running())
		harness_stop();
	pn_arena_reset(harness_arena());
	return is_ok;
}

static void run_cases(const char *directory, const char *only)
{
	const struct conformance_case *const tables[] = {
		message_cases, change_cases, mailbox_cases, queue_cases,
		commit_cases,  large_cases,  import_cases,
	};

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct conformance_case *one = tables[i]; one->name != NULL; one++)
			if (only == NULL || strstr(one->name, only) != NULL)
				report_case(one->name, run_case(one, directory));
}

static void usage(void)
{
	fprintf(stderr, "usage: store_conformance [--only WORD] [--no-storm] [--long] "
	                "FILE.so DIRECTORY [option=value …]\n");
	exit(2);
}

int main(int count, char **arguments)
{
	const char *only = NULL;
	const char *mode = "";
	bool with_storm = true;
	bool is_long = false;
	unsigned long numbers[3] = {0};
	int at = 1;

	for (; at < count && strncmp(arguments[at], "--", 2) == 0; at++) {
		const char *word = arguments[at];
		int values = strcmp(word, "--write") == 0 || strcmp(word, "--random") == 0 ||
		                             strcmp(word, "--queue") == 0
		                     ? 2
		             : strcmp(word, "--bench") == 0                                 ? 3
		             : strcmp(word, "--scale") == 0 || strcmp(word, "--small") == 0 ? 1
		                                                                            : 0;

		if (strcmp(word, "--only") == 0 && at + 1 < count)
			only = arguments[++at];
		else if (strcmp(word, "--no-storm") == 0)
			with_storm = false;
		else if (strcmp(word, "--long") == 0)
			is_long = true;
		else if (values != 0 || strcmp(word, "--check") == 0 ||
		         strcmp(word, "--script") == 0)
			mode = word;
		else
			usage();
		for (int i = 0; i < values && at + 1 < count; i++)
			numbers[i] = strtoul(arguments[++at], NULL, 10);
	}
	if (count - at < 2)
		usage();
	harness_load(arguments[at], arguments + at + 2, (size_t)(count - at - 2));
	mkdir(arguments[at + 1], 0700);
	if (strcmp(mode, "--write") == 0)
		return run_writer(arguments[at + 1], (unsigned)numbers[0], numbers[1]);
	if (strcmp(mode, "--check") == 0)
		return run_check(arguments[at + 1]);
	if (strcmp(mode, "--script") == 0)
		return run_script(arguments[at + 1]);
	if (strcmp(mode, "--random") == 0)
		return run_random(arguments[at + 1], (unsigned)numbers[0], numbers[1]);
	if (strcmp(mode, "--scale") == 0)
		return run_scale(arguments[at + 1], numbers[0]);
	if (strcmp(mode, "--small") == 0)
		return run_small(arguments[at + 1], numbers[0]);
	if (strcmp(mode, "--queue") == 0)
		return run_queue(arguments[at + 1], numbers[0], numbers[1]);
	if (strcmp(mode, "--bench") == 0)
		return run_bench(arguments[at + 1], (unsigned)numbers[0], numbers[1], numbers[2]);
	run_cases(arguments[at + 1], only);
	if (with_storm && only == NULL && harness_entries()->verify != NULL)
		run_storm(arguments[at + 1], is_long);
	printf("%zu ok, %zu not ok\n", ok_count, failed_count);
	return failed_count == 0 ? 0 : 1;
}
