/* SPDX-License-Identifier: Apache-2.0 */
/* One suite for each file beside this one. */
#ifndef TESTS_UNIT_MAIL_SUITES_H
#define TESTS_UNIT_MAIL_SUITES_H

#include <check.h>

Suite *address_suite(void);
Suite *xtext_suite(void);
Suite *header_suite(void);

#endif
