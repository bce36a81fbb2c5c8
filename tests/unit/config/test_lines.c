/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of keys, found in the text of the call; and the lexer that finds them. */
#include "suites.h"

#include "../exact.h"
#include "policy/lexer.h"

START_TEST(keys_know_their_lines)
{
	struct pn_config *config = good_config("module \"other\" { four = 1 }\n"
	                                       "module \"m\" { -- two = 2,\n"
	                                       "  one = { \"three = 3\", \"}\" }, --[[ x = 1,\n"
	                                       " ]]\n"
	                                       "  two = [[\n"
	                                       "text]], three = 1;\n"
	                                       "  [\"four\"] = (1 + 2),\n"
	                                       "}\n");
	const struct pn_setting *rows = config->modules[1].settings.rows;

	ck_assert_uint_eq(config->modules[1].settings.count, 4);
	ck_assert_str_eq(rows[0].name, "one");
	ck_assert_int_eq(rows[0].line, 3);
	ck_assert_str_eq(rows[1].name, "two");
	ck_assert_int_eq(rows[1].line, 5);
	ck_assert_str_eq(rows[2].name, "three");
	ck_assert_int_eq(rows[2].line, 6);
	ck_assert_str_eq(rows[3].name, "four");
	ck_assert_int_eq(rows[3].line, 7);
	pn_config_free(&config);
}
END_TEST

START_TEST(two_calls_on_one_line_are_told_apart_by_name)
{
	struct pn_config *config = good_config("module \"a\" { x = 1 } module \"b\" {\n x = 1 }\n");

	ck_assert_int_eq(config->modules[0].settings.rows[0].line, 1);
	ck_assert_int_eq(config->modules[1].settings.rows[0].line, 2);
	pn_config_free(&config);
}
END_TEST

START_TEST(a_table_that_is_no_literal_has_the_line_of_its_call)
{
	struct pn_config *config = good_config("local t = {\n x = 1 }\nmodule \"a\" (t)\n");

	ck_assert_int_eq(config->modules[0].settings.rows[0].line, 3);
	pn_config_free(&config);
}
END_TEST

static void check_tokens(const char *text, const char *const *tokens)
{
	struct pn_slice bytes = exact(pn_slice_of(text));
	struct pn_lua_lexer lexer;
	struct pn_lua_token token;

	pn_lua_lexer_init(&lexer, bytes);
	for (; *tokens != NULL; tokens++) {
		token = pn_lua_lexer_next(&lexer);
		ck_assert_int_ne(token.kind, PN_LUA_TOKEN_END);
		ck_assert_msg(token.text.size == strlen(*tokens) &&
		                      memcmp(token.text.data, *tokens, token.text.size) == 0,
		              "wanted %s, got %.*s", *tokens, PN_SLICE_ARGS(token.text));
	}
	token = pn_lua_lexer_next(&lexer);
	ck_assert_int_eq(token.kind, PN_LUA_TOKEN_END);
	free((char *)bytes.data);
}

START_TEST(the_lexer_follows_the_manual)
{
	check_tokens("a = 'b\\'c' .. [==[ ]] ]==] -- d\n--[[ e\n]] f <= 0x1F.8p1 // \"\\\\\" ::g::",
	             (const char *const[]){"a", "=", "b\\'c", "..", " ]] ", "f", "<=", "0x1F.8p1",
	                                   "//", "\\\\", "::", "g", "::", NULL});
	check_tokens("a[b[1]]", (const char *const[]){"a", "[", "b", "[", "1", "]", "]", NULL});
	check_tokens("\"", (const char *const[]){"", NULL});
	check_tokens("[[", (const char *const[]){"", NULL});
	check_tokens("'\\", (const char *const[]){"\\", NULL});
	check_tokens("--", (const char *const[]){NULL});
	check_tokens("--[==[ x", (const char *const[]){NULL});
}
END_TEST

Suite *lines_suite(void)
{
	const TTest *const tests[] = {
		keys_know_their_lines,
		two_calls_on_one_line_are_told_apart_by_name,
		a_table_that_is_no_literal_has_the_line_of_its_call,
		the_lexer_follows_the_manual,
		NULL,
	};

	return suite_of("lines", tests);
}
