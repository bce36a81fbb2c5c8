/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of options, one type at a time. Called for each setting of the
 * configuration file and for each default; texts that stay live in the caller's
 * arena. Says what should have been written. Any thread.
 */
#include "module/option_value.h"

#include <postern/text.h>

#include <stdio.h>

size_t pn_option_field_size(enum pn_option_type type)
{
	switch (type) {
	case PN_OPTION_TYPE_BOOL:
		return sizeof(bool);
	case PN_OPTION_TYPE_COUNT:
	case PN_OPTION_TYPE_CHOICE:
		return sizeof(uint32_t);
	case PN_OPTION_TYPE_SIZE:
	case PN_OPTION_TYPE_DURATION:
		return sizeof(uint64_t);
	case PN_OPTION_TYPE_STRING:
	case PN_OPTION_TYPE_PATH:
		return sizeof(const char *);
	case PN_OPTION_TYPE_LIST:
		return sizeof(struct pn_text_list);
	case PN_OPTION_TYPE_END:
		break;
	}
	return 0;
}

const char *pn_option_type_words(enum pn_option_type type)
{
	switch (type) {
	case PN_OPTION_TYPE_BOOL:
		return "true or false";
	case PN_OPTION_TYPE_COUNT:
		return "a whole number";
	case PN_OPTION_TYPE_SIZE:
		return "a size like \"50M\"";
	case PN_OPTION_TYPE_DURATION:
		return "a duration like \"30s\"";
	case PN_OPTION_TYPE_STRING:
		return "a text";
	case PN_OPTION_TYPE_CHOICE:
		return "one of its words";
	case PN_OPTION_TYPE_LIST:
		return "a list of texts";
	case PN_OPTION_TYPE_PATH:
		return "a path";
	case PN_OPTION_TYPE_END:
		break;
	}
	return "nothing";
}

bool pn_option_has_limits(enum pn_option_type type)
{
	return type == PN_OPTION_TYPE_COUNT || type == PN_OPTION_TYPE_SIZE ||
	       type == PN_OPTION_TYPE_DURATION;
}

enum pn_status pn_option_parse_number(enum pn_option_type type, const char *text,
                                      uint64_t *number_out)
{
	uint64_t number;
	enum pn_status status;

	if (type == PN_OPTION_TYPE_SIZE)
		status = pn_parse_size(pn_slice_of(text), &number);
	else if (type == PN_OPTION_TYPE_DURATION)
		status = pn_parse_duration(pn_slice_of(text), &number);
	else
		status = pn_parse_count(pn_slice_of(text), &number);
	if (status != PN_OK || (type == PN_OPTION_TYPE_COUNT && number > UINT32_MAX))
		return PN_FAILED;
	*number_out = number;
	return PN_OK;
}

/* "must be a whole number, is the text "ten"". */
static enum pn_status wrong_type(const struct pn_option *option, const struct pn_setting *setting,
                                 struct pn_error *error)
{
	const char *must = pn_option_type_words(option->type);

	if ((option->flags & PN_OPTION_SECRET) != 0)
		return pn_fail(error, "%s must be %s", option->name, must);
	switch (setting->kind) {
	case PN_SETTING_BOOL:
		return pn_fail(error, "%s must be %s, is %s", option->name, must,
		               strcmp(setting->text, "yes") == 0 ? "true" : "false");
	case PN_SETTING_NUMBER:
		return pn_fail(error, "%s must be %s, is the number %s", option->name, must,
		               setting->text);
	case PN_SETTING_TEXT:
		return pn_fail(error, "%s must be %s, is the text \"%s\"", option->name, must,
		               setting->text);
	case PN_SETTING_LIST:
		break;
	}
	return pn_fail(error, "%s must be %s, is a list", option->name, must);
}

static enum pn_status set_bool(const struct pn_option *option, const struct pn_setting *setting,
                               bool *field, struct pn_error *error)
{
	bool is_word = setting->kind == PN_SETTING_BOOL || setting->kind == PN_SETTING_TEXT;
	bool is_yes = is_word && strcmp(setting->text, "yes") == 0;

	if (!is_yes && !(is_word && strcmp(setting->text, "no") == 0))
		return wrong_type(option, setting, error);
	*field = is_yes;
	return PN_OK;
}

/* Numbers may stand as text where they have a unit: "50M"; and sizes without one, too: 4096. */
static enum pn_status set_number(const struct pn_option *option, const struct pn_setting *setting,
                                 uint64_t *number_out, struct pn_error *error)
{
	uint64_t number, minimum, maximum;
	bool is_kind_right =
		setting->kind == (option->type == PN_OPTION_TYPE_COUNT ? PN_SETTING_NUMBER
	                                                               : PN_SETTING_TEXT) ||
		(setting->kind == PN_SETTING_NUMBER && option->type == PN_OPTION_TYPE_SIZE);

	if (pn_option_parse_number(option->type, option->minimum_text, &minimum) != PN_OK ||
	    pn_option_parse_number(option->type, option->maximum_text, &maximum) != PN_OK)
		return pn_fail(error, "%s has limits that are no numbers", option->name);
	if (!is_kind_right)
		return wrong_type(option, setting, error);
	if (pn_option_parse_number(option->type, setting->text, &number) != PN_OK) {
		uint64_t large;

		/* A whole number all the same, only larger than any limit? */
		if (option->type != PN_OPTION_TYPE_COUNT ||
		    pn_parse_count(pn_slice_of(setting->text), &large) != PN_OK)
			return wrong_type(option, setting, error);
		number = large;
	}
	if (number < minimum || number > maximum)
		return pn_fail(error, "%s must be from %s to %s, is %s", option->name,
		               option->minimum_text, option->maximum_text, setting->text);
	*number_out = number;
	return PN_OK;
}

