/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments of MAIL and RCPT: the path, and the parameters behind it (RFC 5321
 * section 4.1.2). A parameter that was not offered is refused, not passed over: the
 * client counts on it.
 */
#include "smtp.h"

#include <postern/text.h>

#include <string.h>

static const struct smtp_problem no_problem = {0, NULL, NULL};

struct smtp_problem smtp_parse_path(struct pn_slice *argument, enum smtp_parameters_of command,
                                    struct pn_arena *arena, struct pn_address *address_out)
{
	bool is_mail = command == SMTP_OF_MAIL;
	struct pn_slice word = is_mail ? PN_SLICE("FROM:") : PN_SLICE("TO:");
	const char *bad_address = is_mail ? "5.1.7" : "5.1.3";

	if (!pn_slice_starts_with_ignore_case(*argument, word))
		return (struct smtp_problem){501, "5.5.4",
		                             is_mail ? "this is written MAIL FROM:<address>"
		                                     : "this is written RCPT TO:<address>"};
	/* Space behind the colon is against RFC 5321 section 3.3, common, and harmless. */
	*argument = pn_slice_trim(
		pn_slice_make(argument->data + word.size, argument->size - word.size));
	switch (pn_path_parse(argument, true, arena, address_out)) {
	case PN_OK:
		break;
	case PN_LIMIT:
		return (struct smtp_problem){501, bad_address, "the address is too long"};
	default:
		return (struct smtp_problem){501, bad_address,
		                             "this is not an address in angle brackets"};
	}
	if (!is_mail && pn_address_is_null(address_out))
		return (struct smtp_problem){501, bad_address, "a recipient has an address"};
	if (argument->size > 0 && argument->data[0] != ' ')
		return (struct smtp_problem){501, "5.5.4", "something sticks to the address"};
	return no_problem;
}

/* esmtp-keyword: a letter or digit, then letters, digits and hyphens. */
bool smtp_is_keyword(struct pn_slice name)
{
	for (size_t i = 0; i < name.size; i++) {
		char byte = name.data[i];
		bool is_alphanumeric = (byte >= 'a' && byte <= 'z') ||
		                       (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');

		if (!is_alphanumeric && (byte != '-' || i == 0))
			return false;
	}
	return name.size > 0;
}

static bool is_value(struct pn_slice value)
{
	for (size_t i = 0; i < value.size; i++) {
		if (value.data[i] <= ' ' || value.data[i] > '~' || value.data[i] == '=')
			return false;
	}
	return value.size > 0;
}

static bool is_there(const struct smtp_parameters *parameters, struct pn_slice name)
{
	for (size_t i = 0; i < parameters->count; i++) {
		if (pn_slice_equal_ignore_case(parameters->items[i].name, name))
			return true;
	}
	return false;
}

static struct smtp_problem take_one(struct pn_slice word, enum smtp_parameters_of command,
                                    struct smtp_parameters *parameters)
{
	struct pn_slice value = word;
	bool has_value = pn_slice_find(word, '=') < word.size;
	struct pn_slice name = pn_slice_cut(&value, '=');
	struct pn_parameter *parameter;

	if (!smtp_is_keyword(name) || (has_value && !is_value(value)))
		return (struct smtp_problem){501, "5.5.4", "parameters are written NAME=value"};
	if (is_there(parameters, name))
		return (struct smtp_problem){501, "5.5.4", "a parameter is given twice"};
	if (parameters->count == SMTP_PARAMETERS_MAX)
		return (struct smtp_problem){501, "5.5.4", "too many parameters"};
	parameter = &parameters->items[parameters->count++];
	parameter->name = name;
	parameter->value = has_value ? value : PN_SLICE("");
	return smtp_check_parameter(parameter, command, parameters);
}

struct smtp_problem smtp_parse_parameters(const struct smtp_session *smtp, int64_t now_ms,
                                          struct pn_slice text, enum smtp_parameters_of command,
                                          struct smtp_parameters *parameters_out)
{
	struct smtp_problem problem = no_problem;

	memset(parameters_out, 0, sizeof(*parameters_out));
	parameters_out->config = smtp->config;
	parameters_out->now_ms = now_ms;
	while (text.size > 0 && problem.code == 0) {
		struct pn_slice word = pn_slice_cut(&text, ' ');

		if (word.size > 0)
			problem = take_one(word, command, parameters_out);
	}
	return problem;
}
