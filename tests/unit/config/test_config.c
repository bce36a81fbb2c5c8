/* SPDX-License-Identifier: Apache-2.0 */
/* What a good configuration file becomes. */
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../exact.h"

static const char example[] =
	"hostname = \"mx.example.org\"\n"
	"data_directory = \"/var/lib/postern\"\n"
	"listen { \"0.0.0.0:25\", \"[::]:25\", to = \"mx\" }\n"
	"listen { \"127.0.0.1:993\", to = \"reader\", tls = \"implicit\" }\n"
	"certificate { \"fullchain.pem\", key = \"/keys/key.pem\" }\n"
	"domain \"Example.ORG\" { store = \"local\" }\n"
	"module \"first\" { as = \"mx\", max_message_size = \"50M\", on = true, words = {\"a\", "
	"\"b\"} }\n"
	"module \"second\" { as = \"reader\" }\n"
	"module \"store_local\" { as = \"local\" }\n"
	"module \"auth_file\" { path = data_directory .. \"/users\" }\n"
	"policy \"antispam.lua\"\n"
	"policy { \"/p/customer.lua\", allow = { \"dns\" }, cpu = \"20ms\", memory = \"32M\" }\n";

START_TEST(reads_listeners)
{
	struct pn_config *config = good_config(example);

	ck_assert_uint_eq(config->listener_count, 3);
	ck_assert_str_eq(config->listeners[0].address, "0.0.0.0:25");
	ck_assert_str_eq(config->listeners[1].address, "[::]:25");
	ck_assert_str_eq(config->listeners[1].to, "mx");
	ck_assert_int_eq(config->listeners[1].tls, PN_LISTEN_STARTTLS);
	ck_assert_int_eq(config->listeners[2].tls, PN_LISTEN_IMPLICIT);
	ck_assert_int_eq(config->listeners[2].line, 4);
	pn_config_free(&config);
	ck_assert_ptr_null(config);
}
END_TEST

START_TEST(reads_certificates_relative_to_the_file)
{
	struct pn_config *config = good_config(example);

	ck_assert_uint_eq(config->certificate_count, 1);
	ck_assert_str_eq(config->certificates[0].chain_path, "/etc/postern/fullchain.pem");
	ck_assert_str_eq(config->certificates[0].key_path, "/keys/key.pem");
	pn_config_free(&config);
}
END_TEST

START_TEST(reads_domains_in_lower_case)
{
	struct pn_config *config = good_config(example);

	ck_assert_uint_eq(config->domain_count, 1);
	ck_assert_str_eq(config->domains[0].name, "example.org");
	ck_assert_str_eq(config->domains[0].store, "local");
	ck_assert_ptr_null(config->domains[0].directory);
	pn_config_free(&config);
}
END_TEST

START_TEST(reads_modules_with_their_settings)
{
	struct pn_config *config = good_config(example);
	const struct pn_config_module *module = &config->modules[0];
	const struct pn_setting *rows = module->settings.rows;

	ck_assert_uint_eq(config->module_count, 4);
	ck_assert_str_eq(module->name, "first");
	ck_assert_str_eq(module->as, "mx");
	ck_assert_str_eq(module->settings.what, "module \"first\" (mx)");
	ck_assert_str_eq(module->settings.directory, "/etc/postern");
	ck_assert_uint_eq(module->settings.count, 3);
	ck_assert_str_eq(rows[0].name, "max_message_size");
	ck_assert_str_eq(rows[0].text, "50M");
	ck_assert_int_eq(rows[0].kind, PN_SETTING_TEXT);
	ck_assert_str_eq(rows[1].name, "on");
	ck_assert_int_eq(rows[1].kind, PN_SETTING_BOOL);
	ck_assert_str_eq(rows[1].text, "yes");
	ck_assert_int_eq(rows[2].kind, PN_SETTING_LIST);
	ck_assert_uint_eq(rows[2].item_count, 2);
	ck_assert_str_eq(rows[2].items[1], "b");
	ck_assert_str_eq(config->modules[3].as, "auth_file");
	ck_assert_str_eq(config->modules[3].settings.rows[0].text, "/var/lib/postern/users");
	pn_config_free(&config);
}
END_TEST

START_TEST(reads_policies_with_defaults_and_limits)
{
	struct pn_config *config = good_config(example);

	ck_assert_uint_eq(config->policy_count, 2);
	ck_assert_str_eq(config->policies[0].path, "/etc/postern/antispam.lua");
	ck_assert_str_eq(config->policies[0].label, "antispam.lua");
	ck_assert_ptr_null(config->policies[0].allow[0]);
	ck_assert_uint_eq(config->policies[0].cpu_ms, config->settings.policy_cpu);
	ck_assert_uint_eq(config->policies[0].memory_bytes, config->settings.policy_memory);
	ck_assert_uint_eq(config->policies[0].wall_ms, config->settings.hook_wall_budget);
	ck_assert_str_eq(config->policies[1].allow[0], "dns");
	ck_assert_uint_eq(config->policies[1].cpu_ms, 20);
	ck_assert_uint_eq(config->policies[1].memory_bytes, 32 * 1024 * 1024);
	ck_assert_int_eq(config->policies[1].line, 12);
	pn_config_free(&config);
}
END_TEST