/* The words of a choice, for a sentence: "none", "optional", "required". */
static void write_choices(const char *const *choices, char *room, size_t room_size)
{
	size_t size = 0;

	room[0] = '\0';
	for (; *choices != NULL && size < room_size; choices++)
		size += (size_t)snprintf(room + size, room_size - size, "%s\"%s\"",
		                         size == 0 ? "" : ", ", *choices);
}

static enum pn_status set_choice(const struct pn_option *option, const struct pn_setting *setting,
                                 uint32_t *field, struct pn_error *error)
{
	char words[256];
	const char *nearest;

	if (setting->kind == PN_SETTING_LIST)
		return wrong_type(option, setting, error);
	for (uint32_t index = 0; option->choices[index] != NULL; index++) {
		if (strcmp(option->choices[index], setting->text) == 0) {
			*field = index;
			return PN_OK;
		}
	}
	write_choices(option->choices, words, sizeof(words));
	nearest = pn_nearest_word(setting->text, option->choices);
	if (nearest != NULL)
		return pn_fail(error, "%s must be one of %s, is \"%s\"; did you mean \"%s\"?",
		               option->name, words, setting->text, nearest);
	return pn_fail(error, "%s must be one of %s, is \"%s\"", option->name, words,
	               setting->text);
}

static enum pn_status set_list(const struct pn_option *option, const struct pn_setting *setting,
                               struct pn_arena *arena, struct pn_text_list *field,
                               struct pn_error *error)
{
	const char **items;

	/* One text is a list of one. */
	if (setting->kind == PN_SETTING_TEXT) {
		items = PN_ARENA_ARRAY(arena, 2, const char *);
		items[0] = pn_arena_keep_text(arena, pn_slice_of(setting->text));
		*field = (struct pn_text_list){items, 1};
		return PN_OK;
	}
	if (setting->kind != PN_SETTING_LIST)
		return wrong_type(option, setting, error);
	items = PN_ARENA_ARRAY(arena, setting->item_count + 1, const char *);
	for (size_t index = 0; index < setting->item_count; index++)
		items[index] = pn_arena_keep_text(arena, pn_slice_of(setting->items[index]));
	*field = (struct pn_text_list){items, setting->item_count};
	return PN_OK;
}

static enum pn_status set_text(const struct pn_option *option, const struct pn_setting *setting,
                               const char *directory, struct pn_arena *arena, const char **field,
                               struct pn_error *error)
{
	const char *text = setting->text;

	if (setting->kind != PN_SETTING_TEXT)
		return wrong_type(option, setting, error);
	if (option->type == PN_OPTION_TYPE_PATH && text[0] == '\0')
		return pn_fail(error, "%s must be a path, is empty", option->name);
	if (option->type == PN_OPTION_TYPE_PATH && text[0] != '/' && directory != NULL)
		*field = pn_arena_print(arena, "%s/%s", directory, text);
	else
		*field = pn_arena_keep_text(arena, pn_slice_of(text));
	return PN_OK;
}

enum pn_status pn_option_set(const struct pn_option *option, const struct pn_setting *setting,
                             const char *directory, struct pn_arena *arena, void *field,
                             struct pn_error *error)
{
	uint64_t number = 0;

	switch (option->type) {
	case PN_OPTION_TYPE_BOOL:
		return set_bool(option, setting, field, error);
	case PN_OPTION_TYPE_COUNT:
	case PN_OPTION_TYPE_SIZE:
	case PN_OPTION_TYPE_DURATION:
		if (set_number(option, setting, &number, error) != PN_OK)
			return PN_FAILED;
		if (option->type == PN_OPTION_TYPE_COUNT)
			*(uint32_t *)field = (uint32_t)number;
		else
			*(uint64_t *)field = number;
		return PN_OK;
	case PN_OPTION_TYPE_CHOICE:
		return set_choice(option, setting, field, error);
	case PN_OPTION_TYPE_LIST:
		return set_list(option, setting, arena, field, error);
	case PN_OPTION_TYPE_STRING:
	case PN_OPTION_TYPE_PATH:
		return set_text(option, setting, directory, arena, field, error);
	case PN_OPTION_TYPE_END:
		break;
	}
	return pn_fail(error, "%s is of a type that nobody knows", option->name);
}

/* "a b c" as the items of a list setting. */
static void split_items(const char *text, struct pn_arena *arena, struct pn_setting *setting)
{
	struct pn_slice rest = pn_slice_of(text);
	const char **items = PN_ARENA_ARRAY(arena, rest.size + 1, const char *);
	size_t count = 0;

	while (rest.size > 0) {
		struct pn_slice item = pn_slice_cut(&rest, ' ');

		if (item.size > 0)
			items[count++] = pn_arena_keep_text(arena, item);
	}
	setting->items = items;
	setting->item_count = count;
}

enum pn_status pn_option_set_default(const struct pn_option *option, const char *directory,
                                     struct pn_arena *arena, void *field, struct pn_error *error)
{
	struct pn_setting setting = {.name = option->name, .text = option->default_text};

	if (option->default_text == NULL) {
		memset(field, 0, pn_option_field_size(option->type));
		return PN_OK;
	}
	if (option->type == PN_OPTION_TYPE_LIST) {
		setting.kind = PN_SETTING_LIST;
		split_items(option->default_text, arena, &setting);
	} else if (option->type == PN_OPTION_TYPE_COUNT) {
		setting.kind = PN_SETTING_NUMBER;
	} else {
		setting.kind = PN_SETTING_TEXT;
	}
	return pn_option_set(option, &setting, directory, arena, field, error);
}
