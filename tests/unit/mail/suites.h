/* SPDX-License-Identifier: Apache-2.0 */
/* One suite for each file beside this one. */
#ifndef TESTS_UNIT_MAIL_SUITES_H
#define TESTS_UNIT_MAIL_SUITES_H

#include <check.h>

Suite *address_suite(void);
Suite *xtext_suite(void);
Suite *header_suite(void);
Suite *mime_suite(void);
Suite *mime_fields_suite(void);
Suite *mime_summary_suite(void);
Suite *search_suite(void);
Suite *text_suite(void);
Suite *mailbox_name_suite(void);
Suite *dsn_suite(void);

#endif
