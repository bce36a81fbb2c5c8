/* SPDX-License-Identifier: Apache-2.0 */
/* The world in which policies are tried. See trial.h. */
#include "process/trial.h"

#include <postern/clock.h>
#include <postern/text.h>
#include <postern/transaction.h>
#include <postern/transport.h>

#include "delivery/transaction.h"
#include "io/file.h"
#include "io/log.h"
#include "io/loop.h"
#include "io/world.h"
#include "process/trial_cache.h"
#include "process/trial_dns.h"
#include "process/trial_http.h"
#include "session/engine.h"
#include "session/session.h"
#include "session/ticket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	LONGEST_WAIT_MS = 3600 * 1000, /* of one timer: a hook's budget is at most 10 minutes */
	LOAD_WALL_MS = 30000,
};

static const int64_t first_wall_ms = 1700000000000;

static struct {
	struct pn_trial_report *report;
	struct pn_trial_policy policy;
	struct pn_policy_set *set;

	/* The generation stays; its chains are those of the policy. */
	struct pn_arena *set_arena;
	struct pn_generation generation;
	struct pn_module module;
	struct pn_instance instance;
	struct pn_module carrier;

	/* Of one case. */
	struct pn_arena *arena;
	struct pn_session *session;
	struct pn_protocol protocol;
	struct pn_recipient *recipient;
	uint32_t peer_count;
	uint64_t random_state;

	/* Of one run. */
	bool is_done;
	struct pn_stage_result result;
} trial;

/* ---- the world ---- */

static int64_t told_wall_ms(void)
{
	return first_wall_ms + (int64_t)pn_loop_simulated_ms();
}

static uint64_t told_monotonic_ns(void)
{
	return (pn_loop_simulated_ms() + 1000) * 1000000u;
}

/* The same each time: a case that holds once holds always. */
static void told_random(void *bytes_out, size_t size)
{
	unsigned char *bytes = bytes_out;

	for (size_t index = 0; index < size; index++) {
		trial.random_state =
			trial.random_state * 6364136223846793005u + 1442695040888963407u;
		bytes[index] = (unsigned char)(trial.random_state >> 56);
	}
}

static uint32_t told_count(uint64_t key, int change)
{
	(void)key, (void)change;
	return trial.peer_count;
}

static void told_end(void)
{
}

enum pn_status pn_trial_start(struct pn_error *error)
{
	if (pn_loop_new(error) != PN_OK)
		return PN_FAILED;
	pn_loop_simulate();
	pn_world.wall_ms = told_wall_ms;
	pn_world.monotonic_ns = told_monotonic_ns;
	pn_world.random = told_random;
	pn_world.dns_ask = pn_trial_dns_ask;
	pn_world.http_ask = pn_trial_http_ask;
	pn_session_world.count = told_count;
	pn_session_world.session_ended = told_end;
	pn_log_set_level(PN_LOG_ERROR);
	return PN_OK;
}

void pn_trial_stop(void)
{
	pn_tickets_stop();
	pn_loop_free();
}

/* ---- policies ---- */

static int compare_hooks(const void *left, const void *right)
{
	const struct pn_policy_hook *one = left, *other = right;

	if (one->stage != other->stage)
		return one->stage < other->stage ? -1 : 1;
	if (one->hook.order != other->hook.order)
		return one->hook.order < other->hook.order ? -1 : 1;
	return strverscmp(one->hook.label, other->hook.label);
}

static struct pn_trial_hook *find_hook(enum pn_stage stage, const char *label)
{
	struct pn_trial_hook *hook = trial.report->hooks;

	while (hook != NULL && (hook->stage != stage || strcmp(hook->label, label) != 0 ||
	                        strcmp(hook->policy, trial.policy.label) != 0))
		hook = hook->next;
	return hook;
}

static void note_hook(enum pn_stage stage, const char *label)
{
	struct pn_arena *arena = trial.report->arena;
	struct pn_trial_hook **last = &trial.report->hooks;
	struct pn_trial_hook *hook;

	if (find_hook(stage, label) != NULL)
		return;
	while (*last != NULL)
		last = &(*last)->next;
	hook = PN_ARENA_NEW(arena, struct pn_trial_hook);
	hook->policy = trial.policy.label;
	hook->label = pn_arena_keep_text(arena, pn_slice_of(label));
	hook->stage = stage;
	*last = hook;
}

