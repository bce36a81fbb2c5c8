/* SPDX-License-Identifier: Apache-2.0 */
/* The libraries regex and json: what they answer, and where they end. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "../exact.h"
#include "policy/state.h"

/* The body must come to its end. */
static void holds(const char *body)
{
	char text[7000];

	snprintf(text, sizeof(text), "%s\nreturn reject(550, \"5.0.0\", \"held\")", body);
	ck_assert_str_eq(outcome_of_body(text), "reject 550 5.0.0 held");
}

/* The body must fail with this in its message. */
static void fails(const char *body, const char *message)
{
	const char *outcome = outcome_of_body(body);

	ck_assert_msg(strncmp(outcome, "failed: ", 8) == 0 && strstr(outcome, message) != NULL,
	              "%s\nwanted %s\ngot    %s", body, message, outcome);
}

START_TEST(finds_and_captures)
{
	holds("local a, b, c = regex.find('x 12-34', [[(\\d+)-\\d+]])\n"
	      "assert(a == 3 and b == 7 and c == '12')\n"
	      "assert(regex.find('abc', 'd') == nil)\n"
	      "assert(regex.match('Subject', 'sub(ject)', 'i') == 'ject')\n"
	      "assert(regex.match('abc', 'b') == 'b')\n"
	      "local one, two, three = regex.match('ac', '(a)(b)?(c)')\n"
	      "assert(one == 'a' and two == nil and three == 'c')\n"
	      "assert(regex.test('abc', '^a.c$') and not regex.test('abc', '^b'))\n"
	      "assert(regex.find('abcabc', 'b', nil, 3) == 5)\n"
	      "assert(regex.find('abc', 'c', nil, -1) == 3 and not regex.find('abc', 'a', nil, "
	      "9))\n"
	      "assert(regex.test('a\\0b', 'a\\\\x00b') and regex.test('', ''))\n"
	      "assert(regex.test('foo.bar', '^' .. regex.escape('foo.bar') .. '$'))\n"
	      "assert(not regex.test('fooxbar', regex.escape('foo.bar')))\n"
	      "assert(regex.test('a\\0*', '^' .. regex.escape('a\\0*') .. '$'))\n");
}
END_TEST

START_TEST(flags_are_known_letters)
{
	holds("assert(regex.test('a\\nB', '^b$', 'im') and not regex.test('a\\nb', '^b$'))\n"
	      "assert(regex.test('a\\nb', 'a.b', 's') and not regex.test('a\\nb', 'a.b'))\n"
	      "assert(regex.test('ab', 'a b', 'x'))\n"
	      "assert(regex.match('\\u{e4}b', '^.', 'u') == '\\u{e4}')\n"
	      "assert(#regex.match('\\u{e4}b', '^.') == 1)\n"
	      "assert(regex.test('\\u{c4}', '\\u{e4}', 'iu'))\n");
	fails("regex.test('a', 'a', 'q')", "flags are of the letters i, m, s, x, u");
	fails("regex.test('a', 'a', 'iiiiiiiii')", "flags are of the letters i, m, s, x, u");
	fails("regex.test('\\xff', 'a', 'u')", "the text is no UTF-8 (flag u)");
	fails("regex.test('a', '(*UTF)a')", "test.lua:1");
}
END_TEST

START_TEST(replaces)
{
	holds("local text, count = regex.gsub('a1b22', [[\\d+]], '<%0>')\n"
	      "assert(text == 'a<1>b<22>' and count == 2)\n"
	      "assert(regex.gsub('john doe', [[(\\w+) (\\w+)]], '%2 %1') == 'doe john')\n"
	      "assert(regex.gsub('abc', 'b', '%1%%') == 'ab%c')\n"
	      "assert(regex.gsub('abc', '', '-') == '-a-b-c-')\n"
	      "assert(regex.gsub('aaa', 'a', 'b', nil, 2) == 'bba')\n"
	      "assert(regex.gsub('a b', [[\\w]], { a = 'x' }) == 'x b')\n"
	      "assert(regex.gsub('abc', [[.]], function(c) return c == 'b' and 7 end) == 'a7c')\n"
	      "assert(regex.gsub('\\u{e4}\\u{f6}', '', '.', 'u') == '.\\u{e4}.\\u{f6}.')\n"
	      "assert(regex.gsub('hello', 'l*', 'x') == 'xhxexox')\n"
	      "local list = {}\n"
	      "for key, value in regex.gmatch('a=1, b=2', [[(\\w)=(\\d)]]) do list[#list + 1] = "
	      "key .. value end\n"
	      "assert(table.concat(list, ' ') == 'a1 b2')\n"
	      "local empty = 0 for _ in regex.gmatch('abc', 'x*') do empty = empty + 1 end\n"
	      "assert(empty == 4)\n"
	      "-- a callback that matches something else meanwhile\n"
	      "assert(regex.gsub('ab', '(.)', function(c) regex.match('zz', '(z)(z)') return c .. "
	      "c end) == 'aabb')\n");
	fails("regex.gsub('a', 'a', '%2')", "the pattern has no capture %2");
	fails("regex.gsub('a', 'a', '%x')", "invalid use of '%'");
	fails("regex.gsub('a', 'a', function() return {} end)", "a replacement is no table");
	fails("regex.gsub('a', 'a')", "string/function/table");
}
END_TEST

