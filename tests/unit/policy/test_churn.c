/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks by the ten thousand, and by the million in a long run: what they take they give back, to
 * the state and to the process. What libraries outside of Lua keep is seen here and nowhere else.
 */
#include "harness.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../exact.h"
#include "policy/state.h"

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0 /* freed memory is kept for a while by sanitizers */
#endif

enum { ROUNDS = 30, LONG_ROUNDS = 2500, RUNS = 400 };

static const char script[] =
	"local number = 0\n"
	"on('connection.open', function(session)\n"
	"	number = number + 1\n"
	"	local key = 'key' .. number\n"
	"	assert(regex.match(key, '(k.y)(\\\\d+)', number % 2 == 0 and 'i' or 'u') == "
	"'key')\n"
	"	regex.test('x', 'pattern' .. number)\n"
	"	assert(regex.test(('ab'):rep(500) .. 'c', '^(?:a|b)*c'))\n"
	"	pcall(regex.test, 'x', '(')\n"
	"	assert(regex.gsub('a-b', '-', function(text) return json.encode { text } end))\n"
	"	local value = json.decode('{\"a\":[1,2,3,{\"b\":\"' .. key .. '\"}]}')\n"
	"	assert(value.a[4].b == key and json.encode(value))\n"
	"	json.decode('[[[')\n"
	"	cache.rate(key, 1, '1s') cache.get(key)\n"
	"	http.get('http://example.org/' .. key) dns.lookup('example.org', 'A')\n"
	"	session:set_note('n', key)\n"
	"	if number % 7 == 0 then error('now and then') end\n"
	"	if number % 500 == 0 then while true do end end\n"
	"	if number % 700 == 0 then local t = {} while true do t[#t + 1] = ('x'):rep(100000) "
	".. #t end "
	"end\n"
	"end)\n";

/* What malloc has handed out. */
static size_t in_use(void)
{
	return mallinfo2().uordblks + mallinfo2().hblkhd;
}

static void run_round(struct harness *harness)
{
	fake_reset();
	for (int run = 0; run < RUNS; run++) {
		struct fake_call *call =
			fake_run(&harness->hooks[0], fake_session(), NULL, NULL, NULL);

		while (call->verdict == PN_VERDICT_PENDING)
			fake_advance(1);
	}
}

START_TEST(nothing_is_kept_of_ten_thousand_hooks)
{
	const char *is_long = getenv("POSTERN_TEST_LONG");
	const int rounds = is_long != NULL && *is_long != '\0' ? LONG_ROUNDS : ROUNDS;
	struct harness harness;
	size_t before = 0;

	harness_load_limited(
		&harness, script,
		&(struct harness_limits){.cpu_ms = 50, .memory_bytes = 4 * 1024 * 1024});
	ck_assert_msg(harness.set != NULL, "%s", harness.error.text);
	for (int round = 0; round < rounds; round++) {
		run_round(&harness);
		/* The first rounds fill what is filled once. */
		if (round == 4) {
			fake_reset();
			before = in_use();
		}
	}
	fake_reset();
	if (!IS_SANITIZED)
		ck_assert_msg(in_use() < before + 2 * 1024 * 1024, "%zu bytes and then %zu", before,
		              in_use());
	harness_free(&harness);
}
END_TEST

/* Memory ends at every place of the script, the libraries' own allocations included. */
START_TEST(running_out_of_memory_is_an_error_wherever_it_is)
{
	size_t before = 0;
	int refused = 0, failed = 0, passed = 0;

	for (size_t limit = 5000; limit < 600000; limit += limit < 100000 ? 150 : 1000) {
		struct harness harness;
		struct fake_call *call;

		if (limit == 35000)
			before = in_use();
		harness_load_limited(&harness, script,
		                     &(struct harness_limits){.memory_bytes = limit});
		if (harness.set == NULL) {
			refused++;
			continue;
		}
		call = fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);
		while (call->verdict == PN_VERDICT_PENDING)
			fake_advance(1);
		if (call->failure[0] != '\0')
			failed++;
		else
			passed++;
		harness_free(&harness);
	}
	fake_reset();
	ck_assert_int_gt(refused, 10);
	ck_assert_int_gt(failed, 10);
	ck_assert_int_gt(passed, 10);
	if (!IS_SANITIZED)
		ck_assert_msg(in_use() < before + 1024 * 1024, "%zu bytes and then %zu", before,
		              in_use());
}
END_TEST

Suite *churn_suite(void)
{
	const TTest *const tests[] = {nothing_is_kept_of_ten_thousand_hooks,
	                              running_out_of_memory_is_an_error_wherever_it_is, NULL};

	return suite_of("churn", tests);
}
