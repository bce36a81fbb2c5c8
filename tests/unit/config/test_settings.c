/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the gateway's own settings. */
#include "suites.h"

#include <stdio.h>

#include "../exact.h"

START_TEST(the_table_is_right)
{
	struct pn_error error = {0};

	ck_assert_msg(pn_options_check_table(pn_gateway_options, sizeof(struct pn_option),
	                                     &error) == PN_OK,
	              "%s", error.text);
}
END_TEST

START_TEST(no_limit_takes_zero)
{
	for (const struct pn_option *option = pn_gateway_options;
	     option->type != PN_OPTION_TYPE_END; option++) {
		char text[128];

		if (option->type != PN_OPTION_TYPE_COUNT && option->type != PN_OPTION_TYPE_SIZE &&
		    option->type != PN_OPTION_TYPE_DURATION)
			continue;
		if (strcmp(option->name, "edge_workers") == 0)
			continue; /* 0: one for each processor */
		snprintf(text, sizeof(text), "%s = %s\n", option->name,
		         option->type == PN_OPTION_TYPE_DURATION ? "\"0s\"" : "0");
		ck_assert_ptr_nonnull(strstr(refusal_of(text), option->name));
	}
}
END_TEST

START_TEST(every_setting_can_be_given)
{
	struct pn_config *config = good_config("hostname = \"a.test\"\n"
	                                       "data_directory = \"data\"\n"
	                                       "user = \"mail\"\n"
	                                       "module_directories = { \"/m\" }\n"
	                                       "control = \"127.0.0.1:2080\"\n"
	                                       "control_socket = \"c.sock\"\n"
	                                       "edge_workers = 3\n"
	                                       "max_sessions_per_address = 5000\n"
	                                       "stop_grace = \"1s\"\n"
	                                       "history_size = \"2M\"\n"
	                                       "resolvers = { \"127.0.0.53\", \"::1\" }\n"
	                                       "log_level = \"debug\"\n");

	ck_assert_str_eq(config->settings.hostname, "a.test");
	ck_assert_str_eq(config->settings.data_directory, "/etc/postern/data");
	ck_assert_str_eq(config->settings.control_socket, "/etc/postern/c.sock");
	ck_assert_uint_eq(config->settings.edge_workers, 3);
	ck_assert_uint_eq(config->settings.stop_grace, 1000);
	ck_assert_uint_eq(config->settings.history_size, 2 * 1024 * 1024);
	ck_assert_uint_eq(config->settings.resolvers.count, 2);
	ck_assert_uint_eq(config->settings.log_level, 0);
	pn_config_free(&config);
}
END_TEST

Suite *settings_suite(void)
{
	const TTest *const tests[] = {
		the_table_is_right,
		no_limit_takes_zero,
		every_setting_can_be_given,
		NULL,
	};

	return suite_of("settings", tests);
}
