/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of modules/deliver_smtp and modules/deliver_lmtp. */
#include "suites.h"

#include <stdlib.h>

int main(void)
{
	Suite *suite = suite_create("deliver");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, reply_case());
	suite_add_tcase(suite, check_case());
	suite_add_tcase(suite, credentials_case());
	suite_add_tcase(suite, hello_case());
	suite_add_tcase(suite, secure_case());
	suite_add_tcase(suite, envelope_case());
	suite_add_tcase(suite, body_case());
	suite_add_tcase(suite, carrier_case());
	suite_add_tcase(suite, lmtp_case());
	suite_add_tcase(suite, wishes_case());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
