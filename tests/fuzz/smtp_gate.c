/* SPDX-License-Identifier: Apache-2.0 */
/* See smtp_gate.h. */
#include "smtp_gate.h"

#include <postern/authentication.h>
#include <postern/directory.h>
#include <postern/dns.h>
#include <postern/job.h>
#include <postern/module.h>
#include <postern/sasl.h>
#include <postern/store.h>
#include <postern/text.h>

#include "io/log.h"
#include "io/loop.h"
#include "io/world.h"
#include "session/generation.h"
#include "session/session.h"
#include "session/ticket.h"

#include "fuzz.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

enum { FIRST_WALL_S = 1800000000, IDS_MAX = 200, KEPT_IN_MEMORY = 4096 };

struct gate gate;

extern const struct pn_module smtp_LTX_pn_module;

static uint64_t started_ms;
static uint64_t random_states[64];
static struct pn_generation generation;
static bool has_discarded;
static char kept_ids[IDS_MAX][PN_ID_SIZE]; /* of the transactions whose commits were kept */
static size_t kept_id_count;
static size_t writers; /* that nobody took or discarded */

static unsigned choose(unsigned count)
{
	gate.choices = gate.choices * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(gate.choices >> 33) % count;
}

/* Mostly good news, or nothing would ever get far. */
static bool is_lucky(void)
{
	return (gate.manner & GATE_VERDICTS_VARY) == 0 || choose(6) > 0;
}

/* ---- the world ---- */

static int64_t wall_ms(void)
{
	return (int64_t)FIRST_WALL_S * 1000 + (int64_t)(pn_loop_simulated_ms() - started_ms);
}

static uint64_t monotonic_ns(void)
{
	return (pn_loop_simulated_ms() - started_ms + 100 * 60 * 1000) * UINT64_C(1000000);
}

/* What is drawn once in the life of a process does not change the ids that are drawn later. */
static void told_random(void *bytes, size_t size)
{
	uint64_t *state = &random_states[size % 64];

	for (size_t i = 0; i < size; i++) {
		*state = *state * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)bytes)[i] = (uint8_t)(*state >> 40);
	}
}

static uint32_t count(uint64_t key, int change)
{
	(void)key, (void)change;
	return 1;
}

/* ---- what is held back ---- */

enum held_kind { HELD_HOOK, HELD_DNS, HELD_JOB, HELD_COMMIT, HELD_TOKEN };

static struct held {
	enum held_kind kind;
	const struct pn_stage_call *call; /* good while its ticket is */
	struct pn_ticket ticket;
	struct pn_job job;
	bool is_done; /* the job: nobody was told yet */
	enum pn_status status;
	struct pn_commit *commit;
	struct pn_dns_question question;
} held[GATE_HELD_MAX];

static void hold(struct held one)
{
	if (gate.held == GATE_HELD_MAX)
		gate_answer(0, true);
	held[gate.held++] = one;
}

/* ---- hooks ---- */

static enum pn_verdict refuse(const struct pn_stage_call *call)
{
	static const struct {
		unsigned code;
		const char *enhanced;
	} refusals[] = {{550, "5.7.1"}, {554, "5.7.0"}, {451, "4.7.1"}, {421, "4.3.2"}};
	size_t index = choose(4);

	return pn_refuse(call, refusals[index].code, refusals[index].enhanced, "no, %u",
	                 choose(100));
}

static enum pn_verdict decide(const struct pn_stage_call *call)
{
	static const char *const targets[] = {"bob@example.test", "all@example.test",
	                                      "eve@elsewhere.example", "nobody@example.test",
	                                      "not an address"};
	enum pn_verdict verdict = PN_VERDICT_CONTINUE;

