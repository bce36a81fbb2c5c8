/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole POP3 session against a gateway of straw: framing is the real one; passwords,
 * hooks and store answer as the first bytes of the input say, bodies come in pieces of
 * any size. What must hold: each command gets one reply, what RETR and TOP send is the
 * body and its beginning, and nothing is asked while an answer is open.
 */
#include "fuzz.h"

#include <postern/buffer.h>
#include <postern/module.h>
#include <postern/text.h>

#include "io/frame.h"

#include "../../modules/pop3/pop3.h"

#include <stdarg.h>

enum question { NOTHING = 0, SASL, STAGE, MAILBOXES, ROWS, BODY, COMMIT };

enum { MESSAGES = 3 };

static const char *const bodies[MESSAGES] = {
	"Subject: one\r\n\r\na\r\n.b\r\n..\r\n\r\nend\r\n",
	"\r\n.\r\n",
	"X: header only\r\n",
};

struct pn_session {
	struct pop3_config config;
	uint64_t choices;
	bool is_encrypted;
	enum pn_sasl_clear clear; /* as the module has told */
	enum question question;
	struct pn_body_request body;
	struct pn_commit *commit;
	struct pn_frame_stuff stuff;
	size_t line_limit;
	struct pn_buffer output; /* since the last command */
	struct pn_buffer shown;  /* what came through the stuffing, before it */
	bool is_shown;           /* and all of it */
	uint8_t shown_body;
};

extern const struct pn_module pop3_LTX_pn_module;

static unsigned choose(struct pn_session *session, unsigned count)
{
	session->choices = session->choices * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(session->choices >> 33) % count;
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

static void write_piece(void *user, struct pn_slice bytes)
{
	pn_session_write(user, bytes);
}

void pn_session_write_stuffed(struct pn_session *session, struct pn_slice bytes, bool is_last)
{
	require(pn_buffer_append(&session->shown, bytes) == PN_OK);
	session->is_shown = is_last;
	pn_frame_stuff(&session->stuff, bytes, is_last, write_piece, session);
	if (is_last)
		memset(&session->stuff, 0, sizeof(session->stuff));
}

bool pn_session_output_is_high(const struct pn_session *session)
{
	return choose((struct pn_session *)(uintptr_t)session, 2) == 0;
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
	session->line_limit = bytes;
}

const struct pn_account *pn_session_account(const struct pn_session *session)
{
	return (const struct pn_account *)session;
}

struct pn_slice pn_account_name(const struct pn_account *account)
{
	(void)account;
	return PN_SLICE("alice@example.test");
}

struct pn_ticket pn_session_ticket(struct pn_session *session, uint64_t deadline_ms)
{
	(void)session;
	require(deadline_ms > 0);
	return (struct pn_ticket){1, 1};
}

/* ---- questions ---- */

static enum pn_next ask(struct pn_session *session, enum question question)
{
	require(session->question == NOTHING);
	session->question = question;
	return PN_NEXT_ANSWER;
}

static struct pn_session *session_of(const struct pn_account *account)
{
	return (struct pn_session *)(uintptr_t)account;
}

enum pn_next pn_stage_ask(struct pn_session *session, enum pn_stage stage)
{
	require(stage == PN_STAGE_MAILBOX_OPEN);
	return ask(session, STAGE);
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
	return ask(session, SASL);
}

enum pn_next pn_sasl_respond(struct pn_session *session, struct pn_slice line)
{
	(void)line;
	return ask(session, SASL);
}

enum pn_next pn_password_login(struct pn_session *session, struct pn_slice name,
                               struct pn_slice password)
{
	(void)password;
	require(name.size > 0 && name.size <= PN_PATH_MAX);
	return ask(session, SASL);
}

void pn_store_mailboxes(const struct pn_account *account,
                        const struct pn_mailboxes_request *request, struct pn_ticket ticket)
{
	(void)ticket;
	require(pn_slice_equal(request->name, PN_SLICE("INBOX")));
	(void)ask(session_of(account), MAILBOXES);
}

void pn_store_rows(const struct pn_account *account, const struct pn_rows_request *request,
                   struct pn_ticket ticket)
{
	(void)ticket;
	require(request->uids.count == 1 && request->max_rows > 0 && request->mailbox == 1);
	(void)ask(session_of(account), ROWS);
}

void pn_store_body(const struct pn_account *account, const struct pn_body_request *request,
                   struct pn_ticket ticket)
{
	(void)ticket;
	require(request->body.bytes[0] < MESSAGES && request->max_size > 0);
	session_of(account)->body = *request;
	(void)ask(session_of(account), BODY);
}

struct pn_commit *pn_commit_new(size_t max_bodies, size_t max_mutations)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_commit *commit = PN_ARENA_NEW(arena, struct pn_commit);

	require(max_bodies == 0);
	commit->arena = arena;
	commit->mutations = PN_ARENA_ARRAY(arena, max_mutations, struct pn_mutation);
	return commit;
}

