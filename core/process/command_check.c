/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern check NAME` and `postern sign NAME`: what a check of a module says, and its counterpart,
 * run without a gateway, so that anyone can feed them what he likes. DNS is a zone file, a resolver
 * that is named, or the system's.
 */
#include "process/assemble.h"
#include "process/command.h"

#include <postern/check.h>
#include <postern/clock.h>
#include <postern/text.h>

#include "io/digest.h"
#include "io/loop.h"
#include "io/resolver.h"
#include "module/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	DEADLINE_MS = 20 * 1000,
	ANSWER_MS = 1000,
	VALUES_MAX = 16,
	FIELDS_MAX = 10000,
	MESSAGE_MAX = 1024 * 1024 * 1024,
};

const char *const pn_check_options[] = {
	"--ip=",   "--helo=", "--mail-from=", "--receiver=", "--resolver=", "--zone=",
	"--time=", "--from=", "--spf=",       "--dkim=",     NULL};
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

static const char check_usage[] =
	"usage: postern check spf --ip ADDRESS --helo NAME --mail-from ADDRESS [--receiver NAME]\n"
	"       postern check iprev --ip ADDRESS\n"
	"       postern check dkim FILE     one result a signature, from the top; - is standard "
	"input\n"
	"       postern check arc FILE      the result of the chain\n"
	"       postern check dmarc --from DOMAIN --spf DOMAIN|- --dkim DOMAIN,...|-    for which "
	"they passed\n"
	"\n"
	"Common to all:\n"
	"  --resolver HOST:PORT  asks there, afresh; else the system's resolvers\n"
	"  --zone FILE           asks nobody: lines \"name TTL IN TYPE data\", with TIMEOUT or\n"
	"                        SERVFAIL as data of a name that does not answer\n"
	"  --time UNIX           as if it were that moment (seconds since 1970)\n"
	"  --json                the result for programs\n"
	"\n"
	"The exit status is 0 whatever the check says, and 1 where it could say nothing.\n";

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

static int fail(const struct pn_error *error)
{
	fprintf(stderr, "postern: %s\n", error->text);
	return 1;
}

static const char *option_of(const struct pn_arguments *arguments, const char *name)
{
	for (int i = 0; i < arguments->option_count; i++) {
		if (strcmp(arguments->options[i].name, name) == 0)
			return arguments->options[i].value;
	}
	return NULL;
}

/* ---- the module ---- */

/* Of a build that is not installed: its modules lie beside the program. */
static enum pn_status load_beside(struct pn_loader *loader, const char *name,
                                  const struct pn_loaded_module **module_out,
                                  struct pn_error *error)
{
	char program[2048];
	char path[4096];
	ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
	char *slash;

	if (size <= 0)
		return PN_NOT_FOUND;
	program[size] = '\0';
	slash = strrchr(program, '/');
	if (slash == NULL)
		return PN_NOT_FOUND;
	*slash = '\0';
	snprintf(path, sizeof(path), "%s/modules/%s.so", program, name);
	if (access(path, R_OK) != 0)
		return PN_NOT_FOUND;
	return pn_loader_file(loader, path, module_out, error);
}

static enum pn_status load(const struct pn_arguments *arguments, const char *name,
                           const struct pn_loaded_module **module_out, struct pn_error *error)
{
	struct pn_config *config = NULL;
	struct pn_loader *loader;
	struct pn_error ignored;
	enum pn_status status;

	/* The configuration stays: the loader keeps its texts. */
	if (pn_config_read(arguments->config, &config, &ignored) != PN_OK)
		config = NULL;
	if (pn_process_loader(config == NULL ? NULL : &config->settings, &loader, error) != PN_OK)
		return PN_FAILED;
	status = pn_loader_module(loader, name, module_out, error);
	if (status != PN_NOT_FOUND)
		return status;
	status = load_beside(loader, name, module_out, &ignored);
	if (status == PN_FAILED)
		*error = ignored;
	return status == PN_OK ? PN_OK : PN_FAILED;
}

/* Anybody may name a module like that. */
static enum pn_status load_check(const struct pn_arguments *arguments, const char *name,
                                 const struct pn_loaded_module **module_out, struct pn_error *error)
{
	if (load(arguments, name, module_out, error) != PN_OK)
		return PN_FAILED;
	if ((*module_out)->module.check == NULL)
		return pn_fail(error, "the module %s is not a check", (*module_out)->path);
	return PN_OK;
}

/* Its options as they are where nobody sets them. */
static enum pn_status defaults_of(const struct pn_module *module, struct pn_arena *arena,
                                  void **config_out, struct pn_error *error)
{
	const struct pn_settings none = {
		.file = "postern check", .what = module->name, .directory = "/"};

	*config_out = pn_arena_allocate(arena, module->config_size);
	if (module->options == NULL)
		return PN_OK;
	return pn_options_apply(module->options, module->option_size, &none, arena, *config_out,
	                        error);
}

/* ---- DNS and the clock ---- */

static enum pn_status use_dns(const struct pn_arguments *arguments, struct pn_error *error)
{
	static const char *servers[1];
	const char *zone = option_of(arguments, "--zone");
	struct pn_resolver_settings settings = {
		.zone_file = zone == NULL ? "" : zone,
		.dnssec = PN_DNSSEC_OFF,
		.trust_anchor = "",
		.deadline_ms = ANSWER_MS,
	};

	servers[0] = option_of(arguments, "--resolver");
	if (servers[0] != NULL)
		settings.servers = (struct pn_text_list){.items = servers, .count = 1};
	return pn_resolver_configure(&settings, error);
}

static enum pn_status moment_of(const struct pn_arguments *arguments, int64_t *wall_ms_out,
                                struct pn_error *error)
{
	const char *text = option_of(arguments, "--time");
	uint64_t seconds;

	*wall_ms_out = pn_clock_wall_ms();
	if (text == NULL)
		return PN_OK;
	if (pn_parse_count(pn_slice_of(text), &seconds) != PN_OK || seconds > UINT32_MAX)
		return pn_fail(error, "--time %s is no number of seconds since 1970", text);
	*wall_ms_out = (int64_t)seconds * 1000;
	return PN_OK;
}

/* ---- messages ---- */

struct message {
	struct pn_buffer raw;
	struct pn_buffer text; /* with CRLF at its line ends */
	struct pn_header header;
	struct pn_slice body;
};

static enum pn_status read_all(FILE *file, struct pn_buffer *out)
{
	char *room;
	size_t size;

	do {
		if (pn_buffer_reserve(out, 65536, &room) != PN_OK)
			return PN_LIMIT;
		size = fread(room, 1, 65536, file);
		out->size += size;
	} while (size > 0);
	return ferror(file) ? PN_FAILED : PN_OK;
}

/* Files on disk often have LF alone: those are line ends where no line has CRLF. */
static enum pn_status use_line_ends(struct message *message)
{
	struct pn_slice raw = pn_buffer_slice(&message->raw);
	enum pn_status status = PN_OK;

	if (raw.size == 0 || memmem(raw.data, raw.size, "\r\n", 2) != NULL)
		return pn_buffer_append(&message->text, raw);
	while (raw.size > 0 && status == PN_OK) {
		size_t size = pn_slice_find(raw, '\n');

		status = pn_buffer_append(&message->text, pn_slice_make(raw.data, size));
		if (size == raw.size)
			break;
		if (status == PN_OK)
			status = pn_buffer_append(&message->text, PN_SLICE("\r\n"));
		raw = pn_slice_behind(raw, size + 1);
	}
	return status;
}

static enum pn_status read_message(const char *path, struct pn_arena *arena,
                                   struct message *message, struct pn_error *error)
{
	bool is_input = strcmp(path, "-") == 0;
	FILE *file = is_input ? stdin : fopen(path, "re");
	enum pn_status status;

	pn_buffer_init(&message->raw, MESSAGE_MAX);
	pn_buffer_init(&message->text, (size_t)2 * MESSAGE_MAX);
	if (file == NULL)
		return pn_fail_errno(error, errno, "cannot read the message %s", path);
	status = read_all(file, &message->raw);
	if (!is_input)
		fclose(file);
	if (status == PN_OK)
		status = use_line_ends(message);
	if (status != PN_OK)
		return pn_fail(error, "cannot read the message %s", path);
	if (pn_header_parse(pn_buffer_slice(&message->text), FIELDS_MAX, arena, &message->header) !=
	    PN_OK)
		return pn_fail(error, "the message %s has more than %d fields", path, FIELDS_MAX);
	message->body = pn_slice_behind(pn_buffer_slice(&message->text), message->header.size);
	return PN_OK;
}

static void free_message(struct message *message)
{
	pn_buffer_clear(&message->raw);
	pn_buffer_clear(&message->text);
}

static void digest_body(const struct message *message, struct pn_check_digest *digests,
                        size_t count)
{
	struct pn_body_digester *digester = pn_body_digester_new(digests, count);

	pn_body_digester_append(digester, message->body);
	pn_body_digester_end(&digester);
}

/* ---- results ---- */

struct asking {
	const struct pn_arguments *arguments;
	void (*print)(const struct pn_arguments *arguments, const struct pn_check_output *output);
	struct pn_error error;
	bool is_right;
	char result[16]; /* of a chain that is to be sealed; nothing is printed */
};

static struct pn_slice fact_of(const struct pn_check_output *output, const char *key)
{
	for (size_t i = 0; i < output->fact_count; i++) {
		if (pn_slice_equal(output->facts[i].key, pn_slice_of(key)))
			return output->facts[i].value;
	}
	return PN_SLICE_NONE;
}

static void put_json(struct pn_buffer *out, const char *key, struct pn_slice value, bool or_null)
{
	bool is_first = out->size == 0 || out->data[out->size - 1] == '{';

	(void)!pn_buffer_print(out, "%s\"%s\": ", is_first ? "" : ", ", key);
	if (or_null && value.size == 0)
		(void)!pn_buffer_append(out, PN_SLICE("null"));
	else
		(void)!pn_json_append_string(out, value);
}

static void print_line(const char *name, struct pn_slice value)
{
	char room[512];

	if (value.size > 0)
		printf("%s: %s\n", name, pn_text_printable(room, sizeof(room), value));
}

/* What is told of a result: the first is the word itself. */
struct told {
	const char *key;
	const char *fact;
	bool or_null; /* where there is none */
};

static void print_facts(const struct pn_arguments *arguments, const struct pn_check_output *output,
                        const struct told *told, size_t count)
{
	struct pn_buffer out;

	if (!arguments->json) {
		printf("%.*s\n", PN_SLICE_ARGS(fact_of(output, told[0].fact)));
		for (size_t i = 1; i < count; i++)
			print_line(told[i].key, fact_of(output, told[i].fact));
		return;
	}
	pn_buffer_init(&out, 1024 * 1024);
	for (size_t i = 0; i < count; i++)
		put_json(&out, told[i].key, fact_of(output, told[i].fact), told[i].or_null);
	printf("{%.*s}\n", PN_SLICE_ARGS(pn_buffer_slice(&out)));
	pn_buffer_clear(&out);
}

static void print_spf(const struct pn_arguments *arguments, const struct pn_check_output *output)
{
	static const struct told told[] = {{"result", "spf", false},
	                                   {"explanation", "spf.explanation", true},
	                                   {"identity", "spf.identity", false},
	                                   {"domain", "spf.domain", false},
	                                   {"reason", "spf.reason", false}};

	print_facts(arguments, output, told, sizeof(told) / sizeof(told[0]));
}

static void print_iprev(const struct pn_arguments *arguments, const struct pn_check_output *output)
{
	static const struct told told[] = {{"result", "iprev", false},
	                                   {"name", "iprev.name", true},
	                                   {"reason", "iprev.reason", false}};

	print_facts(arguments, output, told, sizeof(told) / sizeof(told[0]));
}

static struct pn_slice numbered(const struct pn_check_output *output, size_t number,
                                const char *key)
{
	char name[64];

	snprintf(name, sizeof(name), "dkim.%zu%s%s", number, key[0] == '\0' ? "" : ".", key);
	return fact_of(output, name);
}

/* A word a signature; what is wrong with it goes to standard error. */
static void print_dkim_words(const struct pn_check_output *output, size_t count)
{
	char room[512];

	if (count == 0)
		puts("none");
	for (size_t i = 1; i <= count; i++) {
		printf("%.*s\n", PN_SLICE_ARGS(numbered(output, i, "")));
		fprintf(stderr, "%zu: %s\n", i,
		        pn_text_printable(room, sizeof(room), numbered(output, i, "reason")));
	}
}

static void print_dkim(const struct pn_arguments *arguments, const struct pn_check_output *output)
{
	static const char *const keys[] = {"domain", "selector", "identity", "reason"};
	struct pn_buffer out;
	uint64_t count = 0;

	if (pn_parse_count(fact_of(output, "dkim.count"), &count) != PN_OK)
		count = 0;
	if (!arguments->json) {
		print_dkim_words(output, (size_t)count);
		return;
	}
	pn_buffer_init(&out, 1024 * 1024);
	put_json(&out, "result", fact_of(output, "dkim"), false);
	(void)!pn_buffer_append(&out, PN_SLICE(", \"signatures\": ["));
	for (size_t i = 1; i <= count; i++) {
		(void)!pn_buffer_append(&out, i == 1 ? PN_SLICE("{") : PN_SLICE(", {"));
		put_json(&out, "result", numbered(output, i, ""), false);
		for (size_t key = 0; key < sizeof(keys) / sizeof(keys[0]); key++)
			put_json(&out, keys[key], numbered(output, i, keys[key]), false);
		(void)!pn_buffer_append(&out, PN_SLICE("}"));
	}
	(void)!pn_buffer_append(&out, PN_SLICE("]"));
	put_json(&out, "authentication_results", output->authentication_result, false);
	printf("{%.*s}\n", PN_SLICE_ARGS(pn_buffer_slice(&out)));
	pn_buffer_clear(&out);
}

static void print_dmarc(const struct pn_arguments *arguments, const struct pn_check_output *output)
{
	static const struct told told[] = {{"result", "dmarc", false},
	                                   {"policy", "dmarc.policy", true},
	                                   {"domain", "dmarc.domain", true},
	                                   {"percent", "dmarc.percent", true},
	                                   {"is_spf_aligned", "dmarc.is_spf_aligned", false},
	                                   {"is_dkim_aligned", "dmarc.is_dkim_aligned", false},
	                                   {"reason", "dmarc.reason", false}};

	print_facts(arguments, output, told, sizeof(told) / sizeof(told[0]));
}

/* Without --json one word and nothing else, as programs may read it. */
static void print_arc(const struct pn_arguments *arguments, const struct pn_check_output *output)
{
	static const struct told told[] = {{"result", "arc", false},
	                                   {"count", "arc.count", false},
	                                   {"domain", "arc.domain", true},
	                                   {"reason", "arc.reason", true}};
	char room[512];

	print_facts(arguments, output, told, arguments->json ? sizeof(told) / sizeof(told[0]) : 1);
	if (!arguments->json)
		fprintf(stderr, "%s\n",
		        pn_text_printable(room, sizeof(room), fact_of(output, "arc.reason")));
}

static void done(void *user, enum pn_status status, const struct pn_check_output *output,
                 const struct pn_error *error)
{
	struct asking *asking = user;

	asking->is_right = status == PN_OK;
	if (status != PN_OK)
		asking->error = *error;
	else if (asking->print != NULL)
		asking->print(asking->arguments, output);
	else
		snprintf(asking->result, sizeof(asking->result), "%.*s",
		         PN_SLICE_ARGS(fact_of(output, "arc")));
	pn_loop_stop();
}

/* ---- asking ---- */

/* An entry that came later than the interface the module was built with is not there. */
static bool has_entry(const struct pn_check *check, size_t end)
{
	return check->struct_size >= end;
}

static enum pn_status ask(struct asking *asking, const char *name, struct pn_check_input *input,
                          const struct message *message, struct pn_arena *arena,
                          struct pn_error *error)
{
	const struct pn_loaded_module *loaded;
	const struct pn_check *check;
	const struct pn_ticket nobody = {.generation = 0};
	struct pn_check_digest *digests;
	void *config;

	input->struct_size = sizeof(*input);
	if (load_check(asking->arguments, name, &loaded, error) != PN_OK ||
	    defaults_of(&loaded->module, arena, &config, error) != PN_OK ||
	    moment_of(asking->arguments, &input->now_ms, error) != PN_OK ||
	    use_dns(asking->arguments, error) != PN_OK || pn_loop_new(error) != PN_OK)
		return PN_FAILED;
	check = loaded->module.check;
	if (message != NULL &&
	    has_entry(check, offsetof(struct pn_check, wants) + sizeof(check->wants)) &&
	    check->wants != NULL) {
		check->wants(config, input, arena, &digests, &input->digest_count);
		digest_body(message, digests, input->digest_count);
		input->digests = digests;
	}
	pn_check_start(check, config, input, nobody, DEADLINE_MS, done, asking);
	pn_loop_run();
	pn_resolver_stop();
	pn_loop_free();
	if (asking->is_right)
		return PN_OK;
	*error = asking->error;
	return PN_FAILED;
}

/* Options that are values of the input, under names of their own. */
struct name {
	const char *option;
	const char *key;
};

static size_t take_values(const struct pn_arguments *arguments, const struct name *names,
                          size_t name_count, struct pn_check_value values[VALUES_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < name_count && count < VALUES_MAX; i++) {
		const char *value = option_of(arguments, names[i].option);

		if (value == NULL)
			continue;
		values[count].key = pn_slice_of(names[i].key);
		values[count++].value = pn_slice_of(value);
	}
	return count;
}

/* spf and iprev: what is asked about is a client. */
static int check_client(const struct pn_arguments *arguments, const char *name,
                        void (*print)(const struct pn_arguments *arguments,
                                      const struct pn_check_output *output))
{
	static const struct name names[] = {{"--ip", "ip"},
	                                    {"--helo", "helo"},
	                                    {"--mail-from", "mail_from"},
	                                    {"--receiver", "receiver"}};
	struct asking asking = {.arguments = arguments, .print = print};
	struct pn_check_value values[VALUES_MAX];
	struct pn_check_input input = {.values = values};
	struct pn_arena *arena = pn_arena_new();
	struct pn_error error;
	enum pn_status status = PN_OK;

	input.value_count = take_values(arguments, names, sizeof(names) / sizeof(names[0]), values);
	if (option_of(arguments, "--ip") == NULL)
		status = pn_fail(&error, "whose mail is it? Say so with --ip ADDRESS");
	if (status == PN_OK)
		status = ask(&asking, name, &input, NULL, arena, &error);
	pn_arena_free(&arena);
	return status == PN_OK ? 0 : fail(&error);
}

/* dkim and arc: what is asked about is in the message. */
static int check_message(const struct pn_arguments *arguments, const char *name,
                         void (*print)(const struct pn_arguments *arguments,
                                       const struct pn_check_output *output))
{
	struct asking asking = {.arguments = arguments, .print = print};
	struct message message = {.raw.size = 0};
	struct pn_check_input input = {.header = &message.header};
	struct pn_arena *arena = pn_arena_new();
	struct pn_error error;
	enum pn_status status = read_message(arguments->words[1], arena, &message, &error);

	if (status == PN_OK)
		status = ask(&asking, name, &input, &message, arena, &error);
	free_message(&message);
	pn_arena_free(&arena);
	return status == PN_OK ? 0 : fail(&error);
}

static int check_dmarc(const struct pn_arguments *arguments)
{
	static const struct name names[] = {
		{"--from", "from"}, {"--spf", "spf"}, {"--dkim", "dkim"}};
	struct asking asking = {.arguments = arguments, .print = print_dmarc};
	struct pn_check_value values[VALUES_MAX];
	struct pn_check_input input = {.values = values};
	struct pn_arena *arena = pn_arena_new();
	struct pn_error error;
	enum pn_status status = PN_OK;

	input.value_count = take_values(arguments, names, sizeof(names) / sizeof(names[0]), values);
	if (option_of(arguments, "--from") == NULL)
		status = pn_fail(&error, "which domain stands in From? Say so with --from DOMAIN");
	if (status == PN_OK)
		status = ask(&asking, "dmarc", &input, NULL, arena, &error);
	pn_arena_free(&arena);
	return status == PN_OK ? 0 : fail(&error);
}

int pn_command_check(const struct pn_arguments *arguments)
{
	const char *what = arguments->word_count > 0 ? arguments->words[0] : "";

	if (arguments->help) {
		fputs(check_usage, stdout);
		return 0;
	}
	if (arguments->word_count == 1 && strcmp(what, "spf") == 0)
		return check_client(arguments, "spf", print_spf);
	if (arguments->word_count == 1 && strcmp(what, "iprev") == 0)
		return check_client(arguments, "iprev", print_iprev);
	if (arguments->word_count == 2 && strcmp(what, "dkim") == 0)
		return check_message(arguments, "dkim", print_dkim);
	if (arguments->word_count == 2 && strcmp(what, "arc") == 0)
		return check_message(arguments, "arc", print_arc);
	if (arguments->word_count == 1 && strcmp(what, "dmarc") == 0)
		return check_dmarc(arguments);
	fputs(check_usage, stderr);
	return 2;
}

/* ---- postern sign ---- */

static enum pn_status read_key(const char *path, struct pn_buffer *out, struct pn_error *error)
{
	FILE *file = fopen(path, "re");
	enum pn_status status;

	if (file == NULL)
		return pn_fail_errno(error, errno, "cannot read the key %s", path);
	status = read_all(file, out);
	fclose(file);
	return status == PN_OK ? PN_OK : pn_fail(error, "cannot read the key %s", path);
}

static enum pn_status sign(const struct pn_arguments *arguments, const char *name,
                           const struct message *message, struct pn_signing *signing,
                           struct pn_arena *arena, struct pn_error *error)
{
	const struct pn_loaded_module *loaded;
	const struct pn_check *check;
	struct pn_check_digest digests[2] = {{.limit = UINT64_MAX},
	                                     {.is_relaxed = true, .limit = UINT64_MAX}};
	struct pn_buffer fields;
	enum pn_status status;

	if (load_check(arguments, name, &loaded, error) != PN_OK ||
	    moment_of(arguments, &signing->now_ms, error) != PN_OK)
		return PN_FAILED;
	check = loaded->module.check;
	digest_body(message, digests, 2);
	signing->struct_size = sizeof(*signing);
	signing->header = &message->header;
	signing->simple = digests[0];
	signing->relaxed = digests[1];
	if (!has_entry(check, offsetof(struct pn_check, sign) + sizeof(check->sign)) ||
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

/* What the chain that is there is worth; "none", "pass" or "fail". */
static enum pn_status judge_chain(struct asking *asking, const struct message *message,
                                  struct pn_arena *arena, struct pn_error *error)
{
	struct pn_check_input input = {.header = &message->header};

	if (ask(asking, "arc", &input, message, arena, error) != PN_OK)
		return PN_FAILED;
	if (strcmp(asking->result, "temperror") == 0)
		return pn_fail(error, "DNS does not say what the chain is worth: try again later");
	return PN_OK;
}

static int sign_message(const struct pn_arguments *arguments, const char *name)
{
	static const struct name names[] = {{"--selector", "selector"},
	                                    {"--domain", "domain"},
	                                    {"--identity", "identity"},
	                                    {"--headers", "headers"},
	                                    {"--canonicalization", "canonicalization"},
	                                    {"--algorithm", "algorithm"},
	                                    {"--authserv-id", "authserv_id"},
	                                    {"--expires", "expires"}};
	bool is_chain = strcmp(name, "arc") == 0;
	struct asking asking = {.arguments = arguments};
	struct pn_check_value values[VALUES_MAX];
	struct message message = {.raw.size = 0};
	struct pn_signing signing = {.values = values};
	struct pn_arena *arena = pn_arena_new();
	struct pn_error error;
	struct pn_buffer key;
	enum pn_status status = PN_OK;

	pn_buffer_init(&key, 64 * 1024 * 16);
	signing.value_count =
		take_values(arguments, names, sizeof(names) / sizeof(names[0]), values);
	if (option_of(arguments, "--key") == NULL)
		status = pn_fail(&error, "which key signs? Say so with --key FILE");
	if (status == PN_OK)
		status = read_key(option_of(arguments, "--key"), &key, &error);
	signing.key = pn_buffer_slice(&key);
	if (status == PN_OK)
		status = read_message(arguments->words[1], arena, &message, &error);
	if (status == PN_OK && is_chain)
		status = judge_chain(&asking, &message, arena, &error);
	if (status == PN_OK && is_chain) {
		values[signing.value_count].key = PN_SLICE("chain");
		values[signing.value_count++].value = pn_slice_of(asking.result);
	}
	if (status == PN_OK)
		status = sign(arguments, name, &message, &signing, arena, &error);
	if (key.size > 0)
		pn_wipe(key.data, key.size);
	pn_buffer_clear(&key);
	free_message(&message);
	pn_arena_free(&arena);
	return status == PN_OK ? 0 : fail(&error);
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