	if (is_lucky())
		return choose(4) == 0 ? PN_VERDICT_ACCEPT : PN_VERDICT_CONTINUE;
	if (choose(16) == 0)
		return pn_hook_failed(call, "it failed, %u", choose(100));
	verdict = (enum pn_verdict)choose(PN_VERDICT_PENDING);
	has_discarded = has_discarded || verdict == PN_VERDICT_DISCARD;
	switch (verdict) {
	case PN_VERDICT_REJECT:
	case PN_VERDICT_DEFER:
		return choose(2) == 0 ? verdict : refuse(call);
	case PN_VERDICT_REDIRECT:
		return pn_redirect(call, pn_slice_of(targets[choose(5)]));
	case PN_VERDICT_DISCARD:
		return pn_discard(call, "unwanted");
	case PN_VERDICT_QUARANTINE:
		return pn_quarantine(call, "Junk");
	default:
		return verdict;
	}
}

/* What a hook does to the message on its way. */
static void leave_marks(const struct pn_stage_call *call)
{
	char value[300];

	if (call->transaction == NULL || (gate.manner & GATE_VERDICTS_VARY) == 0)
		return;
	memset(value, 'v', sizeof(value));
	pn_transaction_set_fact(call->transaction, PN_SLICE("gate.fact"),
	                        pn_slice_make(value, 1 + choose(sizeof(value))));
	if (call->stage == PN_STAGE_MESSAGE_CHANGE)
		(void)!pn_transaction_header_add(call->transaction, PN_SLICE("X-Gate"),
		                                 pn_slice_make(value, 1 + choose(70)));
}

struct asking {
	const struct pn_stage_call *call;
	struct pn_ticket ticket;
};

/* The name is known: the hook answers, if anybody waits for it still. */
static void named(void *user, const struct pn_answer *answer)
{
	struct asking *asking = user;

	(void)answer;
	if (pn_ticket_is_open(asking->ticket))
		(void)pn_hook_answer(asking->call, decide(asking->call));
}

static enum pn_verdict ask_dns(const struct pn_stage_call *call)
{
	struct asking *asking = PN_ARENA_NEW(call->arena, struct asking);
	const struct pn_dns_question question = {PN_SLICE("mail.example"), PN_DNS_A};

	asking->call = call;
	asking->ticket = call->ticket;
	pn_dns_ask(&question, pn_ticket_open(call->session, named, asking, 5000));
	return PN_VERDICT_PENDING;
}

static enum pn_verdict judge(void *user, const struct pn_stage_call *call)
{
	(void)user;
	leave_marks(call);
	if ((gate.manner & GATE_HOOKS_ASK_DNS) != 0 && choose(2) == 0)
		return ask_dns(call);
	if ((gate.manner & GATE_HOOKS_WAIT) == 0)
		return decide(call);
	hold((struct held){.kind = HELD_HOOK, .call = call, .ticket = call->ticket});
	return PN_VERDICT_PENDING;
}

static enum pn_verdict complete(void *user, const struct pn_stage_call *call)
{
	(void)user;
	return smtp_complete_message(call);
}

static void answer_hook(const struct held *one, bool is_good)
{
	/* Stale: whom it was about may be gone. */
	if (!pn_ticket_is_open(one->ticket)) {
		require(!pn_ticket_answer(one->ticket, PN_ANSWER_VERDICT, PN_OK, NULL, NULL, NULL));
		return;
	}
	(void)pn_hook_answer(one->call, is_good ? decide(one->call) : refuse(one->call));
}

/* ---- DNS ---- */

static void answer_dns(const struct held *one, bool is_good)
{
	struct pn_dns_answer *answer = calloc(1, sizeof(*answer));

	require(answer != NULL);
	answer->struct_size = sizeof(*answer);
	answer->record_size = sizeof(struct pn_dns_record);
	answer->question = one->question;
	answer->outcome = is_good ? PN_DNS_NO_DATA : PN_DNS_TROUBLE;
	(void)pn_ticket_answer(one->ticket, PN_ANSWER_DNS, PN_OK, answer, free, NULL);
}

static void dns_ask(const struct pn_dns_question *question, struct pn_ticket ticket)
{
	const struct held one = {.kind = HELD_DNS, .ticket = ticket, .question = *question};

	if ((gate.manner & GATE_DNS_WAITS) != 0)
		hold(one);
	else
		answer_dns(&one, is_lucky());
}

/* ---- jobs: done when they are told to be ---- */