static void make_chains(void)
{
	size_t count;
	const struct pn_policy_hook *hooks = pn_policy_hooks(trial.set, &count);
	struct pn_policy_hook *sorted =
		PN_ARENA_ARRAY(trial.set_arena, count, struct pn_policy_hook);
	struct pn_chain_hook *rows = PN_ARENA_ARRAY(trial.set_arena, count, struct pn_chain_hook);

	for (size_t index = 0; index < count; index++)
		sorted[index] = hooks[index];
	qsort(sorted, count, sizeof(*sorted), compare_hooks);
	for (size_t index = 0; index < count; index++) {
		struct pn_chain *chain = &trial.generation.chains[sorted[index].stage];

		rows[index] = sorted[index].hook;
		if (chain->count++ == 0)
			chain->hooks = &rows[index];
		note_hook(sorted[index].stage, rows[index].label);
	}
}

static void drop_policy(void)
{
	memset(trial.generation.chains, 0, sizeof(trial.generation.chains));
	pn_policy_free(trial.set);
	trial.set = NULL;
	pn_arena_free(&trial.set_arena);
}

static void end_case(void)
{
	if (trial.session != NULL) {
		pn_ticket_cancel_session(trial.session);
		pn_transaction_end(trial.session);
	}
	trial.session = NULL;
	trial.recipient = NULL;
	pn_arena_free(&trial.arena);
}

enum pn_status pn_trial_provide(const char *path, struct pn_slice text, struct pn_error *error)
{
	int descriptor = memfd_create("postern trial", MFD_CLOEXEC);

	if (descriptor < 0 ||
	    (text.size > 0 && pwrite(descriptor, text.data, text.size, 0) != (ssize_t)text.size)) {
		if (descriptor >= 0)
			close(descriptor);
		return pn_fail_errno(error, errno, "cannot keep %s", path);
	}
	pn_file_provide(path, descriptor);
	return PN_OK;
}

/* What routes may name: nobody will be asked to carry anything. */
static void add_transports(const char *const *names)
{
	static const struct pn_transport transport = {.struct_size = sizeof(transport)};
	struct pn_instance_use *uses;
	size_t count = 0;

	while (names != NULL && names[count] != NULL)
		count++;
	trial.carrier = (struct pn_module){.name = "carrier", .transport = &transport};
	uses = PN_ARENA_ARRAY(trial.report->arena, count, struct pn_instance_use);
	for (size_t index = 0; index < count; index++) {
		uses[index].instance = PN_ARENA_NEW(trial.report->arena, struct pn_instance);
		uses[index].instance->module = &trial.carrier;
		uses[index].instance->name = names[index];
	}
	trial.generation.instances = uses;
	trial.generation.instance_count = count;
}

static enum pn_status read_policy(struct pn_error *error)
{
	const struct pn_policy_file file = {
		.path = trial.policy.path,
		.label = trial.policy.label,
		.allow = trial.policy.allow,
		.mode = trial.policy.mode,
		.cpu_ms = trial.policy.cpu_ms,
		.wall_ms = LOAD_WALL_MS,
		.memory_bytes = trial.policy.memory_bytes,
		.file = trial.policy.label,
		.line = 0,
	};

	drop_policy();
	trial.set_arena = pn_arena_new();
	if (pn_policy_load(&file, 1, pn_trial_cache(), 1, &trial.set, error) != PN_OK)
		return PN_FAILED;
	make_chains();
	return PN_OK;
}

enum pn_status pn_trial_use(const struct pn_trial_policy *policy, struct pn_error *error)
{
	end_case();
	trial.policy = *policy;
	add_transports(policy->transports);
	if (policy->text.data != NULL &&
	    pn_trial_provide(policy->path, policy->text, error) != PN_OK)
		return PN_FAILED;
	return read_policy(error);
}

void pn_trial_begin(struct pn_trial_report *report)
{
	memset(&trial, 0, sizeof(trial));
	trial.report = report;
	trial.module.name = "trial";
	trial.instance.module = &trial.module;
	trial.instance.name = "mx";
	trial.generation.number = 1;
	trial.generation.references = 1; /* ours: it is never freed */
	trial.generation.hostname = "mx.example.org";
	trial.generation.relay = "";
	trial.generation.data_directory = "";
	trial.generation.memory_per_message = 4 * 1024 * 1024;
	trial.generation.max_header_size = 1024 * 1024;
	trial.generation.max_header_fields = 1000;
	trial.generation.max_hops = 50;
	trial.generation.max_own_hops = 10;
	trial.generation.store_deadline_ms = 30000;
	trial.generation.auth_deadline_ms = 30000;
}

