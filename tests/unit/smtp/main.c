/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the pure parts of modules/smtp. */
#include "suites.h"

#include <stdlib.h>

int main(void)
{
	Suite *suite = suite_create("smtp");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, rate_case());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
