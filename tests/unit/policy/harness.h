/* SPDX-License-Identifier: Apache-2.0 */
/* Policies from texts, and the suites of this program. */
#ifndef TESTS_UNIT_POLICY_HARNESS_H
#define TESTS_UNIT_POLICY_HARNESS_H

#include <check.h>

#include "fake.h"
#include "policy/policy.h"

/* tests/policy and scripts, from the place of this file. */
const char *harness_path(const char *path);

struct harness {
	struct pn_policy_set *set;
	const struct pn_policy_hook *hooks;
	size_t hook_count;
	struct pn_error error; /* where set is NULL */
	char path[64];
};

#if defined(__SANITIZE_ADDRESS__)
#define SLOWER 10
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLOWER 10
#endif
#endif
#ifndef SLOWER
#define SLOWER 1 /* how much slower the program itself was made */
#endif

struct harness_limits {
	uint64_t cpu_ms;
	uint64_t memory_bytes;
	const char *const *allow;
};

/* Loads a policy from a text as "test.lua". Fresh world. */
void harness_load(struct harness *harness, const char *text);
void harness_load_limited(struct harness *harness, const char *text,
                          const struct harness_limits *limits);
/* The same for a file. */
void harness_load_file(struct harness *harness, const char *path, const char *label,
                       const struct harness_limits *limits);
void harness_free(struct harness *harness);

/* Runs the first hook of a text at connection.open, answers what it waits for, and gives the
 * outcome in one line (fake_outcome). */
const char *outcome_of(const char *text);

/* The same for a function body: `on("connection.open", function(session) BODY end)`. */
const char *outcome_of_body(const char *body);

/* Processor time of this thread so far. */
double cpu_ms(void);

Suite *pattern_suite(void);
Suite *library_suite(void);
Suite *hook_suite(void);
Suite *handle_suite(void);
Suite *budget_suite(void);
Suite *wait_suite(void);
Suite *hostile_suite(void);
Suite *shape_suite(void);
Suite *regex_suite(void);
Suite *lookup_suite(void);
Suite *http_suite(void);
Suite *churn_suite(void);
Suite *turns_suite(void);

#endif
