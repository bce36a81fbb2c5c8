/* SPDX-License-Identifier: Apache-2.0 */
/* What is refused, with which words. One row is one file. */
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../exact.h"

#define FILE_NAME "/etc/postern/postern.lua"

static const struct {
	const char *text;
	const char *error; /* behind the name of the file */
} refusals[] = {
	/* words */
	{"\nhostnam = \"x\"", ":2: unknown setting \"hostnam\"; did you mean \"hostname\"?"},
	{"lissten { }", ":1: unknown word \"lissten\"; did you mean \"listen\"?"},
	{"listen = 5", ":1: \"listen\" is no setting: write listen { … } without '='"},
	{"print(1)", ":1: unknown word \"print\""},
	{"string.rep(\"x\", 9)", ":1: unknown word \"string\""},
	{"hostname = \"a\"\nhostname = \"b\"", ":2: \"hostname\" is set already, at line 1"},
	{"hostname = nil", ":1: \"hostname\" has no value: a nil stands there"},
	{"hostname = function() end", ":1: \"hostname\" has no value: a function stands there"},
	{"hostname = \"a\\0b\"", ":1: the text of \"hostname\" has a NUL byte in it"},
	{"x = data_directory", ":1: \"data_directory\" is used here but not set above"},
	{"_ENV[1] = 2", ":1: this is no name"},
	{"max_sessions = { 1, x = 2 }",
         ":1: \"max_sessions\" must be a list, { \"a\", \"b\" }, without names or gaps"},
	/* syntax and runtime */
	{"hostname = \n", ":2: unexpected symbol near <eof>"},
	{"\n\nlocal x = nil + 1", ":3: attempt to perform arithmetic on a nil value"},
	{"\x1bLua", ":1: attempt to load a binary chunk (mode is 't')"},
	{"while true do end", ":1: the file runs for too long: is there a loop without end?"},
	{"local s = \"x\" while true do s = s .. 3 end",
         ":1: the file runs for too long: is there a loop without end?"},
	{"local s = \"x\" while true do s = s .. s end", ":1: the file takes too much memory"},
	{"local function f() return 1 + f() end f()", ":1: the file takes too much memory"},
	/* listen */
	{"listen \"x\"", ":1: write listen { \"0.0.0.0:25\", to = \"instance\" }"},
	{"listen { }", ":1: listen names no address"},
	{"listen { \"127.0.0.1:25\" }", ":1: listen does not say where to: to = \"instance\""},
	{"listen { 25, to = \"x\" }", ":1: an address must be a text, not a number"},
	{"listen { \"127.0.0.1:0\", to = \"x\" }",
         ":1: \"127.0.0.1:0\" is no address to listen on: the port must be a number from 1 to "
         "65535"},
	{"listen { \"127.0.0.1:65536\", to = \"x\" }",
         ":1: \"127.0.0.1:65536\" is no address to listen on: the port must be a number from 1 "
         "to 65535"},
	{"listen { \"localhost:25\", to = \"x\" }",
         ":1: \"localhost:25\" is no address to listen on: what stands before the port is no "
         "IPv4 address"},
	{"listen { \"[::g]:25\", to = \"x\" }",
         ":1: \"[::g]:25\" is no address to listen on: what stands in the brackets is no IPv6 "
         "address"},
	{"listen { \"25\", to = \"x\" }",
         ":1: \"25\" is no address to listen on: write \"192.0.2.1:25\", \"[2001:db8::1]:25\" or "
         "\"unix:/path\""},
	{"listen { \"unix:run/x\", to = \"x\" }",
         ":1: \"unix:run/x\" is no address to listen on: the path after \"unix:\" must be "
         "absolute"},
	{"module \"x\"\nlisten { \"1.2.3.4:25\", to = \"x\" }\nlisten {\n\"1.2.3.4:25\", to = "
         "\"x\" }",
         ":4: \"1.2.3.4:25\" is listened on already, at line 2"},
	{"listen { \"1.2.3.4:25\", two = \"x\" }",
         ":1: listen has no \"two\"; did you mean \"to\"?"},
	{"listen {\n  \"1.2.3.4:25\",\n  to = \"x\",\n  tls = \"implizit\",\n}",
         ":4: tls must be \"starttls\", \"implicit\" or \"never\", not \"implizit\"; did you "
         "mean \"implicit\"?"},
	{"module \"mx\"\nlisten { \"1.2.3.4:25\", to = \"mmx\" }",
         ":2: listen … to = \"mmx\": no module is mentioned as that; did you mean \"mx\"?"},
	{"module \"mx\"\nlisten { \"1.2.3.4:25\", to = \"mx\", tls = \"implicit\" }",
         ":2: \"1.2.3.4:25\" has tls = \"implicit\", and there is no certificate { … }"},
	{"listen { \"1.2.3.4:25\", nil, \"1.2.3.4:26\", to = \"x\" }",
         ":1: listen has a gap in its list"},
	/* certificate */
	{"certificate { \"a.pem\" }", ":1: certificate does not name its key: key = \"file\""},
	{"certificate { key = \"a\" }", ":1: certificate names one file, and key = another"},
	{"certificate { \"a\", key = \"b\" }\n",
         ":1: a certificate is named, and no listener uses TLS"},
	{"certificate { \"a\", key = \"b\" }\ncertificate { \"a\", key = \"c\" }",
         ":2: \"/etc/postern/a\" is named already, at line 1"},
	/* domain */
	{"domain \"-\"", ":1: \"-\" is no domain name"},
	{"domain { }", ":1: write domain \"name\" { … }"},
	{"domain \"a.test\" { }\ndomain \"A.test\" { }",
         ":2: domain \"a.test\" is mentioned already, at line 1"},
	{"domain \"a.test\" { store = \"x\" }",
         ":1: domain \"a.test\": no module is mentioned as \"x\""},
	{"domain \"a.test\" { sotre = \"x\" }",
         ":1: domain \"a.test\" has no \"sotre\"; did you mean \"store\"?"},
	{"domain \"a.test\" { store = 5 }", ":1: \"store\" must be a text"},
	{"local d = domain \"a.test\"\nd { }\nd { }", ":3: domain \"a.test\" has two tables"},
	/* module */
	{"module { }", ":1: write module \"name\" { … }"},
	{"module \"../x\"", ":1: \"../x\" is no name of a module"},
	{"module \"\"", ":1: \"\" is no name of a module"},
	{"module \"a\" { as = \"b/c\" }",
         ":1: \"b/c\" is no name for an instance: letters, digits, '_' and '-', at most 31"},
	{"module \"a\"\nmodule \"a\"",
         ":2: the instance \"a\" is there already, at line 1: give one of them another name with "
         "as = \"…\""},
	{"module \"a\" { \"value\" }", ":1: module \"a\" has a value without a name"},
	{"module \"a\" { x = { { } } }", ":1: the list \"x\" has a table in it"},
	{"module \"a\" { x = module }", ":1: \"x\" has no value: a function stands there"},
	/* policy */
	{"policy { }", ":1: policy names one file"},
	{"policy \"\"", ":1: policy names no file"},
	{"policy { \"a.lua\", \"b.lua\" }", ":1: policy names one file"},
	{"policy \"a.lua\"\npolicy \"a.lua\"",
         ":2: policy \"a.lua\" is mentioned already, at line 1"},
	{"policy { \"a.lua\", allow = \"dns\" }", ":1: allow must be a list: allow = { \"dns\" }"},
	{"policy { \"a.lua\",\n mode = \"shdow\" }",
         ":2: mode must be \"decide\", \"observe\" or \"shadow\""},
	{"policy { \"a.lua\",\n cpu = 20 }",
         ":2: cpu of a policy must be a duration from \"1ms\" to \"10s\""},
	{"policy { \"a.lua\", cpu = \"0ms\" }",
         ":1: cpu of a policy must be a duration from \"1ms\" to \"10s\""},
	{"policy { \"a.lua\", memory = \"1k\" }",
         ":1: memory of a policy must be a size from \"1M\" to \"1G\""},
	{"policy { \"a.lua\", alow = {} }", ":1: policy has no \"alow\"; did you mean \"allow\"?"},
	/* environment */
	{"hostname = environment(\"HOME\", \"x\")",
         ":1: only variables whose name begins with POSTERN_ can be read, not \"HOME\""},
	{"hostname = environment(\"POSTERN_TEST_NEVER_SET\")",
         ":1: POSTERN_TEST_NEVER_SET is not set and has no default here"},
	{"hostname = environment(\"POSTERN_TEST_WORD\", 5)",
         ":1: POSTERN_TEST_WORD must be a number, not \"word\""},
	{"hostname = environment(5, {})",
         ":1: write environment(\"POSTERN_NAME\", default), with a text or a number as default"},
	/* settings that need more than their row */
	{"\nhostname = \"not a name\"", ":2: hostname \"not a name\" is no domain name"},
	{"control = \"2080\"",
         ":1: control \"2080\" is no address to listen on: write \"192.0.2.1:25\", "
         "\"[2001:db8::1]:25\" or \"unix:/path\""},
	{"resolvers = { \"1.1.1.1\", \"dns.test\" }", ":1: resolver \"dns.test\" is no IP address"},
};

