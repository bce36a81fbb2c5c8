/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"
#include "../exact.h"
Suite *spec_suite(void)
{
	const TTest *const tests[] = { NULL };

	return suite_of("spec", tests);
}
