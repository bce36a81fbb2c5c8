/* SPDX-License-Identifier: Apache-2.0 */
/* The suites of this program, and how a text is read in them. */
#ifndef TESTS_UNIT_CONFIG_SUITES_H
#define TESTS_UNIT_CONFIG_SUITES_H

#include <check.h>

#include "config/config.h"

Suite *config_suite(void);
Suite *refusal_suite(void);
Suite *lines_suite(void);
Suite *settings_suite(void);
Suite *files_suite(void);

/* The configuration, or NULL with its error in the other argument. */
struct pn_config *read_config(const char *text, struct pn_error *error);

/* Reads a text that must be good; free it with pn_config_free. */
struct pn_config *good_config(const char *text);

/* The error of a text that must be refused. */
const char *refusal_of(const char *text);

#endif
