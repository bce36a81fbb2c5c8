/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters of MAIL and RCPT by name: where each is offered, and what its value may
 * be. The table is at the bottom.
 */
#include "smtp.h"

#include <postern/text.h>

#include <string.h>
#include <time.h>

static const struct smtp_problem no_problem = {0, NULL, NULL};

static struct smtp_problem syntax(const char *text)
{
	return (struct smtp_problem){501, "5.5.4", text};
}

static bool is(const struct pn_parameter *parameter, const char *word)
{
	return pn_slice_equal_ignore_case(parameter->value, pn_slice_of(word));
}

static bool has_digits(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
	}
	return text.size > 0;
}

static struct smtp_problem check_size(const struct pn_parameter *parameter,
                                      struct smtp_parameters *parameters)
{
	/* RFC 1870 section 3: 1 to 20 digits. */
	if (parameter->value.size > 20 || !has_digits(parameter->value))
		return syntax("SIZE is a number");
	/* 20 digits that no integer holds: larger than anything that is taken. */
	if (pn_parse_count(parameter->value, &parameters->size) != PN_OK)
		parameters->size = UINT64_MAX;
	return no_problem;
}

static struct smtp_problem check_body(const struct pn_parameter *parameter,
                                      struct smtp_parameters *parameters)
{
	parameters->is_binary = is(parameter, "BINARYMIME");
	return is(parameter, "7BIT") || is(parameter, "8BITMIME") || parameters->is_binary
	               ? no_problem
	               : syntax("BODY is 7BIT, 8BITMIME or BINARYMIME");
}

static bool is_xtext(struct pn_slice text)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice decoded;
	enum pn_status status = pn_xtext_decode(arena, text, &decoded);

	pn_arena_free(&arena);
	return status == PN_OK && text.size > 0;
}

/* RFC 4954 section 5: who AUTH= names is taken note of and vouched for by nobody. */
static struct smtp_problem check_auth(const struct pn_parameter *parameter,
                                      struct smtp_parameters *parameters)
{
	(void)parameters;
	return is_xtext(parameter->value) ? no_problem : syntax("AUTH is an address in xtext");
}

/* RFC 3461 section 4.4: at most 100 characters, in xtext. */
static struct smtp_problem check_envelope_id(const struct pn_parameter *parameter,
                                             struct smtp_parameters *parameters)
{
	(void)parameters;
	return is_xtext(parameter->value) && parameter->value.size <= 100
	               ? no_problem
	               : syntax("ENVID is at most 100 characters of xtext");
}

static struct smtp_problem check_return(const struct pn_parameter *parameter,
                                        struct smtp_parameters *parameters)
{
	(void)parameters;
	return is(parameter, "FULL") || is(parameter, "HDRS") ? no_problem
	                                                      : syntax("RET is FULL or HDRS");
}

/* RFC 6531 section 3.4. */
static struct smtp_problem check_utf8(const struct pn_parameter *parameter,
                                      struct smtp_parameters *parameters)
{
	parameters->is_utf8 = true;
	return parameter->value.size == 0 ? no_problem : syntax("SMTPUTF8 has no value");
}

static struct smtp_problem check_prdr(const struct pn_parameter *parameter,
                                      struct smtp_parameters *parameters)
{
	parameters->is_prdr = true;
	return parameter->value.size == 0 ? no_problem : syntax("PRDR has no value");
}

/* RFC 6710 section 4.1. */
static struct smtp_problem check_priority(const struct pn_parameter *parameter,
                                          struct smtp_parameters *parameters)
{
	struct pn_slice digits = parameter->value;
	bool is_negative = digits.size > 0 && digits.data[0] == '-';

	if (is_negative)
		digits = pn_slice_behind(digits, 1);
	if (digits.size != 1 || !has_digits(digits) || (is_negative && digits.data[0] == '0'))
		return syntax("MT-PRIORITY is a number from -9 to 9");
	parameters->priority = (digits.data[0] - '0') * (is_negative ? -1 : 1);
	parameters->has_priority = true;
	return no_problem;
}

static struct smtp_problem hold_until(struct smtp_parameters *parameters, int64_t wall_ms)
{
	int64_t now = parameters->now_ms;

	if (parameters->release_ms != 0)
		return syntax("HOLDFOR and HOLDUNTIL exclude each other");
	if (wall_ms > now + (int64_t)parameters->config->max_hold)
		return syntax("a message is not held for so long");
	parameters->release_ms = wall_ms > now ? wall_ms : now;
	return no_problem;
}

/* RFC 4865 section 6: 1 to 9 digits. */
static struct smtp_problem check_hold_for(const struct pn_parameter *parameter,
                                          struct smtp_parameters *parameters)
{
	uint64_t seconds;

