/* SPDX-License-Identifier: Apache-2.0 */
/* The unit tests of core/mail. */
#include "../exact.h"
#include "suites.h"

int main(void)
{
	static Suite *(*const suites[])(void) = {
		address_suite,      xtext_suite,        header_suite, mime_suite,
		mime_fields_suite,  mime_summary_suite, search_suite, text_suite,
		mailbox_name_suite, dsn_suite,          NULL,
	};

	return run_suites(suites);
}
