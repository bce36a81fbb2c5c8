/* SPDX-License-Identifier: Apache-2.0 */
/* `postern check auth FILE`: all checks of a message, and the field that would be written on top of
 * it. */
#include "process/checking.h"

#include <postern/text.h>

#include <string.h>

enum { VALUES_MAX = 1000, OUT_MAX = 4 * 1024 * 1024 };

/* In the order in which a gateway has them. Facts of those before are values for those behind. */
static const char *const checks[] = {"iprev", "spf", "arc", "dkim", "dmarc"};

enum { CHECKS = sizeof(checks) / sizeof(checks[0]) };

struct judging {
	const struct pn_arguments *arguments;
	struct pn_arena *arena;
	struct pn_checking_message message;
	struct pn_check_value values[VALUES_MAX];
	size_t value_count;
	struct pn_check_output outputs[CHECKS];
};

static enum pn_status judge(struct judging *judging, struct pn_error *error)
{
	for (size_t i = 0; i < CHECKS; i++) {
		struct pn_check_output *output = &judging->outputs[i];
		struct pn_check_input input = {.values = judging->values,
		                               .value_count = judging->value_count};

		if (pn_checking_ask(judging->arguments, checks[i], &input, &judging->message,
		                    judging->arena, output, error) != PN_OK)
			return PN_FAILED;
		for (size_t k = 0; k < output->fact_count && judging->value_count < VALUES_MAX; k++)
			judging->values[judging->value_count++] = output->facts[k];
	}
	return PN_OK;
}

/* Folded, with CRLF at its end. */
static enum pn_status write_field(const struct judging *judging, struct pn_buffer *field,
                                  struct pn_error *error)
{
	const char *name = pn_checking_option(judging->arguments, "--authserv-id");
	struct pn_buffer value;
	enum pn_status status;

	pn_buffer_init(&value, OUT_MAX);
	status = pn_buffer_print(&value, "%s", name == NULL ? "localhost" : name);
	for (size_t i = 0; i < CHECKS && status == PN_OK; i++)
		status = pn_buffer_print(&value, "; %.*s",
		                         PN_SLICE_ARGS(judging->outputs[i].authentication_result));
	if (status == PN_OK)
		status = pn_header_write(field, PN_SLICE("Authentication-Results"),
		                         pn_buffer_slice(&value));
	pn_buffer_clear(&value);
	return status == PN_OK ? PN_OK : pn_fail(error, "the field cannot be written");
}

static void print_all(const struct judging *judging, struct pn_slice field)
{
	char key[64];
	char room[512];

	for (size_t i = 0; i < CHECKS; i++) {
		const struct pn_check_output *output = &judging->outputs[i];
		struct pn_slice reason;

		snprintf(key, sizeof(key), "%s.reason", checks[i]);
		reason = pn_checking_fact(output, key);
		printf("%s: %.*s%s%s\n", checks[i],
		       PN_SLICE_ARGS(pn_checking_fact(output, checks[i])),
		       reason.size > 0 ? ", " : "", pn_text_printable(room, sizeof(room), reason));
	}
	printf("\n%.*s", PN_SLICE_ARGS(field));
}

static void print_json(const struct judging *judging, struct pn_slice field)
{
	struct pn_buffer out;

	pn_buffer_init(&out, OUT_MAX);
	(void)!pn_buffer_append(&out, PN_SLICE("{"));
	for (size_t i = 0; i < CHECKS; i++) {
		(void)!pn_buffer_print(&out, "%s\"%s\": {", i == 0 ? "" : ", ", checks[i]);
		pn_checking_put_members(&out, checks[i], &judging->outputs[i]);
		(void)!pn_buffer_append(&out, PN_SLICE("}"));
	}
	pn_checking_put(&out, "field", field, false);
	printf("%.*s}\n", PN_SLICE_ARGS(pn_buffer_slice(&out)));
	pn_buffer_clear(&out);
}

static enum pn_status read_all(struct judging *judging, struct pn_error *error)
{
	static const struct pn_checking_name names[] = {{"--ip", "ip"},
	                                                {"--helo", "helo"},
	                                                {"--mail-from", "mail_from"},
	                                                {"--receiver", "receiver"}};

	if (pn_checking_option(judging->arguments, "--ip") == NULL)
		return pn_fail(error, "whose mail is it? Say so with --ip ADDRESS");
	judging->value_count = pn_checking_values(
		judging->arguments, names, sizeof(names) / sizeof(names[0]), judging->values);
	return pn_checking_read(judging->arguments->words[1], judging->arena, &judging->message,
	                        error);
}

int pn_checking_all(const struct pn_arguments *arguments)
{
	struct pn_arena *arena = pn_arena_new();
	struct judging *judging = PN_ARENA_NEW(arena, struct judging);
	struct pn_buffer field;
	struct pn_error error;
	enum pn_status status;

	judging->arguments = arguments;
	judging->arena = arena;
	pn_buffer_init(&field, OUT_MAX);
	status = read_all(judging, &error);
	if (status == PN_OK)
		status = judge(judging, &error);
	if (status == PN_OK)
		status = write_field(judging, &field, &error);
	if (status == PN_OK && arguments->json)
		print_json(judging, pn_buffer_slice(&field));
	else if (status == PN_OK)
		print_all(judging, pn_buffer_slice(&field));
	pn_buffer_clear(&field);
	pn_checking_free(&judging->message);
	pn_arena_free(&arena);
	return status == PN_OK ? 0 : pn_checking_fail(&error);
}