void pn_trial_end(void)
{
	end_case();
	drop_policy();
	pn_file_forget();
}

/* ---- a case ---- */

static void make_session(void)
{
	const struct pn_trial_session usual = {
		.hello = "client.example.net",
		.peer = "192.0.2.1",
		.hostname = "mx.example.org",
		.listener = "0.0.0.0:25",
		.instance = "mx",
		.protocol = "trial",
		.peer_count = 1,
	};
	struct pn_session *session = PN_ARENA_NEW(trial.arena, struct pn_session);

	session->magic = PN_SESSION_MAGIC;
	session->arena = trial.arena;
	session->generation = &trial.generation;
	session->instance = &trial.instance;
	session->protocol = &trial.protocol;
	session->peer_port = 4321;
	session->identity = PN_SLICE("");
	pn_trail_init(&session->trail, trial.arena);
	pn_id_make(session->id);
	trial.session = session;
	pn_trial_set_session(&usual);
}

void pn_trial_set_session(const struct pn_trial_session *fields)
{
	struct pn_session *session = trial.session;

	if (fields->hello != NULL)
		pn_session_set_hello(session, pn_slice_of(fields->hello));
	if (fields->peer != NULL)
		snprintf(session->peer, sizeof(session->peer), "%s", fields->peer);
	if (fields->hostname != NULL)
		trial.generation.hostname =
			pn_arena_keep_text(trial.arena, pn_slice_of(fields->hostname));
	if (fields->listener != NULL)
		session->listener = pn_arena_keep_text(trial.arena, pn_slice_of(fields->listener));
	if (fields->instance != NULL)
		trial.instance.name =
			pn_arena_keep_text(trial.arena, pn_slice_of(fields->instance));
	if (fields->protocol != NULL)
		trial.protocol.name =
			pn_arena_keep_text(trial.arena, pn_slice_of(fields->protocol));
	if (fields->identity != NULL)
		session->identity = pn_arena_keep(trial.arena, pn_slice_of(fields->identity));
	if (fields->peer_count != 0)
		trial.peer_count = fields->peer_count;
	session->peer_is_loopback = fields->is_loopback;
	session->is_early_talker = fields->is_early_talker;
	session->unauthorised_pipelining = fields->unauthorised_pipelining;
}

enum pn_status pn_trial_fresh(struct pn_error *error)
{
	end_case();
	if (trial.policy.path != NULL && read_policy(error) != PN_OK)
		return PN_FAILED;
	trial.arena = pn_arena_new();
	trial.random_state = 1;
	pn_trial_cache_begin(trial.arena);
	pn_trial_http_begin(trial.arena);
	pn_trial_dns_begin(trial.arena);
	make_session();
	return PN_OK;
}

static enum pn_status read_address(const char *text, struct pn_address *address_out,
                                   struct pn_error *error)
{
	memset(address_out, 0, sizeof(*address_out));
	if (text[0] == '\0' || pn_address_parse(pn_arena_keep(trial.arena, pn_slice_of(text)), true,
	                                        trial.arena, address_out) == PN_OK)
		return PN_OK;
	return pn_fail(error, "\"%s\" is no address", text);
}

enum pn_status pn_trial_message(const char *sender, struct pn_error *error)
{
	trial.recipient = NULL;
	return read_address(sender, &pn_transaction_new(trial.session)->sender, error);
}

enum pn_status pn_trial_message_text(struct pn_slice text, struct pn_error *error)
{
	struct pn_chain *headers = &trial.generation.chains[PN_STAGE_MESSAGE_HEADERS];
	struct pn_transaction *transaction = trial.session->transaction;
	size_t count = headers->count;

	if (pn_header_end(text, 0) == 0)
		return pn_fail(error, "the message has no header: end it with an empty line");
	/* Its hooks run when the spec says so. */
	headers->count = 0;
	(void)pn_transaction_append(trial.session, text, PN_NEXT_LINE);
	headers->count = count;
	if (!transaction->has_header || transaction->header_too_large)
		return pn_fail(error, "the header of the message is too large");
	return PN_OK;
}

enum pn_status pn_trial_recipient(const char *address, bool is_asked, int is_local,
                                  struct pn_error *error)
{
	struct pn_transaction *transaction = trial.session->transaction;
	struct pn_recipient *recipient = PN_ARENA_NEW(transaction->arena, struct pn_recipient);
	struct pn_lookup_account *account;

