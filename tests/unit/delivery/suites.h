/* SPDX-License-Identifier: Apache-2.0 */
/* One suite for each file beside this one. */
#ifndef TESTS_UNIT_DELIVERY_SUITES_H
#define TESTS_UNIT_DELIVERY_SUITES_H

#include <check.h>

Suite *suspend_suite(void);
Suite *route_suite(void);
Suite *details_suite(void);
Suite *classify_suite(void);
Suite *queue_suite(void);
Suite *checks_suite(void);

#endif
