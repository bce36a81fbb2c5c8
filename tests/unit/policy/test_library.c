/* SPDX-License-Identifier: Apache-2.0 */
/* Lua libraries of modules: <postern/lualib.h>. */
#include "harness.h"

#include <lauxlib.h>
#include <postern/lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../exact.h"

/* A small module library: remembers nothing, knows its instance. */

static struct pn_ticket last_ticket;
static int instance_value = 42;

static int library_instance(lua_State *lua)
{
	lua_pushinteger(lua, *(int *)pn_lua_instance(lua));
	return 1;
}

static int library_spend(lua_State *lua)
{
	pn_lua_spend(lua, (uint64_t)luaL_checkinteger(lua, 1));
	return 0;
}

static int push_number(lua_State *lua, const struct pn_answer *answer)
{
	if (answer->status != PN_OK)
		return luaL_error(lua, "no answer in time");
	lua_pushinteger(lua, *(const int *)answer->result + *(int *)pn_lua_instance(lua));
	return 1;
}

static int library_wait(lua_State *lua)
{
	last_ticket = pn_lua_ticket(lua, 500);
	return pn_lua_wait(lua, last_ticket, push_number);
}

static int library_two_tickets(lua_State *lua)
{
	struct pn_ticket first = pn_lua_ticket(lua, 500);

	pn_lua_ticket(lua, 500);
	return pn_lua_wait(lua, first, push_number);
}

static int library_forget(lua_State *lua)
{
	last_ticket = pn_lua_ticket(lua, 500);
	return luaL_error(lua, "changed its mind");
}

static const struct pn_lua_function functions[] = {
	{"instance", "The number of the instance.", library_instance},
	{"spend", "Takes steps.", library_spend},
	{"wait", "Waits for a number.", library_wait},
	{"two_tickets", "Opens two tickets.", library_two_tickets},
	{"forget", "Opens a ticket and fails.", library_forget},
	{NULL, NULL, NULL},
};

static const struct pn_lua_library library = {
	.struct_size = sizeof(library),
	.function_size = sizeof(struct pn_lua_function),
	.name = "numbers",
	.functions = functions,
};

static const struct pn_module module = {.name = "numbers", .lua_library = &library};

static struct pn_policy_set *set;
static struct pn_error error;

static struct fake_call *start(const char *body, const char *allowed)
{
	struct pn_instance instance = {.module = &module, .name = "numbers"};
	static struct pn_instance kept;
	struct pn_instance_use use = {.instance = &kept};
	const char *const allow[] = {allowed, NULL};
	char path[] = "/tmp/postern-policy-XXXXXX", text[2048];
	struct pn_policy_file file = {.path = path,
	                              .label = "test.lua",
	                              .allow = allow,
	                              .cpu_ms = 50,
	                              .wall_ms = 1000,
	                              .memory_bytes = 4 * 1024 * 1024,
	                              .file = "postern.lua",
	                              .line = 3};
	int descriptor = mkstemp(path);
	const struct pn_policy_hook *hooks;
	size_t count;

