/* SPDX-License-Identifier: Apache-2.0 */
/* See world.h. */
#include "world.h"

#include <postern/authentication.h>
#include <postern/directory.h>
#include <postern/module.h>
#include <postern/sasl.h>
#include <postern/store.h>
#include <postern/text.h>
#include <postern/transaction.h>

#include "delivery/transaction.h"
#include "io/log.h"
#include "io/loop.h"
#include "io/stream.h"
#include "io/tls.h"
#include "io/world.h"
#include "session/session.h"
#include "session/ticket.h"

#include "../../../modules/smtp/smtp.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

extern const struct pn_module smtp_LTX_pn_module;

struct world world;

enum { OUTPUT_MAX = 16 * 1024, WAITING_MAX = 16, SESSIONS_BETWEEN_TURNS = 256 };

/* ---- the connection ---- */

struct pn_stream {
	pn_stream_ready_function *ready;
	void *user;
	const char *input;
	size_t input_size;
	bool has_ended;    /* the client */
	bool has_finished; /* the gateway */
	bool is_encrypted;
	bool is_there;
};

static struct pn_stream wire;
static char output[OUTPUT_MAX];
static size_t output_size;

enum pn_status pn_stream_new(int descriptor, pn_stream_ready_function *ready, void *user,
                             struct pn_stream **stream_out, struct pn_error *error)
{
	(void)descriptor, (void)error;
	require(!wire.is_there);
	wire = (struct pn_stream){.ready = ready, .user = user, .is_there = true};
	*stream_out = &wire;
	return PN_OK;
}

void pn_stream_free(struct pn_stream **stream)
{
	(*stream)->is_there = false;
	*stream = NULL;
}

void pn_stream_want(struct pn_stream *stream, bool reading, bool writing)
{
	(void)stream, (void)reading, (void)writing;
}

enum pn_stream_result pn_stream_read(struct pn_stream *stream, char *room, size_t size,
                                     size_t *read_out)
{
	size_t count = stream->input_size < size ? stream->input_size : size;

	if (count == 0)
		return stream->has_ended ? PN_STREAM_END : PN_STREAM_AGAIN;
	memcpy(room, stream->input, count);
	stream->input += count;
	stream->input_size -= count;
	*read_out = count;
	return PN_STREAM_DONE;
}

enum pn_stream_result pn_stream_write(struct pn_stream *stream, struct pn_slice bytes,
                                      size_t *written_out)
{
	require(!stream->has_finished && output_size + bytes.size < OUTPUT_MAX);
	memcpy(output + output_size, bytes.data, bytes.size);
	output_size += bytes.size;
	*written_out = bytes.size;
	return PN_STREAM_DONE;
}

bool pn_stream_has_pending(const struct pn_stream *stream)
{
	(void)stream;
	return false;
}

bool pn_stream_has_input(struct pn_stream *stream)
{
	return stream->input_size > 0;
}

void pn_stream_set_tls(struct pn_stream *stream, struct ssl_st *ssl)
{
	(void)ssl;
	require(!stream->is_encrypted);
}

enum pn_stream_result pn_stream_handshake(struct pn_stream *stream)
{
	stream->is_encrypted = true;
	return PN_STREAM_DONE;
}

bool pn_stream_is_encrypted(const struct pn_stream *stream)
{
	return stream->is_encrypted;
}

const char *pn_stream_tls_version(const struct pn_stream *stream)
{
	return stream->is_encrypted ? "TLSv1.3" : "";
}

const char *pn_stream_tls_cipher(const struct pn_stream *stream)
{
	return stream->is_encrypted ? "NONE" : "";
}

const char *pn_stream_tls_server_name(const struct pn_stream *stream)
{
	(void)stream;
	return "";
}

const struct pn_client_certificate *pn_stream_client_certificate(const struct pn_stream *stream,
                                                                 struct pn_arena *arena)
{
	(void)stream, (void)arena;
	return NULL;
}

bool pn_stream_has_channel_binding(const struct pn_stream *stream)
{
	(void)stream;
	return false;
}

bool pn_stream_channel_binding(const struct pn_stream *stream,
                               uint8_t binding[PN_CHANNEL_BINDING_SIZE])
{
	(void)stream, (void)binding;
	return false;
}

void pn_stream_finish_writing(struct pn_stream *stream)
{
	stream->has_finished = true;
}

int pn_stream_descriptor(const struct pn_stream *stream)
{
	(void)stream;
	return -1;
}

