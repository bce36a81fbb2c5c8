/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a table of options is right: asked once for each module that is loaded,
 * so that a mistake shows at the author's desk and not when somebody sets the
 * option. Any thread.
 */
#include "module/options.h"

#include "module/option_value.h"

#include <postern/text.h>

/* Far more than anybody can configure; a table without its end row stops here. */
enum { MAX_ROWS = 1000 };

/* Names are words of Lua: lower case letters, digits and '_'. */
static bool is_name(const char *name)
{
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return size > 0 && name[size] == '\0' && (name[0] < '0' || name[0] > '9');
}

static bool is_sentence(const char *text)
{
	size_t size = text == NULL ? 0 : strlen(text);

	return size > 1 && text[size - 1] == '.' && strchr(text, '\n') == NULL;
}

static enum pn_status check_limits(const struct pn_option *option, struct pn_error *error)
{
	uint64_t minimum, maximum;

	if (!pn_option_has_limits(option->type)) {
		if (option->minimum_text != NULL || option->maximum_text != NULL)
			return pn_fail(error, "option %s has limits, but is %s", option->name,
			               pn_option_type_words(option->type));
		return PN_OK;
	}
	if (option->minimum_text == NULL || option->maximum_text == NULL)
		return pn_fail(error, "option %s must have a minimum and a maximum", option->name);
	if (pn_option_parse_number(option->type, option->minimum_text, &minimum) != PN_OK ||
	    pn_option_parse_number(option->type, option->maximum_text, &maximum) != PN_OK)
		return pn_fail(error, "option %s has a limit that is not %s", option->name,
		               pn_option_type_words(option->type));
	if (minimum > maximum)
		return pn_fail(error, "option %s has a minimum above its maximum", option->name);
	return PN_OK;
}

static enum pn_status check_default(const struct pn_option *option, struct pn_error *error)
{
	bool may_be_absent = option->type == PN_OPTION_TYPE_STRING ||
	                     option->type == PN_OPTION_TYPE_PATH ||
	                     option->type == PN_OPTION_TYPE_LIST;
	union {
		uint64_t number;
		const char *text;
		struct pn_text_list list;
	} field;
	struct pn_arena *arena;
	enum pn_status status;

	if ((option->flags & PN_OPTION_REQUIRED) != 0) {
		if (option->default_text != NULL)
			return pn_fail(error, "option %s is required and has a default",
			               option->name);
		return PN_OK;
	}
	if (option->default_text == NULL && !may_be_absent)
		return pn_fail(error, "option %s has no default", option->name);
	arena = pn_arena_new();
	status = pn_option_set_default(option, NULL, arena, &field, error);
	if (status != PN_OK)
		pn_error_prefix(error, "default of option");
	pn_arena_free(&arena);
	return status;
}

static enum pn_status check_row(const struct pn_option *option, struct pn_error *error)
{
	if (option->name == NULL || !is_name(option->name))
		return pn_fail(error,
		               "an option has no name of lower case letters, digits and '_'");
	if (pn_option_field_size(option->type) == 0)
		return pn_fail(error, "option %s is of a type that this gateway does not know",
		               option->name);
	if (!is_sentence(option->summary))
		return pn_fail(error, "option %s has no summary, one sentence with a full stop",
		               option->name);
	if ((option->type == PN_OPTION_TYPE_CHOICE) != (option->choices != NULL))
		return pn_fail(error, "option %s must have choices if, and only if, it is a choice",
		               option->name);
	if (option->choices != NULL && option->choices[0] == NULL)
		return pn_fail(error, "option %s has no choices", option->name);
	if (check_limits(option, error) != PN_OK)
		return PN_FAILED;
	return check_default(option, error);
}

enum pn_status pn_options_check_table(const struct pn_option *options, size_t option_size,
                                      struct pn_error *error)
{
	size_t count = 0;

	for (; pn_option_row(options, option_size, count)->type != PN_OPTION_TYPE_END; count++) {
		const struct pn_option *option = pn_option_row(options, option_size, count);

		if (count == MAX_ROWS)
			return pn_fail(error, "the table of options does not end");
		if (check_row(option, error) != PN_OK)
			return PN_FAILED;
		for (size_t index = 0; index < count; index++) {
			if (strcmp(pn_option_row(options, option_size, index)->name,
			           option->name) == 0)
				return pn_fail(error, "option %s stands twice in the table",
				               option->name);
		}
	}
	return PN_OK;
}
