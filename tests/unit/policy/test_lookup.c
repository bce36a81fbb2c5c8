/* SPDX-License-Identifier: Apache-2.0 */
/* table.open: what stands in files beside a policy, and what is refused in them. */
#include "harness.h"

#include <fcntl.h>
#include <lmdb.h>
#include <postern/text.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../exact.h"
#include "io/file.h"
#include "policy/lexer.h"
#include "policy/lookup.h"
#include "policy/state.h"

static char directory[64];

static void make_directory(void)
{
	snprintf(directory, sizeof(directory), "/tmp/postern-lookup-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void remove_directory(void)
{
	char command[128];

	pn_file_forget();
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}

static const char *path_of(const char *name)
{
	static char room[160];

	snprintf(room, sizeof(room), "%s/%s", directory, name);
	return room;
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(path_of(name), "w");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

/* A policy beside the files: `open` at its top, `body` in its hook. What comes out of it. */
static const char *outcome_beside(const char *open, const char *body)
{
	static char room[700];
	char text[8192];
	struct harness harness;

	snprintf(text, sizeof(text),
	         "%s\non('connection.open', function(session)\n%s\nreturn reject(550, '5.0.0', "
	         "'held')\nend)",
	         open, body);
	write_file("test.lua", text);
	harness_load_file(&harness, path_of("test.lua"), "test.lua", &(struct harness_limits){0});
	if (harness.set == NULL) {
		snprintf(room, sizeof(room), "refused: %s", harness.error.text);
		return room;
	}
	fake_outcome(fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL), room,
	             sizeof(room));
	harness_free(&harness);
	return room;
}

static void holds(const char *open, const char *body)
{
	ck_assert_str_eq(outcome_beside(open, body), "reject 550 5.0.0 held");
}

static void says(const char *open, const char *body, const char *words)
{
	const char *outcome = outcome_beside(open, body);

	ck_assert_msg(strstr(outcome, words) != NULL, "wanted %s\ngot    %s", words, outcome);
}

START_TEST(lines_are_keys_and_values)
{
	write_file("map", "# comment\n"
	                  "\n"
	                  "Key.Example\tvalue one  \r\n"
	                  "second   a,\n"
	                  "   # not this\n"
	                  "\tb,\n"
	                  "\n"
	                  "# nor this\n"
	                  "  c\n"
	                  "third x");
	holds("local map = table.open('map')",
	      "assert(map:find('key.example') == 'value one')\n"
	      "assert(map:find('SECOND') == 'a, b, c', map:find('second'))\n"
	      "assert(map:find('third') == 'x' and map:find('fourth') == nil and map:find('') == "
	      "nil)\n"
	      "assert(map:has('third') and not map:has('thir') and map:count() == 3)\n");
	write_file("map", "one a\n  b\ntwo c\n # d\n");
	holds("local map = table.open('map')",
	      "assert(map:find('one') == 'a b' and map:find('two') == 'c')");
	write_file("map", "one #a\n  #b\n  c\ntwo #d\n");
	holds("local map = table.open('map')",
	      "assert(map:find('one') == '#a c' and map:find('two') == '#d')");
	write_file("map", "");
	holds("local map = table.open('map', { format = 'lines' })",
	      "assert(map:find('one') == nil and map:count() == 0)");
}
END_TEST

START_TEST(lists_are_keys)
{
	write_file("list", "# comment\nexample.org\n  example.net  \nEXAMPLE.org\n");
	holds("local list = table.open('list', { format = 'list' })",
	      "assert(list:find('example.org') == '' and list:has('Example.NET'))\n"
	      "assert(not list:has('example') and list:count() == 2)\n");
	write_file("list", "example.org\nexample.net yes\n");
	says("local list = table.open('list', { format = 'list' })", "",
	     "refused: test.lua:1: table.open: list:2: a list has one word on each line");
}
END_TEST

START_TEST(domains_and_addresses_are_walked)
{
	write_file("map", "example.org here\n.example.org below\n.net any\n"
	                  "user+tag@example.org one\nuser@example.org two\n@example.org three\n"
	                  "root four\na-b@x.net five\n");
	holds("local map = table.open('map')",
	      "local value, key = map:find_domain('Example.org')\n"
	      "assert(value == 'here' and key == 'Example.org')\n"
	      "value, key = map:find_domain('a.b.example.org.')\n"
	      "assert(value == 'below' and key == '.example.org')\n"
	      "assert(map:find_domain('x.net') == 'any' and map:find_domain('net') == nil)\n"
	      "assert(map:find_domain(('a.'):rep(127) .. 'net') == nil)\n"
	      "assert(map:find_domain(('a.'):rep(126) .. 'net') == 'any')\n"
	      "assert(map:find_domain('') == nil and map:find_domain('.') == nil)\n"
	      "value, key = map:find_address('User+tag@example.org')\n"
	      "assert(value == 'one' and key == 'User+tag@example.org')\n"
	      "value, key = map:find_address('user+other+tag@example.org')\n"
	      "assert(value == 'two' and key == 'user@example.org')\n"
	      "value, key = map:find_address('nobody+x@example.org')\n"
	      "assert(value == 'three' and key == '@example.org')\n"
	      "assert(map:find_address('+tag@example.com') == nil)\n"
	      "assert(map:find_address('root') == 'four' and map:find_address('root+x') == "
	      "'four')\n"
	      "assert(map:find_address('a-b@x.net') == 'five' and map:find_address('a-c@x.net', "
	      "'-') == nil)\n"
	      "assert(map:find_address(('x'):rep(600) .. '@example.org') == nil)\n");
}
END_TEST

START_TEST(mistakes_are_told_with_their_line)
{
	static const struct {
		const char *text;
		const char *words;
	} cases[] = {
		{"one\n", "map:1: \"one\" has no value"},
		{"one a\n\none b\n", "map:3: \"one\" is there already, at line 1"},
		{"# x\n  a\none b\n", "map:2: a line that begins with a space goes on with none"},
	};
	char text[20000];

	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		write_file("map", cases[index].text);
		says("\nlocal map = table.open 'map'", "", cases[index].words);
	}
	/* Limits, and one past them. */
	snprintf(text, sizeof(text), "%0512d x\n", 7);
	write_file("map", text);
	holds("local map = table.open('map')", "assert(map:find(('0'):rep(511) .. '7') == 'x')");
	snprintf(text, sizeof(text), "y z\n%0513d x\n", 7);
	write_file("map", text);
	says("local map = table.open('map')", "", "map:2: a key has at most 512 bytes");
	snprintf(text, sizeof(text), "y %016384d\n", 7);
	write_file("map", text);
	holds("local map = table.open('map')", "assert(#map:find('y') == 16384)");
	snprintf(text, sizeof(text), "y %016385d\n", 7);
	write_file("map", text);
	says("local map = table.open('map')", "", "map:1: a value has at most 16384 bytes");
	snprintf(text, sizeof(text), "y z\n %016380d\n", 7);
	write_file("map", text);
	says("local map = table.open('map')", "", "map:2: a value has at most 16384 bytes");
}
END_TEST

START_TEST(files_lie_beside_the_policy_or_below)
{
	static const char *const outside[] = {"/etc/passwd", "../passwd", "a/../../b", "a//b", "",
	                                      "a/",          "..",        "/"};
	char open[128];

	for (size_t index = 0; index < sizeof(outside) / sizeof(outside[0]); index++) {
		snprintf(open, sizeof(open), "local t = table.open('%s')", outside[index]);
		says(open, "", "must be a name in the policy's directory or below it");
	}
	says("local t = table.open('none')", "", "No such file");
	ck_assert_int_eq(mkdir(path_of("sub"), 0700), 0);
	write_file("sub/..map", "a b\n");
	holds("local t = table.open('sub/..map')", "assert(t:find('a') == 'b')");
	/* A link that leads out is no way out. */
	ck_assert_int_eq(symlink("/etc/passwd", path_of("link")), 0);
	says("local t = table.open('link')", "", "refused: test.lua:1: table.open: cannot read");
	ck_assert_int_eq(symlink("sub/..map", path_of("inner")), 0);
	holds("local t = table.open('inner')", "assert(t:find('a') == 'b')");
	says("local t = table.open('sub')", "", "it is not a file");
}
END_TEST

START_TEST(tables_are_opened_when_the_policy_is_read)
{
	write_file("map", "a b\n");
	says("", "table.open('map')", "opened when the policy is read, not by a hook");
	says("local t = table.open('map', { format = 'line' })", "", "did you mean \"lines\"?");
	says("local t = table.open('map', { from = 'x' })", "", "the only option is format");
	says("local t = table.open({})", "", "string expected");
	says("local t = table.open('map')", "t.find({}, 'a')", "lookup table expected, got table");
	says("local t = table.open('map')", "t.find(session, 'a')",
	     "lookup table expected, got session");
	says("local t = table.open('map')", "t:find(nil)", "string expected");
	says("local t = table.open('map')", "t.x = 1", "cannot be changed");
	says("local t = table.open('map')", "t:fnid('a')", "did you mean \"find\"?");
	holds("local t = table.open('map')", "assert(getmetatable(t) == false)");
	says("for i = 1, 64 do table.open('map', { format = 'lines' }) end", "", "held");
}
END_TEST

START_TEST(a_policy_opens_64_tables)
{
	char name[16];

	for (int number = 1; number <= 65; number++) {
		snprintf(name, sizeof(name), "t%d", number);
		write_file(name, "a b\n");
	}
	holds("for i = 1, 64 do table.open('t' .. i) end", "");
	says("for i = 1, 65 do table.open('t' .. i) end", "", "a policy opens at most 64 tables");
}
END_TEST

/* A state that ran out of memory is made anew; its tables are not read again. */
START_TEST(a_new_state_finds_the_tables_as_they_were)
{
	struct harness harness;
	char room[600];

	write_file("map", "a before\n");
	write_file("test.lua", "local map = table.open('map')\n"
	                       "on('connection.open', function(session)\n"
	                       "if session.port == 1 then local t = {} while true do t[#t + 1] = "
	                       "('x'):rep(100000) .. #t end end\n"
	                       "return reject(550, '5.0.0', map:find('a'))\nend)");
	/* Memory is to end first, on a slow machine, too. */
	harness_load_file(&harness, path_of("test.lua"), "test.lua",
	                  &(struct harness_limits){.cpu_ms = 20000});
	ck_assert_ptr_nonnull(harness.set);
	write_file("map", "a behind\n");
	struct pn_session *session = fake_session();

	session->port = 1;
	fake_run(&harness.hooks[0], session, NULL, NULL, NULL);
	ck_assert_ptr_null(harness.set->files[0].state);
	fake_outcome(fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL), room,
	             sizeof(room));
	ck_assert_str_eq(room, "reject 550 5.0.0 before");
	harness_free(&harness);
}
END_TEST

