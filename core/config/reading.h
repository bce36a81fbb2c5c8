/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder share while a configuration file is read: the
 * Lua state, the rows gathered so far, and how an error is raised in it. Lives
 * for one pn_config_parse. Main thread.
 */
#ifndef CORE_CONFIG_READING_H
#define CORE_CONFIG_READING_H

#include <lua.h>
#include <postern/error.h>

#include "base/map.h"
#include "config/config.h"
#include "policy/lexer.h"
#include "policy/memory.h"

enum {
	PN_CONFIG_FILE_MAX = 1024 * 1024,
	PN_CONFIG_MEMORY_MAX = 32 * 1024 * 1024,
	PN_CONFIG_INSTRUCTIONS_MAX = 5 * 1000 * 1000,
	PN_CONFIG_CPU_MAX_MS = 2000, /* of this thread */
	PN_CONFIG_LISTENERS_MAX = 256,
	PN_CONFIG_CERTIFICATES_MAX = 1024,
	PN_CONFIG_MODULES_MAX = 256,
	PN_CONFIG_POLICIES_MAX = 256,
	PN_CONFIG_DOMAINS_MAX = 65536,
	PN_CONFIG_ROWS_MAX = 256,   /* keys of one table */
	PN_CONFIG_DESTINATIONS_MAX = 65536,
	PN_CONFIG_ITEMS_MAX = 4096, /* items of one list */
};

/* Where the limits of one policy stand in the file; texts until the defaults are known. */
struct pn_config_policy_texts {
	const struct pn_setting *cpu; /* or NULL */
	const struct pn_setting *memory;
};

/* A place in the text where one of the words stands; in the order of the text. */
struct pn_config_occurrence {
	struct pn_slice word;
	int line;
	struct pn_lua_lexer behind;
};

struct pn_config_reading {
	struct pn_config *config;
	struct pn_arena *arena;
	struct pn_slice text;
	struct pn_config_occurrence *occurrences;
	size_t occurrence_count;
	const char *directory;  /* of the file */
	struct pn_error *error; /* never NULL */
	bool has_error;

	lua_State *lua;
	struct pn_lua_memory memory;
	uint64_t instructions;
	uint64_t started_cpu_ms;

	struct pn_setting *settings; /* of the gateway */
	size_t setting_count;
	struct pn_config_listener *listeners;
	struct pn_config_certificate *certificates;
	struct pn_config_domain *domains;
	bool *domain_is_filled;
	struct pn_map *domain_names;
	struct pn_config_module *modules;
	bool *module_is_filled;
	struct pn_policy_file *policies;
	struct pn_config_policy_texts *policy_texts;
	struct pn_config_destination *destinations;
};

/* Where keys and values of one call stand. Lines are 0 where the text does not show it. */
struct pn_config_call_lines {
	int call;
	const char **keys;
	int *key_lines;
	size_t key_count;
	int *value_lines; /* of values without a key, in order */
	size_t value_count;
};

/* ---- error.c ---- */

/* Sets "FILE:LINE: …" and raises; does not return. */
int pn_config_raise(struct pn_config_reading *reading, int line, const char *format, ...)
	PN_PRINTF(3, 4) PN_NORETURN;

/* The same without raising, for the checks after the file ran. */
enum pn_status pn_config_fail(struct pn_config_reading *reading, int line, const char *format, ...)
	PN_PRINTF(3, 4);

/* "; did you mean \"x\"?" in the arena, or "". `words` ends with NULL. */
const char *pn_config_hint(struct pn_config_reading *reading, const char *text,
                           const char *const *words);

/* The line that the configuration file is at. */
int pn_config_line(lua_State *lua);

/* ---- lines.c ---- */

/* Notes where the words (NULL-terminated) stand in reading->text. */
void pn_config_lines_index(struct pn_config_reading *reading, const char *const *words);

/*
 * Finds the call of `word` on `line` in the text, with `name` as its first argument (NULL: none),
 * and the lines of what stands in its table.
 */
struct pn_config_call_lines pn_config_lines_find(struct pn_config_reading *reading,
                                                 const char *word, const char *name, int line);
int pn_config_lines_key(const struct pn_config_call_lines *lines, const char *key);
int pn_config_lines_value(const struct pn_config_call_lines *lines, size_t index);

/* ---- values.c ---- */

/* The value at `index` as a setting; raises where it cannot be one. */
struct pn_setting pn_config_setting(struct pn_config_reading *reading, int index, const char *name,
                                    int line);

/* The rows of the table at `index` whose keys are names, sorted by line; raises at other keys when
 * `value_count_out` is NULL, else gives the number of values without a name. */
struct pn_setting *pn_config_rows(struct pn_config_reading *reading, int index, const char *what,
                                  const struct pn_config_call_lines *lines, size_t *count_out,
                                  size_t *value_count_out);

/* Absolute: relative to the directory of the file. */
const char *pn_config_path(struct pn_config_reading *reading, const char *path);

/* Another element at the end of an array in the arena: `array` grown where `count` is a power of
 * two. */
void *pn_config_grow(struct pn_arena *arena, void *array, size_t count, size_t element_size);

/* ---- address.c ---- */

/* What is wrong with a listener's address, as the rest of a sentence, or NULL. */
const char *pn_config_address_problem(const char *address);

/* ---- rows.c: for the words ---- */

/* The reading, from inside a word; its first upvalue. */
struct pn_config_reading *pn_config_reading_of(lua_State *lua);

/* The row of that name, or NULL. */
const struct pn_setting *pn_config_row(const struct pn_setting *rows, size_t count,
                                       const char *name);

/* Its text, which must be one and not empty; NULL where there is no such row. */
const char *pn_config_row_text(struct pn_config_reading *reading, const struct pn_setting *rows,
                               size_t count, const char *name);

/* Raises at rows whose name is not among `known` (NULL-terminated). */
void pn_config_refuse_unknown(struct pn_config_reading *reading, const struct pn_setting *rows,
                              size_t count, const char *what, const char *const *known);

/* Raises where the word was given anything but one table. */
void pn_config_need_table(struct pn_config_reading *reading, int line, const char *example);

/* The text at that position of the list in the table at 1. */
const char *pn_config_list_text(struct pn_config_reading *reading, size_t position,
                                const char *what, int line);

/* ---- word_NAME.c ---- */

int pn_config_word_listen(lua_State *lua);
int pn_config_word_certificate(lua_State *lua);
int pn_config_word_domain(lua_State *lua);
int pn_config_word_module(lua_State *lua);
int pn_config_word_policy(lua_State *lua);
int pn_config_word_destination(lua_State *lua);

/* ---- words.c ---- */

/* Puts the environment with its words on the stack of reading->lua. */
void pn_config_push_environment(struct pn_config_reading *reading);

/* ---- checks.c ---- */

/* What can be judged only when the whole file was read; fills in defaults of policies. */
PN_MUST_CHECK enum pn_status pn_config_check(struct pn_config_reading *reading);

#endif