	if (parameter->value.size > 9 || !has_digits(parameter->value) ||
	    pn_parse_count(parameter->value, &seconds) != PN_OK)
		return syntax("HOLDFOR is a number of seconds");
	return hold_until(parameters, parameters->now_ms + (int64_t)seconds * 1000);
}

/* The two or four digits at `at`, moved past, and the byte behind them where one must stand. */
static bool take_number(struct pn_slice *text, size_t digits, const char *behind, int *out)
{
	uint64_t value;

	if (text->size < digits || !has_digits(pn_slice_make(text->data, digits)) ||
	    pn_parse_count(pn_slice_make(text->data, digits), &value) != PN_OK)
		return false;
	*text = pn_slice_behind(*text, digits);
	if (behind[0] != '\0') {
		if (text->size == 0 || strchr(behind, text->data[0]) == NULL)
			return false;
		*text = pn_slice_behind(*text, 1);
	}
	*out = (int)value;
	return true;
}

/* RFC 3339: "2026-12-24T18:00:00Z", "…+01:00", "….5Z". */
static bool parse_moment(struct pn_slice text, int64_t *wall_ms_out)
{
	struct tm moment = {.tm_isdst = 0};
	int hours = 0, minutes = 0;
	char sign;
	time_t seconds;

	if (!take_number(&text, 4, "-", &moment.tm_year) ||
	    !take_number(&text, 2, "-", &moment.tm_mon) ||
	    !take_number(&text, 2, "Tt", &moment.tm_mday) ||
	    !take_number(&text, 2, ":", &moment.tm_hour) ||
	    !take_number(&text, 2, ":", &moment.tm_min) ||
	    !take_number(&text, 2, "", &moment.tm_sec))
		return false;
	if (moment.tm_mon < 1 || moment.tm_mon > 12 || moment.tm_mday < 1 || moment.tm_mday > 31 ||
	    moment.tm_hour > 23 || moment.tm_min > 59 || moment.tm_sec > 60)
		return false;
	if (text.size > 1 && text.data[0] == '.') {
		text = pn_slice_behind(text, 1);
		while (text.size > 0 && text.data[0] >= '0' && text.data[0] <= '9')
			text = pn_slice_behind(text, 1);
	}
	if (text.size == 0)
		return false;
	sign = text.data[0];
	text = pn_slice_behind(text, 1);
	if (sign == '+' || sign == '-') {
		if (!take_number(&text, 2, ":", &hours) || !take_number(&text, 2, "", &minutes) ||
		    hours > 23 || minutes > 59)
			return false;
	} else if (sign != 'Z' && sign != 'z') {
		return false;
	}
	moment.tm_year -= 1900;
	moment.tm_mon -= 1;
	seconds = timegm(&moment);
	*wall_ms_out =
		((int64_t)seconds - (sign == '-' ? -1 : 1) * (hours * 60 + minutes) * 60) * 1000;
	return text.size == 0;
}

static struct smtp_problem check_hold_until(const struct pn_parameter *parameter,
                                            struct smtp_parameters *parameters)
{
	int64_t wall_ms;

	if (!parse_moment(parameter->value, &wall_ms))
		return syntax("HOLDUNTIL is written 2026-12-24T18:00:00Z");
	return hold_until(parameters, wall_ms);
}

/* RFC 2852 section 4: [+-] 1 to 9 digits, ';', R or N, and T. */
static bool parse_by(struct pn_slice value, int64_t *seconds_out, struct pn_deliver_by *by_out)
{
	struct pn_slice mode = value;
	struct pn_slice time = pn_slice_cut(&mode, ';');
	bool is_negative = time.size > 0 && time.data[0] == '-';
	uint64_t seconds;

	if (is_negative || (time.size > 0 && time.data[0] == '+'))
		time = pn_slice_behind(time, 1);
	if (time.size > 9 || !has_digits(time) || pn_parse_count(time, &seconds) != PN_OK)
		return false;
	*seconds_out = is_negative ? -(int64_t)seconds : (int64_t)seconds;
	by_out->traces = mode.size == 2 && (mode.data[1] == 'T' || mode.data[1] == 't');
	if (mode.size != (by_out->traces ? 2u : 1u))
		return false;
	by_out->mode = mode.data[0] == 'R' || mode.data[0] == 'r' ? PN_DELIVER_BY_RETURN
	                                                          : PN_DELIVER_BY_NOTIFY;
	return strchr("RrNn", mode.data[0]) != NULL && mode.data[0] != '\0';
}

static struct smtp_problem check_by(const struct pn_parameter *parameter,
                                    struct smtp_parameters *parameters)
{
	int64_t seconds;

