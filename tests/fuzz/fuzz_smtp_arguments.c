/* SPDX-License-Identifier: Apache-2.0 */
/* What stands behind MAIL FROM and RCPT TO: parameters lie in the text, each once, and a path that
 * was refused has a reply. */
#include "fuzz.h"

#include <postern/text.h>

#include "../../modules/smtp/parameters.c"

static void check_parameters(const struct smtp_parameters *parameters, struct pn_slice text)
{
	require(parameters->count <= SMTP_PARAMETERS_MAX);
	for (size_t i = 0; i < parameters->count; i++) {
		const struct pn_parameter *parameter = &parameters->items[i];

		require(parameter->name.size > 0);
		require(parameter->name.data >= text.data &&
		        parameter->name.data + parameter->name.size <= text.data + text.size);
		for (size_t other = 0; other < i; other++)
			require(!pn_slice_equal_ignore_case(parameter->name,
			                                    parameters->items[other].name));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t first = take_byte(&data, &size);
	enum smtp_parameters_of command = first % 2 == 0 ? SMTP_OF_MAIL : SMTP_OF_RCPT;
	const struct smtp_config config = {.profile = first / 2 % 3, .max_hold = 86400 * 1000};
	const struct smtp_session smtp = {.config = &config};
	struct pn_slice text = exact_copy(rest_of(data, size));
	struct pn_slice argument = text;
	struct pn_arena *arena = pn_arena_new();
	struct smtp_parameters parameters;
	struct pn_address address;
	struct smtp_problem problem = smtp_parse_path(&argument, command, arena, &address);

	if (problem.code == 0) {
		require(command == SMTP_OF_MAIL || !pn_address_is_null(&address));
		problem =
			smtp_parse_parameters(&smtp, 1795000000000, argument, command, &parameters);
		if (problem.code == 0)
			check_parameters(&parameters, text);
	}
	require(problem.code == 0 || (problem.code >= 500 && problem.code <= 599 &&
	                              problem.enhanced != NULL && problem.text != NULL));
	pn_arena_free(&arena);
	free((void *)(uintptr_t)text.data);
	return 0;
}
