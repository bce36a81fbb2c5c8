/* SPDX-License-Identifier: Apache-2.0 */
/* The unit tests of core/module; tests/interface loads real files. */
#include "../exact.h"
#include "suites.h"

int main(void)
{
	static Suite *(*const suites[])(void) = {note_suite, options_suite, table_suite, NULL};

	return run_suites(suites);
}
