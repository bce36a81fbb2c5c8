/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assembling a generation. Everything that can be wrong is found here, before
 * anything is used; what is found names the place in the configuration file.
 */
#include "process/assemble.h"

#include <postern/authentication.h>
#include <postern/directory.h>
#include <postern/lualib.h>
#include <postern/protocol.h>
#include <postern/store.h>
#include <postern/text.h>
#include <postern/transport.h>

#include "session/generation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef POSTERN_MODULE_DIRECTORY
#define POSTERN_MODULE_DIRECTORY "/usr/lib/postern"
#endif

/* Instances of this process, in the order they were first mentioned; they live until it ends. */
static struct pn_instance *instances;
static struct pn_loader *loader;

struct assembling {
	const struct pn_assemble_settings *settings;
	struct pn_config *config;
	struct pn_arena *arena;
	struct pn_generation *generation;
	struct pn_assembly *assembly;
	struct pn_instance_use *uses;
	struct pn_error *error;
};

enum pn_status pn_process_loader(const struct pn_gateway_settings *settings,
                                 struct pn_loader **loader_out, struct pn_error *error)
{
	static const char *directories[17];
	size_t count = 0;

	if (loader == NULL) {
		for (; settings != NULL && count < settings->module_directories.count && count < 16;
		     count++)
			directories[count] = strdup(settings->module_directories.items[count]);
		if (count == 0)
			directories[0] = POSTERN_MODULE_DIRECTORY;
		if (pn_loader_new(directories, &loader, error) != PN_OK)
			return PN_FAILED;
	}
	*loader_out = loader;
	return PN_OK;
}

static struct pn_instance *find_instance(const char *name)
{
	struct pn_instance *instance = instances;

	while (instance != NULL && strcmp(instance->name, name) != 0)
		instance = instance->next;
	return instance;
}

static struct pn_instance *new_instance(const char *name, const struct pn_module *module)
{
	struct pn_instance *instance = calloc(1, sizeof(*instance));
	struct pn_instance **last = &instances;

	if (instance == NULL)
		abort();
	instance->name = strdup(name);
	instance->module = module;
	while (*last != NULL)
		last = &(*last)->next;
	*last = instance;
	return instance;
}

static bool any_started(void)
{
	for (const struct pn_instance *instance = instances; instance != NULL;
	     instance = instance->next) {
		if (instance->is_started)
			return true;
	}
	return false;
}

static void want_new_workers(struct assembling *work, const char *format, const char *what)
{
	char text[300];

	snprintf(text, sizeof(text), format, what);
	work->assembly->needs_new_workers = true;
	if (work->assembly->why == NULL)
		work->assembly->why = pn_arena_keep_text(work->arena, pn_slice_of(text));
}

/* One module { } of the file: the module, its config struct, its instance. */
static enum pn_status add_instance(struct assembling *work, const struct pn_config_module *mention,
                                   struct pn_instance_use *use)
{
	const struct pn_loaded_module *loaded;
	const struct pn_module *module;
	struct pn_instance *instance;
	struct pn_loader *process_loader;
	void *config;
	char names[256];
	struct pn_buffer changed;

	if (pn_process_loader(&work->config->settings, &process_loader, work->error) != PN_OK)
		return PN_FAILED;
	if (pn_loader_module(process_loader, mention->name, &loaded, work->error) != PN_OK) {
		pn_error_prefix(work->error, "%s:%d", mention->settings.file,
		                mention->settings.line);
		return PN_FAILED;
	}
	module = &loaded->module;
	config = pn_arena_allocate(work->arena, module->config_size);
	if (pn_options_apply(module->options, module->option_size, &mention->settings, work->arena,
	                     config, work->error) != PN_OK)
		return PN_FAILED;
	if (module->check_config != NULL && module->check_config(config, work->error) != PN_OK) {
		pn_error_prefix(work->error, "%s:%d", mention->settings.file,
		                mention->settings.line);
		return PN_FAILED;
	}
	instance = find_instance(mention->as);
	/* One that a reload brought which was given up is there, and was never started. */
	if ((instance == NULL || !instance->is_started) && any_started())
		want_new_workers(work, "instance %s is new", mention->as);
	if (instance == NULL)
		instance = new_instance(mention->as, module);
	if (instance->module != module)
		want_new_workers(work, "instance %s is another module now", mention->as);
	if (instance->is_started && instance->module == module) {
		pn_buffer_init(&changed, sizeof(names) - 1);
		if (pn_options_need_restart(module->options, module->option_size, instance->config,
		                            config, &changed)) {
			snprintf(names, sizeof(names), "%s: %.*s", mention->as,
			         PN_SLICE_ARGS(pn_buffer_slice(&changed)));
			want_new_workers(work, "changed: %s", names);
		}
		pn_buffer_clear(&changed);
	}
	use->instance = instance;
	use->config = config;
	return PN_OK;
}

