/* SPDX-License-Identifier: Apache-2.0 */
/* One suite for each file beside this one. */
#ifndef TESTS_UNIT_IO_SUITES_H
#define TESTS_UNIT_IO_SUITES_H

#include <check.h>

Suite *frame_line_suite(void);
Suite *frame_dot_suite(void);
Suite *answers_suite(void);

#endif
