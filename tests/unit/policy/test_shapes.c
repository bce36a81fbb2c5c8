/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bridge between Lua and C under every argument and under every shortage of
 * memory: what may happen is an error of Lua, and nothing else. Run it with
 * AddressSanitizer.
 */
#include "harness.h"

#include <postern/authentication.h>
#include <stdio.h>
#include <stdlib.h>

#include "../exact.h"
#include "policy/state.h"

enum { SEEDS = 300 }; /* of 400 calls each */

static const struct pn_credentials credentials = {
	.mechanism = "PLAIN", .identity = {"alice@example.org", 17}, .secret = {"sesame", 6}};

static void finish(const struct harness *harness)
{
	/* Whatever was waited for, until nobody waits. */
	for (int round = 0; round < 100 && fake_open_tickets() > 0; round++)
		fake_advance(1000000);
	for (size_t index = 0; index < harness->set->file_count; index++) {
		const struct policy_file *file = &harness->set->files[index];

		if (file->state != NULL) {
			ck_assert_ptr_null(file->state->waiting);
			ck_assert_int_eq(lua_gettop(file->state->lua), 0);
		}
	}
}

START_TEST(calls_of_every_shape_come_back)
{
	struct harness harness;
	char path[600];

	snprintf(path, sizeof(path), "%s", harness_path("tests/policy/shapes.lua"));
	harness_load_file(&harness, path, "shapes.lua", &(struct harness_limits){.cpu_ms = 1000});
	ck_assert_msg(harness.set != NULL, "%s", harness.error.text);
	for (uint16_t seed = 1; seed <= SEEDS; seed++) {
		struct pn_session *session = fake_session();
		struct pn_transaction *transaction = fake_transaction();
		struct pn_recipient *recipient =
			fake_add_recipient(transaction, "alice@example.org");
		const struct pn_policy_hook *hook = &harness.hooks[seed % 3];

		session->port = seed;
		fake_set_message(transaction, "Subject: x\r\nSubject: y\r\n\r\n");
		fake_run(hook, session, hook->stage == PN_STAGE_AUTH_VERIFY ? NULL : transaction,
		         hook->stage == PN_STAGE_MAILBOX_DELIVER ? recipient : NULL,
		         hook->stage == PN_STAGE_AUTH_VERIFY ? &credentials : NULL);
		finish(&harness);
	}
	harness_free(&harness);
}
END_TEST

static const char diligent[] =
	"on(\"message.headers\", function(session, message)\n"
	"  local t = {}\n"
	"  for i = 1, 20 do t[i] = session.peer .. i end\n"
	"  table.sort(t) local s = table.concat(t, \",\")\n"
	"  s = s:gsub(\"%d+\", function(d) return \"<\" .. d .. \">\" end):upper():rep(3)\n"
	"  for word in s:gmatch(\"%w+\") do t[word] = string.format(\"%s %5d\", word, #word) end\n"
	"  message:set_fact(\"k\", s:sub(1, 20)) message:add_header(\"X-A\", s:sub(1, 5))\n"
	"  session:set_note(\"n\", message:header(\"Subject\"))\n"
	"  local list = message:headers()\n"
	"  local ok, e = pcall(error, { \"x\" })\n"
	"  local answer = dns.lookup(\"found.test\", \"A\")\n"
	"  log.info(tostring(ok) .. #list .. tostring(message.recipients[1]))\n"
	"  return reject(550, \"5.7.1\", \"diligent\")\n"
	"end)\n";

START_TEST(running_out_of_memory_anywhere_fails_the_hook_alone)
{
	size_t rejected = 0, failed = 0;

	for (size_t room = 0; room < 40000; room += room < 12000 ? 37 : 501) {
		struct harness harness;
		struct pn_session *session;
		struct pn_transaction *transaction;
		struct fake_call *call;
		struct pn_lua_memory *memory;

		harness_load(&harness, diligent);
		fake_dns("found.test", PN_DNS_A, PN_DNS_FOUND, "192.0.2.7", 0);
		session = fake_session();
		transaction = fake_transaction();
		fake_add_recipient(transaction, "alice@example.org");
		fake_set_message(transaction, "Subject: x\r\nSubject: y\r\n\r\n");
		memory = &harness.set->files[0].state->memory;
		lua_gc(harness.set->files[0].state->lua, LUA_GCCOLLECT);
		memory->limit = memory->used + room;
		call = fake_run(&harness.hooks[0], session, transaction, NULL, NULL);
		/* Where a run took long, the next one waits for its turn. */
		while (call->verdict == PN_VERDICT_PENDING)
			fake_advance(1);
		/* Lua says the same of a stack that cannot grow, whatever the reason. */
		bool is_short = strstr(call->failure, "memory") != NULL ||
		                strstr(call->failure, "stack overflow") != NULL;

		if (call->failure[0] == '\0')
			rejected++;
		else
			failed += is_short;
		ck_assert_msg(call->failure[0] == '\0' || is_short, "with %zu bytes: %s", room,
		              call->failure);
		finish(&harness);
		harness_free(&harness);
	}
	/* Both ends were reached. */
	ck_assert_uint_gt(rejected, 0);
	ck_assert_uint_gt(failed, 100);
}
END_TEST

START_TEST(a_file_that_does_not_fit_is_refused)
{
	for (uint64_t memory = 1000; memory < 60000; memory += 500) {
		struct harness harness;

		harness_load_limited(&harness, diligent,
		                     &(struct harness_limits){.memory_bytes = memory});
		if (harness.set != NULL)
			harness_free(&harness);
		else
			ck_assert_msg(strstr(harness.error.text, "memory") != NULL, "%s",
			              harness.error.text);
	}
}
END_TEST

Suite *shape_suite(void)
{
	const TTest *const tests[] = {
		calls_of_every_shape_come_back,
		running_out_of_memory_anywhere_fails_the_hook_alone,
		a_file_that_does_not_fit_is_refused,
		NULL,
	};

	return suite_of("shapes", tests);
}