/* What the master made a copy of is read from there, whatever is in the file now. */
START_TEST(a_provided_copy_is_what_counts)
{
	char path[160];
	int descriptor = -1;
	struct pn_error error;

	write_file("map", "a checked\n");
	snprintf(path, sizeof(path), "%s//map", directory);
	ck_assert_int_eq(pn_file_snapshot(path, 1000, &descriptor, &error), PN_OK);
	pn_file_provide(path, descriptor);
	write_file("map", "nonsense\n");
	holds("local map = table.open('map')", "assert(map:find('a') == 'checked')");
}
END_TEST

/* Not against the budget of the script, not against its memory, and in bounded time. */
START_TEST(a_million_lines_are_read)
{
	FILE *file = fopen(path_of("map"), "w");
	struct harness harness;
	struct fake_call *call;
	double before;

	for (int number = 0; number < 1000000; number++)
		fprintf(file, "user%d@example%d.org target%d@example.net\n", number, number % 1000,
		        number);
	fclose(file);
	write_file(
		"test.lua",
		"local map = table.open('map')\n"
		"on('connection.open', function(session)\n"
		"assert(map:count() == 1000000)\n"
		"for i = 0, 9999 do local n = i * 100 + 7\n"
		"assert(map:find('user' .. n .. '@example' .. n % 1000 .. '.org') == 'target' .. n "
		".. '@example.net') end\nend)");
	before = cpu_ms();
	harness_load_file(
		&harness, path_of("test.lua"), "test.lua",
		&(struct harness_limits){.cpu_ms = 1000, .memory_bytes = 2 * 1024 * 1024});
	ck_assert_msg(harness.set != NULL, "%s", harness.error.text);
	before = cpu_ms() - before;
	ck_assert_msg(before < 5000, "took %f ms", before);
	ck_assert_uint_lt(harness.set->files[0].state->memory.peak, 1024 * 1024);
	ck_assert_uint_lt(harness.set->files[0].table_bytes, 64 * 1024 * 1024);
	call = fake_run(&harness.hooks[0], fake_session(), NULL, NULL, NULL);
	ck_assert_str_eq(call->failure, "");
	harness_free(&harness);
}
END_TEST

