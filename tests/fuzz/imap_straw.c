/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway of straw: what a module may call. See imap_straw.h. */
#include "imap_straw.h"

#include <postern/clock.h>
#include <postern/text.h>

#include <stdarg.h>

#include "fuzz.h"

const struct pn_slice straw_account = PN_SLICE("alice@example.test");

struct pn_session *straw_session;

unsigned straw_choose(struct pn_session *session, unsigned count)
{
	if (!session->is_wild)
		return 0;
	session->choices = session->choices * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(session->choices >> 33) % count;
}

/* ---- time and chance, the same in every run ---- */

int64_t pn_clock_wall_ms(void)
{
	return 1790000000000;
}

uint64_t straw_random;

void pn_random(void *bytes_out, size_t size)
{
	uint8_t *bytes = bytes_out;

	for (size_t i = 0; i < size; i++) {
		straw_random = straw_random * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (uint8_t)(straw_random >> 40);
	}
}

/* ---- what a module may ask of a session ---- */

void pn_session_write(struct pn_session *session, struct pn_slice bytes)
{
	require(pn_buffer_append(&session->output, bytes) == PN_OK);
}

void pn_session_print(struct pn_session *session, const char *format, ...)
{
	char text[4096];
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	require(size >= 0 && (size_t)size < sizeof(text));
	pn_session_write(session, pn_slice_make(text, (size_t)size));
}

bool pn_session_output_is_high(const struct pn_session *session)
{
	return straw_choose((struct pn_session *)(uintptr_t)session, 3) == 1;
}

const void *pn_session_config(const struct pn_session *session)
{
	return &session->config;
}

const char *pn_session_hostname(const struct pn_session *session)
{
	(void)session;
	return "mx.example.test";
}

unsigned pn_session_worker(const struct pn_session *session)
{
	(void)session;
	return 0;
}

bool pn_session_is_encrypted(const struct pn_session *session)
{
	return session->is_encrypted;
}

bool pn_session_can_start_tls(const struct pn_session *session)
{
	return !session->is_encrypted;
}

bool pn_session_peer_is_loopback(const struct pn_session *session)
{
	(void)session;
	return true;
}

void pn_session_set_deadline(struct pn_session *session, uint64_t milliseconds)
{
	(void)session;
	require(milliseconds > 0);
}

void pn_session_set_line_limit(struct pn_session *session, size_t bytes)
{
	require(bytes > 0);
	session->line_limit = bytes;
}

void pn_session_set_hello(struct pn_session *session, struct pn_slice name)
{
	(void)session;
	(void)name;
}

void pn_session_set_note(struct pn_session *session, struct pn_slice key, struct pn_slice value)
{
	(void)session;
	(void)value;
	require(key.size > 0);
}

struct pn_slice pn_session_note(const struct pn_session *session, struct pn_slice key)
{
	(void)session;
	(void)key;
	return PN_SLICE_NONE;
}

void pn_session_log(struct pn_session *session, const char *format, ...)
{
	(void)session;
	(void)format;
}

const struct pn_account *pn_session_account(const struct pn_session *session)
{
	return (const struct pn_account *)session;
}

struct pn_slice pn_account_name(const struct pn_account *account)
{
	(void)account;
	return straw_account;
}

enum pn_next pn_next_bytes(struct pn_session *session, uint64_t size)
{
	require(size > 0);
	session->bytes_left = size;
	return PN_NEXT_BYTES;
}

/* ---- tickets and questions ---- */

static struct pn_session *session_of(const struct pn_account *account)
{
	return (struct pn_session *)(uintptr_t)account;
}

static enum pn_next ask(struct pn_session *session, enum straw_question question)
{
	require(session->question == STRAW_NOTHING);
	session->question = question;
	session->ticket++;
	return PN_NEXT_ANSWER;
}

struct pn_ticket pn_session_ticket(struct pn_session *session, uint64_t deadline_ms)
{
	require(deadline_ms > 0);
	(void)ask(session, STRAW_TIMER);
	return (struct pn_ticket){session->ticket, 1};
}

/* The ticket becomes that of a question. */
static struct pn_arena *use_ticket(const struct pn_account *account, struct pn_ticket ticket,
                                   enum straw_question question)
{
	struct pn_session *session = session_of(account);

	require(session->question == STRAW_TIMER && ticket.slot == session->ticket);
	session->question = question;
	session->arena = pn_arena_new();
	return session->arena;
}

