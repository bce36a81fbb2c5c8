/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of modules: copied from smaller rows, and refused where they are wrong. */
#include "../exact.h"
#include "suites.h"

#include "module/options.h"
#include "module/table.h"

#include <postern/protocol.h>

struct config {
	uint32_t count;
	const char *text;
};

static enum pn_verdict nothing(const struct pn_stage_call *call)
{
	(void)call;
	return PN_VERDICT_CONTINUE;
}

static const struct pn_option good_options[] = {
	PN_OPTION_COUNT(struct config, count, "5", .minimum_text = "1", .maximum_text = "10",
                        .summary = "How many."),
	PN_OPTION_STRING(struct config, text, NULL, .summary = "What."),
	PN_OPTION_TABLE_END,
};

static const struct pn_hook good_hooks[] = {
	{.stage = PN_STAGE_CLIENT_HELLO, .run = nothing, .summary = "Does nothing."},
	{.stage = PN_STAGE_NONE},
};

static struct pn_module good_module(void)
{
	return (struct pn_module){
		.abi_major = PN_ABI_MAJOR,
		.abi_minor = PN_ABI_MINOR,
		.struct_size = sizeof(struct pn_module),
		.option_size = sizeof(struct pn_option),
		.hook_size = sizeof(struct pn_hook),
		.name = "hello",
		.version = "1.0",
		.summary = "Says hello.",
		.options = good_options,
		.config_size = sizeof(struct config),
		.hooks = good_hooks,
	};
}

static enum pn_status load(const struct pn_module *module, struct pn_error *error)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_module copy;
	enum pn_status status = pn_module_copy(module, arena, &copy, error);

	if (status == PN_OK)
		status = pn_module_check(&copy, error);
	pn_arena_free(&arena);
	return status;
}

static void refuses(const struct pn_module *module, const char *expected)
{
	struct pn_error error = {.text = ""};

	ck_assert_int_eq(load(module, &error), PN_FAILED);
	ck_assert_msg(strstr(error.text, expected) != NULL, "%s", error.text);
}

START_TEST(takes_a_module_that_is_right)
{
	struct pn_module module = good_module();
	struct pn_error error;

	ck_assert_msg(load(&module, &error) == PN_OK, "%s", error.text);
	module.options = NULL;
	module.hooks = NULL;
	module.config_size = 0;
	ck_assert_msg(load(&module, &error) == PN_OK, "%s", error.text);
}
END_TEST

/* What a later interface appends is 0 in a module of today. */
START_TEST(copies_a_smaller_struct_and_a_smaller_part)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_module module = good_module(), copy;
	struct pn_protocol protocol = {.struct_size = offsetof(struct pn_protocol, drained),
	                               .name = "echo"};

	memset((char *)&protocol + offsetof(struct pn_protocol, drained), 0xff,
	       sizeof(protocol) - offsetof(struct pn_protocol, drained));
	module.protocol = &protocol;
	module.struct_size = offsetof(struct pn_module, check_config);
	memset((char *)&module + module.struct_size, 0xff, sizeof(module) - module.struct_size);
	ck_assert_int_eq(pn_module_copy(&module, arena, &copy, NULL), PN_OK);
	ck_assert(copy.check_config == NULL && copy.start == NULL && copy.stop == NULL);
	ck_assert(copy.protocol->close == NULL && copy.protocol->drained == NULL);
	ck_assert_str_eq(copy.protocol->name, "echo");
	ck_assert_ptr_ne(copy.options, good_options);
	ck_assert_str_eq(copy.options[1].name, "text");
	ck_assert_int_eq(copy.hooks[1].stage, PN_STAGE_NONE);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(refuses_sizes_it_does_not_know)
{
	struct pn_module module = good_module();
	struct pn_protocol protocol = {.struct_size = sizeof(protocol) + 8, .name = "echo"};

	module.option_size++;
	refuses(&module, "its rows have");
	module = good_module();
	module.hook_size = 8;
	refuses(&module, "its rows have");
	module = good_module();
	module.protocol = &protocol;
	refuses(&module, "its protocol has a struct_size");
	protocol.struct_size = 0;
	refuses(&module, "its protocol has a struct_size");
	protocol.struct_size = sizeof(protocol);
	refuses(&module, "no open()");
}
END_TEST