START_TEST(what_is_larger_than_its_limit_is_refused)
{
	struct pn_lookup *lookup = NULL;
	size_t used = 0;
	struct pn_error error;

	/* 4 lines: 16 slots of 4 bytes, and the file's own 16. */
	write_file("map", "a b\nc d\ne f\ng h\n");
	ck_assert_int_eq(
		pn_lookup_new(path_of("map"), "map", PN_LOOKUP_LINES, 80, &lookup, &used, &error),
		PN_OK);
	ck_assert_uint_eq(used, 80);
	pn_lookup_free(&lookup);
	ck_assert_int_eq(
		pn_lookup_new(path_of("map"), "map", PN_LOOKUP_LINES, 79, &lookup, &used, &error),
		PN_FAILED);
	ck_assert_ptr_nonnull(strstr(error.text, "map has too many lines"));
	ck_assert_int_eq(
		pn_lookup_new(path_of("map"), "map", PN_LOOKUP_LINES, 15, &lookup, &used, &error),
		PN_FAILED);
	ck_assert_ptr_nonnull(strstr(error.text, "is larger than 15 bytes"));
}
END_TEST

static void make_lmdb(const char *name, int count)
{
	MDB_env *environment;
	MDB_txn *transaction;
	MDB_dbi table;

	ck_assert_int_eq(mdb_env_create(&environment), 0);
	mdb_env_set_mapsize(environment, 64 * 1024 * 1024);
	ck_assert_int_eq(mdb_env_open(environment, path_of(name), MDB_NOSUBDIR | MDB_NOSYNC, 0600),
	                 0);
	ck_assert_int_eq(mdb_txn_begin(environment, NULL, 0, &transaction), 0);
	ck_assert_int_eq(mdb_dbi_open(transaction, NULL, 0, &table), 0);
	for (int number = 0; number < count; number++) {
		char key_room[64], value_room[64];
		/* Every second one with a NUL behind it, as some tools write them. */
		MDB_val key = {.mv_data = key_room}, value = {.mv_data = value_room};

		key.mv_size = (size_t)snprintf(key_room, sizeof(key_room), "key%d", number) +
		              (size_t)(number & 1);
		value.mv_size =
			(size_t)snprintf(value_room, sizeof(value_room), "value%d", number) +
			(size_t)(number & 1);
		ck_assert_int_eq(mdb_put(transaction, table, &key, &value, 0), 0);
	}
	ck_assert_int_eq(mdb_txn_commit(transaction), 0);
	mdb_env_close(environment);
}

