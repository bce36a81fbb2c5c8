/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mention in the configuration file becomes a config struct: every setting
 * finds its row, every row its value. What is unknown or missing is an error with
 * its place. Called by core/config; the struct belongs to the caller.
 */
#include "module/options.h"

#include "module/option_value.h"

#include <postern/text.h>

static size_t count_rows(const struct pn_option *options, size_t option_size)
{
	size_t count = 0;

	while (options != NULL &&
	       pn_option_row(options, option_size, count)->type != PN_OPTION_TYPE_END)
		count++;
	return count;
}

static const struct pn_setting *find_setting(const struct pn_settings *settings, const char *name)
{
	for (size_t index = 0; index < settings->count; index++) {
		if (strcmp(settings->rows[index].name, name) == 0)
			return &settings->rows[index];
	}
	return NULL;
}

static enum pn_status refuse_unknown(const struct pn_option *options, size_t option_size,
                                     size_t row_count, const struct pn_settings *settings,
                                     const struct pn_setting *setting, struct pn_arena *arena,
                                     struct pn_error *error)
{
	const char **names = PN_ARENA_ARRAY(arena, row_count + 1, const char *);
	const char *nearest;

	for (size_t index = 0; index < row_count; index++)
		names[index] = pn_option_row(options, option_size, index)->name;
	nearest = pn_nearest_word(setting->name, names);
	if (nearest == NULL)
		return pn_fail(error, "%s:%d: %s: there is no option \"%s\"", settings->file,
		               setting->line, settings->what, setting->name);
	return pn_fail(error, "%s:%d: %s: there is no option \"%s\"; did you mean \"%s\"?",
	               settings->file, setting->line, settings->what, setting->name, nearest);
}

static enum pn_status check_names(const struct pn_option *options, size_t option_size,
                                  size_t row_count, const struct pn_settings *settings,
                                  struct pn_arena *arena, struct pn_error *error)
{
	for (size_t index = 0; index < settings->count; index++) {
		const struct pn_setting *setting = &settings->rows[index];
		bool is_known = false;

		for (size_t row = 0; row < row_count && !is_known; row++)
			is_known = strcmp(pn_option_row(options, option_size, row)->name,
			                  setting->name) == 0;
		if (!is_known)
			return refuse_unknown(options, option_size, row_count, settings, setting,
			                      arena, error);
	}
	return PN_OK;
}

static enum pn_status apply_row(const struct pn_option *option, const struct pn_settings *settings,
                                struct pn_arena *arena, void *field, struct pn_error *error)
{
	const struct pn_setting *setting = find_setting(settings, option->name);
	int line = setting != NULL ? setting->line : settings->line;
	enum pn_status status;

	if (setting == NULL && (option->flags & PN_OPTION_REQUIRED) != 0)
		return pn_fail(error, "%s:%d: %s: %s is missing; it must be %s", settings->file,
		               line, settings->what, option->name,
		               pn_option_type_words(option->type));
	if (setting != NULL)
		status = pn_option_set(option, setting, settings->directory, arena, field, error);
	else
		status = pn_option_set_default(option, settings->directory, arena, field, error);
	if (status != PN_OK)
		pn_error_prefix(error, "%s:%d: %s", settings->file, line, settings->what);
	return status;
}

enum pn_status pn_options_apply(const struct pn_option *options, size_t option_size,
                                const struct pn_settings *settings, struct pn_arena *arena,
                                void *config, struct pn_error *error)
{
	size_t row_count = count_rows(options, option_size);

	if (check_names(options, option_size, row_count, settings, arena, error) != PN_OK)
		return PN_FAILED;
	for (size_t index = 0; index < row_count; index++) {
		const struct pn_option *option = pn_option_row(options, option_size, index);

		if (apply_row(option, settings, arena, (char *)config + option->field_offset,
		              error) != PN_OK)
			return PN_FAILED;
	}
	return PN_OK;
}

static bool same_text(const char *left, const char *right)
{
	return left == right || (left != NULL && right != NULL && strcmp(left, right) == 0);
}

static bool same_list(const struct pn_text_list *left, const struct pn_text_list *right)
{
	if (left->count != right->count)
		return false;
	for (size_t index = 0; index < left->count; index++) {
		if (!same_text(left->items[index], right->items[index]))
			return false;
	}
	return true;
}

static bool same_value(enum pn_option_type type, const void *left, const void *right)
{
	switch (type) {
	case PN_OPTION_TYPE_STRING:
	case PN_OPTION_TYPE_PATH:
		return same_text(*(const char *const *)left, *(const char *const *)right);
	case PN_OPTION_TYPE_LIST:
		return same_list(left, right);
	default:
		return memcmp(left, right, pn_option_field_size(type)) == 0;
	}
}

bool pn_options_need_restart(const struct pn_option *options, size_t option_size,
                             const void *old_config, const void *new_config,
                             struct pn_buffer *names)
{
	size_t row_count = count_rows(options, option_size);
	bool found = false;

	for (size_t index = 0; index < row_count; index++) {
		const struct pn_option *option = pn_option_row(options, option_size, index);
		size_t offset = option->field_offset;

		if ((option->flags & PN_OPTION_RELOADABLE) != 0 ||
		    same_value(option->type, (const char *)old_config + offset,
		               (const char *)new_config + offset))
			continue;
		/* The names are for people; where there is no more room, the first ones do. */
		if (pn_buffer_print(names, "%s%s", found ? ", " : "", option->name) != PN_OK)
			return true;
		found = true;
	}
	return found;
}