static enum pn_status add_instances(struct assembling *work)
{
	const struct pn_config *config = work->config;
	struct pn_generation *generation = work->generation;
	struct pn_instance_use *authentications =
		PN_ARENA_ARRAY(work->arena, config->module_count, struct pn_instance_use);

	work->uses = PN_ARENA_ARRAY(work->arena, config->module_count, struct pn_instance_use);
	for (size_t i = 0; i < config->module_count; i++) {
		if (add_instance(work, &config->modules[i], &work->uses[i]) != PN_OK)
			return PN_FAILED;
		if (work->uses[i].instance->module->authentication != NULL)
			authentications[generation->authentication_count++] = work->uses[i];
	}
	generation->instances = work->uses;
	generation->instance_count = config->module_count;
	generation->authentications = authentications;
	for (const struct pn_instance *instance = instances; instance != NULL;
	     instance = instance->next) {
		if (instance->is_started && pn_generation_config(generation, instance) == NULL)
			want_new_workers(work, "instance %s is gone", instance->name);
	}
	return PN_OK;
}

static struct pn_instance *use_named(const struct assembling *work, const char *name)
{
	for (size_t i = 0; i < work->generation->instance_count; i++) {
		if (strcmp(work->uses[i].instance->name, name) == 0)
			return work->uses[i].instance;
	}
	return NULL;
}

static bool is_store(const struct pn_instance *instance)
{
	return instance->module->store != NULL;
}

static bool is_directory(const struct pn_instance *instance)
{
	return instance->module->directory != NULL;
}

/* The instance a domain names, or the only one of that kind. */
static struct pn_instance *pick(const struct assembling *work, const char *name, const char *kind,
                                bool (*fits)(const struct pn_instance *instance), int line)
{
	struct pn_instance *only = NULL;
	size_t count = 0;

	for (size_t i = 0; i < work->generation->instance_count; i++) {
		struct pn_instance *instance = work->uses[i].instance;

		if (!fits(instance))
			continue;
		if (name != NULL && strcmp(instance->name, name) == 0)
			return instance;
		only = instance;
		count++;
	}
	if (name != NULL)
		(void)pn_fail(work->error, "%s:%d: \"%s\" is not a %s of this configuration",
		              work->config->file, line, name, kind);
	else if (count != 1)
		(void)pn_fail(work->error,
		              "%s:%d: the domain needs %s = \"…\": the configuration has %zu of "
		              "that kind",
		              work->config->file, line, kind, count);
	return name == NULL && count == 1 ? only : NULL;
}

static enum pn_status add_domains(struct assembling *work)
{
	const struct pn_config *config = work->config;
	struct pn_domain *domains =
		PN_ARENA_ARRAY(work->arena, config->domain_count, struct pn_domain);

	for (size_t i = 0; i < config->domain_count; i++) {
		const struct pn_config_domain *mention = &config->domains[i];

		domains[i].name = mention->name;
		domains[i].ascii_name = pn_domain_to_ascii(work->arena, pn_slice_of(mention->name));
		domains[i].store = pick(work, mention->store, "store", is_store, mention->line);
		if (domains[i].store == NULL)
			return PN_FAILED;
		domains[i].directory =
			pick(work, mention->directory, "directory", is_directory, mention->line);
		if (domains[i].directory == NULL)
			return PN_FAILED;
	}
	work->generation->domains = domains;
	work->generation->domain_count = config->domain_count;
	return PN_OK;
}

/* What the sessions of a listener are secured with. Where keys are not read, its file is looked at.
 */
static enum pn_status add_tls_service(struct assembling *work,
                                      const struct pn_config_listener *mention,
                                      struct pn_bound_listener *listener)
{
	const struct pn_tls_service_settings settings = {
		.name = mention->to,
		.client_certificates = mention->client_certificates,
		.authorities_path = mention->client_authorities,
		.protocol_names = listener->instance->module->protocol->tls_names,
	};

