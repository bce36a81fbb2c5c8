/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern check NAME`: what a check of a module says, run without a gateway, so that anyone can
 * feed it what he likes.
 */
#include "process/checking.h"

#include <postern/text.h>

#include <string.h>

enum { VALUES_MAX = 16 };

const char *const pn_check_options[] = {
	"--ip=",   "--helo=",        "--mail-from=", "--receiver=", "--resolver=", "--zone=",
	"--time=", "--authserv-id=", "--from=",      "--spf=",      "--dkim=",     NULL};
static const char check_usage[] =
	"usage: postern check spf --ip ADDRESS --helo NAME --mail-from ADDRESS [--receiver NAME]\n"
	"       postern check iprev --ip ADDRESS\n"
	"       postern check dkim FILE     one result a signature, from the top; - is standard "
	"input\n"
	"       postern check arc FILE      the result of the chain\n"
	"       postern check dmarc --from DOMAIN --spf DOMAIN|- --dkim DOMAIN,...|-    for which "
	"they passed\n"
	"       postern check auth --ip ADDRESS --helo NAME --mail-from ADDRESS FILE\n"
	"                                   all of them, and the Authentication-Results field,\n"
	"                                   in the name of --authserv-id NAME\n"
	"\n"
	"Common to all:\n"
	"  --resolver HOST:PORT  asks there, afresh; else the system's resolvers\n"
	"  --zone FILE           asks nobody: lines \"name TTL IN TYPE data\", with TIMEOUT or\n"
	"                        SERVFAIL as data of a name that does not answer\n"
	"  --time UNIX           as if it were that moment (seconds since 1970)\n"
	"  --json                the result for programs\n"
	"\n"
	"The exit status is 0 whatever the check says, and 1 where it could say nothing.\n";

/* Asks one check, and prints what it says. `needed`: an option that there is no answer without. */
static int check_one(const struct pn_arguments *arguments, const char *name,
                     const struct pn_checking_name *names, size_t name_count, const char *needed,
                     const char *question)
{
	struct pn_check_value values[VALUES_MAX];
	struct pn_check_input input = {.values = values};
	struct pn_arena *arena = pn_arena_new();
	struct pn_check_output output;
	struct pn_error error;
	enum pn_status status = PN_OK;

	input.value_count = pn_checking_values(arguments, names, name_count, values);
	if (pn_checking_option(arguments, needed) == NULL)
		status = pn_fail(&error, "%s", question);
	if (status == PN_OK)
		status = pn_checking_ask(arguments, name, &input, NULL, arena, &output, &error);
	if (status == PN_OK)
		pn_checking_print(arguments, name, &output);
	pn_arena_free(&arena);
	return status == PN_OK ? 0 : pn_checking_fail(&error);
}

/* spf and iprev: what is asked about is a client. */
static int check_client(const struct pn_arguments *arguments, const char *name)
{
	static const struct pn_checking_name names[] = {{"--ip", "ip"},
	                                                {"--helo", "helo"},
	                                                {"--mail-from", "mail_from"},
	                                                {"--receiver", "receiver"}};

	return check_one(arguments, name, names, sizeof(names) / sizeof(names[0]), "--ip",
	                 "whose mail is it? Say so with --ip ADDRESS");
}

static int check_dmarc(const struct pn_arguments *arguments)
{
	static const struct pn_checking_name names[] = {
		{"--from", "from"}, {"--spf", "spf"}, {"--dkim", "dkim"}};

	return check_one(arguments, "dmarc", names, sizeof(names) / sizeof(names[0]), "--from",
	                 "which domain stands in From? Say so with --from DOMAIN");
}

/* dkim and arc: what is asked about is in the message. */
static int check_message(const struct pn_arguments *arguments, const char *name)
{
	struct pn_checking_message message = {.raw.size = 0};
	struct pn_check_input input = {.value_count = 0};
	struct pn_arena *arena = pn_arena_new();
	struct pn_check_output output;
	struct pn_error error;
	enum pn_status status = pn_checking_read(arguments->words[1], arena, &message, &error);

	if (status == PN_OK)
		status = pn_checking_ask(arguments, name, &input, &message, arena, &output, &error);
	if (status == PN_OK)
		pn_checking_print(arguments, name, &output);
	pn_checking_free(&message);
	pn_arena_free(&arena);
	return status == PN_OK ? 0 : pn_checking_fail(&error);
}

int pn_command_check(const struct pn_arguments *arguments)
{
	const char *what = arguments->word_count > 0 ? arguments->words[0] : "";

	if (arguments->help) {
		fputs(check_usage, stdout);
		return 0;
	}
	if (arguments->word_count == 1 && (strcmp(what, "spf") == 0 || strcmp(what, "iprev") == 0))
		return check_client(arguments, what);
	if (arguments->word_count == 2 && (strcmp(what, "dkim") == 0 || strcmp(what, "arc") == 0))
		return check_message(arguments, what);
	if (arguments->word_count == 1 && strcmp(what, "dmarc") == 0)
		return check_dmarc(arguments);
	if (arguments->word_count == 2 && strcmp(what, "auth") == 0)
		return pn_checking_all(arguments);
	fputs(check_usage, stderr);
	return 2;
}
