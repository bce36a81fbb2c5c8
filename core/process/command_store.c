/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern store verify|rebuild|checkpoint|compact|export`: administration of a
 * store, by a process of its own.
 */
#include "io/job.h"
#include "io/loop.h"
#include "process/assemble.h"
#include "process/command.h"

#include <postern/store.h>

#include <stdio.h>
#include <string.h>

static int fail(const struct pn_error *error)
{
	fprintf(stderr, "postern: %s\n", error->text);
	return 1;
}

static void say(void *user, bool is_damage, const char *text)
{
	size_t *damages = user;

	if (is_damage)
		(*damages)++;
	printf("%s%s\n", is_damage ? "DAMAGE: " : "", text);
}

/* The store that is named, or the only one. */
static struct pn_instance *pick_store(const struct pn_assembly *assembly, const char *name,
                                      struct pn_error *error)
{
	const struct pn_generation *generation = assembly->generation;
	struct pn_instance *found = NULL;
	size_t count = 0;

	for (size_t i = 0; i < generation->instance_count; i++) {
		struct pn_instance *instance = generation->instances[i].instance;

		if (instance->module->store == NULL ||
		    (name != NULL && strcmp(instance->name, name) != 0))
			continue;
		found = instance;
		count++;
	}
	if (count == 1)
		return found;
	(void)pn_fail(error,
	              count == 0 ? "the configuration has no such store"
	                         : "the configuration has several stores: say which with --store");
	return NULL;
}

static enum pn_status run(const struct pn_arguments *arguments, struct pn_instance *instance,
                          size_t *damages, struct pn_error *error)
{
	const struct pn_store *store = instance->module->store;
	const struct pn_store_report report = {say, damages};
	const char *what = arguments->words[0];

	if (strcmp(what, "verify") == 0 && store->verify != NULL)
		return store->verify(instance->state, &report, error);
	if (strcmp(what, "rebuild") == 0 && store->rebuild != NULL)
		return store->rebuild(instance->state, &report, error);
	if (strcmp(what, "checkpoint") == 0 && store->checkpoint != NULL)
		return store->checkpoint(instance->state, error);
	if (strcmp(what, "compact") == 0 && store->compact != NULL)
		return store->compact(instance->state, &report, error);
	return pn_fail(error, "this store cannot do that");
}

static bool is_known(const struct pn_arguments *arguments)
{
	static const char *const words[] = {"verify", "rebuild", "checkpoint", "compact", "export"};

	for (size_t i = 0; arguments->word_count == 1 && i < sizeof(words) / sizeof(words[0]);
	     i++) {
		if (strcmp(arguments->words[0], words[i]) == 0)
			return strcmp(words[i], "export") != 0 || arguments->output != NULL;
	}
	return false;
}

/* The same as `postern export DIRECTORY`. */
static int export_store(const struct pn_arguments *arguments)
{
	struct pn_arguments of_export = *arguments;

	of_export.words[0] = arguments->output;
	return pn_command_export(&of_export);
}

int pn_command_store(const struct pn_arguments *arguments)
{
	const struct pn_assemble_settings settings = {.number = 1, .skip_keys = true};
	struct pn_assembly *assembly = NULL;
	struct pn_instance *instance;
	struct pn_error error;
	size_t damages = 0;
	enum pn_status status;

	if (!is_known(arguments)) {
		fputs("usage: postern store verify|rebuild|checkpoint|compact [--store NAME] "
		      "[--config FILE]\n"
		      "       postern store export --output DIRECTORY [--store NAME]\n",
		      stderr);
		return 2;
	}
	if (strcmp(arguments->words[0], "export") == 0)
		return export_store(arguments);
	if (pn_assemble(arguments->config, &settings, &assembly, &error) != PN_OK ||
	    pn_loop_new(&error) != PN_OK)
		return fail(&error);
	pn_jobs_start();
	instance = pick_store(assembly, arguments->store, &error);
	if (instance == NULL || pn_instances_start(assembly, PN_WORKER_TOOL, 0, &error) != PN_OK)
		return fail(&error);
	status = run(arguments, instance, &damages, &error);
	pn_instances_stop();
	pn_jobs_stop();
	pn_generation_drop(&assembly->generation);
	if (status == PN_CONFLICT && damages > 0) {
		fprintf(stderr, "postern: %zu damages were found\n", damages);
		return 1;
	}
	return status == PN_OK ? 0 : fail(&error);
}