struct pn_mutation *pn_commit_add(struct pn_commit *commit, enum pn_mutation_kind kind)
{
	struct pn_mutation *mutation =
		(struct pn_mutation *)(uintptr_t)&commit->mutations[commit->mutation_count++];

	mutation->kind = kind;
	return mutation;
}

void pn_store_commit(const struct pn_account *account, struct pn_commit *commit,
                     struct pn_ticket ticket)
{
	(void)ticket;
	require(commit->mutation_count == 1 && commit->mutations[0].kind == PN_MUTATION_EXPUNGE);
	require(commit->mutations[0].uids.count > 0 && !commit->mutations[0].on);
	session_of(account)->commit = commit;
	(void)ask(session_of(account), COMMIT);
}

struct pn_uid_set pn_uid_set_of(struct pn_arena *arena, const uint32_t *uids, size_t count)
{
	struct pn_uid_range *ranges = PN_ARENA_ARRAY(arena, count, struct pn_uid_range);

	for (size_t i = 0; i < count; i++) {
		require(i == 0 || uids[i] > uids[i - 1]);
		ranges[i] = (struct pn_uid_range){uids[i], uids[i]};
	}
	return (struct pn_uid_set){ranges, count};
}

/* ---- answers ---- */

static enum pn_next answer_body(struct pn_session *session, struct pop3_session *pop3,
                                struct pn_answer *answer)
{
	struct pn_slice whole = pn_slice_of(bodies[session->body.body.bytes[0]]);
	struct pn_body_piece piece = {.struct_size = sizeof(piece), .total_size = whole.size};
	size_t size;

	require(session->body.offset < whole.size);
	size = 1 + choose(session, (unsigned)(whole.size - session->body.offset));
	piece.bytes = pn_slice_make(whole.data + session->body.offset, size);
	answer->result = &piece;
	session->shown_body = session->body.body.bytes[0];
	if (choose(session, 16) == 0)
		answer->status = PN_FAILED;
	return pop3_LTX_pn_module.protocol->answered(session, pop3, answer);
}

static enum pn_next answer_rows(struct pn_session *session, struct pop3_session *pop3,
                                struct pn_answer *answer)
{
	struct pn_row rows[MESSAGES] = {{.uid = 0}};
	struct pn_rows result = {.struct_size = sizeof(result),
	                         .row_size = sizeof(rows[0]),
	                         .rows = rows,
	                         .count = MESSAGES};

	for (uint8_t i = 0; i < MESSAGES; i++) {
		rows[i].uid = 10u + i;
		rows[i].size = strlen(bodies[i]);
		rows[i].body.bytes[0] = i;
	}
	answer->result = &result;
	return pop3_LTX_pn_module.protocol->answered(session, pop3, answer);
}

static enum pn_next give_answer(struct pn_session *session, struct pop3_session *pop3)
{
	enum question question = session->question;
	struct pn_stage_result verdict = {.struct_size = sizeof(verdict)};
	struct pn_mailbox_info inbox = {.id = 1, .uid_next = 100, .message_count = MESSAGES};
	struct pn_mailboxes mailboxes = {.mailboxes = &inbox, .count = 1};
	struct pn_sasl_step step = {.struct_size = sizeof(step)};
	struct pn_answer answer = {.struct_size = sizeof(answer)};
	struct pn_arena *arena = NULL;
	enum pn_next next;

	require(question != NOTHING);
	session->question = NOTHING;
	if (question == BODY)
		return answer_body(session, pop3, &answer);
	if (question == ROWS)
		return answer_rows(session, pop3, &answer);
	if (question == SASL) {
		step.outcome =
			choose(session, 3) > 0
				? PN_SASL_PROVEN
				: (enum pn_sasl_outcome)choose(session, PN_SASL_NEEDS_TLS + 1);
		answer.result = &step;
	} else if (question == STAGE) {
		verdict.verdict = choose(session, 8) > 0 ? PN_VERDICT_CONTINUE : PN_VERDICT_REJECT;
		answer.result = &verdict;
	} else if (question == MAILBOXES) {
		answer.status = choose(session, 8) > 0 ? PN_OK : PN_NOT_FOUND;
		answer.result = &mailboxes;
	} else {
		answer.status = choose(session, 4) > 0 ? PN_OK : PN_FAILED;
		answer.result = session->commit;
		arena = session->commit->arena;
	}
	next = pop3_LTX_pn_module.protocol->answered(session, pop3, &answer);
	pn_arena_free(&arena);
	return next;
}

