/* SPDX-License-Identifier: Apache-2.0 */
/* Attaching hooks, running them, and what they may return. */
#include "harness.h"

#include <stdio.h>

#include "../exact.h"

START_TEST(hooks_carry_stage_label_and_options)
{
	struct harness harness;
	const struct pn_chain_hook *hook;

	harness_load(&harness, "on(\"envelope.sender\", function() end)\n"
	                       "\n"
	                       "on(\"message.scan\", { order = \"late\", mode = \"shadow\",\n"
	                       "  on_error = \"reject\", budget = \"5s\", name = \"n\",\n"
	                       "  summary = \"Looks.\" }, function() end)\n");
	ck_assert_uint_eq(harness.hook_count, 2);
	ck_assert_int_eq(harness.hooks[0].stage, PN_STAGE_ENVELOPE_SENDER);
	hook = &harness.hooks[0].hook;
	ck_assert_str_eq(hook->label, "test.lua:1");
	ck_assert_str_eq(hook->module, "test.lua");
	ck_assert_int_eq(hook->order, 0);
	ck_assert_int_eq(hook->mode, PN_HOOK_DECIDE);
	ck_assert_int_eq(hook->on_error, PN_ON_ERROR_DEFAULT);
	ck_assert_uint_eq(hook->wall_budget_ms, 30000);
	hook = &harness.hooks[1].hook;
	ck_assert_int_eq(harness.hooks[1].stage, PN_STAGE_MESSAGE_SCAN);
	ck_assert_str_eq(hook->label, "test.lua:3");
	ck_assert_str_eq(hook->summary, "n: Looks.");
	ck_assert_int_eq(hook->order, PN_ORDER_LATE);
	ck_assert_int_eq(hook->mode, PN_HOOK_SHADOW);
	ck_assert_int_eq(hook->on_error, PN_ON_ERROR_REJECT);
	ck_assert_uint_eq(hook->wall_budget_ms, 5000);
	harness_free(&harness);
}
END_TEST

static const struct {
	const char *text;
	const char *error;
} refusals[] = {
	{"\non(\"envelope.recipent\", function() end)",
         "test.lua:2: on: there is no stage \"envelope.recipent\"; did you mean "
         "\"envelope.recipient\"?"},
	{"on(\"envelope.sender\")",
         "test.lua:1: bad argument #2 to 'on' (function expected, got nil)"},
	{"on(\"envelope.sender\", { odrer = 1 }, function() end)",
         "test.lua:1: on: unknown option \"odrer\"; did you mean \"order\"?"},
	{"on(\"envelope.sender\", { mode = \"shadwo\" }, function() end)",
         "test.lua:1: on: mode cannot be \"shadwo\"; did you mean \"shadow\"?"},
	{"on(\"envelope.sender\", { budget = 5 }, function() end)",
         "test.lua:1: on: budget must be a duration from \"1ms\" to \"10m\""},
	{"on(\"envelope.sender\", { budget = \"0s\" }, function() end)",
         "test.lua:1: on: budget must be a duration from \"1ms\" to \"10m\""},
	{"on(\"envelope.sender\", { 1 }, function() end)",
         "test.lua:1: on: options have names: { order = 10 }"},
	{"x = = 1", "test.lua:1: unexpected symbol near '='"},
	{"\n\nlocal x = nil .. 'a'", "test.lua:3: attempt to concatenate a nil value"},
	{"reject(200)",
         "test.lua:1: bad argument #1 to 'reject' (the code must be from 500 to 599)"},
	{"sting.rep('x', 1)", "test.lua:1: unknown word \"sting\"; did you mean \"string\"?"},
	{"string.uper('x')", "test.lua:1: string has no \"uper\"; did you mean \"upper\"?"},
	{"string.upper = 1", "test.lua:1: \"string\" belongs to the gateway and cannot be changed"},
	{"on = 1", "test.lua:1: \"on\" belongs to the gateway and cannot be changed"},
	{"local x <close> = nil", "test.lua:1: <close> is not available in policies"},
	{"sleep('1s')",
         "test.lua:1: nothing can be waited for while a policy file is read; do it in a hook"},
	{"while true do end", "test.lua:1: used more than 1000 ms of processor time"},
	{"\x1bLua", "test.lua: attempt to load a binary chunk (mode is 't')"},
	{"error({})", "test.lua:1: raised an error that is no text"},
};

START_TEST(files_are_refused_with_place_and_remedy)
{
	struct harness harness;

	harness_load(&harness, refusals[_i].text);
	ck_assert_ptr_null(harness.set);
	ck_assert_msg(strncmp(harness.error.text, refusals[_i].error, strlen(refusals[_i].error)) ==
	                      0,
	              "for %s\nwanted %s\ngot    %s", refusals[_i].text, refusals[_i].error,
	              harness.error.text);
}
END_TEST