	if (!parse_by(parameter->value, &seconds, &parameters->by))
		return syntax("BY is written BY=3600;R, or BY=3600;N");
	if (parameters->by.mode == PN_DELIVER_BY_RETURN && seconds <= 0)
		return syntax("the time is over already");
	/* Section 3: it was said in the answer to EHLO. */
	if (parameters->by.mode == PN_DELIVER_BY_RETURN &&
	    (uint64_t)seconds * 1000 < parameters->config->min_deliver_by)
		return (struct smtp_problem){550, "5.4.7", "this is sooner than can be promised"};
	parameters->by.moment_ms = parameters->now_ms + seconds * 1000;
	return no_problem;
}

static struct smtp_problem check_require_tls(const struct pn_parameter *parameter,
                                             struct smtp_parameters *parameters)
{
	parameters->requires_tls = true;
	return parameter->value.size == 0 ? no_problem : syntax("REQUIRETLS has no value");
}

/* RFC 3461 section 4.1: NEVER alone, or some of the others, each once. */
static struct smtp_problem check_notify(const struct pn_parameter *parameter,
                                        struct smtp_parameters *parameters)
{
	static const char *const words[] = {"SUCCESS", "FAILURE", "DELAY"};
	struct pn_slice rest = parameter->value;
	unsigned seen = 0;

	(void)parameters;
	if (is(parameter, "NEVER"))
		return no_problem;
	while (rest.size > 0) {
		bool ends_with_comma = rest.data[rest.size - 1] == ',';
		struct pn_slice word = pn_slice_cut(&rest, ',');
		unsigned index = 0;

		while (index < 3 && !pn_slice_equal_ignore_case(word, pn_slice_of(words[index])))
			index++;
		if (index == 3 || (seen & 1u << index) != 0 ||
		    (rest.size == 0 && ends_with_comma)) {
			seen = 0;
			break;
		}
		seen |= 1u << index;
	}
	return seen != 0 ? no_problem
	                 : syntax("NOTIFY is NEVER, or a list of SUCCESS, FAILURE, DELAY");
}

/* RFC 3461 section 4.2: "type;xtext", at most 500 characters. RFC 6533 section 3: "utf-8;" with
 * xtext that has all that is not ASCII as \x{…}. */
static struct smtp_problem check_original(const struct pn_parameter *parameter,
                                          struct smtp_parameters *parameters)
{
	struct pn_slice address = parameter->value;
	struct pn_slice type = pn_slice_cut(&address, ';');

	(void)parameters;
	return is_xtext(address) && smtp_is_keyword(type) && parameter->value.size <= 500
	               ? no_problem
	               : syntax("ORCPT is written rfc822;address, in xtext");
}

static const struct rule {
	const char *name;
	enum smtp_parameters_of command;
	bool is_for_submission; /* of those who authenticate */
	bool is_never_lmtp;
	struct smtp_problem (*check)(const struct pn_parameter *parameter,
	                             struct smtp_parameters *parameters);
} rules[] = {
	{"SIZE", SMTP_OF_MAIL, false, false, check_size},
	{"BODY", SMTP_OF_MAIL, false, false, check_body},
	{"AUTH", SMTP_OF_MAIL, false, false, check_auth},
	{"RET", SMTP_OF_MAIL, false, false, check_return},
	{"ENVID", SMTP_OF_MAIL, false, false, check_envelope_id},
	{"SMTPUTF8", SMTP_OF_MAIL, false, false, check_utf8},
	{"PRDR", SMTP_OF_MAIL, false, true, check_prdr},
	{"BY", SMTP_OF_MAIL, false, false, check_by},
	{"REQUIRETLS", SMTP_OF_MAIL, false, false, check_require_tls},
	{"MT-PRIORITY", SMTP_OF_MAIL, true, false, check_priority},
	{"HOLDFOR", SMTP_OF_MAIL, true, false, check_hold_for},
	{"HOLDUNTIL", SMTP_OF_MAIL, true, false, check_hold_until},
	{"NOTIFY", SMTP_OF_RCPT, false, false, check_notify},
	{"ORCPT", SMTP_OF_RCPT, false, false, check_original},
};

struct smtp_problem smtp_check_parameter(const struct pn_parameter *parameter,
                                         enum smtp_parameters_of command,
                                         struct smtp_parameters *parameters)
{
	uint32_t profile = parameters->config->profile;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *rule = &rules[i];

		if (rule->command != command ||
		    (rule->is_for_submission && profile != SMTP_PROFILE_SUBMISSION) ||
		    (rule->is_never_lmtp && profile == SMTP_PROFILE_LMTP))
			continue;
		if (pn_slice_equal_ignore_case(parameter->name, pn_slice_of(rule->name)))
			return rule->check(parameter, parameters);
	}
	return (struct smtp_problem){555, "5.5.4", "this parameter was not offered"};
}
