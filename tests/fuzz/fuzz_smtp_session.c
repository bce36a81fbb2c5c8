/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole SMTP or LMTP session against a gateway of straw: framing is the real one,
 * hooks, directory, store and passwords answer as the first bytes of the input say.
 * What must hold: replies are lines of replies, each command gets exactly one, the
 * calls come in the order of transaction.h, and nothing is asked while an answer is open.
 */
#include "fuzz.h"

#include <postern/clock.h>
#include <postern/module.h>
#include <postern/request.h>
#include <postern/sasl.h>
#include <postern/text.h>

#include "io/frame.h"

#include "../../modules/smtp/smtp.h"

#include <stdarg.h>

extern const struct pn_module smtp_LTX_pn_module;

enum { RECIPIENTS_MAX = 100 };

struct pn_recipient {
	struct pn_stage_result result;
};

struct pn_transaction {
	bool is_open;
	bool is_judged; /* envelope.sender was answered */
	bool is_submitted;
	bool after_cr;  /* the byte that was appended last */
	bool is_binary; /* BODY=BINARYMIME was said */
	bool line_is_empty;
	bool header_is_over; /* from here on any byte may come, if it is */
	bool is_each;        /* an answer for each recipient */
	uint64_t size;
	size_t count;
	struct pn_recipient recipients[RECIPIENTS_MAX];
};

enum question { NOTHING = 0, TIMER, ADDRESS, QUEUE, STAGE, SENDER, RECIPIENT, BODY, MESSAGE, SASL };

struct pn_session {
	struct smtp_config config;
	uint64_t choices; /* bits that decide what everybody else says */
	bool is_encrypted;
	enum pn_sasl_clear clear; /* as the module has told */
	bool is_known;            /* somebody is logged in */
	bool in_exchange;
	enum question question;
	struct pn_transaction transaction;
	struct pn_frame_dot dot;
	size_t line_limit;
	char line[600]; /* of output, so far */
	size_t line_size;
	size_t replies; /* whole ones, since the last question was put */
	bool last_was_yes_to_data;
	bool was_each; /* the last message's recipients are answered one by one */
	uint64_t chunk_left;
};

static unsigned choose(struct pn_session *session, unsigned count)
{
	session->choices = session->choices * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(session->choices >> 33) % count;
}

/* ---- what a module may ask of a session ---- */

uint64_t pn_clock_monotonic_ms(void)
{
	return 0;
}

int64_t pn_clock_wall_ms(void)
{
	return 0;
}

