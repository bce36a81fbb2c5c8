/* SPDX-License-Identifier: Apache-2.0 */
/* One suite for each file beside this one. */
#ifndef TESTS_UNIT_MODULE_SUITES_H
#define TESTS_UNIT_MODULE_SUITES_H

#include <check.h>

Suite *note_suite(void);
Suite *options_suite(void);
Suite *table_suite(void);

#endif
