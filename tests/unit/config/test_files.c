/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration files that ship are good. */
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../exact.h"

static const char *const files[] = {"quickstart.lua", "postern.lua", "examples/lmtp_backend.lua",
                                    "examples/two_stores.lua"};

static struct pn_config *read_shipped(const char *name)
{
	char path[600];
	const char *slash = strrchr(__FILE__, '/');
	struct pn_config *config = NULL;
	struct pn_error error = {0};

	snprintf(path, sizeof(path), "%.*s/../../../conf/%s", (int)(slash - __FILE__), __FILE__,
	         name);
	ck_assert_msg(pn_config_read(path, &config, &error) == PN_OK, "%s", error.text);
	return config;
}

START_TEST(a_file_that_ships_is_good)
{
	struct pn_config *config;

	unsetenv("POSTERN_PORT_OFFSET");
	unsetenv("POSTERN_DATA");
	config = read_shipped(files[_i]);
	ck_assert_uint_gt(config->listener_count, 0);
	pn_config_free(&config);
}
END_TEST

START_TEST(the_quick_start_keeps_its_contract)
{
	static const char *const addresses[] = {"127.0.0.1:3525", "127.0.0.1:3587",
	                                        "127.0.0.1:3465", "127.0.0.1:3424",
	                                        "127.0.0.1:3110", "127.0.0.1:3995"};
	struct pn_config *config;

	setenv("POSTERN_PORT_OFFSET", "1000", 1);
	setenv("POSTERN_DATA", "/somewhere", 1);
	config = read_shipped("quickstart.lua");
	ck_assert_uint_ge(config->listener_count, 6);
	for (size_t index = 0; index < 6; index++)
		ck_assert_str_eq(config->listeners[index].address, addresses[index]);
	for (size_t index = 0; index < config->listener_count; index++)
		ck_assert_int_eq(strncmp(config->listeners[index].address, "127.0.0.1:", 10), 0);
	ck_assert_str_eq(config->settings.control, "127.0.0.1:3080");
	ck_assert_str_eq(config->settings.data_directory, "/somewhere");
	ck_assert_str_eq(config->domains[0].name, "example.test");
	ck_assert_uint_ge(config->settings.max_sessions_per_address, 1000);
	ck_assert_uint_eq(config->policy_count, 2);
	for (size_t index = 0; index < config->policy_count; index++)
		ck_assert_int_eq(access(config->policies[index].path, R_OK), 0);
	pn_config_free(&config);
}
END_TEST

START_TEST(the_reference_is_a_configuration_of_defaults)
{
	struct pn_config *config = read_shipped("reference.lua");

	ck_assert_uint_ge(config->module_count, 5);
	ck_assert_uint_eq(config->settings.max_sessions, 10000);
	pn_config_free(&config);
}
END_TEST

Suite *files_suite(void)
{
	const TTest *const tests[] = {the_quick_start_keeps_its_contract,
	                              the_reference_is_a_configuration_of_defaults, NULL};
	Suite *suite = suite_of("files", tests);
	TCase *cases = tcase_create("each");

	tcase_add_loop_test(cases, a_file_that_ships_is_good, 0, sizeof(files) / sizeof(files[0]));
	suite_add_tcase(suite, cases);
	return suite;
}
