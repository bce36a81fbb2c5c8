/* SPDX-License-Identifier: Apache-2.0 */
/* The unit tests of core/io. */
#include "../exact.h"
#include "suites.h"

int main(void)
{
	static Suite *(*const suites[])(void) = {frame_line_suite, frame_dot_suite, answers_suite,
	                                         NULL};

	return run_suites(suites);
}
