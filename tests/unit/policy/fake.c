/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions, messages and calls of the fake world. See fake.h. */
#include "fake.h"

#include <postern/delivery.h>
#include <postern/log.h>
#include <postern/route.h>
#include <postern/session.h>
#include <postern/text.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "delivery/route.h"
#include "fake_world.h"
#include "session/engine.h"
#include "session/running.h"

static struct {
	struct pn_arena *arena;
	struct fake_call *calls[4096];
	size_t call_count;
	char log[65536];
	size_t log_size;
} fake;

/* ---- making things ---- */

void fake_reset(void)
{
	for (size_t index = 0; index < fake.call_count; index++) {
		pn_arena_free(&fake.calls[index]->arena);
		free(fake.calls[index]);
	}
	pn_arena_free(&fake.arena);
	memset(&fake, 0, sizeof(fake));
	fake.arena = pn_arena_new();
	fake_world_reset();
}

struct pn_session *fake_session(void)
{
	struct pn_session *session = PN_ARENA_NEW(fake.arena, struct pn_session);

	*session = (struct pn_session){
		.id = "s0000000000000000001",
		.protocol = "fake",
		.instance = "mx",
		.listener = "0.0.0.0:25",
		.hostname = "mx.example.org",
		.peer = "192.0.2.1",
		.hello = "client.example.net",
		.identity = "",
		.tls_version = "",
		.tls_cipher = "",
		.tls_server_name = "",
		.port = 4321,
		.peer_count = 1,
	};
	return session;
}

struct pn_address fake_address(const char *text)
{
	struct pn_address address = {0};

	if (text[0] == '\0')
		return address;
	if (pn_address_parse(pn_slice_of(text), true, fake.arena, &address) != PN_OK)
		abort();
	return address;
}

struct pn_transaction *fake_transaction(void)
{
	struct pn_transaction *transaction = PN_ARENA_NEW(fake.arena, struct pn_transaction);

	transaction->id = "m0000000000000000001";
	transaction->sender = fake_address("sender@example.net");
	return transaction;
}

struct pn_recipient *fake_add_recipient(struct pn_transaction *transaction, const char *address)
{
	struct pn_recipient *recipient = &transaction->recipients[transaction->recipient_count++];

	recipient->address = recipient->original = fake_address(address);
	recipient->account = "alice@example.org";
	recipient->mailbox = "INBOX";
	recipient->flags = "";
	recipient->is_local = true;
	return recipient;
}

void fake_set_message(struct pn_transaction *transaction, const char *text)
{
	transaction->text = text;
	if (pn_header_parse(pn_slice_of(text), 1000, fake.arena, &transaction->header) != PN_OK)
		abort();
}

/* ---- calls ---- */

static void stage_answered(void *user, const struct pn_answer *answer)
{
	struct fake_call *call = user;

	(void)answer;
	call->was_answered = true;
}

struct fake_call *fake_run_now(const struct pn_policy_hook *hook, struct pn_session *session,
                               struct pn_transaction *transaction, struct pn_recipient *recipient,
                               const void *subject)
{
	struct fake_call *call = calloc(1, sizeof(*call));

	if (fake.call_count < sizeof(fake.calls) / sizeof(fake.calls[0]))
		fake.calls[fake.call_count++] = call;
	call->arena = pn_arena_new();
	call->call = (struct pn_stage_call){
		.struct_size = sizeof(call->call),
		.stage = hook->stage,
		.session = session,
		.transaction = transaction,
		.recipient = recipient,
		.subject = subject,
		.arena = call->arena,
		.ticket = pn_ticket_open(session, stage_answered, call, 1000000),
	};
	if (session != NULL)
		session->transaction = transaction;
	call->verdict = hook->hook.run(hook->hook.user, &call->call);
	if (call->verdict != PN_VERDICT_PENDING)
		pn_ticket_cancel(call->call.ticket);
	return call;
}

struct fake_call *fake_run(const struct pn_policy_hook *hook, struct pn_session *session,
                           struct pn_transaction *transaction, struct pn_recipient *recipient,
                           const void *subject)
{
	fake_turn();
	fake_turn();
	return fake_run_now(hook, session, transaction, recipient, subject);
}