	if (mention->client_certificates != PN_TLS_CLIENT_NEVER &&
	    work->config->certificate_count == 0)
		return pn_fail(work->error,
		               "%s:%d: client_certificates needs a certificate { … } of the "
		               "gateway's own",
		               work->config->file, mention->line);
	if (mention->tls == PN_LISTEN_PLAIN ||
	    pn_tls_service_add(work->generation->tls, &settings, &listener->tls_service,
	                       work->error) == PN_OK)
		return PN_OK;
	pn_error_prefix(work->error, "%s:%d", work->config->file, mention->line);
	return PN_FAILED;
}

static enum pn_status add_listeners(struct assembling *work)
{
	const struct pn_config *config = work->config;
	struct pn_bound_listener *listeners =
		PN_ARENA_ARRAY(work->arena, config->listener_count, struct pn_bound_listener);

	for (size_t i = 0; i < config->listener_count; i++) {
		const struct pn_config_listener *mention = &config->listeners[i];
		struct pn_instance *instance = use_named(work, mention->to);

		if (instance == NULL || instance->module->protocol == NULL)
			return pn_fail(work->error,
			               "%s:%d: \"%s\" is not an instance of a protocol module",
			               config->file, mention->line, mention->to);
		if (mention->tls == PN_LISTEN_IMPLICIT && config->certificate_count == 0)
			return pn_fail(work->error,
			               "%s:%d: tls = \"implicit\" needs a certificate { … }",
			               config->file, mention->line);
		listeners[i].address = mention->address;
		listeners[i].instance = instance;
		listeners[i].tls = mention->tls;
		if (add_tls_service(work, mention, &listeners[i]) != PN_OK)
			return PN_FAILED;
		listeners[i].proxies = mention->proxies;
		listeners[i].proxy_count = mention->proxy_count;
	}
	for (size_t i = 0; i < work->generation->instance_count; i++) {
		const struct pn_instance *instance = work->uses[i].instance;
		bool is_used = instance->module->protocol == NULL;

		for (size_t j = 0; j < config->listener_count && !is_used; j++)
			is_used = listeners[j].instance == instance;
		if (!is_used)
			return pn_fail(work->error,
			               "%s:%d: no listener leads to \"%s\": add listen { \"…\", to "
			               "= \"%s\" } or take the module out",
			               config->file, config->modules[i].settings.line,
			               instance->name, instance->name);
	}
	work->assembly->listeners = listeners;
	work->assembly->listener_count = config->listener_count;
	return PN_OK;
}

static enum pn_status add_certificates(struct assembling *work)
{
	const struct pn_config *config = work->config;
	struct pn_tls_certificate *certificates =
		PN_ARENA_ARRAY(work->arena, config->certificate_count, struct pn_tls_certificate);

	if (config->certificate_count == 0)
		return PN_OK;
	for (size_t i = 0; i < config->certificate_count; i++) {
		const struct pn_config_certificate *mention = &config->certificates[i];

		certificates[i].chain_path = mention->chain_path;
		certificates[i].key_path = mention->key_path;
		certificates[i].key_descriptor =
			work->settings->key_descriptor == NULL
				? -1
				: work->settings->key_descriptor(mention->key_path);
		if (work->settings->skip_keys && access(mention->chain_path, R_OK) != 0)
			return pn_fail(work->error, "%s:%d: cannot read the certificate %s",
			               config->file, mention->line, mention->chain_path);
	}
	if (work->settings->skip_keys)
		return PN_OK;
	if (pn_tls_server_new(certificates, config->certificate_count,
	                      config->settings.tls_session_lifetime, &work->generation->tls,
	                      work->error) != PN_OK) {
		pn_error_prefix(work->error, "%s:%d", config->file, config->certificates[0].line);
		return PN_FAILED;
	}
	return PN_OK;
}

/* ---- chains ---- */

struct hook_list {
	struct pn_policy_hook *rows;
	size_t count;
};

static enum pn_verdict run_module_hook(void *user, const struct pn_stage_call *call)
{
	const struct pn_hook *hook = user;

	return hook->run(call);
}

static const struct pn_hook *hook_row(const struct pn_module *module, size_t index)
{
	return (const struct pn_hook *)((const char *)module->hooks + index * module->hook_size);
}

