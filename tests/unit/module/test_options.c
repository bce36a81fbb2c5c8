/* SPDX-License-Identifier: Apache-2.0 */
/* Settings into config structs: each type at its limit and one past it. */
#include "../exact.h"
#include "suites.h"

#include "module/options.h"

#include <postern/text.h>

struct config {
	bool flag;
	uint32_t count;
	uint64_t size;
	uint64_t duration;
	const char *text;
	uint32_t choice;
	struct pn_text_list list;
	const char *path;
	const char *secret;
};

static const char *const words[] = {"none", "optional", "required", NULL};

static const struct pn_option options[] = {
	PN_OPTION_BOOL(struct config, flag, "yes", .summary = "Whether it flies."),
	PN_OPTION_COUNT(struct config, count, "5", .minimum_text = "1", .maximum_text = "10",
                        .flags = PN_OPTION_RELOADABLE, .summary = "How many | there are."),
	PN_OPTION_SIZE(struct config, size, "50M", .minimum_text = "1k", .maximum_text = "1G",
                       .summary = "How large."),
	PN_OPTION_DURATION(struct config, duration, "5m", .minimum_text = "1s",
                           .maximum_text = "1h", .summary = "How long."),
	PN_OPTION_STRING(struct config, text, "hel\"lo", .summary = "What it says."),
	PN_OPTION_CHOICE(struct config, choice, "optional", .choices = words,
                         .summary = "Whether it must."),
	PN_OPTION_LIST(struct config, list, "a  b", .summary = "Which ones."),
	PN_OPTION_PATH(struct config, path, "users", .summary = "Where it is."),
	PN_OPTION_STRING(struct config, secret, NULL, .flags = PN_OPTION_SECRET,
                         .summary = "What nobody knows."),
	PN_OPTION_TABLE_END,
};

/* Applies one setting (or none, with a NULL name). The arena stays until the process ends. */
static enum pn_status apply(const struct pn_setting *setting, struct config *config,
                            struct pn_error *error)
{
	struct pn_settings settings = {.file = "/etc/postern.lua",
	                               .line = 7,
	                               .what = "module \"hello\" (mx)",
	                               .directory = "/etc",
	                               .rows = setting,
	                               .count = setting == NULL ? 0 : 1};
	static struct pn_arena *arena;

	if (arena == NULL)
		arena = pn_arena_new();
	memset(config, 0, sizeof(*config));
	return pn_options_apply(options, sizeof(options[0]), &settings, arena, config, error);
}

static struct config accepts(enum pn_setting_kind kind, const char *name, const char *text)
{
	struct pn_setting setting = {.name = name, .kind = kind, .text = text, .line = 9};
	struct pn_error error = {.text = ""};
	struct config config;

	ck_assert_msg(apply(&setting, &config, &error) == PN_OK, "%s", error.text);
	return config;
}

static void refuses(enum pn_setting_kind kind, const char *name, const char *text,
                    const char *sentence)
{
	struct pn_setting setting = {.name = name, .kind = kind, .text = text, .line = 9};
	struct pn_error error = {.text = ""};
	struct config config;

	ck_assert_int_eq(apply(&setting, &config, &error), PN_FAILED);
	ck_assert_str_eq(error.text, sentence);
}

#define HERE "/etc/postern.lua:9: module \"hello\" (mx): "

START_TEST(fills_in_the_defaults)
{
	struct config config;

	ck_assert_int_eq(apply(NULL, &config, NULL), PN_OK);
	ck_assert(config.flag);
	ck_assert_uint_eq(config.count, 5);
	ck_assert_uint_eq(config.size, 50u << 20);
	ck_assert_uint_eq(config.duration, 300000);
	ck_assert_str_eq(config.text, "hel\"lo");
	ck_assert_uint_eq(config.choice, 1);
	ck_assert_uint_eq(config.list.count, 2);
	ck_assert_str_eq(config.list.items[0], "a");
	ck_assert_str_eq(config.list.items[1], "b");
	ck_assert_str_eq(config.path, "/etc/users");
	ck_assert_ptr_null(config.secret);
}
END_TEST

START_TEST(takes_each_type_at_its_limits)
{
	ck_assert(!accepts(PN_SETTING_BOOL, "flag", "no").flag);
	ck_assert(!accepts(PN_SETTING_TEXT, "flag", "no").flag);
	ck_assert_uint_eq(accepts(PN_SETTING_NUMBER, "count", "1").count, 1);
	ck_assert_uint_eq(accepts(PN_SETTING_NUMBER, "count", "10").count, 10);
	ck_assert_uint_eq(accepts(PN_SETTING_TEXT, "size", "1k").size, 1024);
	ck_assert_uint_eq(accepts(PN_SETTING_NUMBER, "size", "1073741824").size, 1u << 30);
	ck_assert_uint_eq(accepts(PN_SETTING_TEXT, "duration", "1000ms").duration, 1000);
	ck_assert_uint_eq(accepts(PN_SETTING_TEXT, "duration", "60m").duration, 3600000);
	ck_assert_str_eq(accepts(PN_SETTING_TEXT, "text", "").text, "");
	ck_assert_uint_eq(accepts(PN_SETTING_TEXT, "choice", "required").choice, 2);
	ck_assert_str_eq(accepts(PN_SETTING_TEXT, "path", "a/b").path, "/etc/a/b");
	ck_assert_str_eq(accepts(PN_SETTING_TEXT, "path", "/a/b").path, "/a/b");
	ck_assert_uint_eq(accepts(PN_SETTING_TEXT, "list", "a b").list.count, 1);
}
END_TEST

