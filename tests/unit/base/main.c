/* SPDX-License-Identifier: Apache-2.0 */
/* The unit tests of core/base. */
#include "../exact.h"
#include "suites.h"

int main(void)
{
	static Suite *(*const suites[])(void) = {arena_suite,  buffer_suite, text_suite,
	                                         base64_suite, map_suite,    error_suite,
	                                         date_suite,   NULL};

	return run_suites(suites);
}