START_TEST(lmdb_files_are_asked_in_their_place)
{
	make_lmdb("map.lmdb", 10000);
	holds("local map = table.open('map.lmdb', { format = 'lmdb' })",
	      "assert(map:find('KEY10') == 'value10' and map:find('key11') == 'value11')\n"
	      "assert(map:find('key10000') == nil and map:count() == 10000)\n"
	      "assert(map:find(('x'):rep(511)) == nil and map:find('') == nil)\n");
	write_file("map.lmdb", "key value\n");
	says("local map = table.open('map.lmdb', { format = 'lmdb' })", "",
	     "refused: test.lua:1: table.open: cannot open map.lmdb as lmdb: ");
	says("local map = table.open('none', { format = 'lmdb' })", "", "cannot open none as lmdb");
}
END_TEST

START_TEST(names_are_found_without_running_the_policy)
{
	struct pn_lua_lexer lexer;
	struct pn_slice name;

	pn_lua_lexer_init(&lexer, PN_SLICE("local a = table.open(\"one\")\n"
	                                   "-- table.open('no')\n"
	                                   "local b = table.open 'two' + table.open([[three]])\n"
	                                   "x.open('no') table.insert('no') table.open(name)\n"
	                                   "table.open('n\\111') table.open('four', {})"));
	for (size_t index = 0; index < 4; index++) {
		static const char *const wanted[] = {"one", "two", "three", "four"};

		ck_assert(pn_policy_table_name(&lexer, &name));
		ck_assert(pn_slice_equal(name, pn_slice_of(wanted[index])));
	}
	ck_assert(!pn_policy_table_name(&lexer, &name));
}
END_TEST

Suite *lookup_suite(void)
{
	const TTest *const tests[] = {
		lines_are_keys_and_values,
		lists_are_keys,
		domains_and_addresses_are_walked,
		mistakes_are_told_with_their_line,
		files_lie_beside_the_policy_or_below,
		tables_are_opened_when_the_policy_is_read,
		a_policy_opens_64_tables,
		a_new_state_finds_the_tables_as_they_were,
		a_provided_copy_is_what_counts,
		a_million_lines_are_read,
		what_is_larger_than_its_limit_is_refused,
		lmdb_files_are_asked_in_their_place,
		names_are_found_without_running_the_policy,
	};
	Suite *suite = suite_create("lookup tables");
	TCase *cases = tcase_create("lookup tables");

	tcase_set_timeout(cases, 120);
	tcase_add_checked_fixture(cases, make_directory, remove_directory);
	for (size_t index = 0; index < sizeof(tests) / sizeof(tests[0]); index++)
		tcase_add_test(cases, tests[index]);
	suite_add_tcase(suite, cases);
	return suite;
}