void pn_ticket_cancel(struct pn_ticket ticket)
{
	if (ticket.slot == straw_session->ticket && straw_session->question == STRAW_TIMER)
		straw_session->question = STRAW_NOTHING;
}

enum pn_next pn_stage_ask(struct pn_session *session, enum pn_stage stage)
{
	require(stage == PN_STAGE_MAILBOX_OPEN || stage == PN_STAGE_CLIENT_HELLO);
	return ask(session, STRAW_STAGE);
}

enum pn_status pn_sasl_check_mechanisms(const struct pn_text_list *mechanisms,
                                        struct pn_error *error)
{
	(void)mechanisms;
	(void)error;
	return PN_OK;
}

void pn_sasl_set_terms(struct pn_session *session, const struct pn_sasl_terms *terms)
{
	require(terms->struct_size == sizeof(*terms) && terms->mechanisms != NULL);
	session->clear = terms->clear;
}

/* As the options say, and all mechanisms give the secret away. */
bool pn_sasl_takes_passwords(const struct pn_session *session)
{
	return pn_session_is_encrypted(session) || session->clear == PN_SASL_CLEAR_ALWAYS ||
	       (session->clear == PN_SASL_CLEAR_LOOPBACK && pn_session_peer_is_loopback(session));
}

const char *pn_sasl_mechanisms(const struct pn_session *session)
{
	return pn_sasl_takes_passwords(session) ? "PLAIN LOGIN" : "";
}

enum pn_next pn_sasl_begin(struct pn_session *session, struct pn_slice mechanism, bool has_initial,
                           struct pn_slice initial)
{
	require(mechanism.size > 0 && (has_initial || initial.size == 0));
	return ask(session, STRAW_SASL);
}

enum pn_next pn_sasl_respond(struct pn_session *session, struct pn_slice line)
{
	(void)line;
	return ask(session, STRAW_SASL);
}

enum pn_next pn_password_login(struct pn_session *session, struct pn_slice name,
                               struct pn_slice password)
{
	(void)password;
	require(name.size > 0 && name.size <= PN_PATH_MAX);
	return ask(session, STRAW_SASL);
}

void pn_store_watch(struct pn_session *session, const struct pn_account *account)
{
	require(session_of(account) == session && !session->is_watched);
	session->is_watched = true;
}

struct pn_uid_set straw_keep_uids(struct pn_arena *arena, struct pn_uid_set set)
{
	struct pn_uid_range *ranges = PN_ARENA_ARRAY(arena, set.count, struct pn_uid_range);

	for (size_t i = 0; i < set.count; i++) {
		ranges[i] = set.ranges[i];
		require(ranges[i].first >= 1 && ranges[i].first <= ranges[i].last);
		require(i == 0 || ranges[i].first > ranges[i - 1].last + 1);
	}
	return (struct pn_uid_set){ranges, set.count};
}

void pn_store_mailboxes(const struct pn_account *account,
                        const struct pn_mailboxes_request *request, struct pn_ticket ticket)
{
	struct pn_arena *arena = use_ticket(account, ticket, STRAW_MAILBOXES);
	struct pn_mailboxes_request *kept = &session_of(account)->request.mailboxes;

	*kept = *request;
	kept->account = straw_account;
	kept->name = pn_arena_keep(arena, request->name);
}

void pn_store_view(const struct pn_account *account, const struct pn_view_request *request,
                   struct pn_ticket ticket)
{
	(void)use_ticket(account, ticket, STRAW_VIEW);
	require(request->mailbox != 0);
	session_of(account)->request.view = *request;
	session_of(account)->request.view.account = straw_account;
}

void pn_store_rows(const struct pn_account *account, const struct pn_rows_request *request,
                   struct pn_ticket ticket)
{
	struct pn_arena *arena = use_ticket(account, ticket, STRAW_ROWS);
	struct pn_rows_request *kept = &session_of(account)->request.rows;

	require(request->max_rows > 0 && request->mailbox != 0);
	*kept = *request;
	kept->account = straw_account;
	kept->uids = straw_keep_uids(arena, request->uids);
}

void pn_store_changes(const struct pn_account *account, const struct pn_changes_request *request,
                      struct pn_ticket ticket)
{
	(void)use_ticket(account, ticket, STRAW_CHANGES);
	require(request->max_rows > 0 && request->mailbox != 0);
	session_of(account)->request.changes = *request;
	session_of(account)->request.changes.account = straw_account;
}

