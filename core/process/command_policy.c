/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern policy test`: runs specs of policies, without a configuration and without
 * a gateway. Exit status 0: every case of every spec holds.
 */
#include "process/command.h"
#include "process/trial.h"

#include <postern/buffer.h>
#include <postern/text.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SPECS_MAX = 1000, JSON_MAX = 16 * 1024 * 1024 };

struct spec_list {
	char *paths[SPECS_MAX];
	size_t count;
};

static int is_spec(const struct dirent *entry)
{
	size_t size = strlen(entry->d_name);

	return size > 9 && strcmp(entry->d_name + size - 9, ".spec.lua") == 0;
}

/* False, having said why: a spec that nobody runs is not one that holds. */
static bool add_path(struct spec_list *specs, const char *path)
{
	char *real = realpath(path, NULL);

	if (real == NULL) {
		fprintf(stderr, "postern: cannot read %s: %s\n", path, strerror(errno));
		return false;
	}
	if (specs->count == SPECS_MAX) {
		fprintf(stderr, "postern: more than %d specs: name some of the folders only\n",
		        SPECS_MAX);
		free(real);
		return false;
	}
	specs->paths[specs->count++] = real;
	return true;
}

/* A spec, or a folder with some. False, having said why. */
static bool add_specs(struct spec_list *specs, const char *path)
{
	struct dirent **entries;
	struct stat status;
	bool is_right = true;
	int count;

	if (stat(path, &status) != 0) {
		fprintf(stderr, "postern: there is no %s\n", path);
		return false;
	}
	if (!S_ISDIR(status.st_mode))
		return add_path(specs, path);
	count = scandir(path, &entries, is_spec, alphasort);
	for (int index = 0; index < count; index++) {
		char full[4096];

		snprintf(full, sizeof(full), "%s/%s", path, entries[index]->d_name);
		is_right = is_right && add_path(specs, full);
		free(entries[index]);
	}
	if (count >= 0)
		free(entries);
	if (count > 0)
		return is_right;
	fprintf(stderr, "postern: there is no NAME.spec.lua in %s\n", path);
	return false;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

/* ---- for people ---- */

static void print_hooks(const struct pn_trial_report *report)
{
	size_t count = 0, asked = 0;

	for (const struct pn_trial_hook *hook = report->hooks; hook != NULL; hook = hook->next) {
		count++;
		asked += hook->calls > 0;
	}
	if (count == 0)
		return;
	printf("# %zu of %zu hooks were asked\n", asked, count);
	for (const struct pn_trial_hook *hook = report->hooks; hook != NULL; hook = hook->next) {
		if (hook->calls == 0)
			printf("# never asked: %s at %s\n", hook->label,
			       pn_stage_name(hook->stage));
	}
}

static void print_report(const char *path, const struct pn_trial_report *report)
{
	for (const struct pn_trial_case *entry = report->cases; entry != NULL;
	     entry = entry->next) {
		printf("%s %s: %s\n", entry->failure == NULL ? "ok" : "not ok", last_part(path),
		       entry->name);
		if (entry->failure != NULL)
			printf("#   %s\n", entry->failure);
	}
	print_hooks(report);
}

/* ---- for programs ---- */

struct json {
	struct pn_buffer text;
	bool is_cut; /* there is more than it may hold */
};

static void add(struct json *json, const char *text)
{
	json->is_cut |= pn_buffer_append(&json->text, pn_slice_of(text)) != PN_OK;
}

static void add_string(struct json *json, const char *name, const char *value)
{
	add(json, name);
	json->is_cut |= pn_json_append_string(&json->text, pn_slice_of(value)) != PN_OK;
}

static void add_report(struct json *json, const char *path, const struct pn_trial_report *report)
{
	add_string(json, "{\"spec\":", path);
	add(json, ",\"cases\":[");
	for (const struct pn_trial_case *entry = report->cases; entry != NULL;
	     entry = entry->next) {
		add_string(json,
		           entry == report->cases ? "{\"name\":" : ",{\"name\":", entry->name);
		add(json, entry->failure == NULL ? ",\"ok\":true" : ",\"ok\":false");
		if (entry->failure != NULL)
			add_string(json, ",\"failure\":", entry->failure);
		add(json, "}");
	}
	add(json, "],\"hooks\":[");
	for (const struct pn_trial_hook *hook = report->hooks; hook != NULL; hook = hook->next) {
		char calls[32];

		add_string(json,
		           hook == report->hooks ? "{\"policy\":" : ",{\"policy\":", hook->policy);
		add_string(json, ",\"hook\":", hook->label);
		add_string(json, ",\"stage\":", pn_stage_name(hook->stage));
		snprintf(calls, sizeof(calls), ",\"calls\":%zu}", hook->calls);
		add(json, calls);
	}
	add(json, "]}");
}

static int run_specs(const struct spec_list *specs, bool as_json)
{
	size_t passed = 0, failed = 0;
	struct json json = {.is_cut = false};

	pn_buffer_init(&json.text, JSON_MAX);
	for (size_t index = 0; index < specs->count; index++) {
		struct pn_trial_report report = {.arena = pn_arena_new()};

		pn_trial_run_spec(specs->paths[index], &report);
		if (as_json) {
			add(&json, index == 0 ? "" : ",");
			add_report(&json, specs->paths[index], &report);
		} else {
			print_report(specs->paths[index], &report);
		}
		passed += report.passed;
		failed += report.failed;
		pn_arena_free(&report.arena);
	}
	if (as_json && json.is_cut)
		fprintf(stderr,
		        "postern: what the specs say has more than %d MiB: run fewer at once\n",
		        JSON_MAX / 1024 / 1024);
	else if (as_json)
		printf("{\"passed\":%zu,\"failed\":%zu,\"specs\":[%.*s]}\n", passed, failed,
		       PN_SLICE_ARGS(pn_buffer_slice(&json.text)));
	else
		printf("# %zu passed, %zu failed\n", passed, failed);
	pn_buffer_clear(&json.text);
	return failed == 0 && !json.is_cut ? 0 : 1;
}

static int test(const struct pn_arguments *arguments)
{
	struct spec_list specs = {.count = 0};
	struct pn_error error;
	bool is_right = true;
	int status = 1;

	for (int index = 1; index < arguments->word_count; index++)
		is_right = add_specs(&specs, arguments->words[index]) && is_right;
	if (arguments->word_count == 1)
		is_right = add_specs(&specs, ".");
	if (is_right && pn_trial_start(&error) != PN_OK) {
		fprintf(stderr, "postern: %s\n", error.text);
		is_right = false;
	}
	if (is_right) {
		status = run_specs(&specs, arguments->json);
		pn_trial_stop();
	}
	while (specs.count > 0)
		free(specs.paths[--specs.count]);
	return status;
}

int pn_command_policy(const struct pn_arguments *arguments)
{
	if (arguments->word_count >= 1 && strcmp(arguments->words[0], "test") == 0 &&
	    !arguments->help)
		return test(arguments);
	fputs("usage: postern policy test [SPEC.lua | DIRECTORY …] [--json]\n"
	      "\n"
	      "Runs the cases of each spec against the policy that it names, with a client, DNS\n"
	      "and a clock that the spec makes up. Without a name: every NAME.spec.lua here.\n",
	      arguments->help ? stdout : stderr);
	return arguments->help ? 0 : 2;
}
