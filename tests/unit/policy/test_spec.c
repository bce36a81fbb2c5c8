/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs tests/policy/NAME.spec.lua: what the scripts that ship promise, said in Lua.
 * A spec sees plain Lua and these words: policy(file[, replacements]), it(name,
 * function), run(stage, fields), equal(got, wanted[, text]), dns(name, type, value
 * or false), questions(), score().
 */
#include "harness.h"

#include <dirent.h>
#include <lauxlib.h>
#include <lualib.h>
#include <postern/text.h>
#include <stdio.h>
#include <stdlib.h>

#include "../exact.h"

enum { SPECS_MAX = 32 };

static char specs[SPECS_MAX][64];
static int spec_count;

static struct {
	struct harness harness;
	struct pn_session *session;
	struct pn_transaction *transaction;
	int cases;
} spec;

/* Reads one field of the table at 2 as a text, or leaves what was there. */
static void take_text(lua_State *lua, const char *name, const char **field)
{
	if (lua_getfield(lua, 2, name) == LUA_TSTRING)
		*field = lua_tostring(lua, -1); /* the table keeps it while the hook runs */
	lua_pop(lua, 1);
}

static void take_session(lua_State *lua)
{
	struct pn_session *session = spec.session;

	take_text(lua, "hello", &session->hello);
	take_text(lua, "peer", &session->peer);
	take_text(lua, "hostname", &session->hostname);
	take_text(lua, "listener", &session->listener);
	take_text(lua, "instance", &session->instance);
	take_text(lua, "identity", &session->identity);
	lua_getfield(lua, 2, "is_loopback");
	session->is_loopback = lua_toboolean(lua, -1);
	lua_pop(lua, 1);
}

/* The transaction of the fields; NULL where they have none. */
static struct pn_recipient *take_transaction(lua_State *lua)
{
	struct pn_transaction *transaction = spec.transaction = fake_transaction();
	struct pn_recipient *recipient = NULL;
	const char *text = NULL;

	take_text(lua, "sender", &text);
	if (text != NULL)
		transaction->sender = fake_address(text);
	if (lua_getfield(lua, 2, "recipients") == LUA_TTABLE) {
		for (lua_Integer index = 1; lua_rawgeti(lua, -1, index) == LUA_TSTRING; index++) {
			fake_add_recipient(transaction, lua_tostring(lua, -1));
			lua_pop(lua, 1);
		}
		lua_pop(lua, 1);
	}
	lua_pop(lua, 1);
	text = NULL;
	take_text(lua, "recipient", &text);
	if (text != NULL) {
		/* The one that is asked about is not counted yet. */
		recipient = fake_add_recipient(transaction, text);
		transaction->recipient_count--;
	}
	text = NULL;
	take_text(lua, "message", &text);
	if (text != NULL)
		fake_set_message(transaction, text);
	return recipient;
}

/* run(stage, fields): the first outcome that is not continue. */
static int word_run(lua_State *lua)
{
	enum pn_stage stage = pn_stage_of(luaL_checkstring(lua, 1));
	struct pn_recipient *recipient;
	char room[600] = "continue";
	bool has_run = false;

	luaL_checktype(lua, 2, LUA_TTABLE);
	take_session(lua);
	recipient = take_transaction(lua);
	for (size_t index = 0; index < spec.harness.hook_count; index++) {
		struct fake_call *call;

		if (spec.harness.hooks[index].stage != stage)
			continue;
		has_run = true;
		call = fake_run(&spec.harness.hooks[index], spec.session, spec.transaction,
		                recipient, NULL);
		while (call->verdict == PN_VERDICT_PENDING)
			fake_advance(1);
		if (strcmp(fake_outcome(call, room, sizeof(room)), "continue") != 0)
			break;
	}
	if (!has_run)
		return luaL_error(lua, "no hook at that stage");
	lua_pushstring(lua, room);
	return 1;
}

static int word_policy(lua_State *lua)
{
	char path[] = "/tmp/postern-policy-XXXXXX";
	int descriptor = mkstemp(path);
	FILE *out = fdopen(descriptor, "w");
	size_t size;
	const char *text;

	luaL_checkstring(lua, 1);
	lua_settop(lua, 2);
	/* The text, with the replacements that a user of the script would type. */
	if (luaL_loadstring(
		    lua,
		    "local path, changes = ...\n"
		    "local file = assert(io.open(path)) local text = file:read('a') file:close()\n"
		    "for old, new in pairs(changes or {}) do\n"
		    "  local first, last = text:find(old, 1, true)\n"
		    "  assert(first, 'nothing to replace: ' .. old)\n"
		    "  text = text:sub(1, first - 1) .. new .. text:sub(last + 1)\n"
		    "end\n"
		    "return text\n") != LUA_OK)
		return lua_error(lua);
	lua_pushstring(lua, harness_path(lua_tostring(lua, 1)));
	lua_pushvalue(lua, 2);
	lua_call(lua, 2, 1);
	text = lua_tolstring(lua, -1, &size);
	fwrite(text, 1, size, out);
	fclose(out);
	if (spec.harness.set != NULL)
		pn_policy_free(spec.harness.set);
	harness_load_file(&spec.harness, path, lua_tostring(lua, 1), &(struct harness_limits){0});
	remove(path);
	if (spec.harness.set == NULL)
		return luaL_error(lua, "%s", spec.harness.error.text);
	return 0;
}

