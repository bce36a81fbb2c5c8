/* SPDX-License-Identifier: Apache-2.0 */
/* One suite for each file beside this one. */
#ifndef TESTS_UNIT_STORE_SUITES_H
#define TESTS_UNIT_STORE_SUITES_H

#include <check.h>

Suite *uid_set_suite(void);
Suite *bodies_suite(void);
Suite *scram_suite(void);
Suite *throttle_suite(void);
Suite *sasl_suite(void);

#endif