static size_t count_hooks(const struct assembling *work)
{
	size_t count = 0;

	for (size_t i = 0; i < work->generation->instance_count; i++) {
		const struct pn_module *module = work->uses[i].instance->module;

		for (size_t row = 0;
		     module->hooks != NULL && hook_row(module, row)->stage != PN_STAGE_NONE; row++)
			count++;
	}
	return count;
}

static void add_module_hooks(const struct assembling *work, struct hook_list *list,
                             const struct pn_instance_use *use)
{
	const struct pn_module *module = use->instance->module;
	const struct pn_hook *hook;

	for (size_t row = 0;
	     module->hooks != NULL && (hook = hook_row(module, row))->stage != PN_STAGE_NONE;
	     row++) {
		struct pn_policy_hook *added = &list->rows[list->count++];

		added->stage = hook->stage;
		added->hook = (struct pn_chain_hook){
			.label = hook->name == NULL || strcmp(hook->name, use->instance->name) == 0
		                         ? use->instance->name
		                         : pn_arena_print(work->arena, "%s:%s", use->instance->name,
		                                          hook->name),
			.summary = hook->summary,
			.module = use->instance->name,
			.order = hook->order,
			.mode = hook->mode,
			.on_error = hook->on_error,
			.wall_budget_ms = hook->wall_budget_ms,
			.run = run_module_hook,
			.user = (void *)(uintptr_t)hook,
			.use = *use,
		};
	}
}

static int compare_hooks(const void *left, const void *right)
{
	const struct pn_policy_hook *one = left;
	const struct pn_policy_hook *other = right;

	if (one->stage != other->stage)
		return one->stage < other->stage ? -1 : 1;
	if (one->hook.order != other->hook.order)
		return one->hook.order < other->hook.order ? -1 : 1;
	/* By name; hooks of one script by their line, which is part of their label. */
	return strverscmp(one->hook.label, other->hook.label);
}

static enum pn_status load_policies(struct assembling *work)
{
	const struct pn_config *config = work->config;
	struct pn_instance_use *libraries = PN_ARENA_ARRAY(
		work->arena, work->generation->instance_count, struct pn_instance_use);
	size_t library_count = 0;

	for (size_t i = 0; i < work->generation->instance_count; i++) {
		const struct pn_module *module = work->uses[i].instance->module;

		if (module->lua_library != NULL || module->cache != NULL)
			libraries[library_count++] = work->uses[i];
	}
	if (config->policy_count == 0)
		return PN_OK;
	if (pn_policy_load(config->policies, config->policy_count, libraries, library_count,
	                   &work->generation->policies, work->error) != PN_OK)
		return PN_FAILED;
	work->generation->free_policies = pn_policy_free;
	return PN_OK;
}

static enum pn_status add_chains(struct assembling *work)
{
	struct pn_generation *generation = work->generation;
	const struct pn_policy_hook *policy_hooks = NULL;
	size_t policy_count = 0;
	struct hook_list list = {NULL, 0};
	struct pn_chain_hook *hooks;

	if (load_policies(work) != PN_OK)
		return PN_FAILED;
	if (generation->policies != NULL)
		policy_hooks = pn_policy_hooks(generation->policies, &policy_count);
	list.rows = PN_ARENA_ARRAY(work->arena, count_hooks(work) + policy_count,
	                           struct pn_policy_hook);
	for (size_t i = 0; i < generation->instance_count; i++)
		add_module_hooks(work, &list, &work->uses[i]);
	for (size_t i = 0; i < policy_count; i++)
		list.rows[list.count++] = policy_hooks[i];
	qsort(list.rows, list.count, sizeof(*list.rows), compare_hooks);
	hooks = PN_ARENA_ARRAY(work->arena, list.count, struct pn_chain_hook);
	for (size_t i = 0; i < list.count; i++) {
		struct pn_chain *chain = &generation->chains[list.rows[i].stage];

		hooks[i] = list.rows[i].hook;
		if (hooks[i].wall_budget_ms == 0)
			hooks[i].wall_budget_ms = (uint32_t)work->config->settings.hook_wall_budget;
		if (chain->count++ == 0)
			chain->hooks = &hooks[i];
	}
	return PN_OK;
}

