/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of core/policy. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../exact.h"

const char *harness_path(const char *path)
{
	static char room[512];
	const char *slash = strrchr(__FILE__, '/');

	snprintf(room, sizeof(room), "%.*s/../../../%s", (int)(slash - __FILE__), __FILE__, path);
	return room;
}

void harness_load_file(struct harness *harness, const char *path, const char *label,
                       const struct harness_limits *limits)
{
	static const char *const everything[] = {"cache", "dns", "http", NULL};
	struct pn_policy_file file = {
		.path = path,
		.label = label,
		.allow = limits->allow ? limits->allow : everything,
		.cpu_ms = limits->cpu_ms ? limits->cpu_ms : 200 * (SLOWER > 1 ? 5 : 1),
		.wall_ms = 30000,
		.memory_bytes = limits->memory_bytes ? limits->memory_bytes : 16 * 1024 * 1024,
		.file = "postern.lua",
		.line = 7};
	enum pn_status status;

	fake_reset();
	memset(harness, 0, sizeof(*harness));
	status = pn_policy_load(&file, 1, fake_cache(), 1, &harness->set, &harness->error);
	if (status == PN_OK)
		harness->hooks = pn_policy_hooks(harness->set, &harness->hook_count);
}

void harness_load_limited(struct harness *harness, const char *text,
                          const struct harness_limits *limits)
{
	char path[] = "/tmp/postern-policy-XXXXXX";
	int file = mkstemp(path);

	ck_assert_int_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
	close(file);
	harness_load_file(harness, path, "test.lua", limits);
	unlink(path);
}

void harness_load(struct harness *harness, const char *text)
{
	harness_load_limited(harness, text, &(struct harness_limits){0});
}

void harness_free(struct harness *harness)
{
	pn_policy_free(harness->set);
	harness->set = NULL;
	ck_assert_uint_eq(fake_open_tickets(), 0);
}

const char *outcome_of(const char *text)
{
	static char room[600];
	struct harness harness;
	struct fake_call *call;

	harness_load(&harness, text);
	if (harness.set == NULL) {
		snprintf(room, sizeof(room), "refused: %s", harness.error.text);
		return room;
	}
	call = fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);
	while (call->verdict == PN_VERDICT_PENDING)
		fake_advance(100000);
	fake_outcome(call, room, sizeof(room));
	fake_advance(0);
	harness_free(&harness);
	return room;
}

const char *outcome_of_body(const char *body)
{
	char text[8192];

	snprintf(text, sizeof(text), "on(\"connection.open\", function(session) %s\nend)", body);
	return outcome_of(text);
}

double cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int main(void)
{
	Suite *(*const suites[])(void) = {pattern_suite, library_suite, hook_suite,    handle_suite,
	                                  budget_suite,  wait_suite,    hostile_suite, shape_suite,
	                                  regex_suite,   lookup_suite,  http_suite,    churn_suite,
	                                  turns_suite,   NULL};

	return run_suites(suites);
}