START_TEST(dns_must_be_allowed)
{
	static const char *const nothing[] = {NULL};
	static const char *const typo[] = {"dnz", NULL};
	struct harness harness;

	harness_load_limited(&harness, "local x = dns.lookup",
	                     &(struct harness_limits){.allow = nothing});
	ck_assert_str_eq(
		harness.error.text,
		"test.lua:1: this policy is not allowed \"dns\": write allow = { \"dns\" } "
		"where it is mentioned");
	harness_load_limited(&harness, "", &(struct harness_limits){.allow = typo});
	ck_assert_str_eq(harness.error.text,
	                 "postern.lua:7: policy \"test.lua\" is allowed \"dnz\", which nothing "
	                 "offers; did you mean \"dns\"?");
}
END_TEST

START_TEST(a_missing_file_is_named_with_its_mention)
{
	struct harness harness;

	harness_load_file(&harness, "/nonexistent/x.lua", "x.lua", &(struct harness_limits){0});
	ck_assert_str_eq(harness.error.text, "postern.lua:7: policy: cannot read "
	                                     "/nonexistent/x.lua: No such file or directory");
}
END_TEST

static const struct {
	const char *stage;
	const char *body;
	const char *outcome;
} verdicts[] = {
	{"connection.open", "", "continue"},
	{"connection.open", "return nil", "continue"},
	{"connection.open", "return continue()", "continue"},
	{"connection.open", "return accept()", "accept"},
	{"connection.open", "return drop()", "drop"},
	{"connection.open", "return reject()", "reject"},
	{"connection.open", "return reject(550)", "reject 550  refused by policy"},
	{"connection.open", "return reject(550, \"5.7.1\", \"no\")", "reject 550 5.7.1 no"},
	{"connection.open", "return reject(554, nil, \"no\")", "reject 554  no"},
	{"connection.open", "return defer(451, \"4.7.1\", \"later\")", "defer 451 4.7.1 later"},
	{"connection.open", "return defer()", "defer"},
	{"envelope.sender", "return discard(\"why\")", "discard why"},
	{"envelope.sender", "return quarantine(\"Junk\")", "quarantine Junk"},
	{"envelope.sender", "return quarantine()", "quarantine"},
	{"envelope.sender", "return hold()", "hold"},
	{"envelope.recipient", "return redirect(\"a@b.test\")", "redirect a@b.test"},
	{"envelope.recipient", "return greylist()", "greylist"},
	{"connection.open", "return reject(450)",
         "failed: test.lua:1: bad argument #1 to 'reject' (the code must be from 500 to 599)"},
	{"connection.open", "return defer(550)",
         "failed: test.lua:1: bad argument #1 to 'defer' (the code must be from 400 to 499)"},
	{"connection.open", "return reject(550, \"4.7.1\")",
         "failed: test.lua:1: bad argument #2 to 'reject' (the enhanced code must look like "
         "\"5.7.1\")"},
	{"connection.open", "return reject(550, \"5.7\")",
         "failed: test.lua:1: bad argument #2 to 'reject' (the enhanced code must look like "
         "\"5.7.1\")"},
	{"connection.open", "return reject(550, \"5.7.1.\")",
         "failed: test.lua:1: bad argument #2 to 'reject' (the enhanced code must look like "
         "\"5.7.1\")"},
	{"connection.open", "return reject(550, nil, \"two\\r\\nlines\")",
         "failed: test.lua:1: bad argument #3 to 'reject' (the text has a control character in "
         "it)"},
	{"connection.open", "return reject(550, nil, (\"x\"):rep(256))",
         "failed: test.lua:1: bad argument #3 to 'reject' (the text is longer than 255 bytes)"},
	{"connection.open", "return reject(nil, nil, \"x\")",
         "failed: test.lua:1: bad argument #1 to 'reject' (a reply needs its code)"},
	{"envelope.sender", "return discard()",
         "failed: test.lua:1: bad argument #1 to 'discard' (string expected, got nil)"},
	{"envelope.recipient", "return redirect(\"\")",
         "failed: test.lua:1: bad argument #1 to 'redirect' (the address is empty)"},
	/* what is no verdict */
	{"connection.open", "return true",
         "failed: test.lua:1: a hook returns a verdict or nothing, not a boolean"},
	{"connection.open", "return \"reject\"",
         "failed: test.lua:1: a hook returns a verdict or nothing, not a string"},
	{"connection.open", "return {}",
         "failed: test.lua:1: a hook returns a verdict or nothing, not a table"},
	{"connection.open", "return session",
         "failed: test.lua:1: a hook returns a verdict or nothing, not a session"},
	{"connection.open", "return reject",
         "failed: test.lua:1: a hook returns a verdict or nothing, not a function"},
	{"connection.open", "reject(550)",
         "failed: test.lua:1: a verdict was made here and not returned: write `return` before "
         "it"},
	/* what the stage does not know */
	{"connection.open", "return hold()",
         "failed: test.lua:1: connection.open does not know the verdict hold"},
	{"message.scan", "return reject(550)",
         "failed: test.lua:1: message.scan does not know the verdict reject"},
	{"connection.close", "return accept()",
         "failed: test.lua:1: connection.close does not know the verdict accept"},
	/* errors */
	{"connection.open", "local x = nil + 1",
         "failed: test.lua:1: attempt to perform arithmetic on a nil value"},
	{"connection.open", "error(\"deliberate\")", "failed: test.lua:1: deliberate"},
	{"connection.open", "error(\"deliberate\", 0)", "failed: test.lua:1: deliberate"},
	{"connection.open", "error()", "failed: test.lua:1: raised an error that is no text"},
	{"connection.open", "error(setmetatable({}, { __tostring = error }))",
         "failed: test.lua:1: raised an error that is no text"},
};