enum pn_status __wrap_pn_job_submit(const struct pn_job *job, struct pn_ticket ticket);

static void answer_job(const struct held *one, bool is_good)
{
	struct pn_error error = {.text = "the gateway stops"};
	enum pn_status status = one->is_done ? one->status : PN_FAILED;

	if (is_good && !one->is_done)
		status = one->job.work(one->job.argument, &error);
	if (one->job.done != NULL)
		one->job.done(one->job.argument, status, status == PN_OK ? NULL : &error);
	(void)pn_ticket_answer(one->ticket, PN_ANSWER_JOB, status, one->job.argument, NULL,
	                       status == PN_OK ? NULL : &error);
}

struct finished {
	struct pn_task task;
	struct held one;
};

static void finish(struct pn_task *task)
{
	struct finished *finished = (struct finished *)(void *)task;

	answer_job(&finished->one, true);
	free(finished);
}

enum pn_status __wrap_pn_job_submit(const struct pn_job *job, struct pn_ticket ticket)
{
	struct held one = {.kind = HELD_JOB, .job = *job, .ticket = ticket};
	struct finished *finished;
	struct pn_error error;

	if (!is_lucky())
		return PN_LIMIT;
	if ((gate.manner & GATE_JOBS_WAIT) != 0) {
		/* A thread may be ready long before the loop hears of it. */
		one.is_done = choose(2) == 0;
		if (one.is_done)
			one.status = job->work(job->argument, &error);
		hold(one);
		return PN_OK;
	}
	finished = calloc(1, sizeof(*finished));
	require(finished != NULL);
	finished->one = one;
	finished->task.run = finish;
	pn_task_queue(&finished->task);
	return PN_OK;
}

/* ---- the store ---- */

struct pn_body_writer {
	struct pn_buffer bytes;
};

static void add_to_digest(struct pn_slice bytes)
{
	for (size_t i = 0; i < bytes.size; i++)
		gate.kept = (gate.kept ^ (unsigned char)bytes.data[i]) * 1099511628211u;
}

static enum pn_status body_new(void *instance, struct pn_body_writer **writer_out,
                               struct pn_error *error)
{
	(void)instance;
	if (!is_lucky())
		return pn_fail(error, "no room for a body");
	*writer_out = calloc(1, sizeof(**writer_out));
	require(*writer_out != NULL);
	pn_buffer_init(&(*writer_out)->bytes, SIZE_MAX / 2);
	writers++;
	return PN_OK;
}

static enum pn_status body_append(void *instance, struct pn_body_writer *writer,
                                  struct pn_slice bytes, struct pn_error *error)
{
	(void)instance;
	if (!is_lucky())
		return pn_fail(error, "no room for more of a body");
	return pn_buffer_append(&writer->bytes, bytes);
}

static void body_discard(void *instance, struct pn_body_writer *writer)
{
	(void)instance;
	require(writers > 0);
	writers--;
	pn_buffer_clear(&writer->bytes);
	free(writer);
}

static void keep_body(struct pn_body_source *body)
{
	for (size_t i = 0; i < body->piece_count; i++)
		add_to_digest(body->pieces[i]);
	if (body->writer != NULL) {
		add_to_digest(pn_buffer_slice(&body->writer->bytes));
		body_discard(NULL, body->writer);
		body->writer = NULL;
	}
	add_to_digest(PN_SLICE("."));
	require(body->transaction.size < PN_ID_SIZE);
	if (kept_id_count < IDS_MAX)
		memcpy(kept_ids[kept_id_count++], body->transaction.data, body->transaction.size);
}

static void answer_commit(const struct held *one, bool is_good)
{
	struct pn_commit *commit = one->commit;

	commit->results =
		PN_ARENA_ARRAY(commit->arena, commit->mutation_count, struct pn_mutation_result);
	for (size_t i = 0; i < commit->mutation_count; i++) {
		commit->results[i].uid_validity = 1;
		commit->results[i].first_uid = 1;
		commit->results[i].uid_count = 1;
		commit->results[i].queue_id = 1;
	}
	if (!is_good) {
		static const enum pn_status statuses[] = {PN_FAILED, PN_NOT_FOUND, PN_CONFLICT,
		                                          PN_LIMIT};

		commit->failed_index = choose((unsigned)commit->mutation_count);
		(void)pn_fail(&commit->error, "it is not kept");
		pn_commit_done(commit, statuses[choose(4)]);
		return;
	}
	for (size_t i = 0; i < commit->body_count; i++)
		keep_body(&commit->bodies[i]);
	gate.commits++;
	pn_commit_done(commit, PN_OK);
}

