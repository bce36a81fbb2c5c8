/* SPDX-License-Identifier: Apache-2.0 */
/* Tools: see tool.h. */
#include "process/tool.h"

#include <postern/clock.h>
#include <postern/job.h>
#include <postern/text.h>

#include "io/job.h"
#include "io/loop.h"
#include "io/resolver.h"
#include "process/ask.h"
#include "process/user.h"
#include "session/ticket.h"
#include "store/directory.h"
#include "store/watch.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MS = 24 * 60 * 60 * 1000, TELL_MS = 500, HEAR_MS = 5000, HEARD_LIMIT = 4096 };

int pn_tool_fail(const struct pn_error *error)
{
	fflush(stdout);
	fprintf(stderr, "postern: %s\n", error->text);
	return 1;
}

/* ---- the gateway hears of changes ---- */

static struct pn_tool *open_tool;

/* Where none runs nobody needs to know; and it finds out by itself when somebody looks. */
static void tell(const struct pn_tool *tool, const char *word, struct pn_slice value)
{
	char command[600];
	const struct pn_ask ask = {
		.control_socket = tool->assembly->config->settings.control_socket,
		.command = command,
		.deadline_ms = HEAR_MS,
	};
	struct pn_buffer answer;
	int size = snprintf(command, sizeof(command), "%s%.*s", word, PN_SLICE_ARGS(value));

	if (size < 0 || (size_t)size >= sizeof(command))
		return;
	pn_buffer_init(&answer, HEARD_LIMIT);
	(void)!pn_ask(&ask, &answer, NULL);
	pn_buffer_clear(&answer);
}

static void tell_gateway(struct pn_tool *tool)
{
	tool->told_ms = pn_clock_monotonic_ms();
	tell(tool, "changed ", tool->changed);
	tool->changed = PN_SLICE_NONE;
}

void pn_tool_edited(struct pn_tool *tool)
{
	tell(tool, "edited", PN_SLICE_NONE);
}

static void changed(struct pn_slice account)
{
	struct pn_tool *tool = open_tool;

	if (tool->changed.size > 0 && !pn_slice_equal(tool->changed, account))
		tell_gateway(tool);
	if (tool->changed.size == 0)
		tool->changed = pn_arena_keep(tool->arena, account);
	if (pn_clock_monotonic_ms() - tool->told_ms >= TELL_MS)
		tell_gateway(tool);
}

/* ---- opening ---- */

static enum pn_status become_user(const struct pn_gateway_settings *settings,
                                  struct pn_error *error)
{
	struct pn_user user;

	if (pn_user_find(settings->user, settings->group, &user, error) != PN_OK)
		return PN_FAILED;
	if (pn_user_become_reader(&user) != PN_OK)
		return pn_fail(error, "cannot become the user %s", settings->user);
	return PN_OK;
}

/* Names are looked up as the workers do it. */
static enum pn_status configure_resolver(const struct pn_gateway_settings *settings,
                                         struct pn_error *error)
{
	const struct pn_resolver_settings resolver = {
		.servers = settings->resolvers,
		.zone_file = settings->zone_file,
		.dnssec = (enum pn_dnssec)settings->dnssec,
		.trust_anchor = settings->trust_anchor,
		.deadline_ms = settings->dns_deadline,
	};

	return pn_resolver_configure(&resolver, error);
}

enum pn_status pn_tool_open(const struct pn_arguments *arguments, enum pn_tool_user user,
                            struct pn_tool *tool_out, struct pn_error *error)
{
	const struct pn_assemble_settings settings = {.number = 1, .skip_keys = true};
	struct pn_generation *generation;

	memset(tool_out, 0, sizeof(*tool_out));
	tool_out->store_name = arguments->store;
	signal(SIGPIPE, SIG_IGN);
	if (pn_assemble(arguments->config, &settings, &tool_out->assembly, error) != PN_OK)
		return PN_FAILED;
	generation = tool_out->assembly->generation;
	if ((user == PN_TOOL_AS_WORKER &&
	     become_user(&tool_out->assembly->config->settings, error) != PN_OK) ||
	    pn_loop_new(error) != PN_OK) {
		pn_generation_drop(&generation);
		return PN_FAILED;
	}
	pn_jobs_start();
	tool_out->arena = pn_arena_new();
	if (configure_resolver(&tool_out->assembly->config->settings, error) != PN_OK ||
	    pn_instances_start(tool_out->assembly, PN_WORKER_TOOL, 0, error) != PN_OK) {
		pn_tool_close(tool_out);
		return PN_FAILED;
	}
	open_tool = tool_out;
	pn_change_bus.changed = changed;
	return PN_OK;
}

