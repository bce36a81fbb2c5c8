/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One option and one value: is it of the right type and within its limits, and
 * what goes into the field. For options.c and option_table.c. Any thread.
 */
#ifndef CORE_MODULE_OPTION_VALUE_H
#define CORE_MODULE_OPTION_VALUE_H

#include "module/options.h"

/* Rows are `option_size` apart, which may be less than the size we know. */
static inline const struct pn_option *pn_option_row(const struct pn_option *options,
                                                    size_t option_size, size_t index)
{
	const char *row = (const char *)options + index * option_size;

	return (const struct pn_option *)(const void *)row;
}

/* Bytes of the field of a type, or 0 where there is no such type. */
size_t pn_option_field_size(enum pn_option_type type);

/* "a whole number": for sentences and for the reference. */
const char *pn_option_type_words(enum pn_option_type type);

/* Whether values of the type are numbers with limits. */
bool pn_option_has_limits(enum pn_option_type type);

/* A number as it stands in a table: "10", "50M", "5m". PN_OK, or PN_FAILED where it is none. */
PN_MUST_CHECK enum pn_status pn_option_parse_number(enum pn_option_type type, const char *text,
                                                    uint64_t *number_out);

/*
 * Checks a setting against its option and writes it into `field`. PN_OK, or PN_FAILED with a
 * sentence that begins with the option's name.
 */
PN_MUST_CHECK enum pn_status pn_option_set(const struct pn_option *option,
                                           const struct pn_setting *setting, const char *directory,
                                           struct pn_arena *arena, void *field,
                                           struct pn_error *error);

/* The same for the default: text as in the table. NULL gives 0, NULL or the empty list. */
PN_MUST_CHECK enum pn_status pn_option_set_default(const struct pn_option *option,
                                                   const char *directory, struct pn_arena *arena,
                                                   void *field, struct pn_error *error);

#endif