void pn_store_body(const struct pn_account *account, const struct pn_body_request *request,
                   struct pn_ticket ticket)
{
	(void)use_ticket(account, ticket, STRAW_BODY);
	require(request->max_size > 0);
	session_of(account)->request.body = *request;
	session_of(account)->request.body.account = straw_account;
}

void pn_store_bodies(const struct pn_account *account, const struct pn_bodies_request *request,
                     struct pn_ticket ticket)
{
	struct pn_arena *arena = use_ticket(account, ticket, STRAW_BODIES);
	struct pn_bodies_request *kept = &session_of(account)->request.bodies;
	struct pn_body_id *bodies = PN_ARENA_ARRAY(arena, request->count, struct pn_body_id);

	require(request->count > 0 && request->max_size > 0 && request->max_size <= 16u << 20);
	memcpy(bodies, request->bodies, request->count * sizeof(*bodies));
	*kept = *request;
	kept->account = straw_account;
	kept->bodies = bodies;
}

/* ---- commits ---- */

struct pn_commit *pn_commit_new(size_t max_bodies, size_t max_mutations)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_commit *commit = PN_ARENA_NEW(arena, struct pn_commit);

	commit->struct_size = sizeof(*commit);
	commit->arena = arena;
	commit->body_size = sizeof(struct pn_body_source);
	commit->bodies = PN_ARENA_ARRAY(arena, max_bodies, struct pn_body_source);
	commit->mutation_size = sizeof(struct pn_mutation);
	commit->mutations = PN_ARENA_ARRAY(arena, max_mutations, struct pn_mutation);
	return commit;
}

void pn_commit_free(struct pn_commit **commit)
{
	struct pn_arena *arena = *commit != NULL ? (*commit)->arena : NULL;

	pn_arena_free(&arena);
	*commit = NULL;
}

struct pn_mutation *pn_commit_add(struct pn_commit *commit, enum pn_mutation_kind kind)
{
	struct pn_mutation *mutation =
		(struct pn_mutation *)(uintptr_t)&commit->mutations[commit->mutation_count++];

	mutation->kind = kind;
	return mutation;
}

void pn_commit_done(struct pn_commit *commit, enum pn_status status)
{
	(void)commit;
	straw_session->commit_status = status;
}

void pn_store_commit(const struct pn_account *account, struct pn_commit *commit,
                     struct pn_ticket ticket)
{
	struct pn_session *session = session_of(account);

	if (ticket.slot == 0) { /* nobody waits */
		(void)straw_commit(session, commit);
		pn_commit_free(&commit);
		return;
	}
	(void)use_ticket(account, ticket, STRAW_COMMIT);
	session->commit = commit;
}

/* ---- messages that come in ---- */

void pn_deposit_begin(struct pn_session *session, const struct pn_deposit_request *request)
{
	require(!session->has_deposit);
	session->has_deposit = true;
	session->deposit_arena = pn_arena_new();
	session->deposit = *request;
	session->deposit.mailbox = pn_arena_keep(session->deposit_arena, request->mailbox);
	session->deposit.flags = pn_arena_keep(session->deposit_arena, request->flags);
	session->message_size = 0;
	pn_buffer_init(&session->message, 64 * 1024 * 1024);
}

enum pn_next pn_transaction_append(struct pn_session *session, struct pn_slice bytes,
                                   enum pn_next next)
{
	require(session->has_deposit);
	session->message_size += bytes.size;
	if (session->message_size <= session->deposit.max_size)
		require(pn_buffer_append(&session->message, bytes) == PN_OK);
	return straw_choose(session, 3) == 1 ? ask(session, STRAW_ROOM) : next;
}

enum pn_next pn_deposit_submit(struct pn_session *session)
{
	require(session->has_deposit);
	return ask(session, STRAW_DEPOSIT);
}

const struct pn_deposit_result *pn_deposit_result(const struct pn_session *session)
{
	require(session->has_deposit);
	return &session->deposit_result;
}

void pn_transaction_end(struct pn_session *session)
{
	if (!session->has_deposit)
		return;
	session->has_deposit = false;
	memset(&session->deposit_result, 0x55, sizeof(session->deposit_result));
	pn_arena_free(&session->deposit_arena);
	pn_buffer_clear(&session->message);
}