	if (read_address(address, &recipient->address, error) != PN_OK)
		return PN_FAILED;
	recipient->transaction = transaction;
	recipient->root = recipient;
	recipient->original = recipient->address;
	recipient->mailbox = PN_SLICE("INBOX");
	recipient->result.struct_size = sizeof(recipient->result);
	recipient->result.stage = PN_STAGE_ENVELOPE_RECIPIENT;
	if (is_local < 0)
		is_local = pn_slice_equal_ignore_case(recipient->address.domain,
		                                      PN_SLICE("example.org"));
	if (is_local != 0) {
		account = PN_ARENA_NEW(transaction->arena, struct pn_lookup_account);
		account->name = recipient->address.text;
		recipient->accounts = account;
		recipient->account_count = 1;
	}
	if (is_asked) {
		/* The one that is asked about is not counted yet. */
		trial.recipient = recipient;
		return PN_OK;
	}
	*transaction->last_recipient = recipient;
	transaction->last_recipient = &recipient->next;
	transaction->recipient_count++;
	return PN_OK;
}

/* ---- running ---- */

static void stage_done(void *user, const struct pn_stage_result *result)
{
	(void)user;
	trial.result = *result;
	trial.is_done = true;
}

static const char *describe(const struct pn_stage_result *result)
{
	const char *verdict = pn_verdict_name(result->verdict);

	switch (result->verdict) {
	case PN_VERDICT_REJECT:
	case PN_VERDICT_DEFER:
	case PN_VERDICT_GREYLIST:
		return pn_arena_print(trial.arena, "%s %u %s %s", verdict, result->reply.code,
		                      result->reply.enhanced, result->reply.text);
	default:
		break;
	}
	if (result->argument != NULL && result->argument[0] != '\0')
		return pn_arena_print(trial.arena, "%s %s", verdict, result->argument);
	return verdict;
}

static struct pn_stage_request make_request(enum pn_stage stage, const void *subject,
                                            bool with_session)
{
	struct pn_stage_request request = {
		.stage = stage,
		.generation = &trial.generation,
		.session = trial.session,
		.session_id = trial.session->id,
		.arena = trial.arena,
	};

	if (trial.session->transaction != NULL)
		request = pn_transaction_stage(trial.session->transaction, stage);
	if (!with_session)
		request.session = NULL;
	request.recipient = trial.recipient;
	request.subject = subject;
	request.all_at_once = stage == PN_STAGE_MESSAGE_SCAN;
	return request;
}

struct pn_trial_outcome pn_trial_run(enum pn_stage stage, const void *subject, bool with_session)
{
	struct pn_stage_request request = make_request(stage, subject, with_session);
	struct pn_trail *trail = PN_ARENA_NEW(trial.arena, struct pn_trail);
	struct pn_trial_outcome outcome = {.text = "nothing"};

	pn_trail_init(trail, trial.arena);
	request.trail = trail;
	trial.is_done = false;
	pn_stage_run(&request, stage_done, NULL);
	pn_loop_advance(0, false);
	while (!trial.is_done && pn_loop_advance(LONGEST_WAIT_MS, true))
		continue;
	for (const struct pn_trail_entry *entry = trail->first; entry != NULL;
	     entry = entry->next) {
		struct pn_trial_hook *hook = find_hook(stage, entry->hook);

		outcome.hooks++;
		if (hook != NULL)
			hook->calls++;
		if (entry->mode == PN_HOOK_SHADOW && entry->verdict != PN_VERDICT_CONTINUE &&
		    outcome.shadow == NULL)
			outcome.shadow = pn_verdict_name(entry->verdict);
		if (entry->failure != NULL && outcome.failure == NULL)
			outcome.failure = entry->failure;
	}
	if (!trial.is_done)
		outcome.failure = "it waits without end";
	else
		outcome.text = describe(&trial.result);
	return outcome;
}

void pn_trial_advance(uint64_t milliseconds)
{
	pn_loop_advance(milliseconds, false);
}

struct pn_session *pn_trial_the_session(void)
{
	return trial.session;
}

struct pn_transaction *pn_trial_the_message(void)
{
	return trial.session == NULL ? NULL : trial.session->transaction;
}

struct pn_recipient *pn_trial_the_recipient(void)
{
	return trial.recipient;
}

struct pn_arena *pn_trial_arena(void)
{
	return trial.arena;
}