START_TEST(a_hook_gives_its_verdict)
{
	char text[1024];

	snprintf(text, sizeof(text), "on(\"%s\", function(session, other) %s end)",
	         verdicts[_i].stage, verdicts[_i].body);
	ck_assert_msg(strcmp(outcome_of(text), verdicts[_i].outcome) == 0,
	              "for %s\nwanted %s\ngot    %s", verdicts[_i].body, verdicts[_i].outcome,
	              outcome_of(text));
}
END_TEST

START_TEST(a_verdict_may_be_made_when_the_file_is_read)
{
	ck_assert_str_eq(outcome_of("local refuse = reject(550, \"5.7.1\", \"no\")\n"
	                            "on(\"connection.open\", function() return refuse end)"),
	                 "reject 550 5.7.1 no");
}
END_TEST

START_TEST(hooks_cannot_be_attached_by_hooks)
{
	ck_assert_str_eq(outcome_of_body("on(\"connection.open\", function() end)"),
	                 "failed: test.lua:1: on: hooks are attached when the file is read, not by "
	                 "a hook");
}
END_TEST

START_TEST(hooks_cannot_make_globals)
{
	ck_assert_str_eq(outcome_of_body("count = 1"),
	                 "failed: test.lua:1: \"count\" is not local: a hook cannot make globals, "
	                 "they would be shared by all sessions");
	ck_assert_str_eq(outcome_of("limit = 5\n"
	                            "on(\"connection.open\", function() if limit == 5 then return "
	                            "drop() end end)"),
	                 "drop");
}
END_TEST

START_TEST(two_files_share_nothing)
{
	struct harness first, second;

	harness_load(&first, "shared = 1 on(\"connection.open\", function() end)");
	harness_load(&second, "on(\"connection.open\", function() return shared and drop() end)");
	struct fake_call *call = fake_run(&second.hooks[0], fake_session(), NULL, NULL, NULL);
	char room[600];

	ck_assert_str_eq(fake_outcome(call, room, sizeof(room)),
	                 "failed: test.lua:1: unknown word \"shared\"");
	harness_free(&first);
	harness_free(&second);
}
END_TEST

START_TEST(log_lines_carry_their_place)
{
	outcome_of("on(\"connection.open\", function()\n log.warning(\"a \" .. 1) end)");
	ck_assert_str_eq(fake_log(), "3 policy test.lua:2 a 1\n");
}
END_TEST

START_TEST(many_runs_leave_nothing_behind)
{
	struct harness harness;
	struct pn_session *session;

	harness_load(&harness, "on(\"connection.open\", function(session)\n"
	                       "  if session.peer == \"x\" then return drop() end\n"
	                       "  local t = {} for i = 1, 10 do t[i] = session.hello .. i end\n"
	                       "end)");
	session = fake_session();
	for (int index = 0; index < 20000; index++) {
		struct fake_call *call = fake_run(&harness.hooks[0], session, NULL, NULL, NULL);

		require(call->verdict == PN_VERDICT_CONTINUE && call->failure[0] == '\0');
		if (index >= 4096) {
			pn_arena_free(&call->arena);
			free(call);
		}
	}
	harness_free(&harness);
}
END_TEST

Suite *hook_suite(void)
{
	const TTest *const tests[] = {
		hooks_carry_stage_label_and_options,
		dns_must_be_allowed,
		a_missing_file_is_named_with_its_mention,
		a_verdict_may_be_made_when_the_file_is_read,
		hooks_cannot_be_attached_by_hooks,
		hooks_cannot_make_globals,
		two_files_share_nothing,
		log_lines_carry_their_place,
		many_runs_leave_nothing_behind,
		NULL,
	};
	Suite *suite = suite_of("hooks", tests);
	TCase *rows = tcase_create("rows");

	tcase_set_timeout(rows, 60);
	tcase_add_loop_test(rows, files_are_refused_with_place_and_remedy, 0,
	                    sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_loop_test(rows, a_hook_gives_its_verdict, 0,
	                    sizeof(verdicts) / sizeof(verdicts[0]));
	suite_add_tcase(suite, rows);
	return suite;
}
