/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of core/config. */
#include "suites.h"

#include "../exact.h"

struct pn_config *read_config(const char *text, struct pn_error *error)
{
	struct pn_slice bytes = exact(pn_slice_of(text));
	struct pn_config *config = NULL;
	enum pn_status status = pn_config_parse("/etc/postern/postern.lua", bytes, &config, error);

	free((char *)bytes.data);
	ck_assert_int_eq(status == PN_OK, config != NULL);
	return config;
}

struct pn_config *good_config(const char *text)
{
	struct pn_error error = {0};
	struct pn_config *config = read_config(text, &error);

	ck_assert_msg(config != NULL, "refused: %s", error.text);
	return config;
}

const char *refusal_of(const char *text)
{
	static struct pn_error error;
	struct pn_config *config;

	memset(&error, 0, sizeof(error));
	config = read_config(text, &error);
	ck_assert_msg(config == NULL, "accepted: %s", text);
	return error.text;
}

int main(void)
{
	Suite *(*const suites[])(void) = {config_suite,   refusal_suite, lines_suite,
	                                  settings_suite, files_suite,   NULL};

	return run_suites(suites);
}