static void take_commit(void *instance, struct pn_commit *commit)
{
	const struct held one = {.kind = HELD_COMMIT, .commit = commit};

	(void)instance;
	require(commit->mutation_count > 0);
	if ((gate.manner & GATE_COMMITS_WAIT) != 0)
		hold(one);
	else
		answer_commit(&one, is_lucky());
}

static enum pn_status select_rows(void *instance, struct pn_store_call *call,
                                  const struct pn_queue_request *request,
                                  struct pn_queue_rows *result)
{
	(void)instance, (void)call, (void)request;
	result->row_size = sizeof(struct pn_queue_row);
	result->is_complete = true;
	return PN_OK;
}

static bool is_nearly_full(void *instance)
{
	(void)instance;
	return (gate.manner & GATE_IS_FULL) != 0;
}

/* ---- the directory ---- */

static enum pn_status look_up(void *instance, const struct pn_address *address,
                              struct pn_arena *arena, struct pn_directory_entry *entry_out,
                              struct pn_error *error)
{
	static const struct pn_slice all[] = {PN_SLICE("alice@example.test"),
	                                      PN_SLICE("bob@example.test"),
	                                      PN_SLICE("eve@elsewhere.example")};
	static const struct pn_slice loop[] = {PN_SLICE("loop@example.test")};
	static const char *const accounts[] = {"alice", "bob", "user1", "user2", "postmaster"};
	struct pn_slice name = address->local_part;

	(void)instance;
	if (pn_slice_equal_ignore_case(name, PN_SLICE("all"))) {
		entry_out->aliases_to = all;
		entry_out->alias_count = 3;
		return PN_OK;
	}
	if (pn_slice_equal_ignore_case(name, PN_SLICE("loop"))) {
		entry_out->aliases_to = loop;
		entry_out->alias_count = 1;
		return PN_OK;
	}
	if (pn_slice_equal_ignore_case(name, PN_SLICE("broken")))
		return pn_fail(error, "the directory is broken");
	entry_out->is_disabled = pn_slice_equal_ignore_case(name, PN_SLICE("off"));
	entry_out->account = pn_arena_keep(arena, address->text);
	for (size_t i = 0; i < sizeof(accounts) / sizeof(accounts[0]); i++) {
		if (pn_slice_equal_ignore_case(name, pn_slice_of(accounts[i])))
			return PN_OK;
	}
	return entry_out->is_disabled ? PN_OK : PN_NOT_FOUND;
}

/* ---- logins ---- */

static enum pn_status verify(void *instance, const struct pn_credentials *credentials,
                             struct pn_error *error)
{
	(void)instance;
	if (pn_slice_equal(credentials->secret, PN_SLICE("trouble")))
		return pn_fail(error, "it cannot be checked");
	if (!pn_slice_starts_with_ignore_case(credentials->identity, PN_SLICE("alice")))
		return PN_NOT_FOUND;
	return pn_slice_equal(credentials->secret, PN_SLICE("postern")) ? PN_OK : PN_DENIED;
}

static enum pn_status find_verifier(void *instance, struct pn_slice identity, const char *mechanism,
                                    struct pn_arena *arena, struct pn_slice *verifier_out,
                                    struct pn_error *error)
{
	static const char scram[] = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"
				    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
				    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

	(void)instance, (void)error;
	if (!pn_slice_starts_with_ignore_case(identity, PN_SLICE("alice")))
		return PN_NOT_FOUND;
	if (strcmp(mechanism, "CRAM-MD5") == 0)
		*verifier_out = pn_arena_keep(arena, PN_SLICE("postern"));
	else if (strcmp(mechanism, "SCRAM-SHA-256") == 0)
		*verifier_out = pn_arena_keep(arena, pn_slice_of(scram));
	else
		return PN_NOT_FOUND;
	return PN_OK;
}

