/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_SMTP_SUITES_H
#define TESTS_UNIT_SMTP_SUITES_H

#include <check.h>

TCase *rate_case(void);

#endif
