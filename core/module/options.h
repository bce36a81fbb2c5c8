/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Option tables at work: settings from a file into a config struct, and the
 * reference text from a table. Knows nothing of Lua: the configuration file hands
 * over settings with their place. Main or loop thread.
 */
#ifndef CORE_MODULE_OPTIONS_H
#define CORE_MODULE_OPTIONS_H

#include <postern/arena.h>
#include <postern/buffer.h>
#include <postern/error.h>
#include <postern/option.h>

/* What stands in the file for one name. */
enum pn_setting_kind {
	PN_SETTING_BOOL = 0, /* text is "yes" or "no" */
	PN_SETTING_NUMBER,   /* text is its decimal form */
	PN_SETTING_TEXT,
	PN_SETTING_LIST,     /* items */
};

struct pn_setting {
	const char *name;
	enum pn_setting_kind kind;
	const char *text;
	const char *const *items;
	size_t item_count;
	int line;
};

/* The settings of one mention, and where they stand. */
struct pn_settings {
	const char *file;
	int line;                       /* of the mention itself */
	const char *what;               /* for messages: "module \"smtp\" (mx)" */
	const char *directory;          /* PATH values are relative to it */
	const struct pn_setting *rows;
	size_t count;
};

/*
 * Fills in `config` (zeroed, of the table's size): defaults, then settings; checks types, limits,
 * required rows, unknown names. Texts live in the arena. PN_OK, or PN_FAILED with a sentence that
 * begins "FILE:LINE: " and, for an unknown name, ends "; did you mean …?". `option_size` is the
 * step of the table.
 */
PN_MUST_CHECK enum pn_status pn_options_apply(const struct pn_option *options, size_t option_size,
					      const struct pn_settings *settings,
					      struct pn_arena *arena, void *config,
					      struct pn_error *error);

/*
 * The table itself is right: summaries there and ending in a full stop, limits given where needed,
 * defaults within limits. PN_OK, or PN_FAILED naming the row.
 */
PN_MUST_CHECK enum pn_status pn_options_check_table(const struct pn_option *options,
						    size_t option_size, struct pn_error *error);

/* Names of options whose values differ between two configs and that are not reloadable, into
 * `names` (comma separated). True where there is such a difference. */
bool pn_options_need_restart(const struct pn_option *options, size_t option_size,
			     const void *old_config, const void *new_config,
			     struct pn_buffer *names);

/* The reference: Markdown for OPTIONS.md, and commented Lua for conf/reference.lua. */
PN_MUST_CHECK enum pn_status pn_options_markdown(const struct pn_option *options,
						 size_t option_size, struct pn_buffer *out);
PN_MUST_CHECK enum pn_status pn_options_lua(const struct pn_option *options, size_t option_size,
					    const char *indent, struct pn_buffer *out);

#endif