void pn_session_write(struct pn_session *session, struct pn_slice bytes)
{
	for (size_t i = 0; i < bytes.size; i++) {
		const char *line = session->line;

		require(session->line_size < 512);
		session->line[session->line_size++] = bytes.data[i];
		if (bytes.data[i] != '\n')
			continue;
		require(session->line_size >= 6 && line[session->line_size - 2] == '\r');
		require(line[0] >= '2' && line[0] <= '5' && line[1] >= '0' && line[1] <= '9' &&
		        line[2] >= '0' && line[2] <= '9' && (line[3] == ' ' || line[3] == '-'));
		for (size_t at = 0; at + 2 < session->line_size; at++)
			require(line[at] >= ' ' && line[at] <= '~');
		session->replies += line[3] == ' ' ? 1 : 0;
		session->line_size = 0;
	}
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

bool pn_session_has_more(const struct pn_session *session)
{
	(void)session;
	return true;
}

bool pn_session_has_input(const struct pn_session *session)
{
	return session->choices % 2 == 0;
}

void pn_session_set_early_talker(struct pn_session *session)
{
	require(session->replies == 0);
}

void pn_session_count_pipelining(struct pn_session *session)
{
	require(session->replies == 0);
}

const char *pn_session_peer(const struct pn_session *session)
{
	(void)session;
	return "192.0.2.1";
}

enum pn_status pn_session_set_peer(struct pn_session *session, struct pn_slice address,
                                   uint16_t port)
{
	require(session->config.xclient_networks.count > 0);
	for (size_t i = 0; i < address.size; i++)
		require(address.data[i] > ' ' && address.data[i] <= '~');
	return port == 9 ? PN_LIMIT : PN_OK;
}

void pn_session_set_note(struct pn_session *session, struct pn_slice key, struct pn_slice value)
{
	(void)session;
	require(key.size > 0 && value.size <= 255);
	for (size_t i = 0; i < value.size; i++)
		require(value.data[i] > ' ' && value.data[i] <= '~');
}

struct pn_slice pn_session_note(const struct pn_session *session, struct pn_slice key)
{
	(void)session;
	return key;
}

void pn_transaction_set_fact(struct pn_transaction *transaction, struct pn_slice key,
                             struct pn_slice value)
{
	require(transaction->is_open && key.size > 0 && value.size > 0);
}

struct pn_slice pn_session_identity(const struct pn_session *session)
{
	return session->is_known ? PN_SLICE("alice@example.test") : PN_SLICE_NONE;
}

struct pn_transaction *pn_session_transaction(const struct pn_session *session)
{
	return session->transaction.is_open ? (struct pn_transaction *)&session->transaction : NULL;
}

void pn_session_set_hello(struct pn_session *session, struct pn_slice name)
{
	(void)session;
	require(name.size <= 255);
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

void pn_session_delay(struct pn_session *session, uint64_t milliseconds)
{
	(void)session;
	require(milliseconds <= 60 * 1000);
}

enum pn_next pn_next_data(struct pn_session *session, enum pn_data_form form)
{
	require(form == PN_DATA_DOT_STUFFED && session->transaction.count > 0);
	memset(&session->dot, 0, sizeof(session->dot));
	session->last_was_yes_to_data = true;
	return PN_NEXT_DATA;
}

enum pn_next pn_next_bytes(struct pn_session *session, uint64_t size)
{
	require(size > 0 && size <= session->config.max_message_size);
	session->chunk_left = size;
	return PN_NEXT_BYTES;
}

/* ---- questions ---- */

static enum pn_next ask(struct pn_session *session, enum question question)
{
	require(session->question == NOTHING);
	session->question = question;
	return PN_NEXT_ANSWER;
}

struct pn_ticket pn_session_ticket(struct pn_session *session, uint64_t deadline_ms)
{
	require(deadline_ms > 0);
	(void)ask(session, TIMER);
	return (struct pn_ticket){0};
}

enum pn_next pn_request_ask(struct pn_session *session, const char *kind, struct pn_slice argument)
{
	require(kind != NULL && argument.size > 0);
	return ask(session, STAGE);
}

enum pn_next pn_address_look_up(struct pn_session *session, const struct pn_address *address)
{
	require(address->text.size > 0);
	return ask(session, ADDRESS);
}

enum pn_next pn_queue_summon(struct pn_session *session, struct pn_slice domain)
{
	require(pn_domain_is_valid(domain, false));
	return ask(session, QUEUE);
}

enum pn_next pn_stage_ask(struct pn_session *session, enum pn_stage stage)
{
	require(stage == PN_STAGE_CLIENT_HELLO || stage == PN_STAGE_CONNECTION_OPEN);
	require(!session->transaction.is_open);
	return ask(session, STAGE);
}

enum pn_next pn_transaction_begin(struct pn_session *session, const struct pn_envelope_part *sender)
{
	require(!session->transaction.is_open && sender->parameter_count <= SMTP_PARAMETERS_MAX);
	require(session->config.authentication != SMTP_AUTHENTICATION_REQUIRED ||
	        session->is_known);
	session->transaction.is_open = true;
	session->transaction.line_is_empty = true;
	for (size_t i = 0; i < sender->parameter_count; i++) {
		if (pn_slice_equal_ignore_case(sender->parameters[i].value, PN_SLICE("BINARYMIME")))
			session->transaction.is_binary = true;
	}
	return ask(session, SENDER);
}

enum pn_next pn_transaction_add(struct pn_session *session, const struct pn_envelope_part *part)
{
	require(session->transaction.is_open && session->transaction.is_judged);
	require(session->transaction.count < session->config.max_recipients);
	require(!pn_address_is_null(&part->address));
	return ask(session, RECIPIENT);
}

enum pn_next pn_transaction_append(struct pn_session *session, struct pn_slice bytes,
                                   enum pn_next next)
{
	require(session->transaction.count > 0 && !session->transaction.is_submitted);
	/* Lines end with CRLF, and nothing else does, however they came. */
	for (size_t i = 0; i < bytes.size; i++) {
		struct pn_transaction *transaction = &session->transaction;
		char byte = bytes.data[i];

		if (transaction->is_binary && transaction->header_is_over)
			break;
		require(byte != '\0');
		require((byte == '\n') == transaction->after_cr);
		transaction->header_is_over = byte == '\n' && transaction->line_is_empty;
		transaction->line_is_empty =
			byte == '\n' || (byte == '\r' && transaction->line_is_empty);
		transaction->after_cr = byte == '\r';
	}
	session->transaction.size += bytes.size;
	return choose(session, 4) == 0 ? ask(session, BODY) : next;
}

enum pn_next pn_transaction_submit(struct pn_session *session)
{
	require(session->transaction.count > 0 && !session->transaction.is_submitted);
	require(!session->transaction.after_cr);
	session->transaction.is_submitted = true;
	return ask(session, MESSAGE);
}

void pn_transaction_end(struct pn_session *session)
{
	session->was_each = session->transaction.is_submitted && session->transaction.is_each;
	memset(&session->transaction, 0, sizeof(session->transaction));
}

void pn_transaction_set_max_size(struct pn_transaction *transaction, uint64_t bytes)
{
	require(transaction->is_open && bytes > 0);
}

void pn_transaction_set_answers_per_recipient(struct pn_transaction *transaction, bool value)
{
	require(transaction->is_open || value);
	transaction->is_each = value;
}

void pn_transaction_set_trace_word(struct pn_transaction *transaction, const char *word)
{
	require(transaction->is_open && strlen(word) >= 4);
}

uint64_t pn_transaction_size(const struct pn_transaction *transaction)
{
	return transaction->size;
}

enum pn_status pn_transaction_set_priority(struct pn_transaction *transaction, uint32_t priority)
{
	require(transaction->is_open && priority <= 9);
	return PN_OK;
}

enum pn_status pn_transaction_set_release(struct pn_transaction *transaction, int64_t wall_ms)
{
	require(transaction->is_open && wall_ms >= 0);
	return PN_OK;
}

void pn_transaction_set_deliver_by(struct pn_transaction *transaction,
                                   const struct pn_deliver_by *by)
{
	require(transaction->is_open && by->mode != PN_DELIVER_BY_NEVER);
	require(by->mode == PN_DELIVER_BY_NOTIFY || by->moment_ms > 0);
}

void pn_transaction_require_tls(struct pn_transaction *transaction)
{
	require(transaction->is_open);
}

const char *pn_transaction_id(const struct pn_transaction *transaction)
{
	require(transaction->is_open);
	return "0123456789abcdefghij";
}

size_t pn_transaction_recipient_count(const struct pn_transaction *transaction)
{
	return transaction->count;
}

struct pn_recipient *pn_transaction_recipient(const struct pn_transaction *transaction,
                                              size_t index)
{
	return index < transaction->count
	               ? (struct pn_recipient *)(uintptr_t)&transaction->recipients[index]
	               : NULL;
}

const struct pn_stage_result *pn_recipient_result(const struct pn_recipient *recipient)
{
	return &recipient->result;
}

const struct pn_address *pn_transaction_sender(const struct pn_transaction *transaction)
{
	static const struct pn_address null = {.is_utf8 = false};

	(void)transaction;
	return &null;
}

const struct pn_header *pn_transaction_header(struct pn_transaction *transaction)
{
	(void)transaction;
	return NULL;
}

enum pn_status pn_transaction_header_add(struct pn_transaction *transaction, struct pn_slice name,
                                         struct pn_slice value)
{
	(void)transaction;
	(void)name;
	(void)value;
	return PN_OK;
}

enum pn_verdict pn_hook_failed(const struct pn_stage_call *call, const char *format, ...)
{
	(void)call;
	(void)format;
	return PN_VERDICT_CONTINUE;
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
	require(!session->is_known && !session->transaction.is_open && mechanism.size > 0);
	require(has_initial || initial.size == 0);
	return ask(session, SASL);
}

enum pn_next pn_sasl_respond(struct pn_session *session, struct pn_slice line)
{
	(void)line;
	require(session->in_exchange);
	return ask(session, SASL);
}

/* ---- answers ---- */

static struct pn_stage_result judge(struct pn_session *session)
{
	static const enum pn_verdict verdicts[] = {
		PN_VERDICT_CONTINUE, PN_VERDICT_ACCEPT, PN_VERDICT_ACCEPT,
		PN_VERDICT_REJECT,   PN_VERDICT_DEFER,  PN_VERDICT_DROP,
	};
	struct pn_stage_result result = {.struct_size = sizeof(result)};

	/* Mostly yes, or nothing would ever get far. */
	result.verdict = choose(session, 4) > 0 ? PN_VERDICT_ACCEPT : verdicts[choose(session, 6)];
	if (result.verdict == PN_VERDICT_REJECT)
		result.reply = (struct pn_reply){550, "5.7.1", "no"};
	if (result.verdict == PN_VERDICT_DEFER)
		result.reply =
			(struct pn_reply){choose(session, 4) == 0 ? 421 : 451, "4.7.1", "later"};
	return result;
}

static bool says_yes(const struct pn_stage_result *result)
{
	return result->verdict == PN_VERDICT_CONTINUE || result->verdict == PN_VERDICT_ACCEPT;
}

static void settle_recipients(struct pn_session *session, struct pn_stage_result *result)
{
	for (size_t i = 0; i < session->transaction.count; i++) {
		struct pn_stage_result own = judge(session);

		if (!says_yes(result))
			own = *result;
		if (own.verdict == PN_VERDICT_DROP)
			own.verdict = PN_VERDICT_ACCEPT;
		session->transaction.recipients[i].result = own;
	}
}

static enum pn_next give_answer(struct pn_session *session, struct smtp_session *smtp)
{
	enum question question = session->question;
	struct pn_stage_result result = judge(session);
	const struct pn_slice names[] = {PN_SLICE("a@b.example"), PN_SLICE("\xc3\xbc@b")};
	struct pn_address_known known = {.leads_to = names};
	struct pn_queue_summoned summoned = {.is_complete = true};
	struct pn_sasl_step step = {.struct_size = sizeof(step)};
	struct pn_answer answer = {.struct_size = sizeof(answer), .result = &result};

	require(question != NOTHING);
	session->question = NOTHING;
	if (question == SENDER) {
		session->transaction.is_judged = says_yes(&result);
	} else if (question == RECIPIENT) {
		if (says_yes(&result) && session->transaction.count < RECIPIENTS_MAX) {
			result.verdict = PN_VERDICT_ACCEPT;
			session->transaction.count++;
		}
	} else if (question == MESSAGE) {
		settle_recipients(session, &result);
	} else if (question == ADDRESS) {
		answer.result = &known;
		known.knowledge = (enum pn_address_knowledge)choose(session, 5);
		known.count = known.knowledge == PN_ADDRESS_SERVED ? choose(session, 3) : 0;
	} else if (question == QUEUE) {
		answer.result = &summoned;
		summoned.waiting = choose(session, 3);
		answer.status = choose(session, 4) == 0 ? PN_FAILED : PN_OK;
	} else if (question == SASL) {
		answer.result = &step;
		step.outcome = (enum pn_sasl_outcome)choose(session, PN_SASL_NEEDS_TLS + 1);
		session->in_exchange = step.outcome == PN_SASL_CHALLENGE;
		session->is_known = step.outcome == PN_SASL_PROVEN;
	}
	return smtp_LTX_pn_module.protocol->answered(session, smtp, &answer);
}

/* ---- the session ---- */

static enum pn_next feed(struct pn_session *session, struct smtp_session *smtp,
                         struct pn_slice *input, enum pn_next next)
{
	const struct pn_protocol *protocol = smtp_LTX_pn_module.protocol;
	struct pn_line line = {.struct_size = sizeof(line)};
	struct pn_data data = {.struct_size = sizeof(data)};
	size_t consumed = 0;
	size_t scanned = 0;
	bool after_cr = false;

	if (next == PN_NEXT_BYTES) {
		if (input->size == 0)
			return PN_NEXT_CLOSE;
		/* Cut anywhere. */
		consumed = 1 + choose(session, 100);
		if (consumed > input->size)
			consumed = input->size;
		if (consumed > session->chunk_left)
			consumed = (size_t)session->chunk_left;
		data.bytes = pn_slice_make(input->data, consumed);
		session->chunk_left -= consumed;
		data.is_last = session->chunk_left == 0;
		*input = pn_slice_make(input->data + consumed, input->size - consumed);
		return protocol->data(session, smtp, &data);
	}
	if (next == PN_NEXT_DATA) {
		pn_frame_dot(&session->dot, *input, &data.bytes, &consumed, &data.is_last,
		             &data.problem);
		*input = pn_slice_make(input->data + consumed, input->size - consumed);
		if (data.bytes.size > 0 || data.is_last || data.problem != PN_LINE_GOOD)
			return protocol->data(session, smtp, &data);
		return consumed > 0 ? next : PN_NEXT_CLOSE;
	}
	if (!pn_frame_line(*input, session->line_limit, &scanned, &line.problem, &line.text,
	                   &consumed))
		return PN_NEXT_CLOSE;
	*input = pn_slice_make(input->data + consumed, input->size - consumed);
	next = protocol->line(session, smtp, &line);
	if (line.problem == PN_LINE_TOO_LONG) {
		pn_frame_skip_line(*input, &after_cr, &consumed);
		*input = pn_slice_make(input->data + consumed, input->size - consumed);
	}
	return next;
}

static void run(struct pn_session *session, struct smtp_session *smtp, struct pn_slice input)
{
	struct pn_stage_result welcome = judge(session);
	const struct pn_answer answer = {.struct_size = sizeof(answer), .result = &welcome};
	enum pn_next next = PN_NEXT_CLOSE;

	if (welcome.verdict != PN_VERDICT_DROP)
		next = smtp_LTX_pn_module.protocol->open(session, smtp, &answer);
	while (next != PN_NEXT_CLOSE) {
		require((next == PN_NEXT_ANSWER) == (session->question != NOTHING));
		switch (next) {
		case PN_NEXT_ANSWER:
			next = give_answer(session, smtp);
			break;
		case PN_NEXT_START_TLS:
			require(!session->is_encrypted && !session->is_known);
			session->is_encrypted = true;
			welcome.verdict = PN_VERDICT_CONTINUE;
			next = smtp_LTX_pn_module.protocol->answered(session, smtp, &answer);
			require(!session->transaction.is_open);
			session->replies = 1;
			break;
		case PN_NEXT_LINE:
			/* The one before was answered, with exactly one reply, or one for each. */
			require(session->replies >= 1 && session->line_size == 0);
			require(session->replies == 1 || session->was_each);
			session->replies = 0;
			session->was_each = false;
			next = feed(session, smtp, &input, next);
			break;
		case PN_NEXT_DATA:
			if (session->last_was_yes_to_data)
				require(session->replies == 1);
			session->last_was_yes_to_data = false;
			session->replies = 0;
			next = feed(session, smtp, &input, next);
			break;
		case PN_NEXT_BYTES:
			require(session->chunk_left > 0);
			next = feed(session, smtp, &input, next);
			break;
		default:
			require(false);
		}
	}
	require(session->line_size == 0);
	smtp_LTX_pn_module.protocol->close(session, smtp, PN_CLOSE_FINISHED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const networks[] = {"192.0.2.0/24"};
	static struct pn_session session;
	struct smtp_session smtp = {.config = NULL};
	struct pn_slice input;

	memset(&session, 0, sizeof(session));
	session.config = (struct smtp_config){
		.profile = take_byte(&data, &size) % 3,
		.authentication = take_byte(&data, &size) % 3,
		.plaintext_login = take_byte(&data, &size) % 3,
		.greeting = "",
		.max_message_size = 1024 * 1024,
		.max_recipients = 1 + take_byte(&data, &size) % RECIPIENTS_MAX,
		.max_errors = 100000,
		.max_login_failures = 100000,
		.max_commands = 100000,
		.max_transactions = 100000,
		.max_command_length = 1055,
		.command_timeout = 1000,
		.data_timeout = 1000,
		.message_timeout = 3600 * 1000,
		.max_hold = 3600 * 1000,
		.banner_delay = size % 3,
		.min_data_rate = 1,
		.data_rate_window = 1000,
	};
	if (size % 2 == 0)
		session.config.xclient_networks = (struct pn_text_list){networks, 1};
	if (size % 4 < 2)
		session.config.xforward_networks = (struct pn_text_list){networks, 1};
	session.choices = take_byte(&data, &size);
	input = exact_copy(rest_of(data, size));
	run(&session, &smtp, input);
	free((void *)(uintptr_t)input.data);
	return 0;
}