START_TEST(a_pattern_that_is_none_says_where)
{
	fails("regex.test('a', 'a(b')",
	      "regex: missing closing parenthesis, at byte 4 of the pattern");
	fails("regex.test('a', ('(a)'):rep(33))", "at most 32 captures");
	holds("assert(regex.test(('a'):rep(32), ('(a)'):rep(32)))");
	fails("regex.test('a', ('('):rep(101) .. 'a' .. (')'):rep(101))",
	      "parentheses are too deeply nested");
	fails("regex.test('a', [[\\C]])", "regex: ");
}
END_TEST

START_TEST(lengths_have_limits)
{
	holds("assert(not regex.test('b', ('a'):rep(4096)))\n"
	      "assert(not regex.test(('a'):rep(1024 * 1024), '^b'))");
	fails("regex.test('b', ('a'):rep(4097))", "a pattern has at most 4096 bytes");
	fails("regex.test(('a'):rep(1024 * 1024 + 1), 'b')", "a text has at most 1 MiB");
}
END_TEST

START_TEST(compiled_patterns_are_kept_within_bounds)
{
	struct harness harness;
	size_t used;

	harness_load(&harness,
	             "local at = 0\n"
	             "on('connection.open', function()\n"
	             "for i = 1, 20 do at = at + 1 regex.test('x', 'a{1,20}' .. at) end end)");
	ck_assert_ptr_nonnull(harness.set);
	for (int round = 0; round < 20; round++)
		fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);
	used = harness.set->files[0].state->memory.used;
	for (int round = 0; round < 400; round++)
		fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);
	ck_assert_uint_lt(harness.set->files[0].state->memory.used, used + 400 * 1024);
	harness_free(&harness);
}
END_TEST

START_TEST(memory_of_a_match_is_the_states)
{
	/* A thousand and more places to come back to: some must show in the peak of the state. */
	struct harness harness;
	struct policy_state *state;

	harness_load(&harness, "on('connection.open', function()\n"
	                       "assert(regex.test(('ab'):rep(8000) .. 'c', '^(?:a|b)*c')) end)");
	ck_assert_ptr_nonnull(harness.set);
	state = harness.set->files[0].state;
	fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);
	ck_assert_uint_gt(state->memory.peak, 1024 * 1024);
	ck_assert_uint_lt(state->memory.used, 512 * 1024);
	harness_free(&harness);
	fails("regex.test(('ab'):rep(400000) .. 'c', '^(?:a|b)*c')", "backs up too often");
}
END_TEST

START_TEST(json_is_read)
{
	holds("local v = json.decode('{\"a\":[1,2.5,\"x\\\\u00e4\",true,false,null],\"b\":{}}')\n"
	      "assert(v.a[1] == 1 and math.type(v.a[1]) == 'integer' and v.a[2] == 2.5)\n"
	      "assert(v.a[3] == 'x\\u{e4}' and v.a[4] == true and v.a[5] == false)\n"
	      "assert(v.a[6] == json.null and #v.a == 6 and next(v.b) == nil)\n"
	      "assert(json.decode('7') == 7 and json.decode('null') == json.null)\n"
	      "assert(json.decode('9223372036854775807') == math.maxinteger)\n");
	holds("local v, why = json.decode('{\"a\":1,\"a\":2}')\n"
	      "assert(v == nil and why:find('duplicate'), why)\n"
	      "v, why = json.decode('[1,')\n"
	      "assert(v == nil and why:find('line 1, column 3'), why)\n"
	      "v, why = json.decode('9223372036854775808')\n"
	      "assert(v == nil and why:find('too big integer'), why)\n"
	      "v, why = json.decode('1e999')\n"
	      "assert(v == nil and why:find('overflow'), why)\n"
	      "v, why = json.decode('')\n"
	      "assert(v == nil and why)\n"
	      "v, why = json.decode('[1] x')\n"
	      "assert(v == nil and why:find('end of file expected'), why)\n"
	      "v, why = json.decode('\"\\xff\"')\n"
	      "assert(v == nil and why:find('unable to decode'), why)\n");
	fails("json.decode({})", "string expected");
}
END_TEST