static int word_it(lua_State *lua)
{
	luaL_checktype(lua, 2, LUA_TFUNCTION);
	fake_reset();
	spec.session = fake_session();
	spec.cases++;
	lua_pushvalue(lua, 2);
	if (lua_pcall(lua, 0, 0, 0) != LUA_OK)
		return luaL_error(lua, "%s: %s", lua_tostring(lua, 1), lua_tostring(lua, -1));
	return 0;
}

static int word_equal(lua_State *lua)
{
	if (!lua_rawequal(lua, 1, 2) && !lua_compare(lua, 1, 2, LUA_OPEQ))
		return luaL_error(lua, "wanted %s, got %s %s", luaL_tolstring(lua, 2, NULL),
		                  luaL_tolstring(lua, 1, NULL), luaL_optstring(lua, 3, ""));
	return 0;
}

static int word_dns(lua_State *lua)
{
	enum pn_dns_type type;

	if (pn_dns_type_of(pn_slice_of(luaL_checkstring(lua, 2)), &type) != PN_OK)
		return luaL_error(lua, "no such type");
	if (lua_isstring(lua, 3))
		fake_dns(luaL_checkstring(lua, 1), type, PN_DNS_FOUND, lua_tostring(lua, 3), 0);
	else
		fake_dns(luaL_checkstring(lua, 1), type, PN_DNS_TROUBLE, NULL, 0);
	return 0;
}

static int word_questions(lua_State *lua)
{
	lua_pushinteger(lua, (lua_Integer)fake_questions());
	return 1;
}

static int word_score(lua_State *lua)
{
	lua_pushnumber(lua, spec.transaction->score);
	return 1;
}

START_TEST(a_spec_holds)
{
	static const luaL_Reg words[] = {
		{"dns", word_dns},
		{"equal", word_equal},
		{"it", word_it},
		{"policy", word_policy},
		{"questions", word_questions},
		{"run", word_run},
		{"score", word_score},
		{NULL, NULL},
	};
	char path[600];
	lua_State *lua = luaL_newstate();

	memset(&spec, 0, sizeof(spec));
	luaL_openlibs(lua);
	lua_pushglobaltable(lua);
	luaL_setfuncs(lua, words, 0);
	lua_pop(lua, 1);
	snprintf(path, sizeof(path), "%s/%s", harness_path("tests/policy"), specs[_i]);
	ck_assert_msg(luaL_dofile(lua, path) == LUA_OK, "%s", lua_tostring(lua, -1));
	ck_assert_int_gt(spec.cases, 0);
	pn_policy_free(spec.harness.set);
	lua_close(lua);
}
END_TEST

static void find_specs(void)
{
	DIR *directory = opendir(harness_path("tests/policy"));
	const struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		size_t size = strlen(entry->d_name);

		if (size > 9 && size < sizeof(specs[0]) && spec_count < SPECS_MAX &&
		    strcmp(entry->d_name + size - 9, ".spec.lua") == 0)
			memcpy(specs[spec_count++], entry->d_name, size + 1);
	}
	if (directory != NULL)
		closedir(directory);
}

/* Every script that ships has its spec. */
START_TEST(no_script_is_without_a_spec)
{
	DIR *directory = opendir(harness_path("scripts"));
	const struct dirent *entry;

	ck_assert_ptr_nonnull(directory);
	while ((entry = readdir(directory)) != NULL) {
		size_t size = strlen(entry->d_name);
		bool has_spec = false;

		if (size <= 4 || strcmp(entry->d_name + size - 4, ".lua") != 0)
			continue;
		for (int index = 0; index < spec_count; index++)
			has_spec =
				has_spec || (strncmp(specs[index], entry->d_name, size - 4) == 0 &&
			                     strcmp(specs[index] + size - 4, ".spec.lua") == 0);
		ck_assert_msg(has_spec, "%s has no spec", entry->d_name);
	}
	closedir(directory);
}
END_TEST

Suite *spec_suite(void)
{
	const TTest *const tests[] = {no_script_is_without_a_spec, NULL};
	Suite *suite = suite_of("specs", tests);
	TCase *cases = tcase_create("files");

	find_specs();
	tcase_add_loop_test(cases, a_spec_holds, 0, spec_count);
	suite_add_tcase(suite, cases);
	return suite;
}