START_TEST(policy_defaults_may_stand_below_the_policy)
{
	struct pn_config *config = good_config("policy \"a.lua\"\npolicy_cpu = \"7ms\"\n");

	ck_assert_uint_eq(config->policies[0].cpu_ms, 7);
	pn_config_free(&config);
}
END_TEST

START_TEST(mentions_need_no_table)
{
	struct pn_config *config =
		good_config("module \"a\"\nmodule \"b\" {}\ndomain \"x.test\"\n");

	ck_assert_uint_eq(config->module_count, 2);
	ck_assert_uint_eq(config->domain_count, 1);
	pn_config_free(&config);
}
END_TEST

START_TEST(loops_and_locals_are_fine)
{
	struct pn_config *config =
		good_config("local base = 2000\n"
	                    "for index = 1, 3 do\n"
	                    "  listen { \"127.0.0.1:\" .. base + index, to = \"x\" }\n"
	                    "end\n"
	                    "module \"x\" {}\n");

	ck_assert_uint_eq(config->listener_count, 3);
	ck_assert_str_eq(config->listeners[2].address, "127.0.0.1:2003");
	pn_config_free(&config);
}
END_TEST

START_TEST(environment_gives_text_or_number)
{
	struct pn_config *config;

	setenv("POSTERN_TEST_OFFSET", "100", 1);
	setenv("POSTERN_TEST_DATA", "/somewhere", 1);
	unsetenv("POSTERN_TEST_NONE");
	config = good_config("local offset = environment(\"POSTERN_TEST_OFFSET\", 0)\n"
	                     "local none = environment(\"POSTERN_TEST_NONE\", 7)\n"
	                     "data_directory = environment(\"POSTERN_TEST_DATA\", \"x\")\n"
	                     "listen { \"127.0.0.1:\" .. 2025 + offset + none, to = \"x\" }\n"
	                     "module \"x\"\n");
	ck_assert_str_eq(config->listeners[0].address, "127.0.0.1:2132");
	ck_assert_str_eq(config->settings.data_directory, "/somewhere");
	pn_config_free(&config);
}
END_TEST

START_TEST(an_empty_file_has_the_defaults)
{
	struct pn_config *config = good_config("");

	ck_assert_str_eq(config->settings.data_directory, "/var/lib/postern");
	ck_assert_str_eq(config->settings.control_socket, "/var/lib/postern/control.sock");
	ck_assert_str_ne(config->settings.hostname, "");
	ck_assert_uint_eq(config->listener_count, 0);
	pn_config_free(&config);
}
END_TEST

START_TEST(the_digest_is_that_of_the_bytes)
{
	struct pn_config *config = good_config("");

	ck_assert_str_eq(config->digest,
	                 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	pn_config_free(&config);
}
END_TEST

START_TEST(reads_a_file)
{
	char path[] = "/tmp/postern-config-XXXXXX";
	int file = mkstemp(path);
	struct pn_config *config = NULL;
	struct pn_error error;

	ck_assert_int_eq(write(file, example, strlen(example)), strlen(example));
	close(file);
	ck_assert_int_eq(pn_config_read(path, &config, &error), PN_OK);
	ck_assert_str_eq(config->file, path);
	ck_assert_str_eq(config->certificates[0].chain_path, "/tmp/fullchain.pem");
	pn_config_free(&config);
	unlink(path);
	ck_assert_int_eq(pn_config_read(path, &config, &error), PN_FAILED);
	ck_assert_ptr_nonnull(strstr(error.text, path));
	ck_assert_int_eq(pn_config_read("/tmp", &config, &error), PN_FAILED);
}
END_TEST

Suite *config_suite(void)
{
	const TTest *const tests[] = {
		reads_listeners,
		reads_certificates_relative_to_the_file,
		reads_domains_in_lower_case,
		reads_modules_with_their_settings,
		reads_policies_with_defaults_and_limits,
		policy_defaults_may_stand_below_the_policy,
		mentions_need_no_table,
		loops_and_locals_are_fine,
		environment_gives_text_or_number,
		an_empty_file_has_the_defaults,
		the_digest_is_that_of_the_bytes,
		reads_a_file,
		NULL,
	};

	return suite_of("config", tests);
}