void pn_tool_close(struct pn_tool *tool)
{
	struct pn_generation *generation = tool->assembly->generation;

	if (tool->changed.size > 0)
		tell_gateway(tool);
	pn_change_bus.changed = NULL;
	open_tool = NULL;
	pn_jobs_finish();
	pn_instances_stop();
	pn_resolver_stop();
	pn_jobs_stop();
	pn_tickets_stop();
	pn_arena_free(&tool->arena);
	pn_generation_drop(&generation);
	pn_loop_free();
}

/* ---- asking ---- */

static void answered(void *user, const struct pn_answer *answer)
{
	struct pn_tool_answer *kept = user;

	kept->status = answer->status;
	kept->result = (void *)(uintptr_t)answer->result;
	if (answer->error != NULL)
		kept->error = *answer->error;
	else if (answer->status != PN_OK)
		(void)pn_fail_with(answer->status, &kept->error, "the store said: %s",
		                   pn_status_name(answer->status));
	kept->is_there = true;
	pn_ticket_keep_result(&kept->release);
	pn_loop_stop();
}

struct pn_ticket pn_tool_ticket(struct pn_tool_answer *answer)
{
	memset(answer, 0, sizeof(*answer));
	return pn_ticket_open(NULL, answered, answer, ANSWER_MS);
}

enum pn_status pn_tool_wait(struct pn_tool_answer *answer)
{
	while (!answer->is_there)
		pn_loop_run();
	return answer->status;
}

void pn_tool_release(struct pn_tool_answer *answer)
{
	if (answer->release != NULL)
		answer->release(answer->result);
	answer->release = NULL;
	answer->result = NULL;
}

enum pn_status pn_tool_commit(struct pn_tool *tool, const struct pn_account *account,
                              struct pn_commit *commit, struct pn_tool_answer *answer)
{
	(void)tool;
	pn_store_commit(account, commit, pn_tool_ticket(answer));
	return pn_tool_wait(answer);
}

struct writing {
	const struct pn_account *account;
	struct pn_body_writer **writer;
	struct pn_slice bytes;
};

static enum pn_status write_piece(void *argument, struct pn_error *error)
{
	struct writing *writing = argument;
	const struct pn_account *account = writing->account;
	enum pn_status status = PN_OK;

	if (*writing->writer == NULL)
		status = account->entries->body_new(account->state, writing->writer, error);
	if (status == PN_OK)
		status = account->entries->body_append(account->state, *writing->writer,
		                                       writing->bytes, error);
	return status;
}

enum pn_status pn_tool_write(const struct pn_account *account, struct pn_body_writer **writer,
                             struct pn_slice bytes, struct pn_error *error)
{
	struct writing writing = {account, writer, bytes};
	const struct pn_job job = {.struct_size = sizeof(job),
	                           .pool = PN_POOL_DISK,
	                           .work = write_piece,
	                           .argument = &writing};
	struct pn_tool_answer answer;
	enum pn_status status;

	if (pn_job_submit(&job, pn_tool_ticket(&answer)) != PN_OK)
		return pn_fail(error, "the store takes no more work");
	status = pn_tool_wait(&answer);
	if (status != PN_OK)
		*error = answer.error;
	return status;
}

/* ---- accounts ---- */

struct pn_account *pn_tool_store(struct pn_tool *tool, size_t index)
{
	const struct pn_generation *generation = tool->assembly->generation;

	for (size_t i = 0; i < generation->instance_count; i++) {
		struct pn_instance *instance = generation->instances[i].instance;

		if (instance->module->store == NULL ||
		    (tool->store_name != NULL && strcmp(instance->name, tool->store_name) != 0) ||
		    index-- > 0)
			continue;
		return pn_account_new(tool->arena, PN_SLICE(""), instance);
	}
	return NULL;
}

/* As at the login: "Alice" is alice in the first domain of the configuration. */
static struct pn_slice full_name(struct pn_tool *tool, const char *name)
{
	const struct pn_generation *generation = tool->assembly->generation;
	char *text;

	if (strchr(name, '@') == NULL && generation->domain_count > 0)
		text = pn_arena_print(tool->arena, "%s@%s", name, generation->domains[0].name);
	else
		text = pn_arena_print(tool->arena, "%s", name);
	for (char *letter = text; *letter != '\0'; letter++) {
		if (*letter >= 'A' && *letter <= 'Z')
			*letter += 'a' - 'A';
	}
	return pn_slice_of(text);
}

