/* SPDX-License-Identifier: Apache-2.0 */
/* The unit tests of core/delivery. */
#include "../exact.h"
#include "suites.h"

int main(void)
{
	static Suite *(*const suites[])(void) = {
		suspend_suite, route_suite,  details_suite, classify_suite,
		queue_suite,   checks_suite, NULL};

	return run_suites(suites);
}