void fake_abandon(struct fake_call *call)
{
	pn_ticket_cancel(call->call.ticket);
	/* Whoever looks at the call now reads nonsense. */
	memset(&call->call, 0xee, sizeof(call->call));
	pn_arena_free(&call->arena);
}

static struct fake_call *call_of(const struct pn_stage_call *call)
{
	return (struct fake_call *)(uintptr_t)call;
}

enum pn_verdict pn_refuse(const struct pn_stage_call *call, unsigned code, const char *enhanced,
                          const char *format, ...)
{
	struct pn_reply *reply = &call_of(call)->reply;
	va_list arguments;

	reply->code = (uint16_t)code;
	snprintf(reply->enhanced, sizeof(reply->enhanced), "%s", enhanced == NULL ? "" : enhanced);
	va_start(arguments, format);
	vsnprintf(reply->text, sizeof(reply->text), format, arguments);
	va_end(arguments);
	return code >= 500 ? PN_VERDICT_REJECT : PN_VERDICT_DEFER;
}

static enum pn_verdict with_argument(const struct pn_stage_call *call, struct pn_slice argument,
                                     enum pn_verdict verdict)
{
	snprintf(call_of(call)->argument, sizeof(call_of(call)->argument), "%.*s",
	         PN_SLICE_ARGS(argument));
	return verdict;
}

enum pn_verdict pn_redirect(const struct pn_stage_call *call, struct pn_slice target)
{
	return with_argument(call, target, PN_VERDICT_REDIRECT);
}

enum pn_verdict pn_discard(const struct pn_stage_call *call, const char *reason)
{
	return with_argument(call, pn_slice_of(reason), PN_VERDICT_DISCARD);
}

enum pn_verdict pn_quarantine(const struct pn_stage_call *call, const char *mailbox)
{
	return with_argument(call, pn_slice_of(mailbox), PN_VERDICT_QUARANTINE);
}

enum pn_verdict pn_hook_failed(const struct pn_stage_call *call, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(call_of(call)->failure, sizeof(call_of(call)->failure), format, arguments);
	va_end(arguments);
	return PN_VERDICT_CONTINUE;
}

bool pn_hook_answer(const struct pn_stage_call *call, enum pn_verdict verdict)
{
	if (!pn_ticket_is_open(call->ticket))
		return false;
	call_of(call)->verdict = verdict;
	return pn_ticket_answer(call->ticket, PN_ANSWER_VERDICT, PN_OK, NULL, NULL, NULL);
}

const char *fake_outcome(const struct fake_call *call, char *room, size_t size)
{
	if (call->failure[0] != '\0')
		snprintf(room, size, "failed: %s", call->failure);
	else if (call->reply.code != 0)
		snprintf(room, size, "%s %u %s %s", pn_verdict_name(call->verdict),
		         call->reply.code, call->reply.enhanced, call->reply.text);
	else if (call->argument[0] != '\0')
		snprintf(room, size, "%s %s", pn_verdict_name(call->verdict), call->argument);
	else
		snprintf(room, size, "%s", pn_verdict_name(call->verdict));
	return room;
}

/* ---- pairs ---- */

static void set_pair(struct fake_pair *pairs, struct pn_slice key, struct pn_slice value)
{
	size_t index = 0;

	while (index < FAKE_PAIRS && pairs[index].key != NULL &&
	       !pn_slice_equal(pn_slice_of(pairs[index].key), key))
		index++;
	if (index == FAKE_PAIRS)
		return;
	pairs[index].key = pn_arena_keep_text(fake.arena, key);
	pairs[index].value = pn_arena_keep_text(fake.arena, value);
}

static struct pn_slice get_pair(const struct fake_pair *pairs, struct pn_slice key)
{
	for (size_t index = 0; index < FAKE_PAIRS && pairs[index].key != NULL; index++) {
		if (pn_slice_equal(pn_slice_of(pairs[index].key), key))
			return pn_slice_of(pairs[index].value);
	}
	return PN_SLICE_NONE;
}

