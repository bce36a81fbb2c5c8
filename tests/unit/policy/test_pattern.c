/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pattern matcher: against the interpreter of the system, pair by pair, and its
 * cost. Without lua5.4 the first is skipped, loudly.
 */
#include "harness.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "../exact.h"
#include "policy/pattern.h"
#include "policy/state.h"

/* Runs the file with the libraries of a policy and no hook around them. */
static void answers_of_ours(const char *path, struct pn_buffer *out)
{
	struct policy_state state = {.memory = {.limit = 64 * 1024 * 1024}};
	lua_State *lua = luaL_newstate();
	size_t size;
	const char *text;

	*(struct policy_state **)lua_getextraspace(lua) = &state;
	ck_assert_int_eq(luaL_loadfilex(lua, path, "t"), LUA_OK);
	policy_push_base(lua);
	policy_push_string(lua);
	lua_pushliteral(lua, "");
	lua_createtable(lua, 0, 1);
	lua_pushvalue(lua, -3);
	lua_setfield(lua, -2, "__index");
	lua_setmetatable(lua, -2);
	lua_pop(lua, 1);
	lua_setfield(lua, -2, "string");
	policy_push_table(lua);
	lua_setfield(lua, -2, "table");
	policy_push_math(lua);
	lua_setfield(lua, -2, "math");
	lua_setupvalue(lua, 1, 1);
	ck_assert_msg(lua_pcall(lua, 0, 1, 0) == LUA_OK, "%s", lua_tostring(lua, -1));
	text = lua_tolstring(lua, -1, &size);
	ck_assert_int_eq(pn_buffer_append(out, pn_slice_make(text, size)), PN_OK);
	lua_close(lua);
}

/* False where there is no interpreter. */
static bool answers_of_the_system(const char *path, struct pn_buffer *out)
{
	char command[600], bytes[4096];
	size_t got;
	FILE *pipe;

	if (system("lua5.4 -v > /dev/null 2>&1") != 0)
		return false;
	snprintf(command, sizeof(command), "lua5.4 -e \"io.write(dofile('%s'))\"", path);
	pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	while ((got = fread(bytes, 1, sizeof(bytes), pipe)) > 0)
		ck_assert_int_eq(pn_buffer_append(out, pn_slice_make(bytes, got)), PN_OK);
	ck_assert_int_eq(pclose(pipe), 0);
	return true;
}

START_TEST(patterns_and_libraries_answer_as_those_of_the_interpreter)
{
	const char *path = harness_path("tests/policy/differential.lua");
	struct pn_buffer ours, theirs;
	size_t at = 0, line = 0;

	pn_buffer_init(&ours, 64 * 1024 * 1024);
	pn_buffer_init(&theirs, 64 * 1024 * 1024);
	answers_of_ours(path, &ours);
	ck_assert_uint_gt(ours.size, 100000);
	if (!answers_of_the_system(path, &theirs)) {
		fprintf(stderr,
		        "SKIPPED: lua5.4 is not installed, the libraries were compared with "
		        "nothing\n");
		pn_buffer_clear(&ours);
		return;
	}
	while (at < ours.size && at < theirs.size && ours.data[at] == theirs.data[at])
		line += ours.data[at++] == 1;
	ck_assert_msg(at == ours.size && at == theirs.size,
	              "answer %zu differs at byte %zu:\nours   %.60s\ntheirs %.60s", line + 1, at,
	              ours.data + (at > 30 ? at - 30 : 0), theirs.data + (at > 30 ? at - 30 : 0));
	pn_buffer_clear(&ours);
	pn_buffer_clear(&theirs);
}
END_TEST

/* ---- the matcher by itself ---- */

static uint64_t spent;

static void count_steps(void *user, uint64_t steps)
{
	(void)user;
	spent += steps;
}

/* Steps of one search; the text and the pattern stand in blocks of their sizes. */
static uint64_t steps_of(const char *pattern_text, struct pn_slice subject, bool *found)
{
	struct pn_slice text = exact(pn_slice_of(pattern_text));
	struct pn_pattern *pattern = malloc(pn_pattern_size(text));
	struct pn_pattern_match match = {
		.pattern = pattern, .subject = subject, .spend = count_steps};

	spent = 0;
	ck_assert_ptr_null(pn_pattern_compile(pattern, text, true));
	*found = pn_pattern_search(&match, subject.data);
	spent += match.steps;
	free(pattern);
	free((char *)text.data);
	return spent;
}

START_TEST(steps_count_the_work_of_backing_up)
{
	char subject[64];
	bool found;
	uint64_t few, many;

	memset(subject, 'a', sizeof(subject));
	few = steps_of("a*a*a*b", pn_slice_make(subject, 32), &found);
	ck_assert(!found);
	many = steps_of("a*a*a*b", pn_slice_make(subject, 64), &found);
	ck_assert(!found);
	/* Twice the text, at least eight times the work: three stars and a moving start. */
	ck_assert_uint_gt(many, few * 8);
}
END_TEST

START_TEST(depth_is_bounded_by_the_pattern)
{
	size_t size = 1000000;
	char *subject = malloc(size);
	bool found;

	memset(subject, 'a', size);
	steps_of(".*b", pn_slice_make(subject, 1000), &found);
	ck_assert(!found);
	steps_of("^.-a$", pn_slice_make(subject, size), &found);
	ck_assert(found);
	steps_of("^a?a?a?a*$", pn_slice_make(subject, size), &found);
	ck_assert(found);
	free(subject);
}
END_TEST

START_TEST(every_short_pattern_is_safe)
{
	static const char alphabet[] = "a%[]^-*().fb1$";
	struct pn_slice subject = exact(PN_SLICE("a]b(a"));

	for (size_t length = 0; length <= 4; length++) {
		for (size_t word = 0; word < word_count(sizeof(alphabet) - 1, length); word++) {
			struct pn_slice text =
				exact_word(alphabet, sizeof(alphabet) - 1, length, word);
			struct pn_pattern *pattern = malloc(pn_pattern_size(text));
			struct pn_pattern_match match = {
				.pattern = pattern, .subject = subject, .spend = count_steps};

			if (pn_pattern_compile(pattern, text, true) == NULL)
				pn_pattern_search(&match, subject.data);
			free(pattern);
			free((char *)text.data);
		}
	}
	free((char *)subject.data);
}
END_TEST

Suite *pattern_suite(void)
{
	const TTest *const tests[] = {
		patterns_and_libraries_answer_as_those_of_the_interpreter,
		steps_count_the_work_of_backing_up,
		depth_is_bounded_by_the_pattern,
		every_short_pattern_is_safe,
		NULL,
	};

	return suite_of("patterns", tests);
}