static void answer_token(const struct held *one, bool is_good)
{
	struct pn_token_answer *answer = calloc(1, sizeof(*answer));

	require(answer != NULL);
	answer->struct_size = sizeof(*answer);
	answer->identity = PN_SLICE("alice@example.test");
	answer->problem = "invalid_token";
	(void)pn_ticket_answer(one->ticket, PN_ANSWER_CUSTOM, is_good ? PN_OK : PN_DENIED, answer,
	                       free, NULL);
}

static void judge_token(void *instance, const struct pn_credentials *credentials,
                        struct pn_ticket ticket)
{
	const struct held one = {.kind = HELD_TOKEN, .ticket = ticket};

	(void)instance;
	require(credentials->secret.size > 0);
	if ((gate.manner & GATE_TOKENS_WAIT) != 0)
		hold(one);
	else
		answer_token(&one, pn_slice_equal(credentials->secret, PN_SLICE("token")));
}

/* ---- answers ---- */

void gate_answer(size_t index, bool is_good)
{
	struct held one;

	require(index < gate.held);
	one = held[index];
	memmove(&held[index], &held[index + 1], (gate.held - index - 1) * sizeof(one));
	gate.held--;
	switch (one.kind) {
	case HELD_HOOK:
		answer_hook(&one, is_good);
		break;
	case HELD_DNS:
		answer_dns(&one, is_good);
		break;
	case HELD_JOB:
		answer_job(&one, is_good);
		break;
	case HELD_COMMIT:
		answer_commit(&one, is_good);
		break;
	case HELD_TOKEN:
		answer_token(&one, is_good);
		break;
	}
}

/* ---- clients ---- */

static bool was_kept(struct pn_slice id)
{
	for (size_t i = 0; i < kept_id_count; i++) {
		if (pn_slice_equal(id, pn_slice_of(kept_ids[i])))
			return true;
	}
	return kept_id_count == IDS_MAX;
}

/* Every line is one of a reply; and what was promised is kept by then. */
static void look_at_line(struct gate_client *client, struct pn_slice line)
{
	static const char promise[] = "accepted as ";
	const char *found;

	require(line.size >= 6 && line.size <= 512 && line.data[line.size - 2] == '\r');
	require(line.data[0] >= '2' && line.data[0] <= '5' && line.data[1] >= '0' &&
	        line.data[1] <= '9' && line.data[2] >= '0' && line.data[2] <= '9' &&
	        (line.data[3] == ' ' || line.data[3] == '-'));
	for (size_t i = 0; i + 2 < line.size; i++)
		require(line.data[i] >= ' ' && line.data[i] <= '~');
	/* What was said in the clear is not answered behind TLS. */
	if (client->peer->tls == TOLD_CLEAR)
		client->began_in_clear = true;
	require(!client->began_in_clear || !client->peer->is_silent || line.data[0] >= '4');
	found = memmem(line.data, line.size, promise, sizeof(promise) - 1);
	if (found == NULL || line.data[0] != '2')
		return;
	found += sizeof(promise) - 1;
	client->promises++;
	require(has_discarded ||
	        was_kept(pn_slice_make(found, (size_t)(line.data + line.size - 2 - found))));
}

static void hear(struct told_peer *peer, struct pn_slice bytes)
{
	struct gate_client *client = gate.clients;
	const char *end;

	while (client->peer != peer)
		client++;
	if (getenv("POSTERN_FUZZ_SHOW") != NULL)
		fprintf(stderr, "%.*s", PN_SLICE_ARGS(bytes));
	require(pn_buffer_append(&client->heard, bytes) == PN_OK);
	while ((end = memchr(client->heard.data + client->line_start, '\n',
	                     client->heard.size - client->line_start)) != NULL) {
		const char *begin = client->heard.data + client->line_start;
		size_t size = (size_t)(end - begin) + 1;

		client->line_start += size;
		look_at_line(client, pn_slice_make(begin, size));
	}
}

