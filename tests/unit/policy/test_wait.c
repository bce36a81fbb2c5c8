/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks that wait: DNS, sleep, and sessions that end meanwhile. */
#include "harness.h"

#include <stdio.h>

#include "../exact.h"

static struct harness harness;

static struct fake_call *start_limited(const char *body, const struct harness_limits *limits)
{
	char text[4096];

	snprintf(text, sizeof(text), "on(\"connection.open\", function(session) %s\nend)", body);
	harness_load_limited(&harness, text, limits);
	ck_assert_msg(harness.set != NULL, "%s", harness.error.text);
	fake_dns("found.test", PN_DNS_A, PN_DNS_FOUND, "192.0.2.7", 0);
	fake_dns("found.test", PN_DNS_A, PN_DNS_FOUND, "192.0.2.8", 0);
	fake_dns("mail.test", PN_DNS_MX, PN_DNS_FOUND, "second.test", 20);
	fake_dns("mail.test", PN_DNS_MX, PN_DNS_FOUND, "first.test", 10);
	fake_dns("empty.test", PN_DNS_A, PN_DNS_NO_DATA, NULL, 0);
	fake_dns("broken.test", PN_DNS_A, PN_DNS_TROUBLE, NULL, 0);
	return fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);
}

static struct fake_call *start(const char *body)
{
	return start_limited(body, &(struct harness_limits){.cpu_ms = 0});
}

static void expect(const struct fake_call *call, const char *outcome)
{
	char room[600];

	ck_assert_str_eq(fake_outcome(call, room, sizeof(room)), outcome);
}

START_TEST(dns_lookup_waits_and_returns_values)
{
	struct fake_call *call = start("local l, why = dns.lookup(\"found.test\", \"A\")\n"
	                               "assert(why == nil and #l == 2 and l[1] == \"192.0.2.7\")\n"
	                               "return reject(550, nil, l[2])");

	ck_assert_int_eq(call->verdict, PN_VERDICT_PENDING);
	ck_assert(!call->was_answered);
	ck_assert_uint_ge(fake_deliver(), 2);
	ck_assert(call->was_answered);
	expect(call, "reject 550  192.0.2.8");
	harness_free(&harness);
}
END_TEST

START_TEST(dns_lookup_says_why_there_is_nothing)
{
	struct fake_call *call = start("local reasons = {}\n"
	                               "for _, name in ipairs { \"empty.test\", \"none.test\", "
	                               "\"broken.test\", \"a b\", \"\", \"\\xc3\\xa4.test\" } do\n"
	                               "  local list, why = dns.lookup(name, \"A\")\n"
	                               "  assert(list == nil) reasons[#reasons + 1] = why\n"
	                               "end\n"
	                               "return reject(550, nil, table.concat(reasons, \" \"))");

	fake_deliver();
	expect(call, "reject 550  no_data no_name trouble no_name no_name no_name");
	harness_free(&harness);
}
END_TEST

START_TEST(mx_comes_by_preference)
{
	struct fake_call *call = start("local l = dns.lookup(\"mail.test\", \"MX\")\n"
	                               "local r = dns.records(\"mail.test\", \"MX\")\n"
	                               "assert(r[1].priority == 10 and r.secure == false)\n"
	                               "return reject(550, nil, l[1] .. \" \" .. r[2].value)");

	fake_deliver();
	expect(call, "reject 550  first.test second.test");
	harness_free(&harness);
}
END_TEST

START_TEST(an_unknown_type_is_an_error)
{
	expect(start("dns.lookup(\"found.test\", \"TXX\")"),
	       "failed: test.lua:1: dns: there is no type \"TXX\"; did you mean \"TXT\"?");
	harness_free(&harness);
}
END_TEST

START_TEST(sleep_waits_for_its_time)
{
	struct fake_call *call = start("local t = clock.monotonic() sleep(\"100ms\")\n"
	                               "assert(clock.monotonic() - t >= 0.1) return drop()");

	fake_advance(99);
	ck_assert_int_eq(call->verdict, PN_VERDICT_PENDING);
	fake_advance(1);
	expect(call, "drop");
	harness_free(&harness);
}
END_TEST