static void copy_limits(struct pn_generation *generation,
                        const struct pn_gateway_settings *settings)
{
	generation->hostname = settings->hostname;
	generation->relay = settings->relay;
	generation->data_directory = settings->data_directory;
	generation->memory_per_message = settings->memory_per_message;
	generation->max_header_size = settings->max_header_size;
	generation->max_header_fields = settings->max_header_fields;
	generation->max_mime_depth = settings->max_mime_depth;
	generation->max_mime_parts = settings->max_mime_parts;
	generation->max_hops = settings->max_hops;
	generation->proxy_header_ms = settings->proxy_header_deadline;
	generation->tls_handshake_deadline_ms = settings->tls_handshake_deadline;
	generation->max_handshakes = settings->max_tls_handshakes;
	generation->max_own_hops = settings->max_own_hops;
	generation->min_output_rate = (uint32_t)settings->min_output_rate;
	generation->output_window_ms = settings->output_rate_window;
	generation->store_deadline_ms = settings->store_deadline;
	generation->auth_deadline_ms = settings->auth_deadline;
	generation->login_limits = (struct pn_login_limits){
		.per_login = settings->max_failed_logins,
		.per_account = settings->max_failed_logins_of_account,
		.per_address = settings->max_failed_logins_of_address,
		.counts_loopback = settings->counts_failed_logins_of_loopback,
	};
	generation->session_limits = (struct pn_session_limits){
		.per_address = settings->max_sessions_per_address,
		.per_account = settings->max_sessions_per_account,
		.per_tenant = settings->max_sessions_per_tenant,
		.new_per_address = settings->max_new_sessions_per_address,
		.commands_per_address = settings->max_commands_per_address,
		.not_rated = settings->networks_without_rates,
	};
}

/* The store that keeps the queue: as the file says, else the first domain's, else the first. */
static enum pn_status choose_home(struct assembling *work)
{
	struct pn_generation *generation = work->generation;
	const char *name = work->config->settings.queue_store;

	if (name[0] == '\0' && generation->domain_count > 0)
		generation->home = generation->domains[0].store;
	for (size_t i = 0; i < generation->instance_count && generation->home == NULL; i++) {
		struct pn_instance *instance = work->uses[i].instance;

		if (is_store(instance) && (name[0] == '\0' || strcmp(instance->name, name) == 0))
			generation->home = instance;
	}
	if (generation->home == NULL && name[0] != '\0')
		return pn_fail(work->error, "%s:1: queue_store = \"%s\": there is no such store",
		               work->config->file, name);
	return PN_OK;
}

/* How the queue is worked on; the first row of limits is for destinations that are not named. */
static void copy_queue_limits(struct pn_generation *generation, const struct pn_config *config)
{
	const struct pn_gateway_settings *settings = &config->settings;
	struct pn_queue_limits *queue = &generation->queue;
	struct pn_destination_limits *rows = PN_ARENA_ARRAY(
		generation->arena, config->destination_count + 1, struct pn_destination_limits);

	rows[0] = (struct pn_destination_limits){
		.name = "",
		.connections = settings->destination_connections,
		.messages_per_connection = settings->destination_messages_per_connection,
		.messages_per_minute = settings->destination_messages_per_minute,
	};
	for (size_t i = 0; i < config->destination_count; i++) {
		const struct pn_config_destination *mention = &config->destinations[i];

		rows[i + 1] = (struct pn_destination_limits){
			.name = mention->name,
			.connections = mention->values.connections,
			.messages_per_connection = mention->values.messages_per_connection,
			.messages_per_minute = mention->values.messages_per_minute,
		};
	}
	queue->destinations = rows;
	queue->destination_count = config->destination_count + 1;
	queue->connections = settings->queue_connections;
	queue->memory_rows = settings->queue_memory;
	queue->lifetime_ms = settings->queue_lifetime;
	queue->bounce_lifetime_ms = settings->bounce_lifetime;
	queue->delay_warning_ms = settings->delay_warning;
	queue->delivery_deadline_ms = settings->delivery_deadline;
	queue->idle_ms = settings->idle_connections;
	queue->suspend_after = settings->suspend_after;
	queue->max_recipients = settings->recipients_per_delivery;
	queue->retry_count = config->retry_count;
	memcpy(queue->retries_ms, config->retries_ms,
	       config->retry_count * sizeof(*config->retries_ms));
}

static void free_config(void *origin)
{
	struct pn_config *config = origin;

	pn_config_free(&config);
}

