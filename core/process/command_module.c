/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern module list|describe|new`: modules as files, without a configuration.
 */
#include "process/assemble.h"
#include "process/command.h"

#include <postern/source.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const struct pn_error *error)
{
	fprintf(stderr, "postern: %s\n", error->text);
	return 1;
}

/* The configuration's directories where it can be read, else the installed one. */
static enum pn_status find_loader(const struct pn_arguments *arguments,
                                  struct pn_loader **loader_out, struct pn_error *error)
{
	struct pn_config *config = NULL;
	struct pn_error ignored;

	if (pn_config_read(arguments->config, &config, &ignored) != PN_OK)
		return pn_process_loader(NULL, loader_out, error);
	/* The configuration stays: the loader keeps its texts. */
	return pn_process_loader(&config->settings, loader_out, error);
}

static void print_provides(const struct pn_module *module)
{
	const struct {
		const void *entry;
		const char *word;
	} kinds[] = {{module->protocol, "protocol"},   {module->store, "store"},
	             {module->directory, "directory"}, {module->authentication, "authentication"},
	             {module->transport, "transport"}, {module->check, "check"},
	             {module->cache, "cache"},         {module->lua_library, "lua library"},
	             {module->source, "source"},       {module->hooks, "hooks"}};
	bool is_first = true;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].entry == NULL)
			continue;
		printf("%s%s", is_first ? "" : ", ", kinds[i].word);
		is_first = false;
	}
}

static int list(const struct pn_arguments *arguments)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_loader *loader;
	struct pn_error error;
	int status = 0;

	if (find_loader(arguments, &loader, &error) != PN_OK) {
		pn_arena_free(&arena);
		return fail(&error);
	}
	for (const char *const *name = pn_loader_names(loader, arena); *name != NULL; name++) {
		const struct pn_loaded_module *loaded;

		if (pn_loader_module(loader, *name, &loaded, &error) != PN_OK) {
			status = fail(&error);
			continue;
		}
		printf("%-16s %-8s %s (", loaded->module.name, loaded->module.version,
		       loaded->module.summary);
		print_provides(&loaded->module);
		printf(")\n");
	}
	pn_arena_free(&arena);
	return status;
}

static void print_hooks(const struct pn_module *module)
{
	if (module->hooks == NULL)
		return;
	printf("\nHooks:\n");
	for (size_t i = 0;; i++) {
		const struct pn_hook *hook = (const struct pn_hook *)((const char *)module->hooks +
		                                                      i * module->hook_size);

		if (hook->stage == PN_STAGE_NONE)
			return;
		printf("  %-20s order %5d  %s\n", pn_stage_name(hook->stage), hook->order,
		       hook->summary);
	}
}

static int describe(const struct pn_arguments *arguments)
{
	const char *what = arguments->words[1];
	const struct pn_loaded_module *loaded;
	struct pn_loader *loader;
	struct pn_buffer options;
	struct pn_error error;
	char directory[1024];
	char path[2100];
	enum pn_status status = find_loader(arguments, &loader, &error);

	if (status == PN_OK && strchr(what, '/') != NULL) {
		/* Absolute, but not resolved: the loader does not follow links, and says so. */
		if (what[0] == '/' || getcwd(directory, sizeof(directory)) == NULL)
			snprintf(path, sizeof(path), "%s", what);
		else
			snprintf(path, sizeof(path), "%s/%s", directory, what);
		status = pn_loader_file(loader, path, &loaded, &error);
	} else if (status == PN_OK) {
		status = pn_loader_module(loader, what, &loaded, &error);
	}
	if (status != PN_OK)
		return fail(&error);
	printf("%s %s: %s\nFile: %s\nInterface: %u.%u\nProvides: ", loaded->module.name,
	       loaded->module.version, loaded->module.summary, loaded->path,
	       loaded->module.abi_major, loaded->module.abi_minor);
	print_provides(&loaded->module);
	putchar('\n');
	if (loaded->module.source != NULL)
		printf("\nSource: postern import %s ACCOUNT %s\n%s\n", loaded->module.source->name,
		       loaded->module.source->usage, loaded->module.source->summary);
	pn_buffer_init(&options, 1024 * 1024);
	if (loaded->module.options != NULL &&
	    pn_options_markdown(loaded->module.options, loaded->module.option_size, &options) ==
	            PN_OK)
		printf("\nOptions:\n%.*s", PN_SLICE_ARGS(pn_buffer_slice(&options)));
	pn_buffer_clear(&options);
	print_hooks(&loaded->module);
	return 0;
}

static bool is_module_name(const char *name)
{
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return size > 0 && name[size] == '\0' && size < PN_NOTE_NAME_SIZE &&
	       (name[0] < '0' || name[0] > '9');
}

static int write_file(const char *directory, const char *name, const char *format,
                      const char *module)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "wxe");
	if (file == NULL) {
		fprintf(stderr, "postern: cannot write %s: %s\n", path, strerror(errno));
		return 1;
	}
	/* Every @ is the module's name. */
	for (const char *at = format; *at != '\0'; at++) {
		if (*at == '@')
			fputs(module, file);
		else
			fputc(*at, file);
	}
	fclose(file);
	return 0;
}

/* The beginning of a module: builds at once, and says one line for each connection. */
static int new_module(const struct pn_arguments *arguments)
{
	static const char cmake[] = "cmake_minimum_required(VERSION 3.22)\n"
				    "project(@ LANGUAGES C)\n"
				    "find_package(Postern REQUIRED)\n"
				    "postern_module(@ @.c)\n";
	static const char source[] =
		"/*\n * @: say here what it is for.\n */\n"
		"#include <postern/module.h>\n#include <postern/session.h>\n\n"
		"struct @_config {\n\tconst char *greeting;\n};\n\n"
		"static const struct pn_option @_options[] = {\n"
		"\tPN_OPTION_STRING(struct @_config, greeting, \"hello\",\n"
		"\t\t.flags = PN_OPTION_RELOADABLE,\n"
		"\t\t.summary = \"Word written to the log for each new connection.\"),\n"
		"\tPN_OPTION_TABLE_END,\n};\n\n"
		"static enum pn_verdict greet(const struct pn_stage_call *call)\n{\n"
		"\tconst struct @_config *config = call->config;\n\n"
		"\tpn_session_log(call->session, \"%s\", config->greeting);\n"
		"\treturn PN_VERDICT_CONTINUE;\n}\n\n"
		"static const struct pn_hook @_hooks[] = {\n"
		"\t{ .stage = PN_STAGE_CONNECTION_OPEN, .run = greet,\n"
		"\t  .summary = \"Log a greeting.\" },\n"
		"\t{ .stage = PN_STAGE_NONE },\n};\n\n"
		"PN_MODULE(@,\n\t.version = \"1.0\",\n\t.summary = \"Says hello in the log.\",\n"
		"\t.options = @_options,\n\t.config_size = sizeof(struct @_config),\n"
		"\t.hooks = @_hooks,\n);\n";
	const char *name = arguments->words[1];
	char file[PN_NOTE_NAME_SIZE + 2];

	if (!is_module_name(name)) {
		fprintf(stderr,
		        "postern: \"%s\" cannot be a module's name: write lower-case letters, "
		        "digits and \"_\", at most %d of them\n",
		        name, PN_NOTE_NAME_SIZE - 1);
		return 1;
	}
	if (mkdir(name, 0755) != 0) {
		fprintf(stderr, "postern: cannot make %s: %s\n", name, strerror(errno));
		return 1;
	}
	snprintf(file, sizeof(file), "%s.c", name);
	if (write_file(name, "CMakeLists.txt", cmake, name) != 0 ||
	    write_file(name, file, source, name) != 0)
		return 1;
	printf("%s/ is there. Build it with: cmake -S %s -B %s/build && cmake --build %s/build\n",
	       name, name, name, name);
	return 0;
}

int pn_command_module(const struct pn_arguments *arguments)
{
	if (arguments->word_count == 1 && strcmp(arguments->words[0], "list") == 0)
		return list(arguments);
	if (arguments->word_count == 2 && strcmp(arguments->words[0], "describe") == 0)
		return describe(arguments);
	if (arguments->word_count == 2 && strcmp(arguments->words[0], "new") == 0)
		return new_module(arguments);
	fputs("usage: postern module list [--config FILE]\n"
	      "       postern module describe NAME|FILE [--config FILE]\n"
	      "       postern module new NAME\n",
	      stderr);
	return 2;
}