/* In place of pn_tls_accept: the handshake above needs nothing of it. */
struct ssl_st *__wrap_pn_tls_accept(struct pn_tls_service *service);
struct ssl_st *__wrap_pn_tls_accept(struct pn_tls_service *service)
{
	return (struct ssl_st *)(void *)service;
}

/* ---- the store: it keeps what there is to know of one message ---- */

static unsigned number_behind(struct pn_slice text, const char *word)
{
	const char *found = memmem(text.data, text.size, word, strlen(word));

	require(found != NULL);
	return (unsigned)strtoul(found + strlen(word), NULL, 10);
}

static void keep_message(const struct pn_commit *commit)
{
	struct outcome *outcome = &world.outcome;
	char text[4096];
	size_t size = 0;

	require(commit->body_count == 1);
	for (size_t i = 0; i < commit->bodies[0].piece_count; i++) {
		struct pn_slice piece = commit->bodies[0].pieces[i];

		require(size + piece.size < sizeof(text));
		memcpy(text + size, piece.data, piece.size);
		size += piece.size;
	}
	text[size] = '\0';
	outcome->messages++;
	outcome->sender = number_behind(pn_slice_make(text, size), "Return-Path: <s");
	outcome->serial = number_behind(pn_slice_make(text, size), "\r\nX-Serial: ");
	outcome->recipient_count = commit->mutation_count;
	for (size_t i = 0; i < commit->mutation_count; i++)
		outcome->recipients[i] = number_behind(commit->mutations[i].account, "r");
}

static bool was_full; /* for this message */

static void take_commit(void *instance, struct pn_commit *commit)
{
	(void)instance;
	require(commit->mutation_count <= RECIPIENTS_MAX);
	if (world.letter->is_full && !was_full) {
		was_full = true;
		commit->failed_index = 0;
		pn_commit_done(commit, PN_LIMIT);
		return;
	}
	commit->results =
		PN_ARENA_ARRAY(commit->arena, commit->mutation_count, struct pn_mutation_result);
	keep_message(commit);
	pn_commit_done(commit, PN_OK);
}

/* ---- the directory: everybody but the client is somebody ---- */

static enum pn_status look_up(void *instance, const struct pn_address *address,
                              struct pn_arena *arena, struct pn_directory_entry *entry_out,
                              struct pn_error *error)
{
	(void)instance, (void)error;
	entry_out->account = pn_arena_keep(arena, address->local_part);
	return PN_OK;
}

/* ---- the hooks ---- */

static struct {
	struct pn_stage_call calls[WAITING_MAX];
	const struct pn_stage_call *places[WAITING_MAX];
	enum pn_verdict verdicts[WAITING_MAX];
	size_t count;
} waiting;

/* What a hook left behind in a transaction is there as long as it, and no longer. */
static void look_around(const struct pn_stage_call *call)
{
	struct pn_transaction *transaction = call->transaction;
	const struct pn_stage_result *verdict;
	struct pn_slice note;
	char mark[16];

	if (transaction == NULL || call->stage == PN_STAGE_CONNECTION_CLOSE)
		return;
	require(transaction == pn_session_transaction(call->session));
	note = pn_transaction_note(transaction, PN_SLICE("mark"));
	if (call->stage == PN_STAGE_ENVELOPE_SENDER) {
		require(note.data == NULL);
		require(pn_transaction_fact(transaction, PN_SLICE("mark")).data == NULL);
		require(pn_transaction_score(transaction) == 0);
		require(pn_transaction_recipient_count(transaction) == 0);
		require(pn_transaction_size(transaction) == 0);
		require(pn_transaction_header(transaction) == NULL);
		require(pn_transaction_sender(transaction)->local_part.data[0] == 's');
		pn_transaction_set_note(transaction, PN_SLICE("mark"),
		                        pn_transaction_sender(transaction)->local_part);
		pn_transaction_set_fact(transaction, PN_SLICE("mark"), PN_SLICE("yes"));
		pn_transaction_add_score(transaction, "mark", 1);
		return;
	}
	snprintf(mark, sizeof(mark), "s%u", world.model->now.sender);
	require(pn_slice_equal(note, pn_slice_of(mark)));
	require(pn_slice_equal(pn_transaction_sender(transaction)->local_part, pn_slice_of(mark)));
	require(pn_transaction_score(transaction) == 1);
	require(pn_transaction_recipient_count(transaction) == world.model->now.count);
	for (size_t i = 0; i < world.model->now.count; i++) {
		verdict = pn_recipient_result(pn_transaction_recipient(transaction, i));
		require(number_behind(
				pn_recipient_account(pn_transaction_recipient(transaction, i)),
				"r") == world.model->now.recipients[i]);
		if (call->stage < PN_STAGE_RECIPIENT_DECIDE)
			require(verdict->verdict == PN_VERDICT_ACCEPT);
	}
}

