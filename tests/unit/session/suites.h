/* SPDX-License-Identifier: Apache-2.0 */
/* The suites beside that of the machine. */
#ifndef TESTS_UNIT_SESSION_SUITES_H
#define TESTS_UNIT_SESSION_SUITES_H

#include <check.h>

Suite *limits_suite(void);

#endif
