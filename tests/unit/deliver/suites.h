/* SPDX-License-Identifier: Apache-2.0 */
/* The test cases of this program, one function for each file. */
#ifndef TESTS_UNIT_DELIVER_SUITES_H
#define TESTS_UNIT_DELIVER_SUITES_H

#include <check.h>

TCase *reply_case(void);
TCase *check_case(void);
TCase *credentials_case(void);
TCase *hello_case(void);
TCase *secure_case(void);
TCase *envelope_case(void);
TCase *body_case(void);
TCase *carrier_case(void);
TCase *lmtp_case(void);
TCase *wishes_case(void);

#endif