/* ---- sessions ---- */

#define SESSION_TEXT(function, field)                                                              \
	const char *function(const struct pn_session *session)                                     \
	{                                                                                          \
		return session->field;                                                             \
	}

SESSION_TEXT(pn_session_id, id)
SESSION_TEXT(pn_session_protocol, protocol)
SESSION_TEXT(pn_session_instance_name, instance)
SESSION_TEXT(pn_session_listener, listener)
SESSION_TEXT(pn_session_hostname, hostname)
SESSION_TEXT(pn_session_peer, peer)
SESSION_TEXT(pn_session_tls_version, tls_version)
SESSION_TEXT(pn_session_tls_cipher, tls_cipher)
SESSION_TEXT(pn_session_tls_server_name, tls_server_name)

const struct pn_client_certificate *pn_session_client_certificate(const struct pn_session *session)
{
	return session->certificate;
}

uint16_t pn_session_peer_port(const struct pn_session *session)
{
	return session->port;
}

uint32_t pn_session_peer_count(const struct pn_session *session)
{
	return session->peer_count;
}

bool pn_session_peer_is_loopback(const struct pn_session *session)
{
	return session->is_loopback;
}

bool pn_session_is_encrypted(const struct pn_session *session)
{
	return session->is_encrypted;
}

bool pn_session_is_early_talker(const struct pn_session *session)
{
	return session->is_early_talker;
}

uint32_t pn_session_unauthorised_pipelining(const struct pn_session *session)
{
	return session->unauthorised_pipelining;
}

struct pn_slice pn_session_hello(const struct pn_session *session)
{
	return pn_slice_of(session->hello);
}

struct pn_slice pn_session_identity(const struct pn_session *session)
{
	return pn_slice_of(session->identity);
}

void pn_session_set_note(struct pn_session *session, struct pn_slice key, struct pn_slice value)
{
	set_pair(session->notes, key, value);
}

struct pn_slice pn_session_note(const struct pn_session *session, struct pn_slice key)
{
	return get_pair(session->notes, key);
}

/* ---- transactions ---- */

const char *pn_transaction_id(const struct pn_transaction *transaction)
{
	return transaction->id;
}

const struct pn_address *pn_transaction_sender(const struct pn_transaction *transaction)
{
	return &transaction->sender;
}

const struct pn_parameter *pn_transaction_parameter(const struct pn_transaction *transaction,
                                                    struct pn_slice name)
{
	static const struct pn_parameter size = {PN_SLICE("SIZE"), PN_SLICE("1000")};

	(void)transaction;
	return pn_slice_equal_ignore_case(name, size.name) ? &size : NULL;
}

size_t pn_transaction_recipient_count(const struct pn_transaction *transaction)
{
	return transaction->recipient_count;
}

struct pn_recipient *pn_transaction_recipient(const struct pn_transaction *transaction,
                                              size_t index)
{
	return (struct pn_recipient *)(uintptr_t)&transaction->recipients[index];
}

const struct pn_address *pn_recipient_original(const struct pn_recipient *recipient)
{
	return &recipient->original;
}

const struct pn_address *pn_recipient_address(const struct pn_recipient *recipient)
{
	return &recipient->address;
}

const struct pn_parameter *pn_recipient_parameter(const struct pn_recipient *recipient,
                                                  struct pn_slice name)
{
	(void)recipient, (void)name;
	return NULL;
}

bool pn_recipient_is_local(const struct pn_recipient *recipient)
{
	return recipient->is_local;
}

struct pn_slice pn_recipient_account(const struct pn_recipient *recipient)
{
	return pn_slice_of(recipient->account);
}

struct pn_slice pn_recipient_mailbox(const struct pn_recipient *recipient)
{
	return pn_slice_of(recipient->mailbox);
}

void pn_recipient_set_mailbox(struct pn_recipient *recipient, struct pn_slice mailbox)
{
	recipient->mailbox = pn_arena_keep_text(fake.arena, mailbox);
}

struct pn_slice pn_recipient_flags(const struct pn_recipient *recipient)
{
	return pn_slice_of(recipient->flags);
}