/* ---- the session ---- */

/* One reply: a line, and behind a multi-line one everything up to the dot. */
static void check_reply(struct pn_session *session)
{
	struct pn_slice text = pn_buffer_slice(&session->output);
	struct pn_slice shown = pn_buffer_slice(&session->shown);
	struct pn_slice body = pn_slice_of(bodies[session->shown_body]);
	size_t lines = 0;

	require(text.size >= 4 && text.data[text.size - 1] == '\n');
	require(memcmp(text.data, "+OK ", 4) == 0 || memcmp(text.data, "-ERR", 4) == 0 ||
	        memcmp(text.data, "+ ", 2) == 0);
	for (size_t i = 0; i < text.size; i++) {
		require(text.data[i] != '\n' || (i > 0 && text.data[i - 1] == '\r'));
		lines += text.data[i] == '\n' ? 1 : 0;
	}
	if (lines > 1)
		require(text.size > 5 && memcmp(text.data + text.size - 5, "\r\n.\r\n", 5) == 0);
	if (shown.size > 0) {
		require(session->is_shown && shown.size <= body.size);
		require(memcmp(shown.data, body.data, shown.size) == 0);
	}
	session->output.size = 0;
	session->shown.size = 0;
	session->is_shown = false;
}

static enum pn_next feed(struct pn_session *session, struct pop3_session *pop3,
                         struct pn_slice *input)
{
	struct pn_line line = {.struct_size = sizeof(line)};
	size_t consumed = 0;
	size_t scanned = 0;
	bool after_cr = false;
	enum pn_next next;

	if (!pn_frame_line(*input, session->line_limit, &scanned, &line.problem, &line.text,
	                   &consumed))
		return PN_NEXT_CLOSE;
	*input = pn_slice_make(input->data + consumed, input->size - consumed);
	next = pop3_LTX_pn_module.protocol->line(session, pop3, &line);
	if (line.problem == PN_LINE_TOO_LONG) {
		pn_frame_skip_line(*input, &after_cr, &consumed);
		*input = pn_slice_make(input->data + consumed, input->size - consumed);
	}
	return next;
}

static void run(struct pn_session *session, struct pop3_session *pop3, struct pn_slice input)
{
	const struct pn_protocol *protocol = pop3_LTX_pn_module.protocol;
	struct pn_stage_result welcome = {.struct_size = sizeof(welcome)};
	const struct pn_answer answer = {.struct_size = sizeof(answer), .result = &welcome};
	enum pn_next next = protocol->open(session, pop3, &answer);

	while (next != PN_NEXT_CLOSE) {
		require((next == PN_NEXT_ANSWER) == (session->question != NOTHING));
		switch (next) {
		case PN_NEXT_ANSWER:
			next = give_answer(session, pop3);
			break;
		case PN_NEXT_DRAIN:
			next = protocol->drained(session, pop3);
			break;
		case PN_NEXT_START_TLS:
			require(!session->is_encrypted && !pop3->is_open);
			check_reply(session);
			session->is_encrypted = true;
			require(protocol->answered(session, pop3, &answer) == PN_NEXT_LINE);
			next = feed(session, pop3, &input);
			break;
		case PN_NEXT_LINE:
			check_reply(session);
			next = feed(session, pop3, &input);
			break;
		default:
			require(false);
		}
	}
	protocol->close(session, pop3, PN_CLOSE_FINISHED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pn_session session;
	struct pop3_session pop3 = {.config = NULL};
	struct pn_slice input;

	memset(&session, 0, sizeof(session));
	pn_buffer_init(&session.output, 16 * 1024 * 1024);
	pn_buffer_init(&session.shown, 16 * 1024 * 1024);
	session.config = (struct pop3_config){
		.plaintext_login = take_byte(&data, &size) % 3,
		.greeting = "POP3",
		.max_messages = 1 + take_byte(&data, &size) % 4,
		.max_errors = 100000,
		.max_login_failures = 100000,
		.max_commands = 100000,
		.max_command_length = 1024,
		.command_timeout = 1000,
	};
	session.choices = take_byte(&data, &size);
	input = exact_copy(rest_of(data, size));
	run(&session, &pop3, input);
	pn_buffer_clear(&session.output);
	pn_buffer_clear(&session.shown);
	free((void *)(uintptr_t)input.data);
	return 0;
}

#include "../../modules/pop3/capability.c"
#include "../../modules/pop3/list.c"
#include "../../modules/pop3/login.c"
#include "../../modules/pop3/maildrop.c"
#include "../../modules/pop3/pop3.c"
#include "../../modules/pop3/reply.c"
#include "../../modules/pop3/retrieve.c"
#include "../../modules/pop3/update.c"