enum { REFUSALS = sizeof(refusals) / sizeof(refusals[0]) };

START_TEST(refuses_with_file_line_and_remedy)
{
	const char *text = refusals[_i].text;
	const char *wanted = refusals[_i].error;
	const char *error;

	setenv("POSTERN_TEST_WORD", "word", 1);
	error = refusal_of(text);
	ck_assert_msg(strncmp(error, FILE_NAME, strlen(FILE_NAME)) == 0 &&
	                      strncmp(error + strlen(FILE_NAME), wanted, strlen(wanted)) == 0,
	              "for %s\nwanted %s\ngot    %s", text, wanted, error);
}
END_TEST

START_TEST(a_wrong_value_of_a_setting_is_refused_with_its_line)
{
	ck_assert_ptr_nonnull(strstr(refusal_of("\n\nmax_sessions = \"many\""), FILE_NAME ":3:"));
	ck_assert_ptr_nonnull(strstr(refusal_of("\n\nmax_sessions = 0"), FILE_NAME ":3:"));
}
END_TEST

START_TEST(a_file_that_is_too_large_is_refused)
{
	struct pn_config *config = NULL;
	struct pn_error error = {0};
	char path[] = "/tmp/postern-config-XXXXXX";
	int file = mkstemp(path);

	ck_assert_int_eq(ftruncate(file, 1024 * 1024 + 1), 0);
	close(file);
	ck_assert_int_eq(pn_config_read(path, &config, &error), PN_FAILED);
	ck_assert_ptr_nonnull(strstr(error.text, "is larger than 1048576 bytes"));
	unlink(path);
}
END_TEST

Suite *refusal_suite(void)
{
	const TTest *const tests[] = {
		a_wrong_value_of_a_setting_is_refused_with_its_line,
		a_file_that_is_too_large_is_refused,
		NULL,
	};
	Suite *suite = suite_of("refusals", tests);
	TCase *rows = tcase_create("rows");

	tcase_set_timeout(rows, 60);
	tcase_add_loop_test(rows, refuses_with_file_line_and_remedy, 0, REFUSALS);
	suite_add_tcase(suite, rows);
	return suite;
}