START_TEST(refuses_hooks_that_make_no_sense)
{
	struct pn_hook hooks[2] = {good_hooks[0], {.stage = PN_STAGE_NONE}};
	struct pn_module module = good_module();

	module.hooks = hooks;
	hooks[0].summary = "No full stop";
	refuses(&module, "hook 0 has no summary");
	hooks[0].summary = NULL;
	refuses(&module, "hook 0 has no summary");
	hooks[0] = good_hooks[0];
	hooks[0].run = NULL;
	refuses(&module, "nothing to run");
	hooks[0] = good_hooks[0];
	hooks[0].stage = PN_STAGE_COUNT;
	refuses(&module, "a stage that this gateway does not know");
	hooks[0] = good_hooks[0];
	hooks[0].on_error = (enum pn_on_error)9;
	refuses(&module, "on_error");
}
END_TEST

START_TEST(refuses_modules_that_do_not_say_what_they_are)
{
	struct pn_module module = good_module();

	module.summary = NULL;
	refuses(&module, "no summary");
	module = good_module();
	module.version = NULL;
	refuses(&module, "no version");
	module = good_module();
	module.config_size = 4;
	refuses(&module, "option text lies outside of the config struct");
}
END_TEST

/* One row that is wrong, and what is said about it. */
static void refuses_row(struct pn_option row, const char *expected)
{
	struct pn_option rows[3] = {row, {.type = PN_OPTION_TYPE_END}};
	struct pn_error error = {.text = ""};

	ck_assert_int_eq(pn_options_check_table(rows, sizeof(rows[0]), &error), PN_FAILED);
	ck_assert_msg(strstr(error.text, expected) != NULL, "%s", error.text);
}

START_TEST(refuses_rows_of_options_that_are_wrong)
{
	struct pn_option row = good_options[0];
	struct pn_option twice[3] = {row, row, {.type = PN_OPTION_TYPE_END}};

	row.summary = "";
	refuses_row(row, "option count has no summary");
	row.summary = "No stop";
	refuses_row(row, "option count has no summary");
	row = good_options[0];
	row.name = "Count";
	refuses_row(row, "lower case");
	row = good_options[0];
	row.type = (enum pn_option_type)77;
	refuses_row(row, "type");
	row = good_options[0];
	row.maximum_text = NULL;
	refuses_row(row, "must have a minimum and a maximum");
	row.maximum_text = "many";
	refuses_row(row, "limit that is not a whole number");
	row.maximum_text = "0";
	refuses_row(row, "minimum above its maximum");
	row.maximum_text = "4";
	refuses_row(row, "default of option: count must be from 1 to 4, is 5");
	row = good_options[0];
	row.default_text = NULL;
	refuses_row(row, "no default");
	row = good_options[0];
	row.flags = PN_OPTION_REQUIRED;
	refuses_row(row, "required and has a default");
	row = good_options[1];
	row.minimum_text = "1";
	refuses_row(row, "has limits, but is a text");
	row = good_options[1];
	row.type = PN_OPTION_TYPE_CHOICE;
	refuses_row(row, "must have choices");
	ck_assert_int_eq(pn_options_check_table(twice, sizeof(twice[0]), NULL), PN_FAILED);
}
END_TEST

Suite *table_suite(void)
{
	static const TTest *tests[7];

	tests[0] = takes_a_module_that_is_right;
	tests[1] = copies_a_smaller_struct_and_a_smaller_part;
	tests[2] = refuses_sizes_it_does_not_know;
	tests[3] = refuses_hooks_that_make_no_sense;
	tests[4] = refuses_modules_that_do_not_say_what_they_are;
	tests[5] = refuses_rows_of_options_that_are_wrong;
	return suite_of("table", tests);
}