START_TEST(refuses_what_is_one_past_a_limit)
{
	refuses(PN_SETTING_NUMBER, "count", "0", HERE "count must be from 1 to 10, is 0");
	refuses(PN_SETTING_NUMBER, "count", "11", HERE "count must be from 1 to 10, is 11");
	refuses(PN_SETTING_NUMBER, "count", "4294967296",
	        HERE "count must be from 1 to 10, is 4294967296");
	refuses(PN_SETTING_NUMBER, "size", "1023", HERE "size must be from 1k to 1G, is 1023");
	refuses(PN_SETTING_TEXT, "size", "1025M", HERE "size must be from 1k to 1G, is 1025M");
	refuses(PN_SETTING_TEXT, "duration", "999ms",
	        HERE "duration must be from 1s to 1h, is 999ms");
	refuses(PN_SETTING_TEXT, "duration", "61m", HERE "duration must be from 1s to 1h, is 61m");
	refuses(PN_SETTING_TEXT, "choice", "require",
	        HERE
	        "choice must be one of \"none\", \"optional\", \"required\", is \"require\"; did "
	        "you mean \"required\"?");
	refuses(PN_SETTING_TEXT, "choice", "",
	        HERE "choice must be one of \"none\", \"optional\", \"required\", is \"\"");
	refuses(PN_SETTING_TEXT, "path", "", HERE "path must be a path, is empty");
}
END_TEST

START_TEST(refuses_the_wrong_type)
{
	refuses(PN_SETTING_NUMBER, "flag", "1", HERE "flag must be true or false, is the number 1");
	refuses(PN_SETTING_TEXT, "flag", "maybe",
	        HERE "flag must be true or false, is the text \"maybe\"");
	refuses(PN_SETTING_TEXT, "count", "5",
	        HERE "count must be a whole number, is the text \"5\"");
	refuses(PN_SETTING_NUMBER, "count", "1.5",
	        HERE "count must be a whole number, is the number 1.5");
	refuses(PN_SETTING_NUMBER, "count", "-1",
	        HERE "count must be a whole number, is the number -1");
	refuses(PN_SETTING_BOOL, "size", "yes", HERE "size must be a size like \"50M\", is true");
	refuses(PN_SETTING_TEXT, "size", "50MB",
	        HERE "size must be a size like \"50M\", is the text \"50MB\"");
	refuses(PN_SETTING_NUMBER, "duration", "30",
	        HERE "duration must be a duration like \"30s\", is the number 30");
	refuses(PN_SETTING_TEXT, "duration", "30",
	        HERE "duration must be a duration like \"30s\", is the text \"30\"");
	refuses(PN_SETTING_NUMBER, "text", "1", HERE "text must be a text, is the number 1");
	refuses(PN_SETTING_LIST, "path", NULL, HERE "path must be a path, is a list");
	refuses(PN_SETTING_LIST, "choice", NULL, HERE "choice must be one of its words, is a list");
	refuses(PN_SETTING_BOOL, "list", "no", HERE "list must be a list of texts, is false");
	refuses(PN_SETTING_NUMBER, "secret", "1234", HERE "secret must be a text");
}
END_TEST

START_TEST(names_the_nearest_option_for_an_unknown_one)
{
	refuses(PN_SETTING_NUMBER, "cuont", "1",
	        HERE "there is no option \"cuont\"; did you mean \"count\"?");
	refuses(PN_SETTING_NUMBER, "entirely", "1", HERE "there is no option \"entirely\"");
}
END_TEST

START_TEST(says_which_required_option_is_missing)
{
	static const struct pn_option required[] = {
		PN_OPTION_PATH(struct config, path, NULL, .flags = PN_OPTION_REQUIRED,
	                       .summary = "Where."),
		PN_OPTION_TABLE_END,
	};
	struct pn_settings settings = {
		.file = "f", .line = 3, .what = "module \"a\"", .directory = "/"};
	struct pn_arena *arena = pn_arena_new();
	struct config config = {.count = 0};
	struct pn_error error;

	ck_assert_int_eq(pn_options_check_table(required, sizeof(required[0]), NULL), PN_OK);
	ck_assert_int_eq(
		pn_options_apply(required, sizeof(required[0]), &settings, arena, &config, &error),
		PN_FAILED);
	ck_assert_str_eq(error.text, "f:3: module \"a\": path is missing; it must be a path");
	pn_arena_free(&arena);
}
END_TEST