/* ---- life ---- */

static const struct pn_store store = {
	.struct_size = sizeof(store),
	.queue = select_rows,
	.body_new = body_new,
	.body_append = body_append,
	.body_discard = body_discard,
	.commit = take_commit,
	.is_nearly_full = is_nearly_full,
	.capabilities = PN_STORE_BODIES_BLOCK,
};
static struct pn_directory directory = {.struct_size = sizeof(directory), .lookup = look_up};
static const struct pn_authentication authentication = {
	.struct_size = sizeof(authentication),
	.verify = verify,
	.verifier = find_verifier,
	.token = judge_token,
};
static const struct pn_module store_module = {.name = "keeps", .store = &store};
static const struct pn_module directory_module = {
	.name = "knows", .directory = &directory, .authentication = &authentication};
static struct pn_instance store_instance = {.module = &store_module, .name = "store"};
static struct pn_instance directory_instance = {.module = &directory_module, .name = "knows"};
static struct pn_instance smtp_instance = {.module = &smtp_LTX_pn_module, .name = "mx"};
static struct pn_instance_use uses[] = {
	{.instance = &store_instance},
	{.instance = &directory_instance},
	{.instance = &smtp_instance, .config = &gate.config},
};
static const struct pn_domain domains[] = {
	{.name = "example.test",
         .ascii_name = PN_SLICE("example.test"),
         .store = &store_instance,
         .directory = &directory_instance},
};

#define HOOK(name)                                                                                 \
	{                                                                                          \
		.label = name, .summary = "", .module = "gate", .wall_budget_ms = 20 * 1000,       \
		.mode = PN_HOOK_DECIDE, .run = judge                                               \
	}

/* Two that judge, and what the module itself does. */
static const struct pn_chain_hook hooks[] = {
	HOOK("gate:one"),
	HOOK("gate:two"),
	{.label = "mx:complete",
         .summary = "",
         .module = "smtp",
         .wall_budget_ms = 1000,
         .on_error = PN_ON_ERROR_CONTINUE,
         .run = complete,
         .use = {&smtp_instance, &gate.config}},
};

static void set_chains(void)
{
	for (int stage = PN_STAGE_NONE + 1; stage < PN_STAGE_COUNT; stage++)
		generation.chains[stage] = (struct pn_chain){hooks, 2};
	generation.chains[PN_STAGE_MESSAGE_CHANGE] = (struct pn_chain){hooks, 3};
}

static void start_loop(void)
{
	static bool is_there;
	struct pn_error error;

	if (is_there)
		return;
	is_there = true;
	require(pn_loop_new(&error) == PN_OK);
	pn_loop_simulate();
	pn_world.wall_ms = wall_ms;
	pn_world.monotonic_ns = monotonic_ns;
	pn_world.random = told_random;
	pn_world.dns_ask = dns_ask;
	/* Nothing is written: there is nobody to read it. */
	pn_log_set_level(PN_LOG_ERROR + 1);
	pn_session_world.count = count;
}

static void set_config(void)
{
	static const char *const networks[] = {"192.0.2.0/24"};
	static const char *const mechanisms[] = {
		"PLAIN",       "LOGIN",       "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS",
		"SCRAM-SHA-1", "OAUTHBEARER", "CRAM-MD5",      "EXTERNAL",
		"XOAUTH2"};

	gate.config = (struct smtp_config){
		.authentication = SMTP_AUTHENTICATION_OFFERED,
		.plaintext_login = PN_SASL_CLEAR_ALWAYS,
		.mechanisms = {mechanisms, sizeof(mechanisms) / sizeof(mechanisms[0])},
		.greeting = "",
		.max_message_size = 1024 * 1024,
		.max_recipients = 100,
		.max_errors = 1000,
		.max_login_failures = 1000,
		.max_commands = 100000,
		.max_transactions = 100000,
		.max_command_length = 1055,
		.command_timeout = 300 * 1000,
		.data_timeout = 300 * 1000,
		.message_timeout = 3600 * 1000,
		.max_hold = 3600 * 1000,
		.min_data_rate = 1,
		.data_rate_window = 60 * 1000,
		.vrfy = SMTP_VRFY_ON,
		.expn = true,
		.xclient_networks = {networks, 1},
		.xforward_networks = {networks, 1},
		.etrn_networks = {networks, 1},
	};
}

