/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern check NAME`: what a check of a module says, run without a gateway, so that anyone can
 * feed it what he likes. DNS is a zone file, a resolver that is named, or the system's.
 */
#include "process/assemble.h"
#include "process/command.h"

#include <postern/check.h>
#include <postern/clock.h>
#include <postern/text.h>

#include "io/loop.h"
#include "io/resolver.h"
#include "module/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEADLINE_MS = 20 * 1000, ANSWER_MS = 1000, VALUES_MAX = 16 };

const char *const pn_check_options[] = {"--ip=",       "--helo=", "--mail-from=", "--receiver=",
                                        "--resolver=", "--zone=", "--time=",      NULL};

static const char check_usage[] =
	"usage: postern check spf --ip ADDRESS --helo NAME --mail-from ADDRESS [--receiver NAME]\n"
	"\n"
	"Common to all:\n"
	"  --resolver HOST:PORT  asks there, afresh; else the system's resolvers\n"
	"  --zone FILE           asks nobody: lines \"name TTL IN TYPE data\", with TIMEOUT or\n"
	"                        SERVFAIL as data of a name that does not answer\n"
	"  --time UNIX           as if it were that moment (seconds since 1970)\n"
	"  --json                the result for programs\n"
	"\n"
	"The exit status is 0 whatever the check says, and 1 where it could say nothing.\n";

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

/* ---- results ---- */

struct asking {
	const struct pn_arguments *arguments;
	struct pn_error error;
	bool is_right;
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
	(void)!pn_buffer_print(out, "%s\"%s\": ", out->size == 0 ? "{" : ", ", key);
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

static void print_spf(const struct pn_arguments *arguments, const struct pn_check_output *output)
{
	struct pn_buffer out;

	if (!arguments->json) {
		printf("%.*s\n", PN_SLICE_ARGS(fact_of(output, "spf")));
		print_line("identity", fact_of(output, "spf.identity"));
		print_line("domain", fact_of(output, "spf.domain"));
		print_line("reason", fact_of(output, "spf.reason"));
		print_line("explanation", fact_of(output, "spf.explanation"));
		return;
	}
	pn_buffer_init(&out, 1024 * 1024);
	put_json(&out, "result", fact_of(output, "spf"), false);
	put_json(&out, "explanation", fact_of(output, "spf.explanation"), true);
	put_json(&out, "identity", fact_of(output, "spf.identity"), false);
	put_json(&out, "domain", fact_of(output, "spf.domain"), false);
	put_json(&out, "reason", fact_of(output, "spf.reason"), false);
	printf("%.*s}\n", PN_SLICE_ARGS(pn_buffer_slice(&out)));
	pn_buffer_clear(&out);
}

static void done(void *user, enum pn_status status, const struct pn_check_output *output,
                 const struct pn_error *error)
{
	struct asking *asking = user;

	asking->is_right = status == PN_OK;
	if (status == PN_OK)
		print_spf(asking->arguments, output);
	else
		asking->error = *error;
	pn_loop_stop();
}

/* ---- postern check spf ---- */

static enum pn_status ask(const struct pn_arguments *arguments, const char *name,
                          struct pn_check_input *input, struct pn_arena *arena,
                          struct pn_error *error)
{
	struct asking asking = {.arguments = arguments};
	const struct pn_loaded_module *loaded;
	const struct pn_ticket nobody = {.generation = 0};
	void *config;

	input->struct_size = sizeof(*input);
	if (load(arguments, name, &loaded, error) != PN_OK ||
	    defaults_of(&loaded->module, arena, &config, error) != PN_OK ||
	    moment_of(arguments, &input->now_ms, error) != PN_OK ||
	    use_dns(arguments, error) != PN_OK || pn_loop_new(error) != PN_OK)
		return PN_FAILED;
	pn_check_start(loaded->module.check, config, input, nobody, DEADLINE_MS, done, &asking);
	pn_loop_run();
	pn_resolver_stop();
	pn_loop_free();
	if (asking.is_right)
		return PN_OK;
	*error = asking.error;
	return PN_FAILED;
}

static int check_spf(const struct pn_arguments *arguments)
{
	static const struct {
		const char *option;
		const char *key;
	} names[] = {{"--ip", "ip"},
	             {"--helo", "helo"},
	             {"--mail-from", "mail_from"},
	             {"--receiver", "receiver"}};
	struct pn_check_value values[VALUES_MAX];
	struct pn_check_input input = {.values = values};
	struct pn_arena *arena = pn_arena_new();
	struct pn_error error;
	enum pn_status status = PN_OK;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = option_of(arguments, names[i].option);

		if (value == NULL)
			continue;
		values[input.value_count].key = pn_slice_of(names[i].key);
		values[input.value_count++].value = pn_slice_of(value);
	}
	if (option_of(arguments, "--ip") == NULL)
		status = pn_fail(&error, "whose mail is it? Say so with --ip ADDRESS");
	if (status == PN_OK)
		status = ask(arguments, "spf", &input, arena, &error);
	pn_arena_free(&arena);
	return status == PN_OK ? 0 : fail(&error);
}

int pn_command_check(const struct pn_arguments *arguments)
{
	if (arguments->help) {
		fputs(check_usage, stdout);
		return 0;
	}
	if (arguments->word_count == 1 && strcmp(arguments->words[0], "spf") == 0)
		return check_spf(arguments);
	fputs(check_usage, stderr);
	return 2;
}