START_TEST(waiting_works_inside_pcall_and_iterators)
{
	struct fake_call *call = start(
		"local ok, l = pcall(dns.lookup, \"found.test\", \"A\")\n"
		"assert(ok and #l == 2)\n"
		"local ok, e = pcall(function() sleep(\"1ms\") error(\"x\", 0) end)\n"
		"assert(not ok and e == \"x\")\n"
		"local t = setmetatable({}, { __pairs = function(t) sleep(\"1ms\") return next, "
		"{ 1 } end })\n"
		"for k in pairs(t) do return drop() end");

	fake_advance(1000);
	fake_advance(1000);
	fake_advance(1000);
	expect(call, "drop");
	harness_free(&harness);
}
END_TEST

START_TEST(waiting_in_a_callback_is_refused_with_words)
{
	expect(start("string.gsub(\"x\", \"x\", function() sleep(\"1ms\") end)"),
	       "failed: test.lua:1: nothing can be waited for here: inside a function that was "
	       "given "
	       "to a library function, or in a metamethod");
	harness_free(&harness);
}
END_TEST

START_TEST(many_hooks_wait_at_once)
{
	struct fake_call *calls[300];
	struct pn_session *session;

	start("");
	harness_free(&harness);
	start("sleep(session.id == \"\" and \"1ms\" or \"50ms\") local l = "
	      "dns.lookup(\"found.test\", \"A\") return reject(550, nil, l[1])");
	session = fake_session();
	for (int index = 0; index < 300; index++)
		calls[index] = fake_run(&harness.hooks[0], session, NULL, NULL, NULL);
	fake_advance(50);
	for (int index = 0; index < 300; index++)
		expect(calls[index], "reject 550  192.0.2.7");
	harness_free(&harness);
}
END_TEST

START_TEST(a_session_that_ends_takes_its_hook_along)
{
	struct fake_call *call = start("dns.lookup(\"found.test\", \"A\")\n"
	                               "log.info(\"must not run\" .. session.peer)");

	fake_abandon(call);
	fake_deliver();
	ck_assert_str_eq(fake_log(), "");
	ck_assert_uint_eq(fake_open_tickets(), 0);
	harness_free(&harness);
}
END_TEST

START_TEST(a_set_that_is_freed_forgets_who_waits)
{
	struct fake_call *call = start("sleep(\"5s\") log.info(\"must not run\")");

	fake_abandon(call);
	pn_policy_free(harness.set);
	ck_assert_uint_eq(fake_open_tickets(), 0);
	fake_advance(10000);
	ck_assert_str_eq(fake_log(), "");
}
END_TEST

START_TEST(an_error_after_waiting_fails_the_hook)
{
	struct fake_call *call = start("sleep(\"5ms\")\nerror(\"late\")");

	fake_advance(5);
	ck_assert(call->was_answered);
	expect(call, "failed: test.lua:2: late");
	harness_free(&harness);
}
END_TEST

START_TEST(the_budget_counts_on_after_waiting)
{
	struct fake_call *call;
	double before;

	call = start_limited("for i = 1, 1000000 do sleep(\"1ms\") for j = 1, 100000 do end end",
	                     &(struct harness_limits){.cpu_ms = 200});
	before = cpu_ms();
	while (call->verdict == PN_VERDICT_PENDING)
		fake_advance(1);
	ck_assert_msg(strstr(call->failure, "used more than 200 ms of processor time") != NULL,
	              "%s", call->failure);
	ck_assert(cpu_ms() - before < 1000);
	harness_free(&harness);
}
END_TEST

Suite *wait_suite(void)
{
	const TTest *const tests[] = {
		dns_lookup_waits_and_returns_values,
		dns_lookup_says_why_there_is_nothing,
		mx_comes_by_preference,
		an_unknown_type_is_an_error,
		sleep_waits_for_its_time,
		waiting_works_inside_pcall_and_iterators,
		waiting_in_a_callback_is_refused_with_words,
		many_hooks_wait_at_once,
		a_session_that_ends_takes_its_hook_along,
		a_set_that_is_freed_forgets_who_waits,
		an_error_after_waiting_fails_the_hook,
		the_budget_counts_on_after_waiting,
		NULL,
	};

	return suite_of("waiting", tests);
}
