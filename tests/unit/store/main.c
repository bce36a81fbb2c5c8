/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the suites of this folder. */
#include "suites.h"

int main(void)
{
	SRunner *runner = srunner_create(uid_set_suite());
	int failed;

	srunner_add_suite(runner, bodies_suite());
	srunner_add_suite(runner, scram_suite());
	srunner_add_suite(runner, throttle_suite());
	srunner_add_suite(runner, sasl_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