	fake_reset();
	memset(&error, 0, sizeof(error));
	kept = instance;
	snprintf(text, sizeof(text), "on(\"connection.open\", function(session) %s\nend)", body);
	ck_assert_int_eq(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
	close(descriptor);
	set = NULL;
	if (pn_policy_load(&file, 1, &use, 1, &set, &error) != PN_OK) {
		unlink(path);
		return NULL;
	}
	unlink(path);
	kept.state = &instance_value; /* started after policies are read: it counts at the call */
	hooks = pn_policy_hooks(set, &count);
	return fake_run(&hooks[0], fake_session(), NULL, NULL, NULL);
}

static void expect(const struct fake_call *call, const char *outcome)
{
	char room[600];

	ck_assert_msg(call != NULL, "%s", error.text);
	ck_assert_str_eq(fake_outcome(call, room, sizeof(room)), outcome);
	pn_policy_free(set);
}

START_TEST(a_function_knows_its_instance)
{
	expect(start("if numbers.instance() == 42 then return drop() end", "numbers"), "drop");
}
END_TEST

START_TEST(a_library_must_be_allowed)
{
	expect(start("return numbers.instance()", "dns"),
	       "failed: test.lua:1: this policy is not allowed \"numbers\": write allow = { "
	       "\"numbers\" } where it is mentioned");
	ck_assert_ptr_null(start("", "numbes"));
	ck_assert_str_eq(error.text,
	                 "postern.lua:3: policy \"test.lua\" is allowed \"numbes\", which "
	                 "nothing offers; did you mean \"numbers\"?");
}
END_TEST

START_TEST(a_library_cannot_be_changed)
{
	expect(start("numbers.instance = 1", "numbers"),
	       "failed: test.lua:1: \"numbers\" belongs to the gateway and cannot be changed");
}
END_TEST

START_TEST(steps_of_a_library_count)
{
	expect(start("while true do pcall(numbers.spend, 1000000) end", "numbers"),
	       "failed: test.lua:1: used more than 50 ms of processor time");
}
END_TEST

START_TEST(a_library_waits_for_its_ticket_alone)
{
	static int number = 7;
	struct fake_call *call =
		start("local n = numbers.wait() return reject(500 + n)", "numbers");

	ck_assert_int_eq(call->verdict, PN_VERDICT_PENDING);
	ck_assert_uint_eq(fake_deliver(), 0);
	ck_assert(pn_ticket_answer(last_ticket, PN_ANSWER_CUSTOM, PN_OK, &number, NULL, NULL));
	fake_deliver();
	expect(call, "reject 549  refused by policy");
	ck_assert(!pn_ticket_answer(last_ticket, PN_ANSWER_CUSTOM, PN_OK, &number, NULL, NULL));
}
END_TEST

START_TEST(a_deadline_is_an_answer_too)
{
	struct fake_call *call = start("numbers.wait()", "numbers");

	fake_advance(500);
	expect(call, "failed: test.lua:1: no answer in time");
}
END_TEST

START_TEST(a_stale_answer_wakes_nobody)
{
	static int number = 7;
	struct fake_call *call =
		start("pcall(numbers.wait) sleep(\"5s\") return drop()", "numbers");

	fake_advance(500);
	ck_assert_int_eq(call->verdict, PN_VERDICT_PENDING);
	ck_assert(!pn_ticket_answer(last_ticket, PN_ANSWER_CUSTOM, PN_OK, &number, NULL, NULL));
	fake_deliver();
	ck_assert_int_eq(call->verdict, PN_VERDICT_PENDING);
	fake_advance(5000);
	expect(call, "drop");
}
END_TEST

START_TEST(only_the_last_ticket_can_be_waited_for)
{
	expect(start("numbers.two_tickets()", "numbers"),
	       "failed: test.lua:1: this is not the ticket that was opened last");
	ck_assert_uint_eq(fake_open_tickets(), 0);
}
END_TEST

START_TEST(a_ticket_that_nobody_waits_for_is_cancelled)
{
	expect(start("pcall(numbers.forget) return drop()", "numbers"), "drop");
	ck_assert_uint_eq(fake_open_tickets(), 0);
	ck_assert(!pn_ticket_is_open(last_ticket));
}
END_TEST

START_TEST(an_answer_to_a_forgotten_ticket_does_nothing)
{
	static int number = 7;
	struct fake_call *call =
		start("pcall(numbers.forget) sleep(\"1s\") return drop()", "numbers");

	pn_ticket_answer(last_ticket, PN_ANSWER_CUSTOM, PN_OK, &number, NULL, NULL);
	fake_deliver();
	ck_assert_int_eq(call->verdict, PN_VERDICT_PENDING);
	fake_advance(1000);
	expect(call, "drop");
}
END_TEST

Suite *library_suite(void)
{
	const TTest *const tests[] = {
		a_function_knows_its_instance,
		a_library_must_be_allowed,
		a_library_cannot_be_changed,
		steps_of_a_library_count,
		a_library_waits_for_its_ticket_alone,
		a_deadline_is_an_answer_too,
		a_stale_answer_wakes_nobody,
		only_the_last_ticket_can_be_waited_for,
		a_ticket_that_nobody_waits_for_is_cancelled,
		an_answer_to_a_forgotten_ticket_does_nothing,
		NULL,
	};

	return suite_of("module libraries", tests);
}