void pn_recipient_set_flags(struct pn_recipient *recipient, struct pn_slice flags)
{
	recipient->flags = pn_arena_keep_text(fake.arena, flags);
}

uint64_t pn_transaction_size(const struct pn_transaction *transaction)
{
	return transaction->text == NULL ? 0 : strlen(transaction->text);
}

const struct pn_header *pn_transaction_header(struct pn_transaction *transaction)
{
	return transaction->text == NULL ? NULL : &transaction->header;
}

struct pn_slice pn_transaction_text(const struct pn_transaction *transaction)
{
	return pn_slice_of(transaction->text);
}

void pn_transaction_add_score(struct pn_transaction *transaction, const char *name, double score)
{
	(void)name;
	transaction->score += score;
}

double pn_transaction_score(const struct pn_transaction *transaction)
{
	return transaction->score;
}

void pn_transaction_set_fact(struct pn_transaction *transaction, struct pn_slice key,
                             struct pn_slice value)
{
	set_pair(transaction->facts, key, value);
}

bool pn_transaction_next_fact(const struct pn_transaction *transaction, const void **cursor,
                              struct pn_slice *key_out, struct pn_slice *value_out)
{
	const struct fake_pair *pair =
		*cursor == NULL ? transaction->facts : (const struct fake_pair *)*cursor + 1;

	if (pair == transaction->facts + FAKE_PAIRS || pair->key == NULL)
		return false;
	*cursor = pair;
	*key_out = pn_slice_of(pair->key);
	*value_out = pn_slice_of(pair->value);
	return true;
}

struct pn_slice pn_transaction_authentication_results(const struct pn_transaction *transaction,
                                                      struct pn_slice name, struct pn_arena *arena)
{
	(void)transaction;
	return pn_slice_of(pn_arena_print(arena, "%.*s; fake", PN_SLICE_ARGS(name)));
}

struct pn_slice pn_transaction_fact(const struct pn_transaction *transaction, struct pn_slice key)
{
	return get_pair(transaction->facts, key);
}

void pn_transaction_set_note(struct pn_transaction *transaction, struct pn_slice key,
                             struct pn_slice value)
{
	set_pair(transaction->facts, key, value);
}

struct pn_slice pn_transaction_note(const struct pn_transaction *transaction, struct pn_slice key)
{
	return get_pair(transaction->facts, key);
}

static enum pn_status add_edit(struct pn_transaction *transaction, const char *verb,
                               struct pn_slice name, size_t index, struct pn_slice value)
{
	if (!pn_header_name_is_valid(name) || memchr(value.data, '\n', value.size) != NULL)
		return PN_FAILED;
	if (transaction->edit_count == FAKE_EDITS)
		return PN_LIMIT;
	if (strcmp(verb, "add") != 0 && pn_header_find(&transaction->header, name, index) == NULL)
		return PN_NOT_FOUND;
	snprintf(transaction->edits[transaction->edit_count++], sizeof(transaction->edits[0]),
	         "%s %.*s %zu %.*s", verb, PN_SLICE_ARGS(name), index, PN_SLICE_ARGS(value));
	return PN_OK;
}

enum pn_status pn_transaction_header_add(struct pn_transaction *transaction, struct pn_slice name,
                                         struct pn_slice value)
{
	return add_edit(transaction, "add", name, 0, value);
}

enum pn_status pn_transaction_header_remove(struct pn_transaction *transaction,
                                            struct pn_slice name, size_t index)
{
	return add_edit(transaction, "remove", name, index, PN_SLICE(""));
}

enum pn_status pn_transaction_header_replace(struct pn_transaction *transaction,
                                             struct pn_slice name, size_t index,
                                             struct pn_slice value)
{
	return add_edit(transaction, "replace", name, index, value);
}

/* ---- where it goes ---- */

enum pn_status pn_recipient_set_route(struct pn_recipient *recipient, const struct pn_route *route,
                                      struct pn_error *error)
{
	struct pn_slice text;