static enum pn_verdict say_verdict(const struct pn_stage_call *call)
{
	const struct letter *letter = world.letter;

	if (call->stage != letter->stage ||
	    (letter->is_first_only &&
	     call->recipient != pn_transaction_recipient(call->transaction, 0)))
		return call->stage == PN_STAGE_AUTH_VERIFY ? PN_VERDICT_ACCEPT
		                                           : PN_VERDICT_CONTINUE;
	switch (letter->verdict) {
	case PN_VERDICT_REJECT:
		return pn_refuse(call, 550, "5.7.1", "no");
	case PN_VERDICT_DEFER:
		return pn_refuse(call, 451, "4.7.1", "later");
	case PN_VERDICT_DISCARD:
		return pn_discard(call, "away with it");
	default:
		return letter->verdict;
	}
}

static enum pn_verdict ask(void *user, const struct pn_stage_call *call)
{
	enum pn_verdict verdict;

	(void)user;
	look_around(call);
	verdict = say_verdict(call);
	if (world.waits == NULL || !world.waits() || call->stage == PN_STAGE_CONNECTION_CLOSE)
		return verdict;
	require(waiting.count < WAITING_MAX);
	waiting.calls[waiting.count] = *call;
	waiting.places[waiting.count] = call;
	waiting.verdicts[waiting.count++] = verdict;
	return PN_VERDICT_PENDING;
}

static bool answer_hooks(void)
{
	size_t count = waiting.count;

	waiting.count = 0;
	for (size_t i = 0; i < count; i++) {
		if (pn_ticket_is_open(waiting.calls[i].ticket))
			(void)pn_hook_answer(waiting.places[i], waiting.verdicts[i]);
	}
	return count > 0;
}

/* ---- the configuration ---- */

static const struct pn_store store = {.struct_size = sizeof(store), .commit = take_commit};
static const struct pn_directory directory = {.struct_size = sizeof(directory), .lookup = look_up};
static const struct pn_module store_module = {.name = "store", .store = &store};
static const struct pn_module directory_module = {.name = "people", .directory = &directory};
static struct pn_instance store_instance = {.module = &store_module, .name = "store"};
static struct pn_instance directory_instance = {.module = &directory_module, .name = "people"};

static const char *const mechanisms[] = {"PLAIN"};
static struct smtp_config configs[] = {
	[PROFILE_MX] = {.profile = SMTP_PROFILE_MX},
	[PROFILE_SUBMISSION] = {.profile = SMTP_PROFILE_SUBMISSION},
	[PROFILE_LMTP] = {.profile = SMTP_PROFILE_LMTP},
};
static struct pn_instance servers[] = {
	[PROFILE_MX] = {.module = &smtp_LTX_pn_module, .name = "mx"},
	[PROFILE_SUBMISSION] = {.module = &smtp_LTX_pn_module, .name = "submission"},
	[PROFILE_LMTP] = {.module = &smtp_LTX_pn_module, .name = "lmtp"},
};

static const struct pn_instance_use uses[] = {
	{.instance = &servers[PROFILE_MX], .config = &configs[PROFILE_MX]},
	{.instance = &servers[PROFILE_SUBMISSION], .config = &configs[PROFILE_SUBMISSION]},
	{.instance = &servers[PROFILE_LMTP], .config = &configs[PROFILE_LMTP]},
	{.instance = &store_instance},
	{.instance = &directory_instance},
};

static const struct pn_chain_hook hook = {
	.label = "test",
	.summary = "",
	.module = "test",
	.mode = PN_HOOK_DECIDE,
	.wall_budget_ms = 60 * 1000,
	.run = ask,
};

static struct pn_domain domain;
static struct pn_generation generation;
static struct pn_timer *end_of_turn;
static unsigned sessions;

static void configure(struct smtp_config *config)
{
	config->authentication = config->profile == SMTP_PROFILE_SUBMISSION
	                                 ? SMTP_AUTHENTICATION_REQUIRED
	                                 : SMTP_AUTHENTICATION_OFFERED;
	config->plaintext_login = PN_SASL_CLEAR_ALWAYS;
	config->mechanisms = (struct pn_text_list){mechanisms, 1};
	config->greeting = "";
	config->max_message_size = 1024 * 1024;
	config->max_recipients = RECIPIENTS_MAX;
	config->max_errors = UINT32_MAX - 1;
	config->soft_errors = UINT32_MAX - 1;
	config->max_login_failures = UINT32_MAX - 1;
	config->max_commands = UINT32_MAX - 1;
	config->max_transactions = UINT32_MAX - 1;
	config->max_command_length = 1090;
	config->command_timeout = 1000 * 1000;
	config->data_timeout = 1000 * 1000;
	config->message_timeout = 1000 * 1000;
	config->data_rate_window = 1000 * 1000;
	config->min_data_rate = 1;
	config->max_hold = 1000;
	config->vrfy = SMTP_VRFY_NEUTRAL;
}