enum pn_status pn_assemble(const char *config_path, const struct pn_assemble_settings *settings,
                           struct pn_assembly **assembly_out, struct pn_error *error)
{
	struct assembling work = {.settings = settings, .error = error};

	if (pn_config_read(config_path, &work.config, error) != PN_OK)
		return PN_FAILED;
	work.arena = pn_arena_new();
	work.generation = PN_ARENA_NEW(work.arena, struct pn_generation);
	work.generation->arena = work.arena;
	work.generation->number = settings->number;
	work.generation->references = 1;
	work.generation->origin = work.config;
	work.generation->free_origin = free_config;
	work.assembly = PN_ARENA_NEW(work.arena, struct pn_assembly);
	work.assembly->config = work.config;
	work.assembly->generation = work.generation;
	copy_limits(work.generation, &work.config->settings);
	copy_queue_limits(work.generation, work.config);
	if (add_instances(&work) != PN_OK || add_domains(&work) != PN_OK ||
	    add_certificates(&work) != PN_OK || add_listeners(&work) != PN_OK ||
	    choose_home(&work) != PN_OK || add_chains(&work) != PN_OK) {
		pn_generation_drop(&work.generation);
		return PN_FAILED;
	}
	*assembly_out = work.assembly;
	return PN_OK;
}

/* ---- instances at work ---- */

enum pn_status pn_instances_start(const struct pn_assembly *assembly, enum pn_worker_kind kind,
                                  unsigned worker_number, struct pn_error *error)
{
	const struct pn_generation *generation = assembly->generation;

	for (size_t i = 0; i < generation->instance_count; i++) {
		struct pn_instance *instance = generation->instances[i].instance;
		enum pn_status status = PN_OK;

		if (instance->is_started)
			continue;
		instance->config = generation->instances[i].config;
		instance->start = (struct pn_start){
			.struct_size = sizeof(struct pn_start),
			.self = instance,
			.instance_name = instance->name,
			.config = instance->config,
			.data_directory = strdup(generation->data_directory),
			.hostname = strdup(generation->hostname),
			.worker_kind = kind,
			.worker_number = worker_number,
		};
		if (instance->module->start != NULL)
			status = instance->module->start(&instance->start, &instance->state, error);
		if (status != PN_OK) {
			pn_error_prefix(error, "%s cannot start", instance->name);
			return PN_FAILED;
		}
		instance->is_started = true;
	}
	return PN_OK;
}

enum pn_status pn_instances_prepare(const struct pn_assembly *assembly, struct pn_error *error)
{
	const struct pn_generation *generation = assembly->generation;
	size_t prepared = 0;

	for (; prepared < generation->instance_count; prepared++) {
		const struct pn_instance_use *use = &generation->instances[prepared];

		if (use->instance->module->prepare != NULL &&
		    use->instance->module->prepare(use->instance->state, use->config, error) !=
		            PN_OK) {
			pn_error_prefix(error, "%s", use->instance->name);
			break;
		}
	}
	if (prepared == generation->instance_count)
		return PN_OK;
	while (prepared-- > 0) {
		const struct pn_instance_use *use = &generation->instances[prepared];

		if (use->instance->module->abandon != NULL)
			use->instance->module->abandon(use->instance->state, use->config);
	}
	return PN_FAILED;
}

void pn_instances_adopt(const struct pn_assembly *assembly)
{
	for (size_t i = 0; i < assembly->generation->instance_count; i++) {
		const struct pn_instance_use *use = &assembly->generation->instances[i];

		use->instance->config = use->config;
		if (use->instance->module->adopt != NULL)
			use->instance->module->adopt(use->instance->state, use->config);
	}
}

void pn_instances_abandon(const struct pn_assembly *assembly)
{
	for (size_t i = 0; i < assembly->generation->instance_count; i++) {
		const struct pn_instance_use *use = &assembly->generation->instances[i];

		if (use->instance->module->abandon != NULL)
			use->instance->module->abandon(use->instance->state, use->config);
	}
}

static void stop_from(struct pn_instance *instance)
{
	if (instance == NULL)
		return;
	stop_from(instance->next);
	if (instance->is_started && instance->module->stop != NULL)
		instance->module->stop(instance->state);
	instance->is_started = false;
}

void pn_instances_stop(void)
{
	stop_from(instances);
}