	if (pn_route_check(route, error) != PN_OK)
		return PN_FAILED;
	text = pn_route_format(route, recipient->address.domain, fake.arena);
	snprintf(recipient->route, sizeof(recipient->route), "%.*s", PN_SLICE_ARGS(text));
	return PN_OK;
}

enum pn_status pn_recipient_expand(struct pn_recipient *recipient, const struct pn_slice *addresses,
                                   size_t count)
{
	recipient->targets[0] = '\0';
	for (size_t index = 0; index < count; index++) {
		size_t size = strlen(recipient->targets);
		struct pn_address address;

		if (pn_address_parse(addresses[index], true, fake.arena, &address) != PN_OK)
			return PN_FAILED;
		snprintf(recipient->targets + size, sizeof(recipient->targets) - size, "%s%.*s",
		         index > 0 ? " " : "", PN_SLICE_ARGS(addresses[index]));
	}
	return PN_OK;
}

enum pn_status pn_transaction_set_sender(struct pn_transaction *transaction,
                                         struct pn_slice address)
{
	memset(&transaction->sender, 0, sizeof(transaction->sender));
	return address.size == 0 ? PN_OK
	                         : pn_address_parse(pn_arena_keep(fake.arena, address), true,
	                                            fake.arena, &transaction->sender);
}

enum pn_status pn_transaction_set_tenant(struct pn_transaction *transaction, struct pn_slice tenant)
{
	transaction->tenant = pn_arena_keep_text(fake.arena, tenant);
	return PN_OK;
}

struct pn_slice pn_transaction_tenant(const struct pn_transaction *transaction)
{
	return pn_slice_of(transaction->tenant);
}

enum pn_status pn_transaction_set_priority(struct pn_transaction *transaction, uint32_t priority)
{
	transaction->priority = priority;
	return PN_OK;
}

enum pn_status pn_transaction_set_release(struct pn_transaction *transaction, int64_t wall_ms)
{
	transaction->release_ms = wall_ms;
	return PN_OK;
}

enum pn_status pn_transaction_set_lifetime(struct pn_transaction *transaction,
                                           uint64_t milliseconds)
{
	transaction->lifetime_ms = milliseconds;
	return PN_OK;
}

struct pn_slice pn_transaction_origin(const struct pn_transaction *transaction, const char *key)
{
	(void)transaction;
	return strcmp(key, "peer") == 0 ? PN_SLICE("192.0.2.1") : PN_SLICE("");
}

const char *pn_answer_class_name(enum pn_answer_class answer_class)
{
	(void)answer_class;
	return "none";
}

/* ---- the log ---- */

struct pn_event {
	enum pn_log_level level;
	char text[1200];
};

struct pn_event *pn_event_new(enum pn_log_level level, const char *what)
{
	struct pn_event *event = calloc(1, sizeof(*event));

	event->level = level;
	snprintf(event->text, sizeof(event->text), "%d %s", (int)level, what);
	return event;
}

struct pn_event *pn_session_event(struct pn_session *session, enum pn_log_level level,
                                  const char *what)
{
	(void)session;
	return pn_event_new(level, what);
}

void pn_event_text(struct pn_event *event, const char *key, struct pn_slice text)
{
	size_t size = strlen(event->text);

	(void)key;
	snprintf(event->text + size, sizeof(event->text) - size, " %.*s", PN_SLICE_ARGS(text));
}

void pn_event_send(struct pn_event **event)
{
	size_t room = sizeof(fake.log) - fake.log_size;
	int size = snprintf(fake.log + fake.log_size, room, "%s\n", (*event)->text);

	if (size > 0 && (size_t)size < room)
		fake.log_size += (size_t)size;
	free(*event);
	*event = NULL;
}

const char *fake_log(void)
{
	return fake.log;
}

void pn_running_enter(const char *module, const char *hook, const char *session,
                      const char *transaction)
{
	(void)module, (void)hook, (void)session, (void)transaction;
}

void pn_hook_add_cpu(const struct pn_stage_call *call, uint64_t nanoseconds)
{
	(void)call, (void)nanoseconds;
}

void pn_running_leave(void)
{
}
