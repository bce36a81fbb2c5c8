/* SPDX-License-Identifier: Apache-2.0 */
/* See checking.h. */
#include "process/checking.h"

#include "process/assemble.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "io/loop.h"
#include "io/resolver.h"
#include "module/options.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum {
	DEADLINE_MS = 20 * 1000,
	ANSWER_MS = 1000,
	FIELDS_MAX = 10000,
	MESSAGE_MAX = 1024 * 1024 * 1024,
};

int pn_checking_fail(const struct pn_error *error)
{
	fprintf(stderr, "postern: %s\n", error->text);
	return 1;
}

const char *pn_checking_option(const struct pn_arguments *arguments, const char *name)
{
	for (int i = 0; i < arguments->option_count; i++) {
		if (strcmp(arguments->options[i].name, name) == 0)
			return arguments->options[i].value;
	}
	return NULL;
}

size_t pn_checking_values(const struct pn_arguments *arguments,
                          const struct pn_checking_name *names, size_t name_count,
                          struct pn_check_value *values)
{
	size_t count = 0;

	for (size_t i = 0; i < name_count; i++) {
		const char *value = pn_checking_option(arguments, names[i].option);

		if (value == NULL)
			continue;
		values[count].key = pn_slice_of(names[i].key);
		values[count++].value = pn_slice_of(value);
	}
	return count;
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
enum pn_status pn_checking_load(const struct pn_arguments *arguments, const char *name,
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
	const char *zone = pn_checking_option(arguments, "--zone");
	struct pn_resolver_settings settings = {
		.zone_file = zone == NULL ? "" : zone,
		.dnssec = PN_DNSSEC_OFF,
		.trust_anchor = "",
		.deadline_ms = ANSWER_MS,
	};

	servers[0] = pn_checking_option(arguments, "--resolver");
	if (servers[0] != NULL)
		settings.servers = (struct pn_text_list){.items = servers, .count = 1};
	return pn_resolver_configure(&settings, error);
}

enum pn_status pn_checking_moment(const struct pn_arguments *arguments, int64_t *wall_ms_out,
                                  struct pn_error *error)
{
	const char *text = pn_checking_option(arguments, "--time");
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

enum pn_status pn_checking_read_all(FILE *file, struct pn_buffer *out)
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
static enum pn_status use_line_ends(struct pn_checking_message *message)
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

enum pn_status pn_checking_read(const char *path, struct pn_arena *arena,
                                struct pn_checking_message *message, struct pn_error *error)
{
	bool is_input = strcmp(path, "-") == 0;
	FILE *file = is_input ? stdin : fopen(path, "re");
	enum pn_status status;

	pn_buffer_init(&message->raw, MESSAGE_MAX);
	pn_buffer_init(&message->text, (size_t)2 * MESSAGE_MAX);
	if (file == NULL)
		return pn_fail_errno(error, errno, "cannot read the message %s", path);
	status = pn_checking_read_all(file, &message->raw);
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

void pn_checking_free(struct pn_checking_message *message)
{
	pn_buffer_clear(&message->raw);
	pn_buffer_clear(&message->text);
}

void pn_checking_digest(const struct pn_checking_message *message, struct pn_check_digest *digests,
                        size_t count)
{
	struct pn_body_digester *digester = pn_body_digester_new(digests, count);

	pn_body_digester_append(digester, message->body);
	pn_body_digester_end(&digester);
}
struct pn_slice pn_checking_fact(const struct pn_check_output *output, const char *key)
{
	for (size_t i = 0; i < output->fact_count; i++) {
		if (pn_slice_equal(output->facts[i].key, pn_slice_of(key)))
			return output->facts[i].value;
	}
	return PN_SLICE_NONE;
}

/* ---- asking ---- */

struct asking {
	struct pn_arena *arena;
	struct pn_check_output output;
	struct pn_error error;
	enum pn_status status;
};

/* What is told is good until this returns. */
static void keep(struct asking *asking, const struct pn_check_output *output)
{
	struct pn_check_value *facts =
		PN_ARENA_ARRAY(asking->arena, output->fact_count, struct pn_check_value);

	for (size_t i = 0; i < output->fact_count; i++) {
		facts[i].key = pn_arena_keep(asking->arena, output->facts[i].key);
		facts[i].value = pn_arena_keep(asking->arena, output->facts[i].value);
	}
	asking->output = *output;
	asking->output.facts = facts;
	asking->output.authentication_result =
		pn_arena_keep(asking->arena, output->authentication_result);
}

static void done(void *user, enum pn_status status, const struct pn_check_output *output,
                 const struct pn_error *error)
{
	struct asking *asking = user;

	asking->status = status;
	if (status != PN_OK)
		asking->error = *error;
	else
		keep(asking, output);
	pn_loop_stop();
}

/* Prepares DNS, the clock and the digests of the body. */
static enum pn_status prepare(const struct pn_arguments *arguments, const struct pn_check *check,
                              const void *config, struct pn_check_input *input,
                              const struct pn_checking_message *message, struct pn_arena *arena,
                              struct pn_error *error)
{
	struct pn_check_digest *digests;

	if (pn_checking_moment(arguments, &input->now_ms, error) != PN_OK ||
	    use_dns(arguments, error) != PN_OK || pn_loop_new(error) != PN_OK)
		return PN_FAILED;
	if (message == NULL ||
	    !pn_checking_has(check, offsetof(struct pn_check, wants) + sizeof(check->wants)) ||
	    check->wants == NULL)
		return PN_OK;
	check->wants(config, input, arena, &digests, &input->digest_count);
	pn_checking_digest(message, digests, input->digest_count);
	input->digests = digests;
	return PN_OK;
}

enum pn_status pn_checking_ask(const struct pn_arguments *arguments, const char *name,
                               struct pn_check_input *input,
                               const struct pn_checking_message *message, struct pn_arena *arena,
                               struct pn_check_output *output_out, struct pn_error *error)
{
	struct asking asking = {.arena = arena};
	const struct pn_loaded_module *loaded;
	const struct pn_ticket nobody = {.generation = 0};
	void *config;

	input->struct_size = sizeof(*input);
	input->header = message == NULL ? NULL : &message->header;
	if (pn_checking_load(arguments, name, &loaded, error) != PN_OK ||
	    defaults_of(&loaded->module, arena, &config, error) != PN_OK ||
	    prepare(arguments, loaded->module.check, config, input, message, arena, error) != PN_OK)
		return PN_FAILED;
	pn_check_start(loaded->module.check, config, input, nobody, DEADLINE_MS, done, &asking);
	pn_loop_run();
	pn_resolver_stop();
	pn_loop_free();
	if (asking.status == PN_OK)
		*output_out = asking.output;
	else
		*error = asking.error;
	return asking.status == PN_OK ? PN_OK : PN_FAILED;
}
