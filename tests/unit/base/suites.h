/* SPDX-License-Identifier: Apache-2.0 */
/* One suite for each file beside this one. */
#ifndef TESTS_UNIT_BASE_SUITES_H
#define TESTS_UNIT_BASE_SUITES_H

#include <check.h>

Suite *arena_suite(void);
Suite *buffer_suite(void);
Suite *text_suite(void);
Suite *base64_suite(void);
Suite *map_suite(void);
Suite *error_suite(void);
Suite *date_suite(void);

#endif