static uint32_t count(uint64_t key, int change)
{
	(void)key, (void)change;
	return 1;
}

static uint64_t monotonic_ns(void)
{
	return UINT64_C(1000000000000);
}

static int64_t wall_ms(void)
{
	return INT64_C(1800000000000);
}

static void nothing(void *unused)
{
	(void)unused;
}

void world_set_up(void)
{
	struct pn_error error;

	memset(&world, 0, sizeof(world));
	require(pn_loop_new(&error) == PN_OK);
	pn_loop_simulate();
	pn_world.monotonic_ns = monotonic_ns;
	pn_world.wall_ms = wall_ms;
	pn_log_set_level(PN_LOG_ERROR);
	end_of_turn = pn_timer_new(nothing, NULL);
	for (size_t i = 0; i < sizeof(configs) / sizeof(configs[0]); i++)
		configure(&configs[i]);
	domain = (struct pn_domain){
		.name = "example.test",
		.ascii_name = PN_SLICE("example.test"),
		.store = &store_instance,
		.directory = &directory_instance,
	};
	generation = (struct pn_generation){
		.references = 1,
		.hostname = "mx.example.test",
		.data_directory = "/nowhere",
		.instances = uses,
		.instance_count = sizeof(uses) / sizeof(uses[0]),
		.domains = &domain,
		.domain_count = 1,
		.home = &store_instance,
		.relay = "",
		.memory_per_message = 64 * 1024,
		.max_header_size = 32 * 1024,
		.max_header_fields = 100,
		.max_hops = 50,
		.max_own_hops = 5,
		.max_mime_depth = 10,
		.max_mime_parts = 10,
		.store_deadline_ms = 60 * 1000,
		.auth_deadline_ms = 60 * 1000,
		.tls_handshake_deadline_ms = 60 * 1000,
		.max_handshakes = 100,
		.session_limits = {.per_address = 100, .per_account = 100, .per_tenant = 100},
		.login_limits = {.per_login = 1000000,
	                         .per_account = 1000000,
	                         .per_address = 1000000},
	};
	for (size_t stage = 1; stage < PN_STAGE_COUNT; stage++)
		generation.chains[stage] = (struct pn_chain){&hook, 1};
	pn_generation_current = &generation;
	pn_session_world.count = count;
}

void world_tear_down(void)
{
	pn_timer_free(&end_of_turn);
	pn_tickets_stop();
	require(generation.references == 1);
	pn_loop_free();
	pn_world = pn_world_real;
	pn_generation_current = NULL;
}

/* Everything that is queued runs. The real loop is asked only now and then: it has nothing to do
 * but to free what was closed. */
static void turn(void)
{
	do {
		pn_timer_set(end_of_turn, 0);
		(void)pn_loop_advance(0, true);
	} while (answer_hooks());
}

/* Replies are lines with CRLF that begin with a code; counted where the last line of one stands. */
static void read_replies(void)
{
	size_t count = 0;

	for (char *line = output; line < output + output_size;) {
		char *end = memmem(line, (size_t)(output + output_size - line), "\r\n", 2);

		require(end != NULL && end - line >= 4 && line[0] >= '2' && line[0] <= '5');
		require(line[3] == ' ' || line[3] == '-');
		if (line[3] == ' ' && count + 1 < sizeof(world.outcome.classes))
			world.outcome.classes[count++] = line[0];
		line = end + 2;
	}
	world.outcome.classes[count] = '\0';
	world.outcome.is_closed = !wire.is_there || wire.has_finished;
	world.output = output;
	world.output_size = output_size;
}

void world_say(const char *text, size_t size)
{
	while (size > 0 && wire.is_there) {
		size_t now = world.cut == NULL ? size : world.cut((unsigned)size);

		wire.input = text;
		wire.input_size = now;
		text += now;
		size -= now;
		wire.ready(wire.user, PN_WATCH_READ);
		turn();
	}
	read_replies();
}

void world_begin(const struct letter *letter, const struct model *model)
{
	memset(&world.outcome, 0, sizeof(world.outcome));
	output_size = 0;
	was_full = false;
	world.letter = letter;
	world.model = model;
}

