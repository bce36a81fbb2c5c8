/* SPDX-License-Identifier: Apache-2.0 */
/* `postern sign NAME`: the counterpart of a check, run without a gateway. */
#include "process/checking.h"

#include <postern/text.h>

#include "io/digest.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

enum { VALUES_MAX = 16 };

const char *const pn_sign_options[] = {"--authserv-id=",
                                       "--resolver=",
                                       "--zone=",
                                       "--key=",
                                       "--selector=",
                                       "--domain=",
                                       "--identity=",
                                       "--headers=",
                                       "--canonicalization=",
                                       "--time=",
                                       "--algorithm=",
                                       "--expires=",
                                       NULL};

static const char sign_usage[] =
	"usage: postern sign dkim --key PEM --selector NAME --domain NAME FILE\n"
	"\n"
	"Writes the message with a signature on top to standard output. FILE may be - for "
	"standard\n"
	"input.\n"
	"  --canonicalization FORM  relaxed/relaxed (usual), relaxed/simple, simple/relaxed,\n"
	"                           simple/simple\n"
	"  --algorithm NAME         rsa-sha256 or ed25519-sha256: that of the key, or it is "
	"refused\n"
	"  --headers A:B            the fields that are signed, each as often as it is named; "
	"usually\n"
	"                           all that people see, and once more so that none can be added\n"
	"  --identity ADDRESS       i=, of the domain or below it\n"
	"  --time UNIX              t=, the moment of the signature\n"
	"  --expires UNIX           x=, when it ends\n";

static enum pn_status read_key(const char *path, struct pn_buffer *out, struct pn_error *error)
{
	FILE *file = fopen(path, "re");
	enum pn_status status;

	if (file == NULL)
		return pn_fail_errno(error, errno, "cannot read the key %s", path);
	status = pn_checking_read_all(file, out);
	fclose(file);
	return status == PN_OK ? PN_OK : pn_fail(error, "cannot read the key %s", path);
}

static enum pn_status sign(const struct pn_arguments *arguments, const char *name,
                           const struct pn_checking_message *message, struct pn_signing *signing,
                           struct pn_arena *arena, struct pn_error *error)
{
	const struct pn_loaded_module *loaded;
	const struct pn_check *check;
	struct pn_check_digest digests[2] = {{.limit = UINT64_MAX},
	                                     {.is_relaxed = true, .limit = UINT64_MAX}};
	struct pn_buffer fields;
	enum pn_status status;

	if (pn_checking_load(arguments, name, &loaded, error) != PN_OK ||
	    pn_checking_moment(arguments, &signing->now_ms, error) != PN_OK)
		return PN_FAILED;
	check = loaded->module.check;
	pn_checking_digest(message, digests, 2);
	signing->struct_size = sizeof(*signing);
	signing->header = &message->header;
	signing->simple = digests[0];
	signing->relaxed = digests[1];
	if (!pn_checking_has(check, offsetof(struct pn_check, sign) + sizeof(check->sign)) ||
	    check->sign == NULL)
		return pn_fail(error, "the module %s signs nothing", name);
	pn_buffer_init(&fields, 1024 * 1024);
	status = check->sign(signing, arena, &fields, error);
	if (status == PN_OK &&
	    (fwrite(fields.data, 1, fields.size, stdout) != fields.size ||
	     fwrite(message->text.data, 1, message->text.size, stdout) != message->text.size ||
	     fflush(stdout) != 0))
		status = pn_fail_errno(error, errno, "cannot write the message");
	pn_buffer_clear(&fields);
	return status;
}

/* What the chain that is there is worth: "none", "pass" or "fail". */
static enum pn_status judge_chain(const struct pn_arguments *arguments,
                                  const struct pn_checking_message *message, struct pn_arena *arena,
                                  struct pn_slice *result_out, struct pn_error *error)
{
	struct pn_check_input input = {.struct_size = sizeof(input)};
	struct pn_check_output output;

	if (pn_checking_ask(arguments, "arc", &input, message, arena, &output, error) != PN_OK)
		return PN_FAILED;
	*result_out = pn_checking_fact(&output, "arc");
	if (pn_slice_equal(*result_out, PN_SLICE("temperror")))
		return pn_fail(error, "DNS does not say what the chain is worth: try again later");
	return PN_OK;
}

static int sign_message(const struct pn_arguments *arguments, const char *name)
{
	static const struct pn_checking_name names[] = {{"--selector", "selector"},
	                                                {"--domain", "domain"},
	                                                {"--identity", "identity"},
	                                                {"--headers", "headers"},
	                                                {"--canonicalization", "canonicalization"},
	                                                {"--algorithm", "algorithm"},
	                                                {"--authserv-id", "authserv_id"},
	                                                {"--expires", "expires"}};
	bool is_chain = strcmp(name, "arc") == 0;
	struct pn_slice chain = PN_SLICE_NONE;
	struct pn_check_value values[VALUES_MAX];
	struct pn_checking_message message = {.raw.size = 0};
	struct pn_signing signing = {.values = values};
	struct pn_arena *arena = pn_arena_new();
	struct pn_error error;
	struct pn_buffer key;
	enum pn_status status = PN_OK;

	pn_buffer_init(&key, 64 * 1024 * 16);
	signing.value_count =
		pn_checking_values(arguments, names, sizeof(names) / sizeof(names[0]), values);
	if (pn_checking_option(arguments, "--key") == NULL)
		status = pn_fail(&error, "which key signs? Say so with --key FILE");
	if (status == PN_OK)
		status = read_key(pn_checking_option(arguments, "--key"), &key, &error);
	signing.key = pn_buffer_slice(&key);
	if (status == PN_OK)
		status = pn_checking_read(arguments->words[1], arena, &message, &error);
	if (status == PN_OK && is_chain)
		status = judge_chain(arguments, &message, arena, &chain, &error);
	if (status == PN_OK && is_chain) {
		values[signing.value_count].key = PN_SLICE("chain");
		values[signing.value_count++].value = chain;
	}
	if (status == PN_OK)
		status = sign(arguments, name, &message, &signing, arena, &error);
	if (key.size > 0)
		pn_wipe(key.data, key.size);
	pn_buffer_clear(&key);
	pn_checking_free(&message);
	pn_arena_free(&arena);
	return status == PN_OK ? 0 : pn_checking_fail(&error);
}

int pn_command_sign(const struct pn_arguments *arguments)
{
	if (arguments->help) {
		fputs(sign_usage, stdout);
		return 0;
	}
	if (arguments->word_count == 2 &&
	    (strcmp(arguments->words[0], "dkim") == 0 || strcmp(arguments->words[0], "arc") == 0))
		return sign_message(arguments, arguments->words[0]);
	fputs(sign_usage, stderr);
	return 2;
}
