/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference, written from the tables: OPTIONS.md beside a module and the
 * commented Lua of conf/reference.lua. A test compares what is in the tree with
 * what comes out here. Any thread.
 */
#include "module/options.h"

#include "module/option_value.h"

#include <postern/text.h>

/* Writes until there is no more room, and remembers that. */
struct writer {
	struct pn_buffer *out;
	enum pn_status status;
};

static void put(struct writer *writer, const char *text)
{
	if (writer->status == PN_OK)
		writer->status = pn_buffer_append(writer->out, pn_slice_of(text));
}

/* The bytes of `special` get `escape` before them. */
static void put_escaped(struct writer *writer, const char *text, const char *special,
                        const char *escape)
{
	for (; *text != '\0'; text++) {
		const char letter[2] = {*text, '\0'};

		if (strchr(special, *text) != NULL)
			put(writer, escape);
		put(writer, *text == '\n' ? "n" : letter);
	}
}

static void put_lua_text(struct writer *writer, const char *text)
{
	put(writer, "\"");
	put_escaped(writer, text, "\"\\\n", "\\");
	put(writer, "\"");
}

/* "a b" as { "a", "b" }. */
static void put_lua_list(struct writer *writer, const char *text)
{
	const char *before = "{ ";

	while (*text != '\0') {
		size_t size = strcspn(text, " ");
		char item[256];

		if (size > 0 && size < sizeof(item)) {
			memcpy(item, text, size);
			item[size] = '\0';
			put(writer, before);
			put_lua_text(writer, item);
			before = ", ";
		}
		text += size + (text[size] == ' ');
	}
	put(writer, before[0] == '{' ? "{}" : " }");
}

/* The default as it would stand in the file. */
static void put_default(struct writer *writer, const struct pn_option *option)
{
	const char *text = option->default_text;

	if (option->type == PN_OPTION_TYPE_LIST)
		put_lua_list(writer, text == NULL ? "" : text);
	else if (text == NULL)
		put(writer, "nil");
	else if (option->type == PN_OPTION_TYPE_BOOL)
		put(writer, strcmp(text, "yes") == 0 ? "true" : "false");
	else if (option->type == PN_OPTION_TYPE_COUNT)
		put(writer, text);
	else
		put_lua_text(writer, text);
}

static void put_choices(struct writer *writer, const struct pn_option *option)
{
	for (const char *const *choice = option->choices; *choice != NULL; choice++) {
		put(writer, choice == option->choices ? "" : ", ");
		put_lua_text(writer, *choice);
	}
}

/* "a whole number from 1 to 10", "one of "a", "b"". */
static void put_type(struct writer *writer, const struct pn_option *option)
{
	if (option->type == PN_OPTION_TYPE_CHOICE) {
		put(writer, "one of ");
		put_choices(writer, option);
		return;
	}
	put(writer, pn_option_type_words(option->type));
	if (pn_option_has_limits(option->type)) {
		put(writer, " from ");
		put(writer, option->minimum_text);
		put(writer, " to ");
		put(writer, option->maximum_text);
	}
}

enum pn_status pn_options_markdown(const struct pn_option *options, size_t option_size,
                                   struct pn_buffer *out)
{
	struct writer writer = {out, PN_OK};

	if (options == NULL || options->type == PN_OPTION_TYPE_END) {
		put(&writer, "There are no options.\n");
		return writer.status;
	}
	put(&writer, "| option | default | value | changes |\n|---|---|---|---|\n");
	for (const struct pn_option *option = options; option->type != PN_OPTION_TYPE_END;
	     option = pn_option_row(option, option_size, 1)) {
		bool is_required = (option->flags & PN_OPTION_REQUIRED) != 0;
		bool is_reloadable = (option->flags & PN_OPTION_RELOADABLE) != 0;

		put(&writer, "| `");
		put(&writer, option->name);
		put(&writer, is_required ? "` | must be given" : "` | `");
		if (!is_required) {
			put_default(&writer, option);
			put(&writer, "`");
		}
		put(&writer, " | ");
		put_escaped(&writer, option->summary, "|", "\\");
		put(&writer, " It is ");
		put_type(&writer, option);
		put(&writer, is_reloadable ? ". | at reload |\n" : ". | with new workers |\n");
	}
	return writer.status;
}

enum pn_status pn_options_lua(const struct pn_option *options, size_t option_size,
                              const char *indent, struct pn_buffer *out)
{
	struct writer writer = {out, PN_OK};

	for (const struct pn_option *option = options;
	     option != NULL && option->type != PN_OPTION_TYPE_END;
	     option = pn_option_row(option, option_size, 1)) {
		bool is_required = (option->flags & PN_OPTION_REQUIRED) != 0;

		put(&writer, indent);
		put(&writer, "-- ");
		put(&writer, option->summary);
		put(&writer, "\n");
		put(&writer, indent);
		put(&writer, "-- It is ");
		put_type(&writer, option);
		put(&writer, is_required ? "; it must be given.\n" : ".\n");
		put(&writer, indent);
		/* What has no default is shown and left out. */
		put(&writer, is_required || (option->default_text == NULL &&
		                             option->type != PN_OPTION_TYPE_LIST)
		                     ? "-- "
		                     : "");
		put(&writer, option->name);
		put(&writer, " = ");
		put_default(&writer, option);
		put(&writer, ",\n\n");
	}
	return writer.status;
}