START_TEST(json_has_a_depth_and_a_size)
{
	holds("assert(json.decode(('['):rep(100) .. (']'):rep(100)))\n"
	      "local v, why = json.decode(('['):rep(101) .. (']'):rep(101))\n"
	      "assert(v == nil and why == 'deeper than 100 levels', why)\n"
	      "v, why = json.decode(('['):rep(5000) .. (']'):rep(5000))\n"
	      "assert(v == nil and why:find('depth'), why)\n"
	      "assert(json.decode('\"' .. ('a'):rep(512 * 1024 - 2) .. '\"'))\n"
	      "v, why = json.decode('\"' .. ('a'):rep(512 * 1024 - 1) .. '\"')\n"
	      "assert(v == nil and why == 'longer than 524288 bytes', why)\n");
}
END_TEST

START_TEST(json_is_written)
{
	holds("assert(json.encode { 1, 2.5, 'x', true } == '[1,2.5,\"x\",true]')\n"
	      "assert(json.encode {} == '{}' and json.encode(json.list {}) == '[]')\n"
	      "assert(json.encode(json.decode('[[],{}]')) == '[[],{}]')\n"
	      "assert(json.encode(nil) == 'null' and json.encode(json.null) == 'null')\n"
	      "assert(json.encode(1.0) == '1.0' and json.encode(0.1) == '0.1')\n"
	      "assert(json.decode(json.encode(2^53 + 1.0)) == 2^53 + 1.0)\n"
	      "assert(json.encode('\"\\\\\\n\\0\\u{e4}\\xff') == "
	      "'\"\\\\\"\\\\\\\\\\\\u000a\\\\u0000\\u{e4}\\u{fffd}\"')\n"
	      "assert(json.encode { a = json.list(json.list {}) } == '{\"a\":[]}')\n"
	      "assert(getmetatable(json.list {}) == false)\n");
	fails("json.encode(print == nil and 0/0)", "unknown word \"print\"");
	fails("json.encode(0/0)", "no way to write nan");
	fails("json.encode(-1/0)", "no way to write infinity");
	fails("json.encode(function() end)", "no way to write a function");
	fails("json.encode(session)", "no way to write a ");
	fails("json.encode { [1.5] = 1 }", "a key is a text");
	fails("local t = {} t.t = t json.encode(t)", "deeper than 100 levels");
	fails("json.list(setmetatable({}, {}))", "a table with a metatable of its own");
}
END_TEST

/* What jansson takes while it reads is counted, and given back. */
START_TEST(json_counts_for_the_state)
{
	struct harness harness;
	size_t used;

	harness_load(&harness, "on('connection.open', function()\n"
	                       "json.decode('[' .. ('0,'):rep(100000) .. '0]') end)");
	ck_assert_ptr_nonnull(harness.set);
	used = harness.set->files[0].state->memory.used;
	fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);
	ck_assert_uint_gt(harness.set->files[0].state->memory.peak, used + 3 * 1024 * 1024);
	harness_free(&harness);
	/* Half a megabyte of text that would take much more than there is. */
	harness_load_limited(&harness,
	                     "on('connection.open', function()\n"
	                     "local v, why = json.decode('[' .. ('[],'):rep(100000) .. '0]')\n"
	                     "assert(v == nil and why == 'there is no memory for it', why) end)",
	                     &(struct harness_limits){.memory_bytes = 2 * 1024 * 1024});
	ck_assert_ptr_nonnull(harness.set);
	ck_assert_str_eq(fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL)->failure,
	                 "");
	harness_free(&harness);
}
END_TEST

Suite *regex_suite(void)
{
	const TTest *const tests[] = {
		finds_and_captures,
		flags_are_known_letters,
		replaces,
		a_pattern_that_is_none_says_where,
		lengths_have_limits,
		compiled_patterns_are_kept_within_bounds,
		memory_of_a_match_is_the_states,
		json_is_read,
		json_has_a_depth_and_a_size,
		json_is_written,
		json_counts_for_the_state,
		NULL,
	};

	return suite_of("regex and json", tests);
}