void gate_set_up(void)
{
	start_loop();
	memset(&gate, 0, sizeof(gate));
	gate.memory = KEPT_IN_MEMORY;
	gate.handshakes = 100;
	started_ms = pn_loop_simulated_ms();
	memset(random_states, 0, sizeof(random_states));
	has_discarded = false;
	memset(kept_ids, 0, sizeof(kept_ids));
	kept_id_count = 0;
	writers = 0;
	set_config();
	generation = (struct pn_generation){
		.references = 1,
		.hostname = "mx.example.test",
		.data_directory = "/nonexistent",
		.instances = uses,
		.instance_count = 3,
		.domains = domains,
		.domain_count = 1,
		.authentications = &uses[1],
		.authentication_count = 1,
		.home = &store_instance,
		.relay = "",
		.tls_handshake_deadline_ms = 30 * 1000,
		.session_limits = {.per_address = 100, .per_account = 100, .per_tenant = 100},
		.queue = {.lifetime_ms = 432000000, .bounce_lifetime_ms = 432000000},
		.max_header_size = 64 * 1024,
		.max_header_fields = 200,
		.max_hops = 50,
		.max_own_hops = 10,
		.max_mime_depth = 20,
		.max_mime_parts = 1000,
		.store_deadline_ms = 30 * 1000,
		.auth_deadline_ms = 30 * 1000,
		.login_limits = {1000, 1000, 1000, false},
	};
	set_chains();
	pn_generation_current = &generation;
}

/* Never looked into. */
static struct pn_tls_service *a_service(void)
{
	return (struct pn_tls_service *)(void *)&generation;
}

struct ssl_st *__wrap_pn_tls_accept(struct pn_tls_service *service);
struct ssl_st *__wrap_pn_tls_accept(struct pn_tls_service *service)
{
	require(service == a_service());
	return (struct ssl_st *)(void *)service;
}

struct gate_client *gate_connect(bool has_tls, bool tls_at_once)
{
	struct gate_client *client = &gate.clients[gate.client_count];
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(4321)};
	struct pn_accepted accepted = {
		.peer = (const struct sockaddr *)&address,
		.listener = "0.0.0.0:25",
		.generation = &generation,
		.instance = &smtp_instance,
		.tls_service = has_tls ? a_service() : NULL,
		.implicit_tls = has_tls && tls_at_once,
		.tls_allowed = has_tls && !tls_at_once,
	};

	require(gate.client_count < GATE_CLIENTS);
	directory.blocks = gate.directory_blocks;
	generation.memory_per_message = gate.memory;
	generation.max_handshakes = gate.handshakes;
	address.sin_addr.s_addr = htonl(0xc0000201u + (uint32_t)gate.client_count);
	gate.client_count++;
	pn_buffer_init(&client->heard, SIZE_MAX / 2);
	accepted.descriptor = told_connect(hear);
	client->peer = &told_peers[accepted.descriptor];
	pn_session_accept(&accepted);
	return client;
}

void gate_stop(void)
{
	pn_sessions_stop();
}

void gate_end(void)
{
	pn_sessions_end();
}

void gate_tear_down(void)
{
	gate.manner = 0;
	gate_end();
	/* Whoever is late finds nobody. */
	while (gate.held > 0)
		gate_answer(choose((unsigned)gate.held), choose(2) == 0);
	told_pass(30 * 1000);
	require(pn_session_count() == 0 && gate.held == 0);
	pn_sessions_free();
	require(pn_ticket_count() == 0);
	pn_tickets_stop();
	told_pass(0);
	require(generation.references == 1 && writers == 0);
	for (size_t i = 0; i < gate.client_count; i++)
		pn_buffer_clear(&gate.clients[i].heard);
	told_forget();
}
