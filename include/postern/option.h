/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options: a table of typed rows, from which the gateway checks the
 * configuration file (with file and line, and the nearest known name for a
 * typo), fills in the module's config struct, and writes the reference.
 *
 * Defaults and limits are text and go through the parser of the file, so the
 * reference shows what people type. A row whose type does not fit its field
 * does not compile. `summary` is mandatory: one sentence, with a full stop.
 *
 *	struct hello_config {
 *		const char *greeting;
 *		uint32_t times;
 *	};
 *
 *	static const struct pn_option hello_options[] = {
 *		PN_OPTION_STRING(struct hello_config, greeting, "hello",
 *			.summary = "Word written to the log for each connection."),
 *		PN_OPTION_COUNT(struct hello_config, times, "1",
 *			.minimum_text = "1", .maximum_text = "10",
 *			.summary = "How often it is written."),
 *		PN_OPTION_TABLE_END,
 *	};
 *
 * COUNT, SIZE and DURATION rows must give a minimum and a maximum. 0 never
 * means unlimited.
 */
#ifndef POSTERN_OPTION_H
#define POSTERN_OPTION_H

#include <postern/types.h>

enum pn_option_type {
	PN_OPTION_TYPE_END = 0,
	PN_OPTION_TYPE_BOOL,     /* bool:  true, false ("yes", "no" as text)       */
	PN_OPTION_TYPE_COUNT,    /* uint32_t                                       */
	PN_OPTION_TYPE_SIZE,     /* uint64_t, bytes: 4096, "50M"                   */
	PN_OPTION_TYPE_DURATION, /* uint64_t, milliseconds: "30s", "5m"            */
	PN_OPTION_TYPE_STRING,   /* const char *                                   */
	PN_OPTION_TYPE_CHOICE,   /* uint32_t, index into `choices`                 */
	PN_OPTION_TYPE_LIST,     /* struct pn_text_list: { "a", "b" }              */
	PN_OPTION_TYPE_PATH,     /* const char *; relative to the file naming it   */
};

enum pn_option_flags {
	PN_OPTION_RELOADABLE = 1u << 0, /* a reload may change it in a running worker */
	PN_OPTION_REQUIRED = 1u << 1,   /* no default: the file must give it          */
	PN_OPTION_SECRET = 1u << 2,     /* never printed                              */
	PN_OPTION_WRITES = 1u << 3,     /* PATH: what is there is made and changed; all others are only read,
	                                 * and what no PATH names a worker cannot reach */
};

struct pn_text_list {
	const char *const *items;
	size_t count;
};

struct pn_option {
	enum pn_option_type type;
	uint32_t flags;
	const char *name;
	size_t field_offset;
	const char *default_text;       /* LIST: items separated by spaces; NULL: empty */
	const char *minimum_text;
	const char *maximum_text;
	const char *const *choices;     /* NULL-terminated; CHOICE only */
	const char *summary;
};

/* The offset of a field, and a compile error where its type is another. */
#define PN_OPTION_FIELD(config, field, field_type)                                                 \
	(offsetof(config, field) + 0 * sizeof((field_type *)0 == &((config *)0)->field))

#define PN_OPTION_ROW(option_type, config, field, field_type, default_value, ...)                  \
	{                                                                                          \
		.type = option_type, .name = #field,                                               \
		.field_offset = PN_OPTION_FIELD(config, field, field_type),                        \
		.default_text = default_value, __VA_ARGS__                                         \
	}

#define PN_OPTION_BOOL(config, field, default_value, ...)                                          \
	PN_OPTION_ROW(PN_OPTION_TYPE_BOOL, config, field, bool, default_value, __VA_ARGS__)
#define PN_OPTION_COUNT(config, field, default_value, ...)                                         \
	PN_OPTION_ROW(PN_OPTION_TYPE_COUNT, config, field, uint32_t, default_value, __VA_ARGS__)
#define PN_OPTION_SIZE(config, field, default_value, ...)                                          \
	PN_OPTION_ROW(PN_OPTION_TYPE_SIZE, config, field, uint64_t, default_value, __VA_ARGS__)
#define PN_OPTION_DURATION(config, field, default_value, ...)                                      \
	PN_OPTION_ROW(PN_OPTION_TYPE_DURATION, config, field, uint64_t, default_value, __VA_ARGS__)
#define PN_OPTION_STRING(config, field, default_value, ...)                                        \
	PN_OPTION_ROW(PN_OPTION_TYPE_STRING, config, field, const char *, default_value,           \
		      __VA_ARGS__)
#define PN_OPTION_CHOICE(config, field, default_value, ...)                                        \
	PN_OPTION_ROW(PN_OPTION_TYPE_CHOICE, config, field, uint32_t, default_value, __VA_ARGS__)
#define PN_OPTION_LIST(config, field, default_value, ...)                                          \
	PN_OPTION_ROW(PN_OPTION_TYPE_LIST, config, field, struct pn_text_list, default_value,      \
		      __VA_ARGS__)
#define PN_OPTION_PATH(config, field, default_value, ...)                                          \
	PN_OPTION_ROW(PN_OPTION_TYPE_PATH, config, field, const char *, default_value, __VA_ARGS__)

#define PN_OPTION_TABLE_END                                                                        \
	{                                                                                          \
		.type = PN_OPTION_TYPE_END                                                         \
	}

#endif