void world_shake_hands(void)
{
	turn();
	read_replies();
	require(world.outcome.is_closed || wire.is_encrypted);
}

void world_connect(enum profile profile)
{
	static const struct letter none = {.name = "connect"};
	static const struct sockaddr from = {.sa_family = AF_UNIX};
	const struct pn_accepted accepted = {
		.descriptor = -1,
		.peer = &from,
		.listener = "test",
		.generation = &generation,
		.instance = &servers[profile],
		.tls_service = (struct pn_tls_service *)(void *)&domain,
		.tls_allowed = true,
	};

	output_size = 0;
	world.letter = &none;
	pn_session_accept(&accepted);
	turn();
	world.session = wire.user;
	require(output_size > 4 && memcmp(output, "220 ", 4) == 0);
	output_size = 0;
}

void world_disconnect(void)
{
	static const struct letter none = {.name = "disconnect"};

	world.letter = &none;
	if (wire.is_there) {
		wire.has_ended = true;
		wire.ready(wire.user, PN_WATCH_READ);
		turn();
	}
	require(!wire.is_there);
	require(pn_session_count() == 0);
	require(pn_ticket_count() == 0);
	if (++sessions % SESSIONS_BETWEEN_TURNS == 0)
		(void)pn_loop_advance(0, false);
}

static struct {
	struct smtp_session smtp;
	const struct pn_transaction *transaction;
	struct pn_transaction of_it;
	struct pn_slice identity;
	const void *account;
	struct pn_kept_text hello;
	const void *notes;
	bool is_encrypted;
	bool is_lost; /* the session is over */
} before, after;

/* Counters grow with every command. */
static void look(void *place, size_t size)
{
	const struct pn_session *session = world.session;
	struct smtp_session *smtp = &after.smtp;

	memset(&after, 0, sizeof(after));
	after.is_lost = !wire.is_there || wire.has_finished;
	if (!after.is_lost) {
		memcpy(smtp, session->state, sizeof(*smtp));
		smtp->commands = 0;
		smtp->errors = 0;
		smtp->transactions = 0;
		smtp->login_failures = 0;
		after.transaction = session->transaction;
		if (after.transaction != NULL)
			memcpy(&after.of_it, after.transaction, sizeof(after.of_it));
		after.identity = session->identity;
		after.account = session->account;
		after.hello = session->hello;
		after.notes = session->notes;
		after.is_encrypted = wire.is_encrypted;
	}
	memcpy(place, &after, size);
}

void world_remember(void)
{
	look(&before, sizeof(before));
}

bool world_is_unchanged(void)
{
	look(&after, 0);
	return memcmp(&before, &after, sizeof(before)) == 0;
}

/* The state of the module as it is where there is no transaction: all of it is zero but what is
 * named here. So a new field that outlives a transaction is seen. */
void world_check_fresh(const struct model *model)
{
	const struct pn_session *session = world.session;
	const struct smtp_session *smtp = session->state;
	struct smtp_session fresh;

	require(session->transaction == NULL);
	require(session->transaction_id == NULL);
	require(session->transaction_attachment.release == NULL);
	require(session->tickets == NULL);
	memset(&fresh, 0, sizeof(fresh));
	fresh.config = smtp->config;
	fresh.is_greeted = model->greeted != GREETED_NOT;
	fresh.is_extended = model->greeted == GREETED_EHLO;
	/* Of the command before, and set anew by the next that reads them. */
	fresh.pending_extended = smtp->pending_extended;
	fresh.auth_line_too_long = smtp->auth_line_too_long;
	memcpy(&fresh.address, &smtp->address, sizeof(fresh.address));
	fresh.chunk_is_last = smtp->chunk_is_last;
	fresh.chunk_is_lost = smtp->chunk_is_lost;
	fresh.chunk_size = smtp->chunk_size;
	fresh.data_started_ms = smtp->data_started_ms;
	fresh.rate = smtp->rate;
	/* Of the message before, set anew by the first chunk of the next. */
	fresh.after_cr = smtp->after_cr;
	fresh.at_line_start = smtp->at_line_start;
	fresh.line_is_empty = smtp->line_is_empty;
	fresh.header_is_over = smtp->header_is_over;
	/* Of the session. */
	fresh.errors = smtp->errors;
	fresh.login_failures = smtp->login_failures;
	fresh.commands = smtp->commands;
	fresh.transactions = smtp->transactions;
	require(memcmp(&fresh, smtp, sizeof(fresh)) == 0);
}
