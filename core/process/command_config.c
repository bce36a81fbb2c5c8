/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern config check`, `postern config reference`, `postern stages`: what the
 * configuration says, without serving it.
 */
#include "process/assemble.h"
#include "process/command.h"
#include "process/flat.h"
#include "process/user.h"

#include "config/reference.h"
#include "io/file.h"
#include "policy/lexer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_FILE_SIZE = 256 * 1024 * 1024 };

static int fail(const struct pn_error *error)
{
	fprintf(stderr, "postern: %s\n", error->text);
	return 1;
}

static void provide(const char *path)
{
	struct pn_error error;
	int descriptor;

	/* What cannot be read is told, with its line, by those who load it. */
	if (pn_file_snapshot(path, MAX_FILE_SIZE, &descriptor, &error) == PN_OK)
		pn_file_provide(path, descriptor);
}

/* A policy, and the tables that it names in plain words. It is read, and not run. */
static void provide_policy(const char *path)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_lua_lexer lexer;
	struct pn_slice text, name;
	struct pn_error error;

	provide(path);
	if (pn_file_read(path, MAX_FILE_SIZE, arena, &text, &error) == PN_OK) {
		pn_lua_lexer_init(&lexer, text);
		while (pn_policy_table_name(&lexer, &name)) {
			const char *table = pn_policy_table_path(arena, path, name);

			if (table != NULL)
				provide(table);
		}
	}
	pn_arena_free(&arena);
}

/*
 * The master is root and its check must not be: modules run code here. The files are opened while
 * we still may, then we become whom the configuration names.
 */
static enum pn_status become_unprivileged(const char *path, struct pn_error *error)
{
	struct pn_config *config;
	struct pn_user user;
	int descriptor;
	enum pn_status status;

	if (geteuid() != 0)
		return PN_OK;
	if (pn_config_read(path, &config, error) != PN_OK)
		return PN_FAILED;
	status = pn_user_find(config->settings.user, config->settings.group, &user, error);
	if (status == PN_OK)
		status = pn_file_snapshot(config->file, MAX_FILE_SIZE, &descriptor, error);
	if (status == PN_OK)
		pn_file_provide(config->file, descriptor);
	for (size_t i = 0; status == PN_OK && i < config->listener_count; i++) {
		if (config->listeners[i].client_authorities != NULL)
			provide(config->listeners[i].client_authorities);
	}
	for (size_t i = 0; status == PN_OK && i < config->policy_count; i++)
		provide_policy(config->policies[i].path);
	pn_config_free(&config);
	if (status == PN_OK && pn_user_become(&user) != PN_OK)
		status = pn_fail_errno(error, errno, "cannot become the user of the configuration");
	return status;
}

static int check(const struct pn_arguments *arguments)
{
	/* The unprivileged child may not read keys: the workers check them, with descriptors. */
	const struct pn_assemble_settings settings = {.number = 1, .skip_keys = arguments->flat};
	struct pn_assembly *assembly;
	struct pn_error error;

	if ((arguments->flat && (become_unprivileged(arguments->config, &error) != PN_OK ||
	                         pn_confine_calls(&error) != PN_OK)) ||
	    pn_assemble(arguments->config, &settings, &assembly, &error) != PN_OK)
		return fail(&error);
	if (arguments->flat)
		pn_flat_write(assembly, stdout);
	else
		printf("%s is in order: %zu listeners, %zu modules, %zu policies\n",
		       assembly->config->file, assembly->listener_count,
		       assembly->config->module_count, assembly->config->policy_count);
	pn_generation_drop(&assembly->generation);
	return 0;
}

/* Every module that is installed (or in the given directory), with all its options. */
static int reference(const struct pn_arguments *arguments)
{
	static const char *directories[1];
	struct pn_gateway_settings settings = {.module_directories = {directories, 1}};
	const struct pn_loaded_module *modules[256];
	struct pn_arena *arena = pn_arena_new();
	struct pn_loader *loader;
	const char *const *names;
	struct pn_buffer text;
	struct pn_error error;
	size_t count = 0;
	int status = 1;

	directories[0] = arguments->word_count > 1 ? arguments->words[1] : NULL;
	pn_buffer_init(&text, 4 * 1024 * 1024);
	if (pn_process_loader(directories[0] == NULL ? NULL : &settings, &loader, &error) != PN_OK)
		goto done;
	names = pn_loader_names(loader, arena);
	for (; names[count] != NULL && count < 256; count++) {
		if (pn_loader_module(loader, names[count], &modules[count], &error) != PN_OK)
			goto done;
	}
	if (pn_reference_lua(modules, count, &text) != PN_OK) {
		(void)pn_fail(&error, "the reference is too long");
		goto done;
	}
	fwrite(text.data, 1, text.size, stdout);
	status = 0;
done:
	pn_buffer_clear(&text);
	pn_arena_free(&arena);
	return status == 0 ? 0 : fail(&error);
}

int pn_command_config(const struct pn_arguments *arguments)
{
	if (arguments->word_count == 1 && strcmp(arguments->words[0], "check") == 0)
		return check(arguments);
	if (arguments->word_count >= 1 && strcmp(arguments->words[0], "reference") == 0)
		return reference(arguments);
	fputs("usage: postern config check [--config FILE]\n"
	      "       postern config reference [MODULE DIRECTORY]\n",
	      stderr);
	return 2;
}

static const char *on_error_name(const struct pn_chain_hook *hook, enum pn_stage stage)
{
	switch (hook->on_error) {
	case PN_ON_ERROR_CONTINUE:
		return "continue";
	case PN_ON_ERROR_REJECT:
		return "reject";
	case PN_ON_ERROR_DEFER:
	case PN_ON_ERROR_DEFAULT:
		break;
	}
	return pn_stage_allows(stage, PN_VERDICT_DEFER) ? "defer" : "continue";
}

static void print_verdicts(enum pn_stage stage)
{
	printf("    verdicts:");
	for (int verdict = 0; verdict < PN_VERDICT_PENDING; verdict++) {
		if (pn_stage_allows(stage, (enum pn_verdict)verdict))
			printf(" %s", pn_verdict_name((enum pn_verdict)verdict));
	}
	putchar('\n');
}

static void print_stage(const struct pn_generation *generation, enum pn_stage stage,
                        bool with_verdicts)
{
	static const char *const modes[] = {"decide", "observe", "shadow"};
	const struct pn_chain *chain = &generation->chains[stage];

	printf("%-20s %s\n", pn_stage_name(stage), pn_stage_summary(stage));
	if (with_verdicts)
		print_verdicts(stage);
	for (size_t i = 0; i < chain->count; i++) {
		const struct pn_chain_hook *hook = &chain->hooks[i];

		printf("    %5d  %-28s %-8s on error %-8s within %u ms  %s\n", hook->order,
		       hook->label, modes[hook->mode], on_error_name(hook, stage),
		       hook->wall_budget_ms, hook->summary == NULL ? "" : hook->summary);
	}
}

int pn_command_stages(const struct pn_arguments *arguments)
{
	const struct pn_assemble_settings settings = {.number = 1, .skip_keys = true};
	struct pn_assembly *assembly;
	struct pn_error error;

	if (pn_assemble(arguments->config, &settings, &assembly, &error) != PN_OK)
		return fail(&error);
	for (int stage = 1; stage < PN_STAGE_COUNT; stage++) {
		if (arguments->all || assembly->generation->chains[stage].count > 0)
			print_stage(assembly->generation, (enum pn_stage)stage, arguments->all);
	}
	pn_generation_drop(&assembly->generation);
	return 0;
}