START_TEST(keeps_lists)
{
	static const char *const items[] = {"x", "y z"};
	struct pn_setting setting = {
		.name = "list", .kind = PN_SETTING_LIST, .items = items, .item_count = 2};
	struct config config;

	ck_assert_int_eq(apply(&setting, &config, NULL), PN_OK);
	ck_assert_uint_eq(config.list.count, 2);
	ck_assert_str_eq(config.list.items[1], "y z");
	ck_assert_ptr_ne(config.list.items[1], items[1]);
	setting.item_count = 0;
	ck_assert_int_eq(apply(&setting, &config, NULL), PN_OK);
	ck_assert_uint_eq(config.list.count, 0);
}
END_TEST

START_TEST(walks_tables_whose_rows_are_larger_or_smaller_than_ours)
{
	struct wide_row {
		struct pn_option option;
		char more[24];
	} rows[2] = {{.option = options[1]}, {.option = {.type = PN_OPTION_TYPE_END}}};
	struct pn_setting setting = {.name = "count", .kind = PN_SETTING_NUMBER, .text = "3"};
	struct pn_settings settings = {.file = "f", .what = "w", .rows = &setting, .count = 1};
	struct pn_arena *arena = pn_arena_new();
	struct config config = {.count = 0};

	ck_assert_int_eq(
		pn_options_apply(&rows[0].option, sizeof(rows[0]), &settings, arena, &config, NULL),
		PN_OK);
	ck_assert_uint_eq(config.count, 3);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(knows_which_changes_need_new_workers)
{
	struct config before, after;
	struct pn_buffer names;

	pn_buffer_init(&names, 100);
	before = accepts(PN_SETTING_TEXT, "text", "same");
	after = accepts(PN_SETTING_TEXT, "text", "same");
	ck_assert(!pn_options_need_restart(options, sizeof(options[0]), &before, &after, &names));
	after.count = 9;
	ck_assert(!pn_options_need_restart(options, sizeof(options[0]), &before, &after, &names));
	after.text = "other";
	after.path = NULL;
	after.list.count = 1;
	ck_assert(pn_options_need_restart(options, sizeof(options[0]), &before, &after, &names));
	ck_assert(pn_slice_equal(pn_buffer_slice(&names), PN_SLICE("text, list, path")));
	pn_buffer_clear(&names);
}
END_TEST

START_TEST(writes_the_reference)
{
	struct pn_buffer out;

	pn_buffer_init(&out, 10000);
	ck_assert_int_eq(pn_options_markdown(options, sizeof(options[0]), &out), PN_OK);
	ck_assert_int_eq(pn_buffer_append(&out, pn_slice_make("", 1)), PN_OK);
	ck_assert_ptr_nonnull(strstr(out.data, "| `count` | `5` | How many \\| there are. It is a "
	                                       "whole number from 1 to 10. | at reload |\n"));
	ck_assert_ptr_nonnull(strstr(out.data, "| `list` | `{ \"a\", \"b\" }` | Which ones."));
	pn_buffer_clear(&out);
	ck_assert_int_eq(pn_options_lua(options, sizeof(options[0]), "\t", &out), PN_OK);
	ck_assert_int_eq(pn_buffer_append(&out, pn_slice_make("", 1)), PN_OK);
	ck_assert_ptr_nonnull(strstr(out.data, "\t-- What it says.\n\t-- It is a text.\n"
	                                       "\ttext = \"hel\\\"lo\",\n"));
	ck_assert_ptr_nonnull(strstr(out.data, "\tflag = true,\n"));
	ck_assert_ptr_nonnull(strstr(out.data, "\t-- secret = nil,\n"));
	ck_assert_ptr_nonnull(strstr(out.data, "one of \"none\", \"optional\", \"required\""));
	pn_buffer_clear(&out);
	pn_buffer_init(&out, 20);
	ck_assert_int_eq(pn_options_lua(options, sizeof(options[0]), "", &out), PN_LIMIT);
	pn_buffer_clear(&out);
}
END_TEST

Suite *options_suite(void)
{
	static const TTest *tests[11];

	tests[0] = fills_in_the_defaults;
	tests[1] = takes_each_type_at_its_limits;
	tests[2] = refuses_what_is_one_past_a_limit;
	tests[3] = refuses_the_wrong_type;
	tests[4] = names_the_nearest_option_for_an_unknown_one;
	tests[5] = says_which_required_option_is_missing;
	tests[6] = keeps_lists;
	tests[7] = walks_tables_whose_rows_are_larger_or_smaller_than_ours;
	tests[8] = knows_which_changes_need_new_workers;
	tests[9] = writes_the_reference;
	return suite_of("options", tests);
}