struct lookup {
	const struct pn_lookup_result *result;
};

static void looked_up(void *user, const struct pn_lookup_result *result)
{
	struct lookup *lookup = user;

	lookup->result = result;
	pn_loop_stop();
}

static const struct pn_lookup_result *look_up(struct pn_tool *tool,
                                              const struct pn_address *address)
{
	struct lookup lookup = {NULL};

	pn_directory_find(NULL, tool->assembly->generation, address, tool->arena, looked_up,
	                  &lookup);
	while (lookup.result == NULL)
		pn_loop_run();
	return lookup.result;
}

static enum pn_status unknown(struct pn_slice name, const struct pn_lookup_result *result,
                              struct pn_error *error)
{
	const char *why = "its directory does not know it: create it there first, or name a store "
			  "with --store";

	if (result != NULL && result->outcome == PN_LOOKUP_FAILED)
		why = result->error.text;
	else if (result != NULL && result->outcome == PN_LOOKUP_FOREIGN)
		why = "its domain is none of this gateway's: see domain \"…\" in the configuration";
	else if (result != NULL && result->outcome == PN_LOOKUP_FOUND)
		why = "the address is an alias for several accounts: name one of them";
	return pn_fail_with(PN_NOT_FOUND, error, "there is no account %.*s: %s",
	                    PN_SLICE_ARGS(name), why);
}

/* Without the directory: the store of its domain, or the only one. */
static struct pn_account *by_domain(struct pn_tool *tool, struct pn_slice name,
                                    const struct pn_address *address)
{
	const struct pn_domain *domain =
		address == NULL ? NULL
				: pn_generation_domain(tool->assembly->generation, address->domain);
	struct pn_account *store = pn_tool_store(tool, 0);

	if (domain != NULL && tool->store_name == NULL)
		return pn_account_new(tool->arena, name, domain->store);
	if (store == NULL || pn_tool_store(tool, 1) != NULL)
		return NULL;
	return pn_account_new(tool->arena, name, store->store);
}

enum pn_status pn_tool_account(struct pn_tool *tool, const char *name, bool must_be_known,
                               struct pn_account **account_out, struct pn_error *error)
{
	struct pn_slice full = full_name(tool, name);
	struct pn_address *parsed = PN_ARENA_NEW(tool->arena, struct pn_address);
	const struct pn_lookup_result *result = NULL;

	if (pn_address_parse(full, true, tool->arena, parsed) != PN_OK)
		parsed = NULL;
	if (tool->store_name == NULL && parsed != NULL) {
		result = look_up(tool, parsed);
		if (result->outcome == PN_LOOKUP_FOUND && result->account_count == 1) {
			*account_out = pn_account_new(tool->arena, result->accounts[0].name,
			                              result->accounts[0].store);
			return PN_OK;
		}
	}
	*account_out = by_domain(tool, full, parsed);
	if (*account_out == NULL)
		return pn_fail_with(
			PN_NOT_FOUND, error,
			tool->store_name != NULL
				? "the configuration has no store of that name: see --store"
				: "several stores may have that account: say which with --store");
	if (must_be_known && tool->store_name == NULL)
		return unknown(full, result, error);
	return PN_OK;
}

enum pn_status pn_tool_mailbox(const struct pn_account *account, struct pn_slice name,
                               struct pn_mailbox_info *mailbox_out, struct pn_arena *arena,
                               struct pn_error *error)
{
	const struct pn_mailboxes_request request = {.struct_size = sizeof(request), .name = name};
	struct pn_tool_answer answer;
	const struct pn_mailboxes *mailboxes;
	enum pn_status status;

	pn_store_mailboxes(account, &request, pn_tool_ticket(&answer));
	status = pn_tool_wait(&answer);
	mailboxes = answer.result;
	if (status == PN_OK && (mailboxes->count == 0 || mailboxes->mailboxes[0].id == 0))
		status = PN_NOT_FOUND;
	if (status == PN_OK) {
		*mailbox_out = mailboxes->mailboxes[0];
		mailbox_out->name = pn_arena_keep(arena, mailbox_out->name);
	} else if (status == PN_NOT_FOUND) {
		(void)pn_fail_with(status, error, "%.*s has no mailbox \"%.*s\"",
		                   PN_SLICE_ARGS(account->name), PN_SLICE_ARGS(name));
	} else {
		*error = answer.error;
	}
	pn_tool_release(&answer);
	return status;
}
